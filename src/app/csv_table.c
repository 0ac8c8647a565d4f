/* Header, types and rows of a CSV file. */
#include "app/csv_table.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"

size_t smq_csv_table_find(const struct smq_csv_table *table, const char *name)
{
	size_t i = 0;
	while (i < table->column_count && strcmp(table->names[i], name) != 0)
		i++;
	return i;
}

static char *copy_name(const struct smq_csv_field *field, size_t number)
{
	char unnamed[32];
	smq_span text = field->text;
	if (text.len == 0) {
		(void)snprintf(unnamed, sizeof(unnamed), "column_%zu", number);
		text = smq_span_str(unnamed);
	}
	char *name = malloc(text.len + 1);
	if (name) {
		memcpy(name, text.p, text.len);
		name[text.len] = 0;
	}
	return name;
}

/* JSON objects must not hold a name twice. */
static smq_err add_column(struct smq_csv_table *t, const struct smq_csv_field *field, char *ret_why, size_t why_len)
{
	char shown[80];
	char *name = copy_name(field, t->column_count + 1);
	if (!name)
		return SMQ_ERR_NO_MEMORY;
	if (smq_csv_table_find(t, name) < t->column_count) {
		(void)smq_escape(smq_span_str(name), shown, sizeof(shown));
		(void)snprintf(ret_why, why_len, "the header names column '%s' twice; rename one", shown);
		free(name);
		return SMQ_ERR_DATA;
	}
	t->types[t->column_count] = SMQ_COLUMN_EMPTY;
	t->names[t->column_count++] = name;
	return SMQ_OK;
}

static smq_err read_header(struct smq_csv_table *t, char *ret_why, size_t why_len)
{
	struct smq_csv_row row;
	smq_err err = smq_csv_next(&t->csv, &row);
	if (err == SMQ_ERR_NOT_FOUND) {
		(void)snprintf(ret_why, why_len, "the file is empty; its first line must name the columns");
		return SMQ_ERR_DATA;
	}
	if (err == SMQ_ERR_DATA)
		(void)snprintf(ret_why, why_len, "the header line has %s", row.reason);
	if (err != SMQ_OK)
		return err;
	t->names = calloc(row.count, sizeof(*t->names));
	t->types = calloc(row.count, sizeof(*t->types));
	if (!t->names || !t->types)
		return SMQ_ERR_NO_MEMORY;
	for (size_t i = 0; i < row.count && err == SMQ_OK; i++)
		err = add_column(t, &row.fields[i], ret_why, why_len);
	return err;
}

smq_err smq_csv_table_init(struct smq_csv_table *table, const struct smq_bytes_in *in, size_t line_max, char *ret_why,
			   size_t why_len)
{
	struct smq_csv_table t = { 0 };
	smq_err err = smq_csv_init(&t.csv, in, line_max, SMQ_SOURCE_COLUMNS_MAX);
	if (err != SMQ_OK)
		return err;
	err = read_header(&t, ret_why, why_len);
	if (err != SMQ_OK) {
		smq_csv_table_done(&t);
		return err;
	}
	*table = t;
	return SMQ_OK;
}

void smq_csv_table_done(struct smq_csv_table *table)
{
	for (size_t i = 0; i < table->column_count; i++)
		free(table->names[i]);
	free(table->names);
	free(table->types);
	smq_csv_done(&table->csv);
	table->names = NULL;
	table->types = NULL;
	table->column_count = 0;
}

smq_err smq_csv_table_rewind(struct smq_csv_table *table)
{
	struct smq_csv_row header;
	smq_err err = smq_csv_rewind(&table->csv);
	table->rows = 0;
	return err == SMQ_OK ? smq_csv_next(&table->csv, &header) : err;
}

static smq_err check_width(struct smq_csv_table *t, const struct smq_csv_row *row)
{
	if (row->count == t->column_count)
		return SMQ_OK;
	(void)snprintf(t->reason, sizeof(t->reason), "%zu value%s where the header names %zu column%s", row->count,
		       row->count == 1 ? "" : "s", t->column_count, t->column_count == 1 ? "" : "s");
	return SMQ_ERR_DATA;
}

smq_err smq_csv_table_next(struct smq_csv_table *table, struct smq_csv_row *ret_row, struct smq_bad_row *ret_bad)
{
	struct smq_csv_row row;
	smq_err err = smq_csv_next(&table->csv, &row);
	if (err != SMQ_OK && err != SMQ_ERR_DATA)
		return err;
	table->rows++;
	if (err == SMQ_ERR_DATA)
		(void)snprintf(table->reason, sizeof(table->reason), "%s", row.reason);
	else
		err = check_width(table, &row);
	if (err == SMQ_OK)
		*ret_row = row;
	else
		*ret_bad = (struct smq_bad_row){ row.line, table->rows, table->reason };
	return err;
}

smq_err smq_csv_table_infer(struct smq_csv_table *table, uint64_t bytes_max)
{
	struct smq_csv_row row;
	struct smq_bad_row bad;
	smq_err err = SMQ_OK;
	while (table->csv.consumed < bytes_max && err != SMQ_ERR_NOT_FOUND) {
		err = smq_csv_table_next(table, &row, &bad);
		if (err != SMQ_OK && err != SMQ_ERR_DATA && err != SMQ_ERR_NOT_FOUND)
			return err;
		for (size_t i = 0; err == SMQ_OK && i < row.count; i++)
			table->types[i] = smq_column_join(table->types[i], smq_value_type(&row.fields[i]));
	}
	table->typed = true;
	return smq_csv_table_rewind(table);
}

enum smq_column_type smq_csv_table_type(const struct smq_csv_table *table, size_t column,
					const struct smq_csv_field *field)
{
	return table->typed ? table->types[column] : smq_value_type(field);
}
