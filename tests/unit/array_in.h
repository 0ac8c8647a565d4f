/* The bytes_in port on an array, in pieces of any size. */
#ifndef SMQ_TESTS_ARRAY_IN_H
#define SMQ_TESTS_ARRAY_IN_H

#include <string.h>

#include "app/bytes_in.h"

struct array_in {
	const char *p;
	size_t len, at, piece; /* piece 0: as much as is asked for */
	int fail_at;           /* the n-th read fails; 0: none */
	int reads, closed;
};

static inline smq_err array_read(void *self, void *ret_bytes, size_t room, size_t *ret_len)
{
	struct array_in *a = (struct array_in *)self;
	size_t n = a->len - a->at;
	if (++a->reads == a->fail_at)
		return SMQ_ERR_IO;
	n = n < room ? n : room;
	n = a->piece && n > a->piece ? a->piece : n;
	memcpy(ret_bytes, a->p + a->at, n);
	a->at += n;
	*ret_len = n;
	return SMQ_OK;
}

static inline smq_err array_rewind(void *self)
{
	((struct array_in *)self)->at = 0;
	return SMQ_OK;
}

static inline void array_close(void *self) { ((struct array_in *)self)->closed++; }

static inline struct smq_bytes_in array_port(struct array_in *a)
{
	struct smq_bytes_in in = { a, a->len, array_read, array_rewind, array_close };
	return in;
}

#endif
