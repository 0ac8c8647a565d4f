/* Reading flat JSON objects. */
#include "app/json_fields.h"

#include <locale.h>
#include <stdlib.h>

#include <sealmq/json.h>
#include <sealmq/text.h>

enum { DEPTH_MAX = 32, DIGITS_MAX = 64 };

static bool fail(struct smq_json_fields *f)
{
	f->err = SMQ_ERR_MALFORMED;
	return false;
}

static void skip_blanks(struct smq_json_fields *f)
{
	while (f->p < f->end && (*f->p == ' ' || *f->p == '\t' || *f->p == '\n' || *f->p == '\r'))
		f->p++;
}

static bool take(struct smq_json_fields *f, char c)
{
	skip_blanks(f);
	if (f->p == f->end || *f->p != (uint8_t)c)
		return false;
	f->p++;
	return true;
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits of \u. */
static bool read_unit(struct smq_json_fields *f, uint32_t *ret_unit)
{
	uint32_t unit = 0;
	if (f->end - f->p < 4)
		return false;
	for (int i = 0; i < 4; i++) {
		int digit = hex_digit(*f->p++);
		if (digit < 0)
			return false;
		unit = unit << 4 | (uint32_t)digit;
	}
	*ret_unit = unit;
	return true;
}

static void put_utf8(struct smq_json_fields *f, uint32_t c)
{
	if (c < 0x80) {
		*f->room++ = (uint8_t)c;
	} else if (c < 0x800) {
		*f->room++ = (uint8_t)(0xc0 | c >> 6);
		*f->room++ = (uint8_t)(0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		*f->room++ = (uint8_t)(0xe0 | c >> 12);
		*f->room++ = (uint8_t)(0x80 | (c >> 6 & 0x3f));
		*f->room++ = (uint8_t)(0x80 | (c & 0x3f));
	} else {
		*f->room++ = (uint8_t)(0xf0 | c >> 18);
		*f->room++ = (uint8_t)(0x80 | (c >> 12 & 0x3f));
		*f->room++ = (uint8_t)(0x80 | (c >> 6 & 0x3f));
		*f->room++ = (uint8_t)(0x80 | (c & 0x3f));
	}
}

/* U+0000 is refused: no name, no value and no database column holds it. */
static bool read_escaped_unit(struct smq_json_fields *f)
{
	uint32_t c, low;
	if (!read_unit(f, &c) || c == 0 || (c >= 0xdc00 && c < 0xe000))
		return false;
	if (c >= 0xd800 && c < 0xdc00) {
		if (f->end - f->p < 2 || f->p[0] != '\\' || f->p[1] != 'u')
			return false;
		f->p += 2;
		if (!read_unit(f, &low) || low < 0xdc00 || low >= 0xe000)
			return false;
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	}
	put_utf8(f, c);
	return true;
}

static bool read_escape(struct smq_json_fields *f)
{
	static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
	if (f->p == f->end)
		return false;
	uint8_t c = *f->p++;
	if (c == 'u')
		return read_escaped_unit(f);
	const char *at = c ? strchr(letters, c) : NULL;
	if (!at)
		return false;
	*f->room++ = (uint8_t)meant[at - letters];
	return true;
}

/* An escape is never shorter than what it stands for, so the room suffices. */
static bool read_string(struct smq_json_fields *f, smq_span *ret_text)
{
	const uint8_t *begin = f->room;
	if (!take(f, '"'))
		return fail(f);
	for (;;) {
		if (f->p == f->end || *f->p < 0x20)
			return fail(f);
		uint8_t c = *f->p++;
		if (c == '"')
			break;
		if (c != '\\')
			*f->room++ = c;
		else if (!read_escape(f))
			return fail(f);
	}
	*ret_text = smq_span_of(begin, (size_t)(f->room - begin));
	return true;
}

static bool take_word(struct smq_json_fields *f, const char *word, enum smq_json_kind kind,
		      struct smq_json_field *field)
{
	size_t len = strlen(word);
	if ((size_t)(f->end - f->p) < len || memcmp(f->p, word, len) != 0)
		return fail(f);
	f->p += len;
	field->kind = kind;
	return true;
}

static bool read_number(struct smq_json_fields *f, struct smq_json_field *field)
{
	char digits[DIGITS_MAX + 1];
	const uint8_t *begin = f->p;
	while (f->p < f->end && (strchr("+-.eE", *f->p) ? *f->p != 0 : *f->p >= '0' && *f->p <= '9'))
		f->p++;
	field->kind = SMQ_JSON_NUMBER;
	field->text = smq_span_of(begin, (size_t)(f->p - begin));
	if (field->text.len > DIGITS_MAX || !smq_json_is_number(field->text))
		return fail(f);
	memcpy(digits, begin, field->text.len);
	digits[field->text.len] = 0;
	/* The program around us may have set a locale with a decimal comma. */
	char *point = strchr(digits, '.');
	if (point)
		*point = *localeconv()->decimal_point;
	field->number = strtod(digits, NULL);
	return true;
}

/* Brackets are counted, strings are read over: enough to find where it ends; nobody looks at what is in it. */
static bool skip_nested(struct smq_json_fields *f, struct smq_json_field *field)
{
	char closing[DEPTH_MAX];
	size_t depth = 0;
	smq_span text;
	field->kind = SMQ_JSON_NESTED;
	do {
		skip_blanks(f);
		if (f->p == f->end)
			return fail(f);
		if (*f->p == '"') {
			if (!read_string(f, &text))
				return false;
			continue;
		}
		uint8_t c = *f->p++;
		if ((c == '{' || c == '[') && depth == DEPTH_MAX)
			return fail(f);
		if (c == '{' || c == '[')
			closing[depth++] = c == '{' ? '}' : ']';
		else if ((c == '}' || c == ']') && closing[--depth] != (char)c)
			return fail(f);
	} while (depth > 0);
	return true;
}

static bool read_value(struct smq_json_fields *f, struct smq_json_field *field)
{
	skip_blanks(f);
	switch (f->p < f->end ? *f->p : 0) {
	case '"':
		field->kind = SMQ_JSON_STRING;
		return read_string(f, &field->text);
	case 't':
		return take_word(f, "true", SMQ_JSON_TRUE, field);
	case 'f':
		return take_word(f, "false", SMQ_JSON_FALSE, field);
	case 'n':
		return take_word(f, "null", SMQ_JSON_NULL, field);
	case '{':
	case '[':
		return skip_nested(f, field);
	default:
		return read_number(f, field);
	}
}

struct smq_json_fields smq_json_fields_on(smq_span text, uint8_t *room)
{
	struct smq_json_fields f = { .p = text.p, .end = text.p + text.len, .room = room };
	if (text.len == 0 || !smq_utf8_valid(text) || !take(&f, '{'))
		f.err = SMQ_ERR_MALFORMED;
	return f;
}

bool smq_json_fields_next(struct smq_json_fields *f, struct smq_json_field *ret_field)
{
	struct smq_json_field field = { 0 };
	if (f->err != SMQ_OK)
		return false;
	if (take(f, '}')) {
		skip_blanks(f);
		return f->p == f->end ? false : fail(f);
	}
	if (f->started && !take(f, ','))
		return fail(f);
	f->started = true;
	if (!read_string(f, &field.name))
		return false;
	if (!take(f, ':'))
		return fail(f);
	if (!read_value(f, &field))
		return false;
	*ret_field = field;
	return true;
}

smq_err smq_json_fields_end(const struct smq_json_fields *f) { return f->err; }
