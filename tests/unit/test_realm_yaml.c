/* realm.yaml: what is taken, and what is refused where and how (FORMATS.md 1.1). */
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "adapters/config_yaml/realm_yaml.h"
#include "base/table.h"

static char dir[] = "/tmp/smq-realm-yaml-XXXXXX";
static char file[64];

static void put(const char *text)
{
	FILE *f = fopen(file, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static const struct {
	const char *text, *realm, *prefix, *keyex;
} good[] = {
	/* 0 */ { "realm: plant\n", "plant", "sealmq/plant", "sealmq/plant/keyex/{to}" },
	/* 1 */ { "realm: plant", "plant", "sealmq/plant", "sealmq/plant/keyex/{to}" },
	/* 2 */ { "keyex_topic: ton_iot/keyex\nrealm: ton\n", "ton", "sealmq/ton", "ton_iot/keyex" },
	/* 3 */ { "realm: p\ncontrol_prefix: a/b # why\n", "p", "a/b", "a/b/keyex/{to}" },
	/* 4 */ { "{realm: \"p\", keyex_topic: 'x/{to}/y'}\r\n", "p", "sealmq/p", "x/{to}/y" },
	/* 5 */ { "\xef\xbb\xbfrealm: p\n", "p", "sealmq/p", "sealmq/p/keyex/{to}" },
	/* 6 */
	{ "realm: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	  "sealmq/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	  "sealmq/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/keyex/{to}" },
};

static void takes_the_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(good); i++) {
		struct smq_realm_settings s;
		char why[512] = "";
		put(good[i].text);
		if (smq_realm_yaml_load(file, &s, why, sizeof(why)) != SMQ_OK)
			fail_msg("row %zu: %s", i, why);
		assert_string_equal(s.realm, good[i].realm);
		assert_string_equal(s.control_prefix, good[i].prefix);
		assert_string_equal(s.keyex_topic, good[i].keyex);
	}
}

/* `where` follows the file name, `part` must stand in the rest. */
static const struct {
	const char *text, *where, *part;
} bad[] = {
	/* 0 */ { "", ":1:1: ", "'realm' is missing" },
	/* 1 */ { "control_prefix: a/b\n", ":1:1: ", "add a line such as 'realm: plant'" },
	/* 2 */ { "realm: p\nrealm: q\n", ":2:1: ", "given twice, first on line 1" },
	/* 3 */ { "realm: p\n\nname: x\n", ":3:1: ", "unknown key; realm.yaml knows realm, control_prefix" },
	/* 4 */ { "realm: a b\n", ":1:8: ", "not a realm name" },
	/* 5 */ { "realm:\n", ":1:7: ", "has no value" },
	/* 6 */ { "realm: ''\n", ":1:8: ", "not a realm name" },
	/* 7 */ { "realm: [a]\n", ":1:8: ", "takes a single value" },
	/* 8 */ { "realm: {a: b}\n", ":1:8: ", "takes a single value" },
	/* 9 */ { "realm: p\ncontrol_prefix: a/+\n", ":2:17: ", "no '+' or '#'" },
	/* 10 */ { "realm: p\ncontrol_prefix: a.b\n", ":2:17: ", "holds a dot or a space" },
	/* 11 */ { "realm: p\ncontrol_prefix: a/\n", ":2:17: ", "ends with '/'" },
	/* 12 */ { "realm: p\ncontrol_prefix: $SYS/a\n", ":2:17: ", "belong to the broker" },
	/* 13 */ { "realm: p\nkeyex_topic: a/{from}\n", ":2:14: ", "only stand as {to}" },
	/* 14 */ { "realm: p\nkeyex_topic: a/{to}/{to}\n", ":2:14: ", "only stand as {to}" },
	/* 15 */ { "realm: p\nkeyex_topic: a/}{to}\n", ":2:14: ", "only stand as {to}" },
	/* 16 */ { "realm: p\n\tx: 1\n", ":2:", "indent with spaces" },
	/* 17 */ { "realm: \"p\n", ":2:1: ", "quote" },
	/* 18 */ { "- realm\n", ":1:1: ", "'key: value'" },
	/* 19 */ { "realm: p\n---\nrealm: q\n", ":3:1: ", "second document" },
	/* 20 */ { "realm: \"p\\0q\"\n", ":1:8: ", "control character" },
	/* 21 */ { "realm: \"p\\e[31m\"\n", ":1:8: ", "control character" },
	/* 22 */ { "\"re\\e[31m\": p\n", ":1:1: ", "not a plain word" },
	/* 23 */ { "realm: \xff\xfe\n", ":1:", "UTF-8" },
	/* 24 */
	{ "realm: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n", ":1:8: ", "not a realm name" },
	/* 25 */ { "? [a, b]\n: c\n", ":1:3: ", "not a plain word" },
	/* 26 */ { "realm: &a p\n<<: *a\n", ":2:1: ", "unknown key" },
	/* 27 */ { "realm: p\nkeyex_topic: *nowhere\n", ":2:14: ", "undefined alias" },
};

static void refuses_the_bad_with_line_and_column(void **state)
{
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(bad); i++) {
		struct smq_realm_settings s = { .realm = "untouched" };
		char why[512] = "";
		put(bad[i].text);
		assert_int_equal(smq_realm_yaml_load(file, &s, why, sizeof(why)), SMQ_ERR_CONFIG);
		size_t n = strlen(file);
		if (strncmp(why, file, n) != 0 || strncmp(why + n, bad[i].where, strlen(bad[i].where)) != 0 ||
		    !strstr(why, bad[i].part))
			fail_msg("row %zu: '%s' lacks '%s' or '%s'", i, why, bad[i].where, bad[i].part);
		assert_string_equal(s.realm, "untouched");
	}
}

static void refuses_a_long_prefix(void **state)
{
	(void)state;
	for (int len = 127; len <= 128; len++) {
		struct smq_realm_settings s;
		char why[512] = "", text[256] = "realm: p\ncontrol_prefix: ";
		size_t n = strlen(text);
		memset(text + n, 'x', (size_t)len);
		text[n + (size_t)len] = 0;
		put(text);
		assert_int_equal(smq_realm_yaml_load(file, &s, why, sizeof(why)), len == 127 ? SMQ_OK : SMQ_ERR_CONFIG);
	}
}

static void names_what_it_cannot_read(void **state)
{
	struct smq_realm_settings s;
	char why[512];
	(void)state;
	assert_int_equal(smq_realm_yaml_load("/nonexistent/realm.yaml", &s, why, sizeof(why)), SMQ_ERR_NOT_FOUND);
	assert_string_equal(why, "/nonexistent/realm.yaml: No such file or directory");
	assert_int_equal(smq_realm_yaml_load(dir, &s, why, sizeof(why)), SMQ_ERR_IO);
	assert_int_equal(smq_realm_yaml_load("/nonexistent/realm.yaml", &s, NULL, 0), SMQ_ERR_NOT_FOUND);
}

static void refuses_a_huge_file(void **state)
{
	struct smq_realm_settings s;
	char why[512];
	(void)state;
	put("realm: p\n");
	assert_int_equal(truncate(file, 1 << 20), 0);
	assert_int_equal(smq_realm_yaml_load(file, &s, why, sizeof(why)), SMQ_ERR_CONFIG);
	assert_non_null(strstr(why, "larger than 256 KiB"));
}

static void what_is_written_reads_back(void **state)
{
	(void)state;
	const struct smq_realm_settings rows[] = {
		{ "plant", "", "", "", "", "" },
		{ "p", "a/b", "ton_iot/keyex", "true", "keys", "" },
		{ "q", "a\"b\\c:", "x/{to}", "", "", "sensor-03" },
		{ "r", "\xc3\xa4/b", "x/{to}", "", "keys-2", "x" },
	};
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		struct smq_realm_settings want = rows[i], got;
		char why[512] = "";
		assert_int_equal(smq_realm_yaml_write(file, &rows[i], why, sizeof(why)), SMQ_OK);
		if (smq_realm_yaml_load(file, &got, why, sizeof(why)) != SMQ_OK)
			fail_msg("row %zu: %s", i, why);
		assert_int_equal(smq_realm_settings_complete(&want, NULL, 0), SMQ_OK);
		assert_string_equal(got.realm, want.realm);
		assert_string_equal(got.control_prefix, want.control_prefix);
		assert_string_equal(got.keyex_topic, want.keyex_topic);
		assert_string_equal(got.keyserver, want.keyserver);
		assert_string_equal(got.member, want.member);
		assert_string_equal(got.insecure_stale_crl, i == 1 ? "true" : "false");
	}
}

static void writes_nothing_bad(void **state)
{
	const struct smq_realm_settings s = { .realm = "a b" };
	char why[512] = "";
	(void)state;
	assert_int_equal(smq_realm_yaml_write(file, &s, why, sizeof(why)), SMQ_ERR_CONFIG);
	assert_non_null(strstr(why, "not a realm name"));
	const struct smq_realm_settings ok = { .realm = "a" };
	assert_int_equal(smq_realm_yaml_write("/nonexistent/realm.yaml", &ok, why, sizeof(why)), SMQ_ERR_NOT_FOUND);
}

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(file, sizeof(file), "%s/realm.yaml", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	(void)unlink(file);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_the_good),        cmocka_unit_test(refuses_the_bad_with_line_and_column),
		cmocka_unit_test(refuses_a_long_prefix), cmocka_unit_test(names_what_it_cannot_read),
		cmocka_unit_test(refuses_a_huge_file),   cmocka_unit_test(what_is_written_reads_back),
		cmocka_unit_test(writes_nothing_bad),
	};
	return cmocka_run_group_tests_name("realm_yaml", tests, setup, teardown);
}
