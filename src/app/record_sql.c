/* The schema of the record stores as text. */
#include "app/record_sql.h"

#include <stddef.h>

#include "app/template.h"
#include "base/table.h"

/*
 * No foreign keys in readings: they would be checked for each row, and the numbers come from the same transaction or
 * an earlier one. part 0 of a message carries the raw record; a message without readings has that part alone.
 */
static const char *const migrations[] = {
	"CREATE TABLE senders (id @id@, name TEXT NOT NULL UNIQUE);\n"
	"CREATE TABLE topics (id @id@, name TEXT NOT NULL UNIQUE);\n"
	"CREATE TABLE types (id @id@, name TEXT NOT NULL UNIQUE, unit TEXT NOT NULL);\n"
	"CREATE TABLE lives (id @id@, sender_id BIGINT NOT NULL REFERENCES senders (id), group_name TEXT NOT NULL,"
	" epoch BIGINT NOT NULL, slot BIGINT NOT NULL, boot_id @bytes@ NOT NULL,"
	" UNIQUE (sender_id, group_name, epoch, slot, boot_id));\n"
	"CREATE TABLE readings (life_id BIGINT NOT NULL, counter BIGINT NOT NULL, part BIGINT NOT NULL,"
	" topic_id BIGINT NOT NULL, type_id BIGINT, measured_ms BIGINT NOT NULL, received_ms BIGINT NOT NULL,"
	" value DOUBLE PRECISION, value_text TEXT, proof BIGINT NOT NULL, raw @bytes@,"
	" PRIMARY KEY (life_id, counter, part)) @keyed@;\n"
	"CREATE INDEX readings_measured ON readings (measured_ms);\n"
	"CREATE TABLE quarantine (id @id@, received_ms BIGINT NOT NULL, sender TEXT NOT NULL, topic TEXT NOT NULL,"
	" reason TEXT NOT NULL, detail TEXT NOT NULL, group_name TEXT, epoch BIGINT, slot BIGINT, boot_id @bytes@,"
	" counter BIGINT, times BIGINT NOT NULL, raw @bytes@,"
	" UNIQUE (sender, group_name, epoch, slot, boot_id, counter));\n"
	"CREATE INDEX quarantine_received ON quarantine (received_ms);\n",

	/* 2: evidence. Certificates and lists are named by hashes: what points to them may be stored before they are,
	 * and by another recorder. */
	"CREATE TABLE certificates (thumbprint @bytes@ PRIMARY KEY, name TEXT NOT NULL, chain @bytes@ NOT NULL);\n"
	"CREATE TABLE crls (digest @bytes@ PRIMARY KEY, heard_ms BIGINT NOT NULL, pem @bytes@ NOT NULL);\n"
	"CREATE TABLE streams (life_id BIGINT NOT NULL, digest @bytes@ NOT NULL UNIQUE, context @bytes@ NOT NULL,"
	" key @bytes@ NOT NULL, base_iv @bytes@ NOT NULL, PRIMARY KEY (life_id, digest));\n"
	"CREATE TABLE seals (life_id BIGINT NOT NULL, counter BIGINT NOT NULL, stamp BIGINT, signature @bytes@,"
	" certificate @bytes@, crl @bytes@, PRIMARY KEY (life_id, counter)) @keyed@;\n"
	"CREATE TABLE checkpoints (hash @bytes@ PRIMARY KEY, stream @bytes@ NOT NULL, first BIGINT NOT NULL,"
	" count BIGINT NOT NULL, received_ms BIGINT NOT NULL, document @bytes@ NOT NULL, certificate @bytes@ NOT NULL,"
	" crl @bytes@);\n"
	"CREATE INDEX checkpoints_stream ON checkpoints (stream, first);\n",

	/* 3: what is still to be proven is found without reading the rest. */
	"CREATE INDEX readings_provisional ON readings (life_id, counter) WHERE proof = 3;\n",
};
const int smq_record_migrations = (int)SMQ_COUNT(migrations);

smq_err smq_record_migration(int number, const struct smq_record_dialect *d, char **ret_sql)
{
	const struct smq_template_value values[] = { { "id", d->id }, { "bytes", d->bytes }, { "keyed", d->keyed } };
	return smq_template_fill(migrations[number - 1], values, SMQ_COUNT(values), ret_sql);
}

const char smq_record_proven_sql[] = "UPDATE readings SET proof = 4 WHERE life_id = $1 AND counter = $2 AND proof = 3";
const char smq_record_unproven_sql[] =
    "INSERT INTO quarantine (received_ms, sender, topic, reason, detail, group_name, epoch, slot, boot_id, counter,"
    " times, raw) SELECT r.received_ms, s.name, t.name, $3, '', l.group_name, l.epoch, l.slot, l.boot_id, r.counter,"
    " 1, r.raw FROM readings r JOIN lives l ON l.id = r.life_id JOIN senders s ON s.id = l.sender_id"
    " JOIN topics t ON t.id = r.topic_id WHERE r.life_id = $1 AND r.counter = $2 AND r.part = 0 AND r.proof = 3"
    " ON CONFLICT DO NOTHING";
const char smq_record_remove_sql[] = "DELETE FROM readings WHERE life_id = $1 AND counter = $2 AND proof = 3";

const char *const smq_record_keep_sql[SMQ_KEPT_KINDS] = {
	[SMQ_KEPT_CERTIFICATE] = "INSERT INTO certificates (thumbprint, name, chain) VALUES ($1, $2, $3)"
				 " ON CONFLICT DO NOTHING",
	[SMQ_KEPT_CRL] = "INSERT INTO crls (digest, heard_ms, pem) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
	[SMQ_KEPT_STREAM] = "INSERT INTO streams (life_id, digest, context, key, base_iv) VALUES ($1, $2, $3, $4, $5)"
			    " ON CONFLICT DO NOTHING",
	[SMQ_KEPT_SEAL] = "INSERT INTO seals (life_id, counter, stamp, signature, certificate, crl)"
			  " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
	[SMQ_KEPT_SIGNER] = "UPDATE seals SET certificate = $3, crl = $4 WHERE life_id = $1 AND counter = $2"
			    " AND certificate IS NULL",
	[SMQ_KEPT_CHECKPOINT] =
	    "INSERT INTO checkpoints (hash, stream, first, count, received_ms, document, certificate,"
	    " crl) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
};

enum { COLUMNS_MAX = SMQ_RECORD_COLUMNS_MAX };

struct column {
	const char *name;
	enum smq_record_cell_kind kind;
};

static const struct {
	struct column columns[COLUMNS_MAX];
	const char *sql;
} questions[SMQ_RECORD_ALL_QUESTIONS] = {
	/* The newest by measured time; of a tie the one that was sent later. */
	[SMQ_RECORD_LATEST] = { { { "sender", SMQ_CELL_TEXT },
				  { "type", SMQ_CELL_TEXT },
				  { "measured", SMQ_CELL_TIME },
				  { "received", SMQ_CELL_TIME },
				  { "value", SMQ_CELL_REAL },
				  { "text", SMQ_CELL_TEXT },
				  { "unit", SMQ_CELL_TEXT },
				  { "proof", SMQ_CELL_INTEGER } },
				"SELECT sender, type, measured_ms, received_ms, value, value_text, unit, proof FROM ("
				"SELECT s.name AS sender, COALESCE(y.name, '') AS type, r.measured_ms, r.received_ms, "
				"r.value,"
				" r.value_text, COALESCE(y.unit, '') AS unit, r.proof,"
				" ROW_NUMBER() OVER (PARTITION BY s.id, r.type_id ORDER BY r.measured_ms DESC, "
				"r.received_ms DESC,"
				" r.life_id DESC, r.counter DESC) AS place"
				" FROM readings r JOIN lives l ON l.id = r.life_id JOIN senders s ON s.id = l.sender_id"
				" JOIN topics t ON t.id = r.topic_id LEFT JOIN types y ON y.id = r.type_id"
				" WHERE ($1 = '' OR s.name = $1) AND ($2 = '' OR y.name = $2) AND ($3 = '' OR t.name = "
				"$3)"
				" AND r.measured_ms >= $4 AND r.measured_ms < $5) q WHERE place = 1 ORDER BY sender, "
				"type LIMIT $6" },
	[SMQ_RECORD_RANGE] = { { { "measured", SMQ_CELL_TIME },
				 { "received", SMQ_CELL_TIME },
				 { "sender", SMQ_CELL_TEXT },
				 { "topic", SMQ_CELL_TEXT },
				 { "type", SMQ_CELL_TEXT },
				 { "value", SMQ_CELL_REAL },
				 { "text", SMQ_CELL_TEXT },
				 { "unit", SMQ_CELL_TEXT },
				 { "proof", SMQ_CELL_INTEGER } },
			       "SELECT r.measured_ms, r.received_ms, s.name, t.name, COALESCE(y.name, ''), r.value, "
			       "r.value_text,"
			       " COALESCE(y.unit, ''), r.proof"
			       " FROM readings r JOIN lives l ON l.id = r.life_id JOIN senders s ON s.id = l.sender_id"
			       " JOIN topics t ON t.id = r.topic_id LEFT JOIN types y ON y.id = r.type_id"
			       " WHERE ($1 = '' OR s.name = $1) AND ($2 = '' OR y.name = $2) AND ($3 = '' OR t.name = "
			       "$3)"
			       " AND r.measured_ms >= $4 AND r.measured_ms < $5"
			       " ORDER BY r.measured_ms, r.life_id, r.counter, r.part LIMIT $6" },
	[SMQ_RECORD_COUNTS] = { { { "sender", SMQ_CELL_TEXT },
				  { "proof", SMQ_CELL_INTEGER },
				  { "messages", SMQ_CELL_INTEGER },
				  { "first", SMQ_CELL_TIME },
				  { "last", SMQ_CELL_TIME } },
				"SELECT s.name, r.proof, COUNT(*), MIN(r.measured_ms), MAX(r.measured_ms)"
				" FROM readings r JOIN lives l ON l.id = r.life_id JOIN senders s ON s.id = l.sender_id"
				" JOIN topics t ON t.id = r.topic_id LEFT JOIN types y ON y.id = r.type_id"
				" WHERE r.part = 0 AND ($1 = '' OR s.name = $1) AND ($2 = '' OR y.name = $2)"
				" AND ($3 = '' OR t.name = $3) AND r.measured_ms >= $4 AND r.measured_ms < $5"
				" GROUP BY s.name, r.proof ORDER BY s.name, r.proof LIMIT $6" },
	[SMQ_RECORD_REASONS] = { { { "sender", SMQ_CELL_TEXT },
				   { "reason", SMQ_CELL_TEXT },
				   { "messages", SMQ_CELL_INTEGER },
				   { "first", SMQ_CELL_TIME },
				   { "last", SMQ_CELL_TIME } },
				 "SELECT sender, reason, CAST(SUM(times) AS BIGINT), MIN(received_ms), "
				 "MAX(received_ms) FROM quarantine"
				 " WHERE ($1 = '' OR sender = $1) AND ($2 = '' OR reason = $2) AND ($3 = '' OR topic = "
				 "$3)"
				 " AND received_ms >= $4 AND received_ms < $5"
				 " GROUP BY sender, reason ORDER BY sender, reason LIMIT $6" },
	[SMQ_RECORD_QUARANTINE] = { { { "received", SMQ_CELL_TIME },
				      { "sender", SMQ_CELL_TEXT },
				      { "topic", SMQ_CELL_TEXT },
				      { "reason", SMQ_CELL_TEXT },
				      { "detail", SMQ_CELL_TEXT },
				      { "counter", SMQ_CELL_INTEGER },
				      { "times", SMQ_CELL_INTEGER },
				      { "raw", SMQ_CELL_TEXT } },
				    "SELECT received_ms, sender, topic, reason, detail, counter, times, raw FROM "
				    "quarantine"
				    " WHERE ($1 = '' OR sender = $1) AND ($2 = '' OR reason = $2) AND ($3 = '' OR "
				    "topic = $3)"
				    " AND received_ms >= $4 AND received_ms < $5 ORDER BY received_ms, id LIMIT $6" },

	/* In each all six parameters are named, whether needed or not. */
	[SMQ_RECORD_EV_MESSAGES] = { { { "life", SMQ_CELL_INTEGER },
				       { "counter", SMQ_CELL_INTEGER },
				       { "topic", SMQ_CELL_TEXT },
				       { "received", SMQ_CELL_TIME },
				       { "raw", SMQ_CELL_TEXT },
				       { "stamp", SMQ_CELL_INTEGER },
				       { "signature", SMQ_CELL_TEXT },
				       { "certificate", SMQ_CELL_TEXT },
				       { "crl", SMQ_CELL_TEXT } },
				     "SELECT r.life_id, r.counter, t.name, r.received_ms, r.raw, e.stamp, e.signature,"
				     " e.certificate, e.crl"
				     " FROM readings r JOIN lives l ON l.id = r.life_id JOIN senders s ON s.id = "
				     "l.sender_id"
				     " JOIN topics t ON t.id = r.topic_id"
				     " LEFT JOIN seals e ON e.life_id = r.life_id AND e.counter = r.counter"
				     " WHERE r.part = 0 AND ($1 = '' OR s.name = $1) AND $2 = '' AND ($3 = '' OR "
				     "t.name = $3)"
				     " AND r.measured_ms >= $4 AND r.measured_ms < $5"
				     " ORDER BY r.life_id, r.counter LIMIT $6" },
	[SMQ_RECORD_EV_STREAMS] = { { { "life", SMQ_CELL_INTEGER },
				      { "digest", SMQ_CELL_TEXT },
				      { "context", SMQ_CELL_TEXT },
				      { "key", SMQ_CELL_TEXT },
				      { "base_iv", SMQ_CELL_TEXT } },
				    "SELECT k.life_id, k.digest, k.context, k.key, k.base_iv FROM streams k"
				    " JOIN lives l ON l.id = k.life_id JOIN senders s ON s.id = l.sender_id"
				    " WHERE ($1 = '' OR s.name = $1) AND $2 = '' AND $3 = '' AND $4 <= $5"
				    " ORDER BY k.life_id, k.digest LIMIT $6" },
	[SMQ_RECORD_EV_CHECKPOINTS] = { { { "stream", SMQ_CELL_TEXT },
					  { "first", SMQ_CELL_INTEGER },
					  { "count", SMQ_CELL_INTEGER },
					  { "received", SMQ_CELL_TIME },
					  { "document", SMQ_CELL_TEXT },
					  { "certificate", SMQ_CELL_TEXT },
					  { "crl", SMQ_CELL_TEXT } },
					"SELECT c.stream, c.first, c.count, c.received_ms, c.document, c.certificate, "
					"c.crl"
					" FROM checkpoints c JOIN streams k ON k.digest = c.stream"
					" JOIN lives l ON l.id = k.life_id JOIN senders s ON s.id = l.sender_id"
					" WHERE ($1 = '' OR s.name = $1) AND $2 = '' AND $3 = '' AND $4 <= $5"
					" ORDER BY c.stream, c.first, c.hash LIMIT $6" },
	[SMQ_RECORD_EV_CERTIFICATES] = { { { "thumbprint", SMQ_CELL_TEXT },
					   { "name", SMQ_CELL_TEXT },
					   { "chain", SMQ_CELL_TEXT } },
					 "SELECT thumbprint, name, chain FROM certificates"
					 " WHERE ($1 = '' OR name = $1) AND $2 = '' AND $3 = '' AND $4 <= $5"
					 " ORDER BY thumbprint LIMIT $6" },
	[SMQ_RECORD_EV_CRLS] = { { { "digest", SMQ_CELL_TEXT }, { "heard", SMQ_CELL_TIME }, { "pem", SMQ_CELL_TEXT } },
				 "SELECT digest, heard_ms, pem FROM crls WHERE ($1 = '' OR $1 <> '') AND $2 = ''"
				 " AND $3 = '' AND $4 <= $5 ORDER BY heard_ms, digest LIMIT $6" },
	[SMQ_RECORD_EV_LEFT] = { { { "messages", SMQ_CELL_INTEGER } },
				 "SELECT COUNT(*) FROM readings r WHERE r.proof = 3 AND r.part = 0 AND $1 = ''"
				 " AND $2 = '' AND $3 = '' AND r.received_ms >= $4 AND r.received_ms < $5 LIMIT $6" },
	/* A row for each checkpoint that may cover the message; 256 is what one covers at most. */
	[SMQ_RECORD_EV_OPEN] = { { { "sender", SMQ_CELL_TEXT },
				   { "group", SMQ_CELL_TEXT },
				   { "epoch", SMQ_CELL_INTEGER },
				   { "slot", SMQ_CELL_INTEGER },
				   { "boot_id", SMQ_CELL_TEXT },
				   { "counter", SMQ_CELL_INTEGER },
				   { "topic", SMQ_CELL_TEXT },
				   { "raw", SMQ_CELL_TEXT },
				   { "stamp", SMQ_CELL_INTEGER },
				   { "digest", SMQ_CELL_TEXT },
				   { "context", SMQ_CELL_TEXT },
				   { "key", SMQ_CELL_TEXT },
				   { "base_iv", SMQ_CELL_TEXT },
				   { "document", SMQ_CELL_TEXT } },
				 "SELECT s.name, l.group_name, l.epoch, l.slot, l.boot_id, r.counter, t.name, r.raw,"
				 " e.stamp, k.digest, k.context, k.key, k.base_iv, c.document"
				 " FROM readings r JOIN lives l ON l.id = r.life_id JOIN senders s ON s.id = "
				 "l.sender_id"
				 " JOIN topics t ON t.id = r.topic_id JOIN streams k ON k.life_id = r.life_id"
				 " JOIN checkpoints c ON c.stream = k.digest AND c.first <= r.counter"
				 " AND c.first > r.counter - 256 AND c.first + c.count > r.counter"
				 " JOIN certificates x ON x.thumbprint = c.certificate AND x.name = s.name"
				 " LEFT JOIN seals e ON e.life_id = r.life_id AND e.counter = r.counter"
				 " WHERE r.proof = 3 AND r.part = 0 AND $1 = '' AND $2 = '' AND $3 = ''"
				 " AND r.received_ms >= $4 AND r.received_ms < $5"
				 " ORDER BY r.life_id, r.counter LIMIT $6" },
};

enum smq_record_cell_kind smq_record_column_kind(enum smq_record_question question, size_t column)
{
	return questions[question].columns[column].kind;
}

const char *smq_record_question_sql(enum smq_record_question question) { return questions[question].sql; }

size_t smq_record_column_count(enum smq_record_question question)
{
	size_t count = 0;
	while (count < COLUMNS_MAX && questions[question].columns[count].name)
		count++;
	return count;
}

const char *smq_record_column_name(enum smq_record_question question, size_t column)
{
	return questions[question].columns[column].name;
}
