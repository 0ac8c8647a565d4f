/* Where pub's messages come from. */
#include "cli/producer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_SIZE = 1 << 16 };

static smq_err failed(struct producer *p, smq_err err)
{
	p->err = err;
	return err;
}

/* Appends one read; false at the end or on failure (err set). */
static bool read_some(struct producer *p, int fd, const char *name)
{
	char room[READ_SIZE];
	ssize_t n = read(fd, room, sizeof room);
	if (n < 0 && errno == EINTR)
		return true;
	if (n < 0) {
		report_line(p->report, "%s: %s", report_shown(name), strerror(errno));
		p->err = SMQ_ERR_IO;
	}
	if (n <= 0)
		return false;
	if (p->buf.len - p->taken + (size_t)n > MESSAGE_LEN_MAX) {
		report_line(p->report, "%s: longer than MQTT can carry (%d bytes)", report_shown(name),
			    MESSAGE_LEN_MAX);
		p->err = SMQ_ERR_TOO_LARGE;
		return false;
	}
	buf_put(&p->buf, room, (size_t)n);
	return true;
}

static smq_err read_whole(struct producer *p, const char *path)
{
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	if (fd < 0) {
		report_line(p->report, "cannot open '%s': %s", report_shown(path), strerror(errno));
		return failed(p, SMQ_ERR_USAGE);
	}
	while (read_some(p, fd, path ? path : "standard input"))
		;
	if (path)
		close(fd);
	if (!p->err && !path && p->buf.len == 0) {
		report_line(p->report, "standard input is empty; -n publishes an empty message");
		p->err = SMQ_ERR_USAGE;
	}
	return p->err;
}

static void on_bad_row(void *self, const struct smq_bad_row *row)
{
	const struct producer *p = self;
	report_line(p->report, "line %llu: %s", (unsigned long long)row->line, report_shown(row->reason));
}

static smq_err open_source(struct producer *p, const struct settings *s)
{
	struct smq_source_options o;
	const char *why = NULL;
	smq_source_options_init(&o);
	o.columns = s->columns.items;
	o.column_count = s->columns.count;
	o.limit = (uint64_t)s->limit;
	if (s->sample > 1)
		o.every = (uint64_t)s->sample;
	else
		o.sample = s->sample;
	o.loop = s->loop;
	o.seed = s->seed > 0 ? (uint64_t)s->seed : 0;
	o.interval_ms = (int64_t)(s->interval_s * 1000 + 0.5);
	o.rate = s->rate;
	o.fatal = s->on_error && strcmp(s->on_error, "fatal") == 0;
	o.self = p;
	o.on_bad_row = on_bad_row;
	smq_err err = smq_source_open(s->message, &o, &p->source, &why);
	if (err)
		report_line(p->report, "--source: %s", why ? why : smq_err_text(err));
	return failed(p, err);
}

smq_err producer_open(struct producer *p, const struct settings *s, struct report *report)
{
	*p = (struct producer){ .mode = s->mode,
				.left = s->repeat,
				.repeat_delay_s = s->repeat_delay,
				.pace = smq_pace_of((int64_t)(s->interval_s * 1000 + 0.5), s->rate),
				.report = report };
	switch (s->mode) {
	case MESSAGE_TEXT:
		buf_text(&p->buf, s->message);
		return SMQ_OK;
	case MESSAGE_FILE:
		return read_whole(p, s->message);
	case MESSAGE_STDIN:
		return read_whole(p, NULL);
	case MESSAGE_SOURCE:
		return open_source(p, s);
	default:
		return SMQ_OK;
	}
}

/* ---- one message again and again ---- */

static enum produced next_repeat(struct producer *p, int64_t now_ms, bool idle, smq_span *ret_message)
{
	if (p->left == 0)
		return PRODUCED_END;
	if (p->due_known && now_ms < p->due_ms)
		return PRODUCED_LATER;
	/* the delay runs from the moment the last one has arrived, as with mosquitto_pub */
	if (p->repeat_delay_s > 0 && !p->due_known && p->taken) {
		if (idle) {
			p->due_ms = now_ms + (int64_t)(p->repeat_delay_s * 1000);
			p->due_known = true;
		}
		return PRODUCED_LATER;
	}
	p->left--;
	p->due_known = false;
	p->due_ms = INT64_MAX;
	p->taken = 1;
	*ret_message = smq_span_of(p->buf.p, p->buf.len);
	return PRODUCED_MESSAGE;
}

/* ---- lines ---- */

void producer_read(struct producer *p)
{
	if (p->taken > 0) {
		memmove(p->buf.p, p->buf.p + p->taken, p->buf.len - p->taken);
		p->buf.len -= p->taken;
		p->taken = 0;
	}
	p->stdin_ended = !read_some(p, STDIN_FILENO, "standard input");
	p->wants_stdin = false;
}

static bool is_due(struct producer *p, int64_t now_ms)
{
	if (!p->due_known) {
		p->due_ms = smq_pace_next(&p->pace, now_ms);
		p->due_known = true;
	}
	return now_ms >= p->due_ms;
}

static enum produced next_line(struct producer *p, int64_t now_ms, smq_span *ret_message)
{
	size_t left = p->buf.len - p->taken;
	const char *start = left ? p->buf.p + p->taken : "";
	const char *end = left ? memchr(start, '\n', left) : NULL;
	if (p->err)
		return PRODUCED_FAILED;
	if (!end && !p->stdin_ended) {
		p->wants_stdin = true;
		p->due_ms = INT64_MAX;
		p->due_known = false;
		return PRODUCED_LATER;
	}
	if (!end && left == 0)
		return PRODUCED_END;
	if (!is_due(p, now_ms))
		return PRODUCED_LATER;
	p->due_known = false;
	*ret_message = smq_span_of(start, end ? (size_t)(end - start) : left);
	p->taken += end ? (size_t)(end - start) + 1 : left;
	return PRODUCED_MESSAGE;
}

/* ---- records ---- */

static enum produced next_record(struct producer *p, int64_t now_ms, smq_span *ret_message)
{
	if (!p->due_known) {
		smq_err err = smq_source_next(p->source, now_ms, &p->record);
		if (err == SMQ_ERR_NOT_FOUND)
			return PRODUCED_END;
		if (err) {
			report_line(p->report, "--source: %s", smq_err_text(err));
			p->err = err;
			return PRODUCED_FAILED;
		}
		p->due_known = true;
		p->due_ms = p->record.due_ms;
	}
	if (now_ms < p->due_ms)
		return PRODUCED_LATER;
	p->due_known = false;
	*ret_message = p->record.json;
	return PRODUCED_MESSAGE;
}

enum produced producer_next(struct producer *p, int64_t now_ms, bool idle, smq_span *ret_message)
{
	switch (p->mode) {
	case MESSAGE_NONE:
		return PRODUCED_END;
	case MESSAGE_LINES:
		return next_line(p, now_ms, ret_message);
	case MESSAGE_SOURCE:
		return next_record(p, now_ms, ret_message);
	default:
		return next_repeat(p, now_ms, idle, ret_message);
	}
}

/* What waits under the old rate, however slow that was, does not wait longer than the new one says. */
void producer_set_rate(struct producer *p, double rate, int64_t now_ms)
{
	int64_t due_ms;
	if (p->source) {
		due_ms = smq_source_set_pace(p->source, 0, rate, now_ms);
	} else {
		p->pace = smq_pace_of(0, rate);
		due_ms = now_ms + (int64_t)p->pace.step_ms;
		(void)smq_pace_next(&p->pace, due_ms);
	}
	if (p->due_known)
		p->due_ms = due_ms;
}

void producer_close(struct producer *p)
{
	if (p->source)
		smq_source_close(p->source);
	buf_free(&p->buf);
}
