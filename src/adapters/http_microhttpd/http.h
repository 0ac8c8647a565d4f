/*
 * /metrics and /healthz over HTTP, on loopback, in the caller's own loop (app/status_page.h).
 *
 *     smq_http_new(&source, 9641, &http);
 *     poll smq_http_fd(http), also at least once a second; then smq_http_run(http)
 *
 * GET and HEAD of these two paths and nothing else; at most 16 connections, 10 s each; no thread is made.
 */
#ifndef SMQ_HTTP_MICROHTTPD_HTTP_H
#define SMQ_HTTP_MICROHTTPD_HTTP_H

#include <stdint.h>

#include "app/status_page.h"

struct smq_http;

/* On 127.0.0.1. port 0: a free one. The source is copied; its self must outlive the server.
 * SMQ_ERR_LOCKED: the port is taken; _LIBRARY; _NO_MEMORY. */
SMQ_MUST_USE smq_err smq_http_new(const struct smq_status_source *source, uint16_t port, struct smq_http **ret_http);
void smq_http_free(struct smq_http *http);
int smq_http_fd(const struct smq_http *http);
uint16_t smq_http_port(const struct smq_http *http);
void smq_http_run(struct smq_http *http);

#endif
