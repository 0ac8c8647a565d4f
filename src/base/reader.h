/*
 * A reader over untrusted bytes that remembers its first failure.
 *
 * Read as much as you like (a failed read gives zeroes or an empty span), ask
 * once at the end: smq_reader_end returns the first failure, and
 * SMQ_ERR_TRAILING if bytes are left over.
 */
#ifndef SMQ_BASE_READER_H
#define SMQ_BASE_READER_H

#include <sealmq/err.h>
#include <sealmq/span.h>

struct smq_reader {
	const uint8_t *p;
	size_t left;
	smq_err err;
};

/* The small ones are here to be inlined: they take every message apart. */
static inline struct smq_reader smq_reader_on(smq_span bytes)
{
	struct smq_reader r = { bytes.p, bytes.len, SMQ_OK };
	return r;
}

/* A view of the next len bytes, valid as long as the input is. */
static inline smq_span smq_read(struct smq_reader *r, size_t len)
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

static inline uint8_t smq_read_u8(struct smq_reader *r)
{
	smq_span s = smq_read(r, 1);
	return s.len ? s.p[0] : (uint8_t)0;
}

static inline smq_span smq_read_rest(struct smq_reader *r) { return smq_read(r, r->left); }
/* The next byte without taking it; 0 at the end (and no failure). */
uint8_t smq_read_peek(const struct smq_reader *r);
void smq_reader_fail(struct smq_reader *r, smq_err err);
SMQ_MUST_USE smq_err smq_reader_end(const struct smq_reader *r);

#endif
