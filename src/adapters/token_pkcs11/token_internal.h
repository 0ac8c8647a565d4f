/* What the files of this adapter share: an open token, and how it says what is wrong. */
#ifndef SMQ_ADAPTERS_TOKEN_PKCS11_TOKEN_INTERNAL_H
#define SMQ_ADAPTERS_TOKEN_PKCS11_TOKEN_INTERNAL_H

#include "adapters/token_pkcs11/p11_kit.h"
#include "adapters/token_pkcs11/token.h"

struct smq_token {
	P11KitUri *uri;
	CK_FUNCTION_LIST **modules; /* those that p11-kit knows; or */
	CK_FUNCTION_LIST *only;     /* the one that the URI names */
	CK_FUNCTION_LIST *f;        /* of the token's module; one of these */
	CK_SESSION_HANDLE session;
	CK_OBJECT_HANDLE key, public_key;
	char label[33];
};

/* Where a call says what is wrong. */
struct smq_token_why {
	char *text;
	size_t len;
};

__attribute__((format(printf, 3, 4))) smq_err smq_token_because(struct smq_token_why why, smq_err err,
								const char *format, ...);
/* "token 'plant' did not DO: REASON" */
smq_err smq_token_failed(const struct smq_token *t, CK_RV rv, const char *what, struct smq_token_why why);
/* A text that a token pads with blanks instead of ending it. */
void smq_token_text(const unsigned char *padded, size_t len, char *ret_text);

/* SMQ_ERR_USAGE: it does not parse, or carries a PIN. p11_kit_uri_free */
SMQ_MUST_USE smq_err smq_token_uri_parse(const char *text, P11KitUri **ret_uri, struct smq_token_why why);

#endif
