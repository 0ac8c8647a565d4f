/* Policies as people write them (sealmq/admin.h), to and from the document (wire/policy.h). */
#ifndef SMQ_LIB_POLICY_TEXT_H
#define SMQ_LIB_POLICY_TEXT_H

#include <sealmq/admin.h>

#include "wire/policy.h"

/* Spans of ret_policy point into p and realm. SMQ_ERR_USAGE, SMQ_ERR_ALGORITHM, SMQ_ERR_NAME, with why. */
SMQ_MUST_USE smq_err smq_policy_from_text(const struct smq_group_policy *p, const char *realm, uint64_t number,
					  int64_t now_ms, struct smq_policy *ret_policy, char *ret_why, size_t why_len);

/* Room for the strings of one policy. */
struct smq_policy_strings {
	char group[SMQ_POLICY_PATTERN_MAX + 1], history[24];
	char filter_text[SMQ_POLICY_FILTERS_MAX][SMQ_POLICY_FILTER_MAX + 1];
	char rule_text[2][SMQ_POLICY_RULES_MAX][SMQ_POLICY_PATTERN_MAX + 16];
	const char *filters[SMQ_POLICY_FILTERS_MAX];
	const char *rules[2][SMQ_POLICY_RULES_MAX];
	char commander_text[SMQ_POLICY_COMMANDERS_MAX][2 * SMQ_POLICY_PATTERN_MAX + 20];
	const char *commanders[SMQ_POLICY_COMMANDERS_MAX];
};
/* The strings of ret_policy lie in room. */
void smq_policy_to_text(const struct smq_policy *policy, struct smq_policy_strings *room,
			struct smq_group_policy *ret_policy);
const char *smq_policy_mode_name(enum smq_policy_mode mode);

#endif
