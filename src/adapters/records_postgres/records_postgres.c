/*
 * The record store port in a PostgreSQL database.
 *
 * Names and lives get their numbers at once, each in a statement of its own: a number without readings does no harm.
 * Readings wait in memory. commit copies them straight into the table; where one of them is there already (somebody
 * sent or stored it twice) it goes by way of a temporary table, which lets those pass that are new, and stays there
 * for a while: who shares the work with another recorder, or follows one that was killed, meets more of them.
 */
#include "records_postgres.h"

#include <stdio.h>
#include <stdlib.h>

#include "adapters/common_loader/loader.h"
#include "app/id_cache.h"
#include "app/record_sql.h"
#include "array_rows.h"
#include "base/big_endian.h"
#include "base/table.h"
#include "copy_rows.h"
#include "libpq.h"

#define CACHED_MAX 100000
#define BOOT_ID_LEN 16
/* Type numbers that PostgreSQL never changes. */
#define OID_BYTEA 17
#define OID_INT8 20
#define OID_TEXT 25
/* An advisory lock of this number is held while tables are made: "SMQR". */
#define MIGRATION_LOCK "1397575250"

enum { NAMES = 3, CAREFUL_COMMITS = 64, TRIES = 4, PARAMS_MAX = 8 };
enum name_kind { SENDER, TOPIC, TYPE };

struct records {
	struct libpq pq;
	PGconn *db;
	bool writes;
	bool staged; /* the temporary tables of this connection are there */
	int careful; /* so many commits more go by way of the temporary table */
	struct copy_rows readings, refused;
	uint64_t messages;
	struct array_rows proven, unproven;     /* what became known of provisional rows: life, counter, reason */
	struct array_rows kept[SMQ_KEPT_KINDS]; /* what is to be kept beside the rows */
	struct smq_id_cache names[NAMES], lives;
	char why[200];
};

static const char copy_readings[] =
    "COPY readings (life_id, counter, part, topic_id, type_id, measured_ms, received_ms,"
    " value, value_text, proof, raw) FROM STDIN (FORMAT binary)";
static const char copy_new_readings[] =
    "COPY new_readings (life_id, counter, part, topic_id, type_id, measured_ms, received_ms, value, value_text, proof,"
    " raw) FROM STDIN (FORMAT binary)";
static const char copy_new_refused[] =
    "COPY new_quarantine (received_ms, sender, topic, reason, detail, group_name, epoch, slot, boot_id, counter, times,"
    " raw) FROM STDIN (FORMAT binary)";
/* In one order, so that two recorders with the same messages do not wait for each other in a ring. */
static const char insert_readings[] =
    "WITH stored AS (INSERT INTO readings SELECT * FROM new_readings ORDER BY life_id, counter, part"
    " ON CONFLICT DO NOTHING RETURNING part) SELECT COUNT(*) FROM stored WHERE part = 0";
static const char insert_refused[] =
    "WITH stored AS (INSERT INTO quarantine (received_ms, sender, topic, reason, detail, group_name, epoch, slot,"
    " boot_id, counter, times, raw) SELECT * FROM new_quarantine ON CONFLICT DO NOTHING RETURNING boot_id)"
    " SELECT COUNT(boot_id) FROM stored";
static const char stage[] =
    "CREATE TEMPORARY TABLE IF NOT EXISTS new_readings (LIKE readings) ON COMMIT DELETE ROWS;"
    "CREATE TEMPORARY TABLE IF NOT EXISTS new_quarantine AS SELECT received_ms, sender, topic, reason, detail,"
    " group_name, epoch, slot, boot_id, counter, times, raw FROM quarantine LIMIT 0";

/*
 * What proof does to provisional rows, and what is kept beside them: as many as there are in one statement. As
 * record_sql.h says it for one row; in one order, for the reason above.
 */
static const char proven_sql[] =
    "UPDATE readings r SET proof = 4 FROM (SELECT * FROM unnest($1, $2) AS n (life, counter) ORDER BY 1, 2) p"
    " WHERE r.life_id = p.life AND r.counter = p.counter AND r.proof = 3";
static const char unproven_sql[] =
    "INSERT INTO quarantine (received_ms, sender, topic, reason, detail, group_name, epoch, slot, boot_id, counter,"
    " times, raw) SELECT r.received_ms, s.name, t.name, p.reason, '', l.group_name, l.epoch, l.slot, l.boot_id,"
    " r.counter, 1, r.raw FROM unnest($1, $2, $3) AS p (life, counter, reason)"
    " JOIN readings r ON r.life_id = p.life AND r.counter = p.counter JOIN lives l ON l.id = r.life_id"
    " JOIN senders s ON s.id = l.sender_id JOIN topics t ON t.id = r.topic_id WHERE r.part = 0 AND r.proof = 3"
    " ORDER BY p.life, p.counter ON CONFLICT DO NOTHING";
static const char remove_sql[] = "DELETE FROM readings r USING unnest($1, $2, $3) AS p (life, counter, reason)"
				 " WHERE r.life_id = p.life AND r.counter = p.counter AND r.proof = 3";

static const struct {
	const char *columns; /* n: number, b: bytes, t: text */
	const char *sql;
} keeps[SMQ_KEPT_KINDS] = {
	[SMQ_KEPT_CERTIFICATE] = { "btb", "INSERT INTO certificates (thumbprint, name, chain)"
					  " SELECT * FROM unnest($1, $2, $3) ORDER BY 1 ON CONFLICT DO NOTHING" },
	[SMQ_KEPT_CRL] = { "bnb", "INSERT INTO crls (digest, heard_ms, pem) SELECT * FROM unnest($1, $2, $3)"
				  " ORDER BY 1 ON CONFLICT DO NOTHING" },
	[SMQ_KEPT_STREAM] = { "nbbbb",
			      "INSERT INTO streams (life_id, digest, context, key, base_iv)"
			      " SELECT * FROM unnest($1, $2, $3, $4, $5) ORDER BY 1, 2 ON CONFLICT DO NOTHING" },
	[SMQ_KEPT_SEAL] = { "nnnbbb", "INSERT INTO seals (life_id, counter, stamp, signature, certificate, crl)"
				      " SELECT * FROM unnest($1, $2, $3, $4, $5, $6) ORDER BY 1, 2"
				      " ON CONFLICT DO NOTHING" },
	[SMQ_KEPT_SIGNER] = { "nnbb",
			      "UPDATE seals s SET certificate = p.certificate, crl = p.crl"
			      " FROM (SELECT * FROM unnest($1, $2, $3, $4) AS n (life, counter, certificate, crl)"
			      " ORDER BY 1, 2) p WHERE s.life_id = p.life AND s.counter = p.counter"
			      " AND s.certificate IS NULL" },
	[SMQ_KEPT_CHECKPOINT] = { "bbnnnbbb",
				  "INSERT INTO checkpoints (hash, stream, first, count, received_ms, document,"
				  " certificate, crl) SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8) ORDER BY 1"
				  " ON CONFLICT DO NOTHING" },
};

/* ---- errors ---- */

/* The first line of what the database says; it ends where values could begin. */
static void keep_words(struct records *r, const char *words)
{
	size_t len = strcspn(words, "\n");
	snprintf(r->why, sizeof(r->why), "%.*s", (int)(len < 190 ? len : 190), words);
}

static smq_err err_of_state(const char *state)
{
	static const struct {
		const char *prefix;
		smq_err err;
	} rows[] = { { "53100", SMQ_ERR_DISK_FULL },   { "53200", SMQ_ERR_NO_MEMORY },
		     { "53", SMQ_ERR_STORE },          { "08", SMQ_ERR_NO_CONNECTION },
		     { "57P", SMQ_ERR_NO_CONNECTION }, { "28", SMQ_ERR_NOT_AUTHORIZED },
		     { "42501", SMQ_ERR_PERMISSION },  { "3D", SMQ_ERR_NOT_FOUND } };
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		if (strncmp(state, rows[i].prefix, strlen(rows[i].prefix)) == 0)
			return rows[i].err;
	}
	return SMQ_ERR_STORE;
}

/* Looks at a result, which is the caller's to clear; state (6 bytes, may be NULL) gets the SQLSTATE. */
static smq_err check(struct records *r, const PGresult *result, char state[6])
{
	ExecStatusType status = r->pq.resultStatus(result);
	if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_COPY_IN ||
	    status == PGRES_SINGLE_TUPLE)
		return SMQ_OK;
	const char *code = r->pq.resultErrorField(result, PG_DIAG_SQLSTATE);
	const char *words = r->pq.resultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	keep_words(r, words ? words : r->pq.errorMessage(r->db));
	if (state)
		snprintf(state, 6, "%s", code ? code : "08006");
	return code ? err_of_state(code) : SMQ_ERR_NO_CONNECTION;
}

static smq_err exec(struct records *r, const char *sql, char state[6])
{
	PGresult *result = r->pq.exec(r->db, sql);
	smq_err err = check(r, result, state);
	r->pq.clear(result);
	return err;
}

/* ---- statements with parameters ---- */

struct params {
	Oid types[PARAMS_MAX];
	const char *values[PARAMS_MAX];
	int lengths[PARAMS_MAX], formats[PARAMS_MAX];
	char numbers[PARAMS_MAX][24];
	int count;
};

static void add_text(struct params *p, const char *text)
{
	p->types[p->count] = OID_TEXT;
	p->values[p->count++] = text;
}

static void add_number(struct params *p, int64_t number)
{
	snprintf(p->numbers[p->count], sizeof(p->numbers[0]), "%lld", (long long)number);
	p->types[p->count] = OID_INT8;
	p->values[p->count] = p->numbers[p->count];
	p->count++;
}

static void add_bytes(struct params *p, const uint8_t *bytes, int len)
{
	p->types[p->count] = OID_BYTEA;
	p->values[p->count] = (const char *)bytes;
	p->lengths[p->count] = len;
	p->formats[p->count++] = 1;
}

static PGresult *run(struct records *r, const char *sql, const struct params *p)
{
	return r->pq.execParams(r->db, sql, p->count, p->types, p->values, p->lengths, p->formats, 0);
}

static smq_err exec_params(struct records *r, const char *sql, const struct params *p)
{
	PGresult *result = run(r, sql, p);
	smq_err err = check(r, result, NULL);
	r->pq.clear(result);
	return err;
}

/* The number in the first row; *ret_found says whether there was one. */
static smq_err ask_number(struct records *r, const char *sql, const struct params *p, bool *ret_found,
			  int64_t *ret_number)
{
	PGresult *result = run(r, sql, p);
	smq_err err = check(r, result, NULL);
	*ret_found = err == SMQ_OK && r->pq.ntuples(result) > 0;
	if (*ret_found)
		*ret_number = strtoll(r->pq.getvalue(result, 0, 0), NULL, 10);
	r->pq.clear(result);
	return err;
}

/* ---- the connection ---- */

static smq_err set_session(struct records *r)
{
	/* A database that hangs must not hang us for good: the broker has everything still. */
	return exec(r,
		    "SET client_encoding = 'UTF8'; SET synchronous_commit = on; SET statement_timeout = '60s';"
		    "SET lock_timeout = '30s'; SET client_min_messages = warning",
		    NULL);
}

static void forget_numbers(struct records *r)
{
	for (int i = 0; i < NAMES; i++)
		smq_id_cache_clear(&r->names[i]);
	smq_id_cache_clear(&r->lives);
}

/* Numbers may have changed behind our back: another server, or a backup that was played in. */
static smq_err need_connection(struct records *r)
{
	if (r->pq.status(r->db) == CONNECTION_OK)
		return SMQ_OK;
	forget_numbers(r);
	r->staged = false;
	r->pq.reset(r->db);
	if (r->pq.status(r->db) != CONNECTION_OK) {
		keep_words(r, r->pq.errorMessage(r->db));
		return SMQ_ERR_NO_CONNECTION;
	}
	return set_session(r);
}

/* ---- numbers of names and lives ---- */

/* add does nothing where it is there; then get finds it, whoever put it there. */
static smq_err number_of(struct records *r, struct smq_id_cache *cache, smq_span key, const char *get, const char *add,
			 const struct params *p, int get_count, int64_t *ret_id)
{
	struct params get_params = *p;
	bool found = false;
	if (smq_id_cache_find(cache, key, ret_id))
		return SMQ_OK;
	get_params.count = get_count;
	for (int i = 0; i < p->count; i++) {
		if (p->values[i] == p->numbers[i])
			get_params.values[i] = get_params.numbers[i];
	}
	smq_err err = need_connection(r);
	if (err == SMQ_OK)
		err = ask_number(r, get, &get_params, &found, ret_id);
	if (err == SMQ_OK && !found)
		err = exec_params(r, add, p);
	if (err == SMQ_OK && !found)
		err = ask_number(r, get, &get_params, &found, ret_id);
	if (err == SMQ_OK && !found)
		err = SMQ_ERR_STORE;
	if (err == SMQ_OK)
		smq_id_cache_put(cache, key, *ret_id);
	return err;
}

static smq_err number_of_name(struct records *r, enum name_kind kind, const char *name, int64_t *ret_id)
{
	static const char *const get[] = { "SELECT id FROM senders WHERE name = $1",
					   "SELECT id FROM topics WHERE name = $1" };
	static const char *const add[] = { "INSERT INTO senders (name) VALUES ($1) ON CONFLICT DO NOTHING",
					   "INSERT INTO topics (name) VALUES ($1) ON CONFLICT DO NOTHING" };
	struct params p = { 0 };
	add_text(&p, name);
	return number_of(r, &r->names[kind], smq_span_str(name), get[kind], add[kind], &p, 1, ret_id);
}

static smq_err number_of_type(struct records *r, const struct smq_record_reading *reading, int64_t *ret_id)
{
	char name[SMQ_RECORD_TEXT_MAX + 1], unit[SMQ_RECORD_NAME_MAX + 1];
	struct params p = { 0 };
	if (smq_id_cache_find(&r->names[TYPE], reading->type, ret_id))
		return SMQ_OK;
	if (reading->type.len >= sizeof(name) || reading->unit.len >= sizeof(unit))
		return SMQ_ERR_TOO_LARGE;
	snprintf(name, sizeof(name), "%.*s", (int)reading->type.len, (const char *)reading->type.p);
	snprintf(unit, sizeof(unit), "%.*s", (int)reading->unit.len, (const char *)reading->unit.p);
	add_text(&p, name);
	add_text(&p, unit);
	return number_of(r, &r->names[TYPE], reading->type, "SELECT id FROM types WHERE name = $1",
			 "INSERT INTO types (name, unit) VALUES ($1, $2) ON CONFLICT DO NOTHING", &p, 1, ret_id);
}

static smq_err number_of_life(struct records *r, const struct smq_record_key *key, int64_t *ret_id)
{
	uint8_t text[24 + BOOT_ID_LEN + 65];
	size_t group_len = strnlen(key->group, 64);
	struct params p = { 0 };
	int64_t sender;
	smq_err err = number_of_name(r, SENDER, key->sender, &sender);
	if (err != SMQ_OK)
		return err;
	memcpy(text, &sender, 8);
	memcpy(text + 8, &key->epoch, 8);
	memcpy(text + 16, &key->slot, 8);
	memcpy(text + 24, key->boot_id, BOOT_ID_LEN);
	memcpy(text + 24 + BOOT_ID_LEN, key->group, group_len);
	smq_span name = smq_span_of(text, 24 + BOOT_ID_LEN + group_len);
	if (smq_id_cache_find(&r->lives, name, ret_id))
		return SMQ_OK;
	add_number(&p, sender);
	add_text(&p, key->group);
	add_number(&p, (int64_t)key->epoch);
	add_number(&p, (int64_t)key->slot);
	add_bytes(&p, key->boot_id, BOOT_ID_LEN);
	return number_of(r, &r->lives, name,
			 "SELECT id FROM lives WHERE sender_id = $1 AND group_name = $2 AND epoch = $3 AND slot = $4"
			 " AND boot_id = $5",
			 "INSERT INTO lives (sender_id, group_name, epoch, slot, boot_id) VALUES ($1, $2, $3, $4, $5)"
			 " ON CONFLICT DO NOTHING",
			 &p, 5, ret_id);
}

/* ---- gathering ---- */

static smq_err add_part(struct records *r, const struct smq_record_row *row, int64_t life, int64_t topic, size_t part)
{
	struct copy_rows *c = &r->readings;
	const struct smq_record_reading *reading = part < row->reading_count ? &row->readings[part] : NULL;
	int64_t type = 0;
	smq_err err = reading ? number_of_type(r, reading, &type) : SMQ_OK;
	if (err != SMQ_OK)
		return err;
	copy_row(c, 11);
	copy_int8(c, life);
	copy_int8(c, (int64_t)row->key.counter);
	copy_int8(c, (int64_t)part);
	copy_int8(c, topic);
	if (reading)
		copy_int8(c, type);
	else
		copy_null(c);
	copy_int8(c, row->measured_ms);
	copy_int8(c, row->received_ms);
	if (reading && !reading->is_text)
		copy_float8(c, reading->value);
	else
		copy_null(c);
	if (reading && reading->is_text)
		copy_bytes(c, reading->text);
	else
		copy_null(c);
	copy_int8(c, row->proof);
	if (part == 0)
		copy_bytes(c, row->raw);
	else
		copy_null(c);
	return c->failed ? SMQ_ERR_NO_MEMORY : SMQ_OK;
}

static smq_err op_add(void *self, const struct smq_record_row *row)
{
	struct records *r = self;
	int64_t life, topic;
	smq_err err = number_of_life(r, &row->key, &life);
	if (err == SMQ_OK)
		err = number_of_name(r, TOPIC, row->topic, &topic);
	size_t parts = row->reading_count > 0 ? row->reading_count : 1;
	for (size_t part = 0; part < parts && err == SMQ_OK; part++)
		err = add_part(r, row, life, topic, part);
	if (err == SMQ_OK)
		r->messages++;
	return err;
}

static smq_err op_refuse(void *self, const struct smq_record_refused *f)
{
	struct records *r = self;
	struct copy_rows *c = &r->refused;
	copy_row(c, 12);
	copy_int8(c, f->received_ms);
	copy_bytes(c, smq_span_str(f->key.sender));
	copy_bytes(c, smq_span_str(f->topic));
	copy_bytes(c, smq_span_str(f->reason));
	copy_bytes(c, smq_span_str(f->detail));
	if (f->key.boot_id) {
		copy_bytes(c, smq_span_str(f->key.group));
		copy_int8(c, (int64_t)f->key.epoch);
		copy_int8(c, (int64_t)f->key.slot);
		copy_bytes(c, smq_span_of(f->key.boot_id, BOOT_ID_LEN));
		copy_int8(c, (int64_t)f->key.counter);
		r->messages++;
	} else {
		for (int i = 0; i < 5; i++)
			copy_null(c);
	}
	copy_int8(c, (int64_t)f->times);
	if (f->key.boot_id)
		copy_bytes(c, f->raw);
	else
		copy_null(c);
	return c->failed ? SMQ_ERR_NO_MEMORY : SMQ_OK;
}

static smq_err op_prove(void *self, const struct smq_record_key *key, const char *reason)
{
	struct records *r = self;
	struct array_rows *a = reason ? &r->unproven : &r->proven;
	int64_t life;
	smq_err err = number_of_life(r, key, &life);
	if (err != SMQ_OK)
		return err;
	array_number(a, life);
	array_number(a, (int64_t)key->counter);
	if (reason)
		array_bytes(a, ARRAY_TEXTS, smq_span_str(reason));
	return array_row_end(a);
}

static enum array_kind kind_of(char letter)
{
	return letter == 'n' ? ARRAY_NUMBERS : letter == 't' ? ARRAY_TEXTS : ARRAY_BYTES;
}

static smq_err op_keep(void *self, enum smq_record_kept what, const struct smq_record_key *life,
		       const struct smq_record_value *values, size_t count)
{
	struct records *r = self;
	struct array_rows *a = &r->kept[what];
	const char *letter = keeps[what].columns;
	int64_t number = 0;
	smq_err err = life ? number_of_life(r, life, &number) : SMQ_OK;
	if (err == SMQ_OK && strlen(letter) != count + (life ? 1 : 0))
		err = SMQ_ERR_USAGE;
	if (err != SMQ_OK)
		return err;
	if (life) {
		array_number(a, number);
		letter++;
	}
	for (size_t i = 0; i < count; i++) {
		if (values[i].kind == SMQ_VALUE_NONE)
			array_null(a, kind_of(letter[i]));
		else if (values[i].kind == SMQ_VALUE_NUMBER)
			array_number(a, values[i].number);
		else
			array_bytes(a, kind_of(letter[i]), values[i].bytes);
	}
	return array_row_end(a);
}

/* ---- commit ---- */

static void put_columns(struct array_rows *a, size_t columns, struct params *p)
{
	for (size_t i = 0; i < columns; i++) {
		uint32_t type;
		smq_span bytes = array_column(a, i, &type);
		p->types[i] = type;
		p->values[i] = (const char *)bytes.p;
		p->lengths[i] = (int)bytes.len;
		p->formats[i] = 1;
	}
	p->count = (int)columns;
}

/* All of its rows in one statement; ret_count may be NULL. */
static smq_err put_arrays(struct records *r, struct array_rows *a, size_t columns, const char *sql, char state[6],
			  uint64_t *ret_count)
{
	struct params p = { 0 };
	if (a->rows == 0)
		return SMQ_OK;
	put_columns(a, columns, &p);
	PGresult *result = run(r, sql, &p);
	smq_err err = check(r, result, state);
	if (err == SMQ_OK && ret_count)
		*ret_count += strtoull(r->pq.cmdTuples(result), NULL, 10);
	r->pq.clear(result);
	return err;
}

/* A signer is kept after its seal. */
static smq_err put_beside(struct records *r, uint64_t *moved, char state[6])
{
	smq_err err = put_arrays(r, &r->proven, 2, proven_sql, state, NULL);
	if (err == SMQ_OK)
		err = put_arrays(r, &r->unproven, 3, unproven_sql, state, moved);
	if (err == SMQ_OK)
		err = put_arrays(r, &r->unproven, 3, remove_sql, state, NULL);
	for (int i = 0; i < SMQ_KEPT_KINDS && err == SMQ_OK; i++)
		err = put_arrays(r, &r->kept[i], strlen(keeps[i].columns), keeps[i].sql, state, NULL);
	return err;
}

static bool has_beside(const struct records *r)
{
	size_t rows = r->proven.rows + r->unproven.rows;
	for (int i = 0; i < SMQ_KEPT_KINDS; i++)
		rows += r->kept[i].rows;
	return rows > 0;
}

static void clear_batch(struct records *r)
{
	array_clear(&r->proven);
	array_clear(&r->unproven);
	for (int i = 0; i < SMQ_KEPT_KINDS; i++)
		array_clear(&r->kept[i]);
	copy_clear(&r->readings);
	copy_clear(&r->refused);
	r->messages = 0;
}

static void op_abandon(void *self)
{
	struct records *r = self;
	clear_batch(r);
}

static smq_err copy_in(struct records *r, const char *sql, const struct copy_rows *rows, char state[6])
{
	smq_err err = exec(r, sql, state), later;
	if (err != SMQ_OK)
		return err;
	/* What goes wrong here is told by the result that follows. */
	for (size_t at = 0; at < rows->len;) {
		size_t part = rows->len - at < (1u << 20) ? rows->len - at : (1u << 20);
		if (r->pq.putCopyData(r->db, (const char *)rows->p + at, (int)part) != 1)
			break;
		at += part;
	}
	r->pq.putCopyEnd(r->db, NULL);
	for (PGresult *result; (result = r->pq.getResult(r->db)) != NULL; r->pq.clear(result)) {
		later = check(r, result, state);
		err = err == SMQ_OK ? later : err;
	}
	return err;
}

static smq_err count_of(struct records *r, const char *sql, char state[6], uint64_t *ret_count)
{
	PGresult *result = r->pq.exec(r->db, sql);
	smq_err err = check(r, result, state);
	if (err == SMQ_OK)
		*ret_count = strtoull(r->pq.getvalue(result, 0, 0), NULL, 10);
	r->pq.clear(result);
	return err;
}

static smq_err need_stage(struct records *r, char state[6])
{
	if (r->staged)
		return SMQ_OK;
	smq_err err = exec(r, stage, state);
	/* the second table has no ON COMMIT: it is emptied where it is used */
	r->staged = err == SMQ_OK;
	return err;
}

/* Within a transaction. */
static smq_err put_rows(struct records *r, bool careful, struct smq_record_committed *ret_done, uint64_t *moved,
			char state[6])
{
	smq_err err = SMQ_OK;
	if (r->readings.rows > 0 && careful)
		err = copy_in(r, copy_new_readings, &r->readings, state);
	else if (r->readings.rows > 0)
		err = copy_in(r, copy_readings, &r->readings, state);
	if (err == SMQ_OK && r->readings.rows > 0 && careful)
		err = count_of(r, insert_readings, state, &ret_done->stored);
	if (err == SMQ_OK && r->refused.rows > 0)
		err = exec(r, "DELETE FROM new_quarantine", state);
	if (err == SMQ_OK && r->refused.rows > 0)
		err = copy_in(r, copy_new_refused, &r->refused, state);
	if (err == SMQ_OK && r->refused.rows > 0)
		err = count_of(r, insert_refused, state, &ret_done->quarantined);
	return err == SMQ_OK ? put_beside(r, moved, state) : err;
}

static smq_err try_commit(struct records *r, bool careful, struct smq_record_committed *ret_done, uint64_t *moved,
			  char state[6])
{
	*ret_done = (struct smq_record_committed){ 0 };
	*moved = 0;
	smq_err err = careful || r->refused.rows > 0 ? need_stage(r, state) : SMQ_OK;
	/* one statement is a transaction of its own, and saves two turns */
	if (err == SMQ_OK && !careful && r->refused.rows == 0 && !has_beside(r))
		return put_rows(r, false, ret_done, moved, state);
	if (err == SMQ_OK)
		err = exec(r, "BEGIN", state);
	if (err != SMQ_OK)
		return err;
	err = put_rows(r, careful, ret_done, moved, state);
	if (err == SMQ_OK)
		err = exec(r, "COMMIT", state);
	if (err != SMQ_OK) {
		PGresult *result = r->pq.exec(r->db, "ROLLBACK");
		r->pq.clear(result);
	}
	return err;
}

/* Somebody else's row, or somebody who waits for ours while we wait for his: worth another try, with care. */
static bool is_conflict(const char *state)
{
	return strcmp(state, "23505") == 0 || strcmp(state, "40P01") == 0 || strcmp(state, "40001") == 0;
}

/* Messages among the gathered rows that go to readings: each has a part 0. */
static smq_err op_commit(void *self, struct smq_record_committed *ret_committed)
{
	struct records *r = self;
	struct smq_record_committed done = { 0 };
	uint64_t messages = r->messages, moved = 0;
	char state[6] = "";
	bool copied = false;
	if (r->readings.rows == 0 && r->refused.rows == 0 && !has_beside(r)) {
		*ret_committed = done;
		return SMQ_OK;
	}
	smq_err err = r->readings.rows > 0 ? copy_end(&r->readings) : SMQ_OK;
	if (err == SMQ_OK && r->refused.rows > 0)
		err = copy_end(&r->refused);
	if (err == SMQ_OK)
		err = need_connection(r);
	for (int i = 0; i < TRIES && err == SMQ_OK; i++) {
		copied = r->careful == 0;
		err = try_commit(r, !copied, &done, &moved, state);
		if (err == SMQ_OK || !is_conflict(state))
			break;
		r->careful = CAREFUL_COMMITS;
		if (i + 1 < TRIES)
			err = SMQ_OK;
	}
	clear_batch(r);
	if (err != SMQ_OK)
		return err;
	if (copied)
		done.stored = messages - done.quarantined;
	else
		r->careful--;
	done.repeated = messages - done.stored - done.quarantined;
	done.quarantined += moved; /* these were stored before */
	*ret_committed = done;
	return SMQ_OK;
}

/* ---- queries ---- */

static void read_cell(struct records *r, const PGresult *result, int i, struct smq_record_cell *c)
{
	const uint8_t *p = (const uint8_t *)r->pq.getvalue(result, 0, i);
	int len = r->pq.getlength(result, 0, i);
	if (r->pq.getisnull(result, 0, i)) {
		c->kind = SMQ_CELL_NULL;
	} else if (c->kind == SMQ_CELL_TEXT) {
		c->text = smq_span_of(p, (size_t)len);
	} else if (len == 8) {
		uint64_t bits = smq_get_be(p, 8);
		if (c->kind == SMQ_CELL_REAL)
			memcpy(&c->real, &bits, sizeof(bits));
		else
			c->integer = (int64_t)bits;
	}
}

static bool hand_out(struct records *r, const PGresult *result, enum smq_record_question question,
		     smq_record_row_fn on_row, void *self)
{
	struct smq_record_cell cells[SMQ_RECORD_COLUMNS_MAX] = { 0 };
	size_t count = smq_record_column_count(question);
	for (size_t i = 0; i < count; i++) {
		cells[i].column = smq_record_column_name(question, i);
		cells[i].kind = smq_record_column_kind(question, i);
		read_cell(r, result, (int)i, &cells[i]);
	}
	return on_row(self, cells, count);
}

/* One row at a time, so that a long answer needs no memory; whoever has enough has the rest cancelled. */
static smq_err read_rows(struct records *r, const struct smq_record_query *q, smq_record_row_fn on_row, void *self)
{
	char words[200];
	bool enough = false;
	smq_err err = SMQ_OK, one;
	for (PGresult *result; (result = r->pq.getResult(r->db)) != NULL; r->pq.clear(result)) {
		one = check(r, result, NULL);
		if (enough)
			continue;
		err = err == SMQ_OK ? one : err;
		if (one == SMQ_OK && r->pq.ntuples(result) == 1 && !hand_out(r, result, q->question, on_row, self)) {
			PGcancel *cancel = r->pq.getCancel(r->db);
			enough = true;
			if (cancel)
				r->pq.cancel(cancel, words, sizeof(words));
			r->pq.freeCancel(cancel);
		}
	}
	return err;
}

static smq_err op_query(void *self, const struct smq_record_query *q, smq_record_row_fn on_row, void *row_self)
{
	struct records *r = self;
	struct params p = { 0 };
	smq_err err = need_connection(r);
	if (err != SMQ_OK)
		return err;
	add_text(&p, q->sender ? q->sender : "");
	add_text(&p, q->type ? q->type : "");
	add_text(&p, q->topic ? q->topic : "");
	add_number(&p, q->from_ms);
	add_number(&p, q->to_ms);
	add_number(&p, q->limit ? (int64_t)q->limit : INT64_MAX);
	if (r->pq.sendQueryParams(r->db, smq_record_question_sql(q->question), p.count, p.types, p.values, p.lengths,
				  p.formats, 1) != 1) {
		keep_words(r, r->pq.errorMessage(r->db));
		return SMQ_ERR_NO_CONNECTION;
	}
	r->pq.setSingleRowMode(r->db);
	return read_rows(r, q, on_row, row_self);
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
	forget_numbers(r);
	clear_batch(r);
	copy_free(&r->readings);
	copy_free(&r->refused);
	array_free(&r->proven);
	array_free(&r->unproven);
	for (int i = 0; i < SMQ_KEPT_KINDS; i++)
		array_free(&r->kept[i]);
	if (r->db)
		r->pq.finish(r->db);
	free(r);
}

/* ---- opening ---- */

static smq_err migrate_one(struct records *r, int to)
{
	static const struct smq_record_dialect dialect = { "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "BYTEA",
							   "" };
	char mark[64], *text = NULL;
	smq_err err = smq_record_migration(to, &dialect, &text);
	if (err == SMQ_OK)
		err = exec(r, text, NULL);
	free(text);
	snprintf(mark, sizeof(mark), "UPDATE sealmq_version SET version = %d", to);
	return err == SMQ_OK ? exec(r, mark, NULL) : err;
}

static smq_err version_of(struct records *r, int64_t *ret_version)
{
	const struct params none = { 0 };
	bool found = false;
	smq_err err = ask_number(r, "SELECT version FROM sealmq_version", &none, &found, ret_version);
	if (err == SMQ_OK && !found)
		err = SMQ_ERR_CORRUPT;
	return err == SMQ_OK && *ret_version > smq_record_migrations ? SMQ_ERR_VERSION : err;
}

/* In one transaction, which others that come at the same time wait for. */
static smq_err migrate(struct records *r)
{
	int64_t version = 0;
	smq_err err = exec(r,
			   "BEGIN; SELECT pg_advisory_xact_lock(" MIGRATION_LOCK ");"
			   "CREATE TABLE IF NOT EXISTS sealmq_version (version BIGINT NOT NULL);"
			   "INSERT INTO sealmq_version SELECT 0 WHERE NOT EXISTS (SELECT * FROM sealmq_version)",
			   NULL);
	if (err == SMQ_OK)
		err = version_of(r, &version);
	for (int to = (int)version + 1; err == SMQ_OK && to <= smq_record_migrations; to++)
		err = migrate_one(r, to);
	return err == SMQ_OK ? exec(r, "COMMIT", NULL) : err;
}

static smq_err set_up(struct records *r)
{
	int64_t version;
	if (r->pq.status(r->db) != CONNECTION_OK) {
		keep_words(r, r->pq.errorMessage(r->db));
		return SMQ_ERR_NO_CONNECTION;
	}
	smq_err err = set_session(r);
	if (err != SMQ_OK)
		return err;
	return r->writes ? migrate(r) : version_of(r, &version);
}

smq_err smq_records_postgres_open(const char *url, bool writes, struct smq_record_store *ret_store, char *ret_why,
				  size_t why_len)
{
	static const char *const names[] = { "dbname", "fallback_application_name", "connect_timeout", NULL };
	const char *const values[] = { url, "sealmq", "10", NULL };
	struct records *r = calloc(1, sizeof(*r));
	if (!r)
		return SMQ_ERR_NO_MEMORY;
	for (int i = 0; i < NAMES; i++)
		smq_id_cache_init(&r->names[i], CACHED_MAX);
	smq_id_cache_init(&r->lives, CACHED_MAX);
	r->writes = writes;
	smq_err err = libpq_load(&r->pq);
	if (err == SMQ_OK) {
		r->db = r->pq.connectdbParams(names, values, 1);
		err = r->db ? set_up(r) : SMQ_ERR_NO_MEMORY;
	} else {
		keep_words(r, smq_library_text(err));
	}
	if (err != SMQ_OK) {
		snprintf(ret_why, why_len, "%s", r->why);
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

void smq_records_postgres_settings(const struct smq_record_store *store, void *self,
				   void (*take)(void *self, const char *name, const char *value))
{
	const struct records *r = store->self;
	PQconninfoOption *all = r->pq.conninfo(r->db);
	for (const PQconninfoOption *o = all; o && o->keyword; o++) {
		if (o->val && *o->val)
			take(self, o->keyword, o->val);
	}
	r->pq.conninfoFree(all);
}
