/*
 * CSV files: however they are cut into reads, the rows are the same; every field lies within its row; a broken row
 * says where and why. The input's first byte is how much one read gives.
 */
#include "fuzz.h"

#include <string.h>

#include "app/csv.h"
#include "app/json_fields.h"
#include "app/telemetry_source.h"

enum { LINE_MAX = 512, COLUMNS_MAX = 16, ROWS_MAX = 4096 };

struct bytes {
	const uint8_t *p;
	size_t len, at, step;
};

static smq_err read_bytes(void *self, void *ret_bytes, size_t room, size_t *ret_len)
{
	struct bytes *b = self;
	size_t n = b->len - b->at;
	n = n < room ? n : room;
	n = n < b->step ? n : b->step;
	memcpy(ret_bytes, b->p + b->at, n);
	b->at += n;
	*ret_len = n;
	return SMQ_OK;
}

static smq_err rewind_bytes(void *self)
{
	((struct bytes *)self)->at = 0;
	return SMQ_OK;
}

static struct smq_bytes_in in_of(struct bytes *b)
{
	return (struct smq_bytes_in){ .self = b, .size = b->len, .read = read_bytes, .rewind = rewind_bytes };
}

/* FNV-1a over all that is told of the rows. */
static uint64_t mix(uint64_t h, const void *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		h = (h ^ ((const uint8_t *)p)[i]) * UINT64_C(0x100000001b3);
	return h;
}

static uint64_t rows_of(struct bytes *b)
{
	struct smq_bytes_in in = in_of(b);
	struct smq_csv csv;
	struct smq_csv_row row;
	uint64_t h = UINT64_C(0xcbf29ce484222325), last_line = 0;
	b->at = 0;
	FUZZ_CHECK(smq_csv_init(&csv, &in, LINE_MAX, COLUMNS_MAX) == SMQ_OK);
	for (size_t i = 0; i <= b->len; i++) {
		smq_err err = smq_csv_next(&csv, &row);
		h = mix(h, &err, sizeof(err));
		if (err == SMQ_ERR_NOT_FOUND)
			break;
		FUZZ_CHECK(i < b->len); /* every call but the last takes at least a byte */
		FUZZ_CHECK(err == SMQ_OK || err == SMQ_ERR_DATA);
		FUZZ_CHECK(row.line > last_line);
		last_line = row.line;
		h = mix(h, &row.line, sizeof(row.line));
		if (err == SMQ_ERR_DATA) {
			FUZZ_CHECK(row.reason && row.reason[0]);
			continue;
		}
		FUZZ_CHECK(row.count <= COLUMNS_MAX);
		for (size_t f = 0; f < row.count; f++) {
			FUZZ_CHECK(row.fields[f].text.len <= LINE_MAX);
			h = mix(h, row.fields[f].text.p, row.fields[f].text.len);
			h = mix(h, ",", 1);
		}
	}
	smq_csv_done(&csv);
	return h;
}

/* What becomes of a row is one flat JSON object, and nothing else. */
static void check_json(smq_span json)
{
	static uint8_t decoded[65536];
	struct smq_json_field field;
	FUZZ_CHECK(json.len > 0 && json.len <= sizeof(decoded));
	struct smq_json_fields f = smq_json_fields_on(json, decoded);
	while (smq_json_fields_next(&f, &field))
		FUZZ_CHECK(field.kind != SMQ_JSON_NESTED);
	FUZZ_CHECK(smq_json_fields_end(&f) == SMQ_OK);
}

static void as_telemetry(struct bytes *b)
{
	struct smq_source_options options;
	smq_source *source;
	struct smq_record record;
	char why[256];
	struct smq_bytes_in in = in_of(b);
	b->at = 0;
	smq_source_options_init(&options);
	if (smq_source_new("csv", &in, &options, 1, 0, &source, why, sizeof(why)) != SMQ_OK) {
		FUZZ_CHECK(memchr(why, 0, sizeof(why)) != NULL);
		return;
	}
	for (int i = 0; i < ROWS_MAX && smq_source_next(source, 0, &record) == SMQ_OK; i++)
		check_json(record.json);
	smq_source_close(source);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	struct bytes b = { data + 1, size - 1, 0, size };
	uint64_t whole = rows_of(&b);
	b.step = 1u + data[0] % 64u;
	FUZZ_CHECK(rows_of(&b) == whole);
	as_telemetry(&b);
	return 0;
}
