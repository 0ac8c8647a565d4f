/* What is in a CSV file: types, ranges, means, missing values and the most frequent values, in one pass. */
#include "app/telemetry_preview.h"

#include <stdlib.h>

#include "app/csv_table.h"
#include "app/value_counts.h"

enum {
	FIRST_ROWS_MAX = 1000,
	COUNTED_LEN_MAX = 256,        /* longer values are prose; nobody wants them counted */
	COUNTED_BYTES_MAX = 64 << 20, /* for all columns together */
	PROGRESS_EVERY_ROWS = 1 << 12
};

/* A growing copy of the extreme value met so far. */
struct extreme {
	char *text;
	size_t len, room;
	double rank;
};

/* A column while its type is not settled: values are ranked by sense and by bytes side by side. */
struct tally {
	enum smq_column_type type;
	uint64_t values, empties, missing_words, ranked;
	long double sum;
	struct extreme low, high;           /* by bytes */
	struct extreme low_rank, high_rank; /* numbers by value, dates by time */
	struct smq_value_counts counts;
	bool capped;
};

struct work {
	struct smq_csv_table table;
	struct tally *tallies;
	struct smq_preview *preview;
	char **first; /* cells */
	size_t first_rows_max;
	size_t bytes_counted;
};

static char *copy_text(smq_span text)
{
	char *copy = malloc(text.len + 1);
	if (copy) {
		if (text.len > 0)
			memcpy(copy, text.p, text.len);
		copy[text.len] = 0;
	}
	return copy;
}

static smq_err keep(struct extreme *e, smq_span text, double rank)
{
	if (text.len + 1 > e->room) {
		char *bigger = realloc(e->text, text.len + 32);
		if (!bigger)
			return SMQ_ERR_NO_MEMORY;
		e->text = bigger;
		e->room = text.len + 32;
	}
	if (text.len > 0)
		memcpy(e->text, text.p, text.len);
	e->text[text.len] = 0;
	e->len = text.len;
	e->rank = rank;
	return SMQ_OK;
}

static int compare(smq_span a, const struct extreme *b)
{
	size_t n = a.len < b->len ? a.len : b->len;
	int order = n > 0 ? memcmp(a.p, b->text, n) : 0;
	return order ? order : (a.len > b->len) - (a.len < b->len);
}

static smq_err rank_text(struct tally *t, smq_span text)
{
	smq_err err = SMQ_OK;
	if (!t->low.text || compare(text, &t->low) < 0)
		err = keep(&t->low, text, 0);
	if (err == SMQ_OK && (!t->high.text || compare(text, &t->high) > 0))
		err = keep(&t->high, text, 0);
	return err;
}

static smq_err rank_value(struct tally *t, smq_span text, double rank)
{
	smq_err err = SMQ_OK;
	t->ranked++;
	t->sum += rank;
	if (!t->low_rank.text || rank < t->low_rank.rank)
		err = keep(&t->low_rank, text, rank);
	if (err == SMQ_OK && (!t->high_rank.text || rank > t->high_rank.rank))
		err = keep(&t->high_rank, text, rank);
	return err;
}

static smq_err count_value(struct work *w, struct tally *t, smq_span text)
{
	if (t->capped)
		return SMQ_OK;
	size_t before = t->counts.bytes;
	smq_err err = text.len > COUNTED_LEN_MAX || w->bytes_counted > COUNTED_BYTES_MAX
			  ? SMQ_ERR_FULL
			  : smq_value_counts_add(&t->counts, text, SMQ_PREVIEW_DISTINCT_MAX, COUNTED_BYTES_MAX);
	if (err == SMQ_ERR_FULL) {
		w->bytes_counted -= before;
		smq_value_counts_done(&t->counts);
		t->capped = true;
		return SMQ_OK;
	}
	w->bytes_counted += t->counts.bytes - before;
	return err;
}

static smq_err tally_value(struct work *w, struct tally *t, const struct smq_csv_field *field)
{
	double rank;
	enum smq_column_type type = smq_value_type(field);
	if (type == SMQ_COLUMN_EMPTY && field->text.len == 0) {
		t->empties++;
		return SMQ_OK;
	}
	t->type = smq_column_join(t->type, type);
	smq_err err = SMQ_OK;
	if (type == SMQ_COLUMN_EMPTY) {
		t->missing_words++; /* NA and its kin: missing, unless the column turns out to be text */
	} else {
		t->values++;
		err = rank_text(t, field->text);
	}
	if (err == SMQ_OK && smq_value_rank(field->text, type, &rank))
		err = rank_value(t, field->text, rank);
	return err == SMQ_OK ? count_value(w, t, field->text) : err;
}

static smq_err keep_first(struct work *w, const struct smq_csv_row *row)
{
	size_t n = w->table.column_count;
	char **cells = w->first + w->preview->first_count * n;
	for (size_t i = 0; i < n; i++) {
		if (row->fields[i].text.len == 0 && !row->fields[i].quoted)
			continue;
		cells[i] = copy_text(row->fields[i].text);
		if (!cells[i])
			return SMQ_ERR_NO_MEMORY;
	}
	w->preview->first_count++;
	return SMQ_OK;
}

static smq_err take_row(struct work *w, const struct smq_csv_row *row)
{
	smq_err err = SMQ_OK;
	w->preview->rows++;
	if (w->preview->first_count < w->first_rows_max)
		err = keep_first(w, row);
	for (size_t i = 0; i < row->count && err == SMQ_OK; i++)
		err = tally_value(w, &w->tallies[i], &row->fields[i]);
	return err;
}

static smq_err read_all(struct work *w, const struct smq_preview_options *o, uint64_t size)
{
	for (;;) {
		struct smq_csv_row row;
		struct smq_bad_row bad;
		smq_err err = smq_csv_table_next(&w->table, &row, &bad);
		if (err == SMQ_ERR_DATA) {
			w->preview->bad_rows++;
			if (o->on_bad_row)
				o->on_bad_row(o->self, &bad);
		} else if (err == SMQ_OK) {
			err = take_row(w, &row);
		}
		w->preview->bytes = w->table.csv.consumed;
		if (err == SMQ_ERR_NOT_FOUND)
			return SMQ_OK;
		if (err != SMQ_OK && err != SMQ_ERR_DATA)
			return err;
		if (o->on_progress && w->table.rows % PROGRESS_EVERY_ROWS == 0)
			o->on_progress(o->self, w->preview->bytes, size);
	}
}

static bool outranks(const struct smq_counted *a, const struct smq_value_count *b)
{
	return a->count > b->count || (a->count == b->count && strcmp(a->text, b->value) < 0);
}

/* Moves the text into its place among the most frequent ones. */
static void place_top(struct smq_column *c, const struct smq_counted *counted)
{
	size_t at = c->top_count;
	while (at > 0 && outranks(counted, &c->top[at - 1]))
		at--;
	if (at == SMQ_PREVIEW_TOP)
		return;
	size_t last = c->top_count < SMQ_PREVIEW_TOP ? c->top_count++ : SMQ_PREVIEW_TOP - 1;
	memmove(&c->top[at + 1], &c->top[at], (last - at) * sizeof(c->top[0]));
	c->top[at] = (struct smq_value_count){ counted->text, counted->count };
}

static smq_err finish_top(struct smq_column *c, const struct tally *t)
{
	c->distinct_capped = t->capped;
	for (size_t i = 0; i < t->counts.room; i++) {
		const struct smq_counted *counted = &t->counts.places[i];
		struct smq_csv_field as_field = { smq_span_of(counted->text, counted->len), false };
		if (!counted->text || (counted->len > 0 && smq_value_missing(&as_field, c->type)))
			continue;
		c->distinct++;
		place_top(c, counted);
	}
	if (t->capped)
		c->distinct = SMQ_PREVIEW_DISTINCT_MAX;
	for (size_t i = 0; i < c->top_count; i++) {
		c->top[i].value = copy_text(smq_span_str(c->top[i].value));
		if (!c->top[i].value) {
			c->top_count = i; /* the others still belong to the table */
			return SMQ_ERR_NO_MEMORY;
		}
	}
	return SMQ_OK;
}

static const char *hand_over(struct extreme *e)
{
	char *text = e->text;
	e->text = NULL;
	return text;
}

static smq_err finish_column(struct smq_column *c, struct tally *t, const char *name)
{
	bool text = t->type == SMQ_COLUMN_TEXT;
	bool number = t->type == SMQ_COLUMN_INTEGER || t->type == SMQ_COLUMN_FLOAT;
	bool ranked = !text && t->type != SMQ_COLUMN_BOOLEAN;
	c->name = copy_text(smq_span_str(name));
	c->type = t->type;
	c->values = t->values + (text ? t->missing_words : 0);
	c->missing = t->empties + (text ? 0 : t->missing_words);
	c->min = hand_over(ranked ? &t->low_rank : &t->low);
	c->max = hand_over(ranked ? &t->high_rank : &t->high);
	if (number && t->ranked > 0)
		c->mean = (double)(t->sum / t->ranked);
	return c->name ? finish_top(c, t) : SMQ_ERR_NO_MEMORY;
}

static smq_err finish_all(struct work *w)
{
	smq_err err = SMQ_OK;
	for (size_t i = 0; i < w->table.column_count && err == SMQ_OK; i++)
		err = finish_column(&w->preview->columns[i], &w->tallies[i], w->table.names[i]);
	return err;
}

static smq_err allocate(struct work *w, const struct smq_preview_options *o)
{
	size_t n = w->table.column_count;
	w->first_rows_max = o->first_rows < FIRST_ROWS_MAX ? o->first_rows : FIRST_ROWS_MAX;
	w->tallies = calloc(n, sizeof(*w->tallies));
	w->preview = calloc(1, sizeof(*w->preview));
	if (!w->tallies || !w->preview)
		return SMQ_ERR_NO_MEMORY;
	w->preview->column_count = n;
	w->preview->columns = calloc(n, sizeof(*w->preview->columns));
	w->first = calloc(n * (w->first_rows_max + 1), sizeof(*w->first));
	w->preview->first = (const char *const *)w->first;
	return w->preview->columns && w->first ? SMQ_OK : SMQ_ERR_NO_MEMORY;
}

static void release_tallies(struct work *w)
{
	for (size_t i = 0; w->tallies && i < w->table.column_count; i++) {
		struct tally *t = &w->tallies[i];
		free(t->low.text);
		free(t->high.text);
		free(t->low_rank.text);
		free(t->high_rank.text);
		smq_value_counts_done(&t->counts);
	}
	free(w->tallies);
}

smq_err smq_preview_make(const struct smq_bytes_in *in, const struct smq_preview_options *options,
			 struct smq_preview **ret_preview, char *ret_why, size_t why_len)
{
	struct work w = { 0 };
	size_t line_max = options->line_max ? options->line_max : SMQ_SOURCE_LINE_MAX;
	smq_err err = smq_csv_table_init(&w.table, in, line_max, ret_why, why_len);
	if (err != SMQ_OK)
		return err;
	err = allocate(&w, options);
	if (err == SMQ_OK)
		err = read_all(&w, options, in->size);
	if (err == SMQ_OK)
		err = finish_all(&w);
	release_tallies(&w);
	smq_csv_table_done(&w.table);
	if (err == SMQ_OK)
		*ret_preview = w.preview;
	else
		smq_preview_free(w.preview);
	return err;
}

static void free_column(struct smq_column *c)
{
	free((void *)(uintptr_t)c->name);
	free((void *)(uintptr_t)c->min);
	free((void *)(uintptr_t)c->max);
	for (size_t i = 0; i < c->top_count; i++)
		free((void *)(uintptr_t)c->top[i].value);
}

void smq_preview_free(struct smq_preview *preview)
{
	if (!preview)
		return;
	size_t n = preview->column_count;
	for (size_t i = 0; preview->columns && i < n; i++)
		free_column(&preview->columns[i]);
	/* A row that was only half copied has cells beyond first_count, if memory ran out. */
	for (size_t i = 0; preview->first && i < n * (preview->first_count + 1); i++)
		free((void *)(uintptr_t)preview->first[i]);
	free((void *)(uintptr_t)preview->first);
	free(preview->columns);
	free(preview);
}
