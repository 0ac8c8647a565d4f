/* HKDF-SHA-256 (RFC 5869) over the crypto port. */
#include "crypto/hkdf.h"

#include "base/wipe.h"

enum { INFO_PARTS_MAX = 6 };

smq_err smq_hkdf_extract(const struct smq_crypto *crypto, smq_span salt, smq_span ikm, uint8_t ret_prk[SMQ_HASH_LEN])
{
	return crypto->hmac_sha256(salt, &ikm, 1, ret_prk);
}

smq_err smq_hkdf_expand(const struct smq_crypto *crypto, const uint8_t prk[SMQ_HASH_LEN], const smq_span *info,
			size_t info_count, smq_mspan ret_okm)
{
	uint8_t block[SMQ_HASH_LEN];
	uint8_t number = 0;
	smq_span parts[INFO_PARTS_MAX + 2];
	smq_err err = SMQ_OK;

	if (ret_okm.len > SMQ_HKDF_EXPAND_MAX || info_count > INFO_PARTS_MAX)
		return SMQ_ERR_TOO_LARGE;
	for (size_t i = 0; i < info_count; i++)
		parts[i + 1] = info[i];
	parts[info_count + 1] = smq_span_of(&number, 1);
	for (size_t done = 0; done < ret_okm.len && err == SMQ_OK;) {
		parts[0] = smq_span_of(block, number == 0 ? 0 : sizeof(block)); /* T(0) is empty */
		number++;
		err = crypto->hmac_sha256(smq_span_of(prk, SMQ_HASH_LEN), parts, info_count + 2, block);
		size_t take = ret_okm.len - done < sizeof(block) ? ret_okm.len - done : sizeof(block);
		if (err == SMQ_OK)
			memcpy(ret_okm.p + done, block, take);
		done += take;
	}
	smq_wipe(block, sizeof(block));
	if (err != SMQ_OK)
		smq_wipe(ret_okm.p, ret_okm.len);
	return err;
}
