/* What a group's transaction consists of: a new epoch where one is due, its manifest, and all that changed. */
#include "app/keyserver_inner.h"

#include <stdlib.h>

#include "base/wipe.h"
#include "wire/sender_card.h"

struct changes {
	struct smq_keygroup_member *members;
	size_t count, room;
};

static void count_message(struct ks_group *g, size_t len)
{
	g->messages++;
	g->bytes += len;
}

/* ---- keys ---- */

static smq_err emit(void *self, const struct smq_tree_node_message *m)
{
	struct ks_group *g = self;
	uint8_t bytes[SMQ_TREE_NODE_MAX];
	size_t len = 0;
	smq_err err = smq_tree_node_encode(m, smq_mspan_of(bytes, sizeof(bytes)), &len);
	if (err == SMQ_OK)
		err = ks_put(g, SMQ_KS_ITEM_MESSAGE, m->height, m->index, smq_span_of(bytes, len));
	if (err == SMQ_OK)
		err = ks_out_stage(g, KS_OUT_NODE(m->height, m->index));
	count_message(g, len);
	return err;
}

static smq_err save_nodes(struct ks_group *g)
{
	smq_keytree *tree = smq_keygroup_tree(g->group);
	unsigned height;
	uint64_t index;
	smq_err err = SMQ_OK;
	while (err == SMQ_OK && smq_keytree_next_changed(tree, &height, &index))
		err = ks_save_node(g, height, index);
	return err;
}

/* ---- cards ---- */

static smq_err bury(struct ks_group *g, uint64_t sender)
{
	if (g->dead_count == g->dead_room) {
		size_t room = g->dead_room ? 2 * g->dead_room : 16;
		struct ks_dead_card *more = realloc(g->dead, room * sizeof(*more));
		if (!more)
			return SMQ_ERR_NO_MEMORY;
		g->dead = more;
		g->dead_room = room;
	}
	g->dead[g->dead_count++] = (struct ks_dead_card){ sender, smq_keygroup_epoch(g->group) };
	return SMQ_OK;
}

/* Cards of senders that were gone before the last epoch began. */
static smq_err forget_cards(struct ks_group *g, uint64_t before)
{
	size_t kept = 0;
	smq_err err = SMQ_OK;
	for (size_t i = 0; i < g->dead_count; i++) {
		struct ks_dead_card d = g->dead[i];
		if (d.epoch >= before || err != SMQ_OK) {
			g->dead[kept++] = d;
			continue;
		}
		err = ks_remove(g, SMQ_KS_ITEM_CARD, d.sender, 0);
		if (err == SMQ_OK || err == SMQ_ERR_NOT_FOUND)
			err = ks_out_stage(g, KS_OUT_CARD(d.sender));
	}
	g->dead_count = kept;
	return err;
}

static smq_err make_card(struct ks_group *g, const struct smq_keygroup_member *m)
{
	uint8_t document[SMQ_SENDER_CARD_MAX], bytes[SMQ_SENDER_CARD_MAX + SMQ_SIGN1_OVERHEAD_MAX];
	size_t len = 0;
	struct smq_sender_card card = { .realm = g->scope.realm,
					.group = g->scope.group,
					.sender_id = m->sender_id,
					.name = smq_span_str(m->name),
					.from_ms = m->from_ms,
					.until_ms = m->until_ms };
	memcpy(card.boot_id, m->boot_id, sizeof(card.boot_id));
	smq_err err = smq_sender_card_encode(&card, smq_mspan_of(document, sizeof(document)), &len);
	if (err == SMQ_OK)
		err = smq_sign1_encode_document(g->ks->config.own, SMQ_SENDER_CARD_KIND, smq_span_of(document, len),
						smq_mspan_of(bytes, sizeof(bytes)), &len);
	if (err == SMQ_OK)
		err = ks_put(g, SMQ_KS_ITEM_CARD, m->sender_id, 0, smq_span_of(bytes, len));
	return err != SMQ_OK ? err : ks_out_stage(g, KS_OUT_CARD(m->sender_id));
}

/* Another life of the same member: its process may still be there, beside the new one. Too old a life is gone. */
static smq_err put_earlier(struct ks_group *g, struct ks_leaf *leaf, uint64_t sender)
{
	uint64_t oldest = leaf->earlier[KS_EARLIER_MAX - 1];
	smq_err err = oldest != 0 ? bury(g, oldest) : SMQ_OK;
	memmove(leaf->earlier + 1, leaf->earlier, (KS_EARLIER_MAX - 1) * sizeof(leaf->earlier[0]));
	leaf->earlier[0] = sender;
	return err;
}

static smq_err bury_all(struct ks_group *g, struct ks_leaf *leaf)
{
	smq_err err = leaf->card != 0 ? bury(g, leaf->card) : SMQ_OK;
	for (size_t i = 0; i < KS_EARLIER_MAX; i++) {
		if (err == SMQ_OK && leaf->earlier[i] != 0)
			err = bury(g, leaf->earlier[i]);
		leaf->earlier[i] = 0;
	}
	return err;
}

/* A sender has a card as long as it may publish; a longer interval is stated anew. */
static smq_err renew_card(struct ks_group *g, const struct smq_keygroup_member *m)
{
	struct ks_leaf *leaf = &g->leaves[m->leaf];
	bool wanted = (m->roles & SMQ_JOIN_PUBLISH) != 0;
	smq_err err = SMQ_OK;
	if (wanted && leaf->card == m->sender_id && leaf->card_until_ms == m->until_ms)
		return SMQ_OK;
	if (!wanted)
		err = bury_all(g, leaf);
	else if (leaf->card != 0 && leaf->card != m->sender_id)
		err = put_earlier(g, leaf, leaf->card);
	if (err == SMQ_OK && wanted)
		err = make_card(g, m);
	leaf->card = wanted ? m->sender_id : 0;
	leaf->card_until_ms = m->until_ms;
	return err;
}

/* ---- members ---- */

static smq_err collect(struct ks_group *g, struct changes *c)
{
	struct smq_keygroup_member m;
	while (smq_keygroup_next_changed(g->group, &m)) {
		if (c->count == c->room) {
			size_t room = c->room ? 2 * c->room : 16;
			void *more = realloc(c->members, room * sizeof(*c->members));
			if (!more)
				return SMQ_ERR_NO_MEMORY;
			c->members = more;
			c->room = room;
		}
		c->members[c->count++] = m;
	}
	return SMQ_OK;
}

static smq_err let_go(struct ks_group *g, const struct smq_keygroup_member *m)
{
	struct smq_keygroup_member gone = *m;
	smq_err err = smq_members_digest_set(&g->digest, m->leaf, NULL);
	if (err == SMQ_OK)
		err = renew_card(g, &gone);
	if (err == SMQ_OK)
		err = ks_remove(g, SMQ_KS_ITEM_MEMBER, m->leaf, 0);
	return err == SMQ_ERR_NOT_FOUND ? SMQ_OK : err; /* it came and went within one batch */
}

static smq_err keep(struct ks_group *g, const struct smq_keygroup_member *m)
{
	struct smq_member_record r = { smq_span_str(m->name), m->sender_id, m->roles, m->from_ms, m->until_ms };
	smq_err err = smq_members_digest_set(&g->digest, m->leaf, &r);
	if (err == SMQ_OK)
		err = renew_card(g, m);
	return err != SMQ_OK ? err : ks_save_member(g, m);
}

/* First those who left: a newcomer may be at the leaf of one of them already. */
static smq_err save_members(struct ks_group *g)
{
	struct changes c = { NULL, 0, 0 };
	smq_err err = collect(g, &c);
	for (size_t i = 0; i < c.count && err == SMQ_OK; i++) {
		if (c.members[i].roles == 0)
			err = let_go(g, &c.members[i]);
	}
	for (size_t i = 0; i < c.count && err == SMQ_OK; i++) {
		if (c.members[i].roles != 0)
			err = keep(g, &c.members[i]);
	}
	free(c.members);
	return err;
}

/* ---- the manifest ---- */

static void describe(const struct ks_group *g, const struct smq_epoch_keys *keys, struct smq_now now,
		     struct smq_manifest *m)
{
	const struct smq_policy *p = &g->policy.policy;
	int64_t activation = g->chain.epoch == 0 ? 0 : (int64_t)p->activation_ms;
	*m = (struct smq_manifest){ .realm = g->scope.realm,
				    .group = g->scope.group,
				    .epoch = keys->epoch,
				    .previous_epoch = g->chain.epoch,
				    .activate_at_ms = now.unix_ms + activation,
				    .expires_ms = now.unix_ms + activation + (int64_t)p->validity_s * 1000,
				    .tree_height = keys->height,
				    .member_count = smq_keygroup_member_count(g->group),
				    .root_version = keys->root_version,
				    .policy_number = g->policy.mark.number,
				    .mode = p->mode };
	if (p->mode == SMQ_MODE_SLOTTED) {
		m->slot_start_ms = g->slot_start_ms;
		m->slot_ms = p->slot_ms;
		m->slot_levels = p->slot_levels;
	}
	memcpy(m->previous, g->chain.hash, sizeof(m->previous));
	memcpy(m->members, smq_members_digest_root(&g->digest), sizeof(m->members));
	memcpy(m->policy, g->policy.mark.digest, sizeof(m->policy));
	memcpy(m->commitment, keys->commitment, sizeof(m->commitment));
}

static smq_err sign(struct ks_group *g, const struct smq_manifest *m)
{
	uint8_t document[SMQ_MANIFEST_MAX], bytes[SMQ_MANIFEST_MAX + SMQ_SIGN1_OVERHEAD_MAX];
	size_t len = 0;
	smq_err err = smq_manifest_encode(m, smq_mspan_of(document, sizeof(document)), &len);
	smq_span payload = smq_span_of(document, len);
	if (err == SMQ_OK)
		err = smq_manifest_hash(g->ks->config.crypto, payload, g->chain.hash);
	if (err == SMQ_OK)
		err = smq_manifest_sign(payload, g->ks->config.own, smq_mspan_of(bytes, sizeof(bytes)), &len);
	if (err == SMQ_OK)
		err = ks_bytes_set(&g->manifest, smq_span_of(bytes, len));
	if (err == SMQ_OK)
		err = ks_put(g, SMQ_KS_ITEM_MANIFEST, 0, 0, smq_span_of(bytes, len));
	count_message(g, len);
	return err != SMQ_OK ? err : ks_out_stage(g, KS_OUT_MANIFEST);
}

/* ---- passed epochs ---- */

static size_t history_wanted(const struct ks_group *g)
{
	const struct smq_policy *p = &g->policy.policy;
	if (p->history == SMQ_HISTORY_NONE)
		return 0;
	if (p->history == SMQ_HISTORY_LAST && p->history_epochs < SMQ_KS_HISTORY_MAX)
		return (size_t)p->history_epochs + 1;
	return SMQ_KS_HISTORY_MAX + 1;
}

static smq_err drop_history(struct ks_group *g, size_t wanted)
{
	smq_err err = SMQ_OK;
	while (g->history_count > wanted && err == SMQ_OK) {
		err = ks_remove(g, SMQ_KS_ITEM_EPOCH, g->history[0].epoch, 0);
		g->history_count--;
		memmove(g->history, g->history + 1, g->history_count * sizeof(*g->history));
		smq_wipe(&g->history[g->history_count], sizeof(*g->history));
	}
	return err;
}

static smq_err add_history(struct ks_group *g, const struct smq_epoch_keys *keys)
{
	size_t wanted = history_wanted(g);
	struct ks_epoch e = { .epoch = keys->epoch, .secret = keys->secret };
	if (wanted == 0)
		return drop_history(g, 0);
	if (!g->history)
		g->history = calloc(SMQ_KS_HISTORY_MAX + 1, sizeof(*g->history));
	smq_err err = g->history ? drop_history(g, wanted - 1) : SMQ_ERR_NO_MEMORY;
	if (err == SMQ_OK) {
		memcpy(e.manifest, g->chain.hash, sizeof(e.manifest));
		g->history[g->history_count++] = e;
		err = ks_save_epoch(g, &e);
	}
	smq_wipe(&e, sizeof(e));
	return err;
}

/* ---- the transaction ---- */

static smq_err state_epoch(struct ks_group *g, const struct smq_epoch_keys *keys, uint64_t before, struct smq_now now)
{
	struct smq_manifest m;
	smq_keytree *tree = smq_keygroup_tree(g->group);
	describe(g, keys, now, &m);
	smq_err err = sign(g, &m);
	g->chain.epoch = m.epoch;
	g->chain.expires_ms = m.expires_ms;
	g->activate_at_ms = m.activate_at_ms;
	g->epoch_floor = m.epoch;
	if (smq_keytree_node(tree, smq_keytree_height(tree), 0)->refreshed == m.epoch)
		g->rotated_ms = now.unix_ms;
	if (err == SMQ_OK)
		err = add_history(g, keys);
	return err != SMQ_OK ? err : forget_cards(g, before);
}

static smq_err save_slots(struct ks_group *g)
{
	smq_err err = SMQ_OK;
	for (size_t i = 0; i < g->slot_count && err == SMQ_OK; i++) {
		struct ks_slot_root *s = &g->slots[i];
		if (!s->stored)
			err = ks_put(g, SMQ_KS_ITEM_SLOTS, s->tree, 0, smq_span_of(s->root.b, sizeof(s->root.b)));
		s->stored = true;
	}
	return err;
}

static smq_err save_policy(struct ks_group *g)
{
	smq_err err = ks_save_policy(g->ks, g->name, &g->policy, false);
	return err != SMQ_OK ? err : ks_out_stage(g, KS_OUT_POLICY);
}

static smq_err move_keys(struct ks_group *g, struct smq_epoch_keys *ret_keys)
{
	uint64_t epoch = smq_keygroup_epoch(g->group);
	epoch = (epoch > g->epoch_floor ? epoch : g->epoch_floor) + 1;
	g->messages = g->bytes = 0;
	return smq_keygroup_commit(g->group, epoch, g, emit, ret_keys);
}

smq_err ks_group_save(struct ks_group *g, struct smq_now now)
{
	struct smq_epoch_keys keys;
	bool moves = g->moves || smq_keygroup_is_dirty(g->group);
	uint64_t before = smq_keygroup_epoch(g->group);
	smq_err err = ks_slots_ready(g, now);
	g->moves = moves;
	if (err == SMQ_OK && g->new_policy)
		err = save_policy(g);
	if (err == SMQ_OK && moves)
		err = move_keys(g, &keys);
	if (err == SMQ_OK)
		err = save_members(g);
	if (err == SMQ_OK)
		err = save_nodes(g);
	if (err == SMQ_OK && moves)
		err = state_epoch(g, &keys, before, now);
	if (err == SMQ_OK)
		err = save_slots(g);
	if (err == SMQ_OK)
		err = ks_save_bars(g->ks, g->name, &g->bars);
	if (err == SMQ_OK)
		err = ks_save_group(g);
	smq_wipe(&keys, sizeof(keys));
	return err;
}
