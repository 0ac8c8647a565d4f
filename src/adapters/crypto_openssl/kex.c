/* Ephemeral Diffie-Hellman with 32-byte values: P-256 by x-coordinates, X25519. */
#include <openssl/err.h>

#include "adapters/crypto_openssl/openssl_internal.h"

/* The secret as a number in 1..n-1, handled in constant time from here on. */
static BIGNUM *scalar_of(const uint8_t secret[SMQ_KEX_LEN])
{
	const struct smq_openssl_lib *lib = smq_openssl_lib();
	BIGNUM *k = BN_secure_new();
	if (!k || !BN_bin2bn(secret, SMQ_KEX_LEN, k) || BN_is_zero(k) || BN_cmp(k, lib->p256_n) >= 0) {
		BN_clear_free(k);
		return NULL;
	}
	BN_set_flags(k, BN_FLG_CONSTTIME);
	return k;
}

smq_err smq_openssl_p256_point(const uint8_t secret[SMQ_KEX_LEN], uint8_t ret_point[SMQ_PUBLIC_KEY_MAX])
{
	const struct smq_openssl_lib *lib = smq_openssl_lib();
	smq_err err = SMQ_ERR_CRYPTO;
	EC_POINT *point = NULL;
	BIGNUM *k;

	if (!lib->p256)
		return SMQ_ERR_CRYPTO;
	k = scalar_of(secret);
	if (!k)
		return SMQ_ERR_MALFORMED;
	point = EC_POINT_new(lib->p256);
	if (point && EC_POINT_mul(lib->p256, point, k, NULL, NULL, NULL) == 1 &&
	    EC_POINT_point2oct(lib->p256, point, POINT_CONVERSION_UNCOMPRESSED, ret_point, SMQ_PUBLIC_KEY_MAX, NULL) ==
		SMQ_PUBLIC_KEY_MAX)
		err = SMQ_OK;
	EC_POINT_free(point);
	BN_clear_free(k);
	return err;
}

static smq_err p256_public(const uint8_t secret[SMQ_KEX_LEN], uint8_t ret_public[SMQ_KEX_LEN])
{
	uint8_t point[SMQ_PUBLIC_KEY_MAX];
	smq_err err = smq_openssl_p256_point(secret, point);
	if (err == SMQ_OK)
		memcpy(ret_public, point + 1, SMQ_KEX_LEN);
	return err;
}

/* Either of the two points with this x: their multiples have the same x-coordinate. */
static EC_POINT *point_of(const uint8_t x_bytes[SMQ_KEX_LEN])
{
	const struct smq_openssl_lib *lib = smq_openssl_lib();
	BIGNUM *x = BN_bin2bn(x_bytes, SMQ_KEX_LEN, NULL);
	EC_POINT *point = EC_POINT_new(lib->p256);
	if (!x || !point || BN_is_zero(x) || BN_cmp(x, lib->p256_p) >= 0 ||
	    EC_POINT_set_compressed_coordinates(lib->p256, point, x, 0, NULL) != 1) {
		EC_POINT_free(point);
		point = NULL;
	}
	BN_free(x);
	return point;
}

static smq_err p256_agree(const uint8_t secret[SMQ_KEX_LEN], const uint8_t peer[SMQ_KEX_LEN],
			  uint8_t ret_shared[SMQ_KEX_LEN])
{
	const struct smq_openssl_lib *lib = smq_openssl_lib();
	smq_err err = SMQ_ERR_MALFORMED;
	EC_POINT *point = NULL;
	BIGNUM *k = NULL;
	BIGNUM *x = BN_secure_new();

	if (!lib->p256 || !x) {
		err = SMQ_ERR_CRYPTO;
		goto out;
	}
	k = scalar_of(secret);
	point = point_of(peer);
	if (!k || !point)
		goto out;
	err = SMQ_ERR_CRYPTO;
	if (EC_POINT_mul(lib->p256, point, NULL, point, k, NULL) == 1 &&
	    EC_POINT_get_affine_coordinates(lib->p256, point, x, NULL, NULL) == 1 &&
	    BN_bn2binpad(x, ret_shared, SMQ_KEX_LEN) == SMQ_KEX_LEN)
		err = SMQ_OK;
out:
	EC_POINT_clear_free(point);
	BN_clear_free(k);
	BN_clear_free(x);
	return err;
}

static smq_err x25519_public(const uint8_t secret[SMQ_KEX_LEN], uint8_t ret_public[SMQ_KEX_LEN])
{
	size_t len = SMQ_KEX_LEN;
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, secret, SMQ_KEX_LEN);
	int ok = key && EVP_PKEY_get_raw_public_key(key, ret_public, &len) == 1;
	EVP_PKEY_free(key);
	return ok ? SMQ_OK : SMQ_ERR_CRYPTO;
}

/* OpenSSL refuses an all-zero result, which is what every peer value of low order gives (RFC 7748, 6.1). */
static smq_err x25519_agree(const uint8_t secret[SMQ_KEX_LEN], const uint8_t peer[SMQ_KEX_LEN],
			    uint8_t ret_shared[SMQ_KEX_LEN])
{
	size_t len = SMQ_KEX_LEN;
	uint8_t shared[SMQ_KEX_LEN] = { 0 };
	uint8_t any = 0;
	smq_err err = SMQ_ERR_CRYPTO;
	EVP_PKEY *own = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, secret, SMQ_KEX_LEN);
	EVP_PKEY *other = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, peer, SMQ_KEX_LEN);
	EVP_PKEY_CTX *ctx = own ? EVP_PKEY_CTX_new(own, NULL) : NULL;

	if (!other || !ctx || EVP_PKEY_derive_init(ctx) != 1 || EVP_PKEY_derive_set_peer(ctx, other) != 1)
		goto out;
	err = SMQ_ERR_MALFORMED;
	if (EVP_PKEY_derive(ctx, shared, &len) != 1)
		goto out;
	for (size_t i = 0; i < sizeof(shared); i++)
		any |= shared[i];
	if (any == 0)
		goto out;
	memcpy(ret_shared, shared, sizeof(shared));
	err = SMQ_OK;
out:
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(own);
	EVP_PKEY_free(other);
	OPENSSL_cleanse(shared, sizeof(shared));
	return err;
}

smq_err smq_openssl_kex_public(enum smq_curve curve, const uint8_t secret[SMQ_KEX_LEN], uint8_t ret_public[SMQ_KEX_LEN])
{
	smq_err err = curve == SMQ_P256     ? p256_public(secret, ret_public)
		      : curve == SMQ_X25519 ? x25519_public(secret, ret_public)
					    : SMQ_ERR_ALGORITHM;
	if (err != SMQ_OK)
		ERR_clear_error();
	return err;
}

smq_err smq_openssl_kex_agree(enum smq_curve curve, const uint8_t secret[SMQ_KEX_LEN],
			      const uint8_t peer_public[SMQ_KEX_LEN], uint8_t ret_shared[SMQ_KEX_LEN])
{
	smq_err err = curve == SMQ_P256     ? p256_agree(secret, peer_public, ret_shared)
		      : curve == SMQ_X25519 ? x25519_agree(secret, peer_public, ret_shared)
					    : SMQ_ERR_ALGORITHM;
	/* A peer's point that is none must not end our TLS connection, which looks into the thread's error queue. */
	if (err != SMQ_OK)
		ERR_clear_error();
	return err;
}
