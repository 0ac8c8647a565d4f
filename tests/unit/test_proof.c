/* core/proof_signer, core/proof_checker, wire/checkpoint and the signatures of core/seal (PROTOCOL.md 3.9). */
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>

#include <sealmq/client.h>
#include <sealmq/proof.h>

#include "adapters/crypto_openssl/signer.h"
#include "base/table.h"
#include "core/proof_checker.h"
#include "core/proof_signer.h"
#include "wire/cbor.h"

enum { ROOM = 1024, TABLE = 64, KEYS = 4, MEMBERS = 4, WAIT_MS = 1000 };

static const struct smq_traffic_secret secret = { { 1, 2, 3, 4, 5 } };
static const char topic[] = "plant/fridge-07/temperature";

/* ---- a realm: three members with P-256 keys, one with Ed25519; credentials by kid ---- */

static struct realm_member {
	const char *name;
	struct smq_own_credential own;
	uint8_t id_cred[9];
	uint8_t key[SMQ_PUBLIC_KEY_MAX];
	size_t key_len;
	smq_err refusal;  /* what the port says of its certificate */
	const char *says; /* the name in its certificate */
} realm[MEMBERS] = { { .name = "fridge-07" }, { .name = "mallory" }, { .name = "archive" }, { .name = "ed" } };

static bool by_value_only; /* hashes are not known yet */
static unsigned resolves;  /* questions to the port */

static smq_err resolve(void *self, smq_span id_cred, int64_t now_ms, struct smq_credential *ret_credential)
{
	(void)self;
	(void)now_ms;
	resolves++;
	for (int i = 0; i < MEMBERS; i++) {
		struct realm_member *m = &realm[i];
		bool full = smq_span_equal(id_cred, m->own.id_cred_full);
		if (!full && (by_value_only || !smq_span_equal(id_cred, m->own.id_cred_short)))
			continue;
		if (m->refusal != SMQ_OK)
			return m->refusal;
		memset(ret_credential, 0, sizeof(*ret_credential));
		memcpy(ret_credential->name, m->says, strlen(m->says) + 1);
		ret_credential->roles = SMQ_ROLE_MEMBER;
		ret_credential->sig_alg = m->own.signer.alg;
		ret_credential->public_key_len = m->key_len;
		ret_credential->expires_ms = 1000000;
		memcpy(ret_credential->public_key, m->key, m->key_len);
		return SMQ_OK;
	}
	return SMQ_ERR_CREDENTIAL;
}

static const struct smq_credentials port = { .resolve = resolve };

static int realm_make(void **state)
{
	(void)state;
	for (int i = 0; i < MEMBERS; i++) {
		struct realm_member *m = &realm[i];
		uint8_t raw[32] = { 0 };
		raw[31] = (uint8_t)(i + 3);
		enum smq_curve curve = i == 3 ? SMQ_ED25519 : SMQ_P256;
		assert_int_equal(smq_openssl_signer_from_raw(curve, raw, &m->own.signer), SMQ_OK);
		assert_int_equal(smq_openssl_signer_public(&m->own.signer, m->key, &m->key_len), SMQ_OK);
		/* { 4: h'66 i' } by value, as it were; { 4: h'i' } for short */
		const uint8_t id_cred[] = { 0xa1, 0x04, 0x42, 0x66, (uint8_t)i, 0xa1, 0x04, 0x41, (uint8_t)i };
		memcpy(m->id_cred, id_cred, sizeof(id_cred));
		m->own.id_cred_full = smq_span_of(m->id_cred, 5);
		m->own.id_cred_short = smq_span_of(m->id_cred + 5, 4);
		m->says = m->name;
	}
	return 0;
}

static int realm_end(void **state)
{
	(void)state;
	for (int i = 0; i < MEMBERS; i++)
		smq_openssl_signer_free(&realm[i].own.signer);
	return 0;
}

/* ---- senders and a receiver ---- */

struct sender {
	struct smq_sealer sealer;
	struct smq_proof_signer signer;
	enum smq_sign sign;
	const struct realm_member *who;
};

static struct smq_seal_context context_of(const char *name, uint8_t boot, const char *group)
{
	struct smq_seal_context c = { .kind = SMQ_SEALED_GROUP_BOOT,
				      .alg = smq_aead_alg_by_id(SMQ_A128GCM),
				      .realm = smq_span_str("plant"),
				      .group = smq_span_str(group),
				      .sender = smq_span_str(name),
				      .epoch = 3,
				      .sender_id = 7,
				      .boot_id = { 0xb0, boot } };
	return c;
}

/* who signs, in the name of `name`. */
static void sender_init(struct sender *s, int who, const char *name, uint8_t boot, const char *group,
			enum smq_sign sign)
{
	struct smq_seal_context c = context_of(name, boot, group);
	memset(s, 0, sizeof(*s));
	s->who = &realm[who];
	s->sign = sign;
	assert_int_equal(smq_sealer_init(&s->sealer, smq_crypto_openssl(), &secret, &c), SMQ_OK);
	assert_int_equal(smq_proof_signer_init(&s->signer, &realm[who].own, 32, 1000), SMQ_OK);
}

struct message {
	uint8_t bytes[ROOM];
	size_t len;
};

static struct message seal_text(struct sender *s, const char *text)
{
	struct message m;
	struct smq_seal_proof proof = { .signer = s->sign == SMQ_SIGN_EVERY ? &s->who->own.signer : NULL,
					.covered = s->sign == SMQ_SIGN_CHECKPOINT,
					.wants_digest = s->sign == SMQ_SIGN_CHECKPOINT };
	assert_int_equal(smq_seal_proven(&s->sealer, smq_span_str(topic), -1, smq_span_str(text), &proof,
					 smq_mspan_of(m.bytes, ROOM), &m.len),
			 SMQ_OK);
	if (s->sign == SMQ_SIGN_CHECKPOINT)
		assert_int_equal(smq_proof_signer_add(&s->signer, &proof, 0), SMQ_OK);
	return m;
}

struct checkpoint {
	uint8_t bytes[SMQ_CHECKPOINT_MAX];
	size_t len;
};

static struct checkpoint take(struct sender *s)
{
	struct checkpoint c;
	assert_int_equal(smq_proof_signer_take(&s->signer, smq_mspan_of(c.bytes, sizeof(c.bytes)), &c.len), SMQ_OK);
	return c;
}

struct receiver {
	struct smq_opener opener;
	struct smq_proof_checker checker;
	struct smq_proof_entry waiting[TABLE], expected[TABLE];
	uint32_t waiting_buckets[TABLE], expected_buckets[TABLE];
	struct smq_proof_key keys[KEYS];
	struct smq_now now;
	const char *sender; /* whose key the opener has */
};

static struct receiver *receiver_new(const char *name, uint8_t boot, const char *group)
{
	struct receiver *r = calloc(1, sizeof(*r));
	struct smq_seal_context c = context_of(name, boot, group);
	assert_non_null(r);
	struct smq_proof_checker_config config = { .crypto = smq_crypto_openssl(),
						   .credentials = &port,
						   .wait_ms = WAIT_MS,
						   .waiting = r->waiting,
						   .expected = r->expected,
						   .waiting_buckets = r->waiting_buckets,
						   .expected_buckets = r->expected_buckets,
						   .count = TABLE,
						   .keys = r->keys,
						   .key_count = KEYS };
	r->sender = name;
	r->now = (struct smq_now){ 1000, 5000 };
	smq_proof_checker_init(&r->checker, &config);
	assert_int_equal(smq_opener_init(&r->opener, smq_crypto_openssl(), &secret, &c), SMQ_OK);
	return r;
}

static void receiver_free(struct receiver *r)
{
	smq_opener_done(&r->opener);
	free(r);
}

static void sender_done(struct sender *s) { smq_sealer_done(&s->sealer); }

/* Opens; then the signature, or the table. */
static smq_err receive(struct receiver *r, const struct message *m, uint64_t tag, enum smq_proof_verdict *ret_verdict)
{
	struct smq_sealed s;
	struct smq_proof_input input;
	uint8_t plain[ROOM], digest[SMQ_HASH_LEN];
	size_t len;
	smq_err err = smq_sealed_decode(smq_span_of(m->bytes, m->len), &s);
	if (err == SMQ_OK)
		err = smq_open(&r->opener, &s, smq_span_str(topic), smq_mspan_of(plain, ROOM), &len, NULL);
	if (err == SMQ_OK)
		err = smq_proof_input_make(&r->opener.key, &s, smq_span_str(topic), &input);
	if (err != SMQ_OK)
		return err;
	if (s.signature.len > 0)
		return smq_proof_checker_signature(&r->checker, r->sender, &input, s.signature.p, r->now);
	if (!s.covered)
		return SMQ_ERR_NOT_PROVEN;
	assert_int_equal(smq_proof_input_digest(smq_crypto_openssl(), &input, digest), SMQ_OK);
	smq_proof_checker_message(&r->checker, r->sender, r->opener.key.context_digest, s.counter, digest, tag, r->now,
				  ret_verdict);
	return SMQ_OK;
}

static smq_err receive_checkpoint(struct receiver *r, const char *name, const struct checkpoint *c)
{
	return smq_proof_checker_checkpoint(&r->checker, name, smq_span_of(c->bytes, c->len), r->now, NULL);
}

static enum smq_proof_verdict received(struct receiver *r, const struct message *m, uint64_t tag)
{
	enum smq_proof_verdict v = SMQ_VERDICT_OPEN;
	assert_int_equal(receive(r, m, tag, &v), SMQ_OK);
	return v;
}

static void next_is(struct receiver *r, uint64_t tag, enum smq_proof_verdict verdict)
{
	uint64_t got = 0;
	enum smq_proof_verdict v = SMQ_VERDICT_OPEN;
	assert_true(smq_proof_checker_next(&r->checker, r->now, &got, &v));
	assert_int_equal(got, tag);
	assert_int_equal(v, verdict);
}

static void next_is_none(struct receiver *r)
{
	uint64_t tag;
	enum smq_proof_verdict v;
	assert_false(smq_proof_checker_next(&r->checker, r->now, &tag, &v));
}

static void bring_certificate(struct receiver *r, int who)
{
	assert_int_equal(
	    smq_proof_checker_certificate(&r->checker, realm[who].name, realm[who].own.id_cred_full, r->now), SMQ_OK);
}

/* ---- a signature on every message ---- */

static void every_message_is_proven_in_both_forms_and_algorithms(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct sender s;
		int who = i & 1 ? 3 : 0;
		enum smq_proof_verdict v;
		sender_init(&s, who, realm[who].name, 1, "g", SMQ_SIGN_EVERY);
		s.sealer.cose = i & 2;
		struct receiver *r = receiver_new(realm[who].name, 1, "g");
		struct message m = seal_text(&s, "open the valve"), n = seal_text(&s, "close the valve");
		assert_int_equal(receive(r, &m, 0, &v), SMQ_ERR_CREDENTIAL);
		bring_certificate(r, who);
		assert_int_equal(receive(r, &n, 0, &v), SMQ_OK);
		assert_int_equal(receive(r, &n, 0, &v), SMQ_ERR_REPLAY);
		receiver_free(r);
		sender_done(&s);
	}
}

static void a_member_that_forges_anothers_signed_message_is_caught(void **state)
{
	(void)state;
	struct sender forger;
	enum smq_proof_verdict v;
	struct receiver *r = receiver_new("fridge-07", 1, "g");
	sender_init(&forger, 1, "fridge-07", 1, "g", SMQ_SIGN_EVERY); /* the group's key, but mallory's own signature */
	bring_certificate(r, 0);
	bring_certificate(r, 1);
	struct message m = seal_text(&forger, "all is well");
	assert_int_equal(receive(r, &m, 0, &v), SMQ_ERR_SIGNATURE);
	forger.sign = SMQ_SIGN_NONE;
	m = seal_text(&forger, "all is well");
	assert_int_equal(receive(r, &m, 0, &v), SMQ_ERR_NOT_PROVEN);
	assert_int_equal(smq_proof_checker_certificate(&r->checker, "fridge-07", realm[1].own.id_cred_full, r->now),
			 SMQ_ERR_NAME);
	receiver_free(r);
	sender_done(&forger);
}

static void a_signature_stripped_or_swapped_is_refused(void **state)
{
	(void)state;
	struct sender s;
	enum smq_proof_verdict v;
	sender_init(&s, 0, "fridge-07", 1, "g", SMQ_SIGN_EVERY);
	struct message m = seal_text(&s, "one"), n = seal_text(&s, "two"), bad = m;
	struct receiver *r = receiver_new("fridge-07", 1, "g");
	bring_certificate(r, 0);
	bad.bytes[0] &= 0xfe; /* P */
	bad.len -= SMQ_SIG_LEN;
	assert_int_equal(receive(r, &bad, 0, &v), SMQ_ERR_OPEN);
	bad = m;
	memcpy(bad.bytes + bad.len - SMQ_SIG_LEN, n.bytes + n.len - SMQ_SIG_LEN, SMQ_SIG_LEN);
	assert_int_equal(receive(r, &bad, 0, &v), SMQ_ERR_SIGNATURE);
	receiver_free(r);
	for (size_t bit = 0; bit < 8 * SMQ_SIG_LEN; bit++) {
		r = receiver_new("fridge-07", 1, "g");
		bring_certificate(r, 0);
		bad = m;
		bad.bytes[bad.len - SMQ_SIG_LEN + bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(receive(r, &bad, 0, &v), SMQ_ERR_SIGNATURE);
		receiver_free(r);
	}
	sender_done(&s);
}

static void the_word_that_a_checkpoint_follows_cannot_be_taken_off(void **state)
{
	(void)state;
	struct sender s;
	enum smq_proof_verdict v;
	sender_init(&s, 0, "fridge-07", 1, "g", SMQ_SIGN_CHECKPOINT);
	struct message m = seal_text(&s, "one"), bad = m;
	struct receiver *r = receiver_new("fridge-07", 1, "g");
	assert_int_equal(m.bytes[1], 0x04);
	bad.bytes[0] &= 0xcf; /* AA: A128GCM, without the extension byte */
	memmove(bad.bytes + 1, bad.bytes + 2, --bad.len - 1);
	assert_int_equal(receive(r, &bad, 0, &v), SMQ_ERR_OPEN);
	receiver_free(r);
	sender_done(&s);
}

/* A certificate that expired, was revoked, or was renewed. */
static void certificates_are_judged_again(void **state)
{
	(void)state;
	struct sender s;
	enum smq_proof_verdict v;
	struct message m[6];
	sender_init(&s, 0, "fridge-07", 1, "g", SMQ_SIGN_EVERY);
	struct receiver *r = receiver_new("fridge-07", 1, "g");
	for (size_t i = 0; i < SMQ_COUNT(m); i++)
		m[i] = seal_text(&s, "x");
	bring_certificate(r, 0);
	realm[0].refusal = SMQ_ERR_CERT_REVOKED;
	r->now.unix_ms += SMQ_PROOF_RECHECK_MS - 1;
	assert_int_equal(receive(r, &m[0], 0, &v), SMQ_OK);
	r->now.unix_ms += 1;
	assert_int_equal(receive(r, &m[1], 0, &v), SMQ_ERR_CERT_REVOKED);
	assert_int_equal(receive(r, &m[2], 0, &v), SMQ_ERR_CREDENTIAL);
	realm[0].refusal = SMQ_OK;
	bring_certificate(r, 0);
	realm[2].says = "fridge-07"; /* renewed: another key, the same name */
	assert_int_equal(smq_proof_checker_certificate(&r->checker, "fridge-07", realm[2].own.id_cred_full, r->now),
			 SMQ_OK);
	assert_int_equal(receive(r, &m[3], 0, &v), SMQ_OK);
	s.who = &realm[2];
	struct message renewed = seal_text(&s, "y");
	assert_int_equal(receive(r, &renewed, 0, &v), SMQ_OK);
	realm[2].says = realm[2].name;
	r->now.unix_ms = 1000000;
	assert_int_equal(receive(r, &m[4], 0, &v), SMQ_ERR_CERT_EXPIRED);
	receiver_free(r);
	sender_done(&s);
}

/* Lesson: reading a certificate for each message made verifying four times as slow. */
static void a_certificate_is_read_once_for_many_messages(void **state)
{
	(void)state;
	struct sender s;
	enum smq_proof_verdict v;
	sender_init(&s, 0, "fridge-07", 1, "g", SMQ_SIGN_EVERY);
	struct receiver *r = receiver_new("fridge-07", 1, "g");
	bring_certificate(r, 0);
	unsigned before = resolves;
	for (int i = 0; i < 200; i++) {
		struct message m = seal_text(&s, "x");
		assert_int_equal(receive(r, &m, 0, &v), SMQ_OK);
	}
	assert_int_equal(resolves, before);
	receiver_free(r);
	sender_done(&s);
}

/* ---- checkpoints ---- */

static void messages_are_provisional_then_proven(void **state)
{
	(void)state;
	struct sender s;
	sender_init(&s, 3, "ed", 1, "g", SMQ_SIGN_CHECKPOINT);
	struct receiver *r = receiver_new("ed", 1, "g");
	struct message early = seal_text(&s, "0"), late = seal_text(&s, "1");
	assert_int_equal(received(r, &early, 40), SMQ_VERDICT_OPEN);
	next_is_none(r);
	assert_int_equal(smq_proof_checker_wake_at(&r->checker), r->now.mono_ms + WAIT_MS);
	struct checkpoint c = take(&s);
	assert_int_equal(receive_checkpoint(r, "ed", &c), SMQ_OK);
	assert_int_equal(smq_proof_checker_wake_at(&r->checker), INT64_MIN);
	next_is(r, 40, SMQ_VERDICT_PROVEN);
	next_is_none(r);
	assert_int_equal(received(r, &late, 41), SMQ_VERDICT_PROVEN); /* the checkpoint was faster */
	next_is_none(r);
	assert_int_equal(smq_proof_checker_wake_at(&r->checker), INT64_MAX);
	receiver_free(r);
	sender_done(&s);
}

static void a_member_that_forges_anothers_covered_message_is_caught(void **state)
{
	(void)state;
	struct sender fridge, forger;
	sender_init(&fridge, 0, "fridge-07", 1, "g", SMQ_SIGN_CHECKPOINT);
	sender_init(&forger, 1, "fridge-07", 1, "g", SMQ_SIGN_CHECKPOINT);
	struct receiver *r = receiver_new("fridge-07", 1, "g");
	struct message genuine = seal_text(&fridge, "13.1"), gone = seal_text(&fridge, "13.2");
	struct message false_1 = seal_text(&forger, "99.1"), false_2 = seal_text(&forger, "99.2"),
		       false_3 = seal_text(&forger, "99.3");
	assert_int_equal(received(r, &genuine, 1), SMQ_VERDICT_OPEN);
	assert_int_equal(received(r, &false_2, 2), SMQ_VERDICT_OPEN); /* in the place of the lost 13.2 */
	assert_int_equal(received(r, &false_3, 3), SMQ_VERDICT_OPEN);
	/* mallory's own checkpoint over them, in either name */
	struct checkpoint his = take(&forger);
	assert_int_equal(receive_checkpoint(r, "fridge-07", &his), SMQ_ERR_NAME);
	assert_int_equal(receive_checkpoint(r, "mallory", &his), SMQ_OK);
	next_is_none(r);
	struct checkpoint c = take(&fridge);
	assert_int_equal(receive_checkpoint(r, "fridge-07", &c), SMQ_OK);
	next_is(r, 1, SMQ_VERDICT_PROVEN);
	next_is(r, 2, SMQ_VERDICT_FORGED);
	next_is_none(r);
	r->now.mono_ms += WAIT_MS;
	next_is(r, 3, SMQ_VERDICT_UNPROVEN); /* nobody ever signed it */
	receiver_free(r);
	/* and where the checkpoint came before the forgery */
	r = receiver_new("fridge-07", 1, "g");
	assert_int_equal(receive_checkpoint(r, "fridge-07", &c), SMQ_OK);
	assert_int_equal(received(r, &false_1, 4), SMQ_VERDICT_FORGED);
	assert_int_equal(received(r, &gone, 5), SMQ_VERDICT_PROVEN);
	receiver_free(r);
	sender_done(&fridge);
	sender_done(&forger);
}

static uint32_t dice_state = 1;

static uint32_t dice(uint32_t sides)
{
	dice_state = dice_state * 1664525u + 1013904223u;
	return (dice_state >> 8) % sides;
}

/* Messages and checkpoints through a network that drops, repeats and reorders both: what came with its checkpoint is
 * proven, all else is given up, nothing is called forged. */
static void loss_duplication_and_reorder_spoil_nothing_else(void **state)
{
	(void)state;
	enum { N = 60 };
	for (int round = 0; round < 60; round++) {
		static struct message m[N];
		static struct checkpoint c[N];
		struct sender s;
		size_t checkpoints = 0, covered_by[N], deck[4 * N], cards = 0;
		bool came[N] = { false }, checkpoint_came[N] = { false };
		enum smq_proof_verdict verdict[N] = { SMQ_VERDICT_OPEN }, v;
		uint64_t tag;
		sender_init(&s, 0, "fridge-07", 1, "g", SMQ_SIGN_CHECKPOINT);
		struct receiver *r = receiver_new("fridge-07", 1, "g");
		for (size_t i = 0; i < N; i++) {
			m[i] = seal_text(&s, "13.1");
			covered_by[i] = checkpoints;
			if (dice(5) == 0 || i == N - 1)
				c[checkpoints++] = take(&s);
		}
		for (size_t i = 0; i < N + checkpoints; i++) {
			for (uint32_t times = dice(6) == 0 ? 0 : 1 + (dice(6) == 0); times > 0; times--)
				deck[cards++] = i;
		}
		for (size_t i = cards - 1; i > 0; i--) {
			size_t j =
			    i - dice(i < 9 ? (uint32_t)i + 1 : 9); /* moved by up to eight places, again and again */
			size_t card = deck[i];
			deck[i] = deck[j];
			deck[j] = card;
		}
		for (size_t i = 0; i < cards; i++) {
			if (deck[i] < N && !came[deck[i]]) {
				came[deck[i]] = true;
				verdict[deck[i]] = received(r, &m[deck[i]], deck[i]);
			} else if (deck[i] < N) {
				assert_int_equal(receive(r, &m[deck[i]], 0, &v), SMQ_ERR_REPLAY);
			} else {
				size_t k = deck[i] - N;
				assert_int_equal(receive_checkpoint(r, "fridge-07", &c[k]),
						 checkpoint_came[k] ? SMQ_ERR_REPLAY : SMQ_OK);
				checkpoint_came[k] = true;
			}
			while (smq_proof_checker_next(&r->checker, r->now, &tag, &v)) {
				assert_int_equal(verdict[tag], SMQ_VERDICT_OPEN);
				verdict[tag] = v;
			}
		}
		r->now.mono_ms += WAIT_MS;
		while (smq_proof_checker_next(&r->checker, r->now, &tag, &v))
			verdict[tag] = v;
		for (size_t i = 0; i < N; i++) {
			bool proven = checkpoint_came[covered_by[i]];
			if (came[i])
				assert_int_equal(verdict[i], proven ? SMQ_VERDICT_PROVEN : SMQ_VERDICT_UNPROVEN);
		}
		receiver_free(r);
		sender_done(&s);
	}
}

static void an_unproven_tail_is_reported(void **state)
{
	(void)state;
	struct sender s;
	sender_init(&s, 0, "fridge-07", 1, "g", SMQ_SIGN_CHECKPOINT);
	struct receiver *r = receiver_new("fridge-07", 1, "g");
	struct message m = seal_text(&s, "a"), n = seal_text(&s, "b"), o = seal_text(&s, "c");
	assert_int_equal(received(r, &m, 1), SMQ_VERDICT_OPEN);
	r->now.mono_ms += WAIT_MS / 2;
	assert_int_equal(received(r, &n, 2), SMQ_VERDICT_OPEN);
	r->now.mono_ms += WAIT_MS / 2 - 1;
	next_is_none(r);
	r->now.mono_ms += 1;
	next_is(r, 1, SMQ_VERDICT_UNPROVEN);
	next_is_none(r);
	smq_proof_checker_give_up(&r->checker);
	next_is(r, 2, SMQ_VERDICT_UNPROVEN);
	/* what comes too late proves what comes after, and brings nobody back */
	struct checkpoint c = take(&s);
	assert_int_equal(receive_checkpoint(r, "fridge-07", &c), SMQ_OK);
	next_is_none(r);
	assert_int_equal(received(r, &o, 3), SMQ_VERDICT_PROVEN);
	receiver_free(r);
	sender_done(&s);
}

/* Of another sender, boot id, group: no word about these messages. Replayed, truncated, flipped: refused. */
static void a_checkpoint_that_does_not_belong_is_refused(void **state)
{
	(void)state;
	static const struct {
		int who;
		const char *name;
		uint8_t boot;
		const char *group;
	} others[] = { { 1, "mallory", 1, "g" }, { 0, "fridge-07", 2, "g" }, { 0, "fridge-07", 1, "h" } };
	struct sender s;
	sender_init(&s, 0, "fridge-07", 1, "g", SMQ_SIGN_CHECKPOINT);
	struct receiver *r = receiver_new("fridge-07", 1, "g");
	struct message m = seal_text(&s, "13.1");
	assert_int_equal(received(r, &m, 9), SMQ_VERDICT_OPEN);
	for (size_t i = 0; i < SMQ_COUNT(others); i++) {
		struct sender o;
		sender_init(&o, others[i].who, others[i].name, others[i].boot, others[i].group, SMQ_SIGN_CHECKPOINT);
		(void)seal_text(&o, "13.1");
		struct checkpoint c = take(&o);
		if (others[i].who != 0)
			assert_int_equal(receive_checkpoint(r, "fridge-07", &c), SMQ_ERR_NAME);
		assert_int_equal(receive_checkpoint(r, others[i].name, &c), SMQ_OK);
		next_is_none(r);
		sender_done(&o);
	}
	/* The digests of ours under another's signature, before ours has come. */
	struct sender copier = s;
	struct checkpoint copied;
	copier.signer.own = &realm[1].own;
	assert_int_equal(
	    smq_proof_signer_take(&copier.signer, smq_mspan_of(copied.bytes, sizeof(copied.bytes)), &copied.len),
	    SMQ_OK);
	assert_int_equal(receive_checkpoint(r, "mallory", &copied), SMQ_OK);
	next_is_none(r);
	struct checkpoint c = take(&s), bad;
	for (size_t len = 0; len < c.len; len++) {
		bad = c;
		bad.len = len;
		assert_int_not_equal(receive_checkpoint(r, "fridge-07", &bad), SMQ_OK);
	}
	bad = c;
	bad.bytes[bad.len++] = 0;
	assert_int_not_equal(receive_checkpoint(r, "fridge-07", &bad), SMQ_OK);
	for (size_t bit = 0; bit < 8 * c.len; bit++) {
		bad = c;
		bad.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		r->now.mono_ms += bit % 100 == 0 ? 1 : 0;
		r->checker.failures = 0;
		assert_int_not_equal(receive_checkpoint(r, "fridge-07", &bad), SMQ_OK);
	}
	next_is_none(r);
	assert_int_equal(receive_checkpoint(r, "fridge-07", &c), SMQ_OK);
	next_is(r, 9, SMQ_VERDICT_PROVEN);
	assert_int_equal(receive_checkpoint(r, "fridge-07", &c), SMQ_ERR_REPLAY);
	receiver_free(r);
	sender_done(&s);
}

static void a_message_moved_to_another_topic_is_not_proven(void **state)
{
	(void)state;
	struct sender s;
	struct smq_sealed sealed;
	struct smq_proof_input here, there;
	uint8_t a[SMQ_HASH_LEN], b[SMQ_HASH_LEN];
	sender_init(&s, 0, "fridge-07", 1, "g", SMQ_SIGN_CHECKPOINT);
	struct message m = seal_text(&s, "13.1");
	assert_int_equal(smq_sealed_decode(smq_span_of(m.bytes, m.len), &sealed), SMQ_OK);
	assert_int_equal(smq_proof_input_make(&s.sealer.key, &sealed, smq_span_str(topic), &here), SMQ_OK);
	assert_int_equal(smq_proof_input_make(&s.sealer.key, &sealed, smq_span_str("plant/x"), &there), SMQ_OK);
	assert_int_equal(smq_proof_input_digest(smq_crypto_openssl(), &here, a), SMQ_OK);
	assert_int_equal(smq_proof_input_digest(smq_crypto_openssl(), &there, b), SMQ_OK);
	assert_memory_not_equal(a, b, sizeof(a));
	assert_memory_equal(a, s.signer.body + SMQ_CHECKPOINT_HEAD_MAX,
			    sizeof(a)); /* what the sender signs is what the receiver hashes */
	sealed.counter++;
	assert_int_equal(smq_proof_input_make(&s.sealer.key, &sealed, smq_span_str(topic), &there), SMQ_OK);
	assert_int_equal(smq_proof_input_digest(smq_crypto_openssl(), &there, b), SMQ_OK);
	assert_memory_not_equal(a, b, sizeof(a));
	sender_done(&s);
}

/* What PROTOCOL.md 3.9 says, item by item. */
static size_t written_out(const struct smq_seal_key *key, const struct smq_sealed *m, smq_span t, uint8_t room[ROOM])
{
	uint8_t external[ROOM], aad[ROOM];
	size_t external_len = 0;
	assert_int_equal(smq_seal_external_aad(key, m, t, smq_mspan_of(external, ROOM), &external_len), SMQ_OK);
	struct smq_writer a = smq_writer_on(smq_mspan_of(aad, ROOM)), w = smq_writer_on(smq_mspan_of(room, ROOM));
	smq_cbor_put_array(&a, 3);
	smq_cbor_put_text(&a, smq_span_str("sealmq1 proof"));
	smq_cbor_put_bytes(&a, smq_span_of(external, external_len));
	smq_cbor_put_uint(&a, m->counter);
	smq_cbor_put_array(&w, 4);
	smq_cbor_put_text(&w, smq_span_str("CounterSignature0"));
	smq_sealed_put_protected(&w, m->alg);
	smq_cbor_put_bytes(&w, smq_writer_span(&a));
	smq_cbor_put_bytes_head(&w, m->ciphertext.len);
	assert_int_equal(a.err, SMQ_OK);
	assert_int_equal(w.err, SMQ_OK);
	return w.len;
}

/* It is put together by hand, so at every length at which a head of CBOR grows: of a topic that is 47 bytes shorter
 * than the external_aad, of that, of what it lies in. */
static void what_is_signed_is_the_structure_at_every_length(void **state)
{
	(void)state;
	static const uint64_t counters[] = {
		0, 23, 24, 255, 256, 65535, 65536, UINT32_MAX, UINT64_C(1) << 32, SMQ_VARINT_MAX
	};
	static const size_t ciphers[] = { 16, 23, 24, 255, 256, 65535, 65536 };
	static const int algs[] = { SMQ_A128GCM, SMQ_A256GCM, SMQ_CHACHA20_POLY1305 };
	static uint8_t long_topic[SMQ_TOPIC_AAD_MAX + 1], cipher[65536], room[ROOM];
	memset(long_topic, 'a', sizeof(long_topic));
	for (size_t row = 0; row < 3 * 700; row++) {
		size_t len = row / 3 < 699 ? row / 3 : SMQ_TOPIC_AAD_MAX;
		struct smq_seal_context c = context_of("fridge-07", 1, "g");
		struct smq_seal_key key;
		struct smq_proof_input made;
		c.alg = smq_aead_alg_by_id(algs[row % 3]);
		assert_int_equal(smq_seal_key_init(&key, smq_crypto_openssl(), &secret, &c), SMQ_OK);
		struct smq_sealed m = key.header;
		m.counter = counters[row % SMQ_COUNT(counters)];
		m.covered = row % 2;
		m.has_stamp = row % 5 == 0;
		m.stamp = m.has_stamp ? (uint32_t)row << 12 : 0;
		m.ciphertext = smq_span_of(cipher, ciphers[row % SMQ_COUNT(ciphers)]);
		assert_int_equal(smq_proof_input_make(&key, &m, smq_span_of(long_topic, len), &made), SMQ_OK);
		assert_int_equal(made.head_len, written_out(&key, &m, smq_span_of(long_topic, len), room));
		assert_memory_equal(made.head, room, made.head_len);
		assert_int_equal(made.ciphertext.len, m.ciphertext.len);
		assert_int_equal(smq_proof_input_make(&key, &m, smq_span_of(long_topic, sizeof(long_topic)), &made),
				 SMQ_ERR_TOPIC);
		smq_seal_key_done(&key);
	}
}

/* Nothing waits, then something does, again and again: the tables begin anew each time. */
static void each_has_its_answer_however_often_the_tables_run_empty(void **state)
{
	(void)state;
	struct sender s;
	struct message m[TABLE / 2];
	uint32_t random = 1;
	sender_init(&s, 0, "fridge-07", 1, "g", SMQ_SIGN_CHECKPOINT);
	struct receiver *r = receiver_new("fridge-07", 1, "g");
	for (int round = 0; round < 300; round++) {
		random = random * 1664525 + 1013904223;
		size_t count = 1 + (random >> 8) % (TABLE / 2), before = (random >> 16) % (count + 1);
		for (size_t i = 0; i < count; i++)
			m[i] = seal_text(&s, "13.1");
		struct checkpoint c = take(&s);
		for (size_t i = 0; i < before; i++)
			assert_int_equal(received(r, &m[i], i), SMQ_VERDICT_OPEN);
		assert_int_equal(receive_checkpoint(r, "fridge-07", &c), SMQ_OK);
		if (round % 2 == 0) /* else those that came before have their answer later */
			for (size_t i = 0; i < before; i++)
				next_is(r, i, SMQ_VERDICT_PROVEN);
		for (size_t i = before; i < count; i++)
			assert_int_equal(received(r, &m[i], i), SMQ_VERDICT_PROVEN);
		if (round % 2 != 0)
			for (size_t i = 0; i < before; i++)
				next_is(r, i, SMQ_VERDICT_PROVEN);
		next_is_none(r);
		assert_int_equal(smq_proof_checker_wake_at(&r->checker), INT64_MAX);
	}
	receiver_free(r);
	sender_done(&s);
}

static void a_checkpoint_waits_for_its_certificate(void **state)
{
	(void)state;
	struct sender s;
	sender_init(&s, 0, "fridge-07", 1, "g", SMQ_SIGN_CHECKPOINT);
	struct receiver *r = receiver_new("fridge-07", 1, "g");
	struct message m = seal_text(&s, "13.1");
	struct checkpoint c = take(&s);
	assert_int_equal(received(r, &m, 1), SMQ_VERDICT_OPEN);
	by_value_only = true;
	assert_int_equal(receive_checkpoint(r, "fridge-07", &c), SMQ_ERR_CREDENTIAL);
	by_value_only = false;
	realm[0].refusal = SMQ_ERR_CERT_REVOKED;
	assert_int_equal(receive_checkpoint(r, "fridge-07", &c), SMQ_ERR_CERT_REVOKED);
	realm[0].refusal = SMQ_OK;
	next_is_none(r);
	assert_int_equal(receive_checkpoint(r, "fridge-07", &c), SMQ_OK);
	next_is(r, 1, SMQ_VERDICT_PROVEN);
	receiver_free(r);
	sender_done(&s);
}

static void tables_are_bounded_and_each_message_has_one_answer(void **state)
{
	(void)state;
	enum { N = 4 * TABLE };
	struct sender s;
	unsigned answers[N] = { 0 }, unproven = 0;
	uint64_t tag;
	enum smq_proof_verdict v;
	sender_init(&s, 0, "fridge-07", 1, "g", SMQ_SIGN_NONE);
	s.sign = SMQ_SIGN_CHECKPOINT;
	struct receiver *r = receiver_new("fridge-07", 1, "g");
	for (unsigned i = 0; i < N; i++) {
		if (i % 32 == 0 && i > 0)
			(void)take(&s); /* lost */
		struct message m = seal_text(&s, "x");
		assert_int_equal(received(r, &m, i), SMQ_VERDICT_OPEN);
		while (smq_proof_checker_next(&r->checker, r->now, &tag, &v)) {
			assert_int_equal(v, SMQ_VERDICT_UNPROVEN);
			assert_int_equal(tag, unproven++); /* the oldest goes first */
			answers[tag]++;
		}
	}
	assert_in_range(unproven, N - TABLE, N - TABLE + 1);
	/* checkpoints about messages that never come push each other out, not those that wait */
	for (unsigned i = 0; i < 4; i++) {
		struct checkpoint c;
		struct sender o;
		sender_init(&o, 0, "fridge-07", (uint8_t)(50 + i), "g", SMQ_SIGN_CHECKPOINT);
		for (int k = 0; k < 32; k++)
			(void)seal_text(&o, "x");
		c = take(&o);
		assert_int_equal(receive_checkpoint(r, "fridge-07", &c), SMQ_OK);
		sender_done(&o);
	}
	struct checkpoint last = take(&s);
	assert_int_equal(receive_checkpoint(r, "fridge-07", &last), SMQ_OK);
	r->now.mono_ms += WAIT_MS;
	unsigned proven = 0;
	while (smq_proof_checker_next(&r->checker, r->now, &tag, &v)) {
		answers[tag]++;
		proven += v == SMQ_VERDICT_PROVEN;
	}
	assert_int_equal(proven, 32);
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(answers[i], 1);
	receiver_free(r);
	sender_done(&s);
}

static void junk_costs_a_bounded_number_of_signature_checks(void **state)
{
	(void)state;
	struct sender s;
	sender_init(&s, 0, "fridge-07", 1, "g", SMQ_SIGN_CHECKPOINT);
	struct receiver *r = receiver_new("fridge-07", 1, "g");
	(void)seal_text(&s, "x");
	struct checkpoint c = take(&s), bad = c;
	bad.bytes[bad.len - 1] ^= 1;
	for (int i = 0; i < SMQ_PROOF_FAILURES_PER_S; i++)
		assert_int_equal(receive_checkpoint(r, "fridge-07", &bad), SMQ_ERR_SIGNATURE);
	assert_int_equal(receive_checkpoint(r, "fridge-07", &c), SMQ_ERR_RATE);
	r->now.mono_ms += 1000;
	assert_int_equal(receive_checkpoint(r, "fridge-07", &c), SMQ_OK);
	receiver_free(r);
	sender_done(&s);
}

static void a_signer_takes_one_run_of_one_key(void **state)
{
	(void)state;
	struct smq_proof_signer s;
	struct smq_seal_proof p = { .counter = 7, .stream = { 1 } };
	uint8_t room[SMQ_CHECKPOINT_MAX];
	size_t len;
	struct smq_own_credential none = realm[0].own;
	assert_int_equal(smq_proof_signer_init(&s, &realm[0].own, 3, 500), SMQ_OK);
	assert_int_equal(smq_proof_signer_due(&s), INT64_MAX);
	assert_int_equal(smq_proof_signer_take(&s, smq_mspan_of(room, sizeof(room)), &len), SMQ_ERR_STATE);
	assert_int_equal(smq_proof_signer_add(&s, &p, 100), SMQ_OK);
	assert_int_equal(smq_proof_signer_due(&s), 600);
	p.counter = 9;
	assert_int_equal(smq_proof_signer_add(&s, &p, 100), SMQ_ERR_FULL); /* 8 was never sealed */
	p.counter = 8;
	p.stream[0] = 2;
	assert_int_equal(smq_proof_signer_add(&s, &p, 100), SMQ_ERR_FULL); /* the keys were replaced */
	p.stream[0] = 1;
	assert_int_equal(smq_proof_signer_add(&s, &p, 100), SMQ_OK);
	p.counter = 9;
	assert_int_equal(smq_proof_signer_add(&s, &p, 100), SMQ_OK);
	assert_int_equal(smq_proof_signer_due(&s), INT64_MIN);
	p.counter = 10;
	assert_int_equal(smq_proof_signer_add(&s, &p, 100), SMQ_ERR_FULL);
	assert_int_equal(smq_proof_signer_take(&s, smq_mspan_of(room, 100), &len), SMQ_ERR_NO_ROOM);
	assert_int_equal(s.count, 3);
	assert_int_equal(smq_proof_signer_take(&s, smq_mspan_of(room, sizeof(room)), &len), SMQ_OK);
	assert_int_equal(s.count, 0);
	assert_int_equal(smq_proof_signer_init(&s, &realm[0].own, 257, 0), SMQ_ERR_USAGE);
	assert_int_equal(smq_proof_signer_init(&s, &realm[0].own, 0, 60001), SMQ_ERR_USAGE);
	none.signer.alg = (enum smq_sig_id)0;
	assert_int_equal(smq_proof_signer_init(&s, &none, 0, 0), SMQ_ERR_CERT_USAGE);
}

static size_t seal_len(enum smq_sealed_kind kind, enum smq_sign sign)
{
	struct smq_seal_context c = context_of("fridge-07", 1, "g");
	struct sender s = { .who = &realm[0], .sign = sign };
	c.kind = kind;
	assert_int_equal(smq_sealer_init(&s.sealer, smq_crypto_openssl(), &secret, &c), SMQ_OK);
	assert_int_equal(smq_proof_signer_init(&s.signer, &realm[0].own, 0, 0), SMQ_OK);
	s.sealer.next_counter = 100000;
	size_t len = seal_text(&s, "13.1").len - 4;
	sender_done(&s);
	return len;
}

/* The budget: 24 without, 88 with a signature (design: the sealed message). */
static void the_price_in_bytes(void **state)
{
	(void)state;
	struct sender s;
	sender_init(&s, 0, "fridge-07", 1, "g", SMQ_SIGN_CHECKPOINT);
	s.sealer.next_counter = 100000;
	for (int i = 0; i < 32; i++)
		(void)seal_text(&s, "13.1");
	size_t len = take(&s).len;
	sender_done(&s);
	size_t group = seal_len(SMQ_SEALED_GROUP, SMQ_SIGN_NONE), every = seal_len(SMQ_SEALED_GROUP, SMQ_SIGN_EVERY),
	       covered = seal_len(SMQ_SEALED_GROUP, SMQ_SIGN_CHECKPOINT);
	print_message("# over the plaintext: %zu bytes unsigned, %zu signed, %zu covered by a checkpoint\n", group,
		      every, covered);
	print_message("# a checkpoint over 32 messages: %zu bytes, %.1f a message\n", len, (double)len / 32);
	assert_true(group <= 24);
	assert_true(every <= 88);
	assert_true(covered <= 25);
	assert_true(len <= 36 * 32 + 32);
}

/* k alone is enough for a slow sender; a fast one's checkpoint waits 20 ms for up to 256. A k that was asked for holds.
 */
static void fast_senders_gather_more_by_default(void **state)
{
	static const struct {
		size_t asked, count;
		uint32_t every_ms;
		int64_t due; /* since the first; INT64_MIN: full */
	} rows[] = {
		{ 0, 1, 0, 2000 },        { 0, 31, 0, 2000 },       { 0, 32, 0, 20 },
		{ 0, 255, 0, 20 },        { 0, 256, 0, INT64_MIN }, { 0, 32, 10, 10 },
		{ 32, 32, 0, INT64_MIN }, { 32, 31, 0, 2000 },      { 1, 1, 0, INT64_MIN },
	};
	static struct smq_proof_signer s;
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		struct smq_seal_proof proof = { .covered = true, .wants_digest = true };
		assert_int_equal(smq_proof_signer_init(&s, &realm[0].own, rows[i].asked, rows[i].every_ms), SMQ_OK);
		for (; proof.counter < rows[i].count; proof.counter++)
			assert_int_equal(smq_proof_signer_add(&s, &proof, 1000 + (int64_t)proof.counter), SMQ_OK);
		int64_t due = smq_proof_signer_due(&s);
		assert_true(due == (rows[i].due == INT64_MIN ? INT64_MIN : 1000 + rows[i].due));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fast_senders_gather_more_by_default),
		cmocka_unit_test(every_message_is_proven_in_both_forms_and_algorithms),
		cmocka_unit_test(a_member_that_forges_anothers_signed_message_is_caught),
		cmocka_unit_test(a_signature_stripped_or_swapped_is_refused),
		cmocka_unit_test(the_word_that_a_checkpoint_follows_cannot_be_taken_off),
		cmocka_unit_test(certificates_are_judged_again),
		cmocka_unit_test(a_certificate_is_read_once_for_many_messages),
		cmocka_unit_test(messages_are_provisional_then_proven),
		cmocka_unit_test(a_member_that_forges_anothers_covered_message_is_caught),
		cmocka_unit_test(loss_duplication_and_reorder_spoil_nothing_else),
		cmocka_unit_test(an_unproven_tail_is_reported),
		cmocka_unit_test(a_checkpoint_that_does_not_belong_is_refused),
		cmocka_unit_test(a_message_moved_to_another_topic_is_not_proven),
		cmocka_unit_test(what_is_signed_is_the_structure_at_every_length),
		cmocka_unit_test(each_has_its_answer_however_often_the_tables_run_empty),
		cmocka_unit_test(a_checkpoint_waits_for_its_certificate),
		cmocka_unit_test(tables_are_bounded_and_each_message_has_one_answer),
		cmocka_unit_test(junk_costs_a_bounded_number_of_signature_checks),
		cmocka_unit_test(a_signer_takes_one_run_of_one_key),
		cmocka_unit_test(the_price_in_bytes),
	};
	return cmocka_run_group_tests(tests, realm_make, realm_end);
}
