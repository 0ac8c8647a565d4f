/* core/edhoc: whole runs of every method and suite, and everything that must not make one. */
#include "edhoc_rig.h"

#include "base/text.h"
#include "base/wipe.h"

static struct rig_pair pair, other;

static bool all_zero(const void *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (((const uint8_t *)p)[i] != 0)
			return false;
	}
	return true;
}

/* ---- runs that succeed ---- */

static void every_method_and_suite_agrees(void **state)
{
	(void)state;
	for (int suite = 0; suite <= 6; suite++) {
		for (int method = 0; method <= 3; method++) {
			rig_pair_init(&pair, method, suite);
			rig_run(&pair, 5);
			rig_assert_agreed(&pair);
			assert_int_equal(smq_edhoc_suite(&pair.i.e), suite);
			assert_int_equal(smq_edhoc_suite(&pair.r.e), suite);
			assert_int_equal(smq_edhoc_method(&pair.r.e), method);
			assert_memory_equal(smq_edhoc_peer_cid(&pair.r.e).p, "\x37", 1);
			assert_memory_equal(smq_edhoc_peer_cid(&pair.i.e).p, "\x18\x99", 2);
			rig_pair_done(&pair);
		}
	}
}

static void sizes_are_printed(void **state)
{
	(void)state;
	static const char *const names[] = { "x5chain (320-byte certificate)", "x5t", "kid" };
	printf("# EDHOC: sizeof(struct smq_edhoc) = %zu\n", sizeof(struct smq_edhoc));
	for (int how = RIG_X5CHAIN; how <= RIG_KID; how++) {
		for (int suite = 0; suite <= 6; suite++) {
			for (int method = 0; method <= 3; method += 3) {
				rig_pair_init(&pair, method, suite);
				pair.i.config.own_by_hash = pair.r.config.own_by_hash = how == RIG_X5T;
				rig_choose_id(&pair.i.id, (enum rig_id)how);
				rig_choose_id(&pair.r.id, (enum rig_id)how);
				rig_run(&pair, 5);
				rig_assert_agreed(&pair);
				printf("# EDHOC %s, method %d, suite %d: %zu + %zu + %zu + %zu bytes\n", names[how],
				       method, suite, pair.m[1].len, pair.m[2].len, pair.m[3].len, pair.m[4].len);
				rig_pair_done(&pair);
			}
		}
	}
	assert_true(sizeof(struct smq_edhoc) < 12 * 1024); /* as edhoc_machine.h says */
}

static void ead_comes_through_in_each_message(void **state)
{
	(void)state;
	static const uint8_t items[5][4] = {
		{ 0 }, { 0x01, 0x41, 0xa1 }, { 0x02, 0x41, 0xa2 }, { 0x03, 0x41, 0xa3 }, { 0x04, 0x41, 0xa4 }
	};
	rig_pair_init(&pair, 3, 2);
	for (int n = 1; n <= 4; n++)
		pair.i.config.ead[n] = pair.r.config.ead[n] = smq_span_of(items[n], 3);
	rig_run(&pair, 5);
	rig_assert_agreed(&pair);
	for (int n = 1; n <= 4; n++) {
		const struct smq_edhoc *to = n % 2 ? &pair.r.e : &pair.i.e;
		const struct smq_edhoc *from = n % 2 ? &pair.i.e : &pair.r.e;
		assert_true(smq_span_equal(smq_edhoc_peer_ead(to, n), smq_span_of(items[n], 3)));
		assert_int_equal(smq_edhoc_peer_ead(from, n).len, 0);
	}
	assert_int_equal(smq_edhoc_peer_ead(&pair.i.e, 0).len, 0);
	assert_int_equal(smq_edhoc_peer_ead(&pair.i.e, 5).len, 0);
	rig_pair_done(&pair);
}

/* A critical item that is not known ends the run, in whichever message it comes; a known one does not. */
static void critical_ead_is_understood_or_refused(void **state)
{
	(void)state;
	static const uint8_t critical[] = { 0x24, 0x41, 0x01 }; /* label -5 */
	static const int known[] = { 4, 5 };
	struct rig_message out;
	for (int n = 1; n <= 4; n++) {
		for (int knows = 0; knows <= 1; knows++) {
			rig_pair_init(&pair, 0, 2);
			struct rig_party *from = n % 2 ? &pair.i : &pair.r, *to = n % 2 ? &pair.r : &pair.i;
			from->config.ead[n] = smq_span_of(critical, sizeof(critical));
			to->config.ead_known = known;
			to->config.ead_known_count = knows ? 2 : 1;
			rig_run(&pair, n);
			smq_err err = n == 1 ? rig_step(&pair, 2)
					     : smq_edhoc_input(&to->e, rig_span(&pair.m[n]), rig_now_ms, rig_room(&out),
							       &out.len);
			assert_int_equal(err, knows ? SMQ_OK : SMQ_ERR_UNSUPPORTED);
			if (!knows) {
				assert_int_equal(smq_edhoc_state(&to->e), SMQ_EDHOC_FAILED);
				assert_true(smq_edhoc_is_error(n == 1 ? rig_span(&pair.m[2]) : rig_span(&out)));
			}
			rig_pair_done(&pair);
		}
	}
}

static void keys_update_on_both_sides(void **state)
{
	(void)state;
	uint8_t before[16], after[16];
	rig_pair_init(&pair, 0, 6);
	rig_run(&pair, 4);
	assert_int_equal(smq_edhoc_key_update(&pair.i.e, smq_span_str("c")), SMQ_ERR_STATE); /* not confirmed */
	struct rig_message none;
	assert_int_equal(smq_edhoc_input(&pair.i.e, rig_span(&pair.m[4]), rig_now_ms, rig_room(&none), &none.len),
			 SMQ_OK);
	assert_int_equal(smq_edhoc_export(&pair.i.e, 0, smq_span_of(NULL, 0), smq_mspan_of(before, 16)), SMQ_OK);
	assert_int_equal(smq_edhoc_key_update(&pair.i.e, smq_span_str("c")), SMQ_OK);
	assert_int_equal(smq_edhoc_key_update(&pair.r.e, smq_span_str("c")), SMQ_OK);
	assert_int_equal(smq_edhoc_export(&pair.i.e, 0, smq_span_of(NULL, 0), smq_mspan_of(after, 16)), SMQ_OK);
	assert_memory_not_equal(before, after, 16);
	rig_assert_agreed(&pair);
	rig_pair_done(&pair);
}

/* What MACs and signatures cover, EAD included, put together here in one piece (RFC 9528, 5.3.2 and RFC 9052, 4.4). */
static void proofs_cover_what_the_rfc_says(void **state)
{
	(void)state;
	static const struct smq_edhoc_prk prk = { { 1, 2, 3 } };
	static const struct smq_edhoc_hash th = { { 4, 5, 6 } };
	uint8_t inner[256], whole[512], mac[SMQ_HASH_LEN], again[SMQ_HASH_LEN], signature[SMQ_SIG_LEN];
	smq_span id = smq_span_of("\xa1\x04\x42\xab\xcd", 5), cred = smq_span_of("\x43"
										 "abc",
										 4);
	smq_span ead = smq_span_of("\x01\x41\xff", 3), c_r = smq_span_of("\x41\x99", 2), tbs;
	const struct smq_crypto *crypto = smq_crypto_openssl();
	rig_pair_init(&pair, 0, 2);
	for (int n = 2; n <= 3; n++) {
		struct smq_edhoc_proof proof = { n, n == 2 ? c_r : smq_span_of(NULL, 0), id, &th, cred, ead };
		struct smq_writer w = smq_writer_on(smq_mspan_of(inner, sizeof(inner)));
		smq_write(&w, proof.c_r);
		smq_write(&w, id);
		size_t aad_at = w.len;
		smq_cbor_put_bytes(&w, smq_span_of(th.b, sizeof(th.b)));
		smq_write(&w, cred);
		smq_write(&w, ead);
		assert_int_equal(smq_edhoc_mac(crypto, &prk, &proof, smq_mspan_of(mac, sizeof(mac))), SMQ_OK);
		assert_int_equal(smq_edhoc_kdf(crypto, &prk, n == 2 ? 2 : 6, smq_writer_span(&w),
					       smq_mspan_of(again, sizeof(again))),
				 SMQ_OK);
		assert_memory_equal(mac, again, sizeof(mac));

		struct smq_writer s = smq_writer_on(smq_mspan_of(whole, sizeof(whole)));
		smq_cbor_put_array(&s, 4);
		smq_cbor_put_text(&s, smq_span_str("Signature1"));
		smq_cbor_put_bytes(&s, id);
		smq_cbor_put_bytes(&s, smq_span_of(inner + aad_at, w.len - aad_at));
		smq_cbor_put_bytes(&s, smq_span_of(mac, sizeof(mac)));
		assert_int_equal(
		    smq_edhoc_sign(&pair.i.id.own.signer, &proof, smq_span_of(mac, sizeof(mac)), signature), SMQ_OK);
		tbs = smq_writer_span(&s);
		const struct smq_credential *c = &pair.i.id.credential;
		assert_int_equal(
		    crypto->verify(SMQ_ES256, smq_span_of(c->public_key, c->public_key_len), &tbs, 1, signature),
		    SMQ_OK);
	}
	rig_pair_done(&pair);
}

/* ---- negotiation ---- */

static void a_wrong_suite_is_answered_and_retried(void **state)
{
	(void)state;
	rig_pair_init(&pair, 0, 2);
	pair.i.suites[0] = 3;
	pair.i.suites[1] = 5;
	pair.i.suites[2] = 2;
	pair.i.config.suite_count = 3;
	rig_run(&pair, 1);
	assert_int_equal(rig_step(&pair, 2), SMQ_ERR_ALGORITHM);
	assert_memory_equal(pair.m[2].b, "\x02\x02", 2);
	assert_int_equal(rig_step(&pair, 3), SMQ_ERR_PEER_REFUSED);
	assert_int_equal(smq_edhoc_state(&pair.i.e), SMQ_EDHOC_WAIT_2);
	assert_int_equal(smq_edhoc_peer_error(&pair.i.e), SMQ_EDHOC_ERR_SUITE);
	pair.i.config.peer_suites = *smq_edhoc_peer_suites(&pair.i.e);
	rig_run(&pair, 5);
	assert_memory_equal(pair.m[1].b, "\x00\x83\x03\x05\x02", 5);
	rig_assert_agreed(&pair);
	/* Talked down by a false error message: the responder sees that we prefer 3, and says no. */
	pair.r.suites[1] = 3;
	pair.r.config.suite_count = 2;
	rig_run(&pair, 1);
	assert_int_equal(rig_step(&pair, 2), SMQ_ERR_ALGORITHM);
	assert_memory_equal(pair.m[2].b, "\x02\x82\x02\x03", 4);
	/* Nothing in common. */
	pair.i.config.peer_suites = (struct smq_edhoc_suites){ .id = { 0 }, .count = 1 };
	assert_int_equal(rig_step(&pair, 1), SMQ_ERR_ALGORITHM);
	assert_int_equal(smq_edhoc_state(&pair.i.e), SMQ_EDHOC_FAILED);
	rig_pair_done(&pair);
}

static void suites_that_our_key_cannot_serve_are_passed_over(void **state)
{
	(void)state;
	rig_pair_init(&pair, 0, 2); /* both have P-256 keys */
	static const int all[] = { 0, 4, 6, 2 };
	pair.i.config.suites = pair.r.config.suites = all;
	pair.i.config.suite_count = pair.r.config.suite_count = 4;
	rig_run(&pair, 5);
	assert_int_equal(smq_edhoc_suite(&pair.i.e), 6);
	/* Static DH: by the curve of the key. */
	pair.i.config.method = 3;
	pair.r.config.methods_allowed = 8;
	pair.i.id.own.dh_curve = pair.r.id.own.dh_curve = SMQ_P256;
	rig_run(&pair, 5);
	assert_int_equal(smq_edhoc_suite(&pair.i.e), 2);
	rig_pair_done(&pair);
}

static void a_method_not_allowed_is_refused(void **state)
{
	(void)state;
	rig_pair_init(&pair, 0, 2);
	pair.r.config.methods_allowed = 1u << 3;
	rig_run(&pair, 1);
	assert_int_equal(rig_step(&pair, 2), SMQ_ERR_ALGORITHM);
	assert_int_equal(smq_edhoc_state(&pair.r.e), SMQ_EDHOC_FAILED);
	assert_int_equal(rig_step(&pair, 3), SMQ_ERR_PEER_REFUSED);
	assert_int_equal(smq_edhoc_peer_error(&pair.i.e), SMQ_EDHOC_ERR_UNSPECIFIED);
	for (int method = 4; method < 6; method++) {
		pair.m[1].b[0] = (uint8_t)method;
		pair.r.config.methods_allowed = ~0u;
		assert_int_equal(rig_step(&pair, 2), SMQ_ERR_ALGORITHM);
	}
	rig_pair_done(&pair);
}

/* ---- credentials ---- */

static void an_unknown_hash_is_told_and_met_by_the_chain(void **state)
{
	(void)state;
	rig_pair_init(&pair, 0, 2);
	pair.r.config.own_by_hash = true;
	pair.i.book.hashes = false;
	rig_run(&pair, 2);
	assert_int_equal(rig_step(&pair, 3), SMQ_ERR_CREDENTIAL);
	assert_memory_equal(pair.m[3].b, "\x03\xf5", 2);
	assert_int_equal(smq_edhoc_state(&pair.i.e), SMQ_EDHOC_WAIT_2);
	/* The error must reach the run that it is about. */
	assert_int_equal(smq_edhoc_peer_cid(&pair.i.e).len, pair.r.e.own_cid.len);
	assert_memory_equal(smq_edhoc_peer_cid(&pair.i.e).p, pair.r.e.own_cid.b, pair.r.e.own_cid.len);
	assert_int_equal(rig_step(&pair, 4), SMQ_ERR_PEER_REFUSED); /* the error in m[3] */
	assert_int_equal(smq_edhoc_peer_error(&pair.r.e), SMQ_EDHOC_ERR_UNKNOWN_CREDENTIAL);
	assert_int_equal(smq_edhoc_state(&pair.r.e), SMQ_EDHOC_WAIT_3);
	pair.r.config.own_by_hash = false;
	rig_run(&pair, 5);
	rig_assert_agreed(&pair);

	pair.i.config.own_by_hash = true;
	pair.r.book.hashes = false;
	rig_run(&pair, 3);
	assert_int_equal(rig_step(&pair, 4), SMQ_ERR_CREDENTIAL);
	assert_int_equal(smq_edhoc_state(&pair.r.e), SMQ_EDHOC_FAILED);
	struct rig_message out;
	assert_int_equal(smq_edhoc_input(&pair.i.e, rig_span(&pair.m[4]), rig_now_ms, rig_room(&out), &out.len),
			 SMQ_ERR_PEER_REFUSED);
	assert_int_equal(smq_edhoc_peer_error(&pair.i.e), SMQ_EDHOC_ERR_UNKNOWN_CREDENTIAL);
	assert_int_equal(smq_edhoc_state(&pair.i.e), SMQ_EDHOC_WAIT_4);
	rig_pair_done(&pair);
}

static void a_refused_certificate_refuses_the_run(void **state)
{
	(void)state;
	static const smq_err verdicts[] = { SMQ_ERR_CERT_EXPIRED, SMQ_ERR_CERT_CHAIN, SMQ_ERR_CERT_REVOKED,
					    SMQ_ERR_NO_MEMORY };
	for (size_t i = 0; i < SMQ_COUNT(verdicts); i++) {
		rig_pair_init(&pair, 0, 2);
		pair.i.book.verdict = verdicts[i];
		rig_run(&pair, 2);
		assert_int_equal(rig_step(&pair, 3), verdicts[i]);
		assert_null(smq_edhoc_peer(&pair.i.e));
		assert_int_equal(smq_edhoc_state(&pair.i.e), SMQ_EDHOC_WAIT_2);
		pair.i.book.verdict = SMQ_OK;
		pair.r.book.verdict = verdicts[i];
		rig_run(&pair, 3);
		assert_int_equal(rig_step(&pair, 4), verdicts[i]);
		assert_int_equal(smq_edhoc_state(&pair.r.e), SMQ_EDHOC_FAILED);
		assert_int_equal(pair.m[4].b[0], SMQ_EDHOC_ERR_UNSPECIFIED);
		rig_pair_done(&pair);
	}
}

static void the_name_expected_is_the_only_one_taken(void **state)
{
	(void)state;
	rig_pair_init(&pair, 0, 2);
	pair.i.config.expect = smq_span_str("robert");
	rig_run(&pair, 2);
	assert_int_equal(rig_step(&pair, 3), SMQ_ERR_CERT_NAME);
	assert_int_equal(smq_edhoc_state(&pair.i.e), SMQ_EDHOC_WAIT_2);
	pair.i.config.expect = smq_span_str("rob");
	pair.r.config.expect = smq_span_str("in");
	rig_run(&pair, 3);
	assert_int_equal(rig_step(&pair, 4), SMQ_ERR_CERT_NAME);
	assert_int_equal(smq_edhoc_state(&pair.r.e), SMQ_EDHOC_FAILED);
	pair.r.config.expect = smq_span_str("ina");
	rig_run(&pair, 5);
	rig_assert_agreed(&pair);
	rig_pair_done(&pair);
}

/* The identifier resolves to somebody else's key: nobody can prove with a key he does not hold. */
static void a_proof_by_another_key_is_refused(void **state)
{
	(void)state;
	for (int method = 0; method <= 3; method++) {
		for (int side = 0; side <= 1; side++) {
			struct rig_identity wrong;
			rig_pair_init(&pair, method, 2);
			struct rig_party *party = side ? &pair.r : &pair.i;
			const struct rig_identity *right = party->book.known[0];
			rig_make_identity(&wrong, right->credential.name, SMQ_P256, 0x44);
			smq_openssl_signer_free(&wrong.own.signer);
			memcpy(wrong.x5chain, right->x5chain, sizeof(wrong.x5chain));
			wrong.credential.cred_len = right->credential.cred_len;
			party->book.known[0] = &wrong;
			rig_run(&pair, side ? 3 : 2);
			assert_int_equal(rig_step(&pair, side ? 4 : 3), SMQ_ERR_SIGNATURE);
			assert_int_equal(smq_edhoc_state(&party->e), side ? SMQ_EDHOC_FAILED : SMQ_EDHOC_WAIT_2);
			assert_null(smq_edhoc_peer(&party->e));
			assert_true(all_zero(&party->e.peer, sizeof(party->e.peer)));
			rig_pair_done(&pair);
		}
	}
}

static void a_key_of_the_wrong_kind_is_refused(void **state)
{
	(void)state;
	rig_pair_init(&pair, 3, 2);
	pair.r.id.credential.dh_curve = (enum smq_curve)0; /* signatures only */
	rig_run(&pair, 2);
	assert_int_equal(rig_step(&pair, 3), SMQ_ERR_CERT_USAGE);
	rig_pair_done(&pair);
	rig_pair_init(&pair, 0, 2);
	pair.r.id.credential.sig_alg = SMQ_EDDSA;
	rig_run(&pair, 2);
	assert_int_equal(rig_step(&pair, 3), SMQ_ERR_CERT_USAGE);
	rig_pair_done(&pair);
}

static void our_own_message_reflected_makes_no_session(void **state)
{
	(void)state;
	struct rig_message out;
	rig_pair_init(&pair, 0, 2);
	pair.i.book.known[1] = &pair.i.id;
	rig_run(&pair, 1);
	/* back to the machine that sent it */
	assert_int_not_equal(smq_edhoc_input(&pair.i.e, rig_span(&pair.m[1]), rig_now_ms, rig_room(&out), &out.len),
			     SMQ_OK);
	assert_int_equal(smq_edhoc_state(&pair.i.e), SMQ_EDHOC_WAIT_2);
	/* to a second machine of the same member, whose answer goes back to the first */
	pair.i.config.methods_allowed = 1;
	assert_int_equal(smq_edhoc_accept(&other.r.e, &pair.i.config, smq_span_str("x"), rig_span(&pair.m[1]),
					  rig_now_ms, rig_room(&out), &out.len),
			 SMQ_OK);
	pair.m[2] = out;
	assert_int_equal(rig_step(&pair, 3), SMQ_ERR_CERT_NAME);
	assert_int_equal(smq_edhoc_state(&pair.i.e), SMQ_EDHOC_WAIT_2);
	smq_edhoc_done(&other.r.e);
	rig_run(&pair, 5);
	rig_assert_agreed(&pair);
	rig_pair_done(&pair);
}

/* ---- damage: refused, and the genuine message is still taken ---- */

/* Feeds m[n], damaged, to whoever waits for it. */
static smq_err feed(struct rig_pair *p, int n, smq_span damaged)
{
	static struct rig_message out;
	struct smq_edhoc *to = n == 3 ? &p->r.e : &p->i.e;
	smq_err err = smq_edhoc_input(to, damaged, rig_now_ms, rig_room(&out), &out.len);
	if (err == SMQ_ERR_CREDENTIAL || err == SMQ_ERR_PEER_REFUSED)
		return err; /* a reply, or an error message made by damage, is fine */
	assert_int_equal(out.len, 0);
	return err;
}

static void damage_one_message(int method, int suite, int n)
{
	static const enum smq_edhoc_state waits[] = { 0, 0, SMQ_EDHOC_WAIT_2, SMQ_EDHOC_WAIT_3, SMQ_EDHOC_WAIT_4 };
	static struct rig_message bad;
	rig_pair_init(&pair, method, suite);
	rig_choose_id(&pair.i.id, RIG_KID);
	rig_choose_id(&pair.r.id, RIG_KID);
	rig_run(&pair, n);
	const struct smq_edhoc *to = n == 3 ? &pair.r.e : &pair.i.e;
	for (size_t bit = 0; bit < 8 * pair.m[n].len; bit++) {
		bad = pair.m[n];
		bad.b[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (feed(&pair, n, rig_span(&bad)) == SMQ_OK)
			fail_msg("message_%d: bit %zu flipped and taken", n, bit);
		assert_int_equal(smq_edhoc_state(to), waits[n]);
	}
	for (size_t len = 0; len < pair.m[n].len; len++) {
		if (feed(&pair, n, smq_span_of(pair.m[n].b, len)) == SMQ_OK)
			fail_msg("message_%d: cut to %zu and taken", n, len);
		assert_int_equal(smq_edhoc_state(to), waits[n]);
	}
	bad = pair.m[n];
	bad.b[bad.len++] = 0;
	assert_int_not_equal(feed(&pair, n, rig_span(&bad)), SMQ_OK);
	bad.len = sizeof(bad.b);
	assert_int_not_equal(feed(&pair, n, rig_span(&bad)), SMQ_OK);
	for (int m = n + 1; m <= 4; m++)
		assert_int_equal(rig_step(&pair, m), SMQ_OK);
	assert_int_equal(feed(&pair, 4, rig_span(&pair.m[4])), SMQ_OK);
	rig_assert_agreed(&pair);
	rig_pair_done(&pair);
}

static void damaged_messages_2_to_4_are_refused_and_forgotten(void **state)
{
	(void)state;
	for (int n = 2; n <= 4; n++) {
		damage_one_message(0, 2, n);
		damage_one_message(0, 6, n);
		damage_one_message(3, 2, n);
		damage_one_message(3, 0, n);
	}
}

/* message_1 proves nothing, so a damaged one may be answered: the answer is then refused, and the run never ends. */
static void a_damaged_message_1_never_makes_a_session(void **state)
{
	(void)state;
	static const int kinds[][2] = { { 0, 2 }, { 0, 6 }, { 3, 2 }, { 3, 0 } };
	for (size_t k = 0; k < SMQ_COUNT(kinds); k++) {
		rig_pair_init(&pair, kinds[k][0], kinds[k][1]);
		pair.r.config.methods_allowed = ~0u;
		rig_run(&pair, 1);
		struct rig_message genuine = pair.m[1];
		for (size_t bit = 0; bit < 8 * genuine.len; bit++) {
			pair.m[1] = genuine;
			pair.m[1].b[bit / 8] ^= (uint8_t)(1u << bit % 8);
			(void)rig_step(&pair, 2);
			if (pair.m[2].len > 0)
				assert_int_not_equal(rig_step(&pair, 3), SMQ_OK);
			assert_int_equal(smq_edhoc_state(&pair.i.e), SMQ_EDHOC_WAIT_2);
		}
		for (size_t len = 0; len < genuine.len; len++) {
			pair.m[1].len = len;
			assert_int_not_equal(rig_step(&pair, 2), SMQ_OK);
			assert_int_equal(pair.m[2].len, 0);
			assert_int_equal(smq_edhoc_state(&pair.r.e), SMQ_EDHOC_FAILED);
		}
		pair.m[1] = genuine;
		for (int n = 2; n <= 4; n++)
			assert_int_equal(rig_step(&pair, n), SMQ_OK);
		assert_int_equal(feed(&pair, 4, rig_span(&pair.m[4])), SMQ_OK);
		rig_assert_agreed(&pair);
		rig_pair_done(&pair);
	}
}

static void replays_and_messages_of_other_runs_are_refused(void **state)
{
	(void)state;
	rig_pair_init(&other, 0, 2);
	rig_run(&other, 5);
	rig_pair_init(&pair, 0, 2);
	pair.i.random.count = pair.r.random.count = 100; /* other ephemeral keys, same identities */
	rig_run(&pair, 1);
	assert_int_not_equal(feed(&pair, 2, rig_span(&other.m[2])), SMQ_OK);
	assert_int_equal(rig_step(&pair, 2), SMQ_OK);
	assert_int_not_equal(feed(&pair, 3, rig_span(&other.m[3])), SMQ_OK);
	assert_int_not_equal(feed(&pair, 3, rig_span(&pair.m[1])), SMQ_OK); /* message_1 again */
	assert_int_equal(rig_step(&pair, 3), SMQ_OK);
	assert_int_not_equal(feed(&pair, 4, rig_span(&other.m[4])), SMQ_OK);
	assert_int_not_equal(feed(&pair, 4, rig_span(&pair.m[2])), SMQ_OK); /* message_2 again */
	assert_int_equal(smq_edhoc_state(&pair.i.e), SMQ_EDHOC_WAIT_4);
	assert_int_equal(rig_step(&pair, 4), SMQ_OK);
	assert_int_equal(feed(&pair, 3, rig_span(&pair.m[3])), SMQ_ERR_STATE); /* message_3 again */
	assert_int_equal(feed(&pair, 4, rig_span(&pair.m[4])), SMQ_OK);
	assert_int_equal(feed(&pair, 4, rig_span(&pair.m[4])), SMQ_ERR_STATE);
	rig_assert_agreed(&pair);
	/* A replayed message_1 gets an answer with fresh keys, to which the recorded message_3 does not fit. */
	struct rig_message old = pair.m[3];
	assert_int_equal(rig_step(&pair, 2), SMQ_OK);
	assert_int_equal(feed(&pair, 3, rig_span(&old)), SMQ_ERR_OPEN);
	rig_pair_done(&pair);
	rig_pair_done(&other);
}

static void false_error_messages_do_not_end_a_run(void **state)
{
	(void)state;
	static const struct {
		const char *hex;
		smq_err err;
		int code;
	} rows[] = {
		{ "016101", SMQ_ERR_PEER_REFUSED, 1 },
		{ "0202", SMQ_ERR_PEER_REFUSED, 2 },
		{ "02820203", SMQ_ERR_PEER_REFUSED, 2 },
		{ "03f5", SMQ_ERR_PEER_REFUSED, 3 },
		{ "18ff8101", SMQ_ERR_PEER_REFUSED, 255 },
		{ "03f4", SMQ_ERR_MALFORMED, 255 },
		{ "00", SMQ_ERR_MALFORMED, 255 },
		{ "028102", SMQ_ERR_MALFORMED, 255 },
		{ "0161", SMQ_ERR_TRUNCATED, 255 },
		{ "020200", SMQ_ERR_TRAILING, 255 },
		{ "0161ff", SMQ_ERR_MALFORMED, 255 },
		{ "03", SMQ_ERR_TRUNCATED, 255 },
		{ "028900010203040506070809", SMQ_ERR_TOO_LARGE, 255 },
	};
	rig_pair_init(&pair, 0, 2);
	rig_run(&pair, 1);
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		uint8_t bytes[32];
		size_t len = 0;
		assert_int_equal(smq_hex_decode(rows[i].hex, smq_mspan_of(bytes, sizeof(bytes)), &len), SMQ_OK);
		smq_err err = feed(&pair, 2, smq_span_of(bytes, len));
		if (err != rows[i].err)
			fail_msg("row %zu: %s", i, smq_err_name(err));
		assert_int_equal(smq_edhoc_peer_error(&pair.i.e), rows[i].code);
		assert_int_equal(smq_edhoc_state(&pair.i.e), SMQ_EDHOC_WAIT_2);
	}
	for (int n = 2; n <= 4; n++)
		assert_int_equal(rig_step(&pair, n), SMQ_OK);
	assert_int_equal(feed(&pair, 4, rig_span(&pair.m[4])), SMQ_OK);
	rig_assert_agreed(&pair);
	assert_int_equal(smq_edhoc_peer_error(&pair.i.e), 0);
	rig_pair_done(&pair);
}

static void bad_points_are_refused_in_silence(void **state)
{
	(void)state;
	static const struct {
		int suite;
		const char *key;
	} rows[] = {
		{ 2, "0000000000000000000000000000000000000000000000000000000000000001" }, /* not on the curve */
		{ 2, "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff" }, /* p itself */
		{ 2, "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff" },
		{ 0, "0000000000000000000000000000000000000000000000000000000000000000" }, /* of low order */
		{ 0, "0100000000000000000000000000000000000000000000000000000000000000" },
		{ 0, "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800" },
		{ 0, "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157" },
		{ 6, "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f" },
		{ 6, "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f" },
		{ 6, "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f" },
	};
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		size_t len = 0;
		rig_pair_init(&pair, 0, rows[i].suite);
		rig_run(&pair, 2);
		struct rig_message genuine = pair.m[2];
		assert_int_equal(smq_hex_decode(rows[i].key, smq_mspan_of(pair.m[1].b + 4, 32), &len), SMQ_OK);
		assert_int_equal(rig_step(&pair, 2), SMQ_ERR_MALFORMED);
		assert_int_equal(pair.m[2].len, 0);
		pair.m[2] = genuine;
		memcpy(pair.m[2].b + 3, pair.m[1].b + 4, 32); /* as G_Y: 59 01 xx G_Y */
		assert_int_equal(rig_step(&pair, 3), SMQ_ERR_MALFORMED);
		assert_int_equal(smq_edhoc_state(&pair.i.e), SMQ_EDHOC_WAIT_2);
		rig_pair_done(&pair);
	}
}

/* ---- limits, states, wiping ---- */

static void room_is_asked_for_and_nothing_lost(void **state)
{
	(void)state;
	rig_pair_init(&pair, 3, 2);
	rig_run(&pair, 5);
	size_t need[5], len = 99;
	for (int n = 1; n <= 4; n++)
		need[n] = pair.m[n].len;
	assert_int_equal(
	    smq_edhoc_start(&pair.i.e, &pair.i.config, smq_span_str("c"), smq_mspan_of(pair.m[1].b, need[1] - 1), &len),
	    SMQ_ERR_NO_ROOM);
	assert_int_equal(len, 99);
	rig_run(&pair, 1);
	assert_int_equal(smq_edhoc_accept(&pair.r.e, &pair.r.config, smq_span_str("12"), rig_span(&pair.m[1]),
					  rig_now_ms, smq_mspan_of(pair.m[2].b, need[2] - 1), &len),
			 SMQ_ERR_NO_ROOM);
	assert_int_equal(len, 0);
	rig_run(&pair, 2);
	assert_int_equal(
	    smq_edhoc_input(&pair.i.e, rig_span(&pair.m[2]), rig_now_ms, smq_mspan_of(pair.m[3].b, need[3] - 1), &len),
	    SMQ_ERR_NO_ROOM);
	assert_int_equal(rig_step(&pair, 3), SMQ_OK);
	assert_int_equal(
	    smq_edhoc_input(&pair.r.e, rig_span(&pair.m[3]), rig_now_ms, smq_mspan_of(pair.m[4].b, need[4] - 1), &len),
	    SMQ_ERR_NO_ROOM);
	assert_int_equal(rig_step(&pair, 4), SMQ_OK);
	assert_int_equal(feed(&pair, 4, rig_span(&pair.m[4])), SMQ_OK);
	rig_assert_agreed(&pair);
	rig_pair_done(&pair);
}

static void oversize_is_refused(void **state)
{
	(void)state;
	static uint8_t big[SMQ_EDHOC_MESSAGE_MAX + 1];
	static uint8_t ead[SMQ_EDHOC_EAD_MAX + 1];
	rig_pair_init(&pair, 0, 2);
	rig_run(&pair, 1);
	assert_int_equal(feed(&pair, 2, smq_span_of(big, sizeof(big))), SMQ_ERR_TOO_LARGE);
	memcpy(big, "\x59\x1f\xfd", 3); /* a whole message_2 of 8,192 bytes; more than any plaintext of ours */
	memcpy(big + 3, pair.m[1].b + 4, 32);
	assert_int_equal(feed(&pair, 2, smq_span_of(big, SMQ_EDHOC_MESSAGE_MAX)), SMQ_ERR_TOO_LARGE);
	assert_int_equal(smq_edhoc_state(&pair.i.e), SMQ_EDHOC_WAIT_2);
	memset(ead, 1, sizeof(ead)); /* labels without values */
	pair.i.config.ead[3] = smq_span_of(ead, sizeof(ead));
	assert_int_equal(rig_step(&pair, 1), SMQ_ERR_USAGE);
	pair.i.config.ead[3] = smq_span_of(ead, SMQ_EDHOC_EAD_MAX);
	rig_run(&pair, 5);
	rig_assert_agreed(&pair);
	assert_int_equal(smq_edhoc_peer_ead(&pair.r.e, 3).len, SMQ_EDHOC_EAD_MAX);
	rig_pair_done(&pair);
}

static void a_config_that_cannot_be_meant_is_refused(void **state)
{
	(void)state;
	struct rig_message out;
	for (int row = 0; row < 6; row++) {
		rig_pair_init(&pair, 0, 2);
		struct smq_edhoc_config *c = &pair.i.config;
		smq_span cid = smq_span_str("c");
		cid.len = row == 0 ? 0 : 1;
		if (row == 1)
			cid = smq_span_str("123456789");
		c->suite_count = row == 2 ? 0 : row == 3 ? 9 : 1;
		c->method = row == 4 ? 4 : 0;
		if (row == 5)
			c->ead[1] = smq_span_str("\x41"); /* no label */
		assert_int_equal(smq_edhoc_start(&pair.i.e, c, cid, rig_room(&out), &out.len), SMQ_ERR_USAGE);
		assert_int_equal(smq_edhoc_state(&pair.i.e), SMQ_EDHOC_FAILED);
		rig_pair_done(&pair);
	}
}

static void calls_out_of_state_are_refused_and_failure_wipes(void **state)
{
	(void)state;
	uint8_t key[16];
	struct rig_message out;
	rig_pair_init(&pair, 0, 2);
	memset(&pair.i.e, 0, sizeof(pair.i.e));
	assert_int_equal(smq_edhoc_input(&pair.i.e, smq_span_str("x"), rig_now_ms, rig_room(&out), &out.len),
			 SMQ_ERR_STATE);
	for (int n = 1; n <= 2; n++) {
		rig_run(&pair, n);
		assert_int_equal(smq_edhoc_export(&pair.i.e, 0, smq_span_of(NULL, 0), smq_mspan_of(key, 16)),
				 SMQ_ERR_STATE);
	}
	assert_int_equal(smq_edhoc_export(&pair.r.e, 0, smq_span_of(NULL, 0), smq_mspan_of(key, 16)), SMQ_ERR_STATE);
	assert_int_equal(rig_step(&pair, 3), SMQ_OK);
	assert_int_equal(smq_edhoc_export(&pair.i.e, 0, smq_span_of(NULL, 0), smq_mspan_of(key, 16)), SMQ_OK);
	pair.r.book.verdict = SMQ_ERR_CERT_EXPIRED;
	assert_int_equal(rig_step(&pair, 4), SMQ_ERR_CERT_EXPIRED);
	struct smq_edhoc left = pair.r.e;
	left.state = SMQ_EDHOC_IDLE;
	assert_true(all_zero(&left, sizeof(left)));
	assert_int_equal(rig_step(&pair, 4), SMQ_ERR_STATE);
	assert_true(all_zero(pair.i.e.secret, sizeof(pair.i.e.secret))); /* X is not needed any more */
	assert_true(all_zero(pair.i.e.work, sizeof(pair.i.e.work)));
	assert_int_equal(smq_edhoc_export(&pair.r.e, 0, smq_span_of(NULL, 0), smq_mspan_of(key, 16)), SMQ_ERR_STATE);
	rig_pair_done(&pair);
	smq_edhoc_done(&pair.i.e);
	assert_true(all_zero(&pair.i.e, sizeof(pair.i.e)));
}

static void without_randomness_nothing_starts(void **state)
{
	(void)state;
	struct rig_message out;
	rig_pair_init(&pair, 0, 2);
	pair.i.random.err = SMQ_ERR_CRYPTO;
	assert_int_equal(rig_step(&pair, 1), SMQ_ERR_CRYPTO);
	assert_int_equal(smq_edhoc_state(&pair.i.e), SMQ_EDHOC_FAILED);
	pair.i.random.err = SMQ_OK;
	static const uint8_t zero[SMQ_KEX_LEN];
	pair.i.random.next = 0;
	pair.i.random.secrets[0] = pair.i.random.secrets[1] = zero; /* not a secret of P-256: drawn again */
	rig_run(&pair, 1);
	assert_int_equal(pair.i.random.next, 2);
	pair.r.random.err = SMQ_ERR_CRYPTO;
	assert_int_equal(smq_edhoc_accept(&pair.r.e, &pair.r.config, smq_span_str("c"), rig_span(&pair.m[1]),
					  rig_now_ms, rig_room(&out), &out.len),
			 SMQ_ERR_CRYPTO);
	assert_int_equal(out.len, 0);
	rig_pair_done(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_method_and_suite_agrees),
		cmocka_unit_test(sizes_are_printed),
		cmocka_unit_test(ead_comes_through_in_each_message),
		cmocka_unit_test(critical_ead_is_understood_or_refused),
		cmocka_unit_test(keys_update_on_both_sides),
		cmocka_unit_test(proofs_cover_what_the_rfc_says),
		cmocka_unit_test(a_wrong_suite_is_answered_and_retried),
		cmocka_unit_test(suites_that_our_key_cannot_serve_are_passed_over),
		cmocka_unit_test(a_method_not_allowed_is_refused),
		cmocka_unit_test(an_unknown_hash_is_told_and_met_by_the_chain),
		cmocka_unit_test(a_refused_certificate_refuses_the_run),
		cmocka_unit_test(the_name_expected_is_the_only_one_taken),
		cmocka_unit_test(a_proof_by_another_key_is_refused),
		cmocka_unit_test(a_key_of_the_wrong_kind_is_refused),
		cmocka_unit_test(our_own_message_reflected_makes_no_session),
		cmocka_unit_test(damaged_messages_2_to_4_are_refused_and_forgotten),
		cmocka_unit_test(a_damaged_message_1_never_makes_a_session),
		cmocka_unit_test(replays_and_messages_of_other_runs_are_refused),
		cmocka_unit_test(false_error_messages_do_not_end_a_run),
		cmocka_unit_test(bad_points_are_refused_in_silence),
		cmocka_unit_test(room_is_asked_for_and_nothing_lost),
		cmocka_unit_test(oversize_is_refused),
		cmocka_unit_test(a_config_that_cannot_be_meant_is_refused),
		cmocka_unit_test(calls_out_of_state_are_refused_and_failure_wipes),
		cmocka_unit_test(without_randomness_nothing_starts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
