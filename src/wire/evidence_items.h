/*
 * A file of evidence (FORMATS.md 9): a sequence (RFC 8742) of CBOR arrays, which begins with a head and closes with an
 * end over all that goes before. Certificates, lists, streams and checkpoints have numbers, from 0 in their order, and
 * stand before what names them.
 *
 *     [ "sealmq evidence", 1, realm, made_ms ]
 *     [ 1, ID_CRED_x by value ]                                                   certificate, issuers behind it
 *     [ 2, PEM ]                                                                  revocation lists
 *     [ 3, context, key, base IV ]                                                stream
 *     [ 4, received_ms, certificate, lists / null, COSE_Sign1 ]                   checkpoint
 *     [ 5, stream, counter, topic, stamp / null, received_ms, ciphertext,
 *          [ signature, certificate, lists / null ] / [ * checkpoint ] ]          message
 *     [ 6, messages, SHA-256 of everything before this item ]                     end
 */
#ifndef SMQ_WIRE_EVIDENCE_ITEMS_H
#define SMQ_WIRE_EVIDENCE_ITEMS_H

#include <stdbool.h>

#include <sealmq/crypto.h>

#include "base/reader.h"
#include "base/writer.h"

#define SMQ_EVIDENCE_MAGIC "sealmq evidence"

enum smq_evidence_kind {
	SMQ_EVIDENCE_HEAD = 0,
	SMQ_EVIDENCE_CERTIFICATE = 1,
	SMQ_EVIDENCE_LISTS = 2,
	SMQ_EVIDENCE_STREAM = 3,
	SMQ_EVIDENCE_CHECKPOINT = 4,
	SMQ_EVIDENCE_MESSAGE = 5,
	SMQ_EVIDENCE_END = 6
};
enum { SMQ_EVIDENCE_CHECKPOINTS_MAX = 8 /* that cover one message */ };
#define SMQ_EVIDENCE_NONE UINT64_MAX

struct smq_evidence_item {
	enum smq_evidence_kind kind;
	smq_span realm;          /* head */
	int64_t at_ms;           /* head: made; checkpoint, message: received */
	smq_span bytes;          /* certificate, lists, checkpoint: it; message: ciphertext with its tag */
	smq_span context;        /* stream */
	smq_span key, base_iv;   /* stream */
	uint64_t certificate;    /* checkpoint, signed message */
	uint64_t lists;          /* checkpoint, signed message; SMQ_EVIDENCE_NONE: none were in use */
	uint64_t stream;         /* message */
	uint64_t counter;        /* message; end: how many messages */
	smq_span topic;          /* message */
	bool has_stamp;          /* message */
	uint32_t stamp;          /* message */
	smq_span signature;      /* message; empty: covered by checkpoints */
	size_t checkpoint_count; /* message */
	uint64_t checkpoints[SMQ_EVIDENCE_CHECKPOINTS_MAX];
	smq_span digest; /* end */
};

void smq_evidence_put(struct smq_writer *w, const struct smq_evidence_item *item);
/* The next item; its spans point into the input. SMQ_ERR_TRUNCATED, SMQ_ERR_MALFORMED, SMQ_ERR_VERSION. */
SMQ_MUST_USE smq_err smq_evidence_get(struct smq_reader *r, struct smq_evidence_item *ret_item);
/* Room that an item takes beside its spans, at most. */
enum { SMQ_EVIDENCE_ITEM_MAX = 256 };

#endif
