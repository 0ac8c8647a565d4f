/* The outbox in an SQLite file: kill, lock, damage, a full disk. */
#include "cmocka_all.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "adapters/outbox_sqlite/outbox_sqlite.h"
#include "outbox_cases.h"

static char dir[64];
static char path[96];

static int make_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/smq-outbox-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/outbox", dir);
	return 0;
}

static int remove_dir(void **state)
{
	char name[128];
	(void)state;
	snprintf(name, sizeof(name), "%s-wal", path);
	unlink(name);
	unlink(path);
	return rmdir(dir);
}

static struct smq_outbox must_open(void)
{
	struct smq_outbox o;
	assert_int_equal(smq_outbox_sqlite_new(path, &o), SMQ_OK);
	return o;
}

static void all_fields(void **state)
{
	(void)state;
	struct smq_outbox o = must_open();
	outbox_keeps_every_field(&o);
	o.free(o.self);
}

static void order_and_numbers(void **state)
{
	(void)state;
	struct smq_outbox o = must_open();
	outbox_keeps_order_and_numbers(&o);
	o.free(o.self);
}

static void only_the_owner_may_read(void **state)
{
	(void)state;
	struct stat st;
	char wal[128], other[128];
	struct smq_publish m = outbox_sample(1);
	uint64_t number;
	mode_t mask = umask(0);
	struct smq_outbox o = must_open();
	umask(mask);
	assert_int_equal(o.append(o.self, &m, &number), SMQ_OK);
	snprintf(wal, sizeof(wal), "%s-wal", path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(stat(wal, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	o.free(o.self);
	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(smq_outbox_sqlite_new(path, &o), SMQ_ERR_UNSAFE_FILE);
	assert_int_equal(chmod(path, 0600), 0);
	snprintf(other, sizeof(other), "%s-link", path);
	assert_int_equal(symlink(path, other), 0);
	assert_int_equal(smq_outbox_sqlite_new(other, &o), SMQ_ERR_UNSAFE_FILE);
	unlink(other);
	assert_int_equal(smq_outbox_sqlite_new("/nowhere/outbox", &o), SMQ_ERR_NOT_FOUND);
	assert_int_equal(smq_outbox_sqlite_new("/tmp", &o), SMQ_ERR_IO);
}

/* Appends, removes the first two, and is killed in the middle of it all. */
static void child_until_killed(int ready)
{
	struct smq_outbox o;
	uint64_t number;
	if (smq_outbox_sqlite_new(path, &o) != SMQ_OK)
		_exit(1);
	for (unsigned n = 0; n < 10; n++) {
		struct smq_publish m = outbox_sample(n);
		if (o.append(o.self, &m, &number) != SMQ_OK)
			_exit(2);
	}
	if (o.remove(o.self, 1) != SMQ_OK || o.remove(o.self, 2) != SMQ_OK)
		_exit(3);
	if (write(ready, "x", 1) != 1)
		_exit(4);
	for (;;)
		pause();
}

static pid_t start_child(void)
{
	int ends[2];
	char byte;
	assert_int_equal(pipe(ends), 0);
	pid_t pid = fork();
	if (pid == 0) {
		close(ends[0]);
		child_until_killed(ends[1]);
	}
	close(ends[1]);
	assert_int_equal(read(ends[0], &byte, 1), 1);
	close(ends[0]);
	return pid;
}

static void survives_a_kill_and_is_locked_till_then(void **state)
{
	(void)state;
	struct smq_outbox o;
	struct smq_publish m;
	uint64_t number = 0;
	int status;
	pid_t pid = start_child();
	assert_int_equal(smq_outbox_sqlite_new(path, &o), SMQ_ERR_LOCKED);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	o = must_open();
	assert_int_equal(o.count(o.self), 8);
	for (unsigned n = 2; n < 10; n++) {
		assert_int_equal(o.next(o.self, number, &number, &m), SMQ_OK);
		assert_int_equal(number, n + 1);
		outbox_assert_sample(&m, n);
	}
	assert_int_equal(o.next(o.self, number, &number, &m), SMQ_ERR_NOT_FOUND);
	m = outbox_sample(1);
	assert_int_equal(o.append(o.self, &m, &number), SMQ_OK);
	assert_int_equal(number, 11);
	struct smq_outbox second;
	assert_int_equal(smq_outbox_sqlite_new(path, &second), SMQ_ERR_LOCKED);
	o.free(o.self);
	o = must_open();
	assert_int_equal(o.count(o.self), 9);
	o.free(o.self);
}

static void write_at(off_t at, const char *bytes, size_t len)
{
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, len, at), (ssize_t)len);
	close(fd);
}

static void damage_is_told(void **state)
{
	(void)state;
	struct smq_outbox o;
	struct stat st;
	uint64_t number;
	char junk[3000];
	memset(junk, 'j', sizeof(junk));
	/* not a database at all */
	write_at(0, junk, sizeof(junk));
	assert_int_equal(smq_outbox_sqlite_new(path, &o), SMQ_ERR_CORRUPT);
	unlink(path);
	/* a page in the middle */
	o = must_open();
	for (unsigned n = 0; n < 500; n++) {
		struct smq_publish m = outbox_sample(n);
		assert_int_equal(o.append(o.self, &m, &number), SMQ_OK);
	}
	o.free(o.self);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size > 4 * 4096);
	write_at(st.st_size - 4096 - 1000, junk, sizeof(junk));
	assert_int_equal(smq_outbox_sqlite_new(path, &o), SMQ_ERR_CORRUPT);
	/* cut off */
	assert_int_equal(truncate(path, 4096 * 2), 0);
	assert_int_equal(smq_outbox_sqlite_new(path, &o), SMQ_ERR_CORRUPT);
	unlink(path);
	/* somebody else's database, and a later version of ours: user_version is at 60, application_id at 68 */
	o = must_open();
	o.free(o.self);
	write_at(60, "\0\0\0\2", 4);
	assert_int_equal(smq_outbox_sqlite_new(path, &o), SMQ_ERR_VERSION);
	write_at(60, "\0\0\0\1", 4);
	write_at(68, "\1\2\3\4", 4);
	assert_int_equal(smq_outbox_sqlite_new(path, &o), SMQ_ERR_CORRUPT);
}

/* A tiny disk is filled up; once there is room again the outbox goes on. */
static void a_full_disk_is_told_and_passes(void **state)
{
	(void)state;
	static uint8_t large[40000];
	struct smq_publish small = outbox_sample(1), got,
			   m = { .topic = "t", .payload = smq_span_of(large, sizeof(large)) };
	struct smq_outbox o;
	uint64_t number = 0, seen = 0;
	if (mount("tmpfs", dir, "tmpfs", 0, "size=256k,mode=0700") != 0) {
		print_message("a tiny disk takes root: skipped\n");
		skip();
	}
	smq_err opened = smq_outbox_sqlite_new(path, &o), err = opened, full = SMQ_OK, after = SMQ_OK;
	size_t count = 0, count_then = 0;
	if (!opened) {
		err = o.append(o.self, &small, &number);
		for (count = 1; (full = o.append(o.self, &m, &number)) == SMQ_OK && count < 20;)
			count++;
		count_then = o.count(o.self);
		mount("tmpfs", dir, "tmpfs", MS_REMOUNT, "size=1m,mode=0700");
		after = o.append(o.self, &m, &number);
		if (!err)
			err = o.next(o.self, 0, &seen, &got);
		if (!err)
			outbox_assert_sample(&got, 1);
		o.free(o.self);
	}
	umount(dir);
	assert_int_equal(opened, SMQ_OK);
	assert_int_equal(err, SMQ_OK);
	assert_int_equal(full, SMQ_ERR_DISK_FULL);
	assert_int_equal(count_then, count);
	assert_int_equal(after, SMQ_OK);
	assert_int_equal(number, count + 1);
}

static void plaintext_is_gone_after_remove_and_close(void **state)
{
	(void)state;
	static char content[1 << 17];
	struct smq_outbox o = must_open();
	struct smq_publish m = { .topic = "t", .payload = smq_span_str("needle-in-the-file") };
	uint64_t number;
	assert_int_equal(o.append(o.self, &m, &number), SMQ_OK);
	assert_int_equal(o.remove(o.self, number), SMQ_OK);
	o.free(o.self);
	char wal[128];
	snprintf(wal, sizeof(wal), "%s-wal", path);
	assert_int_equal(access(wal, F_OK), -1);
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, content, sizeof(content));
	close(fd);
	assert_true(n > 4096);
	assert_null(memmem(content, (size_t)n, "needle", 6));
}

int main(void)
{
#define ROW(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)
	const struct CMUnitTest tests[] = {
		ROW(all_fields),
		ROW(order_and_numbers),
		ROW(only_the_owner_may_read),
		ROW(survives_a_kill_and_is_locked_till_then),
		ROW(damage_is_told),
		ROW(a_full_disk_is_told_and_passes),
		ROW(plaintext_is_gone_after_remove_and_close),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
