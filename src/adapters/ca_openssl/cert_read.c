/* Reading a certificate that was issued, for what its successor must have as well. */
#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>
#include <openssl/err.h>

#include "adapters/ca_openssl/ca_internal.h"
#include "app/roles.h"

smq_err smq_ca_validity(smq_span cert_pem, int64_t *ret_not_before_ms, int64_t *ret_not_after_ms)
{
	X509 *cert = smq_pem_cert(cert_pem);
	int64_t from = 0;
	int64_t until = 0;
	bool ok = cert && smq_ca_time_ms(X509_get0_notBefore(cert), &from) &&
		  smq_ca_time_ms(X509_get0_notAfter(cert), &until);
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
	X509 *cert = smq_pem_cert(cert_pem);
	smq_err err = SMQ_ERR_MALFORMED;
	if (cert)
		err = X509_digest(cert, EVP_sha256(), ret_hash, NULL) == 1 ? SMQ_OK : SMQ_ERR_CRYPTO;
	X509_free(cert);
	ERR_clear_error();
	return err;
}

bool smq_ca_key_fits(smq_span key_pem, smq_span cert_pem)
{
	EVP_PKEY *key = smq_pem_key(key_pem);
	X509 *cert = smq_pem_cert(cert_pem);
	bool fits = key && cert && EVP_PKEY_eq(X509_get0_pubkey(cert), key) == 1;
	X509_free(cert);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return fits;
}

static unsigned roles_of(X509 *cert)
{
	unsigned roles = 0;
	EXTENDED_KEY_USAGE *usages = X509_get_ext_d2i(cert, NID_ext_key_usage, NULL, NULL);
	for (int i = 0; usages && i < sk_ASN1_OBJECT_num(usages); i++) {
		char oid[80];
		int len = OBJ_obj2txt(oid, sizeof(oid), sk_ASN1_OBJECT_value(usages, i), 1);
		for (size_t k = 0; len > 0 && len < (int)sizeof(oid) && k < SMQ_ROLE_COUNT; k++)
			roles |= strcmp(oid, smq_role_rows[k].oid) == 0 ? (unsigned)smq_role_rows[k].role : 0;
	}
	EXTENDED_KEY_USAGE_free(usages);
	return roles;
}

static void take_address(const ASN1_OCTET_STRING *address, struct smq_ca_holder *h)
{
	const uint8_t *p = ASN1_STRING_get0_data(address);
	int family = ASN1_STRING_length(address) == 4 ? AF_INET : AF_INET6;
	if (h->ip_count < SMQ_ALT_NAMES_MAX - 1 && (family == AF_INET || ASN1_STRING_length(address) == 16) &&
	    inet_ntop(family, p, h->ip[h->ip_count], sizeof(h->ip[0])))
		h->ip_count++;
}

static void take_dns(const ASN1_IA5STRING *name, struct smq_ca_holder *h)
{
	size_t len = (size_t)ASN1_STRING_length(name);
	if (h->dns_count >= SMQ_ALT_NAMES_MAX - 1 || len >= sizeof(h->dns[0]))
		return;
	memcpy(h->dns[h->dns_count], ASN1_STRING_get0_data(name), len);
	h->dns[h->dns_count++][len] = 0;
}

smq_err smq_ca_read_holder(smq_span cert_pem, struct smq_ca_holder *ret_holder)
{
	X509 *cert = smq_pem_cert(cert_pem);
	if (!cert)
		return SMQ_ERR_MALFORMED;
	memset(ret_holder, 0, sizeof(*ret_holder));
	(void)X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, ret_holder->name,
					sizeof(ret_holder->name));
	ret_holder->roles = roles_of(cert);
	ret_holder->curve = smq_ca_curve_of(X509_get0_pubkey(cert));
	ret_holder->key_agreement =
	    ret_holder->curve == SMQ_P256 && (X509_get_key_usage(cert) & X509v3_KU_KEY_AGREEMENT) != 0;
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		if (name->type == GEN_DNS)
			take_dns(name->d.dNSName, ret_holder);
		else if (name->type == GEN_IPADD)
			take_address(name->d.iPAddress, ret_holder);
	}
	GENERAL_NAMES_free(names);
	X509_free(cert);
	ERR_clear_error();
	return SMQ_OK;
}

smq_err smq_ca_curve(smq_span cert_pem, enum smq_curve *ret_curve)
{
	X509 *cert = smq_pem_cert(cert_pem);
	enum smq_curve curve = cert ? smq_ca_curve_of(X509_get0_pubkey(cert)) : 0;
	smq_err err = !cert ? SMQ_ERR_MALFORMED : curve == 0 ? SMQ_ERR_ALGORITHM : SMQ_OK;
	X509_free(cert);
	ERR_clear_error();
	if (err == SMQ_OK)
		*ret_curve = curve;
	return err;
}
