/* A small seeded generator (splitmix64) for sample data. Never for keys. */
#ifndef SMQ_APP_PRNG_H
#define SMQ_APP_PRNG_H

#include <stdint.h>

struct smq_prng {
	uint64_t state;
};

static inline uint64_t smq_prng_next(struct smq_prng *r)
{
	uint64_t z = (r->state += UINT64_C(0x9e3779b97f4a7c15));
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* In [0, 1). */
static inline double smq_prng_unit(struct smq_prng *r) { return (double)(smq_prng_next(r) >> 11) * 0x1.0p-53; }

/* In [0, n); the bias for the small n used here is far below what anybody could measure. */
static inline unsigned smq_prng_below(struct smq_prng *r, unsigned n)
{
	return (unsigned)((smq_prng_next(r) >> 32) * n >> 32);
}

#endif
