/*
 * Accepting a group's policy and asking it (PROTOCOL.md 6.5).
 *
 * The signature is an admin's, so that a key server cannot widen a policy; a policy with a lower number never
 * replaces one with a higher.
 */
#ifndef SMQ_CORE_POLICY_H
#define SMQ_CORE_POLICY_H

#include "wire/policy.h"
#include "wire/sign1.h"

/* Which policy is in force: what its owner keeps durably, beside the document. number 0: none yet. */
struct smq_policy_mark {
	uint64_t number;
	uint8_t digest[SMQ_HASH_LEN]; /* SHA-256 of the document without its signature */
};

/* Signs an encoded policy; what does not decode is not signed. */
SMQ_MUST_USE smq_err smq_policy_sign(smq_span document, const struct smq_own_credential *admin, smq_mspan room,
				     size_t *ret_len);

/*
 * Takes a signed policy. admin: what the sign1's id_cred resolved to; have: the mark in force. realm and group are the
 * ones it must be for (group empty: any). The spans of ret_policy point into bytes.
 *
 * SMQ_OK also for the very policy that is in force. SMQ_ERR_STALE_EPOCH: a lower number; SMQ_ERR_EXISTS: the same
 * number, another content (two admins, or one who forgot); SMQ_ERR_REALM, SMQ_ERR_NAME: for somebody else;
 * SMQ_ERR_CERT_USAGE: not an admin; those of smq_sign1_decode and smq_policy_decode.
 */
SMQ_MUST_USE smq_err smq_policy_accept(const struct smq_crypto *crypto, smq_span bytes,
				       const struct smq_credential *admin, smq_span realm, smq_span group,
				       const struct smq_policy_mark *have, struct smq_policy *ret_policy,
				       struct smq_policy_mark *ret_mark);

/* A template's policy for one group. room holds its filters as long as ret_policy is in use. SMQ_ERR_USAGE: it is no
 * template; SMQ_ERR_NAME: it is not for a group of that name; SMQ_ERR_TOPIC: a filter became too long. */
SMQ_MUST_USE smq_err smq_policy_instantiate(const struct smq_policy *policy, smq_span group, smq_mspan room,
					    struct smq_policy *ret_policy);

enum smq_policy_act { SMQ_MAY_PUBLISH, SMQ_MAY_SUBSCRIBE };

/* '*' any run of characters, '?' one. The work is at most pattern.len * name.len steps. */
bool smq_pattern_matches(smq_span pattern, smq_span name);
/* Whether this name with these certificate roles may be admitted for that. */
bool smq_policy_admits(const struct smq_policy *policy, smq_span name, unsigned roles, enum smq_policy_act act);
/* Whether this name with these certificate roles may command that one. */
bool smq_policy_commands(const struct smq_policy *policy, smq_span name, unsigned roles, smq_span whom);
bool smq_policy_covers(const struct smq_policy *policy, smq_span topic);
/* Both. */
bool smq_policy_may(const struct smq_policy *policy, smq_span name, unsigned roles, enum smq_policy_act act,
		    smq_span topic);

/*
 * The interval that is granted: what was asked for, cut to what policy and certificate allow, from now on at the
 * earliest. SMQ_ERR_USAGE: nothing is left of it.
 */
SMQ_MUST_USE smq_err smq_policy_grant(const struct smq_policy *policy, int64_t from_ms, int64_t until_ms,
				      int64_t now_ms, int64_t certificate_expires_ms, int64_t *ret_from_ms,
				      int64_t *ret_until_ms);
/* The oldest epoch whose keys a member may have that was first admitted in epoch `joined`, when `present` is current.
 */
uint64_t smq_policy_oldest_epoch(const struct smq_policy *policy, uint64_t joined, uint64_t present);

#endif
