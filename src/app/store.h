/*
 * The store port: small named values that must survive a crash.
 *
 * put is durable when it returns SMQ_OK (tmp, fsync, rename, fsync of the directory, or a committed transaction);
 * a reader sees the old value or the new one, never a mixture. Keys are [a-z0-9_-.] up to 80 characters.
 */
#ifndef SMQ_APP_STORE_H
#define SMQ_APP_STORE_H

#include <sealmq/err.h>
#include <sealmq/span.h>

struct smq_store {
	void *self;
	smq_err (*put)(void *self, const char *key, smq_span value);
	/* SMQ_ERR_NOT_FOUND where there is none; SMQ_ERR_NO_ROOM where it is longer than room. */
	smq_err (*get)(void *self, const char *key, smq_mspan room, size_t *ret_len);
	smq_err (*remove)(void *self, const char *key);
	void (*free)(void *self);
};

#endif
