/* A process's memory, kept to itself. */
#ifndef SMQ_ADAPTERS_CONFINE_SECCOMP_MEMORY_H
#define SMQ_ADAPTERS_CONFINE_SECCOMP_MEMORY_H

#include <stdbool.h>

#include <sealmq/err.h>

/* Not dumpable, no core; what can be written is out of dumps, and locked as far as the limit goes. */
SMQ_MUST_USE smq_err smq_memory_fence(bool *ret_locked);

#endif
