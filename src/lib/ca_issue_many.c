/* Issuing identities by the hundred: all of a batch synced together, written into the log together, and then named. */
#include <sealmq/ca.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "lib/ca_identity.h"
#include "lib/ca_list.h"

enum { BATCH = 256 };

struct many {
	struct smq_ca_identity i; /* what is alike for all of them, and the one that is being made */
	const char *const *names;
	size_t count;
	struct smq_ca_event *events; /* of a batch, as are these: */
	char (*made)[SMQ_PATH_MAX];
};

/* ---- names ---- */

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static smq_err check_places(const struct many *m)
{
	char path[SMQ_PATH_MAX];
	struct stat st;
	for (size_t k = 0; k < m->count; k++) {
		if (!smq_name_valid(smq_span_str(m->names[k])))
			return smq_ca_because(SMQ_ERR_NAME, "'%s' is no name for a member: 1 to 64 of A-Z a-z 0-9 - _",
					      m->names[k]);
		smq_err err = smq_path_join(m->i.members, m->names[k], path);
		if (err != SMQ_OK)
			return err;
		if (lstat(path, &st) == 0)
			return smq_ca_because(SMQ_ERR_EXISTS, "%s: exists already", path);
	}
	return SMQ_OK;
}

static smq_err check_twice(const char *const *sorted, size_t count)
{
	for (size_t k = 1; k < count; k++) {
		if (strcmp(sorted[k - 1], sorted[k]) == 0)
			return smq_ca_because(SMQ_ERR_USAGE, "%s: named twice", sorted[k]);
	}
	return SMQ_OK;
}

static smq_err check_valid(const struct many *m, const char *const *sorted)
{
	struct smq_ca_record record;
	smq_err err = smq_ca_record_read(m->i.ca.dir, NULL, smq_ca_now_ms(), &record);
	if (err != SMQ_OK)
		return err;
	for (size_t k = 0; err == SMQ_OK && k < record.count; k++) {
		const struct smq_ca_issued *was = &record.issued[k];
		const char *name = was->name;
		if (was->roles != 0 && was->status <= SMQ_CA_EXPIRING &&
		    bsearch(&name, sorted, m->count, sizeof(*sorted), by_text))
			err = smq_ca_because(SMQ_ERR_EXISTS,
					     "%s has a valid certificate already; --reissue makes another", name);
	}
	smq_ca_record_free(&record);
	return err;
}

static smq_err check_names(const struct many *m)
{
	const char **sorted = calloc(m->count, sizeof(*sorted));
	smq_err err = sorted ? check_places(m) : SMQ_ERR_NO_MEMORY;
	if (err == SMQ_OK) {
		memcpy(sorted, m->names, m->count * sizeof(*sorted));
		qsort(sorted, m->count, sizeof(*sorted), by_text);
		err = check_twice(sorted, m->count);
	}
	if (err == SMQ_OK && !m->i.o->reissue)
		err = check_valid(m, sorted);
	free(sorted);
	return err;
}

/* ---- a batch ---- */

/* One identity beside its place, unsynced. */
static smq_err make_one(struct many *m, const char *name, size_t at)
{
	struct smq_ca_identity *i = &m->i;
	i->name = name;
	smq_pem_free(&i->key);
	smq_pem_free(&i->cert);
	smq_pem_free(&i->chain);
	smq_err err = smq_path_join(i->members, name, i->issued.dir);
	if (err == SMQ_OK)
		err = smq_ca_identity_make(i);
	if (err == SMQ_OK)
		err = smq_ca_make_beside(i->issued.dir, m->made[at]);
	if (err != SMQ_OK) {
		m->made[at][0] = 0;
		return err;
	}
	m->events[at] =
	    (struct smq_ca_event){ .kind = SMQ_CA_ISSUE, .when_ms = i->issued.issued_ms, .issued = i->issued };
	return smq_ca_identity_fill(i, m->made[at]);
}

static smq_err sync_all(const struct many *m)
{
	int fd = open(m->i.members, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	smq_err err = fd >= 0 && syncfs(fd) == 0 ? SMQ_OK : smq_err_of_errno(errno);
	if (fd >= 0)
		close(fd);
	return err;
}

static smq_err name_one(struct many *m, size_t at)
{
	const char *path = m->events[at].issued.dir;
	if (rename(m->made[at], path) != 0)
		return smq_ca_because(smq_err_of_errno(errno), "%s: %s", path, strerror(errno));
	m->made[at][0] = 0;
	return SMQ_OK;
}

static smq_err make_batch(struct many *m, size_t from, size_t count,
			  void (*each)(void *self, const struct smq_ca_issued *issued), void *self)
{
	smq_err err = SMQ_OK;
	size_t made = 0;
	size_t named = 0;
	for (; err == SMQ_OK && made < count; made++)
		err = make_one(m, m->names[from + made], made);
	if (err == SMQ_OK)
		err = sync_all(m);
	if (err == SMQ_OK)
		err = smq_ca_log_append(m->i.ca.log, m->events, count, smq_ca_why(), SMQ_WHY_MAX);
	while (err == SMQ_OK && named < count) {
		err = name_one(m, named);
		named += err == SMQ_OK ? 1 : 0;
	}
	if (named > 0 && smq_dir_sync(m->i.members) != SMQ_OK && err == SMQ_OK)
		err = SMQ_ERR_IO;
	for (size_t k = 0; each && k < named; k++)
		each(self, &m->events[k].issued);
	for (size_t k = 0; k < made; k++) {
		if (m->made[k][0])
			smq_dir_remove(m->made[k]);
	}
	return err;
}

static smq_err issue_many(struct many *m, void (*each)(void *self, const struct smq_ca_issued *issued), void *self)
{
	smq_err err = check_names(m);
	m->events = calloc(BATCH, sizeof(*m->events));
	m->made = calloc(BATCH, sizeof(*m->made));
	if (err == SMQ_OK && (!m->events || !m->made))
		err = SMQ_ERR_NO_MEMORY;
	if (err == SMQ_OK)
		smq_ca_identity_sweep(&m->i);
	m->i.unsynced = true;
	for (size_t at = 0; err == SMQ_OK && at < m->count; at += BATCH)
		err = make_batch(m, at, m->count - at < BATCH ? m->count - at : BATCH, each, self);
	return err;
}

smq_err smq_ca_issue_many(const char *dir, const char *const *names, size_t count,
			  const struct smq_ca_issue_options *options,
			  void (*each)(void *self, const struct smq_ca_issued *issued), void *self,
			  const char **ret_why)
{
	struct many *m = calloc(1, sizeof(*m));
	smq_ca_begin(ret_why);
	if (!m || count == 0) {
		free(m);
		return count == 0 ? smq_ca_because(SMQ_ERR_USAGE, "no names") : smq_ca_finish(SMQ_ERR_NO_MEMORY);
	}
	m->names = names;
	m->count = count;
	smq_err err = smq_ca_identity_begin(&m->i, dir, options, names[0], options->curve);
	if (err == SMQ_OK)
		err = issue_many(m, each, self);
	smq_ca_identity_release(&m->i);
	free(m->events);
	free(m->made);
	free(m);
	return smq_ca_finish(err);
}
