/*
 * Proof of the sender: how a member signs what it seals (PROTOCOL.md 3.9).
 *
 * Without it a group's key proves membership only: whoever holds the key could
 * have sealed a message. A signature proves the sender to everybody who can
 * open the message, and later to a third party.
 */
#ifndef SEALMQ_PROOF_H
#define SEALMQ_PROOF_H

#include <stdbool.h>

#include <sealmq/span.h>

#ifdef __cplusplus
extern "C" {
#endif

enum smq_sign {
	SMQ_SIGN_NONE,
	SMQ_SIGN_EVERY,     /* a signature on each message, 64 bytes more: for commands */
	SMQ_SIGN_CHECKPOINT /* one signature over the digests of the last messages: for telemetry */
};

/* What a receiver makes of it. */
enum smq_check {
	SMQ_CHECK_NONE,   /* nothing: signed or not, a message is a member's */
	SMQ_CHECK_PROOF,  /* all is delivered, with how it stands; what is open then, is told later (on_proof) */
	SMQ_CHECK_REQUIRE /* only what is proven is delivered, once it is; the rest is refused */
};

/*
 * What a third party needs besides the message to verify it (PROTOCOL.md 3.10), for whoever keeps evidence; only with
 * options.evidence, and only of messages of a group. key opens every message of this sender's life and epoch: a secret.
 */
struct smq_evidence {
	const uint8_t *stream; /* the context digest, 32 bytes */
	smq_span context;      /* what key and digest are bound to, as CBOR (PROTOCOL.md 3.4); empty with on_proof */
	smq_span key, base_iv;
	bool has_stamp;
	uint32_t stamp;
	const uint8_t *signature;   /* 64 bytes; NULL: a checkpoint covers the message */
	const uint8_t *certificate; /* whose it is: SHA-256 of its DER; NULL: not known (yet) */
};

/* Words that prove others, as they were heard and verified. */
enum smq_witness_kind {
	SMQ_WITNESS_CERTIFICATE, /* bytes: ID_CRED_x by value (PROTOCOL.md 2.3) */
	SMQ_WITNESS_CHECKPOINT   /* bytes: the signed document (PROTOCOL.md 3.9) */
};
struct smq_witness {
	enum smq_witness_kind kind;
	const char *name;           /* of the member */
	const uint8_t *certificate; /* SHA-256 of its DER */
	smq_span bytes;
	const uint8_t *stream; /* of a checkpoint: which key, and which counters */
	uint64_t first, count;
};

#ifdef __cplusplus
}
#endif
#endif
