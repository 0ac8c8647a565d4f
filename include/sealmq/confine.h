/*
 * Confinement: a process gives up for good what its duty does not need. Linux: no_new_privs, a list of the system calls
 * that are allowed (seccomp), and the files and ports that may be opened (Landlock).
 *
 *     static const char *const reads[] = { "/srv/realm" };
 *     struct smq_rights r = { .duty = "signer", .reads = reads, .read_count = 1 };
 *     err = smq_confine(&r, &how);
 *
 * What is open stays open, and can be used. Everything else is refused: system calls with EPERM, files and ports with
 * EACCES. Never: other processes' memory or signals, and, but where it is asked for, other programs, threads, new
 * executable memory.
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
	const char *duty;      /* a word, for messages */
	bool connects;         /* out to others, by TCP; UDP for names */
	bool local;            /* to sockets of this machine that have a path */
	bool listens;          /* takes connections that come in */
	bool loads;            /* libraries, when they are first needed */
	bool starts;           /* threads of its own */
	const uint16_t *ports; /* connects: to these alone, where Landlock can tell (kernel 6.7); none: any */
	size_t port_count;
	/* Files, or directories with all that is below them. What is not there is left out. */
	const char *const *reads;
	size_t read_count;
	const char *const *writes; /* may be read, too */
	size_t write_count;
	const char *removes; /* a directory in which files may be removed; NULL: none */
	/* A module of somebody else's was loaded (PKCS#11, an engine of OpenSSL), whose needs nobody can state: any
	 * files, local sockets, libraries and threads. Never programs, nor other processes. */
	bool foreign;
	/* Programs that may be started, by full path. They inherit what is given up here, so that system calls are held
	 * by a list of those that no service needs, in place of the list of those that are needed. */
	const char *const *executes;
	size_t execute_count;
};

struct smq_confined {
	bool calls;   /* system calls are filtered */
	int landlock; /* its version in this kernel; 0: none, files and ports are held by the list of calls alone */
};

/*
 * For the calling thread and all that it starts; cannot be taken back. SMQ_ERR_UNSUPPORTED: this kernel has none of it,
 * and nothing was given up. A build with sanitizers keeps what these need: /proc, tracing of itself, processes.
 */
SMQ_MUST_USE smq_err smq_confine(const struct smq_rights *rights, struct smq_confined *ret_how);

/*
 * The same, gathered from all who need something; texts are copied. Whoever gathers goes on where memory is short: the
 * last call tells.
 *
 *     smq_needs *n = smq_needs_new("gateway");
 *     smq_client_needs(&options, n);           sealmq/client.h, after smq_client_new, before smq_client_connect
 *     smq_needs_write(n, "/srv/gateway");
 *     err = smq_needs_confine(n, &how);
 *     smq_needs_free(n);
 *
 * Libraries and modules for what was asked for must have been loaded before.
 */
typedef struct smq_needs smq_needs;
smq_needs *smq_needs_new(const char *duty); /* NULL: no memory; fine for all of the following */
void smq_needs_free(smq_needs *needs);
void smq_needs_read(smq_needs *needs, const char *path);      /* NULL: nothing */
void smq_needs_write(smq_needs *needs, const char *path);     /* NULL: nothing */
void smq_needs_directory(smq_needs *needs, const char *file); /* reads where it lies: it may be replaced by another */
void smq_needs_sqlite(smq_needs *needs, const char *file);    /* an open database of SQLite, with WAL; one of them */
void smq_needs_port(smq_needs *needs, int port);              /* out to this TCP port; 0: to any */
/* Names of hosts by whatever the machine looks them up with (nsswitch.conf); loads its modules now. */
void smq_needs_names(smq_needs *needs);
void smq_needs_local(smq_needs *needs);   /* sockets of this machine that have a path */
void smq_needs_listen(smq_needs *needs);  /* takes connections */
void smq_needs_threads(smq_needs *needs); /* starts threads, each with the same rights */
void smq_needs_foreign(smq_needs *needs);
void smq_needs_program(smq_needs *needs, const char *path); /* starts it */
SMQ_MUST_USE smq_err smq_needs_confine(const smq_needs *needs, struct smq_confined *ret_how);

/* The processes that the sealmq tool consists of, and what each may do, in one line; NULL past the last one. */
struct smq_process {
	const char *name, *rights;
};
const struct smq_process *smq_process_rights(size_t number);

/*
 * Keeps this process's memory to itself: no core dumps, no debugger of the same user; and all memory that it writes to
 * stays out of a core dump made from outside and, as far as the limit on locked memory goes, out of swap; and what
 * OpenSSL frees is wiped. Once, at the start, before there are secrets: SMQ_ERR_STATE, OpenSSL was in use before.
 * *ret_locked (may be NULL): whether it is locked.
 */
SMQ_MUST_USE smq_err smq_memory_guard(bool *ret_locked);

#ifdef __cplusplus
}
#endif
#endif
