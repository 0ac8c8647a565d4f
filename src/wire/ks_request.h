/*
 * What a member or an admin asks of the key server (PROTOCOL.md 7.3), in the clear; it travels sealed (7.2).
 *
 *     [ 1, what, group : tstr, ... ]
 *       join    roles, from_ms, until_ms / null, boot id : bstr .size 16
 *       leave   boot id : bstr .size 16
 *       fetch   [ * [ height, index ] ], [ * sender id ]
 *       policy  policy : bstr, admin : bstr          the signed document (6.5), ID_CRED_x of its signer by value;
 *                                                    group may be empty (a template's group is a pattern)
 *       list    offset                               group is empty
 *       show
 *       members offset
 *       rotate
 *       expel   name                                 group empty: from every group
 *       register    name, key : bstr .size 65        group is empty; a P-256 point 04 || x || y (7.8)
 *       unregister  name                             group is empty
 *       registered  offset                           group is empty
 *       register-many  commit, keys : bstr .cbor [ + [name, key] ]   group is empty; all of them or none
 */
#ifndef SMQ_WIRE_KS_REQUEST_H
#define SMQ_WIRE_KS_REQUEST_H

#include "wire/fields.h"
#include "wire/sealed.h"
#include "wire/tree_node.h"

enum smq_ks_what {
	SMQ_KS_JOIN = 1, /* also after a restart, and to hear everything again: it is idempotent (7.1) */
	SMQ_KS_LEAVE = 2,
	SMQ_KS_FETCH = 3,   /* what the broker should have retained: manifest, policy, nodes, sender cards */
	SMQ_KS_POLICY = 10, /* from here on: admins alone */
	SMQ_KS_LIST = 11,
	SMQ_KS_SHOW = 12,
	SMQ_KS_MEMBERS = 13,
	SMQ_KS_ROTATE = 14,
	SMQ_KS_EXPEL = 15,
	SMQ_KS_REGISTER = 16,
	SMQ_KS_UNREGISTER = 17,
	SMQ_KS_REGISTERED = 18,
	SMQ_KS_REGISTER_MANY = 19
};

enum { SMQ_JOIN_PUBLISH = 1, SMQ_JOIN_SUBSCRIBE = 2 }; /* what a member may do in a group */

enum {
	SMQ_KS_FETCH_NODES_MAX = SMQ_TREE_HEIGHT_MAX,
	SMQ_KS_FETCH_SENDERS_MAX = 32,
	SMQ_KS_KEYS_MAX = 100,         /* of one register-many: at most 134 bytes each */
	SMQ_KS_REQUEST_MAX = 16 * 1024 /* bytes; a policy and its admin's certificates are the longest */
};

struct smq_ks_request {
	enum smq_ks_what what;
	smq_span group;            /* a valid name, or empty where it says so above */
	unsigned roles;            /* join: SMQ_JOIN_* bits, at least one */
	int64_t from_ms, until_ms; /* join: Unix time; until INT64_MAX (null): as long as may be */
	uint8_t boot_id[SMQ_BOOT_ID_LEN];
	size_t node_count;
	struct {
		unsigned height;
		uint64_t index;
	} nodes[SMQ_KS_FETCH_NODES_MAX];
	size_t sender_count;
	uint64_t senders[SMQ_KS_FETCH_SENDERS_MAX];
	smq_span policy, admin;
	uint64_t offset;
	smq_span name;
	uint8_t key[SMQ_PUBLIC_KEY_MAX]; /* register */
	bool commit;                     /* register-many; false: it is only said what would be wrong */
	smq_span keys;                   /* as smq_ks_keys_encode writes them */
};

struct smq_ks_key {
	smq_span name;
	uint8_t key[SMQ_PUBLIC_KEY_MAX];
};
/* 1 to SMQ_KS_KEYS_MAX. */
SMQ_MUST_USE smq_err smq_ks_keys_encode(const struct smq_ks_key *keys, size_t count, smq_mspan room, size_t *ret_len);
SMQ_MUST_USE smq_err smq_ks_keys_decode(smq_span bytes, struct smq_ks_key ret_keys[SMQ_KS_KEYS_MAX], size_t *ret_count);

SMQ_MUST_USE smq_err smq_ks_request_encode(const struct smq_ks_request *request, smq_mspan room, size_t *ret_len);
/* Spans point into bytes. */
SMQ_MUST_USE smq_err smq_ks_request_decode(smq_span bytes, struct smq_ks_request *ret_request);

#endif
