/*
 * The checkpoint on the wire (PROTOCOL.md 3.9): one signature over the digests of a run of messages.
 *
 * A tagged COSE_Sign1 (RFC 9052, 4.2) in deterministic CBOR:
 *
 *     18([ << { 1: alg, label: credential } >>, {}, << [ stream, first, digests ] >>, signature ])
 *
 * label and credential are those of ID_CRED_x: 34 x5t, or 4 kid. stream is the context digest of the key that the
 * messages were sealed under, first the counter of the first one, digests 32 bytes for each, counters rising by one.
 */
#ifndef SMQ_WIRE_CHECKPOINT_H
#define SMQ_WIRE_CHECKPOINT_H

#include <sealmq/credential.h>
#include <sealmq/crypto.h>

enum {
	SMQ_CHECKPOINT_MESSAGES_MAX = 256,
	SMQ_CHECKPOINT_ID_CRED_MAX = 72, /* a hash or a kid; never a certificate by value */
	SMQ_CHECKPOINT_HEAD_MAX = 160,   /* all but digests and signature */
	SMQ_CHECKPOINT_MAX = SMQ_CHECKPOINT_HEAD_MAX + SMQ_CHECKPOINT_MESSAGES_MAX * SMQ_HASH_LEN + SMQ_SIG_LEN
};

struct smq_checkpoint {
	enum smq_sig_id alg;
	smq_span id_cred; /* encoding: as ID_CRED_x, a map of one. Decoding: points into ret_id_cred */
	uint8_t stream[SMQ_HASH_LEN];
	uint64_t first;
	smq_span digests; /* count * 32 bytes; a view */
	size_t count;     /* 1 to 256 */
};

/* What is signed: the Sig_structure's bytes before the payload, and the payload; both views. */
struct smq_checkpoint_signed {
	uint8_t head[SMQ_CHECKPOINT_HEAD_MAX];
	size_t head_len;
	smq_span payload;
};

/* Everything but the signature, whose 64 bytes follow what was written. *ret_signed points into room. */
SMQ_MUST_USE smq_err smq_checkpoint_encode(const struct smq_checkpoint *c, smq_mspan room, size_t *ret_len,
					   struct smq_checkpoint_signed *ret_signed);
/* The views point into bytes, id_cred into ret_id_cred. *ret_signature: 64 bytes, a view. */
SMQ_MUST_USE smq_err smq_checkpoint_decode(smq_span bytes, uint8_t ret_id_cred[SMQ_CHECKPOINT_ID_CRED_MAX],
					   struct smq_checkpoint *ret_checkpoint,
					   struct smq_checkpoint_signed *ret_signed, smq_span *ret_signature);

#endif
