/* The simulator: schedules out of seeds, and what becomes of them. */
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim.h"

/* ---- schedules ---- */

static const struct scenario *const scenarios[] = { &scenario_sessions, &scenario_static, &scenario_keyed,
						    &scenario_kept, &scenario_served };

static uint8_t draw_kind(const struct sim *s, struct dice *d)
{
	size_t count = bus_op_count + s->scenario->op_count, kind = 0;
	uint64_t total = 0;
	for (size_t i = 0; i < count; i++)
		total += sim_op_of(s, i)->weight;
	uint64_t at = dice_below(d, total);
	while (at >= sim_op_of(s, kind)->weight)
		at -= sim_op_of(s, kind++)->weight;
	return (uint8_t)kind;
}

/* One schedule in 64 is with real cryptography. */
static void make_schedule(struct sim *s, uint64_t seed, const struct scenario *only)
{
	struct dice d = { .state = seed * UINT64_C(0xd1342543de82ef95) + 1 };
	s->seed = seed;
	s->scenario = scenarios[dice_below(&d, SMQ_COUNT(scenarios))];
	if (only)
		s->scenario = only;
	s->real = dice_one_in(&d, 64);
	s->op_count = 20 + dice_below(&d, SIM_OPS_MAX - 20 + 1);
	for (size_t i = 0; i < s->op_count; i++)
		s->ops[i] = (struct op){ .kind = draw_kind(s, &d), .chance = dice_roll(&d) };
}

static void act(struct sim *s)
{
	struct dice d = { .state = s->seed ^ UINT64_C(0xc0ffee) };
	s->at = -1;
	s->scenario->up(s, &d);
	for (size_t i = 0; i < s->op_count; i++) {
		const struct op *op = &s->ops[i];
		if (op->off)
			continue;
		s->at = (int)i;
		if (s->verbose)
			printf("%zu %s\n", i, sim_op_of(s, op->kind)->name);
		d.state = op->chance;
		sim_op_of(s, op->kind)->run(s, &d);
		s->scenario->tick(s);
	}
	s->at = -2;
	memset(s->cut_off, 0, sizeof(s->cut_off));
	memset(s->skew_ms, 0, sizeof(s->skew_ms));
	bus_deliver_all(s);
	s->scenario->tick(s);
	s->scenario->calm(s);
	s->scenario->down(s);
	watch_end(s);
}

/* Whether the schedule holds. A failed one leaves its memory behind. */
static bool run(struct sim *s)
{
	sim_begin(s);
	if (setjmp(s->failed))
		return false;
	act(s);
	return true;
}

/* ---- shrinking ---- */

static bool fails_without(struct sim *s, size_t from, size_t to)
{
	bool was[SIM_OPS_MAX];
	for (size_t i = 0; i < s->op_count; i++) {
		was[i] = s->ops[i].off;
		s->ops[i].off |= i >= from && i < to;
	}
	if (!run(s))
		return true;
	for (size_t i = 0; i < s->op_count; i++)
		s->ops[i].off = was[i];
	return false;
}

/* Leaves out whatever the failure does not need: halves first, single operations last. */
static void shrink(struct sim *s)
{
	for (size_t step = s->op_count; step > 0; step /= 2) {
		for (size_t i = 0; i < s->op_count; i += step)
			fails_without(s, i, i + step);
	}
	(void)run(s);
}

static void print_kept(const struct sim *s)
{
	const char *comma = "";
	size_t kept = 0;
	for (size_t i = 0; i < s->op_count; i++) {
		if (s->ops[i].off)
			continue;
		printf("%s%zu", comma, i);
		comma = ",";
		kept++;
	}
	if (kept == 0)
		printf("none");
}

static void report(struct sim *s)
{
	printf("seed %llu, %s%s: %s\n", (unsigned long long)s->seed, s->scenario->name, s->real ? ", real" : "",
	       s->failure);
	shrink(s);
	printf("again, with what it takes: ./run sim --scenario %s --seed %llu --only ", s->scenario->name,
	       (unsigned long long)s->seed);
	print_kept(s);
	printf(" --verbose\n");
}

/* ---- the command line ---- */

struct request {
	uint64_t first, count;
	unsigned jobs;
	const struct scenario *scenario;
	const char *only;
	bool verbose, seed_given;
};

static void keep_only(struct sim *s, const char *list)
{
	for (size_t i = 0; i < s->op_count; i++)
		s->ops[i].off = true;
	while (strcmp(list, "none") != 0 && *list) {
		char *end;
		unsigned long i = strtoul(list, &end, 10);
		if (i < s->op_count)
			s->ops[i].off = false;
		list = *end == ',' ? end + 1 : end + strlen(end);
	}
}

static struct sim the_sim;

static int run_one(const struct request *q)
{
	struct sim *s = &the_sim;
	make_schedule(s, q->first, q->scenario);
	s->verbose = q->verbose;
	if (q->only)
		keep_only(s, q->only);
	bool good = run(s);
	printf("seed %llu, %s%s: trace %016llx, %llu opened, %s%s\n", (unsigned long long)q->first, s->scenario->name,
	       s->real ? ", real" : "", (unsigned long long)s->trace, (unsigned long long)s->delivered,
	       good ? "holds" : "FAILS: ", good ? "" : s->failure);
	return good ? 0 : 1;
}

/* Every jobs-th seed from this one on; ends at the first failure. Every 97th is run twice: the same trace again. */
static int run_share(const struct request *q, unsigned share)
{
	struct sim *s = &the_sim;
	uint64_t opened = 0;
	for (uint64_t n = share; n < q->count; n += q->jobs) {
		make_schedule(s, q->first + n, q->scenario);
		bool good = run(s);
		uint64_t once = s->trace;
		if (good && n % 97 == 0 && (!run(s) || s->trace != once)) {
			snprintf(s->failure, sizeof(s->failure), "two runs of one seed differ");
			good = false;
		}
		if (!good) {
			report(s);
			return 1;
		}
		opened += s->delivered;
	}
	printf("# share %u: %llu messages opened\n", share, (unsigned long long)opened);
	return opened > 0 ? 0 : 1;
}

static int run_many(const struct request *q)
{
	int bad = 0, status;
	fflush(stdout);
	for (unsigned share = 0; share < q->jobs; share++) {
		pid_t child = fork();
		if (child == 0) {
			int code = run_share(q, share);
			fflush(stdout);
			_exit(code);
		}
		bad |= child < 0;
	}
	while (wait(&status) > 0)
		bad |= status != 0;
	printf("%llu schedules from seed %llu: %s\n", (unsigned long long)q->count, (unsigned long long)q->first,
	       bad ? "FAILED" : "all hold");
	return bad;
}

static int usage(void)
{
	fprintf(stderr, "usage: sim [--seed N [--only LIST] [--verbose]] [--first N] [--count N] [--jobs N]\n"
			"           [--scenario sessions|static|keyed|kept|served]\n");
	return 2;
}

static bool take_option(struct request *q, const char *name, const char *value)
{
	if (strcmp(name, "--scenario") == 0) {
		for (size_t i = 0; i < SMQ_COUNT(scenarios); i++)
			q->scenario = strcmp(scenarios[i]->name, value) == 0 ? scenarios[i] : q->scenario;
		return q->scenario != NULL;
	}
	if (strcmp(name, "--only") == 0) {
		q->only = value;
		return true;
	}
	uint64_t n = strtoull(value, NULL, 10);
	if (strcmp(name, "--seed") == 0) {
		q->seed_given = true;
		q->first = n;
	} else if (strcmp(name, "--first") == 0) {
		q->first = n;
	} else if (strcmp(name, "--count") == 0) {
		q->count = n;
	} else if (strcmp(name, "--jobs") == 0) {
		q->jobs = n > 0 && n <= 64 ? (unsigned)n : 1;
	} else {
		return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	struct request q = { .first = 1, .count = 1000, .jobs = 1 };
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--verbose") == 0)
			q.verbose = true;
		else if (i + 1 >= argc || !take_option(&q, argv[i], argv[i + 1]))
			return usage();
		else
			i++;
	}
	sim_identities_init();
	int code = q.seed_given ? run_one(&q) : run_many(&q);
	sim_identities_done();
	return code;
}
