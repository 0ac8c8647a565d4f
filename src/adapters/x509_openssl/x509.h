/*
 * The credential port over X.509 and OpenSSL (PROTOCOL.md 2.3 and 2.4).
 *
 * ID_CRED_x is { 33: x5chain } or { 34: x5t } with SHA-256/64 or SHA-256; CRED_x is the CBOR byte string of the
 * end-entity certificate in DER. A certificate is accepted if its chain ends at the realm's root, all of it is valid
 * at the time given and not revoked, its usage is that of a member, and its one name is of this realm.
 *
 * What was accepted is remembered (bounded, least recently used goes first), so that a hash resolves later and a
 * signature is checked once; validity in time and revocation are judged anew at every resolve.
 */
#ifndef SMQ_X509_OPENSSL_X509_H
#define SMQ_X509_OPENSSL_X509_H

#include <stdbool.h>

#include <sealmq/credential.h>

#include "app/store.h"

struct smq_x509;

struct smq_x509_config {
	const char *realm;
	smq_span root_pem;       /* one trust anchor, or several during a change of root */
	smq_span crl_pem;        /* empty: nothing is revoked. Otherwise every issuer needs a CRL here */
	bool insecure_stale_crl; /* go on trusting a CRL past its next update */
	size_t known_max;        /* certificates remembered; 0: 1,024 */
	struct smq_store *store; /* where they survive a restart, NULL: nowhere. Must outlive this. */
};

/* Copies what it needs. SMQ_ERR_MALFORMED: root or CRL do not parse; SMQ_ERR_CERT_INVALID: the root is no CA. */
SMQ_MUST_USE smq_err smq_x509_new(const struct smq_x509_config *config, struct smq_x509 **ret_x509);
void smq_x509_free(struct smq_x509 *x);

/* Replaces the revocation list; all remembered certificates are judged by it from now on. */
SMQ_MUST_USE smq_err smq_x509_set_crl(struct smq_x509 *x, smq_span crl_pem);

/*
 * The same on trial: own_id_cred (empty: no trial) is judged by the new lists, and where they leave it unjudged (no
 * list of its issuer, stale, or not signed by it) they are not taken: SMQ_ERR_CERT_CRL, and what was before holds.
 */
SMQ_MUST_USE smq_err smq_x509_change_crl(struct smq_x509 *x, smq_span crl_pem, smq_span own_id_cred, int64_t now_ms);

/* Other roots: those before and more. What was accepted is judged anew. SMQ_ERR_MALFORMED, SMQ_ERR_CERT_INVALID: they
 * are no authorities; then those before stay. */
SMQ_MUST_USE smq_err smq_x509_change_roots(struct smq_x509 *x, smq_span roots_pem);

/* When the lists in use were made and when the first of them ends; without lists, the ends of time. */
struct smq_crl_times {
	int64_t this_update_ms, next_update_ms;
	size_t lists, entries;
};
struct smq_crl_times smq_x509_crl_times(const struct smq_x509 *x);

/* From now on accepted certificates are kept there, and looked up there. Must outlive x. */
void smq_x509_set_store(struct smq_x509 *x, struct smq_store *store);

struct smq_credentials smq_x509_credentials(struct smq_x509 *x);

/* SHA-256 of the (first) root in DER: names the trust anchor. */
void smq_x509_root_fingerprint(const struct smq_x509 *x, uint8_t ret_hash[SMQ_HASH_LEN]);

/* The algorithm of the end entity's key, by the certificate alone; 0: neither ES256 nor EdDSA. */
enum smq_sig_id smq_x509_leaf_alg(smq_span id_cred);

/* A member's own certificate with its issuers below the root, from PEM: the forms in which EDHOC needs it. */
struct smq_x509_own {
	struct smq_credential credential;
	uint8_t id_cred_full[SMQ_ID_CRED_MAX];
	size_t id_cred_full_len;
	uint8_t id_cred_short[16];
	size_t id_cred_short_len;
};
/* Refuses what a peer would refuse. SMQ_ERR_MALFORMED: not PEM certificates. */
SMQ_MUST_USE smq_err smq_x509_own(struct smq_x509 *x, smq_span chain_pem, int64_t now_ms, struct smq_x509_own *ret_own);

#endif
