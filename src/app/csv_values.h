/* What kind of value a text is: the types of CSV columns (FORMATS.md 6). */
#ifndef SMQ_APP_CSV_VALUES_H
#define SMQ_APP_CSV_VALUES_H

#include <sealmq/json.h>
#include <sealmq/telemetry.h>

#include "app/csv.h"

/* SMQ_COLUMN_EMPTY for a missing value: nothing at all, or a bare NA, N/A, NaN, null. */
enum smq_column_type smq_value_type(const struct smq_csv_field *field);
/* The type of a column that holds both. */
enum smq_column_type smq_column_join(enum smq_column_type a, enum smq_column_type b);
/* Whether the value is missing in a column of this type: in a text column only an empty one is. */
bool smq_value_missing(const struct smq_csv_field *field, enum smq_column_type column);
/* Writes the value as a column of this type has it; what does not fit the type is written as a string. */
void smq_value_json(struct smq_json *j, const struct smq_csv_field *field, enum smq_column_type column);
/* What the values of a column are ordered by: numbers by value, dates and times by time (seconds; zones are left out of
 * account, day before month in 25/04/2019). False for the other types. */
bool smq_value_rank(smq_span text, enum smq_column_type type, double *ret_rank);

#endif
