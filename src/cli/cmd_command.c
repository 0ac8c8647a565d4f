/* sealmq command and sealmq alert: what others are told to do, and what they answer. */
#include "cli/cmd_command.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sealmq/command.h>
#include <sealmq/json.h>
#include <sealmq/text.h>

#include "cli/mem.h"
#include "cli/own_options.h"
#include "cli/print.h"
#include "cli/tool.h"

enum { LATE_MS = 2000, EXPIRES_DEFAULT_S = 60 };

static const char command_usage[] =
    "sealmq command - set declared parameters of a device\n\n"
    "usage: sealmq command send NAME --set PARAMETER=VALUE [--set ...] [--group GROUP] [--expires 60s] [--wait]\n\n"
    "  sealmq command send auditor-1 --set SAMPLE_RATE=0.2 --wait --realm plant/members/centre --tls\n\n"
    "The command is sealed for the group, signed with the realm's certificate, addressed to one member, and good for\n"
    "a while. The device (`sealmq pub --commands FILE`) obeys it if the group's policy lets us command it, once, and\n"
    "within the bounds that it declares; it says what it did in a signed acknowledgement.\n\n"
    "  --set NAME=VALUE   repeatable; all of a command is obeyed, or nothing\n"
    "  --group GROUP      whose members both are; default: the only one that the realm has a key of\n"
    "  --expires TIME     good for so long: 30s, 5m, 2h; default 60s, at most 7d\n"
    "  --wait             for the acknowledgement, as long as the command is good; the status is 0 only if it was\n"
    "                     applied\n"
    "  --id HEX           send the command of this id once more: it is obeyed once all the same\n"
    "  --json             as JSON\n"
    "  --help             this text\n\n"
    "Options of `sealmq sub` that say where the broker is, how to get in, and --realm mean the same here.\n";

static const char alert_usage[] =
    "sealmq alert - tell all members of a group\n\n"
    "usage: sealmq alert send GROUP TEXT [--severity WORD] [--expires 60s] [--wait-for N]\n\n"
    "  sealmq alert send telemetry 'meters are read tonight' --severity info --realm plant/members/centre --tls\n\n"
    "Sealed for the group, signed, and good for a while; whoever runs `sealmq pub --commands FILE` and may be\n"
    "commanded by us tells it and acknowledges.\n\n"
    "  --severity WORD    info, warning (default), critical, or any other word\n"
    "  --expires TIME     good for so long: 30s, 5m, 2h; default 60s, at most 7d\n"
    "  --wait-for N       acknowledgements, as long as it is good; status 0 only if so many came\n"
    "  --id HEX           send the alert of this id once more\n"
    "  --json             as JSON\n"
    "  --help             this text\n\n"
    "Options of `sealmq sub` that say where the broker is, how to get in, and --realm mean the same here.\n";

struct sending {
	struct tool tool; /* first: the client's `self` is a struct tool */
	const char *name; /* "sealmq command" */
	struct smq_command c;
	struct smq_setting *settings;
	struct list sets;
	const char *words[3];
	size_t word_count;
	const char *expires, *id_text;
	char group[SMQ_MEMBER_NAME_MAX + 1];
	const char *groups[1];
	uint8_t id[SMQ_COMMAND_ID_BYTES];
	bool wait, json, help;
	uint64_t wait_for, acks;
	int listening_id;
	bool listening, sent;
	uint64_t ticket;
	int64_t deadline_ms;
};

static int wrong(const struct sending *s, const char *why)
{
	fprintf(stderr, "%s: %s; `%s --help` tells more\n", s->name, why, s->name);
	return smq_err_exit(SMQ_ERR_USAGE);
}

/* ---- output ---- */

struct said {
	const struct sending *s;
	const struct smq_command_ack *ack; /* NULL: sent */
};

static void write_said(struct smq_json *j, const void *of)
{
	const struct said *it = of;
	smq_json_object(j);
	smq_json_key(j, "id");
	smq_json_hex(j, smq_span_of(it->s->id, sizeof it->s->id));
	smq_json_key(j, "group");
	smq_json_str(j, it->s->group);
	smq_json_key(j, "to");
	smq_json_str(j, it->s->c.to);
	smq_json_key(j, "result");
	smq_json_str(j, it->ack ? smq_command_result_name(it->ack->result) : "sent");
	if (it->ack) {
		smq_json_key(j, "from");
		smq_json_str(j, it->ack->from);
		smq_json_key(j, "detail");
		smq_json_str(j, it->ack->detail);
	}
	smq_json_end(j);
}

static void say(const struct sending *s, const struct smq_command_ack *ack)
{
	const struct said it = { s, ack };
	if (s->json) {
		(void)!print_json(stdout, write_said, &it);
	} else if (ack) {
		printf("%s: %s%s%s\n", report_shown(ack->from), smq_command_result_name(ack->result),
		       *ack->detail ? ": " : "", ack->detail);
	} else {
		fputs("sent ", stdout);
		for (size_t i = 0; i < sizeof s->id; i++)
			printf("%02x", s->id[i]);
		putchar('\n');
	}
	fflush(stdout);
}

/* ---- sending, and what comes back ---- */

static void send_now(struct sending *s)
{
	const char *why = NULL;
	if (s->sent)
		return;
	s->sent = true;
	smq_err err = smq_command_send(s->tool.client, &s->c, s->id, &s->ticket, &why);
	if (err) {
		report_line(&s->tool.report, "%s", why ? report_shown(why) : smq_err_text(err));
		tool_end(&s->tool, smq_err_exit(err));
	}
}

static void when_ready(struct tool *t)
{
	struct sending *s = (struct sending *)t;
	if (s->wait_for == 0) {
		send_now(s);
		return;
	}
	if (s->listening)
		return;
	s->listening = true;
	smq_err err = smq_command_listen(t->client, s->group, &s->listening_id);
	if (err) {
		report_line(&t->report, "%s", smq_err_text(err));
		tool_end(t, smq_err_exit(err));
	}
}

static void when_subscribed(void *self, int id, const int *reasons, size_t count)
{
	struct sending *s = self;
	if (id != s->listening_id)
		return;
	if (count > 0 && reasons[0] >= 128) {
		report_line(&s->tool.report, "the broker refused the subscription to acknowledgements: %s",
			    tool_reason((int)s->tool.s.protocol, reasons[0]));
		tool_end(&s->tool, smq_err_exit(SMQ_ERR_NOT_AUTHORIZED));
		return;
	}
	send_now(s);
}

static void when_published(void *self, uint64_t ticket, smq_err err, int reason)
{
	struct sending *s = self;
	if (ticket != s->ticket)
		return;
	if (err || reason >= 128) {
		report_line(&s->tool.report, "not sent: %s",
			    reason >= 128 ? tool_reason(5, reason) : smq_err_text(err));
		tool_end(&s->tool, reason >= 128 ? reason : smq_err_exit(err));
		return;
	}
	if (!s->json || s->wait_for == 0)
		say(s, NULL);
	if (s->wait_for == 0)
		tool_end(&s->tool, 0);
}

static void when_message(void *self, const struct smq_message *m)
{
	struct sending *s = self;
	struct smq_command_ack ack;
	if (!smq_command_ack_of(s->tool.client, m, &ack) || memcmp(ack.id, s->id, sizeof ack.id) != 0)
		return;
	/* of a command, what its addressee says */
	if (s->c.to && strcmp(ack.from, s->c.to) != 0)
		return;
	say(s, &ack);
	if (s->c.to)
		tool_end(&s->tool, smq_err_exit(smq_command_result_err(ack.result)));
	else if (ack.result == SMQ_COMMAND_APPLIED && ++s->acks >= s->wait_for)
		tool_end(&s->tool, 0);
}

static void when_refused(void *self, const struct smq_refusal *refusal)
{
	struct sending *s = self;
	report_line(&s->tool.report, "an acknowledgement from %s was refused: %s",
		    report_shown(*refusal->sender ? refusal->sender : "?"), smq_err_name(refusal->reason));
}

static void when_event(void *self, const struct smq_event *event)
{
	struct sending *s = self;
	tool_trust_event(&s->tool, event);
	tool_group_event(&s->tool, event);
	if (event->kind == SMQ_EVENT_GROUP_REFUSED || event->kind == SMQ_EVENT_GROUP_EXPELLED)
		tool_end(&s->tool, smq_err_exit(event->err));
}

/* ---- the command line ---- */

/* "30s", "5m", "2h", "1d" or seconds. */
static bool read_span(const char *text, int64_t *ret_ms)
{
	static const struct {
		const char *unit;
		int64_t ms;
	} units[] = { { "", 1000 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 } };
	char *end;
	long count = strtol(text, &end, 10);
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
		if (end != text && count > 0 && count <= 604800 && strcmp(end, units[i].unit) == 0) {
			*ret_ms = count * units[i].ms;
			return *ret_ms <= SMQ_COMMAND_LIFE_MAX_MS;
		}
	}
	return false;
}

static bool read_id(const char *text, uint8_t id[SMQ_COMMAND_ID_BYTES])
{
	unsigned byte;
	int len = 0;
	if (strlen(text) != 2 * SMQ_COMMAND_ID_BYTES || strspn(text, "0123456789abcdefABCDEF") != strlen(text))
		return false;
	for (size_t i = 0; i < SMQ_COMMAND_ID_BYTES; i++, text += 2) {
		if (sscanf(text, "%2x%n", &byte, &len) != 1)
			return false;
		id[i] = (uint8_t)byte;
	}
	return true;
}

static const char *read_sets(struct sending *s)
{
	if (s->sets.count == 0)
		return "--set PARAMETER=VALUE says what to set";
	s->settings = mem_array(NULL, s->sets.count, sizeof *s->settings);
	for (size_t i = 0; i < s->sets.count; i++) {
		const char *text = s->sets.items[i], *is = strchr(text, '=');
		if (!is || is == text)
			return "--set takes PARAMETER=VALUE";
		char *name = mem_array(NULL, (size_t)(is - text) + 1, 1);
		memcpy(name, text, (size_t)(is - text));
		name[is - text] = 0;
		s->settings[i] = (struct smq_setting){ name, is + 1 };
		s->c.setting_count = i + 1;
	}
	s->c.settings = s->settings;
	return NULL;
}

/* What is wrong with it, or NULL. */
static const char *read_use(struct sending *s, bool is_alert)
{
	if (s->word_count < 1 || strcmp(s->words[0], "send") != 0)
		return is_alert ? "send GROUP TEXT" : "send NAME --set PARAMETER=VALUE";
	if (s->word_count != (is_alert ? 3u : 2u))
		return is_alert ? "name a group, and what to tell it" : "name one member";
	s->c.life_ms = EXPIRES_DEFAULT_S * 1000;
	if (s->expires && !read_span(s->expires, &s->c.life_ms))
		return "--expires takes a time such as 30s, 5m or 2h, at most 7d";
	if (s->id_text && !read_id(s->id_text, s->id))
		return "--id takes 32 hex digits";
	if (is_alert) {
		s->c.text = s->words[2];
		if (strlen(s->words[1]) >= sizeof s->group)
			return "no name of a group";
		snprintf(s->group, sizeof s->group, "%s", s->words[1]);
		return NULL;
	}
	s->c.to = s->words[1];
	s->wait_for = s->wait;
	return read_sets(s);
}

static bool set_up(struct sending *s)
{
	struct tool *t = &s->tool;
	const char *why = NULL;
	if (!t->realm)
		why = "commands are sealed and signed: a realm is needed";
	else if (!*s->group && t->s.groups.count == 1 && strlen(t->s.groups.items[0]) < sizeof s->group)
		snprintf(s->group, sizeof s->group, "%s", t->s.groups.items[0]);
	else if (!*s->group && (t->s.groups.count > 1 || !smq_command_only_group(t->realm, s->group)))
		why = "--group GROUP says in which group";
	if (why) {
		report_line(&t->report, "%s", why);
		tool_end(t, smq_err_exit(SMQ_ERR_USAGE));
		return false;
	}
	s->c.group = s->groups[0] = s->group;
	t->options.groups = s->groups;
	t->options.group_count = 1;
	t->options.only_groups = true;
	t->options.find_groups = false;
	t->options.check = SMQ_CHECK_REQUIRE;
	smq_command_prepare(&t->options);
	t->one_shot = true;
	t->on_ready = when_ready;
	t->options.on_subscribed = when_subscribed;
	t->options.on_published = when_published;
	t->options.on_message = when_message;
	t->options.on_refused = when_refused;
	t->options.on_event = when_event;
	return true;
}

static void late(struct sending *s)
{
	if (s->wait_for && s->sent)
		report_line(&s->tool.report, "no acknowledgement%s%s in time", s->c.to ? " from " : "",
			    s->c.to ? report_shown(s->c.to) : "");
	else
		report_line(&s->tool.report, "not sent in time");
	tool_end(&s->tool, smq_err_exit(SMQ_ERR_TIMEOUT));
}

static void loop(struct sending *s)
{
	struct tool *t = &s->tool;
	s->deadline_ms = tool_now_ms() + s->c.life_ms + LATE_MS;
	while (!t->ending) {
		tool_wait(t, -1, s->deadline_ms);
		if (!t->ending && tool_signals())
			tool_end(t, smq_err_exit(SMQ_ERR_TIMEOUT));
		if (!t->ending && tool_now_ms() >= s->deadline_ms)
			late(s);
	}
}

static int run(struct sending *s, bool is_alert, int argc, char **argv)
{
	const struct own_option own[] = {
		{ "--set", OWN_LIST, &s->sets, 0 },
		{ "--expires", OWN_TEXT, &s->expires, 0 },
		{ "--wait", OWN_FLAG, &s->wait, 0 },
		{ "--wait-for", OWN_NUMBER, &s->wait_for, 1000000 },
		{ "--severity", OWN_TEXT, &s->c.severity, 0 },
		{ "--id", OWN_TEXT, &s->id_text, 0 },
		{ "--json", OWN_FLAG, &s->json, 0 },
		{ "--help", OWN_FLAG, &s->help, 0 },
	};
	if (!own_words_take(s->name, s->words, 3, &s->word_count, &argc, argv) ||
	    !own_options_take(s->name, own, sizeof own / sizeof own[0], &argc, argv))
		return smq_err_exit(SMQ_ERR_USAGE);
	if (s->help) {
		fputs(is_alert ? alert_usage : command_usage, stdout);
		return 0;
	}
	const char *problem = read_use(s, is_alert);
	if (problem)
		return wrong(s, problem);
	if (tool_start_apart(&s->tool, s->name, argc, argv) && set_up(s) && tool_connect(&s->tool))
		loop(s);
	return tool_finish(&s->tool);
}

static int run_as(const char *name, bool is_alert, int argc, char **argv)
{
	struct sending *s = mem_array(NULL, 1, sizeof *s);
	memset(s, 0, sizeof *s);
	s->name = name;
	int status = run(s, is_alert, argc, argv);
	for (size_t i = 0; i < s->c.setting_count; i++)
		free((char *)(uintptr_t)s->settings[i].name);
	free(s->settings);
	free(s->sets.items);
	free(s);
	return status;
}

int cmd_command(int argc, char **argv) { return run_as("sealmq command", false, argc, argv); }

int cmd_alert(int argc, char **argv) { return run_as("sealmq alert", true, argc, argv); }
