/* Fields that many documents have. */
#include "wire/fields.h"

#include <sealmq/text.h>

void smq_get_head(struct smq_reader *r, size_t fields, uint64_t version)
{
	if (smq_cbor_get_array(r) != fields)
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
	if (smq_cbor_get_uint(r) != version)
		smq_reader_fail(r, SMQ_ERR_VERSION);
}

size_t smq_get_count(struct smq_reader *r, size_t most)
{
	size_t count = smq_cbor_get_array(r);
	if (count > most)
		smq_reader_fail(r, SMQ_ERR_FULL);
	return r->err == SMQ_OK ? count : 0;
}

uint64_t smq_get_between(struct smq_reader *r, uint64_t least, uint64_t most)
{
	uint64_t value = smq_cbor_get_uint(r);
	if (value < least || value > most)
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
	return r->err == SMQ_OK ? value : 0;
}

void smq_get_fixed(struct smq_reader *r, smq_mspan room)
{
	smq_span bytes = smq_cbor_get_bytes(r);
	if (bytes.len != room.len)
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
	else
		memcpy(room.p, bytes.p, room.len);
}

smq_span smq_get_name(struct smq_reader *r)
{
	smq_span name = smq_cbor_get_text(r);
	if (!smq_name_valid(name))
		smq_reader_fail(r, SMQ_ERR_NAME);
	return name;
}

int64_t smq_get_time(struct smq_reader *r) { return (int64_t)smq_get_between(r, 0, INT64_MAX); }

void smq_put_time(struct smq_writer *w, int64_t ms)
{
	if (ms < 0)
		smq_writer_fail(w, SMQ_ERR_USAGE);
	smq_cbor_put_int(w, ms);
}

int64_t smq_get_end(struct smq_reader *r)
{
	if (smq_cbor_peek(r) != SMQ_CBOR_NULL)
		return (int64_t)smq_get_between(r, 0, INT64_MAX - 1);
	smq_cbor_get_null(r);
	return SMQ_NO_END;
}

void smq_put_end(struct smq_writer *w, int64_t ms)
{
	if (ms == SMQ_NO_END)
		smq_cbor_put_null(w);
	else
		smq_put_time(w, ms);
}
