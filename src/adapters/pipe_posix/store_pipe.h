/*
 * The key server's store port over a channel: here the signer's end, which asks.
 *
 * The other end (store_desk.h) has the database. What goes wrong with the channel is SMQ_ERR_STORE for whoever asked;
 * the channel is of no use after it, and smq_store_pipe_lost says so.
 */
#ifndef SMQ_ADAPTERS_PIPE_POSIX_STORE_PIPE_H
#define SMQ_ADAPTERS_PIPE_POSIX_STORE_PIPE_H

#include <stdbool.h>

#include <sealmq/crypto.h>

#include "app/keyserver_store.h"

/*
 * signer signs the end of the audit log, which is all that it is asked to sign here: Sig_structures (RFC 9052, 4.4) of
 * audit_kind. The descriptor is not owned, the signer outlives the store.
 */
SMQ_MUST_USE smq_err smq_store_pipe_open(int fd, const struct smq_signer *signer, const char *audit_kind,
					 struct smq_ks_store *ret_store);
bool smq_store_pipe_lost(const struct smq_ks_store *store);

#endif
