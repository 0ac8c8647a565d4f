/*
 * Keys in a PKCS#11 token (a smart card, an HSM, SoftHSM), through p11-kit: found by an RFC 7512 URI, made there, and
 * used there; no private or secret key ever leaves it.
 *
 * The URI says which token ("pkcs11:token=plant"), perhaps which of its keys (object, id), and perhaps whose library
 * (module-path); without one, all modules that p11-kit knows are asked. A PIN in the URI is refused: command lines can
 * be read by others. Texts go to ret_why (why_len bytes), one line each.
 */
#ifndef SMQ_ADAPTERS_TOKEN_PKCS11_TOKEN_H
#define SMQ_ADAPTERS_TOKEN_PKCS11_TOKEN_H

#include <stdbool.h>

#include <sealmq/crypto.h>

enum { SMQ_TOKEN_URI_MAX = 1024, SMQ_TOKEN_POINT_MAX = 97, SMQ_TOKEN_SIG_MAX = 96, SMQ_TOKEN_ID_LEN = 16 };

/* What a URI says before any token is looked at. SMQ_ERR_USAGE: it does not parse, or carries a PIN;
 * SMQ_ERR_LIBRARY: p11-kit is not installed. */
struct smq_token_uri {
	bool object;          /* it names a key, by object or id */
	char pin_source[256]; /* a path; "": it says none */
};
SMQ_MUST_USE smq_err smq_token_uri_read(const char *uri, struct smq_token_uri *ret_uri, char *ret_why, size_t why_len);

/* The same URI without its key: its token alone. */
SMQ_MUST_USE smq_err smq_token_uri_of_token(const char *uri, char ret_uri[SMQ_TOKEN_URI_MAX], char *ret_why,
					    size_t why_len);

struct smq_token;
/*
 * Finds the token and logs in. SMQ_ERR_NOT_FOUND: no module, or no such token; SMQ_ERR_USAGE: several; SMQ_ERR_OPEN:
 * the PIN is wrong; SMQ_ERR_LOCKED: it was wrong too often.
 */
SMQ_MUST_USE smq_err smq_token_open(const char *uri, smq_span pin, struct smq_token **ret_token, char *ret_why,
				    size_t why_len);
void smq_token_close(struct smq_token *token);

/* Makes a key pair for signing that cannot be taken out, and takes it in use. SMQ_P256, SMQ_P384, SMQ_ED25519. ret_uri
 * leads to it again. */
SMQ_MUST_USE smq_err smq_token_make_pair(struct smq_token *token, enum smq_curve curve, const char *label,
					 const uint8_t id[SMQ_TOKEN_ID_LEN], char ret_uri[SMQ_TOKEN_URI_MAX],
					 char *ret_why, size_t why_len);
/* Takes the key in use out of the token for good: one that was made for something that then failed. */
void smq_token_destroy_key(struct smq_token *token);
/* Takes the private key in use that the token's URI names. SMQ_ERR_NOT_FOUND; SMQ_ERR_USAGE: several. */
SMQ_MUST_USE smq_err smq_token_use_pair(struct smq_token *token, char *ret_why, size_t why_len);
/* Of the pair in use: X9.62's uncompressed point, or 32 bytes for Ed25519. */
SMQ_MUST_USE smq_err smq_token_public(struct smq_token *token, enum smq_curve *ret_curve,
				      uint8_t ret_point[SMQ_TOKEN_POINT_MAX], size_t *ret_len, char *ret_why,
				      size_t why_len);
/* input: a digest for elliptic curves, the message for Ed25519. r || s, or Ed25519's 64 bytes. */
SMQ_MUST_USE smq_err smq_token_sign(struct smq_token *token, bool edwards, smq_span input,
				    uint8_t ret_signature[SMQ_TOKEN_SIG_MAX], size_t *ret_len, char *ret_why,
				    size_t why_len);

/* Makes a secret key for HMAC that cannot be taken out, and takes it in use. ret_uri says nothing of whose library it
 * was: it may be kept where it can be altered. */
SMQ_MUST_USE smq_err smq_token_make_secret(struct smq_token *token, const char *label,
					   const uint8_t id[SMQ_TOKEN_ID_LEN], char ret_uri[SMQ_TOKEN_URI_MAX],
					   char *ret_why, size_t why_len);
/* Takes the secret key in use that this URI names, whatever else it says; ret_uri as above, and may be it. */
SMQ_MUST_USE smq_err smq_token_use_secret(struct smq_token *token, const char *key_uri, char ret_uri[SMQ_TOKEN_URI_MAX],
					  char *ret_why, size_t why_len);
/* HMAC-SHA-256 under it. */
SMQ_MUST_USE smq_err smq_token_mac(struct smq_token *token, smq_span message, uint8_t ret_mac[SMQ_HASH_LEN],
				   char *ret_why, size_t why_len);

#endif
