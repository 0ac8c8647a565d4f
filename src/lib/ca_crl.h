/* Revocation lists: signed, put in place, and carried to those that are in reach. */
#ifndef SMQ_LIB_CA_CRL_H
#define SMQ_LIB_CA_CRL_H

#include "lib/ca_dir.h"

/* As smq_ca_crl, with the directory open and locked. */
SMQ_MUST_USE smq_err smq_ca_crl_renew(const struct smq_ca_dir *ca, const struct smq_ca_crl_options *o,
				      struct smq_ca_crl *ret_crl);

#endif
