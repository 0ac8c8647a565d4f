/*
 * Watching a broker: follows the logs of Mosquitto, NGINX and our own tools, and raises alarms (doc/BROKER.md 5).
 *
 *     struct smq_watch_options o = { .dir = "mqtt", .stop_fd = -1, .on_alarm = tell };
 *     smq_watch_run(&o, &totals, &why);
 *
 * *ret_why (may be NULL) says what is wrong; valid until the next call in this thread.
 */
#ifndef SEALMQ_WATCH_H
#define SEALMQ_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sealmq/broker.h>
#include <sealmq/confine.h>
#include <sealmq/err.h>
#include <sealmq/span.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { SMQ_WATCH_EVIDENCE = 3, SMQ_WATCH_RULES_MAX = 48 };

struct smq_watch_alarm {
	const char *rule; /* "acl-probing" */
	enum smq_severity severity;
	const char *subject; /* whom it is about: a member, client id, address or file; escaped; "" for the broker */
	const char *text;    /* a sentence */
	uint64_t count;      /* how often within the rule's time */
	uint64_t repeats;    /* of events that were not told since the last alarm of this kind about the same */
	int64_t first_s, last_s;                  /* Unix time, by the logs' own clocks */
	const char *evidence[SMQ_WATCH_EVIDENCE]; /* the last lines, escaped and cut; NULL: no more */
};

struct smq_watch_totals {
	uint64_t lines, bytes;
	size_t rule_count;
	struct {
		const char *name;
		uint64_t events, alarms;
	} rules[SMQ_WATCH_RULES_MAX];
	enum smq_severity worst; /* 0: no alarm */
};

struct smq_watch_options {
	const char *dir;          /* a deployment: its logs, its certificates, its watch.yaml; may be NULL */
	const char *const *files; /* further logs */
	size_t file_count;
	const char *rules;    /* YAML; default: DIR/watch.yaml where there is one */
	const char *position; /* where to go on; default: DIR/run/watch.position; NULL without dir: none is kept */
	bool once;            /* to the end of the files, and return */
	bool from_start;      /* files without a known position are read from their start, not from their end */
	int stop_fd;          /* it ends once this is readable; -1: never */
	int http_port;        /* /metrics and /healthz on 127.0.0.1; 0: none */
	bool confine;       /* the process gives up what watching does not need (sealmq/confine.h), once all is open */
	const char *writes; /* confine: a file that on_totals writes, with others beside it; NULL: none */
	void *self;
	void (*on_alarm)(void *self, const struct smq_watch_alarm *alarm);
	/* About every second, and at the end; may be NULL. */
	void (*on_totals)(void *self, const struct smq_watch_totals *totals);
	/* confine: what came of it; how is NULL where nothing could be given up. May be NULL. */
	void (*on_confined)(void *self, const struct smq_confined *how);
};

/* SMQ_ERR_NOT_FOUND: no log at all. _CONFIG: the rules. _IO, _LOCKED (another one keeps this position). */
SMQ_MUST_USE smq_err smq_watch_run(const struct smq_watch_options *options, struct smq_watch_totals *ret_totals,
				   const char **ret_why);

/* The totals in Prometheus' text format, zero-terminated. SMQ_ERR_NO_ROOM. */
SMQ_MUST_USE smq_err smq_watch_metrics(const struct smq_watch_totals *totals, smq_mspan ret_text, size_t *ret_len);

/* All rules with their thresholds, as a YAML file that says nothing new. Static text. */
const char *smq_watch_rules_text(void);

/* One alarm as a JSON object without a newline, zero-terminated. SMQ_ERR_NO_ROOM. */
SMQ_MUST_USE smq_err smq_watch_alarm_json(const struct smq_watch_alarm *alarm, smq_mspan ret_text, size_t *ret_len);

#ifdef __cplusplus
}
#endif
#endif
