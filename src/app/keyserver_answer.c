/* Requests to the key server, one by one: who may ask for what, and what the answer is. */
#include "app/keyserver_inner.h"

#include <stdlib.h>

#include "base/wipe.h"

static const struct {
	enum smq_ks_what what;
	const char *name;
	bool admin;
} table[] = {
	{ SMQ_KS_JOIN, "join", false },
	{ SMQ_KS_LEAVE, "leave", false },
	{ SMQ_KS_FETCH, "fetch", false },
	{ SMQ_KS_POLICY, "policy", true },
	{ SMQ_KS_LIST, "list", true },
	{ SMQ_KS_SHOW, "show", true },
	{ SMQ_KS_MEMBERS, "members", true },
	{ SMQ_KS_ROTATE, "rotate", true },
	{ SMQ_KS_EXPEL, "expel", true },
	{ SMQ_KS_REGISTER, "register", true },
	{ SMQ_KS_UNREGISTER, "unregister", true },
	{ SMQ_KS_REGISTERED, "registered", true },
	{ SMQ_KS_REGISTER_MANY, "register-many", true },
};

const char *ks_what_name(enum smq_ks_what what)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].what == what)
			return table[i].name;
	}
	return "request";
}

_Static_assert(sizeof(table) / sizeof(table[0]) == KS_WHATS, "each kind of request is counted");
const char *ks_what_at(size_t i) { return table[i].name; }

static bool is_for_admins(enum smq_ks_what what) { return what >= SMQ_KS_POLICY; }

static void copy_name(char *to, smq_span name)
{
	memcpy(to, name.p, name.len);
	to[name.len] = 0;
}

/* ---- what goes out ---- */

static void send(struct smq_keyserver *ks, uint64_t run, const struct smq_ks_answer *answer)
{
	size_t len = 0;
	char to[SMQ_MEMBER_NAME_MAX + 1];
	smq_err err = smq_ks_answer_encode(answer, smq_mspan_of(ks->answer, sizeof(ks->answer)), &len);
	if (err == SMQ_OK)
		err = smq_ks_desk_answer(ks->desk, run, smq_span_of(ks->answer, len),
					 smq_mspan_of(ks->envelope, sizeof(ks->envelope)), &len, to);
	if (err == SMQ_OK)
		ks_reply(ks, SMQ_KS_TOPIC_ANSWER, smq_span_str(to), smq_span_of(ks->envelope, len));
	smq_wipe(ks->answer, sizeof(ks->answer));
}

static void refuse(struct smq_keyserver *ks, uint64_t run, smq_err err, const char *why)
{
	struct smq_ks_answer a = { .status = err, .text = smq_span_str(why ? why : smq_err_text(err)) };
	a.body = smq_span_of("\xf6", 1); /* null */
	send(ks, run, &a);
}

static void answer_with(struct smq_keyserver *ks, uint64_t run, smq_err err, size_t body_len)
{
	struct smq_ks_answer a = { .status = SMQ_OK,
				   .text = smq_span_str(""),
				   .body = smq_span_of(ks->body, body_len) };
	if (err != SMQ_OK)
		refuse(ks, run, err, NULL);
	else
		send(ks, run, &a);
	smq_wipe(ks->body, body_len);
}

static void tell_asked(struct smq_keyserver *ks, const char *who, enum smq_ks_what what, const char *group,
		       const char *whom, smq_err err)
{
	struct smq_keyserver_event e = { .kind = SMQ_KEYSERVER_ASKED,
					 .who = who,
					 .what = ks_what_name(what),
					 .group = group,
					 .whom = whom,
					 .err = err };
	ks_tell(ks, &e);
}

void ks_note(struct smq_keyserver *ks, const char *what, const char *who, const char *group, const char *whom,
	     smq_err err)
{
	if (ks->note_count == KS_NOTES_MAX)
		return; /* requests are refused before it comes to that */
	struct ks_note *n = &ks->notes[ks->note_count++];
	n->what = what;
	n->err = err;
	copy_name(n->who, smq_span_str(who));
	copy_name(n->group, smq_span_str(group));
	copy_name(n->whom, smq_span_str(whom));
}

/* ---- a member's place ---- */

static smq_err grant_seeds(const struct ks_group *g, const struct smq_grant *place, struct smq_now now,
			   uint8_t (*room)[SMQ_SLOT_SEEDS_BYTES_MAX], struct smq_ks_grant *grant)
{
	struct smq_slot_times t = ks_slot_times(g);
	uint64_t first, last, in_first, in_last;
	int64_t from = place->from_ms > now.unix_ms ? place->from_ms : now.unix_ms;
	struct smq_slot_seeds seeds;
	smq_err err = smq_slot_interval(&t, from, place->until_ms, &first, &last);
	for (uint64_t tree = first >> t.levels; err == SMQ_OK && grant->tree_count < SMQ_KS_TREES_MAX; tree++) {
		struct smq_slot_tree slots = { .crypto = g->ks->config.crypto, .number = tree, .levels = t.levels };
		const struct ks_slot_root *root = NULL;
		size_t len = 0;
		for (size_t i = 0; i < g->slot_count; i++)
			root = g->slots[i].tree == tree ? &g->slots[i] : root;
		if (!root || !smq_slot_part(t.levels, tree, first, last, &in_first, &in_last))
			break;
		slots.root = root->root;
		err = smq_slot_cover(&slots, in_first, in_last, &seeds);
		if (err == SMQ_OK)
			err = smq_slot_seeds_encode(
			    &seeds, smq_mspan_of(room[grant->tree_count], SMQ_SLOT_SEEDS_BYTES_MAX), &len);
		grant->trees[grant->tree_count].tree = tree;
		grant->trees[grant->tree_count].seeds = smq_span_of(room[grant->tree_count], len);
		grant->tree_count++;
		smq_slot_tree_done(&slots);
		smq_wipe(&seeds, sizeof(seeds));
	}
	return err;
}

static void grant_history(const struct ks_group *g, uint64_t joined, struct smq_ks_grant *grant)
{
	uint64_t oldest = smq_policy_oldest_epoch(&g->policy.policy, joined, grant->epoch);
	for (size_t i = 0; i < g->history_count && grant->history_count < SMQ_KS_HISTORY_MAX; i++) {
		const struct ks_epoch *e = &g->history[i];
		if (e->epoch < oldest || e->epoch >= grant->epoch)
			continue;
		grant->history[grant->history_count].epoch = e->epoch;
		memcpy(grant->history[grant->history_count].secret, e->secret.b, sizeof(e->secret.b));
		memcpy(grant->history[grant->history_count++].manifest, e->manifest, sizeof(e->manifest));
	}
}

static void fill_grant(const struct ks_group *g, const struct smq_grant *place, const struct smq_epoch_keys *keys,
		       struct smq_ks_grant *grant)
{
	*grant = (struct smq_ks_grant){ .sender_id = place->sender_id,
					.leaf = place->leaf,
					.roles = place->roles,
					.from_ms = place->from_ms,
					.until_ms = place->until_ms,
					.epoch = place->epoch,
					.manifest = ks_span(&g->manifest),
					.policy = ks_span(&g->policy.signed_bytes),
					.admin = ks_span(&g->policy.admin),
					.path_len = place->height + 1 };
	memcpy(grant->secret, keys->secret.b, sizeof(grant->secret));
	for (unsigned h = 0; h <= place->height; h++) {
		grant->path[h].version = place->path[h].version;
		grant->path[h].refreshed = place->path[h].refreshed;
		memcpy(grant->path[h].key, place->path[h].key.b, sizeof(grant->path[h].key));
	}
}

/* All the secrets of one answer, to be wiped together. */
struct grant_room {
	struct smq_grant place;
	struct smq_epoch_keys keys;
	struct smq_ks_grant grant;
	uint8_t seeds[SMQ_KS_TREES_MAX][SMQ_SLOT_SEEDS_BYTES_MAX];
};

static void answer_join(struct smq_keyserver *ks, const struct ks_wait *w, struct smq_now now)
{
	struct grant_room r;
	struct ks_group *g = w->group;
	const struct smq_keygroup_member *m = smq_keygroup_find(g->group, smq_span_str(w->who));
	size_t len = 0;
	smq_err err = m ? smq_keygroup_grant(g->group, smq_span_str(w->who), &r.place) : SMQ_ERR_NOT_AUTHORIZED;
	if (err == SMQ_OK)
		err = smq_keygroup_keys(g->group, &r.keys);
	if (err == SMQ_OK) {
		fill_grant(g, &r.place, &r.keys, &r.grant);
		grant_history(g, m->joined, &r.grant);
		if (g->policy.policy.mode == SMQ_MODE_SLOTTED)
			err = grant_seeds(g, &r.place, now, r.seeds, &r.grant);
	}
	if (err == SMQ_OK)
		err = smq_ks_grant_encode(&r.grant, smq_mspan_of(ks->body, sizeof(ks->body)), &len);
	answer_with(ks, w->run, err, len);
	smq_wipe(&r, sizeof(r));
}

/* ---- those who wait for a transaction ---- */

struct asking {
	struct smq_keyserver *ks;
	uint64_t run;
	const struct smq_credential *from;
	const struct smq_ks_request *q;
	struct ks_group *g; /* NULL: there is none of that name */
	struct smq_now now;
	const char *why;
	bool waits; /* the answer comes after a transaction */
	size_t body_len;
};

static void wait_for(const struct asking *a, smq_span whom)
{
	struct ks_wait *w = &a->ks->waits[a->ks->wait_count++];
	*w = (struct ks_wait){ .run = a->run, .group = a->g, .what = a->q->what };
	memcpy(w->boot_id, a->q->boot_id, sizeof(w->boot_id));
	copy_name(w->who, smq_span_str(a->from->name));
	copy_name(w->whom, whom);
}

bool ks_wait_is_overtaken(const struct ks_wait *w)
{
	const struct smq_keygroup_member *m =
	    w->what == SMQ_KS_JOIN && w->group ? smq_keygroup_find(w->group->group, smq_span_str(w->who)) : NULL;
	return m && memcmp(m->boot_id, w->boot_id, sizeof(m->boot_id)) != 0;
}

void ks_join_overtaken(struct smq_keyserver *ks, struct smq_now now)
{
	for (size_t i = 0; i < ks->wait_count; i++) {
		struct ks_wait *w = &ks->waits[i];
		bool pending;
		if (!w->overtaken)
			continue;
		w->overtaken = false;
		const struct smq_keygroup_member *m = smq_keygroup_find(w->group->group, smq_span_str(w->who));
		if (m && ks_wait_is_overtaken(w)) {
			struct smq_join j = { smq_span_str(w->who), m->roles, m->from_ms, m->until_ms, { 0 } };
			memcpy(j.boot_id, w->boot_id, sizeof(j.boot_id));
			(void)!smq_keygroup_join(w->group->group, &j, &pending);
		}
		ks_group_schedule(w->group, true, now);
	}
}

bool ks_wait_is_over(const struct ks_wait *w, struct smq_now now)
{
	const struct ks_group *g = w->group;
	return !g || now.mono_ms >= ks_group_due_at(g);
}

void ks_answer_waits(struct smq_keyserver *ks, smq_err err, struct smq_now now)
{
	size_t kept = 0;
	for (size_t i = 0; i < ks->wait_count; i++) {
		struct ks_wait w = ks->waits[i];
		const struct ks_group *g = w.group;
		bool over = ks_wait_is_over(&w, now);
		w.overtaken = over && err == SMQ_OK && ks_wait_is_overtaken(&w);
		if (!over || w.overtaken) {
			ks->waits[kept++] = w;
			continue;
		}
		tell_asked(ks, w.who, w.what, g ? g->name : "", w.whom, err);
		if (w.quiet)
			continue;
		if (err != SMQ_OK)
			refuse(ks, w.run, err, NULL);
		else if (w.what == SMQ_KS_JOIN)
			answer_join(ks, &w, now);
		else
			refuse(ks, w.run, SMQ_OK, "");
	}
	ks->wait_count = kept;
}

/* ---- members' requests ---- */

/* Where a template allows it, a group comes into being at its first join. */
static smq_err make_group(struct asking *a)
{
	struct smq_keyserver *ks = a->ks;
	const struct ks_policy *t = ks_template_for(ks, a->q->group);
	unsigned roles = 0;
	if (!t) {
		a->why = "there is no such group";
		return SMQ_ERR_NOT_FOUND;
	}
	smq_span name = smq_span_str(a->from->name);
	roles |= smq_policy_admits(&t->policy, name, a->from->roles, SMQ_MAY_PUBLISH) ? SMQ_JOIN_PUBLISH : 0;
	roles |= smq_policy_admits(&t->policy, name, a->from->roles, SMQ_MAY_SUBSCRIBE) ? SMQ_JOIN_SUBSCRIBE : 0;
	if ((roles & a->q->roles) == 0 || ks_barred(&ks->bars, a->from->id)) {
		a->why = "the policy for such groups does not admit this member";
		return SMQ_ERR_NOT_AUTHORIZED;
	}
	return ks_group_make(ks, a->q->group, ks_span(&t->signed_bytes), ks_span(&t->admin), a->now, &a->g);
}

static smq_err ask_join(struct asking *a)
{
	smq_err err = a->g ? SMQ_OK : make_group(a);
	if (err == SMQ_OK)
		err = ks_group_join(a->g, a->from, a->q, a->now, &a->why);
	a->waits = err == SMQ_OK;
	return err;
}

static smq_err ask_leave(struct asking *a)
{
	smq_span name = smq_span_str(a->from->name);
	const struct smq_keygroup_member *m = a->g ? smq_keygroup_find(a->g->group, name) : NULL;
	if (!m || memcmp(m->boot_id, a->q->boot_id, sizeof(m->boot_id)) != 0) {
		a->waits = a->g && a->g->due; /* the leave that is asked for again may not be durable yet */
		return SMQ_OK;                /* it has left already, or lives on otherwise */
	}
	smq_err err = ks_group_leave(a->g, name, false, a->now);
	a->waits = err == SMQ_OK;
	return err;
}

static smq_err fetch_items(struct asking *a, uint8_t *room, size_t room_len, struct smq_ks_fetched *f)
{
	const struct smq_ks_store *s = &a->ks->config.store;
	size_t at = 0;
	for (size_t i = 0; i < a->q->node_count + a->q->sender_count; i++) {
		bool node = i < a->q->node_count;
		uint64_t x = node ? a->q->nodes[i].height : a->q->senders[i - a->q->node_count];
		uint64_t y = node ? a->q->nodes[i].index : 0;
		size_t len = 0;
		smq_err err = s->get(s->self, node ? SMQ_KS_ITEM_MESSAGE : SMQ_KS_ITEM_CARD, a->g->name, x, y,
				     smq_mspan_of(room + at, room_len - at), &len);
		if (err == SMQ_ERR_NOT_FOUND)
			continue;
		if (err != SMQ_OK)
			return err;
		if (node)
			f->nodes[f->node_count++] = smq_span_of(room + at, len);
		else
			f->cards[f->card_count++] = smq_span_of(room + at, len);
		at += len;
	}
	return SMQ_OK;
}

static smq_err ask_fetch(struct asking *a)
{
	struct ks_group *g = a->g;
	struct smq_ks_fetched f = { .node_count = 0 };
	size_t room_len = SMQ_KS_FETCH_NODES_MAX * SMQ_TREE_NODE_MAX + SMQ_KS_FETCH_SENDERS_MAX * 512;
	if (!g || !smq_keygroup_find(g->group, smq_span_str(a->from->name))) {
		a->why = "not a member of such a group";
		return SMQ_ERR_NOT_AUTHORIZED;
	}
	uint8_t *room = malloc(room_len);
	f.manifest = ks_span(&g->manifest);
	f.policy = ks_span(&g->policy.signed_bytes);
	f.admin = ks_span(&g->policy.admin);
	smq_err err = room ? fetch_items(a, room, room_len, &f) : SMQ_ERR_NO_MEMORY;
	if (err == SMQ_OK)
		err = smq_ks_fetched_encode(&f, smq_mspan_of(a->ks->body, sizeof(a->ks->body)), &a->body_len);
	free(room);
	return err;
}

/* ---- admins' requests ---- */

static struct smq_ks_group_line line_of(const struct ks_group *g)
{
	return (struct smq_ks_group_line){ .group = smq_span_str(g->name),
					   .mode = g->policy.policy.mode,
					   .epoch = smq_keygroup_epoch(g->group),
					   .members = smq_keygroup_member_count(g->group),
					   .height = smq_keytree_height(smq_keygroup_tree(g->group)),
					   .policy_number = g->policy.mark.number,
					   .activate_at_ms = g->activate_at_ms,
					   .expires_ms = g->chain.expires_ms,
					   .policy = ks_span(&g->policy.signed_bytes),
					   .admin = ks_span(&g->policy.admin) };
}

static smq_err ask_list(struct asking *a)
{
	struct smq_ks_group_line lines[SMQ_KS_PAGE];
	size_t count = 0;
	uint64_t at = a->q->offset;
	for (; at < a->ks->group_count && count < SMQ_KS_PAGE; at++) {
		if (!a->ks->groups[at]->fresh)
			lines[count++] = line_of(a->ks->groups[at]);
	}
	return smq_ks_list_encode(lines, count, at < a->ks->group_count ? at : SMQ_KS_NO_MORE,
				  smq_mspan_of(a->ks->body, sizeof(a->ks->body)), &a->body_len);
}

static smq_err ask_show(struct asking *a)
{
	struct smq_ks_group_line line = line_of(a->g);
	return smq_ks_show_encode(&line, smq_mspan_of(a->ks->body, sizeof(a->ks->body)), &a->body_len);
}

static smq_err ask_members(struct asking *a)
{
	struct smq_ks_member_line lines[SMQ_KS_PAGE];
	size_t count = 0;
	uint64_t at = a->q->offset, end = smq_keygroup_places(a->g->group);
	for (; at < end && count < SMQ_KS_PAGE; at++) {
		const struct smq_keygroup_member *m = smq_keygroup_at(a->g->group, at);
		if (!m)
			continue;
		bool by_key = ks_key_is_registered(a->ks, a->g->leaves[m->leaf].credential);
		lines[count++] =
		    (struct smq_ks_member_line){ smq_span_str(m->name), m->sender_id,
						 m->roles | (by_key ? SMQ_KS_BY_KEY : 0u), m->from_ms, m->until_ms };
	}
	return smq_ks_members_encode(lines, count, at < end ? at : SMQ_KS_NO_MORE,
				     smq_mspan_of(a->ks->body, sizeof(a->ks->body)), &a->body_len);
}

static smq_err ask_policy(struct asking *a)
{
	smq_err err = ks_policy_take(a->ks, a->q, a->now, &a->g);
	a->waits = err == SMQ_OK && a->g;
	return err;
}

static smq_err ask_rotate(struct asking *a)
{
	smq_keygroup_rotate(a->g->group);
	ks_group_schedule(a->g, true, a->now);
	a->waits = true;
	return SMQ_OK;
}

/* Expels from one group, and keeps the certificate from coming back. */
static smq_err expel_from(struct asking *a, struct ks_group *g, struct ks_bars *bars)
{
	const struct smq_keygroup_member *m = smq_keygroup_find(g->group, a->q->name);
	if (!m)
		return SMQ_ERR_NOT_FOUND;
	smq_err err = ks_bar(bars, g->leaves[m->leaf].credential, a->q->name);
	return err != SMQ_OK ? err : ks_group_leave(g, a->q->name, true, a->now);
}

static const struct ks_bar *bar_of(const struct ks_bars *bars, smq_span name)
{
	const struct ks_bar *found = NULL;
	for (size_t i = 0; i < bars->count; i++)
		found = smq_span_equal(smq_span_str(bars->bars[i].name), name) ? &bars->bars[i] : found;
	return found;
}

/* Asked once more, which is no mistake: who is out stays out. */
static smq_err expelled_before(struct asking *a)
{
	struct smq_keyserver *ks = a->ks;
	const struct ks_bar *bar = bar_of(&ks->bars, a->q->name);
	smq_err err = SMQ_OK;
	if (a->g && !bar)
		bar = bar_of(&a->g->bars, a->q->name);
	for (size_t i = 0; !a->g && !bar && i < ks->group_count; i++) {
		bar = bar_of(&ks->groups[i]->bars, a->q->name);
		if (bar) /* from one group so far; from all of them now */
			err = ks_bar(&ks->bars, bar->id, a->q->name);
	}
	a->why = bar ? "is expelled already" : "no such member";
	/* What is still to be stored may fail: then it is not so. */
	a->waits = bar && err == SMQ_OK && a->g && a->g->due;
	if (bar && err == SMQ_OK && !a->waits && ks->bars.stored < ks->bars.count) {
		a->waits = true;
		a->g = NULL;
	}
	return bar ? err : SMQ_ERR_NOT_FOUND;
}

static smq_err ask_expel(struct asking *a)
{
	smq_err err = SMQ_ERR_NOT_FOUND;
	if (a->g)
		err = expel_from(a, a->g, &a->g->bars);
	for (size_t i = 0; !a->g && i < a->ks->group_count; i++) {
		struct ks_group *g = a->ks->groups[i];
		smq_err one = g->broken ? SMQ_ERR_STORE : expel_from(a, g, &a->ks->bars);
		err = one == SMQ_ERR_NOT_FOUND || (err != SMQ_OK && err != SMQ_ERR_NOT_FOUND) ? err : one;
	}
	a->waits = err == SMQ_OK; /* if from all of them, they are saved at once */
	return err == SMQ_ERR_NOT_FOUND ? expelled_before(a) : err;
}

static smq_err ask_unregister(struct asking *a)
{
	smq_err err = ks_key_unregister(a->ks, a->q->name, a->now, &a->why);
	a->waits = err == SMQ_OK;
	return err;
}

/* Each of them is told, and noted, as if it had been asked for alone. */
static smq_err ask_register_many(struct asking *a)
{
	smq_span names[SMQ_KS_KEYS_MAX];
	size_t count = 0;
	if (a->ks->wait_count + SMQ_KS_KEYS_MAX >= KS_NOTES_MAX || a->ks->note_count + SMQ_KS_KEYS_MAX >= KS_NOTES_MAX)
		return SMQ_ERR_FULL;
	smq_err err = ks_keys_register_many(a->ks, a->q, a->now, names, &count, &a->body_len);
	for (size_t i = 0; i < count && err == SMQ_OK && a->body_len > 0 && a->q->commit; i++) {
		char name[SMQ_MEMBER_NAME_MAX + 1];
		copy_name(name, names[i]);
		ks_note(a->ks, ks_what_name(SMQ_KS_REGISTER), a->from->name, "", name, SMQ_ERR_EXISTS);
	}
	for (size_t i = 0; i < count && err == SMQ_OK && a->body_len == 0; i++) {
		wait_for(a, names[i]);
		a->ks->waits[a->ks->wait_count - 1].what = SMQ_KS_REGISTER;
		a->ks->waits[a->ks->wait_count - 1].quiet = true;
	}
	a->waits = err == SMQ_OK && count > 0 && a->body_len == 0;
	return err;
}

/* ---- all of them ---- */

static smq_err dispatch(struct asking *a)
{
	switch (a->q->what) {
	case SMQ_KS_JOIN:
		return ask_join(a);
	case SMQ_KS_LEAVE:
		return ask_leave(a);
	case SMQ_KS_FETCH:
		return ask_fetch(a);
	case SMQ_KS_POLICY:
		return ask_policy(a);
	case SMQ_KS_LIST:
		return ask_list(a);
	case SMQ_KS_SHOW:
		return ask_show(a);
	case SMQ_KS_MEMBERS:
		return ask_members(a);
	case SMQ_KS_ROTATE:
		return ask_rotate(a);
	case SMQ_KS_EXPEL:
		return ask_expel(a);
	case SMQ_KS_REGISTER:
		return ks_key_register(a->ks, a->q, a->now, &a->waits, &a->why);
	case SMQ_KS_UNREGISTER:
		return ask_unregister(a);
	case SMQ_KS_REGISTERED:
		return ks_keys_list(a->ks, a->q->offset, &a->body_len);
	case SMQ_KS_REGISTER_MANY:
		return ask_register_many(a);
	}
	return SMQ_ERR_BUG;
}

/* A name is spoken for by a certificate or by a registered key, never by both. */
static smq_err check_name(struct asking *a)
{
	if (a->from->registered && !ks_key_is_registered(a->ks, a->from->id)) {
		a->why = "this key is not registered any more"; /* since its key exchange */
		return SMQ_ERR_CREDENTIAL;
	}
	if (!a->from->registered && ks_key_has_name(a->ks, smq_span_str(a->from->name))) {
		a->why = "this name belongs to a registered key, and no certificate speaks for it";
		return SMQ_ERR_CERT_NAME;
	}
	return SMQ_OK;
}

/* What every request of its kind has in common, before it is looked at. */
static smq_err check(struct asking *a)
{
	const struct smq_ks_request *q = a->q;
	smq_err err = is_for_admins(q->what) ? SMQ_OK : check_name(a);
	if (err != SMQ_OK)
		return err;
	if (is_for_admins(q->what) && !(a->from->roles & SMQ_ROLE_ADMIN)) {
		a->why = "for admins only";
		return SMQ_ERR_NOT_AUTHORIZED;
	}
	if (a->ks->wait_count == KS_NOTES_MAX || a->ks->note_count + 2 >= KS_NOTES_MAX)
		return SMQ_ERR_FULL;
	if (a->g && a->g->broken)
		return SMQ_ERR_STORE;
	if (is_for_admins(q->what) && q->group.len > 0 && !a->g && q->what != SMQ_KS_POLICY) {
		a->why = "there is no such group";
		return SMQ_ERR_NOT_FOUND;
	}
	return SMQ_OK;
}

static bool is_audited(enum smq_ks_what what, smq_err err)
{
	bool reads = what == SMQ_KS_FETCH || what == SMQ_KS_LIST || what == SMQ_KS_SHOW || what == SMQ_KS_MEMBERS ||
		     what == SMQ_KS_REGISTERED;
	return err != SMQ_OK || !reads;
}

static bool is_about_somebody(enum smq_ks_what what)
{
	return what == SMQ_KS_EXPEL || what == SMQ_KS_REGISTER || what == SMQ_KS_UNREGISTER;
}

static void finish(struct asking *a, smq_err err)
{
	char group[SMQ_MEMBER_NAME_MAX + 1], whom[SMQ_MEMBER_NAME_MAX + 1];
	copy_name(group, a->g ? smq_span_str(a->g->name) : a->q->group);
	copy_name(whom, is_about_somebody(a->q->what) ? a->q->name : smq_span_of("", 0));
	if (a->waits) {
		wait_for(a, smq_span_str(whom));
		return; /* it is noted in the transaction that makes it true */
	}
	bool said_already = a->q->what == SMQ_KS_REGISTER_MANY && a->body_len > 0;
	if (is_audited(a->q->what, err) && !said_already)
		ks_note(a->ks, ks_what_name(a->q->what), a->from->name, group, whom, err);
	tell_asked(a->ks, a->from->name, a->q->what, group, whom, err);
	if (err == SMQ_OK && a->body_len > 0)
		answer_with(a->ks, a->run, err, a->body_len);
	else
		refuse(a->ks, a->run, err, a->why || err != SMQ_OK ? a->why : "");
}

void ks_asked(struct smq_keyserver *ks, const struct smq_ks_asked *asked, struct smq_now now)
{
	struct smq_ks_request q;
	struct asking a = { .ks = ks, .run = asked->run, .from = asked->from, .q = &q, .now = now };
	smq_err err = smq_ks_request_decode(asked->request, &q);
	if (err != SMQ_OK) {
		refuse(ks, asked->run, err, NULL);
		return;
	}
	a.g = q.group.len > 0 ? ks_group_find(ks, q.group) : NULL;
	err = check(&a);
	if (err == SMQ_OK)
		err = dispatch(&a);
	finish(&a, err);
}
