/*
 * Proof of the sender: how a member signs what it seals (PROTOCOL.md 3.9).
 *
 * Without it a group's key proves membership only: whoever holds the key could
 * have sealed a message. A signature proves the sender to everybody who can
 * open the message, and later to a third party.
 */
#ifndef SEALMQ_PROOF_H
#define SEALMQ_PROOF_H

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
	SMQ_CHECK_NONE,  /* nothing: signed or not, a message is a member's */
	SMQ_CHECK_PROOF, /* all is delivered, with how it stands; what is open then, is told later (on_proof) */
	SMQ_CHECK_REQUIRE /* only what is proven is delivered, once it is; the rest is refused */
};

#ifdef __cplusplus
}
#endif
#endif
