/* Manifests, and the state of their chain (first byte 0x85): one spelling each. */
#include "fuzz.h"

#include <string.h>

#include "base/text.h"
#include "core/manifest_chain.h"

static void state(const uint8_t *data, size_t size)
{
	struct smq_manifest_chain chain;
	uint8_t room[SMQ_MANIFEST_CHAIN_MAX];
	size_t len = 0;
	if (smq_manifest_chain_decode(smq_span_of(data, size), &chain) != SMQ_OK)
		return;
	FUZZ_CHECK(chain.epoch > 0 && smq_name_valid(smq_span_str(chain.signer)));
	FUZZ_CHECK(smq_manifest_chain_encode(&chain, smq_mspan_of(room, sizeof(room)), &len) == SMQ_OK);
	FUZZ_CHECK(len == size && memcmp(room, data, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smq_manifest manifest;
	uint8_t room[SMQ_MANIFEST_MAX];
	size_t len = 0;
	state(data, size);
	if (smq_manifest_decode(smq_span_of(data, size), &manifest) != SMQ_OK)
		return 0;
	FUZZ_CHECK(manifest.previous_epoch < manifest.epoch && manifest.activate_at_ms < manifest.expires_ms);
	FUZZ_CHECK(smq_manifest_encode(&manifest, smq_mspan_of(room, sizeof(room)), &len) == SMQ_OK);
	FUZZ_CHECK(len == size && memcmp(room, data, size) == 0);
	return 0;
}
