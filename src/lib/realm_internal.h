/*
 * What the rest of libsealmq takes from an open realm. All pointers live as long as the realm.
 */
#ifndef SMQ_LIB_REALM_INTERNAL_H
#define SMQ_LIB_REALM_INTERNAL_H

#include <sealmq/credential.h>
#include <sealmq/realm.h>

#include "app/store.h"

/* The own certificate as peers see it: name, roles, public key. */
const struct smq_credential *smq_realm_own_certificate(const smq_realm *realm);

const char *smq_realm_control_prefix(const smq_realm *realm);      /* "sealmq/plant" */
const uint8_t *smq_realm_root_fingerprint(const smq_realm *realm); /* SMQ_HASH_LEN bytes */
const char *smq_realm_state_dir(const smq_realm *realm);           /* DIR/state; made when first opened */

/*
 * The realm's state, opened (and locked for this process) at the first call, closed with the realm. From then on
 * accepted certificates are kept there too. SMQ_ERR_LOCKED: another process uses this realm directory.
 */
SMQ_MUST_USE smq_err smq_realm_store(smq_realm *realm, struct smq_store **ret_store);

/* Reads crl.pem again, if it is there: certificates already accepted are judged by it from now on. */
SMQ_MUST_USE smq_err smq_realm_reload_crl(smq_realm *realm, const char **ret_why);

#endif
