/* A key server's group in one process. */
#include "group_sim.h"

#include <stdio.h>
#include <stdlib.h>

#include "cmocka_all.h"

#include <sealmq/client.h>

#include "core/ks_asker.h"
#include "wire/sender_card.h"

static const int suites[] = { 2 };
static const char prefix[] = "sealmq/world", group_name[] = "temps";

/* ---- broker ---- */

struct sim_retained *sim_find(struct sim *s, const char *topic)
{
	for (size_t i = 0; i < SIM_RETAINED; i++) {
		if (s->retained[i].bytes && strcmp(s->retained[i].topic, topic) == 0)
			return &s->retained[i];
	}
	return NULL;
}

static void retain(struct sim *s, const char *topic, smq_span payload)
{
	struct sim_retained *r = sim_find(s, topic);
	for (size_t i = 0; i < SIM_RETAINED && !r; i++)
		r = s->retained[i].bytes ? NULL : &s->retained[i];
	assert_true(r && strlen(topic) < sizeof(r->topic));
	if (!r)
		return;
	strcpy(r->topic, topic);
	r->bytes = realloc(r->bytes, payload.len + 1);
	if (payload.len > 0)
		memcpy(r->bytes, payload.p, payload.len);
	r->len = payload.len;
}

static char **subscription(struct sim_member *m, const char *topic)
{
	for (size_t i = 0; i < 64; i++) {
		if (topic ? m->subscribed[i] && strcmp(m->subscribed[i], topic) == 0 : !m->subscribed[i])
			return &m->subscribed[i];
	}
	return NULL;
}

static void deliver(struct sim *s, int i, const char *topic, smq_span payload, bool retained)
{
	struct sim_member *m = &s->members[i];
	if (!m->m || !m->connected || !subscription(m, topic))
		return;
	assert_true(smq_group_member_takes(m->m, topic));
	(void)smq_group_member_input(m->m, topic, payload, retained, s->world.now);
}

static bool is_lost(const struct sim *s, const char *topic)
{
	return (s->drops_nodes && strstr(topic, "/n/")) || (s->drops_cards && strstr(topic, "/s/"));
}

void sim_publish(struct sim *s, const char *topic, smq_span payload, bool retained)
{
	if (is_lost(s, topic))
		return;
	if (retained && !s->forgets)
		retain(s, topic, payload);
	for (int i = 1; i < SIM_MEMBERS; i++)
		deliver(s, i, topic, payload, false);
}

static void subscribe(struct sim *s, int i, const char *topic)
{
	struct sim_member *m = &s->members[i];
	struct sim_retained *r = sim_find(s, topic);
	if (!subscription(m, topic)) {
		char **place = subscription(m, NULL);
		assert_non_null(place);
		*place = strdup(topic);
	}
	if (r)
		deliver(s, i, topic, smq_span_of(r->bytes, r->len), true);
}

static void unsubscribe(struct sim *s, int i, const char *topic)
{
	char **at = subscription(&s->members[i], topic);
	assert_non_null(at);
	free(*at);
	*at = NULL;
}

/* ---- key server: publishing ---- */

static void put_topic(enum smq_ks_topic_kind kind, const char *name, uint64_t height, uint64_t number,
		      char ret_text[SMQ_KS_TOPIC_MAX])
{
	struct smq_ks_topic t = { kind, smq_span_str(name), height, number };
	assert_int_equal(smq_ks_topic_write(prefix, &t, smq_mspan_of((uint8_t *)ret_text, SMQ_KS_TOPIC_MAX)), SMQ_OK);
}

static struct world_member *server(struct sim *s) { return &s->world.members[SIM_SERVER]; }

static void encode_policy(struct sim *s)
{
	uint8_t document[SMQ_POLICY_MAX];
	size_t len;
	assert_int_equal(smq_policy_encode(&s->policy, smq_mspan_of(document, sizeof(document)), &len), SMQ_OK);
	assert_int_equal(smq_policy_sign(smq_span_of(document, len), &s->world.members[SIM_ADMIN].own,
					 smq_mspan_of(s->policy_signed, sizeof(s->policy_signed)), &s->policy_len),
			 SMQ_OK);
	smq_span whole = smq_span_of(document, len);
	s->mark.number = s->policy.number;
	assert_int_equal(smq_crypto_openssl()->sha256(&whole, 1, s->mark.digest), SMQ_OK);
}

static smq_err emit(void *self, const struct smq_tree_node_message *message)
{
	struct sim *s = self;
	uint8_t bytes[SMQ_TREE_NODE_MAX];
	char topic[SMQ_KS_TOPIC_MAX];
	size_t len;
	assert_int_equal(smq_tree_node_encode(message, smq_mspan_of(bytes, sizeof(bytes)), &len), SMQ_OK);
	put_topic(SMQ_KS_TOPIC_NODE, group_name, message->height, message->index, topic);
	/* also where it is lost: the key server has it */
	bool lost = is_lost(s, topic);
	if (lost && !s->forgets) {
		char aside[SMQ_KS_TOPIC_MAX + 8];
		snprintf(aside, sizeof(aside), "kept/%s", topic);
		aside[SMQ_KS_TOPIC_MAX - 1] = 0;
		retain(s, aside, smq_span_of(bytes, len));
	}
	sim_publish(s, topic, smq_span_of(bytes, len), true);
	return SMQ_OK;
}

static void sign_manifest(struct sim *s, const struct smq_epoch_keys *keys)
{
	uint8_t document[SMQ_MANIFEST_MAX];
	size_t len;
	struct smq_manifest *m = &s->manifest;
	m->previous_epoch = m->epoch;
	memcpy(m->previous, s->manifest_hash, SMQ_HASH_LEN);
	m->realm = smq_span_str("world");
	m->group = smq_span_str(group_name);
	m->epoch = keys->epoch;
	m->activate_at_ms = s->world.now.unix_ms + (int64_t)s->policy.activation_ms;
	m->expires_ms = s->world.now.unix_ms + (int64_t)s->policy.validity_s * 1000;
	m->tree_height = keys->height;
	m->member_count = smq_keygroup_member_count(s->group);
	m->root_version = keys->root_version;
	m->policy_number = s->mark.number;
	memcpy(m->policy, s->mark.digest, SMQ_HASH_LEN);
	memcpy(m->commitment, keys->commitment, SMQ_HASH_LEN);
	m->mode = s->policy.mode;
	if (m->mode == SMQ_MODE_SLOTTED && m->slot_ms == 0) {
		m->slot_start_ms = s->world.now.unix_ms;
		m->slot_ms = s->policy.slot_ms;
		m->slot_levels = s->policy.slot_levels;
	}
	assert_int_equal(smq_manifest_encode(m, smq_mspan_of(document, sizeof(document)), &len), SMQ_OK);
	assert_int_equal(smq_manifest_hash(smq_crypto_openssl(), smq_span_of(document, len), s->manifest_hash), SMQ_OK);
	assert_int_equal(smq_manifest_sign(smq_span_of(document, len), &server(s)->own,
					   smq_mspan_of(s->manifest_signed, sizeof(s->manifest_signed)),
					   &s->manifest_len),
			 SMQ_OK);
}

void sim_epoch(struct sim *s)
{
	struct smq_epoch_keys keys;
	char topic[SMQ_KS_TOPIC_MAX];
	assert_int_equal(smq_keygroup_commit(s->group, smq_keygroup_epoch(s->group) + 1, s, emit, &keys), SMQ_OK);
	sign_manifest(s, &keys);
	assert_true(s->history_count < 64);
	s->history[s->history_count].epoch = keys.epoch;
	memcpy(s->history[s->history_count].secret, keys.secret.b, 32);
	memcpy(s->history[s->history_count++].manifest, s->manifest_hash, SMQ_HASH_LEN);
	put_topic(SMQ_KS_TOPIC_MANIFEST, group_name, 0, 0, topic);
	sim_publish(s, topic, smq_span_of(s->manifest_signed, s->manifest_len), true);
}

void sim_policy(struct sim *s)
{
	char topic[SMQ_KS_TOPIC_MAX];
	s->policy.number++;
	encode_policy(s);
	put_topic(SMQ_KS_TOPIC_POLICY, group_name, 0, 0, topic);
	sim_publish(s, topic, smq_span_of(s->policy_signed, s->policy_len), true);
	smq_keygroup_rotate(s->group);
	sim_epoch(s);
}

static size_t sign_card(struct sim *s, const struct smq_keygroup_member *m, uint8_t room[512])
{
	struct smq_sender_card c = { .realm = smq_span_str("world"),
				     .group = smq_span_str(group_name),
				     .sender_id = m->sender_id,
				     .name = smq_span_str(m->name),
				     .from_ms = m->from_ms,
				     .until_ms = m->until_ms };
	uint8_t document[SMQ_SENDER_CARD_MAX];
	size_t len = 0;
	memcpy(c.boot_id, m->boot_id, sizeof(c.boot_id));
	assert_int_equal(smq_sender_card_encode(&c, smq_mspan_of(document, sizeof(document)), &len), SMQ_OK);
	assert_int_equal(smq_sign1_encode_document(&server(s)->own, SMQ_SENDER_CARD_KIND, smq_span_of(document, len),
						   smq_mspan_of(room, 512), &len),
			 SMQ_OK);
	return len;
}

static void publish_card(struct sim *s, const char *name)
{
	uint8_t card[512];
	char topic[SMQ_KS_TOPIC_MAX], aside[SMQ_KS_TOPIC_MAX + 8];
	const struct smq_keygroup_member *m = smq_keygroup_find(s->group, smq_span_str(name));
	size_t len = sign_card(s, m, card);
	put_topic(SMQ_KS_TOPIC_SENDER, group_name, 0, m->sender_id, topic);
	snprintf(aside, sizeof(aside), "kept/%s", topic);
	aside[SMQ_KS_TOPIC_MAX - 1] = 0;
	retain(s, aside, smq_span_of(card, len));
	sim_publish(s, topic, smq_span_of(card, len), true);
}

/* ---- key server: answers ---- */

static void reply(struct sim *s, uint64_t run, smq_err status, smq_span body)
{
	static uint8_t bytes[SMQ_KS_ANSWER_MAX], sealed[SMQ_KS_ANSWER_MAX + SMQ_KS_ENVELOPE_HEAD];
	char to[SMQ_MEMBER_NAME_MAX + 1], topic[SMQ_KS_TOPIC_MAX];
	struct smq_ks_answer a = { status, smq_span_str(status ? "no\nreason" : ""), body };
	size_t len;
	assert_int_equal(smq_ks_answer_encode(&a, smq_mspan_of(bytes, sizeof(bytes)), &len), SMQ_OK);
	if (smq_ks_desk_answer(s->desk, run, smq_span_of(bytes, len), smq_mspan_of(sealed, sizeof(sealed)), &len, to))
		return;
	put_topic(SMQ_KS_TOPIC_ANSWER, to, 0, 0, topic);
	sim_publish(s, topic, smq_span_of(sealed, len), false);
}

static void add_seeds(struct sim *s, const struct smq_grant *g, struct smq_ks_grant *w, uint8_t room[2048])
{
	struct smq_slot_times t = { s->manifest.slot_start_ms, s->manifest.slot_ms, s->manifest.slot_levels, 0 };
	struct smq_slot_seeds seeds;
	uint64_t first, last;
	size_t len;
	assert_int_equal(smq_slot_interval(&t, g->from_ms, g->until_ms, &first, &last), SMQ_OK);
	assert_true(smq_slot_part(t.levels, 0, first, last, &first, &last));
	assert_int_equal(smq_slot_cover(&s->tree, first, last, &seeds), SMQ_OK);
	assert_int_equal(smq_slot_seeds_encode(&seeds, smq_mspan_of(room, 2048), &len), SMQ_OK);
	w->tree_count = 1;
	w->trees[0].tree = 0;
	w->trees[0].seeds = smq_span_of(room, len);
}

static void add_history(const struct sim *s, struct smq_ks_grant *w)
{
	uint64_t oldest = smq_policy_oldest_epoch(&s->policy, w->epoch, w->epoch);
	for (size_t i = 0; i < s->history_count; i++) {
		if (s->history[i].epoch < oldest || s->history[i].epoch >= w->epoch)
			continue;
		w->history[w->history_count].epoch = s->history[i].epoch;
		memcpy(w->history[w->history_count].secret, s->history[i].secret, 32);
		memcpy(w->history[w->history_count++].manifest, s->history[i].manifest, SMQ_HASH_LEN);
	}
}

static void grant(struct sim *s, uint64_t run, const char *name)
{
	static uint8_t body[SMQ_KS_ANSWER_MAX];
	struct smq_grant g;
	struct smq_ks_grant w = { .tree_count = 0 };
	struct smq_epoch_keys keys;
	uint8_t seeds[2048];
	size_t len;
	assert_int_equal(smq_keygroup_grant(s->group, smq_span_str(name), &g), SMQ_OK);
	assert_int_equal(smq_keygroup_keys(s->group, &keys), SMQ_OK);
	w.sender_id = g.sender_id;
	w.leaf = g.leaf;
	w.roles = g.roles;
	w.from_ms = g.from_ms;
	w.until_ms = g.until_ms;
	w.epoch = g.epoch;
	memcpy(w.secret, keys.secret.b, 32);
	w.manifest = smq_span_of(s->manifest_signed, s->manifest_len);
	w.policy = smq_span_of(s->policy_signed, s->policy_len);
	w.admin = s->world.members[SIM_ADMIN].own.id_cred_full;
	w.path_len = g.height + 1;
	for (size_t i = 0; i < w.path_len; i++) {
		w.path[i].version = g.path[i].version;
		w.path[i].refreshed = g.path[i].refreshed;
		memcpy(w.path[i].key, g.path[i].key.b, SMQ_TREE_KEY_LEN);
	}
	if (s->policy.mode == SMQ_MODE_SLOTTED)
		add_seeds(s, &g, &w, seeds);
	add_history(s, &w);
	assert_int_equal(smq_ks_grant_encode(&w, smq_mspan_of(body, sizeof(body)), &len), SMQ_OK);
	reply(s, run, SMQ_OK, smq_span_of(body, len));
}

static void on_join(struct sim *s, uint64_t run, const char *name, const struct smq_ks_request *r)
{
	struct smq_join j = { .name = smq_span_str(name), .roles = r->roles };
	bool pending;
	if (s->expelled >> (name[0] - 'a') & 1 ||
	    smq_policy_grant(&s->policy, r->from_ms, r->until_ms, s->world.now.unix_ms, INT64_MAX, &j.from_ms,
			     &j.until_ms)) {
		reply(s, run, SMQ_ERR_NOT_AUTHORIZED, smq_span_of(NULL, 0));
		return;
	}
	memcpy(j.boot_id, r->boot_id, sizeof(j.boot_id));
	assert_int_equal(smq_keygroup_join(s->group, &j, &pending), SMQ_OK);
	if (pending || s->manifest.epoch == 0)
		sim_epoch(s);
	publish_card(s, name);
	grant(s, run, name);
}

static smq_span kept(struct sim *s, enum smq_ks_topic_kind kind, uint64_t height, uint64_t number)
{
	char topic[SMQ_KS_TOPIC_MAX], aside[SMQ_KS_TOPIC_MAX + 8];
	put_topic(kind, group_name, height, number, topic);
	struct sim_retained *r = sim_find(s, topic);
	snprintf(aside, sizeof(aside), "kept/%s", topic);
	struct sim_retained *k = sim_find(s, aside);
	r = k ? k : r;
	return r ? smq_span_of(r->bytes, r->len) : smq_span_of(NULL, 0);
}

static void on_fetch(struct sim *s, uint64_t run, const char *name, const struct smq_ks_request *r)
{
	static uint8_t body[SMQ_KS_ANSWER_MAX];
	struct smq_ks_fetched f = { .manifest = smq_span_of(s->manifest_signed, s->manifest_len),
				    .policy = smq_span_of(s->policy_signed, s->policy_len),
				    .admin = s->world.members[SIM_ADMIN].own.id_cred_full };
	size_t len;
	if (!smq_keygroup_find(s->group, smq_span_str(name))) {
		reply(s, run, SMQ_ERR_NOT_AUTHORIZED, smq_span_of(NULL, 0));
		return;
	}
	for (size_t i = 0; i < r->node_count; i++) {
		smq_span node = kept(s, SMQ_KS_TOPIC_NODE, r->nodes[i].height, r->nodes[i].index);
		if (node.len > 0)
			f.nodes[f.node_count++] = node;
	}
	for (size_t i = 0; i < r->sender_count; i++) {
		smq_span card = kept(s, SMQ_KS_TOPIC_SENDER, 0, r->senders[i]);
		if (card.len > 0)
			f.cards[f.card_count++] = card;
	}
	assert_int_equal(smq_ks_fetched_encode(&f, smq_mspan_of(body, sizeof(body)), &len), SMQ_OK);
	reply(s, run, SMQ_OK, smq_span_of(body, len));
}

static void on_leave(struct sim *s, uint64_t run, const char *name)
{
	bool moves;
	smq_err err = smq_keygroup_leave(s->group, smq_span_str(name), false, &moves);
	if (err == SMQ_OK && moves)
		sim_epoch(s);
	reply(s, run, err, smq_span_of(NULL, 0));
}

void sim_expel(struct sim *s, int i)
{
	bool moves;
	s->expelled |= UINT64_C(1) << i;
	assert_int_equal(smq_keygroup_leave(s->group, smq_span_str(s->world.members[i].name), true, &moves), SMQ_OK);
	sim_epoch(s);
}

static void to_server(struct sim *s, int from, smq_span payload)
{
	static uint8_t down[SMQ_KS_EDHOC_ROOM], request[SMQ_KS_REQUEST_MAX + 64];
	const char *name = s->world.members[from].name;
	char topic[SMQ_KS_TOPIC_MAX];
	struct smq_ks_asked asked = { 0 };
	struct smq_ks_request r;
	size_t len = 0;
	s->members[from].sent++;
	if (s->server_down)
		return;
	(void)!smq_ks_desk_input(s->desk, smq_span_str(name), payload, s->world.now, smq_mspan_of(down, sizeof(down)),
				 &len, smq_mspan_of(request, sizeof(request)), &asked);
	put_topic(SMQ_KS_TOPIC_ANSWER, name, 0, 0, topic);
	if (len > 0)
		sim_publish(s, topic, smq_span_of(down, len), false);
	if (!asked.run)
		return;
	assert_int_equal(smq_ks_request_decode(asked.request, &r), SMQ_OK);
	if (r.what == SMQ_KS_JOIN)
		on_join(s, asked.run, name, &r);
	else if (r.what == SMQ_KS_LEAVE)
		on_leave(s, asked.run, name);
	else
		on_fetch(s, asked.run, name, &r);
}

/* ---- members ---- */

static smq_err keep_load(void *self, smq_mspan room, size_t *ret_len)
{
	struct sim_member *m = self;
	if (m->disk_len == 0)
		return SMQ_ERR_NOT_FOUND;
	assert_true(room.len >= m->disk_len);
	memcpy(room.p, m->disk, m->disk_len);
	*ret_len = m->disk_len;
	return SMQ_OK;
}

static smq_err keep_save(void *self, smq_span state)
{
	struct sim_member *m = self;
	if (m->disk_fails)
		return SMQ_ERR_DISK_FULL;
	memcpy(m->disk, state.p, state.len);
	m->disk_len = state.len;
	return SMQ_OK;
}

static bool act(struct sim *s, int i)
{
	struct sim_member *m = &s->members[i];
	struct smq_group_action a;
	uint8_t payload[SMQ_KS_EDHOC_ROOM + 2048];
	char topic[SMQ_KS_TOPIC_MAX];
	if (!m->m || !smq_group_member_next(m->m, s->world.now, &a))
		return false;
	if (a.kind == SMQ_GROUP_ACT_NOTE) {
		m->notes[a.note.kind]++;
		m->last = a.note;
		return true;
	}
	assert_true(m->connected);
	snprintf(topic, sizeof(topic), "%s", a.topic);
	if (a.kind == SMQ_GROUP_ACT_SUBSCRIBE) {
		subscribe(s, i, topic);
	} else if (a.kind == SMQ_GROUP_ACT_UNSUBSCRIBE) {
		unsubscribe(s, i, topic);
	} else {
		assert_true(a.payload.len <= sizeof(payload));
		memcpy(payload, a.payload.p, a.payload.len);
		to_server(s, i, smq_span_of(payload, a.payload.len));
	}
	return true;
}

void sim_settle(struct sim *s)
{
	bool any = true;
	for (int turns = 0; any; turns++) {
		any = false;
		for (int i = 1; i < SIM_MEMBERS; i++)
			any = act(s, i) || any;
		assert_true(turns < 10000);
	}
	for (int i = 1; i < SIM_MEMBERS; i++) {
		if (s->members[i].m)
			assert_true(smq_group_member_wake_at(s->members[i].m) > INT64_MIN);
	}
}

void sim_pass(struct sim *s, int64_t ms)
{
	for (int64_t passed = 0; passed < ms; passed += 100) {
		s->world.now.mono_ms += 100;
		s->world.now.unix_ms += 100;
		smq_ks_desk_tick(s->desk, s->world.now);
		sim_settle(s);
	}
}

void sim_disconnect(struct sim *s, int i)
{
	struct sim_member *m = &s->members[i];
	for (size_t k = 0; k < 64; k++) {
		free(m->subscribed[k]);
		m->subscribed[k] = NULL;
	}
	m->connected = false;
	if (m->m)
		smq_group_member_offline(m->m);
}

void sim_connect(struct sim *s, int i)
{
	s->members[i].connected = true;
	smq_group_member_online(s->members[i].m, s->world.now);
	sim_settle(s);
}

void sim_up(struct sim *s, int i)
{
	struct sim_member *m = &s->members[i];
	struct smq_group_member_config c = s->config;
	m->keep = (struct smq_group_keep){ m, keep_load, keep_save, NULL };
	c.own = &s->world.members[i].own;
	c.name = s->world.members[i].name;
	c.keep = &m->keep;
	size_t size = smq_group_member_size(&c);
	m->memory = malloc(size);
	assert_non_null(m->memory);
	assert_int_equal(smq_group_member_init(m->memory, size, &c, s->world.now, &m->m), SMQ_OK);
	sim_connect(s, i);
}

void sim_kill(struct sim *s, int i)
{
	struct sim_member *m = &s->members[i];
	sim_disconnect(s, i);
	if (m->m)
		smq_group_member_done(m->m);
	free(m->memory);
	m->memory = NULL;
	m->m = NULL;
}

/* ---- life ---- */

static void make_policy(struct sim *s, enum smq_policy_mode mode)
{
	s->policy = (struct smq_policy){ .realm = smq_span_str("world"),
					 .group = smq_span_str(group_name),
					 .number = 1,
					 .filter_count = 1,
					 .filters = { smq_span_str("plant/#") },
					 .mode = mode,
					 .alg = smq_aead_alg_by_id(SMQ_A128GCM),
					 .publisher_count = 1,
					 .subscriber_count = 1,
					 .publishers = { { smq_span_str("*"), 0 } },
					 .subscribers = { { smq_span_str("*"), 0 } },
					 .grace_ms = 5000,
					 .validity_s = 3600,
					 .members_max = 64 };
	if (mode == SMQ_MODE_SLOTTED) {
		s->policy.slot_ms = 1000;
		s->policy.slot_levels = 16;
	}
	encode_policy(s);
}

static void make_desk(struct sim *s)
{
	struct smq_ks_desk_config c = { .crypto = smq_crypto_openssl(),
					.random = smq_random_system(),
					.credentials = &s->world.credentials,
					.own = &server(s)->own,
					.name = server(s)->name,
					.methods_allowed = 0x0f,
					.suites = suites,
					.suite_count = 1,
					.runs_max = 16 };
	size_t size = smq_ks_desk_size(&c);
	s->desk_memory = malloc(size);
	assert_int_equal(smq_ks_desk_init(s->desk_memory, size, &c, &s->desk), SMQ_OK);
}

void sim_init(struct sim *s, enum smq_policy_mode mode)
{
	memset(s, 0, sizeof(*s));
	world_init(&s->world);
	s->world.roles[SIM_SERVER] = SMQ_ROLE_KEYSERVER;
	s->world.roles[SIM_ADMIN] = SMQ_ROLE_ADMIN;
	for (int i = 0; i < WORLD_MEMBERS; i++)
		s->world.members[i].own.id_cred_short = s->world.members[i].own.id_cred_full;
	s->scope = (struct smq_tree_scope){ smq_crypto_openssl(), smq_random_system(), smq_span_str("world"),
					    smq_span_str(group_name) };
	make_policy(s, mode);
	make_desk(s);
	struct smq_keygroup_config g = { &s->scope, mode, 64, 0, 1 };
	size_t size = smq_keygroup_size(&g);
	s->group_memory = malloc(size);
	assert_int_equal(smq_keygroup_init(s->group_memory, size, &g, &s->group), SMQ_OK);
	if (mode == SMQ_MODE_SLOTTED)
		assert_int_equal(smq_slot_tree_init(&s->tree, smq_crypto_openssl(), smq_random_system(), 0, 16),
				 SMQ_OK);
	s->config = (struct smq_group_member_config){ .crypto = smq_crypto_openssl(),
						      .random = smq_random_system(),
						      .credentials = &s->world.credentials,
						      .realm = "world",
						      .prefix = prefix,
						      .group = group_name,
						      .roles = SMQ_JOIN_PUBLISH | SMQ_JOIN_SUBSCRIBE,
						      .suites = suites,
						      .suite_count = 1,
						      .lives_max = 16 };
}

void sim_done(struct sim *s)
{
	for (int i = 1; i < SIM_MEMBERS; i++)
		sim_kill(s, i);
	for (size_t i = 0; i < SIM_RETAINED; i++)
		free(s->retained[i].bytes);
	smq_keygroup_done(s->group);
	smq_ks_desk_done(s->desk);
	smq_slot_tree_done(&s->tree);
	free(s->group_memory);
	free(s->desk_memory);
	world_done(&s->world);
}

/* ---- messages ---- */

smq_err sim_try_seal(struct sim *s, int from, const char *topic, struct sim_message *ret_message)
{
	ret_message->topic = topic;
	return smq_group_member_seal(s->members[from].m, smq_span_str(topic), s->world.now, smq_span_str("13.1"),
				     smq_mspan_of(ret_message->bytes, SIM_ROOM), &ret_message->len);
}

struct sim_message sim_sealed(struct sim *s, int from, const char *text)
{
	struct sim_message m = { .topic = "plant/a" };
	assert_true(smq_group_member_ready(s->members[from].m, s->world.now));
	assert_int_equal(smq_group_member_seal(s->members[from].m, smq_span_str(m.topic), s->world.now,
					       smq_span_str(text), smq_mspan_of(m.bytes, SIM_ROOM), &m.len),
			 SMQ_OK);
	return m;
}

smq_err sim_open_now(struct sim *s, int by, const struct sim_message *m)
{
	uint8_t room[SIM_ROOM];
	struct smq_sealed sealed;
	struct smq_group_member_opened o;
	smq_err err = smq_sealed_decode(smq_span_of(m->bytes, m->len), &sealed);
	if (err == SMQ_OK)
		err = smq_group_member_open(s->members[by].m, &sealed, smq_span_str(m->topic), s->world.now,
					    smq_mspan_of(room, sizeof(room)), &o);
	sim_settle(s);
	return err;
}

smq_err sim_opened(struct sim *s, int by, const struct sim_message *m)
{
	smq_err err = sim_open_now(s, by, m);
	for (int i = 0; i < 30 && err == SMQ_ERR_NO_SESSION; i++) {
		sim_pass(s, 100);
		err = sim_open_now(s, by, m);
	}
	return err;
}
