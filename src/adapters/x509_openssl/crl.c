/*
 * The revocation lists in use: read, handed to the library's path validation, and their signatures checked once.
 *
 * OpenSSL hashes a whole list anew for each certificate that it checks, 4 ms for 100,000 entries. A list object never
 * changes, so its verdict under one issuer's certificate does not either; only the time is looked at each time. That
 * holds for complete lists (no issuing distribution point, no delta): all others take the library's own way always.
 * The entries of a list are sorted when it is read; finding one costs 17 comparisons among 100,000.
 */
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>

#include "adapters/common_openssl/pem.h"
#include "adapters/x509_openssl/x509_internal.h"

enum { LISTS_MAX = 16 };

struct list {
	X509_CRL *crl;
	bool complete;
	bool verified; /* under the certificate with this digest */
	uint8_t issuer[SMQ_HASH_LEN];
};

struct smq_crls {
	struct list lists[LISTS_MAX];
	size_t count;
	X509_STORE_CTX_check_crl_fn by_library;
};

/* ---- the check ---- */

/* Of the certificate being checked; the last of a chain issues its own lists. */
static X509 *issuer_in(X509_STORE_CTX *ctx)
{
	STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(ctx);
	int at = X509_STORE_CTX_get_error_depth(ctx);
	return sk_X509_value(chain, at + 1 < sk_X509_num(chain) ? at + 1 : at);
}

static int doubt(X509_STORE_CTX *ctx, int error)
{
	X509_STORE_CTX_set_error(ctx, error);
	return X509_STORE_CTX_get_verify_cb(ctx)(0, ctx);
}

static int check_time(X509_STORE_CTX *ctx, const X509_CRL *crl)
{
	time_t now = X509_VERIFY_PARAM_get_time(X509_STORE_CTX_get0_param(ctx));
	const ASN1_TIME *next = X509_CRL_get0_nextUpdate(crl);
	if (X509_cmp_time(X509_CRL_get0_lastUpdate(crl), &now) > 0)
		return doubt(ctx, X509_V_ERR_CRL_NOT_YET_VALID);
	return !next || X509_cmp_time(next, &now) > 0 ? 1 : doubt(ctx, X509_V_ERR_CRL_HAS_EXPIRED);
}

static int check_crl(X509_STORE_CTX *ctx, X509_CRL *crl)
{
	struct smq_crls *c = X509_STORE_CTX_get_app_data(ctx);
	struct list *list = NULL;
	X509 *issuer = issuer_in(ctx);
	uint8_t digest[SMQ_HASH_LEN];

	for (size_t i = 0; i < c->count && !list; i++)
		list = c->lists[i].crl == crl ? &c->lists[i] : NULL;
	if (!list || !list->complete || !issuer || X509_digest(issuer, EVP_sha256(), digest, NULL) != 1)
		return c->by_library(ctx, crl);
	if (list->verified && memcmp(list->issuer, digest, sizeof(digest)) == 0)
		return check_time(ctx, crl);
	int ok = c->by_library(ctx, crl);
	/* Where a stale list was let pass the error stays set, and the next look is a full one again. */
	if (ok == 1 && X509_STORE_CTX_get_error(ctx) == X509_V_OK) {
		list->verified = true;
		memcpy(list->issuer, digest, sizeof(digest));
	}
	return ok;
}

bool smq_crls_use(struct smq_crls *crls, X509_STORE_CTX *ctx)
{
	if (!crls)
		return false;
	X509_STORE_CTX_set_app_data(ctx, crls);
	return true;
}

bool smq_crls_add(const struct smq_crls *crls, X509_STORE *trust)
{
	for (size_t i = 0; crls && i < crls->count; i++) {
		if (X509_STORE_add_crl(trust, crls->lists[i].crl) != 1)
			return false;
	}
	if (crls)
		X509_STORE_set_check_crl(trust, check_crl);
	return true;
}

/* ---- reading ---- */

/* The library hands out its own check only by way of a context that uses it. */
static X509_STORE_CTX_check_crl_fn library_check(void)
{
	X509_STORE_CTX_check_crl_fn found = NULL;
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	if (store && ctx && X509_STORE_CTX_init(ctx, store, NULL, NULL) == 1)
		found = X509_STORE_CTX_get_check_crl(ctx);
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	return found;
}

static bool is_complete(const X509_CRL *crl)
{
	return X509_CRL_get_ext_by_NID(crl, NID_issuing_distribution_point, -1) < 0 &&
	       X509_CRL_get_ext_by_NID(crl, NID_delta_crl, -1) < 0;
}

/* Sorts the entries now rather than at the first look-up. */
static void sort(X509_CRL *crl)
{
	ASN1_INTEGER *none = ASN1_INTEGER_new();
	X509_REVOKED *found = NULL;
	if (none && ASN1_INTEGER_set(none, 0) == 1)
		(void)X509_CRL_get0_by_serial(crl, &found, none);
	ASN1_INTEGER_free(none);
}

static bool read_all(BIO *bio, struct smq_crls *c)
{
	X509_CRL *crl;
	while (c->count < LISTS_MAX && (crl = smq_pem_next_crl(bio)) != NULL) {
		sort(crl);
		c->lists[c->count++] = (struct list){ .crl = crl, .complete = is_complete(crl) };
	}
	return c->count > 0 && c->count < LISTS_MAX && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
}

smq_err smq_crls_read(smq_span pem, struct smq_crls **ret_crls)
{
	if (pem.len == 0) {
		*ret_crls = NULL;
		return SMQ_OK;
	}
	if (pem.len >= INT32_MAX)
		return SMQ_ERR_TOO_LARGE;
	struct smq_crls *c = calloc(1, sizeof(*c));
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.len);
	smq_err err = c && bio ? SMQ_OK : SMQ_ERR_NO_MEMORY;

	if (err == SMQ_OK)
		c->by_library = library_check();
	if (err == SMQ_OK && !c->by_library)
		err = SMQ_ERR_CRYPTO;
	ERR_clear_error();
	if (err == SMQ_OK && !read_all(bio, c))
		err = SMQ_ERR_MALFORMED;
	BIO_free(bio);
	ERR_clear_error();
	if (err != SMQ_OK)
		smq_crls_free(c);
	else
		*ret_crls = c;
	return err;
}

void smq_crls_free(struct smq_crls *c)
{
	for (size_t i = 0; c && i < c->count; i++)
		X509_CRL_free(c->lists[i].crl);
	free(c);
}

struct smq_crl_times smq_crls_times(const struct smq_crls *c)
{
	struct smq_crl_times t = { .this_update_ms = INT64_MIN, .next_update_ms = INT64_MAX };
	for (size_t i = 0; c && i < c->count; i++) {
		X509_CRL *crl = c->lists[i].crl;
		const ASN1_TIME *next = X509_CRL_get0_nextUpdate(crl);
		int64_t from = smq_x509_time_ms(X509_CRL_get0_lastUpdate(crl));
		int64_t until = next ? smq_x509_time_ms(next) : INT64_MAX;
		int entries = sk_X509_REVOKED_num(X509_CRL_get_REVOKED(crl));
		t.this_update_ms = from > t.this_update_ms ? from : t.this_update_ms;
		t.next_update_ms = until < t.next_update_ms ? until : t.next_update_ms;
		t.entries += entries > 0 ? (size_t)entries : 0;
		t.lists++;
	}
	return t;
}
