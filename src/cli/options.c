/* The parser over the table of options. */
#include "cli/options.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <sealmq/text.h>

#include "cli/mem.h"
#include "cli/nearest.h"
#include "cli/property.h"

enum { LINE_MAX_LEN = 65536, FILE_DEPTH_MAX = 4, SHOWN_MAX = 120 };

/* Where a value comes from; a higher level replaces the message and the lists of names of a lower one. */
enum level { LEVEL_FILE = 1, LEVEL_GIVEN_FILE, LEVEL_ARGS };

/* The command line is read three times: a row is applied in one of them and only checked for its form in the others. */
enum pass {
	PASS_EARLY, /* --help, --version, --config: they decide what else is read */
	PASS_FILES, /* -o, wherever it stands: what stands on the command line itself wins */
	PASS_ALL    /* the rest */
};

struct parse {
	enum option_user user;
	struct settings *s;
	enum level level;
	int argc;
	char **argv;
	int next; /* word to read next */
	enum pass pass;
	const char *file;
	unsigned line;
	unsigned depth;
	const char **ret_why;
};

/* ---- what went wrong ---- */

static const char *shown(const char *text, char room[SHOWN_MAX])
{
	smq_escape(smq_span_str(text), room, SHOWN_MAX);
	return room;
}

__attribute__((format(printf, 2, 3))) static bool fail(struct parse *p, const char *format, ...)
{
	char text[512], place[SHOWN_MAX + 24] = "", name[SHOWN_MAX];
	char whole[sizeof text + sizeof place];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (p->file)
		snprintf(place, sizeof place, "%s:%u: ", shown(p->file, name), p->line);
	int len = snprintf(whole, sizeof whole, "%s%s", place, text);
	*p->ret_why = settings_keep(p->s, whole, len > 0 ? (size_t)len : 0);
	return false;
}

static const char *row_name(const struct option_row *row, char room[SHOWN_MAX])
{
	if (row->letter)
		snprintf(room, SHOWN_MAX, "-%c (--%s)", row->letter, row->name);
	else
		snprintf(room, SHOWN_MAX, "--%s", row->name);
	return room;
}

static bool fail_value(struct parse *p, const struct option_row *row, const char *value, const char *right)
{
	char name[SHOWN_MAX], text[SHOWN_MAX];
	return fail(p, "%s: '%s' is not %s", row_name(row, name), row->secret ? "..." : shown(value, text), right);
}

/* ---- finding rows ---- */

const struct option_row *option_by_name(enum option_user user, const char *name, size_t len)
{
	for (size_t i = 0; i < option_row_count; i++) {
		const struct option_row *row = &option_rows[i];
		if ((row->users & user) && strlen(row->name) == len && memcmp(row->name, name, len) == 0)
			return row;
	}
	return NULL;
}

const struct option_row *option_by_letter(enum option_user user, char letter)
{
	for (size_t i = 0; i < option_row_count; i++) {
		if ((option_rows[i].users & user) && option_rows[i].letter == letter && letter)
			return &option_rows[i];
	}
	return NULL;
}

/* mosquitto has some long names twice. */
static const struct option_row *by_alias(enum option_user user, const char *name, size_t len)
{
	static const char *const aliases[][2] = { { "password", "pw" },
						  { "will-message", "will-payload" },
						  { "user", "username" },
						  { "mqtt-version", "protocol-version" } };
	for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++) {
		if (strlen(aliases[i][0]) == len && memcmp(aliases[i][0], name, len) == 0)
			return option_by_name(user, aliases[i][1], strlen(aliases[i][1]));
	}
	return NULL;
}

static bool fail_unknown(struct parse *p, const char *word, size_t name_len)
{
	char name[SHOWN_MAX];
	const char *near = NULL;
	size_t best = SIZE_MAX;
	char typed[SHOWN_MAX];
	snprintf(typed, sizeof typed, "%.*s", (int)(name_len < 64 ? name_len : 64), word + 2);
	for (size_t i = 0; i < option_row_count; i++) {
		size_t distance = word_distance(typed, option_rows[i].name);
		if ((option_rows[i].users & p->user) && distance < best) {
			best = distance;
			near = option_rows[i].name;
		}
	}
	if (near && word_is_near(typed, best))
		return fail(p, "unknown option '%s'; did you mean '--%s'?", shown(word, name), near);
	return fail(p, "unknown option '%s'", shown(word, name));
}

/* ---- values ---- */

static void *field_of(struct parse *p, const struct option_row *row) { return (char *)p->s + row->field; }

static bool set_int(struct parse *p, const struct option_row *row, const char *value)
{
	char right[80], *end;
	errno = 0;
	long long number = strtoll(value, &end, 10);
	if (errno || end == value || *end || isspace((unsigned char)value[0]) || (double)number < row->min ||
	    (double)number > row->max) {
		snprintf(right, sizeof right, "a whole number from %.0f to %.0f", row->min, row->max);
		return fail_value(p, row, value, right);
	}
	*(int64_t *)field_of(p, row) = number;
	return true;
}

/* A number and what follows it; strtod alone would take "inf", "nan" and hex. */
static bool read_number(const char *value, double *ret_number, const char **ret_rest)
{
	char *end;
	if (!isdigit((unsigned char)value[0]) && !(value[0] == '.' && isdigit((unsigned char)value[1])))
		return false;
	if (value[0] == '0' && (value[1] == 'x' || value[1] == 'X'))
		return false;
	double number = strtod(value, &end);
	if (!isfinite(number))
		return false;
	*ret_number = number;
	*ret_rest = end;
	return true;
}

static double unit_of(const char *rest)
{
	static const struct {
		const char *name;
		double seconds;
	} units[] = {
		{ "", 1 }, { "s", 1 }, { "ms", 0.001 }, { "m", 60 }, { "min", 60 }, { "h", 3600 }, { "d", 86400 }
	};
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
		if (strcmp(rest, units[i].name) == 0)
			return units[i].seconds;
	}
	return 0;
}

static bool set_number(struct parse *p, const struct option_row *row, const char *value)
{
	double number = 0, unit = 0;
	const char *rest;
	char right[96];
	if (read_number(value, &number, &rest))
		unit = row->type == OPTION_SECONDS ? unit_of(rest) : *rest == 0;
	if (unit <= 0 || number * unit < row->min || number * unit > row->max) {
		snprintf(right, sizeof right, "a number%s from %g to %.10g",
			 row->type == OPTION_SECONDS ? " of seconds (or 500ms, 5m, 2h)" : "", row->min, row->max);
		return fail_value(p, row, value, right);
	}
	*(double *)field_of(p, row) = number * unit;
	return true;
}

static bool is_choice(const char *choices, const char *value, size_t len)
{
	for (const char *at = choices; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL) {
		if (strcspn(at, "|") == len && strncasecmp(at, value, len) == 0)
			return true;
	}
	return false;
}

static bool set_choice(struct parse *p, const struct option_row *row, const char *value)
{
	char right[160];
	if (value[0] && is_choice(row->choices, value, strlen(value))) {
		if (row->type == OPTION_CHOICE)
			*(const char **)field_of(p, row) = value;
		else
			*(int64_t *)field_of(p, row) = strchr(value, '5') ? 5 : strstr(value, "311") ? 4 : 3;
		return true;
	}
	snprintf(right, sizeof right, "one of %s", row->choices);
	return fail_value(p, row, value, right);
}

static bool set_list(struct parse *p, const struct option_row *row, const char *value)
{
	struct list *list = field_of(p, row);
	/* topics and filters add up, as mosquitto's do; names replace those of a weaker place */
	if (!row->commas) {
		list_add(list, value);
		return true;
	}
	if (list->level != p->level)
		list->count = 0;
	list->level = p->level;
	for (const char *at = value;; at++) {
		size_t len = strcspn(at, ",");
		if (len == 0)
			return fail_value(p, row, value, "a name or several with commas");
		list_add(list, settings_keep(p->s, at, len));
		at += len;
		if (*at == 0)
			return true;
	}
}

static bool set_mode(struct parse *p, const struct option_row *row, const char *value)
{
	struct settings *s = p->s;
	if (s->mode != MESSAGE_NONE && s->mode_level == p->level)
		return fail(p, "only one of -m, -f, -l, -s, -n and --source can be given");
	s->mode = (enum message_mode)row->min;
	s->mode_level = p->level;
	s->message = value;
	return true;
}

static bool set_property(struct parse *p, const struct option_row *row)
{
	char **words = p->argv + p->next;
	int left = p->argc - p->next;
	const char *why = NULL;
	char name[SHOWN_MAX];
	int taken = left >= 2 && strcasecmp(words[1], "user-property") == 0 ? 4 : 3;
	if (left < taken)
		return fail(
		    p, "%s needs COMMAND NAME VALUE (four words for user-property: COMMAND user-property NAME VALUE)",
		    row_name(row, name));
	p->next += taken;
	if (p->pass != PASS_ALL)
		return true;
	if (!property_add(&p->s->properties, p->user == FOR_PUB, (const char *const *)words, &why))
		return fail(p, "-D %s: %s", shown(words[0], name), why);
	return true;
}

static bool set_value(struct parse *p, const struct option_row *row, const char *value)
{
	switch (row->type) {
	case OPTION_TEXT:
		*(const char **)field_of(p, row) = value;
		return true;
	case OPTION_INT:
		return set_int(p, row, value);
	case OPTION_SECONDS:
	case OPTION_NUMBER:
		return set_number(p, row, value);
	case OPTION_LIST:
		return set_list(p, row, value);
	case OPTION_CHOICE:
	case OPTION_VERSION:
		return set_choice(p, row, value);
	case OPTION_MESSAGE:
		return set_mode(p, row, value);
	default:
		return fail(p, "--%s cannot be set here", row->name);
	}
}

/* ---- words ---- */

/* What others may read in the list of processes goes, as soon as it was copied. */
static const char *take_secret(struct parse *p, char *value)
{
	const char *kept = settings_keep(p->s, value, strlen(value));
	mem_wipe(value, strlen(value));
	return kept;
}

static bool follow_file(struct parse *p, const char *path);

static enum pass pass_of(const struct parse *p, const struct option_row *row)
{
	if (p->level != LEVEL_ARGS)
		return PASS_ALL;
	return row->early ? PASS_EARLY : row->type == OPTION_FILE ? PASS_FILES : PASS_ALL;
}

static bool apply_value(struct parse *p, const struct option_row *row, char *value)
{
	if (p->pass != pass_of(p, row))
		return true;
	if (row->type == OPTION_FILE)
		return follow_file(p, value);
	/* Words of argv stay where they are; lines of files were kept before they came here. */
	return set_value(p, row, row->secret ? take_secret(p, value) : value);
}

static bool apply_flag(struct parse *p, const struct option_row *row)
{
	if (p->pass != pass_of(p, row))
		return true;
	if (row->type == OPTION_MODE)
		return set_mode(p, row, NULL);
	*(bool *)field_of(p, row) = true;
	return true;
}

static bool is_flag(const struct option_row *row) { return row->type == OPTION_FLAG || row->type == OPTION_MODE; }

static bool next_value(struct parse *p, const struct option_row *row)
{
	char name[SHOWN_MAX];
	if (p->next >= p->argc)
		return fail(p, "%s needs a value: %s", row_name(row, name), row->value);
	return apply_value(p, row, p->argv[p->next++]);
}

static bool read_long(struct parse *p, char *word)
{
	size_t len = strcspn(word + 2, "=");
	char *value = word[2 + len] ? word + 2 + len + 1 : NULL;
	const struct option_row *row = option_by_name(p->user, word + 2, len);
	if (!row)
		row = by_alias(p->user, word + 2, len);
	if (!row)
		return fail_unknown(p, word, len);
	if (is_flag(row))
		return value ? fail(p, "--%s takes no value", row->name) : apply_flag(p, row);
	if (row->type == OPTION_PROPERTY)
		return value ? fail(p, "--%s takes its words after blanks", row->name) : set_property(p, row);
	return value ? apply_value(p, row, value) : next_value(p, row);
}

static bool read_short(struct parse *p, char *word)
{
	char name[SHOWN_MAX], text[2] = "";
	for (char *at = word + 1; *at; at++) {
		const struct option_row *row = option_by_letter(p->user, *at);
		if (!row) {
			text[0] = *at;
			return fail(p, "unknown option '-%s'", shown(text, name));
		}
		if (row->type == OPTION_PROPERTY)
			return at[1] ? fail(p, "-%c takes its words after blanks", row->letter) : set_property(p, row);
		if (!is_flag(row)) {
			char *value = at[1] == '=' ? at + 2 : at + 1;
			return at[1] ? apply_value(p, row, value) : next_value(p, row);
		}
		if (!apply_flag(p, row))
			return false;
	}
	return true;
}

static bool read_words(struct parse *p)
{
	char name[SHOWN_MAX];
	while (p->next < p->argc) {
		char *word = p->argv[p->next++];
		bool ok;
		if (word[0] == '-' && word[1] == '-' && word[2])
			ok = read_long(p, word);
		else if (word[0] == '-' && word[1] && word[1] != '-')
			ok = read_short(p, word);
		else
			ok = fail(p, "'%s' is not an option; a topic is given with -t, a message with -m",
				  shown(word, name));
		if (!ok)
			return false;
	}
	return true;
}

static bool read_args(enum option_user user, int argc, char **argv, enum pass pass, struct settings *s,
		      const char **ret_why)
{
	struct parse p = { .user = user,
			   .s = s,
			   .level = LEVEL_ARGS,
			   .argc = argc,
			   .argv = argv,
			   .next = 1,
			   .pass = pass,
			   .ret_why = ret_why };
	return read_words(&p);
}

bool options_look(enum option_user user, int argc, char **argv, struct settings *s, const char **ret_why)
{
	return read_args(user, argc, argv, PASS_EARLY, s, ret_why);
}

bool options_from_args(enum option_user user, int argc, char **argv, struct settings *s, const char **ret_why)
{
	return read_args(user, argc, argv, PASS_FILES, s, ret_why) && read_args(user, argc, argv, PASS_ALL, s, ret_why);
}

/* ---- files ---- */

static char *skip_blanks(char *at) { return at + strspn(at, " \t"); }

/* One line: an option, and the rest of the line as its value; the words of -D apart, the last one to the end. */
static bool read_line(struct parse *p, char *line)
{
	char *words[6] = { line, NULL };
	int count = 1;
	char *at = line + strcspn(line, " \t");
	bool property;
	if (*at)
		*at++ = 0;
	property = strcmp(line, "-D") == 0 || strcmp(line, "--property") == 0;
	for (at = skip_blanks(at); *at;) {
		bool last = !property || count == (count > 2 && strcasecmp(words[2], "user-property") == 0 ? 4 : 3);
		words[count++] = at;
		if (last)
			break;
		at += strcspn(at, " \t");
		if (*at)
			*at++ = 0;
		at = skip_blanks(at);
	}
	p->argc = count;
	p->argv = words;
	p->next = 0;
	return read_words(p);
}

static bool read_file(struct parse *p, FILE *file)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t len;
	bool ok = true;
	while (ok && (len = getline(&line, &room, file)) >= 0) {
		p->line++;
		while (len > 0 && strchr(" \t\r\n", line[len - 1]))
			line[--len] = 0;
		if (len > LINE_MAX_LEN || strlen(line) != (size_t)len)
			ok = fail(p, "a line that is too long or holds a zero byte");
		else if (line[0] && line[0] != '#')
			/* values point into the kept copy */
			ok = read_line(p, (char *)(uintptr_t)settings_keep(p->s, line, (size_t)len));
	}
	if (ok && !feof(file)) /* an error, or getline() without memory, which sets none */
		ok = fail(p, "cannot be read: %s", strerror(errno));
	if (line)
		mem_wipe(line, room);
	free(line);
	return ok;
}

static bool open_and_read(struct parse *outer, const char *path, enum level level, bool must_exist)
{
	struct parse p = *outer;
	char name[SHOWN_MAX];
	FILE *file = fopen(path, "re");
	if (!file && !must_exist && (errno == ENOENT || errno == ENOTDIR || errno == EACCES))
		return true;
	if (!file)
		return fail(outer, "options file '%s': %s", shown(path, name), strerror(errno));
	p.file = path;
	p.line = 0;
	p.level = level;
	p.pass = PASS_ALL;
	p.depth++;
	bool ok = read_file(&p, file);
	fclose(file);
	return ok;
}

static bool follow_file(struct parse *p, const char *path)
{
	char name[SHOWN_MAX];
	if (p->depth >= FILE_DEPTH_MAX)
		return fail(p, "options file '%s': more than %d files deep", shown(path, name), FILE_DEPTH_MAX);
	return open_and_read(p, path, p->level == LEVEL_ARGS ? LEVEL_GIVEN_FILE : p->level, true);
}

bool options_from_default_file(enum option_user user, struct settings *s, const char **ret_why)
{
	struct parse p = { .user = user, .s = s, .ret_why = ret_why };
	const char *base = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	const char *name = user == FOR_PUB ? "sealmq_pub" : "sealmq_sub";
	char path[PATH_MAX];
	int len;
	if (base && base[0])
		len = snprintf(path, sizeof path, "%s/%s", base, name);
	else if (home && home[0])
		len = snprintf(path, sizeof path, "%s/.config/%s", home, name);
	else
		return true;
	if (len < 0 || (size_t)len >= sizeof path)
		return true;
	return open_and_read(&p, settings_keep(s, path, (size_t)len), LEVEL_FILE, false);
}
