/*
 * CBOR (RFC 8949) in its deterministic form, over libcbor's streaming encoder
 * and decoder; nothing is allocated.
 *
 * Encoding goes through struct smq_writer, decoding through struct smq_reader:
 * both remember their first failure and are asked once, at the end. Decoding
 * refuses (SMQ_ERR_MALFORMED) indefinite lengths, integers and lengths that are
 * not in their shortest form, and a type other than the one asked for; maps are
 * read with smq_cbor_map_key, which refuses duplicate and unsorted keys.
 */
#ifndef SMQ_WIRE_CBOR_H
#define SMQ_WIRE_CBOR_H

#include <stdbool.h>

#include "base/reader.h"
#include "base/writer.h"

enum smq_cbor_type {
	SMQ_CBOR_UINT,
	SMQ_CBOR_NEGINT,
	SMQ_CBOR_BYTES,
	SMQ_CBOR_TEXT,
	SMQ_CBOR_ARRAY,
	SMQ_CBOR_MAP,
	SMQ_CBOR_TAG,
	SMQ_CBOR_BOOL,
	SMQ_CBOR_NULL,
	SMQ_CBOR_END,   /* nothing left */
	SMQ_CBOR_OTHER  /* floats, undefined, break, malformed: refused wherever we read */
};

void smq_cbor_put_uint(struct smq_writer *w, uint64_t value);
void smq_cbor_put_int(struct smq_writer *w, int64_t value);
void smq_cbor_put_bytes(struct smq_writer *w, smq_span bytes);
void smq_cbor_put_bytes_head(struct smq_writer *w, size_t len); /* the len bytes follow by smq_write */
void smq_cbor_put_text(struct smq_writer *w, smq_span text);
void smq_cbor_put_array(struct smq_writer *w, size_t count);
void smq_cbor_put_map(struct smq_writer *w, size_t pairs);
void smq_cbor_put_tag(struct smq_writer *w, uint64_t tag);
void smq_cbor_put_bool(struct smq_writer *w, bool value);
void smq_cbor_put_null(struct smq_writer *w);

/*
 * For the message path, where the room is known to be enough: writes a head of the major type (0 unsigned integer, 2
 * bytes, 3 text) and returns where it ends, at most SMQ_CBOR_HEAD32_MAX bytes on.
 */
enum { SMQ_CBOR_HEAD32_MAX = 5, SMQ_CBOR_FALSE = 0xf4, SMQ_CBOR_TRUE = 0xf5, SMQ_CBOR_NOTHING = 0xf6 };
static inline uint8_t *smq_cbor_head32(uint8_t *at, unsigned major, uint32_t value)
{
	unsigned first = major << 5;
	if (value < 24) {
		*at++ = (uint8_t)(first | value);
		return at;
	}
	if (value <= UINT8_MAX) {
		*at++ = (uint8_t)(first | 24);
	} else if (value <= UINT16_MAX) {
		*at++ = (uint8_t)(first | 25);
		*at++ = (uint8_t)(value >> 8);
	} else {
		*at++ = (uint8_t)(first | 26);
		*at++ = (uint8_t)(value >> 24);
		*at++ = (uint8_t)(value >> 16);
		*at++ = (uint8_t)(value >> 8);
	}
	*at++ = (uint8_t)value;
	return at;
}

/* The type of the next item, which stays unread. */
enum smq_cbor_type smq_cbor_peek(const struct smq_reader *r);

uint64_t smq_cbor_get_uint(struct smq_reader *r);
int64_t smq_cbor_get_int(struct smq_reader *r);
smq_span smq_cbor_get_bytes(struct smq_reader *r); /* a view into the input */
smq_span smq_cbor_get_text(struct smq_reader *r);  /* a view into the input; valid UTF-8 */
size_t smq_cbor_get_array(struct smq_reader *r);
size_t smq_cbor_get_map(struct smq_reader *r);
uint64_t smq_cbor_get_tag(struct smq_reader *r);
bool smq_cbor_get_bool(struct smq_reader *r);
void smq_cbor_get_null(struct smq_reader *r);

/* One whole item, nested ones included (depth at most 8), as a view of its encoded bytes. */
smq_span smq_cbor_get_item(struct smq_reader *r);

/*
 * Reads the next key of a map with integer keys. Pass the previous key's encoded
 * bytes in *prev (empty before the first): keys must rise in the bytewise order
 * of their encodings (RFC 8949, 4.2.1), so a duplicate is refused too.
 */
int64_t smq_cbor_map_key(struct smq_reader *r, smq_span *prev);

#endif
