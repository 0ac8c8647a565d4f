/*
 * Messages whose signatures other threads verify meanwhile: copied when they are opened, told of, in their order, once
 * all of them have been looked at.
 */
#ifndef SMQ_APP_PROOF_POOL_H
#define SMQ_APP_PROOF_POOL_H

#include <sealmq/client.h>

#include "app/groups.h"
#include "app/workers.h"
#include "core/proof_checker.h"

struct smq_proof_pool;

SMQ_MUST_USE smq_err smq_proof_pool_new(const struct smq_crypto *crypto, const struct smq_workers *workers,
					struct smq_proof_pool **ret_pool);
/* Forgets what was not told of. Ends the workers. */
void smq_proof_pool_free(struct smq_proof_pool *p);

/* Copies all that is needed, the message's evidence among it, and begins. false: no memory, or too many already. */
bool smq_proof_pool_add(struct smq_proof_pool *p, const struct smq_message *message,
			const struct smq_opened_proof *opened, const struct smq_proof_verifier *verifier);
bool smq_proof_pool_is_empty(const struct smq_proof_pool *p);

/* err: SMQ_OK, or why it does not verify. The message lives during the call; its evidence, where there is some, names
 * the certificate. */
typedef void (*smq_proof_pool_fn)(void *self, struct smq_message *message, smq_err err);
void smq_proof_pool_join(struct smq_proof_pool *p, smq_proof_pool_fn tell, void *self);

#endif
