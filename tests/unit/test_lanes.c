/* All lanes of the crypto port do the same: the multi-buffer library's, the provider's, EVP's. */
#include "cmocka_all.h"

#include <stdlib.h>

#include <sealmq/client.h>

#include "base/table.h"

enum { LANES = 3, TEXT_MAX = 5000, AAD_MAX = 400, TAG = 16, TRIALS = 600, MANY = 40 };

static const int ids[] = { SMQ_A128GCM, SMQ_A256GCM, SMQ_CHACHA20_POLY1305, SMQ_AES_CCM_16_128_128 };

static size_t lanes(const struct smq_crypto *ret_lanes[LANES])
{
	size_t count = 0;
	ret_lanes[count++] = smq_crypto_openssl_evp();
	ret_lanes[count++] = smq_crypto_openssl();
	if (smq_crypto_multibuffer())
		ret_lanes[count++] = smq_crypto_multibuffer();
	else
		print_message("no multi-buffer library, or not the processor for it: that lane is not tried\n");
	return count;
}

static uint32_t state = 20;

static uint32_t draw(void)
{
	state = state * 1664525u + 1013904223u;
	return state >> 8;
}

static void fill(uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)draw();
}

/* Short ones, and those around the sizes at which libraries take another turn. */
static size_t draw_len(size_t max)
{
	static const size_t turns[] = {
		0, 1, 15, 16, 17, 31, 32, 48, 63, 64, 65, 127, 128, 255, 256, 257, 511, 512, 768
	};
	size_t len = draw() % 3 == 0 ? draw() % max : turns[draw() % SMQ_COUNT(turns)];
	return len < max ? len : max;
}

struct trial {
	const struct smq_aead_alg *alg;
	uint8_t key[SMQ_AEAD_KEY_MAX], nonce[SMQ_AEAD_NONCE_MAX], aad[AAD_MAX], text[TEXT_MAX];
	size_t aad_len, len;
	uint8_t sealed[TEXT_MAX + TAG];
};

static void draw_trial(struct trial *t)
{
	t->alg = smq_aead_alg_by_id(ids[draw() % SMQ_COUNT(ids)]);
	t->aad_len = draw_len(AAD_MAX);
	t->len = draw_len(TEXT_MAX);
	fill(t->key, sizeof(t->key));
	fill(t->nonce, sizeof(t->nonce));
	fill(t->aad, t->aad_len);
	fill(t->text, t->len);
}

static void seal_at(const struct smq_crypto *c, const struct trial *t, bool in_place, uint8_t *ret_sealed)
{
	smq_aead *a = NULL;
	smq_span text = smq_span_of(in_place ? ret_sealed : t->text, t->len);
	memcpy(ret_sealed, t->text, t->len);
	assert_int_equal(c->aead_new(t->alg, smq_span_of(t->key, t->alg->key_len), &a), SMQ_OK);
	assert_int_equal(c->aead_seal(a, t->nonce, smq_span_of(t->aad, t->aad_len), text, ret_sealed), SMQ_OK);
	c->aead_free(a);
}

static smq_err open_at(const struct smq_crypto *c, const struct trial *t, uint8_t *ret_text)
{
	smq_aead *a = NULL;
	assert_int_equal(c->aead_new(t->alg, smq_span_of(t->key, t->alg->key_len), &a), SMQ_OK);
	smq_err err = c->aead_open(a, t->nonce, smq_span_of(t->aad, t->aad_len),
				   smq_span_of(t->sealed, t->len + t->alg->tag_len), ret_text);
	c->aead_free(a);
	return err;
}

static void check_trial(const struct smq_crypto *c, struct trial *t)
{
	static uint8_t out[TEXT_MAX + TAG];
	size_t sealed_len = t->len + t->alg->tag_len;
	for (int in_place = 0; in_place < 2; in_place++) {
		seal_at(c, t, in_place != 0, out);
		assert_memory_equal(out, t->sealed, sealed_len);
	}
	assert_int_equal(open_at(c, t, out), SMQ_OK);
	assert_memory_equal(out, t->text, t->len);
	size_t at = draw() % sealed_len;
	t->sealed[at] ^= 0x10;
	memset(out, 0xee, sizeof(out));
	assert_int_equal(open_at(c, t, out), SMQ_ERR_OPEN);
	for (size_t i = 0; i < t->len; i++)
		assert_int_equal(out[i], 0);
	assert_int_equal(out[t->len], 0xee);
	t->sealed[at] ^= 0x10;
}

static void every_lane_gives_the_same(void **unused)
{
	static struct trial t;
	const struct smq_crypto *c[LANES];
	size_t count = lanes(c);
	(void)unused;
	for (int i = 0; i < TRIALS; i++) {
		draw_trial(&t);
		seal_at(c[0], &t, false, t.sealed);
		for (size_t lane = 0; lane < count; lane++)
			check_trial(c[lane], &t);
	}
}

/* Many at a time, one of them altered: the others are not touched by it. */
static void check_many(const struct smq_crypto *c)
{
	static struct trial t[MANY];
	static uint8_t out[MANY][TEXT_MAX + TAG];
	struct smq_aead_work work[MANY];
	size_t bad = draw() % MANY;
	for (size_t i = 0; i < MANY; i++) {
		draw_trial(&t[i]);
		seal_at(smq_crypto_openssl_evp(), &t[i], false, t[i].sealed);
		work[i] = (struct smq_aead_work){ .nonce = t[i].nonce,
						  .aad = smq_span_of(t[i].aad, t[i].aad_len),
						  .text = smq_span_of(t[i].text, t[i].len),
						  .out = out[i],
						  .err = SMQ_ERR_BUG };
		assert_int_equal(c->aead_new(t[i].alg, smq_span_of(t[i].key, t[i].alg->key_len), &work[i].aead),
				 SMQ_OK);
	}
	smq_aead_seal_many(c, work, MANY);
	for (size_t i = 0; i < MANY; i++) {
		assert_int_equal(work[i].err, SMQ_OK);
		assert_memory_equal(out[i], t[i].sealed, t[i].len + t[i].alg->tag_len);
		work[i].text = smq_span_of(t[i].sealed, t[i].len + t[i].alg->tag_len);
	}
	t[bad].sealed[t[bad].len] ^= 1;
	smq_aead_open_many(c, work, MANY);
	for (size_t i = 0; i < MANY; i++) {
		assert_int_equal(work[i].err, i == bad ? SMQ_ERR_OPEN : SMQ_OK);
		assert_true(i == bad || memcmp(out[i], t[i].text, t[i].len) == 0);
		c->aead_free(work[i].aead);
	}
	smq_aead_open_many(c, NULL, 0);
}

static void many_at_a_time_are_as_one_by_one(void **unused)
{
	const struct smq_crypto *c[LANES];
	size_t count = lanes(c);
	(void)unused;
	for (size_t i = 0; i < 10 * count; i++)
		check_many(c[i % count]);
}

static void the_environment_chooses(void **unused)
{
	const struct smq_crypto *fast = smq_crypto_multibuffer() ? smq_crypto_multibuffer() : smq_crypto_openssl();
	const struct {
		const char *word;
		const struct smq_crypto *lane;
	} rows[] = {
		{ "evp", smq_crypto_openssl_evp() },
		{ "provider", smq_crypto_openssl() },
		{ "multibuffer", fast },
		{ "abacus", fast },
		{ NULL, fast },
	};
	(void)unused;
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		assert_int_equal(rows[i].word ? setenv("SEALMQ_LANE", rows[i].word, 1) : unsetenv("SEALMQ_LANE"), 0);
		assert_ptr_equal(smq_crypto_best(), rows[i].lane);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_lane_gives_the_same),
		cmocka_unit_test(many_at_a_time_are_as_one_by_one),
		cmocka_unit_test(the_environment_chooses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
