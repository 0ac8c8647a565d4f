/* A reader over untrusted bytes that remembers its first failure. */
#include "base/hot.h"
#include "base/reader.h"

SMQ_HOT void smq_reader_fail(struct smq_reader *r, smq_err err)
{
	if (r->err == SMQ_OK)
		r->err = err;
}

uint8_t smq_read_peek(const struct smq_reader *r) { return (r->err == SMQ_OK && r->left > 0) ? r->p[0] : 0; }

SMQ_HOT smq_err smq_reader_end(const struct smq_reader *r)
{
	if (r->err != SMQ_OK)
		return r->err;
	return r->left == 0 ? SMQ_OK : SMQ_ERR_TRAILING;
}
