/*
 * What a recorder left behind as provisional when it ended, and a stored checkpoint has covered since: proven now.
 * Only where evidence is kept is there a key to tell by.
 */
#ifndef SMQ_APP_RECORD_SETTLE_H
#define SMQ_APP_RECORD_SETTLE_H

#include <sealmq/crypto.h>

#include "app/record_store.h"

/* Messages received before before_ms; with nothing gathered in the store. *ret_settled: so many are proven now, and
 * durably; *ret_left: so many stay provisional, for there is no checkpoint that names them. */
SMQ_MUST_USE smq_err smq_record_settle(struct smq_record_store *store, const struct smq_crypto *crypto,
				       int64_t before_ms, uint64_t *ret_settled, uint64_t *ret_left);

#endif
