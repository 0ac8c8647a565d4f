/*
 * The key server's store port over a channel: the end that has the database, and serves whoever asks.
 */
#ifndef SMQ_ADAPTERS_PIPE_POSIX_STORE_DESK_H
#define SMQ_ADAPTERS_PIPE_POSIX_STORE_DESK_H

#include <stdbool.h>

#include <sealmq/crypto.h>

#include "adapters/pipe_posix/channel.h"
#include "app/keyserver_store.h"

struct smq_store_desk {
	struct smq_channel channel;
	bool open; /* a transaction */
	bool may_sign;
	uint8_t *room; /* of a value */
};

SMQ_MUST_USE smq_err smq_store_desk_init(struct smq_store_desk *d, int fd);
void smq_store_desk_done(struct smq_store_desk *d);

/* A signer that asks the other end to sign, while a commit is served; for whom the database is opened with. */
struct smq_signer smq_store_desk_signer(struct smq_store_desk *d, enum smq_sig_id alg);

/*
 * Serves until the other end is gone: SMQ_OK. What is malformed, or out of turn, ends the conversation:
 * SMQ_ERR_MALFORMED, SMQ_ERR_STATE. A transaction that is open is undone.
 */
SMQ_MUST_USE smq_err smq_store_desk_serve(struct smq_store_desk *d, const struct smq_ks_store *store);

#endif
