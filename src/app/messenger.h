/*
 * The messenger: the use case behind the client. It joins a transport, a member machine and an outbox:
 * what is published is sealed and sent, or waits in order; what arrives is opened and delivered, or refused.
 *
 * It has no loop and no descriptor: its owner services the transport, calls smq_messenger_tick when
 * smq_messenger_wake_at says so, and hands the transport's events in through smq_messenger_events.
 */
#ifndef SMQ_APP_MESSENGER_H
#define SMQ_APP_MESSENGER_H

#include <sealmq/client.h>
#include <sealmq/member.h>

#include "app/clock.h"
#include "app/groups.h"
#include "app/outbox.h"
#include "app/proofs.h"
#include "app/transport.h"

struct smq_messenger;

/* What else the owner has to know; each may be NULL. */
struct smq_messenger_heed {
	void *self;
	void (*group)(void *self, const struct smq_group_note *note, const char *group);
	void (*connected)(void *self); /* the broker has accepted us, and has taken the will */
	void (*lost)(void *self);      /* a connection ended that the broker had accepted */
};

struct smq_messenger_config {
	const struct smq_client_options *options; /* callbacks and switches; outlives the messenger */
	struct smq_clock clock;
	smq_member *member;        /* NULL: plain only */
	struct smq_groups *groups; /* NULL: none */
	struct smq_proofs *proofs; /* NULL: none; owned from here on */
	struct smq_outbox outbox;  /* owned from here on */
	struct smq_messenger_heed heed;
	bool outbox_durable; /* QoS 1 and 2 are put there before they are sent, and leave when acknowledged */
};

SMQ_MUST_USE smq_err smq_messenger_new(const struct smq_messenger_config *config, struct smq_messenger **ret_messenger);
/* Where the transport calls back; to be filled into it before smq_messenger_attach. */
struct smq_transport_events smq_messenger_events(struct smq_messenger *g);
/* Owned from here on. */
void smq_messenger_attach(struct smq_messenger *g, struct smq_transport *transport);
void smq_messenger_free(struct smq_messenger *g);

SMQ_MUST_USE smq_err smq_messenger_publish(struct smq_messenger *g, const struct smq_publish *message,
					   uint64_t *ret_ticket);
SMQ_MUST_USE smq_err smq_messenger_subscribe(struct smq_messenger *g, const char *filter, int options,
					     const struct smq_property *properties, size_t property_count, int *ret_id);
SMQ_MUST_USE smq_err smq_messenger_unsubscribe(struct smq_messenger *g, const char *filter,
					       const struct smq_property *properties, size_t property_count,
					       int *ret_id);
/* Before saying goodbye: signs what is gathered. */
void smq_messenger_flush(struct smq_messenger *g);
/* Another connection in the place of this one, of which on_disconnect and on_connect hear nothing if it succeeds. */
void smq_messenger_renew(struct smq_messenger *g);
void smq_messenger_tick(struct smq_messenger *g);
int64_t smq_messenger_wake_at(const struct smq_messenger *g); /* mono ms; INT64_MIN: at once */
size_t smq_messenger_pending(const struct smq_messenger *g);
/* Asks to be let go of all groups at a key server; whether that is still to come. */
void smq_messenger_leave_groups(struct smq_messenger *g);
bool smq_messenger_in_groups(const struct smq_messenger *g);
bool smq_messenger_group_ready(const struct smq_messenger *g, const char *group);
struct smq_counts smq_messenger_counts(const struct smq_messenger *g);

#endif
