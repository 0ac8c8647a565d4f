/*
 * The store port in a directory of small files (doc/FORMATS.md, "State directory").
 *
 * A value is written to a new file, synced, renamed over the old one, and the directory is synced; then the old
 * value's bytes are overwritten where the file system allows it. put and remove are durable when they return.
 */
#ifndef SMQ_ADAPTERS_STORE_FILES_H
#define SMQ_ADAPTERS_STORE_FILES_H

#include "app/store.h"

/*
 * Opens dir, created with mode 0700 if it is not there (its parent must be), and holds its lock until free.
 * SMQ_ERR_LOCKED: another process, or this one a second time, has it open.
 * SMQ_ERR_UNSAFE_FILE: dir or a value is a symlink, somebody else's, or open to others.
 * Keys: [a-z0-9_-.]{1,80}, not beginning with a dot; others are SMQ_ERR_USAGE.
 */
SMQ_MUST_USE smq_err smq_store_files_new(const char *dir, struct smq_store *ret_store);

#endif
