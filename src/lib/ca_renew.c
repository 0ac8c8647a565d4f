/* Renewing identities whose directory is here, with everything the one before could do. */
#include <sealmq/ca.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "lib/ca_identity.h"

/* What its certificate says; in use is member.pem where it is there. */
static smq_err read_before(const char *dir, struct smq_file_bytes *ret_cert, struct smq_ca_holder *ret_holder)
{
	char path[SMQ_PATH_MAX];
	bool renewed = smq_dir_has(dir, "member.pem");
	const char *name = renewed ? "member.pem" : smq_dir_has(dir, "server.crt") ? "server.crt" : "member.crt";
	smq_err err = smq_path_join(dir, name, path);
	if (err == SMQ_OK)
		err = smq_file_read(path, renewed, ret_cert, smq_ca_why(), SMQ_WHY_MAX);
	if (err == SMQ_OK && smq_ca_read_holder(smq_file_span(ret_cert), ret_holder) != SMQ_OK)
		err = smq_ca_because(SMQ_ERR_CORRUPT, "%s: not a certificate in PEM", path);
	return err;
}

/* Key and certificate in one file: one rename, and never one without the other. */
static smq_err put_pem(const struct smq_ca_identity *i, smq_span key)
{
	char path[SMQ_PATH_MAX];
	struct smq_pem both = { .p = malloc(key.len + i->chain.len), .len = key.len + i->chain.len };
	if (!both.p)
		return SMQ_ERR_NO_MEMORY;
	memcpy(both.p, key.p, key.len);
	memcpy(both.p + key.len, i->chain.p, i->chain.len);
	smq_err err = smq_path_join(i->issued.dir, "member.pem", path);
	if (err == SMQ_OK)
		err = smq_file_put(path, smq_pem_span(&both), 0600, true, smq_ca_why(), SMQ_WHY_MAX);
	smq_pem_free(&both);
	return err;
}

/* The certificate goes, the key stays. */
static smq_err put_same_key(const struct smq_ca_identity *i)
{
	char path[SMQ_PATH_MAX];
	struct smq_file_bytes old = { NULL, 0 };
	struct smq_pem key = { NULL, 0 };
	bool renewed = smq_dir_has(i->issued.dir, "member.pem");
	const char *name = renewed ? "member.pem" : i->roles == SMQ_ROLE_BROKER ? "server.crt" : "member.crt";
	smq_err err = smq_path_join(i->issued.dir, name, path);
	if (err == SMQ_OK && !renewed)
		return smq_file_put(path, smq_pem_span(&i->chain), 0644, true, smq_ca_why(), SMQ_WHY_MAX);
	if (err == SMQ_OK)
		err = smq_file_read(path, true, &old, smq_ca_why(), SMQ_WHY_MAX);
	if (err == SMQ_OK)
		err = smq_ca_open_key(smq_file_span(&old), smq_span_of(NULL, 0), &key);
	if (err == SMQ_OK)
		err = put_pem(i, smq_pem_span(&key));
	smq_pem_free(&key);
	smq_file_bytes_free(&old);
	return err;
}

/* A broker's directory holds nothing that lives: a whole new one takes its place. */
static smq_err exchange(struct smq_ca_identity *i)
{
	char made[SMQ_PATH_MAX];
	char before[SMQ_PATH_MAX];
	smq_err err = smq_ca_make_beside(i->issued.dir, made);
	if (err != SMQ_OK)
		return err;
	err = smq_ca_identity_fill(i, made);
	if (err == SMQ_OK)
		err = smq_dir_sync(made);
	if (err == SMQ_OK &&
	    snprintf(before, sizeof(before), "%s.before-%.8s", i->issued.dir, i->issued.serial) >= (int)sizeof(before))
		err = SMQ_ERR_TOO_LARGE;
	if (err == SMQ_OK)
		err = smq_ca_identity_log(i);
	if (err == SMQ_OK && renameat2(AT_FDCWD, made, AT_FDCWD, i->issued.dir, RENAME_EXCHANGE) != 0)
		err = smq_ca_because(smq_err_of_errno(errno), "%s: %s", i->issued.dir, strerror(errno));
	if (err != SMQ_OK) {
		smq_dir_remove(made);
		return err;
	}
	if (rename(made, before) != 0)
		return smq_ca_because(smq_err_of_errno(errno), "%s: %s", before, strerror(errno));
	return smq_dir_sync(i->members);
}

static smq_err put(struct smq_ca_identity *i, bool keep_key)
{
	smq_err err;
	if (!keep_key && i->roles == SMQ_ROLE_BROKER)
		return exchange(i);
	err = smq_ca_identity_log(i);
	if (err != SMQ_OK)
		return err;
	return keep_key ? put_same_key(i) : put_pem(i, smq_pem_span(&i->key));
}

static smq_err renew(struct smq_ca_identity *i, smq_span before, bool keep_key)
{
	smq_err err = keep_key ? smq_ca_identity_certify(i, before) : smq_ca_identity_make(i);
	return err == SMQ_OK ? put(i, keep_key) : err;
}

static smq_err find(const char *dir, const char *name, char ret_path[SMQ_PATH_MAX])
{
	char members[SMQ_PATH_MAX];
	if (!name || !smq_name_valid(smq_span_str(name)))
		return smq_ca_because(SMQ_ERR_NAME, "'%s' is no name for a member: 1 to 64 of A-Z a-z 0-9 - _",
				      name ? name : "");
	smq_err err = smq_path_join(dir, "members", members);
	if (err == SMQ_OK)
		err = smq_path_join(members, name, ret_path);
	if (err == SMQ_OK && !smq_dir_has(members, name))
		return smq_ca_because(SMQ_ERR_NOT_FOUND,
				      "%s: is not here; `sealmq ca csr` where it is, and `sealmq ca sign` here",
				      ret_path);
	return err;
}

static bool has_key(const char *dir)
{
	return smq_dir_has(dir, "member.key") || smq_dir_has(dir, "server.key") || smq_dir_has(dir, "member.pem");
}

smq_err smq_ca_renew(const char *dir, const struct smq_ca_renew_options *o, struct smq_ca_issued *ret_issued,
		     const char **ret_why)
{
	char path[SMQ_PATH_MAX];
	const char *dns[SMQ_CA_HOSTS_MAX];
	const char *ip[SMQ_CA_HOSTS_MAX];
	struct smq_ca_identity i = { .ca = { .log = -1 } };
	struct smq_file_bytes cert = { NULL, 0 };
	struct smq_ca_holder holder;

	smq_ca_begin(ret_why);
	smq_err err = find(dir, o->name, path);
	if (err == SMQ_OK && !o->keep_key && !has_key(path))
		err = smq_ca_because(SMQ_ERR_STATE,
				     "%s: its key is where it was made: `sealmq ca csr` there, or "
				     "--keep-key",
				     path);
	if (err == SMQ_OK)
		err = read_before(path, &cert, &holder);
	if (err != SMQ_OK)
		goto out;
	for (size_t k = 0; k < holder.dns_count; k++)
		dns[k] = holder.dns[k];
	for (size_t k = 0; k < holder.ip_count; k++)
		ip[k] = holder.ip[k];
	struct smq_ca_issue_options io = { .roles = holder.roles,
					   .days = o->days,
					   .key_agreement = holder.key_agreement,
					   .dns = dns,
					   .dns_count = holder.dns_count,
					   .ip = ip,
					   .ip_count = holder.ip_count,
					   .passphrase_file = o->passphrase_file };
	err = smq_ca_identity_begin(&i, dir, &io, o->name, holder.curve);
	if (err == SMQ_OK)
		err = renew(&i, smq_file_span(&cert), o->keep_key);
	if (err == SMQ_OK)
		*ret_issued = i.issued;
out:
	smq_ca_identity_release(&i);
	smq_file_bytes_free(&cert);
	return smq_ca_finish(err);
}
