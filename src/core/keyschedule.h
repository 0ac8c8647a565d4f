/*
 * The key schedule (PROTOCOL.md 3.4): from a traffic secret and a context to key, base IV and context digest.
 *
 * It lives here and not with the crypto port because its inputs are CBOR, which is one layer above that port.
 */
#ifndef SMQ_CORE_KEYSCHEDULE_H
#define SMQ_CORE_KEYSCHEDULE_H

#include "core/seal.h"
#include "wire/group_file.h"
#include "wire/slot_seeds.h"

/* Room that a context takes as CBOR at most. */
enum { SMQ_CONTEXT_MAX = 400 };
SMQ_MUST_USE smq_err smq_context_encode(const struct smq_seal_context *context, smq_mspan room, size_t *ret_len);
/* The spans of *ret_context point into bytes. Strict: it encodes to the same bytes. */
SMQ_MUST_USE smq_err smq_context_decode(smq_span bytes, struct smq_seal_context *ret_context);

/* The seal context as CBOR, hashed. SMQ_ERR_TOO_LARGE when its names are longer than names may be. */
SMQ_MUST_USE smq_err smq_context_digest(const struct smq_crypto *crypto, const struct smq_seal_context *context,
					uint8_t ret_digest[SMQ_HASH_LEN]);

/* Fills key (as long as the algorithm's) and iv (as long as its nonce). */
SMQ_MUST_USE smq_err smq_derive_key_iv(const struct smq_crypto *crypto, const struct smq_traffic_secret *secret,
				       const uint8_t context_digest[SMQ_HASH_LEN], smq_mspan ret_key, smq_mspan ret_iv);

/* The traffic secret of a group without slots (PROTOCOL.md 6.1). */
SMQ_MUST_USE smq_err smq_group_traffic_secret(const struct smq_crypto *crypto, const struct smq_epoch_secret *epoch,
					      smq_span realm, smq_span group, uint64_t epoch_number,
					      struct smq_traffic_secret *ret_secret);
/* The traffic secret of one slot of a slotted group (PROTOCOL.md 6.3): it takes both the epoch and the slot key. */
SMQ_MUST_USE smq_err smq_slot_traffic_secret(const struct smq_crypto *crypto, const struct smq_epoch_secret *epoch,
					     const struct smq_slot_key *slot_key, smq_span realm, smq_span group,
					     uint64_t epoch_number, uint64_t slot,
					     struct smq_traffic_secret *ret_secret);

#endif
