/* Somebody who signs documents in tests: a key, its certificate's hash, and what that resolves to. */
#ifndef SMQ_TESTS_SIGNING_H
#define SMQ_TESTS_SIGNING_H

#include <stdio.h>

#include "cmocka_all.h"

#include <sealmq/client.h>

#include "adapters/crypto_openssl/signer.h"

struct signing {
	uint8_t id[14];
	struct smq_own_credential own;
	struct smq_credential credential;
};

static inline void signing_init(struct signing *s, enum smq_curve curve, uint8_t seed, unsigned roles, const char *name)
{
	const uint8_t id[14] = { 0xa1, 0x18, 0x22, 0x82, 0x2e, 0x48, seed, 1, 2, 3, 4, 5, 6, 7 };
	uint8_t secret[SMQ_KEX_LEN];
	memset(s, 0, sizeof(*s));
	memset(secret, seed, sizeof(secret));
	memcpy(s->id, id, sizeof(id));
	s->own.id_cred_short = smq_span_of(s->id, sizeof(s->id));
	s->credential.roles = roles;
	snprintf(s->credential.name, sizeof(s->credential.name), "%s", name);
	assert_int_equal(smq_openssl_signer_from_raw(curve, secret, &s->own.signer), SMQ_OK);
	assert_int_equal(
	    smq_openssl_signer_public(&s->own.signer, s->credential.public_key, &s->credential.public_key_len), SMQ_OK);
	s->credential.sig_alg = s->own.signer.alg;
}

static inline void signing_done(struct signing *s) { smq_openssl_signer_free(&s->own.signer); }

#endif
