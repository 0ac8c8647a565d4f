/*
 * The examples of RFC 8949, appendix A, through our CBOR: what is deterministic and of a type that we speak is read
 * and written again byte for byte; what is not (floats, undefined, other simple values, indefinite lengths) is refused.
 */
#include "tally.h"

#include "base/table.h"
#include "wire/cbor.h"

static const struct {
	bool ours;
	const char *hex;
} examples[] = {
	{ true, "00" },
	{ true, "01" },
	{ true, "0a" },
	{ true, "17" },
	{ true, "1818" },
	{ true, "1819" },
	{ true, "1864" },
	{ true, "1903e8" },
	{ true, "1a000f4240" },
	{ true, "1b000000e8d4a51000" },
	{ true, "1bffffffffffffffff" },
	{ true, "c249010000000000000000" },
	{ false, "3bffffffffffffffff" }, /* below INT64_MIN */
	{ true, "c349010000000000000000" },
	{ true, "20" },
	{ true, "29" },
	{ true, "3863" },
	{ true, "3903e7" },
	{ false, "f90000" },
	{ false, "f98000" },
	{ false, "f93c00" },
	{ false, "fb3ff199999999999a" },
	{ false, "f93e00" },
	{ false, "f97bff" },
	{ false, "fa47c35000" },
	{ false, "fa7f7fffff" },
	{ false, "fb7e37e43c8800759c" },
	{ false, "f90001" },
	{ false, "f90400" },
	{ false, "f9c400" },
	{ false, "fbc010666666666666" },
	{ false, "f97c00" },
	{ false, "f97e00" },
	{ false, "f9fc00" },
	{ false, "fa7f800000" },
	{ false, "fa7fc00000" },
	{ false, "faff800000" },
	{ false, "fb7ff0000000000000" },
	{ false, "fb7ff8000000000000" },
	{ false, "fbfff0000000000000" },
	{ true, "f4" },
	{ true, "f5" },
	{ true, "f6" },
	{ false, "f7" },
	{ false, "f0" },
	{ false, "f8ff" },
	{ true, "c074323031332d30332d32315432303a30343a30305a" },
	{ true, "c11a514b67b0" },
	{ false, "c1fb41d452d9ec200000" },
	{ true, "d74401020304" },
	{ true, "d818456449455446" },
	{ true, "d82076687474703a2f2f7777772e6578616d706c652e636f6d" },
	{ true, "40" },
	{ true, "4401020304" },
	{ true, "60" },
	{ true, "6161" },
	{ true, "6449455446" },
	{ true, "62225c" },
	{ true, "62c3bc" },
	{ true, "63e6b0b4" },
	{ true, "64f0908591" },
	{ true, "80" },
	{ true, "83010203" },
	{ true, "8301820203820405" },
	{ true, "98190102030405060708090a0b0c0d0e0f101112131415161718181819" },
	{ true, "a0" },
	{ true, "a201020304" },
	{ true, "a26161016162820203" },
	{ true, "826161a161626163" },
	{ true, "a56161614161626142616361436164614461656145" },
	{ false, "5f42010243030405ff" },
	{ false, "7f657374726561646d696e67ff" },
	{ false, "9fff" },
	{ false, "9f018202039f0405ffff" },
	{ false, "9f01820203820405ff" },
	{ false, "83018202039f0405ff" },
	{ false, "83019f0203ff820405" },
	{ false, "9f0102030405060708090a0b0c0d0e0f101112131415161718181819ff" },
	{ false, "bf61610161629f0203ffff" },
	{ false, "826161bf61626163ff" },
	{ false, "bf6346756ef563416d7421ff" },
};

static void copy_items(struct smq_reader *r, struct smq_writer *w, size_t count);

static void copy_item(struct smq_reader *r, struct smq_writer *w)
{
	size_t count;
	switch (smq_cbor_peek(r)) {
	case SMQ_CBOR_UINT:
		smq_cbor_put_uint(w, smq_cbor_get_uint(r));
		break;
	case SMQ_CBOR_NEGINT:
		smq_cbor_put_int(w, smq_cbor_get_int(r));
		break;
	case SMQ_CBOR_BYTES:
		smq_cbor_put_bytes(w, smq_cbor_get_bytes(r));
		break;
	case SMQ_CBOR_TEXT:
		smq_cbor_put_text(w, smq_cbor_get_text(r));
		break;
	case SMQ_CBOR_ARRAY:
		count = smq_cbor_get_array(r);
		smq_cbor_put_array(w, count);
		copy_items(r, w, count);
		break;
	case SMQ_CBOR_MAP:
		count = smq_cbor_get_map(r);
		smq_cbor_put_map(w, count);
		copy_items(r, w, 2 * count);
		break;
	case SMQ_CBOR_TAG:
		smq_cbor_put_tag(w, smq_cbor_get_tag(r));
		copy_item(r, w);
		break;
	case SMQ_CBOR_BOOL:
		smq_cbor_put_bool(w, smq_cbor_get_bool(r));
		break;
	case SMQ_CBOR_NULL:
		smq_cbor_get_null(r);
		smq_cbor_put_null(w);
		break;
	case SMQ_CBOR_END:
	case SMQ_CBOR_OTHER:
		smq_cbor_get_item(r); /* fails */
		break;
	}
}

static void copy_items(struct smq_reader *r, struct smq_writer *w, size_t count)
{
	for (; count > 0 && r->err == SMQ_OK; count--)
		copy_item(r, w);
}

void run_cbor_appendix_a(const char *path, struct tally *t)
{
	for (size_t i = 0; i < SMQ_COUNT(examples); i++) {
		struct vector_bytes in = vector_unhex(examples[i].hex);
		uint8_t out[64];
		struct smq_reader r = smq_reader_on(vector_span(&in)), whole = smq_reader_on(vector_span(&in));
		struct smq_writer w = smq_writer_on(smq_mspan_of(out, sizeof(out)));
		copy_item(&r, &w);
		bool taken = smq_reader_end(&r) == SMQ_OK && w.err == SMQ_OK;
		bool same = taken && smq_span_equal(vector_span(&in), smq_span_of(out, w.len));
		/* An item that is passed over unread is held to the same rules, except that -2^64 has a place. */
		smq_cbor_get_item(&whole);
		if (examples[i].ours)
			same = same && smq_reader_end(&whole) == SMQ_OK;
		tally_add(t, path, (int)i, examples[i].ours ? "valid" : "invalid", taken, same);
	}
}
