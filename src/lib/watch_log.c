/* One log that is followed. */
#include "lib/watch_log.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROOM = 1 << 18, LINE_MAX_LEN = 1 << 16 };

smq_err smq_watch_log_init(struct smq_watch_log *log, const char *path)
{
	*log = (struct smq_watch_log){ .fd = -1 };
	if (snprintf(log->path, sizeof(log->path), "%s", path) >= (int)sizeof(log->path))
		return SMQ_ERR_TOO_LARGE;
	log->room = malloc(ROOM);
	return log->room ? SMQ_OK : SMQ_ERR_NO_MEMORY;
}

static void close_log(struct smq_watch_log *log)
{
	if (log->fd > 0)
		(void)close(log->fd);
	log->fd = -1;
	log->held = 0;
	log->skipping = false;
}

void smq_watch_log_done(struct smq_watch_log *log)
{
	close_log(log);
	free(log->room);
	log->room = NULL;
}

static bool is_input(const struct smq_watch_log *log) { return strcmp(log->path, "-") == 0; }

static bool open_at(struct smq_watch_log *log, const char *path, off_t offset)
{
	struct stat st;
	log->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (log->fd < 0)
		return false;
	if (fstat(log->fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		close_log(log);
		return false;
	}
	log->inode = st.st_ino;
	log->offset = offset < 0 ? st.st_size : offset > st.st_size ? 0 : offset;
	return true;
}

/* The file that was rotated away lies beside it under another name. */
static bool open_rotated(struct smq_watch_log *log)
{
	char dir_path[SMQ_PATH_MAX];
	char path[SMQ_PATH_MAX];
	struct stat st;
	struct dirent *entry;
	bool found = false;
	(void)snprintf(dir_path, sizeof(dir_path), "%s", log->path);
	char *slash = strrchr(dir_path, '/');
	(void)snprintf(slash ? slash : dir_path, 3, "%s", slash ? "" : ".");
	DIR *dir = opendir(dir_path[0] ? dir_path : "/");
	while (dir && !found && (entry = readdir(dir)) != NULL) {
		if (entry->d_ino == log->inode && smq_path_join(dir_path, entry->d_name, path) == SMQ_OK &&
		    stat(path, &st) == 0 && st.st_size >= log->offset)
			found = open_at(log, path, log->offset);
	}
	if (dir)
		closedir(dir);
	return found;
}

void smq_watch_log_open(struct smq_watch_log *log, bool from_start)
{
	struct stat st;
	if (is_input(log)) {
		log->fd = 0;
		return;
	}
	bool there = stat(log->path, &st) == 0;
	if (log->known) {
		log->known = false;
		if (there && st.st_ino == log->inode)
			(void)open_at(log, log->path, log->offset);
		else if (!open_rotated(log))
			(void)open_at(log, log->path, 0);
		return;
	}
	(void)open_at(log, log->path, from_start ? 0 : -1);
}

/* Hands on the whole lines in the room, and moves what is left to its start. */
static void hand_on(struct smq_watch_log *log, size_t len, void *self,
		    void (*line)(void *self, struct smq_watch_clock *clock, smq_span line))
{
	char *at = log->room;
	char *end = log->room + len;
	char *newline;
	while ((newline = memchr(at, '\n', (size_t)(end - at))) != NULL) {
		if (!log->skipping)
			line(self, &log->clock, smq_span_of(at, (size_t)(newline - at)));
		log->skipping = false;
		log->offset += newline + 1 - at;
		at = newline + 1;
	}
	log->held = (size_t)(end - at);
	if (log->held > LINE_MAX_LEN) {
		log->offset += (off_t)log->held;
		log->held = 0;
		log->skipping = true;
	}
	memmove(log->room, at, log->held);
}

bool smq_watch_log_read(struct smq_watch_log *log, void *self,
			void (*line)(void *self, struct smq_watch_clock *clock, smq_span line))
{
	struct pollfd ready = { .fd = log->fd, .events = POLLIN };
	ssize_t n;
	if (log->fd < 0 || log->ended)
		return false;
	if (is_input(log)) {
		if (poll(&ready, 1, 0) <= 0)
			return false;
		n = read(0, log->room + log->held, ROOM - log->held);
		log->ended = n <= 0;
	} else {
		n = pread(log->fd, log->room + log->held, ROOM - log->held, log->offset + (off_t)log->held);
	}
	if (n <= 0)
		return false;
	hand_on(log, log->held + (size_t)n, self, line);
	return true;
}

void smq_watch_log_turn(struct smq_watch_log *log)
{
	struct stat st;
	if (is_input(log) || stat(log->path, &st) != 0)
		return;
	if (log->fd >= 0 && st.st_ino == log->inode) {
		if (st.st_size < log->offset) {
			log->offset = 0;
			log->held = 0;
		}
		return;
	}
	close_log(log);
	(void)open_at(log, log->path, 0);
}
