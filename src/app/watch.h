/*
 * The watcher: takes lines, keeps bounded memory of who did what when, raises alarms (doc/BROKER.md 5).
 *
 * It has no clock: time is what the lines say. Memory is one block of fixed size; where too many subjects come at once,
 * those that were quiet longest are forgotten.
 */
#ifndef SMQ_APP_WATCH_H
#define SMQ_APP_WATCH_H

#include <sealmq/watch.h>

#include "app/watch_line.h"
#include "app/watch_rules.h"

struct smq_watch;

/* seed: random, so that nobody can choose subjects that push others out. on_alarm's texts live during the call. NULL:
 * no memory. */
struct smq_watch *smq_watch_new(const struct smq_watch_settings *settings, uint64_t seed, void *self,
				void (*on_alarm)(void *self, const struct smq_watch_alarm *alarm));
void smq_watch_free(struct smq_watch *w);

/* One line without its newline; now_s is used where it has no time. Lines of different logs have a clock each. */
void smq_watch_line(struct smq_watch *w, struct smq_watch_clock *clock, smq_span line, int64_t now_s);
/* Time passes although there are no lines. */
void smq_watch_tick(struct smq_watch *w, int64_t now_s);
/* Something that was found elsewhere, about a file. */
void smq_watch_note(struct smq_watch *w, enum smq_watch_rule rule, const char *subject, const char *evidence,
		    int64_t now_s);

const struct smq_watch_totals *smq_watch_totals(const struct smq_watch *w);

#endif
