/* The messenger: publishes sealed or keeps waiting, opens and delivers or refuses. */
#include "app/messenger.h"

#include <stdlib.h>

#include "app/tickets.h"
#include "app/topic_filter.h"
#include "base/hot.h"
#include "base/text.h"
#include "base/wipe.h"
#include "core/member_proof.h"

enum {
	MIDS = 65536,     /* MQTT packet identifiers */
	ROOM_STEP = 4096, /* scratch room grows in such steps and is kept */
	FLUSH_MOST = 64,  /* waiting messages tried in one go */
	PROOF_SUBS_MAX = 64,
	HELD_MOST = 256, /* messages that may open later */
	HELD_BYTES = 1 << 20,
	HELD_MS = 5000,
	RESEAL_MOST = 256, /* topics whose retained message is sealed anew when an epoch comes */
	RESEAL_BYTES = 1 << 20,
	AGAIN_FIRST_MS = 1000, /* before refused subscriptions are asked for again; then twice as long each time */
	AGAIN_MOST_MS = 60000
};

/* Tickets of messages that never were in the outbox; those that were carry their outbox number. */
#define DIRECT (UINT64_C(1) << 63)
#define CONTROL UINT64_MAX /* a message of the key exchange */

struct subscription {
	struct subscription *next;
	char *filter;
	int options;
	struct smq_property *properties; /* deep copies */
	size_t property_count;
};

struct room {
	uint8_t *p;
	size_t len;
};

/* A message that may open later: its sender's card, or its epoch, is on the way. */
struct held {
	struct held *next;
	struct smq_mqtt_message message; /* deep */
	int64_t until_ms;                /* mono */
};

/* A retained message of ours: the broker hands it out long after the epoch that it was sealed under. */
struct retained {
	struct retained *next;
	char *topic, *group;
	uint8_t *plain;
	size_t len;
	int qos;
	uint64_t epoch_mark; /* to be sealed anew for this epoch; 0: it is */
};

struct smq_messenger {
	struct smq_messenger_config config;
	const struct smq_client_options *o;
	struct smq_transport *transport;
	struct subscription *subscriptions;
	struct smq_counts counts;
	struct room sealed, opened;
	struct smq_tickets tickets; /* by packet identifier: what `published` stands for */
	uint64_t next_direct;
	uint64_t cursor; /* outbox entries up to this number are sent and wait for their acknowledgement */
	size_t unsent;   /* entries beyond the cursor */
	bool was_connected;
	bool is_connected;
	bool renewing; /* another connection takes the place of this one */
	bool flush_due;
	bool flushing;    /* a send may call back before it returns */
	int control_subs; /* acknowledgements of control subscriptions that are still out */
	int control_ids[2];
	int proof_ids[PROOF_SUBS_MAX]; /* of subscriptions to topics of proof; 0: none */
	size_t proof_subs;
	uint8_t *group_subs; /* a bit per packet identifier: subscriptions of groups, which are our own matter */
	int search_id;       /* of the subscription to all groups' policies; 0: none */
	struct held *held;
	size_t held_count, held_bytes;
	bool retry_held;
	struct retained *retained;
	size_t retained_count, retained_bytes;
	bool group_denied;          /* told once */
	bool granted;               /* the broker has let us subscribe */
	int64_t again_ms, pause_ms; /* when refused subscriptions are asked for anew (mono); 0: none is */
};

/* ---- memory ---- */

static smq_err make_room(struct room *r, size_t len)
{
	if (len <= r->len)
		return SMQ_OK;
	size_t want = (len + ROOM_STEP - 1) / ROOM_STEP * ROOM_STEP;
	uint8_t *p = malloc(want);
	if (!p)
		return SMQ_ERR_NO_MEMORY;
	if (r->p)
		smq_wipe(r->p, r->len);
	free(r->p);
	r->p = p;
	r->len = want;
	return SMQ_OK;
}

static void drop_room(struct room *r)
{
	if (r->p)
		smq_wipe(r->p, r->len);
	free(r->p);
}

static void free_properties(struct smq_property *properties, size_t count)
{
	for (size_t i = 0; properties && i < count; i++) {
		free((char *)(uintptr_t)properties[i].command);
		free((char *)(uintptr_t)properties[i].name);
		free((char *)(uintptr_t)properties[i].value);
		free((char *)(uintptr_t)properties[i].pair_value);
	}
	free(properties);
}

static char *copy_bytes(const char *p, size_t len)
{
	char *copy = malloc(len + 1);
	if (!copy)
		return NULL;
	if (len > 0)
		memcpy(copy, p, len);
	copy[len] = 0;
	return copy;
}

static bool copy_property(const struct smq_property *from, struct smq_property *ret_copy)
{
	ret_copy->command = strdup(from->command ? from->command : "");
	ret_copy->name = strdup(from->name);
	ret_copy->value = copy_bytes(from->value, from->value_len);
	ret_copy->value_len = from->value_len;
	ret_copy->pair_value = from->pair_value ? strdup(from->pair_value) : NULL;
	return ret_copy->command && ret_copy->name && ret_copy->value && (!from->pair_value || ret_copy->pair_value);
}

static smq_err copy_properties(const struct smq_property *from, size_t count, struct smq_property **ret_copy)
{
	struct smq_property *copy = calloc(count ? count : 1, sizeof(*copy));
	if (!copy)
		return SMQ_ERR_NO_MEMORY;
	for (size_t i = 0; i < count; i++) {
		if (!copy_property(&from[i], &copy[i])) {
			free_properties(copy, count);
			return SMQ_ERR_NO_MEMORY;
		}
	}
	*ret_copy = copy;
	return SMQ_OK;
}

static void free_subscription(struct subscription *s)
{
	free(s->filter);
	free_properties(s->properties, s->property_count);
	free(s);
}

/* ---- notes of the member machine become events, its messages go out ---- */

static void tell(struct smq_messenger *g, const struct smq_event *event)
{
	if (g->o->on_event)
		g->o->on_event(g->o->self, event);
}

static void on_note(struct smq_messenger *g, const struct smq_note *note)
{
	struct smq_event e = {
		.peer = note->peer,
		.epoch = note->session,
		.err = note->err,
		.wire_bytes = note->wire_bytes,
		.took_ms = note->took_ms > 0 ? (uint64_t)note->took_ms : 0,
	};
	switch (note->kind) {
	case SMQ_NOTE_READY:
		e.kind = note->session == 1 ? SMQ_EVENT_SESSION_NEW : SMQ_EVENT_SESSION_ROTATED;
		g->counts.sessions++;
		g->flush_due = true;
		break;
	case SMQ_NOTE_WIPED:
		e.kind = SMQ_EVENT_SESSION_WIPED;
		break;
	case SMQ_NOTE_FAILED:
		e.kind = SMQ_EVENT_SESSION_FAILED;
		g->counts.failed_exchanges++;
		break;
	case SMQ_NOTE_SILENT:
		e.kind = SMQ_EVENT_PEER_SILENT;
		break;
	case SMQ_NOTE_ENDED:
		e.kind = SMQ_EVENT_SESSION_ENDED;
		break;
	}
	tell(g, &e);
}

static void send_control(struct smq_messenger *g, const struct smq_action *a)
{
	struct smq_mqtt_message message = { .topic = a->topic, .payload = a->payload, .qos = 1 };
	int id = 0;
	/* If it does not go out now the run's own retry makes a fresh one. */
	if (smq_tickets_reserve(&g->tickets) == SMQ_OK &&
	    g->transport->ops->publish(g->transport, &message, &id) == SMQ_OK)
		smq_tickets_put(&g->tickets, (uint16_t)id, CONTROL);
}

SMQ_HOT static void work_member(struct smq_messenger *g, struct smq_now now)
{
	struct smq_action action;
	if (!g->config.member)
		return;
	while (smq_member_next(g->config.member, now, &action)) {
		if (action.kind == SMQ_ACT_SEND)
			send_control(g, &action);
		else
			on_note(g, &action.note);
	}
}

/* ---- retained messages of ours ---- */

static void forget_retained(struct smq_messenger *g, struct retained **at)
{
	struct retained *r = *at;
	*at = r->next;
	g->retained_count--;
	g->retained_bytes -= r->len;
	if (r->plain)
		smq_wipe(r->plain, r->len);
	free(r->plain);
	free(r->topic);
	free(r->group);
	free(r);
}

/* Kept in the clear, in memory, for as long as we run. What does not fit is not sealed anew. */
static void remember_retained(struct smq_messenger *g, const struct smq_publish *p)
{
	struct retained **at = &g->retained;
	while (*at && strcmp((*at)->topic, p->topic) != 0)
		at = &(*at)->next;
	if (*at)
		forget_retained(g, at);
	if (!g->config.groups->next || g->retained_count == RESEAL_MOST ||
	    p->payload.len > RESEAL_BYTES - g->retained_bytes)
		return;
	struct retained *r = calloc(1, sizeof(*r));
	if (!r)
		return;
	r->topic = strdup(p->topic);
	r->group = strdup(p->group);
	r->plain = (uint8_t *)copy_bytes((const char *)p->payload.p, p->payload.len);
	r->len = p->payload.len;
	r->qos = p->qos;
	r->next = g->retained;
	g->retained = r;
	g->retained_count++;
	g->retained_bytes += r->len;
	if (!r->topic || !r->group || !r->plain)
		forget_retained(g, &g->retained);
}

static void want_reseal(struct smq_messenger *g, const char *group, uint64_t epoch)
{
	for (struct retained *r = g->retained; r; r = r->next) {
		if (strcmp(r->group, group) == 0)
			r->epoch_mark = epoch;
	}
}

/* ---- groups at a key server ---- */

static void on_group_note(struct smq_messenger *g, const struct smq_group_note *note, const char *group)
{
	static const enum smq_event_kind kinds[] = {
		[SMQ_GROUP_JOINED] = SMQ_EVENT_GROUP_JOINED,
		[SMQ_GROUP_REFUSED] = SMQ_EVENT_GROUP_REFUSED,
		[SMQ_GROUP_EPOCH] = SMQ_EVENT_GROUP_EPOCH,
		[SMQ_GROUP_EXPELLED] = SMQ_EVENT_GROUP_EXPELLED,
		[SMQ_GROUP_WAITING] = SMQ_EVENT_GROUP_WAITING,
		[SMQ_GROUP_EXPIRED] = SMQ_EVENT_GROUP_EXPIRED,
		[SMQ_GROUP_LEFT] = SMQ_EVENT_GROUP_LEFT,
		[SMQ_GROUP_GAP] = SMQ_EVENT_GROUP_GAP,
		[SMQ_GROUP_STALE] = SMQ_EVENT_GROUP_STALE,
		[SMQ_GROUP_FORK] = SMQ_EVENT_GROUP_FORK,
		[SMQ_GROUP_TWO_SERVERS] = SMQ_EVENT_GROUP_TWO_SERVERS,
		[SMQ_GROUP_FORGED] = SMQ_EVENT_GROUP_FORGED,
		[SMQ_GROUP_STAYS] = SMQ_EVENT_GROUP_STAYS,
	};
	struct smq_event e = { .peer = "",
			       .epoch = note->epoch,
			       .err = note->err,
			       .took_ms = note->took_ms,
			       .waits_ms = note->waits_ms,
			       .group = group,
			       .text = note->text };
	bool opens = note->kind == SMQ_GROUP_JOINED || note->kind == SMQ_GROUP_EPOCH || note->kind == SMQ_GROUP_SENDER;
	g->retry_held = g->retry_held || opens;
	if (note->kind == SMQ_GROUP_EPOCH)
		want_reseal(g, group, note->epoch);
	if (note->kind == SMQ_GROUP_SENDER)
		return;
	e.kind = kinds[note->kind];
	tell(g, &e);
	if (g->config.heed.group)
		g->config.heed.group(g->config.heed.self, note, group);
}

/* Of a search for groups it does not matter whether the broker lets us look around. */
static void subscribe_group(struct smq_messenger *g, const struct smq_group_action *a, bool searches)
{
	const struct smq_transport_ops *ops = g->transport->ops;
	int id = 0;
	smq_err err = a->kind == SMQ_GROUP_ACT_SUBSCRIBE
			  ? ops->subscribe(g->transport, a->topic, SMQ_SUB_CONTROL, NULL, 0, &id)
			  : ops->unsubscribe(g->transport, a->topic, NULL, 0, &id);
	if (err == SMQ_OK)
		g->group_subs[(id & (MIDS - 1)) / 8] |= (uint8_t)(1u << id % 8);
	if (err == SMQ_OK && searches)
		g->search_id = id;
}

/* Whether a subscription's answer is one of those; it is answered once. */
static bool was_group_sub(struct smq_messenger *g, int id)
{
	uint8_t *byte = &g->group_subs[(id & (MIDS - 1)) / 8], bit = (uint8_t)(1u << id % 8);
	bool was = *byte & bit;
	*byte &= (uint8_t)~bit;
	return was;
}

SMQ_HOT static void work_groups(struct smq_messenger *g, struct smq_now now)
{
	struct smq_groups *groups = g->config.groups;
	struct smq_group_action action;
	const char *group;
	if (!groups || !groups->next)
		return;
	while (groups->next(groups->self, now, &action, &group)) {
		if (action.kind == SMQ_GROUP_ACT_NOTE)
			on_group_note(g, &action.note, group);
		else if (action.kind == SMQ_GROUP_ACT_SEND)
			send_control(g, &(struct smq_action){ .topic = action.topic, .payload = action.payload });
		else
			subscribe_group(g, &action, !*group);
		g->flush_due = g->flush_due || g->unsent > 0;
	}
}

static void work_control(struct smq_messenger *g, struct smq_now now)
{
	work_member(g, now);
	work_groups(g, now);
}

/* ---- publishing ---- */

static bool wants_sealing(const struct smq_publish *p) { return !p->plain && (p->to || p->group); }

/* Where nobody is named the topic picks the group. */
static bool wants_choice(const struct smq_messenger *g, const struct smq_publish *p)
{
	return !p->plain && !p->to && !p->group && !g->o->plain;
}

/* Makes the bytes that go on the wire. SMQ_ERR_NO_SESSION: not now. */
SMQ_HOT static smq_err seal(struct smq_messenger *g, const struct smq_publish *p, struct smq_now now,
			    struct smq_seal_proof *proof, smq_span *ret_payload)
{
	size_t len = 0;
	if (!wants_sealing(p)) {
		*ret_payload = p->payload;
		return SMQ_OK;
	}
	size_t need = p->group ? g->config.groups->room(p->payload.len) : smq_member_seal_room(p->payload.len);
	smq_err err = make_room(&g->sealed, need);
	if (err != SMQ_OK)
		return err;
	uint64_t start = g->config.clock.ticks_ns();
	smq_mspan room = smq_mspan_of(g->sealed.p, g->sealed.len);
	struct smq_groups *groups = g->config.groups;
	if (p->group && proof)
		err = groups->seal_proven
			  ? groups->seal_proven(groups->self, p->group, p->topic, p->payload, now, proof, room, &len)
			  : SMQ_ERR_UNSUPPORTED;
	else if (p->group)
		err = groups->seal(groups->self, p->group, p->topic, p->payload, now, room, &len);
	else if (proof)
		err = smq_member_seal_proven(g->config.member, p->to, p->topic, p->payload, now, proof, room, &len);
	else
		err = smq_member_seal(g->config.member, p->to, p->topic, p->payload, now, room, &len);
	if (err != SMQ_OK)
		return err;
	g->counts.seal_ns += g->config.clock.ticks_ns() - start;
	*ret_payload = smq_span_of(g->sealed.p, len);
	return SMQ_OK;
}

/* Whether sending could succeed now; asked before sealing, so that no counter is spent in vain. */
SMQ_HOT static smq_err may_send(const struct smq_messenger *g, const struct smq_publish *p, struct smq_now now)
{
	if (!g->transport->ops->connected(g->transport))
		return SMQ_ERR_NO_CONNECTION;
	if (p->qos > 0 && g->transport->ops->inflight(g->transport) >= (size_t)g->o->inflight_max)
		return SMQ_ERR_FULL;
	if (wants_sealing(p) && p->to && !smq_member_ready(g->config.member, p->to, now))
		return SMQ_ERR_NO_SESSION;
	struct smq_groups *groups = g->config.groups;
	if (wants_sealing(p) && p->group && groups->ready && !groups->ready(groups->self, p->group, now))
		return SMQ_ERR_NO_SESSION;
	return SMQ_OK;
}

static smq_err choose(struct smq_messenger *g, struct smq_publish *p, struct smq_now now)
{
	struct smq_groups *groups = g->config.groups;
	return groups->choose(groups->self, p->topic, now, &p->group);
}

SMQ_HOT static smq_err send_now(struct smq_messenger *g, const struct smq_publish *message_to_send, uint64_t ticket)
{
	struct smq_publish copy = *message_to_send;
	const struct smq_publish *p = &copy;
	smq_span payload;
	struct smq_seal_proof proof;
	int id = 0;
	const struct smq_now now = g->config.clock.now();
	smq_err err = wants_choice(g, p) ? choose(g, &copy, now) : SMQ_OK;
	bool proves = g->config.proofs && wants_sealing(p) &&
		      smq_proofs_prepare(g->config.proofs, p->group, p->topic, p->retain, &proof);
	/* checkpoints first: who floods the connection must not leave them for the end */
	bool behind = proves && smq_proofs_behind(g->config.proofs);
	if (err == SMQ_OK)
		err = may_send(g, p, now);
	if (err == SMQ_OK && behind)
		err = SMQ_ERR_FULL;
	if (err == SMQ_OK)
		err = smq_tickets_reserve(&g->tickets);
	if (err == SMQ_OK)
		err = seal(g, p, now, proves ? &proof : NULL, &payload);
	if (err != SMQ_OK)
		return err;
	struct smq_mqtt_message message = {
		.topic = p->topic,
		.payload = payload,
		.qos = p->qos,
		.retain = p->retain,
		.properties = p->properties,
		.property_count = p->property_count,
	};
	err = g->transport->ops->publish(g->transport, &message, &id);
	if (err != SMQ_OK)
		return err;
	smq_tickets_put(&g->tickets, (uint16_t)id, ticket);
	g->counts.published++;
	if (proves)
		smq_proofs_sealed(g->config.proofs, p->to, p->group, &proof, now);
	if (p->retain && p->group && wants_sealing(p))
		remember_retained(g, p);
	if (wants_sealing(p)) {
		g->counts.sealed++;
		g->counts.bytes_plain += p->payload.len;
		g->counts.bytes_sealed += payload.len;
	} else {
		g->counts.plain_out++;
	}
	return SMQ_OK;
}

static bool waits_for_better_days(smq_err err)
{
	return err == SMQ_ERR_NO_CONNECTION || err == SMQ_ERR_NO_SESSION || err == SMQ_ERR_FULL;
}

static void report_failed(struct smq_messenger *g, uint64_t ticket, smq_err err)
{
	if (g->o->on_published)
		g->o->on_published(g->o->self, ticket, err, 0);
}

/* Whether an entry, once sent, stays in the outbox until the broker has acknowledged it. */
static bool stays(const struct smq_messenger *g, int qos) { return g->config.outbox_durable && qos > 0; }

/*
 * Sends what waits, oldest first, and stops at the first that cannot go: order matters more than haste. A message
 * for a peer without keys therefore holds back those behind it; a client talks to few peers.
 */
static bool send_oldest(struct smq_messenger *g)
{
	struct smq_outbox *box = &g->config.outbox;
	struct smq_publish p;
	uint64_t number;
	if (box->next(box->self, g->cursor, &number, &p) != SMQ_OK)
		return false;
	int qos = p.qos;
	smq_err err = send_now(g, &p, number);
	if (waits_for_better_days(err))
		return false;
	g->cursor = number;
	g->unsent--;
	if (err != SMQ_OK || !stays(g, qos))
		(void)box->remove(box->self, number);
	if (err != SMQ_OK)
		report_failed(g, number, err);
	return true;
}

static void flush(struct smq_messenger *g)
{
	int tries = FLUSH_MOST;
	if (g->flushing)
		return;
	g->flushing = true;
	g->flush_due = false;
	while (g->unsent > 0 && tries > 0 && send_oldest(g))
		tries--;
	if (tries == 0)
		g->flush_due = true;
	g->flushing = false;
}

static smq_err check_publish(const struct smq_messenger *g, const struct smq_publish *p)
{
	if (!p->topic || !smq_topic_valid(smq_span_str(p->topic)))
		return SMQ_ERR_TOPIC;
	if (p->qos < 0 || p->qos > 2 || (p->to && p->group))
		return SMQ_ERR_USAGE;
	if (wants_choice(g, p) && (!g->config.groups || !g->config.groups->choose))
		return SMQ_ERR_USAGE;
	if ((p->to && !g->config.member) || (p->group && !g->config.groups))
		return SMQ_ERR_REALM;
	if (p->to && !p->plain)
		return smq_member_keep(g->config.member, p->to, g->config.clock.now());
	return SMQ_OK;
}

static smq_err enqueue(struct smq_messenger *g, const struct smq_publish *p, bool waits, uint64_t *ret_ticket)
{
	struct smq_outbox *box = &g->config.outbox;
	if (box->count(box->self) >= g->o->queue_max)
		return SMQ_ERR_FULL;
	smq_err err = box->append(box->self, p, ret_ticket);
	if (err != SMQ_OK)
		return err;
	g->unsent++;
	if (waits) {
		struct smq_event e = { .kind = SMQ_EVENT_QUEUED, .peer = p->to ? p->to : "" };
		g->counts.queued++;
		tell(g, &e);
	}
	flush(g);
	work_control(g, g->config.clock.now());
	return SMQ_OK;
}

SMQ_HOT smq_err smq_messenger_publish(struct smq_messenger *g, const struct smq_publish *p, uint64_t *ret_ticket)
{
	uint64_t ticket;
	smq_err err = check_publish(g, p);
	if (err != SMQ_OK)
		return err;
	if (g->unsent == 0 && !stays(g, p->qos)) {
		ticket = DIRECT | ++g->next_direct;
		err = send_now(g, p, ticket);
		if (err == SMQ_OK && ret_ticket)
			*ret_ticket = ticket;
		if (!waits_for_better_days(err))
			return err;
	}
	if (err == SMQ_ERR_NO_CONNECTION && p->qos == 0 && g->was_connected) {
		struct smq_event e = { .kind = SMQ_EVENT_DROPPED, .peer = p->to ? p->to : "", .err = err };
		g->counts.dropped++;
		tell(g, &e);
		return err;
	}
	bool waits = err != SMQ_OK;
	err = enqueue(g, p, waits, &ticket);
	if (err == SMQ_OK && ret_ticket)
		*ret_ticket = ticket;
	return err;
}

/* ---- what arrives ---- */

static void count_refusal(struct smq_counts *c, smq_err reason)
{
	c->refused++;
	switch (reason) {
	case SMQ_ERR_REPLAY:
		c->refused_replay++;
		break;
	case SMQ_ERR_OPEN:
		c->refused_open++;
		break;
	case SMQ_ERR_NO_KEY:
		c->refused_no_key++;
		break;
	case SMQ_ERR_MOVED:
		c->refused_moved++;
		break;
	case SMQ_ERR_NOT_SEALED:
		c->refused_not_sealed++;
		break;
	case SMQ_ERR_STALE_EPOCH:
		c->refused_stale++;
		break;
	default:
		if (smq_err_kind_of(reason) == SMQ_KIND_AUTH)
			c->refused_sender++;
		else
			c->refused_malformed++;
	}
}

static void refuse(struct smq_messenger *g, const struct smq_mqtt_message *m, smq_err reason,
		   const struct smq_message *seen)
{
	struct smq_refusal r = {
		.reason = reason,
		.topic = m->topic,
		.payload_len = m->payload.len,
		.sender = seen->sender,
		.epoch = seen->epoch,
		.counter = seen->counter,
	};
	if (reason == SMQ_ERR_MOVED)
		r.moved_from = smq_member_moved_from(g->config.member);
	count_refusal(&g->counts, reason);
	if (g->o->on_refused)
		g->o->on_refused(g->o->self, &r);
}

static smq_err open_session(struct smq_messenger *g, const struct smq_mqtt_message *m, struct smq_now now,
			    struct smq_message *ret_message)
{
	struct smq_opened o = { .sender = "" };
	smq_mspan room = smq_mspan_of(g->opened.p, g->opened.len);
	smq_err err = smq_member_open(g->config.member, m->topic, m->payload, now, room, &o);
	ret_message->sender = o.sender;
	ret_message->epoch = o.session;
	ret_message->counter = o.counter;
	if (err != SMQ_OK)
		return err;
	ret_message->mqtt.payload = o.plain;
	ret_message->proof = SMQ_PROOF_PEER;
	ret_message->algorithm = smq_aead_alg_by_id(o.algorithm)->name;
	ret_message->age_ms = o.has_age ? o.age_ms : SMQ_NO_AGE;
	ret_message->missing = o.missing;
	memcpy(ret_message->boot_id, o.boot_id, sizeof(ret_message->boot_id));
	return SMQ_OK;
}

/* A session first, unless the first byte tells otherwise: what it has no key for may be a group's. */
static smq_err open_any(struct smq_messenger *g, const struct smq_mqtt_message *m, struct smq_now now,
			struct smq_message *ret_message)
{
	smq_err err = make_room(&g->opened, m->payload.len + 1);
	if (err != SMQ_OK)
		return err;
	bool session = g->config.member && !(g->config.groups && smq_sealed_names_group(m->payload));
	err = session ? open_session(g, m, now, ret_message) : SMQ_ERR_NO_KEY;
	if (err == SMQ_ERR_NO_KEY && g->config.groups) {
		smq_mspan room = smq_mspan_of(g->opened.p, g->opened.len);
		err = g->config.groups->open(g->config.groups->self, m->topic, m->payload, now, room, ret_message);
	}
	return err;
}

/* What the message that was opened just now carries for the proof of its sender; false: nothing, and ret_proof means
 * nothing. */
static bool read_proof(struct smq_messenger *g, const struct smq_mqtt_message *m, const struct smq_message *message,
		       struct smq_opened_proof *ret_proof)
{
	struct smq_sealed *sealed = &ret_proof->sealed;
	const struct smq_seal_key *key = NULL;
	if (!smq_sealed_may_prove(m->payload) || smq_sealed_decode(m->payload, sealed) != SMQ_OK ||
	    (!sealed->covered && sealed->signature.len == 0))
		return false;
	if (!message->group)
		key = smq_member_key_of(g->config.member, sealed);
	else if (g->config.groups->last_key)
		key = g->config.groups->last_key(g->config.groups->self);
	if (!key || smq_proof_input_make(key, sealed, smq_span_str(m->topic), &ret_proof->input) != SMQ_OK)
		return false;
	ret_proof->group_key = message->group ? key : NULL;
	ret_proof->covered = sealed->covered;
	ret_proof->is_signed = sealed->signature.len == SMQ_SIG_LEN;
	memcpy(ret_proof->stream, key->context_digest, sizeof(ret_proof->stream));
	if (ret_proof->is_signed)
		memcpy(ret_proof->signature, sealed->signature.p, SMQ_SIG_LEN);
	return true;
}

/* ---- an epoch came: our retained messages again ---- */

static bool reseal_one(struct smq_messenger *g, const struct retained *r)
{
	struct smq_publish p = { .topic = r->topic,
				 .payload = smq_span_of(r->plain, r->len),
				 .qos = r->qos,
				 .retain = true,
				 .group = r->group };
	struct smq_seal_proof proof;
	bool proves = g->config.proofs && smq_proofs_prepare(g->config.proofs, r->group, r->topic, true, &proof);
	smq_span payload;
	int id = 0;
	const struct smq_now now = g->config.clock.now();
	smq_err err = may_send(g, &p, now);
	if (err == SMQ_OK)
		err = seal(g, &p, now, proves ? &proof : NULL, &payload);
	if (err == SMQ_OK) {
		struct smq_mqtt_message m = { .topic = p.topic, .payload = payload, .qos = p.qos, .retain = true };
		err = g->transport->ops->publish(g->transport, &m, &id);
	}
	if (err == SMQ_OK && proves)
		smq_proofs_sealed(g->config.proofs, NULL, r->group, &proof, now);
	if (err == SMQ_OK)
		(void)smq_tickets_take(&g->tickets, (uint16_t)id); /* nobody waits to hear of it */
	return !waits_for_better_days(err);
}

static void reseal(struct smq_messenger *g)
{
	for (struct retained *r = g->retained; r; r = r->next) {
		if (r->epoch_mark == 0)
			continue;
		if (!reseal_one(g, r))
			return;
		r->epoch_mark = 0;
	}
}

/* ---- what may open later ---- */

static void free_held(struct held *h)
{
	free((char *)(uintptr_t)h->message.topic);
	free((uint8_t *)(uintptr_t)h->message.payload.p);
	free_properties((struct smq_property *)(uintptr_t)h->message.properties, h->message.property_count);
	free(h);
}

/* Room is bounded: whoever sends what never opens does not fill our memory. */
static bool hold(struct smq_messenger *g, const struct smq_mqtt_message *m, struct smq_now now)
{
	struct smq_property *properties = NULL;
	if (g->held_count == HELD_MOST || m->payload.len > HELD_BYTES - g->held_bytes)
		return false;
	struct held *h = calloc(1, sizeof(*h));
	if (!h)
		return false;
	h->message = *m;
	h->message.topic = strdup(m->topic);
	h->message.payload.p = (const uint8_t *)copy_bytes((const char *)m->payload.p, m->payload.len);
	bool copied = copy_properties(m->properties, m->property_count, &properties) == SMQ_OK;
	h->message.properties = properties;
	h->message.property_count = copied ? m->property_count : 0;
	if (!copied || !h->message.topic || !h->message.payload.p) {
		free_held(h);
		return false;
	}
	h->until_ms = now.mono_ms + HELD_MS;
	struct held **end = &g->held;
	while (*end)
		end = &(*end)->next;
	*end = h;
	g->held_count++;
	g->held_bytes += m->payload.len;
	return true;
}

SMQ_HOT static void deliver(struct smq_messenger *g, const struct smq_message *message)
{
	if (g->o->on_message)
		g->o->on_message(g->o->self, message);
}

static void deliver_proven(struct smq_messenger *g, const struct smq_mqtt_message *m, struct smq_now now,
			   struct smq_message *message)
{
	struct smq_opened_proof proof;
	struct smq_evidence room;
	smq_err reason = SMQ_OK;
	enum smq_proofs_answer answer = SMQ_PROOFS_DELIVER;
	if (g->config.proofs && g->o->check != SMQ_CHECK_NONE) {
		bool carries = read_proof(g, m, message, &proof);
		answer = smq_proofs_opened(g->config.proofs, message, carries ? &proof : NULL, now, &reason);
		if (carries && g->o->evidence && answer == SMQ_PROOFS_DELIVER)
			smq_proofs_add_evidence(g->config.proofs, &proof, message, &room);
	}
	if (answer == SMQ_PROOFS_DELIVER)
		deliver(g, message);
	else if (answer == SMQ_PROOFS_REFUSE)
		refuse(g, m, reason, message);
}

/* Opens, or says what is to be said; SMQ_ERR_NO_SESSION alone is left to the caller. */
SMQ_HOT static smq_err open_or_refuse(struct smq_messenger *g, const struct smq_mqtt_message *m, struct smq_now now,
				      bool last_chance)
{
	struct smq_message message = { .mqtt = *m, .sender = "", .slot = SMQ_NO_SLOT, .age_ms = SMQ_NO_AGE };
	uint64_t start = g->config.clock.ticks_ns();
	smq_err err = g->config.member || g->config.groups ? open_any(g, m, now, &message) : SMQ_ERR_NOT_SEALED;

	if (err == SMQ_ERR_NOT_SEALED && g->o->plain) {
		message.proof = SMQ_PROOF_PLAIN;
		message.mqtt.payload = m->payload;
		g->counts.plain_in++;
		deliver(g, &message);
		return SMQ_OK;
	}
	if (err == SMQ_ERR_NO_SESSION && !last_chance)
		return err;
	if (err != SMQ_OK) {
		refuse(g, m, err == SMQ_ERR_NO_SESSION ? SMQ_ERR_NO_KEY : err, &message);
		return SMQ_OK;
	}
	if (g->o->sender_topic && !smq_topic_names_sender(g->o->sender_topic, m->topic, message.sender)) {
		refuse(g, m, SMQ_ERR_UNKNOWN_SENDER, &message);
		return SMQ_OK;
	}
	message.open_ns = g->config.clock.ticks_ns() - start;
	message.overhead = m->payload.len - message.mqtt.payload.len;
	g->counts.opened++;
	g->counts.open_ns += message.open_ns;
	g->counts.bytes_plain += message.mqtt.payload.len;
	g->counts.bytes_sealed += m->payload.len;
	g->counts.missing += message.missing;
	deliver_proven(g, m, now, &message);
	return SMQ_OK;
}

static void on_data(struct smq_messenger *g, const struct smq_mqtt_message *m, struct smq_now now)
{
	if (open_or_refuse(g, m, now, false) != SMQ_OK && !hold(g, m, now))
		(void)open_or_refuse(g, m, now, true);
}

/* In the order in which they came. Those that still cannot wait on, until their time is over. */
static void retry_held(struct smq_messenger *g, struct smq_now now)
{
	struct held **at = &g->held;
	g->retry_held = false;
	while (*at) {
		struct held *h = *at;
		if (open_or_refuse(g, &h->message, now, h->until_ms <= now.mono_ms) != SMQ_OK) {
			at = &h->next;
			continue;
		}
		*at = h->next;
		g->held_count--;
		g->held_bytes -= h->message.payload.len;
		free_held(h);
	}
}

/* Everything that is due. The clock is looked at once for each message: it costs as much as a good part of opening one.
 */
SMQ_HOT static void work(struct smq_messenger *g, struct smq_now now)
{
	work_control(g, now);
	bool retry = g->retry_held || (g->held && g->held->until_ms <= now.mono_ms);
	if (!retry && !g->retained && !g->flush_due)
		return; /* after most messages there is nothing */
	if (retry)
		retry_held(g, now);
	reseal(g);
	if (g->flush_due)
		flush(g);
	work_control(g, now);
}

SMQ_HOT static void on_message(void *self, const struct smq_mqtt_message *m)
{
	struct smq_messenger *g = self;
	struct smq_groups *groups = g->config.groups;
	bool has_keys = g->config.member || groups;
	const struct smq_now now = has_keys ? g->config.clock.now() : (struct smq_now){ 0 };
	if (g->config.member && smq_member_takes(g->config.member, m->topic))
		(void)smq_member_input(g->config.member, m->topic, m->payload, m->retain, now);
	else if (g->config.proofs && smq_proofs_takes(g->config.proofs, m->topic))
		smq_proofs_input(g->config.proofs, m->topic, m->payload, now);
	else if (groups && groups->takes && groups->takes(groups->self, m->topic))
		groups->input(groups->self, m->topic, m->payload, m->retain, now);
	else
		on_data(g, m, now);
	work(g, now);
}

static smq_err before_ack(void *self)
{
	const struct smq_messenger *g = self;
	if (g->config.proofs)
		smq_proofs_join(g->config.proofs);
	return g->o->before_ack(g->o->self);
}

/* A checkpoint that comes before its messages are stored spares storing them twice. */
static bool more_before_ack(void *self)
{
	const struct smq_messenger *g = self;
	return g->config.proofs && smq_proofs_holds_back(g->config.proofs);
}

/* ---- the connection ---- */

static void subscribe_control(struct smq_messenger *g)
{
	int options = SMQ_SUB_CONTROL | (g->o->protocol == 5 ? SMQ_SUB_NO_LOCAL : 0);
	g->control_subs = 0;
	for (int i = 0; g->config.member && i < 2; i++) {
		const char *topic = smq_member_topic(g->config.member, i);
		if (i == 1 && strcmp(topic, smq_member_topic(g->config.member, 0)) == 0)
			break;
		if (g->transport->ops->subscribe(g->transport, topic, options, NULL, 0, &g->control_ids[i]) == SMQ_OK)
			g->control_subs++;
	}
}

static void subscribe_all(struct smq_messenger *g)
{
	int id;
	for (struct subscription *s = g->subscriptions; s; s = s->next)
		(void)g->transport->ops->subscribe(g->transport, s->filter, s->options, s->properties,
						   s->property_count, &id);
	subscribe_control(g);
	g->proof_subs = 0;
	if (g->config.proofs)
		smq_proofs_online(g->config.proofs, g->config.clock.now());
	if (g->config.groups && g->config.groups->online)
		g->config.groups->online(g->config.groups->self, g->config.clock.now());
	work_groups(g, g->config.clock.now());
	g->flush_due = true;
}

static void go_offline(struct smq_messenger *g)
{
	g->again_ms = 0;
	if (g->config.member)
		smq_member_offline(g->config.member);
	if (g->config.proofs)
		smq_proofs_offline(g->config.proofs);
	if (g->config.groups && g->config.groups->offline)
		g->config.groups->offline(g->config.groups->self);
}

/* A cluster that has just lost a node refuses what it granted before, until it has found itself again: once refused is
 * not for ever, for who was let in once. */
static void on_refused(struct smq_messenger *g)
{
	if (!g->granted || g->counts.reconnects == 0 || g->again_ms)
		return;
	g->pause_ms = g->pause_ms ? g->pause_ms * 2 : AGAIN_FIRST_MS;
	g->pause_ms = g->pause_ms < AGAIN_MOST_MS ? g->pause_ms : AGAIN_MOST_MS;
	g->again_ms = g->config.clock.now().mono_ms + g->pause_ms;
}

static void ask_again(struct smq_messenger *g)
{
	if (!g->again_ms || g->again_ms > g->config.clock.now().mono_ms)
		return;
	go_offline(g);
	if (g->transport->ops->connected(g->transport))
		subscribe_all(g);
}

static void on_connected(void *self, int reason, bool session_present)
{
	struct smq_messenger *g = self;
	bool renewed = g->renewing && reason == 0;
	g->renewing = false;
	g->is_connected = reason == 0;
	if (reason == 0) {
		g->counts.reconnects += g->was_connected && !renewed;
		g->was_connected = true;
		g->again_ms = g->pause_ms = 0;
		subscribe_all(g);
	}
	if (reason == 0 && g->config.heed.connected)
		g->config.heed.connected(g->config.heed.self);
	if (g->o->on_connect && !renewed)
		g->o->on_connect(g->o->self, reason, session_present);
	if (g->flush_due)
		flush(g);
}

static void on_disconnected(void *self, smq_err err, int reason)
{
	struct smq_messenger *g = self;
	go_offline(g);
	if (g->is_connected && g->config.heed.lost && !g->renewing)
		g->config.heed.lost(g->config.heed.self);
	g->is_connected = false;
	if (g->renewing && err == SMQ_OK)
		return;
	g->renewing = false;
	if (g->o->on_disconnect)
		g->o->on_disconnect(g->o->self, err, reason, err != SMQ_OK);
}

static void settle(struct smq_messenger *g, uint64_t ticket, int reason)
{
	bool never = reason == SMQ_PUBLISHED_NEVER;
	smq_err err = never ? SMQ_ERR_CONNECTION_LOST : reason >= 128 ? SMQ_ERR_NOT_AUTHORIZED : SMQ_OK;
	g->counts.acknowledged += err == SMQ_OK;
	g->counts.dropped += never;
	if (!(ticket & DIRECT) && g->config.outbox_durable)
		(void)g->config.outbox.remove(g->config.outbox.self, ticket);
	if (g->o->on_published)
		g->o->on_published(g->o->self, ticket, err, never ? 0 : reason);
}

/* The broker's access list is against our key exchange. Waiting would not help, and nothing else would tell. */
static void control_denied(struct smq_messenger *g)
{
	struct smq_event e = { .kind = SMQ_EVENT_SESSION_FAILED, .peer = "", .err = SMQ_ERR_NOT_AUTHORIZED };
	g->counts.failed_exchanges++;
	tell(g, &e);
}

SMQ_HOT static void on_published(void *self, int id, int reason)
{
	struct smq_messenger *g = self;
	uint64_t ticket = smq_tickets_take(&g->tickets, (uint16_t)id);
	if (ticket == CONTROL && reason >= 128)
		control_denied(g);
	else if (ticket != 0 && ticket != CONTROL)
		settle(g, ticket, reason);
	if (g->unsent > 0)
		flush(g);
}

/* Our own two subscriptions first: when both stand, the member machine may speak. */
static bool is_control(struct smq_messenger *g, int id, const int *reasons, size_t count)
{
	if (g->control_subs == 0 || (id != g->control_ids[0] && id != g->control_ids[1]))
		return false;
	if (count > 0 && reasons[0] >= 128)
		control_denied(g);
	if (--g->control_subs == 0) {
		smq_member_online(g->config.member, g->config.clock.now());
		work_member(g, g->config.clock.now());
	}
	return true;
}

static void on_subscribed(void *self, int id, const int *reasons, size_t count)
{
	struct smq_messenger *g = self;
	if (count == 0 || reasons[0] < 128)
		g->granted = true;
	else if (id != g->search_id)
		on_refused(g);
	for (size_t i = 0; i < g->proof_subs; i++) {
		if (g->proof_ids[i] == id)
			return;
	}
	if (was_group_sub(g, id)) {
		bool denied = count > 0 && reasons[0] >= 128 && id != g->search_id;
		g->search_id = id == g->search_id ? 0 : g->search_id;
		if (denied && !g->group_denied)
			control_denied(g);
		g->group_denied = g->group_denied || denied;
		return;
	}
	if (!is_control(g, id, reasons, count) && g->o->on_subscribed)
		g->o->on_subscribed(g->o->self, id, reasons, count);
}

static void on_unsubscribed(void *self, int id)
{
	struct smq_messenger *g = self;
	if (!was_group_sub(g, id) && g->o->on_unsubscribed)
		g->o->on_unsubscribed(g->o->self, id);
}

static void on_log(void *self, int level, const char *line)
{
	struct smq_messenger *g = self;
	g->o->on_log(g->o->self, level, line);
}

struct smq_transport_events smq_messenger_events(struct smq_messenger *g)
{
	return (struct smq_transport_events){
		.self = g,
		.connected = on_connected,
		.disconnected = on_disconnected,
		.message = on_message,
		.before_ack = g->o->before_ack ? before_ack : NULL,
		.more_before_ack = g->o->before_ack ? more_before_ack : NULL,
		.published = on_published,
		.subscribed = on_subscribed,
		.unsubscribed = on_unsubscribed,
		.log = g->o->on_log ? on_log : NULL,
	};
}

/* ---- proof: what its topics need of the connection ---- */

static smq_err proof_publish(void *self, const char *topic, smq_span payload, bool retain)
{
	struct smq_messenger *g = self;
	struct smq_mqtt_message message = { .topic = topic, .payload = payload, .qos = 1, .retain = retain };
	int id = 0;
	return g->transport->ops->publish(g->transport, &message, &id);
}

static void proof_subscribe(void *self, const char *filter)
{
	struct smq_messenger *g = self;
	int id = 0;
	if (g->transport->ops->subscribe(g->transport, filter, 1, NULL, 0, &id) == SMQ_OK &&
	    g->proof_subs < PROOF_SUBS_MAX)
		g->proof_ids[g->proof_subs++] = id;
}

static void proof_deliver(void *self, const struct smq_message *message) { deliver(self, message); }

static void proof_refuse(void *self, const struct smq_message *message, smq_err reason)
{
	refuse(self, &message->mqtt, reason, message);
}

static void attach_proofs(struct smq_messenger *g)
{
	const struct smq_proofs_ports ports = { g, proof_publish, proof_subscribe, proof_deliver, proof_refuse };
	if (g->config.proofs)
		smq_proofs_attach(g->config.proofs, &ports);
}

/* ---- subscriptions ---- */

static smq_err remember(struct smq_messenger *g, const char *filter, int options, const struct smq_property *properties,
			size_t property_count)
{
	struct subscription **at = &g->subscriptions;
	while (*at && strcmp((*at)->filter, filter) != 0)
		at = &(*at)->next;
	if (*at) {
		(*at)->options = options;
		return SMQ_OK;
	}
	struct subscription *s = calloc(1, sizeof(*s));
	if (!s)
		return SMQ_ERR_NO_MEMORY;
	s->filter = strdup(filter);
	s->options = options;
	smq_err err = copy_properties(properties, property_count, &s->properties);
	s->property_count = err == SMQ_OK ? property_count : 0;
	if (!s->filter || err != SMQ_OK) {
		free_subscription(s);
		return SMQ_ERR_NO_MEMORY;
	}
	*at = s;
	return SMQ_OK;
}

smq_err smq_messenger_subscribe(struct smq_messenger *g, const char *filter, int options,
				const struct smq_property *properties, size_t property_count, int *ret_id)
{
	int id = 0;
	if (!filter || !smq_topic_filter_valid(smq_span_str(filter)))
		return SMQ_ERR_TOPIC;
	smq_err err = remember(g, filter, options, properties, property_count);
	if (err == SMQ_OK && g->config.groups && g->config.groups->reads)
		g->config.groups->reads(g->config.groups->self, filter, g->config.clock.now());
	if (err == SMQ_OK && g->transport->ops->connected(g->transport))
		err = g->transport->ops->subscribe(g->transport, filter, options, properties, property_count, &id);
	if (err == SMQ_OK && ret_id)
		*ret_id = id;
	return err;
}

smq_err smq_messenger_unsubscribe(struct smq_messenger *g, const char *filter, const struct smq_property *properties,
				  size_t property_count, int *ret_id)
{
	int id = 0;
	struct subscription **at = &g->subscriptions;
	if (!filter || !smq_topic_filter_valid(smq_span_str(filter)))
		return SMQ_ERR_TOPIC;
	while (*at && strcmp((*at)->filter, filter) != 0)
		at = &(*at)->next;
	if (*at) {
		struct subscription *gone = *at;
		*at = gone->next;
		free_subscription(gone);
	}
	if (!g->transport->ops->connected(g->transport))
		return SMQ_ERR_NO_CONNECTION;
	smq_err err = g->transport->ops->unsubscribe(g->transport, filter, properties, property_count, &id);
	if (err == SMQ_OK && ret_id)
		*ret_id = id;
	return err;
}

/* ---- life ---- */

/* What a former life left in a durable outbox waits again. */
static void count_leftovers(struct smq_messenger *g)
{
	g->unsent = g->config.outbox.count(g->config.outbox.self);
	g->flush_due = g->unsent > 0;
}

smq_err smq_messenger_new(const struct smq_messenger_config *config, struct smq_messenger **ret_messenger)
{
	struct smq_messenger *g = calloc(1, sizeof(*g));
	if (!g)
		return SMQ_ERR_NO_MEMORY;
	g->config = *config;
	g->o = config->options;
	g->group_subs = calloc(MIDS / 8, 1);
	if (!g->group_subs) {
		free(g);
		return SMQ_ERR_NO_MEMORY;
	}
	count_leftovers(g);
	attach_proofs(g);
	*ret_messenger = g;
	return SMQ_OK;
}

void smq_messenger_attach(struct smq_messenger *g, struct smq_transport *transport) { g->transport = transport; }

void smq_messenger_free(struct smq_messenger *g)
{
	if (!g)
		return;
	if (g->transport)
		g->transport->ops->free(g->transport);
	while (g->subscriptions) {
		struct subscription *s = g->subscriptions;
		g->subscriptions = s->next;
		free_subscription(s);
	}
	if (g->config.outbox.free)
		g->config.outbox.free(g->config.outbox.self);
	if (g->config.groups && g->config.groups->free)
		g->config.groups->free(g->config.groups->self);
	smq_proofs_free(g->config.proofs);
	while (g->held) {
		struct held *h = g->held;
		g->held = h->next;
		free_held(h);
	}
	while (g->retained)
		forget_retained(g, &g->retained);
	drop_room(&g->sealed);
	drop_room(&g->opened);
	free(g->group_subs);
	smq_tickets_done(&g->tickets);
	free(g);
}

void smq_messenger_tick(struct smq_messenger *g)
{
	/* timers of groups decide, too, when what waits may go */
	if (g->unsent > 0 && g->config.groups && g->config.groups->next)
		g->flush_due = true;
	ask_again(g);
	work(g, g->config.clock.now());
	if (g->config.proofs)
		smq_proofs_tick(g->config.proofs, g->config.clock.now());
}

SMQ_HOT int64_t smq_messenger_wake_at(const struct smq_messenger *g)
{
	if (g->flush_due && g->transport->ops->connected(g->transport))
		return INT64_MIN;
	int64_t due = g->config.member ? smq_member_wake_at(g->config.member) : INT64_MAX;
	int64_t groups = g->config.groups && g->config.groups->wake_at
			     ? g->config.groups->wake_at(g->config.groups->self)
			     : INT64_MAX;
	int64_t proof = g->config.proofs ? smq_proofs_wake_at(g->config.proofs) : INT64_MAX;
	due = groups < due ? groups : due;
	due = proof < due ? proof : due;
	due = g->again_ms && g->again_ms < due ? g->again_ms : due;
	return g->held && g->held->until_ms < due ? g->held->until_ms : due;
}

void smq_messenger_renew(struct smq_messenger *g) { g->renewing = g->transport->ops->renew(g->transport) == SMQ_OK; }

void smq_messenger_flush(struct smq_messenger *g)
{
	if (g->config.proofs)
		smq_proofs_flush(g->config.proofs, g->config.clock.now());
}

void smq_messenger_leave_groups(struct smq_messenger *g)
{
	struct smq_groups *groups = g->config.groups;
	if (groups && groups->leave)
		groups->leave(groups->self, g->config.clock.now());
	work_groups(g, g->config.clock.now());
}

bool smq_messenger_in_groups(const struct smq_messenger *g)
{
	struct smq_groups *groups = g->config.groups;
	return groups && groups->belongs && groups->belongs(groups->self);
}

bool smq_messenger_group_ready(const struct smq_messenger *g, const char *group)
{
	struct smq_groups *groups = g->config.groups;
	return groups && (!groups->ready || groups->ready(groups->self, group, g->config.clock.now()));
}

size_t smq_messenger_pending(const struct smq_messenger *g)
{
	size_t proofs = g->config.proofs ? smq_proofs_pending(g->config.proofs) : 0;
	return g->unsent + g->transport->ops->inflight(g->transport) + proofs;
}

struct smq_counts smq_messenger_counts(const struct smq_messenger *g) { return g->counts; }
