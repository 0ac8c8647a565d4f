/*
 * A sender of a static group that keeps its boot id (PROTOCOL.md 3.7): the id and the reserved counters, in the store
 * (FORMATS.md 2.3).
 *
 *     smq_kept_life_begin(&l, store, crypto, random, &group);
 *     for each message: smq_kept_life_before_seal(&l, &group.sealer), then smq_group_seal
 *     smq_kept_life_end(&l, &group.sealer);
 *
 * A counter is used only once a higher number is durable. The store belongs to one process at a time, so no two
 * processes of one state directory share it; a copied or restored one repeats counters, and nothing here can notice.
 */
#ifndef SMQ_APP_KEPT_LIFE_H
#define SMQ_APP_KEPT_LIFE_H

#include "app/store.h"
#include "core/group.h"
#include "core/reserve.h"

/* Counters reserved by one write: twice as many each time that the writer was not done when they were needed. */
enum { SMQ_KEPT_LIFE_BLOCK = 1024, SMQ_KEPT_LIFE_BLOCK_MAX = 65536, SMQ_KEPT_LIFE_LEN = SMQ_BOOT_ID_LEN + 8 };

struct smq_kept_life {
	const struct smq_store *store;
	char key[48];
	uint8_t boot_id[SMQ_BOOT_ID_LEN];
	struct smq_reserve reserve;
};

/*
 * Takes up the life that the store holds for this group and epoch, or begins one, and reserves its first block. The
 * group seals under it from here on. The store's errors, SMQ_ERR_CORRUPT for a value that is none, and
 * SMQ_ERR_UNKNOWN_SENDER where the group cannot seal; l holds nothing then. The store outlives l.
 */
SMQ_MUST_USE smq_err smq_kept_life_begin(struct smq_kept_life *l, const struct smq_store *store,
					 const struct smq_crypto *crypto, const struct smq_random *random,
					 struct smq_group *group);
/* Reserves the next block when half of the last one is used, without waiting where the store writes behind
 * (app/store.h). Fails only where no reserved counter is left. */
SMQ_MUST_USE smq_err smq_kept_life_before_seal(struct smq_kept_life *l, struct smq_sealer *sealer);
/* Gives back what was reserved and not used, so that a clean restart skips nothing. Nothing may be sealed after it. */
void smq_kept_life_end(struct smq_kept_life *l, struct smq_sealer *sealer);

#endif
