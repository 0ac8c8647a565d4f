/*
 * One static group as a member sees it (PROTOCOL.md 6.1): seals under this life's boot id, opens what the other
 * members seal, and keeps one replay window per sender and boot id.
 *
 * The table of lives is the caller's and bounded; the life heard least recently makes room. Nothing is forgotten by
 * that: what every life may still send is kept behind struct smq_group_windows, and written before a message is
 * delivered.
 */
#ifndef SMQ_CORE_GROUP_H
#define SMQ_CORE_GROUP_H

#include "core/group_lives.h"
#include "core/keyschedule.h"
#include "core/seal.h"
#include "wire/group_file.h"

enum { SMQ_GROUP_COVERED_MAX = 64 };

struct smq_group {
	const struct smq_crypto *crypto;
	const struct smq_group_file *file;
	struct smq_traffic_secret traffic;
	bool may_seal;
	const char *prefix; /* the realm's control prefix, for commands (wire/command.h); NULL: none. The owner's */
	struct smq_sealer sealer;
	struct smq_group_lives lives;
	uint8_t covered[SMQ_GROUP_COVERED_MAX]; /* the topic that was last found to be covered */
	size_t covered_len;
};

struct smq_group_opened {
	const char *sender; /* from the group's file */
	size_t len;
	uint64_t missing;               /* newly skipped */
	bool repeated;                  /* opened before; only where lives.repeats is set */
	const struct smq_seal_key *key; /* that it was sealed under; until the next call */
};

/*
 * file, windows and lives (life_count >= 1 of them, zeroed) stay the caller's and outlive the group. self: our name;
 * one that is not in the file may open and not seal (SMQ_ERR_UNKNOWN_SENDER then). Draws the boot id of this life.
 */
SMQ_MUST_USE smq_err smq_group_init(struct smq_group *g, const struct smq_crypto *crypto,
				    const struct smq_random *random, const struct smq_group_file *file,
				    const char *self, const struct smq_group_windows *windows,
				    struct smq_group_life *lives, size_t life_count);
/* Seals under a boot id that is kept instead of this life's own, from a counter on, with a limit that is that counter:
 * whoever reserves counters raises it (core/reserve.h). Before the first seal. SMQ_ERR_UNKNOWN_SENDER where it may not
 * seal at all. */
SMQ_MUST_USE smq_err smq_group_use_life(struct smq_group *g, const uint8_t boot_id[SMQ_BOOT_ID_LEN],
					uint64_t first_counter);
/* Settles the floors, so that a clean restart skips nothing, and wipes. */
void smq_group_done(struct smq_group *g);

/* Whether the group is for this topic: one of its filters matches, or it has none, or its commands go there. */
bool smq_group_covers(const struct smq_group *g, smq_span topic);
/* Whether this message is from a life in the table: the group to try first. */
bool smq_group_knows(const struct smq_group *g, const struct smq_sealed *sealed);

/* SMQ_ERR_TOPIC outside the filters; else as smq_seal. */
SMQ_MUST_USE smq_err smq_group_seal(struct smq_group *g, smq_span topic, int64_t stamp_ms, smq_span plain,
				    smq_mspan room, size_t *ret_len);
SMQ_MUST_USE smq_err smq_group_seal_proven(struct smq_group *g, smq_span topic, int64_t stamp_ms, smq_span plain,
					   struct smq_seal_proof *proof, smq_mspan room, size_t *ret_len);
/*
 * SMQ_ERR_NO_KEY (no message of a static group, or an epoch to come), SMQ_ERR_STALE_EPOCH, SMQ_ERR_TOPIC,
 * SMQ_ERR_UNKNOWN_SENDER, and those of smq_open. Where the window cannot be saved the message is not delivered, and
 * the store's error is returned.
 */
SMQ_MUST_USE smq_err smq_group_open(struct smq_group *g, const struct smq_sealed *sealed, smq_span topic,
				    int64_t mono_ms, smq_mspan room, struct smq_group_opened *ret_opened);

/* The seal context of a message of this group; for inspect. SMQ_ERR_UNKNOWN_SENDER, SMQ_ERR_NO_KEY. */
SMQ_MUST_USE smq_err smq_group_context(const struct smq_group_file *file, const struct smq_sealed *sealed,
				       struct smq_seal_context *ret_context);

#endif
