/* A CSV file with a header line: column names, column types, and rows of the right width. */
#ifndef SMQ_APP_CSV_TABLE_H
#define SMQ_APP_CSV_TABLE_H

#include "app/csv_values.h"

struct smq_csv_table {
	struct smq_csv csv;
	char **names; /* UTF-8 */
	enum smq_column_type *types;
	size_t column_count;
	bool typed;    /* types are known; else each value has its own */
	uint64_t rows; /* data rows met so far, broken ones included */
	char reason[160];
};

/* Reads the header line. ret_why: SMQ_ERR_DATA's reason; room why_len. */
SMQ_MUST_USE smq_err smq_csv_table_init(struct smq_csv_table *table, const struct smq_bytes_in *in, size_t line_max,
					char *ret_why, size_t why_len);
void smq_csv_table_done(struct smq_csv_table *table);
/* Gives the columns their types from the rows that begin in the first bytes_max bytes, then goes back to the first. */
SMQ_MUST_USE smq_err smq_csv_table_infer(struct smq_csv_table *table, uint64_t bytes_max);
/* Back to the first data row. */
SMQ_MUST_USE smq_err smq_csv_table_rewind(struct smq_csv_table *table);
/* As smq_csv_next; on SMQ_ERR_DATA *ret_bad is filled in, else *ret_row. */
SMQ_MUST_USE smq_err smq_csv_table_next(struct smq_csv_table *table, struct smq_csv_row *ret_row,
					struct smq_bad_row *ret_bad);
enum smq_column_type smq_csv_table_type(const struct smq_csv_table *table, size_t column,
					const struct smq_csv_field *field);
/* The column's index, or column_count. */
size_t smq_csv_table_find(const struct smq_csv_table *table, const char *name);

#endif
