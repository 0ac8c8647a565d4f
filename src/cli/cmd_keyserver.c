/* sealmq keyserver: makes, runs, backs up, restores and checks a realm's key server. */
#include "cli/cmd_keyserver.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include <sealmq/json.h>
#include <sealmq/keyserver.h>

#include "cli/cmd_rights.h"
#include "cli/mem.h"
#include "cli/own_options.h"
#include "cli/print.h"
#include "cli/tool.h"

static const char usage[] =
    "sealmq keyserver - admit members to groups by signed policies, and move the groups' keys on\n\n"
    "usage: sealmq keyserver init    --realm DIR --db FILE --passphrase-file FILE\n"
    "       sealmq keyserver run     --realm DIR --db FILE --passphrase-file FILE [-h HOST] [options of sub]\n"
    "       sealmq keyserver backup TO --db FILE\n"
    "       sealmq keyserver restore FROM --realm DIR --db FILE --passphrase-file FILE\n"
    "       sealmq keyserver check   --realm DIR --db FILE --passphrase-file FILE\n"
    "       sealmq keyserver audit [verify] --realm DIR --db FILE\n"
    "       sealmq keyserver rights\n\n"
    "  sealmq ca issue keys --ca plant --role keyserver              its identity, once\n"
    "  sealmq keyserver init --realm plant/members/keys --db keys.db --passphrase-file pass\n"
    "  sealmq keyserver run  --realm plant/members/keys --db keys.db --passphrase-file pass --tls\n\n"
    "init     makes the database. Its secrets are encrypted under the passphrase; without it they are lost.\n"
    "run      serves until it is ended. Groups are made with `sealmq group create`. One key server a realm: a\n"
    "         second one notices and stops (status 86).\n"
    "backup   a consistent copy, while it may be running; TO must not exist.\n"
    "restore  makes the database out of a backup, and marks it: the key server that starts on it jumps ahead, so\n"
    "         that no epoch, sender id or key of the time since is issued twice.\n"
    "check    reads every item and opens every secret.\n"
    "audit    prints the log of all joins, leaves, refusals and admins' acts, and checks that nothing in it was\n"
    "         altered, taken out, put in or cut off. Needs no passphrase.\n"
    "rights   the processes that `run` consists of, and what each of them may do.\n\n"
    "  --db FILE               the database (FORMATS.md 8)\n"
    "  --passphrase-file FILE  its first line is the passphrase; mode 0600; default: the systemd credential\n"
    "                          sealmq-keyserver\n"
    "  --master-pkcs11 URI     init: the master key comes from a key in this PKCS#11 token, made there, or the one\n"
    "                          that object= or id= names; the passphrase file holds the PIN then. Later it is needed\n"
    "                          only for a module that p11-kit does not know (?module-path=)\n"
    "  --requests N            requests per minute of one identity (default 120)\n"
    "  --announce-again        tell of each epoch a few times more within a minute: for brokers that keep retained\n"
    "                          messages on one of their nodes only (clusters of NATS and RabbitMQ)\n"
    "  --metrics-port N        run: /metrics (Prometheus) and /healthz over HTTP on 127.0.0.1\n"
    "  --unconfined            run: the three processes keep all rights that the user has (for debuggers)\n"
    "  --undivided             run: one process that is not confined, in place of three that are (for debuggers)\n"
    "  --json                  lines and results as JSON\n"
    "  --help                  this text\n\n"
    "Options of `sealmq sub` that say where the broker is and how to get in mean the same here.\n";

static const char *const happened[] = { "connected", "disconnected", "asked",    "epoch", "dropped",
					"rival",     "jumped",       "identity", "crl" };

struct keyserver {
	struct tool tool;
	struct smq_keyserver_options o;
	uint64_t requests, metrics_port;
	bool json, help, undivided, announce_again;
	const char *duty;
	char **argv; /* as it was */
	const char *words[2];
	size_t word_count;
};

/* ---- what it says ---- */

static void time_text(int64_t ms, char text[32])
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;
	if (!gmtime_r(&seconds, &tm) || strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		text[0] = 0;
}

static void json_text(struct smq_json *j, const char *key, const char *text)
{
	if (!*text)
		return;
	smq_json_key(j, key);
	smq_json_str(j, text);
}

static void json_number(struct smq_json *j, const char *key, uint64_t value)
{
	smq_json_key(j, key);
	smq_json_uint(j, value);
}

static void write_happening(struct smq_json *j, const void *of)
{
	const struct smq_keyserver_happening *h = of;
	char now[32];
	time_text((int64_t)time(NULL) * 1000, now);
	smq_json_object(j);
	json_text(j, "time", now);
	json_text(j, "event", happened[h->kind]);
	json_text(j, "who", h->who);
	json_text(j, "what", h->what);
	json_text(j, "group", h->group);
	json_text(j, "whom", h->whom);
	if (h->kind == SMQ_HAPPENED_EPOCH || h->kind == SMQ_HAPPENED_JUMPED) {
		json_number(j, "epoch", h->epoch);
		json_number(j, "members", h->members);
		json_number(j, "messages", h->messages);
		json_number(j, "bytes", h->bytes);
	}
	if (h->left_ms > 0)
		json_number(j, "left_s", h->left_ms / 1000);
	if (h->err != SMQ_OK)
		json_text(j, "error", smq_err_name(h->err));
	smq_json_end(j);
}

static void print_happening(const struct smq_keyserver_happening *h)
{
	const char *outcome = h->err == SMQ_OK ? "done" : smq_err_text(h->err);
	switch (h->kind) {
	case SMQ_HAPPENED_CONNECTED:
		printf("connected\n");
		break;
	case SMQ_HAPPENED_DISCONNECTED:
		printf("disconnected: %s; trying again\n", outcome);
		break;
	case SMQ_HAPPENED_ASKED:
		printf("%s: %s%s%s%s%s: %s\n", report_shown(h->who), h->what, *h->whom ? " " : "",
		       report_shown(h->whom), *h->group ? " in " : "", report_shown(h->group), outcome);
		break;
	case SMQ_HAPPENED_EPOCH:
		printf("%s: epoch %llu for %llu members, %llu messages, %llu bytes\n", report_shown(h->group),
		       (unsigned long long)h->epoch, (unsigned long long)h->members, (unsigned long long)h->messages,
		       (unsigned long long)h->bytes);
		break;
	case SMQ_HAPPENED_DROPPED:
		if (*h->what) /* ours, by the broker */
			printf("the broker refuses the %s: %s\n", h->what, outcome);
		else
			printf("dropped a request%s%s: %s\n", *h->who ? " in the name of " : "", report_shown(h->who),
			       outcome);
		break;
	case SMQ_HAPPENED_RIVAL:
		printf("another key server (%s) serves this realm already: stopping\n", report_shown(h->who));
		break;
	case SMQ_HAPPENED_JUMPED:
		printf("%s: restored, goes on with epoch %llu\n", report_shown(h->group), (unsigned long long)h->epoch);
		break;
	case SMQ_HAPPENED_IDENTITY:
		printf("our renewed certificate %s%s\n", h->err ? "is not taken: " : "is in use",
		       h->err ? outcome : "");
		break;
	case SMQ_HAPPENED_CRL:
		if (h->left_ms > 0)
			printf("the revocation list ends in %llu min\n", (unsigned long long)h->left_ms / 60000);
		else
			printf("revocation list: %s%s%s\n", h->what, h->err ? ": " : "",
			       h->err ? smq_err_text(h->err) : "");
		break;
	}
}

static void on_event(void *self, const struct smq_keyserver_happening *h)
{
	const struct keyserver *k = self;
	if (k->json)
		(void)!print_json(stdout, write_happening, h);
	else if (!k->tool.s.quiet)
		print_happening(h);
	fflush(stdout);
}

static int failed(const struct keyserver *k, smq_err err, const char *why)
{
	report_line(&k->tool.report, "%s", why && *why ? report_shown(why) : smq_err_text(err));
	return smq_err_exit(err);
}

/* ---- commands ---- */

static int init(struct keyserver *k)
{
	const char *why = NULL;
	smq_err err = smq_keyserver_init(&k->o, &why);
	if (err != SMQ_OK)
		return failed(k, err, why);
	printf("%s\n", k->o.database);
	return 0;
}

static smq_keyserver_service *running;

static void on_signal(int number)
{
	(void)number;
	if (running)
		smq_keyserver_service_stop(running);
}

static int run_undivided(struct keyserver *k)
{
	const char *why = NULL;
	struct sigaction action = { .sa_handler = on_signal };
	smq_err err = smq_keyserver_service_new(&k->o, &running, &why);
	if (err != SMQ_OK)
		return failed(k, err, why);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	err = smq_keyserver_service_run(running, -1);
	smq_keyserver_service *service = running;
	running = NULL;
	smq_keyserver_service_free(service);
	return err == SMQ_OK ? 0 : smq_err_exit(err);
}

/* ---- split by duty ---- */

static smq_keyserver_part *part;

static void on_part_signal(int number)
{
	(void)number;
	if (part)
		smq_keyserver_part_stop(part);
}

static void say_confined(const struct keyserver *k, const char *duty)
{
	struct smq_confined how;
	const char *words = k->tool.s.unconfined
				? NULL
				: confined_words(smq_keyserver_part_confine(part, &how) == SMQ_OK ? &how : NULL);
	if (words)
		report_line(&k->tool.report, "%s: %s", duty, words);
}

/* The private key is for the signer alone: the realm is closed before the others begin. */
static int run_part(struct keyserver *k)
{
	const char *why = NULL;
	enum smq_keyserver_duty duty;
	struct sigaction action = { .sa_handler = on_part_signal };
	if (smq_keyserver_duty_by_name(k->duty, &duty) != SMQ_OK)
		return failed(k, SMQ_ERR_USAGE, "--duty is for the processes that `run` starts");
	smq_err err = smq_keyserver_part_new(&k->o, duty, &part, &why);
	if (err != SMQ_OK) /* a store that is lost says itself why */
		return err == SMQ_ERR_STORE && duty == SMQ_DUTY_SIGNER ? smq_err_exit(err) : failed(k, err, why);
	if (duty != SMQ_DUTY_SIGNER) {
		smq_realm_free(k->tool.realm);
		k->tool.realm = NULL;
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	say_confined(k, k->duty);
	err = smq_keyserver_part_run(part);
	smq_keyserver_part *ended = part;
	part = NULL;
	smq_keyserver_part_free(ended);
	return err == SMQ_OK ? 0 : smq_err_exit(err);
}

static void on_ended(void *self, const char *duty, int status)
{
	const struct keyserver *k = self;
	if (WIFSIGNALED(status))
		report_line(&k->tool.report, "%s ended by signal %d; starting it again", duty, WTERMSIG(status));
	else
		report_line(&k->tool.report, "%s ended with status %d; starting it again", duty, WEXITSTATUS(status));
}

static void on_guard_signal(int number)
{
	(void)number;
	smq_keyserver_guard_stop();
}

/* argv from "keyserver" on, which whoever started us wrote "sealmq" before. */
static int run_guard(struct keyserver *k)
{
	struct smq_keyserver_guard_options o = { .argv = k->argv, .words = 3, .self = k, .on_ended = on_ended };
	struct sigaction action = { .sa_handler = on_guard_signal };
	int status = 0;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	smq_err err = smq_keyserver_guard_run(&o, &status);
	return err == SMQ_OK ? status : failed(k, err, NULL);
}

static int run(struct keyserver *k) { return k->duty ? run_part(k) : run_undivided(k); }

static void write_rights(struct smq_json *j, const void *of)
{
	enum smq_keyserver_duty duty = *(const enum smq_keyserver_duty *)of;
	smq_json_object(j);
	json_text(j, "process", smq_keyserver_duty_name(duty));
	json_text(j, "rights", smq_keyserver_duty_rights(duty));
	smq_json_end(j);
}

static int rights(struct keyserver *k)
{
	for (int i = 0; i < SMQ_DUTIES; i++) {
		enum smq_keyserver_duty duty = (enum smq_keyserver_duty)i;
		if (k->json)
			(void)!print_json(stdout, write_rights, &duty);
		else
			printf("%-9s %s\n", smq_keyserver_duty_name(duty), smq_keyserver_duty_rights(duty));
	}
	return 0;
}

static int backup(struct keyserver *k)
{
	const char *why = NULL;
	if (k->word_count < 1)
		return failed(k, SMQ_ERR_USAGE, "say where the copy goes: sealmq keyserver backup TO --db FILE");
	smq_err err = smq_keyserver_backup(k->o.database, k->words[0], &why);
	if (err != SMQ_OK)
		return failed(k, err, why);
	printf("%s\n", k->words[0]);
	return 0;
}

static int restore(struct keyserver *k)
{
	const char *why = NULL;
	if (k->word_count < 1)
		return failed(k, SMQ_ERR_USAGE, "say which backup: sealmq keyserver restore FROM --db FILE ...");
	smq_err err = smq_keyserver_restore(&k->o, k->words[0], &why);
	if (err != SMQ_OK)
		return failed(k, err, why);
	printf("%s\n", k->o.database);
	return 0;
}

static void write_contents(struct smq_json *j, const void *of)
{
	const struct smq_keyserver_contents *c = of;
	smq_json_object(j);
	json_number(j, "groups", c->groups);
	json_number(j, "members", c->members);
	json_number(j, "nodes", c->nodes);
	json_number(j, "epochs", c->epochs);
	json_number(j, "waiting", c->waiting);
	json_number(j, "keys", c->keys);
	smq_json_end(j);
}

static int check(struct keyserver *k)
{
	struct smq_keyserver_contents c;
	const char *why = NULL;
	smq_err err = smq_keyserver_check(&k->o, &c, &why);
	if (err != SMQ_OK)
		return failed(k, err, why);
	if (k->json)
		return print_json(stdout, write_contents, &c) == SMQ_OK ? 0 : smq_err_exit(SMQ_ERR_BUG);
	printf("sound: %llu groups, %llu members, %llu tree nodes, %llu epochs, %llu registered keys; %llu messages "
	       "wait for "
	       "the broker\n",
	       (unsigned long long)c.groups, (unsigned long long)c.members, (unsigned long long)c.nodes,
	       (unsigned long long)c.epochs, (unsigned long long)c.keys, (unsigned long long)c.waiting);
	return 0;
}

static void write_line(struct smq_json *j, const void *of)
{
	const struct smq_audit_line *l = of;
	char when[32];
	time_text(l->time_ms, when);
	smq_json_object(j);
	json_number(j, "number", l->number);
	json_text(j, "time", when);
	json_text(j, "what", l->what);
	json_text(j, "who", l->who);
	json_text(j, "group", l->group);
	json_text(j, "whom", l->whom);
	json_text(j, "outcome", l->outcome == SMQ_OK ? "ok" : smq_err_name(l->outcome));
	smq_json_end(j);
}

static void print_line(void *self, const struct smq_audit_line *l)
{
	const struct keyserver *k = self;
	char when[32];
	if (k->json) {
		(void)!print_json(stdout, write_line, l);
		return;
	}
	time_text(l->time_ms, when);
	printf("%6llu  %s  ", (unsigned long long)l->number, when);
	print_cell(stdout, l->what, 10, 10);
	printf("  ");
	print_cell(stdout, l->who, 20, 20);
	printf("  ");
	print_cell(stdout, l->group, 16, 16);
	printf("  ");
	print_cell(stdout, l->whom, 16, 16);
	printf("  %s\n", l->outcome == SMQ_OK ? "ok" : smq_err_name(l->outcome));
}

static void write_end(struct smq_json *j, const void *of)
{
	const struct smq_audit_end *e = of;
	char when[32];
	time_text(e->signed_ms, when);
	smq_json_object(j);
	json_number(j, "lines", e->lines);
	json_text(j, "hash", e->hash);
	json_text(j, "signer", e->signer);
	json_text(j, "signed", when);
	smq_json_end(j);
}

static int audit(struct keyserver *k)
{
	struct smq_audit_end end;
	const char *why = NULL;
	bool verify = k->word_count > 0;
	if (verify && strcmp(k->words[0], "verify") != 0)
		return failed(k, SMQ_ERR_USAGE, "audit, or audit verify");
	smq_err err = smq_keyserver_audit(k->tool.realm, k->o.database, k, verify ? NULL : print_line, &end, &why);
	if (err != SMQ_OK)
		return failed(k, err, why);
	if (k->json)
		return print_json(stdout, write_end, &end) == SMQ_OK ? 0 : smq_err_exit(SMQ_ERR_BUG);
	printf("whole: %llu lines, signed by %s, last hash %s\n", (unsigned long long)end.lines,
	       report_shown(end.signer), end.hash);
	return 0;
}

static const struct {
	const char *name;
	int (*run)(struct keyserver *k);
	bool realm; /* needs one */
} commands_of[] = { { "init", init, true },       { "run", run, true },     { "backup", backup, false },
		    { "restore", restore, true }, { "check", check, true }, { "audit", audit, true },
		    { "rights", rights, false } };

enum { COMMANDS = sizeof commands_of / sizeof commands_of[0] };

/* What the processes that we start are given, before anything is taken out of it. */
static char **copy_argv(int argc, char **argv)
{
	static char tool[] = "sealmq", command[] = "keyserver";
	char **copy = mem_array(NULL, (size_t)argc + 3, sizeof copy[0]);
	copy[0] = tool;
	copy[1] = command;
	for (int i = 0; i <= argc; i++)
		copy[i + 2] = argv[i];
	return copy;
}

static int start(struct keyserver *k, size_t which, int argc, char **argv)
{
	const struct own_option own[] = {
		{ "--db", OWN_TEXT, &k->o.database, 0 },
		{ "--passphrase-file", OWN_TEXT, &k->o.passphrase_file, 0 },
		{ "--master-pkcs11", OWN_TEXT, &k->o.master_pkcs11, 0 },
		{ "--requests", OWN_NUMBER, &k->requests, 1000000 },
		{ "--metrics-port", OWN_NUMBER, &k->metrics_port, 65535 },
		{ "--announce-again", OWN_FLAG, &k->announce_again, 0 },
		{ "--undivided", OWN_FLAG, &k->undivided, 0 },
		{ "--duty", OWN_TEXT, &k->duty, 0 },
		{ "--json", OWN_FLAG, &k->json, 0 },
		{ "--help", OWN_FLAG, &k->help, 0 },
	};
	k->tool.report.tool = "sealmq keyserver";
	k->argv = copy_argv(argc, argv);
	if (!own_options_take("sealmq keyserver", own, sizeof own / sizeof own[0], &argc, argv) ||
	    !own_words_take("sealmq keyserver", k->words, 1, &k->word_count, &argc, argv))
		return smq_err_exit(SMQ_ERR_USAGE);
	if (k->help) {
		fputs(usage, stdout);
		return 0;
	}
	if (commands_of[which].run == rights)
		return rights(k);
	if (!k->o.database)
		return failed(k, SMQ_ERR_USAGE, "--db FILE says which database");
	if (commands_of[which].run == run && !k->duty && !k->undivided)
		return run_guard(k);
	if (!commands_of[which].realm)
		return commands_of[which].run(k);
	if (!tool_start_apart(&k->tool, "sealmq keyserver", argc, argv))
		return tool_finish(&k->tool);
	k->o.realm = k->tool.realm;
	k->o.broker = &k->tool.options;
	k->o.requests_per_min = (uint32_t)k->requests;
	k->o.announce_again = k->announce_again;
	k->o.http_port = (int)k->metrics_port;
	k->o.self = k;
	k->o.on_event = on_event;
	tool_end(&k->tool, k->o.realm ? commands_of[which].run(k)
				      : failed(k, SMQ_ERR_REALM, "--realm DIR says whose key server"));
	return tool_finish(&k->tool);
}

int cmd_keyserver(int argc, char **argv)
{
	static struct keyserver k;
	size_t which = 0;
	if (argc < 2 || strcmp(argv[1], "--help") == 0) {
		fputs(usage, argc < 2 ? stderr : stdout);
		return argc < 2 ? smq_err_exit(SMQ_ERR_USAGE) : 0;
	}
	while (which < COMMANDS && strcmp(commands_of[which].name, argv[1]) != 0)
		which++;
	if (which == COMMANDS) {
		fprintf(stderr,
			"sealmq keyserver: no such command: init, run, backup, restore, check, audit or rights\n");
		return smq_err_exit(SMQ_ERR_USAGE);
	}
	int status = start(&k, which, argc - 1, argv + 1);
	free(k.argv);
	return status;
}
