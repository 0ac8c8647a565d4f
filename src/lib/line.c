/* A transport, and the loop that services it. */
#include "lib/line.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "adapters/http_microhttpd/http.h"
#include "adapters/mqtt_mosquitto/transport_mosquitto.h"
#include "base/hot.h"
#include "lib/realm_internal.h"

enum { PAGE_EVERY_MS = 1000 }; /* for its timeouts */

static int64_t clock_ms(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

SMQ_HOT static struct smq_now now(void)
{
	return (struct smq_now){ clock_ms(CLOCK_MONOTONIC), clock_ms(CLOCK_REALTIME) };
}

SMQ_HOT static uint64_t ticks_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

const struct smq_clock smq_line_clock = { now, ticks_ns };

void smq_line_identity(struct smq_line *line)
{
	struct smq_tls_options *tls = &line->options.tls;
	if (tls->by_realm && line->transport &&
	    smq_realm_tls_renew(&line->realm_tls, line->options.realm, tls) == SMQ_OK)
		(void)!line->transport->ops->set_tls(line->transport, tls);
}

smq_err smq_line_open(struct smq_line *line, const struct smq_client_options *options,
		      const struct smq_transport_events *events, const char **ret_why)
{
	line->options = *options;
	smq_err err = smq_realm_tls_fill(&line->realm_tls, options->realm, &line->options.tls);
	if (err == SMQ_OK)
		err = smq_wakeup_init(&line->wakeup);
	if (err != SMQ_OK)
		return err;
	if (line->page)
		smq_wakeup_while(&line->wakeup, smq_http_fd(line->page));
	if (line->channel > 0)
		smq_wakeup_also(&line->wakeup, line->channel);
	err = smq_transport_mosquitto_new(&line->options, events, &line->transport, ret_why);
	if (err != SMQ_OK) {
		smq_wakeup_done(&line->wakeup);
		return err;
	}
	return line->transport->ops->connect(line->transport);
}

static int64_t wake_at(const struct smq_line *line)
{
	int64_t a = line->transport->ops->wake_at(line->transport);
	int64_t b = line->wake_at ? line->wake_at(line->self) : INT64_MAX;
	a = a < b ? a : b;
	return line->page && line->page_due_ms < a ? line->page_due_ms : a;
}

SMQ_HOT static void watch(struct smq_line *line)
{
	const struct smq_transport_ops *ops = line->transport->ops;
	smq_wakeup_watch(&line->wakeup, ops->fd(line->transport), ops->want_write(line->transport), wake_at(line));
}

static void turn(struct smq_line *line, int timeout_ms)
{
	const struct smq_transport_ops *ops = line->transport->ops;
	int before = ops->fd(line->transport);
	watch(line);
	struct smq_wakeup_ready ready = smq_wakeup_wait(&line->wakeup, timeout_ms);
	line->stopped = line->stopped || ready.stopped;
	ops->service(line->transport, ready.readable, ready.writable, clock_ms(CLOCK_MONOTONIC));
	if (line->tick)
		line->tick(line->self);
	if (line->page) {
		smq_http_run(line->page);
		line->page_due_ms = clock_ms(CLOCK_MONOTONIC) + PAGE_EVERY_MS;
	}
	/* A reconnect may be given the number of the socket that it closed; epoll has forgotten that one. */
	if (!ops->connected(line->transport) || ops->fd(line->transport) != before)
		smq_wakeup_forget(&line->wakeup);
}

void smq_line_run(struct smq_line *line, const bool *done, int timeout_ms)
{
	int64_t until = timeout_ms < 0 ? INT64_MAX : clock_ms(CLOCK_MONOTONIC) + timeout_ms;
	line->stopped = false;
	while (!line->stopped && !(done && *done)) {
		int64_t left = until == INT64_MAX ? INT64_MAX : until - clock_ms(CLOCK_MONOTONIC);
		if (left <= 0)
			return;
		turn(line, left > INT32_MAX ? -1 : (int)left);
	}
}

void smq_line_stop(struct smq_line *line) { smq_wakeup_stop(&line->wakeup); }

void smq_line_close(struct smq_line *line)
{
	if (!line->transport)
		return;
	line->transport->ops->free(line->transport);
	line->transport = NULL;
	smq_wakeup_done(&line->wakeup);
}
