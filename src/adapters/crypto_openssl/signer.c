/* Signers: private keys that sign, and agree where they may. */
#include "adapters/crypto_openssl/signer.h"

#include <stdlib.h>

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/pem.h>

#include "adapters/common_openssl/pem.h"
#include "adapters/crypto_openssl/openssl_internal.h"

struct key {
	enum smq_curve curve;
	EVP_PKEY *pkey;
	EVP_PKEY_CTX *sign_ctx;      /* ES256: set up once */
	uint8_t secret[SMQ_KEX_LEN]; /* for agreement; zero for Ed25519 */
	uint8_t public_key[SMQ_PUBLIC_KEY_MAX];
	size_t public_len;
};

static bool raw_of(const uint8_t *der, size_t len, uint8_t ret_signature[SMQ_SIG_LEN])
{
	const uint8_t *at = der;
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)len);
	bool ok = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), ret_signature, 32) == 32 &&
		  BN_bn2binpad(ECDSA_SIG_get0_s(sig), ret_signature + 32, 32) == 32;
	ECDSA_SIG_free(sig);
	return ok;
}

static smq_err sign_es256(void *self, const smq_span *parts, size_t count, uint8_t ret_signature[SMQ_SIG_LEN])
{
	struct key *k = self;
	uint8_t hash[SMQ_HASH_LEN];
	uint8_t der[80];
	size_t len = sizeof(der);
	smq_err err = smq_openssl_sha256(parts, count, hash);

	if (err != SMQ_OK)
		return err;
	if (EVP_PKEY_sign(k->sign_ctx, der, &len, hash, sizeof(hash)) != 1 || !raw_of(der, len, ret_signature))
		return SMQ_ERR_CRYPTO;
	return SMQ_OK;
}

static smq_err sign_eddsa(void *self, const smq_span *parts, size_t count, uint8_t ret_signature[SMQ_SIG_LEN])
{
	struct key *k = self;
	size_t len = SMQ_SIG_LEN;
	smq_span whole;
	uint8_t *copy = NULL;
	EVP_MD_CTX *ctx = NULL;
	smq_err err = smq_openssl_join(parts, count, &whole, &copy);

	if (err != SMQ_OK)
		return err;
	ctx = EVP_MD_CTX_new();
	if (!ctx || EVP_DigestSignInit(ctx, NULL, NULL, NULL, k->pkey) != 1 ||
	    EVP_DigestSign(ctx, ret_signature, &len, whole.p, whole.len) != 1 || len != SMQ_SIG_LEN)
		err = SMQ_ERR_CRYPTO;
	EVP_MD_CTX_free(ctx);
	free(copy);
	return err;
}

static smq_err sign_not(void *self, const smq_span *parts, size_t count, uint8_t ret_signature[SMQ_SIG_LEN])
{
	(void)self;
	(void)parts;
	(void)count;
	(void)ret_signature;
	return SMQ_ERR_UNSUPPORTED; /* an X25519 key signs nothing */
}

static smq_err agree(void *self, enum smq_curve curve, const uint8_t peer_public[SMQ_KEX_LEN],
		     uint8_t ret_shared[SMQ_KEX_LEN])
{
	struct key *k = self;
	if (curve != k->curve)
		return SMQ_ERR_ALGORITHM;
	return smq_openssl_kex_agree(curve, k->secret, peer_public, ret_shared);
}

static void key_free(struct key *k)
{
	if (!k)
		return;
	EVP_PKEY_CTX_free(k->sign_ctx);
	EVP_PKEY_free(k->pkey);
	OPENSSL_cleanse(k, sizeof(*k));
	free(k);
}

static smq_err fill_p256(struct key *k)
{
	BIGNUM *d = NULL;
	char group[32];
	smq_err err = SMQ_ERR_ALGORITHM;

	if (EVP_PKEY_get_utf8_string_param(k->pkey, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group), NULL) != 1 ||
	    strcmp(group, "prime256v1") != 0)
		return SMQ_ERR_ALGORITHM;
	if (EVP_PKEY_get_bn_param(k->pkey, OSSL_PKEY_PARAM_PRIV_KEY, &d) == 1 &&
	    BN_bn2binpad(d, k->secret, SMQ_KEX_LEN) == SMQ_KEX_LEN)
		err = smq_openssl_p256_point(k->secret, k->public_key);
	BN_clear_free(d);
	k->curve = SMQ_P256;
	k->public_len = SMQ_PUBLIC_KEY_MAX;
	if (err != SMQ_OK)
		return err;
	k->sign_ctx = EVP_PKEY_CTX_new(k->pkey, NULL);
	return k->sign_ctx && EVP_PKEY_sign_init(k->sign_ctx) == 1 ? SMQ_OK : SMQ_ERR_CRYPTO;
}

static smq_err fill_raw(struct key *k, enum smq_curve curve)
{
	size_t len = SMQ_KEX_LEN;
	k->curve = curve;
	k->public_len = SMQ_KEX_LEN;
	if (EVP_PKEY_get_raw_public_key(k->pkey, k->public_key, &len) != 1)
		return SMQ_ERR_CRYPTO;
	len = SMQ_KEX_LEN;
	if (curve == SMQ_X25519 && EVP_PKEY_get_raw_private_key(k->pkey, k->secret, &len) != 1)
		return SMQ_ERR_CRYPTO;
	return SMQ_OK;
}

/* Takes pkey over, also on failure. */
static smq_err signer_of(EVP_PKEY *pkey, bool may_agree, struct smq_signer *ret_signer)
{
	struct key *k = calloc(1, sizeof(*k));
	smq_err err = SMQ_ERR_ALGORITHM;

	if (!k) {
		EVP_PKEY_free(pkey);
		return SMQ_ERR_NO_MEMORY;
	}
	k->pkey = pkey;
	if (EVP_PKEY_is_a(pkey, "EC"))
		err = fill_p256(k);
	else if (EVP_PKEY_is_a(pkey, "ED25519"))
		err = fill_raw(k, SMQ_ED25519);
	else if (EVP_PKEY_is_a(pkey, "X25519"))
		err = fill_raw(k, SMQ_X25519);
	if (err != SMQ_OK) {
		key_free(k);
		return err;
	}
	ret_signer->self = k;
	ret_signer->alg = k->curve == SMQ_P256 ? SMQ_ES256 : SMQ_EDDSA;
	ret_signer->sign = k->curve == SMQ_P256 ? sign_es256 : k->curve == SMQ_ED25519 ? sign_eddsa : sign_not;
	ret_signer->agree = may_agree && k->curve != SMQ_ED25519 ? agree : NULL;
	return SMQ_OK;
}

smq_err smq_openssl_signer_from_pem(smq_span pem, bool may_agree, struct smq_signer *ret_signer)
{
	EVP_PKEY *pkey = pem.len < 65536 ? smq_pem_key(pem) : NULL;
	ERR_clear_error();
	return pkey ? signer_of(pkey, may_agree, ret_signer) : SMQ_ERR_MALFORMED;
}

static smq_err point_of(EVP_PKEY *pkey, uint8_t ret_point[SMQ_PUBLIC_KEY_MAX])
{
	uint8_t point[SMQ_PUBLIC_KEY_MAX];
	char group[32];
	size_t len = 0;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
	bool p256 = EVP_PKEY_is_a(pkey, "EC") &&
		    EVP_PKEY_get_utf8_string_param(pkey, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group), NULL) == 1 &&
		    strcmp(group, "prime256v1") == 0;
	bool good = p256 && ctx && EVP_PKEY_public_check(ctx) == 1 &&
		    EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &len) == 1 &&
		    len == sizeof(point) && point[0] == 4;
	EVP_PKEY_CTX_free(ctx);
	if (good)
		memcpy(ret_point, point, sizeof(point));
	return good ? SMQ_OK : p256 ? SMQ_ERR_MALFORMED : SMQ_ERR_ALGORITHM;
}

smq_err smq_openssl_p256_from_pem(smq_span pem, uint8_t ret_point[SMQ_PUBLIC_KEY_MAX])
{
	bool fits = pem.len < 65536;
	EVP_PKEY *pkey = fits ? smq_pem_public_key(pem) : NULL;
	EVP_PKEY *secret = fits && !pkey ? smq_pem_key(pem) : NULL;
	smq_err err = pkey ? point_of(pkey, ret_point) : secret ? SMQ_ERR_UNSAFE_FILE : SMQ_ERR_MALFORMED;
	EVP_PKEY_free(pkey);
	EVP_PKEY_free(secret);
	ERR_clear_error();
	return err;
}

static EVP_PKEY *p256_pkey(const uint8_t secret[SMQ_KEX_LEN])
{
	uint8_t point[SMQ_PUBLIC_KEY_MAX];
	uint8_t little[SMQ_KEX_LEN]; /* OSSL_PARAM integers are in the machine's own order */
	BIGNUM *d = BN_bin2bn(secret, SMQ_KEX_LEN, NULL);
	EVP_PKEY *key = NULL;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	OSSL_PARAM params[] = {
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char[]){ "P-256" }, 5),
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_PRIV_KEY, little, sizeof(little)),
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)),
		OSSL_PARAM_END,
	};
	if (d && ctx && BN_bn2nativepad(d, little, sizeof(little)) == (int)sizeof(little) &&
	    smq_openssl_p256_point(secret, point) == SMQ_OK && EVP_PKEY_fromdata_init(ctx) == 1 &&
	    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(ctx);
	BN_clear_free(d);
	OPENSSL_cleanse(little, sizeof(little));
	return key;
}

smq_err smq_openssl_signer_from_raw(enum smq_curve curve, const uint8_t secret[SMQ_KEX_LEN],
				    struct smq_signer *ret_signer)
{
	EVP_PKEY *pkey = NULL;
	if (curve == SMQ_P256)
		pkey = p256_pkey(secret);
	else if (curve == SMQ_ED25519)
		pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, SMQ_KEX_LEN);
	else if (curve == SMQ_X25519)
		pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, secret, SMQ_KEX_LEN);
	else
		return SMQ_ERR_ALGORITHM;
	return pkey ? signer_of(pkey, true, ret_signer) : SMQ_ERR_MALFORMED;
}

smq_err smq_openssl_signer_public(const struct smq_signer *signer, uint8_t ret_key[SMQ_PUBLIC_KEY_MAX], size_t *ret_len)
{
	const struct key *k = signer->self;
	if (!k)
		return SMQ_ERR_USAGE;
	memcpy(ret_key, k->public_key, k->public_len);
	*ret_len = k->public_len;
	return SMQ_OK;
}

enum smq_curve smq_openssl_signer_curve(const struct smq_signer *signer)
{
	return ((const struct key *)signer->self)->curve;
}

void smq_openssl_signer_free(struct smq_signer *signer)
{
	key_free(signer->self);
	memset(signer, 0, sizeof(*signer));
}
