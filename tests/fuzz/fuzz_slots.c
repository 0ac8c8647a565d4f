/* Slot seeds: one spelling each, always an interval, and a holder takes them and forgets them at any floor. */
#include "fuzz.h"

#include <string.h>

#include <sealmq/client.h>

#include "core/slots.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smq_slot_seeds seeds;
	struct smq_slot_holder holder;
	struct smq_slot_key key;
	uint8_t room[SMQ_SLOT_SEEDS_BYTES_MAX];
	size_t len = 0;
	if (smq_slot_seeds_decode(smq_span_of(data, size), SMQ_SLOT_LEVELS, &seeds) != SMQ_OK)
		return 0;
	FUZZ_CHECK(smq_slot_seeds_encode(&seeds, smq_mspan_of(room, sizeof(room)), &len) == SMQ_OK);
	FUZZ_CHECK(len == size && memcmp(room, data, size) == 0);
	if (seeds.count == 0)
		return 0;
	uint64_t first = smq_slot_seed_first(&seeds.seeds[0]), last = smq_slot_seed_last(&seeds.seeds[seeds.count - 1]);
	FUZZ_CHECK(last >> SMQ_SLOT_LEVELS == 0);
	uint64_t middle = first + (last - first) / 3;
	FUZZ_CHECK(smq_slot_holder_init(&holder, smq_crypto_openssl(), 0, SMQ_SLOT_LEVELS, middle, &seeds) == SMQ_OK);
	FUZZ_CHECK(smq_slot_holder_key(&holder, last, &key) == SMQ_OK);
	FUZZ_CHECK(smq_slot_holder_key(&holder, middle, &key) == SMQ_OK);
	FUZZ_CHECK(middle == 0 || smq_slot_holder_key(&holder, middle - 1, &key) == SMQ_ERR_STALE_EPOCH);
	FUZZ_CHECK(smq_slot_holder_key(&holder, last + 1, &key) == SMQ_ERR_NO_KEY);
	return 0;
}
