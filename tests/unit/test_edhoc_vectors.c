/* EDHOC against values made by others: the traces of RFC 9529, its invalid messages, and six traces of uoscore-uedhoc.
 */
#include "edhoc_rig.h"
#include "vectors.h"

static struct rig_pair pair;

enum { LAST = -1 };

/* The nth value (from 0, or the last) whose label begins so. */
static struct vector_bytes value_of(const json_t *trace, const char *label, int nth)
{
	const char *hex = NULL;
	size_t i;
	json_t *row;
	int seen = 0;
	json_array_foreach(trace, i, row)
	{
		const char *text = json_string_value(json_object_get(row, "label"));
		if (strncmp(text, label, strlen(label)) == 0 && (nth == LAST || seen++ == nth))
			hex = json_string_value(json_object_get(row, "hex"));
	}
	if (!hex)
		fail_msg("the trace has no \"%s\"", label);
	return vector_unhex(hex);
}

static void want(const json_t *trace, const char *label, const void *bytes, size_t len)
{
	struct vector_bytes v = value_of(trace, label, LAST);
	if (v.len != len || memcmp(v.b, bytes, len) != 0)
		fail_msg("%s is another", label);
}

static struct smq_edhoc_hash hash_of(const json_t *trace, const char *label)
{
	struct smq_edhoc_hash h;
	struct vector_bytes v = value_of(trace, label, LAST);
	assert_int_equal(v.len, sizeof(h.b));
	memcpy(h.b, v.b, sizeof(h.b));
	return h;
}

static struct smq_edhoc_prk prk_of(const json_t *trace, const char *label)
{
	struct smq_edhoc_prk p;
	struct vector_bytes v = value_of(trace, label, LAST);
	assert_int_equal(v.len, sizeof(p.b));
	memcpy(p.b, v.b, sizeof(p.b));
	return p;
}

/* ---- the parties of a trace ---- */

static void load_identity(struct rig_identity *id, const json_t *trace, enum smq_curve curve, char side)
{
	char label[32];
	struct smq_credential *c = &id->credential;
	snprintf(label, sizeof(label), "SK_%c (Raw", side);
	struct vector_bytes secret = value_of(trace, label, LAST);
	snprintf(label, sizeof(label), "CRED_%c (CBOR", side);
	struct vector_bytes cred = value_of(trace, label, LAST);
	snprintf(label, sizeof(label), "ID_CRED_%c (CBOR", side);
	struct vector_bytes id_cred = value_of(trace, label, LAST);

	smq_openssl_signer_free(&id->own.signer);
	memset(id, 0, sizeof(*id));
	assert_int_equal(smq_openssl_signer_from_raw(curve, secret.b, &id->own.signer), SMQ_OK);
	assert_int_equal(smq_openssl_signer_public(&id->own.signer, c->public_key, &c->public_key_len), SMQ_OK);
	c->sig_alg = id->own.signer.alg;
	c->dh_curve = curve == SMQ_ED25519 ? (enum smq_curve)0 : curve;
	memcpy(c->cred, cred.b, cred.len);
	c->cred_len = cred.len;
	memcpy(id->x5chain, id_cred.b, id_cred.len);
	id->x5chain_len = id_cred.len;
	id->own.cred = smq_span_of(c->cred, c->cred_len);
	rig_choose_id(id, RIG_X5CHAIN);
}

/* ---- every value of the traces that the key schedule reaches ---- */

static void check_agreement(const json_t *t, enum smq_curve curve)
{
	uint8_t key[SMQ_KEX_LEN];
	struct smq_edhoc_hash hash = hash_of(t, "H(message_1) (Raw"), th;
	struct smq_edhoc_prk prk;
	struct vector_bytes x = value_of(t, "X (Raw", LAST), y = value_of(t, "Y (Raw", LAST);
	struct vector_bytes g_x = value_of(t, "G_X (Raw", LAST), g_y = value_of(t, "G_Y (Raw", LAST);
	const struct smq_crypto *crypto = smq_crypto_openssl();

	assert_int_equal(crypto->kex_public(curve, x.b, key), SMQ_OK);
	want(t, "G_X (Raw", key, sizeof(key));
	assert_int_equal(crypto->kex_public(curve, y.b, key), SMQ_OK);
	want(t, "G_Y (Raw", key, sizeof(key));
	assert_int_equal(crypto->kex_agree(curve, y.b, g_x.b, key), SMQ_OK);
	want(t, "G_XY (Raw", key, sizeof(key));
	assert_int_equal(smq_edhoc_th_2(crypto, vector_span(&g_y), &hash, &th), SMQ_OK);
	want(t, "TH_2 (Raw", th.b, sizeof(th.b));
	want(t, "salt (Raw", th.b, sizeof(th.b));
	assert_int_equal(smq_edhoc_prk_2e(crypto, &th, key, &prk), SMQ_OK);
	want(t, "PRK_2e (Raw", prk.b, sizeof(prk.b));
}

static void check_kdf(const json_t *t, const char *prk_label, const char *th_label, uint64_t label,
		      const char *out_label)
{
	uint8_t out[256];
	struct smq_edhoc_prk prk = prk_of(t, prk_label);
	struct smq_edhoc_hash th = hash_of(t, th_label);
	size_t len = value_of(t, out_label, LAST).len;
	assert_true(len <= sizeof(out));
	assert_int_equal(smq_edhoc_kdf_th(smq_crypto_openssl(), &prk, label, &th, smq_mspan_of(out, len)), SMQ_OK);
	want(t, out_label, out, len);
}

static void check_schedule(const json_t *t)
{
	uint8_t out[SMQ_HASH_LEN];
	struct smq_edhoc_prk prk = prk_of(t, "PRK_out (Raw");
	check_kdf(t, "PRK_2e (Raw", "TH_2 (Raw", SMQ_EDHOC_KEYSTREAM_2, "KEYSTREAM_2 (Raw");
	check_kdf(t, "PRK_3e2m (Raw", "TH_3 (Raw", SMQ_EDHOC_K_3, "K_3 (Raw");
	check_kdf(t, "PRK_3e2m (Raw", "TH_3 (Raw", SMQ_EDHOC_IV_3, "IV_3 (Raw");
	check_kdf(t, "PRK_4e3m (Raw", "TH_4 (Raw", SMQ_EDHOC_K_4, "K_4 (Raw");
	check_kdf(t, "PRK_4e3m (Raw", "TH_4 (Raw", SMQ_EDHOC_IV_4, "IV_4 (Raw");
	check_kdf(t, "PRK_4e3m (Raw", "TH_4 (Raw", SMQ_EDHOC_PRK_OUT, "PRK_out (Raw");
	assert_int_equal(smq_edhoc_kdf(smq_crypto_openssl(), &prk, SMQ_EDHOC_PRK_EXPORTER, smq_span_of(NULL, 0),
				       smq_mspan_of(out, sizeof(out))),
			 SMQ_OK);
	want(t, "PRK_exporter (Raw", out, sizeof(out));
}

static void check_static_dh(const json_t *t)
{
	uint8_t shared[SMQ_KEX_LEN];
	const struct smq_signer *r = &pair.r.id.own.signer, *i = &pair.i.id.own.signer;
	struct vector_bytes g_x = value_of(t, "G_X (Raw", LAST), g_y = value_of(t, "G_Y (Raw", LAST);
	assert_int_equal(r->agree(r->self, SMQ_P256, g_x.b, shared), SMQ_OK);
	want(t, "G_RX (Raw", shared, sizeof(shared));
	assert_int_equal(i->agree(i->self, SMQ_P256, g_y.b, shared), SMQ_OK);
	want(t, "G_IY (Raw", shared, sizeof(shared));
	check_kdf(t, "PRK_2e (Raw", "TH_2 (Raw", SMQ_EDHOC_SALT_3E2M, "SALT_3e2m (Raw");
	check_kdf(t, "PRK_3e2m (Raw", "TH_3 (Raw", SMQ_EDHOC_SALT_4E3M, "SALT_4e3m (Raw");
}

/* MAC_n, Signature_or_MAC_n and PLAINTEXT_n, from the trace's own inputs and back. */
static void check_proof_values(const json_t *t, int n, bool by_dh)
{
	const struct smq_own_credential *own = n == 2 ? &pair.r.id.own : &pair.i.id.own;
	struct smq_edhoc_prk prk = prk_of(t, n == 2 ? "PRK_3e2m (Raw" : "PRK_4e3m (Raw");
	struct smq_edhoc_hash th = hash_of(t, n == 2 ? "TH_2 (Raw" : "TH_3 (Raw");
	struct vector_bytes c_r = value_of(t, "C_R (CBOR", LAST);
	struct vector_bytes mac = value_of(t, n == 2 ? "MAC_2 (Raw" : "MAC_3 (Raw", LAST);
	struct vector_bytes plain = value_of(t, n == 2 ? "PLAINTEXT_2 (" : "PLAINTEXT_3 (", LAST);
	const char *sig_label = n == 2 ? "Signature_or_MAC_2 (Raw" : "Signature_or_MAC_3 (Raw";
	struct smq_edhoc_proof proof = {
		n, smq_span_of(c_r.b, n == 2 ? c_r.len : 0), own->id_cred_full, &th, own->cred, smq_span_of(NULL, 0)
	};
	uint8_t out[SMQ_HASH_LEN], signature[SMQ_SIG_LEN], again[256];
	struct smq_edhoc_plaintext p;
	size_t len = 0;

	assert_int_equal(smq_edhoc_mac(smq_crypto_openssl(), &prk, &proof, smq_mspan_of(out, mac.len)), SMQ_OK);
	want(t, n == 2 ? "MAC_2 (Raw" : "MAC_3 (Raw", out, mac.len);
	if (!by_dh) {
		assert_int_equal(smq_edhoc_sign(&own->signer, &proof, vector_span(&mac), signature), SMQ_OK);
		want(t, sig_label, signature, sizeof(signature));
	}
	assert_int_equal(smq_edhoc_plaintext_decode(n, vector_span(&plain), &p), SMQ_OK);
	assert_true(smq_span_equal(p.id_cred.map, own->id_cred_full));
	want(t, sig_label, p.sig_or_mac.p, p.sig_or_mac.len);
	assert_int_equal(smq_edhoc_plaintext_encode(n, &p, smq_mspan_of(again, sizeof(again)), &len), SMQ_OK);
	assert_true(smq_span_equal(smq_span_of(again, len), vector_span(&plain)));
}

/* ---- the same through both machines ---- */

static void start_trace(const json_t *t)
{
	struct vector_bytes c_i = value_of(t, "C_I (Raw", LAST);
	struct vector_bytes m = value_of(t, "message_1 (", LAST);
	static struct vector_bytes x;
	x = value_of(t, "X (Raw", LAST);
	pair.i.random.next = 0;
	pair.i.random.secrets[0] = x.b;
	assert_int_equal(
	    smq_edhoc_start(&pair.i.e, &pair.i.config, vector_span(&c_i), rig_room(&pair.m[1]), &pair.m[1].len),
	    SMQ_OK);
	assert_true(smq_span_equal(rig_span(&pair.m[1]), vector_span(&m)));
}

static smq_err accept_trace(const json_t *t)
{
	static struct vector_bytes y;
	struct vector_bytes c_r = value_of(t, "C_R (", 0); /* the raw value comes first */
	y = value_of(t, "Y (Raw", LAST);
	pair.r.random.next = 0;
	pair.r.random.secrets[0] = y.b;
	return smq_edhoc_accept(&pair.r.e, &pair.r.config, vector_span(&c_r), rig_span(&pair.m[1]), rig_now_ms,
				rig_room(&pair.m[2]), &pair.m[2].len);
}

static void check_keys(const json_t *t, const struct smq_edhoc *e)
{
	want(t, "H(message_1) (Raw", e->message_1_hash.b, SMQ_HASH_LEN);
	want(t, "PRK_3e2m (Raw", e->keys.prk_3e2m.b, SMQ_HASH_LEN);
	want(t, "PRK_4e3m (Raw", e->keys.prk_4e3m.b, SMQ_HASH_LEN);
	want(t, "TH_4 (Raw", e->keys.th.b, SMQ_HASH_LEN);
	want(t, "PRK_out (Raw", e->keys.prk_out.b, SMQ_HASH_LEN);
}

static void check_exports(const json_t *t, struct smq_edhoc *e)
{
	uint8_t secret[16], salt[8];
	struct vector_bytes context = value_of(t, "context for KeyUpdate (Raw", LAST);
	for (int updated = 0; updated <= 1; updated++) {
		assert_int_equal(smq_edhoc_export(e, 0, smq_span_of(NULL, 0), smq_mspan_of(secret, 16)), SMQ_OK);
		assert_int_equal(smq_edhoc_export(e, 1, smq_span_of(NULL, 0), smq_mspan_of(salt, 8)), SMQ_OK);
		want(t, updated ? "OSCORE Master Secret after" : "OSCORE Master Secret (", secret, sizeof(secret));
		want(t, updated ? "OSCORE Master Salt after" : "OSCORE Master Salt (", salt, sizeof(salt));
		if (!updated)
			assert_int_equal(smq_edhoc_key_update(e, vector_span(&context)), SMQ_OK);
	}
	want(t, "PRK_out after", e->keys.prk_out.b, SMQ_HASH_LEN);
}

static void play_trace(const json_t *t)
{
	struct rig_message none;
	start_trace(t);
	assert_int_equal(accept_trace(t), SMQ_OK);
	want(t, "message_2 (", pair.m[2].b, pair.m[2].len);
	want(t, "TH_3 (Raw", pair.r.e.keys.th.b, SMQ_HASH_LEN);
	assert_int_equal(rig_step(&pair, 3), SMQ_OK);
	want(t, "message_3 (", pair.m[3].b, pair.m[3].len);
	assert_int_equal(rig_step(&pair, 4), SMQ_OK);
	want(t, "message_4 (", pair.m[4].b, pair.m[4].len);
	assert_int_equal(smq_edhoc_input(&pair.i.e, rig_span(&pair.m[4]), rig_now_ms, rig_room(&none), &none.len),
			 SMQ_OK);
	check_keys(t, &pair.i.e);
	check_keys(t, &pair.r.e);
	check_exports(t, &pair.i.e);
	check_exports(t, &pair.r.e);
}

static void rfc_9529_trace_1(void **state)
{
	(void)state;
	json_t *file = vectors_load("edhoc/rfc9529_traces.json");
	const json_t *t = json_object_get(file, "trace_1_signatures_x5t");
	rig_pair_init(&pair, 0, 0);
	load_identity(&pair.i.id, t, SMQ_ED25519, 'I');
	load_identity(&pair.r.id, t, SMQ_ED25519, 'R');
	want(t, "PK_I (Raw", pair.i.id.credential.public_key, 32);
	want(t, "PK_R (Raw", pair.r.id.credential.public_key, 32);
	check_agreement(t, SMQ_X25519);
	check_schedule(t);
	check_proof_values(t, 2, false);
	check_proof_values(t, 3, false);
	play_trace(t);
	rig_pair_done(&pair);
	json_decref(file);
}

/*
 * The trace's first message_1 says suite 6 (X25519), yet its G_X is X times the base point of P-256. No initiator that
 * knows what suite 6 is makes that, so ours makes the same message with another G_X, and the responder is shown both.
 */
static void play_refused_suite(const json_t *t)
{
	struct vector_bytes c_i = value_of(t, "C_I (Raw", 0), g_x = value_of(t, "G_X (Raw", 0);
	struct vector_bytes m = value_of(t, "message_1 (", 0), error = value_of(t, "error (", 0);
	assert_int_equal(
	    smq_edhoc_start(&pair.i.e, &pair.i.config, vector_span(&c_i), rig_room(&pair.m[1]), &pair.m[1].len),
	    SMQ_OK);
	for (int theirs = 0; theirs <= 1; theirs++) {
		assert_int_equal(accept_trace(t), SMQ_ERR_ALGORITHM);
		assert_true(smq_span_equal(rig_span(&pair.m[2]), vector_span(&error)));
		memcpy(pair.m[1].b + 4, g_x.b, g_x.len);
		assert_true(smq_span_equal(rig_span(&pair.m[1]), vector_span(&m)));
	}
	assert_int_equal(rig_step(&pair, 3), SMQ_ERR_PEER_REFUSED);
	pair.i.config.peer_suites = *smq_edhoc_peer_suites(&pair.i.e);
}

static void rfc_9529_trace_2_with_its_refused_suite(void **state)
{
	(void)state;
	static const int both[] = { 6, 2 };
	json_t *file = vectors_load("edhoc/rfc9529_traces.json");
	const json_t *t = json_object_get(file, "trace_2_static_dh_kid");
	rig_pair_init(&pair, 3, 2);
	load_identity(&pair.i.id, t, SMQ_P256, 'I');
	load_identity(&pair.r.id, t, SMQ_P256, 'R');
	pair.i.config.suites = both;
	pair.i.config.suite_count = 2;
	play_refused_suite(t);
	check_agreement(t, SMQ_P256);
	check_static_dh(t);
	check_schedule(t);
	check_proof_values(t, 2, true);
	check_proof_values(t, 3, true);
	play_trace(t);
	rig_pair_done(&pair);
	json_decref(file);
}

/* ---- RFC 9529's invalid messages ---- */

static smq_err take_invalid(const char *label, smq_span bytes)
{
	struct smq_edhoc_plaintext plain;
	static const int suites[] = { 2, 0 };
	if (strcmp(label, "Invalid PLAINTEXT_2") == 0)
		return smq_edhoc_plaintext_decode(2, bytes, &plain);
	rig_pair_init(&pair, 3, 2);
	smq_err err;
	if (strcmp(label, "Invalid message_2") == 0) {
		rig_run(&pair, 1);
		err = smq_edhoc_input(&pair.i.e, bytes, rig_now_ms, rig_room(&pair.m[3]), &pair.m[3].len);
		assert_int_equal(smq_edhoc_state(&pair.i.e), SMQ_EDHOC_WAIT_2);
	} else {
		/* Suites 0 and 2 are both acceptable, so that it is never the suite that is refused. */
		pair.r.config.suites = suites;
		pair.r.config.suite_count = 2;
		err = smq_edhoc_accept(&pair.r.e, &pair.r.config, smq_span_str("r"), bytes, rig_now_ms,
				       rig_room(&pair.m[2]), &pair.m[2].len);
		assert_int_equal(smq_edhoc_state(&pair.r.e), SMQ_EDHOC_FAILED);
		assert_int_equal(pair.m[2].len, 0);
	}
	rig_pair_done(&pair);
	return err;
}

static void rfc_9529_invalid_messages(void **state)
{
	(void)state;
	json_t *file = vectors_load("edhoc/rfc9529_traces.json"), *row;
	size_t i;
	json_t *rows = json_object_get(file, "invalid");
	assert_int_equal(json_array_size(rows), 15);
	json_array_foreach(rows, i, row)
	{
		const char *reason = json_string_value(json_object_get(row, "reason"));
		struct vector_bytes m = vector_unhex(json_string_value(json_object_get(row, "hex")));
		smq_err err = take_invalid(json_string_value(json_object_get(row, "label")), vector_span(&m));
		if (err != SMQ_ERR_MALFORMED && err != SMQ_ERR_TRAILING)
			fail_msg("row %zu (%s): %s", i, reason, smq_err_name(err));
	}
	json_decref(file);
}

/*
 * ---- uoscore-uedhoc's six traces ----
 *
 * They follow draft 16, in which C_R came in the clear after CIPHERTEXT_2 and was hashed into TH_2, PRK_2e was salted
 * with zeroes, and context_2 had no C_R. From TH_2 and PRK_2e on, everything is as in RFC 9528; that much is pinned.
 */

static struct vector_bytes field(const json_t *v, const char *name)
{
	return vector_unhex(json_string_value(json_object_get(v, name)));
}

static void want_field(const json_t *v, const char *name, const void *bytes, size_t len)
{
	struct vector_bytes f = field(v, name);
	if (f.len != len || memcmp(f.b, bytes, len) != 0)
		fail_msg("%s is another", name);
}

static struct smq_edhoc_hash hash_field(const json_t *v, const char *name)
{
	struct smq_edhoc_hash h;
	struct vector_bytes f = field(v, name);
	assert_int_equal(f.len, sizeof(h.b));
	memcpy(h.b, f.b, sizeof(h.b));
	return h;
}

static struct smq_edhoc_prk prk_field(const json_t *v, const char *name)
{
	struct smq_edhoc_prk p;
	struct vector_bytes f = field(v, name);
	assert_int_equal(f.len, sizeof(p.b));
	memcpy(p.b, f.b, sizeof(p.b));
	return p;
}

static void check_kdf_field(const json_t *v, const char *prk_name, const char *th_name, uint64_t label,
			    const char *out_name)
{
	uint8_t out[512];
	struct smq_edhoc_prk prk = prk_field(v, prk_name);
	struct smq_edhoc_hash th = hash_field(v, th_name);
	size_t len = field(v, out_name).len;
	assert_int_equal(smq_edhoc_kdf_th(smq_crypto_openssl(), &prk, label, &th, smq_mspan_of(out, len)), SMQ_OK);
	want_field(v, out_name, out, len);
}

static void check_draft_beginning(const json_t *v)
{
	const struct smq_crypto *crypto = smq_crypto_openssl();
	struct vector_bytes m = field(v, "message_1"), x = field(v, "x_raw"), g_y = field(v, "g_y_raw");
	smq_span whole = vector_span(&m);
	struct smq_edhoc_message_1 m1;
	struct smq_edhoc_hash hash, th;
	uint8_t again[64], key[SMQ_KEX_LEN];
	size_t len = 0;

	assert_int_equal(smq_edhoc_message_1_decode(whole, &m1), SMQ_OK);
	want_field(v, "g_x_raw", m1.g_x.p, m1.g_x.len);
	want_field(v, "c_i", m1.c_i.p, m1.c_i.len);
	assert_int_equal(smq_edhoc_message_1_encode(&m1, smq_mspan_of(again, sizeof(again)), &len), SMQ_OK);
	want_field(v, "message_1", again, len);
	assert_int_equal(crypto->sha256(&whole, 1, hash.b), SMQ_OK);
	want_field(v, "h_message_1_raw", hash.b, sizeof(hash.b));
	assert_int_equal(crypto->kex_agree(SMQ_P256, x.b, g_y.b, key), SMQ_OK);
	want_field(v, "g_xy_raw", key, sizeof(key));
	/* What is not as in the RFC. */
	assert_int_equal(smq_edhoc_th_2(crypto, vector_span(&g_y), &hash, &th), SMQ_OK);
	assert_memory_not_equal(th.b, hash_field(v, "th_2_raw").b, sizeof(th.b));
}

static void check_draft_proof(const json_t *v, int n, bool by_dh)
{
	const struct smq_crypto *crypto = smq_crypto_openssl();
	struct smq_edhoc_prk prk = prk_field(v, n == 2 ? "prk_3e2m_raw" : "prk_4e3m_raw");
	struct smq_edhoc_hash th = hash_field(v, n == 2 ? "th_2_raw" : "th_3_raw");
	struct vector_bytes id_cred = field(v, n == 2 ? "id_cred_r" : "id_cred_i");
	struct vector_bytes cred = field(v, n == 2 ? "cred_r" : "cred_i");
	struct smq_edhoc_proof proof = { n,   smq_span_of(NULL, 0), vector_span(&id_cred),
					 &th, vector_span(&cred),   smq_span_of(NULL, 0) };
	struct vector_bytes mac = field(v, n == 2 ? "mac_2_raw" : "mac_3_raw");
	uint8_t out[SMQ_HASH_LEN];

	assert_int_equal(mac.len, by_dh ? 8 : 32);
	assert_int_equal(smq_edhoc_mac(crypto, &prk, &proof, smq_mspan_of(out, mac.len)), SMQ_OK);
	want_field(v, n == 2 ? "mac_2_raw" : "mac_3_raw", out, mac.len);
	if (by_dh)
		return;
	struct vector_bytes key = field(v, n == 2 ? "pk_r_raw" : "pk_i_raw");
	struct vector_bytes sig = field(v, n == 2 ? "sig_or_mac_2_raw" : "sig_or_mac_3_raw");
	assert_int_equal(smq_edhoc_verify(crypto, SMQ_ES256, vector_span(&key), &proof, vector_span(&mac), sig.b),
			 SMQ_OK);
	out[0] ^= 1;
	assert_int_equal(
	    smq_edhoc_verify(crypto, SMQ_ES256, vector_span(&key), &proof, smq_span_of(out, mac.len), sig.b),
	    SMQ_ERR_SIGNATURE);
}

static void check_draft_mix(const json_t *v, bool r_by_dh, bool i_by_dh)
{
	const struct smq_crypto *crypto = smq_crypto_openssl();
	struct smq_edhoc_prk prk = prk_field(v, "prk_2e_raw");
	struct smq_edhoc_hash th_2 = hash_field(v, "th_2_raw"), th_3 = hash_field(v, "th_3_raw");
	check_kdf_field(v, "prk_2e_raw", "th_2_raw", SMQ_EDHOC_SALT_3E2M, "salt_3e2m");
	check_kdf_field(v, "prk_3e2m_raw", "th_3_raw", SMQ_EDHOC_SALT_4E3M, "salt_4e3m");
	if (r_by_dh) {
		struct vector_bytes g_rx = field(v, "g_rx_raw");
		assert_int_equal(smq_edhoc_prk_mix(crypto, &prk, SMQ_EDHOC_SALT_3E2M, &th_2, g_rx.b, &prk), SMQ_OK);
	}
	want_field(v, "prk_3e2m_raw", prk.b, sizeof(prk.b));
	if (i_by_dh) {
		struct vector_bytes g_iy = field(v, "g_iy_raw");
		assert_int_equal(smq_edhoc_prk_mix(crypto, &prk, SMQ_EDHOC_SALT_4E3M, &th_3, g_iy.b, &prk), SMQ_OK);
	}
	want_field(v, "prk_4e3m_raw", prk.b, sizeof(prk.b));
}

static void check_draft_transcript(const json_t *v)
{
	const struct smq_crypto *crypto = smq_crypto_openssl();
	struct smq_edhoc_hash th = hash_field(v, "th_2_raw");
	struct vector_bytes p_2 = field(v, "plaintext_2"), cred_r = field(v, "cred_r");
	struct vector_bytes p_3 = field(v, "p_3"), cred_i = field(v, "cred_i");
	assert_int_equal(smq_edhoc_th_next(crypto, &th, vector_span(&p_2), vector_span(&cred_r), &th), SMQ_OK);
	want_field(v, "th_3_raw", th.b, sizeof(th.b));
	assert_int_equal(smq_edhoc_th_next(crypto, &th, vector_span(&p_3), vector_span(&cred_i), &th), SMQ_OK);
	want_field(v, "th_4_raw", th.b, sizeof(th.b));
}

static void check_draft_ciphers(const json_t *v)
{
	uint8_t out[512];
	for (int n = 3; n <= 4; n++) {
		struct smq_edhoc_prk prk = prk_field(v, n == 3 ? "prk_3e2m_raw" : "prk_4e3m_raw");
		struct smq_edhoc_hash th = hash_field(v, n == 3 ? "th_3_raw" : "th_4_raw");
		struct vector_bytes plain = field(v, n == 3 ? "p_3" : "p_4");
		struct smq_edhoc_cipher c = { smq_crypto_openssl(), smq_aead_alg_by_id(SMQ_AES_CCM_16_64_128), &prk,
					      &th, n };
		assert_int_equal(smq_edhoc_seal(&c, vector_span(&plain), out), SMQ_OK);
		want_field(v, n == 3 ? "ciphertext_3_raw" : "ciphertext_4_raw", out, plain.len + c.alg->tag_len);
	}
	check_kdf_field(v, "prk_2e_raw", "th_2_raw", SMQ_EDHOC_KEYSTREAM_2, "keystream_2_raw");
	check_kdf_field(v, "prk_3e2m_raw", "th_3_raw", SMQ_EDHOC_K_3, "k_3_raw");
	check_kdf_field(v, "prk_3e2m_raw", "th_3_raw", SMQ_EDHOC_IV_3, "iv_3_raw");
	check_kdf_field(v, "prk_4e3m_raw", "th_4_raw", SMQ_EDHOC_K_4, "k_4_raw");
	check_kdf_field(v, "prk_4e3m_raw", "th_4_raw", SMQ_EDHOC_IV_4, "iv_4_raw");
	check_kdf_field(v, "prk_4e3m_raw", "th_4_raw", SMQ_EDHOC_PRK_OUT, "prk_out");
}

static void check_draft_exports(const json_t *v, const char *prk_name, const char *secret_name, const char *salt_name)
{
	uint8_t secret[16], salt[8];
	struct smq_edhoc_prk prk = prk_field(v, prk_name);
	const struct smq_crypto *crypto = smq_crypto_openssl();
	smq_span none = smq_span_of(NULL, 0);
	assert_int_equal(smq_edhoc_exporter(crypto, &prk, 0, none, smq_mspan_of(secret, sizeof(secret))), SMQ_OK);
	assert_int_equal(smq_edhoc_exporter(crypto, &prk, 1, none, smq_mspan_of(salt, sizeof(salt))), SMQ_OK);
	want_field(v, secret_name, secret, sizeof(secret));
	want_field(v, salt_name, salt, sizeof(salt));
}

static void six_traces_of_draft_16_from_th_2_on(void **state)
{
	(void)state;
	json_t *file = vectors_load("edhoc/edhoc_test_vectors_p256_v16.json"), *v;
	const char *name;
	int count = 0;
	json_object_foreach(file, name, v)
	{
		int method = field(v, "method").b[0];
		check_draft_beginning(v);
		check_draft_mix(v, (method & 1) != 0, (method & 2) != 0);
		check_draft_proof(v, 2, (method & 1) != 0);
		check_draft_proof(v, 3, (method & 2) != 0);
		check_draft_transcript(v);
		check_draft_ciphers(v);
		check_draft_exports(v, "prk_out", "oscore_secret_raw", "oscore_salt_raw");
		check_draft_exports(v, "prk_out_updated", "oscore_secret_key_update_raw", "oscore_salt_key_update_raw");
		count++;
	}
	assert_int_equal(count, 6);
	json_decref(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc_9529_trace_1),
		cmocka_unit_test(rfc_9529_trace_2_with_its_refused_suite),
		cmocka_unit_test(rfc_9529_invalid_messages),
		cmocka_unit_test(six_traces_of_draft_16_from_th_2_on),
	};
	if (vectors_missing("edhoc/rfc9529_traces.json") || vectors_missing("edhoc/edhoc_test_vectors_p256_v16.json"))
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
