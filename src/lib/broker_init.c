/* Making a broker's deployment: all of it beside its place, then one rename, or an exchange with what was there. */
#include <sealmq/broker.h>

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <sealmq/client.h>

#include "adapters/ca_openssl/ca_make.h"
#include "adapters/config_yaml/realm_yaml.h"
#include "app/broker_files.h"
#include "base/table.h"
#include "base/text.h"
#include "base/wipe.h"
#include "lib/broker_lists.h"
#include "lib/files.h"

enum { MEMBERS_MAX = 100000, LOCAL_FILES_MAX = 256, LINK_SECRET_LEN = 24, PLUGIN_MAX = 4194304 };

static _Thread_local char why[SMQ_WHY_MAX];

/* What is worked with; NULL, zero and -1 where it is not there yet. */
struct making {
	const struct smq_broker_options *o;
	char path[SMQ_PATH_MAX];
	char identity[SMQ_PATH_MAX];
	char place[SMQ_PATH_MAX];
	bool replacing;
	int lock;
	struct smq_realm_settings settings;
	struct smq_file_bytes root, cert, key, crl;
	struct smq_file_bytes link_cert, link_key, plugin; /* of a mesh */
	char link_name[80];
	char link_secret[2 * LINK_SECRET_LEN + 1];
	struct smq_broker_member *members; /* names are ours */
	size_t member_count;
	char *acl_local;
	struct smq_broker_plan plan;
	struct smq_broker_made made;
};

static int64_t now_ms(void) { return (int64_t)time(NULL) * 1000; }

static smq_err because_errno(const char *path)
{
	int code = errno;
	return smq_because(smq_err_of_errno(code), why, sizeof(why), "%s: %s", path, strerror(code));
}

static smq_err usage(const char *text) { return smq_because(SMQ_ERR_USAGE, why, sizeof(why), "%s", text); }

/* ---- what is there already ---- */

/* What only we have made. */
static bool has_engine(const char *dir)
{
	static const char *const names[] = { "conf/mosquitto.conf", "conf/mosquitto-1.conf", "conf/nats-1.conf",
					     "conf/rabbitmq-1.conf" };
	for (size_t i = 0; i < SMQ_COUNT(names); i++) {
		if (smq_dir_has(dir, names[i]))
			return true;
	}
	return false;
}

static bool is_empty(const char *path)
{
	DIR *dir = opendir(path);
	int entries = 0;
	while (dir && readdir(dir) != NULL)
		entries++;
	if (dir)
		closedir(dir);
	return dir && entries <= 2;
}

/* Whoever holds the directory's lock is alone in it. */
static smq_err lock_existing(struct making *m)
{
	m->lock = open(m->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->lock < 0)
		return because_errno(m->path);
	if (flock(m->lock, LOCK_EX | LOCK_NB) != 0)
		return smq_because(SMQ_ERR_LOCKED, why, sizeof(why), "%s: another `sealmq broker init` is at work",
				   m->path);
	m->replacing = true;
	return SMQ_OK;
}

static smq_err find_target(struct making *m, const char *dir)
{
	char real[PATH_MAX];
	struct stat st;
	size_t len = strlen(dir);
	while (len > 1 && dir[len - 1] == '/')
		len--;
	if (len == 0 || len >= SMQ_PATH_MAX - 64)
		return usage("a broker needs a directory of its own to be made in");
	memcpy(m->path, dir, len);
	if (lstat(m->path, &st) != 0)
		return SMQ_OK;
	if (!realpath(m->path, real) || strlen(real) >= SMQ_PATH_MAX - 64)
		return because_errno(m->path);
	memcpy(m->path, real, strlen(real) + 1);
	if (is_empty(m->path))
		return SMQ_OK;
	if (!smq_dir_has(m->path, "conf/realm.yaml") || !has_engine(m->path))
		return smq_because(SMQ_ERR_EXISTS, why, sizeof(why),
				   "%s: exists already, and `sealmq broker init` has not made it", m->path);
	return lock_existing(m);
}

/* Where it will lie: as told, or where its parent really is. */
static smq_err find_place(struct making *m)
{
	char parent[SMQ_PATH_MAX];
	char real[PATH_MAX];
	if (m->o->place || m->replacing) {
		const char *place = m->o->place ? m->o->place : m->path;
		return snprintf(m->place, sizeof(m->place), "%s", place) < (int)sizeof(m->place)
			   ? SMQ_OK
			   : usage("the place is too long");
	}
	memcpy(parent, m->path, sizeof(parent));
	char *slash = strrchr(parent, '/');
	const char *last = slash ? m->path + (slash - parent) + 1 : m->path;
	if (slash)
		slash[slash == parent ? 1 : 0] = 0;
	if (!realpath(slash ? parent : ".", real))
		return because_errno(slash ? parent : ".");
	return smq_path_join(strcmp(real, "/") == 0 ? "" : real, last, m->place);
}

/* ---- the realm ---- */

struct collecting {
	struct making *m;
	int64_t now_ms;
	smq_err err;
};

static struct smq_broker_member *known(const struct making *m, const char *name)
{
	for (size_t i = 0; i < m->member_count; i++) {
		if (strcmp(m->members[i].name, name) == 0)
			return &m->members[i];
	}
	return NULL;
}

static void collect(void *self, const struct smq_ca_issued *issued)
{
	struct collecting *c = self;
	struct making *m = c->m;
	struct smq_broker_member *before = known(m, issued->name);
	if (strcmp(issued->name, m->link_name) == 0)
		return; /* no member of its own: it stands for all of them */
	if (c->err != SMQ_OK || issued->roles == SMQ_ROLE_BROKER || issued->roles == 0 ||
	    issued->status == SMQ_CA_REVOKED || issued->not_after_ms <= c->now_ms)
		return;
	if (before) {
		before->roles |= issued->roles;
		return;
	}
	struct smq_broker_member *grown =
	    m->member_count < MEMBERS_MAX ? realloc(m->members, (m->member_count + 1) * sizeof(*grown)) : NULL;
	char *name = strdup(issued->name);
	if (grown)
		m->members = grown;
	if (!grown || !name) {
		free(name);
		c->err = SMQ_ERR_NO_MEMORY;
		return;
	}
	m->members[m->member_count++] = (struct smq_broker_member){ name, issued->roles };
}

static smq_err read_realm(struct making *m)
{
	struct collecting c = { .m = m, .now_ms = now_ms(), .err = SMQ_OK };
	char path[SMQ_PATH_MAX];
	const char *said = NULL;

	if (!m->o->ca)
		return usage("a broker is made from a realm: --realm DIR names its authority (`sealmq ca init`)");
	if (!smq_dir_has(m->o->ca, "issued.log"))
		return smq_because(SMQ_ERR_REALM, why, sizeof(why), "%s: not a realm's authority (`sealmq ca init`)",
				   m->o->ca);
	smq_err err = smq_path_join(m->o->ca, "realm.yaml", path);
	if (err == SMQ_OK)
		err = smq_realm_yaml_load(path, &m->settings, why, sizeof(why));
	if (err == SMQ_OK) {
		err = smq_ca_list(m->o->ca, collect, &c, &said);
		if (err != SMQ_OK)
			return smq_because(err, why, sizeof(why), "%s", said);
	}
	return err == SMQ_OK ? c.err : err;
}

static enum smq_broker_profile profile_of(const struct making *m)
{
	return m->o->no_nginx ? SMQ_BROKER_SINGLE : m->o->profile;
}

static bool is_mesh(const struct making *m) { return profile_of(m) == SMQ_BROKER_MOSQUITTOS; }

static smq_err issue_one(struct making *m, const struct smq_ca_issue_options *io)
{
	struct smq_ca_issued issued;
	const char *said = NULL;
	smq_err err = smq_ca_issue(m->o->ca, io, &issued, &said);
	if (err != SMQ_OK)
		return smq_because(err, why, sizeof(why), "%s", said);
	m->made.issued = true;
	return SMQ_OK;
}

static smq_err issue_identity(struct making *m, const char *name)
{
	static const char *const usual_dns[] = { "localhost" };
	static const char *const usual_ip[] = { "127.0.0.1", "::1" };
	const char *ip[SMQ_CA_HOSTS_MAX + 1];
	size_t ip_count = 0;
	bool usual = m->o->dns_count + m->o->ip_count == 0;
	for (size_t i = 0; i < m->o->ip_count && i < SMQ_CA_HOSTS_MAX; i++)
		ip[ip_count++] = m->o->ip[i];
	/* The brokers of a mesh find each other there. */
	if (is_mesh(m) && ip_count < SMQ_CA_HOSTS_MAX)
		ip[ip_count++] = "127.0.0.1";
	struct smq_ca_issue_options io = {
		.name = name,
		.roles = SMQ_ROLE_BROKER,
		.dns = usual ? usual_dns : m->o->dns,
		.dns_count = usual ? SMQ_COUNT(usual_dns) : m->o->dns_count,
		.ip = usual ? usual_ip : ip,
		.ip_count = usual ? SMQ_COUNT(usual_ip) : ip_count,
	};
	return issue_one(m, &io);
}

static smq_err find_identity(struct making *m)
{
	const char *name = m->o->name ? m->o->name : "broker";
	char below[80];
	if (m->o->identity)
		return snprintf(m->identity, sizeof(m->identity), "%s", m->o->identity) < (int)sizeof(m->identity)
			   ? SMQ_OK
			   : usage("the identity's path is too long");
	if (snprintf(below, sizeof(below), "members/%s", name) >= (int)sizeof(below))
		return usage("the broker's name is too long");
	smq_err err = smq_path_join(m->o->ca, below, m->identity);
	if (err != SMQ_OK)
		return err;
	return smq_dir_has(m->o->ca, below) ? SMQ_OK : issue_identity(m, name);
}

static smq_err read_crl(struct making *m)
{
	char path[SMQ_PATH_MAX];
	smq_err err = smq_path_join(m->o->ca, "crl.pem", path);
	return err == SMQ_OK ? smq_file_read_most(path, false, SMQ_CRL_FILE_MAX, &m->crl, why, sizeof(why)) : err;
}

/* A mesh: a certificate by which its brokers are clients to each other, and the plugin that keeps messages from going
 * round in circles. It is installed beside the library, or where the library was built. */
static smq_err read_plugin(struct making *m)
{
	static const char *const places[] = { "sealmq/mesh.so", "../../deploy/mosquitto/mesh.so" };
	Dl_info info;
	char dir[SMQ_PATH_MAX];
	char path[SMQ_PATH_MAX + 64];
	if (dladdr((const void *)(uintptr_t)smq_broker_init, &info) == 0 ||
	    snprintf(dir, sizeof(dir), "%s", info.dli_fname) >= (int)sizeof(dir) || !strrchr(dir, '/'))
		return SMQ_ERR_NOT_FOUND;
	*strrchr(dir, '/') = 0;
	for (size_t i = 0; i < SMQ_COUNT(places); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, places[i]);
		if (access(path, R_OK) == 0)
			return smq_file_read_most(path, false, PLUGIN_MAX, &m->plugin, why, sizeof(why));
	}
	return smq_because(SMQ_ERR_NOT_FOUND, why, sizeof(why),
			   "the plugin for several Mosquittos is not installed: %s/sealmq/mesh.so (it is built where "
			   "mosquitto-dev is)",
			   dir);
}

static smq_err read_link(struct making *m)
{
	char below[96];
	char dir[SMQ_PATH_MAX];
	struct smq_ca_issue_options io = { .name = m->link_name, .roles = SMQ_ROLE_MEMBER };
	if (!is_mesh(m))
		return SMQ_OK;
	(void)snprintf(below, sizeof(below), "members/%s", m->link_name);
	smq_err err = read_plugin(m);
	if (err == SMQ_OK && !smq_dir_has(m->o->ca, below))
		err = issue_one(m, &io);
	if (err == SMQ_OK)
		err = smq_path_join(m->o->ca, below, dir);
	if (err == SMQ_OK)
		err = smq_dir_read(dir, "member.crt", false, &m->link_cert, why, sizeof(why));
	return err == SMQ_OK ? smq_dir_read(dir, "member.key", true, &m->link_key, why, sizeof(why)) : err;
}

/* What the nodes of a cluster know each other by: once made, it stays. */
static smq_err read_secret(struct making *m)
{
	const struct smq_random *random = smq_random_system();
	uint8_t bytes[LINK_SECRET_LEN];
	struct smq_file_bytes old = { NULL, 0 };
	enum smq_broker_profile profile = profile_of(m);
	if (profile != SMQ_BROKER_NATS && profile != SMQ_BROKER_RABBITMQ)
		return SMQ_OK;
	if (m->replacing && smq_dir_has(m->path, "data/link.secret")) {
		smq_err err = smq_dir_read(m->path, "data/link.secret", true, &old, why, sizeof(why));
		bool whole = err == SMQ_OK && old.len == 2 * LINK_SECRET_LEN;
		if (whole)
			memcpy(m->link_secret, old.p, old.len);
		smq_file_bytes_free(&old);
		return err != SMQ_OK || whole
			   ? err
			   : smq_because(SMQ_ERR_MALFORMED, why, sizeof(why), "%s/data/link.secret: not ours", m->path);
	}
	smq_err err = random->fill(random->self, smq_mspan_of(bytes, sizeof(bytes)));
	return err == SMQ_OK ? smq_hex_encode(smq_span_of(bytes, sizeof(bytes)), m->link_secret, sizeof(m->link_secret))
			     : err;
}

static smq_err read_identity(struct making *m)
{
	int64_t from = 0;
	smq_err err = find_identity(m);
	if (err == SMQ_OK)
		err = smq_dir_read(m->identity, "root.crt", false, &m->root, why, sizeof(why));
	if (err == SMQ_OK)
		err = smq_dir_read(m->identity, "server.crt", false, &m->cert, why, sizeof(why));
	if (err == SMQ_OK)
		err = smq_dir_read(m->identity, "server.key", true, &m->key, why, sizeof(why));
	if (err == SMQ_OK && smq_dir_has(m->o->ca, "crl.pem"))
		err = read_crl(m);
	if (err != SMQ_OK)
		return err;
	err = smq_ca_validity(smq_span_of(m->cert.p, m->cert.len), &from, &m->made.server_not_after_ms);
	if (err != SMQ_OK)
		return smq_because(err, why, sizeof(why), "%s/server.crt: not a certificate in PEM", m->identity);
	if (m->made.server_not_after_ms <= now_ms())
		return smq_because(SMQ_ERR_CERT_EXPIRED, why, sizeof(why), "%s/server.crt: expired", m->identity);
	return SMQ_OK;
}

/* ---- additions of the user's own ---- */

static int only_acl(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);
	return len > 4 && entry->d_name[0] != '.' && strcmp(entry->d_name + len - 4, ".acl") == 0;
}

static smq_err append_local(struct making *m, const char *dir, const char *name)
{
	struct smq_file_bytes bytes = { NULL, 0 };
	size_t have = m->acl_local ? strlen(m->acl_local) : 0;
	smq_err err = smq_dir_read(dir, name, false, &bytes, why, sizeof(why));
	if (err != SMQ_OK)
		return err;
	char *grown = realloc(m->acl_local, have + bytes.len + 2);
	if (grown) {
		m->acl_local = grown;
		memcpy(grown + have, bytes.p, bytes.len);
		grown[have + bytes.len] = '\n';
		grown[have + bytes.len + 1] = 0;
		if (strlen(grown) != have + bytes.len + 1)
			err = smq_because(SMQ_ERR_MALFORMED, why, sizeof(why), "%s/%s: holds zero bytes", dir, name);
	}
	smq_file_bytes_free(&bytes);
	return grown ? err : SMQ_ERR_NO_MEMORY;
}

static smq_err read_local(struct making *m)
{
	char dir[SMQ_PATH_MAX];
	struct dirent **list = NULL;
	smq_err err = smq_path_join(m->path, "acl.local", dir);
	int count = err == SMQ_OK && m->replacing ? scandir(dir, &list, only_acl, alphasort) : 0;
	for (int i = 0; i < count; i++) {
		if (err == SMQ_OK)
			err = i < LOCAL_FILES_MAX ? append_local(m, dir, list[i]->d_name) : SMQ_ERR_TOO_LARGE;
		free(list[i]);
	}
	free(list);
	return err;
}

/* ---- writing it ---- */

static smq_err make_dir(const char *parent, const char *name, mode_t mode)
{
	char path[SMQ_PATH_MAX];
	smq_err err = smq_path_join(parent, name, path);
	if (err != SMQ_OK)
		return err;
	if (mkdir(path, mode) != 0 || chmod(path, mode) != 0)
		return because_errno(path);
	return SMQ_OK;
}

static smq_err put_file(const char *dir, const char *name, smq_span bytes, mode_t mode)
{
	char path[SMQ_PATH_MAX];
	smq_err err = smq_path_join(dir, name, path);
	return err == SMQ_OK ? smq_file_create(path, bytes, mode, why, sizeof(why)) : err;
}

static smq_err put_bytes(const char *dir, const char *name, const struct smq_file_bytes *bytes, mode_t mode)
{
	return put_file(dir, name, smq_span_of(bytes->p, bytes->len), mode);
}

/* conf/: paths in the table of files begin with it, whatever the directory is called while it is made. */
static smq_err fill_conf(struct making *m, const char *conf)
{
	const struct smq_broker_file *file;
	char path[SMQ_PATH_MAX];
	smq_err err = make_dir(conf, "docker", 0755);

	for (size_t n = 0; err == SMQ_OK && (file = smq_broker_file(n)); n++) {
		char *text = NULL;
		if (!smq_broker_file_wanted(n, &m->plan))
			continue;
		err = smq_broker_file_text(n, &m->plan, &text);
		if (err == SMQ_OK)
			err = put_file(conf, strchr(file->path, '/') + 1, smq_span_str(text), file->mode);
		free(text);
	}
	if (err == SMQ_OK && m->plugin.p)
		err = put_bytes(conf, "mesh.so", &m->plugin, 0644);
	if (err == SMQ_OK)
		err = smq_path_join(conf, "realm.yaml", path);
	if (err == SMQ_OK)
		err = smq_realm_yaml_write(path, &m->settings, why, sizeof(why));
	if (err == SMQ_OK)
		err = smq_path_join(conf, "docker", path);
	if (err == SMQ_OK)
		err = smq_dir_sync(path);
	return err == SMQ_OK ? smq_dir_sync(conf) : err;
}

static smq_err fill_certs(struct making *m, const char *certs)
{
	smq_err err = put_bytes(certs, "root.crt", &m->root, 0644);
	if (err == SMQ_OK)
		err = put_bytes(certs, "server.crt", &m->cert, 0644);
	if (err == SMQ_OK)
		err = put_bytes(certs, "server.key", &m->key, 0600);
	if (err == SMQ_OK && m->link_cert.p)
		err = put_bytes(certs, "link.crt", &m->link_cert, 0644);
	if (err == SMQ_OK && m->link_key.p)
		err = put_bytes(certs, "link.key", &m->link_key, 0600);
	if (err == SMQ_OK && m->crl.p)
		err = put_bytes(certs, "crl.pem", &m->crl, 0644);
	if (err == SMQ_OK && m->crl.p && m->o->profile == SMQ_BROKER_RABBITMQ)
		err = smq_broker_lists_split(certs, smq_span_of(m->crl.p, m->crl.len), why, sizeof(why));
	return err == SMQ_OK ? smq_dir_sync(certs) : err;
}

/* Directories that are the user's from the beginning: made where they are not there. */
static smq_err make_kept(struct making *m, const char *dir)
{
	static const struct {
		const char *name;
		mode_t mode;
	} rows[] = { { "mosquitto.local", 0755 },
		     { "acl.local", 0755 },
		     { "nginx.local", 0755 },
		     { "data", 0700 },
		     { "log", 0750 },
		     { "run", 0750 } };
	smq_err err = SMQ_OK;
	for (size_t i = 0; i < SMQ_COUNT(rows) && err == SMQ_OK; i++) {
		if (!smq_dir_has(dir, rows[i].name))
			err = make_dir(dir, rows[i].name, rows[i].mode);
	}
	for (unsigned node = 1; err == SMQ_OK && is_mesh(m) && node <= SMQ_BROKER_NODES; node++) {
		char name[16];
		(void)snprintf(name, sizeof(name), "data/%u", node);
		if (!smq_dir_has(dir, name))
			err = make_dir(dir, name, 0700);
	}
	if (err == SMQ_OK && m->link_secret[0] && !smq_dir_has(dir, "data/link.secret"))
		err = put_file(dir, "data/link.secret", smq_span_str(m->link_secret), 0600);
	/* Erlang reads it in the home directory of who runs it, and wants it closed. */
	if (err == SMQ_OK && m->plan.profile == SMQ_BROKER_RABBITMQ && !smq_dir_has(dir, "data/.erlang.cookie"))
		err = put_file(dir, "data/.erlang.cookie", smq_span_str(m->link_secret), 0400);
	/* Mosquitto does not start without the file it is told of. */
	if (err == SMQ_OK && (m->plan.password_port || m->plan.wss_port) && !smq_dir_has(dir, "passwords"))
		err = put_file(dir, "passwords", smq_span_of(NULL, 0), 0600);
	return err;
}

static smq_err made_name(const char *path, char ret_made[SMQ_PATH_MAX])
{
	const struct smq_random *random = smq_random_system();
	uint8_t bytes[4];
	char hex[9];
	smq_err err = random->fill(random->self, smq_mspan_of(bytes, sizeof(bytes)));
	if (err == SMQ_OK)
		err = smq_hex_encode(smq_span_of(bytes, sizeof(bytes)), hex, sizeof(hex));
	if (err != SMQ_OK)
		return err;
	if (snprintf(ret_made, SMQ_PATH_MAX, "%s.new-%s", path, hex) >= SMQ_PATH_MAX)
		return usage("the path is too long");
	return SMQ_OK;
}

static smq_err rename_to(const char *made, const char *path)
{
	if (rename(made, path) != 0)
		return because_errno(path);
	return SMQ_OK;
}

static void remove_below(const char *dir, const char *name)
{
	char path[SMQ_PATH_MAX];
	if (smq_path_join(dir, name, path) == SMQ_OK)
		smq_dir_remove(path);
}

static smq_err sync_parent(const char *path)
{
	char parent[SMQ_PATH_MAX];
	(void)snprintf(parent, sizeof(parent), "%s", path);
	char *slash = strrchr(parent, '/');
	if (slash)
		slash[slash == parent ? 1 : 0] = 0;
	return smq_dir_sync(slash ? parent : ".");
}

static smq_err make_fresh(struct making *m)
{
	char made[SMQ_PATH_MAX];
	char path[SMQ_PATH_MAX];
	smq_err err = made_name(m->path, made);
	if (err == SMQ_OK && (mkdir(made, 0755) != 0 || chmod(made, 0755) != 0))
		err = because_errno(made);
	if (err != SMQ_OK)
		return err;
	err = make_kept(m, made);
	if (err == SMQ_OK)
		err = make_dir(made, "conf", 0755);
	if (err == SMQ_OK)
		err = make_dir(made, "certs", 0700);
	if (err == SMQ_OK && smq_path_join(made, "conf", path) == SMQ_OK)
		err = fill_conf(m, path);
	if (err == SMQ_OK && smq_path_join(made, "certs", path) == SMQ_OK)
		err = fill_certs(m, path);
	if (err == SMQ_OK)
		err = smq_dir_sync(made);
	if (err == SMQ_OK)
		err = rename_to(made, m->path);
	if (err == SMQ_OK)
		return sync_parent(m->path);
	remove_below(made, "conf");
	smq_dir_remove(made);
	return err;
}

/* What a crash left here; we hold the lock. */
static void sweep(const char *dir)
{
	DIR *open = opendir(dir);
	struct dirent *entry;
	while (open && (entry = readdir(open)) != NULL) {
		if (strncmp(entry->d_name, "conf.new-", 9) == 0 || strncmp(entry->d_name, "certs.new-", 10) == 0)
			remove_below(dir, entry->d_name);
	}
	if (open)
		closedir(open);
}

/* A service's own user may have been given the files; what takes their place is its as well. */
static void keep_owners(const char *old, const char *made)
{
	char from[SMQ_PATH_MAX];
	char to[SMQ_PATH_MAX];
	struct stat st;
	DIR *dir = opendir(old);
	struct dirent *entry;
	while (dir && (entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, "..") == 0 || smq_path_join(old, entry->d_name, from) != SMQ_OK ||
		    smq_path_join(made, entry->d_name, to) != SMQ_OK || lstat(from, &st) != 0 || st.st_uid == geteuid())
			continue;
		if (lchown(to, st.st_uid, st.st_gid) != 0)
			continue; /* not ours to give away, or not there any more: it starts with our own owner */
	}
	if (dir)
		closedir(dir);
}

static smq_err exchange(struct making *m, const char *name, mode_t mode, smq_err (*fill)(struct making *, const char *))
{
	char path[SMQ_PATH_MAX];
	char made[SMQ_PATH_MAX];
	smq_err err = smq_path_join(m->path, name, path);
	if (err == SMQ_OK)
		err = made_name(path, made);
	if (err == SMQ_OK && (mkdir(made, mode) != 0 || chmod(made, mode) != 0))
		err = because_errno(made);
	if (err != SMQ_OK)
		return err;
	err = fill(m, made);
	if (err == SMQ_OK)
		keep_owners(path, made);
	if (err == SMQ_OK && renameat2(AT_FDCWD, made, AT_FDCWD, path, RENAME_EXCHANGE) != 0)
		err = errno == ENOENT ? rename_to(made, path) : because_errno(path);
	smq_dir_remove(made); /* the one that was there before, or the one that failed */
	return err;
}

static smq_err replace(struct making *m)
{
	sweep(m->path);
	smq_err err = make_kept(m, m->path);
	if (err == SMQ_OK)
		err = exchange(m, "certs", 0700, fill_certs);
	if (err == SMQ_OK)
		err = exchange(m, "conf", 0755, fill_conf);
	return err == SMQ_OK ? smq_dir_sync(m->path) : err;
}

/* ---- all of it ---- */

static int or_default(int value, int preset) { return value ? value : preset; }

static smq_err make_plan(struct making *m)
{
	const struct smq_broker_options *o = m->o;
	int port = or_default(o->port, SMQ_BROKER_PORT);
	m->made.members = m->member_count;
	m->made.replaced = m->replacing;
	m->plan = (struct smq_broker_plan){
		.realm = m->settings.realm,
		.control_prefix = m->settings.control_prefix,
		.keyex_topic = m->settings.keyex_topic,
		.members = m->members,
		.member_count = m->member_count,
		.acl_local = m->acl_local,
		.place = m->place,
		.topics = o->topics ? o->topics : m->settings.realm,
		.address = o->address,
		.port = port,
		.password_port = o->password_port,
		.backend_port = or_default(o->backend_port, port <= 55534 ? port + 10000 : port - 10000),
		.profile = profile_of(m),
		.balance = o->balance,
		.routes = o->routes,
		.route_count = o->route_count,
		.terminate = o->terminate,
		.wss_port = o->wss_port,
		.link_name = is_mesh(m) ? m->link_name : NULL,
		.link_secret = m->link_secret,
		.nginx = profile_of(m) != SMQ_BROKER_SINGLE,
		.ipv6 = access("/proc/net/if_inet6", F_OK) == 0,
		.crl = m->crl.p != NULL,
		.log_denials = o->log_denials,
		.connections = or_default(o->connections, SMQ_BROKER_CONNECTIONS),
		.per_address = or_default(o->per_address, SMQ_BROKER_PER_ADDRESS),
		.message_max = or_default(o->message_max, SMQ_BROKER_MESSAGE_MAX),
		.keepalive_max_s = or_default(o->keepalive_max_s, SMQ_BROKER_KEEPALIVE_MAX),
		/* in a container it does not run as root: 1883 is what the images' own user is */
		.uid = geteuid() ? geteuid() : 1883,
		.gid = geteuid() ? getegid() : 1883,
		.server_not_after_ms = m->made.server_not_after_ms,
	};
	return smq_broker_plan_check(&m->plan, why, sizeof(why));
}

/* Everything that can be wrong is found before a certificate is issued for it, as far as it can be. */
static smq_err make(struct making *m, const char *dir)
{
	if (snprintf(m->link_name, sizeof(m->link_name), "%s-link", m->o->name ? m->o->name : "broker") >= 64)
		return usage("the broker's name is too long");
	smq_err err = find_target(m, dir);
	if (err == SMQ_OK)
		err = find_place(m);
	if (err == SMQ_OK)
		err = read_realm(m);
	if (err == SMQ_OK)
		err = read_local(m);
	if (err == SMQ_OK)
		err = make_plan(m);
	if (err == SMQ_OK)
		err = read_identity(m);
	if (err == SMQ_OK)
		err = read_link(m);
	if (err == SMQ_OK)
		err = read_secret(m);
	if (err == SMQ_OK)
		err = make_plan(m);
	if (err != SMQ_OK)
		return err;
	return m->replacing ? replace(m) : make_fresh(m);
}

static void release(struct making *m)
{
	for (size_t i = 0; i < m->member_count; i++)
		free((char *)(uintptr_t)m->members[i].name);
	free(m->members);
	free(m->acl_local);
	smq_file_bytes_free(&m->root);
	smq_file_bytes_free(&m->cert);
	smq_file_bytes_free(&m->key);
	smq_file_bytes_free(&m->crl);
	smq_file_bytes_free(&m->link_cert);
	smq_file_bytes_free(&m->link_key);
	smq_file_bytes_free(&m->plugin);
	smq_wipe(m->link_secret, sizeof(m->link_secret));
	if (m->lock >= 0)
		close(m->lock);
	free(m);
}

smq_err smq_broker_init(const char *dir, const struct smq_broker_options *options, struct smq_broker_made *ret_made,
			const char **ret_why)
{
	struct making *m = calloc(1, sizeof(*m));
	why[0] = 0;
	if (ret_why)
		*ret_why = why;
	if (!m)
		return smq_because(SMQ_ERR_NO_MEMORY, why, sizeof(why), "%s", smq_err_text(SMQ_ERR_NO_MEMORY));
	m->lock = -1;
	m->o = options;
	smq_err err = make(m, dir);
	if (err == SMQ_OK)
		*ret_made = m->made;
	else if (!why[0])
		(void)smq_because(err, why, sizeof(why), "%s", smq_err_text(err));
	release(m);
	return err;
}
