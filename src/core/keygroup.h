/*
 * A group as its key server keeps it: who is in it, under which sender id, at which leaf of the key tree
 * (PROTOCOL.md 6.2, 7.1). It decides nothing about admission: whoever calls has asked the policy.
 *
 * Joins and leaves are gathered; smq_keygroup_commit makes one epoch of them. The caller stores what changed before it
 * publishes anything, and grants the newcomers their place after that: smq_keygroup_grant.
 */
#ifndef SMQ_CORE_KEYGROUP_H
#define SMQ_CORE_KEYGROUP_H

#include <sealmq/credential.h>

#include "core/keytree.h"
#include "wire/fields.h"
#include "wire/ks_request.h" /* SMQ_JOIN_* */
#include "wire/policy.h"

struct smq_keygroup_member {
	char name[SMQ_MEMBER_NAME_MAX + 1]; /* empty: a free place */
	uint64_t sender_id;                 /* bound to boot_id; never given out twice in a group */
	uint64_t leaf;
	unsigned roles;            /* SMQ_JOIN_* */
	int64_t from_ms, until_ms; /* Unix time */
	uint8_t boot_id[SMQ_BOOT_ID_LEN];
	uint64_t joined; /* the epoch of its first join; 0 while that is still to come */
	bool changed;    /* since smq_keygroup_next_changed last named it */
};

struct smq_keygroup_config {
	const struct smq_tree_scope *scope; /* kept by pointer */
	enum smq_policy_mode mode;
	uint64_t members_max; /* at most 4^SMQ_TREE_HEIGHT_MAX */
	uint64_t epoch;       /* to begin after: the first commit makes a higher one */
	uint64_t next_sender_id;
};

typedef struct smq_keygroup smq_keygroup;

/* Bytes of memory needed, 0 where members_max is out of range. */
size_t smq_keygroup_size(const struct smq_keygroup_config *config);
SMQ_MUST_USE smq_err smq_keygroup_init(void *memory, size_t len, const struct smq_keygroup_config *config,
				       smq_keygroup **ret_group);
void smq_keygroup_done(smq_keygroup *g);

smq_keytree *smq_keygroup_tree(smq_keygroup *g);
uint64_t smq_keygroup_epoch(const smq_keygroup *g);
uint64_t smq_keygroup_member_count(const smq_keygroup *g);
uint64_t smq_keygroup_next_sender_id(const smq_keygroup *g);
const struct smq_keygroup_member *smq_keygroup_find(const smq_keygroup *g, smq_span name);
/* All members, by place: count up from 0 to below smq_keygroup_places. NULL: nobody has this place. */
uint64_t smq_keygroup_places(const smq_keygroup *g);
const struct smq_keygroup_member *smq_keygroup_at(const smq_keygroup *g, uint64_t place);

/* Four times as many places (at most), and a tree one level higher, in new memory of this size; the old one is wiped.
 * An epoch has to follow. 0: it is as large as it can be. */
size_t smq_keygroup_grown_size(const smq_keygroup *g);
SMQ_MUST_USE smq_err smq_keygroup_grow(smq_keygroup *g, void *memory, size_t len, smq_keygroup **ret_group);
/* Sender ids below this one are not given out any more (after a restore). */
void smq_keygroup_skip_sender_ids(smq_keygroup *g, uint64_t next);

struct smq_join {
	smq_span name;
	unsigned roles;
	int64_t from_ms, until_ms;
	uint8_t boot_id[SMQ_BOOT_ID_LEN];
};

/*
 * Takes a member in, or takes note that it is back: the same boot id changes nothing (a repeated request), another one
 * gets another sender id. *ret_pending: the grant has to wait for the next commit, because the epoch moves first.
 * SMQ_ERR_NAME, SMQ_ERR_USAGE (no role, empty interval), SMQ_ERR_FULL.
 */
SMQ_MUST_USE smq_err smq_keygroup_join(smq_keygroup *g, const struct smq_join *join, bool *ret_pending);
/* Lets a member go. *ret_moves: an epoch has to follow, for it could open what comes otherwise. SMQ_ERR_NOT_FOUND. */
SMQ_MUST_USE smq_err smq_keygroup_leave(smq_keygroup *g, smq_span name, bool expelled, bool *ret_moves);
void smq_keygroup_rotate(smq_keygroup *g);
/* After a restore: every key of the tree is drawn afresh with the next epoch (smq_keytree_renew). */
void smq_keygroup_renew(smq_keygroup *g);
/* Whether anything waits for a commit. */
bool smq_keygroup_is_dirty(const smq_keygroup *g);
/* Members whose interval ended before now are let go, without an epoch of their own (a foreseen leave). */
size_t smq_keygroup_lapse(smq_keygroup *g, int64_t now_ms);

/* What an epoch's manifest says of its keys. */
struct smq_epoch_keys {
	uint64_t epoch;
	unsigned height;
	uint64_t root_version;
	uint8_t commitment[SMQ_HASH_LEN];
	struct smq_tree_key secret; /* for a key server that is a member too, and for tests; wipe it */
};

/* One epoch of all that was gathered; emit as for smq_keytree_advance. epoch: above the present one. */
SMQ_MUST_USE smq_err smq_keygroup_commit(smq_keygroup *g, uint64_t epoch, void *self,
					 smq_err (*emit)(void *self, const struct smq_tree_node_message *message),
					 struct smq_epoch_keys *ret_keys);
/* The keys of the present epoch again. */
SMQ_MUST_USE smq_err smq_keygroup_keys(const smq_keygroup *g, struct smq_epoch_keys *ret_keys);

/* A member's place: what its answer carries. SMQ_ERR_NOT_FOUND; SMQ_ERR_STATE while its commit is still to come. */
struct smq_grant {
	uint64_t sender_id, leaf, epoch;
	unsigned roles, height;
	int64_t from_ms, until_ms;
	struct smq_tree_node path[SMQ_TREE_HEIGHT_MAX + 1];
};
SMQ_MUST_USE smq_err smq_keygroup_grant(const smq_keygroup *g, smq_span name, struct smq_grant *ret_grant);

/* Members that changed, for the store: false at the end. A member that left is named once more, with no role. */
bool smq_keygroup_next_changed(smq_keygroup *g, struct smq_keygroup_member *ret_member);
/* From the store, before anything else. The tree's nodes come through smq_keytree_load. */
SMQ_MUST_USE smq_err smq_keygroup_load(smq_keygroup *g, const struct smq_keygroup_member *member);

#endif
