/*
 * The store port over another store, with writes that a thread of its own makes (put_behind): whoever must not wait for
 * a disk asks for a write before he needs it. Everything else goes straight to the store underneath.
 *
 * The thread is started by the first such write, and takes no signals. Of a value that waits behind an older one of
 * its key only the newer is written.
 */
#ifndef SMQ_ADAPTERS_STORE_BEHIND_H
#define SMQ_ADAPTERS_STORE_BEHIND_H

#include "app/store.h"

enum { SMQ_STORE_BEHIND_MAX = 256 }; /* values that wait; put_behind is SMQ_ERR_FULL beyond them */

/* ret_store owns under from here on: its free writes what waits, and frees under. The store underneath is used by two
 * threads, never for one key at a time. */
SMQ_MUST_USE smq_err smq_store_behind_new(const struct smq_store *under, struct smq_store *ret_store);

#endif
