/* Verifying signatures: ES256 from its raw r || s, Ed25519. */
#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/params.h>

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

static EVP_PKEY *p256_key(smq_span point)
{
	EVP_PKEY *key = NULL;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	OSSL_PARAM params[] = {
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char[]){ "P-256" }, 5),
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)point.p, point.len),
		OSSL_PARAM_END,
	};
	if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1 || EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(ctx);
	return key;
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
