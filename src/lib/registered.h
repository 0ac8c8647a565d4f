/*
 * Who a member without a certificate is, and whom it believes (PROTOCOL.md 7.8): its own key by kid, the key server's
 * by the kid of the certificate that it was shown last, and everybody else by certificate.
 */
#ifndef SMQ_LIB_REGISTERED_H
#define SMQ_LIB_REGISTERED_H

#include <sealmq/credential.h>

#include "app/store.h"
#include "wire/registered_key.h"

struct smq_registered {
	struct smq_credential own;
	uint8_t id_cred[SMQ_REGISTERED_ID_CRED_LEN];
	const struct smq_credentials *others; /* by certificate */
	struct smq_store *store;              /* where the key server's is kept; NULL: nowhere */
	bool looked;                          /* into the store */
	bool known;
	uint8_t server[SMQ_HASH_LEN]; /* SHA-256 of the key server's certificate */
};

/* point: our public key. ret_own gets all but the signer; it points into r. SMQ_ERR_NAME */
SMQ_MUST_USE smq_err smq_registered_init(struct smq_registered *r, const struct smq_credentials *others,
					 const char *name, const uint8_t point[SMQ_PUBLIC_KEY_MAX],
					 struct smq_own_credential *ret_own);
struct smq_credentials smq_registered_credentials(struct smq_registered *r);

#endif
