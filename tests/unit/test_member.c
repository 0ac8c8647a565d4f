/* core/member: sessions between members over a broker that may do anything (PROTOCOL.md 5). */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

#include "cmocka_all.h"

#include "base/table.h"
#include "core/member_state.h"
#include "wire/keyex.h"

enum { A, B, C, D, E, F };

static struct world w;

static int set_up(void **state)
{
	(void)state;
	world_init(&w);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	world_done(&w);
	return 0;
}

static void pair_up(int x, int y)
{
	world_up(&w, x);
	world_up(&w, y);
	world_keep(&w, x, y);
	world_keep(&w, y, x);
	world_settle(&w);
	world_pass(&w, 3000, 100);
}

static void flows(int from, int to)
{
	char topic[8];
	unsigned before = w.members[to].received;
	snprintf(topic, sizeof(topic), "%s/t", w.members[to].name);
	assert_true(world_publish(&w, from, to, topic, "hello"));
	world_settle(&w);
	assert_int_equal(w.members[to].received, before + 1);
	assert_string_equal(w.members[to].last_plain, "hello");
	assert_string_equal(w.members[to].last_sender, w.members[from].name);
}

/* ---- lessons: pairwise sessions ---- */

static void publisher_first_works(void **state)
{
	(void)state;
	world_up(&w, A);
	world_keep(&w, A, B);
	world_pass(&w, 20000, 100);
	assert_false(world_publish(&w, A, B, "b/t", "x"));
	assert_int_equal(w.members[A].silent, 1);
	world_up(&w, B);
	world_settle(&w); /* its greeting is enough: nobody waits for a retry */
	flows(A, B);
}

static void subscriber_first_works(void **state)
{
	(void)state;
	world_up(&w, B);
	world_keep(&w, B, A);
	world_pass(&w, 20000, 100);
	world_up(&w, A);
	world_keep(&w, A, B);
	world_settle(&w);
	flows(A, B);
	flows(B, A);
}

static void both_at_once_settle_on_one_session(void **state)
{
	(void)state;
	pair_up(A, B);
	for (int i = 0; i < 5; i++) {
		flows(A, B);
		flows(B, A);
	}
	assert_int_equal(w.members[A].refused + w.members[B].refused, 0);
	assert_int_equal(w.members[A].ready, w.members[B].ready);
}

static void restart_of_the_publisher_is_met_by_a_new_run(void **state)
{
	(void)state;
	pair_up(A, B);
	flows(A, B);
	world_up(&w, A);
	world_keep(&w, A, B);
	world_settle(&w);
	flows(A, B);
	flows(B, A);
}

static void restart_of_the_subscriber_is_met_by_a_new_run(void **state)
{
	(void)state;
	pair_up(A, B);
	flows(A, B);
	world_up(&w, B); /* does not even know that A exists */
	world_settle(&w);
	flows(A, B);
}

static void a_member_that_lost_its_keys_unheard_complains_and_is_met(void **state)
{
	(void)state;
	pair_up(A, B);
	world_up(&w, B);
	w.first += w.count; /* its greeting is lost */
	w.count = 0;
	w.members[B].subscribed = true;
	struct smq_action action;
	while (smq_member_next(w.members[B].m, w.now, &action))
		;
	world_pass(&w, 1100, 100);
	assert_true(world_publish(&w, A, B, "b/t", "lost"));
	world_settle(&w);
	assert_int_equal(w.members[B].last_refusal, SMQ_ERR_NO_KEY);
	flows(A, B);
}

static struct world_message kept[64];
static size_t kept_count;

static bool keep_control(struct world *world, struct world_message *message)
{
	(void)world;
	if (message->control && kept_count < SMQ_COUNT(kept))
		kept[kept_count++] = *message;
	return true;
}

static void a_restarted_party_never_pairs_with_its_own_or_a_retained_key(void **state)
{
	(void)state;
	kept_count = 0;
	w.broker = keep_control;
	pair_up(A, B);
	w.broker = NULL;
	world_down(&w, B);
	world_up(&w, A);
	world_keep(&w, A, B);
	world_settle(&w);
	for (size_t i = 0; i < kept_count; i++) {
		smq_span payload = smq_span_of(kept[i].payload, kept[i].len);
		world_inject(&w, kept[i].topic, payload);
		world_inject(&w, "sealmq/world/keyex/a", payload);
		(void)smq_member_input(w.members[A].m, "sealmq/world/keyex/a", payload, true, w.now);
		world_settle(&w);
	}
	world_pass(&w, 10000, 500);
	assert_false(smq_member_ready(w.members[A].m, "a", w.now));
	assert_false(smq_member_ready(w.members[A].m, "b", w.now));
	assert_int_equal(w.members[A].ready, 1); /* the one before the restart */
}

static void a_member_has_no_session_with_itself(void **state)
{
	(void)state;
	world_up(&w, A);
	assert_int_equal(smq_member_keep(w.members[A].m, "a", w.now), SMQ_ERR_NAME);
	assert_int_equal(smq_member_keep(w.members[A].m, "all", w.now), SMQ_ERR_NAME);
	assert_int_equal(smq_member_keep(w.members[A].m, "x/y", w.now), SMQ_ERR_NAME);
}

static void an_unauthenticated_key_is_refused(void **state)
{
	(void)state;
	w.known[B] = false;
	pair_up(A, B);
	world_pass(&w, 5000, 100);
	assert_false(smq_member_ready(w.members[A].m, "b", w.now));
	assert_true(w.members[A].failed > 0);
	assert_int_equal(w.members[A].last_failure, SMQ_ERR_CERT_CHAIN);
	assert_int_equal(w.members[A].ready, 0);
}

static void an_expired_certificate_is_refused_and_ends_its_session(void **state)
{
	(void)state;
	w.expires_ms[B] = w.now.unix_ms + 60000;
	pair_up(A, B);
	flows(B, A);
	world_pass(&w, 58000, 500);
	assert_true(world_publish(&w, B, A, "a/t", "late"));
	w.now.unix_ms += 60000;
	world_settle(&w);
	assert_int_equal(w.members[A].last_refusal, SMQ_ERR_CERT_EXPIRED);
	assert_false(world_publish(&w, A, B, "b/t", "x"));
	world_pass(&w, 10000, 500);
	assert_int_equal(w.members[A].last_failure, SMQ_ERR_CERT_EXPIRED);
}

static void a_revoked_peer_ends_at_once_and_comes_back_when_vouched_for(void **state)
{
	(void)state;
	pair_up(A, B);
	pair_up(A, C);
	flows(B, A);
	flows(C, A);
	smq_member_review(w.members[A].m, w.now); /* nothing has changed */
	world_settle(&w);
	assert_int_equal(w.members[A].ended, 0);
	assert_true(world_publish(&w, B, A, "a/t", "sealed before"));
	w.known[B] = false;
	smq_member_review(w.members[A].m, w.now);
	assert_false(smq_member_ready(w.members[A].m, "b", w.now));
	unsigned received = w.members[A].received;
	world_settle(&w);
	assert_int_equal(w.members[A].received, received);
	assert_int_equal(w.members[A].last_refusal, SMQ_ERR_NO_KEY);
	assert_int_equal(w.members[A].ended, 1);
	assert_int_equal(w.members[A].last_end, SMQ_ERR_CERT_REVOKED);
	assert_false(world_publish(&w, A, B, "b/t", "x"));
	world_pass(&w, 20000, 500); /* it tries, and is refused */
	assert_false(smq_member_ready(w.members[A].m, "b", w.now));
	flows(C, A);
	flows(A, C);
	w.known[B] = true;
	world_pass(&w, 70000, 500);
	flows(B, A);
	flows(A, B);
	assert_int_equal(w.members[B].missing, 0); /* the numbering went on where it was */
}

/* Revoked at each step of a key exchange: whatever stood half done is gone, and nothing opens. */
static unsigned revoke_at;

static bool revoke_midway(struct world *world, struct world_message *message)
{
	if (message->control && world->seen == revoke_at) {
		world->known[B] = false;
		for (int i = A; i <= B; i++)
			smq_member_review(world->members[i].m, world->now);
	}
	return true;
}

static void revoked_in_the_middle_of_an_exchange(void **state)
{
	(void)state;
	for (revoke_at = 0; revoke_at < 10; revoke_at++) {
		world_down(&w, A);
		world_down(&w, B);
		w.known[B] = true;
		w.broker = revoke_midway;
		w.seen = 0;
		world_up(&w, A);
		world_up(&w, B);
		world_keep(&w, A, B);
		world_pass(&w, 30000, 500);
		w.known[B] = false;
		smq_member_review(w.members[A].m, w.now);
		world_settle(&w);
		unsigned received = w.members[A].received;
		(void)world_publish(&w, B, A, "a/t", "x");
		world_settle(&w);
		assert_int_equal(w.members[A].received, received);
		assert_false(smq_member_ready(w.members[A].m, "b", w.now));
		w.broker = NULL;
	}
}

/* C answers on B's behalf, with its own good certificate: an impostor inside the realm. */
static bool redirect_b_to_c(struct world *world, struct world_message *message)
{
	struct smq_keyex k;
	(void)world;
	if (!message->control || smq_keyex_decode(smq_span_of(message->payload, message->len), &k) != SMQ_OK)
		return true;
	bool to_b = smq_span_equal(k.to, smq_span_str("b"));
	bool from_c = smq_span_equal(k.from, smq_span_str("c"));
	if (to_b)
		k.to = smq_span_str("c");
	if (from_c)
		k.from = smq_span_str("b");
	uint8_t copy[WORLD_PAYLOAD];
	size_t len = 0;
	assert_int_equal(smq_keyex_encode(&k, smq_mspan_of(copy, sizeof(copy)), &len), SMQ_OK);
	memcpy(message->payload, copy, len);
	message->len = len;
	if (to_b)
		snprintf(message->topic, sizeof(message->topic), "sealmq/world/keyex/c");
	return true;
}

static void a_member_with_a_good_certificate_cannot_answer_for_another(void **state)
{
	(void)state;
	w.broker = redirect_b_to_c;
	world_up(&w, A);
	world_up(&w, C);
	world_keep(&w, A, B);
	world_pass(&w, 5000, 100);
	assert_false(smq_member_ready(w.members[A].m, "b", w.now));
	assert_int_equal(w.members[A].last_failure, SMQ_ERR_CERT_NAME);
}

static void only_named_peers_are_answered_where_not_any(void **state)
{
	(void)state;
	w.config.any_peer = false;
	world_up(&w, A);
	w.config.any_peer = true;
	world_up(&w, B);
	world_keep(&w, B, A);
	world_pass(&w, 5000, 100);
	assert_false(smq_member_ready(w.members[B].m, "a", w.now));
	world_keep(&w, A, B);
	world_settle(&w);
	flows(B, A);
}

static void garbage_and_empty_key_messages_harm_nobody(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		size_t len;
	} rows[] = { { "", 0 },
		     { "\0", 1 },
		     { "{}", 2 },
		     { "\x86", 1 },
		     { "\x86\x01\x01\x61z\x61z\x40\x40", 8 },
		     { "\x9f\x01\xff", 3 },
		     { "-----BEGIN PUBLIC KEY-----", 26 } };
	pair_up(A, B);
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		world_inject(&w, "sealmq/world/keyex/a", smq_span_of(rows[i].bytes, rows[i].len));
		world_inject(&w, "sealmq/world/keyex/all", smq_span_of(rows[i].bytes, rows[i].len));
		world_inject(&w, "a/t", smq_span_of(rows[i].bytes, rows[i].len));
	}
	srand(7);
	for (int i = 0; i < 2000; i++) {
		uint8_t junk[300];
		for (size_t j = 0; j < sizeof(junk); j++)
			junk[j] = (uint8_t)rand();
		world_inject(&w, i % 2 ? "sealmq/world/keyex/b" : "b/t",
			     smq_span_of(junk, (size_t)rand() % sizeof(junk)));
		if (i % 100 == 0)
			world_settle(&w);
	}
	world_settle(&w);
	assert_int_equal(w.members[A].received + w.members[B].received, 0);
	flows(A, B);
	flows(B, A);
}

/* Every key-exchange message is also delivered with each of its bits flipped, before the genuine one. */
static bool flip_every_bit(struct world *world, struct world_message *message)
{
	if (!message->control || message->from < 0)
		return true;
	for (size_t bit = 0; bit < 8 * message->len; bit += 3) {
		struct world_member *to = &world->members[message->from == A ? B : A];
		message->payload[bit / 8] ^= (uint8_t)(1u << bit % 8);
		(void)smq_member_input(to->m, message->topic, smq_span_of(message->payload, message->len), false,
				       world->now);
		message->payload[bit / 8] ^= (uint8_t)(1u << bit % 8);
		struct smq_action action;
		while (smq_member_next(to->m, world->now, &action))
			; /* what it answers to that goes nowhere */
	}
	return true;
}

static void flipped_key_messages_do_not_stop_the_genuine_ones(void **state)
{
	(void)state;
	world_up(&w, A);
	world_up(&w, B);
	world_settle(&w);
	w.broker = flip_every_bit;
	world_keep(&w, A, B);
	world_settle(&w);
	w.broker = NULL;
	world_pass(&w, 8000, 250);
	flows(A, B);
	assert_true(w.members[A].ready <= 3);
}

static void rotation_every_second_loses_and_refuses_nothing(void **state)
{
	(void)state;
	w.config.rotate_every_ms = 1000;
	pair_up(A, B);
	for (int i = 0; i < 300 * 20; i++) {
		/* messages are under way while keys change: published now, delivered with the next step */
		assert_true(world_publish(&w, A, B, "b/t", "x"));
		assert_true(world_publish(&w, B, A, "a/t", "y"));
		w.now.mono_ms += 50;
		w.now.unix_ms += 50;
		if (i % 3 == 0)
			world_settle(&w);
	}
	world_settle(&w);
	print_message("# 300 s at 1 s rotation: %u + %u sent, %u + %u opened, %u refused, %u sessions, %u wiped\n",
		      w.members[A].sent, w.members[B].sent, w.members[B].received, w.members[A].received,
		      w.members[A].refused + w.members[B].refused, w.members[A].ready, w.members[A].wiped);
	assert_int_equal(w.members[B].received, w.members[A].sent);
	assert_int_equal(w.members[A].received, w.members[B].sent);
	assert_int_equal(w.members[A].refused + w.members[B].refused, 0);
	assert_int_equal(w.members[A].missing + w.members[B].missing, 0);
	assert_true(w.members[A].ready > 200);
	assert_true(w.members[A].wiped + 6 > w.members[A].ready);
}

/* A and B publish to each other from one process each, and read in another one of the same name. */
static void two_processes_of_a_name_write_and_read_at_once(void **state)
{
	enum { A_READS = 2, B_READS = 3 };
	(void)state;
	w.process_of[A_READS] = A + 1;
	w.process_of[B_READS] = B + 1;
	w.config.rotate_every_ms = 1000;
	w.config.role = SMQ_MEMBER_WRITER;
	world_up(&w, A);
	world_up(&w, B);
	w.members[A].subscribed = w.members[B].subscribed = true;
	w.config.role = SMQ_MEMBER_READER;
	world_up(&w, A_READS);
	world_up(&w, B_READS);
	world_keep(&w, A, B);
	world_keep(&w, B, A);
	world_settle(&w);
	for (int i = 0; i < 60 * 20; i++) {
		assert_true(world_publish(&w, A, B, "b/t", "x"));
		assert_true(world_publish(&w, B, A, "a/t", "y"));
		world_pass(&w, 50, 50);
	}
	assert_int_equal(w.members[B_READS].received, w.members[A].sent);
	assert_int_equal(w.members[A_READS].received, w.members[B].sent);
	assert_int_equal(w.members[A_READS].refused + w.members[B_READS].refused, 0);
	assert_int_equal(w.members[A_READS].missing + w.members[B_READS].missing, 0);
	assert_true(w.members[A].ready >= 55 && w.members[B].ready >= 55);
}

/* Two publishers under one name: the keys of the one outlive the arrival of the other. */
static void two_writers_of_a_name_do_not_cut_each_other_off(void **state)
{
	enum { A_TOO = 2 };
	(void)state;
	w.process_of[A_TOO] = A + 1;
	w.config.role = SMQ_MEMBER_READER;
	world_up(&w, B);
	w.config.role = SMQ_MEMBER_WRITER;
	world_up(&w, A);
	world_keep(&w, A, B);
	world_settle(&w);
	flows(A, B);
	world_up(&w, A_TOO);
	world_keep(&w, A_TOO, B);
	world_settle(&w);
	for (int i = 0; i < 700; i++) {
		flows(A_TOO, B);
		flows(A, B);
		world_pass(&w, 1000, 500);
	}
	assert_int_equal(w.members[B].refused, 0);
	assert_int_equal(w.members[A].ready, 3);
}

/* A reader begins no run, so a writer that comes back to one that was away is called. */
static void a_reader_that_comes_back_is_written_to_at_once(void **state)
{
	(void)state;
	w.config.role = SMQ_MEMBER_WRITER;
	world_up(&w, A);
	world_keep(&w, A, B);
	world_pass(&w, 100000, 500);
	w.config.role = SMQ_MEMBER_READER;
	world_up(&w, B);
	world_settle(&w);
	flows(A, B);
	smq_member_offline(w.members[B].m);
	w.members[B].subscribed = false;
	world_pass(&w, 2000000, 1000);
	assert_false(world_publish(&w, A, B, "b/t", "x"));
	w.members[B].subscribed = true;
	smq_member_online(w.members[B].m, w.now);
	world_settle(&w);
	flows(A, B);
}

/* A writer answers nothing, so a member of the smaller name that is both must answer it. */
static void a_writer_and_a_member_that_is_both_meet(void **state)
{
	(void)state;
	world_up(&w, A);
	w.config.role = SMQ_MEMBER_WRITER;
	world_up(&w, B);
	world_keep(&w, A, B);
	world_keep(&w, B, A);
	world_settle(&w); /* and without waiting for anybody's next attempt */
	flows(B, A);
}

static void a_message_budget_rotates_too(void **state)
{
	(void)state;
	w.config.rotate_messages = 10;
	pair_up(A, B);
	unsigned before = w.members[A].ready;
	for (int i = 0; i < 100; i++)
		flows(B, A);
	assert_true(w.members[A].ready >= before + 9);
	assert_int_equal(w.members[A].refused, 0);
}

static void a_long_life_outlives_any_single_key(void **state)
{
	(void)state;
	pair_up(A, B);
	/* Counters go on over sessions; the limit of an algorithm is on the seals of one key. */
	struct peer *b = smq_peer_find(w.members[A].m, smq_span_str("b"));
	w.members[A].m->sessions[b->active].sealer.next_counter = UINT64_C(1) << 33;
	w.members[A].m->sessions[b->active].sealer.first_counter = UINT64_C(1) << 33;
	flows(A, B);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(smq_member_rotate(w.members[A].m, "b"), SMQ_OK);
		world_settle(&w);
		flows(A, B);
	}
	assert_true(w.members[A].m->sessions[b->active].sealer.next_counter == (UINT64_C(1) << 33) + 4);
	assert_int_equal(w.members[B].refused, 0);
}

static void more_than_two_parties(void **state)
{
	(void)state;
	for (int i = A; i <= F; i++)
		world_up(&w, i);
	for (int i = A; i <= F; i++) {
		for (int j = A; j <= F; j++) {
			if (i != j)
				world_keep(&w, i, j);
		}
	}
	world_settle(&w);
	world_pass(&w, 12000, 100);
	for (int i = A; i <= F; i++) {
		for (int j = A; j <= F; j++) {
			if (i != j)
				flows(i, j);
		}
	}
}

/* ---- a broker that cheats ---- */

static bool keep_data(struct world *world, struct world_message *message)
{
	(void)world;
	if (!message->control && kept_count < SMQ_COUNT(kept))
		kept[kept_count++] = *message;
	return true;
}

static void a_replay_is_refused(void **state)
{
	(void)state;
	pair_up(A, B);
	kept_count = 0;
	w.broker = keep_data;
	flows(A, B);
	w.broker = NULL;
	for (int i = 0; i < 5; i++)
		world_inject(&w, kept[0].topic, smq_span_of(kept[0].payload, kept[0].len));
	world_settle(&w);
	assert_int_equal(w.members[B].refused, 5);
	assert_int_equal(w.members[B].last_refusal, SMQ_ERR_REPLAY);
	assert_int_equal(w.members[B].received, 1);
}

static void yesterdays_messages_have_no_key(void **state)
{
	(void)state;
	pair_up(A, B);
	kept_count = 0;
	w.broker = keep_data;
	flows(A, B);
	w.broker = NULL;
	world_pass(&w, 24 * 3600 * 1000, 60000);
	world_inject(&w, kept[0].topic, smq_span_of(kept[0].payload, kept[0].len));
	world_settle(&w);
	assert_int_equal(w.members[B].last_refusal, SMQ_ERR_NO_KEY);
	assert_true(w.members[B].ready > 250);
}

static void a_moved_message_is_named_as_such(void **state)
{
	(void)state;
	pair_up(A, B);
	flows(A, B); /* on b/t */
	kept_count = 0;
	w.broker = keep_data;
	assert_true(world_publish(&w, A, B, "b/t", "open the gate"));
	world_settle(&w);
	w.broker = NULL;
	/* not a replay of the topic it was sent to, but the same bytes on another one */
	world_inject(&w, "b/gate", smq_span_of(kept[0].payload, kept[0].len));
	world_settle(&w);
	assert_int_equal(w.members[B].last_refusal, SMQ_ERR_REPLAY); /* delivered already: the window speaks first */

	assert_true(world_publish(&w, A, B, "b/t", "open the gate"));
	struct world_message *m = &w.queue[w.first];
	snprintf(m->topic, sizeof(m->topic), "b/gate");
	world_settle(&w);
	assert_int_equal(w.members[B].last_refusal, SMQ_ERR_MOVED);
	assert_string_equal(w.members[B].moved_from, "b/t");
}

static void every_flip_and_cut_of_a_sealed_message_is_refused(void **state)
{
	(void)state;
	pair_up(A, B);
	assert_true(world_publish(&w, A, B, "b/t", "flip me"));
	struct world_message genuine = w.queue[w.first];
	w.count = 0;
	uint8_t altered[WORLD_PAYLOAD];
	for (size_t bit = 0; bit < 8 * genuine.len; bit++) {
		memcpy(altered, genuine.payload, genuine.len);
		altered[bit / 8] ^= (uint8_t)(1u << bit % 8);
		world_inject(&w, genuine.topic, smq_span_of(altered, genuine.len));
	}
	for (size_t len = 0; len < genuine.len; len++)
		world_inject(&w, genuine.topic, smq_span_of(genuine.payload, len));
	memcpy(altered, genuine.payload, genuine.len);
	world_inject(&w, genuine.topic, smq_span_of(altered, genuine.len + 1));
	world_settle(&w);
	assert_int_equal(w.members[B].received, 0);
	world_inject(&w, genuine.topic, smq_span_of(genuine.payload, genuine.len));
	world_settle(&w);
	assert_int_equal(w.members[B].received, 1);
	print_message("# sealed %zu bytes over the plaintext\n", genuine.len - strlen("flip me"));
	assert_true(genuine.len - strlen("flip me") <= 24);
}

static bool reflect(struct world *world, struct world_message *message)
{
	if (!message->control && message->topic[0] == 'b')
		world_inject(world, "a/t", smq_span_of(message->payload, message->len));
	return true;
}

static void a_reflected_message_does_not_open(void **state)
{
	(void)state;
	pair_up(A, B);
	w.broker = reflect;
	flows(A, B);
	assert_int_equal(w.members[A].received, 0);
	assert_int_equal(w.members[A].refused, 1);
}

static unsigned drop_nth, control_seen;

static bool drop_one(struct world *world, struct world_message *message)
{
	(void)world;
	return !message->control || ++control_seen != drop_nth;
}

static void any_lost_key_message_heals(void **state)
{
	(void)state;
	for (drop_nth = 1; drop_nth <= 8; drop_nth++) {
		world_down(&w, A);
		world_down(&w, B);
		control_seen = 0;
		w.broker = drop_one;
		world_up(&w, A);
		world_up(&w, B);
		world_keep(&w, A, B);
		world_pass(&w, 8000, 100);
		flows(A, B);
		flows(B, A);
	}
}

static bool twice(struct world *world, struct world_message *message)
{
	if (message->from >= 0)
		world_inject(world, message->topic, smq_span_of(message->payload, message->len));
	return true;
}

static void a_broker_that_sends_everything_twice_changes_nothing(void **state)
{
	(void)state;
	w.broker = twice;
	pair_up(A, B);
	flows(A, B);
	flows(B, A);
	assert_int_equal(w.members[A].refused + w.members[B].refused, 2);
	assert_int_equal(w.members[A].last_refusal, SMQ_ERR_REPLAY);
}

static void gaps_are_counted(void **state)
{
	(void)state;
	pair_up(A, B);
	flows(A, B);
	assert_true(world_publish(&w, A, B, "b/t", "1"));
	assert_true(world_publish(&w, A, B, "b/t", "2"));
	assert_true(world_publish(&w, A, B, "b/t", "3"));
	w.first = (w.first + 3) % WORLD_QUEUE;
	w.count = 0;
	assert_int_equal(w.members[B].missing, 0);
	flows(A, B);
	assert_int_equal(w.members[B].missing, 3);
}

static void a_flood_of_key_messages_stays_bounded_and_honest_members_work(void **state)
{
	(void)state;
	uint8_t room[512];
	size_t len = 0;
	pair_up(A, B);
	for (int i = 0; i < 3000; i++) {
		char name[16];
		snprintf(name, sizeof(name), "junk%d", i);
		uint8_t body[37] = { 0x00, 0x02, 0x58, 0x20, [4] = (uint8_t)i, [5] = (uint8_t)(i >> 8), [36] = 0x0a };
		struct smq_keyex k = { SMQ_KEYEX_MESSAGE_1, smq_span_str("b"), smq_span_str(name),
				       smq_span_of("\1\2\3\4", 4), smq_span_of(body, sizeof(body)) };
		assert_int_equal(smq_keyex_encode(&k, smq_mspan_of(room, sizeof(room)), &len), SMQ_OK);
		world_inject(&w, "sealmq/world/keyex/b", smq_span_of(room, len));
		if (i % 50 == 0) {
			world_pass(&w, 10, 10);
			flows(A, B);
		}
	}
	world_settle(&w);
	world_up(&w, C);
	world_keep(&w, C, B);
	world_pass(&w, 5000, 100);
	flows(C, B);
}

static void a_clock_jump_moves_no_timer(void **state)
{
	(void)state;
	pair_up(A, B);
	unsigned before = w.members[A].ready;
	w.now.unix_ms += INT64_C(10) * 365 * 86400 * 1000;
	world_settle(&w);
	flows(A, B);
	w.now.unix_ms -= INT64_C(20) * 365 * 86400 * 1000;
	world_settle(&w);
	flows(B, A);
	assert_int_equal(w.members[A].ready, before);
}

static void keys_that_nobody_renews_stop_sealing(void **state)
{
	(void)state;
	pair_up(A, B);
	world_down(&w, B);
	world_pass(&w, 3 * 300 * 1000 - 10000, 1000);
	assert_true(world_publish(&w, A, B, "b/t", "still"));
	world_pass(&w, 10000, 1000);
	assert_false(world_publish(&w, A, B, "b/t", "too old"));
}

static void one_shared_key_topic_works_as_well(void **state)
{
	(void)state;
	w.config.keyex_topic = "ton_iot/keyex";
	for (int i = A; i <= C; i++)
		world_up(&w, i);
	world_keep(&w, A, B);
	world_keep(&w, C, B);
	world_settle(&w);
	world_pass(&w, 3000, 100);
	flows(A, B);
	flows(C, B);
}

static void every_method_pairs_up(void **state)
{
	(void)state;
	for (int method = 0; method <= 3; method++) {
		world_down(&w, A);
		world_down(&w, B);
		w.config.method = method;
		w.config.methods_allowed = 0x0f;
		pair_up(A, B);
		flows(A, B);
		flows(B, A);
		print_message("# method %d: %zu bytes for a key exchange by kid, envelopes included\n", method,
			      w.members[A].wire_bytes);
	}
}

static void algorithms_are_those_of_the_sender_where_the_receiver_allows_them(void **state)
{
	(void)state;
	static const int algs[] = { SMQ_A128GCM, SMQ_A256GCM, SMQ_CHACHA20_POLY1305 };
	for (size_t i = 0; i < SMQ_COUNT(algs); i++) {
		world_down(&w, A);
		world_down(&w, B);
		w.config.algorithm = algs[i];
		world_up(&w, A);
		w.config.algorithm = SMQ_A128GCM;
		world_up(&w, B);
		world_keep(&w, A, B);
		world_pass(&w, 2000, 100);
		flows(A, B);
		flows(B, A);
	}
	w.config.accept_algorithms = 1u << SMQ_A256GCM;
	world_up(&w, B);
	world_pass(&w, 5000, 100);
	assert_false(world_publish(&w, B, A, "a/t", "x"));
	assert_int_equal(w.members[B].last_failure, SMQ_ERR_ALGORITHM);
}

static void two_lives_of_a_member_never_share_a_key(void **state)
{
	(void)state;
	uint8_t first[16];
	pair_up(A, B);
	memcpy(first, smq_member_boot_id(w.members[A].m), 16);
	kept_count = 0;
	w.broker = keep_data;
	flows(A, B);
	world_up(&w, A);
	world_keep(&w, A, B);
	world_settle(&w);
	flows(A, B);
	assert_memory_not_equal(first, smq_member_boot_id(w.members[A].m), 16);
	assert_memory_not_equal(kept[0].payload, kept[1].payload, kept[0].len);
}

#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(publisher_first_works),
		WORLD_TEST(subscriber_first_works),
		WORLD_TEST(both_at_once_settle_on_one_session),
		WORLD_TEST(restart_of_the_publisher_is_met_by_a_new_run),
		WORLD_TEST(restart_of_the_subscriber_is_met_by_a_new_run),
		WORLD_TEST(a_member_that_lost_its_keys_unheard_complains_and_is_met),
		WORLD_TEST(a_restarted_party_never_pairs_with_its_own_or_a_retained_key),
		WORLD_TEST(a_member_has_no_session_with_itself),
		WORLD_TEST(an_unauthenticated_key_is_refused),
		WORLD_TEST(a_revoked_peer_ends_at_once_and_comes_back_when_vouched_for),
		WORLD_TEST(revoked_in_the_middle_of_an_exchange),
		WORLD_TEST(an_expired_certificate_is_refused_and_ends_its_session),
		WORLD_TEST(a_member_with_a_good_certificate_cannot_answer_for_another),
		WORLD_TEST(only_named_peers_are_answered_where_not_any),
		WORLD_TEST(garbage_and_empty_key_messages_harm_nobody),
		WORLD_TEST(flipped_key_messages_do_not_stop_the_genuine_ones),
		WORLD_TEST(rotation_every_second_loses_and_refuses_nothing),
		WORLD_TEST(two_processes_of_a_name_write_and_read_at_once),
		WORLD_TEST(two_writers_of_a_name_do_not_cut_each_other_off),
		WORLD_TEST(a_reader_that_comes_back_is_written_to_at_once),
		WORLD_TEST(a_writer_and_a_member_that_is_both_meet),
		WORLD_TEST(a_message_budget_rotates_too),
		WORLD_TEST(a_long_life_outlives_any_single_key),
		WORLD_TEST(more_than_two_parties),
		WORLD_TEST(a_replay_is_refused),
		WORLD_TEST(yesterdays_messages_have_no_key),
		WORLD_TEST(a_moved_message_is_named_as_such),
		WORLD_TEST(every_flip_and_cut_of_a_sealed_message_is_refused),
		WORLD_TEST(a_reflected_message_does_not_open),
		WORLD_TEST(any_lost_key_message_heals),
		WORLD_TEST(a_broker_that_sends_everything_twice_changes_nothing),
		WORLD_TEST(gaps_are_counted),
		WORLD_TEST(a_flood_of_key_messages_stays_bounded_and_honest_members_work),
		WORLD_TEST(a_clock_jump_moves_no_timer),
		WORLD_TEST(keys_that_nobody_renews_stop_sealing),
		WORLD_TEST(one_shared_key_topic_works_as_well),
		WORLD_TEST(every_method_pairs_up),
		WORLD_TEST(algorithms_are_those_of_the_sender_where_the_receiver_allows_them),
		WORLD_TEST(two_lives_of_a_member_never_share_a_key),
	};
	return cmocka_run_group_tests_name("member", tests, NULL, NULL);
}
