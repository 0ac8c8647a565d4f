/* Files of the realm and the CA: secrets read with care, everything written whole or not at all. */
#include "lib/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/table.h"
#include "base/text.h"
#include "base/wipe.h"

void smq_file_bytes_free(struct smq_file_bytes *bytes)
{
	if (bytes->p)
		smq_wipe(bytes->p, bytes->len);
	free(bytes->p);
	*bytes = (struct smq_file_bytes){ NULL, 0 };
}

smq_err smq_because(smq_err err, char *ret_why, size_t why_len, const char *format, ...)
{
	char raw[SMQ_PATH_MAX + SMQ_WHY_MAX];
	va_list args;
	if (!ret_why)
		return err;
	va_start(args, format);
	int n = vsnprintf(raw, sizeof(raw), format, args);
	va_end(args);
	size_t len = n < 0 ? 0 : (size_t)n < sizeof(raw) ? (size_t)n : sizeof(raw) - 1;
	(void)smq_escape(smq_span_of(raw, len), ret_why, why_len);
	return err;
}

static smq_err from_errno(const char *path, char *ret_why, size_t why_len)
{
	int code = errno;
	return smq_because(smq_err_of_errno(code), ret_why, why_len, "%s: %s", path, strerror(code));
}

smq_err smq_path_join(const char *dir, const char *name, char ret_path[SMQ_PATH_MAX])
{
	size_t dir_len = strlen(dir);
	size_t name_len = strlen(name);
	if (dir_len + 1 + name_len + 1 > SMQ_PATH_MAX)
		return SMQ_ERR_TOO_LARGE;
	memmove(ret_path, dir, dir_len);
	ret_path[dir_len] = '/';
	memcpy(ret_path + dir_len + 1, name, name_len + 1);
	return SMQ_OK;
}

bool smq_path_there(const char *path)
{
	struct stat st;
	return lstat(path, &st) == 0;
}

bool smq_dir_has(const char *dir, const char *name)
{
	char path[SMQ_PATH_MAX];
	return smq_path_join(dir, name, path) == SMQ_OK && smq_path_there(path);
}

smq_err smq_path_dir(const char *path, char ret_dir[SMQ_PATH_MAX])
{
	char copy[SMQ_PATH_MAX];
	if (snprintf(copy, sizeof(copy), "%s", path) >= (int)sizeof(copy))
		return SMQ_ERR_TOO_LARGE;
	(void)snprintf(ret_dir, SMQ_PATH_MAX, "%s", dirname(copy));
	return SMQ_OK;
}

static smq_err check_owner(const char *path, const struct stat *st, bool secret, char *ret_why, size_t why_len)
{
	unsigned mode = st->st_mode & 07777;
	if (!S_ISREG(st->st_mode))
		return smq_because(SMQ_ERR_UNSAFE_FILE, ret_why, why_len, "%s: not a regular file", path);
	if (secret && st->st_uid != geteuid() && st->st_uid != 0)
		return smq_because(SMQ_ERR_UNSAFE_FILE, ret_why, why_len,
				   "%s: belongs to user %u, who can read and replace it; run: chown %u %s", path,
				   (unsigned)st->st_uid, (unsigned)geteuid(), path);
	if (secret && (mode & (S_IRWXG | S_IRWXO)))
		return smq_because(SMQ_ERR_UNSAFE_FILE, ret_why, why_len,
				   "%s: mode %04o, others can %s it; run: chmod 600 %s", path, mode,
				   mode & (S_IRGRP | S_IROTH) ? "read" : "change", path);
	if (mode & S_IWOTH)
		return smq_because(SMQ_ERR_UNSAFE_FILE, ret_why, why_len,
				   "%s: mode %04o, everybody can change it; run: chmod o-w %s", path, mode, path);
	return SMQ_OK;
}

/* One byte more than may be there, so that too much is noticed. */
static smq_err read_all(int fd, const char *path, size_t room, struct smq_file_bytes *ret_bytes, char *ret_why,
			size_t why_len)
{
	struct smq_file_bytes b = { malloc(room + 1), 0 };
	smq_err err = b.p ? SMQ_OK : SMQ_ERR_NO_MEMORY;

	while (err == SMQ_OK) {
		ssize_t n = read(fd, b.p + b.len, room + 1 - b.len);
		if (n == 0)
			break;
		if (n < 0 && errno != EINTR)
			err = from_errno(path, ret_why, why_len);
		b.len += n > 0 ? (size_t)n : 0;
		if (b.len > room)
			err = smq_because(SMQ_ERR_TOO_LARGE, ret_why, why_len, "%s: more than %zu bytes", path, room);
	}
	if (err != SMQ_OK) {
		smq_file_bytes_free(&b);
		return err;
	}
	*ret_bytes = b;
	return SMQ_OK;
}

/* What is checked is what is read: the open descriptor, not the path. O_NONBLOCK, so that a FIFO does not hang us. */
smq_err smq_file_read_most(const char *path, bool secret, size_t most, struct smq_file_bytes *ret_bytes, char *ret_why,
			   size_t why_len)
{
	struct stat st;
	smq_err err;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | (secret ? O_NOFOLLOW : 0));

	if (fd < 0 && errno == ELOOP && secret)
		return smq_because(SMQ_ERR_UNSAFE_FILE, ret_why, why_len, "%s: a symlink; put the file itself there",
				   path);
	if (fd < 0)
		return from_errno(path, ret_why, why_len);
	if (fstat(fd, &st) != 0)
		err = from_errno(path, ret_why, why_len);
	else
		err = check_owner(path, &st, secret, ret_why, why_len);
	if (err == SMQ_OK)
		err = read_all(fd, path, most, ret_bytes, ret_why, why_len);
	close(fd);
	return err;
}

smq_err smq_file_read(const char *path, bool secret, struct smq_file_bytes *ret_bytes, char *ret_why, size_t why_len)
{
	return smq_file_read_most(path, secret, SMQ_FILE_MAX, ret_bytes, ret_why, why_len);
}

smq_err smq_dir_read(const char *dir, const char *name, bool secret, struct smq_file_bytes *ret_bytes, char *ret_why,
		     size_t why_len)
{
	char path[SMQ_PATH_MAX];
	smq_err err = smq_path_join(dir, name, path);
	return err == SMQ_OK ? smq_file_read(path, secret, ret_bytes, ret_why, why_len) : err;
}

smq_err smq_passphrase_read(const char *path, struct smq_file_bytes *ret_passphrase, char *ret_why, size_t why_len)
{
	struct smq_file_bytes b = { NULL, 0 };
	smq_err err = smq_file_read(path, true, &b, ret_why, why_len);
	if (err != SMQ_OK)
		return err;
	size_t len = 0;
	while (len < b.len && b.p[len] != '\n' && b.p[len] != '\r')
		len++;
	smq_wipe(b.p + len, b.len - len);
	b.len = len;
	if (len == 0) {
		smq_file_bytes_free(&b);
		return smq_because(SMQ_ERR_USAGE, ret_why, why_len, "%s: its first line is empty, and no passphrase",
				   path);
	}
	*ret_passphrase = b;
	return SMQ_OK;
}

static bool write_all(int fd, smq_span bytes)
{
	while (bytes.len > 0) {
		ssize_t n = write(fd, bytes.p, bytes.len);
		if (n < 0 && errno != EINTR)
			return false;
		if (n > 0)
			bytes = smq_span_of(bytes.p + n, bytes.len - (size_t)n);
	}
	return true;
}

static smq_err create(const char *path, smq_span bytes, mode_t mode, bool sync, char *ret_why, size_t why_len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return from_errno(path, ret_why, why_len);
	bool ok = write_all(fd, bytes) && (!sync || fsync(fd) == 0);
	smq_err err = ok ? SMQ_OK : from_errno(path, ret_why, why_len);
	if (close(fd) != 0 && ok)
		err = from_errno(path, ret_why, why_len);
	if (err != SMQ_OK)
		(void)unlink(path);
	return err;
}

smq_err smq_file_create(const char *path, smq_span bytes, mode_t mode, char *ret_why, size_t why_len)
{
	return create(path, bytes, mode, true, ret_why, why_len);
}

smq_err smq_file_create_unsynced(const char *path, smq_span bytes, mode_t mode, char *ret_why, size_t why_len)
{
	return create(path, bytes, mode, false, ret_why, why_len);
}

static smq_err sync_directory_of(const char *path)
{
	char copy[SMQ_PATH_MAX];
	(void)snprintf(copy, sizeof(copy), "%s", path);
	return smq_dir_sync(dirname(copy));
}

smq_err smq_file_put(const char *path, smq_span bytes, mode_t mode, bool replace, char *ret_why, size_t why_len)
{
	char tmp[SMQ_PATH_MAX];
	if (snprintf(tmp, sizeof(tmp), "%s.tmp.%ld", path, (long)getpid()) >= (int)sizeof(tmp))
		return smq_because(SMQ_ERR_TOO_LARGE, ret_why, why_len, "%s: the path is too long", path);
	(void)unlink(tmp); /* of a process of this number that was killed */
	smq_err err = smq_file_create(tmp, bytes, mode, ret_why, why_len);
	if (err != SMQ_OK)
		return err;
	/* link refuses to replace, rename does not */
	if ((replace ? rename(tmp, path) : link(tmp, path)) != 0)
		err = from_errno(path, ret_why, why_len);
	if (err != SMQ_OK || !replace)
		(void)unlink(tmp);
	return err == SMQ_OK ? sync_directory_of(path) : err;
}

smq_err smq_dir_sync(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return smq_err_of_errno(errno);
	smq_err err = fsync(fd) == 0 ? SMQ_OK : smq_err_of_errno(errno);
	close(fd);
	return err;
}

static void remove_files(const char *path, int depth)
{
	char inner[SMQ_PATH_MAX];
	DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (smq_path_join(path, entry->d_name, inner) != SMQ_OK)
			continue;
		if (unlink(inner) != 0 && depth > 0)
			remove_files(inner, depth - 1);
	}
	if (dir)
		closedir(dir);
	(void)rmdir(path);
}

void smq_dir_remove(const char *path) { remove_files(path, 2); }
