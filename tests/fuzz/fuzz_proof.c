/* Proofs of membership: one spelling each, and none of them proves somebody who is not there. */
#include "fuzz.h"

#include <string.h>

#include <sealmq/client.h>

#include "core/members_digest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t room[SMQ_MEMBER_PROOF_MAX];
	const uint8_t root[SMQ_HASH_LEN] = { 1 };
	const struct smq_member_record record = { smq_span_str("fridge-07"), 7, SMQ_MEMBER_PUBLISHES, 0, 1 };
	struct smq_member_proof proof;
	size_t len = 0;
	if (smq_member_proof_decode(smq_span_of(data, size), &proof) != SMQ_OK)
		return 0;
	FUZZ_CHECK(smq_member_proof_encode(&proof, smq_mspan_of(room, sizeof(room)), &len) == SMQ_OK);
	FUZZ_CHECK(len == size && memcmp(room, data, size) == 0);
	FUZZ_CHECK(smq_member_proof_verify(smq_crypto_openssl(), &proof, &record, proof.height, root) ==
		   SMQ_ERR_NOT_PROVEN);
	return 0;
}
