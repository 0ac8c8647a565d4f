/* Sealing and opening under one sender's key (PROTOCOL.md 3.3 to 3.6). */
#include "core/seal.h"

#include "base/hot.h"
#include "base/varint.h"
#include "base/wipe.h"
#include "core/keyschedule.h"
#include "wire/cbor.h"

enum {
	TOPIC_VERBATIM_MAX = 512, /* longer ones enter the AAD as their hash: the AAD lies on the stack */
	EXTERNAL_AAD_MAX = 1 + 2 + SMQ_HASH_LEN + 3 + TOPIC_VERBATIM_MAX + 5 + 1,
	AAD_GAP = 1,
	AAD_MAX = AAD_GAP + SMQ_AAD_HEAD_MAX + EXTERNAL_AAD_MAX,
	CBOR_BYTES_1 = 0x58, /* a byte string whose length takes one byte, and two */
	CBOR_BYTES_2 = 0x59,
	HEADER_AND_SIGNATURE_MAX = 160 /* the expanded form with every field at its longest takes 147 */
};

/* ---- keys ---- */

/* What is the same for every message: of the Enc_structure the array, the context string and the protected header; of
 * the external_aad in it the array and the context digest. */
static smq_err make_aad_head(struct smq_seal_key *k)
{
	struct smq_writer w = smq_writer_on(smq_mspan_of(k->aad_head, sizeof(k->aad_head)));
	smq_cbor_put_array(&w, 3);
	smq_cbor_put_text(&w, smq_span_str("Encrypt0"));
	smq_sealed_put_protected(&w, k->header.alg);
	smq_write_u8(&w, CBOR_BYTES_1);
	smq_write_u8(&w, 0); /* its length: per message */
	smq_cbor_put_array(&w, 4);
	smq_cbor_put_bytes(&w, smq_span_of(k->context_digest, sizeof(k->context_digest)));
	size_t len = 0;
	smq_err err = smq_writer_end(&w, &len);
	k->aad_head_len = (uint8_t)len;
	return err;
}

static void set_header(struct smq_sealed *h, const struct smq_seal_context *c)
{
	bool session = c->kind == SMQ_SEALED_SESSION;
	*h = (struct smq_sealed){ .kind = c->kind, .alg = c->alg };
	if (session) {
		memcpy(h->key_id, c->key_id, sizeof(h->key_id));
		return;
	}
	h->epoch = c->epoch;
	h->sender_id = c->sender_id;
	if (smq_sealed_has_slot(c->kind))
		h->slot = c->slot;
	if (c->kind == SMQ_SEALED_GROUP_BOOT || c->kind == SMQ_SEALED_SLOT_BOOT)
		memcpy(h->boot_id, c->boot_id, sizeof(h->boot_id));
}

smq_err smq_seal_key_init(struct smq_seal_key *ret_key, const struct smq_crypto *crypto,
			  const struct smq_traffic_secret *secret, const struct smq_seal_context *context)
{
	struct smq_seal_key k = { .crypto = crypto };
	uint8_t key[SMQ_AEAD_KEY_MAX];
	smq_err err = SMQ_ERR_ALGORITHM;
	if (!context->alg || !smq_sealed_alg(context->alg->id))
		return err;
	smq_mspan key_room = smq_mspan_of(key, context->alg->key_len);
	smq_mspan iv_room = smq_mspan_of(k.base_iv, context->alg->nonce_len);

	set_header(&k.header, context);
	if ((err = smq_context_digest(crypto, context, k.context_digest)) != SMQ_OK)
		goto out;
	if ((err = make_aad_head(&k)) != SMQ_OK)
		goto out;
	if ((err = smq_derive_key_iv(crypto, secret, k.context_digest, key_room, iv_room)) != SMQ_OK)
		goto out;
	if ((err = crypto->aead_new(context->alg, smq_span_of(key, key_room.len), &k.aead)) != SMQ_OK)
		goto out;
	memcpy(k.raw, key, key_room.len);
	memcpy(k.manifest, context->manifest, sizeof(k.manifest));
	*ret_key = k;
out:
	smq_wipe(key, sizeof(key));
	smq_wipe(&k, sizeof(k));
	return err;
}

smq_err smq_seal_key_restore(struct smq_seal_key *ret_key, const struct smq_crypto *crypto,
			     const struct smq_aead_alg *alg, const uint8_t context_digest[SMQ_HASH_LEN], smq_span raw,
			     smq_span base_iv)
{
	struct smq_seal_key k = { .crypto = crypto, .header = { .alg = alg } };
	if (!alg || !smq_sealed_alg(alg->id))
		return SMQ_ERR_ALGORITHM;
	if (raw.len != alg->key_len || base_iv.len != alg->nonce_len)
		return SMQ_ERR_MALFORMED;
	memcpy(k.raw, raw.p, raw.len);
	memcpy(k.base_iv, base_iv.p, base_iv.len);
	memcpy(k.context_digest, context_digest, sizeof(k.context_digest));
	smq_err err = make_aad_head(&k);
	if (err == SMQ_OK)
		err = crypto->aead_new(alg, raw, &k.aead);
	if (err == SMQ_OK)
		*ret_key = k;
	smq_wipe(&k, sizeof(k));
	return err;
}

void smq_seal_key_done(struct smq_seal_key *k)
{
	if (k->crypto)
		k->crypto->aead_free(k->aead);
	smq_wipe(k, sizeof(*k));
}

/* Base IV xor the counter, left-padded (RFC 8613, 5.2; RFC 9052, 3.1). */
static void make_nonce(const struct smq_seal_key *k, uint64_t counter, uint8_t ret_nonce[SMQ_AEAD_NONCE_MAX])
{
	size_t len = k->header.alg->nonce_len;
	memcpy(ret_nonce, k->base_iv, SMQ_AEAD_NONCE_MAX);
	for (size_t i = len; counter != 0; counter >>= 8)
		ret_nonce[--i] ^= (uint8_t)counter;
}

/* ---- AAD ---- */

/* at moves behind what was written. */
SMQ_HOT static smq_err put_topic(uint8_t **at, const struct smq_crypto *crypto, smq_span topic)
{
	if (topic.len > SMQ_TOPIC_AAD_MAX)
		return SMQ_ERR_TOPIC;
	if (topic.len <= TOPIC_VERBATIM_MAX) {
		*at = smq_cbor_head32(*at, 3, (uint32_t)topic.len);
		if (topic.len > 0)
			memcpy(*at, topic.p, topic.len);
		*at += topic.len;
		return SMQ_OK;
	}
	*at = smq_cbor_head32(*at, 2, SMQ_HASH_LEN); /* bytes, so that no topic reads the same */
	smq_err err = crypto->sha256(&topic, 1, *at);
	*at += SMQ_HASH_LEN;
	return err;
}

/*
 * The Enc_structure, and in it the external_aad: [context digest, topic, stamp or null, signed]. "signed" lets nobody
 * strip a signature unnoticed, nor the word that a checkpoint will follow, which is null there.
 *
 * It is made for every message: hence by hand, from the key's template, into room that is enough for the longest. The
 * template reckons with an external_aad below 256 bytes; a longer one moves what precedes it into the gap.
 */
static inline __attribute__((always_inline)) smq_err make_aad(const struct smq_seal_key *k, const struct smq_sealed *s,
							      smq_span topic, uint8_t room[AAD_MAX], smq_span *ret_aad,
							      smq_span *ret_external)
{
	uint8_t *start = room + AAD_GAP;
	uint8_t *at = start + k->aad_head_len;
	uint8_t *external = at - SMQ_EXTERNAL_HEAD_LEN;
	memcpy(start, k->aad_head, sizeof(k->aad_head)); /* all of it: a copy of fixed size is a few moves */
	smq_err err = put_topic(&at, k->crypto, topic);
	if (err != SMQ_OK)
		return err;
	if (s->has_stamp)
		at = smq_cbor_head32(at, 0, s->stamp);
	else
		*at++ = SMQ_CBOR_NOTHING;
	*at++ = s->covered ? SMQ_CBOR_NOTHING : s->signature.len != 0 ? SMQ_CBOR_TRUE : SMQ_CBOR_FALSE;
	size_t len = (size_t)(at - external);
	external[-1] = (uint8_t)len;
	if (len > UINT8_MAX) {
		start = memmove(room, start, (size_t)(external - start));
		external[-3] = CBOR_BYTES_2;
		external[-2] = (uint8_t)(len >> 8);
	}
	*ret_aad = smq_span_of(start, (size_t)(at - start));
	*ret_external = smq_span_of(external, len);
	return SMQ_OK;
}

smq_err smq_seal_external_aad(const struct smq_seal_key *key, const struct smq_sealed *sealed, smq_span topic,
			      smq_mspan room, size_t *ret_len)
{
	uint8_t aad_room[AAD_MAX];
	smq_span aad, external;
	struct smq_writer w = smq_writer_on(room);
	smq_err err = make_aad(key, sealed, topic, aad_room, &aad, &external);
	if (err != SMQ_OK)
		return err;
	smq_write(&w, external);
	return smq_writer_end(&w, ret_len);
}

smq_err smq_seal_enc_structure(const struct smq_seal_key *key, const struct smq_sealed *sealed, smq_span topic,
			       smq_mspan room, size_t *ret_len)
{
	uint8_t aad_room[AAD_MAX];
	smq_span aad, external;
	struct smq_writer w = smq_writer_on(room);
	smq_err err = make_aad(key, sealed, topic, aad_room, &aad, &external);
	if (err != SMQ_OK)
		return err;
	smq_write(&w, aad);
	return smq_writer_end(&w, ret_len);
}

smq_err smq_seal_key_open(const struct smq_seal_key *key, const struct smq_sealed *sealed, smq_span topic,
			  smq_mspan room, size_t *ret_len)
{
	uint8_t aad_room[AAD_MAX], nonce[SMQ_AEAD_NONCE_MAX];
	smq_span aad, external;
	size_t tag_len = key->header.alg->tag_len;
	if (sealed->ciphertext.len < tag_len)
		return SMQ_ERR_TRUNCATED;
	if (room.len < sealed->ciphertext.len)
		return SMQ_ERR_NO_ROOM;
	smq_err err = make_aad(key, sealed, topic, aad_room, &aad, &external);
	if (err != SMQ_OK)
		return err;
	make_nonce(key, sealed->counter, nonce);
	err = key->crypto->aead_open(key->aead, nonce, aad, sealed->ciphertext, room.p);
	if (err == SMQ_OK)
		*ret_len = sealed->ciphertext.len - tag_len;
	return err;
}

smq_err smq_seal_key_again(const struct smq_seal_key *key, const struct smq_sealed *sealed, smq_span topic,
			   smq_span plain, smq_mspan room, size_t *ret_len)
{
	uint8_t aad_room[AAD_MAX], nonce[SMQ_AEAD_NONCE_MAX];
	smq_span aad, external;
	size_t len = plain.len + key->header.alg->tag_len;
	if (room.len < len)
		return SMQ_ERR_NO_ROOM;
	smq_err err = make_aad(key, sealed, topic, aad_room, &aad, &external);
	if (err != SMQ_OK)
		return err;
	make_nonce(key, sealed->counter, nonce);
	err = key->crypto->aead_seal(key->aead, nonce, aad, plain, room.p);
	if (err == SMQ_OK)
		*ret_len = len;
	return err;
}

/* The protected header, as it lies in the template. */
static smq_span protected_of(const struct smq_seal_key *key)
{
	enum { BEFORE = 1 + 1 + 8 /* array, "Encrypt0" */, BEHIND = 2 + SMQ_EXTERNAL_HEAD_LEN };
	return smq_span_of(key->aad_head + BEFORE, key->aad_head_len - BEFORE - BEHIND);
}

static inline uint8_t *put(uint8_t *at, smq_span bytes)
{
	memcpy(at, bytes.p, bytes.len);
	return at + bytes.len;
}

/*
 * [ "CounterSignature0", protected, << [ "sealmq1 proof", external_aad, counter ] >>, ciphertext ] (RFC 9338, 3.3)
 *
 * By hand, like the AAD, and for the same reason: checkpoints ask for it with every message.
 */
smq_err smq_proof_input_make(const struct smq_seal_key *key, const struct smq_sealed *sealed, smq_span topic,
			     struct smq_proof_input *ret_input)
{
	static const uint8_t outer[] = "\x84\x71"
				       "CounterSignature0";
	static const uint8_t inner[] = "\x83\x6d"
				       "sealmq1 proof";
	enum { OUTER_LEN = sizeof(outer) - 1, INNER_LEN = sizeof(inner) - 1, COUNTER_MAX = 9, PROTECTED_MAX = 6 };
	_Static_assert(OUTER_LEN + PROTECTED_MAX + 3 + INNER_LEN + 3 + EXTERNAL_AAD_MAX + COUNTER_MAX +
			       SMQ_CBOR_HEAD32_MAX <=
			   SMQ_PROOF_HEAD_MAX,
		       "the longest one has room");
	uint8_t aad_room[AAD_MAX], counter[COUNTER_MAX];
	smq_span aad, external;
	struct smq_writer c = smq_writer_on(smq_mspan_of(counter, sizeof(counter)));
	smq_err err = sealed->ciphertext.len > UINT32_MAX ? SMQ_ERR_TOO_LARGE
							  : make_aad(key, sealed, topic, aad_room, &aad, &external);
	if (err != SMQ_OK)
		return err;
	smq_cbor_put_uint(&c, sealed->counter);
	size_t external_head = external.len <= UINT8_MAX ? 2 : 3; /* it is never below 24 bytes */
	uint8_t *at = put(ret_input->head, smq_span_of(outer, OUTER_LEN));
	at = put(at, protected_of(key));
	at = smq_cbor_head32(at, 2, (uint32_t)(INNER_LEN + external_head + external.len + c.len));
	at = put(at, smq_span_of(inner, INNER_LEN));
	at = smq_cbor_head32(at, 2, (uint32_t)external.len);
	at = put(at, external);
	at = put(at, smq_span_of(counter, c.len));
	at = smq_cbor_head32(at, 2, (uint32_t)sealed->ciphertext.len);
	ret_input->head_len = (size_t)(at - ret_input->head);
	ret_input->ciphertext = sealed->ciphertext;
	return SMQ_OK;
}

smq_err smq_proof_input_digest(const struct smq_crypto *crypto, const struct smq_proof_input *input,
			       uint8_t ret_digest[SMQ_HASH_LEN])
{
	const smq_span parts[] = { smq_span_of(input->head, input->head_len), input->ciphertext };
	return crypto->sha256(parts, 2, ret_digest);
}

smq_err smq_seal_nonce(const struct smq_seal_key *key, uint64_t counter, uint8_t ret_nonce[SMQ_AEAD_NONCE_MAX])
{
	if (counter > SMQ_VARINT_MAX)
		return SMQ_ERR_TOO_LARGE;
	make_nonce(key, counter, ret_nonce);
	return SMQ_OK;
}

/* ---- sealing ---- */

smq_err smq_sealer_init(struct smq_sealer *s, const struct smq_crypto *crypto, const struct smq_traffic_secret *secret,
			const struct smq_seal_context *context)
{
	struct smq_sealer made = { .counter_limit = SMQ_VARINT_MAX };
	smq_err err = smq_seal_key_init(&made.key, crypto, secret, context);
	if (err != SMQ_OK)
		return err;
	err = smq_sealed_encode_header(&made.key.header, smq_mspan_of(made.usual_head, sizeof(made.usual_head)),
				       &made.usual_head_len);
	if (err == SMQ_OK) {
		made.usual_head_len--; /* the counter, which is 0 there */
		*s = made;
	} else {
		smq_seal_key_done(&made.key);
	}
	smq_wipe(&made, sizeof(made));
	return err;
}

SMQ_HOT size_t smq_sealed_room(size_t plain_len) { return HEADER_AND_SIGNATURE_MAX + plain_len + SMQ_AEAD_TAG_MAX; }

static smq_err encode_head(const struct smq_sealer *s, const struct smq_sealed *header, size_t cipher_len,
			   smq_mspan room, size_t *ret_len)
{
	if (s->cose)
		return smq_sealed_encode_cose_header(header, cipher_len, room, ret_len);
	return smq_sealed_encode_header(header, room, ret_len);
}

static inline smq_err put_usual_head(const struct smq_sealer *s, smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	smq_write(&w, smq_span_of(s->usual_head, s->usual_head_len));
	smq_write_varint(&w, s->next_counter);
	*ret_len = w.len;
	return w.err;
}

static const uint8_t no_signature[SMQ_SIG_LEN]; /* stands in its place until there is one */

/* Everything that proof asks for once the ciphertext is there. The signature comes behind it, or in the expanded form
 * inside the header, which is then written a second time. */
static smq_err prove(const struct smq_sealer *s, struct smq_sealed *message, smq_span topic,
		     struct smq_seal_proof *proof, smq_mspan head, uint8_t *behind)
{
	struct smq_proof_input input;
	uint8_t signature[SMQ_SIG_LEN];
	size_t len = 0;
	smq_err err = smq_proof_input_make(&s->key, message, topic, &input);
	if (err == SMQ_OK && proof->wants_digest) {
		err = smq_proof_input_digest(s->key.crypto, &input, proof->digest);
		memcpy(proof->stream, s->key.context_digest, sizeof(proof->stream));
		proof->counter = message->counter;
	}
	if (err != SMQ_OK || !proof->signer)
		return err;
	const smq_span parts[] = { smq_span_of(input.head, input.head_len), input.ciphertext };
	err = proof->signer->sign(proof->signer->self, parts, 2, signature);
	if (err != SMQ_OK)
		return err;
	if (!s->cose) {
		memcpy(behind, signature, sizeof(signature));
		return SMQ_OK;
	}
	message->signature = smq_span_of(signature, sizeof(signature));
	err = encode_head(s, message, message->ciphertext.len, head, &len);
	message->signature = smq_span_of(NULL, 0);
	return err;
}

/* The header of this message where it is more than the key's own. */
static struct smq_sealed special_header(const struct smq_sealer *s, int64_t stamp_ms,
					const struct smq_seal_proof *proof)
{
	struct smq_sealed h = s->key.header;
	h.counter = s->next_counter;
	h.has_stamp = stamp_ms >= 0;
	h.stamp = h.has_stamp ? (uint32_t)(stamp_ms & ((1 << SMQ_STAMP_BITS) - 1)) : 0;
	if (proof && proof->signer)
		h.signature = smq_span_of(no_signature, sizeof(no_signature));
	h.covered = proof && proof->covered && !proof->signer;
	return h;
}

SMQ_HOT static smq_err seal(struct smq_sealer *s, smq_span topic, int64_t stamp_ms, smq_span plain,
			    struct smq_seal_proof *proof, smq_mspan room, size_t *ret_len)
{
	const struct smq_aead_alg *alg = s->key.header.alg;
	const uint64_t counter = s->next_counter;
	const bool usual = !proof && stamp_ms < 0 && !s->cose;
	const struct smq_sealed *header = &s->key.header;
	struct smq_sealed special;
	uint8_t aad_room[AAD_MAX], nonce[SMQ_AEAD_NONCE_MAX];
	smq_span aad, external;
	size_t head_len, cipher_len = plain.len + alg->tag_len;

	if (counter >= s->counter_limit || counter >= SMQ_VARINT_MAX ||
	    counter - s->first_counter >= alg->message_limit)
		return SMQ_ERR_KEY_SPENT;
	if (!usual) {
		special = special_header(s, stamp_ms, proof);
		header = &special;
	}
	make_nonce(&s->key, counter, nonce); /* before the AAD: it is what the AEAD asks for first */
	smq_err err = make_aad(&s->key, header, topic, aad_room, &aad, &external);
	if (err == SMQ_OK)
		err = usual ? put_usual_head(s, room, &head_len) : encode_head(s, header, cipher_len, room, &head_len);
	if (err != SMQ_OK)
		return err;
	size_t behind = s->cose ? 0 : header->signature.len;
	if (cipher_len < plain.len || room.len - head_len < cipher_len || room.len - head_len - cipher_len < behind)
		return SMQ_ERR_NO_ROOM;
	s->next_counter++; /* used up whatever the AEAD answers: a failed seal may have shown some key stream */
	err = s->key.crypto->aead_seal(s->key.aead, nonce, aad, plain, room.p + head_len);
	if (err == SMQ_OK && proof) {
		special.ciphertext = smq_span_of(room.p + head_len, cipher_len);
		err = prove(s, &special, topic, proof, smq_mspan_of(room.p, head_len), room.p + head_len + cipher_len);
	}
	if (err == SMQ_OK)
		*ret_len = head_len + cipher_len + behind;
	return err;
}

SMQ_HOT smq_err smq_seal(struct smq_sealer *s, smq_span topic, int64_t stamp_ms, smq_span plain, smq_mspan room,
			 size_t *ret_len)
{
	return seal(s, topic, stamp_ms, plain, NULL, room, ret_len);
}

smq_err smq_seal_proven(struct smq_sealer *s, smq_span topic, int64_t stamp_ms, smq_span plain,
			struct smq_seal_proof *proof, smq_mspan room, size_t *ret_len)
{
	return seal(s, topic, stamp_ms, plain, proof, room, ret_len);
}

void smq_sealer_done(struct smq_sealer *s)
{
	smq_seal_key_done(&s->key);
	smq_wipe(s, sizeof(*s));
}

/* ---- opening ---- */

smq_err smq_opener_init(struct smq_opener *o, const struct smq_crypto *crypto, const struct smq_traffic_secret *secret,
			const struct smq_seal_context *context)
{
	struct smq_seal_key key;
	smq_err err = smq_seal_key_init(&key, crypto, secret, context);
	if (err != SMQ_OK)
		return err;
	*o = (struct smq_opener){ .key = key };
	smq_wipe(&key, sizeof(key));
	return SMQ_OK;
}

/* Whether the message names this very key. */
static inline smq_err check_header(const struct smq_sealed *ours, const struct smq_sealed *s)
{
	if (s->alg != ours->alg)
		return SMQ_ERR_ALGORITHM;
	bool same = s->kind == ours->kind && s->epoch == ours->epoch && s->slot == ours->slot &&
		    s->sender_id == ours->sender_id && memcmp(s->key_id, ours->key_id, sizeof(s->key_id)) == 0 &&
		    memcmp(s->boot_id, ours->boot_id, sizeof(s->boot_id)) == 0;
	return same ? SMQ_OK : SMQ_ERR_NO_KEY;
}

/* The header is checked already. */
SMQ_HOT static inline smq_err verify(const struct smq_seal_key *k, const struct smq_sealed *s, smq_span topic,
				     smq_mspan room)
{
	uint8_t aad_room[AAD_MAX], nonce[SMQ_AEAD_NONCE_MAX];
	smq_span aad, external;
	size_t tag_len = k->header.alg->tag_len;
	if (s->ciphertext.len < tag_len)
		return SMQ_ERR_MALFORMED;
	if (room.len < s->ciphertext.len - tag_len)
		return SMQ_ERR_NO_ROOM;
	make_nonce(k, s->counter, nonce); /* before the AAD: it is what the AEAD asks for first */
	smq_err err = make_aad(k, s, topic, aad_room, &aad, &external);
	if (err != SMQ_OK)
		return err;
	return k->crypto->aead_open(k->aead, nonce, aad, s->ciphertext, room.p);
}

SMQ_HOT smq_err smq_open_in_window(const struct smq_seal_key *key, struct smq_replay *window,
				   const struct smq_sealed *sealed, smq_span topic, smq_mspan room, size_t *ret_len,
				   uint64_t *ret_missing)
{
	smq_err err = check_header(&key->header, sealed);
	if (err == SMQ_OK)
		err = smq_replay_check(window, sealed->counter);
	if (err == SMQ_OK)
		err = verify(key, sealed, topic, room);
	if (err != SMQ_OK)
		return err;
	uint64_t missing = smq_replay_commit(window, sealed->counter);
	if (ret_missing)
		*ret_missing = missing;
	*ret_len = sealed->ciphertext.len - key->header.alg->tag_len;
	return SMQ_OK;
}

smq_err smq_open(struct smq_opener *o, const struct smq_sealed *sealed, smq_span topic, smq_mspan room, size_t *ret_len,
		 uint64_t *ret_missing)
{
	return smq_open_in_window(&o->key, &o->replay, sealed, topic, room, ret_len, ret_missing);
}

bool smq_opens_under(const struct smq_opener *o, const struct smq_sealed *sealed, smq_span topic, smq_mspan room)
{
	bool opens = check_header(&o->key.header, sealed) == SMQ_OK && verify(&o->key, sealed, topic, room) == SMQ_OK;
	if (opens)
		smq_wipe(room.p, sealed->ciphertext.len - o->key.header.alg->tag_len);
	return opens;
}

void smq_opener_done(struct smq_opener *o)
{
	smq_seal_key_done(&o->key);
	smq_wipe(o, sizeof(*o));
}

/* ---- stamps ---- */

int64_t smq_stamp_age(uint32_t stamp, int64_t now_ms)
{
	const int64_t span = INT64_C(1) << SMQ_STAMP_BITS;
	int64_t age = (int64_t)(((uint64_t)now_ms - stamp) & (uint64_t)(span - 1));
	return age >= span / 2 ? age - span : age;
}
