/* Commands and acknowledgements: one spelling each. */
#include "fuzz.h"

#include <string.h>

#include "wire/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t room[SMQ_COMMAND_MAX];
	struct smq_command_document command;
	struct smq_ack_document ack;
	size_t len = 0;
	if (smq_command_decode(smq_span_of(data, size), &command) == SMQ_OK) {
		FUZZ_CHECK(command.expires_ms > command.issued_ms);
		FUZZ_CHECK(smq_command_encode(&command, smq_mspan_of(room, sizeof(room)), &len) == SMQ_OK);
		FUZZ_CHECK(len == size && memcmp(room, data, size) == 0);
	}
	if (smq_ack_decode(smq_span_of(data, size), &ack) == SMQ_OK) {
		FUZZ_CHECK(smq_ack_encode(&ack, smq_mspan_of(room, sizeof(room)), &len) == SMQ_OK);
		FUZZ_CHECK(len == size && memcmp(room, data, size) == 0);
	}
	(void)smq_command_topic_read("sealmq/plant", smq_span_of(data, size), NULL, NULL);
	return 0;
}
