/* Several processes on one realm directory: a state each, and nothing that one of them delivered is forgotten. */
#include "cmocka_all.h"

#include "core/group_member_state.h"
#include "dir_rig.h"
#include "lib/realm_state.h"

static struct smq_store open_state(enum smq_state_use use)
{
	struct smq_store s = { 0 };
	assert_int_equal(smq_state_open("state", use, &s), SMQ_OK);
	return s;
}

static void shut(struct smq_store *s) { s->free(s->self); }

static void put(const struct smq_store *s, const char *key, const void *bytes, size_t len)
{
	assert_int_equal(s->put(s->self, key, smq_span_of(bytes, len)), SMQ_OK);
}

/* ---- values ---- */

static const char floor_key[] = "floor-0123456789abcdef01234567-3-a0", member_key[] = "member-0123456789abcdef01234567";

/* Floors of as many lives as there are numbers; 0: none of that life. */
static size_t floors(uint8_t *at, const uint8_t *numbers, size_t count)
{
	size_t len = 8;
	memcpy(at, "smqflr1", 8);
	for (size_t i = 0; i < count; i++) {
		if (numbers[i] == 0)
			continue;
		memset(at + len, 0, 24);
		at[len] = 0xa0;
		at[len + 1] = (uint8_t)i;
		at[len + 23] = numbers[i];
		len += 24;
	}
	return len;
}

static void put_floors(const struct smq_store *s, const uint8_t *numbers, size_t count)
{
	uint8_t bytes[256];
	put(s, floor_key, bytes, floors(bytes, numbers, count));
}

static void assert_floors(const struct smq_store *s, const uint8_t *numbers, size_t count)
{
	uint8_t have[256], want[256];
	size_t len = 0;
	assert_int_equal(s->get(s->self, floor_key, smq_mspan_of(have, sizeof(have)), &len), SMQ_OK);
	assert_int_equal(len, floors(want, numbers, count));
	assert_memory_equal(have, want, len);
}

static void put_membership(const struct smq_store *s, uint64_t epoch)
{
	static struct member_kept k;
	static uint8_t bytes[SMQ_GROUP_STATE_MAX];
	size_t len = 0;
	k = (struct member_kept){ .chain = { .epoch = epoch, .expires_ms = 1, .signer = "keys" }, .until_ms = 1 };
	assert_int_equal(smq_gm_kept_encode(&k, smq_mspan_of(bytes, sizeof(bytes)), &len), SMQ_OK);
	assert_int_equal(smq_group_kept_epoch(smq_span_of(bytes, len)), epoch);
	assert_int_equal(smq_group_kept_epoch(smq_span_of(bytes, 1)), 0);
	put(s, member_key, bytes, len);
}

static uint64_t membership(const struct smq_store *s)
{
	static uint8_t bytes[SMQ_GROUP_STATE_MAX];
	size_t len = 0;
	smq_err err = s->get(s->self, member_key, smq_mspan_of(bytes, sizeof(bytes)), &len);
	return err == SMQ_OK ? smq_group_kept_epoch(smq_span_of(bytes, len)) : 0;
}

static uint64_t borrowed(void)
{
	static uint8_t bytes[SMQ_GROUP_STATE_MAX];
	size_t len = 0;
	smq_err err = smq_state_borrow("state", member_key, smq_mspan_of(bytes, sizeof(bytes)), &len);
	return err == SMQ_OK ? smq_group_kept_epoch(smq_span_of(bytes, len)) : 0;
}

/* ---- cases ---- */

static void everybody_has_a_place_until_there_is_none(void **state)
{
	(void)state;
	static const struct {
		enum smq_state_use use;
		int places;
	} rows[] = { { SMQ_STATE_READS, 16 }, { SMQ_STATE_WRITES, 16 }, { SMQ_STATE_COUNTERS, 1 } };
	struct smq_store all[3][16], more;
	for (int r = 0; r < 3; r++) {
		for (int i = 0; i < rows[r].places; i++)
			all[r][i] = open_state(rows[r].use);
		assert_int_equal(smq_state_open("state", rows[r].use, &more), SMQ_ERR_LOCKED);
	}
	shut(&all[0][7]);
	all[0][7] = open_state(SMQ_STATE_READS);
	for (int r = 0; r < 3; r++) {
		for (int i = 0; i < rows[r].places; i++)
			shut(&all[r][i]);
	}
}

static void a_reader_knows_what_those_before_it_delivered(void **state)
{
	(void)state;
	struct smq_store one = open_state(SMQ_STATE_READS), two = open_state(SMQ_STATE_READS);
	put_floors(&one, (const uint8_t[]){ 5, 9, 0 }, 3);
	put_floors(&two, (const uint8_t[]){ 7, 3, 4 }, 3);
	put_membership(&one, 6);
	put_membership(&two, 8);
	put(&two, "known-00", "theirs", 6);
	shut(&one);
	/* the second one still lives: it goes on by itself */
	one = open_state(SMQ_STATE_READS);
	assert_floors(&one, (const uint8_t[]){ 5, 9, 0 }, 3);
	assert_floors(&two, (const uint8_t[]){ 7, 3, 4 }, 3);
	assert_int_equal(membership(&one), 6);
	shut(&one);
	shut(&two);
	for (int life = 0; life < 2; life++) { /* a second time nothing is left to take over */
		one = open_state(SMQ_STATE_READS);
		assert_floors(&one, (const uint8_t[]){ 7, 9, 4 }, 3);
		assert_int_equal(membership(&one), 8);
		shut(&one);
	}
	/* writers' states say nothing about what was delivered */
	two = open_state(SMQ_STATE_WRITES);
	put_floors(&two, (const uint8_t[]){ 99 }, 1);
	shut(&two);
	one = open_state(SMQ_STATE_READS);
	assert_floors(&one, (const uint8_t[]){ 7, 9, 4 }, 3);
	shut(&one);
}

static void what_does_not_fit_stays_where_it_is(void **state)
{
	(void)state;
	static uint8_t full[8 + 1024 * 24], room[sizeof(full)];
	const uint8_t last[2] = { 0, 1 };
	size_t len = 0;
	struct smq_store one = open_state(SMQ_STATE_READS), two = open_state(SMQ_STATE_READS);
	memcpy(full, "smqflr1", 8);
	for (size_t i = 0; i < 1024; i++) {
		full[8 + 24 * i + 2] = (uint8_t)(1 + i / 256);
		full[8 + 24 * i + 3] = (uint8_t)i;
		full[8 + 24 * i + 23] = 1;
	}
	put(&one, floor_key, full, sizeof(full));
	put_floors(&two, last, 2);
	put(&two, "floor-broken", "x", 1);
	shut(&one);
	shut(&two);
	for (int life = 0; life < 2; life++) {
		one = open_state(SMQ_STATE_READS);
		two = open_state(SMQ_STATE_READS);
		assert_int_equal(one.get(one.self, floor_key, smq_mspan_of(room, sizeof(room)), &len), SMQ_OK);
		assert_int_equal(len, sizeof(full));
		assert_memory_equal(room, full, len);
		assert_floors(&two, last, 2);
		assert_int_equal(two.get(two.self, "floor-broken", smq_mspan_of(room, sizeof(room)), &len), SMQ_OK);
		shut(&one);
		shut(&two);
	}
}

static void a_membership_is_borrowed_from_whoever_has_come_furthest(void **state)
{
	(void)state;
	struct smq_store one, two, writer;
	assert_int_equal(borrowed(), 0); /* not even a directory */
	one = open_state(SMQ_STATE_READS);
	two = open_state(SMQ_STATE_READS);
	writer = open_state(SMQ_STATE_WRITES);
	assert_int_equal(borrowed(), 0);
	put_membership(&one, 3);
	assert_int_equal(borrowed(), 3);
	put_membership(&writer, 5);
	assert_int_equal(borrowed(), 5);
	put_membership(&two, 4);
	assert_int_equal(borrowed(), 5);
	shut(&writer); /* alive or not */
	assert_int_equal(borrowed(), 5);
	put(&one, member_key, "spoilt", 6);
	assert_int_equal(borrowed(), 5);
	shut(&one);
	shut(&two);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, rig_enter, rig_leave)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(everybody_has_a_place_until_there_is_none),
		CASE(a_reader_knows_what_those_before_it_delivered),
		CASE(what_does_not_fit_stays_where_it_is),
		CASE(a_membership_is_borrowed_from_whoever_has_come_furthest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
