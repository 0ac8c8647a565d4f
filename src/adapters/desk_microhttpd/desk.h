/*
 * HTTP/1.1 over connections that are handed in, by libmicrohttpd: it listens nowhere and knows no TLS. Bounded bodies,
 * connections and waiting; one thread, the caller's.
 */
#ifndef SMQ_ADAPTERS_DESK_MICROHTTPD_DESK_H
#define SMQ_ADAPTERS_DESK_MICROHTTPD_DESK_H

#include <sealmq/err.h>

#include "app/http_desk.h"

struct smq_desk;

/* SMQ_ERR_LIBRARY, _NO_MEMORY. */
SMQ_MUST_USE smq_err smq_desk_new(const struct smq_http_desk *desk, unsigned connections, unsigned timeout_s,
				  struct smq_desk **ret_desk);
void smq_desk_free(struct smq_desk *http);
/* Takes the descriptor, also after a failure. SMQ_ERR_FULL. */
SMQ_MUST_USE smq_err smq_desk_add(struct smq_desk *http, int fd);
/* Readable when there is something to do, or after so many ms; -1: no wish. */
int smq_desk_fd(const struct smq_desk *http);
int smq_desk_timeout_ms(const struct smq_desk *http);
void smq_desk_run(struct smq_desk *http);

#endif
