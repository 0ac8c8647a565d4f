/*
 * One request to the key server and its answer (PROTOCOL.md 7.2): an EDHOC run whose exporter keys the two.
 *
 *     asker                                  key server
 *     message_1                 ---------->
 *                               <----------  message_2
 *     message_3, REQUEST        ---------->
 *                               <----------  message_4, ANSWER (perhaps a while later)
 *
 * All of them in envelopes (wire/keyex.h). Nothing is asked of anybody whose certificate has not the role of a key
 * server. The owner gives up by time and starts again: every request is idempotent.
 *
 * With a registered key (own->registered, PROTOCOL.md 7.8) the method is 3, and the key server answers by the kid of
 * its certificate; where `credentials` does not know that, it is asked anew at once, by method 2, for the certificate
 * by value.
 */
#ifndef SMQ_CORE_KS_ASKER_H
#define SMQ_CORE_KS_ASKER_H

#include "core/edhoc_machine.h"
#include "wire/keyex.h"
#include "wire/ks_answer.h"

struct smq_ks_asker_config {
	const struct smq_crypto *crypto;
	const struct smq_random *random;
	const struct smq_credentials *credentials;
	const struct smq_own_credential *own;
	const char *name;      /* ours, as in our certificate */
	const char *keyserver; /* its certified name; NULL: whoever has the role */
	int method;            /* EDHOC method; 0. Not looked at with a registered key */
	const int *suites;
	size_t suite_count;
};

enum smq_ks_asker_state { SMQ_KS_ASKER_IDLE, SMQ_KS_ASKER_ASKING, SMQ_KS_ASKER_ANSWERED, SMQ_KS_ASKER_FAILED };

struct smq_ks_asker {
	const struct smq_ks_asker_config *config;
	enum smq_ks_asker_state state;
	struct smq_edhoc_config edhoc_config;
	struct smq_edhoc edhoc;
	uint8_t id[SMQ_KEY_ID_LEN];          /* ours (C_I) */
	uint8_t peer_id[SMQ_KEY_ID_LEN];     /* the key server's (C_R) */
	struct smq_edhoc_suites peer_suites; /* what the key server said that it supports; kept over starts */
	bool by_value; /* its kid was not known: its certificate is wanted, until an answer has come */
	uint8_t body[SMQ_EDHOC_MESSAGE_MAX];
};

/* Room for an envelope of either kind: with an EDHOC message, and with a request or answer of len bytes. */
enum { SMQ_KS_ENVELOPE_HEAD = 256, SMQ_KS_EDHOC_ROOM = SMQ_EDHOC_MESSAGE_MAX + SMQ_KS_ENVELOPE_HEAD };
#define SMQ_KS_SEALED_ROOM(len) ((len) + SMQ_KS_ENVELOPE_HEAD)

/* Begins; writes the envelope with message_1. Whatever was under way is dropped. config is kept by pointer; a is zeroed
 * before the first start. */
SMQ_MUST_USE smq_err smq_ks_asker_start(struct smq_ks_asker *a, const struct smq_ks_asker_config *config,
					smq_mspan room, size_t *ret_len);
/*
 * Takes what came on the answers' topic. Two envelopes may be due then, one after the other: message_3 (ret_len[0])
 * in room[0] and the request (ret_len[1]) in room[1]; 0: none. Without a request, room[0] is another message_1 (see
 * above). request: in the clear (wire/ks_request.h).
 * SMQ_OK with state ANSWERED: *ret_answer is the answer in the clear, within answer_room. SMQ_ERR_NO_KEY: not for
 * this run, ignore it. Any other error: dropped; the run goes on unless state is FAILED.
 */
SMQ_MUST_USE smq_err smq_ks_asker_input(struct smq_ks_asker *a, smq_span payload, int64_t now_ms, smq_span request,
					const smq_mspan room[2], size_t ret_len[2], smq_mspan answer_room,
					smq_span *ret_answer);
/* The key server's certified name; valid in ANSWERED. */
const char *smq_ks_asker_server(const struct smq_ks_asker *a);
void smq_ks_asker_done(struct smq_ks_asker *a);

#endif
