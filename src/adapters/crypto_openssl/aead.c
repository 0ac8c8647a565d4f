/*
 * AEADs keyed once: the per-message path sets a nonce and nothing else.
 *
 * GCM and ChaCha20-Poly1305 keep their key schedule in the context, and one
 * context serves both directions. CCM needs lengths before the key and is set
 * up again for each message; it seals single EDHOC messages only. Where the
 * provider's own functions are to be had (aead_direct.c), EVP is not asked.
 */
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>

#include "adapters/crypto_openssl/openssl_internal.h"

/* OpenSSL counts in int. */
enum { PIECE_MAX = INT_MAX - SMQ_AEAD_TAG_MAX };

EVP_CIPHER *smq_openssl_cipher_of(const struct smq_aead_alg *alg)
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

static bool key_evp(smq_aead *a, smq_span key)
{
	EVP_CIPHER *cipher = smq_openssl_cipher_of(a->alg);
	a->ccm = cipher == smq_openssl_lib()->aes128ccm;
	a->ctx = EVP_CIPHER_CTX_new();
	if (!a->ctx || EVP_EncryptInit_ex2(a->ctx, cipher, a->ccm ? NULL : key.p, NULL, NULL) != 1 ||
	    EVP_CIPHER_CTX_ctrl(a->ctx, EVP_CTRL_AEAD_SET_IVLEN, (int)a->alg->nonce_len, NULL) != 1)
		return false;
	if (a->ccm)
		memcpy(a->key, key.p, key.len);
	return true;
}

static bool key_direct(smq_aead *a, smq_span key)
{
	const struct smq_direct_cipher *direct = smq_direct_cipher_of(a->alg);
	a->direct_ctx = direct ? smq_direct_new(direct, key) : NULL;
	a->direct = a->direct_ctx ? direct : NULL;
	return a->direct_ctx != NULL;
}

static smq_err new_aead(const struct smq_aead_alg *alg, smq_span key, bool may_direct, smq_aead **ret_aead)
{
	smq_aead *a;

	if (!alg || !smq_openssl_cipher_of(alg))
		return SMQ_ERR_ALGORITHM;
	if (key.len != alg->key_len)
		return SMQ_ERR_USAGE;
	a = calloc(1, sizeof(*a));
	if (!a)
		return SMQ_ERR_NO_MEMORY;
	a->alg = alg;
	if (!(may_direct && key_direct(a, key)) && !key_evp(a, key)) {
		smq_openssl_aead_free(a);
		return SMQ_ERR_CRYPTO;
	}
	*ret_aead = a;
	return SMQ_OK;
}

smq_err smq_openssl_aead_new(const struct smq_aead_alg *alg, smq_span key, smq_aead **ret_aead)
{
	return new_aead(alg, key, true, ret_aead);
}

smq_err smq_openssl_evp_aead_new(const struct smq_aead_alg *alg, smq_span key, smq_aead **ret_aead)
{
	return new_aead(alg, key, false, ret_aead);
}

void smq_openssl_aead_free(smq_aead *aead)
{
	if (!aead)
		return;
	if (aead->direct_ctx)
		smq_direct_free(aead->direct, aead->direct_ctx);
	EVP_CIPHER_CTX_free(aead->ctx);
	OPENSSL_cleanse(aead->key, sizeof(aead->key));
	free(aead);
}

/* Sets nonce and direction; tag: the one to check when opening, NULL when sealing. */
static bool begin(smq_aead *a, const uint8_t *nonce, const uint8_t *tag, size_t text_len)
{
	/* what EVP_CIPHER_CTX_ctrl would make of it, in the same call as the nonce */
	const OSSL_PARAM opening[] = {
		OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, (void *)tag, a->alg->tag_len),
		OSSL_PARAM_END,
	};
	int tag_len = (int)a->alg->tag_len;
	int sealing = tag == NULL;
	int n;

	if (!a->ccm)
		return EVP_CipherInit_ex2(a->ctx, NULL, NULL, nonce, sealing, sealing ? NULL : opening) == 1;
	return EVP_CipherInit_ex2(a->ctx, NULL, NULL, NULL, sealing, NULL) == 1 &&
	       EVP_CIPHER_CTX_ctrl(a->ctx, EVP_CTRL_AEAD_SET_TAG, tag_len, (void *)tag) == 1 &&
	       EVP_CipherInit_ex2(a->ctx, NULL, a->key, nonce, sealing, NULL) == 1 &&
	       EVP_CipherUpdate(a->ctx, NULL, &n, NULL, (int)text_len) == 1;
}

/* AAD and text; an empty text is passed on by a pointer that is not NULL, which CCM takes for "no AAD yet". */
static inline bool run(smq_aead *a, smq_span aad, smq_span text, uint8_t *out)
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

static bool seal_evp(smq_aead *a, const uint8_t *nonce, smq_span aad, smq_span plain, uint8_t *ret_cipher)
{
	/* what EVP_CIPHER_CTX_ctrl would make of it */
	OSSL_PARAM tag[] = {
		OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, ret_cipher + plain.len, a->alg->tag_len),
		OSSL_PARAM_END,
	};
	int n;
	return begin(a, nonce, NULL, plain.len) && run(a, aad, plain, ret_cipher) &&
	       (a->ccm || EVP_EncryptFinal_ex(a->ctx, ret_cipher + plain.len, &n) == 1) &&
	       EVP_CIPHER_CTX_get_params(a->ctx, tag) == 1;
}

smq_err smq_openssl_aead_seal(smq_aead *aead, const uint8_t *nonce, smq_span aad, smq_span plain, uint8_t *ret_cipher)
{
	if (aead->direct)
		return smq_direct_seal(aead, nonce, aad, plain, ret_cipher) ? SMQ_OK : SMQ_ERR_CRYPTO;
	if (plain.len > PIECE_MAX || aad.len > PIECE_MAX)
		return SMQ_ERR_TOO_LARGE;
	return seal_evp(aead, nonce, aad, plain, ret_cipher) ? SMQ_OK : SMQ_ERR_CRYPTO;
}

static smq_err open_evp(smq_aead *a, const uint8_t *nonce, smq_span aad, smq_span text, uint8_t *ret_plain)
{
	uint8_t tail[SMQ_AEAD_TAG_MAX];
	int n;
	if (!begin(a, nonce, text.p + text.len, text.len))
		return SMQ_ERR_CRYPTO;
	return run(a, aad, text, ret_plain) && (a->ccm || EVP_DecryptFinal_ex(a->ctx, tail, &n) == 1) ? SMQ_OK
												      : SMQ_ERR_OPEN;
}

smq_err smq_openssl_aead_open(smq_aead *aead, const uint8_t *nonce, smq_span aad, smq_span cipher, uint8_t *ret_plain)
{
	smq_err err = SMQ_ERR_OPEN;

	if (cipher.len < aead->alg->tag_len)
		return SMQ_ERR_OPEN;
	smq_span text = smq_span_of(cipher.p, cipher.len - aead->alg->tag_len);
	if (aead->direct) {
		if (smq_direct_open(aead, nonce, aad, text, ret_plain))
			return SMQ_OK;
	} else if (text.len > PIECE_MAX || aad.len > PIECE_MAX) {
		return SMQ_ERR_TOO_LARGE;
	} else {
		err = open_evp(aead, nonce, aad, text, ret_plain);
	}
	if (err == SMQ_ERR_OPEN) {
		OPENSSL_cleanse(ret_plain, text.len);
		ERR_clear_error();
	}
	return err;
}
