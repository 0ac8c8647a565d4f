/*
 * Public-key operations that are done once: most inputs leave the keys of a run as they are, and a fuzzer's time should
 * go into what reads them. An answer is remembered under all that was asked; whatever is asked anew is computed anew.
 */
#ifndef SMQ_TESTS_FUZZ_MEMO_H
#define SMQ_TESTS_FUZZ_MEMO_H

#include <stdbool.h>
#include <string.h>

#include <sealmq/client.h>

enum { MEMO_ROWS = 4096, MEMO_ANSWER = SMQ_SIG_LEN };

struct memo_row {
	uint64_t key[2];
	smq_err err;
	uint8_t answer[MEMO_ANSWER];
};

static struct memo_row memo_rows[MEMO_ROWS];

/* Two hashes of 64 bits of everything that was asked, with lengths between. */
struct memo_asked {
	uint64_t h[2];
};

static inline void memo_ask(struct memo_asked *a, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	for (size_t i = 0; i < len; i++) {
		a->h[0] = (a->h[0] ^ p[i]) * UINT64_C(0x100000001b3);
		a->h[1] = (a->h[1] + p[i] + 1) * UINT64_C(0x9e3779b97f4a7c15);
		a->h[1] ^= a->h[1] >> 29;
	}
	a->h[0] = (a->h[0] ^ len) * UINT64_C(0x100000001b3);
	a->h[1] = (a->h[1] ^ len) * UINT64_C(0x9e3779b97f4a7c15);
}

static inline struct memo_asked memo_begin(uint64_t what, int which)
{
	struct memo_asked a = { { UINT64_C(0xcbf29ce484222325) ^ what, what } };
	memo_ask(&a, &which, sizeof(which));
	return a;
}

/* The row, and whether it holds the answer already. */
static inline bool memo_known(const struct memo_asked *a, struct memo_row **ret_row)
{
	struct memo_row *row = &memo_rows[(a->h[0] ^ a->h[1]) % MEMO_ROWS];
	bool known = row->key[0] == a->h[0] && row->key[1] == a->h[1];
	*ret_row = row;
	row->key[0] = a->h[0];
	row->key[1] = a->h[1];
	return known;
}

static inline smq_err memo_told(const struct memo_row *row, uint8_t *ret_answer, size_t len)
{
	if (row->err == SMQ_OK)
		memcpy(ret_answer, row->answer, len);
	return row->err;
}

static smq_err memo_kex_public(enum smq_curve curve, const uint8_t secret[SMQ_KEX_LEN], uint8_t ret_public[SMQ_KEX_LEN])
{
	struct memo_asked a = memo_begin(1, (int)curve);
	struct memo_row *row;
	memo_ask(&a, secret, SMQ_KEX_LEN);
	if (!memo_known(&a, &row))
		row->err = smq_crypto_openssl()->kex_public(curve, secret, row->answer);
	return memo_told(row, ret_public, SMQ_KEX_LEN);
}

static smq_err memo_kex_agree(enum smq_curve curve, const uint8_t secret[SMQ_KEX_LEN], const uint8_t peer[SMQ_KEX_LEN],
			      uint8_t ret_shared[SMQ_KEX_LEN])
{
	struct memo_asked a = memo_begin(2, (int)curve);
	struct memo_row *row;
	memo_ask(&a, secret, SMQ_KEX_LEN);
	memo_ask(&a, peer, SMQ_KEX_LEN);
	if (!memo_known(&a, &row))
		row->err = smq_crypto_openssl()->kex_agree(curve, secret, peer, row->answer);
	return memo_told(row, ret_shared, SMQ_KEX_LEN);
}

static smq_err memo_verify(enum smq_sig_id alg, smq_span public_key, const smq_span *parts, size_t count,
			   const uint8_t signature[SMQ_SIG_LEN])
{
	struct memo_asked a = memo_begin(3, (int)alg);
	struct memo_row *row;
	memo_ask(&a, public_key.p, public_key.len);
	for (size_t i = 0; i < count; i++)
		memo_ask(&a, parts[i].p, parts[i].len);
	memo_ask(&a, signature, SMQ_SIG_LEN);
	if (!memo_known(&a, &row))
		row->err = smq_crypto_openssl()->verify(alg, public_key, parts, count, signature);
	return row->err;
}

/* OpenSSL's, but for the three above. */
static inline const struct smq_crypto *memo_crypto(void)
{
	static struct smq_crypto crypto;
	crypto = *smq_crypto_openssl();
	crypto.kex_public = memo_kex_public;
	crypto.kex_agree = memo_kex_agree;
	crypto.verify = memo_verify;
	return &crypto;
}

/* ---- a signer; Ed25519 only, whose signatures come out the same each time ---- */

static smq_err memo_sign(void *self, const smq_span *parts, size_t count, uint8_t ret_signature[SMQ_SIG_LEN])
{
	const struct smq_signer *inner = self;
	struct memo_asked a = memo_begin(4, (int)inner->alg);
	struct memo_row *row;
	memo_ask(&a, &self, sizeof(self));
	for (size_t i = 0; i < count; i++)
		memo_ask(&a, parts[i].p, parts[i].len);
	if (!memo_known(&a, &row))
		row->err = inner->sign(inner->self, parts, count, row->answer);
	return memo_told(row, ret_signature, SMQ_SIG_LEN);
}

static smq_err memo_agree(void *self, enum smq_curve curve, const uint8_t peer[SMQ_KEX_LEN],
			  uint8_t ret_shared[SMQ_KEX_LEN])
{
	const struct smq_signer *inner = self;
	struct memo_asked a = memo_begin(5, (int)curve);
	struct memo_row *row;
	memo_ask(&a, &self, sizeof(self));
	memo_ask(&a, peer, SMQ_KEX_LEN);
	if (!memo_known(&a, &row))
		row->err = inner->agree(inner->self, curve, peer, row->answer);
	return memo_told(row, ret_shared, SMQ_KEX_LEN);
}

/* inner outlives what is returned, and owns the key. */
static inline struct smq_signer memo_signer(struct smq_signer *inner)
{
	return (struct smq_signer){ .self = inner,
				    .alg = inner->alg,
				    .sign = inner->sign ? memo_sign : NULL,
				    .agree = inner->agree ? memo_agree : NULL };
}

#endif
