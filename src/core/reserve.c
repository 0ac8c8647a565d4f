/* Boot ids, and counters for a sender that keeps its boot id (PROTOCOL.md 3.7). */
#include "core/reserve.h"

#include "base/varint.h"

smq_err smq_boot_id_new(const struct smq_random *random, uint8_t ret_boot_id[SMQ_BOOT_ID_LEN])
{
	uint8_t id[SMQ_BOOT_ID_LEN] = { 0 };
	uint8_t any = 0;
	smq_err err = random->fill(random->self, smq_mspan_of(id, sizeof(id)));
	if (err != SMQ_OK)
		return err;
	for (size_t i = 0; i < sizeof(id); i++)
		any |= id[i];
	if (!any)
		return SMQ_ERR_CRYPTO;
	memcpy(ret_boot_id, id, sizeof(id));
	return SMQ_OK;
}

void smq_reserve_init(struct smq_reserve *r, uint64_t stored, uint64_t block)
{
	*r = (struct smq_reserve){ .start = stored, .next = stored, .stored = stored, .block = block ? block : 1 };
}

bool smq_reserve_next(struct smq_reserve *r, uint64_t *ret_value)
{
	const uint64_t end = SMQ_VARINT_MAX + 1;
	bool due = r->stored - r->next <= r->block / 2;
	if (!due || r->pending || r->stored >= end)
		return false;
	r->pending = end - r->stored < r->block ? end : r->stored + r->block;
	*ret_value = r->pending;
	return true;
}

void smq_reserve_stored(struct smq_reserve *r, uint64_t value)
{
	if (value == r->pending && value > r->stored)
		r->stored = value;
	r->pending = 0;
}

void smq_reserve_used(struct smq_reserve *r, uint64_t next)
{
	if (next > r->next)
		r->next = next < r->stored ? next : r->stored;
}

uint64_t smq_reserve_start(const struct smq_reserve *r) { return r->start; }

uint64_t smq_reserve_limit(const struct smq_reserve *r) { return r->stored; }
