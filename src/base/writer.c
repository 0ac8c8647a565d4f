/* A writer that fills caller's room and remembers its first failure. */
#include "base/writer.h"

void smq_writer_fail(struct smq_writer *w, smq_err err)
{
	if (w->err == SMQ_OK)
		w->err = err;
}

smq_span smq_writer_span(const struct smq_writer *w) { return smq_span_of(w->p, w->len); }

smq_err smq_writer_end(const struct smq_writer *w, size_t *ret_len)
{
	if (w->err == SMQ_OK)
		*ret_len = w->len;
	return w->err;
}
