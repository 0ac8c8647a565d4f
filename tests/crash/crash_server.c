/*
 * The key server's database dies: killed at every system call, killed anywhere, cut from power, on a disk that is full
 * or broken. The store is a process of its own (as in `sealmq keyserver run`), on a real SQLite file; the world around
 * it, broker, admin and members, goes on, and knows what was acknowledged.
 *
 * usage: crash_server kills N | cuts N | walk STEP | faults STEP [--planted] [--seed N]
 *
 * After each death: nothing that was published comes with another content (epochs, nodes, sender ids: the rig sees to
 * it), nothing the broker holds is ahead of the database, whoever was let in follows, whoever was expelled does not.
 * --planted: the store acknowledges first and stores later, or (cuts) its syncs are not heeded. Must fail.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmocka_all.h"

#include <sealmq/client.h>

#include "adapters/keyserver_sqlite/audit.h"
#include "adapters/keyserver_sqlite/keyserver_sqlite.h"
#include "adapters/pipe_posix/store_desk.h"
#include "adapters/pipe_posix/store_pipe.h"
#include "keyserver_rig.h"
#include "power_vfs.h"

enum { A = RIG_FIRST, PEERS = RIG_FIRST + 8, DEATHS_A_WORLD = 40 };
enum deed { JOIN, LEAVE, ROTATE, NEW_LIFE, EXPEL, DEEDS };
static const char *const deed_names[] = { "join", "leave", "rotate", "new life", "expel" };

enum mode { KILLS, CUTS, WALK, FAULTS };

/* Shared with the store's process and its tracer. */
struct shared {
	struct power_control disk;
	pid_t store;
	uint64_t calls, kill_at; /* system calls since the deed began; kill_at 0: never */
	bool up;
};

static struct shared *shared;
static struct rig *r;
static enum mode mode;
static bool planted;
static uint64_t seed = 88172645463325252ULL;
static char dir[64], db[96], log_path[96];
static pid_t child;
static int pipe_fd = -1;
static bool in[PEERS], unsure[PEERS], barred[PEERS];
static uint64_t acked_epoch, deaths, deeds, acked;
static const char *now_doing = "";

static bool remove_files(void)
{
	char command[256];
	snprintf(command, sizeof(command), "rm -rf %s %s.disk", dir, dir);
	return dir[0] == '\0' || system(command) == 0;
}

/* What was planted is no finding: nothing of it is kept to be looked at. */
static void broken(const char *what, uint64_t a, uint64_t b)
{
	fflush(stdout);
	fprintf(stderr, "BROKEN: %s (%llu, %llu) after %llu deaths, in '%s'\n", what, (unsigned long long)a,
		(unsigned long long)b, (unsigned long long)deaths, now_doing);
	if (child > 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	if (planted)
		(void)!remove_files();
	else
		fprintf(stderr, "its files are in %s\n", dir);
	_exit(3);
}

/* ---- the store's process ---- */

static smq_err derive(void *self, const uint8_t salt[SMQ_KS_SALT_LEN], uint8_t ret_key[SMQ_KS_MASTER_KEY_LEN])
{
	(void)self;
	memcpy(ret_key, salt, SMQ_KS_MASTER_KEY_LEN);
	return SMQ_OK;
}

static int64_t unix_ms(void) { return INT64_C(1790000000000); }

/* The planted one: says that it is stored, and stores several transactions together, later. */
static struct smq_ks_store honest;
static bool late;

static smq_err late_begin(void *self) { return late ? SMQ_OK : honest.begin(self); }

static smq_err late_commit(void *self)
{
	static unsigned commits;
	late = ++commits % 4 != 0;
	return late ? SMQ_OK : honest.commit(self);
}

_Noreturn static void be_store(int fd)
{
	struct smq_store_desk desk;
	struct smq_own_credential own = r->peers[RIG_KEYSERVER].own;
	struct smq_ks_store store;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	bool logged = mode == CUTS;
	if (!power_vfs_start(logged ? log_path : NULL, &shared->disk) || smq_store_desk_init(&desk, fd) != SMQ_OK)
		_exit(9);
	own.signer = smq_store_desk_signer(&desk, own.signer.alg);
	struct smq_keyserver_sqlite_config config = { .path = db,
						      .create = access(db, F_OK) != 0,
						      .crypto = smq_crypto_openssl(),
						      .random = smq_random_system(),
						      .own = &own,
						      .derive = derive,
						      .unix_ms = unix_ms };
	smq_err err = smq_keyserver_sqlite_open(&config, &store);
	if (err != SMQ_OK)
		_exit(100 + (int)err % 100);
	shared->up = true;
	if (planted && mode != CUTS) {
		honest = store;
		store.begin = late_begin;
		store.commit = late_commit;
	}
	err = smq_store_desk_serve(&desk, &store);
	_exit(err == SMQ_OK ? 0 : 8);
}

/* ---- a tracer between us and it, who counts its system calls ---- */

_Noreturn static void trace(int fd)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		(void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		be_store(fd);
	}
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(fd);
	shared->store = pid;
	waitpid(pid, &status, 0);
	(void)ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL));
	for (bool entering = true;; entering = !entering) {
		if (ptrace(PTRACE_SYSCALL, pid, NULL, NULL) != 0 || waitpid(pid, &status, 0) != pid ||
		    !WIFSTOPPED(status))
			break;
		if (WSTOPSIG(status) != (SIGTRAP | 0x80))
			continue;
		if (entering && shared->up && ++shared->calls == shared->kill_at) {
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			break;
		}
	}
	_exit(0);
}

static bool start_store(void)
{
	int fds[2];
	if (smq_channel_pair(fds) != SMQ_OK)
		return false;
	shared->up = false;
	fflush(stdout);
	child = fork();
	if (child == 0) {
		close(fds[0]);
		if (mode == WALK)
			trace(fds[1]);
		be_store(fds[1]);
	}
	close(fds[1]);
	pipe_fd = fds[0];
	if (mode != WALK)
		shared->store = child;
	return child > 0;
}

static struct smq_ks_store store_of(struct rig *rig, int server)
{
	struct smq_ks_store store;
	(void)server;
	if (smq_store_pipe_open(pipe_fd, &rig->peers[RIG_KEYSERVER].own.signer, SMQ_KS_AUDIT_KIND, &store) != SMQ_OK)
		broken("no memory", 0, 0);
	return store;
}

/* Gone, as a kill leaves it. */
static void bury(void)
{
	int status;
	kill(shared->store, SIGKILL);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	child = 0;
	close(pipe_fd);
	pipe_fd = -1;
}

static bool is_dead(void)
{
	uint8_t byte;
	return recv(pipe_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* ---- a world ---- */

static void begin_world(void)
{
	struct smq_policy p;
	snprintf(dir, sizeof(dir), "/dev/shm/smq-crash-XXXXXX");
	if (!mkdtemp(dir)) {
		snprintf(dir, sizeof(dir), "/tmp/smq-crash-XXXXXX");
		if (!mkdtemp(dir))
			broken("mkdtemp", (uint64_t)errno, 0);
	}
	snprintf(db, sizeof(db), "%s/db", dir);
	snprintf(log_path, sizeof(log_path), "%s/log", dir);
	memset(in, 0, sizeof(in));
	memset(unsure, 0, sizeof(unsure));
	memset(barred, 0, sizeof(barred));
	acked_epoch = 0;
	shared->disk.fail_at = 0;
	shared->kill_at = 0;
	r = rig_new(PEERS);
	r->store_of = store_of;
	now_doing = "begin";
	if (!start_store() || !rig_start(r, 0))
		broken("does not start", (uint64_t)r->last_refusal, 0);
	p = rig_policy("g", SMQ_MODE_UPDATE);
	if (rig_set_policy(r, &p) != SMQ_OK)
		broken("no policy", 0, 0);
	for (int i = A; i < A + 4; i++) {
		if (rig_join(r, i, "g") != SMQ_OK)
			broken("does not join", (uint64_t)i, 0);
		in[i] = true;
	}
	acked_epoch = rig_epoch(r, "g");
}

static void end_world(void)
{
	bury();
	rig_free(r);
	if (!remove_files())
		broken("rm", 0, 0);
}

/* ---- what must hold ---- */

static void check_members(void)
{
	if (rig_epoch(r, "g") < acked_epoch)
		broken("an acknowledged epoch is lost", rig_epoch(r, "g"), acked_epoch);
	for (int i = A; i < PEERS; i++) {
		if (unsure[i])
			continue;
		smq_err err = in[i] || barred[i] ? rig_follow(r, i, "g") : SMQ_ERR_NO_KEY;
		if (in[i] && err != SMQ_OK)
			broken("a member that was let in does not follow", (uint64_t)i, (uint64_t)err);
		if (barred[i] && err == SMQ_OK)
			broken("who was expelled follows", (uint64_t)i, 0);
	}
}

/* As after a crash: a broker that still has everything, or one that has forgotten all of it. */
static void start_again(void)
{
	deaths++;
	rig_stop(r, 0);
	bury();
	if (mode == CUTS && !power_cut(dir, log_path, &seed, !planted))
		broken("the cut", 0, 0);
	shared->kill_at = 0;
	shared->disk.fail_at = 0;
	if (power_draw(&seed) % 4 == 0)
		rig_forget_retained(r);
	if (!start_store() || !rig_start(r, 0)) {
		int status = 0;
		waitpid(child, &status, WNOHANG);
		broken("does not start again", (uint64_t)r->last_refusal, (uint64_t)status);
	}
	if (r->servers[0].jumps > 0)
		broken("what was published is ahead of the database", r->servers[0].jumps, 0);
	rig_pass(r, 5000, 100); /* what a forgetful broker lacks is published again */
	check_members();
}

/* ---- deeds ---- */

static int draw_peer(void) { return A + 1 + (int)(power_draw(&seed) % (PEERS - A - 1)); }

static smq_err do_deed(enum deed deed, int peer)
{
	struct smq_ks_request q;
	now_doing = deed_names[deed];
	switch (deed) {
	case NEW_LIFE:
		r->peers[peer].boot_id[3]++;
		return rig_join(r, peer, "g");
	case JOIN:
		return rig_join(r, peer, "g");
	case LEAVE:
		return rig_leave(r, peer, "g");
	case EXPEL:
		return rig_expel(r, peer, "g");
	default:
		q = rig_request(SMQ_KS_ROTATE, "g");
		return rig_asked(r, RIG_ADMIN, &q);
	}
}

/* What is known after it, whatever became of it. */
static void conclude(enum deed deed, int peer, smq_err err)
{
	deeds++;
	if (err == SMQ_OK) {
		acked++;
		acked_epoch = rig_epoch(r, "g");
	}
	if (deed == ROTATE)
		return;
	unsure[peer] = err != SMQ_OK;
	if (err != SMQ_OK)
		return;
	in[peer] = deed == JOIN || deed == NEW_LIFE;
	barred[peer] = barred[peer] || deed == EXPEL;
}

static void draw_deed(enum deed *ret_deed, int *ret_peer)
{
	uint64_t what = power_draw(&seed) % 16;
	*ret_peer = draw_peer();
	*ret_deed = what < 5 ? ROTATE : what < 9 ? JOIN : what < 12 ? NEW_LIFE : what < 15 ? LEAVE : EXPEL;
	if (barred[*ret_peer] || (*ret_deed == EXPEL && power_draw(&seed) % 3))
		*ret_deed = ROTATE;
	if ((*ret_deed == LEAVE || *ret_deed == EXPEL) && !in[*ret_peer])
		*ret_deed = JOIN;
}

/* ---- killed anywhere, cut from power ---- */

static void on_alarm(int number)
{
	(void)number;
	kill(shared->store, SIGKILL);
}

static void arm(uint64_t most_us)
{
	struct itimerval t = { .it_value = { 0, 1 + (suseconds_t)(power_draw(&seed) % most_us) } };
	setitimer(ITIMER_REAL, &t, NULL);
}

static void disarm(void)
{
	struct itimerval t = { .it_value = { 0, 0 } };
	setitimer(ITIMER_REAL, &t, NULL);
}

static void kill_anywhere(uint64_t count)
{
	struct sigaction action = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
	uint64_t most_us = 4000;
	sigaction(SIGALRM, &action, NULL);
	while (deaths < count) {
		uint64_t until = deaths + DEATHS_A_WORLD;
		begin_world();
		while (deaths < until && deaths < count) {
			enum deed deed;
			int peer;
			draw_deed(&deed, &peer);
			arm(most_us);
			smq_err err = do_deed(deed, peer);
			disarm();
			bool dead = is_dead();
			conclude(deed, peer, err);
			/* half of them in the middle of a deed, as the machine's speed goes */
			most_us = dead ? most_us + most_us / 16 : most_us - most_us / 32;
			most_us = most_us < 200 ? 200 : most_us > 900000 ? 900000 : most_us;
			if (dead || mode == CUTS)
				start_again();
		}
		end_world();
	}
}

/* ---- killed at every system call ---- */

static void walk(uint64_t step)
{
	for (int deed = 0; deed < DEEDS; deed++) {
		uint64_t at = 1, died = 0;
		for (bool reached = true; reached; at += step) {
			int peer = deed == JOIN ? A + 6 : A + 2;
			begin_world();
			shared->calls = 0;
			shared->kill_at = at;
			smq_err err = do_deed((enum deed)deed, peer);
			rig_pass(r, 1500,
				 100); /* what the broker acknowledged is forgotten, in a transaction of its own */
			reached = is_dead();
			died += reached;
			conclude((enum deed)deed, peer, err);
			start_again();
			/* whoever got no answer asks again */
			now_doing = "asked again";
			err = do_deed((enum deed)deed, peer);
			if (err != SMQ_OK && !(deed == EXPEL && err == SMQ_ERR_NOT_FOUND))
				broken("asked again it does not work", at, (uint64_t)err);
			conclude((enum deed)deed, peer, SMQ_OK);
			check_members();
			end_world();
		}
		printf("# %s: killed at %llu of its system calls\n", deed_names[deed], (unsigned long long)died);
		if (died == 0)
			broken("never killed", (uint64_t)deed, 0);
	}
}

/* ---- a disk that is full, broken, does not sync; no memory ---- */

static void faults(uint64_t step)
{
	static const char *const names[] = { "a full disk", "EIO", "a failing fsync", "no memory" };
	for (int fault = 0; fault < POWER_FAULTS; fault++) {
		uint64_t failed = 0, refused = 0, tried = 0;
		for (int deed = 0; deed < DEEDS; deed++) {
			uint64_t before = 1;
			for (uint64_t at = 1; before > 0; at += step) {
				int peer = deed == JOIN ? A + 6 : A + 2;
				begin_world();
				shared->disk.calls = shared->disk.failed = 0;
				shared->disk.fault = (enum power_fault)fault;
				shared->disk.fail_at = at;
				smq_err err = do_deed((enum deed)deed, peer);
				before = shared->disk.failed;
				shared->disk.fail_at = 0;
				failed += before > 0;
				refused += err != SMQ_OK;
				tried++;
				conclude((enum deed)deed, peer, err);
				rig_pass(r, 3000, 100); /* and it goes on by itself once the disk does */
				if (is_dead())
					broken("the store ended", (uint64_t)fault, at);
				now_doing = "asked again";
				err = do_deed((enum deed)deed, peer);
				if (err != SMQ_OK && !(deed == EXPEL && err == SMQ_ERR_NOT_FOUND))
					broken("asked again it does not work", at, (uint64_t)err);
				conclude((enum deed)deed, peer, SMQ_OK);
				start_again();
				end_world();
			}
		}
		printf("# %s: %llu tried, %llu met it, %llu refused\n", names[fault], (unsigned long long)tried,
		       (unsigned long long)failed, (unsigned long long)refused);
		if (failed == 0)
			broken("never failed", (uint64_t)fault, 0);
	}
}

int main(int argc, char **argv)
{
	static const char *const modes[] = { "kills", "cuts", "walk", "faults" };
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
	int which = 0;
	while (which < 4 && argc > 1 && strcmp(argv[1], modes[which]) != 0)
		which++;
	for (int i = 3; i < argc; i++) {
		planted = planted || strcmp(argv[i], "--planted") == 0;
		if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
			seed ^= strtoull(argv[i + 1], NULL, 10) * 0x9e3779b97f4a7c15ULL;
	}
	if (which == 4 || count == 0 || seed == 0) {
		fprintf(stderr,
			"usage: crash_server kills N | cuts N | walk STEP | faults STEP [--planted] [--seed N]\n");
		return 2;
	}
	mode = (enum mode)which;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 2;
	if (mode == WALK)
		walk(count);
	else if (mode == FAULTS)
		faults(count);
	else
		kill_anywhere(count);
	printf("%s: %llu deaths, %llu deeds, %llu acknowledged: nothing lost, nothing issued twice\n", modes[which],
	       (unsigned long long)deaths, (unsigned long long)deeds, (unsigned long long)acked);
	return 0;
}
