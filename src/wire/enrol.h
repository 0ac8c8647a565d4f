/*
 * Enrolment over MQTT (PROTOCOL.md 7.9): a signing request, and its answer.
 *
 *     request  COSE_Sign1 (wire/sign1.h) over [ 1, csr : bstr, chain : bstr ]
 *     answer   [ 1, outcome : uint, certificates : bstr, settings : bstr, mac : bstr ]
 *
 * A first request is signed by the key that the one-time token stands for, and names the device by kid; chain is empty.
 * A renewal is signed by the certificate to be renewed, which is in chain (ID_CRED_x by value).
 */
#ifndef SMQ_WIRE_ENROL_H
#define SMQ_WIRE_ENROL_H

#include <sealmq/crypto.h>

#define SMQ_ENROL_FIRST "sealmq1 enrol first" /* external AAD of the two kinds of request */
#define SMQ_ENROL_AGAIN "sealmq1 enrol again"

enum {
	SMQ_ENROL_REQUEST_MAX = 8192,
	SMQ_ENROL_ANSWER_MAX = 65536,
	SMQ_ENROL_ID_LEN = 16 /* of a request: the first half of its SHA-256, which names the answer's topic */
};

enum smq_enrol_outcome {
	SMQ_ENROL_GIVEN,
	SMQ_ENROL_REFUSED,   /* not for this name, or not by this token or certificate */
	SMQ_ENROL_MALFORMED, /* not a request */
	SMQ_ENROL_FAILED     /* the authority could not */
};

struct smq_enrol_request {
	smq_span csr;   /* PKCS#10, DER */
	smq_span chain; /* empty: a first one */
};
SMQ_MUST_USE smq_err smq_enrol_request_encode(const struct smq_enrol_request *r, smq_mspan room, size_t *ret_len);
/* What a signed document holds. The spans point into bytes. */
SMQ_MUST_USE smq_err smq_enrol_request_decode(smq_span bytes, struct smq_enrol_request *ret_request);

struct smq_enrol_answer {
	enum smq_enrol_outcome outcome;
	smq_span certificates; /* PEM, the end entity first */
	smq_span settings;     /* realm.yaml; of first answers */
};
/* key: of the token (may be NULL: no MAC); request_hash: SHA-256 of the whole request. */
SMQ_MUST_USE smq_err smq_enrol_answer_encode(const struct smq_enrol_answer *a, const struct smq_crypto *crypto,
					     const uint8_t *key, const uint8_t request_hash[SMQ_HASH_LEN],
					     smq_mspan room, size_t *ret_len);
/* With a key the MAC must be right: SMQ_ERR_OPEN. A refusal needs none, and proves nothing. */
SMQ_MUST_USE smq_err smq_enrol_answer_decode(smq_span bytes, const struct smq_crypto *crypto, const uint8_t *key,
					     const uint8_t request_hash[SMQ_HASH_LEN],
					     struct smq_enrol_answer *ret_answer);

#endif
