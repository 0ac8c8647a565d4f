/* The TLS files of a connection where the realm gives them: its roots, and the identity's certificate and key. */
#ifndef SMQ_LIB_REALM_TLS_H
#define SMQ_LIB_REALM_TLS_H

#include <sealmq/client.h>

#include "lib/files.h"

/* Room for the paths, which the options then point into. */
struct smq_realm_tls {
	char files[3][SMQ_PATH_MAX];
};

/* Where tls->by_realm says so, fills in what the user has not named; nothing else changes. SMQ_ERR_TOO_LARGE: a path.
 */
SMQ_MUST_USE smq_err smq_realm_tls_fill(struct smq_realm_tls *t, const smq_realm *realm, struct smq_tls_options *tls);
/* The same once the identity was renewed: what was filled in before gives way. */
SMQ_MUST_USE smq_err smq_realm_tls_renew(struct smq_realm_tls *t, const smq_realm *realm, struct smq_tls_options *tls);

#endif
