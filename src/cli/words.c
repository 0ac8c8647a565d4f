/* Words to complete, out of a help text. */
#include "cli/words.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

static size_t word_len(const char *at)
{
	size_t len = strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789-");
	return isalpha((unsigned char)*at) ? len : 0;
}

static void print_word(const char *at, size_t len, FILE *out) { fprintf(out, "%.*s\n", (int)len, at); }

/* "init DIR", "list | show NAME | rotate NAME", "create|next NAME": the first word of each. */
static void print_alternatives(const char *at, const char *end, FILE *out)
{
	while (at < end) {
		size_t len = word_len(at);
		bool whole = len > 0 && (at[len] == ' ' || at[len] == '|' || at + len == end);
		if (whole)
			print_word(at, len, out);
		const char *bar = memchr(at, '|', (size_t)(end - at));
		if (!bar)
			return;
		at = bar + 1;
		at += strspn(at, " ");
	}
}

static void print_options(const char *at, const char *end, FILE *out)
{
	for (; at + 2 < end; at++) {
		size_t len = strncmp(at, "--", 2) == 0 ? word_len(at + 2) : 0;
		if (len == 0)
			continue;
		print_word(at, len + 2, out);
		at += len + 1;
	}
}

/* Whether a word that begins a line of a list ends here: two spaces follow, perhaps behind what it takes: "set FILE  ".
 */
static bool ends_entry(const char *at)
{
	if (*at == ' ' && isupper((unsigned char)at[1]))
		at += 1 + strspn(at + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
	return strncmp(at, "  ", 2) == 0;
}

static void print_line(const char *line, const char *end, const char *mark, FILE *out)
{
	const char *named = strstr(line, mark);
	size_t first = strncmp(line, "  ", 2) == 0 ? word_len(line + 2) : 0;
	if (named && named < end) {
		named += strlen(mark);
		print_alternatives(named + strspn(named, " "), end, out);
	} else if (first > 0 && ends_entry(line + 2 + first)) {
		print_word(line + 2, first, out);
	}
	print_options(line, end, out);
}

void words_print(const char *command, const char *help, FILE *out)
{
	char mark[64];
	snprintf(mark, sizeof(mark), "sealmq %s ", command);
	for (const char *line = help; *line;) {
		const char *end = line + strcspn(line, "\n");
		print_line(line, end, mark, out);
		line = *end ? end + 1 : end;
	}
}
