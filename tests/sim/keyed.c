/*
 * A group with a key server: key tree, manifests, slots. What the core leaves to its owners (what is stored when, what
 * is published, who answers whom) is done here in the plainest way, so that it is the core that is tried.
 */
#include <string.h>

#include "core/keygroup.h"
#include "core/keyschedule.h"
#include "core/keytree_keys.h"
#include "core/manifest_chain.h"
#include "core/reserve.h"
#include "core/slots.h"
#include "sim.h"

enum {
	LEAVES = 16,
	HEIGHT = 2,
	EPOCHS = 3,  /* kept by a member */
	LIVES = 24,  /* senders' windows kept by a member */
	CARDS = 512, /* sender ids ever given out */
	ISSUED_MAX = 512,
	LEVELS = 12,
	SLOTS = 1 << LEVELS,
	SLOT_MS = 5000,
	SKEW_MS = 1500,
	ACTIVATE_MS = 400,
	GRACE_MS = 3000,
	MANIFEST_LIFE_MS = 4000000,
	MEMORY = 64 * 1024,
	SIGNED_MAX = SMQ_MANIFEST_MAX + SMQ_SIGN1_OVERHEAD_MAX,
	SERVER = SIM_MEMBERS /* identity */
};

static const smq_span realm = { (const uint8_t *)"world", 5 }, group = { (const uint8_t *)"temps", 5 };
static const char manifest_topic[] = "k/manifest";

static enum smq_policy_mode mode;
static struct smq_slot_times times;
static struct smq_tree_scope scope;

/* ---- what the oracle knows of the group ---- */

static struct {
	struct {
		uint64_t epoch;
		uint8_t hash[SMQ_HASH_LEN];
		struct smq_tree_key secret;
		uint32_t members; /* who was ever given this epoch's keys, by right */
	} issued[ISSUED_MAX];
	size_t issued_count;
	struct {
		int member;
		uint8_t boot_id[SMQ_BOOT_ID_LEN];
	} cards[CARDS];
	uint8_t granted[SIM_MEMBERS][SLOTS]; /* slotted: whether a slot was ever granted */
} truth;

static size_t issue_of(uint64_t epoch)
{
	size_t i = 0;
	while (i < truth.issued_count && truth.issued[i].epoch != epoch)
		i++;
	return i;
}

/* ---- the key server ---- */

struct server_disk {
	bool written;
	uint64_t epoch, next_sender_id;
	size_t member_count;
	struct smq_keygroup_member members[LEAVES];
	struct smq_tree_node nodes[HEIGHT + 1][LEAVES];
	bool dirty[HEIGHT + 1][LEAVES];
	struct smq_tree_node_message messages[HEIGHT + 1][LEAVES]; /* epoch 0: none */
	uint8_t manifest[SIGNED_MAX];
	size_t manifest_len;
	uint8_t manifest_hash[SMQ_HASH_LEN];
	struct smq_slot_tree slots;
};

static struct {
	bool up, restored;
	smq_keygroup *g;
	_Alignas(max_align_t) uint8_t memory[MEMORY];
	struct server_disk disk, backup, work;
	unsigned crash_at; /* 1: before the next store, 2: after it, 3: half-way through publishing */
} server;

static uint64_t width_at(unsigned h) { return UINT64_C(1) << (2 * (HEIGHT - h)); }

static void server_load(struct sim *s)
{
	struct smq_keygroup_config c = { .scope = &scope,
					 .mode = mode,
					 .members_max = LEAVES,
					 .epoch = server.disk.epoch,
					 .next_sender_id = server.disk.next_sender_id };
	SIM_CHECK(s, smq_keygroup_size(&c) <= MEMORY, "a group takes %zu bytes", smq_keygroup_size(&c));
	SIM_CHECK(s, smq_keygroup_init(server.memory, MEMORY, &c, &server.g) == SMQ_OK, "no key group");
	smq_err err = SMQ_OK;
	bool taken[LEAVES] = { false };
	for (size_t i = 0; i < server.disk.member_count && err == SMQ_OK; i++) {
		err = smq_keygroup_load(server.g, &server.disk.members[i]);
		taken[server.disk.members[i].leaf] = true;
	}
	for (unsigned h = 0; server.disk.written && h <= HEIGHT; h++) {
		for (uint64_t i = 0; i < width_at(h) && err == SMQ_OK; i++) {
			if (h > 0 || taken[i])
				err = smq_keytree_load(smq_keygroup_tree(server.g), h, i, &server.disk.nodes[h][i],
						       server.disk.dirty[h][i]);
		}
	}
	SIM_CHECK(s, err == SMQ_OK, "the key server's state does not load: %s", smq_err_name(err));
	server.work = server.disk;
	server.up = true;
	sim_note(s, "the key server starts at epoch %llu", (unsigned long long)server.disk.epoch);
}

static void server_stop(void)
{
	if (server.up)
		smq_keygroup_done(server.g);
	server.up = false;
}

static void store_member(struct server_disk *k, const struct smq_keygroup_member *m)
{
	size_t i = 0;
	while (i < k->member_count && strcmp(k->members[i].name, m->name) != 0)
		i++;
	if (m->roles)
		k->members[i] = *m;
	else if (i < k->member_count)
		k->members[i] = k->members[k->member_count - 1];
	if (m->roles)
		k->member_count += i == k->member_count;
	else
		k->member_count -= i < k->member_count;
}

/* All of it, as one transaction. */
static void server_store(void)
{
	struct server_disk *k = &server.work;
	struct smq_keygroup_member m;
	const smq_keytree *t = smq_keygroup_tree(server.g);
	while (smq_keygroup_next_changed(server.g, &m))
		store_member(k, &m);
	k->written = true;
	k->epoch = smq_keygroup_epoch(server.g);
	k->next_sender_id = smq_keygroup_next_sender_id(server.g);
	for (unsigned h = 0; h <= HEIGHT; h++) {
		for (uint64_t i = 0; i < width_at(h); i++) {
			k->nodes[h][i] = *smq_keytree_node(t, h, i);
			k->dirty[h][i] = smq_keytree_is_dirty(t, h, i);
		}
	}
	server.disk = *k;
}

static smq_err emit(void *self, const struct smq_tree_node_message *message)
{
	(void)self;
	server.work.messages[message->height][message->index] = *message;
	return SMQ_OK;
}

static void make_manifest(struct sim *s, const struct smq_epoch_keys *keys, int signer, uint64_t previous_epoch,
			  const uint8_t *previous, uint8_t ret_signed[SIGNED_MAX], size_t *ret_len,
			  uint8_t ret_hash[SMQ_HASH_LEN])
{
	uint8_t document[SMQ_MANIFEST_MAX];
	size_t len = 0;
	struct smq_manifest m = { .realm = realm,
				  .group = group,
				  .epoch = keys->epoch,
				  .previous_epoch = previous_epoch,
				  .activate_at_ms = s->now.unix_ms + ACTIVATE_MS,
				  .expires_ms = s->now.unix_ms + MANIFEST_LIFE_MS,
				  .tree_height = keys->height,
				  .member_count = smq_keygroup_member_count(server.g),
				  .root_version = keys->root_version,
				  .policy_number = 1,
				  .mode = mode };
	memcpy(m.commitment, keys->commitment, SMQ_HASH_LEN);
	if (previous_epoch)
		memcpy(m.previous, previous, SMQ_HASH_LEN);
	if (mode == SMQ_MODE_SLOTTED) {
		m.slot_start_ms = times.start_ms;
		m.slot_ms = times.slot_ms;
		m.slot_levels = times.levels;
	}
	smq_err err = smq_manifest_encode(&m, smq_mspan_of(document, sizeof(document)), &len);
	if (err == SMQ_OK)
		err = smq_manifest_hash(s->crypto, smq_span_of(document, len), ret_hash);
	if (err == SMQ_OK)
		err = smq_manifest_sign(smq_span_of(document, len), &sim_identity(s->real, signer)->own,
					smq_mspan_of(ret_signed, SIGNED_MAX), ret_len);
	SIM_CHECK(s, err == SMQ_OK, "no manifest: %s", smq_err_name(err));
}

static void publish_node(struct sim *s, const struct smq_tree_node_message *m)
{
	uint8_t room[SMQ_TREE_NODE_MAX];
	char topic[SIM_TOPIC];
	size_t len = 0;
	SIM_CHECK(s, smq_tree_node_encode(m, smq_mspan_of(room, sizeof(room)), &len) == SMQ_OK, "no node message");
	snprintf(topic, sizeof(topic), "k/node/%u/%llu", m->height, (unsigned long long)m->index);
	bus_publish(s, topic, smq_span_of(room, len), true);
}

/* What is on the disk, and nothing else. */
static void server_publish(struct sim *s, bool half)
{
	for (unsigned h = 1; h <= HEIGHT; h++) {
		for (uint64_t i = 0; i < width_at(h); i++) {
			if (server.disk.messages[h][i].epoch)
				publish_node(s, &server.disk.messages[h][i]);
			if (half && h == 1 && i == 1)
				return;
		}
	}
	if (server.disk.manifest_len)
		bus_publish(s, manifest_topic, smq_span_of(server.disk.manifest, server.disk.manifest_len), true);
}

static void server_crash(struct sim *s)
{
	sim_note(s, "the key server crashes");
	server_stop();
	server_load(s);
}

static void record_issue(struct sim *s, const struct smq_epoch_keys *keys, const uint8_t hash[SMQ_HASH_LEN])
{
	SIM_CHECK(s, issue_of(keys->epoch) == truth.issued_count, "epoch %llu is issued a second time",
		  (unsigned long long)keys->epoch);
	SIM_CHECK(s, truth.issued_count < ISSUED_MAX, "too many epochs for this world");
	truth.issued[truth.issued_count].epoch = keys->epoch;
	memcpy(truth.issued[truth.issued_count].hash, hash, SMQ_HASH_LEN);
	truth.issued[truth.issued_count].secret = keys->secret;
	truth.issued[truth.issued_count].members = 0;
	for (int i = 0; i < SIM_MEMBERS; i++) {
		if (smq_keygroup_find(server.g, smq_span_str(sim_identity(s->real, i)->name)))
			truth.issued[truth.issued_count].members |= UINT32_C(1) << i;
	}
	truth.issued_count++;
}

/* Gathers what waits into one epoch: stored first, then published. Nobody has seen what a crash before that undoes. */
static void server_commit(struct sim *s)
{
	struct smq_epoch_keys keys;
	uint8_t hash[SMQ_HASH_LEN];
	unsigned crash = server.crash_at;
	server.crash_at = 0;
	if (crash == 1) {
		server_crash(s);
		return;
	}
	uint64_t previous = server.disk.manifest_len ? server.disk.epoch : 0;
	smq_err err = smq_keygroup_commit(server.g, smq_keygroup_epoch(server.g) + 1, NULL, emit, &keys);
	SIM_CHECK(s, err == SMQ_OK, "no epoch: %s", smq_err_name(err));
	make_manifest(s, &keys, SERVER, previous, server.disk.manifest_hash, server.work.manifest,
		      &server.work.manifest_len, hash);
	memcpy(server.work.manifest_hash, hash, sizeof(hash));
	record_issue(s, &keys, hash);
	server_store();
	sim_note(s, "epoch %llu", (unsigned long long)keys.epoch);
	if (crash == 2 || crash == 3) {
		if (crash == 3)
			server_publish(s, true);
		server_crash(s);
	}
	server_publish(s, false);
}

/* What waits for an epoch has no place on the disk: it would come back from there as if it had had its epoch. */
static void server_save(struct sim *s)
{
	if (smq_keygroup_is_dirty(server.g))
		server_commit(s);
	else
		server_store();
}

/* ---- a member ---- */

struct epoch_keys {
	uint64_t epoch; /* 0: none */
	uint8_t manifest[SMQ_HASH_LEN];
	struct smq_epoch_secret secret;
	int64_t activate_ms, over_ms; /* by its own clock; over: when it is wiped */
};

struct life {
	bool used;
	uint64_t sender_id;
	uint8_t replay[SMQ_REPLAY_ENCODED_LEN];
};

struct member_disk {
	uint8_t chain[SMQ_MANIFEST_CHAIN_MAX];
	size_t chain_len;
	struct smq_keypath path;
	struct epoch_keys epochs[EPOCHS]; /* newest first */
	struct life lives[LIVES];
	size_t next_life;
	uint64_t slot_floor;
	struct smq_slot_seeds seeds;
};

static struct member {
	bool up, in, wants, expelled, restored;
	uint8_t boot_id[SMQ_BOOT_ID_LEN];
	uint64_t sender_id;
	int64_t until_ms;
	uint64_t next_counter;
	struct smq_manifest_chain chain;
	struct smq_slot_holder slots;
	struct member_disk disk, backup; /* the disk is written before anything follows from it */
	struct smq_tree_node_message nodes[HEIGHT + 1];
	bool has_node[HEIGHT + 1];
	uint8_t manifest[SIGNED_MAX]; /* the newest that is not followed yet */
	size_t manifest_len;
	uint64_t highest; /* epoch ever accepted, for the oracle */
	uint64_t highest_floor;
} members[SIM_MEMBERS];

static void load_chain(struct sim *s, struct member *m)
{
	memset(&m->chain, 0, sizeof(m->chain));
	if (m->disk.chain_len)
		SIM_CHECK(s,
			  smq_manifest_chain_decode(smq_span_of(m->disk.chain, m->disk.chain_len), &m->chain) == SMQ_OK,
			  "a chain does not read back");
	SIM_CHECK(s, m->restored || m->chain.epoch == m->highest, "a chain reads back as of epoch %llu, not %llu",
		  (unsigned long long)m->chain.epoch, (unsigned long long)m->highest);
}

static void load_slots(struct sim *s, struct member *m)
{
	smq_err err = smq_slot_holder_init(&m->slots, s->crypto, 0, LEVELS, m->disk.slot_floor, &m->disk.seeds);
	SIM_CHECK(s, err == SMQ_OK, "no slots: %s", smq_err_name(err));
}

static void start(struct sim *s, int i)
{
	struct member *m = &members[i];
	m->up = true;
	m->in = false;
	m->next_counter = 0;
	m->manifest_len = 0;
	memset(m->has_node, 0, sizeof(m->has_node));
	SIM_CHECK(s, smq_boot_id_new(&s->random, m->boot_id) == SMQ_OK, "no boot id");
	load_chain(s, m);
	m->disk.path.scope = &scope;
	load_slots(s, m);
	sim_note(s, "member %d starts", i);
	bus_send_retained(s, i);
}

static void take_epoch(struct sim *s, int i, const struct smq_manifest_step *step, const struct smq_tree_key *secret)
{
	struct member *m = &members[i];
	struct epoch_keys *e = m->disk.epochs;
	bool same = e[0].epoch == step->manifest.epoch;
	if (!same) {
		e[0].over_ms = step->manifest.activate_at_ms + GRACE_MS;
		memmove(&e[1], &e[0], (EPOCHS - 1) * sizeof(e[0]));
	}
	e[0] = (struct epoch_keys){ .epoch = step->manifest.epoch,
				    .activate_ms = step->manifest.activate_at_ms,
				    .over_ms = INT64_MAX };
	memcpy(e[0].manifest, step->hash, SMQ_HASH_LEN);
	memcpy(e[0].secret.b, secret->b, sizeof(e[0].secret.b));
	m->chain = step->next;
	SIM_CHECK(s,
		  smq_manifest_chain_encode(&m->chain, smq_mspan_of(m->disk.chain, sizeof(m->disk.chain)),
					    &m->disk.chain_len) == SMQ_OK,
		  "a chain does not fit");
	SIM_CHECK(s, m->restored || step->manifest.epoch >= m->highest, "member %d went back from epoch %llu to %llu",
		  i, (unsigned long long)m->highest, (unsigned long long)step->manifest.epoch);
	m->highest = step->manifest.epoch;
	sim_note(s, "member %d is at epoch %llu", i, (unsigned long long)m->highest);
}

static smq_err judge(struct sim *s, int i, smq_span bytes, struct smq_manifest_step *ret_step)
{
	struct smq_sign1 signed_;
	struct smq_credential by;
	smq_err err = smq_sign1_decode(bytes, &signed_);
	if (err == SMQ_OK)
		err = s->credentials.resolve(s->credentials.self, smq_span_of(signed_.id_cred, signed_.id_cred_len),
					     sim_now(s, i).unix_ms, &by);
	if (err == SMQ_OK)
		err = smq_manifest_chain_input(&members[i].chain, s->crypto, bytes, &by, realm, group,
					       sim_now(s, i).unix_ms, ret_step);
	return err;
}

static void check_issued(struct sim *s, int i, const struct smq_manifest_step *step)
{
	size_t at = issue_of(step->manifest.epoch);
	SIM_CHECK(s, at < truth.issued_count && memcmp(truth.issued[at].hash, step->hash, SMQ_HASH_LEN) == 0,
		  "member %d accepted a manifest that was never issued", i);
}

/* With what has come so far. Only what fits the manifest's commitment is believed. */
static void follow(struct sim *s, int i)
{
	struct member *m = &members[i];
	struct smq_manifest_step step;
	struct smq_tree_key secret;
	const struct smq_tree_node_message *messages[SMQ_TREE_HEIGHT_MAX] = { NULL };
	if (!m->in || m->manifest_len == 0 || judge(s, i, smq_span_of(m->manifest, m->manifest_len), &step) != SMQ_OK ||
	    !smq_manifest_is_accepted(step.verdict))
		return;
	check_issued(s, i, &step);
	for (unsigned h = 1; h <= HEIGHT; h++)
		messages[h - 1] = m->has_node[h] ? &m->nodes[h] : NULL;
	smq_err err = smq_keypath_follow(&m->disk.path, step.manifest.epoch, messages, step.manifest.root_version,
					 step.manifest.commitment, &secret);
	if (err == SMQ_OK) {
		size_t at = issue_of(step.manifest.epoch);
		SIM_CHECK(s, truth.issued[at].members >> i & 1, "member %d follows to an epoch it does not belong to",
			  i);
		SIM_CHECK(s, memcmp(secret.b, truth.issued[at].secret.b, sizeof(secret.b)) == 0,
			  "member %d follows to another secret than its epoch's", i);
		take_epoch(s, i, &step, &secret);
		m->manifest_len = 0;
	} else {
		sim_note(s, "member %d does not follow: %s", i, smq_err_name(err));
	}
}

/* ---- joining and leaving: by word of mouth, over what would be an EDHOC session ---- */

static void grant_slots(struct sim *s, int i, const struct smq_grant *g)
{
	struct member *m = &members[i];
	struct smq_slot_seeds seeds, back;
	uint8_t room[SMQ_SLOT_SEEDS_BYTES_MAX];
	uint64_t first, last;
	size_t len = 0;
	smq_err err = smq_slot_interval(&times, g->from_ms, g->until_ms, &first, &last);
	SIM_CHECK(s, err == SMQ_OK && last < SLOTS, "the slots of this world are over");
	err = smq_slot_cover(&server.disk.slots, first, last, &seeds);
	if (err == SMQ_OK)
		err = smq_slot_seeds_encode(&seeds, smq_mspan_of(room, sizeof(room)), &len);
	if (err == SMQ_OK)
		err = smq_slot_seeds_decode(smq_span_of(room, len), LEVELS, &back);
	SIM_CHECK(s, err == SMQ_OK, "no seeds: %s", smq_err_name(err));
	for (int64_t slot = (g->from_ms - times.start_ms) / SLOT_MS; times.start_ms + slot * SLOT_MS < g->until_ms;
	     slot++)
		truth.granted[i][slot] = 1;
	m->disk.seeds = back;
	m->until_ms = g->until_ms;
	load_slots(s, m);
}

/* From what a newcomer is given, no secret of an epoch before it follows. */
static void check_no_way_back(struct sim *s, int i, const struct smq_grant *g)
{
	struct smq_tree_key secret;
	for (size_t n = 0; n < truth.issued_count; n++) {
		if (truth.issued[n].epoch >= g->epoch || truth.issued[n].members >> i & 1 ||
		    smq_epoch_secret(&scope, &g->path[g->height].key, truth.issued[n].epoch, &secret) != SMQ_OK)
			continue;
		SIM_CHECK(s,
			  mode != SMQ_MODE_UPDATE || memcmp(secret.b, truth.issued[n].secret.b, sizeof(secret.b)) != 0,
			  "member %d can derive epoch %llu, which was before its time", i,
			  (unsigned long long)truth.issued[n].epoch);
	}
}

static void take_grant(struct sim *s, int i, const struct smq_grant *g)
{
	struct member *m = &members[i];
	struct smq_manifest_step step;
	struct smq_tree_key secret;
	uint8_t made[SMQ_HASH_LEN];
	size_t at = issue_of(g->epoch);
	smq_err err = judge(s, i, smq_span_of(server.disk.manifest, server.disk.manifest_len), &step);
	SIM_CHECK(s, err == SMQ_OK && step.manifest.epoch == g->epoch, "a grant without its manifest");
	if (!smq_manifest_is_accepted(step.verdict) && step.verdict != SMQ_MANIFEST_SAME)
		return; /* its clock is wrong, or its disk is ahead of a restored server's */
	err = smq_epoch_secret(&scope, &g->path[g->height].key, g->epoch, &secret);
	if (err == SMQ_OK)
		err = smq_epoch_commitment(&scope, &secret, g->epoch, made);
	SIM_CHECK(s, err == SMQ_OK && memcmp(made, step.manifest.commitment, sizeof(made)) == 0,
		  "a grant does not fit its manifest");
	SIM_CHECK(s, mode != SMQ_MODE_UPDATE || truth.issued[at].members >> i & 1,
		  "member %d is given an epoch that began before it came", i);
	check_no_way_back(s, i, g);
	truth.issued[at].members |= UINT32_C(1) << i;
	m->disk.path = (struct smq_keypath){ .scope = &scope, .leaf = g->leaf, .height = g->height, .epoch = g->epoch };
	memcpy(m->disk.path.nodes, g->path, sizeof(g->path));
	memset(m->has_node, 0, sizeof(m->has_node)); /* what was kept may be of another leaf's path */
	m->sender_id = g->sender_id;
	take_epoch(s, i, &step, &secret);
	if (mode == SMQ_MODE_SLOTTED)
		grant_slots(s, i, g);
	m->in = true;
}

static void ask_to_join(struct sim *s, int i)
{
	struct member *m = &members[i];
	struct smq_grant grant;
	bool pending = false;
	const int64_t lease_ms = 20000 + 7000 * i;
	struct smq_join join = { .name = smq_span_str(sim_identity(s->real, i)->name),
				 .roles = SMQ_JOIN_PUBLISH | SMQ_JOIN_SUBSCRIBE,
				 .from_ms = s->now.unix_ms,
				 .until_ms = mode == SMQ_MODE_SLOTTED ? s->now.unix_ms + lease_ms : SMQ_NO_END };
	if (!server.up || !m->up || m->expelled || s->cut_off[i])
		return;
	memcpy(join.boot_id, m->boot_id, sizeof(join.boot_id));
	bool others_wait = smq_keygroup_is_dirty(server.g);
	smq_err err = smq_keygroup_join(server.g, &join, &pending);
	SIM_CHECK(s, err == SMQ_OK, "a join fails: %s", smq_err_name(err));
	const struct smq_keygroup_member *found = smq_keygroup_find(server.g, join.name);
	SIM_CHECK(s, found->sender_id < CARDS, "too many sender ids for this world");
	SIM_CHECK(s,
		  truth.cards[found->sender_id].member < 0 ||
		      (truth.cards[found->sender_id].member == i &&
		       memcmp(truth.cards[found->sender_id].boot_id, m->boot_id, SMQ_BOOT_ID_LEN) == 0) ||
		      pending,
		  "a sender id is given out twice");
	if (!pending) {
		/* before the grant; it may crash there */
		if (others_wait)
			server_commit(s);
		else
			server_store();
		found = smq_keygroup_find(server.g, join.name);
		if (found && memcmp(found->boot_id, m->boot_id, SMQ_BOOT_ID_LEN) == 0 && server.disk.manifest_len &&
		    smq_keygroup_grant(server.g, join.name, &grant) == SMQ_OK) {
			truth.cards[found->sender_id].member = i;
			memcpy(truth.cards[found->sender_id].boot_id, m->boot_id, SMQ_BOOT_ID_LEN);
			take_grant(s, i, &grant);
			memset(&grant, 0, sizeof(grant));
		}
	}
}

/* ---- sealing and opening ---- */

static void set_context(const struct sim *s, uint64_t sender_id, const struct epoch_keys *e, uint64_t slot,
			struct smq_seal_context *c)
{
	*c = (struct smq_seal_context){
		.kind = mode == SMQ_MODE_SLOTTED ? SMQ_SEALED_SLOT : SMQ_SEALED_GROUP,
		.alg = smq_aead_alg_by_id(SMQ_A128GCM),
		.realm = realm,
		.group = group,
		.sender = smq_span_str(sim_identity(s->real, truth.cards[sender_id].member)->name),
		.epoch = e->epoch,
		.slot = slot,
		.sender_id = sender_id,
	};
	memcpy(c->manifest, e->manifest, SMQ_HASH_LEN);
	memcpy(c->boot_id, truth.cards[sender_id].boot_id, SMQ_BOOT_ID_LEN);
}

static smq_err traffic_of(const struct sim *s, struct member *m, const struct epoch_keys *e, uint64_t slot,
			  struct smq_traffic_secret *ret)
{
	struct smq_slot_key key;
	if (mode != SMQ_MODE_SLOTTED)
		return smq_group_traffic_secret(s->crypto, &e->secret, realm, group, e->epoch, ret);
	smq_err err = smq_slot_holder_key(&m->slots, slot, &key);
	return err != SMQ_OK ? err
			     : smq_slot_traffic_secret(s->crypto, &e->secret, &key, realm, group, e->epoch, slot, ret);
}

static const struct epoch_keys *active_epoch(const struct member *m, int64_t unix_ms)
{
	const struct epoch_keys *e = m->disk.epochs;
	if (e[0].epoch && e[0].activate_ms <= unix_ms)
		return &e[0];
	return e[1].epoch && e[1].over_ms > unix_ms ? &e[1] : NULL;
}

static bool say(struct sim *s, int i, int variant)
{
	struct member *m = &members[i];
	struct smq_seal_context c;
	struct smq_traffic_secret secret;
	struct smq_sealer sealer;
	char topic[SIM_TOPIC], text[SIM_TEXT];
	uint8_t room[256];
	uint64_t slot = 0;
	size_t len = 0;
	int64_t unix_ms = sim_now(s, i).unix_ms;
	const struct epoch_keys *e = active_epoch(m, unix_ms);
	if (!m->up || !m->in || !e || (mode == SMQ_MODE_SLOTTED && smq_slot_at(&times, unix_ms, &slot) != SMQ_OK) ||
	    traffic_of(s, m, e, slot, &secret) != SMQ_OK)
		return false;
	snprintf(topic, sizeof(topic), "g/%d", variant);
	oracle_publish(s, i, UINT64_MAX, topic, text);
	set_context(s, m->sender_id, e, slot, &c);
	smq_err err = smq_sealer_init(&sealer, s->crypto, &secret, &c);
	SIM_CHECK(s, err == SMQ_OK, "no sealer: %s", smq_err_name(err));
	sealer.next_counter = sealer.first_counter = m->next_counter;
	err = smq_seal(&sealer, smq_span_str(topic), -1, smq_span_str(text), smq_mspan_of(room, sizeof(room)), &len);
	m->next_counter = sealer.next_counter;
	smq_sealer_done(&sealer);
	SIM_CHECK(s, err == SMQ_OK, "does not seal: %s", smq_err_name(err));
	oracle_sealed(s, smq_span_of(room, len));
	bus_publish(s, topic, smq_span_of(room, len), false);
	return true;
}

static struct life *life_of(struct sim *s, struct member *m, uint64_t sender_id)
{
	for (size_t i = 0; i < LIVES; i++) {
		if (m->disk.lives[i].used && m->disk.lives[i].sender_id == sender_id)
			return &m->disk.lives[i];
	}
	SIM_CHECK(s, m->disk.next_life < LIVES, "too many lives for this world");
	struct smq_replay fresh = { 0 };
	struct life *l = &m->disk.lives[m->disk.next_life++];
	*l = (struct life){ .used = true, .sender_id = sender_id };
	smq_replay_encode(&fresh, l->replay);
	return l;
}

static const struct epoch_keys *epoch_for(const struct member *m, uint64_t epoch, int64_t unix_ms)
{
	for (int n = 0; n < EPOCHS; n++) {
		const struct epoch_keys *e = &m->disk.epochs[n];
		if (e->epoch == epoch && e->epoch != 0 && unix_ms < e->over_ms)
			return e;
	}
	return NULL;
}

/* What was opened was by right: this member was given this epoch, and this slot. */
static void check_right(struct sim *s, int i, const struct smq_sealed *m)
{
	size_t at = issue_of(m->epoch);
	SIM_CHECK(s, at < truth.issued_count && truth.issued[at].members >> i & 1,
		  "member %d opened epoch %llu, to which it does not belong", i, (unsigned long long)m->epoch);
	SIM_CHECK(s, mode != SMQ_MODE_SLOTTED || truth.granted[i][m->slot % SLOTS],
		  "member %d opened slot %llu, which it was not granted", i, (unsigned long long)m->slot);
	SIM_CHECK(s, mode != SMQ_MODE_SLOTTED || members[i].restored || m->slot >= members[i].highest_floor,
		  "member %d opened slot %llu again, which was over", i, (unsigned long long)m->slot);
}

static void receive_sealed(struct sim *s, int i, const char *topic, smq_span payload)
{
	struct member *m = &members[i];
	struct smq_now now = sim_now(s, i);
	struct smq_sealed sealed;
	struct smq_seal_context c;
	struct smq_traffic_secret secret;
	struct smq_opener opener;
	uint8_t room[SIM_PAYLOAD];
	size_t len = 0;
	const enum smq_sealed_kind kind = mode == SMQ_MODE_SLOTTED ? SMQ_SEALED_SLOT : SMQ_SEALED_GROUP;
	if (smq_sealed_decode(payload, &sealed) != SMQ_OK || sealed.kind != kind || sealed.sender_id >= CARDS ||
	    truth.cards[sealed.sender_id].member < 0)
		return;
	const struct epoch_keys *e = epoch_for(m, sealed.epoch, now.unix_ms);
	if (!e || (kind == SMQ_SEALED_SLOT && !smq_slot_is_due(&times, sealed.slot, now.unix_ms)) ||
	    traffic_of(s, m, e, sealed.slot, &secret) != SMQ_OK)
		return;
	struct life *l = life_of(s, m, sealed.sender_id);
	set_context(s, sealed.sender_id, e, sealed.slot, &c);
	SIM_CHECK(s, smq_opener_init(&opener, s->crypto, &secret, &c) == SMQ_OK, "no opener");
	SIM_CHECK(s, smq_replay_decode(smq_span_of(l->replay, sizeof(l->replay)), &opener.replay) == SMQ_OK,
		  "a window does not read back");
	smq_err err = smq_open(&opener, &sealed, smq_span_str(topic), smq_mspan_of(room, sizeof(room)), &len, NULL);
	smq_replay_encode(&opener.replay, l->replay);
	smq_opener_done(&opener);
	if (err != SMQ_OK) {
		sim_note(s, "member %d: %s", i, smq_err_name(err));
		return;
	}
	check_right(s, i, &sealed);
	oracle_delivered(s, i, sim_identity(s->real, truth.cards[sealed.sender_id].member)->name, topic,
			 smq_span_of(room, len), m->restored);
}

static void receive(struct sim *s, int i, const char *topic, smq_span payload, bool retained)
{
	struct member *m = &members[i];
	struct smq_tree_node_message node;
	(void)retained;
	if (topic[0] == 'g') {
		receive_sealed(s, i, topic, payload);
	} else if (strcmp(topic, manifest_topic) == 0) {
		struct smq_manifest_step step;
		if (payload.len > sizeof(m->manifest) || judge(s, i, payload, &step) != SMQ_OK)
			return;
		sim_note(s, "member %d: manifest of epoch %llu: %s", i, (unsigned long long)step.manifest.epoch,
			 smq_manifest_verdict_name(step.verdict));
		SIM_CHECK(s, !smq_manifest_is_accepted(step.verdict) || step.manifest.epoch > m->chain.epoch,
			  "member %d would go back from epoch %llu to %llu", i, (unsigned long long)m->chain.epoch,
			  (unsigned long long)step.manifest.epoch);
		if (!smq_manifest_is_accepted(step.verdict))
			return;
		memcpy(m->manifest, payload.p, payload.len);
		m->manifest_len = payload.len;
		follow(s, i);
	} else if (smq_tree_node_decode(payload, &node) == SMQ_OK && node.height >= 1 && node.height <= HEIGHT &&
		   node.index == smq_keypath_index(&m->disk.path, node.height)) {
		m->nodes[node.height] = node;
		m->has_node[node.height] = true;
		follow(s, i);
	}
}

static bool reads(struct sim *s, int i, const char *topic)
{
	(void)s, (void)topic;
	return i < SIM_MEMBERS && members[i].up;
}

/* ---- life ---- */

static void up(struct sim *s, struct dice *d)
{
	static const enum smq_policy_mode modes[] = { SMQ_MODE_STATIC, SMQ_MODE_UPDATE, SMQ_MODE_SLOTTED };
	memset(&truth, 0, sizeof(truth));
	memset(members, 0, sizeof(members));
	memset(&server, 0, sizeof(server));
	for (size_t i = 0; i < CARDS; i++)
		truth.cards[i].member = -1;
	mode = modes[dice_below(d, 3)];
	scope = (struct smq_tree_scope){ s->crypto, &s->random, realm, group };
	times = (struct smq_slot_times){
		.start_ms = s->now.unix_ms - 2000, .slot_ms = SLOT_MS, .levels = LEVELS, .skew_ms = SKEW_MS
	};
	SIM_CHECK(s, smq_slot_tree_init(&server.disk.slots, s->crypto, &s->random, 0, LEVELS) == SMQ_OK, "no slots");
	server_load(s);
	server_commit(s);
	server.backup = server.disk;
	for (int i = 0; i < SIM_MEMBERS; i++) {
		start(s, i);
		members[i].backup = members[i].disk;
		members[i].wants = i < 3;
	}
}

static void down(struct sim *s)
{
	(void)s;
	server_stop();
	for (int i = 0; i < SIM_MEMBERS; i++)
		smq_slot_holder_done(&members[i].slots);
}

static void tick(struct sim *s)
{
	for (int i = 0; i < SIM_MEMBERS; i++) {
		struct member *m = &members[i];
		int64_t unix_ms = sim_now(s, i).unix_ms;
		if (m->in && mode == SMQ_MODE_SLOTTED) {
			uint64_t floor = smq_slot_floor(&times, unix_ms);
			SIM_CHECK(s, smq_slot_holder_forget(&m->slots, floor) == SMQ_OK, "slots are not forgotten");
			m->disk.slot_floor = m->slots.floor;
			m->disk.seeds = m->slots.seeds;
			int64_t over =
			    unix_ms - SKEW_MS - times.start_ms; /* slots that end before then are over for good */
			if (over > 0 && (uint64_t)over / SLOT_MS > m->highest_floor)
				m->highest_floor = (uint64_t)over / SLOT_MS;
			if (m->until_ms <= s->now.unix_ms)
				m->in = false; /* its lease is over: it asks again, if it still wants to */
		}
		if (m->wants && !m->in)
			ask_to_join(s, i);
	}
}

/* ---- what happens ---- */

static void op_say(struct sim *s, struct dice *d)
{
	for (uint64_t n = 1 + dice_below(d, 5); n > 0; n--)
		say(s, (int)dice_below(d, SIM_MEMBERS), (int)dice_below(d, 3));
}

static void op_join(struct sim *s, struct dice *d)
{
	int i = (int)dice_below(d, SIM_MEMBERS);
	members[i].wants = !members[i].expelled;
	ask_to_join(s, i);
}

static bool leave(struct sim *s, int i, bool expelled, bool *ret_moves)
{
	return smq_keygroup_leave(server.g, smq_span_str(sim_identity(s->real, i)->name), expelled, ret_moves) ==
	       SMQ_OK;
}

static void op_leave(struct sim *s, struct dice *d)
{
	int i = (int)dice_below(d, SIM_MEMBERS);
	bool moves = false, expelled = dice_one_in(d, 2);
	if (!leave(s, i, expelled, &moves))
		return;
	SIM_CHECK(s, moves == (expelled || mode == SMQ_MODE_UPDATE), "a leave of this kind does not move the epoch");
	sim_note(s, "member %d %s", i, expelled ? "is expelled" : "leaves");
	members[i].wants = false; /* it stays connected, and keeps what it had */
	members[i].expelled |= expelled;
	server_save(s);
}

static void op_commit(struct sim *s, struct dice *d)
{
	if (!smq_keygroup_is_dirty(server.g) && dice_one_in(d, 2))
		smq_keygroup_rotate(server.g);
	server_commit(s);
}

static void op_lapse(struct sim *s, struct dice *d)
{
	(void)d;
	if (smq_keygroup_lapse(server.g, s->now.unix_ms) > 0)
		server_save(s);
}

static void op_crash(struct sim *s, struct dice *d) { start(s, (int)dice_below(d, SIM_MEMBERS)); }

static void op_restore(struct sim *s, struct dice *d)
{
	int i = (int)dice_below(d, SIM_MEMBERS);
	if (dice_one_in(d, 2)) {
		members[i].backup = members[i].disk;
		return;
	}
	members[i].disk = members[i].backup;
	members[i].restored = true;
	start(s, i);
}

/* A device is stolen: what it holds must not open what the broker kept of former epochs. A backup that was put back
 * has brought former keys with it, though, and there is no help against that but to keep backups well. */
static void op_steal(struct sim *s, struct dice *d)
{
	int i = (int)dice_below(d, SIM_MEMBERS);
	const struct smq_keypath *p = &members[i].disk.path;
	size_t have = s->archive_count < ARCHIVE_MAX ? s->archive_count : ARCHIVE_MAX;
	for (size_t n = 0; p->epoch > 0 && !members[i].restored && !server.restored && n < have; n++) {
		struct smq_tree_node_message m;
		struct smq_tree_key key;
		const struct bus_message *kept = &s->archive[n];
		if (kept->topic[0] != 'k' ||
		    smq_tree_node_decode(smq_span_of(kept->payload, kept->len), &m) != SMQ_OK || m.height < 1 ||
		    m.height > p->height || m.epoch > p->epoch || m.index != smq_keypath_index(p, m.height))
			continue;
		struct smq_tree_node child = p->nodes[m.height - 1];
		unsigned number = (unsigned)(smq_keypath_index(p, m.height - 1) % SMQ_TREE_ARITY);
		SIM_CHECK(s,
			  !m.wraps[number].there ||
			      smq_tree_ratchet(s->crypto, &child, m.wraps[number].version) != SMQ_OK ||
			      smq_tree_unwrap(&scope, &child, &m, number, &key) != SMQ_OK,
			  "what was stolen from member %d at epoch %llu opens what was published for epoch %llu", i,
			  (unsigned long long)p->epoch, (unsigned long long)m.epoch);
	}
}

static void op_crash_server(struct sim *s, struct dice *d)
{
	uint64_t how = dice_below(d, 4);
	if (how == 0) {
		server_crash(s);
		server_publish(s, false);
	} else {
		server.crash_at = (unsigned)how;
	}
}

/* A restored server knows that it was restored, and jumps. */
static void op_restore_server(struct sim *s, struct dice *d)
{
	if (dice_one_in(d, 2)) {
		server.backup = server.disk;
		return;
	}
	server_stop();
	server.disk = server.backup;
	server.restored = true;
	server.disk.epoch += 1000 * (1 + truth.issued_count);
	server.disk.next_sender_id = 0;
	for (size_t i = 0; i < CARDS; i++) {
		if (truth.cards[i].member >= 0)
			server.disk.next_sender_id = i + 1;
	}
	/* Whoever joined since the backup holds inner keys that the backup holds too, and may have been expelled since.
	 */
	for (unsigned h = 1; h <= HEIGHT; h++)
		memset(server.disk.dirty[h], true, sizeof(server.disk.dirty[h]));
	server_load(s);
	for (int i = 0; i < SIM_MEMBERS; i++) {
		bool moves;
		if (members[i].expelled)
			leave(s, i, true, &moves);
	}
	smq_keygroup_rotate(server.g);
	server.crash_at = 0; /* until this is done it serves nobody */
	server_commit(s);
}

/* A manifest with another content for an epoch that is there, by the key server itself or by a mere member. */
static void op_forge(struct sim *s, struct dice *d)
{
	struct smq_epoch_keys keys = { .height = HEIGHT };
	uint8_t bytes[SIGNED_MAX], hash[SMQ_HASH_LEN];
	size_t len = 0;
	struct bus_message m = { .retain = false };
	int by_member = (int)dice_below(d, SIM_MEMBERS);
	bool fork = dice_one_in(d, 2);
	uint64_t at = server.disk.epoch;
	keys.epoch = fork ? at : at + 1;
	keys.commitment[0] = (uint8_t)dice_roll(d);
	make_manifest(s, &keys, fork ? SERVER : by_member, fork ? at - 1 : at, server.disk.manifest_hash, bytes, &len,
		      hash);
	snprintf(m.topic, sizeof(m.topic), "%s", manifest_topic);
	for (int i = 0; i < SIM_MEMBERS; i++) {
		/* a member that is behind has nothing to hold a fork of its server's against */
		if (members[i].up && members[i].in && (!fork || members[i].chain.epoch == at))
			receive(s, i, m.topic, smq_span_of(bytes, len), false);
	}
}

/* ---- calm ---- */

static void everybody_hears_everybody(struct sim *s)
{
	uint32_t in = 0;
	for (int i = 0; i < SIM_MEMBERS; i++) {
		SIM_CHECK(s, !members[i].wants || members[i].in, "in calm, member %d is not in", i);
		SIM_CHECK(s, !members[i].in || members[i].chain.epoch == server.disk.epoch,
			  "in calm, member %d is at epoch %llu of %llu", i, (unsigned long long)members[i].chain.epoch,
			  (unsigned long long)server.disk.epoch);
		in |= members[i].wants ? UINT32_C(1) << i : 0;
	}
	for (int i = 0; i < SIM_MEMBERS; i++) {
		if (!(in >> i & 1))
			continue;
		SIM_CHECK(s, say(s, i, 7), "in calm, member %d cannot say anything", i);
		bus_deliver_all(s);
		SIM_CHECK(s, oracle_reached(s, s->text_count - 1, in), "in calm, not everybody heard member %d", i);
	}
}

static void calm(struct sim *s)
{
	/* a clock that was ahead has closed slots that are still to come */
	for (int i = 0; i < SIM_MEMBERS; i++) {
		int64_t open = smq_slot_begins_ms(&times, members[i].disk.slot_floor);
		if (mode == SMQ_MODE_SLOTTED && open > s->now.unix_ms)
			s->now.unix_ms = open;
	}
	s->now.mono_ms += 1;
	server.crash_at = 0;
	for (int round = 0; round < 3; round++) {
		smq_keygroup_rotate(server.g);
		server_commit(s);
		bus_deliver_all(s);
		for (int i = 0; i < SIM_MEMBERS; i++) {
			/* whoever was too far behind, or was led astray, asks anew, once: that is what resync is for */
			if (members[i].chain.epoch != server.disk.epoch && round == 0)
				members[i].in = false;
			bus_send_retained(s, i);
		}
		tick(s);
		server_commit(s);
		bus_deliver_all(s);
		s->now.mono_ms += 2 * ACTIVATE_MS;
		s->now.unix_ms += 2 * ACTIVATE_MS;
		tick(s);
		everybody_hears_everybody(s);
	}
}

static const struct sim_op ops[] = {
	{ "say", 30, op_say },
	{ "join", 8, op_join },
	{ "leave", 5, op_leave },
	{ "commit", 7, op_commit },
	{ "lapse", 2, op_lapse },
	{ "crash", 3, op_crash },
	{ "restore", 2, op_restore },
	{ "crash server", 4, op_crash_server },
	{ "restore server", 1, op_restore_server },
	{ "forge", 3, op_forge },
	{ "steal", 3, op_steal },
};

const struct scenario scenario_keyed = { .name = "keyed",
					 .ops = ops,
					 .op_count = SMQ_COUNT(ops),
					 .up = up,
					 .receive = receive,
					 .reads = reads,
					 .tick = tick,
					 .calm = calm,
					 .down = down };
