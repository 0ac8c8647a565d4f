/* The rules of `sealmq watch`: their names, thresholds, and the keys under which a YAML file sets them. */
#ifndef SMQ_APP_WATCH_RULES_H
#define SMQ_APP_WATCH_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sealmq/err.h>
#include <sealmq/watch.h>

enum smq_watch_rule {
	SMQ_RULE_PASSWORD_GUESSING,
	SMQ_RULE_CERTIFICATE_GUESSING,
	SMQ_RULE_ACL_PROBING,
	SMQ_RULE_TOPIC_SCAN,
	SMQ_RULE_WILDCARD,
	SMQ_RULE_CONNECTION_STORM,
	SMQ_RULE_ADDRESS_STORM,
	SMQ_RULE_SHORT_CONNECTIONS,
	SMQ_RULE_RECONNECT_LOOP,
	SMQ_RULE_TAKEOVER,
	SMQ_RULE_MALFORMED,
	SMQ_RULE_OVERSIZE,
	SMQ_RULE_TIMEOUTS,
	SMQ_RULE_NOT_TLS13,
	SMQ_RULE_ADDRESS_LIMIT,
	SMQ_RULE_UNREACHABLE,
	SMQ_RULE_RESTARTS,
	SMQ_RULE_FORGED,
	SMQ_RULE_REPLAYED,
	SMQ_RULE_MOVED,
	SMQ_RULE_STALE,
	SMQ_RULE_REFUSED,
	SMQ_RULE_KEYEX_FAILED,
	SMQ_RULE_JOIN_DENIED,
	SMQ_RULE_SILENT,
	SMQ_RULE_RATE,
	SMQ_RULE_SIZE,
	SMQ_RULE_GAPS,
	SMQ_RULE_DROPPED,
	SMQ_RULE_MEMORY,
	SMQ_RULE_CERTIFICATE_END,
	SMQ_RULE_CRL_END,
	SMQ_RULES
};

struct smq_watch_limit {
	uint32_t count, within_s; /* so many within so long; see the table for rules that count otherwise */
	enum smq_severity severity;
	bool off;
};

struct smq_watch_settings {
	struct smq_watch_limit limits[SMQ_RULES];
	uint32_t suppress_s; /* an alarm is not repeated for so long */
};

struct smq_watch_rule_row {
	const char *name;
	const char *text; /* what happened, with %s for whom */
	struct smq_watch_limit preset;
};
extern const struct smq_watch_rule_row smq_watch_rule_rows[SMQ_RULES];

struct smq_watch_settings smq_watch_settings_preset(void);
/* What "rules.NAME.count" and the like are: 1 a value, 2 a section, 0 unknown. */
int smq_watch_key(const char *key);
/* Sets one. SMQ_ERR_CONFIG, with what would be right in ret_problem. */
SMQ_MUST_USE smq_err smq_watch_set(struct smq_watch_settings *s, const char *key, const char *value, char *ret_problem,
				   size_t room);

#endif
