/* A realm's certification authority in a directory: making one, and issuing identities. */
#include <sealmq/ca.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <sealmq/client.h>

#include "adapters/ca_openssl/ca_make.h"
#include "adapters/config_yaml/realm_yaml.h"
#include "app/roles.h"
#include "base/text.h"
#include "lib/ca_log.h"
#include "lib/files.h"

#define SECOND INT64_C(1000)
#define DAY (86400 * SECOND)

/* Clocks of devices run behind by a little; a certificate is of use to them at once. */
#define BACKDATE (5 * 60 * SECOND)

static _Thread_local char why[SMQ_WHY_MAX];

static void begin_why(const char **ret_why)
{
	why[0] = 0;
	if (ret_why)
		*ret_why = why;
}

static smq_err finish(smq_err err)
{
	if (err != SMQ_OK && !why[0])
		(void)smq_because(err, why, sizeof(why), "%s", smq_err_text(err));
	return err;
}

static smq_err usage(const char *text) { return smq_because(SMQ_ERR_USAGE, why, sizeof(why), "%s", text); }

static int64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * SECOND;
}

static smq_err draw(uint8_t *room, size_t len)
{
	const struct smq_random *random = smq_random_system();
	return random->fill(random->self, smq_mspan_of(room, len));
}

static smq_span pem_span(const struct smq_pem *pem) { return smq_span_of(pem->p, pem->len); }

/* PATH.new-<8 hex digits>, made with mode 0700. */
static smq_err make_beside(const char *path, char ret_made[SMQ_PATH_MAX])
{
	uint8_t random[4];
	char hex[9];
	smq_err err = draw(random, sizeof(random));
	if (err == SMQ_OK)
		err = smq_hex_encode(smq_span_of(random, sizeof(random)), hex, sizeof(hex));
	if (err != SMQ_OK)
		return err;
	if (snprintf(ret_made, SMQ_PATH_MAX, "%s.new-%s", path, hex) >= SMQ_PATH_MAX)
		return smq_because(SMQ_ERR_TOO_LARGE, why, sizeof(why), "%s: the path is too long", path);
	if (mkdir(ret_made, 0700) != 0)
		return smq_because(smq_err_of_errno(errno), why, sizeof(why), "%s: %s", ret_made, strerror(errno));
	return SMQ_OK;
}

static smq_err put_file(const char *dir, const char *name, smq_span bytes, mode_t mode)
{
	char path[SMQ_PATH_MAX];
	smq_err err = smq_path_join(dir, name, path);
	return err == SMQ_OK ? smq_file_create(path, bytes, mode, why, sizeof(why)) : err;
}

/* Syncs the new directory, gives it its name, and syncs that. */
static smq_err appear(const char *made, const char *path)
{
	char parent[SMQ_PATH_MAX];
	char *slash;
	smq_err err = smq_dir_sync(made);

	if (err != SMQ_OK)
		return err;
	if (rename(made, path) != 0) {
		err = errno == ENOTDIR ? SMQ_ERR_EXISTS : smq_err_of_errno(errno);
		return smq_because(err, why, sizeof(why), "%s: %s", path,
				   err == SMQ_ERR_EXISTS ? "exists already" : strerror(errno));
	}
	(void)snprintf(parent, sizeof(parent), "%s", path);
	slash = strrchr(parent, '/');
	if (slash)
		slash[slash == parent ? 1 : 0] = 0;
	return smq_dir_sync(slash ? parent : ".");
}

static smq_err new_serial(uint8_t ret_serial[SMQ_SERIAL_LEN])
{
	smq_err err = draw(ret_serial, SMQ_SERIAL_LEN);
	ret_serial[0] = (uint8_t)((ret_serial[0] & 0x7f) | 0x40); /* positive, and always 16 bytes long */
	return err;
}

/* ---- init ---- */

/* The directory as a path that can be renamed to: no slashes at its end, and "." by its real name. */
static smq_err target_of(const char *dir, char ret_path[SMQ_PATH_MAX])
{
	struct stat st;
	size_t len = strlen(dir);
	while (len > 1 && dir[len - 1] == '/')
		len--;
	if (len == 0 || len >= SMQ_PATH_MAX - 64)
		return usage("a CA needs a directory of its own to be made in");
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
		return smq_because(SMQ_ERR_EXISTS, why, sizeof(why), "%s: exists already and is not empty", ret_path);
	char real[PATH_MAX];
	if (!realpath(ret_path, real) || strlen(real) >= SMQ_PATH_MAX - 64)
		return smq_because(SMQ_ERR_IO, why, sizeof(why), "%s: %s", ret_path, strerror(errno));
	memcpy(ret_path, real, strlen(real) + 1);
	return SMQ_OK;
}

static smq_err settings_of(const struct smq_ca_init_options *o, const char *path, struct smq_realm_settings *ret)
{
	struct smq_realm_settings s = { .realm = "" };
	const char *slash = strrchr(path, '/');
	const char *realm = o->realm ? o->realm : slash ? slash + 1 : path;

	if (!smq_name_valid(smq_span_str(realm)))
		return smq_because(SMQ_ERR_NAME, why, sizeof(why),
				   "'%s' is no name for a realm: 1 to 64 of A-Z a-z 0-9 - _ (--realm sets it)", realm);
	(void)snprintf(s.realm, sizeof(s.realm), "%s", realm);
	if (o->control_prefix && snprintf(s.control_prefix, sizeof(s.control_prefix), "%s", o->control_prefix) >=
				     (int)sizeof(s.control_prefix))
		return usage("the control prefix is too long");
	if (o->keyex_topic &&
	    snprintf(s.keyex_topic, sizeof(s.keyex_topic), "%s", o->keyex_topic) >= (int)sizeof(s.keyex_topic))
		return usage("the key exchange topic is too long");
	smq_err err = smq_realm_settings_complete(&s, why, sizeof(why));
	if (err == SMQ_OK)
		*ret = s;
	return err;
}

static smq_err make_root(const struct smq_realm_settings *settings, int days, struct smq_pem *ret_key,
			 struct smq_pem *ret_cert)
{
	char name[80];
	int64_t now = now_ms();
	struct smq_cert_template t = {
		.common_name = name,
		.not_before_ms = now - BACKDATE,
		.not_after_ms = now + days * DAY,
		.authority = true,
		.path_len = 1, /* one level of issuing authorities, for a root that is kept offline */
		.key_usage = SMQ_KEY_USAGE_ISSUE,
	};
	smq_span none = { NULL, 0 };
	(void)snprintf(name, sizeof(name), "%s root", settings->realm);
	smq_err err = new_serial(t.serial);
	if (err == SMQ_OK)
		err = smq_ca_make_key(SMQ_P256, ret_key);
	if (err == SMQ_OK)
		err = smq_ca_make_cert(&t, pem_span(ret_key), none, none, ret_cert);
	return err;
}

static smq_err fill_ca(const char *made, const struct smq_realm_settings *settings, int days)
{
	char path[SMQ_PATH_MAX];
	struct smq_pem key = { NULL, 0 };
	struct smq_pem cert = { NULL, 0 };
	smq_err err = make_root(settings, days, &key, &cert);

	if (err == SMQ_OK)
		err = smq_path_join(made, "members", path);
	if (err == SMQ_OK && mkdir(path, 0700) != 0)
		err = smq_err_of_errno(errno);
	if (err == SMQ_OK)
		err = smq_path_join(made, "realm.yaml", path);
	if (err == SMQ_OK)
		err = smq_realm_yaml_write(path, settings, why, sizeof(why));
	if (err == SMQ_OK)
		err = put_file(made, "root.crt", pem_span(&cert), 0644);
	if (err == SMQ_OK)
		err = put_file(made, "root.key", pem_span(&key), 0600);
	if (err == SMQ_OK)
		err = put_file(made, "issued.log", smq_span_of(NULL, 0), 0600);
	smq_pem_free(&key);
	smq_pem_free(&cert);
	return err;
}

static bool days_valid(int days) { return days >= 1 && days <= SMQ_CA_DAYS_MAX; }

smq_err smq_ca_init(const char *dir, const struct smq_ca_init_options *options, const char **ret_why)
{
	static const struct smq_ca_init_options defaults;
	const struct smq_ca_init_options *o = options ? options : &defaults;
	int days = o->days ? o->days : SMQ_CA_ROOT_DAYS;
	struct smq_realm_settings settings;
	char path[SMQ_PATH_MAX];
	char made[SMQ_PATH_MAX];

	begin_why(ret_why);
	smq_err err = days_valid(days) ? SMQ_OK : usage("a root is valid for 1 to 36500 days");
	if (err == SMQ_OK)
		err = target_of(dir, path);
	if (err == SMQ_OK)
		err = settings_of(o, path, &settings);
	if (err == SMQ_OK)
		err = make_beside(path, made);
	if (err != SMQ_OK)
		return finish(err);
	err = fill_ca(made, &settings, days);
	if (err == SMQ_OK)
		err = appear(made, path);
	if (err != SMQ_OK)
		smq_dir_remove(made);
	return finish(err);
}

/* ---- issue ---- */

/* What issuing works with; empty spans and -1 where it is not there yet. */
struct issuing {
	const char *dir;
	const struct smq_ca_issue_options *o;
	unsigned roles;
	int log;
	struct smq_realm_settings settings;
	struct smq_file_bytes root_cert, root_key;
	char uri[160];
	struct smq_cert_template t;
	struct smq_pem key, cert;
	struct smq_ca_issued issued;
};

static bool dns_valid(const char *name)
{
	size_t len = strlen(name);
	for (size_t i = 0; i < len; i++) {
		if (!isalnum((unsigned char)name[i]) && !strchr("-._*", name[i]))
			return false;
	}
	return len > 0 && len <= 253 && name[0] != '.' && name[0] != '-';
}

static smq_err check_hosts(const struct smq_ca_issue_options *o, unsigned roles)
{
	if (o->dns_count > SMQ_CA_HOSTS_MAX || o->ip_count > SMQ_CA_HOSTS_MAX)
		return usage("at most 15 DNS names and 15 addresses");
	if (roles == SMQ_ROLE_BROKER && o->dns_count + o->ip_count == 0)
		return usage("a broker needs the names or addresses it is reached under: --dns NAME, --ip ADDRESS");
	if (roles != SMQ_ROLE_BROKER && o->dns_count + o->ip_count > 0)
		return usage("DNS names and addresses are for --role broker");
	for (size_t i = 0; i < o->dns_count; i++) {
		if (!dns_valid(o->dns[i]))
			return smq_because(SMQ_ERR_USAGE, why, sizeof(why), "'%s' is no DNS name", o->dns[i]);
	}
	return SMQ_OK;
}

static smq_err check_options(const struct smq_ca_issue_options *o, unsigned roles)
{
	if (!o->name || !smq_name_valid(smq_span_str(o->name)))
		return smq_because(SMQ_ERR_NAME, why, sizeof(why),
				   "'%s' is no name for a member: 1 to 64 of A-Z a-z 0-9 - _", o->name ? o->name : "");
	if ((roles & SMQ_ROLE_BROKER) && roles != SMQ_ROLE_BROKER)
		return usage("the role broker stands alone: a broker is no member");
	if (o->days && !days_valid(o->days))
		return usage("a certificate is valid for 1 to 36500 days");
	if (o->curve && o->curve != SMQ_P256 && o->curve != SMQ_ED25519 && o->curve != SMQ_X25519)
		return usage("keys are of P-256, Ed25519 or X25519");
	if (o->key_agreement && o->curve == SMQ_ED25519)
		return usage("an Ed25519 key cannot agree; take P-256");
	if (roles == SMQ_ROLE_BROKER && o->curve == SMQ_X25519)
		return usage("an X25519 key cannot serve TLS; take P-256");
	return check_hosts(o, roles);
}

struct search {
	const char *name;
	int64_t now_ms;
	int64_t valid_until_ms; /* 0: no valid one found */
};

static void look_at(void *self, const struct smq_ca_issued *issued)
{
	struct search *s = self;
	if (strcmp(issued->name, s->name) == 0 && issued->not_after_ms > s->now_ms)
		s->valid_until_ms = issued->not_after_ms;
}

static smq_err check_new(const struct issuing *i, const char *path)
{
	struct stat st;
	struct search s = { .name = i->o->name, .now_ms = now_ms() };
	if (lstat(path, &st) == 0)
		return smq_because(SMQ_ERR_EXISTS, why, sizeof(why), "%s: exists already", path);
	smq_err err = smq_ca_log_read(i->dir, look_at, &s, why, sizeof(why));
	if (err == SMQ_OK && s.valid_until_ms != 0 && !i->o->reissue)
		return smq_because(SMQ_ERR_EXISTS, why, sizeof(why),
				   "%s has a valid certificate already; --reissue makes another", i->o->name);
	return err;
}

static smq_err load_ca(struct issuing *i)
{
	char path[SMQ_PATH_MAX];
	smq_err err = smq_path_join(i->dir, "realm.yaml", path);
	if (err == SMQ_OK)
		err = smq_realm_yaml_load(path, &i->settings, why, sizeof(why));
	if (err == SMQ_OK)
		err = smq_path_join(i->dir, "root.crt", path);
	if (err == SMQ_OK)
		err = smq_file_read(path, false, &i->root_cert, why, sizeof(why));
	if (err == SMQ_OK)
		err = smq_path_join(i->dir, "root.key", path);
	if (err == SMQ_OK)
		err = smq_file_read(path, true, &i->root_key, why, sizeof(why));
	return err;
}

static void fill_usages(struct smq_cert_template *t, unsigned roles)
{
	size_t n = 0;
	if (roles != SMQ_ROLE_BROKER)
		t->usages[n++] = SMQ_OID_CLIENT_AUTH; /* the same certificate opens the broker's door */
	for (size_t k = 0; k < SMQ_ROLE_COUNT; k++) {
		if (roles & smq_role_rows[k].role)
			t->usages[n++] = smq_role_rows[k].oid;
	}
}

static smq_err fill_template(struct issuing *i)
{
	struct smq_cert_template *t = &i->t;
	int64_t now = now_ms();
	int64_t root_from = 0;
	int64_t root_until = 0;
	enum smq_curve curve = i->o->curve ? i->o->curve : SMQ_P256;
	smq_err err = smq_ca_validity(smq_span_of(i->root_cert.p, i->root_cert.len), &root_from, &root_until);

	if (err != SMQ_OK)
		return smq_because(SMQ_ERR_CORRUPT, why, sizeof(why), "%s/root.crt: not a certificate in PEM", i->dir);
	if (root_until <= now)
		return smq_because(SMQ_ERR_CERT_EXPIRED, why, sizeof(why), "%s/root.crt: expired", i->dir);
	t->common_name = i->o->name;
	t->path_len = -1;
	t->not_before_ms = now - BACKDATE > root_from ? now - BACKDATE : root_from;
	t->not_after_ms = now + (i->o->days ? i->o->days : SMQ_CA_MEMBER_DAYS) * DAY;
	t->not_after_ms = t->not_after_ms < root_until ? t->not_after_ms : root_until;
	t->key_usage = curve == SMQ_X25519 ? SMQ_KEY_USAGE_AGREE : SMQ_KEY_USAGE_SIGN;
	t->key_usage |= i->o->key_agreement ? SMQ_KEY_USAGE_AGREE : 0;
	(void)snprintf(i->uri, sizeof(i->uri), "sealmq:%s/%s", i->settings.realm, i->o->name);
	t->uri = i->uri;
	for (size_t k = 0; k < i->o->dns_count; k++)
		t->dns[k] = i->o->dns[k];
	for (size_t k = 0; k < i->o->ip_count; k++)
		t->ip[k] = i->o->ip[k];
	fill_usages(t, i->roles);
	return new_serial(t->serial);
}

static smq_err make_identity(struct issuing *i)
{
	uint8_t hash[SMQ_HASH_LEN];
	smq_err err = smq_ca_make_key(i->o->curve ? i->o->curve : SMQ_P256, &i->key);
	if (err == SMQ_OK)
		err = smq_ca_make_cert(&i->t, pem_span(&i->key), smq_span_of(i->root_cert.p, i->root_cert.len),
				       smq_span_of(i->root_key.p, i->root_key.len), &i->cert);
	if (err == SMQ_ERR_USAGE)
		return usage("an address given with --ip is none");
	if (err == SMQ_ERR_MALFORMED)
		return smq_because(SMQ_ERR_CORRUPT, why, sizeof(why), "%s: root.crt and root.key do not read as PEM",
				   i->dir);
	if (err == SMQ_OK)
		err = smq_ca_fingerprint(pem_span(&i->cert), hash);
	if (err == SMQ_OK)
		err = smq_hex_encode(smq_span_of(hash, sizeof(hash)), i->issued.fingerprint,
				     sizeof(i->issued.fingerprint));
	if (err == SMQ_OK)
		err = smq_hex_encode(smq_span_of(i->t.serial, SMQ_SERIAL_LEN), i->issued.serial,
				     sizeof(i->issued.serial));
	if (err != SMQ_OK)
		return err;
	(void)snprintf(i->issued.name, sizeof(i->issued.name), "%s", i->o->name);
	i->issued.roles = i->roles;
	i->issued.issued_ms = now_ms();
	i->issued.not_before_ms = i->t.not_before_ms;
	i->issued.not_after_ms = i->t.not_after_ms;
	return SMQ_OK;
}

static smq_err fill_identity(struct issuing *i, const char *made)
{
	bool broker = i->roles == SMQ_ROLE_BROKER;
	char path[SMQ_PATH_MAX];
	smq_err err = put_file(made, "root.crt", smq_span_of(i->root_cert.p, i->root_cert.len), 0644);
	if (err == SMQ_OK)
		err = put_file(made, broker ? "server.crt" : "member.crt", pem_span(&i->cert), 0644);
	if (err == SMQ_OK)
		err = put_file(made, broker ? "server.key" : "member.key", pem_span(&i->key), 0600);
	if (err == SMQ_OK && !broker)
		err = smq_path_join(made, "realm.yaml", path);
	if (err == SMQ_OK && !broker)
		err = smq_realm_yaml_write(path, &i->settings, why, sizeof(why));
	return err;
}

/* What a crash left in members/; nobody else is at work while we hold the log. */
static void sweep(const char *members)
{
	char path[SMQ_PATH_MAX];
	DIR *dir = opendir(members);
	struct dirent *entry;
	while (dir && (entry = readdir(dir)) != NULL) {
		if (strstr(entry->d_name, ".new-") && smq_path_join(members, entry->d_name, path) == SMQ_OK)
			smq_dir_remove(path);
	}
	if (dir)
		closedir(dir);
}

/* The log comes before the name: a certificate that exists is always in it. */
static smq_err publish(struct issuing *i)
{
	char made[SMQ_PATH_MAX];
	smq_err err = make_beside(i->issued.dir, made);
	if (err != SMQ_OK)
		return err;
	err = fill_identity(i, made);
	if (err == SMQ_OK)
		err = smq_ca_log_append(i->log, &i->issued, why, sizeof(why));
	if (err == SMQ_OK)
		err = appear(made, i->issued.dir);
	if (err != SMQ_OK)
		smq_dir_remove(made);
	return err;
}

static smq_err issue(struct issuing *i)
{
	char members[SMQ_PATH_MAX];
	smq_err err = check_options(i->o, i->roles);
	if (err == SMQ_OK)
		err = smq_path_join(i->dir, "members", members);
	if (err == SMQ_OK)
		err = smq_path_join(members, i->o->name, i->issued.dir);
	if (err == SMQ_OK)
		err = smq_ca_log_open(i->dir, &i->log, why, sizeof(why));
	if (err == SMQ_OK)
		err = check_new(i, i->issued.dir);
	if (err == SMQ_OK)
		err = load_ca(i);
	if (err == SMQ_OK)
		err = fill_template(i);
	if (err == SMQ_OK)
		err = make_identity(i);
	if (err != SMQ_OK)
		return err;
	sweep(members);
	return publish(i);
}

smq_err smq_ca_issue(const char *dir, const struct smq_ca_issue_options *options, struct smq_ca_issued *ret_issued,
		     const char **ret_why)
{
	struct issuing *i = calloc(1, sizeof(*i));

	begin_why(ret_why);
	if (!i)
		return finish(SMQ_ERR_NO_MEMORY);
	i->dir = dir;
	i->o = options;
	i->roles = options->roles ? options->roles : SMQ_ROLE_MEMBER;
	i->log = -1;
	smq_err err = issue(i);
	if (err == SMQ_OK)
		*ret_issued = i->issued;
	if (i->log >= 0)
		close(i->log);
	smq_file_bytes_free(&i->root_cert);
	smq_file_bytes_free(&i->root_key);
	smq_pem_free(&i->key);
	smq_pem_free(&i->cert);
	free(i);
	return finish(err);
}

smq_err smq_ca_list(const char *dir, void (*each)(void *self, const struct smq_ca_issued *issued), void *self,
		    const char **ret_why)
{
	begin_why(ret_why);
	return finish(smq_ca_log_read(dir, each, self, why, sizeof(why)));
}
