/* The watcher: counts events by rule and subject, and raises alarms. */
#include "app/watch.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sealmq/text.h>

#include "app/watch_senders.h"
#include "base/table.h"

enum {
	COUNTERS = 8192,
	CLIENTS = 4096,
	WAYS = 8,
	EVIDENCE_LEN = 200,
	SHOWN_LEN = 4 * EVIDENCE_LEN + 1,
	LOOK_EVERY_S = 10 /* for senders that fell silent */
};

/* Events of one rule about one subject: this window and the one before. */
struct counter {
	uint64_t hash; /* 0: a free place */
	char subject[SMQ_SUBJECT_LEN];
	int64_t window_s, first_s, last_s, told_s;
	uint32_t now, before;
	uint64_t untold;
	uint64_t seen[4]; /* for rules that count different things: which hashes were there in this window */
	char evidence[SMQ_WATCH_EVIDENCE][EVIDENCE_LEN];
	unsigned next;
};

/* Whose client id it is. */
struct client {
	uint64_t hash;
	uint64_t used; /* at which line */
	char user[SMQ_SUBJECT_LEN];
};

struct smq_watch {
	struct smq_watch_settings settings;
	uint64_t seed;
	void *self;
	void (*on_alarm)(void *self, const struct smq_watch_alarm *alarm);
	struct smq_watch_totals totals;
	struct counter counters[COUNTERS];
	struct client clients[CLIENTS];
	struct smq_senders senders;
	char subscriber[SMQ_SUBJECT_LEN];
	bool tls_refused; /* the line before told of it; the next one of its end */
	int64_t looked_s;
	uint64_t dropped;  /* $SYS: the number that growth is counted from, since when */
	int64_t dropped_s; /* 0: not heard yet */
};

struct smq_watch *smq_watch_new(const struct smq_watch_settings *settings, uint64_t seed, void *self,
				void (*on_alarm)(void *self, const struct smq_watch_alarm *alarm))
{
	struct smq_watch *w = calloc(1, sizeof(*w));
	if (!w)
		return NULL;
	w->settings = *settings;
	w->seed = seed;
	w->self = self;
	w->on_alarm = on_alarm;
	w->totals.rule_count = SMQ_RULES;
	for (size_t i = 0; i < SMQ_RULES; i++)
		w->totals.rules[i].name = smq_watch_rule_rows[i].name;
	return w;
}

void smq_watch_free(struct smq_watch *w) { free(w); }

const struct smq_watch_totals *smq_watch_totals(const struct smq_watch *w) { return &w->totals; }

/* ---- finding places ---- */

/* Never 0. */
static uint64_t hash_of(const struct smq_watch *w, uint64_t salt, smq_span text)
{
	uint64_t h = w->seed ^ (salt * 0x9e3779b97f4a7c15u);
	for (size_t i = 0; i < text.len; i++) {
		h = (h ^ text.p[i]) * 0x100000001b3u;
		h ^= h >> 29;
	}
	return h ? h : 1;
}

static void keep(char *room, size_t len, smq_span text)
{
	size_t n = text.len < len - 1 ? text.len : len - 1;
	if (n)
		memcpy(room, text.p, n);
	room[n] = 0;
}

static struct counter *counter_of(struct smq_watch *w, enum smq_watch_rule rule, smq_span subject, int64_t now_s)
{
	uint64_t hash = hash_of(w, (uint64_t)rule + 1, subject);
	struct counter *set = &w->counters[(hash % (COUNTERS / WAYS)) * WAYS];
	struct counter *oldest = set;
	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].hash == hash)
			return &set[i];
		if (set[i].last_s < oldest->last_s)
			oldest = &set[i];
	}
	*oldest = (struct counter){ .hash = hash, .window_s = now_s, .first_s = now_s };
	keep(oldest->subject, sizeof(oldest->subject), subject);
	return oldest;
}

/* The place of a client id, or the one among its places that was used longest ago. */
static struct client *client_of(struct smq_watch *w, smq_span id)
{
	uint64_t hash = hash_of(w, 0, id);
	struct client *set = &w->clients[(hash % (CLIENTS / WAYS)) * WAYS];
	struct client *oldest = set;
	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].hash == hash)
			return &set[i];
		if (set[i].used < oldest->used)
			oldest = &set[i];
	}
	return oldest;
}

/* The member behind a client id, if it is known; else the id. */
static smq_span user_of(struct smq_watch *w, smq_span id)
{
	struct client *c = client_of(w, id);
	if (c->hash != hash_of(w, 0, id) || !c->user[0])
		return id;
	c->used = w->totals.lines;
	return smq_span_str(c->user);
}

/* ---- alarms ---- */

struct shown {
	char subject[4 * SMQ_SUBJECT_LEN + 1];
	char text[4 * SMQ_SUBJECT_LEN + 128];
	char evidence[SMQ_WATCH_EVIDENCE][SHOWN_LEN];
};

static void put_text(const struct smq_watch_rule_row *row, struct shown *s)
{
	const char *hole = strstr(row->text, "%s");
	(void)snprintf(s->text, sizeof(s->text), "%.*s%s%s", (int)(hole - row->text), row->text, s->subject, hole + 2);
}

static void tell(struct smq_watch *w, enum smq_watch_rule rule, struct counter *c, uint64_t count)
{
	struct shown s;
	struct smq_watch_alarm a = { .rule = smq_watch_rule_rows[rule].name,
				     .severity = w->settings.limits[rule].severity,
				     .count = count,
				     .repeats = c->untold,
				     .first_s = c->first_s,
				     .last_s = c->last_s };
	smq_escape(smq_span_str(c->subject), s.subject, sizeof(s.subject));
	put_text(&smq_watch_rule_rows[rule], &s);
	size_t shown = 0;
	for (unsigned i = 0; i < SMQ_WATCH_EVIDENCE; i++) {
		const char *line = c->evidence[(c->next + i) % SMQ_WATCH_EVIDENCE];
		if (!line[0])
			continue;
		smq_escape(smq_span_str(line), s.evidence[shown], SHOWN_LEN);
		a.evidence[shown] = s.evidence[shown];
		shown++;
	}
	a.subject = s.subject;
	a.text = s.text;
	c->told_s = c->last_s;
	c->untold = 0;
	w->totals.rules[rule].alarms++;
	if (a.severity > w->totals.worst)
		w->totals.worst = a.severity;
	w->on_alarm(w->self, &a);
}

/* The window slides: what is left of the one before counts by the part of it that is still in sight. */
static uint64_t in_sight(struct counter *c, uint32_t within_s, int64_t now_s)
{
	int64_t age = now_s - c->window_s;
	if (age >= 2 * (int64_t)within_s) {
		c->before = c->now = 0;
		c->window_s = c->first_s = now_s;
		memset(c->seen, 0, sizeof(c->seen));
	} else if (age >= within_s) {
		c->before = c->now;
		c->now = 0;
		c->window_s += within_s;
		memset(c->seen, 0, sizeof(c->seen));
	}
	age = now_s > c->window_s ? now_s - c->window_s : 0;
	return c->now + 1 + (uint64_t)c->before * (uint64_t)(within_s - age) / within_s;
}

static void count(struct smq_watch *w, enum smq_watch_rule rule, smq_span subject, smq_span line, int64_t now_s)
{
	const struct smq_watch_limit *limit = &w->settings.limits[rule];
	w->totals.rules[rule].events++;
	if (limit->off)
		return;
	struct counter *c = counter_of(w, rule, subject, now_s);
	uint64_t seen = in_sight(c, limit->within_s, now_s);
	c->now++;
	c->last_s = now_s;
	c->untold++;
	keep(c->evidence[c->next], EVIDENCE_LEN, line);
	c->next = (c->next + 1) % SMQ_WATCH_EVIDENCE;
	if (seen >= limit->count && (c->told_s == 0 || now_s - c->told_s >= w->settings.suppress_s))
		tell(w, rule, c, seen);
}

/* Counts a thing once in a window. */
static void count_different(struct smq_watch *w, enum smq_watch_rule rule, smq_span subject, smq_span thing,
			    smq_span line, int64_t now_s)
{
	struct counter *c = counter_of(w, rule, subject, now_s);
	(void)in_sight(c, w->settings.limits[rule].within_s, now_s);
	uint64_t bit = hash_of(w, 77, thing) % 256;
	if (c->seen[bit / 64] & (1ull << (bit % 64)))
		return;
	c->seen[bit / 64] |= 1ull << (bit % 64);
	count(w, rule, subject, line, now_s);
}

/* One that counts as it stands, with a sentence of ours as evidence. */
__attribute__((format(printf, 5, 6))) static void
raise_alarm(struct smq_watch *w, enum smq_watch_rule rule, const char *subject, int64_t now_s, const char *format, ...)
{
	char line[EVIDENCE_LEN];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	struct counter *c = counter_of(w, rule, smq_span_str(subject), now_s);
	w->totals.rules[rule].events++;
	if (w->settings.limits[rule].off)
		return;
	c->last_s = now_s;
	c->untold++;
	keep(c->evidence[c->next], EVIDENCE_LEN, smq_span_str(line));
	c->next = (c->next + 1) % SMQ_WATCH_EVIDENCE;
	if (c->told_s == 0 || now_s - c->told_s >= w->settings.suppress_s)
		tell(w, rule, c, 1);
}

void smq_watch_note(struct smq_watch *w, enum smq_watch_rule rule, const char *subject, const char *evidence,
		    int64_t now_s)
{
	raise_alarm(w, rule, subject, now_s, "%s", evidence);
}

/* ---- senders ---- */

static void published(struct smq_watch *w, const struct smq_watch_line *l, int64_t now_s)
{
	const struct smq_watch_limit *rate = &w->settings.limits[SMQ_RULE_RATE];
	const struct smq_watch_limit *size = &w->settings.limits[SMQ_RULE_SIZE];
	struct smq_sender_limits limits = { rate->count, rate->within_s, size->count, size->within_s };
	smq_span name = user_of(w, l->who);
	struct smq_sender *s = smq_senders_find(&w->senders, hash_of(w, 1000, name), name, now_s);
	struct smq_sender_news news = smq_sender_sent(s, l->number, now_s, &limits);
	if (news.rate)
		raise_alarm(w, SMQ_RULE_RATE, s->name, now_s, "%.0f messages in a minute, usually %.1f", news.now,
			    news.usual);
	if (news.size)
		raise_alarm(w, SMQ_RULE_SIZE, s->name, now_s, "%.0f bytes, usually %.0f; topic '%.*s'", news.now,
			    news.usual, (int)(l->what.len < 80 ? l->what.len : 80), (const char *)l->what.p);
}

static void opened(struct smq_watch *w, const struct smq_watch_line *l, int64_t now_s)
{
	const struct smq_watch_limit *limit = &w->settings.limits[SMQ_RULE_GAPS];
	struct smq_sender *s = smq_senders_find(&w->senders, hash_of(w, 1001, l->who), l->who, now_s);
	struct smq_sender_gaps gaps = smq_sender_counted(s, l->number, now_s, limit->count);
	if (gaps.far)
		raise_alarm(w, SMQ_RULE_GAPS, s->name, now_s, "%.0f messages are missing in a minute, usually %.1f",
			    gaps.now, gaps.usual);
}

/* ---- $SYS ---- */

static void told_of_itself(struct smq_watch *w, const struct smq_watch_line *l, int64_t now_s)
{
	const struct smq_watch_limit *drops = &w->settings.limits[SMQ_RULE_DROPPED];
	if (smq_span_equal(l->what, smq_span_str("$SYS/broker/heap/current")) &&
	    l->number / 1048576 >= w->settings.limits[SMQ_RULE_MEMORY].count)
		raise_alarm(w, SMQ_RULE_MEMORY, "", now_s, "$SYS: %llu MB are taken",
			    (unsigned long long)(l->number / 1048576));
	if (!smq_span_equal(l->what, smq_span_str("$SYS/broker/publish/messages/dropped")))
		return;
	bool anew = w->dropped_s == 0 || l->number < w->dropped; /* it has started again */
	uint64_t more = anew ? 0 : l->number - w->dropped;
	if (more >= drops->count)
		raise_alarm(w, SMQ_RULE_DROPPED, "", now_s, "$SYS: %llu messages dropped within %lld s",
			    (unsigned long long)more, (long long)(now_s - w->dropped_s));
	if (anew || now_s - w->dropped_s >= drops->within_s || more >= drops->count) {
		w->dropped = l->number;
		w->dropped_s = now_s;
	}
}

void smq_watch_tick(struct smq_watch *w, int64_t now_s)
{
	const struct smq_watch_limit *limit = &w->settings.limits[SMQ_RULE_SILENT];
	if (limit->off || (now_s >= w->looked_s && now_s - w->looked_s < LOOK_EVERY_S))
		return;
	w->looked_s = now_s;
	for (size_t i = 0; i < SMQ_SENDERS; i++) {
		struct smq_sender *s = &w->senders.rows[i];
		if (smq_sender_fell_silent(s, now_s, limit->count, limit->within_s))
			raise_alarm(w, SMQ_RULE_SILENT, s->name, now_s,
				    "last heard %lld s ago, usually every %.1f s, %llu messages before",
				    (long long)(now_s - s->last_s), s->pause_s, (unsigned long long)s->messages);
	}
}

/* ---- lines ---- */

static void asked_for(struct smq_watch *w, smq_span filter, smq_span line, int64_t now_s)
{
	smq_span who = user_of(w, smq_span_str(w->subscriber));
	bool all = (filter.len == 1 && filter.p[0] == '#') || (filter.len == 6 && memcmp(filter.p, "$SYS/#", 6) == 0) ||
		   (filter.len == 3 && memcmp(filter.p, "+/#", 3) == 0);
	if (all)
		count(w, SMQ_RULE_WILDCARD, who, line, now_s);
	count_different(w, SMQ_RULE_TOPIC_SCAN, who, filter, line, now_s);
}

static void refused(struct smq_watch *w, const struct smq_watch_line *l, smq_span line, int64_t now_s)
{
	static const struct {
		const char *code;
		enum smq_watch_rule rule;
	} rows[] = {
		{ "open", SMQ_RULE_FORGED },      { "signature", SMQ_RULE_FORGED },  { "not-proven", SMQ_RULE_FORGED },
		{ "malformed", SMQ_RULE_FORGED }, { "not-sealed", SMQ_RULE_FORGED }, { "replay", SMQ_RULE_REPLAYED },
		{ "moved", SMQ_RULE_MOVED },      { "topic", SMQ_RULE_MOVED },       { "stale-epoch", SMQ_RULE_STALE },
	};
	enum smq_watch_rule rule = SMQ_RULE_REFUSED;
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		if (smq_span_equal(l->what, smq_span_str(rows[i].code)))
			rule = rows[i].rule;
	}
	count(w, rule, l->who.len ? l->who : smq_span_str("somebody"), line, now_s);
}

static void connected(struct smq_watch *w, const struct smq_watch_line *l, smq_span line, int64_t now_s)
{
	struct client *c = client_of(w, l->who);
	c->hash = hash_of(w, 0, l->who);
	c->used = w->totals.lines;
	keep(c->user, sizeof(c->user), l->what);
	count(w, SMQ_RULE_RECONNECT_LOOP, l->who, line, now_s);
}

static void passed(struct smq_watch *w, const struct smq_watch_line *l, smq_span line, int64_t now_s)
{
	enum { SHORT_MS = 2000 };
	count(w, SMQ_RULE_ADDRESS_STORM, l->who, line, now_s);
	if (l->number < SHORT_MS)
		count(w, SMQ_RULE_SHORT_CONNECTIONS, l->who, line, now_s);
}

/* Somebody who did not get as far as a name is "strangers". A refused TLS handshake was counted by the line before. */
static void malformed(struct smq_watch *w, enum smq_watch_rule rule, const struct smq_watch_line *l, smq_span line,
		      int64_t now_s)
{
	bool nobody = smq_span_equal(l->who, smq_span_str("<unknown>"));
	if (!(nobody && w->tls_refused))
		count(w, rule, nobody ? smq_span_str("strangers") : user_of(w, l->who), line, now_s);
}

static void take(struct smq_watch *w, const struct smq_watch_line *l, smq_span line, int64_t now_s)
{
	static const smq_span broker = { (const uint8_t *)"", 0 };
	static const struct {
		enum smq_watch_kind kind;
		enum smq_watch_rule rule;
		bool by_who;
	} plain[] = {
		{ SMQ_WATCH_NEW, SMQ_RULE_CONNECTION_STORM, false },
		{ SMQ_WATCH_LOGIN_REFUSED, SMQ_RULE_PASSWORD_GUESSING, false },
		{ SMQ_WATCH_TLS_REFUSED, SMQ_RULE_CERTIFICATE_GUESSING, false },
		{ SMQ_WATCH_TAKEN_OVER, SMQ_RULE_TAKEOVER, true },
		{ SMQ_WATCH_TIMED_OUT, SMQ_RULE_TIMEOUTS, true },
		{ SMQ_WATCH_STARTING, SMQ_RULE_RESTARTS, false },
		{ SMQ_WATCH_NOT_TLS13, SMQ_RULE_NOT_TLS13, true },
		{ SMQ_WATCH_LIMITED, SMQ_RULE_ADDRESS_LIMIT, true },
		{ SMQ_WATCH_UNREACHABLE, SMQ_RULE_UNREACHABLE, true },
		{ SMQ_WATCH_KEYEX_FAILED, SMQ_RULE_KEYEX_FAILED, true },
		{ SMQ_WATCH_JOIN_DENIED, SMQ_RULE_JOIN_DENIED, true },
	};
	for (size_t i = 0; i < SMQ_COUNT(plain); i++) {
		if (plain[i].kind == l->kind)
			count(w, plain[i].rule, plain[i].by_who ? l->who : broker, line, now_s);
	}
	switch (l->kind) {
	case SMQ_WATCH_CONNECTED:
		connected(w, l, line, now_s);
		break;
	case SMQ_WATCH_DENIED:
		count(w, SMQ_RULE_ACL_PROBING, user_of(w, l->who), line, now_s);
		count_different(w, SMQ_RULE_TOPIC_SCAN, user_of(w, l->who), l->what, line, now_s);
		break;
	case SMQ_WATCH_SUBSCRIBER:
		keep(w->subscriber, sizeof(w->subscriber), l->who);
		break;
	case SMQ_WATCH_FILTER:
		asked_for(w, l->what, line, now_s);
		break;
	case SMQ_WATCH_MALFORMED:
		malformed(w, SMQ_RULE_MALFORMED, l, line, now_s);
		break;
	case SMQ_WATCH_OVERSIZE:
		malformed(w, SMQ_RULE_OVERSIZE, l, line, now_s);
		break;
	case SMQ_WATCH_PUBLISHED:
		published(w, l, now_s);
		break;
	case SMQ_WATCH_PASSED:
		passed(w, l, line, now_s);
		break;
	case SMQ_WATCH_REFUSED:
		refused(w, l, line, now_s);
		break;
	case SMQ_WATCH_SYS:
		told_of_itself(w, l, now_s);
		break;
	case SMQ_WATCH_SEEN:
		opened(w, l, now_s);
		break;
	default:
		break;
	}
}

void smq_watch_line(struct smq_watch *w, struct smq_watch_clock *clock, smq_span line, int64_t now_s)
{
	struct smq_watch_line l = smq_watch_read(clock, line);
	int64_t at = l.time_s ? l.time_s : now_s;
	w->totals.lines++;
	w->totals.bytes += line.len + 1;
	if (l.kind != SMQ_WATCH_NOTHING)
		take(w, &l, line, at);
	w->tls_refused = l.kind == SMQ_WATCH_TLS_REFUSED;
	/* Only Mosquitto's log tells of senders, so its time is the one that counts. */
	if (l.kind >= SMQ_WATCH_NEW && l.kind <= SMQ_WATCH_STARTING)
		smq_watch_tick(w, at);
}
