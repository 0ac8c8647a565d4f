/* A realm as one member sees it: the directory opened, checked, and turned into credentials. */
#include <sealmq/realm.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <sealmq/client.h>

#include "adapters/config_yaml/realm_yaml.h"
#include "adapters/crypto_openssl/signer.h"
#include "adapters/x509_openssl/x509.h"
#include "base/wipe.h"
#include "lib/files.h"
#include "lib/realm_internal.h"
#include "lib/realm_state.h"
#include "lib/registered.h"

struct smq_realm {
	char dir[SMQ_PATH_MAX];
	char state_dir[SMQ_PATH_MAX];
	struct smq_realm_settings settings;
	struct smq_x509 *x509;
	struct smq_credentials credentials;
	struct smq_credentials by_certificate; /* of x509; credentials are these, or those with a registered key */
	struct smq_x509_own certificate;
	struct smq_registered registered; /* where there is no certificate */
	struct smq_own_credential own;
	uint8_t root_fingerprint[SMQ_HASH_LEN];
	struct smq_store stores[SMQ_STATE_USES]; /* self NULL: not opened */
	unsigned crl_generation, own_generation;
	struct stat roots_seen;         /* root.crt, likewise */
	struct stat own_seen;           /* of the certificate's file when it was last looked at */
	struct smq_file_bytes held_crl; /* in force, and not in crl.pem */
	bool has_crl;
	uint8_t crl_digest[SMQ_HASH_LEN]; /* of the lists in force */
	struct stat crl_seen;             /* crl.pem when it was last read; all zero: it was not there */
};

static _Thread_local char why[SMQ_WHY_MAX];

static smq_err because(smq_err err, const char *path, const char *text)
{
	return smq_because(err, why, sizeof(why), "%s: %s", path, text);
}

/* ---- which directory ---- */

static smq_err choose_dir(const char *dir, char ret_dir[SMQ_PATH_MAX])
{
	const char *base = NULL;
	const char *below = "";
	if (!dir || !*dir)
		dir = getenv("SEALMQ_REALM");
	if (dir && *dir) {
		base = dir;
	} else if ((base = getenv("XDG_CONFIG_HOME")) != NULL && *base == '/') {
		below = "/sealmq";
	} else {
		base = getenv("HOME");
		below = "/.config/sealmq";
	}
	if (!base || !*base)
		return smq_because(SMQ_ERR_REALM, why, sizeof(why),
				   "no realm directory named, and neither SEALMQ_REALM nor HOME is set");
	size_t len = strlen(base);
	while (len > 1 && base[len - 1] == '/')
		len--;
	if (len + strlen(below) >= SMQ_PATH_MAX - 64)
		return smq_because(SMQ_ERR_TOO_LARGE, why, sizeof(why), "the path of the realm is too long");
	memcpy(ret_dir, base, len);
	memcpy(ret_dir + len, below, strlen(below) + 1);
	return SMQ_OK;
}

static bool has(const char *dir, const char *name)
{
	char path[SMQ_PATH_MAX];
	struct stat st;
	return smq_path_join(dir, name, path) == SMQ_OK && lstat(path, &st) == 0;
}

/* A directory that everybody may write to is nobody's realm: its files can be exchanged at will. */
static smq_err check_dir(const char *dir)
{
	struct stat st;
	if (stat(dir, &st) != 0) {
		smq_err err = smq_err_of_errno(errno);
		if (err == SMQ_ERR_NOT_FOUND)
			return because(err, dir,
				       "there is no such directory; `sealmq ca issue` makes realm directories");
		return because(err, dir, strerror(errno));
	}
	if (!S_ISDIR(st.st_mode))
		return because(SMQ_ERR_REALM, dir, "not a directory");
	if (st.st_mode & S_IWOTH)
		return smq_because(SMQ_ERR_UNSAFE_FILE, why, sizeof(why),
				   "%s: mode %04o, everybody can exchange its files; run: chmod o-w %s", dir,
				   (unsigned)st.st_mode & 07777, dir);
	bool member = has(dir, "member.key") || has(dir, "member.pem");
	if ((has(dir, "root.key") || has(dir, "issued.log")) && !member)
		return because(SMQ_ERR_REALM, dir, "a CA, not a member's realm directory; use one of its members/NAME");
	if (has(dir, "server.key") && !member)
		return because(SMQ_ERR_REALM, dir, "a broker's directory, not a member's");
	if (!has(dir, "realm.yaml"))
		return because(SMQ_ERR_REALM, dir, "not a realm directory, it holds no realm.yaml");
	return SMQ_OK;
}

/* ---- its files ---- */

static smq_err read_file(const smq_realm *r, const char *name, bool secret, struct smq_file_bytes *ret_bytes)
{
	char path[SMQ_PATH_MAX];
	smq_err err = smq_path_join(r->dir, name, path);
	if (err != SMQ_OK)
		return because(err, r->dir, "its path is too long");
	return smq_file_read(path, secret, ret_bytes, why, sizeof(why));
}

static smq_err file_says(const smq_realm *r, const char *name, smq_err err, const char *text)
{
	return smq_because(err, why, sizeof(why), "%s/%s: %s", r->dir, name, text);
}

static smq_err load_settings(smq_realm *r)
{
	char path[SMQ_PATH_MAX];
	smq_err err = smq_path_join(r->dir, "realm.yaml", path);
	return err == SMQ_OK ? smq_realm_yaml_load(path, &r->settings, why, sizeof(why)) : err;
}

static void see(const smq_realm *r, const char *name, struct stat *ret_seen)
{
	char path[SMQ_PATH_MAX];
	if (smq_path_join(r->dir, name, path) != SMQ_OK || stat(path, ret_seen) != 0)
		memset(ret_seen, 0, sizeof(*ret_seen));
}

static void see_crl(const smq_realm *r, struct stat *ret_seen)
{
	char path[SMQ_PATH_MAX];
	if (smq_path_join(r->dir, "crl.pem", path) != SMQ_OK || stat(path, ret_seen) != 0)
		memset(ret_seen, 0, sizeof(*ret_seen));
}

/* No crl.pem means that this realm does not use revocation lists; an unreadable one is a failure. */
static smq_err read_crl(smq_realm *r, struct smq_file_bytes *ret_crl)
{
	char path[SMQ_PATH_MAX];
	smq_err err = smq_path_join(r->dir, "crl.pem", path);
	see_crl(r, &r->crl_seen);
	if (err == SMQ_OK)
		err = smq_file_read_most(path, false, SMQ_CRL_FILE_MAX, ret_crl, why, sizeof(why));
	if (err != SMQ_ERR_NOT_FOUND)
		return err;
	*ret_crl = (struct smq_file_bytes){ NULL, 0 };
	return SMQ_OK;
}

static void note_crl(smq_realm *r, const struct smq_file_bytes *crl)
{
	smq_span bytes = smq_span_of(crl->p, crl->len);
	r->has_crl = crl->len > 0 && smq_crypto_openssl()->sha256(&bytes, 1, r->crl_digest) == SMQ_OK;
}

const uint8_t *smq_realm_crl_digest(const smq_realm *realm) { return realm->has_crl ? realm->crl_digest : NULL; }

static smq_err load_trust(smq_realm *r)
{
	struct smq_file_bytes root = { NULL, 0 };
	struct smq_file_bytes crl = { NULL, 0 };
	struct smq_x509_config config = {
		.realm = r->settings.realm,
		.insecure_stale_crl = smq_realm_takes_stale_crl(r),
	};
	see(r, "root.crt", &r->roots_seen);
	smq_err err = read_file(r, "root.crt", false, &root);

	if (err == SMQ_OK)
		err = read_crl(r, &crl);
	if (err != SMQ_OK)
		goto out;
	config.root_pem = smq_span_of(root.p, root.len);
	err = smq_x509_new(&config, &r->x509);
	if (err != SMQ_OK) {
		err = file_says(r, "root.crt", err, "not the certificate of an authority in PEM");
		goto out;
	}
	if (crl.len > 0 && smq_x509_set_crl(r->x509, smq_span_of(crl.p, crl.len)) != SMQ_OK)
		err = file_says(r, "crl.pem", SMQ_ERR_MALFORMED, "not a revocation list in PEM");
	note_crl(r, &crl);
	r->credentials = r->by_certificate = smq_x509_credentials(r->x509);
	smq_x509_root_fingerprint(r->x509, r->root_fingerprint);
out:
	smq_file_bytes_free(&root);
	smq_file_bytes_free(&crl);
	return err;
}

static int64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* A renewed identity is one file, key and certificate, so that it can take its place by one rename. */
const char *smq_realm_cert_file(const smq_realm *r) { return has(r->dir, "member.pem") ? "member.pem" : "member.crt"; }

const char *smq_realm_key_file(const smq_realm *r) { return has(r->dir, "member.pem") ? "member.pem" : "member.key"; }

static void see_own(const smq_realm *r, struct stat *ret_seen)
{
	char path[SMQ_PATH_MAX];
	if (smq_path_join(r->dir, smq_realm_cert_file(r), path) != SMQ_OK || stat(path, ret_seen) != 0)
		memset(ret_seen, 0, sizeof(*ret_seen));
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static smq_err load_certificate(smq_realm *r)
{
	struct smq_file_bytes pem = { NULL, 0 };
	const char *name = smq_realm_cert_file(r);
	see_own(r, &r->own_seen);
	smq_err err = read_file(r, name, strcmp(name, "member.pem") == 0, &pem);
	if (err != SMQ_OK)
		return err;
	err = smq_x509_own(r->x509, smq_span_of(pem.p, pem.len), now_ms(), &r->certificate);
	if (err == SMQ_ERR_MALFORMED)
		err = file_says(r, name, SMQ_ERR_CERT_INVALID, "not a certificate in PEM");
	else if (err == SMQ_ERR_CERT_NAME)
		err = smq_because(err, why, sizeof(why),
				  "%s/%s: names no member of realm %s (sealmq:%s/NAME, and NAME as common name)",
				  r->dir, name, r->settings.realm, r->settings.realm);
	else if (err != SMQ_OK)
		err = file_says(r, name, err, smq_err_text(err));
	smq_file_bytes_free(&pem);
	return err;
}

/* A certificate says the name; where there is none, realm.yaml does. */
static bool has_certificate(const smq_realm *r) { return has(r->dir, "member.crt") || has(r->dir, "member.pem"); }

static smq_err check_name(const smq_realm *r)
{
	const char *said = r->settings.member, *certified = r->certificate.credential.name;
	if (!*said || strcmp(said, certified) == 0)
		return SMQ_OK;
	return smq_because(SMQ_ERR_CERT_NAME, why, sizeof(why),
			   "%s/realm.yaml: member %s, but the certificate beside it is of %s; take that line out",
			   r->dir, said, certified);
}

/* A key that an admin registered in place of a certificate (PROTOCOL.md 7.8). It agrees, and signs nothing. */
static smq_err load_registered(smq_realm *r)
{
	struct smq_file_bytes pem = { NULL, 0 };
	uint8_t key[SMQ_PUBLIC_KEY_MAX];
	size_t len = 0;
	smq_err err = read_file(r, "member.key", true, &pem);
	if (err != SMQ_OK)
		return err;
	err = smq_openssl_signer_from_pem(smq_span_of(pem.p, pem.len), true, &r->own.signer);
	smq_file_bytes_free(&pem);
	if (err != SMQ_OK || smq_openssl_signer_curve(&r->own.signer) != SMQ_P256)
		return file_says(r, "member.key", err != SMQ_OK ? err : SMQ_ERR_ALGORITHM,
				 "not an unencrypted P-256 private key in PEM, as a registered key has to be");
	r->own.signer.sign = NULL;
	err = smq_openssl_signer_public(&r->own.signer, key, &len);
	if (err == SMQ_OK)
		err = smq_registered_init(&r->registered, &r->by_certificate, r->settings.member, key, &r->own);
	if (err != SMQ_OK)
		return file_says(r, "member.key", err, smq_err_text(err));
	r->certificate.credential = r->registered.own;
	r->credentials = smq_registered_credentials(&r->registered);
	return SMQ_OK;
}

static smq_err load_key(smq_realm *r)
{
	struct smq_file_bytes pem = { NULL, 0 };
	uint8_t key[SMQ_PUBLIC_KEY_MAX];
	size_t len = 0;
	const struct smq_credential *c = &r->certificate.credential;
	const char *name = smq_realm_key_file(r);
	smq_err err = read_file(r, name, true, &pem);

	if (err != SMQ_OK)
		return err;
	err = smq_openssl_signer_from_pem(smq_span_of(pem.p, pem.len), c->dh_curve != 0, &r->own.signer);
	smq_file_bytes_free(&pem);
	if (err != SMQ_OK)
		return file_says(r, name, err, "not an unencrypted P-256, Ed25519 or X25519 private key in PEM");
	err = smq_openssl_signer_public(&r->own.signer, key, &len);
	if (err == SMQ_OK && (len != c->public_key_len || !smq_equal_ct(key, c->public_key, len)))
		err = file_says(r, name, SMQ_ERR_CERT_INVALID, "not the key of member.crt beside it");
	return err;
}

static void fill_own(smq_realm *r)
{
	const struct smq_x509_own *o = &r->certificate;
	r->own.id_cred_full = smq_span_of(o->id_cred_full, o->id_cred_full_len);
	r->own.id_cred_short = smq_span_of(o->id_cred_short, o->id_cred_short_len);
	r->own.cred = smq_span_of(o->credential.cred, o->credential.cred_len);
	r->own.dh_curve = o->credential.dh_curve;
}

/* ---- the API ---- */

/* What we sign names us by the hash of our certificate; we read it too, in another life or another process. */
static void know_own(const smq_realm *r)
{
	struct smq_credential c;
	/* If it is not accepted (a renewed CRL, say), then neither is what it signed. */
	(void)!r->credentials.resolve(r->credentials.self, r->own.id_cred_full, now_ms(), &c);
}

static smq_err load_identity(smq_realm *r)
{
	if (*r->settings.member && !has_certificate(r))
		return load_registered(r);
	smq_err err = load_certificate(r);
	if (err == SMQ_OK)
		err = check_name(r);
	if (err == SMQ_OK)
		err = load_key(r);
	if (err == SMQ_OK)
		fill_own(r);
	return err;
}

smq_err smq_realm_open(const char *dir, smq_realm **ret_realm, const char **ret_why)
{
	smq_realm *r = calloc(1, sizeof(*r));
	smq_err err = r ? SMQ_OK : SMQ_ERR_NO_MEMORY;

	why[0] = 0;
	if (ret_why)
		*ret_why = why;
	if (err == SMQ_OK)
		err = choose_dir(dir, r->dir);
	if (err == SMQ_OK)
		err = check_dir(r->dir);
	if (err == SMQ_OK)
		err = smq_path_join(r->dir, "state", r->state_dir);
	if (err == SMQ_OK)
		err = load_settings(r);
	if (err == SMQ_OK)
		err = load_trust(r);
	if (err == SMQ_OK)
		err = load_identity(r);
	if (err != SMQ_OK) {
		smq_realm_free(r);
		if (!why[0])
			(void)smq_because(err, why, sizeof(why), "%s", smq_err_text(err));
		return err;
	}
	know_own(r);
	*ret_realm = r;
	return SMQ_OK;
}

void smq_realm_free(smq_realm *realm)
{
	if (!realm)
		return;
	smq_openssl_signer_free(&realm->own.signer);
	smq_x509_free(realm->x509);
	smq_file_bytes_free(&realm->held_crl);
	for (int i = 0; i < SMQ_STATE_USES; i++) {
		if (realm->stores[i].self)
			realm->stores[i].free(realm->stores[i].self);
	}
	free(realm);
}

const char *smq_realm_dir(const smq_realm *realm) { return realm->dir; }

const char *smq_realm_name(const smq_realm *realm) { return realm->settings.realm; }

const char *smq_realm_member(const smq_realm *realm) { return realm->certificate.credential.name; }

const char *smq_realm_keyex_topic(const smq_realm *realm) { return realm->settings.keyex_topic; }

bool smq_realm_is_registered(const smq_realm *realm) { return realm->own.registered; }

int64_t smq_realm_expires_ms(const smq_realm *realm) { return realm->certificate.credential.expires_ms; }

/* ---- for the rest of the library ---- */

const struct smq_credentials *smq_realm_credentials(const smq_realm *realm) { return &realm->credentials; }

const struct smq_own_credential *smq_realm_own(const smq_realm *realm) { return &realm->own; }

const struct smq_credential *smq_realm_own_certificate(const smq_realm *realm)
{
	return &realm->certificate.credential;
}

const char *smq_realm_keyserver(const smq_realm *realm) { return realm->settings.keyserver; }
const char *smq_realm_control_prefix(const smq_realm *realm) { return realm->settings.control_prefix; }

const uint8_t *smq_realm_root_fingerprint(const smq_realm *realm) { return realm->root_fingerprint; }

const char *smq_realm_state_dir(const smq_realm *realm) { return realm->state_dir; }

smq_err smq_realm_store(smq_realm *realm, enum smq_state_use use, struct smq_store **ret_store)
{
	struct smq_store *store = &realm->stores[use];
	if (!store->self) {
		smq_err err = smq_state_open(realm->state_dir, use, store);
		if (err != SMQ_OK)
			return err;
		if (use != SMQ_STATE_COUNTERS) {
			smq_x509_set_store(realm->x509, store);
			realm->registered.store = store;
		}
	}
	*ret_store = store;
	return SMQ_OK;
}

smq_err smq_realm_borrow(const smq_realm *realm, const char *key, smq_mspan room, size_t *ret_len)
{
	return smq_state_borrow(realm->state_dir, key, room, ret_len);
}

bool smq_realm_shares(const smq_realm *realm, const char *key, bool mine)
{
	return smq_state_held(realm->state_dir, key) > (mine ? 1u : 0u);
}

void smq_realm_each_membership(const smq_realm *realm, void *self, void (*take)(void *self, smq_span state))
{
	smq_state_each(realm->state_dir, "member-", self, take);
}

bool smq_realm_takes_stale_crl(const smq_realm *realm)
{
	return strcmp(realm->settings.insecure_stale_crl, "true") == 0;
}

struct smq_crl_stretch smq_realm_crl_stretch(const smq_realm *realm)
{
	struct smq_crl_times t = smq_x509_crl_times(realm->x509);
	return (struct smq_crl_stretch){ .from_ms = t.this_update_ms,
					 .until_ms = t.next_update_ms,
					 .generation = realm->crl_generation };
}

bool smq_realm_crl_changed(const smq_realm *realm)
{
	const struct stat *was = &realm->crl_seen;
	struct stat is;
	see_crl(realm, &is);
	/* One that is gone changes nothing: the list in force stays. */
	return is.st_ino != 0 && !same_file(&is, was);
}

smq_err smq_realm_reload_crl(smq_realm *realm, const char **ret_why)
{
	struct smq_file_bytes crl = { NULL, 0 };
	smq_err err;

	why[0] = 0;
	if (ret_why)
		*ret_why = why;
	err = read_crl(realm, &crl);
	if (err == SMQ_OK && crl.len == 0)
		return because(SMQ_ERR_NOT_FOUND, realm->dir, "holds no crl.pem");
	if (err == SMQ_OK) {
		smq_span own = realm->own.registered ? smq_span_of(NULL, 0) : realm->own.id_cred_full;
		err = smq_x509_change_crl(realm->x509, smq_span_of(crl.p, crl.len), own, now_ms());
		if (err == SMQ_ERR_CERT_CRL)
			err = file_says(realm, "crl.pem", err,
					"no current revocation list of the authority that issued member.crt");
		else if (err != SMQ_OK)
			err = file_says(realm, "crl.pem", err, "not a revocation list in PEM");
	}
	if (err == SMQ_OK) {
		realm->crl_generation++;
		smq_file_bytes_free(&realm->held_crl);
		note_crl(realm, &crl);
	}
	smq_file_bytes_free(&crl);
	return err;
}

bool smq_realm_roots_changed(smq_realm *realm)
{
	struct stat is;
	see(realm, "root.crt", &is);
	return is.st_ino != 0 && !same_file(&is, &realm->roots_seen);
}

smq_err smq_realm_reload_roots(smq_realm *realm)
{
	struct smq_file_bytes root = { NULL, 0 };
	see(realm, "root.crt", &realm->roots_seen);
	smq_err err = read_file(realm, "root.crt", false, &root);
	if (err == SMQ_OK)
		err = smq_x509_change_roots(realm->x509, smq_span_of(root.p, root.len));
	smq_file_bytes_free(&root);
	return err;
}

unsigned smq_realm_own_generation(const smq_realm *realm) { return realm->own_generation; }

bool smq_realm_own_changed(smq_realm *realm)
{
	struct stat is;
	if (realm->own.registered)
		return false;
	see_own(realm, &is);
	return is.st_ino != 0 && !same_file(&is, &realm->own_seen);
}

/* Into place only when all of it is good: certificate and key, and the name is the one before. */
smq_err smq_realm_reload_own(smq_realm *realm, const char **ret_why)
{
	smq_realm *fresh = calloc(1, sizeof(*fresh));
	why[0] = 0;
	if (ret_why)
		*ret_why = why;
	if (!fresh)
		return SMQ_ERR_NO_MEMORY;
	memcpy(fresh->dir, realm->dir, sizeof(fresh->dir));
	fresh->settings = realm->settings;
	fresh->x509 = realm->x509;
	smq_err err = load_certificate(fresh);
	realm->own_seen = fresh->own_seen;
	if (err == SMQ_OK && strcmp(fresh->certificate.credential.name, realm->certificate.credential.name) != 0)
		err = file_says(realm, smq_realm_cert_file(realm), SMQ_ERR_CERT_NAME, "of another member");
	if (err == SMQ_OK)
		err = load_key(fresh);
	if (err == SMQ_OK) {
		smq_openssl_signer_free(&realm->own.signer);
		realm->own.signer = fresh->own.signer;
		realm->certificate = fresh->certificate;
		fill_own(realm);
		realm->own_generation++;
		know_own(realm);
	} else {
		smq_openssl_signer_free(&fresh->own.signer);
	}
	free(fresh);
	return err;
}

smq_span smq_realm_held_crl(const smq_realm *realm) { return smq_span_of(realm->held_crl.p, realm->held_crl.len); }

smq_err smq_realm_use_crl(smq_realm *realm, smq_span crl_pem)
{
	struct smq_file_bytes copy = { .p = malloc(crl_pem.len + 1), .len = crl_pem.len };
	if (!copy.p)
		return SMQ_ERR_NO_MEMORY;
	memcpy(copy.p, crl_pem.p, crl_pem.len);
	smq_span own = realm->own.registered ? smq_span_of(NULL, 0) : realm->own.id_cred_full;
	smq_err err = smq_x509_change_crl(realm->x509, crl_pem, own, now_ms());
	if (err == SMQ_OK) {
		realm->crl_generation++;
		smq_file_bytes_free(&realm->held_crl);
		realm->held_crl = copy;
		note_crl(realm, &copy);
	} else {
		smq_file_bytes_free(&copy);
	}
	return err;
}
