/* One static group as a member sees it (PROTOCOL.md 6.1). */
#include "core/group.h"

#include "base/hot.h"
#include "base/table.h"
#include "base/wipe.h"
#include "core/reserve.h"
#include "wire/command.h"

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
	*g = (struct smq_group){ .crypto = crypto,
				 .file = file,
				 .lives = { .windows = windows, .lives = lives, .count = life_count } };
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
	return g->file->filter_count == 0 ||
	       (g->prefix && smq_command_topic_is_of(g->prefix, smq_span_str(g->file->group), topic));
}

/* The same with a memory: most messages go where the last one went. */
SMQ_HOT static bool covers(struct smq_group *g, smq_span topic)
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

SMQ_HOT smq_err smq_group_seal(struct smq_group *g, smq_span topic, int64_t stamp_ms, smq_span plain, smq_mspan room,
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

/* ---- opening ---- */

SMQ_HOT bool smq_group_knows(const struct smq_group *g, const struct smq_sealed *sealed)
{
	return sealed->kind == SMQ_SEALED_GROUP_BOOT &&
	       smq_group_lives_find(&g->lives, sealed->sender_id, sealed->boot_id) != NULL;
}

/* Of a life that is not in the table yet. */
static smq_err open_new(struct smq_group *g, struct smq_arrival *a)
{
	struct smq_seal_context context;
	struct smq_seal_key key;
	set_context(g->file, a->sealed->sender_id, a->boot_id, &context);
	smq_err err = smq_seal_key_init(&key, g->crypto, &g->traffic, &context);
	if (err != SMQ_OK)
		return err;
	err = smq_group_lives_open(&g->lives, NULL, &key, a);
	smq_seal_key_done(&key);
	return err;
}

SMQ_HOT smq_err smq_group_open(struct smq_group *g, const struct smq_sealed *s, smq_span topic, int64_t mono_ms,
			       smq_mspan room, struct smq_group_opened *ret_opened)
{
	smq_err err = check_header(g->file, s);
	if (err == SMQ_OK && !covers(g, topic))
		err = SMQ_ERR_TOPIC;
	if (err != SMQ_OK)
		return err;
	struct smq_group_life *l = smq_group_lives_find(&g->lives, s->sender_id, s->boot_id);
	struct smq_arrival a = { .sealed = s, .boot_id = s->boot_id, .topic = topic, .mono_ms = mono_ms, .room = room };
	err = l ? smq_group_lives_open(&g->lives, l, &l->key, &a) : open_new(g, &a);
	if (err != SMQ_OK)
		return err;
	*ret_opened = (struct smq_group_opened){ .sender = g->file->members[s->sender_id],
						 .len = a.len,
						 .missing = a.missing,
						 .repeated = a.repeated,
						 .key = a.key };
	return SMQ_OK;
}

void smq_group_done(struct smq_group *g)
{
	smq_group_lives_done(&g->lives);
	smq_sealer_done(&g->sealer);
	smq_wipe(g, sizeof(*g));
}
