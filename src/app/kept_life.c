/* A sender of a static group that keeps its boot id (PROTOCOL.md 3.7). */
#include "app/kept_life.h"

#include <stdio.h>

#include "app/group_windows.h"
#include "base/big_endian.h"
#include "base/varint.h"

static void encode(const struct smq_kept_life *l, uint64_t next, uint8_t ret_value[SMQ_KEPT_LIFE_LEN])
{
	memcpy(ret_value, l->boot_id, SMQ_BOOT_ID_LEN);
	smq_put_be(ret_value + SMQ_BOOT_ID_LEN, next, SMQ_KEPT_LIFE_LEN - SMQ_BOOT_ID_LEN);
}

static smq_err put(const struct smq_kept_life *l, uint64_t next)
{
	uint8_t value[SMQ_KEPT_LIFE_LEN];
	encode(l, next, value);
	return l->store->put(l->store->self, l->key, smq_span_of(value, sizeof(value)));
}

static bool put_behind(const struct smq_kept_life *l, uint64_t next)
{
	uint8_t value[SMQ_KEPT_LIFE_LEN];
	encode(l, next, value);
	return l->store->put_behind &&
	       l->store->put_behind(l->store->self, l->key, smq_span_of(value, sizeof(value))) == SMQ_OK;
}

/* Of what was asked for: it is durable now, or was not written, and is written now. Who has to wait for it asks for
 * more the next time. */
static smq_err finish(struct smq_kept_life *l)
{
	uint8_t want[SMQ_KEPT_LIFE_LEN], have[SMQ_KEPT_LIFE_LEN];
	size_t len = 0;
	bool waited = l->store->catch_up(l->store->self, l->key);
	encode(l, l->reserve.pending, want);
	smq_err err = l->store->get(l->store->self, l->key, smq_mspan_of(have, sizeof(have)), &len);
	if (err != SMQ_OK || len != sizeof(have) || memcmp(have, want, sizeof(have)) != 0)
		err = put(l, l->reserve.pending);
	if (waited && l->reserve.block < SMQ_KEPT_LIFE_BLOCK_MAX)
		l->reserve.block *= 2;
	return err;
}

/* The value, or a fresh boot id where there is none yet. */
static smq_err get(struct smq_kept_life *l, const struct smq_random *random)
{
	uint8_t value[SMQ_KEPT_LIFE_LEN];
	uint64_t next = 0;
	size_t len = 0;
	smq_err err = l->store->get(l->store->self, l->key, smq_mspan_of(value, sizeof(value)), &len);
	if (err == SMQ_ERR_NOT_FOUND) {
		smq_reserve_init(&l->reserve, 0, SMQ_KEPT_LIFE_BLOCK);
		return smq_boot_id_new(random, l->boot_id);
	}
	if (err == SMQ_ERR_NO_ROOM || (err == SMQ_OK && len != sizeof(value)))
		return SMQ_ERR_CORRUPT;
	if (err != SMQ_OK)
		return err;
	next = smq_get_be(value + SMQ_BOOT_ID_LEN, sizeof(value) - SMQ_BOOT_ID_LEN);
	/* zeroes are what a file system leaves of a file whose content it lost */
	if (next > SMQ_VARINT_MAX + 1 || smq_span_is_zero(smq_span_of(value, SMQ_BOOT_ID_LEN)))
		return SMQ_ERR_CORRUPT;
	memcpy(l->boot_id, value, SMQ_BOOT_ID_LEN);
	smq_reserve_init(&l->reserve, next, SMQ_KEPT_LIFE_BLOCK);
	return SMQ_OK;
}

static smq_err reserve(struct smq_kept_life *l, struct smq_sealer *sealer)
{
	uint64_t value = l->reserve.pending;
	bool needed = sealer->next_counter >= smq_reserve_limit(&l->reserve);
	smq_err err;
	smq_reserve_used(&l->reserve, sealer->next_counter);
	if (value && !needed)
		return SMQ_OK;
	if (value) {
		err = finish(l);
	} else {
		if (!smq_reserve_next(&l->reserve, &value))
			return SMQ_OK;
		if (!needed && put_behind(l, value))
			return SMQ_OK;
		err = put(l, value);
	}
	smq_reserve_stored(&l->reserve, err == SMQ_OK ? value : 0);
	sealer->counter_limit = smq_reserve_limit(&l->reserve);
	return err;
}

smq_err smq_kept_life_begin(struct smq_kept_life *l, const struct smq_store *store, const struct smq_crypto *crypto,
			    const struct smq_random *random, struct smq_group *group)
{
	struct smq_kept_life life = { .store = store };
	char digest[SMQ_GROUP_STATE_DIGEST_ROOM];
	smq_err err = group->may_seal ? smq_group_state_digest(crypto, group->file, digest) : SMQ_ERR_UNKNOWN_SENDER;
	if (err != SMQ_OK)
		return err;
	snprintf(life.key, sizeof(life.key), "life-%s", digest);
	err = get(&life, random);
	if (err == SMQ_OK)
		err = smq_group_use_life(group, life.boot_id, smq_reserve_start(&life.reserve));
	if (err == SMQ_OK)
		err = reserve(&life, &group->sealer);
	if (err == SMQ_OK)
		*l = life;
	return err;
}

smq_err smq_kept_life_before_seal(struct smq_kept_life *l, struct smq_sealer *sealer)
{
	smq_err err = reserve(l, sealer);
	return err != SMQ_OK && sealer->next_counter >= sealer->counter_limit ? err : SMQ_OK;
}

void smq_kept_life_end(struct smq_kept_life *l, struct smq_sealer *sealer)
{
	smq_err err = SMQ_OK;
	if (l->store && (l->reserve.pending || sealer->next_counter < smq_reserve_limit(&l->reserve)))
		err = put(l, sealer->next_counter);
	(void)err; /* then the next life skips what was reserved */
	sealer->counter_limit = 0;
	*l = (struct smq_kept_life){ 0 };
}
