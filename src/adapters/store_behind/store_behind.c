/* The store port over another store, with writes that a thread of its own makes. */
#include "adapters/store_behind/store_behind.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/wipe.h"

enum { KEY_MAX = 80, STACK = 256 * 1024 }; /* a process may have many stores */

/* A value on its way. The first of the list is being written while at_work. */
struct waiting {
	struct waiting *next;
	char key[KEY_MAX + 1];
	size_t len;
	uint8_t value[];
};

struct behind {
	struct smq_store under;
	pthread_mutex_t lock;
	pthread_cond_t some, fewer; /* a value waits; one has been written, or could not be */
	struct waiting *first;
	size_t count;
	bool at_work, over, started;
	pthread_t thread;
};

static void drop(struct waiting *w)
{
	smq_wipe(w->value, w->len);
	free(w);
}

/* Where the newest value of a key is linked in, or the end of the list. With the lock held. */
static struct waiting **place_of(struct behind *b, const char *key)
{
	struct waiting **found = NULL, **at = &b->first;
	for (; *at; at = &(*at)->next) {
		if (strcmp((*at)->key, key) == 0)
			found = at;
	}
	return found ? found : at;
}

/* ---- the thread ---- */

/* What could not be written is found out by whoever needs it: catch_up, and the store underneath has the old value. */
static void write_first(struct behind *b)
{
	struct waiting *w = b->first;
	b->at_work = true;
	pthread_mutex_unlock(&b->lock);
	smq_err err = b->under.put(b->under.self, w->key, smq_span_of(w->value, w->len));
	(void)err;
	pthread_mutex_lock(&b->lock);
	b->at_work = false;
	b->first = w->next;
	b->count--;
	drop(w);
	pthread_cond_broadcast(&b->fewer);
}

static void *writer(void *self)
{
	struct behind *b = self;
	pthread_mutex_lock(&b->lock);
	while (b->first || !b->over) {
		if (b->first)
			write_first(b);
		else
			pthread_cond_wait(&b->some, &b->lock);
	}
	pthread_mutex_unlock(&b->lock);
	return NULL;
}

/* A signal is for the caller's thread, whose loop waits for it. */
static smq_err start(struct behind *b)
{
	sigset_t all, before;
	pthread_attr_t small;
	if (b->started)
		return SMQ_OK;
	if (pthread_attr_init(&small) != 0)
		return SMQ_ERR_NO_MEMORY;
	(void)pthread_attr_setstacksize(&small, STACK);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	b->started = pthread_create(&b->thread, &small, writer, b) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&small);
	return b->started ? SMQ_OK : SMQ_ERR_NO_MEMORY;
}

/* ---- the port ---- */

static bool op_catch_up(void *self, const char *key)
{
	struct behind *b = self;
	bool waited = false;
	pthread_mutex_lock(&b->lock);
	while (*place_of(b, key)) {
		waited = true;
		pthread_cond_wait(&b->fewer, &b->lock);
	}
	pthread_mutex_unlock(&b->lock);
	return waited;
}

static smq_err op_put(void *self, const char *key, smq_span value)
{
	struct behind *b = self;
	(void)op_catch_up(b, key);
	return b->under.put(b->under.self, key, value);
}

static smq_err op_remove(void *self, const char *key)
{
	struct behind *b = self;
	(void)op_catch_up(b, key);
	return b->under.remove(b->under.self, key);
}

static smq_err op_get(void *self, const char *key, smq_mspan room, size_t *ret_len)
{
	struct behind *b = self;
	smq_err err = SMQ_OK;
	pthread_mutex_lock(&b->lock);
	const struct waiting *w = *place_of(b, key);
	if (w && w->len > room.len)
		err = SMQ_ERR_NO_ROOM;
	if (w && err == SMQ_OK) {
		memcpy(room.p, w->value, w->len);
		*ret_len = w->len;
	}
	pthread_mutex_unlock(&b->lock);
	return w ? err : b->under.get(b->under.self, key, room, ret_len);
}

/* The newer value takes the place of an older one that nobody has begun to write; else it goes to the end. */
static void link_in(struct behind *b, struct waiting *w)
{
	struct waiting **at = place_of(b, w->key), *old = *at;
	if (old == b->first && b->at_work) {
		while (*at)
			at = &(*at)->next;
		old = NULL;
	}
	w->next = old ? old->next : NULL;
	*at = w;
	b->count += old ? 0 : 1;
	if (old)
		drop(old);
}

static smq_err op_put_behind(void *self, const char *key, smq_span value)
{
	struct behind *b = self;
	size_t key_len = strlen(key);
	if (key_len > KEY_MAX)
		return SMQ_ERR_USAGE;
	struct waiting *w = malloc(sizeof(*w) + value.len);
	if (!w)
		return SMQ_ERR_NO_MEMORY;
	w->len = value.len;
	memcpy(w->key, key, key_len + 1);
	if (value.len > 0)
		memcpy(w->value, value.p, value.len);
	pthread_mutex_lock(&b->lock);
	smq_err err = b->count >= SMQ_STORE_BEHIND_MAX ? SMQ_ERR_FULL : start(b);
	if (err == SMQ_OK) {
		link_in(b, w);
		pthread_cond_signal(&b->some);
	}
	pthread_mutex_unlock(&b->lock);
	if (err != SMQ_OK)
		drop(w);
	return err;
}

static void op_free(void *self)
{
	struct behind *b = self;
	if (!b)
		return;
	pthread_mutex_lock(&b->lock);
	b->over = true;
	pthread_cond_signal(&b->some);
	pthread_mutex_unlock(&b->lock);
	if (b->started)
		pthread_join(b->thread, NULL);
	pthread_mutex_destroy(&b->lock);
	pthread_cond_destroy(&b->some);
	pthread_cond_destroy(&b->fewer);
	b->under.free(b->under.self);
	free(b);
}

smq_err smq_store_behind_new(const struct smq_store *under, struct smq_store *ret_store)
{
	struct behind *b = calloc(1, sizeof(*b));
	if (!b)
		return SMQ_ERR_NO_MEMORY;
	b->under = *under;
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->some, NULL);
	pthread_cond_init(&b->fewer, NULL);
	*ret_store = (struct smq_store){ .self = b,
					 .put = op_put,
					 .get = op_get,
					 .remove = op_remove,
					 .free = op_free,
					 .put_behind = op_put_behind,
					 .catch_up = op_catch_up };
	return SMQ_OK;
}
