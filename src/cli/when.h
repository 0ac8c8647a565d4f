/* Times on the command line: RFC 3339, Unix seconds, or so long ago. */
#ifndef SMQ_CLI_WHEN_H
#define SMQ_CLI_WHEN_H

#include <stdbool.h>
#include <stdint.h>

/* Unix ms; false: it is none. */
bool when_read(const char *text, int64_t *ret_unix_ms);
/* RFC 3339 with milliseconds, in UTC; "-" for what no calendar has. */
enum { WHEN_TEXT_MAX = 40 };
void when_write(int64_t unix_ms, char ret_text[WHEN_TEXT_MAX]);

#endif
