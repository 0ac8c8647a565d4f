/*
 * The key file of a static group (FORMATS.md 3): what all its members hold alike.
 *
 *     sealmq-group 1
 *     realm plant
 *     group telemetry
 *     epoch 1
 *     algorithm A128GCM
 *     created 1795259500
 *     member fridge-07          the place in this list is the sender id, from 0
 *     member archive
 *     filter plant/#            as many as there are; none: every topic
 *     secret 64 hex digits
 *
 * One spelling only: these lines in this order, one space, one newline each, nothing else.
 */
#ifndef SMQ_WIRE_GROUP_FILE_H
#define SMQ_WIRE_GROUP_FILE_H

#include <sealmq/crypto.h>

#include "base/text.h"

enum {
	SMQ_GROUP_MEMBERS_MAX = 256,
	SMQ_GROUP_FILTERS_MAX = 16,
	SMQ_GROUP_FILTER_MAX = 255,
	SMQ_GROUP_FILE_MAX = 32768,
	SMQ_EPOCH_SECRET_LEN = 32
};

struct smq_epoch_secret {
	uint8_t b[SMQ_EPOCH_SECRET_LEN];
};

struct smq_group_file {
	char realm[SMQ_NAME_MAX + 1];
	char group[SMQ_NAME_MAX + 1];
	uint64_t epoch; /* from 1 */
	const struct smq_aead_alg *alg;
	uint64_t created_s; /* Unix time */
	size_t member_count;
	char members[SMQ_GROUP_MEMBERS_MAX][SMQ_NAME_MAX + 1];
	size_t filter_count;
	char filters[SMQ_GROUP_FILTERS_MAX][SMQ_GROUP_FILTER_MAX + 1];
	struct smq_epoch_secret secret;
};

/* *ret_line (may be NULL): the line that was not as it should be, from 1; 0 when it is the whole. Names that are not
 * valid, twice in the list, or not in the order above, are refused. ret_file holds a secret: wipe it. */
SMQ_MUST_USE smq_err smq_group_file_decode(smq_span text, struct smq_group_file *ret_file, size_t *ret_line);
SMQ_MUST_USE smq_err smq_group_file_encode(const struct smq_group_file *file, smq_mspan room, size_t *ret_len);

#endif
