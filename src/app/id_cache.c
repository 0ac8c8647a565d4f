/* A hash table with open addressing; nothing is ever taken out of it but everything. */
#include "app/id_cache.h"

#include <stdlib.h>

enum { ROOM_FIRST = 64 };

struct smq_id_entry {
	uint8_t *key; /* NULL: free */
	size_t len;
	uint64_t hash;
	int64_t id;
};

/* FNV-1a. Keys are names of members and their topics: whoever could make them collide is known by name. */
static uint64_t hash_of(smq_span key)
{
	uint64_t h = UINT64_C(14695981039346656037);
	for (size_t i = 0; i < key.len; i++)
		h = (h ^ key.p[i]) * UINT64_C(1099511628211);
	return h;
}

static struct smq_id_entry *place_of(struct smq_id_entry *entries, size_t room, uint64_t hash, smq_span key)
{
	size_t at = (size_t)(hash ^ hash >> 29) & (room - 1);
	while (entries[at].key &&
	       (entries[at].hash != hash || entries[at].len != key.len || memcmp(entries[at].key, key.p, key.len) != 0))
		at = (at + 1) & (room - 1);
	return &entries[at];
}

void smq_id_cache_init(struct smq_id_cache *c, size_t count_max)
{
	*c = (struct smq_id_cache){ .count_max = count_max < 8 ? 8 : count_max };
}

bool smq_id_cache_find(const struct smq_id_cache *c, smq_span key, int64_t *ret_id)
{
	const struct smq_id_entry *e = c->room ? place_of(c->entries, c->room, hash_of(key), key) : NULL;
	if (!e || !e->key)
		return false;
	*ret_id = e->id;
	return true;
}

static bool grow(struct smq_id_cache *c)
{
	size_t room = c->room ? 2 * c->room : ROOM_FIRST;
	struct smq_id_entry *entries = calloc(room, sizeof(*entries));
	if (!entries)
		return false;
	for (size_t i = 0; i < c->room; i++) {
		const struct smq_id_entry *e = &c->entries[i];
		if (e->key)
			*place_of(entries, room, e->hash, smq_span_of(e->key, e->len)) = *e;
	}
	free(c->entries);
	c->entries = entries;
	c->room = room;
	return true;
}

void smq_id_cache_put(struct smq_id_cache *c, smq_span key, int64_t id)
{
	if (c->count >= c->count_max)
		smq_id_cache_clear(c);
	if (4 * (c->count + 1) > 3 * c->room && !grow(c))
		return;
	uint64_t hash = hash_of(key);
	struct smq_id_entry *e = place_of(c->entries, c->room, hash, key);
	if (!e->key) {
		uint8_t *copy = malloc(key.len + 1);
		if (!copy)
			return;
		if (key.len)
			memcpy(copy, key.p, key.len);
		*e = (struct smq_id_entry){ copy, key.len, hash, id };
		c->count++;
	}
	e->id = id;
}

void smq_id_cache_clear(struct smq_id_cache *c)
{
	for (size_t i = 0; i < c->room; i++)
		free(c->entries[i].key);
	free(c->entries);
	c->entries = NULL;
	c->room = c->count = 0;
}
