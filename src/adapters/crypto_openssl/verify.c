/* Verifying signatures: ES256 from its raw r || s, Ed25519. */
#include <stdlib.h>

#include <openssl/ecdsa.h>
#include <openssl/err.h>

#include "adapters/crypto_openssl/openssl_internal.h"

enum { DER_SIG_MAX = 80 }; /* SEQUENCE of two INTEGERs of up to 33 bytes: 72 */

static smq_err der_of(const uint8_t signature[SMQ_SIG_LEN], uint8_t der[DER_SIG_MAX], size_t *ret_len)
{
	smq_err err = SMQ_ERR_CRYPTO;
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(signature, 32, NULL);
	BIGNUM *s = BN_bin2bn(signature + 32, 32, NULL);
	uint8_t *end = der;
	int len;

	if (!sig || !r || !s || ECDSA_SIG_set0(sig, r, s) != 1) {
		BN_free(r);
		BN_free(s);
		goto out;
	}
	len = i2d_ECDSA_SIG(sig, NULL);
	if (len <= 0 || len > DER_SIG_MAX || i2d_ECDSA_SIG(sig, &end) != len)
		goto out;
	*ret_len = (size_t)len;
	err = SMQ_OK;
out:
	ECDSA_SIG_free(sig);
	return err;
}

/* From the template: a quarter of the time that EVP_PKEY_fromdata takes. A point off the curve is refused. */
static EVP_PKEY *p256_key(smq_span point)
{
	const struct smq_openssl_lib *lib = smq_openssl_lib();
	EVP_PKEY *key = lib->p256_template ? EVP_PKEY_new() : NULL;
	if (key && EVP_PKEY_copy_parameters(key, lib->p256_template) == 1 &&
	    EVP_PKEY_set1_encoded_public_key(key, point.p, point.len) == 1)
		return key;
	EVP_PKEY_free(key);
	return NULL;
}

static smq_err verify_es256(smq_span public_key, const smq_span *parts, size_t count, const uint8_t *signature)
{
	uint8_t hash[SMQ_HASH_LEN];
	uint8_t der[DER_SIG_MAX];
	size_t der_len = 0;
	EVP_PKEY *key = NULL;
	EVP_PKEY_CTX *ctx = NULL;
	smq_err err = smq_openssl_sha256(parts, count, hash);

	if (err == SMQ_OK)
		err = der_of(signature, der, &der_len);
	if (err != SMQ_OK)
		return err;
	err = SMQ_ERR_SIGNATURE; /* a key that is no point verifies nothing */
	key = public_key.len == SMQ_PUBLIC_KEY_MAX && public_key.p[0] == 4 ? p256_key(public_key) : NULL;
	ctx = key ? EVP_PKEY_CTX_new(key, NULL) : NULL;
	if (ctx && EVP_PKEY_verify_init(ctx) == 1 && EVP_PKEY_verify(ctx, der, der_len, hash, sizeof(hash)) == 1)
		err = SMQ_OK;
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(key);
	return err;
}

static smq_err verify_eddsa(smq_span public_key, const smq_span *parts, size_t count, const uint8_t *signature)
{
	smq_span whole;
	uint8_t *copy = NULL;
	EVP_PKEY *key = NULL;
	EVP_MD_CTX *ctx = NULL;
	smq_err err = smq_openssl_join(parts, count, &whole, &copy);

	if (err != SMQ_OK)
		return err;
	err = SMQ_ERR_SIGNATURE;
	if (public_key.len == 32)
		key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key.p, public_key.len);
	ctx = key ? EVP_MD_CTX_new() : NULL;
	if (ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
	    EVP_DigestVerify(ctx, signature, SMQ_SIG_LEN, whole.p, whole.len) == 1)
		err = SMQ_OK;
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	free(copy);
	return err;
}

smq_err smq_openssl_verify(enum smq_sig_id alg, smq_span public_key, const smq_span *parts, size_t count,
			   const uint8_t signature[SMQ_SIG_LEN])
{
	smq_err err = SMQ_ERR_ALGORITHM;
	if (alg == SMQ_ES256)
		err = verify_es256(public_key, parts, count, signature);
	else if (alg == SMQ_EDDSA)
		err = verify_eddsa(public_key, parts, count, signature);
	if (err != SMQ_OK)
		ERR_clear_error(); /* hostile input must not grow or confuse the thread's error queue */
	return err;
}
