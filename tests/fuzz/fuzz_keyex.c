/* The envelope of key-exchange messages: one spelling each. */
#include "fuzz.h"

#include <string.h>

#include "base/text.h"
#include "wire/keyex.h"

enum { ROOM = 16384 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t room[ROOM];
	struct smq_keyex message;
	size_t len = 0;
	if (size > ROOM || smq_keyex_decode(smq_span_of(data, size), &message) != SMQ_OK)
		return 0;
	FUZZ_CHECK(smq_name_valid(message.from) && smq_name_valid(message.to));
	FUZZ_CHECK(smq_keyex_encode(&message, smq_mspan_of(room, sizeof(room)), &len) == SMQ_OK);
	FUZZ_CHECK(len == size && memcmp(room, data, size) == 0);
	return 0;
}
