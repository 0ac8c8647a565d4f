/*
 * A raw public key as a credential (PROTOCOL.md 7.8): what EDHOC authenticates with where there is no certificate.
 *
 *     CRED_x    = { 2: name, 8: { 1: COSE_Key } }                         a CWT Claims Set (RFC 8392, 8747)
 *     COSE_Key  = { 1: 2, 2: kid, -1: 1, -2: x, -3: y }                   P-256 (RFC 9053, 7.1)
 *     ID_CRED_x = { 4: kid }                                              which travels as the kid alone
 *
 * A member's kid is the first bytes of its key's thumbprint (RFC 9679, SHA-256), a key server's those of the SHA-256 of
 * its certificate, whose key it answers with: a new certificate is another kid, so nobody takes the one for the other.
 */
#ifndef SMQ_WIRE_REGISTERED_KEY_H
#define SMQ_WIRE_REGISTERED_KEY_H

#include <sealmq/credential.h>

#include "base/writer.h"

enum {
	SMQ_KID_LEN = 4,
	SMQ_REGISTERED_ID_CRED_LEN = 3 + SMQ_KID_LEN,
	SMQ_REGISTERED_CRED_MAX = 160,
	/* EDHOC EAD_1, not critical, without a value: answer by your kid, I know your key. */
	SMQ_EAD_BY_KID = 32772
};

/* SHA-256 of { 1: 2, -1: 1, -2: x, -3: y }. point: 04 || x || y. */
SMQ_MUST_USE smq_err smq_registered_key_thumbprint(const struct smq_crypto *crypto,
						   const uint8_t point[SMQ_PUBLIC_KEY_MAX],
						   uint8_t ret_hash[SMQ_HASH_LEN]);

/* The whole credential of a P-256 key: name, roles, expiry and id (whose first bytes are the kid) are of c already; its
 * key, CRED_x, and that it agrees and signs nothing, are filled in. */
SMQ_MUST_USE smq_err smq_registered_key_credential(const uint8_t point[SMQ_PUBLIC_KEY_MAX], struct smq_credential *c);

/* { 4: kid } */
void smq_registered_key_id_cred(const uint8_t kid[SMQ_KID_LEN], uint8_t ret_id_cred[SMQ_REGISTERED_ID_CRED_LEN]);
/* The kid, where that is all that id_cred holds and it is as long as ours; else NULL. */
const uint8_t *smq_registered_key_kid(smq_span id_cred);

#endif
