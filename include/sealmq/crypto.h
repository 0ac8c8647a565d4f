/*
 * The crypto port: everything SealMQ needs of a crypto library, as a const struct.
 *
 * The OpenSSL adapter (smq_crypto_openssl in sealmq/client.h) is one; a
 * microcontroller brings its own. All functions are pure in their inputs: the
 * port draws no randomness (see struct smq_random) and keeps no state that a
 * caller could see, so that a run can be repeated bit for bit.
 *
 * Private keys of members are not handed to the port as bytes: struct smq_signer
 * stands for a key that may live in a file, a token or a secure element.
 *
 * Failure inside the library is SMQ_ERR_CRYPTO. Implements the algorithms named
 * in PROTOCOL.md 2.
 */
#ifndef SEALMQ_CRYPTO_H
#define SEALMQ_CRYPTO_H

#include <sealmq/err.h>
#include <sealmq/span.h>

#ifdef __cplusplus
extern "C" {
#endif

/* AEAD algorithms by their COSE numbers (IANA registry "COSE Algorithms"). */
enum smq_aead_id {
	SMQ_A128GCM = 1,
	SMQ_A256GCM = 3,
	SMQ_AES_CCM_16_64_128 = 10, /* inside EDHOC only */
	SMQ_CHACHA20_POLY1305 = 24,
	SMQ_AES_CCM_16_128_128 = 30 /* inside EDHOC only */
};

/* Signature algorithms by their COSE numbers. Signatures are 64 bytes in both: r || s, or Ed25519's. */
enum smq_sig_id { SMQ_ES256 = -7, SMQ_EDDSA = -8 };

/* Curves by their COSE numbers ("COSE Elliptic Curves"). */
enum smq_curve { SMQ_P256 = 1, SMQ_P384 = 2 /* authorities only */, SMQ_X25519 = 4, SMQ_ED25519 = 6 };

enum {
	SMQ_HASH_LEN = 32, /* SHA-256 everywhere */
	SMQ_SIG_LEN = 64,
	SMQ_KEX_LEN = 32, /* secrets, public keys and shared secrets of P-256 (x-coordinate) and X25519 */
	SMQ_AEAD_KEY_MAX = 32,
	SMQ_AEAD_NONCE_MAX = 13,
	SMQ_AEAD_TAG_MAX = 16,
	SMQ_PUBLIC_KEY_MAX = 65 /* an uncompressed P-256 point: 04 || x || y */
};

/* What an AEAD is made of. One row per algorithm, in src/crypto/algorithms.c. */
struct smq_aead_alg {
	int id;           /* enum smq_aead_id */
	const char *name; /* "A128GCM", as in the COSE registry */
	size_t key_len;
	size_t nonce_len;
	size_t tag_len;
	uint64_t message_limit; /* seals under one key before the hard stop, well below the proven bound */
};

/* The row for a COSE number or for a name (case ignored); NULL if there is none. */
const struct smq_aead_alg *smq_aead_alg_by_id(int id);
const struct smq_aead_alg *smq_aead_alg_by_name(const char *name);

/* A keyed AEAD: keyed once, used many times, owned by the adapter that made it. Not for two threads at once. */
typedef struct smq_aead smq_aead;

/* One of many messages at a time, each under an AEAD of its own; err is the answer. */
struct smq_aead_work {
	smq_aead *aead;
	const uint8_t *nonce;
	smq_span aad, text; /* the plaintext, or the ciphertext and its tag */
	uint8_t *out;       /* as ret_cipher or ret_plain below */
	smq_err err;
};

struct smq_crypto {
	const char *name;

	/* SHA-256 and HMAC-SHA-256 over the concatenation of the parts. */
	smq_err (*sha256)(const smq_span *parts, size_t count, uint8_t ret_hash[SMQ_HASH_LEN]);
	smq_err (*hmac_sha256)(smq_span key, const smq_span *parts, size_t count, uint8_t ret_mac[SMQ_HASH_LEN]);

	/* Keys an AEAD; key.len must be alg->key_len. This may allocate; sealing and opening may not. */
	smq_err (*aead_new)(const struct smq_aead_alg *alg, smq_span key, smq_aead **ret_aead);
	/* Writes plain.len + tag_len bytes. ret_cipher may be plain.p itself, and may not overlap it otherwise. */
	smq_err (*aead_seal)(smq_aead *aead, const uint8_t *nonce, smq_span aad, smq_span plain, uint8_t *ret_cipher);
	/* Writes cipher.len - tag_len bytes; SMQ_ERR_OPEN, and ret_plain wiped, when the tag does not verify. */
	smq_err (*aead_open)(smq_aead *aead, const uint8_t *nonce, smq_span aad, smq_span cipher, uint8_t *ret_plain);
	/* Wipes the key. NULL is fine. */
	void (*aead_free)(smq_aead *aead);

	/* Ephemeral Diffie-Hellman with 32-byte values: P-256 public keys are x-coordinates (RFC 9528, 3.7).
	 * A secret outside 1..n-1 is SMQ_ERR_MALFORMED (draw another); so is a peer value that is no point
	 * of the curve, or of low order. */
	smq_err (*kex_public)(enum smq_curve curve, const uint8_t secret[SMQ_KEX_LEN], uint8_t ret_public[SMQ_KEX_LEN]);
	smq_err (*kex_agree)(enum smq_curve curve, const uint8_t secret[SMQ_KEX_LEN],
			     const uint8_t peer_public[SMQ_KEX_LEN], uint8_t ret_shared[SMQ_KEX_LEN]);

	/* public_key: ES256 takes 65 bytes 04 || x || y, EdDSA takes 32. SMQ_ERR_SIGNATURE when it does not verify. */
	smq_err (*verify)(enum smq_sig_id alg, smq_span public_key, const smq_span *parts, size_t count,
			  const uint8_t signature[SMQ_SIG_LEN]);

	/* The same for many at a time; NULL where there is nothing to be won by it (see smq_aead_seal_many). */
	void (*aead_seal_many)(struct smq_aead_work *work, size_t count);
	void (*aead_open_many)(struct smq_aead_work *work, size_t count);

	/* A hint: what comes now comes after a rest, and finds the caches cold. NULL where it makes no difference. */
	void (*aead_rested)(void);
};

/* Seals, or opens, all of them by the port's form for many where it has one, else one by one. What one of them answers
 * does not change what becomes of the others. */
void smq_aead_seal_many(const struct smq_crypto *crypto, struct smq_aead_work *work, size_t count);
void smq_aead_open_many(const struct smq_crypto *crypto, struct smq_aead_work *work, size_t count);

/* Randomness is handed in, so that a simulation can hand in its own. */
struct smq_random {
	void *self;
	smq_err (*fill)(void *self, smq_mspan room);
};

/* A member's long-term private key. The owner of self outlives every use. */
struct smq_signer {
	void *self;
	enum smq_sig_id alg;
	/* Signs the concatenation of the parts. */
	smq_err (*sign)(void *self, const smq_span *parts, size_t count, uint8_t ret_signature[SMQ_SIG_LEN]);
	/* Static Diffie-Hellman (EDHOC methods 1 to 3); NULL where the key is for signatures only. */
	smq_err (*agree)(void *self, enum smq_curve curve, const uint8_t peer_public[SMQ_KEX_LEN],
			 uint8_t ret_shared[SMQ_KEX_LEN]);
};

#ifdef __cplusplus
}
#endif
#endif
