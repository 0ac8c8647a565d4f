/* Lines of logs: what is read lies within the line, alarms are printable, and no line makes the watcher grow. */
#include "fuzz.h"

#include <string.h>

#include "app/watch.h"

static void check_within(smq_span part, smq_span line)
{
	FUZZ_CHECK(part.len == 0 || (part.p >= line.p && part.p + part.len <= line.p + line.len));
}

static void printable(const char *text)
{
	for (; text && *text; text++)
		FUZZ_CHECK((unsigned char)*text >= 0x20 && *text != 0x7f);
}

static void on_alarm(void *self, const struct smq_watch_alarm *alarm)
{
	(void)self;
	FUZZ_CHECK(alarm->rule && alarm->subject);
	printable(alarm->subject);
	for (size_t i = 0; i < SMQ_WATCH_EVIDENCE; i++)
		printable(alarm->evidence[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct smq_watch *w;
	static struct smq_watch_settings settings;
	struct smq_watch_clock clock = { .len = 0 }, of_reader = { .len = 0 };
	if (!w) {
		settings = smq_watch_settings_preset();
		settings.suppress_s = 0;
		for (int i = 0; i < SMQ_RULES; i++)
			settings.limits[i].count = settings.limits[i].count > 2 ? 2 : settings.limits[i].count;
		w = smq_watch_new(&settings, 7, NULL, on_alarm);
		FUZZ_CHECK(w);
	}
	while (size > 0) {
		const uint8_t *end = memchr(data, '\n', size);
		smq_span line = smq_span_of(data, end ? (size_t)(end - data) : size);
		struct smq_watch_line read = smq_watch_read(&of_reader, line);
		check_within(read.who, line);
		check_within(read.what, line);
		smq_watch_line(w, &clock, line, 1795259500);
		data += line.len + (end ? 1 : 0);
		size -= line.len + (end ? 1 : 0);
	}
	return 0;
}
