/*
 * Keys of authorities: in a file, encrypted or not, or in a PKCS#11 token; then the file holds the key's URI.
 *
 * A token's PIN is what its URI's pin-source says, else the first line of the passphrase file, else the systemd
 * credential sealmq-pkcs11-pin.
 */
#ifndef SMQ_LIB_CA_KEY_H
#define SMQ_LIB_CA_KEY_H

#include "lib/ca_dir.h"

/* An authority that is there, held open. An empty serial: the root. SMQ_ERR_NOT_FOUND: its key is not here. */
SMQ_MUST_USE smq_err smq_ca_key_open(const struct smq_ca_dir *ca, const char *serial, smq_span cert,
				     const char *passphrase_file, struct smq_ca_issuer **ret_issuer);
/* The one that issues now. */
SMQ_MUST_USE smq_err smq_ca_key_open_issuer(const struct smq_ca_dir *ca, const char *passphrase_file,
					    struct smq_ca_issuer **ret_issuer);
/* The token of the authority that issues now; empty: its key is in a file. */
SMQ_MUST_USE smq_err smq_ca_key_token(const struct smq_ca_dir *ca, char ret_uri[SMQ_PATH_MAX]);
/* Whether the issuing key of the authority in this directory is in a token. */
SMQ_MUST_USE smq_err smq_ca_key_in_token(const char *dir, bool *ret_is);
/* The token that a URI leads to, without a key's name. */
SMQ_MUST_USE smq_err smq_ca_key_token_of(const char *uri, char ret_uri[SMQ_PATH_MAX]);

/* A new key of an authority. */
struct smq_ca_new_key {
	struct smq_pem file;         /* what its file holds: the key in PEM, closed under the passphrase; or a URI */
	struct smq_pem key;          /* in a file: the key itself */
	struct smq_pem public;       /* of which a certificate is made: the key itself, or its public half */
	struct smq_ca_remote remote; /* in a token; sign NULL: it is not. Whoever takes it sets free NULL */
};
/* uri NULL: in a file. One that names a key takes that, of whatever curve it is. */
SMQ_MUST_USE smq_err smq_ca_key_make(const char *uri, enum smq_curve curve, const char *label,
				     const char *passphrase_file, struct smq_ca_new_key *ret_key);
void smq_ca_new_key_free(struct smq_ca_new_key *key);
/* It is of no use: takes it out of its token again, if it was made there. Before smq_ca_new_key_free. */
void smq_ca_new_key_undo(struct smq_ca_new_key *key);

#endif
