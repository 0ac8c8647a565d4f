/* The options of pub and sub. Those that mosquitto_pub and mosquitto_sub have mean the same here. */
#include "cli/options.h"

#include <stddef.h>

#define AT(field) offsetof(struct settings, field)

#define MESSAGES "Messages"
#define SEALING "Sealing"
#define TELEMETRY "Telemetry"
#define OUTPUT "Output"
#define BROKER "Broker"
#define TLS "TLS to the broker"
#define WILL "Will"
#define OTHER "Other"

/* clang-format off */
#define ROW(l, n, u, t, f, v, g, h) \
	.letter = l, .name = n, .users = u, .type = t, .field = AT(f), .value = v, .group = g, .help = h
#define FLAG(l, n, u, f, g, h) { ROW(l, n, u, OPTION_FLAG, f, NULL, g, h) }
#define TEXT(l, n, u, f, v, g, h) { ROW(l, n, u, OPTION_TEXT, f, v, g, h) }
#define SECRET(l, n, u, f, v, g, h) { ROW(l, n, u, OPTION_TEXT, f, v, g, h), .secret = true }
#define INT(l, n, u, f, lo, hi, v, g, h) { ROW(l, n, u, OPTION_INT, f, v, g, h), .min = lo, .max = hi }
#define SECONDS(l, n, u, f, lo, hi, g, h) { ROW(l, n, u, OPTION_SECONDS, f, "SECONDS", g, h), .min = lo, .max = hi }
#define NUMBER(l, n, u, f, lo, hi, v, g, h) { ROW(l, n, u, OPTION_NUMBER, f, v, g, h), .min = lo, .max = hi }
#define LIST(l, n, u, f, v, g, h) { ROW(l, n, u, OPTION_LIST, f, v, g, h) }
#define NAMES(l, n, u, f, v, g, h) { ROW(l, n, u, OPTION_LIST, f, v, g, h), .commas = true }
#define CHOICE(l, n, u, f, words, g, h) { ROW(l, n, u, OPTION_CHOICE, f, words, g, h), .choices = words }
#define MODE(l, n, kind, h) { ROW(l, n, FOR_PUB, OPTION_MODE, mode, NULL, MESSAGES, h), .min = kind }
#define MESSAGE(l, n, kind, v, g, h) { ROW(l, n, FOR_PUB, OPTION_MESSAGE, mode, v, g, h), .min = kind }
/* clang-format on */

enum { U16 = 65535 };
#define U32 4294967295.0
#define MANY 9007199254740992.0 /* 2^53: every whole number up to it is exact */
#define DAY 86400.0

const struct option_row option_rows[] = {
	LIST('t', "topic", FOR_PUB, topics, "TOPIC", MESSAGES, "topic to publish to"),
	LIST('t', "topic", FOR_SUB, topics, "FILTER", MESSAGES,
	     "topic or filter with + and # to subscribe to; repeatable"),
	MESSAGE('m', "message", MESSAGE_TEXT, "TEXT", MESSAGES, "publish this text"),
	MESSAGE('f', "file", MESSAGE_FILE, "FILE", MESSAGES, "publish the content of a file as one message"),
	MODE('l', "stdin-line", MESSAGE_LINES, "publish each line of standard input as a message"),
	MODE('s', "stdin-file", MESSAGE_STDIN, "publish all of standard input as one message"),
	MODE('n', "null-message", MESSAGE_NULL, "publish an empty message (with -r: clears the retained one)"),
	INT('q', "qos", FOR_BOTH, qos, 0, 2, "0|1|2", MESSAGES, "quality of service; default 0"),
	FLAG('r', "retain", FOR_PUB, retain, MESSAGES, "the broker keeps the message for later subscribers"),
	INT(0, "repeat", FOR_PUB, repeat, 1, MANY, "N", MESSAGES, "publish the message (-m, -f, -s, -n) N times"),
	SECONDS(0, "repeat-delay", FOR_PUB, repeat_delay, 0, DAY, MESSAGES, "with --repeat: pause between two of them"),
	{ ROW('D', "property", FOR_BOTH, OPTION_PROPERTY, properties, "COMMAND NAME VALUE", MESSAGES,
	      "MQTT 5 property, e.g. -D publish content-type text/plain; user-property takes a name and a value; "
	      "repeatable") },
	LIST('T', "filter-out", FOR_SUB, filter_out, "FILTER", MESSAGES,
	     "drop messages whose topic falls under this filter; repeatable"),
	LIST('U', "unsubscribe", FOR_SUB, unsubscribe, "FILTER", MESSAGES,
	     "unsubscribe from this filter after subscribing; repeatable"),
	INT('C', "count", FOR_SUB, count, 1, MANY, "N", MESSAGES, "end after N messages"),
	INT('W', "timeout", FOR_SUB, timeout_s, 1, 2147483647, "SECONDS", MESSAGES,
	    "end after so long, with status 27"),
	FLAG('E', "exit-after-subscribe", FOR_SUB, exit_after_subscribe, MESSAGES,
	     "end as soon as the broker has acknowledged the subscriptions"),
	FLAG('R', "no-retained", FOR_SUB, no_retained, MESSAGES, "drop retained messages"),
	FLAG(0, "retained-only", FOR_SUB, retained_only, MESSAGES,
	     "retained messages only; end at the first one that is not"),
	FLAG(0, "remove-retained", FOR_SUB, remove_retained, MESSAGES,
	     "clear each retained message at the broker once it was received"),
	FLAG(0, "retain-as-published", FOR_SUB, retain_as_published, MESSAGES,
	     "keep the retain flag as the publisher set it (MQTT 5)"),
	NUMBER(0, "random-filter", FOR_SUB, random_filter, 0.1, 100, "PERCENT", MESSAGES,
	       "let only this percentage of the messages through"),

	NAMES(0, "to", FOR_PUB, to, "MEMBER", SEALING,
	      "seal for this member of the realm, which alone can open it; repeatable"),
	NAMES(0, "from", FOR_SUB, from, "MEMBER", SEALING,
	      "open only what this member sealed; repeatable; default: every member of the realm"),
	NAMES(0, "group", FOR_PUB, groups, "GROUP", SEALING,
	      "seal for this group; repeatable; with neither --to nor --group the topic picks the group"),
	NAMES(0, "group", FOR_SUB, groups, "GROUP", SEALING,
	      "read this group, joining it at the key server where the realm has no key file of it; repeatable; "
	      "default: all groups that the realm has key files of, and (without --from) those at the key server whose "
	      "policy covers something of -t and admits this member. With --group and without --from there are no "
	      "sessions, and nothing is said on the key-exchange topic"),
	FLAG(0, "leave", FOR_BOTH, leave, SEALING,
	     "leave the key server's groups at the end, unless another process of this realm directory is in them"),
	SECONDS(0, "lease", FOR_BOTH, lease_s, 0, 3650 * DAY, SEALING,
		"belong to the key server's groups for so long; default: as long as they let us"),
	TEXT(0, "keyserver", FOR_BOTH, keyserver, "NAME", SEALING,
	     "ask this key server alone; default: the realm's, else whoever has the role"),
	TEXT(
	    0, "sender-topic", FOR_BOTH, sender_topic, "FILTER", SEALING,
	    "topics that name their sender, e.g. plant/{sender}/#: whoever the certificate names otherwise is refused"),
	TEXT(0, "realm", FOR_BOTH, realm, "DIR", SEALING,
	     "the member's realm directory; default $SEALMQ_REALM, else ~/.config/sealmq"),
	FLAG(0, "plain", FOR_BOTH, plain, SEALING,
	     "publish unsealed; let unsealed messages in, too: as with mosquitto, without any protection"),
	CHOICE(0, "algorithm", FOR_BOTH, algorithm, "A128GCM|A256GCM|ChaCha20-Poly1305", SEALING,
	       "what to seal with; default A128GCM"),
	FLAG(0, "stamp", FOR_PUB, stamp, SEALING, "carry the time of sealing (4 bytes), so that readers see the age"),
	FLAG(0, "cose", FOR_PUB, cose, SEALING, "send the long form, a standard COSE_Encrypt0"),
	FLAG(
	    0, "keep-boot-id", FOR_PUB, keep_boot_id, SEALING,
	    "with --group: go on with the boot id and the counters in the realm's state directory, which must never be "
	    "copied or restored; only for a device without a trustworthy random source"),
	SECONDS(0, "rotate-every", FOR_BOTH, rotate_every_s, 1, 30 * DAY, SEALING,
		"agree new keys this often; default 300"),
	INT(0, "rotate-messages", FOR_BOTH, rotate_messages, 1, 4294967296.0, "N", SEALING,
	    "... and after so many messages; default 16777216"),
	SECONDS(0, "grace", FOR_BOTH, grace_s, 0, DAY, SEALING, "how long replaced keys still open; default 10"),
	TEXT(0, "keyex-topic", FOR_BOTH, keyex_topic, "TOPIC", SEALING,
	     "topic of the key exchange; may hold {to}; default: the realm's"),
	INT(0, "method", FOR_BOTH, method, 0, 3, "0|3", SEALING,
	    "EDHOC method: 0 signatures (default), 3 static Diffie-Hellman"),
	SECONDS(0, "wait", FOR_PUB, wait_s, 0, DAY, SEALING,
		"how long to wait for the member to answer the key exchange; default 30"),
	CHOICE(0, "sign", FOR_PUB, sign, "every|checkpoint", SEALING,
	       "prove who sent it: a signature on every message, or one over the last ones"),
	INT(0, "checkpoint-messages", FOR_PUB, checkpoint_messages, 1, 256, "N", SEALING,
	    "with --sign checkpoint: one signature for so many messages; default 32, or up to 256 that "
	    "come within 20 ms"),
	SECONDS(0, "checkpoint-every", FOR_PUB, checkpoint_every_s, 0.01, 60, SEALING,
		"... and at the latest after so long; default 2"),
	FLAG(0, "check-proof", FOR_SUB, check_proof, SEALING,
	     "check senders' signatures: %v says how each message stands; what turns out unproven is told"),
	FLAG(0, "require-proof", FOR_SUB, require_proof, SEALING,
	     "let in only what its sender's signature proves, once it does"),
	TEXT(0, "commands", FOR_PUB, commands, "FILE", SEALING,
	     "with --group: obey commands (`sealmq command`) for the parameters that this YAML file declares, within "
	     "its bounds; SAMPLE_RATE is the rate of --source"),
	TEXT(0, "outbox", FOR_PUB, outbox, "FILE", SEALING,
	     "keep what is not yet acknowledged in this file, across broker outages and restarts"),
	FLAG(0, "strict", FOR_SUB, strict, SEALING, "end at the first refused message, with its status"),

	MESSAGE(0, "source", MESSAGE_SOURCE, "SPEC", TELEMETRY,
		"publish records: csv:FILE, or generated ones: fridge, vitals, energy"),
	SECONDS(0, "interval", FOR_PUB, interval_s, 0, 30 * DAY, TELEMETRY, "time between two records"),
	NUMBER(0, "rate", FOR_PUB, rate, 0, 10000000, "PER_SECOND", TELEMETRY,
	       "records per second, instead of --interval"),
	NAMES(0, "columns", FOR_PUB, columns, "NAME,...", TELEMETRY, "these columns only, in this order"),
	INT(0, "limit", FOR_PUB, limit, 1, MANY, "N", TELEMETRY, "end after N records"),
	NUMBER(0, "sample", FOR_PUB, sample, 0, MANY, "FRACTION|N", TELEMETRY,
	       "keep this fraction of the records (0.1), or every N-th (10)"),
	FLAG(0, "loop", FOR_PUB, loop, TELEMETRY, "begin again at the end of the file"),
	INT(0, "seed", FOR_PUB, seed, 0, MANY, "N", TELEMETRY, "same seed, same records"),
	CHOICE(0, "on-error", FOR_PUB, on_error, "skip|fatal", TELEMETRY, "what to do with a broken row; default skip"),

	TEXT('F', "format", FOR_SUB, format, "FORMAT", OUTPUT,
	     "print this for each message: %p payload, %t topic, %j JSON, %s sender, ...; see sealmq-sub(1)"),
	FLAG('v', "verbose", FOR_SUB, verbose, OUTPUT, "print the topic before the payload"),
	FLAG('N', "no-newline", FOR_SUB, no_newline, OUTPUT, "no end of line after each message"),
	FLAG(0, "pretty", FOR_SUB, pretty, OUTPUT, "indent the JSON of %j and %J"),
	FLAG(0, "raw", FOR_SUB, raw, OUTPUT, "do not escape control characters on a terminal"),
	SECONDS(0, "stats", FOR_BOTH, stats_s, 0.1, DAY, OUTPUT,
		"print rates, sizes, times, gaps and refusals on standard error this often"),
	FLAG('d', "debug", FOR_BOTH, debug, OUTPUT, "say what happens, on standard error"),
	FLAG(0, "quiet", FOR_BOTH, quiet, OUTPUT, "no warnings and errors on standard error"),

	TEXT('h', "host", FOR_BOTH, host, "HOST", BROKER, "the broker; default localhost"),
	INT('p', "port", FOR_BOTH, port, 1, U16, "PORT", BROKER, "default 1883, with TLS 8883"),
	TEXT('L', "url", FOR_BOTH, url, "URL", BROKER, "mqtt(s)://[user[:password]@]host[:port]/topic in one"),
	TEXT('u', "username", FOR_BOTH, username, "NAME", BROKER, "user name at the broker"),
	SECRET('P', "pw", FOR_BOTH, password, "PASSWORD", BROKER,
	       "its password; others on this machine could read it in the list of processes: better --password-file"),
	TEXT(0, "password-file", FOR_BOTH, password_file, "FILE", BROKER,
	     "read the password from the file's first line"),
	TEXT('i', "id", FOR_BOTH, id, "ID", BROKER, "client id; default: a random one"),
	TEXT('I', "id-prefix", FOR_BOTH, id_prefix, "PREFIX", BROKER, "client id: this and the process id"),
	INT('k', "keepalive", FOR_BOTH, keepalive, 5, U16, "SECONDS", BROKER, "time between two pings; default 60"),
	{ ROW('V', "protocol-version", FOR_BOTH, OPTION_VERSION, protocol, "5|311|31", BROKER,
	      "MQTT version; default 5"),
	  .choices = "5|311|31|mqttv5|mqttv311|mqttv31" },
	FLAG('c', "disable-clean-session", FOR_BOTH, persistent, BROKER,
	     "the broker keeps subscriptions and messages while we are away; needs -i"),
	TEXT('x', "session-expiry", FOR_BOTH, session_expiry, "SECONDS", BROKER,
	     "... for so long; -1: for ever (MQTT 5)"),
	TEXT('A', "bind", FOR_BOTH, bind, "ADDRESS", BROKER, "local address to connect from"),
	TEXT(0, "unix", FOR_BOTH, unix_path, "PATH", BROKER, "connect through a Unix domain socket"),
	FLAG('S', "srv", FOR_BOTH, srv, BROKER, "find the broker by SRV records of the host name"),
	TEXT(0, "proxy", FOR_BOTH, proxy, "URL", BROKER, "socks5h://[user[:password]@]host[:port]"),
	INT('M', "max-inflight", FOR_BOTH, max_inflight, 0, U16, "N", BROKER,
	    "messages of QoS 1 and 2 under way at once; default 20"),
	INT(0, "control-qos", FOR_BOTH, control_qos, 0, 1, "0|1", BROKER,
	    "of our subscriptions to key exchange, key server and revocation lists; default 1, for NATS clusters 0"),
	FLAG(0, "nodelay", FOR_BOTH, nodelay, BROKER, "accepted for compatibility: small packets never wait"),

	FLAG(0, "tls", FOR_BOTH, tls_by_realm, TLS, "TLS with the realm's root and this member's certificate"),
	TEXT(0, "cafile", FOR_BOTH, cafile, "FILE", TLS, "certificates to trust, PEM; turns TLS on"),
	TEXT(0, "capath", FOR_BOTH, capath, "DIR", TLS, "... in a directory prepared by openssl rehash"),
	FLAG(0, "tls-use-os-certs", FOR_BOTH, os_certs, TLS, "trust what the operating system trusts; turns TLS on"),
	TEXT(0, "cert", FOR_BOTH, cert, "FILE", TLS, "our certificate for the broker"),
	TEXT(0, "key", FOR_BOTH, key, "FILE", TLS, "its private key"),
	CHOICE(0, "keyform", FOR_BOTH, keyform, "pem|engine", TLS, "kind of private key"),
	TEXT(0, "ciphers", FOR_BOTH, ciphers, "LIST", TLS, "OpenSSL cipher list for TLS up to 1.2"),
	CHOICE(0, "tls-version", FOR_BOTH, tls_version, "tlsv1.3|tlsv1.2|tlsv1.1", TLS, "default tlsv1.3"),
	TEXT(0, "tls-alpn", FOR_BOTH, alpn, "PROTOCOL", TLS, "application protocol to ask for"),
	TEXT(0, "tls-engine", FOR_BOTH, engine, "ENGINE", TLS, "OpenSSL engine"),
	SECRET(0, "tls-engine-kpass-sha1", FOR_BOTH, engine_pin, "SHA1", TLS, "SHA-1 of the engine's key password"),
	SECRET(0, "psk", FOR_BOTH, psk, "HEX", TLS,
	       "pre-shared key instead of certificates; others on this machine could read it: better --psk-file"),
	TEXT(0, "psk-file", FOR_BOTH, psk_file, "FILE", TLS, "read it from the file's first line"),
	TEXT(0, "psk-identity", FOR_BOTH, psk_identity, "NAME", TLS, "... and its name"),
	FLAG(0, "insecure", FOR_BOTH, insecure, TLS,
	     "do not check the broker's name: anyone with a trusted certificate can then be the broker"),

	TEXT(0, "will-topic", FOR_BOTH, will_topic, "TOPIC", WILL, "where the broker publishes if we vanish"),
	TEXT(0, "will-payload", FOR_BOTH, will_payload, "TEXT", WILL, "what it publishes then; default: nothing"),
	INT(0, "will-qos", FOR_BOTH, will_qos, 0, 2, "0|1|2", WILL, "default 0"),
	FLAG(0, "will-retain", FOR_BOTH, will_retain, WILL, "and keeps for later subscribers"),

	{ ROW('o', "options-file", FOR_BOTH, OPTION_FILE, realm, "FILE", OTHER,
	      "read options from a file, one a line") },
	{ ROW(0, "config", FOR_BOTH, OPTION_TEXT, config_file, "FILE", OTHER,
	      "take settings from this sealmq.yaml; default $SEALMQ_CONFIG, else ~/.config/sealmq/sealmq.yaml"),
	  .early = true },
	FLAG(
	    0, "unconfined", FOR_BOTH, unconfined, OTHER,
	    "keep all rights that the user has (for debuggers); else what is not needed is given up before anything is "
	    "received: `sealmq rights`"),
	{ ROW(0, "help", FOR_BOTH, OPTION_FLAG, help, NULL, OTHER, "this text"), .early = true },
	{ ROW(0, "version", FOR_BOTH, OPTION_FLAG, version, NULL, OTHER, "the version"), .early = true },
};
const size_t option_row_count = sizeof option_rows / sizeof option_rows[0];
