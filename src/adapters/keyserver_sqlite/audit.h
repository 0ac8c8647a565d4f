/* The audit log's tables inside the key server's file. */
#ifndef SMQ_ADAPTERS_KEYSERVER_SQLITE_AUDIT_H
#define SMQ_ADAPTERS_KEYSERVER_SQLITE_AUDIT_H

#include <sqlite3.h>

#include "adapters/keyserver_sqlite/keyserver_sqlite.h"

#define SMQ_KS_AUDIT_KIND "sealmq1 audit"

struct smq_ks_audit {
	sqlite3 *db;
	const struct smq_crypto *crypto;
	uint64_t lines;
	uint8_t hash[SMQ_HASH_LEN]; /* of the last line; zero where there is none */
	bool moved;                 /* since the end was signed */
};

/* Where the log ends. */
SMQ_MUST_USE smq_err smq_ks_audit_open(struct smq_ks_audit *a, sqlite3 *db, const struct smq_crypto *crypto);
SMQ_MUST_USE smq_err smq_ks_audit_append(struct smq_ks_audit *a, struct smq_ks_audit_line *line);
/* Signs the end, if it moved; within the transaction. */
SMQ_MUST_USE smq_err smq_ks_audit_seal(struct smq_ks_audit *a, const struct smq_own_credential *own, int64_t now_ms);

#endif
