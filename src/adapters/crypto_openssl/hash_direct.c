/*
 * SHA-256, and HMAC on it, through the provider's own functions, as in aead_direct.c: EVP allocates several times for
 * each HMAC, which is what most of deriving a key consists of.
 */
#include <pthread.h>
#include <stdbool.h>

#include <openssl/core_dispatch.h>
#include <openssl/crypto.h>

#include "adapters/crypto_openssl/openssl_internal.h"
#include "base/table.h"

static struct {
	bool good;
	void *provider_ctx;
	OSSL_FUNC_digest_newctx_fn *new_ctx;
	OSSL_FUNC_digest_freectx_fn *free_ctx;
	OSSL_FUNC_digest_init_fn *init;
	OSSL_FUNC_digest_update_fn *update;
	OSSL_FUNC_digest_final_fn *final;
} taken;
static pthread_once_t tried = PTHREAD_ONCE_INIT;

enum { BLOCK = 64, INNER_PAD = 0x36, OUTER_PAD = 0x5c };

static void take_functions(const OSSL_DISPATCH *d, void *provider_ctx, void *self)
{
	(void)self;
	taken.provider_ctx = provider_ctx;
	for (; d->function_id != 0; d++) {
		switch (d->function_id) {
		case OSSL_FUNC_DIGEST_NEWCTX:
			taken.new_ctx = OSSL_FUNC_digest_newctx(d);
			break;
		case OSSL_FUNC_DIGEST_FREECTX:
			taken.free_ctx = OSSL_FUNC_digest_freectx(d);
			break;
		case OSSL_FUNC_DIGEST_INIT:
			taken.init = OSSL_FUNC_digest_init(d);
			break;
		case OSSL_FUNC_DIGEST_UPDATE:
			taken.update = OSSL_FUNC_digest_update(d);
			break;
		case OSSL_FUNC_DIGEST_FINAL:
			taken.final = OSSL_FUNC_digest_final(d);
			break;
		default:
			break;
		}
	}
}

/* A first piece, which may be empty, and the parts. */
static bool digest(void *ctx, smq_span first, const smq_span *parts, size_t count, uint8_t ret_hash[SMQ_HASH_LEN])
{
	size_t len = 0;
	bool good = taken.init(ctx, NULL) == 1 && (first.len == 0 || taken.update(ctx, first.p, first.len) == 1);
	for (size_t i = 0; good && i < count; i++)
		good = parts[i].len == 0 || taken.update(ctx, parts[i].p, parts[i].len) == 1;
	return good && taken.final(ctx, ret_hash, &len, SMQ_HASH_LEN) == 1 && len == SMQ_HASH_LEN;
}

static bool sha256(const smq_span *parts, size_t count, uint8_t ret_hash[SMQ_HASH_LEN])
{
	uint8_t hash[SMQ_HASH_LEN];
	void *ctx = taken.new_ctx(taken.provider_ctx);
	bool good = ctx && digest(ctx, smq_span_of(NULL, 0), parts, count, hash);
	if (good)
		memcpy(ret_hash, hash, sizeof(hash)); /* last: the output may be one of the parts */
	if (ctx)
		taken.free_ctx(ctx);
	return good;
}

static void set_pad(uint8_t pad[BLOCK], smq_span key, uint8_t with)
{
	memset(pad, with, BLOCK);
	for (size_t i = 0; i < key.len; i++)
		pad[i] ^= key.p[i];
}

/* RFC 2104. */
static bool hmac(smq_span key, const smq_span *parts, size_t count, uint8_t ret_mac[SMQ_HASH_LEN])
{
	uint8_t short_key[SMQ_HASH_LEN], pad[BLOCK], mac[SMQ_HASH_LEN];
	const smq_span inner = smq_span_of(mac, sizeof(mac));
	void *ctx = taken.new_ctx(taken.provider_ctx);
	bool good = ctx != NULL;
	if (good && key.len > BLOCK) {
		good = digest(ctx, key, NULL, 0, short_key);
		key = smq_span_of(short_key, sizeof(short_key));
	}
	if (good) {
		set_pad(pad, key, INNER_PAD);
		good = digest(ctx, smq_span_of(pad, BLOCK), parts, count, mac);
		set_pad(pad, key, OUTER_PAD);
		good = good && digest(ctx, smq_span_of(pad, BLOCK), &inner, 1, mac);
	}
	if (good)
		memcpy(ret_mac, mac, sizeof(mac));
	if (ctx)
		taken.free_ctx(ctx);
	OPENSSL_cleanse(short_key, sizeof(short_key));
	OPENSSL_cleanse(pad, sizeof(pad));
	OPENSSL_cleanse(mac, sizeof(mac));
	return good;
}

/* ---- trusted only after it has agreed with EVP ---- */

static bool agrees_at(size_t len)
{
	static uint8_t bytes[1000];
	uint8_t want[SMQ_HASH_LEN], got[SMQ_HASH_LEN];
	memset(bytes, 0x5a, sizeof(bytes));
	const smq_span parts[] = { smq_span_of(bytes, len), smq_span_of(bytes, len / 3) };
	const smq_span key = smq_span_of(bytes, len / 2);
	return smq_openssl_evp_sha256(parts, 2, want) == SMQ_OK && sha256(parts, 2, got) &&
	       memcmp(want, got, sizeof(got)) == 0 && smq_openssl_evp_hmac_sha256(key, parts, 2, want) == SMQ_OK &&
	       hmac(key, parts, 2, got) && memcmp(want, got, sizeof(got)) == 0;
}

static void try_it(void)
{
	static const size_t lengths[] = { 0, 1, 55, 56, 63, 64, 65, 127, 128, 129, 1000 };
	const EVP_MD *md = smq_openssl_lib()->sha256;
	if (!md)
		return;
	smq_direct_functions(EVP_MD_get0_provider(md), OSSL_OP_DIGEST, EVP_MD_get0_name(md), take_functions, NULL);
	taken.good = taken.new_ctx && taken.free_ctx && taken.init && taken.update && taken.final;
	for (size_t i = 0; taken.good && i < SMQ_COUNT(lengths); i++)
		taken.good = agrees_at(lengths[i]);
}

static bool is_taken(void)
{
	(void)pthread_once(&tried, try_it);
	return taken.good;
}

smq_err smq_openssl_sha256(const smq_span *parts, size_t count, uint8_t ret_hash[SMQ_HASH_LEN])
{
	if (!is_taken())
		return smq_openssl_evp_sha256(parts, count, ret_hash);
	return sha256(parts, count, ret_hash) ? SMQ_OK : SMQ_ERR_CRYPTO;
}

smq_err smq_openssl_hmac_sha256(smq_span key, const smq_span *parts, size_t count, uint8_t ret_mac[SMQ_HASH_LEN])
{
	if (!is_taken())
		return smq_openssl_evp_hmac_sha256(key, parts, count, ret_mac);
	return hmac(key, parts, count, ret_mac) ? SMQ_OK : SMQ_ERR_CRYPTO;
}
