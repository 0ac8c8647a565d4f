/*
 * A writer that fills caller's room and remembers its first failure.
 *
 * Write as much as you like, ask once at the end: smq_writer_end returns
 * SMQ_ERR_NO_ROOM if anything did not fit. Nothing is ever written past the room.
 */
#ifndef SMQ_BASE_WRITER_H
#define SMQ_BASE_WRITER_H

#include <sealmq/err.h>
#include <sealmq/span.h>

struct smq_writer {
	uint8_t *p;
	size_t room;
	size_t len; /* written so far */
	smq_err err;
};

/* The small ones are here to be inlined: they make every message. */
static inline struct smq_writer smq_writer_on(smq_mspan room)
{
	struct smq_writer w = { room.p, room.len, 0, SMQ_OK };
	return w;
}

/* Takes len bytes of room to be filled by the caller; NULL when it does not fit (the failure is remembered). */
static inline uint8_t *smq_write_reserve(struct smq_writer *w, size_t len)
{
	if (w->err == SMQ_OK && w->room - w->len < len)
		w->err = SMQ_ERR_NO_ROOM;
	if (w->err != SMQ_OK)
		return NULL;
	uint8_t *at = w->p + w->len;
	w->len += len;
	return at;
}

static inline void smq_write_u8(struct smq_writer *w, uint8_t byte)
{
	uint8_t *at = smq_write_reserve(w, 1);
	if (at)
		*at = byte;
}

static inline void smq_write(struct smq_writer *w, smq_span bytes)
{
	uint8_t *at = smq_write_reserve(w, bytes.len);
	if (at && bytes.len > 0)
		memcpy(at, bytes.p, bytes.len);
}

void smq_writer_fail(struct smq_writer *w, smq_err err);
/* What was written so far; valid as long as the room is. */
smq_span smq_writer_span(const struct smq_writer *w);
SMQ_MUST_USE smq_err smq_writer_end(const struct smq_writer *w, size_t *ret_len);

#endif
