/* One program that `broker run` keeps going. */
#include "lib/broker_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <sealmq/text.h>

#include "base/table.h"

enum {
	PAUSE_FIRST_MS = 250,
	PAUSE_MOST_MS = 30000,
	STEADY_MS = 60000, /* after so long it has proven itself, and the pause is short again */
	STEP_MS = 20
};

int64_t smq_child_mono_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void smq_child_sleep_ms(int ms)
{
	struct timespec ts = { ms / 1000, (long)(ms % 1000) * 1000000 };
	(void)nanosleep(&ts, NULL);
}

/* Daemons lie where a user's PATH does not look. */
static bool find_program(const char *name, char ret_path[SMQ_PATH_MAX])
{
	char all[SMQ_PATH_MAX];
	char *save = NULL;
	const char *path = getenv("PATH");
	if (name[0] == '/')
		return snprintf(ret_path, SMQ_PATH_MAX, "%s", name) < SMQ_PATH_MAX && access(ret_path, X_OK) == 0;
	(void)snprintf(all, sizeof(all), "%s:/usr/sbin:/usr/local/sbin:/sbin", path ? path : "/usr/bin:/bin");
	for (const char *dir = strtok_r(all, ":", &save); dir; dir = strtok_r(NULL, ":", &save)) {
		if (dir[0] == '/' && smq_path_join(dir, name, ret_path) == SMQ_OK && access(ret_path, X_OK) == 0)
			return true;
	}
	return false;
}

smq_err smq_child_init(struct smq_child *c, const char *name, const char *program, const char *dir, const char *said)
{
	*c = (struct smq_child){ .name = name, .dir = dir, .pause_ms = PAUSE_FIRST_MS };
	if (snprintf(c->said, sizeof(c->said), "%s", said) >= (int)sizeof(c->said))
		return SMQ_ERR_TOO_LARGE;
	return find_program(program, c->path) ? SMQ_OK : SMQ_ERR_NOT_FOUND;
}

/* In the child: only what may be called between fork and exec. */
_Noreturn static void become(const struct smq_child *c, char *const *argv, int said, pid_t parent)
{
	sigset_t none;
	sigemptyset(&none);
	int nothing = open("/dev/null", O_RDONLY);
	/* A group of its own: what a terminal sends is ours to pass on, and who it leaves behind can be found. */
	if (setpgid(0, 0) != 0 || prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != parent || nothing < 0 ||
	    dup2(nothing, 0) < 0 || dup2(said, 1) < 0 || dup2(said, 2) < 0 || chdir(c->dir) != 0 ||
	    sigprocmask(SIG_SETMASK, &none, NULL) != 0)
		_exit(126);
	(void)signal(SIGPIPE, SIG_DFL);
	execv(c->path, argv);
	_exit(127);
}

smq_err smq_child_start(struct smq_child *c, int64_t now_ms)
{
	char *argv[SMQ_CHILD_ARGS_MAX + 2] = { (char *)(uintptr_t)c->name };
	pid_t parent = getpid();
	int said = open(c->said, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (said < 0)
		return smq_err_of_errno(errno);
	for (size_t i = 0; i < SMQ_CHILD_ARGS_MAX && c->args[i]; i++)
		argv[i + 1] = (char *)(uintptr_t)c->args[i];
	pid_t pid = fork();
	if (pid == 0)
		become(c, argv, said, parent);
	(void)close(said);
	if (pid < 0)
		return SMQ_ERR_NO_MEMORY;
	c->pid = pid;
	c->started_ms = now_ms;
	return SMQ_OK;
}

/* Workers of a master that was killed would keep its ports. */
static void bury(struct smq_child *c)
{
	(void)kill(-c->pid, SIGKILL);
	c->pid = 0;
}

bool smq_child_ended(struct smq_child *c, int64_t now_ms)
{
	if (c->pid == 0 || waitpid(c->pid, &c->status, WNOHANG) != c->pid)
		return false;
	bury(c);
	if (now_ms - c->started_ms >= STEADY_MS)
		c->pause_ms = PAUSE_FIRST_MS;
	c->due_ms = now_ms + c->pause_ms;
	c->pause_ms = c->pause_ms * 2 < PAUSE_MOST_MS ? c->pause_ms * 2 : PAUSE_MOST_MS;
	return true;
}

void smq_child_signal(const struct smq_child *c, int signal)
{
	if (c->pid > 0)
		(void)kill(c->pid, signal);
}

void smq_child_stop(struct smq_child *c, int patience_ms)
{
	if (c->pid == 0)
		return;
	smq_child_signal(c, SIGTERM);
	for (int waited = 0; waitpid(c->pid, &c->status, WNOHANG) == 0; waited += STEP_MS) {
		if (waited >= patience_ms)
			smq_child_signal(c, SIGKILL);
		smq_child_sleep_ms(STEP_MS);
	}
	bury(c);
}

/* The first line that speaks of an error, or else the last. */
static char *telling_line(char *text)
{
	static const char *const words[] = { "[emerg]", "Error", "error:" };
	char *at = NULL;
	for (size_t i = 0; i < SMQ_COUNT(words) && !at; i++)
		at = strstr(text, words[i]);
	if (!at) {
		at = strrchr(text, '\n');
		return at ? at + 1 : text;
	}
	at[strcspn(at, "\n")] = 0;
	char *start = strrchr(text, '\n');
	return start ? start + 1 : text;
}

void smq_child_last_line(const char *path, char ret_line[SMQ_CHILD_SAID_MAX])
{
	char tail[2048];
	ssize_t len = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ret_line[0] = 0;
	if (fd < 0)
		return;
	off_t end = lseek(fd, 0, SEEK_END);
	off_t from = end > (off_t)sizeof(tail) - 1 ? end - (off_t)sizeof(tail) + 1 : 0;
	if (end > 0)
		len = pread(fd, tail, sizeof(tail) - 1, from);
	(void)close(fd);
	while (len > 0 && (tail[len - 1] == '\n' || tail[len - 1] == '\r'))
		len--;
	if (len <= 0)
		return;
	tail[len] = 0;
	smq_escape(smq_span_str(telling_line(tail)), ret_line, SMQ_CHILD_SAID_MAX);
}
