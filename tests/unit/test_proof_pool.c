/* Signatures verified by other threads: each message is told of once, in order, with its own verdict. */
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>

#include <sealmq/client.h>

#include "adapters/crypto_openssl/signer.h"
#include "adapters/workers_posix/workers.h"
#include "app/proof_pool.h"
#include "base/table.h"

enum { COUNT = 600, FORGED_EVERY = 7 };

static struct smq_signer signer, other;
static struct smq_proof_verifier verifier;

static void make_signers(void)
{
	static const uint8_t secrets[2][SMQ_KEX_LEN] = { { [31] = 9 }, { [31] = 10 } };
	struct smq_signer *signers[] = { &signer, &other };
	verifier = (struct smq_proof_verifier){ .count = 2 };
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(smq_openssl_signer_from_raw(SMQ_P256, secrets[i], signers[i]), SMQ_OK);
		verifier.keys[i].alg = SMQ_ES256;
		assert_int_equal(smq_openssl_signer_public(signers[i], verifier.keys[i].key, &verifier.keys[i].key_len),
				 SMQ_OK);
		memset(verifier.keys[i].id, (int)i + 1, sizeof(verifier.keys[i].id));
	}
}

static struct smq_workers workers_of(size_t threads)
{
	struct smq_workers w;
	assert_int_equal(smq_workers_new(threads, &w), SMQ_OK);
	return w;
}

static bool is_forged(uint64_t number) { return number % FORGED_EVERY == 3; }

/* The evidence's key is `number` too, so that a copy of the wrong one is seen. */
static bool add(struct smq_proof_pool *p, uint64_t number, bool with_evidence)
{
	char topic[32], text[32];
	uint8_t key[16], stream[SMQ_HASH_LEN];
	snprintf(topic, sizeof(topic), "t/%llu", (unsigned long long)number);
	snprintf(text, sizeof(text), "payload %llu", (unsigned long long)number);
	memset(key, (int)number, sizeof(key));
	memset(stream, (int)number, sizeof(stream));
	const struct smq_evidence evidence = { .stream = stream,
					       .context = smq_span_str(topic),
					       .key = smq_span_of(key, sizeof(key)),
					       .base_iv = smq_span_of(key, 12) };
	const struct smq_message m = { .mqtt = { .topic = topic, .payload = smq_span_str(text), .qos = 1 },
				       .sender = number % 2 ? "fridge-07" : "fridge-08",
				       .group = number % 3 ? "telemetry" : NULL,
				       .counter = number,
				       .evidence = with_evidence ? &evidence : NULL };
	struct smq_opened_proof o = { .is_signed = true, .input = { .head_len = 8, .ciphertext = smq_span_str(text) } };
	memcpy(o.input.head, &number, 8);
	const smq_span parts[] = { smq_span_of(o.input.head, 8), o.input.ciphertext };
	const struct smq_signer *by = number % 5 == 0 ? &other : &signer;
	assert_int_equal(by->sign(by->self, parts, 2, o.signature), SMQ_OK);
	if (is_forged(number))
		o.signature[20] ^= 1;
	bool added = smq_proof_pool_add(p, &m, &o, &verifier);
	memset(topic, 'x', sizeof(topic) - 1); /* all of it was copied */
	memset(text, 'x', sizeof(text) - 1);
	memset(key, 0xee, sizeof(key));
	return added;
}

struct told {
	uint64_t next;
	bool evidence;
};

static void tell(void *self, struct smq_message *m, smq_err err)
{
	struct told *t = self;
	char topic[32], text[32];
	snprintf(topic, sizeof(topic), "t/%llu", (unsigned long long)t->next);
	snprintf(text, sizeof(text), "payload %llu", (unsigned long long)t->next);
	assert_int_equal(m->counter, t->next);
	assert_string_equal(m->mqtt.topic, topic);
	assert_string_equal(m->sender, t->next % 2 ? "fridge-07" : "fridge-08");
	assert_true((m->group != NULL) == (t->next % 3 != 0));
	assert_true(smq_span_equal(m->mqtt.payload, smq_span_str(text)));
	assert_int_equal(err, is_forged(t->next) ? SMQ_ERR_SIGNATURE : SMQ_OK);
	assert_int_equal(m->proof, is_forged(t->next) ? SMQ_PROOF_MEMBER : SMQ_PROOF_PROVEN);
	assert_true((m->evidence != NULL) == t->evidence);
	if (t->evidence) {
		assert_int_equal(m->evidence->key.p[15], (uint8_t)t->next);
		assert_int_equal(m->evidence->stream[31], (uint8_t)t->next);
		assert_true(smq_span_equal(m->evidence->context, smq_span_str(topic)));
		assert_true((m->evidence->certificate != NULL) == (err == SMQ_OK));
		if (err == SMQ_OK)
			assert_int_equal(m->evidence->certificate[0], t->next % 5 == 0 ? 2 : 1);
	}
	t->next++;
}

static void each_is_told_of_in_order(void **state)
{
	(void)state;
	static const size_t threads[] = { 1, 2, 7 };
	for (size_t i = 0; i < SMQ_COUNT(threads); i++) {
		struct smq_workers w = workers_of(threads[i]);
		struct smq_proof_pool *p;
		struct told t = { .evidence = i != 1 };
		assert_int_equal(smq_proof_pool_new(smq_crypto_openssl(), &w, &p), SMQ_OK);
		assert_true(smq_proof_pool_is_empty(p));
		for (uint64_t n = 0; n < COUNT; n++) {
			assert_true(add(p, n, t.evidence));
			if (n % 100 == 57)
				smq_proof_pool_join(p, tell, &t);
		}
		assert_false(smq_proof_pool_is_empty(p));
		smq_proof_pool_join(p, tell, &t);
		assert_int_equal(t.next, COUNT);
		assert_true(smq_proof_pool_is_empty(p));
		smq_proof_pool_join(p, tell, &t); /* nothing is left */
		assert_int_equal(t.next, COUNT);
		smq_proof_pool_free(p);
	}
}

/* Its owner goes while work is under way. */
static void what_was_not_told_of_is_forgotten(void **state)
{
	(void)state;
	for (size_t round = 0; round < 20; round++) {
		struct smq_workers w = workers_of(3);
		struct smq_proof_pool *p;
		assert_int_equal(smq_proof_pool_new(smq_crypto_openssl(), &w, &p), SMQ_OK);
		for (uint64_t n = 0; n < round; n++)
			assert_true(add(p, n, true));
		smq_proof_pool_free(p);
	}
	smq_proof_pool_free(NULL);
}

struct count {
	struct smq_work work;
	unsigned runs;
};

static void count_run(struct smq_work *work) { ((struct count *)work)->runs++; }

/* Pieces so small that threads meet all the time. */
static void each_piece_runs_once(void **state)
{
	(void)state;
	enum { PIECES = 5000 };
	struct count *pieces = calloc(PIECES, sizeof(*pieces));
	struct smq_workers w = workers_of(4);
	assert_non_null(pieces);
	for (size_t i = 0; i < PIECES; i++) {
		pieces[i].work.run = count_run;
		w.begin(w.self, &pieces[i].work);
		if (i % 500 == 499)
			w.wait(w.self);
	}
	w.wait(w.self);
	for (size_t i = 0; i < PIECES; i++)
		assert_int_equal(pieces[i].runs, 1);
	w.free(w.self);
	free(pieces);
	assert_true(smq_workers_processors() >= 1);
}

static int set_up(void **state)
{
	(void)state;
	make_signers();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	smq_openssl_signer_free(&signer);
	smq_openssl_signer_free(&other);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_is_told_of_in_order),
		cmocka_unit_test(what_was_not_told_of_is_forgotten),
		cmocka_unit_test(each_piece_runs_once),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
