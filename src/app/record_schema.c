/* Records held against what was declared. */
#include "app/record_schema.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sealmq/text.h>

#include "app/json_fields.h"

/* ---- the schema ---- */

void smq_record_schema_init(struct smq_record_schema *s)
{
	memset(s, 0, sizeof(*s));
	s->bytes_max = SMQ_RECORD_BYTES_MAX;
	s->past_ms = INT64_MAX;
	s->future_ms = 60000;
}

void smq_record_schema_done(struct smq_record_schema *s)
{
	for (size_t i = 0; i < s->field_count; i++) {
		for (size_t k = 0; k < s->fields[i].one_of_count; k++)
			free(s->fields[i].one_of[k]);
		s->fields[i].one_of_count = 0;
	}
}

static const struct smq_record_field *find_field(const struct smq_record_schema *s, smq_span name)
{
	for (size_t i = 0; i < s->field_count; i++) {
		if (smq_span_equal(smq_span_str(s->fields[i].name), name))
			return &s->fields[i];
	}
	return NULL;
}

static const struct smq_record_reading_type *find_type(const struct smq_record_schema *s, smq_span name)
{
	for (size_t i = 0; i < s->type_count; i++) {
		if (smq_span_equal(smq_span_str(s->types[i].name), name))
			return &s->types[i];
	}
	return NULL;
}

static bool is_numeric(enum smq_record_type type) { return type == SMQ_RECORD_NUMBER || type == SMQ_RECORD_INTEGER; }

static const char *check_field(const struct smq_record_schema *s, const struct smq_record_field *f)
{
	const struct smq_record_field *from = find_field(s, smq_span_str(f->type_from));
	if ((f->has_min || f->has_max) && !is_numeric(f->type))
		return "min and max are for numbers";
	if (f->has_min && f->has_max && f->min > f->max)
		return "min is above max";
	if ((f->one_of_count || f->is_sender || f->max_len) && f->type != SMQ_RECORD_TEXT)
		return "one_of, is_sender and max_length are for type: text";
	if (*f->type_from && (!from || from->type != SMQ_RECORD_TEXT || from->optional))
		return "type_from names a declared field of type: text that is not optional";
	if (*f->type_from && !is_numeric(f->type))
		return "type_from is for numbers";
	return NULL;
}

smq_err smq_record_schema_check(struct smq_record_schema *s, char *ret_why, size_t why_len)
{
	const struct smq_record_field *time = find_field(s, smq_span_str(s->time_field));
	bool typed = false;
	for (size_t i = 0; i < s->field_count; i++) {
		struct smq_record_field *f = &s->fields[i];
		const char *problem = check_field(s, f);
		if (problem) {
			snprintf(ret_why, why_len, "key 'fields.%s': %s", f->name, problem);
			return SMQ_ERR_CONFIG;
		}
		if (!f->kept_said)
			f->kept = is_numeric(f->type) && f != time;
		typed = typed || *f->type_from;
	}
	const char *problem = NULL;
	if (*s->time_field && !time)
		problem = "key 'time.field': names a field that is not declared under fields";
	else if (time && (time->type == SMQ_RECORD_TEXT) != (s->time_format == SMQ_RECORD_RFC3339))
		problem = "key 'time.format': rfc3339 is for a text field, unix_s and unix_ms are for numbers";
	else if (s->type_count > 0 && !typed)
		problem = "key 'readings': no field has a type_from that would name them";
	if (!problem)
		return SMQ_OK;
	snprintf(ret_why, why_len, "%s", problem);
	return SMQ_ERR_CONFIG;
}

/* ---- time ---- */

static bool two_digits(const uint8_t *p, int *ret_number)
{
	if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9')
		return false;
	*ret_number = (p[0] - '0') * 10 + p[1] - '0';
	return true;
}

/* Days since 1970-01-01 in the Gregorian calendar. */
static int64_t days_of(int year, int month, int day)
{
	static const int before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	int64_t y = year - 1;
	return y * 365 + y / 4 - y / 100 + y / 400 + before[month - 1] + (leap && month > 2) + day - 1 - 719162;
}

static bool date_of(const uint8_t *p, int64_t *ret_days)
{
	static const int lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int century, year, month, day;
	if (!two_digits(p, &century) || !two_digits(p + 2, &year) || p[4] != '-' || !two_digits(p + 5, &month) ||
	    p[7] != '-' || !two_digits(p + 8, &day))
		return false;
	year += century * 100;
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	if (year < 1 || month < 1 || month > 12 || day < 1 || day > lengths[month - 1] + (leap && month == 2))
		return false;
	*ret_days = days_of(year, month, day);
	return true;
}

/* "Z", "+02:00"; in ms east of UTC. */
static bool zone_of(smq_span text, int64_t *ret_ms)
{
	int hours, minutes;
	if (text.len == 1 && (text.p[0] == 'Z' || text.p[0] == 'z')) {
		*ret_ms = 0;
		return true;
	}
	if (text.len != 6 || (text.p[0] != '+' && text.p[0] != '-') || !two_digits(text.p + 1, &hours) ||
	    text.p[3] != ':' || !two_digits(text.p + 4, &minutes) || hours > 23 || minutes > 59)
		return false;
	*ret_ms = (text.p[0] == '-' ? -1 : 1) * (hours * 60 + minutes) * INT64_C(60000);
	return true;
}

bool smq_time_rfc3339(smq_span text, int64_t *ret_unix_ms)
{
	int64_t days, zone_ms, ms = 0, step = 100;
	int hour, minute, second;
	const uint8_t *p = text.p;
	if (text.len < 20 || text.len > 40 || !date_of(p, &days) || (p[10] != 'T' && p[10] != 't' && p[10] != ' ') ||
	    !two_digits(p + 11, &hour) || p[13] != ':' || !two_digits(p + 14, &minute) || p[16] != ':' ||
	    !two_digits(p + 17, &second) || hour > 23 || minute > 59 || second > 60)
		return false;
	size_t at = 19;
	if (p[at] == '.') {
		size_t begin = ++at;
		for (; at < text.len && p[at] >= '0' && p[at] <= '9'; at++, step /= 10)
			ms += (p[at] - '0') * step;
		if (at == begin)
			return false;
	}
	if (!zone_of(smq_span_of(p + at, text.len - at), &zone_ms))
		return false;
	*ret_unix_ms = ((days * 24 + hour) * 60 + minute) * INT64_C(60000) + second * INT64_C(1000) + ms - zone_ms;
	return true;
}

/* ---- one record ---- */

struct look {
	const struct smq_record_schema *s;
	const struct smq_record_input *input;
	struct smq_record_result *result;
	struct smq_json_field found[SMQ_RECORD_FIELDS_MAX]; /* by the schema's field */
	bool there[SMQ_RECORD_FIELDS_MAX];
};

static bool refuse(struct look *l, const char *reason, smq_span where)
{
	l->result->reason = reason;
	smq_escape(where, l->result->detail, sizeof(l->result->detail));
	return false;
}

/* Whether a topic falls under a filter in which {sender} stands for the sender's name. */
static bool topic_fits(const char *filter, const char *topic, const char *sender)
{
	char text[512];
	const char *hole = strstr(filter, "{sender}");
	int len = hole ? snprintf(text, sizeof(text), "%.*s%s%s", (int)(hole - filter), filter, sender,
				  hole + strlen("{sender}"))
		       : snprintf(text, sizeof(text), "%s", filter);
	return len > 0 && (size_t)len < sizeof(text) && smq_topic_matches(smq_span_str(text), smq_span_str(topic));
}

static bool read_fields(struct look *l, uint8_t *room)
{
	struct smq_json_fields fields = smq_json_fields_on(l->input->payload, room);
	struct smq_json_field field;
	while (smq_json_fields_next(&fields, &field)) {
		const struct smq_record_field *f = find_field(l->s, field.name);
		if (!f && !l->s->extra_fields)
			return refuse(l, "unknown-field", field.name);
		if (!f)
			continue;
		size_t i = (size_t)(f - l->s->fields);
		if (l->there[i])
			return refuse(l, "double-field", field.name);
		l->there[i] = true;
		l->found[i] = field;
	}
	return smq_json_fields_end(&fields) == SMQ_OK || refuse(l, "not-a-json-object", smq_span_str(""));
}

static bool is_one_of(const struct smq_record_field *f, smq_span text)
{
	for (size_t i = 0; i < f->one_of_count; i++) {
		if (smq_span_equal(smq_span_str(f->one_of[i]), text))
			return true;
	}
	return f->one_of_count == 0;
}

static bool check_text(struct look *l, const struct smq_record_field *f, smq_span text)
{
	smq_span name = smq_span_str(f->name);
	if (text.len > (f->max_len ? f->max_len : SMQ_RECORD_TEXT_MAX))
		return refuse(l, "too-long", name);
	if (!is_one_of(f, text))
		return refuse(l, "not-listed", name);
	if (f->is_sender && !smq_span_equal(text, smq_span_str(l->input->sender)))
		return refuse(l, "wrong-sender", name);
	return true;
}

static bool check_number(struct look *l, const struct smq_record_field *f, double number)
{
	smq_span name = smq_span_str(f->name);
	if (!isfinite(number) || (f->has_min && number < f->min) || (f->has_max && number > f->max))
		return refuse(l, "out-of-range", name);
	if (f->type == SMQ_RECORD_INTEGER && (number != floor(number) || fabs(number) > 9007199254740992.0))
		return refuse(l, "wrong-type", name);
	return true;
}

static bool check_value(struct look *l, size_t i)
{
	const struct smq_record_field *f = &l->s->fields[i];
	const struct smq_json_field *v = &l->found[i];
	static const enum smq_json_kind wanted[] = {
		[SMQ_RECORD_NUMBER] = SMQ_JSON_NUMBER,
		[SMQ_RECORD_INTEGER] = SMQ_JSON_NUMBER,
		[SMQ_RECORD_TEXT] = SMQ_JSON_STRING,
		[SMQ_RECORD_BOOLEAN] = SMQ_JSON_TRUE,
	};
	enum smq_json_kind kind = l->there[i] ? v->kind : SMQ_JSON_NULL;
	kind = kind == SMQ_JSON_FALSE ? SMQ_JSON_TRUE : kind;
	if (kind == SMQ_JSON_NULL) {
		l->there[i] = false;
		return f->optional || refuse(l, "missing-field", smq_span_str(f->name));
	}
	if (kind != wanted[f->type])
		return refuse(l, "wrong-type", smq_span_str(f->name));
	if (f->type == SMQ_RECORD_TEXT)
		return check_text(l, f, v->text);
	return f->type == SMQ_RECORD_BOOLEAN || check_number(l, f, v->number);
}

static bool check_time(struct look *l)
{
	const struct smq_record_field *f = find_field(l->s, smq_span_str(l->s->time_field));
	int64_t now_ms = l->input->now_ms, ms;
	smq_span name = smq_span_str(l->s->time_field);
	l->result->measured_ms = now_ms;
	if (!f || !l->there[f - l->s->fields])
		return true;
	const struct smq_json_field *v = &l->found[f - l->s->fields];
	if (l->s->time_format == SMQ_RECORD_RFC3339) {
		if (!smq_time_rfc3339(v->text, &ms))
			return refuse(l, "bad-time", name);
	} else {
		double number = l->s->time_format == SMQ_RECORD_UNIX_S ? v->number * 1000 : v->number;
		if (fabs(number) > 1e15)
			return refuse(l, "bad-time", name);
		ms = (int64_t)number;
	}
	if (ms > now_ms && ms - now_ms > l->s->future_ms)
		return refuse(l, "in-the-future", name);
	if (ms < now_ms && now_ms - ms > l->s->past_ms)
		return refuse(l, "too-old", name);
	l->result->measured_ms = ms;
	return true;
}

static bool add_reading(struct look *l, size_t i)
{
	const struct smq_record_field *f = &l->s->fields[i];
	const struct smq_json_field *v = &l->found[i];
	struct smq_record_reading r = { .type = smq_span_str(f->name), .unit = smq_span_str(f->unit) };
	if (!l->there[i] || !f->kept)
		return true;
	if (*f->type_from) {
		size_t from = (size_t)(find_field(l->s, smq_span_str(f->type_from)) - l->s->fields);
		r.type = l->found[from].text;
		const struct smq_record_reading_type *t = find_type(l->s, r.type);
		if (!t && l->s->type_count > 0)
			return refuse(l, "unknown-reading", smq_span_str(f->type_from));
		if (t && ((t->has_min && v->number < t->min) || (t->has_max && v->number > t->max)))
			return refuse(l, "out-of-range", r.type);
		if (t && *t->unit)
			r.unit = smq_span_str(t->unit);
	}
	r.is_text = f->type == SMQ_RECORD_TEXT;
	r.text = r.is_text ? v->text : smq_span_str("");
	r.value = f->type == SMQ_RECORD_BOOLEAN ? v->kind == SMQ_JSON_TRUE : v->number;
	l->result->readings[l->result->reading_count++] = r;
	return true;
}

static bool look(struct look *l, uint8_t *room)
{
	const struct smq_record_schema *s = l->s;
	if (l->input->payload.len > s->bytes_max)
		return refuse(l, "too-large", smq_span_str(""));
	if (*s->topic && !topic_fits(s->topic, l->input->topic, l->input->sender))
		return refuse(l, "wrong-topic", smq_span_str(""));
	if (!read_fields(l, room))
		return false;
	for (size_t i = 0; i < s->field_count; i++) {
		if (!check_value(l, i))
			return false;
	}
	if (!check_time(l))
		return false;
	for (size_t i = 0; i < s->field_count; i++) {
		if (!add_reading(l, i))
			return false;
	}
	return true;
}

void smq_record_look(const struct smq_record_schema *s, const struct smq_record_input *input, uint8_t *room,
		     struct smq_record_result *ret_result)
{
	ret_result->reason = NULL;
	ret_result->detail[0] = 0;
	ret_result->measured_ms = input->now_ms;
	ret_result->reading_count = 0;
	if (s) {
		struct look l;
		l.s = s;
		l.input = input;
		l.result = ret_result;
		memset(l.there, 0, sizeof(l.there));
		look(&l, room);
	}
}
