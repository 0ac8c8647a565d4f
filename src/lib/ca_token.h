/* One-time tokens of an authority: tokens/NAME (FORMATS.md 1.4). */
#ifndef SMQ_LIB_CA_TOKEN_H
#define SMQ_LIB_CA_TOKEN_H

#include <sealmq/crypto.h>
#include <sealmq/enrol.h>

/*
 * What a token stands for over MQTT, where it must not be told: a key that signs the request, of which the authority
 * keeps the public half, and a key that its answer is authenticated by.
 */
struct smq_token_keys {
	uint8_t signing[32]; /* Ed25519's secret; wipe it */
	uint8_t verifying[32];
	uint8_t answering[SMQ_HASH_LEN];
};
SMQ_MUST_USE smq_err smq_token_keys_of(const char *token, struct smq_token_keys *ret_keys);

struct smq_ca_grant {
	unsigned roles;
	int days;
	bool reissue;
	bool mqtt; /* it has what MQTT needs: */
	uint8_t verifying[32], answering[SMQ_HASH_LEN];
	char bound[2 * SMQ_HASH_LEN + 1]; /* hex: the SHA-256 of the one request that it is for; "": any yet */
};

/*
 * Whether `token` is that of `name`, and for what. SMQ_ERR_NOT_AUTHORIZED for whatever is wrong with it: who guesses
 * learns nothing.
 */
SMQ_MUST_USE smq_err smq_ca_token_look(const char *dir, const char *name, const char *token,
				       struct smq_ca_grant *ret_grant);
/* The same without the token itself. SMQ_ERR_NOT_AUTHORIZED: there is none, or it is not for MQTT. */
SMQ_MUST_USE smq_err smq_ca_token_find(const char *dir, const char *name, struct smq_ca_grant *ret_grant);
/* From now on, whatever happens, it counts for this one request only. */
SMQ_MUST_USE smq_err smq_ca_token_bind(const char *dir, const char *name, const char *request_hash);
/* Uses it up; request_hash: what it was bound to, NULL: nothing. SMQ_ERR_NOT_AUTHORIZED: somebody else has been faster.
 */
SMQ_MUST_USE smq_err smq_ca_token_use(const char *dir, const char *name, const char *request_hash);

#endif
