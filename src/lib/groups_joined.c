/* The groups of a client that a key server keeps. */
#include "lib/groups_joined.h"

#include <stdio.h>
#include <stdlib.h>

#include "app/group_windows.h"
#include "base/hot.h"
#include "base/wipe.h"
#include "lib/group_hints.h"
#include "lib/realm_internal.h"
#include "lib/realm_state.h"

enum {
	WRITER_LIVES = 16,
	LOOK_FIRST_MS = 1000, /* for retained policies to come, before one is chosen */
	LOOK_MOST_MS = 5000,  /* then there is none */
	FOUND_MAX = 64        /* groups that are joined because of what is read */
};

struct joined_group {
	struct joined_group *next;
	char name[SMQ_NAME_MAX + 1];
	char key[64]; /* in the store */
	const smq_realm *realm;
	struct smq_store *store;
	struct smq_group_keep keep;
	struct smq_group_windows_store windows_store;
	struct smq_group_windows windows;
	smq_group_member *m;
	void *memory;
	bool left, stays; /* stays: to be told, once */
};

/* A subscription, for which groups are looked for. */
struct read_filter {
	struct read_filter *next;
	char filter[];
};

struct smq_joined {
	smq_realm *realm;
	struct smq_group_member_config config; /* but the group */
	char keyserver[SMQ_NAME_MAX + 1];
	int suites[8];
	bool writer;
	bool looks; /* for policies, to choose a group by */
	bool asked_to_look;
	bool online;
	int64_t online_ms;
	int64_t look_due_ms; /* mono: when more may be said about a choice */
	struct joined_group *first;
	struct smq_group_hints hints;
	/* joining by what is read */
	bool finds;
	size_t found;
	struct read_filter *reads;
};

/* ---- the store ---- */

static smq_err keep_load(void *self, smq_mspan room, size_t *ret_len)
{
	const struct joined_group *g = self;
	smq_err err = g->store->get(g->store->self, g->key, room, ret_len);
	return err == SMQ_ERR_NOT_FOUND ? smq_realm_borrow(g->realm, g->key, room, ret_len) : err;
}

static smq_err keep_save(void *self, smq_span state)
{
	const struct joined_group *g = self;
	return g->store->put(g->store->self, g->key, state);
}

static smq_err keep_save_behind(void *self, smq_span state)
{
	const struct joined_group *g = self;
	return g->store->put_behind(g->store->self, g->key, state);
}

/* Windows of such a group go on over its epochs: they are kept as those of epoch 0, which no group has. */
static smq_err bind_store(struct smq_joined *j, struct joined_group *g)
{
	char digest[SMQ_GROUP_STATE_DIGEST_ROOM];
	struct smq_group_file *f = calloc(1, sizeof(*f));
	if (!f)
		return SMQ_ERR_NO_MEMORY;
	snprintf(f->realm, sizeof(f->realm), "%s", smq_realm_name(j->realm));
	snprintf(f->group, sizeof(f->group), "%s", g->name);
	smq_err err = smq_group_windows_init(&g->windows_store, g->store, j->config.crypto, f, &g->windows);
	if (err == SMQ_OK)
		err = smq_group_state_digest(j->config.crypto, f, digest);
	if (err == SMQ_OK)
		snprintf(g->key, sizeof(g->key), "member-%s", digest);
	free(f);
	g->keep = (struct smq_group_keep){ g, keep_load, keep_save, g->store->put_behind ? keep_save_behind : NULL };
	return err;
}

/* ---- life ---- */

static void fill_config(struct smq_joined *j, const struct smq_client_options *o)
{
	const char *keyserver = o->keyserver ? o->keyserver : smq_realm_keyserver(o->realm);
	unsigned roles = o->only_publishes    ? SMQ_JOIN_PUBLISH
			 : o->only_subscribes ? SMQ_JOIN_SUBSCRIBE
					      : SMQ_JOIN_PUBLISH | SMQ_JOIN_SUBSCRIBE;
	snprintf(j->keyserver, sizeof(j->keyserver), "%s", keyserver);
	j->config = (struct smq_group_member_config){ .crypto = smq_crypto_best(),
						      .random = smq_random_system(),
						      .credentials = smq_realm_credentials(o->realm),
						      .own = smq_realm_own(o->realm),
						      .realm = smq_realm_name(o->realm),
						      .name = smq_realm_member(o->realm),
						      .prefix = smq_realm_control_prefix(o->realm),
						      .keyserver = *j->keyserver ? j->keyserver : NULL,
						      .roles = roles,
						      .lease_ms = o->group_lease_ms,
						      .method = o->method,
						      .stamp = o->stamp,
						      .cose = o->cose,
						      .repeats = o->repeats,
						      .lives_max = o->only_publishes ? WRITER_LIVES : 0 };
	if (o->suites && o->suite_count <= sizeof(j->suites) / sizeof(j->suites[0])) {
		memcpy(j->suites, o->suites, o->suite_count * sizeof(o->suites[0]));
		j->config.suites = j->suites;
		j->config.suite_count = o->suite_count;
	}
}

smq_err smq_joined_new(const struct smq_client_options *o, struct smq_joined **ret_joined)
{
	struct smq_joined *j = calloc(1, sizeof(*j));
	if (!j)
		return SMQ_ERR_NO_MEMORY;
	j->realm = o->realm;
	j->look_due_ms = INT64_MAX;
	j->writer = o->only_publishes;
	j->finds = o->find_groups && !o->only_publishes;
	fill_config(j, o);
	*ret_joined = j;
	return SMQ_OK;
}

static void free_group(struct joined_group *g)
{
	if (g->m)
		smq_group_member_done(g->m);
	free(g->memory);
	smq_wipe(g, sizeof(*g));
	free(g);
}

void smq_joined_free(struct smq_joined *j)
{
	if (!j)
		return;
	while (j->first) {
		struct joined_group *g = j->first;
		j->first = g->next;
		free_group(g);
	}
	smq_group_hints_done(&j->hints);
	while (j->reads) {
		struct read_filter *r = j->reads;
		j->reads = r->next;
		free(r);
	}
	free(j);
}

static struct joined_group *find(const struct smq_joined *j, const char *name)
{
	struct joined_group *g = j->first;
	while (g && strcmp(g->name, name) != 0)
		g = g->next;
	return g;
}

bool smq_joined_has(const struct smq_joined *j, const char *group) { return find(j, group) != NULL; }

/* A writer that finds no place keeps nothing and joins afresh: it has a boot id of its own anyway. */
static smq_err open_store(struct smq_joined *j, struct joined_group *g)
{
	smq_err err = smq_realm_store(j->realm, j->writer ? SMQ_STATE_WRITES : SMQ_STATE_READS, &g->store);
	if (err == SMQ_ERR_LOCKED && j->writer) {
		g->store = NULL;
		return SMQ_OK;
	}
	return err == SMQ_OK ? bind_store(j, g) : err;
}

smq_err smq_joined_add(struct smq_joined *j, const char *name, struct smq_now now)
{
	struct smq_group_member_config c = j->config;
	if (!smq_name_valid(smq_span_str(name)))
		return SMQ_ERR_NAME;
	if (find(j, name))
		return SMQ_OK;
	struct joined_group *g = calloc(1, sizeof(*g));
	if (!g)
		return SMQ_ERR_NO_MEMORY;
	snprintf(g->name, sizeof(g->name), "%s", name);
	g->realm = j->realm;
	smq_err err = open_store(j, g);
	if (err == SMQ_OK) {
		size_t size = smq_group_member_size(&c);
		c.group = g->name;
		c.keep = g->store ? &g->keep : NULL;
		c.windows = g->store && !c.repeats ? &g->windows : NULL;
		g->memory = malloc(size);
		err = g->memory ? smq_group_member_init(g->memory, size, &c, now, &g->m) : SMQ_ERR_NO_MEMORY;
	}
	if (err != SMQ_OK) {
		free_group(g);
		return err;
	}
	g->next = j->first;
	j->first = g;
	if (j->online)
		smq_group_member_online(g->m, now);
	return SMQ_OK;
}

/* ---- messages ---- */

smq_err smq_joined_seal(struct smq_joined *j, const char *group, const char *topic, smq_span plain, struct smq_now now,
			struct smq_seal_proof *proof, smq_mspan room, size_t *ret_len)
{
	struct joined_group *g = find(j, group);
	if (!g)
		return SMQ_ERR_NO_KEY;
	return smq_group_member_seal_proven(g->m, smq_span_str(topic), now, plain, proof, room, ret_len);
}

static void fill(const struct joined_group *g, const struct smq_sealed *s, const struct smq_group_member_opened *o,
		 struct smq_now now, const uint8_t *plain, struct smq_message *m)
{
	m->mqtt.payload = smq_span_of(plain, o->len);
	m->proof = SMQ_PROOF_MEMBER;
	m->sender = o->sender;
	m->group = g->name;
	m->algorithm = s->alg->name;
	m->epoch = s->epoch;
	m->slot = smq_sealed_has_slot(s->kind) ? s->slot : SMQ_NO_SLOT;
	m->counter = s->counter;
	memcpy(m->boot_id, o->boot_id, sizeof(m->boot_id));
	m->age_ms = s->has_stamp ? smq_stamp_age(s->stamp, now.unix_ms) : SMQ_NO_AGE;
	m->missing = o->missing;
}

int smq_group_answer_weight(smq_err err)
{
	switch (err) {
	case SMQ_ERR_NO_KEY:
		return 0;
	case SMQ_ERR_TOPIC:
		return 1;
	case SMQ_ERR_STALE_EPOCH:
	case SMQ_ERR_UNKNOWN_SENDER:
	case SMQ_ERR_ALGORITHM:
		return 2;
	case SMQ_ERR_OPEN:
		return 3;
	case SMQ_ERR_NO_SESSION:
		return 5;
	default:
		return 4;
	}
}

smq_err smq_joined_open(struct smq_joined *j, const struct smq_sealed *s, const char *topic, struct smq_now now,
			smq_mspan room, struct smq_message *ret_message, const struct smq_seal_key **ret_key)
{
	smq_err worst = SMQ_ERR_NO_KEY;
	for (struct joined_group *g = j->first; g; g = g->next) {
		struct smq_group_member_opened o;
		smq_err err = smq_group_member_open(g->m, s, smq_span_str(topic), now, room, &o);
		if (err == SMQ_OK) {
			fill(g, s, &o, now, room.p, ret_message);
			*ret_key = o.key;
			return SMQ_OK;
		}
		if (smq_group_answer_weight(err) > smq_group_answer_weight(worst)) {
			worst = err;
			ret_message->group = g->name;
			ret_message->epoch = s->epoch;
			ret_message->counter = s->counter;
		}
	}
	return worst;
}

smq_err smq_joined_may_command(const struct smq_joined *j, const char *group, const char *name, unsigned roles,
			       const char *whom)
{
	const struct joined_group *g = find(j, group);
	return g && smq_group_member_commands(g->m, smq_span_str(name), roles, smq_span_str(whom))
		   ? SMQ_OK
		   : SMQ_ERR_NOT_AUTHORIZED;
}

bool smq_joined_ready(const struct smq_joined *j, const char *group, struct smq_now now)
{
	const struct joined_group *g = find(j, group);
	return g && smq_group_member_ready(g->m, now);
}

/* ---- choosing a group ---- */

static void look(struct smq_joined *j)
{
	if (!j->looks)
		smq_group_hints_load(&j->hints, j->realm);
	j->looks = true;
}

bool smq_joined_is_looking(struct smq_joined *j, struct smq_now now)
{
	look(j);
	return !j->online || now.mono_ms - j->online_ms < LOOK_MOST_MS;
}

/* What was heard of counts until what is signed for certain says otherwise. */
static bool contradicts(const struct smq_joined *j, const struct smq_group_hint *h, smq_span topic)
{
	const struct joined_group *g = find(j, h->group);
	return g && smq_group_member_epoch(g->m) != 0 && !smq_group_member_covers(g->m, topic);
}

/* A policy that we have kept decides at once; for others there is a moment, since one alone may not be the narrowest.
 */
void smq_joined_choose(struct smq_joined *j, const char *topic, struct smq_now now, uint64_t *width,
		       const char **ret_group)
{
	const struct smq_group_hint *best = NULL;
	smq_span t = smq_span_str(topic);
	look(j);
	bool heard = j->online && now.mono_ms - j->online_ms >= LOOK_FIRST_MS;
	for (const struct smq_group_hint *h = j->hints.first; h; h = h->next) {
		uint64_t its = contradicts(j, h, t) ? 0 : smq_group_hint_width(h, t);
		heard = heard || (its > 0 && h->kept);
		if (its > *width) {
			*width = its;
			best = h;
		}
	}
	if (best && heard && smq_joined_add(j, best->group, now) == SMQ_OK)
		*ret_group = best->group;
}

/* ---- joining by what is read ---- */

/* A group whose policy was heard of, and lets us read something of what is subscribed to. */
static void join_if_read(struct smq_joined *j, const struct smq_group_hint *h, struct smq_now now)
{
	const struct smq_credential *own = smq_realm_own_certificate(j->realm);
	bool wanted = false;
	if (!j->finds || find(j, h->group) || j->found == FOUND_MAX)
		return;
	for (const struct read_filter *r = j->reads; r && !wanted; r = r->next)
		wanted = smq_group_hint_reads(h, smq_span_str(r->filter), smq_span_str(own->name), own->roles);
	if (wanted && smq_joined_add(j, h->group, now) == SMQ_OK)
		j->found++;
}

void smq_joined_reads(struct smq_joined *j, const char *filter, struct smq_now now)
{
	size_t len = strlen(filter) + 1;
	struct read_filter *r = j->finds ? malloc(sizeof(*r) + len) : NULL;
	if (!r)
		return;
	memcpy(r->filter, filter, len);
	r->next = j->reads;
	j->reads = r;
	look(j);
	for (const struct smq_group_hint *h = j->hints.first; h; h = h->next)
		join_if_read(j, h, now);
}

/* ---- the control plane ---- */

void smq_joined_online(struct smq_joined *j, struct smq_now now)
{
	j->online = true;
	j->online_ms = now.mono_ms;
	j->asked_to_look = false;
	for (struct joined_group *g = j->first; g; g = g->next)
		smq_group_member_online(g->m, now);
}

void smq_joined_offline(struct smq_joined *j)
{
	j->online = false;
	for (struct joined_group *g = j->first; g; g = g->next)
		smq_group_member_offline(g->m);
}

static bool is_hint(const struct smq_joined *j, const char *topic, struct smq_ks_topic *ret_topic)
{
	*ret_topic = smq_ks_topic_read(j->config.prefix, topic);
	return j->looks && ret_topic->kind == SMQ_KS_TOPIC_POLICY;
}

SMQ_HOT bool smq_joined_takes(const struct smq_joined *j, const char *topic)
{
	struct smq_ks_topic t;
	for (const struct joined_group *g = j->first; g; g = g->next) {
		if (smq_group_member_takes(g->m, topic))
			return true;
	}
	return is_hint(j, topic, &t);
}

void smq_joined_input(struct smq_joined *j, const char *topic, smq_span payload, bool retained, struct smq_now now)
{
	struct smq_ks_topic t;
	const struct smq_group_hint *heard =
	    is_hint(j, topic, &t) ? smq_group_hints_put(&j->hints, t.name, payload) : NULL;
	if (heard)
		join_if_read(j, heard, now);
	for (struct joined_group *g = j->first; g; g = g->next) {
		if (smq_group_member_takes(g->m, topic))
			(void)smq_group_member_input(g->m, topic, payload, retained, now);
	}
}

static bool next_look(struct smq_joined *j, struct smq_group_action *ret_action)
{
	static _Thread_local char filter[SMQ_KS_TOPIC_MAX];
	struct smq_ks_topic all = { SMQ_KS_TOPIC_POLICY, smq_span_str("+"), 0, 0 };
	if (!j->looks || !j->online || j->asked_to_look)
		return false;
	j->asked_to_look = true;
	if (smq_ks_topic_write(j->config.prefix, &all, smq_mspan_of((uint8_t *)filter, sizeof(filter))) != SMQ_OK)
		return false;
	*ret_action = (struct smq_group_action){ .kind = SMQ_GROUP_ACT_SUBSCRIBE, .topic = filter };
	return true;
}

SMQ_HOT bool smq_joined_next(struct smq_joined *j, struct smq_now now, struct smq_group_action *ret_action,
			     const char **ret_group)
{
	*ret_group = "";
	int64_t since = now.mono_ms - j->online_ms;
	j->look_due_ms = !j->looks || !j->online || since >= LOOK_MOST_MS ? INT64_MAX
			 : since < LOOK_FIRST_MS                          ? j->online_ms + LOOK_FIRST_MS
									  : j->online_ms + LOOK_MOST_MS;
	if (next_look(j, ret_action))
		return true;
	for (struct joined_group *g = j->first; g; g = g->next) {
		*ret_group = g->name;
		if (g->stays) {
			g->stays = false;
			*ret_action = (struct smq_group_action){ .kind = SMQ_GROUP_ACT_NOTE,
								 .note = { .kind = SMQ_GROUP_STAYS, .text = "" } };
			return true;
		}
		if (!smq_group_member_next(g->m, now, ret_action))
			continue;
		if (ret_action->kind == SMQ_GROUP_ACT_NOTE && ret_action->note.kind == SMQ_GROUP_LEFT)
			g->left = true;
		return true;
	}
	return false;
}

SMQ_HOT int64_t smq_joined_wake_at(const struct smq_joined *j)
{
	int64_t due = j->look_due_ms;
	for (const struct joined_group *g = j->first; g; g = g->next) {
		int64_t at = smq_group_member_wake_at(g->m);
		due = at < due ? at : due;
	}
	if (j->looks && j->online && !j->asked_to_look)
		return INT64_MIN;
	return due;
}

/* The key server knows one membership a member: the last process leaves. Two that end at the very same moment may each
 * take the other for the last: then the membership ends with its lease. */
static bool is_shared(const struct smq_joined *j, const struct joined_group *g)
{
	uint8_t *room = malloc(SMQ_GROUP_STATE_MAX);
	size_t len = 0;
	bool mine = room && g->store &&
		    g->store->get(g->store->self, g->key, smq_mspan_of(room, SMQ_GROUP_STATE_MAX), &len) == SMQ_OK &&
		    smq_group_kept_epoch(smq_span_of(room, len)) > 0;
	if (room)
		smq_wipe(room, SMQ_GROUP_STATE_MAX);
	free(room);
	return g->store && smq_realm_shares(j->realm, g->key, mine);
}

struct latest {
	bool found;
	uint64_t sender_id;
	uint8_t boot_id[SMQ_BOOT_ID_LEN];
};

static void look_at_life(void *self, smq_span state)
{
	struct latest *l = self, one;
	if (!smq_group_kept_life(state, &one.sender_id, one.boot_id) || (l->found && one.sender_id <= l->sender_id))
		return;
	*l = one;
	l->found = true;
}

/* The last of several processes leaves for the one that joined last. */
static void leave(const struct smq_joined *j, const struct joined_group *g, struct smq_now now)
{
	struct latest latest = { .found = false };
	smq_state_each(smq_realm_state_dir(j->realm), g->key, &latest, look_at_life);
	if (latest.found)
		smq_group_member_leave_for(g->m, latest.boot_id);
	smq_group_member_leave(g->m, now);
}

void smq_joined_leave(struct smq_joined *j, struct smq_now now)
{
	for (struct joined_group *g = j->first; g; g = g->next) {
		if (!g->left && is_shared(j, g))
			g->left = g->stays = true;
		else if (!g->left)
			leave(j, g, now);
	}
}

bool smq_joined_belongs(const struct smq_joined *j)
{
	for (const struct joined_group *g = j->first; g; g = g->next) {
		if (!g->left)
			return true;
	}
	return false;
}
