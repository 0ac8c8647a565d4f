/* The groups port over a realm directory: its key files, and the replay floors in its state directory. */
#ifndef SMQ_LIB_GROUPS_REALM_H
#define SMQ_LIB_GROUPS_REALM_H

#include "app/groups.h"

/* Loads the groups of options->realm; ret_groups stays as it is where there are none. Of the options are kept: stamp
 * and cose. The realm outlives ret_groups;
 * its state is opened, and locked, when the first group message comes in. */
SMQ_MUST_USE smq_err smq_groups_realm_open(const struct smq_client_options *options, struct smq_groups *ret_groups,
					   const char **ret_why);

#endif
