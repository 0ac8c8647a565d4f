/* sealmq group: groups, their policies and their members, asked of the key server. */
#include "cli/cmd_group.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sealmq/admin.h>
#include <sealmq/json.h>

#include "cli/cmd_group_file.h"
#include "cli/own_options.h"
#include "cli/print.h"
#include "cli/tool.h"

static const char usage[] =
    "sealmq group - make and keep groups: policies, members, rotation, expulsion\n\n"
    "usage: sealmq group create  NAME --filter FILTER --publish PATTERN --subscribe PATTERN [options]\n"
    "       sealmq group policy  NAME [--filter ... options: replaces the policy; without: shows it]\n"
    "       sealmq group list | show NAME | members NAME | rotate NAME\n"
    "       sealmq group expel   NAME MEMBER | expel --everywhere MEMBER\n"
    "       sealmq group register MEMBER KEYFILE | register --file KEYS.csv   keys in place of certificates\n"
    "       sealmq group unregister MEMBER | registered\n"
    "       sealmq group create|next NAME --realm DIR --members A,B,...   without a key server: a key file\n\n"
    "  sealmq group create telemetry --realm plant/members/ops --tls --mode update \\\n"
    "         --filter 'plant/#' --publish 'fridge-*' --subscribe '*'\n"
    "  sealmq group expel telemetry fridge-07 --realm plant/members/ops --tls\n\n"
    "The policy is signed with the realm's certificate, which has the role admin; the key server acts within it\n"
    "and cannot widen it. Members check the signature themselves.\n\n"
    "Policy:\n"
    "  --filter FILTER       topics that the group's keys are for; repeatable\n"
    "  --mode MODE           static: one key until rotated; update: a new one at every join and leave; slotted: a\n"
    "                        key for each time slot. Default static\n"
    "  --publish PATTERN     names that may publish, with * and ?; repeatable; ROLE:PATTERN for another role than\n"
    "                        member (keyserver, admin, any). Without one nobody may\n"
    "  --subscribe PATTERN   names that may subscribe, likewise\n"
    "  --command WHO=WHOM    who may command whom: patterns, as admin:*=fridge-*; repeatable; else nobody may\n"
    "  --rotate SECONDS      a new key this often (default: by hand)\n"
    "  --slot-ms MS          length of a slot (10000); --slot-levels N: 2^N slots make a tree (16)\n"
    "  --algorithm NAME      A128GCM (default), A256GCM, ChaCha20-Poly1305\n"
    "  --proof KIND          none (default), every, checkpoint; --proof-messages N (32), --proof-seconds S (2)\n"
    "  --batch-ms MS         joins and leaves within it become one epoch (100)\n"
    "  --activation-ms MS    from publishing an epoch to its use (200)\n"
    "  --grace-ms MS         for which a passed epoch still opens (10000)\n"
    "  --validity SECONDS    how long members go on without hearing from a key server (86400)\n"
    "  --lease SECONDS       the longest stay that a join is granted (default: until the certificate expires)\n"
    "  --history WHAT        none (default): newcomers read nothing older; join: from their first join on;\n"
    "                        N: the last N epochs too, at most 64\n"
    "  --members-max N       (100000)\n"
    "  --template            NAME is a pattern: groups of such names come into being at their first join;\n"
    "                        a level {group} in a filter stands for the name\n"
    "  --number N            the policy's number (default: one more than the one in force)\n\n";
static const char usage_rest[] =
    "Registered keys (members too small for certificates, `sealmq ca raw`):\n"
    "  register              MEMBER's public key, KEYFILE (P-256, PEM), stands for its name from now on: policies "
    "admit\n"
    "                        it by that name, like a member with a certificate. The key server's own certificate\n"
    "                        must be one of `sealmq ca issue --static-dh`\n"
    "  --file KEYS.csv       many of them: a first line `member,key`, then a name and a public key in each row: a\n"
    "                        PEM file, named from where KEYS.csv lies, or its base64 in one line. All or none:\n"
    "                        each wrong row is told with its line. `-` is standard input\n"
    "  unregister            takes it back, and expels the member from every group\n"
    "  registered            lists them\n\n"
    "Static groups without a key server (create, next):\n"
    "  --members A,B,...     makes DIR/groups/NAME.key: copy it to the groups/ directories of the others over a\n"
    "                        channel that keeps secrets. Whoever holds it reads the group's messages and can seal\n"
    "                        as any of its members. `next` replaces it by one of the next epoch: the way to expel\n"
    "                        a member is to give the next key to the others only\n\n"
    "Other:\n"
    "  --keyserver NAME      the key server's certified name (default: whoever has the role)\n"
    "  --wait SECONDS        for its answer (10)\n"
    "  --json                results as JSON\n"
    "  --help                this text\n\n"
    "Options of `sealmq sub` that say where the broker is, how to get in, and --realm mean the same here.\n";

static void print_usage(FILE *to)
{
	fputs(usage, to);
	fputs(usage_rest, to);
}

struct group {
	struct tool tool;
	smq_admin *admin;
	struct smq_group_policy p;
	struct list filters, publishers, subscribers, commanders;
	uint64_t levels, wait_s;
	const char *keyserver, *file;
	uint64_t bad_rows;
	bool everywhere, json, help;
	const char *words[2];
	size_t word_count;
	bool first; /* of a JSON list */
};

static int failed(const struct group *g, smq_err err, const char *why)
{
	report_line(&g->tool.report, "%s", why && *why ? report_shown(why) : smq_err_text(err));
	return smq_err_exit(err);
}

static int wrong_use(const struct group *g, const char *why)
{
	report_line(&g->tool.report, "%s; `sealmq group --help` tells more", why);
	return smq_err_exit(SMQ_ERR_USAGE);
}

static void time_text(int64_t ms, char text[32])
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;
	if (ms == INT64_MAX || !gmtime_r(&seconds, &tm) || strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		snprintf(text, 32, "-");
}

/* ---- JSON ---- */

static void json_text(struct smq_json *j, const char *key, const char *text)
{
	smq_json_key(j, key);
	smq_json_str(j, text);
}

static void json_number(struct smq_json *j, const char *key, uint64_t value)
{
	smq_json_key(j, key);
	smq_json_uint(j, value);
}

static void json_list(struct smq_json *j, const char *key, const char *const *items, size_t count)
{
	smq_json_key(j, key);
	smq_json_array(j);
	for (size_t i = 0; i < count; i++)
		smq_json_str(j, items[i]);
	smq_json_end(j);
}

static void json_policy(struct smq_json *j, const struct smq_group_policy *p)
{
	smq_json_object(j);
	json_number(j, "number", p->number);
	json_list(j, "filters", p->filters, p->filter_count);
	json_text(j, "mode", p->mode);
	json_number(j, "rotate_s", p->rotate_s);
	if (p->slot_ms) {
		json_number(j, "slot_ms", p->slot_ms);
		json_number(j, "slot_levels", p->slot_levels);
	}
	json_text(j, "algorithm", p->algorithm);
	json_text(j, "proof", p->proof);
	json_list(j, "publishers", p->publishers, p->publisher_count);
	json_list(j, "subscribers", p->subscribers, p->subscriber_count);
	json_list(j, "commanders", p->commanders, p->commander_count);
	json_number(j, "batch_ms", p->batch_ms);
	json_number(j, "activation_ms", p->activation_ms);
	json_number(j, "grace_ms", p->grace_ms);
	json_number(j, "validity_s", p->validity_s);
	json_number(j, "lease_s", p->lease_s);
	json_text(j, "history", p->history);
	json_number(j, "members_max", p->members_max);
	smq_json_end(j);
}

static void write_group(struct smq_json *j, const void *of)
{
	const struct smq_group_info *i = of;
	char when[32];
	smq_json_object(j);
	json_text(j, "group", i->group);
	json_text(j, "mode", i->mode);
	json_number(j, "epoch", i->epoch);
	json_number(j, "members", i->members);
	if (i->policy.group) {
		json_number(j, "tree_height", i->height);
		time_text(i->activate_at_ms, when);
		json_text(j, "activated", when);
		time_text(i->expires_ms, when);
		json_text(j, "expires", when);
		smq_json_key(j, "policy");
		json_policy(j, &i->policy);
	}
	smq_json_end(j);
}

static void write_member(struct smq_json *j, const void *of)
{
	const struct smq_group_member_info *m = of;
	char when[32];
	smq_json_object(j);
	json_text(j, "name", m->name);
	json_number(j, "sender_id", m->sender_id);
	smq_json_key(j, "publishes");
	smq_json_bool(j, m->publishes);
	smq_json_key(j, "subscribes");
	smq_json_bool(j, m->subscribes);
	json_text(j, "by", m->by_key ? "key" : "certificate");
	time_text(m->from_ms, when);
	json_text(j, "from", when);
	time_text(m->until_ms, when);
	json_text(j, "until", when);
	smq_json_end(j);
}

/* ---- for people ---- */

static void print_list(const char *what, const char *const *items, size_t count)
{
	printf("%-12s", what);
	for (size_t i = 0; i < count; i++)
		printf("%s%s", i ? ", " : "", report_shown(items[i]));
	puts(count ? "" : "nobody");
}

static void print_policy(const struct smq_group_policy *p)
{
	printf("%-12s%" PRIu64 ", %s, proof %s\n", "policy", p->number, p->algorithm, p->proof);
	print_list("topics", p->filters, p->filter_count);
	print_list("publish", p->publishers, p->publisher_count);
	print_list("subscribe", p->subscribers, p->subscriber_count);
	print_list("command", p->commanders, p->commander_count);
	printf("%-12s", "rotation");
	if (p->rotate_s)
		printf("every %" PRIu64 " s", p->rotate_s);
	else
		printf("by hand");
	if (p->slot_ms)
		printf(", slots of %" PRIu64 " ms", p->slot_ms);
	printf("; batch %" PRIu64 " ms, activation %" PRIu64 " ms, grace %" PRIu64 " ms\n", p->batch_ms,
	       p->activation_ms, p->grace_ms);
	printf("%-12s", "stay");
	if (p->lease_s)
		printf("at most %" PRIu64 " s", p->lease_s);
	else
		printf("until the certificate expires");
	printf("; history %s; at most %" PRIu64 " members; valid %" PRIu64 " s without a key server\n", p->history,
	       p->members_max, p->validity_s);
}

static void print_group(const struct smq_group_info *i)
{
	char from[32], until[32];
	time_text(i->activate_at_ms, from);
	time_text(i->expires_ms, until);
	printf("%-12s%s, %s\n", "group", report_shown(i->group), i->mode);
	printf("%-12s%" PRIu64 " for %" PRIu64 " members, in use from %s, until %s at the latest\n", "epoch", i->epoch,
	       i->members, from, until);
	print_policy(&i->policy);
}

static void take_group(void *self, const struct smq_group_info *i)
{
	struct group *g = self;
	if (g->json) {
		(void)!print_json(stdout, write_group, i);
		return;
	}
	if (g->first)
		printf("%-24s %-8s %12s %10s\n", "GROUP", "MODE", "EPOCH", "MEMBERS");
	g->first = false;
	print_cell(stdout, i->group, 24, 64);
	printf(" %-8s %12" PRIu64 " %10" PRIu64 "\n", i->mode, i->epoch, i->members);
}

static void take_member(void *self, const struct smq_group_member_info *m)
{
	struct group *g = self;
	char until[32];
	if (g->json) {
		(void)!print_json(stdout, write_member, m);
		return;
	}
	time_text(m->until_ms, until);
	if (g->first)
		printf("%-24s %10s %-10s %-12s %s\n", "MEMBER", "SENDER", "ROLES", "BY", "UNTIL");
	g->first = false;
	print_cell(stdout, m->name, 24, 64);
	printf(" %10" PRIu64 " %-10s %-12s %s\n", m->sender_id,
	       m->publishes && m->subscribes ? "both"
	       : m->publishes                ? "publish"
					     : "subscribe",
	       m->by_key ? "key" : "certificate", until);
}

/* ---- commands ---- */

static bool has_policy(const struct group *g) { return g->filters.count > 0; }

static int set_policy(struct group *g)
{
	const char *why = NULL;
	uint64_t number = 0;
	g->p.group = g->words[0];
	g->p.slot_levels = (unsigned)g->levels;
	g->p.filters = g->filters.items;
	g->p.filter_count = g->filters.count;
	g->p.publishers = g->publishers.items;
	g->p.publisher_count = g->publishers.count;
	g->p.subscribers = g->subscribers.items;
	g->p.subscriber_count = g->subscribers.count;
	g->p.commanders = g->commanders.items;
	g->p.commander_count = g->commanders.count;
	smq_err err = smq_admin_set_policy(g->admin, &g->p, &number, &why);
	if (err != SMQ_OK)
		return failed(g, err, why);
	if (g->json)
		printf("{\"group\":\"%s\",\"policy\":%" PRIu64 "}\n", g->words[0], number);
	else
		printf("%s: policy %" PRIu64 " is in force\n", report_shown(g->words[0]), number);
	return 0;
}

static int show(struct group *g)
{
	const char *why = NULL;
	struct smq_group_info info;
	smq_err err = smq_admin_group(g->admin, g->words[0], &info, &why);
	if (err != SMQ_OK)
		return failed(g, err, why);
	if (g->json)
		return print_json(stdout, write_group, &info) == SMQ_OK ? 0 : smq_err_exit(SMQ_ERR_BUG);
	print_group(&info);
	return 0;
}

static int create(struct group *g)
{
	const char *why = NULL;
	struct smq_group_info info;
	if (!has_policy(g))
		return wrong_use(g, "a group needs --filter FILTER (or, without a key server, --members A,B,...)");
	if (g->publishers.count == 0 || g->subscribers.count == 0)
		return wrong_use(g, "nobody could use it: --publish PATTERN and --subscribe PATTERN");
	smq_err err = g->p.is_template ? SMQ_ERR_NOT_FOUND : smq_admin_group(g->admin, g->words[0], &info, &why);
	if (err == SMQ_OK)
		return failed(g, SMQ_ERR_EXISTS, "there is such a group; `sealmq group policy` changes its policy");
	return err == SMQ_ERR_NOT_FOUND ? set_policy(g) : failed(g, err, why);
}

static int policy(struct group *g) { return has_policy(g) ? set_policy(g) : show(g); }

static int list(struct group *g)
{
	const char *why = NULL;
	smq_err err = smq_admin_groups(g->admin, g, take_group, &why);
	return err == SMQ_OK ? 0 : failed(g, err, why);
}

static int members(struct group *g)
{
	const char *why = NULL;
	smq_err err = smq_admin_members(g->admin, g->words[0], g, take_member, &why);
	return err == SMQ_OK ? 0 : failed(g, err, why);
}

static int done(const struct group *g, smq_err err, const char *why)
{
	if (err != SMQ_OK)
		return failed(g, err, why);
	if (g->json)
		puts("{\"done\":true}");
	return 0;
}

static int rotate(struct group *g)
{
	const char *why = NULL;
	smq_err err = smq_admin_rotate(g->admin, g->words[0], &why);
	return done(g, err, why);
}

static int expel(struct group *g)
{
	const char *why = NULL;
	if (g->word_count != (g->everywhere ? 1u : 2u))
		return wrong_use(g, "expel NAME MEMBER, or expel --everywhere MEMBER");
	const char *member = g->words[g->word_count - 1];
	smq_err err = smq_admin_expel(g->admin, g->everywhere ? NULL : g->words[0], member, &why);
	if (err != SMQ_OK || !why || !*why)
		return done(g, err, why);
	if (g->json)
		puts("{\"done\":true,\"already\":true}");
	else
		printf("%s %s\n", member, report_shown(why));
	return 0;
}

struct bad_row {
	uint64_t line;
	const char *why;
};

static void write_bad_row(struct smq_json *j, const void *of)
{
	const struct bad_row *b = of;
	smq_json_object(j);
	smq_json_key(j, "line");
	smq_json_uint(j, b->line);
	json_text(j, "wrong", b->why);
	smq_json_end(j);
}

static void tell_bad_row(void *self, uint64_t line, const char *why)
{
	struct group *g = self;
	const struct bad_row bad = { line, why };
	g->bad_rows++;
	if (g->json)
		(void)!print_json(stdout, write_bad_row, &bad);
	else
		report_line(&g->tool.report, "%s:%" PRIu64 ": %s", report_shown(g->file), line, why);
}

static int register_file(struct group *g)
{
	const char *why = NULL;
	uint64_t count = 0;
	if (g->word_count != 0)
		return wrong_use(g, "register --file KEYS.csv takes no names");
	smq_err err = smq_admin_register_file(g->admin, g->file, g, tell_bad_row, &count, &why);
	if (err != SMQ_OK)
		return failed(g, err, why);
	if (g->json)
		printf("{\"done\":true,\"registered\":%" PRIu64 "}\n", count);
	else
		printf("%" PRIu64 " keys registered\n", count);
	return 0;
}

static int register_key(struct group *g)
{
	const char *why = NULL;
	if (g->file)
		return register_file(g);
	if (g->word_count != 2)
		return wrong_use(g, "register MEMBER KEYFILE, or register --file KEYS.csv");
	smq_err err = smq_admin_register(g->admin, g->words[0], g->words[1], &why);
	return done(g, err, why);
}

static int unregister(struct group *g)
{
	const char *why = NULL;
	smq_err err = smq_admin_unregister(g->admin, g->words[0], &why);
	return done(g, err, why);
}

static void write_key(struct smq_json *j, const void *of)
{
	const struct smq_registered_info *k = of;
	char when[32];
	smq_json_object(j);
	json_text(j, "name", k->name);
	json_text(j, "kid", k->kid);
	time_text(k->since_ms, when);
	json_text(j, "since", when);
	smq_json_end(j);
}

static void take_key(void *self, const struct smq_registered_info *k)
{
	struct group *g = self;
	char when[32];
	if (g->json) {
		(void)!print_json(stdout, write_key, k);
		return;
	}
	time_text(k->since_ms, when);
	if (g->first)
		printf("%-24s %-8s %s\n", "MEMBER", "KID", "SINCE");
	g->first = false;
	print_cell(stdout, k->name, 24, 64);
	printf(" %-8s %s\n", k->kid, when);
}

static int registered(struct group *g)
{
	const char *why = NULL;
	smq_err err = smq_admin_registered(g->admin, g, take_key, &why);
	return err == SMQ_OK ? 0 : failed(g, err, why);
}

static const struct {
	const char *name;
	int (*run)(struct group *g);
	size_t words; /* at least */
} verbs[] = { { "create", create, 1 },
	      { "policy", policy, 1 },
	      { "list", list, 0 },
	      { "show", show, 1 },
	      { "members", members, 1 },
	      { "rotate", rotate, 1 },
	      { "expel", expel, 1 },
	      { "register", register_key, 0 },
	      { "unregister", unregister, 1 },
	      { "registered", registered, 0 } };

enum { VERBS = sizeof verbs / sizeof verbs[0] };

static bool take_options(struct group *g, int *argc, char **argv)
{
	struct smq_group_policy *p = &g->p;
	const struct own_option own[] = {
		{ "--filter", OWN_LIST, &g->filters, 0 },
		{ "--publish", OWN_LIST, &g->publishers, 0 },
		{ "--subscribe", OWN_LIST, &g->subscribers, 0 },
		{ "--command", OWN_LIST, &g->commanders, 0 },
		{ "--mode", OWN_TEXT, &p->mode, 0 },
		{ "--rotate", OWN_NUMBER, &p->rotate_s, 0 },
		{ "--slot-ms", OWN_NUMBER, &p->slot_ms, 0 },
		{ "--slot-levels", OWN_NUMBER, &g->levels, 20 },
		{ "--algorithm", OWN_TEXT, &p->algorithm, 0 },
		{ "--proof", OWN_TEXT, &p->proof, 0 },
		{ "--proof-messages", OWN_NUMBER, &p->proof_messages, 0 },
		{ "--proof-seconds", OWN_NUMBER, &p->proof_s, 0 },
		{ "--batch-ms", OWN_NUMBER, &p->batch_ms, 0 },
		{ "--activation-ms", OWN_NUMBER, &p->activation_ms, 0 },
		{ "--grace-ms", OWN_NUMBER, &p->grace_ms, 0 },
		{ "--validity", OWN_NUMBER, &p->validity_s, 0 },
		{ "--lease", OWN_NUMBER, &p->lease_s, 0 },
		{ "--history", OWN_TEXT, &p->history, 0 },
		{ "--members-max", OWN_NUMBER, &p->members_max, 0 },
		{ "--template", OWN_FLAG, &p->is_template, 0 },
		{ "--number", OWN_NUMBER, &p->number, 0 },
		{ "--keyserver", OWN_TEXT, &g->keyserver, 0 },
		{ "--wait", OWN_NUMBER, &g->wait_s, 3600 },
		{ "--file", OWN_TEXT, &g->file, 0 },
		{ "--everywhere", OWN_FLAG, &g->everywhere, 0 },
		{ "--json", OWN_FLAG, &g->json, 0 },
		{ "--help", OWN_FLAG, &g->help, 0 },
	};
	return own_options_take("sealmq group", own, sizeof own / sizeof own[0], argc, argv) &&
	       own_words_take("sealmq group", g->words, 2, &g->word_count, argc, argv);
}

static int ask(struct group *g, size_t which)
{
	const char *why = NULL;
	smq_err err = smq_admin_new(&g->tool.options, g->keyserver, (int)g->wait_s * 1000, &g->admin, &why);
	if (err != SMQ_OK)
		return failed(g, err, why);
	int status = verbs[which].run(g);
	smq_admin_free(g->admin);
	return status;
}

static int start(struct group *g, size_t which, int argc, char **argv)
{
	g->tool.report.tool = "sealmq group";
	g->first = true;
	if (!take_options(g, &argc, argv))
		return smq_err_exit(SMQ_ERR_USAGE);
	if (g->help) {
		print_usage(stdout);
		return 0;
	}
	if (g->word_count < verbs[which].words)
		return wrong_use(g, "that takes a name");
	if (tool_start_apart(&g->tool, "sealmq group", argc, argv))
		tool_end(&g->tool, g->tool.realm ? ask(g, which) : wrong_use(g, "--realm DIR says who asks"));
	int status = tool_finish(&g->tool);
	free(g->filters.items);
	free(g->publishers.items);
	free(g->subscribers.items);
	free(g->commanders.items);
	return status;
}

/* --members: no key server is asked. */
static bool is_about_a_file(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "--members", 9) == 0 && (argv[i][9] == 0 || argv[i][9] == '='))
			return true;
	}
	return false;
}

int cmd_group(int argc, char **argv)
{
	static struct group g;
	size_t which = 0;
	if (argc < 2 || strcmp(argv[1], "--help") == 0) {
		print_usage(argc < 2 ? stderr : stdout);
		return argc < 2 ? smq_err_exit(SMQ_ERR_USAGE) : 0;
	}
	if (is_about_a_file(argc, argv))
		return cmd_group_file(argc, argv);
	while (which < VERBS && strcmp(verbs[which].name, argv[1]) != 0)
		which++;
	if (which == VERBS) {
		g.tool.report.tool = "sealmq group";
		return wrong_use(&g, "no such command: create, policy, list, show, members, rotate, expel, register, "
				     "unregister or registered");
	}
	return start(&g, which, argc - 1, argv + 1);
}
