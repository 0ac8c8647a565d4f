/*
 * The numbers of --stats: a histogram of times, and the line that is printed every few seconds.
 *
 * The histogram counts values of 0 to 2^62 in buckets that are at most 1/32 wide, so that a percentile is right
 * to about 3 %, in fixed memory.
 */
#ifndef SMQ_CLI_STATS_H
#define SMQ_CLI_STATS_H

#include <stdbool.h>

#include <sealmq/client.h>

#include "cli/buf.h"

enum { HISTOGRAM_SUB = 32, HISTOGRAM_BUCKETS = 60 * HISTOGRAM_SUB };

struct histogram {
	uint64_t count, max;
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t value);
/* The smallest value that at least this share (0..1) of the values do not exceed, to the bucket; 0 when empty. */
uint64_t histogram_at(const struct histogram *h, double share);

struct stats {
	bool publishing;
	int64_t last_ms; /* monotonic time of the last line */
	int64_t start_ms;
	struct smq_counts last;                   /* counts at the last line */
	struct histogram age_ms, open_ns;         /* since the last line */
	struct histogram all_age_ms, all_open_ns; /* since the start */
	uint64_t early;                           /* messages that seem to come from the future: clocks differ */
};

void stats_init(struct stats *s, bool publishing, int64_t now_ms);
void stats_message(struct stats *s, const struct smq_message *message);
/* Appends one line for the time since the last one, and begins anew. */
void stats_line(struct stats *s, const struct smq_counts *counts, int64_t now_ms, struct buf *out);
/* Appends the last line: everything since the start. */
void stats_total(struct stats *s, const struct smq_counts *counts, int64_t now_ms, struct buf *out);

#endif
