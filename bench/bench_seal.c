/*
 * Seal and open against raw OpenSSL with a cached context, in the same run: rounds of all candidates take turns, and
 * the medians of many rounds are compared, so that a slow moment of the machine hits all of them alike.
 *
 *     raw         EVP, nonce set per message, no AAD
 *     raw + AAD   the same with as much AAD as the protocol authenticates
 *     SealMQ      smq_seal; smq_sealed_decode and smq_open
 *
 * usage: bench_seal [ROUNDS [BATCH]]      prints JSON
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <openssl/evp.h>

#include <sealmq/client.h>

#include "base/table.h"
#include "core/seal.h"

enum { BATCH_MAX = 4096, SIZE_MAX_ = 1024, MESSAGE_MAX = SIZE_MAX_ + 64, ROUNDS_MAX = 2000 };

static const char topic[] = "plant/fridge-07/temperature";
static const size_t sizes[] = { 16, 64, 256, 1024 };
static const int algs[] = { SMQ_A128GCM, SMQ_A256GCM, SMQ_CHACHA20_POLY1305 };

enum candidate { RAW_SEAL, RAW_AAD_SEAL, OUR_SEAL, RAW_OPEN, RAW_AAD_OPEN, OUR_OPEN, CANDIDATES };

static const char *const names[] = { "raw_seal", "raw_aad_seal", "seal", "raw_open", "raw_aad_open", "open" };

struct bench {
	size_t size, aad_len, batch;
	struct smq_sealer sealer;
	struct smq_opener opener;
	EVP_CIPHER_CTX *seal_ctx, *open_ctx;
	uint8_t aad[256], plain[SIZE_MAX_], out[MESSAGE_MAX];
	uint8_t raw[2][MESSAGE_MAX]; /* ciphertext and tag, without and with AAD */
	uint8_t (*messages)[MESSAGE_MAX];
	size_t message_len;
};

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "bench_seal: %s failed\n", what);
	exit(1);
}

static double now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* ---- one message ---- */

static void set_nonce(uint8_t nonce[12], uint64_t counter)
{
	memset(nonce, 0x5a, 12);
	memcpy(nonce + 4, &counter, sizeof(counter));
}

static bool raw_seal(struct bench *b, uint64_t counter, size_t aad_len, uint8_t *out)
{
	uint8_t nonce[12];
	int n, size = (int)b->size;
	set_nonce(nonce, counter);
	return EVP_EncryptInit_ex2(b->seal_ctx, NULL, NULL, nonce, NULL) == 1 &&
	       (aad_len == 0 || EVP_EncryptUpdate(b->seal_ctx, NULL, &n, b->aad, (int)aad_len) == 1) &&
	       EVP_EncryptUpdate(b->seal_ctx, out, &n, b->plain, size) == 1 &&
	       EVP_EncryptFinal_ex(b->seal_ctx, out + size, &n) == 1 &&
	       EVP_CIPHER_CTX_ctrl(b->seal_ctx, EVP_CTRL_AEAD_GET_TAG, 16, out + size) == 1;
}

static bool raw_open(struct bench *b, size_t aad_len, uint8_t *message)
{
	uint8_t nonce[12], tail[16];
	int n, size = (int)b->size;
	set_nonce(nonce, 7);
	return EVP_DecryptInit_ex2(b->open_ctx, NULL, NULL, nonce, NULL) == 1 &&
	       EVP_CIPHER_CTX_ctrl(b->open_ctx, EVP_CTRL_AEAD_SET_TAG, 16, message + size) == 1 &&
	       (aad_len == 0 || EVP_DecryptUpdate(b->open_ctx, NULL, &n, b->aad, (int)aad_len) == 1) &&
	       EVP_DecryptUpdate(b->open_ctx, b->out, &n, message, size) == 1 &&
	       EVP_DecryptFinal_ex(b->open_ctx, tail, &n) == 1;
}

static bool our_seal(struct bench *b, uint8_t *out)
{
	return smq_seal(&b->sealer, smq_span_of(topic, sizeof(topic) - 1), -1, smq_span_of(b->plain, b->size),
			smq_mspan_of(out, MESSAGE_MAX), &b->message_len) == SMQ_OK;
}

static bool our_open(struct bench *b, const uint8_t *message)
{
	struct smq_sealed s;
	size_t len;
	return smq_sealed_decode(smq_span_of(message, b->message_len), &s) == SMQ_OK &&
	       smq_open(&b->opener, &s, smq_span_of(topic, sizeof(topic) - 1), smq_mspan_of(b->out, sizeof(b->out)),
			&len, NULL) == SMQ_OK;
}

/* ---- one round of a candidate: ns per message ---- */

static double run(struct bench *b, enum candidate c)
{
	bool good = true;
	size_t aad_len = c == RAW_AAD_SEAL || c == RAW_AAD_OPEN ? b->aad_len : 0;
	b->sealer.next_counter = 1000; /* the same messages again: only a benchmark may */
	b->opener.replay = (struct smq_replay){ 0 };
	double start = now_ns();
	for (size_t i = 0; i < b->batch; i++) {
		if (c == OUR_SEAL)
			good &= our_seal(b, b->messages[i]);
		else if (c == OUR_OPEN)
			good &= our_open(b, b->messages[i]);
		else if (c == RAW_SEAL || c == RAW_AAD_SEAL)
			good &= raw_seal(b, i, aad_len, b->out);
		else
			good &= raw_open(b, aad_len, b->raw[c == RAW_AAD_OPEN]);
	}
	double took = now_ns() - start;
	must(good, names[c]);
	return took / (double)b->batch;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void measure(struct bench *b, size_t rounds, double ret_median[CANDIDATES])
{
	static double ns[CANDIDATES][ROUNDS_MAX];
	for (size_t r = 0; r < rounds + 1; r++) { /* the first one warms up and is written over */
		for (int c = 0; c < CANDIDATES; c++)
			ns[c][r % rounds] = run(b, (enum candidate)c);
	}
	for (int c = 0; c < CANDIDATES; c++) {
		qsort(ns[c], rounds, sizeof(ns[c][0]), by_value);
		ret_median[c] = ns[c][rounds / 2];
	}
}

/* ---- setting up ---- */

static void init(struct bench *b, const struct smq_aead_alg *alg)
{
	static const uint8_t key[32] = { 1, 2, 3 };
	static const struct smq_traffic_secret secret = { { 9 } };
	const struct smq_seal_context context = { .kind = SMQ_SEALED_SESSION,
						  .alg = alg,
						  .realm = smq_span_str("plant"),
						  .sender = smq_span_str("fridge-07"),
						  .recipient = smq_span_str("archive") };
	const struct smq_sealed header = { .alg = alg };
	const EVP_CIPHER *cipher = alg->id == SMQ_A128GCM   ? EVP_aes_128_gcm()
				   : alg->id == SMQ_A256GCM ? EVP_aes_256_gcm()
							    : EVP_chacha20_poly1305();
	b->seal_ctx = EVP_CIPHER_CTX_new();
	b->open_ctx = EVP_CIPHER_CTX_new();
	must(EVP_EncryptInit_ex2(b->seal_ctx, cipher, key, NULL, NULL) == 1, "key");
	must(EVP_DecryptInit_ex2(b->open_ctx, cipher, key, NULL, NULL) == 1, "key");
	must(smq_sealer_init(&b->sealer, smq_crypto_openssl(), &secret, &context) == SMQ_OK, "sealer");
	must(smq_opener_init(&b->opener, smq_crypto_openssl(), &secret, &context) == SMQ_OK, "opener");
	must(smq_seal_enc_structure(&b->sealer.key, &header, smq_span_str(topic), smq_mspan_of(b->aad, sizeof(b->aad)),
				    &b->aad_len) == SMQ_OK,
	     "AAD");
}

static void done(struct bench *b)
{
	EVP_CIPHER_CTX_free(b->seal_ctx);
	EVP_CIPHER_CTX_free(b->open_ctx);
	smq_sealer_done(&b->sealer);
	smq_opener_done(&b->opener);
}

static void bench_row(struct bench *b, const char *alg, size_t size, size_t rounds, bool first)
{
	double median[CANDIDATES];
	b->size = size;
	must(raw_seal(b, 7, 0, b->raw[0]) && raw_seal(b, 7, b->aad_len, b->raw[1]), "raw seal");
	measure(b, rounds, median);
	printf("%s\n    {\"algorithm\": \"%s\", \"size\": %zu, \"overhead\": %zu, \"aad\": %zu", first ? "" : ",", alg,
	       size, b->message_len - size, b->aad_len);
	for (int c = 0; c < CANDIDATES; c++)
		printf(", \"%s_ns\": %.1f", names[c], median[c]);
	printf("}");
}

int main(int argc, char **argv)
{
	static struct bench b;
	size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 201;
	b.batch = argc > 2 ? strtoul(argv[2], NULL, 10) : 500;
	if (rounds < 1 || rounds > ROUNDS_MAX || b.batch < 1 || b.batch > BATCH_MAX) {
		fprintf(stderr, "usage: bench_seal [ROUNDS (to %d) [BATCH (to %d)]]\n", ROUNDS_MAX, BATCH_MAX);
		return 2;
	}
	b.messages = calloc(b.batch, sizeof(*b.messages));
	must(b.messages != NULL, "memory");
	printf("{\"bench\": \"seal\", \"rounds\": %zu, \"batch\": %zu, \"rows\": [", rounds, b.batch);
	for (size_t a = 0; a < SMQ_COUNT(algs); a++) {
		const struct smq_aead_alg *alg = smq_aead_alg_by_id(algs[a]);
		init(&b, alg);
		for (size_t s = 0; s < SMQ_COUNT(sizes); s++)
			bench_row(&b, alg->name, sizes[s], rounds, a + s == 0);
		done(&b);
	}
	printf("\n]}\n");
	free(b.messages);
	return 0;
}
