/*
 * Whom a group's member hears, and how it is heard (PROTOCOL.md 7.5, 7.6): cards, lives, sealing and opening. Counters
 * and windows go on over epochs and slots; keys do not.
 */
#include "base/hot.h"
#include "base/wipe.h"
#include "core/group_member_state.h"
#include "wire/command.h"

/* ---- cards ---- */

/* The key server counts sender ids up, so that they spread by themselves. */
static uint32_t *bucket_of(smq_group_member *m, uint64_t sender_id)
{
	return &m->cards[sender_id % m->card_count].first;
}

SMQ_HOT static struct member_card *find_card(smq_group_member *m, uint64_t sender_id)
{
	for (uint32_t at = *bucket_of(m, sender_id); at != 0; at = m->cards[at - 1].next) {
		if (m->cards[at - 1].sender_id == sender_id)
			return &m->cards[at - 1];
	}
	return NULL;
}

static void link_card(smq_group_member *m, struct member_card *c)
{
	uint32_t *bucket = bucket_of(m, c->sender_id);
	c->next = *bucket;
	*bucket = (uint32_t)(c - m->cards) + 1;
}

static void unlink_card(smq_group_member *m, const struct member_card *c)
{
	uint32_t number = (uint32_t)(c - m->cards) + 1;
	uint32_t *at = bucket_of(m, c->sender_id);
	while (*at != number)
		at = &m->cards[*at - 1].next;
	*at = c->next;
}

/* A place that nobody had, or that of the sender heard least recently. */
static struct member_card *free_card(smq_group_member *m)
{
	if (m->cards_used < m->card_count)
		return &m->cards[m->cards_used++];
	struct member_card *oldest = &m->cards[0];
	for (size_t i = 1; i < m->card_count; i++) {
		if (m->cards[i].heard < oldest->heard)
			oldest = &m->cards[i];
	}
	unlink_card(m, oldest);
	return oldest;
}

void smq_gm_know_sender(smq_group_member *m, uint64_t sender_id, const char *name, const uint8_t *boot_id)
{
	struct member_card *c = find_card(m, sender_id);
	if (!c) {
		c = free_card(m);
		c->sender_id = sender_id;
		link_card(m, c);
	}
	c->heard = ++m->ticks;
	memcpy(c->name, name, strlen(name) + 1);
	memcpy(c->boot_id, boot_id, sizeof(c->boot_id));
}

static struct member_wanted *find_wanted(smq_group_member *m, uint64_t sender_id)
{
	for (size_t i = 0; i < SMQ_GM_WANTED_MAX && m->wanted_count > 0; i++) {
		if (m->wanted[i].used && m->wanted[i].sender_id == sender_id)
			return &m->wanted[i];
	}
	return NULL;
}

/* Subscribes to the card; asking the key server comes later. SMQ_ERR_UNKNOWN_SENDER: too many are waited for. */
static smq_err want_card(smq_group_member *m, uint64_t sender_id)
{
	if (find_wanted(m, sender_id))
		return SMQ_ERR_NO_SESSION;
	for (size_t i = 0; i < SMQ_GM_WANTED_MAX; i++) {
		if (m->wanted[i].used)
			continue;
		m->wanted[i] = (struct member_wanted){ true, sender_id, m->now.mono_ms, INT64_MIN };
		m->wanted_count++;
		if (m->online)
			smq_gm_subscribe(m, false, smq_gm_topic(m, SMQ_KS_TOPIC_SENDER, 0, sender_id));
		return SMQ_ERR_NO_SESSION;
	}
	return SMQ_ERR_UNKNOWN_SENDER;
}

static smq_err read_card(const smq_group_member *m, smq_span bytes, struct smq_sender_card *ret_card)
{
	struct smq_sign1 s;
	struct smq_credential by;
	struct smq_sender_card c;
	smq_err err = smq_sign1_decode(bytes, &s);
	if (err == SMQ_OK)
		err = smq_gm_signer(m, &s, &by);
	if (err == SMQ_OK)
		err = smq_sign1_verify_document(&s, m->c.crypto, &by, SMQ_ROLE_KEYSERVER, SMQ_SENDER_CARD_KIND);
	if (err == SMQ_OK)
		err = smq_sender_card_decode(s.payload, &c);
	if (err == SMQ_OK && !smq_span_equal(c.realm, smq_span_str(m->c.realm)))
		err = SMQ_ERR_REALM;
	if (err == SMQ_OK && !smq_span_equal(c.group, smq_span_str(m->c.group)))
		err = SMQ_ERR_NAME;
	if (err == SMQ_OK)
		*ret_card = c;
	return err;
}

void smq_gm_watch_own_card(smq_group_member *m)
{
	bool wanted = m->k.granted && (m->k.roles & SMQ_JOIN_PUBLISH) && (m->c.roles & SMQ_JOIN_PUBLISH);
	uint64_t id = wanted ? m->k.sender_id : 0;
	if (id == m->own_card || !m->online)
		return;
	if (m->own_card != 0)
		smq_gm_subscribe(m, true, smq_gm_topic(m, SMQ_KS_TOPIC_SENDER, 0, m->own_card));
	if (id != 0)
		smq_gm_subscribe(m, false, smq_gm_topic(m, SMQ_KS_TOPIC_SENDER, 0, id));
	m->own_card = id;
	m->own_card_ms = m->now.mono_ms;
}

/* If it is withdrawn other processes of ours have joined since, and the key server has forgotten this life. */
static smq_err own_card(smq_group_member *m, bool is_there)
{
	m->own_card_ms = is_there ? INT64_MAX : m->now.mono_ms;
	return SMQ_OK;
}

smq_err smq_gm_take_card(smq_group_member *m, uint64_t sender_id, smq_span bytes)
{
	struct smq_sender_card c;
	char name[SMQ_MEMBER_NAME_MAX + 1] = { 0 };
	if (sender_id != 0 && sender_id == m->own_card)
		return own_card(m, bytes.len > 0);
	if (bytes.len == 0)
		return SMQ_OK;
	smq_err err = read_card(m, bytes, &c);
	if (err != SMQ_OK) {
		if (err != SMQ_ERR_CREDENTIAL)
			smq_gm_note(m, SMQ_GROUP_FORGED, m->k.chain.epoch, err);
		return err;
	}
	struct member_wanted *w = find_wanted(m, c.sender_id);
	if (!w)
		return SMQ_OK; /* nobody asked: it has no place to take */
	w->used = false;
	m->wanted_count--;
	smq_gm_subscribe(m, true, smq_gm_topic(m, SMQ_KS_TOPIC_SENDER, 0, c.sender_id));
	memcpy(name, c.name.p, c.name.len);
	smq_gm_know_sender(m, c.sender_id, name, c.boot_id);
	smq_gm_note(m, SMQ_GROUP_SENDER, m->k.chain.epoch, SMQ_OK);
	return SMQ_OK;
}

/* ---- sealing ---- */

void smq_gm_drop_sealer(smq_group_member *m)
{
	if (m->has_sealer) {
		m->next_counter = m->sealer.next_counter;
		smq_sealer_done(&m->sealer);
	}
	m->has_sealer = false;
}

/* What was worked out of an epoch or a slot that has passed is wiped with it. */
void smq_gm_drop_passed_keys(smq_group_member *m)
{
	for (size_t i = 0; i < m->lives.used; i++) {
		struct smq_group_life *l = &m->lives.lives[i];
		const struct smq_sealed *h = &l->key.header;
		if (l->heard &&
		    (!smq_gm_epoch(&m->k, h->epoch) || (smq_sealed_has_slot(h->kind) && h->slot < m->k.slot_floor)))
			smq_seal_key_done(&l->key);
	}
	const struct smq_sealed *own = &m->sealer.key.header;
	if (m->has_sealer &&
	    (!smq_gm_epoch(&m->k, own->epoch) || (smq_sealed_has_slot(own->kind) && own->slot < m->k.slot_floor)))
		smq_gm_drop_sealer(m);
}

static bool is_bound(const smq_group_member *m) { return memcmp(m->k.boot_id, m->boot_id, sizeof(m->boot_id)) == 0; }

static void set_context(const smq_group_member *m, const struct member_epoch *e, const struct smq_sealed *header,
			const char *sender, const uint8_t *boot_id, struct smq_seal_context *c)
{
	*c = (struct smq_seal_context){ .kind = header->kind,
					.alg = header->alg,
					.realm = smq_span_str(m->c.realm),
					.group = smq_span_str(m->c.group),
					.sender = smq_span_str(sender),
					.epoch = e->number,
					.slot = header->slot,
					.sender_id = header->sender_id };
	memcpy(c->manifest, e->manifest, sizeof(c->manifest));
	memcpy(c->boot_id, boot_id, sizeof(c->boot_id));
}

/* Under which key to seal now. */
static smq_err present_key(const smq_group_member *m, const struct member_epoch *e, struct smq_sealed *ret_header)
{
	bool slotted = m->k.mode == SMQ_MODE_SLOTTED;
	*ret_header = (struct smq_sealed){ .alg = m->policy.alg, .epoch = e->number, .sender_id = m->k.sender_id };
	if (e->alg != 0)
		ret_header->alg = smq_sealed_alg(e->alg);
	if (slotted)
		ret_header->kind = is_bound(m) ? SMQ_SEALED_SLOT : SMQ_SEALED_SLOT_BOOT;
	else
		ret_header->kind = is_bound(m) ? SMQ_SEALED_GROUP : SMQ_SEALED_GROUP_BOOT;
	if (!slotted)
		return SMQ_OK;
	smq_err err = smq_slot_at(&m->k.times, m->now.unix_ms, &ret_header->slot);
	/* a clock that jumped back does not make us seal in a slot that has passed */
	return err == SMQ_OK && ret_header->slot < m->k.slot_floor ? SMQ_ERR_STALE_EPOCH : err;
}

static bool is_same_key(const struct smq_sealed *a, const struct smq_sealed *b)
{
	return a->kind == b->kind && a->alg == b->alg && a->epoch == b->epoch && a->slot == b->slot &&
	       a->sender_id == b->sender_id;
}

/* Counters go on: the same number is never used twice in one life, whatever the key. */
static smq_err need_sealer(smq_group_member *m, const struct member_epoch *e)
{
	struct smq_sealed header;
	struct smq_traffic_secret secret;
	struct smq_seal_context context;
	struct smq_sealer sealer;
	smq_err err = present_key(m, e, &header);
	if (err != SMQ_OK || (m->has_sealer && is_same_key(&m->sealer.key.header, &header)))
		return err;
	err = smq_gm_traffic(m, e, smq_sealed_has_slot(header.kind), header.slot, &secret);
	if (err != SMQ_OK)
		return err;
	set_context(m, e, &header, m->c.name, m->boot_id, &context);
	err = smq_sealer_init(&sealer, m->c.crypto, &secret, &context);
	smq_wipe(&secret, sizeof(secret));
	if (err != SMQ_OK)
		return err;
	smq_gm_drop_sealer(m);
	m->sealer = sealer;
	m->sealer.cose = m->c.cose;
	m->sealer.first_counter = m->sealer.next_counter = m->next_counter;
	m->has_sealer = true;
	smq_wipe(&sealer, sizeof(sealer));
	return SMQ_OK;
}

bool smq_group_member_covers(const smq_group_member *m, smq_span topic)
{
	return m->has_policy && (smq_policy_covers(&m->policy, topic) ||
				 smq_command_topic_is_of(m->c.prefix, smq_span_str(m->c.group), topic));
}

bool smq_group_member_commands(const smq_group_member *m, smq_span name, unsigned roles, smq_span whom)
{
	return m->has_policy && smq_policy_commands(&m->policy, name, roles, whom);
}

static smq_err may_publish(const smq_group_member *m, smq_span topic)
{
	smq_span name = smq_span_str(m->c.name);
	if (smq_manifest_chain_expired(&m->k.chain, m->now.unix_ms))
		return SMQ_ERR_STALE_EPOCH;
	if (!(m->k.roles & SMQ_JOIN_PUBLISH) || !smq_policy_admits(&m->policy, name, m->own_roles, SMQ_MAY_PUBLISH))
		return SMQ_ERR_NOT_AUTHORIZED;
	return smq_group_member_covers(m, topic) ? SMQ_OK : SMQ_ERR_TOPIC;
}

/* The epoch to seal under. */
static smq_err present_epoch(smq_group_member *m, struct smq_now now, const struct member_epoch **ret_epoch)
{
	m->now = now;
	smq_gm_pass_time(m);
	const struct member_epoch *e = smq_gm_message_epoch(m, m->k.in_use);
	if (!m->k.granted || !m->has_policy || !e || m->k.until_ms <= now.unix_ms)
		return SMQ_ERR_NO_SESSION;
	*ret_epoch = e;
	return SMQ_OK;
}

bool smq_group_member_ready(const smq_group_member *m, struct smq_now now)
{
	if (!m->k.granted || !m->has_policy || m->k.until_ms <= now.unix_ms)
		return false;
	bool due = smq_gm_epoch(&m->k, m->k.in_use) != NULL;
	for (size_t i = 0; i < SMQ_GM_EPOCHS_MAX && !due; i++)
		due = m->k.epochs[i].number > m->k.in_use && m->k.epochs[i].activate_at_ms <= now.unix_ms;
	bool patient =
	    m->first_online_ms == INT64_MAX || now.mono_ms - m->first_online_ms < SMQ_GM_KEPT_MS || m->refused;
	return due && (is_bound(m) || !patient);
}

smq_err smq_group_member_seal_proven(smq_group_member *m, smq_span topic, struct smq_now now, smq_span plain,
				     struct smq_seal_proof *proof, smq_mspan room, size_t *ret_len)
{
	const struct member_epoch *e;
	smq_err err = present_epoch(m, now, &e);
	if (err == SMQ_OK)
		err = may_publish(m, topic);
	if (err == SMQ_OK)
		err = need_sealer(m, e);
	if (err == SMQ_ERR_NO_KEY) {
		m->want_join = !m->left; /* no seed of this slot: a newer grant has it */
		err = SMQ_ERR_NO_SESSION;
	}
	if (err != SMQ_OK)
		return err;
	int64_t stamp = m->c.stamp ? now.unix_ms : -1;
	if (proof)
		return smq_seal_proven(&m->sealer, topic, stamp, plain, proof, room, ret_len);
	return smq_seal(&m->sealer, topic, stamp, plain, room, ret_len);
}

smq_err smq_group_member_seal(smq_group_member *m, smq_span topic, struct smq_now now, smq_span plain, smq_mspan room,
			      size_t *ret_len)
{
	return smq_group_member_seal_proven(m, topic, now, plain, NULL, room, ret_len);
}

/* ---- opening ---- */

/* The epoch of a message; one that is not here yet may come. */
static smq_err epoch_of(smq_group_member *m, const struct smq_sealed *s, const struct member_epoch **ret_epoch)
{
	const struct member_epoch *e = smq_gm_message_epoch(m, s->epoch);
	if (e) {
		*ret_epoch = e;
		return e->alg == 0 || s->alg->id == e->alg ? SMQ_OK : SMQ_ERR_ALGORITHM;
	}
	if (s->epoch < m->k.chain.epoch)
		return SMQ_ERR_STALE_EPOCH;
	if (!m->ahead)
		m->ahead_since_ms = m->now.mono_ms;
	m->ahead = true;
	return SMQ_ERR_NO_SESSION;
}

static smq_err check_slot(const smq_group_member *m, const struct smq_sealed *s)
{
	if (m->k.mode != SMQ_MODE_SLOTTED)
		return SMQ_OK;
	if (s->slot < m->k.slot_floor)
		return SMQ_ERR_STALE_EPOCH;
	return smq_slot_is_due(&m->k.times, s->slot, m->now.unix_ms) ? SMQ_OK : SMQ_ERR_NO_KEY;
}

/* Everything that can be refused before a key is made. */
static smq_err check_message(smq_group_member *m, const struct smq_sealed *s, smq_span topic,
			     const struct member_epoch **ret_epoch)
{
	if (s->kind == SMQ_SEALED_SESSION || m->left)
		return SMQ_ERR_NO_KEY;
	if (!m->has_policy)
		return m->refused ? SMQ_ERR_NO_KEY : SMQ_ERR_NO_SESSION;
	if (!smq_group_member_covers(m, topic))
		return SMQ_ERR_TOPIC;
	if (!m->k.granted)
		return m->refused ? SMQ_ERR_NO_KEY : SMQ_ERR_NO_SESSION;
	if (smq_sealed_has_slot(s->kind) != (m->k.mode == SMQ_MODE_SLOTTED) || !(m->k.roles & SMQ_JOIN_SUBSCRIBE))
		return SMQ_ERR_NO_KEY;
	smq_err err = epoch_of(m, s, ret_epoch);
	return err == SMQ_OK ? check_slot(m, s) : err;
}

/* The key server says who a sender is; that it may send, the policy says. */
static smq_err sender_of(smq_group_member *m, const struct smq_sealed *s, struct member_card **ret_card)
{
	const unsigned any_role = SMQ_ROLE_MEMBER | SMQ_ROLE_KEYSERVER | SMQ_ROLE_ADMIN | SMQ_ROLE_BROKER;
	struct member_card *c = find_card(m, s->sender_id);
	if (!c)
		return want_card(m, s->sender_id);
	if (!smq_policy_admits(&m->policy, smq_span_str(c->name), any_role, SMQ_MAY_PUBLISH))
		return SMQ_ERR_UNKNOWN_SENDER;
	*ret_card = c;
	return SMQ_OK;
}

static smq_err make_key(const smq_group_member *m, const struct member_epoch *e, const struct smq_sealed *s,
			const struct member_card *c, const uint8_t *boot_id, struct smq_seal_key *ret_key)
{
	struct smq_traffic_secret secret;
	struct smq_seal_context context;
	smq_err err = smq_gm_traffic(m, e, smq_sealed_has_slot(s->kind), s->slot, &secret);
	if (err != SMQ_OK)
		return err;
	set_context(m, e, s, c->name, boot_id, &context);
	err = smq_seal_key_init(ret_key, m->c.crypto, &secret, &context);
	smq_wipe(&secret, sizeof(secret));
	return err;
}

static smq_err open_as(smq_group_member *m, const struct member_epoch *e, const struct member_card *c,
		       struct smq_arrival *a)
{
	struct smq_seal_key fresh;
	struct smq_group_life *l = smq_group_lives_find(&m->lives, c->sender_id, a->boot_id);
	if (l && is_same_key(&l->key.header, a->sealed))
		return smq_group_lives_open(&m->lives, l, &l->key, a);
	smq_err err = make_key(m, e, a->sealed, c, a->boot_id, &fresh);
	if (err != SMQ_OK)
		return err;
	err = smq_group_lives_open(&m->lives, l, &fresh, a);
	smq_seal_key_done(&fresh);
	return err;
}

SMQ_HOT smq_err smq_group_member_open(smq_group_member *m, const struct smq_sealed *sealed, smq_span topic,
				      struct smq_now now, smq_mspan room, struct smq_group_member_opened *ret_opened)
{
	const struct member_epoch *e;
	struct member_card *c;
	m->now = now;
	smq_gm_pass_time(m);
	smq_err err = check_message(m, sealed, topic, &e);
	if (err == SMQ_OK)
		err = sender_of(m, sealed, &c);
	if (err != SMQ_OK)
		return err;
	bool in_full = sealed->kind == SMQ_SEALED_GROUP_BOOT || sealed->kind == SMQ_SEALED_SLOT_BOOT;
	struct smq_arrival a = { .sealed = sealed,
				 .boot_id = in_full ? sealed->boot_id : c->boot_id,
				 .topic = topic,
				 .mono_ms = now.mono_ms,
				 .room = room };
	err = open_as(m, e, c, &a);
	if (err != SMQ_OK)
		return err;
	c->heard = ++m->ticks;
	memcpy(m->opened_sender, c->name, sizeof(m->opened_sender));
	memcpy(m->opened_boot_id, a.boot_id, sizeof(m->opened_boot_id));
	*ret_opened = (struct smq_group_member_opened){ .sender = m->opened_sender,
							.boot_id = m->opened_boot_id,
							.len = a.len,
							.missing = a.missing,
							.key = a.key };
	return SMQ_OK;
}
