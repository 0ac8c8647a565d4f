/* wire/cbor: what is refused, and that what we write reads back. */
#include "cmocka_all.h"

#include "base/table.h"
#include "base/text.h"
#include "wire/cbor.h"

static void integers_round_trip_in_shortest_form(void **state)
{
	(void)state;
	static const struct {
		int64_t value;
		const char *hex;
	} rows[] = { { 0, "00" },	   { 23, "17" },       { 24, "1818" },	       { 255, "18ff" },
		     { 256, "190100" },	   { 65536, "1a00010000" }, { -1, "20" },      { -24, "37" },
		     { -25, "3818" },	   { INT64_MAX, "1b7fffffffffffffff" }, { INT64_MIN, "3b7fffffffffffffff" } };
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		uint8_t room[9];
		char hex[19];
		struct smq_writer w = smq_writer_on(smq_mspan_of(room, sizeof(room)));
		smq_cbor_put_int(&w, rows[i].value);
		assert_int_equal(w.err, SMQ_OK);
		assert_int_equal(smq_hex_encode(smq_writer_span(&w), hex, sizeof(hex)), SMQ_OK);
		assert_string_equal(hex, rows[i].hex);
		struct smq_reader r = smq_reader_on(smq_writer_span(&w));
		assert_true(smq_cbor_get_int(&r) == rows[i].value);
		assert_int_equal(smq_reader_end(&r), SMQ_OK);
	}
}

static smq_err skim(const char *hex)
{
	uint8_t bytes[128];
	size_t len = 0;
	assert_int_equal(smq_hex_decode(hex, smq_mspan_of(bytes, sizeof(bytes)), &len), SMQ_OK);
	struct smq_reader r = smq_reader_on(smq_span_of(bytes, len));
	smq_cbor_get_item(&r);
	return smq_reader_end(&r);
}

static void items_are_skipped_whole_or_refused(void **state)
{
	(void)state;
	static const struct {
		const char *hex;
		smq_err err;
	} rows[] = {
		{ "a10182024103", SMQ_OK },
		{ "d083", SMQ_ERR_TRUNCATED },
		{ "8301", SMQ_ERR_TRUNCATED },
		{ "0101", SMQ_ERR_TRAILING },
		{ "1817", SMQ_ERR_MALFORMED },	   /* 23 in two bytes */
		{ "1900ff", SMQ_ERR_MALFORMED },   /* 255 in three */
		{ "1a0000ffff", SMQ_ERR_MALFORMED },
		{ "1b00000000ffffffff", SMQ_ERR_MALFORMED },
		{ "3817", SMQ_ERR_MALFORMED },
		{ "580141", SMQ_ERR_MALFORMED },   /* length 1 in two bytes */
		{ "9801ff", SMQ_ERR_MALFORMED },
		{ "5f4101ff", SMQ_ERR_MALFORMED }, /* indefinite */
		{ "9f01ff", SMQ_ERR_MALFORMED },
		{ "bf0101ff", SMQ_ERR_MALFORMED },
		{ "7f6161ff", SMQ_ERR_MALFORMED },
		{ "ff", SMQ_ERR_MALFORMED },
		{ "f7", SMQ_ERR_MALFORMED },
		{ "fb3ff0000000000000", SMQ_ERR_MALFORMED },
		{ "bb7fffffffffffffff", SMQ_ERR_TRUNCATED },
		{ "5bffffffffffffffff", SMQ_ERR_TRUNCATED },
		{ "818181818181818101", SMQ_ERR_MALFORMED }, /* nested too deep */
		{ "8181818181818101", SMQ_OK },
		{ "", SMQ_ERR_TRUNCATED },
	};
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		if (skim(rows[i].hex) != rows[i].err)
			fail_msg("row %zu (%s): %s", i, rows[i].hex, smq_err_name(skim(rows[i].hex)));
	}
}

static smq_err keys(const char *hex)
{
	uint8_t bytes[64];
	size_t len = 0;
	smq_span prev = { NULL, 0 };
	assert_int_equal(smq_hex_decode(hex, smq_mspan_of(bytes, sizeof(bytes)), &len), SMQ_OK);
	struct smq_reader r = smq_reader_on(smq_span_of(bytes, len));
	for (size_t n = smq_cbor_get_map(&r); n > 0 && r.err == SMQ_OK; n--) {
		smq_cbor_map_key(&r, &prev);
		smq_cbor_get_item(&r);
	}
	return smq_reader_end(&r);
}

static void map_keys_rise(void **state)
{
	(void)state;
	assert_int_equal(keys("a201000200"), SMQ_OK);
	assert_int_equal(keys("a201002000"), SMQ_OK); /* 1 before -1 */
	assert_int_equal(keys("a201000100"), SMQ_ERR_MALFORMED);
	assert_int_equal(keys("a202000100"), SMQ_ERR_MALFORMED);
	assert_int_equal(keys("a2181900181900"), SMQ_ERR_MALFORMED);
	assert_int_equal(keys("a1"), SMQ_ERR_TRUNCATED);
}

static void text_must_be_utf8(void **state)
{
	(void)state;
	struct smq_reader r = smq_reader_on(smq_span_of("\x62\xc3\x28", 3));
	assert_int_equal(smq_cbor_get_text(&r).len, 0);
	assert_int_equal(smq_reader_end(&r), SMQ_ERR_MALFORMED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(integers_round_trip_in_shortest_form),
		cmocka_unit_test(items_are_skipped_whole_or_refused),
		cmocka_unit_test(map_keys_rise),
		cmocka_unit_test(text_must_be_utf8),
	};
	return cmocka_run_group_tests_name("cbor", tests, NULL, NULL);
}
