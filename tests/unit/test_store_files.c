/* The store in files: crashes, locks, names, a full disk. */
#include "cmocka_all.h"

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "adapters/store_files/store_files.h"
#include "base/table.h"

static char base_dir[64];
static char dir[128];

static int make_dir(void **state)
{
	(void)state;
	strcpy(base_dir, "/tmp/smq-store-XXXXXX");
	if (!mkdtemp(base_dir))
		return -1;
	snprintf(dir, sizeof(dir), "%s/state", base_dir);
	return 0;
}

static int remove_one(const char *name, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(name);
}

static int remove_dir(void **state)
{
	(void)state;
	return nftw(base_dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static struct smq_store must_open(void)
{
	struct smq_store s;
	assert_int_equal(smq_store_files_new(dir, &s), SMQ_OK);
	return s;
}

static void path_of(const char *name, char ret_path[256]) { snprintf(ret_path, 256, "%s/%s", dir, name); }

static smq_err put(struct smq_store *s, const char *key, const char *value)
{
	return s->put(s->self, key, smq_span_str(value));
}

static void assert_value(struct smq_store *s, const char *key, const char *want)
{
	uint8_t room[64];
	size_t len = 99;
	assert_int_equal(s->get(s->self, key, smq_mspan_of(room, sizeof(room)), &len), SMQ_OK);
	assert_int_equal(len, strlen(want));
	assert_memory_equal(room, want, len);
}

static void put_get_remove(void **state)
{
	(void)state;
	struct smq_store s = must_open();
	uint8_t room[4];
	size_t len = 99;
	assert_int_equal(s.get(s.self, "a", smq_mspan_of(room, 4), &len), SMQ_ERR_NOT_FOUND);
	assert_int_equal(s.remove(s.self, "a"), SMQ_ERR_NOT_FOUND);
	assert_int_equal(put(&s, "a", "12345"), SMQ_OK);
	assert_int_equal(s.get(s.self, "a", smq_mspan_of(room, 4), &len), SMQ_ERR_NO_ROOM);
	assert_int_equal(len, 99);
	assert_int_equal(put(&s, "a", "1234"), SMQ_OK);
	assert_int_equal(s.get(s.self, "a", smq_mspan_of(room, 4), &len), SMQ_OK);
	assert_int_equal(len, 4);
	assert_int_equal(put(&s, "a", ""), SMQ_OK);
	assert_value(&s, "a", "");
	assert_int_equal(put(&s, "b", "other"), SMQ_OK);
	s.free(s.self);
	s = must_open();
	assert_value(&s, "a", "");
	assert_value(&s, "b", "other");
	assert_int_equal(s.remove(s.self, "a"), SMQ_OK);
	assert_int_equal(s.get(s.self, "a", smq_mspan_of(room, 4), &len), SMQ_ERR_NOT_FOUND);
	s.free(s.self);
}

static void names(void **state)
{
	(void)state;
	static const char eighty[] = "01234567890123456789012345678901234567890123456789012345678901234567890123456789";
	static const struct {
		const char *key;
		smq_err want;
	} rows[] = {
		{ "a", SMQ_OK },
		{ "replay.fridge-07_x", SMQ_OK },
		{ eighty, SMQ_OK },
		{ "", SMQ_ERR_USAGE },
		{ ".", SMQ_ERR_USAGE },
		{ "..", SMQ_ERR_USAGE },
		{ ".lock", SMQ_ERR_USAGE },
		{ ".new.a", SMQ_ERR_USAGE },
		{ "a/b", SMQ_ERR_USAGE },
		{ "../a", SMQ_ERR_USAGE },
		{ "A", SMQ_ERR_USAGE },
		{ "a b", SMQ_ERR_USAGE },
		{ "a\n", SMQ_ERR_USAGE },
		{ "\xc3\xa4", SMQ_ERR_USAGE },
		{ "a012345678901234567890123456789012345678901234567890123456789012345678901234567890", SMQ_ERR_USAGE },
	};
	struct smq_store s = must_open();
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		uint8_t room[8];
		size_t len;
		assert_int_equal(put(&s, rows[i].key, "v"), rows[i].want);
		assert_int_equal(s.get(s.self, rows[i].key, smq_mspan_of(room, 8), &len), rows[i].want);
		assert_int_equal(s.remove(s.self, rows[i].key), rows[i].want);
	}
	s.free(s.self);
}

static void one_process_at_a_time(void **state)
{
	(void)state;
	struct smq_store s = must_open(), second;
	int status;
	assert_int_equal(smq_store_files_new(dir, &second), SMQ_ERR_LOCKED);
	pid_t pid = fork();
	if (pid == 0)
		_exit(smq_store_files_new(dir, &second) == SMQ_ERR_LOCKED ? 0 : 1);
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	/* a neighbour in the same realm has a directory of its own */
	char neighbour[256];
	snprintf(neighbour, sizeof(neighbour), "%s/other", base_dir);
	assert_int_equal(smq_store_files_new(neighbour, &second), SMQ_OK);
	second.free(second.self);
	s.free(s.self);
	s = must_open();
	s.free(s.self);
	/* a killed holder holds no longer */
	int ends[2];
	char byte;
	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		if (smq_store_files_new(dir, &s) == SMQ_OK && write(ends[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(ends[0], &byte, 1), 1);
	assert_int_equal(smq_store_files_new(dir, &second), SMQ_ERR_LOCKED);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	s = must_open();
	s.free(s.self);
	close(ends[0]);
	close(ends[1]);
}

static void only_the_owner_may_read(void **state)
{
	(void)state;
	struct stat st;
	char name[256], link_name[256];
	uint8_t room[8];
	size_t len;
	mode_t mask = umask(0);
	struct smq_store s = must_open(), second;
	assert_int_equal(put(&s, "key", "v"), SMQ_OK);
	umask(mask);
	path_of("key", name);
	assert_int_equal(stat(name, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(chmod(name, 0644), 0);
	assert_int_equal(s.get(s.self, "key", smq_mspan_of(room, 8), &len), SMQ_ERR_UNSAFE_FILE);
	path_of("link", link_name);
	assert_int_equal(symlink(name, link_name), 0);
	assert_int_equal(s.get(s.self, "link", smq_mspan_of(room, 8), &len), SMQ_ERR_UNSAFE_FILE);
	path_of("pipe", link_name);
	assert_int_equal(mkfifo(link_name, 0600), 0);
	assert_int_equal(s.get(s.self, "pipe", smq_mspan_of(room, 8), &len), SMQ_ERR_UNSAFE_FILE);
	s.free(s.self);
	assert_int_equal(chmod(dir, 0750), 0);
	assert_int_equal(smq_store_files_new(dir, &second), SMQ_ERR_UNSAFE_FILE);
	assert_int_equal(chmod(dir, 0700), 0);
	char other[256];
	snprintf(other, sizeof(other), "%s/alias", base_dir);
	assert_int_equal(symlink(dir, other), 0);
	assert_int_equal(smq_store_files_new(other, &second), SMQ_ERR_UNSAFE_FILE);
	assert_int_equal(smq_store_files_new("/nowhere/at/all", &second), SMQ_ERR_NOT_FOUND);
}

static void what_a_crash_left_is_ignored_and_removed(void **state)
{
	(void)state;
	char name[256];
	struct smq_store s = must_open();
	assert_int_equal(put(&s, "key", "whole"), SMQ_OK);
	s.free(s.self);
	path_of(".new.key", name);
	int fd = open(name, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, "to", 2), 2);
	close(fd);
	s = must_open();
	assert_int_equal(access(name, F_OK), -1);
	assert_value(&s, "key", "whole");
	/* and one that appears while open is no obstacle */
	fd = open(name, O_WRONLY | O_CREAT, 0600);
	close(fd);
	assert_int_equal(put(&s, "key", "newer"), SMQ_OK);
	assert_value(&s, "key", "newer");
	s.free(s.self);
}

/* Killed at a random moment while it puts one of two values: each reader finds one of them, whole. */
static void killed_while_writing(void **state)
{
	(void)state;
	static uint8_t values[2][9000], room[20000];
	memset(values[0], 'a', sizeof(values[0]));
	memset(values[1], 'b', 8000);
	struct smq_store s = must_open();
	assert_int_equal(s.put(s.self, "key", smq_span_of(values[0], 9000)), SMQ_OK);
	s.free(s.self);
	for (int round = 0; round < 20; round++) {
		int status;
		size_t len;
		pid_t pid = fork();
		if (pid == 0) {
			if (smq_store_files_new(dir, &s) != SMQ_OK)
				_exit(1);
			for (unsigned i = 0;; i++)
				if (s.put(s.self, "key", smq_span_of(values[i % 2], i % 2 ? 8000 : 9000)) != SMQ_OK)
					_exit(2);
		}
		usleep(3000 + (useconds_t)round * 711);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		assert_true(WIFSIGNALED(status));
		s = must_open();
		assert_int_equal(s.get(s.self, "key", smq_mspan_of(room, sizeof(room)), &len), SMQ_OK);
		assert_true(len == 8000 || len == 9000);
		assert_memory_equal(room, values[len == 8000], len);
		s.free(s.self);
	}
}

static void write_fails_midway(void **state)
{
	(void)state;
	struct smq_store s = must_open();
	struct rlimit all, little;
	static uint8_t large[100000];
	char name[256];
	assert_int_equal(put(&s, "key", "old"), SMQ_OK);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &all);
	little = all;
	little.rlim_cur = 50000;
	setrlimit(RLIMIT_FSIZE, &little);
	smq_err err = s.put(s.self, "key", smq_span_of(large, sizeof(large)));
	setrlimit(RLIMIT_FSIZE, &all);
	assert_int_equal(err, SMQ_ERR_DISK_FULL);
	path_of(".new.key", name);
	assert_int_equal(access(name, F_OK), -1);
	assert_value(&s, "key", "old");
	assert_int_equal(put(&s, "key", "new"), SMQ_OK);
	assert_value(&s, "key", "new");
	s.free(s.self);
}

static void disk_is_full(void **state)
{
	(void)state;
	static uint8_t large[100000];
	char mount_point[96];
	snprintf(mount_point, sizeof(mount_point), "%s/disk", base_dir);
	assert_int_equal(mkdir(mount_point, 0700), 0);
	if (mount("tmpfs", mount_point, "tmpfs", 0, "size=64k,mode=0700") != 0) {
		print_message("a tiny disk takes root: skipped\n");
		skip();
	}
	struct smq_store s;
	snprintf(dir, sizeof(dir), "%s/state", mount_point);
	smq_err opened = smq_store_files_new(dir, &s), first = SMQ_OK, full = SMQ_OK, then = SMQ_OK;
	if (!opened) {
		first = put(&s, "key", "old");
		full = s.put(s.self, "key", smq_span_of(large, sizeof(large)));
		then = put(&s, "key", "new");
		s.free(s.self);
	}
	umount(mount_point);
	assert_int_equal(opened, SMQ_OK);
	assert_int_equal(first, SMQ_OK);
	assert_int_equal(full, SMQ_ERR_DISK_FULL);
	assert_int_equal(then, SMQ_OK);
}

/* A hard link keeps the old inode in sight: the one case in which the bytes must stay. */
static void old_values_are_overwritten(void **state)
{
	(void)state;
	char name[256], seen[16] = "";
	struct smq_store s = must_open();
	path_of("key", name);
	for (int by_remove = 0; by_remove < 2; by_remove++) {
		assert_int_equal(put(&s, "key", "secret"), SMQ_OK);
		int fd = open(name, O_RDONLY);
		assert_int_equal(by_remove ? s.remove(s.self, "key") : put(&s, "key", "x"), SMQ_OK);
		assert_int_equal(read(fd, seen, sizeof(seen)), 6);
		assert_memory_equal(seen, "\0\0\0\0\0\0", 6);
		close(fd);
	}
	assert_int_equal(put(&s, "key", "secret"), SMQ_OK);
	char other[256];
	path_of("backup", other);
	assert_int_equal(link(name, other), 0);
	assert_int_equal(put(&s, "key", "x"), SMQ_OK);
	assert_value(&s, "backup", "secret");
	s.free(s.self);
}

/* A floor is no secret, and changes too often for a third sync each time. */
static void old_floors_are_not(void **state)
{
	(void)state;
	char name[256], seen[16] = "";
	struct smq_store s = must_open();
	path_of("floor-1", name);
	assert_int_equal(put(&s, "floor-1", "4711"), SMQ_OK);
	int fd = open(name, O_RDONLY);
	assert_int_equal(put(&s, "floor-1", "4712"), SMQ_OK);
	assert_int_equal(read(fd, seen, sizeof(seen)), 4);
	assert_memory_equal(seen, "4711", 4);
	close(fd);
	assert_value(&s, "floor-1", "4712");
	s.free(s.self);
}

int main(void)
{
#define ROW(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)
	const struct CMUnitTest tests[] = {
		ROW(put_get_remove),
		ROW(names),
		ROW(one_process_at_a_time),
		ROW(only_the_owner_may_read),
		ROW(what_a_crash_left_is_ignored_and_removed),
		ROW(killed_while_writing),
		ROW(write_fails_midway),
		ROW(disk_is_full),
		ROW(old_values_are_overwritten),
		ROW(old_floors_are_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
