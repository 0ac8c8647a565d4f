/*
 * Signing what was made, by a key that is here or by one that is elsewhere.
 *
 * The library signs with keys of its own only. For one that is elsewhere a stand-in of the same kind signs first, which
 * puts the algorithm where it belongs; then the bytes to be signed are handed out, and the object is put together anew
 * around the signature that came back. It is verified before anybody gets it.
 */
#include <stdlib.h>

#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "adapters/ca_openssl/ca_internal.h"

enum { DER_SIG_MAX = 128, HEAD_MAX = 16 };

static EVP_PKEY *stand_in(enum smq_curve curve)
{
	if (curve == SMQ_ED25519)
		return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	return EVP_PKEY_Q_keygen(NULL, NULL, "EC", curve == SMQ_P384 ? "P-384" : "P-256");
}

/* Elliptic curves sign a digest, and X.509 wants r and s in DER. */
static smq_err sign_ec(const struct smq_ca_remote *r, const EVP_MD *md, smq_span tbs, uint8_t room[DER_SIG_MAX],
		       size_t *ret_len)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	uint8_t raw[SMQ_REMOTE_SIG_MAX];
	unsigned digest_len = 0;
	size_t len = 0;
	size_t half = r->curve == SMQ_P384 ? 48 : 32;
	uint8_t *p = room;
	if (EVP_Digest(tbs.p, tbs.len, digest, &digest_len, md, NULL) != 1)
		return SMQ_ERR_CRYPTO;
	smq_err err = r->sign(r->self, r->curve, smq_span_of(digest, digest_len), raw, &len);
	if (err != SMQ_OK || len != 2 * half)
		return err == SMQ_OK ? SMQ_ERR_CRYPTO : err;
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *a = BN_bin2bn(raw, (int)half, NULL);
	BIGNUM *b = BN_bin2bn(raw + half, (int)half, NULL);
	bool ok = sig && a && b && ECDSA_SIG_set0(sig, a, b) == 1;
	if (!ok) {
		BN_free(a);
		BN_free(b);
	}
	int der = ok ? i2d_ECDSA_SIG(sig, &p) : 0;
	ECDSA_SIG_free(sig);
	if (der <= 0)
		return SMQ_ERR_CRYPTO;
	*ret_len = (size_t)der;
	return SMQ_OK;
}

static smq_err sign_remotely(const struct smq_ca_remote *r, smq_span tbs, uint8_t room[DER_SIG_MAX], size_t *ret_len)
{
	if (r->curve != SMQ_ED25519)
		return sign_ec(r, r->curve == SMQ_P384 ? EVP_sha384() : EVP_sha256(), tbs, room, ret_len);
	return r->sign(r->self, r->curve, tbs, room, ret_len);
}

/* SEQUENCE { tbs, algorithm, BIT STRING signature }: certificates and lists alike. */
static uint8_t *wrap(smq_span tbs, const X509_ALGOR *alg, smq_span signature, long *ret_len)
{
	int alg_len = i2d_X509_ALGOR(alg, NULL);
	int bits = ASN1_object_size(0, (int)signature.len + 1, V_ASN1_BIT_STRING);
	long body = (long)tbs.len + alg_len + bits;
	uint8_t *der = alg_len > 0 && bits > 0 && body < INT32_MAX ? malloc((size_t)body + HEAD_MAX) : NULL;
	uint8_t *p = der;
	if (!der)
		return NULL;
	ASN1_put_object(&p, 1, (int)body, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL);
	memcpy(p, tbs.p, tbs.len);
	p += tbs.len;
	(void)i2d_X509_ALGOR(alg, &p);
	ASN1_put_object(&p, 0, (int)signature.len + 1, V_ASN1_BIT_STRING, V_ASN1_UNIVERSAL);
	*p++ = 0; /* no unused bits */
	memcpy(p, signature.p, signature.len);
	*ret_len = p + signature.len - der;
	return der;
}

static smq_err rebuild(const struct smq_ca_remote *r, smq_span tbs, const X509_ALGOR *alg, uint8_t **ret_der,
		       long *ret_len)
{
	uint8_t signature[DER_SIG_MAX];
	size_t len = 0;
	smq_err err = sign_remotely(r, tbs, signature, &len);
	if (err != SMQ_OK)
		return err;
	*ret_der = wrap(tbs, alg, smq_span_of(signature, len), ret_len);
	return *ret_der ? SMQ_OK : SMQ_ERR_NO_MEMORY;
}

/* ---- certificates ---- */

static smq_err sign_cert_remotely(const struct smq_ca_issuer *issuer, X509 **cert)
{
	EVP_PKEY *key = stand_in(issuer->remote.curve);
	const X509_ALGOR *alg = NULL;
	uint8_t *tbs = NULL;
	uint8_t *der = NULL;
	long der_len = 0;
	smq_err err = key && X509_sign(*cert, key, smq_ca_digest_for(key)) > 0 ? SMQ_OK : SMQ_ERR_CRYPTO;
	int len = err == SMQ_OK ? i2d_re_X509_tbs(*cert, &tbs) : 0;
	X509_get0_signature(NULL, &alg, *cert);
	if (len <= 0)
		err = SMQ_ERR_CRYPTO;
	if (err == SMQ_OK)
		err = rebuild(&issuer->remote, smq_span_of(tbs, (size_t)len), alg, &der, &der_len);
	const uint8_t *at = der;
	X509 *made = err == SMQ_OK ? d2i_X509(NULL, &at, der_len) : NULL;
	/* a root's own key is in itself */
	EVP_PKEY *public = made ? X509_get0_pubkey(issuer->cert ? issuer->cert : made) : NULL;
	if (err == SMQ_OK && (!public || X509_verify(made, public) != 1))
		err = SMQ_ERR_SIGNATURE;
	if (err == SMQ_OK) {
		X509_free(*cert);
		*cert = made;
	} else {
		X509_free(made);
	}
	free(der);
	OPENSSL_free(tbs);
	EVP_PKEY_free(key);
	return err;
}

smq_err smq_ca_sign_cert(const struct smq_ca_issuer *issuer, X509 **cert)
{
	if (issuer->remote.sign)
		return sign_cert_remotely(issuer, cert);
	return X509_sign(*cert, issuer->key, smq_ca_digest_for(issuer->key)) > 0 ? SMQ_OK : SMQ_ERR_CRYPTO;
}

/* ---- revocation lists ---- */

static smq_err sign_crl_remotely(const struct smq_ca_issuer *issuer, X509_CRL **crl)
{
	EVP_PKEY *key = stand_in(issuer->remote.curve);
	const X509_ALGOR *alg = NULL;
	uint8_t *tbs = NULL;
	uint8_t *der = NULL;
	long der_len = 0;
	smq_err err = key && X509_CRL_sign(*crl, key, smq_ca_digest_for(key)) > 0 ? SMQ_OK : SMQ_ERR_CRYPTO;
	int len = err == SMQ_OK ? i2d_re_X509_CRL_tbs(*crl, &tbs) : 0;
	X509_CRL_get0_signature(*crl, NULL, &alg);
	if (len <= 0)
		err = SMQ_ERR_CRYPTO;
	if (err == SMQ_OK)
		err = rebuild(&issuer->remote, smq_span_of(tbs, (size_t)len), alg, &der, &der_len);
	const uint8_t *at = der;
	X509_CRL *made = err == SMQ_OK ? d2i_X509_CRL(NULL, &at, der_len) : NULL;
	EVP_PKEY *public = X509_get0_pubkey(issuer->cert);
	if (err == SMQ_OK && (!made || !public || X509_CRL_verify(made, public) != 1))
		err = SMQ_ERR_SIGNATURE;
	if (err == SMQ_OK) {
		X509_CRL_free(*crl);
		*crl = made;
	} else {
		X509_CRL_free(made);
	}
	free(der);
	OPENSSL_free(tbs);
	EVP_PKEY_free(key);
	return err;
}

smq_err smq_ca_sign_crl(const struct smq_ca_issuer *issuer, X509_CRL **crl)
{
	if (issuer->remote.sign)
		return sign_crl_remotely(issuer, crl);
	return X509_CRL_sign(*crl, issuer->key, smq_ca_digest_for(issuer->key)) > 0 ? SMQ_OK : SMQ_ERR_CRYPTO;
}
