/*
 * A recorder's database dies: killed anywhere, or cut from power. What was committed is there, once.
 *
 * usage: crash_records kills N | cuts N | walk STEP [--planted]    walk: killed at every STEP-th system call of its
 * first commits; planted: says that it is stored before it is; syncs are not heeded
 */
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "adapters/records_sqlite/records_sqlite.h"
#include "power_vfs.h"

enum { ROWS = 7, RUNS_A_FILE = 50, ROOM = 1 << 20 };

struct shared {
	struct power_control disk;
	uint64_t acked; /* rows from 0 on */
	uint64_t stop_at;
};

static struct shared *shared;
static char dir[64], db[96], log_path[96];
static bool planted, cuts;
static uint64_t seed = 88172645463325252ULL;
static uint8_t seen[ROOM];

static bool remove_files(void)
{
	char command[256];
	snprintf(command, sizeof(command), "rm -rf %s %s.disk %s.check", dir, dir, dir);
	return dir[0] == '\0' || system(command) == 0;
}

/* What was planted is no finding: nothing of it is kept to be looked at. */
static void broken(const char *what, uint64_t a, uint64_t b)
{
	fprintf(stderr, "BROKEN: %s (%llu, %llu)\n", what, (unsigned long long)a, (unsigned long long)b);
	if (planted)
		(void)!remove_files();
	else
		fprintf(stderr, "its files are in %s\n", dir);
	_exit(3);
}

static smq_err add(struct smq_record_store *s, uint64_t number)
{
	static const uint8_t boot_id[16] = { 1, 2, 3 };
	char raw[64];
	snprintf(raw, sizeof(raw), "{\"n\":%llu}", (unsigned long long)number);
	struct smq_record_row row = {
		.key = { .sender = "fridge-07", .group = "g", .counter = number, .boot_id = boot_id },
		.topic = "plant/a",
		.measured_ms = 1,
		.received_ms = 2,
		.proof = SMQ_PROOF_MEMBER,
		.raw = smq_span_str(raw)
	};
	return s->add(s->self, &row);
}

/* From where it was acknowledged, with some that a broker would deliver again. */
_Noreturn static void write_on(void)
{
	struct smq_record_store s;
	struct smq_record_committed done;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!power_vfs_start(cuts ? log_path : NULL, &shared->disk) || smq_records_sqlite_open(db, true, &s) != SMQ_OK)
		_exit(9);
	for (uint64_t at = shared->acked > 3 ? shared->acked - 3 : 0; at + ROWS < shared->stop_at; at += ROWS) {
		for (uint64_t i = 0; i < ROWS; i++) {
			if (add(&s, at + i) != SMQ_OK)
				_exit(8);
		}
		if (planted && !cuts)
			shared->acked = at + ROWS;
		if (s.commit(s.self, &done) != SMQ_OK)
			_exit(7);
		shared->acked = at + ROWS;
	}
	_exit(0);
}

static void check(void)
{
	sqlite3 *file = NULL;
	sqlite3_stmt *st = NULL;
	struct smq_record_store s;
	char command[512], copy[128];
	memset(seen, 0, sizeof(seen));
	if (access(db, F_OK) != 0 && shared->acked == 0)
		return; /* it died before it was made */
	/* of a copy: what is looked at is not to be mended by looking */
	snprintf(copy, sizeof(copy), "%s.check/db", dir);
	snprintf(command, sizeof(command), "rm -rf %s.check && cp -a %s %s.check", dir, dir, dir);
	if (system(command) != 0)
		broken("cp", 0, 0);
	/* by the recorder's own opening first: it must take it up again */
	if (smq_records_sqlite_open(copy, true, &s) != SMQ_OK)
		broken("it does not open again", shared->acked, 0);
	s.free(s.self);
	if (sqlite3_open_v2(copy, &file, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK ||
	    sqlite3_prepare_v2(file, "SELECT counter FROM readings WHERE part = 0", -1, &st, NULL) != SQLITE_OK)
		broken("it does not read back", shared->acked, 0);
	while (sqlite3_step(st) == SQLITE_ROW) {
		uint64_t counter = (uint64_t)sqlite3_column_int64(st, 0);
		if (counter >= ROOM || seen[counter]++)
			broken("a row is there twice", counter, 0);
	}
	sqlite3_finalize(st);
	sqlite3_close(file);
	for (uint64_t i = 0; i < shared->acked; i++) {
		if (!seen[i])
			broken("an acknowledged row is lost", i, shared->acked);
	}
}

static pid_t child;
static void on_alarm(int number)
{
	(void)number;
	kill(child, SIGKILL);
}

static void die_once(void)
{
	struct sigaction action = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
	struct itimerval t = { .it_value = { 0, 1000 + (suseconds_t)(power_draw(&seed) % 12000) } };
	int status;
	sigaction(SIGALRM, &action, NULL);
	fflush(stdout);
	child = fork();
	if (child == 0)
		write_on();
	setitimer(ITIMER_REAL, &t, NULL);
	if (waitpid(child, &status, 0) != child || WIFEXITED(status))
		broken("the writer ended by itself", (uint64_t)status, 0);
	if (cuts && !power_cut(dir, log_path, &seed, !planted))
		broken("the cut", 0, 0);
	check();
}

/* A tracer counts its system calls. False: it came to its end before that one. */
static bool killed_at(uint64_t call)
{
	int status;
	fflush(stdout);
	child = fork();
	if (child == 0) {
		(void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		write_on();
	}
	waitpid(child, &status, 0);
	(void)ptrace(PTRACE_SETOPTIONS, child, NULL, (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL));
	for (bool entering = true;; entering = !entering) {
		if (ptrace(PTRACE_SYSCALL, child, NULL, NULL) != 0 || waitpid(child, &status, 0) != child)
			broken("the tracer", call, 0);
		if (!WIFSTOPPED(status))
			return false;
		if (entering && WSTOPSIG(status) == (SIGTRAP | 0x80) && --call == 0) {
			kill(child, SIGKILL);
			waitpid(child, &status, 0);
			return true;
		}
	}
}

static void clean(void)
{
	if (!remove_files())
		broken("rm", 0, 0);
}

static void begin(void)
{
	snprintf(dir, sizeof(dir), "/dev/shm/smq-crash-XXXXXX");
	if (!mkdtemp(dir))
		broken("mkdtemp", 0, 0);
	snprintf(db, sizeof(db), "%s/db", dir);
	snprintf(log_path, sizeof(log_path), "%s/log", dir);
	shared->acked = 0;
}

/* Making the file and three commits; then it is taken up again, and three more. */
static void walk(uint64_t step)
{
	uint64_t deaths = 0;
	bool reached = true;
	for (uint64_t at = 1; reached; at += step) {
		begin();
		shared->stop_at = 3 * ROWS + 1;
		reached = killed_at(at);
		deaths += reached;
		check();
		shared->stop_at = shared->acked + 3 * ROWS + 1;
		(void)killed_at(UINT64_MAX);
		check();
		clean();
	}
	printf("records, walk: killed at %llu of its system calls: none lost, none twice\n",
	       (unsigned long long)deaths);
}

int main(int argc, char **argv)
{
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 0, rows = 0;
	cuts = argc > 1 && strcmp(argv[1], "cuts") == 0;
	planted = argc > 3 && strcmp(argv[3], "--planted") == 0;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (count == 0 || shared == MAP_FAILED)
		return 2;
	shared->stop_at = ROOM;
	if (strcmp(argv[1], "walk") == 0) {
		walk(count);
		return 0;
	}
	for (uint64_t done = 0; done < count; rows += shared->acked) {
		begin();
		for (int i = 0; i < RUNS_A_FILE && done < count; i++, done++)
			die_once();
		clean();
	}
	printf("records, %s: %llu deaths, %llu rows acknowledged: none lost, none twice\n", cuts ? "cuts" : "kills",
	       (unsigned long long)count, (unsigned long long)rows);
	return 0;
}
