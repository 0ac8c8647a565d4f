/* What is made from the table of options: help, lists for the manual pages, completions. */
#include "cli/options.h"

#include <string.h>

#include "cli/command.h"

enum { HELP_COLUMN = 30, HELP_WIDTH = 100 };

/* ---- --help ---- */

static void print_wrapped(FILE *out, const char *text)
{
	int at = HELP_COLUMN;
	for (const char *word = text; *word; word += strspn(word, " ")) {
		int len = (int)strcspn(word, " ");
		if (at > HELP_COLUMN && at + 1 + len > HELP_WIDTH) {
			fprintf(out, "\n%*s", HELP_COLUMN, "");
			at = HELP_COLUMN;
		}
		at += fprintf(out, "%s%.*s", at > HELP_COLUMN ? " " : "", len, word);
		word += len;
	}
	fputc('\n', out);
}

static void print_row(FILE *out, const struct option_row *row)
{
	int at =
	    row->letter ? fprintf(out, "  -%c, --%s", row->letter, row->name) : fprintf(out, "      --%s", row->name);
	if (row->value)
		at += fprintf(out, " %s", row->value);
	if (at >= HELP_COLUMN - 1)
		at = fprintf(out, "\n") - 1;
	fprintf(out, "%*s", HELP_COLUMN - at, "");
	print_wrapped(out, row->help);
}

void options_print_help(enum option_user user, FILE *out)
{
	const char *group = "";
	for (size_t i = 0; i < option_row_count; i++) {
		const struct option_row *row = &option_rows[i];
		if (!(row->users & user))
			continue;
		if (strcmp(group, row->group) != 0)
			fprintf(out, "\n%s:\n", row->group);
		group = row->group;
		print_row(out, row);
	}
}

/* ---- manual pages ---- */

/* roff reads '-' as a hyphen, '.' and ''' at the beginning of a line as requests, and '\' as its own. */
static void print_roff(FILE *out, const char *text)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", out);
	for (; *text; text++) {
		if (*text == '-')
			fputs("\\-", out);
		else if (*text == '\\')
			fputs("\\e", out);
		else
			fputc(*text, out);
	}
}

static void print_man_row(FILE *out, const struct option_row *row)
{
	fputs(".TP\n", out);
	if (row->letter)
		fprintf(out, "\\fB\\-%c\\fR, ", row->letter);
	fputs("\\fB\\-\\-", out);
	print_roff(out, row->name);
	fputs("\\fR", out);
	if (row->value) {
		fputs(" \\fI", out);
		print_roff(out, row->value);
		fputs("\\fR", out);
	}
	fputs("\n", out);
	print_roff(out, row->help);
	fputs(".\n", out);
}

static void print_man_rows(enum option_user user, FILE *out)
{
	const char *group = "";
	for (size_t i = 0; i < option_row_count; i++) {
		const struct option_row *row = &option_rows[i];
		if (!(row->users & user))
			continue;
		if (strcmp(group, row->group) != 0)
			fprintf(out, ".SS %s\n", row->group);
		group = row->group;
		print_man_row(out, row);
	}
}

bool options_print_page(enum option_user user, const char *path, FILE *out)
{
	char line[1024];
	FILE *in = fopen(path, "re");
	if (!in) {
		perror(path);
		return false;
	}
	while (fgets(line, sizeof line, in)) {
		if (strcmp(line, "@OPTIONS@\n") == 0)
			print_man_rows(user, out);
		else
			fputs(line, out);
	}
	fclose(in);
	return true;
}

/* ---- completions ---- */

static bool wants_file(const struct option_row *row)
{
	return row->value && (strcmp(row->value, "FILE") == 0 || strcmp(row->value, "PATH") == 0);
}

static bool wants_dir(const struct option_row *row) { return row->value && strcmp(row->value, "DIR") == 0; }

static void print_bash_words(enum option_user user, FILE *out)
{
	for (size_t i = 0; i < option_row_count; i++) {
		if (option_rows[i].users & user)
			fprintf(out, "--%s ", option_rows[i].name);
	}
}

static void print_bash_case(FILE *out, const struct option_row *row)
{
	fputs("\t", out);
	if (row->letter)
		fprintf(out, "-%c|", row->letter);
	if (row->choices) {
		fprintf(out, "--%s) COMPREPLY=($(compgen -W '", row->name);
		for (const char *at = row->choices; *at; at++)
			fputc(*at == '|' ? ' ' : *at, out);
		fputs("' -- \"$word\")); return ;;\n", out);
	} else {
		fprintf(out, "--%s) compopt -o filenames; COMPREPLY=($(compgen -%c -- \"$word\")); return ;;\n",
			row->name, wants_dir(row) ? 'd' : 'f');
	}
}

static void print_bash(FILE *out)
{
	fputs("# bash completion for sealmq, made from its table of options\n"
	      "_sealmq() {\n"
	      "\tlocal word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]}\n"
	      "\tcase ${COMP_WORDS[0]##*/} in sealmq_pub) command=pub ;; sealmq_sub) command=sub ;;\n"
	      "\t*) if ((COMP_CWORD == 1)); then COMPREPLY=($(compgen -W '",
	      out);
	for (size_t i = 0; i < command_count; i++)
		fprintf(out, "%s ", commands[i].name);
	fputs(
	    "--help --version' -- \"$word\")); return; fi ;;\n\tesac\n\tcase $command in pub|sub) ;; *) "
	    "local second=; ((COMP_CWORD > 2)) && [[ ${COMP_WORDS[2]} != -* ]] && second=${COMP_WORDS[2]}\n"
	    "\t\tif [[ $word == -* ]] || ((COMP_CWORD == 2)); then COMPREPLY=($(compgen -W "
	    "\"$(sealmq --generate words \"$command\" $second 2>/dev/null)\" -- \"$word\")); fi\n"
	    "\t\tif ((${#COMPREPLY[@]} == 0)); then compopt -o filenames; COMPREPLY=($(compgen -f -- \"$word\")); fi\n"
	    "\t\treturn ;; esac\n\tcase $before in\n",
	    out);
	for (size_t i = 0; i < option_row_count; i++) {
		const struct option_row *row = &option_rows[i];
		if (row->choices || wants_file(row) || wants_dir(row))
			print_bash_case(out, row);
	}
	fputs("\tesac\n\tcase $command in\n\tpub) COMPREPLY=($(compgen -W '", out);
	print_bash_words(FOR_PUB, out);
	fputs("' -- \"$word\")) ;;\n\tsub) COMPREPLY=($(compgen -W '", out);
	print_bash_words(FOR_SUB, out);
	fputs("' -- \"$word\")) ;;\n\tesac\n}\ncomplete -F _sealmq sealmq sealmq_pub sealmq_sub\n", out);
}

/* Text inside single quotes of a shell; zsh's _arguments also takes ':' and brackets for its own. */
static void print_quoted(FILE *out, const char *text, bool zsh)
{
	for (; *text; text++) {
		if (*text == '\'')
			fputs(zsh ? "'\\''" : "\\'", out);
		else if (zsh && strchr(":[]", *text))
			fprintf(out, "\\%c", *text);
		else if (!zsh && *text == '\\')
			fputs("\\\\", out);
		else
			fputc(*text, out);
	}
}

static void print_zsh_row(FILE *out, const struct option_row *row, const char *dashes, const char *name)
{
	bool often = row->type == OPTION_LIST || row->type == OPTION_PROPERTY;
	fprintf(out, "\t\t'%s%s%s[", often ? "*" : "", dashes, name);
	print_quoted(out, row->help, true);
	fputc(']', out);
	if (row->value) {
		fputc(':', out);
		print_quoted(out, row->value, true);
		fputc(':', out);
		if (row->choices) {
			fputc('(', out);
			for (const char *at = row->choices; *at; at++)
				fputc(*at == '|' ? ' ' : *at, out);
			fputc(')', out);
		} else if (wants_file(row) || wants_dir(row)) {
			fputs(wants_dir(row) ? "_files -/" : "_files", out);
		}
	}
	fputs("'\n", out);
}

static void print_zsh_rows(enum option_user user, FILE *out)
{
	for (size_t i = 0; i < option_row_count; i++) {
		const struct option_row *row = &option_rows[i];
		char letter[2] = { row->letter, 0 };
		if (!(row->users & user))
			continue;
		print_zsh_row(out, row, "--", row->name);
		if (row->letter)
			print_zsh_row(out, row, "-", letter);
	}
}

static void print_zsh(FILE *out)
{
	fputs("#compdef sealmq sealmq_pub sealmq_sub\n# made from sealmq's table of options\n_sealmq_pub() {\n\tlocal "
	      "-a rows=(\n",
	      out);
	print_zsh_rows(FOR_PUB, out);
	fputs("\t)\n\t_arguments -s $rows\n}\n_sealmq_sub() {\n\tlocal -a rows=(\n", out);
	print_zsh_rows(FOR_SUB, out);
	fputs("\t)\n\t_arguments -s $rows\n}\n_sealmq() {\n\tlocal -a words_known=(\n", out);
	for (size_t i = 0; i < command_count; i++) {
		fprintf(out, "\t\t'%s:", commands[i].name);
		print_quoted(out, commands[i].help, true);
		fputs("'\n", out);
	}
	fputs("\t)\n\tcase $service in sealmq_pub) _sealmq_pub; return ;; sealmq_sub) _sealmq_sub; return ;; esac\n"
	      "\tif ((CURRENT == 2)); then _describe command words_known; return; fi\n"
	      "\tlocal command=$words[2]\n\tshift words; ((CURRENT--))\n"
	      "\tcase $command in pub) _sealmq_pub ;; sub) _sealmq_sub ;;\n"
	      "\t*) local second=; ((CURRENT > 2)) && [[ $words[2] != -* ]] && second=$words[2]\n"
	      "\t\tcompadd -- ${(f)\"$(sealmq --generate words $command $second 2>/dev/null)\"}; _files ;; esac\n}\n"
	      "_sealmq \"$@\"\n",
	      out);
}

static void print_fish_row(FILE *out, const struct option_row *row, const char *condition)
{
	fprintf(out, "complete -c sealmq -n '%s' -l %s", condition, row->name);
	if (row->letter)
		fprintf(out, " -s %c", row->letter);
	if (row->value)
		fputs(wants_file(row) || wants_dir(row) ? " -r -F" : " -x", out);
	if (row->choices) {
		fputs(" -a '", out);
		for (const char *at = row->choices; *at; at++)
			fputc(*at == '|' ? ' ' : *at, out);
		fputc('\'', out);
	}
	fputs(" -d '", out);
	print_quoted(out, row->help, false);
	fputs("'\n", out);
}

static void print_fish(FILE *out)
{
	fputs("# fish completion for sealmq, made from its table of options\n", out);
	for (size_t i = 0; i < command_count; i++) {
		fprintf(out, "complete -c sealmq -f -n __fish_use_subcommand -a %s -d '", commands[i].name);
		print_quoted(out, commands[i].help, false);
		fputs("'\n", out);
	}
	fputs("function __sealmq_words\n\tset -l words (commandline -opc)\n\tset -l second\n"
	      "\tif test (count $words) -gt 2; and not string match -q -- '-*' $words[3]; set second $words[3]; end\n"
	      "\tsealmq --generate words $words[2] $second 2>/dev/null\nend\n"
	      "complete -c sealmq -n 'not __fish_use_subcommand; and not __fish_seen_subcommand_from pub sub' -a "
	      "'(__sealmq_words)'\n",
	      out);
	for (size_t i = 0; i < option_row_count; i++) {
		if (option_rows[i].users & FOR_PUB)
			print_fish_row(out, &option_rows[i], "__fish_seen_subcommand_from pub");
		if (option_rows[i].users & FOR_SUB)
			print_fish_row(out, &option_rows[i], "__fish_seen_subcommand_from sub");
	}
	fputs("complete -c sealmq_pub -w 'sealmq pub'\ncomplete -c sealmq_sub -w 'sealmq sub'\n", out);
}

void options_print_completion(const char *shell, FILE *out)
{
	if (strcmp(shell, "zsh") == 0)
		print_zsh(out);
	else if (strcmp(shell, "fish") == 0)
		print_fish(out);
	else
		print_bash(out);
}
