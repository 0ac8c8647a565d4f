/*
 * One publisher, a broker, one or several subscribers: how fast, at what processor time, how late. Each is a process of
 * its own with a client of libsealmq, sealing or not; nothing but the public API is used.
 *
 * Several subscribers are members of their own: REALM_SUB, REALM_SUB-1, REALM_SUB-2 and so on.
 *
 * usage: link flood PORT BROKER_PID REALM_PUB REALM_SUB HOW tcp|tls QOS SIZE COUNT SUBSCRIBERS
 *        link pace  PORT BROKER_PID REALM_PUB REALM_SUB HOW tcp|tls QOS SIZE RATE SECONDS
 *        link session PORT REALM_A REALM_B METHOD SUITE COUNT
 *
 * HOW is plain, sealed, or sealed and signed: checkpoint or every.
 *
 * flood keeps a bounded number of messages on their way, counted at the subscribers, so that no broker drops any; pace
 * sends on a fixed grid in time, and what a late message waited for counts. Prints JSON.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <sealmq/client.h>

enum { SIZE_MAX_ = 65536, COUNT_MAX = 2000000, SUBSCRIBERS_MAX = 200, WINDOW = 400, LIMIT_S = 20 };

static const char topic[] = "bench/fridge-07/temperature";
static const char group[] = "bench";

struct ask {
	int port;
	int broker;
	const char *realm_pub, *realm_sub;
	bool sealed, tls;
	enum smq_sign sign;
	int qos;
	size_t size, count, subscribers;
	size_t warm; /* messages before those that count */
	double rate; /* 0: as fast as it goes */
};

/* What the processes share. */
struct shared {
	struct {
		volatile bool ready;
		volatile size_t received;
		volatile size_t refused;
		double cpu_s;
		double last_s;
	} sub[SUBSCRIBERS_MAX];
	volatile double started_s; /* of the first message that counts */
	uint32_t late_us[];        /* of the first subscriber's messages */
};

static struct shared *shared;

static void die(const char *what, const char *why)
{
	fprintf(stderr, "link: %s%s%s\n", what, why ? ": " : "", why ? why : "");
	exit(1);
}

static double clock_s(clockid_t which)
{
	struct timespec t;
	clock_gettime(which, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double now_s(void) { return clock_s(CLOCK_MONOTONIC); }

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

/* ---- clients ---- */

static smq_client *client_of(const struct ask *a, const char *dir, struct smq_client_options *o)
{
	const char *why = NULL;
	static const char *groups[] = { group };
	smq_realm *realm = NULL;
	smq_client *client = NULL;
	if ((a->sealed || a->tls) && smq_realm_open(dir, &realm, &why) != SMQ_OK)
		die(dir, why);
	o->host = "localhost";
	o->port = a->port;
	o->realm = realm;
	o->plain = !a->sealed;
	o->tls.by_realm = a->tls;
	o->groups = groups;
	o->group_count = a->sealed && a->realm_pub ? 1 : 0;
	o->inflight_max = WINDOW;
	o->sign = a->realm_pub ? a->sign : SMQ_SIGN_NONE;
	if (smq_client_new(o, &client, &why) != SMQ_OK)
		die("client", why);
	return client;
}

static void serve(smq_client *client, int timeout_ms)
{
	smq_err err = smq_client_run(client, timeout_ms);
	if (err != SMQ_OK)
		die("client", smq_err_text(err));
}

/* ---- a subscriber ---- */

static size_t me;

static void take(void *self, const struct smq_message *m)
{
	const struct ask *a = self;
	double sent, now;
	size_t n = shared->sub[me].received, at = n - a->warm;
	if (m->mqtt.payload.len != a->size)
		return;
	if (me == 0 && n >= a->warm && at < a->count) {
		memcpy(&sent, m->mqtt.payload.p + 1, sizeof(sent));
		now = now_s();
		shared->late_us[at] = (uint32_t)((now - sent) * 1e6);
	}
	shared->sub[me].received = n + 1;
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

static int subscribe(const struct ask *a, size_t number)
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
	smq_client *client = client_of(a, dir, &o);
	if (smq_client_subscribe(client, topic, a->qos, NULL, 0, NULL) != SMQ_OK ||
	    smq_client_connect(client) != SMQ_OK)
		die("subscribing", NULL);
	double until = now_s() + LIMIT_S;
	while (shared->sub[me].received < a->warm && now_s() < until)
		serve(client, 10);
	double before = clock_s(CLOCK_PROCESS_CPUTIME_ID);
	until = now_s() + LIMIT_S;
	while (shared->sub[me].received < a->warm + a->count && now_s() < until)
		serve(client, 10);
	shared->sub[me].cpu_s = clock_s(CLOCK_PROCESS_CPUTIME_ID) - before;
	shared->sub[me].last_s = now_s();
	return 0;
}

/* ---- the publisher ---- */

static size_t least_received(const struct ask *a)
{
	size_t least = SIZE_MAX;
	for (size_t i = 0; i < a->subscribers; i++) {
		size_t n = shared->sub[i].received;
		least = n < least ? n : least;
	}
	return least;
}

static void publish(smq_client *client, const struct ask *a)
{
	static uint8_t payload[SIZE_MAX_];
	double now = now_s();
	payload[0] = (uint8_t)'t'; /* text: with a realm, what looks sealed is taken for sealed */
	memcpy(payload + 1, &now, sizeof(now));
	struct smq_publish m = { .topic = topic,
				 .payload = smq_span_of(payload, a->size),
				 .qos = a->qos,
				 .group = a->sealed ? group : NULL,
				 .plain = !a->sealed };
	smq_err err = smq_client_publish(client, &m, NULL);
	if (err != SMQ_OK)
		die("publishing", smq_err_text(err));
}

/* Until n messages have come everywhere, or it takes too long. */
static void await(smq_client *client, const struct ask *a, size_t n)
{
	for (double until = now_s() + LIMIT_S; least_received(a) < n;) {
		if (now_s() > until)
			die("messages are missing", NULL);
		serve(client, 1);
	}
}

static void sleep_until(smq_client *client, double due_s)
{
	for (double left; (left = due_s - now_s()) > 0;) {
		struct timespec wait = { 0, (long)(left < 0.1 ? left * 1e9 : 1e8) };
		struct pollfd p = { .fd = smq_client_fd(client), .events = POLLIN };
		if (ppoll(&p, 1, &wait, NULL) > 0)
			serve(client, 0);
	}
}

/* Numbers first to end - 1, at the rate or as fast as the subscribers follow. */
static void send_all(smq_client *client, const struct ask *a, size_t first, size_t end, double rate)
{
	double start = now_s();
	for (size_t i = first; i < end; i++) {
		if (rate > 0)
			sleep_until(client, start + (double)(i - first) / rate);
		else if (i >= WINDOW)
			await(client, a, i + 1 - WINDOW);
		publish(client, a);
		if (rate > 0 || i % 16 == 15)
			serve(client, 0);
	}
	await(client, a, end);
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static double late_ms(size_t count, double share)
{
	size_t at = (size_t)((double)(count - 1) * share);
	return shared->late_us[at] / 1000.0;
}

static void report(const struct ask *a, double wall_s, double pub_s, double broker_s)
{
	double sub_s = 0;
	size_t refused = 0;
	for (size_t i = 0; i < a->subscribers; i++) {
		sub_s += shared->sub[i].cpu_s;
		refused += shared->sub[i].refused;
	}
	qsort(shared->late_us, a->count, sizeof(shared->late_us[0]), by_value);
	printf("{\"rate\": %.0f, \"wall_s\": %.4f, \"cpu_us\": %.4f, \"pub_us\": %.4f, \"broker_us\": %.4f, "
	       "\"sub_us\": %.4f, \"refused\": %zu, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"p999_ms\": %.3f}\n",
	       (double)a->count / wall_s, wall_s, (pub_s + broker_s + sub_s) / (double)a->count * 1e6,
	       pub_s / (double)a->count * 1e6, broker_s / (double)a->count * 1e6, sub_s / (double)a->count * 1e6,
	       refused, late_ms(a->count, 0.5), late_ms(a->count, 0.99), late_ms(a->count, 0.999));
}

static void start_subscribers(const struct ask *a, pid_t *children)
{
	for (size_t i = 0; i < a->subscribers; i++) {
		children[i] = fork();
		if (children[i] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL); /* whatever becomes of us, none stays */
			_exit(subscribe(a, i));
		}
		if (children[i] < 0)
			die("fork", NULL);
	}
	for (size_t i = 0; i < a->subscribers; i++) {
		for (double until = now_s() + LIMIT_S; !shared->sub[i].ready;) {
			if (now_s() > until || waitpid(children[i], NULL, WNOHANG) != 0)
				die("a subscriber does not get ready", NULL);
			usleep(2000);
		}
	}
}

static int run(const struct ask *a)
{
	pid_t children[SUBSCRIBERS_MAX];
	struct smq_client_options o;
	shared = mmap(NULL, sizeof(*shared) + (a->count + 1) * sizeof(uint32_t), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		die("memory", NULL);
	start_subscribers(a, children);
	smq_client_options_init(&o);
	o.only_publishes = true;
	smq_client *client = client_of(a, a->realm_pub, &o);
	if (smq_client_connect(client) != SMQ_OK)
		die("connecting", NULL);
	while (!smq_client_connected(client))
		serve(client, 20);
	send_all(client, a, 0, 1, 0); /* the first one sets the sender up */
	send_all(client, a, 1, a->warm, 0);
	double start = now_s(), own = clock_s(CLOCK_PROCESS_CPUTIME_ID), broker = broker_cpu_s(a->broker);
	send_all(client, a, a->warm, a->warm + a->count, a->rate);
	double wall = now_s() - start;
	own = clock_s(CLOCK_PROCESS_CPUTIME_ID) - own;
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

static smq_client *member(const struct ask *a, const char *dir, const char *peer, int method, const int *suite,
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
	smq_client *client = client_of(a, dir, &o);
	if (smq_client_connect(client) != SMQ_OK)
		die("connecting", NULL);
	return client;
}

static void meet(smq_client *a, smq_client *b, const struct meeting *m, size_t n)
{
	struct pollfd p[2] = { { .fd = smq_client_fd(a), .events = POLLIN },
			       { .fd = smq_client_fd(b), .events = POLLIN } };
	for (double until = now_s() + 20; m->done < n;) {
		if (now_s() > until || m->failed > 0)
			die("no session", NULL);
		poll(p, 2, 50);
		serve(a, 0);
		serve(b, 0);
	}
}

static int sessions(int port, const char *dir_a, const char *dir_b, int method, int suite, size_t count)
{
	struct ask ask = { .port = port, .sealed = true };
	struct meeting at_a = { 0 }, at_b = { 0 };
	const char *slash = strrchr(dir_b, '/');
	const char *peer = slash ? slash + 1 : dir_b;
	smq_client *b = member(&ask, dir_b, NULL, method, &suite, &at_b);
	while (!smq_client_connected(b))
		serve(b, 20);
	serve(b, 100); /* its subscription */
	smq_client *a = member(&ask, dir_a, peer, method, &suite, &at_a);
	meet(a, b, &at_a, 1);
	size_t first_bytes = at_a.wire_bytes;
	double start = now_s(), cpu = clock_s(CLOCK_PROCESS_CPUTIME_ID);
	for (size_t i = 0; i < count; i++) {
		if (smq_client_rotate(a, peer) != SMQ_OK)
			die("rotating", NULL);
		meet(a, b, &at_a, at_a.done + 1);
	}
	double wall = now_s() - start;
	cpu = clock_s(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	printf("{\"method\": %d, \"suite\": %d, \"first_bytes\": %zu, \"bytes\": %.0f, \"rotation_ms\": %.3f, "
	       "\"cpu_ms\": %.3f, \"per_s\": %.0f}\n",
	       method, suite, first_bytes, (double)(at_a.wire_bytes - first_bytes) / (double)count,
	       wall * 1e3 / (double)count, cpu * 1e3 / (double)count, (double)count / wall);
	smq_client_free(a);
	smq_client_free(b);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 8 && strcmp(argv[1], "session") == 0)
		return sessions(atoi(argv[2]), argv[3], argv[4], atoi(argv[5]), atoi(argv[6]),
				strtoul(argv[7], NULL, 10));
	bool flood = argc == 12 && strcmp(argv[1], "flood") == 0;
	if (!flood && !(argc == 12 && strcmp(argv[1], "pace") == 0))
		die("bench/link.c says how it is used", NULL);
	struct ask a = { .port = atoi(argv[2]),
			 .broker = atoi(argv[3]),
			 .realm_pub = argv[4],
			 .realm_sub = argv[5],
			 .sealed = strcmp(argv[6], "plain") != 0,
			 .sign = strcmp(argv[6], "checkpoint") == 0 ? SMQ_SIGN_CHECKPOINT
				 : strcmp(argv[6], "every") == 0    ? SMQ_SIGN_EVERY
								    : SMQ_SIGN_NONE,
			 .tls = strcmp(argv[7], "tls") == 0,
			 .qos = atoi(argv[8]),
			 .size = strtoul(argv[9], NULL, 10) };
	a.count = flood ? strtoul(argv[10], NULL, 10) : (size_t)(strtod(argv[10], NULL) * strtod(argv[11], NULL));
	a.warm = 1 + (a.count < 4000 ? 2 * a.count : 8000);
	a.rate = flood ? 0 : strtod(argv[10], NULL);
	a.subscribers = flood ? strtoul(argv[11], NULL, 10) : 1;
	if (a.size <= sizeof(double) || a.size > SIZE_MAX_ || a.count < 1 || a.count > COUNT_MAX || a.subscribers < 1 ||
	    a.subscribers > SUBSCRIBERS_MAX)
		die("out of range", NULL);
	return run(&a);
}
