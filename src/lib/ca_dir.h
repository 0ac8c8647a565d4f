/*
 * What the parts of the CA share: a directory opened, with the authority that signs now; directories that appear
 * whole; and the text that says what is wrong.
 */
#ifndef SMQ_LIB_CA_DIR_H
#define SMQ_LIB_CA_DIR_H

#include <sealmq/ca.h>

#include "adapters/ca_openssl/ca_make.h"
#include "adapters/config_yaml/realm_yaml.h"
#include "lib/files.h"

#define SMQ_CA_SECOND INT64_C(1000)
#define SMQ_CA_HOUR (3600 * SMQ_CA_SECOND)
#define SMQ_CA_DAY (24 * SMQ_CA_HOUR)
/* Clocks of devices run behind by a little; a certificate is of use to them at once. */
#define SMQ_CA_BACKDATE (5 * 60 * SMQ_CA_SECOND)

/* ---- why: one text per thread, SMQ_WHY_MAX bytes of room ---- */

char *smq_ca_why(void);
void smq_ca_begin(const char **ret_why);
/* printf into it; returns err. */
__attribute__((format(printf, 2, 3))) smq_err smq_ca_because(smq_err err, const char *format, ...);
/* Says something where nobody has. */
smq_err smq_ca_finish(smq_err err);

/* ---- small things ---- */

int64_t smq_ca_now_ms(void); /* whole seconds */
SMQ_MUST_USE smq_err smq_ca_new_serial(uint8_t ret_serial[SMQ_SERIAL_LEN]);
static inline smq_span smq_pem_span(const struct smq_pem *pem) { return smq_span_of(pem->p, pem->len); }
static inline smq_span smq_file_span(const struct smq_file_bytes *file) { return smq_span_of(file->p, file->len); }

/* PATH.new-<8 hex digits>, made with mode 0700. */
SMQ_MUST_USE smq_err smq_ca_make_beside(const char *path, char ret_made[SMQ_PATH_MAX]);
SMQ_MUST_USE smq_err smq_ca_put_file(const char *dir, const char *name, smq_span bytes, mode_t mode);
/* Syncs the new directory, gives it its name, and syncs that. SMQ_ERR_EXISTS */
SMQ_MUST_USE smq_err smq_ca_appear(const char *made, const char *path);

/* ---- the directory ---- */

struct smq_ca_dir {
	const char *dir;
	int log; /* open, and with it the CA's lock */
	struct smq_realm_settings settings;
	struct smq_file_bytes root;   /* root.crt */
	struct smq_file_bytes issuer; /* of the newest issuing authority, or empty: the root issues itself */
	char issuer_serial[33];       /* empty: the root */
	char root_serial[33];         /* of the root that makes authorities now; empty: the first one */
};

/* Locks and reads; waits for whoever holds the lock. SMQ_ERR_REALM: no CA directory. Close it also after a failure. */
SMQ_MUST_USE smq_err smq_ca_dir_open(const char *dir, struct smq_ca_dir *ret_ca);
void smq_ca_dir_close(struct smq_ca_dir *ca);
/* The certificate that issues now. */
smq_span smq_ca_dir_issuer(const struct smq_ca_dir *ca);
/* A certificate as it goes into a member's directory: with its issuers below the root behind it. */
SMQ_MUST_USE smq_err smq_ca_dir_chain(const struct smq_ca_dir *ca, smq_span cert, struct smq_pem *ret_chain);
/* Where an authority's files lie below the CA's directory: its "crt", its "key". Later roots are in roots/SERIAL. */
void smq_ca_authority_file(const char *dir, const char *serial, const char *what, char ret_name[80]);
/* The certificate of one of the authorities; an empty serial: the root's. */
SMQ_MUST_USE smq_err smq_ca_dir_cert(const struct smq_ca_dir *ca, const char *serial, struct smq_file_bytes *ret_cert);
/* realm.yaml as it is; it was checked when the directory was opened. */
SMQ_MUST_USE smq_err smq_ca_dir_settings(const struct smq_ca_dir *ca, struct smq_file_bytes *ret_settings);
/* crl.pem; empty where there is none. */
SMQ_MUST_USE smq_err smq_ca_dir_crl(const struct smq_ca_dir *ca, struct smq_file_bytes *ret_crl);

#endif
