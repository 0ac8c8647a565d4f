/* A member's side of the key tree: its own path (PROTOCOL.md 6.2). */
#include "base/wipe.h"
#include "core/keytree_keys.h"

uint64_t smq_keypath_index(const struct smq_keypath *p, unsigned height) { return p->leaf >> (2 * height); }

smq_err smq_keypath_grow(struct smq_keypath *p, unsigned height)
{
	if (height < p->height)
		return SMQ_ERR_STALE_EPOCH;
	if (height > SMQ_TREE_HEIGHT_MAX)
		return SMQ_ERR_TOO_LARGE;
	for (unsigned h = p->height + 1; h <= height; h++)
		memset(&p->nodes[h], 0, sizeof(p->nodes[h]));
	p->height = height;
	return SMQ_OK;
}

void smq_keypath_done(struct smq_keypath *p) { smq_wipe(p, sizeof(*p)); }

/* Takes the key of the path's node at this height out of its message. The child's key moves on, as the server's did. */
static smq_err step_up(struct smq_keypath *p, unsigned height, const struct smq_tree_node_message *m)
{
	struct smq_tree_node *child = &p->nodes[height - 1];
	unsigned number = (unsigned)(smq_keypath_index(p, height - 1) % SMQ_TREE_ARITY);
	struct smq_tree_node node = { .refreshed = m->epoch };
	if (m->height != height || m->index != smq_keypath_index(p, height) || !m->wraps[number].there)
		return SMQ_ERR_NO_KEY;
	smq_err err = smq_tree_ratchet(p->scope->crypto, child, m->wraps[number].version);
	if (err == SMQ_OK)
		err = smq_tree_unwrap(p->scope, child, m, number, &node.key);
	if (err == SMQ_OK)
		err = smq_tree_ratchet(p->scope->crypto, child, child->version + 1);
	if (err == SMQ_OK)
		p->nodes[height] = node;
	smq_wipe(&node, sizeof(node));
	return err;
}

static smq_err follow(struct smq_keypath *p, uint64_t epoch,
		      const struct smq_tree_node_message *const messages[SMQ_TREE_HEIGHT_MAX], uint64_t root_version,
		      const uint8_t commitment[SMQ_HASH_LEN], struct smq_tree_key *ret_secret)
{
	uint8_t made[SMQ_HASH_LEN];
	smq_err err = SMQ_OK;
	for (unsigned h = 1; h <= p->height && err == SMQ_OK; h++) {
		const struct smq_tree_node_message *m = messages[h - 1];
		if (m && m->epoch > epoch)
			return SMQ_ERR_STALE_EPOCH; /* the manifest in hand is older than its nodes */
		if (m && m->epoch > p->nodes[h].refreshed)
			err = step_up(p, h, m);
	}
	if (err == SMQ_OK)
		err = smq_tree_ratchet(p->scope->crypto, &p->nodes[p->height], root_version);
	if (err == SMQ_OK)
		err = smq_epoch_secret(p->scope, &p->nodes[p->height].key, epoch, ret_secret);
	if (err == SMQ_OK)
		err = smq_epoch_commitment(p->scope, ret_secret, epoch, made);
	if (err == SMQ_OK && !smq_equal_ct(made, commitment, sizeof(made)))
		err = SMQ_ERR_OPEN;
	return err;
}

smq_err smq_keypath_follow(struct smq_keypath *p, uint64_t epoch,
			   const struct smq_tree_node_message *const messages[SMQ_TREE_HEIGHT_MAX],
			   uint64_t root_version, const uint8_t commitment[SMQ_HASH_LEN],
			   struct smq_tree_key *ret_epoch_secret)
{
	struct smq_keypath next = *p;
	struct smq_tree_key secret;
	if (epoch <= p->epoch)
		return SMQ_ERR_STALE_EPOCH;
	smq_err err = follow(&next, epoch, messages, root_version, commitment, &secret);
	if (err == SMQ_OK) {
		next.epoch = epoch;
		*p = next;
		*ret_epoch_secret = secret;
	}
	smq_wipe(&next, sizeof(next));
	smq_wipe(&secret, sizeof(secret));
	return err;
}
