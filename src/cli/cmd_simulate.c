/* sealmq simulate: what rekeying costs a group, without a network. */
#include "cli/cmd_simulate.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sealmq/simulate.h>

#include "cli/print.h"

enum { SIZES_MAX = 16 };

static const char usage[] = "usage: sealmq simulate [--members N,N,...] [options]\n"
			    "\n"
			    "A key server and its members in one process: the real key tree with real\n"
			    "cryptography, no network. For each size of group, what a join, a leave, a\n"
			    "rotation, a batch of leaves and a long sleep cost in node messages, bytes and\n"
			    "processor time. Every followed member is checked to arrive at the group's key.\n"
			    "The signed manifest that announces an epoch comes on top, one message each.\n"
			    "\n"
			    "  --members N,N,...  sizes of the group, 100 to 1000000 (default: 100,1000,10000,100000)\n"
			    "  --rounds N         repeats of each single operation (default: 20)\n"
			    "  --batch N          leaves in the batch (default: a hundredth of the members)\n"
			    "  --followed N       members that really follow (default: 200)\n"
			    "  --seed N           for the same run again (default: 1)\n"
			    "  --json             the result as JSON\n"
			    "  --help             this text\n";

static int wrong_use(const char *what, const char *given)
{
	fprintf(stderr, "sealmq simulate: %s", what);
	if (given) {
		fputs(": ", stderr);
		print_cell(stderr, given, 0, 60);
	}
	fputs("; `sealmq simulate --help` tells more\n", stderr);
	return smq_err_exit(SMQ_ERR_USAGE);
}

static bool read_number(const char *text, uint64_t *ret_number)
{
	char *end;
	errno = 0;
	unsigned long long n = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno)
		return false;
	*ret_number = n;
	return true;
}

static bool read_sizes(char *list, uint64_t sizes[SIZES_MAX], size_t *ret_count)
{
	size_t count = 0;
	for (char *word; (word = strsep(&list, ",")) != NULL; count++) {
		if (count == SIZES_MAX || !read_number(word, &sizes[count]))
			return false;
		if (sizes[count] < 100 || sizes[count] > SMQ_SIMULATE_MEMBERS_MAX)
			return false;
	}
	*ret_count = count;
	return true;
}

static void show_progress(void *self, const char *what, double done)
{
	const uint64_t *members = self;
	fprintf(stderr, "\r%llu members: %-16s %3.0f %%", (unsigned long long)*members, what, 100 * done);
}

static void print_table(const struct smq_simulation *s)
{
	printf("%llu members, tree of height %u; %.0f bytes of the key server's memory for each\n",
	       (unsigned long long)s->members, s->height, (double)s->server_memory / (double)s->members);
	printf("  %-16s %9s %7s %11s %10s   %21s %17s %10s\n", "operation", "messages", "wraps", "bytes", "server us",
	       "messages a member", "bytes a member", "its us");
	for (size_t i = 0; i < s->row_count; i++) {
		const struct smq_simulation_row *r = &s->rows[i];
		printf("  %-16s %9.1f %7.1f %11.0f %10.1f   %8.2f (most %4llu) %7.0f (%7llu) %10.1f\n", r->operation,
		       r->messages, r->wraps, r->bytes, r->server_us, r->member_messages,
		       (unsigned long long)r->member_messages_max, r->member_bytes,
		       (unsigned long long)r->member_bytes_max, r->member_us);
	}
	printf("  one leave by unicast: %llu messages, %llu bytes\n\n", (unsigned long long)(s->members - 1),
	       (unsigned long long)s->unicast_bytes);
}

struct results {
	const struct smq_simulation *runs;
	size_t count;
};

static void put_number(struct smq_json *j, const char *key, double value)
{
	smq_json_key(j, key);
	smq_json_double(j, value);
}

static void put_row(struct smq_json *j, const struct smq_simulation_row *r)
{
	smq_json_object(j);
	smq_json_key(j, "operation");
	smq_json_string(j, smq_span_str(r->operation));
	put_number(j, "rounds", (double)r->rounds);
	put_number(j, "messages", r->messages);
	put_number(j, "bytes", r->bytes);
	put_number(j, "wraps", r->wraps);
	put_number(j, "server_us", r->server_us);
	put_number(j, "member_messages", r->member_messages);
	put_number(j, "member_messages_max", (double)r->member_messages_max);
	put_number(j, "member_bytes", r->member_bytes);
	put_number(j, "member_bytes_max", (double)r->member_bytes_max);
	put_number(j, "member_us", r->member_us);
	smq_json_end(j);
}

static void put_results(struct smq_json *j, const void *of)
{
	const struct results *results = of;
	smq_json_array(j);
	for (size_t i = 0; i < results->count; i++) {
		const struct smq_simulation *s = &results->runs[i];
		smq_json_object(j);
		put_number(j, "members", (double)s->members);
		put_number(j, "height", s->height);
		put_number(j, "server_memory", (double)s->server_memory);
		put_number(j, "member_memory", (double)s->member_memory);
		put_number(j, "unicast_bytes", (double)s->unicast_bytes);
		smq_json_key(j, "operations");
		smq_json_array(j);
		for (size_t k = 0; k < s->row_count; k++)
			put_row(j, &s->rows[k]);
		smq_json_end(j);
		smq_json_end(j);
	}
	smq_json_end(j);
}

static int run_all(struct smq_simulation_options *o, const uint64_t *sizes, size_t count, bool json)
{
	static struct smq_simulation runs[SIZES_MAX];
	bool show = isatty(STDERR_FILENO);
	for (size_t i = 0; i < count; i++) {
		uint64_t members = sizes[i];
		o->members = members;
		smq_err err = smq_simulate(o, show ? show_progress : NULL, &members, &runs[i]);
		if (show)
			fputs("\r\033[K", stderr);
		if (err == SMQ_ERR_USAGE)
			return wrong_use("so many rounds, followed and leaving members do not fit into the group",
					 NULL);
		if (err != SMQ_OK) {
			fprintf(stderr, "sealmq simulate: %s\n", smq_err_text(err));
			return smq_err_exit(err);
		}
		if (!json)
			print_table(&runs[i]);
	}
	if (json)
		return smq_err_exit(print_json(stdout, put_results, &(struct results){ runs, count }));
	return 0;
}

int cmd_simulate(int argc, char **argv)
{
	static const struct option options[] = {
		{ "members", required_argument, NULL, 'm' }, { "rounds", required_argument, NULL, 'r' },
		{ "batch", required_argument, NULL, 'b' },   { "followed", required_argument, NULL, 'f' },
		{ "seed", required_argument, NULL, 's' },    { "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },          { NULL, 0, NULL, 0 },
	};
	struct smq_simulation_options o = { .seed = 1 };
	uint64_t sizes[SIZES_MAX] = { 100, 1000, 10000, 100000 };
	size_t count = 4;
	bool json = false;
	optind = 1;
	opterr = 0;
	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		uint64_t *number = c == 'r'   ? &o.rounds
				   : c == 'b' ? &o.batch
				   : c == 'f' ? &o.followed
				   : c == 's' ? &o.seed
					      : NULL;
		if (c == 'h')
			return fputs(usage, stdout) < 0;
		if (c == 'j')
			json = true;
		else if (c == 'm' && !read_sizes(optarg, sizes, &count))
			return wrong_use("--members takes numbers from 100 to 1000000, with commas", NULL);
		else if (number && !read_number(optarg, number))
			return wrong_use("not a number", optarg);
		else if (c == '?')
			return wrong_use("unknown or incomplete option", argv[optind - 1]);
	}
	if (optind < argc)
		return wrong_use("unexpected argument", argv[optind]);
	return run_all(&o, sizes, count, json);
}
