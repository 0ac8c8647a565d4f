/* The key server's store in an SQLite file. */
#include "adapters/keyserver_sqlite/keyserver_sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "adapters/common_sqlite/sqlite_file.h"
#include "adapters/keyserver_sqlite/audit.h"
#include "base/wipe.h"
#include "wire/cbor.h"

enum { ITEM_SALT_LEN = 16, TAG_LEN = 16, OVERHEAD = ITEM_SALT_LEN + TAG_LEN, AAD_MAX = 128, VALUE_MAX = 1 << 20 };

enum statement { PUT, REMOVE, GET, EACH_OF_GROUP, EACH, STATEMENTS };

static const char *const sql[STATEMENTS] = {
	[PUT] = "INSERT OR REPLACE INTO item (kind, grp, a, b, value) VALUES (?1, ?2, ?3, ?4, ?5)",
	[REMOVE] = "DELETE FROM item WHERE kind = ?1 AND grp = ?2 AND a = ?3 AND b = ?4",
	[GET] = "SELECT value FROM item WHERE kind = ?1 AND grp = ?2 AND a = ?3 AND b = ?4",
	[EACH_OF_GROUP] = "SELECT grp, a, b, value FROM item WHERE kind = ?1 AND grp = ?2 ORDER BY a, b",
	[EACH] = "SELECT grp, a, b, value FROM item WHERE kind = ?1 ORDER BY grp, a, b",
};

static const char schema[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE item (kind INTEGER NOT NULL, grp TEXT NOT NULL, a INTEGER NOT NULL, b INTEGER NOT NULL,"
    " value BLOB NOT NULL, PRIMARY KEY (kind, grp, a, b)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE audit (number INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, what TEXT NOT NULL, who TEXT NOT NULL,"
    " grp TEXT NOT NULL, whom TEXT NOT NULL, outcome INTEGER NOT NULL, hash BLOB NOT NULL) STRICT;"
    "PRAGMA application_id = 1397575243;" /* "SMQK" */
    "PRAGMA user_version = 1;"
    "COMMIT";

static const char *const pragmas[] = { "PRAGMA busy_timeout = 5000",  "PRAGMA secure_delete = ON",
				       "PRAGMA journal_mode = WAL",   "PRAGMA synchronous = FULL",
				       "PRAGMA trusted_schema = OFF", NULL };

static const struct smq_sqlite_format format = { 1397575243, 1, schema, pragmas };

struct store {
	struct smq_keyserver_sqlite_config config;
	sqlite3 *db;
	int lock_fd;
	sqlite3_stmt *statements[STATEMENTS];
	uint8_t master[SMQ_KS_MASTER_KEY_LEN];
	struct smq_ks_audit audit;
	struct smq_ks_audit audit_before; /* as of the last commit */
};

/* ---- secrets at rest ---- */

static bool is_secret(enum smq_ks_item kind)
{
	return kind == SMQ_KS_ITEM_NODE || kind == SMQ_KS_ITEM_EPOCH || kind == SMQ_KS_ITEM_SLOTS;
}

/* A key of its own for every value written: HMAC(master, "sealmq1 item" || salt), so that no nonce ever matters. */
static smq_err item_aead(const struct store *s, const uint8_t salt[ITEM_SALT_LEN], smq_aead **ret_aead)
{
	uint8_t key[SMQ_HASH_LEN];
	smq_span parts[2] = { smq_span_str("sealmq1 item"), smq_span_of(salt, ITEM_SALT_LEN) };
	smq_err err = s->config.crypto->hmac_sha256(smq_span_of(s->master, sizeof(s->master)), parts, 2, key);
	if (err == SMQ_OK)
		err = s->config.crypto->aead_new(smq_aead_alg_by_id(SMQ_A256GCM), smq_span_of(key, sizeof(key)),
						 ret_aead);
	smq_wipe(key, sizeof(key));
	return err;
}

static smq_err item_aad(enum smq_ks_item kind, const char *group, uint64_t a, uint64_t b, uint8_t room[AAD_MAX],
			smq_span *ret_aad)
{
	struct smq_writer w = smq_writer_on(smq_mspan_of(room, AAD_MAX));
	size_t len = 0;
	smq_cbor_put_array(&w, 4);
	smq_cbor_put_uint(&w, kind);
	smq_cbor_put_text(&w, smq_span_str(group));
	smq_cbor_put_uint(&w, a);
	smq_cbor_put_uint(&w, b);
	smq_err err = smq_writer_end(&w, &len);
	*ret_aad = smq_span_of(room, len);
	return err;
}

static const uint8_t nonce[SMQ_AEAD_NONCE_MAX];

/* room: value.len + OVERHEAD */
static smq_err seal_item(const struct store *s, enum smq_ks_item kind, const char *group, uint64_t a, uint64_t b,
			 smq_span value, uint8_t *room)
{
	uint8_t aad_room[AAD_MAX];
	smq_span aad;
	smq_aead *aead = NULL;
	smq_err err = s->config.random->fill(s->config.random->self, smq_mspan_of(room, ITEM_SALT_LEN));
	if (err == SMQ_OK)
		err = item_aad(kind, group, a, b, aad_room, &aad);
	if (err == SMQ_OK)
		err = item_aead(s, room, &aead);
	if (err == SMQ_OK)
		err = s->config.crypto->aead_seal(aead, nonce, aad, value, room + ITEM_SALT_LEN);
	s->config.crypto->aead_free(aead);
	return err;
}

/* room: sealed.len. What does not open is damage: the master key was checked when the file was opened. */
static smq_err open_item(const struct store *s, enum smq_ks_item kind, const char *group, uint64_t a, uint64_t b,
			 smq_span sealed, uint8_t *room)
{
	uint8_t aad_room[AAD_MAX];
	smq_span aad;
	smq_aead *aead = NULL;
	if (sealed.len < OVERHEAD)
		return SMQ_ERR_CORRUPT;
	smq_err err = item_aad(kind, group, a, b, aad_room, &aad);
	if (err == SMQ_OK)
		err = item_aead(s, sealed.p, &aead);
	if (err == SMQ_OK)
		err = s->config.crypto->aead_open(
		    aead, nonce, aad, smq_span_of(sealed.p + ITEM_SALT_LEN, sealed.len - ITEM_SALT_LEN), room);
	s->config.crypto->aead_free(aead);
	return err == SMQ_ERR_OPEN ? SMQ_ERR_CORRUPT : err;
}

/* ---- the port ---- */

static smq_err op_begin(void *self)
{
	struct store *s = self;
	s->audit_before = s->audit;
	return smq_sqlite_exec(s->db, "BEGIN IMMEDIATE");
}

static void op_rollback(void *self)
{
	struct store *s = self;
	if (!smq_sqlite.get_autocommit(s->db))
		(void)!smq_sqlite_exec(s->db, "ROLLBACK");
	s->audit = s->audit_before;
}

static smq_err op_commit(void *self)
{
	struct store *s = self;
	smq_err err = smq_ks_audit_seal(&s->audit, s->config.own, s->config.unix_ms());
	if (err == SMQ_OK)
		err = smq_sqlite_exec(s->db, "COMMIT");
	if (err != SMQ_OK)
		op_rollback(s);
	return err;
}

static sqlite3_stmt *bind_key(struct store *s, enum statement which, enum smq_ks_item kind, const char *group,
			      uint64_t a, uint64_t b)
{
	sqlite3_stmt *st = s->statements[which];
	smq_sqlite.bind_int(st, 1, (int)kind);
	smq_sqlite.bind_text(st, 2, group, -1, SQLITE_STATIC);
	smq_sqlite.bind_int64(st, 3, (int64_t)a);
	smq_sqlite.bind_int64(st, 4, (int64_t)b);
	return st;
}

static smq_err finish(struct store *s, sqlite3_stmt *st)
{
	smq_err err = smq_sqlite_err(s->db, smq_sqlite.step(st));
	smq_sqlite.reset(st);
	smq_sqlite.clear_bindings(st);
	return err;
}

static smq_err op_put(void *self, enum smq_ks_item kind, const char *group, uint64_t a, uint64_t b, smq_span value)
{
	struct store *s = self;
	uint8_t *sealed = NULL;
	smq_err err = SMQ_OK;
	smq_span bytes = value;
	if (value.len > VALUE_MAX || a > INT64_MAX || b > INT64_MAX)
		return SMQ_ERR_TOO_LARGE;
	if (is_secret(kind)) {
		sealed = malloc(value.len + OVERHEAD);
		if (!sealed)
			return SMQ_ERR_NO_MEMORY;
		err = seal_item(s, kind, group, a, b, value, sealed);
		bytes = smq_span_of(sealed, value.len + OVERHEAD);
	}
	if (err == SMQ_OK) {
		sqlite3_stmt *st = bind_key(s, PUT, kind, group, a, b);
		smq_sqlite.bind_blob64(st, 5, bytes.len ? (const void *)bytes.p : "", bytes.len, SQLITE_STATIC);
		err = finish(s, st);
	}
	free(sealed);
	return err;
}

static smq_err op_remove(void *self, enum smq_ks_item kind, const char *group, uint64_t a, uint64_t b)
{
	struct store *s = self;
	return finish(s, bind_key(s, REMOVE, kind, group, a, b));
}

static smq_err hand_out(struct store *s, enum smq_ks_item kind, const char *group, uint64_t a, uint64_t b,
			smq_span value, void *context,
			smq_err (*take)(void *context, const char *group, uint64_t a, uint64_t b, smq_span value))
{
	if (!is_secret(kind))
		return take(context, group, a, b, value);
	uint8_t *plain = malloc(value.len + 1);
	if (!plain)
		return SMQ_ERR_NO_MEMORY;
	smq_err err = open_item(s, kind, group, a, b, value, plain);
	if (err == SMQ_OK)
		err = take(context, group, a, b, smq_span_of(plain, value.len - OVERHEAD));
	smq_wipe(plain, value.len);
	free(plain);
	return err;
}

static smq_err op_each(void *self, enum smq_ks_item kind, const char *group, void *context,
		       smq_err (*take)(void *context, const char *group, uint64_t a, uint64_t b, smq_span value))
{
	struct store *s = self;
	sqlite3_stmt *st = s->statements[group ? EACH_OF_GROUP : EACH];
	smq_err err = SMQ_OK;
	int rc = SQLITE_DONE;
	smq_sqlite.bind_int(st, 1, (int)kind);
	if (group)
		smq_sqlite.bind_text(st, 2, group, -1, SQLITE_STATIC);
	while (err == SMQ_OK && (rc = smq_sqlite.step(st)) == SQLITE_ROW) {
		smq_span value = smq_span_of(smq_sqlite.column_blob(st, 3), (size_t)smq_sqlite.column_bytes(st, 3));
		err = hand_out(s, kind, (const char *)smq_sqlite.column_text(st, 0),
			       (uint64_t)smq_sqlite.column_int64(st, 1), (uint64_t)smq_sqlite.column_int64(st, 2),
			       value, context, take);
	}
	if (err == SMQ_OK)
		err = smq_sqlite_err(s->db, rc);
	smq_sqlite.reset(st);
	smq_sqlite.clear_bindings(st);
	return err;
}

struct copy {
	smq_mspan room;
	size_t len;
};

static smq_err take_copy(void *context, const char *group, uint64_t a, uint64_t b, smq_span value)
{
	struct copy *c = context;
	(void)group;
	(void)a;
	(void)b;
	if (value.len > c->room.len)
		return SMQ_ERR_NO_ROOM;
	if (value.len > 0)
		memcpy(c->room.p, value.p, value.len);
	c->len = value.len;
	return SMQ_OK;
}

static smq_err op_get(void *self, enum smq_ks_item kind, const char *group, uint64_t a, uint64_t b, smq_mspan room,
		      size_t *ret_len)
{
	struct store *s = self;
	struct copy c = { room, 0 };
	sqlite3_stmt *st = bind_key(s, GET, kind, group, a, b);
	int rc = smq_sqlite.step(st);
	smq_err err = rc == SQLITE_DONE ? SMQ_ERR_NOT_FOUND : smq_sqlite_err(s->db, rc);
	if (rc == SQLITE_ROW) {
		smq_span value = smq_span_of(smq_sqlite.column_blob(st, 0), (size_t)smq_sqlite.column_bytes(st, 0));
		err = hand_out(s, kind, group, a, b, value, &c, take_copy);
	}
	smq_sqlite.reset(st);
	smq_sqlite.clear_bindings(st);
	if (err == SMQ_OK)
		*ret_len = c.len;
	return err;
}

static smq_err op_audit(void *self, const char *what, const char *who, const char *group, const char *whom,
			smq_err outcome)
{
	struct store *s = self;
	struct smq_ks_audit_line line = { .time_ms = s->config.unix_ms(),
					  .what = what,
					  .who = who ? who : "",
					  .group = group ? group : "",
					  .whom = whom ? whom : "",
					  .outcome = outcome };
	return smq_ks_audit_append(&s->audit, &line);
}

static void op_free(void *self)
{
	struct store *s = self;
	for (int i = 0; i < STATEMENTS; i++)
		smq_sqlite.finalize(s->statements[i]);
	smq_sqlite.close(s->db);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	smq_wipe(s, sizeof(*s));
	free(s);
}

/* ---- opening ---- */

/* Held for as long as the store is open; goes with the process. */
static smq_err take_lock(struct store *s)
{
	char path[PATH_MAX];
	if (snprintf(path, sizeof(path), "%s.lock", s->config.path) >= (int)sizeof(path))
		return SMQ_ERR_TOO_LARGE;
	s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->lock_fd < 0)
		return errno == EACCES ? SMQ_ERR_PERMISSION : errno == ELOOP ? SMQ_ERR_UNSAFE_FILE : SMQ_ERR_IO;
	return flock(s->lock_fd, LOCK_EX | LOCK_NB) == 0 ? SMQ_OK : SMQ_ERR_LOCKED;
}

/* Of at most `most` bytes. */
static smq_err get_meta_text(struct store *s, const char *name, uint8_t *room, size_t most, size_t *ret_len)
{
	sqlite3_stmt *st;
	int rc = smq_sqlite.prepare_v2(s->db, "SELECT value FROM meta WHERE name = ?1", -1, &st, NULL);
	if (rc != SQLITE_OK)
		return smq_sqlite_err(s->db, rc);
	smq_sqlite.bind_text(st, 1, name, -1, SQLITE_STATIC);
	rc = smq_sqlite.step(st);
	smq_err err = rc == SQLITE_DONE ? SMQ_ERR_NOT_FOUND : smq_sqlite_err(s->db, rc);
	size_t len = rc == SQLITE_ROW ? (size_t)smq_sqlite.column_bytes(st, 0) : 0;
	if (len > most)
		err = SMQ_ERR_CORRUPT;
	if (len > 0 && err == SMQ_OK)
		memcpy(room, smq_sqlite.column_blob(st, 0), len);
	smq_sqlite.finalize(st);
	*ret_len = len;
	return err;
}

static smq_err get_meta(struct store *s, const char *name, uint8_t *room, size_t len)
{
	size_t got = 0;
	smq_err err = get_meta_text(s, name, room, len, &got);
	return err == SMQ_OK && got != len ? SMQ_ERR_CORRUPT : err;
}

static smq_err put_meta(struct store *s, const char *name, const uint8_t *bytes, size_t len)
{
	sqlite3_stmt *st;
	int rc = smq_sqlite.prepare_v2(s->db, "INSERT INTO meta (name, value) VALUES (?1, ?2)", -1, &st, NULL);
	if (rc != SQLITE_OK)
		return smq_sqlite_err(s->db, rc);
	smq_sqlite.bind_text(st, 1, name, -1, SQLITE_STATIC);
	smq_sqlite.bind_blob(st, 2, bytes, (int)len, SQLITE_STATIC);
	smq_err err = smq_sqlite_err(s->db, smq_sqlite.step(st));
	smq_sqlite.finalize(st);
	return err;
}

/* The lock's bolt: a value that only the right master key makes. */
static smq_err verifier(const struct store *s, uint8_t ret_mac[SMQ_HASH_LEN])
{
	smq_span part = smq_span_str("sealmq1 master key");
	return s->config.crypto->hmac_sha256(smq_span_of(s->master, sizeof(s->master)), &part, 1, ret_mac);
}

/* The file may say where its master key comes from. */
static smq_err get_source(struct store *s)
{
	char text[SMQ_KS_SOURCE_MAX];
	size_t len = 0;
	smq_err err = get_meta_text(s, "source", (uint8_t *)text, sizeof(text) - 1, &len);
	if (err == SMQ_ERR_NOT_FOUND)
		err = SMQ_OK;
	if (err != SMQ_OK || !s->config.source)
		return err == SMQ_OK && len > 0 ? SMQ_ERR_OPEN : err;
	memcpy(s->config.source, text, len);
	s->config.source[len] = 0;
	return SMQ_OK;
}

static smq_err put_source(struct store *s)
{
	const char *source = s->config.source;
	return source && *source ? put_meta(s, "source", (const uint8_t *)source, strlen(source)) : SMQ_OK;
}

static smq_err unlock(struct store *s)
{
	uint8_t salt[SMQ_KS_SALT_LEN], mac[SMQ_HASH_LEN], kept[SMQ_HASH_LEN];
	smq_err err = get_meta(s, "salt", salt, sizeof(salt));
	bool fresh = err == SMQ_ERR_NOT_FOUND && s->config.create;
	if (fresh)
		err = s->config.random->fill(s->config.random->self, smq_mspan_of(salt, sizeof(salt)));
	if (err == SMQ_OK && !fresh)
		err = get_source(s);
	if (err == SMQ_OK)
		err = s->config.derive(s->config.self, salt, s->master);
	if (err == SMQ_OK)
		err = verifier(s, mac);
	if (err != SMQ_OK)
		return err;
	if (fresh) {
		err = op_begin(s);
		if (err == SMQ_OK)
			err = put_meta(s, "salt", salt, sizeof(salt));
		if (err == SMQ_OK)
			err = put_meta(s, "verifier", mac, sizeof(mac));
		if (err == SMQ_OK)
			err = put_source(s);
		return err == SMQ_OK ? op_commit(s) : err;
	}
	err = get_meta(s, "verifier", kept, sizeof(kept));
	return err == SMQ_OK && !smq_equal_ct(mac, kept, sizeof(mac)) ? SMQ_ERR_OPEN : err;
}

static smq_err prepare(struct store *s)
{
	for (int i = 0; i < STATEMENTS; i++) {
		int rc = smq_sqlite.prepare_v3(s->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &s->statements[i], NULL);
		if (rc != SQLITE_OK)
			return smq_sqlite_err(s->db, rc);
	}
	return SMQ_OK;
}

static smq_err limit_pages(struct store *s)
{
	char text[64];
	if (s->config.pages_max == 0)
		return SMQ_OK;
	snprintf(text, sizeof(text), "PRAGMA max_page_count = %d", s->config.pages_max);
	return smq_sqlite_exec(s->db, text);
}

static smq_err open_store(struct store *s)
{
	bool there = access(s->config.path, F_OK) == 0;
	smq_err err = s->config.only_read ? SMQ_OK : take_lock(s);
	if (err == SMQ_OK && s->config.create && there)
		err = SMQ_ERR_EXISTS;
	if (err == SMQ_OK)
		err = smq_sqlite_open(s->config.path, s->config.create, &format, &s->db);
	if (err == SMQ_OK)
		err = limit_pages(s);
	if (err == SMQ_OK && s->config.only_read)
		err = smq_sqlite_exec(s->db, "PRAGMA query_only = ON");
	if (err == SMQ_OK)
		err = smq_sqlite_check(s->db);
	if (err == SMQ_OK)
		err = unlock(s);
	if (err == SMQ_OK)
		err = prepare(s);
	if (err == SMQ_OK)
		err = smq_ks_audit_open(&s->audit, s->db, s->config.crypto);
	return err;
}

smq_err smq_keyserver_sqlite_open(const struct smq_keyserver_sqlite_config *config, struct smq_ks_store *ret_store)
{
	smq_err err = smq_sqlite_load();
	if (err != SMQ_OK)
		return err;
	struct store *s = calloc(1, sizeof(*s));
	if (!s)
		return SMQ_ERR_NO_MEMORY;
	s->config = *config;
	s->lock_fd = -1;
	err = open_store(s);
	if (err != SMQ_OK) {
		op_free(s);
		return err;
	}
	*ret_store = (struct smq_ks_store){ .self = s,
					    .begin = op_begin,
					    .commit = op_commit,
					    .rollback = op_rollback,
					    .put = op_put,
					    .remove = op_remove,
					    .each = op_each,
					    .get = op_get,
					    .audit = op_audit,
					    .free = op_free };
	return SMQ_OK;
}

/* ---- copies and checks ---- */

static smq_err open_plain(const char *path, sqlite3 **ret_db)
{
	sqlite3 *db = NULL;
	smq_err err = smq_sqlite_load();
	if (err != SMQ_OK)
		return err;
	err = smq_sqlite_err(NULL, smq_sqlite.open_v2(path, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOFOLLOW, NULL));
	int64_t application = 0;
	if (err == SMQ_OK)
		err = smq_sqlite_exec(db, "PRAGMA busy_timeout = 5000");
	if (err == SMQ_OK)
		err = smq_sqlite_number(db, "PRAGMA application_id", &application);
	if (err == SMQ_OK && application != format.application_id)
		err = SMQ_ERR_CORRUPT;
	if (err != SMQ_OK)
		smq_sqlite.close(db);
	else
		*ret_db = db;
	return err;
}

smq_err smq_keyserver_sqlite_check(const char *path)
{
	sqlite3 *db;
	if (access(path, F_OK) != 0)
		return errno == EACCES ? SMQ_ERR_PERMISSION : SMQ_ERR_NOT_FOUND;
	smq_err err = open_plain(path, &db);
	if (err != SMQ_OK)
		return err;
	err = smq_sqlite_check(db);
	smq_sqlite.close(db);
	return err;
}

static smq_err copy_to(sqlite3 *from, const char *to)
{
	sqlite3 *db = NULL;
	smq_err err =
	    smq_sqlite_err(NULL, smq_sqlite.open_v2(to, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW, NULL));
	sqlite3_backup *b = err == SMQ_OK ? smq_sqlite.backup_init(db, "main", from, "main") : NULL;
	if (err == SMQ_OK && !b)
		err = SMQ_ERR_STORE;
	if (b) {
		int rc = smq_sqlite.backup_step(b, -1);
		int finished = smq_sqlite.backup_finish(b);
		err = smq_sqlite_err(db, rc == SQLITE_DONE ? finished : rc);
	}
	if (err == SMQ_OK)
		err = smq_sqlite_exec(db, "PRAGMA journal_mode = DELETE"); /* one file, to be carried away */
	int rc = smq_sqlite.close(db);
	return err == SMQ_OK ? smq_sqlite_err(NULL, rc) : err;
}

smq_err smq_keyserver_sqlite_backup(const char *path, const char *to)
{
	sqlite3 *db;
	if (access(path, F_OK) != 0)
		return errno == EACCES ? SMQ_ERR_PERMISSION : SMQ_ERR_NOT_FOUND;
	smq_err err = open_plain(path, &db);
	if (err != SMQ_OK)
		return err;
	int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		err = errno == EEXIST ? SMQ_ERR_EXISTS : errno == ENOSPC ? SMQ_ERR_DISK_FULL : SMQ_ERR_IO;
	else
		err = copy_to(db, to);
	if (fd >= 0 && err == SMQ_OK && fsync(fd) != 0)
		err = SMQ_ERR_IO;
	if (fd >= 0)
		close(fd);
	if (fd >= 0 && err != SMQ_OK)
		unlink(to);
	smq_sqlite.close(db);
	return err;
}
