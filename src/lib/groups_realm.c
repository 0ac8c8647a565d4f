/* The groups port over a realm directory: the groups it holds key files of, and those that it joins. */
#include "lib/groups_realm.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "app/group_windows.h"
#include "app/kept_life.h"
#include "app/topic_filter.h"
#include "base/hot.h"
#include "base/wipe.h"
#include "lib/group_files.h"
#include "lib/groups_joined.h"
#include "lib/realm_internal.h"

enum { LIVES_MIN = 16 };

/* One group of the realm. */
struct entry {
	struct entry *next;
	bool readable; /* among options->groups */
	bool with_windows;
	struct smq_group_file file;
	struct smq_group_windows_store windows_store;
	struct smq_group_windows windows;
	struct smq_group group;
	bool with_life;
	struct smq_kept_life life;
	size_t life_count;
	struct smq_group_life lives[]; /* life_count */
};

struct groups {
	const struct smq_client_options *options; /* during loading */
	char realm[SMQ_NAME_MAX + 1], member[SMQ_NAME_MAX + 1];
	smq_realm *keeper; /* of the store */
	bool stamp, cose, keep_boot_id;
	struct entry *first;
	const struct smq_seal_key *last_key;
	struct smq_joined *joined; /* those that a key server keeps */
	struct smq_group_file *loading;
};

static _Thread_local char why_text[PATH_MAX + 256];

/* ---- opening ---- */

static struct entry *find(const struct groups *g, const char *name)
{
	struct entry *e = g->first;
	while (e && strcmp(e->file.group, name) != 0)
		e = e->next;
	return e;
}

static bool is_wanted(const struct smq_client_options *o, const char *name)
{
	for (size_t i = 0; i < o->group_count; i++) {
		if (strcmp(o->groups[i], name) == 0)
			return true;
	}
	return o->group_count == 0;
}

static smq_err add_group(void *self, const char *path)
{
	struct groups *g = self;
	smq_err err = smq_group_files_load(path, g->realm, g->loading, why_text, sizeof(why_text));
	if (err != SMQ_OK)
		return err;
	size_t lives = 2 * g->loading->member_count;
	lives = lives < LIVES_MIN ? LIVES_MIN : lives;
	struct entry *e = calloc(1, sizeof(*e) + lives * sizeof(e->lives[0]));
	if (!e)
		return SMQ_ERR_NO_MEMORY;
	e->file = *g->loading;
	e->life_count = lives;
	e->readable = is_wanted(g->options, e->file.group);
	err = smq_group_init(&e->group, smq_crypto_best(), smq_random_system(), &e->file, g->member, NULL, e->lives,
			     lives);
	if (err != SMQ_OK) {
		snprintf(why_text, sizeof(why_text), "%s: %s", path, smq_err_text(err));
		smq_wipe(e, sizeof(*e));
		free(e);
		return err;
	}
	e->group.sealer.cose = g->cose;
	e->group.lives.repeats = g->options->repeats;
	e->group.prefix = smq_realm_control_prefix(g->options->realm);
	e->next = g->first;
	g->first = e;
	return SMQ_OK;
}

/* A group whose key file is not here is one of the key server's. */
static smq_err join_wanted(struct groups *g, struct smq_now now)
{
	const struct smq_client_options *o = g->options;
	for (size_t i = 0; i < o->group_count; i++) {
		smq_err err = find(g, o->groups[i]) ? SMQ_OK : smq_joined_add(g->joined, o->groups[i], now);
		if (err != SMQ_OK) {
			snprintf(why_text, sizeof(why_text), "group %s: %s%s", o->groups[i], smq_err_text(err),
				 err == SMQ_ERR_LOCKED ? "; 16 processes read with this realm directory already" : "");
			return err;
		}
	}
	return SMQ_OK;
}

static void groups_free(void *self)
{
	struct groups *g = self;
	while (g->first) {
		struct entry *e = g->first;
		g->first = e->next;
		if (e->with_life)
			smq_kept_life_end(&e->life, &e->group.sealer);
		smq_group_done(&e->group);
		smq_wipe(e, sizeof(*e));
		free(e);
	}
	smq_joined_free(g->joined);
	free(g);
}

static smq_err load_all(struct groups *g, const char *realm_dir)
{
	g->loading = malloc(sizeof(*g->loading));
	if (!g->loading)
		return SMQ_ERR_NO_MEMORY;
	smq_err err = smq_group_files_each(realm_dir, add_group, g, why_text, sizeof(why_text));
	smq_wipe(g->loading, sizeof(*g->loading));
	free(g->loading);
	g->loading = NULL;
	return err;
}

/* The windows are there before the first message is opened; a life of ours that cannot keep them opens nothing. */
static smq_err need_windows(struct groups *g, struct entry *e)
{
	struct smq_store *store;
	if (e->with_windows || e->group.lives.repeats)
		return SMQ_OK;
	smq_err err = smq_realm_store(g->keeper, SMQ_STATE_READS, &store);
	if (err == SMQ_OK)
		err = smq_group_windows_init(&e->windows_store, store, smq_crypto_best(), &e->file, &e->windows);
	if (err != SMQ_OK)
		return err;
	e->group.lives.windows = &e->windows;
	e->with_windows = true;
	return SMQ_OK;
}

/* Where the boot id is kept, its counters are reserved on the disk before they are used (PROTOCOL.md 3.7). */
static smq_err need_life(struct groups *g, struct entry *e)
{
	struct smq_store *store;
	if (!g->keep_boot_id)
		return SMQ_OK;
	if (e->with_life)
		return smq_kept_life_before_seal(&e->life, &e->group.sealer);
	smq_err err = smq_realm_store(g->keeper, SMQ_STATE_COUNTERS, &store);
	if (err == SMQ_OK)
		err = smq_kept_life_begin(&e->life, store, smq_crypto_best(), smq_random_system(), &e->group);
	e->with_life = err == SMQ_OK;
	return err;
}

/* ---- the port ---- */

SMQ_HOT static smq_err groups_seal_proven(void *self, const char *group, const char *topic, smq_span plain,
					  struct smq_now now, struct smq_seal_proof *proof, smq_mspan room,
					  size_t *ret_len)
{
	struct groups *g = self;
	struct entry *e = find(g, group);
	if (!e)
		return smq_joined_seal(g->joined, group, topic, plain, now, proof, room, ret_len);
	smq_err err = need_life(g, e);
	if (err != SMQ_OK)
		return err;
	int64_t stamp_ms = g->stamp ? now.unix_ms : -1;
	if (!proof)
		return smq_group_seal(&e->group, smq_span_str(topic), stamp_ms, plain, room, ret_len);
	return smq_group_seal_proven(&e->group, smq_span_str(topic), stamp_ms, plain, proof, room, ret_len);
}

SMQ_HOT static smq_err groups_seal(void *self, const char *group, const char *topic, smq_span plain, struct smq_now now,
				   smq_mspan room, size_t *ret_len)
{
	return groups_seal_proven(self, group, topic, plain, now, NULL, room, ret_len);
}

static const struct smq_seal_key *groups_last_key(void *self)
{
	const struct groups *g = self;
	return g->last_key;
}

SMQ_HOT static void fill(struct entry *e, const struct smq_sealed *s, const struct smq_group_opened *o,
			 struct smq_now now, const uint8_t *plain, struct smq_message *m)
{
	m->mqtt.payload = smq_span_of(plain, o->len);
	m->proof = SMQ_PROOF_MEMBER;
	m->sender = o->sender;
	m->group = e->file.group;
	m->algorithm = e->file.alg->name;
	m->epoch = s->epoch;
	m->slot = SMQ_NO_SLOT;
	m->counter = s->counter;
	memcpy(m->boot_id, s->boot_id, sizeof(m->boot_id));
	m->age_ms = s->has_stamp ? smq_stamp_age(s->stamp, now.unix_ms) : SMQ_NO_AGE;
	m->missing = o->missing;
	m->repeated = o->repeated;
}

SMQ_HOT static smq_err open_in(struct groups *g, struct entry *e, const struct smq_sealed *s, const char *topic,
			       struct smq_now now, smq_mspan room, struct smq_message *ret_message)
{
	struct smq_group_opened o;
	smq_err err = need_windows(g, e);
	if (err == SMQ_OK)
		err = smq_group_open(&e->group, s, smq_span_str(topic), now.mono_ms, room, &o);
	if (err != SMQ_OK)
		return err;
	g->last_key = o.key;
	fill(e, s, &o, now, room.p, ret_message);
	return SMQ_OK;
}

/* What a refusal may say of the sender: claimed, not proven. */
static void claim(const struct entry *e, const struct smq_sealed *s, struct smq_message *m)
{
	if (s->kind == SMQ_SEALED_SESSION)
		return;
	m->epoch = s->epoch;
	m->counter = s->counter;
	m->group = e->file.group;
	if (s->sender_id < e->file.member_count)
		m->sender = e->file.members[s->sender_id];
}

/* The header names no group: the one that has heard this life before is tried alone, else all that cover the topic. */
SMQ_HOT static smq_err groups_open(void *self, const char *topic, smq_span payload, struct smq_now now, smq_mspan room,
				   struct smq_message *ret_message)
{
	struct groups *g = self;
	struct smq_sealed s;
	smq_err worst = SMQ_ERR_NO_KEY;
	smq_err err = smq_sealed_decode(payload, &s);
	if (err != SMQ_OK)
		return err;
	for (struct entry *e = g->first; e; e = e->next) {
		if (e->readable && smq_group_knows(&e->group, &s)) {
			claim(e, &s, ret_message);
			return open_in(g, e, &s, topic, now, room, ret_message);
		}
	}
	for (struct entry *e = g->first; e; e = e->next) {
		if (!e->readable)
			continue;
		err = open_in(g, e, &s, topic, now, room, ret_message);
		if (err == SMQ_OK)
			return SMQ_OK;
		if (smq_group_answer_weight(err) > smq_group_answer_weight(worst)) {
			worst = err;
			claim(e, &s, ret_message);
		}
	}
	err = s.kind == SMQ_SEALED_SESSION
		  ? SMQ_ERR_NO_KEY
		  : smq_joined_open(g->joined, &s, topic, now, room, ret_message, &g->last_key);
	return err == SMQ_OK || err == SMQ_ERR_NO_SESSION || worst == SMQ_ERR_NO_KEY ? err : worst;
}

SMQ_HOT static bool groups_ready(void *self, const char *group, struct smq_now now)
{
	struct groups *g = self;
	if (find(g, group))
		return true;
	/* one that was not named in the options: it is joined when it is first needed */
	return smq_joined_add(g->joined, group, now) != SMQ_OK || smq_joined_ready(g->joined, group, now);
}

static uint64_t file_width(const struct smq_group_file *f, smq_span topic)
{
	uint64_t best = f->filter_count == 0; /* for every topic: as wide as can be */
	for (size_t i = 0; i < f->filter_count; i++) {
		uint64_t width = smq_filter_width(smq_span_str(f->filters[i]), topic);
		best = width > best ? width : best;
	}
	return best;
}

/* What is known by a key file counts at once; policies take a moment to come. */
static smq_err groups_choose(void *self, const char *topic, struct smq_now now, const char **ret_group)
{
	struct groups *g = self;
	const char *best = NULL;
	uint64_t width = 0;
	for (struct entry *e = g->first; e; e = e->next) {
		uint64_t its = file_width(&e->file, smq_span_str(topic));
		if (its > width) {
			width = its;
			best = e->file.group;
		}
	}
	if (!best)
		smq_joined_choose(g->joined, topic, now, &width, &best);
	if (!best)
		return smq_joined_is_looking(g->joined, now) ? SMQ_ERR_NO_SESSION : SMQ_ERR_NOT_FOUND;
	*ret_group = best;
	return SMQ_OK;
}

static smq_err groups_may_command(void *self, const char *group, const char *name, unsigned roles, const char *whom)
{
	struct groups *g = self;
	return find(g, group) ? SMQ_ERR_NOT_FOUND : smq_joined_may_command(g->joined, group, name, roles, whom);
}

/* ---- the control plane: of joined groups alone ---- */

static struct smq_joined *joined_of(const void *self) { return ((const struct groups *)self)->joined; }

static void groups_online(void *self, struct smq_now now) { smq_joined_online(joined_of(self), now); }
static void groups_offline(void *self) { smq_joined_offline(joined_of(self)); }
SMQ_HOT static bool groups_takes(void *self, const char *topic) { return smq_joined_takes(joined_of(self), topic); }
SMQ_HOT static int64_t groups_wake_at(void *self) { return smq_joined_wake_at(joined_of(self)); }
static void groups_reads(void *self, const char *filter, struct smq_now now)
{
	smq_joined_reads(joined_of(self), filter, now);
}
static void groups_leave(void *self, struct smq_now now) { smq_joined_leave(joined_of(self), now); }
static bool groups_belongs(void *self) { return smq_joined_belongs(joined_of(self)); }

static void groups_input(void *self, const char *topic, smq_span payload, bool retained, struct smq_now now)
{
	smq_joined_input(joined_of(self), topic, payload, retained, now);
}

SMQ_HOT static bool groups_next(void *self, struct smq_now now, struct smq_group_action *ret_action,
				const char **ret_group)
{
	return smq_joined_next(joined_of(self), now, ret_action, ret_group);
}

smq_err smq_groups_realm_open(const struct smq_client_options *o, struct smq_now now, struct smq_groups *ret_groups,
			      const char **ret_why)
{
	struct groups *g = calloc(1, sizeof(*g));
	smq_err err = SMQ_ERR_NO_MEMORY;
	snprintf(why_text, sizeof(why_text), "out of memory");
	if (!g)
		goto out;
	g->options = o;
	g->stamp = o->stamp;
	g->cose = o->cose;
	g->keep_boot_id = o->keep_boot_id;
	snprintf(g->realm, sizeof(g->realm), "%s", smq_realm_name(o->realm));
	snprintf(g->member, sizeof(g->member), "%s", smq_realm_member(o->realm));
	g->keeper = o->realm;
	err = smq_joined_new(o, &g->joined);
	if (err == SMQ_OK)
		err = load_all(g, smq_realm_dir(o->realm));
	if (err == SMQ_OK)
		err = join_wanted(g, now);
	g->options = NULL;
	if (err != SMQ_OK) {
		groups_free(g);
		goto out;
	}
	*ret_groups = (struct smq_groups){
		.self = g,
		.seal = groups_seal,
		.open = groups_open,
		.seal_proven = groups_seal_proven,
		.last_key = groups_last_key,
		.room = smq_sealed_room,
		.free = groups_free,
		.ready = groups_ready,
		.choose = groups_choose,
		.reads = groups_reads,
		.may_command = groups_may_command,
		.online = groups_online,
		.offline = groups_offline,
		.takes = groups_takes,
		.input = groups_input,
		.next = groups_next,
		.wake_at = groups_wake_at,
		.leave = groups_leave,
		.belongs = groups_belongs,
	};
	return SMQ_OK;
out:
	if (err != SMQ_OK && ret_why)
		*ret_why = why_text;
	return err;
}
