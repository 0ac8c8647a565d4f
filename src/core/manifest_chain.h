/*
 * A member's chain of manifests (PROTOCOL.md 6.6): which epoch is the highest, and whether somebody tells two stories.
 *
 *     step = what smq_manifest_chain_input says about a manifest
 *     if (smq_manifest_is_accepted(step.verdict)) { store step.next durably; chain = step.next; ... use it ... }
 *
 * The chain itself is changed by its owner alone, after storing: what was accepted once is never gone back on, not
 * even by a crash in between.
 */
#ifndef SMQ_CORE_MANIFEST_CHAIN_H
#define SMQ_CORE_MANIFEST_CHAIN_H

#include "core/policy.h"
#include "wire/manifest.h"

/* The highest manifest accepted. All zero: none yet. */
struct smq_manifest_chain {
	uint64_t epoch;
	uint8_t hash[SMQ_HASH_LEN];
	int64_t expires_ms;
	char signer[SMQ_MEMBER_NAME_MAX + 1];
};

enum smq_manifest_verdict {
	/* accepted */
	SMQ_MANIFEST_FIRST,  /* our first; whoever joins late begins where it is */
	SMQ_MANIFEST_LINKED, /* follows the one we have */
	SMQ_MANIFEST_GAP,    /* follows one that we have not seen */
	/* nothing new */
	SMQ_MANIFEST_SAME,
	/* refused */
	SMQ_MANIFEST_STALE,      /* of a lower epoch: late, or played back */
	SMQ_MANIFEST_EXPIRED,    /* higher, but over: nobody may be led into the past by it */
	SMQ_MANIFEST_FORK,       /* another history than ours, by the same key server */
	SMQ_MANIFEST_TWO_SERVERS /* another history than ours, by another key server */
};

struct smq_manifest_step {
	enum smq_manifest_verdict verdict;
	bool signer_changed; /* another key server goes on where ours was: an accepted manifest, worth a note */
	struct smq_manifest manifest; /* its spans point into the bytes */
	uint8_t hash[SMQ_HASH_LEN];   /* of the manifest; what messages are bound to */
	struct smq_manifest_chain next;
};

static inline bool smq_manifest_is_accepted(enum smq_manifest_verdict verdict) { return verdict <= SMQ_MANIFEST_GAP; }
const char *smq_manifest_verdict_name(enum smq_manifest_verdict verdict); /* "two-servers" */

/* Signs an encoded manifest; what does not decode is not signed. */
SMQ_MUST_USE smq_err smq_manifest_sign(smq_span document, const struct smq_own_credential *keyserver, smq_mspan room,
				       size_t *ret_len);
SMQ_MUST_USE smq_err smq_manifest_hash(const struct smq_crypto *crypto, smq_span document,
				       uint8_t ret_hash[SMQ_HASH_LEN]);

/*
 * keyserver: what the sign1's id_cred resolved to. An error says that the bytes are no manifest of this group
 * (SMQ_ERR_REALM, SMQ_ERR_NAME, SMQ_ERR_CERT_USAGE, SMQ_ERR_SIGNATURE, those of decoding); SMQ_OK that it is one,
 * and the verdict what to make of it.
 */
SMQ_MUST_USE smq_err smq_manifest_chain_input(const struct smq_manifest_chain *chain, const struct smq_crypto *crypto,
					      smq_span bytes, const struct smq_credential *keyserver, smq_span realm,
					      smq_span group, int64_t now_ms, struct smq_manifest_step *ret_step);

/* Whether members must stop: nothing has renewed the manifest in time. */
bool smq_manifest_chain_expired(const struct smq_manifest_chain *chain, int64_t now_ms);
/* Whether it was made under the policy we hold. SMQ_ERR_STALE_EPOCH: under an older one; SMQ_ERR_STATE: under a newer
 * one, to be fetched first; SMQ_ERR_EXISTS: under another one of the same number. */
SMQ_MUST_USE smq_err smq_manifest_policy_check(const struct smq_manifest *manifest,
					       const struct smq_policy_mark *policy);

/* For the store: [ 1, epoch, hash : bstr, expires_ms, signer ]. A state that does not read back: SMQ_ERR_CORRUPT. */
enum { SMQ_MANIFEST_CHAIN_MAX = 128 };
SMQ_MUST_USE smq_err smq_manifest_chain_encode(const struct smq_manifest_chain *chain, smq_mspan room, size_t *ret_len);
SMQ_MUST_USE smq_err smq_manifest_chain_decode(smq_span bytes, struct smq_manifest_chain *ret_chain);

#endif
