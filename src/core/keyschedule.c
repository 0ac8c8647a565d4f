/* The key schedule (PROTOCOL.md 3.4). */
#include "core/keyschedule.h"

#include "base/text.h"
#include "base/wipe.h"
#include "crypto/hkdf.h"
#include "wire/cbor.h"
#include "wire/fields.h"

enum { CONTEXT_VERSION = 1, CONTEXT_FIELDS = 12, INFO_ROOM = 192 };

static void put_hash(struct smq_writer *w, const uint8_t *bytes, size_t len)
{
	smq_cbor_put_bytes(w, smq_span_of(bytes, len));
}

/* Fields that the kind does not have are null, so that nothing a caller leaves in them matters. */
static void put_key_ref(struct smq_writer *w, const struct smq_seal_context *c)
{
	if (c->kind == SMQ_SEALED_SESSION)
		put_hash(w, c->key_id, sizeof(c->key_id));
	else
		smq_cbor_put_uint(w, c->epoch);
	if (smq_sealed_has_slot(c->kind))
		smq_cbor_put_uint(w, c->slot);
	else
		smq_cbor_put_null(w);
	if (c->kind == SMQ_SEALED_SESSION)
		smq_cbor_put_null(w);
	else
		smq_cbor_put_uint(w, c->sender_id);
}

smq_err smq_context_encode(const struct smq_seal_context *c, smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	smq_cbor_put_array(&w, CONTEXT_FIELDS);
	smq_cbor_put_uint(&w, CONTEXT_VERSION);
	smq_cbor_put_int(&w, c->alg->id);
	smq_cbor_put_text(&w, c->realm);
	smq_cbor_put_text(&w, c->group);
	smq_cbor_put_text(&w, c->sender);
	smq_cbor_put_text(&w, c->recipient);
	smq_cbor_put_uint(&w, (uint64_t)c->kind);
	put_key_ref(&w, c);
	put_hash(&w, c->manifest, sizeof(c->manifest));
	put_hash(&w, c->boot_id, sizeof(c->boot_id));
	if (w.err != SMQ_OK)
		return SMQ_ERR_TOO_LARGE;
	*ret_len = w.len;
	return SMQ_OK;
}

smq_err smq_context_digest(const struct smq_crypto *crypto, const struct smq_seal_context *c,
			   uint8_t ret_digest[SMQ_HASH_LEN])
{
	uint8_t room[SMQ_CONTEXT_MAX];
	size_t len = 0;
	smq_err err = smq_context_encode(c, smq_mspan_of(room, sizeof(room)), &len);
	smq_span context = smq_span_of(room, len);
	return err == SMQ_OK ? crypto->sha256(&context, 1, ret_digest) : err;
}

static void get_key_ref(struct smq_reader *r, struct smq_seal_context *c)
{
	if (c->kind == SMQ_SEALED_SESSION)
		smq_get_fixed(r, smq_mspan_of(c->key_id, sizeof(c->key_id)));
	else
		c->epoch = smq_cbor_get_uint(r);
	if (smq_sealed_has_slot(c->kind))
		c->slot = smq_cbor_get_uint(r);
	else
		smq_cbor_get_null(r);
	if (c->kind == SMQ_SEALED_SESSION)
		smq_cbor_get_null(r);
	else
		c->sender_id = smq_cbor_get_uint(r);
}

smq_err smq_context_decode(smq_span bytes, struct smq_seal_context *ret_context)
{
	struct smq_reader r = smq_reader_on(bytes);
	struct smq_seal_context c = { 0 };
	smq_get_head(&r, CONTEXT_FIELDS, CONTEXT_VERSION);
	c.alg = smq_sealed_alg((int)smq_get_between(&r, 1, INT16_MAX));
	c.realm = smq_get_name(&r);
	c.group = smq_cbor_get_text(&r);
	c.sender = smq_get_name(&r);
	c.recipient = smq_cbor_get_text(&r);
	c.kind = (enum smq_sealed_kind)smq_get_between(&r, SMQ_SEALED_SESSION, SMQ_SEALED_SLOT_BOOT);
	get_key_ref(&r, &c);
	smq_get_fixed(&r, smq_mspan_of(c.manifest, sizeof(c.manifest)));
	smq_get_fixed(&r, smq_mspan_of(c.boot_id, sizeof(c.boot_id)));
	smq_err err = smq_reader_end(&r);
	if (err == SMQ_OK && !c.alg)
		err = SMQ_ERR_ALGORITHM;
	if (err == SMQ_OK)
		*ret_context = c;
	return err;
}

static smq_err expand(const struct smq_crypto *crypto, const struct smq_traffic_secret *secret, const char *label,
		      const uint8_t digest[SMQ_HASH_LEN], smq_mspan ret_okm)
{
	uint8_t room[INFO_ROOM];
	struct smq_writer w = smq_writer_on(smq_mspan_of(room, sizeof(room)));
	smq_cbor_put_array(&w, 3);
	smq_cbor_put_text(&w, smq_span_str(label));
	put_hash(&w, digest, SMQ_HASH_LEN);
	smq_cbor_put_uint(&w, ret_okm.len);
	smq_span info = smq_writer_span(&w);
	return w.err != SMQ_OK ? SMQ_ERR_BUG : smq_hkdf_expand(crypto, secret->b, &info, 1, ret_okm);
}

smq_err smq_derive_key_iv(const struct smq_crypto *crypto, const struct smq_traffic_secret *secret,
			  const uint8_t context_digest[SMQ_HASH_LEN], smq_mspan ret_key, smq_mspan ret_iv)
{
	smq_err err = expand(crypto, secret, "sealmq1 key", context_digest, ret_key);
	if (err == SMQ_OK)
		err = expand(crypto, secret, "sealmq1 iv", context_digest, ret_iv);
	if (err != SMQ_OK)
		smq_wipe(ret_key.p, ret_key.len);
	return err;
}

/* Where there are slots, the salt is the slot key and the info names the slot. */
static smq_err traffic_secret(const struct smq_crypto *crypto, const struct smq_epoch_secret *epoch, smq_span salt,
			      smq_span realm, smq_span group, uint64_t epoch_number, const uint64_t *slot,
			      struct smq_traffic_secret *ret_secret)
{
	uint8_t room[INFO_ROOM], prk[SMQ_HASH_LEN];
	struct smq_writer w = smq_writer_on(smq_mspan_of(room, sizeof(room)));
	smq_cbor_put_array(&w, 6);
	smq_cbor_put_text(&w, smq_span_str("sealmq1 traffic"));
	smq_cbor_put_text(&w, realm);
	smq_cbor_put_text(&w, group);
	smq_cbor_put_uint(&w, epoch_number);
	if (slot)
		smq_cbor_put_uint(&w, *slot);
	else
		smq_cbor_put_null(&w);
	smq_cbor_put_uint(&w, SMQ_TRAFFIC_SECRET_LEN);
	if (w.err != SMQ_OK)
		return SMQ_ERR_TOO_LARGE;
	smq_span info = smq_writer_span(&w);
	smq_err err = smq_hkdf_extract(crypto, salt, smq_span_of(epoch->b, sizeof(epoch->b)), prk);
	if (err == SMQ_OK)
		err = smq_hkdf_expand(crypto, prk, &info, 1, smq_mspan_of(ret_secret->b, sizeof(ret_secret->b)));
	smq_wipe(prk, sizeof(prk));
	return err;
}

smq_err smq_group_traffic_secret(const struct smq_crypto *crypto, const struct smq_epoch_secret *epoch, smq_span realm,
				 smq_span group, uint64_t epoch_number, struct smq_traffic_secret *ret_secret)
{
	return traffic_secret(crypto, epoch, smq_span_of(NULL, 0), realm, group, epoch_number, NULL, ret_secret);
}

smq_err smq_slot_traffic_secret(const struct smq_crypto *crypto, const struct smq_epoch_secret *epoch,
				const struct smq_slot_key *slot_key, smq_span realm, smq_span group,
				uint64_t epoch_number, uint64_t slot, struct smq_traffic_secret *ret_secret)
{
	return traffic_secret(crypto, epoch, smq_span_of(slot_key->b, sizeof(slot_key->b)), realm, group, epoch_number,
			      &slot, ret_secret);
}
