/* Policies: one spelling each, no question to one that is taken goes wrong, no grant exceeds what was asked for. */
#include "fuzz.h"

#include <string.h>

#include "base/text.h"
#include "core/policy.h"

static void ask(const struct smq_policy *p)
{
	int64_t from = 0, until = 0;
	smq_span name = smq_span_str("fridge-07");
	(void)smq_policy_may(p, name, SMQ_ROLE_MEMBER, SMQ_MAY_PUBLISH, smq_span_str("plant/a/temp"));
	(void)smq_policy_may(p, name, 0, SMQ_MAY_SUBSCRIBE, smq_span_str("plant/alarms/x"));
	if (smq_policy_grant(p, INT64_MIN, INT64_MAX, 1000, INT64_MAX - 1, &from, &until) == SMQ_OK)
		FUZZ_CHECK(from == 1000 && until > from && until < INT64_MAX);
	uint64_t oldest = smq_policy_oldest_epoch(p, 3, 9);
	FUZZ_CHECK(oldest >= 1 && oldest <= 9);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t room[SMQ_POLICY_MAX];
	struct smq_policy policy, made;
	size_t len = 0;
	if (smq_policy_decode(smq_span_of(data, size), &policy) != SMQ_OK)
		return 0;
	FUZZ_CHECK(smq_policy_encode(&policy, smq_mspan_of(room, sizeof(room)), &len) == SMQ_OK);
	FUZZ_CHECK(len == size && memcmp(room, data, size) == 0);
	ask(&policy);
	if (smq_policy_instantiate(&policy, smq_span_str("room-12"), smq_mspan_of(room, sizeof(room)), &made) == SMQ_OK)
		ask(&made);
	return 0;
}
