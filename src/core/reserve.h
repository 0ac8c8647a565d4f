/*
 * Boot ids, and counters for a sender that keeps its boot id (PROTOCOL.md 3.7).
 *
 * A sender takes a fresh boot id at every start and counts from zero. Only a device without a trustworthy random
 * source keeps its boot id, and must then never use a counter before a higher one is on its disk:
 *
 *     smq_reserve_init(&r, what the store holds, block);
 *     if (smq_reserve_next(&r, &value)) { store value durably; smq_reserve_stored(&r, value); }
 *     sealer.next_counter = smq_reserve_start(&r);  sealer.counter_limit = smq_reserve_limit(&r);
 *
 * and again, before the limit is reached, with smq_reserve_used. What was reserved and not used when the device
 * fell is skipped. A disk restored from a backup reserves the same numbers twice: that case needs a fresh boot id.
 */
#ifndef SMQ_CORE_RESERVE_H
#define SMQ_CORE_RESERVE_H

#include <stdbool.h>

#include "core/seal.h"

/* A fresh boot id. SMQ_ERR_CRYPTO where the source gives nothing but zeroes. */
SMQ_MUST_USE smq_err smq_boot_id_new(const struct smq_random *random, uint8_t ret_boot_id[SMQ_BOOT_ID_LEN]);

struct smq_reserve {
	uint64_t start;   /* first counter of this life */
	uint64_t next;    /* first counter not used yet */
	uint64_t stored;  /* first counter that is not reserved on disk */
	uint64_t pending; /* being stored; 0: nothing is */
	uint64_t block;
};

/* stored: the last value stored, 0 on a first start. block: counters per write, at least 1. */
void smq_reserve_init(struct smq_reserve *r, uint64_t stored, uint64_t block);
/* Whether something must be stored now: at the start, and once half of the block is used. */
bool smq_reserve_next(struct smq_reserve *r, uint64_t *ret_value);
/* The value is durable. Only now do the counters below it count. */
void smq_reserve_stored(struct smq_reserve *r, uint64_t value);
/* All counters below next have been used. */
void smq_reserve_used(struct smq_reserve *r, uint64_t next);
uint64_t smq_reserve_start(const struct smq_reserve *r);
uint64_t smq_reserve_limit(const struct smq_reserve *r);

#endif
