/* wire/edhoc_message: what each message looks like, and that no other way of writing it is taken. */
#include "cmocka_all.h"

#include "base/table.h"
#include "base/text.h"
#include "wire/edhoc_message.h"

static uint8_t bytes[2 * SMQ_EDHOC_MESSAGE_MAX];

static smq_span unhex(const char *hex)
{
	size_t len = 0;
	assert_int_equal(smq_hex_decode(hex, smq_mspan_of(bytes, sizeof(bytes)), &len), SMQ_OK);
	return smq_span_of(bytes, len);
}

#define KEY32 "5820000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY31 "581f000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e"
#define KEY33 "5821000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"
#define KEY48                                                                                                          \
	"5830"                                                                                                         \
	"000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f"

static void message_1_has_one_form(void **state)
{
	(void)state;
	static const struct {
		const char *hex;
		smq_err err;
	} rows[] = {
		{ "0002" KEY32 "00", SMQ_OK },
		{ "0002" KEY32 "17", SMQ_OK },
		{ "0002" KEY32 "20", SMQ_OK },
		{ "0002" KEY32 "37", SMQ_OK },
		{ "0002" KEY32 "40", SMQ_OK }, /* an empty identifier */
		{ "0002" KEY32 "4118", SMQ_OK },
		{ "0002" KEY32 "4138", SMQ_OK },
		{ "0002" KEY32 "420000", SMQ_OK },
		{ "0002" KEY32 "480001020304050607", SMQ_OK },
		{ "0002" KEY32 "49000102030405060708", SMQ_ERR_TOO_LARGE },
		{ "0002" KEY32 "4117", SMQ_ERR_MALFORMED }, /* stands for itself */
		{ "0002" KEY32 "4137", SMQ_ERR_MALFORMED },
		{ "0002" KEY32 "4120", SMQ_ERR_MALFORMED },
		{ "0002" KEY32 "1818", SMQ_ERR_MALFORMED }, /* an integer of two bytes */
		{ "0002" KEY32 "3818", SMQ_ERR_MALFORMED },
		{ "0002" KEY32 "6130", SMQ_ERR_MALFORMED },
		{ "0002" KEY32 "580118", SMQ_ERR_MALFORMED },
		{ "0002" KEY32 "5f4118ff", SMQ_ERR_MALFORMED },
		{ "0002" KEY32, SMQ_ERR_TRUNCATED },
		{ "0002" KEY31 "00", SMQ_ERR_MALFORMED },
		{ "0002" KEY33 "00", SMQ_ERR_MALFORMED },
		{ "0006" KEY31 "00", SMQ_ERR_MALFORMED },
		{ "0018"
		  "18" KEY48 "00",
		  SMQ_OK }, /* P-384: to be answered, not to be used */
		{ "0018"
		  "18" KEY32 "00",
		  SMQ_ERR_MALFORMED },
		{ "00820218"
		  "18" KEY48 "00",
		  SMQ_OK },
		{ "0007" KEY33 "00", SMQ_OK }, /* a suite that nobody knows yet */
		{ "0034" KEY32 "00", SMQ_OK }, /* private use: -21 */
		{ "008102" KEY32 "00", SMQ_ERR_MALFORMED },
		{ "0080" KEY32 "00", SMQ_ERR_MALFORMED },
		{ "00880001020304050602" KEY32 "00", SMQ_OK },
		{ "0089000102030405060102" KEY32 "00", SMQ_ERR_TOO_LARGE },
		{ "009b0000000100000000" KEY32 "00", SMQ_ERR_TOO_LARGE },
		{ "00820002", SMQ_ERR_TRUNCATED },
		{ "0082f602" KEY32 "00", SMQ_ERR_MALFORMED },
		{ "001a00010000" KEY32 "00", SMQ_ERR_MALFORMED }, /* beyond any suite */
		{ "0041"
		  "02" KEY32 "00",
		  SMQ_ERR_MALFORMED },
		{ "f502" KEY32 "00", SMQ_ERR_MALFORMED },
		{ "1800"
		  "02" KEY32 "00",
		  SMQ_ERR_MALFORMED },
		{ "1a00010000"
		  "02" KEY32 "00",
		  SMQ_ERR_MALFORMED },
		{ "0002" KEY32 "00"
		  "01",
		  SMQ_OK }, /* EAD: a label */
		{ "0002" KEY32 "00"
		  "20"
		  "4101"
		  "00"
		  "40",
		  SMQ_OK }, /* two items, one critical, one padding */
		{ "0002" KEY32 "00"
		  "4101",
		  SMQ_ERR_MALFORMED }, /* a value without a label */
		{ "0002" KEY32 "00"
		  "014101"
		  "4101",
		  SMQ_ERR_MALFORMED },
		{ "0002" KEY32 "00"
		  "6101",
		  SMQ_ERR_MALFORMED },
		{ "0002" KEY32 "00"
		  "0142",
		  SMQ_ERR_MALFORMED },
		{ "0002" KEY32 "00"
		  "015800",
		  SMQ_ERR_MALFORMED },
		{ "0002" KEY32 "00"
		  "01f6",
		  SMQ_ERR_MALFORMED },
		{ "", SMQ_ERR_TRUNCATED },
	};
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		struct smq_edhoc_message_1 m;
		uint8_t again[256];
		size_t len = 0;
		smq_span message = unhex(rows[i].hex);
		smq_err err = smq_edhoc_message_1_decode(message, &m);
		/* Where it ends too early inside a value, either word will do. */
		if (err != rows[i].err && !(err == SMQ_ERR_TRUNCATED && rows[i].err == SMQ_ERR_MALFORMED))
			fail_msg("row %zu (%s): %s", i, rows[i].hex, smq_err_name(err));
		if (err != SMQ_OK)
			continue;
		assert_int_equal(smq_edhoc_message_1_encode(&m, smq_mspan_of(again, sizeof(again)), &len), SMQ_OK);
		assert_true(smq_span_equal(smq_span_of(again, len), message));
		assert_int_equal(smq_edhoc_message_1_encode(&m, smq_mspan_of(again, len - 1), &len), SMQ_ERR_NO_ROOM);
	}
}

#define MAC8 "480102030405060708"

static void plaintexts_have_one_form(void **state)
{
	(void)state;
	static const struct {
		int n;
		const char *hex;
		smq_err err;
		const char *id_cred;
	} rows[] = {
		{ 2,
		  "27"
		  "32" MAC8,
		  SMQ_OK, "a1044132" },
		{ 3, "32" MAC8, SMQ_OK, "a1044132" },
		{ 3, "2b" MAC8 "01", SMQ_OK, "a104412b" },
		{ 3, "40" MAC8, SMQ_OK, "a10440" },
		{ 3, "43abcdef" MAC8, SMQ_OK, "a10443abcdef" },
		{ 3, "a1182141ff" MAC8, SMQ_OK, "a1182141ff" },
		{ 3, "a11822822e41ff" MAC8, SMQ_OK, "a11822822e41ff" },
		{ 3, "a2044132182141ff" MAC8, SMQ_OK, "a2044132182141ff" }, /* more than a kid */
		{ 3, "a1044132" MAC8, SMQ_ERR_MALFORMED, NULL },            /* a kid alone goes bare */
		{ 3, "a10442abcd" MAC8, SMQ_ERR_MALFORMED, NULL },
		{ 3, "a0" MAC8, SMQ_ERR_MALFORMED, NULL },
		{ 3, "4132" MAC8, SMQ_ERR_MALFORMED, NULL },
		{ 3, "1818" MAC8, SMQ_ERR_MALFORMED, NULL },
		{ 3, "6132" MAC8, SMQ_ERR_MALFORMED, NULL },
		{ 3, "8132" MAC8, SMQ_ERR_MALFORMED, NULL },
		{ 3, "bf182141ffff" MAC8, SMQ_ERR_MALFORMED, NULL },
		{ 3,
		  "32"
		  "44fa5efa2e",
		  SMQ_ERR_MALFORMED, NULL },
		{ 3,
		  "32"
		  "4701020304050607",
		  SMQ_ERR_MALFORMED, NULL },
		{ 3,
		  "32"
		  "6801020304050607"
		  "08",
		  SMQ_ERR_MALFORMED, NULL },
		{ 3, "32", SMQ_ERR_TRUNCATED, NULL },
		{ 3, "32" MAC8 "40", SMQ_ERR_MALFORMED, NULL },
		{ 2,
		  "4127"
		  "32" MAC8,
		  SMQ_ERR_MALFORMED, NULL },
		{ 2,
		  "49000102030405060708"
		  "32" MAC8,
		  SMQ_ERR_TOO_LARGE, NULL },
		{ 2, "", SMQ_ERR_TRUNCATED, NULL },
	};
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		struct smq_edhoc_plaintext p;
		uint8_t again[128];
		char hex[128];
		size_t len = 0;
		smq_span plain = unhex(rows[i].hex);
		smq_err err = smq_edhoc_plaintext_decode(rows[i].n, plain, &p);
		if (err != rows[i].err)
			fail_msg("row %zu (%s): %s", i, rows[i].hex, smq_err_name(err));
		if (err != SMQ_OK)
			continue;
		assert_int_equal(smq_hex_encode(p.id_cred.map, hex, sizeof(hex)), SMQ_OK);
		assert_string_equal(hex, rows[i].id_cred);
		assert_int_equal(smq_edhoc_plaintext_encode(rows[i].n, &p, smq_mspan_of(again, sizeof(again)), &len),
				 SMQ_OK);
		assert_true(smq_span_equal(smq_span_of(again, len), plain));
	}
}

static void limits_of_a_plaintext(void **state)
{
	(void)state;
	struct smq_edhoc_plaintext p;
	static uint8_t big[3 + SMQ_EDHOC_KID_MAX + 9];
	for (int over = 0; over <= 1; over++) {
		size_t kid_len = (size_t)(SMQ_EDHOC_KID_MAX + over);
		memset(big, 0, sizeof(big));
		big[0] = 0x58;
		big[1] = (uint8_t)kid_len;
		big[2 + kid_len] = 0x48;
		assert_int_equal(smq_edhoc_plaintext_decode(3, smq_span_of(big, 2 + kid_len + 9), &p),
				 over ? SMQ_ERR_TOO_LARGE : SMQ_OK);
	}
	static uint8_t ead[SMQ_EDHOC_EAD_MAX + 1];
	assert_int_equal(smq_edhoc_ead_check(smq_span_of(ead, SMQ_EDHOC_EAD_MAX)), SMQ_OK);
	assert_int_equal(smq_edhoc_ead_check(smq_span_of(ead, SMQ_EDHOC_EAD_MAX + 1)), SMQ_ERR_TOO_LARGE);
}

static void messages_2_to_4_are_one_byte_string(void **state)
{
	(void)state;
	static const struct {
		const char *hex;
		smq_err err;
	} rows[] = {
		{ "5821"
		  "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1fff",
		  SMQ_OK },
		{ KEY32, SMQ_ERR_TRUNCATED }, /* no ciphertext */
		{ KEY32 "4101", SMQ_ERR_TRAILING },
		{ "815821"
		  "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1fff",
		  SMQ_ERR_MALFORMED },
		{ "7821"
		  "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20",
		  SMQ_ERR_MALFORMED },
		{ "590021"
		  "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20",
		  SMQ_ERR_MALFORMED },
		{ "40", SMQ_ERR_TRUNCATED },
		{ "", SMQ_ERR_TRUNCATED },
	};
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		smq_span g_y, ciphertext;
		smq_err err = smq_edhoc_message_2_decode(unhex(rows[i].hex), &g_y, &ciphertext);
		if (err != rows[i].err)
			fail_msg("row %zu (%s): %s", i, rows[i].hex, smq_err_name(err));
		if (err == SMQ_OK)
			assert_int_equal(ciphertext.len, 1);
	}
	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes, "\x59\x1f\xfe", 3); /* 8,190 and a head of 3: one too many */
	smq_span ciphertext;
	assert_int_equal(smq_edhoc_ciphertext_decode(smq_span_of(bytes, 8193), &ciphertext), SMQ_ERR_TOO_LARGE);
	bytes[2] = 0xfd;
	assert_int_equal(smq_edhoc_ciphertext_decode(smq_span_of(bytes, 8192), &ciphertext), SMQ_OK);
}

static void errors_round_trip(void **state)
{
	(void)state;
	static const char *const rows[] = { "016468656c70", "0160", "0202", "02820203", "03f5" };
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		struct smq_edhoc_error e;
		uint8_t again[16];
		size_t len = 0;
		smq_span message = unhex(rows[i]);
		assert_true(smq_edhoc_is_error(message));
		assert_int_equal(smq_edhoc_error_decode(message, &e), SMQ_OK);
		assert_int_equal(smq_edhoc_error_encode(&e, smq_mspan_of(again, sizeof(again)), &len), SMQ_OK);
		assert_true(smq_span_equal(smq_span_of(again, len), message));
	}
	assert_false(smq_edhoc_is_error(unhex("4100")));
	assert_false(smq_edhoc_is_error(unhex("")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(message_1_has_one_form), cmocka_unit_test(plaintexts_have_one_form),
		cmocka_unit_test(limits_of_a_plaintext),  cmocka_unit_test(messages_2_to_4_are_one_byte_string),
		cmocka_unit_test(errors_round_trip),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
