/* Revocation lists that came over a way that nobody vouches for. */
#include "adapters/x509_openssl/crl_merge.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "adapters/common_openssl/pem.h"
#include "adapters/x509_openssl/x509_internal.h"

enum { LISTS_MAX = 16, CERTS_MAX = 16, AHEAD_MS = 10 * 60 * 1000 /* of clocks that do not agree */ };

struct lists {
	X509_CRL *crl[LISTS_MAX];
	size_t count;
};

struct authorities {
	X509 *cert[ROOTS_MAX + CERTS_MAX];
	size_t count;
};

/* ---- reading ---- */

static void free_lists(struct lists *l)
{
	for (size_t i = 0; i < l->count; i++)
		X509_CRL_free(l->crl[i]);
}

/* Lists alone; PEM of other kinds is passed over. */
static bool read_lists(smq_span pem, struct lists *l)
{
	BIO *bio = smq_pem_open(pem);
	X509_CRL *crl;
	if (!bio)
		return pem.len == 0;
	ERR_clear_error();
	while (l->count < LISTS_MAX && (crl = smq_pem_next_crl(bio)) != NULL)
		l->crl[l->count++] = crl;
	bool whole = l->count < LISTS_MAX && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
	BIO_free(bio);
	ERR_clear_error();
	return whole;
}

/* ---- whose they are ---- */

static bool in_time(const X509 *cert, int64_t now_ms)
{
	return smq_x509_time_ms(X509_get0_notBefore(cert)) <= now_ms &&
	       now_ms <= smq_x509_time_ms(X509_get0_notAfter(cert));
}

/* One level below a root, which is as deep as our authorities go. */
static bool signed_by_a_root(X509 *cert, X509 *const *roots, size_t root_count, int64_t now_ms)
{
	for (size_t i = 0; i < root_count; i++) {
		if (X509_check_issued(roots[i], cert) == X509_V_OK && in_time(roots[i], now_ms) &&
		    X509_verify(cert, X509_get0_pubkey(roots[i])) == 1)
			return true;
	}
	return false;
}

/* Roots, and those offered that a root has made authorities. */
static bool gather(smq_span roots_pem, smq_span offered_pem, int64_t now_ms, struct authorities *a)
{
	X509 *offered[CERTS_MAX];
	size_t count = smq_x509_read_certs(offered_pem, offered, CERTS_MAX);
	size_t roots = a->count = smq_x509_read_certs(roots_pem, a->cert, ROOTS_MAX);
	for (size_t i = 0; i < count; i++) {
		if (X509_check_ca(offered[i]) == 1 && in_time(offered[i], now_ms) &&
		    signed_by_a_root(offered[i], a->cert, roots, now_ms))
			a->cert[a->count++] = offered[i];
		else
			X509_free(offered[i]);
	}
	ERR_clear_error();
	return roots > 0;
}

static bool signed_by_one(X509_CRL *crl, const struct authorities *a)
{
	for (size_t i = 0; i < a->count; i++) {
		X509 *cert = a->cert[i];
		if (X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_subject_name(cert)) == 0 &&
		    (X509_get_key_usage(cert) & KU_CRL_SIGN) && X509_CRL_verify(crl, X509_get0_pubkey(cert)) == 1)
			return true;
	}
	return false;
}

/* ---- which is newer ---- */

/* -1: it has none that is one. */
static int64_t number_of(const X509_CRL *crl)
{
	int64_t number = -1;
	ASN1_INTEGER *n = X509_CRL_get_ext_d2i(crl, NID_crl_number, NULL, NULL);
	if (!n || ASN1_INTEGER_get_int64(&number, n) != 1 || number < 0)
		number = -1;
	ASN1_INTEGER_free(n);
	return number;
}

/* Two authorities may have had one name: then they have different keys, which the key identifier tells. */
static bool same_issuer(const X509_CRL *a, const X509_CRL *b)
{
	AUTHORITY_KEYID *x = X509_CRL_get_ext_d2i(a, NID_authority_key_identifier, NULL, NULL);
	AUTHORITY_KEYID *y = X509_CRL_get_ext_d2i(b, NID_authority_key_identifier, NULL, NULL);
	bool differ = x && y && x->keyid && y->keyid && ASN1_OCTET_STRING_cmp(x->keyid, y->keyid) != 0;
	AUTHORITY_KEYID_free(x);
	AUTHORITY_KEYID_free(y);
	return !differ && X509_NAME_cmp(X509_CRL_get_issuer(a), X509_CRL_get_issuer(b)) == 0;
}

static X509_CRL **of_same_issuer(struct lists *l, const X509_CRL *crl)
{
	for (size_t i = 0; i < l->count; i++) {
		if (same_issuer(l->crl[i], crl))
			return &l->crl[i];
	}
	return NULL;
}

static bool at_its_end(const X509_CRL *crl, int64_t now_ms)
{
	const ASN1_TIME *next = X509_CRL_get0_nextUpdate(crl);
	return next && smq_x509_time_ms(next) <= now_ms;
}

/* Moves into held what is newer; lets go what is over and not offered any more. */
static void take_newer(struct lists *held, struct lists *offered, int64_t now_ms, struct smq_crl_merged *m)
{
	size_t kept = 0;
	for (size_t i = 0; i < held->count; i++) {
		if (at_its_end(held->crl[i], now_ms) && !of_same_issuer(offered, held->crl[i]))
			X509_CRL_free(held->crl[i]);
		else
			held->crl[kept++] = held->crl[i];
	}
	held->count = kept;
	for (size_t i = 0; i < offered->count; i++) {
		X509_CRL **was = of_same_issuer(held, offered->crl[i]);
		int64_t had = was ? number_of(*was) : -1;
		int64_t has = number_of(offered->crl[i]);
		m->newer += has > had;
		m->same += has == had;
		m->older += has < had;
		if (has <= had || (!was && held->count == LISTS_MAX))
			continue;
		X509_CRL **place = was ? was : &held->crl[held->count++];
		X509_CRL *before = was ? *was : NULL;
		*place = offered->crl[i];
		offered->crl[i] = before;
	}
}

static smq_err judge(const struct lists *offered, const struct authorities *a, int64_t now_ms)
{
	for (size_t i = 0; i < offered->count; i++) {
		if (number_of(offered->crl[i]) < 0)
			return SMQ_ERR_MALFORMED; /* RFC 5280, 5.2.3: every list of ours has one */
		if (!signed_by_one(offered->crl[i], a))
			return SMQ_ERR_SIGNATURE;
		if (smq_x509_time_ms(X509_CRL_get0_lastUpdate(offered->crl[i])) > now_ms + AHEAD_MS)
			return SMQ_ERR_CERT_NOT_YET;
	}
	return offered->count > 0 ? SMQ_OK : SMQ_ERR_MALFORMED;
}

static smq_err write_down(const struct lists *l, struct smq_crl_merged *m)
{
	BIO *bio = BIO_new(BIO_s_mem());
	bool ok = bio != NULL;
	for (size_t i = 0; ok && i < l->count; i++)
		ok = PEM_write_bio_X509_CRL(bio, l->crl[i]) == 1;
	smq_err err = ok ? smq_pem_written(bio, &m->pem, &m->len) : SMQ_ERR_NO_MEMORY;
	BIO_free(bio);
	return err;
}

smq_err smq_crl_merge(smq_span roots_pem, smq_span held_pem, smq_span offered_pem, int64_t now_ms,
		      struct smq_crl_merged *ret_merged)
{
	struct lists held = { .count = 0 };
	struct lists offered = { .count = 0 };
	struct authorities a = { .count = 0 };
	struct smq_crl_merged m = { .newer = 0 };
	smq_err err = SMQ_ERR_MALFORMED;

	if (!read_lists(offered_pem, &offered) || !gather(roots_pem, offered_pem, now_ms, &a))
		goto out;
	if (!read_lists(held_pem, &held)) { /* a spoilt file of ours is no reason to refuse a good one */
		free_lists(&held);
		held.count = 0;
	}
	err = judge(&offered, &a, now_ms);
	if (err != SMQ_OK)
		goto out;
	take_newer(&held, &offered, now_ms, &m);
	if (m.newer > 0)
		err = write_down(&held, &m);
	else if (m.older > 0)
		err = SMQ_ERR_REPLAY;
	if (err == SMQ_OK)
		*ret_merged = m;
out:
	for (size_t i = 0; i < a.count; i++)
		X509_free(a.cert[i]);
	free_lists(&held);
	free_lists(&offered);
	ERR_clear_error();
	return err;
}
