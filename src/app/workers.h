/* The port through which work is spread over the cores: pieces that share nothing with each other. */
#ifndef SMQ_APP_WORKERS_H
#define SMQ_APP_WORKERS_H

#include <stddef.h>

/* A piece of work; the first member of what is worked on. */
struct smq_work {
	struct smq_work *next; /* the port's */
	void (*run)(struct smq_work *work);
};

struct smq_workers {
	void *self;
	/* The piece is run once, in any thread, at the latest before wait returns. Nobody else touches it until then.
	 */
	void (*begin)(void *self, struct smq_work *work);
	/* Returns once all that was begun has run; the caller's thread does its part. What the pieces wrote can be read
	 * then. */
	void (*wait)(void *self);
	void (*free)(void *self);
};

#endif
