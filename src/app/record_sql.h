/*
 * The one schema of both record stores (FORMATS.md 7.2), and the questions that are asked of it.
 *
 * Migrations are numbered from 1 and never change once released; a store runs those it has not had yet. In their text
 * @id@, @bytes@ and @keyed@ stand for what the two dialects call differently. Parameters are $1 to $6 in both.
 */
#ifndef SMQ_APP_RECORD_SQL_H
#define SMQ_APP_RECORD_SQL_H

#include "app/record_store.h"

struct smq_record_dialect {
	const char *id;    /* column type of a number that the database gives out */
	const char *bytes; /* column type of bytes */
	const char *keyed; /* table option: rows lie in the order of their primary key */
};

extern const int smq_record_migrations;
/* The statements of migration `number`; to be freed. */
SMQ_MUST_USE smq_err smq_record_migration(int number, const struct smq_record_dialect *dialect, char **ret_sql);

/* What proof does to a provisional row: $1 life, $2 counter, $3 reason. Each uses what it needs. */
extern const char smq_record_proven_sql[], smq_record_unproven_sql[], smq_record_remove_sql[];

/* What keep does, parameters in the order of enum smq_record_kept's comments, the life first. */
extern const char *const smq_record_keep_sql[SMQ_KEPT_KINDS];

/* Questions that are not asked by hand: what an export of evidence is made of. */
enum {
	SMQ_RECORD_EV_MESSAGES = SMQ_RECORD_QUESTIONS,
	SMQ_RECORD_EV_STREAMS,
	SMQ_RECORD_EV_CHECKPOINTS,
	SMQ_RECORD_EV_CERTIFICATES,
	SMQ_RECORD_EV_CRLS,
	/* Provisional messages by the time they were received: how many; and those that a stored checkpoint may cover.
	 */
	SMQ_RECORD_EV_LEFT,
	SMQ_RECORD_EV_OPEN,
	SMQ_RECORD_ALL_QUESTIONS
};
enum { SMQ_RECORD_COLUMNS_MAX = 16 }; /* of any answer */

enum smq_record_cell_kind smq_record_column_kind(enum smq_record_question question, size_t column);
/* $1 sender or '', $2 type or '', $3 topic or '', $4 from ms, $5 to ms, $6 limit: each is used in every text. */
const char *smq_record_question_sql(enum smq_record_question question);
size_t smq_record_column_count(enum smq_record_question question);
const char *smq_record_column_name(enum smq_record_question question, size_t column);

#endif
