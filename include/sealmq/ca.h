/*
 * A realm's certification authority in a directory (FORMATS.md 1.2): making one, issuing, renewing and revoking
 * identities, and its revocation lists.
 *
 *     struct smq_ca_issue_options o = { .name = "fridge-07" };
 *     smq_ca_init("plant", NULL, &why);
 *     smq_ca_issue("plant", &o, &issued, &why);     plant/members/fridge-07 is a realm directory now
 *     struct smq_ca_revoke_options r = { .who = "fridge-07", .reason = SMQ_CA_KEY_COMPROMISE };
 *     smq_ca_revoke("plant", &r, &count, NULL, &why);
 *
 * A device that makes its own key: smq_ca_csr there, smq_ca_sign here, smq_ca_accept there; the key never leaves it.
 *
 * Nothing is ever overwritten (SMQ_ERR_EXISTS), and nothing is left half done: a directory appears whole, by one
 * rename, or not at all. Each certificate stands in the log before it exists. *ret_why (may be NULL) says what is
 * wrong, where, and what would be right; valid until the next call in this thread.
 *
 * passphrase_file, wherever it stands: the first line of this file opens the authority's keys, if they are encrypted.
 * It must be closed to group and others. Where a key is in a PKCS#11 token, the line is the token's PIN; the URI's
 * pin-source goes before it, and the systemd credential sealmq-pkcs11-pin stands in for it.
 */
#ifndef SEALMQ_CA_H
#define SEALMQ_CA_H

#include <stdbool.h>

#include <sealmq/credential.h>
#include <sealmq/err.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	SMQ_CA_ROOT_DAYS = 3650,
	SMQ_CA_ISSUING_DAYS = 730,
	SMQ_CA_MEMBER_DAYS = 90,
	SMQ_CA_DAYS_MAX = 36500,
	SMQ_CA_CRL_HOURS = 168,       /* a week */
	SMQ_CA_ROOT_CRL_HOURS = 8760, /* of a root that is kept offline: a year */
	SMQ_CA_HOSTS_MAX = 15         /* DNS names, and as many addresses */
};

/* Zeroes and NULLs mean the defaults. */
struct smq_ca_init_options {
	const char *realm;           /* default: the last part of dir */
	const char *control_prefix;  /* default: "sealmq/REALM" */
	const char *keyex_topic;     /* default: "CONTROL_PREFIX/keyex/{to}" */
	int days;                    /* how long the root is valid; default SMQ_CA_ROOT_DAYS */
	enum smq_curve curve;        /* of the authority's keys: SMQ_P256 (default), SMQ_P384, SMQ_ED25519 */
	const char *passphrase_file; /* the keys are encrypted under it; NULL: they are not */
	const char *pkcs11;          /* RFC 7512: the keys are made in this token, or the one it names becomes the
				      * root's; NULL: in files */
	bool issuing;                /* an issuing authority too, so that root.key can be taken away */
	bool insecure_stale_crl;     /* members go on trusting by a revocation list that has ended */
};

/* Makes dir, which must not exist or be empty; its parent must exist. options may be NULL. */
SMQ_MUST_USE smq_err smq_ca_init(const char *dir, const struct smq_ca_init_options *options, const char **ret_why);

struct smq_ca_issue_options {
	const char *name;       /* 1 to 64 of A-Z a-z 0-9 - _ */
	unsigned roles;         /* enum smq_role bits; 0: SMQ_ROLE_MEMBER. SMQ_ROLE_BROKER stands alone */
	int days;               /* 0: SMQ_CA_MEMBER_DAYS; never longer than its issuer */
	enum smq_curve curve;   /* 0: SMQ_P256; SMQ_ED25519; SMQ_X25519 (agreement only, no TLS); SMQ_P384 (brokers) */
	bool key_agreement;     /* P-256: may also agree, for EDHOC with static keys (method 3) */
	bool reissue;           /* although a certificate of this name is still valid */
	const char *const *dns; /* a broker needs at least one of these */
	size_t dns_count;
	const char *const *ip;
	size_t ip_count;
	const char *passphrase_file;
};

enum smq_ca_status {
	SMQ_CA_VALID,
	SMQ_CA_EXPIRING /* less than a third of its time is left */,
	SMQ_CA_EXPIRED,
	SMQ_CA_REVOKED
};
const char *smq_ca_status_name(enum smq_ca_status status); /* "valid", "expiring", "expired", "revoked" */

/* Why a certificate was revoked: RFC 5280, 5.3.1, its numbers. */
enum smq_ca_reason {
	SMQ_CA_UNSPECIFIED = 0,
	SMQ_CA_KEY_COMPROMISE = 1,
	SMQ_CA_CA_COMPROMISE = 2,
	SMQ_CA_AFFILIATION_CHANGED = 3,
	SMQ_CA_SUPERSEDED = 4,
	SMQ_CA_CESSATION = 5,
	SMQ_CA_PRIVILEGE_WITHDRAWN = 9
};
const char *smq_ca_reason_name(enum smq_ca_reason reason); /* "key-compromise" */
SMQ_MUST_USE smq_err smq_ca_reason_parse(const char *text, enum smq_ca_reason *ret_reason);

struct smq_ca_issued {
	char name[SMQ_MEMBER_NAME_MAX + 1];
	char dir[4096];       /* where it was put; empty in a list */
	unsigned roles;       /* 0: an issuing authority */
	char serial[33];      /* hex */
	char fingerprint[65]; /* SHA-256 of the certificate, hex */
	int64_t issued_ms, not_before_ms, not_after_ms;
	char issuer[33]; /* serial of its issuer's certificate; empty: the root */
	/* in a list */
	enum smq_ca_status status;
	enum smq_ca_reason reason;
	int64_t revoked_ms;
};

/*
 * Makes dir/members/NAME: for a broker server.crt, server.key and root.crt; for everybody else a realm directory
 * that smq_realm_open opens as it is. SMQ_ERR_USAGE, SMQ_ERR_NAME: see *ret_why.
 */
SMQ_MUST_USE smq_err smq_ca_issue(const char *dir, const struct smq_ca_issue_options *options,
				  struct smq_ca_issued *ret_issued, const char **ret_why);

/*
 * The same for many members at once (options->name is not looked at), with one sync for all: some thousand in seconds.
 * Names that are not to be had are found before anything is made. After a failure each of them is whole or not there;
 * `each` (may be NULL) has got those that are.
 */
SMQ_MUST_USE smq_err smq_ca_issue_many(const char *dir, const char *const *names, size_t count,
				       const struct smq_ca_issue_options *options,
				       void (*each)(void *self, const struct smq_ca_issued *issued), void *self,
				       const char **ret_why);

/*
 * Makes dir/members/NAME without a certificate: a realm directory with a P-256 key (member.key) that an admin registers
 * at the key server by its public half, member.pub (`sealmq group register`). ret_dir: 4096 bytes.
 */
SMQ_MUST_USE smq_err smq_ca_raw(const char *dir, const char *name, char *ret_dir, const char **ret_why);

/* Hands each certificate ever issued to `each`, oldest first. */
SMQ_MUST_USE smq_err smq_ca_list(const char *dir, void (*each)(void *self, const struct smq_ca_issued *issued),
				 void *self, const char **ret_why);

/* ---- keys that are made where they are used ---- */

struct smq_ca_csr_options {
	const char *name;     /* NULL: that of the certificate in dir, which is renewed */
	enum smq_curve curve; /* 0: SMQ_P256; SMQ_ED25519; SMQ_P384 (brokers) */
};

/*
 * On the device: makes dir with member.key and member.csr, to be signed. In a realm directory that is in use it makes
 * next.key and next.csr instead. ret_path: of the request, 4096 bytes.
 */
SMQ_MUST_USE smq_err smq_ca_csr(const char *dir, const struct smq_ca_csr_options *options, char *ret_path,
				const char **ret_why);

/*
 * At the authority: like smq_ca_issue, for the key in a request (PKCS#10 in PEM, its signature is checked). The name is
 * options->name, else the request's; both must be the same. options->curve is the request's. dir/members/NAME has
 * everything but the key; one that was made so before gets the new certificate where options->reissue allows it.
 */
SMQ_MUST_USE smq_err smq_ca_sign(const char *dir, smq_span request_pem, const struct smq_ca_issue_options *options,
				 struct smq_ca_issued *ret_issued, const char **ret_why);

/*
 * On the device: takes what smq_ca_sign made (a directory) into dir, if the certificate fits the key there and the
 * realm already trusted there. A renewed one becomes member.pem, key and certificate in one file and one rename.
 */
SMQ_MUST_USE smq_err smq_ca_accept(const char *dir, const char *signed_dir, const char **ret_why);

/* ---- renewal ---- */

struct smq_ca_renew_options {
	const char *name;
	int days;
	bool keep_key; /* the same key again; a request is not needed for that */
	const char *passphrase_file;
};

/*
 * Another certificate for dir/members/NAME, with the roles, names and kind of key of the one there. A member gets a new
 * key and its certificate as member.pem, which running programs take within seconds; a broker's directory is exchanged
 * as a whole, and the one before stays beside it as NAME.before-SERIAL. The old certificate is good until it ends.
 * SMQ_ERR_NOT_FOUND: the directory is not there; SMQ_ERR_STATE: its key is not there either, so it must ask itself.
 */
SMQ_MUST_USE smq_err smq_ca_renew(const char *dir, const struct smq_ca_renew_options *options,
				  struct smq_ca_issued *ret_issued, const char **ret_why);

struct smq_ca_rollover_options {
	int days;             /* 0: SMQ_CA_ISSUING_DAYS; never longer than the root */
	enum smq_curve curve; /* 0: SMQ_P256 */
	const char *passphrase_file;
	const char *pkcs11;    /* as in smq_ca_init_options; NULL: a token, if the key before was in one */
	const char *const *to; /* of smq_ca_rollover_root: directories elsewhere that get root.crt too */
	size_t to_count;
};

/*
 * A new root, which the one before vouches for; needs the key of the one before. It makes issuing authorities from now
 * on (smq_ca_rollover), and issues nothing itself. dir/root.crt then holds both, for dir/members/NAME and options->to;
 * members elsewhere take it over MQTT or when they enrol, by the certificate that the one before has given it. days 0:
 * SMQ_CA_ROOT_DAYS. SMQ_ERR_STATE: the root issues certificates itself.
 */
SMQ_MUST_USE smq_err smq_ca_rollover_root(const char *dir, const struct smq_ca_rollover_options *options,
					  struct smq_ca_issued *ret_issued, const char **ret_why);

/*
 * A new issuing authority, which issues from now on; needs root.key. What the one before has issued stays good, and its
 * revocation list goes on.
 */
SMQ_MUST_USE smq_err smq_ca_rollover(const char *dir, const struct smq_ca_rollover_options *options,
				     struct smq_ca_issued *ret_issued, const char **ret_why);

/* ---- revocation ---- */

struct smq_ca_crl_options {
	int hours; /* until the next one is due; 0: SMQ_CA_CRL_HOURS */
	const char *passphrase_file;
	const char *const *to; /* directories elsewhere that get it too: of members, or of `sealmq broker init` */
	size_t to_count;
};

struct smq_ca_crl {
	char path[4096];
	int64_t number;
	int64_t this_update_ms, next_update_ms;
	size_t entries;
	size_t lists;  /* in the file, one for each authority */
	size_t copies; /* directories that got it */
};

/*
 * Signs the revocation lists of all authorities whose keys are here, puts them into dir/crl.pem, and copies that into
 * each dir/members/NAME that is still there and into options->to. Each file is exchanged by one rename; clients notice
 * it by themselves. So does `sealmq broker run`. The numbers only ever grow.
 * Of a root whose key is not here, the list stays as it is; SMQ_ERR_NOT_FOUND where it is needed anew.
 */
SMQ_MUST_USE smq_err smq_ca_crl(const char *dir, const struct smq_ca_crl_options *options, struct smq_ca_crl *ret_crl,
				const char **ret_why);

struct smq_ca_revoke_options {
	const char *who; /* a name: all its certificates that have not ended; or one serial number, 32 hex digits */
	enum smq_ca_reason reason;
	struct smq_ca_crl_options crl;
};

/*
 * Writes the revocation into the log, then makes new lists as smq_ca_crl does. Where these fail the revocation stands
 * all the same, *ret_why says so, and the next list has it. SMQ_ERR_NOT_FOUND: nothing to revoke. *ret_revoked:
 * how many certificates; *ret_crl may be NULL.
 */
SMQ_MUST_USE smq_err smq_ca_revoke(const char *dir, const struct smq_ca_revoke_options *options, size_t *ret_revoked,
				   struct smq_ca_crl *ret_crl, const char **ret_why);

/* ---- roles ---- */

/* "member,admin" to bits and back; smq_roles_print always fits. SMQ_ERR_USAGE: a word that is no role. */
enum { SMQ_ROLES_TEXT_MAX = 40 };
SMQ_MUST_USE smq_err smq_roles_parse(const char *text, unsigned *ret_roles);
void smq_roles_print(unsigned roles, char ret_text[SMQ_ROLES_TEXT_MAX]);

#ifdef __cplusplus
}
#endif
#endif
