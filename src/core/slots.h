/*
 * Time slots and their keys (PROTOCOL.md 6.3): a binary tree of one-way derivations over the slots of slotted groups.
 *
 * Slots are numbered from the group's start and never end: 2^levels of them make one tree, the next tree has a root
 * of its own, so that renewing is nothing but drawing the next root. smq_slot_tree is the key server's side of one
 * tree, smq_slot_holder a member's: the seeds of its interval, minus those of the slots that have passed.
 *
 *     slot number (56 bits)  =  tree number || place in the tree (levels bits)
 */
#ifndef SMQ_CORE_SLOTS_H
#define SMQ_CORE_SLOTS_H

#include <stdbool.h>

#include "wire/slot_seeds.h"

#define SMQ_SLOT_MAX ((UINT64_C(1) << 56) - 1) /* what a sealed message can carry */

/* ---- time ---- */

struct smq_slot_times {
	int64_t start_ms; /* Unix time at which slot 0 begins */
	uint64_t slot_ms; /* at least 1 */
	unsigned levels;  /* 0 to SMQ_SLOT_LEVELS_MAX */
	uint64_t skew_ms; /* how far two clocks of the group may be apart */
};

/* SMQ_ERR_STATE: before the start. Beyond the last slot: the last. */
SMQ_MUST_USE smq_err smq_slot_at(const struct smq_slot_times *t, int64_t unix_ms, uint64_t *ret_slot);
/* When a slot begins; INT64_MAX where that is beyond time. */
int64_t smq_slot_begins_ms(const struct smq_slot_times *t, uint64_t slot);
/* Whether a message of this slot may arrive now: within the slot, give or take the skew. */
bool smq_slot_is_due(const struct smq_slot_times *t, uint64_t slot, int64_t now_ms);
/* The oldest slot that can still be due, now or later: everything below is to be forgotten. */
uint64_t smq_slot_floor(const struct smq_slot_times *t, int64_t now_ms);
/*
 * The slots that [from_ms, until_ms) touches: at least one, however short, and none beyond the last, however long.
 * SMQ_ERR_USAGE: the interval is empty or ends before the start.
 */
SMQ_MUST_USE smq_err smq_slot_interval(const struct smq_slot_times *t, int64_t from_ms, int64_t until_ms,
				       uint64_t *ret_first, uint64_t *ret_last);
uint64_t smq_slot_tree_of(unsigned levels, uint64_t slot);
/* The part of [first, last] that lies in this tree, counted within it; false: none does. */
bool smq_slot_part(unsigned levels, uint64_t tree, uint64_t first, uint64_t last, uint64_t *ret_first,
		   uint64_t *ret_last);

/* ---- the key server's side: one tree ---- */

struct smq_slot_tree {
	const struct smq_crypto *crypto;
	uint64_t number;
	unsigned levels;
	struct smq_slot_key root;
};

/* Draws the root. To load a tree, fill the struct instead. */
SMQ_MUST_USE smq_err smq_slot_tree_init(struct smq_slot_tree *t, const struct smq_crypto *crypto,
					const struct smq_random *random, uint64_t number, unsigned levels);
/* The fewest seeds that give exactly the slots first to last of this tree (counted within it). SMQ_ERR_USAGE where
 * that is no interval of it. ret_seeds are secrets. */
SMQ_MUST_USE smq_err smq_slot_cover(const struct smq_slot_tree *t, uint64_t first, uint64_t last,
				    struct smq_slot_seeds *ret_seeds);
void smq_slot_tree_done(struct smq_slot_tree *t);

/* ---- a member's side: its seeds of one tree ---- */

struct smq_slot_holder {
	const struct smq_crypto *crypto;
	uint64_t tree;
	unsigned levels;
	uint64_t floor; /* a slot number: what lies below has passed, for good */
	struct smq_slot_seeds seeds;
};

/* floor: as it was persisted, 0 at the first time. Seeds of slots below it are dropped at once. */
SMQ_MUST_USE smq_err smq_slot_holder_init(struct smq_slot_holder *h, const struct smq_crypto *crypto, uint64_t tree,
					  unsigned levels, uint64_t floor, const struct smq_slot_seeds *seeds);
/* Forgets what lies below this slot number: passed seeds are wiped, the one that reaches across is split. A lower
 * floor than before changes nothing, so a clock that jumps back reopens nothing. */
SMQ_MUST_USE smq_err smq_slot_holder_forget(struct smq_slot_holder *h, uint64_t floor);
/* SMQ_ERR_STALE_EPOCH: the slot has passed; SMQ_ERR_NO_KEY: it is not ours, or of another tree. */
SMQ_MUST_USE smq_err smq_slot_holder_key(const struct smq_slot_holder *h, uint64_t slot, struct smq_slot_key *ret_key);
void smq_slot_holder_done(struct smq_slot_holder *h);

#endif
