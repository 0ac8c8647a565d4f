/*
 * The real thing together: key server, admin and members of a group, each with its own code, over the hostile broker;
 * disks that fail in the middle of a write, and are put back from a backup.
 */
#include <string.h>

#include "app/keyserver.h"
#include "base/text.h"
#include "core/group_member.h"
#include "core/manifest_chain.h"
#include "core/policy.h"
#include "items.h"
#include "sim.h"
#include "wire/ks_topics.h"
#include "wire/registered_key.h"

enum {
	PEOPLE = 4,
	RAW = 2 /* who has a registered key and no certificate, in every other schedule */,
	TOPICS = 160,
	FLOORS = 64,
	HELD = 24,
	SERVER = SIM_MEMBERS,
	ADMIN = SIM_MEMBERS + 1,
	IDS = 128
};

static const char realm[] = "world", group[] = "temps", prefix[] = "c";
static const int suites[] = { 2 };
static struct sim *world; /* for the ports that have no self */

/* ---- people ---- */

struct floor {
	uint64_t sender_id;
	uint8_t boot_id[SMQ_BOOT_ID_LEN];
	uint64_t floor;
};

struct member_disk {
	uint8_t state[SMQ_GROUP_STATE_MAX];
	size_t state_len;
	struct floor floors[FLOORS];
	size_t floor_count;
};

static struct person {
	bool up, crashed, restored;
	smq_group_member *m;
	void *memory;
	struct smq_group_keep keep;
	struct smq_group_windows windows;
	struct member_disk disk, backup;
	unsigned crash_in, failing; /* writes */
	bool written_though;
	bool behind;
	char topics[TOPICS][SIM_TOPIC];
	size_t topic_count;
	struct bus_message held[HELD];
	int64_t held_since[HELD];
	size_t held_count;
	/* with a registered key */
	struct smq_own_credential own;
	struct smq_credential raw;
	uint8_t id_cred[SMQ_REGISTERED_ID_CRED_LEN];
	struct smq_credentials credentials;
	/* for the oracle */
	bool out, asked_to_go;
	bool meddled;           /* somebody with its key talked to the key server besides it */
	uint64_t first_epoch;   /* of its first grant; 0: none */
	uint64_t expelled_from; /* this epoch on it may open nothing; 0: it was not expelled */
} people[PEOPLE];

static struct smq_group_member_config member_config;

static struct {
	struct smq_keyserver *ks;
	struct item_store store;
	struct items backup;
	uint64_t expelled_backup[PEOPLE];
	uint64_t ids[IDS], id_count, published;
	bool rival, restored, hears;
	uint64_t epoch; /* the newest that it told of or published */
	int64_t up_again_ms;
} server;

static struct {
	struct smq_ks_asker_config config;
	struct smq_ks_asker asker;
	uint8_t request[SMQ_KS_REQUEST_MAX];
	size_t request_len;
	bool asking;
	bool raw;   /* whether there is somebody with a registered key */
	int expels; /* whom; -1: nobody */
	bool done;  /* the key server has said so, to itself */
	int64_t since_ms;
	smq_err status;
	struct smq_policy policy;
} admin;

/* Whoever has a key that the realm vouches for, and asks what members and admins would not. */
static struct {
	struct smq_ks_asker_config config;
	struct smq_ks_asker asker;
	int who;
	bool asking;
	uint8_t request[1024];
	size_t request_len;
	char topic[SIM_TOPIC]; /* of its answers */
} stranger;

static struct {
	uint64_t epoch;
	uint8_t hash[SMQ_HASH_LEN];
} issued[1024];
static size_t issued_count;

/* ---- a member's disk ---- */

/* Whether a write goes well; *ret_done: whether it reaches the disk. */
static bool write_goes(struct person *p, bool *ret_done)
{
	bool crash = p->crash_in > 0 && --p->crash_in == 0;
	bool fail = crash || p->crashed || p->failing > 0;
	p->failing -= p->failing > 0;
	*ret_done = !p->crashed && (!fail || p->written_though);
	p->crashed |= crash;
	return !fail;
}

static smq_err load_state(void *self, smq_mspan room, size_t *ret_len)
{
	const struct person *p = self;
	if (p->disk.state_len == 0)
		return SMQ_ERR_NOT_FOUND;
	if (p->disk.state_len > room.len)
		return SMQ_ERR_NO_ROOM;
	memcpy(room.p, p->disk.state, p->disk.state_len);
	*ret_len = p->disk.state_len;
	return SMQ_OK;
}

static smq_err save_state(void *self, smq_span state)
{
	struct person *p = self;
	bool done;
	bool good = write_goes(p, &done);
	if (done) {
		memcpy(p->disk.state, state.p, state.len);
		p->disk.state_len = state.len;
	}
	return good ? SMQ_OK : SMQ_ERR_IO;
}

/* Every second one is written at once; the others, had they been begun, were lost. */
static smq_err save_state_behind(void *self, smq_span state)
{
	struct person *p = self;
	p->behind = !p->behind;
	return p->behind ? SMQ_OK : save_state(self, state);
}

static struct floor *floor_of(struct person *p, uint64_t sender_id, const uint8_t *boot_id)
{
	for (size_t i = 0; i < p->disk.floor_count; i++) {
		struct floor *f = &p->disk.floors[i];
		if (f->sender_id == sender_id && memcmp(f->boot_id, boot_id, SMQ_BOOT_ID_LEN) == 0)
			return f;
	}
	return NULL;
}

static smq_err load_floor(void *self, uint64_t sender_id, const uint8_t boot_id[SMQ_BOOT_ID_LEN], uint64_t *ret_floor)
{
	const struct floor *f = floor_of(self, sender_id, boot_id);
	if (!f)
		return SMQ_ERR_NOT_FOUND;
	*ret_floor = f->floor;
	return SMQ_OK;
}

static smq_err save_floor(void *self, uint64_t sender_id, const uint8_t boot_id[SMQ_BOOT_ID_LEN], uint64_t floor)
{
	struct person *p = self;
	struct floor *f = floor_of(p, sender_id, boot_id);
	bool done;
	bool good = write_goes(p, &done);
	if (done && !f) {
		SIM_CHECK(world, p->disk.floor_count < FLOORS, "too many floors for this world");
		f = &p->disk.floors[p->disk.floor_count++];
		*f = (struct floor){ .sender_id = sender_id };
		memcpy(f->boot_id, boot_id, SMQ_BOOT_ID_LEN);
	}
	if (done && floor > f->floor)
		f->floor = floor;
	return good ? SMQ_OK : SMQ_ERR_IO;
}

/* Every second one is written at once; the others, had they been begun, were lost. */
static void save_floor_behind(void *self, uint64_t sender_id, const uint8_t boot_id[SMQ_BOOT_ID_LEN], uint64_t floor)
{
	if (floor % 2 == 0)
		(void)!save_floor(self, sender_id, boot_id, floor);
}

static smq_err settle_floor(void *self, uint64_t sender_id, const uint8_t boot_id[SMQ_BOOT_ID_LEN], uint64_t written,
			    uint64_t floor)
{
	struct floor *f = floor_of(self, sender_id, boot_id);
	bool done;
	bool good = write_goes(self, &done);
	if (done && f && f->floor == written)
		f->floor = floor;
	return good ? SMQ_OK : SMQ_ERR_IO;
}

/* ---- a member at work ---- */

static void work(struct sim *s, int i);

static void subscribe(struct sim *s, int i, const char *topic)
{
	struct person *p = &people[i];
	size_t n = 0;
	while (n < p->topic_count && strcmp(p->topics[n], topic) != 0)
		n++;
	SIM_CHECK(s, n < TOPICS, "too many topics for this world");
	snprintf(p->topics[n], sizeof(p->topics[n]), "%s", topic);
	p->topic_count += n == p->topic_count;
	for (size_t r = 0; r < s->retained_count && !s->cut_off[i]; r++) {
		struct bus_message m;
		if (strcmp(s->retained[r].topic, topic) != 0)
			continue;
		bus_copy(&m, &s->retained[r]);
		(void)smq_group_member_input(p->m, m.topic, smq_span_of(m.payload, m.len), true, sim_now(s, i));
	}
}

static void unsubscribe(int i, const char *topic)
{
	struct person *p = &people[i];
	for (size_t n = 0; n < p->topic_count; n++) {
		if (strcmp(p->topics[n], topic) == 0) {
			memmove(p->topics[n], p->topics[--p->topic_count], SIM_TOPIC);
			return;
		}
	}
}

static bool open_one(struct sim *s, int i, const char *topic, smq_span payload)
{
	struct person *p = &people[i];
	struct smq_sealed sealed;
	struct smq_group_member_opened o;
	uint8_t room[SIM_PAYLOAD];
	smq_err err = smq_sealed_decode(payload, &sealed);
	if (err == SMQ_OK)
		err = smq_group_member_open(p->m, &sealed, smq_span_str(topic), sim_now(s, i),
					    smq_mspan_of(room, sizeof(room)), &o);
	SIM_CHECK(s, err != SMQ_ERR_BUG && err != SMQ_ERR_CRYPTO && err != SMQ_ERR_CORRUPT, "member %d: %s", i,
		  smq_err_name(err));
	if (err != SMQ_OK)
		sim_note(s, "member %d: %s", i, smq_err_name(err));
	if (err != SMQ_OK || p->crashed)
		return err != SMQ_ERR_NO_SESSION;
	SIM_CHECK(s, p->expelled_from == 0 || sealed.epoch < p->expelled_from,
		  "member %d opened epoch %llu, and was expelled from %llu on", i, (unsigned long long)sealed.epoch,
		  (unsigned long long)p->expelled_from);
	SIM_CHECK(s, p->first_epoch != 0 && sealed.epoch >= p->first_epoch,
		  "member %d opened epoch %llu, and came with %llu", i, (unsigned long long)sealed.epoch,
		  (unsigned long long)p->first_epoch);
	oracle_delivered(s, i, o.sender, topic, smq_span_of(room, o.len), p->restored);
	return true;
}

static void hold(struct person *p, const char *topic, smq_span payload, int64_t now_ms)
{
	if (p->held_count == HELD)
		return;
	struct bus_message *m = &p->held[p->held_count];
	snprintf(m->topic, sizeof(m->topic), "%s", topic);
	memcpy(m->payload, payload.p, payload.len);
	m->len = payload.len;
	p->held_since[p->held_count++] = now_ms;
}

static void try_held(struct sim *s, int i)
{
	struct person *p = &people[i];
	size_t kept = 0, count = p->held_count;
	int64_t now_ms = sim_now(s, i).mono_ms;
	for (size_t n = 0; n < count; n++) {
		if (open_one(s, i, p->held[n].topic, smq_span_of(p->held[n].payload, p->held[n].len)) ||
		    now_ms - p->held_since[n] > 10000)
			continue;
		if (kept != n)
			bus_copy(&p->held[kept], &p->held[n]);
		p->held_since[kept++] = p->held_since[n];
	}
	p->held_count = kept;
}

static void take_note(struct sim *s, int i, const struct smq_group_note *n)
{
	struct person *p = &people[i];
	sim_note(s, "member %d: note %d, epoch %llu, %s %s", i, (int)n->kind, (unsigned long long)n->epoch,
		 smq_err_name(n->err), n->text ? n->text : "");
	bool sent_away =
	    n->kind == SMQ_GROUP_EXPELLED || (n->kind == SMQ_GROUP_REFUSED && n->err == SMQ_ERR_NOT_AUTHORIZED);
	SIM_CHECK(s, !sent_away || p->asked_to_go, "member %d is sent away, and nobody asked for it", i);
	p->out = sent_away || (p->out && n->kind != SMQ_GROUP_JOINED);
	if (n->kind == SMQ_GROUP_JOINED && p->first_epoch == 0)
		p->first_epoch = n->epoch;
}

static void work(struct sim *s, int i)
{
	struct person *p = &people[i];
	struct smq_group_action a;
	for (int n = 0; p->up && smq_group_member_next(p->m, sim_now(s, i), &a); n++) {
		SIM_CHECK(s, n < 2000, "member %d has always something to do", i);
		if (p->crashed)
			return;
		if (a.kind == SMQ_GROUP_ACT_NOTE) {
			take_note(s, i, &a.note);
			continue;
		}
		char topic[SIM_TOPIC];
		snprintf(topic, sizeof(topic), "%s", a.topic);
		if (a.kind == SMQ_GROUP_ACT_SUBSCRIBE)
			subscribe(s, i, topic);
		else if (a.kind == SMQ_GROUP_ACT_UNSUBSCRIBE)
			unsubscribe(i, topic);
		else
			bus_publish(s, topic, a.payload, false);
	}
}

/* ---- a registered key ---- */

/* It believes in itself, in the key server by kid, and in the others as everybody does. */
static smq_err resolve_raw(void *self, smq_span id_cred, int64_t now_ms, struct smq_credential *ret_credential)
{
	const struct person *p = self;
	const struct smq_own_credential *server_own = &sim_identity(world->real, SERVER)->own;
	const uint8_t *kid = smq_registered_key_kid(id_cred);
	const struct smq_credentials *others = &world->credentials;
	if (!kid)
		return others->resolve(others->self, id_cred, now_ms, ret_credential);
	if (memcmp(kid, p->raw.id, SMQ_KID_LEN) == 0) {
		*ret_credential = p->raw;
		return SMQ_OK;
	}
	smq_err err = others->resolve(others->self, server_own->id_cred_full, now_ms, ret_credential);
	if (err == SMQ_OK && memcmp(kid, ret_credential->id, SMQ_KID_LEN) != 0)
		err = SMQ_ERR_CREDENTIAL;
	return err == SMQ_OK ? smq_registered_key_credential(ret_credential->public_key, ret_credential) : err;
}

static void make_raw(struct sim *s, struct person *p)
{
	const struct sim_identity *identity = sim_identity(s->real, RAW);
	p->own = identity->own;
	memcpy(p->raw.name, identity->name, sizeof(identity->name));
	p->raw.roles = SMQ_ROLE_MEMBER;
	p->raw.expires_ms = INT64_MAX;
	SIM_CHECK(s,
		  smq_registered_key_thumbprint(s->crypto, identity->public_key, p->raw.id) == SMQ_OK &&
		      smq_registered_key_credential(identity->public_key, &p->raw) == SMQ_OK,
		  "no registered key");
	smq_registered_key_id_cred(p->raw.id, p->id_cred);
	p->own.id_cred_full = p->own.id_cred_short = smq_span_of(p->id_cred, sizeof(p->id_cred));
	p->own.cred = smq_span_of(p->raw.cred, p->raw.cred_len);
	p->own.registered = true;
	p->own.signer.sign = NULL;
	p->credentials = (struct smq_credentials){ .self = p, .resolve = resolve_raw };
}

static bool is_raw(int i) { return admin.raw && i == RAW; }

static void stop(int i, bool clean)
{
	struct person *p = &people[i];
	if (!p->up)
		return;
	p->crashed |= !clean;
	smq_group_member_done(p->m);
	free(p->memory);
	p->up = false;
}

static void start(struct sim *s, int i, bool clean)
{
	struct person *p = &people[i];
	struct smq_group_member_config c = member_config;
	stop(i, clean);
	p->crashed = false;
	p->crash_in = p->failing = 0;
	p->topic_count = p->held_count = 0;
	p->keep = (struct smq_group_keep){ p, load_state, save_state, save_state_behind };
	p->windows = (struct smq_group_windows){ p, load_floor, save_floor, settle_floor, save_floor_behind };
	c.own = &sim_identity(s->real, i)->own;
	c.name = sim_identity(s->real, i)->name;
	if (is_raw(i)) {
		make_raw(s, p);
		c.own = &p->own;
		c.credentials = &p->credentials;
	}
	c.keep = &p->keep;
	c.windows = &p->windows;
	p->memory = aligned_alloc(16, (smq_group_member_size(&c) + 15) / 16 * 16);
	smq_err err = smq_group_member_init(p->memory, smq_group_member_size(&c), &c, sim_now(s, i), &p->m);
	SIM_CHECK(s, err == SMQ_OK, "member %d does not start: %s", i, smq_err_name(err));
	p->up = true;
	sim_note(s, "member %d starts", i);
	if (p->first_epoch == 0 && p->disk.state_len > 0)
		p->first_epoch = 1; /* it fell before it could tell */
	smq_group_member_online(p->m, sim_now(s, i));
	work(s, i);
}

/* ---- the key server ---- */

static struct smq_now server_now(void) { return sim_now(world, SERVER); }

static smq_err server_publish(void *self, const char *topic, smq_span payload, bool keep, uint64_t *ret_id)
{
	struct sim *s = self;
	struct smq_ks_topic t = smq_ks_topic_read(prefix, topic);
	if (server.store.dead || s->cut_off[SERVER])
		return SMQ_ERR_NO_CONNECTION;
	SIM_CHECK(s, !server.store.open, "the key server speaks before it has stored");
	if (t.kind == SMQ_KS_TOPIC_MANIFEST) {
		struct smq_sign1 d;
		struct smq_manifest m;
		uint8_t hash[SMQ_HASH_LEN];
		SIM_CHECK(s,
			  smq_sign1_decode(payload, &d) == SMQ_OK && smq_manifest_decode(d.payload, &m) == SMQ_OK &&
			      smq_manifest_hash(s->crypto, d.payload, hash) == SMQ_OK,
			  "the key server publishes something else than a manifest");
		size_t i = 0;
		while (i < issued_count && issued[i].epoch != m.epoch)
			i++;
		SIM_CHECK(s, i == issued_count || memcmp(issued[i].hash, hash, sizeof(hash)) == 0,
			  "epoch %llu is issued with two contents", (unsigned long long)m.epoch);
		SIM_CHECK(s, i < SMQ_COUNT(issued), "too many epochs for this world");
		issued[i].epoch = m.epoch;
		server.epoch = m.epoch > server.epoch ? m.epoch : server.epoch;
		memcpy(issued[i].hash, hash, sizeof(hash));
		issued_count += i == issued_count;
	}
	if (server.id_count == IDS)
		return SMQ_ERR_NO_CONNECTION;
	server.ids[server.id_count++] = *ret_id = ++server.published;
	bus_publish(s, topic, payload, keep);
	return SMQ_OK;
}

static void on_event(void *self, const struct smq_keyserver_event *e)
{
	sim_note(self, "key server: event %d, %s %s %s, epoch %llu, %s", (int)e->kind, e->who ? e->who : "",
		 e->what ? e->what : "", e->whom ? e->whom : "", (unsigned long long)e->epoch, smq_err_name(e->err));
	if (e->kind == SMQ_KEYSERVER_EPOCH && e->epoch > server.epoch)
		server.epoch = e->epoch;
	admin.done |= e->kind == SMQ_KEYSERVER_ASKED && e->err == SMQ_OK &&
		      (strcmp(e->what, "expel") == 0 || strcmp(e->what, "unregister") == 0);
	server.rival |= e->kind == SMQ_KEYSERVER_RIVAL;
}

static void server_stop(void)
{
	if (server.ks)
		smq_keyserver_free(server.ks);
	server.ks = NULL;
	server.id_count = 0;
}

static bool filtered(const char *topic)
{
	const char *filter;
	for (size_t i = 0; (filter = smq_keyserver_filter(server.ks, i)) != NULL; i++) {
		if (smq_topic_matches(smq_span_str(filter), smq_span_str(topic)))
			return true;
	}
	return false;
}

static void server_start(struct sim *s)
{
	const char *why = "";
	const struct smq_keyserver_config c = { .crypto = s->crypto,
						.random = &s->random,
						.credentials = &s->credentials,
						.own = &sim_identity(s->real, SERVER)->own,
						.realm = realm,
						.name = sim_identity(s->real, SERVER)->name,
						.prefix = prefix,
						.clock = { server_now, NULL },
						.store = item_store_port(&server.store),
						.runs_max = 16,
						.self = s,
						.publish = server_publish,
						.on_event = on_event };
	server_stop();
	server.store.open = server.store.dead = server.rival = false;
	server.store.die_in = server.store.fail_commits = 0;
	sim_note(s, "the key server starts");
	smq_err err = smq_keyserver_new(&c, &server.ks, &why);
	SIM_CHECK(s, err == SMQ_OK, "the key server does not start: %s, %s", smq_err_name(err), why);
	smq_keyserver_online(server.ks);
	for (size_t r = 0; r < s->retained_count; r++) {
		struct bus_message m;
		bus_copy(&m, &s->retained[r]);
		if (filtered(m.topic))
			smq_keyserver_input(server.ks, m.topic, smq_span_of(m.payload, m.len), true);
	}
}

/* Acknowledgements come with the next step; whoever died starts again, and whoever met a rival a while later. */
static void server_tick(struct sim *s)
{
	if (server.store.dead)
		server_start(s);
	if (server.ks && server.rival) {
		server_stop();
		server.up_again_ms = s->now.mono_ms + 20000;
	}
	if (!server.ks && s->now.mono_ms >= server.up_again_ms)
		server_start(s);
	if (!server.ks)
		return;
	uint64_t count = server.id_count;
	server.id_count = 0;
	for (uint64_t i = 0; i < count; i++)
		smq_keyserver_published(server.ks, server.ids[i], SMQ_OK);
	for (int n = 0; !server.store.dead && smq_keyserver_wake_at(server.ks) <= server_now().mono_ms && n < 4; n++)
		smq_keyserver_tick(server.ks);
}

/* ---- the admin ---- */

static void put_topic(struct sim *s, enum smq_ks_topic_kind kind, const char *name, char ret_topic[SIM_TOPIC])
{
	struct smq_ks_topic t = { .kind = kind, .name = smq_span_str(name) };
	SIM_CHECK(s, smq_ks_topic_write(prefix, &t, smq_mspan_of((uint8_t *)ret_topic, SIM_TOPIC)) == SMQ_OK,
		  "no topic");
}

static void send_request(struct sim *s, const char *name, smq_span payload)
{
	char topic[SIM_TOPIC];
	put_topic(s, SMQ_KS_TOPIC_REQUEST, name, topic);
	bus_publish(s, topic, payload, false);
}

static void admin_send(struct sim *s, smq_span payload) { send_request(s, admin.config.name, payload); }

static void admin_start(struct sim *s)
{
	uint8_t room[SMQ_KS_EDHOC_ROOM];
	size_t len = 0;
	smq_err err = smq_ks_asker_start(&admin.asker, &admin.config, smq_mspan_of(room, sizeof(room)), &len);
	SIM_CHECK(s, err == SMQ_OK, "the admin cannot ask: %s", smq_err_name(err));
	admin.since_ms = s->now.mono_ms;
	admin_send(s, smq_span_of(room, len));
}

static void admin_ask(struct sim *s, const struct smq_ks_request *q, int expels)
{
	smq_err err = smq_ks_request_encode(q, smq_mspan_of(admin.request, sizeof(admin.request)), &admin.request_len);
	SIM_CHECK(s, err == SMQ_OK, "no request: %s", smq_err_name(err));
	admin.asking = true;
	admin.expels = expels;
	admin.done = false;
	admin_start(s);
}

static void admin_answered(struct sim *s, smq_span bytes)
{
	struct smq_ks_answer a;
	SIM_CHECK(s, smq_ks_answer_decode(bytes, &a) == SMQ_OK, "an answer does not decode");
	sim_note(s, "the admin is answered: %s %.*s", smq_err_name(a.status), (int)a.text.len, (const char *)a.text.p);
	admin.asking = false;
	admin.status = a.status;
	/* an expulsion that is asked for again, because its answer was lost, finds nobody */
	bool gone = a.status == SMQ_OK || (a.status == SMQ_ERR_NOT_FOUND && admin.done);
	if (admin.expels >= 0 && gone && people[admin.expels].expelled_from == 0)
		people[admin.expels].expelled_from = server.epoch;
}

/* True: it is answered, and *ret_answer is valid until the next call. */
static bool asker_input(struct sim *s, struct smq_ks_asker *asker, const char *name, smq_span request, smq_span payload,
			smq_span *ret_answer)
{
	static uint8_t rooms[2][SMQ_KS_SEALED_ROOM(SMQ_KS_REQUEST_MAX) + SMQ_KS_EDHOC_ROOM], answer[SMQ_KS_ANSWER_MAX];
	const smq_mspan room[2] = { smq_mspan_of(rooms[0], sizeof(rooms[0])),
				    smq_mspan_of(rooms[1], sizeof(rooms[1])) };
	size_t len[2] = { 0, 0 };
	if (asker->state != SMQ_KS_ASKER_ASKING)
		return false;
	smq_err err = smq_ks_asker_input(asker, payload, s->now.unix_ms, request, room, len,
					 smq_mspan_of(answer, sizeof(answer)), ret_answer);
	for (int i = 0; i < 2; i++) {
		if (len[i] > 0)
			send_request(s, name, smq_span_of(rooms[i], len[i]));
	}
	return err == SMQ_OK && asker->state == SMQ_KS_ASKER_ANSWERED;
}

static void admin_input(struct sim *s, smq_span payload)
{
	smq_span got;
	if (admin.asking && asker_input(s, &admin.asker, admin.config.name,
					smq_span_of(admin.request, admin.request_len), payload, &got))
		admin_answered(s, got);
}

static void admin_tick(struct sim *s)
{
	if (admin.asking && s->now.mono_ms - admin.since_ms > 5000)
		admin_start(s);
}

static void admin_set_policy(struct sim *s)
{
	static uint8_t document[SMQ_POLICY_MAX], signed_[SMQ_POLICY_MAX + SMQ_SIGN1_OVERHEAD_MAX];
	const struct smq_own_credential *own = &sim_identity(s->real, ADMIN)->own;
	struct smq_ks_request q = { .what = SMQ_KS_POLICY, .group = smq_span_str(group) };
	size_t len = 0, signed_len = 0;
	smq_err err = smq_policy_encode(&admin.policy, smq_mspan_of(document, sizeof(document)), &len);
	if (err == SMQ_OK)
		err = smq_policy_sign(smq_span_of(document, len), own, smq_mspan_of(signed_, sizeof(signed_)),
				      &signed_len);
	SIM_CHECK(s, err == SMQ_OK, "no policy: %s", smq_err_name(err));
	q.policy = smq_span_of(signed_, signed_len);
	q.admin = own->id_cred_full;
	admin_ask(s, &q, -1);
}

static void admin_register(struct sim *s, bool comes)
{
	struct smq_ks_request q = { .what = comes ? SMQ_KS_REGISTER : SMQ_KS_UNREGISTER, .group = smq_span_str("") };
	const struct sim_identity *identity = sim_identity(s->real, RAW);
	q.name = smq_span_str(identity->name);
	memcpy(q.key, identity->public_key, sizeof(q.key));
	people[RAW].asked_to_go |= !comes;
	admin_ask(s, &q, comes ? -1 : RAW);
}

/* ---- strangers ---- */

/* Nobody but an admin is served what only admins may ask for. */
static void stranger_answered(struct sim *s, smq_span bytes)
{
	struct smq_ks_answer a;
	struct smq_ks_request q;
	struct smq_ks_grant grant;
	bool reads = smq_ks_request_decode(smq_span_of(stranger.request, stranger.request_len), &q) == SMQ_OK;
	SIM_CHECK(s, smq_ks_answer_decode(bytes, &a) == SMQ_OK, "an answer does not decode");
	sim_note(s, "somebody is answered: %s", smq_err_name(a.status));
	stranger.asking = false;
	SIM_CHECK(s, a.status != SMQ_OK || reads, "what cannot be read is served");
	SIM_CHECK(s, a.status != SMQ_OK || stranger.who == ADMIN || q.what < SMQ_KS_POLICY,
		  "%s is served as if it were an admin", stranger.config.name);
	SIM_CHECK(s, a.status != SMQ_OK || q.what != SMQ_KS_JOIN || smq_ks_grant_decode(a.body, &grant) == SMQ_OK,
		  "a grant does not decode");
}

static void stranger_input(struct sim *s, const char *topic, smq_span payload)
{
	smq_span got;
	if (stranger.asking && strcmp(topic, stranger.topic) == 0 &&
	    asker_input(s, &stranger.asker, stranger.config.name, smq_span_of(stranger.request, stranger.request_len),
			payload, &got))
		stranger_answered(s, got);
}

static int64_t some_time(struct sim *s, struct dice *d)
{
	const int64_t times[] = { 0, s->now.unix_ms, s->now.unix_ms + 9000, s->now.unix_ms - 9000, INT64_MAX };
	return times[dice_below(d, SMQ_COUNT(times))];
}

/* A policy that one of us has signed, as far as it goes. */
static smq_span some_policy(struct sim *s, struct dice *d, smq_mspan room)
{
	uint8_t document[SMQ_POLICY_MAX];
	struct smq_policy p = admin.policy;
	size_t len = 0;
	int by = (int)dice_below(d, SIM_NODES);
	p.number += dice_below(d, 3);
	p.members_max = 1 + dice_below(d, 64);
	if (smq_policy_encode(&p, smq_mspan_of(document, sizeof(document)), &len) != SMQ_OK ||
	    smq_policy_sign(smq_span_of(document, len), &sim_identity(s->real, by)->own, room, &len) != SMQ_OK)
		return smq_span_of(NULL, 0);
	return smq_span_of(room.p, len);
}

static size_t some_request(struct sim *s, struct dice *d, smq_mspan room)
{
	static const enum smq_ks_what whats[] = { SMQ_KS_JOIN,   SMQ_KS_LEAVE,   SMQ_KS_FETCH,      SMQ_KS_LIST,
						  SMQ_KS_SHOW,   SMQ_KS_MEMBERS, SMQ_KS_REGISTERED, SMQ_KS_POLICY,
						  SMQ_KS_ROTATE, SMQ_KS_EXPEL,   SMQ_KS_REGISTER,   SMQ_KS_UNREGISTER };
	static const char *const groups[] = { group, "", "other" };
	const struct sim_identity *whom = sim_identity(s->real, (int)dice_below(d, SIM_NODES));
	uint8_t policy[600];
	struct smq_ks_request q = { .what = whats[dice_below(d, stranger.who == ADMIN ? 7 : SMQ_COUNT(whats))],
				    .group = smq_span_str(groups[dice_below(d, SMQ_COUNT(groups))]),
				    .roles = (unsigned)dice_below(d, 4),
				    .offset = dice_below(d, 40),
				    .node_count = dice_below(d, 4),
				    .sender_count = dice_below(d, 4),
				    .name = smq_span_str(whom->name) };
	size_t len = 0;
	q.from_ms = some_time(s, d);
	q.until_ms = some_time(s, d);
	q.boot_id[0] = (uint8_t)dice_below(d, 256);
	for (size_t i = 0; i < q.node_count; i++) {
		q.nodes[i].height = (unsigned)dice_below(d, SMQ_TREE_HEIGHT_MAX + 1);
		q.nodes[i].index = dice_below(d, 40);
		q.senders[i] = dice_below(d, 40);
	}
	memcpy(q.key, whom->public_key, sizeof(q.key));
	if (q.what == SMQ_KS_POLICY)
		q.policy = some_policy(s, d, smq_mspan_of(policy, sizeof(policy)));
	q.admin = whom->own.id_cred_full;
	return smq_ks_request_encode(&q, room, &len) == SMQ_OK ? len : 0;
}

/* What an admin asks for changes what the oracle expects; strangers with its key only look, or talk nonsense. */
static bool would_change(smq_span request)
{
	struct smq_ks_request q;
	return smq_ks_request_decode(request, &q) == SMQ_OK && q.what >= SMQ_KS_POLICY && q.what != SMQ_KS_LIST &&
	       q.what != SMQ_KS_SHOW && q.what != SMQ_KS_MEMBERS && q.what != SMQ_KS_REGISTERED;
}

static void op_ask(struct sim *s, struct dice *d)
{
	static const int whos[] = { 4, 0, 1, 2, 3, ADMIN, SERVER };
	uint8_t room[SMQ_KS_EDHOC_ROOM];
	size_t len = 0;
	stranger.who = whos[dice_below(d, SMQ_COUNT(whos))];
	stranger.request_len = some_request(s, d, smq_mspan_of(stranger.request, sizeof(stranger.request)));
	for (uint64_t n = dice_below(d, 4); n > 0 && stranger.request_len > 0; n--)
		stranger.request[dice_below(d, stranger.request_len)] = (uint8_t)dice_below(d, 256);
	smq_span request = smq_span_of(stranger.request, stranger.request_len);
	if (is_raw(stranger.who) || (stranger.who == ADMIN && would_change(request)))
		return;
	if (stranger.who < PEOPLE)
		people[stranger.who].asked_to_go = people[stranger.who].meddled = true;
	stranger.config = admin.config;
	stranger.config.own = &sim_identity(s->real, stranger.who)->own;
	stranger.config.name = sim_identity(s->real, stranger.who)->name;
	put_topic(s, SMQ_KS_TOPIC_ANSWER, stranger.config.name, stranger.topic);
	smq_ks_asker_done(&stranger.asker);
	if (smq_ks_asker_start(&stranger.asker, &stranger.config, smq_mspan_of(room, sizeof(room)), &len) != SMQ_OK)
		return;
	stranger.asking = true;
	send_request(s, stranger.config.name, smq_span_of(room, len));
	if (dice_one_in(d, 2))
		bus_deliver_all(s);
}

/* ---- life ---- */

static void pass(struct sim *s, int64_t ms);

static void admin_waits(struct sim *s)
{
	for (int i = 0; i < 60 && admin.asking; i++)
		pass(s, 500);
	SIM_CHECK(s, !admin.asking, "the admin is not answered");
}

static void make_policy(struct dice *d)
{
	static const enum smq_policy_mode modes[] = { SMQ_MODE_STATIC, SMQ_MODE_UPDATE, SMQ_MODE_SLOTTED };
	struct smq_policy *p = &admin.policy;
	*p = (struct smq_policy){ .realm = smq_span_str(realm),
				  .group = smq_span_str(group),
				  .number = 1,
				  .filter_count = 1,
				  .filters = { smq_span_str("g/#") },
				  .mode = modes[dice_below(d, 3)],
				  .alg = smq_aead_alg_by_id(SMQ_A128GCM),
				  .publisher_count = 1,
				  .subscriber_count = 1,
				  .batch_ms = dice_one_in(d, 2) ? 0 : 500,
				  .activation_ms = dice_one_in(d, 2) ? 0 : 400,
				  .grace_ms = 3000,
				  .validity_s = 6000,
				  .members_max = 16,
				  .issued_s = 1 };
	p->publishers[0].pattern = p->subscribers[0].pattern = smq_span_str("*");
	if (p->mode == SMQ_MODE_SLOTTED) {
		p->slot_ms = 5000;
		p->slot_levels = 12;
	}
}

static void up(struct sim *s, struct dice *d)
{
	world = s;
	items_clear(&server.store.durable);
	items_clear(&server.store.working);
	items_clear(&server.backup);
	memset(&server, 0, sizeof(server));
	memset(people, 0, sizeof(people));
	memset(&admin, 0, sizeof(admin));
	memset(&stranger, 0, sizeof(stranger));
	issued_count = 0;
	make_policy(d);
	admin.config = (struct smq_ks_asker_config){ .crypto = s->crypto,
						     .random = &s->random,
						     .credentials = &s->credentials,
						     .own = &sim_identity(s->real, ADMIN)->own,
						     .name = sim_identity(s->real, ADMIN)->name,
						     .suites = suites,
						     .suite_count = 1 };
	member_config = (struct smq_group_member_config){ .crypto = s->crypto,
							  .random = &s->random,
							  .credentials = &s->credentials,
							  .realm = realm,
							  .prefix = prefix,
							  .group = group,
							  .roles = SMQ_JOIN_PUBLISH | SMQ_JOIN_SUBSCRIBE,
							  .suites = suites,
							  .suite_count = 1,
							  .lives_max = 8 };
	server_start(s);
	for (int i = 0; i < 3; i++)
		pass(s, 1000);
	admin_set_policy(s);
	for (int i = 0; i < 20 && admin.asking; i++)
		pass(s, 500);
	SIM_CHECK(s, !admin.asking && admin.status == SMQ_OK, "the policy is refused: %s", smq_err_name(admin.status));
	admin.raw = dice_one_in(d, 2);
	if (admin.raw) {
		admin_register(s, true);
		admin_waits(s);
	}
	for (int i = 0; i < PEOPLE - 1 && !s->bare; i++)
		start(s, i, true);
	for (int i = 0; i < 3 && !s->bare; i++)
		pass(s, 500);
	items_copy(&server.backup, &server.store.durable);
}

static void down(struct sim *s)
{
	(void)s;
	for (int i = 0; i < PEOPLE; i++)
		stop(i, true);
	server_stop();
	smq_ks_asker_done(&admin.asker);
	smq_ks_asker_done(&stranger.asker);
	items_clear(&server.store.durable);
	items_clear(&server.store.working);
	items_clear(&server.backup);
}

static void tick(struct sim *s)
{
	server_tick(s);
	admin_tick(s);
	for (int i = 0; i < PEOPLE; i++) {
		if (people[i].crashed)
			start(s, i, false);
		if (!people[i].up)
			continue;
		work(s, i);
		try_held(s, i);
	}
}

static void pass(struct sim *s, int64_t ms)
{
	s->now.mono_ms += ms;
	s->now.unix_ms += ms;
	tick(s);
	bus_deliver_all(s);
}

static bool server_reads(const char *topic) { return server.ks && !server.store.dead && filtered(topic); }

static bool reads(struct sim *s, int i, const char *topic)
{
	if (i == SERVER && server_reads(topic))
		return true;
	if (i == ADMIN)
		return strncmp(topic, "c/ks/a/", 7) == 0 && strcmp(topic + 7, sim_identity(s->real, ADMIN)->name) == 0;
	if (stranger.asking && i == stranger.who && strcmp(topic, stranger.topic) == 0)
		return true;
	if (i >= PEOPLE || !people[i].up)
		return false;
	for (size_t n = 0; n < people[i].topic_count; n++) {
		if (strcmp(people[i].topics[n], topic) == 0)
			return true;
	}
	return topic[0] == 'g';
}

static void receive(struct sim *s, int i, const char *topic, smq_span payload, bool retained)
{
	if (i == stranger.who)
		stranger_input(s, topic, payload);
	if (i == SERVER && server_reads(topic))
		smq_keyserver_input(server.ks, topic, payload, retained);
	if (i == ADMIN)
		admin_input(s, payload);
	if (i >= PEOPLE || !people[i].up)
		return;
	if (smq_group_member_takes(people[i].m, topic)) {
		smq_err err = smq_group_member_input(people[i].m, topic, payload, retained, sim_now(s, i));
		SIM_CHECK(s, err != SMQ_ERR_BUG && err != SMQ_ERR_CRYPTO, "member %d: %s", i, smq_err_name(err));
		if (err != SMQ_OK)
			sim_note(s, "member %d: %s on %s", i, smq_err_name(err), topic);
	} else if (!open_one(s, i, topic, payload)) {
		hold(&people[i], topic, payload, sim_now(s, i).mono_ms);
	}
	if (people[i].crashed)
		start(s, i, false);
	else
		work(s, i);
}

/* ---- what happens ---- */

static bool say(struct sim *s, int i, int variant)
{
	char topic[SIM_TOPIC], text[SIM_TEXT];
	uint8_t room[256];
	size_t len = 0;
	if (!people[i].up || !smq_group_member_ready(people[i].m, sim_now(s, i)))
		return false;
	snprintf(topic, sizeof(topic), "g/%d", variant);
	oracle_publish(s, i, UINT64_MAX, topic, text);
	smq_err err = smq_group_member_seal(people[i].m, smq_span_str(topic), sim_now(s, i), smq_span_str(text),
					    smq_mspan_of(room, sizeof(room)), &len);
	if (people[i].crashed) {
		start(s, i, false);
		return false;
	}
	if (err != SMQ_OK) {
		sim_note(s, "member %d does not seal: %s", i, smq_err_name(err));
		return false;
	}
	oracle_sealed(s, smq_span_of(room, len));
	bus_publish(s, topic, smq_span_of(room, len), false);
	work(s, i);
	return true;
}

static void op_say(struct sim *s, struct dice *d)
{
	for (uint64_t n = 1 + dice_below(d, 4); n > 0; n--)
		say(s, (int)dice_below(d, PEOPLE), (int)dice_below(d, 3));
}

static void op_start(struct sim *s, struct dice *d)
{
	int i = (int)dice_below(d, PEOPLE);
	start(s, i, dice_one_in(d, 3));
}

static void op_expel(struct sim *s, struct dice *d)
{
	int i = (int)dice_below(d, PEOPLE);
	struct smq_ks_request q = { .what = SMQ_KS_EXPEL, .group = smq_span_str(group) };
	q.name = smq_span_str(sim_identity(s->real, i)->name);
	people[i].asked_to_go |= !admin.asking;
	if (!admin.asking)
		admin_ask(s, &q, i);
}

/* For good: who was let go is not let in again, so that the oracle can tell what it may open. */
static void op_unregister(struct sim *s, struct dice *d)
{
	(void)d;
	if (admin.raw && !admin.asking && people[RAW].expelled_from == 0)
		admin_register(s, false);
}

static void op_rotate(struct sim *s, struct dice *d)
{
	struct smq_ks_request q = { .what = SMQ_KS_ROTATE, .group = smq_span_str(group) };
	(void)d;
	if (!admin.asking)
		admin_ask(s, &q, -1);
}

static void op_reconnect(struct sim *s, struct dice *d)
{
	int i = (int)dice_below(d, PEOPLE);
	if (!people[i].up)
		return;
	smq_group_member_offline(people[i].m);
	people[i].topic_count = 0;
	smq_group_member_online(people[i].m, sim_now(s, i));
}

static void op_disk(struct sim *s, struct dice *d)
{
	struct person *p = &people[dice_below(d, PEOPLE)];
	(void)s;
	p->written_though = dice_one_in(d, 2);
	if (dice_one_in(d, 2))
		p->crash_in = 1 + (unsigned)dice_below(d, 3);
	else
		p->failing = 1 + (unsigned)dice_below(d, 3);
}

static void op_restore(struct sim *s, struct dice *d)
{
	int i = (int)dice_below(d, PEOPLE);
	if (dice_one_in(d, 2)) {
		people[i].backup = people[i].disk;
		return;
	}
	stop(i, false);
	people[i].disk = people[i].backup;
	people[i].restored = true;
	start(s, i, false);
}

static void op_server_dies(struct sim *s, struct dice *d)
{
	(void)s;
	server.store.dies_done = dice_one_in(d, 2);
	if (dice_one_in(d, 3))
		server.store.fail_commits = 1 + (unsigned)dice_below(d, 3);
	else
		server.store.die_in = 1 + (unsigned)dice_below(d, dice_one_in(d, 2) ? 6 : 60);
}

/* What was expelled since the backup was made is in again, until the admin says so again. */
static void op_server_restore(struct sim *s, struct dice *d)
{
	const uint8_t mark = 1;
	if (dice_one_in(d, 2) || !server.ks) {
		items_copy(&server.backup, &server.store.durable);
		for (int i = 0; i < PEOPLE; i++)
			server.expelled_backup[i] = people[i].expelled_from;
		return;
	}
	sim_note(s, "the key server is restored");
	server_stop();
	items_copy(&server.store.durable, &server.backup);
	items_put(&server.store.durable, SMQ_KS_ITEM_SERVER, "", 1, 0, smq_span_of(&mark, 1));
	for (int i = 0; i < PEOPLE; i++)
		people[i].expelled_from = server.expelled_backup[i];
	admin.asking = false;
	server_start(s);
}

/* ---- calm ---- */

static void everybody_hears_everybody(struct sim *s)
{
	uint64_t in = 0;
	for (int i = 0; i < PEOPLE; i++) {
		if (people[i].up && people[i].expelled_from == 0 && !people[i].out && !people[i].meddled)
			in |= UINT64_C(1) << i;
	}
	for (int i = 0; i < PEOPLE; i++) {
		if (!(in >> i & 1))
			continue;
		bool heard = false;
		/* who fell behind a floor that was written ahead hears nothing of a burst's length */
		for (int n = 0; n < 120 && !heard; n++) {
			if (!say(s, i, 7)) {
				pass(s, 1000);
				continue;
			}
			size_t text = s->text_count - 1;
			bus_deliver_all(s);
			for (int k = 0; k < 5; k++)
				pass(s, 1000); /* cards are fetched, what was held back is tried again */
			heard = oracle_reached(s, text, in);
		}
		SIM_CHECK(s, heard, "in calm, not everybody hears member %d", i);
	}
}

/* A backup may have brought back what the admin had decided otherwise: it says so again. */
static void settle_raw(struct sim *s)
{
	if (!admin.raw || people[RAW].expelled_from != 0)
		return;
	admin_waits(s);
	if (people[RAW].expelled_from == 0)
		admin_register(s, !people[RAW].asked_to_go);
	admin_waits(s);
	if (people[RAW].asked_to_go && people[RAW].expelled_from == 0)
		people[RAW].expelled_from = server.epoch;
}

static void calm(struct sim *s)
{
	server.store.die_in = server.store.fail_commits = 0;
	for (int i = 0; i < PEOPLE; i++) {
		people[i].crash_in = people[i].failing = 0;
		if (!people[i].up)
			continue;
		smq_group_member_offline(people[i].m);
		people[i].topic_count = 0;
		smq_group_member_online(people[i].m, sim_now(s, i));
	}
	/* a clock that was ahead has closed slots that are still to come, and manifests, certificates and leases with
	 * it */
	s->now.unix_ms += 2100000;
	settle_raw(s);
	for (int i = 0; i < 90; i++)
		pass(s, 1000);
	everybody_hears_everybody(s);
}

static const struct sim_op ops[] = {
	{ "say", 30, op_say },
	{ "start", 4, op_start },
	{ "expel", 3, op_expel },
	{ "unregister", 1, op_unregister },
	{ "rotate", 4, op_rotate },
	{ "reconnect", 2, op_reconnect },
	{ "disk", 4, op_disk },
	{ "restore", 2, op_restore },
	{ "server dies", 5, op_server_dies },
	{ "server restore", 1, op_server_restore },
	{ "ask", 0, op_ask },
};

const struct scenario scenario_served = { .name = "served",
					  .ops = ops,
					  .op_count = SMQ_COUNT(ops),
					  .up = up,
					  .receive = receive,
					  .reads = reads,
					  .tick = tick,
					  .calm = calm,
					  .down = down };
