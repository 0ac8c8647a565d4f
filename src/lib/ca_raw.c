/* A member without a certificate: a realm directory with a key that is to be registered (PROTOCOL.md 7.8). */
#include <sealmq/ca.h>

#include <stdio.h>

#include "adapters/crypto_openssl/signer.h"
#include "lib/ca_identity.h"

static smq_err public_of(const struct smq_pem *key, struct smq_pem *ret_public)
{
	struct smq_signer signer;
	uint8_t point[SMQ_PUBLIC_KEY_MAX];
	size_t len = 0;
	smq_err err = smq_openssl_signer_from_pem(smq_pem_span(key), true, &signer);
	if (err != SMQ_OK)
		return err;
	err = smq_openssl_signer_public(&signer, point, &len);
	if (err == SMQ_OK)
		err = smq_ca_public_of_point(SMQ_P256, smq_span_of(point, len), ret_public);
	smq_openssl_signer_free(&signer);
	return err;
}

/* The realm's settings, and whose directory this is: nothing else in it says so. */
static smq_err put_settings(const struct smq_ca_identity *i, const char *made)
{
	struct smq_realm_settings settings = i->ca.settings;
	char path[SMQ_PATH_MAX];
	smq_err err = smq_path_join(made, "realm.yaml", path);
	(void)snprintf(settings.member, sizeof(settings.member), "%s", i->name);
	return err == SMQ_OK ? smq_realm_yaml_write(path, &settings, smq_ca_why(), SMQ_WHY_MAX) : err;
}

static smq_err fill(const struct smq_ca_identity *i, const char *made, const struct smq_pem *public)
{
	struct smq_file_bytes crl = { NULL, 0 };
	smq_err err = put_settings(i, made);
	if (err == SMQ_OK)
		err = smq_ca_put_file(made, "root.crt", smq_file_span(&i->ca.root), 0644);
	if (err == SMQ_OK)
		err = smq_ca_put_file(made, "member.key", smq_pem_span(&i->key), 0600);
	if (err == SMQ_OK)
		err = smq_ca_put_file(made, "member.pub", smq_pem_span(public), 0644);
	if (err == SMQ_OK)
		err = smq_ca_dir_crl(&i->ca, &crl);
	if (err == SMQ_OK && crl.len > 0)
		err = smq_ca_put_file(made, "crl.pem", smq_file_span(&crl), 0644);
	smq_file_bytes_free(&crl);
	return err;
}

static smq_err make(struct smq_ca_identity *i)
{
	char made[SMQ_PATH_MAX];
	struct smq_pem public = { NULL, 0 };
	if (smq_path_there(i->issued.dir))
		return smq_ca_because(SMQ_ERR_EXISTS, "%s: exists already", i->issued.dir);
	smq_err err = smq_ca_identity_check_new(i);
	if (err == SMQ_OK)
		err = smq_ca_make_key(SMQ_P256, &i->key);
	if (err == SMQ_OK)
		err = public_of(&i->key, &public);
	smq_ca_identity_sweep(i);
	if (err == SMQ_OK)
		err = smq_ca_make_beside(i->issued.dir, made);
	if (err == SMQ_OK) {
		err = fill(i, made, &public);
		if (err == SMQ_OK)
			err = smq_ca_appear(made, i->issued.dir);
		if (err != SMQ_OK)
			smq_dir_remove(made);
	}
	smq_pem_free(&public);
	return err;
}

smq_err smq_ca_raw(const char *dir, const char *name, char *ret_dir, const char **ret_why)
{
	const struct smq_ca_issue_options options = { .name = name };
	struct smq_ca_identity i;
	smq_ca_begin(ret_why);
	smq_err err = smq_ca_identity_begin(&i, dir, &options, name, SMQ_P256);
	if (err == SMQ_OK)
		err = make(&i);
	if (err == SMQ_OK)
		memcpy(ret_dir, i.issued.dir, sizeof(i.issued.dir));
	smq_ca_identity_release(&i);
	return smq_ca_finish(err);
}
