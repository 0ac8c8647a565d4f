/* The sealmq tool: finds the command and runs it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sealmq/err.h>
#include <sealmq/text.h>
#include <sealmq/version.h>

#include "cli/cmd_bench.h"
#include "cli/cmd_broker.h"
#include "cli/cmd_ca.h"
#include "cli/cmd_chat.h"
#include "cli/cmd_command.h"
#include "cli/cmd_config.h"
#include "cli/cmd_data.h"
#include "cli/cmd_evidence.h"
#include "cli/cmd_group.h"
#include "cli/cmd_inspect.h"
#include "cli/cmd_keyserver.h"
#include "cli/cmd_pub.h"
#include "cli/cmd_query.h"
#include "cli/cmd_record.h"
#include "cli/cmd_rights.h"
#include "cli/cmd_simulate.h"
#include "cli/cmd_sub.h"
#include "cli/cmd_swarm.h"
#include "cli/cmd_watch.h"
#include "cli/command.h"
#include "cli/nearest.h"
#include "cli/options.h"
#include "cli/words.h"

enum { HELP_MAX = 64 * 1024 };

/* New commands: add the row here, the file to meson.build. Rows of one group stand together. */
const struct command commands[] = {
	{ "pub", "Messages", "publish messages, sealed end to end", cmd_pub },
	{ "sub", "Messages", "subscribe to topics and print what opens", cmd_sub },
	{ "chat", "Messages", "talk in a group", cmd_chat },
	{ "record", "Messages", "store what opens and is as declared, the rest in quarantine", cmd_record },
	{ "query", "Messages", "ask a store of records: latest, range, counts, plots", cmd_query },
	{ "command", "Messages", "set declared parameters of a device, and hear whether it did", cmd_command },
	{ "alert", "Messages", "tell all members of a group, signed", cmd_alert },
	{ "evidence", "Messages", "stored messages as a file that a third party verifies", cmd_evidence },
	{ "ca", "Realm", "a realm's authority: issue, renew, revoke", cmd_ca },
	{ "keyserver", "Realm", "run the key server of the realm's groups", cmd_keyserver },
	{ "group", "Realm", "make and keep groups: policies, members, rotation, expulsion", cmd_group },
	{ "broker", "Realm", "make, run and check a hardened broker for the realm", cmd_broker },
	{ "watch", "Realm", "find the abnormal in the broker's logs", cmd_watch },
	{ "data", "Looking closer", "what is in a CSV file before it is sent", cmd_data },
	{ "config", "Looking closer", "check and show sealmq.yaml", cmd_config },
	{ "inspect", "Looking closer", "what a sealed payload says, and what is in it", cmd_inspect },
	{ "swarm", "Looking closer", "many real members against a broker and a key server", cmd_swarm },
	{ "rights", "Looking closer", "what each process may do, and what it has given up", cmd_rights },
	{ "simulate", "Looking closer", "what rekeying costs a group of any size", cmd_simulate },
	{ "bench", "Looking closer", "measure on this machine what sealing costs", cmd_bench },
	{ "help", "Help", "what a command does and which options it takes", NULL },
};
const size_t command_count = sizeof commands / sizeof commands[0];

const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < command_count; i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

const struct command *command_nearest(const char *name)
{
	const struct command *best = NULL;
	size_t best_distance = SIZE_MAX;
	for (size_t i = 0; i < command_count; i++) {
		size_t distance = word_distance(name, commands[i].name);
		if (distance < best_distance) {
			best = &commands[i];
			best_distance = distance;
		}
	}
	return best && word_is_near(name, best_distance) ? best : NULL;
}

static void print_version(void) { printf("sealmq %s\n", smq_version()); }

static void print_overview(void)
{
	const char *group = "";
	fputs("sealmq - end-to-end security for MQTT\n\n"
	      "Payloads are sealed where they are published and opened where they are\n"
	      "subscribed to; the broker in between, any broker, sees neither content nor keys.\n"
	      "Keys are agreed between certified members and rotate by themselves.\n\n"
	      "First minute:\n"
	      "  sealmq ca init plant                 a realm: its root and its settings\n"
	      "  sealmq ca issue fridge-07            an identity for a device ...\n"
	      "  sealmq ca issue desk                 ... and one for whoever reads it\n"
	      "  sealmq sub --realm plant/members/desk -h BROKER -t 'plant/#' -v\n"
	      "  sealmq pub --realm plant/members/fridge-07 -h BROKER --to desk -t plant/a -m hello\n",
	      stdout);
	for (size_t i = 0; i < command_count; i++) {
		if (strcmp(group, commands[i].group) != 0) {
			group = commands[i].group;
			printf("\n%s:\n", group);
		}
		printf("  %-10s %s\n", commands[i].name, commands[i].help);
	}
	fputs("\n`sealmq help COMMAND` or `sealmq COMMAND --help` tells the rest; so does man sealmq.\n", stdout);
}

static int unknown_command(const char *name)
{
	char shown[80];
	const struct command *near = command_nearest(name);
	smq_escape(smq_span_str(name), shown, sizeof shown);
	fprintf(stderr, "sealmq: there is no command '%s'", shown);
	if (near)
		fprintf(stderr, "; did you mean '%s'?\n", near->name);
	else
		fputs("; `sealmq --help` lists them\n", stderr);
	return smq_err_exit(SMQ_ERR_USAGE);
}

static int run(const char *name, int argc, char **argv);

static int help(int argc, char **argv)
{
	char help_option[] = "--help";
	char *words[] = { NULL, help_option, NULL };
	if (argc < 2 || strcmp(argv[1], "help") == 0) {
		print_overview();
		return 0;
	}
	words[0] = argv[1];
	return run(argv[1], 2, words);
}

static int run(const char *name, int argc, char **argv)
{
	const struct command *command = command_find(name);
	if (!command)
		return unknown_command(name);
	return command->run ? command->run(argc, argv) : help(argc, argv);
}

/* Installed as sealmq_pub and sealmq_sub too: the command is then in the tool's own name. */
static const char *command_in_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path;
	return strncmp(base, "sealmq_", 7) == 0 ? base + 7 : NULL;
}

/* A child of its own, since bench becomes another program. */
static void run_into(FILE *text, const char *name, int argc, char **argv)
{
	pid_t child = fork();
	if (child == 0) {
		int status = dup2(fileno(text), STDOUT_FILENO) >= 0 ? run(name, argc, argv) : 1;
		fflush(stdout);
		_exit(status);
	}
	while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
}

/* For the shells: what COMMAND [SECOND] --help speaks of, a word a line. */
static int generate_words(int argc, char **argv)
{
	char help_option[] = "--help";
	char *words[] = { argv[0], argc > 1 ? argv[1] : help_option, argc > 1 ? help_option : NULL, NULL };
	FILE *text = tmpfile();
	char *help = calloc(HELP_MAX, 1);
	if (text && help) {
		run_into(text, argv[0], argc > 1 ? 3 : 2, words);
		rewind(text);
		if (fread(help, 1, HELP_MAX - 1, text) > 0)
			words_print(argv[0], help, stdout);
	}
	free(help);
	if (text)
		fclose(text);
	return 0;
}

/* For the build: --generate man pub|sub TEMPLATE, --generate completion bash|zsh|fish. */
static int generate(int argc, char **argv)
{
	if (argc >= 2 && argc <= 3 && strcmp(argv[0], "words") == 0 && command_find(argv[1]))
		return generate_words(argc - 1, argv + 1);
	if (argc == 3 && strcmp(argv[0], "man") == 0)
		return options_print_page(strcmp(argv[1], "sub") == 0 ? FOR_SUB : FOR_PUB, argv[2], stdout) ? 0 : 1;
	if (argc == 2 && strcmp(argv[0], "completion") == 0) {
		options_print_completion(argv[1], stdout);
		return 0;
	}
	return smq_err_exit(SMQ_ERR_USAGE);
}

int main(int argc, char **argv)
{
	const char *named = argc > 0 ? command_in_name(argv[0]) : NULL;
	if (named && command_find(named))
		return run(named, argc, argv);
	if (argc < 2) {
		print_overview();
		return smq_err_exit(SMQ_ERR_USAGE);
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		print_overview();
		return 0;
	}
	if (strcmp(argv[1], "--version") == 0) {
		print_version();
		return 0;
	}
	if (strcmp(argv[1], "--generate") == 0)
		return generate(argc - 2, argv + 2);
	return run(argv[1], argc - 1, argv + 1);
}
