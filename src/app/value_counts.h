/* How often each different text occurs, in bounded memory. */
#ifndef SMQ_APP_VALUE_COUNTS_H
#define SMQ_APP_VALUE_COUNTS_H

#include <stdbool.h>

#include <sealmq/err.h>
#include <sealmq/span.h>

struct smq_counted {
	char *text; /* NULL: a free place */
	size_t len;
	uint64_t hash, count;
};

struct smq_value_counts {
	struct smq_counted *places;
	size_t room, used; /* room: a power of two, or 0 */
	size_t bytes;
};

void smq_value_counts_done(struct smq_value_counts *c);
/* SMQ_ERR_FULL: it would be a text more than texts_max, or take more than bytes_max. */
SMQ_MUST_USE smq_err smq_value_counts_add(struct smq_value_counts *c, smq_span text, size_t texts_max,
					  size_t bytes_max);

#endif
