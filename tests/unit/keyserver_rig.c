/* A key server in a small world. */
#include "keyserver_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "cmocka_all.h"

#include <sealmq/client.h>

#include "adapters/crypto_openssl/signer.h"
#include "base/table.h"
#include "base/text.h"
#include "core/policy.h"
#include "wire/cbor.h"
#include "wire/registered_key.h"
#include "wire/sender_card.h"

struct smq_now rig_time;

static const char prefix[] = "sealmq/world", realm[] = "world";
static const int suites[] = { 2 };

static struct smq_now now(void) { return rig_time; }

/* ---- the store ---- */

static int compare(const struct rig_item *x, enum smq_ks_item kind, const char *group, uint64_t a, uint64_t b)
{
	int order = (int)x->kind - (int)kind;
	order = order ? order : strcmp(x->group, group);
	order = order ? order : (x->a > a) - (x->a < a);
	return order ? order : (x->b > b) - (x->b < b);
}

static size_t place(const struct rig_items *l, enum smq_ks_item kind, const char *group, uint64_t a, uint64_t b)
{
	size_t low = 0, high = l->count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (compare(&l->items[middle], kind, group, a, b) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct rig_item *find(const struct rig_items *l, enum smq_ks_item kind, const char *group, uint64_t a,
			     uint64_t b)
{
	size_t at = place(l, kind, group, a, b);
	return at < l->count && compare(&l->items[at], kind, group, a, b) == 0 ? &l->items[at] : NULL;
}

static void drop_items(struct rig_items *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->items[i].bytes);
	free(l->items);
	memset(l, 0, sizeof(*l));
}

static void copy_items(struct rig_items *to, const struct rig_items *from)
{
	drop_items(to);
	to->items = calloc(from->count + 1, sizeof(*to->items));
	to->count = from->count;
	to->room = from->count + 1;
	for (size_t i = 0; i < from->count; i++) {
		to->items[i] = from->items[i];
		to->items[i].bytes = malloc(from->items[i].len + 1);
		if (from->items[i].len > 0)
			memcpy(to->items[i].bytes, from->items[i].bytes, from->items[i].len);
	}
}

static bool alive(struct rig_store *s)
{
	s->calls++;
	if (s->die_at != 0 && s->calls == s->die_at)
		s->dead = true;
	return !s->dead;
}

static struct rig_items *seen_by(struct rig_store *s) { return s->open ? &s->working : &s->durable; }

static smq_err store_begin(void *self)
{
	struct rig_store *s = self;
	assert_false(s->open);
	if (!alive(s))
		return SMQ_ERR_STORE;
	copy_items(&s->working, &s->durable);
	s->open = true;
	return SMQ_OK;
}

static smq_err store_commit(void *self)
{
	struct rig_store *s = self;
	assert_true(s->open);
	s->open = false;
	bool lives = alive(s);
	if (s->commit_call_count < SMQ_COUNT(s->commit_calls))
		s->commit_calls[s->commit_call_count++] = s->calls;
	if (s->fail_commit != SMQ_OK || (!lives && !(s->dies_after_commit && s->calls == s->die_at)))
		return s->fail_commit != SMQ_OK ? s->fail_commit : SMQ_ERR_STORE;
	drop_items(&s->durable);
	s->durable = s->working;
	memset(&s->working, 0, sizeof(s->working));
	s->commits++;
	return lives ? SMQ_OK : SMQ_ERR_STORE;
}

static void store_rollback(void *self)
{
	struct rig_store *s = self;
	assert_true(s->open);
	s->open = false;
}

static smq_err store_put(void *self, enum smq_ks_item kind, const char *group, uint64_t a, uint64_t b, smq_span value)
{
	struct rig_store *s = self;
	struct rig_items *l = &s->working;
	assert_true(s->open);
	if (!alive(s))
		return SMQ_ERR_STORE;
	struct rig_item *i = find(l, kind, group, a, b);
	if (!i) {
		size_t at = place(l, kind, group, a, b);
		if (l->count == l->room) {
			l->room = 2 * l->room + 16;
			l->items = realloc(l->items, l->room * sizeof(*l->items));
			assert_non_null(l->items);
		}
		memmove(l->items + at + 1, l->items + at, (l->count++ - at) * sizeof(*l->items));
		i = &l->items[at];
		memset(i, 0, sizeof(*i));
		i->kind = kind;
		snprintf(i->group, sizeof(i->group), "%s", group);
		i->a = a;
		i->b = b;
	}
	i->bytes = realloc(i->bytes, value.len + 1);
	memcpy(i->bytes, value.p, value.len);
	i->len = value.len;
	return SMQ_OK;
}

static smq_err store_remove(void *self, enum smq_ks_item kind, const char *group, uint64_t a, uint64_t b)
{
	struct rig_store *s = self;
	assert_true(s->open);
	if (!alive(s))
		return SMQ_ERR_STORE;
	struct rig_item *i = find(&s->working, kind, group, a, b);
	if (!i)
		return SMQ_OK;
	free(i->bytes);
	size_t at = (size_t)(i - s->working.items);
	memmove(i, i + 1, (--s->working.count - at) * sizeof(*i));
	return SMQ_OK;
}

static smq_err store_each(void *self, enum smq_ks_item kind, const char *group, void *context,
			  smq_err (*take)(void *context, const char *group, uint64_t a, uint64_t b, smq_span value))
{
	struct rig_store *s = self;
	if (!alive(s))
		return SMQ_ERR_STORE;
	const struct rig_items *l = seen_by(s);
	smq_err err = SMQ_OK;
	for (size_t i = 0; i < l->count && err == SMQ_OK; i++) {
		const struct rig_item *x = &l->items[i];
		if (x->kind == kind && (!group || strcmp(group, x->group) == 0))
			err = take(context, x->group, x->a, x->b, smq_span_of(x->bytes, x->len));
	}
	return err;
}

static smq_err store_get(void *self, enum smq_ks_item kind, const char *group, uint64_t a, uint64_t b, smq_mspan room,
			 size_t *ret_len)
{
	struct rig_store *s = self;
	if (!alive(s))
		return SMQ_ERR_STORE;
	const struct rig_item *i = find(seen_by(s), kind, group, a, b);
	if (!i)
		return SMQ_ERR_NOT_FOUND;
	if (i->len > room.len)
		return SMQ_ERR_NO_ROOM;
	memcpy(room.p, i->bytes, i->len);
	*ret_len = i->len;
	return SMQ_OK;
}

static smq_err store_audit(void *self, const char *what, const char *who, const char *group, const char *whom,
			   smq_err outcome)
{
	struct rig_store *s = self;
	assert_true(s->open);
	if (!alive(s))
		return SMQ_ERR_STORE;
	s->lines++;
	snprintf(s->last_line, sizeof(s->last_line), "%s %s %s %s %s", what, who, group, whom, smq_err_name(outcome));
	return SMQ_OK;
}

static struct smq_ks_store port_of(struct rig_store *s)
{
	return (struct smq_ks_store){ .self = s,
				      .begin = store_begin,
				      .commit = store_commit,
				      .rollback = store_rollback,
				      .put = store_put,
				      .remove = store_remove,
				      .each = store_each,
				      .get = store_get,
				      .audit = store_audit };
}

/* ---- who there is ---- */

static void make_peer(struct rig *r, int i)
{
	struct rig_peer *p = &r->peers[i];
	uint8_t secret[32] = { 0 };
	uint8_t kid[2] = { 0x40, (uint8_t)i };
	secret[31] = (uint8_t)(i + 7);
	snprintf(p->name, sizeof(p->name), i < 2 ? "ks%d" : i == 2 ? "admin" : "m%02d", i);
	p->own.dh_curve = SMQ_P256;
	assert_int_equal(smq_openssl_signer_from_raw(SMQ_P256, secret, &p->own.signer), SMQ_OK);
	struct smq_credential *c = &p->credential;
	assert_int_equal(smq_openssl_signer_public(&p->own.signer, c->public_key, &c->public_key_len), SMQ_OK);
	struct smq_writer w = smq_writer_on(smq_mspan_of(p->id_cred, sizeof(p->id_cred)));
	smq_cbor_put_map(&w, 1);
	smq_cbor_put_uint(&w, 4);
	smq_cbor_put_bytes(&w, smq_span_of(kid, sizeof(kid)));
	p->own.id_cred_full = p->own.id_cred_short = smq_writer_span(&w);
	w = smq_writer_on(smq_mspan_of(p->cred, sizeof(p->cred)));
	smq_cbor_put_bytes(&w, smq_span_of(c->public_key, c->public_key_len));
	p->own.cred = smq_writer_span(&w);
	memcpy(c->cred, p->own.cred.p, p->own.cred.len);
	c->cred_len = p->own.cred.len;
	snprintf(c->name, sizeof(c->name), "%s", i == RIG_RIVAL ? "ks0" : p->name); /* one realm, one name */
	c->roles = i < 2 ? SMQ_ROLE_KEYSERVER : i == 2 ? SMQ_ROLE_ADMIN : SMQ_ROLE_MEMBER;
	c->sig_alg = SMQ_ES256;
	c->dh_curve = SMQ_P256;
	c->expires_ms = INT64_MAX;
	c->id[0] = (uint8_t)i;
	c->id[1] = 1;
	p->boot_id[0] = (uint8_t)i;
	p->boot_id[15] = 1;
	p->config = (struct smq_ks_asker_config){
		smq_crypto_openssl(), smq_random_system(), &r->credentials, &p->own, p->name, NULL, 0, suites, 1
	};
}

static smq_err resolve(void *self, smq_span id_cred, int64_t now_ms, struct smq_credential *ret_credential)
{
	const struct rig *r = self;
	(void)now_ms;
	for (int i = 0; i < r->peer_count; i++) {
		const struct rig_peer *p = &r->peers[i];
		if (p->raw || !smq_span_equal(id_cred, p->own.id_cred_full))
			continue;
		if (p->revoked || p->unknown)
			return p->revoked ? SMQ_ERR_CERT_REVOKED : SMQ_ERR_CREDENTIAL;
		*ret_credential = p->credential;
		return SMQ_OK;
	}
	return SMQ_ERR_CREDENTIAL;
}

static smq_err holds(void *self, const uint8_t id[SMQ_HASH_LEN], int64_t now_ms)
{
	const struct rig *r = self;
	(void)now_ms;
	for (int i = 0; i < r->peer_count; i++) {
		if (memcmp(r->peers[i].credential.id, id, SMQ_HASH_LEN) == 0)
			return r->peers[i].revoked ? SMQ_ERR_CERT_REVOKED : SMQ_OK;
	}
	return SMQ_ERR_CREDENTIAL;
}

/* What a member with a registered key believes: itself, the key server's key by kid, and the others as they are. */
static smq_err resolve_raw(void *self, smq_span id_cred, int64_t now_ms, struct smq_credential *ret_credential)
{
	const struct rig_peer *p = self;
	const struct smq_credential *ks = &p->rig->peers[RIG_KEYSERVER].credential;
	const uint8_t *kid = smq_registered_key_kid(id_cred);
	if (!kid)
		return resolve(p->rig, id_cred, now_ms, ret_credential);
	if (memcmp(kid, p->credential.id, SMQ_KID_LEN) == 0) {
		*ret_credential = p->credential;
		return SMQ_OK;
	}
	if (!p->knows_server || memcmp(kid, ks->id, SMQ_KID_LEN) != 0)
		return SMQ_ERR_CREDENTIAL;
	*ret_credential = *ks;
	return smq_registered_key_credential(ks->public_key, ret_credential);
}

void rig_make_raw(struct rig *r, int peer, const uint8_t secret[32])
{
	struct rig_peer *p = &r->peers[peer];
	struct smq_credential *c = &p->credential;
	smq_openssl_signer_free(&p->own.signer);
	assert_int_equal(smq_openssl_signer_from_raw(SMQ_P256, secret, &p->own.signer), SMQ_OK);
	p->own.signer.sign = NULL;
	assert_int_equal(smq_openssl_signer_public(&p->own.signer, c->public_key, &c->public_key_len), SMQ_OK);
	assert_int_equal(smq_registered_key_thumbprint(smq_crypto_openssl(), c->public_key, c->id), SMQ_OK);
	assert_int_equal(smq_registered_key_credential(c->public_key, c), SMQ_OK);
	smq_registered_key_id_cred(c->id, p->id_cred);
	p->own.id_cred_full = p->own.id_cred_short = smq_span_of(p->id_cred, SMQ_REGISTERED_ID_CRED_LEN);
	p->own.cred = smq_span_of(c->cred, c->cred_len);
	p->own.registered = p->raw = p->knows_server = true;
	p->rig = r;
	p->credentials = (struct smq_credentials){ .self = p, .resolve = resolve_raw };
	p->config.credentials = &p->credentials;
}

/* ---- the broker ---- */

static void fill(struct rig_message *m, const char *topic, smq_span payload)
{
	m->topic = strdup(topic);
	m->bytes = malloc(payload.len + 1);
	m->len = payload.len;
	if (payload.len > 0)
		memcpy(m->bytes, payload.p, payload.len);
}

static void drop(struct rig_message *m)
{
	free(m->topic);
	free(m->bytes);
	memset(m, 0, sizeof(*m));
}

static void enqueue(struct rig *r, const char *topic, smq_span payload, int from, bool retain, uint64_t id)
{
	if (r->first + r->count == r->room) {
		if (r->count > 0)
			memmove(r->queue, r->queue + r->first, r->count * sizeof(*r->queue));
		r->first = 0;
		if (r->count * 2 > r->room || r->room == 0) {
			r->room = 2 * r->room + 256;
			r->queue = realloc(r->queue, r->room * sizeof(*r->queue));
			assert_non_null(r->queue);
		}
	}
	struct rig_message *m = &r->queue[r->first + r->count++];
	memset(m, 0, sizeof(*m));
	fill(m, topic, payload);
	m->from = from;
	m->retain = retain;
	m->id = id;
}

static void retain(struct rig *r, const struct rig_message *m)
{
	size_t i = 0;
	while (i < r->retained_count && strcmp(r->retained[i].topic, m->topic) != 0)
		i++;
	if (i < r->retained_count) {
		drop(&r->retained[i]);
		if (m->len == 0)
			r->retained[i] = r->retained[--r->retained_count];
	}
	if (m->len == 0 || r->broker_deaf)
		return;
	if (i == r->retained_count) {
		if (r->retained_count == r->retained_room) {
			r->retained_room = 2 * r->retained_room + 64;
			r->retained = realloc(r->retained, r->retained_room * sizeof(*r->retained));
			assert_non_null(r->retained);
		}
		r->retained_count++;
	}
	fill(&r->retained[i], m->topic, smq_span_of(m->bytes, m->len));
}

/* ---- what must never be said twice in two ways ---- */

static void never_otherwise(struct rig *r, uint64_t a, uint64_t b, uint64_t c, smq_span content)
{
	uint8_t hash[SMQ_HASH_LEN];
	assert_int_equal(smq_crypto_openssl()->sha256(&content, 1, hash), SMQ_OK);
	for (size_t i = 0; i < r->fact_count; i++) {
		const struct rig_fact *f = &r->facts[i];
		if (f->a == a && f->b == b && f->c == c && memcmp(f->hash, hash, sizeof(hash)) != 0)
			fail_msg("published twice in two ways: %llu %llu %llu", (unsigned long long)a,
				 (unsigned long long)b, (unsigned long long)c);
		if (f->a == a && f->b == b && f->c == c)
			return;
	}
	if (r->fact_count == r->fact_room) {
		r->fact_room = 2 * r->fact_room + 64;
		r->facts = realloc(r->facts, r->fact_room * sizeof(*r->facts));
		assert_non_null(r->facts);
	}
	struct rig_fact *f = &r->facts[r->fact_count++];
	*f = (struct rig_fact){ .a = a, .b = b, .c = c };
	memcpy(f->hash, hash, sizeof(hash));
}

/* An epoch has one manifest and one message of a node, a sender id one life. */
static void check_published(struct rig *r, const struct smq_ks_topic *t, smq_span payload)
{
	struct smq_sign1 s;
	struct smq_manifest m;
	struct smq_tree_node_message n;
	struct smq_sender_card card;
	uint64_t group = 0;
	for (size_t i = 0; i < t->name.len; i++)
		group = (group + t->name.p[i]) * 256; /* short names only */
	if (t->kind == SMQ_KS_TOPIC_MANIFEST && smq_sign1_decode(payload, &s) == SMQ_OK &&
	    smq_manifest_decode(s.payload, &m) == SMQ_OK)
		never_otherwise(r, group | 1, m.epoch, 0, s.payload);
	if (t->kind == SMQ_KS_TOPIC_NODE && smq_tree_node_decode(payload, &n) == SMQ_OK)
		never_otherwise(r, group | 2, n.epoch, t->height << 32 | t->number, payload);
	if (t->kind == SMQ_KS_TOPIC_SENDER && smq_sign1_decode(payload, &s) == SMQ_OK &&
	    smq_sender_card_decode(s.payload, &card) == SMQ_OK)
		never_otherwise(r, group | 3, card.sender_id, 0, smq_span_of(card.boot_id, sizeof(card.boot_id)));
}

static bool subscribed(const struct rig_server *s, const char *topic)
{
	const char *filter;
	for (size_t i = 0; (filter = smq_keyserver_filter(s->ks, i)) != NULL; i++) {
		if (smq_topic_matches(smq_span_str(filter), smq_span_str(topic)))
			return true;
	}
	return false;
}

static smq_err publish(void *self, const char *topic, smq_span payload, bool retain_it, uint64_t *ret_id)
{
	struct rig_server *s = self;
	if (!s->up || s->rig->stores[s->index].dead || s->rig->broker_stuck)
		return SMQ_ERR_NO_CONNECTION;
	if (retain_it && s->rig->retained_stuck)
		return SMQ_ERR_FULL;
	assert_false(s->rig->stores[s->index].open); /* nothing is said before it is durable */
	*ret_id = ++s->published;
	s->rig->sent += payload.len;
	enqueue(s->rig, topic, payload, s->index, retain_it, *ret_id);
	return SMQ_OK;
}

static void on_event(void *self, const struct smq_keyserver_event *e)
{
	struct rig_server *s = self;
	s->epochs += e->kind == SMQ_KEYSERVER_EPOCH;
	s->jumps += e->kind == SMQ_KEYSERVER_JUMPED;
	s->rivals += e->kind == SMQ_KEYSERVER_RIVAL;
	s->dropped += e->kind == SMQ_KEYSERVER_DROPPED;
	if (e->kind == SMQ_KEYSERVER_DROPPED) {
		s->drop = e->err;
		snprintf(s->drop_who, sizeof(s->drop_who), "%s", e->who);
	}
	if (e->kind == SMQ_KEYSERVER_ASKED) {
		snprintf(s->asked_what, sizeof(s->asked_what), "%s", e->what);
		snprintf(s->asked_whom, sizeof(s->asked_whom), "%s", e->whom);
	}
	if (e->kind == SMQ_KEYSERVER_EPOCH) {
		s->last_messages = e->messages;
		s->last_bytes = e->bytes;
	}
}

/* ---- askers ---- */

static void take_answer(struct rig_peer *p, smq_span bytes)
{
	struct smq_ks_answer a;
	assert_int_equal(smq_ks_answer_decode(bytes, &a), SMQ_OK);
	p->answered = true;
	p->answers++;
	p->status = a.status;
	snprintf(p->text, sizeof(p->text), "%.*s", (int)a.text.len, (const char *)a.text.p);
	p->body = realloc(p->body, a.body.len + 1);
	p->body_len = a.body.len;
	memcpy(p->body, a.body.p, a.body.len);
}

static void asker_input(struct rig *r, struct rig_peer *p, smq_span payload)
{
	static uint8_t rooms[2][SMQ_KS_SEALED_ROOM(SMQ_KS_REQUEST_MAX) + SMQ_KS_EDHOC_ROOM],
	    answer_room[SMQ_KS_ANSWER_MAX];
	const smq_mspan room[2] = { smq_mspan_of(rooms[0], sizeof(rooms[0])),
				    smq_mspan_of(rooms[1], sizeof(rooms[1])) };
	size_t len[2] = { 0, 0 };
	char topic[SMQ_KS_TOPIC_MAX];
	struct smq_ks_topic t = { .kind = SMQ_KS_TOPIC_REQUEST, .name = smq_span_str(p->name) };
	smq_span answer;
	if (p->asker.state != SMQ_KS_ASKER_ASKING)
		return;
	smq_err err = smq_ks_asker_input(&p->asker, payload, rig_time.unix_ms, smq_span_of(p->request, p->request_len),
					 room, len, smq_mspan_of(answer_room, sizeof(answer_room)), &answer);
	assert_int_equal(smq_ks_topic_write(prefix, &t, smq_mspan_of(topic, sizeof(topic))), SMQ_OK);
	for (int i = 0; i < 2; i++) {
		if (len[i] > 0)
			enqueue(r, topic, smq_span_of(rooms[i], len[i]), -1, false, 0);
	}
	if (err == SMQ_OK && p->asker.state == SMQ_KS_ASKER_ANSWERED)
		take_answer(p, answer);
}

static bool holds_up(struct rig *r, const struct rig_message *m, const struct smq_ks_topic *t)
{
	struct smq_keyex k;
	if (r->hold == 0 || t->kind != SMQ_KS_TOPIC_REQUEST ||
	    smq_keyex_decode(smq_span_of(m->bytes, m->len), &k) != SMQ_OK || (int)k.kind != r->hold)
		return false;
	r->hold = 0;
	fill(&r->held, m->topic, smq_span_of(m->bytes, m->len));
	return true;
}

void rig_release(struct rig *r)
{
	assert_non_null(r->held.topic);
	enqueue(r, r->held.topic, smq_span_of(r->held.bytes, r->held.len), -1, false, 0);
	drop(&r->held);
}

static void measure(struct rig *r, const struct rig_message *m, const struct smq_ks_topic *t)
{
	struct smq_keyex k;
	if ((t->kind != SMQ_KS_TOPIC_REQUEST && t->kind != SMQ_KS_TOPIC_ANSWER) ||
	    smq_keyex_decode(smq_span_of(m->bytes, m->len), &k) != SMQ_OK)
		return;
	r->wire[k.kind].body = k.body.len;
	r->wire[k.kind].envelope = m->len;
	r->wire[k.kind].topic = strlen(m->topic);
}

static void deliver(struct rig *r, const struct rig_message *m)
{
	struct smq_ks_topic t = smq_ks_topic_read(prefix, m->topic);
	if (holds_up(r, m, &t))
		return;
	if (m->retain)
		retain(r, m);
	check_published(r, &t, smq_span_of(m->bytes, m->len));
	measure(r, m, &t);
	for (int i = 0; i < RIG_SERVERS; i++) {
		struct rig_server *s = &r->servers[i];
		bool withheld = t.kind == SMQ_KS_TOPIC_CLAIM && r->claim_deaf >> i & 1;
		if (s->up && subscribed(s, m->topic) && !withheld)
			smq_keyserver_input(s->ks, m->topic, smq_span_of(m->bytes, m->len), false);
		if (s->up && m->from == i)
			smq_keyserver_published(s->ks, m->id, SMQ_OK);
	}
	if (r->heard)
		r->heard(r->others, m->topic, smq_span_of(m->bytes, m->len));
	for (int i = 0; t.kind == SMQ_KS_TOPIC_ANSWER && i < r->peer_count; i++) {
		if (smq_span_equal(t.name, smq_span_str(r->peers[i].name)))
			asker_input(r, &r->peers[i], smq_span_of(m->bytes, m->len));
	}
}

void rig_settle(struct rig *r)
{
	bool more = true;
	for (unsigned rounds = 0; more; rounds++) {
		assert_true(rounds < 100000);
		while (r->count > 0) {
			struct rig_message m = r->queue[r->first++];
			r->count--;
			deliver(r, &m);
			drop(&m);
		}
		more = false;
		for (int i = 0; i < RIG_SERVERS; i++) {
			struct rig_server *s = &r->servers[i];
			if (s->up && smq_keyserver_wake_at(s->ks) <= rig_time.mono_ms) {
				uint64_t published = s->published;
				smq_keyserver_tick(s->ks);
				more = more || s->published != published;
			}
		}
		while (r->turn && r->turn(r->others))
			more = true;
		more = more || r->count > 0;
	}
}

void rig_pass(struct rig *r, int64_t ms, int64_t step_ms)
{
	rig_settle(r);
	for (int64_t done = 0; done < ms; done += step_ms) {
		rig_time.mono_ms += step_ms;
		rig_time.unix_ms += step_ms;
		rig_settle(r);
	}
}

/* ---- life ---- */

struct rig *rig_new(int peers)
{
	struct rig *r = calloc(1, sizeof(*r));
	assert_non_null(r);
	r->peer_count = peers;
	r->peers = calloc((size_t)peers, sizeof(*r->peers));
	assert_non_null(r->peers);
	rig_time = (struct smq_now){ 1000, INT64_C(1790000000000) };
	r->credentials = (struct smq_credentials){ r, resolve, holds };
	r->rate = 100000;
	for (int i = 0; i < r->peer_count; i++)
		make_peer(r, i);
	return r;
}

static void replay_retained(struct rig *r, struct rig_server *s)
{
	for (size_t i = 0; i < r->retained_count; i++) {
		const struct rig_message *m = &r->retained[i];
		if (subscribed(s, m->topic))
			smq_keyserver_input(s->ks, m->topic, smq_span_of(m->bytes, m->len), true);
	}
}

bool rig_start(struct rig *r, int server)
{
	struct rig_server *s = &r->servers[server];
	struct rig_store *store = &r->stores[server];
	const char *why = "";
	store->dead = store->open = false;
	store->die_at = 0;
	s->rig = r;
	s->index = server;
	const struct smq_keyserver_config config = { .crypto = r->crypto ? r->crypto : smq_crypto_openssl(),
						     .random = smq_random_system(),
						     .credentials = &r->credentials,
						     .own = &r->peers[server].own,
						     .realm = realm,
						     .name = "ks0",
						     .prefix = prefix,
						     .clock = { now, NULL },
						     .store = r->store_of ? r->store_of(r, server) : port_of(store),
						     .self = s,
						     .publish = publish,
						     .on_event = on_event,
						     .requests_per_min = r->rate };
	r->last_refusal = smq_keyserver_new(&config, &s->ks, &why);
	if (r->last_refusal != SMQ_OK)
		return false;
	s->up = true;
	smq_keyserver_online(s->ks);
	replay_retained(r, s);
	rig_pass(r, 1200, 100); /* it has heard what there is to hear */
	return true;
}

void rig_stop(struct rig *r, int server)
{
	struct rig_server *s = &r->servers[server];
	if (!s->up)
		return;
	s->up = false;
	smq_keyserver_free(s->ks);
	s->ks = NULL;
	r->stores[server].open = false;
}

void rig_restart(struct rig *r, int server)
{
	rig_stop(r, server);
	assert_true(rig_start(r, server));
}

void rig_publish(struct rig *r, const char *topic, smq_span payload) { enqueue(r, topic, payload, -1, false, 0); }

void rig_forget_retained(struct rig *r)
{
	for (size_t i = 0; i < r->retained_count; i++)
		drop(&r->retained[i]);
	r->retained_count = 0;
}

void rig_backup(struct rig *r, struct rig_items *ret_items)
{
	memset(ret_items, 0, sizeof(*ret_items));
	copy_items(ret_items, &r->stores[0].durable);
}

void rig_restore(struct rig *r, const struct rig_items *items, bool restored)
{
	struct rig_store *s = &r->stores[0];
	rig_stop(r, 0);
	copy_items(&s->durable, items);
	if (!restored)
		return;
	s->dead = false;
	s->die_at = 0;
	assert_int_equal(store_begin(s), SMQ_OK);
	assert_int_equal(store_put(s, SMQ_KS_ITEM_SERVER, "", 1, 0, smq_span_str("\xf5")), SMQ_OK);
	assert_int_equal(store_commit(s), SMQ_OK);
}

void rig_items_done(struct rig_items *items) { drop_items(items); }

void rig_free(struct rig *r)
{
	for (int i = 0; i < RIG_SERVERS; i++) {
		rig_stop(r, i);
		drop_items(&r->stores[i].durable);
		drop_items(&r->stores[i].working);
	}
	for (int i = 0; i < r->peer_count; i++) {
		smq_ks_asker_done(&r->peers[i].asker);
		smq_openssl_signer_free(&r->peers[i].own.signer);
		free(r->peers[i].body);
	}
	drop(&r->held);
	for (size_t i = 0; i < r->count; i++)
		drop(&r->queue[r->first + i]);
	for (size_t i = 0; i < r->retained_count; i++)
		drop(&r->retained[i]);
	free(r->queue);
	free(r->facts);
	free(r->retained);
	free(r->peers);
	free(r);
}

/* ---- asking ---- */

struct smq_ks_request rig_request(enum smq_ks_what what, const char *group)
{
	return (struct smq_ks_request){ .what = what, .group = smq_span_str(group) };
}

void rig_ask(struct rig *r, int peer, const struct smq_ks_request *request)
{
	struct rig_peer *p = &r->peers[peer];
	uint8_t room[SMQ_KS_EDHOC_ROOM];
	size_t len = 0;
	char topic[SMQ_KS_TOPIC_MAX];
	struct smq_ks_topic t = { .kind = SMQ_KS_TOPIC_REQUEST, .name = smq_span_str(p->name) };
	assert_int_equal(smq_ks_request_encode(request, smq_mspan_of(p->request, sizeof(p->request)), &p->request_len),
			 SMQ_OK);
	p->answered = false;
	assert_int_equal(smq_ks_asker_start(&p->asker, &p->config, smq_mspan_of(room, sizeof(room)), &len), SMQ_OK);
	assert_int_equal(smq_ks_topic_write(prefix, &t, smq_mspan_of(topic, sizeof(topic))), SMQ_OK);
	enqueue(r, topic, smq_span_of(room, len), -1, false, 0);
}

smq_err rig_asked(struct rig *r, int peer, const struct smq_ks_request *request)
{
	rig_ask(r, peer, request);
	for (int i = 0; i < 1200 && !r->peers[peer].answered; i++)
		rig_pass(r, 100, 50);
	return r->peers[peer].answered ? r->peers[peer].status : SMQ_ERR_TIMEOUT;
}

struct smq_ks_request rig_join_request(const struct rig *r, int peer, const char *group)
{
	struct smq_ks_request q = rig_request(SMQ_KS_JOIN, group);
	q.roles = SMQ_JOIN_PUBLISH | SMQ_JOIN_SUBSCRIBE;
	q.from_ms = rig_time.unix_ms;
	q.until_ms = SMQ_NO_END;
	memcpy(q.boot_id, r->peers[peer].boot_id, sizeof(q.boot_id));
	return q;
}

void rig_take_grant(struct rig *r, int peer, const char *group)
{
	struct rig_peer *p = &r->peers[peer];
	static struct smq_tree_scope scope;
	static char name[65];
	assert_int_equal(smq_ks_grant_decode(smq_span_of(p->body, p->body_len), &p->grant), SMQ_OK);
	snprintf(name, sizeof(name), "%s", group);
	scope = (struct smq_tree_scope){ smq_crypto_openssl(), smq_random_system(), smq_span_str(realm),
					 smq_span_str(name) };
	p->path = (struct smq_keypath){ .scope = &scope, .leaf = p->grant.leaf, .epoch = p->grant.epoch };
	p->path.height = (unsigned)p->grant.path_len - 1;
	for (size_t h = 0; h < p->grant.path_len; h++) {
		p->path.nodes[h].version = p->grant.path[h].version;
		p->path.nodes[h].refreshed = p->grant.path[h].refreshed;
		memcpy(p->path.nodes[h].key.b, p->grant.path[h].key, SMQ_TREE_KEY_LEN);
	}
	memcpy(p->secret.b, p->grant.secret, sizeof(p->secret.b));
	struct smq_manifest_step step;
	memset(&p->chain, 0, sizeof(p->chain));
	assert_int_equal(smq_manifest_chain_input(&p->chain, smq_crypto_openssl(), p->grant.manifest,
						  &r->peers[RIG_KEYSERVER].credential, smq_span_str(realm),
						  smq_span_str(group), rig_time.unix_ms, &step),
			 SMQ_OK);
	assert_int_equal(step.manifest.epoch, p->grant.epoch);
	p->chain = step.next;
}

smq_err rig_join(struct rig *r, int peer, const char *group)
{
	struct smq_ks_request q = rig_join_request(r, peer, group);
	smq_err err = rig_asked(r, peer, &q);
	if (err == SMQ_OK)
		rig_take_grant(r, peer, group);
	return err;
}

smq_err rig_leave(struct rig *r, int peer, const char *group)
{
	struct smq_ks_request q = rig_request(SMQ_KS_LEAVE, group);
	memcpy(q.boot_id, r->peers[peer].boot_id, sizeof(q.boot_id));
	return rig_asked(r, peer, &q);
}

smq_err rig_expel(struct rig *r, int peer, const char *group)
{
	struct smq_ks_request q = rig_request(SMQ_KS_EXPEL, group);
	q.name = smq_span_str(r->peers[peer].name);
	return rig_asked(r, RIG_ADMIN, &q);
}

smq_err rig_register(struct rig *r, int peer)
{
	struct smq_ks_request q = rig_request(SMQ_KS_REGISTER, "");
	q.name = smq_span_str(r->peers[peer].name);
	memcpy(q.key, r->peers[peer].credential.public_key, sizeof(q.key));
	return rig_asked(r, RIG_ADMIN, &q);
}

smq_err rig_unregister(struct rig *r, int peer)
{
	struct smq_ks_request q = rig_request(SMQ_KS_UNREGISTER, "");
	q.name = smq_span_str(r->peers[peer].name);
	return rig_asked(r, RIG_ADMIN, &q);
}

/* ---- policies ---- */

struct smq_policy rig_policy(const char *group, enum smq_policy_mode mode)
{
	struct smq_policy p = { .realm = smq_span_str(realm),
				.group = smq_span_str(group),
				.number = 1,
				.filter_count = 1,
				.filters = { smq_span_str("plant/#") },
				.mode = mode,
				.alg = smq_aead_alg_by_id(SMQ_A128GCM),
				.publisher_count = 1,
				.publishers = { { smq_span_str("*"), 0 } },
				.subscriber_count = 1,
				.subscribers = { { smq_span_str("*"), 0 } },
				.batch_ms = 200,
				.activation_ms = 500,
				.grace_ms = 1000,
				.validity_s = 24 * 3600,
				.members_max = 1000 };
	if (mode == SMQ_MODE_SLOTTED) {
		p.slot_ms = 10000;
		p.slot_levels = 16;
	}
	return p;
}

size_t rig_sign_policy(const struct rig *r, const struct smq_policy *policy, int by, smq_mspan room)
{
	static uint8_t document[SMQ_POLICY_MAX];
	size_t len = 0;
	assert_int_equal(smq_policy_encode(policy, smq_mspan_of(document, sizeof(document)), &len), SMQ_OK);
	assert_int_equal(smq_policy_sign(smq_span_of(document, len), &r->peers[by].own, room, &len), SMQ_OK);
	return len;
}

smq_err rig_set_policy(struct rig *r, const struct smq_policy *policy)
{
	static uint8_t bytes[SMQ_POLICY_MAX + SMQ_SIGN1_OVERHEAD_MAX];
	struct smq_ks_request q = { .what = SMQ_KS_POLICY };
	if (!policy->is_template)
		q.group = policy->group;
	q.policy = smq_span_of(bytes, rig_sign_policy(r, policy, RIG_ADMIN, smq_mspan_of(bytes, sizeof(bytes))));
	q.admin = r->peers[RIG_ADMIN].own.id_cred_full;
	return rig_asked(r, RIG_ADMIN, &q);
}

/* ---- following ---- */

const struct rig_message *rig_retained(const struct rig *r, const struct smq_ks_topic *topic)
{
	char text[SMQ_KS_TOPIC_MAX];
	assert_int_equal(smq_ks_topic_write(prefix, topic, smq_mspan_of(text, sizeof(text))), SMQ_OK);
	for (size_t i = 0; i < r->retained_count; i++) {
		if (strcmp(r->retained[i].topic, text) == 0)
			return &r->retained[i];
	}
	return NULL;
}

static const struct rig_message *manifest_of(const struct rig *r, const char *group)
{
	struct smq_ks_topic t = { .kind = SMQ_KS_TOPIC_MANIFEST, .name = smq_span_str(group) };
	return rig_retained(r, &t);
}

uint64_t rig_epoch(const struct rig *r, const char *group)
{
	const struct rig_message *m = manifest_of(r, group);
	struct smq_sign1 s;
	struct smq_manifest manifest;
	if (!m)
		return 0;
	assert_int_equal(smq_sign1_decode(smq_span_of(m->bytes, m->len), &s), SMQ_OK);
	assert_int_equal(smq_manifest_decode(s.payload, &manifest), SMQ_OK);
	return manifest.epoch;
}

smq_err rig_follow(struct rig *r, int peer, const char *group)
{
	struct rig_peer *p = &r->peers[peer];
	struct smq_tree_node_message nodes[SMQ_TREE_HEIGHT_MAX];
	const struct smq_tree_node_message *found[SMQ_TREE_HEIGHT_MAX] = { NULL };
	const struct rig_message *m = manifest_of(r, group);
	struct smq_manifest_step step;
	assert_non_null(m);
	assert_int_equal(smq_manifest_chain_input(&p->chain, smq_crypto_openssl(), smq_span_of(m->bytes, m->len),
						  &r->peers[RIG_KEYSERVER].credential, smq_span_str(realm),
						  smq_span_str(group), rig_time.unix_ms, &step),
			 SMQ_OK);
	if (step.verdict == SMQ_MANIFEST_SAME)
		return SMQ_OK;
	if (!smq_manifest_is_accepted(step.verdict))
		return SMQ_ERR_STALE_EPOCH;
	if (step.manifest.tree_height > p->path.height)
		assert_int_equal(smq_keypath_grow(&p->path, step.manifest.tree_height), SMQ_OK);
	for (unsigned h = 1; h <= p->path.height; h++) {
		struct smq_ks_topic t = { SMQ_KS_TOPIC_NODE, smq_span_str(group), h, smq_keypath_index(&p->path, h) };
		const struct rig_message *n = rig_retained(r, &t);
		if (n && smq_tree_node_decode(smq_span_of(n->bytes, n->len), &nodes[h - 1]) == SMQ_OK)
			found[h - 1] = &nodes[h - 1];
	}
	smq_err err = smq_keypath_follow(&p->path, step.manifest.epoch, found, step.manifest.root_version,
					 step.manifest.commitment, &p->secret);
	if (err == SMQ_OK)
		p->chain = step.next;
	return err;
}

bool rig_same_keys(struct rig *r, int a, int b, const char *group)
{
	smq_err first = rig_follow(r, a, group), second = rig_follow(r, b, group);
	if (first != SMQ_OK || second != SMQ_OK)
		print_message("# %s: %s, %s: %s\n", r->peers[a].name, smq_err_name(first), r->peers[b].name,
			      smq_err_name(second));
	return first == SMQ_OK && second == SMQ_OK && r->peers[a].chain.epoch == r->peers[b].chain.epoch &&
	       memcmp(r->peers[a].secret.b, r->peers[b].secret.b, sizeof(r->peers[a].secret.b)) == 0;
}
