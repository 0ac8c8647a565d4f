/*
 * The table of commands of the sealmq tool: one row a command, one file cmd_<name>.c each.
 *
 * A command gets its own argc and argv (argv[0] is the command's name) and
 * returns the exit status of the tool; smq_err_exit gives the status of an
 * error.
 */
#ifndef SMQ_CLI_COMMAND_H
#define SMQ_CLI_COMMAND_H

#include <stddef.h>

struct command {
	const char *name;
	const char *group; /* heading in `sealmq --help`; rows of one group stand together */
	const char *help;  /* one line, lower case, no full stop */
	int (*run)(int argc, char **argv);
};

extern const struct command commands[];
extern const size_t command_count;

const struct command *command_find(const char *name);
/* The command that is spelt most like it, NULL if none comes close. */
const struct command *command_nearest(const char *name);

#endif
