/* app/keyserver under a flood: what strangers cost it, and what is bounded (PROTOCOL.md 7.2; THREATS.md). */
#include <stdio.h>
#include <stdlib.h>

#include "cmocka_all.h"

#include <sealmq/client.h>

#include "app/keyserver_inner.h"
#include "app/prng.h"
#include "base/table.h"
#include "keyserver_rig.h"

enum { A = RIG_FIRST, B, C, D, PEERS, KINDS = SMQ_KEYEX_ANSWER + 1 };

static struct rig *r;

/* ---- what the key server does with its crypto ---- */

static struct {
	struct smq_crypto crypto;
	unsigned verified, agreed;
	struct smq_signer signer;
	unsigned signatures;
} counted;

static smq_err count_verify(enum smq_sig_id alg, smq_span public_key, const smq_span *parts, size_t count,
			    const uint8_t signature[SMQ_SIG_LEN])
{
	counted.verified++;
	return smq_crypto_openssl()->verify(alg, public_key, parts, count, signature);
}

static smq_err count_agree(enum smq_curve curve, const uint8_t secret[SMQ_KEX_LEN],
			   const uint8_t peer_public[SMQ_KEX_LEN], uint8_t ret_shared[SMQ_KEX_LEN])
{
	counted.agreed++;
	return smq_crypto_openssl()->kex_agree(curve, secret, peer_public, ret_shared);
}

static smq_err count_sign(void *self, const smq_span *parts, size_t count, uint8_t ret_signature[SMQ_SIG_LEN])
{
	counted.signatures++;
	return counted.signer.sign(self, parts, count, ret_signature);
}

static void nothing_counted(void) { counted.verified = counted.agreed = counted.signatures = 0; }

static int start(void **state)
{
	(void)state;
	r = rig_new(PEERS);
	counted.crypto = *smq_crypto_openssl();
	counted.crypto.verify = count_verify;
	counted.crypto.kex_agree = count_agree;
	counted.signer = r->peers[RIG_KEYSERVER].own.signer;
	r->peers[RIG_KEYSERVER].own.signer.sign = count_sign;
	r->crypto = &counted.crypto;
	assert_true(rig_start(r, 0));
	struct smq_policy p = rig_policy("g", SMQ_MODE_STATIC);
	assert_int_equal(rig_set_policy(r, &p), SMQ_OK);
	nothing_counted();
	return 0;
}

static int stop(void **state)
{
	(void)state;
	r->peers[RIG_KEYSERVER].own.signer = counted.signer;
	rig_free(r);
	return 0;
}

static void to_server(const char *topic, smq_span payload, bool retained)
{
	smq_keyserver_input(r->servers[0].ks, topic, payload, retained);
}

/* ---- a genuine exchange, to be spoilt ---- */

static struct {
	uint8_t bytes[2048];
	size_t len;
} genuine[KINDS];
static const char topic_a[] = "sealmq/world/ks/q/m03";

static void record(void *self, const char *topic, smq_span payload)
{
	struct smq_keyex k;
	(void)self;
	if (strcmp(topic, topic_a) != 0 || smq_keyex_decode(payload, &k) != SMQ_OK ||
	    payload.len > sizeof(genuine[0].bytes))
		return;
	memcpy(genuine[k.kind].bytes, payload.p, payload.len);
	genuine[k.kind].len = payload.len;
}

/* Up to the message of this kind, which is recorded and stays on its way. */
static void stop_at(enum smq_keyex_kind kind)
{
	struct smq_ks_request q = rig_join_request(r, A, "g");
	memset(genuine, 0, sizeof(genuine));
	r->heard = record;
	r->hold = kind;
	rig_ask(r, A, &q);
	rig_settle(r);
	r->heard = NULL;
	assert_non_null(r->held.topic);
	memcpy(genuine[kind].bytes, r->held.bytes, r->held.len);
	genuine[kind].len = r->held.len;
}

/* The rest goes on as if nothing had been. */
static void goes_on(void)
{
	rig_release(r);
	if (genuine[SMQ_KEYEX_REQUEST].len > 0) /* which overtook message_3 */
		rig_publish(r, topic_a, smq_span_of(genuine[SMQ_KEYEX_REQUEST].bytes, genuine[SMQ_KEYEX_REQUEST].len));
	for (int i = 0; i < 20 && !r->peers[A].answered; i++)
		rig_pass(r, 100, 50);
	assert_true(r->peers[A].answered);
	assert_int_equal(r->peers[A].status, SMQ_OK);
}

/* ---- junk ---- */

static void junk_costs_a_look(void **state)
{
	(void)state;
	static const char *const topics[] = { topic_a, "sealmq/world/ks/q/nobody", "sealmq/world/ks/claim",
					      "sealmq/world/g/g/m", "sealmq/world/g/h/m" };
	struct smq_prng prng = { 4711 };
	uint8_t bytes[600];
	uint64_t sent = r->sent;
	for (int i = 0; i < 4000; i++) {
		size_t len = (size_t)(smq_prng_next(&prng) % sizeof(bytes));
		for (size_t b = 0; b < len; b++)
			bytes[b] = (uint8_t)(smq_prng_next(&prng) >> 13);
		if (i % 2 && len > 0)
			bytes[0] = 0x86; /* as an envelope begins */
		to_server(topics[i % (int)SMQ_COUNT(topics)], smq_span_of(bytes, len), i % 3 == 0);
	}
	rig_settle(r);
	assert_int_equal(r->sent, sent);
	assert_int_equal(counted.verified + counted.agreed + counted.signatures, 0);
	assert_int_equal(rig_join(r, A, "g"), SMQ_OK);
	assert_true(counted.verified > 0 && counted.agreed > 0 && counted.signatures > 0); /* they do count */
}

/* Every truncation of every message, and every flipped bit of those that are to be proven. */
static void spoilt_messages_cost_no_signature(void **state)
{
	static const enum smq_keyex_kind kinds[] = { SMQ_KEYEX_MESSAGE_1, SMQ_KEYEX_MESSAGE_3, SMQ_KEYEX_REQUEST };
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(kinds); i++) {
		stop_at(kinds[i]);
		uint8_t *bytes = genuine[kinds[i]].bytes;
		size_t len = genuine[kinds[i]].len;
		uint64_t sent = r->sent;
		nothing_counted();
		for (size_t cut = 0; cut < len; cut++)
			to_server(topic_a, smq_span_of(bytes, cut), false);
		for (size_t bit = 0; kinds[i] != SMQ_KEYEX_MESSAGE_1 && bit < 8 * len; bit++) {
			bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
			to_server(topic_a, smq_span_of(bytes, len), false);
			bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		to_server(topic_a, smq_span_of(bytes, len), true);                  /* retained: not from now */
		to_server("sealmq/world/ks/q/m04", smq_span_of(bytes, len), false); /* on another's topic */
		rig_settle(r);
		assert_int_equal(counted.verified, 0);
		assert_int_equal(r->sent, sent);
		goes_on();
	}
}

/* message_1 is the one thing that a stranger gets an answer to: one of ours for each, at a limited rate. */
static void a_stranger_costs_one_signature_at_a_limited_rate(void **state)
{
	(void)state;
	stop_at(SMQ_KEYEX_MESSAGE_1);
	nothing_counted();
	rig_pass(r, 1000, 100);
	for (int i = 0; i < 3000; i++)
		to_server(topic_a, smq_span_of(genuine[SMQ_KEYEX_MESSAGE_1].bytes, genuine[SMQ_KEYEX_MESSAGE_1].len),
			  false);
	assert_int_equal(counted.verified, 0);
	assert_true(counted.signatures <= 2000 && counted.signatures >= 1900);
	rig_settle(r);
	rig_pass(r, 1000, 100);
	assert_int_equal(rig_join(r, B, "g"), SMQ_OK); /* honest members keep working */
}

/* ---- bounds ---- */

static void what_comes_before_the_start_is_over_is_bounded(void **state)
{
	(void)state;
	stop_at(SMQ_KEYEX_MESSAGE_1);
	struct smq_keyserver *ks = r->servers[0].ks;
	ks->settled = false;
	ks->settle_until = rig_time.mono_ms + 1000;
	for (size_t i = 0; i < ks->group_count; i++)
		ks->groups[i]->heard = false;
	for (int i = 0; i < 3 * KS_EARLY_MAX; i++)
		to_server(topic_a, smq_span_of(genuine[SMQ_KEYEX_MESSAGE_1].bytes, genuine[SMQ_KEYEX_MESSAGE_1].len),
			  false);
	assert_int_equal(ks->early_count, KS_EARLY_MAX);
	rig_pass(r, 3000, 100);
	assert_int_equal(ks->early_count, 0);
	assert_int_equal(rig_join(r, B, "g"), SMQ_OK);
}

static void answers_that_a_broker_does_not_take_are_bounded(void **state)
{
	(void)state;
	stop_at(SMQ_KEYEX_MESSAGE_1);
	struct smq_keyserver *ks = r->servers[0].ks;
	r->broker_stuck = true;
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 1900; i++)
			to_server(topic_a,
				  smq_span_of(genuine[SMQ_KEYEX_MESSAGE_1].bytes, genuine[SMQ_KEYEX_MESSAGE_1].len),
				  false);
		assert_true(ks->reply_count <= KS_REPLIES_MAX);
		rig_pass(r, 1000, 500);
	}
	assert_int_equal(ks->reply_count, KS_REPLIES_MAX);
	r->broker_stuck = false;
	rig_pass(r, 5000, 100);
	assert_int_equal(rig_join(r, B, "g"), SMQ_OK);
}

/* Lines of the log that the disk does not take: requests are refused, and no line is lost. */
static void lines_that_wait_for_the_disk_are_bounded(void **state)
{
	(void)state;
	struct smq_keyserver *ks = r->servers[0].ks;
	assert_int_equal(rig_join(r, A, "g"), SMQ_OK);
	r->stores[0].fail_commit = SMQ_ERR_DISK_FULL;
	while (ks->note_count + 2 < KS_NOTES_MAX)
		ks_note(ks, "join", "m06", "g", "", SMQ_ERR_NOT_AUTHORIZED);
	struct smq_ks_request q = rig_request(SMQ_KS_FETCH, "g");
	assert_int_equal(rig_asked(r, A, &q), SMQ_ERR_FULL);
	for (int i = 0; i < 10; i++)
		ks_note(ks, "join", "m06", "g", "", SMQ_ERR_NOT_AUTHORIZED);
	assert_int_equal(ks->note_count, KS_NOTES_MAX);
	r->stores[0].fail_commit = SMQ_OK;
	rig_pass(r, 2000, 100);
	assert_int_equal(ks->note_count, 0);
	assert_int_equal(rig_asked(r, A, &q), SMQ_OK);
}

#define row(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		row(junk_costs_a_look),
		row(spoilt_messages_cost_no_signature),
		row(a_stranger_costs_one_signature_at_a_limited_rate),
		row(what_comes_before_the_start_is_over_is_bounded),
		row(answers_that_a_broker_does_not_take_are_bounded),
		row(lines_that_wait_for_the_disk_are_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
