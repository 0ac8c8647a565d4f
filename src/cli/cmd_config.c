/* sealmq config: check, show, example, reference. */
#include "cli/cmd_config.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sealmq/config.h>
#include <sealmq/text.h>

#include "cli/print.h"

extern char **environ;

enum { VALUE_WIDTH = 44 };

static const char usage[] =
    "usage: sealmq config check [FILE]\n"
    "       sealmq config show [FILE] [--json]\n"
    "       sealmq config example\n"
    "       sealmq config reference\n\n"
    "check      reads FILE and the environment, and tells the first mistake with its place\n"
    "show       the values in force and where each comes from; secrets are masked\n"
    "example    prints a complete sealmq.yaml with a comment on every key\n"
    "reference  prints the table of keys in Markdown\n\n"
    "FILE: default $SEALMQ_CONFIG, else sealmq.yaml in $XDG_CONFIG_HOME/sealmq or ~/.config/sealmq.\n"
    "The command line of pub and sub wins over the environment, which wins over the file.\n";

struct show {
	const smq_config *config;
};

static int fail(smq_err err, const char *why)
{
	(void)fprintf(stderr, "sealmq config: %s\n", why);
	return smq_err_exit(err);
}

static int finish(smq_err err)
{
	if (err == SMQ_OK && (fflush(stdout) != 0 || ferror(stdout)))
		err = SMQ_ERR_IO;
	return err == SMQ_OK ? 0 : fail(err, smq_err_text(err));
}

/* Loads and checks; on failure the message is out and *ret_status the exit status. */
static smq_config *load(const char *file, int *ret_status)
{
	smq_config *config;
	const char *why = "";
	smq_err err = smq_config_load(file, &config, &why);
	if (err == SMQ_OK) {
		err = smq_config_check(config, &why);
		if (err == SMQ_OK)
			return config;
		*ret_status = fail(err, why);
		smq_config_free(config);
		return NULL;
	}
	*ret_status = fail(err, why);
	return NULL;
}

/* ---- check ---- */

/* A value may be right and its file still missing; that is worth a word, not a refusal: it may be made later. */
static void warn_missing_files(const smq_config *config)
{
	const struct smq_config_key *key;
	for (size_t i = 0; (key = smq_config_key(i)); i++) {
		char path[1024];
		if (key->type != SMQ_CONFIG_PATH || strcmp(key->name, "outbox") == 0 || !smq_config_is_set(config, key))
			continue;
		smq_config_text(config, key, path, sizeof(path));
		if (access(path, F_OK) != 0)
			(void)fprintf(stderr, "sealmq config: warning: %s: %s is not there\n", key->name, path);
	}
}

static bool is_known_variable(const char *name, size_t len)
{
	static const char *const others[] = { "SEALMQ_CONFIG", "SEALMQ_DATA", "SEALMQ_SOURCE_ROOT" };
	const struct smq_config_key *key;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (strlen(others[i]) == len && strncmp(others[i], name, len) == 0)
			return true;
	}
	for (size_t i = 0; (key = smq_config_key(i)); i++) {
		if (key->env && strlen(key->env) == len && strncmp(key->env, name, len) == 0)
			return true;
	}
	return false;
}

/* A misspelt variable would be ignored without a word otherwise. */
static void warn_unknown_variables(void)
{
	for (char **e = environ; *e; e++) {
		char shown[80];
		size_t len = strcspn(*e, "=");
		if (strncmp(*e, "SEALMQ_", 7) != 0 || is_known_variable(*e, len))
			continue;
		(void)smq_escape(smq_span_of(*e, len), shown, sizeof(shown));
		(void)fprintf(stderr,
			      "sealmq config: warning: %s is no variable of ours; see `sealmq config reference`\n",
			      shown);
	}
}

static int check(const char *file)
{
	int status;
	unsigned count = 0;
	const struct smq_config_key *key;
	smq_config *config = load(file, &status);
	if (!config)
		return status;
	for (size_t i = 0; (key = smq_config_key(i)); i++)
		count += smq_config_origin(config, key, NULL) != SMQ_ORIGIN_DEFAULT;
	warn_missing_files(config);
	warn_unknown_variables();
	if (smq_config_file(config))
		print_cell(stdout, smq_config_file(config), 0, 300);
	else
		(void)fputs("no sealmq.yaml", stdout);
	printf(": ok, %u key%s set\n", count, count == 1 ? "" : "s");
	smq_config_free(config);
	return finish(SMQ_OK);
}

/* ---- show ---- */

static const char *where(const smq_config *config, const struct smq_config_key *key)
{
	const char *from;
	enum smq_origin origin = smq_config_origin(config, key, &from);
	return *from ? from : smq_config_is_set(config, key) ? smq_origin_name(origin) : "not set";
}

static void show_text(const smq_config *config)
{
	const struct smq_config_key *key;
	size_t widest = 0;
	for (size_t i = 0; (key = smq_config_key(i)); i++)
		widest = strlen(key->name) > widest ? strlen(key->name) : widest;
	printf("%-*s  %-*s  %s\n", (int)widest, "key", VALUE_WIDTH, "value", "from");
	for (size_t i = 0; (key = smq_config_key(i)); i++) {
		char value[512];
		if (smq_config_is_set(config, key))
			smq_config_text(config, key, value, sizeof(value));
		else
			(void)snprintf(value, sizeof(value), "%s%s%s", key->unset ? "(" : "-",
				       key->unset ? key->unset : "", key->unset ? ")" : "");
		/* It is escaped already, so nothing is left here that print_cell would escape but backslashes. */
		printf("%-*s  %-*s  ", (int)widest, key->name, VALUE_WIDTH, value);
		print_cell(stdout, where(config, key), 0, 200);
		printf("\n");
	}
}

static void write_json(struct smq_json *j, const void *of)
{
	const struct show *show = of;
	const struct smq_config_key *key;
	smq_json_object(j);
	smq_json_key(j, "file");
	smq_json_str(j, smq_config_file(show->config));
	smq_json_key(j, "values");
	smq_json_object(j);
	for (size_t i = 0; (key = smq_config_key(i)); i++) {
		const char *from;
		enum smq_origin origin = smq_config_origin(show->config, key, &from);
		smq_json_key(j, key->name);
		smq_json_object(j);
		smq_json_key(j, "value");
		smq_config_json(show->config, key, j);
		smq_json_key(j, "origin");
		smq_json_str(j, smq_config_is_set(show->config, key) ? smq_origin_name(origin) : "not set");
		smq_json_key(j, "from");
		smq_json_str(j, *from ? from : NULL);
		smq_json_end(j);
	}
	smq_json_end(j);
	smq_json_end(j);
}

static int show(const char *file, bool json)
{
	int status;
	smq_err err = SMQ_OK;
	struct show s = { load(file, &status) };
	if (!s.config)
		return status;
	if (json)
		err = print_json(stdout, write_json, &s);
	else
		show_text(s.config);
	smq_config_free((smq_config *)(uintptr_t)s.config);
	return finish(err);
}

static int print_made(size_t (*make)(char *ret_text, size_t room))
{
	size_t room = make(NULL, 0) + 1;
	char *text = malloc(room);
	if (!text)
		return finish(SMQ_ERR_NO_MEMORY);
	(void)make(text, room);
	(void)fputs(text, stdout);
	free(text);
	return finish(SMQ_OK);
}

static int wrong(const char *what, const char *value)
{
	char shown[100];
	(void)smq_escape(smq_span_str(value), shown, sizeof(shown));
	(void)fprintf(stderr, "sealmq config: %s '%s'; see `sealmq config --help`\n", what, shown);
	return smq_err_exit(SMQ_ERR_USAGE);
}

static int run(const char *action, const char *file, bool json)
{
	bool shows = strcmp(action, "show") == 0;
	bool makes = strcmp(action, "example") == 0 || strcmp(action, "reference") == 0;
	if (json && !shows)
		return wrong("only show takes --json, not", action);
	if (file && makes)
		return wrong("takes no FILE; what is", file);
	if (shows)
		return show(file, json);
	if (strcmp(action, "check") == 0)
		return check(file);
	if (makes)
		return print_made(action[0] == 'e' ? smq_config_example : smq_config_reference);
	return wrong("there are check, show, example and reference, but no", action);
}

int cmd_config(int argc, char **argv)
{
	const char *action = NULL, *file = NULL;
	bool json = false;
	for (int i = 1; i < argc; i++) {
		const char *a = argv[i];
		if (strcmp(a, "--help") == 0) {
			(void)fputs(usage, stdout);
			return 0;
		} else if (strcmp(a, "--json") == 0) {
			json = true;
		} else if (a[0] == '-') {
			return wrong("unknown option", a);
		} else if (!action) {
			action = a;
		} else if (!file) {
			file = a;
		} else {
			return wrong("takes one FILE; what is", a);
		}
	}
	if (!action) {
		(void)fputs(usage, stderr);
		return smq_err_exit(SMQ_ERR_USAGE);
	}
	return run(action, file, json);
}
