/* Histograms and the lines of --stats. */
#include "cli/stats.h"

/* ---- histogram ---- */

/* Values below HISTOGRAM_SUB have a bucket each; above, every power of two is cut into HISTOGRAM_SUB parts. */
static size_t bucket_of(uint64_t value)
{
	if (value < HISTOGRAM_SUB)
		return (size_t)value;
	unsigned power = 63u - (unsigned)__builtin_clzll(value);
	size_t bucket = (size_t)(power - 4) * HISTOGRAM_SUB + (size_t)(value >> (power - 5)) - HISTOGRAM_SUB;
	return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

/* The largest value in the bucket. */
static uint64_t bucket_top(size_t bucket)
{
	if (bucket < HISTOGRAM_SUB)
		return bucket;
	unsigned shift = (unsigned)(bucket / HISTOGRAM_SUB) - 1;
	return ((HISTOGRAM_SUB + bucket % HISTOGRAM_SUB + 1) << shift) - 1;
}

void histogram_add(struct histogram *h, uint64_t value)
{
	h->buckets[bucket_of(value)]++;
	h->count++;
	if (value > h->max)
		h->max = value;
}

uint64_t histogram_at(const struct histogram *h, double share)
{
	double wanted = share * (double)h->count;
	uint64_t seen = 0;
	if (h->count == 0)
		return 0;
	for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += h->buckets[i];
		if (seen > 0 && (double)seen >= wanted)
			return bucket_top(i) < h->max ? bucket_top(i) : h->max;
	}
	return h->max;
}

/* ---- lines ---- */

void stats_init(struct stats *s, bool publishing, int64_t now_ms)
{
	*s = (struct stats){ .publishing = publishing, .last_ms = now_ms, .start_ms = now_ms };
}

void stats_message(struct stats *s, const struct smq_message *message)
{
	if (message->proof == SMQ_PROOF_PLAIN)
		return;
	histogram_add(&s->open_ns, message->open_ns);
	histogram_add(&s->all_open_ns, message->open_ns);
	if (message->age_ms == SMQ_NO_AGE)
		return;
	s->early += message->age_ms < 0;
	uint64_t age = message->age_ms > 0 ? (uint64_t)message->age_ms : 0;
	histogram_add(&s->age_ms, age);
	histogram_add(&s->all_age_ms, age);
}

static void put_bytes(struct buf *out, double bytes)
{
	static const char *const units[] = { "B", "kB", "MB", "GB" };
	size_t unit = 0;
	while (bytes >= 10000 && unit < 3) {
		bytes /= 1000;
		unit++;
	}
	buf_printf(out, "%.0f %s", bytes, units[unit]);
}

static void put_times(struct buf *out, const struct histogram *open_ns, const struct histogram *age_ms)
{
	if (open_ns->count)
		buf_printf(out, " mean, p50 %.1f us, p99 %.1f us, max %.1f us",
			   (double)histogram_at(open_ns, 0.5) / 1000, (double)histogram_at(open_ns, 0.99) / 1000,
			   (double)open_ns->max / 1000);
	if (age_ms->count)
		buf_printf(out, " | end to end p50 %llu ms, p99 %llu ms, max %llu ms",
			   (unsigned long long)histogram_at(age_ms, 0.5),
			   (unsigned long long)histogram_at(age_ms, 0.99), (unsigned long long)age_ms->max);
}

static void put_refusals(struct buf *out, const struct smq_counts *n, const struct smq_counts *b)
{
	const struct {
		const char *name;
		uint64_t count;
	} kinds[] = { { "replay", n->refused_replay - b->refused_replay },
		      { "open", n->refused_open - b->refused_open },
		      { "no key", n->refused_no_key - b->refused_no_key },
		      { "moved", n->refused_moved - b->refused_moved },
		      { "malformed", n->refused_malformed - b->refused_malformed },
		      { "sender", n->refused_sender - b->refused_sender },
		      { "stale", n->refused_stale - b->refused_stale },
		      { "not sealed", n->refused_not_sealed - b->refused_not_sealed } };
	const char *between = " (";
	buf_printf(out, " | missing %llu, refused %llu", (unsigned long long)(n->missing - b->missing),
		   (unsigned long long)(n->refused - b->refused));
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		if (kinds[i].count) {
			buf_printf(out, "%s%s %llu", between, kinds[i].name, (unsigned long long)kinds[i].count);
			between = ", ";
		}
	}
	if (between[0] == ',')
		buf_put(out, ")", 1);
}

static void put_line(const struct stats *s, const struct smq_counts *n, const struct smq_counts *b, int64_t ms,
		     const struct histogram *open_ns, const struct histogram *age_ms, struct buf *out)
{
	uint64_t sealed = s->publishing ? n->sealed - b->sealed : n->opened - b->opened;
	uint64_t plain = s->publishing ? n->plain_out - b->plain_out : n->plain_in - b->plain_in;
	uint64_t ns = s->publishing ? n->seal_ns - b->seal_ns : n->open_ns - b->open_ns;
	double seconds = ms > 0 ? (double)ms / 1000 : 0.001;
	buf_printf(out, "%llu messages, %.1f/s, ", (unsigned long long)(sealed + plain),
		   (double)(sealed + plain) / seconds);
	put_bytes(out, (double)(n->bytes_plain - b->bytes_plain) / seconds);
	buf_text(out, "/s");
	if (sealed) {
		buf_printf(out, " | over plaintext %.1f B | %s %.1f us",
			   (double)(n->bytes_sealed - b->bytes_sealed - (n->bytes_plain - b->bytes_plain)) /
			       (double)sealed,
			   s->publishing ? "seal" : "open", (double)ns / (double)sealed / 1000);
		put_times(out, open_ns, age_ms);
	}
	if (s->publishing)
		buf_printf(out, " | acknowledged %llu, waiting %llu",
			   (unsigned long long)(n->acknowledged - b->acknowledged), (unsigned long long)n->queued);
	else
		put_refusals(out, n, b);
	if (n->sessions != b->sessions)
		buf_printf(out, " | key exchanges %llu", (unsigned long long)(n->sessions - b->sessions));
	if (n->reconnects != b->reconnects)
		buf_printf(out, " | reconnects %llu", (unsigned long long)(n->reconnects - b->reconnects));
	buf_put(out, "\n", 1);
}

void stats_line(struct stats *s, const struct smq_counts *counts, int64_t now_ms, struct buf *out)
{
	buf_printf(out, "stats %.1f s: ", (double)(now_ms - s->start_ms) / 1000);
	put_line(s, counts, &s->last, now_ms - s->last_ms, &s->open_ns, &s->age_ms, out);
	s->last = *counts;
	s->last_ms = now_ms;
	s->open_ns = (struct histogram){ 0 };
	s->age_ms = (struct histogram){ 0 };
}

void stats_total(struct stats *s, const struct smq_counts *counts, int64_t now_ms, struct buf *out)
{
	static const struct smq_counts none;
	buf_printf(out, "stats in all, %.1f s: ", (double)(now_ms - s->start_ms) / 1000);
	put_line(s, counts, &none, now_ms - s->start_ms, &s->all_open_ns, &s->all_age_ms, out);
	if (s->early)
		buf_printf(out,
			   "stats: %llu messages seem to come from the future: the senders' clocks are ahead of ours\n",
			   (unsigned long long)s->early);
}
