/*
 * The digest of a group's members (PROTOCOL.md 6.7): a hash tree of arity 4 beside the key tree, leaf by leaf.
 *
 * A change costs one hash per level. The memory is the caller's; there is no secret in it.
 */
#ifndef SMQ_CORE_MEMBERS_DIGEST_H
#define SMQ_CORE_MEMBERS_DIGEST_H

#include "wire/member_proof.h"

struct smq_members_digest {
	const struct smq_crypto *crypto;
	unsigned height;
	uint8_t *levels[SMQ_TREE_HEIGHT_MAX + 1]; /* level h: 4^(height - h) hashes; 0 are the leaves */
};

/* Bytes of memory for 4^height members; 0 where height is 0 or above SMQ_TREE_HEIGHT_MAX. */
size_t smq_members_digest_size(unsigned height);
/* Nobody is in it. SMQ_ERR_NO_ROOM, SMQ_ERR_USAGE (height). */
SMQ_MUST_USE smq_err smq_members_digest_init(struct smq_members_digest *d, const struct smq_crypto *crypto,
					     unsigned height, void *memory, size_t len);
/* One level higher, in new memory; the old one is not needed any more. */
SMQ_MUST_USE smq_err smq_members_digest_grow(struct smq_members_digest *d, void *memory, size_t len);

/* Who is at a leaf of the key tree; NULL: nobody. SMQ_ERR_NOT_FOUND: there is no such leaf. */
SMQ_MUST_USE smq_err smq_members_digest_set(struct smq_members_digest *d, uint64_t leaf,
					    const struct smq_member_record *record);
/* The same for many: place all, then rebuild once. Until then root and proofs are not of what was placed. */
SMQ_MUST_USE smq_err smq_members_digest_place(struct smq_members_digest *d, uint64_t leaf,
					      const struct smq_member_record *record);
SMQ_MUST_USE smq_err smq_members_digest_rebuild(struct smq_members_digest *d);

/* What the manifest carries; valid until the next change. */
const uint8_t *smq_members_digest_root(const struct smq_members_digest *d);
SMQ_MUST_USE smq_err smq_members_digest_prove(const struct smq_members_digest *d, uint64_t leaf,
					      struct smq_member_proof *ret_proof);

/* height and root: the manifest's. SMQ_ERR_NOT_PROVEN: this member is not in there, or not like this. */
SMQ_MUST_USE smq_err smq_member_proof_verify(const struct smq_crypto *crypto, const struct smq_member_proof *proof,
					     const struct smq_member_record *record, unsigned height,
					     const uint8_t root[SMQ_HASH_LEN]);

#endif
