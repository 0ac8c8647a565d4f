/* The keys of one request and its answer, out of the EDHOC run that they belong to (PROTOCOL.md 7.2). */
#ifndef SMQ_CORE_KS_KEYS_H
#define SMQ_CORE_KS_KEYS_H

#include "core/edhoc.h"

enum smq_ks_direction { SMQ_KS_TO_SERVER, SMQ_KS_FROM_SERVER };

enum { SMQ_KS_TAG_LEN = 16 };

/* id: the recipient's connection identifier. room: plain.len + SMQ_KS_TAG_LEN. A key seals once. */
SMQ_MUST_USE smq_err smq_ks_seal(const struct smq_edhoc *e, const struct smq_crypto *crypto,
				 enum smq_ks_direction direction, smq_span id, smq_span plain, smq_mspan room,
				 size_t *ret_len);
/* SMQ_ERR_OPEN. room: at least cipher.len. */
SMQ_MUST_USE smq_err smq_ks_open(const struct smq_edhoc *e, const struct smq_crypto *crypto,
				 enum smq_ks_direction direction, smq_span id, smq_span cipher, smq_mspan room,
				 smq_span *ret_plain);

#endif
