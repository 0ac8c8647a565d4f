/* Typing CSV values, and writing them as JSON without touching their digits. */
#include "app/csv_values.h"

#include <locale.h>
#include <stdlib.h>
#include <strings.h>

#include "base/table.h"

const char *smq_column_type_name(enum smq_column_type type)
{
	static const char *const names[] = {
		"empty", "integer", "float", "boolean", "date", "time", "timestamp", "text"
	};
	return (size_t)type < SMQ_COUNT(names) ? names[type] : "text";
}

static bool is_word(smq_span text, const char *word)
{
	return text.len == strlen(word) && strncasecmp((const char *)text.p, word, text.len) == 0;
}

static bool is_missing_word(smq_span text)
{
	return is_word(text, "na") || is_word(text, "n/a") || is_word(text, "nan") || is_word(text, "null");
}

enum { NUMBER_MAX = 64 };

/*
 * The text as a JSON number: real files write +5, .5 and 5. as well. A leading zero makes it no number: 007 is a name.
 * Returns its length, 0 where it is none.
 */
static size_t as_json_number(smq_span text, char ret_number[NUMBER_MAX])
{
	size_t i = 0, n = 0;
	if (text.len == 0 || text.len > NUMBER_MAX - 2)
		return 0;
	if (text.p[0] == '+' || text.p[0] == '-')
		i = 1;
	if (text.p[0] == '-')
		ret_number[n++] = '-';
	if (i + 1 < text.len && text.p[i] == '.' && text.p[i + 1] >= '0' && text.p[i + 1] <= '9')
		ret_number[n++] = '0';
	memcpy(ret_number + n, text.p + i, text.len - i);
	n += text.len - i;
	if (n > 1 && ret_number[n - 1] == '.')
		n--;
	return smq_json_is_number(smq_span_of(ret_number, n)) ? n : 0;
}

static bool has_fraction(smq_span text)
{
	return memchr(text.p, '.', text.len) || memchr(text.p, 'e', text.len) || memchr(text.p, 'E', text.len);
}

/* Reads min to max digits as a number no larger than limit; -1 where they are not there. */
static int take_digits(smq_span *s, size_t min, size_t max, int limit)
{
	int value = 0;
	size_t n = 0;
	while (n < max && n < s->len && s->p[n] >= '0' && s->p[n] <= '9')
		value = value * 10 + (s->p[n++] - '0');
	if (n < min || value > limit)
		return -1;
	*s = smq_span_of(s->p + n, s->len - n);
	return value;
}

static bool take_char(smq_span *s, const char *any, char *ret_char)
{
	if (s->len == 0 || !s->p[0] || !strchr(any, s->p[0]))
		return false;
	*ret_char = (char)s->p[0];
	*s = smq_span_of(s->p + 1, s->len - 1);
	return true;
}

/* 1 to 12, or -1. */
static int take_month_name(smq_span *s)
{
	static const char names[] = "janfebmaraprmayjunjulaugsepoctnovdec";
	for (int i = 0; s->len >= 3 && i < 12; i++) {
		if (strncasecmp((const char *)s->p, names + 3 * i, 3) == 0) {
			*s = smq_span_of(s->p + 3, s->len - 3);
			return i + 1;
		}
	}
	return -1;
}

struct date {
	int year, month, day;
};

/* 2019-04-25, 2019/04/25 */
static bool take_year_first(smq_span *s, struct date *ret_date)
{
	char sep, again;
	struct date d;
	if ((d.year = take_digits(s, 4, 4, 9999)) < 0 || !take_char(s, "-/", &sep) ||
	    (d.month = take_digits(s, 2, 2, 12)) <= 0 || !take_char(s, "-/", &again) ||
	    (d.day = take_digits(s, 2, 2, 31)) <= 0 || sep != again)
		return false;
	*ret_date = d;
	return true;
}

/* 25/04/2019, 25-Apr-19, 25-Apr-2019 */
static bool take_day_first(smq_span *s, struct date *ret_date)
{
	char sep, again;
	struct date d;
	if ((d.day = take_digits(s, 1, 2, 31)) <= 0 || !take_char(s, "-/", &sep))
		return false;
	d.month = take_month_name(s);
	if (d.month < 0)
		d.month = take_digits(s, 1, 2, 12);
	if (d.month <= 0 || !take_char(s, "-/", &again) || sep != again)
		return false;
	d.year = take_digits(s, 4, 4, 9999);
	if (d.year < 0) {
		d.year = take_digits(s, 2, 2, 99);
		if (d.year < 0)
			return false;
		d.year += 2000;
	}
	*ret_date = d;
	return true;
}

static bool take_date(smq_span *s, struct date *ret_date)
{
	smq_span t = *s;
	if (!take_year_first(&t, ret_date)) {
		t = *s;
		if (!take_day_first(&t, ret_date))
			return false;
	}
	*s = t;
	return true;
}

/* 19:19, 19:19:40, 19:19:40.125 */
static bool take_time(smq_span *s, double *ret_seconds)
{
	smq_span t = *s;
	char c;
	int hour = take_digits(&t, 1, 2, 23);
	int minute = hour >= 0 && take_char(&t, ":", &c) ? take_digits(&t, 2, 2, 59) : -1;
	int second = 0;
	double fraction = 0;
	if (minute < 0)
		return false;
	if (take_char(&t, ":", &c)) {
		if ((second = take_digits(&t, 2, 2, 60)) < 0)
			return false;
		if (take_char(&t, ".,", &c)) {
			size_t before = t.len;
			int digits = take_digits(&t, 1, 9, 999999999);
			if (digits < 0)
				return false;
			fraction = digits;
			for (size_t i = t.len; i < before; i++)
				fraction /= 10;
		}
	}
	*ret_seconds = hour * 3600 + minute * 60 + second + fraction;
	*s = t;
	return true;
}

/* nothing, Z, +02:00, +0200 */
static bool is_zone(smq_span s)
{
	char c;
	if (s.len == 0 || (s.len == 1 && (s.p[0] == 'Z' || s.p[0] == 'z')))
		return true;
	if (!take_char(&s, "+-", &c) || take_digits(&s, 2, 2, 23) < 0)
		return false;
	(void)take_char(&s, ":", &c);
	return take_digits(&s, 2, 2, 59) >= 0 && s.len == 0;
}

/* DATE, TIME or TIMESTAMP with its rank, or TEXT. */
static enum smq_column_type moment_type(smq_span text, double *ret_rank)
{
	char c;
	struct date d;
	double seconds = 0;
	smq_span s = text;
	enum smq_column_type type = SMQ_COLUMN_TEXT;
	if (!take_date(&s, &d))
		return take_time(&s, ret_rank) && s.len == 0 ? SMQ_COLUMN_TIME : SMQ_COLUMN_TEXT;
	if (s.len == 0)
		type = SMQ_COLUMN_DATE;
	else if (take_char(&s, "Tt ", &c) && take_time(&s, &seconds) && is_zone(s))
		type = SMQ_COLUMN_TIMESTAMP;
	*ret_rank =
	    ((d.year * 12.0 + d.month) * 31 + d.day) * 86400 + seconds; /* in order, which is all that is asked */
	return type;
}

enum smq_column_type smq_value_type(const struct smq_csv_field *field)
{
	char number[NUMBER_MAX];
	smq_span text = field->text;
	if (!field->quoted && (text.len == 0 || is_missing_word(text)))
		return SMQ_COLUMN_EMPTY;
	if (text.len == 0)
		return SMQ_COLUMN_TEXT;
	if (as_json_number(text, number) > 0)
		return has_fraction(text) ? SMQ_COLUMN_FLOAT : SMQ_COLUMN_INTEGER;
	if (is_word(text, "true") || is_word(text, "false"))
		return SMQ_COLUMN_BOOLEAN;
	double rank;
	return text.p[0] >= '0' && text.p[0] <= '9' ? moment_type(text, &rank) : SMQ_COLUMN_TEXT;
}

enum smq_column_type smq_column_join(enum smq_column_type a, enum smq_column_type b)
{
	if (a == b || b == SMQ_COLUMN_EMPTY)
		return a;
	if (a == SMQ_COLUMN_EMPTY)
		return b;
	bool numbers =
	    (a == SMQ_COLUMN_INTEGER || a == SMQ_COLUMN_FLOAT) && (b == SMQ_COLUMN_INTEGER || b == SMQ_COLUMN_FLOAT);
	return numbers ? SMQ_COLUMN_FLOAT : SMQ_COLUMN_TEXT;
}

bool smq_value_missing(const struct smq_csv_field *field, enum smq_column_type column)
{
	if (field->quoted)
		return false;
	return field->text.len == 0 || (column != SMQ_COLUMN_TEXT && is_missing_word(field->text));
}

void smq_value_json(struct smq_json *j, const struct smq_csv_field *field, enum smq_column_type column)
{
	char number[NUMBER_MAX];
	size_t len = 0;
	if (smq_value_missing(field, column)) {
		smq_json_null(j);
		return;
	}
	if (column == SMQ_COLUMN_INTEGER || column == SMQ_COLUMN_FLOAT)
		len = as_json_number(field->text, number);
	if (len > 0)
		smq_json_number(j, smq_span_of(number, len));
	else if (column == SMQ_COLUMN_BOOLEAN && is_word(field->text, "true"))
		smq_json_bool(j, true);
	else if (column == SMQ_COLUMN_BOOLEAN && is_word(field->text, "false"))
		smq_json_bool(j, false);
	else
		smq_json_string(j, field->text);
}

static double to_number(smq_span text)
{
	char number[NUMBER_MAX];
	size_t n = as_json_number(text, number);
	number[n] = 0;
	/* The program around us may have set a locale with a decimal comma. */
	locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	double value = c ? strtod_l(number, NULL, c) : strtod(number, NULL);
	if (c)
		freelocale(c);
	return value;
}

bool smq_value_rank(smq_span text, enum smq_column_type type, double *ret_rank)
{
	switch (type) {
	case SMQ_COLUMN_INTEGER:
	case SMQ_COLUMN_FLOAT:
		*ret_rank = to_number(text);
		return true;
	case SMQ_COLUMN_DATE:
	case SMQ_COLUMN_TIME:
	case SMQ_COLUMN_TIMESTAMP:
		(void)moment_type(text, ret_rank);
		return true;
	default:
		return false;
	}
}
