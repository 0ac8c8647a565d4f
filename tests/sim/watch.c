/*
 * The crypto port under watch: every (key, nonce) is remembered, and may seal one thing only.
 *
 * Behind it is either the real port or a mock that is quick and has the same shape: a keyed hash where the real one
 * has AES, HMAC or a signature. The mock keeps every property that the protocol relies on against an adversary that
 * does not compute (ours flips, copies and moves bytes), and no other.
 */
#include <string.h>

#include <sealmq/client.h>

#include "sim.h"

/* ---- a hash ---- */

struct hash {
	uint64_t s[4];
	uint64_t word;
	uint64_t len;
};

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static void hash_word(struct hash *h, uint64_t w)
{
	h->s[0] = mix(h->s[0] ^ w);
	h->s[1] = (h->s[1] + h->s[0]) * UINT64_C(0x9e3779b97f4a7c15);
	h->s[2] = (h->s[2] ^ h->s[1] ^ h->s[0] >> 17) * UINT64_C(0xd6e8feb86659fd93);
	h->s[3] = (h->s[3] << 29 | h->s[3] >> 35) + h->s[2];
}

/* Big endian, as byte after byte gives it. */
static uint64_t word_at(const uint8_t *p)
{
	uint64_t w;
	memcpy(&w, p, sizeof(w));
	return __builtin_bswap64(w);
}

static void hash_add(struct hash *h, smq_span bytes)
{
	size_t i = 0;
	for (; h->len % 8 == 0 && bytes.len - i >= 8; i += 8, h->len += 8)
		hash_word(h, word_at(bytes.p + i));
	for (; i < bytes.len; i++) {
		h->word = h->word << 8 | bytes.p[i];
		if (++h->len % 8 == 0) {
			hash_word(h, h->word);
			h->word = 0;
		}
	}
}

static void hash_end(struct hash *h, uint8_t ret_hash[SMQ_HASH_LEN])
{
	hash_word(h, h->word);
	hash_word(h, h->len ^ UINT64_C(0x5348413235360000));
	for (int i = 0; i < 4; i++) {
		hash_word(h, (uint64_t)i);
		memcpy(ret_hash + 8 * i, &h->s[(i + 3) % 4], 8);
	}
}

void mock_hash(const smq_span *parts, size_t count, uint8_t ret_hash[SMQ_HASH_LEN])
{
	struct hash h = { .s = { 1, 2, 3, 4 } };
	for (size_t i = 0; i < count; i++)
		hash_add(&h, parts[i]);
	hash_end(&h, ret_hash);
}

/* ---- the mock's port ---- */

static smq_err mock_sha256(const smq_span *parts, size_t count, uint8_t ret_hash[SMQ_HASH_LEN])
{
	mock_hash(parts, count, ret_hash);
	return SMQ_OK;
}

/* Prefixed with what it is for and how long the key is. */
static void keyed_hash(const char *label, smq_span key, const smq_span *parts, size_t count, uint8_t ret[SMQ_HASH_LEN])
{
	struct hash h = { .s = { 5, 6, 7, 8 } };
	hash_add(&h, smq_span_str(label));
	hash_word(&h, key.len);
	hash_add(&h, key);
	hash_word(&h, h.len);
	for (size_t i = 0; i < count; i++)
		hash_add(&h, parts[i]);
	hash_end(&h, ret);
}

static smq_err mock_hmac(smq_span key, const smq_span *parts, size_t count, uint8_t ret_mac[SMQ_HASH_LEN])
{
	keyed_hash("mac", key, parts, count, ret_mac);
	return SMQ_OK;
}

struct mock_aead {
	const struct smq_aead_alg *alg;
	uint8_t key[SMQ_AEAD_KEY_MAX];
};

static smq_err mock_aead_new(const struct smq_aead_alg *alg, smq_span key, void **ret)
{
	struct mock_aead *a = malloc(sizeof(*a));
	if (!a || key.len != alg->key_len)
		abort();
	a->alg = alg;
	memcpy(a->key, key.p, key.len);
	*ret = a;
	return SMQ_OK;
}

static void stream(const struct mock_aead *a, const uint8_t *nonce, smq_span in, uint8_t *out)
{
	uint8_t block[SMQ_HASH_LEN];
	const smq_span part = smq_span_of(nonce, a->alg->nonce_len);
	keyed_hash("stream", smq_span_of(a->key, a->alg->key_len), &part, 1, block);
	for (size_t i = 0; i < in.len; i++) {
		uint64_t word;
		memcpy(&word, block + i / 8 % 4 * 8, 8);
		out[i] = in.p[i] ^ (uint8_t)(mix(word + i / 32) >> i % 8 * 8);
	}
}

static void tag_of(const struct mock_aead *a, const uint8_t *nonce, smq_span aad, smq_span cipher,
		   uint8_t ret[SMQ_HASH_LEN])
{
	uint8_t lens[2] = { (uint8_t)aad.len, (uint8_t)(aad.len >> 8) };
	const smq_span parts[] = { smq_span_of(nonce, a->alg->nonce_len), smq_span_of(lens, 2), aad, cipher };
	keyed_hash(a->alg->name, smq_span_of(a->key, a->alg->key_len), parts, 4, ret);
}

static smq_err mock_seal(struct mock_aead *a, const uint8_t *nonce, smq_span aad, smq_span plain, uint8_t *ret_cipher)
{
	uint8_t tag[SMQ_HASH_LEN];
	stream(a, nonce, plain, ret_cipher);
	tag_of(a, nonce, aad, smq_span_of(ret_cipher, plain.len), tag);
	memcpy(ret_cipher + plain.len, tag, a->alg->tag_len);
	return SMQ_OK;
}

static smq_err mock_open(struct mock_aead *a, const uint8_t *nonce, smq_span aad, smq_span cipher, uint8_t *ret_plain)
{
	uint8_t tag[SMQ_HASH_LEN];
	if (cipher.len < a->alg->tag_len)
		return SMQ_ERR_OPEN;
	smq_span body = smq_span_of(cipher.p, cipher.len - a->alg->tag_len);
	tag_of(a, nonce, aad, body, tag);
	if (memcmp(tag, cipher.p + body.len, a->alg->tag_len) != 0)
		return SMQ_ERR_OPEN;
	stream(a, nonce, body, ret_plain);
	return SMQ_OK;
}

/* g^a modulo 2^61 - 1: commutes, and that is all that is asked of it here. */
static uint64_t power(uint64_t base, uint64_t exponent)
{
	const uint64_t p = (UINT64_C(1) << 61) - 1;
	__extension__ typedef unsigned __int128 wide;
	wide result = 1, b = base % p;
	for (; exponent; exponent >>= 1, b = b * b % p) {
		if (exponent & 1)
			result = result * b % p;
	}
	return (uint64_t)result;
}

static uint64_t number(const uint8_t bytes[SMQ_KEX_LEN])
{
	uint64_t n;
	memcpy(&n, bytes, 8);
	return n & ((UINT64_C(1) << 61) - 1);
}

static smq_err mock_kex_public(enum smq_curve curve, const uint8_t secret[SMQ_KEX_LEN], uint8_t ret_public[SMQ_KEX_LEN])
{
	uint64_t n = power(37, number(secret) | 1);
	(void)curve;
	memset(ret_public, 0, SMQ_KEX_LEN);
	memcpy(ret_public, &n, 8);
	return SMQ_OK;
}

static smq_err mock_kex_agree(enum smq_curve curve, const uint8_t secret[SMQ_KEX_LEN],
			      const uint8_t peer_public[SMQ_KEX_LEN], uint8_t ret_shared[SMQ_KEX_LEN])
{
	uint64_t n = number(peer_public);
	uint8_t rest = 0;
	(void)curve;
	for (int i = 8; i < SMQ_KEX_LEN; i++)
		rest |= peer_public[i];
	if (n < 2 || rest)
		return SMQ_ERR_MALFORMED; /* no point of the curve */
	n = power(n, number(secret) | 1);
	memset(ret_shared, 0, SMQ_KEX_LEN);
	memcpy(ret_shared, &n, 8);
	return SMQ_OK;
}

static void signature_of(smq_span public_key, const smq_span *parts, size_t count, uint8_t ret[SMQ_SIG_LEN])
{
	keyed_hash("signature", public_key, parts, count, ret);
	keyed_hash("signature, second half", public_key, parts, count, ret + SMQ_HASH_LEN);
}

static smq_err mock_verify(enum smq_sig_id alg, smq_span public_key, const smq_span *parts, size_t count,
			   const uint8_t signature[SMQ_SIG_LEN])
{
	uint8_t expected[SMQ_SIG_LEN];
	(void)alg;
	signature_of(public_key, parts, count, expected);
	return memcmp(expected, signature, sizeof(expected)) == 0 ? SMQ_OK : SMQ_ERR_SIGNATURE;
}

static smq_err mock_sign(void *self, const smq_span *parts, size_t count, uint8_t ret_signature[SMQ_SIG_LEN])
{
	signature_of(smq_span_of(self, SMQ_PUBLIC_KEY_MAX), parts, count, ret_signature);
	return SMQ_OK;
}

/* The secret is the last byte of the public key, which is more than enough for a mock. */
static smq_err mock_agree(void *self, enum smq_curve curve, const uint8_t peer_public[SMQ_KEX_LEN],
			  uint8_t ret_shared[SMQ_KEX_LEN])
{
	const uint8_t *public_key = self;
	const uint8_t secret[SMQ_KEX_LEN] = { public_key[SMQ_PUBLIC_KEY_MAX - 1] };
	return mock_kex_agree(curve, secret, peer_public, ret_shared);
}

void mock_public(uint8_t number, uint8_t ret_public_key[SMQ_PUBLIC_KEY_MAX])
{
	const uint8_t secret[SMQ_KEX_LEN] = { number };
	memset(ret_public_key, number, SMQ_PUBLIC_KEY_MAX);
	ret_public_key[0] = 4;
	if (mock_kex_public(SMQ_P256, secret, ret_public_key + 1) != SMQ_OK)
		abort();
}

void mock_signer(const uint8_t public_key[SMQ_PUBLIC_KEY_MAX], struct smq_signer *ret_signer)
{
	*ret_signer = (struct smq_signer){
		.self = (void *)(uintptr_t)public_key, .alg = SMQ_ES256, .sign = mock_sign, .agree = mock_agree
	};
}

/* ---- under watch ---- */

enum { SEEN_LEN = 1 << 14 };

static struct {
	struct sim *sim;
	bool real;
	long keys; /* alive */
	struct {
		uint64_t where, what; /* digests of (key, nonce) and of (aad, plaintext) */
	} seen[SEEN_LEN];
	size_t used[SEEN_LEN / 2];
	size_t count;
} watch;

struct smq_aead {
	const struct smq_aead_alg *alg;
	uint8_t key[SMQ_AEAD_KEY_MAX];
	void *inner;
};

static uint64_t digest(const smq_span *parts, size_t count)
{
	uint8_t hash[SMQ_HASH_LEN];
	uint64_t d;
	mock_hash(parts, count, hash);
	memcpy(&d, hash, sizeof(d));
	return d | 1;
}

static void remember(const struct smq_aead *a, const uint8_t *nonce, smq_span aad, smq_span plain)
{
	const smq_span where[] = { smq_span_str(a->alg->name), smq_span_of(a->key, a->alg->key_len),
				   smq_span_of(nonce, a->alg->nonce_len) };
	const smq_span what[] = { aad, plain };
	uint64_t w = digest(where, 3), t = digest(what, 2);
	size_t i = w % SEEN_LEN;
	while (watch.seen[i].where != 0 && watch.seen[i].where != w)
		i = (i + 1) % SEEN_LEN;
	if (watch.seen[i].where == w && watch.seen[i].what != t && watch.seen[i].what != 0)
		sim_fail(watch.sim, "a key and nonce were used for two messages");
	if (watch.seen[i].where == w && watch.seen[i].what == t)
		return;
	if (watch.count == SMQ_COUNT(watch.used))
		sim_fail(watch.sim, "the watch is full");
	watch.seen[i].where = w;
	watch.seen[i].what = t;
	watch.used[watch.count++] = i;
}

size_t watch_mark(void) { return watch.count; }

void watch_forget(size_t mark)
{
	for (size_t i = mark; i < watch.count; i++)
		watch.seen[watch.used[i]].what = 0;
}

static smq_err watch_aead_new(const struct smq_aead_alg *alg, smq_span key, smq_aead **ret_aead)
{
	struct smq_aead *a = malloc(sizeof(*a));
	if (!a)
		abort();
	a->alg = alg;
	memcpy(a->key, key.p, key.len);
	smq_aead *inner = NULL;
	smq_err err =
	    watch.real ? smq_crypto_openssl()->aead_new(alg, key, &inner) : mock_aead_new(alg, key, (void **)&a->inner);
	if (err != SMQ_OK) {
		free(a);
		return err;
	}
	if (watch.real)
		a->inner = inner;
	watch.keys++;
	*ret_aead = a;
	return SMQ_OK;
}

static smq_err watch_seal(smq_aead *a, const uint8_t *nonce, smq_span aad, smq_span plain, uint8_t *ret_cipher)
{
	remember(a, nonce, aad, plain);
	return watch.real ? smq_crypto_openssl()->aead_seal(a->inner, nonce, aad, plain, ret_cipher)
			  : mock_seal(a->inner, nonce, aad, plain, ret_cipher);
}

static smq_err watch_open(smq_aead *a, const uint8_t *nonce, smq_span aad, smq_span cipher, uint8_t *ret_plain)
{
	return watch.real ? smq_crypto_openssl()->aead_open(a->inner, nonce, aad, cipher, ret_plain)
			  : mock_open(a->inner, nonce, aad, cipher, ret_plain);
}

static void watch_free(smq_aead *a)
{
	if (!a)
		return;
	if (watch.real)
		smq_crypto_openssl()->aead_free(a->inner);
	else
		free(a->inner);
	free(a);
	watch.keys--;
}

static const struct smq_crypto mock_port = {
	.name = "mock",
	.sha256 = mock_sha256,
	.hmac_sha256 = mock_hmac,
	.aead_new = watch_aead_new,
	.aead_seal = watch_seal,
	.aead_open = watch_open,
	.aead_free = watch_free,
	.kex_public = mock_kex_public,
	.kex_agree = mock_kex_agree,
	.verify = mock_verify,
};

const struct smq_crypto *watch_crypto(bool real)
{
	static struct smq_crypto real_port;
	if (!real)
		return &mock_port;
	real_port = *smq_crypto_openssl();
	real_port.aead_new = watch_aead_new;
	real_port.aead_seal = watch_seal;
	real_port.aead_open = watch_open;
	real_port.aead_free = watch_free;
	return &real_port;
}

void watch_begin(struct sim *s)
{
	for (size_t i = 0; i < watch.count; i++)
		watch.seen[watch.used[i]].where = 0;
	watch.count = 0;
	watch.sim = s;
	watch.real = s->real;
	watch.keys = 0;
}

void watch_end(struct sim *s) { SIM_CHECK(s, watch.keys == 0, "%ld keys are left over", watch.keys); }
