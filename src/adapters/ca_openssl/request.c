/* Signing requests (PKCS#10): made on a device, read at the authority. */
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "adapters/ca_openssl/ca_internal.h"

smq_err smq_ca_make_request(smq_span key_pem, const char *name, struct smq_pem *ret_request)
{
	EVP_PKEY *key = smq_pem_key(key_pem);
	X509_REQ *request = X509_REQ_new();
	BIO *bio = BIO_new(BIO_s_mem());
	smq_err err = key ? SMQ_ERR_CRYPTO : SMQ_ERR_MALFORMED;
	bool ok = key && request && bio && X509_REQ_set_version(request, 0) == 1 &&
		  X509_NAME_add_entry_by_NID(X509_REQ_get_subject_name(request), NID_commonName, MBSTRING_UTF8,
					     (const unsigned char *)name, -1, -1, 0) == 1 &&
		  X509_REQ_set_pubkey(request, key) == 1 && X509_REQ_sign(request, key, smq_ca_digest_for(key)) > 0 &&
		  PEM_write_bio_X509_REQ(bio, request) == 1;
	if (ok)
		err = smq_pem_take(bio, ret_request);
	BIO_free(bio);
	X509_REQ_free(request);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return err;
}

smq_err smq_ca_request_of_der(smq_span der, struct smq_pem *ret_request)
{
	const unsigned char *at = der.p;
	X509_REQ *request = der.len > 0 && der.len < INT32_MAX ? d2i_X509_REQ(NULL, &at, (long)der.len) : NULL;
	BIO *bio = BIO_new(BIO_s_mem());
	smq_err err = SMQ_ERR_MALFORMED;
	if (request && bio && at == der.p + der.len && PEM_write_bio_X509_REQ(bio, request) == 1)
		err = smq_pem_take(bio, ret_request);
	BIO_free(bio);
	X509_REQ_free(request);
	ERR_clear_error();
	return err;
}

/* The subject's one common name, and nothing that would not fit or ends before its end. */
static bool read_name(X509_NAME *subject, struct smq_ca_request *r)
{
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0)
		return false;
	const ASN1_STRING *text = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
	size_t len = (size_t)ASN1_STRING_length(text);
	if (len == 0 || len >= sizeof(r->name) || memchr(ASN1_STRING_get0_data(text), 0, len))
		return false;
	memcpy(r->name, ASN1_STRING_get0_data(text), len);
	r->name[len] = 0;
	return true;
}

smq_err smq_ca_read_request(smq_span pem, struct smq_ca_request *ret_request)
{
	struct smq_ca_request r = { .name = "" };
	X509_REQ *request = smq_pem_request(pem);
	EVP_PKEY *key = request ? X509_REQ_get0_pubkey(request) : NULL;
	smq_err err = SMQ_ERR_MALFORMED;

	if (key && read_name(X509_REQ_get_subject_name(request), &r)) {
		r.curve = smq_ca_curve_of(key);
		err = r.curve ? SMQ_OK : SMQ_ERR_ALGORITHM;
	}
	/* the proof of possession */
	if (err == SMQ_OK && X509_REQ_verify(request, key) != 1)
		err = SMQ_ERR_SIGNATURE;
	X509_REQ_free(request);
	ERR_clear_error();
	if (err == SMQ_OK)
		*ret_request = r;
	return err;
}

smq_err smq_ca_request_to_der(smq_span pem, struct smq_pem *ret_der)
{
	X509_REQ *request = smq_pem_request(pem);
	BIO *bio = BIO_new(BIO_s_mem());
	smq_err err = request ? SMQ_ERR_CRYPTO : SMQ_ERR_MALFORMED;
	if (request && bio && i2d_X509_REQ_bio(bio, request) == 1)
		err = smq_pem_take(bio, ret_der);
	BIO_free(bio);
	X509_REQ_free(request);
	ERR_clear_error();
	return err;
}
