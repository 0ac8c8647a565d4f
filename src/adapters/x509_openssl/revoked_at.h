/*
 * Whether later revocation lists say of a certificate that it was revoked by then: for evidence, where what counts is
 * the time of the message and not that of the list.
 */
#ifndef SMQ_X509_OPENSSL_REVOKED_AT_H
#define SMQ_X509_OPENSSL_REVOKED_AT_H

#include <sealmq/err.h>
#include <sealmq/span.h>

/*
 * Looks for each certificate of the chain (ID_CRED_x by value, up to the root) in those lists that its issuer has
 * signed; lists of others, and their age, do not matter. SMQ_ERR_CERT_REVOKED: revoked at at_ms or before;
 * SMQ_ERR_CERT_CHAIN: not under this root; SMQ_ERR_CERT_CRL: no list of the end entity's issuer is there.
 */
SMQ_MUST_USE smq_err smq_x509_revoked_at(smq_span root_pem, smq_span crl_pem, smq_span id_cred, int64_t at_ms);

#endif
