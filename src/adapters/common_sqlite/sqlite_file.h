/*
 * An SQLite file of ours: made safely, opened, and known by its application id. What all our SQLite adapters share.
 * Whoever opens one has loaded SQLite.
 */
#ifndef SMQ_ADAPTERS_COMMON_SQLITE_SQLITE_FILE_H
#define SMQ_ADAPTERS_COMMON_SQLITE_SQLITE_FILE_H

#include <sealmq/err.h>
#include <stdbool.h>
#include <stdint.h>

#include "adapters/common_sqlite/sqlite.h"

struct smq_sqlite_format {
	int64_t application_id, version;
	const char *schema;         /* makes an empty file one of ours, both numbers included */
	const char *const *pragmas; /* run at each opening, before anything else; NULL at the end */
};

/*
 * Makes the file with mode 0600 if it is not there and create is set (SMQ_ERR_NOT_FOUND otherwise).
 * SMQ_ERR_UNSAFE_FILE: a symlink, somebody else's, or open to others; SMQ_ERR_CORRUPT: not a file of this format;
 * SMQ_ERR_VERSION: of another version; SMQ_ERR_LOCKED, SMQ_ERR_DISK_FULL, SMQ_ERR_PERMISSION, SMQ_ERR_IO.
 */
SMQ_MUST_USE smq_err smq_sqlite_open(const char *path, bool create, const struct smq_sqlite_format *format,
				     sqlite3 **ret_db);
/* What a result code of SQLite means; SMQ_OK for OK, ROW and DONE. */
smq_err smq_sqlite_err(sqlite3 *db, int rc);
SMQ_MUST_USE smq_err smq_sqlite_exec(sqlite3 *db, const char *text);
/* The one number that a query answers. */
SMQ_MUST_USE smq_err smq_sqlite_number(sqlite3 *db, const char *text, int64_t *ret_number);
/* PRAGMA quick_check: SMQ_ERR_CORRUPT where the file is damaged. */
SMQ_MUST_USE smq_err smq_sqlite_check(sqlite3 *db);

#endif
