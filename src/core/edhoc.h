/*
 * EDHOC (RFC 9528) as a machine: bytes in, bytes out; no socket, clock, allocation or randomness of its own.
 *
 *     initiator                            responder
 *     start -> message_1  ------------->   input
 *     input  <-------------  message_2  <- out
 *     out -> message_3    ------------->   input        responder: keys proven, DONE
 *     input  <-------------  message_4  <- out          initiator: keys confirmed, DONE
 *
 * Methods 0 to 3; suites 0, 1, 2, 3, 4, 5, 6. Either side may answer with an error message
 * (RFC 9528, 6), which input writes into the same room and announces by its return code.
 * Every failure moves the machine to FAILED and wipes it; a failed machine answers SMQ_ERR_STATE.
 * The transcript and keys are those of RFC 9528, 4 and 5; both traces of RFC 9529 are tests.
 */
#ifndef SMQ_CORE_EDHOC_H
#define SMQ_CORE_EDHOC_H

#include <stdbool.h>

#include <sealmq/credential.h>
#include <sealmq/crypto.h>

enum {
	SMQ_EDHOC_MESSAGE_MAX = 8192, /* no message is longer; longer input is SMQ_ERR_TOO_LARGE */
	SMQ_EDHOC_CID_MAX = 8,
	SMQ_EDHOC_EAD_MAX = 1024, /* sum of the items in one message */
	SMQ_EDHOC_SUITES_MAX = 8
};

enum smq_edhoc_state {
	SMQ_EDHOC_IDLE,
	SMQ_EDHOC_WAIT_2, /* initiator, message_1 sent */
	SMQ_EDHOC_WAIT_3, /* responder, message_2 sent */
	SMQ_EDHOC_WAIT_4, /* initiator, message_3 sent: keys are there, not confirmed */
	SMQ_EDHOC_DONE,
	SMQ_EDHOC_FAILED
};

struct smq_edhoc_config {
	const struct smq_crypto *crypto;
	const struct smq_random *random;
	const struct smq_credentials *credentials;
	const struct smq_own_credential *own;
	int method;          /* initiator: the one to propose. Responder: ignored, see methods_allowed */
	unsigned methods_allowed; /* responder: bit n set if method n is acceptable */
	const int *suites;   /* in order of preference; the responder accepts these */
	size_t suite_count;
	bool own_by_hash;    /* send id_cred_short instead of id_cred_full */
	/* External authorization data per message, as encoded EAD items; empty spans for none. */
	smq_span ead[5]; /* index 1..4 */
};

struct smq_edhoc; /* defined in core/edhoc_machine.h: callers embed it, only edhoc.c looks inside */

/* Starts a run as initiator and writes message_1. cid: our connection identifier, 1 to 8 bytes (as C_I, encoded
 * as a one-byte CBOR integer where RFC 9528, 3.3.2 says so). The config is kept by pointer until the run ends. */
SMQ_MUST_USE smq_err smq_edhoc_start(struct smq_edhoc *e, const struct smq_edhoc_config *config, smq_span cid,
				     smq_mspan room, size_t *ret_len);

/* Takes message_1 as responder and writes message_2 (or an error message). cid: our C_R. */
SMQ_MUST_USE smq_err smq_edhoc_accept(struct smq_edhoc *e, const struct smq_edhoc_config *config, smq_span cid,
				      smq_span message_1, int64_t now_ms, smq_mspan room, size_t *ret_len);

/*
 * Takes the next message of a run. *ret_len > 0: send what was written, whatever the return code (on an error it
 * is an EDHOC error message). SMQ_ERR_PEER_REFUSED: the peer sent an error message, see smq_edhoc_peer_error.
 */
SMQ_MUST_USE smq_err smq_edhoc_input(struct smq_edhoc *e, smq_span message, int64_t now_ms, smq_mspan room,
				     size_t *ret_len);

enum smq_edhoc_state smq_edhoc_state(const struct smq_edhoc *e);
/* Keys may be exported from WAIT_4 (initiator) or DONE on. EDHOC_Exporter (RFC 9528, 4.2.1). */
SMQ_MUST_USE smq_err smq_edhoc_export(const struct smq_edhoc *e, uint64_t label, smq_span context, smq_mspan ret_key);
/* The peer's credential; valid from message_2 (initiator) or message_3 (responder) on, else NULL. */
const struct smq_credential *smq_edhoc_peer(const struct smq_edhoc *e);
smq_span smq_edhoc_peer_cid(const struct smq_edhoc *e);
/* EAD items that came with message n (1..4), encoded; empty if none. */
smq_span smq_edhoc_peer_ead(const struct smq_edhoc *e, int n);
/* Code of the error message that the peer sent (RFC 9528, 6): 1, 2 (suite), 3 (unknown credential); 0 for none. */
int smq_edhoc_peer_error(const struct smq_edhoc *e);
int smq_edhoc_suite(const struct smq_edhoc *e);
int smq_edhoc_method(const struct smq_edhoc *e);
/* Wipes everything. Safe on a zeroed or failed machine. */
void smq_edhoc_done(struct smq_edhoc *e);

#endif
