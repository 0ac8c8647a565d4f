/* The record store port in an SQLite file. */
#include "records_sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/common_sqlite/sqlite_file.h"
#include "app/id_cache.h"
#include "app/record_sql.h"
#include "app/err_errno.h"
#include "base/table.h"

#define APPLICATION_ID 1397575250 /* "SMQR" */
#define BUSY_MS 10000
/* Pages of the log before it is written back into the file: a few MiB more than the default, for fewer syncs. */
#define CHECKPOINT_PAGES "8192"
#define CACHED_MAX 100000
#define BOOT_ID_LEN 16

enum statement {
	BEGIN,
	COMMIT,
	ROLLBACK,
	ADD_SENDER,
	GET_SENDER,
	ADD_TOPIC,
	GET_TOPIC,
	ADD_TYPE,
	GET_TYPE,
	ADD_LIFE,
	GET_LIFE,
	ADD_READING,
	ADD_REFUSED,
	PROVEN,
	UNPROVEN,
	REMOVE,
	STATEMENTS
};

static const char *const sql[STATEMENTS] = {
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[ADD_SENDER] = "INSERT INTO senders (name) VALUES (?1)",
	[GET_SENDER] = "SELECT id FROM senders WHERE name = ?1",
	[ADD_TOPIC] = "INSERT INTO topics (name) VALUES (?1)",
	[GET_TOPIC] = "SELECT id FROM topics WHERE name = ?1",
	[ADD_TYPE] = "INSERT INTO types (name, unit) VALUES (?1, ?2)",
	[GET_TYPE] = "SELECT id FROM types WHERE name = ?1",
	[ADD_LIFE] = "INSERT INTO lives (sender_id, group_name, epoch, slot, boot_id) VALUES (?1, ?2, ?3, ?4, ?5)",
	[GET_LIFE] = "SELECT id FROM lives WHERE sender_id = ?1 AND group_name = ?2 AND epoch = ?3 AND slot = ?4"
		     " AND boot_id = ?5",
	[ADD_READING] = "INSERT INTO readings (life_id, counter, part, topic_id, type_id, measured_ms, received_ms,"
			" value, value_text, proof, raw) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
			" ON CONFLICT DO NOTHING",
	[ADD_REFUSED] = "INSERT INTO quarantine (received_ms, sender, topic, reason, detail, group_name, epoch, slot,"
			" boot_id, counter, times, raw) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
			" ON CONFLICT DO NOTHING",
};

enum { NAMES = 3 }; /* senders, topics, types */

struct records {
	sqlite3 *db;
	sqlite3_stmt *statements[STATEMENTS];
	sqlite3_stmt *keeps[SMQ_KEPT_KINDS];
	bool begun;
	struct smq_record_committed batch;
	struct smq_id_cache names[NAMES], lives;
	char why[160];
};

/* ---- errors ---- */

/* Keeps SQLite's words for it; they name tables and files, no values. */
static smq_err told(struct records *r, int rc)
{
	smq_err err = smq_sqlite_err(r->db, rc);
	if (err != SMQ_OK)
		snprintf(r->why, sizeof(r->why), "%s", r->db ? smq_sqlite.errmsg(r->db) : smq_sqlite.errstr(rc));
	return err;
}

/* ---- statements ---- */

/* Runs it to its end; true in *ret_row where it answered with a number. */
static smq_err run(struct records *r, enum statement which, bool *ret_row, int64_t *ret_number)
{
	sqlite3_stmt *s = r->statements[which];
	int rc = smq_sqlite.step(s);
	bool row = rc == SQLITE_ROW;
	if (row && ret_number)
		*ret_number = smq_sqlite.column_int64(s, 0);
	smq_err err = told(r, rc);
	smq_sqlite.reset(s);
	smq_sqlite.clear_bindings(s);
	if (err == SMQ_OK && ret_row)
		*ret_row = row;
	return err;
}

static smq_err exec(struct records *r, const char *text)
{
	return told(r, smq_sqlite.exec(r->db, text, NULL, NULL, NULL));
}

static void bind_text(sqlite3_stmt *s, int at, smq_span text)
{
	smq_sqlite.bind_text64(s, at, text.len ? (const char *)text.p : "", text.len, SQLITE_STATIC, SQLITE_UTF8);
}

static void bind_bytes(sqlite3_stmt *s, int at, smq_span bytes)
{
	smq_sqlite.bind_blob64(s, at, bytes.len ? (const void *)bytes.p : "", bytes.len, SQLITE_STATIC);
}

static smq_err begin(struct records *r)
{
	if (r->begun)
		return SMQ_OK;
	smq_err err = run(r, BEGIN, NULL, NULL);
	r->begun = err == SMQ_OK;
	return err;
}

/* ---- numbers of names and lives ---- */

/* get and add are bound alike but for what only add takes (from parameter `shared` + 1 on). */
static smq_err number_of(struct records *r, struct smq_id_cache *cache, smq_span key, enum statement add,
			 void (*bind)(sqlite3_stmt *s, const void *what, bool adds), const void *what, int64_t *ret_id)
{
	bool found = false;
	if (smq_id_cache_find(cache, key, ret_id))
		return SMQ_OK;
	enum statement get = (enum statement)(add + 1);
	bind(r->statements[get], what, false);
	smq_err err = run(r, get, &found, ret_id);
	if (err == SMQ_OK && !found) {
		bind(r->statements[add], what, true);
		err = run(r, add, NULL, NULL);
		*ret_id = smq_sqlite.last_insert_rowid(r->db);
	}
	if (err == SMQ_OK)
		smq_id_cache_put(cache, key, *ret_id);
	return err;
}

static void bind_name(sqlite3_stmt *s, const void *what, bool adds)
{
	(void)adds;
	bind_text(s, 1, *(const smq_span *)what);
}

static void bind_type(sqlite3_stmt *s, const void *what, bool adds)
{
	const struct smq_record_reading *reading = what;
	bind_text(s, 1, reading->type);
	if (adds)
		bind_text(s, 2, reading->unit);
}

static smq_err number_of_name(struct records *r, int which, enum statement add, const char *name, int64_t *ret_id)
{
	smq_span text = smq_span_str(name);
	return number_of(r, &r->names[which], text, add, bind_name, &text, ret_id);
}

struct life {
	int64_t sender;
	const struct smq_record_key *key;
};

static void bind_life(sqlite3_stmt *s, const void *what, bool adds)
{
	const struct life *l = what;
	(void)adds;
	smq_sqlite.bind_int64(s, 1, l->sender);
	bind_text(s, 2, smq_span_str(l->key->group));
	smq_sqlite.bind_int64(s, 3, (int64_t)l->key->epoch);
	smq_sqlite.bind_int64(s, 4, (int64_t)l->key->slot);
	bind_bytes(s, 5, smq_span_of(l->key->boot_id, BOOT_ID_LEN));
}

static smq_err number_of_life(struct records *r, const struct smq_record_key *key, int64_t *ret_id)
{
	struct life l = { .key = key };
	uint8_t text[24 + BOOT_ID_LEN + 65];
	size_t group_len = strnlen(key->group, 64);
	smq_err err = number_of_name(r, 0, ADD_SENDER, key->sender, &l.sender);
	if (err != SMQ_OK)
		return err;
	memcpy(text, &l.sender, 8);
	memcpy(text + 8, &key->epoch, 8);
	memcpy(text + 16, &key->slot, 8);
	memcpy(text + 24, key->boot_id, BOOT_ID_LEN);
	memcpy(text + 24 + BOOT_ID_LEN, key->group, group_len);
	return number_of(r, &r->lives, smq_span_of(text, 24 + BOOT_ID_LEN + group_len), ADD_LIFE, bind_life, &l,
			 ret_id);
}

/* ---- rows ---- */

static void bind_reading(sqlite3_stmt *s, const struct smq_record_reading *reading, int64_t type)
{
	if (!reading)
		return;
	smq_sqlite.bind_int64(s, 5, type);
	if (reading->is_text)
		bind_text(s, 9, reading->text);
	else
		smq_sqlite.bind_double(s, 8, reading->value);
}

/* Part 0 carries the raw record; where it was there before, so were the others. */
static smq_err add_part(struct records *r, const struct smq_record_row *row, int64_t life, int64_t topic, size_t part,
			bool *ret_new)
{
	sqlite3_stmt *s = r->statements[ADD_READING];
	const struct smq_record_reading *reading = part < row->reading_count ? &row->readings[part] : NULL;
	int64_t type = 0;
	smq_err err = SMQ_OK;
	if (reading)
		err = number_of(r, &r->names[2], reading->type, ADD_TYPE, bind_type, reading, &type);
	if (err != SMQ_OK)
		return err;
	smq_sqlite.bind_int64(s, 1, life);
	smq_sqlite.bind_int64(s, 2, (int64_t)row->key.counter);
	smq_sqlite.bind_int64(s, 3, (int64_t)part);
	smq_sqlite.bind_int64(s, 4, topic);
	bind_reading(s, reading, type);
	smq_sqlite.bind_int64(s, 6, row->measured_ms);
	smq_sqlite.bind_int64(s, 7, row->received_ms);
	smq_sqlite.bind_int(s, 10, (int)row->proof);
	if (part == 0)
		bind_bytes(s, 11, row->raw);
	err = run(r, ADD_READING, NULL, NULL);
	*ret_new = err == SMQ_OK && smq_sqlite.changes(r->db) == 1;
	return err;
}

static smq_err op_add(void *self, const struct smq_record_row *row)
{
	struct records *r = self;
	int64_t life, topic;
	bool is_new = true;
	smq_err err = begin(r);
	if (err == SMQ_OK)
		err = number_of_life(r, &row->key, &life);
	if (err == SMQ_OK)
		err = number_of_name(r, 1, ADD_TOPIC, row->topic, &topic);
	size_t parts = row->reading_count > 0 ? row->reading_count : 1;
	for (size_t part = 0; part < parts && err == SMQ_OK && is_new; part++)
		err = add_part(r, row, life, topic, part, &is_new);
	if (err == SMQ_OK && is_new)
		r->batch.stored++;
	else if (err == SMQ_OK)
		r->batch.repeated++;
	return err;
}

static smq_err op_refuse(void *self, const struct smq_record_refused *f)
{
	struct records *r = self;
	sqlite3_stmt *s = r->statements[ADD_REFUSED];
	smq_err err = begin(r);
	if (err != SMQ_OK)
		return err;
	smq_sqlite.bind_int64(s, 1, f->received_ms);
	bind_text(s, 2, smq_span_str(f->key.sender));
	bind_text(s, 3, smq_span_str(f->topic));
	bind_text(s, 4, smq_span_str(f->reason));
	bind_text(s, 5, smq_span_str(f->detail));
	if (f->key.boot_id) {
		bind_text(s, 6, smq_span_str(f->key.group));
		smq_sqlite.bind_int64(s, 7, (int64_t)f->key.epoch);
		smq_sqlite.bind_int64(s, 8, (int64_t)f->key.slot);
		bind_bytes(s, 9, smq_span_of(f->key.boot_id, BOOT_ID_LEN));
		smq_sqlite.bind_int64(s, 10, (int64_t)f->key.counter);
		bind_bytes(s, 12, f->raw);
	}
	smq_sqlite.bind_int64(s, 11, (int64_t)f->times);
	err = run(r, ADD_REFUSED, NULL, NULL);
	if (err == SMQ_OK && f->key.boot_id && smq_sqlite.changes(r->db) == 1)
		r->batch.quarantined++;
	else if (err == SMQ_OK && f->key.boot_id)
		r->batch.repeated++;
	return err;
}

static void bind_named(sqlite3_stmt *s, const char *name, const char *text)
{
	int at = smq_sqlite.bind_parameter_index(s, name);
	if (at > 0)
		smq_sqlite.bind_text(s, at, text ? text : "", -1, SQLITE_STATIC);
}

static void bind_named_number(sqlite3_stmt *s, const char *name, int64_t number)
{
	int at = smq_sqlite.bind_parameter_index(s, name);
	if (at > 0)
		smq_sqlite.bind_int64(s, at, number);
}

static smq_err op_prove(void *self, const struct smq_record_key *key, const char *reason)
{
	static const enum statement good[] = { PROVEN }, bad[] = { UNPROVEN, REMOVE };
	struct records *r = self;
	const enum statement *steps = reason ? bad : good;
	int64_t life;
	smq_err err = begin(r);
	if (err == SMQ_OK)
		err = number_of_life(r, key, &life);
	for (size_t i = 0; i < (reason ? SMQ_COUNT(bad) : SMQ_COUNT(good)) && err == SMQ_OK; i++) {
		sqlite3_stmt *s = r->statements[steps[i]];
		bind_named_number(s, "$1", life);
		bind_named_number(s, "$2", (int64_t)key->counter);
		bind_named(s, "$3", reason);
		err = run(r, steps[i], NULL, NULL);
		if (err == SMQ_OK && steps[i] == UNPROVEN)
			r->batch.quarantined += (uint64_t)smq_sqlite.changes(r->db);
	}
	return err;
}

static void bind_value(sqlite3_stmt *s, const char *name, const struct smq_record_value *v)
{
	int at = smq_sqlite.bind_parameter_index(s, name);
	if (v->kind == SMQ_VALUE_NUMBER)
		smq_sqlite.bind_int64(s, at, v->number);
	else if (v->kind == SMQ_VALUE_TEXT)
		bind_text(s, at, v->bytes);
	else if (v->kind == SMQ_VALUE_BYTES)
		bind_bytes(s, at, v->bytes);
}

static smq_err op_keep(void *self, enum smq_record_kept what, const struct smq_record_key *life,
		       const struct smq_record_value *values, size_t count)
{
	static const char *const names[SMQ_KEPT_VALUES_MAX] = { "$1", "$2", "$3", "$4", "$5", "$6", "$7", "$8" };
	struct records *r = self;
	sqlite3_stmt *s = r->keeps[what];
	int64_t number;
	size_t at = 0;
	smq_err err = begin(r);
	if (err == SMQ_OK && life)
		err = number_of_life(r, life, &number);
	if (err != SMQ_OK)
		return err;
	if (life)
		bind_named_number(s, names[at++], number);
	for (size_t i = 0; i < count; i++)
		bind_value(s, names[at++], &values[i]);
	err = told(r, smq_sqlite.step(s));
	smq_sqlite.reset(s);
	smq_sqlite.clear_bindings(s);
	return err;
}

/* A transaction that failed may be gone already; numbers given out in it are void. */
static void op_abandon(void *self)
{
	struct records *r = self;
	if (!smq_sqlite.get_autocommit(r->db))
		smq_sqlite.exec(r->db, "ROLLBACK", NULL, NULL, NULL);
	r->begun = false;
	r->batch = (struct smq_record_committed){ 0 };
	for (int i = 0; i < NAMES; i++)
		smq_id_cache_clear(&r->names[i]);
	smq_id_cache_clear(&r->lives);
}

static smq_err op_commit(void *self, struct smq_record_committed *ret_committed)
{
	struct records *r = self;
	smq_err err = r->begun ? run(r, COMMIT, NULL, NULL) : SMQ_OK;
	if (err != SMQ_OK) {
		op_abandon(r);
		return err;
	}
	*ret_committed = r->batch;
	r->batch = (struct smq_record_committed){ 0 };
	r->begun = false;
	return SMQ_OK;
}

/* ---- queries ---- */

static void read_cell(sqlite3_stmt *s, int i, struct smq_record_cell *c)
{
	if (smq_sqlite.column_type(s, i) == SQLITE_NULL) {
		c->kind = SMQ_CELL_NULL;
	} else if (c->kind == SMQ_CELL_INTEGER || c->kind == SMQ_CELL_TIME) {
		c->integer = smq_sqlite.column_int64(s, i);
	} else if (c->kind == SMQ_CELL_REAL) {
		c->real = smq_sqlite.column_double(s, i);
	} else {
		const void *p = smq_sqlite.column_blob(s, i);
		c->text = smq_span_of(p, (size_t)smq_sqlite.column_bytes(s, i));
	}
}

static bool hand_out(sqlite3_stmt *s, enum smq_record_question question, smq_record_row_fn on_row, void *self)
{
	struct smq_record_cell cells[SMQ_RECORD_COLUMNS_MAX] = { 0 };
	size_t count = smq_record_column_count(question);
	for (size_t i = 0; i < count; i++) {
		cells[i].column = smq_record_column_name(question, i);
		cells[i].kind = smq_record_column_kind(question, i);
		read_cell(s, (int)i, &cells[i]);
	}
	return on_row(self, cells, count);
}

static smq_err op_query(void *self, const struct smq_record_query *q, smq_record_row_fn on_row, void *row_self)
{
	struct records *r = self;
	sqlite3_stmt *s;
	int rc = smq_sqlite.prepare_v2(r->db, smq_record_question_sql(q->question), -1, &s, NULL);
	if (rc != SQLITE_OK)
		return told(r, rc);
	bind_named(s, "$1", q->sender);
	bind_named(s, "$2", q->type);
	bind_named(s, "$3", q->topic);
	bind_named_number(s, "$4", q->from_ms);
	bind_named_number(s, "$5", q->to_ms);
	bind_named_number(s, "$6", q->limit ? (int64_t)q->limit : INT64_MAX);
	while ((rc = smq_sqlite.step(s)) == SQLITE_ROW && hand_out(s, q->question, on_row, row_self))
		;
	smq_err err = told(r, rc);
	smq_sqlite.finalize(s);
	return err;
}

static const char *op_why(void *self)
{
	const struct records *r = self;
	return r->why;
}

static void op_free(void *self)
{
	struct records *r = self;
	if (!r)
		return;
	if (r->db)
		op_abandon(r);
	for (int i = 0; i < STATEMENTS; i++)
		smq_sqlite.finalize(r->statements[i]);
	for (int i = 0; i < SMQ_KEPT_KINDS; i++)
		smq_sqlite.finalize(r->keeps[i]);
	smq_sqlite.close(r->db);
	free(r);
}

/* ---- opening ---- */

/* Made with our mode; one that is there keeps the mode its owner gave it, so that others may be let in to read. */
static smq_err prepare_file(const char *path, bool writes)
{
	struct stat st;
	smq_err err = SMQ_OK;
	int fd = open(path, (writes ? O_RDWR | O_CREAT : O_RDONLY) | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
	if (fd < 0)
		return smq_err_of_errno(errno);
	if (fstat(fd, &st) != 0)
		err = smq_err_of_errno(errno);
	else if (!S_ISREG(st.st_mode) || (st.st_mode & 022) != 0)
		err = SMQ_ERR_UNSAFE_FILE;
	close(fd);
	return err;
}

static smq_err number(struct records *r, const char *text, int64_t *ret_number)
{
	sqlite3_stmt *s;
	int rc = smq_sqlite.prepare_v2(r->db, text, -1, &s, NULL);
	if (rc != SQLITE_OK)
		return told(r, rc);
	rc = smq_sqlite.step(s);
	if (rc == SQLITE_ROW)
		*ret_number = smq_sqlite.column_int64(s, 0);
	smq_err err = rc == SQLITE_ROW ? SMQ_OK : rc == SQLITE_DONE ? SMQ_ERR_CORRUPT : told(r, rc);
	smq_sqlite.finalize(s);
	return err;
}

static smq_err version_of(struct records *r, int64_t *ret_version)
{
	int64_t application, tables;
	smq_err err = number(r, "PRAGMA application_id", &application);
	if (err == SMQ_OK)
		err = number(r, "PRAGMA user_version", ret_version);
	if (err == SMQ_OK)
		err = number(r, "SELECT COUNT(*) FROM sqlite_schema", &tables);
	if (err != SMQ_OK)
		return err;
	if (application != APPLICATION_ID && (application != 0 || *ret_version != 0 || tables != 0))
		return SMQ_ERR_CORRUPT;
	return *ret_version > smq_record_migrations ? SMQ_ERR_VERSION : SMQ_OK;
}

static smq_err migrate_one(struct records *r, int to)
{
	static const struct smq_record_dialect dialect = { "INTEGER PRIMARY KEY", "BLOB", "WITHOUT ROWID" };
	char mark[96], *text = NULL;
	smq_err err = smq_record_migration(to, &dialect, &text);
	if (err == SMQ_OK)
		err = exec(r, text);
	free(text);
	snprintf(mark, sizeof(mark), "PRAGMA application_id = %d; PRAGMA user_version = %d", APPLICATION_ID, to);
	return err == SMQ_OK ? exec(r, mark) : err;
}

/* All that is missing in one transaction, which others that come at the same time wait for. */
static smq_err migrate(struct records *r, bool writes)
{
	int64_t version = 0;
	smq_err err = writes ? exec(r, "BEGIN IMMEDIATE") : SMQ_OK;
	if (err == SMQ_OK)
		err = version_of(r, &version);
	if (!writes)
		return err == SMQ_OK && version == 0 ? SMQ_ERR_CORRUPT : err;
	for (int to = (int)version + 1; err == SMQ_OK && to <= smq_record_migrations; to++)
		err = migrate_one(r, to);
	if (err == SMQ_OK)
		err = exec(r, "COMMIT");
	return err;
}

static const char *text_of(int statement)
{
	switch (statement) {
	case PROVEN:
		return smq_record_proven_sql;
	case UNPROVEN:
		return smq_record_unproven_sql;
	case REMOVE:
		return smq_record_remove_sql;
	default:
		return sql[statement];
	}
}

static smq_err set_up(struct records *r, bool writes)
{
	static const char *const steps[] = { "PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL",
					     ("PRAGMA wal_autocheckpoint = " CHECKPOINT_PAGES),
					     "PRAGMA cache_size = -32768", "PRAGMA temp_store = MEMORY" };
	smq_err err = told(r, smq_sqlite.busy_timeout(r->db, BUSY_MS));
	for (size_t i = 0; i < SMQ_COUNT(steps) && writes && err == SMQ_OK; i++)
		err = exec(r, steps[i]);
	if (err == SMQ_OK)
		err = exec(r, "PRAGMA trusted_schema = OFF");
	if (err == SMQ_OK)
		err = migrate(r, writes);
	for (int i = 0; i < STATEMENTS && writes && err == SMQ_OK; i++)
		err = told(r, smq_sqlite.prepare_v3(r->db, text_of(i), -1, SQLITE_PREPARE_PERSISTENT, &r->statements[i],
						    NULL));
	for (int i = 0; i < SMQ_KEPT_KINDS && writes && err == SMQ_OK; i++)
		err = told(r, smq_sqlite.prepare_v3(r->db, smq_record_keep_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
						    &r->keeps[i], NULL));
	return err;
}

smq_err smq_records_sqlite_open(const char *path, bool writes, struct smq_record_store *ret_store)
{
	smq_err err = smq_sqlite_load();
	if (err == SMQ_OK)
		err = prepare_file(path, writes);
	if (err != SMQ_OK)
		return err;
	struct records *r = calloc(1, sizeof(*r));
	if (!r)
		return SMQ_ERR_NO_MEMORY;
	for (int i = 0; i < NAMES; i++)
		smq_id_cache_init(&r->names[i], CACHED_MAX);
	smq_id_cache_init(&r->lives, CACHED_MAX);
	int flags =
	    SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | (writes ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY);
	err = smq_sqlite_err(NULL, smq_sqlite.open_v2(path, &r->db, flags, NULL));
	if (err == SMQ_OK)
		err = set_up(r, writes);
	if (err != SMQ_OK) {
		op_free(r);
		return err;
	}
	*ret_store = (struct smq_record_store){ .self = r,
						.add = op_add,
						.refuse = op_refuse,
						.prove = op_prove,
						.keep = op_keep,
						.commit = op_commit,
						.abandon = op_abandon,
						.query = op_query,
						.why = op_why,
						.free = op_free };
	return SMQ_OK;
}
