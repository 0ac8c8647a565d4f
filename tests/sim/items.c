/* The key server's store in memory. */
#include "items.h"

#include <stdio.h>

#include "sim.h"

void items_clear(struct items *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->at[i].bytes);
	l->count = 0;
}

static void set_bytes(struct item *i, smq_span value)
{
	uint8_t *bytes = malloc(value.len + 1);
	if (!bytes)
		abort();
	if (value.len > 0)
		memcpy(bytes, value.p, value.len);
	i->bytes = bytes;
	i->len = value.len;
}

void items_copy(struct items *to, const struct items *from)
{
	items_clear(to);
	for (size_t i = 0; i < from->count; i++) {
		to->at[i] = from->at[i];
		set_bytes(&to->at[i], smq_span_of(from->at[i].bytes, from->at[i].len));
	}
	to->count = from->count;
}

static int compare(const struct item *x, enum smq_ks_item kind, const char *group, uint64_t a, uint64_t b)
{
	int order = (int)x->kind - (int)kind;
	order = order ? order : strcmp(x->group, group);
	order = order ? order : (x->a > a) - (x->a < a);
	return order ? order : (x->b > b) - (x->b < b);
}

/* Where it is, or would be. */
static size_t place(const struct items *l, enum smq_ks_item kind, const char *group, uint64_t a, uint64_t b,
		    bool *ret_found)
{
	size_t i = 0;
	while (i < l->count && compare(&l->at[i], kind, group, a, b) < 0)
		i++;
	*ret_found = i < l->count && compare(&l->at[i], kind, group, a, b) == 0;
	return i;
}

bool items_put(struct items *l, enum smq_ks_item kind, const char *group, uint64_t a, uint64_t b, smq_span value)
{
	bool found;
	size_t i = place(l, kind, group, a, b, &found);
	if (found) {
		free(l->at[i].bytes);
	} else if (l->count == ITEMS_MAX) {
		return false;
	} else {
		memmove(&l->at[i + 1], &l->at[i], (l->count++ - i) * sizeof(l->at[0]));
		l->at[i] = (struct item){ .kind = kind, .a = a, .b = b };
		snprintf(l->at[i].group, sizeof(l->at[i].group), "%s", group);
	}
	set_bytes(&l->at[i], value);
	return true;
}

static bool alive(struct item_store *s)
{
	if (s->die_in > 0 && --s->die_in == 0)
		s->dead = true;
	return !s->dead;
}

static smq_err begin(void *self)
{
	struct item_store *s = self;
	if (!alive(s))
		return SMQ_ERR_STORE;
	items_copy(&s->working, &s->durable);
	s->open = true;
	s->mark = watch_mark();
	return SMQ_OK;
}

static smq_err commit(void *self)
{
	struct item_store *s = self;
	bool was_dead = s->dead, lives = alive(s);
	s->open = false;
	if (was_dead || (!lives && !s->dies_done) || s->fail_commits > 0) {
		watch_forget(s->mark);
		s->fail_commits -= s->fail_commits > 0;
		return SMQ_ERR_STORE;
	}
	items_copy(&s->durable, &s->working);
	return lives ? SMQ_OK : SMQ_ERR_STORE;
}

static void rollback(void *self)
{
	struct item_store *s = self;
	watch_forget(s->mark);
	s->open = false;
}

static smq_err put(void *self, enum smq_ks_item kind, const char *group, uint64_t a, uint64_t b, smq_span value)
{
	struct item_store *s = self;
	if (!alive(s))
		return SMQ_ERR_STORE;
	return items_put(&s->working, kind, group, a, b, value) ? SMQ_OK : SMQ_ERR_DISK_FULL;
}

static smq_err drop(void *self, enum smq_ks_item kind, const char *group, uint64_t a, uint64_t b)
{
	struct item_store *s = self;
	struct items *l = &s->working;
	bool found;
	if (!alive(s))
		return SMQ_ERR_STORE;
	size_t i = place(l, kind, group, a, b, &found);
	if (!found)
		return SMQ_OK;
	free(l->at[i].bytes);
	memmove(&l->at[i], &l->at[i + 1], (--l->count - i) * sizeof(l->at[0]));
	return SMQ_OK;
}

static const struct items *seen_by(const struct item_store *s) { return s->open ? &s->working : &s->durable; }

static smq_err each(void *self, enum smq_ks_item kind, const char *group, void *context,
		    smq_err (*take)(void *context, const char *group, uint64_t a, uint64_t b, smq_span value))
{
	struct item_store *s = self;
	smq_err err = alive(s) ? SMQ_OK : SMQ_ERR_STORE;
	const struct items *l = seen_by(s);
	for (size_t i = 0; i < l->count && err == SMQ_OK; i++) {
		const struct item *x = &l->at[i];
		if (x->kind == kind && (!group || strcmp(group, x->group) == 0))
			err = take(context, x->group, x->a, x->b, smq_span_of(x->bytes, x->len));
	}
	return err;
}

static smq_err get(void *self, enum smq_ks_item kind, const char *group, uint64_t a, uint64_t b, smq_mspan room,
		   size_t *ret_len)
{
	struct item_store *s = self;
	const struct items *l = seen_by(s);
	bool found;
	if (!alive(s))
		return SMQ_ERR_STORE;
	size_t i = place(l, kind, group, a, b, &found);
	if (!found)
		return SMQ_ERR_NOT_FOUND;
	if (l->at[i].len > room.len)
		return SMQ_ERR_NO_ROOM;
	memcpy(room.p, l->at[i].bytes, l->at[i].len);
	*ret_len = l->at[i].len;
	return SMQ_OK;
}

static smq_err audit(void *self, const char *what, const char *who, const char *group, const char *whom,
		     smq_err outcome)
{
	(void)what, (void)who, (void)group, (void)whom, (void)outcome;
	return alive(self) ? SMQ_OK : SMQ_ERR_STORE;
}

struct smq_ks_store item_store_port(struct item_store *s)
{
	return (struct smq_ks_store){ .self = s,
				      .begin = begin,
				      .commit = commit,
				      .rollback = rollback,
				      .put = put,
				      .remove = drop,
				      .each = each,
				      .get = get,
				      .audit = audit };
}
