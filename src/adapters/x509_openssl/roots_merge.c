/* A new root that came over a way that nobody vouches for. */
#include "adapters/x509_openssl/roots_merge.h"

#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "adapters/common_openssl/pem.h"
#include "adapters/x509_openssl/x509_internal.h"

enum { OFFERED_MAX = 24 };

static bool in_time(const X509 *cert, int64_t now_ms)
{
	return smq_x509_time_ms(X509_get0_notBefore(cert)) <= now_ms &&
	       now_ms <= smq_x509_time_ms(X509_get0_notAfter(cert));
}

static bool is_root(X509 *cert, int64_t now_ms)
{
	return X509_check_ca(cert) == 1 && X509_self_signed(cert, 1) == 1 && in_time(cert, now_ms);
}

static bool known(X509 *const *roots, size_t count, const X509 *cert)
{
	for (size_t i = 0; i < count; i++) {
		if (X509_cmp(roots[i], cert) == 0)
			return true;
	}
	return false;
}

/* The old root's word for the new one's name and key. */
static bool vouches(X509 *root, X509 *link, X509 *fresh, int64_t now_ms)
{
	return in_time(root, now_ms) && in_time(link, now_ms) && X509_check_ca(link) == 1 &&
	       X509_get_pathlen(link) == 1 && X509_check_issued(root, link) == X509_V_OK &&
	       X509_verify(link, X509_get0_pubkey(root)) == 1 &&
	       X509_NAME_cmp(X509_get_subject_name(link), X509_get_subject_name(fresh)) == 0 &&
	       EVP_PKEY_eq(X509_get0_pubkey(link), X509_get0_pubkey(fresh)) == 1;
}

static bool vouched_for(X509 *const *roots, size_t root_count, X509 *const *offered, size_t count, X509 *fresh,
			int64_t now_ms)
{
	for (size_t r = 0; r < root_count; r++) {
		for (size_t i = 0; i < count; i++) {
			if (vouches(roots[r], offered[i], fresh, now_ms))
				return true;
		}
	}
	return false;
}

static smq_err write_down(X509 *const *roots, size_t count, struct smq_roots_merged *m)
{
	BIO *bio = BIO_new(BIO_s_mem());
	bool ok = bio != NULL;
	for (size_t i = 0; ok && i < count; i++)
		ok = PEM_write_bio_X509(bio, roots[i]) == 1;
	smq_err err = ok ? smq_pem_written(bio, &m->pem, &m->len) : SMQ_ERR_NO_MEMORY;
	BIO_free(bio);
	return err;
}

smq_err smq_roots_merge(smq_span roots_pem, smq_span offered_pem, int64_t now_ms, struct smq_roots_merged *ret_merged)
{
	X509 *roots[ROOTS_MAX];
	X509 *offered[OFFERED_MAX];
	size_t root_count = smq_x509_read_certs(roots_pem, roots, ROOTS_MAX);
	size_t count = smq_x509_read_certs(offered_pem, offered, OFFERED_MAX);
	struct smq_roots_merged m = { .added = 0 };
	smq_err err = root_count > 0 ? SMQ_OK : SMQ_ERR_MALFORMED;

	for (size_t i = 0; err == SMQ_OK && i < count && root_count < ROOTS_MAX; i++) {
		if (!is_root(offered[i], now_ms) || known(roots, root_count, offered[i]) ||
		    !vouched_for(roots, root_count, offered, count, offered[i], now_ms))
			continue;
		X509_up_ref(offered[i]);
		roots[root_count++] = offered[i];
		m.added++;
	}
	if (err == SMQ_OK && m.added > 0)
		err = write_down(roots, root_count, &m);
	if (err == SMQ_OK)
		*ret_merged = m;
	for (size_t i = 0; i < root_count; i++)
		X509_free(roots[i]);
	for (size_t i = 0; i < count; i++)
		X509_free(offered[i]);
	ERR_clear_error();
	return err;
}
