/*
 * Files of the realm and the CA: secrets read with care, everything written whole or not at all.
 *
 * Texts in ret_why (why_len bytes) say what is wrong with which file and what would be right; paths are escaped.
 */
#ifndef SMQ_LIB_FILES_H
#define SMQ_LIB_FILES_H

#include <stdbool.h>
#include <stdarg.h>
#include <sys/types.h>

#include <sealmq/err.h>
#include <sealmq/span.h>

#include "app/err_errno.h"

enum {
	SMQ_FILE_MAX = 262144,
	SMQ_CRL_FILE_MAX = 64 * 1048576, /* a million revoked certificates */
	SMQ_WHY_MAX = 512,
	SMQ_PATH_MAX = 4096
};

struct smq_file_bytes {
	uint8_t *p;
	size_t len;
};
/* Wipes before it frees. */
void smq_file_bytes_free(struct smq_file_bytes *bytes);

/* printf into why, with everything that is not printable escaped; returns err, so that it can end a function. */
__attribute__((format(printf, 4, 5))) smq_err smq_because(smq_err err, char *ret_why, size_t why_len,
							  const char *format, ...);

/* DIR/NAME. SMQ_ERR_TOO_LARGE if it does not fit. */
SMQ_MUST_USE smq_err smq_path_join(const char *dir, const char *name, char ret_path[SMQ_PATH_MAX]);
/* Whether something is there, be it a link that leads nowhere. */
bool smq_path_there(const char *path);
bool smq_dir_has(const char *dir, const char *name);

/* Where a file lies. SMQ_ERR_TOO_LARGE. */
SMQ_MUST_USE smq_err smq_path_dir(const char *path, char ret_dir[SMQ_PATH_MAX]);

/*
 * Reads a file of at most SMQ_FILE_MAX bytes. A secret one must be a regular file of ours (or root's), not a symlink,
 * and closed to group and others; any one must be writable by its owner and group at most. SMQ_ERR_UNSAFE_FILE.
 */
SMQ_MUST_USE smq_err smq_file_read(const char *path, bool secret, struct smq_file_bytes *ret_bytes, char *ret_why,
				   size_t why_len);

/* The same for DIR/NAME. */
SMQ_MUST_USE smq_err smq_dir_read(const char *dir, const char *name, bool secret, struct smq_file_bytes *ret_bytes,
				  char *ret_why, size_t why_len);

/* The same as the first for files that may be larger. */
SMQ_MUST_USE smq_err smq_file_read_most(const char *path, bool secret, size_t most, struct smq_file_bytes *ret_bytes,
					char *ret_why, size_t why_len);

/* The first line of a secret file, without its end. SMQ_ERR_USAGE: it is empty. */
SMQ_MUST_USE smq_err smq_passphrase_read(const char *path, struct smq_file_bytes *ret_passphrase, char *ret_why,
					 size_t why_len);

/*
 * A file that is there whole or not at all: temporary name, fsync, rename (or link, which refuses to replace:
 * SMQ_ERR_EXISTS), fsync of the directory. SMQ_ERR_NOT_FOUND (no such directory), _PERMISSION, _DISK_FULL, _IO.
 */
SMQ_MUST_USE smq_err smq_file_put(const char *path, smq_span bytes, mode_t mode, bool replace, char *ret_why,
				  size_t why_len);

/* Writes a new file and syncs it. SMQ_ERR_EXISTS; a file that could not be finished is removed. */
SMQ_MUST_USE smq_err smq_file_create(const char *path, smq_span bytes, mode_t mode, char *ret_why, size_t why_len);

/* The same without the sync: for many files, which are synced together before any of them counts. */
SMQ_MUST_USE smq_err smq_file_create_unsynced(const char *path, smq_span bytes, mode_t mode, char *ret_why,
					      size_t why_len);

/* Syncs a directory, so that the names in it survive a power cut. */
SMQ_MUST_USE smq_err smq_dir_sync(const char *path);

/* Removes a directory of plain files and, two levels deep, such directories. What is not there is no failure. */
void smq_dir_remove(const char *path);

#endif
