/* A telemetry source: rows from a file or a generator, chosen, paced and written as JSON. */
#include "app/telemetry_source.h"

#include <stdio.h>
#include <stdlib.h>

#include "app/csv_table.h"
#include "app/telemetry_generate.h"
#include "base/table.h"
#include "base/text.h"

/* Types are judged by this much of a file; what comes later and does not fit is sent as text. */
#define INFER_BYTES_MAX (UINT64_C(64) << 20)
#define EVERY_MAX 1000000
#define SAMPLE_MIN 0.000001
/* A file that was read so often without one record being chosen has none. */
enum { IDLE_PASSES_MAX = 100 };

struct smq_source {
	struct smq_source_options o;
	struct smq_bytes_in in;
	struct smq_csv_table table;
	struct smq_generator generator;
	bool generated;
	uint64_t seed;
	int64_t start_ms;
	double step_ms;
	struct smq_prng chance;
	struct smq_pace pace;
	size_t *chosen; /* column indexes, in the order asked for */
	size_t chosen_count;
	uint64_t seen, emitted, bad_rows;
	unsigned idle_passes;
	char *json;
	size_t json_room;
};

/* A row of either origin. */
struct record {
	const struct smq_csv_field *fields;
	uint64_t line;
};

void smq_source_options_init(struct smq_source_options *o)
{
	*o = (struct smq_source_options){ .sample = 1, .every = 1, .line_max = SMQ_SOURCE_LINE_MAX };
}

static const char *column_name(const struct smq_source *s, size_t i)
{
	return s->generated ? s->generator.kind->columns[i] : s->table.names[i];
}

static size_t column_count(const struct smq_source *s)
{
	return s->generated ? s->generator.kind->column_count : s->table.column_count;
}

static void list_columns(const struct smq_source *s, char *ret_text, size_t room)
{
	size_t len = 0;
	ret_text[0] = 0;
	for (size_t i = 0; i < column_count(s) && len + 5 < room; i++) {
		if (i > 0)
			len += smq_escape(smq_span_str(", "), ret_text + len, room - len);
		len += smq_escape(smq_span_str(column_name(s, i)), ret_text + len, room - len);
	}
}

static size_t find_column(const struct smq_source *s, const char *name)
{
	size_t i = 0;
	while (i < column_count(s) && strcmp(column_name(s, i), name) != 0)
		i++;
	return i;
}

static smq_err choose_column(struct smq_source *s, const char *name, char *ret_why, size_t why_len)
{
	char shown[80], all[300];
	size_t index = find_column(s, name);
	bool twice = false;
	for (size_t i = 0; i < s->chosen_count; i++)
		twice = twice || s->chosen[i] == index;
	if (index < column_count(s) && !twice) {
		s->chosen[s->chosen_count++] = index;
		return SMQ_OK;
	}
	(void)smq_escape(smq_span_str(name), shown, sizeof(shown));
	list_columns(s, all, sizeof(all));
	(void)snprintf(ret_why, why_len,
		       twice ? "column '%s' is asked for twice; there are: %s"
			     : "there is no column '%s'; there are: %s",
		       shown, all);
	return SMQ_ERR_USAGE;
}

static smq_err choose_columns(struct smq_source *s, char *ret_why, size_t why_len)
{
	size_t asked = s->o.column_count;
	s->chosen = calloc((asked ? asked : column_count(s)) + 1, sizeof(*s->chosen));
	if (!s->chosen)
		return SMQ_ERR_NO_MEMORY;
	for (size_t i = 0; !asked && i < column_count(s); i++)
		s->chosen[s->chosen_count++] = i;
	for (size_t i = 0; i < asked; i++) {
		smq_err err = choose_column(s, s->o.columns[i], ret_why, why_len);
		if (err != SMQ_OK)
			return err;
	}
	return SMQ_OK;
}

static smq_err open_csv(struct smq_source *s, const struct smq_bytes_in *in, char *ret_why, size_t why_len)
{
	if (s->o.loop && !in->rewind) {
		(void)snprintf(ret_why, why_len, "what is piped in cannot be looped; give a file");
		return SMQ_ERR_USAGE;
	}
	s->in = *in;
	smq_err err = smq_csv_table_init(&s->table, &s->in, s->o.line_max, ret_why, why_len);
	if (err == SMQ_OK && s->in.rewind)
		err = smq_csv_table_infer(&s->table, INFER_BYTES_MAX);
	return err;
}

static const char *check_options(const struct smq_source_options *o)
{
	if (!(o->sample == 0 || (o->sample >= SAMPLE_MIN && o->sample <= 1)))
		return "sample is a fraction from 0.000001 to 1, e.g. 0.1 for every tenth on average";
	if (o->every > EVERY_MAX)
		return "every is at most 1000000";
	if (!(o->rate >= 0 && o->rate <= 1e6) || o->interval_ms < 0)
		return "rate is at most 1000000 a second, and neither rate nor interval is negative";
	if (o->line_max > ((size_t)64 << 20))
		return "line_max is at most 64 MiB";
	return NULL;
}

static struct smq_source *allocate(const struct smq_source_options *options, uint64_t seed, int64_t start_ms)
{
	struct smq_source *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->o = *options;
	s->o.line_max = options->line_max ? options->line_max : SMQ_SOURCE_LINE_MAX;
	s->seed = seed;
	s->start_ms = start_ms;
	s->chance.state = ~seed; /* another sequence than the generator's */
	s->pace = smq_pace_of(options->interval_ms, options->rate);
	return s;
}

static smq_err open_kind(struct smq_source *s, const char *kind, const struct smq_bytes_in *in, char *ret_why,
			 size_t why_len)
{
	const struct smq_generator_kind *generator = smq_generator_find(kind);
	if (!generator)
		return open_csv(s, in, ret_why, why_len);
	s->generated = true;
	smq_generator_init(&s->generator, generator, s->seed);
	s->step_ms = s->pace.step_ms > 0 ? s->pace.step_ms : (double)generator->step_ms;
	return SMQ_OK;
}

smq_err smq_source_new(const char *kind, const struct smq_bytes_in *in, const struct smq_source_options *options,
		       uint64_t seed, int64_t start_ms, struct smq_source **ret_source, char *ret_why, size_t why_len)
{
	const char *wrong = check_options(options);
	if (wrong) {
		(void)snprintf(ret_why, why_len, "%s", wrong);
		return SMQ_ERR_USAGE;
	}
	struct smq_source *s = allocate(options, seed, start_ms);
	if (!s)
		return SMQ_ERR_NO_MEMORY;
	smq_err err = open_kind(s, kind, in, ret_why, why_len);
	if (err == SMQ_OK)
		err = choose_columns(s, ret_why, why_len);
	if (err != SMQ_OK) {
		s->in.close = NULL; /* stays the caller's */
		smq_source_close(s);
		return err;
	}
	/* The strings behind it are the caller's, and were used up above. */
	s->o.columns = NULL;
	*ret_source = s;
	return SMQ_OK;
}

void smq_source_close(smq_source *source)
{
	if (!source)
		return;
	if (source->table.names)
		smq_csv_table_done(&source->table);
	if (source->in.close)
		source->in.close(source->in.self);
	free(source->chosen);
	free(source->json);
	free(source);
}

uint64_t smq_source_seed(const smq_source *source) { return source->seed; }

uint64_t smq_source_bad_rows(const smq_source *source) { return source->bad_rows; }

/* The end of a file: the first row again where it is to be looped. */
static smq_err next_pass(smq_source *s)
{
	if (!s->o.loop || ++s->idle_passes > IDLE_PASSES_MAX)
		return SMQ_ERR_NOT_FOUND;
	return smq_csv_table_rewind(&s->table);
}

static smq_err next_row(smq_source *s, struct record *ret_record)
{
	for (;;) {
		struct smq_csv_row row;
		struct smq_bad_row bad;
		smq_err err = smq_csv_table_next(&s->table, &row, &bad);
		if (err == SMQ_OK) {
			*ret_record = (struct record){ row.fields, row.line };
			return SMQ_OK;
		}
		if (err == SMQ_ERR_DATA) {
			s->bad_rows++;
			if (s->o.on_bad_row)
				s->o.on_bad_row(s->o.self, &bad);
			err = s->o.fatal ? err : SMQ_OK;
		} else if (err == SMQ_ERR_NOT_FOUND) {
			err = next_pass(s);
		}
		if (err != SMQ_OK)
			return err;
	}
}

static void next_generated(smq_source *s, struct smq_csv_field *ret_fields, struct record *ret_record)
{
	smq_generator_next(&s->generator, s->start_ms + (int64_t)((double)s->seen * s->step_ms));
	for (size_t i = 0; i < column_count(s); i++)
		ret_fields[i] = (struct smq_csv_field){ smq_span_str(s->generator.text[i]), false };
	*ret_record = (struct record){ ret_fields, 0 };
}

static bool is_chosen(smq_source *s)
{
	uint64_t number = s->seen++;
	if (s->o.every > 1 && number % s->o.every != 0)
		return false;
	return s->o.sample == 0 || s->o.sample >= 1 || smq_prng_unit(&s->chance) < s->o.sample;
}

/* Every byte may become \u00XX, and each member brings quotes, colon and comma or "null". */
static smq_err make_room(smq_source *s, const struct record *r)
{
	size_t need = 16;
	for (size_t i = 0; i < s->chosen_count; i++)
		need += 6 * (strlen(column_name(s, s->chosen[i])) + r->fields[s->chosen[i]].text.len) + 12;
	if (need <= s->json_room)
		return SMQ_OK;
	char *bigger = realloc(s->json, need);
	if (!bigger)
		return SMQ_ERR_NO_MEMORY;
	s->json = bigger;
	s->json_room = need;
	return SMQ_OK;
}

static smq_err render(smq_source *s, const struct record *r, size_t *ret_len)
{
	smq_err err = make_room(s, r);
	if (err != SMQ_OK)
		return err;
	struct smq_json j = smq_json_on(smq_mspan_of(s->json, s->json_room));
	smq_json_object(&j);
	for (size_t i = 0; i < s->chosen_count; i++) {
		size_t column = s->chosen[i];
		const struct smq_csv_field *field = &r->fields[column];
		smq_json_key(&j, column_name(s, column));
		smq_value_json(&j, field,
			       s->generated ? s->generator.kind->types[column]
					    : smq_csv_table_type(&s->table, column, field));
	}
	smq_json_end(&j);
	return smq_json_finish(&j, ret_len);
}

smq_err smq_source_next(smq_source *source, int64_t now_ms, struct smq_record *ret_record)
{
	struct smq_csv_field fields[SMQ_GENERATED_FIELDS_MAX];
	struct record r;
	size_t len;
	if (source->o.limit > 0 && source->emitted >= source->o.limit)
		return SMQ_ERR_NOT_FOUND;
	do {
		smq_err err = SMQ_OK;
		if (source->generated)
			next_generated(source, fields, &r);
		else
			err = next_row(source, &r);
		if (err != SMQ_OK)
			return err;
	} while (!is_chosen(source));
	smq_err err = render(source, &r, &len);
	if (err != SMQ_OK)
		return err;
	source->idle_passes = 0;
	source->emitted++;
	*ret_record = (struct smq_record){ smq_span_of(source->json, len), source->emitted, r.line,
					   smq_pace_next(&source->pace, now_ms) };
	return SMQ_OK;
}

int64_t smq_source_set_pace(smq_source *source, int64_t interval_ms, double rate, int64_t now_ms)
{
	source->pace = smq_pace_of(interval_ms, rate);
	/* the record that was read ahead is the first of the new grid */
	(void)smq_pace_next(&source->pace, now_ms + (int64_t)source->pace.step_ms);
	return now_ms + (int64_t)source->pace.step_ms;
}
