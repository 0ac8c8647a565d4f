/* Keys and certificates of the authorities themselves: the root, and the issuing one below it. */
#include "lib/ca_authority.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "lib/ca_crl.h"
#include "lib/ca_key.h"
#include "lib/ca_log.h"

enum { LINE_MAX_LEN = 512 };

struct authority {
	struct smq_ca_new_key key;
	struct smq_ca_issuer *issuer; /* held open */
	struct smq_pem cert;
	uint8_t serial[SMQ_SERIAL_LEN];
	int64_t from_ms, until_ms;
	bool later; /* a root that is not the realm's first */
	char name[72];
};

static void authority_free(struct authority *a)
{
	smq_ca_issuer_free(a->issuer);
	smq_ca_new_key_free(&a->key);
	smq_pem_free(&a->cert);
}

/* Issuing authorities each have a name of their own, so that theirs and their lists are not mixed up. */
static smq_err name_of(const char *realm, const struct authority *above, bool later_root, const uint8_t *serial,
		       char ret_name[72])
{
	char hex[9];
	smq_err err = smq_hex_encode(smq_span_of(serial, 4), hex, sizeof(hex));
	if (above)
		(void)snprintf(ret_name, 72, "%.45s issuing %s", realm, hex);
	else if (later_root)
		(void)snprintf(ret_name, 72, "%.45s root %s", realm, hex);
	else
		(void)snprintf(ret_name, 72, "%.55s root", realm);
	return err;
}

/* How an authority's key is kept: in a token, or in a file. */
struct keeping {
	const char *token, *passphrase_file; /* NULL: none */
};

static struct smq_cert_template template_of(int days, const struct authority *above)
{
	int64_t now = smq_ca_now_ms();
	struct smq_cert_template t = {
		.not_before_ms = now - SMQ_CA_BACKDATE,
		.not_after_ms = now + days * SMQ_CA_DAY,
		.authority = true,
		.path_len = above ? 0 : 1, /* one level of issuing authorities, for a root that is kept offline */
		.key_usage = SMQ_KEY_USAGE_ISSUE,
	};
	if (above && t.not_after_ms > above->until_ms)
		t.not_after_ms = above->until_ms;
	if (above && t.not_before_ms < above->from_ms)
		t.not_before_ms = above->from_ms;
	return t;
}

/* A root signs itself, and can then sign others. */
static smq_err certify_root(const struct smq_cert_template *t, struct authority *a)
{
	smq_span none = { NULL, 0 };
	smq_err err;
	if (!a->key.remote.sign) {
		err = smq_ca_make_cert(t, smq_pem_span(&a->key.key), none, none, &a->cert);
		return err == SMQ_OK ? smq_ca_issuer_new(smq_pem_span(&a->cert), smq_pem_span(&a->key.key), &a->issuer)
				     : err;
	}
	err = smq_ca_issuer_new_remote(none, &a->key.remote, &a->issuer);
	if (err != SMQ_OK)
		return err;
	a->key.remote.free = NULL; /* the issuer has it */
	return smq_ca_issuer_root(a->issuer, t, smq_pem_span(&a->key.public), &a->cert);
}

/* Without one above it, it is a root. */
static smq_err make(const char *realm, enum smq_curve curve, int days, const struct keeping *keep,
		    const struct authority *above, struct authority *ret)
{
	struct smq_cert_template t = template_of(days, above);
	t.common_name = ret->name;
	smq_err err = smq_ca_new_serial(t.serial);
	if (err == SMQ_OK)
		err = name_of(realm, above, ret->later, t.serial, ret->name);
	if (err == SMQ_OK)
		err = smq_ca_key_make(keep->token, curve, ret->name, keep->passphrase_file, &ret->key);
	if (err == SMQ_OK)
		err = above ? smq_ca_issuer_certify(above->issuer, &t, smq_pem_span(&ret->key.public), &ret->cert)
			    : certify_root(&t, ret);
	memcpy(ret->serial, t.serial, sizeof(ret->serial));
	ret->from_ms = t.not_before_ms;
	ret->until_ms = t.not_after_ms;
	return err;
}

static smq_err put_key(const char *made, const char *name, const struct authority *a)
{
	return smq_ca_put_file(made, name, smq_pem_span(&a->key.file), 0600);
}

/* The event of the issuing authority: by its serial it can be revoked. */
static smq_err event_of(const struct authority *issuing, struct smq_ca_event *ret_event)
{
	struct smq_ca_event e = { .kind = SMQ_CA_AUTHORITY, .issued = { .name = "issuing" } };
	uint8_t hash[SMQ_HASH_LEN];
	smq_err err = smq_ca_fingerprint(smq_pem_span(&issuing->cert), hash);
	if (err == SMQ_OK)
		err =
		    smq_hex_encode(smq_span_of(hash, sizeof(hash)), e.issued.fingerprint, sizeof(e.issued.fingerprint));
	if (err == SMQ_OK)
		err = smq_hex_encode(smq_span_of(issuing->serial, SMQ_SERIAL_LEN), e.issued.serial, 33);
	e.issued.issued_ms = e.when_ms = smq_ca_now_ms();
	e.issued.not_before_ms = issuing->from_ms;
	e.issued.not_after_ms = issuing->until_ms;
	if (err == SMQ_OK)
		*ret_event = e;
	return err;
}

/* issuers/SERIAL, whole or not at all; its line in the log first. */
static smq_err put_issuing(const char *dir, const struct authority *issuing, int log, const struct smq_ca_event *e)
{
	char name[64];
	char path[SMQ_PATH_MAX];
	char made[SMQ_PATH_MAX];
	(void)snprintf(name, sizeof(name), "issuers/%s", e->issued.serial);
	smq_err err = smq_path_join(dir, name, path);
	if (err == SMQ_OK)
		err = smq_ca_make_beside(path, made);
	if (err != SMQ_OK)
		return err;
	err = smq_ca_put_file(made, "issuing.crt", smq_pem_span(&issuing->cert), 0644);
	if (err == SMQ_OK)
		err = put_key(made, "issuing.key", issuing);
	if (err == SMQ_OK && log >= 0)
		err = smq_ca_log_append(log, e, 1, smq_ca_why(), SMQ_WHY_MAX);
	if (err == SMQ_OK)
		err = smq_ca_appear(made, path);
	if (err != SMQ_OK)
		smq_dir_remove(made);
	return err;
}

/* A first list of the root's, so that its key can be taken away at once. */
static smq_err put_root_list(const char *made, const struct authority *root)
{
	int64_t now = smq_ca_now_ms();
	struct smq_pem crl = { NULL, 0 };
	smq_err err = smq_ca_issuer_crl(root->issuer, NULL, 0, 1, now - SMQ_CA_BACKDATE,
					now + SMQ_CA_ROOT_CRL_HOURS * SMQ_CA_HOUR, &crl);
	if (err == SMQ_OK)
		err = smq_ca_put_file(made, "root-crl.pem", smq_pem_span(&crl), 0644);
	smq_pem_free(&crl);
	return err;
}

static smq_err put_all(const char *made, const struct authority *root, const struct authority *issuing)
{
	struct smq_ca_event e;
	char line[LINE_MAX_LEN];
	char path[SMQ_PATH_MAX];
	size_t len = 0;
	smq_err err = smq_ca_put_file(made, "root.crt", smq_pem_span(&root->cert), 0644);
	if (err == SMQ_OK)
		err = put_key(made, "root.key", root);
	if (err == SMQ_OK && issuing->cert.len > 0) {
		err = smq_path_join(made, "issuers", path);
		if (err == SMQ_OK && mkdir(path, 0700) != 0)
			err = smq_err_of_errno(errno);
		if (err == SMQ_OK)
			err = event_of(issuing, &e);
		if (err == SMQ_OK)
			err = put_issuing(made, issuing, -1, &e);
		if (err == SMQ_OK)
			err = put_root_list(made, root);
		if (err == SMQ_OK)
			len = smq_ca_log_line(&e, line, sizeof(line));
	}
	return err == SMQ_OK ? smq_ca_put_file(made, "issued.log", smq_span_of((const uint8_t *)line, len), 0600) : err;
}

/* What was made in a token for nothing is taken out of it again. */
static smq_err settle(struct authority *a, smq_err err)
{
	if (err != SMQ_OK)
		smq_ca_new_key_undo(&a->key);
	authority_free(a);
	return err;
}

smq_err smq_ca_make_authorities(const char *made, const struct smq_realm_settings *settings,
				const struct smq_ca_init_options *o)
{
	struct authority root = { .from_ms = 0 };
	struct authority issuing = { .from_ms = 0 };
	const struct keeping keep = { o->pkcs11, o->passphrase_file };
	enum smq_curve curve = o->curve ? o->curve : SMQ_P256;
	smq_err err = make(settings->realm, curve, o->days ? o->days : SMQ_CA_ROOT_DAYS, &keep, NULL, &root);
	if (err == SMQ_OK && o->issuing) {
		char token[SMQ_PATH_MAX] = "";
		if (o->pkcs11) /* it may name the root's key; this one is made beside it */
			err = smq_ca_key_token_of(o->pkcs11, token);
		const struct keeping beside = { token, o->passphrase_file };
		if (err == SMQ_OK)
			err = make(settings->realm, curve, SMQ_CA_ISSUING_DAYS, &beside, &root, &issuing);
	}
	if (err == SMQ_OK)
		err = put_all(made, &root, &issuing);
	err = settle(&issuing, err);
	return settle(&root, err);
}

/* ---- another issuing authority ---- */

static smq_err read_root(const struct smq_ca_dir *ca, const char *passphrase_file, struct authority *ret_root)
{
	smq_span cert = smq_file_span(&ca->root);
	struct smq_file_bytes later = { NULL, 0 };
	smq_err err = SMQ_OK;
	if (ca->root_serial[0]) {
		err = smq_ca_dir_cert(ca, ca->root_serial, &later);
		cert = smq_file_span(&later);
	}
	if (err == SMQ_OK)
		err = smq_ca_key_open(ca, ca->root_serial, cert, passphrase_file, &ret_root->issuer);
	if (err == SMQ_OK)
		err = smq_ca_validity(cert, &ret_root->from_ms, &ret_root->until_ms);
	smq_file_bytes_free(&later);
	if (err == SMQ_ERR_NOT_FOUND && ca->root_serial[0])
		return smq_ca_because(err, "%s/roots/%s/root.key: is not here; bring it back for this", ca->dir,
				      ca->root_serial);
	if (err == SMQ_ERR_NOT_FOUND)
		return smq_ca_because(err, "%s/root.key: is not here; bring it back for this", ca->dir);
	if (err != SMQ_OK)
		return err;
	if (ret_root->until_ms <= smq_ca_now_ms())
		return smq_ca_because(SMQ_ERR_CERT_EXPIRED, "%s/root.crt: expired", ca->dir);
	return SMQ_OK;
}

static smq_err make_dir(const struct smq_ca_dir *ca, const char *name)
{
	char path[SMQ_PATH_MAX];
	smq_err err = smq_path_join(ca->dir, name, path);
	if (err == SMQ_OK && mkdir(path, 0700) != 0 && errno != EEXIST)
		err = smq_ca_because(smq_err_of_errno(errno), "%s: %s", path, strerror(errno));
	return err;
}

static smq_err rollover(struct smq_ca_dir *ca, const struct smq_ca_rollover_options *o,
			struct smq_ca_issued *ret_issued)
{
	struct authority root = { .from_ms = 0 };
	struct authority issuing = { .from_ms = 0 };
	struct smq_ca_event e = { .kind = SMQ_CA_AUTHORITY };
	char path[SMQ_PATH_MAX];
	char token[SMQ_PATH_MAX] = "";
	smq_err err = read_root(ca, o->passphrase_file, &root);
	if (err == SMQ_OK && !o->pkcs11) /* what was in a token stays in one */
		err = smq_ca_key_token(ca, token);
	const struct keeping keep = { o->pkcs11 ? o->pkcs11 : token, o->passphrase_file };
	if (err == SMQ_OK)
		err = make(ca->settings.realm, o->curve ? o->curve : SMQ_P256, o->days ? o->days : SMQ_CA_ISSUING_DAYS,
			   &keep, &root, &issuing);
	if (err == SMQ_OK)
		err = event_of(&issuing, &e);
	memcpy(e.issued.issuer, ca->root_serial, sizeof(e.issued.issuer));
	if (err == SMQ_OK)
		err = make_dir(ca, "issuers");
	if (err == SMQ_OK && !ca->root_serial[0] && smq_path_join(ca->dir, "root-crl.pem", path) == SMQ_OK &&
	    access(path, F_OK) != 0)
		err = put_root_list(ca->dir, &root);
	if (err == SMQ_OK)
		err = put_issuing(ca->dir, &issuing, ca->log, &e);
	if (err == SMQ_OK)
		*ret_issued = e.issued;
	err = settle(&issuing, err);
	authority_free(&root);
	return err;
}

static const struct smq_ca_rollover_options usual_rollover;

static smq_err check_rollover(const struct smq_ca_rollover_options *o, const char *what)
{
	if (o->days < 0 || o->days > SMQ_CA_DAYS_MAX)
		return smq_ca_because(SMQ_ERR_USAGE, "%s is valid for 1 to 36500 days", what);
	if (!smq_ca_authority_curve(o->curve))
		return smq_ca_because(SMQ_ERR_USAGE, "an authority's key is of P-256, P-384 or Ed25519");
	return SMQ_OK;
}

smq_err smq_ca_rollover(const char *dir, const struct smq_ca_rollover_options *options,
			struct smq_ca_issued *ret_issued, const char **ret_why)
{
	const struct smq_ca_rollover_options *o = options ? options : &usual_rollover;
	struct smq_ca_dir ca;
	smq_ca_begin(ret_why);
	smq_err err = check_rollover(o, "an issuing authority");
	if (err != SMQ_OK)
		return err;
	err = smq_ca_dir_open(dir, &ca);
	if (err == SMQ_OK)
		err = rollover(&ca, o, ret_issued);
	smq_ca_dir_close(&ca);
	return smq_ca_finish(err);
}

/* ---- another root ---- */

/*
 * What the root before says of the new one: its name and key under the old signature. An issuing authority has path
 * length 0; this has 1, which only a root can give, so that no issuing authority can make itself a root by it.
 */
static smq_err make_link(const struct authority *before, const struct authority *after, struct smq_pem *ret_link)
{
	struct smq_cert_template t = template_of(SMQ_CA_DAYS_MAX, before);
	t.common_name = after->name;
	t.path_len = 1;
	if (t.not_after_ms > after->until_ms)
		t.not_after_ms = after->until_ms;
	smq_err err = smq_ca_new_serial(t.serial);
	return err == SMQ_OK ? smq_ca_issuer_certify(before->issuer, &t, smq_pem_span(&after->cert), ret_link) : err;
}

/* roots/SERIAL, whole or not at all; its line in the log first. */
static smq_err put_root(const struct smq_ca_dir *ca, const struct authority *a, const struct smq_pem *link,
			const struct smq_ca_event *e)
{
	char name[64];
	char path[SMQ_PATH_MAX];
	char made[SMQ_PATH_MAX];
	(void)snprintf(name, sizeof(name), "roots/%s", e->issued.serial);
	smq_err err = smq_path_join(ca->dir, name, path);
	if (err == SMQ_OK)
		err = smq_ca_make_beside(path, made);
	if (err != SMQ_OK)
		return err;
	err = smq_ca_put_file(made, "root.crt", smq_pem_span(&a->cert), 0644);
	if (err == SMQ_OK)
		err = smq_ca_put_file(made, "link.crt", smq_pem_span(link), 0644);
	if (err == SMQ_OK)
		err = put_key(made, "root.key", a);
	if (err == SMQ_OK)
		err = put_root_list(made, a);
	if (err == SMQ_OK)
		err = smq_ca_log_append(ca->log, e, 1, smq_ca_why(), SMQ_WHY_MAX);
	if (err == SMQ_OK)
		err = smq_ca_appear(made, path);
	if (err != SMQ_OK)
		smq_dir_remove(made);
	return err;
}

/* root.crt: those before, and the new one behind them. */
static smq_err publish_root(const struct smq_ca_dir *ca, const struct authority *a)
{
	char path[SMQ_PATH_MAX];
	struct smq_pem both = { .p = malloc(ca->root.len + a->cert.len), .len = ca->root.len + a->cert.len };
	if (!both.p)
		return SMQ_ERR_NO_MEMORY;
	memcpy(both.p, ca->root.p, ca->root.len);
	memcpy(both.p + ca->root.len, a->cert.p, a->cert.len);
	smq_err err = smq_path_join(ca->dir, "root.crt", path);
	if (err == SMQ_OK)
		err = smq_file_put(path, smq_pem_span(&both), 0644, true, smq_ca_why(), SMQ_WHY_MAX);
	smq_pem_free(&both);
	return err;
}

static smq_err rollover_root(struct smq_ca_dir *ca, const struct smq_ca_rollover_options *o,
			     struct smq_ca_issued *ret_issued)
{
	struct authority before = { .from_ms = 0 };
	struct authority after = { .later = true };
	struct smq_pem link = { NULL, 0 };
	const struct keeping keep = { o->pkcs11, o->passphrase_file };
	struct smq_ca_event e = { .kind = SMQ_CA_ROOT };
	smq_err err = read_root(ca, o->passphrase_file, &before);
	if (err == SMQ_OK)
		err = make(ca->settings.realm, o->curve ? o->curve : SMQ_P256, o->days ? o->days : SMQ_CA_ROOT_DAYS,
			   &keep, NULL, &after);
	if (err == SMQ_OK)
		err = make_link(&before, &after, &link);
	if (err == SMQ_OK)
		err = event_of(&after, &e);
	e.kind = SMQ_CA_ROOT;
	(void)snprintf(e.issued.name, sizeof(e.issued.name), "root");
	if (err == SMQ_OK)
		err = make_dir(ca, "roots");
	if (err == SMQ_OK)
		err = put_root(ca, &after, &link, &e);
	if (err != SMQ_OK)
		smq_ca_new_key_undo(&after.key);
	else
		err = publish_root(ca, &after);
	authority_free(&after);
	if (err == SMQ_OK)
		*ret_issued = e.issued;
	smq_pem_free(&link);
	authority_free(&before);
	return err;
}

smq_err smq_ca_rollover_root(const char *dir, const struct smq_ca_rollover_options *options,
			     struct smq_ca_issued *ret_issued, const char **ret_why)
{
	const struct smq_ca_rollover_options *o = options ? options : &usual_rollover;
	struct smq_ca_dir ca;
	smq_ca_begin(ret_why);
	smq_err err = check_rollover(o, "a root");
	if (err != SMQ_OK)
		return err;
	err = smq_ca_dir_open(dir, &ca);
	if (err == SMQ_OK && ca.issuer.len == 0)
		err = smq_ca_because(SMQ_ERR_STATE,
				     "%s: its root issues certificates itself; `sealmq ca rollover` "
				     "makes an issuing authority, which comes first",
				     dir);
	if (err == SMQ_OK)
		err = rollover_root(&ca, o, ret_issued);
	if (err == SMQ_OK)
		err = smq_ca_carry_roots(&ca, o->to, o->to_count);
	smq_ca_dir_close(&ca);
	return smq_ca_finish(err);
}

bool smq_ca_authority_curve(enum smq_curve curve)
{
	return curve == 0 || curve == SMQ_P256 || curve == SMQ_P384 || curve == SMQ_ED25519;
}
