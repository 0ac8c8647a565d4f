/* What goes to standard error: warnings and refusals, one line each, escaped and rate limited. */
#ifndef SMQ_CLI_REPORT_H
#define SMQ_CLI_REPORT_H

#include <stdbool.h>

#include <sealmq/client.h>

#include "cli/buf.h"

enum { REPORT_PER_WINDOW = 5, REPORT_WINDOW_MS = 10000, REPORT_REASONS = 32 };

struct report_reason {
	smq_err reason;
	int64_t since_ms;
	uint64_t printed, held_back;
};

/* Lines about refusals: at most REPORT_PER_WINDOW per reason and REPORT_WINDOW_MS, then a count of the rest. */
struct report {
	const char *tool; /* "sealmq sub" */
	bool quiet;
	bool json; /* each line as an object with time, tool and text */
	struct report_reason reasons[REPORT_REASONS];
	size_t reason_count;
	uint64_t total;
	int64_t failures_since_ms; /* failed key exchanges: anybody can make one fail */
	uint64_t failures_printed, failures_held_back;
	smq_err first; /* the first refusal's reason; SMQ_OK: none so far */
};

/* Appends the line, or nothing where it is held back. */
void report_refusal(struct report *r, const struct smq_refusal *refusal, int64_t now_ms, struct buf *out);
/* Appends the line about a failed key exchange, or nothing where it is held back. */
void report_failure(struct report *r, const struct smq_event *event, int64_t now_ms, struct buf *out);
/* Appends the counts of what was held back in windows that have ended (or in all, at the end). */
void report_held_back(struct report *r, int64_t now_ms, bool all, struct buf *out);
/* When report_held_back has something to say, on the clock of now_ms; INT64_MAX: never. */
int64_t report_due_ms(const struct report *r);

/* Prints lines that the functions above have made. */
void report_text(const struct report *r, const char *text, size_t len);
/* Prints "TOOL: text\n" on standard error unless quiet. The text must be fit for a terminal. */
__attribute__((format(printf, 2, 3))) void report_line(const struct report *r, const char *format, ...);
/* Untrusted text for such a line, at most 120 characters of it; valid until the fourth call from now. */
const char *report_shown(const char *text);

#endif
