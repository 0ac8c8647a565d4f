/*
 * A transport, and the loop that services it: for those who talk MQTT without being a member's client.
 *
 * tick is called after each turn, wake_at says when the next one is due at the latest.
 */
#ifndef SMQ_LIB_LINE_H
#define SMQ_LIB_LINE_H

#include "app/clock.h"
#include "app/transport.h"
#include "lib/realm_tls.h"
#include "lib/wakeup.h"

struct smq_line {
	struct smq_client_options options; /* of the broker, with the realm's TLS files filled in */
	struct smq_transport *transport;
	struct smq_wakeup wakeup;
	struct smq_realm_tls realm_tls;
	struct smq_http *page; /* served in this loop; NULL: none. Not owned */
	int64_t page_due_ms;
	int channel; /* a second descriptor to wake up for; 0: none */
	bool stopped;
	void *self;
	void (*tick)(void *self);
	int64_t (*wake_at)(void *self); /* mono ms */
};

extern const struct smq_clock smq_line_clock;

/* Starts connecting. events.self and line->self are the caller's. */
SMQ_MUST_USE smq_err smq_line_open(struct smq_line *line, const struct smq_client_options *options,
				   const struct smq_transport_events *events, const char **ret_why);
/* Until *done (may be NULL), the timeout (-1: never) or smq_line_stop. */
void smq_line_run(struct smq_line *line, const bool *done, int timeout_ms);
void smq_line_stop(struct smq_line *line); /* safe in a signal handler */
/* The realm's certificate was renewed: shown to the broker with the next connection. */
void smq_line_identity(struct smq_line *line);
void smq_line_close(struct smq_line *line);

#endif
