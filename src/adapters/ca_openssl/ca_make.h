/*
 * Making keys, certificates and revocation lists, as PEM text; no file is touched here.
 *
 * Issuance rules (what a member's certificate says, how long it lives) are the caller's: a template may ask for
 * anything, so that tests can ask for what must be refused.
 */
#ifndef SMQ_CA_OPENSSL_CA_MAKE_H
#define SMQ_CA_OPENSSL_CA_MAKE_H

#include <stdbool.h>

#include <sealmq/crypto.h>

/* Allocated text; wiped when freed. */
struct smq_pem {
	uint8_t *p;
	size_t len;
};
void smq_pem_free(struct smq_pem *pem);

enum { SMQ_KEY_USAGE_SIGN = 1, SMQ_KEY_USAGE_AGREE = 2, SMQ_KEY_USAGE_ISSUE = 4 /* certificates and CRLs */ };
enum { SMQ_SERIAL_LEN = 16, SMQ_ALT_NAMES_MAX = 16, SMQ_USAGES_MAX = 8 };

struct smq_cert_template {
	const char *common_name;
	uint8_t serial[SMQ_SERIAL_LEN]; /* the top bit must be 0 */
	int64_t not_before_ms, not_after_ms;
	bool authority;
	int path_len; /* of an authority; -1: without limit */
	unsigned key_usage;
	const char *usages[SMQ_USAGES_MAX];   /* extended key usage: dotted object identifiers, up to the first NULL */
	const char *uri;                      /* alternative names; NULL for none */
	const char *second_name, *second_uri; /* what must be refused; NULL for none */
	const char *dns[SMQ_ALT_NAMES_MAX];   /* up to the first NULL */
	const char *ip[SMQ_ALT_NAMES_MAX];
};

/* A private key in PKCS#8: SMQ_P256, SMQ_ED25519 or SMQ_X25519. */
SMQ_MUST_USE smq_err smq_ca_make_key(enum smq_curve curve, struct smq_pem *ret_key);

/* A certificate for the public half of key. Without an issuer (empty spans) it is self-signed.
 * SMQ_ERR_USAGE: a name, address or object identifier does not parse. SMQ_ERR_MALFORMED: the PEM does not. */
SMQ_MUST_USE smq_err smq_ca_make_cert(const struct smq_cert_template *t, smq_span key_pem, smq_span issuer_cert_pem,
				      smq_span issuer_key_pem, struct smq_pem *ret_cert);

SMQ_MUST_USE smq_err smq_ca_make_crl(smq_span issuer_cert_pem, smq_span issuer_key_pem,
				     const uint8_t (*serials)[SMQ_SERIAL_LEN], size_t count, int64_t number,
				     int64_t this_update_ms, int64_t next_update_ms, struct smq_pem *ret_crl);

/* When the (first) certificate is valid, Unix time. */
SMQ_MUST_USE smq_err smq_ca_validity(smq_span cert_pem, int64_t *ret_not_before_ms, int64_t *ret_not_after_ms);

/* SHA-256 of the (first) certificate in DER. */
SMQ_MUST_USE smq_err smq_ca_fingerprint(smq_span cert_pem, uint8_t ret_hash[SMQ_HASH_LEN]);

#endif
