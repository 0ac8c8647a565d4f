/* sealmq pub: publishes, and waits until the broker has it. */
#include "cli/cmd_pub.h"

#include <stdlib.h>
#include <string.h>

#include <sealmq/command.h>

#include "cli/mem.h"
#include "cli/producer.h"
#include "cli/tool.h"

enum { UNDER_WAY_MAX = 4096, BATCH = 64, REFUSED_LINES_PER_S = 20, TICK_MS = 1000 };

struct pub {
	struct tool tool; /* first: the client's `self` is a struct tool */
	struct producer producer;
	struct properties properties;
	const char *topic;
	smq_span message; /* being published */
	bool holding;     /* message is not yet published to everybody */
	size_t recipient; /* next one to publish it to */
	size_t under_way;
	bool ended; /* nothing more to publish */
	int refusal;
	int64_t session_deadline_ms;
	smq_err exchange_err; /* of the last failed key exchange */
	bool complained;
	bool published; /* anything at all */
	smq_commands *commands;
	bool listening;
	int64_t lines_since_ms, tick_ms;
	unsigned lines;
};

/* ---- publishing ---- */

/* With nobody named there is one: the group that the topic picks. */
static bool is_choosing(const struct settings *s) { return !s->plain && s->to.count + s->groups.count == 0; }

static size_t recipient_count(const struct settings *s)
{
	return s->plain || is_choosing(s) ? 1 : s->to.count + s->groups.count;
}

static smq_err publish_to(struct pub *p, size_t recipient)
{
	const struct settings *s = &p->tool.s;
	struct smq_publish m = { .topic = p->topic,
				 .payload = p->message,
				 .qos = (int)s->qos,
				 .retain = s->retain,
				 .properties = p->properties.items,
				 .property_count = p->properties.count,
				 .plain = s->plain };
	uint64_t ticket;
	if (!s->plain && recipient < s->to.count)
		m.to = s->to.items[recipient];
	else if (!s->plain && !is_choosing(s))
		m.group = s->groups.items[recipient - s->to.count];
	/* Clearing a retained message is a matter between us and the broker: it wants an empty payload. */
	if (!s->plain && s->retain && p->message.len == 0 && s->mode == MESSAGE_NULL) {
		m.to = m.group = NULL;
		m.plain = true;
	}
	smq_err err = smq_client_publish(p->tool.client, &m, &ticket);
	if (!err)
		p->under_way++;
	return err;
}

/* Publishes what is held to whom it was not yet; false if it must wait, or the tool ends. */
static bool publish_held(struct pub *p)
{
	struct tool *t = &p->tool;
	for (; p->recipient < recipient_count(&t->s); p->recipient++) {
		smq_err err = publish_to(p, p->recipient);
		if (err == SMQ_ERR_FULL || err == SMQ_ERR_NO_CONNECTION)
			return false;
		if (err) {
			report_line(&t->report, "cannot publish: %s", smq_err_text(err));
			tool_end(t, smq_err_exit(err));
			return false;
		}
	}
	p->holding = false;
	return true;
}

/* At QoS 0 nothing waits for a broker; QoS 1 and 2 may, where they are kept. */
static bool may_publish(const struct pub *p)
{
	return (p->tool.connected || p->tool.s.outbox) && p->under_way < UNDER_WAY_MAX;
}

static void produce(struct pub *p)
{
	struct tool *t = &p->tool;
	for (int i = 0; i < BATCH && may_publish(p) && !p->ended && !t->ending; i++) {
		if (!p->holding) {
			enum produced what = producer_next(&p->producer, tool_now_ms(), p->under_way == 0, &p->message);
			if (what == PRODUCED_LATER)
				return;
			if (what == PRODUCED_FAILED)
				tool_end(t, smq_err_exit(p->producer.err));
			p->ended = what == PRODUCED_END || what == PRODUCED_FAILED;
			if (p->ended)
				return;
			p->holding = true;
			p->recipient = 0;
		}
		if (!publish_held(p))
			return;
	}
}

static void when_published(void *self, uint64_t ticket, smq_err err, int reason)
{
	struct pub *p = self;
	struct tool *t = &p->tool;
	(void)ticket;
	if (p->under_way > 0)
		p->under_way--;
	p->published = p->published || !err;
	if (!err && reason < 128)
		return;
	if (!p->complained && err == SMQ_ERR_NOT_FOUND && is_choosing(&t->s))
		report_line(&t->report,
			    "for whom? no group is for topic '%s': --to MEMBER seals for one member, --group GROUP for "
			    "a group; --plain sends unsealed",
			    report_shown(p->topic));
	else if (!p->complained)
		report_line(&t->report, "not published to %s: %s", report_shown(p->topic),
			    reason >= 128 ? tool_reason(5, reason) : smq_err_text(err));
	/* one line for a stream of refused messages, one status for all of them */
	p->complained = true;
	if (!p->refusal)
		p->refusal = reason >= 128 ? reason : smq_err_exit(err);
	t->lost_status = p->refusal;
}

/* ---- sessions ---- */

static void when_event(void *self, const struct smq_event *event)
{
	struct pub *p = self;
	struct tool *t = &p->tool;
	const char *peer = report_shown(event->peer ? event->peer : "");
	unsigned long long epoch = event->epoch, took = event->took_ms;
	tool_trust_event(t, event);
	tool_group_event(t, event);
	if (event->kind == SMQ_EVENT_GROUP_REFUSED || event->kind == SMQ_EVENT_GROUP_EXPELLED)
		p->exchange_err = event->err;
	if (p->exchange_err == SMQ_ERR_NOT_AUTHORIZED && event->group && t->s.groups.count == 1 && t->s.to.count == 0)
		tool_end(t, smq_err_exit(event->err)); /* waiting makes no member of us */
	if (event->kind == SMQ_EVENT_SESSION_FAILED && event->err) {
		p->exchange_err = event->err;
		if (event->err == SMQ_ERR_NOT_AUTHORIZED) /* some brokers hang up after it */
			t->lost_status = smq_err_exit(event->err);
		report_failure(&t->report, event, tool_now_ms(), &t->line);
	} else if (event->kind == SMQ_EVENT_PEER_SILENT) {
		report_line(&t->report,
			    "no answer from '%s' yet; is it subscribed (sealmq sub), at this broker, in this realm?",
			    peer);
	} else if (event->kind == SMQ_EVENT_DROPPED && !p->complained) {
		p->complained = true;
		report_line(&t->report, "a message of QoS 0 was dropped; -q 1 would have kept it");
	} else if (t->s.debug && event->kind == SMQ_EVENT_SESSION_NEW) {
		report_line(&t->report, "session with %s: %zu bytes, %llu ms", peer, event->wire_bytes, took);
	} else if (t->s.debug && event->kind == SMQ_EVENT_SESSION_ROTATED) {
		report_line(&t->report, "new keys with %s, number %llu: %zu bytes, %llu ms", peer, epoch,
			    event->wire_bytes, took);
	} else if (t->s.debug && event->kind == SMQ_EVENT_SESSION_WIPED) {
		report_line(&t->report, "keys number %llu with %s wiped", epoch, peer);
	}
}

static const char *silent_peer(const struct pub *p)
{
	const struct list *to = &p->tool.s.to;
	for (size_t i = 0; i < to->count; i++) {
		if (!smq_client_has_session(p->tool.client, to->items[i]))
			return to->items[i];
	}
	return NULL;
}

/* The group that has not let us in. */
static const char *closed_group(const struct pub *p)
{
	const struct list *groups = &p->tool.s.groups;
	for (size_t i = 0; i < groups->count; i++) {
		if (!smq_client_group_ready(p->tool.client, groups->items[i]))
			return groups->items[i];
	}
	return is_choosing(&p->tool.s) && !p->published && p->under_way > 0 ? "" : NULL;
}

static void listen_once(struct pub *p)
{
	if (!p->commands || p->listening)
		return;
	p->listening = true;
	smq_err err = smq_commands_listen(p->commands, p->tool.client);
	if (err) {
		report_line(&p->tool.report, "commands: %s", smq_err_text(err));
		tool_end(&p->tool, smq_err_exit(err));
	}
}

static void when_ready(struct tool *t)
{
	struct pub *p = (struct pub *)t;
	listen_once(p);
	if (p->session_deadline_ms == INT64_MAX && !t->s.plain)
		p->session_deadline_ms = tool_now_ms() + (int64_t)(t->s.wait_s * 1000);
}

/* Whoever does not answer in time ends us, but for what an outbox keeps. */
static void check_sessions(struct pub *p)
{
	struct tool *t = &p->tool;
	const char *peer;
	if (tool_now_ms() < p->session_deadline_ms)
		return;
	p->session_deadline_ms = INT64_MAX - 1;
	peer = silent_peer(p);
	const char *group = peer ? NULL : closed_group(p);
	if (!peer && !group)
		return;
	if (group)
		report_line(&t->report, "no key of group '%s' after %g s%s", report_shown(group), t->s.wait_s,
			    p->exchange_err ? "" : ": no answer from a key server");
	else
		report_line(&t->report, "no session with '%s' after %g s%s", report_shown(peer), t->s.wait_s,
			    t->s.outbox ? "; its messages wait in the outbox" : "");
	tool_end(t, smq_err_exit(p->exchange_err ? p->exchange_err : SMQ_ERR_NO_SESSION));
}

/* ---- commands ---- */

static bool may_complain(struct pub *p)
{
	int64_t now_ms = tool_now_ms();
	if (now_ms - p->lines_since_ms >= 1000) {
		p->lines_since_ms = now_ms;
		p->lines = 0;
	}
	return p->lines++ < REFUSED_LINES_PER_S;
}

static void set_parameter(struct pub *p, const struct smq_setting *s, const struct smq_command_event *e)
{
	if (e->at_start)
		report_line(&p->tool.report, "still commanded: %s=%s", s->name, report_shown(s->value));
	else
		report_line(&p->tool.report, "command from %s: %s=%s", report_shown(e->from), s->name, s->value);
	if (strcmp(s->name, "SAMPLE_RATE") == 0)
		producer_set_rate(&p->producer, strtod(s->value, NULL), tool_now_ms());
}

static void when_commanded(void *self, const struct smq_command_event *e)
{
	struct pub *p = self;
	if (e->result != SMQ_COMMAND_APPLIED) {
		if (may_complain(p))
			report_line(&p->tool.report, "refused a command from %s: %s%s%s", report_shown(e->from),
				    smq_command_result_name(e->result), *e->detail ? ": " : "", e->detail);
		return;
	}
	if (e->text)
		report_line(&p->tool.report, "alert from %s (%s): %s", report_shown(e->from), e->severity, e->text);
	for (size_t i = 0; i < e->setting_count; i++)
		set_parameter(p, &e->settings[i], e);
}

static void when_message(void *self, const struct smq_message *m)
{
	struct pub *p = self;
	(void)smq_commands_take(p->commands, m); /* nothing else was asked for */
}

static void when_proof(void *self, const struct smq_message *m, smq_err err)
{
	struct pub *p = self;
	smq_commands_prove(p->commands, m, err);
}

static void when_refused(void *self, const struct smq_refusal *refusal)
{
	struct pub *p = self;
	if (may_complain(p))
		report_line(&p->tool.report, "refused a command from %s: %s",
			    report_shown(*refusal->sender ? refusal->sender : "?"), smq_err_name(refusal->reason));
}

static void when_subscribed(void *self, int id, const int *reasons, size_t count)
{
	struct pub *p = self;
	struct tool *t = &p->tool;
	(void)id;
	if (count > 0 && reasons[0] >= 128)
		report_line(&t->report, "the broker refuses the topics of commands: %s",
			    tool_reason((int)t->s.protocol, reasons[0]));
	else if (t->s.debug)
		report_line(&t->report, "listening for commands");
}

static bool open_commands(struct pub *p)
{
	struct tool *t = &p->tool;
	const char *why = NULL;
	if (!t->s.commands)
		return true;
	const struct smq_commands_options o = {
		.file = t->s.commands, .realm = t->realm, .self = p, .on_event = when_commanded
	};
	smq_err err = SMQ_ERR_USAGE;
	if (!t->realm || t->s.groups.count == 0)
		why = "--commands: commands come in a group: --group GROUP";
	else
		err = smq_commands_open(&o, &p->commands, &why);
	if (err) {
		report_line(&t->report, "%s", why ? report_shown(why) : smq_err_text(err));
		tool_end(t, smq_err_exit(err));
		return false;
	}
	smq_command_prepare(&t->options);
	t->options.on_message = when_message;
	t->options.on_proof = when_proof;
	t->options.on_refused = when_refused;
	t->options.on_subscribed = when_subscribed;
	return true;
}

static void tick_commands(struct pub *p)
{
	if (!p->commands || tool_now_ms() < p->tick_ms)
		return;
	p->tick_ms = tool_now_ms() + TICK_MS;
	smq_commands_tick(p->commands);
}

/* ---- the loop ---- */

static bool all_done(const struct pub *p)
{
	return p->ended && !p->holding && p->under_way == 0 && smq_client_pending(p->tool.client) == 0;
}

static int64_t deadline_of(const struct pub *p)
{
	int64_t deadline = p->session_deadline_ms;
	if (!p->ended && !p->holding && may_publish(p) && p->producer.due_known && p->producer.due_ms < deadline)
		deadline = p->producer.due_ms;
	if (p->commands && p->tick_ms < deadline)
		deadline = p->tick_ms;
	return deadline;
}

/* Whether producer_next would give something at once: then nothing is waited for. */
static bool is_eager(const struct pub *p)
{
	const struct producer *next = &p->producer;
	return may_publish(p) && !p->ended && !p->holding && !next->wants_stdin && !next->due_known &&
	       !(next->repeat_delay_s > 0 && next->taken);
}

static void interrupted(struct pub *p)
{
	struct tool *t = &p->tool;
	size_t left = smq_client_pending(t->client);
	/* what is pending may be a step of a key exchange as well */
	if (p->under_way > 0 && p->under_way < left && !t->s.outbox)
		left = p->under_way;
	if (left > 0 && t->s.outbox)
		report_line(&t->report, "%zu %s in the outbox for the next run", left,
			    left == 1 ? "message waits" : "messages wait");
	else if (left > 0)
		report_line(&t->report, "ended with %zu %s undelivered", left, left == 1 ? "message" : "messages");
	tool_end(t, left > 0 && !t->s.outbox ? smq_err_exit(SMQ_ERR_CONNECTION_LOST) : p->refusal);
}

/* After a signal: what is under way may still arrive, for a moment. */
static void drain(struct pub *p)
{
	int64_t deadline = tool_now_ms() + DRAIN_MS;
	while (!p->tool.ending && p->tool.connected && smq_client_pending(p->tool.client) > 0 && !silent_peer(p) &&
	       !closed_group(p) && tool_now_ms() < deadline)
		tool_wait(&p->tool, -1, deadline);
	interrupted(p);
}

static void loop(struct pub *p)
{
	struct tool *t = &p->tool;
	while (!t->ending) {
		produce(p);
		if (t->ending)
			break;
		if (all_done(p)) {
			tool_end(t, p->refusal);
			break;
		}
		bool wants_stdin = p->producer.wants_stdin && may_publish(p);
		if (tool_wait(t, wants_stdin ? 0 : -1, is_eager(p) ? 0 : deadline_of(p)))
			producer_read(&p->producer);
		check_sessions(p);
		tick_commands(p);
		if (!t->ending && tool_signals())
			drain(p);
	}
}

static void run(struct pub *p)
{
	struct tool *t = &p->tool;
	const struct settings *s = &t->s;
	smq_err err = producer_open(&p->producer, s, &t->report);
	if (err) {
		tool_end(t, smq_err_exit(err));
		return;
	}
	p->topic = s->topics.count ? s->topics.items[s->topics.count - 1] : "";
	p->properties = tool_properties(t, "publish");
	p->session_deadline_ms = INT64_MAX;
	t->keep_trying = s->outbox != NULL;
	t->one_shot = !s->outbox && s->repeat == 1 && s->mode != MESSAGE_LINES && s->mode != MESSAGE_SOURCE;
	t->on_ready = when_ready;
	t->options.on_published = when_published;
	t->options.on_event = when_event;
	if (s->outbox)
		t->options.queue_max = 1000000;
	if (open_commands(p) && tool_connect(t))
		loop(p);
}

int cmd_pub(int argc, char **argv)
{
	struct pub *p = mem_array(NULL, 1, sizeof *p);
	memset(p, 0, sizeof *p);
	if (tool_start(&p->tool, true, argc, argv))
		run(p);
	int status = tool_finish(&p->tool);
	smq_commands_free(p->commands);
	producer_close(&p->producer);
	free(p->properties.items);
	free(p);
	return status;
}
