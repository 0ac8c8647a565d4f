/* app/keyserver: admission, epochs, and what must survive (PROTOCOL.md 7). */
#include <stdio.h>
#include <stdlib.h>

#include "cmocka_all.h"

#include <sealmq/client.h>

#include "app/keyserver_inner.h"
#include "base/table.h"
#include "core/policy.h"
#include "core/slots.h"
#include "keyserver_rig.h"
#include "wire/sender_card.h"
#include "wire/sign1.h"

enum { A = RIG_FIRST, B, C, D };

static struct rig *r;

static int start(void **state)
{
	(void)state;
	r = rig_new(RIG_PEERS);
	assert_true(rig_start(r, 0));
	return 0;
}

static int stop(void **state)
{
	(void)state;
	rig_free(r);
	return 0;
}

static void make(enum smq_policy_mode mode)
{
	struct smq_policy p = rig_policy("g", mode);
	assert_int_equal(rig_set_policy(r, &p), SMQ_OK);
}

static void rotate_twice(void)
{
	for (int i = 0; i < 2; i++) {
		struct smq_ks_request q = rig_request(SMQ_KS_ROTATE, "g");
		assert_int_equal(rig_asked(r, RIG_ADMIN, &q), SMQ_OK);
	}
}

static void joined(int peer) { assert_int_equal(rig_join(r, peer, "g"), SMQ_OK); }

static uint64_t kept(enum smq_ks_item kind)
{
	uint64_t n = 0;
	for (size_t i = 0; i < r->stores[0].durable.count; i++)
		n += r->stores[0].durable.items[i].kind == kind;
	return n;
}

/* ---- each mode ---- */

static void static_groups_grant_at_once_and_move_nothing(void **state)
{
	(void)state;
	make(SMQ_MODE_STATIC);
	assert_int_equal(rig_epoch(r, "g"), 1);
	joined(A);
	joined(B);
	assert_int_equal(rig_epoch(r, "g"), 1);
	assert_int_equal(r->peers[A].grant.sender_id, 1);
	assert_int_equal(r->peers[B].grant.sender_id, 2);
	assert_true(rig_same_keys(r, A, B, "g"));
	assert_int_equal(rig_leave(r, A, "g"), SMQ_OK);
	assert_int_equal(rig_epoch(r, "g"), 1);
}

static void update_groups_grant_after_the_epoch(void **state)
{
	(void)state;
	make(SMQ_MODE_UPDATE);
	joined(A);
	assert_int_equal(rig_epoch(r, "g"), 2);
	assert_int_equal(r->peers[A].grant.epoch, 2);
	joined(B);
	assert_int_equal(rig_epoch(r, "g"), 3);
	assert_true(rig_same_keys(r, A, B, "g"));
	assert_int_equal(rig_leave(r, A, "g"), SMQ_OK);
	assert_int_equal(rig_epoch(r, "g"), 4);
	assert_int_not_equal(rig_follow(r, A, "g"), SMQ_OK);
	assert_int_equal(rig_follow(r, B, "g"), SMQ_OK);
}

static void slotted_groups_give_seeds_for_exactly_the_interval(void **state)
{
	(void)state;
	struct smq_slot_seeds seeds;
	struct smq_slot_holder holder;
	struct smq_slot_key key;
	make(SMQ_MODE_SLOTTED);
	rig_pass(r, 25000, 5000); /* slot 2 */
	struct smq_ks_request q = rig_join_request(r, A, "g");
	q.until_ms = q.from_ms + 30000;
	assert_int_equal(rig_asked(r, A, &q), SMQ_OK);
	rig_take_grant(r, A, "g");
	struct rig_peer *p = &r->peers[A];
	assert_int_equal(p->grant.tree_count, 1);
	assert_int_equal(smq_slot_seeds_decode(p->grant.trees[0].seeds, 16, &seeds), SMQ_OK);
	assert_true(seeds.count <= 32);
	assert_int_equal(smq_slot_holder_init(&holder, smq_crypto_openssl(), 0, 16, 0, &seeds), SMQ_OK);
	const struct {
		uint64_t slot;
		smq_err err;
	} rows[] = { { 1, SMQ_ERR_NO_KEY }, { 2, SMQ_OK }, { 3, SMQ_OK }, { 5, SMQ_OK }, { 6, SMQ_ERR_NO_KEY } };
	for (size_t i = 0; i < SMQ_COUNT(rows); i++)
		assert_int_equal(smq_slot_holder_key(&holder, rows[i].slot, &key), rows[i].err);
	smq_slot_holder_done(&holder);
	/* the foreseen leave is not heard of by anybody */
	uint64_t sent = r->sent;
	struct smq_ks_request fetch = rig_request(SMQ_KS_FETCH, "g");
	rig_pass(r, 4000, 1000);
	sent = r->servers[0].epochs;
	rig_pass(r, 40000, 1000);
	assert_int_equal(r->servers[0].epochs, sent);
	assert_int_equal(rig_asked(r, A, &fetch), SMQ_ERR_NOT_AUTHORIZED);
}

/* ---- expulsion ---- */

static void an_expelled_member_cannot_follow(enum smq_policy_mode mode)
{
	make(mode);
	joined(A);
	joined(B);
	joined(C);
	uint64_t before = rig_epoch(r, "g");
	assert_int_equal(rig_expel(r, B, "g"), SMQ_OK);
	assert_true(rig_epoch(r, "g") > before);
	assert_int_not_equal(rig_follow(r, B, "g"), SMQ_OK);
	assert_true(rig_same_keys(r, A, C, "g"));
	/* nor does it come back with the same certificate, be it after a restart of either */
	r->peers[B].boot_id[3]++;
	assert_int_equal(rig_join(r, B, "g"), SMQ_ERR_NOT_AUTHORIZED);
	rig_restart(r, 0);
	assert_int_equal(rig_join(r, B, "g"), SMQ_ERR_NOT_AUTHORIZED);
	r->peers[B].credential.id[1]++; /* a new one */
	joined(B);
	assert_true(rig_same_keys(r, A, B, "g"));
}

static void expelled_static(void **state)
{
	(void)state;
	an_expelled_member_cannot_follow(SMQ_MODE_STATIC);
}
static void expelled_update(void **state)
{
	(void)state;
	an_expelled_member_cannot_follow(SMQ_MODE_UPDATE);
}
static void expelled_slotted(void **state)
{
	(void)state;
	an_expelled_member_cannot_follow(SMQ_MODE_SLOTTED);
}

static void expulsion_from_every_group_is_one_transaction(void **state)
{
	(void)state;
	struct smq_policy p = rig_policy("g", SMQ_MODE_STATIC), q = rig_policy("h", SMQ_MODE_UPDATE);
	assert_int_equal(rig_set_policy(r, &p), SMQ_OK);
	assert_int_equal(rig_set_policy(r, &q), SMQ_OK);
	assert_int_equal(rig_join(r, A, "g"), SMQ_OK);
	assert_int_equal(rig_join(r, A, "h"), SMQ_OK);
	uint64_t g = rig_epoch(r, "g"), h = rig_epoch(r, "h");
	assert_int_equal(rig_expel(r, A, ""), SMQ_OK);
	assert_int_equal(rig_epoch(r, "g"), g + 1);
	assert_int_equal(rig_epoch(r, "h"), h + 1);
	assert_int_equal(rig_join(r, A, "g"), SMQ_ERR_NOT_AUTHORIZED);
	assert_int_equal(rig_join(r, A, "h"), SMQ_ERR_NOT_AUTHORIZED);
	assert_int_equal(rig_expel(r, B, ""), SMQ_ERR_NOT_FOUND);
}

/* Asked for twice, before and after a restart of the key server, from one group and from all. */
static void an_expulsion_once_more_is_no_mistake(void **state)
{
	(void)state;
	struct smq_policy p = rig_policy("g", SMQ_MODE_STATIC), q = rig_policy("h", SMQ_MODE_UPDATE);
	assert_int_equal(rig_set_policy(r, &p), SMQ_OK);
	assert_int_equal(rig_set_policy(r, &q), SMQ_OK);
	assert_int_equal(rig_join(r, A, "g"), SMQ_OK);
	assert_int_equal(rig_expel(r, A, "g"), SMQ_OK);
	assert_string_equal(r->peers[RIG_ADMIN].text, "");
	uint64_t epoch = rig_epoch(r, "g");
	for (int i = 0; i < 2; i++) {
		assert_int_equal(rig_expel(r, A, "g"), SMQ_OK);
		assert_string_equal(r->peers[RIG_ADMIN].text, "is expelled already");
		rig_restart(r, 0);
		rig_pass(r, 3000, 100);
	}
	assert_int_equal(rig_expel(r, A, "h"), SMQ_ERR_NOT_FOUND);
	assert_int_equal(rig_expel(r, B, "g"), SMQ_ERR_NOT_FOUND);
	assert_string_equal(r->peers[RIG_ADMIN].text, "no such member");
	assert_int_equal(rig_join(r, A, "h"), SMQ_OK);
	assert_int_equal(rig_leave(r, A, "h"), SMQ_OK);
	assert_int_equal(rig_leave(r, A, "h"), SMQ_OK); /* so is a leave */
	/* it is in no group any more, and all of them are closed to it by what one of them knows */
	assert_int_equal(rig_expel(r, A, ""), SMQ_OK);
	rig_restart(r, 0);
	rig_pass(r, 3000, 100);
	assert_int_equal(rig_join(r, A, "h"), SMQ_ERR_NOT_AUTHORIZED);
	assert_int_equal(rig_epoch(r, "g"), epoch);
}

static void a_revoked_certificate_ends_membership(void **state)
{
	(void)state;
	make(SMQ_MODE_STATIC);
	joined(A);
	joined(B);
	r->peers[A].revoked = true;
	rig_pass(r, 1000, 100);
	assert_int_equal(rig_epoch(r, "g"), 2);
	assert_int_not_equal(rig_follow(r, A, "g"), SMQ_OK);
	assert_int_equal(rig_follow(r, B, "g"), SMQ_OK);
}

/* ---- admission ---- */

static void refusals(void **state)
{
	(void)state;
	struct smq_policy p = rig_policy("g", SMQ_MODE_STATIC);
	p.publishers[0] = (struct smq_policy_rule){ smq_span_str("m03"), SMQ_ROLE_MEMBER };
	p.subscribers[0] = (struct smq_policy_rule){ smq_span_str("m0?"), SMQ_ROLE_MEMBER };
	p.members_max = 2;
	p.lease_s = 3600;
	assert_int_equal(rig_set_policy(r, &p), SMQ_OK);
	struct {
		const char *what;
		int peer;
		const char *group;
		unsigned roles;
		int64_t from, until; /* from now on */
		smq_err err;
		unsigned granted;
	} rows[] = {
		{ "no such group", A, "h", 3, 0, 1000, SMQ_ERR_NOT_FOUND, 0 },
		{ "may do neither", 10, "g", 3, 0, 1000, SMQ_ERR_NOT_AUTHORIZED, 0 },
		{ "has another role", RIG_ADMIN, "g", 2, 0, 1000, SMQ_ERR_NOT_AUTHORIZED, 0 },
		{ "may not publish", B, "g", 1, 0, 1000, SMQ_ERR_NOT_AUTHORIZED, 0 },
		{ "is granted what it may", B, "g", 3, 0, 1000, SMQ_OK, 2 },
		{ "may both", A, "g", 3, 0, 1000000000, SMQ_OK, 3 },
		{ "no room left", C, "g", 3, 0, 1000, SMQ_ERR_FULL, 0 },
		{ "an interval that has passed", A, "g", 3, -2000, -1000, SMQ_ERR_USAGE, 0 },
	};
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		struct smq_ks_request q = rig_join_request(r, rows[i].peer, rows[i].group);
		q.roles = rows[i].roles;
		q.from_ms = rig_time.unix_ms + rows[i].from;
		q.until_ms = rig_time.unix_ms + rows[i].until;
		int64_t at = rig_time.unix_ms;
		smq_err err = rig_asked(r, rows[i].peer, &q);
		if (err != rows[i].err)
			fail_msg("%s: %s (%s)", rows[i].what, smq_err_name(err), r->peers[rows[i].peer].text);
		if (err != SMQ_OK)
			continue;
		rig_take_grant(r, rows[i].peer, "g");
		assert_int_equal(r->peers[rows[i].peer].grant.roles, rows[i].granted);
		assert_true(r->peers[rows[i].peer].grant.until_ms <= at + 3600 * 1000 + 2000);
	}
	assert_true(r->stores[0].lines > 6);
}

static void only_admins_administrate(void **state)
{
	(void)state;
	make(SMQ_MODE_STATIC);
	joined(A);
	static const enum smq_ks_what whats[] = { SMQ_KS_LIST, SMQ_KS_SHOW, SMQ_KS_MEMBERS, SMQ_KS_ROTATE };
	for (size_t i = 0; i < SMQ_COUNT(whats); i++) {
		struct smq_ks_request q = rig_request(whats[i], whats[i] == SMQ_KS_LIST ? "" : "g");
		assert_int_equal(rig_asked(r, A, &q), SMQ_ERR_NOT_AUTHORIZED);
		assert_int_equal(rig_asked(r, RIG_ADMIN, &q), SMQ_OK);
	}
	struct smq_ks_request none = rig_request(SMQ_KS_SHOW, "nobody");
	assert_int_equal(rig_asked(r, RIG_ADMIN, &none), SMQ_ERR_NOT_FOUND);
	assert_int_equal(rig_epoch(r, "g"), 2);
	assert_int_equal(rig_follow(r, A, "g"), SMQ_OK);
}

static void lists_come_in_pages(void **state)
{
	(void)state;
	struct smq_ks_group_line lines[SMQ_KS_PAGE];
	struct smq_ks_member_line members[SMQ_KS_PAGE];
	size_t count = 0;
	uint64_t next = 0;
	for (int i = 0; i < 70; i++) {
		char name[16];
		snprintf(name, sizeof(name), "g%02d", i);
		struct smq_policy p = rig_policy(name, SMQ_MODE_STATIC);
		assert_int_equal(rig_set_policy(r, &p), SMQ_OK);
	}
	struct smq_ks_request q = rig_request(SMQ_KS_LIST, "");
	assert_int_equal(rig_asked(r, RIG_ADMIN, &q), SMQ_OK);
	smq_span body = smq_span_of(r->peers[RIG_ADMIN].body, r->peers[RIG_ADMIN].body_len);
	assert_int_equal(smq_ks_list_decode(body, lines, &count, &next), SMQ_OK);
	assert_int_equal(count, SMQ_KS_PAGE);
	assert_true(smq_span_equal(lines[63].group, smq_span_str("g63")));
	q.offset = next;
	assert_int_equal(rig_asked(r, RIG_ADMIN, &q), SMQ_OK);
	body = smq_span_of(r->peers[RIG_ADMIN].body, r->peers[RIG_ADMIN].body_len);
	assert_int_equal(smq_ks_list_decode(body, lines, &count, &next), SMQ_OK);
	assert_int_equal(count, 6);
	assert_true(next == SMQ_KS_NO_MORE);
	for (int i = A; i < A + 70; i++)
		assert_int_equal(rig_join(r, i, "g00"), SMQ_OK);
	q = rig_request(SMQ_KS_MEMBERS, "g00");
	assert_int_equal(rig_asked(r, RIG_ADMIN, &q), SMQ_OK);
	body = smq_span_of(r->peers[RIG_ADMIN].body, r->peers[RIG_ADMIN].body_len);
	assert_int_equal(smq_ks_members_decode(body, members, &count, &next), SMQ_OK);
	assert_int_equal(count, SMQ_KS_PAGE);
	assert_true(smq_span_equal(members[0].name, smq_span_str("m03")));
	assert_true(next == SMQ_KS_PAGE);
	/* 64 members filled the first tree; it has grown, and nobody was lost */
	assert_int_equal(rig_follow(r, A, "g00"), SMQ_OK);
	assert_true(rig_same_keys(r, A, A + 69, "g00"));
	assert_int_equal(r->peers[A + 69].path.height, 4);
}

/* ---- policies ---- */

static smq_err give_policy(const struct smq_policy *p, int asks, int signs, const char *group)
{
	static uint8_t bytes[SMQ_POLICY_MAX + SMQ_SIGN1_OVERHEAD_MAX];
	struct smq_ks_request q = { .what = SMQ_KS_POLICY, .group = smq_span_str(group) };
	q.policy = smq_span_of(bytes, rig_sign_policy(r, p, signs, smq_mspan_of(bytes, sizeof(bytes))));
	q.admin = r->peers[signs].own.id_cred_full;
	return rig_asked(r, asks, &q);
}

static void policies_are_an_admins(void **state)
{
	(void)state;
	struct smq_policy p = rig_policy("g", SMQ_MODE_STATIC);
	assert_int_equal(give_policy(&p, A, RIG_ADMIN, "g"), SMQ_ERR_NOT_AUTHORIZED);
	assert_int_equal(give_policy(&p, RIG_ADMIN, A, "g"), SMQ_ERR_CERT_USAGE);
	assert_int_equal(give_policy(&p, RIG_ADMIN, RIG_KEYSERVER, "g"), SMQ_ERR_CERT_USAGE);
	assert_int_equal(give_policy(&p, RIG_ADMIN, RIG_ADMIN, "h"), SMQ_ERR_NAME);
	p.realm = smq_span_str("elsewhere");
	assert_int_equal(give_policy(&p, RIG_ADMIN, RIG_ADMIN, "g"), SMQ_ERR_REALM);
	p.realm = smq_span_str("world");
	p.number = 5;
	assert_int_equal(give_policy(&p, RIG_ADMIN, RIG_ADMIN, "g"), SMQ_OK);
	assert_int_equal(give_policy(&p, RIG_ADMIN, RIG_ADMIN, "g"), SMQ_OK); /* the same again */
	assert_int_equal(rig_epoch(r, "g"), 1);
	p.grace_ms++;
	assert_int_equal(give_policy(&p, RIG_ADMIN, RIG_ADMIN, "g"), SMQ_ERR_EXISTS);
	p.number = 4;
	assert_int_equal(give_policy(&p, RIG_ADMIN, RIG_ADMIN, "g"), SMQ_ERR_STALE_EPOCH);
	p = rig_policy("g", SMQ_MODE_UPDATE);
	p.number = 6;
	assert_int_equal(give_policy(&p, RIG_ADMIN, RIG_ADMIN, "g"), SMQ_ERR_UNSUPPORTED);
}

static void a_new_policy_lets_go_whom_it_does_not_admit(void **state)
{
	(void)state;
	make(SMQ_MODE_STATIC);
	joined(A);
	joined(B);
	struct smq_policy p = rig_policy("g", SMQ_MODE_STATIC);
	p.number = 2;
	p.publishers[0].pattern = p.subscribers[0].pattern = smq_span_str("m03");
	assert_int_equal(rig_set_policy(r, &p), SMQ_OK);
	assert_int_equal(rig_epoch(r, "g"), 2);
	assert_int_equal(rig_follow(r, A, "g"), SMQ_OK);
	assert_int_not_equal(rig_follow(r, B, "g"), SMQ_OK);
	rig_restart(r, 0);
	assert_int_equal(rig_join(r, B, "g"), SMQ_ERR_NOT_AUTHORIZED);
}

static void templates_make_groups_at_the_first_join(void **state)
{
	(void)state;
	struct smq_policy p = rig_policy("room-*", SMQ_MODE_UPDATE);
	p.is_template = true;
	p.filters[0] = smq_span_str("house/{group}/#");
	p.subscribers[0].pattern = p.publishers[0].pattern = smq_span_str("m0?");
	assert_int_equal(rig_set_policy(r, &p), SMQ_OK);
	assert_int_equal(rig_epoch(r, "room-1"), 0);
	assert_int_equal(rig_join(r, 12, "room-1"), SMQ_ERR_NOT_AUTHORIZED);
	assert_int_equal(rig_epoch(r, "room-1"), 0);
	rig_restart(r, 0); /* it is kept */
	assert_int_equal(rig_join(r, A, "hall"), SMQ_ERR_NOT_FOUND);
	assert_int_equal(rig_join(r, A, "room-1"), SMQ_OK);
	assert_true(rig_epoch(r, "room-1") > 0);
	rig_restart(r, 0);
	assert_int_equal(rig_join(r, B, "room-1"), SMQ_OK);
	assert_true(rig_same_keys(r, A, B, "room-1"));
	p.number = 2;
	uint64_t before = rig_epoch(r, "room-1");
	assert_int_equal(rig_set_policy(r, &p), SMQ_OK);
	rig_pass(r, 1000, 100);
	assert_int_equal(rig_epoch(r, "room-1"), before + 1); /* the group follows its template */
}

/* ---- lessons ---- */

static void two_joins_in_quick_succession_lose_none(void **state)
{
	(void)state;
	make(SMQ_MODE_UPDATE);
	struct smq_ks_request a = rig_join_request(r, A, "g"), b = rig_join_request(r, B, "g");
	rig_ask(r, A, &a);
	rig_ask(r, B, &b);
	rig_pass(r, 1000, 50);
	assert_true(r->peers[A].answered && r->peers[B].answered);
	rig_take_grant(r, A, "g");
	rig_take_grant(r, B, "g");
	assert_int_equal(rig_epoch(r, "g"), 2); /* together */
	assert_true(rig_same_keys(r, A, B, "g"));
}

static void twelve_joins_at_once(void **state)
{
	(void)state;
	make(SMQ_MODE_UPDATE);
	for (int i = A; i < A + 12; i++) {
		struct smq_ks_request q = rig_join_request(r, i, "g");
		rig_ask(r, i, &q);
	}
	rig_pass(r, 1000, 50);
	for (int i = A; i < A + 12; i++) {
		assert_true(r->peers[i].answered);
		assert_int_equal(r->peers[i].status, SMQ_OK);
		rig_take_grant(r, i, "g");
		assert_true(rig_same_keys(r, A, i, "g"));
	}
}

static void a_repeated_join_and_a_restart_of_the_member(void **state)
{
	(void)state;
	make(SMQ_MODE_UPDATE);
	joined(A);
	uint64_t epoch = rig_epoch(r, "g"), sender = r->peers[A].grant.sender_id;
	int64_t from = r->peers[A].grant.from_ms;
	rig_pass(r, 5000, 1000);
	joined(A);
	assert_int_equal(r->peers[A].grant.sender_id, sender);
	assert_int_equal(r->peers[A].grant.from_ms, from);
	r->peers[A].boot_id[5]++;
	joined(A);
	assert_int_not_equal(r->peers[A].grant.sender_id, sender);
	assert_int_equal(rig_epoch(r, "g"), epoch);
	/* both have their cards: the processes may be there beside each other */
	struct smq_ks_topic card = { SMQ_KS_TOPIC_SENDER, smq_span_str("g"), 0, sender };
	rotate_twice();
	assert_non_null(rig_retained(r, &card));
	card.number = r->peers[A].grant.sender_id;
	assert_non_null(rig_retained(r, &card));
}

/* Four lives of a member have cards; those of older ones go with the second epoch, and all of them with the member. */
static void processes_of_one_member_beside_each_other(void **state)
{
	(void)state;
	uint64_t senders[5];
	struct smq_ks_topic card = { SMQ_KS_TOPIC_SENDER, smq_span_str("g"), 0, 0 };
	make(SMQ_MODE_UPDATE);
	for (int life = 0; life < 5; life++) {
		joined(A);
		senders[life] = r->peers[A].grant.sender_id;
		r->peers[A].boot_id[5]++;
	}
	rig_restart(r, 0);
	rotate_twice();
	for (int life = 0; life < 5; life++) {
		card.number = senders[life];
		assert_int_equal(rig_retained(r, &card) != NULL, life > 0);
	}
	r->peers[A].boot_id[5]--;
	assert_int_equal(rig_leave(r, A, "g"), SMQ_OK);
	rotate_twice();
	for (int life = 0; life < 5; life++) {
		card.number = senders[life];
		assert_null(rig_retained(r, &card));
	}
}

/* What one may is not taken from the member by another process that asks for less. */
static void roles_are_those_of_all_processes_together(void **state)
{
	(void)state;
	make(SMQ_MODE_STATIC);
	for (unsigned roles = SMQ_JOIN_PUBLISH; roles <= SMQ_JOIN_SUBSCRIBE; roles++) {
		struct smq_ks_request q = rig_join_request(r, A, "g");
		q.roles = roles;
		r->peers[A].boot_id[3]++;
		memcpy(q.boot_id, r->peers[A].boot_id, sizeof(q.boot_id));
		assert_int_equal(rig_asked(r, A, &q), SMQ_OK);
		rig_take_grant(r, A, "g");
		assert_int_equal(r->peers[A].grant.roles,
				 roles == SMQ_JOIN_PUBLISH ? SMQ_JOIN_PUBLISH : SMQ_JOIN_PUBLISH | SMQ_JOIN_SUBSCRIBE);
	}
}

static void two_processes_that_join_at_once_get_a_sender_id_each(void **state)
{
	(void)state;
	struct smq_ks_topic topic = { SMQ_KS_TOPIC_SENDER, smq_span_str("g"), 0, 0 };
	make(SMQ_MODE_UPDATE);
	r->peers[B].config.own = &r->peers[A].own; /* another process of A */
	memcpy(r->peers[B].name, r->peers[A].name, sizeof(r->peers[B].name));
	for (int i = A; i <= B; i++) {
		struct smq_ks_request q = rig_join_request(r, i, "g");
		rig_ask(r, i, &q);
	}
	rig_pass(r, 3000, 50);
	for (int i = A; i <= B; i++) {
		struct smq_sign1 s;
		struct smq_sender_card card;
		assert_true(r->peers[i].answered);
		assert_int_equal(r->peers[i].status, SMQ_OK);
		rig_take_grant(r, i, "g");
		topic.number = r->peers[i].grant.sender_id;
		const struct rig_message *m = rig_retained(r, &topic);
		assert_non_null(m);
		assert_int_equal(smq_sign1_decode(smq_span_of(m->bytes, m->len), &s), SMQ_OK);
		assert_int_equal(smq_sender_card_decode(s.payload, &card), SMQ_OK);
		assert_memory_equal(card.boot_id, r->peers[i].boot_id, sizeof(card.boot_id));
	}
	assert_int_not_equal(r->peers[A].grant.sender_id, r->peers[B].grant.sender_id);
	assert_int_equal(rig_epoch(r, "g"), 2); /* it is one member */
}

static void a_leave_of_another_life_changes_nothing(void **state)
{
	(void)state;
	make(SMQ_MODE_UPDATE);
	joined(A);
	uint64_t epoch = rig_epoch(r, "g");
	r->peers[A].boot_id[7]++;
	assert_int_equal(rig_leave(r, A, "g"), SMQ_OK);
	rig_pass(r, 1000, 100);
	assert_int_equal(rig_epoch(r, "g"), epoch);
	assert_int_equal(rig_leave(r, B, "g"), SMQ_OK); /* was never there */
	assert_int_equal(rig_epoch(r, "g"), epoch);
}

static void leases_short_long_and_overflowing(void **state)
{
	(void)state;
	static const struct {
		int64_t from, until;
		smq_err err;
		size_t trees;
	} rows[] = { { 0, 1, SMQ_OK, 1 },
		     { 0, 100, SMQ_OK, 1 },
		     { 0, INT64_C(10) * 366 * 24 * 3600 * 1000, SMQ_OK, 3 },
		     { 0, 0, SMQ_OK, 3 }, /* no end */
		     { INT64_C(20) * 24 * 3600 * 1000, 0, SMQ_OK, 1 },
		     { INT64_C(400) * 24 * 3600 * 1000, 0, SMQ_ERR_USAGE, 0 } };
	make(SMQ_MODE_SLOTTED);
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		struct smq_ks_request q = rig_join_request(r, A, "g");
		r->peers[A].boot_id[2]++;
		memcpy(q.boot_id, r->peers[A].boot_id, sizeof(q.boot_id));
		q.from_ms = rig_time.unix_ms + rows[i].from;
		q.until_ms = rows[i].until ? rig_time.unix_ms + rows[i].until : SMQ_NO_END;
		if (rows[i].until == 1)
			q.until_ms += 200; /* the way there takes some of it */
		smq_err err = rig_asked(r, A, &q);
		if (err != rows[i].err)
			fail_msg("row %zu: %s (%s)", i, smq_err_name(err), r->peers[A].text);
		if (err != SMQ_OK)
			continue;
		rig_take_grant(r, A, "g");
		assert_int_equal(r->peers[A].grant.tree_count, rows[i].trees);
	}
	struct smq_ks_request q = rig_join_request(r, A, "g");
	q.from_ms = INT64_MAX - 1;
	assert_int_equal(rig_asked(r, A, &q), SMQ_ERR_USAGE);
}

static void slots_do_not_run_out(void **state)
{
	(void)state;
	struct smq_policy p = rig_policy("g", SMQ_MODE_SLOTTED);
	p.slot_ms = 1000;
	p.slot_levels = 2; /* four slots in a tree */
	assert_int_equal(rig_set_policy(r, &p), SMQ_OK);
	joined(A);
	assert_int_equal(r->peers[A].grant.trees[0].tree, 0);
	uint64_t epoch = rig_epoch(r, "g");
	rig_pass(r, 60 * 1000, 500);
	joined(A);
	assert_true(r->peers[A].grant.trees[0].tree >= 15);
	assert_int_equal(r->peers[A].grant.tree_count, 3);
	assert_int_equal(rig_epoch(r, "g"), epoch);
	assert_true(kept(SMQ_KS_ITEM_SLOTS) <= 6);
	/* its clock jumps ahead and back: the trees are as they were */
	uint8_t seeds[SMQ_SLOT_SEEDS_BYTES_MAX];
	size_t last = r->peers[A].grant.tree_count - 1, len = r->peers[A].grant.trees[last].seeds.len;
	uint64_t tree = r->peers[A].grant.trees[last].tree;
	memcpy(seeds, r->peers[A].grant.trees[last].seeds.p, len);
	rig_time.unix_ms += INT64_C(3600) * 1000;
	rig_pass(r, 200, 100);
	rig_time.unix_ms -= INT64_C(3600) * 1000;
	joined(A);
	bool same = false;
	for (size_t i = 0; i < r->peers[A].grant.tree_count; i++)
		same = same || (r->peers[A].grant.trees[i].tree == tree &&
				smq_span_equal(r->peers[A].grant.trees[i].seeds, smq_span_of(seeds, len)));
	assert_true(same);
}

static void history_as_the_policy_grants_it(void **state)
{
	(void)state;
	struct smq_policy p = rig_policy("g", SMQ_MODE_UPDATE);
	p.history = SMQ_HISTORY_LAST;
	p.history_epochs = 2;
	assert_int_equal(rig_set_policy(r, &p), SMQ_OK);
	uint8_t secrets[4][32];
	for (int i = 0; i < 4; i++) {
		joined(A + i);
		memcpy(secrets[i], r->peers[A + i].grant.secret, 32);
	}
	const struct smq_ks_grant *g = &r->peers[A + 3].grant;
	assert_int_equal(g->history_count, 2);
	assert_memory_equal(g->history[0].secret, secrets[1], 32);
	assert_memory_equal(g->history[1].secret, secrets[2], 32);
	assert_true(kept(SMQ_KS_ITEM_EPOCH) <= 3);
	/* from the join on, over a restart of either side */
	p = rig_policy("h", SMQ_MODE_UPDATE);
	p.history = SMQ_HISTORY_JOIN;
	assert_int_equal(rig_set_policy(r, &p), SMQ_OK);
	assert_int_equal(rig_join(r, A, "h"), SMQ_OK);
	assert_int_equal(rig_join(r, B, "h"), SMQ_OK);
	assert_int_equal(r->peers[B].grant.history_count, 0);
	memcpy(secrets[0], r->peers[B].grant.secret, 32);
	assert_int_equal(rig_join(r, C, "h"), SMQ_OK);
	rig_restart(r, 0);
	r->peers[B].boot_id[9]++;
	assert_int_equal(rig_join(r, B, "h"), SMQ_OK);
	assert_int_equal(r->peers[B].grant.history_count, 1);
	assert_memory_equal(r->peers[B].grant.history[0].secret, secrets[0], 32);
}

/* ---- time ---- */

static void it_rotates_by_itself(void **state)
{
	(void)state;
	struct smq_policy p = rig_policy("g", SMQ_MODE_STATIC);
	p.rotate_s = 60;
	assert_int_equal(rig_set_policy(r, &p), SMQ_OK);
	joined(A);
	rig_pass(r, 61 * 1000, 1000);
	assert_int_equal(rig_epoch(r, "g"), 2);
	p = rig_policy("h", SMQ_MODE_STATIC);
	p.validity_s = 100; /* renewed at half of that */
	assert_int_equal(rig_set_policy(r, &p), SMQ_OK);
	rig_pass(r, 49 * 1000, 1000);
	assert_int_equal(rig_epoch(r, "h"), 1);
	rig_pass(r, 3 * 1000, 1000);
	assert_int_equal(rig_epoch(r, "h"), 2);
	assert_int_equal(rig_follow(r, A, "g"), SMQ_OK);
}

static void a_clock_that_was_wrong_for_a_while(void **state)
{
	(void)state;
	make(SMQ_MODE_UPDATE);
	joined(A);
	rig_time.unix_ms += INT64_C(3600) * 1000;
	joined(B); /* an epoch for in an hour */
	rig_time.unix_ms -= INT64_C(3600) * 1000;
	uint64_t epoch = rig_epoch(r, "g");
	rig_pass(r, 1000, 100);
	assert_int_equal(rig_epoch(r, "g"), epoch + 1);
	rig_pass(r, 5000, 100);
	assert_int_equal(rig_epoch(r, "g"), epoch + 1);
	assert_true(rig_same_keys(r, A, B, "g"));
}

/* ---- rates, junk ---- */

enum { RECORDED_MAX = 16 };
static struct {
	char topic[80];
	uint8_t bytes[2048];
	size_t len;
} recorded[RECORDED_MAX];
static size_t recorded_count;

static void record(void *self, const char *topic, smq_span payload)
{
	(void)self;
	if (!strstr(topic, "/ks/q/") || recorded_count == RECORDED_MAX || payload.len > sizeof(recorded[0].bytes))
		return;
	snprintf(recorded[recorded_count].topic, sizeof(recorded[0].topic), "%s", topic);
	memcpy(recorded[recorded_count].bytes, payload.p, payload.len);
	recorded[recorded_count++].len = payload.len;
}

static void replayed_requests_do_nothing(void **state)
{
	(void)state;
	make(SMQ_MODE_UPDATE);
	recorded_count = 0;
	r->heard = record;
	joined(A);
	assert_int_equal(rig_leave(r, A, "g"), SMQ_OK);
	r->heard = NULL;
	assert_true(recorded_count >= 6); /* two runs of three messages */
	uint64_t epoch = rig_epoch(r, "g");
	unsigned lines = r->stores[0].lines;
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < recorded_count; i++) {
			rig_publish(r, recorded[i].topic, smq_span_of(recorded[i].bytes, recorded[i].len));
			rig_settle(r);
		}
		rig_pass(r, 2000, 100);
		assert_int_equal(rig_epoch(r, "g"), epoch);
		assert_int_equal(r->stores[0].lines, lines);
		rig_restart(r, 0); /* nor after it has forgotten the runs */
	}
	joined(A);
}

static void too_many_requests_are_refused(void **state)
{
	(void)state;
	rig_stop(r, 0);
	r->rate = 5;
	assert_true(rig_start(r, 0));
	make(SMQ_MODE_STATIC);
	for (int i = 0; i < 4; i++)
		joined(A);
	unsigned refused = 0;
	for (int i = 0; i < 4; i++)
		refused += rig_join(r, A, "g") == SMQ_ERR_RATE;
	assert_true(refused >= 2);
	joined(B); /* another's budget is its own */
	rig_pass(r, 60 * 1000, 1000);
	joined(A);
}

static void junk_is_met_with_silence(void **state)
{
	(void)state;
	static const char *const payloads[] = { "", "x", "\x86\x01\x01\x60\x60\x40\x40", "\xff\xff\xff" };
	make(SMQ_MODE_STATIC);
	uint64_t sent = r->sent;
	for (size_t i = 0; i < SMQ_COUNT(payloads); i++) {
		smq_keyserver_input(r->servers[0].ks, "sealmq/world/ks/q/m03", smq_span_str(payloads[i]), false);
		smq_keyserver_input(r->servers[0].ks, "sealmq/world/g/g/m", smq_span_str(payloads[i]), i % 2 == 0);
		smq_keyserver_input(r->servers[0].ks, "sealmq/world/ks/claim", smq_span_str(payloads[i]), false);
	}
	rig_settle(r);
	assert_int_equal(r->sent, sent);
	joined(A);
}

/* ---- the broker ---- */

static void a_broker_that_forgot_is_told_everything(void **state)
{
	(void)state;
	make(SMQ_MODE_UPDATE);
	joined(A);
	joined(B);
	assert_int_equal(rig_leave(r, B, "g"), SMQ_OK);
	rig_forget_retained(r);
	smq_keyserver_offline(r->servers[0].ks);
	smq_keyserver_online(r->servers[0].ks);
	rig_pass(r, 5000, 100);
	struct smq_ks_topic policy = { .kind = SMQ_KS_TOPIC_POLICY, .name = smq_span_str("g") };
	assert_non_null(rig_retained(r, &policy));
	assert_int_equal(rig_follow(r, A, "g"), SMQ_OK);
}

static void fetch_gives_the_bytes_that_are_published(void **state)
{
	(void)state;
	struct smq_ks_fetched f;
	make(SMQ_MODE_UPDATE);
	joined(A);
	joined(B);
	joined(C);
	assert_int_equal(rig_leave(r, B, "g"), SMQ_OK);
	struct smq_ks_request q = rig_request(SMQ_KS_FETCH, "g");
	q.node_count = 3;
	for (unsigned h = 1; h <= 3; h++) {
		q.nodes[h - 1].height = h;
		q.nodes[h - 1].index = 0;
	}
	q.sender_count = 2;
	q.senders[0] = r->peers[C].grant.sender_id;
	q.senders[1] = 4711;
	assert_int_equal(rig_asked(r, D, &q), SMQ_ERR_NOT_AUTHORIZED);
	assert_int_equal(rig_asked(r, A, &q), SMQ_OK);
	assert_int_equal(smq_ks_fetched_decode(smq_span_of(r->peers[A].body, r->peers[A].body_len), &f), SMQ_OK);
	assert_int_equal(f.node_count, 3);
	assert_int_equal(f.card_count, 1);
	struct smq_ks_topic t = { SMQ_KS_TOPIC_NODE, smq_span_str("g"), 1, 0 };
	const struct rig_message *m = rig_retained(r, &t);
	assert_true(smq_span_equal(f.nodes[0], smq_span_of(m->bytes, m->len)));
	t = (struct smq_ks_topic){ .kind = SMQ_KS_TOPIC_MANIFEST, .name = smq_span_str("g") };
	m = rig_retained(r, &t);
	assert_true(smq_span_equal(f.manifest, smq_span_of(m->bytes, m->len)));
}

/* ---- a broker that is slow ---- */

static struct {
	unsigned manifests, nodes, nodes_after; /* after: behind the last manifest */
} told;

static void heard(void *others, const char *topic, smq_span payload)
{
	(void)others;
	(void)payload;
	if (strstr(topic, "/g/g/n/")) {
		told.nodes++;
		told.nodes_after++;
	}
	if (strstr(topic, "/g/g/m")) {
		told.manifests++;
		told.nodes_after = 0;
	}
}

static bool asks_to_join(int peer)
{
	unsigned answers = r->peers[peer].answers;
	struct smq_ks_request q = rig_join_request(r, peer, "g");
	rig_ask(r, peer, &q);
	rig_pass(r, 1000, 100);
	return r->peers[peer].answers > answers;
}

/* What comes while it has not taken the last manifest becomes one epoch; after a while that one comes all the same. */
static void an_epoch_waits_for_the_last_manifest_to_be_taken(void **state)
{
	static const int64_t waits_ms[] = { 3000, KS_MANIFEST_WAIT_MS + 1000 };
	(void)state;
	for (size_t i = 0; i < sizeof(waits_ms) / sizeof(waits_ms[0]); i++) {
		make(SMQ_MODE_UPDATE);
		joined(A);
		r->retained_stuck = true;
		assert_true(asks_to_join(B)); /* durable, and on its way */
		unsigned moved = r->servers[0].epochs;
		assert_false(asks_to_join(C));
		assert_false(asks_to_join(D));
		rig_pass(r, waits_ms[i] - 2000, 100);
		bool over = waits_ms[i] > KS_MANIFEST_WAIT_MS;
		assert_int_equal(r->servers[0].epochs, moved + over);
		r->retained_stuck = false;
		rig_pass(r, 1000, 100);
		assert_int_equal(r->servers[0].epochs, moved + 1);
		rig_take_grant(r, C, "g");
		rig_take_grant(r, D, "g");
		assert_int_equal(r->peers[C].grant.epoch, r->peers[D].grant.epoch);
		assert_true(rig_same_keys(r, C, D, "g"));
		rig_free(r);
		r = rig_new(RIG_PEERS);
		assert_true(rig_start(r, 0));
	}
}

/* Two expulsions wait for nobody. Of their manifests the last is told, once, behind the nodes of both. */
static void of_waiting_manifests_only_the_last_is_told(void **state)
{
	(void)state;
	make(SMQ_MODE_UPDATE);
	for (int i = A; i <= D; i++)
		joined(i);
	r->heard = heard;
	r->retained_stuck = true;
	memset(&told, 0, sizeof(told));
	unsigned moved = r->servers[0].epochs;
	assert_int_equal(rig_expel(r, B, "g"), SMQ_OK);
	assert_int_equal(rig_expel(r, C, "g"), SMQ_OK);
	assert_int_equal(r->servers[0].epochs, moved + 2);
	r->retained_stuck = false;
	rig_pass(r, 2000, 100);
	assert_int_equal(told.manifests, 1);
	assert_true(told.nodes >= 2);
	assert_int_equal(told.nodes_after, 0);
	assert_true(rig_same_keys(r, A, D, "g"));
	rig_restart(r, 0); /* nothing of it is left to be told */
	rig_pass(r, 10000, 100);
	assert_int_equal(told.manifests, 1);
}

#define row(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		row(static_groups_grant_at_once_and_move_nothing),
		row(update_groups_grant_after_the_epoch),
		row(slotted_groups_give_seeds_for_exactly_the_interval),
		row(expelled_static),
		row(expelled_update),
		row(expelled_slotted),
		row(expulsion_from_every_group_is_one_transaction),
		row(an_expulsion_once_more_is_no_mistake),
		row(a_revoked_certificate_ends_membership),
		row(refusals),
		row(only_admins_administrate),
		row(lists_come_in_pages),
		row(policies_are_an_admins),
		row(a_new_policy_lets_go_whom_it_does_not_admit),
		row(templates_make_groups_at_the_first_join),
		row(two_joins_in_quick_succession_lose_none),
		row(twelve_joins_at_once),
		row(a_repeated_join_and_a_restart_of_the_member),
		row(processes_of_one_member_beside_each_other),
		row(roles_are_those_of_all_processes_together),
		row(two_processes_that_join_at_once_get_a_sender_id_each),
		row(a_leave_of_another_life_changes_nothing),
		row(leases_short_long_and_overflowing),
		row(slots_do_not_run_out),
		row(history_as_the_policy_grants_it),
		row(it_rotates_by_itself),
		row(a_clock_that_was_wrong_for_a_while),
		row(replayed_requests_do_nothing),
		row(too_many_requests_are_refused),
		row(junk_is_met_with_silence),
		row(a_broker_that_forgot_is_told_everything),
		row(fetch_gives_the_bytes_that_are_published),
		row(an_epoch_waits_for_the_last_manifest_to_be_taken),
		row(of_waiting_manifests_only_the_last_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
