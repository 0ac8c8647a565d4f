/* Options of a command that takes most of its options from sub. */
#include "cli/own_options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool wrong(const char *command, const char *name, const char *why)
{
	fprintf(stderr, "%s: %s %s; `%s --help` tells more\n", command, name, why, command);
	return false;
}

static bool take_number(const char *command, const struct own_option *o, const char *text)
{
	char *end;
	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || (o->most && value > o->most))
		return wrong(command, o->name, "takes a whole number that is not out of range");
	*(uint64_t *)o->to = value;
	return true;
}

static bool take_value(const char *command, const struct own_option *o, const char *text)
{
	switch (o->type) {
	case OWN_TEXT:
		*(const char **)o->to = text;
		return true;
	case OWN_LIST:
		list_add(o->to, text);
		return true;
	case OWN_NUMBER:
		return take_number(command, o, text);
	case OWN_FLAG:
		break;
	}
	return false;
}

/* The option that argv[*at] is; *ret_value: its value, in the same word or the next, which is taken then. */
static const struct own_option *match(const struct own_option *options, size_t count, int argc, char **argv, int *at,
				      const char **ret_value)
{
	for (size_t i = 0; i < count; i++) {
		const struct own_option *o = &options[i];
		size_t len = strlen(o->name);
		if (strncmp(argv[*at], o->name, len) != 0)
			continue;
		const char *rest = argv[*at] + len;
		if (*rest == '=' && o->type != OWN_FLAG) {
			*ret_value = rest + 1;
			return o;
		}
		if (*rest)
			continue;
		*ret_value = o->type != OWN_FLAG && *at + 1 < argc ? argv[++*at] : NULL;
		return o;
	}
	return NULL;
}

bool own_options_take(const char *command, const struct own_option *options, size_t count, int *argc, char **argv)
{
	int kept = 1;
	for (int i = 1; i < *argc; i++) {
		const char *value = NULL;
		int here = i;
		const struct own_option *o = match(options, count, *argc, argv, &i, &value);
		if (!o)
			argv[kept++] = argv[here];
		else if (o->type == OWN_FLAG)
			*(bool *)o->to = true;
		else if (!value)
			return wrong(command, o->name, "takes a value");
		else if (!take_value(command, o, value))
			return false;
	}
	*argc = kept;
	argv[kept] = NULL;
	return true;
}

bool own_words_take(const char *command, const char **ret_words, size_t most, size_t *ret_count, int *argc, char **argv)
{
	int words = 0;
	while (1 + words < *argc && argv[1 + words][0] != '-')
		words++;
	if ((size_t)words > most)
		return wrong(command, argv[1 + most], "is one word too many");
	for (int i = 0; i < words; i++)
		ret_words[i] = argv[1 + i];
	memmove(&argv[1], &argv[1 + words], (size_t)(*argc - words) * sizeof(argv[0]));
	*argc -= words;
	*ret_count = (size_t)words;
	return true;
}
