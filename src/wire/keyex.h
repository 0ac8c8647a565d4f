/*
 * The envelope of key-exchange messages on their MQTT topic (PROTOCOL.md 5.1).
 *
 *     [ 1, kind, to : tstr, from : tstr, id : bstr, body : bstr ]
 *
 * Nothing in the envelope is authenticated: it routes. Who is who is settled inside EDHOC.
 */
#ifndef SMQ_WIRE_KEYEX_H
#define SMQ_WIRE_KEYEX_H

#include <sealmq/err.h>
#include <sealmq/span.h>

#include "base/writer.h"

enum smq_keyex_kind {
	SMQ_KEYEX_MESSAGE_1 = 1, /* id: the sender's C_I, for the answer */
	SMQ_KEYEX_MESSAGE_2 = 2, /* id: the recipient's connection identifier, here and below */
	SMQ_KEYEX_MESSAGE_3 = 3,
	SMQ_KEYEX_MESSAGE_4 = 4,
	SMQ_KEYEX_ERROR = 5,
	SMQ_KEYEX_HELLO = 6,   /* to "all": I have started, my sessions are gone; no id, no body */
	SMQ_KEYEX_NO_KEY = 7,  /* to "all": I hold no key with this id; no body */
	SMQ_KEYEX_REQUEST = 8, /* to and from a key server (PROTOCOL.md 7.2) */
	SMQ_KEYEX_ANSWER = 9,
	SMQ_KEYEX_WRITER_1 = 10 /* message_1 of a member that answers none itself */
};

struct smq_keyex {
	enum smq_keyex_kind kind;
	smq_span to;   /* valid name or "all" */
	smq_span from; /* valid name */
	smq_span id;   /* 4 bytes, or empty for HELLO */
	smq_span body;
};

/* The topic for envelopes to this name: the template with its "{to}" filled in, if it has one; zero-terminated.
 * SMQ_ERR_TOPIC where nothing could be published there. */
SMQ_MUST_USE smq_err smq_keyex_topic(const char *template_text, const char *to, smq_mspan ret_topic);

SMQ_MUST_USE smq_err smq_keyex_encode(const struct smq_keyex *message, smq_mspan room, size_t *ret_len);
/* All but the body's bytes, of which there will be body_len: where they go, or NULL where they do not fit. */
uint8_t *smq_keyex_put(struct smq_writer *w, const struct smq_keyex *message, size_t body_len);
/* Spans point into payload. */
SMQ_MUST_USE smq_err smq_keyex_decode(smq_span payload, struct smq_keyex *ret_message);

#endif
