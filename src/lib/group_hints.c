/* Which group a topic is for, as far as policies say that were heard of or kept. */
#include "lib/group_hints.h"

#include <stdlib.h>
#include <string.h>

#include "app/topic_filter.h"
#include "core/group_member.h"
#include "core/policy.h"
#include "lib/realm_internal.h"
#include "wire/sign1.h"

enum { HINTS_MAX = 1024, NAMES_MAX = SMQ_NAME_MAX + SMQ_POLICY_FILTERS_MAX * (SMQ_POLICY_FILTER_MAX + SMQ_NAME_MAX) };

static struct smq_group_hint *put(struct smq_group_hints *hints, smq_span group, smq_span document)
{
	struct smq_group_hint **at = &hints->first;
	if (group.len > SMQ_NAME_MAX || document.len > SMQ_POLICY_MAX)
		return NULL;
	while (*at && !smq_span_equal(smq_span_str((*at)->group), group))
		at = &(*at)->next;
	if (!*at && hints->count == HINTS_MAX)
		return NULL;
	struct smq_group_hint *h = calloc(1, sizeof(*h) + document.len);
	if (!h)
		return NULL;
	memcpy(h->group, group.p, group.len);
	memcpy(h->document, document.p, document.len);
	h->len = document.len;
	if (*at) {
		struct smq_group_hint *old = *at;
		h->next = old->next;
		free(old);
	} else {
		hints->count++;
	}
	*at = h;
	return h;
}

static void take_kept(void *self, smq_span state)
{
	struct smq_policy p;
	smq_span document = smq_group_kept_policy(state);
	/* of a template's group the name is not in there */
	if (document.len == 0 || smq_policy_decode(document, &p) != SMQ_OK || p.is_template)
		return;
	struct smq_group_hint *h = put(self, p.group, document);
	if (h)
		h->kept = true;
}

void smq_group_hints_load(struct smq_group_hints *hints, const smq_realm *realm)
{
	smq_realm_each_membership(realm, hints, take_kept);
}

const struct smq_group_hint *smq_group_hints_put(struct smq_group_hints *hints, smq_span group, smq_span signed_policy)
{
	struct smq_sign1 s;
	return smq_sign1_decode(signed_policy, &s) == SMQ_OK ? put(hints, group, s.payload) : NULL;
}

void smq_group_hints_done(struct smq_group_hints *hints)
{
	while (hints->first) {
		struct smq_group_hint *h = hints->first;
		hints->first = h->next;
		free(h);
	}
	hints->count = 0;
}

/* ---- asking ---- */

/* names: room for what a template says of this group. */
static bool read_policy(const struct smq_group_hint *h, uint8_t names[NAMES_MAX], struct smq_policy *ret_policy)
{
	struct smq_policy p;
	smq_span group = smq_span_str(h->group);
	if (smq_policy_decode(smq_span_of(h->document, h->len), &p) != SMQ_OK)
		return false;
	if (p.is_template && smq_policy_instantiate(&p, group, smq_mspan_of(names, NAMES_MAX), &p) != SMQ_OK)
		return false;
	*ret_policy = p;
	return smq_span_equal(p.group, group);
}

uint64_t smq_group_hint_width(const struct smq_group_hint *h, smq_span topic)
{
	uint8_t names[NAMES_MAX];
	struct smq_policy p;
	uint64_t best = 0;
	if (!read_policy(h, names, &p))
		return 0;
	for (size_t i = 0; i < p.filter_count; i++) {
		uint64_t width = smq_filter_width(p.filters[i], topic);
		best = width > best ? width : best;
	}
	return best;
}

bool smq_group_hint_reads(const struct smq_group_hint *h, smq_span filter, smq_span name, unsigned roles)
{
	uint8_t names[NAMES_MAX];
	struct smq_policy p;
	if (!read_policy(h, names, &p) || !smq_policy_admits(&p, name, roles, SMQ_MAY_SUBSCRIBE))
		return false;
	for (size_t i = 0; i < p.filter_count; i++) {
		if (smq_filters_overlap(p.filters[i], filter))
			return true;
	}
	return false;
}
