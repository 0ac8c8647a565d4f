/*
 * One table of options for pub and sub, and everything that is made from it: the parser, --help, the manual
 * pages' lists and the shells' completions.
 *
 * Options come from, later ones winning: the default options file, the files that -o names, the command line.
 */
#ifndef SMQ_CLI_OPTIONS_H
#define SMQ_CLI_OPTIONS_H

#include <stdio.h>

#include "cli/settings.h"

enum option_user { FOR_PUB = 1, FOR_SUB = 2, FOR_BOTH = 3 };

enum option_type {
	OPTION_FLAG,
	OPTION_TEXT,
	OPTION_INT,      /* int64_t, min..max */
	OPTION_SECONDS,  /* double; "1.5", "500ms", "10s", "5m", "2h", min..max in seconds */
	OPTION_NUMBER,   /* double, min..max */
	OPTION_LIST,     /* repeatable, or with commas where `commas` is set */
	OPTION_CHOICE,   /* text, one of `choices` */
	OPTION_VERSION,  /* -V: a protocol version */
	OPTION_PROPERTY, /* -D: three or four words */
	OPTION_MESSAGE,  /* a text that is or names the message: mode in min */
	OPTION_MODE,     /* a flag that says where messages come from: mode in min */
	OPTION_FILE      /* -o: more options */
};

struct option_row {
	char letter; /* 0: none */
	const char *name;
	unsigned users; /* enum option_user */
	enum option_type type;
	size_t field;      /* offset in struct settings */
	const char *value; /* what stands for the value in help; NULL for flags */
	const char *group;
	const char *help;
	double min, max;
	const char *choices; /* "a|b|c" */
	bool commas;
	bool secret; /* wiped from argv once read */
	bool early;  /* read before anything else */
};

extern const struct option_row option_rows[];
extern const size_t option_row_count;

const struct option_row *option_by_name(enum option_user user, const char *name, size_t len);
const struct option_row *option_by_letter(enum option_user user, char letter);

/*
 * Each reads one kind of place into the settings. false: *ret_why says what is wrong and what would be right; it is
 * escaped for a terminal and valid as long as the settings.
 */

/* --help, --version and --config alone. */
bool options_look(enum option_user user, int argc, char **argv, struct settings *s, const char **ret_why);
/* $XDG_CONFIG_HOME/sealmq_pub (sealmq_sub), else ~/.config/sealmq_pub; none there is no error. */
bool options_from_default_file(enum option_user user, struct settings *s, const char **ret_why);
bool options_from_args(enum option_user user, int argc, char **argv, struct settings *s, const char **ret_why);

/* ---- made from the table ---- */

void options_print_help(enum option_user user, FILE *out);
/* The manual page in `path`, its line @OPTIONS@ replaced by the list. */
bool options_print_page(enum option_user user, const char *path, FILE *out);
void options_print_completion(const char *shell, FILE *out);

#endif
