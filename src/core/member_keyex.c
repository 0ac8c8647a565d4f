/*
 * Key exchanges of a member: who starts, who answers, and what happens when both do (PROTOCOL.md 5.2).
 *
 * Everything that arrives here is unauthenticated until EDHOC has said otherwise: it may cost us a bounded answer,
 * or make us start a run of our own a little earlier, and no more than that.
 */
#include "core/member_state.h"

#include "base/text.h"

/* ---- sending ---- */

smq_err smq_keyex_send(struct smq_member *m, enum smq_keyex_kind kind, const char *to, smq_span id, smq_span body)
{
	struct smq_keyex message = {
		.kind = kind,
		.to = smq_span_str(to),
		.from = smq_span_str(m->name),
		.id = id,
		.body = body,
	};
	smq_err err = smq_keyex_topic(m->keyex_topic, to, smq_mspan_of(m->send_topic, sizeof(m->send_topic)));
	return err != SMQ_OK ? err : smq_keyex_encode(&message, smq_mspan_of(m->out, sizeof(m->out)), &m->out_len);
}

static smq_span in_id(const struct smq_member *m, int session)
{
	return smq_span_of(m->sessions[session].in_id, SMQ_KEY_ID_LEN);
}

/* ---- runs ---- */

struct run *smq_run_of(struct smq_member *m, const struct peer *peer)
{
	return peer->run == NONE ? NULL : &m->runs[peer->run];
}

void smq_run_drop(struct smq_member *m, struct run *run, struct smq_now now)
{
	int index = (int)(run - m->runs);
	if (run->role == RUN_FREE)
		return;
	for (size_t i = 0; i < m->peer_count; i++) {
		if (m->peers[i].run == index)
			m->peers[i].run = NONE;
	}
	if (run->session != NONE) {
		/* With keys on it the peer may be sealing already: it stays open for a grace. */
		if (m->sessions[run->session].state == SESSION_UNCONFIRMED)
			smq_session_to_grace(m, run->session, now);
		else if (m->sessions[run->session].state == SESSION_RESERVED)
			smq_session_free(m, run->session);
	}
	smq_edhoc_done(&run->edhoc);
	run->role = RUN_FREE;
	run->session = NONE;
	m->dirty = true;
}

bool smq_run_may_start(const struct smq_member *m)
{
	size_t own = 0;
	for (size_t i = 0; i < m->run_count; i++)
		own += m->runs[i].role == RUN_INITIATOR;
	return own < (m->run_count + 1) / 2; /* the other half is for answering */
}

/* A free run; where there is none, the oldest one that we only answered. Our own are never sacrificed. */
static struct run *take_run(struct smq_member *m, struct smq_now now)
{
	struct run *oldest = NULL;
	for (size_t i = 0; i < m->run_count; i++) {
		struct run *r = &m->runs[i];
		if (r->role == RUN_FREE)
			return r;
		if (r->role == RUN_RESPONDER && (!oldest || r->started_ms < oldest->started_ms))
			oldest = r;
	}
	if (oldest)
		smq_run_drop(m, oldest, now);
	return oldest;
}

static smq_err prepare_run(struct smq_member *m, struct run *run, enum run_role role, smq_span with, bool by_hash,
			   struct smq_now now)
{
	int session = smq_session_reserve(m);
	if (session == NONE)
		return SMQ_ERR_FULL;
	run->role = role;
	run->session = session;
	run->started_ms = now.mono_ms;
	run->wire_bytes = 0;
	memset(run->claimed, 0, sizeof(run->claimed));
	memcpy(run->claimed, with.p, with.len);
	run->config = (struct smq_edhoc_config){
		.crypto = m->config.crypto,
		.random = m->config.random,
		.credentials = m->config.credentials,
		.own = m->config.own,
		.method = m->config.method,
		.methods_allowed = m->config.methods_allowed,
		.suites = m->suites,
		.suite_count = m->config.suite_count,
		.own_by_hash = by_hash && m->config.own->id_cred_short.len > 0,
		.expect = smq_span_str(run->claimed),
	};
	run->config.ead[role == RUN_INITIATOR ? 3 : 2] = smq_span_of(m->ead, m->ead_len);
	return SMQ_OK;
}

static int64_t jittered(struct smq_member *m, int64_t ms)
{
	m->jitter = m->jitter * 1664525u + 1013904223u;
	return ms - ms / 4 + (int64_t)(m->jitter >> 8) % (ms / 2 + 1);
}

static void schedule_retry(struct smq_member *m, struct peer *peer, struct smq_now now)
{
	unsigned doublings = peer->attempts < 5 ? peer->attempts : 5;
	int64_t delay = (int64_t)SMQ_RETRY_MIN_MS << doublings;
	peer->attempts++;
	peer->retry_at_ms = now.mono_ms + jittered(m, delay < SMQ_RETRY_MAX_MS ? delay : SMQ_RETRY_MAX_MS);
	if (peer->attempts == 4 && peer->active == NONE && !peer->silent_noted) {
		peer->silent_noted = true;
		smq_member_note(m, SMQ_NOTE_SILENT, peer->name, 0, SMQ_ERR_TIMEOUT, 0, 0);
	}
}

static enum smq_keyex_kind first_kind(const struct smq_member *m)
{
	return m->config.role == SMQ_MEMBER_WRITER ? SMQ_KEYEX_WRITER_1 : SMQ_KEYEX_MESSAGE_1;
}

smq_err smq_run_start(struct smq_member *m, struct peer *peer, struct smq_now now)
{
	struct run *run = smq_run_of(m, peer);
	size_t len = 0;
	if (run)
		smq_run_drop(m, run, now);
	schedule_retry(m, peer, now);
	run = take_run(m, now);
	if (!run)
		return SMQ_ERR_FULL;
	smq_err err = prepare_run(m, run, RUN_INITIATOR, smq_span_str(peer->name), peer->knows_us, now);
	if (err != SMQ_OK)
		return err;
	peer->run = (int)(run - m->runs);
	run->config.peer_suites = peer->suites;
	err = smq_edhoc_start(&run->edhoc, &run->config, in_id(m, run->session), smq_mspan_of(m->body, sizeof(m->body)),
			      &len);
	if (err == SMQ_OK)
		err = smq_keyex_send(m, first_kind(m), peer->name, in_id(m, run->session), smq_span_of(m->body, len));
	if (err != SMQ_OK)
		smq_run_drop(m, run, now);
	else
		run->wire_bytes = m->out_len;
	return err;
}

/* ---- what arrives ---- */

static bool take_token(struct smq_member *m, struct smq_now now)
{
	int64_t passed = now.mono_ms - m->answers_refill_ms;
	if (passed > 0) {
		int64_t tokens = m->answers + passed * SMQ_ANSWERS_PER_S / 1000;
		m->answers = tokens > SMQ_ANSWERS_BURST ? SMQ_ANSWERS_BURST : (unsigned)tokens;
		if (passed * SMQ_ANSWERS_PER_S >= 1000)
			m->answers_refill_ms = now.mono_ms;
	}
	if (m->answers == 0)
		return false;
	m->answers--;
	return true;
}

/* Something unauthenticated suggests a new run with the peer: at most one such hint a second counts. */
static void hint(struct smq_member *m, struct peer *peer, struct smq_now now)
{
	if (now.mono_ms - peer->hinted_at_ms < SMQ_GREETING_GAP_MS)
		return;
	peer->hinted_at_ms = now.mono_ms;
	peer->wants_run = true;
	peer->retry_at_ms = now.mono_ms;
	m->dirty = true;
}

/* So many answers are kept open for one claimed name; one more, and the oldest of them goes. */
static void make_way(struct smq_member *m, smq_span claimed, struct smq_now now)
{
	struct run *oldest = NULL;
	int count = 0;
	for (size_t i = 0; i < m->run_count; i++) {
		struct run *r = &m->runs[i];
		if (r->role != RUN_RESPONDER || !smq_span_equal(smq_span_str(r->claimed), claimed))
			continue;
		count++;
		if (!oldest || r->started_ms < oldest->started_ms)
			oldest = r;
	}
	if (count >= SMQ_ANSWERS_PER_NAME)
		smq_run_drop(m, oldest, now);
}

static smq_err send_answer(struct smq_member *m, struct run *run, enum smq_keyex_kind kind, smq_span id, size_t len)
{
	char to[SMQ_MEMBER_NAME_MAX + 1];
	memcpy(to, run->claimed, sizeof(to));
	smq_err err = smq_keyex_send(m, kind, to, id, smq_span_of(m->body, len));
	run->wire_bytes += m->out_len;
	return err;
}

/* Both sides have begun: the run of the smaller name goes on. True if that is ours. */
static bool we_win(const struct smq_member *m, const struct peer *peer) { return strcmp(m->name, peer->name) < 0; }

static smq_err on_message_1(struct smq_member *m, const struct smq_keyex *k, size_t wire_len, struct smq_now now)
{
	struct peer *peer = smq_peer_find(m, k->from);
	size_t len = 0;
	if (!m->config.any_peer && !(peer && peer->kept))
		return SMQ_ERR_UNKNOWN_SENDER;
	if (m->config.role == SMQ_MEMBER_WRITER)
		return SMQ_OK; /* meant for a reader of our name */
	/* A writer never answers ours, so there is nothing to wait for. */
	if (k->kind != SMQ_KEYEX_WRITER_1 && peer && peer->run != NONE && we_win(m, peer)) {
		/* It is there now. If it cannot have heard us, begin again rather than wait for our retry. */
		if (now.mono_ms - m->runs[peer->run].started_ms >= SMQ_CROSSING_MS)
			hint(m, peer, now);
		return SMQ_OK;
	}
	if (!take_token(m, now))
		return SMQ_ERR_RATE;
	make_way(m, k->from, now);
	struct run *run = take_run(m, now);
	if (!run)
		return SMQ_ERR_FULL;
	smq_err err = prepare_run(m, run, RUN_RESPONDER, k->from, peer && peer->knows_us, now);
	if (err != SMQ_OK)
		return err;
	err = smq_edhoc_accept(&run->edhoc, &run->config, in_id(m, run->session), k->body, now.unix_ms,
			       smq_mspan_of(m->body, sizeof(m->body)), &len);
	run->wire_bytes = wire_len;
	if (len > 0) {
		smq_err sent = send_answer(m, run, err == SMQ_OK ? SMQ_KEYEX_MESSAGE_2 : SMQ_KEYEX_ERROR, k->id, len);
		err = err == SMQ_OK ? sent : err;
	}
	if (err != SMQ_OK)
		smq_run_drop(m, run, now);
	return err;
}

static void note_failure(struct smq_member *m, const struct run *run, smq_err err, struct smq_now now)
{
	smq_member_note(m, SMQ_NOTE_FAILED, run->claimed, 0, err, run->wire_bytes, now.mono_ms - run->started_ms);
}

/* The peer that EDHOC has proven must be the one we meant, or the one it said it was. */
static smq_err check_name(const struct smq_member *m, const struct run *run)
{
	const struct smq_credential *c = smq_edhoc_peer(&run->edhoc);
	if (!c)
		return SMQ_ERR_BUG;
	if (strcmp(c->name, run->claimed) != 0)
		return SMQ_ERR_CERT_NAME;
	if (strcmp(c->name, m->name) == 0)
		return SMQ_ERR_UNKNOWN_SENDER;
	return (c->roles & (SMQ_ROLE_MEMBER | SMQ_ROLE_KEYSERVER | SMQ_ROLE_ADMIN)) ? SMQ_OK : SMQ_ERR_CERT_USAGE;
}

static smq_err on_message_2(struct smq_member *m, struct run *run, size_t len, struct smq_now now)
{
	struct peer *peer = smq_peer_find(m, smq_span_str(run->claimed));
	smq_err err = check_name(m, run);
	if (err == SMQ_OK && !peer)
		err = SMQ_ERR_BUG;
	if (err == SMQ_OK)
		err = smq_session_derive(m, run->session, peer, &run->edhoc, now);
	if (err == SMQ_OK)
		err = send_answer(m, run, SMQ_KEYEX_MESSAGE_3, smq_edhoc_peer_cid(&run->edhoc), len);
	if (err != SMQ_OK) {
		note_failure(m, run, err, now);
		smq_run_drop(m, run, now);
	}
	return err;
}

static smq_err on_message_3(struct smq_member *m, struct run *run, size_t len, struct smq_now now)
{
	smq_err err = check_name(m, run);
	struct peer *peer = NULL;
	if (err == SMQ_OK) {
		peer = smq_peer_get(m, smq_span_str(run->claimed));
		err = peer ? smq_session_derive(m, run->session, peer, &run->edhoc, now) : SMQ_ERR_FULL;
	}
	if (err == SMQ_OK)
		err = send_answer(m, run, SMQ_KEYEX_MESSAGE_4, smq_edhoc_peer_cid(&run->edhoc), len);
	if (err == SMQ_OK) {
		struct run *own = smq_run_of(m, peer);
		int session = run->session;
		run->session = NONE; /* the session stands on its own from here on */
		smq_session_activate(m, session, now, run);
		if (own && own != run)
			smq_run_drop(m, own, now);
	} else {
		note_failure(m, run, err, now);
	}
	smq_run_drop(m, run, now);
	return err;
}

static smq_err on_message_4(struct smq_member *m, struct run *run, struct smq_now now)
{
	int session = run->session;
	run->session = NONE;
	smq_session_activate(m, session, now, run);
	smq_run_drop(m, run, now);
	return SMQ_OK;
}

static struct run *run_by_id(struct smq_member *m, smq_span id)
{
	for (size_t i = 0; i < m->run_count; i++) {
		struct run *r = &m->runs[i];
		if (r->role != RUN_FREE && r->session != NONE && smq_span_equal(in_id(m, r->session), id))
			return r;
	}
	return NULL;
}

/* An error message proves nothing; it may change what we propose next time. */
static smq_err on_error(struct smq_member *m, struct run *run, smq_span body, struct smq_now now)
{
	struct peer *peer = smq_peer_find(m, smq_span_str(run->claimed));
	size_t len = 0;
	smq_err err = smq_edhoc_input(&run->edhoc, body, now.unix_ms, smq_mspan_of(m->body, sizeof(m->body)), &len);
	int code = smq_edhoc_peer_error(&run->edhoc);
	if (err != SMQ_ERR_PEER_REFUSED || !peer)
		return err;
	if (code == 2)
		peer->suites = *smq_edhoc_peer_suites(&run->edhoc);
	if (code == 3)
		peer->knows_us = false;
	if (code == 2 || code == 3)
		hint(m, peer, now);
	else
		note_failure(m, run, SMQ_ERR_PEER_REFUSED, now);
	return err;
}

static smq_err on_run_message(struct smq_member *m, const struct smq_keyex *k, size_t wire_len, struct smq_now now)
{
	struct run *run = run_by_id(m, k->id);
	size_t len = 0;
	if (!run || !smq_span_equal(smq_span_str(run->claimed), k->from))
		return SMQ_ERR_NO_SESSION;
	if (k->kind == SMQ_KEYEX_ERROR)
		return on_error(m, run, k->body, now);
	enum smq_edhoc_state before = smq_edhoc_state(&run->edhoc);
	int expected = before == SMQ_EDHOC_WAIT_2   ? 2
		       : before == SMQ_EDHOC_WAIT_3 ? 3
		       : before == SMQ_EDHOC_WAIT_4 ? 4
						    : 0;
	if ((int)k->kind != expected)
		return SMQ_ERR_STATE;
	smq_err err = smq_edhoc_input(&run->edhoc, k->body, now.unix_ms, smq_mspan_of(m->body, sizeof(m->body)), &len);
	if (err != SMQ_OK) {
		note_failure(m, run, err, now);
		if (len > 0)
			(void)send_answer(m, run, SMQ_KEYEX_ERROR, smq_edhoc_peer_cid(&run->edhoc), len);
		if (smq_edhoc_state(&run->edhoc) == SMQ_EDHOC_FAILED)
			smq_run_drop(m, run, now);
		return err;
	}
	run->wire_bytes += wire_len;
	switch (expected) {
	case 2:
		return on_message_2(m, run, len, now);
	case 3:
		return on_message_3(m, run, len, now);
	default:
		return on_message_4(m, run, now);
	}
}

/* The peer has started anew: it has no keys of ours and no certificate. */
static smq_err on_hello(struct smq_member *m, const struct smq_keyex *k, struct smq_now now)
{
	struct peer *peer = smq_peer_find(m, k->from);
	if (!peer)
		return SMQ_OK;
	peer->knows_us = false;
	if (peer->kept || peer->active != NONE)
		hint(m, peer, now);
	return SMQ_OK;
}

static smq_err on_no_key(struct smq_member *m, const struct smq_keyex *k, struct smq_now now)
{
	struct peer *peer = smq_peer_find(m, k->from);
	if (!peer || peer->active == NONE)
		return SMQ_OK;
	const struct session *s = &m->sessions[peer->active];
	if (memcmp(s->sealer.key.header.key_id, k->id.p, SMQ_KEY_ID_LEN) == 0)
		hint(m, peer, now);
	return SMQ_OK;
}

smq_err smq_keyex_input(struct smq_member *m, const struct smq_keyex *k, size_t wire_len, struct smq_now now)
{
	switch (k->kind) {
	case SMQ_KEYEX_HELLO:
		return on_hello(m, k, now);
	case SMQ_KEYEX_NO_KEY:
		return on_no_key(m, k, now);
	case SMQ_KEYEX_MESSAGE_1:
	case SMQ_KEYEX_WRITER_1:
		return on_message_1(m, k, wire_len, now);
	case SMQ_KEYEX_REQUEST:
	case SMQ_KEYEX_ANSWER:
		return SMQ_ERR_STATE; /* a key server's, on its own topics */
	default:
		return on_run_message(m, k, wire_len, now);
	}
}
