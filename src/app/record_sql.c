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

enum { COLUMNS_MAX = 9 };

struct column {
	const char *name;
	enum smq_record_cell_kind kind;
};

static const struct {
	struct column columns[COLUMNS_MAX];
	const char *sql;
} questions[SMQ_RECORD_QUESTIONS] = {
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
