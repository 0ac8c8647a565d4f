/* Secrets: wiping them, and comparing them in constant time. */
#include "base/hot.h"
#include "base/wipe.h"

#include <stdint.h>
#include <string.h>

SMQ_HOT void smq_wipe(void *p, size_t len)
{
	if (len == 0)
		return;
	memset(p, 0, len);
	/* The compiler must believe that somebody reads the zeroes. */
	__asm__ __volatile__("" : : "r"(p) : "memory");
}

bool smq_equal_ct(const void *a, const void *b, size_t len)
{
	const volatile uint8_t *x = a;
	const volatile uint8_t *y = b;
	uint8_t diff = 0;

	for (size_t i = 0; i < len; i++)
		diff |= (uint8_t)(x[i] ^ y[i]);
	return diff == 0;
}
