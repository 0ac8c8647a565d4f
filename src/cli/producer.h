/* Where pub's messages come from: a text, a file, standard input, its lines, or a source of telemetry. */
#ifndef SMQ_CLI_PRODUCER_H
#define SMQ_CLI_PRODUCER_H

#include <sealmq/telemetry.h>

#include "cli/buf.h"
#include "cli/report.h"
#include "cli/settings.h"

enum produced {
	PRODUCED_MESSAGE, /* there is one */
	PRODUCED_LATER,   /* not before due_ms, or not before standard input has more (wants_stdin) */
	PRODUCED_END,
	PRODUCED_FAILED /* err says why; reported already */
};

struct producer {
	enum message_mode mode;
	struct buf buf; /* the message, or what was read of standard input and not handed out yet */
	size_t taken;   /* bytes of buf handed out already */
	bool stdin_ended;
	bool wants_stdin; /* read when it is readable, with producer_read */
	int64_t left;     /* repetitions */
	double repeat_delay_s;
	struct smq_pace pace;
	int64_t due_ms;
	bool due_known;
	smq_source *source;
	struct smq_record record; /* read ahead, while due_known */
	const char **columns;
	struct report *report;
	smq_err err;
};

/* Reads what is read at once (-f, -s), opens what is opened. SMQ_OK, or reported and what to end with. */
SMQ_MUST_USE smq_err producer_open(struct producer *p, const struct settings *s, struct report *report);
/* The next message, valid until the next call. `idle`: everything before it is acknowledged. */
enum produced producer_next(struct producer *p, int64_t now_ms, bool idle, smq_span *ret_message);
/* Another rate, records a second, from now on. */
void producer_set_rate(struct producer *p, double rate, int64_t now_ms);
/* Takes what standard input has, without waiting if it is readable. */
void producer_read(struct producer *p);
void producer_close(struct producer *p);

#endif
