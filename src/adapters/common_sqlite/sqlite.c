/* Finding SQLite's functions. */
#include "adapters/common_sqlite/sqlite.h"

#include "adapters/common_loader/loader.h"
#include "base/table.h"

struct smq_sqlite smq_sqlite;

#define NAME(name) "sqlite3_" #name,
static const char *const names[] = { SMQ_SQLITE_EACH(NAME) };
_Static_assert(sizeof(smq_sqlite) == SMQ_COUNT(names) * sizeof(void *), "a pointer for each name");

smq_err smq_sqlite_load(void)
{
	static const struct smq_library library = { "libsqlite3.so.0", "libsqlite3-0", names, SMQ_COUNT(names),
						    &smq_sqlite };
	return smq_library_load(&library);
}
