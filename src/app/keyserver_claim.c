/* What other key servers, and the broker's memory, say of us: rival claims, and manifests from ahead of our database.
 */
#include "app/keyserver_inner.h"

#include "base/text.h"
#include "wire/fields.h"

enum {
	CLAIM_FIELDS = 8,
	CLAIM_MAX = 256 + SMQ_ID_CRED_MAX,
	QUESTION_MS = 15 * 1000, /* for which a question may be answered: three claims */
	CLAIM_GAP_MS = 1000,
	VERIFIED_PER_S = 20 /* claims; there is one rival, or there are none */
};

static const char kind[] = "sealmq1 keyserver";
static const char manifest_kind[] = "sealmq1 manifest";

/*
 * Whoever was first is believed only if it answers a question of ours: a claim that a former instance made, or that
 * somebody kept back, does not. Clocks do not matter for that.
 */
struct claim {
	smq_span realm, name;
	uint8_t instance[16];
	int64_t started_ms;
	uint8_t question[16];
	bool answers;
	uint8_t answer[16]; /* to this question of the other one */
	smq_span signer;    /* ID_CRED_x by value: a rival's certificate is not known here */
};

static bool ask(struct smq_keyserver *ks, struct smq_now now)
{
	const struct smq_random *random = ks->config.random;
	memmove(ks->questions + 1, ks->questions, (KS_QUESTIONS - 1) * sizeof(ks->questions[0]));
	ks->questions[0].asked_ms = now.mono_ms;
	return random->fill(random->self, smq_mspan_of(ks->questions[0].bytes, sizeof(ks->questions[0].bytes))) ==
	       SMQ_OK;
}

static bool is_open(const struct ks_question *q, struct smq_now now)
{
	return q->asked_ms != INT64_MIN && now.mono_ms - q->asked_ms <= QUESTION_MS;
}

void ks_claim(struct smq_keyserver *ks, struct smq_now now)
{
	uint8_t document[CLAIM_MAX], bytes[CLAIM_MAX + SMQ_SIGN1_OVERHEAD_MAX];
	size_t len = 0;
	struct smq_writer w = smq_writer_on(smq_mspan_of(document, sizeof(document)));
	ks->claim_at = now.mono_ms + KS_CLAIM_EVERY_MS;
	ks->claim_gap_until = now.mono_ms + CLAIM_GAP_MS;
	if (!ask(ks, now))
		return;
	smq_cbor_put_array(&w, CLAIM_FIELDS);
	smq_cbor_put_uint(&w, 1);
	smq_cbor_put_text(&w, smq_span_str(ks->realm));
	smq_cbor_put_text(&w, smq_span_str(ks->name));
	smq_cbor_put_bytes(&w, smq_span_of(ks->instance, sizeof(ks->instance)));
	smq_put_time(&w, ks->started_ms);
	smq_cbor_put_bytes(&w, smq_span_of(ks->questions[0].bytes, sizeof(ks->questions[0].bytes)));
	smq_cbor_put_bytes(&w, smq_span_of(ks->asked.bytes, is_open(&ks->asked, now) ? sizeof(ks->asked.bytes) : 0));
	smq_cbor_put_bytes(&w, ks->config.own->id_cred_full);
	smq_err err = smq_writer_end(&w, &len);
	if (err == SMQ_OK)
		err = smq_sign1_encode_document(ks->config.own, kind, smq_span_of(document, len),
						smq_mspan_of(bytes, sizeof(bytes)), &len);
	if (err == SMQ_OK)
		ks_reply(ks, SMQ_KS_TOPIC_CLAIM, smq_span_of(NULL, 0), smq_span_of(bytes, len));
}

static smq_err decode_claim(smq_span document, struct claim *ret_claim)
{
	struct claim c = { .started_ms = 0 };
	struct smq_reader r = smq_reader_on(document);
	smq_get_head(&r, CLAIM_FIELDS, 1);
	c.realm = smq_get_name(&r);
	c.name = smq_get_name(&r);
	smq_get_fixed(&r, smq_mspan_of(c.instance, sizeof(c.instance)));
	c.started_ms = smq_get_time(&r);
	smq_get_fixed(&r, smq_mspan_of(c.question, sizeof(c.question)));
	smq_span answer = smq_cbor_get_bytes(&r);
	c.signer = smq_cbor_get_bytes(&r);
	c.answers = answer.len > 0;
	if (c.answers && answer.len != sizeof(c.answer))
		smq_reader_fail(&r, SMQ_ERR_MALFORMED);
	if (c.answers && r.err == SMQ_OK)
		memcpy(c.answer, answer.p, sizeof(c.answer));
	*ret_claim = c;
	return smq_reader_end(&r);
}

/* A document of this kind by a key server of the realm; signer: who that is, or empty where the document says. */
static smq_err verified(struct smq_keyserver *ks, smq_span bytes, smq_span signer, const char *document_kind,
			struct smq_now now, struct smq_sign1 *ret_sign1)
{
	const struct smq_credentials *credentials = ks->config.credentials;
	struct smq_sign1 s;
	smq_err err = smq_sign1_decode(bytes, &s);
	if (err == SMQ_OK)
		err = credentials->resolve(credentials->self,
					   signer.len > 0 ? signer : smq_span_of(s.id_cred, s.id_cred_len), now.unix_ms,
					   &ks->signer);
	if (err == SMQ_OK)
		err = smq_sign1_verify_document(&s, ks->config.crypto, &ks->signer, SMQ_ROLE_KEYSERVER, document_kind);
	if (err == SMQ_OK)
		*ret_sign1 = s;
	return err;
}

static bool was_first(const struct smq_keyserver *ks, const struct claim *c)
{
	if (c->started_ms != ks->started_ms)
		return c->started_ms < ks->started_ms;
	return memcmp(c->instance, ks->instance, sizeof(c->instance)) < 0;
}

/* Whether it was made by somebody who has heard what we asked just now. */
static bool answers_us(const struct smq_keyserver *ks, const struct claim *c, struct smq_now now)
{
	for (size_t i = 0; c->answers && i < KS_QUESTIONS; i++) {
		const struct ks_question *q = &ks->questions[i];
		if (is_open(q, now) && memcmp(q->bytes, c->answer, sizeof(q->bytes)) == 0)
			return true;
	}
	return false;
}

static bool may_verify(struct smq_keyserver *ks, struct smq_now now)
{
	if (now.mono_ms >= ks->verified_until) {
		ks->verified_until = now.mono_ms + 1000;
		ks->verified = 0;
	}
	return ks->verified++ < VERIFIED_PER_S;
}

/* Says that we are there, at once, but not in step with whoever plays back what he has. */
static void claim_soon(struct smq_keyserver *ks, struct smq_now now)
{
	if (now.mono_ms >= ks->claim_gap_until)
		ks_claim(ks, now);
	else if (ks->claim_at > ks->claim_gap_until)
		ks->claim_at = ks->claim_gap_until;
}

void ks_claim_input(struct smq_keyserver *ks, smq_span payload, bool retained, struct smq_now now)
{
	struct smq_sign1 s;
	struct claim c;
	if (retained || smq_sign1_decode(payload, &s) != SMQ_OK || decode_claim(s.payload, &c) != SMQ_OK ||
	    memcmp(c.instance, ks->instance, sizeof(c.instance)) == 0 ||
	    !smq_span_equal(c.realm, smq_span_str(ks->realm)))
		return;
	if (!may_verify(ks, now) || verified(ks, payload, c.signer, kind, now, &s) != SMQ_OK)
		return;
	if (!was_first(ks, &c) || !answers_us(ks, &c, now)) {
		memcpy(ks->asked.bytes, c.question, sizeof(c.question));
		ks->asked.asked_ms = now.mono_ms;
		claim_soon(ks, now); /* the newcomer is to hear of us, or whoever was first to be asked */
		return;
	}
	char name[SMQ_MEMBER_NAME_MAX + 1] = { 0 };
	memcpy(name, c.name.p, c.name.len);
	ks->stopped = true;
	struct smq_keyserver_event e = { .kind = SMQ_KEYSERVER_RIVAL, .who = name };
	ks_tell(ks, &e);
}

/* ---- the broker's manifests ---- */

static void remember(struct smq_keyserver *ks, smq_span group, uint64_t epoch, const uint8_t hash[SMQ_HASH_LEN])
{
	struct ks_seen *s = NULL;
	for (size_t i = 0; i < ks->seen_count; i++) {
		if (smq_span_equal(smq_span_str(ks->seen[i].group), group))
			s = &ks->seen[i];
	}
	if (!s && ks->seen_count == KS_SEEN_MAX)
		return;
	if (!s)
		s = &ks->seen[ks->seen_count++];
	else if (s->epoch >= epoch)
		return;
	memset(s, 0, sizeof(*s));
	memcpy(s->group, group.p, group.len);
	s->epoch = epoch;
	memcpy(s->hash, hash, SMQ_HASH_LEN);
}

static bool is_ahead(const struct ks_group *g, uint64_t epoch, const uint8_t hash[SMQ_HASH_LEN])
{
	if (g->chain.epoch != epoch)
		return epoch > g->chain.epoch;
	return memcmp(g->chain.hash, hash, SMQ_HASH_LEN) != 0;
}

/*
 * What is retained is what members have. If it is ahead of us, our database is of earlier: we go on after it. What
 * arrives live is either our own, or of a rival, who hears our claim.
 */
void ks_manifest_input(struct smq_keyserver *ks, smq_span group, smq_span payload, bool retained, struct smq_now now)
{
	struct ks_group *g = ks_group_find(ks, group);
	struct smq_sign1 s;
	struct smq_manifest m;
	uint8_t hash[SMQ_HASH_LEN];
	if (g && smq_span_equal(ks_span(&g->manifest), payload)) {
		g->heard = g->heard || retained;
		return;
	}
	if (payload.len == 0 || smq_sign1_decode(payload, &s) != SMQ_OK ||
	    smq_manifest_decode(s.payload, &m) != SMQ_OK || !smq_span_equal(m.group, group) ||
	    !smq_span_equal(m.realm, smq_span_str(ks->realm)) ||
	    smq_manifest_hash(ks->config.crypto, s.payload, hash) != SMQ_OK)
		return;
	if ((g && (g->broken || g->fresh || !is_ahead(g, m.epoch, hash))) ||
	    verified(ks, payload, smq_span_of(NULL, 0), manifest_kind, now, &s) != SMQ_OK)
		return;
	if (!retained) {
		claim_soon(ks, now);
	} else if (g) {
		ks_group_jump(g, m.epoch, hash, now);
	} else {
		remember(ks, group, m.epoch, hash);
	}
}
