/* What EST (RFC 7030) carries: requests in base64, and certificates alone in PKCS#7, in base64. */
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs7.h>

#include "adapters/ca_openssl/ca_internal.h"

smq_err smq_ca_request_of_base64(smq_span text, struct smq_pem *ret_request)
{
	smq_err err = SMQ_ERR_MALFORMED;
	int len = 0;
	int rest = 0;
	uint8_t *der = text.len > 0 && text.len < INT32_MAX ? malloc(text.len) : NULL;
	EVP_ENCODE_CTX *ctx = EVP_ENCODE_CTX_new();
	if (der && ctx) {
		EVP_DecodeInit(ctx);
		if (EVP_DecodeUpdate(ctx, der, &len, text.p, (int)text.len) >= 0 &&
		    EVP_DecodeFinal(ctx, der + len, &rest) == 1)
			err = smq_ca_request_of_der(smq_span_of(der, (size_t)(len + rest)), ret_request);
	}
	EVP_ENCODE_CTX_free(ctx);
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
	/* 64 characters and a newline for 48 bytes, and a zero */
	uint8_t *text = len > 0 ? malloc((size_t)len / 48 * 65 + 70) : NULL;
	EVP_ENCODE_CTX *ctx = EVP_ENCODE_CTX_new();
	if (text && ctx) {
		int n = 0;
		int rest = 0;
		EVP_EncodeInit(ctx);
		if (EVP_EncodeUpdate(ctx, text, &n, der, len) == 1) {
			EVP_EncodeFinal(ctx, text + n, &rest);
			*ret_base64 = (struct smq_pem){ .p = text, .len = (size_t)(n + rest) };
			text = NULL;
			err = SMQ_OK;
		}
	}
	EVP_ENCODE_CTX_free(ctx);
	free(text);
out:
	OPENSSL_free(der);
	PKCS7_free(p7);
	ERR_clear_error();
	return err;
}
