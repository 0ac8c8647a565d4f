/* sealmq chat: joins a group, prints what arrives with its sender, sends what is typed. */
#include "cli/cmd_chat.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sealmq/text.h>

#include "cli/mem.h"
#include "cli/own_options.h"
#include "cli/print.h"
#include "cli/tool.h"

enum { LINE_MAX_BYTES = 4096 };

static const char usage[] =
    "sealmq chat - talk in a group: prints what arrives with its sender, sends what is typed\n\n"
    "usage: sealmq chat --group GROUP [-t TOPIC] [--realm DIR] [-h HOST] [options of sub]\n\n"
    "  sealmq chat --group ops --realm plant/members/desk --tls\n\n"
    "Joins the group at its key server (or reads its key file), and says who comes by which sender's name; the\n"
    "broker sees neither. A line is a message. Control-D ends it.\n\n"
    "  -t TOPIC   where to talk; the group's policy must cover it (default: chat/GROUP)\n"
    "  --json     what arrives and what happens, as JSON lines\n"
    "  --help     this text\n\n"
    "Options of `sealmq sub` that say where the broker is, how to get in, --group, --realm, --algorithm and --stamp\n"
    "mean the same here.\n";

struct chat {
	struct tool tool; /* first: the client's `self` is a struct tool */
	bool json, help, subscribed;
	char topic[SMQ_MEMBER_NAME_MAX + 8];
	char line[LINE_MAX_BYTES];
	size_t line_len;
	bool stdin_ended;
	bool skipping; /* the rest of a line that is too long */
};

/* ---- what arrives ---- */

static void write_message(struct smq_json *j, const void *of)
{
	const struct smq_message *m = of;
	smq_json_object(j);
	smq_json_key(j, "sender");
	smq_json_str(j, m->sender);
	smq_json_key(j, "group");
	smq_json_str(j, m->group ? m->group : "");
	smq_json_key(j, "epoch");
	smq_json_uint(j, m->epoch);
	smq_json_key(j, "proof");
	smq_json_str(j, smq_proof_name(m->proof));
	smq_json_key(j, "text");
	smq_json_string(j, m->mqtt.payload);
	smq_json_end(j);
}

static void print_message(const struct smq_message *m)
{
	char text[4 * LINE_MAX_BYTES], clock[16] = "";
	time_t now = time(NULL);
	struct tm tm;
	if (localtime_r(&now, &tm))
		strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	smq_escape(m->mqtt.payload, text, sizeof(text));
	printf("%s  %s: %s\n", clock, report_shown(m->sender), text);
}

static void when_message(void *self, const struct smq_message *m)
{
	struct chat *c = self;
	if (c->json)
		(void)!print_json(stdout, write_message, m);
	else
		print_message(m);
	fflush(stdout);
}

static void when_refused(void *self, const struct smq_refusal *refusal)
{
	struct chat *c = self;
	struct tool *t = &c->tool;
	report_refusal(&t->report, refusal, tool_now_ms(), &t->line);
	fwrite(t->line.p, 1, t->line.len, stderr);
	t->line.len = 0;
}

static void when_event(void *self, const struct smq_event *event)
{
	struct chat *c = self;
	tool_group_event(&c->tool, event);
	tool_trust_event(&c->tool, event);
	if (event->kind == SMQ_EVENT_GROUP_JOINED && !c->tool.s.debug)
		report_line(&c->tool.report, "joined %s", report_shown(event->group));
	if (event->kind == SMQ_EVENT_GROUP_REFUSED || event->kind == SMQ_EVENT_GROUP_EXPELLED)
		tool_end(&c->tool, smq_err_exit(event->err));
}

/* ---- what is typed ---- */

static void say(struct chat *c, smq_span text)
{
	struct tool *t = &c->tool;
	struct smq_publish p = {
		.topic = t->s.topics.items[0], .payload = text, .qos = 1, .group = t->s.groups.items[0]
	};
	if (text.len == 0)
		return;
	smq_err err = smq_client_publish(t->client, &p, NULL);
	if (err != SMQ_OK)
		report_line(&t->report, "not sent: %s", smq_err_text(err));
}

static void take_typed(struct chat *c, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (bytes[i] == '\n') {
			if (!c->skipping)
				say(c, smq_span_of(c->line, c->line_len));
			c->line_len = 0;
			c->skipping = false;
		} else if (c->line_len < sizeof(c->line)) {
			c->line[c->line_len++] = bytes[i];
		} else if (!c->skipping) {
			c->skipping = true;
			report_line(&c->tool.report, "not sent: a line has at most %d bytes", LINE_MAX_BYTES);
		}
	}
}

static void read_typed(struct chat *c)
{
	char bytes[1024];
	ssize_t got = read(STDIN_FILENO, bytes, sizeof(bytes));
	if (got > 0)
		take_typed(c, bytes, (size_t)got);
	else if (got == 0 || (errno != EINTR && errno != EAGAIN))
		c->stdin_ended = true;
	if (c->stdin_ended && c->line_len > 0 && !c->skipping) {
		say(c, smq_span_of(c->line, c->line_len));
		c->line_len = 0;
	}
}

/* ---- the command ---- */

static void when_subscribed(void *self, int id, const int *reasons, size_t count)
{
	struct chat *c = self;
	(void)id;
	if (count > 0 && reasons[0] >= 128) {
		report_line(&c->tool.report, "the broker refused the topic: %s",
			    tool_reason((int)c->tool.s.protocol, reasons[0]));
		tool_end(&c->tool, smq_err_exit(SMQ_ERR_NOT_AUTHORIZED));
	}
}

static void when_ready(struct tool *t)
{
	struct chat *c = (struct chat *)t;
	int id, options = 1 | (t->s.protocol == 5 ? SMQ_SUB_NO_LOCAL : 0);
	if (c->subscribed)
		return;
	c->subscribed = true;
	smq_err err = smq_client_subscribe(t->client, t->s.topics.items[0], options, NULL, 0, &id);
	if (err != SMQ_OK) {
		report_line(&t->report, "%s: %s", report_shown(t->s.topics.items[0]), smq_err_text(err));
		tool_end(t, smq_err_exit(err));
	}
}

static bool set_up(struct chat *c)
{
	struct tool *t = &c->tool;
	const char *why = NULL;
	if (t->s.groups.count != 1)
		why = "--group GROUP says where to talk";
	else if (t->s.topics.count > 1)
		why = "one topic at a time: -t TOPIC";
	if (!why && t->s.topics.count == 0) {
		snprintf(c->topic, sizeof(c->topic), "chat/%s", t->s.groups.items[0]);
		list_add(&t->s.topics, c->topic);
	}
	if (!why && !smq_topic_valid(smq_span_str(t->s.topics.items[0])))
		why = "-t: a topic without wildcards";
	if (why) {
		report_line(&t->report, "%s; `sealmq chat --help` tells more", why);
		tool_end(t, smq_err_exit(SMQ_ERR_USAGE));
		return false;
	}
	t->options.only_subscribes = false;
	t->options.on_message = when_message;
	t->options.on_refused = when_refused;
	t->options.on_event = when_event;
	t->options.on_subscribed = when_subscribed;
	t->on_ready = when_ready;
	return true;
}

static void loop(struct chat *c)
{
	struct tool *t = &c->tool;
	int64_t drain_until = INT64_MAX;
	while (!t->ending) {
		int fd = c->stdin_ended ? -1 : STDIN_FILENO;
		if (tool_wait(t, fd, drain_until) && !c->stdin_ended)
			read_typed(c);
		if (c->stdin_ended && drain_until == INT64_MAX)
			drain_until = tool_now_ms() + (t->s.timeout_s ? t->s.timeout_s * 1000 : DRAIN_MS);
		bool sent = c->stdin_ended && smq_client_pending(t->client) == 0 && !t->s.timeout_s;
		if (!t->ending && (sent || tool_signals() || tool_now_ms() >= drain_until))
			tool_end(t, 0);
	}
}

int cmd_chat(int argc, char **argv)
{
	struct chat *c = mem_array(NULL, 1, sizeof *c);
	memset(c, 0, sizeof *c);
	const struct own_option own[] = { { "--json", OWN_FLAG, &c->json, 0 }, { "--help", OWN_FLAG, &c->help, 0 } };
	int status = smq_err_exit(SMQ_ERR_USAGE);
	if (own_options_take("sealmq chat", own, 2, &argc, argv)) {
		if (c->help) {
			fputs(usage, stdout);
			status = 0;
		} else {
			if (tool_start_apart(&c->tool, "sealmq chat", argc, argv) && set_up(c) &&
			    tool_connect(&c->tool))
				loop(c);
			status = tool_finish(&c->tool);
		}
	}
	free(c);
	return status;
}
