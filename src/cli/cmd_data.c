/* sealmq data preview: what is in a CSV file. */
#include "cli/cmd_data.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sealmq/telemetry.h>
#include <sealmq/text.h>

#include "cli/print.h"

enum { BROKEN_MAX = 20, NAME_WIDTH = 32, VALUE_WIDTH = 24, ROWS_MAX = 1000, TOP_DISTINCT_MAX = 20 };

static const char usage[] =
    "usage: sealmq data preview FILE [--rows N] [--json]\n\n"
    "Says what is in a CSV file: rows, columns, types, ranges, means, missing values, the most\n"
    "frequent values, the first lines, and which rows are broken and why. FILE may be - .\n\n"
    "  --rows N   show the first N rows (default 5, at most 1000)\n"
    "  --json     one JSON object instead of tables\n"
    "  --help     this text\n\n"
    "Broken rows do not make the command fail; a file that cannot be read does.\n";

struct broken {
	uint64_t line;
	char reason[100];
};

struct job {
	const char *file;
	size_t rows;
	bool json;
	bool progress; /* something is shown on the progress line */
	struct broken broken[BROKEN_MAX];
	size_t broken_count; /* of those kept */
	const struct smq_preview *preview;
};

static void on_bad_row(void *self, const struct smq_bad_row *row)
{
	struct job *job = self;
	if (job->broken_count == BROKEN_MAX)
		return;
	struct broken *b = &job->broken[job->broken_count++];
	b->line = row->line;
	(void)smq_escape(smq_span_str(row->reason), b->reason, sizeof(b->reason));
}

static void on_progress(void *self, uint64_t done, uint64_t all)
{
	struct job *job = self;
	job->progress = true;
	if (all > 0)
		(void)fprintf(stderr, "\rreading: %3u %%", (unsigned)((double)done * 100 / (double)all));
	else
		(void)fprintf(stderr, "\rreading: %llu MB", (unsigned long long)(done >> 20));
	(void)fflush(stderr);
}

/* ---- as text ---- */

static void format_mean(const struct smq_column *c, char ret_text[32])
{
	bool number = c->type == SMQ_COLUMN_INTEGER || c->type == SMQ_COLUMN_FLOAT;
	if (number)
		(void)snprintf(ret_text, 32, "%.6g", c->mean);
	else
		(void)snprintf(ret_text, 32, "-");
}

static void format_distinct(const struct smq_column *c, char ret_text[32])
{
	(void)snprintf(ret_text, 32, "%s%llu", c->distinct_capped ? ">" : "", (unsigned long long)c->distinct);
}

static void print_columns(const struct smq_preview *p)
{
	size_t name = 6, low = 3, high = 3;
	for (size_t i = 0; i < p->column_count; i++) {
		const struct smq_column *c = &p->columns[i];
		size_t n = print_width(c->name, NAME_WIDTH);
		size_t l = print_width(c->min ? c->min : "-", VALUE_WIDTH);
		size_t h = print_width(c->max ? c->max : "-", VALUE_WIDTH);
		name = n > name ? n : name;
		low = l > low ? l : low;
		high = h > high ? h : high;
	}
	printf("\n%-*s  %-9s  %10s  %9s  %8s  %-*s  %-*s  %s\n", (int)name, "column", "type", "values", "missing",
	       "distinct", (int)low, "min", (int)high, "max", "mean");
	for (size_t i = 0; i < p->column_count; i++) {
		const struct smq_column *c = &p->columns[i];
		char mean[32], distinct[32];
		format_mean(c, mean);
		format_distinct(c, distinct);
		print_cell(stdout, c->name, name, NAME_WIDTH);
		printf("  %-9s  %10llu  %9llu  %8s  ", smq_column_type_name(c->type), (unsigned long long)c->values,
		       (unsigned long long)c->missing, distinct);
		print_cell(stdout, c->min ? c->min : "-", low, VALUE_WIDTH);
		printf("  ");
		print_cell(stdout, c->max ? c->max : "-", high, VALUE_WIDTH);
		printf("  %s\n", mean);
	}
}

/* Counts are worth a line where values come back: labels, states, types. */
static bool worth_counting(const struct smq_column *c)
{
	return c->top_count > 0 && c->top[0].count > 1 &&
	       (c->type == SMQ_COLUMN_TEXT || c->distinct <= TOP_DISTINCT_MAX);
}

static void print_top(const struct smq_preview *p)
{
	bool heading = false;
	for (size_t i = 0; i < p->column_count; i++) {
		const struct smq_column *c = &p->columns[i];
		if (!worth_counting(c))
			continue;
		if (!heading)
			printf("\nmost frequent values\n");
		heading = true;
		printf("  ");
		print_cell(stdout, c->name, 0, NAME_WIDTH);
		printf(":");
		for (size_t k = 0; k < c->top_count; k++) {
			printf("%s", k ? ", " : " ");
			print_cell(stdout, c->top[k].value, 0, VALUE_WIDTH);
			printf(" %llu", (unsigned long long)c->top[k].count);
		}
		if (c->distinct > c->top_count)
			printf(", and %llu more", (unsigned long long)(c->distinct - c->top_count));
		printf("\n");
	}
}

static size_t first_width(const struct smq_preview *p, size_t column)
{
	size_t width = print_width(p->columns[column].name, VALUE_WIDTH);
	for (size_t r = 0; r < p->first_count; r++) {
		const char *cell = p->first[r * p->column_count + column];
		size_t n = print_width(cell ? cell : "-", VALUE_WIDTH);
		width = n > width ? n : width;
	}
	return width;
}

static void print_first_row(const struct smq_preview *p, const size_t *widths, const char *const *cells)
{
	for (size_t i = 0; i < p->column_count; i++) {
		const char *text = cells ? cells[i] : p->columns[i].name;
		bool last = i + 1 == p->column_count;
		printf("  ");
		print_cell(stdout, text ? text : "-", last ? 0 : widths[i], VALUE_WIDTH);
	}
	printf("\n");
}

static void print_first(const struct smq_preview *p)
{
	if (p->first_count == 0)
		return;
	size_t *widths = calloc(p->column_count, sizeof(*widths));
	if (!widths)
		return;
	for (size_t i = 0; i < p->column_count; i++)
		widths[i] = first_width(p, i);
	printf("\nfirst rows\n");
	print_first_row(p, widths, NULL);
	for (size_t r = 0; r < p->first_count; r++)
		print_first_row(p, widths, p->first + r * p->column_count);
	free(widths);
}

static void print_broken(const struct job *job)
{
	uint64_t all = job->preview->bad_rows;
	for (size_t i = 0; i < job->broken_count; i++)
		(void)fprintf(stderr, "line %llu: %s\n", (unsigned long long)job->broken[i].line,
			      job->broken[i].reason);
	if (all > job->broken_count)
		(void)fprintf(stderr, "and %llu more broken rows\n", (unsigned long long)(all - job->broken_count));
}

static void print_text(const struct job *job)
{
	const struct smq_preview *p = job->preview;
	print_cell(stdout, job->file, 0, 200);
	printf(": %llu row%s, %zu column%s, %llu bytes, %llu broken row%s\n", (unsigned long long)p->rows,
	       p->rows == 1 ? "" : "s", p->column_count, p->column_count == 1 ? "" : "s", (unsigned long long)p->bytes,
	       (unsigned long long)p->bad_rows, p->bad_rows == 1 ? "" : "s");
	print_columns(p);
	print_top(p);
	print_first(p);
	(void)fflush(stdout);
	print_broken(job);
}

/* ---- as JSON ---- */

static void json_extreme(struct smq_json *j, const struct smq_column *c, const char *text)
{
	bool number = c->type == SMQ_COLUMN_INTEGER || c->type == SMQ_COLUMN_FLOAT;
	if (text && number && smq_json_is_number(smq_span_str(text)))
		smq_json_number(j, smq_span_str(text));
	else
		smq_json_str(j, text);
}

static void json_column(struct smq_json *j, const struct smq_column *c)
{
	smq_json_object(j);
	smq_json_key(j, "name");
	smq_json_str(j, c->name);
	smq_json_key(j, "type");
	smq_json_str(j, smq_column_type_name(c->type));
	smq_json_key(j, "values");
	smq_json_uint(j, c->values);
	smq_json_key(j, "missing");
	smq_json_uint(j, c->missing);
	smq_json_key(j, "min");
	json_extreme(j, c, c->min);
	smq_json_key(j, "max");
	json_extreme(j, c, c->max);
	if (c->type == SMQ_COLUMN_INTEGER || c->type == SMQ_COLUMN_FLOAT) {
		smq_json_key(j, "mean");
		smq_json_double(j, c->mean);
	}
	smq_json_key(j, "distinct");
	smq_json_uint(j, c->distinct);
	smq_json_key(j, "distinct_capped");
	smq_json_bool(j, c->distinct_capped);
	smq_json_key(j, "top");
	smq_json_array(j);
	for (size_t k = 0; k < c->top_count; k++) {
		smq_json_object(j);
		smq_json_key(j, "value");
		smq_json_str(j, c->top[k].value);
		smq_json_key(j, "count");
		smq_json_uint(j, c->top[k].count);
		smq_json_end(j);
	}
	smq_json_end(j);
	smq_json_end(j);
}

static void json_broken(struct smq_json *j, const struct job *job)
{
	smq_json_array(j);
	for (size_t i = 0; i < job->broken_count; i++) {
		smq_json_object(j);
		smq_json_key(j, "line");
		smq_json_uint(j, job->broken[i].line);
		smq_json_key(j, "reason");
		smq_json_str(j, job->broken[i].reason);
		smq_json_end(j);
	}
	smq_json_end(j);
}

static void json_first(struct smq_json *j, const struct smq_preview *p)
{
	smq_json_array(j);
	for (size_t r = 0; r < p->first_count; r++) {
		smq_json_array(j);
		for (size_t i = 0; i < p->column_count; i++)
			smq_json_str(j, p->first[r * p->column_count + i]);
		smq_json_end(j);
	}
	smq_json_end(j);
}

static void write_json(struct smq_json *j, const void *of)
{
	const struct job *job = of;
	const struct smq_preview *p = job->preview;
	smq_json_object(j);
	smq_json_key(j, "file");
	smq_json_str(j, job->file);
	smq_json_key(j, "rows");
	smq_json_uint(j, p->rows);
	smq_json_key(j, "bytes");
	smq_json_uint(j, p->bytes);
	smq_json_key(j, "columns");
	smq_json_array(j);
	for (size_t i = 0; i < p->column_count; i++)
		json_column(j, &p->columns[i]);
	smq_json_end(j);
	smq_json_key(j, "broken_rows");
	smq_json_uint(j, p->bad_rows);
	smq_json_key(j, "broken"); /* the first of them */
	json_broken(j, job);
	smq_json_key(j, "first");
	json_first(j, p);
	smq_json_end(j);
}

/* ---- the command ---- */

static int fail(smq_err err, const char *why)
{
	(void)fprintf(stderr, "sealmq data: %s\n", why);
	return smq_err_exit(err);
}

static int preview(struct job *job)
{
	struct smq_preview_options o = { .first_rows = job->rows, .self = job, .on_bad_row = on_bad_row };
	struct smq_preview *p;
	const char *why = "";
	if (isatty(STDERR_FILENO))
		o.on_progress = on_progress;
	smq_err err = smq_data_preview(job->file, &o, &p, &why);
	if (job->progress)
		(void)fputs("\r                    \r", stderr);
	if (err != SMQ_OK)
		return fail(err, why);
	job->preview = p;
	if (job->json)
		err = print_json(stdout, write_json, job);
	else
		print_text(job);
	smq_preview_free(p);
	if (err == SMQ_OK && (fflush(stdout) != 0 || ferror(stdout)))
		err = SMQ_ERR_IO;
	return err == SMQ_OK ? 0 : fail(err, smq_err_text(err));
}

static bool take_rows(const char *text, size_t *ret_rows)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || n > ROWS_MAX)
		return false;
	*ret_rows = n;
	return true;
}

static int wrong(const char *what, const char *value)
{
	char shown[100];
	(void)smq_escape(smq_span_str(value), shown, sizeof(shown));
	(void)fprintf(stderr, "sealmq data: %s '%s'; see `sealmq data --help`\n", what, shown);
	return smq_err_exit(SMQ_ERR_USAGE);
}

int cmd_data(int argc, char **argv)
{
	struct job job = { .rows = 5 };
	bool named = false;
	for (int i = 1; i < argc; i++) {
		const char *a = argv[i];
		if (strcmp(a, "--help") == 0) {
			(void)fputs(usage, stdout);
			return 0;
		} else if (strcmp(a, "--json") == 0) {
			job.json = true;
		} else if (strncmp(a, "--rows", 6) == 0 && (a[6] == '=' || (!a[6] && i + 1 < argc))) {
			const char *value = a[6] ? a + 7 : argv[++i];
			if (!take_rows(value, &job.rows))
				return wrong("--rows takes a number from 0 to 1000, not", value);
		} else if (a[0] == '-' && a[1]) {
			return wrong("unknown option", a);
		} else if (!named) {
			named = true;
			if (strcmp(a, "preview") != 0)
				return wrong("there is `sealmq data preview`, but no", a);
		} else if (!job.file) {
			job.file = a;
		} else {
			return wrong("takes one FILE; what is", a);
		}
	}
	if (!job.file) {
		(void)fputs(usage, stderr);
		return smq_err_exit(SMQ_ERR_USAGE);
	}
	return preview(&job);
}
