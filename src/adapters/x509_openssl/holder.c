/* Who a certificate speaks of: name, roles and key, each in exactly one way or not at all. */
#include <time.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>

#include <openssl/err.h>

#include "adapters/x509_openssl/x509_internal.h"
#include "app/roles.h"
#include "base/text.h"
#include "wire/cbor.h"

X509 *smq_x509_parse(smq_span der)
{
	const uint8_t *at = der.p;
	X509 *cert = der.len > 0 && der.len <= CERT_DER_MAX ? d2i_X509(NULL, &at, (long)der.len) : NULL;
	if (cert && at != der.p + der.len) {
		X509_free(cert);
		cert = NULL;
	}
	return cert;
}

int64_t smq_x509_time_ms(const ASN1_TIME *time)
{
	struct tm tm;
	return ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) * 1000 : INT64_MIN;
}

/* The common name; empty unless there is exactly one. */
static smq_span common_name(X509 *cert)
{
	const X509_NAME *subject = X509_get_subject_name(cert);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0)
		return smq_span_of(NULL, 0);
	const ASN1_STRING *text = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
	return smq_span_of(ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text));
}

/* The URI "sealmq:..." among the alternative names, without its scheme; empty unless there is exactly one. */
static smq_span our_uri(const GENERAL_NAMES *names)
{
	static const char scheme[] = "sealmq:";
	const size_t scheme_len = sizeof(scheme) - 1;
	smq_span found = { NULL, 0 };
	int count = 0;

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		if (name->type != GEN_URI)
			continue;
		const uint8_t *p = ASN1_STRING_get0_data(name->d.uniformResourceIdentifier);
		size_t len = (size_t)ASN1_STRING_length(name->d.uniformResourceIdentifier);
		if (len < scheme_len || memcmp(p, scheme, scheme_len) != 0)
			continue;
		found = smq_span_of(p + scheme_len, len - scheme_len);
		count++;
	}
	return count == 1 ? found : smq_span_of(NULL, 0);
}

/* The URI's realm is ours, its name is a valid one, and the common name says the same. */
static smq_err read_name(X509 *cert, const char *realm, char ret_name[SMQ_MEMBER_NAME_MAX + 1])
{
	smq_err err = SMQ_ERR_CERT_NAME;
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	smq_span uri = names ? our_uri(names) : smq_span_of(NULL, 0);
	size_t realm_len = strlen(realm);

	if (uri.len > realm_len && memcmp(uri.p, realm, realm_len) == 0 && uri.p[realm_len] == '/') {
		smq_span name = smq_span_of(uri.p + realm_len + 1, uri.len - realm_len - 1);
		if (smq_name_valid(name) && smq_span_equal(name, common_name(cert))) {
			memcpy(ret_name, name.p, name.len);
			ret_name[name.len] = 0;
			err = SMQ_OK;
		}
	}
	GENERAL_NAMES_free(names);
	return err;
}

static unsigned role_of(const ASN1_OBJECT *usage)
{
	char oid[80];
	int len = OBJ_obj2txt(oid, sizeof(oid), usage, 1);
	for (size_t i = 0; len > 0 && len < (int)sizeof(oid) && i < SMQ_ROLE_COUNT; i++) {
		if (strcmp(oid, smq_role_rows[i].oid) == 0)
			return smq_role_rows[i].role;
	}
	return 0;
}

/* "Any usage" is no role: what a certificate may be must be said in it. */
static smq_err read_roles(X509 *cert, unsigned *ret_roles)
{
	unsigned roles = 0;
	EXTENDED_KEY_USAGE *usages = X509_get_ext_d2i(cert, NID_ext_key_usage, NULL, NULL);
	for (int i = 0; usages && i < sk_ASN1_OBJECT_num(usages); i++)
		roles |= role_of(sk_ASN1_OBJECT_value(usages, i));
	EXTENDED_KEY_USAGE_free(usages);
	if (!(roles & (SMQ_ROLE_MEMBER | SMQ_ROLE_KEYSERVER | SMQ_ROLE_ADMIN)))
		return SMQ_ERR_CERT_USAGE;
	*ret_roles = roles;
	return SMQ_OK;
}

static smq_err read_p256(const EVP_PKEY *key, struct smq_credential *c)
{
	char group[32];
	size_t len = 0;
	if (EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group), NULL) != 1 ||
	    strcmp(group, "prime256v1") != 0)
		return SMQ_ERR_CERT_INVALID;
	if (EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, c->public_key, sizeof(c->public_key), &len) !=
		1 ||
	    len != SMQ_PUBLIC_KEY_MAX || c->public_key[0] != 4)
		return SMQ_ERR_CERT_INVALID;
	c->public_key_len = len;
	return SMQ_OK;
}

/* A curve decides what a key can do, the key usage what it may do; a key that may do nothing of ours is refused. */
static smq_err read_key(X509 *cert, struct smq_credential *c)
{
	uint32_t usage = X509_get_extension_flags(cert) & EXFLAG_KUSAGE ? X509_get_key_usage(cert) : 0;
	bool may_sign = usage & KU_DIGITAL_SIGNATURE;
	bool may_agree = usage & KU_KEY_AGREEMENT;
	EVP_PKEY *key = X509_get0_pubkey(cert);
	size_t len = sizeof(c->public_key);

	if (!key)
		return SMQ_ERR_CERT_INVALID;
	if (EVP_PKEY_is_a(key, "EC")) {
		c->sig_alg = SMQ_ES256;
		c->dh_curve = may_agree ? SMQ_P256 : 0;
		return may_sign ? read_p256(key, c) : SMQ_ERR_CERT_USAGE;
	}
	if (EVP_PKEY_get_raw_public_key(key, c->public_key, &len) != 1 || len != SMQ_KEX_LEN)
		return SMQ_ERR_CERT_INVALID;
	c->public_key_len = len;
	if (EVP_PKEY_is_a(key, "ED25519")) {
		c->sig_alg = SMQ_EDDSA;
		return may_sign ? SMQ_OK : SMQ_ERR_CERT_USAGE;
	}
	if (!EVP_PKEY_is_a(key, "X25519"))
		return SMQ_ERR_CERT_INVALID;
	c->dh_curve = SMQ_X25519; /* sig_alg stays 0: no algorithm verifies with it */
	return may_agree && !may_sign ? SMQ_OK : SMQ_ERR_CERT_USAGE;
}

static smq_err read_cred(X509 *cert, struct smq_credential *c)
{
	struct smq_writer w = smq_writer_on(smq_mspan_of(c->cred, sizeof(c->cred)));
	int len = i2d_X509(cert, NULL);
	if (len <= 0 || len > CERT_DER_MAX)
		return SMQ_ERR_TOO_LARGE;
	smq_cbor_put_bytes_head(&w, (size_t)len);
	uint8_t *at = smq_write_reserve(&w, (size_t)len);
	if (!at || i2d_X509(cert, &at) != len)
		return SMQ_ERR_TOO_LARGE;
	return smq_writer_end(&w, &c->cred_len);
}

smq_err smq_x509_holder(X509 *cert, const char *realm, struct smq_credential *ret_credential)
{
	struct smq_credential c = { .name = "" };
	smq_err err = SMQ_OK;

	if (X509_check_ca(cert) > 0)
		err = SMQ_ERR_CERT_USAGE; /* an authority is nobody's name */
	if (err == SMQ_OK)
		err = read_roles(cert, &c.roles);
	if (err == SMQ_OK)
		err = read_key(cert, &c);
	if (err == SMQ_OK)
		err = read_name(cert, realm, c.name);
	if (err == SMQ_OK)
		err = read_cred(cert, &c);
	if (err == SMQ_OK && X509_digest(cert, EVP_sha256(), c.id, NULL) != 1)
		err = SMQ_ERR_CRYPTO;
	c.expires_ms = smq_x509_time_ms(X509_get0_notAfter(cert));
	if (err == SMQ_OK)
		*ret_credential = c;
	return err;
}

enum smq_sig_id smq_x509_leaf_alg(smq_span id_cred)
{
	struct smq_id_cred id;
	if (smq_id_cred_decode(id_cred, &id) != SMQ_OK || id.cert_count == 0)
		return (enum smq_sig_id)0;
	X509 *cert = smq_x509_parse(id.certs[0]);
	EVP_PKEY *key = cert ? X509_get0_pubkey(cert) : NULL;
	int kind = key ? EVP_PKEY_get_base_id(key) : 0;
	X509_free(cert);
	ERR_clear_error();
	return kind == EVP_PKEY_EC ? SMQ_ES256 : kind == EVP_PKEY_ED25519 ? SMQ_EDDSA : (enum smq_sig_id)0;
}
