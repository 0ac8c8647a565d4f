/* Which lane of the crypto port a process takes: the fastest that is there. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <sealmq/client.h>

#include "adapters/crypto_ipsecmb/crypto_ipsecmb.h"

static struct smq_crypto multibuffer;
static bool has_multibuffer;
static pthread_once_t tried = PTHREAD_ONCE_INIT;

static void try(void) { has_multibuffer = smq_crypto_ipsecmb_over(smq_crypto_openssl(), &multibuffer); }

const struct smq_crypto *smq_crypto_multibuffer(void)
{
	(void)pthread_once(&tried, try);
	return has_multibuffer ? &multibuffer : NULL;
}

/* A word that is none of these chooses nothing: all lanes do the same. */
const struct smq_crypto *smq_crypto_best(void)
{
	const char *lane = secure_getenv("SEALMQ_LANE");
	if (lane && strcmp(lane, "evp") == 0)
		return smq_crypto_openssl_evp();
	if (lane && strcmp(lane, "provider") == 0)
		return smq_crypto_openssl();
	const struct smq_crypto *fast = smq_crypto_multibuffer();
	return fast ? fast : smq_crypto_openssl();
}
