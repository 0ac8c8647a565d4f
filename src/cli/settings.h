/*
 * What pub and sub were asked to do: one struct, filled by the option parser from files, environment and the
 * command line, then checked as a whole by settings_finish.
 */
#ifndef SMQ_CLI_SETTINGS_H
#define SMQ_CLI_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include <sealmq/client.h>

struct list {
	const char **items;
	size_t count, room;
	unsigned level; /* of the place the items come from */
};

struct properties {
	struct smq_property *items;
	size_t count, room;
};

/* What is published; kinds exclude each other. */
enum message_mode {
	MESSAGE_NONE,
	MESSAGE_TEXT,
	MESSAGE_FILE,
	MESSAGE_LINES,
	MESSAGE_NULL,
	MESSAGE_STDIN,
	MESSAGE_SOURCE
};

enum { MESSAGE_LEN_MAX = 268435455 }; /* MQTT 5, 2.1.4: what the remaining length can hold */

struct settings {
	/* broker */
	const char *host, *unix_path, *bind, *proxy, *id, *id_prefix, *username, *password, *password_file, *url;
	int64_t port, keepalive, protocol, max_inflight, control_qos;
	bool srv, nodelay, persistent;
	const char *session_expiry;
	const char *config_file;
	/* TLS */
	const char *cafile, *capath, *cert, *key, *keyform, *ciphers, *tls_version, *alpn, *engine, *engine_pin, *psk,
	    *psk_identity, *psk_file;
	bool os_certs, tls_by_realm, insecure;
	/* messages */
	struct list topics;
	int64_t qos;
	struct properties properties;
	const char *will_topic, *will_payload;
	int64_t will_qos;
	bool will_retain;
	/* pub */
	enum message_mode mode;
	const char *message; /* text, file or source */
	bool retain;
	int64_t repeat;
	double repeat_delay;
	/* sub */
	struct list filter_out, unsubscribe;
	bool exit_after_subscribe, no_newline, no_retained, retained_only, remove_retained, retain_as_published, pretty,
	    verbose, raw, strict;
	int64_t count;
	double random_filter;
	const char *format;
	int64_t timeout_s;
	/* sealing */
	struct list to, from, groups;
	const char *realm, *algorithm, *keyex_topic, *outbox, *keyserver;
	bool plain, stamp, cose, keep_boot_id, leave;
	double rotate_every_s, grace_s, wait_s, lease_s;
	int64_t rotate_messages, method;
	const char *sign;
	const char *commands, *sender_topic;
	int64_t checkpoint_messages;
	double checkpoint_every_s;
	bool check_proof, require_proof;
	/* telemetry */
	struct list columns;
	double interval_s, rate, sample;
	int64_t limit, seed;
	bool loop;
	const char *on_error;
	/* both */
	double stats_s;
	bool debug, quiet, help, version, unconfined;
	bool topicless; /* of a command that subscribes to nothing of the user's */

	bool source_configured; /* sealmq.yaml says how a source runs: no mistake where there is none this time */

	/* from the checks below */
	bool clean_start;
	uint32_t session_expiry_s;
	/* owned texts, in the order they were made */
	struct list owned;
	unsigned mode_level; /* where `mode` came from: a later level replaces it, the same level is an error */
};

void settings_init(struct settings *s);
/* Wipes the passwords and frees. */
void settings_done(struct settings *s);

/* A copy that lives as long as the settings. */
const char *settings_keep(struct settings *s, const char *text, size_t len);
void list_add(struct list *list, const char *item);

/*
 * Reads -L, the password file and whatever else follows from what was given, and checks what belongs together.
 * false: *ret_why says what is wrong, valid as long as the settings.
 */
bool settings_finish(struct settings *s, bool publishing, const char **ret_why);

/* The client's options for these settings; the realm and the callbacks are the caller's to set. */
struct smq_client_options settings_client(const struct settings *s, bool publishing, struct smq_mqtt_message *will);

#endif
