/* What EST (RFC 7030) carries: requests in base64, and certificates alone in PKCS#7, in base64. */
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs7.h>

#include "adapters/ca_openssl/ca_internal.h"

/* Allocated; its length, 0: not base64. */
static size_t decode(smq_span text, uint8_t **ret_bytes)
{
	int len = 0;
	int rest = 0;
	bool ok = false;
	uint8_t *bytes = text.len > 0 && text.len < INT32_MAX ? malloc(text.len) : NULL;
	EVP_ENCODE_CTX *ctx = EVP_ENCODE_CTX_new();
	if (bytes && ctx) {
		EVP_DecodeInit(ctx);
		ok = EVP_DecodeUpdate(ctx, bytes, &len, text.p, (int)text.len) >= 0 &&
		     EVP_DecodeFinal(ctx, bytes + len, &rest) == 1;
	}
	EVP_ENCODE_CTX_free(ctx);
	*ret_bytes = bytes;
	return ok ? (size_t)(len + rest) : 0;
}

smq_err smq_ca_request_of_base64(smq_span text, struct smq_pem *ret_request)
{
	uint8_t *der = NULL;
	size_t len = decode(text, &der);
	smq_err err = smq_ca_request_of_der(smq_span_of(der, len), ret_request);
	free(der);
	ERR_clear_error();
	return err;
}

static smq_err encode(const uint8_t *bytes, int len, struct smq_pem *ret_text)
{
	int n = 0;
	int rest = 0;
	/* 64 characters and a newline for 48 bytes, and a zero */
	uint8_t *text = malloc((size_t)len / 48 * 65 + 70);
	EVP_ENCODE_CTX *ctx = EVP_ENCODE_CTX_new();
	bool ok = false;
	if (text && ctx) {
		EVP_EncodeInit(ctx);
		ok = EVP_EncodeUpdate(ctx, text, &n, bytes, len) == 1;
		EVP_EncodeFinal(ctx, text + n, &rest);
	}
	EVP_ENCODE_CTX_free(ctx);
	if (!ok) {
		free(text);
		return SMQ_ERR_NO_MEMORY;
	}
	*ret_text = (struct smq_pem){ .p = text, .len = (size_t)(n + rest) };
	return SMQ_OK;
}

smq_err smq_ca_request_to_base64(smq_span pem, struct smq_pem *ret_base64)
{
	X509_REQ *request = smq_pem_request(pem);
	uint8_t *der = NULL;
	int len = request ? i2d_X509_REQ(request, &der) : 0;
	smq_err err = len > 0 ? encode(der, len, ret_base64) : SMQ_ERR_MALFORMED;
	OPENSSL_free(der);
	X509_REQ_free(request);
	ERR_clear_error();
	return err;
}

/* The end entity first, whatever order they came in. */
static bool put_all(BIO *bio, const STACK_OF(X509) * certs)
{
	for (int authorities = 0; authorities < 2; authorities++) {
		for (int i = 0; i < sk_X509_num(certs); i++) {
			X509 *cert = sk_X509_value(certs, i);
			bool authority = X509_check_ca(cert) != 0;
			if (authority == (authorities == 1) && PEM_write_bio_X509(bio, cert) != 1)
				return false;
		}
	}
	return true;
}

smq_err smq_ca_certs_of(smq_span base64, struct smq_pem *ret_pem)
{
	uint8_t *der = NULL;
	size_t len = decode(base64, &der);
	const uint8_t *at = der;
	PKCS7 *p7 = len > 0 ? d2i_PKCS7(NULL, &at, (long)len) : NULL;
	BIO *bio = BIO_new(BIO_s_mem());
	smq_err err = SMQ_ERR_MALFORMED;
	if (p7 && bio && PKCS7_type_is_signed(p7) && p7->d.sign && sk_X509_num(p7->d.sign->cert) > 0 &&
	    put_all(bio, p7->d.sign->cert))
		err = smq_pem_take(bio, ret_pem);
	BIO_free(bio);
	PKCS7_free(p7);
	free(der);
	ERR_clear_error();
	return err;
}

static bool add_all(PKCS7 *p7, smq_span pem)
{
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.len);
	X509 *cert;
	int count = 0;
	while (bio && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
		count += PKCS7_add_certificate(p7, cert) == 1 ? 1 : 0;
		X509_free(cert);
	}
	BIO_free(bio);
	return count > 0;
}

smq_err smq_ca_certs_only(smq_span pem, struct smq_pem *ret_base64)
{
	smq_err err = SMQ_ERR_CRYPTO;
	PKCS7 *p7 = PKCS7_new();
	uint8_t *der = NULL;
	if (!p7 || PKCS7_set_type(p7, NID_pkcs7_signed) != 1 || PKCS7_content_new(p7, NID_pkcs7_data) != 1 ||
	    !add_all(p7, pem))
		goto out;
	PKCS7_set_detached(p7, 1);
	int len = i2d_PKCS7(p7, &der);
	if (len > 0)
		err = encode(der, len, ret_base64);
out:
	OPENSSL_free(der);
	PKCS7_free(p7);
	ERR_clear_error();
	return err;
}
