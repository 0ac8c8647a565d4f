/*
 * Foreign libraries that only some processes need, loaded when they are first needed: whoever publishes shall not carry
 * an HTTP server, a database and a second TLS library along. What all adapters of such libraries share.
 *
 *     #define EACH(X) X(open) X(close)                        of foo_open and foo_close
 *     struct foo { EACH(MEMBER) };                            nothing but pointers to functions
 *     static const char *const names[] = { EACH(NAME) };
 *     static const struct smq_library foo = { "libfoo.so.3", "libfoo3", names, SMQ_COUNT(names), &functions };
 *
 * A library that is loaded stays. A process that will be confined loads before.
 */
#ifndef SMQ_ADAPTERS_COMMON_LOADER_LOADER_H
#define SMQ_ADAPTERS_COMMON_LOADER_LOADER_H

#include <stddef.h>

#include <sealmq/err.h>

enum { SMQ_LIBRARY_FUNCTIONS_MAX = 64 };

struct smq_library {
	const char *file;    /* by its soname */
	const char *package; /* of Debian */
	const char *const *names;
	size_t count;    /* at most SMQ_LIBRARY_FUNCTIONS_MAX */
	void *functions; /* out: as many pointers, in the order of the names; all NULL until all of them are there */
};

/* Does nothing the second time; from any thread. SMQ_ERR_LIBRARY: it is not here, or not as it should be. */
SMQ_MUST_USE smq_err smq_library_load(const struct smq_library *library);
/* The text of an error; of SMQ_ERR_LIBRARY, what this thread's last failure was about, in one line. */
const char *smq_library_text(smq_err err);

#endif
