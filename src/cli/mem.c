/* Memory that is there, or the end. */
#include "cli/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sealmq/err.h>

void *mem_array(void *p, size_t count, size_t size)
{
	void *grown = reallocarray(p, count ? count : 1, size);
	if (!grown) {
		fputs("sealmq: out of memory\n", stderr);
		exit(smq_err_exit(SMQ_ERR_NO_MEMORY));
	}
	return grown;
}

char *mem_copy(const void *p, size_t len)
{
	char *copy = mem_array(NULL, len + 1, 1);
	if (len > 0)
		memcpy(copy, p, len);
	copy[len] = 0;
	return copy;
}

void mem_wipe(void *p, size_t len)
{
	if (len > 0)
		explicit_bzero(p, len);
}
