/* What would hurt in mosquitto.conf. */
#include "app/broker_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/table.h"

enum { LISTENERS_MAX = 64 };

/* One listener: the rows from its line to the next listener's; those before the first are about all. */
struct listener {
	const struct smq_conf_lines *conf;
	size_t from, to;
	const struct smq_conf_line *at;
	bool loopback;
	bool socket; /* a Unix socket: who may come is a question of files */
	bool each;   /* per_listener_settings true */
};

static bool yes(const char *value) { return strcasecmp(value, "true") == 0 || strcmp(value, "1") == 0; }

/* The last value in its own rows; where there is none, otherwise. */
static const char *own(const struct listener *l, const char *key, const char *otherwise)
{
	for (size_t i = l->to; i-- > l->from;) {
		if (strcmp(l->conf->rows[i].key, key) == 0)
			return l->conf->rows[i].value;
	}
	return otherwise;
}

/* Options about who may come are global, wherever they stand, unless they are said to be per listener. */
static const char *security(const struct listener *l, const char *key, const char *otherwise)
{
	return l->each ? own(l, key, otherwise) : smq_conf_value(l->conf, key, otherwise);
}

static bool is_loopback(const char *value)
{
	const char *address = value + strcspn(value, " \t");
	address += strspn(address, " \t");
	return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0 || strcmp(address, "localhost") == 0 ||
	       address[0] == '/' || strncmp(value, "0 ", 2) == 0;
}

/* ---- one listener ---- */

static void judge_anonymous(const struct smq_judge *j, const struct listener *l)
{
	static const char *const write = "allow_anonymous false";
	bool named = yes(own(l, "require_certificate", "false")) && (yes(own(l, "use_identity_as_username", "false")) ||
								     yes(own(l, "use_subject_as_username", "false")));
	if (l->socket || !yes(security(l, "allow_anonymous", "false")))
		return;
	enum smq_severity severity = named         ? SMQ_SEVERITY_LOW
				     : l->loopback ? SMQ_SEVERITY_MEDIUM
						   : SMQ_SEVERITY_CRITICAL;
	smq_judge_find(j, severity, "anonymous", l->at, NULL, write, "anybody may come without a name%s",
		       l->loopback ? ", from this machine" : "");
}

static void judge_plain(const struct smq_judge *j, const struct listener *l)
{
	bool passwords = *security(l, "password_file", "") != 0;
	if (l->loopback)
		return;
	smq_judge_find(j, passwords ? SMQ_SEVERITY_CRITICAL : SMQ_SEVERITY_HIGH, "plaintext", l->at, NULL,
		       "certfile certs/server.crt", "it listens beyond this machine without TLS%s",
		       passwords ? ": passwords go in the clear" : "");
}

static void judge_tls(const struct smq_judge *j, const struct listener *l)
{
	const char *version = own(l, "tls_version", "");
	bool old = strcasecmp(version, "tlsv1.1") == 0 || strcasecmp(version, "tlsv1") == 0;
	if (strcasecmp(version, "tlsv1.3") != 0)
		smq_judge_find(j, old ? SMQ_SEVERITY_HIGH : SMQ_SEVERITY_MEDIUM, "tls-version", l->at, NULL,
			       "tls_version tlsv1.3", "versions of TLS before 1.3 are taken");
	if (*own(l, "psk_hint", ""))
		smq_judge_find(j, SMQ_SEVERITY_MEDIUM, "tls-psk", l->at, NULL, "certfile certs/server.crt",
			       "pre-shared keys have no forward secrecy in Mosquitto");
}

static void judge_certificates(const struct smq_judge *j, const struct listener *l)
{
	bool wanted = yes(own(l, "require_certificate", "false"));
	bool named =
	    yes(own(l, "use_identity_as_username", "false")) || yes(own(l, "use_subject_as_username", "false"));
	bool passwords =
	    *security(l, "password_file", "") || *security(l, "plugin", "") || *security(l, "auth_plugin", "");
	if (!wanted && !passwords)
		smq_judge_find(j, SMQ_SEVERITY_HIGH, "no-client-certificate", l->at, NULL, "require_certificate true",
			       "clients show no certificate, and there are no passwords");
	if (wanted && !named)
		smq_judge_find(j, SMQ_SEVERITY_HIGH, "name-not-proven", l->at, NULL, "use_identity_as_username true",
			       "the user name is what CONNECT says and not what the certificate says: every member can "
			       "be every other");
}

static void judge_connections(const struct smq_judge *j, const struct listener *l)
{
	if (atol(own(l, "max_connections", "-1")) <= 0)
		smq_judge_find(j, SMQ_SEVERITY_MEDIUM, "no-limit", l->at, NULL, "max_connections 10000",
			       "there is no bound on connections");
}

static void judge_listener(const struct smq_judge *j, const struct listener *l)
{
	bool tls = *own(l, "certfile", "") || *own(l, "psk_hint", "");
	judge_anonymous(j, l);
	judge_connections(j, l);
	if (!tls) {
		judge_plain(j, l);
		return;
	}
	judge_tls(j, l);
	if (!*own(l, "psk_hint", ""))
		judge_certificates(j, l);
}

/* ---- the whole ---- */

static void judge_listeners(const struct smq_judge *j, const struct smq_conf_lines *conf)
{
	bool each = yes(smq_conf_value(conf, "per_listener_settings", "false"));
	size_t starts[LISTENERS_MAX + 1];
	size_t count = 0;
	for (size_t i = 0; i < conf->count && count < LISTENERS_MAX; i++) {
		if (strcmp(conf->rows[i].key, "listener") == 0 || strcmp(conf->rows[i].key, "port") == 0)
			starts[count++] = i;
	}
	starts[count] = conf->count;
	for (size_t i = 0; i < count; i++) {
		struct listener l = { .conf = conf,
				      .from = starts[i],
				      .to = starts[i + 1],
				      .at = &conf->rows[starts[i]],
				      .loopback = is_loopback(conf->rows[starts[i]].value),
				      .socket = strncmp(conf->rows[starts[i]].value, "0 ", 2) == 0,
				      .each = each };
		judge_listener(j, &l);
	}
	const struct smq_conf_line *cert = smq_conf_find(conf, "certfile");
	if (count == 0 && cert)
		smq_judge_find(j, SMQ_SEVERITY_CRITICAL, "no-listener", cert, NULL, "listener 8883",
			       "with certificates and without a listener line, Mosquitto 2.0.11 listens on all "
			       "addresses and lets anybody publish");
}

static void judge_acl_there(const struct smq_judge *j, const struct smq_conf_lines *conf, const char *file)
{
	if (!smq_conf_find(conf, "acl_file") && !smq_conf_find(conf, "plugin") && !smq_conf_find(conf, "auth_plugin"))
		smq_judge_find(j, SMQ_SEVERITY_HIGH, "no-acl", NULL, file, "acl_file conf/acl",
			       "without an ACL everybody may publish and read everything");
}

static void judge_limits(const struct smq_judge *j, const struct smq_conf_lines *conf, const char *file)
{
	/* What Mosquitto takes if the line is not there, and when that is no bound. */
	static const struct {
		const char *key, *preset;
		long most; /* above, or not above zero: no bound worth the name */
		enum smq_severity severity;
		const char *write, *reason;
	} rows[] = {
		{ "max_packet_size", "0", 268435455, SMQ_SEVERITY_MEDIUM, "max_packet_size 1114112",
		  "one packet may be as large as 256 MiB" },
		{ "max_queued_messages", "1000", 1000000, SMQ_SEVERITY_MEDIUM, "max_queued_messages 10000",
		  "a client that is away makes the broker keep everything for it" },
		{ "max_inflight_messages", "20", 65535, SMQ_SEVERITY_LOW, "max_inflight_messages 100",
		  "there is no bound on messages in flight" },
		{ "max_keepalive", "65535", 43200, SMQ_SEVERITY_LOW, "max_keepalive 600",
		  "a dead client is noticed after a day only" },
		{ "memory_limit", "0", 0x7fffffffffffL, SMQ_SEVERITY_LOW, "memory_limit 536870912",
		  "there is no bound on memory" },
	};
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		const struct smq_conf_line *at = smq_conf_find(conf, rows[i].key);
		long value = atol(at ? at->value : rows[i].preset);
		if (value <= 0 || value > rows[i].most)
			smq_judge_find(j, rows[i].severity, "no-limit", at, file, rows[i].write, "%s", rows[i].reason);
	}
}

static void judge_log(const struct smq_judge *j, const struct smq_conf_lines *conf, const char *file)
{
	const struct smq_conf_line *at = smq_conf_find(conf, "connection_messages");
	bool silent = strcmp(smq_conf_value(conf, "log_dest", ""), "none") == 0 ||
		      strcmp(smq_conf_value(conf, "log_type", ""), "none") == 0;
	if (silent || (at && !yes(at->value)))
		smq_judge_find(j, SMQ_SEVERITY_MEDIUM, "no-log", at, file, "connection_messages true",
			       "who came and who was refused is not written down");
	at = smq_conf_find(conf, "log_timestamp");
	if (at && !yes(at->value))
		smq_judge_find(j, SMQ_SEVERITY_LOW, "no-log", at, NULL, "log_timestamp true", "the log has no times");
}

static void judge_rest(const struct smq_judge *j, const struct smq_conf_lines *conf)
{
	for (size_t i = 0; i < conf->count; i++) {
		const struct smq_conf_line *row = &conf->rows[i];
		if (strcmp(row->key, "user") == 0 && strcmp(row->value, "root") == 0)
			smq_judge_find(j, SMQ_SEVERITY_MEDIUM, "root", row, NULL, "user mosquitto",
				       "the broker keeps root's rights");
		if (strcmp(row->key, "bridge_insecure") == 0 && yes(row->value))
			smq_judge_find(j, SMQ_SEVERITY_HIGH, "bridge", row, NULL, "bridge_insecure false",
				       "the bridge does not look whose certificate it is shown");
	}
	const struct smq_conf_line *bridge = smq_conf_find(conf, "address");
	if (bridge && !smq_conf_find(conf, "bridge_cafile") && !smq_conf_find(conf, "bridge_capath") &&
	    strncmp(bridge->value, "127.", 4) != 0 && strncmp(bridge->value, "localhost", 9) != 0)
		smq_judge_find(j, SMQ_SEVERITY_HIGH, "bridge", bridge, NULL, "bridge_cafile certs/root.crt",
			       "the bridge leaves this machine without TLS");
}

void smq_judge_mosquitto(const struct smq_judge *j, const struct smq_conf_lines *conf)
{
	const char *file = conf->count ? conf->rows[0].file : "mosquitto.conf";
	judge_listeners(j, conf);
	judge_acl_there(j, conf, file);
	judge_limits(j, conf, file);
	judge_log(j, conf, file);
	judge_rest(j, conf);
}
