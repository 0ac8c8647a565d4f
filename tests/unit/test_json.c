/* The JSON writer: valid output or a remembered failure, nothing in between. */
#include "cmocka_all.h"

#include <math.h>
#include <stdlib.h>

#include <sealmq/json.h>

#include "base/table.h"

static struct smq_json on(uint8_t *room, size_t len) { return smq_json_on(smq_mspan_of(room, len)); }

static void writes_nested_values(void **state)
{
	uint8_t room[256];
	size_t len;
	struct smq_json j = on(room, sizeof(room));
	(void)state;
	smq_json_object(&j);
	smq_json_key(&j, "a");
	smq_json_array(&j);
	smq_json_int(&j, INT64_MIN);
	smq_json_uint(&j, UINT64_MAX);
	smq_json_object(&j);
	smq_json_end(&j);
	smq_json_array(&j);
	smq_json_end(&j);
	smq_json_end(&j);
	smq_json_key(&j, "b\"");
	smq_json_bool(&j, false);
	smq_json_key(&j, "");
	smq_json_str(&j, NULL);
	smq_json_key(&j, "h");
	smq_json_hex(&j, smq_span_of("\x00\xff", 2));
	smq_json_end(&j);
	assert_int_equal(smq_json_finish(&j, &len), SMQ_OK);
	assert_string_equal((char *)room, "{\"a\":[-9223372036854775808,18446744073709551615,{},[]],\"b\\\"\":false,"
					  "\"\":null,\"h\":\"00ff\"}");
	assert_int_equal(len, strlen((char *)room));
}

static const struct {
	const char *in;
	size_t len;
	const char *out;
} strings[] = {
	/* 0 */ { "", 0, "\"\"" },
	/* 1 */ { "\"\\/", 3, "\"\\\"\\\\/\"" },
	/* 2 */ { "\b\f\n\r\t", 5, "\"\\b\\f\\n\\r\\t\"" },
	/* 3 */ { "\0\x1f\x7f", 3, "\"\\u0000\\u001f\\u007f\"" },
	/* 4 */ { "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"" },
	/* 5: cut, overlong, surrogate, too high */ { "\xc3", 1, "\"\xef\xbf\xbd\"" },
	/* 6 */ { "\xc0\x80", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
	/* 7 */ { "\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
	/* 8 */ { "\xf4\x90\x80\x80", 4, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
	/* 9 */
	{ "a\xff"
	  "b",
	  3,
	  "\"a\xef\xbf\xbd"
	  "b\"" },
};

static void escapes_strings(void **state)
{
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(strings); i++) {
		uint8_t room[64];
		size_t len;
		struct smq_json j = on(room, sizeof(room));
		smq_json_string(&j, smq_span_of(strings[i].in, strings[i].len));
		assert_int_equal(smq_json_finish(&j, &len), SMQ_OK);
		if (strcmp((char *)room, strings[i].out) != 0)
			fail_msg("row %zu: %s", i, (char *)room);
	}
}

static void knows_numbers(void **state)
{
	static const char *const yes[] = { "0", "-0", "10", "0.5", "-1.5e-10", "1E5", "9999999999999999999999" };
	static const char *const no[] = { "",    "-",   "01", "-01", "+1",  ".5",   "5.",  "1e",
					  "1e+", "0x1", "1 ", " 1",  "NaN", "1.e1", "--1", "1,5" };
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(yes); i++)
		assert_true(smq_json_is_number(smq_span_str(yes[i])));
	for (size_t i = 0; i < SMQ_COUNT(no); i++) {
		uint8_t room[64];
		size_t len;
		struct smq_json j = on(room, sizeof(room));
		assert_false(smq_json_is_number(smq_span_str(no[i])));
		smq_json_number(&j, smq_span_str(no[i]));
		assert_int_equal(smq_json_finish(&j, &len), SMQ_ERR_MALFORMED);
	}
}

static void doubles_read_back(void **state)
{
	static const double values[] = { 0, 1, -1, 0.1, 9.25, 1e300, 5e-324, 1.0 / 3, 1.2345678901234568e17 };
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(values); i++) {
		uint8_t room[64];
		size_t len;
		struct smq_json j = on(room, sizeof(room));
		smq_json_double(&j, values[i]);
		assert_int_equal(smq_json_finish(&j, &len), SMQ_OK);
		assert_true(smq_json_is_number(smq_span_of(room, len)));
		assert_true(strtod((char *)room, NULL) == values[i]);
	}
	uint8_t room[64];
	size_t len;
	struct smq_json j = on(room, sizeof(room));
	smq_json_double(&j, (double)INFINITY);
	assert_int_equal(smq_json_finish(&j, &len), SMQ_OK);
	assert_string_equal((char *)room, "null");
}

/* {"k":"v"} takes 9 bytes and the zero. */
static void never_writes_past_its_room(void **state)
{
	(void)state;
	for (size_t room_len = 0; room_len <= 12; room_len++) {
		uint8_t room[16];
		size_t len = 77;
		memset(room, 0xaa, sizeof(room));
		struct smq_json j = on(room, room_len);
		smq_json_object(&j);
		smq_json_key(&j, "k");
		smq_json_str(&j, "v");
		smq_json_end(&j);
		assert_int_equal(smq_json_finish(&j, &len), room_len >= 10 ? SMQ_OK : SMQ_ERR_NO_ROOM);
		assert_int_equal(len, room_len >= 10 ? 9 : 77);
		for (size_t i = room_len; i < sizeof(room); i++)
			assert_int_equal(room[i], 0xaa);
	}
}

static void refuses_calls_out_of_place(void **state)
{
	uint8_t room[256];
	(void)state;
	for (int i = 0; i < 8; i++) {
		size_t len;
		struct smq_json j = on(room, sizeof(room));
		if (i == 0)
			smq_json_object(&j); /* left open */
		if (i == 1)
			smq_json_end(&j);
		if (i == 2)
			smq_json_key(&j, "k");
		if (i == 3) {
			smq_json_null(&j);
			smq_json_null(&j); /* two values */
		}
		if (i == 4) {
			smq_json_object(&j);
			smq_json_null(&j); /* no key */
			smq_json_end(&j);
		}
		if (i == 5) {
			smq_json_object(&j);
			smq_json_key(&j, "k");
			smq_json_end(&j); /* no value */
		}
		for (int k = 0; i == 6 && k <= SMQ_JSON_DEPTH_MAX; k++)
			smq_json_array(&j);
		for (int k = 0; i == 6 && k <= SMQ_JSON_DEPTH_MAX; k++)
			smq_json_end(&j);
		/* 7: nothing at all */
		assert_int_equal(smq_json_finish(&j, &len), SMQ_ERR_BUG);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_nested_values),
		cmocka_unit_test(escapes_strings),
		cmocka_unit_test(knows_numbers),
		cmocka_unit_test(doubles_read_back),
		cmocka_unit_test(never_writes_past_its_room),
		cmocka_unit_test(refuses_calls_out_of_place),
	};
	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
