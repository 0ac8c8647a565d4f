/* Confinement: each duty's process tries the forbidden, and sees it refused; without confinement the same succeeds. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmocka_all.h"

#include <sealmq/confine.h>

#include "adapters/confine_seccomp/memory.h"

static char dir[] = "/tmp/smq-confine-XXXXXX", inside[64], other[64], victim[80];
static uint16_t port; /* somebody listens there */
static int listening;

/* ---- the forbidden; 0, or the errno ---- */

static int as_errno(long result) { return result < 0 ? errno : 0; }

static int try_read_inside(void) { return as_errno(open(inside, O_RDONLY)); }
static int try_read_other(void) { return as_errno(open(other, O_RDONLY)); }
static int try_write_inside(void) { return as_errno(open(inside, O_WRONLY)); }
static int try_create_inside(void)
{
	char path[96];
	snprintf(path, sizeof(path), "%s/new", dir);
	return as_errno(open(path, O_WRONLY | O_CREAT, 0600));
}
static int try_write_other(void) { return as_errno(open(other, O_WRONLY)); }
static int try_unlink_other(void)
{
	int result = as_errno(unlink(victim));
	if (result == 0)
		close(open(victim, O_WRONLY | O_CREAT, 0600)); /* for whoever comes next */
	return result;
}
static int try_socket(void) { return as_errno(socket(AF_INET, SOCK_STREAM, 0)); }
static int try_unix_socket(void) { return as_errno(socket(AF_UNIX, SOCK_STREAM, 0)); }
static int try_raw_socket(void) { return as_errno(socket(AF_PACKET, SOCK_RAW, 0)); }

static int try_connect_to(uint16_t number)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(number),
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	return fd < 0 ? errno : as_errno(connect(fd, (struct sockaddr *)&to, sizeof(to)));
}
static int try_connect(void) { return try_connect_to(port); }

static int try_listen(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0)
		return errno;
	return bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 ? errno : as_errno(listen(fd, 1));
}

static int try_exec(void)
{
	static char name[] = "true";
	char *argv[] = { name, NULL }, *none[] = { NULL };
	(void)execve("/bin/true", argv, none);
	return errno;
}
static int try_fork(void)
{
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	return as_errno(pid);
}
static int try_ptrace(void) { return as_errno(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL)); }
static int try_kill(void) { return as_errno(kill(getppid(), 0)); }
static int try_code(void)
{
	return as_errno(
	    mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1
														   : 0);
}
static int try_dumpable(void) { return as_errno(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)); }
static int try_limit(void)
{
	struct rlimit r = { 1, 1 };
	return as_errno(setrlimit(RLIMIT_CORE, &r));
}
static int try_memory(void) { return malloc(1 << 20) ? 0 : ENOMEM; }
static void *nothing(void *self) { return self; }
static int try_thread(void)
{
	pthread_t thread;
	int result = pthread_create(&thread, NULL, nothing, NULL);
	if (result == 0)
		pthread_join(thread, NULL);
	return result;
}

struct action {
	const char *name;
	int (*run)(void);
	bool by_landlock;
};
static const struct action actions[] = {
	{ "reads its directory", try_read_inside, true },
	{ "reads another file", try_read_other, true },
	{ "writes its file", try_write_inside, true },
	{ "makes a file", try_create_inside, true },
	{ "writes another file", try_write_other, true },
	{ "removes another file", try_unlink_other, true },
	{ "makes a socket", try_socket, false },
	{ "makes a unix socket", try_unix_socket, false },
	{ "makes a raw socket", try_raw_socket, false },
	{ "connects", try_connect, true },
	{ "listens", try_listen, true },
	{ "starts a program", try_exec, false },
	{ "forks", try_fork, false },
	{ "traces its parent", try_ptrace, false },
	{ "signals its parent", try_kill, false },
	{ "makes code", try_code, false },
	{ "becomes dumpable", try_dumpable, false },
	{ "lifts a limit", try_limit, false },
	{ "takes memory", try_memory, false },
	{ "starts a thread", try_thread, false },
};
enum { ACTIONS = sizeof(actions) / sizeof(actions[0]) };

static const char *const its_dir[] = { dir };

/* y: it may, n: it must not, in the order above; -: whatever. */
static const struct {
	struct smq_rights rights;
	bool right_port;
	const char *may;
} rows[] = {
	/* 01: nothing at all */
	{ { .duty = "nothing" }, false, "nnnnnnnnnnnnnnnnnnyn" },
	/* 02: the signer */
	{ { .duty = "signer", .reads = its_dir, .read_count = 1 }, false, "ynnnnnnnnnnnnnnnnnyn" },
	/* 03: the store */
	{ { .duty = "store", .writes = its_dir, .write_count = 1 }, false, "ynyynnnnnnnnnnnnnnyn" },
	/* 04: a listener whose broker is at that port */
	{ { .duty = "listener", .connects = true }, true, "nnnnnnynnynnnnnnnnyn" },
	/* 05: a listener whose broker is elsewhere */
	{ { .duty = "listener", .connects = true }, false, "nnnnnnynnnnnnnnnnnyn" },
	/* 06: a server */
	{ { .duty = "server", .listens = true }, false, "nnnnnnynn-ynnnnnnnyn" },
	/* 07: sockets of this machine */
	{ { .duty = "local", .local = true }, false, "nnnnnnyyn-nnnnnnnnyn" },
	/* 08: threads, and still no process */
	{ { .duty = "threads", .starts = true }, false, "nnnnnnnnnnnnnnnnnnyy" },
	/* 09: somebody else's module was loaded */
	{ { .duty = "foreign", .foreign = true }, false, "yyyyyyyyn-nnnnnynnyy" },
};

/* A build with sanitizers keeps what these need. */
static bool is_kept(const struct action *a)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	bool sanitized = true;
#elif defined(__has_feature)
	bool sanitized =
	    __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || __has_feature(thread_sanitizer);
#else
	bool sanitized = false;
#endif
	return sanitized && (a->run == try_fork || a->run == try_ptrace || a->run == try_kill || a->run == try_code ||
			     a->run == try_dumpable || a->run == try_limit || a->run == try_thread);
}

static void try_all(const struct smq_rights *rights, int to)
{
	struct smq_confined how = { .landlock = -1 };
	smq_err err = rights ? smq_confine(rights, &how) : SMQ_OK;
	int results[ACTIONS + 2] = { (int)err, how.landlock };
	for (size_t i = 0; i < ACTIONS && err == SMQ_OK; i++) {
		if (rights || (actions[i].run != try_exec && actions[i].run != try_ptrace))
			results[i + 2] = actions[i].run();
	}
	(void)!write(to, results, sizeof(results));
	_exit(0);
}

static void run_row(const struct smq_rights *rights, int ret_results[ACTIONS + 2])
{
	int ends[2], status;
	assert_int_equal(pipe(ends), 0);
	pid_t pid = fork();
	if (pid == 0)
		try_all(rights, ends[1]);
	close(ends[1]);
	ssize_t len = read(ends[0], ret_results, (ACTIONS + 2) * sizeof(int));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(ends[0]);
	assert_int_equal(len, (ACTIONS + 2) * sizeof(int));
	assert_true(WIFEXITED(status));
}

static void each_duty_tries_the_forbidden(void **state)
{
	uint16_t ports[2];
	(void)state;
	for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
		struct smq_rights rights = rows[row].rights;
		int results[ACTIONS + 2];
		ports[0] = rows[row].right_port ? port : 1;
		ports[1] = 53;
		if (rights.connects) {
			rights.ports = ports;
			rights.port_count = 2;
		}
		assert_int_equal(strlen(rows[row].may), ACTIONS);
		run_row(&rights, results);
		if (results[0] == SMQ_ERR_UNSUPPORTED) {
			print_message("# this kernel confines nothing\n");
			skip();
		}
		assert_int_equal(results[0], SMQ_OK);
		if (results[1] == 0)
			print_message("# no Landlock in this kernel: its rows are skipped\n");
		for (size_t i = 0; i < ACTIONS; i++) {
			int got = results[i + 2];
			char may = rows[row].may[i];
			bool known = !actions[i].by_landlock || results[1] >= 4;
			if (may == '-' || ((!known || is_kept(&actions[i])) && may == 'n'))
				continue;
			if ((may == 'y') != (got == 0) || (may == 'n' && got != EPERM && got != EACCES))
				fail_msg("row %zu, %s: %s: errno %d", row + 1, rights.duty, actions[i].name, got);
		}
	}
}

/* The planted one: were nothing given up, each of these would go through, and the rows above would fail. */
static void unconfined_all_of_it_works(void **state)
{
	int results[ACTIONS + 2];
	(void)state;
	run_row(NULL, results);
	for (size_t i = 0; i < ACTIONS; i++) {
		if (actions[i].run == try_raw_socket)
			continue; /* not everybody may, anyway */
		if (results[i + 2] != 0)
			fail_msg("%s: errno %d", actions[i].name, results[i + 2]);
	}
}

/* ---- memory ---- */

static bool in_maps(const void *p, const char *flag)
{
	char line[512];
	unsigned long from = 0, to = 0, at = (unsigned long)p;
	bool here = false, found = false;
	FILE *f = fopen("/proc/self/smaps", "r");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = from <= at && at < to;
		else if (here && strncmp(line, "VmFlags:", 8) == 0)
			found = strstr(line, flag) != NULL;
	}
	if (f)
		fclose(f);
	return found;
}

static int guard_and_look(void)
{
	static char data[64] = "x";
	char *before = malloc(100), on_stack = 0;
	bool locked = false;
	if (in_maps(data, " dd"))
		return 1;
	smq_err err = smq_memory_fence(&locked);
	if (err == SMQ_ERR_UNSUPPORTED)
		return 77;
	char *small = malloc(100), *large = malloc(8 << 20);
	const void *places[] = { before, small, large, &on_stack, data };
	if (err != SMQ_OK || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
		return 2;
	for (int i = 0; i < 5; i++) {
		if (!in_maps(places[i], " dd"))
			return 10 + i;
		if (locked && !in_maps(places[i], " lo"))
			return 20 + i;
	}
	return locked ? 0 : 78;
}

static void memory_is_kept(void **state)
{
	int status = 0;
	pid_t pid = fork();
	(void)state;
	if (pid == 0)
		_exit(guard_and_look());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	if (WEXITSTATUS(status) == 78)
		print_message("# not locked: the limit on locked memory is too low here\n");
	else
		assert_int_equal(WEXITSTATUS(status), 0);
}

static int setup(void **state)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(at);
	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(inside, sizeof(inside), "%s/file", dir);
	snprintf(other, sizeof(other), "%s-other", dir);
	close(open(inside, O_WRONLY | O_CREAT, 0600));
	close(open(other, O_WRONLY | O_CREAT, 0600));
	snprintf(victim, sizeof(victim), "%s.x", other);
	close(open(victim, O_WRONLY | O_CREAT, 0600));
	listening = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(listening, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(listening, 64), 0);
	assert_int_equal(getsockname(listening, (struct sockaddr *)&at, &len), 0);
	port = ntohs(at.sin_port);
	return 0;
}

static int teardown(void **state)
{
	char command[240];
	(void)state;
	close(listening);
	snprintf(command, sizeof(command), "rm -rf %s %s %s", dir, other, victim);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_duty_tries_the_forbidden),
		cmocka_unit_test(unconfined_all_of_it_works),
		cmocka_unit_test(memory_is_kept),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
