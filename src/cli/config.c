/* From the keys of sealmq.yaml to the fields of the settings. */
#include "cli/config.h"

#include <stddef.h>
#include <string.h>

enum kind { KIND_TEXT, KIND_INT, KIND_FLAG, KIND_SECONDS, KIND_WHOLE_SECONDS, KIND_DECIMAL, KIND_NAMES, KIND_NAME };

enum { PUB = 1, SUB = 2, BOTH = 3 };

#define FROM(field) offsetof(struct smq_settings, field)
#define TO(field) offsetof(struct settings, field)

static const struct row {
	const char *key;
	enum kind kind;
	unsigned users;
	size_t from, to;
} rows[] = {
	{ "realm", KIND_TEXT, BOTH, FROM(realm), TO(realm) },
	{ "broker.host", KIND_TEXT, BOTH, FROM(broker.host), TO(host) },
	{ "broker.port", KIND_INT, BOTH, FROM(broker.port), TO(port) },
	{ "broker.keepalive", KIND_WHOLE_SECONDS, BOTH, FROM(broker.keepalive_ms), TO(keepalive) },
	{ "broker.client_id", KIND_TEXT, BOTH, FROM(broker.client_id), TO(id) },
	{ "broker.username", KIND_TEXT, BOTH, FROM(broker.username), TO(username) },
	{ "broker.password", KIND_TEXT, BOTH, FROM(broker.password), TO(password) },
	{ "broker.password_file", KIND_TEXT, BOTH, FROM(broker.password_file), TO(password_file) },
	{ "broker.bind_address", KIND_TEXT, BOTH, FROM(broker.bind_address), TO(bind) },
	{ "broker.inflight_max", KIND_INT, BOTH, FROM(broker.inflight_max), TO(max_inflight) },
	{ "broker.control_qos", KIND_INT, BOTH, FROM(broker.control_qos), TO(control_qos) },
	{ "broker.tls.by_realm", KIND_FLAG, BOTH, FROM(broker.tls.by_realm), TO(tls_by_realm) },
	{ "broker.tls.ca_file", KIND_TEXT, BOTH, FROM(broker.tls.ca_file), TO(cafile) },
	{ "broker.tls.ca_dir", KIND_TEXT, BOTH, FROM(broker.tls.ca_dir), TO(capath) },
	{ "broker.tls.os_certs", KIND_FLAG, BOTH, FROM(broker.tls.os_certs), TO(os_certs) },
	{ "broker.tls.cert_file", KIND_TEXT, BOTH, FROM(broker.tls.cert_file), TO(cert) },
	{ "broker.tls.key_file", KIND_TEXT, BOTH, FROM(broker.tls.key_file), TO(key) },
	{ "broker.tls.version", KIND_TEXT, BOTH, FROM(broker.tls.version), TO(tls_version) },
	{ "broker.tls.ciphers", KIND_TEXT, BOTH, FROM(broker.tls.ciphers), TO(ciphers) },
	{ "broker.tls.alpn", KIND_TEXT, BOTH, FROM(broker.tls.alpn), TO(alpn) },
	{ "broker.tls.psk_file", KIND_TEXT, BOTH, FROM(broker.psk_file), TO(psk_file) },
	{ "broker.tls.psk_identity", KIND_TEXT, BOTH, FROM(broker.tls.psk_identity), TO(psk_identity) },
	{ "broker.tls.insecure_no_hostname", KIND_FLAG, BOTH, FROM(broker.tls.insecure_no_hostname), TO(insecure) },
	{ "topics.publish", KIND_NAME, PUB, FROM(topics.publish), TO(topics) },
	{ "topics.subscribe", KIND_NAMES, SUB, FROM(topics.subscribe), TO(topics) },
	{ "topics.sender", KIND_TEXT, BOTH, FROM(sender_topic), TO(sender_topic) },
	{ "will.topic", KIND_TEXT, BOTH, FROM(will.topic), TO(will_topic) },
	{ "will.payload", KIND_TEXT, BOTH, FROM(will.payload), TO(will_payload) },
	{ "will.qos", KIND_INT, BOTH, FROM(will.qos), TO(will_qos) },
	{ "will.retain", KIND_FLAG, BOTH, FROM(will.retain), TO(will_retain) },
	{ "keyserver.name", KIND_TEXT, BOTH, FROM(keyserver.name), TO(keyserver) },
	{ "keyserver.lease", KIND_SECONDS, BOTH, FROM(keyserver.lease_ms), TO(lease_s) },
	{ "keyserver.leave", KIND_FLAG, BOTH, FROM(keyserver.leave), TO(leave) },
	{ "proof.sign", KIND_TEXT, PUB, FROM(proof.sign), TO(sign) },
	{ "proof.checkpoint_messages", KIND_INT, PUB, FROM(proof.checkpoint_messages), TO(checkpoint_messages) },
	{ "proof.checkpoint_every", KIND_SECONDS, PUB, FROM(proof.checkpoint_every_ms), TO(checkpoint_every_s) },
	{ "proof.check", KIND_FLAG, SUB, FROM(proof.check), TO(check_proof) },
	{ "proof.require", KIND_FLAG, SUB, FROM(proof.require), TO(require_proof) },
	{ "commands", KIND_TEXT, PUB, FROM(commands), TO(commands) },
	{ "wait", KIND_SECONDS, PUB, FROM(wait_ms), TO(wait_s) },
	{ "strict", KIND_FLAG, SUB, FROM(strict), TO(strict) },
	{ "qos", KIND_INT, BOTH, FROM(qos), TO(qos) },
	{ "retain", KIND_FLAG, PUB, FROM(retain), TO(retain) },
	{ "peers.to", KIND_NAMES, PUB, FROM(peers.to), TO(to) },
	{ "peers.to_groups", KIND_NAMES, PUB, FROM(peers.to_groups), TO(groups) },
	{ "peers.from", KIND_NAMES, SUB, FROM(peers.from), TO(from) },
	{ "groups", KIND_NAMES, SUB, FROM(groups), TO(groups) },
	{ "algorithm", KIND_TEXT, BOTH, FROM(algorithm), TO(algorithm) },
	{ "stamp", KIND_FLAG, PUB, FROM(stamp), TO(stamp) },
	{ "cose", KIND_FLAG, PUB, FROM(cose), TO(cose) },
	{ "keep_boot_id", KIND_FLAG, PUB, FROM(keep_boot_id), TO(keep_boot_id) },
	{ "keyex.topic", KIND_TEXT, BOTH, FROM(keyex.topic), TO(keyex_topic) },
	{ "keyex.rotate_every", KIND_SECONDS, BOTH, FROM(keyex.rotate_every_ms), TO(rotate_every_s) },
	{ "keyex.rotate_messages", KIND_INT, BOTH, FROM(keyex.rotate_messages), TO(rotate_messages) },
	{ "keyex.grace", KIND_SECONDS, BOTH, FROM(keyex.grace_ms), TO(grace_s) },
	{ "keyex.method", KIND_INT, BOTH, FROM(keyex.method), TO(method) },
	{ "source.interval", KIND_SECONDS, PUB, FROM(source.interval_ms), TO(interval_s) },
	{ "source.rate", KIND_DECIMAL, PUB, FROM(source.rate), TO(rate) },
	{ "source.columns", KIND_NAMES, PUB, FROM(source.columns), TO(columns) },
	{ "source.limit", KIND_INT, PUB, FROM(source.limit), TO(limit) },
	{ "source.sample", KIND_DECIMAL, PUB, FROM(source.sample), TO(sample) },
	{ "source.loop", KIND_FLAG, PUB, FROM(source.loop), TO(loop) },
	{ "source.seed", KIND_INT, PUB, FROM(source.seed), TO(seed) },
	{ "source.on_error", KIND_TEXT, PUB, FROM(source.on_error), TO(on_error) },
	{ "count", KIND_INT, SUB, FROM(count), TO(count) },
	{ "timeout", KIND_WHOLE_SECONDS, SUB, FROM(timeout_ms), TO(timeout_s) },
	{ "repeat", KIND_INT, PUB, FROM(repeat), TO(repeat) },
	{ "repeat_delay", KIND_SECONDS, PUB, FROM(repeat_delay_ms), TO(repeat_delay) },
	{ "stats", KIND_SECONDS, BOTH, FROM(stats_ms), TO(stats_s) },
	{ "outbox", KIND_TEXT, PUB, FROM(outbox), TO(outbox) },
};

static void copy_value(const struct row *row, const void *from, void *to)
{
	const struct smq_list *names = from;
	struct list *list = to;
	switch (row->kind) {
	case KIND_TEXT:
		*(const char **)to = *(const char *const *)from;
		break;
	case KIND_INT:
		*(int64_t *)to = *(const int64_t *)from;
		break;
	case KIND_FLAG:
		*(bool *)to = *(const bool *)from;
		break;
	case KIND_SECONDS:
		*(double *)to = (double)*(const int64_t *)from / 1000;
		break;
	case KIND_WHOLE_SECONDS:
		*(int64_t *)to = (*(const int64_t *)from + 999) / 1000;
		break;
	case KIND_DECIMAL:
		*(double *)to = *(const double *)from;
		break;
	case KIND_NAME:
		list->count = 0;
		list_add(list, *(const char *const *)from);
		break;
	case KIND_NAMES:
		list->count = 0;
		for (size_t i = 0; i < names->count; i++)
			list_add(list, names->items[i]);
		break;
	}
}

static bool comes_from(const smq_config *config, const char *name, enum smq_origin origin)
{
	const struct smq_config_key *key = smq_config_key_find(name);
	return key && smq_config_is_set(config, key) && smq_config_origin(config, key, NULL) == origin;
}

/* What is not a plain copy. */
static void apply_others(const smq_config *config, enum smq_origin origin, bool publishing, struct settings *s)
{
	const struct smq_settings *from = smq_config_settings(config);
	if (comes_from(config, "broker.protocol", origin))
		s->protocol = strchr(from->broker.protocol, '5')                                               ? 5
			      : strstr(from->broker.protocol, "311") || strstr(from->broker.protocol, "3.1.1") ? 4
													       : 3;
	if (comes_from(config, "broker.socks5", origin))
		s->proxy = from->broker.socks5;
	if (comes_from(config, "broker.clean_start", origin))
		s->clean_start = from->broker.clean_start;
	if (comes_from(config, "broker.session_expiry", origin))
		s->session_expiry_s = (uint32_t)(from->broker.session_expiry_ms / 1000);
	if (comes_from(config, "source.every", origin) && from->source.every > 1)
		s->sample = (double)from->source.every;
	if (publishing && comes_from(config, "source.spec", origin)) {
		s->mode = MESSAGE_SOURCE;
		s->message = from->source.spec;
	}
}

void config_apply(const smq_config *config, enum smq_origin origin, bool publishing, struct settings *s)
{
	const char *from = (const char *)smq_config_settings(config);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		if ((rows[i].users & (publishing ? PUB : SUB)) && comes_from(config, rows[i].key, origin))
			copy_value(&rows[i], from + rows[i].from, (char *)s + rows[i].to);
		if (strncmp(rows[i].key, "source.", 7) == 0 && comes_from(config, rows[i].key, origin))
			s->source_configured = true;
	}
	apply_others(config, origin, publishing, s);
}

void config_complete(smq_config *config, bool publishing, struct smq_client_options *o)
{
	struct smq_client_options from;
	/* A password file was read with the settings already: what fails here was not asked for. */
	if (smq_config_client_options(config, &from, NULL) != SMQ_OK)
		return;
	o->backoff_min_ms = from.backoff_min_ms;
	o->backoff_max_ms = from.backoff_max_ms;
	o->connect_timeout_ms = from.connect_timeout_ms;
	o->tls.key_passphrase_file = from.tls.key_passphrase_file;
	o->accept_algorithms = from.accept_algorithms;
	o->suites = from.suites;
	o->suite_count = from.suite_count;
	o->queue_max = from.queue_max;
	if (!publishing && from.any_peer)
		o->any_peer = true;
}
