/* A text that grows. */
#ifndef SMQ_CLI_BUF_H
#define SMQ_CLI_BUF_H

#include <sealmq/span.h>

struct buf {
	char *p;
	size_t len, room;
};

void buf_free(struct buf *b);
void buf_put(struct buf *b, const void *bytes, size_t len);
void buf_text(struct buf *b, const char *text);
void buf_fill(struct buf *b, char c, size_t count);
__attribute__((format(printf, 2, 3))) void buf_printf(struct buf *b, const char *format, ...);
/* Fit for a terminal: what is not printable UTF-8 becomes \xNN, \n, \r or \t; backslashes stay as they are. */
void buf_escaped(struct buf *b, smq_span bytes);

#endif
