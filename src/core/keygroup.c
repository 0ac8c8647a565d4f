/* A group as its key server keeps it (PROTOCOL.md 7.1). */
#include "core/keygroup.h"

#include <stddef.h>

#include "base/text.h"
#include "base/wipe.h"

/*
 * Members lie in an array; an open hash table of places, by name, leads to them. Places of the gone are reused, their
 * entries in the table stay as tombstones until it is rebuilt.
 */
enum { ENTRY_FREE = 0, ENTRY_GONE = 1, ENTRY_BASE = 2 };

struct place {
	struct smq_keygroup_member member;
	bool pending; /* joined since the last commit, where joins wait for one */
};

struct smq_keygroup {
	struct smq_keygroup_config config;
	smq_keytree *tree;
	struct place *places;
	uint64_t place_count; /* used so far */
	uint64_t free_hint;   /* no free place lies below it */
	uint64_t *table;
	uint64_t table_len; /* a power of two, at least twice the places */
	uint64_t tombstones;
	uint64_t members;
	uint64_t next_sender_id;
	uint64_t scan;
	uint64_t pending_from, pending_to; /* the places that wait for a commit lie in between */
	uint64_t changed_from, changed_to; /* likewise those that changed */
	bool dirty;
};

/* ---- memory ---- */

static size_t aligned(size_t n)
{
	const size_t a = _Alignof(max_align_t);
	return (n + a - 1) / a * a;
}

static unsigned height_for(uint64_t members)
{
	unsigned height = 1;
	while (height < SMQ_TREE_HEIGHT_MAX && (UINT64_C(1) << (2 * height)) < members)
		height++;
	return height;
}

static uint64_t table_for(uint64_t members)
{
	uint64_t len = 16;
	while (len < 2 * members)
		len *= 2;
	return len;
}

size_t smq_keygroup_size(const struct smq_keygroup_config *c)
{
	if (c->members_max < 1 || c->members_max > UINT64_C(1) << (2 * SMQ_TREE_HEIGHT_MAX))
		return 0;
	return aligned(sizeof(struct smq_keygroup)) + aligned(c->members_max * sizeof(struct place)) +
	       aligned(table_for(c->members_max) * sizeof(uint64_t)) + smq_keytree_size(height_for(c->members_max));
}

/* All but the tree, whose memory *ret_rest is. */
static smq_keygroup *lay_out(void *memory, const struct smq_keygroup_config *config, void **ret_rest)
{
	uint8_t *at = memory;
	smq_keygroup *g = (smq_keygroup *)memory;
	memset(g, 0, sizeof(*g));
	g->config = *config;
	g->next_sender_id = config->next_sender_id;
	at += aligned(sizeof(*g));
	g->places = (struct place *)(void *)at;
	at += aligned(config->members_max * sizeof(struct place));
	g->table_len = table_for(config->members_max);
	g->table = (uint64_t *)(void *)at;
	memset(g->table, 0, g->table_len * sizeof(uint64_t));
	*ret_rest = at + aligned(g->table_len * sizeof(uint64_t));
	return g;
}

smq_err smq_keygroup_init(void *memory, size_t len, const struct smq_keygroup_config *config, smq_keygroup **ret_group)
{
	size_t size = smq_keygroup_size(config);
	void *rest;
	if (size == 0)
		return SMQ_ERR_USAGE;
	if (len < size)
		return SMQ_ERR_NO_ROOM;
	smq_keygroup *g = lay_out(memory, config, &rest);
	unsigned height = height_for(config->members_max);
	smq_err err = smq_keytree_init(rest, smq_keytree_size(height), height, config->epoch, config->scope, &g->tree);
	if (err == SMQ_OK)
		*ret_group = g;
	return err;
}

/* The most that a tree of one level more has room for, so that each growth is exactly one level. */
static bool grown_config(const smq_keygroup *g, struct smq_keygroup_config *ret_config)
{
	unsigned height = smq_keytree_height(g->tree) + 1;
	if (height > SMQ_TREE_HEIGHT_MAX)
		return false;
	*ret_config = g->config;
	ret_config->members_max = UINT64_C(1) << (2 * height);
	ret_config->next_sender_id = g->next_sender_id;
	return true;
}

size_t smq_keygroup_grown_size(const smq_keygroup *g)
{
	struct smq_keygroup_config config;
	return grown_config(g, &config) ? smq_keygroup_size(&config) : 0;
}

static void enter(smq_keygroup *g, uint64_t place);

smq_err smq_keygroup_grow(smq_keygroup *g, void *memory, size_t len, smq_keygroup **ret_group)
{
	struct smq_keygroup_config config;
	void *rest;
	if (!grown_config(g, &config))
		return SMQ_ERR_FULL;
	if (len < smq_keygroup_size(&config))
		return SMQ_ERR_NO_ROOM;
	smq_keygroup *n = lay_out(memory, &config, &rest);
	smq_err err = smq_keytree_grow(g->tree, rest, smq_keytree_size(height_for(config.members_max)), &n->tree);
	if (err != SMQ_OK)
		return err;
	memcpy(n->places, g->places, g->place_count * sizeof(struct place));
	n->place_count = g->place_count;
	n->free_hint = g->free_hint;
	n->members = g->members;
	n->pending_from = g->pending_from;
	n->pending_to = g->pending_to;
	n->changed_from = g->changed_from;
	n->changed_to = g->changed_to;
	n->dirty = true;
	for (uint64_t p = 0; p < n->place_count; p++) {
		if (n->places[p].member.name[0] && n->places[p].member.roles)
			enter(n, p);
	}
	smq_wipe(g->places, g->place_count * sizeof(struct place));
	smq_wipe(g, sizeof(*g));
	*ret_group = n;
	return SMQ_OK;
}

void smq_keygroup_done(smq_keygroup *g)
{
	smq_keytree_done(g->tree);
	smq_wipe(g->places, g->place_count * sizeof(struct place));
	smq_wipe(g, sizeof(*g));
}

/* ---- finding ---- */

static uint64_t hash_of(smq_span name)
{
	uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */
	for (size_t i = 0; i < name.len; i++)
		h = (h ^ name.p[i]) * UINT64_C(1099511628211);
	return h ^ h >> 29;
}

/* The table's entry for this name; where it is not there, NULL. */
static uint64_t *entry_of(const smq_keygroup *g, smq_span name)
{
	for (uint64_t i = hash_of(name);; i++) {
		uint64_t *entry = &g->table[i & (g->table_len - 1)];
		if (*entry == ENTRY_FREE)
			return NULL;
		if (*entry >= ENTRY_BASE &&
		    smq_span_equal(smq_span_str(g->places[*entry - ENTRY_BASE].member.name), name))
			return entry;
	}
}

static struct place *place_of(const smq_keygroup *g, smq_span name)
{
	const uint64_t *entry = entry_of(g, name);
	return entry ? &g->places[*entry - ENTRY_BASE] : NULL;
}

static void enter(smq_keygroup *g, uint64_t place)
{
	uint64_t i = hash_of(smq_span_str(g->places[place].member.name));
	while (g->table[i & (g->table_len - 1)] >= ENTRY_BASE)
		i++;
	uint64_t *entry = &g->table[i & (g->table_len - 1)];
	g->tombstones -= *entry == ENTRY_GONE;
	*entry = ENTRY_BASE + place;
}

/* Tombstones lengthen every search for a name that is not there: a quarter of the table is too many. */
static void rebuild_when_due(smq_keygroup *g)
{
	if (g->tombstones < g->table_len / 4)
		return;
	memset(g->table, 0, g->table_len * sizeof(uint64_t));
	g->tombstones = 0;
	for (uint64_t p = 0; p < g->place_count; p++) {
		if (g->places[p].member.name[0] && g->places[p].member.roles)
			enter(g, p);
	}
}

const struct smq_keygroup_member *smq_keygroup_find(const smq_keygroup *g, smq_span name)
{
	const struct place *p = place_of(g, name);
	return p ? &p->member : NULL;
}

uint64_t smq_keygroup_places(const smq_keygroup *g) { return g->place_count; }

const struct smq_keygroup_member *smq_keygroup_at(const smq_keygroup *g, uint64_t place)
{
	const struct smq_keygroup_member *m = place < g->place_count ? &g->places[place].member : NULL;
	return m && m->roles ? m : NULL;
}

void smq_keygroup_skip_sender_ids(smq_keygroup *g, uint64_t next)
{
	g->next_sender_id = next > g->next_sender_id ? next : g->next_sender_id;
}

smq_keytree *smq_keygroup_tree(smq_keygroup *g) { return g->tree; }
uint64_t smq_keygroup_epoch(const smq_keygroup *g) { return smq_keytree_epoch(g->tree); }
uint64_t smq_keygroup_member_count(const smq_keygroup *g) { return g->members; }
uint64_t smq_keygroup_next_sender_id(const smq_keygroup *g) { return g->next_sender_id; }
bool smq_keygroup_is_dirty(const smq_keygroup *g) { return g->dirty; }

/* ---- coming and going ---- */

static smq_err check_join(const struct smq_join *j)
{
	if (!smq_name_valid(j->name))
		return SMQ_ERR_NAME;
	if ((j->roles & ~(unsigned)(SMQ_JOIN_PUBLISH | SMQ_JOIN_SUBSCRIBE)) || j->roles == 0 ||
	    j->until_ms <= j->from_ms)
		return SMQ_ERR_USAGE;
	return SMQ_OK;
}

/* A place that nobody has, and whose former owner the store has heard about. */
static uint64_t free_place(smq_keygroup *g)
{
	uint64_t p = g->free_hint;
	while (p < g->place_count && (g->places[p].member.name[0] || g->places[p].member.changed))
		p++;
	g->free_hint = p;
	if (p == g->place_count && p < g->config.members_max) {
		memset(&g->places[p], 0, sizeof(g->places[p]));
		g->place_count++;
	}
	return p;
}

/* In update mode nobody reads what was sent before he came, so the epoch moves before the newcomer gets his place. */
static bool joins_move(const smq_keygroup *g) { return g->config.mode == SMQ_MODE_UPDATE; }

static void widen(uint64_t *from, uint64_t *to, uint64_t place)
{
	bool none = *from == *to;
	*from = none || place < *from ? place : *from;
	*to = none || place >= *to ? place + 1 : *to;
}

static void note_change(smq_keygroup *g, struct place *p)
{
	p->member.changed = true;
	widen(&g->changed_from, &g->changed_to, (uint64_t)(p - g->places));
}

static smq_err admit(smq_keygroup *g, const struct smq_join *j, struct place **ret_place)
{
	uint64_t leaf;
	uint64_t p = free_place(g);
	if (p >= g->config.members_max)
		return SMQ_ERR_FULL;
	smq_err err = smq_keytree_join(g->tree, &leaf);
	if (err != SMQ_OK)
		return err;
	struct smq_keygroup_member *m = &g->places[p].member;
	memset(m, 0, sizeof(*m));
	memcpy(m->name, j->name.p, j->name.len);
	m->leaf = leaf;
	g->places[p].pending = joins_move(g);
	m->joined = joins_move(g) ? 0 : smq_keytree_epoch(g->tree);
	if (joins_move(g))
		widen(&g->pending_from, &g->pending_to, p);
	g->dirty = g->dirty || joins_move(g);
	g->members++;
	enter(g, p);
	*ret_place = &g->places[p];
	return SMQ_OK;
}

smq_err smq_keygroup_join(smq_keygroup *g, const struct smq_join *j, bool *ret_pending)
{
	smq_err err = check_join(j);
	if (err != SMQ_OK)
		return err;
	struct place *p = place_of(g, j->name);
	bool known = p && memcmp(p->member.boot_id, j->boot_id, SMQ_BOOT_ID_LEN) == 0;
	if (!p)
		err = admit(g, j, &p);
	if (err != SMQ_OK)
		return err;
	if (!known) {
		p->member.sender_id = g->next_sender_id++;
		memcpy(p->member.boot_id, j->boot_id, SMQ_BOOT_ID_LEN);
	}
	p->member.roles = j->roles;
	p->member.from_ms = j->from_ms;
	p->member.until_ms = j->until_ms;
	note_change(g, p);
	*ret_pending = p->pending;
	return SMQ_OK;
}

static void remove_entry(smq_keygroup *g, smq_span name)
{
	uint64_t *entry = entry_of(g, name);
	*entry = ENTRY_GONE;
	g->tombstones++;
}

smq_err smq_keygroup_leave(smq_keygroup *g, smq_span name, bool expelled, bool *ret_moves)
{
	struct place *p = place_of(g, name);
	if (!p)
		return SMQ_ERR_NOT_FOUND;
	smq_err err = smq_keytree_leave(g->tree, p->member.leaf);
	if (err != SMQ_OK)
		return err;
	remove_entry(g, name);
	p->member.roles = 0; /* the name stays until the store has heard of it */
	note_change(g, p);
	p->pending = false;
	g->members--;
	rebuild_when_due(g);
	*ret_moves = expelled || joins_move(g);
	g->dirty = g->dirty || *ret_moves;
	return SMQ_OK;
}

void smq_keygroup_rotate(smq_keygroup *g)
{
	smq_keytree_rotate(g->tree);
	g->dirty = true;
}

void smq_keygroup_renew(smq_keygroup *g)
{
	smq_keytree_renew(g->tree);
	g->dirty = true;
}

size_t smq_keygroup_lapse(smq_keygroup *g, int64_t now_ms)
{
	size_t count = 0;
	for (uint64_t i = 0; i < g->place_count; i++) {
		const struct smq_keygroup_member *m = &g->places[i].member;
		bool moves;
		if (m->roles && m->until_ms <= now_ms &&
		    smq_keygroup_leave(g, smq_span_str(m->name), false, &moves) == SMQ_OK)
			count++;
	}
	return count;
}

/* ---- epochs ---- */

smq_err smq_keygroup_keys(const smq_keygroup *g, struct smq_epoch_keys *ret_keys)
{
	unsigned height = smq_keytree_height(g->tree);
	const struct smq_tree_node *root = smq_keytree_node(g->tree, height, 0);
	struct smq_epoch_keys k = { .epoch = smq_keytree_epoch(g->tree),
				    .height = height,
				    .root_version = root->version };
	smq_err err = smq_epoch_secret(g->config.scope, &root->key, k.epoch, &k.secret);
	if (err == SMQ_OK)
		err = smq_epoch_commitment(g->config.scope, &k.secret, k.epoch, k.commitment);
	if (err == SMQ_OK)
		*ret_keys = k;
	smq_wipe(&k, sizeof(k));
	return err;
}

smq_err smq_keygroup_commit(smq_keygroup *g, uint64_t epoch, void *self,
			    smq_err (*emit)(void *self, const struct smq_tree_node_message *message),
			    struct smq_epoch_keys *ret_keys)
{
	smq_err err = smq_keytree_advance(g->tree, epoch, self, emit);
	if (err != SMQ_OK)
		return err;
	g->dirty = false;
	for (uint64_t i = g->pending_from; i < g->pending_to; i++) {
		g->places[i].member.joined = g->places[i].pending ? epoch : g->places[i].member.joined;
		g->places[i].pending = false;
	}
	g->pending_from = g->pending_to = 0;
	return smq_keygroup_keys(g, ret_keys);
}

smq_err smq_keygroup_grant(const smq_keygroup *g, smq_span name, struct smq_grant *ret_grant)
{
	const struct place *p = place_of(g, name);
	if (!p)
		return SMQ_ERR_NOT_FOUND;
	if (p->pending)
		return SMQ_ERR_STATE;
	struct smq_grant grant = {
		.sender_id = p->member.sender_id,
		.leaf = p->member.leaf,
		.epoch = smq_keytree_epoch(g->tree),
		.roles = p->member.roles,
		.height = smq_keytree_height(g->tree),
		.from_ms = p->member.from_ms,
		.until_ms = p->member.until_ms,
	};
	smq_err err = smq_keytree_path(g->tree, p->member.leaf, grant.path);
	if (err == SMQ_OK)
		*ret_grant = grant;
	smq_wipe(&grant, sizeof(grant));
	return err;
}

/* ---- for the store ---- */

bool smq_keygroup_next_changed(smq_keygroup *g, struct smq_keygroup_member *ret_member)
{
	g->scan = g->scan < g->changed_from ? g->changed_from : g->scan;
	for (; g->scan < g->changed_to; g->scan++) {
		struct smq_keygroup_member *m = &g->places[g->scan].member;
		if (!m->changed)
			continue;
		m->changed = false;
		*ret_member = *m;
		if (m->roles == 0) {
			memset(m, 0, sizeof(*m));
			if (g->scan < g->free_hint)
				g->free_hint = g->scan;
		}
		g->scan++;
		return true;
	}
	g->scan = g->changed_from = g->changed_to = 0;
	return false;
}

smq_err smq_keygroup_load(smq_keygroup *g, const struct smq_keygroup_member *member)
{
	uint64_t p = g->place_count;
	if (p == g->config.members_max || !smq_name_valid(smq_span_str(member->name)) || member->roles == 0 ||
	    place_of(g, smq_span_str(member->name)))
		return SMQ_ERR_CORRUPT;
	memset(&g->places[p], 0, sizeof(g->places[p]));
	g->places[p].member = *member;
	g->places[p].member.changed = false;
	g->place_count++;
	g->members++;
	if (member->sender_id >= g->next_sender_id)
		g->next_sender_id = member->sender_id + 1;
	enter(g, p);
	return SMQ_OK;
}
