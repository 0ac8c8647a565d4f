/*
 * The manifest of an epoch (PROTOCOL.md 6.6): what a key server states about a group, once for all members.
 *
 *     [ 1, realm, group, epoch, previous epoch, previous : bstr, activate_at_ms, expires_ms, height, members,
 *       root version, members digest : bstr, policy number, policy digest : bstr, commitment : bstr, mode, slots ]
 *
 *     slots = null / [ start_ms, slot_ms, levels ]
 */
#ifndef SMQ_WIRE_MANIFEST_H
#define SMQ_WIRE_MANIFEST_H

#include "wire/policy.h"
#include "wire/slot_seeds.h"

enum { SMQ_MANIFEST_MAX = 448 };

struct smq_manifest {
	smq_span realm, group;              /* point into the document */
	uint64_t epoch;                     /* from 1 */
	uint64_t previous_epoch;            /* of the manifest before it; 0: there is none */
	uint8_t previous[SMQ_HASH_LEN];     /* that one's hash; zero where there is none */
	int64_t activate_at_ms, expires_ms; /* Unix time; the former is below the latter, neither is negative */
	unsigned tree_height;               /* of the key tree (6.2) */
	uint64_t member_count;
	uint64_t root_version;
	uint8_t members[SMQ_HASH_LEN]; /* digest (6.7) */
	uint64_t policy_number;
	uint8_t policy[SMQ_HASH_LEN];
	uint8_t commitment[SMQ_HASH_LEN]; /* of the epoch secret (6.2) */
	enum smq_policy_mode mode;
	int64_t slot_start_ms; /* slotted groups (6.3); 0 otherwise */
	uint64_t slot_ms;
	unsigned slot_levels;
};

/* SMQ_ERR_USAGE: what could not be decoded again. */
SMQ_MUST_USE smq_err smq_manifest_encode(const struct smq_manifest *manifest, smq_mspan room, size_t *ret_len);
SMQ_MUST_USE smq_err smq_manifest_decode(smq_span bytes, struct smq_manifest *ret_manifest);

#endif
