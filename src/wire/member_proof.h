/*
 * A member as the members digest knows it, and the proof that it is in there (PROTOCOL.md 6.7).
 *
 *     record = [ "sealmq1 member", name, sender id, roles, from_ms, until_ms ]
 *     proof  = [ 1, leaf, height, masks : bstr, hashes : bstr ]
 */
#ifndef SMQ_WIRE_MEMBER_PROOF_H
#define SMQ_WIRE_MEMBER_PROOF_H

#include "wire/tree_node.h"

enum {
	SMQ_MEMBER_PUBLISHES = 1,
	SMQ_MEMBER_SUBSCRIBES = 2,
	SMQ_MEMBER_SIBLINGS = SMQ_TREE_ARITY - 1,
	SMQ_MEMBER_RECORD_MAX = 128,
	SMQ_MEMBER_PROOF_MAX = 32 + SMQ_TREE_HEIGHT_MAX * (1 + SMQ_MEMBER_SIBLINGS * SMQ_HASH_LEN)
};

struct smq_member_record {
	smq_span name;
	uint64_t sender_id;
	unsigned roles;            /* SMQ_MEMBER_ bits, at least one */
	int64_t from_ms, until_ms; /* Unix time; the former is below the latter */
};

/* Siblings from the leaf up; all zero: nobody is there. */
struct smq_member_proof {
	uint64_t leaf;
	unsigned height; /* from 1 */
	uint8_t siblings[SMQ_TREE_HEIGHT_MAX][SMQ_MEMBER_SIBLINGS][SMQ_HASH_LEN];
};

/* SMQ_ERR_NAME, SMQ_ERR_USAGE: no such record is possible. */
SMQ_MUST_USE smq_err smq_member_record_encode(const struct smq_member_record *record, smq_mspan room, size_t *ret_len);
SMQ_MUST_USE smq_err smq_member_proof_encode(const struct smq_member_proof *proof, smq_mspan room, size_t *ret_len);
SMQ_MUST_USE smq_err smq_member_proof_decode(smq_span bytes, struct smq_member_proof *ret_proof);

#endif
