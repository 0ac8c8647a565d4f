/*
 * Short messages of many senders, opened one by one and in bursts by the crypto port's form for many
 * (smq_aead_open_many): what can be won by it where messages come in batches. Senders are drawn at random, so that with
 * many of them their keys come from memory. Both take the same messages, by turns; another run one by one is the
 * control.
 *
 * usage: bench_many [ROUNDS]        prints JSON
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <sealmq/client.h>

#include "base/table.h"

enum {
	SIZE = 64,
	AAD_LEN = 24,
	TAG_LEN = 16,
	KEY_LEN = 16,
	NONCE_LEN = 12,
	BURST = 32,
	BURSTS = 64,
	ROUNDS_MAX = 2000
};

static const size_t sender_counts[] = { 1, 100, 1000, 10000, 100000 };

enum way { SINGLE, MANY, CONTROL, WAYS };

static struct message {
	uint8_t nonce[NONCE_LEN], aad[AAD_LEN], cipher[SIZE + TAG_LEN], out[SIZE];
} messages[BURSTS][BURST];

static struct smq_aead_work work[BURSTS][BURST];

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "bench_many: %s failed\n", what);
	exit(1);
}

static double now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Repeatable. */
static uint32_t draw(void)
{
	static uint32_t state = 1;
	state = state * 1664525u + 1013904223u;
	return state >> 8;
}

static smq_aead **make_keys(const struct smq_crypto *crypto, size_t count)
{
	smq_aead **keys = calloc(count, sizeof(smq_aead *));
	must(keys != NULL, "memory");
	for (size_t i = 0; i < count; i++) {
		uint8_t key[KEY_LEN] = { (uint8_t)i, (uint8_t)(i >> 8), (uint8_t)(i >> 16) };
		must(crypto->aead_new(smq_aead_alg_by_id(SMQ_A128GCM), smq_span_of(key, KEY_LEN), &keys[i]) == SMQ_OK,
		     "a key");
	}
	return keys;
}

/* Each burst anew, off the clock. */
static void seal_all(const struct smq_crypto *crypto, smq_aead *const *keys, size_t count)
{
	static const uint8_t plain[SIZE] = { 't' };
	for (size_t i = 0; i < BURSTS * BURST; i++) {
		struct message *m = &messages[i / BURST][i % BURST];
		struct smq_aead_work *w = &work[i / BURST][i % BURST];
		smq_aead *key = keys[draw() % count];
		m->nonce[0] = (uint8_t)i;
		m->nonce[1] = (uint8_t)(i >> 8);
		must(crypto->aead_seal(key, m->nonce, smq_span_of(m->aad, AAD_LEN), smq_span_of(plain, SIZE),
				       m->cipher) == SMQ_OK,
		     "sealing");
		*w = (struct smq_aead_work){
			key,    m->nonce,    smq_span_of(m->aad, AAD_LEN), smq_span_of(m->cipher, sizeof(m->cipher)),
			m->out, SMQ_ERR_OPEN
		};
	}
}

static double open_all(const struct smq_crypto *crypto, enum way way)
{
	double start = now_ns();
	for (size_t b = 0; b < BURSTS; b++) {
		if (way == MANY)
			smq_aead_open_many(crypto, work[b], BURST);
		for (size_t i = 0; i < BURST && way != MANY; i++) {
			struct smq_aead_work *w = &work[b][i];
			w->err = crypto->aead_open(w->aead, w->nonce, w->aad, w->text, w->out);
		}
	}
	double each = (now_ns() - start) / (BURSTS * BURST);
	for (size_t i = 0; i < BURSTS * BURST; i++)
		must(work[i / BURST][i % BURST].err == SMQ_OK, "opening");
	return each;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void put_ratio(const char *name, double *values, size_t count)
{
	qsort(values, count, sizeof(values[0]), by_value);
	printf(", \"%s_ratio\": %.4g, \"%s_ratio_quartiles\": [%.4g, %.4g]", name, values[count / 2], name,
	       values[count / 4], values[3 * count / 4]);
}

static void row(const struct smq_crypto *crypto, size_t senders, size_t rounds)
{
	static double ns[WAYS][ROUNDS_MAX], ratio[WAYS][ROUNDS_MAX];
	smq_aead **keys = make_keys(crypto, senders);
	for (size_t r = 0; r < rounds + 1; r++) { /* the first one warms up and is written over */
		for (size_t i = 0; i < WAYS; i++) {
			enum way way = (enum way)((r + i) % WAYS);
			seal_all(crypto, keys, senders);
			ns[way][r % rounds] = open_all(crypto, way);
		}
	}
	for (size_t r = 0; r < rounds; r++) {
		ratio[MANY][r] = ns[MANY][r] / ns[SINGLE][r];
		ratio[CONTROL][r] = ns[CONTROL][r] / ns[SINGLE][r];
	}
	qsort(ns[SINGLE], rounds, sizeof(double), by_value);
	printf("{\"senders\": %zu, \"single_ns\": %.4g", senders, ns[SINGLE][rounds / 2]);
	put_ratio("many", ratio[MANY], rounds);
	put_ratio("control", ratio[CONTROL], rounds);
	printf("}");
	for (size_t i = 0; i < senders; i++)
		crypto->aead_free(keys[i]);
	free(keys);
}

int main(int argc, char **argv)
{
	const struct smq_crypto *crypto = smq_crypto_best();
	size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 101;
	must(rounds >= 1 && rounds <= ROUNDS_MAX, "ROUNDS: 1 to 2000");
	printf("{\"lane\": \"%s\", \"burst\": %d, \"rounds\": %zu, \"rows\": [", crypto->name, BURST, rounds);
	for (size_t i = 0; i < SMQ_COUNT(sender_counts); i++) {
		printf("%s", i ? ", " : "");
		row(crypto, sender_counts[i], rounds);
	}
	printf("]}\n");
	return 0;
}
