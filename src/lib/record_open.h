/* Opening the record store that a text names: an SQLite file, or postgres://... */
#ifndef SMQ_LIB_RECORD_OPEN_H
#define SMQ_LIB_RECORD_OPEN_H

#include "app/record_store.h"

/* A URL may hold a password: it is never shown. *ret_why (may be NULL): valid until the next call in this thread. */
SMQ_MUST_USE smq_err smq_record_store_open(const char *store, bool writes, struct smq_record_store *ret_store,
					   const char **ret_why);

#endif
