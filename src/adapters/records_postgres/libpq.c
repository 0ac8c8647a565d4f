/* Finding libpq and its functions. */
#include "libpq.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <string.h>

/* The ABI's number; the same for all of PostgreSQL since 8.0. */
static const char name[] = "libpq.so.5";

/* A function's address out of an object's: POSIX has them alike. */
static bool find(void *library, const char *symbol, void *ret_function, size_t size)
{
	void *found = dlsym(library, symbol);
	if (!found || size != sizeof(found))
		return false;
	memcpy(ret_function, &found, size);
	return true;
}

smq_err libpq_load(struct libpq *ret_libpq)
{
	struct libpq pq;
	void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
	bool all = library != NULL;
#define FIND(function) all = all && find(library, "PQ" #function, &pq.function, sizeof(pq.function));
	LIBPQ_EACH(FIND)
#undef FIND
	if (!all)
		return SMQ_ERR_UNSUPPORTED;
	*ret_libpq = pq;
	return SMQ_OK;
}
