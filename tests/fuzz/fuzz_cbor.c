/* CBOR: what the strict decoder takes has one encoding, ours. */
#include "fuzz.h"

#include <string.h>

#include "wire/cbor.h"

enum { DEPTH_MAX = 10, ROOM = 4096 };

static void copy_item(struct smq_reader *r, struct smq_writer *w, int depth);

static void copy_map(struct smq_reader *r, struct smq_writer *w, int depth)
{
	size_t pairs = smq_cbor_get_map(r);
	smq_cbor_put_map(w, pairs);
	for (size_t i = 0; i < 2 * pairs && smq_cbor_peek(r) != SMQ_CBOR_END; i++)
		copy_item(r, w, depth + 1);
}

static void copy_array(struct smq_reader *r, struct smq_writer *w, int depth)
{
	size_t count = smq_cbor_get_array(r);
	smq_cbor_put_array(w, count);
	for (size_t i = 0; i < count && smq_cbor_peek(r) != SMQ_CBOR_END; i++)
		copy_item(r, w, depth + 1);
}

static void copy_item(struct smq_reader *r, struct smq_writer *w, int depth)
{
	FUZZ_CHECK(depth <= DEPTH_MAX);
	switch (smq_cbor_peek(r)) {
	case SMQ_CBOR_UINT:
		smq_cbor_put_uint(w, smq_cbor_get_uint(r));
		return;
	case SMQ_CBOR_NEGINT:
		smq_cbor_put_int(w, smq_cbor_get_int(r));
		return;
	case SMQ_CBOR_BYTES:
		smq_cbor_put_bytes(w, smq_cbor_get_bytes(r));
		return;
	case SMQ_CBOR_TEXT:
		smq_cbor_put_text(w, smq_cbor_get_text(r));
		return;
	case SMQ_CBOR_ARRAY:
		copy_array(r, w, depth);
		return;
	case SMQ_CBOR_MAP:
		copy_map(r, w, depth);
		return;
	case SMQ_CBOR_TAG:
		smq_cbor_put_tag(w, smq_cbor_get_tag(r));
		copy_item(r, w, depth);
		return;
	case SMQ_CBOR_BOOL:
		smq_cbor_put_bool(w, smq_cbor_get_bool(r));
		return;
	case SMQ_CBOR_NULL:
		smq_cbor_get_null(r);
		smq_cbor_put_null(w);
		return;
	case SMQ_CBOR_END:
	case SMQ_CBOR_OTHER:
		break;
	}
	smq_reader_fail(r, SMQ_ERR_MALFORMED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t room[ROOM];
	if (size > ROOM)
		return 0;
	struct smq_reader outer = smq_reader_on(smq_span_of(data, size));
	smq_span item = smq_cbor_get_item(&outer);
	if (smq_reader_end(&outer) != SMQ_OK)
		return 0;
	FUZZ_CHECK(item.len == size);
	struct smq_reader inner = smq_reader_on(item);
	struct smq_writer w = smq_writer_on(smq_mspan_of(room, sizeof(room)));
	copy_item(&inner, &w, 0);
	if (smq_reader_end(&inner) != SMQ_OK)
		return 0;
	size_t len = 0;
	FUZZ_CHECK(smq_writer_end(&w, &len) == SMQ_OK);
	FUZZ_CHECK(len == size && memcmp(room, data, size) == 0);
	return 0;
}
