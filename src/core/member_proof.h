/* What the proof of a sender needs of its sessions (PROTOCOL.md 3.9). */
#ifndef SMQ_CORE_MEMBER_PROOF_H
#define SMQ_CORE_MEMBER_PROOF_H

#include <sealmq/member.h>

#include "core/seal.h"

/* smq_member_seal with proof. */
SMQ_MUST_USE smq_err smq_member_seal_proven(smq_member *m, const char *to, const char *topic, smq_span plain,
					    struct smq_now now, struct smq_seal_proof *proof, smq_mspan room,
					    size_t *ret_len);
/* The key that this message names and was opened with just now; NULL: not one of ours. */
const struct smq_seal_key *smq_member_key_of(smq_member *m, const struct smq_sealed *sealed);

#endif
