/* The algorithms SealMQ knows, one row each. */
#include <sealmq/crypto.h>

#include "base/hot.h"
#include "base/table.h"

/*
 * Message limits: RFC 8446's 2^24.5 full records of 2^14 bytes for GCM bound the
 * advantage at 2^-57; with MQTT payloads up to 2^28 bytes we stop at 2^32 messages
 * for all, far below the bound for telemetry-sized ones, and the rotation comes
 * long before. CCM is used for single EDHOC messages only.
 */
static const struct smq_aead_alg algs[] = {
	{ SMQ_A128GCM, "A128GCM", 16, 12, 16, UINT64_C(1) << 32 },
	{ SMQ_A256GCM, "A256GCM", 32, 12, 16, UINT64_C(1) << 32 },
	{ SMQ_CHACHA20_POLY1305, "ChaCha20-Poly1305", 32, 12, 16, UINT64_C(1) << 32 },
	{ SMQ_AES_CCM_16_64_128, "AES-CCM-16-64-128", 16, 13, 8, 1 },
	{ SMQ_AES_CCM_16_128_128, "AES-CCM-16-128-128", 16, 13, 16, 1 },
};

SMQ_HOT const struct smq_aead_alg *smq_aead_alg_by_id(int id)
{
	for (size_t i = 0; i < SMQ_COUNT(algs); i++) {
		if (algs[i].id == id)
			return &algs[i];
	}
	return NULL;
}

static int lower(int c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c; }

static int same_word(const char *a, const char *b)
{
	while (*a && lower(*a) == lower(*b)) {
		a++;
		b++;
	}
	return *a == 0 && *b == 0;
}

const struct smq_aead_alg *smq_aead_alg_by_name(const char *name)
{
	for (size_t i = 0; i < SMQ_COUNT(algs); i++) {
		if (same_word(algs[i].name, name))
			return &algs[i];
	}
	return NULL;
}
