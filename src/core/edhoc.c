/* EDHOC (RFC 9528) as a machine: what is sent, taken and refused when. The key schedule is in edhoc_keys.c. */
#include "core/edhoc.h"

#include <assert.h>

#include "base/table.h"
#include "base/wipe.h"
#include "core/edhoc_machine.h"

#define BIT(state) (1u << (state))

/*
 *               start            message_2          message_4
 *     IDLE ------------> WAIT_2 ----------> WAIT_4 ----------> DONE      initiator
 *     IDLE ------------> WAIT_3 ------------------------------> DONE      responder
 *           message_1                message_3
 *     each of them but DONE -> FAILED; DONE and FAILED are the end.
 */
static const unsigned successors[] = {
	[SMQ_EDHOC_IDLE] = BIT(SMQ_EDHOC_WAIT_2) | BIT(SMQ_EDHOC_WAIT_3) | BIT(SMQ_EDHOC_FAILED),
	[SMQ_EDHOC_WAIT_2] = BIT(SMQ_EDHOC_WAIT_4) | BIT(SMQ_EDHOC_FAILED),
	[SMQ_EDHOC_WAIT_3] = BIT(SMQ_EDHOC_DONE) | BIT(SMQ_EDHOC_FAILED),
	[SMQ_EDHOC_WAIT_4] = BIT(SMQ_EDHOC_DONE) | BIT(SMQ_EDHOC_FAILED),
	[SMQ_EDHOC_DONE] = 0,
	[SMQ_EDHOC_FAILED] = 0,
};

enum { DRAWS_MAX = 8 }; /* a draw outside 1..n-1 has a chance of 2^-32 on P-256 */

/* One message being taken. Nothing of it is kept unless all of it is right. */
struct step {
	smq_span message;
	int64_t now_ms;
	smq_mspan room;
	size_t len;                    /* written into room */
	int number;                    /* of the message being taken, 1 to 4 */
	bool proven;                   /* it comes from this run's other end: from here on a fault ends the run */
	struct smq_edhoc_error answer; /* code 0: silence */
	struct smq_edhoc_keys keys;    /* of the machine, should the message be right */
	struct smq_edhoc_prk prk_2e;
	uint8_t shared[SMQ_KEX_LEN];
};

static void move(struct smq_edhoc *e, enum smq_edhoc_state to)
{
	assert(successors[e->state] & BIT(to));
	e->state = to;
}

static void fail(struct smq_edhoc *e)
{
	enum smq_edhoc_state from = e->state;
	int peer_error = e->peer_error;
	struct smq_edhoc_suites peer_suites = e->peer_suites;
	smq_wipe(e, sizeof(*e));
	e->state = from;
	e->peer_error = peer_error; /* public, and what the caller asks for next */
	e->peer_suites = peer_suites;
	move(e, SMQ_EDHOC_FAILED);
}

static smq_err refuse(struct step *s, smq_err err, int code, const char *text)
{
	s->answer.code = code;
	s->answer.text = smq_span_str(text);
	return err;
}

/* ---- who proves what how (RFC 9528, table 2) ---- */

static bool initiator_uses_dh(int method) { return (method & 2) != 0; }

static bool responder_uses_dh(int method) { return (method & 1) != 0; }

static bool we_use_dh(const struct smq_edhoc *e)
{
	return e->initiator ? initiator_uses_dh(e->method) : responder_uses_dh(e->method);
}

static bool peer_uses_dh(const struct smq_edhoc *e)
{
	return e->initiator ? responder_uses_dh(e->method) : initiator_uses_dh(e->method);
}

static size_t mac_len(const struct smq_edhoc *e, bool by_dh) { return by_dh ? e->suite->mac_len : SMQ_HASH_LEN; }

/* ---- suites ---- */

static bool serves(const struct smq_own_credential *own, bool by_dh, const struct smq_edhoc_suite *suite)
{
	if (!suite)
		return false;
	if (!by_dh)
		return own->signer.sign && own->signer.alg == suite->sig;
	return own->signer.agree && (own->dh_curve == 0 || own->dh_curve == suite->curve);
}

/* The configured suites that our key can serve with this method, in order. */
static struct smq_edhoc_suites our_suites(const struct smq_edhoc *e)
{
	struct smq_edhoc_suites ours = { .count = 0 };
	for (size_t i = 0; i < e->config->suite_count; i++) {
		int id = e->config->suites[i];
		if (serves(e->config->own, we_use_dh(e), smq_edhoc_suite_by_id(id)))
			ours.id[ours.count++] = id;
	}
	return ours;
}

static bool has_suite(const struct smq_edhoc_suites *suites, int id)
{
	for (size_t i = 0; i < suites->count; i++) {
		if (suites->id[i] == id)
			return true;
	}
	return false;
}

/* SUITES_I: ours down to the first that the peer is said to support. */
static smq_err propose(struct smq_edhoc *e, struct smq_edhoc_suites *ret_suites)
{
	struct smq_edhoc_suites suites = our_suites(e);
	const struct smq_edhoc_suites *theirs = &e->config->peer_suites;
	size_t chosen = 0;
	while (chosen < suites.count && theirs->count > 0 && !has_suite(theirs, suites.id[chosen]))
		chosen++;
	if (chosen == suites.count)
		return SMQ_ERR_ALGORITHM;
	suites.count = chosen + 1;
	e->suite = smq_edhoc_suite_by_id(suites.id[chosen]);
	*ret_suites = suites;
	return SMQ_OK;
}

/* Acceptable is the selected suite if we support it, and none that the initiator prefers to it (RFC 9528, 5.2.3). */
static smq_err take_suites(struct smq_edhoc *e, struct step *s, const struct smq_edhoc_suites *theirs)
{
	struct smq_edhoc_suites ours = our_suites(e);
	size_t last = theirs->count - 1;
	bool good = has_suite(&ours, theirs->id[last]);
	for (size_t i = 0; i < last; i++)
		good = good && !has_suite(&ours, theirs->id[i]);
	if (good) {
		e->suite = smq_edhoc_suite_by_id(theirs->id[last]);
		return SMQ_OK;
	}
	s->answer.code = SMQ_EDHOC_ERR_SUITE;
	s->answer.suites = ours;
	return SMQ_ERR_ALGORITHM;
}

/* ---- external authorization data ---- */

static bool understands(const struct smq_edhoc_config *config, int64_t label)
{
	for (size_t i = 0; i < config->ead_known_count; i++) {
		if (config->ead_known[i] == -label)
			return true;
	}
	return label >= 0; /* others are not critical: whoever does not know them passes over them */
}

static smq_err keep_ead(struct smq_edhoc *e, struct step *s, smq_span ead)
{
	struct smq_reader r = smq_reader_on(ead);
	struct smq_edhoc_ead item;
	struct smq_edhoc_kept_ead *kept = &e->ead[(s->number - 1) / 2];
	while (smq_edhoc_ead_next(&r, &item)) {
		if (!understands(e->config, item.label))
			return refuse(s, SMQ_ERR_UNSUPPORTED, SMQ_EDHOC_ERR_UNSPECIFIED, "critical EAD");
	}
	if (ead.len > 0)
		memcpy(kept->b, ead.p, ead.len);
	kept->len = ead.len;
	return smq_reader_end(&r);
}

/* ---- keys ---- */

static smq_err draw_key(struct smq_edhoc *e, uint8_t ret_public[SMQ_KEX_LEN])
{
	const struct smq_edhoc_config *c = e->config;
	smq_err err = SMQ_ERR_MALFORMED;
	for (int i = 0; i < DRAWS_MAX && err == SMQ_ERR_MALFORMED; i++) {
		err = c->random->fill(c->random->self, smq_mspan_of(e->secret, sizeof(e->secret)));
		if (err == SMQ_OK)
			err = c->crypto->kex_public(e->suite->curve, e->secret, ret_public);
	}
	return err == SMQ_ERR_MALFORMED ? SMQ_ERR_CRYPTO : err;
}

/* TH_2 and PRK_2e from both ephemeral keys. */
static smq_err agree(struct smq_edhoc *e, struct step *s, smq_span peer_key, smq_span g_y)
{
	const struct smq_crypto *crypto = e->config->crypto;
	smq_err err = crypto->kex_agree(e->suite->curve, e->secret, peer_key.p, s->shared);
	if (err == SMQ_OK)
		err = smq_edhoc_th_2(crypto, g_y, &e->message_1_hash, &s->keys.th);
	if (err == SMQ_OK)
		err = smq_edhoc_prk_2e(crypto, &s->keys.th, s->shared, &s->prk_2e);
	return err;
}

/* The x-coordinate or X25519 key in the peer's credential. */
static const uint8_t *peer_dh_key(const struct smq_edhoc *e)
{
	return e->peer.public_key_len == SMQ_PUBLIC_KEY_MAX ? e->peer.public_key + 1 : e->peer.public_key;
}

/* Our ephemeral with the peer's static key, which its method has it prove. */
static smq_err agree_with_peer(struct smq_edhoc *e, struct step *s)
{
	smq_err err = e->config->crypto->kex_agree(e->suite->curve, e->secret, peer_dh_key(e), s->shared);
	return err == SMQ_ERR_MALFORMED ? SMQ_ERR_CERT_INVALID : err;
}

static smq_err agree_with_own(struct smq_edhoc *e, struct step *s, smq_span peer_key)
{
	const struct smq_signer *signer = &e->config->own->signer;
	return signer->agree(signer->self, e->suite->curve, peer_key.p, s->shared);
}

static smq_err mix_3e2m(struct smq_edhoc *e, struct step *s)
{
	return smq_edhoc_prk_mix(e->config->crypto, &s->prk_2e, SMQ_EDHOC_SALT_3E2M, &s->keys.th, s->shared,
				 &s->keys.prk_3e2m);
}

static smq_err mix_4e3m(struct smq_edhoc *e, struct step *s)
{
	return smq_edhoc_prk_mix(e->config->crypto, &s->keys.prk_3e2m, SMQ_EDHOC_SALT_4E3M, &s->keys.th, s->shared,
				 &s->keys.prk_4e3m);
}

/* message_3 is complete: TH_4 and PRK_out. */
static smq_err conclude(struct smq_edhoc *e, struct step *s, smq_span plaintext_3, smq_span cred_i)
{
	const struct smq_crypto *crypto = e->config->crypto;
	smq_err err = smq_edhoc_th_next(crypto, &s->keys.th, plaintext_3, cred_i, &s->keys.th);
	if (err == SMQ_OK)
		err = smq_edhoc_kdf_th(crypto, &s->keys.prk_4e3m, SMQ_EDHOC_PRK_OUT, &s->keys.th,
				       smq_mspan_of(s->keys.prk_out.b, sizeof(s->keys.prk_out.b)));
	return err;
}

/* ---- proofs ---- */

/* C_R as PLAINTEXT_2 and context_2 have it. */
static smq_span encoded_c_r(smq_span c_r, uint8_t room[1 + SMQ_EDHOC_CID_MAX])
{
	struct smq_writer w = smq_writer_on(smq_mspan_of(room, 1 + SMQ_EDHOC_CID_MAX));
	smq_edhoc_id_put(&w, c_r);
	return smq_writer_span(&w);
}

static smq_span cid_span(const struct smq_edhoc_cid *cid) { return smq_span_of(cid->b, cid->len); }

/* Writes our PLAINTEXT_n, its proof in it, into work. */
static smq_err prove(struct smq_edhoc *e, struct step *s, int n, const struct smq_edhoc_prk *prk, smq_span *ret_plain)
{
	const struct smq_own_credential *own = e->config->own;
	struct smq_edhoc_plaintext *p = &e->plain;
	uint8_t c_r[1 + SMQ_EDHOC_CID_MAX], mac[SMQ_HASH_LEN], signature[SMQ_SIG_LEN];
	size_t len = mac_len(e, we_use_dh(e)), plain_len = 0;

	memset(p, 0, sizeof(*p));
	if (n == 2)
		p->c_r = cid_span(&e->own_cid);
	p->id_cred.map = e->config->own_by_hash ? own->id_cred_short : own->id_cred_full;
	p->ead = e->config->ead[n];
	p->sig_or_mac = smq_span_of(mac, len);
	struct smq_edhoc_proof proof = { n, smq_span_of(NULL, 0), p->id_cred.map, &s->keys.th, own->cred, p->ead };
	if (n == 2)
		proof.c_r = encoded_c_r(p->c_r, c_r);
	smq_err err = smq_edhoc_mac(e->config->crypto, prk, &proof, smq_mspan_of(mac, len));
	if (err == SMQ_OK && !we_use_dh(e)) {
		err = smq_edhoc_sign(&own->signer, &proof, smq_span_of(mac, len), signature);
		p->sig_or_mac = smq_span_of(signature, sizeof(signature));
	}
	if (err == SMQ_OK)
		err = smq_edhoc_plaintext_encode(n, p, smq_mspan_of(e->work, sizeof(e->work)), &plain_len);
	if (err == SMQ_OK)
		*ret_plain = smq_span_of(e->work, plain_len);
	smq_wipe(mac, sizeof(mac));
	return err;
}

/* Holds the peer's proof in plain against its credential. */
static smq_err check_proof(struct smq_edhoc *e, struct step *s, int n, const struct smq_edhoc_prk *prk)
{
	const struct smq_edhoc_plaintext *p = &e->plain;
	uint8_t c_r[1 + SMQ_EDHOC_CID_MAX], mac[SMQ_HASH_LEN];
	size_t len = mac_len(e, peer_uses_dh(e));
	struct smq_edhoc_proof proof = {
		n,     smq_span_of(NULL, 0), p->id_cred.map, &s->keys.th, smq_span_of(e->peer.cred, e->peer.cred_len),
		p->ead
	};
	if (n == 2)
		proof.c_r = encoded_c_r(p->c_r, c_r);
	if (p->sig_or_mac.len != (peer_uses_dh(e) ? len : SMQ_SIG_LEN))
		return SMQ_ERR_MALFORMED;
	smq_err err = smq_edhoc_mac(e->config->crypto, prk, &proof, smq_mspan_of(mac, len));
	if (err == SMQ_OK && peer_uses_dh(e) && !smq_equal_ct(mac, p->sig_or_mac.p, len))
		err = SMQ_ERR_SIGNATURE;
	if (err == SMQ_OK && !peer_uses_dh(e))
		err = smq_edhoc_verify(e->config->crypto, e->peer.sig_alg,
				       smq_span_of(e->peer.public_key, e->peer.public_key_len), &proof,
				       smq_span_of(mac, len), p->sig_or_mac.p);
	smq_wipe(mac, sizeof(mac));
	return err;
}

/* Whether the resolved credential may stand here at all. */
static smq_err check_peer(const struct smq_edhoc *e)
{
	const struct smq_credential *peer = &e->peer;
	smq_span cred = smq_span_of(peer->cred, peer->cred_len);
	if (smq_span_equal(cred, e->config->own->cred)) /* our own message, reflected, would bring it */
		return SMQ_ERR_CERT_NAME;
	if (e->config->expect.len > 0 && !smq_span_equal(smq_span_str(peer->name), e->config->expect))
		return SMQ_ERR_CERT_NAME;
	if (peer_uses_dh(e) ? peer->dh_curve != e->suite->curve : peer->sig_alg != e->suite->sig)
		return SMQ_ERR_CERT_USAGE;
	return SMQ_OK;
}

static smq_err resolve_peer(struct smq_edhoc *e, struct step *s)
{
	const struct smq_credentials *c = e->config->credentials;
	smq_err err = c->resolve(c->self, e->plain.id_cred.map, s->now_ms, &e->peer);
	if (err == SMQ_OK)
		err = check_peer(e);
	if (err == SMQ_ERR_CREDENTIAL)
		return refuse(s, err, SMQ_EDHOC_ERR_UNKNOWN_CREDENTIAL, NULL);
	if (err != SMQ_OK)
		return refuse(s, err, SMQ_EDHOC_ERR_UNSPECIFIED, "credential refused");
	return SMQ_OK;
}

/* ---- message_1 ---- */

static smq_err write_1(struct smq_edhoc *e, struct step *s)
{
	uint8_t g_x[SMQ_KEX_LEN];
	struct smq_edhoc_message_1 m = { .method = e->config->method,
					 .c_i = cid_span(&e->own_cid),
					 .ead = e->config->ead[1] };
	smq_err err = propose(e, &m.suites);
	if (err == SMQ_OK)
		err = draw_key(e, g_x);
	if (err != SMQ_OK)
		return err;
	m.g_x = smq_span_of(g_x, sizeof(g_x));
	err = smq_edhoc_message_1_encode(&m, s->room, &s->len);
	if (err != SMQ_OK)
		return err;
	smq_span message = smq_span_of(s->room.p, s->len);
	return e->config->crypto->sha256(&message, 1, e->message_1_hash.b);
}

static smq_err take_1(struct smq_edhoc *e, struct step *s, smq_span *ret_g_x)
{
	struct smq_edhoc_message_1 m;
	smq_err err = smq_edhoc_message_1_decode(s->message, &m);
	if (err != SMQ_OK)
		return err;
	e->method = m.method;
	if (m.method < 0 || m.method > 3 || !(e->config->methods_allowed & BIT(m.method)) || our_suites(e).count == 0)
		return refuse(s, SMQ_ERR_ALGORITHM, SMQ_EDHOC_ERR_UNSPECIFIED, "method");
	err = take_suites(e, s, &m.suites);
	if (err == SMQ_OK)
		err = keep_ead(e, s, m.ead);
	if (err != SMQ_OK)
		return err;
	if (m.c_i.len > 0)
		memcpy(e->peer_cid.b, m.c_i.p, m.c_i.len);
	e->peer_cid.len = m.c_i.len;
	*ret_g_x = m.g_x;
	return e->config->crypto->sha256(&s->message, 1, e->message_1_hash.b);
}

/* ---- message_2 ---- */

/* PLAINTEXT_2 xor KEYSTREAM_2, in place of the keystream at out. */
static smq_err apply_keystream(struct smq_edhoc *e, struct step *s, smq_span bytes, uint8_t *out)
{
	smq_err err = smq_edhoc_kdf_th(e->config->crypto, &s->prk_2e, SMQ_EDHOC_KEYSTREAM_2, &s->keys.th,
				       smq_mspan_of(out, bytes.len));
	for (size_t i = 0; i < bytes.len && err == SMQ_OK; i++)
		out[i] ^= bytes.p[i];
	return err;
}

static smq_err seal_2(struct smq_edhoc *e, struct step *s, smq_span g_y, smq_span plain)
{
	struct smq_writer w = smq_writer_on(s->room);
	uint8_t *ciphertext = smq_edhoc_message_2_put(&w, g_y, plain.len);
	if (!ciphertext)
		return w.err;
	smq_err err = apply_keystream(e, s, plain, ciphertext);
	return err == SMQ_OK ? smq_writer_end(&w, &s->len) : err;
}

static smq_err write_2(struct smq_edhoc *e, struct step *s, smq_span g_x)
{
	uint8_t g_y_bytes[SMQ_KEX_LEN];
	smq_span g_y = smq_span_of(g_y_bytes, sizeof(g_y_bytes)), plain = { 0 };
	smq_err err = draw_key(e, g_y_bytes);
	if (err == SMQ_OK)
		err = agree(e, s, g_x, g_y);
	s->keys.prk_3e2m = s->prk_2e;
	if (err == SMQ_OK && responder_uses_dh(e->method)) {
		err = agree_with_own(e, s, g_x);
		if (err == SMQ_OK)
			err = mix_3e2m(e, s);
	}
	if (err == SMQ_OK)
		err = prove(e, s, 2, &s->keys.prk_3e2m, &plain);
	if (err == SMQ_OK)
		err = seal_2(e, s, g_y, plain);
	if (err == SMQ_OK)
		err = smq_edhoc_th_next(e->config->crypto, &s->keys.th, plain, e->config->own->cred, &s->keys.th);
	return err;
}

/* Takes CIPHERTEXT_2 into work and plain, with nothing proven yet. */
static smq_err open_2(struct smq_edhoc *e, struct step *s, smq_span ciphertext)
{
	if (ciphertext.len > sizeof(e->work))
		return SMQ_ERR_TOO_LARGE;
	smq_err err = apply_keystream(e, s, ciphertext, e->work);
	if (err == SMQ_OK)
		err = smq_edhoc_plaintext_decode(2, smq_span_of(e->work, ciphertext.len), &e->plain);
	return err;
}

static smq_err check_2(struct smq_edhoc *e, struct step *s)
{
	smq_err err = resolve_peer(e, s);
	s->keys.prk_3e2m = s->prk_2e;
	if (err == SMQ_OK && responder_uses_dh(e->method)) {
		err = agree_with_peer(e, s);
		if (err == SMQ_OK)
			err = mix_3e2m(e, s);
	}
	if (err == SMQ_OK)
		err = check_proof(e, s, 2, &s->keys.prk_3e2m);
	return err;
}

/* ---- message_3 ---- */

static smq_err seal_34(struct smq_edhoc *e, struct step *s, int n, smq_span plain)
{
	const struct smq_aead_alg *alg = smq_aead_alg_by_id(e->suite->aead);
	const struct smq_edhoc_prk *prk = n == 3 ? &s->keys.prk_3e2m : &s->keys.prk_4e3m;
	struct smq_edhoc_cipher cipher = { e->config->crypto, alg, prk, &s->keys.th, n };
	struct smq_writer w = smq_writer_on(s->room);
	uint8_t *ciphertext = smq_edhoc_ciphertext_put(&w, plain.len + alg->tag_len);
	if (!ciphertext)
		return w.err;
	smq_err err = smq_edhoc_seal(&cipher, plain, ciphertext);
	return err == SMQ_OK ? smq_writer_end(&w, &s->len) : err;
}

/* Opens message n into work; it is proven then to come from whom we agreed the ephemeral key with. */
static smq_err open_34(struct smq_edhoc *e, struct step *s, int n, smq_span *ret_plain)
{
	const struct smq_aead_alg *alg = smq_aead_alg_by_id(e->suite->aead);
	const struct smq_edhoc_prk *prk = n == 3 ? &s->keys.prk_3e2m : &s->keys.prk_4e3m;
	struct smq_edhoc_cipher cipher = { e->config->crypto, alg, prk, &s->keys.th, n };
	smq_span ciphertext = { 0 };
	smq_err err = smq_edhoc_ciphertext_decode(s->message, &ciphertext);
	if (err == SMQ_OK && ciphertext.len > sizeof(e->work))
		err = SMQ_ERR_TOO_LARGE;
	if (err == SMQ_OK)
		err = smq_edhoc_open(&cipher, ciphertext, e->work);
	if (err == SMQ_OK) {
		*ret_plain = smq_span_of(e->work, ciphertext.len - alg->tag_len);
		s->proven = true;
	}
	return err;
}

static smq_err write_3(struct smq_edhoc *e, struct step *s, smq_span g_y)
{
	smq_span plain = { 0 };
	smq_err err = SMQ_OK;
	s->keys.prk_4e3m = s->keys.prk_3e2m;
	if (initiator_uses_dh(e->method)) {
		err = agree_with_own(e, s, g_y);
		if (err == SMQ_OK)
			err = mix_4e3m(e, s);
	}
	if (err == SMQ_OK)
		err = prove(e, s, 3, &s->keys.prk_4e3m, &plain);
	if (err == SMQ_OK)
		err = seal_34(e, s, 3, plain);
	if (err == SMQ_OK)
		err = conclude(e, s, plain, e->config->own->cred);
	return err;
}

static smq_err check_3(struct smq_edhoc *e, struct step *s)
{
	smq_err err = resolve_peer(e, s);
	s->keys.prk_4e3m = s->keys.prk_3e2m;
	if (err == SMQ_OK && initiator_uses_dh(e->method)) {
		err = agree_with_peer(e, s);
		if (err == SMQ_OK)
			err = mix_4e3m(e, s);
	}
	if (err == SMQ_OK)
		err = check_proof(e, s, 3, &s->keys.prk_4e3m);
	return err;
}

/* ---- what each state takes ---- */

static void commit(struct smq_edhoc *e, const struct step *s, enum smq_edhoc_state to)
{
	e->keys = s->keys;
	e->has_peer = true;
	e->peer_error = 0;
	smq_wipe(e->secret, sizeof(e->secret));
	move(e, to);
}

static smq_err take_2(struct smq_edhoc *e, struct step *s)
{
	smq_span g_y = { 0 }, ciphertext = { 0 };
	struct smq_edhoc_cid c_r = { 0 };
	smq_err err = smq_edhoc_message_2_decode(s->message, &g_y, &ciphertext);
	if (err == SMQ_OK)
		err = agree(e, s, g_y, g_y);
	if (err == SMQ_OK)
		err = open_2(e, s, ciphertext);
	if (err != SMQ_OK)
		return err;
	if (e->plain.c_r.len > 0)
		memcpy(c_r.b, e->plain.c_r.p, e->plain.c_r.len);
	c_r.len = e->plain.c_r.len;
	err = check_2(e, s);
	if (err == SMQ_ERR_CREDENTIAL)
		e->peer_cid = c_r; /* whom to tell that its certificate is wanted by value */
	if (err != SMQ_OK)
		return err;
	s->proven = true;
	err = keep_ead(e, s, e->plain.ead);
	if (err == SMQ_OK)
		err = smq_edhoc_th_next(e->config->crypto, &s->keys.th, smq_span_of(e->work, ciphertext.len),
					smq_span_of(e->peer.cred, e->peer.cred_len), &s->keys.th);
	if (err == SMQ_OK)
		err = write_3(e, s, g_y); /* over work: PLAINTEXT_2 has been used up */
	if (err != SMQ_OK)
		return err;
	e->peer_cid = c_r;
	commit(e, s, SMQ_EDHOC_WAIT_4);
	return SMQ_OK;
}

static smq_err take_3(struct smq_edhoc *e, struct step *s)
{
	smq_span plain = { 0 };
	smq_err err = open_34(e, s, 3, &plain);
	if (err == SMQ_OK)
		err = smq_edhoc_plaintext_decode(3, plain, &e->plain);
	if (err == SMQ_OK)
		err = check_3(e, s);
	if (err == SMQ_OK)
		err = keep_ead(e, s, e->plain.ead);
	if (err == SMQ_OK)
		err = conclude(e, s, plain, smq_span_of(e->peer.cred, e->peer.cred_len));
	if (err == SMQ_OK)
		err = seal_34(e, s, 4, e->config->ead[4]);
	if (err == SMQ_OK)
		commit(e, s, SMQ_EDHOC_DONE);
	return err;
}

static smq_err take_4(struct smq_edhoc *e, struct step *s)
{
	smq_span plain = { 0 };
	smq_err err = open_34(e, s, 4, &plain);
	if (err == SMQ_OK)
		err = smq_edhoc_ead_check(plain);
	if (err == SMQ_OK)
		err = keep_ead(e, s, plain);
	if (err == SMQ_OK)
		commit(e, s, SMQ_EDHOC_DONE);
	return err;
}

static smq_err take_error(struct smq_edhoc *e, smq_span message)
{
	struct smq_edhoc_error error;
	smq_err err = smq_edhoc_error_decode(message, &error);
	if (err != SMQ_OK)
		return err;
	e->peer_error = error.code;
	e->peer_suites = error.suites;
	return SMQ_ERR_PEER_REFUSED;
}

/* ---- the frame around them ---- */

/* A fault before the message was proven to be the peer's may be anybody's doing: the run goes on. */
static bool ends_run(const struct step *s, smq_err err) { return s->proven && err != SMQ_ERR_NO_ROOM; }

static void answer_error(struct step *s)
{
	s->len = 0;
	if (s->answer.code != 0 && smq_edhoc_error_encode(&s->answer, s->room, &s->len) != SMQ_OK)
		s->len = 0; /* no room: they learn nothing, we lose nothing */
}

/* Leaves the machine as it was before the step. */
static void forget(struct smq_edhoc *e, const struct step *s)
{
	if (!e->has_peer)
		smq_wipe(&e->peer, sizeof(e->peer));
	smq_wipe(&e->ead[(s->number - 1) / 2], sizeof(e->ead[0]));
}

static smq_err begin(struct smq_edhoc *e, const struct smq_edhoc_config *config, smq_span cid, bool initiator)
{
	smq_wipe(e, sizeof(*e));
	if (cid.len < 1 || cid.len > SMQ_EDHOC_CID_MAX || config->suite_count < 1 ||
	    config->suite_count > SMQ_EDHOC_SUITES_MAX || config->peer_suites.count > SMQ_EDHOC_SUITES_MAX ||
	    config->own->id_cred_full.len > SMQ_ID_CRED_MAX || config->own->id_cred_short.len > SMQ_ID_CRED_MAX ||
	    (initiator && (config->method < 0 || config->method > 3)))
		return SMQ_ERR_USAGE;
	for (int n = 1; n <= 4; n++) {
		if (smq_edhoc_ead_check(config->ead[n]) != SMQ_OK)
			return SMQ_ERR_USAGE;
	}
	e->config = config;
	e->initiator = initiator;
	e->method = config->method;
	memcpy(e->own_cid.b, cid.p, cid.len);
	e->own_cid.len = cid.len;
	return SMQ_OK;
}

smq_err smq_edhoc_start(struct smq_edhoc *e, const struct smq_edhoc_config *config, smq_span cid, smq_mspan room,
			size_t *ret_len)
{
	struct step s = { .room = room, .number = 1 };
	smq_err err = begin(e, config, cid, true);
	if (err == SMQ_OK)
		err = write_1(e, &s);
	if (err != SMQ_OK) {
		fail(e);
		return err;
	}
	move(e, SMQ_EDHOC_WAIT_2);
	*ret_len = s.len;
	return SMQ_OK;
}

smq_err smq_edhoc_accept(struct smq_edhoc *e, const struct smq_edhoc_config *config, smq_span cid, smq_span message_1,
			 int64_t now_ms, smq_mspan room, size_t *ret_len)
{
	struct step s = { .message = message_1, .now_ms = now_ms, .room = room, .number = 1 };
	smq_span g_x = { 0 };
	smq_err err = begin(e, config, cid, false);
	if (err == SMQ_OK)
		err = take_1(e, &s, &g_x);
	if (err == SMQ_OK)
		err = write_2(e, &s, g_x);
	if (err == SMQ_OK) {
		e->keys = s.keys;
		smq_wipe(e->work, sizeof(e->work));
		smq_wipe(&e->plain, sizeof(e->plain));
		move(e, SMQ_EDHOC_WAIT_3);
	} else {
		answer_error(&s);
		fail(e);
	}
	*ret_len = s.len;
	smq_wipe(&s, sizeof(s));
	return err;
}

smq_err smq_edhoc_input(struct smq_edhoc *e, smq_span message, int64_t now_ms, smq_mspan room, size_t *ret_len)
{
	static const struct {
		int number;
		smq_err (*take)(struct smq_edhoc *e, struct step *s);
	} takes[] = {
		[SMQ_EDHOC_WAIT_2] = { 2, take_2 },
		[SMQ_EDHOC_WAIT_3] = { 3, take_3 },
		[SMQ_EDHOC_WAIT_4] = { 4, take_4 },
	};
	*ret_len = 0;
	if (e->state >= SMQ_COUNT(takes) || !takes[e->state].take)
		return SMQ_ERR_STATE;
	if (message.len > SMQ_EDHOC_MESSAGE_MAX)
		return SMQ_ERR_TOO_LARGE;
	if (smq_edhoc_is_error(message))
		return take_error(e, message);

	struct step s = {
		.message = message, .now_ms = now_ms, .room = room, .number = takes[e->state].number, .keys = e->keys
	};
	smq_err err = takes[e->state].take(e, &s);
	if (err != SMQ_OK) {
		answer_error(&s);
		forget(e, &s);
		if (ends_run(&s, err))
			fail(e);
	}
	*ret_len = s.len;
	smq_wipe(e->work, sizeof(e->work));
	smq_wipe(&e->plain, sizeof(e->plain));
	smq_wipe(&s, sizeof(s));
	return err;
}

/* ---- what a run tells ---- */

enum smq_edhoc_state smq_edhoc_state(const struct smq_edhoc *e) { return e->state; }

smq_err smq_edhoc_export(const struct smq_edhoc *e, uint64_t label, smq_span context, smq_mspan ret_key)
{
	if (e->state != SMQ_EDHOC_WAIT_4 && e->state != SMQ_EDHOC_DONE)
		return SMQ_ERR_STATE;
	return smq_edhoc_exporter(e->config->crypto, &e->keys.prk_out, label, context, ret_key);
}

smq_err smq_edhoc_key_update(struct smq_edhoc *e, smq_span context)
{
	struct smq_edhoc_prk next;
	if (e->state != SMQ_EDHOC_DONE)
		return SMQ_ERR_STATE;
	smq_err err = smq_edhoc_kdf(e->config->crypto, &e->keys.prk_out, SMQ_EDHOC_UPDATE, context,
				    smq_mspan_of(next.b, sizeof(next.b)));
	if (err == SMQ_OK)
		e->keys.prk_out = next;
	smq_wipe(&next, sizeof(next));
	return err;
}

const struct smq_credential *smq_edhoc_peer(const struct smq_edhoc *e) { return e->has_peer ? &e->peer : NULL; }

smq_span smq_edhoc_peer_cid(const struct smq_edhoc *e) { return cid_span(&e->peer_cid); }

smq_span smq_edhoc_peer_ead(const struct smq_edhoc *e, int n)
{
	bool theirs = n >= 1 && n <= 4 && (n % 2 == 0) == e->initiator;
	const struct smq_edhoc_kept_ead *kept = &e->ead[theirs ? (n - 1) / 2 : 0];
	return smq_span_of(kept->b, theirs ? kept->len : 0);
}

int smq_edhoc_peer_error(const struct smq_edhoc *e) { return e->peer_error; }

const struct smq_edhoc_suites *smq_edhoc_peer_suites(const struct smq_edhoc *e) { return &e->peer_suites; }

int smq_edhoc_suite(const struct smq_edhoc *e) { return e->suite ? e->suite->id : -1; }

int smq_edhoc_method(const struct smq_edhoc *e) { return e->method; }

void smq_edhoc_done(struct smq_edhoc *e) { smq_wipe(e, sizeof(*e)); }
