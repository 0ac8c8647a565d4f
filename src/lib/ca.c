/* Making a realm's certification authority: its directory, keys, certificates and first log. */
#include <sealmq/ca.h>

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/text.h"
#include "lib/ca_authority.h"
#include "lib/ca_dir.h"

/* The directory as a path that can be renamed to: no slashes at its end, and "." by its real name. */
static smq_err target_of(const char *dir, char ret_path[SMQ_PATH_MAX])
{
	struct stat st;
	size_t len = strlen(dir);
	while (len > 1 && dir[len - 1] == '/')
		len--;
	if (len == 0 || len >= SMQ_PATH_MAX - 64)
		return smq_ca_because(SMQ_ERR_USAGE, "a CA needs a directory of its own to be made in");
	memcpy(ret_path, dir, len);
	ret_path[len] = 0;
	if (lstat(ret_path, &st) != 0)
		return SMQ_OK;
	DIR *open = S_ISDIR(st.st_mode) ? opendir(ret_path) : NULL;
	int entries = 0;
	while (open && readdir(open) != NULL)
		entries++;
	if (open)
		closedir(open);
	if (!open || entries > 2)
		return smq_ca_because(SMQ_ERR_EXISTS, "%s: exists already and is not empty", ret_path);
	char real[PATH_MAX];
	if (!realpath(ret_path, real) || strlen(real) >= SMQ_PATH_MAX - 64)
		return smq_ca_because(SMQ_ERR_IO, "%s: %s", ret_path, strerror(errno));
	memcpy(ret_path, real, strlen(real) + 1);
	return SMQ_OK;
}

static smq_err settings_of(const struct smq_ca_init_options *o, const char *path, struct smq_realm_settings *ret)
{
	struct smq_realm_settings s = { .realm = "" };
	const char *slash = strrchr(path, '/');
	const char *realm = o->realm ? o->realm : slash ? slash + 1 : path;

	if (!smq_name_valid(smq_span_str(realm)))
		return smq_ca_because(
		    SMQ_ERR_NAME, "'%s' is no name for a realm: 1 to 64 of A-Z a-z 0-9 - _ (--realm sets it)", realm);
	(void)snprintf(s.realm, sizeof(s.realm), "%s", realm);
	if (o->control_prefix && snprintf(s.control_prefix, sizeof(s.control_prefix), "%s", o->control_prefix) >=
				     (int)sizeof(s.control_prefix))
		return smq_ca_because(SMQ_ERR_USAGE, "the control prefix is too long");
	if (o->keyex_topic &&
	    snprintf(s.keyex_topic, sizeof(s.keyex_topic), "%s", o->keyex_topic) >= (int)sizeof(s.keyex_topic))
		return smq_ca_because(SMQ_ERR_USAGE, "the key exchange topic is too long");
	(void)snprintf(s.insecure_stale_crl, sizeof(s.insecure_stale_crl), "%s",
		       o->insecure_stale_crl ? "true" : "false");
	smq_err err = smq_realm_settings_complete(&s, smq_ca_why(), SMQ_WHY_MAX);
	if (err == SMQ_OK)
		*ret = s;
	return err;
}

static smq_err put_settings(const char *made, const struct smq_realm_settings *settings)
{
	char path[SMQ_PATH_MAX];
	smq_err err = smq_path_join(made, "members", path);
	if (err == SMQ_OK && mkdir(path, 0700) != 0)
		err = smq_err_of_errno(errno);
	if (err == SMQ_OK)
		err = smq_path_join(made, "realm.yaml", path);
	return err == SMQ_OK ? smq_realm_yaml_write(path, settings, smq_ca_why(), SMQ_WHY_MAX) : err;
}

static smq_err check_init(const struct smq_ca_init_options *o)
{
	if (o->days && (o->days < 1 || o->days > SMQ_CA_DAYS_MAX))
		return smq_ca_because(SMQ_ERR_USAGE, "a root is valid for 1 to 36500 days");
	if (!smq_ca_authority_curve(o->curve))
		return smq_ca_because(SMQ_ERR_USAGE, "an authority's key is of P-256, P-384 or Ed25519");
	return SMQ_OK;
}

smq_err smq_ca_init(const char *dir, const struct smq_ca_init_options *options, const char **ret_why)
{
	static const struct smq_ca_init_options defaults;
	const struct smq_ca_init_options *o = options ? options : &defaults;
	struct smq_realm_settings settings;
	char path[SMQ_PATH_MAX];
	char made[SMQ_PATH_MAX];

	smq_ca_begin(ret_why);
	smq_err err = check_init(o);
	if (err == SMQ_OK)
		err = target_of(dir, path);
	if (err == SMQ_OK)
		err = settings_of(o, path, &settings);
	if (err == SMQ_OK)
		err = smq_ca_make_beside(path, made);
	if (err != SMQ_OK)
		return smq_ca_finish(err);
	err = put_settings(made, &settings);
	if (err == SMQ_OK)
		err = smq_ca_make_authorities(made, &settings, o);
	if (err == SMQ_OK)
		err = smq_ca_appear(made, path);
	if (err != SMQ_OK)
		smq_dir_remove(made);
	return smq_ca_finish(err);
}
