/*
 * Confinement: a process gives up for good what its duty does not need. Linux: no_new_privs, a list of the system calls
 * that are allowed (seccomp), and the files and ports that may be opened (Landlock).
 *
 *     static const char *const reads[] = { "/srv/realm" };
 *     struct smq_rights r = { .duty = "signer", .reads = reads, .read_count = 1 };
 *     err = smq_confine(&r, &how);
 *
 * What is open stays open, and can be used. Everything else is refused: system calls with EPERM, files and ports with
 * EACCES. Never: other programs, other processes' memory or signals, threads, new executable memory.
 */
#ifndef SEALMQ_CONFINE_H
#define SEALMQ_CONFINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sealmq/err.h>

#ifdef __cplusplus
extern "C" {
#endif

struct smq_rights {
	const char *duty; /* a word, for messages */
	bool connects;    /* out to others, by TCP; UDP for names */
	bool local;       /* to sockets of this machine that have a path */
	bool listens;     /* takes connections that come in */
	bool loads;       /* libraries, when they are first needed */
	bool starts;      /* threads of its own */
	const uint16_t *ports; /* connects: to these alone, where Landlock can tell (kernel 6.7); none: any */
	size_t port_count;
	/* Files, or directories with all that is below them. What is not there is left out. */
	const char *const *reads;
	size_t read_count;
	const char *const *writes; /* may be read, too */
	size_t write_count;
	const char *removes; /* a directory in which files may be removed; NULL: none */
};

struct smq_confined {
	bool calls;   /* system calls are filtered */
	int landlock; /* its version in this kernel; 0: none, files and ports are held by the list of calls alone */
};

/*
 * For the calling process and all that it starts; cannot be taken back. SMQ_ERR_UNSUPPORTED: this kernel, or this build
 * (sanitizers need more than any duty does), has none of it, and nothing was given up.
 */
SMQ_MUST_USE smq_err smq_confine(const struct smq_rights *rights, struct smq_confined *ret_how);

/*
 * Keeps this process's memory to itself: no core dumps, no debugger of the same user; and all memory that it writes to
 * stays out of a core dump made from outside and, as far as the limit on locked memory goes, out of swap; and what
 * OpenSSL frees is wiped. Once, at the start, before there are secrets: SMQ_ERR_STATE, OpenSSL was in use before. *ret_locked (may be NULL): whether it is locked.
 */
SMQ_MUST_USE smq_err smq_memory_guard(bool *ret_locked);

#ifdef __cplusplus
}
#endif
#endif
