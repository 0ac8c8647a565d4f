/* The outbox port in an SQLite file. */
#include "outbox_sqlite.h"

#include <stdlib.h>

#include "adapters/common_sqlite/sqlite_file.h"
#include "base/table.h"
#include "wire/cbor.h"

#define APPLICATION_ID 1397575249 /* "SMQQ" */
#define SCHEMA_VERSION 1
/* What MQTT itself allows; larger ones in a file are damage. */
#define PROPERTIES_MAX 4096

enum statement { APPEND, NEXT, REMOVE, SYNC_FULL, SYNC_NORMAL, STATEMENTS };

static const char *const sql[STATEMENTS] = {
	[APPEND] = "INSERT INTO message (topic, payload, qos, retain, plain, recipient, group_name, properties)"
		   " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
	[NEXT] = "SELECT number, topic, payload, qos, retain, plain, recipient, group_name, properties FROM message"
		 " WHERE number > ?1 ORDER BY number LIMIT 1",
	[REMOVE] = "DELETE FROM message WHERE number = ?1",
	[SYNC_FULL] = "PRAGMA synchronous = FULL",
	[SYNC_NORMAL] = "PRAGMA synchronous = NORMAL",
};

/* AUTOINCREMENT: a number is never given out again, even when the table has been empty in between. */
static const char schema[] = "BEGIN IMMEDIATE;"
			     "CREATE TABLE message ("
			     " number INTEGER PRIMARY KEY AUTOINCREMENT,"
			     " topic TEXT NOT NULL,"
			     " payload BLOB NOT NULL,"
			     " qos INTEGER NOT NULL CHECK (qos BETWEEN 0 AND 2),"
			     " retain INTEGER NOT NULL,"
			     " plain INTEGER NOT NULL,"
			     " recipient TEXT,"
			     " group_name TEXT,"
			     " properties BLOB"
			     ") STRICT;"
			     "PRAGMA application_id = 1397575249;"
			     "PRAGMA user_version = 1;"
			     "COMMIT";

/* WAL under an exclusive lock that is taken here and kept: nobody else gets in, and no shared memory is needed. */
static const char *const pragmas[] = { "PRAGMA locking_mode = EXCLUSIVE",
				       "PRAGMA secure_delete = ON",
				       "PRAGMA journal_mode = WAL",
				       "PRAGMA synchronous = FULL",
				       "PRAGMA trusted_schema = OFF",
				       "BEGIN IMMEDIATE; COMMIT",
				       NULL };

static const struct smq_sqlite_format format = { APPLICATION_ID, SCHEMA_VERSION, schema, pragmas };

struct outbox {
	sqlite3 *db;
	sqlite3_stmt *statements[STATEMENTS];
	struct smq_property *properties; /* of the message that next handed out */
	size_t count;
};

/* ---- opening ---- */

static smq_err check_content(struct outbox *o)
{
	int64_t count;
	smq_err err = smq_sqlite_check(o->db);
	if (!err)
		err = smq_sqlite_number(o->db, "SELECT count(*) FROM message", &count);
	if (!err)
		o->count = (size_t)count;
	return err;
}

static smq_err prepare_statements(struct outbox *o)
{
	for (int i = 0; i < STATEMENTS; i++) {
		int rc = smq_sqlite.prepare_v3(o->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &o->statements[i], NULL);
		if (rc != SQLITE_OK)
			return smq_sqlite_err(o->db, rc);
	}
	return SMQ_OK;
}

/* ---- properties: a CBOR array of [command, name, value, second value], byte strings with their zero ---- */

static void put_text(struct smq_writer *w, const char *text)
{
	if (text)
		smq_cbor_put_bytes(w, smq_span_of(text, strlen(text) + 1));
	else
		smq_cbor_put_null(w);
}

static void put_properties(struct smq_writer *w, const struct smq_publish *m)
{
	smq_cbor_put_array(w, m->property_count);
	for (size_t i = 0; i < m->property_count; i++) {
		const struct smq_property *p = &m->properties[i];
		smq_cbor_put_array(w, 4);
		put_text(w, p->command);
		put_text(w, p->name);
		smq_cbor_put_bytes_head(w, p->value_len + 1);
		smq_write(w, smq_span_of(p->value, p->value_len));
		smq_write_u8(w, 0);
		put_text(w, p->pair_value);
	}
}

static smq_err encode_properties(const struct smq_publish *m, uint8_t **ret_bytes, size_t *ret_len)
{
	size_t room = 16;
	for (size_t i = 0; i < m->property_count; i++) {
		const struct smq_property *p = &m->properties[i];
		room += 64 + p->value_len + (p->command ? strlen(p->command) : 0) + (p->name ? strlen(p->name) : 0) +
			(p->pair_value ? strlen(p->pair_value) : 0);
	}
	uint8_t *bytes = malloc(room);
	if (!bytes)
		return SMQ_ERR_NO_MEMORY;
	struct smq_writer w = smq_writer_on(smq_mspan_of(bytes, room));
	put_properties(&w, m);
	smq_err err = smq_writer_end(&w, ret_len);
	if (err)
		free(bytes);
	else
		*ret_bytes = bytes;
	return err;
}

/* NULL for CBOR's null. */
static const char *get_text(struct smq_reader *r, size_t *ret_len)
{
	if (smq_cbor_peek(r) == SMQ_CBOR_NULL) {
		smq_cbor_get_null(r);
		return NULL;
	}
	smq_span s = smq_cbor_get_bytes(r);
	if (s.len == 0 || s.p[s.len - 1] != 0 || (!ret_len && memchr(s.p, 0, s.len) != s.p + s.len - 1)) {
		smq_reader_fail(r, SMQ_ERR_CORRUPT);
		return NULL;
	}
	if (ret_len)
		*ret_len = s.len - 1;
	return (const char *)s.p;
}

/* The strings stay where they are, in the row. */
static smq_err decode_properties(struct outbox *o, smq_span bytes, size_t *ret_count)
{
	struct smq_reader r = smq_reader_on(bytes);
	size_t count = smq_cbor_get_array(&r);
	if (count > PROPERTIES_MAX)
		return SMQ_ERR_CORRUPT;
	struct smq_property *properties = calloc(count + 1, sizeof(*properties));
	if (!properties)
		return SMQ_ERR_NO_MEMORY;
	for (size_t i = 0; i < count; i++) {
		struct smq_property *p = &properties[i];
		if (smq_cbor_get_array(&r) != 4)
			smq_reader_fail(&r, SMQ_ERR_CORRUPT);
		p->command = get_text(&r, NULL);
		p->name = get_text(&r, NULL);
		p->value = get_text(&r, &p->value_len);
		p->pair_value = get_text(&r, NULL);
	}
	if (smq_reader_end(&r) != SMQ_OK) {
		free(properties);
		return SMQ_ERR_CORRUPT;
	}
	o->properties = properties;
	*ret_count = count;
	return SMQ_OK;
}

/* ---- the port ---- */

/* Ends what next handed out. */
static void release_row(struct outbox *o)
{
	smq_sqlite.reset(o->statements[NEXT]);
	free(o->properties);
	o->properties = NULL;
}

static smq_err step_done(struct outbox *o, enum statement which)
{
	sqlite3_stmt *s = o->statements[which];
	int rc = smq_sqlite.step(s);
	smq_err err = smq_sqlite_err(o->db, rc);
	smq_sqlite.reset(s);
	return err;
}

static void bind_message(sqlite3_stmt *s, const struct smq_publish *m, const uint8_t *properties, size_t len)
{
	smq_sqlite.bind_text(s, 1, m->topic, -1, SQLITE_STATIC);
	smq_sqlite.bind_blob64(s, 2, m->payload.len ? (const void *)m->payload.p : "", m->payload.len, SQLITE_STATIC);
	smq_sqlite.bind_int(s, 3, m->qos);
	smq_sqlite.bind_int(s, 4, m->retain);
	smq_sqlite.bind_int(s, 5, m->plain);
	smq_sqlite.bind_text(s, 6, m->to, -1, SQLITE_STATIC);
	smq_sqlite.bind_text(s, 7, m->group, -1, SQLITE_STATIC);
	smq_sqlite.bind_blob64(s, 8, properties, len, SQLITE_STATIC);
}

static smq_err op_append(void *self, const struct smq_publish *message, uint64_t *ret_number)
{
	struct outbox *o = self;
	uint8_t *properties = NULL;
	size_t len = 0;
	release_row(o);
	if (!message->topic || message->qos < 0 || message->qos > 2 || message->property_count > PROPERTIES_MAX)
		return SMQ_ERR_USAGE;
	smq_err err = message->property_count ? encode_properties(message, &properties, &len) : SMQ_OK;
	if (err)
		return err;
	bind_message(o->statements[APPEND], message, properties, len);
	err = step_done(o, APPEND);
	smq_sqlite.clear_bindings(o->statements[APPEND]);
	free(properties);
	if (err)
		return err;
	o->count++;
	*ret_number = (uint64_t)smq_sqlite.last_insert_rowid(o->db);
	return SMQ_OK;
}

static smq_err read_row(struct outbox *o, uint64_t *ret_number, struct smq_publish *ret_message)
{
	sqlite3_stmt *s = o->statements[NEXT];
	struct smq_publish m = { 0 };
	uint64_t number = (uint64_t)smq_sqlite.column_int64(s, 0);
	m.topic = (const char *)smq_sqlite.column_text(s, 1);
	const void *payload = smq_sqlite.column_blob(s, 2);
	m.payload = smq_span_of(payload, (size_t)smq_sqlite.column_bytes(s, 2));
	m.qos = smq_sqlite.column_int(s, 3);
	m.retain = smq_sqlite.column_int(s, 4) != 0;
	m.plain = smq_sqlite.column_int(s, 5) != 0;
	m.to = (const char *)smq_sqlite.column_text(s, 6);
	m.group = (const char *)smq_sqlite.column_text(s, 7);
	const void *list = smq_sqlite.column_blob(s, 8);
	if (!m.topic)
		return smq_sqlite.errcode(o->db) == SQLITE_NOMEM ? SMQ_ERR_NO_MEMORY : SMQ_ERR_CORRUPT;
	if (list) {
		smq_err err =
		    decode_properties(o, smq_span_of(list, (size_t)smq_sqlite.column_bytes(s, 8)), &m.property_count);
		if (err)
			return err;
		m.properties = o->properties;
	}
	*ret_number = number;
	*ret_message = m;
	return SMQ_OK;
}

static smq_err op_next(void *self, uint64_t after, uint64_t *ret_number, struct smq_publish *ret_message)
{
	struct outbox *o = self;
	release_row(o);
	if (after >= INT64_MAX)
		return SMQ_ERR_NOT_FOUND;
	smq_sqlite.bind_int64(o->statements[NEXT], 1, (int64_t)after);
	int rc = smq_sqlite.step(o->statements[NEXT]);
	smq_err err = rc == SQLITE_ROW    ? read_row(o, ret_number, ret_message)
		      : rc == SQLITE_DONE ? SMQ_ERR_NOT_FOUND
					  : smq_sqlite_err(o->db, rc);
	if (err)
		release_row(o);
	return err;
}

static smq_err op_remove(void *self, uint64_t number)
{
	struct outbox *o = self;
	release_row(o);
	if (number > INT64_MAX)
		return SMQ_ERR_NOT_FOUND;
	/* Without fsync: an acknowledged message that comes back after a power cut does less harm than a disk that
	 * syncs twice for each message. */
	smq_err err = step_done(o, SYNC_NORMAL);
	if (err)
		return err;
	smq_sqlite.bind_int64(o->statements[REMOVE], 1, (int64_t)number);
	err = step_done(o, REMOVE);
	int changed = err ? 0 : smq_sqlite.changes(o->db);
	smq_err sync_err = step_done(o, SYNC_FULL);
	if (!err && changed == 0)
		err = SMQ_ERR_NOT_FOUND;
	if (!err)
		o->count--;
	return err ? err : sync_err;
}

static size_t op_count(void *self)
{
	const struct outbox *o = self;
	return o->count;
}

static void op_free(void *self)
{
	struct outbox *o = self;
	if (!o)
		return;
	release_row(o);
	for (int i = 0; i < STATEMENTS; i++)
		smq_sqlite.finalize(o->statements[i]);
	/* Closing the last connection empties the log into the file and removes it. */
	smq_sqlite.close(o->db);
	free(o);
}

smq_err smq_outbox_sqlite_new(const char *path, struct smq_outbox *ret_outbox)
{
	smq_err err = smq_sqlite_load();
	if (err)
		return err;
	struct outbox *o = calloc(1, sizeof(*o));
	if (!o)
		return SMQ_ERR_NO_MEMORY;
	err = smq_sqlite_open(path, true, &format, &o->db);
	if (!err)
		err = prepare_statements(o);
	if (!err)
		err = check_content(o);
	if (err) {
		op_free(o);
		return err;
	}
	*ret_outbox = (struct smq_outbox){
		.self = o, .append = op_append, .next = op_next, .remove = op_remove, .count = op_count, .free = op_free
	};
	return SMQ_OK;
}
