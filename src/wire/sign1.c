/* COSE_Sign1 (RFC 9052, 4.2; PROTOCOL.md 6.4). */
#include "wire/sign1.h"

#include "wire/cbor.h"

enum { TAG = 18, HEADER_ALG = 1, HEADER_TYPE = 3, HEADER_KID = 4, HEADER_X5T = 34, HEADER_MAX = 80, HEAD_MAX = 9 };

/* ---- the Sig_structure (RFC 9052, 4.4), in parts, so that the payload is not copied ---- */

enum { PARTS = 6 };

struct to_be_signed {
	uint8_t heads[3][24];
	smq_span parts[PARTS];
};

/* The heads have room for their context and any length. */
static void put_part(struct to_be_signed *t, size_t i, const char *context, smq_span bytes)
{
	struct smq_writer w = smq_writer_on(smq_mspan_of(t->heads[i], sizeof(t->heads[i])));
	if (context) {
		smq_cbor_put_array(&w, 4);
		smq_cbor_put_text(&w, smq_span_str(context));
	}
	smq_cbor_put_bytes_head(&w, bytes.len);
	t->parts[2 * i] = smq_writer_span(&w);
	t->parts[2 * i + 1] = bytes;
}

/* t must not move: its parts point into it. */
static void to_be_signed(smq_span header, smq_span external_aad, smq_span payload, struct to_be_signed *t)
{
	put_part(t, 0, "Signature1", header);
	put_part(t, 1, NULL, external_aad);
	put_part(t, 2, NULL, payload);
}

/* ---- who signed ---- */

/* Takes the value of header 4 or 34 and keeps it as the map that EDHOC calls ID_CRED_x. */
static void read_signer(struct smq_reader *r, int64_t label, struct smq_sign1 *s)
{
	struct smq_reader value = *r;
	smq_span item = smq_cbor_get_item(r);
	struct smq_writer w = smq_writer_on(smq_mspan_of(s->id_cred, sizeof(s->id_cred)));
	bool good = r->err == SMQ_OK && s->id_cred_len == 0;
	if (label == HEADER_KID) {
		smq_span kid = smq_cbor_get_bytes(&value);
		good = good && value.err == SMQ_OK && kid.len <= SMQ_SIGN1_KID_MAX;
	} else {
		good = good && smq_cbor_get_array(&value) == 2;
		(void)smq_cbor_get_int(&value);
		smq_span hash = smq_cbor_get_bytes(&value);
		good = good && value.err == SMQ_OK && hash.len > 0;
	}
	smq_cbor_put_map(&w, 1);
	smq_cbor_put_int(&w, label);
	smq_write(&w, item);
	if (!good || w.err != SMQ_OK) {
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
		return;
	}
	s->id_cred_len = w.len;
}

/* ---- encoding ---- */

static smq_err encode_header(const struct smq_signer *signer, smq_span id_cred, struct smq_writer *w)
{
	struct smq_reader r = smq_reader_on(id_cred);
	struct smq_sign1 named = { 0 };
	bool one = smq_cbor_get_map(&r) == 1;
	smq_span entry = smq_span_of(r.p, r.left);
	int64_t label = smq_cbor_get_int(&r);
	if (r.err != SMQ_OK || !one || (label != HEADER_KID && label != HEADER_X5T))
		return SMQ_ERR_CREDENTIAL;
	read_signer(&r, label, &named);
	if (smq_reader_end(&r) != SMQ_OK)
		return SMQ_ERR_CREDENTIAL;
	smq_cbor_put_map(w, 2);
	smq_cbor_put_int(w, HEADER_ALG);
	smq_cbor_put_int(w, signer->alg);
	smq_write(w, entry);
	return w->err;
}

smq_err smq_sign1_encode(const struct smq_signer *signer, smq_span id_cred, smq_span external_aad, smq_span payload,
			 bool detached, smq_mspan room, size_t *ret_len)
{
	uint8_t header_room[HEADER_MAX], signature[SMQ_SIG_LEN];
	struct smq_writer header = smq_writer_on(smq_mspan_of(header_room, sizeof(header_room)));
	struct smq_writer w = smq_writer_on(room);
	struct to_be_signed t;
	smq_err err = encode_header(signer, id_cred, &header);
	if (err != SMQ_OK)
		return err;
	to_be_signed(smq_writer_span(&header), external_aad, payload, &t);
	err = signer->sign(signer->self, t.parts, PARTS, signature);
	if (err != SMQ_OK)
		return err;
	smq_cbor_put_tag(&w, TAG);
	smq_cbor_put_array(&w, 4);
	smq_cbor_put_bytes(&w, smq_writer_span(&header));
	smq_cbor_put_map(&w, 0);
	if (detached)
		smq_cbor_put_null(&w);
	else
		smq_cbor_put_bytes(&w, payload);
	smq_cbor_put_bytes(&w, smq_span_of(signature, sizeof(signature)));
	return smq_writer_end(&w, ret_len);
}

/* ---- decoding ---- */

static void read_algorithm(struct smq_reader *r, struct smq_sign1 *s)
{
	enum smq_cbor_type type = smq_cbor_peek(r);
	int64_t alg = type == SMQ_CBOR_UINT || type == SMQ_CBOR_NEGINT ? smq_cbor_get_int(r) : 0;
	if (alg != SMQ_ES256 && alg != SMQ_EDDSA)
		smq_reader_fail(r, SMQ_ERR_ALGORITHM);
	else
		s->alg = (enum smq_sig_id)alg;
}

static void read_header(struct smq_sign1 *s, struct smq_reader *outer)
{
	struct smq_reader r = smq_reader_on(s->header);
	smq_span prev = smq_span_of(NULL, 0);
	size_t pairs = smq_cbor_get_map(&r);
	for (size_t i = 0; i < pairs && r.err == SMQ_OK; i++) {
		int64_t label = smq_cbor_map_key(&r, &prev);
		if (r.err != SMQ_OK)
			break;
		if (label == HEADER_ALG)
			read_algorithm(&r, s);
		else if (label == HEADER_TYPE)
			(void)smq_cbor_get_uint(&r);
		else if (label == HEADER_KID || label == HEADER_X5T)
			read_signer(&r, label, s);
		else
			smq_reader_fail(&r, SMQ_ERR_MALFORMED); /* what we do not know we do not vouch for */
	}
	smq_err err = smq_reader_end(&r);
	if (err == SMQ_OK && s->alg == 0)
		err = SMQ_ERR_ALGORITHM;
	if (err != SMQ_OK)
		smq_reader_fail(outer, err);
}

/* Proven by nobody, so nothing in it is used. */
static void read_unprotected(struct smq_reader *r, struct smq_sign1 *s)
{
	struct smq_sign1 ignored = { 0 };
	smq_span prev = smq_span_of(NULL, 0);
	size_t pairs = smq_cbor_get_map(r);
	s->bare = pairs == 0;
	for (size_t i = 0; i < pairs && r->err == SMQ_OK; i++) {
		int64_t label = smq_cbor_map_key(r, &prev);
		if (r->err == SMQ_OK && label != HEADER_KID && label != HEADER_X5T)
			smq_reader_fail(r, SMQ_ERR_MALFORMED);
		if (r->err == SMQ_OK)
			read_signer(r, label, &ignored);
	}
}

smq_err smq_sign1_decode(smq_span bytes, struct smq_sign1 *ret_sign1)
{
	struct smq_sign1 s = { 0 };
	struct smq_reader r = smq_reader_on(bytes);
	if (smq_cbor_get_tag(&r) != TAG || smq_cbor_get_array(&r) != 4)
		smq_reader_fail(&r, SMQ_ERR_MALFORMED);
	s.header = smq_cbor_get_bytes(&r);
	if (r.err == SMQ_OK)
		read_header(&s, &r);
	read_unprotected(&r, &s);
	s.detached = smq_cbor_peek(&r) == SMQ_CBOR_NULL;
	if (s.detached)
		smq_cbor_get_null(&r);
	else
		s.payload = smq_cbor_get_bytes(&r);
	smq_span signature = smq_cbor_get_bytes(&r);
	if (signature.len != SMQ_SIG_LEN)
		smq_reader_fail(&r, SMQ_ERR_MALFORMED);
	s.signature = signature.p;
	smq_err err = smq_reader_end(&r);
	if (err == SMQ_OK)
		*ret_sign1 = s;
	return err;
}

/* ---- verifying ---- */

smq_err smq_sign1_verify(const struct smq_sign1 *s, const struct smq_crypto *crypto, enum smq_sig_id alg,
			 smq_span public_key, smq_span external_aad, smq_span payload)
{
	struct to_be_signed t;
	if (s->alg != alg)
		return SMQ_ERR_ALGORITHM;
	if (!s->detached && payload.len > 0)
		return SMQ_ERR_USAGE;
	to_be_signed(s->header, external_aad, s->detached ? payload : s->payload, &t);
	return crypto->verify(alg, public_key, t.parts, PARTS, s->signature);
}

smq_err smq_sign1_verify_document(const struct smq_sign1 *s, const struct smq_crypto *crypto,
				  const struct smq_credential *credential, enum smq_role role, const char *kind)
{
	if (s->detached || !s->bare || s->id_cred_len == 0)
		return SMQ_ERR_MALFORMED;
	if (!(credential->roles & role))
		return SMQ_ERR_CERT_USAGE;
	return smq_sign1_verify(s, crypto, credential->sig_alg,
				smq_span_of(credential->public_key, credential->public_key_len), smq_span_str(kind),
				smq_span_of(NULL, 0));
}

smq_err smq_sign1_encode_document(const struct smq_own_credential *own, const char *kind, smq_span payload,
				  smq_mspan room, size_t *ret_len)
{
	return smq_sign1_encode(&own->signer, own->id_cred_short, smq_span_str(kind), payload, false, room, ret_len);
}
