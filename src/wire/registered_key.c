/* A raw public key as a credential (PROTOCOL.md 7.8). */
#include "wire/registered_key.h"

#include "wire/cbor.h"

enum {
	CWT_SUB = 2,
	CWT_CNF = 8,
	CNF_COSE_KEY = 1,
	KEY_KTY = 1,
	KEY_KID = 2,
	KEY_CRV = -1,
	KEY_X = -2,
	KEY_Y = -3,
	KTY_EC2 = 2,
	HEADER_KID = 4
};

/* kid NULL: as a thumbprint is made of. */
static void put_key(struct smq_writer *w, const uint8_t point[SMQ_PUBLIC_KEY_MAX], const uint8_t *kid)
{
	smq_cbor_put_map(w, kid ? 5 : 4);
	smq_cbor_put_int(w, KEY_KTY);
	smq_cbor_put_int(w, KTY_EC2);
	if (kid) {
		smq_cbor_put_int(w, KEY_KID);
		smq_cbor_put_bytes(w, smq_span_of(kid, SMQ_KID_LEN));
	}
	smq_cbor_put_int(w, KEY_CRV);
	smq_cbor_put_int(w, SMQ_P256);
	smq_cbor_put_int(w, KEY_X);
	smq_cbor_put_bytes(w, smq_span_of(point + 1, SMQ_KEX_LEN));
	smq_cbor_put_int(w, KEY_Y);
	smq_cbor_put_bytes(w, smq_span_of(point + 1 + SMQ_KEX_LEN, SMQ_KEX_LEN));
}

smq_err smq_registered_key_thumbprint(const struct smq_crypto *crypto, const uint8_t point[SMQ_PUBLIC_KEY_MAX],
				      uint8_t ret_hash[SMQ_HASH_LEN])
{
	uint8_t room[SMQ_REGISTERED_CRED_MAX];
	size_t len = 0;
	struct smq_writer w = smq_writer_on(smq_mspan_of(room, sizeof(room)));
	put_key(&w, point, NULL);
	smq_err err = smq_writer_end(&w, &len);
	if (err != SMQ_OK) /* GCOVR_EXCL_BR_LINE: there is room */
		return err;
	smq_span key = smq_span_of(room, len);
	return crypto->sha256(&key, 1, ret_hash);
}

smq_err smq_registered_key_credential(const uint8_t point[SMQ_PUBLIC_KEY_MAX], struct smq_credential *c)
{
	uint8_t room[SMQ_REGISTERED_CRED_MAX];
	size_t len = 0;
	struct smq_writer w = smq_writer_on(smq_mspan_of(room, sizeof(room)));
	smq_cbor_put_map(&w, 2);
	smq_cbor_put_int(&w, CWT_SUB);
	smq_cbor_put_text(&w, smq_span_str(c->name));
	smq_cbor_put_int(&w, CWT_CNF);
	smq_cbor_put_map(&w, 1);
	smq_cbor_put_int(&w, CNF_COSE_KEY);
	put_key(&w, point, c->id);
	smq_err err = smq_writer_end(&w, &len);
	if (err != SMQ_OK) /* GCOVR_EXCL_BR_LINE: there is room for the longest name */
		return err;
	c->sig_alg = (enum smq_sig_id)0; /* no algorithm verifies with it */
	c->dh_curve = SMQ_P256;
	memmove(c->public_key, point, SMQ_PUBLIC_KEY_MAX);
	c->public_key_len = SMQ_PUBLIC_KEY_MAX;
	memcpy(c->cred, room, len);
	c->cred_len = len;
	c->registered = true;
	return SMQ_OK;
}

void smq_registered_key_id_cred(const uint8_t kid[SMQ_KID_LEN], uint8_t ret_id_cred[SMQ_REGISTERED_ID_CRED_LEN])
{
	struct smq_writer w = smq_writer_on(smq_mspan_of(ret_id_cred, SMQ_REGISTERED_ID_CRED_LEN));
	smq_cbor_put_map(&w, 1);
	smq_cbor_put_int(&w, HEADER_KID);
	smq_cbor_put_bytes(&w, smq_span_of(kid, SMQ_KID_LEN));
}

const uint8_t *smq_registered_key_kid(smq_span id_cred)
{
	struct smq_reader r = smq_reader_on(id_cred);
	bool lone = smq_cbor_get_map(&r) == 1 && smq_cbor_get_int(&r) == HEADER_KID;
	smq_span kid = smq_cbor_get_bytes(&r);
	return smq_reader_end(&r) == SMQ_OK && lone && kid.len == SMQ_KID_LEN ? kid.p : NULL;
}
