/* A reader over untrusted bytes that remembers its first failure. */
#include "base/reader.h"

struct smq_reader smq_reader_on(smq_span bytes)
{
	struct smq_reader r = { bytes.p, bytes.len, SMQ_OK };
	return r;
}

void smq_reader_fail(struct smq_reader *r, smq_err err)
{
	if (r->err == SMQ_OK)
		r->err = err;
}

smq_span smq_read(struct smq_reader *r, size_t len)
{
	if (r->err == SMQ_OK && r->left < len)
		r->err = SMQ_ERR_TRUNCATED;
	if (r->err != SMQ_OK)
		return smq_span_of(NULL, 0);
	smq_span s = smq_span_of(r->p, len);
	if (len > 0)
		r->p += len;
	r->left -= len;
	return s;
}

uint8_t smq_read_u8(struct smq_reader *r)
{
	smq_span s = smq_read(r, 1);
	return s.len ? s.p[0] : 0;
}

smq_span smq_read_rest(struct smq_reader *r)
{
	return smq_read(r, r->left);
}

uint8_t smq_read_peek(const struct smq_reader *r)
{
	return (r->err == SMQ_OK && r->left > 0) ? r->p[0] : 0;
}

smq_err smq_reader_end(const struct smq_reader *r)
{
	if (r->err != SMQ_OK)
		return r->err;
	return r->left == 0 ? SMQ_OK : SMQ_ERR_TRAILING;
}
