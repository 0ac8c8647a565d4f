/* A writer that fills caller's room and remembers its first failure. */
#include "base/writer.h"

struct smq_writer smq_writer_on(smq_mspan room)
{
	struct smq_writer w = { room.p, room.len, 0, SMQ_OK };
	return w;
}

void smq_writer_fail(struct smq_writer *w, smq_err err)
{
	if (w->err == SMQ_OK)
		w->err = err;
}

uint8_t *smq_write_reserve(struct smq_writer *w, size_t len)
{
	if (w->err == SMQ_OK && w->room - w->len < len)
		w->err = SMQ_ERR_NO_ROOM;
	if (w->err != SMQ_OK)
		return NULL;
	uint8_t *at = w->p + w->len;
	w->len += len;
	return at;
}

void smq_write_u8(struct smq_writer *w, uint8_t byte)
{
	uint8_t *at = smq_write_reserve(w, 1);
	if (at)
		*at = byte;
}

void smq_write(struct smq_writer *w, smq_span bytes)
{
	uint8_t *at = smq_write_reserve(w, bytes.len);
	if (at && bytes.len > 0)
		memcpy(at, bytes.p, bytes.len);
}

smq_span smq_writer_span(const struct smq_writer *w)
{
	return smq_span_of(w->p, w->len);
}

smq_err smq_writer_end(const struct smq_writer *w, size_t *ret_len)
{
	if (w->err == SMQ_OK)
		*ret_len = w->len;
	return w->err;
}
