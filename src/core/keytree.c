/* The key server's side of the key tree (PROTOCOL.md 6.2). */
#include "core/keytree.h"

#include <stddef.h>

#include "base/wipe.h"
#include "core/keytree_keys.h"

/* Per node, beside its key. A node without a member below is kept but never wrapped for. */
enum { OCCUPIED = 1, DIRTY = 2, CHANGED = 4, JOINED = 8 };

struct smq_keytree {
	const struct smq_tree_scope *scope;
	unsigned height;
	uint64_t epoch;
	uint64_t members;
	uint64_t free_hint; /* no free leaf lies below it */
	bool rotate;
	struct smq_tree_node *nodes[SMQ_TREE_HEIGHT_MAX + 1];
	uint8_t *flags[SMQ_TREE_HEIGHT_MAX + 1];
	unsigned scan_height; /* of smq_keytree_next_changed */
	uint64_t scan_index;
};

/* ---- memory ---- */

static uint64_t width(unsigned tree_height, unsigned height)
{
	return UINT64_C(1) << (2 * (tree_height - height)); /* 4^(tree_height - height) */
}

static size_t aligned(size_t n)
{
	const size_t a = _Alignof(max_align_t);
	return (n + a - 1) / a * a;
}

size_t smq_keytree_size(unsigned height)
{
	size_t size = aligned(sizeof(struct smq_keytree));
	if (height < 1 || height > SMQ_TREE_HEIGHT_MAX)
		return 0;
	for (unsigned h = 0; h <= height; h++)
		size += aligned(width(height, h) * sizeof(struct smq_tree_node)) + aligned(width(height, h));
	return size;
}

static smq_keytree *lay_out(uint8_t *memory, size_t size, unsigned height)
{
	smq_keytree *t = (smq_keytree *)(void *)memory;
	memset(memory, 0, size);
	memory += aligned(sizeof(*t));
	for (unsigned h = 0; h <= height; h++) {
		t->nodes[h] = (struct smq_tree_node *)(void *)memory;
		memory += aligned(width(height, h) * sizeof(struct smq_tree_node));
		t->flags[h] = memory;
		memory += aligned(width(height, h));
	}
	t->height = height;
	return t;
}

static smq_err draw(const smq_keytree *t, struct smq_tree_key *ret_key)
{
	const struct smq_random *random = t->scope->random;
	return random->fill(random->self, smq_mspan_of(ret_key->b, sizeof(ret_key->b)));
}

/* Fresh keys for the inner nodes from this height on; leaves get theirs when somebody joins. */
static smq_err draw_inner(smq_keytree *t, unsigned from_height, uint64_t from_index_at_base)
{
	for (unsigned h = from_height; h <= t->height; h++) {
		for (uint64_t i = h == t->height ? 0 : from_index_at_base; i < width(t->height, h); i++) {
			struct smq_tree_node *n = &t->nodes[h][i];
			smq_err err = draw(t, &n->key);
			if (err != SMQ_OK)
				return err;
			n->version = 0;
			n->refreshed = t->epoch;
			t->flags[h][i] |= CHANGED;
		}
	}
	return SMQ_OK;
}

smq_err smq_keytree_init(void *memory, size_t len, unsigned height, uint64_t epoch, const struct smq_tree_scope *scope,
			 smq_keytree **ret_tree)
{
	size_t size = smq_keytree_size(height);
	if (size == 0)
		return SMQ_ERR_USAGE;
	if (len < size)
		return SMQ_ERR_NO_ROOM;
	smq_keytree *t = lay_out(memory, size, height);
	t->scope = scope;
	t->epoch = epoch;
	smq_err err = draw_inner(t, 1, 0);
	if (err == SMQ_OK)
		*ret_tree = t;
	return err;
}

void smq_keytree_done(smq_keytree *t) { smq_wipe(t, smq_keytree_size(t->height)); }

/* The old tree becomes the leftmost quarter of the new one; the old root is refreshed with the next epoch's root. */
smq_err smq_keytree_grow(smq_keytree *t, void *memory, size_t len, smq_keytree **ret_tree)
{
	size_t size = smq_keytree_size(t->height + 1);
	if (size == 0)
		return SMQ_ERR_FULL;
	if (len < size)
		return SMQ_ERR_NO_ROOM;
	smq_keytree *n = lay_out(memory, size, t->height + 1);
	n->scope = t->scope;
	n->epoch = t->epoch;
	n->members = t->members;
	n->free_hint = t->free_hint;
	n->rotate = true; /* the new root must reach the members below the old one */
	for (unsigned h = 0; h <= t->height; h++) {
		memcpy(n->nodes[h], t->nodes[h], width(t->height, h) * sizeof(struct smq_tree_node));
		memcpy(n->flags[h], t->flags[h], width(t->height, h));
	}
	for (unsigned h = 1; h <= n->height; h++) {
		for (uint64_t i = h == n->height ? 0 : width(t->height, h); i < width(n->height, h); i++) {
			smq_err err = draw(n, &n->nodes[h][i].key);
			if (err != SMQ_OK)
				return err;
			n->nodes[h][i].refreshed = n->epoch;
			n->flags[h][i] |= CHANGED;
		}
	}
	n->flags[n->height][0] |= t->flags[t->height][0] & OCCUPIED;
	smq_keytree_done(t);
	*ret_tree = n;
	return SMQ_OK;
}

/* ---- questions ---- */

unsigned smq_keytree_height(const smq_keytree *t) { return t->height; }

uint64_t smq_keytree_epoch(const smq_keytree *t) { return t->epoch; }

uint64_t smq_keytree_member_count(const smq_keytree *t) { return t->members; }

uint64_t smq_keytree_capacity(const smq_keytree *t) { return width(t->height, 0); }

const struct smq_tree_node *smq_keytree_node(const smq_keytree *t, unsigned height, uint64_t index)
{
	return height <= t->height && index < width(t->height, height) ? &t->nodes[height][index] : NULL;
}

smq_err smq_keytree_path(const smq_keytree *t, uint64_t leaf, struct smq_tree_node ret_path[SMQ_TREE_HEIGHT_MAX + 1])
{
	if (leaf >= width(t->height, 0) || !(t->flags[0][leaf] & OCCUPIED))
		return SMQ_ERR_NOT_FOUND;
	for (unsigned h = 0; h <= t->height; h++)
		ret_path[h] = t->nodes[h][leaf >> (2 * h)];
	return SMQ_OK;
}

/* ---- a batch ---- */

static bool any_child_occupied(const smq_keytree *t, unsigned height, uint64_t index)
{
	for (unsigned c = 0; c < SMQ_TREE_ARITY; c++) {
		if (t->flags[height - 1][SMQ_TREE_ARITY * index + c] & OCCUPIED)
			return true;
	}
	return false;
}

smq_err smq_keytree_join(smq_keytree *t, uint64_t *ret_leaf)
{
	uint64_t leaf = t->free_hint;
	while (leaf < width(t->height, 0) && (t->flags[0][leaf] & OCCUPIED))
		leaf++;
	t->free_hint = leaf;
	if (leaf == width(t->height, 0))
		return SMQ_ERR_FULL;
	smq_err err = draw(t, &t->nodes[0][leaf].key);
	if (err != SMQ_OK)
		return err;
	t->nodes[0][leaf].version = 0;
	for (unsigned h = 0; h <= t->height; h++)
		t->flags[h][leaf >> (2 * h)] |= OCCUPIED | JOINED | CHANGED;
	t->members++;
	*ret_leaf = leaf;
	return SMQ_OK;
}

smq_err smq_keytree_leave(smq_keytree *t, uint64_t leaf)
{
	if (leaf >= width(t->height, 0) || !(t->flags[0][leaf] & OCCUPIED))
		return SMQ_ERR_NOT_FOUND;
	smq_wipe(&t->nodes[0][leaf], sizeof(t->nodes[0][leaf]));
	t->flags[0][leaf] = CHANGED;
	for (unsigned h = 1; h <= t->height; h++) {
		uint8_t *flags = &t->flags[h][leaf >> (2 * h)];
		*flags |= DIRTY | CHANGED;
		if (!any_child_occupied(t, h, leaf >> (2 * h)))
			*flags &= (uint8_t)~OCCUPIED;
	}
	if (leaf < t->free_hint)
		t->free_hint = leaf;
	t->members--;
	return SMQ_OK;
}

void smq_keytree_rotate(smq_keytree *t) { t->rotate = true; }

void smq_keytree_renew(smq_keytree *t)
{
	for (unsigned h = 1; h <= t->height; h++) {
		for (uint64_t i = 0; i < width(t->height, h); i++)
			t->flags[h][i] |= DIRTY | CHANGED;
	}
}

/* Wraps a node's fresh key for each of its children that leads to a member; each child's key moves on. */
static smq_err wrap_for_children(smq_keytree *t, struct smq_tree_node_message *m)
{
	const struct smq_tree_node *children[SMQ_TREE_ARITY] = { NULL };
	struct smq_tree_node *below = &t->nodes[m->height - 1][SMQ_TREE_ARITY * m->index];
	uint8_t *flags = &t->flags[m->height - 1][SMQ_TREE_ARITY * m->index];
	for (unsigned c = 0; c < SMQ_TREE_ARITY; c++)
		children[c] = flags[c] & OCCUPIED ? &below[c] : NULL;
	smq_err err = smq_tree_wrap(t->scope, children, &t->nodes[m->height][m->index].key, m);
	for (unsigned c = 0; c < SMQ_TREE_ARITY && err == SMQ_OK; c++) {
		if (!children[c])
			continue;
		err = smq_tree_ratchet(t->scope->crypto, &below[c], below[c].version + 1);
		flags[c] |= CHANGED;
	}
	return err;
}

static smq_err refresh(smq_keytree *t, unsigned height, uint64_t index, void *self,
		       smq_err (*emit)(void *self, const struct smq_tree_node_message *message))
{
	struct smq_tree_node_message m = { .height = height, .index = index, .epoch = t->epoch };
	struct smq_tree_node *n = &t->nodes[height][index];
	smq_err err = draw(t, &n->key);
	if (err != SMQ_OK)
		return err;
	n->version = 0;
	n->refreshed = t->epoch;
	t->flags[height][index] |= CHANGED;
	if (!(t->flags[height][index] & OCCUPIED))
		return SMQ_OK; /* nobody to tell */
	err = wrap_for_children(t, &m);
	return err != SMQ_OK ? err : emit(self, &m);
}

/* A newcomer is given this node: older epochs must not follow from what it gets. Fresh keys need no such step. */
static smq_err move_on(smq_keytree *t, unsigned height, uint64_t index)
{
	struct smq_tree_node *n = &t->nodes[height][index];
	if (height == 0) {
		n->refreshed = t->epoch;
		return SMQ_OK;
	}
	return smq_tree_ratchet(t->scope->crypto, n, n->version + 1);
}

static smq_err advance_node(smq_keytree *t, unsigned height, uint64_t index, void *self,
			    smq_err (*emit)(void *self, const struct smq_tree_node_message *message))
{
	uint8_t *flags = &t->flags[height][index];
	smq_err err = SMQ_OK;
	if (*flags & DIRTY)
		err = refresh(t, height, index, self, emit);
	else if (*flags & JOINED)
		err = move_on(t, height, index);
	*flags &= (uint8_t) ~(DIRTY | JOINED);
	return err;
}

/* The next node from here on that has one of these flags; n where there is none. Most of a large tree has not. */
static uint64_t next_with(uint8_t which, const uint8_t *flags, uint64_t i, uint64_t n)
{
	const uint64_t touched = UINT64_C(0x0101010101010101) * which;
	uint64_t eight;
	while (i + sizeof(eight) <= n) {
		memcpy(&eight, flags + i, sizeof(eight));
		if (eight & touched)
			break;
		i += sizeof(eight);
	}
	while (i < n && !(flags[i] & which))
		i++;
	return i;
}

smq_err smq_keytree_advance(smq_keytree *t, uint64_t epoch, void *self,
			    smq_err (*emit)(void *self, const struct smq_tree_node_message *message))
{
	if (epoch <= t->epoch)
		return SMQ_ERR_STALE_EPOCH;
	t->epoch = epoch;
	if (t->rotate)
		t->flags[t->height][0] |= DIRTY;
	t->rotate = false;
	for (unsigned h = 0; h <= t->height; h++) {
		uint64_t n = width(t->height, h);
		const uint8_t *flags = t->flags[h];
		const uint8_t touched = DIRTY | JOINED;
		for (uint64_t i = next_with(touched, flags, 0, n); i < n; i = next_with(touched, flags, i + 1, n)) {
			smq_err err = advance_node(t, h, i, self, emit);
			if (err != SMQ_OK)
				return err;
		}
	}
	return SMQ_OK;
}

/* ---- for the store ---- */

bool smq_keytree_is_dirty(const smq_keytree *t, unsigned height, uint64_t index)
{
	return height <= t->height && index < width(t->height, height) && (t->flags[height][index] & DIRTY);
}

smq_err smq_keytree_load(smq_keytree *t, unsigned height, uint64_t index, const struct smq_tree_node *node, bool dirty)
{
	if (height > t->height || index >= width(t->height, height))
		return SMQ_ERR_CORRUPT;
	t->nodes[height][index] = *node;
	if (height > 0) {
		t->flags[height][index] |= dirty ? DIRTY : 0;
		return SMQ_OK;
	}
	if (!(t->flags[0][index] & OCCUPIED))
		t->members++;
	for (unsigned h = 0; h <= t->height; h++)
		t->flags[h][index >> (2 * h)] |= OCCUPIED;
	return SMQ_OK;
}

bool smq_keytree_next_changed(smq_keytree *t, unsigned *height, uint64_t *index)
{
	for (; t->scan_height <= t->height; t->scan_height++, t->scan_index = 0) {
		uint64_t n = width(t->height, t->scan_height);
		uint64_t i = next_with(CHANGED, t->flags[t->scan_height], t->scan_index, n);
		if (i == n)
			continue;
		t->flags[t->scan_height][i] &= (uint8_t)~CHANGED;
		*height = t->scan_height;
		*index = i;
		t->scan_index = i + 1;
		return true;
	}
	t->scan_height = 0;
	t->scan_index = 0;
	return false;
}
