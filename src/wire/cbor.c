/* CBOR (RFC 8949) in its deterministic form, over libcbor's streaming encoder and decoder. */
#include "wire/cbor.h"

#include <cbor/callbacks.h>
#include <cbor/encoding.h>
#include <cbor/streaming.h>

#include "base/foreign.h"
#include "base/text.h"

enum { HEAD_MAX = 9, DEPTH_MAX = 8 };

/* ---- encoding ---- */

static void put_encoded(struct smq_writer *w, const unsigned char head[HEAD_MAX], size_t len)
{
	smq_foreign_wrote(&len, sizeof(len));
	smq_foreign_wrote(head, len);
	smq_write(w, smq_span_of(head, len));
}

static void put_head(struct smq_writer *w, size_t (*encode)(size_t, unsigned char *, size_t), size_t count)
{
	unsigned char head[HEAD_MAX];
	put_encoded(w, head, encode(count, head, sizeof(head)));
}

void smq_cbor_put_uint(struct smq_writer *w, uint64_t value)
{
	unsigned char head[HEAD_MAX];
	put_encoded(w, head, cbor_encode_uint(value, head, sizeof(head)));
}

void smq_cbor_put_int(struct smq_writer *w, int64_t value)
{
	unsigned char head[HEAD_MAX];
	if (value >= 0) {
		smq_cbor_put_uint(w, (uint64_t)value);
		return;
	}
	put_encoded(w, head, cbor_encode_negint((uint64_t)(-1 - value), head, sizeof(head)));
}

void smq_cbor_put_bytes_head(struct smq_writer *w, size_t len) { put_head(w, cbor_encode_bytestring_start, len); }

void smq_cbor_put_bytes(struct smq_writer *w, smq_span bytes)
{
	smq_cbor_put_bytes_head(w, bytes.len);
	smq_write(w, bytes);
}

void smq_cbor_put_text(struct smq_writer *w, smq_span text)
{
	put_head(w, cbor_encode_string_start, text.len);
	smq_write(w, text);
}

void smq_cbor_put_array(struct smq_writer *w, size_t count) { put_head(w, cbor_encode_array_start, count); }

void smq_cbor_put_map(struct smq_writer *w, size_t pairs) { put_head(w, cbor_encode_map_start, pairs); }

void smq_cbor_put_tag(struct smq_writer *w, uint64_t tag)
{
	unsigned char head[HEAD_MAX];
	put_encoded(w, head, cbor_encode_tag(tag, head, sizeof(head)));
}

void smq_cbor_put_bool(struct smq_writer *w, bool value)
{
	unsigned char head[HEAD_MAX];
	put_encoded(w, head, cbor_encode_bool(value, head, sizeof(head)));
}

void smq_cbor_put_null(struct smq_writer *w)
{
	unsigned char head[HEAD_MAX];
	put_encoded(w, head, cbor_encode_null(head, sizeof(head)));
}

/* ---- decoding: libcbor calls back with the one item it found ---- */

struct item {
	enum smq_cbor_type type;
	uint64_t value; /* integer, length, count, tag or truth */
	const uint8_t *data;
};

static void found(void *context, enum smq_cbor_type type, uint64_t value)
{
	struct item *item;
	smq_foreign_wrote(&context, sizeof(context));
	item = context;
	item->type = type;
	item->value = value;
}

static void on_uint8(void *c, uint8_t v) { found(c, SMQ_CBOR_UINT, v); }
static void on_uint16(void *c, uint16_t v) { found(c, SMQ_CBOR_UINT, v); }
static void on_uint32(void *c, uint32_t v) { found(c, SMQ_CBOR_UINT, v); }
static void on_uint64(void *c, uint64_t v) { found(c, SMQ_CBOR_UINT, v); }
static void on_negint8(void *c, uint8_t v) { found(c, SMQ_CBOR_NEGINT, v); }
static void on_negint16(void *c, uint16_t v) { found(c, SMQ_CBOR_NEGINT, v); }
static void on_negint32(void *c, uint32_t v) { found(c, SMQ_CBOR_NEGINT, v); }
static void on_negint64(void *c, uint64_t v) { found(c, SMQ_CBOR_NEGINT, v); }
static void on_other(void *c) { found(c, SMQ_CBOR_OTHER, 0); }
static void on_array(void *c, size_t n) { found(c, SMQ_CBOR_ARRAY, n); }
static void on_map(void *c, size_t n) { found(c, SMQ_CBOR_MAP, n); }
static void on_tag(void *c, uint64_t v) { found(c, SMQ_CBOR_TAG, v); }
static void on_null(void *c) { found(c, SMQ_CBOR_NULL, 0); }
static void on_bool(void *c, bool v) { found(c, SMQ_CBOR_BOOL, v); }

static void on_float(void *c, float v)
{
	(void)v;
	on_other(c);
}

static void on_double(void *c, double v)
{
	(void)v;
	on_other(c);
}

static void on_bytes(void *c, cbor_data data, size_t n)
{
	struct item *item;
	smq_foreign_wrote(&c, sizeof(c));
	item = c;
	found(c, SMQ_CBOR_BYTES, n);
	item->data = data;
}

static void on_text(void *c, cbor_data data, size_t n)
{
	struct item *item;
	smq_foreign_wrote(&c, sizeof(c));
	item = c;
	found(c, SMQ_CBOR_TEXT, n);
	item->data = data;
}

static const struct cbor_callbacks callbacks = {
	.uint8 = on_uint8,
	.uint16 = on_uint16,
	.uint32 = on_uint32,
	.uint64 = on_uint64,
	.negint8 = on_negint8,
	.negint16 = on_negint16,
	.negint32 = on_negint32,
	.negint64 = on_negint64,
	.byte_string_start = on_other,
	.byte_string = on_bytes,
	.string = on_text,
	.string_start = on_other,
	.indef_array_start = on_other,
	.array_start = on_array,
	.indef_map_start = on_other,
	.map_start = on_map,
	.tag = on_tag,
	.float2 = on_float,
	.float4 = on_float,
	.float8 = on_double,
	.undefined = on_other,
	.null = on_null,
	.boolean = on_bool,
	.indef_break = on_other,
};

/* The shortest head holds values below 24 in the first byte, then one, two, four, eight bytes more. */
static bool shortest(uint8_t first, uint64_t value)
{
	switch (first & 31) {
	case 24:
		return value >= 24;
	case 25:
		return value > UINT8_MAX;
	case 26:
		return value > UINT16_MAX;
	case 27:
		return value > UINT32_MAX;
	default:
		return true;
	}
}

/* Decodes the next item; returns its encoded length, 0 where there is no acceptable one. */
static size_t decode(const struct smq_reader *r, struct item *item)
{
	*item = (struct item){ .type = SMQ_CBOR_OTHER };
	if (r->err != SMQ_OK || r->left == 0) {
		item->type = SMQ_CBOR_END;
		return 0;
	}
	if (r->p[0] >> 5 == 6 && (r->p[0] & 31) < 24) {
		/* libcbor 0.8 refuses the tags 6 to 20 in this form, COSE_Encrypt0 (16) among them. */
		found(item, SMQ_CBOR_TAG, r->p[0] & 31);
		return 1;
	}
	struct cbor_decoder_result res = cbor_stream_decode(r->p, r->left, &callbacks, item);
	smq_foreign_wrote(&res, sizeof(res));
	smq_foreign_wrote(item, sizeof(*item));
	if (res.status != CBOR_DECODER_FINISHED || item->type == SMQ_CBOR_OTHER) {
		item->type = res.status == CBOR_DECODER_NEDATA ? SMQ_CBOR_END : SMQ_CBOR_OTHER;
		return 0;
	}
	bool counted = r->p[0] >> 5 != 7;
	if (counted && !shortest(r->p[0], item->value)) {
		item->type = SMQ_CBOR_OTHER;
		return 0;
	}
	return res.read;
}

static struct item take(struct smq_reader *r, enum smq_cbor_type type)
{
	struct item item;
	size_t n = decode(r, &item);
	if (n == 0 || item.type != type) {
		smq_reader_fail(r, item.type == SMQ_CBOR_END ? SMQ_ERR_TRUNCATED : SMQ_ERR_MALFORMED);
		return (struct item){ .type = type };
	}
	smq_read(r, n);
	return item;
}

enum smq_cbor_type smq_cbor_peek(const struct smq_reader *r)
{
	struct item item;
	decode(r, &item);
	return item.type;
}

uint64_t smq_cbor_get_uint(struct smq_reader *r) { return take(r, SMQ_CBOR_UINT).value; }

int64_t smq_cbor_get_int(struct smq_reader *r)
{
	bool negative = smq_cbor_peek(r) == SMQ_CBOR_NEGINT;
	uint64_t value = take(r, negative ? SMQ_CBOR_NEGINT : SMQ_CBOR_UINT).value;
	if (value > INT64_MAX) {
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
		return 0;
	}
	return negative ? -1 - (int64_t)value : (int64_t)value;
}

smq_span smq_cbor_get_bytes(struct smq_reader *r)
{
	struct item item = take(r, SMQ_CBOR_BYTES);
	return smq_span_of(item.data, (size_t)item.value);
}

smq_span smq_cbor_get_text(struct smq_reader *r)
{
	struct item item = take(r, SMQ_CBOR_TEXT);
	smq_span text = smq_span_of(item.data, (size_t)item.value);
	if (!smq_utf8_valid(text)) {
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
		return smq_span_of(NULL, 0);
	}
	return text;
}

size_t smq_cbor_get_array(struct smq_reader *r) { return (size_t)take(r, SMQ_CBOR_ARRAY).value; }

size_t smq_cbor_get_map(struct smq_reader *r) { return (size_t)take(r, SMQ_CBOR_MAP).value; }

uint64_t smq_cbor_get_tag(struct smq_reader *r) { return take(r, SMQ_CBOR_TAG).value; }

bool smq_cbor_get_bool(struct smq_reader *r) { return take(r, SMQ_CBOR_BOOL).value != 0; }

void smq_cbor_get_null(struct smq_reader *r) { (void)take(r, SMQ_CBOR_NULL); }

/* Takes one item's head and says how many items it contains. */
static uint64_t skip_head(struct smq_reader *r)
{
	struct item item;
	size_t n = decode(r, &item);
	if (n == 0) {
		smq_reader_fail(r, item.type == SMQ_CBOR_END ? SMQ_ERR_TRUNCATED : SMQ_ERR_MALFORMED);
		return 0;
	}
	smq_read(r, n);
	switch (item.type) {
	case SMQ_CBOR_ARRAY:
		return item.value;
	case SMQ_CBOR_MAP:
		return item.value > r->left ? r->left + 1 : 2 * item.value;
	case SMQ_CBOR_TAG:
		return 1;
	default:
		return 0;
	}
}

smq_span smq_cbor_get_item(struct smq_reader *r)
{
	uint64_t open[DEPTH_MAX] = { 1 };
	size_t depth = 0;
	const uint8_t *start = r->p;
	size_t before = r->left;

	while (r->err == SMQ_OK) {
		while (open[depth] == 0) {
			if (depth == 0)
				return smq_span_of(start, before - r->left);
			depth--;
		}
		open[depth]--;
		uint64_t inside = skip_head(r);
		if (inside == 0)
			continue;
		if (++depth == DEPTH_MAX)
			smq_reader_fail(r, SMQ_ERR_MALFORMED);
		else
			open[depth] = inside;
	}
	return smq_span_of(NULL, 0);
}

int64_t smq_cbor_map_key(struct smq_reader *r, smq_span *prev)
{
	const uint8_t *start = r->p;
	size_t before = r->left;
	int64_t key = smq_cbor_get_int(r);
	if (r->err != SMQ_OK)
		return 0;
	smq_span now = smq_span_of(start, before - r->left);
	size_t common = now.len < prev->len ? now.len : prev->len;
	int order = common ? memcmp(prev->p, now.p, common) : -1;
	if (prev->len > 0 && order >= 0) /* encodings of equal prefix are equal: heads are prefix-free */
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
	*prev = now;
	return key;
}
