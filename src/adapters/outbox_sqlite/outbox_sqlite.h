/*
 * The outbox port in an SQLite file (doc/FORMATS.md, "Outbox").
 *
 * append is on the disk when it returns. remove survives the death of the process at once and a power cut a little
 * later: after one, a message that was acknowledged just before may go out a second time.
 */
#ifndef SMQ_ADAPTERS_OUTBOX_SQLITE_H
#define SMQ_ADAPTERS_OUTBOX_SQLITE_H

#include "app/outbox.h"

/*
 * Opens or creates the file (mode 0600) and holds it until free.
 * SMQ_ERR_LOCKED: another process has it. SMQ_ERR_UNSAFE_FILE: a symlink, somebody else's, or open to others (it
 * holds plaintext). SMQ_ERR_CORRUPT: damaged, or not an outbox. SMQ_ERR_VERSION: written by a later version.
 * SMQ_ERR_DISK_FULL, SMQ_ERR_PERMISSION, SMQ_ERR_NOT_FOUND (its directory): as they say.
 */
SMQ_MUST_USE smq_err smq_outbox_sqlite_new(const char *path, struct smq_outbox *ret_outbox);

#endif
