/* What the files of this adapter share. */
#ifndef SMQ_CA_OPENSSL_INTERNAL_H
#define SMQ_CA_OPENSSL_INTERNAL_H

#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "adapters/ca_openssl/ca_make.h"
#include "adapters/common_openssl/pem.h"

/* Takes what a memory BIO holds, with a terminating zero beyond its length. */
SMQ_MUST_USE smq_err smq_pem_take(BIO *bio, struct smq_pem *ret_pem);

/* The public half of whatever it is: a private key, a request, or a certificate; NULL where it does not parse. */
EVP_PKEY *smq_pem_read_public(smq_span pem);

bool smq_ca_time_ms(const ASN1_TIME *time, int64_t *ret_ms);
bool smq_ca_set_time(ASN1_TIME *time, int64_t ms);
bool smq_ca_set_serial(ASN1_INTEGER *to, const uint8_t serial[SMQ_SERIAL_LEN]);
/* The digest that goes with a signing key; NULL for those that bring their own. */
const EVP_MD *smq_ca_digest_for(const EVP_PKEY *key);
/* SMQ_P256, SMQ_P384, SMQ_ED25519, SMQ_X25519, or 0. */
enum smq_curve smq_ca_curve_of(const EVP_PKEY *key);

/* An authority held open: its key is here, or is remote. */
struct smq_ca_issuer {
	X509 *cert;
	EVP_PKEY *key;
	struct smq_ca_remote remote; /* sign NULL: it is here */
};

/* Sign what is filled in; the object is exchanged where the key is remote. */
SMQ_MUST_USE smq_err smq_ca_sign_cert(const struct smq_ca_issuer *issuer, X509 **cert);
SMQ_MUST_USE smq_err smq_ca_sign_crl(const struct smq_ca_issuer *issuer, X509_CRL **crl);

#endif
