/*
 * Spans: bytes that are there (smq_span) and room to be filled (smq_mspan).
 *
 * A span owns nothing. Whoever hands one out says how long it stays valid.
 * The two types differ on purpose: a function that takes smq_span cannot write,
 * a function that takes smq_mspan says so in its type.
 */
#ifndef SEALMQ_SPAN_H
#define SEALMQ_SPAN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes that are there. p may be NULL only where len is 0. */
typedef struct smq_span {
	const uint8_t *p;
	size_t len;
} smq_span;

/* Room to fill, len bytes of it. */
typedef struct smq_mspan {
	uint8_t *p;
	size_t len;
} smq_mspan;

static inline smq_span smq_span_of(const void *p, size_t len)
{
	smq_span s = { (const uint8_t *)p, len };
	return s;
}

/* The text without its terminating zero; NULL gives the empty span. */
static inline smq_span smq_span_str(const char *text)
{
	smq_span s = { (const uint8_t *)text, text ? strlen(text) : 0 };
	return s;
}

static inline smq_mspan smq_mspan_of(void *p, size_t len)
{
	smq_mspan s = { (uint8_t *)p, len };
	return s;
}

/* For public values only: it stops at the first difference. Secrets are compared with smq_equal_ct. */
static inline int smq_span_equal(smq_span a, smq_span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

/* Whether there is no other byte than zeroes; of public values, like the above. */
static inline int smq_span_is_zero(smq_span a)
{
	size_t i = 0;
	while (i < a.len && a.p[i] == 0)
		i++;
	return i == a.len;
}

#ifdef __cplusplus
}
#endif
#endif
