/* Output formats and JSON. */
#include "cmocka_all.h"

#include <stdlib.h>

#include "base/table.h"
#include "cli/format.h"
#include "cli/json.h"

static const struct smq_property properties[] = {
	{ "publish", "content-type", "text/x", 6, NULL },
	{ "publish", "user-property", "k", 1, "v" },
	{ "publish", "message-expiry-interval", "30", 2, NULL },
	{ "publish", "user-property", "k", 1, "w\n" },
};

static struct smq_message sealed(const char *payload)
{
	struct smq_message m = { .mqtt = { .id = 7,
					   .topic = "a/b",
					   .qos = 1,
					   .retain = true,
					   .properties = properties,
					   .property_count = SMQ_COUNT(properties) },
				 .proof = SMQ_PROOF_PEER,
				 .sender = "fridge-07",
				 .algorithm = "A128GCM",
				 .epoch = 3,
				 .slot = SMQ_NO_SLOT,
				 .counter = 41,
				 .overhead = 22,
				 .age_ms = -5,
				 .open_ns = 1500,
				 .missing = 2 };
	m.mqtt.payload = smq_span_str(payload);
	memset(m.boot_id, 0xab, sizeof m.boot_id);
	return m;
}

static struct smq_message plain(const char *payload)
{
	struct smq_message m = { .mqtt = { .topic = "a/b" }, .proof = SMQ_PROOF_PLAIN, .sender = "" };
	m.mqtt.payload = smq_span_str(payload);
	return m;
}

static char shown[2048];

static const char *format(const char *text, const struct smq_message *m, bool escape, smq_err wanted)
{
	struct format_options o = { .escape = escape, .now = { 1470818943, 86368637 } };
	struct buf out = { 0 };
	assert_int_equal(format_message(text, m, &o, &out), wanted);
	assert_true(out.len < sizeof shown);
	if (out.len)
		memcpy(shown, out.p, out.len);
	shown[out.len] = 0;
	buf_free(&out);
	return shown;
}

/* What mosquitto_sub 2.0.11 printed for the same message, but where a comment says otherwise. */
static void letters_and_widths(void **state)
{
	static const struct {
		const char *format, *wanted;
	} rows[] = {
		{ "", "" },
		{ "%%", "%" },
		{ "%t", "a/b" },
		{ "%10t", "       a/b" },
		{ "%-10t|", "a/b       |" },
		{ "%.2t", "a/" },
		{ "%5.1t|", "    a|" },
		{ "%p", "hello" },
		{ "%10p", "     hello" },
		{ "%-10p|", "hello     |" },
		{ "%3p", "hel" },
		{ "%07p", "00hello" },
		{ "%.3p", "hel" }, /* there the maximum is not looked at */
		{ "%l", "5" },
		{ "%05l", "00005" },
		{ "%-5l|", "5    |" },
		{ "%5l", "    5" },
		{ "%-05l|", "5    |" },
		{ "%q%r%m", "117" },
		{ "%3q", "1" },
		{ "%x", "68656c6c6f" },
		{ "%X", "68656C6C6F" },
		{ "%3x", " 68" },
		{ "%12x", "  68656c6c6f" }, /* there half of the bytes are lost */
		{ "%012x", "0068656c6c6f" },
		{ "%C", "text/x" },
		{ "%8C", "  text/x" },
		{ "%E", "30" },
		{ "%5E", "   30" },
		{ "%05E", "00030" },
		{ "%F|%3F|%03F", "|   |000" },
		{ "%P", "k:v k:w\n" },
		{ "%R%D%A%S", "" },
		{ "%5R|", "|" },
		{ "%3A|%3S", "   |   " },
		{ "%U", "1470818943.086368637" },
		{ "%I", "2016-08-10T08:49:03+00:00" }, /* there without the colon, against RFC 3339 */
		{ "@Y-@m-@dT@H:@M:@S.@N@@", "2016-08-10T08:49:03.086368637@" },
		{ "\\\\\\a\\e\\n\\r\\t\\v", "\\\a\033\n\r\t\v" },
		{ "a%tb@@c\\nd", "aa/bb@c\nd" },
		/* ours */
		{ "%s %g|%e %k|%n %v %a %o %b %G", "fridge-07 |3 |41 peer -5 1500 22 2" },
		{ "%12s|%-12s|%.6s", "   fridge-07|fridge-07   |fridge" },
		{ "%B", "abababababababababababababababab" },
		{ "%05a|%-5a|%5a", "-0005|-5   |   -5" },
		{ "%3k|%3g", "   |   " },
	};
	(void)state;
	struct smq_message m = sealed("hello");
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		const char *why;
		char bad;
		assert_true(format_valid(rows[i].format, &why, &bad));
		if (strcmp(format(rows[i].format, &m, false, SMQ_OK), rows[i].wanted) != 0)
			fail_msg("row %zu (%s): '%s', not '%s'", i + 1, rows[i].format, shown, rows[i].wanted);
	}
	m = plain("x");
	assert_string_equal(format("[%s|%3s|%e|%a|%v|%p]", &m, false, SMQ_OK), "[|   |||plain|x]");
}

static void bad_formats_are_refused(void **state)
{
	static const struct {
		const char *format, *why;
	} rows[] = {
		{ "%z", "after '%'" },          { "a%", "ends in the middle" }, { "%-05", "ends in the middle" },
		{ "%.", "ends in the middle" }, { "\\q", "after '\\'" },        { "\\", "ends in the middle" },
		{ "@", "ends in the middle" },  { "%10001p", "width" },         { "%99999999999999999999p", "width" }
	};
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		const char *why = "accepted";
		char bad;
		if (format_valid(rows[i].format, &why, &bad) || !strstr(why, rows[i].why))
			fail_msg("row %zu (%s): %s", i + 1, rows[i].format, why);
	}
}

static void nothing_steers_the_terminal(void **state)
{
	(void)state;
	struct smq_message m = sealed("\033[2J\r\n\\ \xc2\x9b \xff ok");
	assert_string_equal(format("%p", &m, true, SMQ_OK), "\\x1b[2J\\r\\n\\ \\xc2\\x9b \\xff ok");
	assert_string_equal(format("%p", &m, false, SMQ_OK), "\033[2J\r\n\\ \xc2\x9b \xff ok");
	/* what the user's own format says passes */
	assert_string_equal(format("\\e[1m%P", &m, true, SMQ_OK), "\033[1mk:v k:w\\n");
	struct buf out = { 0 };
	format_default(&m, true, true, &out);
	assert_int_equal(out.len, strlen("a/b \\x1b[2J\\r\\n\\ \\xc2\\x9b \\xff ok"));
	buf_free(&out);
}

static void the_default_is_mosquittos(void **state)
{
	(void)state;
	struct buf out = { 0 };
	struct smq_message m = plain("");
	format_default(&m, true, false, &out);
	buf_put(&out, "|", 1);
	format_default(&m, false, false, &out);
	m = plain("x");
	format_default(&m, true, false, &out);
	buf_put(&out, "", 1);
	assert_string_equal(out.p, "a/b (null)|a/b x");
	buf_free(&out);
}

/* ---- JSON ---- */

static void json_of_messages(void **state)
{
	(void)state;
	struct smq_message m = plain("say \"hi\"\n\x7f");
	assert_string_equal(format("%j", &m, false, SMQ_OK),
			    "{\"tst\":\"2016-08-10T08:49:03.086368+00:00\",\"topic\":\"a/b\",\"qos\":0,\"retain\":0,"
			    "\"payloadlen\":10,\"payload\":\"say \\\"hi\\\"\\n\\u007f\"}");
	m = sealed("{ \"a\" : 1.0 }");
	assert_string_equal(
	    format("%J", &m, false, SMQ_OK),
	    "{\"tst\":\"2016-08-10T08:49:03.086368+00:00\",\"topic\":\"a/b\",\"qos\":1,\"retain\":1,"
	    "\"payloadlen\":13,\"mid\":7,\"properties\":{\"content-type\":\"text/x\",\"user-properties\":"
	    "{\"k\":\"v\",\"k\":\"w\\n\"},\"message-expiry-interval\":30},\"payload\":{\"a\":1.0},"
	    "\"e2e\":{\"sender\":\"fridge-07\",\"group\":null,\"epoch\":3,\"slot\":null,\"counter\":41,"
	    "\"boot_id\":\"abababababababababababababababab\",\"proof\":\"peer\",\"algorithm\":\"A128GCM\","
	    "\"age_ms\":-5,\"open_ns\":1500,\"overhead\":22,\"missing\":2}}");
	m = plain("");
	assert_non_null(strstr(format("%j", &m, false, SMQ_OK), "\"payload\":null}"));
	assert_non_null(strstr(format("%J", &m, false, SMQ_OK), "\"payload\":null}"));
	m = plain("\xff\xfe");
	assert_non_null(strstr(format("%j", &m, false, SMQ_OK), "\"payload\":null,\"payload_base64\":\"//4=\"}"));
	m = plain("{\"a\":");
	assert_string_equal(format("<%J>", &m, false, SMQ_ERR_DATA), "<>");
}

static void json_is_checked(void **state)
{
	static const struct {
		const char *text, *wanted; /* NULL: refused */
	} rows[] = {
		{ " { \"a\" : [ 1 , -0.5e+3 , true ] } ", "{\"a\":[1,-0.5e+3,true]}" },
		{ "[]", "[]" },
		{ "{}", "{}" },
		{ "\"\\u00e9\\n\xc3\xa9\"", "\"\\u00e9\\n\xc3\xa9\"" },
		{ "null", "null" },
		{ "0", "0" },
		{ "\"\x7f\xc2\x80\"", "\"\\u007f\\u0080\"" },
		{ "", NULL },
		{ " ", NULL },
		{ "01", NULL },
		{ "1.", NULL },
		{ ".5", NULL },
		{ "+1", NULL },
		{ "1e", NULL },
		{ "-", NULL },
		{ "nul", NULL },
		{ "NaN", NULL },
		{ "[1,]", NULL },
		{ "[,1]", NULL },
		{ "[1 2]", NULL },
		{ "{\"a\"}", NULL },
		{ "{\"a\":1,}", NULL },
		{ "{a:1}", NULL },
		{ "[1", NULL },
		{ "\"a", NULL },
		{ "\"\\x\"", NULL },
		{ "\"\\u12g4\"", NULL },
		{ "\"\n\"", NULL },
		{ "\"\xff\"", NULL },
		{ "1 2", NULL },
		{ "{}}", NULL },
	};
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		struct buf out = { 0 };
		bool ok = json_lay_out(&out, smq_span_str(rows[i].text), false);
		buf_put(&out, "", 1);
		if (ok != (rows[i].wanted != NULL) || (ok && strcmp(out.p, rows[i].wanted) != 0) ||
		    (!ok && out.len != 1))
			fail_msg("row %zu (%s): %s", i + 1, rows[i].text, ok ? out.p : "refused");
		buf_free(&out);
	}
}

static void json_depth_is_bounded(void **state)
{
	char text[2001];
	(void)state;
	for (size_t depth = 250; depth < 260; depth++) {
		struct buf out = { 0 };
		memset(text, '[', depth);
		memset(text + depth, ']', depth);
		assert_int_equal(json_lay_out(&out, smq_span_of(text, 2 * depth), false), depth <= 256);
		buf_free(&out);
	}
}

static void pretty_as_cjson_prints(void **state)
{
	struct buf out = { 0 };
	(void)state;
	assert_true(json_lay_out(&out, smq_span_str("{\"a\":[1,{\"b\":null}],\"c\":{}}"), true));
	buf_put(&out, "", 1);
	assert_string_equal(out.p, "{\n\t\"a\":\t[1, {\n\t\t\t\"b\":\tnull\n\t\t}],\n\t\"c\":\t{\n\t}\n}");
	buf_free(&out);
}

/* Every prefix and every byte changed: no crash, and what is accepted is accepted again. */
static void json_takes_anything(void **state)
{
	static const char text[] = "{\"a\":[1,-2.5e3,true,{\"b\":null}],\"\\u00e9\":\"x\xc3\xa9\"}";
	char changed[sizeof text];
	(void)state;
	for (size_t i = 0; i < sizeof text - 1; i++) {
		for (int byte = 0; byte < 256; byte++) {
			struct buf out = { 0 }, again = { 0 };
			memcpy(changed, text, sizeof text);
			changed[i] = (char)byte;
			if (json_lay_out(&out, smq_span_of(changed, sizeof text - 1), false))
				assert_true(json_lay_out(&again, smq_span_of(out.p, out.len), true));
			buf_free(&out);
			buf_free(&again);
		}
		struct buf out = { 0 };
		assert_false(json_lay_out(&out, smq_span_of(text, i), false));
		buf_free(&out);
	}
}

int main(void)
{
	setenv("TZ", "UTC", 1);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(letters_and_widths),
		cmocka_unit_test(bad_formats_are_refused),
		cmocka_unit_test(nothing_steers_the_terminal),
		cmocka_unit_test(the_default_is_mosquittos),
		cmocka_unit_test(json_of_messages),
		cmocka_unit_test(json_is_checked),
		cmocka_unit_test(json_depth_is_bounded),
		cmocka_unit_test(pretty_as_cjson_prints),
		cmocka_unit_test(json_takes_anything),
	};
	return cmocka_run_group_tests_name("format", tests, NULL, NULL);
}
