/* The device's side of an identity: its key and its request, and taking what the authority made of it. */
#include <sealmq/ca.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "adapters/x509_openssl/x509.h"
#include "base/text.h"
#include "lib/ca_dir.h"

static smq_err put_one(const char *dir, const char *name, smq_span bytes, mode_t mode)
{
	char path[SMQ_PATH_MAX];
	smq_err err = smq_path_join(dir, name, path);
	return err == SMQ_OK ? smq_file_put(path, bytes, mode, true, smq_ca_why(), SMQ_WHY_MAX) : err;
}

/* ---- asking ---- */

struct request {
	char name[65];
	bool renewal; /* the directory is in use already */
	struct smq_pem key, csr;
};

static smq_err certified_name(const char *dir, struct request *r)
{
	struct smq_file_bytes cert = { NULL, 0 };
	struct smq_ca_holder holder;
	bool renewed = smq_dir_has(dir, "member.pem");
	smq_err err =
	    smq_dir_read(dir, renewed ? "member.pem" : "member.crt", renewed, &cert, smq_ca_why(), SMQ_WHY_MAX);
	if (err == SMQ_OK && smq_ca_read_holder(smq_file_span(&cert), &holder) != SMQ_OK)
		err = smq_ca_because(SMQ_ERR_CORRUPT, "%s: its certificate does not read as PEM", dir);
	if (err == SMQ_OK)
		memcpy(r->name, holder.name, sizeof(r->name));
	smq_file_bytes_free(&cert);
	return err;
}

static smq_err choose_name(const char *dir, const struct smq_ca_csr_options *o, struct request *r)
{
	smq_err err = SMQ_OK;
	r->renewal = smq_dir_has(dir, "member.crt") || smq_dir_has(dir, "member.pem");
	if (r->renewal)
		err = certified_name(dir, r);
	else if (!o->name)
		err = smq_ca_because(SMQ_ERR_USAGE, "%s: holds no certificate whose name it could have; --name NAME",
				     dir);
	else if (!smq_name_valid(smq_span_str(o->name)))
		err = smq_ca_because(SMQ_ERR_NAME, "'%s' is no name for a member: 1 to 64 of A-Z a-z 0-9 - _", o->name);
	else
		(void)snprintf(r->name, sizeof(r->name), "%s", o->name);
	if (err == SMQ_OK && r->renewal && o->name && strcmp(o->name, r->name) != 0)
		err = smq_ca_because(SMQ_ERR_EXISTS, "%s: is %s's already", dir, r->name);
	if (err == SMQ_OK && !r->renewal && smq_dir_has(dir, "member.key"))
		err = smq_ca_because(SMQ_ERR_EXISTS, "%s/member.key: exists already", dir);
	return err;
}

static smq_err write_down(const char *dir, const struct request *r)
{
	char path[SMQ_PATH_MAX];
	char made[SMQ_PATH_MAX];
	smq_err err;
	if (r->renewal) {
		err = put_one(dir, "next.key", smq_pem_span(&r->key), 0600);
		return err == SMQ_OK ? put_one(dir, "next.csr", smq_pem_span(&r->csr), 0644) : err;
	}
	if (snprintf(path, sizeof(path), "%s", dir) >= (int)sizeof(path))
		return SMQ_ERR_TOO_LARGE;
	for (size_t len = strlen(path); len > 1 && path[len - 1] == '/'; len--)
		path[len - 1] = 0;
	err = smq_ca_make_beside(path, made);
	if (err != SMQ_OK)
		return err;
	err = smq_ca_put_file(made, "member.key", smq_pem_span(&r->key), 0600);
	if (err == SMQ_OK)
		err = smq_ca_put_file(made, "member.csr", smq_pem_span(&r->csr), 0644);
	if (err == SMQ_OK)
		err = smq_ca_appear(made, path);
	if (err != SMQ_OK)
		smq_dir_remove(made);
	return err;
}

smq_err smq_ca_csr(const char *dir, const struct smq_ca_csr_options *o, char *ret_path, const char **ret_why)
{
	struct request r = { .name = "" };
	enum smq_curve curve = o->curve ? o->curve : SMQ_P256;
	smq_ca_begin(ret_why);
	if (curve != SMQ_P256 && curve != SMQ_ED25519 && curve != SMQ_P384)
		return smq_ca_because(SMQ_ERR_USAGE,
				      "a key that can sign its own request is of P-256, P-384 or Ed25519");
	smq_err err = choose_name(dir, o, &r);
	if (err == SMQ_OK)
		err = smq_ca_make_key(curve, &r.key);
	if (err == SMQ_OK)
		err = smq_ca_make_request(smq_pem_span(&r.key), r.name, &r.csr);
	if (err == SMQ_OK)
		err = write_down(dir, &r);
	if (err == SMQ_OK)
		err = smq_path_join(dir, r.renewal ? "next.csr" : "member.csr", ret_path);
	smq_pem_free(&r.key);
	smq_pem_free(&r.csr);
	return smq_ca_finish(err);
}

/* ---- taking ---- */

struct taking {
	const char *dir, *from;
	bool renewal;
	struct smq_file_bytes root, cert, key, settings, crl;
};

/* In a realm that is trusted already, trust does not change by a renewal. */
static smq_err check_trust(const struct taking *t)
{
	struct smq_realm_settings settings;
	char path[SMQ_PATH_MAX];
	struct smq_x509 *x = NULL;
	struct smq_x509_own own;
	smq_err err = smq_path_join(t->renewal ? t->dir : t->from, "realm.yaml", path);
	if (err == SMQ_OK)
		err = smq_realm_yaml_load(path, &settings, smq_ca_why(), SMQ_WHY_MAX);
	if (err != SMQ_OK)
		return err;
	struct smq_x509_config config = { .realm = settings.realm, .root_pem = smq_file_span(&t->root) };
	err = smq_x509_new(&config, &x);
	if (err == SMQ_OK)
		err = smq_x509_own(x, smq_file_span(&t->cert), smq_ca_now_ms(), &own);
	smq_x509_free(x);
	if (err != SMQ_OK)
		return smq_ca_because(err, "%s/member.crt: %s", t->from, smq_err_text(err));
	if (!smq_ca_key_fits(smq_file_span(&t->key), smq_file_span(&t->cert)))
		return smq_ca_because(SMQ_ERR_CERT_INVALID, "%s/member.crt: not for the key in %s", t->from, t->dir);
	return SMQ_OK;
}

static smq_err read_all(struct taking *t)
{
	smq_err err = SMQ_OK;
	t->renewal = smq_dir_has(t->dir, "next.key");
	if (!t->renewal && (smq_dir_has(t->dir, "member.crt") || smq_dir_has(t->dir, "member.pem")))
		return smq_ca_because(SMQ_ERR_EXISTS, "%s: has a certificate already, and no request is open", t->dir);
	err = smq_dir_read(t->dir, t->renewal ? "next.key" : "member.key", true, &t->key, smq_ca_why(), SMQ_WHY_MAX);
	if (err == SMQ_OK)
		err = smq_dir_read(t->from, "member.crt", false, &t->cert, smq_ca_why(), SMQ_WHY_MAX);
	if (err == SMQ_OK)
		err =
		    smq_dir_read(t->renewal ? t->dir : t->from, "root.crt", false, &t->root, smq_ca_why(), SMQ_WHY_MAX);
	if (err == SMQ_OK && !t->renewal)
		err = smq_dir_read(t->from, "realm.yaml", false, &t->settings, smq_ca_why(), SMQ_WHY_MAX);
	if (err == SMQ_OK && !t->renewal && smq_dir_has(t->from, "crl.pem")) {
		char path[SMQ_PATH_MAX];
		err = smq_path_join(t->from, "crl.pem", path);
		if (err == SMQ_OK)
			err = smq_file_read_most(path, false, SMQ_CRL_FILE_MAX, &t->crl, smq_ca_why(), SMQ_WHY_MAX);
	}
	return err;
}

/* The certificate comes last: with it the directory is one. */
static smq_err put_first(const struct taking *t)
{
	smq_err err = put_one(t->dir, "root.crt", smq_file_span(&t->root), 0644);
	if (err == SMQ_OK)
		err = put_one(t->dir, "realm.yaml", smq_file_span(&t->settings), 0644);
	if (err == SMQ_OK && t->crl.len > 0)
		err = put_one(t->dir, "crl.pem", smq_file_span(&t->crl), 0644);
	return err == SMQ_OK ? put_one(t->dir, "member.crt", smq_file_span(&t->cert), 0644) : err;
}

static smq_err put_renewed(const struct taking *t)
{
	char path[SMQ_PATH_MAX];
	struct smq_file_bytes both = { .p = malloc(t->key.len + t->cert.len), .len = t->key.len + t->cert.len };
	if (!both.p)
		return SMQ_ERR_NO_MEMORY;
	memcpy(both.p, t->key.p, t->key.len);
	memcpy(both.p + t->key.len, t->cert.p, t->cert.len);
	smq_err err = put_one(t->dir, "member.pem", smq_file_span(&both), 0600);
	smq_file_bytes_free(&both);
	if (err == SMQ_OK && smq_path_join(t->dir, "next.key", path) == SMQ_OK && unlink(path) != 0 && errno != ENOENT)
		err = smq_ca_because(smq_err_of_errno(errno), "%s: %s", path, strerror(errno));
	if (err == SMQ_OK && smq_path_join(t->dir, "next.csr", path) == SMQ_OK)
		(void)unlink(path);
	return err;
}

smq_err smq_ca_accept(const char *dir, const char *signed_dir, const char **ret_why)
{
	struct taking t = { .dir = dir, .from = signed_dir };
	smq_ca_begin(ret_why);
	smq_err err = read_all(&t);
	if (err == SMQ_OK)
		err = check_trust(&t);
	if (err == SMQ_OK)
		err = t.renewal ? put_renewed(&t) : put_first(&t);
	smq_file_bytes_free(&t.root);
	smq_file_bytes_free(&t.cert);
	smq_file_bytes_free(&t.key);
	smq_file_bytes_free(&t.settings);
	smq_file_bytes_free(&t.crl);
	return smq_ca_finish(err);
}
