/*
 * Gathers the digests of what one sender sealed under one key, and signs them together (PROTOCOL.md 3.9).
 *
 *     smq_seal_proven(sealer, ..., &proof, ...)         proof.covered and proof.wants_digest set
 *     if (!smq_proof_signer_fits(&s, &proof)) take      another key, a skipped counter, or k of them are there
 *     smq_proof_signer_add(&s, &proof, now)
 *     at smq_proof_signer_due:                          take, and publish what comes out
 */
#ifndef SMQ_CORE_PROOF_SIGNER_H
#define SMQ_CORE_PROOF_SIGNER_H

#include <sealmq/credential.h>

#include "core/seal.h"
#include "wire/checkpoint.h"

enum {
	SMQ_CHECKPOINT_MESSAGES = 32,   /* k, by default */
	SMQ_CHECKPOINT_GATHER_MS = 20,  /* ... and by default those that come faster than that, up to as many as fit */
	SMQ_CHECKPOINT_EVERY_MS = 2000, /* t, by default */
	SMQ_CHECKPOINT_EVERY_MIN_MS = 10,
	SMQ_CHECKPOINT_EVERY_MAX_MS = 60000 /* those who wait for proof do not wait for ever */
};

struct smq_proof_signer {
	const struct smq_own_credential *own;
	size_t messages;   /* as many as it takes, 1 to 256 */
	size_t enough;     /* k: from so many on it does not wait for every_ms, but for gather_ms at most */
	uint32_t gather_ms;
	uint32_t every_ms; /* t */
	uint8_t stream[SMQ_HASH_LEN];
	uint64_t first;
	size_t count;
	int64_t since_ms; /* mono: when the first of them was sealed */
	/* The payload: digests, and room for what precedes them. */
	uint8_t body[SMQ_CHECKPOINT_HEAD_MAX + SMQ_CHECKPOINT_MESSAGES_MAX * SMQ_HASH_LEN];
};

/* own outlives it. Zero takes the default. SMQ_ERR_CERT_USAGE: a key that cannot sign; SMQ_ERR_USAGE: out of range. */
SMQ_MUST_USE smq_err smq_proof_signer_init(struct smq_proof_signer *s, const struct smq_own_credential *own,
					   size_t messages, uint32_t every_ms);
bool smq_proof_signer_fits(const struct smq_proof_signer *s, const struct smq_seal_proof *proof);
/* SMQ_ERR_FULL where it does not fit. */
SMQ_MUST_USE smq_err smq_proof_signer_add(struct smq_proof_signer *s, const struct smq_seal_proof *proof,
					  int64_t mono_ms);
/* When a checkpoint is to be taken, in mono ms; INT64_MAX: nothing is there, INT64_MIN: it is full. */
int64_t smq_proof_signer_due(const struct smq_proof_signer *s);
/* Signs what is there and begins anew; room: SMQ_CHECKPOINT_MAX is always enough. SMQ_ERR_STATE: nothing is there.
 * On failure all is as before. */
SMQ_MUST_USE smq_err smq_proof_signer_take(struct smq_proof_signer *s, smq_mspan room, size_t *ret_len);

#endif
