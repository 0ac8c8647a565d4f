/*
 * How a group's member follows what its key server publishes (PROTOCOL.md 6.5, 6.6, 7.6): grants, manifests, policies,
 * nodes; when epochs begin and end, and slots pass.
 */
#include "base/hot.h"
#include "base/wipe.h"
#include "core/group_member_state.h"
#include "core/keyschedule.h"

static smq_span realm_of(const smq_group_member *m) { return smq_span_str(m->c.realm); }
static smq_span group_of(const smq_group_member *m) { return smq_span_str(m->c.group); }

/* ---- who signed it ---- */

smq_err smq_gm_signer(const smq_group_member *m, const struct smq_sign1 *s, struct smq_credential *ret_credential)
{
	if (s->id_cred_len == 0)
		return SMQ_ERR_MALFORMED;
	return m->c.credentials->resolve(m->c.credentials->self, smq_span_of(s->id_cred, s->id_cred_len),
					 m->now.unix_ms, ret_credential);
}

/* ---- epochs ---- */

const struct member_epoch *smq_gm_epoch(const struct member_kept *k, uint64_t number)
{
	for (size_t i = 0; i < SMQ_GM_EPOCHS_MAX; i++) {
		if (k->epochs[i].number == number && number != 0)
			return &k->epochs[i];
	}
	return NULL;
}

SMQ_HOT const struct member_epoch *smq_gm_message_epoch(smq_group_member *m, uint64_t number)
{
	const struct member_epoch *e = &m->k.epochs[m->epoch_at];
	if (e->number == number && number != 0)
		return e;
	e = smq_gm_epoch(&m->k, number);
	if (e)
		m->epoch_at = (size_t)(e - m->k.epochs);
	return e;
}

/* In the place of the same one, or in a free one, or in that of the oldest. */
static void add_epoch(struct member_kept *k, const struct member_epoch *e)
{
	struct member_epoch *place = &k->epochs[0];
	for (size_t i = 0; i < SMQ_GM_EPOCHS_MAX && place->number != e->number; i++) {
		struct member_epoch *other = &k->epochs[i];
		if (other->number == e->number || other->number < place->number)
			place = other;
	}
	if (place->number == e->number)
		return; /* an epoch is never issued twice */
	smq_wipe(place, sizeof(*place));
	*place = *e;
}

static void wipe_epoch(struct member_kept *k, uint64_t number)
{
	for (size_t i = 0; i < SMQ_GM_EPOCHS_MAX; i++) {
		if (k->epochs[i].number == number)
			smq_wipe(&k->epochs[i], sizeof(k->epochs[i]));
	}
}

/* The slots of a manifest; seeds under other ones are worth nothing. */
static void set_slots(struct member_kept *k, const struct smq_manifest *manifest)
{
	struct smq_slot_times t = { 0 };
	if (manifest->mode == SMQ_MODE_SLOTTED)
		t = (struct smq_slot_times){ manifest->slot_start_ms, manifest->slot_ms, manifest->slot_levels,
					     SMQ_GM_SKEW_MS };
	bool same = k->times.start_ms == t.start_ms && k->times.slot_ms == t.slot_ms && k->times.levels == t.levels;
	k->mode = manifest->mode;
	if (same)
		return;
	k->times = t;
	k->slot_floor = 0;
	smq_wipe(k->holders, sizeof(k->holders));
	k->holder_count = 0;
}

static struct member_epoch epoch_of(const smq_group_member *m, const struct smq_manifest_step *step,
				    const struct smq_epoch_secret *secret)
{
	struct member_epoch e = { .number = step->manifest.epoch,
				  .secret = *secret,
				  .activate_at_ms = step->manifest.activate_at_ms,
				  .until_ms = SMQ_NO_END };
	struct smq_policy policy;
	memcpy(e.manifest, step->hash, SMQ_HASH_LEN);
	if (smq_policy_decode(smq_span_of(m->next.policy, m->next.policy_len), &policy) == SMQ_OK)
		e.alg = policy.alg->id;
	return e;
}

/* ---- policies ---- */

static void put_policy(struct member_kept *k, smq_span document, const struct smq_policy_mark *mark)
{
	memcpy(k->policy, document.p, document.len);
	k->policy_len = document.len;
	k->mark = *mark;
}

/* Into m->next, where it is newer than what is there. */
static smq_err accept_policy(smq_group_member *m, smq_span bytes, smq_span admin, struct smq_policy *ret_policy)
{
	struct smq_sign1 s;
	struct smq_credential by;
	struct smq_policy_mark mark;
	smq_err err = smq_sign1_decode(bytes, &s);
	if (err == SMQ_OK)
		err = admin.len > 0 ? m->c.credentials->resolve(m->c.credentials->self, admin, m->now.unix_ms, &by)
				    : smq_gm_signer(m, &s, &by);
	if (err == SMQ_OK)
		err = smq_policy_accept(m->c.crypto, bytes, &by, realm_of(m), group_of(m), &m->next.mark, ret_policy,
					&mark);
	if (err == SMQ_OK && s.payload.len > sizeof(m->next.policy))
		err = SMQ_ERR_TOO_LARGE;
	if (err == SMQ_OK && mark.number > m->next.mark.number)
		put_policy(&m->next, s.payload, &mark);
	return err;
}

static void note_refused_policy(smq_group_member *m, smq_err err)
{
	if (err == SMQ_ERR_STALE_EPOCH)
		smq_gm_note(m, SMQ_GROUP_STALE, m->k.chain.epoch, err);
	else if (err == SMQ_ERR_EXISTS)
		smq_gm_note(m, SMQ_GROUP_FORK, m->k.chain.epoch, err);
	else
		smq_gm_note(m, SMQ_GROUP_FORGED, m->k.chain.epoch, err);
}

smq_err smq_gm_take_policy(smq_group_member *m, smq_span bytes, smq_span admin)
{
	struct smq_policy policy;
	smq_gm_begin(m);
	smq_err err = accept_policy(m, bytes, admin, &policy);
	if (err == SMQ_OK && m->next.mark.number > m->k.mark.number)
		err = smq_gm_commit(m);
	else if (err == SMQ_ERR_CREDENTIAL)
		m->want_fetch = m->want_fetch || m->k.granted; /* with the admin's certificate */
	else if (err != SMQ_OK)
		note_refused_policy(m, err);
	smq_wipe(&m->next, sizeof(m->next));
	return err;
}

/* ---- manifests ---- */

/* The same one again (an answer to our fetch brings it, and so may anybody) begins no new wait. */
static void keep_pending(smq_group_member *m, smq_span bytes, uint64_t epoch)
{
	if (bytes.len > sizeof(m->pending))
		return;
	if (!smq_span_equal(bytes, smq_span_of(m->pending, m->pending_len))) {
		memcpy(m->pending, bytes.p, bytes.len);
		m->pending_len = bytes.len;
		m->pending_since_ms = m->now.mono_ms;
		m->pending_fetched = false;
	}
	m->pending_epoch = epoch;
}

static void drop_pending(smq_group_member *m)
{
	m->pending_len = 0;
	m->pending_epoch = 0;
}

static void note_verdict(smq_group_member *m, const struct smq_manifest_step *step)
{
	uint64_t epoch = step->manifest.epoch;
	switch (step->verdict) {
	case SMQ_MANIFEST_GAP:
		if (m->gap_told != epoch)
			smq_gm_note(m, SMQ_GROUP_GAP, epoch, SMQ_OK);
		m->gap_told = epoch;
		break;
	case SMQ_MANIFEST_STALE:
	case SMQ_MANIFEST_EXPIRED:
		smq_gm_note(m, SMQ_GROUP_STALE, epoch, SMQ_ERR_STALE_EPOCH);
		break;
	case SMQ_MANIFEST_FORK:
		smq_gm_note(m, SMQ_GROUP_FORK, epoch, SMQ_ERR_EXISTS);
		break;
	case SMQ_MANIFEST_TWO_SERVERS:
		smq_gm_note(m, SMQ_GROUP_TWO_SERVERS, epoch, SMQ_ERR_EXISTS);
		break;
	default:
		break;
	}
}

static smq_err judge(smq_group_member *m, smq_span bytes, struct smq_manifest_step *ret_step)
{
	struct smq_sign1 s;
	struct smq_credential by;
	smq_err err = smq_sign1_decode(bytes, &s);
	if (err == SMQ_OK)
		err = smq_gm_signer(m, &s, &by);
	if (err != SMQ_OK)
		return err;
	return smq_manifest_chain_input(&m->k.chain, m->c.crypto, bytes, &by, realm_of(m), group_of(m), m->now.unix_ms,
					ret_step);
}

/* A tree that has grown has nodes above our path's end. */
static void subscribe_path(smq_group_member *m, unsigned height)
{
	for (unsigned h = m->heights + 1; h <= height && m->online; h++) {
		smq_gm_subscribe(m, false, smq_gm_topic(m, SMQ_KS_TOPIC_NODE, h, smq_keypath_index(&m->k.path, h)));
		m->heights = h;
	}
}

/* m->next follows to the manifest's epoch. */
static smq_err follow(smq_group_member *m, const struct smq_manifest_step *step)
{
	const struct smq_tree_node_message *messages[SMQ_TREE_HEIGHT_MAX] = { NULL };
	const struct smq_manifest *manifest = &step->manifest;
	struct smq_tree_key key;
	struct smq_epoch_secret secret;
	smq_err err = smq_keypath_grow(&m->next.path, manifest->tree_height);
	if (err != SMQ_OK)
		return err;
	subscribe_path(m, manifest->tree_height);
	for (size_t i = 0; i < manifest->tree_height; i++)
		messages[i] = m->nodes[i].there ? &m->nodes[i].message : NULL;
	err = smq_keypath_follow(&m->next.path, manifest->epoch, messages, manifest->root_version, manifest->commitment,
				 &key);
	if (err != SMQ_OK)
		return err;
	memcpy(secret.b, key.b, sizeof(secret.b));
	m->next.chain = step->next;
	set_slots(&m->next, manifest);
	struct member_epoch e = epoch_of(m, step, &secret);
	add_epoch(&m->next, &e);
	smq_wipe(&key, sizeof(key));
	smq_wipe(&secret, sizeof(secret));
	smq_wipe(&e, sizeof(e));
	return SMQ_OK;
}

/* The highest epoch that is due; what was used once is not gone back on, whatever the clock says. */
static uint64_t due_epoch(const smq_group_member *m, const struct member_kept *k)
{
	uint64_t due = k->in_use;
	for (size_t i = 0; i < SMQ_GM_EPOCHS_MAX; i++) {
		const struct member_epoch *e = &k->epochs[i];
		if (e->number > due && e->activate_at_ms <= m->now.unix_ms)
			due = e->number;
	}
	return due;
}

static int64_t later(int64_t ms, uint64_t by) { return ms > SMQ_NO_END - (int64_t)by ? SMQ_NO_END : ms + (int64_t)by; }

/* In m->next an epoch comes into use: those before it, unless the policy's history grants them, have their grace left.
 */
static void put_in_use(smq_group_member *m, uint64_t number)
{
	uint64_t oldest = number;
	if (m->has_policy)
		oldest = smq_policy_oldest_epoch(&m->policy, m->next.joined, number);
	m->next.in_use = number;
	for (size_t i = 0; i < SMQ_GM_EPOCHS_MAX; i++) {
		struct member_epoch *e = &m->next.epochs[i];
		if (e->number != 0 && e->number < number && e->number < oldest && e->until_ms == SMQ_NO_END)
			e->until_ms = later(m->now.unix_ms, m->has_policy ? m->policy.grace_ms : 0);
	}
}

/* Now that it is written down. */
static void in_use(smq_group_member *m)
{
	smq_gm_drop_sealer(m);
	smq_gm_note(m, SMQ_GROUP_EPOCH, m->k.in_use, SMQ_OK);
}

/* Acts on an accepted manifest, or leaves it pending. What is due already is in use with the same write. */
static smq_err act_on(smq_group_member *m, smq_span bytes, const struct smq_manifest_step *step)
{
	smq_err err = smq_manifest_policy_check(&step->manifest, &m->k.mark);
	bool jumped = step->manifest.epoch - m->k.chain.epoch >= SMQ_GM_JUMP;
	uint64_t used = m->k.in_use;
	keep_pending(m, bytes, step->manifest.epoch);
	if (err == SMQ_ERR_STALE_EPOCH || err == SMQ_ERR_EXISTS) {
		smq_gm_note(m, err == SMQ_ERR_EXISTS ? SMQ_GROUP_FORK : SMQ_GROUP_STALE, step->manifest.epoch, err);
		drop_pending(m);
		return err;
	}
	if (err == SMQ_OK) {
		smq_gm_begin(m);
		err = follow(m, step);
		uint64_t due = due_epoch(m, &m->next);
		if (err == SMQ_OK && due > used)
			put_in_use(m, due);
		if (err == SMQ_OK)
			err = smq_gm_commit(m);
		smq_wipe(&m->next, sizeof(m->next));
	}
	if (err != SMQ_OK)
		return err; /* what is missing may come, or is asked for */
	if (m->k.in_use > used)
		in_use(m);
	drop_pending(m);
	m->ahead = false;
	m->expired_told = false;
	smq_gm_find_time_due(m);
	if (m->k.mode == SMQ_MODE_SLOTTED && m->k.holder_count == 0)
		m->want_join = true; /* other slots: seeds of them */
	if (jumped)
		m->want_join = true; /* what the key server was restored from may not know this life of ours */
	smq_gm_pass_time(m);
	return SMQ_OK;
}

smq_err smq_gm_take_manifest(smq_group_member *m, smq_span bytes)
{
	struct smq_manifest_step step;
	m->heard_manifest = true;
	smq_err err = judge(m, bytes, &step);
	if (err == SMQ_ERR_CREDENTIAL) {
		keep_pending(m, bytes, 0); /* the key server's certificate comes with its answer */
		return err;
	}
	if (err != SMQ_OK) {
		smq_gm_note(m, SMQ_GROUP_FORGED, m->k.chain.epoch, err);
		return err;
	}
	if (!m->k.granted && step.verdict != SMQ_MANIFEST_FORK && step.verdict != SMQ_MANIFEST_TWO_SERVERS) {
		if (smq_manifest_is_accepted(step.verdict))
			keep_pending(m, bytes, 0); /* the grant may be older than this */
		return SMQ_OK;
	}
	note_verdict(m, &step);
	if (!smq_manifest_is_accepted(step.verdict))
		return step.verdict == SMQ_MANIFEST_SAME ? SMQ_OK : SMQ_ERR_STALE_EPOCH;
	return act_on(m, bytes, &step);
}

void smq_gm_follow(smq_group_member *m)
{
	struct smq_manifest_step step;
	smq_span bytes = smq_span_of(m->pending, m->pending_len);
	if (!m->k.granted || bytes.len == 0 || m->now.mono_ms < m->commit_retry_ms)
		return;
	smq_err err = judge(m, bytes, &step);
	if (err == SMQ_ERR_CREDENTIAL)
		return;
	if (err != SMQ_OK || !smq_manifest_is_accepted(step.verdict))
		drop_pending(m);
	else if (smq_err_kind_of(act_on(m, bytes, &step)) == SMQ_KIND_IO)
		m->commit_retry_ms = m->now.mono_ms + SMQ_GM_BACKOFF_MIN_MS;
}

smq_err smq_gm_take_node(smq_group_member *m, unsigned height, uint64_t index, smq_span bytes, bool asked_for)
{
	struct smq_tree_node_message n;
	smq_err err = smq_tree_node_decode(bytes, &n);
	if (err != SMQ_OK)
		return err;
	if (height == 0 && asked_for) {
		height = n.height;
		index = n.index;
	}
	if (n.height != height || n.index != index || height == 0 || height > SMQ_TREE_HEIGHT_MAX ||
	    index != smq_keypath_index(&m->k.path, height))
		return SMQ_ERR_MALFORMED;
	if (!asked_for && m->nodes[height - 1].there && m->nodes[height - 1].message.epoch > n.epoch)
		return SMQ_ERR_STALE_EPOCH;
	m->nodes[height - 1].there = true;
	m->nodes[height - 1].message = n;
	return SMQ_OK;
}

/* ---- grants ---- */

/* Nobody is a member by the key server's word alone: an admin has said so of our name. */
static unsigned admitted_roles(const smq_group_member *m, const struct smq_policy *policy, unsigned roles)
{
	smq_span name = smq_span_str(m->c.name);
	if (!smq_policy_admits(policy, name, m->own_roles, SMQ_MAY_PUBLISH))
		roles &= ~(unsigned)SMQ_JOIN_PUBLISH;
	if (!smq_policy_admits(policy, name, m->own_roles, SMQ_MAY_SUBSCRIBE))
		roles &= ~(unsigned)SMQ_JOIN_SUBSCRIBE;
	return roles;
}

static smq_err take_trees(smq_group_member *m, const struct smq_ks_grant *g)
{
	struct member_kept *n = &m->next;
	smq_err err = SMQ_OK;
	smq_wipe(n->holders, sizeof(n->holders));
	n->holder_count = 0;
	if (n->mode != SMQ_MODE_SLOTTED)
		return SMQ_OK;
	for (size_t i = 0; i < g->tree_count && err == SMQ_OK; i++) {
		struct smq_slot_holder *h = &n->holders[n->holder_count];
		struct smq_slot_seeds seeds;
		err = smq_slot_seeds_decode(g->trees[i].seeds, n->times.levels, &seeds);
		if (err == SMQ_OK)
			err = smq_slot_holder_init(h, m->c.crypto, g->trees[i].tree, n->times.levels, n->slot_floor,
						   &seeds);
		if (err == SMQ_OK && h->seeds.count > 0)
			n->holder_count++;
		smq_wipe(&seeds, sizeof(seeds));
	}
	return err;
}

/* Our place: who we are there, and for how long. */
static void take_place(smq_group_member *m, const struct smq_ks_grant *g, unsigned roles)
{
	struct member_kept *n = &m->next;
	n->sender_id = g->sender_id;
	memcpy(n->boot_id, m->boot_id, sizeof(n->boot_id));
	n->roles = roles;
	n->from_ms = g->from_ms;
	n->until_ms = g->until_ms;
	n->granted = true;
	if (n->joined == 0)
		n->joined = g->epoch;
	/* On a new disk we do not know when we came first; the key server does, and grants as far. */
	if (g->history_count > 0 && g->history[0].epoch < n->joined)
		n->joined = g->history[0].epoch;
}

static void take_path(struct member_kept *n, const struct smq_ks_grant *g)
{
	n->path.leaf = g->leaf;
	n->path.height = (unsigned)g->path_len - 1;
	n->path.epoch = g->epoch;
	for (size_t i = 0; i < g->path_len; i++) {
		struct smq_tree_node *node = &n->path.nodes[i];
		memcpy(node->key.b, g->path[i].key, SMQ_TREE_KEY_LEN);
		node->version = g->path[i].version;
		node->refreshed = g->path[i].refreshed;
	}
}

static void take_history(struct member_kept *n, const struct smq_ks_grant *g)
{
	for (size_t i = 0; i < g->history_count; i++) {
		struct member_epoch e = { .number = g->history[i].epoch, .until_ms = SMQ_NO_END };
		if (e.number == 0 || e.number >= g->epoch)
			continue;
		memcpy(e.secret.b, g->history[i].secret, sizeof(e.secret.b));
		memcpy(e.manifest, g->history[i].manifest, sizeof(e.manifest));
		add_epoch(n, &e);
		smq_wipe(&e, sizeof(e));
	}
}

/* The secret must be the one that the manifest commits to, and the manifest that of the grant. */
static smq_err check_keys(const smq_group_member *m, const struct smq_ks_grant *g, const struct smq_manifest *manifest)
{
	uint8_t commitment[SMQ_HASH_LEN];
	struct smq_tree_key secret;
	unsigned height = (unsigned)g->path_len - 1;
	if (g->path_len < 2 || g->path_len > SMQ_TREE_HEIGHT_MAX + 1 || manifest->tree_height != height ||
	    g->leaf >> (2 * height) != 0 || g->epoch != manifest->epoch)
		return SMQ_ERR_MALFORMED;
	memcpy(secret.b, g->secret, sizeof(secret.b));
	smq_err err = smq_epoch_commitment(&m->scope, &secret, g->epoch, commitment);
	smq_wipe(&secret, sizeof(secret));
	if (err == SMQ_OK && !smq_equal_ct(commitment, manifest->commitment, sizeof(commitment)))
		err = SMQ_ERR_OPEN;
	return err;
}

/* Everything of a grant of an epoch that is new to us, or the one we have. */
static smq_err take_keys(smq_group_member *m, const struct smq_ks_grant *g, const struct smq_manifest_step *step,
			 unsigned roles)
{
	struct smq_epoch_secret secret;
	smq_err err = smq_manifest_policy_check(&step->manifest, &m->next.mark);
	if (err == SMQ_OK)
		err = check_keys(m, g, &step->manifest);
	if (err != SMQ_OK)
		return err;
	if (smq_manifest_is_accepted(step->verdict))
		m->next.chain = step->next;
	set_slots(&m->next, &step->manifest);
	take_place(m, g, roles);
	take_path(&m->next, g);
	take_history(&m->next, g);
	memcpy(secret.b, g->secret, sizeof(secret.b));
	struct member_epoch e = epoch_of(m, step, &secret);
	add_epoch(&m->next, &e);
	smq_wipe(&secret, sizeof(secret));
	smq_wipe(&e, sizeof(e));
	return take_trees(m, g);
}

/* Nodes that the grant has already, and those of another leaf's path, are of no use. */
static void drop_old_nodes(smq_group_member *m)
{
	for (unsigned h = 1; h <= SMQ_TREE_HEIGHT_MAX; h++) {
		const struct smq_tree_node_message *n = &m->nodes[h - 1].message;
		if (n->epoch <= m->k.path.epoch || n->index != smq_keypath_index(&m->k.path, h))
			m->nodes[h - 1].there = false;
	}
}

static void leave_path(smq_group_member *m)
{
	for (unsigned h = 1; h <= m->heights; h++)
		smq_gm_subscribe(m, true, smq_gm_topic(m, SMQ_KS_TOPIC_NODE, h, smq_keypath_index(&m->k.path, h)));
	m->heights = 0;
}

static void granted(smq_group_member *m)
{
	drop_old_nodes(m);
	subscribe_path(m, m->k.path.height);
	smq_gm_know_sender(m, m->k.sender_id, m->c.name, m->k.boot_id);
	smq_gm_drop_sealer(m);
	smq_gm_watch_own_card(m);
	m->ahead = false;
	m->expired_told = false;
	smq_gm_find_time_due(m);
	if (m->pending_len > 0 && m->pending_epoch != 0 && m->pending_epoch <= m->k.chain.epoch)
		drop_pending(m);
	smq_gm_pass_time(m);
	smq_gm_follow(m);
}

/* An answer that was on its way while the next epoch came: our place counts, the keys are older than ours. */
static smq_err take_late(smq_group_member *m, const struct smq_ks_grant *g, unsigned roles)
{
	if (!m->k.granted || g->leaf != m->k.path.leaf)
		return SMQ_ERR_STATE;
	take_place(m, g, roles);
	return take_trees(m, g);
}

static smq_err judge_grant(smq_group_member *m, const struct smq_ks_grant *g, unsigned *ret_roles,
			   struct smq_manifest_step *ret_step)
{
	struct smq_policy policy;
	smq_err err = accept_policy(m, g->policy, g->admin, &policy);
	if (err != SMQ_OK) {
		note_refused_policy(m, err);
		return err;
	}
	*ret_roles = admitted_roles(m, &policy, g->roles);
	if (*ret_roles == 0)
		return SMQ_ERR_NOT_AUTHORIZED;
	err = judge(m, g->manifest, ret_step);
	if (err != SMQ_OK)
		smq_gm_note(m, SMQ_GROUP_FORGED, m->k.chain.epoch, err);
	else if (ret_step->verdict != SMQ_MANIFEST_STALE)
		note_verdict(m, ret_step);
	return err;
}

static smq_err take(smq_group_member *m, const struct smq_ks_grant *g)
{
	struct smq_manifest_step step;
	unsigned roles;
	smq_err err = judge_grant(m, g, &roles, &step);
	if (err != SMQ_OK)
		return err;
	if (step.verdict == SMQ_MANIFEST_STALE)
		err = take_late(m, g, roles);
	else if (smq_manifest_is_accepted(step.verdict) || step.verdict == SMQ_MANIFEST_SAME)
		err = take_keys(m, g, &step, roles);
	else
		err = SMQ_ERR_STALE_EPOCH;
	return err == SMQ_OK ? smq_gm_commit(m) : err;
}

smq_err smq_gm_take_grant(smq_group_member *m, smq_span body)
{
	struct smq_ks_grant g;
	smq_err err = smq_ks_grant_decode(body, &g);
	if (err == SMQ_OK) {
		if (m->heights > 0 && g.leaf != m->k.path.leaf)
			leave_path(m);
		smq_gm_begin(m);
		err = take(m, &g);
		smq_wipe(&m->next, sizeof(m->next));
	}
	smq_wipe(&g, sizeof(g));
	if (err == SMQ_OK)
		granted(m);
	return err;
}

void smq_gm_forget_membership(smq_group_member *m)
{
	leave_path(m);
	smq_gm_begin(m);
	struct member_kept *n = &m->next;
	n->granted = false;
	smq_keypath_done(&n->path);
	n->path.scope = &m->scope;
	smq_wipe(n->epochs, sizeof(n->epochs));
	smq_wipe(n->holders, sizeof(n->holders));
	n->holder_count = 0;
	n->joined = 0;
	n->in_use = 0;
	/* What is on the disk stays, if it must: in memory it is gone. */
	if (smq_gm_commit(m) != SMQ_OK) {
		smq_keypath_done(&m->k.path);
		m->k.path.scope = &m->scope;
		m->k.granted = false;
		smq_wipe(m->k.epochs, sizeof(m->k.epochs));
		smq_wipe(m->k.holders, sizeof(m->k.holders));
		m->k.holder_count = 0;
		m->k.in_use = 0;
		smq_gm_find_time_due(m);
	}
	drop_pending(m);
	smq_gm_drop_passed_keys(m);
}

/* ---- time ---- */

static void activate(smq_group_member *m, uint64_t number)
{
	smq_gm_begin(m);
	put_in_use(m, number);
	if (smq_gm_commit(m) != SMQ_OK) {
		m->commit_retry_ms = m->now.mono_ms + SMQ_GM_BACKOFF_MIN_MS;
		return;
	}
	in_use(m);
}

static bool has_passed(const smq_group_member *m, const struct member_epoch *e)
{
	return e->number != 0 && e->until_ms <= m->now.unix_ms;
}

static void end_graces(smq_group_member *m)
{
	bool any = false;
	for (size_t i = 0; i < SMQ_GM_EPOCHS_MAX; i++)
		any = any || has_passed(m, &m->k.epochs[i]);
	if (!any)
		return;
	smq_gm_begin(m);
	for (size_t i = 0; i < SMQ_GM_EPOCHS_MAX; i++) {
		if (has_passed(m, &m->next.epochs[i]))
			wipe_epoch(&m->next, m->next.epochs[i].number);
	}
	if (smq_gm_commit_behind(m) != SMQ_OK)
		m->commit_retry_ms = m->now.mono_ms + SMQ_GM_BACKOFF_MIN_MS;
	smq_gm_drop_passed_keys(m);
}

static void drop_empty_holders(struct member_kept *k)
{
	size_t kept = 0;
	for (size_t i = 0; i < k->holder_count; i++) {
		if (k->holders[i].seeds.count > 0 && kept != i)
			k->holders[kept] = k->holders[i];
		kept += k->holders[i].seeds.count > 0;
	}
	for (size_t i = kept; i < k->holder_count; i++)
		smq_slot_holder_done(&k->holders[i]);
	k->holder_count = kept;
}

/* Slots that have passed are forgotten at once in memory, and every few seconds on the disk. */
static void pass_slots(smq_group_member *m)
{
	uint64_t floor = m->k.mode == SMQ_MODE_SLOTTED ? smq_slot_floor(&m->k.times, m->now.unix_ms) : 0;
	if (floor <= m->k.slot_floor)
		return;
	m->k.slot_floor = floor;
	for (size_t i = 0; i < m->k.holder_count; i++) {
		if (smq_slot_holder_forget(&m->k.holders[i], floor) != SMQ_OK)
			smq_slot_holder_done(&m->k.holders[i]);
	}
	drop_empty_holders(&m->k);
	smq_gm_drop_passed_keys(m);
	if (m->now.mono_ms - m->floor_saved_ms < SMQ_GM_FLOOR_MS)
		return;
	m->floor_saved_ms = m->now.mono_ms;
	smq_gm_begin(m);
	if (smq_gm_commit_behind(m) != SMQ_OK)
		m->commit_retry_ms = m->now.mono_ms + SMQ_GM_BACKOFF_MIN_MS;
}

static void tell_expiry(smq_group_member *m)
{
	if (!m->k.granted || m->expired_told || !smq_manifest_chain_expired(&m->k.chain, m->now.unix_ms))
		return;
	m->expired_told = true;
	smq_gm_find_time_due(m);
	smq_gm_note(m, SMQ_GROUP_EXPIRED, m->k.chain.epoch, SMQ_ERR_STALE_EPOCH);
}

/* For each message as well, so that what is not due costs nothing. */
SMQ_HOT void smq_gm_pass_time(smq_group_member *m)
{
	if (m->now.mono_ms < m->commit_retry_ms)
		return;
	if (m->now.unix_ms >= m->time_due_ms) {
		uint64_t due = due_epoch(m, &m->k);
		if (due > m->k.in_use)
			activate(m, due);
		end_graces(m);
	}
	pass_slots(m);
	if (m->now.unix_ms >= m->time_due_ms)
		tell_expiry(m);
}

void smq_gm_find_time_due(smq_group_member *m)
{
	int64_t due = m->k.granted && !m->expired_told ? m->k.chain.expires_ms : SMQ_NO_END;
	for (size_t i = 0; i < SMQ_GM_EPOCHS_MAX; i++) {
		const struct member_epoch *e = &m->k.epochs[i];
		if (e->number == 0)
			continue;
		if (e->number > m->k.in_use && e->activate_at_ms < due)
			due = e->activate_at_ms;
		if (e->until_ms < due)
			due = e->until_ms;
	}
	if (m->k.granted && m->k.until_ms < due)
		due = m->k.until_ms;
	m->time_due_ms = due;
}

/* Where the seeds end. */
static int64_t seeds_end(const struct member_kept *k)
{
	uint64_t last = 0;
	for (size_t i = 0; i < k->holder_count; i++) {
		const struct smq_slot_holder *h = &k->holders[i];
		uint64_t end = (h->tree << h->levels) + smq_slot_seed_last(&h->seeds.seeds[h->seeds.count - 1]);
		last = end > last ? end : last;
	}
	return smq_slot_begins_ms(&k->times, last + 1);
}

int64_t smq_gm_renew_at(const smq_group_member *m)
{
	int64_t end = m->k.until_ms;
	if (!m->k.granted)
		return SMQ_NO_END;
	if (m->k.mode == SMQ_MODE_SLOTTED && m->k.holder_count > 0 && seeds_end(&m->k) < end)
		end = seeds_end(&m->k);
	else if (m->wanted_until_ms <= end)
		return SMQ_NO_END; /* we asked for no more */
	if (end == SMQ_NO_END)
		return end;
	int64_t span = end - m->k.from_ms;
	int64_t early = span / 4 < 600 * 1000 ? span / 4 : 600 * 1000;
	return end - (early > 0 ? early : 0);
}

/* ---- traffic secrets ---- */

smq_err smq_gm_traffic(const smq_group_member *m, const struct member_epoch *e, bool slotted, uint64_t slot,
		       struct smq_traffic_secret *ret_secret)
{
	struct smq_slot_key key;
	smq_err err = SMQ_ERR_NO_KEY;
	if (!slotted)
		return smq_group_traffic_secret(m->c.crypto, &e->secret, realm_of(m), group_of(m), e->number,
						ret_secret);
	for (size_t i = 0; i < m->k.holder_count && err == SMQ_ERR_NO_KEY; i++)
		err = smq_slot_holder_key(&m->k.holders[i], slot, &key);
	if (err == SMQ_OK)
		err = smq_slot_traffic_secret(m->c.crypto, &e->secret, &key, realm_of(m), group_of(m), e->number, slot,
					      ret_secret);
	smq_wipe(&key, sizeof(key));
	return err;
}
