/*
 * The senders' lives that a member of a group hears: a replay window for each sender id and boot id, and its floor on
 * the disk (PROTOCOL.md 6.1, 7.6). Static groups and those of a key server have it in common.
 *
 * The table is the caller's and bounded; the life heard least recently makes room. Nothing is forgotten by that: what
 * every life may still send is kept behind struct smq_group_windows, and written before a message is delivered.
 */
#ifndef SMQ_CORE_GROUP_LIVES_H
#define SMQ_CORE_GROUP_LIVES_H

#include "core/seal.h"

/*
 * For every life ever heard, the counter below which everything is refused after a restart (its floor). save raises
 * it, never lowers it, and is durable when it returns SMQ_OK; load answers SMQ_ERR_NOT_FOUND for a life that is new.
 * settle lowers a floor that was written ahead to what was really heard, if it is still the one that we wrote.
 * save_behind (NULL: there is none) sets the same as save about, and returns at once: whether it was done is known to
 * the save of this floor that follows, which has little to do then.
 */
struct smq_group_windows {
	void *self;
	smq_err (*load)(void *self, uint64_t sender_id, const uint8_t boot_id[SMQ_BOOT_ID_LEN], uint64_t *ret_floor);
	smq_err (*save)(void *self, uint64_t sender_id, const uint8_t boot_id[SMQ_BOOT_ID_LEN], uint64_t floor);
	smq_err (*settle)(void *self, uint64_t sender_id, const uint8_t boot_id[SMQ_BOOT_ID_LEN], uint64_t written,
			  uint64_t floor);
	void (*save_behind)(void *self, uint64_t sender_id, const uint8_t boot_id[SMQ_BOOT_ID_LEN], uint64_t floor);
};

/* A sender between two of its starts: as many of them are in memory as there are senders, and what a message needs
 * lies together. */
struct smq_group_life {
	uint32_t first; /* of the table's index, not of this life: where the bucket of this place begins, from 1 */
	uint32_t next;  /* life in the same bucket, from 1; 0: none */
	uint64_t sender_id;
	uint8_t boot_id[SMQ_BOOT_ID_LEN];
	uint64_t heard;   /* larger is later; 0: nobody is in this place */
	uint64_t floor;   /* as saved */
	uint32_t ahead;   /* how far beyond the highest counter the last floor was set */
	uint32_t coming;  /* how far beyond floor the one is that is being saved; 0: none is */
	int64_t saved_ms; /* mono; when the last floor was asked for */
	struct smq_replay replay;
	struct smq_seal_key key; /* that its last message opened under */
};

struct smq_group_lives {
	const struct smq_group_windows *windows; /* NULL: not kept, for tests and inspection */
	struct smq_group_life *lives;            /* count >= 1 of them, zeroed at first */
	size_t count;
	size_t used;  /* beyond these places there was never anybody */
	bool repeats; /* what was opened before opens again: the caller tells repeats apart, durably */
	uint64_t ticks;
};

/* A message that is to be opened, and what comes of it. */
struct smq_arrival {
	const struct smq_sealed *sealed;
	const uint8_t *boot_id; /* of its sender, which not every header names */
	smq_span topic;
	int64_t mono_ms;
	smq_mspan room;
	size_t len;                     /* out: of the plaintext in room */
	uint64_t missing;               /* out: counters newly skipped */
	bool repeated;                  /* out: opened before; only where the table repeats */
	const struct smq_seal_key *key; /* out: the life's, until the next call */
};

/* NULL: not in the table. */
struct smq_group_life *smq_group_lives_find(const struct smq_group_lives *t, uint64_t sender_id,
					    const uint8_t boot_id[SMQ_BOOT_ID_LEN]);
/*
 * Opens under a key, in the window of the life (NULL: of one that is not in the table yet). A key other than the life's
 * own moves into the life on success, and is empty then; on failure it stays the caller's. Those of smq_open; where the
 * window cannot be saved the message is not delivered, and the store's error is returned.
 */
SMQ_MUST_USE smq_err smq_group_lives_open(struct smq_group_lives *t, struct smq_group_life *life,
					  struct smq_seal_key *key, struct smq_arrival *arrival);
/* Settles the floors, so that a clean restart skips nothing, and wipes. */
void smq_group_lives_done(struct smq_group_lives *t);

#endif
