/* The use case behind smq_simulate; what differs between machines is handed in. */
#ifndef SMQ_APP_SIMULATION_H
#define SMQ_APP_SIMULATION_H

#include <sealmq/credential.h>
#include <sealmq/simulate.h>

struct smq_simulation_world {
	const struct smq_crypto *crypto;
	const struct smq_own_credential *own; /* the key server's, to sign manifests with */
	const struct smq_credential *server;  /* the same as its members see it */
	uint64_t (*cpu_ns)(void); /* of this thread */
	void (*progress)(void *self, const char *what, double done);
	void *self;
};

SMQ_MUST_USE smq_err smq_simulation_run(const struct smq_simulation_options *options,
					const struct smq_simulation_world *world,
					struct smq_simulation *ret_simulation);

#endif
