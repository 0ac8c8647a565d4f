/* Which files and ports may be opened: Landlock, by its three system calls. */
#include "confine_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Debian 12's header is of version 2; the kernel may be of any. Its structs only ever grow at their end. */
struct ruleset {
	uint64_t files;  /* LANDLOCK_ACCESS_FS_* */
	uint64_t ports;  /* from version 4 on */
	uint64_t scopes; /* from version 6 on */
};
struct port_rule {
	uint64_t allowed;
	uint64_t port;
};
enum { VERSION_TRUNCATE = 3, VERSION_PORTS = 4, VERSION_IOCTL = 5, VERSION_SCOPES = 6 };
enum { RULE_FILES = 1, RULE_PORT = 2 };
#define TRUNCATE (UINT64_C(1) << 14)
#define IOCTL_DEV (UINT64_C(1) << 15)
#define BIND_TCP UINT64_C(1)
#define CONNECT_TCP UINT64_C(2)
#define SCOPE_UNIX_AND_SIGNALS UINT64_C(3)

#define READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITE                                                                                                          \
	(READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |       \
	 LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_REFER)
/* What only directories can be given. */
#define OF_DIRECTORIES                                                                                                 \
	(LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |                \
	 LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_REFER)

int smq_landlock_version(void)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	return version > 0 ? (int)version : 0;
}

/* All that there is in this version: what has no rule is refused. */
static uint64_t files_known(int version)
{
	uint64_t all = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1; /* version 1 */
	if (version >= 2)
		all |= LANDLOCK_ACCESS_FS_REFER;
	if (version >= VERSION_TRUNCATE)
		all |= TRUNCATE;
	if (version >= VERSION_IOCTL)
		all |= IOCTL_DEV;
	return all;
}

static smq_err add_rule(int set, int kind, const void *rule)
{
	return syscall(SYS_landlock_add_rule, set, kind, rule, 0) == 0 ? SMQ_OK : SMQ_ERR_UNSUPPORTED;
}

static smq_err allow_path(int set, const char *path, uint64_t access)
{
	struct stat st;
	int fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? SMQ_OK : SMQ_ERR_IO;
	smq_err err = fstat(fd, &st) == 0 ? SMQ_OK : SMQ_ERR_IO;
	struct landlock_path_beneath_attr rule = { .allowed_access = access, .parent_fd = fd };
	if (err == SMQ_OK && !S_ISDIR(st.st_mode))
		rule.allowed_access &= ~(uint64_t)OF_DIRECTORIES;
	if (err == SMQ_OK)
		err = add_rule(set, RULE_FILES, &rule);
	close(fd);
	return err;
}

static smq_err allow_paths(int set, const struct smq_rights *r, uint64_t known)
{
	smq_err err = SMQ_OK;
	for (size_t i = 0; i < r->read_count && err == SMQ_OK; i++)
		err = allow_path(set, r->reads[i], READ);
	for (size_t i = 0; i < r->write_count && err == SMQ_OK; i++)
		err = allow_path(set, r->writes[i], (WRITE | TRUNCATE) & known);
	if (err == SMQ_OK && r->removes)
		err = allow_path(set, r->removes, LANDLOCK_ACCESS_FS_REMOVE_FILE);
	return err;
}

static smq_err allow_ports(int set, const struct smq_rights *r)
{
	smq_err err = SMQ_OK;
	for (size_t i = 0; i < r->port_count && err == SMQ_OK; i++) {
		struct port_rule rule = { CONNECT_TCP, r->ports[i] };
		err = add_rule(set, RULE_PORT, &rule);
	}
	return err;
}

/* Nothing is refused that the list of calls lets through on purpose: any port, where none is named. */
static uint64_t ports_held(const struct smq_rights *r)
{
	uint64_t held = r->listens ? 0 : BIND_TCP;
	return r->connects && r->port_count == 0 ? held : held | CONNECT_TCP;
}

smq_err smq_landlock_apply(const struct smq_rights *r, int version)
{
	struct ruleset ruleset = { .files = files_known(version) };
	size_t size = sizeof(ruleset.files);
	if (version >= VERSION_PORTS) {
		ruleset.ports = ports_held(r);
		size = version >= VERSION_SCOPES ? sizeof(ruleset) : 2 * sizeof(uint64_t);
	}
	if (version >= VERSION_SCOPES)
		ruleset.scopes = SCOPE_UNIX_AND_SIGNALS;
	int set = (int)syscall(SYS_landlock_create_ruleset, &ruleset, size, 0);
	if (set < 0)
		return SMQ_ERR_UNSUPPORTED;
	smq_err err = allow_paths(set, r, ruleset.files);
	if (err == SMQ_OK && version >= VERSION_PORTS && r->connects)
		err = allow_ports(set, r);
	if (err == SMQ_OK && syscall(SYS_landlock_restrict_self, set, 0) != 0)
		err = SMQ_ERR_UNSUPPORTED;
	close(set);
	return err;
}
