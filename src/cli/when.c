/* Times on the command line: RFC 3339, Unix seconds, or so long ago. */
#include "cli/when.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sealmq/record.h>

/* "15m", "2h": so long before now. */
static bool take_ago(const char *text, int64_t *ret_ms)
{
	static const struct {
		const char *unit;
		int64_t ms;
	} units[] = { { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 } };
	char *end;
	struct timespec now;
	errno = 0;
	long long count = strtoll(text, &end, 10);
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
		if (end != text && !errno && count >= 0 && count < 1000000 && strcmp(end, units[i].unit) == 0) {
			clock_gettime(CLOCK_REALTIME, &now);
			*ret_ms = (int64_t)now.tv_sec * 1000 - count * units[i].ms;
			return true;
		}
	}
	return false;
}

bool when_read(const char *text, int64_t *ret_ms)
{
	char *end;
	errno = 0;
	long long seconds = strtoll(text, &end, 10);
	if (end != text && !*end && !errno && llabs(seconds) < 100000000000) {
		*ret_ms = seconds * 1000;
		return true;
	}
	return take_ago(text, ret_ms) || smq_record_time(text, ret_ms);
}

void when_write(int64_t unix_ms, char ret_text[WHEN_TEXT_MAX])
{
	struct tm tm;
	int64_t ms = ((unix_ms % 1000) + 1000) % 1000;
	time_t seconds = (time_t)((unix_ms - ms) / 1000);
	if (!gmtime_r(&seconds, &tm)) {
		memcpy(ret_text, "-", 2);
		return;
	}
	size_t len = strftime(ret_text, WHEN_TEXT_MAX - 8, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(ret_text + len, WHEN_TEXT_MAX - len, ".%03dZ", (int)ms);
}
