/* Revocation lists: signed, put in place, and carried to those that are in reach. */
#ifndef SMQ_LIB_CA_CRL_H
#define SMQ_LIB_CA_CRL_H

#include "lib/ca_dir.h"

/* As smq_ca_crl, with the directory open and locked. */
SMQ_MUST_USE smq_err smq_ca_crl_renew(const struct smq_ca_dir *ca, const struct smq_ca_crl_options *o,
				      struct smq_ca_crl *ret_crl);
/* Copies root.crt to every dir/members/NAME, and to these. */
SMQ_MUST_USE smq_err smq_ca_carry_roots(const struct smq_ca_dir *ca, const char *const *to, size_t to_count);
/* Appends the certificates of all authorities but the first root, and what vouches for later roots. */
SMQ_MUST_USE smq_err smq_ca_add_authorities(const struct smq_ca_dir *ca, struct smq_pem *all);
/* For those who get it over a way that nobody vouches for: crl.pem, and before it the certificates of the issuing
 * authorities by which the lists can be verified. SMQ_ERR_NOT_FOUND: there is no list yet. */
SMQ_MUST_USE smq_err smq_ca_crl_bundle(const char *dir, struct smq_pem *ret_bundle);

#endif
