/* What the rest of libsealmq takes from a client. */
#ifndef SMQ_LIB_CLIENT_INTERNAL_H
#define SMQ_LIB_CLIENT_INTERNAL_H

#include <sealmq/client.h>

/* NULL for one that is plain. */
smq_realm *smq_client_realm(const smq_client *client);
/* As struct smq_groups' may_command. */
SMQ_MUST_USE smq_err smq_client_may_command(const smq_client *client, const char *group, const char *name,
					    unsigned roles, const char *whom);

#endif
