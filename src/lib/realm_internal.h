/*
 * What the rest of libsealmq takes from an open realm. All pointers live as long as the realm.
 */
#ifndef SMQ_LIB_REALM_INTERNAL_H
#define SMQ_LIB_REALM_INTERNAL_H

#include <sealmq/credential.h>
#include <sealmq/realm.h>

#include "app/store.h"

/* The own certificate as peers see it: name, roles, public key. The same of a registered key. */
const struct smq_credential *smq_realm_own_certificate(const smq_realm *realm);

const char *smq_realm_control_prefix(const smq_realm *realm);      /* "sealmq/plant" */
const char *smq_realm_keyserver(const smq_realm *realm);           /* its name; "": whoever has the role */
const uint8_t *smq_realm_root_fingerprint(const smq_realm *realm); /* SMQ_HASH_LEN bytes */
const char *smq_realm_state_dir(const smq_realm *realm);           /* DIR/state; made when first opened */

/* Where certificate and key are, in the directory: member.crt and member.key, or a renewed one's member.pem. */
const char *smq_realm_cert_file(const smq_realm *realm);
const char *smq_realm_key_file(const smq_realm *realm);

/*
 * The realm's state, opened (and locked for this process) at the first call of each use, closed with the realm. Several
 * processes may have one realm directory: each gets a directory of its own within its state (FORMATS.md 2). From the
 * first call on accepted certificates are kept there too. SMQ_ERR_LOCKED: as many processes as there may be use it.
 */
enum smq_state_use {
	SMQ_STATE_READS,    /* who opens messages: what a process before this one delivered is known */
	SMQ_STATE_WRITES,   /* who only seals, under a boot id of its own */
	SMQ_STATE_COUNTERS, /* a boot id that is kept: one process at a time, or counters would repeat */
	SMQ_STATE_USES
};
SMQ_MUST_USE smq_err smq_realm_store(smq_realm *realm, enum smq_state_use use, struct smq_store **ret_store);
/* A membership (FORMATS.md 2.4) as other processes of this realm directory keep it: the one that has come furthest. */
SMQ_MUST_USE smq_err smq_realm_borrow(const smq_realm *realm, const char *key, smq_mspan room, size_t *ret_len);
/* Every membership that any process of this realm directory keeps; of one group there may be several. */
/* Whether another process of this realm directory has this membership (`key`) open. mine: so does this one. */
bool smq_realm_shares(const smq_realm *realm, const char *key, bool mine);
void smq_realm_each_membership(const smq_realm *realm, void *self, void (*take)(void *self, smq_span state));

/*
 * Reads crl.pem again; certificates already accepted are judged by it from now on. A list by which not even the own
 * certificate can be judged (of another authority, stale, spoilt) is not taken, and the one before stays in force:
 * SMQ_ERR_CERT_CRL, SMQ_ERR_MALFORMED. SMQ_ERR_NOT_FOUND: it is not there.
 */
SMQ_MUST_USE smq_err smq_realm_reload_crl(smq_realm *realm, const char **ret_why);
/* Whether crl.pem is another than the one read last; one look at its directory entry. */
bool smq_realm_crl_changed(const smq_realm *realm);
/*
 * The own identity renewed (member.pem, or member.crt) while a process runs: another certificate of the same name, and
 * its key. smq_realm_own and smq_realm_own_certificate then say the new one; what is under way goes on. One that is of
 * no use leaves the one before: SMQ_ERR_CERT_*.
 */
SMQ_MUST_USE smq_err smq_realm_reload_own(smq_realm *realm, const char **ret_why);
/* Whether its file is another than the one read last. */
bool smq_realm_own_changed(smq_realm *realm);
unsigned smq_realm_own_generation(const smq_realm *realm); /* another one after each exchange */
/* The same for root.crt, which grows when the realm changes its root. */
SMQ_MUST_USE smq_err smq_realm_reload_roots(smq_realm *realm);
bool smq_realm_roots_changed(smq_realm *realm);
/* The same for lists that are in memory alone, where crl.pem cannot be written: until crl.pem is another one. */
SMQ_MUST_USE smq_err smq_realm_use_crl(smq_realm *realm, smq_span crl_pem);
smq_span smq_realm_held_crl(const smq_realm *realm); /* those; empty: crl.pem is in force */
/* When the lists in force were made and when the first of them ends, Unix time; without any, the ends of time. */
struct smq_crl_stretch {
	int64_t from_ms, until_ms;
	unsigned generation; /* another one after each exchange */
};
struct smq_crl_stretch smq_realm_crl_stretch(const smq_realm *realm);
/* SHA-256 of the file of lists in force; NULL: none are in use. */
const uint8_t *smq_realm_crl_digest(const smq_realm *realm);
/* realm.yaml says that a list past its end is believed on. */
bool smq_realm_takes_stale_crl(const smq_realm *realm);

#endif
