/*
 * AEADs keyed once: the per-message path sets a nonce and nothing else.
 *
 * GCM and ChaCha20-Poly1305 keep their key schedule in the context, and one
 * context serves both directions. CCM needs lengths before the key and is set
 * up again for each message; it seals single EDHOC messages only.
 */
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>

#include <openssl/err.h>

#include "adapters/crypto_openssl/openssl_internal.h"

struct smq_aead {
	const struct smq_aead_alg *alg;
	EVP_CIPHER_CTX *ctx;
	bool ccm;
	uint8_t key[SMQ_AEAD_KEY_MAX]; /* CCM only */
};

/* OpenSSL counts in int. */
enum { PIECE_MAX = INT_MAX - SMQ_AEAD_TAG_MAX };

static EVP_CIPHER *cipher_of(const struct smq_aead_alg *alg)
{
	const struct smq_openssl_lib *lib = smq_openssl_lib();
	switch (alg->id) {
	case SMQ_A128GCM:
		return lib->aes128gcm;
	case SMQ_A256GCM:
		return lib->aes256gcm;
	case SMQ_CHACHA20_POLY1305:
		return lib->chacha20poly1305;
	case SMQ_AES_CCM_16_64_128:
	case SMQ_AES_CCM_16_128_128:
		return lib->aes128ccm;
	default:
		return NULL;
	}
}

smq_err smq_openssl_aead_new(const struct smq_aead_alg *alg, smq_span key, smq_aead **ret_aead)
{
	EVP_CIPHER *cipher = alg ? cipher_of(alg) : NULL;
	smq_aead *a;

	if (!cipher)
		return SMQ_ERR_ALGORITHM;
	if (key.len != alg->key_len)
		return SMQ_ERR_USAGE;
	a = calloc(1, sizeof(*a));
	if (!a)
		return SMQ_ERR_NO_MEMORY;
	a->alg = alg;
	a->ccm = cipher == smq_openssl_lib()->aes128ccm;
	a->ctx = EVP_CIPHER_CTX_new();
	if (!a->ctx || EVP_EncryptInit_ex2(a->ctx, cipher, a->ccm ? NULL : key.p, NULL, NULL) != 1 ||
	    EVP_CIPHER_CTX_ctrl(a->ctx, EVP_CTRL_AEAD_SET_IVLEN, (int)alg->nonce_len, NULL) != 1) {
		smq_openssl_aead_free(a);
		return SMQ_ERR_CRYPTO;
	}
	if (a->ccm)
		memcpy(a->key, key.p, key.len);
	*ret_aead = a;
	return SMQ_OK;
}

void smq_openssl_aead_free(smq_aead *aead)
{
	if (!aead)
		return;
	EVP_CIPHER_CTX_free(aead->ctx);
	OPENSSL_cleanse(aead->key, sizeof(aead->key));
	free(aead);
}

/* Sets nonce and direction; tag: the one to check when opening, NULL when sealing. */
static bool begin(smq_aead *a, const uint8_t *nonce, const uint8_t *tag, size_t text_len)
{
	int tag_len = (int)a->alg->tag_len;
	int sealing = tag == NULL;
	int n;

	if (!a->ccm) {
		if (EVP_CipherInit_ex2(a->ctx, NULL, NULL, nonce, sealing, NULL) != 1)
			return false;
		return sealing || EVP_CIPHER_CTX_ctrl(a->ctx, EVP_CTRL_AEAD_SET_TAG, tag_len, (void *)tag) == 1;
	}
	return EVP_CipherInit_ex2(a->ctx, NULL, NULL, NULL, sealing, NULL) == 1 &&
	       EVP_CIPHER_CTX_ctrl(a->ctx, EVP_CTRL_AEAD_SET_TAG, tag_len, (void *)tag) == 1 &&
	       EVP_CipherInit_ex2(a->ctx, NULL, a->key, nonce, sealing, NULL) == 1 &&
	       EVP_CipherUpdate(a->ctx, NULL, &n, NULL, (int)text_len) == 1;
}

/* AAD and text; an empty text is passed on by a pointer that is not NULL, which CCM takes for "no AAD yet". */
static bool run(smq_aead *a, smq_span aad, smq_span text, uint8_t *out)
{
	static const uint8_t nothing[1];
	uint8_t nowhere[SMQ_AEAD_TAG_MAX];
	int n;

	if (aad.len > 0 && EVP_CipherUpdate(a->ctx, NULL, &n, aad.p, (int)aad.len) != 1)
		return false;
	if (text.len == 0 && !a->ccm)
		return true;
	return EVP_CipherUpdate(a->ctx, text.len ? out : nowhere, &n, text.len ? text.p : nothing, (int)text.len) == 1;
}

smq_err smq_openssl_aead_seal(smq_aead *aead, const uint8_t *nonce, smq_span aad, smq_span plain, uint8_t *ret_cipher)
{
	int n;

	if (plain.len > PIECE_MAX || aad.len > PIECE_MAX)
		return SMQ_ERR_TOO_LARGE;
	if (!begin(aead, nonce, NULL, plain.len) || !run(aead, aad, plain, ret_cipher) ||
	    (!aead->ccm && EVP_CipherFinal_ex(aead->ctx, ret_cipher + plain.len, &n) != 1) ||
	    EVP_CIPHER_CTX_ctrl(aead->ctx, EVP_CTRL_AEAD_GET_TAG, (int)aead->alg->tag_len, ret_cipher + plain.len) != 1)
		return SMQ_ERR_CRYPTO;
	return SMQ_OK;
}

smq_err smq_openssl_aead_open(smq_aead *aead, const uint8_t *nonce, smq_span aad, smq_span cipher, uint8_t *ret_plain)
{
	size_t len;
	uint8_t tail[SMQ_AEAD_TAG_MAX];
	int n;

	if (cipher.len < aead->alg->tag_len)
		return SMQ_ERR_OPEN;
	len = cipher.len - aead->alg->tag_len;
	if (len > PIECE_MAX || aad.len > PIECE_MAX)
		return SMQ_ERR_TOO_LARGE;
	if (!begin(aead, nonce, cipher.p + len, len))
		return SMQ_ERR_CRYPTO;
	if (!run(aead, aad, smq_span_of(cipher.p, len), ret_plain) ||
	    (!aead->ccm && EVP_CipherFinal_ex(aead->ctx, tail, &n) != 1)) {
		OPENSSL_cleanse(ret_plain, len);
		ERR_clear_error();
		return SMQ_ERR_OPEN;
	}
	return SMQ_OK;
}
