/* The CA's log: one line for each certificate, written and synced before the certificate exists. */
#include "lib/ca_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "lib/files.h"

enum { LINE_MAX_LEN = 512, TIME_LEN = 21, FIELDS = 8 };

static void print_time(int64_t ms, char text[TIME_LEN])
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;
	if (!gmtime_r(&seconds, &tm) || strftime(text, TIME_LEN, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		memcpy(text, "-", 2);
}

static bool parse_time(const char *text, int64_t *ret_ms)
{
	struct tm tm = { .tm_sec = 0 };
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
	*ret_ms = (int64_t)timegm(&tm) * 1000;
	return end && *end == 0;
}

size_t smq_ca_log_line(const struct smq_ca_issued *i, char *ret_line, size_t room)
{
	char roles[SMQ_ROLES_TEXT_MAX];
	char issued[TIME_LEN];
	char from[TIME_LEN];
	char until[TIME_LEN];

	smq_roles_print(i->roles, roles);
	print_time(i->issued_ms, issued);
	print_time(i->not_before_ms, from);
	print_time(i->not_after_ms, until);
	int n = snprintf(ret_line, room, "issue\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", issued, i->serial, i->name, roles, from,
			 until, i->fingerprint);
	return n > 0 && (size_t)n < room ? (size_t)n : 0;
}

smq_err smq_ca_log_open(const char *dir, int *ret_fd, char *ret_why, size_t why_len)
{
	char path[SMQ_PATH_MAX];
	smq_err err = smq_path_join(dir, "issued.log", path);
	if (err != SMQ_OK)
		return err;
	int fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT)
		return smq_because(SMQ_ERR_REALM, ret_why, why_len,
				   "%s: not a CA directory; `sealmq ca init` makes one", dir);
	if (fd < 0)
		return smq_because(smq_err_of_errno(errno), ret_why, why_len, "%s: %s", path, strerror(errno));
	while (flock(fd, LOCK_EX) != 0) {
		if (errno == EINTR)
			continue;
		close(fd);
		return smq_because(SMQ_ERR_IO, ret_why, why_len, "%s: cannot be locked", path);
	}
	*ret_fd = fd;
	return SMQ_OK;
}

/* A line that a crash cut off is closed first, so that it spoils no other. */
smq_err smq_ca_log_append(int fd, const struct smq_ca_issued *issued, char *ret_why, size_t why_len)
{
	char line[LINE_MAX_LEN + 1] = "\n";
	char last = '\n';
	struct stat st;
	size_t len = smq_ca_log_line(issued, line + 1, LINE_MAX_LEN);

	if (len == 0)
		return SMQ_ERR_BUG;
	if (fstat(fd, &st) != 0 || (st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) != 1))
		return smq_because(SMQ_ERR_IO, ret_why, why_len, "issued.log: cannot be read");
	const char *from = last == '\n' ? line + 1 : line;
	len = last == '\n' ? len : len + 1;
	ssize_t written = write(fd, from, len);
	if (written != (ssize_t)len || fsync(fd) != 0)
		return smq_because(written < 0 ? smq_err_of_errno(errno) : SMQ_ERR_DISK_FULL, ret_why, why_len,
				   "issued.log: cannot be written; nothing was issued");
	return SMQ_OK;
}

static bool parse_fields(char **f, struct smq_ca_issued *i)
{
	uint8_t bytes[32];
	size_t len = 0;
	if (smq_hex_decode(f[2], smq_mspan_of(bytes, 16), &len) != SMQ_OK || len != 16)
		return false;
	if (smq_hex_decode(f[7], smq_mspan_of(bytes, 32), &len) != SMQ_OK || len != 32)
		return false;
	if (!smq_name_valid(smq_span_str(f[3])) || smq_roles_parse(f[4], &i->roles) != SMQ_OK)
		return false;
	memcpy(i->serial, f[2], 33);
	memcpy(i->name, f[3], strlen(f[3]) + 1);
	memcpy(i->fingerprint, f[7], 65);
	return parse_time(f[1], &i->issued_ms) && parse_time(f[5], &i->not_before_ms) &&
	       parse_time(f[6], &i->not_after_ms);
}

/* Events of later versions are skipped; a line of ours that does not read back is skipped too if a crash cut it. */
static bool parse_line(char *line, struct smq_ca_issued *ret_issued, bool *ret_is_issue)
{
	char *fields[FIELDS];
	size_t count = 0;
	char *save = NULL;
	*ret_is_issue = strncmp(line, "issue\t", 6) == 0;
	for (char *f = strtok_r(line, "\t", &save); f && count < FIELDS; f = strtok_r(NULL, "\t", &save))
		fields[count++] = f;
	if (!*ret_is_issue)
		return true;
	memset(ret_issued, 0, sizeof(*ret_issued));
	return count == FIELDS && parse_fields(fields, ret_issued);
}

smq_err smq_ca_log_read(const char *dir, void (*each)(void *self, const struct smq_ca_issued *issued), void *self,
			char *ret_why, size_t why_len)
{
	char path[SMQ_PATH_MAX];
	char *line = NULL;
	size_t room = 0;
	smq_err err = smq_path_join(dir, "issued.log", path);
	FILE *file = err == SMQ_OK ? fopen(path, "re") : NULL;

	if (!file && errno == ENOENT)
		return smq_because(SMQ_ERR_REALM, ret_why, why_len,
				   "%s: not a CA directory; `sealmq ca init` makes one", dir);
	if (!file)
		return smq_because(smq_err_of_errno(errno), ret_why, why_len, "%s: %s", path, strerror(errno));
	for (ssize_t n; (n = getline(&line, &room, file)) > 0;) {
		struct smq_ca_issued issued;
		bool is_issue = false;
		if (line[n - 1] != '\n')
			break; /* cut off by a crash: its certificate was never made */
		line[n - 1] = 0;
		if (parse_line(line, &issued, &is_issue) && is_issue)
			each(self, &issued);
	}
	if (ferror(file))
		err = smq_because(SMQ_ERR_IO, ret_why, why_len, "%s: cannot be read", path);
	free(line);
	fclose(file);
	return err;
}
