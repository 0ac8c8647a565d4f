/* The key server's outgoing messages: retained ones, which the store lists until the broker has them, and answers. */
#include "app/keyserver_inner.h"

#include <stdlib.h>

enum { OUT_HOLD_MS = 500 }; /* after the broker or the transport has refused one */

/* ---- the list ---- */

static void close_gap(struct ks_outs *outs)
{
	memmove(outs->items, outs->items + outs->first, outs->count * sizeof(*outs->items));
	outs->first = 0;
}

smq_err ks_out_push(struct ks_outs *outs, const struct ks_out *out)
{
	if (outs->first + outs->count == outs->room && outs->first > outs->room / 2)
		close_gap(outs);
	if (outs->first + outs->count == outs->room) {
		size_t room = outs->room ? 2 * outs->room : 64;
		struct ks_out *more = realloc(outs->items, room * sizeof(*more));
		if (!more)
			return SMQ_ERR_NO_MEMORY;
		outs->items = more;
		outs->room = room;
	}
	outs->items[outs->first + outs->count++] = *out;
	return SMQ_OK;
}

static void pop(struct ks_outs *outs)
{
	outs->first++;
	if (--outs->count == 0)
		outs->first = 0;
}

/* ---- which topic, which payload ---- */

static struct smq_ks_topic topic_of(const struct ks_out *out)
{
	struct smq_ks_topic t = { .name = smq_span_str(out->group->name) };
	switch (out->what >> 60) {
	case 0:
		t.kind = SMQ_KS_TOPIC_NODE;
		t.height = out->what >> 32;
		t.number = out->what & UINT32_MAX;
		break;
	case 1:
		t.kind = SMQ_KS_TOPIC_SENDER;
		t.number = out->what & ((UINT64_C(1) << 60) - 1);
		break;
	case 2:
		t.kind = SMQ_KS_TOPIC_POLICY;
		break;
	default:
		t.kind = SMQ_KS_TOPIC_MANIFEST;
		break;
	}
	return t;
}

/* A card that was removed is published empty: the broker forgets it. */
static smq_err payload_of(const struct ks_out *out, const struct smq_ks_topic *t, smq_span *ret_payload)
{
	struct smq_keyserver *ks = out->group->ks;
	const struct smq_ks_store *store = &ks->config.store;
	smq_mspan room = smq_mspan_of(ks->document, sizeof(ks->document));
	size_t len = 0;
	smq_err err = SMQ_OK;
	if (t->kind == SMQ_KS_TOPIC_MANIFEST || t->kind == SMQ_KS_TOPIC_POLICY) {
		const struct ks_bytes *b =
		    t->kind == SMQ_KS_TOPIC_MANIFEST ? &out->group->manifest : &out->group->policy.signed_bytes;
		*ret_payload = ks_span(b);
		return SMQ_OK;
	}
	if (t->kind == SMQ_KS_TOPIC_NODE)
		err = store->get(store->self, SMQ_KS_ITEM_MESSAGE, out->group->name, t->height, t->number, room, &len);
	else
		err = store->get(store->self, SMQ_KS_ITEM_CARD, out->group->name, t->number, 0, room, &len);
	if (err == SMQ_ERR_NOT_FOUND)
		err = SMQ_OK;
	if (err == SMQ_OK)
		*ret_payload = smq_span_of(ks->document, len);
	return err;
}

/* ---- within a transaction ---- */

smq_err ks_out_stage(struct ks_group *g, uint64_t what)
{
	char topic[SMQ_KS_TOPIC_MAX];
	struct smq_keyserver *ks = g->ks;
	struct ks_out out = { g, what, ++ks->out_number };
	struct smq_ks_topic t = topic_of(&out);
	smq_err err = smq_ks_topic_write(ks->prefix, &t, smq_mspan_of(topic, sizeof(topic)));
	if (err == SMQ_OK)
		err = ks_put(g, SMQ_KS_ITEM_OUT, out.number, what, smq_span_str(topic));
	return err != SMQ_OK ? err : ks_out_push(&ks->staged, &out);
}

/* Memory may fail here: what is in the store goes out after the next start then. */
void ks_out_commit(struct smq_keyserver *ks)
{
	for (size_t i = 0; i < ks->staged.count; i++) {
		const struct ks_out *out = &ks->staged.items[ks->staged.first + i];
		if (ks_out_push(&ks->outs, out) != SMQ_OK)
			break;
		if (out->what == KS_OUT_MANIFEST)
			out->group->manifest_out = out->number;
	}
	ks_out_rollback(ks);
}

void ks_out_rollback(struct smq_keyserver *ks) { ks->staged.first = ks->staged.count = 0; }

smq_err ks_out_forget_acked(struct smq_keyserver *ks)
{
	smq_err err = SMQ_OK;
	for (size_t i = 0; i < ks->acked_count && err == SMQ_OK; i++) {
		const struct ks_out *out = &ks->acked[i];
		err = ks_remove(out->group, SMQ_KS_ITEM_OUT, out->number, out->what);
		if (err == SMQ_ERR_NOT_FOUND)
			err = SMQ_OK;
	}
	return err;
}

/* ---- to the broker ---- */

static struct ks_flight *free_flight(struct smq_keyserver *ks)
{
	for (size_t i = 0; i < ks->config.out_max; i++) {
		if (!ks->flights[i].used)
			return &ks->flights[i];
	}
	return NULL;
}

static bool send_reply(struct smq_keyserver *ks, struct ks_flight *flight)
{
	struct ks_reply *r = &ks->replies[ks->reply_first];
	uint64_t id = 0;
	if (ks->config.publish(ks->config.self, r->topic, ks_span(&r->payload), false, &id) != SMQ_OK)
		return false;
	*flight = (struct ks_flight){ .used = true, .id = id };
	ks_bytes_set(&r->payload, smq_span_of(NULL, 0));
	ks->reply_first = (ks->reply_first + 1) % KS_REPLIES_MAX;
	ks->reply_count--;
	return true;
}

/* It would bring the latest one, ahead of nodes that are needed for it. */
static bool is_superseded(const struct ks_out *out)
{
	return out->what == KS_OUT_MANIFEST && out->group->manifest_out != 0 && out->number != out->group->manifest_out;
}

static void waits_no_more(const struct ks_out *out)
{
	if (out->what == KS_OUT_MANIFEST && out->number == out->group->manifest_out)
		out->group->manifest_out = 0;
}

static void settle(struct smq_keyserver *ks, const struct ks_out *out)
{
	waits_no_more(out);
	if (out->number != 0)
		ks->acked[ks->acked_count++] = *out;
}

/* Without memory it goes out after the next start. */
static void put_back(struct smq_keyserver *ks, const struct ks_out *out)
{
	if (ks_out_push(&ks->outs, out) != SMQ_OK)
		waits_no_more(out);
}

static bool send_out(struct smq_keyserver *ks, struct ks_flight *flight)
{
	struct ks_out out = ks->outs.items[ks->outs.first];
	struct smq_ks_topic t = topic_of(&out);
	char topic[SMQ_KS_TOPIC_MAX];
	smq_span payload;
	uint64_t id = 0;
	if (is_superseded(&out)) {
		settle(ks, &out);
		pop(&ks->outs);
		return true;
	}
	smq_err err = smq_ks_topic_write(ks->prefix, &t, smq_mspan_of(topic, sizeof(topic)));
	if (err == SMQ_OK)
		err = payload_of(&out, &t, &payload);
	if (err == SMQ_OK)
		err = ks->config.publish(ks->config.self, topic, payload, true, &id);
	if (err == SMQ_ERR_FULL) /* goes on with the next acknowledgement */
		return false;
	if (err != SMQ_OK) {
		ks->out_hold_until = ks_now(ks).mono_ms + OUT_HOLD_MS;
		return false;
	}
	*flight = (struct ks_flight){ .used = true, .is_out = true, .id = id, .out = out };
	pop(&ks->outs);
	return true;
}

static bool may_send_out(const struct smq_keyserver *ks)
{
	return ks->settled && ks->outs.count > 0 && ks->acked_count + ks->config.out_max < KS_ACKED_MAX &&
	       ks_now(ks).mono_ms >= ks->out_hold_until;
}

/* Answers go first: somebody waits for them. */
void ks_out_pump(struct smq_keyserver *ks)
{
	bool goes_on = ks->online && !ks->stopped;
	while (goes_on && (ks->reply_count > 0 || may_send_out(ks))) {
		struct ks_flight *flight = free_flight(ks);
		if (!flight)
			return;
		goes_on = ks->reply_count > 0 ? send_reply(ks, flight) : send_out(ks, flight);
	}
}

void smq_keyserver_published(struct smq_keyserver *ks, uint64_t id, smq_err err)
{
	for (size_t i = 0; i < ks->config.out_max; i++) {
		struct ks_flight *f = &ks->flights[i];
		if (!f->used || f->id != id)
			continue;
		f->used = false;
		if (f->is_out && err != SMQ_OK) {
			ks->out_hold_until = ks_now(ks).mono_ms + OUT_HOLD_MS;
			put_back(ks, &f->out);
		} else if (f->is_out) {
			settle(ks, &f->out);
		}
		break;
	}
	ks_out_pump(ks);
}

/* Whether the broker got what was under way, nobody knows: it is published once more. Askers ask again by themselves.
 */
void ks_out_offline(struct smq_keyserver *ks)
{
	for (size_t i = 0; i < ks->config.out_max; i++) {
		struct ks_flight *f = &ks->flights[i];
		if (f->used && f->is_out)
			put_back(ks, &f->out);
		f->used = false;
	}
}

void ks_reply(struct smq_keyserver *ks, enum smq_ks_topic_kind kind, smq_span name, smq_span payload)
{
	struct smq_ks_topic t = { .kind = kind, .name = name };
	if (ks->reply_count == KS_REPLIES_MAX)
		return;
	struct ks_reply *r = &ks->replies[(ks->reply_first + ks->reply_count) % KS_REPLIES_MAX];
	if (smq_ks_topic_write(ks->prefix, &t, smq_mspan_of(r->topic, sizeof(r->topic))) != SMQ_OK ||
	    ks_bytes_set(&r->payload, payload) != SMQ_OK)
		return;
	ks->reply_count++;
	ks_out_pump(ks);
}

/* ---- a broker that has forgotten ---- */

static smq_err push_node(void *context, const char *group, uint64_t height, uint64_t index, smq_span value)
{
	struct ks_group *g = context;
	struct ks_out out = { g, KS_OUT_NODE(height, index), 0 };
	(void)group;
	(void)value;
	return ks_out_push(&g->ks->outs, &out);
}

static smq_err push_card(void *context, const char *group, uint64_t sender, uint64_t b, smq_span value)
{
	struct ks_group *g = context;
	struct ks_out out = { g, KS_OUT_CARD(sender), 0 };
	(void)group;
	(void)b;
	(void)value;
	return ks_out_push(&g->ks->outs, &out);
}

smq_err ks_out_everything(struct ks_group *g)
{
	const struct smq_ks_store *store = &g->ks->config.store;
	struct ks_out policy = { g, KS_OUT_POLICY, 0 }, manifest = { g, KS_OUT_MANIFEST, 0 };
	smq_err err = store->each(store->self, SMQ_KS_ITEM_MESSAGE, g->name, g, push_node);
	if (err == SMQ_OK)
		err = store->each(store->self, SMQ_KS_ITEM_CARD, g->name, g, push_card);
	if (err == SMQ_OK)
		err = ks_out_push(&g->ks->outs, &policy);
	return err != SMQ_OK ? err : ks_out_push(&g->ks->outs, &manifest);
}

void ks_out_done(struct smq_keyserver *ks)
{
	for (size_t i = 0; i < ks->reply_count; i++)
		free(ks->replies[(ks->reply_first + i) % KS_REPLIES_MAX].payload.p);
	free(ks->replies);
	free(ks->flights);
	free(ks->outs.items);
	free(ks->staged.items);
}
