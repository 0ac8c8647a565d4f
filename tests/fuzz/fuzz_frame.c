/* What the key server's processes say to each other: one spelling each, texts that are texts. */
#include "fuzz.h"

#include <string.h>

#include "adapters/pipe_posix/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t room[SMQ_FRAME_MAX];
	struct smq_frame f;
	smq_err err = SMQ_OK;
	size_t len = 0;
	if (size > SMQ_FRAME_MAX || smq_frame_decode(smq_span_of(data, size), &f) != SMQ_OK)
		return 0;
	FUZZ_CHECK(smq_frame_encode(&f, smq_mspan_of(room, sizeof(room)), &len) == SMQ_OK);
	FUZZ_CHECK(len == size && memcmp(room, data, size) == 0);
	if (f.kind == SMQ_FRAME_PUBLISH || f.kind == SMQ_FRAME_MESSAGE)
		FUZZ_CHECK(strlen(smq_frame_text(&f, 0)) == f.parts[0].len);
	if (smq_frame_err(f.numbers[0], &err) == SMQ_OK)
		FUZZ_CHECK((uint64_t)err == f.numbers[0]);
	return 0;
}
