/* What the files of this adapter share. */
#ifndef SMQ_X509_OPENSSL_INTERNAL_H
#define SMQ_X509_OPENSSL_INTERNAL_H

#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "adapters/x509_openssl/x509.h"

enum {
	CHAIN_MAX = 4, /* certificates carried, the end entity's included */
	ROOTS_MAX = 4,
	CERT_DER_MAX = SMQ_CRED_MAX - 3 /* its CBOR head takes 3 bytes */
};

/* ID_CRED_x taken apart: either certificates by value, or a hash of one. */
struct smq_id_cred {
	smq_span certs[CHAIN_MAX];
	size_t cert_count; /* 0: by hash */
	smq_span hash;     /* 8 or 32 bytes of the SHA-256 */
};

SMQ_MUST_USE smq_err smq_id_cred_decode(smq_span id_cred, struct smq_id_cred *ret_id);
SMQ_MUST_USE smq_err smq_id_cred_encode_chain(const smq_span *certs, size_t count, smq_mspan room, size_t *ret_len);
SMQ_MUST_USE smq_err smq_id_cred_encode_hash(const uint8_t hash[SMQ_HASH_LEN], smq_mspan room, size_t *ret_len);

/* The whole of the span and nothing but one certificate; NULL otherwise. */
X509 *smq_x509_parse(smq_span der);

/* What a certificate of this realm says of its holder; its chain and validity are not looked at. */
SMQ_MUST_USE smq_err smq_x509_holder(X509 *cert, const char *realm, struct smq_credential *ret_credential);

/* All certificates of a PEM text, at most max; 0 if there is none, or one does not parse. */
size_t smq_x509_read_certs(smq_span pem, X509 **certs, size_t max);

int64_t smq_x509_time_ms(const ASN1_TIME *time);

/* Path validation alone, with what the realm is configured to: who the certificate speaks of is not looked at.
 * ret_from and ret_until: between them the answer cannot change. */
SMQ_MUST_USE smq_err smq_x509_check_chain(const struct smq_x509 *x, X509 *cert, STACK_OF(X509) * issuers,
					  int64_t now_ms, int64_t *ret_from, int64_t *ret_until);

/* crl.c: the revocation lists in use. NULL stands for none. */
struct smq_crls;
/* SMQ_ERR_MALFORMED where one does not parse, or text is there and no list. An empty span gives no lists. */
SMQ_MUST_USE smq_err smq_crls_read(smq_span pem, struct smq_crls **ret_crls);
void smq_crls_free(struct smq_crls *crls);
bool smq_crls_add(const struct smq_crls *crls, X509_STORE *trust);
/* Has this check look at them; false: there are none. */
bool smq_crls_use(struct smq_crls *crls, X509_STORE_CTX *ctx);
struct smq_crl_times smq_crls_times(const struct smq_crls *crls);

#endif
