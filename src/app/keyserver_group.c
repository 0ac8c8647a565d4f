/* One group at the key server: who comes and goes, when its epoch has to move, and its slot trees. */
#include "app/keyserver_inner.h"

#include <stdlib.h>

#include "base/wipe.h"

enum { CLOCK_SLACK_MS = 60 * 1000 };

/* ---- life ---- */

static uint64_t capacity(unsigned height) { return UINT64_C(1) << (2 * height); }

static smq_err allocate(struct ks_group *g, unsigned height, uint64_t epoch, uint64_t next_sender_id)
{
	struct smq_keygroup_config config = { &g->scope, g->policy.policy.mode, capacity(height), epoch,
					      next_sender_id };
	size_t size = smq_keygroup_size(&config), digest_size = smq_members_digest_size(height);
	if (size == 0 || digest_size == 0)
		return SMQ_ERR_CORRUPT;
	g->memory = malloc(size);
	g->digest_memory = malloc(digest_size);
	g->leaves = calloc(capacity(height), sizeof(*g->leaves));
	if (!g->memory || !g->digest_memory || !g->leaves)
		return SMQ_ERR_NO_MEMORY;
	smq_err err = smq_members_digest_init(&g->digest, g->ks->config.crypto, height, g->digest_memory, digest_size);
	return err != SMQ_OK ? err : smq_keygroup_init(g->memory, size, &config, &g->group);
}

void ks_group_done(struct ks_group *g)
{
	if (g->group)
		smq_keygroup_done(g->group);
	if (g->history)
		smq_wipe(g->history, (SMQ_KS_HISTORY_MAX + 1) * sizeof(*g->history));
	free(g->memory);
	free(g->digest_memory);
	free(g->leaves);
	free(g->manifest.p);
	free(g->history);
	free(g->bars.bars);
	free(g->dead);
	ks_policy_done(&g->policy);
	smq_wipe(g->slots, sizeof(g->slots));
}

void ks_group_free(struct ks_group *g)
{
	if (!g)
		return;
	ks_group_done(g);
	free(g);
}

smq_err ks_group_new(struct smq_keyserver *ks, smq_span name, unsigned height, uint64_t epoch, uint64_t next_sender_id,
		     smq_span policy, smq_span admin, struct ks_group **ret_group)
{
	struct ks_group *g = calloc(1, sizeof(*g));
	if (!g)
		return SMQ_ERR_NO_MEMORY;
	g->ks = ks;
	memcpy(g->name, name.p, name.len);
	g->scope = (struct smq_tree_scope){ ks->config.crypto, ks->config.random, smq_span_str(ks->realm),
					    smq_span_str(g->name) };
	g->soonest_end_ms = INT64_MAX;
	g->heard_by = INT64_MAX;
	g->epoch_floor = epoch;
	smq_err err = ks_policy_set(ks, &g->policy, policy, admin, name);
	if (err == SMQ_OK)
		err = allocate(g, height, epoch, next_sender_id);
	if (err != SMQ_OK)
		ks_group_free(g);
	else
		*ret_group = g;
	return err;
}

/* A group whose name the broker still has manifests of had a life before, and its database is lost: it goes on above
 * that. Nobody knows its sender ids; the seconds since 1970 are more than there can have been. */
static void continue_what_was_seen(struct ks_group *g, struct smq_now now)
{
	const struct smq_keyserver *ks = g->ks;
	for (size_t i = 0; i < ks->seen_count; i++) {
		const struct ks_seen *s = &ks->seen[i];
		if (strcmp(s->group, g->name) != 0)
			continue;
		g->chain.epoch = s->epoch;
		memcpy(g->chain.hash, s->hash, sizeof(g->chain.hash));
		g->epoch_floor = s->epoch + KS_JUMP;
		smq_keygroup_skip_sender_ids(g->group, (uint64_t)now.unix_ms / 1000);
	}
}

smq_err ks_group_make(struct smq_keyserver *ks, smq_span name, smq_span policy, smq_span admin, struct smq_now now,
		      struct ks_group **ret_group)
{
	struct ks_group *g;
	if (ks->group_count == KS_GROUPS_MAX)
		return SMQ_ERR_FULL;
	smq_err err = ks_group_new(ks, name, KS_HEIGHT_FIRST, 0, 1, policy, admin, &g);
	if (err != SMQ_OK)
		return err;
	g->fresh = g->new_policy = g->moves = true;
	g->slot_start_ms = g->rotated_ms = now.unix_ms;
	continue_what_was_seen(g, now);
	err = ks_slots_ready(g, now);
	if (err == SMQ_OK)
		err = ks_group_add(ks, g);
	if (err != SMQ_OK) {
		ks_group_free(g);
		return err;
	}
	ks_group_schedule(g, true, now);
	*ret_group = g;
	return SMQ_OK;
}

static void *wiped_free(void *p, size_t len)
{
	smq_wipe(p, len);
	free(p);
	return NULL;
}

/* One level more. The epoch that has to follow gives everybody the new root. */
static smq_err grow(struct ks_group *g)
{
	unsigned height = smq_keytree_height(smq_keygroup_tree(g->group)) + 1;
	size_t size = smq_keygroup_grown_size(g->group), digest_size = smq_members_digest_size(height);
	if (size == 0 || digest_size == 0)
		return SMQ_ERR_FULL;
	void *memory = malloc(size), *digest_memory = malloc(digest_size);
	struct ks_leaf *leaves = calloc(capacity(height), sizeof(*leaves));
	smq_err err = memory && digest_memory && leaves ? SMQ_OK : SMQ_ERR_NO_MEMORY;
	if (err == SMQ_OK)
		err = smq_members_digest_grow(&g->digest, digest_memory, digest_size);
	if (err == SMQ_OK) {
		free(g->digest_memory);
		g->digest_memory = digest_memory;
		digest_memory = NULL;
		err = smq_keygroup_grow(g->group, memory, size, &g->group);
	}
	if (err != SMQ_OK) {
		free(memory);
		free(digest_memory);
		free(leaves);
		return err;
	}
	free(g->memory); /* wiped by smq_keygroup_grow */
	g->memory = memory;
	memcpy(leaves, g->leaves, capacity(height - 1) * sizeof(*leaves));
	wiped_free(g->leaves, capacity(height - 1) * sizeof(*leaves));
	g->leaves = leaves;
	return SMQ_OK;
}

/* ---- when to save ---- */

void ks_group_schedule(struct ks_group *g, bool prompt, struct smq_now now)
{
	bool moved = g->moves;
	g->moves = g->moves || smq_keygroup_is_dirty(g->group);
	int64_t at = now.mono_ms + (g->moves && !prompt ? (int64_t)g->policy.policy.batch_ms : 0);
	/* An epoch that begins to be gathered holds up what would have been saved without one; nothing holds up what
	 * is to be done at once. */
	if (!g->due || prompt || (g->moves && !moved && !g->prompt))
		g->due_at = at;
	g->prompt = g->prompt || prompt;
	g->due = true;
}

/* A broker with thousands of members takes a while for a manifest: what comes meanwhile is gathered into one epoch. */
int64_t ks_group_due_at(const struct ks_group *g)
{
	if (!g->due || g->broken)
		return INT64_MAX;
	return g->due_at + (g->moves && !g->prompt && g->manifest_out != 0 ? KS_MANIFEST_WAIT_MS : 0);
}

/* ---- bars ---- */

bool ks_barred(const struct ks_bars *bars, const uint8_t credential[SMQ_HASH_LEN])
{
	for (size_t i = 0; i < bars->count; i++) {
		if (memcmp(bars->bars[i].id, credential, SMQ_HASH_LEN) == 0)
			return true;
	}
	return false;
}

smq_err ks_bar(struct ks_bars *bars, const uint8_t credential[SMQ_HASH_LEN], smq_span name)
{
	if (ks_barred(bars, credential))
		return SMQ_OK;
	if (bars->count == bars->room) {
		size_t room = bars->room ? 2 * bars->room : 8;
		void *more = realloc(bars->bars, room * sizeof(*bars->bars));
		if (!more)
			return SMQ_ERR_NO_MEMORY;
		bars->bars = more;
		bars->room = room;
	}
	struct ks_bar *b = &bars->bars[bars->count++];
	memset(b, 0, sizeof(*b));
	memcpy(b->id, credential, SMQ_HASH_LEN);
	memcpy(b->name, name.p, name.len);
	return SMQ_OK;
}

/* ---- coming and going ---- */

unsigned ks_admitted(const struct ks_group *g, smq_span name, unsigned cert_roles, unsigned roles)
{
	unsigned granted = 0;
	if ((roles & SMQ_JOIN_PUBLISH) && smq_policy_admits(&g->policy.policy, name, cert_roles, SMQ_MAY_PUBLISH))
		granted |= SMQ_JOIN_PUBLISH;
	if ((roles & SMQ_JOIN_SUBSCRIBE) && smq_policy_admits(&g->policy.policy, name, cert_roles, SMQ_MAY_SUBSCRIBE))
		granted |= SMQ_JOIN_SUBSCRIBE;
	return granted;
}

/* Only slots can be given for later: any other key that we hand out opens from now on. */
static smq_err interval(const struct ks_group *g, const struct smq_credential *from, const struct smq_ks_request *q,
			const struct smq_keygroup_member *m, struct smq_now now, struct smq_join *j)
{
	bool slotted = g->policy.policy.mode == SMQ_MODE_SLOTTED;
	smq_err err = smq_policy_grant(&g->policy.policy, slotted ? q->from_ms : now.unix_ms, q->until_ms, now.unix_ms,
				       from->expires_ms, &j->from_ms, &j->until_ms);
	if (err != SMQ_OK)
		return err;
	/* A life that asks again is still the one that began then. */
	if (m && memcmp(m->boot_id, q->boot_id, sizeof(m->boot_id)) == 0 && m->from_ms < j->from_ms)
		j->from_ms = m->from_ms;
	if (slotted) {
		struct smq_slot_times t = ks_slot_times(g);
		uint64_t slot = 0, present = 0;
		if (smq_slot_at(&t, now.unix_ms, &present) != SMQ_OK || smq_slot_at(&t, j->from_ms, &slot) != SMQ_OK)
			return SMQ_OK; /* our clock jumped back to before the group's start: its first slot */
		if (slot >> t.levels > (present >> t.levels) + KS_SLOT_TREES_AHEAD)
			return SMQ_ERR_USAGE;
	}
	return SMQ_OK;
}

static smq_err admit(struct ks_group *g, const struct smq_join *j)
{
	bool pending;
	smq_err err = smq_keygroup_join(g->group, j, &pending);
	if (err != SMQ_ERR_FULL)
		return err;
	err = grow(g);
	return err != SMQ_OK ? err : smq_keygroup_join(g->group, j, &pending);
}

smq_err ks_group_join(struct ks_group *g, const struct smq_credential *from, const struct smq_ks_request *q,
		      struct smq_now now, const char **ret_why)
{
	smq_span name = smq_span_str(from->name);
	const struct smq_keygroup_member *m = smq_keygroup_find(g->group, name);
	/* A member's roles are those of all its processes: one that only reads does not take the other's right to
	 * speak. */
	unsigned roles = q->roles | (m ? m->roles : 0);
	struct smq_join j = { .name = name, .roles = ks_admitted(g, name, from->roles, roles) };
	if (ks_barred(&g->bars, from->id) || ks_barred(&g->ks->bars, from->id)) {
		*ret_why = from->registered ? "expelled: it takes a new key, registered anew, to come back"
					    : "expelled: it takes a new certificate to come back";
		return SMQ_ERR_NOT_AUTHORIZED;
	}
	if (from->registered && g->policy.policy.proof != SMQ_PROOF_NONE && (j.roles & SMQ_JOIN_PUBLISH)) {
		j.roles &= ~(unsigned)SMQ_JOIN_PUBLISH; /* nobody could check what it signs */
		*ret_why = "the group's policy asks its publishers for signatures, and a registered key gives none";
		if (j.roles == 0)
			return SMQ_ERR_NOT_PROVEN;
	}
	if (j.roles == 0) {
		*ret_why = "the group's policy does not admit this member";
		return SMQ_ERR_NOT_AUTHORIZED;
	}
	smq_err err = interval(g, from, q, m, now, &j);
	if (err != SMQ_OK) {
		*ret_why = "nothing is left of the interval that was asked for, or it begins too far ahead";
		return err;
	}
	if (!m && smq_keygroup_member_count(g->group) >= g->policy.policy.members_max) {
		*ret_why = "the group has as many members as its policy allows";
		return SMQ_ERR_FULL;
	}
	memcpy(j.boot_id, q->boot_id, sizeof(j.boot_id));
	err = admit(g, &j);
	if (err != SMQ_OK && smq_keygroup_is_dirty(g->group))
		ks_group_schedule(g, false, now); /* it has grown nevertheless */
	if (err != SMQ_OK)
		return err;
	m = smq_keygroup_find(g->group, name);
	memcpy(g->leaves[m->leaf].credential, from->id, SMQ_HASH_LEN);
	g->leaves[m->leaf].cert_roles = from->roles;
	if (m->until_ms < g->soonest_end_ms)
		g->soonest_end_ms = m->until_ms;
	ks_group_schedule(g, false, now);
	return SMQ_OK;
}

smq_err ks_group_leave(struct ks_group *g, smq_span name, bool expelled, struct smq_now now)
{
	bool moves;
	smq_err err = smq_keygroup_leave(g->group, name, expelled, &moves);
	if (err == SMQ_OK)
		ks_group_schedule(g, expelled, now);
	return err;
}

/* ---- slots ---- */

struct smq_slot_times ks_slot_times(const struct ks_group *g)
{
	return (struct smq_slot_times){ .start_ms = g->slot_start_ms,
					.slot_ms = g->policy.policy.slot_ms,
					.levels = g->policy.policy.slot_levels };
}

static bool has_slot_tree(const struct ks_group *g, uint64_t tree)
{
	for (size_t i = 0; i < g->slot_count; i++) {
		if (g->slots[i].tree == tree)
			return true;
	}
	return false;
}

/* The lowest goes, when there are too many: a clock that jumps ahead and back again finds its trees as they were. */
static smq_err add_slot_tree(struct ks_group *g, uint64_t number)
{
	struct smq_slot_tree tree;
	size_t at = 0;
	smq_err err =
	    smq_slot_tree_init(&tree, g->ks->config.crypto, g->ks->config.random, number, g->policy.policy.slot_levels);
	if (err != SMQ_OK)
		return err;
	if (g->slot_count < KS_SLOT_TREES_KEPT) {
		at = g->slot_count++;
	} else {
		for (size_t i = 1; i < g->slot_count; i++)
			at = g->slots[i].tree < g->slots[at].tree ? i : at;
		if (g->slots[at].stored)
			err = ks_remove(g, SMQ_KS_ITEM_SLOTS, g->slots[at].tree, 0);
	}
	g->slots[at] = (struct ks_slot_root){ .tree = number, .root = tree.root };
	smq_slot_tree_done(&tree);
	return err == SMQ_ERR_NOT_FOUND ? SMQ_OK : err;
}

static uint64_t present_tree(const struct ks_group *g, struct smq_now now)
{
	struct smq_slot_times t = ks_slot_times(g);
	uint64_t slot = 0;
	return smq_slot_at(&t, now.unix_ms, &slot) == SMQ_OK ? slot >> t.levels : 0;
}

static bool slots_missing(const struct ks_group *g, struct smq_now now)
{
	bool missing = false;
	for (uint64_t i = 0; g->policy.policy.mode == SMQ_MODE_SLOTTED && i <= KS_SLOT_TREES_AHEAD; i++)
		missing = missing || !has_slot_tree(g, present_tree(g, now) + i);
	return missing;
}

smq_err ks_slots_ready(struct ks_group *g, struct smq_now now)
{
	smq_err err = SMQ_OK;
	if (g->policy.policy.mode != SMQ_MODE_SLOTTED)
		return SMQ_OK;
	uint64_t present = present_tree(g, now);
	for (uint64_t i = 0; i <= KS_SLOT_TREES_AHEAD && err == SMQ_OK; i++) {
		if (!has_slot_tree(g, present + i) && present + i <= SMQ_SLOT_MAX >> g->policy.policy.slot_levels)
			err = add_slot_tree(g, present + i);
	}
	return err;
}

/* ---- time ---- */

/* When the root has to be drawn afresh: by the policy's interval, and when half of the manifest's validity is over. */
int64_t ks_group_rotates_at(const struct ks_group *g)
{
	const struct smq_policy *p = &g->policy.policy;
	int64_t at = g->chain.expires_ms - (int64_t)p->validity_s * 500;
	if (p->rotate_s != 0 && g->rotated_ms + (int64_t)p->rotate_s * 1000 < at)
		at = g->rotated_ms + (int64_t)p->rotate_s * 1000;
	return at;
}

static void lapse(struct ks_group *g, struct smq_now now)
{
	size_t count = smq_keygroup_lapse(g->group, now.unix_ms);
	g->soonest_end_ms = INT64_MAX;
	for (uint64_t i = 0; i < smq_keygroup_places(g->group); i++) {
		const struct smq_keygroup_member *m = smq_keygroup_at(g->group, i);
		if (m && m->until_ms < g->soonest_end_ms)
			g->soonest_end_ms = m->until_ms;
	}
	if (count > 0)
		ks_group_schedule(g, false, now);
}

/* What is known of the certificate itself. That it has expired ends the interval, and a list that is out of date, or a
 * certificate that was forgotten to make room, says nothing about its owner. */
static bool is_out(smq_err err)
{
	return err == SMQ_ERR_CERT_REVOKED || err == SMQ_ERR_CERT_CHAIN || err == SMQ_ERR_CERT_INVALID;
}

/* Whoever's certificate was revoked is expelled. */
bool ks_group_review(struct ks_group *g, unsigned *budget, struct smq_now now)
{
	const struct smq_credentials *c = g->ks->config.credentials;
	uint64_t places = g->broken || !c->holds ? 0 : smq_keygroup_places(g->group);
	while (*budget > 0 && g->review_at < places) {
		char name[SMQ_MEMBER_NAME_MAX + 1];
		const struct smq_keygroup_member *m = smq_keygroup_at(g->group, g->review_at++);
		if (!m)
			continue;
		--*budget;
		smq_err err = c->holds(c->self, g->leaves[m->leaf].credential, now.unix_ms);
		if (!is_out(err))
			continue;
		memcpy(name, m->name, sizeof(name));
		ks_note(g->ks, "revoked", "", g->name, name, err);
		if (ks_group_leave(g, smq_span_str(name), true, now) != SMQ_OK)
			break; /* the next round comes to it again */
	}
	bool more = g->review_at < places;
	g->review_at = more ? g->review_at : 0;
	return more;
}

/* The broker does not have what we published, or has forgotten it. */
static void check_retained(struct ks_group *g, struct smq_now now)
{
	if (now.mono_ms < g->heard_by)
		return;
	g->heard_by = INT64_MAX;
	if (!g->heard && ks_out_everything(g) != SMQ_OK)
		g->heard_by = now.mono_ms + KS_RETAINED_WAIT_MS;
}

/* Members that were between two nodes of the broker when the epoch came, and arrive where it is not retained, hear of
 * it after 2, 6, 14, 30 and 62 seconds. */
static void announce_again(struct ks_group *g, struct smq_now now)
{
	enum { FIRST_MS = 2000, MOST = 5 };
	if (!g->ks->config.announce_again)
		return;
	if (g->announced != g->chain.epoch) {
		g->announced = g->chain.epoch;
		g->announcements = 0;
		g->announce_at = now.mono_ms + FIRST_MS;
	}
	if (g->announcements == MOST || now.mono_ms < g->announce_at || g->manifest.len == 0)
		return;
	struct ks_out manifest = { g, KS_OUT_MANIFEST, 0 };
	if (ks_out_push(&g->ks->outs, &manifest) != SMQ_OK)
		return;
	g->announcements++;
	g->announce_at = now.mono_ms + ((int64_t)FIRST_MS << g->announcements);
}

/* Our clock has jumped back, and the latest epoch was to begin at a time that we take for wrong now: it is stated anew,
 * or members would wait for it. */
static bool is_ahead_of_us(const struct ks_group *g, struct smq_now now)
{
	return g->activate_at_ms > now.unix_ms + (int64_t)g->policy.policy.activation_ms + CLOCK_SLACK_MS;
}

void ks_group_timers(struct ks_group *g, struct smq_now now)
{
	if (g->broken && now.mono_ms >= g->reload_at) {
		ks_group_reload(g, now);
		return; /* another one stands in its place now */
	}
	if (g->broken || g->fresh)
		return;
	check_retained(g, now);
	announce_again(g, now);
	if (now.unix_ms >= g->soonest_end_ms)
		lapse(g, now);
	if (slots_missing(g, now))
		ks_group_schedule(g, false, now);
	if ((now.unix_ms >= ks_group_rotates_at(g) || is_ahead_of_us(g, now)) && !(g->due && g->prompt)) {
		smq_keygroup_rotate(g->group);
		ks_group_schedule(g, true, now);
	}
}

void ks_group_jump(struct ks_group *g, uint64_t epoch, const uint8_t hash[SMQ_HASH_LEN], struct smq_now now)
{
	g->jump_epoch = epoch;
	memmove(g->jump_hash, hash, sizeof(g->jump_hash));
	if (epoch + KS_JUMP > g->epoch_floor)
		g->epoch_floor = epoch + KS_JUMP;
	/* What was granted and never published, nobody shows us: members who follow that have a manifest above this one.
	 * So the predecessor that we name is of an epoch that nobody has: for each of them one that it has missed. */
	g->chain.epoch = g->epoch_floor;
	memcpy(g->chain.hash, g->jump_hash, sizeof(g->chain.hash));
	/* One backup put back twice would give out the same ids twice: the epochs that were published since tell. */
	uint64_t ids = smq_keygroup_next_sender_id(g->group) + KS_JUMP;
	smq_keygroup_skip_sender_ids(g->group, ids > g->epoch_floor ? ids : g->epoch_floor);
	g->jumped = true;
	smq_keygroup_renew(g->group);
	ks_group_schedule(g, true, now);
}
