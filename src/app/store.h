/*
 * The store port: small named values that must survive a crash.
 *
 * put is durable when it returns SMQ_OK (tmp, fsync, rename, fsync of the directory, or a committed transaction);
 * a reader sees the old value or the new one, never a mixture. Keys are [a-z0-9_-.] up to 80 characters.
 *
 * A value is taken for a secret, whose bytes are overwritten where it goes, except under keys that begin with
 * SMQ_STORE_FLOOR: those are counters, which change often, and overwriting them would be a third of each change.
 */
#ifndef SMQ_APP_STORE_H
#define SMQ_APP_STORE_H

#include <stdbool.h>

#include <sealmq/err.h>
#include <sealmq/span.h>

#define SMQ_STORE_FLOOR "floor-"

struct smq_store {
	void *self;
	smq_err (*put)(void *self, const char *key, smq_span value);
	/* SMQ_ERR_NOT_FOUND where there is none; SMQ_ERR_NO_ROOM where it is longer than room. */
	smq_err (*get)(void *self, const char *key, smq_mspan room, size_t *ret_len);
	smq_err (*remove)(void *self, const char *key);
	void (*free)(void *self);
	/*
	 * Either may be missing (NULL). put_behind is put that does not wait for the disk: get answers the new value
	 * from here on, and nothing is durable yet. On failure nothing was changed; SMQ_ERR_FULL: too much is on its
	 * way. catch_up returns once nothing under this key is on its way any more: what get answers then is durable,
	 * and the old value where the write failed. True: it had to wait. put and remove catch up by themselves.
	 */
	smq_err (*put_behind)(void *self, const char *key, smq_span value);
	bool (*catch_up)(void *self, const char *key);
};

#endif
