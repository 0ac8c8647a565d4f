/* Sealed messages: each has one compact and one expanded spelling, and the two lead to each other. */
#include "fuzz.h"

#include <string.h>

#include "wire/sealed.h"

enum { MESSAGE_MAX = 4096, ROOM = MESSAGE_MAX + 256 };

static void check_same_fields(const struct smq_sealed *a, const struct smq_sealed *b)
{
	FUZZ_CHECK(a->kind == b->kind && a->alg == b->alg && a->epoch == b->epoch && a->slot == b->slot);
	FUZZ_CHECK(memcmp(a->key_id, b->key_id, sizeof(a->key_id)) == 0 && a->sender_id == b->sender_id);
	FUZZ_CHECK(memcmp(a->boot_id, b->boot_id, sizeof(a->boot_id)) == 0 && a->counter == b->counter);
	FUZZ_CHECK(a->has_stamp == b->has_stamp && a->stamp == b->stamp);
	FUZZ_CHECK(smq_span_equal(a->ciphertext, b->ciphertext) && smq_span_equal(a->signature, b->signature));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t compact[ROOM], cose[ROOM];
	struct smq_sealed first, again;
	size_t compact_len = 0, cose_len = 0;
	if (size > MESSAGE_MAX || smq_sealed_decode(smq_span_of(data, size), &first) != SMQ_OK)
		return 0;
	FUZZ_CHECK(first.alg && first.ciphertext.len >= first.alg->tag_len);
	FUZZ_CHECK(smq_sealed_encode(&first, smq_mspan_of(compact, sizeof(compact)), &compact_len) == SMQ_OK);
	FUZZ_CHECK(smq_sealed_encode_cose(&first, smq_mspan_of(cose, sizeof(cose)), &cose_len) == SMQ_OK);
	const uint8_t *same = (data[0] & 0xc0) == 0x80 ? compact : cose;
	FUZZ_CHECK(size == (same == compact ? compact_len : cose_len) && memcmp(same, data, size) == 0);
	FUZZ_CHECK(smq_sealed_decode(smq_span_of(compact, compact_len), &again) == SMQ_OK);
	check_same_fields(&first, &again);
	FUZZ_CHECK(smq_sealed_decode(smq_span_of(cose, cose_len), &again) == SMQ_OK);
	check_same_fields(&first, &again);
	return 0;
}
