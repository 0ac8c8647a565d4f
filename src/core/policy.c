/* Accepting a group's policy and asking it (PROTOCOL.md 6.5). */
#include "core/policy.h"

#include "base/text.h"

static const char kind[] = "sealmq1 policy";
static const char place_of_group[] = "{group}";

smq_err smq_policy_sign(smq_span document, const struct smq_own_credential *admin, smq_mspan room, size_t *ret_len)
{
	struct smq_policy policy;
	smq_err err = smq_policy_decode(document, &policy);
	return err != SMQ_OK ? err : smq_sign1_encode_document(admin, kind, document, room, ret_len);
}

/* ---- accepting ---- */

static smq_err newer(const struct smq_policy_mark *have, const struct smq_policy_mark *offered)
{
	if (offered->number < have->number)
		return SMQ_ERR_STALE_EPOCH;
	if (offered->number > have->number)
		return SMQ_OK;
	return memcmp(offered->digest, have->digest, sizeof(have->digest)) == 0 ? SMQ_OK : SMQ_ERR_EXISTS;
}

static smq_err is_for(const struct smq_policy *p, smq_span realm, smq_span group)
{
	if (!smq_span_equal(p->realm, realm))
		return SMQ_ERR_REALM;
	if (group.len == 0 || smq_span_equal(p->group, group))
		return SMQ_OK;
	return p->is_template && smq_pattern_matches(p->group, group) ? SMQ_OK : SMQ_ERR_NAME;
}

smq_err smq_policy_accept(const struct smq_crypto *crypto, smq_span bytes, const struct smq_credential *admin,
			  smq_span realm, smq_span group, const struct smq_policy_mark *have,
			  struct smq_policy *ret_policy, struct smq_policy_mark *ret_mark)
{
	struct smq_sign1 s;
	struct smq_policy p;
	struct smq_policy_mark mark = { 0 };
	smq_err err = smq_sign1_decode(bytes, &s);
	if (err == SMQ_OK)
		err = smq_sign1_verify_document(&s, crypto, admin, SMQ_ROLE_ADMIN, kind);
	if (err == SMQ_OK)
		err = smq_policy_decode(s.payload, &p);
	if (err == SMQ_OK)
		err = is_for(&p, realm, group);
	if (err == SMQ_OK)
		err = crypto->sha256(&s.payload, 1, mark.digest);
	if (err != SMQ_OK)
		return err;
	mark.number = p.number;
	err = newer(have, &mark);
	if (err == SMQ_OK) {
		*ret_policy = p;
		*ret_mark = mark;
	}
	return err;
}

/* ---- templates ---- */

static void put_filter(struct smq_writer *w, smq_span filter, smq_span group)
{
	smq_span place = smq_span_str(place_of_group);
	size_t from = 0;
	for (size_t i = 0; i <= filter.len; i++) {
		if (i < filter.len && filter.p[i] != '/')
			continue;
		smq_span level = smq_span_of(filter.p + from, i - from);
		smq_write(w, smq_span_equal(level, place) ? group : level);
		if (i < filter.len)
			smq_write_u8(w, '/');
		from = i + 1;
	}
}

smq_err smq_policy_instantiate(const struct smq_policy *policy, smq_span group, smq_mspan room,
			       struct smq_policy *ret_policy)
{
	struct smq_policy p = *policy;
	struct smq_writer w = smq_writer_on(room);
	if (!policy->is_template)
		return SMQ_ERR_USAGE;
	if (!smq_name_valid(group) || !smq_pattern_matches(policy->group, group))
		return SMQ_ERR_NAME;
	p.is_template = false;
	smq_write(&w, group);
	p.group = smq_writer_span(&w);
	for (size_t i = 0; i < p.filter_count; i++) {
		size_t from = w.len;
		put_filter(&w, policy->filters[i], p.group);
		if (w.err != SMQ_OK)
			return w.err;
		p.filters[i] = smq_span_of(room.p + from, w.len - from);
		if (p.filters[i].len > SMQ_POLICY_FILTER_MAX)
			return SMQ_ERR_TOPIC;
	}
	*ret_policy = p;
	return SMQ_OK;
}

/* ---- asking ---- */

/* A mismatch goes back to the last '*' only: an earlier one could match nothing that the last one cannot. */
bool smq_pattern_matches(smq_span pattern, smq_span name)
{
	size_t p = 0, n = 0, star = SIZE_MAX, star_n = 0;
	while (n < name.len) {
		if (p < pattern.len && pattern.p[p] == '*') {
			star = p++;
			star_n = n;
		} else if (p < pattern.len && (pattern.p[p] == '?' || pattern.p[p] == name.p[n])) {
			p++;
			n++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			n = ++star_n;
		} else {
			return false;
		}
	}
	while (p < pattern.len && pattern.p[p] == '*')
		p++;
	return p == pattern.len;
}

bool smq_policy_admits(const struct smq_policy *policy, smq_span name, unsigned roles, enum smq_policy_act act)
{
	bool publish = act == SMQ_MAY_PUBLISH;
	const struct smq_policy_rule *rules = publish ? policy->publishers : policy->subscribers;
	size_t count = publish ? policy->publisher_count : policy->subscriber_count;
	for (size_t i = 0; i < count; i++) {
		if ((rules[i].roles == 0 || (rules[i].roles & roles) != 0) &&
		    smq_pattern_matches(rules[i].pattern, name))
			return true;
	}
	return false;
}

bool smq_policy_commands(const struct smq_policy *policy, smq_span name, unsigned roles, smq_span whom)
{
	for (size_t i = 0; i < policy->commander_count; i++) {
		const struct smq_policy_commander *c = &policy->commanders[i];
		if ((c->who.roles == 0 || (c->who.roles & roles) != 0) && smq_pattern_matches(c->who.pattern, name) &&
		    smq_pattern_matches(c->whom, whom))
			return true;
	}
	return false;
}

bool smq_policy_covers(const struct smq_policy *policy, smq_span topic)
{
	for (size_t i = 0; i < policy->filter_count; i++) {
		if (smq_topic_matches(policy->filters[i], topic))
			return true;
	}
	return false;
}

bool smq_policy_may(const struct smq_policy *policy, smq_span name, unsigned roles, enum smq_policy_act act,
		    smq_span topic)
{
	return smq_policy_admits(policy, name, roles, act) && smq_policy_covers(policy, topic);
}

smq_err smq_policy_grant(const struct smq_policy *policy, int64_t from_ms, int64_t until_ms, int64_t now_ms,
			 int64_t certificate_expires_ms, int64_t *ret_from_ms, int64_t *ret_until_ms)
{
	int64_t from = from_ms > now_ms ? from_ms : now_ms, until = until_ms;
	if (until > certificate_expires_ms)
		until = certificate_expires_ms;
	/* A lease counts from now: one that began later could be stretched by asking for a later start. */
	int64_t lease_ms = (int64_t)policy->lease_s * 1000;
	if (policy->lease_s != 0 && now_ms <= INT64_MAX - lease_ms && until > now_ms + lease_ms)
		until = now_ms + lease_ms;
	if (until <= from)
		return SMQ_ERR_USAGE;
	*ret_from_ms = from;
	*ret_until_ms = until;
	return SMQ_OK;
}

uint64_t smq_policy_oldest_epoch(const struct smq_policy *policy, uint64_t joined, uint64_t present)
{
	switch (policy->history) {
	case SMQ_HISTORY_JOIN:
		return joined < present ? joined : present;
	case SMQ_HISTORY_LAST:
		return present > policy->history_epochs ? present - policy->history_epochs : 1;
	case SMQ_HISTORY_NONE:
		break;
	}
	return present;
}
