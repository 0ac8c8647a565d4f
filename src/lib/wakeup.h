/*
 * One descriptor for a client's whole life: readable when the transport's socket, the timer or a stop is due.
 * The socket behind it may change with every reconnect; callers never see that.
 */
#ifndef SMQ_LIB_WAKEUP_H
#define SMQ_LIB_WAKEUP_H

#include <stdbool.h>
#include <stdint.h>

#include <sealmq/err.h>

struct smq_wakeup {
	int poll_fd, timer_fd, stop_fd;
	int socket_fd;       /* the one watched now, -1: none */
	bool socket_writing; /* whether it is watched for room to write as well */
	int64_t armed_ms;    /* mono; what the timer stands at */
	int also_fd;         /* -1: none */
};

struct smq_wakeup_ready {
	bool readable, writable, stopped;
};

SMQ_MUST_USE smq_err smq_wakeup_init(struct smq_wakeup *w);
void smq_wakeup_done(struct smq_wakeup *w);
/* Watches this socket from now on (-1: none), and wakes at wake_ms (mono; INT64_MAX: never) at the latest. */
void smq_wakeup_watch(struct smq_wakeup *w, int socket_fd, bool writing, int64_t wake_ms);
/* Wakes for this descriptor, too, from now on; once for whatever has come: its owner reads all of it, or
 * knows by himself when to go on. */
void smq_wakeup_also(struct smq_wakeup *w, int fd);
/* Wakes for this one for as long as there is something to read. Its owner finds out by himself. */
void smq_wakeup_while(struct smq_wakeup *w, int fd);
/* The socket was closed behind our back, as its number may be given out again. */
void smq_wakeup_forget(struct smq_wakeup *w);
/* Waits for at most timeout_ms (-1: for ever, 0: only looks). */
struct smq_wakeup_ready smq_wakeup_wait(struct smq_wakeup *w, int timeout_ms);
/* Safe in a signal handler. */
void smq_wakeup_stop(const struct smq_wakeup *w);

#endif
