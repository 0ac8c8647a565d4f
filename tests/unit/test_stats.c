/* The numbers of --stats, and the lines about refusals. */
#include "cmocka_all.h"

#include <stdlib.h>

#include "base/table.h"
#include "cli/report.h"
#include "cli/stats.h"

static struct histogram h;

static void percentiles_are_close(void **state)
{
	static const struct {
		uint64_t values; /* 1..values, once each */
		double share;
		uint64_t wanted;
	} rows[] = { { 1, 0.5, 1 },          { 10, 0.5, 5 },          { 31, 0.99, 31 },
		     { 100, 0.5, 50 },       { 1000, 0.5, 500 },      { 1000, 0.99, 990 },
		     { 100000, 0.5, 50000 }, { 100000, 0.99, 99000 }, { 100000, 1.0, 100000 } };
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		h = (struct histogram){ 0 };
		for (uint64_t v = 1; v <= rows[i].values; v++)
			histogram_add(&h, v);
		uint64_t found = histogram_at(&h, rows[i].share);
		/* never below the truth, and at most one part in 32 above it */
		if (found < rows[i].wanted || (double)found > (double)rows[i].wanted * (1 + 1.0 / 32))
			fail_msg("row %zu: %llu", i + 1, (unsigned long long)found);
		assert_int_equal(h.max, rows[i].values);
	}
}

static void the_ends_of_the_range(void **state)
{
	static const uint64_t values[] = { 0, 31, 32, 33, 63, 64, 1023, 1024, UINT64_C(1) << 62, UINT64_MAX };
	(void)state;
	h = (struct histogram){ 0 };
	assert_int_equal(histogram_at(&h, 0.5), 0);
	for (size_t i = 0; i < SMQ_COUNT(values); i++) {
		h = (struct histogram){ 0 };
		histogram_add(&h, values[i]);
		/* alone it is its own maximum, whatever the bucket */
		assert_true(histogram_at(&h, 0.5) == values[i] || values[i] == UINT64_MAX);
	}
}

static void lines_say_what_happened(void **state)
{
	static struct stats s;
	struct buf out = { 0 };
	struct smq_message m = { .proof = SMQ_PROOF_PEER, .open_ns = 2000, .age_ms = 4 };
	struct smq_counts n = { .opened = 10,
				.bytes_plain = 1000,
				.bytes_sealed = 1220,
				.open_ns = 20000,
				.missing = 2,
				.refused = 3,
				.refused_replay = 2,
				.refused_moved = 1,
				.sessions = 1 };
	(void)state;
	stats_init(&s, false, 1000);
	for (int i = 0; i < 10; i++)
		stats_message(&s, &m);
	stats_line(&s, &n, 3000, &out);
	buf_put(&out, "", 1);
	assert_string_equal(
	    out.p,
	    "stats 2.0 s: 10 messages, 5.0/s, 500 B/s | over plaintext 22.0 B | open 2.0 us mean, p50 2.0 us, p99 2.0 "
	    "us, max 2.0 us "
	    "| end to end p50 4 ms, p99 4 ms, max 4 ms | missing 2, refused 3 (replay 2, moved 1) | key "
	    "exchanges 1\n");
	/* the next line is about what came since */
	out.len = 0;
	stats_line(&s, &n, 4000, &out);
	buf_put(&out, "", 1);
	assert_string_equal(out.p, "stats 3.0 s: 0 messages, 0.0/s, 0 B/s | missing 0, refused 0\n");
	/* the last one about everything, with a word on clocks */
	m.age_ms = -1;
	stats_message(&s, &m);
	out.len = 0;
	stats_total(&s, &n, 5000, &out);
	buf_put(&out, "", 1);
	assert_non_null(strstr(out.p, "stats in all, 4.0 s: 10 messages, 2.5/s"));
	assert_non_null(strstr(out.p, "end to end p50 4 ms"));
	assert_non_null(strstr(out.p, "1 messages seem to come from the future"));
	buf_free(&out);
}

static void publishers_lines(void **state)
{
	static struct stats s;
	struct buf out = { 0 };
	struct smq_counts n = { .sealed = 4,
				.bytes_plain = 40,
				.bytes_sealed = 128,
				.seal_ns = 4000,
				.acknowledged = 3,
				.queued = 1,
				.reconnects = 1 };
	(void)state;
	stats_init(&s, true, 0);
	stats_line(&s, &n, 1000, &out);
	buf_put(&out, "", 1);
	assert_string_equal(out.p, "stats 1.0 s: 4 messages, 4.0/s, 40 B/s | over plaintext 22.0 B | seal 1.0 us | "
				   "acknowledged 3, waiting 1 | reconnects 1\n");
	buf_free(&out);
}

/* ---- refusals ---- */

static size_t lines_in(const struct buf *b)
{
	size_t lines = 0;
	for (size_t i = 0; i < b->len; i++)
		lines += b->p[i] == '\n';
	return lines;
}

static void refusals_are_rate_limited(void **state)
{
	struct report r = { .tool = "t" };
	struct buf out = { 0 };
	struct smq_refusal replay = { .reason = SMQ_ERR_REPLAY,
				      .topic = "a/\033b",
				      .payload_len = 30,
				      .sender = "fridge",
				      .epoch = 2,
				      .counter = 9 };
	struct smq_refusal moved = { .reason = SMQ_ERR_MOVED, .topic = "x", .sender = "", .moved_from = "y" };
	(void)state;
	for (int i = 0; i < 100; i++)
		report_refusal(&r, &replay, 1000 + i, &out);
	assert_int_equal(lines_in(&out), REPORT_PER_WINDOW);
	assert_int_equal(r.total, 100);
	assert_int_equal(r.first, SMQ_ERR_REPLAY);
	buf_put(&out, "", 1);
	assert_non_null(strstr(out.p, "t: refused: replay: "));
	assert_non_null(strstr(out.p, "topic 'a/\\x1bb', says it is from 'fridge' (epoch 2, number 9), 30 bytes\n"));
	/* another reason has a count of its own */
	out.len = 0;
	report_refusal(&r, &moved, 1100, &out);
	buf_put(&out, "", 1);
	assert_non_null(strstr(out.p, "topic 'x', sealed for topic 'y', 0 bytes\n"));
	/* nothing before the window ends, then the rest in one line */
	out.len = 0;
	assert_int_equal(report_due_ms(&r), 1000 + REPORT_WINDOW_MS);
	report_held_back(&r, 1000 + REPORT_WINDOW_MS - 1, false, &out);
	assert_int_equal(out.len, 0);
	report_held_back(&r, 1000 + REPORT_WINDOW_MS, false, &out);
	buf_put(&out, "", 1);
	assert_non_null(strstr(out.p, "t: 95 more like this: "));
	assert_int_equal(report_due_ms(&r), INT64_MAX);
	/* and a new window prints again */
	out.len = 0;
	report_refusal(&r, &replay, 1000 + REPORT_WINDOW_MS + 1, &out);
	assert_int_equal(lines_in(&out), 1);
	buf_free(&out);
}

static void quiet_counts_and_says_nothing(void **state)
{
	struct report r = { .tool = "t", .quiet = true };
	struct buf out = { 0 };
	struct smq_refusal junk = { .reason = SMQ_ERR_OPEN, .topic = "x", .sender = "" };
	(void)state;
	for (int i = 0; i < 50; i++)
		report_refusal(&r, &junk, i, &out);
	report_held_back(&r, 60, true, &out);
	assert_int_equal(out.len, 0);
	assert_int_equal(r.total, 50);
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(percentiles_are_close),     cmocka_unit_test(the_ends_of_the_range),
		cmocka_unit_test(lines_say_what_happened),   cmocka_unit_test(publishers_lines),
		cmocka_unit_test(refusals_are_rate_limited), cmocka_unit_test(quiet_counts_and_says_nothing),
	};
	return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
