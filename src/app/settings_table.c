/* One table of everything that can be configured. A new key: a row here, a member in struct smq_settings, its use. */
#include "app/settings_table.h"

#include <stdio.h>
#include <string.h>

#define ROW(key_name, member, key_type, who, ...)                                                                      \
	{                                                                                                              \
		{ .name = key_name, .type = SMQ_CONFIG_##key_type, .use = SMQ_USE_##who, __VA_ARGS__ },                \
		    offsetof(struct smq_settings, member)                                                              \
	}

#define ALGORITHMS "A128GCM A256GCM ChaCha20-Poly1305"
#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

/* clang-format off */
const struct smq_settings_row smq_settings_rows[] = {
	ROW("realm", realm, PATH, TOOL, .env = "SEALMQ_REALM", .example = "realm", .unset = "~/.config/sealmq",
	    .help = "the directory with this member's identity and its realm's root"),

	ROW("broker.host", broker.host, TEXT, CLIENT, .preset = "localhost", .env = "SEALMQ_HOST",
	    .example = "broker.example", .help = "name or address; a path that begins with / is a Unix socket"),
	ROW("broker.port", broker.port, NUMBER, CLIENT, .min = 1, .max = 65535, .env = "SEALMQ_PORT",
	    .example = "8883", .unset = "1883, or 8883 with TLS", .help = "TCP port"),
	ROW("broker.protocol", broker.protocol, WORD, CLIENT, .words = "5 3.1.1 3.1 mqttv5 mqttv311 mqttv31 311 31",
	    .preset = "5", .env = "SEALMQ_PROTOCOL", .example = "3.1.1", .help = "version of MQTT"),
	ROW("broker.keepalive", broker.keepalive_ms, DURATION, CLIENT, .min = 5 * SECOND, .max = 65535 * SECOND,
	    .preset = "60s", .env = "SEALMQ_KEEPALIVE", .example = "30s", .help = "between two signs of life"),
	ROW("broker.client_id", broker.client_id, TEXT, CLIENT, .env = "SEALMQ_CLIENT_ID", .example = "fridge-07",
	    .unset = "random", .help = "MQTT client id; needed where clean_start is false"),
	ROW("broker.username", broker.username, TEXT, CLIENT, .env = "SEALMQ_USERNAME", .example = "fridge",
	    .help = "for brokers that ask for one"),
	ROW("broker.password", broker.password, TEXT, CLIENT, .env = "SEALMQ_PASSWORD", .example = "not-this-one",
	    .secret = true, .help = "better: password_file"),
	ROW("broker.password_file", broker.password_file, PATH, CLIENT, .env = "SEALMQ_PASSWORD_FILE",
	    .example = "broker.password", .help = "its first line is the password; mode 0600"),
	ROW("broker.bind_address", broker.bind_address, TEXT, CLIENT, .example = "192.0.2.7",
	    .help = "local address to connect from"),
	ROW("broker.socks5", broker.socks5, TEXT, CLIENT, .secret = true, .example = "socks5h://proxy.example:1080",
	    .help = "proxy, socks5h://user:password@host:port"),
	ROW("broker.clean_start", broker.clean_start, FLAG, CLIENT, .preset = "true", .example = "false",
	    .help = "false: the broker keeps our subscriptions while we are away"),
	ROW("broker.session_expiry", broker.session_expiry_ms, DURATION, CLIENT, .min = 0, .max = 365 * DAY,
	    .preset = "0s", .example = "1h", .help = "how long it keeps them (MQTT 5)"),
	ROW("broker.inflight_max", broker.inflight_max, NUMBER, CLIENT, .min = 1, .max = 65535, .preset = "20",
	    .example = "100", .help = "QoS 1 and 2 messages on their way at once"),
	ROW("broker.control_qos", broker.control_qos, NUMBER, CLIENT, .min = 0, .max = 1, .preset = "1",
	    .example = "0", .help = "subscriptions to key exchange, key server, lists; 0 for NATS clusters"),
	ROW("broker.backoff_min", broker.backoff_min_ms, DURATION, CLIENT, .min = 10, .max = HOUR,
	    .preset = "250ms", .example = "500ms", .help = "wait before the first reconnect"),
	ROW("broker.backoff_max", broker.backoff_max_ms, DURATION, CLIENT, .min = 10, .max = DAY,
	    .preset = "30s", .example = "1m", .help = "longest wait between two reconnects"),
	ROW("broker.connect_timeout", broker.connect_timeout_ms, DURATION, CLIENT, .min = 100, .max = HOUR,
	    .preset = "10s", .example = "5s", .help = "for TCP, TLS and CONNECT together"),
	ROW("broker.tls.ca_file", broker.tls.ca_file, PATH, CLIENT, .env = "SEALMQ_CA_FILE",
	    .example = "broker-ca.pem", .help = "whom to trust for the broker's certificate; turns TLS on"),
	ROW("broker.tls.ca_dir", broker.tls.ca_dir, PATH, CLIENT, .example = "/etc/ssl/certs",
	    .help = "the same as a directory of hashed files"),
	ROW("broker.tls.os_certs", broker.tls.os_certs, FLAG, CLIENT, .preset = "false", .example = "true",
	    .help = "trust what the system trusts; turns TLS on"),
	ROW("broker.tls.by_realm", broker.tls.by_realm, FLAG, CLIENT, .preset = "false", .env = "SEALMQ_TLS",
	    .example = "true", .help = "TLS with the realm's root and this member's certificate"),
	ROW("broker.tls.cert_file", broker.tls.cert_file, PATH, CLIENT, .env = "SEALMQ_CERT_FILE",
	    .example = "member.crt", .help = "our certificate for the broker, with its issuers"),
	ROW("broker.tls.key_file", broker.tls.key_file, PATH, CLIENT, .env = "SEALMQ_KEY_FILE",
	    .example = "member.key", .help = "its private key, mode 0600"),
	ROW("broker.tls.key_passphrase_file", broker.tls.key_passphrase_file, PATH, CLIENT,
	    .example = "member.passphrase", .help = "opens the private key; mode 0600"),
	ROW("broker.tls.version", broker.tls.version, WORD, CLIENT, .words = "tlsv1.3 tlsv1.2", .preset = "tlsv1.3",
	    .example = "tlsv1.2", .help = "lowest version of TLS"),
	ROW("broker.tls.ciphers", broker.tls.ciphers, TEXT, CLIENT, .example = "ECDHE-ECDSA-AES128-GCM-SHA256",
	    .help = "OpenSSL cipher list for TLS 1.2"),
	ROW("broker.tls.alpn", broker.tls.alpn, TEXT, CLIENT, .example = "mqtt", .help = "protocol name for ALPN"),
	ROW("broker.tls.psk_file", broker.psk_file, PATH, CLIENT, .env = "SEALMQ_PSK_FILE", .example = "broker.psk",
	    .help = "pre-shared key instead of certificates: its first line, in hex; mode 0600"),
	ROW("broker.tls.psk_identity", broker.tls.psk_identity, TEXT, CLIENT, .env = "SEALMQ_PSK_IDENTITY",
	    .example = "fridge-07", .help = "the name of that key"),
	ROW("broker.tls.insecure_no_hostname", broker.tls.insecure_no_hostname, FLAG, CLIENT, .preset = "false",
	    .example = "true", .help = "DANGEROUS: anybody with a certificate of that CA may pass as the broker"),

	ROW("topics.publish", topics.publish, TOPIC, TOOL, .env = "SEALMQ_TOPIC", .example = "plant/fridge-07",
	    .help = "where `pub` publishes"),
	ROW("topics.subscribe", topics.subscribe, FILTERS, TOOL, .example = "plant/#, lab/+/temperature",
	    .help = "what `sub` subscribes to"),
	ROW("topics.sender", sender_topic, TEXT, CLIENT, .example = "plant/{sender}/#",
	    .help = "topics that name their sender: whoever the certificate names otherwise is refused"),
	ROW("will.topic", will.topic, TOPIC, TOOL, .example = "plant/fridge-07/state",
	    .help = "where the broker publishes if we vanish"),
	ROW("will.payload", will.payload, TEXT, TOOL, .example = "gone", .unset = "nothing",
	    .help = "what it publishes then, sealed for the first group (or plain)"),
	ROW("will.qos", will.qos, NUMBER, TOOL, .max = 2, .preset = "0", .example = "1", .help = "as qos"),
	ROW("will.retain", will.retain, FLAG, TOOL, .preset = "false", .example = "true",
	    .help = "and keeps it for later subscribers"),
	ROW("qos", qos, NUMBER, TOOL, .max = 2, .preset = "0", .env = "SEALMQ_QOS", .example = "1",
	    .help = "0 at most once, 1 at least once, 2 exactly once"),
	ROW("retain", retain, FLAG, TOOL, .preset = "false", .example = "true",
	    .help = "the broker keeps the last message of each topic"),

	ROW("peers.to", peers.to, NAMES, CLIENT, .env = "SEALMQ_TO", .example = "desk, archive",
	    .help = "members that `pub` seals for, each message once for each"),
	ROW("peers.to_groups", peers.to_groups, NAMES, TOOL, .example = "cold-chain",
	    .help = "groups that `pub` seals for, each message once for each"),
	ROW("peers.from", peers.from, NAMES, CLIENT, .env = "SEALMQ_FROM", .example = "fridge-07, fridge-08",
	    .help = "members that `sub` opens messages of"),
	ROW("peers.any", peers.any, FLAG, CLIENT, .preset = "false", .example = "true",
	    .help = "accept sessions from every member of the realm"),
	ROW("groups", groups, NAMES, CLIENT, .example = "cold-chain", .unset = "all that the realm holds",
	    .help = "groups to read"),

	ROW("keyserver.name", keyserver.name, NAME, CLIENT, .example = "keys", .unset = "the realm's, else any",
	    .help = "ask this key server alone"),
	ROW("keyserver.lease", keyserver.lease_ms, DURATION, CLIENT, .min = 0, .max = 3650 * DAY, .preset = "0s",
	    .example = "1d", .help = "belong to its groups for so long; 0: as long as they let us"),
	ROW("keyserver.leave", keyserver.leave, FLAG, CLIENT, .preset = "false", .example = "true",
	    .help = "leave its groups at the end"),

	ROW("proof.sign", proof.sign, WORD, CLIENT, .words = "every checkpoint", .env = "SEALMQ_SIGN",
	    .example = "checkpoint", .unset = "nothing is signed",
	    .help = "`pub`: a signature on every message, or one over the last ones"),
	ROW("proof.checkpoint_messages", proof.checkpoint_messages, NUMBER, CLIENT, .min = 1, .max = 256,
	    .example = "64", .unset = "32, or up to 256 in 20 ms", .help = "messages that a signature covers"),
	ROW("proof.checkpoint_every", proof.checkpoint_every_ms, DURATION, CLIENT, .min = 10, .max = MINUTE,
	    .preset = "2s", .example = "500ms", .help = "at the latest after so long"),
	ROW("proof.check", proof.check, FLAG, CLIENT, .preset = "false", .example = "true",
	    .help = "`sub`: check senders' signatures"),
	ROW("proof.require", proof.require, FLAG, CLIENT, .preset = "false", .example = "true",
	    .help = "`sub`: let in only what a signature proves"),
	ROW("commands", commands, PATH, TOOL, .example = "commands.yaml",
	    .help = "`pub`: obey commands for the parameters declared there"),

	ROW("algorithm", algorithm, WORD, CLIENT, .words = ALGORITHMS, .preset = "A128GCM", .env = "SEALMQ_ALGORITHM",
	    .example = "ChaCha20-Poly1305", .help = "what we seal with"),
	ROW("accept_algorithms", accept_algorithms, WORDS, CLIENT, .words = ALGORITHMS,
	    .preset = "A128GCM, A256GCM, ChaCha20-Poly1305", .example = "A256GCM, ChaCha20-Poly1305",
	    .help = "what others may seal with"),
	ROW("stamp", stamp, FLAG, CLIENT, .preset = "false", .example = "true",
	    .help = "carry the time of sealing (4 bytes): gives ages and latencies"),
	ROW("cose", cose, FLAG, CLIENT, .preset = "false", .example = "true",
	    .help = "send the longer COSE_Encrypt0 form"),
	ROW("keep_boot_id", keep_boot_id, FLAG, CLIENT, .preset = "false", .example = "true",
	    .help = "groups: go on with the boot id and the counters in the state directory; "
		    "only for a device without a trustworthy random source"),

	ROW("keyex.topic", keyex.topic, TOPIC, CLIENT, .env = "SEALMQ_KEYEX_TOPIC", .example = "ton_iot/keyex",
	    .unset = "the realm's", .help = "where keys are exchanged; {to} becomes the member addressed"),
	ROW("keyex.rotate_every", keyex.rotate_every_ms, DURATION, CLIENT, .min = SECOND, .max = 7 * DAY,
	    .preset = "300s", .env = "SEALMQ_ROTATE_EVERY", .example = "60s", .help = "new keys after so long"),
	ROW("keyex.rotate_messages", keyex.rotate_messages, NUMBER, CLIENT, .min = 1, .max = INT64_C(1) << 32,
	    .preset = "16777216", .example = "100000", .help = "new keys after so many messages"),
	ROW("keyex.grace", keyex.grace_ms, DURATION, CLIENT, .min = 0, .max = HOUR, .preset = "10s",
	    .env = "SEALMQ_GRACE", .example = "5s", .help = "how long old keys still open"),
	ROW("keyex.method", keyex.method, NUMBER, CLIENT, .min = 0, .max = 3, .words = "0 3", .preset = "0",
	    .example = "3", .help = "EDHOC: 0 signatures, 3 static Diffie-Hellman"),
	ROW("keyex.suites", keyex.suites, WORDS, CLIENT, .words = "0 1 2 3 4 5 6", .example = "6, 2",
	    .unset = "2, 6, 0 as the own key allows", .help = "EDHOC cipher suites, preferred ones first"),

	ROW("source.spec", source.spec, SPEC, TOOL, .env = "SEALMQ_SOURCE", .example = "csv:fridge.csv",
	    .help = "what `pub` publishes: csv:FILE, fridge, vitals, energy"),
	ROW("source.interval", source.interval_ms, DURATION, SOURCE, .min = 0, .max = 365 * DAY,
	    .env = "SEALMQ_INTERVAL", .example = "1s", .unset = "as fast as possible", .help = "between two records"),
	ROW("source.rate", source.rate, DECIMAL, SOURCE, .min = 0, .max = 1000000, .env = "SEALMQ_RATE",
	    .example = "20", .help = "records a second, instead of interval"),
	ROW("source.columns", source.columns, TEXTS, SOURCE, .example = "date, time, fridge_temperature",
	    .unset = "all", .help = "these only, in this order"),
	ROW("source.limit", source.limit, NUMBER, SOURCE, .min = 0, .max = INT64_MAX, .preset = "0", .example = "1000",
	    .help = "end after so many records; 0: never"),
	ROW("source.sample", source.sample, DECIMAL, SOURCE, .min = 0, .max = 1, .preset = "1", .example = "0.1",
	    .help = "keep this fraction of the records"),
	ROW("source.every", source.every, NUMBER, SOURCE, .min = 1, .max = 1000000, .preset = "1", .example = "10",
	    .help = "keep every n-th record"),
	ROW("source.loop", source.loop, FLAG, SOURCE, .preset = "false", .example = "true",
	    .help = "begin again at the end of the file"),
	ROW("source.seed", source.seed, NUMBER, SOURCE, .min = 0, .max = INT64_MAX, .preset = "0", .example = "42",
	    .help = "same seed, same records; 0: fresh ones each time"),
	ROW("source.on_error", source.on_error, WORD, SOURCE, .words = "skip fatal", .preset = "skip",
	    .example = "fatal", .help = "what to do with a row that cannot be read"),

	ROW("count", count, NUMBER, TOOL, .min = 0, .max = INT64_MAX, .preset = "0", .example = "100",
	    .help = "`sub` ends after so many messages; 0: never"),
	ROW("timeout", timeout_ms, DURATION, TOOL, .min = 0, .max = 365 * DAY, .preset = "0s", .example = "1m",
	    .help = "`sub` ends after so long; 0: never"),
	ROW("repeat", repeat, NUMBER, TOOL, .min = 1, .max = INT64_MAX, .preset = "1", .example = "10",
	    .help = "`pub` sends the message so often"),
	ROW("repeat_delay", repeat_delay_ms, DURATION, TOOL, .min = 0, .max = 365 * DAY, .preset = "0s",
	    .example = "500ms", .help = "between two of them"),
	ROW("wait", wait_ms, DURATION, TOOL, .min = 0, .max = DAY, .preset = "30s", .example = "5s",
	    .help = "`pub`: for the member to answer the key exchange, or the key server"),
	ROW("strict", strict, FLAG, TOOL, .preset = "false", .example = "true",
	    .help = "`sub` ends at the first refused message"),
	ROW("stats", stats_ms, DURATION, TOOL, .min = 0, .max = DAY, .preset = "0s", .env = "SEALMQ_STATS",
	    .example = "10s", .help = "a line of statistics so often; 0: none"),
	ROW("outbox", outbox, PATH, CLIENT, .env = "SEALMQ_OUTBOX", .example = "outbox.db", .unset = "in memory",
	    .help = "keeps unsent QoS 1 and 2 messages over a restart"),
	ROW("queue_max", queue_max, NUMBER, CLIENT, .min = 1, .max = 100000000, .preset = "10000", .example = "500",
	    .help = "messages that may wait to be sent"),
};
/* clang-format on */
const size_t smq_settings_row_count = sizeof(smq_settings_rows) / sizeof(smq_settings_rows[0]);

const struct smq_config_key *smq_config_key(size_t n)
{
	return n < smq_settings_row_count ? &smq_settings_rows[n].key : NULL;
}

size_t smq_settings_find(const char *name)
{
	for (size_t i = 0; i < smq_settings_row_count; i++) {
		if (strcmp(smq_settings_rows[i].key.name, name) == 0)
			return i;
	}
	return SIZE_MAX;
}

const struct smq_config_key *smq_config_key_find(const char *name)
{
	size_t i = smq_settings_find(name);
	return i == SIZE_MAX ? NULL : &smq_settings_rows[i].key;
}

bool smq_settings_is_list(enum smq_config_type type) { return type >= SMQ_CONFIG_TEXTS; }

static bool lies_below(const char *name, const char *section, size_t len)
{
	return strncmp(name, section, len) == 0 && name[len] == '.';
}

bool smq_settings_is_section(const char *name)
{
	for (size_t i = 0; i < smq_settings_row_count; i++) {
		if (lies_below(smq_settings_rows[i].key.name, name, strlen(name)))
			return true;
	}
	return false;
}

/* Steps (insert, drop, replace a letter) from a to b; both are short. */
static size_t distance(const char *a, const char *b)
{
	enum { MAX = 64 };
	size_t row[MAX + 1];
	size_t a_len = strlen(a), b_len = strlen(b);
	if (a_len > MAX || b_len > MAX)
		return MAX;
	for (size_t j = 0; j <= b_len; j++)
		row[j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);
			diagonal = row[j];
			best = best < row[j] + 1 ? best : row[j] + 1;
			row[j] = best < row[j - 1] + 1 ? best : row[j - 1] + 1;
		}
	}
	return row[b_len];
}

static const char *last_part(const char *name)
{
	const char *dot = strrchr(name, '.');
	return dot ? dot + 1 : name;
}

struct guess {
	char name[64];
	size_t distance;
};

/* Takes the first `len` characters of known if they are nearer. The same word in the wrong section costs next to
 * nothing: people forget the indentation. */
static void consider(struct guess *g, const char *name, const char *known, size_t len)
{
	char candidate[64];
	(void)snprintf(candidate, sizeof(candidate), "%.*s", (int)len, known);
	size_t whole = distance(name, candidate);
	size_t part = distance(last_part(name), last_part(candidate)) + 1;
	size_t d = whole < part ? whole : part;
	if (d < g->distance) {
		memcpy(g->name, candidate, sizeof(g->name));
		g->distance = d;
	}
}

/* Keys and sections alike. False where nothing comes close. */
static bool nearest(const char *name, struct guess *ret_guess)
{
	struct guess g = { .distance = SIZE_MAX };
	for (size_t i = 0; i < smq_settings_row_count; i++) {
		const char *known = smq_settings_rows[i].key.name;
		for (const char *dot = strchr(known, '.'); dot; dot = strchr(dot + 1, '.'))
			consider(&g, name, known, (size_t)(dot - known));
		consider(&g, name, known, strlen(known));
	}
	*ret_guess = g;
	return g.distance <= 1 + strlen(last_part(name)) / 3;
}

/* The words that may stand where `name` stands. */
static void list_siblings(const char *name, char *ret_hint, size_t room)
{
	size_t section_len = (size_t)(last_part(name) - name);
	size_t len = (size_t)snprintf(ret_hint, room, "known here: ");
	char last[40] = "";
	for (size_t i = 0; i < smq_settings_row_count; i++) {
		const char *known = smq_settings_rows[i].key.name;
		char word[40];
		if (strncmp(known, name, section_len) != 0)
			continue;
		(void)snprintf(word, sizeof(word), "%.*s", (int)strcspn(known + section_len, "."), known + section_len);
		if (strcmp(word, last) == 0 || len + strlen(word) + 3 > room)
			continue;
		len += (size_t)snprintf(ret_hint + len, room - len, "%s%s", *last ? ", " : "", word);
		memcpy(last, word, sizeof(last));
	}
}

void smq_settings_suggest(const char *name, char *ret_hint, size_t room)
{
	struct guess g;
	if (nearest(name, &g))
		(void)snprintf(ret_hint, room, "did you mean '%s'?", g.name);
	else
		list_siblings(name, ret_hint, room);
}
