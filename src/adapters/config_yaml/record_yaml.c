/* Reading record schemas. */
#include "adapters/config_yaml/record_yaml.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sealmq/text.h>

#include "adapters/config_yaml/yaml_walk.h"
#include "base/table.h"

struct words {
	const char *word;
	int value;
};

static const struct words types[] = { { "number", SMQ_RECORD_NUMBER },
				      { "integer", SMQ_RECORD_INTEGER },
				      { "text", SMQ_RECORD_TEXT },
				      { "boolean", SMQ_RECORD_BOOLEAN } };
static const struct words formats[] = { { "rfc3339", SMQ_RECORD_RFC3339 },
					{ "unix_s", SMQ_RECORD_UNIX_S },
					{ "unix_ms", SMQ_RECORD_UNIX_MS } };
static const struct words flags[] = { { "true", 1 }, { "false", 0 } };
static const struct words extras[] = { { "keep", 1 }, { "refuse", 0 } };

/* ---- values: each answers with what is wrong, or NULL ---- */

static const char *take_word(const char *text, const struct words *words, size_t count, const char *right, int *ret)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(words[i].word, text) == 0) {
			*ret = words[i].value;
			return NULL;
		}
	}
	return right;
}

static const char *take_flag(const char *text, bool *ret_flag)
{
	int value = 0;
	const char *problem = take_word(text, flags, SMQ_COUNT(flags), "takes true or false", &value);
	if (!problem)
		*ret_flag = value != 0;
	return problem;
}

static const char *take_name(const char *text, char ret_name[SMQ_RECORD_NAME_MAX + 1])
{
	size_t len = strlen(text);
	if (len == 0 || len > SMQ_RECORD_NAME_MAX || !smq_yaml_printable(text))
		return "takes 1 to 64 bytes of printable text";
	memcpy(ret_name, text, len + 1);
	return NULL;
}

static const char *take_number(const char *text, bool *ret_has, double *ret_number)
{
	char *end;
	double number = strtod(text, &end);
	if (!*text || *end || !isfinite(number))
		return "takes a number, e.g. -40 or 85.5";
	*ret_has = true;
	*ret_number = number;
	return NULL;
}

static const char *take_size(const char *text, size_t most, size_t *ret_size)
{
	char *end;
	unsigned long long size = strtoull(text, &end, 10);
	if (*text < '1' || *text > '9' || *end || size > most)
		return "takes a whole number of bytes, at most 65536";
	*ret_size = (size_t)size;
	return NULL;
}

static const char *take_span(const char *text, int64_t *ret_ms)
{
	static const struct {
		const char *unit;
		double ms;
	} units[] = { { "", 1e3 }, { "s", 1e3 }, { "ms", 1 }, { "m", 6e4 }, { "h", 36e5 }, { "d", 864e5 } };
	char *end;
	double number = strtod(text, &end);
	for (size_t i = 0; i < SMQ_COUNT(units) && end != text; i++) {
		if (strcmp(units[i].unit, end) == 0 && number >= 0 && number * units[i].ms <= 1e15) {
			*ret_ms = (int64_t)(number * units[i].ms);
			return NULL;
		}
	}
	return "takes a time such as 60, 500ms, 30s, 15m, 2h or 7d";
}

static const char *take_one_of(const struct smq_yaml_value *v, struct smq_record_field *f)
{
	if (v->count > SMQ_RECORD_ONE_OF_MAX)
		return "lists at most 64 texts";
	for (size_t i = 0; i < v->count; i++) {
		char *copy = strdup(v->items[i]);
		if (!copy)
			return "out of memory";
		f->one_of[f->one_of_count++] = copy;
	}
	return NULL;
}

/* ---- where a key's value goes ---- */

static const char *take_field(struct smq_record_field *f, const char *property, const struct smq_yaml_value *v)
{
	const char *text = v->items[0], *problem;
	int type = 0;
	if (strcmp(property, "type") == 0) {
		problem = take_word(text, types, SMQ_COUNT(types), "takes number, integer, text or boolean", &type);
		f->type = (enum smq_record_type)type;
		return problem;
	}
	if (strcmp(property, "optional") == 0)
		return take_flag(text, &f->optional);
	if (strcmp(property, "is_sender") == 0)
		return take_flag(text, &f->is_sender);
	if (strcmp(property, "reading") == 0) {
		f->kept_said = true;
		return take_flag(text, &f->kept);
	}
	if (strcmp(property, "type_from") == 0)
		return take_name(text, f->type_from);
	if (strcmp(property, "unit") == 0)
		return take_name(text, f->unit);
	if (strcmp(property, "min") == 0)
		return take_number(text, &f->has_min, &f->min);
	if (strcmp(property, "max") == 0)
		return take_number(text, &f->has_max, &f->max);
	if (strcmp(property, "max_length") == 0)
		return take_size(text, SMQ_RECORD_BYTES_MAX, &f->max_len);
	return take_one_of(v, f);
}

static const char *const field_properties[] = { "type", "optional", "is_sender", "reading",    "type_from",
						"unit", "min",      "max",       "max_length", "one_of" };

static const char *take_type(struct smq_record_reading_type *t, const char *property, const char *text)
{
	if (strcmp(property, "unit") == 0)
		return take_name(text, t->unit);
	return strcmp(property, "min") == 0 ? take_number(text, &t->has_min, &t->min)
					    : take_number(text, &t->has_max, &t->max);
}

static const char *const type_properties[] = { "unit", "min", "max" };

static const char *take_topic(const char *text, char ret_topic[257])
{
	char filled[300];
	const char *hole = strstr(text, "{sender}");
	size_t len = strlen(text);
	if (len > 256)
		return "is longer than 256 bytes";
	if (hole)
		snprintf(filled, sizeof(filled), "%.*sx%s", (int)(hole - text), text, hole + strlen("{sender}"));
	else
		snprintf(filled, sizeof(filled), "%s", text);
	if (!smq_topic_filter_valid(smq_span_str(filled)))
		return "is no topic filter; e.g. plant/{sender}/energy or plant/+/energy";
	memcpy(ret_topic, text, len + 1);
	return NULL;
}

static const char *take_top(struct smq_record_schema *s, const char *key, const char *text)
{
	int value = 0;
	const char *problem;
	if (strcmp(key, "name") == 0)
		return take_name(text, s->name);
	if (strcmp(key, "topic") == 0)
		return take_topic(text, s->topic);
	if (strcmp(key, "max_bytes") == 0)
		return take_size(text, SMQ_RECORD_BYTES_MAX, &s->bytes_max);
	if (strcmp(key, "extra_fields") == 0) {
		problem = take_word(text, extras, SMQ_COUNT(extras), "takes keep or refuse", &value);
		s->extra_fields = value != 0;
		return problem;
	}
	if (strcmp(key, "time.field") == 0)
		return take_name(text, s->time_field);
	if (strcmp(key, "time.past") == 0)
		return take_span(text, &s->past_ms);
	if (strcmp(key, "time.future") == 0)
		return take_span(text, &s->future_ms);
	problem = take_word(text, formats, SMQ_COUNT(formats), "takes rfc3339, unix_s or unix_ms", &value);
	s->time_format = (enum smq_record_time)value;
	return problem;
}

static const char *const top_keys[] = { "name",       "topic",       "max_bytes", "extra_fields",
					"time.field", "time.format", "time.past", "time.future" };
static const char *const maps[] = { "time", "fields", "readings" };

/* ---- the sink ---- */

static bool is_among(const char *const *words, size_t count, const char *word)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(words[i], word) == 0)
			return true;
	}
	return false;
}

/* "fields.NAME.property": the name is copied, the property returned; NULL for "fields.NAME". */
static const char *split(const char *rest, char name[SMQ_RECORD_NAME_MAX + 1], bool *ret_good)
{
	const char *dot = strchr(rest, '.');
	size_t len = dot ? (size_t)(dot - rest) : strlen(rest);
	*ret_good = len > 0 && len <= SMQ_RECORD_NAME_MAX;
	if (*ret_good) {
		memcpy(name, rest, len);
		name[len] = 0;
	}
	return dot ? dot + 1 : NULL;
}

static enum smq_yaml_kind kind_below(const char *rest, const char *const *words, size_t count)
{
	char name[SMQ_RECORD_NAME_MAX + 1];
	bool good;
	const char *property = split(rest, name, &good);
	if (!good)
		return SMQ_YAML_UNKNOWN;
	if (!property)
		return SMQ_YAML_MAP;
	if (!is_among(words, count, property))
		return SMQ_YAML_UNKNOWN;
	return strcmp(property, "one_of") == 0 ? SMQ_YAML_LIST : SMQ_YAML_SCALAR;
}

static enum smq_yaml_kind kind(void *self, const char *key)
{
	(void)self;
	if (is_among(top_keys, SMQ_COUNT(top_keys), key))
		return SMQ_YAML_SCALAR;
	if (is_among(maps, SMQ_COUNT(maps), key))
		return SMQ_YAML_MAP;
	if (strncmp(key, "fields.", 7) == 0)
		return kind_below(key + 7, field_properties, SMQ_COUNT(field_properties));
	if (strncmp(key, "readings.", 9) == 0)
		return kind_below(key + 9, type_properties, SMQ_COUNT(type_properties));
	return SMQ_YAML_UNKNOWN;
}

static void suggest(void *self, const char *key, char *ret_hint, size_t room)
{
	(void)self;
	const char *hint = "a schema knows name, topic, max_bytes, extra_fields, time, fields and readings";
	if (strncmp(key, "fields.", 7) == 0)
		hint = "a field knows type, optional, is_sender, reading, type_from, unit, min, max, max_length and "
		       "one_of";
	else if (strncmp(key, "readings.", 9) == 0)
		hint = "a reading knows unit, min and max";
	else if (strncmp(key, "time.", 5) == 0)
		hint = "time knows field, format, past and future";
	snprintf(ret_hint, room, "%s", hint);
}

static const char *take_of_field(struct smq_record_schema *s, const struct smq_yaml_value *v)
{
	char name[SMQ_RECORD_NAME_MAX + 1];
	bool good;
	const char *property = split(v->key + 7, name, &good);
	size_t i = 0;
	while (i < s->field_count && strcmp(s->fields[i].name, name) != 0)
		i++;
	if (i == SMQ_RECORD_FIELDS_MAX)
		return "is one field too many: 64 at most";
	if (i == s->field_count) {
		memcpy(s->fields[i].name, name, sizeof(name));
		s->field_count++;
	}
	return take_field(&s->fields[i], property, v);
}

static const char *take_of_reading(struct smq_record_schema *s, const struct smq_yaml_value *v)
{
	char name[SMQ_RECORD_NAME_MAX + 1];
	bool good;
	const char *property = split(v->key + 9, name, &good);
	size_t i = 0;
	while (i < s->type_count && strcmp(s->types[i].name, name) != 0)
		i++;
	if (i == SMQ_RECORD_TYPES_MAX)
		return "is one reading too many: 128 at most";
	if (i == s->type_count) {
		memcpy(s->types[i].name, name, sizeof(name));
		s->type_count++;
	}
	return take_type(&s->types[i], property, v->items[0]);
}

static smq_err take(void *self, const struct smq_yaml_value *value, char *ret_problem, size_t room)
{
	struct smq_record_schema *s = self;
	const char *problem = strncmp(value->key, "fields.", 7) == 0     ? take_of_field(s, value)
			      : strncmp(value->key, "readings.", 9) == 0 ? take_of_reading(s, value)
									 : take_top(s, value->key, value->items[0]);
	if (!problem)
		return SMQ_OK;
	snprintf(ret_problem, room, "%s", problem);
	return SMQ_ERR_CONFIG;
}

smq_err smq_record_yaml_load(const char *path, struct smq_record_schema *schema, char *ret_why, size_t why_len)
{
	const struct smq_yaml_sink sink = { schema, kind, suggest, take };
	char shown[256], problem[200];
	smq_err err = smq_yaml_walk(path, &sink, ret_why, why_len);
	if (err != SMQ_OK)
		return err;
	smq_yaml_path_text(path, shown, sizeof(shown));
	if (schema->field_count == 0) {
		snprintf(ret_why, why_len, "%s:1:1: no fields are declared; begin with 'fields:'", shown);
		return SMQ_ERR_CONFIG;
	}
	err = smq_record_schema_check(schema, problem, sizeof(problem));
	if (err != SMQ_OK)
		snprintf(ret_why, why_len, "%s: %s", shown, problem);
	return err;
}
