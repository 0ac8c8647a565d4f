/* Senders and their histories: how often and how much each of them usually sends. */
#ifndef SMQ_APP_WATCH_SENDERS_H
#define SMQ_APP_WATCH_SENDERS_H

#include <stdbool.h>
#include <stdint.h>

#include <sealmq/span.h>

enum { SMQ_SUBJECT_LEN = 96, SMQ_SENDERS = 4096 };

struct smq_sender {
	uint64_t hash; /* 0: a free place */
	char name[SMQ_SUBJECT_LEN];
	int64_t first_s, last_s, minute_s;
	uint64_t messages;
	uint32_t in_minute, minutes;
	double pause_s, per_minute, size;  /* what is usual */
	bool silent, told_rate, told_gaps; /* told, and not over yet */
	/* by its counters: what of this minute was seen and is missing, and which share is usual */
	int64_t counted_s;
	uint32_t seen, missing;
	double gap_share;
};

struct smq_senders {
	struct smq_sender rows[SMQ_SENDERS];
};

/* What is out of its ways in this message. */
struct smq_sender_news {
	bool rate, size;
	double usual, now;
};

struct smq_sender_limits {
	uint32_t rate_times, rate_minutes, size_times, size_messages;
};

/* The sender's place; a new one where it is unknown, in the place of whoever was quiet longest. */
struct smq_sender *smq_senders_find(struct smq_senders *s, uint64_t hash, smq_span name, int64_t now_s);
struct smq_sender_news smq_sender_sent(struct smq_sender *sender, uint64_t bytes, int64_t now_s,
				       const struct smq_sender_limits *limits);
/* A message whose counter says that so many before it did not come. Whether more are missing in this minute than
 * `least`, and five times what is usual; usual and now are of the minute. */
struct smq_sender_gaps {
	bool far;
	double usual, now;
};
struct smq_sender_gaps smq_sender_counted(struct smq_sender *sender, uint64_t missing, int64_t now_s, uint32_t least);
/* Whether it was expected long ago; then it counts as told. */
bool smq_sender_fell_silent(struct smq_sender *sender, int64_t now_s, uint32_t times, uint32_t least_s);

#endif
