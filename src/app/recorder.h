/*
 * The recorder: the use case behind smq_recorder. Messages are looked at one by one and handed to the store at once;
 * commit, called before they are acknowledged, makes them durable together.
 */
#ifndef SMQ_APP_RECORDER_H
#define SMQ_APP_RECORDER_H

#include <sealmq/record.h>

#include "app/clock.h"
#include "app/record_schema.h"
#include "app/record_store.h"

struct smq_record_book;

/* The revocation lists that are in force. */
struct smq_record_lists {
	void *self;
	/* SHA-256 of their file; NULL: none are in use. */
	const uint8_t *(*digest)(void *self);
	/* The file of that digest, valid until the next call; an empty span: it has been exchanged meanwhile. */
	smq_span (*read)(void *self, const uint8_t *digest);
};

struct smq_record_book_config {
	const struct smq_record_options *options; /* its callbacks and switches; outlives the book */
	const struct smq_record_schema *schema;   /* NULL: none; outlives the book */
	struct smq_record_store store;            /* owned from here on */
	struct smq_clock clock;
	struct smq_record_lists lists; /* needed for evidence; the functions may be NULL: none */
	const struct smq_crypto *crypto;
};

SMQ_MUST_USE smq_err smq_record_book_new(const struct smq_record_book_config *config,
					 struct smq_record_book **ret_book);
void smq_record_book_take(struct smq_record_book *b, const struct smq_message *message);
void smq_record_book_refuse(struct smq_record_book *b, const struct smq_refusal *refusal);
void smq_record_book_prove(struct smq_record_book *b, const struct smq_message *message, smq_err err);
void smq_record_book_witness(struct smq_record_book *b, const struct smq_witness *witness);
SMQ_MUST_USE smq_err smq_record_book_commit(struct smq_record_book *b);
struct smq_record_counts smq_record_book_counts(const struct smq_record_book *b);
const char *smq_record_book_why(const struct smq_record_book *b);
void smq_record_book_free(struct smq_record_book *b);

#endif
