/* Making revocation lists, as PEM text. */
#include <openssl/err.h>
#include <openssl/pem.h>

#include "adapters/ca_openssl/ca_internal.h"

enum { CRL_VERSION_2 = 1 };

static bool add_reason(X509_REVOKED *entry, int reason)
{
	ASN1_ENUMERATED *value = ASN1_ENUMERATED_new();
	bool ok = value && ASN1_ENUMERATED_set(value, reason) == 1 &&
		  X509_REVOKED_add1_ext_i2d(entry, NID_crl_reason, value, 0, X509V3_ADD_DEFAULT) == 1;
	ASN1_ENUMERATED_free(value);
	return ok;
}

static bool add_revoked(X509_CRL *crl, const struct smq_crl_entry *from)
{
	X509_REVOKED *entry = X509_REVOKED_new();
	ASN1_INTEGER *number = ASN1_INTEGER_new();
	ASN1_TIME *when = ASN1_TIME_new();
	/* RFC 5280, 5.3.1: "unspecified" is said by saying nothing */
	bool ok = entry && number && when && smq_ca_set_serial(number, from->serial) &&
		  smq_ca_set_time(when, from->when_ms) && X509_REVOKED_set_serialNumber(entry, number) == 1 &&
		  X509_REVOKED_set_revocationDate(entry, when) == 1 &&
		  (from->reason == 0 || add_reason(entry, from->reason)) && X509_CRL_add0_revoked(crl, entry) == 1;
	if (!ok)
		X509_REVOKED_free(entry);
	ASN1_INTEGER_free(number);
	ASN1_TIME_free(when);
	return ok;
}

static bool fill_crl(X509_CRL *crl, X509 *issuer, int64_t number, int64_t this_update_ms, int64_t next_update_ms)
{
	ASN1_TIME *from = ASN1_TIME_new();
	ASN1_TIME *until = ASN1_TIME_new();
	ASN1_INTEGER *n = ASN1_INTEGER_new();
	X509V3_CTX ctx;
	X509_EXTENSION *aki = NULL;

	X509V3_set_ctx(&ctx, issuer, NULL, NULL, crl, 0);
	aki = X509V3_EXT_nconf_nid(NULL, &ctx, NID_authority_key_identifier, "keyid:always");
	bool ok = from && until && n && aki && smq_ca_set_time(from, this_update_ms) &&
		  smq_ca_set_time(until, next_update_ms) && ASN1_INTEGER_set_int64(n, number) == 1 &&
		  X509_CRL_set_version(crl, CRL_VERSION_2) == 1 &&
		  X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer)) == 1 &&
		  X509_CRL_set1_lastUpdate(crl, from) == 1 && X509_CRL_set1_nextUpdate(crl, until) == 1 &&
		  X509_CRL_add_ext(crl, aki, -1) == 1 &&
		  X509_CRL_add1_ext_i2d(crl, NID_crl_number, n, 0, X509V3_ADD_DEFAULT) == 1;
	X509_EXTENSION_free(aki);
	ASN1_INTEGER_free(n);
	ASN1_TIME_free(from);
	ASN1_TIME_free(until);
	return ok;
}

smq_err smq_ca_issuer_crl(const struct smq_ca_issuer *issuer, const struct smq_crl_entry *entries, size_t count,
			  int64_t number, int64_t this_update_ms, int64_t next_update_ms, struct smq_pem *ret_crl)
{
	X509_CRL *crl = X509_CRL_new();
	BIO *bio = BIO_new(BIO_s_mem());
	smq_err err = SMQ_ERR_CRYPTO;
	bool ok = crl && bio && fill_crl(crl, issuer->cert, number, this_update_ms, next_update_ms);

	for (size_t i = 0; ok && i < count; i++)
		ok = add_revoked(crl, &entries[i]);
	if (ok && X509_CRL_sort(crl) == 1)
		err = smq_ca_sign_crl(issuer, &crl);
	if (err == SMQ_OK)
		err = PEM_write_bio_X509_CRL(bio, crl) == 1 ? smq_pem_take(bio, ret_crl) : SMQ_ERR_CRYPTO;
	BIO_free(bio);
	X509_CRL_free(crl);
	ERR_clear_error();
	return err;
}

smq_err smq_ca_make_crl(smq_span issuer_cert_pem, smq_span issuer_key_pem, const struct smq_crl_entry *entries,
			size_t count, int64_t number, int64_t this_update_ms, int64_t next_update_ms,
			struct smq_pem *ret_crl)
{
	struct smq_ca_issuer *issuer = NULL;
	smq_err err = smq_ca_issuer_new(issuer_cert_pem, issuer_key_pem, &issuer);
	if (err == SMQ_OK)
		err = smq_ca_issuer_crl(issuer, entries, count, number, this_update_ms, next_update_ms, ret_crl);
	smq_ca_issuer_free(issuer);
	return err;
}
