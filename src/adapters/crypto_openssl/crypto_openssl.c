/* The crypto port over OpenSSL 3: what is fetched once, and the table of functions. */
#include <errno.h>
#include <pthread.h>
#include <sys/random.h>

#include <openssl/core_names.h>
#include <openssl/obj_mac.h>
#include <openssl/params.h>

#include <sealmq/client.h>

#include "adapters/crypto_openssl/openssl_internal.h"

static struct smq_openssl_lib lib;
static pthread_once_t fetched = PTHREAD_ONCE_INIT;

static EVP_PKEY *p256_template(void)
{
	EVP_PKEY *key = NULL;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	OSSL_PARAM params[] = {
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char[]){ "P-256" }, 5),
		OSSL_PARAM_END,
	};
	if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEY_PARAMETERS, params) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(ctx);
	return key;
}

/* An explicit fetch is a search under a lock; once per process keeps it off every later path. */
static void fetch(void)
{
	lib.sha256 = EVP_MD_fetch(NULL, "SHA2-256", NULL);
	lib.hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	lib.aes128gcm = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
	lib.aes256gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	lib.chacha20poly1305 = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
	lib.aes128ccm = EVP_CIPHER_fetch(NULL, "AES-128-CCM", NULL);
	lib.p256_template = p256_template();
	lib.p256 = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	lib.p256_p = BN_new();
	lib.p256_n = BN_new();
	if (!lib.p256 || !lib.p256_p || !lib.p256_n ||
	    EC_GROUP_get_curve(lib.p256, lib.p256_p, NULL, NULL, NULL) != 1 ||
	    EC_GROUP_get_order(lib.p256, lib.p256_n, NULL) != 1) {
		EC_GROUP_free(lib.p256);
		lib.p256 = NULL;
	}
}

const struct smq_openssl_lib *smq_openssl_lib(void)
{
	(void)pthread_once(&fetched, fetch);
	return &lib;
}

#define COMMON                                                                                                         \
	.aead_seal = smq_openssl_aead_seal, .aead_open = smq_openssl_aead_open, .aead_free = smq_openssl_aead_free,    \
	.kex_public = smq_openssl_kex_public, .kex_agree = smq_openssl_kex_agree, .verify = smq_openssl_verify

const struct smq_crypto *smq_crypto_openssl(void)
{
	static const struct smq_crypto table = { .name = "openssl",
						 .sha256 = smq_openssl_sha256,
						 .hmac_sha256 = smq_openssl_hmac_sha256,
						 .aead_new = smq_openssl_aead_new,
						 COMMON };
	(void)smq_openssl_lib();
	return &table;
}

const struct smq_crypto *smq_crypto_openssl_evp(void)
{
	static const struct smq_crypto table = { .name = "openssl-evp",
						 .sha256 = smq_openssl_evp_sha256,
						 .hmac_sha256 = smq_openssl_evp_hmac_sha256,
						 .aead_new = smq_openssl_evp_aead_new,
						 COMMON };
	(void)smq_openssl_lib();
	return &table;
}

/* The kernel's generator and not the library's own: nothing here is inherited over a fork or a snapshot. */
static smq_err fill(void *self, smq_mspan room)
{
	(void)self;
	for (size_t done = 0; done < room.len;) {
		ssize_t n = getrandom(room.p + done, room.len - done, 0);
		if (n < 0 && errno != EINTR)
			return SMQ_ERR_CRYPTO;
		done += n > 0 ? (size_t)n : 0;
	}
	return SMQ_OK;
}

const struct smq_random *smq_random_system(void)
{
	static const struct smq_random system = { .self = NULL, .fill = fill };
	return &system;
}
