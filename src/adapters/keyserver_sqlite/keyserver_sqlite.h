/*
 * The key server's store in an SQLite file (FORMATS.md 8): WAL, synchronous FULL, secrets encrypted under a master key,
 * an audit log whose lines hang together by hashes and whose end is signed.
 *
 * A lock file beside it keeps a second key server out; reading (a backup, audit verify) goes on beside a running one.
 */
#ifndef SMQ_ADAPTERS_KEYSERVER_SQLITE_KEYSERVER_SQLITE_H
#define SMQ_ADAPTERS_KEYSERVER_SQLITE_KEYSERVER_SQLITE_H

#include <stdbool.h>

#include <sealmq/credential.h>

#include "app/keyserver_store.h"

enum { SMQ_KS_MASTER_KEY_LEN = 32, SMQ_KS_SALT_LEN = 32, SMQ_KS_SOURCE_MAX = 1024 };

struct smq_keyserver_sqlite_config {
	const char *path;
	bool create;    /* make it; SMQ_ERR_EXISTS if it is there. Else SMQ_ERR_NOT_FOUND if it is not */
	bool only_read; /* no lock, nothing is changed */
	int pages_max;  /* of the file, 4 kB each; 0: as the disk has room */
	const struct smq_crypto *crypto;
	const struct smq_random *random;
	const struct smq_own_credential *own; /* signs the log's end; may be NULL with only_read */
	/* The master key, from whatever it comes from and the file's salt. */
	void *self;
	smq_err (*derive)(void *self, const uint8_t salt[SMQ_KS_SALT_LEN], uint8_t ret_key[SMQ_KS_MASTER_KEY_LEN]);
	/* Where the master key comes from: kept in the file, in the clear. With `create` derive fills it in, else it is
	 * there before derive is called; "" for none. SMQ_KS_SOURCE_MAX bytes; NULL: as "". */
	char *source;
	int64_t (*unix_ms)(void); /* for the log's times */
};

/* SMQ_ERR_OPEN: it is another master key's; those of opening a file. */
SMQ_MUST_USE smq_err smq_keyserver_sqlite_open(const struct smq_keyserver_sqlite_config *config,
					       struct smq_ks_store *ret_store);

/* A consistent copy of what is committed, while the key server may be running; mode 0600. SMQ_ERR_EXISTS. */
SMQ_MUST_USE smq_err smq_keyserver_sqlite_backup(const char *path, const char *to);

struct smq_ks_audit_line {
	uint64_t number; /* from 1 */
	int64_t time_ms;
	const char *what, *who, *group, *whom;
	smq_err outcome;
	uint8_t hash[SMQ_HASH_LEN];
};
struct smq_ks_audit_end {
	uint64_t lines;
	int64_t time_ms; /* of the signature */
	uint8_t hash[SMQ_HASH_LEN];
	char signer[SMQ_MEMBER_NAME_MAX + 1];
};
/*
 * Reads the whole log and checks it: every line's hash, no number missing, and the signed end, which must name the last
 * line. Needs no master key. SMQ_ERR_CORRUPT: a line was altered, taken out or put in, *ret_end.lines says after which;
 * SMQ_ERR_TRUNCATED: it ends before the signed end; SMQ_ERR_SIGNATURE, SMQ_ERR_CERT_*: the end is not the key
 * server's. take may be NULL.
 */
SMQ_MUST_USE smq_err smq_keyserver_sqlite_audit(const char *path, const struct smq_crypto *crypto,
						const struct smq_credentials *credentials, int64_t now_ms, void *self,
						void (*take)(void *self, const struct smq_ks_audit_line *line),
						struct smq_ks_audit_end *ret_end);

/* Whether damage is found in the file (SMQ_ERR_CORRUPT). The items' own tags are checked by reading them. */
SMQ_MUST_USE smq_err smq_keyserver_sqlite_check(const char *path);

#endif
