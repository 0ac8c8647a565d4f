/*
 * /metrics and /healthz over HTTP on 127.0.0.1, in the caller's own loop: GET and HEAD of these two paths, at most 16
 * connections, no thread.
 *
 *     struct smq_status_page page = { .self = me, .metrics = my_metrics, .healthy = my_health };
 *     smq_status_new(&page, 9642, &status, &why);
 *     poll smq_status_fd(status), and at least once a second; then smq_status_run(status)
 */
#ifndef SEALMQ_STATUS_H
#define SEALMQ_STATUS_H

#include <stdbool.h>
#include <stddef.h>

#include <sealmq/err.h>

#ifdef __cplusplus
extern "C" {
#endif

struct smq_status_page {
	void *self;
	/* Prometheus' text format into room; how long it is without a zero at the end, or 0 where that is too little.
	 */
	size_t (*metrics)(void *self, char *room, size_t len);
	/* Otherwise one printable line that says why not. */
	bool (*healthy)(void *self, char *ret_why, size_t room);
};

typedef struct smq_status smq_status;

/* The page is copied. SMQ_ERR_LOCKED: the port is taken. */
SMQ_MUST_USE smq_err smq_status_new(const struct smq_status_page *page, int port, smq_status **ret_status,
				    const char **ret_why);
int smq_status_fd(const smq_status *status);
void smq_status_run(smq_status *status);
void smq_status_free(smq_status *status);

#ifdef __cplusplus
}
#endif
#endif
