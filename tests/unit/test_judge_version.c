/* What `broker check` says of the versions of packages: each limit from both sides. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "app/broker_check.h"
#include "base/table.h"

enum { NOTHING = -1 };

static void note(void *self, const struct smq_finding *finding)
{
	int *severity = self;
	assert_int_equal(*severity, NOTHING); /* one at most */
	assert_string_equal(finding->rule, "version");
	assert_non_null(strstr(finding->write, "apt-get"));
	*severity = (int)finding->severity;
}

static void versions_are_judged(void **state)
{
	static const struct {
		const char *package, *version;
		int severity;
	} rows[] = {
		/* 0 */ { "mosquitto", "2.0.11-1.2", SMQ_SEVERITY_HIGH },
		/* 1 */ { "mosquitto", "2.0.11-1.2+deb12u1", SMQ_SEVERITY_MEDIUM },
		/* 2 */ { "mosquitto", "2.0.11-1.2+deb12u2", NOTHING },
		/* 3 */ { "mosquitto", "2.0.18-1", SMQ_SEVERITY_HIGH },
		/* 4 */ { "mosquitto", "2.0.19-1", NOTHING },
		/* 5 */ { "mosquitto", "1:2.0.18-1", SMQ_SEVERITY_HIGH },
		/* 6 */ { "mosquitto", "2.1.0", NOTHING },
		/* 7 */ { "mosquitto", "1.6.9", SMQ_SEVERITY_HIGH },
		/* 8 */ { "mosquitto", "devel", NOTHING },
		/* 9 */ { "nginx", "1.22.1-9+deb12u10", SMQ_SEVERITY_MEDIUM },
		/* 10 */ { "nginx", "1.22.1-9+deb12u11", NOTHING },
		/* 11 */ { "nginx", "1.22.1-9", SMQ_SEVERITY_MEDIUM },
		/* 12 */ { "nginx", "1.26.3-3", NOTHING },
		/* 13 */ { "postgresql", "1.22.1-9", NOTHING },
		/* 14 */ { "nginx", "", NOTHING },
	};
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		int severity = NOTHING;
		smq_judge_version(&(struct smq_judge){ &severity, note }, rows[i].package, rows[i].version);
		if (severity != rows[i].severity)
			fail_msg("row %zu: %d instead of %d", i, severity, rows[i].severity);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(versions_are_judged) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
