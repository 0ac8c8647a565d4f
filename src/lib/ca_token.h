/* One-time tokens of an authority: tokens/NAME (FORMATS.md 1.4). */
#ifndef SMQ_LIB_CA_TOKEN_H
#define SMQ_LIB_CA_TOKEN_H

#include <sealmq/enrol.h>

struct smq_ca_grant {
	unsigned roles;
	int days;
	bool reissue;
};

/*
 * Whether `token` is that of `name`, and for what. SMQ_ERR_NOT_AUTHORIZED for whatever is wrong with it: who guesses
 * learns nothing.
 */
SMQ_MUST_USE smq_err smq_ca_token_look(const char *dir, const char *name, const char *token,
				       struct smq_ca_grant *ret_grant);
/* Uses it up. SMQ_ERR_NOT_AUTHORIZED: somebody else has been faster. */
SMQ_MUST_USE smq_err smq_ca_token_use(const char *dir, const char *name);

#endif
