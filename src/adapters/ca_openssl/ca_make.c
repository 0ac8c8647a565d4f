/* Making keys, certificates and revocation lists, as PEM text. */
#include "adapters/ca_openssl/ca_make.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

enum { CERT_VERSION_3 = 2, CRL_VERSION_2 = 1 };

void smq_pem_free(struct smq_pem *pem)
{
	if (pem->p)
		OPENSSL_cleanse(pem->p, pem->len);
	free(pem->p);
	*pem = (struct smq_pem){ NULL, 0 };
}

/* Takes what a memory BIO holds, with a terminating zero beyond its length. */
static smq_err take(BIO *bio, struct smq_pem *ret_pem)
{
	char *data = NULL;
	long len = BIO_get_mem_data(bio, &data);
	uint8_t *copy = len > 0 ? malloc((size_t)len + 1) : NULL;
	if (!copy)
		return SMQ_ERR_NO_MEMORY;
	memcpy(copy, data, (size_t)len);
	copy[len] = 0;
	ret_pem->p = copy;
	ret_pem->len = (size_t)len;
	return SMQ_OK;
}

static int no_passphrase(char *buf, int size, int rwflag, void *u)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)u;
	return -1;
}

static BIO *reading(smq_span pem)
{
	return pem.len > 0 && pem.len < INT32_MAX ? BIO_new_mem_buf(pem.p, (int)pem.len) : NULL;
}

static EVP_PKEY *read_key(smq_span pem)
{
	BIO *bio = reading(pem);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
	BIO_free(bio);
	return key;
}

static X509 *read_cert(smq_span pem)
{
	BIO *bio = reading(pem);
	X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, no_passphrase, NULL) : NULL;
	BIO_free(bio);
	return cert;
}

smq_err smq_ca_make_key(enum smq_curve curve, struct smq_pem *ret_key)
{
	smq_err err = SMQ_ERR_CRYPTO;
	EVP_PKEY *key = NULL;
	BIO *bio = BIO_new(BIO_s_secmem());

	if (curve == SMQ_P256)
		key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	else if (curve == SMQ_ED25519)
		key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	else if (curve == SMQ_X25519)
		key = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	else
		err = SMQ_ERR_ALGORITHM;
	if (key && bio && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1)
		err = take(bio, ret_key);
	BIO_free(bio);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return err;
}

/* ---- extensions ---- */

static bool add_ext(X509 *cert, int nid, void *value, bool critical)
{
	return X509_add1_ext_i2d(cert, nid, value, critical, X509V3_ADD_DEFAULT) == 1;
}

static bool add_basic(X509 *cert, const struct smq_cert_template *t)
{
	BASIC_CONSTRAINTS *basic = BASIC_CONSTRAINTS_new();
	bool ok = basic != NULL;
	if (ok)
		basic->ca = t->authority ? 0xff : 0;
	if (ok && t->authority && t->path_len >= 0) {
		basic->pathlen = ASN1_INTEGER_new();
		ok = basic->pathlen && ASN1_INTEGER_set(basic->pathlen, t->path_len) == 1;
	}
	ok = ok && add_ext(cert, NID_basic_constraints, basic, true);
	BASIC_CONSTRAINTS_free(basic);
	return ok;
}

static bool add_key_usage(X509 *cert, unsigned usage)
{
	static const struct {
		unsigned bit;
		int position; /* in the ASN.1 bit string */
	} rows[] = { { SMQ_KEY_USAGE_SIGN, 0 },
		     { SMQ_KEY_USAGE_AGREE, 4 },
		     { SMQ_KEY_USAGE_ISSUE, 5 },
		     { SMQ_KEY_USAGE_ISSUE, 6 } };
	ASN1_BIT_STRING *bits = ASN1_BIT_STRING_new();
	bool ok = bits != NULL;
	if (usage == 0) {
		ASN1_BIT_STRING_free(bits);
		return true;
	}
	for (size_t i = 0; ok && i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (usage & rows[i].bit)
			ok = ASN1_BIT_STRING_set_bit(bits, rows[i].position, 1) == 1;
	}
	ok = ok && add_ext(cert, NID_key_usage, bits, true);
	ASN1_BIT_STRING_free(bits);
	return ok;
}

static bool add_usages(X509 *cert, const struct smq_cert_template *t)
{
	EXTENDED_KEY_USAGE *usages = EXTENDED_KEY_USAGE_new();
	bool ok = usages != NULL;
	for (size_t i = 0; ok && i < SMQ_USAGES_MAX && t->usages[i]; i++) {
		ASN1_OBJECT *oid = OBJ_txt2obj(t->usages[i], 1);
		ok = oid && sk_ASN1_OBJECT_push(usages, oid) > 0;
		if (!ok)
			ASN1_OBJECT_free(oid);
	}
	if (ok && sk_ASN1_OBJECT_num(usages) > 0)
		ok = add_ext(cert, NID_ext_key_usage, usages, false);
	EXTENDED_KEY_USAGE_free(usages);
	return ok;
}

static bool push_name(GENERAL_NAMES *names, int type, const char *text)
{
	GENERAL_NAME *name = a2i_GENERAL_NAME(NULL, NULL, NULL, type, text, 0);
	if (name && sk_GENERAL_NAME_push(names, name) > 0)
		return true;
	GENERAL_NAME_free(name);
	return false;
}

static bool add_alt_names(X509 *cert, const struct smq_cert_template *t)
{
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	bool ok = names != NULL;
	if (ok && t->uri)
		ok = push_name(names, GEN_URI, t->uri);
	if (ok && t->second_uri)
		ok = push_name(names, GEN_URI, t->second_uri);
	for (size_t i = 0; ok && i < SMQ_ALT_NAMES_MAX && t->dns[i]; i++)
		ok = push_name(names, GEN_DNS, t->dns[i]);
	for (size_t i = 0; ok && i < SMQ_ALT_NAMES_MAX && t->ip[i]; i++)
		ok = push_name(names, GEN_IPADD, t->ip[i]);
	if (ok && sk_GENERAL_NAME_num(names) > 0)
		ok = add_ext(cert, NID_subject_alt_name, names, false);
	GENERAL_NAMES_free(names);
	return ok;
}

/* Subject and authority key identifiers, which the library derives from the two certificates. */
static bool add_identifiers(X509 *cert, X509 *issuer)
{
	static const int nids[] = { NID_subject_key_identifier, NID_authority_key_identifier };
	static const char *const values[] = { "hash", "keyid:always" };
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	for (size_t i = 0; i < 2; i++) {
		X509_EXTENSION *ext = X509V3_EXT_nconf_nid(NULL, &ctx, nids[i], values[i]);
		bool ok = ext && X509_add_ext(cert, ext, -1) == 1;
		X509_EXTENSION_free(ext);
		if (!ok)
			return false;
	}
	return true;
}

/* ---- certificates ---- */

/* RFC 5280, 4.1.2.5: UTCTime to 2049, GeneralizedTime after it; ASN1_TIME_adj chooses. */
static bool set_time(ASN1_TIME *time, int64_t ms) { return ASN1_TIME_adj(time, (time_t)(ms / 1000), 0, 0) != NULL; }

static bool set_serial(ASN1_INTEGER *to, const uint8_t serial[SMQ_SERIAL_LEN])
{
	BIGNUM *number = BN_bin2bn(serial, SMQ_SERIAL_LEN, NULL);
	bool ok = number && BN_to_ASN1_INTEGER(number, to) != NULL;
	BN_free(number);
	return ok;
}

static bool add_name(X509 *cert, const char *name)
{
	return !name || X509_NAME_add_entry_by_NID(X509_get_subject_name(cert), NID_commonName, MBSTRING_UTF8,
						   (const uint8_t *)name, -1, -1, 0) == 1;
}

static bool fill_body(X509 *cert, const struct smq_cert_template *t, EVP_PKEY *key, X509 *issuer)
{
	if (!add_name(cert, t->common_name) || !add_name(cert, t->second_name))
		return false;
	return X509_set_version(cert, CERT_VERSION_3) == 1 && set_serial(X509_get_serialNumber(cert), t->serial) &&
	       set_time(X509_getm_notBefore(cert), t->not_before_ms) &&
	       set_time(X509_getm_notAfter(cert), t->not_after_ms) && X509_set_pubkey(cert, key) == 1 &&
	       X509_set_issuer_name(cert, X509_get_subject_name(issuer ? issuer : cert)) == 1;
}

static const EVP_MD *digest_for(const EVP_PKEY *key) { return EVP_PKEY_is_a(key, "ED25519") ? NULL : EVP_sha256(); }

static smq_err build(const struct smq_cert_template *t, EVP_PKEY *key, X509 *issuer, EVP_PKEY *signing,
		     struct smq_pem *ret_cert)
{
	smq_err err = SMQ_ERR_CRYPTO;
	X509 *cert = X509_new();
	BIO *bio = BIO_new(BIO_s_mem());

	if (!cert || !bio || !fill_body(cert, t, key, issuer) || !add_basic(cert, t) ||
	    !add_key_usage(cert, t->key_usage) || !add_identifiers(cert, issuer ? issuer : cert))
		goto out;
	if (!add_usages(cert, t) || !add_alt_names(cert, t)) {
		err = SMQ_ERR_USAGE;
		goto out;
	}
	if (X509_sign(cert, signing, digest_for(signing)) > 0 && PEM_write_bio_X509(bio, cert) == 1)
		err = take(bio, ret_cert);
out:
	BIO_free(bio);
	X509_free(cert);
	return err;
}

smq_err smq_ca_make_cert(const struct smq_cert_template *t, smq_span key_pem, smq_span issuer_cert_pem,
			 smq_span issuer_key_pem, struct smq_pem *ret_cert)
{
	bool self_signed = issuer_cert_pem.len == 0;
	EVP_PKEY *key = read_key(key_pem);
	X509 *issuer = self_signed ? NULL : read_cert(issuer_cert_pem);
	EVP_PKEY *signing = self_signed ? NULL : read_key(issuer_key_pem);
	smq_err err = SMQ_ERR_MALFORMED;

	if (key && (self_signed || (issuer && signing)))
		err = build(t, key, issuer, self_signed ? key : signing, ret_cert);
	EVP_PKEY_free(signing);
	X509_free(issuer);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return err;
}

static bool time_ms(const ASN1_TIME *time, int64_t *ret_ms)
{
	struct tm tm;
	if (ASN1_TIME_to_tm(time, &tm) != 1)
		return false;
	*ret_ms = (int64_t)timegm(&tm) * 1000;
	return true;
}

smq_err smq_ca_validity(smq_span cert_pem, int64_t *ret_not_before_ms, int64_t *ret_not_after_ms)
{
	X509 *cert = read_cert(cert_pem);
	int64_t from = 0;
	int64_t until = 0;
	bool ok = cert && time_ms(X509_get0_notBefore(cert), &from) && time_ms(X509_get0_notAfter(cert), &until);
	X509_free(cert);
	ERR_clear_error();
	if (!ok)
		return SMQ_ERR_MALFORMED;
	*ret_not_before_ms = from;
	*ret_not_after_ms = until;
	return SMQ_OK;
}

smq_err smq_ca_fingerprint(smq_span cert_pem, uint8_t ret_hash[SMQ_HASH_LEN])
{
	X509 *cert = read_cert(cert_pem);
	smq_err err = SMQ_ERR_MALFORMED;
	if (cert)
		err = X509_digest(cert, EVP_sha256(), ret_hash, NULL) == 1 ? SMQ_OK : SMQ_ERR_CRYPTO;
	X509_free(cert);
	ERR_clear_error();
	return err;
}

/* ---- revocation lists ---- */

static bool add_revoked(X509_CRL *crl, const uint8_t serial[SMQ_SERIAL_LEN], int64_t when_ms)
{
	X509_REVOKED *entry = X509_REVOKED_new();
	ASN1_INTEGER *number = ASN1_INTEGER_new();
	ASN1_TIME *when = ASN1_TIME_new();
	bool ok = entry && number && when && set_serial(number, serial) && set_time(when, when_ms) &&
		  X509_REVOKED_set_serialNumber(entry, number) == 1 &&
		  X509_REVOKED_set_revocationDate(entry, when) == 1 && X509_CRL_add0_revoked(crl, entry) == 1;
	if (!ok)
		X509_REVOKED_free(entry);
	ASN1_INTEGER_free(number);
	ASN1_TIME_free(when);
	return ok;
}

static bool fill_crl(X509_CRL *crl, X509 *issuer, int64_t number, int64_t this_update_ms, int64_t next_update_ms)
{
	ASN1_TIME *from = ASN1_TIME_new();
	ASN1_TIME *until = ASN1_TIME_new();
	ASN1_INTEGER *n = ASN1_INTEGER_new();
	X509V3_CTX ctx;
	X509_EXTENSION *aki = NULL;

	X509V3_set_ctx(&ctx, issuer, NULL, NULL, crl, 0);
	aki = X509V3_EXT_nconf_nid(NULL, &ctx, NID_authority_key_identifier, "keyid:always");
	bool ok = from && until && n && aki && set_time(from, this_update_ms) && set_time(until, next_update_ms) &&
		  ASN1_INTEGER_set_int64(n, number) == 1 && X509_CRL_set_version(crl, CRL_VERSION_2) == 1 &&
		  X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer)) == 1 &&
		  X509_CRL_set1_lastUpdate(crl, from) == 1 && X509_CRL_set1_nextUpdate(crl, until) == 1 &&
		  X509_CRL_add_ext(crl, aki, -1) == 1 &&
		  X509_CRL_add1_ext_i2d(crl, NID_crl_number, n, 0, X509V3_ADD_DEFAULT) == 1;
	X509_EXTENSION_free(aki);
	ASN1_INTEGER_free(n);
	ASN1_TIME_free(from);
	ASN1_TIME_free(until);
	return ok;
}

smq_err smq_ca_make_crl(smq_span issuer_cert_pem, smq_span issuer_key_pem, const uint8_t (*serials)[SMQ_SERIAL_LEN],
			size_t count, int64_t number, int64_t this_update_ms, int64_t next_update_ms,
			struct smq_pem *ret_crl)
{
	X509 *issuer = read_cert(issuer_cert_pem);
	EVP_PKEY *key = read_key(issuer_key_pem);
	X509_CRL *crl = X509_CRL_new();
	BIO *bio = BIO_new(BIO_s_mem());
	smq_err err = issuer && key ? SMQ_ERR_CRYPTO : SMQ_ERR_MALFORMED;
	bool ok = issuer && key && crl && bio && fill_crl(crl, issuer, number, this_update_ms, next_update_ms);

	for (size_t i = 0; ok && i < count; i++)
		ok = add_revoked(crl, serials[i], this_update_ms);
	ok = ok && X509_CRL_sort(crl) == 1 && X509_CRL_sign(crl, key, digest_for(key)) > 0 &&
	     PEM_write_bio_X509_CRL(bio, crl) == 1;
	if (ok)
		err = take(bio, ret_crl);
	BIO_free(bio);
	X509_CRL_free(crl);
	EVP_PKEY_free(key);
	X509_free(issuer);
	ERR_clear_error();
	return err;
}
