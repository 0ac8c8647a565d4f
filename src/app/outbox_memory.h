/* The outbox port in memory: bounded, gone with the process, wiped when it goes. */
#ifndef SMQ_APP_OUTBOX_MEMORY_H
#define SMQ_APP_OUTBOX_MEMORY_H

#include "app/outbox.h"

/* append answers SMQ_ERR_FULL once count_max messages wait. The caller ends it with ret->free(ret->self). */
SMQ_MUST_USE smq_err smq_outbox_memory_new(size_t count_max, struct smq_outbox *ret_outbox);

#endif
