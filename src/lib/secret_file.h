/* Files that hold a secret: read only where nobody else could have read or replaced them, written whole or not at
 * all (FORMATS.md, preamble). */
#ifndef SMQ_LIB_SECRET_FILE_H
#define SMQ_LIB_SECRET_FILE_H

#include <sealmq/err.h>
#include <sealmq/span.h>

/* Reads the whole file. SMQ_ERR_NOT_FOUND, _PERMISSION, _UNSAFE_FILE (a symlink, no plain file, somebody else's, or any
 * access for group or others), _TOO_LARGE (longer than room), _IO. */
SMQ_MUST_USE smq_err smq_secret_file_read(const char *path, smq_mspan room, size_t *ret_len);
/* Writes a new file of mode 0600: temporary name, fsync, link in place, fsync of the directory. SMQ_ERR_EXISTS where
 * one is there and replace is 0; _NOT_FOUND (no such directory), _PERMISSION, _DISK_FULL, _IO. */
SMQ_MUST_USE smq_err smq_secret_file_write(const char *path, smq_span bytes, int replace);

#endif
