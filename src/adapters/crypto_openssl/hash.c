/* SHA-256 and HMAC-SHA-256 over parts, through EVP. */
#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/params.h>

#include "adapters/crypto_openssl/openssl_internal.h"

/* A context of its own per call: OpenSSL 3.0 allocates the state anew at every init, even of a context kept. */
smq_err smq_openssl_evp_sha256(const smq_span *parts, size_t count, uint8_t ret_hash[SMQ_HASH_LEN])
{
	const struct smq_openssl_lib *lib = smq_openssl_lib();
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t hash[SMQ_HASH_LEN];
	smq_err err = SMQ_ERR_CRYPTO;

	if (!ctx || !lib->sha256 || EVP_DigestInit_ex2(ctx, lib->sha256, NULL) != 1)
		goto out;
	for (size_t i = 0; i < count; i++) {
		if (EVP_DigestUpdate(ctx, parts[i].p, parts[i].len) != 1)
			goto out;
	}
	if (EVP_DigestFinal_ex(ctx, hash, NULL) != 1)
		goto out;
	memcpy(ret_hash, hash, sizeof(hash)); /* last: the output may be one of the parts */
	err = SMQ_OK;
out:
	EVP_MD_CTX_free(ctx);
	return err;
}

/* The context lives for one call only, so that no key stays behind in it. */
smq_err smq_openssl_evp_hmac_sha256(smq_span key, const smq_span *parts, size_t count, uint8_t ret_mac[SMQ_HASH_LEN])
{
	static const uint8_t no_key[SMQ_HASH_LEN]; /* HMAC pads a key with zeroes: the empty one is this one */
	const struct smq_openssl_lib *lib = smq_openssl_lib();
	const OSSL_PARAM digest[] = { OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){ "SHA2-256" }, 8),
				      OSSL_PARAM_END };
	uint8_t mac[SMQ_HASH_LEN];
	size_t len = 0;
	smq_err err = SMQ_ERR_CRYPTO;
	EVP_MAC_CTX *ctx = lib->hmac ? EVP_MAC_CTX_new(lib->hmac) : NULL;

	if (key.len == 0)
		key = smq_span_of(no_key, sizeof(no_key));
	if (!ctx || EVP_MAC_init(ctx, key.p, key.len, digest) != 1)
		goto out;
	for (size_t i = 0; i < count; i++) {
		if (parts[i].len > 0 && EVP_MAC_update(ctx, parts[i].p, parts[i].len) != 1)
			goto out;
	}
	if (EVP_MAC_final(ctx, mac, &len, sizeof(mac)) != 1 || len != sizeof(mac))
		goto out;
	memcpy(ret_mac, mac, sizeof(mac));
	err = SMQ_OK;
out:
	EVP_MAC_CTX_free(ctx);
	OPENSSL_cleanse(mac, sizeof(mac));
	return err;
}

smq_err smq_openssl_join(const smq_span *parts, size_t count, smq_span *ret_whole, uint8_t **ret_copy)
{
	size_t len = 0;
	uint8_t *copy;

	if (count == 1) {
		*ret_whole = parts[0];
		*ret_copy = NULL;
		return SMQ_OK;
	}
	for (size_t i = 0; i < count; i++)
		len += parts[i].len;
	copy = malloc(len ? len : 1);
	if (!copy)
		return SMQ_ERR_NO_MEMORY;
	*ret_whole = smq_span_of(copy, len);
	*ret_copy = copy;
	for (size_t i = 0; i < count; i++) {
		if (parts[i].len > 0)
			memcpy(copy, parts[i].p, parts[i].len);
		copy += parts[i].len;
	}
	return SMQ_OK;
}
