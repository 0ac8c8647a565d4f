/* Settings as a whole: defaults, what follows from them, what contradicts itself, and the client's options. */
#include "cli/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sealmq/text.h>

#include "cli/mem.h"

/* ---- lists and kept texts ---- */

void list_add(struct list *list, const char *item)
{
	if (list->count == list->room) {
		list->room = list->room ? 2 * list->room : 8;
		list->items = mem_array(list->items, list->room, sizeof list->items[0]);
	}
	list->items[list->count++] = item;
}

const char *settings_keep(struct settings *s, const char *text, size_t len)
{
	char *copy = mem_copy(text, len);
	list_add(&s->owned, copy);
	return copy;
}

void settings_init(struct settings *s)
{
	*s = (struct settings){ .keepalive = 60,
				.protocol = 5,
				.max_inflight = 20,
				.control_qos = 1,
				.repeat = 1,
				.random_filter = 100,
				.rotate_every_s = 300,
				.rotate_messages = 1 << 24,
				.grace_s = 10,
				.wait_s = 30,
				.seed = -1,
				.clean_start = true };
}

void settings_done(struct settings *s)
{
	struct list *const lists[] = { &s->topics, &s->filter_out, &s->unsubscribe, &s->to,
				       &s->from,   &s->groups,     &s->columns };
	for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
		free(lists[i]->items);
	for (size_t i = 0; i < s->owned.count; i++) {
		char *text = (char *)(uintptr_t)s->owned.items[i];
		mem_wipe(text, strlen(text));
		free(text);
	}
	free(s->owned.items);
	free(s->properties.items);
	*s = (struct settings){ 0 };
}

/* ---- what was given in another form ---- */

static const char *keep_part(struct settings *s, const char *start, const char *end)
{
	return settings_keep(s, start, (size_t)(end - start));
}

static bool read_url_port(struct settings *s, const char *start, const char *end, const char **ret_why)
{
	char *stop;
	long port = strtol(start, &stop, 10);
	if (stop != end || start == end || *start < '0' || *start > '9' || port < 1 || port > 65535) {
		*ret_why = "-L: the port is not a number from 1 to 65535";
		return false;
	}
	if (!s->port)
		s->port = port;
	return true;
}

/* [user[:password]@]host[:port], the host of IPv6 in brackets */
static bool read_url_authority(struct settings *s, const char *start, const char *end, const char **ret_why)
{
	const char *at = memrchr(start, '@', (size_t)(end - start));
	if (at) {
		const char *colon = memchr(start, ':', (size_t)(at - start));
		s->username = keep_part(s, start, colon ? colon : at);
		if (colon)
			s->password = keep_part(s, colon + 1, at);
		start = at + 1;
	}
	const char *host_end = end, *colon = memchr(start, ':', (size_t)(end - start));
	if (*start == '[') {
		const char *close = memchr(start, ']', (size_t)(end - start));
		if (!close || (close + 1 != end && close[1] != ':')) {
			*ret_why = "-L: the address after '[' does not end with ']'";
			return false;
		}
		start++;
		host_end = close;
		colon = close + 1 != end ? close + 1 : NULL;
	} else if (colon) {
		host_end = colon;
	}
	if (host_end == start) {
		*ret_why = "-L: no host in the URL";
		return false;
	}
	s->host = keep_part(s, start, host_end);
	return !colon || read_url_port(s, colon + 1, end, ret_why);
}

static bool read_url(struct settings *s, const char **ret_why)
{
	const char *at = s->url;
	bool tls = strncasecmp(at, "mqtts://", 8) == 0;
	if (!tls && strncasecmp(at, "mqtt://", 7) != 0) {
		*ret_why = "-L: the URL begins with mqtt:// or mqtts://";
		return false;
	}
	at += tls ? 8 : 7;
	const char *slash = strchr(at, '/');
	if (!slash || !slash[1]) {
		*ret_why = "-L: no topic in the URL: mqtt(s)://[user[:password]@]host[:port]/topic";
		return false;
	}
	if (!read_url_authority(s, at, slash, ret_why))
		return false;
	list_add(&s->topics, settings_keep(s, slash + 1, strlen(slash + 1)));
	if (tls && !s->cafile && !s->capath && !s->psk)
		s->os_certs = true;
	return true;
}

static bool secret_failed(struct settings *s, const char *option, const char *file, const char *what,
			  const char **ret_why)
{
	char name[120], text[320];
	smq_escape(smq_span_str(file), name, sizeof name);
	int len = snprintf(text, sizeof text, "%s '%s': %s", option, name, what);
	*ret_why = settings_keep(s, text, (size_t)len);
	return false;
}

/* The first line of a file. */
static bool read_secret(struct settings *s, const char *option, const char *file, const char **ret_secret,
			const char **ret_why)
{
	char line[65536 + 2];
	struct stat about;
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return secret_failed(s, option, file, strerror(errno), ret_why);
	bool shared = fstat(fd, &about) == 0 && S_ISREG(about.st_mode) && (about.st_mode & (S_IRGRP | S_IROTH));
	ssize_t len = read(fd, line, sizeof line - 1);
	close(fd);
	if (len < 0)
		return secret_failed(s, option, file, strerror(errno), ret_why);
	line[len] = 0;
	line[strcspn(line, "\r\n")] = 0;
	if (strlen(line) > 65535)
		return secret_failed(s, option, file, "the first line is longer than 65535 bytes", ret_why);
	*ret_secret = settings_keep(s, line, strlen(line));
	mem_wipe(line, sizeof line);
	if (shared && !s->quiet)
		fprintf(stderr, "sealmq: warning: the %s file can be read by others (chmod 600)\n", option + 2);
	return true;
}

static bool read_session_expiry(struct settings *s, const char **ret_why)
{
	const char *text = s->session_expiry;
	char *end;
	if (s->persistent) {
		s->clean_start = false;
		s->session_expiry_s = UINT32_MAX;
	}
	if (!text)
		return true;
	if (strcmp(text, "-1") == 0 || strcmp(text, "\xe2\x88\x9e") == 0) {
		s->session_expiry_s = UINT32_MAX;
		return true;
	}
	errno = 0;
	unsigned long long seconds = strtoull(text, &end, 10);
	if (errno || *end || end == text || text[0] == '-' || text[0] == '+' || seconds > UINT32_MAX) {
		*ret_why = "-x (--session-expiry): not a number of seconds from 0 to 4294967295, or -1";
		return false;
	}
	s->session_expiry_s = (uint32_t)seconds;
	return true;
}

/* ---- what belongs together ---- */

struct rule {
	bool broken;
	const char *why;
};

static bool all_hold(const struct rule *rules, size_t count, const char **ret_why)
{
	for (size_t i = 0; i < count; i++) {
		if (rules[i].broken) {
			*ret_why = rules[i].why;
			return false;
		}
	}
	return true;
}

static bool check_broker(const struct settings *s, const char **ret_why)
{
	bool tls = s->cafile || s->capath || s->os_certs || s->tls_by_realm;
	const struct rule rules[] = {
		{ s->id && s->id_prefix, "-i and -I cannot be used together" },
		{ s->persistent && !s->id && !s->id_prefix, "-c needs a client id: -i ID" },
		{ s->session_expiry_s == UINT32_MAX && !s->id && !s->id_prefix,
		  "a session that never expires needs a client id: -i ID" },
		{ s->password && !s->username && s->protocol != 5, "a password needs a user name, too: -u NAME" },
		{ s->unix_path && (s->url || s->srv || s->proxy),
		  "--unix cannot be used together with -L, -S or --proxy" },
		{ !s->cert != !s->key, "--cert and --key go together" },
		{ s->cert && !tls,
		  "--cert needs to know whom to trust: --tls, --cafile, --capath or --tls-use-os-certs" },
		{ s->insecure && !tls,
		  "--insecure makes no sense without TLS (--tls, --cafile, --capath, --tls-use-os-certs)" },
		{ tls && s->psk,
		  "certificates (--tls, --cafile, --capath, --tls-use-os-certs) and --psk exclude each other" },
		{ !s->psk != !s->psk_identity, "--psk (or --psk-file) and --psk-identity go together" },
		{ s->will_payload && !s->will_topic, "--will-payload needs --will-topic" },
		{ s->will_retain && !s->will_topic, "--will-retain needs --will-topic" },
		{ s->will_topic && !smq_topic_valid(smq_span_str(s->will_topic)),
		  "--will-topic: not a topic that can be published to (no '+' and '#', not empty, UTF-8)" },
		{ s->properties.count > 0 && s->protocol != 5, "-D needs MQTT 5: leave out -V" },
		{ s->method != 0 && s->method != 3, "--method: 0 or 3" },
	};
	return all_hold(rules, sizeof rules / sizeof rules[0], ret_why);
}

static bool names_valid(const struct list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		if (!smq_name_valid(smq_span_str(list->items[i])))
			return false;
	}
	return true;
}

static bool check_pub(const struct settings *s, const char **ret_why)
{
	const char *topic = s->topics.count ? s->topics.items[s->topics.count - 1] : NULL;
	bool pace = s->interval_s > 0 || s->rate > 0;
	bool telemetry =
	    pace || s->columns.count || s->limit || s->sample > 0 || s->loop || s->seed >= 0 || s->on_error;
	const struct rule rules[] = {
		{ !topic && !(s->outbox && s->mode == MESSAGE_NONE), "no topic: -t TOPIC" },
		{ s->mode == MESSAGE_NONE && !s->outbox, "no message: -m TEXT, -f FILE, -l, -s, -n or --source SPEC" },
		{ topic && !smq_topic_valid(smq_span_str(topic)),
		  "-t: not a topic that can be published to (no '+' and '#', not empty, UTF-8)" },
		{ s->mode == MESSAGE_TEXT && strlen(s->message) > MESSAGE_LEN_MAX, "-m: longer than MQTT can carry" },
		{ s->repeat > 1 && (s->mode == MESSAGE_LINES || s->mode == MESSAGE_SOURCE),
		  "--repeat goes with -m, -f, -s and -n only" },
		{ telemetry && !s->source_configured && s->mode != MESSAGE_SOURCE &&
		      !(pace && s->mode == MESSAGE_LINES),
		  "--interval, --rate, --columns, --limit, --sample, --loop, --seed and --on-error go with --source" },
		{ s->interval_s > 0 && s->rate > 0, "--interval and --rate say the same thing: give one" },
		{ s->sample > 1 && s->sample != (double)(int64_t)s->sample,
		  "--sample: a fraction up to 1, or a whole number N for every N-th" },
		{ s->outbox && s->qos == 0, "--outbox keeps messages of QoS 1 and 2: add -q 1" },
		{ s->plain && (s->to.count || s->groups.count), "--plain contradicts --to and --group" },
		{ s->keep_boot_id && s->to.count,
		  "--keep-boot-id is for --group: the keys of --to are drawn anew at every start" },
		{ !names_valid(&s->to), "--to: a member's name is 1 to 64 letters, digits, '-' and '_'" },
		{ !names_valid(&s->groups), "--group: a group's name is 1 to 64 letters, digits, '-' and '_'" },
	};
	return all_hold(rules, sizeof rules / sizeof rules[0], ret_why);
}

static bool filters_valid(const struct list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		if (!smq_topic_filter_valid(smq_span_str(list->items[i])))
			return false;
	}
	return true;
}

static bool check_sub(const struct settings *s, const char **ret_why)
{
	const struct rule rules[] = {
		{ s->topics.count == 0 && !s->topicless, "no topic: -t FILTER" },
		{ !filters_valid(&s->topics), "-t: not a topic filter ('+' stands for a whole level, '#' comes last)" },
		{ !filters_valid(&s->filter_out),
		  "-T: not a topic filter ('+' stands for a whole level, '#' comes last)" },
		{ !filters_valid(&s->unsubscribe),
		  "-U: not a topic filter ('+' stands for a whole level, '#' comes last)" },
		{ s->no_retained && s->retained_only, "-R and --retained-only together let nothing through" },
		{ s->retain_as_published && s->protocol != 5, "--retain-as-published needs MQTT 5" },
		{ !names_valid(&s->from), "--from: a member's name is 1 to 64 letters, digits, '-' and '_'" },
		{ !names_valid(&s->groups), "--group: a group's name is 1 to 64 letters, digits, '-' and '_'" },
	};
	return all_hold(rules, sizeof rules / sizeof rules[0], ret_why);
}

/* Named here, with the reason: a TLS library tells neither. */
static bool check_files(struct settings *s, const char **ret_why)
{
	const struct {
		const char *option, *path;
	} files[] = { { "--cafile", s->cafile },
		      { "--capath", s->capath },
		      { "--cert", s->cert },
		      { "--key", s->keyform && strcasecmp(s->keyform, "engine") == 0 ? NULL : s->key } };
	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
		char name[120], text[320];
		if (!files[i].path || access(files[i].path, R_OK) == 0)
			continue;
		int error = errno;
		smq_escape(smq_span_str(files[i].path), name, sizeof name);
		int len = snprintf(text, sizeof text, "%s '%s': %s", files[i].option, name, strerror(error));
		*ret_why = settings_keep(s, text, (size_t)len);
		return false;
	}
	return true;
}

static void make_id(struct settings *s)
{
	char id[32];
	if (!s->id_prefix)
		return;
	int len = snprintf(id, sizeof id, "%ld", (long)getpid());
	char *whole = mem_array(NULL, strlen(s->id_prefix) + (size_t)len + 1, 1);
	strcpy(whole, s->id_prefix);
	strcat(whole, id);
	list_add(&s->owned, whole);
	s->id = whole;
}

bool settings_finish(struct settings *s, bool publishing, const char **ret_why)
{
	/* A recipient that the configuration names gives way to what this call says. */
	if (s->to.level == 0 && (s->plain || s->groups.level > 0))
		s->to.count = 0;
	if (s->url && !read_url(s, ret_why))
		return false;
	if (s->password_file && !read_secret(s, "--password-file", s->password_file, &s->password, ret_why))
		return false;
	if (s->psk_file && s->psk) {
		*ret_why = "--psk and --psk-file: one of them";
		return false;
	}
	if (s->psk_file && !read_secret(s, "--psk-file", s->psk_file, &s->psk, ret_why))
		return false;
	if (!read_session_expiry(s, ret_why) || !check_broker(s, ret_why))
		return false;
	if (!(publishing ? check_pub(s, ret_why) : check_sub(s, ret_why)))
		return false;
	if (!check_files(s, ret_why))
		return false;
	make_id(s);
	return true;
}

/* ---- for the client ---- */

static uint32_t ms_of(double seconds)
{
	double ms = seconds * 1000 + 0.5;
	return ms >= UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

static void fill_broker(const struct settings *s, struct smq_client_options *o)
{
	if (s->host)
		o->host = s->host;
	if (s->unix_path)
		o->host = s->unix_path;
	o->port = (int)s->port;
	o->bind_address = s->bind;
	o->srv_lookup = s->srv;
	o->socks5 = s->proxy;
	o->keepalive_s = (int)s->keepalive;
	o->protocol = (int)s->protocol;
	o->client_id = s->id;
	o->username = s->username;
	o->password = s->password;
	o->clean_start = s->clean_start;
	o->session_expiry_s = s->session_expiry_s;
	o->inflight_max = s->max_inflight ? (int)s->max_inflight : 65535;
	o->control_at_qos0 = s->control_qos == 0;
	o->properties = s->properties.items;
	o->property_count = s->properties.count;
}

static void fill_tls(const struct settings *s, struct smq_tls_options *tls)
{
	tls->ca_file = s->cafile;
	tls->ca_dir = s->capath;
	tls->cert_file = s->cert;
	tls->key_file = s->key;
	tls->ciphers = s->ciphers;
	if (s->tls_version)
		tls->version = s->tls_version;
	tls->alpn = s->alpn;
	tls->psk = s->psk;
	tls->psk_identity = s->psk_identity;
	tls->key_form = s->keyform;
	tls->engine = s->engine;
	tls->engine_pin_sha1 = s->engine_pin;
	tls->os_certs = s->os_certs;
	tls->by_realm = s->tls_by_realm;
	tls->insecure_no_hostname = s->insecure;
}

static void fill_sealing(const struct settings *s, bool publishing, struct smq_client_options *o)
{
	const struct list *peers = publishing ? &s->to : &s->from;
	o->plain = s->plain;
	o->sender_topic = s->sender_topic;
	o->algorithm = s->algorithm;
	o->peers = peers->items;
	o->peer_count = peers->count;
	o->only_publishes = publishing;
	o->only_subscribes = !publishing;
	o->any_peer = !publishing && s->from.count == 0;
	o->groups = s->groups.items;
	o->group_count = s->groups.count;
	o->find_groups = !publishing && !s->plain && s->groups.count + s->from.count == 0;
	/* whoever publishes to nobody in particular publishes to a group */
	o->only_groups = !s->plain && peers->count == 0 && (publishing || s->groups.count > 0);
	o->keyex_topic = s->keyex_topic;
	o->rotate_every_ms = ms_of(s->rotate_every_s);
	o->rotate_messages = (uint64_t)s->rotate_messages;
	o->grace_ms = ms_of(s->grace_s);
	o->method = (int)s->method;
	o->stamp = s->stamp;
	o->cose = s->cose;
	o->keep_boot_id = s->keep_boot_id;
	o->keyserver = s->keyserver;
	o->group_lease_ms = (int64_t)(s->lease_s * 1000);
	o->leave_on_exit = s->leave;
	o->outbox_file = s->outbox;
	if (s->sign)
		o->sign = strcmp(s->sign, "every") == 0 ? SMQ_SIGN_EVERY : SMQ_SIGN_CHECKPOINT;
	o->checkpoint_messages = (size_t)s->checkpoint_messages;
	o->checkpoint_every_ms = ms_of(s->checkpoint_every_s);
	o->check = s->require_proof ? SMQ_CHECK_REQUIRE : s->check_proof ? SMQ_CHECK_PROOF : SMQ_CHECK_NONE;
}

struct smq_client_options settings_client(const struct settings *s, bool publishing, struct smq_mqtt_message *will)
{
	struct smq_client_options o;
	smq_client_options_init(&o);
	fill_broker(s, &o);
	fill_tls(s, &o.tls);
	fill_sealing(s, publishing, &o);
	if (s->will_topic) {
		*will = (struct smq_mqtt_message){ .topic = s->will_topic,
						   .payload = smq_span_str(s->will_payload),
						   .qos = (int)s->will_qos,
						   .retain = s->will_retain };
		o.will = will;
		o.will_group = s->groups.count > 0 ? s->groups.items[0] : NULL;
	}
	return o;
}
