/*
 * A realm as one member sees it: a directory with its certificate, its private
 * key, the root to trust, and the realm's settings (FORMATS.md 1).
 *
 *     realm.yaml     name, control prefix, key-exchange topic
 *     root.crt       the trust anchor, PEM
 *     member.crt     this member's certificate, then its issuers, PEM
 *     member.key     its private key, PEM PKCS#8, mode 0600
 *                    Without a certificate it is a registered key (PROTOCOL.md 7.8): realm.yaml has the name then
 *     member.pem     optional: both renewed, in one file, mode 0600; used in place of the two
 *     crl.pem        optional: revoked certificates
 *     groups/NAME.key  optional: keys of static groups, mode 0600
 *     state/         what must survive a restart: replay windows, known certificates
 */
#ifndef SEALMQ_REALM_H
#define SEALMQ_REALM_H

#include <stdbool.h>

#include <sealmq/credential.h>
#include <sealmq/err.h>
#include <sealmq/span.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct smq_realm smq_realm;

/*
 * Opens and checks the directory; NULL means $SEALMQ_REALM, else $XDG_CONFIG_HOME/sealmq, else ~/.config/sealmq.
 * A private key that others can read or write, that is a symlink, or that belongs to somebody else is
 * SMQ_ERR_UNSAFE_FILE; a certificate that does not fit the key, the root or the time is one of SMQ_ERR_CERT_*.
 * *ret_why (may be NULL): what, where, and what would be right; valid until the next call in this thread.
 */
SMQ_MUST_USE smq_err smq_realm_open(const char *dir, smq_realm **ret_realm, const char **ret_why);
void smq_realm_free(smq_realm *realm);

/* What it is and whose; text lives as long as the realm. */
const char *smq_realm_dir(const smq_realm *realm);
const char *smq_realm_name(const smq_realm *realm);   /* "plant" */
const char *smq_realm_member(const smq_realm *realm); /* this member's certified name, "fridge-07" */
const char *smq_realm_keyex_topic(const smq_realm *realm);
int64_t smq_realm_expires_ms(const smq_realm *realm); /* of the certificate, Unix time; a registered key: INT64_MAX */
/* It has a registered key and no certificate: groups of a key server are open to it, sessions and signatures are not.
 */
bool smq_realm_is_registered(const smq_realm *realm);

/* Whom to believe and who we are, for struct smq_member_config (sealmq/member.h). They live as long as the realm. */
const struct smq_credentials *smq_realm_credentials(const smq_realm *realm);
const struct smq_own_credential *smq_realm_own(const smq_realm *realm);

#ifdef __cplusplus
}
#endif
#endif
