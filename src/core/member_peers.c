/* Peers and the keys of their sessions (PROTOCOL.md 5.3, 5.4). */
#include "core/member_state.h"

#include "base/text.h"
#include "base/wipe.h"
#include "wire/cbor.h"

enum { EXPORTER_LABEL = 32771 }; /* from the private range of RFC 9528, 10.1: "sealmq1 session" */

/* ---- peers ---- */

static uint32_t name_hash(smq_span name)
{
	uint32_t h = 2166136261u; /* FNV-1a */
	for (size_t i = 0; i < name.len; i++)
		h = (h ^ name.p[i]) * 16777619u;
	return h | 1; /* 0 marks a free slot */
}

static bool is_named(const struct peer *p, smq_span name) { return smq_span_equal(smq_span_str(p->name), name); }

struct peer *smq_peer_find(struct smq_member *m, smq_span name)
{
	if (m->last_peer < m->peer_count && is_named(&m->peers[m->last_peer], name))
		return &m->peers[m->last_peer];
	uint32_t h = name_hash(name);
	for (size_t i = 0; i < m->peer_count; i++) {
		if (m->name_hashes[i] == h && is_named(&m->peers[i], name)) {
			m->last_peer = i;
			return &m->peers[i];
		}
	}
	return NULL;
}

static bool has_sessions(const struct smq_member *m, int peer)
{
	for (size_t i = 0; i < m->session_count; i++) {
		if (m->sessions[i].state != SESSION_FREE && m->sessions[i].peer == peer)
			return true;
	}
	return false;
}

static int free_slot(struct smq_member *m)
{
	if (m->peer_count < m->peers_max)
		return (int)m->peer_count++;
	for (size_t i = 0; i < m->peer_count; i++) {
		const struct peer *p = &m->peers[i];
		if (!p->kept && p->run == NONE && p->active == NONE && !has_sessions(m, (int)i))
			return (int)i;
	}
	return NONE;
}

struct peer *smq_peer_get(struct smq_member *m, smq_span name)
{
	struct peer *p = smq_peer_find(m, name);
	if (p)
		return p;
	int slot = free_slot(m);
	if (slot == NONE)
		return NULL;
	p = &m->peers[slot];
	memset(p, 0, sizeof(*p));
	memcpy(p->name, name.p, name.len);
	p->active = NONE;
	p->run = NONE;
	p->hinted_at_ms = INT64_MIN / 2;
	m->name_hashes[slot] = name_hash(name);
	return p;
}

/* ---- session slots and their ids ---- */

static uint32_t load_id(const uint8_t id[SMQ_KEY_ID_LEN])
{
	return (uint32_t)id[0] << 24 | (uint32_t)id[1] << 16 | (uint32_t)id[2] << 8 | id[3];
}

static void store_id(uint32_t value, uint8_t ret_id[SMQ_KEY_ID_LEN])
{
	for (int i = 0; i < SMQ_KEY_ID_LEN; i++)
		ret_id[i] = (uint8_t)(value >> (24 - 8 * i));
}

int smq_session_reserve(struct smq_member *m)
{
	uint8_t fresh[2];
	smq_mspan room = smq_mspan_of(fresh, sizeof(fresh));
	if (m->config.random->fill(m->config.random->self, room) != SMQ_OK)
		return NONE;
	for (size_t i = 0; i < m->sessions_max; i++) {
		struct session *s = &m->sessions[i];
		if (i < m->session_count && s->state != SESSION_FREE)
			continue;
		m->session_count = i < m->session_count ? m->session_count : i + 1;
		memset(s, 0, sizeof(*s));
		s->state = SESSION_RESERVED;
		s->peer = NONE;
		/* slot number below, chance above, both under this life's mask: somebody else's id hits neither */
		store_id((((uint32_t)fresh[0] << 24 | (uint32_t)fresh[1] << 16) | (uint32_t)i) ^ m->id_mask, s->in_id);
		return (int)i;
	}
	return NONE;
}

struct session *smq_session_by_id(struct smq_member *m, const uint8_t id[SMQ_KEY_ID_LEN])
{
	size_t i = (load_id(id) ^ m->id_mask) & 0xffff;
	if (i >= m->session_count)
		return NULL;
	struct session *s = &m->sessions[i];
	return s->state != SESSION_FREE && memcmp(s->in_id, id, SMQ_KEY_ID_LEN) == 0 ? s : NULL;
}

void smq_session_free(struct smq_member *m, int index)
{
	struct session *s = &m->sessions[index];
	if (s->peer != NONE && m->peers[s->peer].active == index)
		m->peers[s->peer].active = NONE;
	if (s->state > SESSION_RESERVED) {
		smq_sealer_done(&s->sealer);
		smq_opener_done(&s->opener);
	}
	smq_wipe(s, sizeof(*s));
	s->peer = NONE;
}

/* ---- keys ---- */

/* The peer's boot id and algorithm, from the EAD item of its message_2 or message_3 (PROTOCOL.md 5.2). */
static smq_err read_ead(const struct smq_member *m, smq_span ead, uint8_t ret_boot_id[SMQ_BOOT_ID_LEN],
			const struct smq_aead_alg **ret_alg)
{
	struct smq_reader outer = smq_reader_on(ead);
	(void)smq_cbor_get_uint(&outer); /* the label; it is the only item, or we would not be here */
	smq_span value = smq_cbor_get_bytes(&outer);
	smq_err err = smq_reader_end(&outer);
	struct smq_reader r = smq_reader_on(value);
	smq_span boot_id = smq_cbor_get_bytes(&r);
	int64_t alg_id = smq_cbor_get_int(&r);
	if (err == SMQ_OK)
		err = smq_reader_end(&r);
	if (err != SMQ_OK || boot_id.len != SMQ_BOOT_ID_LEN || alg_id < 1 || alg_id > 31)
		return SMQ_ERR_MALFORMED;
	if (!(m->config.accept_algorithms >> alg_id & 1))
		return SMQ_ERR_ALGORITHM;
	memcpy(ret_boot_id, boot_id.p, SMQ_BOOT_ID_LEN);
	*ret_alg = smq_aead_alg_by_id((int)alg_id);
	return *ret_alg ? SMQ_OK : SMQ_ERR_ALGORITHM;
}

static struct smq_seal_context context_of(const struct smq_member *m, const char *sender, const char *recipient,
					  const struct smq_aead_alg *alg, const uint8_t boot_id[SMQ_BOOT_ID_LEN])
{
	struct smq_seal_context c = {
		.kind = SMQ_SEALED_SESSION,
		.alg = alg,
		.realm = smq_span_str(m->realm),
		.sender = smq_span_str(sender),
		.recipient = smq_span_str(recipient),
	};
	memcpy(c.boot_id, boot_id, SMQ_BOOT_ID_LEN);
	return c;
}

smq_err smq_session_derive(struct smq_member *m, int index, struct peer *peer, const struct smq_edhoc *e,
			   struct smq_now now)
{
	struct session *s = &m->sessions[index];
	struct smq_traffic_secret secret;
	const struct smq_aead_alg *alg = NULL;
	smq_span cid = smq_edhoc_peer_cid(e);
	smq_span ead2 = smq_edhoc_peer_ead(e, 2);
	smq_err err = read_ead(m, ead2.len ? ead2 : smq_edhoc_peer_ead(e, 3), s->peer_boot_id, &alg);

	if (err == SMQ_OK && cid.len != SMQ_KEY_ID_LEN)
		err = SMQ_ERR_MALFORMED;
	if (err == SMQ_OK)
		err =
		    smq_edhoc_export(e, EXPORTER_LABEL, smq_span_of(NULL, 0), smq_mspan_of(secret.b, sizeof(secret.b)));
	if (err != SMQ_OK)
		return err;
	struct smq_seal_context out =
	    context_of(m, m->name, peer->name, smq_aead_alg_by_id(m->config.algorithm), m->boot_id);
	struct smq_seal_context in = context_of(m, peer->name, m->name, alg, s->peer_boot_id);
	memcpy(out.key_id, cid.p, SMQ_KEY_ID_LEN);
	memcpy(in.key_id, s->in_id, SMQ_KEY_ID_LEN);
	err = smq_sealer_init(&s->sealer, m->config.crypto, &secret, &out);
	if (err == SMQ_OK) {
		err = smq_opener_init(&s->opener, m->config.crypto, &secret, &in);
		if (err != SMQ_OK)
			smq_sealer_done(&s->sealer);
	}
	smq_wipe(&secret, sizeof(secret));
	if (err != SMQ_OK)
		return err;
	s->sealer.cose = m->config.cose;
	s->peer = (int)(peer - m->peers);
	s->number = ++peer->sessions;
	s->born_ms = now.mono_ms;
	s->used_ms = now.mono_ms;
	s->expires_ms = smq_edhoc_peer(e)->expires_ms;
	memcpy(s->credential, smq_edhoc_peer(e)->id, sizeof(s->credential));
	s->state = SESSION_UNCONFIRMED;
	return SMQ_OK;
}

/* ---- rotation ---- */

int64_t smq_grace_ms(const struct smq_member *m)
{
	int64_t most = 2 * (int64_t)m->config.rotate_every_ms;
	return m->config.grace_ms < most ? m->config.grace_ms : most;
}

/* Makes sure that at most so many sessions of the peer wait for their end: the one longest unused goes first. */
static void trim_grace(struct smq_member *m, int peer)
{
	int oldest = NONE;
	int count = 0;
	for (size_t i = 0; i < m->session_count; i++) {
		struct session *s = &m->sessions[i];
		if (s->peer != peer || s->state != SESSION_GRACE)
			continue;
		count++;
		if (oldest == NONE || s->used_ms < m->sessions[oldest].used_ms)
			oldest = (int)i;
	}
	if (count > SMQ_SESSIONS_PER_PEER - 2)
		smq_session_free(m, oldest);
}

void smq_session_to_grace(struct smq_member *m, int index, struct smq_now now)
{
	struct session *s = &m->sessions[index];
	int peer = s->peer;
	if (m->peers[peer].active == index) {
		m->peers[peer].next_counter = s->sealer.next_counter;
		m->peers[peer].active = NONE;
	}
	s->state = SESSION_GRACE;
	s->wipe_at_ms = now.mono_ms + smq_grace_ms(m);
	/* Its sealing half is not needed any more. */
	smq_sealer_done(&s->sealer);
	memset(&s->sealer, 0, sizeof(s->sealer));
	trim_grace(m, peer);
	m->dirty = true;
}

/*
 * Keys of another life of the peer: that life may have ended, or be another process of its name that still seals.
 * They open for as long as their sender could be using them.
 */
static void set_aside(struct smq_member *m, int index, const struct session *next, struct smq_now now)
{
	struct session *s = &m->sessions[index];
	int64_t until = s->born_ms + smq_stale_ms(m) + smq_grace_ms(m);
	bool same_life = memcmp(s->peer_boot_id, next->peer_boot_id, SMQ_BOOT_ID_LEN) == 0;
	smq_session_to_grace(m, index, now);
	if (!same_life && s->state == SESSION_GRACE && s->wipe_at_ms < until)
		s->wipe_at_ms = until;
}

/* The former keys of this life, where another life's were active in between. */
static void retire_former(struct smq_member *m, const struct session *next, struct smq_now now)
{
	int64_t until = now.mono_ms + smq_grace_ms(m);
	for (size_t i = 0; i < m->session_count; i++) {
		struct session *s = &m->sessions[i];
		if (s->state == SESSION_GRACE && s->peer == next->peer && s->wipe_at_ms > until &&
		    memcmp(s->peer_boot_id, next->peer_boot_id, SMQ_BOOT_ID_LEN) == 0)
			s->wipe_at_ms = until;
	}
}

void smq_session_activate(struct smq_member *m, int index, struct smq_now now, const struct run *run)
{
	struct session *s = &m->sessions[index];
	struct peer *peer = &m->peers[s->peer];
	if (peer->active != NONE)
		set_aside(m, peer->active, s, now);
	retire_former(m, s, now);
	s->sealer.next_counter = peer->next_counter;
	s->sealer.first_counter = peer->next_counter;
	s->state = SESSION_ACTIVE;
	peer->active = index;
	peer->attempts = 0;
	peer->retry_at_ms = 0;
	peer->wants_run = false;
	peer->silent_noted = false;
	peer->knows_us = true;
	m->dirty = true;
	smq_member_note(m, SMQ_NOTE_READY, peer->name, s->number, SMQ_OK, run ? run->wire_bytes : 0,
			run ? now.mono_ms - run->started_ms : 0);
}

int64_t smq_stale_ms(const struct smq_member *m)
{
	int64_t stale_ms = SMQ_STALE_ROTATIONS * (int64_t)m->config.rotate_every_ms;
	return stale_ms < SMQ_STALE_MIN_MS ? SMQ_STALE_MIN_MS : stale_ms;
}

bool smq_session_usable(const struct smq_member *m, const struct session *s, struct smq_now now)
{
	return s->state == SESSION_ACTIVE && now.mono_ms - s->born_ms < smq_stale_ms(m) && now.unix_ms < s->expires_ms;
}

/* ---- revocation ---- */

/* A run that is about to finish this session ends with it; its keys must not come back by way of the grace. */
static void forget_run_of(struct smq_member *m, int session, struct smq_now now)
{
	for (size_t i = 0; i < m->run_count; i++) {
		struct run *r = &m->runs[i];
		if (r->role == RUN_FREE || r->session != session)
			continue;
		r->session = NONE;
		smq_run_drop(m, r, now);
	}
}

static void end_session(struct smq_member *m, int index, smq_err err, struct smq_now now)
{
	struct session *s = &m->sessions[index];
	struct peer *peer = &m->peers[s->peer];
	if (peer->active == index)
		peer->next_counter = s->sealer.next_counter;
	smq_member_note(m, SMQ_NOTE_ENDED, peer->name, s->number, err, 0, 0);
	forget_run_of(m, index, now);
	smq_session_free(m, index);
	m->dirty = true;
}

void smq_member_review(smq_member *m, struct smq_now now)
{
	const struct smq_credentials *c = m->config.credentials;
	for (size_t i = 0; c->holds && i < m->session_count; i++) {
		if (m->sessions[i].state < SESSION_UNCONFIRMED)
			continue;
		smq_err err = c->holds(c->self, m->sessions[i].credential, now.unix_ms);
		if (err != SMQ_OK)
			end_session(m, (int)i, err, now);
	}
}
