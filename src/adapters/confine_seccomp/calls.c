/* Which system calls may be made: lists by right, handed to libseccomp; everything else answers EPERM. */
#include "confine_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/table.h"

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

/* By name, as not every architecture has all of them. */
static const char *const always[] = {
	/* what is open */
	"read",
	"readv",
	"pread64",
	"preadv",
	"write",
	"writev",
	"pwrite64",
	"pwritev",
	"close",
	"lseek",
	"_llseek",
	"fstat",
	"fstat64",
	"fstatfs",
	"fstatfs64",
	"fcntl",
	"fcntl64",
	"dup",
	"dup2",
	"dup3",
	"flock",
	"fsync",
	"fdatasync",
	"ftruncate",
	"ftruncate64",
	"fallocate",
	"fadvise64",
	"pipe",
	"pipe2",
	"getdents",
	"getdents64",
	"copy_file_range",
	"close_range",
	/* names of files: what may be opened is for Landlock to say, and for open below */
	"stat",
	"stat64",
	"lstat",
	"lstat64",
	"newfstatat",
	"fstatat64",
	"statx",
	"statfs",
	"statfs64",
	"access",
	"faccessat",
	"faccessat2",
	"readlink",
	"readlinkat",
	"getcwd",
	"umask",
	/* memory */
	"munmap",
	"mremap",
	"madvise",
	"brk",
	"mlock",
	"mlock2",
	"munlock",
	"munlockall",
	"msync",
	"membarrier",
	/* time and waiting */
	"poll",
	"ppoll",
	"select",
	"_newselect",
	"pselect6",
	"pselect6_time64",
	"ppoll_time64",
	"epoll_create",
	"epoll_create1",
	"epoll_ctl",
	"epoll_wait",
	"epoll_pwait",
	"epoll_pwait2",
	"eventfd",
	"eventfd2",
	"timerfd_create",
	"timerfd_settime",
	"timerfd_settime64",
	"timerfd_gettime",
	"timerfd_gettime64",
	"clock_gettime",
	"clock_gettime64",
	"clock_getres",
	"clock_nanosleep",
	"clock_nanosleep_time64",
	"nanosleep",
	"gettimeofday",
	"time",
	"times",
	"getitimer",
	"setitimer",
	"alarm",
	/* ourselves */
	"getrandom",
	"getpid",
	"gettid",
	"getppid",
	"getuid",
	"geteuid",
	"getgid",
	"getegid",
	"getgroups",
	"uname",
	"sysinfo",
	"sched_yield",
	"sched_getaffinity",
	"getrusage",
	"getrlimit",
	"ugetrlimit",
	"getcpu",
	"futex",
	"futex_time64",
	"set_robust_list",
	"rseq",
	"set_tid_address",
	"rt_sigaction",
	"rt_sigprocmask",
	"rt_sigreturn",
	"sigreturn",
	"rt_sigpending",
	"rt_sigtimedwait",
	"sigaltstack",
	"pause",
	"restart_syscall",
	"exit",
	"exit_group",
	"arch_prctl",
	/* sockets that are there: a duty without the network has channels to the others */
	"recvfrom",
	"recvmsg",
	"recv",
	"sendto",
	"sendmsg",
	"send",
	"shutdown",
	"getsockopt",
	"getsockname",
	"getpeername",
};

static const char *const for_writing[] = { "rename",   "renameat", "renameat2",      "unlink", "unlinkat",
					   "mkdir",    "mkdirat",  "link",           "linkat", "fchmod",
					   "chmod",    "fchmodat", "utimensat",      "fchown", "fchown32",
					   "truncate", "rmdir",    "sync_file_range" };
static const char *const for_connecting[] = { "connect", "setsockopt", "sendmmsg", "recvmmsg", "bind" };
static const char *const for_listening[] = { "bind", "listen", "accept", "accept4", "setsockopt" };
static const char *const for_threads[] = { "sched_setscheduler", "sched_getparam", "sched_getscheduler" };
#ifdef SMQ_SANITIZED
/* Looking for leaks at the end: a process of their own that stops and traces this one; and what they say of findings.
 */
static const char *const for_sanitizers[] = { "clone",  "clone3", "vfork",     "fork",      "wait4",           "waitid",
					      "ptrace", "prctl",  "mmap",      "mprotect",  "tgkill",          "kill",
					      "openat", "open",   "setrlimit", "prlimit64", "process_vm_readv" };
#endif
/* What no service needs, for those that start programs; the first ones are sanitizers' needs. */
#ifdef SMQ_SANITIZED
enum { OF_SANITIZERS = 3 };
#else
enum { OF_SANITIZERS = 0 };
#endif
static const char *const never[] = {
	"ptrace",
	"process_vm_readv",
	"process_vm_writev",
	"kcmp",
	"mount",
	"umount2",
	"pivot_root",
	"move_mount",
	"open_tree",
	"fsopen",
	"fsmount",
	"unshare",
	"setns",
	"bpf",
	"perf_event_open",
	"userfaultfd",
	"init_module",
	"finit_module",
	"delete_module",
	"kexec_load",
	"kexec_file_load",
	"reboot",
	"swapon",
	"swapoff",
	"settimeofday",
	"clock_settime",
	"adjtimex",
	"clock_adjtime",
	"add_key",
	"request_key",
	"keyctl",
	"acct",
	"quotactl",
	"open_by_handle_at",
	"name_to_handle_at",
	"iopl",
	"ioperm",
	"lookup_dcookie",
	"nfsservctl",
	"personality",
	"syslog",
	"vhangup",
};

static smq_err done(int rc) { return rc == 0 || rc == -EDOM ? SMQ_OK : SMQ_ERR_UNSUPPORTED; }

static smq_err allow(scmp_filter_ctx f, const char *const *names, size_t count)
{
	smq_err err = SMQ_OK;
	for (size_t i = 0; i < count && err == SMQ_OK; i++) {
		int number = seccomp_syscall_resolve_name(names[i]);
		if (number != __NR_SCMP_ERROR)
			err = done(seccomp_rule_add(f, SCMP_ACT_ALLOW, number, 0));
	}
	return err;
}

static smq_err allow_where(scmp_filter_ctx f, int number, struct scmp_arg_cmp that)
{
	return done(seccomp_rule_add_array(f, SCMP_ACT_ALLOW, number, 1, &that));
}

static struct scmp_arg_cmp is(unsigned argument, uint64_t value)
{
	return (struct scmp_arg_cmp){ argument, SCMP_CMP_EQ, value, 0 };
}

static struct scmp_arg_cmp masked(unsigned argument, uint64_t mask, uint64_t value)
{
	return (struct scmp_arg_cmp){ argument, SCMP_CMP_MASKED_EQ, mask, value };
}

/* Reading only: holds on kernels without Landlock as well. */
static smq_err allow_opening(scmp_filter_ctx f, bool writes)
{
	static const char *const open_calls[] = { "open", "openat", "openat2" };
	uint64_t to_change = O_ACCMODE | O_CREAT | O_TRUNC;
	if (writes)
		return allow(f, open_calls, 2);
	smq_err err = allow_where(f, SCMP_SYS(openat), masked(2, to_change, O_RDONLY));
	return err != SMQ_OK ? err : allow_where(f, SCMP_SYS(open), masked(1, to_change, O_RDONLY));
}

/* Memory is never made executable, but for libraries. */
static smq_err allow_memory(scmp_filter_ctx f, bool loads)
{
	static const char *const any[] = { "mmap", "mmap2", "mprotect" };
	struct scmp_arg_cmp not_code = masked(2, PROT_EXEC, 0);
	if (loads)
		return allow(f, any, SMQ_COUNT(any));
	smq_err err = allow_where(f, SCMP_SYS(mmap), not_code);
	if (err == SMQ_OK)
		err = allow_where(f, SCMP_SYS(mmap2), not_code);
	return err != SMQ_OK ? err : allow_where(f, SCMP_SYS(mprotect), not_code);
}

static smq_err allow_sockets(scmp_filter_ctx f, const struct smq_rights *r)
{
	static const uint64_t families[] = { AF_INET, AF_INET6, AF_NETLINK /* which addresses we have, for names */ };
	smq_err err = SMQ_OK;
	bool local = r->local || r->foreign;
	if (!r->connects && !r->listens && !local)
		return err;
	if (local)
		err = allow_where(f, SCMP_SYS(socket), is(0, AF_UNIX));
	for (size_t i = 0; i < SMQ_COUNT(families) && err == SMQ_OK; i++)
		err = allow_where(f, SCMP_SYS(socket), is(0, families[i]));
	if (err == SMQ_OK && (r->connects || local))
		err = allow(f, for_connecting, SMQ_COUNT(for_connecting));
	if (err == SMQ_OK && r->listens)
		err = allow(f, for_listening, SMQ_COUNT(for_listening));
	/* both ends are ours: TLS is ended in one, HTTP in the other */
	return err != SMQ_OK ? err : allow_where(f, SCMP_SYS(socketpair), is(0, AF_UNIX));
}

/* A thread, and not a process: what shares this one's memory. Of clone3 the filter does not see the flags; without it
 * libc takes clone. */
static smq_err allow_threads(scmp_filter_ctx f)
{
	smq_err err = allow_where(f, SCMP_SYS(clone), masked(0, CLONE_THREAD, CLONE_THREAD));
	if (err == SMQ_OK)
		err = done(seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0));
	return err != SMQ_OK ? err : allow(f, for_threads, SMQ_COUNT(for_threads));
}

/* Some calls do many things, most of which nobody needs. */
static smq_err allow_in_part(scmp_filter_ctx f)
{
	smq_err err = allow_where(f, SCMP_SYS(ioctl), is(1, FIONREAD));
	if (err == SMQ_OK)
		err = allow_where(f, SCMP_SYS(ioctl), is(1, FIONBIO));
	if (err == SMQ_OK)
		err = allow_where(f, SCMP_SYS(ioctl), is(1, TCGETS)); /* is it a terminal? */
	if (err == SMQ_OK)
		err = allow_where(f, SCMP_SYS(ioctl), is(1, TIOCGWINSZ));
	if (err == SMQ_OK)
		err = allow_where(f, SCMP_SYS(prctl), is(0, PR_SET_VMA));
	if (err == SMQ_OK)
		err = allow_where(f, SCMP_SYS(prlimit64), is(2, 0)); /* reads, and sets nothing */
	/* abort: a signal to ourselves */
	if (err == SMQ_OK)
		err = allow_where(f, SCMP_SYS(tgkill), is(0, (scmp_datum_t)getpid()));
	return err;
}

static smq_err allow_needed(scmp_filter_ctx f, const struct smq_rights *r)
{
	bool writes = r->write_count > 0 || r->foreign;
	smq_err err = allow(f, always, SMQ_COUNT(always));
	if (err == SMQ_OK)
		err = allow_in_part(f);
	if (err == SMQ_OK)
		err = allow_opening(f, writes);
	if (err == SMQ_OK)
		err = allow_memory(f, r->loads || r->foreign);
	if (err == SMQ_OK)
		err = allow_sockets(f, r);
	if (err == SMQ_OK && writes)
		err = allow(f, for_writing, SMQ_COUNT(for_writing));
	if (err == SMQ_OK && (r->starts || r->foreign))
		err = allow_threads(f);
	return err;
}

static smq_err refuse(scmp_filter_ctx f, const char *const *names, size_t count)
{
	smq_err err = SMQ_OK;
	for (size_t i = 0; i < count && err == SMQ_OK; i++) {
		int number = seccomp_syscall_resolve_name(names[i]);
		if (number != __NR_SCMP_ERROR)
			err = done(seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), number, 0));
	}
	return err;
}

smq_err smq_calls_apply(const struct smq_rights *r)
{
	bool programs = r->execute_count > 0;
	scmp_filter_ctx f = seccomp_init(programs ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM));
	if (!f)
		return SMQ_ERR_NO_MEMORY;
	smq_err err =
	    programs ? refuse(f, never + OF_SANITIZERS, SMQ_COUNT(never) - OF_SANITIZERS) : allow_needed(f, r);
#ifdef SMQ_SANITIZED
	if (err == SMQ_OK && !programs)
		err = allow(f, for_sanitizers, SMQ_COUNT(for_sanitizers));
#endif
	if (err == SMQ_OK)
		err = done(seccomp_load(f));
	seccomp_release(f);
	return err;
}
