/* The realm's revocation lists over MQTT, for the broker itself: a member of it that only listens (PROTOCOL.md 7.9). */
#ifndef SMQ_LIB_BROKER_FEED_H
#define SMQ_LIB_BROKER_FEED_H

#include <stddef.h>

#include <sealmq/err.h>

struct smq_broker_feed;

/* Connects, as the member whose realm directory this is, to 127.0.0.1; lists that hold are put into its crl.pem. The
 * broker's name is not checked: it is our own, and each list is judged by its signature. */
SMQ_MUST_USE smq_err smq_broker_feed_start(const char *dir, int port, struct smq_broker_feed **ret_feed, char *ret_why,
					   size_t room);
/* What is due; to be called several times a second. */
SMQ_MUST_USE smq_err smq_broker_feed_service(struct smq_broker_feed *feed);
void smq_broker_feed_free(struct smq_broker_feed *feed); /* NULL: nothing */

#endif
