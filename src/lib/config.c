/* The configuration on a real system: its file, its environment, and the options that are made of it. */
#include <sealmq/config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/config_yaml/settings_yaml.h"
#include "app/settings.h"
#include "app/settings_table.h"
#include "base/text.h"
#include "base/wipe.h"

extern char **environ;

static smq_err say(smq_err err, const char **ret_why)
{
	if (ret_why && err != SMQ_OK)
		*ret_why = smq_config_why();
	return err;
}

static smq_err refuse(smq_err err, const char *path, const char *text, const char **ret_why)
{
	char shown[256];
	(void)smq_escape(smq_span_str(path), shown, sizeof(shown));
	(void)snprintf(smq_config_why(), SMQ_CONFIG_WHY_MAX, "%s: %s", shown, text);
	return say(err, ret_why);
}

static bool others_can_read(const struct stat *st)
{
	return (st->st_mode & (S_IRWXG | S_IRWXO)) != 0 || (st->st_uid != geteuid() && st->st_uid != 0);
}

smq_err smq_config_read_file(smq_config *config, const char *path, const char **ret_why)
{
	struct stat st;
	char *why = smq_config_why();
	(void)snprintf(why, SMQ_CONFIG_WHY_MAX, "%s", smq_err_text(SMQ_ERR_NO_MEMORY));
	smq_err err = smq_settings_yaml_load(path, config, why, SMQ_CONFIG_WHY_MAX);
	if (err != SMQ_OK)
		return say(err, ret_why);
	if (smq_config_file_holds_secret(config) && (stat(path, &st) != 0 || others_can_read(&st)))
		return refuse(SMQ_ERR_UNSAFE_FILE, path,
			      "holds a secret that others can read; chmod 600 it, or use broker.password_file",
			      ret_why);
	char *copy = strdup(path);
	if (!copy)
		return say(SMQ_ERR_NO_MEMORY, ret_why);
	smq_config_note_file(config, copy);
	return SMQ_OK;
}

static const char *variable(char *const *environment, const char *name)
{
	size_t len = strlen(name);
	for (; environment && *environment; environment++) {
		if (strncmp(*environment, name, len) == 0 && (*environment)[len] == '=')
			return *environment + len + 1;
	}
	return NULL;
}

smq_err smq_config_read_environment(smq_config *config, char *const *environment, const char **ret_why)
{
	const struct smq_config_key *key;
	char *const *from = environment ? environment : environ;
	for (size_t i = 0; (key = smq_config_key(i)); i++) {
		const char *value = key->env ? variable(from, key->env) : NULL;
		if (!value || !*value)
			continue;
		smq_err err = smq_config_set(config, key->name, value, SMQ_ORIGIN_ENVIRONMENT, key->env, ret_why);
		if (err != SMQ_OK)
			return err;
	}
	return SMQ_OK;
}

/* The file that applies if none is named: NULL with *ret_err SMQ_OK if there is none. */
static char *usual_file(bool *ret_must_exist)
{
	char *path = NULL;
	const char *named = getenv("SEALMQ_CONFIG");
	const char *config_home = getenv("XDG_CONFIG_HOME");
	const char *home = getenv("HOME");
	*ret_must_exist = named && *named;
	if (*ret_must_exist)
		return strdup(named);
	int n = config_home && *config_home ? asprintf(&path, "%s/sealmq/sealmq.yaml", config_home)
		: home && *home             ? asprintf(&path, "%s/.config/sealmq/sealmq.yaml", home)
					    : -1;
	if (n >= 0 && access(path, F_OK) != 0) {
		free(path);
		n = -1;
	}
	return n < 0 ? NULL : path;
}

static smq_err load_into(smq_config *config, const char *path, const char **ret_why)
{
	bool must_exist = false;
	char *usual = path ? NULL : usual_file(&must_exist);
	smq_err err = SMQ_OK;
	if (path || usual)
		err = smq_config_read_file(config, path ? path : usual, ret_why);
	free(usual);
	return err == SMQ_OK ? smq_config_read_environment(config, NULL, ret_why) : err;
}

smq_err smq_config_load(const char *path, smq_config **ret_config, const char **ret_why)
{
	smq_config *config;
	smq_err err = smq_config_new(&config, ret_why);
	if (err != SMQ_OK)
		return err;
	err = load_into(config, path, ret_why);
	if (err != SMQ_OK) {
		smq_config_free(config);
		return err;
	}
	*ret_config = config;
	return SMQ_OK;
}

/* ---- options for the client ---- */

enum { PASSWORD_MAX = 4096 };

static smq_err read_password_fd(int fd, const char *path, char **ret_password, const char **ret_why)
{
	char text[PASSWORD_MAX + 1];
	struct stat st;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return refuse(SMQ_ERR_IO, path, "not a file", ret_why);
	if (others_can_read(&st))
		return refuse(SMQ_ERR_UNSAFE_FILE, path, "others can read this secret; chmod 600 it", ret_why);
	ssize_t n = read(fd, text, sizeof(text));
	if (n < 0 || n == (ssize_t)sizeof(text)) {
		smq_wipe(text, sizeof(text));
		return refuse(n < 0 ? SMQ_ERR_IO : SMQ_ERR_TOO_LARGE, path,
			      n < 0 ? strerror(errno) : "longer than a password may be (4096 bytes)", ret_why);
	}
	char *password = calloc(1, (size_t)n + 1);
	if (password) {
		memcpy(password, text, (size_t)n);
		password[strcspn(password, "\r\n")] = 0;
		*ret_password = password;
	}
	smq_wipe(text, sizeof(text));
	return password ? SMQ_OK : SMQ_ERR_NO_MEMORY;
}

/* The first line of a file that nobody else can read. */
static smq_err read_password(const char *path, char **ret_password, const char **ret_why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		smq_err err = errno == ENOENT ? SMQ_ERR_NOT_FOUND : errno == EACCES ? SMQ_ERR_PERMISSION : SMQ_ERR_IO;
		return refuse(err, path, strerror(errno), ret_why);
	}
	smq_err err = read_password_fd(fd, path, ret_password, ret_why);
	(void)close(fd);
	return err;
}

static smq_err lend_secret(const char *file, char **lent, const char **ret_secret, const char **ret_why)
{
	char *secret = NULL;
	if (!file)
		return SMQ_OK;
	smq_err err = read_password(file, &secret, ret_why);
	if (err != SMQ_OK)
		return err;
	if (*lent)
		smq_wipe(*lent, strlen(*lent));
	free(*lent);
	*lent = secret;
	*ret_secret = secret;
	return SMQ_OK;
}

static int protocol_number(const char *word)
{
	return strstr(word, "311") || strcmp(word, "3.1.1") == 0 ? 4 : strchr(word, '5') ? 5 : 3;
}

static smq_err lend_peers(const struct smq_settings *s, struct smq_config_lent *lent, struct smq_client_options *o)
{
	const char **peers = calloc(s->peers.to.count + s->peers.from.count + 1, sizeof(*peers));
	if (!peers)
		return SMQ_ERR_NO_MEMORY;
	size_t count = 0;
	for (size_t i = 0; i < s->peers.to.count; i++)
		peers[count++] = s->peers.to.items[i];
	for (size_t i = 0; i < s->peers.from.count; i++)
		peers[count++] = s->peers.from.items[i];
	free(lent->peers);
	lent->peers = peers;
	o->peers = peers;
	o->peer_count = count;
	return SMQ_OK;
}

static smq_err lend_suites(const struct smq_settings *s, struct smq_config_lent *lent, struct smq_client_options *o)
{
	int *suites = calloc(s->keyex.suites.count + 1, sizeof(*suites));
	if (!suites)
		return SMQ_ERR_NO_MEMORY;
	for (size_t i = 0; i < s->keyex.suites.count; i++)
		suites[i] = atoi(s->keyex.suites.items[i]); /* the table knows digits only */
	free(lent->suites);
	lent->suites = suites;
	o->suites = s->keyex.suites.count ? suites : NULL;
	o->suite_count = s->keyex.suites.count;
	return SMQ_OK;
}

static void broker_options(const struct smq_settings *s, struct smq_client_options *o)
{
	o->host = s->broker.host;
	o->port = (int)s->broker.port;
	o->bind_address = s->broker.bind_address;
	o->socks5 = s->broker.socks5;
	o->keepalive_s = (int)((s->broker.keepalive_ms + 999) / 1000);
	o->protocol = protocol_number(s->broker.protocol);
	o->client_id = s->broker.client_id;
	o->username = s->broker.username;
	o->password = s->broker.password;
	o->tls = s->broker.tls;
	o->clean_start = s->broker.clean_start;
	o->session_expiry_s = (uint32_t)((s->broker.session_expiry_ms + 999) / 1000);
	o->inflight_max = (int)s->broker.inflight_max;
	o->control_at_qos0 = s->broker.control_qos == 0;
	o->backoff_min_ms = (int)s->broker.backoff_min_ms;
	o->backoff_max_ms = (int)s->broker.backoff_max_ms;
	o->connect_timeout_ms = (int)s->broker.connect_timeout_ms;
}

static void sealing_options(const struct smq_settings *s, struct smq_client_options *o)
{
	o->algorithm = s->algorithm;
	o->any_peer = s->peers.any;
	o->groups = s->groups.count ? s->groups.items : NULL;
	o->group_count = s->groups.count;
	o->keyex_topic = s->keyex.topic;
	o->rotate_every_ms = (uint32_t)s->keyex.rotate_every_ms;
	o->rotate_messages = (uint64_t)s->keyex.rotate_messages;
	o->grace_ms = (uint32_t)s->keyex.grace_ms;
	o->method = (int)s->keyex.method;
	o->stamp = s->stamp;
	o->cose = s->cose;
	o->keep_boot_id = s->keep_boot_id;
	o->keyserver = s->keyserver.name;
	o->group_lease_ms = s->keyserver.lease_ms;
	o->leave_on_exit = s->keyserver.leave;
	o->sender_topic = s->sender_topic;
	if (s->proof.sign)
		o->sign = strcmp(s->proof.sign, "every") == 0 ? SMQ_SIGN_EVERY : SMQ_SIGN_CHECKPOINT;
	o->checkpoint_messages = (size_t)s->proof.checkpoint_messages;
	o->checkpoint_every_ms = (uint32_t)s->proof.checkpoint_every_ms;
	o->check = s->proof.require ? SMQ_CHECK_REQUIRE : s->proof.check ? SMQ_CHECK_PROOF : SMQ_CHECK_NONE;
	o->outbox_file = s->outbox;
	o->queue_max = (size_t)s->queue_max;
}

smq_err smq_config_client_options(smq_config *config, struct smq_client_options *ret_options, const char **ret_why)
{
	struct smq_client_options o = { 0 };
	const struct smq_settings *s = smq_config_settings(config);
	struct smq_config_lent *lent = smq_config_lent(config);
	smq_err err = smq_config_check(config, ret_why);
	if (err != SMQ_OK)
		return err;
	broker_options(s, &o);
	sealing_options(s, &o);
	o.accept_algorithms = smq_config_raw(config, smq_settings_find("accept_algorithms"));
	err = lend_peers(s, lent, &o);
	if (err == SMQ_OK)
		err = lend_suites(s, lent, &o);
	if (err != SMQ_OK)
		return refuse(err, "configuration", smq_err_text(err), ret_why);
	err = lend_secret(s->broker.password_file, &lent->password, &o.password, ret_why);
	if (err == SMQ_OK)
		err = lend_secret(s->broker.psk_file, &lent->psk, &o.tls.psk, ret_why);
	if (err != SMQ_OK)
		return err;
	*ret_options = o;
	return SMQ_OK;
}

void smq_config_source_options(const smq_config *config, struct smq_source_options *ret_options)
{
	const struct smq_settings *s = smq_config_settings(config);
	struct smq_source_options o;
	smq_source_options_init(&o);
	o.columns = s->source.columns.items;
	o.column_count = s->source.columns.count;
	o.limit = (uint64_t)s->source.limit;
	o.sample = s->source.sample;
	o.every = (uint64_t)s->source.every;
	o.loop = s->source.loop;
	o.seed = (uint64_t)s->source.seed;
	o.interval_ms = s->source.interval_ms;
	o.rate = s->source.rate;
	o.fatal = strcmp(s->source.on_error, "fatal") == 0;
	*ret_options = o;
}
