/* The example file and the reference table, both made from the table of keys. */
#include <sealmq/config.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "app/settings_table.h"

/* Counts what does not fit, as snprintf does. */
struct text {
	char *p;
	size_t room, len;
};

static void add(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct text *t, const char *format, ...)
{
	va_list args;
	size_t at = t->len < t->room ? t->len : t->room;
	va_start(args, format);
	int n = vsnprintf(at < t->room ? t->p + at : NULL, t->room - at, format, args);
	va_end(args);
	t->len += n > 0 ? (size_t)n : 0;
}

static int depth_of(const char *name)
{
	int depth = 0;
	for (; (name = strchr(name, '.')); name++)
		depth++;
	return depth;
}

/* The lines "broker:" and "  tls:" that differ from those that the key before stood under. */
static void add_sections(struct text *t, const char *name, const char *before)
{
	int level = 0;
	const char *start = name;
	for (const char *dot; (dot = strchr(start, '.')); start = dot + 1, level++) {
		size_t prefix = (size_t)(dot - name) + 1;
		if (strncmp(name, before, prefix) != 0)
			add(t, "%s%*s%.*s:\n", level == 0 ? "\n" : "", 2 * level, "", (int)(dot - start), start);
	}
}

static void add_value(struct text *t, const struct smq_config_key *key, const char *value)
{
	/* '#' and ':' mean something in YAML, and true and 5 may be meant as text. */
	if (smq_settings_is_list(key->type)) {
		add(t, "[");
		for (const char *p = value; *p; p += strspn(p, ", ")) {
			size_t n = strcspn(p, ",");
			add(t, "%s\"%.*s\"", p == value ? "" : ", ", (int)n, p);
			p += n;
		}
		add(t, "]");
	} else if (strpbrk(value, "#:{}~ ")) {
		add(t, "\"%s\"", value);
	} else {
		add(t, "%s", value);
	}
}

static void add_range(struct text *t, const struct smq_config_key *key)
{
	if (key->words) {
		add(t, "; one of:");
		for (const char *w = key->words; *w;) {
			int n = (int)strcspn(w, " ");
			add(t, " %.*s", n, w);
			w += n;
			w += strspn(w, " ");
		}
	}
	if (key->unset)
		add(t, "; default: %s", key->unset);
}

/* Keys that have a default are set to it; the others are shown as comments. */
size_t smq_config_example(char *ret_text, size_t room)
{
	struct text t = { ret_text, room, 0 };
	const char *before = "";
	add(&t, "# sealmq.yaml: all that can be configured, at its default; keys without one are commented out.\n"
		"# The environment wins over this file, the command line over both. Paths are relative to this file.\n"
		"# Check it with `sealmq config check FILE`, see what is in force with `sealmq config show`.\n");
	for (size_t i = 0; i < smq_settings_row_count; i++) {
		const struct smq_config_key *key = &smq_settings_rows[i].key;
		const char *dot = strrchr(key->name, '.');
		int indent = 2 * depth_of(key->name);
		if (depth_of(key->name) == 0 && (i == 0 || depth_of(before) > 0))
			add(&t, "\n");
		add_sections(&t, key->name, before);
		add(&t, "%*s# %s", indent, "", key->help);
		add_range(&t, key);
		add(&t, "\n%*s%s%s: ", indent, "", key->preset ? "" : "#", dot ? dot + 1 : key->name);
		add_value(&t, key, key->preset ? key->preset : key->example);
		add(&t, "\n");
		before = key->name;
	}
	return t.len;
}

static void duration(char ret_text[32], int64_t ms)
{
	static const struct {
		const char *unit;
		int64_t ms;
	} units[] = { { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 } };
	size_t i = 0;
	while (i + 1 < sizeof(units) / sizeof(units[0]) && ms % units[i].ms != 0)
		i++;
	(void)snprintf(ret_text, 32, "%lld %s", (long long)(ms / units[i].ms), units[i].unit);
}

static void add_takes(struct text *t, const struct smq_config_key *key)
{
	static const char *const kinds[] = { "text",
					     "path",
					     "source",
					     "name",
					     "topic",
					     "",
					     "true, false",
					     "whole number",
					     "number",
					     "duration",
					     "list of texts",
					     "list of names",
					     "list of topic filters",
					     "list of" };
	char low[32], high[32];
	add(t, "%s", kinds[key->type]);
	if (key->words) {
		add(t, "%s", key->type == SMQ_CONFIG_WORD ? "" : " ");
		for (const char *w = key->words; *w; w++)
			add(t, *w == ' ' ? ", " : "%c", *w);
	} else if (key->type == SMQ_CONFIG_DURATION) {
		duration(low, key->min);
		duration(high, key->max);
		add(t, ", %s to %s", key->min ? low : "0", high);
	} else if (key->type == SMQ_CONFIG_DECIMAL) {
		add(t, " above %lld, up to %lld", (long long)key->min, (long long)key->max);
	} else if (key->type == SMQ_CONFIG_NUMBER && key->max == INT64_MAX) {
		add(t, " from %lld", (long long)key->min);
	} else if (key->type == SMQ_CONFIG_NUMBER) {
		add(t, ", %lld to %lld", (long long)key->min, (long long)key->max);
	}
}

size_t smq_config_reference(char *ret_text, size_t room)
{
	struct text t = { ret_text, room, 0 };
	add(&t, "| key | takes | default | environment | what it is |\n|---|---|---|---|---|\n");
	for (size_t i = 0; i < smq_settings_row_count; i++) {
		const struct smq_config_key *key = &smq_settings_rows[i].key;
		add(&t, "| `%s` | ", key->name);
		add_takes(&t, key);
		if (key->preset)
			add(&t, " | `%s` | ", key->preset);
		else
			add(&t, " | %s | ", key->unset ? key->unset : "");
		if (key->env)
			add(&t, "`%s`", key->env);
		add(&t, " | %s%s |\n", key->help, key->secret ? " (shown masked; the file must be mode 0600)" : "");
	}
	return t.len;
}
