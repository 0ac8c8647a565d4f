/* The store port in a directory of small files. */
#include "store_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/err_errno.h"
#include "base/wipe.h"

#define KEY_MAX 80
#define LOCK_FILE ".lock"
#define NEW_PREFIX ".new."

struct files {
	int dir;  /* descriptor */
	int lock; /* descriptor; the lock goes with it */
};

static bool key_valid(const char *key)
{
	size_t len = strlen(key);
	return len >= 1 && len <= KEY_MAX && key[0] != '.' &&
	       strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789_-.") == len;
}

/* ---- bytes ---- */

static bool write_all(int fd, smq_span bytes)
{
	while (bytes.len > 0) {
		ssize_t n = write(fd, bytes.p, bytes.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			if (n == 0)
				errno = ENOSPC;
			return false;
		}
		bytes.p += n;
		bytes.len -= (size_t)n;
	}
	return true;
}

static bool read_all(int fd, uint8_t *p, size_t len)
{
	while (len > 0) {
		ssize_t n = read(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			if (n == 0)
				errno = EIO;
			return false;
		}
		p += n;
		len -= (size_t)n;
	}
	return true;
}

/* Zeroes a file that nobody can name any more, as far as a file system lets one; failing does no harm. */
static void overwrite(int fd)
{
	static const uint8_t zeroes[512];
	struct stat st;
	if (fd < 0 || fstat(fd, &st) != 0 || st.st_nlink > 0)
		return;
	for (off_t left = st.st_size; left > 0; left -= (off_t)sizeof(zeroes)) {
		size_t len = left < (off_t)sizeof(zeroes) ? (size_t)left : sizeof(zeroes);
		if (!write_all(fd, smq_span_of(zeroes, len)))
			return;
	}
	fsync(fd);
}

/* ---- the port ---- */

/* Writes the value beside the old one and syncs it. */
static smq_err write_new(const struct files *f, const char *name, smq_span value)
{
	smq_err err = SMQ_OK;
	if (unlinkat(f->dir, name, 0) != 0 && errno != ENOENT)
		return smq_err_of_errno(errno);
	int fd = openat(f->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return smq_err_of_errno(errno);
	if (!write_all(fd, value) || fsync(fd) != 0)
		err = smq_err_of_errno(errno);
	if (close(fd) != 0 && !err)
		err = smq_err_of_errno(errno);
	if (err)
		unlinkat(f->dir, name, 0);
	return err;
}

/* To be overwritten, if it may have been a secret; otherwise -1. */
static int open_old(const struct files *f, const char *key)
{
	if (strncmp(key, SMQ_STORE_FLOOR, strlen(SMQ_STORE_FLOOR)) == 0)
		return -1;
	return openat(f->dir, key, O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
}

static smq_err op_put(void *self, const char *key, smq_span value)
{
	const struct files *f = self;
	char name[sizeof(NEW_PREFIX) + KEY_MAX];
	if (!key_valid(key))
		return SMQ_ERR_USAGE;
	snprintf(name, sizeof(name), NEW_PREFIX "%s", key);
	smq_err err = write_new(f, name, value);
	if (err)
		return err;
	int old = open_old(f, key);
	if (renameat(f->dir, name, f->dir, key) != 0) {
		err = smq_err_of_errno(errno);
		unlinkat(f->dir, name, 0);
	} else if (fsync(f->dir) != 0) {
		err = smq_err_of_errno(errno);
	} else {
		overwrite(old);
	}
	if (old >= 0)
		close(old);
	return err;
}

/* A time of reading would have to be written, and wait for the disk; only the owner may do without. */
static int open_to_read(int dir, const char *key)
{
	const int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
	int fd = openat(dir, key, flags | O_NOATIME);
	return fd < 0 && errno == EPERM ? openat(dir, key, flags) : fd;
}

static smq_err get_at(int dir, const char *key, smq_mspan room, size_t *ret_len)
{
	struct stat st;
	smq_err err = SMQ_OK;
	if (!key_valid(key))
		return SMQ_ERR_USAGE;
	int fd = open_to_read(dir, key);
	if (fd < 0)
		return smq_err_of_errno(errno);
	if (fstat(fd, &st) != 0)
		err = smq_err_of_errno(errno);
	else if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) != 0)
		err = SMQ_ERR_UNSAFE_FILE;
	else if ((uintmax_t)st.st_size > room.len)
		err = SMQ_ERR_NO_ROOM;
	else if (!read_all(fd, room.p, (size_t)st.st_size))
		err = smq_err_of_errno(errno);
	else
		*ret_len = (size_t)st.st_size;
	close(fd);
	return err;
}

static smq_err op_get(void *self, const char *key, smq_mspan room, size_t *ret_len)
{
	const struct files *f = self;
	return get_at(f->dir, key, room, ret_len);
}

static smq_err op_remove(void *self, const char *key)
{
	const struct files *f = self;
	smq_err err = SMQ_OK;
	if (!key_valid(key))
		return SMQ_ERR_USAGE;
	int old = open_old(f, key);
	if (unlinkat(f->dir, key, 0) != 0 || fsync(f->dir) != 0)
		err = smq_err_of_errno(errno);
	else
		overwrite(old);
	if (old >= 0)
		close(old);
	return err;
}

static void op_free(void *self)
{
	struct files *f = self;
	if (!f)
		return;
	if (f->lock >= 0)
		close(f->lock);
	if (f->dir >= 0)
		close(f->dir);
	free(f);
}

/* ---- opening ---- */

static smq_err open_dir(const char *path, int *ret_fd)
{
	struct stat st;
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return smq_err_of_errno(errno);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0) {
		/* With O_DIRECTORY a symlink is ENOTDIR. */
		return lstat(path, &st) == 0 && S_ISLNK(st.st_mode) ? SMQ_ERR_UNSAFE_FILE : smq_err_of_errno(errno);
	}
	if (fstat(fd, &st) != 0 || st.st_uid != geteuid() || (st.st_mode & 077) != 0) {
		close(fd);
		return SMQ_ERR_UNSAFE_FILE;
	}
	*ret_fd = fd;
	return SMQ_OK;
}

static smq_err take_lock(int dir, int *ret_fd)
{
	int fd = openat(dir, LOCK_FILE, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return smq_err_of_errno(errno);
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		smq_err err = smq_err_of_errno(errno);
		close(fd);
		return err;
	}
	*ret_fd = fd;
	return SMQ_OK;
}

/* What a crash left behind: values that were never complete. */
static void remove_torn(int dir)
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	if (!d) {
		if (copy >= 0)
			close(copy);
		return;
	}
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		if (strncmp(e->d_name, NEW_PREFIX, sizeof(NEW_PREFIX) - 1) == 0)
			unlinkat(dir, e->d_name, 0);
	}
	closedir(d);
}

smq_err smq_store_files_new(const char *dir, struct smq_store *ret_store)
{
	struct files *f = malloc(sizeof(*f));
	if (!f)
		return SMQ_ERR_NO_MEMORY;
	*f = (struct files){ -1, -1 };
	smq_err err = open_dir(dir, &f->dir);
	if (!err)
		err = take_lock(f->dir, &f->lock);
	if (err) {
		op_free(f);
		return err;
	}
	remove_torn(f->dir);
	*ret_store =
	    (struct smq_store){ .self = f, .put = op_put, .get = op_get, .remove = op_remove, .free = op_free };
	return SMQ_OK;
}

/* ---- other directories of the same owner ---- */

smq_err smq_store_files_prepare(const char *dir)
{
	int fd;
	smq_err err = open_dir(dir, &fd);
	if (err == SMQ_OK)
		close(fd);
	return err;
}

smq_err smq_store_files_peek(const char *dir, const char *key, smq_mspan room, size_t *ret_len)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return smq_err_of_errno(errno);
	smq_err err = get_at(fd, key, room, ret_len);
	close(fd);
	return err;
}

/* Whoever looks at the same moment may find it taken, and takes another: there are many. */
bool smq_store_files_is_held(const char *dir)
{
	int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int fd = dir_fd < 0 ? -1 : openat(dir_fd, LOCK_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	bool held = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
	if (fd >= 0)
		close(fd);
	if (dir_fd >= 0)
		close(dir_fd);
	return held;
}

void smq_store_files_each(const char *dir, const char *prefix, void *self, void (*take)(void *self, smq_span value))
{
	uint8_t *room = malloc(SMQ_STORE_FILES_VALUE_MAX);
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	for (struct dirent *e; room && d && (e = readdir(d)) != NULL;) {
		size_t len = 0;
		if (strncmp(e->d_name, prefix, strlen(prefix)) == 0 &&
		    get_at(fd, e->d_name, smq_mspan_of(room, SMQ_STORE_FILES_VALUE_MAX), &len) == SMQ_OK)
			take(self, smq_span_of(room, len));
	}
	if (d)
		closedir(d);
	else if (fd >= 0)
		close(fd);
	if (room)
		smq_wipe(room, SMQ_STORE_FILES_VALUE_MAX);
	free(room);
}

struct absorbing {
	struct smq_store from;
	const struct smq_store *to;
	smq_store_merge *merge;
	uint8_t mine[SMQ_STORE_FILES_VALUE_MAX], theirs[SMQ_STORE_FILES_VALUE_MAX], both[SMQ_STORE_FILES_VALUE_MAX];
};

static void absorb_value(struct absorbing *a, const char *key)
{
	size_t mine = 0, theirs = 0, both = 0;
	smq_err err = a->from.get(a->from.self, key, smq_mspan_of(a->theirs, sizeof(a->theirs)), &theirs);
	if (err == SMQ_OK) {
		err = a->to->get(a->to->self, key, smq_mspan_of(a->mine, sizeof(a->mine)), &mine);
		err = err == SMQ_ERR_NOT_FOUND ? SMQ_OK : err;
	}
	if (err == SMQ_OK)
		err = a->merge(key, smq_span_of(a->mine, mine), smq_span_of(a->theirs, theirs),
			       smq_mspan_of(a->both, sizeof(a->both)), &both);
	if (err == SMQ_OK)
		err = a->to->put(a->to->self, key, smq_span_of(a->both, both));
	if (err == SMQ_OK)
		(void)a->from.remove(a->from.self, key);
}

/* The directory itself stays: somebody may be about to open it. */
static void absorb_all(struct absorbing *a)
{
	const struct files *f = a->from.self;
	int copy = openat(f->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	if (!d) {
		if (copy >= 0)
			close(copy);
		return;
	}
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		if (key_valid(e->d_name))
			absorb_value(a, e->d_name);
	}
	closedir(d);
}

void smq_store_files_absorb(const char *from, const struct smq_store *to, smq_store_merge *merge)
{
	struct stat st;
	if (lstat(from, &st) != 0 || !S_ISDIR(st.st_mode))
		return;
	struct absorbing *a = malloc(sizeof(*a));
	if (!a)
		return;
	a->to = to;
	a->merge = merge;
	if (smq_store_files_new(from, &a->from) == SMQ_OK) {
		absorb_all(a);
		a->from.free(a->from.self);
	}
	smq_wipe(a, sizeof(*a));
	free(a);
}
