/*
 * AEADs through the provider's own functions: what EVP calls in the end, without what EVP does on the way there.
 *
 * EVP looks parameters up by name several times for each message; the functions that its providers offer
 * (provider-cipher(7)) take nonce, bytes and tag and do the work. They are asked for once per process. What they give
 * is compared with EVP's before they are ever used; where anything is missing or differs, EVP it is.
 */
#include <pthread.h>
#include <stdbool.h>

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/provider.h>

#include "adapters/crypto_openssl/openssl_internal.h"
#include "base/table.h"

/* One cipher of a provider. */
struct smq_direct_cipher {
	void *provider_ctx;
	OSSL_FUNC_cipher_newctx_fn *new_ctx;
	OSSL_FUNC_cipher_freectx_fn *free_ctx;
	OSSL_FUNC_cipher_encrypt_init_fn *encrypt_init;
	OSSL_FUNC_cipher_decrypt_init_fn *decrypt_init;
	OSSL_FUNC_cipher_update_fn *update;
	OSSL_FUNC_cipher_final_fn *final;
	OSSL_FUNC_cipher_get_ctx_params_fn *get_params;
};

enum { ROOM_PAST_END = SMQ_AEAD_TAG_MAX }; /* update wants to know its room: text and tag */

static bool is_complete(const struct smq_direct_cipher *c)
{
	return c->new_ctx && c->free_ctx && c->encrypt_init && c->decrypt_init && c->update && c->final &&
	       c->get_params;
}

static void take_functions(const OSSL_DISPATCH *d, void *provider_ctx, void *self)
{
	struct smq_direct_cipher *c = self;
	c->provider_ctx = provider_ctx;
	for (; d->function_id != 0; d++) {
		switch (d->function_id) {
		case OSSL_FUNC_CIPHER_NEWCTX:
			c->new_ctx = OSSL_FUNC_cipher_newctx(d);
			break;
		case OSSL_FUNC_CIPHER_FREECTX:
			c->free_ctx = OSSL_FUNC_cipher_freectx(d);
			break;
		case OSSL_FUNC_CIPHER_ENCRYPT_INIT:
			c->encrypt_init = OSSL_FUNC_cipher_encrypt_init(d);
			break;
		case OSSL_FUNC_CIPHER_DECRYPT_INIT:
			c->decrypt_init = OSSL_FUNC_cipher_decrypt_init(d);
			break;
		case OSSL_FUNC_CIPHER_UPDATE:
			c->update = OSSL_FUNC_cipher_update(d);
			break;
		case OSSL_FUNC_CIPHER_FINAL:
			c->final = OSSL_FUNC_cipher_final(d);
			break;
		case OSSL_FUNC_CIPHER_GET_CTX_PARAMS:
			c->get_params = OSSL_FUNC_cipher_get_ctx_params(d);
			break;
		default:
			break;
		}
	}
}

/* Whether a provider's "NAME:ALIAS:..." begins with the name, in any case: providers spell as they like. */
static bool is_called(const char *names, const char *name)
{
	size_t len = strcspn(names, ":");
	return len == strlen(name) && OPENSSL_strncasecmp(names, name, len) == 0;
}

void smq_direct_functions(const OSSL_PROVIDER *provider, int operation, const char *name,
			  void (*take)(const OSSL_DISPATCH *functions, void *provider_ctx, void *self), void *self)
{
	int no_cache = 0;
	if (!provider || !name)
		return;
	const OSSL_ALGORITHM *offered = OSSL_PROVIDER_query_operation(provider, operation, &no_cache);
	for (const OSSL_ALGORITHM *found = offered; found && found->algorithm_names; found++) {
		if (is_called(found->algorithm_names, name)) {
			take(found->implementation, OSSL_PROVIDER_get0_provider_ctx(provider), self);
			break;
		}
	}
	if (offered)
		OSSL_PROVIDER_unquery_operation(provider, operation, offered);
}

static bool find(EVP_CIPHER *evp, struct smq_direct_cipher *c)
{
	smq_direct_functions(EVP_CIPHER_get0_provider(evp), OSSL_OP_CIPHER, EVP_CIPHER_get0_name(evp), take_functions,
			     c);
	return is_complete(c);
}

/* ---- a keyed cipher ---- */

void *smq_direct_new(const struct smq_direct_cipher *c, smq_span key)
{
	void *ctx = c->new_ctx(c->provider_ctx);
	if (ctx && c->encrypt_init(ctx, key.p, key.len, NULL, 0, NULL) == 1)
		return ctx;
	if (ctx)
		c->free_ctx(ctx);
	return NULL;
}

void smq_direct_free(const struct smq_direct_cipher *c, void *ctx)
{
	if (ctx)
		c->free_ctx(ctx);
}

static inline bool run(const struct smq_direct_cipher *c, void *ctx, smq_span aad, smq_span text, uint8_t *out)
{
	size_t n;
	return (aad.len == 0 || c->update(ctx, NULL, &n, aad.len, aad.p, aad.len) == 1) &&
	       (text.len == 0 || c->update(ctx, out, &n, text.len + ROOM_PAST_END, text.p, text.len) == 1);
}

bool smq_direct_seal(const smq_aead *a, const uint8_t *nonce, smq_span aad, smq_span plain, uint8_t *ret_cipher)
{
	const struct smq_direct_cipher *c = a->direct;
	OSSL_PARAM tag[] = {
		OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, ret_cipher + plain.len, a->alg->tag_len),
		OSSL_PARAM_END,
	};
	size_t n;
	return c->encrypt_init(a->direct_ctx, NULL, 0, nonce, a->alg->nonce_len, NULL) == 1 &&
	       run(c, a->direct_ctx, aad, plain, ret_cipher) &&
	       c->final(a->direct_ctx, ret_cipher + plain.len, &n, ROOM_PAST_END) == 1 &&
	       c->get_params(a->direct_ctx, tag) == 1;
}

bool smq_direct_open(const smq_aead *a, const uint8_t *nonce, smq_span aad, smq_span text, uint8_t *ret_plain)
{
	const struct smq_direct_cipher *c = a->direct;
	const OSSL_PARAM tag[] = {
		OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, (void *)(text.p + text.len), a->alg->tag_len),
		OSSL_PARAM_END,
	};
	uint8_t tail[ROOM_PAST_END];
	size_t n;
	return c->decrypt_init(a->direct_ctx, NULL, 0, nonce, a->alg->nonce_len, tag) == 1 &&
	       run(c, a->direct_ctx, aad, text, ret_plain) && c->final(a->direct_ctx, tail, &n, sizeof(tail)) == 1;
}

/* ---- trusted only after it has agreed with EVP ---- */

enum { TRIAL_MAX = 1000, TRIAL_AAD_MAX = 100 };

/* One message sealed by both, opened, and refused with a wrong tag. */
static bool agrees_at(const smq_aead *direct, smq_aead *evp, size_t len)
{
	uint8_t plain[TRIAL_MAX], aad_bytes[TRIAL_AAD_MAX], nonce[SMQ_AEAD_NONCE_MAX];
	uint8_t want[TRIAL_MAX + SMQ_AEAD_TAG_MAX], got[TRIAL_MAX + SMQ_AEAD_TAG_MAX];
	smq_span aad = smq_span_of(aad_bytes, len % TRIAL_AAD_MAX), text = smq_span_of(plain, len);
	memset(plain, 0x5a, sizeof(plain));
	memset(aad_bytes, 0xa5, sizeof(aad_bytes));
	memset(nonce, (int)len + 1, sizeof(nonce));
	if (smq_openssl_aead_seal(evp, nonce, aad, text, want) != SMQ_OK ||
	    !smq_direct_seal(direct, nonce, aad, text, got) || memcmp(want, got, len + evp->alg->tag_len) != 0 ||
	    !smq_direct_open(direct, nonce, aad, smq_span_of(want, len), got) || memcmp(got, plain, len) != 0)
		return false;
	want[len] ^= 1;
	return !smq_direct_open(direct, nonce, aad, smq_span_of(want, len), got);
}

static bool agrees(const struct smq_direct_cipher *c, const struct smq_aead_alg *alg)
{
	static const size_t lengths[] = { 0, 1, 16, 63, 64, 65, 255, 256, TRIAL_MAX };
	static const uint8_t key_bytes[SMQ_AEAD_KEY_MAX] = { 1, 2, 3 };
	smq_span key = smq_span_of(key_bytes, alg->key_len);
	smq_aead *evp = NULL;
	smq_aead direct = { .direct = c, .alg = alg, .direct_ctx = smq_direct_new(c, key) };
	bool good = direct.direct_ctx && smq_openssl_evp_aead_new(alg, key, &evp) == SMQ_OK;
	for (size_t i = 0; good && i < SMQ_COUNT(lengths); i++)
		good = agrees_at(&direct, evp, lengths[i]);
	smq_openssl_aead_free(evp);
	smq_direct_free(c, direct.direct_ctx);
	ERR_clear_error(); /* the wrong tags' */
	return good;
}

/* ---- once per process ---- */

static struct {
	int alg;
	bool good;
	struct smq_direct_cipher cipher;
} taken[] = { { .alg = SMQ_A128GCM }, { .alg = SMQ_A256GCM }, { .alg = SMQ_CHACHA20_POLY1305 } };
static pthread_once_t tried = PTHREAD_ONCE_INIT;

static void try_all(void)
{
	for (size_t i = 0; i < SMQ_COUNT(taken); i++) {
		const struct smq_aead_alg *alg = smq_aead_alg_by_id(taken[i].alg);
		EVP_CIPHER *evp = smq_openssl_cipher_of(alg);
		taken[i].good = evp && find(evp, &taken[i].cipher) && agrees(&taken[i].cipher, alg);
	}
}

const struct smq_direct_cipher *smq_direct_cipher_of(const struct smq_aead_alg *alg)
{
	(void)pthread_once(&tried, try_all);
	for (size_t i = 0; i < SMQ_COUNT(taken); i++) {
		if (taken[i].alg == alg->id && taken[i].good)
			return &taken[i].cipher;
	}
	return NULL;
}
