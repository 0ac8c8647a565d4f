/* sealmq record: subscribes, and stores what opens and is as declared. */
#include "cli/cmd_record.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sealmq/record.h>
#include <sealmq/status.h>

#include "cli/mem.h"
#include "cli/print.h"
#include "cli/tool.h"

/* Lines about quarantined records: so many a second, the rest is counted. */
enum { LINES_PER_S = 5, THREADS_MAX = 256 };

static const char usage[] =
    "sealmq record - store what opens and is as declared; the rest goes to quarantine with the reason\n\n"
    "usage: sealmq record --store STORE [--schema FILE] [--realm DIR] [-h HOST] -t FILTER ... [options of sub]\n\n"
    "  sealmq record --store audit.db --schema energy.yaml -t 'audit/#' --realm plant/members/centre --tls\n"
    "  sealmq record --store postgres://localhost/audit --share centre -i centre-2 -t 'audit/#'\n\n"
    "Reads the groups that the realm holds. A message is acknowledged to the broker only once it is stored, so\n"
    "that a kill or a power cut at any moment loses nothing and stores nothing twice.\n\n"
    "  --store STORE      an SQLite file, made if it is not there, or postgres://USER@HOST/DATABASE\n"
    "  --schema FILE      what records must look like (YAML); without one whatever opens is stored as it is\n"
    "  --require-proof    only what its sender's signature proves; the rest goes to quarantine\n"
    "  --evidence         keep what a third party needs to verify what is signed (`sealmq evidence`): signatures,\n"
    "                     checkpoints, certificates, revocation lists, and the keys that open these messages.\n"
    "                     With --require-proof that is the default, and --no-evidence turns it off\n"
    "  --verify-threads N signatures are verified by so many threads besides the one that receives and stores;\n"
    "                     default: one less than there are processors\n"
    "  --share NAME       share the work with other recorders that say the same name (MQTT shared subscription)\n"
    "  -i ID              name at the broker, another for each recorder; default: record-MEMBER\n"
    "  -C N               end after N messages stored\n"
    "  -W SECONDS         end after so long; with -C, status 27 if they did not come\n"
    "  --metrics-port N   /metrics (Prometheus) and /healthz over HTTP on 127.0.0.1\n"
    "  --json             what was done, at the end, as JSON; and what is told meanwhile, a line of JSON each\n"
    "  --help             this text\n\n"
    "Options of `sealmq sub` that say where the broker is, how to get in, and --group, --realm, --quiet, --debug\n"
    "mean the same here. Messages are asked for at QoS 1.\n";

struct record {
	struct tool tool; /* first: the client's `self` is a struct tool */
	struct smq_record_options options;
	const char *share, *threads, *port;
	smq_status *status;
	int64_t durable_s;
	bool stuck; /* the last commit failed */
	bool json, no_evidence;
	smq_recorder *recorder;
	char id[80];
	bool subscribed;
	size_t refused_subscriptions;
	int64_t timeout_ms, lines_since_ms;
	uint64_t lines, lines_held;
};

/* ---- its own options, taken out of the command line; the rest are sub's ---- */

struct own_option {
	const char *name;
	const char **text; /* or */
	bool *flag;
};

/* 1: taken, 0: not ours, -1: without its value */
static int take_own(const struct own_option *o, int argc, char **argv, int *at)
{
	size_t len = strlen(o->name);
	const char *a = argv[*at];
	if (strncmp(a, o->name, len) != 0 || (a[len] && (a[len] != '=' || o->flag)))
		return 0;
	if (o->flag)
		*o->flag = true;
	else if (a[len])
		*o->text = a + len + 1;
	else if (*at + 1 < argc)
		*o->text = argv[++*at];
	else
		return -1;
	return 1;
}

static bool split_options(struct record *r, int argc, char **argv, int *ret_argc, bool *ret_help)
{
	const struct own_option own[] = {
		{ "--store", &r->options.store, NULL },
		{ "--schema", &r->options.schema_file, NULL },
		{ "--share", &r->share, NULL },
		{ "--verify-threads", &r->threads, NULL },
		{ "--require-proof", NULL, &r->options.require_proof },
		{ "--json", NULL, &r->json },
		{ "--metrics-port", &r->port, NULL },
		{ "--help", NULL, ret_help },
		{ "--evidence", NULL, &r->options.evidence },
		{ "--no-evidence", NULL, &r->no_evidence },
	};
	int kept = 1;
	for (int i = 1; i < argc; i++) {
		int taken = 0;
		for (size_t k = 0; k < sizeof own / sizeof own[0] && taken == 0; k++)
			taken = take_own(&own[k], argc, argv, &i);
		if (taken < 0) {
			fprintf(stderr, "sealmq record: %s takes a value; `sealmq record --help` tells more\n",
				argv[i]);
			return false;
		}
		if (taken == 0)
			argv[kept++] = argv[i];
	}
	*ret_argc = kept;
	return true;
}

/* ---- messages ---- */

static void when_message(void *self, const struct smq_message *m)
{
	struct record *r = self;
	smq_recorder_take(r->recorder, m);
}

static void print_line(struct tool *t)
{
	if (t->line.len)
		report_text(&t->report, t->line.p, t->line.len);
	t->line.len = 0;
}

static void when_refused(void *self, const struct smq_refusal *refusal)
{
	struct record *r = self;
	report_refusal(&r->tool.report, refusal, tool_now_ms(), &r->tool.line);
	print_line(&r->tool);
	smq_recorder_refuse(r->recorder, refusal);
}

static void when_quarantined(void *self, const struct smq_quarantined *what)
{
	struct record *r = self;
	int64_t now = tool_now_ms();
	if (now - r->lines_since_ms >= 1000) {
		if (r->lines_held)
			report_line(&r->tool.report, "... and %llu more in quarantine",
				    (unsigned long long)r->lines_held);
		r->lines_since_ms = now;
		r->lines = r->lines_held = 0;
	}
	if (r->lines++ >= LINES_PER_S) {
		r->lines_held++;
		return;
	}
	report_line(&r->tool.report, "quarantine: %s%s%s from %s on topic %s", what->reason, *what->detail ? ": " : "",
		    what->detail, report_shown(what->sender), report_shown(what->topic));
}

static void when_proof(void *self, const struct smq_message *m, smq_err err)
{
	struct record *r = self;
	smq_recorder_prove(r->recorder, m, err);
}

static void when_witness(void *self, const struct smq_witness *witness)
{
	struct record *r = self;
	smq_recorder_witness(r->recorder, witness);
}

static bool enough(const struct record *r)
{
	int64_t count = r->tool.s.count;
	return count && smq_recorder_counts(r->recorder).stored >= (uint64_t)count;
}

static smq_err before_ack(void *self)
{
	struct record *r = self;
	uint64_t commits = smq_recorder_counts(r->recorder).commits;
	smq_err err = smq_recorder_commit(r->recorder);
	r->stuck = err != SMQ_OK;
	if (smq_recorder_counts(r->recorder).commits > commits)
		r->durable_s = (int64_t)time(NULL);
	if (err) {
		const char *why = smq_recorder_why(r->recorder);
		report_line(&r->tool.report, "nothing is acknowledged until it can be stored: %s%s%s",
			    smq_err_text(err), *why ? ": " : "", report_shown(why));
	} else if (enough(r)) {
		tool_end(&r->tool, 0);
	}
	return err;
}

static void when_event(void *self, const struct smq_event *event)
{
	struct record *r = self;
	tool_trust_event(&r->tool, event);
	tool_group_event(&r->tool, event);
}

/* ---- subscriptions ---- */

static void when_subscribed(void *self, int id, const int *reasons, size_t count)
{
	struct record *r = self;
	struct tool *t = &r->tool;
	(void)id;
	if (count == 0 || reasons[0] < 128)
		return;
	report_line(&t->report, "the broker refused a subscription: %s", tool_reason((int)t->s.protocol, reasons[0]));
	if (++r->refused_subscriptions == t->s.topics.count)
		tool_end(t, t->s.protocol == 5 ? reasons[0] : smq_err_exit(SMQ_ERR_NOT_AUTHORIZED));
}

static void when_ready(struct tool *t)
{
	struct record *r = (struct record *)t;
	if (r->subscribed)
		return;
	r->subscribed = true;
	for (size_t i = 0; i < t->s.topics.count; i++) {
		char shared[512];
		const char *filter = t->s.topics.items[i];
		int id;
		if (r->share) {
			snprintf(shared, sizeof shared, "$share/%s/%s", r->share, filter);
			filter = shared;
		}
		smq_err err = smq_client_subscribe(t->client, filter, 1, NULL, 0, &id);
		if (err) {
			report_line(&t->report, "%s: %s", report_shown(filter), smq_err_text(err));
			tool_end(t, smq_err_exit(err));
		}
	}
}

/* ---- the tool ---- */

static void write_counts(struct smq_json *j, const void *of)
{
	const struct smq_record_counts *c = of;
	const struct {
		const char *name;
		uint64_t number;
	} rows[] = { { "stored", c->stored },   { "repeated", c->repeated }, { "quarantined", c->quarantined },
		     { "refused", c->refused }, { "commits", c->commits },   { "failed_commits", c->failed_commits },
		     { "settled", c->settled } };
	smq_json_object(j);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		smq_json_key(j, rows[i].name);
		smq_json_uint(j, rows[i].number);
	}
	smq_json_end(j);
}

static void print_counts(const struct record *r)
{
	struct smq_record_counts c = smq_recorder_counts(r->recorder);
	if (r->json) {
		if (print_json(stdout, write_counts, &c) != SMQ_OK)
			report_line(&r->tool.report, "standard output: %s", smq_err_text(SMQ_ERR_IO));
		return;
	}
	printf("stored %llu, stored before %llu, quarantined %llu, refused %llu", (unsigned long long)c.stored,
	       (unsigned long long)c.repeated, (unsigned long long)c.quarantined, (unsigned long long)c.refused);
	if (c.settled)
		printf(", of earlier ones proven %llu", (unsigned long long)c.settled);
	puts("");
}

/* ---- /metrics and /healthz ---- */

static size_t put_metrics(void *self, char *room, size_t len)
{
	const struct record *r = self;
	const struct smq_record_counts c = smq_recorder_counts(r->recorder);
	const struct smq_counts m = r->tool.client ? smq_client_counts(r->tool.client) : (struct smq_counts){ 0 };
	const struct {
		const char *name, *kind, *help;
		int64_t value;
	} rows[] = {
		{ "online", "gauge", "Whether the broker has accepted us.",
		  r->tool.client && smq_client_connected(r->tool.client) },
		{ "stored_total", "counter", "Records stored.", (int64_t)c.stored },
		{ "repeated_total", "counter", "Records that were stored before.", (int64_t)c.repeated },
		{ "quarantined_total", "counter", "Records put into quarantine.", (int64_t)c.quarantined },
		{ "refused_total", "counter", "Messages that did not open.", (int64_t)c.refused },
		{ "settled_total", "counter", "Records of an earlier run that a checkpoint has proven since.",
		  (int64_t)c.settled },
		{ "missing_total", "counter", "Messages that senders numbered and that did not come.",
		  (int64_t)m.missing },
		{ "reconnects_total", "counter", "Connections after the first.", (int64_t)m.reconnects },
		{ "commits_total", "counter", "Transactions that became durable.", (int64_t)c.commits },
		{ "failed_commits_total", "counter", "Transactions that did not.", (int64_t)c.failed_commits },
		{ "durable_seconds", "gauge", "When the last transaction became durable, Unix time; 0: none so far.",
		  r->durable_s },
	};
	size_t at = 0;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		int n =
		    snprintf(room + at, len - at,
			     "# HELP sealmq_record_%s %s\n# TYPE sealmq_record_%s %s\nsealmq_record_%s %" PRId64 "\n",
			     rows[i].name, rows[i].help, rows[i].name, rows[i].kind, rows[i].name, rows[i].value);
		if (n < 0 || (size_t)n >= len - at)
			return 0;
		at += (size_t)n;
	}
	return at;
}

static bool is_healthy(void *self, char *ret_why, size_t room)
{
	const struct record *r = self;
	const char *why = r->stuck                                                   ? "what comes cannot be stored"
			  : !r->tool.client || !smq_client_connected(r->tool.client) ? "no connection to the broker"
										     : NULL;
	if (why)
		snprintf(ret_why, room, "%s", why);
	return !why;
}

static bool make_page(struct record *r)
{
	const struct smq_status_page page = { r, put_metrics, is_healthy };
	const char *why = NULL;
	char *end;
	if (!r->port)
		return true;
	long port = strtol(r->port, &end, 10);
	smq_err err = *r->port >= '0' && *r->port <= '9' && *end == 0 && port >= 1 && port <= 65535
			  ? smq_status_new(&page, (int)port, &r->status, &why)
			  : SMQ_ERR_USAGE;
	if (err == SMQ_OK)
		return true;
	report_line(&r->tool.report, "%s", why ? why : "--metrics-port takes a number from 1 to 65535");
	tool_end(&r->tool, smq_err_exit(err));
	return false;
}

static int64_t page_due(const struct record *r)
{
	int64_t due = tool_now_ms() + 1000;
	return r->status && due < r->timeout_ms ? due : r->timeout_ms;
}

static bool read_threads(struct record *r)
{
	char *end;
	if (!r->threads)
		return true;
	long n = strtol(r->threads, &end, 10);
	bool good = *r->threads >= '0' && *r->threads <= '9' && *end == 0 && n <= THREADS_MAX;
	if (good)
		r->options.verify_threads = (int)n;
	else
		report_line(&r->tool.report, "--verify-threads takes a number from 0 to %d", THREADS_MAX);
	return good;
}

static bool set_up(struct record *r)
{
	struct tool *t = &r->tool;
	const char *why = NULL;
	if (!read_threads(r)) {
		tool_end(t, smq_err_exit(SMQ_ERR_USAGE));
		return false;
	}
	if (!t->realm) {
		report_line(&t->report, "what is stored was sealed: a realm is needed, --plain is not for here");
		tool_end(t, smq_err_exit(SMQ_ERR_USAGE));
		return false;
	}
	r->options.evidence = (r->options.evidence || r->options.require_proof) && !r->no_evidence;
	r->options.self = r;
	r->options.on_quarantined = when_quarantined;
	smq_err err = smq_recorder_open(&r->options, &r->recorder, &why);
	if (err) {
		report_line(&t->report, "%s", why ? report_shown(why) : smq_err_text(err));
		tool_end(t, smq_err_exit(err));
		return false;
	}
	smq_recorder_prepare(r->recorder, &t->options);
	if (!t->options.client_id) {
		snprintf(r->id, sizeof r->id, "record-%s", smq_realm_member(t->realm));
		t->options.client_id = r->id;
	}
	if (!make_page(r))
		return false;
	t->needs = smq_needs_new("record");
	smq_recorder_needs(r->recorder, t->needs);
	if (r->status)
		smq_needs_listen(t->needs);
	t->report.json = r->json;
	t->options.any_peer = false;
	t->options.plain = false;
	t->keep_trying = true;
	t->on_ready = when_ready;
	t->options.on_message = when_message;
	t->options.on_refused = when_refused;
	t->options.on_proof = when_proof;
	t->options.on_witness = when_witness;
	t->options.before_ack = before_ack;
	t->options.on_subscribed = when_subscribed;
	t->options.on_event = when_event;
	return true;
}

static void loop(struct record *r)
{
	struct tool *t = &r->tool;
	r->timeout_ms = t->s.timeout_s ? tool_now_ms() + t->s.timeout_s * 1000 : INT64_MAX;
	while (!t->ending) {
		tool_wait(t, r->status ? smq_status_fd(r->status) : -1, page_due(r));
		if (r->status)
			smq_status_run(r->status);
		/* what became known without a message, as time went by */
		before_ack(r);
		if (!t->ending && tool_signals())
			tool_end(t, 0);
		if (!t->ending && tool_now_ms() >= r->timeout_ms)
			tool_end(t, t->s.count ? smq_err_exit(SMQ_ERR_TIMEOUT) : 0);
	}
}

static int finish(struct record *r)
{
	smq_status_free(r->status);
	/* the last messages come while the connection is closed */
	int status = tool_finish(&r->tool);
	if (r->recorder) {
		smq_err err = smq_recorder_commit(r->recorder);
		print_counts(r);
		if (err && status == 0)
			status = smq_err_exit(err);
		smq_recorder_free(r->recorder);
	}
	return status;
}

int cmd_record(int argc, char **argv)
{
	struct record *r = mem_array(NULL, 1, sizeof *r);
	bool help = false;
	memset(r, 0, sizeof *r);
	smq_record_options_init(&r->options);
	int status = smq_err_exit(SMQ_ERR_USAGE);
	if (!split_options(r, argc, argv, &argc, &help)) {
		free(r);
		return status;
	}
	argv[argc] = NULL;
	if (help || !r->options.store) {
		fputs(help ? usage : "sealmq record: --store says where to; `sealmq record --help` tells more\n",
		      help ? stdout : stderr);
		free(r);
		return help ? 0 : status;
	}
	if (tool_start_as(&r->tool, "sealmq record", false, argc, argv) && set_up(r) && tool_connect(&r->tool))
		loop(r);
	status = finish(r);
	free(r);
	return status;
}
