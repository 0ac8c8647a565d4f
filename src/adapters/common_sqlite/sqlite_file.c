/* An SQLite file of ours. */
#include "sqlite_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/err_errno.h"

smq_err smq_sqlite_err(sqlite3 *db, int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_DONE:
	case SQLITE_ROW:
		return SMQ_OK;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return SMQ_ERR_LOCKED;
	case SQLITE_FULL:
		return SMQ_ERR_DISK_FULL;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return SMQ_ERR_CORRUPT;
	case SQLITE_PERM:
	case SQLITE_READONLY:
	case SQLITE_AUTH:
		return SMQ_ERR_PERMISSION;
	case SQLITE_NOMEM:
		return SMQ_ERR_NO_MEMORY;
	case SQLITE_TOOBIG:
		return SMQ_ERR_TOO_LARGE;
	case SQLITE_CANTOPEN:
	case SQLITE_IOERR: {
		int number = db ? smq_sqlite.system_errno(db) : 0;
		if (number == ENOSPC || number == EDQUOT || number == EFBIG)
			return SMQ_ERR_DISK_FULL;
		return number == EACCES ? SMQ_ERR_PERMISSION : number == ENOENT ? SMQ_ERR_NOT_FOUND : SMQ_ERR_IO;
	}
	default:
		return SMQ_ERR_STORE;
	}
}

/* ---- the file ---- */

/* Creates it with our mode, or looks at what is there. SQLite opens it by name afterwards; whoever can swap it in
 * between owns the directory and with it everything in it. */
static smq_err prepare_file(const char *path, bool create)
{
	struct stat st;
	smq_err err = SMQ_OK;
	int fd = open(path, O_RDWR | (create ? O_CREAT : 0) | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
	if (fd < 0)
		return smq_err_of_errno(errno);
	if (fstat(fd, &st) != 0)
		err = smq_err_of_errno(errno);
	else if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) != 0)
		err = SMQ_ERR_UNSAFE_FILE;
	close(fd);
	return err;
}

smq_err smq_sqlite_exec(sqlite3 *db, const char *text)
{
	return smq_sqlite_err(db, smq_sqlite.exec(db, text, NULL, NULL, NULL));
}

smq_err smq_sqlite_number(sqlite3 *db, const char *text, int64_t *ret_number)
{
	sqlite3_stmt *s;
	int rc = smq_sqlite.prepare_v2(db, text, -1, &s, NULL);
	if (rc != SQLITE_OK)
		return smq_sqlite_err(db, rc);
	rc = smq_sqlite.step(s);
	if (rc == SQLITE_ROW)
		*ret_number = smq_sqlite.column_int64(s, 0);
	smq_err err = rc == SQLITE_ROW ? SMQ_OK : rc == SQLITE_DONE ? SMQ_ERR_CORRUPT : smq_sqlite_err(db, rc);
	smq_sqlite.finalize(s);
	return err;
}

/* ---- opening ---- */

static smq_err check_or_create_schema(sqlite3 *db, const struct smq_sqlite_format *f)
{
	int64_t application = 0, version = 0, tables = 0;
	smq_err err = smq_sqlite_number(db, "PRAGMA application_id", &application);
	if (!err)
		err = smq_sqlite_number(db, "PRAGMA user_version", &version);
	if (!err)
		err = smq_sqlite_number(db, "SELECT count(*) FROM sqlite_schema", &tables);
	if (err)
		return err;
	if (application == 0 && version == 0 && tables == 0)
		return smq_sqlite_exec(db, f->schema);
	if (application != f->application_id)
		return SMQ_ERR_CORRUPT;
	return version == f->version ? SMQ_OK : SMQ_ERR_VERSION;
}

smq_err smq_sqlite_open(const char *path, bool create, const struct smq_sqlite_format *f, sqlite3 **ret_db)
{
	sqlite3 *db = NULL;
	smq_err err = prepare_file(path, create);
	if (err)
		return err;
	int rc =
	    smq_sqlite.open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);
	err = smq_sqlite_err(db, rc);
	for (size_t i = 0; !err && f->pragmas[i]; i++)
		err = smq_sqlite_exec(db, f->pragmas[i]);
	if (!err)
		err = check_or_create_schema(db, f);
	if (err)
		smq_sqlite.close(db);
	else
		*ret_db = db;
	return err;
}

static int note_check(void *self, int columns, char **values, char **names)
{
	bool *good = self;
	(void)names;
	*good = columns == 1 && values[0] && strcmp(values[0], "ok") == 0;
	return 0;
}

smq_err smq_sqlite_check(sqlite3 *db)
{
	bool good = false;
	smq_err err = smq_sqlite_err(db, smq_sqlite.exec(db, "PRAGMA quick_check(1)", note_check, &good, NULL));
	return err || good ? err : SMQ_ERR_CORRUPT;
}
