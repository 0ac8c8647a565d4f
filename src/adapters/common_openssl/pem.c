/* PEM text in memory, in and out. */
#include "adapters/common_openssl/pem.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/pem.h>

static int no_passphrase(char *buf, int size, int rwflag, void *u)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)u;
	return -1;
}

BIO *smq_pem_open(smq_span pem)
{
	return pem.len > 0 && pem.len < INT32_MAX ? BIO_new_mem_buf(pem.p, (int)pem.len) : NULL;
}

X509 *smq_pem_next_cert(BIO *bio) { return bio ? PEM_read_bio_X509(bio, NULL, no_passphrase, NULL) : NULL; }

X509_CRL *smq_pem_next_crl(BIO *bio) { return bio ? PEM_read_bio_X509_CRL(bio, NULL, no_passphrase, NULL) : NULL; }

EVP_PKEY *smq_pem_key(smq_span pem)
{
	BIO *bio = smq_pem_open(pem);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
	BIO_free(bio);
	return key;
}

EVP_PKEY *smq_pem_public_key(smq_span pem)
{
	BIO *bio = smq_pem_open(pem);
	EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL) : NULL;
	BIO_free(bio);
	return key;
}

X509 *smq_pem_cert(smq_span pem)
{
	BIO *bio = smq_pem_open(pem);
	X509 *cert = smq_pem_next_cert(bio);
	BIO_free(bio);
	return cert;
}

X509_REQ *smq_pem_request(smq_span pem)
{
	BIO *bio = smq_pem_open(pem);
	X509_REQ *request = bio ? PEM_read_bio_X509_REQ(bio, NULL, no_passphrase, NULL) : NULL;
	BIO_free(bio);
	return request;
}

smq_err smq_pem_written(BIO *bio, uint8_t **ret_text, size_t *ret_len)
{
	char *data = NULL;
	long len = BIO_get_mem_data(bio, &data);
	uint8_t *copy = len > 0 ? malloc((size_t)len + 1) : NULL;
	if (!copy)
		return SMQ_ERR_NO_MEMORY;
	memcpy(copy, data, (size_t)len);
	copy[len] = 0;
	*ret_text = copy;
	*ret_len = (size_t)len;
	return SMQ_OK;
}
