/* Foreign libraries that are loaded when they are first needed. */
#include "adapters/common_loader/loader.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local char why[256];

static smq_err missing(const struct smq_library *l)
{
	const char *said = dlerror();
	(void)snprintf(why, sizeof(why), "cannot load %s (Debian: %s): %s", l->file, l->package,
		       said ? said : "it is not there");
	return SMQ_ERR_LIBRARY;
}

static smq_err load(const struct smq_library *l)
{
	void *found[SMQ_LIBRARY_FUNCTIONS_MAX];
	size_t all = 0;
	void *library = dlopen(l->file, RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return missing(l);
	while (all < l->count && (found[all] = dlsym(library, l->names[all])) != NULL)
		all++;
	if (all < l->count) {
		smq_err err = missing(l);
		(void)dlclose(library);
		return err;
	}
	memcpy(l->functions, found, l->count * sizeof(found[0]));
	return SMQ_OK;
}

/* POSIX has a function's address and an object's alike. */
static bool is_loaded(const struct smq_library *l)
{
	void *first;
	memcpy(&first, l->functions, sizeof(first));
	return first != NULL;
}

smq_err smq_library_load(const struct smq_library *library)
{
	if (library->count > SMQ_LIBRARY_FUNCTIONS_MAX)
		return SMQ_ERR_BUG;
	(void)pthread_mutex_lock(&one_at_a_time);
	smq_err err = is_loaded(library) ? SMQ_OK : load(library);
	(void)pthread_mutex_unlock(&one_at_a_time);
	return err;
}

const char *smq_library_text(smq_err err) { return err == SMQ_ERR_LIBRARY && why[0] ? why : smq_err_text(err); }
