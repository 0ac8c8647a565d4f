/* The guard of a split key server: starts its parts, starts again what ended, and ends them all. It reads no file of
 * theirs and has no secret. */
#include <sealmq/keyserver.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "adapters/pipe_posix/channel.h"
#include "lib/broker_child.h"
#include "lib/keyserver_part.h"

enum { PAUSE_FIRST_MS = 100, PAUSE_MOST_MS = 30000, STEADY_MS = 30000, PATIENCE_MS = 5000, FDS_ABOVE = 64 };

struct part {
	pid_t pid; /* 0: not running */
	int pidfd, status;
	int64_t started_ms, due_ms, pause_ms;
};

struct guard {
	const struct smq_keyserver_guard_options *options;
	struct part parts[SMQ_DUTIES];
	int link[2]; /* listener's end, signer's end; ours for as long as we live, so that either may begin anew */
	int words[2];
	bool was_ready, ready, over;
	int status;
};

static int stop_fd = -1;

void smq_keyserver_guard_stop(void)
{
	uint64_t one = 1;
	if (stop_fd >= 0)
		(void)!write(stop_fd, &one, sizeof(one));
}

/* ---- starting ---- */

/* In the child. Its descriptors are moved out of the way first, as any of them may have a number that is wanted. */
_Noreturn static void become(char *const *argv, const int fds[3], pid_t parent)
{
	sigset_t none;
	int high[3];
	sigemptyset(&none);
	for (int i = 0; i < 3; i++)
		high[i] = fds[i] < 0 ? -1 : fcntl(fds[i], F_DUPFD_CLOEXEC, FDS_ABOVE);
	for (int i = 0; i < 3; i++)
		close(SMQ_PART_LINK + i);
	/* a process group of its own: what a terminal sends is for the guard to pass on, in order */
	bool good = prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent && setpgid(0, 0) == 0 &&
		    sigprocmask(SIG_SETMASK, &none, NULL) == 0;
	for (int i = 0; i < 3 && good; i++)
		good = high[i] < 0 || dup2(high[i], SMQ_PART_LINK + i) >= 0;
	if (good)
		execv("/proc/self/exe", argv);
	_exit(126);
}

static smq_err start(struct guard *g, enum smq_keyserver_duty duty, const int fds[3])
{
	struct part *p = &g->parts[duty];
	const struct smq_keyserver_guard_options *o = g->options;
	char option[] = "--duty", name[16], *argv[128] = { NULL };
	size_t n = 0, i = 0;
	pid_t parent = getpid();
	strncpy(name, smq_keyserver_duty_name(duty), sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	for (; o->argv[i] && n < 120; i++) {
		argv[n++] = o->argv[i];
		if ((int)i + 1 == o->words) {
			argv[n++] = option;
			argv[n++] = name;
		}
	}
	if (o->argv[i])
		return SMQ_ERR_TOO_LARGE;
	p->pid = fork();
	if (p->pid == 0)
		become(argv, fds, parent);
	if (p->pid < 0) {
		p->pid = 0;
		return SMQ_ERR_NO_MEMORY;
	}
	p->pidfd = pidfd_open(p->pid, 0);
	p->started_ms = smq_child_mono_ms();
	return p->pidfd >= 0 ? SMQ_OK : SMQ_ERR_UNSUPPORTED;
}

/* Store and signer live and end together: neither knows what the other was in the middle of. */
static smq_err start_core(struct guard *g)
{
	int store[2];
	smq_err err = smq_channel_pair(store);
	if (err != SMQ_OK)
		return err;
	const int of_store[3] = { -1, store[1], -1 }, of_signer[3] = { g->link[1], store[0], g->words[1] };
	g->ready = false;
	err = start(g, SMQ_DUTY_STORE, of_store);
	if (err == SMQ_OK)
		err = start(g, SMQ_DUTY_SIGNER, of_signer);
	close(store[0]);
	close(store[1]);
	return err;
}

static smq_err start_listener(struct guard *g)
{
	const int fds[3] = { g->link[0], -1, -1 };
	return start(g, SMQ_DUTY_LISTENER, fds);
}

/* ---- ending ---- */

static bool wait_part(struct part *p, int patience_ms)
{
	struct pollfd fd = { .fd = p->pidfd, .events = POLLIN };
	if (p->pid == 0)
		return true;
	int n = p->pidfd < 0 ? 1 : poll(&fd, 1, patience_ms);
	if (n < 0 && errno == EINTR)
		n = poll(&fd, 1, patience_ms);
	if (n <= 0)
		return false;
	while (waitpid(p->pid, &p->status, 0) < 0 && errno == EINTR)
		;
	if (p->pidfd >= 0)
		close(p->pidfd);
	p->pid = 0;
	return true;
}

static void end_part(struct part *p, int signal, int patience_ms)
{
	if (p->pid == 0)
		return;
	if (signal)
		(void)kill(p->pid, signal);
	if (wait_part(p, patience_ms))
		return;
	(void)kill(p->pid, SIGKILL);
	(void)wait_part(p, -1);
}

/* The listener takes its leave of the broker; the store closes its file when the signer is gone. */
static void end_all(struct guard *g)
{
	end_part(&g->parts[SMQ_DUTY_LISTENER], SIGTERM, PATIENCE_MS);
	end_part(&g->parts[SMQ_DUTY_SIGNER], SIGTERM, PATIENCE_MS);
	end_part(&g->parts[SMQ_DUTY_STORE], 0, PATIENCE_MS);
}

static int status_of(const struct part *p) { return WIFEXITED(p->status) ? WEXITSTATUS(p->status) : 0; }

/* ---- what became of them ---- */

static void told(struct guard *g, enum smq_keyserver_duty duty)
{
	if (g->options->on_ended)
		g->options->on_ended(g->options->self, smq_keyserver_duty_name(duty), g->parts[duty].status);
}

static void postpone(struct part *p)
{
	int64_t now = smq_child_mono_ms();
	if (p->pause_ms == 0 || now - p->started_ms >= STEADY_MS)
		p->pause_ms = PAUSE_FIRST_MS;
	p->due_ms = now + p->pause_ms;
	p->pause_ms = p->pause_ms * 2 < PAUSE_MOST_MS ? p->pause_ms * 2 : PAUSE_MOST_MS;
}

static void fail(struct guard *g, int status)
{
	g->over = true;
	g->status = status ? status : smq_err_exit(SMQ_ERR_BUG);
}

/* One of store and signer has ended. A first start that fails is the user's to hear of; the store's words go first. */
static void core_ended(struct guard *g, enum smq_keyserver_duty first)
{
	struct part *store = &g->parts[SMQ_DUTY_STORE], *signer = &g->parts[SMQ_DUTY_SIGNER];
	end_part(first == SMQ_DUTY_STORE ? signer : store, 0, PATIENCE_MS); /* sees that its channel is closed */
	if (!g->was_ready)
		fail(g, status_of(store) ? status_of(store) : status_of(signer));
	else if (status_of(signer) == smq_err_exit(SMQ_ERR_EXISTS))
		fail(g, status_of(signer));
	else {
		told(g, first);
		postpone(store);
	}
}

static void listener_ended(struct guard *g)
{
	struct part *p = &g->parts[SMQ_DUTY_LISTENER];
	/* options that cannot work */
	if (p->pause_ms == 0 && status_of(p) != 0)
		fail(g, status_of(p));
	else {
		told(g, SMQ_DUTY_LISTENER);
		postpone(p);
	}
}

static void hear_signer(struct guard *g)
{
	char what = 0;
	struct part *listener = &g->parts[SMQ_DUTY_LISTENER];
	if (read(g->words[0], &what, 1) != 1)
		return;
	if (what == SMQ_PART_READY)
		g->ready = g->was_ready = true;
	else if (what == SMQ_PART_BAD_LISTENER && listener->pid)
		(void)kill(listener->pid, SIGKILL);
}

/* ---- the loop ---- */

static void start_due(struct guard *g)
{
	struct part *store = &g->parts[SMQ_DUTY_STORE], *listener = &g->parts[SMQ_DUTY_LISTENER];
	int64_t now = smq_child_mono_ms();
	smq_err err = SMQ_OK;
	if (store->pid == 0 && now >= store->due_ms)
		err = start_core(g);
	if (err == SMQ_OK && g->was_ready && listener->pid == 0 && now >= listener->due_ms)
		err = start_listener(g);
	if (err != SMQ_OK)
		fail(g, smq_err_exit(err));
}

static int until_due(const struct guard *g)
{
	int64_t now = smq_child_mono_ms(), least = INT32_MAX;
	for (size_t i = 0; i < SMQ_DUTIES; i++) {
		int64_t left = g->parts[i].due_ms - now;
		if (g->parts[i].pid == 0 && i != SMQ_DUTY_SIGNER && (i == SMQ_DUTY_STORE || g->was_ready) &&
		    left < least)
			least = left;
	}
	return least == INT32_MAX ? -1 : least < 0 ? 0 : (int)least;
}

static void turn(struct guard *g)
{
	struct pollfd fds[SMQ_DUTIES + 2];
	for (size_t i = 0; i < SMQ_DUTIES; i++)
		fds[i] = (struct pollfd){ .fd = g->parts[i].pid ? g->parts[i].pidfd : -1, .events = POLLIN };
	fds[SMQ_DUTIES] = (struct pollfd){ .fd = g->words[0], .events = POLLIN };
	fds[SMQ_DUTIES + 1] = (struct pollfd){ .fd = stop_fd, .events = POLLIN };
	if (poll(fds, SMQ_DUTIES + 2, until_due(g)) <= 0)
		return;
	if (fds[SMQ_DUTIES + 1].revents) {
		g->over = true;
		return;
	}
	if (fds[SMQ_DUTIES].revents)
		hear_signer(g);
	for (size_t i = 0; i < SMQ_DUTIES && !g->over; i++) {
		if (!fds[i].revents || g->parts[i].pid == 0 || !wait_part(&g->parts[i], 0))
			continue;
		if (i == SMQ_DUTY_LISTENER)
			listener_ended(g);
		else
			core_ended(g, (enum smq_keyserver_duty)i);
	}
}

smq_err smq_keyserver_guard_run(const struct smq_keyserver_guard_options *options, int *ret_status)
{
	struct guard g = { .options = options, .link = { -1, -1 }, .words = { -1, -1 } };
	stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	smq_err err = stop_fd < 0 || pipe2(g.words, O_CLOEXEC) != 0 ? SMQ_ERR_IO : smq_channel_pair(g.link);
	if (err == SMQ_OK && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		err = SMQ_ERR_UNSUPPORTED;
	while (err == SMQ_OK && !g.over) {
		start_due(&g);
		if (!g.over)
			turn(&g);
	}
	end_all(&g);
	for (size_t i = 0; i < 2; i++) {
		if (g.link[i] >= 0)
			close(g.link[i]);
		if (g.words[i] >= 0)
			close(g.words[i]);
	}
	close(stop_fd);
	stop_fd = -1;
	if (err == SMQ_OK)
		*ret_status = g.status;
	return err;
}
