/* A hash table of texts and counts, open addressing. */
#include "app/value_counts.h"

#include <stdlib.h>

static uint64_t hash_of(smq_span text)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
	for (size_t i = 0; i < text.len; i++)
		h = (h ^ text.p[i]) * UINT64_C(0x100000001b3);
	return h ^ h >> 32;
}

void smq_value_counts_done(struct smq_value_counts *c)
{
	for (size_t i = 0; i < c->room; i++)
		free(c->places[i].text);
	free(c->places);
	*c = (struct smq_value_counts){ 0 };
}

static struct smq_counted *find(struct smq_counted *places, size_t room, smq_span text, uint64_t hash)
{
	size_t i = hash & (room - 1);
	while (places[i].text &&
	       !(places[i].hash == hash && places[i].len == text.len && memcmp(places[i].text, text.p, text.len) == 0))
		i = (i + 1) & (room - 1);
	return &places[i];
}

static smq_err grow(struct smq_value_counts *c)
{
	size_t room = c->room ? c->room * 2 : 64;
	struct smq_counted *places = calloc(room, sizeof(*places));
	if (!places)
		return SMQ_ERR_NO_MEMORY;
	for (size_t i = 0; i < c->room; i++) {
		const struct smq_counted *old = &c->places[i];
		if (old->text)
			*find(places, room, smq_span_of(old->text, old->len), old->hash) = *old;
	}
	free(c->places);
	c->places = places;
	c->room = room;
	return SMQ_OK;
}

static smq_err insert(struct smq_value_counts *c, struct smq_counted *place, smq_span text, uint64_t hash)
{
	char *copy = malloc(text.len + 1);
	if (!copy)
		return SMQ_ERR_NO_MEMORY;
	if (text.len > 0)
		memcpy(copy, text.p, text.len);
	copy[text.len] = 0;
	*place = (struct smq_counted){ copy, text.len, hash, 1 };
	c->used++;
	c->bytes += text.len + 1 + sizeof(*place);
	return SMQ_OK;
}

smq_err smq_value_counts_add(struct smq_value_counts *c, smq_span text, size_t texts_max, size_t bytes_max)
{
	uint64_t hash = hash_of(text);
	if (c->used * 2 >= c->room) {
		smq_err err = grow(c);
		if (err != SMQ_OK)
			return err;
	}
	struct smq_counted *place = find(c->places, c->room, text, hash);
	if (place->text) {
		place->count++;
		return SMQ_OK;
	}
	if (c->used >= texts_max || c->bytes + text.len > bytes_max)
		return SMQ_ERR_FULL;
	return insert(c, place, text, hash);
}
