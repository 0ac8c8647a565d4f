/* Watching a broker: its logs into the watcher, its certificates, and the file that says where to go on. */
#include <sealmq/watch.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include <sealmq/client.h>

#include "adapters/ca_openssl/ca_make.h"
#include "adapters/ca_openssl/crl_read.h"
#include "adapters/common_loader/loader.h"
#include "adapters/config_yaml/watch_yaml.h"
#include "adapters/http_microhttpd/http.h"
#include "app/watch.h"
#include "base/table.h"
#include "lib/watch_log.h"

enum {
	LOGS_MAX = 64,
	TICK_MS = 200,
	SAVE_EVERY_S = 5,
	CERTS_EVERY_S = 3600,
	ROUNDS_MOST = 256 /* of reading, before somebody else gets a turn */
};

static _Thread_local char why[SMQ_WHY_MAX];

struct watching {
	const struct smq_watch_options *o;
	struct smq_watch *watch;
	struct smq_watch_log logs[LOGS_MAX];
	size_t log_count;
	char position[SMQ_PATH_MAX]; /* "": none is kept */
	int lock;
	struct smq_http *http; /* NULL: none */
	int64_t now_s, saved_s, certs_s, told_s;
};

static smq_err because(smq_err err, const char *what, const char *text)
{
	return smq_because(err, why, sizeof(why), "%s: %s", what, text);
}

/* ---- which logs ---- */

static smq_err add_log(struct watching *w, const char *path)
{
	if (w->log_count == LOGS_MAX)
		return because(SMQ_ERR_FULL, path, "one log too many");
	smq_err err = smq_watch_log_init(&w->logs[w->log_count], path);
	if (err == SMQ_OK)
		w->log_count++;
	return err;
}

static smq_err add_logs(struct watching *w)
{
	static const char *const usual[] = { "log/mosquitto.log",   "log/mosquitto-1.log",  "log/mosquitto-2.log",
					     "log/mosquitto-3.log", "log/nginx-access.log", "log/nginx-error.log" };
	char path[SMQ_PATH_MAX];
	smq_err err = SMQ_OK;
	for (size_t i = 0; w->o->dir && err == SMQ_OK && i < SMQ_COUNT(usual); i++) {
		err = smq_path_join(w->o->dir, usual[i], path);
		if (err == SMQ_OK)
			err = add_log(w, path);
	}
	for (size_t i = 0; err == SMQ_OK && i < w->o->file_count; i++) {
		if (strcmp(w->o->files[i], "-") != 0 && access(w->o->files[i], R_OK) != 0)
			err = because(smq_err_of_errno(errno), w->o->files[i], strerror(errno));
		else
			err = add_log(w, w->o->files[i]);
	}
	if (err == SMQ_OK && w->o->dir && smq_path_join(w->o->dir, "log", path) == SMQ_OK &&
	    access(path, R_OK | X_OK) != 0)
		err = because(smq_err_of_errno(errno), path, strerror(errno));
	if (err == SMQ_OK && w->log_count == 0)
		err = because(SMQ_ERR_USAGE, "watch", "there is no log to follow");
	return err;
}

/* ---- where to go on: "INODE OFFSET PATH" by line ---- */

static smq_err find_position(struct watching *w)
{
	char lock[SMQ_PATH_MAX];
	smq_err err = SMQ_OK;
	if (w->o->position)
		(void)snprintf(w->position, sizeof(w->position), "%s", w->o->position);
	else if (w->o->dir)
		err = smq_path_join(w->o->dir, "run/watch.position", w->position);
	if (err != SMQ_OK || !w->position[0])
		return err;
	if (snprintf(lock, sizeof(lock), "%s.lock", w->position) >= (int)sizeof(lock))
		return SMQ_ERR_TOO_LARGE;
	w->lock = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (w->lock < 0)
		return because(smq_err_of_errno(errno), lock, strerror(errno));
	if (flock(w->lock, LOCK_EX | LOCK_NB) != 0)
		return because(SMQ_ERR_LOCKED, w->position, "another `sealmq watch` goes on from here");
	return SMQ_OK;
}

static void take_position(struct watching *w, const char *line)
{
	uintmax_t inode = 0;
	intmax_t offset = 0;
	int at = 0;
	if (sscanf(line, "%" SCNuMAX " %" SCNdMAX " %n", &inode, &offset, &at) != 2 || at == 0 || offset < 0)
		return;
	for (size_t i = 0; i < w->log_count; i++) {
		if (strcmp(w->logs[i].path, line + at) == 0) {
			w->logs[i].inode = (ino_t)inode;
			w->logs[i].offset = (off_t)offset;
			w->logs[i].known = true;
		}
	}
}

static smq_err load_position(struct watching *w)
{
	struct smq_file_bytes bytes = { NULL, 0 };
	char *save = NULL;
	if (!w->position[0] || access(w->position, F_OK) != 0)
		return SMQ_OK;
	smq_err err = smq_file_read(w->position, false, &bytes, why, sizeof(why));
	char *text = err == SMQ_OK ? strndup((const char *)bytes.p, bytes.len) : NULL;
	for (char *line = text ? strtok_r(text, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save))
		take_position(w, line);
	free(text);
	smq_file_bytes_free(&bytes);
	return err;
}

static smq_err save_position(struct watching *w)
{
	char *text = NULL;
	size_t len = 0;
	w->saved_s = w->now_s;
	FILE *out = w->position[0] ? open_memstream(&text, &len) : NULL;
	if (!out)
		return w->position[0] ? SMQ_ERR_NO_MEMORY : SMQ_OK;
	for (size_t i = 0; i < w->log_count; i++) {
		const struct smq_watch_log *log = &w->logs[i];
		if (log->fd > 0 || log->known)
			(void)fprintf(out, "%" PRIuMAX " %" PRIdMAX " %s\n", (uintmax_t)log->inode,
				      (intmax_t)log->offset, log->path);
	}
	smq_err err = fclose(out) == 0 ? SMQ_OK : SMQ_ERR_NO_MEMORY;
	if (err == SMQ_OK)
		err = smq_file_put(w->position, smq_span_of(text, len), 0600, true, why, sizeof(why));
	free(text);
	return err;
}

/* ---- what ends ---- */

static void note_end(struct watching *w, enum smq_watch_rule rule, const char *path, int64_t end_ms, int64_t soon_s)
{
	char text[96];
	int64_t left = end_ms / 1000 - w->now_s;
	if (left >= soon_s)
		return;
	(void)snprintf(text, sizeof(text), left > 0 ? "ends in %lld hours" : "ended %lld hours ago",
		       (long long)((left > 0 ? left : -left) / 3600));
	smq_watch_note(w->watch, rule, path, text, w->now_s);
}

static void look_at_certs(struct watching *w, const struct smq_watch_settings *s)
{
	char path[SMQ_PATH_MAX];
	char said[SMQ_WHY_MAX];
	struct smq_file_bytes bytes = { NULL, 0 };
	struct smq_crl_summary sum;
	int64_t from = 0;
	int64_t end = 0;
	w->certs_s = w->now_s;
	if (!w->o->dir)
		return;
	if (smq_path_join(w->o->dir, "certs/server.crt", path) == SMQ_OK &&
	    smq_file_read(path, false, &bytes, said, sizeof(said)) == SMQ_OK &&
	    smq_ca_validity(smq_span_of(bytes.p, bytes.len), &from, &end) == SMQ_OK)
		note_end(w, SMQ_RULE_CERTIFICATE_END, path, end,
			 (int64_t)s->limits[SMQ_RULE_CERTIFICATE_END].count * 86400);
	smq_file_bytes_free(&bytes);
	bytes = (struct smq_file_bytes){ NULL, 0 };
	if (smq_path_join(w->o->dir, "certs/crl.pem", path) == SMQ_OK && access(path, R_OK) == 0 &&
	    smq_file_read_most(path, false, SMQ_CRL_FILE_MAX, &bytes, said, sizeof(said)) == SMQ_OK &&
	    smq_crl_summarize(smq_span_of(bytes.p, bytes.len), &sum) == SMQ_OK)
		note_end(w, SMQ_RULE_CRL_END, path, sum.next_update_ms,
			 (int64_t)s->limits[SMQ_RULE_CRL_END].count * 3600);
	smq_file_bytes_free(&bytes);
}

/* ---- telling how it is ---- */

static smq_err status_metrics(void *self, smq_mspan room, size_t *ret_len)
{
	struct watching *w = self;
	return smq_watch_metrics(smq_watch_totals(w->watch), room, ret_len);
}

/* It is well while it has something to read. */
static bool status_healthy(void *self, char *ret_why, size_t room)
{
	struct watching *w = self;
	for (size_t i = 0; i < w->log_count; i++) {
		if (w->logs[i].fd >= 0)
			return true;
	}
	(void)snprintf(ret_why, room, "no log can be read");
	return false;
}

static smq_err serve(struct watching *w)
{
	struct smq_status_source source = { w, status_metrics, status_healthy };
	if (w->o->http_port == 0)
		return SMQ_OK;
	smq_err err = smq_http_new(&source, (uint16_t)w->o->http_port, &w->http);
	return err == SMQ_OK ? err
			     : because(err, "/metrics",
				       err == SMQ_ERR_LIBRARY ? smq_library_text(err)
							      : "the port is taken, or there is no memory");
}

/* ---- going on ---- */

static void take_line(void *self, struct smq_watch_clock *clock, smq_span line)
{
	struct watching *w = self;
	smq_watch_line(w->watch, clock, line, w->now_s);
}

static bool stop_asked(const struct watching *w, int timeout_ms)
{
	struct pollfd p[2] = { { .fd = w->o->stop_fd, .events = POLLIN },
			       { .fd = w->http ? smq_http_fd(w->http) : -1, .events = POLLIN } };
	(void)poll(p, 2, timeout_ms);
	if (w->http)
		smq_http_run(w->http);
	return p[0].revents != 0;
}

/* Whether there may be more right now. A file that was rotated away is read to its end before the next one. */
static bool read_logs(struct watching *w)
{
	bool more = false;
	for (size_t i = 0; i < w->log_count; i++) {
		struct smq_watch_log *log = &w->logs[i];
		int rounds = 0;
		while (rounds < ROUNDS_MOST && smq_watch_log_read(log, w, take_line))
			rounds++;
		more = more || rounds == ROUNDS_MOST;
		if (rounds == ROUNDS_MOST)
			continue;
		int fd = log->fd;
		ino_t inode = log->inode;
		smq_watch_log_turn(log);
		more = more || log->fd != fd || log->inode != inode;
	}
	return more;
}

static bool all_ended(const struct watching *w)
{
	for (size_t i = 0; i < w->log_count; i++) {
		if (!w->logs[i].ended)
			return false;
	}
	return true;
}

static void tell_totals(struct watching *w)
{
	w->told_s = w->now_s;
	if (w->o->on_totals)
		w->o->on_totals(w->o->self, smq_watch_totals(w->watch));
}

/* Input is read to its end, whenever that comes; files to where they end now. */
static bool wants_more(const struct watching *w)
{
	for (size_t i = 0; i < w->log_count; i++) {
		if (strcmp(w->logs[i].path, "-") == 0 && !w->logs[i].ended)
			return true;
	}
	return false;
}

static smq_err follow(struct watching *w, const struct smq_watch_settings *s)
{
	smq_err err = SMQ_OK;
	look_at_certs(w, s);
	for (;;) {
		w->now_s = (int64_t)time(NULL);
		bool more = read_logs(w);
		if (!w->o->once && !more)
			smq_watch_tick(w->watch, w->now_s);
		if (w->now_s - w->saved_s >= SAVE_EVERY_S)
			err = save_position(w);
		if (w->now_s - w->certs_s >= CERTS_EVERY_S)
			look_at_certs(w, s);
		if (w->now_s != w->told_s)
			tell_totals(w);
		if (err != SMQ_OK || stop_asked(w, more ? 0 : TICK_MS) || (w->o->once && !more && !wants_more(w)) ||
		    all_ended(w))
			break;
	}
	return err;
}

/* ---- what it needs ---- */

/* Directories of what is replaced by another file: logs are turned, the position and the numbers are written anew. */
static smq_err confine(const struct watching *w)
{
	char dir[SMQ_PATH_MAX];
	struct smq_confined how;
	smq_needs *n = w->o->confine ? smq_needs_new("watch") : NULL;
	if (!w->o->confine)
		return SMQ_OK;
	for (size_t i = 0; i < w->log_count; i++) {
		if (strcmp(w->logs[i].path, "-") != 0)
			smq_needs_directory(n, w->logs[i].path);
	}
	smq_needs_read(n, w->o->dir); /* certs/ is replaced as a whole */
	const char *const written[] = { w->position[0] ? w->position : NULL, w->o->writes };
	for (size_t i = 0; i < SMQ_COUNT(written); i++) {
		if (written[i] && smq_path_dir(written[i], dir) == SMQ_OK)
			smq_needs_write(n, dir);
	}
	if (w->http)
		smq_needs_listen(n);
	smq_err err = smq_needs_confine(n, &how);
	smq_needs_free(n);
	if (w->o->on_confined && (err == SMQ_OK || err == SMQ_ERR_UNSUPPORTED))
		w->o->on_confined(w->o->self, err == SMQ_OK ? &how : NULL);
	return err == SMQ_ERR_UNSUPPORTED ? SMQ_OK : err;
}

/* ---- all of it ---- */

static smq_err load_rules(const struct watching *w, struct smq_watch_settings *settings)
{
	char path[SMQ_PATH_MAX];
	if (w->o->rules)
		return smq_watch_yaml_load(w->o->rules, settings, why, sizeof(why));
	if (!w->o->dir || smq_path_join(w->o->dir, "watch.yaml", path) != SMQ_OK || access(path, F_OK) != 0)
		return SMQ_OK;
	return smq_watch_yaml_load(path, settings, why, sizeof(why));
}

static smq_err start(struct watching *w, struct smq_watch_settings *settings)
{
	const struct smq_random *random = smq_random_system();
	uint64_t seed = 0;
	*settings = smq_watch_settings_preset();
	smq_err err = load_rules(w, settings);
	if (err == SMQ_OK)
		err = random->fill(random->self, smq_mspan_of(&seed, sizeof(seed)));
	if (err == SMQ_OK)
		err = add_logs(w);
	if (err == SMQ_OK)
		err = find_position(w);
	if (err == SMQ_OK)
		err = load_position(w);
	if (err != SMQ_OK)
		return err;
	w->watch = smq_watch_new(settings, seed, w->o->self, w->o->on_alarm);
	if (!w->watch)
		return SMQ_ERR_NO_MEMORY;
	err = serve(w);
	for (size_t i = 0; i < w->log_count && err == SMQ_OK; i++)
		smq_watch_log_open(&w->logs[i], w->o->once || w->o->from_start);
	return err;
}

smq_err smq_watch_run(const struct smq_watch_options *options, struct smq_watch_totals *ret_totals,
		      const char **ret_why)
{
	struct watching *w = calloc(1, sizeof(*w));
	struct smq_watch_settings settings;
	why[0] = 0;
	if (ret_why)
		*ret_why = why;
	if (!w)
		return because(SMQ_ERR_NO_MEMORY, "watch", smq_err_text(SMQ_ERR_NO_MEMORY));
	w->o = options;
	w->lock = -1;
	w->now_s = w->saved_s = (int64_t)time(NULL);
	smq_err err = start(w, &settings);
	if (err == SMQ_OK) {
		err = confine(w);
		if (err == SMQ_OK)
			err = follow(w, &settings);
		smq_err saved = save_position(w);
		err = err == SMQ_OK ? saved : err;
		tell_totals(w);
		*ret_totals = *smq_watch_totals(w->watch);
	}
	if (err != SMQ_OK && !why[0])
		(void)because(err, "watch", smq_err_text(err));
	for (size_t i = 0; i < w->log_count; i++)
		smq_watch_log_done(&w->logs[i]);
	smq_http_free(w->http);
	smq_watch_free(w->watch);
	if (w->lock >= 0)
		(void)close(w->lock);
	free(w);
	return err;
}
