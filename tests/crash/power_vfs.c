/* A disk for SQLite that tells what was written and what was synced, fails, and can be put back as by a power cut. */
#include "power_vfs.h"

#include <dirent.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECTOR = 512, NAME_MAX_LEN = 64, FILES_MAX = 16 };

static int log_fd = -1;
static struct power_control *control;
static sqlite3_vfs *below;

uint64_t power_draw(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* ---- what happened, on record ---- */

struct entry {
	char what; /* w: write, t: truncate, s: sync, d: delete, D: delete and sync of the directory */
	char name[NAME_MAX_LEN];
	uint64_t at, len;
};

static void note(char what, const char *name, uint64_t at, const void *bytes, uint64_t len)
{
	struct entry e;
	memset(&e, 0, sizeof(e));
	e.what = what;
	e.at = at;
	e.len = len;
	const char *slash = strrchr(name, '/');
	snprintf(e.name, sizeof(e.name), "%s", slash ? slash + 1 : name);
	if (log_fd < 0)
		return;
	(void)!write(log_fd, &e, sizeof(e));
	if (bytes)
		(void)!write(log_fd, bytes, len);
}

/* ---- the disk ---- */

struct file {
	sqlite3_file base;
	char name[NAME_MAX_LEN];
	sqlite3_file *real;
};

static int failing(enum power_fault kind, bool is_sync)
{
	bool meant = is_sync == (control->fault == POWER_FSYNC);
	(void)kind;
	control->calls++;
	if (control->fail_at == 0 || control->calls < control->fail_at || (!meant && control->fault == POWER_FSYNC))
		return SQLITE_OK;
	control->failed++;
	switch (control->fault) {
	case POWER_FULL:
		return is_sync ? SQLITE_OK : SQLITE_FULL;
	case POWER_EIO:
		return is_sync ? SQLITE_IOERR_FSYNC : SQLITE_IOERR_WRITE;
	case POWER_FSYNC:
		return SQLITE_IOERR_FSYNC;
	default:
		return SQLITE_IOERR_NOMEM;
	}
}

static sqlite3_file *real_of(sqlite3_file *f) { return ((struct file *)f)->real; }

static int do_close(sqlite3_file *f)
{
	int rc = real_of(f)->pMethods->xClose(real_of(f));
	sqlite3_free(real_of(f));
	return rc;
}
static int do_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	return real_of(f)->pMethods->xRead(real_of(f), p, n, at);
}
static int do_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	int rc = failing(POWER_EIO, false);
	if (rc == SQLITE_OK)
		rc = real_of(f)->pMethods->xWrite(real_of(f), p, n, at);
	if (rc == SQLITE_OK)
		note('w', ((struct file *)f)->name, (uint64_t)at, p, (uint64_t)n);
	return rc;
}
static int do_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	int rc = real_of(f)->pMethods->xTruncate(real_of(f), size);
	if (rc == SQLITE_OK)
		note('t', ((struct file *)f)->name, (uint64_t)size, NULL, 0);
	return rc;
}
/* On record before it returns: from then on it may be relied on. (The page cache of this machine is no disk; nothing is
 * really synced here, which is what makes ten thousand of them quick.) */
static int do_sync(sqlite3_file *f, int flags)
{
	int rc = failing(POWER_FSYNC, true);
	(void)flags;
	if (rc == SQLITE_OK)
		note('s', ((struct file *)f)->name, 0, NULL, 0);
	return rc;
}
static int do_size(sqlite3_file *f, sqlite3_int64 *size) { return real_of(f)->pMethods->xFileSize(real_of(f), size); }
static int do_lock(sqlite3_file *f, int l) { return real_of(f)->pMethods->xLock(real_of(f), l); }
static int do_unlock(sqlite3_file *f, int l) { return real_of(f)->pMethods->xUnlock(real_of(f), l); }
static int do_reserved(sqlite3_file *f, int *r) { return real_of(f)->pMethods->xCheckReservedLock(real_of(f), r); }
static int do_control(sqlite3_file *f, int op, void *p)
{
	return real_of(f)->pMethods->xFileControl(real_of(f), op, p);
}
static int do_sector(sqlite3_file *f) { return real_of(f)->pMethods->xSectorSize(real_of(f)); }
/* No promise of any kind: not even that a sector is written whole. */
static int do_characteristics(sqlite3_file *f)
{
	(void)f;
	return 0;
}
static int do_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **p)
{
	return real_of(f)->pMethods->xShmMap(real_of(f), page, size, extend, p);
}
static int do_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
	return real_of(f)->pMethods->xShmLock(real_of(f), at, n, flags);
}
static void do_shm_barrier(sqlite3_file *f) { real_of(f)->pMethods->xShmBarrier(real_of(f)); }
static int do_shm_unmap(sqlite3_file *f, int del) { return real_of(f)->pMethods->xShmUnmap(real_of(f), del); }

static const sqlite3_io_methods methods = { 2,
					    do_close,
					    do_read,
					    do_write,
					    do_truncate,
					    do_sync,
					    do_size,
					    do_lock,
					    do_unlock,
					    do_reserved,
					    do_control,
					    do_sector,
					    do_characteristics,
					    do_shm_map,
					    do_shm_lock,
					    do_shm_barrier,
					    do_shm_unmap,
					    NULL,
					    NULL };

static int do_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
	struct file *file = (struct file *)f;
	const char *slash = name ? strrchr(name, '/') : NULL;
	(void)v;
	memset(file, 0, sizeof(*file));
	file->real = sqlite3_malloc(below->szOsFile);
	if (!file->real)
		return SQLITE_NOMEM;
	memset(file->real, 0, (size_t)below->szOsFile);
	snprintf(file->name, sizeof(file->name), "%s", slash ? slash + 1 : name ? name : "");
	int rc = below->xOpen(below, name, file->real, flags, ret_flags);
	if (rc == SQLITE_OK)
		file->base.pMethods = &methods;
	else
		sqlite3_free(file->real);
	return rc;
}

static int do_delete(sqlite3_vfs *v, const char *name, int sync_dir)
{
	(void)v;
	int rc = below->xDelete(below, name, 0);
	if (rc == SQLITE_OK)
		note(sync_dir ? 'D' : 'd', name, 0, NULL, 0);
	return rc;
}

bool power_vfs_start(const char *log, struct power_control *commands)
{
	static sqlite3_vfs vfs;
	control = commands;
	log_fd = log ? open(log, O_WRONLY | O_CREAT | O_APPEND, 0600) : -1;
	below = sqlite3_vfs_find(NULL);
	if (!below || (log && log_fd < 0))
		return false;
	vfs = *below;
	vfs.zName = "power";
	vfs.szOsFile = sizeof(struct file);
	vfs.pNext = NULL;
	vfs.xOpen = do_open;
	vfs.xDelete = do_delete;
	return sqlite3_vfs_register(&vfs, 1) == SQLITE_OK;
}

/* ---- the cut ---- */

/* Since the log began: the file as it is known to be on the disk, and what was written on top of that. */
struct image {
	char name[NAME_MAX_LEN];
	uint8_t *disk;
	uint64_t len;
	bool there;
	bool named;     /* its directory was synced since it was made */
	uint8_t *ghost; /* what it was before it was removed, until the directory is synced; ghost_len */
	uint64_t ghost_len;
	bool haunted;
	struct entry *pending;
	const uint8_t **bytes;
	size_t pending_count;
};

struct images {
	struct image all[FILES_MAX];
	size_t count;
};

static void grow(struct image *m, uint64_t len)
{
	if (len <= m->len)
		return;
	m->disk = realloc(m->disk, len);
	memset(m->disk + m->len, 0, len - m->len);
	m->len = len;
}

/* A file as it was when the log began: its beginning was saved beside it. */
static void load(struct image *m, const char *dir)
{
	char path[512];
	struct stat st;
	snprintf(path, sizeof(path), "%s.disk/%s", dir, m->name);
	int fd = open(path, O_RDONLY);
	if (fd < 0 || fstat(fd, &st) != 0)
		return;
	m->there = m->named = true;
	grow(m, (uint64_t)st.st_size);
	if (read(fd, m->disk, (size_t)st.st_size) != st.st_size)
		m->len = 0;
	close(fd);
}

static struct image *image_of(struct images *s, const char *dir, const char *name)
{
	for (size_t i = 0; i < s->count; i++) {
		if (strcmp(s->all[i].name, name) == 0)
			return &s->all[i];
	}
	struct image *m = &s->all[s->count++];
	memset(m, 0, sizeof(*m));
	memcpy(m->name, name, NAME_MAX_LEN);
	load(m, dir);
	return m;
}

/* Whole, or the sectors that were drawn. */
static void apply(struct image *m, const struct entry *e, const uint8_t *bytes, uint64_t *seed, bool whole)
{
	if (e->what == 't') {
		if (whole || power_draw(seed) % 2) {
			grow(m, e->at);
			m->len = e->at;
		}
		return;
	}
	if (e->what != 'w')
		return;
	m->there = true;
	for (uint64_t done = 0; done < e->len;) {
		uint64_t n = SECTOR - (e->at + done) % SECTOR;
		n = n < e->len - done ? n : e->len - done;
		if (whole || power_draw(seed) % 2) {
			grow(m, e->at + done + n);
			memcpy(m->disk + e->at + done, bytes + done, n);
		}
		done += n;
	}
}

static void settle(struct image *m, uint64_t *seed)
{
	for (size_t i = 0; i < m->pending_count; i++)
		apply(m, &m->pending[i], m->bytes[i], seed, true);
	m->pending_count = 0;
}

/* SQLite syncs the directory with the first sync of a journal or log that it has made: from then on what was removed
 * before is gone. */
static void sync_directory(struct images *s)
{
	for (size_t i = 0; i < s->count; i++)
		s->all[i].haunted = false;
}

static void remove_name(struct image *m)
{
	free(m->ghost);
	m->ghost = m->disk;
	m->ghost_len = m->len;
	m->haunted = m->there && m->named;
	m->disk = NULL;
	m->len = 0;
	m->there = m->named = false;
	m->pending_count = 0;
}

static void take(struct images *s, const char *dir, const struct entry *e, const uint8_t *bytes, uint64_t *seed,
		 bool syncs)
{
	struct image *m = image_of(s, dir, e->name);
	if (e->what == 's') {
		if (!syncs)
			return;
		settle(m, seed);
		if (!m->named)
			sync_directory(s);
		m->named = true;
		return;
	}
	if (e->what == 'd' || e->what == 'D') {
		remove_name(m);
		if (e->what == 'D' && syncs)
			sync_directory(s);
		return;
	}
	m->pending = realloc(m->pending, (m->pending_count + 1) * sizeof(*m->pending));
	m->bytes = realloc(m->bytes, (m->pending_count + 1) * sizeof(*m->bytes));
	m->pending[m->pending_count] = *e;
	m->bytes[m->pending_count++] = bytes;
}

/* Whether a name that was removed without a sync of the directory is gone, is drawn. */
static void haunt(struct image *m, uint64_t *seed)
{
	if (!m->haunted || m->pending_count > 0 || power_draw(seed) % 2)
		return;
	free(m->disk);
	m->disk = m->ghost;
	m->len = m->ghost_len;
	m->ghost = NULL;
	m->there = true;
}

static bool write_file(const char *dir, const struct image *m)
{
	char path[512];
	snprintf(path, sizeof(path), "%s/%s", dir, m->name);
	unlink(path);
	if (!m->there)
		return true;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	bool good = fd >= 0 && write(fd, m->disk, m->len) == (ssize_t)m->len;
	if (fd >= 0)
		close(fd);
	return good;
}

static void remove_shared_memory(const char *dir)
{
	struct dirent *e;
	char path[512];
	DIR *d = opendir(dir);
	while (d && (e = readdir(d)) != NULL) {
		size_t len = strlen(e->d_name);
		if (len > 4 && strcmp(e->d_name + len - 4, "-shm") == 0 &&
		    snprintf(path, sizeof(path), "%s/%s", dir, e->d_name) < (int)sizeof(path))
			unlink(path);
	}
	if (d)
		closedir(d);
}

bool power_cut(const char *dir, const char *log, uint64_t *seed, bool syncs)
{
	struct images s = { .count = 0 };
	char disk[512];
	struct stat st;
	bool good = true;
	int fd = open(log, O_RDWR);
	if (fd < 0 || fstat(fd, &st) != 0)
		return false;
	const uint8_t *p = st.st_size ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
	for (size_t at = 0; at + sizeof(struct entry) <= (size_t)st.st_size;) {
		struct entry e;
		memcpy(&e, p + at, sizeof(e));
		at += sizeof(e);
		if (at + (e.what == 'w' ? e.len : 0) > (size_t)st.st_size)
			break; /* the process died in the middle of its record: the write after it never was */
		take(&s, dir, &e, p + at, seed, syncs);
		at += e.what == 'w' ? e.len : 0;
	}
	snprintf(disk, sizeof(disk), "%s.disk", dir);
	mkdir(disk, 0700);
	remove_shared_memory(dir);
	for (size_t i = 0; i < s.count; i++) {
		struct image *m = &s.all[i];
		for (size_t k = 0; k < m->pending_count; k++)
			apply(m, &m->pending[k], m->bytes[k], seed, false);
		haunt(m, seed);
		good = write_file(dir, m) && write_file(disk, m) && good;
		free(m->disk);
		free(m->ghost);
		free(m->pending);
		free(m->bytes);
	}
	if (p)
		munmap((void *)(uintptr_t)p, (size_t)st.st_size);
	good = ftruncate(fd, 0) == 0 && good;
	close(fd);
	return good;
}
