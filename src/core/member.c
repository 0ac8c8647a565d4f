/* The member machine: its memory, its timers, and what it asks its owner to do (PROTOCOL.md 5). */
#include "core/member_state.h"

#include "core/member_proof.h"

#include <stddef.h>

#include "base/hot.h"
#include "base/text.h"
#include "base/wipe.h"
#include "wire/cbor.h"

enum { EAD_LABEL = 32771 }; /* PROTOCOL.md 5.2: "sealmq1 sender", not critical */

/* ---- memory ---- */

static size_t aligned(size_t n)
{
	const size_t a = _Alignof(max_align_t);
	return (n + a - 1) / a * a;
}

static size_t or_default(size_t value, size_t fallback) { return value ? value : fallback; }

static size_t sessions_for(size_t peers, size_t runs) { return peers * SMQ_SESSIONS_PER_PEER + runs; }

size_t smq_member_size(const struct smq_member_config *c)
{
	size_t peers = or_default(c->peers_max, SMQ_PEERS_DEFAULT);
	size_t runs = or_default(c->runs_max, SMQ_RUNS_DEFAULT);
	if (peers > SMQ_PEERS_MAX || runs > SMQ_RUNS_MAX)
		return 0;
	return aligned(sizeof(struct smq_member)) + aligned(peers * sizeof(struct peer)) +
	       aligned(peers * sizeof(uint32_t)) + aligned(sessions_for(peers, runs) * sizeof(struct session)) +
	       aligned(runs * sizeof(struct run));
}

static void *carve(uint8_t **at, size_t len)
{
	void *p = *at;
	*at += aligned(len);
	return p;
}

static void lay_out(uint8_t *memory, const struct smq_member_config *c, smq_member **ret_member)
{
	smq_member *m = carve(&memory, sizeof(*m));
	memset(m, 0, sizeof(*m));
	m->peers_max = or_default(c->peers_max, SMQ_PEERS_DEFAULT);
	m->run_count = or_default(c->runs_max, SMQ_RUNS_DEFAULT);
	m->sessions_max = sessions_for(m->peers_max, m->run_count);
	m->peers = carve(&memory, m->peers_max * sizeof(struct peer));
	m->name_hashes = carve(&memory, m->peers_max * sizeof(uint32_t));
	m->sessions = carve(&memory, m->sessions_max * sizeof(struct session));
	m->runs = carve(&memory, m->run_count * sizeof(struct run));
	memset(m->runs, 0, m->run_count * sizeof(struct run));
	for (size_t i = 0; i < m->run_count; i++)
		m->runs[i].session = NONE;
	*ret_member = m;
}

/* ---- configuration ---- */

static smq_err copy_text(const char *text, char *ret_copy, size_t room)
{
	const char *from = text ? text : "";
	size_t len = strlen(from);
	if (len >= room)
		return SMQ_ERR_TOO_LARGE;
	memcpy(ret_copy, from, len + 1);
	return SMQ_OK;
}

static smq_err fill_topics(smq_member *m, const char *keyex_topic)
{
	smq_err err = copy_text(keyex_topic, m->keyex_topic, sizeof(m->keyex_topic) - SMQ_MEMBER_NAME_MAX);
	if (err == SMQ_OK)
		err = smq_keyex_topic(m->keyex_topic, m->name, smq_mspan_of(m->own_topic, sizeof(m->own_topic)));
	if (err == SMQ_OK)
		err = smq_keyex_topic(m->keyex_topic, "all", smq_mspan_of(m->all_topic, sizeof(m->all_topic)));
	return err;
}

static void fill_defaults(smq_member *m)
{
	static const int suites[] = { 2, 6, 0 };
	struct smq_member_config *c = &m->config;
	c->algorithm = c->algorithm ? c->algorithm : SMQ_A128GCM;
	if (c->accept_algorithms == 0)
		c->accept_algorithms = 1u << SMQ_A128GCM | 1u << SMQ_A256GCM | 1u << SMQ_CHACHA20_POLY1305;
	c->methods_allowed = c->methods_allowed ? c->methods_allowed : 1u << c->method;
	c->rotate_every_ms = c->rotate_every_ms ? c->rotate_every_ms : SMQ_ROTATE_EVERY_MS;
	c->rotate_messages = c->rotate_messages ? c->rotate_messages : SMQ_ROTATE_MESSAGES;
	c->grace_ms = c->grace_ms ? c->grace_ms : SMQ_GRACE_MS;
	if (c->suite_count == 0) {
		memcpy(m->suites, suites, sizeof(suites));
		c->suite_count = sizeof(suites) / sizeof(suites[0]);
	} else {
		memcpy(m->suites, c->suites, c->suite_count * sizeof(int));
	}
	c->suites = m->suites;
}

static smq_err check_config(const struct smq_member_config *c)
{
	const struct smq_aead_alg *alg = smq_aead_alg_by_id(c->algorithm ? c->algorithm : SMQ_A128GCM);
	if (!smq_name_valid(smq_span_str(c->realm)) || !smq_name_valid(smq_span_str(c->name)) ||
	    strcmp(c->name, "all") == 0)
		return SMQ_ERR_NAME;
	if (!alg || alg->message_limit == 1)
		return SMQ_ERR_ALGORITHM;
	if (c->method < 0 || c->method > 3 || c->suite_count > SMQ_EDHOC_SUITES_MAX)
		return SMQ_ERR_USAGE;
	if (c->rotate_every_ms && c->rotate_every_ms < SMQ_ROTATE_EVERY_MIN_MS)
		return SMQ_ERR_USAGE;
	return SMQ_OK;
}

/* The EAD item of our message_2 and message_3: our boot id and the algorithm that we seal with. */
static smq_err fill_ead(smq_member *m)
{
	uint8_t value[SMQ_BOOT_ID_LEN + 8];
	size_t value_len = 0;
	struct smq_writer v = smq_writer_on(smq_mspan_of(value, sizeof(value)));
	smq_cbor_put_bytes(&v, smq_span_of(m->boot_id, SMQ_BOOT_ID_LEN));
	smq_cbor_put_int(&v, m->config.algorithm);
	smq_err err = smq_writer_end(&v, &value_len);
	struct smq_writer w = smq_writer_on(smq_mspan_of(m->ead, sizeof(m->ead)));
	smq_cbor_put_uint(&w, EAD_LABEL);
	smq_cbor_put_bytes(&w, smq_span_of(value, value_len));
	return err != SMQ_OK ? err : smq_writer_end(&w, &m->ead_len);
}

static smq_err draw(smq_member *m)
{
	const struct smq_random *random = m->config.random;
	smq_err err = random->fill(random->self, smq_mspan_of(m->boot_id, sizeof(m->boot_id)));
	if (err == SMQ_OK)
		err = random->fill(random->self, smq_mspan_of(&m->id_mask, sizeof(m->id_mask)));
	if (err == SMQ_OK)
		err = random->fill(random->self, smq_mspan_of(&m->jitter, sizeof(m->jitter)));
	return err;
}

smq_err smq_member_init(void *memory, size_t len, const struct smq_member_config *config, struct smq_now now,
			smq_member **ret_member)
{
	smq_member *m;
	size_t need = smq_member_size(config);
	smq_err err = check_config(config);
	if (err != SMQ_OK || need == 0)
		return err != SMQ_OK ? err : SMQ_ERR_USAGE;
	if (len < need)
		return SMQ_ERR_NO_ROOM;
	lay_out(memory, config, &m);
	m->config = *config;
	fill_defaults(m);
	m->answers = SMQ_ANSWERS_BURST;
	m->answers_refill_ms = now.mono_ms;
	m->greeted_ms = INT64_MIN / 2;
	m->due_ms = INT64_MAX;
	m->greet = true;
	err = copy_text(config->realm, m->realm, sizeof(m->realm));
	if (err == SMQ_OK)
		err = copy_text(config->name, m->name, sizeof(m->name));
	if (err == SMQ_OK)
		err = fill_topics(m, config->keyex_topic);
	if (err == SMQ_OK)
		err = draw(m);
	if (err == SMQ_OK)
		err = fill_ead(m);
	if (err == SMQ_OK)
		*ret_member = m;
	return err;
}

void smq_member_done(smq_member *m)
{
	for (size_t i = 0; i < m->run_count; i++)
		smq_edhoc_done(&m->runs[i].edhoc);
	for (size_t i = 0; i < m->session_count; i++) {
		if (m->sessions[i].state != SESSION_FREE)
			smq_session_free(m, (int)i);
	}
	smq_wipe(m->runs, m->run_count * sizeof(struct run));
	smq_wipe(m, sizeof(*m));
}

/* ---- simple questions ---- */

const char *smq_member_topic(const smq_member *m, int i) { return i == 0 ? m->own_topic : m->all_topic; }

const uint8_t *smq_member_boot_id(const smq_member *m) { return m->boot_id; }

SMQ_HOT bool smq_member_takes(const smq_member *m, const char *topic)
{
	return strcmp(topic, m->own_topic) == 0 || strcmp(topic, m->all_topic) == 0;
}

bool smq_member_ready(const smq_member *m, const char *peer, struct smq_now now)
{
	smq_member *mutable = (smq_member *)(uintptr_t)m; /* the look-up only remembers where it hit */
	const struct peer *p = smq_peer_find(mutable, smq_span_str(peer));
	return p && p->active != NONE && smq_session_usable(m, &m->sessions[p->active], now);
}

/* ---- what the owner says ---- */

void smq_member_online(smq_member *m, struct smq_now now)
{
	m->online = true;
	m->dirty = true;
	if (m->config.role == SMQ_MEMBER_READER)
		m->greet = true; /* it cannot begin: whoever writes to it is to do so now */
	for (size_t i = 0; i < m->peer_count; i++) {
		struct peer *p = &m->peers[i];
		if (!p->kept)
			continue;
		/* While we were away the peer may have started anew; old keys serve until the new ones are there. */
		p->wants_run = true;
		p->attempts = 0;
		p->retry_at_ms = now.mono_ms;
	}
}

void smq_member_offline(smq_member *m) { m->online = false; }

smq_err smq_member_keep(smq_member *m, const char *peer, struct smq_now now)
{
	smq_span name = smq_span_str(peer);
	if (!smq_name_valid(name) || strcmp(peer, m->name) == 0 || strcmp(peer, "all") == 0)
		return SMQ_ERR_NAME;
	struct peer *p = smq_peer_get(m, name);
	if (!p)
		return SMQ_ERR_FULL;
	if (!p->kept && p->active == NONE) {
		p->wants_run = true;
		p->retry_at_ms = now.mono_ms;
	}
	p->kept = true;
	m->dirty = true;
	return SMQ_OK;
}

smq_err smq_member_rotate(smq_member *m, const char *peer)
{
	struct peer *p = smq_peer_find(m, smq_span_str(peer));
	if (!p)
		return SMQ_ERR_UNKNOWN_SENDER;
	p->wants_run = true;
	p->retry_at_ms = INT64_MIN;
	m->dirty = true;
	return SMQ_OK;
}

smq_err smq_member_input(smq_member *m, const char *topic, smq_span payload, bool retained, struct smq_now now)
{
	struct smq_keyex k;
	if (!smq_member_takes(m, topic))
		return SMQ_ERR_TOPIC;
	if (retained) /* key exchanges are never retained: this is somebody's past, perhaps our own */
		return SMQ_ERR_REPLAY;
	if (payload.len > SMQ_KEYEX_MESSAGE_MAX)
		return SMQ_ERR_TOO_LARGE;
	if (m->out_len > 0) /* the last answer was not taken yet */
		return SMQ_ERR_STATE;
	smq_err err = smq_keyex_decode(payload, &k);
	if (err != SMQ_OK)
		return err;
	bool for_us = smq_span_equal(k.to, smq_span_str(m->name));
	bool for_all =
	    (k.kind == SMQ_KEYEX_HELLO || k.kind == SMQ_KEYEX_NO_KEY) && smq_span_equal(k.to, smq_span_str("all"));
	if (smq_span_equal(k.from, smq_span_str(m->name)) || !(for_us || for_all))
		return SMQ_OK; /* our own echo, or somebody else's conversation on a shared topic */
	m->dirty = true;
	return smq_keyex_input(m, &k, payload.len, now);
}

/* ---- data ---- */

/* What came from this life so far; where it is new, in the place of the one heard least recently. */
static struct arrivals *arrivals_of(struct peer *p, const struct session *s, uint64_t counter)
{
	struct arrivals *oldest = &p->arrivals[0];
	for (size_t i = 0; i < SMQ_LIVES_PER_PEER; i++) {
		struct arrivals *a = &p->arrivals[i];
		if (a->any && memcmp(a->boot_id, s->peer_boot_id, SMQ_BOOT_ID_LEN) == 0)
			return a;
		if (!a->any || (oldest->any && a->heard_ms < oldest->heard_ms))
			oldest = a;
	}
	memset(oldest, 0, sizeof(*oldest));
	memcpy(oldest->boot_id, s->peer_boot_id, SMQ_BOOT_ID_LEN);
	oldest->any = true;
	oldest->next = counter; /* what was sent before we listened is not missing */
	return oldest;
}

static void count_arrival(struct peer *p, const struct session *s, uint64_t counter, struct smq_now now,
			  uint64_t *ret_missing)
{
	struct arrivals *a = arrivals_of(p, s, counter);
	*ret_missing = 0;
	a->heard_ms = now.mono_ms;
	if (counter >= a->next) {
		*ret_missing = counter - a->next;
		a->missing += *ret_missing;
		a->next = counter + 1;
	} else if (a->missing > 0) {
		a->missing--; /* a late one fills its gap */
	}
	a->received++;
}

static void remember_topic(smq_member *m, const char *topic)
{
	size_t len = strlen(topic);
	if (len > SMQ_RECENT_TOPIC_MAX)
		return;
	for (size_t i = 0; i < SMQ_RECENT_TOPICS; i++) {
		if (strcmp(m->recent[i].text, topic) == 0)
			return;
	}
	memcpy(m->recent[m->recent_next].text, topic, len + 1);
	m->recent_next = (m->recent_next + 1) % SMQ_RECENT_TOPICS;
}

/* A tag that fails here but verifies for a topic seen lately tells us that the message was moved. */
static smq_err diagnose(smq_member *m, const struct session *s, const struct smq_sealed *sealed, const char *topic,
			smq_mspan room)
{
	for (size_t i = 0; i < SMQ_RECENT_TOPICS; i++) {
		const char *was = m->recent[i].text;
		if (!was[0] || strcmp(was, topic) == 0 || !smq_opens_under(&s->opener, sealed, smq_span_str(was), room))
			continue;
		memcpy(m->moved_from, was, strlen(was) + 1);
		return SMQ_ERR_MOVED;
	}
	return SMQ_ERR_OPEN;
}

static void complain(smq_member *m, const struct smq_sealed *sealed, struct smq_now now)
{
	if (now.mono_ms - m->greeted_ms < SMQ_GREETING_GAP_MS)
		return;
	m->complain = true;
	m->dirty = true;
	memcpy(m->unknown_id, sealed->key_id, SMQ_KEY_ID_LEN);
}

/* The peer seals under keys that it has only if it finished the exchange: as good as its message_4. */
static void confirm(smq_member *m, struct session *s, struct smq_now now)
{
	int index = (int)(s - m->sessions);
	struct run *run = smq_run_of(m, &m->peers[s->peer]);
	if (run && run->session == index)
		run->session = NONE;
	smq_session_activate(m, index, now, run);
	if (run && run->session == NONE)
		smq_run_drop(m, run, now);
}

smq_err smq_member_open(smq_member *m, const char *topic, smq_span payload, struct smq_now now, smq_mspan room,
			struct smq_opened *ret_opened)
{
	struct smq_sealed sealed;
	struct smq_opened o = { .sender = "" };
	size_t len = 0;
	smq_err err = smq_sealed_decode(payload, &sealed);
	if (err != SMQ_OK)
		return err;
	if (sealed.kind != SMQ_SEALED_SESSION)
		return SMQ_ERR_NO_KEY;
	struct session *s = smq_session_by_id(m, sealed.key_id);
	if (!s || s->state < SESSION_UNCONFIRMED) {
		complain(m, &sealed, now);
		return SMQ_ERR_NO_KEY;
	}
	struct peer *peer = &m->peers[s->peer];
	ret_opened->sender = peer->name;
	ret_opened->session = s->number;
	ret_opened->counter = sealed.counter;
	if (now.unix_ms >= s->expires_ms)
		return SMQ_ERR_CERT_EXPIRED;
	err = smq_open(&s->opener, &sealed, smq_span_str(topic), room, &len, NULL);
	if (err == SMQ_ERR_OPEN)
		return diagnose(m, s, &sealed, topic, room);
	if (err != SMQ_OK)
		return err;
	if (s->state == SESSION_UNCONFIRMED)
		confirm(m, s, now);
	s->used_ms = now.mono_ms;
	count_arrival(peer, s, sealed.counter, now, &o.missing);
	remember_topic(m, topic);
	o.plain = smq_span_of(room.p, len);
	o.sender = peer->name;
	o.session = s->number;
	o.counter = sealed.counter;
	o.algorithm = sealed.alg->id;
	o.provable = sealed.covered || sealed.signature.len != 0;
	o.has_age = sealed.has_stamp;
	o.age_ms = sealed.has_stamp ? smq_stamp_age(sealed.stamp, now.unix_ms) : 0;
	memcpy(o.boot_id, s->peer_boot_id, SMQ_BOOT_ID_LEN);
	*ret_opened = o;
	return SMQ_OK;
}

const char *smq_member_moved_from(const smq_member *m) { return m->moved_from; }

size_t smq_member_seal_room(size_t plain_len) { return smq_sealed_room(plain_len); }

static smq_err seal_for(smq_member *m, const char *to, const char *topic, smq_span plain, struct smq_now now,
			struct smq_seal_proof *proof, smq_mspan room, size_t *ret_len)
{
	struct peer *p = smq_peer_find(m, smq_span_str(to));
	if (!p)
		return SMQ_ERR_NO_SESSION;
	struct session *s = p->active == NONE ? NULL : &m->sessions[p->active];
	if (!s || !smq_session_usable(m, s, now)) {
		p->wants_run = true;
		m->dirty = true;
		return SMQ_ERR_NO_SESSION;
	}
	int64_t stamp_ms = m->config.stamp ? now.unix_ms : -1;
	smq_span under = smq_span_str(topic);
	smq_err err = proof ? smq_seal_proven(&s->sealer, under, stamp_ms, plain, proof, room, ret_len)
			    : smq_seal(&s->sealer, under, stamp_ms, plain, room, ret_len);
	if (err != SMQ_OK)
		return err;
	if (++s->sealed >= m->config.rotate_messages && !p->wants_run) {
		p->wants_run = true;
		m->dirty = true;
	}
	return SMQ_OK;
}

smq_err smq_member_seal(smq_member *m, const char *to, const char *topic, smq_span plain, struct smq_now now,
			smq_mspan room, size_t *ret_len)
{
	return seal_for(m, to, topic, plain, now, NULL, room, ret_len);
}

smq_err smq_member_seal_proven(smq_member *m, const char *to, const char *topic, smq_span plain, struct smq_now now,
			       struct smq_seal_proof *proof, smq_mspan room, size_t *ret_len)
{
	return seal_for(m, to, topic, plain, now, proof, room, ret_len);
}

const struct smq_seal_key *smq_member_key_of(smq_member *m, const struct smq_sealed *sealed)
{
	const struct session *s = sealed->kind == SMQ_SEALED_SESSION ? smq_session_by_id(m, sealed->key_id) : NULL;
	return s && s->state >= SESSION_UNCONFIRMED ? &s->opener.key : NULL;
}

/* ---- what is due ---- */

static bool take_out(smq_member *m, struct smq_action *ret_action)
{
	if (m->out_len == 0)
		return false;
	ret_action->kind = SMQ_ACT_SEND;
	ret_action->topic = m->send_topic;
	ret_action->payload = smq_span_of(m->out, m->out_len);
	m->out_len = 0;
	return true;
}

static bool announce(smq_member *m, struct smq_now now)
{
	smq_span none = { NULL, 0 };
	smq_err err;
	if (!m->greet && !m->complain)
		return false;
	if (m->greet)
		err = smq_keyex_send(m, SMQ_KEYEX_HELLO, "all", none, none);
	else
		err = smq_keyex_send(m, SMQ_KEYEX_NO_KEY, "all", smq_span_of(m->unknown_id, SMQ_KEY_ID_LEN), none);
	m->greet = false;
	m->complain = false;
	m->greeted_ms = now.mono_ms;
	return err == SMQ_OK;
}

/* When the rotation of an active session is due: the smaller name leads, the other follows if nothing came. A writer
 * always leads. */
static int64_t rotate_at(const smq_member *m, const struct peer *p)
{
	int64_t every = m->config.rotate_every_ms;
	int64_t born = m->sessions[p->active].born_ms;
	bool leads = m->config.role == SMQ_MEMBER_WRITER || strcmp(m->name, p->name) < 0;
	return leads ? born + every : born + every + every / 4 + SMQ_RETRY_MIN_MS;
}

static int64_t earlier(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t wake_for_peer(const smq_member *m, const struct peer *p)
{
	int64_t at = INT64_MAX;
	if (!p->name[0])
		return at;
	if (m->config.role == SMQ_MEMBER_READER) /* begins nothing; only forgets */
		return p->active == NONE ? at : m->sessions[p->active].born_ms + smq_stale_ms(m);
	if (p->active != NONE)
		at = rotate_at(m, p);
	if (p->active == NONE ? p->kept || p->wants_run : p->wants_run || p->run != NONE)
		at = earlier(at, p->retry_at_ms);
	return at > p->retry_at_ms ? at : p->retry_at_ms;
}

/* A member that is not kept, or that we only read from, and whose keys are stale is given up. */
static bool given_up(smq_member *m, struct peer *p, struct smq_now now)
{
	bool kept = p->kept && m->config.role != SMQ_MEMBER_READER;
	if (kept || p->active == NONE || smq_session_usable(m, &m->sessions[p->active], now))
		return false;
	smq_session_to_grace(m, p->active, now);
	p->wants_run = false;
	return true;
}

static bool start_due_run(smq_member *m, struct smq_now now)
{
	for (size_t i = 0; smq_run_may_start(m) && i < m->peer_count; i++) {
		struct peer *p = &m->peers[i];
		if (wake_for_peer(m, p) > now.mono_ms || given_up(m, p, now))
			continue;
		p->wants_run = true;
		if (smq_run_start(m, p, now) == SMQ_OK)
			return true;
	}
	return false;
}

static void drop_late_runs(smq_member *m, struct smq_now now)
{
	for (size_t i = 0; i < m->run_count; i++) {
		struct run *r = &m->runs[i];
		if (r->role != RUN_FREE && now.mono_ms - r->started_ms >= SMQ_RUN_TIMEOUT_MS)
			smq_run_drop(m, r, now);
	}
}

static void wipe_expired(smq_member *m, struct smq_now now)
{
	for (size_t i = 0; i < m->session_count; i++) {
		struct session *s = &m->sessions[i];
		if (s->state != SESSION_GRACE || s->wipe_at_ms > now.mono_ms)
			continue;
		smq_member_note(m, SMQ_NOTE_WIPED, m->peers[s->peer].name, s->number, SMQ_OK, 0, 0);
		smq_session_free(m, (int)i);
	}
}

static int64_t compute_due(const smq_member *m)
{
	int64_t at = INT64_MAX;
	for (size_t i = 0; i < m->session_count; i++) {
		if (m->sessions[i].state == SESSION_GRACE)
			at = earlier(at, m->sessions[i].wipe_at_ms);
	}
	for (size_t i = 0; i < m->run_count; i++) {
		if (m->runs[i].role != RUN_FREE)
			at = earlier(at, m->runs[i].started_ms + SMQ_RUN_TIMEOUT_MS);
	}
	/* Without a place for a run there is nothing to wake for: a run that ends says so itself. */
	bool may_start = m->online && smq_run_may_start(m);
	for (size_t i = 0; may_start && i < m->peer_count; i++)
		at = earlier(at, wake_for_peer(m, &m->peers[i]));
	return at;
}

SMQ_HOT bool smq_member_next(smq_member *m, struct smq_now now, struct smq_action *ret_action)
{
	if (smq_member_take_note(m, ret_action) || take_out(m, ret_action))
		return true;
	if (!m->dirty && now.mono_ms < m->due_ms)
		return false;
	drop_late_runs(m, now);
	wipe_expired(m, now);
	if (m->online && (announce(m, now) || start_due_run(m, now))) {
		if (take_out(m, ret_action))
			return true;
	}
	m->dirty = false;
	m->due_ms = compute_due(m);
	return smq_member_take_note(m, ret_action);
}

int64_t smq_member_wake_at(const smq_member *m)
{
	return m->dirty || m->note_count > 0 || m->out_len > 0 ? INT64_MIN : m->due_ms;
}
