/* Signed documents: what is taken has the shape that it must have; a signature over other bytes does not verify. */
#include "fuzz.h"

#include <string.h>

#include <sealmq/client.h>

#include "wire/sign1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t no_key[32];
	struct smq_sign1 s;
	if (smq_sign1_decode(smq_span_of(data, size), &s) != SMQ_OK)
		return 0;
	FUZZ_CHECK(s.alg == SMQ_ES256 || s.alg == SMQ_EDDSA);
	FUZZ_CHECK(s.header.p >= data && s.header.p + s.header.len <= data + size);
	FUZZ_CHECK(s.signature >= data && s.signature + SMQ_SIG_LEN == data + size);
	FUZZ_CHECK(s.detached ? s.payload.len == 0 : s.payload.p >= data && s.payload.p + s.payload.len <= data + size);
	FUZZ_CHECK(s.id_cred_len <= sizeof(s.id_cred) && (s.id_cred_len == 0 || s.id_cred[0] == 0xa1));
	FUZZ_CHECK(smq_sign1_verify(&s, smq_crypto_openssl(), s.alg, smq_span_of(no_key, sizeof(no_key)),
				    smq_span_str("fuzz"), smq_span_of(NULL, 0)) != SMQ_OK);
	return 0;
}
