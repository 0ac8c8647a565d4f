/* What both sides of the key tree derive (PROTOCOL.md 6.1, 6.2); shared by keytree.c and keypath.c. */
#ifndef SMQ_CORE_KEYTREE_KEYS_H
#define SMQ_CORE_KEYTREE_KEYS_H

#include "core/keytree.h"

/* Moves a node's key on to this version. SMQ_ERR_STALE_EPOCH: it has passed; SMQ_ERR_MALFORMED: absurdly far. */
SMQ_MUST_USE smq_err smq_tree_ratchet(const struct smq_crypto *crypto, struct smq_tree_node *node, uint64_t version);

/* Wraps the key of node (height, index) under the key of each of its children that is given, all at a time; those that
 * are NULL are left out. */
SMQ_MUST_USE smq_err smq_tree_wrap(const struct smq_tree_scope *scope,
				   const struct smq_tree_node *const children[SMQ_TREE_ARITY],
				   const struct smq_tree_key *key, struct smq_tree_node_message *of);
/* Unwraps it under one of them. */
SMQ_MUST_USE smq_err smq_tree_unwrap(const struct smq_tree_scope *scope, const struct smq_tree_node *child,
				     const struct smq_tree_node_message *of, unsigned child_number,
				     struct smq_tree_key *ret_key);

#endif
