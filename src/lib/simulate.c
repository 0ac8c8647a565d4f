/* Rekeying simulated on this machine's processor and crypto library. */
#include <sealmq/client.h>
#include <sealmq/simulate.h>

#include <time.h>

#include "adapters/crypto_openssl/signer.h"
#include "app/simulation.h"

static uint64_t cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* A key server's identity for this run: a fixed key, for what is measured is its use. */
struct identity {
	struct smq_own_credential own;
	struct smq_credential seen;
};

static smq_err make_identity(struct identity *ret_identity)
{
	static const uint8_t id_cred[] = { 0xa1, 0x04, 0x41, 0x01 }; /* { 4: h'01' } */
	uint8_t secret[SMQ_KEX_LEN] = { [SMQ_KEX_LEN - 1] = 1 };
	struct identity i = { .own = { .id_cred_short = smq_span_of(id_cred, sizeof(id_cred)) },
			      .seen = { .name = "keyserver",
					.roles = SMQ_ROLE_KEYSERVER,
					.sig_alg = SMQ_ES256,
					.expires_ms = INT64_MAX } };
	smq_err err = smq_openssl_signer_from_raw(SMQ_P256, secret, &i.own.signer);
	if (err != SMQ_OK)
		return err;
	err = smq_openssl_signer_public(&i.own.signer, i.seen.public_key, &i.seen.public_key_len);
	if (err == SMQ_OK)
		*ret_identity = i;
	else
		smq_openssl_signer_free(&i.own.signer);
	return err;
}

/* Every member verifies for itself, as it would in a process of its own. */
static smq_err verify_anew(enum smq_sig_id alg, smq_span public_key, const smq_span *parts, size_t count,
			   const uint8_t signature[SMQ_SIG_LEN])
{
	smq_openssl_forget_verified();
	return smq_crypto_best()->verify(alg, public_key, parts, count, signature);
}

smq_err smq_simulate(const struct smq_simulation_options *options,
		     void (*progress)(void *self, const char *what, double done), void *self,
		     struct smq_simulation *ret_simulation)
{
	struct identity identity;
	smq_err err = make_identity(&identity);
	if (err != SMQ_OK)
		return err;
	struct smq_crypto crypto = *smq_crypto_best();
	crypto.verify = verify_anew;
	struct smq_simulation_world world = { .crypto = &crypto,
					      .own = &identity.own,
					      .server = &identity.seen,
					      .cpu_ns = cpu_ns,
					      .progress = progress,
					      .self = self };
	err = smq_simulation_run(options, &world, ret_simulation);
	smq_openssl_signer_free(&identity.own.signer);
	return err;
}
