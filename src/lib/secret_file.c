/* Files that hold a secret. */
#include "lib/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static smq_err err_of(int number)
{
	switch (number) {
	case ENOENT:
	case ENOTDIR:
		return SMQ_ERR_NOT_FOUND;
	case EACCES:
	case EPERM:
	case EROFS:
		return SMQ_ERR_PERMISSION;
	case ELOOP: /* O_NOFOLLOW */
		return SMQ_ERR_UNSAFE_FILE;
	case EEXIST:
		return SMQ_ERR_EXISTS;
	case ENOSPC:
	case EDQUOT:
		return SMQ_ERR_DISK_FULL;
	default:
		return SMQ_ERR_IO;
	}
}

/* ---- reading ---- */

static smq_err check_open_file(int fd)
{
	struct stat st;
	if (fstat(fd, &st) != 0)
		return err_of(errno);
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		return SMQ_ERR_UNSAFE_FILE;
	return SMQ_OK;
}

static smq_err read_all(int fd, smq_mspan room, size_t *ret_len)
{
	size_t len = 0;
	for (;;) {
		uint8_t more;
		bool full = len == room.len;
		ssize_t n = read(fd, full ? &more : room.p + len, full ? 1 : room.len - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_of(errno);
		if (n == 0)
			break;
		if (full)
			return SMQ_ERR_TOO_LARGE;
		len += (size_t)n;
	}
	*ret_len = len;
	return SMQ_OK;
}

smq_err smq_secret_file_read(const char *path, smq_mspan room, size_t *ret_len)
{
	/* O_NONBLOCK: a FIFO must not hang us before it is refused */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return err_of(errno);
	smq_err err = check_open_file(fd);
	if (err == SMQ_OK)
		err = read_all(fd, room, ret_len);
	close(fd);
	return err;
}

/* ---- writing ---- */

static smq_err write_all(int fd, smq_span bytes)
{
	while (bytes.len > 0) {
		ssize_t n = write(fd, bytes.p, bytes.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_of(errno);
		bytes = smq_span_of(bytes.p + n, bytes.len - (size_t)n);
	}
	return fsync(fd) == 0 ? SMQ_OK : err_of(errno);
}

static smq_err sync_directory(const char *path)
{
	char copy[PATH_MAX];
	snprintf(copy, sizeof(copy), "%s", path);
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_of(errno);
	smq_err err = fsync(fd) == 0 ? SMQ_OK : err_of(errno);
	close(fd);
	return err;
}

smq_err smq_secret_file_write(const char *path, smq_span bytes, int replace)
{
	char tmp[PATH_MAX];
	int n = snprintf(tmp, sizeof(tmp), "%s.tmp.%ld", path, (long)getpid());
	if (n < 0 || (size_t)n >= sizeof(tmp))
		return SMQ_ERR_TOO_LARGE;
	(void)unlink(tmp); /* of a process of this number that was killed */
	int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR);
	if (fd < 0)
		return err_of(errno);
	smq_err err = write_all(fd, bytes);
	if (close(fd) != 0 && err == SMQ_OK)
		err = err_of(errno);
	/* link refuses to replace, rename does not */
	if (err == SMQ_OK && (replace ? rename(tmp, path) : link(tmp, path)) != 0)
		err = err_of(errno);
	if (err != SMQ_OK || !replace)
		(void)unlink(tmp);
	return err == SMQ_OK ? sync_directory(path) : err;
}
