/* The port through which bulk data is read: a file, standard input, or a test's array. */
#ifndef SMQ_APP_BYTES_IN_H
#define SMQ_APP_BYTES_IN_H

#include <stddef.h>
#include <stdint.h>

#include <sealmq/err.h>

struct smq_bytes_in {
	void *self;
	uint64_t size; /* of everything, bytes; 0 where unknown */
	/* At most room bytes; *ret_len 0 is the end. */
	smq_err (*read)(void *self, void *ret_bytes, size_t room, size_t *ret_len);
	smq_err (*rewind)(void *self); /* NULL where it cannot be done */
	void (*close)(void *self);     /* may be NULL */
};

#endif
