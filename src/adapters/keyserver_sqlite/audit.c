/* The audit log: lines that hang together by hashes, and a signed end (FORMATS.md 8). */
#include "adapters/keyserver_sqlite/audit.h"

#include <stdio.h>
#include <string.h>

#include "adapters/common_sqlite/sqlite_file.h"
#include "wire/fields.h"
#include "wire/sign1.h"

enum { LINE_MAX_BYTES = 512, END_MAX = 128, END_FIELDS = 4, VERSION = 1 };

static void put_text(struct smq_writer *w, const char *text) { smq_cbor_put_text(w, smq_span_str(text)); }

/* hash = SHA-256(hash of the line before || line) */
static smq_err hash_line(const struct smq_crypto *crypto, const uint8_t before[SMQ_HASH_LEN],
			 const struct smq_ks_audit_line *l, uint8_t ret_hash[SMQ_HASH_LEN])
{
	uint8_t bytes[LINE_MAX_BYTES];
	size_t len = 0;
	struct smq_writer w = smq_writer_on(smq_mspan_of(bytes, sizeof(bytes)));
	smq_cbor_put_array(&w, 7);
	smq_cbor_put_uint(&w, l->number);
	smq_cbor_put_int(&w, l->time_ms);
	put_text(&w, l->what);
	put_text(&w, l->who);
	put_text(&w, l->group);
	put_text(&w, l->whom);
	smq_cbor_put_uint(&w, (uint64_t)l->outcome);
	smq_err err = smq_writer_end(&w, &len);
	smq_span parts[2] = { smq_span_of(before, SMQ_HASH_LEN), smq_span_of(bytes, len) };
	return err == SMQ_OK ? crypto->sha256(parts, 2, ret_hash) : err;
}

smq_err smq_ks_audit_open(struct smq_ks_audit *a, sqlite3 *db, const struct smq_crypto *crypto)
{
	sqlite3_stmt *s;
	*a = (struct smq_ks_audit){ .db = db, .crypto = crypto };
	int rc = smq_sqlite.prepare_v2(db, "SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1", -1, &s, NULL);
	if (rc != SQLITE_OK)
		return smq_sqlite_err(db, rc);
	rc = smq_sqlite.step(s);
	smq_err err = smq_sqlite_err(db, rc);
	if (rc == SQLITE_ROW && smq_sqlite.column_bytes(s, 1) != SMQ_HASH_LEN)
		err = SMQ_ERR_CORRUPT;
	if (rc == SQLITE_ROW && err == SMQ_OK) {
		a->lines = (uint64_t)smq_sqlite.column_int64(s, 0);
		memcpy(a->hash, smq_sqlite.column_blob(s, 1), SMQ_HASH_LEN);
	}
	smq_sqlite.finalize(s);
	return err;
}

static void bind_line(sqlite3_stmt *s, const struct smq_ks_audit_line *l)
{
	smq_sqlite.bind_int64(s, 1, (int64_t)l->number);
	smq_sqlite.bind_int64(s, 2, l->time_ms);
	smq_sqlite.bind_text(s, 3, l->what, -1, SQLITE_STATIC);
	smq_sqlite.bind_text(s, 4, l->who, -1, SQLITE_STATIC);
	smq_sqlite.bind_text(s, 5, l->group, -1, SQLITE_STATIC);
	smq_sqlite.bind_text(s, 6, l->whom, -1, SQLITE_STATIC);
	smq_sqlite.bind_int(s, 7, (int)l->outcome);
	smq_sqlite.bind_blob(s, 8, l->hash, SMQ_HASH_LEN, SQLITE_STATIC);
}

smq_err smq_ks_audit_append(struct smq_ks_audit *a, struct smq_ks_audit_line *line)
{
	static const char sql[] = "INSERT INTO audit (number, time_ms, what, who, grp, whom, outcome, hash)"
				  " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
	sqlite3_stmt *s;
	line->number = a->lines + 1;
	smq_err err = hash_line(a->crypto, a->hash, line, line->hash);
	if (err != SMQ_OK)
		return err;
	int rc = smq_sqlite.prepare_v2(a->db, sql, -1, &s, NULL);
	if (rc != SQLITE_OK)
		return smq_sqlite_err(a->db, rc);
	bind_line(s, line);
	err = smq_sqlite_err(a->db, smq_sqlite.step(s));
	smq_sqlite.finalize(s);
	if (err == SMQ_OK) {
		a->lines = line->number;
		memcpy(a->hash, line->hash, SMQ_HASH_LEN);
		a->moved = true;
	}
	return err;
}

/* end = [ 1, lines, hash, time_ms ] */
static smq_err encode_end(const struct smq_ks_audit *a, int64_t now_ms, smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	smq_cbor_put_array(&w, END_FIELDS);
	smq_cbor_put_uint(&w, VERSION);
	smq_cbor_put_uint(&w, a->lines);
	smq_cbor_put_bytes(&w, smq_span_of(a->hash, SMQ_HASH_LEN));
	smq_put_time(&w, now_ms);
	return smq_writer_end(&w, ret_len);
}

static smq_err put_meta(sqlite3 *db, const char *name, smq_span value)
{
	sqlite3_stmt *s;
	int rc = smq_sqlite.prepare_v2(db, "INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)", -1, &s, NULL);
	if (rc != SQLITE_OK)
		return smq_sqlite_err(db, rc);
	smq_sqlite.bind_text(s, 1, name, -1, SQLITE_STATIC);
	smq_sqlite.bind_blob(s, 2, value.p, (int)value.len, SQLITE_STATIC);
	smq_err err = smq_sqlite_err(db, smq_sqlite.step(s));
	smq_sqlite.finalize(s);
	return err;
}

smq_err smq_ks_audit_seal(struct smq_ks_audit *a, const struct smq_own_credential *own, int64_t now_ms)
{
	uint8_t end[END_MAX], signed_end[END_MAX + SMQ_SIGN1_OVERHEAD_MAX];
	size_t len = 0;
	if (!a->moved)
		return SMQ_OK;
	smq_err err = encode_end(a, now_ms, smq_mspan_of(end, sizeof(end)), &len);
	if (err == SMQ_OK)
		err = smq_sign1_encode_document(own, SMQ_KS_AUDIT_KIND, smq_span_of(end, len),
						smq_mspan_of(signed_end, sizeof(signed_end)), &len);
	if (err != SMQ_OK)
		return err;
	err = put_meta(a->db, "audit", smq_span_of(signed_end, len));
	if (err == SMQ_OK)
		err = put_meta(a->db, "signer", own->id_cred_full);
	if (err == SMQ_OK)
		a->moved = false;
	return err;
}

/* ---- reading it back ---- */

static const char *text_of(sqlite3_stmt *s, int column)
{
	const char *text = (const char *)smq_sqlite.column_text(s, column);
	return text ? text : "";
}

static smq_err read_line(sqlite3_stmt *s, const struct smq_crypto *crypto, const struct smq_ks_audit_end *so_far,
			 struct smq_ks_audit_line *l)
{
	uint8_t hash[SMQ_HASH_LEN];
	*l = (struct smq_ks_audit_line){ .number = (uint64_t)smq_sqlite.column_int64(s, 0),
					 .time_ms = smq_sqlite.column_int64(s, 1),
					 .what = text_of(s, 2),
					 .who = text_of(s, 3),
					 .group = text_of(s, 4),
					 .whom = text_of(s, 5),
					 .outcome = (smq_err)smq_sqlite.column_int(s, 6) };
	if (l->number != so_far->lines + 1 || smq_sqlite.column_bytes(s, 7) != SMQ_HASH_LEN)
		return SMQ_ERR_CORRUPT;
	memcpy(l->hash, smq_sqlite.column_blob(s, 7), SMQ_HASH_LEN);
	smq_err err = hash_line(crypto, so_far->hash, l, hash);
	return err == SMQ_OK && memcmp(hash, l->hash, SMQ_HASH_LEN) != 0 ? SMQ_ERR_CORRUPT : err;
}

static smq_err read_lines(sqlite3 *db, const struct smq_crypto *crypto, void *self,
			  void (*take)(void *self, const struct smq_ks_audit_line *line), struct smq_ks_audit_end *end)
{
	sqlite3_stmt *s;
	smq_err err = SMQ_OK;
	int rc = smq_sqlite.prepare_v2(
	    db, "SELECT number, time_ms, what, who, grp, whom, outcome, hash FROM audit ORDER BY number", -1, &s, NULL);
	if (rc != SQLITE_OK)
		return smq_sqlite_err(db, rc);
	while (err == SMQ_OK && (rc = smq_sqlite.step(s)) == SQLITE_ROW) {
		struct smq_ks_audit_line l;
		err = read_line(s, crypto, end, &l);
		if (err != SMQ_OK)
			break;
		end->lines = l.number;
		memcpy(end->hash, l.hash, SMQ_HASH_LEN);
		if (take)
			take(self, &l);
	}
	if (err == SMQ_OK)
		err = smq_sqlite_err(db, rc);
	smq_sqlite.finalize(s);
	return err;
}

static smq_err check_end(smq_span bytes, smq_span signer, const struct smq_crypto *crypto,
			 const struct smq_credentials *credentials, int64_t now_ms, struct smq_ks_audit_end *end)
{
	struct smq_sign1 s;
	struct smq_credential c;
	uint8_t hash[SMQ_HASH_LEN] = { 0 };
	smq_err err = smq_sign1_decode(bytes, &s);
	if (err == SMQ_OK)
		err = credentials->resolve(credentials->self, signer, now_ms, &c);
	if (err == SMQ_OK)
		err = smq_sign1_verify_document(&s, crypto, &c, SMQ_ROLE_KEYSERVER, SMQ_KS_AUDIT_KIND);
	if (err != SMQ_OK)
		return err;
	struct smq_reader r = smq_reader_on(s.payload);
	smq_get_head(&r, END_FIELDS, VERSION);
	uint64_t lines = smq_cbor_get_uint(&r);
	smq_get_fixed(&r, smq_mspan_of(hash, sizeof(hash)));
	end->time_ms = smq_get_time(&r);
	err = smq_reader_end(&r);
	if (err != SMQ_OK)
		return err;
	snprintf(end->signer, sizeof(end->signer), "%s", c.name);
	if (end->lines < lines)
		return SMQ_ERR_TRUNCATED;
	return end->lines > lines || memcmp(hash, end->hash, SMQ_HASH_LEN) != 0 ? SMQ_ERR_CORRUPT : SMQ_OK;
}

static smq_err read_end(sqlite3 *db, const struct smq_crypto *crypto, const struct smq_credentials *credentials,
			int64_t now_ms, struct smq_ks_audit_end *end)
{
	sqlite3_stmt *s;
	int rc = smq_sqlite.prepare_v2(db,
				       "SELECT a.value, s.value FROM meta a, meta s"
				       " WHERE a.name = 'audit' AND s.name = 'signer'",
				       -1, &s, NULL);
	if (rc != SQLITE_OK)
		return smq_sqlite_err(db, rc);
	rc = smq_sqlite.step(s);
	smq_err err = smq_sqlite_err(db, rc);
	if (rc == SQLITE_DONE)
		err = end->lines > 0 ? SMQ_ERR_SIGNATURE : SMQ_OK;
	else if (rc == SQLITE_ROW)
		err = check_end(smq_span_of(smq_sqlite.column_blob(s, 0), (size_t)smq_sqlite.column_bytes(s, 0)),
				smq_span_of(smq_sqlite.column_blob(s, 1), (size_t)smq_sqlite.column_bytes(s, 1)),
				crypto, credentials, now_ms, end);
	smq_sqlite.finalize(s);
	return err;
}

smq_err smq_keyserver_sqlite_audit(const char *path, const struct smq_crypto *crypto,
				   const struct smq_credentials *credentials, int64_t now_ms, void *self,
				   void (*take)(void *self, const struct smq_ks_audit_line *line),
				   struct smq_ks_audit_end *ret_end)
{
	sqlite3 *db = NULL;
	*ret_end = (struct smq_ks_audit_end){ .lines = 0 };
	smq_err err = smq_sqlite_load();
	if (err != SMQ_OK)
		return err;
	err = smq_sqlite_err(NULL, smq_sqlite.open_v2(path, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOFOLLOW, NULL));
	/* One snapshot for lines and end, whatever a running key server adds meanwhile. */
	if (err == SMQ_OK)
		err = smq_sqlite_exec(db, "PRAGMA busy_timeout = 5000; BEGIN");
	if (err == SMQ_OK)
		err = read_lines(db, crypto, self, take, ret_end);
	if (err == SMQ_OK)
		err = read_end(db, crypto, credentials, now_ms, ret_end);
	smq_sqlite.close(db);
	return err;
}
