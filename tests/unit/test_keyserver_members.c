/* The key server and the members that are really there (core/group_member), over one broker. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmocka_all.h"

#include <sealmq/client.h>
#include <sealmq/text.h>

#include "core/group_member.h"
#include "keyserver_rig.h"

enum { A = RIG_FIRST, B, C, D, PEERS, SUBSCRIPTIONS = 64, ROOM = 1024 };

struct member {
	smq_group_member *m;
	void *memory;
	char *subscribed[SUBSCRIPTIONS];
	uint8_t disk[SMQ_GROUP_STATE_MAX];
	size_t disk_len;
	struct smq_group_keep keep;
	struct smq_group_member_config config;
	unsigned notes[SMQ_GROUP_SENDER + 1];
};

struct message {
	uint8_t bytes[ROOM];
	size_t len;
};

static struct rig *r;
static struct member members[PEERS];

/* ---- members at the broker ---- */

static bool listens(const struct member *m, const char *topic)
{
	for (int i = 0; i < SUBSCRIPTIONS; i++) {
		if (m->subscribed[i] && smq_topic_matches(smq_span_str(m->subscribed[i]), smq_span_str(topic)))
			return true;
	}
	return false;
}

static void heard(void *self, const char *topic, smq_span payload)
{
	(void)self;
	for (int i = A; i < PEERS; i++) {
		if (members[i].m && listens(&members[i], topic))
			(void)smq_group_member_input(members[i].m, topic, payload, false, rig_time);
	}
}

static void subscribe(struct member *m, const char *topic)
{
	int at = 0;
	while (at < SUBSCRIPTIONS && m->subscribed[at] && strcmp(m->subscribed[at], topic) != 0)
		at++;
	assert_true(at < SUBSCRIPTIONS);
	if (!m->subscribed[at])
		m->subscribed[at] = strdup(topic);
	char *filter = m->subscribed[at];
	for (size_t i = 0; i < r->retained_count; i++) {
		const struct rig_message *x = &r->retained[i];
		if (smq_topic_matches(smq_span_str(filter), smq_span_str(x->topic)))
			(void)smq_group_member_input(m->m, x->topic, smq_span_of(x->bytes, x->len), true, rig_time);
	}
}

static void unsubscribe(struct member *m, const char *topic)
{
	for (int i = 0; i < SUBSCRIPTIONS; i++) {
		if (m->subscribed[i] && strcmp(m->subscribed[i], topic) == 0) {
			free(m->subscribed[i]);
			m->subscribed[i] = NULL;
		}
	}
}

static bool act(struct member *m)
{
	struct smq_group_action a;
	char topic[SMQ_KS_TOPIC_MAX];
	if (!m->m || !smq_group_member_next(m->m, rig_time, &a))
		return false;
	if (a.kind == SMQ_GROUP_ACT_NOTE) {
		m->notes[a.note.kind]++;
		return true;
	}
	snprintf(topic, sizeof(topic), "%s", a.topic);
	if (a.kind == SMQ_GROUP_ACT_SUBSCRIBE)
		subscribe(m, topic);
	else if (a.kind == SMQ_GROUP_ACT_UNSUBSCRIBE)
		unsubscribe(m, topic);
	else
		rig_publish(r, topic, a.payload);
	return true;
}

static bool turn(void *self)
{
	bool any = false;
	(void)self;
	for (int i = A; i < PEERS; i++)
		any = act(&members[i]) || any;
	return any;
}

/* ---- life ---- */

static smq_err load(void *self, smq_mspan room, size_t *ret_len)
{
	struct member *m = self;
	if (m->disk_len == 0)
		return SMQ_ERR_NOT_FOUND;
	assert_true(room.len >= m->disk_len);
	memcpy(room.p, m->disk, m->disk_len);
	*ret_len = m->disk_len;
	return SMQ_OK;
}

static smq_err save(void *self, smq_span state)
{
	struct member *m = self;
	memcpy(m->disk, state.p, state.len);
	m->disk_len = state.len;
	return SMQ_OK;
}

static void disconnect(int i)
{
	struct member *m = &members[i];
	for (int k = 0; k < SUBSCRIPTIONS; k++) {
		free(m->subscribed[k]);
		m->subscribed[k] = NULL;
	}
	smq_group_member_offline(m->m);
}

static void reconnect(int i) { smq_group_member_online(members[i].m, rig_time); }

static void down(int i)
{
	struct member *m = &members[i];
	if (!m->m)
		return;
	disconnect(i);
	smq_group_member_done(m->m);
	free(m->memory);
	m->m = NULL;
}

static void up(int i)
{
	static const int suites[] = { 2 };
	struct member *m = &members[i];
	m->keep = (struct smq_group_keep){ m, load, save, NULL };
	m->config = (struct smq_group_member_config){ .crypto = smq_crypto_openssl(),
						      .random = smq_random_system(),
						      .credentials = &r->credentials,
						      .own = &r->peers[i].own,
						      .realm = "world",
						      .name = r->peers[i].name,
						      .prefix = "sealmq/world",
						      .group = "g",
						      .roles = SMQ_JOIN_PUBLISH | SMQ_JOIN_SUBSCRIBE,
						      .suites = suites,
						      .suite_count = 1,
						      .keep = &m->keep,
						      .lives_max = 16 };
	size_t size = smq_group_member_size(&m->config);
	m->memory = malloc(size);
	assert_non_null(m->memory);
	assert_int_equal(smq_group_member_init(m->memory, size, &m->config, rig_time, &m->m), SMQ_OK);
	reconnect(i);
}

static void make(enum smq_policy_mode mode)
{
	struct smq_policy p = rig_policy("g", mode);
	if (mode == SMQ_MODE_SLOTTED)
		p.slot_ms = 2000;
	assert_int_equal(rig_set_policy(r, &p), SMQ_OK);
	for (int i = A; i <= C; i++)
		up(i);
	rig_pass(r, 4000, 50);
}

static int start(void **state)
{
	(void)state;
	memset(members, 0, sizeof(members));
	r = rig_new(PEERS);
	r->heard = heard;
	r->turn = turn;
	assert_true(rig_start(r, 0));
	return 0;
}

static int stop(void **state)
{
	(void)state;
	for (int i = A; i < PEERS; i++)
		down(i);
	rig_free(r);
	return 0;
}

/* ---- messages ---- */

static struct message sealed(int from)
{
	struct message x;
	smq_err err = smq_group_member_seal(members[from].m, smq_span_str("plant/a"), rig_time, smq_span_str("21.5"),
					    smq_mspan_of(x.bytes, sizeof(x.bytes)), &x.len);
	if (err != SMQ_OK)
		fail_msg("%s cannot seal: %s", r->peers[from].name, smq_err_name(err));
	return x;
}

/* What may open later is tried again, as a client does. */
static smq_err opened(int by, const struct message *x)
{
	uint8_t room[ROOM];
	struct smq_sealed s;
	struct smq_group_member_opened o;
	assert_int_equal(smq_sealed_decode(smq_span_of(x->bytes, x->len), &s), SMQ_OK);
	smq_err err = SMQ_ERR_NO_SESSION;
	for (int i = 0; i < 60 && err == SMQ_ERR_NO_SESSION; i++) {
		err = smq_group_member_open(members[by].m, &s, smq_span_str("plant/a"), rig_time,
					    smq_mspan_of(room, sizeof(room)), &o);
		rig_pass(r, 50, 50);
	}
	return err;
}

static void hear_each_other(int a, int b)
{
	struct message x = sealed(a), y = sealed(b);
	smq_err first = opened(b, &x), second = opened(a, &y);
	if (first != SMQ_OK || second != SMQ_OK)
		fail_msg("%s -> %s: %s, back: %s", r->peers[a].name, r->peers[b].name, smq_err_name(first),
			 smq_err_name(second));
}

static void expel(int i)
{
	assert_int_equal(rig_expel(r, i, "g"), SMQ_OK);
	rig_pass(r, 1000, 50);
}

/* ---- the story, in each mode ---- */

static void a_groups_life(enum smq_policy_mode mode)
{
	make(mode);
	hear_each_other(A, B);
	hear_each_other(B, C);

	expel(C);
	struct message x = sealed(A);
	assert_int_equal(opened(B, &x), SMQ_OK);
	assert_int_not_equal(opened(C, &x), SMQ_OK);
	rig_pass(r, 15000, 100);
	assert_true(members[C].notes[SMQ_GROUP_EXPELLED] + members[C].notes[SMQ_GROUP_REFUSED] > 0);
	x = sealed(B);
	assert_int_not_equal(opened(C, &x), SMQ_OK);
	assert_int_equal(opened(A, &x), SMQ_OK);

	up(D); /* a newcomer, while the expelled one still listens */
	rig_pass(r, 4000, 50);
	hear_each_other(A, D);
}

static void life_static(void **state)
{
	(void)state;
	a_groups_life(SMQ_MODE_STATIC);
}
static void life_update(void **state)
{
	(void)state;
	a_groups_life(SMQ_MODE_UPDATE);
}
static void life_slotted(void **state)
{
	(void)state;
	a_groups_life(SMQ_MODE_SLOTTED);
}

static void a_sleeper_comes_back(void **state)
{
	(void)state;
	make(SMQ_MODE_UPDATE);
	disconnect(B);
	rig_pass(r, 1000, 100);
	up(D);
	rig_pass(r, 3000, 100);
	expel(C);
	struct smq_ks_request rotate = rig_request(SMQ_KS_ROTATE, "g");
	for (int i = 0; i < 5; i++)
		assert_int_equal(rig_asked(r, RIG_ADMIN, &rotate), SMQ_OK);
	reconnect(B);
	rig_pass(r, 4000, 50);
	hear_each_other(A, B);
	hear_each_other(B, D);
}

static void the_key_server_restarts(void **state)
{
	(void)state;
	make(SMQ_MODE_UPDATE);
	rig_stop(r, 0);
	rig_pass(r, 3000, 100);
	hear_each_other(A, B); /* they go on without it */
	assert_true(rig_start(r, 0));
	hear_each_other(A, B);
	expel(C);
	hear_each_other(A, B);
}

static void the_key_server_is_restored(void **state)
{
	(void)state;
	struct rig_items backup;
	make(SMQ_MODE_UPDATE);
	rig_backup(r, &backup);
	expel(C);
	uint64_t epoch = rig_epoch(r, "g");
	rig_restore(r, &backup, true);
	assert_true(rig_start(r, 0));
	rig_pass(r, 20000, 100);
	assert_true(rig_epoch(r, "g") > epoch + 65536);
	hear_each_other(A, B);
	assert_int_equal(members[A].notes[SMQ_GROUP_FORK] + members[B].notes[SMQ_GROUP_FORK], 0);
	rig_items_done(&backup);
}

static void the_broker_keeps_nothing(void **state)
{
	(void)state;
	r->broker_deaf = true;
	make(SMQ_MODE_UPDATE);
	rig_pass(r, 5000, 100);
	hear_each_other(A, B);
	disconnect(B);
	expel(C);
	reconnect(B);
	rig_pass(r, 60000, 100);
	hear_each_other(A, B);
}

static void the_policy_changes(void **state)
{
	(void)state;
	make(SMQ_MODE_STATIC);
	struct smq_policy p = rig_policy("g", SMQ_MODE_STATIC);
	p.number = 2;
	p.publisher_count = p.subscriber_count = 2;
	p.publishers[0].pattern = p.subscribers[0].pattern = smq_span_str(r->peers[A].name);
	p.publishers[1].pattern = p.subscribers[1].pattern = smq_span_str(r->peers[B].name);
	assert_int_equal(rig_set_policy(r, &p), SMQ_OK);
	rig_pass(r, 5000, 100);
	hear_each_other(A, B);
	struct message x = sealed(A);
	assert_int_not_equal(opened(C, &x), SMQ_OK);
}

/* Slot trees of four slots: members get further ones in time, without anybody else hearing of it. */
static void slots_go_on(void **state)
{
	(void)state;
	struct smq_policy p = rig_policy("g", SMQ_MODE_SLOTTED);
	p.slot_ms = 2000;
	p.slot_levels = 3;
	assert_int_equal(rig_set_policy(r, &p), SMQ_OK);
	up(A);
	up(B);
	rig_pass(r, 3000, 50);
	uint64_t epoch = rig_epoch(r, "g");
	for (int i = 0; i < 12; i++) {
		rig_pass(r, 9000, 100);
		hear_each_other(A, B);
	}
	assert_int_equal(rig_epoch(r, "g"), epoch);
}

/* ---- what a newcomer may read of the past ---- */

enum { ROTATIONS = 70, MOST = SMQ_POLICY_HISTORY_MAX };

static uint64_t epoch_of(const struct message *x)
{
	struct smq_sealed s;
	assert_int_equal(smq_sealed_decode(smq_span_of(x->bytes, x->len), &s), SMQ_OK);
	return s.epoch;
}

/* One message of A in each of many epochs; B comes in the middle of them. */
static void live(const struct smq_policy *p, struct message messages[ROTATIONS], uint64_t *ret_joined)
{
	struct smq_ks_request rotate = rig_request(SMQ_KS_ROTATE, "g");
	assert_int_equal(rig_set_policy(r, p), SMQ_OK);
	up(A);
	rig_pass(r, 3000, 50);
	for (int i = 0; i < ROTATIONS; i++) {
		if (i == ROTATIONS / 2) {
			up(B);
			rig_pass(r, 3000, 50);
			*ret_joined = smq_group_member_epoch(members[B].m);
		}
		assert_int_equal(rig_asked(r, RIG_ADMIN, &rotate), SMQ_OK);
		rig_pass(r, 2000, 50);
		messages[i] = sealed(A);
	}
}

/* Opens those of the epochs from `oldest` on and no others. */
static void reads_from(int who, const struct message messages[ROTATIONS], uint64_t oldest)
{
	for (int i = 0; i < ROTATIONS; i++) {
		smq_err err = opened(who, &messages[i]);
		uint64_t epoch = epoch_of(&messages[i]);
		if ((err == SMQ_OK) != (epoch >= oldest))
			fail_msg("%s, epoch %llu, oldest granted %llu: %s", r->peers[who].name,
				 (unsigned long long)epoch, (unsigned long long)oldest, smq_err_name(err));
	}
}

/* As on a new disk: what it had is gone, and is granted again as far as the policy goes. */
static void comes_anew(int who)
{
	down(who);
	members[who].disk_len = 0;
	up(who);
	rig_pass(r, 3000, 50);
	assert_int_equal(members[who].notes[SMQ_GROUP_REFUSED], 0);
}

static void reads_what_the_policy_grants(enum smq_policy_mode mode, enum smq_policy_history history, uint64_t epochs)
{
	static struct message messages[ROTATIONS];
	uint64_t joined = 0, present;
	bool slots = mode == SMQ_MODE_SLOTTED, moves = mode == SMQ_MODE_UPDATE;
	struct smq_policy p = rig_policy("g", mode);
	p.slot_ms = slots ? 100 : 0;
	p.grace_ms = 0;
	p.history = history;
	p.history_epochs = epochs;
	live(&p, messages, &joined);
	comes_anew(C);
	present = smq_group_member_epoch(members[C].m);
	assert_true(present >= epoch_of(&messages[ROTATIONS - 1]) + moves);
	uint64_t last = history == SMQ_HISTORY_LAST && !slots ? present - epochs : slots ? present + 1 : present;
	reads_from(C, messages, last);
	/* who has been there before has its own past, as far as there is one */
	comes_anew(B);
	uint64_t oldest = smq_group_member_epoch(members[B].m) - MOST;
	oldest = history != SMQ_HISTORY_JOIN ? last : joined > oldest ? joined : oldest;
	reads_from(B, messages, slots ? present + 1 : oldest);
	for (int i = A; i < PEERS; i++)
		down(i);
}

static void newcomers_read_what_the_policy_grants(void **state)
{
	static const struct {
		enum smq_policy_history history;
		uint64_t epochs;
	} rows[] = {
		{ SMQ_HISTORY_NONE, 0 }, { SMQ_HISTORY_JOIN, 0 }, { SMQ_HISTORY_LAST, 1 }, { SMQ_HISTORY_LAST, MOST }
	};
	for (int mode = SMQ_MODE_STATIC; mode <= SMQ_MODE_SLOTTED; mode++) {
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			reads_what_the_policy_grants((enum smq_policy_mode)mode, rows[i].history, rows[i].epochs);
			stop(state);
			start(state);
		}
	}
}

/*
 * A month, with an epoch every hour and somebody who leaves and comes back every day: all are still there at its end,
 * and neither memory nor the database is larger than after the first days.
 */
static void a_month_of_rotations(void **state)
{
	enum { DAYS = 30, SETTLED = 4, HOUR_MS = 3600000 };
	struct smq_policy p = rig_policy("g", SMQ_MODE_UPDATE);
	size_t memory = 0, items = 0, retained = 0;
	(void)state;
	p.rotate_s = 3600;
	assert_int_equal(rig_set_policy(r, &p), SMQ_OK);
	for (int i = A; i <= C; i++)
		up(i);
	rig_pass(r, 4000, 50);
	uint64_t epoch = rig_epoch(r, "g");
	for (int day = 0; day < DAYS; day++) {
		r->fact_count = 0; /* the rig's own memory of what was published */
		down(C);
		assert_int_equal(rig_leave(r, C, "g"), SMQ_OK);
		rig_pass(r, (int64_t)HOUR_MS, 20000);
		members[C].disk_len = 0;
		up(C);
		rig_pass(r, (int64_t)23 * HOUR_MS, 20000);
		hear_each_other(A, C);
		if (day < SETTLED) {
			memory = mallinfo2().uordblks;
			items = r->stores[0].durable.count;
			retained = r->retained_count;
		}
	}
	uint64_t epochs = rig_epoch(r, "g") - epoch;
	print_message("# %llu epochs in %d days; %zu to %zu bytes, %zu to %zu items, %zu to %zu retained messages\n",
		      (unsigned long long)epochs, DAYS, memory, (size_t)mallinfo2().uordblks, items,
		      r->stores[0].durable.count, retained, r->retained_count);
	assert_true(epochs >= DAYS * 24);
	assert_true(mallinfo2().uordblks <= memory + 16384);
	assert_true(r->stores[0].durable.count <= items + 4);
	assert_true(r->retained_count <= retained + 4);
}

#define row(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		row(life_static),
		row(life_update),
		row(life_slotted),
		row(a_sleeper_comes_back),
		row(the_key_server_restarts),
		row(the_key_server_is_restored),
		row(the_broker_keeps_nothing),
		row(the_policy_changes),
		row(slots_go_on),
		row(newcomers_read_what_the_policy_grants),
		row(a_month_of_rotations),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
