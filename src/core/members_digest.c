/* The digest of a group's members (PROTOCOL.md 6.7). */
#include "core/members_digest.h"

static const uint8_t nobody[SMQ_HASH_LEN];

/* ---- hashing: leaves and nodes begin differently, so that neither passes for the other ---- */

static smq_err hash_leaf(const struct smq_crypto *crypto, const struct smq_member_record *record,
			 uint8_t ret_hash[SMQ_HASH_LEN])
{
	uint8_t bytes[1 + SMQ_MEMBER_RECORD_MAX] = { 0 };
	size_t len = 0;
	if (!record) {
		memset(ret_hash, 0, SMQ_HASH_LEN);
		return SMQ_OK;
	}
	smq_err err = smq_member_record_encode(record, smq_mspan_of(bytes + 1, sizeof(bytes) - 1), &len);
	smq_span all = smq_span_of(bytes, len + 1);
	return err != SMQ_OK ? err : crypto->sha256(&all, 1, ret_hash);
}

/* children: four hashes, one after the other. */
static smq_err hash_node(const struct smq_crypto *crypto, const uint8_t *children, uint8_t ret_hash[SMQ_HASH_LEN])
{
	const smq_span parts[] = { smq_span_of("\x01", 1), smq_span_of(children, SMQ_TREE_ARITY * SMQ_HASH_LEN) };
	for (unsigned i = 0; i < SMQ_TREE_ARITY; i++) {
		if (memcmp(children + i * SMQ_HASH_LEN, nobody, SMQ_HASH_LEN) != 0)
			return crypto->sha256(parts, 2, ret_hash);
	}
	memset(ret_hash, 0, SMQ_HASH_LEN);
	return SMQ_OK;
}

/* ---- the tree ---- */

static uint64_t level_count(unsigned tree_height, unsigned level) { return UINT64_C(1) << 2 * (tree_height - level); }

static uint8_t *node_at(const struct smq_members_digest *d, unsigned level, uint64_t index)
{
	return d->levels[level] + (size_t)index * SMQ_HASH_LEN;
}

size_t smq_members_digest_size(unsigned height)
{
	uint64_t nodes = 0;
	if (height < 1 || height > SMQ_TREE_HEIGHT_MAX)
		return 0;
	for (unsigned level = 0; level <= height; level++)
		nodes += level_count(height, level);
	return nodes > SIZE_MAX / SMQ_HASH_LEN ? 0 : (size_t)nodes * SMQ_HASH_LEN;
}

smq_err smq_members_digest_init(struct smq_members_digest *d, const struct smq_crypto *crypto, unsigned height,
				void *memory, size_t len)
{
	size_t size = smq_members_digest_size(height);
	uint8_t *at = memory;
	if (size == 0)
		return SMQ_ERR_USAGE;
	if (len < size)
		return SMQ_ERR_NO_ROOM;
	*d = (struct smq_members_digest){ .crypto = crypto, .height = height };
	memset(memory, 0, size);
	for (unsigned level = 0; level <= height; level++) {
		d->levels[level] = at;
		at += (size_t)level_count(height, level) * SMQ_HASH_LEN;
	}
	return SMQ_OK;
}

smq_err smq_members_digest_grow(struct smq_members_digest *d, void *memory, size_t len)
{
	struct smq_members_digest bigger;
	smq_err err = smq_members_digest_init(&bigger, d->crypto, d->height + 1, memory, len);
	if (err != SMQ_OK)
		return err;
	for (unsigned level = 0; level <= d->height; level++)
		memcpy(bigger.levels[level], d->levels[level], (size_t)level_count(d->height, level) * SMQ_HASH_LEN);
	err = hash_node(d->crypto, bigger.levels[d->height], bigger.levels[bigger.height]);
	if (err == SMQ_OK)
		*d = bigger;
	return err;
}

smq_err smq_members_digest_place(struct smq_members_digest *d, uint64_t leaf, const struct smq_member_record *record)
{
	uint8_t hash[SMQ_HASH_LEN];
	if (leaf >= level_count(d->height, 0))
		return SMQ_ERR_NOT_FOUND;
	smq_err err = hash_leaf(d->crypto, record, hash);
	if (err == SMQ_OK)
		memcpy(node_at(d, 0, leaf), hash, SMQ_HASH_LEN);
	return err;
}

smq_err smq_members_digest_set(struct smq_members_digest *d, uint64_t leaf, const struct smq_member_record *record)
{
	smq_err err = smq_members_digest_place(d, leaf, record);
	for (unsigned level = 1; level <= d->height && err == SMQ_OK; level++) {
		leaf /= SMQ_TREE_ARITY;
		err = hash_node(d->crypto, node_at(d, level - 1, leaf * SMQ_TREE_ARITY), node_at(d, level, leaf));
	}
	return err;
}

smq_err smq_members_digest_rebuild(struct smq_members_digest *d)
{
	smq_err err = SMQ_OK;
	for (unsigned level = 1; level <= d->height; level++) {
		for (uint64_t i = 0; i < level_count(d->height, level) && err == SMQ_OK; i++)
			err = hash_node(d->crypto, node_at(d, level - 1, i * SMQ_TREE_ARITY), node_at(d, level, i));
	}
	return err;
}

const uint8_t *smq_members_digest_root(const struct smq_members_digest *d) { return d->levels[d->height]; }

/* ---- proofs ---- */

smq_err smq_members_digest_prove(const struct smq_members_digest *d, uint64_t leaf, struct smq_member_proof *ret_proof)
{
	struct smq_member_proof p = { .leaf = leaf, .height = d->height };
	if (leaf >= level_count(d->height, 0))
		return SMQ_ERR_NOT_FOUND;
	for (unsigned level = 0; level < d->height; level++) {
		uint64_t first = leaf - leaf % SMQ_TREE_ARITY;
		unsigned at = 0;
		for (uint64_t i = first; i < first + SMQ_TREE_ARITY; i++) {
			if (i != leaf)
				memcpy(p.siblings[level][at++], node_at(d, level, i), SMQ_HASH_LEN);
		}
		leaf /= SMQ_TREE_ARITY;
	}
	*ret_proof = p;
	return SMQ_OK;
}

smq_err smq_member_proof_verify(const struct smq_crypto *crypto, const struct smq_member_proof *proof,
				const struct smq_member_record *record, unsigned height,
				const uint8_t root[SMQ_HASH_LEN])
{
	uint8_t hash[SMQ_HASH_LEN];
	uint64_t leaf = proof->leaf;
	if (proof->height != height || height < 1 || height > SMQ_TREE_HEIGHT_MAX || leaf >= level_count(height, 0))
		return SMQ_ERR_NOT_PROVEN;
	smq_err err = hash_leaf(crypto, record, hash);
	for (unsigned level = 0; level < height && err == SMQ_OK; level++) {
		uint8_t children[SMQ_TREE_ARITY * SMQ_HASH_LEN];
		unsigned at = 0;
		for (unsigned i = 0; i < SMQ_TREE_ARITY; i++) {
			const uint8_t *child = i == leaf % SMQ_TREE_ARITY ? hash : proof->siblings[level][at++];
			memcpy(children + i * SMQ_HASH_LEN, child, SMQ_HASH_LEN);
		}
		err = hash_node(crypto, children, hash);
		leaf /= SMQ_TREE_ARITY;
	}
	if (err != SMQ_OK)
		return err;
	return memcmp(hash, root, SMQ_HASH_LEN) == 0 ? SMQ_OK : SMQ_ERR_NOT_PROVEN;
}
