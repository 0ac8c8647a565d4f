/* Foreign libraries loaded when they are needed: all of their functions or none, and one line that says what is amiss.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "adapters/common_loader/loader.h"
#include "base/table.h"

struct pair {
	size_t (*first)(const char *);
	char *(*second)(const char *, int);
};

static const char *const good[] = { "strlen", "strchr" };
static const char *const half[] = { "strlen", "smq_no_such_function" };
static const char *const many[SMQ_LIBRARY_FUNCTIONS_MAX + 1] = { "strlen" };

static const struct {
	int number;
	const char *file;
	const char *const *names;
	size_t count;
	smq_err err;
	const char *said; /* a part of it */
} rows[] = {
	{ 1, "libc.so.6", good, 2, SMQ_OK, NULL },
	{ 2, "libc.so.6", good, 1, SMQ_OK, NULL },
	{ 3, "libc.so.6", half, 2, SMQ_ERR_LIBRARY, "smq_no_such_function" },
	{ 4, "libsealmq-nothing.so.7", good, 2, SMQ_ERR_LIBRARY, "libsealmq-nothing.so.7: cannot open" },
	{ 5, "/dev/null", good, 2, SMQ_ERR_LIBRARY, "/dev/null" },
	{ 6, "libc.so.6", many, SMQ_COUNT(many), SMQ_ERR_BUG, NULL },
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		struct pair pair = { NULL, NULL };
		const struct smq_library library = { rows[i].file, "some-package", rows[i].names, rows[i].count,
						     &pair };
		smq_err err = smq_library_load(&library);
		if (err != rows[i].err)
			fail_msg("row %d: %s", rows[i].number, smq_library_text(err));
		if (err == SMQ_OK)
			assert_int_equal(pair.first("four"), 4);
		else
			assert_true(!pair.first && !pair.second);
		const char *text = smq_library_text(err);
		if (rows[i].said && (!strstr(text, rows[i].said) || !strstr(text, "(Debian: some-package)")))
			fail_msg("row %d: %s", rows[i].number, text);
		assert_null(strchr(text, '\n'));
	}
}

static void test_once(void **state)
{
	struct pair pair = { NULL, NULL };
	const struct smq_library library = { "libc.so.6", "libc6", good, 2, &pair };
	(void)state;
	assert_int_equal(smq_library_load(&library), SMQ_OK);
	const struct smq_library gone = { "libsealmq-nothing.so.7", "libc6", good, 2, &pair };
	assert_int_equal(smq_library_load(&gone), SMQ_OK); /* what is there is not looked for again */
	assert_string_equal(pair.second("ab", 'b'), "b");
}

static void test_other_errors(void **state)
{
	(void)state;
	assert_string_equal(smq_library_text(SMQ_ERR_FULL), smq_err_text(SMQ_ERR_FULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_once),
		cmocka_unit_test(test_other_errors),
	};
	return cmocka_run_group_tests_name("loader", tests, NULL, NULL);
}
