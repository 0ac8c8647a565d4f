/*
 * Rows of a CSV file by RFC 4180, in bounded memory.
 *
 * Beyond the standard: LF for CRLF, a byte order mark, a last line without an
 * end, blanks around values (dropped, unless inside quotes), blank lines
 * (skipped). A row that breaks the rules costs its first line only: reading goes
 * on with the next line, so that one stray quote does not swallow the file.
 */
#ifndef SMQ_APP_CSV_H
#define SMQ_APP_CSV_H

#include <stdbool.h>

#include <sealmq/span.h>

#include "app/bytes_in.h"

enum smq_csv_state { SMQ_CSV_FIELD_START, SMQ_CSV_BARE, SMQ_CSV_QUOTED, SMQ_CSV_QUOTE, SMQ_CSV_AFTER_QUOTE };

struct smq_csv_field {
	smq_span text; /* trimmed, quotes removed */
	bool quoted;
};

struct smq_csv {
	const struct smq_bytes_in *in;
	uint8_t *buf;
	size_t room, line_max;
	size_t start, end; /* unread bytes of buf */
	bool begun, eof, skipping;
	uint64_t line;     /* of buf[start], from 1 */
	uint64_t consumed; /* bytes of the file before buf[start] */
	struct smq_csv_field *fields;
	size_t field_room;
	/* the row being scanned, offsets from start */
	enum smq_csv_state state;
	size_t scanned, first_line_len;
	const char *bad;
};

struct smq_csv_row {
	struct smq_csv_field *fields; /* valid until the next call */
	size_t count;
	uint64_t line;      /* where it begins */
	const char *reason; /* of SMQ_ERR_DATA */
};

SMQ_MUST_USE smq_err smq_csv_init(struct smq_csv *csv, const struct smq_bytes_in *in, size_t line_max,
				  size_t columns_max);
void smq_csv_done(struct smq_csv *csv);
/* Back to the first byte. SMQ_ERR_UNSUPPORTED where the input cannot. */
SMQ_MUST_USE smq_err smq_csv_rewind(struct smq_csv *csv);
/* SMQ_ERR_NOT_FOUND: the end. SMQ_ERR_DATA: a broken row, told in reason and line; the next call goes on after it.
 * Unlike elsewhere, line and reason are filled in then. */
SMQ_MUST_USE smq_err smq_csv_next(struct smq_csv *csv, struct smq_csv_row *ret_row);

#endif
