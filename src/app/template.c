/* Texts with holes, filled line by line. */
#include "app/template.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct filling {
	const struct smq_template_value *values;
	size_t count;
	char *out; /* NULL: only counting */
	size_t len;
	unsigned depth;  /* conditions we are in */
	unsigned hidden; /* the depth of the outermost one that does not hold; 0: none */
};

static const struct smq_template_value *find(const struct filling *f, const char *name, size_t len)
{
	for (size_t i = 0; i < f->count; i++) {
		if (strlen(f->values[i].name) == len && memcmp(f->values[i].name, name, len) == 0)
			return &f->values[i];
	}
	return NULL;
}

static void put(struct filling *f, const char *text, size_t len)
{
	if (f->out)
		memcpy(f->out + f->len, text, len);
	f->len += len;
}

static bool begins(const char *line, size_t len, const char *word)
{
	return len >= strlen(word) && memcmp(line, word, strlen(word)) == 0;
}

/* 1: the line was a condition; 0: it is text; -1: it is wrong. */
static int condition(struct filling *f, const char *line, size_t len)
{
	bool negative = begins(line, len, "@ifnot ");
	if (begins(line, len, "@end@")) {
		if (f->hidden == f->depth)
			f->hidden = 0;
		return f->depth-- > 0 ? 1 : -1;
	}
	if (!negative && !begins(line, len, "@if "))
		return 0;
	size_t at = negative ? 7 : 4;
	const struct smq_template_value *v = line[len - 1] == '@' ? find(f, line + at, len - at - 1) : NULL;
	if (!v)
		return -1;
	f->depth++;
	if (!f->hidden && (v->text && *v->text) == negative)
		f->hidden = f->depth;
	return 1;
}

static smq_err put_line(struct filling *f, const char *line, size_t len)
{
	for (size_t i = 0; i < len;) {
		const char *at = memchr(line + i, '@', len - i);
		size_t plain = at ? (size_t)(at - line) - i : len - i;
		put(f, line + i, plain);
		i += plain;
		if (!at)
			break;
		const char *end = memchr(line + i + 1, '@', len - i - 1);
		if (!end)
			return SMQ_ERR_BUG;
		size_t name_len = (size_t)(end - line) - i - 1;
		const struct smq_template_value *v = name_len ? find(f, line + i + 1, name_len) : NULL;
		if (name_len && !v)
			return SMQ_ERR_BUG;
		if (!name_len)
			put(f, "@", 1);
		else if (v->text)
			put(f, v->text, strlen(v->text));
		i += name_len + 2;
	}
	put(f, "\n", 1);
	return SMQ_OK;
}

static smq_err fill(struct filling *f, const char *text)
{
	while (*text) {
		size_t len = strcspn(text, "\n");
		int is = len ? condition(f, text, len) : 0;
		smq_err err = is < 0 ? SMQ_ERR_BUG : SMQ_OK;
		if (is == 0 && !f->hidden)
			err = put_line(f, text, len);
		if (err != SMQ_OK)
			return err;
		text += len + (text[len] == '\n');
	}
	return f->depth ? SMQ_ERR_BUG : SMQ_OK;
}

smq_err smq_template_fill(const char *text, const struct smq_template_value *values, size_t count, char **ret_text)
{
	struct filling f = { .values = values, .count = count };
	smq_err err = fill(&f, text);
	if (err != SMQ_OK)
		return err;
	f.out = malloc(f.len + 1);
	if (!f.out)
		return SMQ_ERR_NO_MEMORY;
	f.len = 0;
	err = fill(&f, text);
	f.out[f.len] = 0;
	*ret_text = f.out;
	return err;
}
