/*
 * The checkpoint on the wire (PROTOCOL.md 3.9): a document (wire/sign1.h) with the digests of a run of messages.
 *
 *     payload = [ stream : bstr .size 32, first, digests : bstr ]
 *
 * stream is the context digest of the key that the messages were sealed under, first the counter of the first one,
 * digests 32 bytes for each, counters rising by one.
 */
#ifndef SMQ_WIRE_CHECKPOINT_H
#define SMQ_WIRE_CHECKPOINT_H

#include "wire/sign1.h"

#define SMQ_CHECKPOINT_KIND "sealmq1 checkpoint"

enum {
	SMQ_CHECKPOINT_MESSAGES_MAX = 256,
	SMQ_CHECKPOINT_HEAD_MAX = 1 + 2 + SMQ_HASH_LEN + 9 + 3,
	SMQ_CHECKPOINT_MAX =
	    SMQ_CHECKPOINT_HEAD_MAX + SMQ_CHECKPOINT_MESSAGES_MAX * SMQ_HASH_LEN + SMQ_SIGN1_OVERHEAD_MAX
};

struct smq_checkpoint {
	uint8_t stream[SMQ_HASH_LEN];
	uint64_t first;
	smq_span digests; /* 32 bytes for each of 1 to 256 messages; a view */
};

/* The payload up to the digests' bytes, which end it. */
SMQ_MUST_USE smq_err smq_checkpoint_encode_head(const struct smq_checkpoint *c, smq_mspan room, size_t *ret_len);
SMQ_MUST_USE smq_err smq_checkpoint_decode(smq_span payload, struct smq_checkpoint *ret_checkpoint);

#endif
