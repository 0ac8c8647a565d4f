/* EDHOC's suites, transcript hashes and key schedule (RFC 9528, 4 and 10.2): pure functions over the crypto port. */
#include "core/edhoc_keys.h"

#include "base/table.h"
#include "base/wipe.h"
#include "crypto/hkdf.h"
#include "wire/cbor.h"

enum { HEAD_MAX = 9 };

static const struct smq_edhoc_suite suites[] = {
	{ 0, SMQ_AES_CCM_16_64_128, 8, SMQ_X25519, SMQ_EDDSA },
	{ 1, SMQ_AES_CCM_16_128_128, 16, SMQ_X25519, SMQ_EDDSA },
	{ 2, SMQ_AES_CCM_16_64_128, 8, SMQ_P256, SMQ_ES256 },
	{ 3, SMQ_AES_CCM_16_128_128, 16, SMQ_P256, SMQ_ES256 },
	{ 4, SMQ_CHACHA20_POLY1305, 16, SMQ_X25519, SMQ_EDDSA },
	{ 5, SMQ_CHACHA20_POLY1305, 16, SMQ_P256, SMQ_ES256 },
	{ 6, SMQ_A128GCM, 16, SMQ_X25519, SMQ_ES256 },
};

const struct smq_edhoc_suite *smq_edhoc_suite_by_id(int id)
{
	for (size_t i = 0; i < SMQ_COUNT(suites); i++) {
		if (suites[i].id == id)
			return &suites[i];
	}
	return NULL;
}

static smq_span hash_span(const struct smq_edhoc_hash *h) { return smq_span_of(h->b, sizeof(h->b)); }

/* ---- transcript hashes ---- */

smq_err smq_edhoc_th_2(const struct smq_crypto *crypto, smq_span g_y, const struct smq_edhoc_hash *message_1_hash,
		       struct smq_edhoc_hash *ret_th)
{
	uint8_t room[2 * (HEAD_MAX + SMQ_HASH_LEN)];
	struct smq_writer w = smq_writer_on(smq_mspan_of(room, sizeof(room)));
	smq_cbor_put_bytes(&w, g_y);
	smq_cbor_put_bytes(&w, hash_span(message_1_hash));
	if (w.err != SMQ_OK)
		return w.err;
	smq_span input = smq_writer_span(&w);
	return crypto->sha256(&input, 1, ret_th->b);
}

smq_err smq_edhoc_th_next(const struct smq_crypto *crypto, const struct smq_edhoc_hash *th, smq_span plaintext,
			  smq_span cred, struct smq_edhoc_hash *ret_th)
{
	uint8_t room[HEAD_MAX + SMQ_HASH_LEN];
	struct smq_writer w = smq_writer_on(smq_mspan_of(room, sizeof(room)));
	smq_cbor_put_bytes(&w, hash_span(th));
	smq_span parts[] = { smq_writer_span(&w), plaintext, cred };
	return crypto->sha256(parts, SMQ_COUNT(parts), ret_th->b);
}

/* ---- key derivation ---- */

smq_err smq_edhoc_kdf(const struct smq_crypto *crypto, const struct smq_edhoc_prk *prk, uint64_t label,
		      smq_span context, smq_mspan ret_okm)
{
	uint8_t head_room[2 * HEAD_MAX], tail_room[HEAD_MAX];
	struct smq_writer head = smq_writer_on(smq_mspan_of(head_room, sizeof(head_room)));
	struct smq_writer tail = smq_writer_on(smq_mspan_of(tail_room, sizeof(tail_room)));
	smq_cbor_put_uint(&head, label);
	smq_cbor_put_bytes_head(&head, context.len);
	smq_cbor_put_uint(&tail, ret_okm.len);
	smq_span info[] = { smq_writer_span(&head), context, smq_writer_span(&tail) };
	return smq_hkdf_expand(crypto, prk->b, info, SMQ_COUNT(info), ret_okm);
}

smq_err smq_edhoc_kdf_th(const struct smq_crypto *crypto, const struct smq_edhoc_prk *prk, uint64_t label,
			 const struct smq_edhoc_hash *th, smq_mspan ret_okm)
{
	return smq_edhoc_kdf(crypto, prk, label, hash_span(th), ret_okm);
}

smq_err smq_edhoc_prk_2e(const struct smq_crypto *crypto, const struct smq_edhoc_hash *th_2,
			 const uint8_t g_xy[SMQ_KEX_LEN], struct smq_edhoc_prk *ret_prk)
{
	return smq_hkdf_extract(crypto, hash_span(th_2), smq_span_of(g_xy, SMQ_KEX_LEN), ret_prk->b);
}

smq_err smq_edhoc_prk_mix(const struct smq_crypto *crypto, const struct smq_edhoc_prk *prk, enum smq_edhoc_label label,
			  const struct smq_edhoc_hash *th, const uint8_t shared[SMQ_KEX_LEN],
			  struct smq_edhoc_prk *ret_prk)
{
	uint8_t salt[SMQ_HASH_LEN];
	smq_err err = smq_edhoc_kdf_th(crypto, prk, label, th, smq_mspan_of(salt, sizeof(salt)));
	if (err == SMQ_OK)
		err = smq_hkdf_extract(crypto, smq_span_of(salt, sizeof(salt)), smq_span_of(shared, SMQ_KEX_LEN),
				       ret_prk->b);
	smq_wipe(salt, sizeof(salt));
	return err;
}

smq_err smq_edhoc_exporter(const struct smq_crypto *crypto, const struct smq_edhoc_prk *prk_out, uint64_t label,
			   smq_span context, smq_mspan ret_key)
{
	struct smq_edhoc_prk exporter;
	smq_err err = smq_edhoc_kdf(crypto, prk_out, SMQ_EDHOC_PRK_EXPORTER, smq_span_of(NULL, 0),
				    smq_mspan_of(exporter.b, sizeof(exporter.b)));
	if (err == SMQ_OK)
		err = smq_edhoc_kdf(crypto, &exporter, label, context, ret_key);
	smq_wipe(&exporter, sizeof(exporter));
	return err;
}

/* ---- authentication ---- */

/* context_n = << ? C_R, ID_CRED, TH, CRED, ? EAD >>; the credentials are long, so nothing is copied together. */
smq_err smq_edhoc_mac(const struct smq_crypto *crypto, const struct smq_edhoc_prk *prk,
		      const struct smq_edhoc_proof *proof, smq_mspan ret_mac)
{
	uint8_t head_room[3 * HEAD_MAX], th_room[HEAD_MAX + SMQ_HASH_LEN], tail_room[HEAD_MAX];
	struct smq_writer head = smq_writer_on(smq_mspan_of(head_room, sizeof(head_room)));
	struct smq_writer th = smq_writer_on(smq_mspan_of(th_room, sizeof(th_room)));
	struct smq_writer tail = smq_writer_on(smq_mspan_of(tail_room, sizeof(tail_room)));

	smq_cbor_put_bytes(&th, hash_span(proof->th));
	smq_cbor_put_uint(&head, proof->n == 2 ? SMQ_EDHOC_MAC_2 : SMQ_EDHOC_MAC_3);
	smq_cbor_put_bytes_head(&head, proof->c_r.len + proof->id_cred.len + th.len + proof->cred.len + proof->ead.len);
	smq_write(&head, proof->c_r);
	smq_cbor_put_uint(&tail, ret_mac.len);
	if (head.err != SMQ_OK)
		return head.err;
	smq_span info[] = { smq_writer_span(&head), proof->id_cred, smq_writer_span(&th), proof->cred, proof->ead,
			    smq_writer_span(&tail) };
	return smq_hkdf_expand(crypto, prk->b, info, SMQ_COUNT(info), ret_mac);
}

enum { SIGNED_PARTS = 6 };

struct to_be_signed {
	uint8_t head[1 + 1 + 10 + HEAD_MAX];
	uint8_t middle[2 * HEAD_MAX + SMQ_HASH_LEN];
	uint8_t tail[HEAD_MAX + SMQ_HASH_LEN];
	smq_span parts[SIGNED_PARTS];
};

/* Sig_structure = ["Signature1", << ID_CRED >>, << TH, CRED, ? EAD >>, MAC] (RFC 9052, 4.4). */
static smq_err lay_out_signed(const struct smq_edhoc_proof *proof, smq_span mac, struct to_be_signed *t)
{
	struct smq_writer head = smq_writer_on(smq_mspan_of(t->head, sizeof(t->head)));
	struct smq_writer middle = smq_writer_on(smq_mspan_of(t->middle, sizeof(t->middle)));
	struct smq_writer tail = smq_writer_on(smq_mspan_of(t->tail, sizeof(t->tail)));
	size_t th_len = 2 + SMQ_HASH_LEN;

	smq_cbor_put_array(&head, 4);
	smq_cbor_put_text(&head, smq_span_str("Signature1"));
	smq_cbor_put_bytes_head(&head, proof->id_cred.len);
	smq_cbor_put_bytes_head(&middle, th_len + proof->cred.len + proof->ead.len);
	smq_cbor_put_bytes(&middle, hash_span(proof->th));
	smq_cbor_put_bytes(&tail, mac);
	if (head.err != SMQ_OK || middle.err != SMQ_OK || tail.err != SMQ_OK)
		return SMQ_ERR_BUG;
	t->parts[0] = smq_writer_span(&head);
	t->parts[1] = proof->id_cred;
	t->parts[2] = smq_writer_span(&middle);
	t->parts[3] = proof->cred;
	t->parts[4] = proof->ead;
	t->parts[5] = smq_writer_span(&tail);
	return SMQ_OK;
}

smq_err smq_edhoc_sign(const struct smq_signer *signer, const struct smq_edhoc_proof *proof, smq_span mac,
		       uint8_t ret_signature[SMQ_SIG_LEN])
{
	struct to_be_signed t;
	smq_err err = lay_out_signed(proof, mac, &t);
	return err == SMQ_OK ? signer->sign(signer->self, t.parts, SIGNED_PARTS, ret_signature) : err;
}

smq_err smq_edhoc_verify(const struct smq_crypto *crypto, enum smq_sig_id alg, smq_span public_key,
			 const struct smq_edhoc_proof *proof, smq_span mac, const uint8_t signature[SMQ_SIG_LEN])
{
	struct to_be_signed t;
	smq_err err = lay_out_signed(proof, mac, &t);
	return err == SMQ_OK ? crypto->verify(alg, public_key, t.parts, SIGNED_PARTS, signature) : err;
}

/* ---- message_3 and message_4 ---- */

/* A_n = ["Encrypt0", h'', TH_n] */
static smq_span lay_out_aad(const struct smq_edhoc_hash *th, smq_mspan room)
{
	struct smq_writer w = smq_writer_on(room);
	smq_cbor_put_array(&w, 3);
	smq_cbor_put_text(&w, smq_span_str("Encrypt0"));
	smq_cbor_put_bytes(&w, smq_span_of(NULL, 0));
	smq_cbor_put_bytes(&w, hash_span(th));
	return smq_writer_span(&w);
}

struct keyed {
	smq_aead *aead;
	uint8_t iv[SMQ_AEAD_NONCE_MAX];
};

static smq_err keyed_new(const struct smq_edhoc_cipher *c, struct keyed *ret_keyed)
{
	uint8_t key[SMQ_AEAD_KEY_MAX];
	struct keyed k = { 0 };
	uint64_t k_label = c->n == 3 ? SMQ_EDHOC_K_3 : SMQ_EDHOC_K_4;
	uint64_t iv_label = c->n == 3 ? SMQ_EDHOC_IV_3 : SMQ_EDHOC_IV_4;

	smq_err err = smq_edhoc_kdf_th(c->crypto, c->prk, k_label, c->th, smq_mspan_of(key, c->alg->key_len));
	if (err == SMQ_OK)
		err = smq_edhoc_kdf_th(c->crypto, c->prk, iv_label, c->th, smq_mspan_of(k.iv, c->alg->nonce_len));
	if (err == SMQ_OK)
		err = c->crypto->aead_new(c->alg, smq_span_of(key, c->alg->key_len), &k.aead);
	if (err == SMQ_OK)
		*ret_keyed = k;
	smq_wipe(key, sizeof(key));
	smq_wipe(&k, sizeof(k));
	return err;
}

static void keyed_free(const struct smq_edhoc_cipher *c, struct keyed *k)
{
	c->crypto->aead_free(k->aead);
	smq_wipe(k, sizeof(*k));
}

enum { AAD_MAX = 1 + 1 + 8 + 1 + 2 + SMQ_HASH_LEN };

smq_err smq_edhoc_seal(const struct smq_edhoc_cipher *cipher, smq_span plaintext, uint8_t *ret_ciphertext)
{
	uint8_t aad[AAD_MAX];
	struct keyed k;
	smq_err err = keyed_new(cipher, &k);
	if (err != SMQ_OK)
		return err;
	err = cipher->crypto->aead_seal(k.aead, k.iv, lay_out_aad(cipher->th, smq_mspan_of(aad, sizeof(aad))),
					plaintext, ret_ciphertext);
	keyed_free(cipher, &k);
	return err;
}

smq_err smq_edhoc_open(const struct smq_edhoc_cipher *cipher, smq_span ciphertext, uint8_t *ret_plaintext)
{
	uint8_t aad[AAD_MAX];
	struct keyed k;
	if (ciphertext.len < cipher->alg->tag_len)
		return SMQ_ERR_TRUNCATED;
	smq_err err = keyed_new(cipher, &k);
	if (err != SMQ_OK)
		return err;
	err = cipher->crypto->aead_open(k.aead, k.iv, lay_out_aad(cipher->th, smq_mspan_of(aad, sizeof(aad))),
					ciphertext, ret_plaintext);
	keyed_free(cipher, &k);
	return err;
}
