/* The state directories of a realm directory: which one this process has, and what the others know. */
#ifndef SMQ_LIB_REALM_STATE_H
#define SMQ_LIB_REALM_STATE_H

#include "lib/realm_internal.h"

/* state: DIR/state. Takes over what readers that have ended left. SMQ_ERR_LOCKED: no place is left. */
SMQ_MUST_USE smq_err smq_state_open(const char *state, enum smq_state_use use, struct smq_store *ret_store);
/* As smq_realm_borrow. */
SMQ_MUST_USE smq_err smq_state_borrow(const char *state, const char *key, smq_mspan room, size_t *ret_len);
/* How many of those that a process has open, ours too, hold a membership of this name. */
size_t smq_state_held(const char *state, const char *key);
/* Each value whose name begins so, in all directories of readers and writers, whoever has them. */
void smq_state_each(const char *state, const char *prefix, void *self, void (*take)(void *self, smq_span value));

#endif
