/*
 * Seeds of a slotted group's seed tree on the wire (PROTOCOL.md 6.3): what a member may derive slot keys from.
 *
 *     [ [ level, index, seed : bstr .size 32 ], ... ]
 *
 * The seed (level, index) stands for the 2^level slots from index * 2^level on; slots are counted within one tree.
 * The seeds are those of one interval, from its first slot on, and the fewest that there can be.
 */
#ifndef SMQ_WIRE_SLOT_SEEDS_H
#define SMQ_WIRE_SLOT_SEEDS_H

#include <sealmq/crypto.h>

enum {
	SMQ_SLOT_LEVELS = 16,     /* by default 65,536 slots in a tree: 7.6 days of 10 s each */
	SMQ_SLOT_LEVELS_MAX = 20, /* a million */
	SMQ_SLOT_KEY_LEN = 32,
	SMQ_SLOT_SEEDS_MAX = 2 * SMQ_SLOT_LEVELS_MAX, /* an interval needs no more than two for a level */
	SMQ_SLOT_SEEDS_BYTES_MAX = 4 + SMQ_SLOT_SEEDS_MAX * 41
};

struct smq_slot_key {
	uint8_t b[SMQ_SLOT_KEY_LEN];
};

struct smq_slot_seed {
	unsigned level; /* 0: the key of one slot */
	uint64_t index;
	struct smq_slot_key key;
};

struct smq_slot_seeds {
	size_t count;
	struct smq_slot_seed seeds[SMQ_SLOT_SEEDS_MAX];
};

/* The slots of one seed. */
uint64_t smq_slot_seed_first(const struct smq_slot_seed *seed);
uint64_t smq_slot_seed_last(const struct smq_slot_seed *seed);

/* The level of the largest seed, up to top, that begins at first and does not reach beyond last. */
unsigned smq_slot_level_at(uint64_t first, uint64_t last, unsigned top);

SMQ_MUST_USE smq_err smq_slot_seeds_encode(const struct smq_slot_seeds *seeds, smq_mspan room, size_t *ret_len);
/* SMQ_ERR_MALFORMED: not the seeds of an interval within a tree of 2^levels slots. ret_seeds are secrets. */
SMQ_MUST_USE smq_err smq_slot_seeds_decode(smq_span bytes, unsigned levels, struct smq_slot_seeds *ret_seeds);

#endif
