/* The groups port over a realm directory: its key files, the groups it joins at a key server, and what of both is in
 * its state directory. */
#ifndef SMQ_LIB_GROUPS_REALM_H
#define SMQ_LIB_GROUPS_REALM_H

#include "app/groups.h"

/*
 * Loads the groups of options->realm, and becomes a member of those in options->groups whose key file is not there. Of
 * the options is kept what sealing and asking need. The realm outlives ret_groups; its state is opened, and locked,
 * when the first group is joined or the first group message comes in.
 */
SMQ_MUST_USE smq_err smq_groups_realm_open(const struct smq_client_options *options, struct smq_now now,
					   struct smq_groups *ret_groups, const char **ret_why);

#endif
