/* Policies at the key server: taken from admins, kept, and applied to the members that are there. */
#include "app/keyserver_inner.h"

#include <stdlib.h>

enum { NAMES_MAX = SMQ_MEMBER_NAME_MAX + SMQ_POLICY_FILTERS_MAX * (SMQ_POLICY_FILTER_MAX + SMQ_MEMBER_NAME_MAX) };

void ks_policy_done(struct ks_policy *p)
{
	free(p->signed_bytes.p);
	free(p->admin.p);
	free(p->names);
	memset(p, 0, sizeof(*p));
}

static smq_err decode_signed(const struct smq_crypto *crypto, smq_span signed_bytes, struct smq_policy *ret_policy,
			     struct smq_policy_mark *ret_mark)
{
	struct smq_sign1 s;
	smq_err err = smq_sign1_decode(signed_bytes, &s);
	if (err == SMQ_OK)
		err = smq_policy_decode(s.payload, ret_policy);
	if (err == SMQ_OK)
		err = crypto->sha256(&s.payload, 1, ret_mark->digest);
	if (err == SMQ_OK)
		ret_mark->number = ret_policy->number;
	return err;
}

smq_err ks_policy_set(const struct smq_keyserver *ks, struct ks_policy *p, smq_span signed_bytes, smq_span admin,
		      smq_span group)
{
	struct ks_policy n = { .names = NULL };
	smq_err err = ks_bytes_set(&n.signed_bytes, signed_bytes);
	if (err == SMQ_OK)
		err = ks_bytes_set(&n.admin, admin);
	if (err == SMQ_OK)
		err = decode_signed(ks->config.crypto, ks_span(&n.signed_bytes), &n.of_template, &n.mark);
	n.policy = n.of_template;
	n.instance = n.of_template.is_template && group.len > 0;
	if (err == SMQ_OK && n.instance) {
		n.names = malloc(NAMES_MAX);
		err = n.names
			  ? smq_policy_instantiate(&n.of_template, group, smq_mspan_of(n.names, NAMES_MAX), &n.policy)
			  : SMQ_ERR_NO_MEMORY;
	}
	if (err != SMQ_OK) {
		ks_policy_done(&n);
		return err;
	}
	ks_policy_done(p);
	*p = n;
	return SMQ_OK;
}

struct ks_policy *ks_template_for(struct smq_keyserver *ks, smq_span group)
{
	for (size_t i = 0; i < ks->template_count; i++) {
		if (smq_pattern_matches(ks->templates[i].policy.group, group))
			return &ks->templates[i];
	}
	return NULL;
}

static struct ks_policy *template_named(struct smq_keyserver *ks, smq_span pattern)
{
	for (size_t i = 0; i < ks->template_count; i++) {
		if (smq_span_equal(ks->templates[i].policy.group, pattern))
			return &ks->templates[i];
	}
	return NULL;
}

/* ---- a policy that replaces another ---- */

/* What slots and epochs are for cannot change under members that hold keys of the old kind: that is another group. */
static bool same_kind(const struct smq_policy *a, const struct smq_policy *b)
{
	return a->mode == b->mode && a->slot_ms == b->slot_ms && a->slot_levels == b->slot_levels;
}

/* Whoever is not admitted any more goes; whoever may do less, does. */
static smq_err review_members(struct ks_group *g, struct smq_now now)
{
	smq_err err = SMQ_OK;
	for (uint64_t i = 0; i < smq_keygroup_places(g->group) && err == SMQ_OK; i++) {
		const struct smq_keygroup_member *m = smq_keygroup_at(g->group, i);
		bool pending;
		if (!m)
			continue;
		smq_span name = smq_span_str(m->name);
		unsigned roles = ks_admitted(g, name, g->leaves[m->leaf].cert_roles, m->roles);
		struct smq_join j = { name, roles, m->from_ms, m->until_ms, { 0 } };
		memcpy(j.boot_id, m->boot_id, sizeof(j.boot_id));
		if (roles == 0)
			err = ks_group_leave(g, name, true, now);
		else if (roles != m->roles)
			err = smq_keygroup_join(g->group, &j, &pending);
	}
	return err;
}

static smq_err replace(struct ks_group *g, smq_span signed_bytes, smq_span admin, struct smq_now now)
{
	smq_err err = ks_policy_set(g->ks, &g->policy, signed_bytes, admin, smq_span_str(g->name));
	if (err == SMQ_OK)
		err = review_members(g, now);
	if (err != SMQ_OK)
		return err;
	g->new_policy = true;
	g->moves = true; /* the manifest names the policy */
	smq_keygroup_rotate(g->group);
	ks_group_schedule(g, true, now);
	return SMQ_OK;
}

/* Groups that came into being under a template follow it, unless an admin has given them a policy of their own. */
static smq_err follow_template(struct smq_keyserver *ks, const struct ks_policy *t, struct smq_now now)
{
	smq_err err = SMQ_OK;
	for (size_t i = 0; i < ks->group_count && err == SMQ_OK; i++) {
		struct ks_group *g = ks->groups[i];
		if (g->policy.instance && smq_span_equal(g->policy.of_template.group, t->policy.group) &&
		    g->policy.mark.number < t->mark.number && same_kind(&g->policy.policy, &t->policy))
			err = replace(g, ks_span(&t->signed_bytes), ks_span(&t->admin), now);
	}
	return err;
}

static smq_err take_template(struct smq_keyserver *ks, const struct smq_policy *policy,
			     const struct smq_ks_request *request, struct smq_now now)
{
	const struct smq_ks_store *store = &ks->config.store;
	struct ks_policy *t = template_named(ks, policy->group);
	struct ks_policy fresh = { .names = NULL };
	char pattern[SMQ_POLICY_PATTERN_MAX + 1] = { 0 };
	if (!t && ks->template_count == KS_TEMPLATES_MAX)
		return SMQ_ERR_FULL;
	if (policy->group.len > SMQ_POLICY_PATTERN_MAX)
		return SMQ_ERR_NAME;
	memcpy(pattern, policy->group.p, policy->group.len);
	smq_err err = ks_policy_set(ks, &fresh, request->policy, request->admin, smq_span_of(NULL, 0));
	if (err == SMQ_OK)
		err = store->begin(store->self);
	if (err != SMQ_OK)
		return err;
	err = ks_save_policy(ks, pattern, &fresh, true);
	if (err == SMQ_OK)
		err = store->commit(store->self);
	else
		store->rollback(store->self);
	if (err != SMQ_OK) {
		ks_policy_done(&fresh);
		return err;
	}
	t = t ? t : &ks->templates[ks->template_count++];
	ks_policy_done(t);
	*t = fresh;
	return follow_template(ks, t, now);
}

/* ---- a request ---- */

smq_err ks_policy_take(struct smq_keyserver *ks, const struct smq_ks_request *q, struct smq_now now,
		       struct ks_group **ret_group)
{
	const struct smq_policy_mark none = { 0 };
	struct smq_policy_mark mark;
	struct smq_policy policy;
	struct smq_credential admin;
	smq_span any = smq_span_of(NULL, 0);
	*ret_group = NULL;
	smq_err err = decode_signed(ks->config.crypto, q->policy, &policy, &mark);
	if (err == SMQ_OK && q->group.len > 0 && !smq_span_equal(q->group, policy.group) &&
	    !(policy.is_template && smq_pattern_matches(policy.group, q->group)))
		err = SMQ_ERR_NAME;
	if (err == SMQ_OK)
		err = ks->config.credentials->resolve(ks->config.credentials->self, q->admin, now.unix_ms, &admin);
	if (err != SMQ_OK)
		return err;
	struct ks_group *g = policy.is_template ? NULL : ks_group_find(ks, policy.group);
	struct ks_policy *t = policy.is_template ? template_named(ks, policy.group) : NULL;
	const struct smq_policy_mark *have = g ? &g->policy.mark : t ? &t->mark : &none;
	err =
	    smq_policy_accept(ks->config.crypto, q->policy, &admin, smq_span_str(ks->realm), any, have, &policy, &mark);
	if (err != SMQ_OK || mark.number == have->number)
		return err;
	if (policy.is_template)
		return take_template(ks, &policy, q, now);
	if (!g)
		return ks_group_make(ks, policy.group, q->policy, q->admin, now, ret_group);
	if (!same_kind(&g->policy.policy, &policy))
		return SMQ_ERR_UNSUPPORTED;
	*ret_group = g;
	return replace(g, q->policy, q->admin, now);
}
