/*
 * Seal and open against OpenSSL in the same run: rounds of all candidates take turns, and what is compared are the
 * pairs of one round, so that a slow moment of the machine hits all of them alike.
 *
 *     naive       EVP as it stands in tutorials: a context made and keyed for each message; as many bytes authenticated
 *     raw         EVP, keyed once, nonce set per message, no AAD
 *     floor       the same with as much AAD as the protocol authenticates: what could be had by hand
 *     evp         SealMQ on EVP: a group's message sealed; decoded, its sender found among 1,000, opened
 *     direct      SealMQ on the provider's own functions
 *     every       SealMQ, each message signed and the signature made (seal) or checked (open), ES256
 *     checkpoint  SealMQ, its digest taken and, every 32 messages, a checkpoint signed (seal only)
 *
 * usage: bench_seal [ROUNDS [BATCH [LARGEST]]]      prints JSON; "distribution" are single messages of 64 bytes
 *        bench_seal memory                           what a reader keeps for each known sender
 *        bench_seal rows ROUNDS < LINES              each line a message, through the lane that is taken by default
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <openssl/evp.h>

#include <sealmq/client.h>

#include "adapters/crypto_openssl/signer.h"
#include "base/table.h"
#include "core/group.h"
#include "core/proof_signer.h"

enum {
	BATCH_MAX = 500,
	WARM = 16, /* messages before those that count: what went before pushed this code out of the caches */
	LARGEST = 65536,
	MESSAGE_MAX = LARGEST + 256,
	ROUNDS_MAX = 2000,
	SENDERS = 1000,
	MANY_SENDERS = 10000, /* for the memory that they take */
	MEMBERS = 250,
	SINGLES = 20000
};

static const char topic_text[] = "plant/fridge-07/temperature";
static const size_t sizes[] = { 16, 64, 256, 1024, 4096, 16384, LARGEST };
static const int algs[] = { SMQ_A128GCM, SMQ_A256GCM, SMQ_CHACHA20_POLY1305 };

enum candidate {
	NAIVE_SEAL,
	RAW_SEAL,
	FLOOR_SEAL,
	EVP_SEAL,
	DIRECT_SEAL,
	MULTI_SEAL,
	CHECKPOINT_SEAL,
	EVERY_SEAL,
	NAIVE_OPEN,
	RAW_OPEN,
	FLOOR_OPEN,
	EVP_OPEN,
	DIRECT_OPEN,
	MULTI_OPEN,
	EVERY_OPEN,
	CANDIDATES
};

static const char *const names[] = { "naive_seal", "raw_seal",        "floor_seal",  "evp_seal",   "direct_seal",
				     "multi_seal", "checkpoint_seal", "every_seal",  "naive_open", "raw_open",
				     "floor_open", "evp_open",        "direct_open", "multi_open", "every_open" };

static bool is_seal(enum candidate c) { return c < NAIVE_OPEN; }
static bool is_floor(enum candidate c) { return c == NAIVE_OPEN || c == RAW_OPEN || c == FLOOR_OPEN; }
static bool is_signed(enum candidate c) { return c == EVERY_SEAL || c == EVERY_OPEN || c == CHECKPOINT_SEAL; }

/* A group with its own key: who sends, and who has heard a thousand. */
struct lane {
	struct smq_group sender, receiver;
	struct smq_group_life sender_life, *lives;
	size_t senders;
	struct smq_replay *window; /* of the sender, at the receiver */
};

struct bench {
	size_t size, aad_len, batch;
	struct smq_group_file file;
	struct lane lanes[3]; /* EVP, direct, multi-buffer where it is there */
	struct smq_own_credential own;
	struct smq_proof_signer checkpoints;
	uint8_t public_key[SMQ_PUBLIC_KEY_MAX];
	const EVP_CIPHER *cipher;
	EVP_CIPHER_CTX *seal_ctx, *open_ctx;
	uint8_t aad[256], plain[LARGEST], out[MESSAGE_MAX];
	uint8_t *messages; /* side by side, as they come out of a socket: for the floor ciphertext and tag */
	size_t lens[BATCH_MAX + WARM];
};

enum { BESIDE = 256 }; /* what a message may be longer than its payload */

static const uint8_t raw_key[32] = { 1, 2, 3 };
static smq_span topic;

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

static uint8_t *message(const struct bench *b, size_t i) { return b->messages + i * (b->size + BESIDE); }

/* ---- one message ---- */

static void set_nonce(uint8_t nonce[12], uint64_t counter)
{
	memset(nonce, 0x5a, 12);
	memcpy(nonce + 4, &counter, sizeof(counter));
}

static bool seal_with(EVP_CIPHER_CTX *ctx, const struct bench *b, uint64_t counter, size_t aad_len, uint8_t *out)
{
	uint8_t nonce[12];
	int n, size = (int)b->size;
	set_nonce(nonce, counter);
	return EVP_EncryptInit_ex2(ctx, NULL, NULL, nonce, NULL) == 1 &&
	       (aad_len == 0 || EVP_EncryptUpdate(ctx, NULL, &n, b->aad, (int)aad_len) == 1) &&
	       EVP_EncryptUpdate(ctx, out, &n, b->plain, size) == 1 && EVP_EncryptFinal_ex(ctx, out + size, &n) == 1 &&
	       EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, out + size) == 1;
}

static bool open_with(EVP_CIPHER_CTX *ctx, struct bench *b, uint64_t counter, size_t aad_len, uint8_t *message)
{
	uint8_t nonce[12], tail[16];
	int n, size = (int)b->size;
	set_nonce(nonce, counter);
	return EVP_DecryptInit_ex2(ctx, NULL, NULL, nonce, NULL) == 1 &&
	       EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 16, message + size) == 1 &&
	       (aad_len == 0 || EVP_DecryptUpdate(ctx, NULL, &n, b->aad, (int)aad_len) == 1) &&
	       EVP_DecryptUpdate(ctx, b->out, &n, message, size) == 1 && EVP_DecryptFinal_ex(ctx, tail, &n) == 1;
}

static bool naive(struct bench *b, bool sealing, size_t i)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	bool good =
	    ctx && EVP_CipherInit_ex2(ctx, b->cipher, raw_key, NULL, sealing, NULL) == 1 &&
	    (sealing ? seal_with(ctx, b, i, b->aad_len, b->out) : open_with(ctx, b, i, b->aad_len, message(b, i)));
	EVP_CIPHER_CTX_free(ctx);
	return good;
}

static bool our_seal(struct bench *b, struct lane *l, size_t i)
{
	return smq_group_seal(&l->sender, topic, -1, smq_span_of(b->plain, b->size),
			      smq_mspan_of(message(b, i), b->size + BESIDE), &b->lens[i]) == SMQ_OK;
}

static bool every_seal(struct bench *b, struct lane *l, size_t i)
{
	struct smq_seal_proof proof = { .signer = &b->own.signer };
	return smq_group_seal_proven(&l->sender, topic, -1, smq_span_of(b->plain, b->size), &proof,
				     smq_mspan_of(message(b, i), b->size + BESIDE), &b->lens[i]) == SMQ_OK;
}

static bool checkpoint_seal(struct bench *b, struct lane *l, size_t i)
{
	struct smq_seal_proof proof = { .covered = true, .wants_digest = true };
	static uint8_t room[SMQ_CHECKPOINT_MAX];
	size_t len;
	bool good = smq_group_seal_proven(&l->sender, topic, -1, smq_span_of(b->plain, b->size), &proof,
					  smq_mspan_of(message(b, i), b->size + BESIDE), &b->lens[i]) == SMQ_OK;
	if (!smq_proof_signer_fits(&b->checkpoints, &proof))
		good &= smq_proof_signer_take(&b->checkpoints, smq_mspan_of(room, sizeof(room)), &len) == SMQ_OK;
	return good && smq_proof_signer_add(&b->checkpoints, &proof, 0) == SMQ_OK;
}

static bool verified(const struct bench *b, const struct smq_group_opened *o, const struct smq_sealed *s)
{
	struct smq_proof_input input;
	if (smq_proof_input_make(o->key, s, topic, &input) != SMQ_OK)
		return false;
	const smq_span parts[] = { smq_span_of(input.head, input.head_len), input.ciphertext };
	return smq_crypto_openssl()->verify(SMQ_ES256, smq_span_of(b->public_key, sizeof(b->public_key)), parts, 2,
					    s->signature.p) == SMQ_OK;
}

static bool our_open(struct bench *b, struct lane *l, size_t i, bool proven)
{
	struct smq_sealed s;
	struct smq_group_opened o;
	return smq_sealed_decode(smq_span_of(message(b, i), b->lens[i]), &s) == SMQ_OK &&
	       smq_group_open(&l->receiver, &s, topic, 0, smq_mspan_of(b->out, sizeof(b->out)), &o) == SMQ_OK &&
	       (!proven || verified(b, &o, &s));
}

static struct lane *lane_of(enum candidate c, struct bench *b)
{
	size_t lane = c == EVP_SEAL || c == EVP_OPEN ? 0 : c == MULTI_SEAL || c == MULTI_OPEN ? 2 : 1;
	return &b->lanes[lane];
}

static bool is_there(enum candidate c)
{
	return (c != MULTI_SEAL && c != MULTI_OPEN) || smq_crypto_multibuffer() != NULL;
}

static bool once(struct bench *b, enum candidate c, size_t i)
{
	struct lane *direct = &b->lanes[1];
	switch (c) {
	case NAIVE_SEAL:
	case NAIVE_OPEN:
		return naive(b, c == NAIVE_SEAL, i);
	case RAW_SEAL:
	case FLOOR_SEAL:
		return seal_with(b->seal_ctx, b, i, c == RAW_SEAL ? 0 : b->aad_len, b->out);
	case RAW_OPEN:
	case FLOOR_OPEN:
		return open_with(b->open_ctx, b, i, c == RAW_OPEN ? 0 : b->aad_len, message(b, i));
	case EVP_SEAL:
	case DIRECT_SEAL:
	case MULTI_SEAL:
		return our_seal(b, lane_of(c, b), 0); /* into one place, as the floor does */
	case CHECKPOINT_SEAL:
		return checkpoint_seal(b, direct, 0);
	case EVERY_SEAL:
		return every_seal(b, direct, 0);
	default:
		return our_open(b, lane_of(c, b), i, c == EVERY_OPEN);
	}
}

/* ---- one round of a candidate: ns per message ---- */

/* What is to be opened is sealed before, off the clock. */
static void prepare(struct bench *b, enum candidate c)
{
	struct lane *l = lane_of(c, b);
	bool good = true;
	l->sender.sealer.next_counter = 1000; /* the same messages again: only a benchmark may */
	*l->window = (struct smq_replay){ 0 };
	for (size_t i = 0; i < b->batch + WARM && !is_seal(c); i++) {
		if (is_floor(c))
			good &= seal_with(b->seal_ctx, b, i, c == RAW_OPEN ? 0 : b->aad_len, message(b, i));
		else
			good &= c == EVERY_OPEN ? every_seal(b, l, i) : our_seal(b, l, i);
	}
	must(good, "preparing");
}

static double run(struct bench *b, enum candidate c)
{
	bool good = true;
	size_t count = is_signed(c) && b->batch > 32 ? 32 : b->batch;
	prepare(b, c);
	for (size_t i = 0; i < WARM; i++)
		good &= once(b, c, i);
	double start = now_ns();
	for (size_t i = WARM; i < WARM + count; i++)
		good &= once(b, c, i);
	double took = now_ns() - start;
	must(good, names[c]);
	return took / (double)count;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

struct spread {
	double low, median, high; /* quartiles */
};

static struct spread spread_of(double *values, size_t count)
{
	qsort(values, count, sizeof(values[0]), by_value);
	return (struct spread){ values[count / 4], values[count / 2], values[3 * count / 4] };
}

static void put(const char *name, const char *unit, struct spread s)
{
	printf(", \"%s_%s\": %.4g, \"%s_%s_quartiles\": [%.4g, %.4g]", name, unit, s.median, name, unit, s.low, s.high);
}

/* Each candidate's time, and its ratio to the floor's time in the same round. */
static void measure(struct bench *b, size_t rounds)
{
	static double ns[CANDIDATES][ROUNDS_MAX], ratio[ROUNDS_MAX];
	for (size_t r = 0; r < rounds + 1; r++) { /* the first one warms up and is written over */
		for (int c = 0; c < CANDIDATES; c++)
			ns[c][r % rounds] = is_there((enum candidate)c) ? run(b, (enum candidate)c) : 0;
	}
	for (int c = 0; c < CANDIDATES; c++) {
		if (!is_there((enum candidate)c))
			continue;
		for (size_t r = 0; r < rounds; r++)
			ratio[r] = ns[c][r] / ns[is_seal((enum candidate)c) ? FLOOR_SEAL : FLOOR_OPEN][r];
		if (c != FLOOR_SEAL && c != FLOOR_OPEN)
			put(names[c], "ratio", spread_of(ratio, rounds));
	}
	for (int c = 0; c < CANDIDATES; c++) {
		if (is_there((enum candidate)c))
			put(names[c], "ns", spread_of(ns[c], rounds));
	}
}

static double clock_cost(void)
{
	double least = 1e9;
	for (size_t i = 0; i < 1000; i++) {
		double a = now_ns(), d = now_ns() - a;
		least = d < least ? d : least;
	}
	return least;
}

/* Single messages, the clock's own cost taken off. */
static void distribution(struct bench *b, enum candidate c)
{
	static double single[SINGLES];
	double clock_ns = clock_cost();
	for (size_t i = 0; i < SINGLES; i++) {
		if (i % b->batch == 0)
			prepare(b, c);
		double start = now_ns();
		bool good = once(b, c, i % b->batch);
		single[i] = now_ns() - start - clock_ns;
		must(good, names[c]);
	}
	qsort(single, SINGLES, sizeof(single[0]), by_value);
	printf("\"%s\": [", names[c]);
	for (int p = 0; p <= 1000; p += 5)
		printf("%s%.0f", p ? ", " : "", single[(size_t)(SINGLES - 1) * (size_t)p / 1000]);
	printf("]");
}

/* ---- setting up ---- */

static void start_sender(struct bench *b, struct lane *l, const struct smq_crypto *crypto, size_t member)
{
	memset(&l->sender_life, 0, sizeof(l->sender_life));
	must(smq_group_init(&l->sender, crypto, smq_random_system(), &b->file, b->file.members[member], NULL,
			    &l->sender_life, 1) == SMQ_OK,
	     "sender");
}

static void make_room(struct lane *l, size_t senders)
{
	*l = (struct lane){ .senders = senders, .lives = calloc(senders + 1, sizeof(*l->lives)) };
	must(l->lives != NULL, "memory");
}

static void init_lane(struct bench *b, struct lane *l, const struct smq_crypto *crypto)
{
	must(smq_group_init(&l->receiver, crypto, smq_random_system(), &b->file, "nobody", NULL, l->lives,
			    l->senders + 1) == SMQ_OK,
	     "receiver");
	for (size_t i = 0; i <= l->senders; i++) {
		if (i > 0)
			smq_group_done(&l->sender);
		start_sender(b, l, crypto, i % MEMBERS);
		must(our_seal(b, l, 0) && our_open(b, l, 0, false), "first message");
	}
	for (size_t i = 0; i <= l->senders; i++) {
		if (l->lives[i].heard == l->receiver.lives.ticks)
			l->window = &l->lives[i].replay;
	}
	must(l->window != NULL, "window");
}

static void drop_lane(struct lane *l)
{
	if (l->window) { /* else it was never begun */
		smq_group_done(&l->sender);
		smq_group_done(&l->receiver);
	}
	free(l->lives);
	*l = (struct lane){ .lives = NULL };
}

static void init(struct bench *b, const struct smq_aead_alg *alg)
{
	const struct smq_sealed header = { .alg = alg };
	b->file.alg = alg;
	b->cipher = alg->id == SMQ_A128GCM   ? EVP_aes_128_gcm()
		    : alg->id == SMQ_A256GCM ? EVP_aes_256_gcm()
					     : EVP_chacha20_poly1305();
	b->seal_ctx = EVP_CIPHER_CTX_new();
	b->open_ctx = EVP_CIPHER_CTX_new();
	must(EVP_EncryptInit_ex2(b->seal_ctx, b->cipher, raw_key, NULL, NULL) == 1, "key");
	must(EVP_DecryptInit_ex2(b->open_ctx, b->cipher, raw_key, NULL, NULL) == 1, "key");
	b->size = 16;
	for (size_t i = 0; i < SMQ_COUNT(b->lanes); i++)
		make_room(&b->lanes[i], SENDERS);
	init_lane(b, &b->lanes[0], smq_crypto_openssl_evp());
	init_lane(b, &b->lanes[1], smq_crypto_openssl());
	if (smq_crypto_multibuffer())
		init_lane(b, &b->lanes[2], smq_crypto_multibuffer());
	must(smq_proof_signer_init(&b->checkpoints, &b->own, 0, 0) == SMQ_OK, "checkpoints");
	must(smq_seal_enc_structure(&b->lanes[0].sender.sealer.key, &header, topic,
				    smq_mspan_of(b->aad, sizeof(b->aad)), &b->aad_len) == SMQ_OK,
	     "AAD");
}

static void done(struct bench *b)
{
	EVP_CIPHER_CTX_free(b->seal_ctx);
	EVP_CIPHER_CTX_free(b->open_ctx);
	for (size_t i = 0; i < SMQ_COUNT(b->lanes); i++)
		drop_lane(&b->lanes[i]);
}

static void init_identities(struct bench *b)
{
	uint8_t secret[SMQ_KEX_LEN] = { [SMQ_KEX_LEN - 1] = 9 };
	static const uint8_t id_cred[] = { 0xa1, 0x04, 0x41, 0x01 };
	size_t len;
	b->file = (struct smq_group_file){ .realm = "plant",
					   .group = "telemetry",
					   .epoch = 1,
					   .member_count = MEMBERS,
					   .filter_count = 1,
					   .filters = { "plant/#" } };
	for (size_t i = 0; i < MEMBERS; i++)
		snprintf(b->file.members[i], sizeof(b->file.members[i]), "fridge-%zu", i);
	b->own.id_cred_short = smq_span_of(id_cred, sizeof(id_cred));
	must(smq_openssl_signer_from_raw(SMQ_P256, secret, &b->own.signer) == SMQ_OK &&
		 smq_openssl_signer_public(&b->own.signer, b->public_key, &len) == SMQ_OK,
	     "signer");
}

static void bench_row(struct bench *b, const struct smq_aead_alg *alg, size_t size, size_t rounds, size_t batch,
		      bool first)
{
	b->size = size;
	b->batch = size >= 4096 && batch > 20 ? 20 : batch;
	prepare(b, DIRECT_SEAL);
	must(our_seal(b, &b->lanes[1], 0), "seal");
	printf("%s\n    {\"algorithm\": \"%s\", \"size\": %zu, \"overhead\": %zu, \"aad\": %zu", first ? "" : ",",
	       alg->name, size, b->lens[0] - size, b->aad_len);
	measure(b, rounds);
	printf("}");
}

/* ---- lines of standard input ---- */

static double at_least_zero(double ns) { return ns > 0 ? ns : 0; }

/* One line there and back; the best of the rounds is what the machine can do, undisturbed. */
static void time_line(struct bench *b, size_t rounds, double *ret_seal_ns, double *ret_open_ns, double clock_ns)
{
	double seal_ns = 1e12, open_ns = 1e12;
	struct lane *l = &b->lanes[smq_crypto_multibuffer() ? 2 : 1];
	for (size_t r = 0; r < rounds; r++) {
		double start = now_ns();
		bool good = our_seal(b, l, 0);
		double sealed = now_ns();
		good &= our_open(b, l, 0, false);
		double opened = now_ns();
		must(good, "a line");
		seal_ns = sealed - start < seal_ns ? sealed - start : seal_ns;
		open_ns = opened - sealed < open_ns ? opened - sealed : open_ns;
	}
	*ret_seal_ns = at_least_zero(seal_ns - clock_ns);
	*ret_open_ns = at_least_zero(open_ns - clock_ns);
}

static void put_percentiles(const char *name, double *values, size_t count)
{
	qsort(values, count, sizeof(values[0]), by_value);
	printf(", \"%s\": [", name);
	for (int p = 0; p <= 1000; p += 5)
		printf("%s%.0f", p ? ", " : "", values[(count - 1) * (size_t)p / 1000]);
	printf("]");
}

static int rows(struct bench *b, size_t rounds)
{
	enum { ROWS_MAX = 200000 };
	static double seal_ns[ROWS_MAX], open_ns[ROWS_MAX];
	double bytes = 0, over = 0, all_ns = 0, clock_ns = clock_cost();
	size_t count = 0;
	char *line = NULL;
	size_t room = 0;
	init(b, smq_aead_alg_by_id(SMQ_A128GCM));
	for (ssize_t len; count < ROWS_MAX && (len = getline(&line, &room, stdin)) > 0; count++) {
		b->size = (size_t)(line[len - 1] == '\n' ? len - 1 : len);
		must(b->size <= LARGEST, "a line of that length");
		memcpy(b->plain, line, b->size);
		time_line(b, rounds, &seal_ns[count], &open_ns[count], clock_ns);
		bytes += (double)b->size;
		over += (double)(b->lens[0] - b->size);
		all_ns += seal_ns[count] + open_ns[count];
	}
	free(line);
	must(count > 0, "reading rows");
	printf("{\"bench\": \"dataset\", \"rows\": %zu, \"bytes\": %.2f, \"overhead\": %.2f, \"per_s\": %.0f", count,
	       bytes / (double)count, over / (double)count, (double)count / all_ns * 1e9);
	put_percentiles("seal_ns", seal_ns, count);
	put_percentiles("open_ns", open_ns, count);
	printf("}\n");
	done(b);
	return 0;
}

/* What the library allocates for the key of a sender; the table is there already. */
static double heap_each(struct bench *b, const struct smq_crypto *crypto, size_t senders)
{
	make_room(&b->lanes[0], senders);
	size_t before = mallinfo2().uordblks;
	init_lane(b, &b->lanes[0], crypto);
	double each = (double)(mallinfo2().uordblks - before) / (double)(senders + 1);
	drop_lane(&b->lanes[0]);
	return each;
}

static void memory_with(struct bench *b, size_t senders)
{
	printf("{\"senders\": %zu, \"table_bytes\": %zu, \"evp_bytes\": %.0f, \"direct_bytes\": %.0f", senders,
	       sizeof(struct smq_group_life), heap_each(b, smq_crypto_openssl_evp(), senders),
	       heap_each(b, smq_crypto_openssl(), senders));
	if (smq_crypto_multibuffer())
		printf(", \"multi_bytes\": %.0f", heap_each(b, smq_crypto_multibuffer(), senders));
	printf("}");
}

static int memory(struct bench *b)
{
	b->file.alg = smq_aead_alg_by_id(SMQ_A128GCM);
	b->size = 64;
	printf("{\"bench\": \"memory\", \"rows\": [");
	memory_with(b, SENDERS);
	printf(", ");
	memory_with(b, MANY_SENDERS);
	printf("]}\n");
	return 0;
}

static int sizes_and_algorithms(struct bench *b, size_t rounds, size_t batch, size_t largest);

int main(int argc, char **argv)
{
	static struct bench b;
	bool kept = argc == 2 && strcmp(argv[1], "memory") == 0;
	bool lines = argc == 3 && strcmp(argv[1], "rows") == 0;
	size_t rounds = lines ? strtoul(argv[2], NULL, 10) : argc > 1 && !kept ? strtoul(argv[1], NULL, 10) : 101;
	size_t batch = argc > 2 && !lines ? strtoul(argv[2], NULL, 10) : 200;
	size_t largest = argc > 3 ? strtoul(argv[3], NULL, 10) : LARGEST;
	if (rounds < 1 || rounds > ROUNDS_MAX || batch < 1 || batch > BATCH_MAX) {
		fprintf(stderr, "usage: bench_seal [ROUNDS (to %d) [BATCH (to %d) [LARGEST]]]\n", ROUNDS_MAX,
			BATCH_MAX);
		return 2;
	}
	topic = smq_span_str(topic_text);
	b.messages = calloc(BATCH_MAX + WARM, MESSAGE_MAX);
	must(b.messages != NULL, "memory");
	init_identities(&b);
	int status = kept ? memory(&b) : lines ? rows(&b, rounds) : sizes_and_algorithms(&b, rounds, batch, largest);
	smq_openssl_signer_free(&b.own.signer);
	free(b.messages);
	return status;
}

static int sizes_and_algorithms(struct bench *b, size_t rounds, size_t batch, size_t largest)
{
	static const enum candidate shown[] = { FLOOR_SEAL,  DIRECT_SEAL, EVP_SEAL,   FLOOR_OPEN,
						DIRECT_OPEN, EVP_OPEN,    MULTI_SEAL, MULTI_OPEN };
	printf("{\"bench\": \"seal\", \"rounds\": %zu, \"batch\": %zu, \"senders\": %d, \"rows\": [", rounds, batch,
	       SENDERS);
	for (size_t a = 0; a < SMQ_COUNT(algs); a++) {
		const struct smq_aead_alg *alg = smq_aead_alg_by_id(algs[a]);
		init(b, alg);
		for (size_t s = 0; s < SMQ_COUNT(sizes) && sizes[s] <= largest; s++)
			bench_row(b, alg, sizes[s], rounds, batch, a + s == 0);
		done(b);
	}
	init(b, smq_aead_alg_by_id(SMQ_A128GCM));
	b->size = 64;
	b->batch = batch;
	printf("\n], \"distribution\": {");
	for (size_t i = 0; i < SMQ_COUNT(shown) && is_there(shown[i]); i++) {
		printf("%s", i ? ", " : "");
		distribution(b, shown[i]);
	}
	printf("}}\n");
	done(b);
	return 0;
}
