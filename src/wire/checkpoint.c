/* The checkpoint's payload (PROTOCOL.md 3.9). */
#include "wire/checkpoint.h"

#include "base/varint.h"
#include "wire/cbor.h"

static bool is_valid(const struct smq_checkpoint *c)
{
	size_t count = c->digests.len / SMQ_HASH_LEN;
	return c->digests.len % SMQ_HASH_LEN == 0 && count >= 1 && count <= SMQ_CHECKPOINT_MESSAGES_MAX &&
	       c->first <= SMQ_VARINT_MAX - (count - 1);
}

smq_err smq_checkpoint_encode_head(const struct smq_checkpoint *c, smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	if (!is_valid(c))
		return SMQ_ERR_MALFORMED;
	smq_cbor_put_array(&w, 3);
	smq_cbor_put_bytes(&w, smq_span_of(c->stream, sizeof(c->stream)));
	smq_cbor_put_uint(&w, c->first);
	smq_cbor_put_bytes_head(&w, c->digests.len);
	return smq_writer_end(&w, ret_len);
}

smq_err smq_checkpoint_decode(smq_span payload, struct smq_checkpoint *ret_checkpoint)
{
	struct smq_checkpoint c = { 0 };
	struct smq_reader r = smq_reader_on(payload);
	if (smq_cbor_get_array(&r) != 3)
		smq_reader_fail(&r, SMQ_ERR_MALFORMED);
	smq_span stream = smq_cbor_get_bytes(&r);
	c.first = smq_cbor_get_uint(&r);
	c.digests = smq_cbor_get_bytes(&r);
	smq_err err = smq_reader_end(&r);
	if (err != SMQ_OK)
		return err;
	if (stream.len != SMQ_HASH_LEN || !is_valid(&c))
		return SMQ_ERR_MALFORMED;
	memcpy(c.stream, stream.p, SMQ_HASH_LEN);
	*ret_checkpoint = c;
	return SMQ_OK;
}
