/* app/keyserver: killed anywhere, restored from a backup, or there twice (PROTOCOL.md 7.7). */
#include <stdio.h>
#include <stdlib.h>

#include "cmocka_all.h"

#include <sealmq/client.h>

#include "base/table.h"
#include "keyserver_rig.h"

enum { A = RIG_FIRST, B, C, D, PEERS, JUMP = 65536, CALLS_MAX = 400 };

static struct rig *r;

static void begin(void)
{
	r = rig_new(PEERS);
	assert_true(rig_start(r, 0));
}

static int start(void **state)
{
	(void)state;
	begin();
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

/* ---- killed at every call ---- */

enum deed { JOIN, LEAVE, ROTATE, EXPEL, NEW_LIFE, POLICY, REGISTER, UNREGISTER };

/* Of the member without a certificate: B where it is let go, C where it is to come. */
static const uint8_t raw_key[32] = { [30] = 0x31, [31] = 0x07 };

static void ask(enum deed deed)
{
	static uint8_t policy[SMQ_POLICY_MAX + SMQ_SIGN1_OVERHEAD_MAX];
	struct smq_policy p = rig_policy("g", SMQ_MODE_STATIC);
	struct smq_ks_request q = rig_join_request(r, C, "g");
	int who = RIG_ADMIN;
	switch (deed) {
	case JOIN:
		who = C;
		break;
	case NEW_LIFE:
		r->peers[B].boot_id[4] = 99;
		q = rig_join_request(r, B, "g");
		who = B;
		break;
	case LEAVE:
		q = rig_request(SMQ_KS_LEAVE, "g");
		memcpy(q.boot_id, r->peers[B].boot_id, sizeof(q.boot_id));
		who = B;
		break;
	case ROTATE:
		q = rig_request(SMQ_KS_ROTATE, "g");
		break;
	case EXPEL:
		q = rig_request(SMQ_KS_EXPEL, "g");
		q.name = smq_span_str(r->peers[B].name);
		break;
	case REGISTER:
		q = rig_request(SMQ_KS_REGISTER, "");
		q.name = smq_span_str(r->peers[C].name);
		memcpy(q.key, r->peers[C].credential.public_key, sizeof(q.key));
		break;
	case UNREGISTER:
		q = rig_request(SMQ_KS_UNREGISTER, "");
		q.name = smq_span_str(r->peers[B].name);
		break;
	case POLICY:
		p.number = 2;
		q = rig_request(SMQ_KS_POLICY, "g");
		q.policy = smq_span_of(policy, rig_sign_policy(r, &p, RIG_ADMIN, smq_mspan_of(policy, sizeof(policy))));
		q.admin = r->peers[RIG_ADMIN].own.id_cred_full;
		break;
	}
	rig_ask(r, who, &q);
	rig_pass(r, 1200, 50); /* beyond the batch, and what the broker acknowledged is forgotten */
}

/* After whatever happened: those who belong to it have the same keys, those who do not have none. */
static void check(enum deed deed, enum smq_policy_mode mode)
{
	bool gone = deed == LEAVE || deed == EXPEL || deed == UNREGISTER;
	ask(deed); /* whoever got no answer asks again */
	assert_int_equal(rig_join(r, D, "g"), SMQ_OK);
	assert_true(rig_same_keys(r, A, D, "g"));
	if (deed == JOIN || deed == REGISTER)
		assert_int_equal(rig_join(r, C, "g"), SMQ_OK);
	if (deed == JOIN || deed == REGISTER)
		assert_true(rig_same_keys(r, A, C, "g"));
	if (deed == EXPEL || deed == UNREGISTER || (gone && mode == SMQ_MODE_UPDATE))
		assert_int_not_equal(rig_follow(r, B, "g"), SMQ_OK);
	if (deed == UNREGISTER)
		assert_int_equal(rig_join(r, B, "g"), SMQ_ERR_CREDENTIAL);
	if (gone && mode != SMQ_MODE_UPDATE) {
		/* what it knew is refreshed with the next epoch, over all restarts */
		ask(ROTATE);
		assert_int_not_equal(rig_follow(r, B, "g"), SMQ_OK);
		assert_int_equal(rig_follow(r, A, "g"), SMQ_OK);
	}
	if (!gone)
		assert_int_equal(rig_join(r, B, "g"), SMQ_OK);
	if (!gone)
		assert_true(rig_same_keys(r, A, B, "g"));
}

/* false: the deed was done before the call was reached. */
static bool killed_at(enum deed deed, enum smq_policy_mode mode, uint64_t call, bool after_commit, bool *is_commit)
{
	begin();
	make(mode);
	assert_int_equal(rig_join(r, A, "g"), SMQ_OK);
	if (deed == REGISTER)
		rig_make_raw(r, C, raw_key);
	if (deed == UNREGISTER)
		rig_make_raw(r, B, raw_key);
	if (deed == UNREGISTER)
		assert_int_equal(rig_register(r, B), SMQ_OK);
	assert_int_equal(rig_join(r, B, "g"), SMQ_OK);
	rig_pass(r, 1200, 50);
	struct rig_store *s = &r->stores[0];
	s->calls = 0;
	s->commit_call_count = 0;
	s->die_at = call;
	s->dies_after_commit = after_commit;
	ask(deed);
	bool died = s->dead;
	*is_commit = s->commit_call_count > 0 && s->commit_calls[s->commit_call_count - 1] == call;
	uint64_t epoch = rig_epoch(r, "g");
	rig_restart(r, 0);
	assert_true(rig_epoch(r, "g") >= epoch);
	check(deed, mode);
	rig_free(r);
	return died;
}

static void killed_at_every_call(enum deed deed, enum smq_policy_mode mode)
{
	uint64_t call = 1;
	bool is_commit = false, died = true;
	unsigned commits = 0;
	for (; died && call < CALLS_MAX; call++) {
		died = killed_at(deed, mode, call, false, &is_commit);
		if (died && is_commit) {
			commits++;
			assert_true(killed_at(deed, mode, call, true, &is_commit));
		}
	}
	assert_false(died);
	assert_true(commits >= 1);
	print_message("# killed at %u calls\n", (unsigned)call - 2);
}

static void killed_in_a_join(void **state)
{
	(void)state;
	killed_at_every_call(JOIN, SMQ_MODE_STATIC);
	killed_at_every_call(JOIN, SMQ_MODE_UPDATE);
	killed_at_every_call(JOIN, SMQ_MODE_SLOTTED);
}

static void killed_in_a_leave(void **state)
{
	(void)state;
	killed_at_every_call(LEAVE, SMQ_MODE_STATIC);
	killed_at_every_call(LEAVE, SMQ_MODE_UPDATE);
}

static void killed_in_a_rotation(void **state)
{
	(void)state;
	killed_at_every_call(ROTATE, SMQ_MODE_STATIC);
}

static void killed_in_an_expulsion(void **state)
{
	(void)state;
	killed_at_every_call(EXPEL, SMQ_MODE_UPDATE);
	killed_at_every_call(EXPEL, SMQ_MODE_SLOTTED);
}

static void killed_when_a_member_restarts(void **state)
{
	(void)state;
	killed_at_every_call(NEW_LIFE, SMQ_MODE_UPDATE);
}

static void killed_in_a_change_of_policy(void **state)
{
	(void)state;
	killed_at_every_call(POLICY, SMQ_MODE_STATIC);
}

static void killed_when_a_key_is_registered(void **state)
{
	(void)state;
	killed_at_every_call(REGISTER, SMQ_MODE_UPDATE);
}

static void killed_when_a_key_is_unregistered(void **state)
{
	(void)state;
	killed_at_every_call(UNREGISTER, SMQ_MODE_UPDATE);
	killed_at_every_call(UNREGISTER, SMQ_MODE_STATIC);
}

/* ---- the disk says no, and lives on ---- */

static void a_full_disk_changes_nothing(void **state)
{
	(void)state;
	make(SMQ_MODE_UPDATE);
	assert_int_equal(rig_join(r, A, "g"), SMQ_OK);
	uint64_t epoch = rig_epoch(r, "g");
	r->stores[0].fail_commit = SMQ_ERR_DISK_FULL;
	assert_int_equal(rig_join(r, B, "g"), SMQ_ERR_DISK_FULL);
	assert_int_equal(rig_leave(r, A, "g"), SMQ_ERR_DISK_FULL);
	struct smq_policy p = rig_policy("h", SMQ_MODE_STATIC);
	assert_int_equal(rig_set_policy(r, &p), SMQ_ERR_DISK_FULL);
	rig_pass(r, 3000, 100);
	assert_int_equal(rig_epoch(r, "g"), epoch);
	assert_int_equal(rig_epoch(r, "h"), 0);
	r->stores[0].fail_commit = SMQ_OK;
	rig_pass(r, 1000, 100);
	assert_int_equal(rig_join(r, B, "g"), SMQ_OK);
	assert_true(rig_same_keys(r, A, B, "g"));
	assert_int_equal(rig_set_policy(r, &p), SMQ_OK);
	assert_int_equal(rig_epoch(r, "h"), 1);
}

/* Asked for again before the first time is durable: that it is so already is not said before it is. */
static void what_is_asked_twice_is_answered_when_it_is_durable(void **state)
{
	(void)state;
	make(SMQ_MODE_UPDATE);
	assert_int_equal(rig_join(r, A, "g"), SMQ_OK);
	assert_int_equal(rig_join(r, B, "g"), SMQ_OK);
	struct smq_ks_request expel = rig_request(SMQ_KS_EXPEL, "g"), leave = rig_request(SMQ_KS_LEAVE, "g");
	expel.name = smq_span_str(r->peers[B].name);
	memcpy(leave.boot_id, r->peers[A].boot_id, sizeof(leave.boot_id));
	const struct {
		int who;
		const struct smq_ks_request *q;
	} rows[] = { { RIG_ADMIN, &expel }, { A, &leave } };
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		r->stores[0].fail_commit = SMQ_ERR_DISK_FULL;
		rig_ask(r, rows[i].who, rows[i].q);
		rig_settle(r);
		rig_ask(r, rows[i].who, rows[i].q);
		rig_pass(r, 1000, 50);
		assert_true(r->peers[rows[i].who].answered);
		assert_int_equal(r->peers[rows[i].who].status, SMQ_ERR_DISK_FULL);
		r->stores[0].fail_commit = SMQ_OK;
		rig_pass(r, 2000, 100);
		assert_true(rig_same_keys(r, A, B, "g"));
	}
}

static void what_the_broker_did_not_get_comes_after_the_restart(void **state)
{
	(void)state;
	make(SMQ_MODE_UPDATE);
	assert_int_equal(rig_join(r, A, "g"), SMQ_OK);
	assert_int_equal(rig_join(r, B, "g"), SMQ_OK);
	struct smq_ks_request q = rig_request(SMQ_KS_EXPEL, "g");
	q.name = smq_span_str(r->peers[B].name);
	struct rig_store *s = &r->stores[0];
	uint64_t epoch = rig_epoch(r, "g");
	/* killed between the commit and the first message */
	unsigned commits = s->commits;
	for (uint64_t call = 1; s->commits == commits; call++) {
		rig_restart(r, 0);
		rig_pass(r, 2000, 100);
		commits = s->commits;
		s->calls = 0;
		s->dies_after_commit = true;
		s->die_at = call;
		rig_ask(r, RIG_ADMIN, &q);
		rig_settle(r);
		assert_true(s->dead);
	}
	assert_int_equal(rig_epoch(r, "g"), epoch);
	rig_restart(r, 0);
	rig_pass(r, 1000, 100);
	assert_int_equal(rig_epoch(r, "g"), epoch + 1);
	assert_int_equal(rig_follow(r, A, "g"), SMQ_OK);
	assert_int_not_equal(rig_follow(r, B, "g"), SMQ_OK);
}

/* ---- restored ---- */

static void goes_on_above(bool announced)
{
	struct rig_items backup;
	begin();
	make(SMQ_MODE_UPDATE);
	assert_int_equal(rig_join(r, A, "g"), SMQ_OK);
	assert_int_equal(rig_join(r, B, "g"), SMQ_OK);
	rig_backup(r, &backup);
	assert_int_equal(rig_join(r, C, "g"), SMQ_OK);
	uint64_t sender = r->peers[C].grant.sender_id;
	assert_int_equal(rig_leave(r, B, "g"), SMQ_OK);
	assert_int_equal(rig_follow(r, A, "g"), SMQ_OK);
	uint64_t epoch = rig_epoch(r, "g");
	rig_restore(r, &backup, announced);
	assert_true(rig_start(r, 0));
	rig_pass(r, 4000, 100);
	assert_int_equal(r->servers[0].jumps, 1);
	assert_true(rig_epoch(r, "g") > epoch + JUMP);
	assert_int_equal(rig_join(r, D, "g"), SMQ_OK);
	assert_true(r->peers[D].grant.sender_id > sender + JUMP / 2);
	/* those who followed past the backup take what comes now as its continuation */
	struct rig_peer *a = &r->peers[A];
	struct smq_manifest_chain chain = a->chain;
	assert_int_equal(rig_join(r, A, "g"), SMQ_OK);
	struct smq_manifest_step step;
	assert_int_equal(smq_manifest_chain_input(&chain, smq_crypto_openssl(), a->grant.manifest,
						  &r->peers[RIG_KEYSERVER].credential, smq_span_str("world"),
						  smq_span_str("g"), rig_time.unix_ms, &step),
			 SMQ_OK);
	assert_true(smq_manifest_is_accepted(step.verdict));
	assert_true(rig_same_keys(r, A, D, "g"));
	/* once */
	epoch = rig_epoch(r, "g");
	rig_restart(r, 0);
	rig_pass(r, 4000, 100);
	assert_int_equal(rig_epoch(r, "g"), epoch);
	rig_items_done(&backup);
	rig_free(r);
}

static void a_restore_jumps_ahead(void **state)
{
	(void)state;
	goes_on_above(true);
}
static void a_rollback_that_nobody_announced_is_noticed(void **state)
{
	(void)state;
	goes_on_above(false);
}

static void a_lost_database_goes_on_above_what_the_broker_has(void **state)
{
	(void)state;
	struct rig_items nothing = { NULL, 0, 0 };
	make(SMQ_MODE_UPDATE);
	assert_int_equal(rig_join(r, A, "g"), SMQ_OK);
	uint64_t epoch = rig_epoch(r, "g");
	struct smq_manifest_chain chain = r->peers[A].chain;
	rig_restore(r, &nothing, false);
	assert_true(rig_start(r, 0));
	make(SMQ_MODE_UPDATE);
	assert_true(rig_epoch(r, "g") > epoch + JUMP);
	r->peers[A].boot_id[3]++;
	assert_int_equal(rig_join(r, A, "g"), SMQ_OK);
	r->peers[A].chain = chain;
	r->peers[B].chain = chain;
	assert_int_equal(rig_join(r, B, "g"), SMQ_OK);
	assert_true(rig_same_keys(r, A, B, "g"));
}

/* The mark of the restore is gone only when every group has jumped. */
static void killed_in_a_restore(void **state)
{
	(void)state;
	bool died = true;
	for (uint64_t call = 1; died && call < CALLS_MAX; call++) {
		struct rig_items backup;
		begin();
		make(SMQ_MODE_STATIC);
		assert_int_equal(rig_join(r, A, "g"), SMQ_OK);
		rig_backup(r, &backup);
		rig_restore(r, &backup, true);
		uint64_t epoch = rig_epoch(r, "g");
		rig_forget_retained(r);
		r->stores[0].calls = 0;
		const uint64_t die_at = call;
		/* rig_start revives the store, so the killing begins behind it */
		assert_true(rig_start(r, 0));
		r->stores[0].calls = 0;
		r->stores[0].die_at = die_at;
		rig_pass(r, 4000, 100);
		died = r->stores[0].dead;
		rig_restart(r, 0);
		rig_pass(r, 4000, 100);
		assert_true(rig_epoch(r, "g") > epoch + JUMP);
		assert_int_equal(rig_join(r, B, "g"), SMQ_OK);
		assert_true(r->peers[B].grant.sender_id > JUMP);
		rig_items_done(&backup);
		rig_free(r);
	}
	assert_false(died);
}

static void another_realms_database_is_refused(void **state)
{
	(void)state;
	struct rig_item *i = r->stores[0].durable.items;
	assert_int_equal(i->kind, SMQ_KS_ITEM_SERVER);
	rig_stop(r, 0);
	i->bytes[i->len - 1] ^= 1;
	assert_false(rig_start(r, 0));
	assert_int_equal(r->last_refusal, SMQ_ERR_REALM);
}

static void a_damaged_database_is_refused(void **state)
{
	(void)state;
	make(SMQ_MODE_STATIC);
	assert_int_equal(rig_join(r, A, "g"), SMQ_OK);
	rig_make_raw(r, B, raw_key);
	assert_int_equal(rig_register(r, B), SMQ_OK);
	rig_stop(r, 0);
	struct rig_items *items = &r->stores[0].durable;
	for (size_t n = 0; n < items->count; n++) {
		struct rig_item *i = &items->items[n];
		if (i->kind != SMQ_KS_ITEM_GROUP && i->kind != SMQ_KS_ITEM_MEMBER && i->kind != SMQ_KS_ITEM_NODE &&
		    i->kind != SMQ_KS_ITEM_MANIFEST && i->kind != SMQ_KS_ITEM_KEY)
			continue;
		size_t len = i->len;
		i->len = len / 2;
		assert_false(rig_start(r, 0));
		assert_int_equal(r->last_refusal, SMQ_ERR_CORRUPT);
		i->len = len;
	}
	assert_true(rig_start(r, 0));
}

/* ---- two of them ---- */

static void the_second_key_server_stops(void **state)
{
	(void)state;
	make(SMQ_MODE_UPDATE);
	assert_int_equal(rig_join(r, A, "g"), SMQ_OK);
	rig_pass(r, 2000, 100);
	assert_true(rig_start(r, 1));
	rig_pass(r, 6000, 100);
	assert_int_equal(r->servers[1].rivals, 1);
	assert_int_equal(r->servers[0].rivals, 0);
	assert_int_equal(rig_join(r, B, "g"), SMQ_OK);
	assert_true(rig_same_keys(r, A, B, "g"));
	rig_stop(r, 1);
	/* after the first one has gone, the second may take its place */
	rig_stop(r, 0);
	rig_pass(r, 1000, 100);
	assert_true(rig_start(r, 1));
	rig_pass(r, 20000, 500);
	assert_int_equal(r->servers[1].rivals, 1);
}

/* What a broker has heard of claims, to be played back. */
static struct heard_claims {
	uint8_t bytes[64][2048];
	size_t lens[64], count;
} heard;

static void hear_claim(void *self, const char *topic, smq_span payload)
{
	struct heard_claims *h = self;
	if (!strstr(topic, "/ks/claim") || h->count == 64)
		return;
	assert_true(payload.len <= sizeof(h->bytes[0]));
	memcpy(h->bytes[h->count], payload.p, payload.len);
	h->lens[h->count++] = payload.len;
}

static void play_claims_back(void)
{
	size_t count = heard.count;
	r->heard = NULL;
	for (size_t i = 0; i < count; i++) {
		rig_publish(r, "sealmq/world/ks/claim", smq_span_of(heard.bytes[i], heard.lens[i]));
		rig_pass(r, 400, 200);
	}
}

/* Claims of a life that is over, some of them answers to somebody else, by clocks that say that they are of now. */
static void claims_that_are_played_back_stop_nobody(void **state)
{
	(void)state;
	make(SMQ_MODE_UPDATE);
	heard.count = 0;
	r->others = &heard;
	r->heard = hear_claim;
	rig_pass(r, 20000, 500);
	assert_true(rig_start(r, 1));
	rig_pass(r, 6000, 100);
	assert_int_equal(r->servers[1].rivals, 1);
	assert_true(heard.count > 5);
	rig_stop(r, 0);
	rig_stop(r, 1);
	for (int ahead = 0; ahead < 2; ahead++) {
		/* its clock, or that of its former life, is wrong */
		rig_time.unix_ms += ahead ? 7200 * 1000 : -3600 * 1000;
		assert_true(rig_start(r, 0));
		rig_pass(r, 2000, 100);
		play_claims_back();
		assert_int_equal(r->servers[0].rivals, 0);
		assert_int_equal(rig_join(r, A + ahead, "g"), SMQ_OK);
		rig_stop(r, 0);
	}
}

/* An answer that the broker kept back until the other one had gone. */
static void an_answer_that_comes_too_late_stops_nobody(void **state)
{
	(void)state;
	make(SMQ_MODE_UPDATE);
	heard.count = 0;
	r->others = &heard;
	r->claim_deaf = 2;
	rig_pass(r, 2000, 100);
	r->heard = hear_claim;
	assert_true(rig_start(r, 1));
	rig_pass(r, 6000, 100);
	assert_true(heard.count >= 4);
	assert_int_equal(r->servers[1].rivals, 0); /* it has heard nothing */
	rig_stop(r, 0);
	rig_pass(r, 20000, 500);
	r->claim_deaf = 0;
	play_claims_back();
	assert_int_equal(r->servers[1].rivals, 0);
}

/* A flood of claims, true ones at that, costs a bounded number of signatures and of answers. */
static void a_flood_of_claims_is_answered_once_a_second(void **state)
{
	(void)state;
	make(SMQ_MODE_UPDATE);
	heard.count = 0;
	r->others = &heard;
	r->heard = hear_claim;
	rig_pass(r, 6000, 500);
	rig_stop(r, 0);
	assert_true(rig_start(r, 0));
	rig_pass(r, 2000, 100);
	uint64_t sent = heard.count;
	uint8_t old[2048];
	size_t len = heard.lens[0];
	memcpy(old, heard.bytes[0], len);
	for (int i = 0; i < 2000; i++) {
		r->heard = NULL; /* it is not ours */
		rig_publish(r, "sealmq/world/ks/claim", smq_span_of(old, len));
		rig_settle(r);
		r->heard = hear_claim;
		rig_pass(r, 5, 5);
	}
	assert_in_range(heard.count - sent, 4, 12); /* in ten seconds */
	assert_int_equal(r->servers[0].rivals, 0);
}

#define row(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_in_a_join),
		cmocka_unit_test(killed_in_a_leave),
		cmocka_unit_test(killed_in_a_rotation),
		cmocka_unit_test(killed_in_an_expulsion),
		cmocka_unit_test(killed_when_a_member_restarts),
		cmocka_unit_test(killed_in_a_change_of_policy),
		cmocka_unit_test(killed_when_a_key_is_registered),
		cmocka_unit_test(killed_when_a_key_is_unregistered),
		row(a_full_disk_changes_nothing),
		row(what_is_asked_twice_is_answered_when_it_is_durable),
		row(what_the_broker_did_not_get_comes_after_the_restart),
		cmocka_unit_test(a_restore_jumps_ahead),
		cmocka_unit_test(a_rollback_that_nobody_announced_is_noticed),
		row(a_lost_database_goes_on_above_what_the_broker_has),
		cmocka_unit_test(killed_in_a_restore),
		row(another_realms_database_is_refused),
		row(a_damaged_database_is_refused),
		row(the_second_key_server_stops),
		row(claims_that_are_played_back_stop_nobody),
		row(an_answer_that_comes_too_late_stops_nobody),
		row(a_flood_of_claims_is_answered_once_a_second),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
