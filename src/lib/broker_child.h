/* One program that `broker run` keeps going: started, reaped, started again after a growing pause, ended by its pid. */
#ifndef SMQ_LIB_BROKER_CHILD_H
#define SMQ_LIB_BROKER_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <sealmq/err.h>

#include "lib/files.h"

enum { SMQ_CHILD_ARGS_MAX = 12, SMQ_CHILD_SAID_MAX = 320 };

struct smq_child {
	const char *name;                     /* what it is called here */
	const char *args[SMQ_CHILD_ARGS_MAX]; /* what follows its name, up to the first NULL */
	const char *dir;                      /* where it runs */
	char path[SMQ_PATH_MAX];              /* the program */
	char said[SMQ_PATH_MAX];              /* the file that takes its standard output and error */
	pid_t pid;                            /* 0: not running */
	int status;                           /* of its last end */
	int64_t started_ms, due_ms, pause_ms; /* mono */
};

/* Finds the program in PATH and the sbin directories, or at its absolute path. SMQ_ERR_NOT_FOUND. */
SMQ_MUST_USE smq_err smq_child_init(struct smq_child *c, const char *name, const char *program, const char *dir,
				    const char *said);
SMQ_MUST_USE smq_err smq_child_start(struct smq_child *c, int64_t now_ms);
/* Whether it has ended since the last look; then when it is due again is set. */
bool smq_child_ended(struct smq_child *c, int64_t now_ms);
void smq_child_signal(const struct smq_child *c, int signal);
/* SIGTERM, patience, SIGKILL; returns when it is gone. */
void smq_child_stop(struct smq_child *c, int patience_ms);
/* What a file of its words says about its end: the first line of its tail with an error in it, or the last line;
 * escaped for a terminal; "" if none. */
void smq_child_last_line(const char *path, char ret_line[SMQ_CHILD_SAID_MAX]);

int64_t smq_child_mono_ms(void);
void smq_child_sleep_ms(int ms);

#endif
