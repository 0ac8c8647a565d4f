/*
 * The topics of the control plane (PROTOCOL.md 7.2), under the realm's control prefix:
 *
 *     ks/q/FROM                   requests, envelopes (wire/keyex.h)        not retained
 *     ks/a/TO                     answers, likewise                         not retained
 *     ks/claim                    a key server says that it is there        not retained
 *     g/GROUP/m                   manifest, signed                          retained
 *     g/GROUP/p                   policy, signed                            retained
 *     g/GROUP/n/HEIGHT/INDEX      node message                              retained
 *     g/GROUP/s/SENDER            sender card, signed                       retained
 */
#ifndef SMQ_WIRE_KS_TOPICS_H
#define SMQ_WIRE_KS_TOPICS_H

#include <stdbool.h>

#include <sealmq/err.h>
#include <sealmq/span.h>

enum { SMQ_KS_TOPIC_MAX = 320 };

enum smq_ks_topic_kind {
	SMQ_KS_TOPIC_NONE, /* not one of ours */
	SMQ_KS_TOPIC_REQUEST,
	SMQ_KS_TOPIC_ANSWER,
	SMQ_KS_TOPIC_CLAIM,
	SMQ_KS_TOPIC_MANIFEST,
	SMQ_KS_TOPIC_POLICY,
	SMQ_KS_TOPIC_NODE,
	SMQ_KS_TOPIC_SENDER
};

struct smq_ks_topic {
	enum smq_ks_topic_kind kind;
	smq_span name;   /* FROM, TO or GROUP; "+" makes a filter of it */
	uint64_t height; /* NODE */
	uint64_t number; /* INDEX or SENDER */
};

/* Zero-terminated. SMQ_ERR_NO_ROOM. */
SMQ_MUST_USE smq_err smq_ks_topic_write(const char *prefix, const struct smq_ks_topic *topic, smq_mspan ret_text);
/* What a topic is; kind NONE for whatever is not exactly one of the above. */
struct smq_ks_topic smq_ks_topic_read(const char *prefix, const char *topic);

#endif
