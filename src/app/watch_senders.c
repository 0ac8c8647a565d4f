/* Senders and their histories: moving averages, and what is far away from them. */
#include "app/watch_senders.h"

#include <string.h>

enum {
	WAYS = 8, /* places that a sender may be in */
	HISTORY_MESSAGES = 50,
	HISTORY_S = 600, /* a burst is no habit */
	SLACK_MESSAGES = 20,
	SLACK_BYTES = 256
};

struct smq_sender *smq_senders_find(struct smq_senders *s, uint64_t hash, smq_span name, int64_t now_s)
{
	struct smq_sender *set = &s->rows[(hash % (SMQ_SENDERS / WAYS)) * WAYS];
	struct smq_sender *oldest = set;
	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].hash == hash)
			return &set[i];
		if (set[i].last_s < oldest->last_s)
			oldest = &set[i];
	}
	size_t len = name.len < SMQ_SUBJECT_LEN - 1 ? name.len : SMQ_SUBJECT_LEN - 1;
	*oldest = (struct smq_sender){ .hash = hash, .first_s = now_s, .last_s = now_s, .minute_s = now_s };
	memcpy(oldest->name, name.p, len);
	return oldest;
}

/* Far-off values pull the average along slowly: an attack must not become the habit. */
static double drawn(double usual, double value, double share)
{
	double most = usual * 2 + 1;
	return usual + ((value < most ? value : most) - usual) * share;
}

static void turn_minute(struct smq_sender *s, int64_t now_s)
{
	while (now_s - s->minute_s >= 60) {
		s->per_minute = s->minutes ? drawn(s->per_minute, s->in_minute, 0.1) : s->in_minute;
		s->minutes++;
		s->in_minute = 0;
		s->told_rate = false;
		/* After a long pause the habit is kept, and not buried under empty minutes. */
		s->minute_s = now_s - s->minute_s >= 1200 ? now_s : s->minute_s + 60;
	}
}

static bool too_many(struct smq_sender *s, const struct smq_sender_limits *l)
{
	bool far = s->minutes >= l->rate_minutes && !s->told_rate &&
		   s->in_minute > s->per_minute * l->rate_times + SLACK_MESSAGES;
	s->told_rate = s->told_rate || far;
	return far;
}

struct smq_sender_news smq_sender_sent(struct smq_sender *s, uint64_t bytes, int64_t now_s,
				       const struct smq_sender_limits *l)
{
	struct smq_sender_news news = { false, false, 0, 0 };
	double pause = (double)(now_s > s->last_s ? now_s - s->last_s : 0);
	turn_minute(s, now_s);
	s->in_minute++;
	if (too_many(s, l))
		news = (struct smq_sender_news){ true, false, s->per_minute, s->in_minute };
	else if (s->messages >= l->size_messages && (double)bytes > s->size * l->size_times + SLACK_BYTES)
		news = (struct smq_sender_news){ false, true, s->size, (double)bytes };
	s->size = s->messages ? drawn(s->size, (double)bytes, 0.05) : (double)bytes;
	s->pause_s = s->messages > 1 ? drawn(s->pause_s, pause, 0.05) : pause;
	s->messages++;
	s->last_s = now_s > s->last_s ? now_s : s->last_s;
	s->silent = false;
	return news;
}

struct smq_sender_gaps smq_sender_counted(struct smq_sender *s, uint64_t missing, int64_t now_s, uint32_t least)
{
	enum { GAP_TIMES = 5, GAP_MOST = 1000000 };
	if (now_s - s->counted_s >= 60) {
		double all = (double)s->seen + s->missing;
		/* As with rates: an attack must not become the habit. */
		if (s->seen)
			s->gap_share = drawn(s->gap_share, s->missing / all, 0.1);
		s->counted_s = now_s;
		s->seen = s->missing = 0;
		s->told_gaps = false;
	}
	s->seen++;
	s->missing += (uint32_t)(missing < GAP_MOST ? missing : GAP_MOST);
	struct smq_sender_gaps g = { false, s->gap_share * ((double)s->seen + s->missing), s->missing };
	g.far = !s->told_gaps && s->missing >= least && g.now > g.usual * GAP_TIMES;
	s->told_gaps = s->told_gaps || g.far;
	return g;
}

bool smq_sender_fell_silent(struct smq_sender *s, int64_t now_s, uint32_t times, uint32_t least_s)
{
	double patience = s->pause_s * times;
	if (s->hash == 0 || s->silent || s->messages < HISTORY_MESSAGES || s->last_s - s->first_s < HISTORY_S)
		return false;
	if (patience < least_s)
		patience = least_s;
	s->silent = (double)(now_s - s->last_s) > patience;
	return s->silent;
}
