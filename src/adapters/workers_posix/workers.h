/* The workers port over POSIX threads: so many of them, and one list of work under one lock. */
#ifndef SMQ_ADAPTERS_WORKERS_POSIX_H
#define SMQ_ADAPTERS_WORKERS_POSIX_H

#include <sealmq/err.h>

#include "app/workers.h"

enum { SMQ_WORKERS_MAX = 256 };

/* Threads besides the caller's, 1 to SMQ_WORKERS_MAX; they take no signals. They are started with the first work, with
 * the rights that the caller has then; fewer than asked for, or none, is no failure. SMQ_ERR_NO_MEMORY. */
SMQ_MUST_USE smq_err smq_workers_new(size_t threads, struct smq_workers *ret_workers);
/* How many processors this process may use; at least 1. */
size_t smq_workers_processors(void);

#endif
