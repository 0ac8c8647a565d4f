/*
 * PEM text in memory, in and out, for all our OpenSSL adapters. An encrypted block is refused: nothing here asks at the
 * terminal for a passphrase.
 */
#ifndef SMQ_ADAPTERS_COMMON_OPENSSL_PEM_H
#define SMQ_ADAPTERS_COMMON_OPENSSL_PEM_H

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <sealmq/err.h>
#include <sealmq/span.h>
#include <stddef.h>
#include <stdint.h>

/* Reads in place: the text outlives it. NULL: empty, over 2 GiB, or no memory. */
BIO *smq_pem_open(smq_span pem);

/* The next block of the kind, others are passed over; NULL: none follows, or bio is NULL. The caller's to free. */
X509 *smq_pem_next_cert(BIO *bio);
X509_CRL *smq_pem_next_crl(BIO *bio);

/* The first of the kind, or NULL. */
EVP_PKEY *smq_pem_key(smq_span pem);
EVP_PKEY *smq_pem_public_key(smq_span pem); /* a block PUBLIC KEY */
X509 *smq_pem_cert(smq_span pem);
X509_REQ *smq_pem_request(smq_span pem);

/* What was written to a memory BIO, with a 0 behind it that len does not count; to free(). */
SMQ_MUST_USE smq_err smq_pem_written(BIO *bio, uint8_t **ret_text, size_t *ret_len);

#endif
