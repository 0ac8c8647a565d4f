/* PEM text handed out, and the public half of what is read. */
#include "adapters/ca_openssl/ca_internal.h"

#include <stdlib.h>
#include <time.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/table.h"

void smq_pem_free(struct smq_pem *pem)
{
	if (pem->p)
		OPENSSL_cleanse(pem->p, pem->len);
	free(pem->p);
	*pem = (struct smq_pem){ NULL, 0 };
}

smq_err smq_pem_take(BIO *bio, struct smq_pem *ret_pem) { return smq_pem_written(bio, &ret_pem->p, &ret_pem->len); }

EVP_PKEY *smq_pem_read_public(smq_span pem)
{
	EVP_PKEY *key = smq_pem_key(pem);
	X509_REQ *request = key ? NULL : smq_pem_request(pem);
	X509 *cert = key || request ? NULL : smq_pem_cert(pem);
	if (request)
		key = X509_REQ_get_pubkey(request);
	else if (cert)
		key = X509_get_pubkey(cert);
	else if (!key)
		key = smq_pem_public_key(pem);
	X509_REQ_free(request);
	X509_free(cert);
	return key;
}

static EVP_PKEY *public_of(enum smq_curve curve, smq_span point)
{
	char group[8];
	memcpy(group, curve == SMQ_P384 ? "P-384" : "P-256", 6);
	OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
				OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)(uintptr_t)point.p,
								  point.len),
				OSSL_PARAM_construct_end() };
	if (curve == SMQ_ED25519)
		return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, point.p, point.len);
	EVP_PKEY *key = NULL;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1 || EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(ctx);
	return key;
}

smq_err smq_ca_public_of_point(enum smq_curve curve, smq_span point, struct smq_pem *ret_public)
{
	EVP_PKEY *key = public_of(curve, point);
	BIO *bio = BIO_new(BIO_s_mem());
	smq_err err = key ? SMQ_ERR_CRYPTO : SMQ_ERR_MALFORMED;
	if (key && bio && PEM_write_bio_PUBKEY(bio, key) == 1)
		err = smq_pem_take(bio, ret_public);
	BIO_free(bio);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return err;
}

bool smq_ca_time_ms(const ASN1_TIME *time, int64_t *ret_ms)
{
	struct tm tm;
	if (ASN1_TIME_to_tm(time, &tm) != 1)
		return false;
	*ret_ms = (int64_t)timegm(&tm) * 1000;
	return true;
}

/* RFC 5280, 4.1.2.5: UTCTime to 2049, GeneralizedTime after it; ASN1_TIME_adj chooses. */
bool smq_ca_set_time(ASN1_TIME *time, int64_t ms) { return ASN1_TIME_adj(time, (time_t)(ms / 1000), 0, 0) != NULL; }

bool smq_ca_set_serial(ASN1_INTEGER *to, const uint8_t serial[SMQ_SERIAL_LEN])
{
	BIGNUM *number = BN_bin2bn(serial, SMQ_SERIAL_LEN, NULL);
	bool ok = number && BN_to_ASN1_INTEGER(number, to) != NULL;
	BN_free(number);
	return ok;
}

enum smq_curve smq_ca_curve_of(const EVP_PKEY *key)
{
	static const struct {
		const char *group;
		enum smq_curve curve;
	} rows[] = { { "prime256v1", SMQ_P256 }, { "secp384r1", SMQ_P384 } };
	char group[32];

	if (EVP_PKEY_is_a(key, "ED25519"))
		return SMQ_ED25519;
	if (EVP_PKEY_is_a(key, "X25519"))
		return SMQ_X25519;
	if (!EVP_PKEY_is_a(key, "EC") ||
	    EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group), NULL) != 1)
		return 0;
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		if (strcmp(group, rows[i].group) == 0)
			return rows[i].curve;
	}
	return 0;
}

const EVP_MD *smq_ca_digest_for(const EVP_PKEY *key)
{
	enum smq_curve curve = smq_ca_curve_of(key);
	return curve == SMQ_ED25519 ? NULL : curve == SMQ_P384 ? EVP_sha384() : EVP_sha256();
}
