/* The outbox port in memory: a list of copies, each one block. */
#include "app/outbox_memory.h"

#include <stdlib.h>

#include "base/wipe.h"

struct entry {
	struct entry *before, *after;
	uint64_t number;
	size_t len; /* of the whole block */
	struct smq_publish message;
	struct smq_property properties[]; /* and behind them all strings and bytes */
};

struct memory {
	struct entry *first, *last;
	struct entry *cursor; /* where next stopped: walking the whole list costs no searching */
	uint64_t last_number;
	size_t count, count_max;
};

/* ---- copying into one block ---- */

static size_t text_room(const char *text) { return text ? strlen(text) + 1 : 0; }

static bool add_room(size_t *sum, size_t more)
{
	if (more > SIZE_MAX / 2 - *sum)
		return false;
	*sum += more;
	return true;
}

static bool block_len(const struct smq_publish *m, size_t *ret_len)
{
	size_t len = sizeof(struct entry);
	bool fits = m->property_count < SIZE_MAX / 4 / sizeof(struct smq_property) &&
		    add_room(&len, m->property_count * sizeof(struct smq_property)) && add_room(&len, m->payload.len) &&
		    add_room(&len, text_room(m->topic) + text_room(m->to) + text_room(m->group));
	for (size_t i = 0; fits && i < m->property_count; i++) {
		const struct smq_property *p = &m->properties[i];
		fits = add_room(&len, p->value_len) &&
		       add_room(&len, text_room(p->command) + text_room(p->name) + 1 + text_room(p->pair_value));
	}
	*ret_len = len;
	return fits;
}

/* The bytes and a terminating zero at *at, which moves on. NULL stays NULL. */
static char *put(char **at, const char *bytes, size_t len)
{
	char *copy = *at;
	if (!bytes)
		return NULL;
	memcpy(copy, bytes, len);
	copy[len] = '\0';
	*at += len + 1;
	return copy;
}

static char *put_text(char **at, const char *text) { return put(at, text, text ? strlen(text) : 0); }

static struct entry *entry_new(const struct smq_publish *m)
{
	size_t len;
	struct entry *e = block_len(m, &len) ? malloc(len) : NULL;
	if (!e)
		return NULL;
	char *at = (char *)&e->properties[m->property_count];
	*e = (struct entry){ .len = len, .message = *m };
	e->message.topic = put_text(&at, m->topic);
	e->message.to = put_text(&at, m->to);
	e->message.group = put_text(&at, m->group);
	e->message.properties = m->property_count ? e->properties : NULL;
	for (size_t i = 0; i < m->property_count; i++) {
		const struct smq_property *p = &m->properties[i];
		e->properties[i] = (struct smq_property){ .command = put_text(&at, p->command),
							  .name = put_text(&at, p->name),
							  .value = put(&at, p->value ? p->value : "", p->value_len),
							  .value_len = p->value_len,
							  .pair_value = put_text(&at, p->pair_value) };
	}
	if (m->payload.len)
		memcpy(at, m->payload.p, m->payload.len);
	e->message.payload = smq_span_of(at, m->payload.len);
	return e;
}

static void entry_free(struct entry *e)
{
	smq_wipe(e, e->len);
	free(e);
}

/* ---- the port ---- */

static smq_err op_append(void *self, const struct smq_publish *message, uint64_t *ret_number)
{
	struct memory *m = self;
	if (m->count >= m->count_max)
		return SMQ_ERR_FULL;
	struct entry *e = entry_new(message);
	if (!e)
		return SMQ_ERR_NO_MEMORY;
	e->number = ++m->last_number;
	e->before = m->last;
	if (m->last)
		m->last->after = e;
	else
		m->first = e;
	m->last = e;
	m->count++;
	*ret_number = e->number;
	return SMQ_OK;
}

static struct entry *first_above(const struct memory *m, uint64_t number)
{
	struct entry *e = m->cursor && m->cursor->number <= number ? m->cursor : m->first;
	while (e && e->number <= number)
		e = e->after;
	return e;
}

static smq_err op_next(void *self, uint64_t after, uint64_t *ret_number, struct smq_publish *ret_message)
{
	struct memory *m = self;
	struct entry *e = first_above(m, after);
	if (!e)
		return SMQ_ERR_NOT_FOUND;
	m->cursor = e;
	*ret_number = e->number;
	*ret_message = e->message;
	return SMQ_OK;
}

static smq_err op_remove(void *self, uint64_t number)
{
	struct memory *m = self;
	struct entry *e = number ? first_above(m, number - 1) : NULL;
	if (!e || e->number != number)
		return SMQ_ERR_NOT_FOUND;
	if (m->cursor == e)
		m->cursor = e->before;
	*(e->before ? &e->before->after : &m->first) = e->after;
	*(e->after ? &e->after->before : &m->last) = e->before;
	m->count--;
	entry_free(e);
	return SMQ_OK;
}

static size_t op_count(void *self)
{
	const struct memory *m = self;
	return m->count;
}

static void op_free(void *self)
{
	struct memory *m = self;
	while (m && m->first) {
		struct entry *e = m->first;
		m->first = e->after;
		entry_free(e);
	}
	free(m);
}

smq_err smq_outbox_memory_new(size_t count_max, struct smq_outbox *ret_outbox)
{
	struct memory *m = calloc(1, sizeof(*m));
	if (!m)
		return SMQ_ERR_NO_MEMORY;
	m->count_max = count_max;
	*ret_outbox = (struct smq_outbox){
		.self = m, .append = op_append, .next = op_next, .remove = op_remove, .count = op_count, .free = op_free
	};
	return SMQ_OK;
}
