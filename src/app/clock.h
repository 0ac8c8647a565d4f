/* The clock port. */
#ifndef SMQ_APP_CLOCK_H
#define SMQ_APP_CLOCK_H

#include <sealmq/member.h>

struct smq_clock {
	struct smq_now (*now)(void);
	uint64_t (*ticks_ns)(void); /* for measuring short spans; any origin */
};

#endif
