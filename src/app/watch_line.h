/*
 * Lines of Mosquitto's and NGINX's logs, and of our own tools, as events (doc/BROKER.md 5). Untrusted text: spans point
 * into the line, nothing is copied, nothing is allocated.
 */
#ifndef SMQ_APP_WATCH_LINE_H
#define SMQ_APP_WATCH_LINE_H

#include <stdbool.h>
#include <stdint.h>

#include <sealmq/span.h>

enum smq_watch_kind {
	SMQ_WATCH_NOTHING,       /* of no interest */
	SMQ_WATCH_NEW,           /* a connection was opened at Mosquitto */
	SMQ_WATCH_CONNECTED,     /* who: client id; what: user name */
	SMQ_WATCH_LOGIN_REFUSED, /* name or password, or neither */
	SMQ_WATCH_TLS_REFUSED,   /* what: OpenSSL's reason */
	SMQ_WATCH_DENIED,        /* who: client id; what: topic */
	SMQ_WATCH_SUBSCRIBER,    /* who: client id; its filters follow */
	SMQ_WATCH_FILTER,        /* what: a filter of the subscriber before */
	SMQ_WATCH_TAKEN_OVER,    /* who: client id */
	SMQ_WATCH_MALFORMED,     /* who: client id, "<unknown>" */
	SMQ_WATCH_OVERSIZE,      /* likewise */
	SMQ_WATCH_TIMED_OUT,     /* likewise */
	SMQ_WATCH_PUBLISHED,     /* who: client id; what: topic; number: bytes */
	SMQ_WATCH_STARTING,      /* the broker */
	SMQ_WATCH_PASSED,        /* NGINX: a connection has ended. who: address; number: its milliseconds */
	SMQ_WATCH_NOT_TLS13,     /* NGINX: who: address */
	SMQ_WATCH_LIMITED,       /* NGINX: who: address */
	SMQ_WATCH_UNREACHABLE,   /* NGINX found no broker. who: where it looked */
	SMQ_WATCH_REFUSED,       /* ours: who: the name it claims; what: the error's name */
	SMQ_WATCH_KEYEX_FAILED,  /* ours: who: peer; the key server: in whose name */
	SMQ_WATCH_JOIN_DENIED,   /* the key server: who: asker; what: it asked */
	SMQ_WATCH_SYS,           /* a number that Mosquitto tells of itself. what: topic; number: its value */
	SMQ_WATCH_SEEN /* ours, as JSON: a message was opened. who: sender; number: messages missing before it */
};

struct smq_watch_line {
	enum smq_watch_kind kind;
	int64_t time_s; /* Unix time; 0: the line has none */
	smq_span who, what;
	uint64_t number;
};

/* What was read last, so that most lines need no calendar. Zeroed at first. */
struct smq_watch_clock {
	char text[32];
	size_t len;
	int64_t time_s;
};

/* line: without its newline. */
struct smq_watch_line smq_watch_read(struct smq_watch_clock *clock, smq_span line);

#endif
