/* What OpenSSL frees is wiped: its decoders leave a private key's bytes behind in what they free. */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "adapters/crypto_openssl/memory.h"
#include "base/wipe.h"

static void *take(size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	return malloc(size);
}

static void give_back(void *p, const char *file, int line)
{
	(void)file;
	(void)line;
	if (p)
		smq_wipe(p, malloc_usable_size(p));
	free(p);
}

/* Never in place: the old block is wiped when the new one stands. */
static void *change(void *p, size_t size, const char *file, int line)
{
	if (!p || size == 0) {
		give_back(p, file, line);
		return size ? malloc(size) : NULL;
	}
	size_t had = malloc_usable_size(p);
	void *other = malloc(size);
	if (!other)
		return NULL;
	memcpy(other, p, had < size ? had : size);
	give_back(p, file, line);
	return other;
}

bool smq_openssl_wipes_freed(void) { return CRYPTO_set_mem_functions(take, change, give_back) == 1; }
