/* sealmq sub: subscribes, and prints what opens. */
#include "cli/cmd_sub.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sealmq/text.h>

#include "cli/format.h"
#include "cli/mem.h"
#include "cli/tool.h"

enum { OUTPUT_ENOUGH = 1 << 16 };

struct sub {
	struct tool tool; /* first: the client's `self` is a struct tool */
	struct buf out;
	bool escape;
	uint64_t printed;
	int *ids; /* of the subscriptions under way, -1: answered */
	size_t subscriptions, answered, refused;
	int refusal;
	size_t clearing; /* publishes of --remove-retained under way */
	bool done;       /* nothing more is to be printed */
	int64_t timeout_ms;
};

/* ---- output ---- */

static void write_out(struct sub *s)
{
	size_t done = 0;
	while (done < s->out.len) {
		ssize_t n = write(STDOUT_FILENO, s->out.p + done, s->out.len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			/* a reader that went away ends us as SIGPIPE would have */
			if (errno != EPIPE)
				report_line(&s->tool.report, "standard output: %s", strerror(errno));
			tool_end(&s->tool, errno == EPIPE ? 141 : smq_err_exit(SMQ_ERR_IO));
			break;
		}
		done += (size_t)n;
	}
	s->out.len = 0;
}

static void print_message(struct sub *s, const struct smq_message *m)
{
	const struct settings *set = &s->tool.s;
	struct format_options options = { .escape = s->escape, .pretty = set->pretty };
	if (set->format) {
		clock_gettime(CLOCK_REALTIME, &options.now);
		if (format_message(set->format, m, &options, &s->out) != SMQ_OK)
			report_line(&s->tool.report, "the payload is not valid JSON on topic %s",
				    report_shown(m->mqtt.topic));
	} else {
		format_default(m, set->verbose, s->escape, &s->out);
	}
	/* as mosquitto_sub: an empty payload alone is not even a line */
	if (!set->no_newline && (set->format || set->verbose || m->mqtt.payload.len > 0))
		buf_put(&s->out, "\n", 1);
	s->printed++;
	if (s->out.len >= OUTPUT_ENOUGH)
		write_out(s);
}

/* ---- messages ---- */

static void finish(struct sub *s)
{
	s->done = true;
	if (s->clearing == 0)
		tool_end(&s->tool, 0);
}

static bool filtered_out(const struct settings *set, const char *topic)
{
	for (size_t i = 0; i < set->filter_out.count; i++) {
		if (smq_topic_matches(smq_span_str(set->filter_out.items[i]), smq_span_str(topic)))
			return true;
	}
	return false;
}

static void clear_retained(struct sub *s, const char *topic)
{
	struct smq_publish clear = { .topic = topic, .qos = 1, .retain = true, .plain = true };
	uint64_t ticket;
	smq_err err = smq_client_publish(s->tool.client, &clear, &ticket);
	if (err)
		report_line(&s->tool.report, "cannot clear %s: %s", report_shown(topic), smq_err_text(err));
	else
		s->clearing++;
}

static bool drawn_out(const struct settings *set) { return drand48() * 100 >= set->random_filter; }

static void when_message(void *self, const struct smq_message *m)
{
	struct sub *s = self;
	const struct settings *set = &s->tool.s;
	if (s->done || s->tool.ending)
		return;
	if (set->retained_only && !m->mqtt.retain) {
		finish(s);
		return;
	}
	if (filtered_out(set, m->mqtt.topic))
		return;
	if (set->remove_retained && m->mqtt.retain)
		clear_retained(s, m->mqtt.topic);
	if ((set->no_retained && m->mqtt.retain) || (set->random_filter < 100 && drawn_out(set)))
		return;
	if (set->stats_s > 0)
		stats_message(&s->tool.stats, m);
	print_message(s, m);
	if (set->count && s->printed == (uint64_t)set->count)
		finish(s);
}

static void when_refused(void *self, const struct smq_refusal *refusal)
{
	struct sub *s = self;
	struct tool *t = &s->tool;
	if (s->done || t->ending)
		return;
	report_refusal(&t->report, refusal, tool_now_ms(), &t->line);
	if (t->line.len)
		fwrite(t->line.p, 1, t->line.len, stderr);
	t->line.len = 0;
	if (t->s.strict)
		tool_end(t, smq_err_exit(refusal->reason));
}

static void when_published(void *self, uint64_t ticket, smq_err err, int reason)
{
	struct sub *s = self;
	(void)ticket;
	if (err || reason >= 128)
		report_line(&s->tool.report, "a retained message could not be cleared: %s",
			    reason >= 128 ? tool_reason(5, reason) : smq_err_text(err));
	if (s->clearing > 0)
		s->clearing--;
	if (s->done && s->clearing == 0)
		tool_end(&s->tool, 0);
}

/* Only what did not turn out well: that a message is proven is the usual case. */
static void when_proof(void *self, const struct smq_message *m, smq_err err)
{
	struct sub *s = self;
	if (err)
		report_line(&s->tool.report, "message %llu from %s on topic %s: %s", (unsigned long long)m->counter,
			    report_shown(m->sender), report_shown(m->mqtt.topic), smq_err_text(err));
}

/* ---- subscriptions ---- */

static void when_subscribed(void *self, int id, const int *reasons, size_t count)
{
	struct sub *s = self;
	struct tool *t = &s->tool;
	for (size_t i = 0; i < s->subscriptions; i++) {
		if (s->ids[i] != id)
			continue;
		s->ids[i] = -1;
		s->answered++;
		if (count > 0 && reasons[0] >= 128) {
			s->refused++;
			/* MQTT 3.1.1 knows one reason only */
			s->refusal = t->s.protocol == 5 ? reasons[0] : smq_err_exit(SMQ_ERR_NOT_AUTHORIZED);
			report_line(&t->report, "the broker refused the subscription to %s: %s",
				    report_shown(t->s.topics.items[i]), tool_reason((int)t->s.protocol, reasons[0]));
		} else if (t->s.debug && count > 0) {
			report_line(&t->report, "subscribed to %s with QoS %d", report_shown(t->s.topics.items[i]),
				    reasons[0]);
		}
		break;
	}
	if (s->answered < s->subscriptions)
		return;
	if (s->refused == s->subscriptions)
		tool_end(t, s->refusal);
	else if (t->s.exit_after_subscribe)
		tool_end(t, 0);
}

static void subscribe_all(struct sub *s)
{
	struct tool *t = &s->tool;
	struct properties properties = tool_properties(t, "subscribe");
	int options = (int)t->s.qos | (t->s.retain_as_published ? SMQ_SUB_RETAIN_AS_PUBLISHED : 0);
	smq_err err = SMQ_OK;
	s->subscriptions = t->s.topics.count;
	s->ids = mem_array(NULL, s->subscriptions, sizeof s->ids[0]);
	memset(s->ids, 0xff, s->subscriptions * sizeof s->ids[0]);
	for (size_t i = 0; i < s->subscriptions && !err; i++) {
		err = smq_client_subscribe(t->client, t->s.topics.items[i], options, properties.items, properties.count,
					   &s->ids[i]);
		if (err) {
			report_line(&t->report, "%s: %s", report_shown(t->s.topics.items[i]), smq_err_text(err));
			tool_end(t, smq_err_exit(err));
		}
	}
	free(properties.items);
}

static void when_ready(struct tool *t)
{
	struct sub *s = (struct sub *)t;
	struct properties properties;
	/* the client repeats its subscriptions after every reconnect */
	if (s->subscriptions > 0)
		return;
	subscribe_all(s);
	properties = tool_properties(t, "unsubscribe");
	for (size_t i = 0; i < t->s.unsubscribe.count; i++) {
		int id;
		smq_err err = smq_client_unsubscribe(t->client, t->s.unsubscribe.items[i], properties.items,
						     properties.count, &id);
		if (err)
			report_line(&t->report, "%s: %s", report_shown(t->s.unsubscribe.items[i]), smq_err_text(err));
	}
	free(properties.items);
}

static void when_event(void *self, const struct smq_event *event)
{
	struct sub *s = self;
	struct tool *t = &s->tool;
	const char *peer = report_shown(event->peer ? event->peer : "");
	unsigned long long epoch = event->epoch, took = event->took_ms;
	tool_trust_event(t, event);
	tool_group_event(t, event);
	if (event->kind == SMQ_EVENT_SESSION_FAILED && event->err)
		report_failure(&t->report, event, tool_now_ms(), &t->line);
	else if (t->s.debug && event->kind == SMQ_EVENT_SESSION_NEW)
		report_line(&t->report, "session with %s: %zu bytes, %llu ms", peer, event->wire_bytes, took);
	else if (t->s.debug && event->kind == SMQ_EVENT_SESSION_ROTATED)
		report_line(&t->report, "new keys with %s, number %llu: %zu bytes, %llu ms", peer, epoch,
			    event->wire_bytes, took);
	else if (t->s.debug && event->kind == SMQ_EVENT_SESSION_WIPED)
		report_line(&t->report, "keys number %llu with %s wiped", epoch, peer);
}

/* ---- the tool ---- */

static bool check_format(struct sub *s)
{
	const char *why;
	char bad, text[2] = "";
	struct tool *t = &s->tool;
	if (!t->s.format || format_valid(t->s.format, &why, &bad))
		return true;
	text[0] = bad;
	report_line(&t->report, "-F: %s%s%s", why, bad ? ": " : "", report_shown(text));
	report_line(&t->report, "sealmq-sub(1) lists the letters");
	tool_end(t, smq_err_exit(SMQ_ERR_USAGE));
	return false;
}

/* Nothing came but what had to be refused: that is what to tell whoever asked for messages within a time. */
static int timeout_status(const struct sub *s)
{
	const struct report *r = &s->tool.report;
	return s->printed == 0 && r->first != SMQ_OK && s->tool.s.count ? smq_err_exit(r->first)
									: smq_err_exit(SMQ_ERR_TIMEOUT);
}

static void loop(struct sub *s)
{
	struct tool *t = &s->tool;
	while (!t->ending) {
		tool_wait(t, -1, s->timeout_ms);
		write_out(s);
		if (!t->ending && tool_signals())
			tool_end(t, 0);
		if (!t->ending && tool_now_ms() >= s->timeout_ms) {
			report_line(&t->report, "timed out");
			tool_end(t, timeout_status(s));
		}
	}
}

static void run(struct sub *s)
{
	struct tool *t = &s->tool;
	struct timespec now;
	if (!check_format(s))
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	srand48((long)(now.tv_nsec ^ now.tv_sec ^ getpid()));
	s->escape = isatty(STDOUT_FILENO) && !t->s.raw;
	s->timeout_ms = t->s.timeout_s ? tool_now_ms() + t->s.timeout_s * 1000 : INT64_MAX;
	t->on_ready = when_ready;
	t->options.on_message = when_message;
	t->options.on_refused = when_refused;
	t->options.on_published = when_published;
	t->options.on_subscribed = when_subscribed;
	t->options.on_event = when_event;
	t->options.on_proof = when_proof;
	if (tool_connect(t))
		loop(s);
	write_out(s);
}

int cmd_sub(int argc, char **argv)
{
	struct sub *s = mem_array(NULL, 1, sizeof *s);
	memset(s, 0, sizeof *s);
	if (tool_start(&s->tool, false, argc, argv))
		run(s);
	int status = tool_finish(&s->tool);
	buf_free(&s->out);
	free(s->ids);
	free(s);
	return status;
}
