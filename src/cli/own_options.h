/*
 * Options of a command that takes most of its options from sub: its own are taken out of the command line first.
 */
#ifndef SMQ_CLI_OWN_OPTIONS_H
#define SMQ_CLI_OWN_OPTIONS_H

#include "cli/settings.h"

enum own_type {
	OWN_FLAG,  /* bool */
	OWN_TEXT,  /* const char * */
	OWN_LIST,  /* struct list, repeatable */
	OWN_NUMBER /* uint64_t, whole */
};

struct own_option {
	const char *name; /* "--db" */
	enum own_type type;
	void *to;
	uint64_t most; /* OWN_NUMBER; 0: any */
};

/* Takes them out of argv, whose end stays NULL. false: a line on standard error says what is wrong. */
bool own_options_take(const char *command, const struct own_option *options, size_t count, int *argc, char **argv);
/* Takes the words between argv[0] and the first option; at most `most` of them (the rest is wrong use). */
bool own_words_take(const char *command, const char **ret_words, size_t most, size_t *ret_count, int *argc,
		    char **argv);

#endif
