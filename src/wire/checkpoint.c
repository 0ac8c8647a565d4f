/* The checkpoint on the wire: a COSE_Sign1 over digests (PROTOCOL.md 3.9). */
#include "wire/checkpoint.h"

#include <stdbool.h>

#include "base/varint.h"
#include "wire/cbor.h"

enum { TAG_SIGN1 = 18, LABEL_ALG = 1, MAP_OF_1 = 0xa1 };

/* The external_aad keeps these signatures apart from all others that a member's key makes. */
static const char domain[] = "sealmq1 checkpoint";

static void put_protected(struct smq_writer *w, const struct smq_checkpoint *c)
{
	uint8_t room[SMQ_CHECKPOINT_ID_CRED_MAX + 4];
	struct smq_writer map = smq_writer_on(smq_mspan_of(room, sizeof(room)));
	smq_cbor_put_map(&map, 2);
	smq_cbor_put_int(&map, LABEL_ALG);
	smq_cbor_put_int(&map, c->alg);
	smq_write(&map, smq_span_of(c->id_cred.p + 1, c->id_cred.len - 1));
	if (map.err != SMQ_OK)
		smq_writer_fail(w, map.err);
	smq_cbor_put_bytes(w, smq_writer_span(&map));
}

/* [ "Signature1", protected, external_aad, payload ] up to the payload's bytes. */
static smq_err put_signed_head(const struct smq_checkpoint *c, size_t payload_len, struct smq_checkpoint_signed *s)
{
	struct smq_writer w = smq_writer_on(smq_mspan_of(s->head, sizeof(s->head)));
	smq_cbor_put_array(&w, 4);
	smq_cbor_put_text(&w, smq_span_str("Signature1"));
	put_protected(&w, c);
	smq_cbor_put_bytes(&w, smq_span_str(domain));
	smq_cbor_put_bytes_head(&w, payload_len);
	return smq_writer_end(&w, &s->head_len);
}

static bool is_valid(const struct smq_checkpoint *c)
{
	return c->count >= 1 && c->count <= SMQ_CHECKPOINT_MESSAGES_MAX && c->digests.len == c->count * SMQ_HASH_LEN &&
	       c->first <= SMQ_VARINT_MAX - (c->count - 1);
}

static bool is_credential(smq_span id_cred)
{
	return id_cred.len > 1 && id_cred.len <= SMQ_CHECKPOINT_ID_CRED_MAX && id_cred.p[0] == MAP_OF_1;
}

static size_t payload_len(const struct smq_checkpoint *c)
{
	uint8_t room[64];
	struct smq_writer w = smq_writer_on(smq_mspan_of(room, sizeof(room)));
	smq_cbor_put_array(&w, 3);
	smq_cbor_put_bytes(&w, smq_span_of(c->stream, sizeof(c->stream)));
	smq_cbor_put_uint(&w, c->first);
	smq_cbor_put_bytes_head(&w, c->digests.len);
	return w.len + c->digests.len;
}

smq_err smq_checkpoint_encode(const struct smq_checkpoint *c, smq_mspan room, size_t *ret_len,
			      struct smq_checkpoint_signed *ret_signed)
{
	struct smq_checkpoint_signed s;
	struct smq_writer w = smq_writer_on(room);
	if (!is_valid(c) || !is_credential(c->id_cred))
		return SMQ_ERR_MALFORMED;
	size_t len = payload_len(c);
	smq_err err = put_signed_head(c, len, &s);
	if (err != SMQ_OK)
		return err;
	smq_cbor_put_tag(&w, TAG_SIGN1);
	smq_cbor_put_array(&w, 4);
	put_protected(&w, c);
	smq_cbor_put_map(&w, 0);
	smq_cbor_put_bytes_head(&w, len);
	size_t at = w.len;
	smq_cbor_put_array(&w, 3);
	smq_cbor_put_bytes(&w, smq_span_of(c->stream, sizeof(c->stream)));
	smq_cbor_put_uint(&w, c->first);
	smq_cbor_put_bytes(&w, c->digests);
	smq_cbor_put_bytes_head(&w, SMQ_SIG_LEN);
	err = smq_writer_end(&w, ret_len);
	if (err != SMQ_OK)
		return err;
	s.payload = smq_span_of(room.p + at, len);
	*ret_signed = s;
	return SMQ_OK;
}

/* ---- decoding ---- */

static bool names_credential(int64_t label) { return label == 4 || label == 34; }

/* { 1: alg, label: credential }, and the second pair on its own as ID_CRED_x. */
static void get_protected(struct smq_reader *r, uint8_t *ret_id_cred, struct smq_checkpoint *c)
{
	struct smq_reader map = smq_reader_on(smq_cbor_get_bytes(r));
	smq_span prev = { 0 };
	if (smq_cbor_get_map(&map) != 2 || smq_cbor_map_key(&map, &prev) != LABEL_ALG)
		smq_reader_fail(&map, SMQ_ERR_MALFORMED);
	int64_t alg = smq_cbor_get_int(&map);
	struct smq_reader pair = map;
	if (!names_credential(smq_cbor_map_key(&map, &prev)))
		smq_reader_fail(&map, SMQ_ERR_MALFORMED);
	(void)smq_cbor_get_item(&map);
	smq_err err = smq_reader_end(&map);
	smq_span rest = smq_read_rest(&pair);
	if (err != SMQ_OK || rest.len >= SMQ_CHECKPOINT_ID_CRED_MAX) {
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
		return;
	}
	if (alg != SMQ_ES256 && alg != SMQ_EDDSA) {
		smq_reader_fail(r, SMQ_ERR_ALGORITHM);
		return;
	}
	c->alg = (enum smq_sig_id)alg;
	ret_id_cred[0] = MAP_OF_1;
	memcpy(ret_id_cred + 1, rest.p, rest.len);
	c->id_cred = smq_span_of(ret_id_cred, rest.len + 1);
}

static void get_payload(struct smq_reader *r, smq_span payload, struct smq_checkpoint *c)
{
	struct smq_reader p = smq_reader_on(payload);
	if (smq_cbor_get_array(&p) != 3)
		smq_reader_fail(&p, SMQ_ERR_MALFORMED);
	smq_span stream = smq_cbor_get_bytes(&p);
	c->first = smq_cbor_get_uint(&p);
	c->digests = smq_cbor_get_bytes(&p);
	c->count = c->digests.len / SMQ_HASH_LEN;
	if (smq_reader_end(&p) != SMQ_OK || stream.len != SMQ_HASH_LEN || !is_valid(c)) {
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
		return;
	}
	memcpy(c->stream, stream.p, SMQ_HASH_LEN);
}

smq_err smq_checkpoint_decode(smq_span bytes, uint8_t ret_id_cred[SMQ_CHECKPOINT_ID_CRED_MAX],
			      struct smq_checkpoint *ret_checkpoint, struct smq_checkpoint_signed *ret_signed,
			      smq_span *ret_signature)
{
	struct smq_checkpoint c = { 0 };
	struct smq_reader r = smq_reader_on(bytes);
	if (bytes.len > SMQ_CHECKPOINT_MAX)
		return SMQ_ERR_TOO_LARGE;
	if (smq_cbor_get_tag(&r) != TAG_SIGN1 || smq_cbor_get_array(&r) != 4)
		smq_reader_fail(&r, SMQ_ERR_MALFORMED);
	get_protected(&r, ret_id_cred, &c);
	if (smq_cbor_get_map(&r) != 0)
		smq_reader_fail(&r, SMQ_ERR_MALFORMED);
	smq_span payload = smq_cbor_get_bytes(&r);
	if (r.err == SMQ_OK)
		get_payload(&r, payload, &c);
	smq_span signature = smq_cbor_get_bytes(&r);
	smq_err err = smq_reader_end(&r);
	if (err != SMQ_OK)
		return err;
	if (signature.len != SMQ_SIG_LEN)
		return SMQ_ERR_MALFORMED;
	err = put_signed_head(&c, payload.len, ret_signed);
	if (err != SMQ_OK)
		return err;
	ret_signed->payload = payload;
	*ret_checkpoint = c;
	*ret_signature = signature;
	return SMQ_OK;
}
