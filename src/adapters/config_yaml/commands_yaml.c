/* Reading which parameters a device lets be commanded. */
#include "adapters/config_yaml/commands_yaml.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sealmq/text.h>

#include "adapters/config_yaml/yaml_walk.h"
#include "base/table.h"

static const char *const types[] = { "number", "integer", "boolean", "text" };
static const char *const properties[] = { "type", "min", "max", "one_of", "unit" };

static bool is_among(const char *const *words, size_t count, const char *word, size_t *ret_place)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(words[i], word) == 0) {
			*ret_place = i;
			return true;
		}
	}
	return false;
}

/* "parameters.NAME.property"; property is NULL for "parameters.NAME". */
static bool split(const char *key, char name[SMQ_COMMAND_NAME_MAX + 1], const char **ret_property)
{
	const char *rest = key + strlen("parameters."), *dot = strchr(rest, '.');
	size_t len = dot ? (size_t)(dot - rest) : strlen(rest);
	if (len > SMQ_COMMAND_NAME_MAX || !smq_name_valid(smq_span_of((const uint8_t *)rest, len)))
		return false;
	memcpy(name, rest, len);
	name[len] = 0;
	*ret_property = dot ? dot + 1 : NULL;
	return true;
}

static bool is_parameter(const char *key) { return strncmp(key, "parameters.", strlen("parameters.")) == 0; }

static enum smq_yaml_kind kind(void *self, const char *key)
{
	char name[SMQ_COMMAND_NAME_MAX + 1];
	const char *property;
	size_t place;
	(void)self;
	if (strcmp(key, "parameters") == 0)
		return SMQ_YAML_MAP;
	if (strcmp(key, "from") == 0)
		return SMQ_YAML_LIST;
	if (!is_parameter(key) || !split(key, name, &property))
		return SMQ_YAML_UNKNOWN;
	if (!property)
		return SMQ_YAML_MAP;
	if (!is_among(properties, SMQ_COUNT(properties), property, &place))
		return SMQ_YAML_UNKNOWN;
	return strcmp(property, "one_of") == 0 ? SMQ_YAML_LIST : SMQ_YAML_SCALAR;
}

static void suggest(void *self, const char *key, char *ret_hint, size_t room)
{
	(void)self;
	snprintf(ret_hint, room, "%s",
		 is_parameter(key)
		     ? "a parameter has a name of letters, digits, - and _, and type, min, max, one_of and "
		       "unit"
		     : "the file knows parameters and from");
}

static const char *take_number(const char *text, bool *ret_has, double *ret_number)
{
	char *end;
	double number = strtod(text, &end);
	if (!*text || *end || !isfinite(number))
		return "takes a number, e.g. 0.01 or 10";
	*ret_has = true;
	*ret_number = number;
	return NULL;
}

static const char *take_words(const struct smq_yaml_value *v, struct smq_parameter *p)
{
	if (v->count > SMQ_PARAMETER_WORDS_MAX)
		return "lists at most 16 texts";
	for (size_t i = 0; i < v->count; i++) {
		if (strlen(v->items[i]) > SMQ_COMMAND_NAME_MAX || !smq_yaml_printable(v->items[i]))
			return "takes texts of at most 64 printable bytes";
		snprintf(p->words[p->word_count++], sizeof(p->words[0]), "%s", v->items[i]);
	}
	return NULL;
}

static const char *take_property(struct smq_parameter *p, const char *property, const struct smq_yaml_value *v)
{
	size_t type;
	if (strcmp(property, "min") == 0)
		return take_number(v->items[0], &p->has_min, &p->min);
	if (strcmp(property, "max") == 0)
		return take_number(v->items[0], &p->has_max, &p->max);
	if (strcmp(property, "one_of") == 0)
		return take_words(v, p);
	if (strcmp(property, "unit") == 0)
		return NULL; /* for people */
	if (!is_among(types, SMQ_COUNT(types), v->items[0], &type))
		return "takes number, integer, boolean or text";
	p->type = (enum smq_parameter_type)type;
	p->has_type = true;
	return NULL;
}

static const char *take_parameter(struct smq_parameters *all, const struct smq_yaml_value *v)
{
	char name[SMQ_COMMAND_NAME_MAX + 1];
	const char *property;
	size_t i = 0;
	if (!split(v->key, name, &property))
		return "is no name of a parameter";
	while (i < all->count && strcmp(all->all[i].name, name) != 0)
		i++;
	if (i == SMQ_PARAMETERS_MAX)
		return "is one parameter too many: 32 at most";
	if (i == all->count) {
		memcpy(all->all[i].name, name, sizeof(name));
		all->count++;
	}
	return take_property(&all->all[i], property, v);
}

static const char *take_from(struct smq_parameters *all, const struct smq_yaml_value *v)
{
	if (v->count > SMQ_COMMAND_FROM_MAX)
		return "lists at most 16 patterns of names";
	for (size_t i = 0; i < v->count; i++) {
		size_t len = strlen(v->items[i]);
		if (len == 0 || len > SMQ_COMMAND_NAME_MAX || !smq_yaml_printable(v->items[i]))
			return "takes names, or patterns of names with * and ?";
		snprintf(all->from[all->from_count++], sizeof(all->from[0]), "%s", v->items[i]);
	}
	return NULL;
}

static smq_err take(void *self, const struct smq_yaml_value *value, char *ret_problem, size_t room)
{
	struct smq_parameters *all = self;
	const char *problem = is_parameter(value->key) ? take_parameter(all, value) : take_from(all, value);
	if (!problem)
		return SMQ_OK;
	snprintf(ret_problem, room, "%s", problem);
	return SMQ_ERR_CONFIG;
}

/* What has no bounds is not declared. */
static const char *check(const struct smq_parameter *p)
{
	bool number = p->type == SMQ_PARAMETER_NUMBER || p->type == SMQ_PARAMETER_INTEGER;
	if (!p->has_type)
		return "has no type: number, integer, boolean or text";
	if (number && (!p->has_min || !p->has_max || p->min > p->max))
		return "is a number and needs min and max";
	if (!number && (p->has_min || p->has_max))
		return "is no number: min and max say nothing of it";
	if (p->type == SMQ_PARAMETER_TEXT ? p->word_count == 0 : p->word_count > 0)
		return "is a text exactly if it has one_of, which lists what it may be";
	return NULL;
}

smq_err smq_commands_yaml_load(const char *path, struct smq_parameters *parameters, char *ret_why, size_t why_len)
{
	const struct smq_yaml_sink sink = { parameters, kind, suggest, take };
	char shown[256];
	smq_err err = smq_yaml_walk(path, &sink, ret_why, why_len);
	if (err != SMQ_OK)
		return err;
	smq_yaml_path_text(path, shown, sizeof(shown));
	for (size_t i = 0; i < parameters->count; i++) {
		const char *problem = check(&parameters->all[i]);
		if (problem) {
			snprintf(ret_why, why_len, "%s: parameter %s %s", shown, parameters->all[i].name, problem);
			return SMQ_ERR_CONFIG;
		}
	}
	return SMQ_OK;
}
