/*
 * Recording: what was received and opened is held against a declared schema and stored; what is not as declared goes
 * to quarantine with the reason. And the daily questions to such a store.
 *
 *     struct smq_record_options r;
 *     smq_record_options_init(&r);
 *     r.store = "audit.db";  r.schema_file = "energy.yaml";
 *     smq_recorder_open(&r, &recorder, &why);
 *     smq_recorder_prepare(recorder, &client_options);    held acknowledgements, repeats
 *     on_message:  smq_recorder_take(recorder, message);
 *     on_refused:  smq_recorder_refuse(recorder, refusal);
 *     on_proof:    smq_recorder_prove(recorder, message, err);
 *     on_witness:  smq_recorder_witness(recorder, witness);
 *     before_ack:  return smq_recorder_commit(recorder);
 *
 * With QoS 1, clean_start false and a client id of one's own, a message is acknowledged to the broker only once it is
 * durably stored: a kill at any moment loses nothing that was acknowledged to its publisher, and stores nothing twice
 * (FORMATS.md 7, decisions/0013).
 */
#ifndef SEALMQ_RECORD_H
#define SEALMQ_RECORD_H

#include <stdbool.h>

#include <sealmq/client.h>
#include <sealmq/confine.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- recording ---- */

typedef struct smq_recorder smq_recorder;

struct smq_quarantined {
	const char *reason; /* a word: "out-of-range", "missing-field", ... */
	const char *detail; /* where; printable */
	const char *sender; /* certified */
	const char *topic;
	uint64_t counter;
};

struct smq_record_options {
	const char *store;       /* an SQLite file, made if it is not there, or postgres://... */
	const char *schema_file; /* YAML (FORMATS.md 7.1); NULL: whatever opens is stored as it is, without readings */
	bool require_proof; /* what is not proven by its sender's signature goes to quarantine; what a checkpoint is
			     * to prove is stored as provisional until it does, or does not */
	/* of what is signed or covered, keep what a third party needs to verify it (sealmq/evidence.h): signatures,
	 * checkpoints, certificates, revocation lists, and the keys that open the messages */
	bool evidence;
	uint64_t refusals_max; /* of messages that do not open, kept for each commit; default 64, the rest is counted */
	int verify_threads;    /* signatures of messages are verified by so many threads besides the caller's; -1 (the
				* default): one less than there are processors */
	void *self;
	void (*on_quarantined)(void *self, const struct smq_quarantined *what);
};
/* Fills in the defaults; everything else is zero. */
void smq_record_options_init(struct smq_record_options *o);

struct smq_record_counts {
	uint64_t stored;      /* messages that are durable */
	uint64_t repeated;    /* stored before, by this or another recorder */
	uint64_t quarantined; /* opened, but not as declared */
	uint64_t refused;     /* not opened */
	uint64_t commits, failed_commits;
	uint64_t settled; /* stored as provisional by a recorder that ended, proven since by evidence in the store */
};

/* On failure *ret_why (may be NULL) says what is wrong, valid until the next call in this thread. */
SMQ_MUST_USE smq_err smq_recorder_open(const struct smq_record_options *options, smq_recorder **ret_recorder,
				       const char **ret_why);
/* Sets what a client needs so that it can record: repeats and the check of proofs on, clean_start off, session expiry a
 * week where it is 0. The callbacks are the caller's. options->realm is asked for the revocation lists in force, and
 * must outlive the recorder's use where evidence is kept. */
void smq_recorder_prepare(smq_recorder *recorder, struct smq_client_options *options);
/* What the open store needs (sealmq/confine.h). */
void smq_recorder_needs(const smq_recorder *recorder, smq_needs *needs);
/* Takes an opened message; it counts from the next commit on. A failure is remembered and told by commit. */
void smq_recorder_take(smq_recorder *recorder, const struct smq_message *message);
/* Takes note of a message that was refused. */
void smq_recorder_refuse(smq_recorder *recorder, const struct smq_refusal *refusal);
/* What became of a message that was taken as provisional; counts from the next commit on. */
void smq_recorder_prove(smq_recorder *recorder, const struct smq_message *message, smq_err err);
/* A certificate or a checkpoint; kept where options.evidence is set. */
void smq_recorder_witness(smq_recorder *recorder, const struct smq_witness *witness);
/* Makes durable what was taken. On failure nothing of it is stored. SMQ_ERR_STORE, SMQ_ERR_DISK_FULL, ... */
SMQ_MUST_USE smq_err smq_recorder_commit(smq_recorder *recorder);
struct smq_record_counts smq_recorder_counts(const smq_recorder *recorder);
/* What the last failure was, in the database's words; printable. */
const char *smq_recorder_why(const smq_recorder *recorder);
/* Commits what is open, closes the store. NULL is fine. */
void smq_recorder_free(smq_recorder *recorder);

/* ---- asking ---- */

enum smq_record_question {
	SMQ_RECORD_LATEST,     /* the newest reading of each sender and type */
	SMQ_RECORD_RANGE,      /* readings by measured time */
	SMQ_RECORD_COUNTS,     /* stored messages by sender and proof */
	SMQ_RECORD_REASONS,    /* quarantined messages by sender and reason */
	SMQ_RECORD_QUARANTINE, /* quarantined messages by received time */
	SMQ_RECORD_QUESTIONS
};

struct smq_record_query {
	enum smq_record_question question;
	const char *sender, *type, *topic; /* NULL: any */
	int64_t from_ms, to_ms;            /* Unix ms, from inclusive, to exclusive; INT64_MIN and INT64_MAX: any */
	uint64_t limit;                    /* rows at most; 0: all */
};

enum smq_record_cell_kind {
	SMQ_CELL_NULL,
	SMQ_CELL_INTEGER,
	SMQ_CELL_REAL,
	SMQ_CELL_TEXT, /* any bytes: escape before showing */
	SMQ_CELL_TIME  /* integer: Unix ms */
};

struct smq_record_cell {
	const char *column;
	enum smq_record_cell_kind kind;
	int64_t integer;
	double real;
	smq_span text;
};

/* One row of the answer, valid during the call; false ends the query. */
typedef bool (*smq_record_row_fn)(void *self, const struct smq_record_cell *cells, size_t count);

/* Opens the store for reading, also while a recorder writes to it. SMQ_ERR_NOT_FOUND: there is none. */
SMQ_MUST_USE smq_err smq_record_ask(const char *store, const struct smq_record_query *query, smq_record_row_fn on_row,
				    void *self, const char **ret_why);
/* An RFC 3339 time in Unix ms; false: it is none. */
bool smq_record_time(const char *text, int64_t *ret_unix_ms);
/* The columns of a question's answer, in their order; NULL past the last. */
const char *smq_record_column(enum smq_record_question question, size_t column);

#ifdef __cplusplus
}
#endif
#endif
