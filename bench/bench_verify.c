/*
 * Signatures of messages verified by worker threads, as a recorder has them verified, against the bare rate: as many
 * threads that do nothing but verify one P-256 signature again and again, with a context each. In turns, by the clock.
 *
 * usage: bench_verify [THREADS [ROUNDS [MESSAGES]]]      prints JSON
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <openssl/ec.h>
#include <openssl/evp.h>

#include <sealmq/client.h>

#include "adapters/crypto_openssl/signer.h"
#include "adapters/workers_posix/workers.h"
#include "app/proof_pool.h"

enum { ROUNDS_MAX = 101, THREADS_MAX = 64, BURST = 2048, TEXT = 140, SIGNATURES = 4096 };

static struct smq_signer signer;
static struct smq_proof_verifier verifier;
static uint8_t text[TEXT], digest[SMQ_HASH_LEN], der[80];
static size_t der_len;
static size_t messages;

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "bench_verify: %s failed\n", what);
	exit(1);
}

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- bare ---- */

static EVP_PKEY *bare_key(void)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	EVP_PKEY *key = NULL;
	OSSL_PARAM params[] = {
		OSSL_PARAM_utf8_string("group", (char[]){ "P-256" }, 5),
		OSSL_PARAM_octet_string("pub", verifier.keys[0].key, verifier.keys[0].key_len),
		OSSL_PARAM_END,
	};
	must(ctx && EVP_PKEY_fromdata_init(ctx) == 1 && EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) == 1,
	     "a key");
	EVP_PKEY_CTX_free(ctx);
	return key;
}

static void *verify_bare(void *count)
{
	EVP_PKEY *key = bare_key();
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	must(ctx && EVP_PKEY_verify_init(ctx) == 1, "a context");
	for (size_t i = *(size_t *)count; i > 0; i--)
		must(EVP_PKEY_verify(ctx, der, der_len, digest, sizeof(digest)) == 1, "verifying");
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(key);
	return NULL;
}

static double run_bare(size_t threads)
{
	pthread_t ids[THREADS_MAX];
	size_t each = messages / threads;
	double start = now_s();
	for (size_t i = 1; i < threads; i++)
		must(pthread_create(&ids[i], NULL, verify_bare, &each) == 0, "a thread");
	verify_bare(&each);
	for (size_t i = 1; i < threads; i++)
		pthread_join(ids[i], NULL);
	return (double)(each * threads) / (now_s() - start);
}

/* ---- as a recorder does ---- */

static void tell(void *self, struct smq_message *message, smq_err err)
{
	size_t *told = self;
	must(err == SMQ_OK && message->proof == SMQ_PROOF_PROVEN, "a message");
	++*told;
}

static double run_pool(size_t threads, const struct smq_opened_proof opened[SIGNATURES])
{
	struct smq_workers workers;
	struct smq_proof_pool *pool;
	size_t told = 0;
	const struct smq_message m = { .mqtt = { .topic = "audit/a/energy", .payload = smq_span_of(text, TEXT) },
				       .sender = "auditor-1",
				       .group = "audit" };
	must(smq_workers_new(threads > 1 ? threads - 1 : 1, &workers) == SMQ_OK &&
		 smq_proof_pool_new(smq_crypto_best(), &workers, &pool) == SMQ_OK,
	     "workers");
	double start = now_s();
	for (size_t i = 0; i < messages; i++) {
		must(smq_proof_pool_add(pool, &m, &opened[i % SIGNATURES], &verifier), "adding");
		if ((i + 1) % BURST == 0)
			smq_proof_pool_join(pool, tell, &told);
	}
	smq_proof_pool_join(pool, tell, &told);
	double took = now_s() - start;
	must(told == messages, "telling");
	smq_proof_pool_free(pool);
	return (double)messages / took;
}

/* ---- rounds ---- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
	qsort(values, count, sizeof(values[0]), by_value);
	return values[count / 2];
}

static void put_quartiles(const char *name, double *values, size_t count)
{
	double middle = median(values, count);
	printf(", \"%s\": {\"median\": %.3f, \"low\": %.3f, \"high\": %.3f}", name, middle, values[count / 4],
	       values[3 * count / 4]);
}

/* One and the same signature again would be remembered: so many of them, each a different one. */
static void init(struct smq_opened_proof ret_opened[SIGNATURES])
{
	static const uint8_t secret[SMQ_KEX_LEN] = { [SMQ_KEX_LEN - 1] = 9 };
	struct smq_opened_proof o = { .is_signed = true };
	o.input = (struct smq_proof_input){ .head_len = 100, .ciphertext = smq_span_of(text, TEXT) };
	const smq_span parts[] = { smq_span_of(o.input.head, o.input.head_len), o.input.ciphertext };
	must(smq_openssl_signer_from_raw(SMQ_P256, secret, &signer) == SMQ_OK &&
		 smq_openssl_signer_public(&signer, verifier.keys[0].key, &verifier.keys[0].key_len) == SMQ_OK &&
		 signer.sign(signer.self, parts, 2, o.signature) == SMQ_OK &&
		 smq_crypto_openssl()->sha256(parts, 2, digest) == SMQ_OK,
	     "a signature");
	verifier.count = 1;
	verifier.keys[0].alg = SMQ_ES256;
	ECDSA_SIG *sig = ECDSA_SIG_new();
	uint8_t *end = der;
	must(sig && ECDSA_SIG_set0(sig, BN_bin2bn(o.signature, 32, NULL), BN_bin2bn(o.signature + 32, 32, NULL)) == 1,
	     "a signature");
	der_len = (size_t)i2d_ECDSA_SIG(sig, &end);
	ECDSA_SIG_free(sig);
	for (size_t i = 0; i < SIGNATURES; i++) {
		ret_opened[i] = o;
		must(signer.sign(signer.self, parts, 2, ret_opened[i].signature) == SMQ_OK, "a signature");
	}
}

int main(int argc, char **argv)
{
	static struct smq_opened_proof opened[SIGNATURES];
	double bare[ROUNDS_MAX], pool[ROUNDS_MAX], ratio[ROUNDS_MAX], control[ROUNDS_MAX];
	size_t threads = argc > 1 ? strtoul(argv[1], NULL, 10) : smq_workers_processors();
	size_t rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 25;
	messages = argc > 3 ? strtoul(argv[3], NULL, 10) : 4096;
	if (threads < 1 || threads > THREADS_MAX || rounds < 1 || rounds > ROUNDS_MAX || messages < threads) {
		fputs("usage: bench_verify [THREADS [ROUNDS [MESSAGES]]]\n", stderr);
		return 2;
	}
	init(opened);
	for (size_t i = 0; i < rounds; i++) {
		if (i % 2)
			pool[i] = run_pool(threads, opened);
		bare[i] = run_bare(threads);
		if (i % 2 == 0)
			pool[i] = run_pool(threads, opened);
		ratio[i] = pool[i] / bare[i];
		control[i] = run_bare(threads) / bare[i];
	}
	printf("{\"threads\": %zu, \"rounds\": %zu, \"bare_per_s\": %.0f, \"pool_per_s\": %.0f", threads, rounds,
	       median(bare, rounds), median(pool, rounds));
	put_quartiles("ratio", ratio, rounds);
	put_quartiles("control", control, rounds);
	puts("}");
	smq_openssl_signer_free(&signer);
	return 0;
}
