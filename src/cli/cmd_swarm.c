/* sealmq swarm: many real members in one process, against a real broker and key server. */
#include "cli/cmd_swarm.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <sealmq/ca.h>

#include "cli/mem.h"
#include "cli/own_options.h"
#include "cli/print.h"
#include "cli/tool.h"

/*
 * An epoch comes to a member as its manifest and a node or two: the root's for all, the one below for a quarter, ...;
 * seven messages for three members.
 */
enum { FLOOR_FEW = 2, FLOOR_EACH = 3, FLOOR_BYTES = 256, MESSAGES_MIN = 10000 };

enum {
	MEMBERS_MAX = 16384,
	FILES_EACH = 9,
	PROCESSES_MAX = 64,
	EVENTS = 256,
	JOINING_AT_ONCE = 32 /* or as large a share of all */,
	WAIT_MS = 60000,
	TICK_MS = 20
};

static const char usage[] =
    "sealmq swarm - many real members against a real broker and key server, and how long they take\n\n"
    "usage: sealmq swarm --ca DIR --group GROUP --members N -t TOPIC [options] [-h HOST] [options of sub]\n\n"
    "  sealmq swarm --ca plant --group telemetry --members 1000 -t plant/swarm --leaves 10 --tls\n\n"
    "Issues swarm-0001, swarm-0002, ... where they are not there yet, joins all of them to the group, lets the first\n"
    "publish, lets some of the others leave one after the other, and follows every member to the new epoch. Counts\n"
    "every message at every member: none may be lost. One loop over poll descriptors, in as many processes as the "
    "limit\n"
    "of open files asks for.\n\n"
    "  --ca DIR        the realm's authority, which issues the identities\n"
    "  --group GROUP   whose policy admits swarm-* to publish and subscribe\n"
    "  --members N     at most 16384 (default 100)\n"
    "  -t TOPIC        where to publish\n"
    "  --leaves N      members that leave, one after the other (default 3)\n"
    "  --rate N        messages per second (default 20)\n"
    "  --floor         after each leave, as many plain messages to each member over the same connections: what a\n"
    "                  broker takes for them, whatever is in them\n"
    "  --churn SECONDS members join and leave at random for so long; those who left stay connected and listen\n"
    "  --moves N       joins and leaves per second while they do (default 4)\n"
    "  --seed N        which ones: the same N, the same order (default 1)\n"
    "  --json          the result as JSON\n"
    "  --help          this text\n\n"
    "Options of `sealmq sub` that say where the broker is and how to get in mean the same here; --tls and nothing\n"
    "else takes each member's own certificate.\n";

struct swarm;

/* All processes read and write it, each what is of its own members; realm and client are of one process alone. */
struct member {
	struct swarm *swarm;
	smq_realm *realm;
	smq_client *client;
	bool subscribed, joined, gone;
	bool leaving; /* asked to be let go, and not answered yet */
	int64_t started_us, joined_us, epoch_us, left_us;
	uint64_t epoch, received;
	size_t floor_left; /* plain messages that are on their way */
	int64_t floor_us;
	uint64_t owed; /* messages published while it was subscribed and in the group */
	uint64_t refused, refused_gone;
	uint64_t cut_off; /* times that its connection was lost */
};

/* What the processes have in common besides the members. */
struct common {
	volatile bool over, trouble;
	volatile long rss_kib[PROCESSES_MAX];
};

struct spread {
	double p50, p99, most; /* ms */
};

struct result {
	size_t members, rekeyed;
	struct spread join, rekey, floor;
	struct spread follow, follow_all, floor_all, ratio; /* from the answer to whom left on; all: until the last */
	double joined_s;
	uint64_t published, expected, received, lost, refused, refused_gone, cut_off;
	uint64_t left, came_back, opened_gone; /* churn; opened_gone: by somebody who had left */
	long rss_kib;
};

struct swarm {
	struct tool tool;
	const char *ca;
	uint64_t count, leaves, rate, churn_s, moves, seed, processes, process;
	struct common *common;
	pid_t children[PROCESSES_MAX];
	bool json, help, floor;
	struct member *members;
	struct smq_client_options *options;
	const char *group[1];
	int epoll;
	int64_t published_us;
	uint64_t published;
	bool publishing;
	double *joins, *rekeys, *floors, *follows, *follows_all, *floors_all, *ratios;
	size_t rekey_count, floor_count, ratio_count;
	struct result result;
	const char *trouble;
};

static int64_t now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void progress(const struct swarm *s, const char *what, size_t done, size_t of)
{
	if (!s->tool.s.quiet && isatty(STDERR_FILENO))
		fprintf(stderr, "\r%s %zu of %zu%s", what, done, of, done == of ? "\n" : "");
}

/* ---- what members hear ---- */

static void when_message(void *self, const struct smq_message *message)
{
	struct member *m = self;
	(void)message;
	if (m->gone && m->swarm->churn_s > 0)
		m->swarm->result.opened_gone += !m->leaving;
	else
		m->received++;
}

static void when_refused(void *self, const struct smq_refusal *refusal)
{
	struct member *m = self;
	if (refusal->reason == SMQ_ERR_NOT_SEALED && m->floor_left > 0) {
		m->floor_left--;
		m->floor_us = now_us();
	} else if (m->gone) /* what it should not read */
		m->refused_gone++;
	else
		m->refused++;
}

static void when_event(void *self, const struct smq_event *e)
{
	struct member *m = self;
	struct swarm *s = m->swarm;
	if (e->kind == SMQ_EVENT_GROUP_JOINED && !m->joined) {
		m->joined = true;
		m->joined_us = now_us();
	}
	if (e->kind == SMQ_EVENT_GROUP_EPOCH) {
		m->epoch = e->epoch;
		m->epoch_us = now_us();
	}
	if (e->kind == SMQ_EVENT_GROUP_LEFT || e->kind == SMQ_EVENT_GROUP_EXPELLED) {
		m->gone = true;
		m->leaving = false;
		m->left_us = now_us();
	}
	if (e->kind == SMQ_EVENT_GROUP_REFUSED)
		s->trouble = smq_err_text(e->err);
}

/* Of this member alone. */
static const char *floor_topic(const struct member *m)
{
	static char topic[512];
	snprintf(topic, sizeof(topic), "%s/floor/%zu", m->swarm->tool.s.topics.items[0],
		 (size_t)(m - m->swarm->members));
	return topic;
}

static void when_connected(void *self, int reason, bool session_present)
{
	struct member *m = self;
	int id;
	(void)session_present;
	if (reason != 0)
		m->swarm->trouble = "the broker refused a member";
	else if (!m->subscribed &&
		 smq_client_subscribe(m->client, m->swarm->tool.s.topics.items[0], 1, NULL, 0, &id) == SMQ_OK)
		m->subscribed =
		    !m->swarm->floor || smq_client_subscribe(m->client, floor_topic(m), 1, NULL, 0, &id) == SMQ_OK;
}

static void when_disconnected(void *self, smq_err err, int reason, bool will_retry)
{
	struct member *m = self;
	(void)reason;
	m->cut_off += err != SMQ_OK && will_retry;
}

/* ---- identities ---- */

static void name_member(const struct swarm *s, size_t i, char ret_name[32], char ret_dir[4096])
{
	snprintf(ret_name, 32, "swarm-%04zu", i + 1);
	snprintf(ret_dir, 4096, "%s/members/%s", s->ca, ret_name);
}

static bool issue_members(struct swarm *s)
{
	char name[32], dir[4096];
	const char *why = NULL;
	struct smq_ca_issued issued;
	for (size_t i = 0; i < s->count; i++) {
		name_member(s, i, name, dir);
		struct smq_ca_issue_options o = { .name = name };
		if (access(dir, F_OK) != 0 && smq_ca_issue(s->ca, &o, &issued, &why) != SMQ_OK) {
			report_line(&s->tool.report, "%s", why ? report_shown(why) : name);
			return false;
		}
		progress(s, "identities", i + 1, s->count);
	}
	return true;
}

static bool open_member(struct swarm *s, size_t i)
{
	char name[32], dir[4096];
	const char *why = NULL;
	name_member(s, i, name, dir);
	smq_err err = smq_realm_open(dir, &s->members[i].realm, &why);
	if (err != SMQ_OK)
		report_line(&s->tool.report, "%s", why ? report_shown(why) : smq_err_text(err));
	return err == SMQ_OK;
}

static bool make_member(struct swarm *s, size_t i)
{
	struct member *m = &s->members[i];
	const char *why = NULL;
	struct smq_client_options o = s->tool.options;
	m->swarm = s;
	o.realm = m->realm;
	o.client_id = NULL;
	o.groups = s->group;
	o.group_count = 1;
	o.only_subscribes = false;
	o.only_publishes = false;
	o.find_groups = false;
	o.only_groups = true; /* with sessions they would greet each other, all of them */
	o.self = m;
	o.on_connect = when_connected;
	o.on_disconnect = when_disconnected;
	o.on_message = when_message;
	o.on_refused = when_refused;
	o.on_event = when_event;
	o.queue_max = MESSAGES_MIN + (FLOOR_FEW + 1) * s->count; /* the floor's messages, all at once */
	smq_err err = smq_client_new(&o, &m->client, &why);
	if (err != SMQ_OK) {
		report_line(&s->tool.report, "%s", why ? report_shown(why) : smq_err_text(err));
		return false;
	}
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = m };
	if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, smq_client_fd(m->client), &e) != 0) {
		report_line(&s->tool.report, "%s", strerror(errno));
		return false;
	}
	return true;
}

/* The first process, which leads, has the one that publishes and those that leave. */
static bool is_ours(const struct swarm *s, size_t i)
{
	size_t each = (s->count + s->processes - 1) / s->processes;
	return (i >= s->count - s->leaves ? 0 : i / each) == s->process;
}

static bool make_members(struct swarm *s)
{
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	for (size_t i = 0; i < s->count; i++) {
		if (is_ours(s, i) && (!open_member(s, i) || !make_member(s, i)))
			return false;
	}
	return true;
}

/* ---- the loop ---- */

/* A newcomer's first epoch may be ahead of the publisher's: what is sealed until then is none of its business. */
static bool is_owed(const struct swarm *s, const struct member *m)
{
	return !m->gone && (s->churn_s == 0 || (m->joined && m->epoch > 0 && m->epoch <= s->members[0].epoch));
}

static void publish_due(struct swarm *s)
{
	struct member *first = &s->members[0];
	int64_t gap = 1000000 / (int64_t)s->rate;
	struct smq_publish p = { .topic = s->tool.s.topics.items[0],
				 .payload = smq_span_str("{\"swarm\":true,\"temperature\":21.5}"),
				 .qos = 1,
				 .group = s->group[0] };
	if (!s->publishing || now_us() < s->published_us + gap)
		return;
	s->published_us = now_us();
	if (smq_client_publish(first->client, &p, NULL) != SMQ_OK)
		return;
	s->published++;
	for (size_t i = 0; i < s->count; i++)
		s->members[i].owed += is_owed(s, &s->members[i]);
}

static void turn(struct swarm *s)
{
	struct epoll_event events[EVENTS];
	int got = epoll_wait(s->epoll, events, EVENTS, TICK_MS);
	for (int i = 0; i < got; i++) {
		struct member *m = events[i].data.ptr;
		(void)!smq_client_service(m->client);
	}
	publish_due(s);
}

static uint64_t connections_lost(const struct swarm *s)
{
	uint64_t lost = 0;
	for (size_t i = 0; i < s->count; i++)
		lost += s->members[i].cut_off;
	return lost;
}

/* What: of whom or what more must come until then. */
static bool going_on(struct swarm *s, int64_t until_us, const char *what)
{
	if (s->trouble)
		report_line(&s->tool.report, "%s", s->trouble);
	if (s->trouble || s->common->trouble)
		return false;
	if (now_us() > until_us) {
		report_line(&s->tool.report, "not all %s within a minute; connections were lost %llu times", what,
			    (unsigned long long)connections_lost(s));
		return false;
	}
	return true;
}

static int64_t in_a_while(void) { return now_us() + (int64_t)WAIT_MS * 1000; }

/* ---- what is measured ---- */

/* How many are in the group: of those of this process, or of all. */
static size_t joined_of(const struct swarm *s, bool all)
{
	size_t joined = 0;
	for (size_t i = 0; i < s->count; i++)
		joined += s->members[i].joined && (all || is_ours(s, i));
	return joined;
}

/* Every time that some join together all others follow to the next epoch. */
static size_t joining_at_once(const struct swarm *s)
{
	return s->count / JOINING_AT_ONCE > JOINING_AT_ONCE ? s->count / JOINING_AT_ONCE : JOINING_AT_ONCE;
}

/* Each process joins its own, so many at a time; the leader waits for all of them. */
static bool join_all(struct swarm *s)
{
	bool leads = s->process == 0;
	size_t next = 0, started = 0, joined = 0, most = joining_at_once(s) / s->processes + 1;
	int64_t begin = now_us(), until = in_a_while();
	do {
		for (size_t own = joined_of(s, false); next < s->count && started - own < most; next++) {
			if (!is_ours(s, next))
				continue;
			s->members[next].started_us = now_us();
			started++;
			if (smq_client_connect(s->members[next].client) != SMQ_OK)
				s->trouble = "a member cannot connect";
		}
		turn(s);
		size_t now = joined_of(s, leads);
		until = now > joined ? in_a_while() : until;
		if (leads && now > joined)
			progress(s, "joined", now, s->count);
		joined = now;
		if (!going_on(s, until, "who connected joined"))
			return false;
	} while (leads ? joined < s->count : next < s->count && !s->common->over);
	s->result.joined_s = (double)(now_us() - begin) / 1e6;
	return true;
}

static uint64_t newest(const struct swarm *s)
{
	uint64_t epoch = 0;
	for (size_t i = 0; i < s->count; i++)
		epoch = !s->members[i].gone && s->members[i].epoch > epoch ? s->members[i].epoch : epoch;
	return epoch;
}

static bool all_have(const struct swarm *s, uint64_t epoch)
{
	for (size_t i = 0; i < s->count; i++) {
		if (!s->members[i].gone && s->members[i].epoch < epoch)
			return false;
	}
	return true;
}

/* Until all are in the newest epoch that anybody knows, and nothing has moved for half a second. */
static bool settle(struct swarm *s)
{
	int64_t until = in_a_while(), quiet_since = now_us();
	uint64_t epoch = newest(s);
	while (!all_have(s, epoch) || now_us() < quiet_since + 500000) {
		turn(s);
		if (newest(s) != epoch) {
			epoch = newest(s);
			quiet_since = now_us();
		}
		if (!going_on(s, until, "members were in the newest epoch"))
			return false;
	}
	return true;
}

/* The key server's answer goes out together with the epoch; under one roof some may have that even before. */
static void note_rekey(struct swarm *s, int64_t asked_us, int64_t answered_us)
{
	int64_t published = answered_us ? answered_us : INT64_MAX, last = 0;
	for (size_t i = 0; i < s->count; i++) {
		int64_t its = s->members[i].epoch_us;
		if (s->members[i].gone)
			continue;
		published = its < published ? its : published;
		last = its > last ? its : last;
	}
	for (size_t i = 0; i < s->count; i++) {
		const struct member *m = &s->members[i];
		if (m->gone)
			continue;
		s->follows[s->rekey_count] = (double)(m->epoch_us - published) / 1000;
		s->rekeys[s->rekey_count++] = (double)(m->epoch_us - asked_us) / 1000;
	}
	s->follows_all[s->ratio_count] = (double)(last - published) / 1000;
}

/* The last member leaves; from its asking on, how long every other one takes to be in the next epoch. */
static bool leave_one(struct swarm *s, size_t who)
{
	uint64_t before = newest(s);
	int64_t begin = now_us(), until = in_a_while();
	s->members[who].gone = true; /* it is owed nothing from here on */
	smq_client_leave_groups(s->members[who].client);
	while (!all_have(s, before + 1)) {
		turn(s);
		if (!going_on(s, until, "members followed to the next epoch"))
			return false;
	}
	note_rekey(s, begin, s->members[who].left_us);
	return true;
}

/* The same number of messages as an epoch takes, plain, to each member by itself. */
static bool unicast(struct swarm *s)
{
	static const uint8_t bytes[FLOOR_BYTES];
	int64_t begin = now_us(), until = in_a_while();
	size_t left = 1;
	for (size_t i = 1; i < s->count; i++)
		s->members[i].floor_left = s->members[i].gone ? 0 : FLOOR_FEW + (i % FLOOR_EACH == 0);
	for (size_t round = 0; round <= FLOOR_FEW; round++) {
		for (size_t i = 1; i < s->count; i++) {
			struct member *m = &s->members[i];
			struct smq_publish p = { .topic = floor_topic(m),
						 .payload = smq_span_of(bytes, sizeof(bytes)),
						 .qos = 1,
						 .plain = true };
			bool due = !m->gone && (round < FLOOR_FEW || i % FLOOR_EACH == 0);
			if (due && smq_client_publish(s->members[0].client, &p, NULL) != SMQ_OK)
				s->trouble = "the plain messages cannot be published";
		}
	}
	while (left > 0) {
		turn(s);
		if (!going_on(s, until, "of the plain messages came"))
			return false;
		left = 0;
		for (size_t i = 1; i < s->count; i++)
			left += s->members[i].floor_left;
	}
	double last = 0;
	for (size_t i = 1; i < s->count; i++) {
		double its = (double)(s->members[i].floor_us - begin) / 1000;
		if (s->members[i].gone)
			continue;
		s->floors[s->floor_count++] = its;
		last = its > last ? its : last;
	}
	s->floors_all[s->ratio_count] = last;
	s->ratios[s->ratio_count] = last > 0 ? s->follows_all[s->ratio_count] / last : 0;
	return true;
}

static bool everything_came(const struct swarm *s)
{
	for (size_t i = 0; i < s->count; i++) {
		if (!s->members[i].gone && s->members[i].received < s->members[i].owed)
			return false;
	}
	return true;
}

static void drain(struct swarm *s)
{
	int64_t until = now_us() + 10 * 1000000;
	s->publishing = false;
	while ((smq_client_pending(s->members[0].client) > 0 || !everything_came(s)) && now_us() < until)
		turn(s);
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static struct spread spread_of(double *values, size_t count)
{
	if (count == 0)
		return (struct spread){ 0, 0, 0 };
	qsort(values, count, sizeof(values[0]), by_size);
	return (struct spread){ values[count / 2], values[(size_t)((double)count * 0.99)], values[count - 1] };
}

static void sum_up(struct swarm *s)
{
	struct result *r = &s->result;
	struct rusage used;
	r->members = s->count;
	r->rekeyed = s->leaves;
	for (size_t i = 0; i < s->count; i++)
		s->joins[i] = (double)(s->members[i].joined_us - s->members[i].started_us) / 1000;
	r->join = spread_of(s->joins, s->count);
	r->rekey = spread_of(s->rekeys, s->rekey_count);
	r->floor = spread_of(s->floors, s->floor_count);
	r->follow = spread_of(s->follows, s->rekey_count);
	r->follow_all = spread_of(s->follows_all, s->ratio_count);
	r->floor_all = spread_of(s->floors_all, s->ratio_count);
	r->ratio = spread_of(s->ratios, s->ratio_count);
	r->published = s->published;
	r->cut_off = connections_lost(s);
	for (size_t i = 0; i < s->count; i++) {
		const struct member *m = &s->members[i];
		r->refused += m->refused;
		r->refused_gone += m->refused_gone;
		if (m->gone)
			continue;
		r->expected += m->owed;
		r->received += m->received;
		r->lost += m->owed > m->received ? m->owed - m->received : 0;
	}
	getrusage(RUSAGE_SELF, &used);
	r->rss_kib = used.ru_maxrss;
	for (size_t i = 1; i < s->processes; i++)
		r->rss_kib += s->common->rss_kib[i];
}

/* ---- members that come and go ---- */

static uint64_t draw(struct swarm *s)
{
	s->seed ^= s->seed << 13;
	s->seed ^= s->seed >> 7;
	s->seed ^= s->seed << 17;
	return s->seed;
}

/* As a process that is started again: another client of the same identity. */
static bool come_back(struct swarm *s, struct member *m)
{
	smq_client_free(m->client);
	m->client = NULL;
	m->subscribed = m->joined = m->gone = m->leaving = false;
	m->epoch = m->received = m->owed = 0;
	m->started_us = now_us();
	s->result.came_back++;
	return make_member(s, (size_t)(m - s->members)) && smq_client_connect(m->client) == SMQ_OK;
}

/* Who has not got all that it is owed stays until it has, or for ever: then it shows at the end. */
static void go_away(struct swarm *s, struct member *m)
{
	if (m->received < m->owed)
		return;
	s->result.expected += m->owed;
	s->result.received += m->received;
	s->result.left++;
	m->gone = m->leaving = true;
	m->started_us = now_us();
	smq_client_leave_groups(m->client);
}

static bool move_one(struct swarm *s)
{
	struct member *m = &s->members[1 + draw(s) % (s->count - 1)]; /* the first one publishes */
	if (m->leaving || (!m->gone && (!m->joined || m->epoch == 0)))
		return true; /* on its way */
	if (m->gone)
		return come_back(s, m);
	go_away(s, m);
	return true;
}

/* Everybody who is on the way arrives, within three minutes each: askers back off where a key server is slow. */
static bool arrivals(struct swarm *s, bool *ret_all)
{
	int64_t now = now_us();
	bool all = true;
	for (size_t i = 1; i < s->count; i++) {
		const struct member *m = &s->members[i];
		bool moving = m->leaving || (!m->gone && (!m->joined || m->epoch == 0));
		all = all && !moving;
		if (moving && now > m->started_us + (int64_t)3 * WAIT_MS * 1000) {
			report_line(&s->tool.report, "swarm-%04zu does not %s", i + 1,
				    m->leaving ? "get away" : "get in");
			return false;
		}
	}
	*ret_all = all;
	return true;
}

static bool churn(struct swarm *s)
{
	int64_t begin = now_us(), end = begin + (int64_t)s->churn_s * 1000000, moved = 0;
	bool all = false;
	while (now_us() < end || !all) {
		turn(s);
		int64_t now = now_us(), due = now < end ? (now - begin) * (int64_t)s->moves / 1000000 : moved;
		while (moved < due) {
			moved++;
			if (!move_one(s))
				return going_on(s, 0, "who came back connected");
		}
		if (!arrivals(s, &all) || !going_on(s, INT64_MAX, "of them came"))
			return false;
	}
	return true;
}

static bool measure(struct swarm *s)
{
	if (!join_all(s) || !settle(s))
		return false;
	s->publishing = true;
	if (s->churn_s > 0 && (!churn(s) || !settle(s)))
		return false;
	for (size_t i = 0; i < s->leaves; i++) {
		if (!leave_one(s, s->count - 1 - i) || !settle(s))
			return false;
		if (s->floor && (!unicast(s) || !settle(s)))
			return false;
		s->ratio_count++;
		progress(s, "left", i + 1, s->leaves);
	}
	drain(s);
	return true;
}

/* ---- the result ---- */

static void json_number(struct smq_json *j, const char *key, double value)
{
	smq_json_key(j, key);
	smq_json_double(j, value);
}

static void json_spread(struct smq_json *j, const char *key, const struct spread *s)
{
	smq_json_key(j, key);
	smq_json_object(j);
	json_number(j, "p50", s->p50);
	json_number(j, "p99", s->p99);
	json_number(j, "max", s->most);
	smq_json_end(j);
}

static void write_result(struct smq_json *j, const void *of)
{
	const struct result *r = of;
	smq_json_object(j);
	json_number(j, "members", (double)r->members);
	json_number(j, "joined_s", r->joined_s);
	json_spread(j, "join_ms", &r->join);
	json_number(j, "leaves", (double)r->rekeyed);
	json_spread(j, "rekey_ms", &r->rekey);
	json_spread(j, "unicast_ms", &r->floor);
	json_spread(j, "follow_ms", &r->follow);
	json_spread(j, "follow_all_ms", &r->follow_all);
	json_spread(j, "unicast_all_ms", &r->floor_all);
	json_spread(j, "all_ratio", &r->ratio);
	json_number(j, "published", (double)r->published);
	json_number(j, "expected", (double)r->expected);
	json_number(j, "received", (double)r->received);
	json_number(j, "lost", (double)r->lost);
	json_number(j, "refused", (double)r->refused);
	json_number(j, "refused_by_leavers", (double)r->refused_gone);
	json_number(j, "cut_off", (double)r->cut_off);
	json_number(j, "left", (double)r->left);
	json_number(j, "came_back", (double)r->came_back);
	json_number(j, "opened_after_leaving", (double)r->opened_gone);
	json_number(j, "rss_kib", (double)r->rss_kib);
	smq_json_end(j);
}

static void print_result(const struct result *r)
{
	printf("%zu members joined in %.2f s; one takes %.1f ms (median), %.1f (p99), %.1f at most\n", r->members,
	       r->joined_s, r->join.p50, r->join.p99, r->join.most);
	if (r->rekeyed)
		printf(
		    "%zu left; from asking to be let go until another member is in the next epoch: %.1f ms (median), "
		    "%.1f (p99), %.1f at most\n",
		    r->rekeyed, r->rekey.p50, r->rekey.p99, r->rekey.most);
	if (r->floor.most > 0)
		printf("as many plain messages to each: %.1f ms (median), %.1f (p99), %.1f at most\n", r->floor.p50,
		       r->floor.p99, r->floor.most);
	if (r->rekeyed)
		printf("from the key server's answer until all are in the next epoch: %.1f ms (median)",
		       r->follow_all.p50);
	if (r->rekeyed && r->floor.most > 0)
		printf(", %.2f times what as many plain messages take", r->ratio.p50);
	if (r->rekeyed)
		puts("");
	if (r->left)
		printf("%llu left and %llu came back at random, and all were in the newest epoch at the end; those who "
		       "had "
		       "left opened %llu messages\n",
		       (unsigned long long)r->left, (unsigned long long)r->came_back,
		       (unsigned long long)r->opened_gone);
	printf("%llu messages to each: %llu of %llu came, %llu lost, %llu refused; those who left could not read %llu; "
	       "connections were lost %llu times; %.1f MiB of memory in all\n",
	       (unsigned long long)r->published, (unsigned long long)r->received, (unsigned long long)r->expected,
	       (unsigned long long)r->lost, (unsigned long long)r->refused, (unsigned long long)r->refused_gone,
	       (unsigned long long)r->cut_off, (double)r->rss_kib / 1024);
}

static int show(struct swarm *s)
{
	if (s->json)
		(void)!print_json(stdout, write_result, &s->result);
	else
		print_result(&s->result);
	if (s->result.opened_gone)
		return smq_err_exit(SMQ_ERR_BUG);
	return s->result.lost ? smq_err_exit(SMQ_ERR_CONNECTION_LOST) : 0;
}

/* ---- the command ---- */

static const char *wrong(const struct swarm *s)
{
	if (!s->ca)
		return "--ca DIR says who issues the identities";
	if (s->tool.s.groups.count != 1)
		return "--group GROUP says which group to join";
	if (s->tool.s.topics.count != 1)
		return "-t TOPIC says where to publish";
	if (s->count < 2 || s->leaves >= s->count)
		return "at least two members, and fewer that leave";
	return s->rate < 1 || s->moves < 1 || s->seed < 1 ? "--rate, --moves and --seed are at least 1" : NULL;
}

/* Root may go beyond the hard limit. What is left to each process says how many there have to be. */
static bool set_processes(struct swarm *s)
{
	struct rlimit files;
	rlim_t want = (rlim_t)s->count * FILES_EACH + EVENTS;
	const struct rlimit more = { .rlim_cur = want, .rlim_max = want };
	s->processes = 1;
	if (getrlimit(RLIMIT_NOFILE, &files) != 0 || (files.rlim_max < want && setrlimit(RLIMIT_NOFILE, &more) == 0))
		return true;
	files.rlim_cur = files.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &files);
	rlim_t each = files.rlim_max > 2 * EVENTS ? (files.rlim_max - EVENTS) / FILES_EACH : 0;
	if (each > s->leaves)
		s->processes = (s->count + each - s->leaves - 1) / (each - s->leaves);
	if (each > s->leaves && s->processes <= PROCESSES_MAX && (s->processes == 1 || s->churn_s == 0))
		return true;
	report_line(&s->tool.report, "%llu members need %llu files open at a time, and the limit is %llu (ulimit -Hn)",
		    (unsigned long long)s->count, (unsigned long long)want, (unsigned long long)files.rlim_max);
	return false;
}

/* ---- processes ---- */

/* Serves its members until the leader has seen enough. */
static int follow(struct swarm *s)
{
	struct rusage used;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	bool good = make_members(s) && join_all(s);
	while (good && !s->common->over) {
		turn(s);
		good = going_on(s, INT64_MAX, "of them came");
	}
	s->common->trouble = s->common->trouble || !good;
	getrusage(RUSAGE_SELF, &used);
	s->common->rss_kib[s->process] = used.ru_maxrss;
	return 0;
}

static bool start_followers(struct swarm *s)
{
	for (size_t i = 1; i < s->processes; i++) {
		s->children[i] = fork();
		if (s->children[i] == 0) {
			s->process = i;
			_exit(follow(s));
		}
		if (s->children[i] < 0) {
			report_line(&s->tool.report, "%s", strerror(errno));
			return false;
		}
	}
	return true;
}

static void end_followers(struct swarm *s)
{
	s->common->over = true;
	for (size_t i = 1; i < s->processes; i++) {
		while (s->children[i] > 0 && waitpid(s->children[i], NULL, 0) < 0 && errno == EINTR)
			;
	}
}

static bool make_room(struct swarm *s)
{
	size_t values = s->count * (s->leaves + 1), shared = s->count * sizeof(s->members[0]) + sizeof(*s->common);
	s->common = mmap(NULL, shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s->common == MAP_FAILED)
		return false;
	s->members = (struct member *)(void *)(s->common + 1);
	s->joins = mem_array(NULL, s->count, sizeof(double));
	s->rekeys = mem_array(NULL, values, sizeof(double));
	s->floors = mem_array(NULL, values, sizeof(double));
	s->follows = mem_array(NULL, values, sizeof(double));
	s->follows_all = mem_array(NULL, s->leaves + 1, sizeof(double));
	s->floors_all = mem_array(NULL, s->leaves + 1, sizeof(double));
	s->ratios = mem_array(NULL, s->leaves + 1, sizeof(double));
	memset(s->floors_all, 0, (s->leaves + 1) * sizeof(double));
	memset(s->ratios, 0, (s->leaves + 1) * sizeof(double));
	return true;
}

static void free_room(struct swarm *s)
{
	for (size_t i = 0; i < s->count; i++) {
		if (is_ours(s, i)) {
			smq_client_free(s->members[i].client);
			smq_realm_free(s->members[i].realm);
		}
	}
	if (s->epoll >= 0)
		close(s->epoll);
	free(s->joins);
	free(s->rekeys);
	free(s->floors);
	free(s->follows);
	free(s->follows_all);
	free(s->floors_all);
	free(s->ratios);
	munmap(s->common, s->count * sizeof(s->members[0]) + sizeof(*s->common));
}

static int swarm(struct swarm *s)
{
	const char *why = wrong(s);
	if (why) {
		report_line(&s->tool.report, "%s; `sealmq swarm --help` tells more", why);
		return smq_err_exit(SMQ_ERR_USAGE);
	}
	s->group[0] = s->tool.s.groups.items[0];
	if (!set_processes(s))
		return smq_err_exit(SMQ_ERR_FULL);
	if (!make_room(s))
		return smq_err_exit(SMQ_ERR_NO_MEMORY);
	bool done = issue_members(s) && start_followers(s) && make_members(s) && measure(s);
	end_followers(s);
	if (done)
		sum_up(s);
	int status = done ? show(s) : smq_err_exit(SMQ_ERR_TIMEOUT);
	free_room(s);
	return status;
}

int cmd_swarm(int argc, char **argv)
{
	struct swarm *s = mem_array(NULL, 1, sizeof *s);
	memset(s, 0, sizeof *s);
	s->epoll = -1;
	s->count = 100;
	s->leaves = 3;
	s->rate = 20;
	s->moves = 4;
	s->seed = 1;
	const struct own_option own[] = { { "--ca", OWN_TEXT, &s->ca, 0 },
					  { "--members", OWN_NUMBER, &s->count, MEMBERS_MAX },
					  { "--leaves", OWN_NUMBER, &s->leaves, MEMBERS_MAX },
					  { "--floor", OWN_FLAG, &s->floor, 0 },
					  { "--rate", OWN_NUMBER, &s->rate, 10000 },
					  { "--churn", OWN_NUMBER, &s->churn_s, 86400 },
					  { "--moves", OWN_NUMBER, &s->moves, 1000 },
					  { "--seed", OWN_NUMBER, &s->seed, 0 },
					  { "--json", OWN_FLAG, &s->json, 0 },
					  { "--help", OWN_FLAG, &s->help, 0 } };
	int status = smq_err_exit(SMQ_ERR_USAGE);
	if (own_options_take("sealmq swarm", own, sizeof own / sizeof own[0], &argc, argv)) {
		if (s->help) {
			fputs(usage, stdout);
			status = 0;
		} else {
			if (tool_start_bare(&s->tool, "sealmq swarm", argc, argv))
				tool_end(&s->tool, swarm(s));
			status = tool_finish(&s->tool);
		}
	}
	free(s);
	return status;
}
