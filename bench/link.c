/*
 * One publisher, a broker, one or several subscribers: how fast, at what processor time, how late. Each is a process of
 * its own with clients of libsealmq, sealing or not; nothing but the public API is used.
 *
 * Several subscribers are members of their own: REALM_SUB, REALM_SUB-1, REALM_SUB-2 and so on.
 *
 * usage: link flood PORT BROKER_PID REALM_PUB REALM_SUB HOW tcp|tls QOS SIZE COUNT SUBSCRIBERS
 *        link pace  PORT REALM_PUB REALM_SUB tcp|tls QOS SIZE RATE SECONDS
 *        link session PORT REALM_A REALM_B METHOD SUITE COUNT
 *
 * HOW is plain, sealed, or sealed and signed: checkpoint or every.
 *
 * flood keeps a bounded number of messages on their way, counted at the subscribers, so that no broker drops any; pace
 * (pace.c) sends on a fixed grid in time, plain and sealed by turns. Prints JSON.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "link.h"

enum { SUBSCRIBERS_MAX = 200 };

/* What the processes share. */
struct shared {
	struct {
		volatile bool ready;
		volatile size_t received;
		volatile size_t refused;
		double cpu_s;
		double last_s;
	} sub[SUBSCRIBERS_MAX];
};

static struct shared *shared;

/* The broker's processor time, to the nanosecond; the first number in its schedstat. */
static double broker_cpu_s(int pid)
{
	char path[64];
	unsigned long long ns = 0;
	snprintf(path, sizeof(path), "/proc/%d/schedstat", pid);
	FILE *f = fopen(path, "r");
	if (!f || fscanf(f, "%llu", &ns) != 1)
		ns = 0;
	if (f)
		fclose(f);
	return (double)ns / 1e9;
}

/* ---- a subscriber ---- */

static size_t me;

static void take(void *self, const struct smq_message *m)
{
	const struct link_ask *a = self;
	if (m->mqtt.payload.len == a->size)
		shared->sub[me].received++;
}

static void refuse(void *self, const struct smq_refusal *r)
{
	(void)self;
	(void)r;
	shared->sub[me].refused++;
}

static void subscribed(void *self, int id, const int *reasons, size_t count)
{
	(void)self;
	(void)id;
	(void)count;
	if (reasons[0] < 128)
		shared->sub[me].ready = true;
}

static int subscribe(const struct link_ask *a, size_t number)
{
	struct smq_client_options o;
	me = number;
	smq_client_options_init(&o);
	o.self = (void *)a;
	o.on_message = take;
	o.on_refused = refuse;
	o.on_subscribed = subscribed;
	o.only_subscribes = true;
	char dir[4096];
	snprintf(dir, sizeof(dir), number ? "%s-%zu" : "%s", a->realm_sub, number);
	smq_client *client = link_client(a, dir, &o);
	if (smq_client_subscribe(client, link_topic, a->qos, NULL, 0, NULL) != SMQ_OK ||
	    smq_client_connect(client) != SMQ_OK)
		link_die("subscribing", NULL);
	double until = link_now_s() + LINK_LIMIT_S;
	while (shared->sub[me].received < a->warm && link_now_s() < until)
		link_serve(client, 10);
	double before = link_clock_s(CLOCK_PROCESS_CPUTIME_ID);
	until = link_now_s() + LINK_LIMIT_S;
	while (shared->sub[me].received < a->warm + a->count && link_now_s() < until)
		link_serve(client, 10);
	shared->sub[me].cpu_s = link_clock_s(CLOCK_PROCESS_CPUTIME_ID) - before;
	shared->sub[me].last_s = link_now_s();
	return 0;
}

/* ---- the publisher ---- */

static size_t least_received(const struct link_ask *a)
{
	size_t least = SIZE_MAX;
	for (size_t i = 0; i < a->subscribers; i++) {
		size_t n = shared->sub[i].received;
		least = n < least ? n : least;
	}
	return least;
}

static void publish(smq_client *client, const struct link_ask *a)
{
	static uint8_t payload[LINK_SIZE_MAX] = { 't' }; /* text: with a realm, what looks sealed is taken for sealed */
	struct smq_publish m = { .topic = link_topic,
				 .payload = smq_span_of(payload, a->size),
				 .qos = a->qos,
				 .group = a->sealed ? link_group : NULL,
				 .plain = !a->sealed };
	smq_err err = smq_client_publish(client, &m, NULL);
	if (err != SMQ_OK)
		link_die("publishing", smq_err_text(err));
}

/* Until n messages have come everywhere, or it takes too long. */
static void await(smq_client *client, const struct link_ask *a, size_t n)
{
	for (double until = link_now_s() + LINK_LIMIT_S; least_received(a) < n;) {
		if (link_now_s() > until)
			link_die("messages are missing", NULL);
		link_serve(client, 1);
	}
}

/* Numbers first to end - 1, as fast as the subscribers follow. */
static void send_all(smq_client *client, const struct link_ask *a, size_t first, size_t end)
{
	for (size_t i = first; i < end; i++) {
		if (i >= LINK_WINDOW)
			await(client, a, i + 1 - LINK_WINDOW);
		publish(client, a);
		if (i % 16 == 15)
			link_serve(client, 0);
	}
	await(client, a, end);
}

static void report(const struct link_ask *a, double wall_s, double pub_s, double broker_s)
{
	double sub_s = 0;
	size_t refused = 0;
	for (size_t i = 0; i < a->subscribers; i++) {
		sub_s += shared->sub[i].cpu_s;
		refused += shared->sub[i].refused;
	}
	printf("{\"rate\": %.0f, \"wall_s\": %.4f, \"cpu_us\": %.4f, \"pub_us\": %.4f, \"broker_us\": %.4f, "
	       "\"sub_us\": %.4f, \"refused\": %zu}\n",
	       (double)a->count / wall_s, wall_s, (pub_s + broker_s + sub_s) / (double)a->count * 1e6,
	       pub_s / (double)a->count * 1e6, broker_s / (double)a->count * 1e6, sub_s / (double)a->count * 1e6,
	       refused);
}

static void start_subscribers(const struct link_ask *a, pid_t *children)
{
	for (size_t i = 0; i < a->subscribers; i++) {
		children[i] = fork();
		if (children[i] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL); /* whatever becomes of us, none stays */
			_exit(subscribe(a, i));
		}
		if (children[i] < 0)
			link_die("fork", NULL);
	}
	for (size_t i = 0; i < a->subscribers; i++) {
		for (double until = link_now_s() + LINK_LIMIT_S; !shared->sub[i].ready;) {
			if (link_now_s() > until || waitpid(children[i], NULL, WNOHANG) != 0)
				link_die("a subscriber does not get ready", NULL);
			usleep(2000);
		}
	}
}

static int run(const struct link_ask *a)
{
	pid_t children[SUBSCRIBERS_MAX];
	struct smq_client_options o;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		link_die("memory", NULL);
	start_subscribers(a, children);
	smq_client_options_init(&o);
	o.only_publishes = true;
	smq_client *client = link_client(a, a->realm_pub, &o);
	link_connect(client);
	send_all(client, a, 0, 1); /* the first one sets the sender up */
	send_all(client, a, 1, a->warm);
	double start = link_now_s(), own = link_clock_s(CLOCK_PROCESS_CPUTIME_ID), broker = broker_cpu_s(a->broker);
	send_all(client, a, a->warm, a->warm + a->count);
	double wall = link_now_s() - start;
	own = link_clock_s(CLOCK_PROCESS_CPUTIME_ID) - own;
	broker = broker_cpu_s(a->broker) - broker;
	for (size_t i = 0; i < a->subscribers; i++)
		waitpid(children[i], NULL, 0);
	report(a, wall, own, broker);
	smq_client_free(client);
	return 0;
}

/* ---- sessions: two members in one process ---- */

struct meeting {
	size_t done, failed;
	size_t wire_bytes;
	double took_ms;
};

static void note_session(void *self, const struct smq_event *e)
{
	struct meeting *m = self;
	m->failed += e->kind == SMQ_EVENT_SESSION_FAILED;
	if (e->kind != SMQ_EVENT_SESSION_NEW && e->kind != SMQ_EVENT_SESSION_ROTATED)
		return;
	m->done++;
	m->wire_bytes += e->wire_bytes;
	m->took_ms += (double)e->took_ms;
}

static smq_client *member(const struct link_ask *a, const char *dir, const char *peer, int method, const int *suite,
			  struct meeting *m)
{
	struct smq_client_options o;
	const char *peers[] = { peer };
	smq_client_options_init(&o);
	o.self = m;
	o.on_event = note_session;
	o.method = method;
	o.suites = suite;
	o.suite_count = 1;
	o.any_peer = true;
	o.peers = peers;
	o.peer_count = peer ? 1 : 0;
	smq_client *client = link_client(a, dir, &o);
	if (smq_client_connect(client) != SMQ_OK)
		link_die("connecting", NULL);
	return client;
}

static void meet(smq_client *a, smq_client *b, const struct meeting *m, size_t n)
{
	struct pollfd p[2] = { { .fd = smq_client_fd(a), .events = POLLIN },
			       { .fd = smq_client_fd(b), .events = POLLIN } };
	for (double until = link_now_s() + 20; m->done < n;) {
		if (link_now_s() > until || m->failed > 0)
			link_die("no session", NULL);
		poll(p, 2, 50);
		link_serve(a, 0);
		link_serve(b, 0);
	}
}

static int sessions(int port, const char *dir_a, const char *dir_b, int method, int suite, size_t count)
{
	struct link_ask ask = { .port = port, .sealed = true };
	struct meeting at_a = { 0 }, at_b = { 0 };
	const char *slash = strrchr(dir_b, '/');
	const char *peer = slash ? slash + 1 : dir_b;
	smq_client *b = member(&ask, dir_b, NULL, method, &suite, &at_b);
	while (!smq_client_connected(b))
		link_serve(b, 20);
	link_serve(b, 100); /* its subscription */
	smq_client *a = member(&ask, dir_a, peer, method, &suite, &at_a);
	meet(a, b, &at_a, 1);
	size_t first_bytes = at_a.wire_bytes;
	double start = link_now_s(), cpu = link_clock_s(CLOCK_PROCESS_CPUTIME_ID);
	for (size_t i = 0; i < count; i++) {
		if (smq_client_rotate(a, peer) != SMQ_OK)
			link_die("rotating", NULL);
		meet(a, b, &at_a, at_a.done + 1);
	}
	double wall = link_now_s() - start;
	cpu = link_clock_s(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	printf("{\"method\": %d, \"suite\": %d, \"first_bytes\": %zu, \"bytes\": %.0f, \"rotation_ms\": %.3f, "
	       "\"cpu_ms\": %.3f, \"per_s\": %.0f}\n",
	       method, suite, first_bytes, (double)(at_a.wire_bytes - first_bytes) / (double)count,
	       wall * 1e3 / (double)count, cpu * 1e3 / (double)count, (double)count / wall);
	smq_client_free(a);
	smq_client_free(b);
	return 0;
}

static bool in_range(const struct link_ask *a)
{
	return a->size > 16 && a->size <= LINK_SIZE_MAX && a->count >= 1 && a->count <= LINK_COUNT_MAX &&
	       a->subscribers >= 1 && a->subscribers <= SUBSCRIBERS_MAX;
}

static int flood(char **argv)
{
	struct link_ask a = { .port = atoi(argv[0]),
			      .broker = atoi(argv[1]),
			      .realm_pub = argv[2],
			      .realm_sub = argv[3],
			      .sealed = strcmp(argv[4], "plain") != 0,
			      .sign = strcmp(argv[4], "checkpoint") == 0 ? SMQ_SIGN_CHECKPOINT
				      : strcmp(argv[4], "every") == 0    ? SMQ_SIGN_EVERY
									 : SMQ_SIGN_NONE,
			      .tls = strcmp(argv[5], "tls") == 0,
			      .qos = atoi(argv[6]),
			      .size = strtoul(argv[7], NULL, 10),
			      .count = strtoul(argv[8], NULL, 10),
			      .subscribers = strtoul(argv[9], NULL, 10) };
	a.warm = 1 + (a.count < 4000 ? 2 * a.count : 8000);
	if (!in_range(&a))
		link_die("out of range", NULL);
	return run(&a);
}

static int pace(char **argv)
{
	struct link_ask a = { .port = atoi(argv[0]),
			      .realm_pub = argv[1],
			      .realm_sub = argv[2],
			      .tls = strcmp(argv[3], "tls") == 0,
			      .qos = atoi(argv[4]),
			      .size = strtoul(argv[5], NULL, 10),
			      .rate = strtod(argv[6], NULL),
			      .subscribers = 1,
			      .warm = 6000 };
	a.count = (size_t)(a.rate * strtod(argv[7], NULL));
	if (!in_range(&a) || a.rate < 1)
		link_die("out of range", NULL);
	return link_pace(&a);
}

int main(int argc, char **argv)
{
	if (argc == 8 && strcmp(argv[1], "session") == 0)
		return sessions(atoi(argv[2]), argv[3], argv[4], atoi(argv[5]), atoi(argv[6]),
				strtoul(argv[7], NULL, 10));
	if (argc == 12 && strcmp(argv[1], "flood") == 0)
		return flood(argv + 2);
	if (argc == 10 && strcmp(argv[1], "pace") == 0)
		return pace(argv + 2);
	link_die("bench/link.c says how it is used", NULL);
}
