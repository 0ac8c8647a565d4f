/* Making keys and certificates, as PEM text. */
#include "adapters/ca_openssl/ca_make.h"

#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "adapters/ca_openssl/ca_internal.h"

enum { CERT_VERSION_3 = 2 };

static EVP_PKEY *generate(enum smq_curve curve)
{
	switch (curve) {
	case SMQ_P256:
		return EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	case SMQ_P384:
		return EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384");
	case SMQ_ED25519:
		return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	case SMQ_X25519:
		return EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	default:
		return NULL;
	}
}

static smq_err put_key(EVP_PKEY *key, struct smq_pem *ret_key)
{
	BIO *bio = BIO_new(BIO_s_secmem());
	smq_err err = SMQ_ERR_CRYPTO;
	if (bio && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1)
		err = smq_pem_take(bio, ret_key);
	BIO_free(bio);
	return err;
}

smq_err smq_ca_make_key(enum smq_curve curve, struct smq_pem *ret_key)
{
	EVP_PKEY *key = generate(curve);
	smq_err err = key ? put_key(key, ret_key) : SMQ_ERR_ALGORITHM;
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

static bool add_limits(X509 *cert, const char *limits)
{
	X509V3_CTX ctx;
	if (!limits)
		return true;
	X509V3_set_ctx(&ctx, NULL, cert, NULL, NULL, 0);
	X509_EXTENSION *ext = X509V3_EXT_nconf_nid(NULL, &ctx, NID_name_constraints, limits);
	bool ok = ext && X509_add_ext(cert, ext, -1) == 1;
	X509_EXTENSION_free(ext);
	return ok;
}

/* ---- certificates ---- */

static bool add_name(X509 *cert, const char *name)
{
	return !name || X509_NAME_add_entry_by_NID(X509_get_subject_name(cert), NID_commonName, MBSTRING_UTF8,
						   (const uint8_t *)name, -1, -1, 0) == 1;
}

static bool fill_body(X509 *cert, const struct smq_cert_template *t, EVP_PKEY *key, X509 *issuer)
{
	if (!add_name(cert, t->common_name) || !add_name(cert, t->second_name))
		return false;
	return X509_set_version(cert, CERT_VERSION_3) == 1 &&
	       smq_ca_set_serial(X509_get_serialNumber(cert), t->serial) &&
	       smq_ca_set_time(X509_getm_notBefore(cert), t->not_before_ms) &&
	       smq_ca_set_time(X509_getm_notAfter(cert), t->not_after_ms) && X509_set_pubkey(cert, key) == 1 &&
	       X509_set_issuer_name(cert, X509_get_subject_name(issuer ? issuer : cert)) == 1;
}

static smq_err build(const struct smq_cert_template *t, EVP_PKEY *key, const struct smq_ca_issuer *signing,
		     struct smq_pem *ret_cert)
{
	smq_err err = SMQ_ERR_CRYPTO;
	X509 *issuer = signing->cert;
	X509 *cert = X509_new();
	BIO *bio = BIO_new(BIO_s_mem());

	if (!cert || !bio || !fill_body(cert, t, key, issuer) || !add_basic(cert, t) ||
	    !add_key_usage(cert, t->key_usage) || !add_identifiers(cert, issuer ? issuer : cert))
		goto out;
	if (!add_usages(cert, t) || !add_alt_names(cert, t) || !add_limits(cert, t->limits)) {
		err = SMQ_ERR_USAGE;
		goto out;
	}
	err = smq_ca_sign_cert(signing, &cert);
	if (err == SMQ_OK)
		err = PEM_write_bio_X509(bio, cert) == 1 ? smq_pem_take(bio, ret_cert) : SMQ_ERR_CRYPTO;
out:
	BIO_free(bio);
	X509_free(cert);
	return err;
}

smq_err smq_ca_make_cert(const struct smq_cert_template *t, smq_span key_pem, smq_span issuer_cert_pem,
			 smq_span issuer_key_pem, struct smq_pem *ret_cert)
{
	bool self_signed = issuer_cert_pem.len == 0;
	EVP_PKEY *key = self_signed ? smq_pem_key(key_pem) : smq_pem_read_public(key_pem);
	X509 *issuer = self_signed ? NULL : smq_pem_cert(issuer_cert_pem);
	EVP_PKEY *signing = self_signed ? NULL : smq_pem_key(issuer_key_pem);
	smq_err err = SMQ_ERR_MALFORMED;

	if (key && (self_signed || (issuer && signing))) {
		const struct smq_ca_issuer by = { .cert = issuer, .key = self_signed ? key : signing };
		err = build(t, key, &by, ret_cert);
	}
	EVP_PKEY_free(signing);
	X509_free(issuer);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return err;
}

/* ---- many ---- */

smq_err smq_ca_issuer_new(smq_span cert_pem, smq_span key_pem, struct smq_ca_issuer **ret_issuer)
{
	struct smq_ca_issuer *i = calloc(1, sizeof(*i));
	if (!i)
		return SMQ_ERR_NO_MEMORY;
	i->cert = smq_pem_cert(cert_pem);
	i->key = smq_pem_key(key_pem);
	ERR_clear_error();
	if (!i->cert || !i->key) {
		smq_ca_issuer_free(i);
		return SMQ_ERR_MALFORMED;
	}
	*ret_issuer = i;
	return SMQ_OK;
}

void smq_ca_issuer_free(struct smq_ca_issuer *issuer)
{
	if (!issuer)
		return;
	X509_free(issuer->cert);
	EVP_PKEY_free(issuer->key);
	if (issuer->remote.free)
		issuer->remote.free(issuer->remote.self);
	free(issuer);
}

smq_err smq_ca_issuer_make(const struct smq_ca_issuer *issuer, const struct smq_cert_template *t, enum smq_curve curve,
			   struct smq_pem *ret_key, struct smq_pem *ret_cert)
{
	struct smq_pem pem = { NULL, 0 };
	EVP_PKEY *key = generate(curve);
	smq_err err = key ? put_key(key, &pem) : SMQ_ERR_ALGORITHM;
	if (err == SMQ_OK)
		err = build(t, key, issuer, ret_cert);
	if (err == SMQ_OK)
		*ret_key = pem;
	else
		smq_pem_free(&pem);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return err;
}

smq_err smq_ca_issuer_certify(const struct smq_ca_issuer *issuer, const struct smq_cert_template *t, smq_span key_pem,
			      struct smq_pem *ret_cert)
{
	EVP_PKEY *key = smq_pem_read_public(key_pem);
	smq_err err = key ? build(t, key, issuer, ret_cert) : SMQ_ERR_MALFORMED;
	EVP_PKEY_free(key);
	ERR_clear_error();
	return err;
}

/* ---- keys that are elsewhere ---- */

smq_err smq_ca_issuer_new_remote(smq_span cert_pem, const struct smq_ca_remote *remote,
				 struct smq_ca_issuer **ret_issuer)
{
	struct smq_ca_issuer *i = calloc(1, sizeof(*i));
	if (!i)
		return SMQ_ERR_NO_MEMORY;
	i->cert = cert_pem.len > 0 ? smq_pem_cert(cert_pem) : NULL;
	ERR_clear_error();
	if (cert_pem.len > 0 && !i->cert) {
		free(i);
		return SMQ_ERR_MALFORMED;
	}
	i->remote = *remote;
	*ret_issuer = i;
	return SMQ_OK;
}

smq_err smq_ca_issuer_root(struct smq_ca_issuer *issuer, const struct smq_cert_template *t, smq_span key_pem,
			   struct smq_pem *ret_cert)
{
	struct smq_pem cert = { NULL, 0 };
	smq_err err = issuer->cert ? SMQ_ERR_STATE : smq_ca_issuer_certify(issuer, t, key_pem, &cert);
	if (err == SMQ_OK)
		issuer->cert = smq_pem_cert(smq_span_of(cert.p, cert.len));
	if (err == SMQ_OK)
		*ret_cert = cert;
	return err;
}
