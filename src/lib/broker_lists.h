/* Revocation where the broker does not read certs/crl.pem by itself: NATS and RabbitMQ. */
#ifndef SMQ_LIB_BROKER_LISTS_H
#define SMQ_LIB_BROKER_LISTS_H

#include <stdbool.h>
#include <stddef.h>

#include <sealmq/err.h>
#include <sealmq/span.h>

/* Below `certs`, crl/HASH.rN for each list of a file: what Erlang looks into whenever a client comes. */
SMQ_MUST_USE smq_err smq_broker_lists_split(const char *certs, smq_span pem, char *ret_why, size_t room);

/* A copy of what NATS knows of its users, without those whose certificates are all revoked or over, by the log of the
 * authority in `ca`. ret_text: to be freed. SMQ_ERR_NOT_FOUND: no authority is there, but a member's directory, say. */
SMQ_MUST_USE smq_err smq_broker_lists_users(const char *ca, const char *users, char **ret_text);

#endif
