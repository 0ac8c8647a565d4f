/* The keys of one request and its answer (PROTOCOL.md 7.2). */
#include "core/ks_keys.h"

#include "base/wipe.h"
#include "wire/cbor.h"

enum { AAD_MAX = 48 };

/* Labels from the private range of RFC 9528, 10.1. */
static const struct {
	uint64_t label;
	const char *text;
} directions[] = { { 32772, "sealmq1 request" }, { 32773, "sealmq1 answer" } };

static const uint8_t nonce[SMQ_AEAD_NONCE_MAX];

static smq_err make_aead(const struct smq_edhoc *e, const struct smq_crypto *crypto, enum smq_ks_direction direction,
			 smq_aead **ret_aead)
{
	const struct smq_aead_alg *alg = smq_aead_alg_by_id(SMQ_A256GCM);
	uint8_t key[SMQ_AEAD_KEY_MAX];
	smq_err err =
	    smq_edhoc_export(e, directions[direction].label, smq_span_of(NULL, 0), smq_mspan_of(key, alg->key_len));
	if (err == SMQ_OK)
		err = crypto->aead_new(alg, smq_span_of(key, alg->key_len), ret_aead);
	smq_wipe(key, sizeof(key));
	return err;
}

static smq_err make_aad(enum smq_ks_direction direction, smq_span id, uint8_t room[AAD_MAX], smq_span *ret_aad)
{
	struct smq_writer w = smq_writer_on(smq_mspan_of(room, AAD_MAX));
	size_t len = 0;
	smq_cbor_put_array(&w, 2);
	smq_cbor_put_text(&w, smq_span_str(directions[direction].text));
	smq_cbor_put_bytes(&w, id);
	smq_err err = smq_writer_end(&w, &len);
	*ret_aad = smq_span_of(room, len);
	return err;
}

smq_err smq_ks_seal(const struct smq_edhoc *e, const struct smq_crypto *crypto, enum smq_ks_direction direction,
		    smq_span id, smq_span plain, smq_mspan room, size_t *ret_len)
{
	uint8_t aad_room[AAD_MAX];
	smq_span aad;
	smq_aead *aead = NULL;
	if (room.len < plain.len + SMQ_KS_TAG_LEN)
		return SMQ_ERR_NO_ROOM;
	smq_err err = make_aad(direction, id, aad_room, &aad);
	if (err == SMQ_OK)
		err = make_aead(e, crypto, direction, &aead);
	if (err == SMQ_OK)
		err = crypto->aead_seal(aead, nonce, aad, plain, room.p);
	if (err == SMQ_OK)
		*ret_len = plain.len + SMQ_KS_TAG_LEN;
	crypto->aead_free(aead);
	return err;
}

smq_err smq_ks_open(const struct smq_edhoc *e, const struct smq_crypto *crypto, enum smq_ks_direction direction,
		    smq_span id, smq_span cipher, smq_mspan room, smq_span *ret_plain)
{
	uint8_t aad_room[AAD_MAX];
	smq_span aad;
	smq_aead *aead = NULL;
	if (cipher.len < SMQ_KS_TAG_LEN)
		return SMQ_ERR_TRUNCATED;
	if (room.len < cipher.len)
		return SMQ_ERR_TOO_LARGE;
	smq_err err = make_aad(direction, id, aad_room, &aad);
	if (err == SMQ_OK)
		err = make_aead(e, crypto, direction, &aead);
	if (err == SMQ_OK)
		err = crypto->aead_open(aead, nonce, aad, cipher, room.p);
	if (err == SMQ_OK)
		*ret_plain = smq_span_of(room.p, cipher.len - SMQ_KS_TAG_LEN);
	crypto->aead_free(aead);
	return err;
}
