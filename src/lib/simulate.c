/* Rekeying simulated on this machine's processor and crypto library. */
#include <sealmq/client.h>
#include <sealmq/simulate.h>

#include <time.h>

#include "app/simulation.h"

static uint64_t cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

smq_err smq_simulate(const struct smq_simulation_options *options,
		     void (*progress)(void *self, const char *what, double done), void *self,
		     struct smq_simulation *ret_simulation)
{
	struct smq_simulation_world world = { smq_crypto_openssl(), cpu_ns, progress, self };
	return smq_simulation_run(options, &world, ret_simulation);
}
