/* Reading a file in pieces. Unbuffered: the reader behind the port has a buffer of its own. */
#include "adapters/file_in/file_in.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

struct file_in {
	int fd;
};

static smq_err read_some(void *self, void *ret_bytes, size_t room, size_t *ret_len)
{
	const struct file_in *f = self;
	ssize_t n;
	do {
		n = read(f->fd, ret_bytes, room);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return SMQ_ERR_IO;
	*ret_len = (size_t)n;
	return SMQ_OK;
}

static smq_err rewind_file(void *self)
{
	const struct file_in *f = self;
	return lseek(f->fd, 0, SEEK_SET) == 0 ? SMQ_OK : SMQ_ERR_IO;
}

static void close_file(void *self)
{
	struct file_in *f = self;
	if (f->fd != STDIN_FILENO)
		(void)close(f->fd);
	free(f);
}

static smq_err refuse(const char *path, int number, char *ret_why, size_t why_len)
{
	char shown[256];
	(void)smq_escape(smq_span_str(path), shown, sizeof(shown));
	if (ret_why)
		(void)snprintf(ret_why, why_len, "%s: %s", shown, strerror(number));
	return number == ENOENT || number == ENOTDIR ? SMQ_ERR_NOT_FOUND
	       : number == EACCES                    ? SMQ_ERR_PERMISSION
						     : SMQ_ERR_IO;
}

smq_err smq_file_in_open(const char *path, struct smq_bytes_in *ret_in, char *ret_why, size_t why_len)
{
	struct stat st;
	bool standard = strcmp(path, "-") == 0;
	int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return refuse(path, errno, ret_why, why_len);
	struct file_in *f = fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode) ? malloc(sizeof(*f)) : NULL;
	if (!f) {
		smq_err err = S_ISDIR(st.st_mode) ? refuse(path, EISDIR, ret_why, why_len) : SMQ_ERR_NO_MEMORY;
		if (!standard)
			(void)close(fd);
		return err;
	}
	f->fd = fd;
	bool regular = S_ISREG(st.st_mode) && !standard;
	*ret_in = (struct smq_bytes_in){ .self = f,
					 .size = regular ? (uint64_t)st.st_size : 0,
					 .read = read_some,
					 .rewind = regular ? rewind_file : NULL,
					 .close = close_file };
	return SMQ_OK;
}
