/* core/group_member: a member of a key server's group (PROTOCOL.md 7.6), in a small world of its own. */
#include <stdio.h>
#include <stdlib.h>

#include "cmocka_all.h"

#include <sealmq/client.h>

#include "core/group_member_state.h"
#include "group_sim.h"

static const enum smq_policy_mode modes[] = { SMQ_MODE_STATIC, SMQ_MODE_UPDATE, SMQ_MODE_SLOTTED };

enum { B = 1, C = 2, D = 3, E = 4 };

static struct sim *begin(enum smq_policy_mode mode)
{
	struct sim *s = malloc(sizeof(*s));
	assert_non_null(s);
	sim_init(s, mode);
	return s;
}

static void end(struct sim *s)
{
	sim_done(s);
	free(s);
}

static struct sim *with_members(enum smq_policy_mode mode, int count)
{
	struct sim *s = begin(mode);
	for (int i = 1; i <= count; i++) {
		sim_up(s, i);
		assert_int_equal(s->members[i].notes[SMQ_GROUP_JOINED], 1);
	}
	return s;
}

static unsigned noted(const struct sim *s, int i, enum smq_group_note_kind kind) { return s->members[i].notes[kind]; }

static uint64_t epoch_at(const struct sim *s, int i) { return smq_group_member_epoch(s->members[i].m); }

/* ---- joining ---- */

static void members_read_each_other(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct sim *s = with_members(modes[i], 3);
		struct sim_message m = sim_sealed(s, B, "13.1"), n = sim_sealed(s, C, "13.2");
		/* header, tag and nothing else: the boot id is bound to the sender id */
		assert_in_range(m.len, 4 + 24 - 4, 4 + 24);
		assert_int_equal(sim_opened(s, C, &m), SMQ_OK);
		assert_int_equal(sim_opened(s, D, &m), SMQ_OK);
		assert_int_equal(sim_opened(s, B, &n), SMQ_OK);
		assert_int_equal(sim_opened(s, B, &m), SMQ_OK); /* our own, come back */
		assert_int_equal(sim_opened(s, C, &m), SMQ_ERR_REPLAY);
		struct sim_message moved = sim_sealed(s, B, "13.3");
		moved.topic = "plant/b";
		assert_int_equal(sim_opened(s, C, &moved), SMQ_ERR_OPEN);
		moved.topic = "elsewhere";
		assert_int_equal(sim_opened(s, C, &moved), SMQ_ERR_TOPIC);
		assert_int_equal(sim_try_seal(s, B, "elsewhere", &moved), SMQ_ERR_TOPIC);
		end(s);
	}
}

static void who_is_not_admitted_is_told_so_and_gets_nothing(void **state)
{
	(void)state;
	struct sim *s = with_members(SMQ_MODE_UPDATE, 1);
	struct sim_message m = sim_sealed(s, B, "13.1"), n;
	s->expelled = 1 << C;
	sim_up(s, C);
	assert_int_equal(noted(s, C, SMQ_GROUP_REFUSED), 1);
	assert_string_equal(s->members[C].last.text, "no\\nreason");
	assert_int_equal(sim_try_seal(s, C, "plant/a", &n), SMQ_ERR_NO_SESSION);
	assert_int_equal(sim_opened(s, C, &m), SMQ_ERR_NO_KEY);
	sim_pass(s, 60000);
	assert_int_equal(noted(s, C, SMQ_GROUP_REFUSED), 1); /* once, however often it asks */
	assert_in_range(s->members[C].sent, 4, 30);
	s->expelled = 0;
	sim_pass(s, 60000);
	assert_int_equal(noted(s, C, SMQ_GROUP_JOINED), 1);
	end(s);
}

/* A key server that admits whom the policy does not is not followed. */
static void the_policy_is_the_admins(void **state)
{
	(void)state;
	struct sim *s = begin(SMQ_MODE_UPDATE);
	s->policy.publishers[0].pattern = smq_span_str("b");
	s->policy.subscribers[0].pattern = smq_span_str("[nobody]");
	s->policy.subscriber_count = 0;
	sim_policy(s);
	sim_up(s, B);
	sim_up(s, C);
	assert_int_equal(noted(s, B, SMQ_GROUP_JOINED), 1);
	assert_int_equal(noted(s, C, SMQ_GROUP_JOINED), 0);
	assert_int_equal(noted(s, C, SMQ_GROUP_REFUSED), 1);
	assert_int_equal(s->members[C].last.err, SMQ_ERR_NOT_AUTHORIZED);
	/* signed by somebody who is no admin */
	s->world.roles[SIM_ADMIN] = SMQ_ROLE_MEMBER;
	sim_up(s, D);
	assert_int_equal(noted(s, D, SMQ_GROUP_JOINED), 0);
	assert_true(noted(s, D, SMQ_GROUP_FORGED) > 0);
	end(s);
}

/* ---- epochs ---- */

static void an_expelled_member_opens_nothing_from_then_on(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct sim *s = with_members(modes[i], 4);
		struct sim_message before = sim_sealed(s, B, "13.1");
		sim_expel(s, C);
		sim_settle(s);
		struct sim_message m = sim_sealed(s, B, "13.1");
		assert_int_equal(sim_opened(s, D, &m), SMQ_OK);
		assert_int_equal(sim_opened(s, E, &m), SMQ_OK);
		assert_int_equal(sim_opened(s, D, &before), SMQ_OK); /* within the grace */
		assert_int_not_equal(sim_opened(s, C, &m), SMQ_OK);
		sim_pass(s, 10000);
		assert_int_equal(noted(s, C, SMQ_GROUP_EXPELLED), 1);
		assert_int_not_equal(sim_opened(s, C, &m), SMQ_OK);
		assert_false(smq_group_member_ready(s->members[C].m, s->world.now));
		/* and a second one: what the two know together is worth nothing either */
		sim_expel(s, D);
		sim_settle(s);
		m = sim_sealed(s, B, "13.1");
		assert_int_equal(sim_opened(s, E, &m), SMQ_OK);
		assert_int_not_equal(sim_opened(s, C, &m), SMQ_OK);
		assert_int_not_equal(sim_opened(s, D, &m), SMQ_OK);
		sim_kill(s, C);
		sim_up(s, C); /* not even after a restart with what is on its disk */
		assert_int_not_equal(sim_opened(s, C, &m), SMQ_OK);
		end(s);
	}
}

static void a_newcomer_opens_nothing_older(void **state)
{
	(void)state;
	struct sim *s = with_members(SMQ_MODE_UPDATE, 2);
	struct sim_message old = sim_sealed(s, B, "13.1");
	sim_up(s, D);
	struct sim_message m = sim_sealed(s, B, "13.2");
	assert_int_equal(sim_opened(s, D, &m), SMQ_OK);
	assert_int_equal(sim_opened(s, D, &old), SMQ_ERR_STALE_EPOCH);
	end(s);
	/* but what the policy grants */
	s = begin(SMQ_MODE_UPDATE);
	s->policy.history = SMQ_HISTORY_LAST;
	s->policy.history_epochs = 2;
	sim_policy(s);
	sim_up(s, B);
	sim_up(s, C);
	struct sim_message first = sim_sealed(s, B, "13.0");
	sim_epoch(s);
	sim_settle(s);
	old = sim_sealed(s, B, "13.1");
	sim_up(s, D);
	assert_int_equal(sim_opened(s, D, &old), SMQ_OK);
	assert_int_equal(sim_opened(s, D, &first), SMQ_OK);
	sim_up(s, E);
	assert_int_equal(sim_opened(s, E, &first), SMQ_ERR_STALE_EPOCH);
	sim_pass(s, 20000);
	first = old;
	assert_int_equal(sim_opened(s, C, &old), SMQ_OK); /* still, after any grace */
	end(s);
}

static void an_epoch_is_used_when_it_is_due_and_wiped_after_its_grace(void **state)
{
	(void)state;
	struct sim *s = begin(SMQ_MODE_UPDATE);
	s->policy.activation_ms = 2000;
	sim_policy(s);
	sim_up(s, B);
	assert_int_equal(noted(s, B, SMQ_GROUP_JOINED), 1);
	assert_false(smq_group_member_ready(s->members[B].m, s->world.now));
	sim_pass(s, 2000);
	assert_true(smq_group_member_ready(s->members[B].m, s->world.now));
	uint64_t before = epoch_at(s, B);
	struct sim_message old = sim_sealed(s, B, "13.1");
	sim_up(s, C);
	assert_int_equal(epoch_at(s, B), before);
	sim_pass(s, 2000);
	assert_int_equal(epoch_at(s, B), before + 1);
	assert_int_equal(noted(s, B, SMQ_GROUP_EPOCH), 2);
	assert_int_equal(sim_opened(s, B, &old), SMQ_OK);
	/* in memory and on the disk */
	uint8_t secret[32];
	memcpy(secret, s->history[s->history_count - 2].secret, sizeof(secret));
	assert_non_null(memmem(s->members[B].disk, s->members[B].disk_len, secret, sizeof(secret)));
	sim_pass(s, 5100);
	assert_null(memmem(s->members[B].disk, s->members[B].disk_len, secret, sizeof(secret)));
	assert_null(memmem(s->members[B].memory, smq_group_member_size(&s->config), secret, sizeof(secret)));
	assert_int_equal(sim_opened(s, B, &old), SMQ_ERR_STALE_EPOCH);
	end(s);
}

static void what_was_missed_is_caught_up_with(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct sim *s = with_members(modes[i], 4);
		sim_disconnect(s, C);
		for (int k = 0; k < 5; k++) {
			smq_keygroup_rotate(s->group);
			sim_epoch(s);
			sim_settle(s);
		}
		sim_expel(s, E);
		sim_settle(s);
		unsigned sent = s->members[C].sent;
		sim_connect(s, C);
		struct sim_message m = sim_sealed(s, B, "13.1");
		assert_int_equal(epoch_at(s, C), epoch_at(s, B));
		assert_int_equal(sim_opened(s, C, &m), SMQ_OK);
		assert_int_equal(s->members[C].sent, sent); /* from what the broker retains alone */
		assert_int_equal(noted(s, C, SMQ_GROUP_GAP), 1);
		end(s);
	}
}

static void what_the_broker_lost_is_asked_for(void **state)
{
	(void)state;
	struct sim *s = with_members(SMQ_MODE_UPDATE, 4);
	s->drops_nodes = s->drops_cards = true;
	sim_expel(s, E);
	sim_settle(s);
	sim_pass(s, 4000);
	struct sim_message m = sim_sealed(s, B, "13.1");
	assert_int_equal(epoch_at(s, C), epoch_at(s, B));
	assert_int_equal(epoch_at(s, C), smq_keygroup_epoch(s->group));
	assert_int_equal(sim_opened(s, C, &m), SMQ_OK);
	assert_int_equal(noted(s, C, SMQ_GROUP_EXPELLED), 0);
	/* nothing retained at all, and an epoch while we were away */
	sim_disconnect(s, D);
	s->forgets = true;
	for (size_t i = 0; i < SIM_RETAINED; i++) {
		if (strncmp(s->retained[i].topic, "sealmq/", 7) == 0)
			s->retained[i].topic[0] = 'x';
	}
	s->drops_nodes = false;
	sim_kill(s, C); /* a restart of it moves no epoch, its sender id is new */
	sim_up(s, C);
	sim_pass(s, 3000);
	sim_connect(s, D);
	sim_pass(s, 3000);
	m = sim_sealed(s, C, "13.1");
	assert_int_equal(sim_opened(s, D, &m), SMQ_OK);
	end(s);
}

/* The retained manifest is that of another node of the broker's cluster: of `back` epochs ago. */
static void come_back_to(struct sim *s, int back, bool server_down)
{
	uint8_t kept[3][1024];
	size_t lens[3];
	for (int k = 0; k < 3; k++) {
		if (k == 2)
			sim_disconnect(s, B);
		sim_epoch(s);
		sim_settle(s);
		memcpy(kept[k], s->manifest_signed, s->manifest_len);
		lens[k] = s->manifest_len;
	}
	struct sim_retained *r = sim_find(s, "sealmq/world/g/temps/m");
	assert_non_null(r);
	memcpy(r->bytes, kept[2 - back], lens[2 - back]);
	r->len = lens[2 - back];
	s->server_down = server_down;
	sim_connect(s, B);
}

static void an_older_manifest_after_a_reconnect_is_asked_about(void **state)
{
	static const struct {
		int back; /* epochs; 1 is what the member has */
		bool server_down;
	} rows[] = { { 0, false }, { 1, false }, { 2, false }, { 1, true }, { 2, true } };
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sim *s = with_members(SMQ_MODE_UPDATE, 3);
		unsigned sent = s->members[B].sent;
		come_back_to(s, rows[i].back, rows[i].server_down);
		sim_pass(s, 2000);
		if (rows[i].server_down) {
			assert_int_not_equal(epoch_at(s, B), epoch_at(s, C));
			assert_true(s->members[B].sent > sent);
			s->server_down = false;
			sim_pass(s, 40000);
		}
		assert_int_equal(epoch_at(s, B), epoch_at(s, C));
		sent = s->members[B].sent;
		assert_true(sent > 0);
		sim_pass(s, 60000);
		assert_int_equal(s->members[B].sent, sent); /* once for a reconnect */
		end(s);
	}
}

/* Of a large group not all ask at once for what a slow broker has not brought yet. */
static void members_of_a_large_tree_spread_their_questions(void **state)
{
	static const struct {
		unsigned height;
		uint16_t patience;
		int64_t wait_ms; /* asked by then, and not 200 ms before */
	} rows[] = { { 1, 0xffff, 2000 },  { 4, 0xffff, 2000 },  { 5, 0, 2000 },
		     { 5, 0x8000, 2500 },  { 5, 0xffff, 3000 },  { 6, 0x8000, 4000 },
		     { 7, 0xffff, 18000 }, { 8, 0x4000, 17000 }, { 12, 0x8000, 32000 } };
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sim *s = with_members(SMQ_MODE_UPDATE, 3);
		smq_group_member *m = s->members[B].m;
		m->k.path.height = rows[i].height;
		m->patience = rows[i].patience;
		s->drops_nodes = true;
		sim_expel(s, D);
		sim_settle(s);
		unsigned sent = s->members[B].sent;
		sim_pass(s, rows[i].wait_ms - 200);
		assert_int_equal(s->members[B].sent, sent);
		sim_pass(s, 300);
		assert_true(s->members[B].sent > sent);
		end(s);
	}
}

/* ---- a broker that lies ---- */

static void what_is_played_back_is_refused(void **state)
{
	(void)state;
	struct sim *s = with_members(SMQ_MODE_UPDATE, 3);
	char topic[] = "sealmq/world/g/temps/m", policy_topic[] = "sealmq/world/g/temps/p";
	uint8_t old[1024], old_policy[SMQ_POLICY_MAX];
	size_t old_len = s->manifest_len, old_policy_len = s->policy_len;
	memcpy(old, s->manifest_signed, old_len);
	memcpy(old_policy, s->policy_signed, old_policy_len);
	sim_policy(s);
	sim_settle(s);
	uint64_t epoch = epoch_at(s, B);
	sim_publish(s, topic, smq_span_of(old, old_len), true);
	sim_publish(s, policy_topic, smq_span_of(old_policy, old_policy_len), true);
	sim_settle(s);
	assert_int_equal(epoch_at(s, B), epoch);
	assert_int_equal(noted(s, B, SMQ_GROUP_STALE), 2);
	sim_kill(s, B);
	sim_up(s, B); /* retained: it meets a restarted member */
	assert_int_equal(epoch_at(s, B), epoch);
	assert_true(noted(s, B, SMQ_GROUP_STALE) > 2);
	/* altered: the signature */
	memcpy(old, s->manifest_signed, s->manifest_len);
	old[s->manifest_len - 1] ^= 1;
	sim_publish(s, topic, smq_span_of(old, s->manifest_len), false);
	sim_settle(s);
	assert_int_equal(noted(s, B, SMQ_GROUP_FORGED), 1);
	assert_int_equal(s->members[B].last.err, SMQ_ERR_SIGNATURE);
	end(s);
}

static void another_history_is_noticed(void **state)
{
	(void)state;
	struct sim *s = with_members(SMQ_MODE_UPDATE, 3);
	struct smq_manifest fork = s->manifest;
	uint8_t document[SMQ_MANIFEST_MAX], bytes[1024];
	size_t len, signed_len;
	uint64_t epoch = epoch_at(s, B);
	fork.commitment[0] ^= 1;
	assert_int_equal(smq_manifest_encode(&fork, smq_mspan_of(document, sizeof(document)), &len), SMQ_OK);
	assert_int_equal(smq_manifest_sign(smq_span_of(document, len), &s->world.members[SIM_SERVER].own,
					   smq_mspan_of(bytes, sizeof(bytes)), &signed_len),
			 SMQ_OK);
	sim_publish(s, "sealmq/world/g/temps/m", smq_span_of(bytes, signed_len), false);
	sim_settle(s);
	assert_int_equal(noted(s, B, SMQ_GROUP_FORK), 1);
	/* the same by another key server */
	s->world.roles[E] = SMQ_ROLE_KEYSERVER;
	assert_int_equal(smq_manifest_sign(smq_span_of(document, len), &s->world.members[E].own,
					   smq_mspan_of(bytes, sizeof(bytes)), &signed_len),
			 SMQ_OK);
	sim_publish(s, "sealmq/world/g/temps/m", smq_span_of(bytes, signed_len), false);
	sim_settle(s);
	assert_int_equal(noted(s, B, SMQ_GROUP_TWO_SERVERS), 1);
	assert_int_equal(epoch_at(s, B), epoch);
	end(s);
}

static void forged_nodes_are_survived(void **state)
{
	(void)state;
	struct sim *s = with_members(SMQ_MODE_UPDATE, 3);
	struct smq_tree_node_message junk = { .height = 1, .epoch = UINT32_MAX };
	uint8_t bytes[SMQ_TREE_NODE_MAX];
	size_t len;
	for (int i = 0; i < SMQ_TREE_ARITY; i++)
		junk.wraps[i].there = true;
	assert_int_equal(smq_tree_node_encode(&junk, smq_mspan_of(bytes, sizeof(bytes)), &len), SMQ_OK);
	sim_publish(s, "sealmq/world/g/temps/n/1/0", smq_span_of(bytes, len), false);
	sim_settle(s);
	sim_expel(s, D);
	sim_settle(s);
	sim_pass(s, 5000);
	struct sim_message m = sim_sealed(s, B, "13.1");
	assert_int_equal(epoch_at(s, B), smq_keygroup_epoch(s->group));
	assert_int_equal(sim_opened(s, C, &m), SMQ_OK);
	end(s);
}

/* ---- restarts ---- */

static void a_restart_goes_on(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct sim *s = with_members(modes[i], 3);
		uint64_t epoch = smq_keygroup_epoch(s->group);
		struct sim_message early = sim_sealed(s, B, "13.0");
		sim_kill(s, B);
		sim_up(s, B);
		assert_int_equal(noted(s, B, SMQ_GROUP_JOINED), 2);
		assert_int_equal(smq_keygroup_epoch(s->group), epoch);
		struct sim_message m = sim_sealed(s, B, "13.1");
		assert_int_equal(sim_opened(s, C, &m), SMQ_OK);
		assert_int_equal(sim_opened(s, C, &early), SMQ_OK);
		assert_int_equal(sim_opened(s, C, &early), SMQ_ERR_REPLAY);
		/* the key server is away: under the old sender id, with the boot id in full */
		s->server_down = true;
		sim_kill(s, B);
		sim_up(s, B);
		assert_false(smq_group_member_ready(s->members[B].m, s->world.now));
		sim_pass(s, 2000);
		m = sim_sealed(s, B, "13.1");
		assert_in_range(m.len, 4 + 40 - 4, 4 + 40);
		assert_int_equal(sim_opened(s, C, &m), SMQ_OK);
		assert_int_equal(sim_opened(s, C, &m), SMQ_ERR_REPLAY);
		sim_pass(s, 10000);
		assert_int_equal(noted(s, B, SMQ_GROUP_WAITING), 1);
		/* and it comes back */
		s->server_down = false;
		sim_pass(s, 40000);
		struct sim_message n = sim_sealed(s, B, "13.2");
		assert_in_range(n.len, 4 + 24 - 4, 4 + 24);
		assert_int_equal(sim_opened(s, C, &n), SMQ_OK);
		assert_int_equal(sim_opened(s, C, &m),
				 modes[i] == SMQ_MODE_SLOTTED ? SMQ_ERR_STALE_EPOCH : SMQ_ERR_REPLAY);
		end(s);
	}
}

static void nothing_is_acted_upon_that_is_not_stored(void **state)
{
	(void)state;
	struct sim *s = with_members(SMQ_MODE_UPDATE, 2);
	uint64_t epoch = epoch_at(s, B);
	s->members[B].disk_fails = true;
	sim_up(s, D);
	sim_settle(s);
	assert_int_equal(epoch_at(s, B), epoch);
	struct sim_message m = sim_sealed(s, D, "13.1");
	assert_int_equal(sim_open_now(s, B, &m), SMQ_ERR_NO_SESSION);
	s->members[B].disk_fails = false;
	sim_pass(s, 2000);
	assert_int_equal(epoch_at(s, B), epoch + 1);
	assert_int_equal(sim_opened(s, B, &m), SMQ_OK);
	end(s);
}

static void a_damaged_state_is_refused(void **state)
{
	(void)state;
	struct sim *s = with_members(SMQ_MODE_SLOTTED, 1);
	struct sim_member *b = &s->members[B];
	sim_kill(s, B);
	struct smq_group_member_config c = s->config;
	smq_group_member *m;
	void *memory = malloc(smq_group_member_size(&c));
	assert_non_null(memory);
	c.own = &s->world.members[B].own;
	c.name = "b";
	c.keep = &b->keep;
	for (size_t len = 1; len < b->disk_len; len += 7) {
		size_t whole = b->disk_len;
		b->disk_len = len;
		assert_int_equal(smq_group_member_init(memory, smq_group_member_size(&c), &c, s->world.now, &m),
				 SMQ_ERR_CORRUPT);
		b->disk_len = whole;
	}
	free(memory);
	end(s);
}

/* ---- time ---- */

static void an_expired_manifest_stops_the_sealing(void **state)
{
	(void)state;
	struct sim *s = with_members(SMQ_MODE_UPDATE, 2);
	struct sim_message m;
	s->server_down = true;
	sim_pass(s, 1000);
	s->world.now.unix_ms += 3600 * 1000;
	sim_settle(s);
	assert_int_equal(noted(s, B, SMQ_GROUP_EXPIRED), 1);
	assert_int_equal(sim_try_seal(s, B, "plant/a", &m), SMQ_ERR_STALE_EPOCH);
	s->server_down = false;
	sim_epoch(s);
	sim_settle(s);
	m = sim_sealed(s, B, "13.1");
	assert_int_equal(sim_opened(s, C, &m), SMQ_OK);
	end(s);
}

static void a_clock_that_jumps_back_reopens_no_slot(void **state)
{
	(void)state;
	struct sim *s = with_members(SMQ_MODE_SLOTTED, 2);
	struct sim_message early = sim_sealed(s, B, "13.0"), m;
	sim_pass(s, 4000);
	m = sim_sealed(s, B, "13.1");
	assert_int_equal(sim_opened(s, C, &m), SMQ_OK);
	assert_int_equal(sim_opened(s, C, &early), SMQ_OK); /* within the skew */
	early = sim_sealed(s, B, "13.0");
	sim_pass(s, 20000);
	assert_int_equal(sim_opened(s, C, &early), SMQ_ERR_STALE_EPOCH);
	s->world.now.unix_ms -= 20000;
	sim_settle(s);
	assert_int_not_equal(sim_opened(s, C, &early), SMQ_OK);
	assert_int_equal(sim_try_seal(s, B, "plant/a", &m), SMQ_ERR_STALE_EPOCH);
	sim_kill(s, C);
	s->server_down = true;
	sim_up(s, C);
	assert_int_not_equal(sim_opened(s, C, &early), SMQ_OK);
	s->world.now.unix_ms += 20000;
	s->server_down = false;
	sim_pass(s, 40000);
	m = sim_sealed(s, B, "13.2");
	assert_int_equal(sim_opened(s, C, &m), SMQ_OK);
	end(s);
}

/* The sender's clock is so far off, over many slots and whatever part of one it is. */
static void clocks_within_the_bound_lose_nothing(void **state)
{
	(void)state;
	static const struct {
		int64_t off_ms;
		bool opens;
	} rows[] = { { 0, true }, { 4900, true }, { -4900, true }, { 1, true }, { 30000, false }, { -30000, false } };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sim *s = with_members(SMQ_MODE_SLOTTED, 2);
		unsigned opened = 0, tried = 0;
		sim_pass(s, 40000);
		struct sim_message m = sim_sealed(s, B, "13.0");
		assert_int_equal(sim_opened(s, C, &m), SMQ_OK); /* its card has come */
		for (int n = 0; n < 60; n++) {
			s->world.now.unix_ms += rows[i].off_ms;
			smq_err err = sim_try_seal(s, B, "plant/a", &m);
			s->world.now.unix_ms -= rows[i].off_ms;
			opened += err == SMQ_OK && sim_open_now(s, C, &m) == SMQ_OK;
			tried++;
			if (!rows[i].opens)
				break; /* one is enough: its own clock has run away with it */
			sim_pass(s, 370);
		}
		if (opened != (rows[i].opens ? tried : 0))
			fail_msg("row %zu: %u of %u", i, opened, tried);
		end(s);
	}
}

/* An epoch that was used stays in use, and the one before does not come back. */
static void a_clock_that_jumps_back_revives_no_epoch(void **state)
{
	(void)state;
	struct sim *s = begin(SMQ_MODE_UPDATE);
	s->policy.activation_ms = 1000;
	sim_policy(s);
	sim_up(s, B);
	sim_pass(s, 1000);
	sim_up(s, C);
	sim_pass(s, 1000);
	uint64_t epoch = epoch_at(s, B);
	s->world.now.unix_ms -= 3600 * 1000;
	sim_settle(s);
	struct sim_message m = sim_sealed(s, B, "13.1");
	assert_int_equal(epoch_at(s, B), epoch);
	struct smq_sealed header;
	assert_int_equal(smq_sealed_decode(smq_span_of(m.bytes, m.len), &header), SMQ_OK);
	assert_int_equal(header.epoch, epoch);
	sim_kill(s, B);
	sim_up(s, B);
	assert_int_equal(epoch_at(s, B), epoch);
	end(s);
}

static void an_interval_is_kept_to_and_renewed(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct sim *s = begin(modes[i]);
		s->policy.lease_s = 120;
		sim_policy(s);
		sim_up(s, B);
		s->config.lease_ms = 60000;
		sim_up(s, C);
		sim_pass(s, 61000);
		struct sim_message m = sim_sealed(s, B, "13.1"), n;
		assert_int_equal(noted(s, C, SMQ_GROUP_LEFT), 1); /* foreseen: no message told it */
		assert_int_equal(sim_opened(s, C, &m), SMQ_ERR_NO_KEY);
		assert_int_equal(sim_try_seal(s, C, "plant/a", &n), SMQ_ERR_NO_SESSION);
		for (int k = 0; k < 10; k++) {
			sim_pass(s, 60000);
			m = sim_sealed(s, B, "13.1"); /* as long as may be: renewed without a gap */
			assert_int_equal(sim_opened(s, B, &m), SMQ_OK);
		}
		assert_int_equal(noted(s, B, SMQ_GROUP_JOINED), 1);
		end(s);
	}
}

static void leaving_is_confirmed(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct sim *s = with_members(modes[i], 3);
		smq_group_member_leave(s->members[C].m, s->world.now);
		sim_settle(s);
		assert_int_equal(noted(s, C, SMQ_GROUP_LEFT), 1);
		struct sim_message m = sim_sealed(s, B, "13.1"), n;
		assert_int_equal(sim_opened(s, D, &m), SMQ_OK);
		assert_int_equal(sim_opened(s, C, &m), SMQ_ERR_NO_KEY);
		assert_int_equal(sim_try_seal(s, C, "plant/a", &n), SMQ_ERR_NO_SESSION);
		unsigned sent = s->members[C].sent;
		sim_pass(s, 60000);
		assert_int_equal(s->members[C].sent, sent);
		end(s);
	}
}

/* ---- the protocol's promises on numbers ---- */

static void no_counter_is_used_twice_in_a_life(void **state)
{
	(void)state;
	struct sim *s = with_members(SMQ_MODE_SLOTTED, 2);
	uint64_t next = 0;
	for (int i = 0; i < 40; i++) {
		struct sim_message m = sim_sealed(s, B, "13.1");
		struct smq_sealed h;
		assert_int_equal(smq_sealed_decode(smq_span_of(m.bytes, m.len), &h), SMQ_OK);
		assert_int_equal(h.counter, next++);
		assert_int_equal(sim_opened(s, C, &m), SMQ_OK);
		sim_pass(s, 700);
		if (i % 10 == 9) {
			sim_epoch(s);
			sim_settle(s);
		}
	}
	end(s);
}

/* Its own card is gone: other processes of its own have joined since. It joins again, and is known again. */
static void a_publisher_whose_card_is_withdrawn_joins_again(void **state)
{
	(void)state;
	struct smq_ks_topic topic = { SMQ_KS_TOPIC_SENDER, smq_span_str("temps"), 0, 0 };
	char text[SMQ_KS_TOPIC_MAX];
	struct sim *s = with_members(SMQ_MODE_UPDATE, 2);
	sim_pass(s, 5000);
	unsigned sent = s->members[B].sent;
	topic.number = smq_keygroup_find(s->group, smq_span_str(s->world.members[B].name))->sender_id;
	assert_int_equal(smq_ks_topic_write("sealmq/world", &topic, smq_mspan_of((uint8_t *)text, sizeof(text))),
			 SMQ_OK);
	assert_non_null(sim_find(s, text));
	sim_publish(s, text, smq_span_of(NULL, 0), true);
	sim_pass(s, 1000);
	assert_int_equal(s->members[B].sent, sent);
	sim_pass(s, 5000);
	assert_true(s->members[B].sent > sent);
	sent = s->members[B].sent;
	sim_pass(s, 60000); /* once */
	assert_int_equal(s->members[B].sent, sent);
	struct sim_message m = sim_sealed(s, B, "13.1");
	assert_int_equal(sim_opened(s, C, &m), SMQ_OK);
	/* withdrawn while it was away */
	sim_disconnect(s, B);
	sim_publish(s, text, smq_span_of(NULL, 0), true);
	sim_connect(s, B);
	sim_pass(s, 5000);
	assert_true(s->members[B].sent > sent);
	end(s);
}

static void unknown_senders_take_bounded_room(void **state)
{
	(void)state;
	struct sim *s = with_members(SMQ_MODE_UPDATE, 2);
	struct sim_message m = sim_sealed(s, B, "13.1");
	struct smq_sealed h;
	unsigned held = 0, refused = 0;
	for (uint64_t id = 1000; id < 1100; id++) {
		struct sim_message junk = { .topic = m.topic };
		assert_int_equal(smq_sealed_decode(smq_span_of(m.bytes, m.len), &h), SMQ_OK);
		h.sender_id = id;
		assert_int_equal(smq_sealed_encode(&h, smq_mspan_of(junk.bytes, SIM_ROOM), &junk.len), SMQ_OK);
		smq_err err = sim_open_now(s, C, &junk);
		held += err == SMQ_ERR_NO_SESSION;
		refused += err == SMQ_ERR_UNKNOWN_SENDER;
	}
	assert_int_equal(held, 32);
	assert_int_equal(refused, 68);
	sim_pass(s, 11000); /* nobody has such cards: forgotten */
	assert_int_equal(sim_opened(s, C, &m), SMQ_OK);
	end(s);
}

/* More senders than there is room for: those heard least recently make room, and are asked for again. */
static void senders_come_and_go(void **state)
{
	(void)state;
	struct sim *s = begin(SMQ_MODE_UPDATE);
	s->config.lives_max = 8;
	for (int i = B; i <= D; i++)
		sim_up(s, i);
	uint8_t boot_id[SMQ_BOOT_ID_LEN] = { 0 };
	for (uint64_t id = 1; id <= 200; id++) {
		smq_gm_know_sender(s->members[C].m, 1000 + id * id, "somebody", boot_id);
		int from = id % 3 == 0 ? B : D;
		struct sim_message m = sim_sealed(s, from, "13.1");
		assert_int_equal(sim_opened(s, C, &m), SMQ_OK);
	}
	assert_int_equal(s->members[C].m->cards_used, 8);
	end(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_read_each_other),
		cmocka_unit_test(who_is_not_admitted_is_told_so_and_gets_nothing),
		cmocka_unit_test(the_policy_is_the_admins),
		cmocka_unit_test(an_expelled_member_opens_nothing_from_then_on),
		cmocka_unit_test(a_newcomer_opens_nothing_older),
		cmocka_unit_test(an_epoch_is_used_when_it_is_due_and_wiped_after_its_grace),
		cmocka_unit_test(what_was_missed_is_caught_up_with),
		cmocka_unit_test(what_the_broker_lost_is_asked_for),
		cmocka_unit_test(an_older_manifest_after_a_reconnect_is_asked_about),
		cmocka_unit_test(members_of_a_large_tree_spread_their_questions),
		cmocka_unit_test(what_is_played_back_is_refused),
		cmocka_unit_test(another_history_is_noticed),
		cmocka_unit_test(forged_nodes_are_survived),
		cmocka_unit_test(a_restart_goes_on),
		cmocka_unit_test(nothing_is_acted_upon_that_is_not_stored),
		cmocka_unit_test(a_damaged_state_is_refused),
		cmocka_unit_test(an_expired_manifest_stops_the_sealing),
		cmocka_unit_test(a_clock_that_jumps_back_reopens_no_slot),
		cmocka_unit_test(clocks_within_the_bound_lose_nothing),
		cmocka_unit_test(a_clock_that_jumps_back_revives_no_epoch),
		cmocka_unit_test(an_interval_is_kept_to_and_renewed),
		cmocka_unit_test(leaving_is_confirmed),
		cmocka_unit_test(no_counter_is_used_twice_in_a_life),
		cmocka_unit_test(a_publisher_whose_card_is_withdrawn_joins_again),
		cmocka_unit_test(unknown_senders_take_bounded_room),
		cmocka_unit_test(senders_come_and_go),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
