/* Sources, their pace, and previews (FORMATS.md 6). */
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>

#include <sealmq/telemetry.h>

#include "app/telemetry_preview.h"
#include "app/telemetry_source.h"
#include "array_in.h"
#include "base/table.h"

static struct array_in array;
static unsigned bad_rows_told;
static struct smq_bad_row last_bad;
static char last_reason[128];

static void on_bad_row(void *self, const struct smq_bad_row *row)
{
	(void)self;
	bad_rows_told++;
	last_bad = *row;
	(void)snprintf(last_reason, sizeof(last_reason), "%s", row->reason);
}

static smq_err open_text(const char *text, struct smq_source_options *o, smq_source **ret_source, char why[256])
{
	array = (struct array_in){ .p = text, .len = strlen(text) };
	struct smq_bytes_in in = array_port(&array);
	bad_rows_told = 0;
	o->on_bad_row = on_bad_row;
	why[0] = 0;
	return smq_source_new("csv", &in, o, 1, 0, ret_source, why, 256);
}

/* All records, one a line. */
static smq_err drain(smq_source *s, char *ret_text, size_t room)
{
	struct smq_record r;
	size_t n = 0;
	smq_err err;
	ret_text[0] = 0;
	while ((err = smq_source_next(s, 0, &r)) == SMQ_OK) {
		assert_int_equal(r.json.p[r.json.len], 0);
		n += (size_t)snprintf(ret_text + n, room - n, "%s\n", (const char *)r.json.p);
		assert_true(n < room);
	}
	return err;
}

static const char table[] = "\xef\xbb\xbf"
			    "id, t ,ok,name,when\r\n"
			    "1, 9.25 ,TRUE,\"a \"\"b\"\"\",2026-01-01\r\n"
			    "2,9,false,,\r\n"
			    "3,NA,true,NA,2026-01-02";

static void rows_become_typed_objects(void **state)
{
	struct smq_source_options o;
	smq_source *s;
	char why[256], got[1024];
	(void)state;
	smq_source_options_init(&o);
	assert_int_equal(open_text(table, &o, &s, why), SMQ_OK);
	assert_int_equal(drain(s, got, sizeof(got)), SMQ_ERR_NOT_FOUND);
	assert_string_equal(got, "{\"id\":1,\"t\":9.25,\"ok\":true,\"name\":\"a \\\"b\\\"\",\"when\":\"2026-01-01\"}\n"
				 "{\"id\":2,\"t\":9,\"ok\":false,\"name\":null,\"when\":null}\n"
				 "{\"id\":3,\"t\":null,\"ok\":true,\"name\":\"NA\",\"when\":\"2026-01-02\"}\n");
	smq_source_close(s);
	assert_int_equal(array.closed, 1);
}

static const struct {
	const char *columns[4];
	uint64_t limit, every;
	bool loop;
	const char *records;
} chosen[] = {
	/* 0 */ { { "b" }, 0, 0, false, "{\"b\":\"x\"}\n{\"b\":\"y\"}\n{\"b\":\"z\"}\n" },
	/* 1 */ { { "b", "a" }, 1, 0, false, "{\"b\":\"x\",\"a\":1}\n" },
	/* 2 */ { { "a" }, 3, 1, false, "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n" },
	/* 3 */ { { "a" }, 9, 2, false, "{\"a\":1}\n{\"a\":3}\n" },
	/* 4 */ { { "a" }, 5, 0, true, "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n{\"a\":1}\n{\"a\":2}\n" },
	/* 5 */ { { "a" }, 3, 2, true, "{\"a\":1}\n{\"a\":3}\n{\"a\":2}\n" },
};

static void options_choose_rows_and_columns(void **state)
{
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(chosen); i++) {
		struct smq_source_options o;
		smq_source *s;
		char why[256], got[1024];
		smq_source_options_init(&o);
		o.columns = chosen[i].columns;
		while (chosen[i].columns[o.column_count])
			o.column_count++;
		o.limit = chosen[i].limit;
		o.every = chosen[i].every;
		o.loop = chosen[i].loop;
		assert_int_equal(open_text("a,b\n1,x\n2,y\n3,z\n", &o, &s, why), SMQ_OK);
		assert_int_equal(drain(s, got, sizeof(got)), SMQ_ERR_NOT_FOUND);
		if (strcmp(got, chosen[i].records) != 0)
			fail_msg("row %zu: %s", i, got);
		smq_source_close(s);
	}
}

static const char broken[] = "a,b\n1,2\n3\n4,5\n\"x,6\n7,8\n9,10,11\n";

static void broken_rows_are_told_and_skipped(void **state)
{
	struct smq_source_options o;
	smq_source *s;
	char why[256], got[256];
	(void)state;
	smq_source_options_init(&o);
	assert_int_equal(open_text(broken, &o, &s, why), SMQ_OK);
	assert_int_equal(drain(s, got, sizeof(got)), SMQ_ERR_NOT_FOUND);
	assert_string_equal(got, "{\"a\":1,\"b\":2}\n{\"a\":4,\"b\":5}\n{\"a\":7,\"b\":8}\n");
	assert_int_equal(bad_rows_told, 3);
	assert_int_equal(smq_source_bad_rows(s), 3);
	assert_int_equal(last_bad.line, 7);
	assert_int_equal(last_bad.row, 6);
	assert_string_equal(last_reason, "3 values where the header names 2 columns");
	smq_source_close(s);
}

static void broken_rows_are_fatal_where_asked(void **state)
{
	struct smq_source_options o;
	smq_source *s;
	char why[256], got[256];
	(void)state;
	smq_source_options_init(&o);
	o.fatal = true;
	assert_int_equal(open_text(broken, &o, &s, why), SMQ_OK);
	assert_int_equal(drain(s, got, sizeof(got)), SMQ_ERR_DATA);
	assert_string_equal(got, "{\"a\":1,\"b\":2}\n");
	assert_int_equal(bad_rows_told, 1);
	assert_int_equal(last_bad.line, 3);
	smq_source_close(s);
}

static void a_loop_without_records_ends(void **state)
{
	struct smq_source_options o;
	smq_source *s;
	char why[256], got[64];
	(void)state;
	smq_source_options_init(&o);
	o.loop = true;
	assert_int_equal(open_text("a\n", &o, &s, why), SMQ_OK);
	assert_int_equal(drain(s, got, sizeof(got)), SMQ_ERR_NOT_FOUND);
	smq_source_close(s);
}

static const struct {
	const char *text;
	smq_err err;
	const char *why;
} headers[] = {
	/* 0 */ { "", SMQ_ERR_DATA, "the file is empty; its first line must name the columns" },
	/* 1 */ { "\xef\xbb\xbf\n\n", SMQ_ERR_DATA, "the file is empty; its first line must name the columns" },
	/* 2 */ { "a,b,a\n", SMQ_ERR_DATA, "the header names column 'a' twice; rename one" },
	/* 3 */ { "a\xff\n", SMQ_ERR_DATA, "the header line has not UTF-8, or a zero byte in it" },
	/* 4 */ { "\"a\n", SMQ_ERR_DATA, "the header line has a quote that is never closed" },
	/* 5 */
	{ "\"a\x1b[31m\",\"a\x1b[31m\"\n", SMQ_ERR_DATA, "the header names column 'a\\x1b[31m' twice; rename one" },
	/* 6 */ { "a,,\n1,2,3\n", SMQ_OK, "" },
};

static void unusable_headers_are_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(headers); i++) {
		struct smq_source_options o;
		smq_source *s;
		char why[256];
		smq_source_options_init(&o);
		assert_int_equal(open_text(headers[i].text, &o, &s, why), headers[i].err);
		assert_string_equal(why, headers[i].why);
		if (headers[i].err == SMQ_OK)
			smq_source_close(s);
		else
			assert_int_equal(array.closed, 0);
	}
}

static void wrong_options_are_refused(void **state)
{
	static const char *const unknown[] = { "a", "x" };
	static const char *const twice[] = { "a", "a" };
	struct smq_source_options o;
	smq_source *s;
	char why[256];
	(void)state;
	for (int i = 0; i < 8; i++) {
		static const char *const parts[] = { "no column 'x'; there are: a, b",
						     "column 'a' is asked for twice",
						     "sample",
						     "sample",
						     "sample",
						     "every",
						     "rate",
						     "interval" };
		smq_source_options_init(&o);
		o.columns = i == 0 ? unknown : i == 1 ? twice : NULL;
		o.column_count = i < 2 ? 2 : 0;
		o.sample = i == 2 ? 1.5 : i == 3 ? -1 : i == 4 ? 1e-9 : 1;
		o.every = i == 5 ? 1000001 : 1;
		o.rate = i == 6 ? 1e7 : 0;
		o.interval_ms = i == 7 ? -1 : 0;
		assert_int_equal(open_text("a,b\n1,2\n", &o, &s, why), SMQ_ERR_USAGE);
		if (!strstr(why, parts[i]))
			fail_msg("row %d: %s", i, why);
	}
}

static void samples_are_a_fraction_and_repeat(void **state)
{
	static char text[40000];
	size_t n = (size_t)sprintf(text, "a\n");
	uint64_t sums[3] = { 0 }, counts[3] = { 0 };
	(void)state;
	for (int i = 0; i < 5000; i++)
		n += (size_t)sprintf(text + n, "%d\n", i);
	for (int k = 0; k < 3; k++) {
		struct smq_source_options o;
		struct smq_bytes_in in;
		struct smq_record r;
		smq_source *s;
		char why[256];
		smq_source_options_init(&o);
		o.sample = 0.1;
		array = (struct array_in){ .p = text, .len = n };
		in = array_port(&array);
		assert_int_equal(smq_source_new("csv", &in, &o, k < 2 ? 7 : 8, 0, &s, why, sizeof(why)), SMQ_OK);
		while (smq_source_next(s, 0, &r) == SMQ_OK) {
			counts[k]++;
			sums[k] += r.line * r.line;
		}
		smq_source_close(s);
		assert_in_range(counts[k], 400, 600);
	}
	assert_true(sums[0] == sums[1] && sums[0] != sums[2]);
}

static void generators_repeat_by_seed(void **state)
{
	static const char *const specs[] = { "fridge", "vitals", "energy" };
	static const char *const members[] = {
		"{\"date\":\"",
		"\"time\":\"",
		"\"fridge_temperature\":",
		"\"temp_condition\":\"",
		"\"label\":",
		"\"type\":\"",
		"{\"patient_id\":\"",
		"\"heart_rate\":",
		"\"temperature\":",
		"\"spo2\":",
		"\"timestamp\":\"",
		"{\"auditor_id\":\"",
		"\"measured_timestamp\":\"",
		"\"measure_type\":\"",
		"\"measure\":",
	};
	static char got[3][200000];
	static const size_t first_member[] = { 0, 6, 11, 15 };
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(specs); i++) {
		for (int k = 0; k < 3; k++) {
			struct smq_source_options o;
			smq_source *s;
			smq_source_options_init(&o);
			o.seed = k < 2 ? 42 : 43;
			o.limit = 1000;
			assert_int_equal(smq_source_open(specs[i], &o, &s, NULL), SMQ_OK);
			assert_int_equal(smq_source_seed(s), o.seed);
			assert_int_equal(drain(s, got[k], sizeof(got[k])), SMQ_ERR_NOT_FOUND);
			smq_source_close(s);
		}
		assert_string_equal(got[0], got[1]);
		assert_string_not_equal(got[0], got[2]);
		for (size_t m = first_member[i]; m < first_member[i + 1]; m++)
			assert_non_null(strstr(got[0], members[m]));
	}
}

/* The ranges of the data set: 1 to 14 degrees, "low" below 6, label 0 exactly for normal. */
static void generated_fridges_are_plausible(void **state)
{
	struct smq_source_options o;
	struct smq_record r;
	smq_source *s;
	unsigned normal = 0, low = 0;
	(void)state;
	smq_source_options_init(&o);
	o.seed = 5;
	o.limit = 20000;
	assert_int_equal(smq_source_open("fridge", &o, &s, NULL), SMQ_OK);
	while (smq_source_next(s, 0, &r) == SMQ_OK) {
		const char *text = (const char *)r.json.p;
		double t = strtod(strstr(text, "temperature\":") + 13, NULL);
		bool is_low = strstr(text, "\"low\"") != NULL;
		bool is_normal = strstr(text, "\"normal\"") != NULL;
		assert_true(t >= 1 && t <= 14);
		assert_int_equal(is_low, t < 6);
		assert_int_equal(is_normal, strstr(text, "\"label\":0") != NULL);
		normal += is_normal;
		low += is_low;
	}
	smq_source_close(s);
	assert_in_range(normal, 5000, 15000);
	assert_in_range(low, 2000, 18000);
}

static void generated_times_are_right(void **state)
{
	static const struct {
		int64_t ms;
		const char *text;
	} times[] = {
		{ 0, "1970-01-01T00:00:00.000Z" },
		{ INT64_C(951782400000), "2000-02-29T00:00:00.000Z" },
		{ INT64_C(951868799999), "2000-02-29T23:59:59.999Z" },
		{ INT64_C(951868800000), "2000-03-01T00:00:00.000Z" },
		{ SMQ_SOURCE_EPOCH_MS, "2026-01-01T00:00:00.000Z" },
		{ INT64_C(1798761599999), "2026-12-31T23:59:59.999Z" },
		{ INT64_C(4107542400000), "2100-03-01T00:00:00.000Z" },
	};
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(times); i++) {
		struct smq_source_options o;
		struct smq_record r;
		smq_source *s;
		char why[256];
		smq_source_options_init(&o);
		assert_int_equal(smq_source_new("vitals", NULL, &o, 1, times[i].ms, &s, why, sizeof(why)), SMQ_OK);
		assert_int_equal(smq_source_next(s, 0, &r), SMQ_OK);
		if (!strstr((const char *)r.json.p, times[i].text))
			fail_msg("row %zu: %s", i, (const char *)r.json.p);
		smq_source_close(s);
	}
}

static void unknown_specs_are_refused(void **state)
{
	static const struct {
		const char *spec;
		smq_err err;
		const char *part;
	} specs[] = {
		{ "", SMQ_ERR_USAGE, "there are csv:FILE, fridge, vitals and energy" },
		{ "fridg\x1b[0m", SMQ_ERR_USAGE, "unknown source 'fridg\\x1b[0m'" },
		{ "csv:", SMQ_ERR_USAGE, "needs a file" },
		{ "csv:/nonexistent/x.csv", SMQ_ERR_NOT_FOUND, "/nonexistent/x.csv: No such file" },
		{ "csv:/", SMQ_ERR_IO, "/: Is a directory" },
		{ "csv:/dev/null", SMQ_ERR_DATA, "/dev/null: the file is empty" },
	};
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(specs); i++) {
		smq_source *s;
		const char *why = "";
		assert_int_equal(smq_source_open(specs[i].spec, NULL, &s, &why), specs[i].err);
		if (!strstr(why, specs[i].part))
			fail_msg("row %zu: %s", i, why);
	}
}

static void pace_does_not_drift(void **state)
{
	(void)state;
	/* 0.3 ms late at each of 10,000 calls: still on the grid */
	struct smq_pace p = smq_pace_of(7, 0);
	for (int64_t i = 0; i < 10000; i++)
		assert_int_equal(smq_pace_next(&p, 1000 + i * 7 + i % 5), 1000 + i * 7);
	/* three a second: thirds are not rounded up one by one */
	p = smq_pace_of(0, 3);
	for (int64_t i = 0; i < 3000; i++)
		assert_in_range(smq_pace_next(&p, 0), i * 1000 / 3, i * 1000 / 3 + 1);
	/* no pace: now */
	p = smq_pace_of(0, 0);
	assert_int_equal(smq_pace_next(&p, 5), 5);
	assert_int_equal(smq_pace_next(&p, 4), 4);
	/* rate over interval */
	p = smq_pace_of(1000, 100);
	(void)smq_pace_next(&p, 0);
	assert_int_equal(smq_pace_next(&p, 0), 10);
}

static void pace_catches_up_a_little_only(void **state)
{
	struct smq_pace p = smq_pace_of(1000, 0);
	(void)state;
	assert_int_equal(smq_pace_next(&p, 0), 0);
	assert_int_equal(smq_pace_next(&p, 4500), 1000);
	assert_int_equal(smq_pace_next(&p, 4500), 2000);
	assert_int_equal(smq_pace_next(&p, 100000), 100000);
	assert_int_equal(smq_pace_next(&p, 100000), 101000);
}

static smq_err preview(const char *text, size_t first_rows, struct smq_preview **ret_preview, char why[256])
{
	struct smq_preview_options o = { .first_rows = first_rows, .on_bad_row = on_bad_row };
	array = (struct array_in){ .p = text, .len = strlen(text), .piece = 5 };
	struct smq_bytes_in in = array_port(&array);
	bad_rows_told = 0;
	why[0] = 0;
	return smq_preview_make(&in, &o, ret_preview, why, 256);
}

static void previews_sum_up(void **state)
{
	struct smq_preview *p;
	char why[256];
	(void)state;
	assert_int_equal(preview("n,t,m,e\n10,b,1.5,\n9,a,NaN,\nx\n100,b ,-2,\n", 2, &p, why), SMQ_OK);
	assert_int_equal(p->rows, 3);
	assert_int_equal(p->bad_rows, 1);
	assert_int_equal(bad_rows_told, 1);
	assert_int_equal(p->column_count, 4);
	const struct smq_column *n = &p->columns[0], *t = &p->columns[1], *m = &p->columns[2], *e = &p->columns[3];
	assert_int_equal(n->type, SMQ_COLUMN_INTEGER);
	assert_string_equal(n->min, "9");
	assert_string_equal(n->max, "100");
	assert_true(n->mean > 39.66 && n->mean < 39.67);
	assert_int_equal(t->type, SMQ_COLUMN_TEXT);
	assert_int_equal(t->distinct, 2);
	assert_string_equal(t->top[0].value, "b");
	assert_int_equal(t->top[0].count, 2);
	assert_string_equal(t->top[1].value, "a");
	assert_int_equal(m->type, SMQ_COLUMN_FLOAT);
	assert_int_equal(m->missing, 1);
	assert_int_equal(m->values, 2);
	assert_int_equal(m->distinct, 2);
	assert_true(m->mean == -0.25);
	assert_int_equal(e->type, SMQ_COLUMN_EMPTY);
	assert_int_equal(e->missing, 3);
	assert_null(e->min);
	assert_int_equal(p->first_count, 2);
	assert_string_equal(p->first[0], "10");
	assert_null(p->first[3]);
	assert_string_equal(p->first[5], "a");
	smq_preview_free(p);
	smq_preview_free(NULL);
}

static void previews_rank_dates_by_time(void **state)
{
	struct smq_preview *p;
	char why[256];
	(void)state;
	assert_int_equal(preview("d\n1-Apr-19\n31-Mar-19\n2-Apr-18\n", 0, &p, why), SMQ_OK);
	assert_string_equal(p->columns[0].min, "2-Apr-18");
	assert_string_equal(p->columns[0].max, "1-Apr-19");
	smq_preview_free(p);
}

static void previews_bound_what_they_count(void **state)
{
	size_t room = 700000, n = 2;
	char *text = malloc(room), why[256];
	struct smq_preview *p;
	(void)state;
	memcpy(text, "a\n", 3);
	for (int i = 0; i <= SMQ_PREVIEW_DISTINCT_MAX; i++)
		n += (size_t)snprintf(text + n, room - n, "v%d\n", i);
	assert_int_equal(preview(text, 0, &p, why), SMQ_OK);
	assert_true(p->columns[0].distinct_capped);
	assert_int_equal(p->columns[0].top_count, 0);
	assert_int_equal(p->columns[0].values, SMQ_PREVIEW_DISTINCT_MAX + 1);
	smq_preview_free(p);
	free(text);
}

/* The data set is not part of the project; it may lie beside it. */
static smq_err open_fridge_file(char *ret_spec, size_t room, smq_source **ret_source)
{
	const char *const dirs[] = { getenv("SEALMQ_DATA"), "../shared/data", "../../shared/data",
				     "../../../shared/data" };
	smq_err err = SMQ_ERR_NOT_FOUND;
	for (size_t i = 0; i < SMQ_COUNT(dirs) && err == SMQ_ERR_NOT_FOUND; i++) {
		if (!dirs[i])
			continue;
		(void)snprintf(ret_spec, room, "csv:%s/Train_Test_IoT_Fridge.csv", dirs[i]);
		err = smq_source_open(ret_spec, NULL, ret_source, NULL);
	}
	return err;
}

static void the_fridge_file_works_as_it_is(void **state)
{
	char spec[512];
	smq_source *s;
	struct smq_record r;
	struct smq_preview *p;
	uint64_t count = 0;
	double sum = 0;
	(void)state;
	smq_err err = open_fridge_file(spec, sizeof(spec), &s);
	if (err == SMQ_ERR_NOT_FOUND) {
		print_message("# skipped: no Train_Test_IoT_Fridge.csv in $SEALMQ_DATA or ../shared/data\n");
		skip();
	}
	assert_int_equal(err, SMQ_OK);
	while (smq_source_next(s, 0, &r) == SMQ_OK) {
		if (count++ == 1)
			assert_string_equal((const char *)r.json.p,
					    "{\"date\":\"25-Apr-19\",\"time\":\"19:19:40\",\"fridge_temperature\":9.25,"
					    "\"temp_condition\":\"high\",\"label\":1,\"type\":\"ddos\"}");
		sum += strtod(strstr((const char *)r.json.p, "ature\":") + 7, NULL);
	}
	assert_int_equal(count, 39944);
	assert_int_equal(smq_source_bad_rows(s), 0);
	smq_source_close(s);
	assert_int_equal(smq_data_preview(spec + 4, NULL, &p, NULL), SMQ_OK);
	assert_int_equal(p->rows, 39944);
	assert_string_equal(p->columns[2].min, "1");
	assert_string_equal(p->columns[2].max, "14");
	assert_true(p->columns[2].mean - sum / 39944 < 1e-9 && sum / 39944 - p->columns[2].mean < 1e-9);
	assert_int_equal(p->columns[3].distinct, 2);
	assert_int_equal(p->columns[5].top[0].count, 15000);
	smq_preview_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_become_typed_objects),
		cmocka_unit_test(options_choose_rows_and_columns),
		cmocka_unit_test(broken_rows_are_told_and_skipped),
		cmocka_unit_test(broken_rows_are_fatal_where_asked),
		cmocka_unit_test(a_loop_without_records_ends),
		cmocka_unit_test(unusable_headers_are_refused),
		cmocka_unit_test(wrong_options_are_refused),
		cmocka_unit_test(samples_are_a_fraction_and_repeat),
		cmocka_unit_test(generators_repeat_by_seed),
		cmocka_unit_test(generated_fridges_are_plausible),
		cmocka_unit_test(generated_times_are_right),
		cmocka_unit_test(unknown_specs_are_refused),
		cmocka_unit_test(pace_does_not_drift),
		cmocka_unit_test(pace_catches_up_a_little_only),
		cmocka_unit_test(previews_sum_up),
		cmocka_unit_test(previews_rank_dates_by_time),
		cmocka_unit_test(previews_bound_what_they_count),
		cmocka_unit_test(the_fridge_file_works_as_it_is),
	};
	return cmocka_run_group_tests_name("telemetry", tests, NULL, NULL);
}
