/* HKDF-SHA-256 (RFC 5869) over the crypto port. */
#ifndef SMQ_CRYPTO_HKDF_H
#define SMQ_CRYPTO_HKDF_H

#include <sealmq/crypto.h>

enum { SMQ_HKDF_EXPAND_MAX = 255 * SMQ_HASH_LEN };

SMQ_MUST_USE smq_err smq_hkdf_extract(const struct smq_crypto *crypto, smq_span salt, smq_span ikm,
				      uint8_t ret_prk[SMQ_HASH_LEN]);
/* Fills all of ret_okm; more than 8,160 bytes: SMQ_ERR_TOO_LARGE. info parts are concatenated, at most 6. */
SMQ_MUST_USE smq_err smq_hkdf_expand(const struct smq_crypto *crypto, const uint8_t prk[SMQ_HASH_LEN],
				     const smq_span *info, size_t info_count, smq_mspan ret_okm);

#endif
