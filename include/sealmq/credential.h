/*
 * The credential port: who is behind a certificate or a registered key.
 *
 * EDHOC (RFC 9528) names a credential by ID_CRED_x and authenticates with
 * CRED_x; what both are made of, and whether they are to be trusted now, is
 * decided behind this port (X.509 through OpenSSL on a full system).
 */
#ifndef SEALMQ_CREDENTIAL_H
#define SEALMQ_CREDENTIAL_H

#include <stdbool.h>

#include <sealmq/crypto.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { SMQ_MEMBER_NAME_MAX = 64, SMQ_CRED_MAX = 2048, SMQ_ID_CRED_MAX = 4096 };

/* What a member may be, as its certificate's extended key usage says. */
enum smq_role { SMQ_ROLE_MEMBER = 1, SMQ_ROLE_KEYSERVER = 2, SMQ_ROLE_ADMIN = 4, SMQ_ROLE_BROKER = 8 };

/* A resolved credential: proven to be genuine and valid now, not yet that the peer holds its key. */
struct smq_credential {
	char name[SMQ_MEMBER_NAME_MAX + 1];
	unsigned roles; /* enum smq_role bits */
	enum smq_sig_id sig_alg;
	enum smq_curve dh_curve; /* for static DH: SMQ_P256 or SMQ_X25519; 0 where the key may not agree */
	uint8_t public_key[SMQ_PUBLIC_KEY_MAX]; /* ES256: 04 || x || y; EdDSA and X25519: 32 bytes */
	size_t public_key_len;
	uint8_t cred[SMQ_CRED_MAX]; /* CRED_x: the CBOR byte string of the certificate, or a CCS map */
	size_t cred_len;
	int64_t expires_ms;       /* Unix time */
	uint8_t id[SMQ_HASH_LEN]; /* what `holds` knows it by */
	bool registered;          /* a raw key that an admin registered, no certificate (PROTOCOL.md 7.8) */
};

struct smq_credentials {
	void *self;
	/*
	 * id_cred is the CBOR map ID_CRED_x as RFC 9528, 3.5.3 has it: { 33: x5chain }, { 34: x5t }, { 4: kid }.
	 * SMQ_ERR_CREDENTIAL: the hash or kid is not known here. SMQ_ERR_CERT_*: known or carried, and refused.
	 */
	smq_err (*resolve)(void *self, smq_span id_cred, int64_t now_ms, struct smq_credential *ret_credential);
	/*
	 * Whether a credential resolved before would be resolved now: SMQ_ERR_CERT_* if not, SMQ_ERR_CREDENTIAL if it
	 * is not known here any more. NULL where credentials never end.
	 */
	smq_err (*holds)(void *self, const uint8_t id[SMQ_HASH_LEN], int64_t now_ms);
};

/* This member's own credential. The spans outlive every use. */
struct smq_own_credential {
	smq_span id_cred_full;  /* ID_CRED_x by value, e.g. { 33: x5chain } */
	smq_span id_cred_short; /* by hash, e.g. { 34: x5t }; used once the peer has shown that it knows us */
	smq_span cred;          /* CRED_x */
	struct smq_signer signer;
	enum smq_curve dh_curve; /* curve of signer.agree: SMQ_P256 or SMQ_X25519; 0 where it takes either */
	bool registered;         /* a raw key (PROTOCOL.md 7.8): known to a key server and to nobody else */
};

#ifdef __cplusplus
}
#endif
#endif
