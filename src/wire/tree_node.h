/*
 * The node message of a group's key tree (PROTOCOL.md 6.2): a node's fresh key, wrapped for each of its children.
 *
 *     [ 1, height, index, epoch, children, [ version, ... ], wraps : bstr ]
 *
 * children has a bit for each child that leads to a member; versions and wraps (48 bytes each) are theirs, in order.
 */
#ifndef SMQ_WIRE_TREE_NODE_H
#define SMQ_WIRE_TREE_NODE_H

#include <stdbool.h>

#include <sealmq/crypto.h>

enum {
	SMQ_TREE_ARITY = 4,
	SMQ_TREE_HEIGHT_MAX = 12, /* 16 million members */
	SMQ_TREE_KEY_LEN = 32,
	SMQ_TREE_WRAP_LEN = SMQ_TREE_KEY_LEN + 16,
	SMQ_TREE_NODE_MAX = 320 /* bytes of a node message at most */
};

struct smq_tree_wrap {
	bool there;
	uint64_t version; /* of the child's key that wraps */
	uint8_t bytes[SMQ_TREE_WRAP_LEN];
};

struct smq_tree_node_message {
	unsigned height; /* 1: parents of leaves */
	uint64_t index;
	uint64_t epoch;
	struct smq_tree_wrap wraps[SMQ_TREE_ARITY];
};

SMQ_MUST_USE smq_err smq_tree_node_encode(const struct smq_tree_node_message *message, smq_mspan room, size_t *ret_len);
SMQ_MUST_USE smq_err smq_tree_node_decode(smq_span bytes, struct smq_tree_node_message *ret_message);

#endif
