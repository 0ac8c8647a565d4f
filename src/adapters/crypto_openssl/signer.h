/*
 * Signers over OpenSSL: a member's private key from the bytes of its PEM file, or from raw bytes.
 *
 * What is made here is released with smq_openssl_signer_free, which wipes the key.
 */
#ifndef SMQ_CRYPTO_OPENSSL_SIGNER_H
#define SMQ_CRYPTO_OPENSSL_SIGNER_H

#include <stdbool.h>

#include <sealmq/crypto.h>

/*
 * A PEM private key (PKCS#8 or SEC 1, not encrypted): P-256, Ed25519 or X25519. may_agree: whether .agree is
 * offered, for P-256 and X25519. Anything else: SMQ_ERR_MALFORMED, another kind of key: SMQ_ERR_ALGORITHM.
 */
SMQ_MUST_USE smq_err smq_openssl_signer_from_pem(smq_span pem, bool may_agree, struct smq_signer *ret_signer);

/* From 32 secret bytes; P-256 and X25519 may agree, P-256 and Ed25519 may sign. For tests and vectors. */
SMQ_MUST_USE smq_err smq_openssl_signer_from_raw(enum smq_curve curve, const uint8_t secret[SMQ_KEX_LEN],
						 struct smq_signer *ret_signer);

/* Its public key: 65 bytes for P-256, 32 for the others. */
SMQ_MUST_USE smq_err smq_openssl_signer_public(const struct smq_signer *signer, uint8_t ret_key[SMQ_PUBLIC_KEY_MAX],
					       size_t *ret_len);
/* A PEM public key (SubjectPublicKeyInfo) of P-256, checked to be a point of the curve. SMQ_ERR_MALFORMED: no public
 * key; SMQ_ERR_UNSAFE_FILE: it is a private one; SMQ_ERR_ALGORITHM: another kind. */
SMQ_MUST_USE smq_err smq_openssl_p256_from_pem(smq_span pem, uint8_t ret_point[SMQ_PUBLIC_KEY_MAX]);
enum smq_curve smq_openssl_signer_curve(const struct smq_signer *signer);

/* Also fine on a zeroed struct. */
void smq_openssl_signer_free(struct smq_signer *signer);

/* This thread's memory of signatures that have just verified (verify.c): where many members live in one process and
 * each is to do its own work, as in a simulation that measures it. */
void smq_openssl_forget_verified(void);

#endif
