/*
 * The store port in a directory of small files (doc/FORMATS.md, "State directory").
 *
 * A value is written to a new file, synced, renamed over the old one, and the directory is synced; then the old
 * value's bytes are overwritten where the file system allows it. put and remove are durable when they return.
 */
#ifndef SMQ_ADAPTERS_STORE_FILES_H
#define SMQ_ADAPTERS_STORE_FILES_H

#include <stdbool.h>

#include "app/store.h"

/*
 * Opens dir, created with mode 0700 if it is not there (its parent must be), and holds its lock until free.
 * SMQ_ERR_LOCKED: another process, or this one a second time, has it open.
 * SMQ_ERR_UNSAFE_FILE: dir or a value is a symlink, somebody else's, or open to others.
 * Keys: [a-z0-9_-.]{1,80}, not beginning with a dot; others are SMQ_ERR_USAGE.
 */
SMQ_MUST_USE smq_err smq_store_files_new(const char *dir, struct smq_store *ret_store);

enum { SMQ_STORE_FILES_VALUE_MAX = 32 * 1024 }; /* bytes; of what absorb takes over */

/* Makes dir, mode 0700, if it is not there, for other directories within it. The errors of smq_store_files_new. */
SMQ_MUST_USE smq_err smq_store_files_prepare(const char *dir);
/* One value, without the lock: as it is, whoever has the directory. The errors of get. */
SMQ_MUST_USE smq_err smq_store_files_peek(const char *dir, const char *key, smq_mspan room, size_t *ret_len);

/* Whether somebody, this process included, has it open. */
bool smq_store_files_is_held(const char *dir);

/* Each value whose name begins so, likewise; none where the directory is not there. */
void smq_store_files_each(const char *dir, const char *prefix, void *self, void (*take)(void *self, smq_span value));

/* What becomes of two values of one name; mine is empty where there is none. On failure both stay where they are. */
typedef smq_err smq_store_merge(const char *key, smq_span mine, smq_span theirs, smq_mspan room, size_t *ret_len);
/*
 * Takes over what nobody uses any more: each value of from goes to `to` by merge, and leaves from only once it is
 * durable there. Nothing happens where from is not there, or somebody has it open.
 */
void smq_store_files_absorb(const char *from, const struct smq_store *to, smq_store_merge *merge);

#endif
