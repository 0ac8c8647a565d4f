/* CSV rows by RFC 4180 and by what real files hold (FORMATS.md 6). */
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>

#include "app/csv.h"
#include "app/csv_values.h"
#include "array_in.h"
#include "base/table.h"

enum { LINE_MAX_HERE = 64 };

/*
 * Rows as text: values between '|', broken rows as "!LINE", rows joined by '/', each value that was quoted with a
 * leading '"'.
 */
static void read_all(const char *text, size_t len, size_t piece, char *ret_text, size_t room)
{
	struct array_in a = { .p = text, .len = len, .piece = piece };
	struct smq_bytes_in in = array_port(&a);
	struct smq_csv csv;
	struct smq_csv_row row;
	size_t n = 0;
	smq_err err;
	ret_text[0] = 0;
	assert_int_equal(smq_csv_init(&csv, &in, LINE_MAX_HERE, 8), SMQ_OK);
	while ((err = smq_csv_next(&csv, &row)) != SMQ_ERR_NOT_FOUND) {
		n += (size_t)snprintf(ret_text + n, room - n, "%s", n ? "/" : "");
		if (err == SMQ_ERR_DATA) {
			assert_non_null(row.reason);
			n += (size_t)snprintf(ret_text + n, room - n, "!%d", (int)row.line);
			continue;
		}
		assert_int_equal(err, SMQ_OK);
		for (size_t i = 0; i < row.count; i++)
			n += (size_t)snprintf(ret_text + n, room - n, "%s%s%.*s", i ? "|" : "",
					      row.fields[i].quoted ? "\"" : "", (int)row.fields[i].text.len,
					      (const char *)row.fields[i].text.p);
		assert_true(n < room);
	}
	smq_csv_done(&csv);
}

#define X16 "xxxxxxxxxxxxxxxx"
#define X64 X16 X16 X16 X16

static const struct {
	const char *text, *rows;
} rows[] = {
	/* 0 */ { "", "" },
	/* 1 */ { "a", "a" },
	/* 2 */ { "a\n", "a" },
	/* 3 */ { "a,b\r\nc,d\r\n", "a|b/c|d" },
	/* 4 */ { "a,b\r\nc,d", "a|b/c|d" },
	/* 5 */
	{ "\xef\xbb\xbf"
	  "a,b\n1,2\n",
	  "a|b/1|2" },
	/* 6 */ { "\xef\xbb\xbf", "" },
	/* 7 */ { "\"a\",\"b,c\",\"d\"\"e\"\n", "\"a|\"b,c|\"d\"e" },
	/* 8 */ { "\"a\nb\",c\n2\n", "\"a\nb|c/2" },
	/* 9 */ { "\"a\r\nb\"\r\n", "\"a\r\nb" },
	/* 10 */ { "25-Apr-19, 19:19:40 ,9,high,1,ddos\n", "25-Apr-19|19:19:40|9|high|1|ddos" },
	/* 11 */ { " \"a\" ,\t\"b\"\t\r\n", "\"a|\"b" },
	/* 12 */ { "\" a \"\n", "\" a " },
	/* 13 */ { ",\n", "|" },
	/* 14 */ { "a,\n,b\n", "a|/|b" },
	/* 15 */ { "\"\",\"\"\"\"\n", "\"|\"\"" },
	/* 16 */ { "a\n\n \t\r\nb\n\n", "a/b" },
	/* 17: a stray quote costs its own line only */ { "a\nx\"y,1\nb\n", "a/!2/b" },
	/* 18 */ { "a\n\"x\"y\nb\n", "a/!2/b" },
	/* 19 */ { "a\n\"never closed\nb\nc\n", "a/!2/b/c" },
	/* 20 */ { "a\n\"never closed", "a/!2" },
	/* 21 */ { "\"p,1\nq\n\"r\" s,3\nt\n", "!1/q/!3/t" },
	/* 22 */ { "\"a\nb\"c\nd\n", "!1/!2/d" },
	/* 23: the limit for one row */ { X64 "\nb\n", X64 "/b" },
	/* 24 */ { X64 "x\nb\n", "!1/b" },
	/* 25 */ { X64 X64 X64 X64 "\nb\n", "!1/b" },
	/* 26 */ { X64 X64 X64 X64, "!1" },
	/* 27 */ { "\"" X64 X64 "\nb\n", "!1/b" },
	/* 28 */ { "\"x\n" X64 X64 "\nb\n", "!1/!2/b" },
	/* 29 */ { "\xff\xfe,1\nb\n\xc3\xa4\n", "!1/b/\xc3\xa4" },
	/* 30 */ { "1,2,3,4,5,6,7,8\n1,2,3,4,5,6,7,8,9\nb\n", "1|2|3|4|5|6|7|8/!2/b" },
	/* 31 */ { "a\rb\n", "a\rb" },
	/* 32 */ { "\n\n\"\n\n\"\nx\"\n", "\"\n\n/!6" },
};

static void reads_rows_in_pieces_of_any_size(void **state)
{
	static const size_t pieces[] = { 0, 1, 2, 3, 7, 64 };
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		for (size_t k = 0; k < SMQ_COUNT(pieces); k++) {
			char got[1024];
			read_all(rows[i].text, strlen(rows[i].text), pieces[k], got, sizeof(got));
			if (strcmp(got, rows[i].rows) != 0)
				fail_msg("row %zu, pieces of %zu: '%s', not '%s'", i, pieces[k], got, rows[i].rows);
		}
	}
}

static void refuses_zero_bytes(void **state)
{
	char got[64];
	(void)state;
	read_all("a\0b\nc\n", 6, 0, got, sizeof(got));
	assert_string_equal(got, "!1/c");
}

static void rewinds_to_the_first_row(void **state)
{
	struct array_in a = { .p = "\xef\xbb\xbfx\ny\n", .len = 7, .piece = 1 };
	struct smq_bytes_in in = array_port(&a);
	struct smq_csv csv;
	struct smq_csv_row row;
	(void)state;
	assert_int_equal(smq_csv_init(&csv, &in, LINE_MAX_HERE, 8), SMQ_OK);
	for (int pass = 0; pass < 3; pass++) {
		assert_int_equal(smq_csv_next(&csv, &row), SMQ_OK);
		assert_memory_equal(row.fields[0].text.p, "x", 1);
		assert_int_equal(row.line, 1);
		assert_int_equal(smq_csv_next(&csv, &row), SMQ_OK);
		assert_int_equal(row.line, 2);
		assert_int_equal(smq_csv_rewind(&csv), SMQ_OK);
	}
	in.rewind = NULL;
	assert_int_equal(smq_csv_rewind(&csv), SMQ_ERR_UNSUPPORTED);
	smq_csv_done(&csv);
}

static void tells_a_failing_disk(void **state)
{
	struct array_in a = { .p = "aaaa\nb\n", .len = 7, .piece = 1, .fail_at = 6 };
	struct smq_bytes_in in = array_port(&a);
	struct smq_csv csv;
	struct smq_csv_row row;
	(void)state;
	assert_int_equal(smq_csv_init(&csv, &in, LINE_MAX_HERE, 8), SMQ_OK);
	assert_int_equal(smq_csv_next(&csv, &row), SMQ_OK);
	assert_int_equal(smq_csv_next(&csv, &row), SMQ_ERR_IO);
	smq_csv_done(&csv);
}

/* Any bytes at all: rows come to an end, and every row lies in the file. */
static void survives_junk(void **state)
{
	static const char letters[] = "a,\"\n\r \xff\t1";
	uint64_t x = 1;
	(void)state;
	for (int round = 0; round < 2000; round++) {
		char text[300], got[4096];
		size_t len = (size_t)(round % 300);
		for (size_t i = 0; i < len; i++) {
			x = x * 6364136223846793005u + 1442695040888963407u;
			text[i] = letters[(x >> 33) % (sizeof(letters) - 1)];
		}
		read_all(text, len, 1 + (size_t)round % 17, got, sizeof(got));
	}
}

static const struct {
	const char *text;
	bool quoted;
	enum smq_column_type type;
	const char *json; /* in a column of its own type */
} values[] = {
	/* 0 */ { "", false, SMQ_COLUMN_EMPTY, "null" },
	/* 1 */ { "", true, SMQ_COLUMN_TEXT, "\"\"" },
	/* 2 */ { "9", false, SMQ_COLUMN_INTEGER, "9" },
	/* 3 */ { "9.25", false, SMQ_COLUMN_FLOAT, "9.25" },
	/* 4 */ { "0.10000000000000000000000001", false, SMQ_COLUMN_FLOAT, "0.10000000000000000000000001" },
	/* 5 */ { "18446744073709551616", false, SMQ_COLUMN_INTEGER, "18446744073709551616" },
	/* 6 */ { "-0", false, SMQ_COLUMN_INTEGER, "-0" },
	/* 7 */ { "+5", false, SMQ_COLUMN_INTEGER, "5" },
	/* 8 */ { ".5", false, SMQ_COLUMN_FLOAT, "0.5" },
	/* 9 */ { "-.5", false, SMQ_COLUMN_FLOAT, "-0.5" },
	/* 10 */ { "5.", false, SMQ_COLUMN_FLOAT, "5" },
	/* 11 */ { "1E+05", false, SMQ_COLUMN_FLOAT, "1E+05" },
	/* 12: a name, not a number */ { "007", false, SMQ_COLUMN_TEXT, "\"007\"" },
	/* 13 */ { "0x10", false, SMQ_COLUMN_TEXT, "\"0x10\"" },
	/* 14 */ { "1,5", true, SMQ_COLUMN_TEXT, "\"1,5\"" },
	/* 15 */ { "-", false, SMQ_COLUMN_TEXT, "\"-\"" },
	/* 16 */ { ".", false, SMQ_COLUMN_TEXT, "\".\"" },
	/* 17 */ { "1e", false, SMQ_COLUMN_TEXT, "\"1e\"" },
	/* 18 */ { "TRUE", false, SMQ_COLUMN_BOOLEAN, "true" },
	/* 19 */ { "false", true, SMQ_COLUMN_BOOLEAN, "false" },
	/* 20 */ { "NaN", false, SMQ_COLUMN_EMPTY, "null" },
	/* 21 */ { "NA", true, SMQ_COLUMN_TEXT, "\"NA\"" },
	/* 22 */ { "inf", false, SMQ_COLUMN_TEXT, "\"inf\"" },
	/* 23 */ { "25-Apr-19", false, SMQ_COLUMN_DATE, "\"25-Apr-19\"" },
	/* 24 */ { "2-Apr-2019", false, SMQ_COLUMN_DATE, "\"2-Apr-2019\"" },
	/* 25 */ { "2019-04-25", false, SMQ_COLUMN_DATE, "\"2019-04-25\"" },
	/* 26 */ { "25/04/2019", false, SMQ_COLUMN_DATE, "\"25/04/2019\"" },
	/* 27 */ { "25/04-2019", false, SMQ_COLUMN_TEXT, "\"25/04-2019\"" },
	/* 28 */ { "2019-13-25", false, SMQ_COLUMN_TEXT, "\"2019-13-25\"" },
	/* 29 */ { "19:19:40", false, SMQ_COLUMN_TIME, "\"19:19:40\"" },
	/* 30 */ { "24:00:00", false, SMQ_COLUMN_TEXT, "\"24:00:00\"" },
	/* 31 */ { "2019-04-25T19:19:40.125Z", false, SMQ_COLUMN_TIMESTAMP, "\"2019-04-25T19:19:40.125Z\"" },
	/* 32 */ { "2019-04-25 19:19:40+02:00", false, SMQ_COLUMN_TIMESTAMP, "\"2019-04-25 19:19:40+02:00\"" },
	/* 33 */ { "2019-04-25 19:19:40+2", false, SMQ_COLUMN_TEXT, "\"2019-04-25 19:19:40+2\"" },
	/* 34 */ { "a\"b\\c\nd\x01\x7f", true, SMQ_COLUMN_TEXT, "\"a\\\"b\\\\c\\nd\\u0001\\u007f\"" },
	/* 35 */
	{ "1111111111222222222233333333334444444444555555555566666666661", false, SMQ_COLUMN_INTEGER,
	  "1111111111222222222233333333334444444444555555555566666666661" },
};

static void types_and_writes_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(values); i++) {
		struct smq_csv_field f = { smq_span_str(values[i].text), values[i].quoted };
		uint8_t room[256];
		size_t len;
		struct smq_json j = smq_json_on(smq_mspan_of(room, sizeof(room)));
		if (smq_value_type(&f) != values[i].type)
			fail_msg("row %zu: %s", i, smq_column_type_name(smq_value_type(&f)));
		smq_value_json(&j, &f, values[i].type);
		assert_int_equal(smq_json_finish(&j, &len), SMQ_OK);
		if (strcmp((char *)room, values[i].json) != 0)
			fail_msg("row %zu: %s", i, (char *)room);
	}
}

static void joins_types(void **state)
{
	(void)state;
	assert_int_equal(smq_column_join(SMQ_COLUMN_EMPTY, SMQ_COLUMN_DATE), SMQ_COLUMN_DATE);
	assert_int_equal(smq_column_join(SMQ_COLUMN_DATE, SMQ_COLUMN_EMPTY), SMQ_COLUMN_DATE);
	assert_int_equal(smq_column_join(SMQ_COLUMN_INTEGER, SMQ_COLUMN_FLOAT), SMQ_COLUMN_FLOAT);
	assert_int_equal(smq_column_join(SMQ_COLUMN_FLOAT, SMQ_COLUMN_INTEGER), SMQ_COLUMN_FLOAT);
	assert_int_equal(smq_column_join(SMQ_COLUMN_INTEGER, SMQ_COLUMN_BOOLEAN), SMQ_COLUMN_TEXT);
	assert_int_equal(smq_column_join(SMQ_COLUMN_TEXT, SMQ_COLUMN_INTEGER), SMQ_COLUMN_TEXT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_rows_in_pieces_of_any_size),
		cmocka_unit_test(refuses_zero_bytes),
		cmocka_unit_test(rewinds_to_the_first_row),
		cmocka_unit_test(tells_a_failing_disk),
		cmocka_unit_test(survives_junk),
		cmocka_unit_test(types_and_writes_values),
		cmocka_unit_test(joins_types),
	};
	return cmocka_run_group_tests_name("csv", tests, NULL, NULL);
}
