/* One static group as a member sees it (PROTOCOL.md 6.1). */
#include "core/group.h"

#include "base/table.h"
#include "base/varint.h"
#include "base/wipe.h"
#include "core/reserve.h"

/* How far ahead of a sender its floor is written: about one second of its messages, so that there is about one write
 * a second for each fast sender, and a crash costs at most what it sends in two. */
enum { PACE_MS = 1000, AHEAD_MIN = 16, AHEAD_MAX = 65536 };

/* ---- keys ---- */

static void set_context(const struct smq_group_file *f, uint64_t sender_id, const uint8_t boot_id[SMQ_BOOT_ID_LEN],
			struct smq_seal_context *c)
{
	*c = (struct smq_seal_context){ .kind = SMQ_SEALED_GROUP_BOOT,
					.alg = f->alg,
					.realm = smq_span_str(f->realm),
					.group = smq_span_str(f->group),
					.sender = smq_span_str(f->members[sender_id]),
					.epoch = f->epoch,
					.sender_id = sender_id };
	memcpy(c->boot_id, boot_id, sizeof(c->boot_id));
}

/* Everything that can be refused before a key is made. */
static smq_err check_header(const struct smq_group_file *f, const struct smq_sealed *s)
{
	if (s->kind != SMQ_SEALED_GROUP_BOOT || s->epoch > f->epoch)
		return SMQ_ERR_NO_KEY;
	if (s->epoch < f->epoch)
		return SMQ_ERR_STALE_EPOCH;
	if (s->alg != f->alg)
		return SMQ_ERR_ALGORITHM;
	return s->sender_id < f->member_count ? SMQ_OK : SMQ_ERR_UNKNOWN_SENDER;
}

smq_err smq_group_context(const struct smq_group_file *f, const struct smq_sealed *s,
			  struct smq_seal_context *ret_context)
{
	smq_err err = check_header(f, s);
	if (err == SMQ_OK)
		set_context(f, s->sender_id, s->boot_id, ret_context);
	return err;
}

static smq_err init_sealer(struct smq_group *g, const struct smq_random *random, const char *self)
{
	struct smq_seal_context context;
	uint8_t boot_id[SMQ_BOOT_ID_LEN];
	size_t index = 0;
	while (index < g->file->member_count && strcmp(g->file->members[index], self) != 0)
		index++;
	if (index == g->file->member_count)
		return SMQ_OK;
	smq_err err = smq_boot_id_new(random, boot_id);
	if (err != SMQ_OK)
		return err;
	set_context(g->file, index, boot_id, &context);
	err = smq_sealer_init(&g->sealer, g->crypto, &g->traffic, &context);
	g->may_seal = err == SMQ_OK;
	return err;
}

smq_err smq_group_use_life(struct smq_group *g, const uint8_t boot_id[SMQ_BOOT_ID_LEN], uint64_t first_counter)
{
	struct smq_seal_context context;
	struct smq_sealer sealer = { 0 };
	if (!g->may_seal)
		return SMQ_ERR_UNKNOWN_SENDER;
	set_context(g->file, g->sealer.key.header.sender_id, boot_id, &context);
	smq_err err = smq_sealer_init(&sealer, g->crypto, &g->traffic, &context);
	if (err != SMQ_OK)
		return err;
	sealer.cose = g->sealer.cose;
	/* The key is that of the lives before, too: the AEAD's limit counts from 0, as first_counter says. */
	sealer.next_counter = first_counter;
	sealer.counter_limit = first_counter;
	smq_sealer_done(&g->sealer);
	g->sealer = sealer;
	smq_wipe(&sealer, sizeof(sealer));
	return SMQ_OK;
}

smq_err smq_group_init(struct smq_group *g, const struct smq_crypto *crypto, const struct smq_random *random,
		       const struct smq_group_file *file, const char *self, const struct smq_group_windows *windows,
		       struct smq_group_life *lives, size_t life_count)
{
	*g = (struct smq_group){
		.crypto = crypto, .file = file, .windows = windows, .lives = lives, .life_count = life_count
	};
	smq_err err = smq_group_traffic_secret(crypto, &file->secret, smq_span_str(file->realm),
					       smq_span_str(file->group), file->epoch, &g->traffic);
	if (err == SMQ_OK)
		err = init_sealer(g, random, self);
	if (err != SMQ_OK)
		smq_wipe(g, sizeof(*g));
	return err;
}

bool smq_group_covers(const struct smq_group *g, smq_span topic)
{
	for (size_t i = 0; i < g->file->filter_count; i++) {
		if (smq_topic_matches(smq_span_str(g->file->filters[i]), topic))
			return true;
	}
	return g->file->filter_count == 0;
}

/* The same with a memory: most messages go where the last one went. */
static bool covers(struct smq_group *g, smq_span topic)
{
	if (topic.len > 0 && topic.len == g->covered_len && memcmp(g->covered, topic.p, topic.len) == 0)
		return true;
	if (!smq_group_covers(g, topic))
		return false;
	g->covered_len = topic.len <= sizeof(g->covered) ? topic.len : 0;
	if (g->covered_len > 0)
		memcpy(g->covered, topic.p, g->covered_len);
	return true;
}

smq_err smq_group_seal(struct smq_group *g, smq_span topic, int64_t stamp_ms, smq_span plain, smq_mspan room,
		       size_t *ret_len)
{
	if (!g->may_seal)
		return SMQ_ERR_UNKNOWN_SENDER;
	if (!covers(g, topic))
		return SMQ_ERR_TOPIC;
	return smq_seal(&g->sealer, topic, stamp_ms, plain, room, ret_len);
}

smq_err smq_group_seal_proven(struct smq_group *g, smq_span topic, int64_t stamp_ms, smq_span plain,
			      struct smq_seal_proof *proof, smq_mspan room, size_t *ret_len)
{
	if (!g->may_seal)
		return SMQ_ERR_UNKNOWN_SENDER;
	if (!covers(g, topic))
		return SMQ_ERR_TOPIC;
	return smq_seal_proven(&g->sealer, topic, stamp_ms, plain, proof, room, ret_len);
}

/* ---- lives ---- */

/* The index is part of the table: each place holds the head of one bucket. Boot ids are random, so they spread by
 * themselves; whoever chose his own could make one bucket as long as the table, which is all there was without. */
static uint32_t *bucket_of(const struct smq_group *g, uint64_t sender_id, const uint8_t boot_id[SMQ_BOOT_ID_LEN])
{
	uint64_t h;
	memcpy(&h, boot_id, sizeof(h));
	h = (h ^ sender_id) * UINT64_C(0x9e3779b97f4a7c15) >> 32;
	return &g->lives[h * (uint32_t)g->life_count >> 32].first;
}

static struct smq_group_life *find_life(const struct smq_group *g, const struct smq_sealed *s)
{
	for (uint32_t at = *bucket_of(g, s->sender_id, s->boot_id); at != 0; at = g->lives[at - 1].next) {
		struct smq_group_life *l = &g->lives[at - 1];
		if (l->sender_id == s->sender_id && memcmp(l->boot_id, s->boot_id, SMQ_BOOT_ID_LEN) == 0)
			return l;
	}
	return NULL;
}

static void link_life(const struct smq_group *g, struct smq_group_life *l)
{
	uint32_t *bucket = bucket_of(g, l->sender_id, l->boot_id);
	l->next = *bucket;
	*bucket = (uint32_t)(l - g->lives) + 1;
}

static void unlink_life(const struct smq_group *g, const struct smq_group_life *l)
{
	uint32_t number = (uint32_t)(l - g->lives) + 1;
	uint32_t *at = bucket_of(g, l->sender_id, l->boot_id);
	while (*at != number)
		at = &g->lives[*at - 1].next;
	*at = l->next;
}

bool smq_group_knows(const struct smq_group *g, const struct smq_sealed *sealed)
{
	return sealed->kind == SMQ_SEALED_GROUP_BOOT && find_life(g, sealed) != NULL;
}

static void wipe_life(struct smq_group_life *l)
{
	if (l->used)
		smq_opener_done(&l->opener);
	smq_wipe(l, sizeof(*l));
}

/* Settling is best effort: the floor that was written ahead is safe, it only refuses more than it must. */
static void forget_life(const struct smq_group *g, struct smq_group_life *l)
{
	uint64_t next = l->opener.replay.next;
	smq_err err = SMQ_OK;
	if (l->used && g->windows && next < l->floor)
		err = g->windows->settle(g->windows->self, l->sender_id, l->boot_id, l->floor, next);
	(void)err;
	wipe_life(l);
}

static struct smq_group_life *free_life(struct smq_group *g)
{
	struct smq_group_life *oldest = &g->lives[0];
	for (size_t i = 0; i < g->life_count && oldest->used; i++) {
		if (!g->lives[i].used || g->lives[i].heard < oldest->heard)
			oldest = &g->lives[i];
	}
	if (oldest->used)
		unlink_life(g, oldest);
	uint32_t first = oldest->first;
	forget_life(g, oldest);
	oldest->first = first;
	return oldest;
}

/* The floor to write once a counter has reached the old one. A slow sender's is exact. */
static uint64_t next_ahead(const struct smq_group_life *l, int64_t mono_ms)
{
	int64_t since = mono_ms - l->saved_ms;
	if (l->floor == 0 || since >= 2 * PACE_MS)
		return l->ahead / 2 < AHEAD_MIN ? 0 : l->ahead / 2;
	if (since >= PACE_MS)
		return l->ahead;
	return l->ahead < AHEAD_MIN ? AHEAD_MIN : l->ahead > AHEAD_MAX / 2 ? AHEAD_MAX : 2 * l->ahead;
}

/* Writes ahead what this counter makes necessary; on failure the life is as before. */
static smq_err save_ahead(const struct smq_group *g, struct smq_group_life *l, uint64_t counter, int64_t mono_ms)
{
	if (!g->windows || counter < l->floor)
		return SMQ_OK;
	uint64_t ahead = next_ahead(l, mono_ms);
	uint64_t floor = SMQ_VARINT_MAX - counter < ahead ? SMQ_VARINT_MAX + 1 : counter + 1 + ahead;
	smq_err err = g->windows->save(g->windows->self, l->sender_id, l->boot_id, floor);
	if (err != SMQ_OK)
		return err;
	l->floor = floor;
	l->ahead = ahead;
	l->saved_ms = mono_ms;
	return SMQ_OK;
}

/* ---- opening ---- */

/* The window serves the count of gaps alone. */
static smq_err open_again(struct smq_group_life *l, const struct smq_sealed *s, smq_span topic, smq_mspan room,
			  struct smq_group_opened *o)
{
	struct smq_replay window = l->opener.replay;
	l->opener.replay = (struct smq_replay){ 0 };
	smq_err err = smq_open(&l->opener, s, topic, room, &o->len, &o->missing);
	l->opener.replay = window;
	if (err != SMQ_OK)
		return err;
	o->repeated = smq_replay_check(&l->opener.replay, s->counter) != SMQ_OK;
	o->missing = o->repeated ? 0 : smq_replay_commit(&l->opener.replay, s->counter);
	return SMQ_OK;
}

/* Opens, writes the floor ahead, and where that fails is as before: not delivered, so it may come again. */
static smq_err open_and_save(struct smq_group *g, struct smq_group_life *l, const struct smq_sealed *s, smq_span topic,
			     int64_t mono_ms, smq_mspan room, struct smq_group_opened *o)
{
	struct smq_replay before = l->opener.replay;
	smq_err err =
	    g->repeats ? open_again(l, s, topic, room, o) : smq_open(&l->opener, s, topic, room, &o->len, &o->missing);
	if (err != SMQ_OK)
		return err;
	err = save_ahead(g, l, s->counter, mono_ms);
	if (err != SMQ_OK) {
		l->opener.replay = before;
		smq_wipe(room.p, o->len);
	}
	return err;
}

static smq_err open_known(struct smq_group *g, struct smq_group_life *l, const struct smq_sealed *s, smq_span topic,
			  int64_t mono_ms, smq_mspan room, struct smq_group_opened *o)
{
	bool plain = !g->repeats && !(g->windows && s->counter >= l->floor);
	smq_err err = plain ? smq_open(&l->opener, s, topic, room, &o->len, &o->missing)
			    : open_and_save(g, l, s, topic, mono_ms, room, o);
	if (err != SMQ_OK)
		return err;
	l->heard = ++g->ticks;
	o->key = &l->opener.key;
	return SMQ_OK;
}

/* What a former life of ours wrote down about this one, once its tag has verified: junk must not reach the disk. */
static smq_err recall(const struct smq_group *g, struct smq_group_life *l, uint64_t counter, uint64_t *ret_missing)
{
	uint64_t floor = 0;
	smq_err err = g->windows ? g->windows->load(g->windows->self, l->sender_id, l->boot_id, &floor) : SMQ_OK;
	if (err == SMQ_ERR_NOT_FOUND)
		return SMQ_OK;
	if (err != SMQ_OK)
		return err;
	l->floor = floor;
	l->opener.replay = (struct smq_replay){ 0 };
	smq_replay_refuse_below(&l->opener.replay, floor);
	err = smq_replay_check(&l->opener.replay, counter);
	if (err == SMQ_OK)
		*ret_missing = smq_replay_commit(&l->opener.replay, counter);
	return err;
}

static smq_err open_new(struct smq_group *g, const struct smq_sealed *s, smq_span topic, int64_t mono_ms,
			smq_mspan room, struct smq_group_opened *o)
{
	struct smq_group_life l = { .used = true, .heard = g->ticks + 1, .sender_id = s->sender_id };
	struct smq_seal_context context;
	memcpy(l.boot_id, s->boot_id, sizeof(l.boot_id));
	set_context(g->file, s->sender_id, s->boot_id, &context);
	smq_err err = smq_opener_init(&l.opener, g->crypto, &g->traffic, &context);
	if (err != SMQ_OK)
		return err;
	err = smq_open(&l.opener, s, topic, room, &o->len, &o->missing);
	if (err == SMQ_OK) {
		err = recall(g, &l, s->counter, &o->missing);
		if (err == SMQ_OK)
			err = save_ahead(g, &l, s->counter, mono_ms);
		if (err != SMQ_OK)
			smq_wipe(room.p, o->len);
	}
	if (err != SMQ_OK) {
		wipe_life(&l);
		return err;
	}
	g->ticks++;
	struct smq_group_life *place = free_life(g);
	l.first = place->first;
	*place = l;
	link_life(g, place);
	o->key = &place->opener.key;
	smq_wipe(&l, sizeof(l)); /* the key moved into the table */
	return SMQ_OK;
}

smq_err smq_group_open(struct smq_group *g, const struct smq_sealed *s, smq_span topic, int64_t mono_ms, smq_mspan room,
		       struct smq_group_opened *ret_opened)
{
	struct smq_group_opened o = { 0 };
	smq_err err = check_header(g->file, s);
	if (err == SMQ_OK && !covers(g, topic))
		err = SMQ_ERR_TOPIC;
	if (err != SMQ_OK)
		return err;
	o.sender = g->file->members[s->sender_id];
	struct smq_group_life *l = find_life(g, s);
	err = l ? open_known(g, l, s, topic, mono_ms, room, &o) : open_new(g, s, topic, mono_ms, room, &o);
	if (err == SMQ_OK)
		*ret_opened = o;
	return err;
}

void smq_group_done(struct smq_group *g)
{
	for (size_t i = 0; i < g->life_count; i++)
		forget_life(g, &g->lives[i]);
	smq_sealer_done(&g->sealer);
	smq_wipe(g, sizeof(*g));
}
