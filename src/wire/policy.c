/* A group's policy (PROTOCOL.md 6.5). */
#include "wire/policy.h"

#include "base/text.h"
#include "wire/fields.h"
#include "wire/sealed.h"
#include "wire/slot_seeds.h"

enum { VERSION = 1, FIELDS = 21, ROLES_ALL = 15 };

/* ---- encoding ---- */

static void put_rules(struct smq_writer *w, const struct smq_policy_rule *rules, size_t count)
{
	smq_cbor_put_array(w, count);
	for (size_t i = 0; i < count; i++) {
		smq_cbor_put_array(w, 2);
		smq_cbor_put_text(w, rules[i].pattern);
		smq_cbor_put_uint(w, rules[i].roles);
	}
}

static void put_commanders(struct smq_writer *w, const struct smq_policy *p)
{
	smq_cbor_put_array(w, p->commander_count);
	for (size_t i = 0; i < p->commander_count; i++) {
		smq_cbor_put_array(w, 3);
		smq_cbor_put_text(w, p->commanders[i].who.pattern);
		smq_cbor_put_uint(w, p->commanders[i].who.roles);
		smq_cbor_put_text(w, p->commanders[i].whom);
	}
}

static void put_times(struct smq_writer *w, const struct smq_policy *p)
{
	smq_cbor_put_uint(w, p->batch_ms);
	smq_cbor_put_uint(w, p->activation_ms);
	smq_cbor_put_uint(w, p->grace_ms);
	smq_cbor_put_uint(w, p->validity_s);
	smq_cbor_put_uint(w, p->lease_s);
	smq_cbor_put_array(w, 2);
	smq_cbor_put_uint(w, (uint64_t)p->history);
	smq_cbor_put_uint(w, p->history_epochs);
	smq_cbor_put_uint(w, p->members_max);
	smq_cbor_put_uint(w, p->issued_s);
}

static void put_keys(struct smq_writer *w, const struct smq_policy *p)
{
	smq_cbor_put_uint(w, (uint64_t)p->mode);
	smq_cbor_put_uint(w, p->rotate_s);
	if (p->mode == SMQ_MODE_SLOTTED) {
		smq_cbor_put_array(w, 2);
		smq_cbor_put_uint(w, p->slot_ms);
		smq_cbor_put_uint(w, p->slot_levels);
	} else {
		smq_cbor_put_null(w);
	}
	smq_cbor_put_int(w, p->alg ? p->alg->id : 0);
	smq_cbor_put_array(w, 3);
	smq_cbor_put_uint(w, (uint64_t)p->proof);
	smq_cbor_put_uint(w, p->proof_messages);
	smq_cbor_put_uint(w, p->proof_s);
}

smq_err smq_policy_encode(const struct smq_policy *p, smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	struct smq_policy back;
	size_t len = 0;
	if (p->filter_count > SMQ_POLICY_FILTERS_MAX || p->publisher_count > SMQ_POLICY_RULES_MAX ||
	    p->subscriber_count > SMQ_POLICY_RULES_MAX || p->commander_count > SMQ_POLICY_COMMANDERS_MAX)
		return SMQ_ERR_USAGE;
	/* where nobody commands, the document is the one that there was before commands */
	smq_cbor_put_array(&w, FIELDS + (p->commander_count > 0));
	smq_cbor_put_uint(&w, VERSION);
	smq_cbor_put_text(&w, p->realm);
	smq_cbor_put_text(&w, p->group);
	smq_cbor_put_uint(&w, p->number);
	smq_cbor_put_bool(&w, p->is_template);
	smq_cbor_put_array(&w, p->filter_count);
	for (size_t i = 0; i < p->filter_count; i++)
		smq_cbor_put_text(&w, p->filters[i]);
	put_keys(&w, p);
	put_rules(&w, p->publishers, p->publisher_count);
	put_rules(&w, p->subscribers, p->subscriber_count);
	put_times(&w, p);
	if (p->commander_count > 0)
		put_commanders(&w, p);
	smq_err err = smq_writer_end(&w, &len);
	/* An admin who signs what members refuse would notice too late. */
	if (err == SMQ_OK && smq_policy_decode(smq_span_of(room.p, len), &back) != SMQ_OK)
		err = SMQ_ERR_USAGE;
	if (err == SMQ_OK)
		*ret_len = len;
	return err;
}

/* ---- decoding ---- */

static bool pattern_valid(smq_span pattern)
{
	uint8_t name[SMQ_POLICY_PATTERN_MAX];
	if (pattern.len < 1 || pattern.len > sizeof(name))
		return false;
	for (size_t i = 0; i < pattern.len; i++) {
		uint8_t c = pattern.p[i];
		name[i] = c == '*' || c == '?' ? 'x' : c;
	}
	return smq_name_valid(smq_span_of(name, pattern.len));
}

static void read_rules(struct smq_reader *r, struct smq_policy_rule *rules, size_t *count)
{
	size_t n = smq_cbor_get_array(r);
	if (n > SMQ_POLICY_RULES_MAX)
		smq_reader_fail(r, SMQ_ERR_FULL);
	for (size_t i = 0; i < n && r->err == SMQ_OK; i++) {
		if (smq_cbor_get_array(r) != 2)
			smq_reader_fail(r, SMQ_ERR_MALFORMED);
		rules[i].pattern = smq_cbor_get_text(r);
		rules[i].roles = (unsigned)smq_get_between(r, 0, ROLES_ALL);
		if (!pattern_valid(rules[i].pattern))
			smq_reader_fail(r, SMQ_ERR_NAME);
		*count = i + 1;
	}
}

static void read_commanders(struct smq_reader *r, struct smq_policy *p)
{
	size_t n = smq_cbor_get_array(r);
	if (n > SMQ_POLICY_COMMANDERS_MAX)
		smq_reader_fail(r, SMQ_ERR_FULL);
	else if (n == 0)
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
	for (size_t i = 0; i < n && r->err == SMQ_OK; i++) {
		struct smq_policy_commander *c = &p->commanders[i];
		if (smq_cbor_get_array(r) != 3)
			smq_reader_fail(r, SMQ_ERR_MALFORMED);
		c->who.pattern = smq_cbor_get_text(r);
		c->who.roles = (unsigned)smq_get_between(r, 0, ROLES_ALL);
		c->whom = smq_cbor_get_text(r);
		if (!pattern_valid(c->who.pattern) || !pattern_valid(c->whom))
			smq_reader_fail(r, SMQ_ERR_NAME);
		p->commander_count = i + 1;
	}
}

/* A shared subscription is a way to receive, not a set of topics. */
static bool filter_valid(smq_span filter)
{
	smq_span share = smq_span_str("$share/");
	return filter.len <= SMQ_POLICY_FILTER_MAX && smq_topic_filter_valid(filter) &&
	       !(filter.len >= share.len && memcmp(filter.p, share.p, share.len) == 0);
}

static void read_filters(struct smq_reader *r, struct smq_policy *p)
{
	size_t n = smq_cbor_get_array(r);
	if (n > SMQ_POLICY_FILTERS_MAX)
		smq_reader_fail(r, SMQ_ERR_FULL);
	else if (n == 0)
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
	for (size_t i = 0; i < n && r->err == SMQ_OK; i++) {
		p->filters[i] = smq_cbor_get_text(r);
		if (!filter_valid(p->filters[i]))
			smq_reader_fail(r, SMQ_ERR_TOPIC);
		p->filter_count = i + 1;
	}
}

static void read_head(struct smq_reader *r, struct smq_policy *p, bool *ret_commanders)
{
	size_t fields = smq_cbor_get_array(r);
	*ret_commanders = fields == FIELDS + 1;
	if (fields != FIELDS && fields != FIELDS + 1)
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
	if (smq_cbor_get_uint(r) != VERSION)
		smq_reader_fail(r, SMQ_ERR_VERSION);
	p->realm = smq_cbor_get_text(r);
	p->group = smq_cbor_get_text(r);
	p->number = smq_get_between(r, 1, UINT64_MAX);
	p->is_template = smq_cbor_get_bool(r);
	if (!smq_name_valid(p->realm) || !(p->is_template ? pattern_valid(p->group) : smq_name_valid(p->group)))
		smq_reader_fail(r, SMQ_ERR_NAME);
}

static void read_slots(struct smq_reader *r, struct smq_policy *p)
{
	if (p->mode != SMQ_MODE_SLOTTED) {
		smq_cbor_get_null(r);
		return;
	}
	if (smq_cbor_get_array(r) != 2)
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
	p->slot_ms = smq_get_between(r, SMQ_POLICY_SLOT_MIN_MS, SMQ_POLICY_SLOT_MAX_MS);
	p->slot_levels = (unsigned)smq_get_between(r, 1, SMQ_SLOT_LEVELS_MAX);
}

static void read_proof(struct smq_reader *r, struct smq_policy *p)
{
	if (smq_cbor_get_array(r) != 3)
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
	p->proof = (enum smq_policy_proof)smq_get_between(r, 0, SMQ_PROOF_CHECKPOINT);
	bool checkpoint = p->proof == SMQ_PROOF_CHECKPOINT;
	p->proof_messages = smq_get_between(r, checkpoint, checkpoint ? SMQ_POLICY_CHECKPOINT_MAX : 0);
	p->proof_s = smq_get_between(r, checkpoint, checkpoint ? SMQ_POLICY_CHECKPOINT_MAX_S : 0);
}

static void read_keys(struct smq_reader *r, struct smq_policy *p)
{
	p->mode = (enum smq_policy_mode)smq_get_between(r, 0, SMQ_MODE_SLOTTED);
	p->rotate_s = smq_get_between(r, 0, SMQ_POLICY_SPAN_MAX_S);
	read_slots(r, p);
	int64_t alg = smq_cbor_get_int(r);
	p->alg = alg > 0 && alg <= INT32_MAX ? smq_sealed_alg((int)alg) : NULL;
	if (!p->alg)
		smq_reader_fail(r, SMQ_ERR_ALGORITHM);
	read_proof(r, p);
}

static void read_times(struct smq_reader *r, struct smq_policy *p)
{
	p->batch_ms = smq_get_between(r, 0, SMQ_POLICY_BATCH_MAX_MS);
	p->activation_ms = smq_get_between(r, 0, SMQ_POLICY_ACTIVATION_MAX_MS);
	p->grace_ms = smq_get_between(r, 0, SMQ_POLICY_GRACE_MAX_MS);
	p->validity_s = smq_get_between(r, 1, SMQ_POLICY_SPAN_MAX_S);
	p->lease_s = smq_get_between(r, 0, SMQ_POLICY_SPAN_MAX_S);
	if (smq_cbor_get_array(r) != 2)
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
	p->history = (enum smq_policy_history)smq_get_between(r, 0, SMQ_HISTORY_LAST);
	bool last = p->history == SMQ_HISTORY_LAST;
	p->history_epochs = smq_get_between(r, last, last ? SMQ_POLICY_HISTORY_MAX : 0);
	p->members_max = smq_get_between(r, 1, SMQ_POLICY_MEMBERS_MAX);
	p->issued_s = smq_get_between(r, 0, INT64_MAX / 1000);
}

smq_err smq_policy_decode(smq_span bytes, struct smq_policy *ret_policy)
{
	struct smq_policy p = { 0 };
	struct smq_reader r = smq_reader_on(bytes);
	bool commanders;
	if (bytes.len > SMQ_POLICY_MAX)
		return SMQ_ERR_TOO_LARGE;
	read_head(&r, &p, &commanders);
	read_filters(&r, &p);
	read_keys(&r, &p);
	read_rules(&r, p.publishers, &p.publisher_count);
	read_rules(&r, p.subscribers, &p.subscriber_count);
	read_times(&r, &p);
	if (commanders)
		read_commanders(&r, &p);
	smq_err err = smq_reader_end(&r);
	if (err == SMQ_OK)
		*ret_policy = p;
	return err;
}
