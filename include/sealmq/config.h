/*
 * Configuration: sealmq.yaml, the environment and the command line, as one checked set of values.
 *
 *     smq_config_load(NULL, &config, &why);                 defaults, file, environment
 *     smq_config_set(config, "broker.port", "8883", SMQ_ORIGIN_COMMAND_LINE, "-p", &why);
 *     smq_config_check(config, &why);                       what must fit together
 *     smq_config_client_options(config, &options, &why);    everything that smq_client_new takes
 *
 * The command line wins over the environment, which wins over the file, which
 * wins over the defaults, in whatever order they are set. All keys stand in one
 * table (smq_config_key), from which the file is checked, the environment read,
 * the example written and the documentation made (FORMATS.md 4).
 */
#ifndef SEALMQ_CONFIG_H
#define SEALMQ_CONFIG_H

#include <stdbool.h>

#include <sealmq/client.h>
#include <sealmq/err.h>
#include <sealmq/json.h>
#include <sealmq/telemetry.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the values ---- */

struct smq_list {
	const char *const *items;
	size_t count;
};

/* Texts that are not set are NULL; numbers that are not set are 0. Times are in milliseconds. */
struct smq_settings {
	const char *realm; /* directory */
	struct {
		const char *host, *bind_address, *socks5, *client_id, *username, *password, *password_file, *psk_file;
		const char *protocol; /* "5", "3.1.1", "3.1", or mosquitto's words for them */
		int64_t port, keepalive_ms, session_expiry_ms, inflight_max, backoff_min_ms, backoff_max_ms,
		    connect_timeout_ms, control_qos;
		bool clean_start;
		struct smq_tls_options tls;
	} broker;
	struct {
		const char *publish;
		struct smq_list subscribe;
	} topics;
	int64_t qos;
	bool retain;
	struct {
		struct smq_list to, to_groups, from;
		bool any;
	} peers;
	struct smq_list groups;
	const char *algorithm;
	struct smq_list accept_algorithms;
	bool stamp, cose, keep_boot_id;
	struct {
		const char *topic;
		int64_t rotate_every_ms, rotate_messages, grace_ms, method;
		struct smq_list suites; /* decimal numbers */
	} keyex;
	struct {
		const char *spec, *on_error;
		int64_t interval_ms, limit, every, seed;
		double rate, sample;
		struct smq_list columns;
		bool loop;
	} source;
	const char *sender_topic;
	struct {
		const char *topic, *payload;
		int64_t qos;
		bool retain;
	} will;
	struct {
		const char *sign; /* "every", "checkpoint" */
		int64_t checkpoint_messages, checkpoint_every_ms;
		bool check, require;
	} proof;
	struct {
		const char *name;
		int64_t lease_ms;
		bool leave;
	} keyserver;
	const char *commands; /* YAML */
	int64_t wait_ms;      /* for a member's answer to the key exchange */
	bool strict;
	int64_t count;      /* end after so many messages */
	int64_t timeout_ms; /* end after so long */
	int64_t repeat, repeat_delay_ms;
	int64_t stats_ms; /* between two lines of statistics */
	const char *outbox;
	int64_t queue_max;
};

/* ---- the table of keys ---- */

enum smq_config_type {
	SMQ_CONFIG_TEXT,
	SMQ_CONFIG_PATH,     /* in a file: relative to the directory of that file */
	SMQ_CONFIG_SPEC,     /* of a source; its FILE is like a path */
	SMQ_CONFIG_NAME,     /* member, group: A-Z a-z 0-9 - _ */
	SMQ_CONFIG_TOPIC,    /* to publish to */
	SMQ_CONFIG_WORD,     /* one of `words` */
	SMQ_CONFIG_FLAG,     /* true, false */
	SMQ_CONFIG_NUMBER,   /* min to max */
	SMQ_CONFIG_DECIMAL,  /* a number with a fraction, min to max */
	SMQ_CONFIG_DURATION, /* 250ms, 300s, 5m, 1h, 7d; min to max in ms */
	/* lists; outside YAML separated by commas */
	SMQ_CONFIG_TEXTS,
	SMQ_CONFIG_NAMES,
	SMQ_CONFIG_FILTERS,
	SMQ_CONFIG_WORDS
};

/* Who takes the value. */
enum smq_config_use { SMQ_USE_CLIENT, SMQ_USE_SOURCE, SMQ_USE_TOOL };

struct smq_config_key {
	const char *name; /* "broker.port" */
	enum smq_config_type type;
	enum smq_config_use use;
	const char *words; /* separated by blanks */
	int64_t min, max;
	const char *preset;  /* the default; NULL: not set */
	const char *unset;   /* what it means not to be set */
	const char *env;     /* NULL: none */
	const char *example; /* a valid value other than the default */
	const char *help;    /* one line */
	bool secret;         /* shown masked; a file that holds it must be mode 0600 */
};

/* The n-th key in the order of the documentation; NULL after the last. */
const struct smq_config_key *smq_config_key(size_t n);
/* NULL where there is none of that name. */
const struct smq_config_key *smq_config_key_find(const char *name);

/* ---- the object ---- */

enum smq_origin { SMQ_ORIGIN_DEFAULT, SMQ_ORIGIN_FILE, SMQ_ORIGIN_ENVIRONMENT, SMQ_ORIGIN_COMMAND_LINE };
const char *smq_origin_name(enum smq_origin origin); /* "default", "file", "environment", "command line" */

typedef struct smq_config smq_config;

/*
 * All functions with ret_why (may be NULL): on failure *ret_why says where, which key, what is wrong and what would be
 * right, in printable text that is valid until the next call in this thread. SMQ_ERR_CONFIG unless stated.
 */

/* The defaults alone. */
SMQ_MUST_USE smq_err smq_config_new(smq_config **ret_config, const char **ret_why);
/* Wipes secrets. NULL is fine. */
void smq_config_free(smq_config *config);

/* "FILE:LINE:COLUMN: key 'a.b': ..." on failure; also SMQ_ERR_NOT_FOUND, _PERMISSION, _IO, and SMQ_ERR_UNSAFE_FILE for
 * one that holds a secret and that others can read. Values before the mistake are kept. */
SMQ_MUST_USE smq_err smq_config_read_file(smq_config *config, const char *path, const char **ret_why);
/* The variables named in the table; environment as environ has it, NULL: the process's own. Empty ones are unset. */
SMQ_MUST_USE smq_err smq_config_read_environment(smq_config *config, char *const *environment, const char **ret_why);
/* from: where the value was given, e.g. "--port"; shown as origin. Keys that do not exist are SMQ_ERR_CONFIG. A value
 * that something stronger has set already is checked and then left aside. */
SMQ_MUST_USE smq_err smq_config_set(smq_config *config, const char *key, const char *value, enum smq_origin origin,
				    const char *from, const char **ret_why);
/* Whether the values fit together; nothing is read or connected. */
SMQ_MUST_USE smq_err smq_config_check(const smq_config *config, const char **ret_why);

/* Defaults, then the file, then the environment. path NULL: $SEALMQ_CONFIG, else sealmq.yaml in $XDG_CONFIG_HOME/sealmq
 * or ~/.config/sealmq if there is one. The current directory is not searched: it may be somebody else's. */
SMQ_MUST_USE smq_err smq_config_load(const char *path, smq_config **ret_config, const char **ret_why);
/* The file that was read last; NULL: none. */
const char *smq_config_file(const smq_config *config);

/* Valid as long as the config is not changed. */
const struct smq_settings *smq_config_settings(const smq_config *config);

/* Whether the key has a value, and where it comes from: "" for defaults, "sealmq.yaml:3", "SEALMQ_PORT", "--port". */
bool smq_config_is_set(const smq_config *config, const struct smq_config_key *key);
enum smq_origin smq_config_origin(const smq_config *config, const struct smq_config_key *key, const char **ret_from);
/* The value as it was given, lists separated by ", ", secrets masked; "" where not set. Printable. Cut at room. */
void smq_config_text(const smq_config *config, const struct smq_config_key *key, char *ret_text, size_t room);
/* The same as a JSON value; null where not set. */
void smq_config_json(const smq_config *config, const struct smq_config_key *key, struct smq_json *j);

/* ---- what it is for ---- */

/* Options for smq_client_new, without realm, callbacks, will and properties. They point into the config. Reads the
 * files of password and PSK: SMQ_ERR_UNSAFE_FILE where others can read one. */
SMQ_MUST_USE smq_err smq_config_client_options(smq_config *config, struct smq_client_options *ret_options,
					       const char **ret_why);
/* Options for smq_source_open; on_bad_row is the caller's. */
void smq_config_source_options(const smq_config *config, struct smq_source_options *ret_options);

/* A complete sealmq.yaml with a comment on every key, which loads and passes smq_config_check. Returns its length
 * without the terminating zero; writes what fits into room, as snprintf does. */
size_t smq_config_example(char *ret_text, size_t room);
/* The table of keys in Markdown, for FORMATS.md; as above. */
size_t smq_config_reference(char *ret_text, size_t room);

/* "250ms", "1.5s", "5m", "1h", "7d", "0". SMQ_ERR_MALFORMED: no unit, an unknown one, or not a number. */
SMQ_MUST_USE smq_err smq_duration_parse(const char *text, int64_t *ret_ms);

#ifdef __cplusplus
}
#endif
#endif
