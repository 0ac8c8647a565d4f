/*
 * A realm's certification authority in a directory (FORMATS.md 1.2): making one, and issuing identities.
 *
 *     struct smq_ca_issue_options o = { .name = "fridge-07" };
 *     smq_ca_init("plant", NULL, &why);
 *     smq_ca_issue("plant", &o, &issued, &why);     plant/members/fridge-07 is a realm directory now
 *
 * Nothing is ever overwritten (SMQ_ERR_EXISTS), and nothing is left half done: a directory appears whole, by one
 * rename, or not at all. Each certificate stands in the log before it exists. *ret_why (may be NULL) says what is
 * wrong, where, and what would be right; valid until the next call in this thread.
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
	SMQ_CA_MEMBER_DAYS = 90,
	SMQ_CA_DAYS_MAX = 36500,
	SMQ_CA_HOSTS_MAX = 15 /* DNS names, and as many addresses */
};

/* Zeroes and NULLs mean the defaults. */
struct smq_ca_init_options {
	const char *realm;          /* default: the last part of dir */
	const char *control_prefix; /* default: "sealmq/REALM" */
	const char *keyex_topic;    /* default: "CONTROL_PREFIX/keyex/{to}" */
	int days;                   /* how long the root is valid; default SMQ_CA_ROOT_DAYS */
};

/* Makes dir, which must not exist or be empty; its parent must exist. options may be NULL. */
SMQ_MUST_USE smq_err smq_ca_init(const char *dir, const struct smq_ca_init_options *options, const char **ret_why);

struct smq_ca_issue_options {
	const char *name;       /* 1 to 64 of A-Z a-z 0-9 - _ */
	unsigned roles;         /* enum smq_role bits; 0: SMQ_ROLE_MEMBER. SMQ_ROLE_BROKER stands alone */
	int days;               /* 0: SMQ_CA_MEMBER_DAYS; never longer than the root */
	enum smq_curve curve;   /* 0: SMQ_P256; SMQ_ED25519; SMQ_X25519 (agreement only, no TLS) */
	bool key_agreement;     /* P-256: may also agree, for EDHOC with static keys (method 3) */
	bool reissue;           /* although a certificate of this name is still valid */
	const char *const *dns; /* a broker needs at least one of these */
	size_t dns_count;
	const char *const *ip;
	size_t ip_count;
};

struct smq_ca_issued {
	char name[SMQ_MEMBER_NAME_MAX + 1];
	char dir[4096]; /* where key and certificate are; empty in a list */
	unsigned roles;
	char serial[33];      /* hex */
	char fingerprint[65]; /* SHA-256 of the certificate, hex */
	int64_t issued_ms, not_before_ms, not_after_ms;
};

/*
 * Makes dir/members/NAME: for a broker server.crt, server.key and root.crt; for everybody else a realm directory
 * that smq_realm_open opens as it is. SMQ_ERR_USAGE, SMQ_ERR_NAME: see *ret_why.
 */
SMQ_MUST_USE smq_err smq_ca_issue(const char *dir, const struct smq_ca_issue_options *options,
				  struct smq_ca_issued *ret_issued, const char **ret_why);

/* Hands each certificate ever issued to `each`, oldest first. */
SMQ_MUST_USE smq_err smq_ca_list(const char *dir, void (*each)(void *self, const struct smq_ca_issued *issued),
				 void *self, const char **ret_why);

/* "member,admin" to bits and back; smq_roles_print always fits. SMQ_ERR_USAGE: a word that is no role. */
enum { SMQ_ROLES_TEXT_MAX = 40 };
SMQ_MUST_USE smq_err smq_roles_parse(const char *text, unsigned *ret_roles);
void smq_roles_print(unsigned roles, char ret_text[SMQ_ROLES_TEXT_MAX]);

#ifdef __cplusplus
}
#endif
#endif
