/* app/proofs as a recorder uses it: what waits for its checkpoint is kept back, and comes out once, whole and right. */
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>

#include "adapters/crypto_openssl/signer.h"
#include "app/proofs.h"
#include "base/table.h"
#include "core/proof_signer.h"

enum { MESSAGES = 4000, PLAIN_MAX = 1200, ROOM = 2048 };

static const struct smq_traffic_secret secret = { { 7 } };
static const uint8_t id_cred[] = { 0xa1, 0x04, 0x41, 0x01 }; /* { 4: h'01' } */
static struct smq_own_credential own;

static smq_err resolve(void *self, smq_span id, int64_t now_ms, struct smq_credential *ret_credential)
{
	(void)self;
	(void)now_ms;
	if (!smq_span_equal(id, smq_span_of(id_cred, sizeof(id_cred))))
		return SMQ_ERR_CREDENTIAL;
	*ret_credential = (struct smq_credential){
		.name = "fridge-07", .roles = SMQ_ROLE_MEMBER, .sig_alg = SMQ_ES256, .expires_ms = INT64_MAX
	};
	return smq_openssl_signer_public(&own.signer, ret_credential->public_key, &ret_credential->public_key_len);
}

static const struct smq_credentials port = { .resolve = resolve };

/* ---- a sender, and what a receiver heard of each message ---- */

struct rig {
	struct smq_client_options o;
	struct smq_proofs *p;
	struct smq_sealer sealer;
	struct smq_proof_signer signer;
	uint64_t sent;
	struct {
		unsigned delivered, proven, provisional, proven_later, refused, unproven;
	} heard[MESSAGES];
	unsigned witnesses;
};

/* Around what is kept in one piece, and around what lies in a piece of the usual size. */
static size_t length_of(uint64_t number)
{
	static const size_t lengths[] = { 0,   1,   60,  100, 120, 200, 212, 213, 214, 215,
					  216, 217, 218, 219, 220, 221, 222, 223, 224, 225,
					  226, 227, 228, 229, 230, 256, 511, 512, 513, PLAIN_MAX };
	return lengths[number * 7 % SMQ_COUNT(lengths)];
}

static void text_of(uint64_t number, uint8_t text[PLAIN_MAX])
{
	for (size_t i = 0; i < PLAIN_MAX; i++)
		text[i] = (uint8_t)(number * 31 + i * 7);
}

static void topic_of(uint64_t number, char topic[64])
{
	snprintf(topic, 64, "plant/%.*s%llu", (int)(number % 20), "a-topic-that-is-long", (unsigned long long)number);
}

static void deliver(void *self, const struct smq_message *m)
{
	struct rig *r = self;
	uint8_t text[PLAIN_MAX];
	char topic[64];
	assert_true(m->counter < r->sent);
	text_of(m->counter, text);
	topic_of(m->counter, topic);
	assert_string_equal(m->mqtt.topic, topic);
	assert_string_equal(m->sender, "fridge-07");
	assert_string_equal(m->group, "g");
	assert_true(smq_span_equal(m->mqtt.payload, smq_span_of(text, length_of(m->counter))));
	assert_true((m->evidence != NULL) == r->o.evidence);
	if (m->evidence) {
		uint8_t digest[SMQ_HASH_LEN];
		assert_memory_equal(m->evidence->stream, r->sealer.key.context_digest, SMQ_HASH_LEN);
		assert_int_equal(smq_crypto_openssl()->sha256(&m->evidence->context, 1, digest), SMQ_OK);
		assert_memory_equal(m->evidence->stream, digest, SMQ_HASH_LEN);
	}
	r->heard[m->counter].delivered++;
	r->heard[m->counter].proven += m->proof == SMQ_PROOF_PROVEN;
	r->heard[m->counter].provisional += m->proof == SMQ_PROOF_PROVISIONAL;
}

static void refuse(void *self, const struct smq_message *m, smq_err reason)
{
	struct rig *r = self;
	assert_int_equal(reason, SMQ_ERR_SIGNATURE);
	r->heard[m->counter].refused++;
}

static void on_proof(void *self, const struct smq_message *m, smq_err err)
{
	struct rig *r = self;
	char topic[64];
	topic_of(m->counter, topic);
	assert_string_equal(m->mqtt.topic, topic);
	assert_int_equal(m->mqtt.payload.len, 0);
	assert_int_equal(r->heard[m->counter].delivered, 1); /* before anything is said of it */
	r->heard[m->counter].proven_later += err == SMQ_OK;
	r->heard[m->counter].unproven += err != SMQ_OK;
}

static void on_witness(void *self, const struct smq_witness *w)
{
	struct rig *r = self;
	r->witnesses += w->kind == SMQ_WITNESS_CHECKPOINT;
}

static smq_err before_ack(void *self)
{
	(void)self;
	return SMQ_OK;
}

static struct rig *rig_new(bool evidence)
{
	static const struct smq_proofs_ports ports = { .deliver = deliver, .refuse = refuse };
	struct rig *r = calloc(1, sizeof(*r));
	assert_non_null(r);
	struct smq_proofs_ports mine = ports;
	mine.self = r;
	struct smq_seal_context c = { .kind = SMQ_SEALED_GROUP,
				      .alg = smq_aead_alg_by_id(SMQ_A128GCM),
				      .realm = smq_span_str("plant"),
				      .group = smq_span_str("g"),
				      .sender = smq_span_str("fridge-07"),
				      .epoch = 1,
				      .sender_id = 7 };
	r->o = (struct smq_client_options){ .check = SMQ_CHECK_PROOF,
					    .evidence = evidence,
					    .self = r,
					    .on_proof = on_proof,
					    .on_witness = on_witness,
					    .before_ack = before_ack };
	const struct smq_proofs_config config = { .options = &r->o,
						  .crypto = smq_crypto_openssl(),
						  .credentials = &port,
						  .own = &own,
						  .prefix = "sealmq",
						  .name = "desk",
						  .realm = "plant",
						  .with_groups = true };
	assert_int_equal(smq_proofs_new(&config, &r->p), SMQ_OK);
	smq_proofs_attach(r->p, &mine);
	assert_int_equal(smq_sealer_init(&r->sealer, smq_crypto_openssl(), &secret, &c), SMQ_OK);
	assert_int_equal(smq_proof_signer_init(&r->signer, &own, 256, 1000), SMQ_OK);
	return r;
}

static void rig_free(struct rig *r)
{
	smq_proofs_free(r->p);
	smq_sealer_done(&r->sealer);
	free(r);
}

static const struct smq_now now = { .unix_ms = 1000, .mono_ms = 1000 };

/* Seals the next one and receives it; forged: what the sender will sign is another. */
static enum smq_proofs_answer send_one(struct rig *r, bool forged)
{
	uint8_t text[PLAIN_MAX], sealed[ROOM];
	char topic[64];
	struct smq_opened_proof opened = { .covered = true, .group_key = &r->sealer.key };
	struct smq_seal_proof proof = { .covered = true, .wants_digest = true };
	size_t len = 0;
	smq_err reason = SMQ_OK;
	uint64_t number = r->sent++;
	text_of(number, text);
	topic_of(number, topic);
	assert_int_equal(smq_seal_proven(&r->sealer, smq_span_str(topic), -1, smq_span_of(text, length_of(number)),
					 &proof, smq_mspan_of(sealed, sizeof(sealed)), &len),
			 SMQ_OK);
	proof.digest[0] ^= forged;
	assert_int_equal(smq_proof_signer_add(&r->signer, &proof, 0), SMQ_OK);
	assert_int_equal(smq_sealed_decode(smq_span_of(sealed, len), &opened.sealed), SMQ_OK);
	assert_int_equal(smq_proof_input_make(&r->sealer.key, &opened.sealed, smq_span_str(topic), &opened.input),
			 SMQ_OK);
	memcpy(opened.stream, r->sealer.key.context_digest, sizeof(opened.stream));
	struct smq_message m = { .mqtt = { .topic = topic, .payload = smq_span_of(text, length_of(number)), .qos = 1 },
				 .sender = "fridge-07",
				 .group = "g",
				 .counter = number };
	enum smq_proofs_answer answer = smq_proofs_opened(r->p, &m, &opened, now, &reason);
	memset(text, 0xee, sizeof(text)); /* all of it was copied */
	memset(topic, 'x', sizeof(topic) - 1);
	return answer;
}

struct checkpoint {
	uint8_t bytes[SMQ_CHECKPOINT_MAX];
	size_t len;
};

static void take(struct rig *r, struct checkpoint *c)
{
	assert_int_equal(smq_proof_signer_take(&r->signer, smq_mspan_of(c->bytes, sizeof(c->bytes)), &c->len), SMQ_OK);
}

static void input(struct rig *r, const struct checkpoint *c)
{
	smq_proofs_input(r->p, "sealmq/proof/group/g/fridge-07", smq_span_of(c->bytes, c->len), now);
}

static void send_checkpoint(struct rig *r)
{
	struct checkpoint c;
	take(r, &c);
	input(r, &c);
}

/* ---- tests ---- */

static void each_is_delivered_once_whatever_its_length(void **state)
{
	(void)state;
	for (int evidence = 0; evidence < 2; evidence++) {
		struct rig *r = rig_new(evidence);
		uint32_t random = 3;
		unsigned checkpoints = 0;
		while (r->sent < MESSAGES) {
			random = random * 1664525 + 1013904223;
			size_t count = 1 + (random >> 10) % 250, committed = (random >> 20) % 3 ? count : count / 2;
			for (size_t i = 0; i < count && r->sent < MESSAGES; i++) {
				if (i == committed)
					smq_proofs_join(r->p); /* its burst ends before its checkpoint comes */
				assert_int_equal(send_one(r, false), SMQ_PROOFS_KEEP);
				assert_true(smq_proofs_holds_back(r->p));
			}
			send_checkpoint(r);
			checkpoints++;
			assert_false(smq_proofs_holds_back(r->p));
		}
		assert_int_equal(r->witnesses, evidence ? checkpoints : 0);
		unsigned late = 0;
		for (size_t i = 0; i < MESSAGES; i++) {
			assert_int_equal(r->heard[i].delivered, 1);
			assert_int_equal(r->heard[i].proven + r->heard[i].proven_later, 1);
			assert_int_equal(r->heard[i].provisional, r->heard[i].proven_later);
			assert_int_equal(r->heard[i].refused + r->heard[i].unproven, 0);
			late += r->heard[i].proven_later;
		}
		assert_true(late > 100 && late < MESSAGES - 100);
		rig_free(r);
	}
}

/* More wait at once than are kept for use again, and then as many once more. */
static void more_than_are_kept_for_use_again(void **state)
{
	(void)state;
	enum { EACH = 250, CHECKPOINTS = MESSAGES / 2 / EACH };
	static struct checkpoint checkpoints[CHECKPOINTS];
	struct rig *r = rig_new(false);
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < CHECKPOINTS; i++) {
			for (int k = 0; k < EACH; k++)
				assert_int_equal(send_one(r, false), SMQ_PROOFS_KEEP);
			take(r, &checkpoints[i]);
		}
		if (round)
			smq_proofs_join(r->p);
		for (size_t i = CHECKPOINTS; i > 0; i--) /* the last first */
			input(r, &checkpoints[i - 1]);
		assert_int_equal(smq_proofs_wake_at(r->p), INT64_MAX);
	}
	for (size_t i = 0; i < MESSAGES; i++) {
		assert_int_equal(r->heard[i].delivered, 1);
		assert_int_equal(r->heard[i].proven, i < MESSAGES / 2);
		assert_int_equal(r->heard[i].proven_later, i >= MESSAGES / 2);
	}
	rig_free(r);
}

static void one_that_its_sender_did_not_sign_is_never_delivered_as_proven(void **state)
{
	(void)state;
	struct rig *r = rig_new(false);
	for (int i = 0; i < 200; i++) {
		if (i == 100)
			smq_proofs_join(r->p);
		assert_int_equal(send_one(r, i % 10 == 3), SMQ_PROOFS_KEEP);
	}
	send_checkpoint(r);
	for (size_t i = 0; i < 200; i++) {
		bool forged = i % 10 == 3, fresh = i >= 100;
		assert_int_equal(r->heard[i].proven, !forged && fresh);
		assert_int_equal(r->heard[i].refused, forged && fresh);
		assert_int_equal(r->heard[i].delivered, !(forged && fresh));
		assert_int_equal(r->heard[i].proven_later, !forged && !fresh);
		assert_int_equal(r->heard[i].unproven, forged && !fresh);
	}
	rig_free(r);
}

/* No word of them to anybody, and nothing left behind. */
static void what_waits_at_the_end_is_forgotten(void **state)
{
	(void)state;
	for (int evidence = 0; evidence < 2; evidence++) {
		struct rig *r = rig_new(evidence);
		for (int i = 0; i < 90; i++) {
			assert_int_equal(send_one(r, false), SMQ_PROOFS_KEEP);
			if (i == 29)
				send_checkpoint(r);
			if (i == 59)
				smq_proofs_join(r->p);
		}
		rig_free(r);
	}
}

static int set_up(void **state)
{
	static const uint8_t raw[32] = { [31] = 5 };
	(void)state;
	own.id_cred_full = own.id_cred_short = smq_span_of(id_cred, sizeof(id_cred));
	return smq_openssl_signer_from_raw(SMQ_P256, raw, &own.signer) == SMQ_OK ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	smq_openssl_signer_free(&own.signer);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_is_delivered_once_whatever_its_length),
		cmocka_unit_test(more_than_are_kept_for_use_again),
		cmocka_unit_test(one_that_its_sender_did_not_sign_is_never_delivered_as_proven),
		cmocka_unit_test(what_waits_at_the_end_is_forgotten),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
