/*
 * The record store port: where a recorder puts what it has accepted, and what it has not.
 *
 * Rows are gathered and become durable together: nothing counts before commit has answered SMQ_OK, and after a failure
 * or abandon nothing of it is there. A row whose key (sender, group, epoch, slot, boot id, counter) is stored already
 * is left out and counted, whoever stored it: several recorders share one database.
 */
#ifndef SMQ_APP_RECORD_STORE_H
#define SMQ_APP_RECORD_STORE_H

#include <sealmq/record.h>

#include "app/record_schema.h"

/* One life of a sender, and the message's number in it. */
struct smq_record_key {
	const char *sender;
	const char *group; /* "" for none */
	uint64_t epoch, slot, counter;
	const uint8_t *boot_id; /* 16 bytes */
};

struct smq_record_row {
	struct smq_record_key key;
	const char *topic;
	int64_t measured_ms, received_ms;
	enum smq_proof proof;
	smq_span raw;
	const struct smq_record_reading *readings;
	size_t reading_count;
};

/* What was not accepted. key.boot_id NULL: it was not even opened, and key.sender is claimed. */
struct smq_record_refused {
	struct smq_record_key key;
	const char *topic;
	int64_t received_ms;
	const char *reason, *detail;
	smq_span raw;
	uint64_t times; /* so many alike */
};

/* What is kept beside the rows so that they can be verified later (FORMATS.md 7.2). What is there already stays. */
enum smq_record_kept {
	SMQ_KEPT_CERTIFICATE, /* thumbprint, name, chain */
	SMQ_KEPT_CRL,         /* digest, first heard of in Unix ms, bytes */
	SMQ_KEPT_STREAM,      /* life; digest, context, key, base IV */
	SMQ_KEPT_SEAL,        /* life; counter, stamp or none, signature or none, thumbprint or none, CRL or none */
	SMQ_KEPT_SIGNER,      /* life; counter, thumbprint, CRL or none: of a seal whose signer came later */
	SMQ_KEPT_CHECKPOINT,  /* hash, stream, first, count, received, bytes, thumbprint, CRL or none */
	SMQ_KEPT_KINDS
};
enum { SMQ_KEPT_VALUES_MAX = 8 };
struct smq_record_value {
	enum { SMQ_VALUE_NONE, SMQ_VALUE_NUMBER, SMQ_VALUE_BYTES, SMQ_VALUE_TEXT } kind;
	int64_t number;
	smq_span bytes;
};

struct smq_record_committed {
	uint64_t stored, repeated, quarantined;
};

struct smq_record_store {
	void *self;
	smq_err (*add)(void *self, const struct smq_record_row *row);
	smq_err (*refuse)(void *self, const struct smq_record_refused *refused);
	/* A row that was added as provisional, in this commit or before: reason NULL: it is proven; else it goes to
	 * quarantine with that word. */
	smq_err (*prove)(void *self, const struct smq_record_key *key, const char *reason);
	/* life: whose number goes before the values, for the kinds that have one, else NULL. */
	smq_err (*keep)(void *self, enum smq_record_kept what, const struct smq_record_key *life,
			const struct smq_record_value *values, size_t count);
	smq_err (*commit)(void *self, struct smq_record_committed *ret_committed);
	void (*abandon)(void *self);
	smq_err (*query)(void *self, const struct smq_record_query *query, smq_record_row_fn on_row, void *row_self);
	/* What the last failure was, in the database's own words; printable, never with values. */
	const char *(*why)(void *self);
	void (*free)(void *self);
};

#endif
