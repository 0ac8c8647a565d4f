/* A text that grows. */
#include "cli/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <sealmq/text.h>

#include "cli/mem.h"

void buf_free(struct buf *b)
{
	free(b->p);
	*b = (struct buf){ 0 };
}

static char *reserve(struct buf *b, size_t len)
{
	if (b->room - b->len < len) {
		b->room = b->room * 2 > b->len + len ? b->room * 2 : b->len + len + 256;
		b->p = mem_array(b->p, b->room, 1);
	}
	return b->p + b->len;
}

void buf_put(struct buf *b, const void *bytes, size_t len)
{
	if (len > 0)
		memcpy(reserve(b, len), bytes, len);
	b->len += len;
}

void buf_text(struct buf *b, const char *text) { buf_put(b, text, strlen(text)); }

void buf_fill(struct buf *b, char c, size_t count)
{
	if (count > 0)
		memset(reserve(b, count), c, count);
	b->len += count;
}

void buf_printf(struct buf *b, const char *format, ...)
{
	char text[512];
	va_list args;
	va_start(args, format);
	int len = vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (len > 0)
		buf_put(b, text, (size_t)len < sizeof text ? (size_t)len : sizeof text - 1);
}

void buf_escaped(struct buf *b, smq_span bytes)
{
	while (bytes.len > 0) {
		const uint8_t *slash = memchr(bytes.p, '\\', bytes.len);
		size_t part = slash ? (size_t)(slash - bytes.p) : bytes.len;
		/* the worst case is \xNN for each byte */
		size_t room = part * 4 + 1;
		b->len += smq_escape(smq_span_of(bytes.p, part), reserve(b, room), room);
		if (slash)
			buf_put(b, "\\", 1);
		bytes = smq_span_of(bytes.p + part + (slash != NULL), bytes.len - part - (slash != NULL));
	}
}
