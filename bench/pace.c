/*
 * How late a message comes at a steady rate, sealed beside plain.
 *
 * A difference of microseconds does not show between two runs: the processes lie elsewhere, the machine sleeps more or
 * less. So one publisher and one subscriber have two connections each, and send by turns of a tenth of a second: plain,
 * sealed, and plain again as the control, in an order that changes. The first messages of a turn do not count, since
 * what they run through has been idle.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "link.h"

enum { PLAIN, SEALED, CONTROL, KINDS, CLIENTS = 2, TURN = 100, COUNTS_FROM = 10 };

static const char *const names[] = { "plain", "sealed", "control" };

/* What a payload begins with; text, as what looks sealed is taken for sealed. */
struct stamp {
	char text[4];
	uint32_t number;
	double sent_s;
};

static struct shared {
	volatile bool ready[CLIENTS];
	volatile size_t received, refused;
	uint32_t late_us[]; /* of message n, counted from the first; UINT32_MAX: it did not come */
} * shared;

static size_t kind_of(size_t n)
{
	size_t turn = n / TURN;
	return (turn + turn / KINDS) % KINDS;
}

static bool counts(const struct link_ask *a, size_t n) { return n >= a->warm && n % TURN >= COUNTS_FROM; }

static smq_client *client_of(const struct link_ask *a, const char *dir, size_t kind, struct smq_client_options *o)
{
	struct link_ask each = *a;
	each.sealed = kind == SEALED;
	return link_client(&each, dir, o);
}

/* Until one of them has something to do, at most so long; then that one does it, and after a while without both do. */
static void serve_two(smq_client *const *two, const struct timespec *at_most)
{
	struct pollfd p[CLIENTS];
	for (size_t i = 0; i < CLIENTS; i++)
		p[i] = (struct pollfd){ .fd = smq_client_fd(two[i]), .events = POLLIN };
	int ready = ppoll(p, CLIENTS, at_most, NULL);
	for (size_t i = 0; i < CLIENTS; i++) {
		if (ready == 0 || p[i].revents)
			link_serve(two[i], 0);
	}
}

static const struct timespec a_while = { .tv_nsec = 10000000 };

/* ---- the subscriber ---- */

static void take(void *self, const struct smq_message *m)
{
	const struct link_ask *a = self;
	struct stamp s;
	double now = link_now_s();
	if (m->mqtt.payload.len != a->size)
		return;
	memcpy(&s, m->mqtt.payload.p, sizeof(s));
	if (s.number < a->warm + a->count)
		shared->late_us[s.number] = (uint32_t)((now - s.sent_s) * 1e6);
	shared->received++;
}

static void refuse(void *self, const struct smq_refusal *r)
{
	(void)self;
	(void)r;
	shared->refused++;
}

static void plain_subscribed(void *self, int id, const int *reasons, size_t count)
{
	(void)self;
	(void)id;
	(void)count;
	shared->ready[PLAIN] = reasons[0] < 128;
}

static void sealed_subscribed(void *self, int id, const int *reasons, size_t count)
{
	(void)self;
	(void)id;
	(void)count;
	shared->ready[SEALED] = reasons[0] < 128;
}

_Noreturn static void subscribe(const struct link_ask *a)
{
	smq_client *two[CLIENTS];
	struct smq_client_options o;
	smq_client_options_init(&o);
	o.self = (void *)a;
	o.on_message = take;
	o.on_refused = refuse;
	o.only_subscribes = true;
	for (size_t i = 0; i < CLIENTS; i++) {
		o.on_subscribed = i == SEALED ? sealed_subscribed : plain_subscribed;
		two[i] = client_of(a, a->realm_sub, i, &o);
		if (smq_client_subscribe(two[i], i == SEALED ? link_topic : link_plain_topic, a->qos, NULL, 0, NULL) !=
			SMQ_OK ||
		    smq_client_connect(two[i]) != SMQ_OK)
			link_die("subscribing", NULL);
	}
	while (shared->received < a->warm + a->count)
		serve_two(two, &a_while);
	_exit(0);
}

static pid_t start_subscriber(const struct link_ask *a)
{
	pid_t child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* whatever becomes of us, it does not stay */
		subscribe(a);
	}
	if (child < 0)
		link_die("fork", NULL);
	for (double until = link_now_s() + LINK_LIMIT_S; !shared->ready[PLAIN] || !shared->ready[SEALED];) {
		if (link_now_s() > until || waitpid(child, NULL, WNOHANG) != 0)
			link_die("the subscriber does not get ready", NULL);
		usleep(2000);
	}
	return child;
}

/* ---- the publisher ---- */

static void publish(smq_client *client, const struct link_ask *a, size_t n, bool sealed)
{
	static uint8_t payload[LINK_SIZE_MAX];
	struct stamp s = { .text = "text", .number = (uint32_t)n, .sent_s = link_now_s() };
	memcpy(payload, &s, sizeof(s));
	struct smq_publish m = { .topic = sealed ? link_topic : link_plain_topic,
				 .payload = smq_span_of(payload, a->size),
				 .qos = a->qos,
				 .group = sealed ? link_group : NULL,
				 .plain = !sealed };
	smq_err err = smq_client_publish(client, &m, NULL);
	if (err != SMQ_OK)
		link_die("publishing", smq_err_text(err));
	link_serve(client, 0);
}

static void await(smq_client *const *two, size_t n)
{
	for (double until = link_now_s() + LINK_LIMIT_S; shared->received + shared->refused < n;) {
		if (link_now_s() > until)
			link_die("messages are missing", NULL);
		serve_two(two, &(struct timespec){ .tv_nsec = 1000000 });
	}
}

static void sleep_until(smq_client *const *two, double due_s)
{
	for (double left; (left = due_s - link_now_s()) > 0;)
		serve_two(two, &(struct timespec){ .tv_nsec = (long)(left * 1e9) });
}

/* On a fixed grid in time: what a late message waited for counts. The first ones come as fast as they are taken. */
static void send_all(smq_client *const *two, const struct link_ask *a)
{
	for (size_t n = 0; n < a->warm; n++) {
		await(two, n < LINK_WINDOW ? (n > 0) : n + 1 - LINK_WINDOW);
		publish(two[kind_of(n) == SEALED], a, n, kind_of(n) == SEALED);
	}
	await(two, a->warm);
	double start = link_now_s();
	for (size_t n = a->warm; n < a->warm + a->count; n++) {
		sleep_until(two, start + (double)(n - a->warm) / a->rate);
		publish(two[kind_of(n) == SEALED], a, n, kind_of(n) == SEALED);
	}
	await(two, a->warm + a->count);
}

/* ---- the figures ---- */

static void report_kind(const struct link_ask *a, size_t kind, uint32_t *room)
{
	size_t n = 0;
	for (size_t i = a->warm; i < a->warm + a->count; i++) {
		if (kind_of(i) == kind && counts(a, i) && shared->late_us[i] != UINT32_MAX)
			room[n++] = shared->late_us[i];
	}
	if (n == 0)
		link_die("too few messages", NULL);
	qsort(room, n, sizeof(room[0]), link_by_value);
	printf(", \"%s\": {\"messages\": %zu", names[kind], n);
	static const struct {
		const char *name;
		double share;
	} of[] = { { "p50_ms", 0.5 }, { "p99_ms", 0.99 }, { "p999_ms", 0.999 } };
	for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++)
		printf(", \"%s\": %.3f", of[i].name, room[(size_t)((double)(n - 1) * of[i].share)] / 1000.0);
	printf("}");
}

int link_pace(const struct link_ask *a)
{
	size_t all = a->warm + a->count;
	smq_client *two[CLIENTS];
	struct smq_client_options o;
	uint32_t *room = calloc(a->count, sizeof(*room));
	shared = mmap(NULL, sizeof(*shared) + all * sizeof(uint32_t), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || !room)
		link_die("memory", NULL);
	memset(shared->late_us, 0xff, all * sizeof(uint32_t));
	pid_t child = start_subscriber(a);
	smq_client_options_init(&o);
	o.only_publishes = true;
	for (size_t i = 0; i < CLIENTS; i++) {
		two[i] = client_of(a, a->realm_pub, i, &o);
		link_connect(two[i]);
	}
	send_all(two, a);
	waitpid(child, NULL, 0);
	printf("{\"refused\": %zu", shared->refused);
	for (size_t kind = 0; kind < KINDS; kind++)
		report_kind(a, kind, room);
	printf("}\n");
	for (size_t i = 0; i < CLIENTS; i++)
		smq_client_free(two[i]);
	free(room);
	return 0;
}
