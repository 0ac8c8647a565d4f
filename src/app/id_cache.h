/*
 * Numbers that a database gave to keys, remembered: bounded, forgotten as a whole when it is full or in doubt.
 */
#ifndef SMQ_APP_ID_CACHE_H
#define SMQ_APP_ID_CACHE_H

#include <stdbool.h>

#include <sealmq/err.h>
#include <sealmq/span.h>

struct smq_id_entry;

struct smq_id_cache {
	struct smq_id_entry *entries; /* room, a power of two; at most three quarters full */
	size_t room, count, count_max;
};

/* count_max: about so many keys are remembered, at least 8. */
void smq_id_cache_init(struct smq_id_cache *c, size_t count_max);
bool smq_id_cache_find(const struct smq_id_cache *c, smq_span key, int64_t *ret_id);
/* Best effort: without memory it is not remembered. */
void smq_id_cache_put(struct smq_id_cache *c, smq_span key, int64_t id);
void smq_id_cache_clear(struct smq_id_cache *c);

#endif
