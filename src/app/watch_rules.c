/* The table of rules, and its keys. */
#include "app/watch_rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Counts are chosen so that a day of a hundred well-behaved devices passes without an alarm: doc/BROKER.md 5. */
const struct smq_watch_rule_row smq_watch_rule_rows[SMQ_RULES] = {
	[SMQ_RULE_PASSWORD_GUESSING] = { "password-guessing",
					 "names or passwords are guessed%s",
					 { 10, 60, SMQ_SEVERITY_HIGH, false } },
	[SMQ_RULE_CERTIFICATE_GUESSING] = { "certificate-guessing",
					    "certificates are tried%s",
					    { 10, 60, SMQ_SEVERITY_HIGH, false } },
	[SMQ_RULE_ACL_PROBING] = { "acl-probing",
				   "%s publishes where it may not",
				   { 5, 60, SMQ_SEVERITY_HIGH, false } },
	[SMQ_RULE_TOPIC_SCAN] = { "topic-scan",
				  "%s tries one topic after the other",
				  { 20, 60, SMQ_SEVERITY_MEDIUM, false } },
	[SMQ_RULE_WILDCARD] = { "wildcard-subscription",
				"%s asks for everything",
				{ 1, 60, SMQ_SEVERITY_MEDIUM, false } },
	[SMQ_RULE_CONNECTION_STORM] = { "connection-storm",
					"connections come in masses%s",
					{ 300, 10, SMQ_SEVERITY_HIGH, false } },
	[SMQ_RULE_ADDRESS_STORM] = { "address-storm",
				     "connections in masses from %s",
				     { 100, 10, SMQ_SEVERITY_HIGH, false } },
	[SMQ_RULE_SHORT_CONNECTIONS] = { "short-connections",
					 "connections from %s end as soon as they are there",
					 { 30, 60, SMQ_SEVERITY_MEDIUM, false } },
	[SMQ_RULE_RECONNECT_LOOP] = { "reconnect-loop",
				      "client %s connects again and again",
				      { 10, 60, SMQ_SEVERITY_MEDIUM, false } },
	[SMQ_RULE_TAKEOVER] = { "takeover", "two clients fight over the id %s", { 3, 60, SMQ_SEVERITY_HIGH, false } },
	[SMQ_RULE_MALFORMED] = { "malformed", "malformed packets from %s", { 3, 300, SMQ_SEVERITY_HIGH, false } },
	[SMQ_RULE_OVERSIZE] = { "oversize",
				"packets that are too large from %s",
				{ 2, 300, SMQ_SEVERITY_MEDIUM, false } },
	[SMQ_RULE_TIMEOUTS] = { "timeouts", "%s is lost again and again", { 5, 600, SMQ_SEVERITY_LOW, false } },
	[SMQ_RULE_NOT_TLS13] = { "not-tls13",
				 "%s speaks something else than TLS 1.3",
				 { 10, 60, SMQ_SEVERITY_MEDIUM, false } },
	[SMQ_RULE_ADDRESS_LIMIT] = { "address-limit",
				     "%s has reached the limit of connections",
				     { 1, 60, SMQ_SEVERITY_MEDIUM, false } },
	[SMQ_RULE_UNREACHABLE] = { "broker-unreachable",
				   "NGINX does not reach the broker at %s",
				   { 1, 60, SMQ_SEVERITY_CRITICAL, false } },
	[SMQ_RULE_RESTARTS] = { "broker-restarts",
				"the broker starts again and again%s",
				{ 3, 600, SMQ_SEVERITY_HIGH, false } },
	[SMQ_RULE_FORGED] = { "forged",
			      "messages that say they are from %s do not open",
			      { 3, 300, SMQ_SEVERITY_CRITICAL, false } },
	[SMQ_RULE_REPLAYED] = { "replayed", "messages of %s are played again", { 3, 300, SMQ_SEVERITY_HIGH, false } },
	[SMQ_RULE_MOVED] = { "moved",
			     "a message of %s was moved to another topic",
			     { 1, 300, SMQ_SEVERITY_HIGH, false } },
	[SMQ_RULE_STALE] = { "stale",
			     "%s uses keys or manifests that have passed",
			     { 5, 300, SMQ_SEVERITY_MEDIUM, false } },
	[SMQ_RULE_REFUSED] = { "refused", "messages of %s are refused", { 20, 300, SMQ_SEVERITY_MEDIUM, false } },
	[SMQ_RULE_KEYEX_FAILED] = { "key-exchange",
				    "key exchanges with %s fail",
				    { 5, 300, SMQ_SEVERITY_MEDIUM, false } },
	[SMQ_RULE_JOIN_DENIED] = { "join-denied",
				   "%s asks the key server for what it may not have",
				   { 5, 300, SMQ_SEVERITY_MEDIUM, false } },
	/* count: times its usual pause; within: and at least so long */
	[SMQ_RULE_SILENT] = { "sender-silent", "%s has fallen silent", { 10, 60, SMQ_SEVERITY_MEDIUM, false } },
	/* count: times its usual number a minute; within: of minutes that its history must have */
	[SMQ_RULE_RATE] = { "sender-rate", "%s sends far more than it used to", { 5, 10, SMQ_SEVERITY_MEDIUM, false } },
	/* count: times its usual size; within: of messages that its history must have */
	[SMQ_RULE_SIZE] = { "sender-size",
			    "%s sends far larger messages than it used to",
			    { 8, 50, SMQ_SEVERITY_MEDIUM, false } },
	/* count: missing in a minute, and five times what is usual */
	[SMQ_RULE_GAPS] = { "sender-gaps",
			    "far more of %s's messages are missing than used to",
			    { 10, 60, SMQ_SEVERITY_MEDIUM, false } },
	/* $SYS. count: messages that the broker dropped within; megabytes */
	[SMQ_RULE_DROPPED] = { "messages-dropped",
			       "the broker drops messages%s",
			       { 100, 60, SMQ_SEVERITY_MEDIUM, false } },
	[SMQ_RULE_MEMORY] = { "broker-memory",
			      "the broker is about to run out of memory%s",
			      { 448, 60, SMQ_SEVERITY_HIGH, false } },
	/* count: days, hours */
	[SMQ_RULE_CERTIFICATE_END] = { "certificate-end",
				       "the certificate %s ends soon, or has ended",
				       { 30, 86400, SMQ_SEVERITY_HIGH, false } },
	[SMQ_RULE_CRL_END] = { "crl-end",
			       "the revocation list %s ends soon, or has ended",
			       { 36, 3600, SMQ_SEVERITY_HIGH, false } },
};

struct smq_watch_settings smq_watch_settings_preset(void)
{
	struct smq_watch_settings s = { .suppress_s = 900 };
	for (size_t i = 0; i < SMQ_RULES; i++)
		s.limits[i] = smq_watch_rule_rows[i].preset;
	return s;
}

/* rules.NAME[.WHAT]: the rule, and where WHAT begins. */
static bool find_rule(const char *key, size_t *ret_rule, const char **ret_what)
{
	if (strncmp(key, "rules.", 6) != 0)
		return false;
	size_t len = strcspn(key + 6, ".");
	for (size_t i = 0; i < SMQ_RULES; i++) {
		if (strlen(smq_watch_rule_rows[i].name) == len &&
		    memcmp(smq_watch_rule_rows[i].name, key + 6, len) == 0) {
			*ret_rule = i;
			*ret_what = key + 6 + len;
			return true;
		}
	}
	return false;
}

int smq_watch_key(const char *key)
{
	size_t rule = 0;
	const char *what = NULL;
	if (strcmp(key, "suppress") == 0)
		return 1;
	if (strcmp(key, "rules") == 0)
		return 2;
	if (!find_rule(key, &rule, &what))
		return 0;
	if (!*what)
		return 2;
	return strcmp(what, ".count") == 0 || strcmp(what, ".within") == 0 || strcmp(what, ".severity") == 0 ||
	       strcmp(what, ".off") == 0;
}

/* 90, 90s, 15m, 12h, 7d */
static bool duration(const char *text, uint32_t *ret_s)
{
	static const char units[] = "smhd";
	static const uint32_t seconds[] = { 1, 60, 3600, 86400 };
	char *end = NULL;
	unsigned long n = strtoul(text, &end, 10);
	if (end == text || *text == '-' || n == 0 || n > 8640000)
		return false;
	const char *unit = *end ? strchr(units, *end) : units;
	if (!unit || (*end && end[1]))
		return false;
	*ret_s = (uint32_t)n * seconds[unit - units];
	return *ret_s <= 8640000;
}

static smq_err refuse(char *ret_problem, size_t room, const char *text)
{
	(void)snprintf(ret_problem, room, "%s", text);
	return SMQ_ERR_CONFIG;
}

static smq_err set_limit(struct smq_watch_limit *l, const char *what, const char *value, char *ret_problem, size_t room)
{
	char *end = NULL;
	if (strcmp(what, ".count") == 0) {
		unsigned long n = strtoul(value, &end, 10);
		if (end == value || *end || *value == '-' || n < 1 || n > 1000000)
			return refuse(ret_problem, room, "a number from 1 to 1000000 is wanted");
		l->count = (uint32_t)n;
	} else if (strcmp(what, ".within") == 0) {
		if (!duration(value, &l->within_s))
			return refuse(ret_problem, room, "a time such as 90s, 15m, 12h, 7d is wanted");
	} else if (strcmp(what, ".severity") == 0) {
		for (int s = SMQ_SEVERITY_LOW; s <= SMQ_SEVERITY_CRITICAL; s++) {
			if (strcmp(value, smq_severity_name((enum smq_severity)s)) == 0) {
				l->severity = (enum smq_severity)s;
				return SMQ_OK;
			}
		}
		return refuse(ret_problem, room, "low, medium, high or critical is wanted");
	} else if (strcmp(value, "true") == 0 || strcmp(value, "false") == 0) {
		l->off = value[0] == 't';
	} else {
		return refuse(ret_problem, room, "true or false is wanted");
	}
	return SMQ_OK;
}

smq_err smq_watch_set(struct smq_watch_settings *s, const char *key, const char *value, char *ret_problem, size_t room)
{
	size_t rule = 0;
	const char *what = NULL;
	if (strcmp(key, "suppress") == 0)
		return duration(value, &s->suppress_s)
			   ? SMQ_OK
			   : refuse(ret_problem, room, "a time such as 90s, 15m, 12h, 7d is wanted");
	if (!find_rule(key, &rule, &what))
		return refuse(ret_problem, room, "no such rule");
	return set_limit(&s->limits[rule], what, value, ret_problem, room);
}

const char *smq_watch_rules_text(void)
{
	static char text[8192];
	size_t len = (size_t)snprintf(text, sizeof(text),
				      "# Thresholds of `sealmq watch`; what is left out stays as it is.\n"
				      "suppress: 900s # an alarm is not repeated for so long\nrules:\n");
	for (size_t i = 0; i < SMQ_RULES && len < sizeof(text); i++) {
		const struct smq_watch_rule_row *row = &smq_watch_rule_rows[i];
		len += (size_t)snprintf(
		    text + len, sizeof(text) - len, "  %s: { count: %u, within: %us, severity: %s, off: false }\n",
		    row->name, row->preset.count, row->preset.within_s, smq_severity_name(row->preset.severity));
	}
	return text;
}
