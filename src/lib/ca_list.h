/* The CA's log as a whole: which certificates there are, and which of them are revoked. */
#ifndef SMQ_LIB_CA_LIST_H
#define SMQ_LIB_CA_LIST_H

#include <sealmq/crypto.h>

#include "lib/ca_log.h"

/* Everything in the log, oldest first; certificates with their state as of now_ms. Only lines that hold `containing`
 * are looked at: a name, a serial number, or NULL for all. */
struct smq_ca_record {
	struct smq_ca_issued *issued; /* authorities too: roles 0 */
	size_t count, room;
	int64_t crl_number; /* the highest so far; 0: none yet */
	bool no_memory;
};
SMQ_MUST_USE smq_err smq_ca_record_read(const char *dir, const char *containing, int64_t now_ms,
					struct smq_ca_record *ret_record);
void smq_ca_record_free(struct smq_ca_record *record);

/* Whether a certificate whose chain was checked already still holds, as the log knows it: SMQ_ERR_NOT_AUTHORIZED. hash:
 * SHA-256 of its DER. */
SMQ_MUST_USE smq_err smq_ca_judge_holder(const char *dir, const uint8_t hash[SMQ_HASH_LEN]);

#endif
