/* An identity being made: from what was asked for to a certificate in the log, and to a directory of it. */
#ifndef SMQ_LIB_CA_IDENTITY_H
#define SMQ_LIB_CA_IDENTITY_H

#include "lib/ca_dir.h"

struct smq_ca_identity {
	struct smq_ca_dir ca;
	const struct smq_ca_issue_options *o;
	const char *name;
	unsigned roles;
	enum smq_curve curve;
	char members[SMQ_PATH_MAX];
	char uri[160];
	struct smq_cert_template t;
	struct smq_pem key;         /* empty where it stays on its device */
	struct smq_pem cert, chain; /* the certificate alone, and with its issuers */
	struct smq_ca_issued issued;
	/* where many are made: */
	struct smq_ca_issuer *issuer; /* held open; NULL: its key is read for each */
	bool unsynced;                /* files are synced by whoever asked for that */
};

/* Checks what is asked for, opens the authority and finds the place. Release it also after a failure. */
SMQ_MUST_USE smq_err smq_ca_identity_begin(struct smq_ca_identity *i, const char *dir,
					   const struct smq_ca_issue_options *o, const char *name,
					   enum smq_curve curve);
void smq_ca_identity_release(struct smq_ca_identity *i);

/* SMQ_ERR_EXISTS: a certificate of this name is still good, and another was not asked for. */
SMQ_MUST_USE smq_err smq_ca_identity_check_new(const struct smq_ca_identity *i);

/* Makes and lints a certificate for the public half of `key`: a private key, a request, or a certificate. */
SMQ_MUST_USE smq_err smq_ca_identity_certify(struct smq_ca_identity *i, smq_span key);
/* The same with a new key, i->key. */
SMQ_MUST_USE smq_err smq_ca_identity_make(struct smq_ca_identity *i);
/* Writes it into the log. Only then may it get its place. */
SMQ_MUST_USE smq_err smq_ca_identity_log(const struct smq_ca_identity *i);

/* Fills a directory with everything there is. */
SMQ_MUST_USE smq_err smq_ca_identity_fill(const struct smq_ca_identity *i, const char *made);
/* Removes what a crash left in members/; nobody else is at work there while the log is open. */
void smq_ca_identity_sweep(const struct smq_ca_identity *i);
/* Fills, logs, and gives it its name: i->issued.dir, which must not be there. */
SMQ_MUST_USE smq_err smq_ca_identity_publish(struct smq_ca_identity *i);

/*
 * For a request that came over the network: like smq_ca_sign, but nothing is put into members/; the certificate with
 * its issuers is handed out.
 */
SMQ_MUST_USE smq_err smq_ca_sign_only(const char *dir, smq_span request_pem, const struct smq_ca_issue_options *options,
				      struct smq_pem *ret_chain, struct smq_ca_issued *ret_issued);

#endif
