/*
 * Which group a topic is for, as far as policies say that were heard of or kept. A policy that was heard of is not
 * verified: it says where to ask, and nothing more. What is sealed is held to the one that came with the grant.
 */
#ifndef SMQ_LIB_GROUP_HINTS_H
#define SMQ_LIB_GROUP_HINTS_H

#include <sealmq/realm.h>
#include "base/text.h"
#include <sealmq/span.h>

struct smq_group_hint {
	struct smq_group_hint *next;
	char group[SMQ_NAME_MAX + 1];
	bool kept; /* by a member of the group in this realm directory, which has verified it */
	size_t len;
	uint8_t document[];
};

struct smq_group_hints {
	struct smq_group_hint *first;
	size_t count;
};

/* Those that are in the realm's state. */
void smq_group_hints_load(struct smq_group_hints *hints, const smq_realm *realm);
/* A signed policy, from the group's topic. NULL: it is none, or one too many. */
const struct smq_group_hint *smq_group_hints_put(struct smq_group_hints *hints, smq_span group, smq_span signed_policy);
void smq_group_hints_done(struct smq_group_hints *hints);

/* smq_filter_width of the narrowest of its filters. */
uint64_t smq_group_hint_width(const struct smq_group_hint *hint, smq_span topic);
/* Whether it covers something of what this filter matches, and would let this member read it. */
bool smq_group_hint_reads(const struct smq_group_hint *hint, smq_span filter, smq_span name, unsigned roles);

#endif
