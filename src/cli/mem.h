/* Memory for the tool: a request that cannot be met ends it with one line, so that nobody has to check. */
#ifndef SMQ_CLI_MEM_H
#define SMQ_CLI_MEM_H

#include <stddef.h>

/* An array of `count` items of `size` bytes, grown from `p` (NULL at first). */
void *mem_array(void *p, size_t count, size_t size);
/* A zero-terminated copy of len bytes. */
char *mem_copy(const void *p, size_t len);
/* Zeroes memory that held a secret. */
void mem_wipe(void *p, size_t len);

#endif
