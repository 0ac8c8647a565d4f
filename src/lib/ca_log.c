/* The CA's log: one line for each event, written and synced before what it is about exists. */
#include "lib/ca_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/table.h"
#include "base/text.h"
#include "lib/files.h"

enum { LINE_MAX_LEN = 512, TIME_LEN = 21, FIELDS_MAX = 9 };

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

/* ---- a line ---- */

static int print_issue(const struct smq_ca_event *e, const char *word, char *line, size_t room)
{
	const struct smq_ca_issued *i = &e->issued;
	char roles[SMQ_ROLES_TEXT_MAX] = "-";
	char issued[TIME_LEN];
	char from[TIME_LEN];
	char until[TIME_LEN];

	if (i->roles)
		smq_roles_print(i->roles, roles);
	print_time(i->issued_ms, issued);
	print_time(i->not_before_ms, from);
	print_time(i->not_after_ms, until);
	return snprintf(line, room, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", word, issued, i->serial, i->name, roles,
			from, until, i->fingerprint, i->issuer[0] ? i->issuer : "-");
}

static int print_revoke(const struct smq_ca_event *e, const char *word, char *line, size_t room)
{
	char when[TIME_LEN];
	print_time(e->when_ms, when);
	return snprintf(line, room, "%s\t%s\t%s\t%s\t%s\n", word, when, e->issued.serial, e->issued.name,
			smq_ca_reason_name(e->issued.reason));
}

static int print_crl(const struct smq_ca_event *e, const char *word, char *line, size_t room)
{
	char when[TIME_LEN];
	char until[TIME_LEN];
	print_time(e->when_ms, when);
	print_time(e->until_ms, until);
	return snprintf(line, room, "%s\t%s\t%lld\t%s\t%zu\n", word, when, (long long)e->number, until, e->entries);
}

static bool is_hex(const char *text, size_t bytes)
{
	uint8_t room[32];
	size_t len = 0;
	return smq_hex_decode(text, smq_mspan_of(room, sizeof(room)), &len) == SMQ_OK && len == bytes;
}

static bool parse_issue(char **f, size_t count, struct smq_ca_event *e)
{
	struct smq_ca_issued *i = &e->issued;
	bool authority = e->kind == SMQ_CA_AUTHORITY || e->kind == SMQ_CA_ROOT;
	if (count < 8 || !is_hex(f[2], 16) || !is_hex(f[7], 32) || !smq_name_valid(smq_span_str(f[3])))
		return false;
	if (!authority && smq_roles_parse(f[4], &i->roles) != SMQ_OK)
		return false;
	memcpy(i->serial, f[2], 33);
	memcpy(i->name, f[3], strlen(f[3]) + 1);
	memcpy(i->fingerprint, f[7], 65);
	if (count > 8 && is_hex(f[8], 16))
		memcpy(i->issuer, f[8], 33);
	i->issued_ms = e->when_ms;
	return parse_time(f[5], &i->not_before_ms) && parse_time(f[6], &i->not_after_ms);
}

static bool parse_revoke(char **f, size_t count, struct smq_ca_event *e)
{
	struct smq_ca_issued *i = &e->issued;
	if (count < 5 || !is_hex(f[2], 16) || !smq_name_valid(smq_span_str(f[3])))
		return false;
	memcpy(i->serial, f[2], 33);
	memcpy(i->name, f[3], strlen(f[3]) + 1);
	i->revoked_ms = e->when_ms;
	/* A reason of a later version is none that we know; it is revoked all the same. */
	if (smq_ca_reason_parse(f[4], &i->reason) != SMQ_OK)
		i->reason = SMQ_CA_UNSPECIFIED;
	return true;
}

static bool parse_crl(char **f, size_t count, struct smq_ca_event *e)
{
	char *end = NULL;
	if (count < 5)
		return false;
	errno = 0;
	e->number = strtoll(f[2], &end, 10);
	e->entries = strtoul(f[4], NULL, 10);
	return errno == 0 && end != f[2] && *end == 0 && e->number > 0 && parse_time(f[3], &e->until_ms);
}

static const struct {
	const char *word;
	int (*print)(const struct smq_ca_event *e, const char *word, char *line, size_t room);
	bool (*parse)(char **fields, size_t count, struct smq_ca_event *e);
} kinds[] = {
	[SMQ_CA_ISSUE] = { "issue", print_issue, parse_issue },
	[SMQ_CA_AUTHORITY] = { "authority", print_issue, parse_issue },
	[SMQ_CA_REVOKE] = { "revoke", print_revoke, parse_revoke },
	[SMQ_CA_CRL] = { "crl", print_crl, parse_crl },
	[SMQ_CA_ROOT] = { "root", print_issue, parse_issue },
};

size_t smq_ca_log_line(const struct smq_ca_event *e, char *ret_line, size_t room)
{
	int n = kinds[e->kind].print(e, kinds[e->kind].word, ret_line, room);
	return n > 0 && (size_t)n < room ? (size_t)n : 0;
}

/* Events of later versions are skipped, and so is a line that does not read: a crash may have cut it. */
static bool parse_line(char *line, struct smq_ca_event *ret_event)
{
	char *fields[FIELDS_MAX];
	size_t count = 0;
	char *save = NULL;
	for (char *f = strtok_r(line, "\t", &save); f && count < FIELDS_MAX; f = strtok_r(NULL, "\t", &save))
		fields[count++] = f;
	memset(ret_event, 0, sizeof(*ret_event));
	for (size_t i = 0; count > 1 && i < SMQ_COUNT(kinds); i++) {
		if (strcmp(fields[0], kinds[i].word) != 0)
			continue;
		ret_event->kind = (enum smq_ca_event_kind)i;
		return parse_time(fields[1], &ret_event->when_ms) && kinds[i].parse(fields, count, ret_event);
	}
	return false;
}

/* ---- the file ---- */

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
static smq_err print_all(int fd, const struct smq_ca_event *events, size_t count, char *text, size_t room,
			 size_t *ret_len)
{
	char last = '\n';
	struct stat st;
	size_t len = 0;
	if (fstat(fd, &st) != 0 || (st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) != 1))
		return SMQ_ERR_IO;
	if (last != '\n')
		text[len++] = '\n';
	for (size_t i = 0; i < count; i++) {
		size_t n = smq_ca_log_line(&events[i], text + len, room - len);
		if (n == 0)
			return SMQ_ERR_BUG;
		len += n;
	}
	*ret_len = len;
	return SMQ_OK;
}

smq_err smq_ca_log_append(int fd, const struct smq_ca_event *events, size_t count, char *ret_why, size_t why_len)
{
	size_t room = count * LINE_MAX_LEN + 2;
	char *text = malloc(room);
	size_t len = 0;
	smq_err err = text ? print_all(fd, events, count, text, room, &len) : SMQ_ERR_NO_MEMORY;
	if (err == SMQ_ERR_IO)
		(void)smq_because(err, ret_why, why_len, "issued.log: cannot be read");
	if (err == SMQ_OK) {
		ssize_t written = write(fd, text, len);
		if (written != (ssize_t)len || fsync(fd) != 0)
			err = smq_because(written < 0 ? smq_err_of_errno(errno) : SMQ_ERR_DISK_FULL, ret_why, why_len,
					  "issued.log: cannot be written; nothing was done");
	}
	free(text);
	return err;
}

static void read_lines(FILE *file, const char *containing, void (*each)(void *self, const struct smq_ca_event *event),
		       void *self)
{
	char *line = NULL;
	size_t room = 0;
	for (ssize_t n; (n = getline(&line, &room, file)) > 0;) {
		struct smq_ca_event event;
		if (line[n - 1] != '\n')
			break; /* cut off by a crash: what it is about was never made */
		line[n - 1] = 0;
		if ((!containing || strstr(line, containing)) && parse_line(line, &event))
			each(self, &event);
	}
	free(line);
}

smq_err smq_ca_log_read(const char *dir, const char *containing,
			void (*each)(void *self, const struct smq_ca_event *event), void *self, char *ret_why,
			size_t why_len)
{
	char path[SMQ_PATH_MAX];
	smq_err err = smq_path_join(dir, "issued.log", path);
	FILE *file = err == SMQ_OK ? fopen(path, "re") : NULL;

	if (!file && errno == ENOENT)
		return smq_because(SMQ_ERR_REALM, ret_why, why_len,
				   "%s: not a CA directory; `sealmq ca init` makes one", dir);
	if (!file)
		return smq_because(smq_err_of_errno(errno), ret_why, why_len, "%s: %s", path, strerror(errno));
	read_lines(file, containing, each, self);
	if (ferror(file))
		err = smq_because(SMQ_ERR_IO, ret_why, why_len, "%s: cannot be read", path);
	else if (!feof(file)) /* getline() without memory is silent about it: what was read is not all there is */
		err = smq_because(SMQ_ERR_NO_MEMORY, ret_why, why_len, "%s: out of memory", path);
	fclose(file);
	return err;
}
