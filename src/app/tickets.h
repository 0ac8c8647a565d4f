/*
 * What waits for the broker's acknowledgement, by MQTT packet identifier: a number for each, and room for those that
 * wait rather than for all 65,536 that there could be.
 */
#ifndef SMQ_APP_TICKETS_H
#define SMQ_APP_TICKETS_H

#include <stddef.h>
#include <stdint.h>

#include <sealmq/err.h>

struct smq_ticket;

/* All zero: empty. */
struct smq_tickets {
	struct smq_ticket *room; /* places are counted from 1 */
	uint32_t size;           /* a power of two, or 0 */
	uint32_t free;           /* first of those that were never used or given back; 0: none is left */
};

/* Before something is sent: makes sure that the next smq_tickets_put() has room. */
SMQ_MUST_USE smq_err smq_tickets_reserve(struct smq_tickets *t);
/* In place of what the identifier stood for before; 0: it stands for nothing. */
void smq_tickets_put(struct smq_tickets *t, uint16_t id, uint64_t number);
/* Answered once; 0: nothing. */
uint64_t smq_tickets_take(struct smq_tickets *t, uint16_t id);
void smq_tickets_done(struct smq_tickets *t);

#endif
