/* Which files and ports may be opened: Landlock, by its three system calls. */
#include "confine_internal.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/auxv.h>
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
/* Of whatever a program that was started makes: sockets, links, pipes. */
#define MAKE (LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_MAKE_FIFO)
/* What only directories can be given. */
#define OF_DIRECTORIES                                                                                                 \
	(MAKE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |         \
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

/* Whoever loads programs is one, too. */
static smq_err allow_loader(int set)
{
	Dl_info loader;
	const void *base = (const void *)(uintptr_t)getauxval(AT_BASE); /* NOLINT: an address that the kernel told */
	return base && dladdr(base, &loader) != 0 ? allow_path(set, loader.dli_fname, READ | LANDLOCK_ACCESS_FS_EXECUTE)
						  : SMQ_OK;
}

static smq_err allow_paths(int set, const struct smq_rights *r, uint64_t known)
{
	uint64_t makes = r->execute_count > 0 ? MAKE : 0;
	smq_err err = SMQ_OK;
#ifdef SMQ_SANITIZED
	err = allow_path(set, "/proc", READ | LANDLOCK_ACCESS_FS_WRITE_FILE);
#endif
	for (size_t i = 0; i < r->read_count && err == SMQ_OK; i++)
		err = allow_path(set, r->reads[i], READ);
	for (size_t i = 0; i < r->write_count && err == SMQ_OK; i++)
		err = allow_path(set, r->writes[i], (WRITE | TRUNCATE | makes) & known);
	if (err == SMQ_OK && r->execute_count > 0)
		err = allow_loader(set);
	for (size_t i = 0; i < r->execute_count && err == SMQ_OK; i++)
		err = allow_path(set, r->executes[i], READ | LANDLOCK_ACCESS_FS_EXECUTE);
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
	/* From a local address of its own choice: one that was asked for, or of the family that is to be tried. */
	if (err == SMQ_OK && !r->listens) {
		struct port_rule any = { BIND_TCP, 0 };
		err = add_rule(set, RULE_PORT, &any);
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
	struct ruleset ruleset = { .files = r->foreign ? 0 : files_known(version) };
	size_t size = sizeof(ruleset.files);
	if (version >= VERSION_PORTS) {
		ruleset.ports = r->execute_count > 0 ? 0 : ports_held(r);
		size = version >= VERSION_SCOPES ? sizeof(ruleset) : 2 * sizeof(uint64_t);
	}
	if (version >= VERSION_SCOPES)
		ruleset.scopes = SCOPE_UNIX_AND_SIGNALS;
	if (ruleset.files == 0 && ruleset.ports == 0 && ruleset.scopes == 0)
		return SMQ_OK;
	int set = (int)syscall(SYS_landlock_create_ruleset, &ruleset, size, 0);
	if (set < 0)
		return SMQ_ERR_UNSUPPORTED;
	smq_err err = ruleset.files ? allow_paths(set, r, ruleset.files) : SMQ_OK;
	if (err == SMQ_OK && ruleset.ports && r->connects)
		err = allow_ports(set, r);
	if (err == SMQ_OK && syscall(SYS_landlock_restrict_self, set, 0) != 0)
		err = SMQ_ERR_UNSUPPORTED;
	close(set);
	return err;
}
