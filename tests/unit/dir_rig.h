/* A directory of one's own per test, and small ways to spoil files in it. */
#ifndef SMQ_TESTS_DIR_RIG_H
#define SMQ_TESTS_DIR_RIG_H

#include "cmocka_all.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char rig_dir[64];

__attribute__((unused)) static int rig_enter(void **state)
{
	(void)state;
	(void)snprintf(rig_dir, sizeof(rig_dir), "/tmp/sealmq-test-XXXXXX");
	return mkdtemp(rig_dir) && chdir(rig_dir) == 0 ? 0 : -1;
}

static int rig_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

__attribute__((unused)) static int rig_leave(void **state)
{
	(void)state;
	return chdir("/") == 0 ? nftw(rig_dir, rig_remove_one, 16, FTW_DEPTH | FTW_PHYS) : -1;
}

__attribute__((unused)) static void rig_write(const char *path, const void *bytes, size_t len, mode_t mode)
{
	(void)unlink(path);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), (ssize_t)len);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

/* Zero-terminated for convenience. */
__attribute__((unused)) static size_t rig_read(const char *path, char *room, size_t room_len)
{
	int fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	ssize_t n = read(fd, room, room_len - 1);
	assert_true(n >= 0);
	close(fd);
	room[n] = 0;
	return (size_t)n;
}

__attribute__((unused)) static void rig_copy(const char *from, const char *to, mode_t mode)
{
	char bytes[16384];
	rig_write(to, bytes, rig_read(from, bytes, sizeof(bytes)), mode);
}

__attribute__((unused)) static bool rig_there(const char *path)
{
	struct stat st;
	return lstat(path, &st) == 0;
}

__attribute__((unused)) static int rig_mode(const char *path)
{
	struct stat st;
	return lstat(path, &st) == 0 ? (int)(st.st_mode & 07777) : -1;
}

static int rig_entries;
static int rig_count_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)path;
	(void)st;
	(void)type;
	(void)ftw;
	rig_entries++;
	return 0;
}

/* Everything below the path, itself included. */
__attribute__((unused)) static int rig_count(const char *path)
{
	rig_entries = 0;
	assert_int_equal(nftw(path, rig_count_one, 16, FTW_PHYS), 0);
	return rig_entries;
}

#endif
