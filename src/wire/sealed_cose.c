/* The sealed message's expanded form: a tagged COSE_Encrypt0 (RFC 9052, 5.2; PROTOCOL.md 3.3). */
#include "wire/sealed.h"

#include "base/varint.h"
#include "wire/cbor.h"
#include "wire/sealed_key_ref.h"

enum {
	TAG_ENCRYPT0 = 16,
	LABEL_ALG = 1,
	LABEL_KID = 4,
	LABEL_IV = 5,
	LABEL_PARTIAL_IV = 6,
	LABEL_COUNTERSIGNATURE0 = 12, /* version 2, RFC 9338 */
	LABEL_STAMP = -65537,         /* this and the next from the range for private use */
	LABEL_COVERED = -65538,
	PARTIAL_IV_MAX = 7 /* a counter below 2^56 */
};

/* ---- encoding ---- */

void smq_sealed_put_protected(struct smq_writer *w, const struct smq_aead_alg *alg)
{
	uint8_t room[8];
	struct smq_writer map = smq_writer_on(smq_mspan_of(room, sizeof(room)));
	smq_cbor_put_map(&map, 1);
	smq_cbor_put_int(&map, LABEL_ALG);
	smq_cbor_put_int(&map, alg->id);
	smq_cbor_put_bytes(w, smq_writer_span(&map));
}

static void put_kid(struct smq_writer *w, const struct smq_sealed *s)
{
	uint8_t room[1 + SMQ_KEY_REF_MAX];
	struct smq_writer kid = smq_writer_on(smq_mspan_of(room, sizeof(room)));
	smq_write_u8(&kid, (uint8_t)s->kind);
	smq_write_key_ref(&kid, s);
	if (kid.err != SMQ_OK)
		smq_writer_fail(w, kid.err);
	smq_cbor_put_bytes(w, smq_writer_span(&kid));
}

static void put_partial_iv(struct smq_writer *w, uint64_t counter)
{
	size_t len = 1;
	while (len < sizeof(counter) && counter >> (8 * len) != 0)
		len++;
	smq_cbor_put_bytes_head(w, len);
	while (len-- > 0)
		smq_write_u8(w, (uint8_t)(counter >> (8 * len)));
}

/* Everything up to the ciphertext's bytes. The keys rise in the bytewise order of their encodings. full_iv: stands in
 * the place of the Partial IV, which has the next label. */
static void put_head(struct smq_writer *w, const struct smq_sealed *s, smq_span full_iv, size_t ciphertext_len)
{
	smq_cbor_put_tag(w, TAG_ENCRYPT0);
	smq_cbor_put_array(w, 3);
	smq_sealed_put_protected(w, s->alg);
	smq_cbor_put_map(w, 2u + (s->signature.len != 0) + s->has_stamp + s->covered);
	smq_cbor_put_int(w, LABEL_KID);
	put_kid(w, s);
	smq_cbor_put_int(w, full_iv.len ? LABEL_IV : LABEL_PARTIAL_IV);
	if (full_iv.len)
		smq_cbor_put_bytes(w, full_iv);
	else
		put_partial_iv(w, s->counter);
	if (s->signature.len != 0) {
		smq_cbor_put_int(w, LABEL_COUNTERSIGNATURE0);
		smq_cbor_put_bytes(w, s->signature);
	}
	if (s->has_stamp) {
		smq_cbor_put_int(w, LABEL_STAMP);
		smq_cbor_put_uint(w, s->stamp);
	}
	if (s->covered) {
		smq_cbor_put_int(w, LABEL_COVERED);
		smq_cbor_put_bool(w, true);
	}
	smq_cbor_put_bytes_head(w, ciphertext_len);
}

static const smq_span no_iv = { NULL, 0 };

smq_err smq_sealed_encode_cose_header(const struct smq_sealed *s, size_t ciphertext_len, smq_mspan room,
				      size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	if (!s->alg || !smq_sealed_alg(s->alg->id))
		return SMQ_ERR_ALGORITHM;
	put_head(&w, s, no_iv, ciphertext_len);
	return smq_writer_end(&w, ret_len);
}

smq_err smq_sealed_encode_cose_iv(const struct smq_sealed *s, smq_span full_iv, smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	smq_err err = smq_sealed_check(s);
	if (err != SMQ_OK)
		return err;
	put_head(&w, s, full_iv, s->ciphertext.len);
	smq_write(&w, s->ciphertext);
	return smq_writer_end(&w, ret_len);
}

smq_err smq_sealed_encode_cose(const struct smq_sealed *s, smq_mspan room, size_t *ret_len)
{
	return smq_sealed_encode_cose_iv(s, no_iv, room, ret_len);
}

/* ---- decoding ---- */

static void get_protected(struct smq_reader *r, struct smq_sealed *s)
{
	struct smq_reader map = smq_reader_on(smq_cbor_get_bytes(r));
	smq_span prev = { 0 };
	if (smq_cbor_get_map(&map) != 1 || smq_cbor_map_key(&map, &prev) != LABEL_ALG)
		smq_reader_fail(&map, SMQ_ERR_MALFORMED);
	int64_t id = smq_cbor_get_int(&map);
	smq_err err = smq_reader_end(&map);
	if (err == SMQ_OK && id >= INT16_MIN && id <= INT16_MAX)
		s->alg = smq_sealed_alg((int)id);
	if (err != SMQ_OK)
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
	else if (!s->alg)
		smq_reader_fail(r, SMQ_ERR_ALGORITHM);
}

static void get_kid(struct smq_reader *r, struct smq_sealed *s)
{
	struct smq_reader kid = smq_reader_on(smq_cbor_get_bytes(r));
	s->kind = (enum smq_sealed_kind)smq_read_u8(&kid);
	smq_read_key_ref(&kid, s);
	if (smq_reader_end(&kid) != SMQ_OK)
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
}

static void get_partial_iv(struct smq_reader *r, struct smq_sealed *s)
{
	smq_span iv = smq_cbor_get_bytes(r);
	if (iv.len < 1 || iv.len > PARTIAL_IV_MAX || (iv.len > 1 && iv.p[0] == 0)) {
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
		return;
	}
	for (size_t i = 0; i < iv.len; i++)
		s->counter = s->counter << 8 | iv.p[i];
}

static void get_stamp(struct smq_reader *r, struct smq_sealed *s)
{
	uint64_t stamp = smq_cbor_get_uint(r);
	if (stamp >> SMQ_STAMP_BITS)
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
	s->has_stamp = true;
	s->stamp = (uint32_t)stamp;
}

/* There is one way to say that it is not: to say nothing. */
static void get_covered(struct smq_reader *r, struct smq_sealed *s)
{
	s->covered = smq_cbor_get_bool(r);
	if (!s->covered)
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
}

static void get_signature(struct smq_reader *r, struct smq_sealed *s)
{
	s->signature = smq_cbor_get_bytes(r);
	if (s->signature.len != SMQ_SIG_LEN)
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
}

/* Key identifier and Partial IV must be there; smq_cbor_map_key refuses duplicates. */
static void get_unprotected(struct smq_reader *r, struct smq_sealed *s)
{
	bool kid = false, iv = false;
	smq_span prev = { 0 };
	for (size_t left = smq_cbor_get_map(r); left > 0 && r->err == SMQ_OK; left--) {
		switch (smq_cbor_map_key(r, &prev)) {
		case LABEL_KID:
			kid = true;
			get_kid(r, s);
			break;
		case LABEL_PARTIAL_IV:
			iv = true;
			get_partial_iv(r, s);
			break;
		case LABEL_COUNTERSIGNATURE0:
			get_signature(r, s);
			break;
		case LABEL_STAMP:
			get_stamp(r, s);
			break;
		case LABEL_COVERED:
			get_covered(r, s);
			break;
		default:
			smq_reader_fail(r, SMQ_ERR_MALFORMED);
		}
	}
	if (!kid || !iv)
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
}

smq_err smq_sealed_decode_cose(smq_span payload, struct smq_sealed *ret_sealed)
{
	struct smq_reader r = smq_reader_on(payload);
	struct smq_sealed s = { 0 };
	if (smq_cbor_get_tag(&r) != TAG_ENCRYPT0 || smq_cbor_get_array(&r) != 3)
		smq_reader_fail(&r, SMQ_ERR_MALFORMED);
	get_protected(&r, &s);
	get_unprotected(&r, &s);
	s.ciphertext = smq_cbor_get_bytes(&r);
	smq_err err = smq_reader_end(&r);
	if (err == SMQ_OK)
		err = smq_sealed_check(&s);
	if (err == SMQ_OK)
		*ret_sealed = s;
	return err;
}
