/* Files that hold a secret, written whole or not at all (FORMATS.md, preamble); smq_file_read reads them. */
#ifndef SMQ_LIB_SECRET_FILE_H
#define SMQ_LIB_SECRET_FILE_H

#include <sealmq/err.h>
#include <sealmq/span.h>

/* Writes a new file of mode 0600: temporary name, fsync, link in place, fsync of the directory. SMQ_ERR_EXISTS where
 * one is there and replace is 0; _NOT_FOUND (no such directory), _PERMISSION, _DISK_FULL, _IO. */
SMQ_MUST_USE smq_err smq_secret_file_write(const char *path, smq_span bytes, int replace);

#endif
