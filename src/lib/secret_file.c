/* Files that hold a secret, written whole or not at all. */
#include "lib/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/files.h"

static smq_err write_all(int fd, smq_span bytes)
{
	while (bytes.len > 0) {
		ssize_t n = write(fd, bytes.p, bytes.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return smq_err_of_errno(errno);
		bytes = smq_span_of(bytes.p + n, bytes.len - (size_t)n);
	}
	return fsync(fd) == 0 ? SMQ_OK : smq_err_of_errno(errno);
}

static smq_err sync_directory_of(const char *path)
{
	char copy[PATH_MAX];
	snprintf(copy, sizeof(copy), "%s", path);
	return smq_dir_sync(dirname(copy));
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
		return smq_err_of_errno(errno);
	smq_err err = write_all(fd, bytes);
	if (close(fd) != 0 && err == SMQ_OK)
		err = smq_err_of_errno(errno);
	/* link refuses to replace, rename does not */
	if (err == SMQ_OK && (replace ? rename(tmp, path) : link(tmp, path)) != 0)
		err = smq_err_of_errno(errno);
	if (err != SMQ_OK || !replace)
		(void)unlink(tmp);
	return err == SMQ_OK ? sync_directory_of(path) : err;
}
