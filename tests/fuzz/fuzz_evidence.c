/* Files of evidence: any bytes are read to an end, and items have one spelling each. */
#include "fuzz.h"

#include <string.h>

#include "wire/evidence_items.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smq_reader r = smq_reader_on(smq_span_of(data, size));
	struct smq_evidence_item item;
	static uint8_t room[1 << 20];
	while (r.left > 0) {
		const uint8_t *from = r.p;
		if (smq_evidence_get(&r, &item) != SMQ_OK)
			return 0;
		size_t len = (size_t)(r.p - from);
		struct smq_writer w = smq_writer_on(smq_mspan_of(room, sizeof(room)));
		smq_evidence_put(&w, &item);
		FUZZ_CHECK(len > sizeof(room) || (w.err == SMQ_OK && w.len == len && memcmp(room, from, len) == 0));
	}
	return 0;
}
