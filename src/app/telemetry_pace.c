/* When records are due: a fixed grid in time, so that delays do not add up. */
#include <sealmq/telemetry.h>

struct smq_pace smq_pace_of(int64_t interval_ms, double rate)
{
	struct smq_pace p = { 0 };
	p.step_ms = rate > 0 ? 1000.0 / rate : interval_ms > 0 ? (double)interval_ms : 0;
	return p;
}

int64_t smq_pace_next(struct smq_pace *pace, int64_t now_ms)
{
	if (pace->step_ms <= 0)
		return now_ms;
	int64_t due = pace->start_ms + (int64_t)((double)pace->count * pace->step_ms + 0.5);
	if (!pace->running || now_ms - due > SMQ_PACE_CATCH_UP_MS) {
		pace->running = true;
		pace->start_ms = due = now_ms;
		pace->count = 0;
	}
	pace->count++;
	return due;
}
