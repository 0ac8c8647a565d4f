/*
 * EDHOC's suites, transcript hashes and key schedule (RFC 9528, 4 and 10.2): pure functions over the crypto port.
 *
 * Nothing is kept here; the machine (edhoc.c) says when. Every suite hashes with SHA-256.
 */
#ifndef SMQ_CORE_EDHOC_KEYS_H
#define SMQ_CORE_EDHOC_KEYS_H

#include <sealmq/crypto.h>

struct smq_edhoc_suite {
	int id;
	enum smq_aead_id aead;
	size_t mac_len; /* of MAC_2 and MAC_3 where static DH authenticates */
	enum smq_curve curve;
	enum smq_sig_id sig;
};

const struct smq_edhoc_suite *smq_edhoc_suite_by_id(int id); /* NULL if there is none */

struct smq_edhoc_hash {
	uint8_t b[SMQ_HASH_LEN];
};

/* A pseudorandom key of the schedule: PRK_2e, PRK_3e2m, PRK_4e3m, PRK_out. */
struct smq_edhoc_prk {
	uint8_t b[SMQ_HASH_LEN];
};

/* The label of everything that EDHOC_KDF derives (RFC 9528, figure 6). */
enum smq_edhoc_label {
	SMQ_EDHOC_KEYSTREAM_2 = 0,
	SMQ_EDHOC_SALT_3E2M = 1,
	SMQ_EDHOC_MAC_2 = 2,
	SMQ_EDHOC_K_3 = 3,
	SMQ_EDHOC_IV_3 = 4,
	SMQ_EDHOC_SALT_4E3M = 5,
	SMQ_EDHOC_MAC_3 = 6,
	SMQ_EDHOC_PRK_OUT = 7,
	SMQ_EDHOC_K_4 = 8,
	SMQ_EDHOC_IV_4 = 9,
	SMQ_EDHOC_PRK_EXPORTER = 10,
	SMQ_EDHOC_UPDATE = 11
};

/* TH_2 = H(G_Y, H(message_1)) */
SMQ_MUST_USE smq_err smq_edhoc_th_2(const struct smq_crypto *crypto, smq_span g_y,
				    const struct smq_edhoc_hash *message_1_hash, struct smq_edhoc_hash *ret_th);
/* TH_3 = H(TH_2, PLAINTEXT_2, CRED_R), TH_4 = H(TH_3, PLAINTEXT_3, CRED_I). ret_th may be th. */
SMQ_MUST_USE smq_err smq_edhoc_th_next(const struct smq_crypto *crypto, const struct smq_edhoc_hash *th,
				       smq_span plaintext, smq_span cred, struct smq_edhoc_hash *ret_th);

/* PRK_2e = EDHOC_Extract(TH_2, G_XY) */
SMQ_MUST_USE smq_err smq_edhoc_prk_2e(const struct smq_crypto *crypto, const struct smq_edhoc_hash *th_2,
				      const uint8_t g_xy[SMQ_KEX_LEN], struct smq_edhoc_prk *ret_prk);
/* PRK_3e2m (salt SMQ_EDHOC_SALT_3E2M, from PRK_2e, TH_2, G_RX) or PRK_4e3m (.._4E3M, PRK_3e2m, TH_3, G_IY). */
SMQ_MUST_USE smq_err smq_edhoc_prk_mix(const struct smq_crypto *crypto, const struct smq_edhoc_prk *prk,
				       enum smq_edhoc_label salt, const struct smq_edhoc_hash *th,
				       const uint8_t shared[SMQ_KEX_LEN], struct smq_edhoc_prk *ret_prk);

/* EDHOC_KDF(prk, label, context, ret_okm.len); context is the content of the byte string. */
SMQ_MUST_USE smq_err smq_edhoc_kdf(const struct smq_crypto *crypto, const struct smq_edhoc_prk *prk, uint64_t label,
				   smq_span context, smq_mspan ret_okm);
/* The same with a transcript hash as the context. */
SMQ_MUST_USE smq_err smq_edhoc_kdf_th(const struct smq_crypto *crypto, const struct smq_edhoc_prk *prk, uint64_t label,
				      const struct smq_edhoc_hash *th, smq_mspan ret_okm);
/* EDHOC_Exporter(label, context, ret_key.len) from PRK_out. */
SMQ_MUST_USE smq_err smq_edhoc_exporter(const struct smq_crypto *crypto, const struct smq_edhoc_prk *prk_out,
					uint64_t label, smq_span context, smq_mspan ret_key);

/* What a party authenticates: the fields of context_2 or context_3. */
struct smq_edhoc_proof {
	int n;        /* 2: responder, 3: initiator */
	smq_span c_r; /* C_R as it was encoded; empty where n is 3 */
	smq_span id_cred;
	const struct smq_edhoc_hash *th; /* TH_2 or TH_3 */
	smq_span cred;
	smq_span ead;
};

/* MAC_2 or MAC_3, of ret_mac.len bytes. */
SMQ_MUST_USE smq_err smq_edhoc_mac(const struct smq_crypto *crypto, const struct smq_edhoc_prk *prk,
				   const struct smq_edhoc_proof *proof, smq_mspan ret_mac);
/* The COSE_Sign1 signature over the MAC (RFC 9528, 5.3.2 and 5.4.2). */
SMQ_MUST_USE smq_err smq_edhoc_sign(const struct smq_signer *signer, const struct smq_edhoc_proof *proof, smq_span mac,
				    uint8_t ret_signature[SMQ_SIG_LEN]);
SMQ_MUST_USE smq_err smq_edhoc_verify(const struct smq_crypto *crypto, enum smq_sig_id alg, smq_span public_key,
				      const struct smq_edhoc_proof *proof, smq_span mac,
				      const uint8_t signature[SMQ_SIG_LEN]);

/* What message_3 (n 3: PRK_3e2m, TH_3) and message_4 (n 4: PRK_4e3m, TH_4) are sealed with. */
struct smq_edhoc_cipher {
	const struct smq_crypto *crypto;
	const struct smq_aead_alg *alg;
	const struct smq_edhoc_prk *prk;
	const struct smq_edhoc_hash *th;
	int n;
};

/* ret_ciphertext takes plaintext.len + alg->tag_len bytes. */
SMQ_MUST_USE smq_err smq_edhoc_seal(const struct smq_edhoc_cipher *cipher, smq_span plaintext, uint8_t *ret_ciphertext);
/* ret_plaintext takes ciphertext.len - alg->tag_len bytes; SMQ_ERR_OPEN, SMQ_ERR_TRUNCATED. */
SMQ_MUST_USE smq_err smq_edhoc_open(const struct smq_edhoc_cipher *cipher, smq_span ciphertext, uint8_t *ret_plaintext);

#endif
