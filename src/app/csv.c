/* Reading CSV rows: first find where a row ends, then cut it into values in place. */
#include "app/csv.h"

#include <stdlib.h>

#include "base/text.h"

enum { CHUNK = 1 << 16 };

static const char not_closed[] = "a quote that is never closed";
static const char too_long[] = "longer than the limit for one row";

static void begin_row(struct smq_csv *csv)
{
	csv->state = SMQ_CSV_FIELD_START;
	csv->scanned = 0;
	csv->first_line_len = 0;
	csv->bad = NULL;
}

smq_err smq_csv_init(struct smq_csv *csv, const struct smq_bytes_in *in, size_t line_max, size_t columns_max)
{
	struct smq_csv c = {
		.in = in, .line_max = line_max, .room = line_max + CHUNK, .field_room = columns_max, .line = 1
	};
	c.buf = malloc(c.room);
	c.fields = calloc(columns_max, sizeof(*c.fields));
	if (!c.buf || !c.fields) {
		smq_csv_done(&c);
		return SMQ_ERR_NO_MEMORY;
	}
	begin_row(&c);
	*csv = c;
	return SMQ_OK;
}

void smq_csv_done(struct smq_csv *csv)
{
	free(csv->buf);
	free(csv->fields);
	csv->buf = NULL;
	csv->fields = NULL;
}

smq_err smq_csv_rewind(struct smq_csv *csv)
{
	if (!csv->in->rewind)
		return SMQ_ERR_UNSUPPORTED;
	smq_err err = csv->in->rewind(csv->in->self);
	if (err != SMQ_OK)
		return err;
	csv->start = csv->end = 0;
	csv->eof = csv->skipping = csv->begun = false;
	csv->line = 1;
	csv->consumed = 0;
	begin_row(csv);
	return SMQ_OK;
}

/* Drops len bytes at the front. */
static void consume(struct smq_csv *csv, size_t len)
{
	for (const uint8_t *p = csv->buf + csv->start, *end = p + len; (p = memchr(p, '\n', (size_t)(end - p))); p++)
		csv->line++;
	csv->start += len;
	csv->consumed += len;
	begin_row(csv);
}

static smq_err fill(struct smq_csv *csv)
{
	size_t got;
	if (csv->room - csv->end < CHUNK / 2) {
		memmove(csv->buf, csv->buf + csv->start, csv->end - csv->start);
		csv->end -= csv->start;
		csv->start = 0;
	}
	smq_err err = csv->in->read(csv->in->self, csv->buf + csv->end, csv->room - csv->end, &got);
	if (err != SMQ_OK)
		return err;
	csv->eof = got == 0;
	csv->end += got;
	return SMQ_OK;
}

static bool blank(uint8_t c) { return c == ' ' || c == '\t'; }

/* One step of RFC 4180's grammar; a newline outside quotes never gets here. */
static enum smq_csv_state step(enum smq_csv_state state, uint8_t c, const char **bad)
{
	if (state == SMQ_CSV_QUOTED)
		return c == '"' ? SMQ_CSV_QUOTE : SMQ_CSV_QUOTED;
	if (state == SMQ_CSV_QUOTE && c == '"')
		return SMQ_CSV_QUOTED;
	if (c == ',')
		return SMQ_CSV_FIELD_START;
	switch (state) {
	case SMQ_CSV_FIELD_START:
		return c == '"' ? SMQ_CSV_QUOTED : blank(c) ? SMQ_CSV_FIELD_START : SMQ_CSV_BARE;
	case SMQ_CSV_QUOTE:
	case SMQ_CSV_AFTER_QUOTE:
		if (!blank(c) && c != '\r')
			*bad = "text after a closing quote";
		return SMQ_CSV_AFTER_QUOTE;
	default:
		if (c == '"')
			*bad = "a quote inside a value that does not begin with one";
		return SMQ_CSV_BARE;
	}
}

/* Goes on through the unread bytes; true once the row's length (with its newline) is known. */
static bool scan(struct smq_csv *csv, size_t *ret_len)
{
	const uint8_t *p = csv->buf + csv->start;
	size_t len = csv->end - csv->start;
	for (; csv->scanned < len; csv->scanned++) {
		uint8_t c = p[csv->scanned];
		if (c == '\n' && csv->first_line_len == 0)
			csv->first_line_len = csv->scanned + 1;
		if (c == '\n' && (csv->state != SMQ_CSV_QUOTED || csv->bad)) {
			*ret_len = csv->scanned + 1;
			return true;
		}
		csv->state = step(csv->state, c, &csv->bad);
		if (csv->bad && csv->first_line_len > 0) {
			*ret_len = csv->first_line_len;
			return true;
		}
	}
	return false;
}

/* A row that ends with the file, or that grows past the limit. */
static bool give_up(struct smq_csv *csv, size_t *ret_len)
{
	size_t len = csv->end - csv->start;
	if (!csv->eof && len <= csv->line_max)
		return false;
	if (csv->state == SMQ_CSV_QUOTED)
		csv->bad = not_closed;
	else if (!csv->eof)
		csv->bad = too_long;
	csv->skipping = !csv->eof && csv->first_line_len == 0;
	*ret_len = csv->bad && csv->first_line_len > 0 ? csv->first_line_len : len;
	return true;
}

/* The rest of a line whose beginning was refused already. */
static smq_err skip_line(struct smq_csv *csv)
{
	while (csv->skipping) {
		const uint8_t *p = csv->buf + csv->start;
		const uint8_t *newline = memchr(p, '\n', csv->end - csv->start);
		consume(csv, newline ? (size_t)(newline - p) + 1 : csv->end - csv->start);
		csv->skipping = !newline && !csv->eof;
		smq_err err = csv->skipping ? fill(csv) : SMQ_OK;
		if (err != SMQ_OK)
			return err;
	}
	return SMQ_OK;
}

/* Takes one value in quotes, collapsing doubled ones in place; p stands on the opening quote. */
static uint8_t *take_quoted(uint8_t *p, const uint8_t *end, struct smq_csv_field *field)
{
	uint8_t *out = ++p;
	uint8_t *first = p;
	while (p < end && !(*p == '"' && (p + 1 == end || p[1] != '"'))) {
		if (*p == '"')
			p++;
		*out++ = *p++;
	}
	field->text = smq_span_of(first, (size_t)(out - first));
	field->quoted = true;
	while (p < end && *p != ',')
		p++;
	return p;
}

static uint8_t *take_bare(uint8_t *p, const uint8_t *end, struct smq_csv_field *field)
{
	uint8_t *comma = memchr(p, ',', (size_t)(end - p));
	uint8_t *stop = comma ? comma : p + (end - p);
	size_t len = (size_t)(stop - p);
	while (len > 0 && blank(p[len - 1]))
		len--;
	field->text = smq_span_of(p, len);
	field->quoted = false;
	return stop;
}

/* Returns the number of values; more than there is room for are counted but not kept. */
static size_t split(struct smq_csv *csv, uint8_t *p, size_t len)
{
	uint8_t *end = p + len;
	size_t count = 0;
	for (;;) {
		struct smq_csv_field field;
		while (p < end && blank(*p))
			p++;
		p = p < end && *p == '"' ? take_quoted(p, end, &field) : take_bare(p, end, &field);
		if (count < csv->field_room)
			csv->fields[count] = field;
		count++;
		if (p == end)
			return count;
		p++;
	}
}

static size_t without_line_end(const uint8_t *p, size_t len)
{
	if (len > 0 && p[len - 1] == '\n')
		len--;
	if (len > 0 && p[len - 1] == '\r')
		len--;
	return len;
}

static bool is_blank_line(const uint8_t *p, size_t len)
{
	while (len > 0 && blank(p[len - 1]))
		len--;
	return len == 0;
}

/* Makes the found row of len bytes the answer. */
static smq_err deliver(struct smq_csv *csv, size_t len, struct smq_csv_row *ret_row)
{
	uint8_t *p = csv->buf + csv->start;
	struct smq_csv_row row = { .fields = csv->fields, .line = csv->line, .reason = csv->bad };
	size_t text_len = without_line_end(p, len);
	if (!row.reason && text_len > csv->line_max)
		row.reason = too_long;
	if (!row.reason && !smq_utf8_valid(smq_span_of(p, text_len)))
		row.reason = "not UTF-8, or a zero byte in it";
	consume(csv, len); /* counts lines, so before anything is changed in place; the bytes stay where they are */
	if (!row.reason) {
		row.count = split(csv, p, text_len);
		if (row.count > csv->field_room)
			row.reason = "more values than columns are allowed";
	}
	*ret_row = row;
	return row.reason ? SMQ_ERR_DATA : SMQ_OK;
}

/* Pipes may hand out single bytes. */
static smq_err drop_byte_order_mark(struct smq_csv *csv)
{
	smq_err err = SMQ_OK;
	while (err == SMQ_OK && !csv->eof && csv->end < 3)
		err = fill(csv);
	if (csv->end >= 3 && memcmp(csv->buf, "\xef\xbb\xbf", 3) == 0)
		consume(csv, 3);
	csv->begun = err == SMQ_OK;
	return err;
}

static smq_err find_row(struct smq_csv *csv, size_t *ret_len)
{
	while (!scan(csv, ret_len)) {
		if (give_up(csv, ret_len))
			return *ret_len > 0 ? SMQ_OK : SMQ_ERR_NOT_FOUND;
		smq_err err = fill(csv);
		if (err != SMQ_OK)
			return err;
	}
	return SMQ_OK;
}

smq_err smq_csv_next(struct smq_csv *csv, struct smq_csv_row *ret_row)
{
	for (;;) {
		size_t len;
		smq_err err = csv->begun ? skip_line(csv) : drop_byte_order_mark(csv);
		if (err == SMQ_OK)
			err = find_row(csv, &len);
		if (err != SMQ_OK)
			return err;
		const uint8_t *p = csv->buf + csv->start;
		if (csv->bad || !is_blank_line(p, without_line_end(p, len)))
			return deliver(csv, len, ret_row);
		consume(csv, len);
	}
}
