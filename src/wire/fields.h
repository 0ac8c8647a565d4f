/* Fields that many documents have, read and written in one way: lengths that are fixed, numbers within bounds, times.
 */
#ifndef SMQ_WIRE_FIELDS_H
#define SMQ_WIRE_FIELDS_H

#include <sealmq/crypto.h>

#include "wire/cbor.h"

#define SMQ_NO_END INT64_MAX /* of an interval: none */

/* An array of this many items whose first is the format's version. */
void smq_get_head(struct smq_reader *r, size_t fields, uint64_t version);
/* The head of an array of at most `most` items; 0 on failure. SMQ_ERR_FULL: more. */
size_t smq_get_count(struct smq_reader *r, size_t most);
/* An unsigned integer; SMQ_ERR_MALFORMED outside the bounds, and 0 is returned then. */
uint64_t smq_get_between(struct smq_reader *r, uint64_t least, uint64_t most);
/* A byte string of exactly room.len bytes. */
void smq_get_fixed(struct smq_reader *r, smq_mspan room);
/* A valid name (sealmq/text.h). */
smq_span smq_get_name(struct smq_reader *r);
/* Unix time in ms, not negative. */
int64_t smq_get_time(struct smq_reader *r);
void smq_put_time(struct smq_writer *w, int64_t ms);
/* The same, where null stands for SMQ_NO_END. */
int64_t smq_get_end(struct smq_reader *r);
void smq_put_end(struct smq_writer *w, int64_t ms);

#endif
