/* wire/manifest and core/manifest_chain: the document, and what a member makes of a run of them (PROTOCOL.md 6.6). */
#include <stdio.h>

#include "cmocka_all.h"

#include "base/table.h"
#include "core/manifest_chain.h"
#include "signing.h"

enum { NOW = 1000, SIGNED_MAX = SMQ_MANIFEST_MAX + SMQ_SIGN1_OVERHEAD_MAX };

static struct signing server, rival, member;

struct published {
	uint8_t bytes[SIGNED_MAX];
	size_t len;
	uint8_t hash[SMQ_HASH_LEN];
	uint64_t epoch;
};

static struct smq_manifest usual(void)
{
	struct smq_manifest m = { .realm = smq_span_str("plant"),
				  .group = smq_span_str("temps"),
				  .epoch = 1,
				  .activate_at_ms = 500,
				  .expires_ms = 100000,
				  .tree_height = 9,
				  .member_count = 100000,
				  .root_version = 3,
				  .members = { 1 },
				  .policy_number = 4,
				  .policy = { 2 },
				  .commitment = { 3 },
				  .mode = SMQ_MODE_UPDATE };
	return m;
}

static void publish(const struct smq_manifest *m, const struct signing *by, struct published *p)
{
	uint8_t document[SMQ_MANIFEST_MAX];
	size_t len = 0;
	assert_int_equal(smq_manifest_encode(m, smq_mspan_of(document, sizeof(document)), &len), SMQ_OK);
	assert_int_equal(smq_manifest_hash(smq_crypto_openssl(), smq_span_of(document, len), p->hash), SMQ_OK);
	assert_int_equal(
	    smq_manifest_sign(smq_span_of(document, len), &by->own, smq_mspan_of(p->bytes, sizeof(p->bytes)), &p->len),
	    SMQ_OK);
	p->epoch = m->epoch;
}

/* The manifest of an epoch, after another one; variant makes documents of one epoch differ. */
static struct published next_of(uint64_t epoch, const struct published *after, uint8_t variant,
				const struct signing *by)
{
	struct smq_manifest m = usual();
	struct published p;
	m.epoch = epoch;
	m.commitment[1] = variant;
	if (after) {
		m.previous_epoch = after->epoch;
		memcpy(m.previous, after->hash, SMQ_HASH_LEN);
	}
	publish(&m, by, &p);
	return p;
}

static smq_err input(const struct smq_manifest_chain *chain, const struct published *p, const struct signing *by,
		     int64_t now_ms, struct smq_manifest_step *ret_step)
{
	return smq_manifest_chain_input(chain, smq_crypto_openssl(), smq_span_of(p->bytes, p->len), &by->credential,
					smq_span_str("plant"), smq_span_str("temps"), now_ms, ret_step);
}

static bool same_chain(const struct smq_manifest_chain *a, const struct smq_manifest_chain *b)
{
	return a->epoch == b->epoch && memcmp(a->hash, b->hash, SMQ_HASH_LEN) == 0 && a->expires_ms == b->expires_ms &&
	       strcmp(a->signer, b->signer) == 0;
}

static enum smq_manifest_verdict feed(struct smq_manifest_chain *chain, const struct published *p,
				      const struct signing *by)
{
	struct smq_manifest_step step;
	struct smq_manifest_chain before = *chain;
	assert_int_equal(input(chain, p, by, NOW, &step), SMQ_OK);
	assert_true(same_chain(chain, &before));
	assert_int_equal(!smq_manifest_is_accepted(step.verdict), same_chain(&step.next, &before));
	*chain = step.next;
	return step.verdict;
}

static void the_document(void **state)
{
	(void)state;
	struct smq_manifest m = usual(), back;
	uint8_t room[SMQ_MANIFEST_MAX], again[SMQ_MANIFEST_MAX];
	size_t len = 0, again_len = 0;
	struct published p;
	m.mode = SMQ_MODE_SLOTTED;
	m.slot_start_ms = -5;
	m.slot_ms = 10000;
	m.slot_levels = 16;
	assert_int_equal(smq_manifest_encode(&m, smq_mspan_of(room, sizeof(room)), &len), SMQ_OK);
	assert_int_equal(smq_manifest_decode(smq_span_of(room, len), &back), SMQ_OK);
	assert_int_equal(back.slot_levels, 16);
	assert_int_equal(back.slot_start_ms, -5);
	assert_int_equal(smq_manifest_encode(&back, smq_mspan_of(again, sizeof(again)), &again_len), SMQ_OK);
	assert_int_equal(again_len, len);
	assert_memory_equal(room, again, len);
	back.epoch = 77;
	for (size_t cut = 0; cut < len; cut++)
		assert_int_not_equal(smq_manifest_decode(smq_span_of(room, cut), &back), SMQ_OK);
	assert_int_equal(back.epoch, 77);
	publish(&m, &server, &p);
	printf("# a slotted manifest: %zu bytes, signed %zu\n", len, p.len);
}

static void the_largest_fits(void **state)
{
	(void)state;
	char name[SMQ_MEMBER_NAME_MAX];
	uint8_t room[SMQ_MANIFEST_MAX];
	size_t len = 0;
	struct smq_manifest m = usual();
	memset(name, 'x', sizeof(name));
	m.realm = m.group = smq_span_of(name, sizeof(name));
	m.epoch = m.root_version = m.policy_number = UINT64_MAX;
	m.previous_epoch = UINT64_MAX - 1;
	m.previous[0] = 1;
	m.activate_at_ms = INT64_MAX - 1;
	m.expires_ms = INT64_MAX;
	m.tree_height = 12;
	m.member_count = 1 << 24;
	m.mode = SMQ_MODE_SLOTTED;
	m.slot_start_ms = INT64_MIN;
	m.slot_ms = SMQ_POLICY_SLOT_MAX_MS;
	m.slot_levels = SMQ_SLOT_LEVELS_MAX;
	assert_int_equal(smq_manifest_encode(&m, smq_mspan_of(room, sizeof(room)), &len), SMQ_OK);
	printf("# the largest manifest: %zu bytes\n", len);
}

static void out_of_bounds(void **state)
{
	(void)state;
#define SPOILED(n, change)                                                                                             \
	case n:                                                                                                        \
		change;                                                                                                \
		break
	for (int row = 1; row <= 19; row++) {
		struct smq_manifest m = usual();
		uint8_t room[SMQ_MANIFEST_MAX];
		size_t len = 77;
		switch (row) {
			SPOILED(1, m.realm = smq_span_str("a/b"));
			SPOILED(2, m.group = smq_span_str("*"));
			SPOILED(3, m.epoch = 0);
			SPOILED(4, m.previous_epoch = 1; m.previous[0] = 1);
			SPOILED(5, m.epoch = 9; m.previous_epoch = 3);
			SPOILED(6, m.previous[31] = 1);
			SPOILED(7, m.activate_at_ms = -1);
			SPOILED(8, m.activate_at_ms = m.expires_ms);
			SPOILED(9, m.expires_ms = -1);
			SPOILED(10, m.tree_height = 0);
			SPOILED(11, m.tree_height = 13);
			SPOILED(12, m.member_count = (1 << 18) + 1);
			SPOILED(13, m.policy_number = 0);
			SPOILED(14, m.mode = (enum smq_policy_mode)3);
			SPOILED(15, m.mode = SMQ_MODE_SLOTTED);
			SPOILED(16, m.mode = SMQ_MODE_SLOTTED; m.slot_ms = 10000; m.slot_levels = 21);
			SPOILED(17, m.mode = SMQ_MODE_SLOTTED; m.slot_ms = 99; m.slot_levels = 16);
			SPOILED(18, m.mode = SMQ_MODE_SLOTTED; m.slot_ms = 86400001; m.slot_levels = 16);
			SPOILED(19, m.mode = SMQ_MODE_SLOTTED; m.slot_ms = 10000; m.slot_levels = 0);
		}
		if (smq_manifest_encode(&m, smq_mspan_of(room, sizeof(room)), &len) != SMQ_ERR_USAGE || len != 77)
			fail_msg("row %d was encoded", row);
	}
}

static void a_usual_life(void **state)
{
	(void)state;
	struct smq_manifest_chain chain = { 0 };
	struct published a = next_of(5, NULL, 0, &server), b = next_of(6, &a, 0, &server),
			 c = next_of(7, &b, 0, &server);
	struct published d = next_of(12, &c, 0, &server), e = next_of(13, &d, 0, &server);
	assert_int_equal(feed(&chain, &a, &server), SMQ_MANIFEST_FIRST);
	assert_int_equal(feed(&chain, &a, &server), SMQ_MANIFEST_SAME);
	assert_int_equal(feed(&chain, &b, &server), SMQ_MANIFEST_LINKED);
	assert_int_equal(feed(&chain, &a, &server), SMQ_MANIFEST_STALE);
	assert_int_equal(feed(&chain, &c, &server), SMQ_MANIFEST_LINKED);
	/* a restored key server has jumped ahead: no gap, it says what it follows */
	assert_int_equal(feed(&chain, &d, &server), SMQ_MANIFEST_LINKED);
	assert_int_equal(feed(&chain, &e, &server), SMQ_MANIFEST_LINKED);
	assert_int_equal(feed(&chain, &c, &server), SMQ_MANIFEST_STALE);
	assert_int_equal(chain.epoch, 13);
	assert_memory_equal(chain.hash, e.hash, SMQ_HASH_LEN);
	/* one who slept through three of them */
	struct smq_manifest_chain sleeper = { 0 };
	assert_int_equal(feed(&sleeper, &b, &server), SMQ_MANIFEST_FIRST);
	assert_int_equal(feed(&sleeper, &e, &server), SMQ_MANIFEST_GAP);
	assert_int_equal(sleeper.epoch, 13);
}

static void two_stories(void **state)
{
	(void)state;
	struct published a = next_of(5, NULL, 0, &server), a2 = next_of(5, NULL, 9, &server);
	struct published b = next_of(6, &a, 0, &server), b2 = next_of(6, &a2, 9, &server);
	struct published late = next_of(9, &a, 9, &server), old = next_of(4, NULL, 0, &server);
	struct published around = next_of(9, &old, 9, &server), start = next_of(9, NULL, 9, &server);
	struct published theirs = next_of(6, &a, 9, &rival), same = next_of(6, &a, 0, &rival);
	struct published on = next_of(7, &b, 0, &rival);
	struct smq_manifest_chain chain = { 0 };
	struct smq_manifest_step step;
	assert_int_equal(feed(&chain, &a, &server), SMQ_MANIFEST_FIRST);
	assert_int_equal(feed(&chain, &a2, &server), SMQ_MANIFEST_FORK);     /* this epoch, told otherwise */
	assert_int_equal(feed(&chain, &b2, &server), SMQ_MANIFEST_FORK);     /* the next one, after another past */
	assert_int_equal(feed(&chain, &around, &server), SMQ_MANIFEST_FORK); /* a past that leaves ours out */
	assert_int_equal(feed(&chain, &start, &server), SMQ_MANIFEST_FORK);  /* or that begins anew */
	assert_int_equal(feed(&chain, &b, &server), SMQ_MANIFEST_LINKED);
	assert_int_equal(feed(&chain, &late, &server), SMQ_MANIFEST_FORK); /* two followers of one */
	assert_int_equal(feed(&chain, &theirs, &rival), SMQ_MANIFEST_TWO_SERVERS);
	/* the very same document, signed by another: one story, whoever tells it */
	assert_int_equal(feed(&chain, &same, &rival), SMQ_MANIFEST_SAME);
	/* another key server goes on with our history: taken, and said */
	assert_int_equal(input(&chain, &on, &rival, NOW, &step), SMQ_OK);
	assert_int_equal(step.verdict, SMQ_MANIFEST_LINKED);
	assert_true(step.signer_changed);
	assert_string_equal(step.next.signer, "rival");
}

static void expiry(void **state)
{
	(void)state;
	struct published a = next_of(5, NULL, 0, &server), b = next_of(6, &a, 0, &server);
	struct smq_manifest_chain chain = { 0 };
	struct smq_manifest_step step;
	assert_true(smq_manifest_chain_expired(&chain, 0));
	assert_int_equal(feed(&chain, &a, &server), SMQ_MANIFEST_FIRST);
	assert_false(smq_manifest_chain_expired(&chain, 99999));
	assert_true(smq_manifest_chain_expired(&chain, 100000));
	assert_int_equal(input(&chain, &b, &server, 100000, &step), SMQ_OK);
	assert_int_equal(step.verdict, SMQ_MANIFEST_EXPIRED);
	assert_int_equal(step.next.epoch, 5);
	assert_int_equal(input(&chain, &b, &server, 99999, &step), SMQ_OK);
	assert_int_equal(step.verdict, SMQ_MANIFEST_LINKED);
}

static void not_a_manifest_of_ours(void **state)
{
	(void)state;
	struct smq_manifest_chain chain = { 0 };
	struct smq_manifest_step step = { .verdict = SMQ_MANIFEST_SAME };
	const struct smq_crypto *c = smq_crypto_openssl();
	struct published p = next_of(5, NULL, 0, &server), by_member = next_of(5, NULL, 0, &member);
	smq_span bytes = smq_span_of(p.bytes, p.len), plant = smq_span_str("plant"), temps = smq_span_str("temps");
	assert_int_equal(input(&chain, &by_member, &member, NOW, &step), SMQ_ERR_CERT_USAGE);
	assert_int_equal(input(&chain, &p, &rival, NOW, &step), SMQ_ERR_SIGNATURE);
	assert_int_equal(smq_manifest_chain_input(&chain, c, bytes, &server.credential, temps, temps, NOW, &step),
			 SMQ_ERR_REALM);
	assert_int_equal(smq_manifest_chain_input(&chain, c, bytes, &server.credential, plant, plant, NOW, &step),
			 SMQ_ERR_NAME);
	for (size_t bit = 0; bit < 8 * p.len; bit += 5) {
		p.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_not_equal(input(&chain, &p, &server, NOW, &step), SMQ_OK);
		p.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_int_equal(step.verdict, SMQ_MANIFEST_SAME); /* untouched */
	assert_int_equal(smq_manifest_sign(smq_span_str("\x80"), &server.own, smq_mspan_of(NULL, 0), &(size_t){ 0 }),
			 SMQ_ERR_MALFORMED);
}

static void under_which_policy(void **state)
{
	(void)state;
	struct smq_manifest m = usual();
	struct smq_policy_mark mark = { .number = 4, .digest = { 2 } };
	assert_int_equal(smq_manifest_policy_check(&m, &mark), SMQ_OK);
	mark.digest[5] = 1;
	assert_int_equal(smq_manifest_policy_check(&m, &mark), SMQ_ERR_EXISTS);
	mark.number = 5;
	assert_int_equal(smq_manifest_policy_check(&m, &mark), SMQ_ERR_STALE_EPOCH);
	mark.number = 3;
	assert_int_equal(smq_manifest_policy_check(&m, &mark), SMQ_ERR_STATE);
}

static void durable_state(void **state)
{
	(void)state;
	struct smq_manifest_chain chain = { 0 }, back = { .epoch = 77 }, none = { 0 };
	struct published a = next_of(5, NULL, 0, &server);
	uint8_t room[SMQ_MANIFEST_CHAIN_MAX];
	size_t len = 0;
	assert_int_equal(feed(&chain, &a, &server), SMQ_MANIFEST_FIRST);
	assert_int_equal(smq_manifest_chain_encode(&chain, smq_mspan_of(room, sizeof(room)), &len), SMQ_OK);
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(smq_manifest_chain_decode(smq_span_of(room, cut), &back), SMQ_ERR_CORRUPT);
	assert_int_equal(back.epoch, 77);
	assert_int_equal(smq_manifest_chain_decode(smq_span_of(room, len), &back), SMQ_OK);
	assert_true(same_chain(&back, &chain));
	room[len] = 0;
	assert_int_equal(smq_manifest_chain_decode(smq_span_of(room, len + 1), &back), SMQ_ERR_CORRUPT);
	room[1] = 2;
	assert_int_equal(smq_manifest_chain_decode(smq_span_of(room, len), &back), SMQ_ERR_CORRUPT);
	assert_int_equal(smq_manifest_chain_encode(&none, smq_mspan_of(room, sizeof(room)), &len), SMQ_OK);
	assert_int_equal(smq_manifest_chain_decode(smq_span_of(room, len), &back), SMQ_ERR_CORRUPT);
	memset(chain.signer, 'x', SMQ_MEMBER_NAME_MAX);
	chain.epoch = UINT64_MAX;
	chain.expires_ms = INT64_MAX;
	assert_int_equal(smq_manifest_chain_encode(&chain, smq_mspan_of(room, sizeof(room)), &len), SMQ_OK);
	assert_int_equal(smq_manifest_chain_decode(smq_span_of(room, len), &back), SMQ_OK);
}

static void verdicts_have_names(void **state)
{
	(void)state;
	for (int v = SMQ_MANIFEST_FIRST; v <= SMQ_MANIFEST_TWO_SERVERS; v++) {
		assert_string_not_equal(smq_manifest_verdict_name((enum smq_manifest_verdict)v), "unknown");
		assert_int_equal(smq_manifest_is_accepted((enum smq_manifest_verdict)v), v < SMQ_MANIFEST_SAME);
	}
}

static int start(void **state)
{
	(void)state;
	signing_init(&server, SMQ_P256, 7, SMQ_ROLE_KEYSERVER | SMQ_ROLE_MEMBER, "keys");
	signing_init(&rival, SMQ_P256, 8, SMQ_ROLE_KEYSERVER, "rival");
	signing_init(&member, SMQ_P256, 9, SMQ_ROLE_MEMBER | SMQ_ROLE_ADMIN, "fridge");
	return 0;
}

static int stop(void **state)
{
	(void)state;
	signing_done(&server);
	signing_done(&rival);
	signing_done(&member);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_document),
		cmocka_unit_test(the_largest_fits),
		cmocka_unit_test(out_of_bounds),
		cmocka_unit_test(a_usual_life),
		cmocka_unit_test(two_stories),
		cmocka_unit_test(expiry),
		cmocka_unit_test(not_a_manifest_of_ours),
		cmocka_unit_test(under_which_policy),
		cmocka_unit_test(durable_state),
		cmocka_unit_test(verdicts_have_names),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
