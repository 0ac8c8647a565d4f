/* One log that is followed: through growth, rotation, truncation, and our own restarts. */
#ifndef SMQ_LIB_WATCH_LOG_H
#define SMQ_LIB_WATCH_LOG_H

#include <stdbool.h>
#include <sys/types.h>

#include "app/watch_line.h"
#include "lib/files.h"

struct smq_watch_log {
	char path[SMQ_PATH_MAX]; /* "-": standard input */
	int fd;                  /* -1: not there (yet) */
	ino_t inode;
	off_t offset; /* of the first byte that was not handed on */
	bool known;   /* inode and offset come from the position file */
	bool ended;   /* standard input has */
	char *room;
	size_t held;   /* bytes of an unfinished line, at the room's start */
	bool skipping; /* inside of a line that is too long */
	struct smq_watch_clock clock;
};

/* SMQ_ERR_NO_MEMORY, _TOO_LARGE. */
SMQ_MUST_USE smq_err smq_watch_log_init(struct smq_watch_log *log, const char *path);
void smq_watch_log_done(struct smq_watch_log *log);
/* Opens it where reading is to go on: at its known position, in a rotated file if that is where it was; otherwise at
 * its start or its end. */
void smq_watch_log_open(struct smq_watch_log *log, bool from_start);
/* Hands on whole lines, a bounded number of bytes; whether there may be more right now. */
bool smq_watch_log_read(struct smq_watch_log *log, void *self,
			void (*line)(void *self, struct smq_watch_clock *clock, smq_span line));
/* Looks whether another file has taken its place; what is left of the old one is read first. */
void smq_watch_log_turn(struct smq_watch_log *log);

#endif
