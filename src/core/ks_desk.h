/*
 * The key server's end of requests (PROTOCOL.md 7.2): many EDHOC runs at a time in a bounded table, each of which ends
 * in one request of a proven identity, and one answer.
 *
 * Before a peer has shown that it agreed a key with us (message_3 opens), it costs us one signature of our own, at a
 * limited rate, and none to check; there is no answer to what is malformed. A full table drops the oldest run that has
 * not come that far.
 */
#ifndef SMQ_CORE_KS_DESK_H
#define SMQ_CORE_KS_DESK_H

#include <sealmq/member.h>

#include "core/edhoc_machine.h"
#include "wire/keyex.h"
#include "wire/ks_request.h"

struct smq_ks_desk_config {
	const struct smq_crypto *crypto;
	const struct smq_random *random;
	const struct smq_credentials *credentials;
	const struct smq_own_credential *own;
	/* Our key as a registered one (PROTOCOL.md 7.8), for those who ask to be answered by kid; NULL: none are. */
	const struct smq_own_credential *own_by_kid;
	const char *name;         /* ours */
	unsigned methods_allowed; /* bit n: EDHOC method n */
	const int *suites;
	size_t suite_count;
	size_t runs_max;         /* at most 65,536; 1,024 by default. About 11 kB each */
	uint32_t starts_per_s;   /* message_1 taken per second, all together; 2,000 by default */
	uint32_t run_timeout_ms; /* until the request is there; 10,000 by default */
	uint32_t hold_ms;        /* for which an answer may be late; 120,000 by default */
};

typedef struct smq_ks_desk smq_ks_desk;

/* A request that is complete. The pointers are valid until the next call. */
struct smq_ks_asked {
	uint64_t run; /* for smq_ks_desk_answer; 0: nothing was asked */
	const struct smq_credential *from;
	smq_span request; /* in the clear */
};

size_t smq_ks_desk_size(const struct smq_ks_desk_config *config);
SMQ_MUST_USE smq_err smq_ks_desk_init(void *memory, size_t len, const struct smq_ks_desk_config *config,
				      smq_ks_desk **ret_desk);
/*
 * Takes an envelope from the requests' topic of `from` (the topic's last level). *ret_len > 0: room (SMQ_KS_EDHOC_ROOM
 * of core/ks_asker.h) holds an envelope to publish on the answers' topic of `from`, whatever is returned. request_room
 * holds ret_asked->request: give SMQ_KS_REQUEST_MAX + 64 bytes. SMQ_ERR_RATE, SMQ_ERR_FULL, SMQ_ERR_NAME (topic and
 * envelope differ), or why it was dropped.
 */
SMQ_MUST_USE smq_err smq_ks_desk_input(smq_ks_desk *d, smq_span from, smq_span payload, struct smq_now now,
				       smq_mspan room, size_t *ret_len, smq_mspan request_room,
				       struct smq_ks_asked *ret_asked);
/* Seals the answer into an envelope for the run's peer (ret_to: its name, the last level of the answers' topic) and
 * ends the run. SMQ_ERR_NOT_FOUND: the run has gone; the peer will ask again. */
SMQ_MUST_USE smq_err smq_ks_desk_answer(smq_ks_desk *d, uint64_t run, smq_span answer, smq_mspan room, size_t *ret_len,
					char ret_to[SMQ_MEMBER_NAME_MAX + 1]);
/* Drops what is too old. */
void smq_ks_desk_tick(smq_ks_desk *d, struct smq_now now);
size_t smq_ks_desk_runs(const smq_ks_desk *d);
void smq_ks_desk_done(smq_ks_desk *d);

#endif
