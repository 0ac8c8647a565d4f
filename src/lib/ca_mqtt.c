/*
 * The enrolment server over MQTT: requests in, answers out, and the authority's revocation lists kept retained.
 *
 * Whoever may publish at the broker may ask; so many requests a second are looked at, and the rest must come again,
 * which devices do.
 */
#include <sealmq/enrol.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "lib/ca_crl.h"
#include "lib/ca_desk.h"
#include "lib/ca_key.h"
#include "lib/crl_line.h"
#include "lib/enrol_topics.h"
#include "lib/line.h"

enum { LOOK_EVERY_MS = 2000, PER_SECOND = 20, AT_ONCE = 200, INFLIGHT = 64 };

struct smq_ca_mqtt {
	struct smq_ca_desk desk;
	char dir[SMQ_PATH_MAX], passphrase_file[SMQ_PATH_MAX];
	char prefix[256], request_topic[SMQ_ENROL_TOPIC_MAX], crl_topic[SMQ_CRL_TOPIC_MAX];
	struct smq_line line;
	struct stat crl_seen; /* of the lists that were published last; all zero: none yet */
	int64_t look_ms;
	int64_t credit_ms; /* mono: one request costs 1 s / PER_SECOND of it */
	int subscription;
	uint8_t answer[SMQ_ENROL_ANSWER_MAX];
};

static void tell(const struct smq_ca_mqtt *s, const char *operation, smq_err err)
{
	struct smq_ca_server_event e = { .operation = operation, .name = "", .err = err, .why = "", .own = true };
	if (s->desk.on_event)
		s->desk.on_event(s->desk.self, &e);
}

static smq_err publish(struct smq_ca_mqtt *s, const char *topic, smq_span payload, bool retain)
{
	struct smq_mqtt_message m = { .topic = topic, .payload = payload, .qos = 1, .retain = retain };
	int id = 0;
	return s->line.transport->ops->publish(s->line.transport, &m, &id);
}

/* ---- revocation lists ---- */

/* As at a client: by inode, size and time of the file. */
static bool lists_changed(struct smq_ca_mqtt *s)
{
	char path[SMQ_PATH_MAX];
	struct stat is;
	if (smq_path_join(s->dir, "crl.pem", path) != SMQ_OK || stat(path, &is) != 0)
		return false;
	const struct stat *was = &s->crl_seen;
	if (is.st_ino == was->st_ino && is.st_size == was->st_size && is.st_mtim.tv_sec == was->st_mtim.tv_sec &&
	    is.st_mtim.tv_nsec == was->st_mtim.tv_nsec)
		return false;
	s->crl_seen = is;
	return true;
}

static void look_at_lists(struct smq_ca_mqtt *s, int64_t now_ms)
{
	struct smq_pem bundle = { NULL, 0 };
	if (now_ms < s->look_ms || !s->line.transport->ops->connected(s->line.transport))
		return;
	s->look_ms = now_ms + LOOK_EVERY_MS;
	if (!lists_changed(s))
		return;
	smq_err err = smq_ca_crl_bundle(s->dir, &bundle);
	if (err == SMQ_OK)
		err = publish(s, s->crl_topic, smq_span_of(bundle.p, bundle.len), true);
	if (err != SMQ_OK)
		memset(&s->crl_seen, 0, sizeof(s->crl_seen));
	tell(s, "crl", err);
	smq_pem_free(&bundle);
}

/* ---- requests ---- */

static bool affordable(struct smq_ca_mqtt *s, int64_t now_ms)
{
	int64_t least = now_ms - (int64_t)AT_ONCE * 1000 / PER_SECOND;
	s->credit_ms = s->credit_ms > least ? s->credit_ms : least;
	if (s->credit_ms > now_ms)
		return false;
	s->credit_ms += 1000 / PER_SECOND;
	return true;
}

static void on_message(void *self, const struct smq_mqtt_message *m)
{
	struct smq_ca_mqtt *s = self;
	char topic[SMQ_ENROL_TOPIC_MAX];
	char hex[2 * SMQ_HASH_LEN + 1];
	uint8_t hash[SMQ_HASH_LEN];
	size_t len = 0;
	if (m->retain || strcmp(m->topic, s->request_topic) != 0 || m->payload.len > SMQ_ENROL_REQUEST_MAX ||
	    !affordable(s, smq_line_clock.now().mono_ms))
		return;
	if (smq_crypto_openssl()->sha256(&m->payload, 1, hash) != SMQ_OK ||
	    smq_hex_encode(smq_span_of(hash, sizeof(hash)), hex, sizeof(hex)) != SMQ_OK ||
	    smq_enrol_answer_topic(s->prefix, hex, topic) != SMQ_OK)
		return;
	smq_ca_desk_answer(&s->desk, m->payload, hash, smq_mspan_of(s->answer, sizeof(s->answer)), &len);
	if (len > 0) /* what does not go out now is asked for again, and is there */
		(void)!publish(s, topic, smq_span_of(s->answer, len), false);
}

/* ---- the connection ---- */

static void on_connected(void *self, int reason, bool session_present)
{
	struct smq_ca_mqtt *s = self;
	(void)session_present;
	if (reason != 0)
		return;
	(void)!s->line.transport->ops->subscribe(s->line.transport, s->request_topic, 1, NULL, 0, &s->subscription);
	/* the broker may have lost what was retained */
	memset(&s->crl_seen, 0, sizeof(s->crl_seen));
	s->look_ms = 0;
}

static void on_subscribed(void *self, int id, const int *reasons, size_t count)
{
	const struct smq_ca_mqtt *s = self;
	if (id == s->subscription)
		tell(s, "connected", count > 0 && reasons[0] >= 128 ? SMQ_ERR_NOT_AUTHORIZED : SMQ_OK);
}

static void on_disconnected(void *self, smq_err err, int reason)
{
	(void)reason;
	tell(self, "disconnected", err);
}

static void on_published(void *self, int id, int reason)
{
	(void)id;
	if (reason >= 128)
		tell(self, "publish", SMQ_ERR_NOT_AUTHORIZED);
}

static void tick(void *self) { look_at_lists(self, smq_line_clock.now().mono_ms); }

static int64_t wake_at(void *self)
{
	const struct smq_ca_mqtt *s = self;
	return s->line.transport->ops->connected(s->line.transport) ? s->look_ms : INT64_MAX;
}

/* ---- setting up ---- */

/* The authority must open, and its key too, before anybody is told that there is a server. */
static smq_err open_authority(struct smq_ca_mqtt *s)
{
	struct smq_ca_dir ca;
	struct smq_ca_issuer *issuer = NULL;
	smq_err err = smq_ca_dir_open(s->dir, &ca);
	if (err == SMQ_OK)
		err = smq_ca_key_open_issuer(&ca, s->desk.passphrase_file, &issuer);
	if (err == SMQ_OK)
		(void)snprintf(s->prefix, sizeof(s->prefix), "%s", ca.settings.control_prefix);
	smq_ca_issuer_free(issuer);
	smq_ca_dir_close(&ca);
	if (err == SMQ_OK)
		err = smq_enrol_request_topic(s->prefix, s->request_topic);
	return err == SMQ_OK ? smq_crl_topic(s->prefix, s->crl_topic) : err;
}

static smq_err connect_line(struct smq_ca_mqtt *s, const struct smq_client_options *broker)
{
	const struct smq_transport_events events = { .self = s,
						     .connected = on_connected,
						     .disconnected = on_disconnected,
						     .message = on_message,
						     .published = on_published,
						     .subscribed = on_subscribed };
	struct smq_client_options options = *broker;
	const char *why = "";
	options.inflight_max = INFLIGHT;
	s->line.self = s;
	s->line.tick = tick;
	s->line.wake_at = wake_at;
	smq_err err = smq_line_open(&s->line, &options, &events, &why);
	return err == SMQ_OK ? err : smq_ca_because(err, "%s", why && *why ? why : smq_err_text(err));
}

static smq_err start(struct smq_ca_mqtt *s, const struct smq_ca_mqtt_options *o)
{
	if (snprintf(s->dir, sizeof(s->dir), "%s", o->dir) >= (int)sizeof(s->dir) ||
	    snprintf(s->passphrase_file, sizeof(s->passphrase_file), "%s",
		     o->passphrase_file ? o->passphrase_file : "") >= (int)sizeof(s->passphrase_file))
		return SMQ_ERR_TOO_LARGE;
	s->desk = (struct smq_ca_desk){ .dir = s->dir,
					.passphrase_file = o->passphrase_file ? s->passphrase_file : NULL,
					.on_event = o->on_event,
					.self = o->self };
	s->subscription = -1;
	smq_err err = open_authority(s);
	return err == SMQ_OK ? connect_line(s, o->broker) : err;
}

smq_err smq_ca_mqtt_new(const struct smq_ca_mqtt_options *options, struct smq_ca_mqtt **ret_server,
			const char **ret_why)
{
	struct smq_ca_mqtt *s = calloc(1, sizeof(*s));
	smq_ca_begin(ret_why);
	if (!s)
		return smq_ca_finish(SMQ_ERR_NO_MEMORY);
	smq_err err = start(s, options);
	if (err == SMQ_OK)
		*ret_server = s;
	else
		smq_ca_mqtt_free(s);
	return smq_ca_finish(err);
}

smq_err smq_ca_mqtt_confine(const struct smq_ca_mqtt *s, struct smq_confined *ret_how)
{
	bool in_token = false;
	smq_err err = smq_ca_key_in_token(s->dir, &in_token);
	if (err != SMQ_OK)
		return err;
	smq_needs *n = smq_needs_new("enrolment");
	smq_client_needs(&s->line.options, n);
	smq_needs_write(n, s->dir);
	smq_needs_directory(n, s->desk.passphrase_file);
	if (in_token)
		smq_needs_foreign(n);
	err = smq_needs_confine(n, ret_how);
	smq_needs_free(n);
	return err;
}

void smq_ca_mqtt_run(struct smq_ca_mqtt *s, int timeout_ms) { smq_line_run(&s->line, NULL, timeout_ms); }

void smq_ca_mqtt_stop(struct smq_ca_mqtt *s) { smq_line_stop(&s->line); }

void smq_ca_mqtt_free(struct smq_ca_mqtt *s)
{
	if (!s)
		return;
	smq_line_close(&s->line);
	free(s);
}
