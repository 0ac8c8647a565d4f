/* Records held against a schema: flat JSON, times, ranges; each refusal with its word. */
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>

#include "app/id_cache.h"
#include "app/json_fields.h"
#include "app/record_schema.h"
#include "base/table.h"

/* ---- flat JSON ---- */

/* "name=kind:text;" for each member, or "!" where it is refused. */
static void list_fields(const char *json, char *out, size_t room)
{
	uint8_t scratch[512];
	struct smq_json_fields f = smq_json_fields_on(smq_span_str(json), scratch);
	struct smq_json_field field;
	size_t at = 0;
	*out = 0;
	while (smq_json_fields_next(&f, &field))
		at += (size_t)snprintf(out + at, room - at, "%.*s=%d:%.*s;", (int)field.name.len,
				       (const char *)field.name.p, (int)field.kind, (int)field.text.len,
				       (const char *)field.text.p);
	if (smq_json_fields_end(&f) != SMQ_OK)
		snprintf(out, room, "!");
}

static void reads_flat_objects(void **state)
{
	static const struct {
		const char *json, *wanted;
	} rows[] = {
		{ "{}", "" },
		{ " { } ", "" },
		{ "{\"a\":1,\"b\":\"x\",\"c\":true,\"d\":false,\"e\":null}", "a=3:1;b=4:x;c=2:;d=1:;e=0:;" },
		{ "{\"a\" : -1.5e3 , \"b\":[1,{\"x\":\"]\"}]}", "a=3:-1.5e3;b=5:;" },
		{ "{\"\\u00e9\\n\\ud83d\\ude00\":\"\\\"\"}", "\xc3\xa9\n\xf0\x9f\x98\x80=4:\";" },
		{ "", "!" },
		{ "[]", "!" },
		{ "{\"a\":1", "!" },
		{ "{\"a\":1}x", "!" },
		{ "{\"a\":1,}", "!" },
		{ "{\"a\" 1}", "!" },
		{ "{a:1}", "!" },
		{ "{\"a\":01}", "!" },
		{ "{\"a\":1.}", "!" },
		{ "{\"a\":tru}", "!" },
		{ "{\"a\":\"\\u0000\"}", "!" },
		{ "{\"a\":\"\\ud800\"}", "!" },
		{ "{\"a\":\"\\x\"}", "!" },
		{ "{\"a\":\"\x01\"}", "!" },
		{ "{\"a\":\"\xff\"}", "!" },
		{ "{\"a\":[1}", "!" },
		{ "{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}", "!" },
		{ "{\"a\":[1,\"b", "!" },
	};
	char out[256];
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		list_fields(rows[i].json, out, sizeof(out));
		if (strcmp(out, rows[i].wanted) != 0)
			fail_msg("row %zu: %s", i, out);
	}
}

/* ---- times ---- */

static void reads_times(void **state)
{
	static const struct {
		const char *text;
		bool good;
		int64_t ms;
	} rows[] = {
		{ "1970-01-01T00:00:00Z", true, 0 },
		{ "2026-11-21T14:30:00Z", true, INT64_C(1795271400000) },
		{ "2026-11-21T15:30:00.25+01:00", true, INT64_C(1795271400250) },
		{ "2024-02-29 00:00:00.1239-00:30", true, INT64_C(1709166600123) },
		{ "2000-03-01t00:00:00z", true, INT64_C(951868800000) },
		{ "1969-12-31T23:59:59Z", true, -1000 },
		{ "2023-02-29T00:00:00Z", false, 0 },
		{ "1900-02-29T00:00:00Z", false, 0 },
		{ "2026-13-01T00:00:00Z", false, 0 },
		{ "2026-11-21T24:00:00Z", false, 0 },
		{ "2026-11-21T14:30:00", false, 0 },
		{ "2026-11-21T14:30:00.Z", false, 0 },
		{ "2026-11-21T14:30:00+0100", false, 0 },
		{ "2026-11-21", false, 0 },
		{ "yesterday, at noon, more or less", false, 0 },
	};
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		int64_t ms = 0;
		bool good = smq_time_rfc3339(smq_span_str(rows[i].text), &ms);
		if (good != rows[i].good || ms != rows[i].ms)
			fail_msg("row %zu: %d %lld", i, good, (long long)ms);
	}
}

/* ---- a schema ---- */

static void add_field(struct smq_record_schema *s, struct smq_record_field field)
{
	s->fields[s->field_count++] = field;
}

static struct smq_record_schema *schema(void)
{
	static struct smq_record_schema s;
	char why[200];
	smq_record_schema_init(&s);
	strcpy(s.topic, "audit/{sender}/+");
	strcpy(s.time_field, "at");
	s.time_format = SMQ_RECORD_UNIX_S;
	s.past_ms = 60000;
	s.future_ms = 5000;
	s.bytes_max = 200;
	add_field(&s, (struct smq_record_field){ .name = "who", .type = SMQ_RECORD_TEXT, .is_sender = true });
	add_field(&s, (struct smq_record_field){ .name = "at", .type = SMQ_RECORD_INTEGER });
	add_field(&s, (struct smq_record_field){ .name = "kind", .type = SMQ_RECORD_TEXT, .max_len = 8 });
	add_field(&s, (struct smq_record_field){ .name = "value", .type = SMQ_RECORD_NUMBER, .type_from = "kind" });
	add_field(&s, (struct smq_record_field){ .name = "beats",
						 .type = SMQ_RECORD_INTEGER,
						 .optional = true,
						 .unit = "bpm",
						 .has_min = true,
						 .min = 20,
						 .has_max = true,
						 .max = 250 });
	add_field(&s,
		  (struct smq_record_field){
		      .name = "on", .type = SMQ_RECORD_BOOLEAN, .optional = true, .kept = true, .kept_said = true });
	s.types[0] = (struct smq_record_reading_type){ .name = "power", .unit = "kW", .has_max = true, .max = 100 };
	s.type_count = 1;
	assert_int_equal(smq_record_schema_check(&s, why, sizeof(why)), SMQ_OK);
	return &s;
}

#define GOOD "\"who\":\"a\",\"at\":1000,\"kind\":\"power\",\"value\":5"

static void looks_at_records(void **state)
{
	static const struct {
		const char *json, *topic, *reason, *detail;
	} rows[] = {
		{ "{" GOOD "}", "audit/a/x", NULL, "" },
		{ "{" GOOD ",\"beats\":20}", "audit/a/x", NULL, "" },
		{ "{" GOOD ",\"beats\":null}", "audit/a/x", NULL, "" },
		{ "{" GOOD ",\"beats\":19}", "audit/a/x", "out-of-range", "beats" },
		{ "{" GOOD ",\"beats\":250.5}", "audit/a/x", "out-of-range", "beats" },
		{ "{" GOOD ",\"beats\":60.5}", "audit/a/x", "wrong-type", "beats" },
		{ "{" GOOD ",\"beats\":\"60\"}", "audit/a/x", "wrong-type", "beats" },
		{ "{" GOOD ",\"on\":1}", "audit/a/x", "wrong-type", "on" },
		{ "{" GOOD ",\"x\":1}", "audit/a/x", "unknown-field", "x" },
		{ "{" GOOD ",\"\\u001b[2J\":1}", "audit/a/x", "unknown-field", "\\x1b[2J" },
		{ "{" GOOD ",\"at\":1000}", "audit/a/x", "double-field", "at" },
		{ "{" GOOD "}", "audit/b/x", "wrong-topic", "" },
		{ "{" GOOD "}", "audit/a/x/y", "wrong-topic", "" },
		{ "{\"who\":\"b\",\"at\":1000,\"kind\":\"power\",\"value\":5}", "audit/a/x", "wrong-sender", "who" },
		{ "{\"who\":\"a\",\"at\":939,\"kind\":\"power\",\"value\":5}", "audit/a/x", "too-old", "at" },
		{ "{\"who\":\"a\",\"at\":940,\"kind\":\"power\",\"value\":5}", "audit/a/x", NULL, "" },
		{ "{\"who\":\"a\",\"at\":1005,\"kind\":\"power\",\"value\":5}", "audit/a/x", NULL, "" },
		{ "{\"who\":\"a\",\"at\":1006,\"kind\":\"power\",\"value\":5}", "audit/a/x", "in-the-future", "at" },
		{ "{\"who\":\"a\",\"at\":1e14,\"kind\":\"power\",\"value\":5}", "audit/a/x", "bad-time", "at" },
		{ "{\"who\":\"a\",\"at\":1000,\"kind\":\"steam\",\"value\":5}", "audit/a/x", "unknown-reading",
		  "kind" },
		{ "{\"who\":\"a\",\"at\":1000,\"kind\":\"power\",\"value\":101}", "audit/a/x", "out-of-range",
		  "power" },
		{ "{\"who\":\"a\",\"at\":1000,\"kind\":\"much too long\",\"value\":5}", "audit/a/x", "too-long",
		  "kind" },
		{ "{\"who\":\"a\",\"at\":1000,\"value\":5}", "audit/a/x", "missing-field", "kind" },
		{ "{\"who\":\"a\",\"at\":1000,\"kind\":\"power\",\"value\":1e999}", "audit/a/x", "out-of-range",
		  "value" },
		{ "text", "audit/a/x", "not-a-json-object", "" },
		{ "", "audit/a/x", "not-a-json-object", "" },
	};
	static struct smq_record_result result;
	uint8_t room[512];
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		const struct smq_record_input input = { rows[i].topic, "a", smq_span_str(rows[i].json), 1000000 };
		smq_record_look(schema(), &input, room, &result);
		bool same =
		    rows[i].reason ? result.reason && strcmp(result.reason, rows[i].reason) == 0 : !result.reason;
		if (!same || strcmp(result.detail, rows[i].detail) != 0)
			fail_msg("row %zu: %s %s", i, result.reason ? result.reason : "good", result.detail);
	}
}

static void keeps_what_is_declared(void **state)
{
	static struct smq_record_result result;
	uint8_t room[512];
	const struct smq_record_input input = { "audit/a/x", "a", smq_span_str("{" GOOD ",\"beats\":60,\"on\":true}"),
						1000500 };
	(void)state;
	smq_record_look(schema(), &input, room, &result);
	assert_null(result.reason);
	assert_int_equal(result.measured_ms, 1000000);
	assert_int_equal(result.reading_count, 3);
	assert_memory_equal(result.readings[0].type.p, "power", 5);
	assert_memory_equal(result.readings[0].unit.p, "kW", 2);
	assert_true(result.readings[0].value == 5);
	assert_memory_equal(result.readings[1].type.p, "beats", 5);
	assert_memory_equal(result.readings[1].unit.p, "bpm", 3);
	assert_true(result.readings[2].value == 1);
	/* without a schema everything is taken, at our time */
	smq_record_look(NULL, &(struct smq_record_input){ "t", "a", smq_span_str("\xff"), 7 }, room, &result);
	assert_null(result.reason);
	assert_int_equal(result.reading_count, 0);
	assert_int_equal(result.measured_ms, 7);
}

static void refuses_schemas_at_odds(void **state)
{
	static const struct smq_record_field rows[] = {
		{ .name = "f", .type = SMQ_RECORD_TEXT, .has_min = true },
		{ .name = "f", .type = SMQ_RECORD_NUMBER, .has_min = true, .min = 2, .has_max = true, .max = 1 },
		{ .name = "f", .type = SMQ_RECORD_NUMBER, .is_sender = true },
		{ .name = "f", .type = SMQ_RECORD_NUMBER, .max_len = 5 },
		{ .name = "f", .type = SMQ_RECORD_NUMBER, .type_from = "g" },
		{ .name = "f", .type = SMQ_RECORD_NUMBER, .type_from = "f" },
	};
	static struct smq_record_schema s;
	char why[200] = "";
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		smq_record_schema_init(&s);
		add_field(&s, rows[i]);
		if (smq_record_schema_check(&s, why, sizeof(why)) != SMQ_ERR_CONFIG || !strstr(why, "fields.f"))
			fail_msg("row %zu: %s", i, why);
	}
}

/* ---- numbers of names ---- */

static void remembers_numbers(void **state)
{
	struct smq_id_cache c;
	int64_t id;
	char key[16];
	(void)state;
	smq_id_cache_init(&c, 1000);
	assert_false(smq_id_cache_find(&c, smq_span_str("k0"), &id));
	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		smq_id_cache_put(&c, smq_span_str(key), i);
	}
	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		assert_true(smq_id_cache_find(&c, smq_span_str(key), &id));
		assert_int_equal(id, i);
	}
	smq_id_cache_put(&c, smq_span_str("one more"), 7); /* full: begins anew */
	assert_false(smq_id_cache_find(&c, smq_span_str("k5"), &id));
	assert_true(smq_id_cache_find(&c, smq_span_str("one more"), &id));
	smq_id_cache_put(&c, smq_span_str("one more"), 8);
	assert_true(smq_id_cache_find(&c, smq_span_str("one more"), &id));
	assert_int_equal(id, 8);
	smq_id_cache_clear(&c);
	assert_false(smq_id_cache_find(&c, smq_span_str("one more"), &id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_flat_objects),      cmocka_unit_test(reads_times),
		cmocka_unit_test(looks_at_records),        cmocka_unit_test(keeps_what_is_declared),
		cmocka_unit_test(refuses_schemas_at_odds), cmocka_unit_test(remembers_numbers),
	};
	return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
