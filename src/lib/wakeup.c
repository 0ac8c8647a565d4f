/* One descriptor for a client's whole life, over epoll, a timer and an event descriptor. */
#include "lib/wakeup.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/hot.h"

static int watch(int poll_fd, int op, int fd, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.fd = fd };
	return epoll_ctl(poll_fd, op, fd, &e);
}

smq_err smq_wakeup_init(struct smq_wakeup *w)
{
	w->socket_fd = -1;
	w->socket_writing = false;
	w->armed_ms = INT64_MAX;
	w->also_fd = -1;
	w->poll_fd = epoll_create1(EPOLL_CLOEXEC);
	w->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	w->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (w->poll_fd >= 0 && w->timer_fd >= 0 && w->stop_fd >= 0 &&
	    watch(w->poll_fd, EPOLL_CTL_ADD, w->timer_fd, EPOLLIN) == 0 &&
	    watch(w->poll_fd, EPOLL_CTL_ADD, w->stop_fd, EPOLLIN) == 0)
		return SMQ_OK;
	smq_wakeup_done(w);
	return SMQ_ERR_IO;
}

void smq_wakeup_also(struct smq_wakeup *w, int fd)
{
	if (watch(w->poll_fd, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLET) == 0)
		w->also_fd = fd;
}

static void shut(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void smq_wakeup_done(struct smq_wakeup *w)
{
	shut(&w->poll_fd);
	shut(&w->timer_fd);
	shut(&w->stop_fd);
}

void smq_wakeup_while(struct smq_wakeup *w, int fd) { (void)watch(w->poll_fd, EPOLL_CTL_ADD, fd, EPOLLIN); }

void smq_wakeup_forget(struct smq_wakeup *w)
{
	if (w->socket_fd >= 0)
		(void)watch(w->poll_fd, EPOLL_CTL_DEL, w->socket_fd, 0); /* fails where close has done it already */
	w->socket_fd = -1;
}

static void arm(struct smq_wakeup *w, int64_t wake_ms)
{
	struct itimerspec t;
	memset(&t, 0, sizeof(t));
	if (wake_ms == w->armed_ms)
		return;
	w->armed_ms = wake_ms;
	if (wake_ms != INT64_MAX) {
		int64_t at = wake_ms > 0 ? wake_ms : 0;
		t.it_value.tv_sec = at / 1000;
		t.it_value.tv_nsec = at % 1000 * 1000000 + 1; /* all zero would disarm it */
	}
	(void)timerfd_settime(w->timer_fd, TFD_TIMER_ABSTIME, &t, NULL);
}

SMQ_HOT void smq_wakeup_watch(struct smq_wakeup *w, int socket_fd, bool writing, int64_t wake_ms)
{
	uint32_t events = EPOLLIN | (writing ? (uint32_t)EPOLLOUT : 0);
	if (socket_fd != w->socket_fd) {
		smq_wakeup_forget(w);
		if (socket_fd >= 0 && watch(w->poll_fd, EPOLL_CTL_ADD, socket_fd, events) == 0)
			w->socket_fd = socket_fd;
		w->socket_writing = writing;
	} else if (socket_fd >= 0 && writing != w->socket_writing) {
		(void)watch(w->poll_fd, EPOLL_CTL_MOD, socket_fd, events);
		w->socket_writing = writing;
	}
	arm(w, wake_ms);
}

static void drain(int fd)
{
	uint64_t count;
	(void)!read(fd, &count, sizeof(count));
}

struct smq_wakeup_ready smq_wakeup_wait(struct smq_wakeup *w, int timeout_ms)
{
	struct smq_wakeup_ready ready = { false, false, false };
	struct epoll_event events[4];
	int n = epoll_wait(w->poll_fd, events, 4, timeout_ms);
	for (int i = 0; i < n; i++) {
		int fd = events[i].data.fd;
		if (fd == w->timer_fd) {
			drain(fd);
			w->armed_ms = INT64_MAX;
		} else if (fd == w->stop_fd) {
			drain(fd);
			ready.stopped = true;
		} else if (fd == w->socket_fd) {
			ready.readable = events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP);
			ready.writable = events[i].events & (EPOLLOUT | EPOLLERR);
		}
	}
	return ready;
}

void smq_wakeup_stop(const struct smq_wakeup *w)
{
	uint64_t one = 1;
	(void)!write(w->stop_fd, &one, sizeof(one));
}
