/* What waits for the broker's acknowledgement, by packet identifier. */
#include "app/tickets.h"

#include <assert.h>
#include <stdlib.h>

#include "base/hot.h"

enum { FIRST_SIZE = 64 };

/* A place, and (the index is part of the room) the head of one bucket. */
struct smq_ticket {
	uint64_t number;
	uint16_t id;
	uint32_t first; /* of this bucket, from 1; 0: none */
	uint32_t next;  /* in its bucket, or of those that are free */
};

/* Identifiers are given out one after the other, so their low bits are spread as evenly as can be. */
static uint32_t *bucket_of(const struct smq_tickets *t, uint16_t id) { return &t->room[id & (t->size - 1)].first; }

static void link_place(const struct smq_tickets *t, uint32_t place)
{
	uint32_t *bucket = bucket_of(t, t->room[place - 1].id);
	t->room[place - 1].next = *bucket;
	*bucket = place;
}

/* All places are taken; what they hold keeps its place. */
static smq_err grow(struct smq_tickets *t)
{
	uint32_t had = t->size, size = had ? 2 * had : FIRST_SIZE;
	struct smq_ticket *room = realloc(t->room, size * sizeof(*room));
	if (!room)
		return SMQ_ERR_NO_MEMORY;
	t->room = room;
	t->size = size;
	for (uint32_t i = 0; i < size; i++)
		room[i].first = 0;
	for (uint32_t place = 1; place <= had; place++)
		link_place(t, place);
	for (uint32_t place = size; place > had; place--) {
		room[place - 1].next = t->free;
		t->free = place;
	}
	return SMQ_OK;
}

SMQ_HOT smq_err smq_tickets_reserve(struct smq_tickets *t) { return t->free ? SMQ_OK : grow(t); }

SMQ_HOT void smq_tickets_put(struct smq_tickets *t, uint16_t id, uint64_t number)
{
	assert(t->free);
	(void)smq_tickets_take(t, id);
	if (number == 0)
		return;
	uint32_t place = t->free;
	struct smq_ticket *e = &t->room[place - 1];
	t->free = e->next;
	e->id = id;
	e->number = number;
	link_place(t, place);
}

SMQ_HOT uint64_t smq_tickets_take(struct smq_tickets *t, uint16_t id)
{
	if (t->size == 0)
		return 0;
	for (uint32_t *at = bucket_of(t, id); *at != 0; at = &t->room[*at - 1].next) {
		uint32_t place = *at;
		struct smq_ticket *e = &t->room[place - 1];
		if (e->id != id)
			continue;
		*at = e->next;
		e->next = t->free;
		t->free = place;
		return e->number;
	}
	return 0;
}

void smq_tickets_done(struct smq_tickets *t)
{
	free(t->room);
	*t = (struct smq_tickets){ .size = 0 };
}
