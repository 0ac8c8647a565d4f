/* The simulator: schedules out of seeds, and what becomes of them. */
#include "sim.h"

#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "adapters/crypto_openssl/signer.h"
#include "wire/cbor.h"

/* ---- chance ---- */

uint64_t dice_roll(struct dice *d)
{
	uint64_t x = d->state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

uint64_t dice_below(struct dice *d, uint64_t n) { return dice_roll(d) % n; }

bool dice_one_in(struct dice *d, uint64_t n) { return dice_below(d, n) == 0; }

static smq_err fill(void *self, smq_mspan room)
{
	struct sim *s = self;
	for (size_t i = 0; i < room.len; i++)
		room.p[i] = (uint8_t)(dice_roll(&s->random_dice) >> 11);
	return SMQ_OK;
}

/* ---- people ---- */

enum { IDENTITIES = SIM_NODES };

static struct sim_identity identities[2][IDENTITIES]; /* mocked, real */

static void make_identity(bool real, int i, struct sim_identity *p)
{
	uint8_t secret[SMQ_KEX_LEN] = { 0 }, kid = (uint8_t)(0x40 + i);
	struct smq_writer w = smq_writer_on(smq_mspan_of(p->id_cred, sizeof(p->id_cred)));
	snprintf(p->name, sizeof(p->name), "%c-%s", 'a' + i,
		 i < SIM_MEMBERS    ? "member"
		 : i == SIM_MEMBERS ? "server"
				    : "admin");
	smq_cbor_put_map(&w, 1);
	smq_cbor_put_uint(&w, 4);
	smq_cbor_put_bytes(&w, smq_span_of(&kid, 1));
	p->own.id_cred_full = p->own.id_cred_short = smq_writer_span(&w);
	secret[31] = (uint8_t)(i + 7);
	p->own.dh_curve = SMQ_P256;
	if (real) {
		if (smq_openssl_signer_from_raw(SMQ_P256, secret, &p->own.signer) != SMQ_OK ||
		    smq_openssl_signer_public(&p->own.signer, p->public_key, &p->public_key_len) != SMQ_OK)
			abort();
	} else {
		p->public_key_len = SMQ_PUBLIC_KEY_MAX;
		mock_public((uint8_t)(2 * i + 7), p->public_key);
		mock_signer(p->public_key, &p->own.signer);
	}
	w = smq_writer_on(smq_mspan_of(p->cred, sizeof(p->cred)));
	smq_cbor_put_bytes(&w, smq_span_of(p->public_key, p->public_key_len));
	p->own.cred = smq_writer_span(&w);
}

void sim_identities_init(void)
{
	for (int i = 0; i < 2 * IDENTITIES; i++)
		make_identity(i % 2, i / 2, &identities[i % 2][i / 2]);
}

void sim_identities_done(void)
{
	for (int i = 0; i < IDENTITIES; i++)
		smq_openssl_signer_free(&identities[1][i].own.signer);
}

const struct sim_identity *sim_identity(bool real, int i) { return &identities[real][i]; }

static smq_err resolve(void *self, smq_span id_cred, int64_t now_ms, struct smq_credential *ret_credential)
{
	const struct sim *s = self;
	(void)now_ms;
	for (int i = 0; i < IDENTITIES; i++) {
		const struct sim_identity *p = sim_identity(s->real, i);
		if (!smq_span_equal(id_cred, p->own.id_cred_full))
			continue;
		memset(ret_credential, 0, sizeof(*ret_credential));
		memcpy(ret_credential->name, p->name, sizeof(p->name));
		ret_credential->id[0] = (uint8_t)i;
		ret_credential->roles = i < SIM_MEMBERS    ? SMQ_ROLE_MEMBER
					: i == SIM_MEMBERS ? SMQ_ROLE_KEYSERVER
							   : SMQ_ROLE_ADMIN;
		ret_credential->sig_alg = SMQ_ES256;
		ret_credential->dh_curve = SMQ_P256;
		ret_credential->expires_ms = INT64_MAX;
		memcpy(ret_credential->public_key, p->public_key, p->public_key_len);
		ret_credential->public_key_len = p->public_key_len;
		memcpy(ret_credential->cred, p->own.cred.p, p->own.cred.len);
		ret_credential->cred_len = p->own.cred.len;
		return SMQ_OK;
	}
	return SMQ_ERR_CREDENTIAL;
}

struct smq_now sim_now(const struct sim *s, int member)
{
	return (struct smq_now){ s->now.mono_ms + 7777 * (member + 1), s->now.unix_ms + s->skew_ms[member] };
}

/* ---- what is said of it ---- */

static void trace(struct sim *s, const char *text)
{
	for (const char *c = text; *c; c++)
		s->trace = (s->trace ^ (uint8_t)*c) * UINT64_C(1099511628211);
}

void sim_note(struct sim *s, const char *format, ...)
{
	char line[256];
	va_list args;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	trace(s, line);
	if (s->verbose)
		printf("  %s\n", line);
}

void sim_fail(struct sim *s, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(s->failure, sizeof(s->failure), format, args);
	va_end(args);
	longjmp(s->failed, 1);
}

/* ---- schedules ---- */

static const struct scenario *const scenarios[] = { &scenario_sessions, &scenario_static, &scenario_keyed,
						    &scenario_kept, &scenario_served };

static const struct sim_op *op_of(const struct sim *s, size_t kind)
{
	return kind < bus_op_count ? &bus_ops[kind] : &s->scenario->ops[kind - bus_op_count];
}

static uint8_t draw_kind(const struct sim *s, struct dice *d)
{
	size_t count = bus_op_count + s->scenario->op_count, kind = 0;
	uint64_t total = 0;
	for (size_t i = 0; i < count; i++)
		total += op_of(s, i)->weight;
	uint64_t at = dice_below(d, total);
	while (at >= op_of(s, kind)->weight)
		at -= op_of(s, kind++)->weight;
	return (uint8_t)kind;
}

/* One schedule in 64 is with real cryptography. */
static void make_schedule(struct sim *s, uint64_t seed, const struct scenario *only)
{
	struct dice d = { seed * UINT64_C(0xd1342543de82ef95) + 1 };
	s->seed = seed;
	s->scenario = scenarios[dice_below(&d, SMQ_COUNT(scenarios))];
	if (only)
		s->scenario = only;
	s->real = dice_one_in(&d, 64);
	s->op_count = 20 + dice_below(&d, SIM_OPS_MAX - 20 + 1);
	for (size_t i = 0; i < s->op_count; i++)
		s->ops[i] = (struct op){ .kind = draw_kind(s, &d), .chance = dice_roll(&d) };
}

/* Everything but the schedule itself. */
static void begin(struct sim *s)
{
	memset(s->skew_ms, 0, sizeof(s->skew_ms));
	memset(s->cut_off, 0, sizeof(s->cut_off));
	s->flight_count = s->archive_count = s->retained_count = s->text_count = 0;
	s->now = (struct smq_now){ 100000, INT64_C(1790000000000) };
	s->trace = UINT64_C(14695981039346656037);
	s->delivered = 0;
	s->failure[0] = 0;
	s->random_dice.state = s->seed ^ UINT64_C(0x5ea1);
	s->random = (struct smq_random){ s, fill };
	s->crypto = watch_crypto(s->real);
	s->credentials = (struct smq_credentials){ .self = s, .resolve = resolve };
	watch_begin(s);
}

static void act(struct sim *s)
{
	struct dice d = { s->seed ^ UINT64_C(0xc0ffee) };
	s->at = -1;
	s->scenario->up(s, &d);
	for (size_t i = 0; i < s->op_count; i++) {
		const struct op *op = &s->ops[i];
		if (op->off)
			continue;
		s->at = (int)i;
		if (s->verbose)
			printf("%zu %s\n", i, op_of(s, op->kind)->name);
		d.state = op->chance;
		op_of(s, op->kind)->run(s, &d);
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
	begin(s);
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
