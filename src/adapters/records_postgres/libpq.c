/* Finding libpq's functions. */
#include "libpq.h"

#include "adapters/common_loader/loader.h"
#include "base/table.h"

#define NAME(name) "PQ" #name,
static const char *const names[] = { LIBPQ_EACH(NAME) };
_Static_assert(sizeof(struct libpq) == SMQ_COUNT(names) * sizeof(void *), "a pointer for each name");

smq_err libpq_load(struct libpq *ret_libpq)
{
	static struct libpq pq;
	/* the ABI's number; the same for all of PostgreSQL since 8.0 */
	static const struct smq_library library = { "libpq.so.5", "libpq5", names, SMQ_COUNT(names), &pq };
	smq_err err = smq_library_load(&library);
	if (err == SMQ_OK)
		*ret_libpq = pq;
	return err;
}
