/* core/replay: one counter at a time through the window, numbered. */
#include "cmocka_all.h"

#include "base/table.h"
#include "base/varint.h"
#include "core/replay.h"

enum { W = SMQ_REPLAY_WIDTH, BITS = 64 * SMQ_REPLAY_WORDS };

static smq_err take(struct smq_replay *r, uint64_t counter)
{
	smq_err err = smq_replay_check(r, counter);
	if (err == SMQ_OK)
		(void)smq_replay_commit(r, counter);
	return err;
}

static void counters_pass_once_and_only_inside_the_window(void **state)
{
	(void)state;
	static const struct {
		int number;
		uint64_t counter;
		smq_err err;
	} rows[] = {
		{ 1, 0, SMQ_OK },
		{ 2, 1, SMQ_OK },
		{ 3, 1, SMQ_ERR_REPLAY },
		{ 4, 9, SMQ_OK },
		{ 5, 8, SMQ_OK },
		{ 6, 7, SMQ_OK },
		{ 7, 7, SMQ_ERR_REPLAY },
		{ 8, 0, SMQ_ERR_REPLAY },
		{ 9, 63, SMQ_OK }, /* both sides of a word */
		{ 10, 64, SMQ_OK },
		{ 11, 63, SMQ_ERR_REPLAY },
		{ 12, 64, SMQ_ERR_REPLAY },
		{ 13, W - 1, SMQ_OK }, /* the window is 0 .. W - 1 */
		{ 14, 2, SMQ_OK },
		{ 15, W, SMQ_OK }, /* 1 .. W */
		{ 16, 0, SMQ_ERR_REPLAY },
		{ 17, 3, SMQ_OK },
		{ 18, W + 4, SMQ_OK }, /* 5 .. W + 4 */
		{ 19, 4, SMQ_ERR_REPLAY },
		{ 20, 5, SMQ_OK },
		{ 21, 5, SMQ_ERR_REPLAY },
		{ 22, BITS - 1, SMQ_OK }, /* the last bit of the ring */
		{ 23, BITS, SMQ_OK },     /* and round to its first word, which must be clean */
		{ 24, BITS + 1, SMQ_OK },
		{ 25, BITS + 63, SMQ_OK },
		{ 26, BITS, SMQ_ERR_REPLAY },
		{ 27, BITS + 63 - W, SMQ_ERR_REPLAY },
		{ 28, BITS + 64 - W, SMQ_OK },
		{ 29, 10 * BITS + 5, SMQ_OK }, /* a jump by many rounds lands on the same words */
		{ 30, 10 * BITS + 4, SMQ_OK },
		{ 31, 10 * BITS + 6 - W, SMQ_OK },
		{ 32, 10 * BITS + 5 - W, SMQ_ERR_REPLAY },
		{ 33, 10 * BITS + 5, SMQ_ERR_REPLAY },
		{ 34, 11 * BITS + 5, SMQ_OK }, /* exactly one round: every word is stale, the own one too */
		{ 35, 11 * BITS + 4, SMQ_OK },
		{ 36, 11 * BITS + 5, SMQ_ERR_REPLAY },
		{ 37, SMQ_VARINT_MAX, SMQ_OK }, /* the last counter there is */
		{ 38, SMQ_VARINT_MAX, SMQ_ERR_REPLAY },
		{ 39, SMQ_VARINT_MAX - W + 1, SMQ_OK },
		{ 40, SMQ_VARINT_MAX - W, SMQ_ERR_REPLAY },
		{ 41, SMQ_VARINT_MAX + 1, SMQ_ERR_REPLAY },
		{ 42, UINT64_MAX, SMQ_ERR_REPLAY },
	};
	struct smq_replay r = { 0 };
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		smq_err err = take(&r, rows[i].counter);
		if (err != rows[i].err)
			fail_msg("row %d: %s", rows[i].number, smq_err_name(err));
	}
}

/* The plainest model there is: a flag per counter. Pseudo-random walks that favour edges and repeats. */
static void window_agrees_with_a_plain_model(void **state)
{
	(void)state;
	enum { SPAN = 40000 };
	static uint8_t seen[SPAN];
	struct smq_replay r = { 0 };
	uint64_t next = 0;
	uint32_t seed = 7;
	memset(seen, 0, sizeof(seen));
	for (int i = 0; i < 200000; i++) {
		seed = seed * 1664525u + 1013904223u;
		uint64_t reach = (seed >> 28) == 0 ? 3000 : 1300;
		uint64_t base = next > 1200 ? next - 1200 : 0;
		uint64_t counter = base + (seed >> 4) % reach;
		if (counter >= SPAN)
			counter = SPAN - 1 - (seed >> 4) % 1100;
		bool want = counter >= next || (next - counter <= W && !seen[counter]);
		assert_int_equal(smq_replay_check(&r, counter), want ? SMQ_OK : SMQ_ERR_REPLAY);
		if (!want)
			continue;
		uint64_t skipped = next > 0 && counter > next ? counter - next : 0;
		assert_true(smq_replay_commit(&r, counter) == skipped);
		seen[counter] = 1;
		next = counter >= next ? counter + 1 : next;
		assert_true(r.next == next);
	}
}

/* Every bit of the ring is set, then a jump: what lies between must be as new, wherever it lands. */
static void a_jump_leaves_nothing_of_the_past(void **state)
{
	(void)state;
	for (uint64_t jump = 1; jump < 3 * BITS; jump += 7) {
		struct smq_replay r = { 0 };
		for (uint64_t i = 0; i < 2 * BITS; i++)
			assert_int_equal(take(&r, i), SMQ_OK);
		assert_int_equal(take(&r, 2 * BITS - 1 + jump), SMQ_OK);
		for (uint64_t i = r.next - W; i < r.next - 1; i++)
			assert_int_equal(smq_replay_check(&r, i), i < 2 * BITS ? SMQ_ERR_REPLAY : SMQ_OK);
	}
}

static void gaps_are_counted_from_the_first_message_on(void **state)
{
	(void)state;
	static const struct {
		uint64_t counter, skipped;
	} rows[] = { { 5000, 0 }, { 5001, 0 }, { 5005, 3 }, { 5003, 0 }, { 5006, 0 }, { 9000, 3993 } };
	struct smq_replay r = { 0 };
	for (size_t i = 0; i < SMQ_COUNT(rows); i++)
		assert_true(smq_replay_commit(&r, rows[i].counter) == rows[i].skipped);
}

static void check_changes_nothing(void **state)
{
	(void)state;
	struct smq_replay r = { 0 }, before;
	(void)smq_replay_commit(&r, 77);
	before = r;
	assert_int_equal(smq_replay_check(&r, 77), SMQ_ERR_REPLAY);
	assert_int_equal(smq_replay_check(&r, 5), SMQ_OK);
	assert_int_equal(smq_replay_check(&r, 99999), SMQ_OK);
	assert_memory_equal(&r, &before, sizeof(r));
}

static void a_floor_refuses_all_below_and_nothing_above(void **state)
{
	(void)state;
	static const uint64_t floors[] = { 1, 63, 64, 65, 1024, 1087, 1088, 1089, 123456, SMQ_VARINT_MAX };
	for (size_t i = 0; i < SMQ_COUNT(floors); i++) {
		for (uint64_t d = 0; d < 2 * BITS; d += 61) {
			struct smq_replay r = { 0 };
			(void)smq_replay_commit(&r, 0);
			smq_replay_refuse_below(&r, floors[i]);
			for (uint64_t below = floors[i]; below-- > 0 && floors[i] - below < 2 * W;)
				assert_int_equal(smq_replay_check(&r, below), SMQ_ERR_REPLAY);
			if (floors[i] + d > SMQ_VARINT_MAX)
				continue;
			assert_int_equal(take(&r, floors[i] + d), SMQ_OK);
			if (d > 0 && d <= W)
				assert_int_equal(take(&r, floors[i] + d - 1), SMQ_OK);
			if (d < W)
				assert_int_equal(take(&r, floors[i] - 1), SMQ_ERR_REPLAY);
		}
	}
	struct smq_replay r = { 0 };
	(void)smq_replay_commit(&r, 100);
	smq_replay_refuse_below(&r, 50); /* never back */
	assert_int_equal(smq_replay_check(&r, 40), SMQ_OK);
}

static void encoding_keeps_every_answer(void **state)
{
	(void)state;
	struct smq_replay r = { 0 }, back;
	uint8_t bytes[SMQ_REPLAY_ENCODED_LEN];
	static const uint64_t counters[] = { 3, 64, 63, 1023, 700, 1088, 5000, 4990 };
	smq_replay_encode(&r, bytes);
	assert_int_equal(smq_replay_decode(smq_span_of(bytes, sizeof(bytes)), &back), SMQ_OK);
	for (size_t i = 0; i < SMQ_COUNT(counters); i++) {
		(void)smq_replay_commit(&r, counters[i]);
		smq_replay_encode(&r, bytes);
		memset(&back, 0xaa, sizeof(back));
		assert_int_equal(smq_replay_decode(smq_span_of(bytes, sizeof(bytes)), &back), SMQ_OK);
		assert_memory_equal(&back, &r, sizeof(r));
	}
}

static void encodings_that_no_window_has_are_refused(void **state)
{
	(void)state;
	struct smq_replay r = { 0 }, back = { .next = 42 };
	uint8_t bytes[SMQ_REPLAY_ENCODED_LEN];
	(void)smq_replay_commit(&r, 70);
	smq_replay_encode(&r, bytes);
	assert_int_equal(smq_replay_decode(smq_span_of(bytes, sizeof(bytes) - 1), &back), SMQ_ERR_CORRUPT);
	bytes[7]++; /* the highest counter was not seen */
	assert_int_equal(smq_replay_decode(smq_span_of(bytes, sizeof(bytes)), &back), SMQ_ERR_CORRUPT);
	bytes[7] -= 2; /* a bit above the highest */
	assert_int_equal(smq_replay_decode(smq_span_of(bytes, sizeof(bytes)), &back), SMQ_ERR_CORRUPT);
	memset(bytes, 0, 8);
	assert_int_equal(smq_replay_decode(smq_span_of(bytes, sizeof(bytes)), &back), SMQ_ERR_CORRUPT);
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(smq_replay_decode(smq_span_of(bytes, sizeof(bytes)), &back), SMQ_ERR_CORRUPT);
	assert_true(back.next == 42);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counters_pass_once_and_only_inside_the_window),
		cmocka_unit_test(window_agrees_with_a_plain_model),
		cmocka_unit_test(a_jump_leaves_nothing_of_the_past),
		cmocka_unit_test(gaps_are_counted_from_the_first_message_on),
		cmocka_unit_test(check_changes_nothing),
		cmocka_unit_test(a_floor_refuses_all_below_and_nothing_above),
		cmocka_unit_test(encoding_keeps_every_answer),
		cmocka_unit_test(encodings_that_no_window_has_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
