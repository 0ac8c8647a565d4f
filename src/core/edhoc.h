/*
 * EDHOC (RFC 9528) as a machine: bytes in, bytes out; no socket, clock, allocation or randomness of its own.
 *
 *     initiator                            responder
 *     start -> message_1  ------------->   input
 *     input  <-------------  message_2  <- out
 *     out -> message_3    ------------->   input        responder: keys proven, DONE
 *     input  <-------------  message_4  <- out          initiator: keys confirmed, DONE
 *
 * Methods 0 to 3; suites 0, 1, 2, 3, 4, 5, 6. message_4 is always sent. Either side may answer with an error message
 * (RFC 9528, 6), which is written into the same room as the next message would be.
 *
 * Whoever can publish on the key-exchange topic can inject anything, so what is not proven to come from the other end
 * of this run does not end it: garbage, a replay, a message of another run, or an error message leaves the machine
 * where it was, and the genuine message is still taken afterwards. The caller gives up by time, and limits the rate:
 * a false message_2 costs a Diffie-Hellman, and at most one credential and one signature to check. FAILED, with every
 * secret wiped, follows
 *   - a start or accept that does not succeed,
 *   - a message_3 or message_4 that opens (so that its sender agreed this run's key) and then breaks a rule,
 *   - a message_2 whose proof verifies, where it then breaks a rule or our own answer to it cannot be made.
 * A failed machine answers SMQ_ERR_STATE. SMQ_ERR_NO_ROOM from smq_edhoc_input changes nothing: call it again with
 * more.
 *
 * The transcript and keys are those of RFC 9528, 4 and 5; both traces of RFC 9529 are tests. PROTOCOL.md 4.1.
 */
#ifndef SMQ_CORE_EDHOC_H
#define SMQ_CORE_EDHOC_H

#include <stdbool.h>

#include <sealmq/credential.h>
#include <sealmq/crypto.h>

#include "wire/edhoc_message.h" /* SMQ_EDHOC_MESSAGE_MAX and the other limits; struct smq_edhoc_suites */

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
	int method;               /* initiator: the one to propose. Responder: ignored, see methods_allowed */
	unsigned methods_allowed; /* responder: bit n set if method n is acceptable */
	/* In order of preference, at most SMQ_EDHOC_SUITES_MAX. Those that our own key cannot serve are passed over. */
	const int *suites;
	size_t suite_count;
	/* Initiator: what an earlier run's error message said that the peer supports (smq_edhoc_peer_suites); count 0
	 * if there was none, and the first of suites is proposed. It is only a hint: a false one cannot talk both sides
	 * down, because the responder refuses where it supports one that we prefer. */
	struct smq_edhoc_suites peer_suites;
	bool own_by_hash; /* send id_cred_short instead of id_cred_full */
	smq_span expect;  /* the certified name that the peer must have, else SMQ_ERR_CERT_NAME; empty: any */
	/* External authorization data per message, as encoded EAD items; empty spans for none. */
	smq_span ead[5]; /* index 1..4 */
	/* Labels (positive) of the critical EAD items that the caller understands; any other is refused with
	 * SMQ_ERR_UNSUPPORTED (RFC 9528, 3.8). */
	const int *ead_known;
	size_t ead_known_count;
};

struct smq_edhoc; /* defined in core/edhoc_machine.h: callers embed it, only edhoc.c looks inside */

/* Starts a run as initiator and writes message_1. cid: our connection identifier, 1 to 8 bytes (as C_I, encoded
 * as a one-byte CBOR integer where RFC 9528, 3.3.2 says so). The config is kept by pointer until the run ends.
 * Whatever run was in e is wiped; e need not be initialised. SMQ_ERR_USAGE: a config that cannot be meant;
 * SMQ_ERR_ALGORITHM: no suite that method, own key and peer_suites allow. */
SMQ_MUST_USE smq_err smq_edhoc_start(struct smq_edhoc *e, const struct smq_edhoc_config *config, smq_span cid,
				     smq_mspan room, size_t *ret_len);

/* Takes message_1 as responder and writes message_2. cid: our C_R. As with smq_edhoc_input, *ret_len > 0 on failure
 * is an error message to send: method or suite not acceptable (SMQ_ERR_ALGORITHM). A malformed message_1, or one with
 * a bad point, is met with silence. */
SMQ_MUST_USE smq_err smq_edhoc_accept(struct smq_edhoc *e, const struct smq_edhoc_config *config, smq_span cid,
				      smq_span message_1, int64_t now_ms, smq_mspan room, size_t *ret_len);

/*
 * Takes the next message of a run. *ret_len is always set; > 0: send what was written, whatever the return code (on an
 * error it is an EDHOC error message). message and room must not overlap. Whether the run goes on after an error,
 * smq_edhoc_state tells.
 * SMQ_ERR_PEER_REFUSED: somebody, perhaps the peer, sent an error message: see smq_edhoc_peer_error.
 * SMQ_ERR_CREDENTIAL: the peer named a credential that is not known here (it is told, code 3).
 * SMQ_ERR_CERT_*: its credential is refused. SMQ_ERR_SIGNATURE, SMQ_ERR_OPEN: its proof or message does not verify.
 */
SMQ_MUST_USE smq_err smq_edhoc_input(struct smq_edhoc *e, smq_span message, int64_t now_ms, smq_mspan room,
				     size_t *ret_len);

enum smq_edhoc_state smq_edhoc_state(const struct smq_edhoc *e);
/* Keys may be exported from WAIT_4 (initiator) or DONE on. EDHOC_Exporter (RFC 9528, 4.2.1). */
SMQ_MUST_USE smq_err smq_edhoc_export(const struct smq_edhoc *e, uint64_t label, smq_span context, smq_mspan ret_key);
/* EDHOC_KeyUpdate (RFC 9528, appendix H), in DONE: what is exported from now on is new, what was before is gone. */
SMQ_MUST_USE smq_err smq_edhoc_key_update(struct smq_edhoc *e, smq_span context);
/* The peer's credential; valid from message_2 (initiator) or message_3 (responder) on, else NULL. */
const struct smq_credential *smq_edhoc_peer(const struct smq_edhoc *e);
/* Valid from message_1 (responder) or message_2 (initiator) on, else empty. Not proven before DONE at the responder. */
smq_span smq_edhoc_peer_cid(const struct smq_edhoc *e);
/* EAD items that came with message n (1..4), encoded; empty if none. EAD_1 is not proven before DONE. */
smq_span smq_edhoc_peer_ead(const struct smq_edhoc *e, int n);
/* Code of the last error message that came (RFC 9528, 6): 1, 2 (suite: propose another, see peer_suites), 3 (it does
 * not know our credential: send it in full); 0 for none. Error messages are proven by nobody. */
int smq_edhoc_peer_error(const struct smq_edhoc *e);
/* SUITES_R of an error message with code 2; count is 0 where none came. To copy into the config of the next start. */
const struct smq_edhoc_suites *smq_edhoc_peer_suites(const struct smq_edhoc *e);
int smq_edhoc_suite(const struct smq_edhoc *e); /* -1 before there is one */
int smq_edhoc_method(const struct smq_edhoc *e);
/* Wipes everything. Safe on a zeroed or failed machine. */
void smq_edhoc_done(struct smq_edhoc *e);

#endif
