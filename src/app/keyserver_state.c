/* The key server's state as items of its store (FORMATS.md): written, and read at the start. */
#include "app/keyserver_inner.h"

#include <stdlib.h>

#include "base/text.h"
#include "base/wipe.h"
#include "wire/fields.h"

enum {
	RELOAD_EVERY_MS = 1000,
	VERSION = 1,
	ITEM_MAX = 320,
	GROUP_FIELDS = 8,
	MEMBER_FIELDS = 13,
	NODE_FIELDS = 5,
	EPOCH_FIELDS = 3
};

smq_err ks_put(struct ks_group *g, enum smq_ks_item kind, uint64_t a, uint64_t b, smq_span value)
{
	const struct smq_ks_store *s = &g->ks->config.store;
	return s->put(s->self, kind, g->name, a, b, value);
}

smq_err ks_remove(struct ks_group *g, enum smq_ks_item kind, uint64_t a, uint64_t b)
{
	const struct smq_ks_store *s = &g->ks->config.store;
	return s->remove(s->self, kind, g->name, a, b);
}

/* ---- writing ---- */

static smq_err put_item(struct ks_group *g, enum smq_ks_item kind, uint64_t a, uint64_t b, struct smq_writer *w)
{
	size_t len;
	smq_err err = smq_writer_end(w, &len);
	if (err == SMQ_OK)
		err = ks_put(g, kind, a, b, smq_writer_span(w));
	smq_wipe(w->p, w->len);
	return err;
}

smq_err ks_save_group(struct ks_group *g)
{
	uint8_t room[ITEM_MAX];
	struct smq_writer w = smq_writer_on(smq_mspan_of(room, sizeof(room)));
	smq_cbor_put_array(&w, GROUP_FIELDS);
	smq_cbor_put_uint(&w, VERSION);
	smq_cbor_put_uint(&w, smq_keytree_height(smq_keygroup_tree(g->group)));
	smq_cbor_put_uint(&w, smq_keygroup_epoch(g->group));
	smq_cbor_put_uint(&w, smq_keygroup_next_sender_id(g->group));
	smq_cbor_put_int(&w, g->rotated_ms);
	smq_cbor_put_int(&w, g->slot_start_ms);
	smq_cbor_put_int(&w, g->activate_at_ms);
	smq_cbor_put_int(&w, g->chain.expires_ms);
	return put_item(g, SMQ_KS_ITEM_GROUP, 0, 0, &w);
}

smq_err ks_save_member(struct ks_group *g, const struct smq_keygroup_member *m)
{
	uint8_t room[ITEM_MAX];
	const struct ks_leaf *leaf = &g->leaves[m->leaf];
	struct smq_writer w = smq_writer_on(smq_mspan_of(room, sizeof(room)));
	smq_cbor_put_array(&w, MEMBER_FIELDS);
	smq_cbor_put_uint(&w, VERSION);
	smq_cbor_put_text(&w, smq_span_str(m->name));
	smq_cbor_put_uint(&w, m->sender_id);
	smq_cbor_put_uint(&w, m->roles);
	smq_cbor_put_int(&w, m->from_ms);
	smq_cbor_put_int(&w, m->until_ms);
	smq_cbor_put_bytes(&w, smq_span_of(m->boot_id, sizeof(m->boot_id)));
	smq_cbor_put_uint(&w, m->joined);
	smq_cbor_put_bytes(&w, smq_span_of(leaf->credential, sizeof(leaf->credential)));
	smq_cbor_put_uint(&w, leaf->cert_roles);
	smq_cbor_put_uint(&w, leaf->card);
	smq_cbor_put_int(&w, leaf->card_until_ms);
	smq_cbor_put_array(&w, KS_EARLIER_MAX);
	for (size_t i = 0; i < KS_EARLIER_MAX; i++)
		smq_cbor_put_uint(&w, leaf->earlier[i]);
	return put_item(g, SMQ_KS_ITEM_MEMBER, m->leaf, 0, &w);
}

/* A leaf that was let go has no key any more. */
static bool is_empty(const struct smq_tree_node *n)
{
	static const struct smq_tree_key none;
	return smq_equal_ct(&n->key, &none, sizeof(none));
}

smq_err ks_save_node(struct ks_group *g, unsigned height, uint64_t index)
{
	uint8_t room[ITEM_MAX];
	const smq_keytree *tree = smq_keygroup_tree(g->group);
	const struct smq_tree_node *n = smq_keytree_node(tree, height, index);
	if (height == 0 && is_empty(n)) {
		smq_err err = ks_remove(g, SMQ_KS_ITEM_NODE, 0, index);
		return err == SMQ_ERR_NOT_FOUND ? SMQ_OK : err;
	}
	struct smq_writer w = smq_writer_on(smq_mspan_of(room, sizeof(room)));
	smq_cbor_put_array(&w, NODE_FIELDS);
	smq_cbor_put_uint(&w, VERSION);
	smq_cbor_put_uint(&w, n->version);
	smq_cbor_put_uint(&w, n->refreshed);
	smq_cbor_put_bool(&w, smq_keytree_is_dirty(tree, height, index));
	smq_cbor_put_bytes(&w, smq_span_of(n->key.b, sizeof(n->key.b)));
	return put_item(g, SMQ_KS_ITEM_NODE, height, index, &w);
}

smq_err ks_save_epoch(struct ks_group *g, const struct ks_epoch *e)
{
	uint8_t room[ITEM_MAX];
	struct smq_writer w = smq_writer_on(smq_mspan_of(room, sizeof(room)));
	smq_cbor_put_array(&w, EPOCH_FIELDS);
	smq_cbor_put_uint(&w, VERSION);
	smq_cbor_put_bytes(&w, smq_span_of(e->secret.b, sizeof(e->secret.b)));
	smq_cbor_put_bytes(&w, smq_span_of(e->manifest, sizeof(e->manifest)));
	return put_item(g, SMQ_KS_ITEM_EPOCH, e->epoch, 0, &w);
}

smq_err ks_save_policy(struct smq_keyserver *ks, const char *name, const struct ks_policy *p, bool is_template)
{
	const struct smq_ks_store *s = &ks->config.store;
	smq_err err = s->put(s->self, SMQ_KS_ITEM_POLICY, name, 0, is_template, ks_span(&p->signed_bytes));
	return err != SMQ_OK ? err : s->put(s->self, SMQ_KS_ITEM_POLICY, name, 1, is_template, ks_span(&p->admin));
}

/* The hash, then the name to the end. */
static smq_err save_bar(const struct smq_ks_store *s, const char *group, uint64_t number, const struct ks_bar *b)
{
	uint8_t bytes[sizeof(*b)];
	size_t len = strlen(b->name);
	memcpy(bytes, b->id, SMQ_HASH_LEN);
	memcpy(bytes + SMQ_HASH_LEN, b->name, len);
	return s->put(s->self, SMQ_KS_ITEM_MEMBER, group, number, 1, smq_span_of(bytes, SMQ_HASH_LEN + len));
}

smq_err ks_save_bars(struct smq_keyserver *ks, const char *group, struct ks_bars *bars)
{
	smq_err err = SMQ_OK;
	for (; bars->stored < bars->count && err == SMQ_OK; bars->stored += err == SMQ_OK)
		err = save_bar(&ks->config.store, group, bars->stored, &bars->bars[bars->stored]);
	return err;
}

/* ---- reading a group ---- */

static smq_err end_item(const struct smq_reader *r) { return smq_reader_end(r) == SMQ_OK ? SMQ_OK : SMQ_ERR_CORRUPT; }

static smq_err take_bar(struct ks_bars *bars, smq_span value)
{
	if (value.len < SMQ_HASH_LEN || value.len > SMQ_HASH_LEN + SMQ_MEMBER_NAME_MAX)
		return SMQ_ERR_CORRUPT;
	smq_err err = ks_bar(bars, value.p, smq_span_of(value.p + SMQ_HASH_LEN, value.len - SMQ_HASH_LEN));
	bars->stored = bars->count;
	return err;
}

static smq_err take_member(void *context, const char *group, uint64_t a, uint64_t b, smq_span value)
{
	struct ks_group *g = context;
	struct smq_keygroup_member m = { .leaf = a };
	struct ks_leaf leaf = { .card = 0 };
	(void)group;
	if (b == 1)
		return take_bar(&g->bars, value);
	struct smq_reader r = smq_reader_on(value);
	smq_get_head(&r, MEMBER_FIELDS, VERSION);
	smq_span name = smq_get_name(&r);
	if (r.err == SMQ_OK)
		memcpy(m.name, name.p, name.len);
	m.sender_id = smq_cbor_get_uint(&r);
	m.roles = (unsigned)smq_get_between(&r, 1, SMQ_JOIN_PUBLISH | SMQ_JOIN_SUBSCRIBE);
	m.from_ms = smq_cbor_get_int(&r);
	m.until_ms = smq_cbor_get_int(&r);
	smq_get_fixed(&r, smq_mspan_of(m.boot_id, sizeof(m.boot_id)));
	m.joined = smq_cbor_get_uint(&r);
	smq_get_fixed(&r, smq_mspan_of(leaf.credential, sizeof(leaf.credential)));
	leaf.cert_roles = (unsigned)smq_get_between(&r, 0, UINT16_MAX);
	leaf.card = smq_cbor_get_uint(&r);
	leaf.card_until_ms = smq_cbor_get_int(&r);
	if (smq_cbor_get_array(&r) != KS_EARLIER_MAX)
		smq_reader_fail(&r, SMQ_ERR_CORRUPT);
	for (size_t i = 0; i < KS_EARLIER_MAX; i++)
		leaf.earlier[i] = smq_cbor_get_uint(&r);
	smq_err err = end_item(&r);
	if (err != SMQ_OK || a >= smq_keytree_capacity(smq_keygroup_tree(g->group)))
		return SMQ_ERR_CORRUPT;
	struct smq_member_record record = { smq_span_str(m.name), m.sender_id, m.roles, m.from_ms, m.until_ms };
	g->leaves[a] = leaf;
	g->soonest_end_ms = m.until_ms < g->soonest_end_ms ? m.until_ms : g->soonest_end_ms;
	err = smq_keygroup_load(g->group, &m);
	return err != SMQ_OK ? err : smq_members_digest_place(&g->digest, a, &record);
}

static smq_err take_node(void *context, const char *group, uint64_t height, uint64_t index, smq_span value)
{
	struct ks_group *g = context;
	struct smq_tree_node n = { .version = 0 };
	struct smq_reader r = smq_reader_on(value);
	(void)group;
	smq_get_head(&r, NODE_FIELDS, VERSION);
	n.version = smq_cbor_get_uint(&r);
	n.refreshed = smq_cbor_get_uint(&r);
	bool dirty = smq_cbor_get_bool(&r);
	smq_get_fixed(&r, smq_mspan_of(n.key.b, sizeof(n.key.b)));
	smq_err err = end_item(&r);
	if (err == SMQ_OK && height > SMQ_TREE_HEIGHT_MAX)
		err = SMQ_ERR_CORRUPT;
	if (err == SMQ_OK)
		err = smq_keytree_load(smq_keygroup_tree(g->group), (unsigned)height, index, &n, dirty);
	smq_wipe(&n, sizeof(n));
	return err;
}

static smq_err take_epoch(void *context, const char *group, uint64_t epoch, uint64_t b, smq_span value)
{
	struct ks_group *g = context;
	struct ks_epoch e = { .epoch = epoch };
	struct smq_reader r = smq_reader_on(value);
	(void)group;
	(void)b;
	smq_get_head(&r, EPOCH_FIELDS, VERSION);
	smq_get_fixed(&r, smq_mspan_of(e.secret.b, sizeof(e.secret.b)));
	smq_get_fixed(&r, smq_mspan_of(e.manifest, sizeof(e.manifest)));
	smq_err err = end_item(&r);
	if (!g->history)
		g->history = calloc(SMQ_KS_HISTORY_MAX + 1, sizeof(*g->history));
	if (err == SMQ_OK && !g->history)
		err = SMQ_ERR_NO_MEMORY;
	if (err == SMQ_OK && g->history_count > SMQ_KS_HISTORY_MAX)
		err = SMQ_ERR_CORRUPT;
	if (err == SMQ_OK)
		g->history[g->history_count++] = e;
	smq_wipe(&e, sizeof(e));
	return err;
}

static smq_err take_slots(void *context, const char *group, uint64_t tree, uint64_t b, smq_span value)
{
	struct ks_group *g = context;
	struct ks_slot_root *s = &g->slots[g->slot_count];
	(void)group;
	(void)b;
	if (g->slot_count == KS_SLOT_TREES_KEPT || value.len != sizeof(s->root.b))
		return SMQ_ERR_CORRUPT;
	s->tree = tree;
	s->stored = true;
	memcpy(s->root.b, value.p, value.len);
	g->slot_count++;
	return SMQ_OK;
}

static smq_err take_manifest(void *context, const char *group, uint64_t a, uint64_t b, smq_span value)
{
	struct ks_group *g = context;
	struct smq_sign1 s;
	struct smq_manifest m;
	(void)group;
	(void)a;
	(void)b;
	if (smq_sign1_decode(value, &s) != SMQ_OK || smq_manifest_decode(s.payload, &m) != SMQ_OK)
		return SMQ_ERR_CORRUPT;
	g->chain.epoch = m.epoch;
	g->chain.expires_ms = m.expires_ms;
	g->activate_at_ms = m.activate_at_ms;
	smq_err err = smq_manifest_hash(g->ks->config.crypto, s.payload, g->chain.hash);
	return err != SMQ_OK ? err : ks_bytes_set(&g->manifest, value);
}

/* Cards of senders that are not there any more will be forgotten with one of the next epochs. */
struct live_cards {
	struct ks_group *g;
	uint64_t *senders;
	size_t count;
};

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static smq_err take_card(void *context, const char *group, uint64_t sender, uint64_t b, smq_span value)
{
	struct live_cards *live = context;
	struct ks_group *g = live->g;
	(void)group;
	(void)b;
	(void)value;
	if (bsearch(&sender, live->senders, live->count, sizeof(sender), by_number))
		return SMQ_OK;
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

static smq_err load_cards(struct ks_group *g)
{
	const struct smq_ks_store *s = &g->ks->config.store;
	uint64_t members = smq_keygroup_member_count(g->group);
	struct live_cards live = { g, calloc(members + 1, (1 + KS_EARLIER_MAX) * sizeof(uint64_t)), 0 };
	if (!live.senders)
		return SMQ_ERR_NO_MEMORY;
	for (uint64_t i = 0; i < smq_keygroup_places(g->group); i++) {
		const struct smq_keygroup_member *m = smq_keygroup_at(g->group, i);
		const struct ks_leaf *leaf = m ? &g->leaves[m->leaf] : NULL;
		if (leaf && leaf->card != 0)
			live.senders[live.count++] = leaf->card;
		for (size_t e = 0; leaf && e < KS_EARLIER_MAX; e++) {
			if (leaf->earlier[e] != 0)
				live.senders[live.count++] = leaf->earlier[e];
		}
	}
	qsort(live.senders, live.count, sizeof(uint64_t), by_number);
	smq_err err = s->each(s->self, SMQ_KS_ITEM_CARD, g->name, &live, take_card);
	free(live.senders);
	return err;
}

/* Nodes were all stored before; what was drawn at init has been overwritten. */
static smq_err check_loaded(struct ks_group *g)
{
	smq_keytree *tree = smq_keygroup_tree(g->group);
	struct smq_epoch_keys keys;
	struct smq_sign1 s;
	struct smq_manifest m;
	unsigned height;
	uint64_t index;
	while (smq_keytree_next_changed(tree, &height, &index))
		;
	if (smq_keytree_member_count(tree) != smq_keygroup_member_count(g->group) || !g->manifest.p)
		return SMQ_ERR_CORRUPT;
	smq_err err = smq_keygroup_keys(g->group, &keys);
	if (err == SMQ_OK)
		err = smq_sign1_decode(ks_span(&g->manifest), &s);
	if (err == SMQ_OK)
		err = smq_manifest_decode(s.payload, &m);
	if (err == SMQ_OK && (m.epoch != keys.epoch || memcmp(m.commitment, keys.commitment, SMQ_HASH_LEN) != 0))
		err = SMQ_ERR_CORRUPT;
	smq_wipe(&keys, sizeof(keys));
	return err;
}

static smq_err load_parts(struct ks_group *g)
{
	static const struct {
		enum smq_ks_item kind;
		smq_err (*take)(void *context, const char *group, uint64_t a, uint64_t b, smq_span value);
	} parts[] = { { SMQ_KS_ITEM_MEMBER, take_member },
		      { SMQ_KS_ITEM_NODE, take_node },
		      { SMQ_KS_ITEM_EPOCH, take_epoch },
		      { SMQ_KS_ITEM_SLOTS, take_slots },
		      { SMQ_KS_ITEM_MANIFEST, take_manifest } };
	const struct smq_ks_store *s = &g->ks->config.store;
	smq_err err = SMQ_OK;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && err == SMQ_OK; i++)
		err = s->each(s->self, parts[i].kind, g->name, g, parts[i].take);
	if (err == SMQ_OK)
		err = smq_members_digest_rebuild(&g->digest);
	if (err == SMQ_OK)
		err = load_cards(g);
	return err != SMQ_OK ? err : check_loaded(g);
}

struct group_item {
	unsigned height;
	uint64_t epoch, next_sender_id;
	int64_t rotated_ms, slot_start_ms, activate_at_ms, expires_ms;
};

static smq_err read_group_item(smq_span value, struct group_item *ret_item)
{
	struct group_item i = { 0 };
	struct smq_reader r = smq_reader_on(value);
	smq_get_head(&r, GROUP_FIELDS, VERSION);
	i.height = (unsigned)smq_get_between(&r, 1, SMQ_TREE_HEIGHT_MAX);
	i.epoch = smq_cbor_get_uint(&r);
	i.next_sender_id = smq_cbor_get_uint(&r);
	i.rotated_ms = smq_cbor_get_int(&r);
	i.slot_start_ms = smq_cbor_get_int(&r);
	i.activate_at_ms = smq_cbor_get_int(&r);
	i.expires_ms = smq_cbor_get_int(&r);
	*ret_item = i;
	return end_item(&r);
}

static smq_err load_group(struct smq_keyserver *ks, const char *name, const struct group_item *item,
			  struct ks_group **ret_group)
{
	const struct smq_ks_store *s = &ks->config.store;
	uint8_t *admin = malloc(SMQ_ID_CRED_MAX);
	size_t len = 0, admin_len = 0;
	struct ks_group *g = NULL;
	smq_err err = admin ? SMQ_OK : SMQ_ERR_NO_MEMORY;
	if (err == SMQ_OK)
		err = s->get(s->self, SMQ_KS_ITEM_POLICY, name, 0, 0, smq_mspan_of(ks->document, sizeof(ks->document)),
			     &len);
	if (err == SMQ_OK)
		err = s->get(s->self, SMQ_KS_ITEM_POLICY, name, 1, 0, smq_mspan_of(admin, SMQ_ID_CRED_MAX), &admin_len);
	if (err == SMQ_OK)
		err = ks_group_new(ks, smq_span_str(name), item->height, item->epoch, item->next_sender_id,
				   smq_span_of(ks->document, len), smq_span_of(admin, admin_len), &g);
	free(admin);
	if (err != SMQ_OK)
		return err == SMQ_ERR_NOT_FOUND ? SMQ_ERR_CORRUPT : err;
	g->rotated_ms = item->rotated_ms;
	g->slot_start_ms = item->slot_start_ms;
	err = load_parts(g);
	if (err != SMQ_OK)
		ks_group_free(g);
	else
		*ret_group = g;
	return err;
}

static void repoint(struct ks_outs *outs, const struct ks_group *g, struct ks_group *n)
{
	for (size_t i = 0; i < outs->count; i++) {
		struct ks_out *out = &outs->items[outs->first + i];
		out->group = out->group == g ? n : out->group;
	}
}

/* n NULL: nothing of the group was ever stored, so nothing points at it but the list. */
static void stand_in(struct ks_group *g, struct ks_group *n)
{
	struct smq_keyserver *ks = g->ks;
	size_t at = 0;
	while (ks->groups[at] != g)
		at++;
	if (n) {
		ks->groups[at] = n;
		repoint(&ks->outs, g, n);
		for (size_t i = 0; i < ks->acked_count; i++)
			ks->acked[i].group = ks->acked[i].group == g ? n : ks->acked[i].group;
		for (size_t i = 0; i < ks->config.out_max; i++)
			ks->flights[i].out.group = ks->flights[i].out.group == g ? n : ks->flights[i].out.group;
	} else {
		memmove(ks->groups + at, ks->groups + at + 1, (--ks->group_count - at) * sizeof(*ks->groups));
	}
	ks_group_free(g);
}

void ks_group_reload(struct ks_group *g, struct smq_now now)
{
	const struct smq_ks_store *s = &g->ks->config.store;
	uint8_t room[ITEM_MAX];
	size_t len = 0;
	struct group_item item;
	struct ks_group *n = NULL;
	smq_err err = s->get(s->self, SMQ_KS_ITEM_GROUP, g->name, 0, 0, smq_mspan_of(room, sizeof(room)), &len);
	if (err == SMQ_ERR_NOT_FOUND && g->fresh) {
		stand_in(g, NULL);
		return;
	}
	if (err == SMQ_OK)
		err = read_group_item(smq_span_of(room, len), &item);
	if (err == SMQ_OK)
		err = load_group(g->ks, g->name, &item, &n);
	if (err != SMQ_OK) {
		g->broken = true;
		g->due = false;
		g->reload_at = now.mono_ms + RELOAD_EVERY_MS;
		return;
	}
	n->heard = g->heard;
	n->heard_by = g->heard_by;
	n->manifest_out = g->manifest_out;
	if (g->jumped)
		ks_group_jump(n, g->jump_epoch, g->jump_hash, now);
	stand_in(g, n);
}

/* ---- reading everything ---- */

struct names {
	struct smq_keyserver *ks;
	char (*names)[SMQ_MEMBER_NAME_MAX + 1];
	struct group_item *items;
	size_t count, room;
};

static smq_err take_group(void *context, const char *group, uint64_t a, uint64_t b, smq_span value)
{
	struct names *n = context;
	(void)a;
	(void)b;
	if (!smq_name_valid(smq_span_str(group)) || n->count == KS_GROUPS_MAX)
		return SMQ_ERR_CORRUPT;
	if (n->count == n->room) {
		size_t room = n->room ? 2 * n->room : 16;
		void *names = realloc(n->names, room * sizeof(*n->names));
		n->names = names ? names : n->names;
		void *items = names ? realloc(n->items, room * sizeof(*n->items)) : NULL;
		n->items = items ? items : n->items;
		if (!items)
			return SMQ_ERR_NO_MEMORY;
		n->room = room;
	}
	memcpy(n->names[n->count], group, strlen(group) + 1);
	return read_group_item(value, &n->items[n->count++]);
}

static smq_err load_groups(struct smq_keyserver *ks, const char **ret_why)
{
	const struct smq_ks_store *s = &ks->config.store;
	struct names n = { .ks = ks };
	smq_err err = s->each(s->self, SMQ_KS_ITEM_GROUP, NULL, &n, take_group);
	for (size_t i = 0; i < n.count && err == SMQ_OK; i++) {
		struct ks_group *g = NULL;
		err = load_group(ks, n.names[i], &n.items[i], &g);
		if (err == SMQ_OK)
			err = ks_group_add(ks, g);
	}
	if (err != SMQ_OK)
		*ret_why = "a group in the key server's database does not read back";
	free(n.names);
	free(n.items);
	return err;
}

/* Templates come as two items, the policy first. */
static smq_err take_template(void *context, const char *pattern, uint64_t a, uint64_t b, smq_span value)
{
	struct smq_keyserver *ks = context;
	(void)pattern;
	if (b == 0)
		return SMQ_OK;
	if (a == 0 && ks->template_count == KS_TEMPLATES_MAX)
		return SMQ_ERR_CORRUPT;
	if (a == 0)
		return ks_policy_set(ks, &ks->templates[ks->template_count++], value, smq_span_of(NULL, 0),
				     smq_span_of(NULL, 0));
	return ks->template_count > 0 ? ks_bytes_set(&ks->templates[ks->template_count - 1].admin, value)
				      : SMQ_ERR_CORRUPT;
}

static smq_err take_bars(void *context, const char *group, uint64_t a, uint64_t b, smq_span value)
{
	struct smq_keyserver *ks = context;
	(void)group;
	(void)a;
	return b == 1 ? take_bar(&ks->bars, value) : SMQ_ERR_CORRUPT;
}

static smq_err take_out(void *context, const char *group, uint64_t number, uint64_t what, smq_span value)
{
	struct smq_keyserver *ks = context;
	struct ks_out out = { ks_group_find(ks, smq_span_str(group)), what, number };
	(void)value;
	if (!out.group)
		return SMQ_ERR_CORRUPT;
	ks->out_number = number > ks->out_number ? number : ks->out_number;
	if (what == KS_OUT_MANIFEST && number > out.group->manifest_out)
		out.group->manifest_out = number;
	return ks_out_push(&ks->outs, &out);
}

/* Whose database this is: found, or written at the first start. */
static smq_err check_server(struct smq_keyserver *ks, const char **ret_why)
{
	const struct smq_ks_store *s = &ks->config.store;
	uint8_t room[ITEM_MAX], have[ITEM_MAX];
	size_t len = 0;
	struct smq_writer w = smq_writer_on(smq_mspan_of(room, sizeof(room)));
	smq_cbor_put_array(&w, 2);
	smq_cbor_put_uint(&w, VERSION);
	smq_cbor_put_text(&w, smq_span_str(ks->realm));
	smq_err err = s->get(s->self, SMQ_KS_ITEM_SERVER, "", 0, 0, smq_mspan_of(have, sizeof(have)), &len);
	if (err == SMQ_OK && !smq_span_equal(smq_span_of(have, len), smq_writer_span(&w))) {
		*ret_why = "the key server's database is of another realm";
		return SMQ_ERR_REALM;
	}
	if (err != SMQ_ERR_NOT_FOUND)
		return err;
	err = s->begin(s->self);
	if (err != SMQ_OK)
		return err;
	err = s->put(s->self, SMQ_KS_ITEM_SERVER, "", 0, 0, smq_writer_span(&w));
	if (err == SMQ_OK)
		return s->commit(s->self);
	s->rollback(s->self);
	return err;
}

smq_err ks_load(struct smq_keyserver *ks, const char **ret_why)
{
	const struct smq_ks_store *s = &ks->config.store;
	uint8_t room[ITEM_MAX];
	size_t len;
	*ret_why = "the key server's database cannot be read";
	smq_err err = check_server(ks, ret_why);
	if (err == SMQ_OK)
		err = s->each(s->self, SMQ_KS_ITEM_POLICY, NULL, ks, take_template);
	if (err == SMQ_OK)
		err = s->each(s->self, SMQ_KS_ITEM_MEMBER, "", ks, take_bars);
	if (err == SMQ_OK)
		err = ks_keys_load(ks);
	if (err == SMQ_OK)
		err = load_groups(ks, ret_why);
	if (err == SMQ_OK)
		err = s->each(s->self, SMQ_KS_ITEM_OUT, NULL, ks, take_out);
	if (err != SMQ_OK)
		return err;
	ks->restored =
	    s->get(s->self, SMQ_KS_ITEM_SERVER, "", 1, 0, smq_mspan_of(room, sizeof(room)), &len) != SMQ_ERR_NOT_FOUND;
	return SMQ_OK;
}
