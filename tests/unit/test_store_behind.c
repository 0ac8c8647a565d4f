/* The store whose writes are made by a thread: what get answers, what is durable when, in which order, what fails. */
#include "cmocka_all.h"

#include <pthread.h>
#include <stdio.h>

#include "adapters/store_behind/store_behind.h"
#include "store_memory.h"

/* A disk whose writes can be held up. */
struct slow {
	struct store_memory disk;
	struct smq_store port;
	pthread_mutex_t lock;
	pthread_cond_t turn;
	bool held;
	bool writing;
	bool freed;
};

static smq_err slow_put(void *self, const char *key, smq_span value)
{
	struct slow *s = self;
	pthread_mutex_lock(&s->lock);
	s->writing = true;
	pthread_cond_broadcast(&s->turn);
	while (s->held)
		pthread_cond_wait(&s->turn, &s->lock);
	smq_err err = s->port.put(s->port.self, key, value);
	s->writing = false;
	pthread_mutex_unlock(&s->lock);
	return err;
}

static smq_err slow_get(void *self, const char *key, smq_mspan room, size_t *ret_len)
{
	struct slow *s = self;
	return s->port.get(s->port.self, key, room, ret_len);
}

static smq_err slow_remove(void *self, const char *key)
{
	(void)self;
	(void)key;
	return SMQ_OK;
}

static void slow_free(void *self)
{
	struct slow *s = self;
	s->freed = true;
}

static void hold(struct slow *s, bool held)
{
	pthread_mutex_lock(&s->lock);
	s->held = held;
	pthread_cond_broadcast(&s->turn);
	pthread_mutex_unlock(&s->lock);
}

static void until_writing(struct slow *s)
{
	pthread_mutex_lock(&s->lock);
	while (!s->writing)
		pthread_cond_wait(&s->turn, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

static struct smq_store begin(struct slow *s)
{
	struct smq_store store;
	memset(s, 0, sizeof(*s));
	s->port = store_memory_port(&s->disk);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->turn, NULL);
	const struct smq_store under = { s, slow_put, slow_get, slow_remove, slow_free, NULL, NULL };
	assert_int_equal(smq_store_behind_new(&under, &store), SMQ_OK);
	return store;
}

static void end(struct slow *s)
{
	assert_true(s->freed);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->turn);
	store_memory_done(&s->disk);
}

static smq_err behind(struct smq_store *s, const char *key, const char *value)
{
	return s->put_behind(s->self, key, smq_span_str(value));
}

/* What the store answers, and what its disk has. */
static void assert_both(struct smq_store *store, struct slow *s, const char *key, const char *answer, const char *disk)
{
	char room[64];
	const char *want[] = { answer, disk };
	for (int i = 0; i < 2; i++) {
		size_t len = 0;
		smq_mspan into = smq_mspan_of((uint8_t *)room, sizeof(room));
		smq_err err = i ? s->port.get(s->port.self, key, into, &len) : store->get(store->self, key, into, &len);
		assert_int_equal(err, want[i] ? SMQ_OK : SMQ_ERR_NOT_FOUND);
		assert_int_equal(len, want[i] ? strlen(want[i]) : 0);
		assert_memory_equal(room, want[i] ? want[i] : "", len);
	}
}

static void a_value_is_there_before_it_is_durable(void **state)
{
	(void)state;
	struct slow s;
	struct smq_store store = begin(&s);
	uint8_t small[1];
	size_t len = 0;
	hold(&s, true);
	assert_int_equal(behind(&store, "a", "one"), SMQ_OK);
	assert_both(&store, &s, "a", "one", NULL);
	assert_int_equal(store.get(store.self, "a", smq_mspan_of(small, 1), &len), SMQ_ERR_NO_ROOM);
	assert_false(store.catch_up(store.self, "b")); /* another key waits for nothing */
	hold(&s, false);
	(void)store.catch_up(store.self, "a");
	assert_both(&store, &s, "a", "one", "one");
	assert_false(store.catch_up(store.self, "a"));
	store.free(store.self);
	end(&s);
}

/* Of what waits behind the same key only the last is written; what is being written is left alone. */
static void the_newest_wins(void **state)
{
	(void)state;
	struct slow s;
	struct smq_store store = begin(&s);
	hold(&s, true);
	assert_int_equal(behind(&store, "a", "one"), SMQ_OK);
	until_writing(&s);
	assert_int_equal(behind(&store, "a", "two"), SMQ_OK);
	assert_int_equal(behind(&store, "b", "b"), SMQ_OK);
	assert_int_equal(behind(&store, "a", "three"), SMQ_OK);
	assert_both(&store, &s, "a", "three", NULL);
	hold(&s, false);
	assert_int_equal(store.put(store.self, "a", smq_span_str("four")), SMQ_OK);
	assert_both(&store, &s, "a", "four", "four");
	assert_int_equal(behind(&store, "c", "c"), SMQ_OK);
	store.free(store.self); /* writes what waits */
	assert_int_equal(s.disk.puts, 5);
	assert_both(&s.port, &s, "b", "b", "b");
	assert_both(&s.port, &s, "c", "c", "c");
	end(&s);
}

static void what_cannot_be_written_is_as_before(void **state)
{
	(void)state;
	struct slow s;
	struct smq_store store = begin(&s);
	assert_int_equal(store.put(store.self, "a", smq_span_str("one")), SMQ_OK);
	hold(&s, true);
	s.disk.fail = SMQ_ERR_DISK_FULL;
	assert_int_equal(behind(&store, "a", "two"), SMQ_OK);
	assert_both(&store, &s, "a", "two", "one");
	hold(&s, false);
	(void)store.catch_up(store.self, "a");
	assert_both(&store, &s, "a", "one", "one");
	assert_int_equal(store.put(store.self, "a", smq_span_str("two")), SMQ_ERR_DISK_FULL);
	store.free(store.self);
	end(&s);
}

static void what_waits_is_bounded(void **state)
{
	(void)state;
	struct slow s;
	struct smq_store store = begin(&s);
	char key[100];
	hold(&s, true);
	for (int i = 0; i < SMQ_STORE_BEHIND_MAX; i++) {
		snprintf(key, sizeof(key), "key-%d", i);
		assert_int_equal(behind(&store, key, "value"), SMQ_OK);
	}
	assert_int_equal(behind(&store, "one-more", "value"), SMQ_ERR_FULL);
	memset(key, 'k', 81);
	key[81] = 0;
	assert_int_equal(behind(&store, key, "value"), SMQ_ERR_USAGE);
	s.disk.fail = SMQ_ERR_DISK_FULL; /* its table is smaller */
	hold(&s, false);
	store.free(store.self);
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_value_is_there_before_it_is_durable),
		cmocka_unit_test(the_newest_wins),
		cmocka_unit_test(what_cannot_be_written_is_as_before),
		cmocka_unit_test(what_waits_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
