/*
 * COSE_Sign1 (RFC 9052, 4.2; PROTOCOL.md 6.4): a signed document, tagged.
 *
 *     18([ protected : bstr { 1: alg, 4: kid / 34: x5t }, {}, payload : bstr / null, signature : bstr .size 64 ])
 *
 * The external AAD says what kind of document it is, so that none passes for another. Decoding also takes a content
 * type (3) and a signer named in the unprotected header; verifying a document of ours (smq_sign1_verify_document)
 * does not. Two envelopes of one payload may both verify: whatever is hashed or compared is the payload.
 */
#ifndef SMQ_WIRE_SIGN1_H
#define SMQ_WIRE_SIGN1_H

#include <stdbool.h>

#include <sealmq/credential.h>

enum {
	SMQ_SIGN1_KID_MAX = 64,
	SMQ_SIGN1_ID_MAX = 72,       /* bytes of the map that names the signer */
	SMQ_SIGN1_OVERHEAD_MAX = 160 /* bytes over the payload */
};

struct smq_sign1 {
	enum smq_sig_id alg;
	smq_span header;                   /* the protected header's bytes */
	uint8_t id_cred[SMQ_SIGN1_ID_MAX]; /* { 4: kid } or { 34: x5t }, to be resolved; protected */
	size_t id_cred_len;                /* 0: the protected header names nobody */
	bool bare;                         /* the unprotected header is empty */
	bool detached;                     /* the payload travels elsewhere */
	smq_span payload;
	const uint8_t *signature; /* SMQ_SIG_LEN bytes */
};

/* id_cred: a map of one entry, 4 or 34 (struct smq_own_credential's id_cred_short); SMQ_ERR_CREDENTIAL otherwise. */
SMQ_MUST_USE smq_err smq_sign1_encode(const struct smq_signer *signer, smq_span id_cred, smq_span external_aad,
				      smq_span payload, bool detached, smq_mspan room, size_t *ret_len);

/* The spans of ret_sign1 point into bytes. SMQ_ERR_ALGORITHM: not ES256 or EdDSA, or not protected. */
SMQ_MUST_USE smq_err smq_sign1_decode(smq_span bytes, struct smq_sign1 *ret_sign1);

/* payload: the one that travelled elsewhere, where it is detached; empty otherwise (SMQ_ERR_USAGE). */
SMQ_MUST_USE smq_err smq_sign1_verify(const struct smq_sign1 *s, const struct smq_crypto *crypto, enum smq_sig_id alg,
				      smq_span public_key, smq_span external_aad, smq_span payload);

/*
 * A document of ours: attached, nothing unprotected, signed by the one whom it names, who holds this role.
 * credential: what s->id_cred resolved to. SMQ_ERR_MALFORMED, SMQ_ERR_CERT_USAGE, SMQ_ERR_ALGORITHM,
 * SMQ_ERR_SIGNATURE.
 */
SMQ_MUST_USE smq_err smq_sign1_verify_document(const struct smq_sign1 *s, const struct smq_crypto *crypto,
					       const struct smq_credential *credential, enum smq_role role,
					       const char *kind);
/* The same from the signer's side. */
SMQ_MUST_USE smq_err smq_sign1_encode_document(const struct smq_own_credential *own, const char *kind, smq_span payload,
					       smq_mspan room, size_t *ret_len);

#endif
