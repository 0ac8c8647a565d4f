/* The senders' lives that a member of a group hears (PROTOCOL.md 6.1, 7.6). */
#include "core/group_lives.h"

#include "base/hot.h"
#include "base/varint.h"
#include "base/wipe.h"

/*
 * How far ahead of a sender its floor is written: one to two seconds of its messages, so that there is about one write
 * a second for each fast sender, and a crash costs at most what it sends in two. The next floor is asked for while a
 * quarter of that is left, so that the loop that receives does not wait for the disk.
 */
enum {
	PACE_MS = 1000,
	AHEAD_MIN = 16,
	AHEAD_SURE = 256,
	AHEAD_MAX = 262144,
	AHEAD_GROWTH_MAX = 16,
	LEFT_WHEN_ASKED = 4
};

/* Thousands of senders are thousands of these; with the key of each that the crypto library holds, 1,200 bytes. */
_Static_assert(sizeof(struct smq_group_life) <= 512, "a known sender's memory");

/* ---- the table ---- */

/* The index is part of the table: each place holds the head of one bucket. Boot ids are random, so they spread by
 * themselves; whoever chose his own could make one bucket as long as the table, which is all there was without. */
static uint32_t *bucket_of(const struct smq_group_lives *t, uint64_t sender_id, const uint8_t boot_id[SMQ_BOOT_ID_LEN])
{
	uint64_t h;
	memcpy(&h, boot_id, sizeof(h));
	h = (h ^ sender_id) * UINT64_C(0x9e3779b97f4a7c15) >> 32;
	return &t->lives[h * (uint32_t)t->count >> 32].first;
}

SMQ_HOT struct smq_group_life *smq_group_lives_find(const struct smq_group_lives *t, uint64_t sender_id,
						    const uint8_t boot_id[SMQ_BOOT_ID_LEN])
{
	for (uint32_t at = *bucket_of(t, sender_id, boot_id); at != 0; at = t->lives[at - 1].next) {
		struct smq_group_life *l = &t->lives[at - 1];
		if (l->sender_id == sender_id && memcmp(l->boot_id, boot_id, SMQ_BOOT_ID_LEN) == 0)
			return l;
	}
	return NULL;
}

static void link_life(const struct smq_group_lives *t, struct smq_group_life *l)
{
	uint32_t *bucket = bucket_of(t, l->sender_id, l->boot_id);
	l->next = *bucket;
	*bucket = (uint32_t)(l - t->lives) + 1;
}

static void unlink_life(const struct smq_group_lives *t, const struct smq_group_life *l)
{
	uint32_t number = (uint32_t)(l - t->lives) + 1;
	uint32_t *at = bucket_of(t, l->sender_id, l->boot_id);
	while (*at != number)
		at = &t->lives[*at - 1].next;
	*at = l->next;
}

static void wipe_life(struct smq_group_life *l)
{
	if (l->heard)
		smq_seal_key_done(&l->key);
	smq_wipe(l, sizeof(*l));
}

/* Settling is best effort: the floor that was written ahead is safe, it only refuses more than it must. */
static void forget_life(const struct smq_group_lives *t, struct smq_group_life *l)
{
	uint64_t next = l->replay.next, written = l->floor + l->coming;
	smq_err err = SMQ_OK;
	if (l->heard && t->windows && next < written)
		err = t->windows->settle(t->windows->self, l->sender_id, l->boot_id, written, next);
	(void)err;
	wipe_life(l);
}

static struct smq_group_life *free_life(struct smq_group_lives *t)
{
	if (t->used < t->count)
		return &t->lives[t->used++];
	struct smq_group_life *oldest = &t->lives[0];
	for (size_t i = 1; i < t->count; i++) {
		if (t->lives[i].heard < oldest->heard)
			oldest = &t->lives[i];
	}
	unlink_life(t, oldest);
	uint32_t first = oldest->first;
	forget_life(t, oldest);
	oldest->first = first;
	return oldest;
}

void smq_group_lives_done(struct smq_group_lives *t)
{
	for (size_t i = 0; i < t->used; i++)
		forget_life(t, &t->lives[i]);
}

/* ---- floors ---- */

/* How far ahead the next floor goes. A slow sender's is exact. */
static uint32_t next_ahead(const struct smq_group_life *l, int64_t mono_ms)
{
	int64_t since = mono_ms - l->saved_ms;
	if (l->floor == 0 || since >= 2 * PACE_MS)
		return l->ahead / 2 < AHEAD_MIN ? 0 : l->ahead / 2;
	if (since >= PACE_MS - PACE_MS / LEFT_WHEN_ASKED)
		return l->ahead;
	/* A burst is not taken for a pace: whoever crashes after it would miss as much of a slow sender. */
	int64_t growth = since > 0 && l->ahead >= AHEAD_SURE ? PACE_MS / since : 2;
	growth = growth > AHEAD_GROWTH_MAX ? AHEAD_GROWTH_MAX : growth < 2 ? 2 : growth;
	return l->ahead < AHEAD_MIN            ? AHEAD_MIN
	       : l->ahead > AHEAD_MAX / growth ? AHEAD_MAX
					       : l->ahead * (uint32_t)growth;
}

static uint64_t floor_beyond(uint64_t counter, uint32_t ahead)
{
	return SMQ_VARINT_MAX - counter < ahead ? SMQ_VARINT_MAX + 1 : counter + 1 + ahead;
}

/* Whether this counter is for save_ahead to look at. */
static bool is_due(const struct smq_group_lives *t, const struct smq_group_life *l, uint64_t counter)
{
	return t->windows && counter >= l->floor - (l->coming ? 0 : l->ahead / LEFT_WHEN_ASKED);
}

/* The present floor lasts for a while: the next one is only asked for. */
static void ask_ahead(const struct smq_group_lives *t, struct smq_group_life *l, uint64_t counter, int64_t mono_ms)
{
	uint32_t ahead = next_ahead(l, mono_ms);
	uint64_t floor = floor_beyond(counter, ahead);
	if (!t->windows->save_behind || floor <= l->floor)
		return;
	t->windows->save_behind(t->windows->self, l->sender_id, l->boot_id, floor);
	l->coming = (uint32_t)(floor - l->floor);
	l->ahead = ahead;
	l->saved_ms = mono_ms;
}

/* Of one that was asked for there is little left to do; else this is where the loop waits. */
static smq_err save_now(const struct smq_group_lives *t, struct smq_group_life *l, uint64_t counter, int64_t mono_ms)
{
	bool asked = counter < l->floor + l->coming;
	uint32_t ahead = asked ? l->ahead : next_ahead(l, mono_ms);
	uint64_t floor = asked ? l->floor + l->coming : floor_beyond(counter, ahead);
	smq_err err = t->windows->save(t->windows->self, l->sender_id, l->boot_id, floor);
	if (err != SMQ_OK)
		return err;
	l->floor = floor;
	l->coming = 0;
	l->ahead = ahead;
	l->saved_ms = asked ? l->saved_ms : mono_ms;
	return SMQ_OK;
}

/* Writes ahead what this counter makes necessary; on failure the life is as before. */
static smq_err save_ahead(const struct smq_group_lives *t, struct smq_group_life *l, uint64_t counter, int64_t mono_ms)
{
	if (!is_due(t, l, counter))
		return SMQ_OK;
	if (counter >= l->floor)
		return save_now(t, l, counter, mono_ms);
	ask_ahead(t, l, counter, mono_ms);
	return SMQ_OK;
}

/* What a former life of ours wrote down about this one, once its tag has verified: junk must not reach the disk. */
static smq_err recall(const struct smq_group_lives *t, struct smq_group_life *l, uint64_t counter,
		      uint64_t *ret_missing)
{
	uint64_t floor = 0;
	smq_err err = t->windows ? t->windows->load(t->windows->self, l->sender_id, l->boot_id, &floor) : SMQ_OK;
	if (err == SMQ_ERR_NOT_FOUND)
		return SMQ_OK;
	if (err != SMQ_OK)
		return err;
	l->floor = floor;
	l->replay = (struct smq_replay){ 0 };
	smq_replay_refuse_below(&l->replay, floor);
	err = smq_replay_check(&l->replay, counter);
	if (err == SMQ_OK)
		*ret_missing = smq_replay_commit(&l->replay, counter);
	return err;
}

/* ---- opening ---- */

static void take_key(struct smq_group_life *l, struct smq_seal_key *key)
{
	if (key != &l->key) {
		smq_seal_key_done(&l->key);
		l->key = *key;
		smq_wipe(key, sizeof(*key));
	}
}

/* The window serves the count of gaps alone. */
static smq_err open_again(struct smq_group_life *l, const struct smq_seal_key *key, struct smq_arrival *a)
{
	struct smq_replay none = { 0 };
	smq_err err = smq_open_in_window(key, &none, a->sealed, a->topic, a->room, &a->len, &a->missing);
	if (err != SMQ_OK)
		return err;
	a->repeated = smq_replay_check(&l->replay, a->sealed->counter) != SMQ_OK;
	a->missing = a->repeated ? 0 : smq_replay_commit(&l->replay, a->sealed->counter);
	return SMQ_OK;
}

static smq_err open_once(struct smq_group_life *l, const struct smq_seal_key *key, struct smq_arrival *a)
{
	return smq_open_in_window(key, &l->replay, a->sealed, a->topic, a->room, &a->len, &a->missing);
}

/* Opens, writes the floor ahead, and where that fails is as before: not delivered, so it may come again. */
static smq_err open_and_save(struct smq_group_lives *t, struct smq_group_life *l, const struct smq_seal_key *key,
			     struct smq_arrival *a)
{
	struct smq_replay before = l->replay;
	smq_err err = t->repeats ? open_again(l, key, a) : open_once(l, key, a);
	if (err != SMQ_OK)
		return err;
	err = save_ahead(t, l, a->sealed->counter, a->mono_ms);
	if (err != SMQ_OK) {
		l->replay = before;
		smq_wipe(a->room.p, a->len);
	}
	return err;
}

static smq_err open_known(struct smq_group_lives *t, struct smq_group_life *l, struct smq_seal_key *key,
			  struct smq_arrival *a)
{
	bool plain = !t->repeats && !is_due(t, l, a->sealed->counter);
	smq_err err = plain ? open_once(l, key, a) : open_and_save(t, l, key, a);
	if (err != SMQ_OK)
		return err;
	take_key(l, key);
	l->heard = ++t->ticks;
	a->key = &l->key;
	return SMQ_OK;
}

static smq_err open_new(struct smq_group_lives *t, struct smq_seal_key *key, struct smq_arrival *a)
{
	struct smq_group_life l = { .heard = t->ticks + 1, .sender_id = a->sealed->sender_id };
	memcpy(l.boot_id, a->boot_id, sizeof(l.boot_id));
	smq_err err = smq_open_in_window(key, &l.replay, a->sealed, a->topic, a->room, &a->len, &a->missing);
	if (err != SMQ_OK)
		return err;
	err = recall(t, &l, a->sealed->counter, &a->missing);
	if (err == SMQ_OK)
		err = save_ahead(t, &l, a->sealed->counter, a->mono_ms);
	if (err != SMQ_OK) {
		smq_wipe(a->room.p, a->len);
		return err;
	}
	t->ticks++;
	struct smq_group_life *place = free_life(t);
	l.first = place->first;
	*place = l;
	link_life(t, place);
	take_key(place, key);
	a->key = &place->key;
	return SMQ_OK;
}

SMQ_HOT smq_err smq_group_lives_open(struct smq_group_lives *t, struct smq_group_life *life, struct smq_seal_key *key,
				     struct smq_arrival *arrival)
{
	return life ? open_known(t, life, key, arrival) : open_new(t, key, arrival);
}
