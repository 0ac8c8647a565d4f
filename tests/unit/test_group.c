/* core/group, app/group_windows and wire/group_file: static groups (PROTOCOL.md 6.1, FORMATS.md 2.2 and 3). */
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sealmq/client.h>

#include "app/group_windows.h"
#include "app/kept_life.h"
#include "base/table.h"
#include "base/varint.h"
#include "core/group.h"
#include "core/reserve.h"
#include "store_memory.h"

enum { ROOM = 512, LIVES = 4 };

static const char topic[] = "plant/fridge-07";

static struct smq_group_file group_file(void)
{
	struct smq_group_file f = { .realm = "plant",
				    .group = "Telemetry_1",
				    .epoch = 3,
				    .alg = smq_aead_alg_by_id(SMQ_A128GCM),
				    .created_s = 1795259500,
				    .member_count = 3,
				    .members = { "fridge-07", "archive", "fridge-08" },
				    .filter_count = 1,
				    .filters = { "plant/#" } };
	memset(f.secret.b, 0x42, sizeof(f.secret.b));
	return f;
}

/* One member's process: what it has in memory, over a state directory that outlives it. */
struct process {
	struct smq_group_file file;
	struct smq_store store;
	struct smq_group_windows_store windows_store;
	struct smq_group_windows windows;
	struct smq_group_life lives[LIVES];
	struct smq_group group;
};

static void process_start(struct process *p, const char *name, struct store_memory *disk)
{
	memset(p, 0, sizeof(*p));
	p->file = group_file();
	if (disk) {
		p->store = store_memory_port(disk);
		assert_int_equal(
		    smq_group_windows_init(&p->windows_store, &p->store, smq_crypto_openssl(), &p->file, &p->windows),
		    SMQ_OK);
	}
	assert_int_equal(smq_group_init(&p->group, smq_crypto_openssl(), smq_random_system(), &p->file, name,
					disk ? &p->windows : NULL, p->lives, LIVES),
			 SMQ_OK);
}

static void process_stop(struct process *p) { smq_group_done(&p->group); }

/* Ends without a word: only what is on disk survives. */
static void process_kill(struct process *p)
{
	p->group.lives.windows = NULL;
	smq_group_done(&p->group);
}

struct message {
	uint8_t bytes[ROOM];
	size_t len;
};

static struct message sealed_by(struct process *p)
{
	struct message m;
	assert_int_equal(smq_group_seal(&p->group, smq_span_str(topic), -1, smq_span_str("13.1"),
					smq_mspan_of(m.bytes, ROOM), &m.len),
			 SMQ_OK);
	return m;
}

static smq_err open_at(struct process *p, const struct message *m, const char *under, int64_t mono_ms,
		       struct smq_group_opened *ret_opened)
{
	uint8_t room[ROOM];
	struct smq_sealed s;
	memset(room, 0x55, sizeof(room));
	smq_err err = smq_sealed_decode(smq_span_of(m->bytes, m->len), &s);
	if (err == SMQ_OK)
		err = smq_group_open(&p->group, &s, smq_span_str(under), mono_ms, smq_mspan_of(room, ROOM), ret_opened);
	if (err == SMQ_OK)
		assert_memory_equal(room, "13.1", 4);
	else
		assert_memory_not_equal(room, "13.1", 4); /* nothing is handed out that was not accepted */
	return err;
}

static smq_err open_by(struct process *p, const struct message *m)
{
	struct smq_group_opened opened;
	return open_at(p, m, topic, 0, &opened);
}

/* ---- sealing and opening ---- */

static void members_read_each_other(void **state)
{
	(void)state;
	struct process a, b;
	struct smq_group_opened opened = { 0 };
	process_start(&a, "fridge-07", NULL);
	process_start(&b, "archive", NULL);
	struct message m = sealed_by(&a), n = sealed_by(&b);
	assert_int_equal(m.len, 1 + 1 + 1 + 16 + 1 + 4 + 16);
	assert_int_equal(open_at(&b, &m, topic, 0, &opened), SMQ_OK);
	assert_string_equal(opened.sender, "fridge-07");
	assert_int_equal(opened.len, 4);
	assert_int_equal(open_at(&a, &n, topic, 0, &opened), SMQ_OK);
	assert_string_equal(opened.sender, "archive");
	assert_int_equal(open_by(&b, &m), SMQ_ERR_REPLAY);
	assert_int_equal(open_by(&a, &m), SMQ_OK); /* its own, come back */
	process_stop(&a);
	process_stop(&b);
}

static void what_is_not_for_the_group_is_told_apart(void **state)
{
	(void)state;
	struct process a, b, stranger;
	struct smq_group_opened opened;
	process_start(&a, "fridge-07", NULL);
	process_start(&b, "archive", NULL);
	struct message m = sealed_by(&a), old = m, next = m, who = m;
	old.bytes[1] = 2;
	next.bytes[1] = 4;
	who.bytes[2] = 3;
	assert_int_equal(open_by(&b, &old), SMQ_ERR_STALE_EPOCH);
	assert_int_equal(open_by(&b, &next), SMQ_ERR_NO_KEY);
	assert_int_equal(open_by(&b, &who), SMQ_ERR_UNKNOWN_SENDER);
	assert_int_equal(open_at(&b, &m, "plant/fridge-08", 0, &opened), SMQ_ERR_OPEN);
	assert_int_equal(open_at(&b, &m, "elsewhere/fridge-07", 0, &opened), SMQ_ERR_TOPIC);
	struct message as_other = m;
	as_other.bytes[2] = 2;
	assert_int_equal(open_by(&b, &as_other), SMQ_ERR_OPEN);
	assert_int_equal(open_by(&b, &m), SMQ_OK);
	process_start(&stranger, "toaster", NULL);
	size_t len;
	assert_int_equal(smq_group_seal(&stranger.group, smq_span_str(topic), -1, smq_span_str("x"),
					smq_mspan_of(m.bytes, ROOM), &len),
			 SMQ_ERR_UNKNOWN_SENDER);
	assert_int_equal(smq_group_seal(&a.group, smq_span_str("elsewhere"), -1, smq_span_str("x"),
					smq_mspan_of(m.bytes, ROOM), &len),
			 SMQ_ERR_TOPIC);
	process_stop(&stranger);
	process_stop(&a);
	process_stop(&b);
}

static void forged_lives_push_nobody_out(void **state)
{
	(void)state;
	struct process a, b;
	process_start(&a, "fridge-07", NULL);
	process_start(&b, "archive", NULL);
	struct message first = sealed_by(&a);
	assert_int_equal(open_by(&b, &first), SMQ_OK);
	for (int i = 0; i < 100; i++) {
		struct message junk = first;
		junk.bytes[3 + i % 16] ^= (uint8_t)(i + 1);
		assert_int_equal(open_by(&b, &junk), SMQ_ERR_OPEN);
	}
	for (size_t i = 1; i < LIVES; i++)
		assert_int_equal(b.lives[i].heard, 0);
	assert_int_equal(open_by(&b, &first), SMQ_ERR_REPLAY);
	process_stop(&a);
	process_stop(&b);
}

/* ---- across restarts ---- */

static void a_kill_at_any_message_opens_none_twice(void **state)
{
	(void)state;
	enum { MESSAGES = 60 };
	for (int killed_after = 0; killed_after <= MESSAGES; killed_after += 7) {
		struct store_memory disk = { 0 };
		struct process a, b;
		struct message m[MESSAGES];
		process_start(&a, "fridge-07", NULL);
		process_start(&b, "archive", &disk);
		for (int i = 0; i < MESSAGES; i++)
			m[i] = sealed_by(&a);
		for (int i = 0; i < killed_after; i++)
			assert_int_equal(open_by(&b, &m[i]), SMQ_OK);
		process_kill(&b);
		process_start(&b, "archive", &disk);
		for (int i = 0; i < killed_after; i++)
			assert_int_equal(open_by(&b, &m[i]), SMQ_ERR_REPLAY);
		process_kill(&b);
		process_kill(&a);
		store_memory_done(&disk);
	}
}

static void a_clean_restart_skips_nothing(void **state)
{
	(void)state;
	struct store_memory disk = { 0 };
	struct process a, b;
	process_start(&a, "fridge-07", NULL);
	process_start(&b, "archive", &disk);
	for (int i = 0; i < 500; i++) {
		struct message m = sealed_by(&a);
		if (i % 50 == 49) {
			process_stop(&b);
			process_start(&b, "archive", &disk);
		}
		assert_int_equal(open_by(&b, &m), SMQ_OK);
		assert_int_equal(open_by(&b, &m), SMQ_ERR_REPLAY);
	}
	process_stop(&b);
	process_stop(&a);
	store_memory_done(&disk);
}

/* One message a minute: floors are exact, and a kill costs nothing. A thousand a second: one write a second or so. */
static void writes_follow_the_pace_of_the_sender(void **state)
{
	(void)state;
	struct store_memory disk = { 0 };
	struct process a, b;
	struct smq_group_opened opened;
	process_start(&a, "fridge-07", NULL);
	process_start(&b, "archive", &disk);
	for (int i = 0; i < 20; i++) {
		struct message m = sealed_by(&a);
		assert_int_equal(open_at(&b, &m, topic, 60000 * (int64_t)i, &opened), SMQ_OK);
		process_kill(&b);
		process_start(&b, "archive", &disk);
	}
	assert_int_equal(disk.puts, 20);
	process_kill(&b);
	process_start(&b, "archive", &disk);
	disk.puts = 0;
	for (int i = 0; i < 60000; i++) {
		struct message m = sealed_by(&a);
		assert_int_equal(open_at(&b, &m, topic, i, &opened), SMQ_OK);
	}
	printf("# %zu writes for 60,000 messages in 60 s\n", disk.puts);
	assert_in_range(disk.puts, 20, 100);
	uint64_t next = b.lives[0].replay.next;
	assert_true(b.lives[0].floor - next < 4000);
	process_stop(&b);
	process_stop(&a);
	store_memory_done(&disk);
}

/* A disk with a writer of its own: what is on its way gets there when catch_up asks, or never. */
static struct {
	struct store_memory *disk, late;
	size_t waits; /* of the loop: a put, or a catch_up with something on its way */
	bool lost;
} behind;

static smq_err behind_put(void *self, const char *key, smq_span value)
{
	behind.waits++;
	return store_memory_put(self, key, value);
}

static smq_err behind_get(void *self, const char *key, smq_mspan room, size_t *ret_len)
{
	smq_err err = store_memory_get(&behind.late, key, room, ret_len);
	return err == SMQ_ERR_NOT_FOUND ? store_memory_get(self, key, room, ret_len) : err;
}

static smq_err put_behind(void *self, const char *key, smq_span value)
{
	(void)self;
	return store_memory_put(&behind.late, key, value);
}

static bool catch_up(void *self, const char *key)
{
	uint8_t room[SMQ_GROUP_SHARD_MAX];
	size_t len = 0;
	if (store_memory_get(&behind.late, key, smq_mspan_of(room, sizeof(room)), &len) != SMQ_OK)
		return false;
	store_memory_done(&behind.late); /* one key at a time here */
	if (!behind.lost)
		(void)!store_memory_put(self, key, smq_span_of(room, len));
	return true;
}

static void with_writer(struct process *p, struct store_memory *disk)
{
	process_start(p, "archive", disk);
	p->store.put = behind_put;
	p->store.get = behind_get;
	p->store.put_behind = put_behind;
	p->store.catch_up = catch_up;
	assert_int_equal(
	    smq_group_windows_init(&p->windows_store, &p->store, smq_crypto_openssl(), &p->file, &p->windows), SMQ_OK);
	behind.disk = disk;
	behind.waits = 0;
	behind.lost = false;
}

static uint64_t floor_on_disk(struct process *p, struct store_memory *disk, const uint8_t *boot_id)
{
	struct smq_store plain = store_memory_port(disk);
	struct smq_group_windows_store w = p->windows_store;
	uint64_t floor = 0;
	w.store = &plain;
	assert_int_equal(p->windows.load(&w, 0, boot_id, &floor), SMQ_OK);
	return floor;
}

/* Whatever the pace: what was delivered is below a floor that is on the disk, and after the first moments nothing has
 * to be written by the loop itself. */
static void the_next_floor_is_asked_for_before_it_is_needed(void **state)
{
	(void)state;
	static const struct {
		int64_t gap_us;
		bool lost; /* the writer's disk fails: then the loop's own writes are as many as before */
		size_t waits_least, waits_most;
	} rows[] = {
		{ 1000, false, 2, 2 },
		{ 20, false, 2, 2 },
		{ 100000, false, 2, 3 },
		{ 1000, true, 10, 60 },
	};
	for (size_t r = 0; r < SMQ_COUNT(rows); r++) {
		struct store_memory disk = { 0 };
		struct process a, b;
		struct smq_group_opened opened;
		process_start(&a, "fridge-07", NULL);
		with_writer(&b, &disk);
		behind.lost = rows[r].lost;
		for (int i = 0; i < 20000; i++) {
			struct message m = sealed_by(&a);
			assert_int_equal(open_at(&b, &m, topic, i * rows[r].gap_us / 1000, &opened), SMQ_OK);
			if (i % 7 == 0)
				assert_true(floor_on_disk(&b, &disk, b.lives[0].boot_id) >= b.lives[0].replay.next);
		}
		printf("# row %zu: the loop wrote %zu times\n", r, behind.waits);
		assert_in_range(behind.waits, rows[r].waits_least, rows[r].waits_most);
		uint64_t next = b.lives[0].replay.next, pace = (uint64_t)(1000000 / rows[r].gap_us);
		assert_true(b.lives[0].floor + b.lives[0].coming - next <= 2 * pace + 32);
		uint8_t boot_id[SMQ_BOOT_ID_LEN];
		memcpy(boot_id, b.lives[0].boot_id, sizeof(boot_id));
		process_stop(&b);
		assert_true(floor_on_disk(&b, &disk, boot_id) == next || rows[r].lost);
		process_stop(&a);
		store_memory_done(&behind.late);
		store_memory_done(&disk);
	}
}

static void a_window_that_cannot_be_saved_delivers_nothing(void **state)
{
	(void)state;
	struct store_memory disk = { 0 };
	struct process a, b;
	process_start(&a, "fridge-07", NULL);
	process_start(&b, "archive", &disk);
	struct message m = sealed_by(&a), n = sealed_by(&a);
	disk.fail = SMQ_ERR_DISK_FULL;
	assert_int_equal(open_by(&b, &m), SMQ_ERR_DISK_FULL);
	assert_int_equal(b.lives[0].heard, 0);
	disk.fail = SMQ_OK;
	assert_int_equal(open_by(&b, &m), SMQ_OK); /* it comes again */
	disk.fail = SMQ_ERR_DISK_FULL;
	assert_int_equal(open_by(&b, &n), SMQ_ERR_DISK_FULL);
	disk.fail = SMQ_OK;
	assert_int_equal(open_by(&b, &n), SMQ_OK);
	process_stop(&b);
	process_stop(&a);
	store_memory_done(&disk);
}

static void lives_pushed_out_of_memory_are_not_forgotten(void **state)
{
	(void)state;
	enum { STARTS = 3 * LIVES };
	struct store_memory disk = { 0 };
	struct process b, a[STARTS];
	struct message first[STARTS], third[STARTS];
	process_start(&b, "archive", &disk);
	for (int i = 0; i < STARTS; i++) {
		process_start(&a[i], i % 2 ? "fridge-07" : "fridge-08", NULL);
		first[i] = sealed_by(&a[i]);
		struct message second = sealed_by(&a[i]);
		third[i] = sealed_by(&a[i]);
		assert_int_equal(open_by(&b, &first[i]), SMQ_OK);
		assert_int_equal(open_by(&b, &second), SMQ_OK); /* its floor is ahead of it now */
	}
	for (int i = 0; i < STARTS; i++)
		assert_int_equal(open_by(&b, &first[i]), SMQ_ERR_REPLAY);
	for (int i = 0; i < STARTS; i++) {
		assert_int_equal(open_by(&b, &third[i]), SMQ_OK);
		process_kill(&a[i]);
	}
	process_stop(&b);
	store_memory_done(&disk);
}

static void a_full_or_broken_shard_is_an_error_and_no_gap(void **state)
{
	(void)state;
	struct store_memory disk = { 0 };
	struct process b;
	uint8_t boot_id[SMQ_BOOT_ID_LEN] = { 7 };
	uint64_t floor = 4711;
	process_start(&b, "archive", &disk);
	for (size_t i = 0; i < SMQ_GROUP_SHARD_LIVES_MAX; i++) {
		boot_id[14] = (uint8_t)(i >> 8);
		boot_id[15] = (uint8_t)i;
		assert_int_equal(b.windows.save(b.windows.self, 1, boot_id, i + 1), SMQ_OK);
	}
	boot_id[1] = 1;
	assert_int_equal(b.windows.save(b.windows.self, 1, boot_id, 1), SMQ_ERR_FULL);
	assert_int_equal(b.windows.load(b.windows.self, 1, boot_id, &floor), SMQ_ERR_NOT_FOUND);
	boot_id[1] = 0;
	assert_int_equal(b.windows.load(b.windows.self, 1, boot_id, &floor), SMQ_OK);
	assert_int_equal(floor, SMQ_GROUP_SHARD_LIVES_MAX);
	assert_int_equal(b.windows.save(b.windows.self, 1, boot_id, 5), SMQ_OK); /* never lower */
	assert_int_equal(b.windows.settle(b.windows.self, 1, boot_id, 5, 3), SMQ_OK);
	assert_int_equal(b.windows.load(b.windows.self, 1, boot_id, &floor), SMQ_OK);
	assert_int_equal(floor, SMQ_GROUP_SHARD_LIVES_MAX);
	disk.values[0].bytes[0] ^= 1;
	assert_int_equal(b.windows.load(b.windows.self, 1, boot_id, &floor), SMQ_ERR_CORRUPT);
	disk.values[0].bytes[0] ^= 1;
	disk.values[0].len--;
	assert_int_equal(b.windows.load(b.windows.self, 1, boot_id, &floor), SMQ_ERR_CORRUPT);
	disk.values[0].len = 3;
	assert_int_equal(b.windows.save(b.windows.self, 1, boot_id, 9), SMQ_ERR_CORRUPT);
	process_stop(&b);
	store_memory_done(&disk);
}

/* ---- a sender that keeps its boot id (PROTOCOL.md 3.7) ---- */

/* Everything that was ever sealed under one boot id. */
struct used {
	bool seen[40000];
	uint8_t boot_id[SMQ_BOOT_ID_LEN];
	uint64_t top;
};

static smq_err seal_kept(struct process *p, struct smq_kept_life *l, struct used *u)
{
	uint8_t room[ROOM];
	struct smq_sealed s;
	size_t len;
	smq_err err = smq_kept_life_before_seal(l, &p->group.sealer);
	if (err == SMQ_OK)
		err = smq_group_seal(&p->group, smq_span_str(topic), -1, smq_span_str("13.1"),
				     smq_mspan_of(room, sizeof(room)), &len);
	if (err != SMQ_OK)
		return err;
	assert_int_equal(smq_sealed_decode(smq_span_of(room, len), &s), SMQ_OK);
	if (u->top == 0)
		memcpy(u->boot_id, s.boot_id, sizeof(u->boot_id));
	assert_memory_equal(s.boot_id, u->boot_id, sizeof(u->boot_id));
	assert_true(s.counter < SMQ_COUNT(u->seen));
	assert_false(u->seen[s.counter]);
	u->seen[s.counter] = true;
	u->top = s.counter + 1;
	return SMQ_OK;
}

static void life_start(struct process *p, struct smq_kept_life *l, struct store_memory *disk)
{
	process_start(p, "fridge-07", disk);
	assert_int_equal(smq_kept_life_begin(l, &p->store, smq_crypto_openssl(), smq_random_system(), &p->group),
			 SMQ_OK);
}

static void a_kept_boot_id_never_repeats_a_counter(void **state)
{
	(void)state;
	static const int sealed[] = { 1, 0, 511, 512, 513, 1024, 1025, 3000, 0, 7 };
	static struct used used;
	struct store_memory disk = { 0 };
	struct process a;
	struct smq_kept_life l;
	used = (struct used){ 0 };
	for (size_t i = 0; i < SMQ_COUNT(sealed); i++) {
		life_start(&a, &l, &disk);
		for (int n = 0; n < sealed[i]; n++)
			assert_int_equal(seal_kept(&a, &l, &used), SMQ_OK);
		if (i % 3 == 0) {
			smq_kept_life_end(&l, &a.group.sealer);
			uint8_t room[ROOM];
			size_t len;
			assert_int_equal(smq_group_seal(&a.group, smq_span_str(topic), -1, smq_span_str("x"),
							smq_mspan_of(room, sizeof(room)), &len),
					 SMQ_ERR_KEY_SPENT);
		}
		process_kill(&a);
	}
	/* a clean end gives back what was not used */
	life_start(&a, &l, &disk);
	assert_int_equal(a.group.sealer.next_counter, used.top);
	process_kill(&a);
	store_memory_done(&disk);
}

static void a_kept_boot_id_seals_nothing_that_is_not_reserved(void **state)
{
	(void)state;
	static struct used used;
	struct store_memory disk = { .fail = SMQ_ERR_DISK_FULL };
	struct process a;
	struct smq_kept_life l = { 0 };
	used = (struct used){ 0 };
	process_start(&a, "fridge-07", &disk);
	assert_int_equal(smq_kept_life_begin(&l, &a.store, smq_crypto_openssl(), smq_random_system(), &a.group),
			 SMQ_ERR_DISK_FULL);
	assert_null(l.store);
	process_kill(&a);
	disk.fail = SMQ_OK;
	life_start(&a, &l, &disk);
	disk.fail = SMQ_ERR_DISK_FULL;
	for (int n = 0; n < SMQ_KEPT_LIFE_BLOCK; n++)
		assert_int_equal(seal_kept(&a, &l, &used), SMQ_OK); /* what is reserved is there to be used */
	assert_int_equal(seal_kept(&a, &l, &used), SMQ_ERR_DISK_FULL);
	assert_int_equal(seal_kept(&a, &l, &used), SMQ_ERR_DISK_FULL);
	disk.fail = SMQ_OK;
	assert_int_equal(seal_kept(&a, &l, &used), SMQ_OK); /* and goes on where it stopped */
	assert_int_equal(used.top, SMQ_KEPT_LIFE_BLOCK + 1);
	process_kill(&a);
	disk.values[0].len--;
	process_start(&a, "fridge-07", &disk);
	assert_int_equal(smq_kept_life_begin(&l, &a.store, smq_crypto_openssl(), smq_random_system(), &a.group),
			 SMQ_ERR_CORRUPT);
	process_kill(&a);
	process_start(&a, "nobody", &disk);
	assert_int_equal(smq_kept_life_begin(&l, &a.store, smq_crypto_openssl(), smq_random_system(), &a.group),
			 SMQ_ERR_UNKNOWN_SENDER);
	process_kill(&a);
	store_memory_done(&disk);
}

/* The disk with a writer of its own: killed anywhere, whether the writer got there or not, no counter comes twice. */
static void counters_are_reserved_before_they_are_needed(void **state)
{
	(void)state;
	static const int sealed[] = { 600, 511, 512, 513, 1023, 1024, 1025, 2000, 1, 3000, 0, 600 };
	static struct used used;
	struct store_memory disk = { 0 };
	struct process a;
	struct smq_kept_life l;
	used = (struct used){ 0 };
	for (size_t i = 0; i < SMQ_COUNT(sealed); i++) {
		with_writer(&a, &disk);
		smq_group_done(&a.group);
		assert_int_equal(smq_group_init(&a.group, smq_crypto_openssl(), smq_random_system(), &a.file,
						"fridge-07", &a.windows, a.lives, LIVES),
				 SMQ_OK);
		assert_int_equal(smq_kept_life_begin(&l, &a.store, smq_crypto_openssl(), smq_random_system(), &a.group),
				 SMQ_OK);
		behind.waits = 0;
		behind.lost = i % 4 == 2;
		for (int n = 0; n < sealed[i]; n++)
			assert_int_equal(seal_kept(&a, &l, &used), SMQ_OK);
		assert_in_range(behind.waits, 0, behind.lost ? 3 : 0);
		if (i % 3 == 1)
			smq_kept_life_end(&l, &a.group.sealer);
		process_kill(&a); /* and what was on its way is lost */
		store_memory_done(&behind.late);
	}
	store_memory_done(&disk);
}

/* The key is that of all lives together, and so is the AEAD's limit. */
static void a_kept_boot_id_stops_at_the_limit_of_all_its_lives(void **state)
{
	(void)state;
	const uint64_t limit = UINT64_C(1) << 32;
	struct store_memory disk = { 0 };
	struct process a;
	struct smq_kept_life l;
	uint8_t room[ROOM];
	size_t len;
	life_start(&a, &l, &disk);
	a.group.sealer.next_counter = a.group.sealer.counter_limit = limit - 1;
	l.reserve.next = l.reserve.stored = limit - 1;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(smq_kept_life_before_seal(&l, &a.group.sealer), SMQ_OK);
		assert_int_equal(smq_group_seal(&a.group, smq_span_str(topic), -1, smq_span_str("x"),
						smq_mspan_of(room, sizeof(room)), &len),
				 i == 0 ? SMQ_OK : SMQ_ERR_KEY_SPENT);
	}
	process_kill(&a);
	life_start(&a, &l, &disk);
	assert_int_equal(smq_group_seal(&a.group, smq_span_str(topic), -1, smq_span_str("x"),
					smq_mspan_of(room, sizeof(room)), &len),
			 SMQ_ERR_KEY_SPENT);
	process_kill(&a);
	store_memory_done(&disk);
}

/* ---- one key file, two processes: what a copied or restored state directory comes to ---- */

struct identity {
	uint8_t context_digest[SMQ_HASH_LEN];
	uint8_t base_iv[SMQ_AEAD_NONCE_MAX];
};

static struct identity identity_of_new_process(void)
{
	struct identity id;
	int fd[2];
	assert_int_equal(pipe(fd), 0);
	pid_t pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		struct process p;
		process_start(&p, "fridge-07", NULL);
		memcpy(id.context_digest, p.group.sealer.key.context_digest, sizeof(id.context_digest));
		memcpy(id.base_iv, p.group.sealer.key.base_iv, sizeof(id.base_iv));
		_exit(write(fd[1], &id, sizeof(id)) == sizeof(id) ? 0 : 1);
	}
	close(fd[1]);
	assert_int_equal(read(fd[0], &id, sizeof(id)), sizeof(id));
	close(fd[0]);
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	return id;
}

static void processes_from_a_copied_state_never_share_a_key_and_nonce(void **state)
{
	(void)state;
	enum { PROCESSES = 8 };
	struct identity ids[PROCESSES];
	for (int i = 0; i < PROCESSES; i++) {
		ids[i] = identity_of_new_process();
		for (int j = 0; j < i; j++) {
			/* the digest decides the key, so keys differ where digests do */
			assert_memory_not_equal(ids[i].context_digest, ids[j].context_digest, SMQ_HASH_LEN);
			assert_memory_not_equal(ids[i].base_iv, ids[j].base_iv, 12);
		}
	}
}

static smq_err fill_zeroes(void *self, smq_mspan room)
{
	(void)self;
	memset(room.p, 0, room.len);
	return SMQ_OK;
}

static smq_err fill_fails(void *self, smq_mspan room)
{
	(void)self, (void)room;
	return SMQ_ERR_IO;
}

static void no_randomness_no_boot_id(void **state)
{
	(void)state;
	const struct smq_random zeroes = { .fill = fill_zeroes }, none = { .fill = fill_fails };
	uint8_t id[SMQ_BOOT_ID_LEN];
	struct process p;
	assert_int_equal(smq_boot_id_new(&zeroes, id), SMQ_ERR_CRYPTO);
	assert_int_equal(smq_boot_id_new(&none, id), SMQ_ERR_IO);
	memset(&p, 0, sizeof(p));
	p.file = group_file();
	assert_int_equal(
	    smq_group_init(&p.group, smq_crypto_openssl(), &none, &p.file, "archive", NULL, p.lives, LIVES),
	    SMQ_ERR_IO);
}

/* ---- a boot id that is kept: counters are on disk before they are used ---- */

/* A sender that dies at step `dies`; the steps are: ask, write, confirm, and each use. Returns false once it lived. */
static bool sender_life(uint64_t *disk, uint64_t block, int uses, int dies, uint64_t *used, size_t *used_count)
{
	struct smq_reserve r;
	uint64_t value, next;
	smq_reserve_init(&r, *disk, block);
	next = smq_reserve_start(&r);
	for (int i = 0; i < uses; i++) {
		if (smq_reserve_next(&r, &value)) {
			if (dies-- == 0)
				return true;
			*disk = value;
			if (dies-- == 0)
				return true;
			smq_reserve_stored(&r, value);
		}
		assert_true(next < smq_reserve_limit(&r));
		assert_true(next < *disk);
		used[(*used_count)++] = next++;
		smq_reserve_used(&r, next);
		if (dies-- == 0)
			return true;
	}
	return false;
}

static void kept_boot_ids_never_repeat_a_counter(void **state)
{
	(void)state;
	static const uint64_t blocks[] = { 1, 2, 3, 10, 1000 };
	for (size_t b = 0; b < SMQ_COUNT(blocks); b++) {
		uint64_t disk = 0, used[4096];
		size_t count = 0;
		for (int dies = 0; dies < 60; dies++)
			(void)sender_life(&disk, blocks[b], 25, dies, used, &count);
		for (size_t i = 1; i < count; i++)
			assert_true(used[i] > used[i - 1]);
		assert_true(count > 500);
	}
}

static void reservations_end_with_the_counters(void **state)
{
	(void)state;
	struct smq_reserve r;
	uint64_t value = 0;
	smq_reserve_init(&r, SMQ_VARINT_MAX - 4, 100);
	assert_true(smq_reserve_limit(&r) == SMQ_VARINT_MAX - 4); /* nothing before it is stored */
	assert_true(smq_reserve_next(&r, &value));
	assert_true(value == SMQ_VARINT_MAX + 1);
	assert_false(smq_reserve_next(&r, &value)); /* one write at a time */
	smq_reserve_stored(&r, 17);                 /* not what was asked for */
	assert_true(smq_reserve_limit(&r) == SMQ_VARINT_MAX - 4);
	assert_true(smq_reserve_next(&r, &value));
	smq_reserve_stored(&r, value);
	smq_reserve_used(&r, SMQ_VARINT_MAX);
	assert_false(smq_reserve_next(&r, &value));
}

/* ---- the key file ---- */

#define SECRET_HEX "4242424242424242424242424242424242424242424242424242424242424242"
#define HEAD "sealmq-group 1\nrealm plant\ngroup g\nepoch 1\nalgorithm A128GCM\ncreated 0\n"

static void key_files_read_back(void **state)
{
	(void)state;
	static struct smq_group_file f, back;
	static uint8_t text[SMQ_GROUP_FILE_MAX];
	size_t len = 0;
	f = group_file();
	assert_int_equal(smq_group_file_encode(&f, smq_mspan_of(text, sizeof(text)), &len), SMQ_OK);
	static const char want[] = "sealmq-group 1\nrealm plant\ngroup Telemetry_1\nepoch 3\nalgorithm A128GCM\n"
				   "created 1795259500\nmember fridge-07\nmember archive\nmember fridge-08\n"
				   "filter plant/#\nsecret " SECRET_HEX "\n";
	assert_int_equal(len, strlen(want));
	assert_memory_equal(text, want, len);
	assert_int_equal(smq_group_file_decode(smq_span_of(text, len), &back, NULL), SMQ_OK);
	assert_memory_equal(&f, &back, sizeof(f));
	for (size_t cut = 0; cut < len; cut++)
		assert_int_not_equal(smq_group_file_decode(smq_span_of(text, cut), &back, NULL), SMQ_OK);
	f.member_count = SMQ_GROUP_MEMBERS_MAX;
	for (size_t i = 0; i < f.member_count; i++)
		snprintf(f.members[i], sizeof(f.members[i]), "%064zu", i);
	f.filter_count = SMQ_GROUP_FILTERS_MAX;
	for (size_t i = 0; i < f.filter_count; i++)
		memset(f.filters[i], 'a', SMQ_GROUP_FILTER_MAX);
	assert_int_equal(smq_group_file_encode(&f, smq_mspan_of(text, sizeof(text)), &len),
			 SMQ_OK); /* the largest fits */
	assert_int_equal(smq_group_file_decode(smq_span_of(text, len), &back, NULL), SMQ_OK);
}

static void key_files_have_one_spelling(void **state)
{
	(void)state;
	static const struct {
		int number;
		const char *text;
		smq_err err;
		size_t line;
	} rows[] = {
		{ 1, HEAD "member a\nsecret " SECRET_HEX "\n", SMQ_OK, 0 },
		{ 2, "", SMQ_ERR_MALFORMED, 1 },
		{ 3, "sealmq-group 2\n", SMQ_ERR_VERSION, 1 },
		{ 4, "sealmq-group 1\nrealm pl ant\n", SMQ_ERR_NAME, 2 },
		{ 5, "sealmq-group 1\nrealm plant\ngroup \n", SMQ_ERR_NAME, 3 },
		{ 6, "sealmq-group 1\nrealm plant\ngroup g\nepoch 0\n", SMQ_ERR_MALFORMED, 4 },
		{ 7, "sealmq-group 1\nrealm plant\ngroup g\nepoch 01\n", SMQ_ERR_MALFORMED, 4 },
		{ 8, "sealmq-group 1\nrealm plant\ngroup g\nepoch 99999999999999999999\n", SMQ_ERR_MALFORMED, 4 },
		{ 9, "sealmq-group 1\nrealm plant\ngroup g\nepoch 1\nalgorithm a128gcm\n", SMQ_ERR_ALGORITHM, 5 },
		{ 10, "sealmq-group 1\nrealm plant\ngroup g\nepoch 1\nalgorithm AES-CCM-16-64-128\n", SMQ_ERR_ALGORITHM,
		  5 },
		{ 11, HEAD "secret " SECRET_HEX "\n", SMQ_ERR_MALFORMED, 6 },
		{ 12, HEAD "member a\nmember a\nsecret " SECRET_HEX "\n", SMQ_ERR_NAME, 8 },
		{ 13, HEAD "member a\nfilter a/#/b\nsecret " SECRET_HEX "\n", SMQ_ERR_TOPIC, 8 },
		{ 14, HEAD "member a\nsecret 42\n", SMQ_ERR_MALFORMED, 8 },
		{ 15,
		  HEAD "member a\nsecret A2"
		       "42424242424242424242424242424242424242424242424242424242424242\n",
		  SMQ_ERR_MALFORMED, 8 },
		{ 16, HEAD "member a\nsecret " SECRET_HEX "\n\n", SMQ_ERR_TRAILING, 8 },
		{ 17, HEAD "member a\nsecret " SECRET_HEX, SMQ_ERR_MALFORMED, 8 },
		{ 18, HEAD "\nmember a\nsecret " SECRET_HEX "\n", SMQ_ERR_MALFORMED, 6 },
		{ 19, "sealmq-group 1\r\n", SMQ_ERR_VERSION, 1 },
		{ 20, HEAD "filter a\nmember a\nsecret " SECRET_HEX "\n", SMQ_ERR_MALFORMED, 6 },
	};
	static struct smq_group_file f;
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		size_t line = 0;
		smq_err err = smq_group_file_decode(smq_span_str(rows[i].text), &f, &line);
		if (err != rows[i].err || line != rows[i].line)
			fail_msg("row %d: %s, line %zu", rows[i].number, smq_err_name(err), line);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_read_each_other),
		cmocka_unit_test(what_is_not_for_the_group_is_told_apart),
		cmocka_unit_test(forged_lives_push_nobody_out),
		cmocka_unit_test(a_kill_at_any_message_opens_none_twice),
		cmocka_unit_test(a_clean_restart_skips_nothing),
		cmocka_unit_test(writes_follow_the_pace_of_the_sender),
		cmocka_unit_test(the_next_floor_is_asked_for_before_it_is_needed),
		cmocka_unit_test(a_window_that_cannot_be_saved_delivers_nothing),
		cmocka_unit_test(lives_pushed_out_of_memory_are_not_forgotten),
		cmocka_unit_test(a_full_or_broken_shard_is_an_error_and_no_gap),
		cmocka_unit_test(a_kept_boot_id_never_repeats_a_counter),
		cmocka_unit_test(a_kept_boot_id_seals_nothing_that_is_not_reserved),
		cmocka_unit_test(counters_are_reserved_before_they_are_needed),
		cmocka_unit_test(a_kept_boot_id_stops_at_the_limit_of_all_its_lives),
		cmocka_unit_test(processes_from_a_copied_state_never_share_a_key_and_nonce),
		cmocka_unit_test(no_randomness_no_boot_id),
		cmocka_unit_test(kept_boot_ids_never_repeat_a_counter),
		cmocka_unit_test(reservations_end_with_the_counters),
		cmocka_unit_test(key_files_read_back),
		cmocka_unit_test(key_files_have_one_spelling),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
