/*
 * Rows in PostgreSQL's binary COPY format, gathered in memory: a header, then for each row the number of its fields and
 * each field with its length in front, big endian; -1 as length is NULL.
 */
#ifndef SMQ_ADAPTERS_RECORDS_POSTGRES_COPY_ROWS_H
#define SMQ_ADAPTERS_RECORDS_POSTGRES_COPY_ROWS_H

#include <stdbool.h>

#include <sealmq/err.h>
#include <sealmq/span.h>

struct copy_rows {
	uint8_t *p;
	size_t len, room;
	size_t rows;
	bool failed; /* out of memory */
};

void copy_row(struct copy_rows *c, int fields);
void copy_int8(struct copy_rows *c, int64_t number);
void copy_float8(struct copy_rows *c, double number);
void copy_bytes(struct copy_rows *c, smq_span bytes);
void copy_null(struct copy_rows *c);
/* Ends it; nothing may follow. SMQ_ERR_NO_MEMORY if something did not fit. */
SMQ_MUST_USE smq_err copy_end(struct copy_rows *c);
/* Begins anew, with the memory that is there. */
void copy_clear(struct copy_rows *c);
void copy_free(struct copy_rows *c);

#endif
