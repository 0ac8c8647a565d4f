/*
 * The key tree of a group (PROTOCOL.md 6.2): a logical key hierarchy of arity 4 whose nodes move one way.
 *
 * smq_keytree is the key server's side, the whole tree; smq_keypath is a member's, its own path. Height 0 are the
 * leaves. A node's key has a version: it is ratcheted, one way, each time it has wrapped its parent's key and each
 * time a newcomer is to be given it. Both sides ratchet only as far as a message names, so nobody works for epochs
 * that did not touch him.
 *
 * A batch: any number of joins and leaves, then smq_keytree_advance makes them one epoch and hands out the messages.
 */
#ifndef SMQ_CORE_KEYTREE_H
#define SMQ_CORE_KEYTREE_H

#include "wire/tree_node.h"

struct smq_tree_key {
	uint8_t b[SMQ_TREE_KEY_LEN];
};

/* A node as its holder knows it. */
struct smq_tree_node {
	struct smq_tree_key key;
	uint64_t version;
	uint64_t refreshed; /* epoch at which the key was drawn afresh */
};

/* What wraps and epoch secrets are bound to. The spans outlive every use. */
struct smq_tree_scope {
	const struct smq_crypto *crypto;
	const struct smq_random *random; /* key server only */
	smq_span realm, group;
};

/* ---- the key server's side ---- */

typedef struct smq_keytree smq_keytree;

#define SMQ_NO_LEAF UINT64_MAX

/* Bytes of memory for a tree of 4^height leaves; 0 where height is 0 or above SMQ_TREE_HEIGHT_MAX. */
size_t smq_keytree_size(unsigned height);
/* An empty tree at this epoch; its inner keys are drawn. scope is kept by pointer. */
SMQ_MUST_USE smq_err smq_keytree_init(void *memory, size_t len, unsigned height, uint64_t epoch,
				      const struct smq_tree_scope *scope, smq_keytree **ret_tree);
/* The same tree, one level higher, in new memory; the old one is wiped. Only between batches. */
SMQ_MUST_USE smq_err smq_keytree_grow(smq_keytree *t, void *memory, size_t len, smq_keytree **ret_tree);
void smq_keytree_done(smq_keytree *t);

unsigned smq_keytree_height(const smq_keytree *t);
uint64_t smq_keytree_epoch(const smq_keytree *t);
uint64_t smq_keytree_member_count(const smq_keytree *t);
uint64_t smq_keytree_capacity(const smq_keytree *t);

/* Takes a free leaf. SMQ_ERR_FULL: grow first. */
SMQ_MUST_USE smq_err smq_keytree_join(smq_keytree *t, uint64_t *ret_leaf);
/* SMQ_ERR_NOT_FOUND: nobody is there. */
SMQ_MUST_USE smq_err smq_keytree_leave(smq_keytree *t, uint64_t leaf);
/* The root gets a fresh key with the next epoch although nobody leaves. */
void smq_keytree_rotate(smq_keytree *t);
/*
 * Every inner node gets a fresh key with the next epoch. For a tree that was put back from a backup: whoever joined
 * since then holds inner keys that the tree still has, though it knows nothing of him.
 */
void smq_keytree_renew(smq_keytree *t);

/*
 * Makes what was gathered one epoch (above the present one; it need not be the next, see restores) and calls emit
 * for each node message, from the lowest up. Store the tree before anything of it is published.
 */
SMQ_MUST_USE smq_err smq_keytree_advance(smq_keytree *t, uint64_t epoch, void *self,
					 smq_err (*emit)(void *self, const struct smq_tree_node_message *message));

/* A member's nodes from its leaf (0) to the root (height): what its join answer carries. */
SMQ_MUST_USE smq_err smq_keytree_path(const smq_keytree *t, uint64_t leaf,
				      struct smq_tree_node ret_path[SMQ_TREE_HEIGHT_MAX + 1]);
const struct smq_tree_node *smq_keytree_node(const smq_keytree *t, unsigned height, uint64_t index);
/* Whether somebody who has left knows this node's key, so that the next epoch refreshes it. Goes into the store with
 * the node: forgotten over a restart, the leaver could follow. */
bool smq_keytree_is_dirty(const smq_keytree *t, unsigned height, uint64_t index);
/* For loading from a store: sets a node as it was. */
SMQ_MUST_USE smq_err smq_keytree_load(smq_keytree *t, unsigned height, uint64_t index, const struct smq_tree_node *node,
				      bool dirty);
/* Nodes that changed since this was last asked; for the store. False at the end; then the marks are gone. */
bool smq_keytree_next_changed(smq_keytree *t, unsigned *height, uint64_t *index);

/* ---- a member's side ---- */

struct smq_keypath {
	const struct smq_tree_scope *scope;
	uint64_t leaf;
	unsigned height;
	uint64_t epoch; /* the nodes are known as of this one */
	struct smq_tree_node nodes[SMQ_TREE_HEIGHT_MAX + 1];
};

/* Index of the path's node at this height: what to subscribe to, heights 1 to `height`. */
uint64_t smq_keypath_index(const struct smq_keypath *p, unsigned height);
/* The tree has grown: the path gets further nodes, unknown until their messages come. */
SMQ_MUST_USE smq_err smq_keypath_grow(struct smq_keypath *p, unsigned height);

/*
 * Follows the tree to a new epoch: messages[h - 1] is the newest message of the path's node at height h, or NULL
 * where none is there. root_version and commitment are the manifest's. The path changes only if the epoch secret that
 * comes out fits the commitment. SMQ_ERR_OPEN: it does not, or a wrap does not verify; SMQ_ERR_NO_KEY: a message is
 * missing, or we are not among those for whom it was wrapped; SMQ_ERR_STALE_EPOCH: not above the present epoch.
 */
SMQ_MUST_USE smq_err smq_keypath_follow(struct smq_keypath *p, uint64_t epoch,
					const struct smq_tree_node_message *const messages[SMQ_TREE_HEIGHT_MAX],
					uint64_t root_version, const uint8_t commitment[SMQ_HASH_LEN],
					struct smq_tree_key *ret_epoch_secret);
void smq_keypath_done(struct smq_keypath *p);

/* ---- both ---- */

/* PROTOCOL.md 6.1 */
SMQ_MUST_USE smq_err smq_epoch_secret(const struct smq_tree_scope *scope, const struct smq_tree_key *root,
				      uint64_t epoch, struct smq_tree_key *ret_secret);
SMQ_MUST_USE smq_err smq_epoch_commitment(const struct smq_tree_scope *scope, const struct smq_tree_key *secret,
					  uint64_t epoch, uint8_t ret_commitment[SMQ_HASH_LEN]);

#endif
