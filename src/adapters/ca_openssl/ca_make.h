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
	const char
	    *limits; /* of an authority: name constraints, "permitted;dirName:..." as OpenSSL writes them; or NULL */
	unsigned key_usage;
	const char *usages[SMQ_USAGES_MAX];   /* extended key usage: dotted object identifiers, up to the first NULL */
	const char *uri;                      /* alternative names; NULL for none */
	const char *second_name, *second_uri; /* what must be refused; NULL for none */
	const char *dns[SMQ_ALT_NAMES_MAX];   /* up to the first NULL */
	const char *ip[SMQ_ALT_NAMES_MAX];
};

/* A private key in PKCS#8: SMQ_P256, SMQ_P384, SMQ_ED25519 or SMQ_X25519. */
SMQ_MUST_USE smq_err smq_ca_make_key(enum smq_curve curve, struct smq_pem *ret_key);

/* A certificate for the public half of key, which may also be a request or a certificate. Without an issuer (empty
 * spans) it is self-signed, and key a private one.
 * SMQ_ERR_USAGE: a name, address or object identifier does not parse. SMQ_ERR_MALFORMED: the PEM does not. */
SMQ_MUST_USE smq_err smq_ca_make_cert(const struct smq_cert_template *t, smq_span key_pem, smq_span issuer_cert_pem,
				      smq_span issuer_key_pem, struct smq_pem *ret_cert);

/* An authority held open, for many certificates: reading a private key costs more than signing with it. */
struct smq_ca_issuer;
SMQ_MUST_USE smq_err smq_ca_issuer_new(smq_span cert_pem, smq_span key_pem, struct smq_ca_issuer **ret_issuer);
void smq_ca_issuer_free(struct smq_ca_issuer *issuer);
/* A new key and its certificate. */
SMQ_MUST_USE smq_err smq_ca_issuer_make(const struct smq_ca_issuer *issuer, const struct smq_cert_template *t,
					enum smq_curve curve, struct smq_pem *ret_key, struct smq_pem *ret_cert);
/* A certificate for the public half of key, as smq_ca_make_cert makes it. */
SMQ_MUST_USE smq_err smq_ca_issuer_certify(const struct smq_ca_issuer *issuer, const struct smq_cert_template *t,
					   smq_span key_pem, struct smq_pem *ret_cert);

/* An authority's key that signs where it is, in a token. What it signed is verified before it is handed out. */
enum { SMQ_REMOTE_SIG_MAX = 96 };
struct smq_ca_remote {
	void *self;
	enum smq_curve curve; /* SMQ_P256, SMQ_P384, SMQ_ED25519 */
	/* input: the digest for elliptic curves, the message for Ed25519. ret: r || s, or Ed25519's 64 bytes. */
	smq_err (*sign)(void *self, enum smq_curve curve, smq_span input, uint8_t ret_signature[SMQ_REMOTE_SIG_MAX],
			size_t *ret_len);
	void (*free)(void *self);
};
/* Its public half as PEM, from the uncompressed point of X9.62, or Ed25519's 32 bytes. SMQ_ERR_MALFORMED */
SMQ_MUST_USE smq_err smq_ca_public_of_point(enum smq_curve curve, smq_span point, struct smq_pem *ret_public);
/* The issuer has the remote key then, and frees it. With an empty certificate it can make its own only. */
SMQ_MUST_USE smq_err smq_ca_issuer_new_remote(smq_span cert_pem, const struct smq_ca_remote *remote,
					      struct smq_ca_issuer **ret_issuer);
/* A self-signed certificate for its own key, whose public half is `key`; from then on it issues by it. */
SMQ_MUST_USE smq_err smq_ca_issuer_root(struct smq_ca_issuer *issuer, const struct smq_cert_template *t,
					smq_span key_pem, struct smq_pem *ret_cert);

struct smq_crl_entry {
	uint8_t serial[SMQ_SERIAL_LEN];
	int64_t when_ms;
	int reason; /* CRLReason of RFC 5280, 5.3.1; 0: not said */
};
SMQ_MUST_USE smq_err smq_ca_make_crl(smq_span issuer_cert_pem, smq_span issuer_key_pem,
				     const struct smq_crl_entry *entries, size_t count, int64_t number,
				     int64_t this_update_ms, int64_t next_update_ms, struct smq_pem *ret_crl);

SMQ_MUST_USE smq_err smq_ca_issuer_crl(const struct smq_ca_issuer *issuer, const struct smq_crl_entry *entries,
				       size_t count, int64_t number, int64_t this_update_ms, int64_t next_update_ms,
				       struct smq_pem *ret_crl);

/* A private key in PKCS#8 encrypted under a passphrase, and opened again; open takes plain ones too. SMQ_ERR_OPEN: the
 * passphrase is missing or wrong. */
SMQ_MUST_USE smq_err smq_ca_close_key(smq_span key_pem, smq_span passphrase, struct smq_pem *ret_pem);
SMQ_MUST_USE smq_err smq_ca_open_key(smq_span pem, smq_span passphrase, struct smq_pem *ret_key);

/* A signing request for a private key, and what one asks for. SMQ_ERR_SIGNATURE: whoever made it does not hold the key;
 * SMQ_ERR_ALGORITHM: a key of a kind that is not used here. */
struct smq_ca_request {
	char name[65];
	enum smq_curve curve;
};
SMQ_MUST_USE smq_err smq_ca_make_request(smq_span key_pem, const char *name, struct smq_pem *ret_request);
SMQ_MUST_USE smq_err smq_ca_read_request(smq_span pem, struct smq_ca_request *ret_request);
/* From DER to PEM; SMQ_ERR_MALFORMED. */
SMQ_MUST_USE smq_err smq_ca_request_of_der(smq_span der, struct smq_pem *ret_request);

SMQ_MUST_USE smq_err smq_ca_request_to_der(smq_span pem, struct smq_pem *ret_der);

/* From base64, as EST sends it; SMQ_ERR_MALFORMED. */
SMQ_MUST_USE smq_err smq_ca_request_of_base64(smq_span text, struct smq_pem *ret_request);
SMQ_MUST_USE smq_err smq_ca_request_to_base64(smq_span pem, struct smq_pem *ret_base64);
/* The certificates of such an answer in PEM, the end entity first; SMQ_ERR_MALFORMED. */
SMQ_MUST_USE smq_err smq_ca_certs_of(smq_span base64, struct smq_pem *ret_pem);
/* All certificates of a PEM text in a PKCS#7 without signers, in base64, as EST answers. */
SMQ_MUST_USE smq_err smq_ca_certs_only(smq_span pem, struct smq_pem *ret_base64);

/* Judges a new certificate as others will. NULL, or what is wrong with it. Without an issuer the root has signed it. */
const char *smq_ca_lint(smq_span cert_pem, smq_span issuer_pem, smq_span root_pem, bool server, int64_t now_ms);

/* What an issued certificate says about its holder. */
struct smq_ca_holder {
	char name[65];
	unsigned roles;
	enum smq_curve curve;
	bool key_agreement;
	char dns[SMQ_ALT_NAMES_MAX][256], ip[SMQ_ALT_NAMES_MAX][48];
	size_t dns_count, ip_count;
};
SMQ_MUST_USE smq_err smq_ca_read_holder(smq_span cert_pem, struct smq_ca_holder *ret_holder);

/* Whether a private key is that of the (first) certificate. */
bool smq_ca_key_fits(smq_span key_pem, smq_span cert_pem);

/* When the (first) certificate is valid, Unix time. */
SMQ_MUST_USE smq_err smq_ca_validity(smq_span cert_pem, int64_t *ret_not_before_ms, int64_t *ret_not_after_ms);

/* Of the public key in it. SMQ_ERR_ALGORITHM: none that is used here. */
SMQ_MUST_USE smq_err smq_ca_curve(smq_span cert_pem, enum smq_curve *ret_curve);

/* SHA-256 of the (first) certificate in DER. */
SMQ_MUST_USE smq_err smq_ca_fingerprint(smq_span cert_pem, uint8_t ret_hash[SMQ_HASH_LEN]);

#endif
