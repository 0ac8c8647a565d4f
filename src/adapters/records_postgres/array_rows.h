/*
 * Rows as PostgreSQL's binary arrays, one array a column, gathered in memory: what goes through unnest() in one
 * statement. An array is a header of 20 bytes, then each element with its length in front, big endian; -1 is NULL.
 */
#ifndef SMQ_ADAPTERS_RECORDS_POSTGRES_ARRAY_ROWS_H
#define SMQ_ADAPTERS_RECORDS_POSTGRES_ARRAY_ROWS_H

#include <stdbool.h>

#include <sealmq/err.h>
#include <sealmq/span.h>

enum { ARRAY_COLUMNS_MAX = 8 };
enum array_kind { ARRAY_NUMBERS, ARRAY_BYTES, ARRAY_TEXTS };

struct array_column {
	enum array_kind kind;
	uint8_t *p;
	size_t len, room;
	uint32_t elements;
};

struct array_rows {
	struct array_column columns[ARRAY_COLUMNS_MAX];
	size_t rows, at; /* at: the column that comes next */
	bool failed;     /* out of memory */
};

/* One value each, column by column; the first makes a new row. */
void array_number(struct array_rows *a, int64_t number);
void array_bytes(struct array_rows *a, enum array_kind kind, smq_span bytes);
void array_null(struct array_rows *a, enum array_kind kind);
/* Ends the row. SMQ_ERR_NO_MEMORY if something did not fit. */
SMQ_MUST_USE smq_err array_row_end(struct array_rows *a);
/* The column as a parameter: its bytes, and the number of its type. */
smq_span array_column(struct array_rows *a, size_t column, uint32_t *ret_type);
/* Begins anew, with the memory that is there. */
void array_clear(struct array_rows *a);
void array_free(struct array_rows *a);

#endif
