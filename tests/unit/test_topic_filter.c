/* Topic filters: how narrow they are, and whether two of them have a topic in common. */
#include "cmocka_all.h"

#include "app/topic_filter.h"
#include "base/table.h"

static void filters_overlap_where_a_topic_matches_both(void **state)
{
	(void)state;
	static const struct {
		const char *a, *b;
		bool overlap;
	} rows[] = {
		{ "a", "a", true },
		{ "a", "b", false },
		{ "a/b", "a", false },
		{ "a/", "a", false },
		{ "a/", "a/+", true },
		{ "/a", "a", false },
		{ "/a", "+/a", true },
		{ "#", "a/b/c", true },
		{ "#", "+", true },
		{ "a/#", "a", true }, /* the level above, too */
		{ "a/#", "b", false },
		{ "a/#", "+/b/c", true },
		{ "a/#", "+", true },
		{ "a/+/c", "a/b/+", true },
		{ "a/+/c", "a/b/d", false },
		{ "+/+", "a", false },
		{ "+/+", "a/b/c", false },
		{ "+/b/#", "a/+/c", true },
		{ "a/b", "a/b/#", true },
		{ "a/b/c", "a/b/#", true },
		{ "#", "$SYS/x", false }, /* wildcards leave these out */
		{ "+/x", "$SYS/x", false },
		{ "$SYS/#", "$SYS/x", true },
		{ "$share/many/a/+", "a/b", true },
		{ "$share/many/a/+", "b/b", false },
		{ "$share/many/#", "$share/others/a", true },
		{ "$share", "a", false },
	};
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		smq_span a = smq_span_str(rows[i].a), b = smq_span_str(rows[i].b);
		if (smq_filters_overlap(a, b) != rows[i].overlap || smq_filters_overlap(b, a) != rows[i].overlap)
			fail_msg("row %zu: %s and %s", i, rows[i].a, rows[i].b);
	}
}

/* Each one is narrower than the next; the last does not match. */
static void narrower_filters_are_larger(void **state)
{
	(void)state;
	static const char *const rows[] = { "a/b/c", "a/b/c/#", "a/b/+", "a/b/#", "a/+/c", "a/#", "+/b/c", "#", "a/b" };
	for (size_t i = 0; i + 1 < SMQ_COUNT(rows); i++) {
		uint64_t this = smq_filter_width(smq_span_str(rows[i]), smq_span_str("a/b/c"));
		uint64_t next = smq_filter_width(smq_span_str(rows[i + 1]), smq_span_str("a/b/c"));
		/* where a filter ends with the topic it is as narrow as words */
		if (i == 0 ? this < next : this <= next)
			fail_msg("row %zu", i);
	}
	assert_int_equal(smq_filter_width(smq_span_str("a/b"), smq_span_str("a/b/c")), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(filters_overlap_where_a_topic_matches_both),
		cmocka_unit_test(narrower_filters_are_larger),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
