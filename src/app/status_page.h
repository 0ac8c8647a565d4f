/* The port through which a running process tells how it is: numbers for Prometheus, and whether it is well. */
#ifndef SMQ_APP_STATUS_PAGE_H
#define SMQ_APP_STATUS_PAGE_H

#include <stdbool.h>

#include <sealmq/err.h>
#include <sealmq/span.h>

enum { SMQ_STATUS_PAGE_MAX = 65536, SMQ_STATUS_WHY_MAX = 256 };

/* Whoever serves the page calls these from the process's own loop, never from a thread of its own. */
struct smq_status_source {
	void *self;
	/* Prometheus' text format, no terminating zero counted. */
	smq_err (*metrics)(void *self, smq_mspan room, size_t *ret_len);
	/* Whether it is well; otherwise one line that says why not, printable. */
	bool (*healthy)(void *self, char *ret_why, size_t room);
};

#endif
