/* Time slots and their keys (PROTOCOL.md 6.3). */
#include "core/slots.h"

#include "base/wipe.h"
#include "crypto/hkdf.h"
#include "wire/cbor.h"

enum { INFO_MAX = 40 };

/* ---- time: differences are taken unsigned, because a lease may span all of int64_t ---- */

static uint64_t since(int64_t later, int64_t earlier) { return (uint64_t)later - (uint64_t)earlier; }

smq_err smq_slot_at(const struct smq_slot_times *t, int64_t unix_ms, uint64_t *ret_slot)
{
	if (unix_ms < t->start_ms)
		return SMQ_ERR_STATE;
	uint64_t slot = since(unix_ms, t->start_ms) / t->slot_ms;
	*ret_slot = slot < SMQ_SLOT_MAX ? slot : SMQ_SLOT_MAX;
	return SMQ_OK;
}

int64_t smq_slot_begins_ms(const struct smq_slot_times *t, uint64_t slot)
{
	uint64_t left = since(INT64_MAX, t->start_ms);
	return slot > left / t->slot_ms ? INT64_MAX : (int64_t)((uint64_t)t->start_ms + slot * t->slot_ms);
}

static int64_t earlier_by(int64_t ms, uint64_t by)
{
	return since(ms, INT64_MIN) < by ? INT64_MIN : (int64_t)((uint64_t)ms - by);
}

static int64_t later_by(int64_t ms, uint64_t by)
{
	return since(INT64_MAX, ms) < by ? INT64_MAX : (int64_t)((uint64_t)ms + by);
}

uint64_t smq_slot_floor(const struct smq_slot_times *t, int64_t now_ms)
{
	uint64_t slot = 0;
	return smq_slot_at(t, earlier_by(now_ms, t->skew_ms), &slot) == SMQ_OK ? slot : 0;
}

bool smq_slot_is_due(const struct smq_slot_times *t, uint64_t slot, int64_t now_ms)
{
	uint64_t newest;
	return smq_slot_at(t, later_by(now_ms, t->skew_ms), &newest) == SMQ_OK && slot <= newest &&
	       slot >= smq_slot_floor(t, now_ms);
}

smq_err smq_slot_interval(const struct smq_slot_times *t, int64_t from_ms, int64_t until_ms, uint64_t *ret_first,
			  uint64_t *ret_last)
{
	uint64_t first = 0, last;
	if (until_ms <= from_ms || smq_slot_at(t, until_ms - 1, &last) != SMQ_OK)
		return SMQ_ERR_USAGE;
	if (from_ms >= t->start_ms) {
		smq_err err = smq_slot_at(t, from_ms, &first);
		if (err != SMQ_OK)
			return err;
	}
	*ret_first = first;
	*ret_last = last;
	return SMQ_OK;
}

uint64_t smq_slot_tree_of(unsigned levels, uint64_t slot) { return slot >> levels; }

bool smq_slot_part(unsigned levels, uint64_t tree, uint64_t first, uint64_t last, uint64_t *ret_first,
		   uint64_t *ret_last)
{
	if (first > last || first > SMQ_SLOT_MAX || tree < first >> levels || tree > last >> levels)
		return false;
	uint64_t mask = (UINT64_C(1) << levels) - 1;
	*ret_first = tree == first >> levels ? first & mask : 0;
	*ret_last = tree == last >> levels ? last & mask : mask;
	return true;
}

/* ---- derivation ---- */

/* From a node to its child at this place. The place is in the label, so that no seed passes for another. */
static smq_err derive_child(const struct smq_crypto *crypto, const struct smq_slot_key *node, unsigned level,
			    uint64_t index, struct smq_slot_key *ret_child)
{
	uint8_t room[INFO_MAX];
	struct smq_writer w = smq_writer_on(smq_mspan_of(room, sizeof(room)));
	smq_cbor_put_array(&w, 3);
	smq_cbor_put_text(&w, smq_span_str(index % 2 == 0 ? "sealmq1 slot left" : "sealmq1 slot right"));
	smq_cbor_put_uint(&w, level);
	smq_cbor_put_uint(&w, index);
	smq_span info = smq_writer_span(&w);
	return smq_hkdf_expand(crypto, node->b, &info, 1, smq_mspan_of(ret_child->b, sizeof(ret_child->b)));
}

/* Nodes on the way to where we have been last, so that neighbours share their derivations. */
struct walk {
	const struct smq_crypto *crypto;
	unsigned top;
	struct {
		bool there;
		uint64_t index;
		struct smq_slot_key key;
	} at[SMQ_SLOT_LEVELS_MAX + 1];
};

static void walk_from(struct walk *w, const struct smq_crypto *crypto, const struct smq_slot_seed *seed)
{
	*w = (struct walk){ .crypto = crypto, .top = seed->level };
	w->at[seed->level].there = true;
	w->at[seed->level].index = seed->index;
	w->at[seed->level].key = seed->key;
}

/* (level, index) lies below the seed that the walk began at. */
static smq_err walk_to(struct walk *w, unsigned level, uint64_t index, struct smq_slot_seed *ret_seed)
{
	smq_err err = SMQ_OK;
	unsigned l = level;
	while (l < w->top && !(w->at[l].there && w->at[l].index == index >> (l - level)))
		l++;
	for (; l > level && err == SMQ_OK; l--) {
		uint64_t child = index >> (l - 1 - level);
		err = derive_child(w->crypto, &w->at[l].key, l - 1, child, &w->at[l - 1].key);
		w->at[l - 1].there = err == SMQ_OK;
		w->at[l - 1].index = child;
	}
	if (err == SMQ_OK)
		*ret_seed = (struct smq_slot_seed){ level, index, w->at[level].key };
	return err;
}

/* Adds the seeds for first to last, all below one node, to a list. */
static smq_err add_cover(const struct smq_crypto *crypto, const struct smq_slot_seed *from, uint64_t first,
			 uint64_t last, struct smq_slot_seeds *list)
{
	struct walk w;
	smq_err err = SMQ_OK;
	walk_from(&w, crypto, from);
	while (first <= last && err == SMQ_OK) {
		unsigned level = smq_slot_level_at(first, last, from->level);
		err = list->count == SMQ_SLOT_SEEDS_MAX ? SMQ_ERR_FULL
							: walk_to(&w, level, first >> level, &list->seeds[list->count]);
		list->count += err == SMQ_OK;
		first += UINT64_C(1) << level;
	}
	smq_wipe(&w, sizeof(w));
	return err;
}

/* ---- the key server's side ---- */

smq_err smq_slot_tree_init(struct smq_slot_tree *t, const struct smq_crypto *crypto, const struct smq_random *random,
			   uint64_t number, unsigned levels)
{
	struct smq_slot_tree tree = { .crypto = crypto, .number = number, .levels = levels };
	if (levels > SMQ_SLOT_LEVELS_MAX || number > SMQ_SLOT_MAX >> levels)
		return SMQ_ERR_USAGE;
	smq_err err = random->fill(random->self, smq_mspan_of(tree.root.b, sizeof(tree.root.b)));
	if (err == SMQ_OK)
		*t = tree;
	smq_wipe(&tree, sizeof(tree));
	return err;
}

smq_err smq_slot_cover(const struct smq_slot_tree *t, uint64_t first, uint64_t last, struct smq_slot_seeds *ret_seeds)
{
	struct smq_slot_seeds list = { 0 };
	struct smq_slot_seed root = { t->levels, 0, t->root };
	smq_err err = first > last || last >> t->levels != 0 ? SMQ_ERR_USAGE : SMQ_OK;
	if (err == SMQ_OK)
		err = add_cover(t->crypto, &root, first, last, &list);
	if (err == SMQ_OK)
		*ret_seeds = list;
	smq_wipe(&root, sizeof(root));
	smq_wipe(&list, sizeof(list));
	return err;
}

void smq_slot_tree_done(struct smq_slot_tree *t) { smq_wipe(t, sizeof(*t)); }

/* ---- a member's side ---- */

/* Copies what lies at or above the floor (counted within the tree), splitting the seed that reaches across it. */
static smq_err keep_from(const struct smq_crypto *crypto, const struct smq_slot_seeds *seeds, uint64_t floor,
			 struct smq_slot_seeds *list)
{
	smq_err err = SMQ_OK;
	for (size_t i = 0; i < seeds->count && err == SMQ_OK; i++) {
		const struct smq_slot_seed *s = &seeds->seeds[i];
		uint64_t first = smq_slot_seed_first(s), last = smq_slot_seed_last(s);
		if (last >= floor)
			err = add_cover(crypto, s, first < floor ? floor : first, last, list);
	}
	return err;
}

smq_err smq_slot_holder_forget(struct smq_slot_holder *h, uint64_t floor)
{
	struct smq_slot_seeds list = { 0 };
	smq_err err = SMQ_OK;
	uint64_t mask = (UINT64_C(1) << h->levels) - 1, tree = floor >> h->levels;
	if (floor <= h->floor)
		return SMQ_OK;
	if (tree <= h->tree)
		err = keep_from(h->crypto, &h->seeds, tree < h->tree ? 0 : floor & mask, &list);
	if (err == SMQ_OK) {
		smq_wipe(&h->seeds, sizeof(h->seeds));
		h->seeds = list;
		h->floor = floor;
	}
	smq_wipe(&list, sizeof(list));
	return err;
}

smq_err smq_slot_holder_init(struct smq_slot_holder *h, const struct smq_crypto *crypto, uint64_t tree, unsigned levels,
			     uint64_t floor, const struct smq_slot_seeds *seeds)
{
	struct smq_slot_holder holder = { .crypto = crypto, .tree = tree, .levels = levels, .seeds = *seeds };
	smq_err err = levels > SMQ_SLOT_LEVELS_MAX ? SMQ_ERR_USAGE : smq_slot_holder_forget(&holder, floor);
	if (err == SMQ_OK)
		*h = holder;
	smq_wipe(&holder, sizeof(holder));
	return err;
}

smq_err smq_slot_holder_key(const struct smq_slot_holder *h, uint64_t slot, struct smq_slot_key *ret_key)
{
	uint64_t place = slot & ((UINT64_C(1) << h->levels) - 1);
	if (slot < h->floor)
		return SMQ_ERR_STALE_EPOCH;
	if (slot >> h->levels != h->tree)
		return SMQ_ERR_NO_KEY;
	for (size_t i = 0; i < h->seeds.count; i++) {
		const struct smq_slot_seed *s = &h->seeds.seeds[i];
		struct smq_slot_seed leaf;
		struct walk w;
		if (place < smq_slot_seed_first(s) || place > smq_slot_seed_last(s))
			continue;
		walk_from(&w, h->crypto, s);
		smq_err err = walk_to(&w, 0, place, &leaf);
		if (err == SMQ_OK)
			*ret_key = leaf.key;
		smq_wipe(&leaf, sizeof(leaf));
		smq_wipe(&w, sizeof(w));
		return err;
	}
	return SMQ_ERR_NO_KEY;
}

void smq_slot_holder_done(struct smq_slot_holder *h) { smq_wipe(h, sizeof(*h)); }
