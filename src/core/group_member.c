/* A member of a key server's group: intake, actions, and asking the key server (PROTOCOL.md 7.2 to 7.6). */
#include "base/text.h"
#include "base/wipe.h"
#include "core/group_member_state.h"
#include "core/reserve.h"

static const int default_suites[] = { 2, 6, 0 };

/* ---- life ---- */

static size_t lives_of(const struct smq_group_member_config *c) { return c->lives_max ? c->lives_max : SMQ_GM_LIVES; }

static size_t aligned(size_t len)
{
	const size_t to = _Alignof(max_align_t);
	return (len + to - 1) / to * to;
}

size_t smq_group_member_size(const struct smq_group_member_config *c)
{
	size_t lives = lives_of(c);
	return aligned(sizeof(struct smq_group_member)) + aligned(lives * sizeof(struct smq_group_life)) +
	       lives * sizeof(struct member_card);
}

static uint16_t draw16(const smq_group_member *m)
{
	uint8_t bytes[2] = { 0x80, 0 };
	(void)!m->c.random->fill(m->c.random->self, smq_mspan_of(bytes, sizeof(bytes)));
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static void fill_asker(smq_group_member *m)
{
	const struct smq_group_member_config *c = &m->c;
	m->asker_config = (struct smq_ks_asker_config){ .crypto = c->crypto,
							.random = c->random,
							.credentials = c->credentials,
							.own = c->own,
							.name = c->name,
							.keyserver = c->keyserver,
							.method = c->method,
							.suites = c->suites ? c->suites : default_suites,
							.suite_count = c->suites ? c->suite_count : 3 };
}

static smq_err load_kept(smq_group_member *m)
{
	size_t len = 0;
	if (!m->c.keep)
		return SMQ_OK;
	smq_err err = m->c.keep->load(m->c.keep->self, smq_mspan_of(m->state, sizeof(m->state)), &len);
	if (err == SMQ_OK)
		err = smq_gm_kept_decode(smq_span_of(m->state, len), &m->scope, &m->k);
	smq_wipe(m->state, sizeof(m->state));
	if (err == SMQ_ERR_NOT_FOUND)
		return SMQ_OK;
	if (err == SMQ_OK && m->k.granted)
		smq_gm_know_sender(m, m->k.sender_id, m->c.name, m->k.boot_id);
	return err == SMQ_ERR_NO_ROOM ? SMQ_ERR_CORRUPT : err;
}

/* What our certificate says of us, for the policy's rules. */
static smq_err learn_own_roles(smq_group_member *m)
{
	struct smq_credential own;
	smq_err err = m->c.credentials->resolve(m->c.credentials->self, m->c.own->id_cred_full, m->now.unix_ms, &own);
	if (err == SMQ_OK)
		m->own_roles = own.roles;
	return err;
}

smq_err smq_group_member_init(void *memory, size_t len, const struct smq_group_member_config *config,
			      struct smq_now now, smq_group_member **ret_member)
{
	smq_group_member *m = memory;
	if (len < smq_group_member_size(config))
		return SMQ_ERR_NO_ROOM;
	memset(memory, 0, smq_group_member_size(config));
	m->c = *config;
	m->now = now;
	m->scope =
	    (struct smq_tree_scope){ config->crypto, NULL, smq_span_str(config->realm), smq_span_str(config->group) };
	m->k.path.scope = &m->scope;
	m->first_online_ms = INT64_MAX;
	m->confirm_at_ms = INT64_MAX;
	m->wanted_until_ms = config->lease_ms > 0 ? now.unix_ms + config->lease_ms : SMQ_NO_END;
	m->asked_for_ms = now.mono_ms;
	m->commit_retry_ms = m->floor_saved_ms = m->renewed_ms = INT64_MIN / 2;
	m->want_join = true;
	uint8_t *at = (uint8_t *)memory + aligned(sizeof(*m));
	m->lives = (struct smq_group_lives){ .windows = config->windows,
					     .lives = (struct smq_group_life *)(void *)at,
					     .count = lives_of(config),
					     .repeats = config->repeats };
	at += aligned(lives_of(config) * sizeof(struct smq_group_life));
	m->cards = (struct member_card *)(void *)at;
	m->card_count = lives_of(config);
	fill_asker(m);
	smq_err err = smq_boot_id_new(config->random, m->boot_id);
	if (err == SMQ_OK)
		err = learn_own_roles(m);
	m->patience = draw16(m);
	if (err == SMQ_OK)
		err = load_kept(m);
	if (err != SMQ_OK) {
		smq_wipe(memory, smq_group_member_size(config));
		return err;
	}
	smq_gm_read_policy(m);
	smq_gm_find_time_due(m);
	*ret_member = m;
	return SMQ_OK;
}

void smq_group_member_done(smq_group_member *m)
{
	size_t size = smq_group_member_size(&m->c);
	smq_gm_drop_sealer(m);
	smq_group_lives_done(&m->lives);
	smq_ks_asker_done(&m->asker);
	smq_wipe(m, size);
}

uint64_t smq_group_member_epoch(const smq_group_member *m) { return m->k.in_use; }
const char *smq_group_member_name(const smq_group_member *m) { return m->c.group; }

/* ---- what is to be done ---- */

void smq_gm_note(smq_group_member *m, enum smq_group_note_kind kind, uint64_t epoch, smq_err err)
{
	if (m->note_count == SMQ_GM_NOTES_MAX)
		return; /* they inform only */
	m->notes[(m->note_first + m->note_count++) % SMQ_GM_NOTES_MAX] =
	    (struct smq_group_note){ .kind = kind, .epoch = epoch, .err = err, .text = "" };
}

static struct smq_group_note *last_note(smq_group_member *m)
{
	return &m->notes[(m->note_first + m->note_count - 1) % SMQ_GM_NOTES_MAX];
}

struct smq_ks_topic smq_gm_topic(const smq_group_member *m, enum smq_ks_topic_kind kind, uint64_t height,
				 uint64_t number)
{
	bool own = kind == SMQ_KS_TOPIC_REQUEST || kind == SMQ_KS_TOPIC_ANSWER;
	return (struct smq_ks_topic){ kind, smq_span_str(own ? m->c.name : m->c.group), height, number };
}

void smq_gm_subscribe(smq_group_member *m, bool unsubscribe, struct smq_ks_topic topic)
{
	if (m->topic_count == SMQ_GM_TOPICS_MAX || !m->online)
		return; /* what does not come so is asked for */
	m->topics[(m->topic_first + m->topic_count++) % SMQ_GM_TOPICS_MAX] =
	    (struct member_topic){ unsubscribe, topic };
}

static bool next_topic(smq_group_member *m, struct smq_group_action *ret_action)
{
	if (m->topic_count == 0)
		return false;
	const struct member_topic *t = &m->topics[m->topic_first];
	m->topic_first = (m->topic_first + 1) % SMQ_GM_TOPICS_MAX;
	m->topic_count--;
	if (smq_ks_topic_write(m->c.prefix, &t->topic, smq_mspan_of((uint8_t *)m->topic_text, sizeof(m->topic_text))) !=
	    SMQ_OK)
		return false;
	*ret_action =
	    (struct smq_group_action){ .kind = t->unsubscribe ? SMQ_GROUP_ACT_UNSUBSCRIBE : SMQ_GROUP_ACT_SUBSCRIBE,
				       .topic = m->topic_text };
	return true;
}

static bool next_envelope(smq_group_member *m, struct smq_group_action *ret_action)
{
	struct smq_ks_topic topic = smq_gm_topic(m, SMQ_KS_TOPIC_REQUEST, 0, 0);
	struct member_envelope *e = m->out[0].len > 0 ? &m->out[0] : &m->out[1];
	if (e->len == 0 || smq_ks_topic_write(m->c.prefix, &topic,
					      smq_mspan_of((uint8_t *)m->topic_text, sizeof(m->topic_text))) != SMQ_OK)
		return false;
	*ret_action = (struct smq_group_action){ .kind = SMQ_GROUP_ACT_SEND,
						 .topic = m->topic_text,
						 .payload = smq_span_of(e->bytes, e->len) };
	e->len = 0;
	return true;
}

static bool next_note(smq_group_member *m, struct smq_group_action *ret_action)
{
	if (m->note_count == 0)
		return false;
	*ret_action = (struct smq_group_action){ .kind = SMQ_GROUP_ACT_NOTE, .note = m->notes[m->note_first] };
	m->note_first = (m->note_first + 1) % SMQ_GM_NOTES_MAX;
	m->note_count--;
	return true;
}

/* ---- asking ---- */

/* A quarter up or down, so that many members do not ask in step. */
static int64_t jittered(const smq_group_member *m, int64_t ms)
{
	uint8_t byte = 128;
	(void)!m->c.random->fill(m->c.random->self, smq_mspan_of(&byte, 1));
	return ms - ms / 4 + ms / 2 * byte / 256;
}

static void ask_later(smq_group_member *m)
{
	int64_t wait = SMQ_GM_BACKOFF_MIN_MS;
	for (unsigned i = 0; i < m->failures && wait < SMQ_GM_BACKOFF_MAX_MS; i++)
		wait *= 2;
	wait = wait < SMQ_GM_BACKOFF_MAX_MS ? wait : SMQ_GM_BACKOFF_MAX_MS;
	m->failures++;
	m->ask_at_ms = m->now.mono_ms + jittered(m, wait);
	m->asking = (enum smq_ks_what)0;
	smq_ks_asker_done(&m->asker);
}

static void unanswered(smq_group_member *m)
{
	ask_later(m);
	if (!m->waiting_told && m->failures >= 2) {
		m->waiting_told = true;
		smq_gm_note(m, SMQ_GROUP_WAITING, m->k.in_use, SMQ_ERR_TIMEOUT);
	}
}

static void put_fetch(smq_group_member *m, struct smq_ks_request *r)
{
	for (unsigned h = 1; h <= m->k.path.height && m->k.granted; h++) {
		r->nodes[r->node_count].height = h;
		r->nodes[r->node_count++].index = smq_keypath_index(&m->k.path, h);
	}
	for (size_t i = 0; i < SMQ_GM_WANTED_MAX; i++) {
		if (!m->wanted[i].used)
			continue;
		r->senders[r->sender_count++] = m->wanted[i].sender_id;
		m->wanted[i].asked_ms = m->now.mono_ms;
	}
}

static smq_err make_request(smq_group_member *m, enum smq_ks_what what)
{
	struct smq_ks_request r = { .what = what, .group = smq_span_str(m->c.group) };
	memcpy(r.boot_id, m->boot_id, sizeof(r.boot_id));
	if (what == SMQ_KS_JOIN) {
		r.roles = m->c.roles;
		r.from_ms = m->now.unix_ms;
		r.until_ms = m->wanted_until_ms;
	} else if (what == SMQ_KS_LEAVE) {
		memcpy(r.boot_id, m->leaves_for ? m->leave_for : m->k.boot_id, sizeof(r.boot_id));
	} else {
		put_fetch(m, &r);
	}
	return smq_ks_request_encode(&r, smq_mspan_of(m->request, sizeof(m->request)), &m->request_len);
}

static enum smq_ks_what wanted_most(const smq_group_member *m)
{
	if (m->want_leave)
		return SMQ_KS_LEAVE;
	if (m->left)
		return (enum smq_ks_what)0;
	return m->want_join ? SMQ_KS_JOIN : m->want_fetch ? SMQ_KS_FETCH : (enum smq_ks_what)0;
}

static void ask(smq_group_member *m)
{
	enum smq_ks_what what = wanted_most(m);
	if (!what || m->asking || !m->online || m->now.mono_ms < m->ask_at_ms)
		return;
	m->out[0].len = m->out[1].len = 0;
	smq_err err = make_request(m, what);
	if (err == SMQ_OK)
		err = smq_ks_asker_start(&m->asker, &m->asker_config,
					 smq_mspan_of(m->out[0].bytes, sizeof(m->out[0].bytes)), &m->out[0].len);
	if (err != SMQ_OK) {
		ask_later(m);
		return;
	}
	m->asking = what;
	m->give_up_ms = m->now.mono_ms + SMQ_GM_START_MS;
}

/* ---- answers ---- */

static bool is_final(smq_err status)
{
	return smq_err_kind_of(status) == SMQ_KIND_AUTH || status == SMQ_ERR_NOT_AUTHORIZED ||
	       status == SMQ_ERR_NOT_FOUND;
}

static void say_why(smq_group_member *m, smq_span text)
{
	smq_escape(text, m->text, sizeof(m->text));
	if (m->note_count > 0)
		last_note(m)->text = m->text;
}

/* The key server says no. Whether we are out by that depends on what we had. */
static void join_refused(smq_group_member *m, smq_err status, smq_span text)
{
	bool told = m->refused == status;
	m->refused = status;
	ask_later(m);
	if (m->k.granted && !is_final(status))
		return;
	if (m->k.granted) {
		smq_gm_note(m, SMQ_GROUP_EXPELLED, m->k.chain.epoch, status);
		say_why(m, text);
		smq_gm_forget_membership(m);
	} else if (!told) {
		smq_gm_note(m, SMQ_GROUP_REFUSED, 0, status);
		say_why(m, text);
	}
}

/* How long until the epoch may be used; 0: it is. */
static uint64_t begins_in_ms(const smq_group_member *m, uint64_t epoch)
{
	for (size_t i = 0; i < SMQ_GM_EPOCHS_MAX && epoch > m->k.in_use; i++)
		if (m->k.epochs[i].number == epoch && m->k.epochs[i].activate_at_ms > m->now.unix_ms)
			return (uint64_t)(m->k.epochs[i].activate_at_ms - m->now.unix_ms);
	return 0;
}

static void joined(smq_group_member *m, smq_span body)
{
	bool before = m->k.granted && memcmp(m->k.boot_id, m->boot_id, sizeof(m->boot_id)) == 0;
	smq_err err = smq_gm_take_grant(m, body);
	if (err != SMQ_OK) {
		join_refused(m, err, smq_span_str("what the key server granted does not hold"));
		return;
	}
	m->want_join = false;
	m->confirm_at_ms = INT64_MAX;
	m->refused = SMQ_OK;
	m->renewed_ms = m->now.mono_ms;
	if (before)
		return;
	smq_gm_note(m, SMQ_GROUP_JOINED, m->k.chain.epoch, SMQ_OK);
	last_note(m)->took_ms = (uint64_t)(m->now.mono_ms - m->asked_for_ms);
	last_note(m)->waits_ms = begins_in_ms(m, m->k.chain.epoch);
}

static void fetched(smq_group_member *m, smq_span body)
{
	struct smq_ks_fetched f;
	m->want_fetch = false;
	m->confirm_at_ms = INT64_MAX;
	m->ahead = false;
	if (smq_ks_fetched_decode(body, &f) != SMQ_OK)
		return;
	(void)smq_gm_take_policy(m, f.policy, f.admin);
	for (size_t i = 0; i < f.node_count; i++)
		(void)smq_gm_take_node(m, 0, 0, f.nodes[i], true);
	for (size_t i = 0; i < f.card_count; i++)
		(void)smq_gm_take_card(m, 0, f.cards[i]);
	(void)smq_gm_take_manifest(m, f.manifest);
	smq_gm_follow(m);
	/* With all that there is we cannot follow: only a new grant helps, or its refusal. */
	if (m->pending_len > 0 && m->pending_fetched)
		m->want_join = true;
	m->pending_fetched = false;
}

static void confirmed_leave(smq_group_member *m)
{
	m->want_leave = m->want_join = m->want_fetch = false;
	m->left = true;
	smq_gm_forget_membership(m);
	smq_gm_note(m, SMQ_GROUP_LEFT, 0, SMQ_OK);
}

static void refused(smq_group_member *m, enum smq_ks_what what, const struct smq_ks_answer *a)
{
	if (what == SMQ_KS_JOIN) {
		join_refused(m, a->status, a->text);
	} else if (what == SMQ_KS_LEAVE && is_final(a->status)) {
		confirmed_leave(m);
	} else {
		m->want_join = m->want_join || (what == SMQ_KS_FETCH && is_final(a->status));
		m->want_fetch = m->want_fetch && !m->want_join;
		ask_later(m);
	}
}

static void on_answer(smq_group_member *m, smq_span bytes)
{
	struct smq_ks_answer a;
	enum smq_ks_what what = m->asking;
	smq_err err = smq_ks_answer_decode(bytes, &a);
	smq_ks_asker_done(&m->asker);
	m->asking = (enum smq_ks_what)0;
	if (err != SMQ_OK) {
		ask_later(m);
		return;
	}
	m->waiting_told = false;
	if (a.status != SMQ_OK) {
		refused(m, what, &a);
		return;
	}
	m->failures = 0;
	if (what == SMQ_KS_JOIN)
		joined(m, a.body);
	else if (what == SMQ_KS_LEAVE)
		confirmed_leave(m);
	else
		fetched(m, a.body);
}

static smq_err on_envelope(smq_group_member *m, smq_span payload)
{
	size_t lens[2] = { 0, 0 };
	smq_span answer = smq_span_of(NULL, 0);
	const smq_mspan rooms[2] = { smq_mspan_of(m->out[0].bytes, sizeof(m->out[0].bytes)),
				     smq_mspan_of(m->out[1].bytes, sizeof(m->out[1].bytes)) };
	if (!m->asking)
		return SMQ_ERR_NO_KEY;
	smq_err err = smq_ks_asker_input(&m->asker, payload, m->now.unix_ms, smq_span_of(m->request, m->request_len),
					 rooms, lens, smq_mspan_of(m->answer, sizeof(m->answer)), &answer);
	if (lens[0] > 0) {
		m->out[0].len = lens[0];
		m->out[1].len = lens[1];
		m->give_up_ms = m->now.mono_ms + (lens[1] > 0 ? SMQ_GM_ANSWER_MS : SMQ_GM_START_MS);
	}
	if (err != SMQ_ERR_NO_KEY && m->asker.state == SMQ_KS_ASKER_FAILED)
		unanswered(m);
	else if (err == SMQ_OK && m->asker.state == SMQ_KS_ASKER_ANSWERED)
		on_answer(m, answer);
	smq_wipe(m->answer, sizeof(m->answer));
	return err;
}

/* ---- what is asked for, as time passes ---- */

/*
 * How long we wait for what a broker owes us. Where it is slow it is so for all members, and thousands who ask at once
 * would make it slower still, key server included: they spread over a time that grows with the tree.
 */
static int64_t missing_ms(const smq_group_member *m)
{
	int64_t room = INT64_C(1) << 2 * m->k.path.height, spread = room / SMQ_GM_MISSING_TREE * 1000;
	spread = spread < SMQ_GM_MISSING_MAX_MS ? spread : SMQ_GM_MISSING_MAX_MS;
	return SMQ_GM_MISSING_MS + spread * m->patience / 0x10000;
}

static int64_t missing_card_ms(const smq_group_member *m)
{
	int64_t wait = missing_ms(m);
	return wait < SMQ_GM_MISSING_CARD_MS ? wait : SMQ_GM_MISSING_CARD_MS;
}

static void ask_for_cards(smq_group_member *m)
{
	for (size_t i = 0; i < SMQ_GM_WANTED_MAX && m->wanted_count > 0; i++) {
		struct member_wanted *w = &m->wanted[i];
		int64_t since = m->now.mono_ms - w->since_ms;
		if (!w->used)
			continue;
		if (since >= SMQ_GM_CARD_MS) {
			w->used = false;
			m->wanted_count--;
			smq_gm_subscribe(m, true, smq_gm_topic(m, SMQ_KS_TOPIC_SENDER, 0, w->sender_id));
		} else if (since >= missing_card_ms(m) && w->asked_ms == INT64_MIN) {
			m->want_fetch = m->want_fetch || m->k.granted;
		}
	}
}

/* Our card should be there. Perhaps it was withdrawn while we were away: a join has it made anew. */
static bool misses_own_card(const smq_group_member *m)
{
	return m->online && m->own_card != 0 && m->own_card_ms != INT64_MAX && !m->left;
}

/* What a broker with weak retained messages owes us is asked of the key server. */
static void ask_for_missing(smq_group_member *m)
{
	int64_t mono = m->now.mono_ms, wait = missing_ms(m);
	if (!m->k.granted || m->want_join)
		return;
	if (misses_own_card(m) && mono - m->own_card_ms >= wait) {
		m->own_card_ms = INT64_MAX;
		m->want_join = true;
	}
	if (m->pending_len > 0 && !m->pending_fetched && mono - m->pending_since_ms >= wait)
		m->want_fetch = m->pending_fetched = true;
	if (m->ahead && mono - m->ahead_since_ms >= wait)
		m->want_fetch = true;
	if (m->online && !m->heard_manifest && mono - m->online_ms >= wait)
		m->want_fetch = m->heard_manifest = true;
	if (m->online && mono >= m->confirm_at_ms) {
		m->confirm_at_ms = INT64_MAX;
		m->want_fetch = true;
	}
}

static void renew(smq_group_member *m)
{
	if (!m->k.granted || m->want_join || m->left)
		return;
	if (m->k.until_ms <= m->now.unix_ms && m->wanted_until_ms <= m->now.unix_ms) {
		m->left = true; /* a foreseen leave: it takes no message */
		m->want_fetch = false;
		smq_gm_forget_membership(m);
		smq_gm_note(m, SMQ_GROUP_LEFT, 0, SMQ_OK);
		return;
	}
	m->want_join = smq_gm_renew_at(m) <= m->now.unix_ms && m->now.mono_ms - m->renewed_ms >= SMQ_GM_RENEW_MIN_MS;
}

static void tick(smq_group_member *m, struct smq_now now)
{
	m->now = now;
	smq_gm_pass_time(m);
	if (m->asking && now.mono_ms >= m->give_up_ms)
		unanswered(m);
	smq_gm_follow(m);
	renew(m);
	ask_for_cards(m);
	ask_for_missing(m);
	ask(m);
}

bool smq_group_member_next(smq_group_member *m, struct smq_now now, struct smq_group_action *ret_action)
{
	tick(m, now);
	return next_topic(m, ret_action) || next_envelope(m, ret_action) || next_note(m, ret_action);
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t mono_of(const smq_group_member *m, int64_t unix_ms)
{
	if (unix_ms == SMQ_NO_END)
		return INT64_MAX;
	int64_t wait = unix_ms > m->now.unix_ms ? unix_ms - m->now.unix_ms : 0;
	return wait > INT64_MAX - m->now.mono_ms ? INT64_MAX : m->now.mono_ms + wait;
}

/* Of all that waits for missing things. */
static int64_t missing_due(const smq_group_member *m)
{
	int64_t due = INT64_MAX, wait = missing_ms(m);
	if (!m->online)
		return due;
	for (size_t i = 0; i < SMQ_GM_WANTED_MAX && m->wanted_count > 0; i++) {
		const struct member_wanted *w = &m->wanted[i];
		if (w->used)
			due = least(due, w->since_ms + (w->asked_ms == INT64_MIN && m->k.granted && !m->want_fetch
							    ? missing_card_ms(m)
							    : SMQ_GM_CARD_MS));
	}
	if (!m->k.granted || m->want_join || m->want_fetch)
		return due;
	if (m->pending_len > 0 && !m->pending_fetched)
		due = least(due, m->pending_since_ms + wait);
	if (m->ahead)
		due = least(due, m->ahead_since_ms + wait);
	if (!m->heard_manifest)
		due = least(due, m->online_ms + wait);
	due = least(due, m->confirm_at_ms);
	if (misses_own_card(m))
		due = least(due, m->own_card_ms + wait);
	return due;
}

int64_t smq_group_member_wake_at(const smq_group_member *m)
{
	if (m->topic_count > 0 || m->note_count > 0 || m->out[0].len > 0 || m->out[1].len > 0)
		return INT64_MIN;
	int64_t due = missing_due(m);
	if (m->asking)
		due = least(due, m->give_up_ms);
	else if (wanted_most(m) && m->online)
		due = least(due, m->ask_at_ms);
	int64_t passing = mono_of(m, m->time_due_ms);
	if (passing < m->commit_retry_ms)
		passing = m->commit_retry_ms;
	due = least(due, passing);
	if (m->k.granted && !m->want_join) {
		int64_t renewal = mono_of(m, smq_gm_renew_at(m));
		if (renewal != INT64_MAX && renewal < m->renewed_ms + SMQ_GM_RENEW_MIN_MS)
			renewal = m->renewed_ms + SMQ_GM_RENEW_MIN_MS;
		due = least(due, renewal);
	}
	/* Whoever waits to publish is told when the old sender id may go on. */
	if (m->k.granted && m->first_online_ms != INT64_MAX && m->now.mono_ms < m->first_online_ms + SMQ_GM_KEPT_MS)
		due = least(due, m->first_online_ms + SMQ_GM_KEPT_MS);
	return due;
}

/* ---- the broker ---- */

/*
 * An epoch may have begun while we were away, and the broker that we came back to may retain an older manifest than
 * another one of its cluster: only the key server knows. All members of a broker that was restarted come back at once,
 * so they spread over a time that grows with the tree; what the broker retains comes before it begins.
 */
static void confirm_later(smq_group_member *m)
{
	int64_t within = SMQ_GM_CONFIRM_MS;
	for (int64_t i = 0, leaf = SMQ_GM_CONFIRM_LEAF_MS; i <= m->k.path.height && leaf <= SMQ_GM_CONFIRM_MAX_MS;
	     i++, leaf *= 4)
		within = leaf > within ? leaf : within;
	m->confirm_at_ms = m->now.mono_ms + within / 2 + within / 2 * draw16(m) / 0x10000;
}

void smq_group_member_online(smq_group_member *m, struct smq_now now)
{
	m->now = now;
	m->online = true;
	m->online_ms = now.mono_ms;
	if (m->first_online_ms == INT64_MAX)
		m->first_online_ms = now.mono_ms; /* the join that follows brings the newest manifest */
	else
		confirm_later(m);
	m->heard_manifest = false;
	m->ask_at_ms = now.mono_ms;
	m->topic_count = 0;
	smq_gm_subscribe(m, false, smq_gm_topic(m, SMQ_KS_TOPIC_ANSWER, 0, 0));
	smq_gm_subscribe(m, false, smq_gm_topic(m, SMQ_KS_TOPIC_MANIFEST, 0, 0));
	smq_gm_subscribe(m, false, smq_gm_topic(m, SMQ_KS_TOPIC_POLICY, 0, 0));
	m->heights = 0;
	m->own_card = 0;
	smq_gm_watch_own_card(m);
	for (unsigned h = 1; h <= m->k.path.height && m->k.granted; h++, m->heights++)
		smq_gm_subscribe(m, false, smq_gm_topic(m, SMQ_KS_TOPIC_NODE, h, smq_keypath_index(&m->k.path, h)));
	for (size_t i = 0; i < SMQ_GM_WANTED_MAX; i++) {
		if (m->wanted[i].used)
			smq_gm_subscribe(m, false, smq_gm_topic(m, SMQ_KS_TOPIC_SENDER, 0, m->wanted[i].sender_id));
	}
}

void smq_group_member_offline(smq_group_member *m)
{
	m->online = false;
	m->topic_count = 0;
	m->out[0].len = m->out[1].len = 0;
	if (m->asking) {
		m->asking = (enum smq_ks_what)0;
		smq_ks_asker_done(&m->asker);
	}
	m->heights = 0;
}

void smq_group_member_leave(smq_group_member *m, struct smq_now now)
{
	m->now = now;
	m->want_join = false;
	if (m->asking == SMQ_KS_JOIN || m->asking == SMQ_KS_FETCH) {
		m->asking = (enum smq_ks_what)0;
		smq_ks_asker_done(&m->asker);
	}
	if (m->k.granted && memcmp(m->k.boot_id, m->boot_id, sizeof(m->boot_id)) == 0) {
		m->want_leave = true;
		m->ask_at_ms = now.mono_ms;
	} else {
		confirmed_leave(m);
	}
}

void smq_group_member_leave_for(smq_group_member *m, const uint8_t boot_id[SMQ_BOOT_ID_LEN])
{
	memcpy(m->leave_for, boot_id, sizeof(m->leave_for));
	m->leaves_for = true;
}

bool smq_group_member_takes(const smq_group_member *m, const char *topic)
{
	struct smq_ks_topic t = smq_ks_topic_read(m->c.prefix, topic);
	switch (t.kind) {
	case SMQ_KS_TOPIC_ANSWER:
		return smq_span_equal(t.name, smq_span_str(m->c.name));
	case SMQ_KS_TOPIC_MANIFEST:
	case SMQ_KS_TOPIC_POLICY:
	case SMQ_KS_TOPIC_NODE:
	case SMQ_KS_TOPIC_SENDER:
		return smq_span_equal(t.name, smq_span_str(m->c.group));
	default:
		return false;
	}
}

static smq_err take_node(smq_group_member *m, const struct smq_ks_topic *t, smq_span payload)
{
	if (!m->k.granted || t->height > SMQ_TREE_HEIGHT_MAX)
		return SMQ_ERR_STATE;
	smq_err err = smq_gm_take_node(m, (unsigned)t->height, t->number, payload, false);
	if (err == SMQ_OK)
		smq_gm_follow(m);
	return err;
}

smq_err smq_group_member_input(smq_group_member *m, const char *topic, smq_span payload, bool retained,
			       struct smq_now now)
{
	struct smq_ks_topic t = smq_ks_topic_read(m->c.prefix, topic);
	smq_err err;
	m->now = now;
	if (!smq_group_member_takes(m, topic))
		return SMQ_ERR_TOPIC;
	if (payload.len == 0 && t.kind != SMQ_KS_TOPIC_SENDER)
		return SMQ_OK; /* a retained message was cleared */
	switch (t.kind) {
	case SMQ_KS_TOPIC_ANSWER:
		return retained ? SMQ_ERR_STATE : on_envelope(m, payload);
	case SMQ_KS_TOPIC_MANIFEST:
		return smq_gm_take_manifest(m, payload);
	case SMQ_KS_TOPIC_POLICY:
		err = smq_gm_take_policy(m, payload, smq_span_of(NULL, 0));
		if (err == SMQ_OK)
			smq_gm_follow(m);
		return err;
	case SMQ_KS_TOPIC_NODE:
		return take_node(m, &t, payload);
	default:
		return smq_gm_take_card(m, t.number, payload);
	}
}
