/* Numbers with their highest byte first, at places that the caller knows to be there. */
#ifndef SMQ_BASE_BIG_ENDIAN_H
#define SMQ_BASE_BIG_ENDIAN_H

#include <stddef.h>
#include <stdint.h>

/* The lowest len bytes of value, at most 8. Returns where the next one goes. */
static inline uint8_t *smq_put_be(uint8_t *at, uint64_t value, size_t len)
{
	for (size_t i = len; i > 0; value >>= 8)
		at[--i] = (uint8_t)value;
	return at + len;
}

static inline uint64_t smq_get_be(const uint8_t *at, size_t len)
{
	uint64_t value = 0;
	for (size_t i = 0; i < len; i++)
		value = value << 8 | at[i];
	return value;
}

#endif
