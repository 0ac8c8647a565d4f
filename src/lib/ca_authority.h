/* Keys and certificates of the authorities themselves: the root, and the issuing one below it. */
#ifndef SMQ_LIB_CA_AUTHORITY_H
#define SMQ_LIB_CA_AUTHORITY_H

#include "lib/ca_dir.h"

/* Fills a new CA directory with root.crt, root.key, the log, and what an issuing authority needs where it is asked for.
 */
SMQ_MUST_USE smq_err smq_ca_make_authorities(const char *made, const struct smq_realm_settings *settings,
					     const struct smq_ca_init_options *o);

/* Whether an authority may have such a key; 0, the default, too. */
bool smq_ca_authority_curve(enum smq_curve curve);

#endif
