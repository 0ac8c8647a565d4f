/* What the files of this adapter share: the algorithms fetched once, and the functions of the port. */
#ifndef SMQ_CRYPTO_OPENSSL_INTERNAL_H
#define SMQ_CRYPTO_OPENSSL_INTERNAL_H

#include <stdbool.h>

#include <openssl/core.h>
#include <openssl/ec.h>
#include <openssl/evp.h>

#include <sealmq/crypto.h>

/* Fetched once per process and never freed; NULL where the library does not have it. */
struct smq_openssl_lib {
	EVP_MD *sha256;
	EVP_MAC *hmac;
	EVP_CIPHER *aes128gcm, *aes256gcm, *chacha20poly1305, *aes128ccm;
	EC_GROUP *p256;
	EVP_PKEY *p256_template; /* its parameters alone: public keys are made from it */
	BIGNUM *p256_p, *p256_n;
};

const struct smq_openssl_lib *smq_openssl_lib(void);

smq_err smq_openssl_sha256(const smq_span *parts, size_t count, uint8_t ret_hash[SMQ_HASH_LEN]);
smq_err smq_openssl_hmac_sha256(smq_span key, const smq_span *parts, size_t count, uint8_t ret_mac[SMQ_HASH_LEN]);
/* The same without the provider's own functions. */
smq_err smq_openssl_evp_sha256(const smq_span *parts, size_t count, uint8_t ret_hash[SMQ_HASH_LEN]);
smq_err smq_openssl_evp_hmac_sha256(smq_span key, const smq_span *parts, size_t count, uint8_t ret_mac[SMQ_HASH_LEN]);
smq_err smq_openssl_aead_new(const struct smq_aead_alg *alg, smq_span key, smq_aead **ret_aead);
smq_err smq_openssl_aead_seal(smq_aead *aead, const uint8_t *nonce, smq_span aad, smq_span plain, uint8_t *ret_cipher);
smq_err smq_openssl_aead_open(smq_aead *aead, const uint8_t *nonce, smq_span aad, smq_span cipher, uint8_t *ret_plain);
void smq_openssl_aead_free(smq_aead *aead);
/* The same without the provider's own functions. */
smq_err smq_openssl_evp_aead_new(const struct smq_aead_alg *alg, smq_span key, smq_aead **ret_aead);
EVP_CIPHER *smq_openssl_cipher_of(const struct smq_aead_alg *alg); /* NULL: none */

/* Hands take the functions that a provider has for an algorithm of an operation, if it has it. */
void smq_direct_functions(const OSSL_PROVIDER *provider, int operation, const char *name,
			  void (*take)(const OSSL_DISPATCH *functions, void *provider_ctx, void *self), void *self);

/* The provider's own functions for an AEAD, where they were found to do what EVP does; NULL otherwise. A context made
 * with them is keyed once and serves both directions. */
struct smq_direct_cipher;
const struct smq_direct_cipher *smq_direct_cipher_of(const struct smq_aead_alg *alg);
void *smq_direct_new(const struct smq_direct_cipher *c, smq_span key);
void smq_direct_free(const struct smq_direct_cipher *c, void *ctx);

struct smq_aead {
	const struct smq_direct_cipher *direct; /* NULL: through EVP */
	void *direct_ctx;
	const struct smq_aead_alg *alg;
	EVP_CIPHER_CTX *ctx;
	bool ccm;
	uint8_t key[SMQ_AEAD_KEY_MAX]; /* CCM only */
};

bool smq_direct_seal(const smq_aead *a, const uint8_t *nonce, smq_span aad, smq_span plain, uint8_t *ret_cipher);
/* Leaves what it wrote where the tag, behind the text, does not verify: the caller wipes. */
bool smq_direct_open(const smq_aead *a, const uint8_t *nonce, smq_span aad, smq_span text, uint8_t *ret_plain);

smq_err smq_openssl_kex_public(enum smq_curve curve, const uint8_t secret[SMQ_KEX_LEN],
			       uint8_t ret_public[SMQ_KEX_LEN]);
smq_err smq_openssl_kex_agree(enum smq_curve curve, const uint8_t secret[SMQ_KEX_LEN],
			      const uint8_t peer_public[SMQ_KEX_LEN], uint8_t ret_shared[SMQ_KEX_LEN]);
/* The whole point 04 || x || y of a P-256 secret. */
smq_err smq_openssl_p256_point(const uint8_t secret[SMQ_KEX_LEN], uint8_t ret_point[SMQ_PUBLIC_KEY_MAX]);
smq_err smq_openssl_verify(enum smq_sig_id alg, smq_span public_key, const smq_span *parts, size_t count,
			   const uint8_t signature[SMQ_SIG_LEN]);

/* The parts as one piece of memory: the only part itself, or a copy that the caller frees by *ret_copy. */
smq_err smq_openssl_join(const smq_span *parts, size_t count, smq_span *ret_whole, uint8_t **ret_copy);

#endif
