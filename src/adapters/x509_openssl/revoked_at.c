/* Whether later revocation lists say of a certificate that it was revoked by then. */
#include "adapters/x509_openssl/revoked_at.h"

#include <limits.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>

#include "adapters/x509_openssl/x509_internal.h"

static BIO *reader(smq_span pem) { return pem.len <= INT_MAX ? BIO_new_mem_buf(pem.p, (int)pem.len) : NULL; }

static bool add_roots(X509_STORE *store, smq_span pem)
{
	BIO *bio = reader(pem);
	bool any = false;
	for (X509 *root; bio && (root = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL; X509_free(root))
		any = X509_STORE_add_cert(store, root) == 1 || any;
	BIO_free(bio);
	return any;
}

static smq_err look_up(X509_CRL *crl, X509 *cert, int64_t at_ms)
{
	X509_REVOKED *entry = NULL;
	int found = X509_CRL_get0_by_cert(crl, &entry, cert);
	if (found != 1)
		return SMQ_OK;
	return smq_x509_time_ms(X509_REVOKED_get0_revocationDate(entry)) <= at_ms ? SMQ_ERR_CERT_REVOKED : SMQ_OK;
}

/* One certificate in all lists of its issuer; *ret_listed: there was one. */
static smq_err look(smq_span pem, X509 *cert, X509 *issuer, int64_t at_ms, bool *ret_listed)
{
	BIO *bio = reader(pem);
	EVP_PKEY *key = X509_get0_pubkey(issuer);
	smq_err err = bio ? SMQ_OK : SMQ_ERR_NO_MEMORY;
	*ret_listed = false;
	for (X509_CRL *crl; err == SMQ_OK && (crl = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL)) != NULL;
	     X509_CRL_free(crl)) {
		if (X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_subject_name(issuer)) != 0 ||
		    X509_CRL_verify(crl, key) != 1)
			continue;
		*ret_listed = true;
		err = look_up(crl, cert, at_ms);
	}
	BIO_free(bio);
	return err;
}

static smq_err look_at_chain(STACK_OF(X509) * chain, smq_span crl_pem, int64_t at_ms)
{
	smq_err err = SMQ_OK;
	for (int i = 0; i + 1 < sk_X509_num(chain) && err == SMQ_OK; i++) {
		bool listed;
		err = look(crl_pem, sk_X509_value(chain, i), sk_X509_value(chain, i + 1), at_ms, &listed);
		if (err == SMQ_OK && i == 0 && !listed)
			err = SMQ_ERR_CERT_CRL;
	}
	return err;
}

smq_err smq_x509_revoked_at(smq_span root_pem, smq_span crl_pem, smq_span id_cred, int64_t at_ms)
{
	struct smq_id_cred id;
	X509 *cert = NULL;
	STACK_OF(X509) *issuers = sk_X509_new_null();
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	smq_err err = issuers && store && ctx ? smq_id_cred_decode(id_cred, &id) : SMQ_ERR_NO_MEMORY;
	if (err != SMQ_OK)
		goto out;
	err = SMQ_ERR_CERT_CHAIN;
	cert = id.cert_count > 0 ? smq_x509_parse(id.certs[0]) : NULL;
	for (size_t i = 1; i < id.cert_count; i++) {
		X509 *issuer = smq_x509_parse(id.certs[i]);
		if (issuer && sk_X509_push(issuers, issuer) <= 0)
			X509_free(issuer);
	}
	if (!cert || !add_roots(store, root_pem) || X509_STORE_CTX_init(ctx, store, cert, issuers) != 1)
		goto out;
	X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(ctx), (time_t)(at_ms / 1000));
	if (X509_verify_cert(ctx) == 1)
		err = look_at_chain(X509_STORE_CTX_get0_chain(ctx), crl_pem, at_ms);
out:
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	X509_free(cert);
	sk_X509_pop_free(issuers, X509_free);
	ERR_clear_error();
	return err;
}
