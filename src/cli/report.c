/* Lines on standard error. */
#include "cli/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <sealmq/json.h>
#include <sealmq/text.h>

const char *report_shown(const char *text)
{
	static char rooms[4][124];
	static unsigned next;
	char *room = rooms[next++ % 4];
	smq_escape(smq_span_str(text), room, sizeof rooms[0]);
	return room;
}

static void print_object(const char *tool, const char *text)
{
	uint8_t room[4096];
	char when[32] = "";
	time_t now = time(NULL);
	struct tm tm;
	size_t len = 0;
	struct smq_json j = smq_json_on(smq_mspan_of(room, sizeof room));
	if (gmtime_r(&now, &tm))
		strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
	smq_json_object(&j);
	smq_json_key(&j, "time");
	smq_json_str(&j, when);
	smq_json_key(&j, "tool");
	smq_json_str(&j, tool);
	smq_json_key(&j, "text");
	smq_json_str(&j, text);
	smq_json_end(&j);
	if (smq_json_finish(&j, &len) == SMQ_OK)
		fprintf(stderr, "%.*s\n", (int)len, (const char *)room);
}

void report_line(const struct report *r, const char *format, ...)
{
	char text[640];
	va_list args;
	if (r->quiet)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (r->json)
		print_object(r->tool, text);
	else
		fprintf(stderr, "%s: %s\n", r->tool, text);
}

void report_text(const struct report *r, const char *text, size_t len)
{
	size_t prefix = strlen(r->tool) + 2;
	while (r->json && len > 0) {
		const char *end = memchr(text, '\n', len);
		size_t line = end ? (size_t)(end - text) : len;
		bool ours = line > prefix && strncmp(text, r->tool, prefix - 2) == 0;
		char copy[1024];
		snprintf(copy, sizeof copy, "%.*s", (int)(ours ? line - prefix : line), ours ? text + prefix : text);
		print_object(r->tool, copy);
		line += end != NULL;
		text += line;
		len -= line;
	}
	if (len > 0)
		fwrite(text, 1, len, stderr);
}

static struct report_reason *reason_of(struct report *r, smq_err reason, int64_t now_ms)
{
	for (size_t i = 0; i < r->reason_count; i++) {
		if (r->reasons[i].reason == reason)
			return &r->reasons[i];
	}
	/* more kinds of refusal than places: the last place counts them together */
	if (r->reason_count == REPORT_REASONS)
		return &r->reasons[REPORT_REASONS - 1];
	r->reasons[r->reason_count] = (struct report_reason){ .reason = reason, .since_ms = now_ms };
	return &r->reasons[r->reason_count++];
}

static void put_held_back(const struct report *r, struct report_reason *reason, struct buf *out)
{
	if (reason->held_back && !r->quiet)
		buf_printf(out, "%s: %llu more like this: %s\n", r->tool, (unsigned long long)reason->held_back,
			   smq_err_text(reason->reason));
	reason->held_back = 0;
}

static void put_refusal(const struct report *r, const struct smq_refusal *refusal, struct buf *out)
{
	buf_printf(out, "%s: refused: %s: %s", r->tool, smq_err_name(refusal->reason), smq_err_text(refusal->reason));
	buf_printf(out, "; topic '%s'", report_shown(refusal->topic ? refusal->topic : ""));
	if (refusal->moved_from)
		buf_printf(out, ", sealed for topic '%s'", report_shown(refusal->moved_from));
	if (refusal->sender && refusal->sender[0])
		buf_printf(out, ", says it is from '%s' (epoch %llu, number %llu)", report_shown(refusal->sender),
			   (unsigned long long)refusal->epoch, (unsigned long long)refusal->counter);
	buf_printf(out, ", %zu bytes\n", refusal->payload_len);
}

void report_refusal(struct report *r, const struct smq_refusal *refusal, int64_t now_ms, struct buf *out)
{
	struct report_reason *reason = reason_of(r, refusal->reason, now_ms);
	r->total++;
	if (r->first == SMQ_OK)
		r->first = refusal->reason;
	if (now_ms - reason->since_ms >= REPORT_WINDOW_MS) {
		put_held_back(r, reason, out);
		reason->since_ms = now_ms;
		reason->printed = 0;
	}
	if (reason->printed >= REPORT_PER_WINDOW) {
		reason->held_back++;
		return;
	}
	reason->printed++;
	if (!r->quiet)
		put_refusal(r, refusal, out);
}

static void put_failures_held_back(struct report *r, int64_t now_ms, struct buf *out)
{
	if (r->failures_held_back && !r->quiet)
		buf_printf(out, "%s: %llu more key exchanges failed\n", r->tool,
			   (unsigned long long)r->failures_held_back);
	r->failures_held_back = r->failures_printed = 0;
	r->failures_since_ms = now_ms;
}

void report_failure(struct report *r, const struct smq_event *event, int64_t now_ms, struct buf *out)
{
	if (now_ms - r->failures_since_ms >= REPORT_WINDOW_MS)
		put_failures_held_back(r, now_ms, out);
	if (r->failures_printed >= REPORT_PER_WINDOW) {
		r->failures_held_back++;
		return;
	}
	r->failures_printed++;
	if (r->quiet)
		return;
	if (event->peer && *event->peer)
		buf_printf(out, "%s: key exchange with '%s' failed: %s\n", r->tool, report_shown(event->peer),
			   smq_err_text(event->err));
	else
		buf_printf(out, "%s: key exchange failed: %s\n", r->tool, smq_err_text(event->err));
}

void report_held_back(struct report *r, int64_t now_ms, bool all, struct buf *out)
{
	for (size_t i = 0; i < r->reason_count; i++) {
		struct report_reason *reason = &r->reasons[i];
		if (!all && now_ms - reason->since_ms < REPORT_WINDOW_MS)
			continue;
		if (reason->held_back) {
			put_held_back(r, reason, out);
			reason->since_ms = now_ms;
			reason->printed = 0;
		}
	}
	if (r->failures_held_back && (all || now_ms - r->failures_since_ms >= REPORT_WINDOW_MS))
		put_failures_held_back(r, now_ms, out);
}

int64_t report_due_ms(const struct report *r)
{
	int64_t due = INT64_MAX;
	for (size_t i = 0; i < r->reason_count; i++) {
		int64_t end = r->reasons[i].since_ms + REPORT_WINDOW_MS;
		if (r->reasons[i].held_back && end < due)
			due = end;
	}
	if (r->failures_held_back && r->failures_since_ms + REPORT_WINDOW_MS < due)
		due = r->failures_since_ms + REPORT_WINDOW_MS;
	return due;
}
