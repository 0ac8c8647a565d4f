/*
 * The record store port in a PostgreSQL database (FORMATS.md 7): rows are gathered in memory and go in with COPY, one
 * transaction for each commit.
 */
#ifndef SMQ_ADAPTERS_RECORDS_POSTGRES_RECORDS_POSTGRES_H
#define SMQ_ADAPTERS_RECORDS_POSTGRES_RECORDS_POSTGRES_H

#include "app/record_store.h"

/*
 * url: as libpq takes it; a password belongs in ~/.pgpass or PGPASSFILE. writes: migrates where needed. A connection
 * that is lost is made again at the next call; what was not committed fails. ret_why (why_len bytes) gets the
 * database's words, without the password. SMQ_ERR_NO_CONNECTION, SMQ_ERR_NOT_AUTHORIZED, SMQ_ERR_VERSION,
 * SMQ_ERR_STORE.
 */
SMQ_MUST_USE smq_err smq_records_postgres_open(const char *url, bool writes, struct smq_record_store *ret_store,
					       char *ret_why, size_t why_len);

/* What its connection was made with, and will be made anew with: libpq's settings that have a value. */
void smq_records_postgres_settings(const struct smq_record_store *store, void *self,
				   void (*take)(void *self, const char *name, const char *value));

#endif
