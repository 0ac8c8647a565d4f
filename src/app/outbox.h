/*
 * The outbox port: messages that wait to be published, in order.
 *
 * Plaintext waits here, not sealed bytes: keys rotate while a broker is away, and a message is sealed when it
 * goes out. append is durable when it returns (in the SQLite adapter); an entry leaves with remove, after the
 * broker acknowledged it.
 */
#ifndef SMQ_APP_OUTBOX_H
#define SMQ_APP_OUTBOX_H

#include <sealmq/client.h>

struct smq_outbox {
	void *self;
	/* Numbers rise and are never given out again. */
	smq_err (*append)(void *self, const struct smq_publish *message, uint64_t *ret_number);
	/* The first entry with a number above `after`; its strings are valid until the next call.
	 * SMQ_ERR_NOT_FOUND: none. */
	smq_err (*next)(void *self, uint64_t after, uint64_t *ret_number, struct smq_publish *ret_message);
	smq_err (*remove)(void *self, uint64_t number);
	size_t (*count)(void *self);
	void (*free)(void *self);
};

#endif
