/* What a certificate must be before it leaves the authority: looked at once more, as whoever gets it will. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>

#include "adapters/ca_openssl/ca_internal.h"

enum { AUTH_LEVEL = 2, SERIAL_BITS_MIN = 64, SERIAL_BYTES_MAX = 20 };

struct looking {
	X509 *cert, *issuer, *root; /* issuer NULL: the root */
	smq_span roots;
	bool server;
	int64_t now_ms;
};

static bool ext_is(const X509 *cert, int nid, bool critical)
{
	int at = X509_get_ext_by_NID(cert, nid, -1);
	return at >= 0 && X509_get_ext_by_NID(cert, nid, at) < 0 &&
	       (!critical || X509_EXTENSION_get_critical(X509_get_ext(cert, at)));
}

static const char *look_at_body(const struct looking *l)
{
	int64_t from;
	int64_t until;
	int64_t issuer_from;
	int64_t issuer_until;
	const X509 *above = l->issuer ? l->issuer : l->root;
	BIGNUM *serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(l->cert), NULL);
	bool good = serial && !BN_is_negative(serial) && BN_num_bits(serial) >= SERIAL_BITS_MIN &&
		    BN_num_bytes(serial) <= SERIAL_BYTES_MAX;
	BN_free(serial);
	if (!good)
		return "its serial number is not of 64 to 160 bits";
	if (X509_get_version(l->cert) != X509_VERSION_3)
		return "it is not of version 3";
	if (!smq_ca_time_ms(X509_get0_notBefore(l->cert), &from) ||
	    !smq_ca_time_ms(X509_get0_notAfter(l->cert), &until) ||
	    !smq_ca_time_ms(X509_get0_notBefore(above), &issuer_from) ||
	    !smq_ca_time_ms(X509_get0_notAfter(above), &issuer_until))
		return "its times do not read";
	if (from >= until)
		return "it ends before it begins";
	if (from < issuer_from || until > issuer_until)
		return "it is valid when its issuer is not";
	return smq_ca_curve_of(X509_get0_pubkey(l->cert)) ? NULL : "its key is of a kind that is not used here";
}

static bool has_host(const GENERAL_NAMES *names)
{
	for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
		int type = sk_GENERAL_NAME_value(names, i)->type;
		if (type == GEN_DNS || type == GEN_IPADD)
			return true;
	}
	return false;
}

static const char *look_at_extensions(const struct looking *l)
{
	if (!ext_is(l->cert, NID_basic_constraints, true) || (X509_get_extension_flags(l->cert) & EXFLAG_CA))
		return "it does not say that it is no authority";
	if (!ext_is(l->cert, NID_key_usage, true))
		return "it has no critical key usage";
	if (!ext_is(l->cert, NID_ext_key_usage, false) ||
	    (X509_get_extended_key_usage(l->cert) & XKU_ANYEKU && X509_get_extended_key_usage(l->cert) != UINT32_MAX))
		return "it does not say what it is for";
	if (!ext_is(l->cert, NID_subject_key_identifier, false) ||
	    !ext_is(l->cert, NID_authority_key_identifier, false))
		return "it has no key identifiers";
	GENERAL_NAMES *names = X509_get_ext_d2i(l->cert, NID_subject_alt_name, NULL, NULL);
	bool good = names && (!l->server || has_host(names));
	GENERAL_NAMES_free(names);
	return good ? NULL : "it has no name";
}

/* Several during a change of root. */
static bool add_roots(X509_STORE *store, smq_span pem)
{
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.len);
	X509 *root;
	bool ok = bio != NULL;
	while (ok && (root = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
		ok = X509_STORE_add_cert(store, root) == 1;
		X509_free(root);
	}
	BIO_free(bio);
	return ok;
}

static const char *look_at_chain(const struct looking *l)
{
	const char *wrong = "its chain could not be looked at";
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	STACK_OF(X509) *issuers = sk_X509_new_null();
	X509_VERIFY_PARAM *param;

	if (!store || !ctx || !issuers || !add_roots(store, l->roots) ||
	    (l->issuer && sk_X509_push(issuers, l->issuer) <= 0) ||
	    X509_STORE_CTX_init(ctx, store, l->cert, issuers) != 1)
		goto out;
	param = X509_STORE_CTX_get0_param(ctx);
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
	X509_VERIFY_PARAM_set_auth_level(param, AUTH_LEVEL);
	X509_VERIFY_PARAM_set_time(param, (time_t)(l->now_ms / 1000));
	X509_VERIFY_PARAM_set_purpose(param, l->server ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_SSL_CLIENT);
	wrong = X509_verify_cert(ctx) == 1 ? NULL : X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx));
out:
	sk_X509_free(issuers);
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	return wrong;
}

const char *smq_ca_lint(smq_span cert_pem, smq_span issuer_pem, smq_span root_pem, bool server, int64_t now_ms)
{
	struct looking l = { .cert = smq_pem_cert(cert_pem),
			     .issuer = issuer_pem.len > 0 ? smq_pem_cert(issuer_pem) : NULL,
			     .root = smq_pem_cert(root_pem),
			     .roots = root_pem,
			     .server = server,
			     .now_ms = now_ms };
	const char *wrong = NULL;
	if (!l.cert || !l.root || (issuer_pem.len > 0 && !l.issuer))
		wrong = "it does not read as PEM";
	if (!wrong)
		wrong = look_at_body(&l);
	if (!wrong)
		wrong = look_at_extensions(&l);
	if (!wrong)
		wrong = look_at_chain(&l);
	X509_free(l.cert);
	X509_free(l.issuer);
	X509_free(l.root);
	ERR_clear_error();
	return wrong;
}
