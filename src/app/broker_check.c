/* Configuration texts as lists of lines, and what all judges of them share. */
#include "app/broker_check.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sealmq/text.h>

#include "base/table.h"

/* ---- lines ---- */

static char *keep_copy(struct smq_conf_lines *l, const char *text)
{
	char **grown = realloc(l->texts, (l->text_count + 1) * sizeof(*grown));
	char *copy = strdup(text);
	if (grown)
		l->texts = grown;
	if (!grown || !copy) {
		free(copy);
		return NULL;
	}
	return l->texts[l->text_count++] = copy;
}

static smq_err add_row(struct smq_conf_lines *l, struct smq_conf_line row)
{
	if (l->count == l->room) {
		size_t room = l->room ? l->room * 2 : 64;
		struct smq_conf_line *grown = realloc(l->rows, room * sizeof(*grown));
		if (!grown)
			return SMQ_ERR_NO_MEMORY;
		l->rows = grown;
		l->room = room;
	}
	l->rows[l->count++] = row;
	return SMQ_OK;
}

static char *trim(char *text)
{
	text += strspn(text, " \t\r\n");
	size_t len = strlen(text);
	while (len > 0 && isspace((unsigned char)text[len - 1]))
		text[--len] = 0;
	return text;
}

/* Cuts a statement into its first word and the rest. */
static smq_err add_statement(struct smq_conf_lines *l, const char *file, int line, char *text)
{
	char *key = trim(text);
	if (!*key)
		return SMQ_OK;
	char *value = key + strcspn(key, " \t\r\n");
	if (*value)
		*value++ = 0;
	return add_row(l, (struct smq_conf_line){ file, line, key, trim(value) });
}

smq_err smq_conf_add(struct smq_conf_lines *l, const char *file, const char *text)
{
	char *name = keep_copy(l, file);
	char *at = name ? keep_copy(l, text) : NULL;
	smq_err err = at ? SMQ_OK : SMQ_ERR_NO_MEMORY;
	for (int line = 1; err == SMQ_OK && *at; line++) {
		char *end = at + strcspn(at, "\n");
		bool last = *end == 0;
		*end = 0;
		bool comment = at[strspn(at, " \t")] == '#';
		if (!comment || strncmp(at, SMQ_ACL_KEY_SERVER, strlen(SMQ_ACL_KEY_SERVER)) == 0)
			err = add_statement(l, name, line, at);
		at = last ? end : end + 1;
	}
	return err;
}

/* To the end of a statement: past quotes and comments, which become blanks. */
static char *statement_end(char *at, int *line)
{
	char quote = 0;
	for (; *at; at++) {
		if (*at == '\n')
			(*line)++;
		if (quote) {
			if (*at == '\\' && at[1])
				at++;
			else if (*at == quote)
				quote = 0;
		} else if (*at == '"' || *at == '\'') {
			quote = *at;
		} else if (*at == '#') {
			for (; at[1] && at[1] != '\n'; at++)
				*at = ' ';
			*at = ' ';
		} else if (*at == ';' || *at == '{' || *at == '}') {
			return at;
		}
	}
	return at;
}

smq_err smq_conf_add_nginx(struct smq_conf_lines *l, const char *file, const char *text)
{
	char *name = keep_copy(l, file);
	char *at = name ? keep_copy(l, text) : NULL;
	int line = 1;
	smq_err err = at ? SMQ_OK : SMQ_ERR_NO_MEMORY;
	while (err == SMQ_OK && *at) {
		char *end = statement_end(at, &line);
		char ended_by = *end;
		*end = 0;
		err = add_statement(l, name, line, at);
		if (err == SMQ_OK && (ended_by == '{' || ended_by == '}'))
			err = add_row(l, (struct smq_conf_line){ name, line, ended_by == '{' ? "{" : "}", "" });
		at = ended_by ? end + 1 : end;
	}
	return err;
}

void smq_conf_free(struct smq_conf_lines *l)
{
	for (size_t i = 0; i < l->text_count; i++)
		free(l->texts[i]);
	free(l->texts);
	free(l->rows);
	*l = (struct smq_conf_lines){ NULL, 0, 0, NULL, 0 };
}

const struct smq_conf_line *smq_conf_find(const struct smq_conf_lines *l, const char *key)
{
	for (size_t i = l->count; i-- > 0;) {
		if (strcmp(l->rows[i].key, key) == 0)
			return &l->rows[i];
	}
	return NULL;
}

const char *smq_conf_value(const struct smq_conf_lines *l, const char *key, const char *otherwise)
{
	const struct smq_conf_line *row = smq_conf_find(l, key);
	return row ? row->value : otherwise;
}

/* ---- findings ---- */

const char *smq_severity_name(enum smq_severity severity)
{
	static const char *const names[] = { "none", "low", "medium", "high", "critical" };
	return (size_t)severity < SMQ_COUNT(names) ? names[severity] : "none";
}

void smq_judge_find(const struct smq_judge *j, enum smq_severity severity, const char *rule,
		    const struct smq_conf_line *at, const char *file, const char *write, const char *reason, ...)
{
	char text[512];
	char shown[1024];
	va_list args;
	va_start(args, reason);
	(void)vsnprintf(text, sizeof(text), reason, args);
	va_end(args);
	smq_escape(smq_span_str(text), shown, sizeof(shown));
	j->found(j->self, &(struct smq_finding){ .severity = severity,
						 .rule = rule,
						 .file = at ? at->file : file,
						 .line = at ? at->line : 0,
						 .reason = shown,
						 .write = write });
}

/* ---- versions ---- */

/* The number after the word; -1: the word is not there. */
static long number_after(const char *text, const char *word)
{
	const char *at = strstr(text, word);
	return at ? strtol(at + strlen(word), NULL, 10) : -1;
}

static bool older(const char *version, int major, int minor, int patch)
{
	long v[3] = { 0, 0, 0 };
	const char *colon = strchr(version, ':');
	const char *at = colon ? colon + 1 : version;
	for (size_t i = 0; i < 3; i++) {
		char *end = NULL;
		v[i] = strtol(at, &end, 10);
		if (end == at)
			return false;
		at = *end == '.' ? end + 1 : end;
	}
	if (v[0] != major)
		return v[0] < major;
	return v[1] != minor ? v[1] < minor : v[2] < patch;
}

void smq_judge_version(const struct smq_judge *j, const char *package, const char *version)
{
	static const char *const write = "apt-get update && apt-get install --only-upgrade mosquitto nginx";
	long update = number_after(version, "+deb12u");
	if (strcmp(package, "mosquitto") == 0 && older(version, 2, 0, 19)) {
		bool debian = strncmp(version, "2.0.11-", 7) == 0;
		if (!debian || update < 1)
			smq_judge_find(j, SMQ_SEVERITY_HIGH, "version", NULL, package, write,
				       "mosquitto %s can be made to run out of memory from outside (CVE-2023-0809, "
				       "CVE-2023-3592, CVE-2023-28366)",
				       version);
		else if (update < 2)
			smq_judge_find(j, SMQ_SEVERITY_MEDIUM, "version", NULL, package, write,
				       "mosquitto %s can be made to crash or leak (CVE-2024-8376, CVE-2024-3935)",
				       version);
	}
	if (strcmp(package, "nginx") == 0 && strncmp(version, "1.22.1-", 7) == 0 && update < 11)
		smq_judge_find(j, SMQ_SEVERITY_MEDIUM, "version", NULL, package, write,
			       "nginx %s lacks corrections of Debian 12, one of them in ssl_preread (CVE-2026-123640)",
			       version);
}

/* ---- topics ---- */

bool smq_filters_meet(const char *a, const char *b)
{
	for (;;) {
		size_t la = strcspn(a, "/");
		size_t lb = strcspn(b, "/");
		if ((la == 1 && *a == '#') || (lb == 1 && *b == '#'))
			return true;
		bool any = (la == 1 && *a == '+') || (lb == 1 && *b == '+') || strncmp(a, "%u", 2) == 0 ||
			   strncmp(b, "%u", 2) == 0;
		if (!any && (la != lb || strncmp(a, b, la) != 0))
			return false;
		a += la;
		b += lb;
		if (!*a || !*b)
			/* "a/#" takes "a" too */
			return (!*a && !*b) || strcmp(a, "/#") == 0 || strcmp(b, "/#") == 0;
		a++;
		b++;
	}
}
