/* base: errors, reader, writer, varints, text. */
#include "cmocka_all.h"

#include "base/table.h"
#include "base/text.h"
#include "base/varint.h"
#include "base/wipe.h"

static void every_error_has_a_row(void **state)
{
	(void)state;
	int known = 0;
	for (int i = 0; i <= 255; i++) {
		const char *name = smq_err_name((smq_err)i);
		assert_non_null(name);
		assert_true(smq_err_exit((smq_err)i) >= 0 && smq_err_exit((smq_err)i) <= 255);
		if (strcmp(name, "bug") == 0)
			continue;
		known++;
		assert_true(strlen(smq_err_text((smq_err)i)) > 0);
		assert_true((i == 0) == (smq_err_exit((smq_err)i) == 0));
		assert_true((i == 0) == (smq_err_kind_of((smq_err)i) == SMQ_KIND_NONE));
		for (int j = 0; j < i; j++)
			assert_string_not_equal(name, smq_err_name((smq_err)j));
	}
	assert_true(known > 50);
	assert_int_equal(smq_err_exit((smq_err)9999), smq_err_exit(SMQ_ERR_BUG));
}

static void reader_remembers_its_first_failure(void **state)
{
	(void)state;
	struct smq_reader r = smq_reader_on(smq_span_of("abc", 3));
	assert_int_equal(smq_read_u8(&r), 'a');
	assert_int_equal(smq_reader_end(&r), SMQ_ERR_TRAILING);
	assert_int_equal(smq_read(&r, 3).len, 0);
	assert_int_equal(smq_read_u8(&r), 0);
	smq_reader_fail(&r, SMQ_ERR_VERSION);
	assert_int_equal(smq_reader_end(&r), SMQ_ERR_TRUNCATED);
}

static void writer_never_leaves_its_room(void **state)
{
	(void)state;
	uint8_t room[4] = { 9, 9, 9, 9 };
	size_t len = 77;
	struct smq_writer w = smq_writer_on(smq_mspan_of(room, 3));
	smq_write(&w, smq_span_str("ab"));
	smq_write(&w, smq_span_str("cd"));
	smq_write_u8(&w, 'x');
	assert_int_equal(smq_writer_end(&w, &len), SMQ_ERR_NO_ROOM);
	assert_int_equal(len, 77);
	assert_memory_equal(room, "ab\x09\x09", 4);
}

static void varints_are_shortest_and_round_trip(void **state)
{
	(void)state;
	static const struct {
		uint64_t value;
		size_t len;
	} rows[] = { { 0, 1 },
		     { 127, 1 },
		     { 128, 2 },
		     { 16383, 2 },
		     { 16384, 3 },
		     { 2097151, 3 },
		     { 2097152, 4 },
		     { UINT64_C(1) << 35, 6 },
		     { SMQ_VARINT_MAX, 8 } };
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		uint8_t room[9];
		size_t len;
		struct smq_writer w = smq_writer_on(smq_mspan_of(room, sizeof(room)));
		smq_write_varint(&w, rows[i].value);
		assert_int_equal(smq_writer_end(&w, &len), SMQ_OK);
		assert_int_equal(len, rows[i].len);
		struct smq_reader r = smq_reader_on(smq_span_of(room, len));
		assert_true(smq_read_varint(&r) == rows[i].value);
		assert_int_equal(smq_reader_end(&r), SMQ_OK);
	}
	struct smq_writer w = smq_writer_on(smq_mspan_of((uint8_t[9]){ 0 }, 9));
	smq_write_varint(&w, SMQ_VARINT_MAX + 1);
	assert_int_equal(w.err, SMQ_ERR_TOO_LARGE);
}

static void varints_refuse_long_forms(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		size_t len;
		smq_err err;
	} rows[] = {
		{ "\x80\x7f", 2, SMQ_ERR_MALFORMED }, { "\xc0\x3f\xff", 3, SMQ_ERR_MALFORMED },
		{ "\xff", 1, SMQ_ERR_MALFORMED },     { "\x80", 1, SMQ_ERR_TRUNCATED },
		{ "", 0, SMQ_ERR_TRUNCATED },         { "\xfe\x00\x00\x00\x00\x00\x00\x01", 8, SMQ_ERR_MALFORMED }
	};
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		struct smq_reader r = smq_reader_on(smq_span_of(rows[i].bytes, rows[i].len));
		assert_int_equal(smq_read_varint(&r), 0);
		assert_int_equal(smq_reader_end(&r), rows[i].err);
	}
}

static void names_topics_and_filters(void **state)
{
	(void)state;
	char long_name[66];
	memset(long_name, 'a', 65);
	long_name[65] = 0;
	assert_true(smq_name_valid(smq_span_str("fridge-07_A")));
	assert_true(smq_name_valid(smq_span_of(long_name, 64)));
	assert_false(smq_name_valid(smq_span_str(long_name)));
	assert_false(smq_name_valid(smq_span_str("")));
	assert_false(smq_name_valid(smq_span_str("a/b")));
	assert_false(smq_name_valid(smq_span_str("a.b")));
	assert_true(smq_topic_valid(smq_span_str("a/b c/\xc3\xa9")));
	assert_false(smq_topic_valid(smq_span_str("a/+")));
	assert_false(smq_topic_valid(smq_span_str("a/#")));
	assert_false(smq_topic_valid(smq_span_of("a\0b", 3)));
	assert_false(smq_topic_valid(smq_span_str("\xed\xa0\x80")));
	assert_true(smq_topic_filter_valid(smq_span_str("#")));
	assert_true(smq_topic_filter_valid(smq_span_str("$share/g/a/+/#")));
	assert_false(smq_topic_filter_valid(smq_span_str("$share/g/")));
	assert_false(smq_topic_filter_valid(smq_span_str("$share/+/a")));
	assert_false(smq_topic_filter_valid(smq_span_str("a/b+")));
	assert_false(smq_topic_filter_valid(smq_span_str("a/#/b")));
}

static void filters_match_as_mqtt_says(void **state)
{
	(void)state;
	static const struct {
		const char *filter, *topic;
		int matches;
	} rows[] = { { "a/b", "a/b", 1 },     { "a/+", "a/b", 1 },         { "a/+", "a/b/c", 0 },
		     { "a/#", "a", 1 },       { "a/#", "a/b/c", 1 },       { "+/+", "/finance", 1 },
		     { "/+", "/finance", 1 }, { "+", "/finance", 0 },      { "#", "$SYS/x", 0 },
		     { "+/x", "$SYS/x", 0 },  { "$SYS/#", "$SYS/x", 1 },   { "a", "ab", 0 },
		     { "a/b", "a", 0 },       { "$share/g/a/+", "a/b", 1 } };
	for (size_t i = 0; i < SMQ_COUNT(rows); i++)
		assert_int_equal(smq_topic_matches(smq_span_str(rows[i].filter), smq_span_str(rows[i].topic)),
				 rows[i].matches);
}

/* MQTT 5, 4.7 word by word, slowly: one level after the other, on texts that end in zero. */
static bool matches_by_the_book(const char *filter, const char *topic)
{
	size_t f = strcspn(filter, "/"), t = strcspn(topic, "/");
	if (strcmp(filter, "#") == 0)
		return true;
	if (!(f == 1 && filter[0] == '+') && !(f == t && memcmp(filter, topic, f) == 0))
		return false;
	if (!topic[t])
		return !filter[f] || strcmp(filter + f, "/#") == 0;
	return filter[f] && matches_by_the_book(filter + f + 1, topic + t + 1);
}

/* The n-th text over the letters, shortest first; false: longer than max. */
static bool nth_text(size_t n, const char *letters, size_t max, char *ret_text)
{
	size_t base = strlen(letters), len = 0;
	for (n++; n > 0; n = (n - 1) / base) {
		if (len == max)
			return false;
		ret_text[len++] = letters[(n - 1) % base];
	}
	ret_text[len] = 0;
	return true;
}

static void every_short_filter_matches_as_the_book_says(void **state)
{
	(void)state;
	char filter[8], topic[8];
	size_t matched = 0;
	for (size_t i = 0; nth_text(i, "a/+#", 5, filter); i++) {
		if (!smq_topic_filter_valid(smq_span_str(filter)))
			continue;
		for (size_t k = 0; nth_text(k, "ab/", 5, topic); k++) {
			bool want = matches_by_the_book(filter, topic);
			matched += want;
			if (smq_topic_matches(smq_span_str(filter), smq_span_str(topic)) != want)
				fail_msg("%s and %s", filter, topic);
		}
	}
	assert_true(matched > 1000);
}

static void untrusted_text_is_escaped(void **state)
{
	(void)state;
	static const struct {
		const char *in, *out;
		size_t len;
	} rows[] = { { "plain \xc3\xa9", "plain \xc3\xa9", 8 },
		     { "\x1b[2J", "\\x1b[2J", 4 },
		     { "a\nb\\", "a\\nb\\\\", 4 },
		     { "\xff\x00", "\\xff\\x00", 2 },
		     { "\xe2\x80\xae", "\\xe2\\x80\\xae", 3 },
		     { "\xc2\x9b", "\\xc2\\x9b", 2 } };
	char out[64];
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		size_t len = smq_escape(smq_span_of(rows[i].in, rows[i].len), out, sizeof(out));
		assert_string_equal(out, rows[i].out);
		assert_int_equal(len, strlen(out));
	}
	for (size_t room = 1; room < 12; room++) {
		memset(out, 'z', sizeof(out));
		size_t len = smq_escape(smq_span_str("ab\x01\x02 cd"), out, room);
		assert_true(len < room && strlen(out) == len);
		assert_int_equal(out[room], 'z');
	}
}

static void hex_round_trips(void **state)
{
	(void)state;
	char text[7];
	uint8_t bytes[3];
	size_t len;
	assert_int_equal(smq_hex_encode(smq_span_of("\x00\xab\xff", 3), text, sizeof(text)), SMQ_OK);
	assert_string_equal(text, "00abff");
	assert_int_equal(smq_hex_encode(smq_span_of("\x00\xab\xff", 3), text, 6), SMQ_ERR_NO_ROOM);
	assert_int_equal(smq_hex_decode("00ABff", smq_mspan_of(bytes, 3), &len), SMQ_OK);
	assert_memory_equal(bytes, "\x00\xab\xff", 3);
	assert_int_equal(smq_hex_decode("0", smq_mspan_of(bytes, 3), &len), SMQ_ERR_MALFORMED);
	assert_int_equal(smq_hex_decode("0g", smq_mspan_of(bytes, 3), &len), SMQ_ERR_MALFORMED);
	assert_int_equal(smq_hex_decode("00112233", smq_mspan_of(bytes, 3), &len), SMQ_ERR_NO_ROOM);
}

static void secrets_compare_and_wipe(void **state)
{
	(void)state;
	char a[4] = "abc";
	assert_true(smq_equal_ct(a, "abc", 4));
	assert_false(smq_equal_ct(a, "abd", 4));
	smq_wipe(a, sizeof(a));
	assert_memory_equal(a, "\0\0\0\0", 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_error_has_a_row),
		cmocka_unit_test(reader_remembers_its_first_failure),
		cmocka_unit_test(writer_never_leaves_its_room),
		cmocka_unit_test(varints_are_shortest_and_round_trip),
		cmocka_unit_test(varints_refuse_long_forms),
		cmocka_unit_test(names_topics_and_filters),
		cmocka_unit_test(filters_match_as_mqtt_says),
		cmocka_unit_test(every_short_filter_matches_as_the_book_says),
		cmocka_unit_test(untrusted_text_is_escaped),
		cmocka_unit_test(hex_round_trips),
		cmocka_unit_test(secrets_compare_and_wipe),
	};
	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
