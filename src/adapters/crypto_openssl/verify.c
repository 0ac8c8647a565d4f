/* Verifying signatures: ES256 from its raw r || s, Ed25519. */
#include <pthread.h>
#include <stdlib.h>

#include <openssl/ecdsa.h>
#include <openssl/err.h>

#include "adapters/crypto_openssl/openssl_internal.h"
#include "adapters/crypto_openssl/signer.h"

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

/*
 * Making a key takes a tenth of verifying with it, and most messages are signed by few: each thread keeps its last
 * ones, the place being chosen by a byte of the point.
 */
enum { KEYS_KEPT = 32 };

struct kept_keys {
	struct {
		EVP_PKEY *key;
		uint8_t point[SMQ_PUBLIC_KEY_MAX];
	} at[KEYS_KEPT];
};

static pthread_key_t kept_keys;
static bool keeps_keys;
static pthread_once_t keeping = PTHREAD_ONCE_INIT;

static void drop_keys(void *of_thread)
{
	struct kept_keys *k = of_thread;
	for (size_t i = 0; i < KEYS_KEPT; i++)
		EVP_PKEY_free(k->at[i].key);
	free(k);
}

static void keep_keys(void) { keeps_keys = pthread_key_create(&kept_keys, drop_keys) == 0; }

static struct kept_keys *keys_of_thread(void)
{
	(void)pthread_once(&keeping, keep_keys);
	if (!keeps_keys)
		return NULL;
	struct kept_keys *k = pthread_getspecific(kept_keys);
	if (k)
		return k;
	k = calloc(1, sizeof(*k));
	if (k && pthread_setspecific(kept_keys, k) != 0) {
		free(k);
		k = NULL;
	}
	return k;
}

/* A reference of the caller's own; NULL where the point is none. */
static EVP_PKEY *key_for(smq_span point)
{
	if (point.len != SMQ_PUBLIC_KEY_MAX || point.p[0] != 4)
		return NULL;
	struct kept_keys *k = keys_of_thread();
	size_t i = point.p[SMQ_PUBLIC_KEY_MAX - 1] % KEYS_KEPT;
	if (k && k->at[i].key && memcmp(k->at[i].point, point.p, point.len) == 0)
		return EVP_PKEY_up_ref(k->at[i].key) == 1 ? k->at[i].key : NULL;
	EVP_PKEY *key = p256_key(point);
	if (k && key && EVP_PKEY_up_ref(key) == 1) {
		EVP_PKEY_free(k->at[i].key);
		k->at[i].key = key;
		memcpy(k->at[i].point, point.p, point.len);
	}
	return key;
}

/*
 * What verified a moment ago in this thread, by a hash of all that went into it. A manifest comes to every member of a
 * group, and a process may be many of them; and what a broker plays back again and again costs no signature each time.
 */
enum { REMEMBERED = 16 };
static _Thread_local struct {
	uint8_t digests[REMEMBERED][SMQ_HASH_LEN]; /* all zero: none */
	unsigned next;
} remembered;

static bool is_remembered(const uint8_t digest[SMQ_HASH_LEN])
{
	for (unsigned i = 0; i < REMEMBERED; i++) {
		if (memcmp(remembered.digests[i], digest, SMQ_HASH_LEN) == 0)
			return true;
	}
	return false;
}

static void remember(const uint8_t digest[SMQ_HASH_LEN])
{
	memcpy(remembered.digests[remembered.next++ % REMEMBERED], digest, SMQ_HASH_LEN);
}

void smq_openssl_forget_verified(void) { memset(&remembered, 0, sizeof(remembered)); }

static smq_err verify_es256(smq_span public_key, const smq_span *parts, size_t count, const uint8_t *signature)
{
	uint8_t hash[SMQ_HASH_LEN], digest[SMQ_HASH_LEN];
	uint8_t der[DER_SIG_MAX];
	size_t der_len = 0;
	EVP_PKEY *key = NULL;
	EVP_PKEY_CTX *ctx = NULL;
	smq_err err = smq_openssl_sha256(parts, count, hash);

	const smq_span all[] = { smq_span_of(hash, sizeof(hash)), smq_span_of(signature, SMQ_SIG_LEN), public_key };
	if (err == SMQ_OK)
		err = smq_openssl_sha256(all, 3, digest);
	if (err == SMQ_OK && is_remembered(digest))
		return SMQ_OK;
	if (err == SMQ_OK)
		err = der_of(signature, der, &der_len);
	if (err != SMQ_OK)
		return err;
	err = SMQ_ERR_SIGNATURE; /* a key that is no point verifies nothing */
	key = key_for(public_key);
	ctx = key ? EVP_PKEY_CTX_new(key, NULL) : NULL;
	if (ctx && EVP_PKEY_verify_init(ctx) == 1 && EVP_PKEY_verify(ctx, der, der_len, hash, sizeof(hash)) == 1)
		err = SMQ_OK;
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(key);
	if (err == SMQ_OK)
		remember(digest);
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
