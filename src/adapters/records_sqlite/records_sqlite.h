/*
 * The record store port in an SQLite file (FORMATS.md 7): WAL, synchronous FULL, one transaction for each commit.
 */
#ifndef SMQ_ADAPTERS_RECORDS_SQLITE_RECORDS_SQLITE_H
#define SMQ_ADAPTERS_RECORDS_SQLITE_RECORDS_SQLITE_H

#include "app/record_store.h"

/*
 * writes: made with mode 0600 where it is not there, migrated where it is older. Else it must be there
 * (SMQ_ERR_NOT_FOUND) and only answers queries. SMQ_ERR_VERSION: made by a newer build; SMQ_ERR_CORRUPT: not such a
 * file; SMQ_ERR_UNSAFE_FILE.
 */
SMQ_MUST_USE smq_err smq_records_sqlite_open(const char *path, bool writes, struct smq_record_store *ret_store);

#endif
