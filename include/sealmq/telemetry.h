/*
 * Telemetry in: records to publish, from a CSV file or a built-in generator, each a JSON object.
 *
 *     struct smq_source_options o;
 *     smq_source_options_init(&o);
 *     o.interval_ms = 1000;
 *     smq_source_open("csv:fridge.csv", &o, &source, &why);
 *     while (smq_source_next(source, now_ms, &record) == SMQ_OK)
 *             ... wait until record.due_ms, publish record.json ...
 *
 * CSV is read as RFC 4180 has it, plus what real files bring: a byte order mark,
 * LF or CRLF, a last line without an end, values padded with blanks (trimmed).
 * Columns get a type over the whole file (its first 64 MiB); numbers keep their
 * digits; missing values become null (FORMATS.md 6).
 */
#ifndef SEALMQ_TELEMETRY_H
#define SEALMQ_TELEMETRY_H

#include <stdbool.h>

#include <sealmq/err.h>
#include <sealmq/span.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- pace: when the n-th record is due ---- */

/* Due times lie on a fixed grid from the first record on, so that small delays do not add up. Who comes more than
 * SMQ_PACE_CATCH_UP_MS late is not flooded with all that was missed: the grid starts anew. */
enum { SMQ_PACE_CATCH_UP_MS = 5000 };

struct smq_pace {
	double step_ms; /* 0: as fast as possible */
	int64_t start_ms;
	uint64_t count;
	bool running;
};

/* interval_ms between records, or rate a second; with both 0 everything is due at once, with both the rate counts. */
struct smq_pace smq_pace_of(int64_t interval_ms, double rate);
/* When the next record is due, on the clock that now_ms is of; never earlier than the record before. */
int64_t smq_pace_next(struct smq_pace *pace, int64_t now_ms);

/* ---- sources ---- */

typedef struct smq_source smq_source;

enum {
	SMQ_SOURCE_LINE_MAX = 1 << 16, /* default for the longest CSV record, bytes */
	SMQ_SOURCE_COLUMNS_MAX = 1024
};

/* A row that could not be read. Nothing of its content is here but, in reason, column names. */
struct smq_bad_row {
	uint64_t line;      /* where it begins in the file, from 1 */
	uint64_t row;       /* data rows before it and itself */
	const char *reason; /* printable */
};

struct smq_source_options {
	const char *const *columns; /* only these, in this order; count 0: all */
	size_t column_count;
	uint64_t limit;      /* records in all; 0: no limit (generators never end by themselves) */
	double sample;       /* keep this fraction of the records, drawn by seed; 0 and 1: all */
	uint64_t every;      /* keep every n-th record, the first one first; 0 and 1: all */
	bool loop;           /* begin again at the end of the file */
	uint64_t seed;       /* same seed, same records and times; 0: fresh ones, at the present time */
	int64_t interval_ms; /* pace, see smq_pace_of; also the step of generated times */
	double rate;
	bool fatal;      /* a broken row ends the source with SMQ_ERR_DATA; else it is reported and skipped */
	size_t line_max; /* 0: SMQ_SOURCE_LINE_MAX */
	void *self;
	void (*on_bad_row)(void *self, const struct smq_bad_row *row);
};
/* Fills in the defaults; everything else is zero. */
void smq_source_options_init(struct smq_source_options *o);

struct smq_record {
	smq_span json;   /* one JSON object, zero-terminated as well; valid until the next call */
	uint64_t number; /* of this record, from 1 */
	uint64_t line;   /* in the file; 0 for generators */
	int64_t due_ms;
};

/*
 * spec: "csv:FILE" ("csv:-" is standard input; what it holds is typed value by value), "fridge", "vitals", "energy".
 * On failure *ret_why (may be NULL): what is wrong and what would be right, valid until the next call in this thread.
 * SMQ_ERR_USAGE: an unknown spec or option; SMQ_ERR_DATA: a file without a usable header line.
 */
SMQ_MUST_USE smq_err smq_source_open(const char *spec, const struct smq_source_options *options,
				     smq_source **ret_source, const char **ret_why);
/* SMQ_ERR_NOT_FOUND: no more records. SMQ_ERR_DATA: a broken row, with `fatal`. SMQ_ERR_IO: reading failed. */
SMQ_MUST_USE smq_err smq_source_next(smq_source *source, int64_t now_ms, struct smq_record *ret_record);
void smq_source_close(smq_source *source);
/* Another pace from the next record on, and when that one is due now at the latest. As smq_pace_of. */
int64_t smq_source_set_pace(smq_source *source, int64_t interval_ms, double rate, int64_t now_ms);
/* The seed in use, to repeat a run. */
uint64_t smq_source_seed(const smq_source *source);
/* Rows that could not be read so far. */
uint64_t smq_source_bad_rows(const smq_source *source);

/* ---- preview: what is in a CSV file ---- */

enum smq_column_type {
	SMQ_COLUMN_EMPTY, /* no value at all */
	SMQ_COLUMN_INTEGER,
	SMQ_COLUMN_FLOAT,
	SMQ_COLUMN_BOOLEAN,
	SMQ_COLUMN_DATE,
	SMQ_COLUMN_TIME,
	SMQ_COLUMN_TIMESTAMP,
	SMQ_COLUMN_TEXT
};
const char *smq_column_type_name(enum smq_column_type type); /* "integer" */

struct smq_value_count {
	const char *value;
	uint64_t count;
};

enum {
	SMQ_PREVIEW_TOP = 10,            /* most frequent values kept per column */
	SMQ_PREVIEW_DISTINCT_MAX = 50000 /* different values counted per column */
};

struct smq_column {
	const char *name;
	enum smq_column_type type;
	uint64_t values, missing;
	const char *min,
	    *max; /* as they stand in the file: numbers by value, dates by time, others by bytes; NULL without values */
	double mean; /* integer and float columns */
	uint64_t distinct;
	bool distinct_capped; /* more than SMQ_PREVIEW_DISTINCT_MAX, or too long to be kept: top is not given */
	struct smq_value_count top[SMQ_PREVIEW_TOP]; /* most frequent first */
	size_t top_count;
};

struct smq_preview {
	uint64_t rows, bad_rows, bytes;
	size_t column_count;
	struct smq_column *columns;
	size_t first_count;
	const char *const *first; /* first_count rows of column_count values each, row by row; NULL: missing */
};

struct smq_preview_options {
	size_t first_rows; /* lines to keep for showing */
	size_t line_max;
	void *self;
	void (*on_bad_row)(void *self, const struct smq_bad_row *row);
	void (*on_progress)(void *self, uint64_t bytes_done, uint64_t bytes_all); /* all: 0 where unknown */
};

/* Reads FILE ("-": standard input) once. All texts are valid UTF-8 and not escaped. */
SMQ_MUST_USE smq_err smq_data_preview(const char *file, const struct smq_preview_options *options,
				      struct smq_preview **ret_preview, const char **ret_why);
void smq_preview_free(struct smq_preview *preview);

#ifdef __cplusplus
}
#endif
#endif
