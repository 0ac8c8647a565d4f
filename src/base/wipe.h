/* Secrets: wiping them, and comparing them in constant time. */
#ifndef SMQ_BASE_WIPE_H
#define SMQ_BASE_WIPE_H

#include <stdbool.h>
#include <stddef.h>

/* Zeroes len bytes at p in a way that no optimiser may drop. p may be NULL if len is 0. */
void smq_wipe(void *p, size_t len);

/* True if the two ranges of len bytes are equal; the time taken depends on len alone. */
bool smq_equal_ct(const void *a, const void *b, size_t len);

#endif
