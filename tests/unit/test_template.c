/* Texts with holes. */
#include "app/template.h"

#include <stdlib.h>
#include <string.h>

#include "cmocka_all.h"

#include "base/table.h"

static void rows(void **state)
{
	static const struct smq_template_value values[] = { { "a", "one" }, { "b", "" }, { "c", NULL } };
	static const struct {
		const char *text;
		const char *filled; /* NULL: refused */
	} table[] = {
		{ "", "" },
		{ "x", "x\n" },
		{ "x\n\ny\n", "x\n\ny\n" },
		{ "<@a@@b@@c@>\n", "<one>\n" },
		{ "@@a@@ u@@v\n", "@a@ u@v\n" },
		{ "@if a@\nx\n@end@\ny\n", "x\ny\n" },
		{ "@if b@\nx\n@end@\ny\n", "y\n" },
		{ "@ifnot c@\nx\n@end@\ny\n", "x\ny\n" },
		{ "@if b@\n@if a@\nx\n@end@\nz\n@end@\ny\n", "y\n" },
		{ "@if a@\n@if b@\nx\n@end@\nz\n@end@\ny\n", "z\ny\n" },
		{ "@nobody@\n", NULL },
		{ "a @ b\n", NULL },
		{ "@if nobody@\n@end@\n", NULL },
		{ "@if a\n@end@\n", NULL },
		{ "@if a@\nx\n", NULL },
		{ "@end@\n", NULL },
	};
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(table); i++) {
		char *text = NULL;
		smq_err err = smq_template_fill(table[i].text, values, SMQ_COUNT(values), &text);
		if (err != (table[i].filled ? SMQ_OK : SMQ_ERR_BUG) || (text && strcmp(text, table[i].filled) != 0))
			fail_msg("row %zu: %s, '%s'", i, smq_err_name(err), text ? text : "");
		free(text);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = { cmocka_unit_test(rows) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
