/*
 * The transport: one state machine around a libmosquitto handle.
 *
 *                    connect            due                CONNACK 0
 *            IDLE ----------> WAITING ------> CONNECTING ----------> CONNECTED
 *             ^                  ^ ^  failed      |                      |   |
 *             |                  | '--------------'         ended        |   | disconnect
 *             |                  '---------------------------------------'   v
 *             '------------------------------------------------------------ LEAVING
 *
 * disconnect in WAITING or CONNECTING goes to LEAVING as well, with nothing to send.
 */
#include "transport_mosquitto.h"

#include <errno.h>
#include <mqtt_protocol.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/hot.h"
#include "base/wipe.h"
#include "properties.h"
#include "settings.h"

/* QoS 0 messages that wait for the socket: so many bytes (or one message, however large), so many messages. */
#define BACKLOG_LEN_MAX (1u << 20)
#define BACKLOG_COUNT_MAX 4096u
/* Packets read in one service(), so that a flood leaves the caller time for other things. */
#define READS_PER_SERVICE 256
/* Where acknowledgements wait for something durable, the more wait for it at a time the better. */
#define READS_PER_ACK 2048
/* And so many more if they are worth it: a checkpoint's messages, and itself. */
#define READS_MORE 257
/* From so many packets on they are corked: as few segments as they fit into, instead of one each. */
#define CORK_FROM 8
/* How often a TLS handshake is looked at when poll is of no help (see want_write). */
#define TLS_TICK_MS 50
#define GOODBYE_MS 5000
/* A connection that lasted so long was a good one: the next one is dialled without the grown delay. */
#define STEADY_MS 10000

enum state { IDLE, WAITING, CONNECTING, CONNECTED, LEAVING };

struct backlog_entry {
	int mid;
	uint32_t len;
};

struct transport {
	struct smq_transport base;
	struct smq_transport_events events;
	struct mosquitto *m;
	struct settings s;

	enum state state;
	int64_t now_ms;
	int64_t due_ms;   /* WAITING: next attempt; CONNECTING, LEAVING: given up */
	int64_t misc_ms;  /* next look at the keepalive */
	int64_t tick_ms;  /* next look at a TLS handshake */
	int64_t since_ms; /* CONNECTED: since when */
	unsigned failures;
	uint64_t jitter;

	bool tcp_up;      /* connect(2) has finished */
	bool by_family;   /* a first address did not get through: each family has its turn */
	bool ipv4;        /* this attempt's turn is IPv4's */
	smq_err ipv6_err; /* how IPv6's turn ended, SMQ_OK if it had none */
	bool renews;      /* LEAVING: to come back at once */
	bool cut;         /* given up: the descriptor is shut down and waits in the library to be closed */
	bool progress;    /* the library logged something: a packet came in or went out */
	bool held;        /* messages came whose acknowledgements wait for before_ack */
	bool logs;        /* the library formats its log for us, which costs */
	size_t unwritten; /* packets that were queued since the last write, at least */

	/* Noted in callbacks, told when it is safe. */
	bool connack, session_present;
	int connack_reason;
	bool ended;
	smq_err ended_err;
	int ended_reason;

	struct backlog_entry backlog[BACKLOG_COUNT_MAX]; /* QoS 0, a ring */
	size_t backlog_first, backlog_count, backlog_len;
	int *inflight; /* packet identifiers, QoS 1 and 2 */
	size_t inflight_count;
	int last_mid;
};

static struct transport *of(struct smq_transport *t) { return (struct transport *)t; }

static const struct transport *of_const(const struct smq_transport *t) { return (const struct transport *)t; }

/* ---- errors ---- */

static smq_err err_of_errno(int number)
{
	switch (number) {
	case ECONNREFUSED:
	case ENOENT: /* a unix socket that is not there */
		return SMQ_ERR_CONNECTION_REFUSED;
	case ETIMEDOUT:
		return SMQ_ERR_TIMEOUT;
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EADDRNOTAVAIL:
	case EINVAL:
		return SMQ_ERR_NO_CONNECTION;
	case EACCES:
	case EPERM:
		return SMQ_ERR_PERMISSION;
	case ENOMEM:
		return SMQ_ERR_NO_MEMORY;
	case EPROTO:
		return SMQ_ERR_TLS;
	default:
		return SMQ_ERR_CONNECTION_LOST;
	}
}

static smq_err err_of(int rc, int number)
{
	switch (rc) {
	case MOSQ_ERR_SUCCESS:
		return SMQ_OK;
	case MOSQ_ERR_NOMEM:
		return SMQ_ERR_NO_MEMORY;
	case MOSQ_ERR_PROTOCOL:
	case MOSQ_ERR_MALFORMED_PACKET:
	case MOSQ_ERR_DUPLICATE_PROPERTY:
	case MOSQ_ERR_MALFORMED_UTF8:
		return SMQ_ERR_PROTOCOL;
	case MOSQ_ERR_NO_CONN:
		return SMQ_ERR_NO_CONNECTION;
	case MOSQ_ERR_CONN_REFUSED:
	case MOSQ_ERR_PROXY:
		return SMQ_ERR_CONNECTION_REFUSED;
	case MOSQ_ERR_CONN_LOST:
		return SMQ_ERR_CONNECTION_LOST;
	case MOSQ_ERR_TLS:
	case MOSQ_ERR_TLS_HANDSHAKE:
		return SMQ_ERR_TLS;
	case MOSQ_ERR_PAYLOAD_SIZE:
	case MOSQ_ERR_OVERSIZE_PACKET:
		return SMQ_ERR_TOO_LARGE;
	case MOSQ_ERR_NOT_SUPPORTED:
	case MOSQ_ERR_QOS_NOT_SUPPORTED:
	case MOSQ_ERR_RETAIN_NOT_SUPPORTED:
		return SMQ_ERR_UNSUPPORTED;
	case MOSQ_ERR_AUTH:
	case MOSQ_ERR_ACL_DENIED:
		return SMQ_ERR_NOT_AUTHORIZED;
	case MOSQ_ERR_EAI:
		return SMQ_ERR_HOST;
	case MOSQ_ERR_KEEPALIVE:
	case MOSQ_ERR_TIMEOUT:
		return SMQ_ERR_TIMEOUT;
	case MOSQ_ERR_ERRNO:
		return err_of_errno(number);
	default:
		return SMQ_ERR_USAGE;
	}
}

static void say(const struct transport *t, int level, const char *line)
{
	if (t->events.log)
		t->events.log(t->events.self, level, line);
}

/* Why a connection ended, by what the library or the socket said. */
static smq_err err_of_end(const struct transport *t, int rc, int number)
{
	smq_err err = err_of(rc, number);
	if (t->state == LEAVING)
		return err;
	/* errno says little about a connection that was up: lost is lost. */
	if (t->state == CONNECTED)
		return rc == MOSQ_ERR_SUCCESS || rc == MOSQ_ERR_ERRNO || rc == MOSQ_ERR_NO_CONN || rc == MOSQ_ERR_TLS
			   ? SMQ_ERR_CONNECTION_LOST
			   : err;
	return err == SMQ_OK ? SMQ_ERR_CONNECTION_LOST : err;
}

/* CONNACK codes of MQTT 3 (1 to 5) and MQTT 5 (from 128). */
static smq_err err_of_connack(int reason)
{
	switch (reason) {
	case 4:
	case 5:
	case MQTT_RC_BAD_USERNAME_OR_PASSWORD:
	case MQTT_RC_NOT_AUTHORIZED:
	case MQTT_RC_BANNED:
	case MQTT_RC_BAD_AUTHENTICATION_METHOD:
		return SMQ_ERR_NOT_AUTHORIZED;
	case 1:
	case MQTT_RC_UNSUPPORTED_PROTOCOL_VERSION:
		return SMQ_ERR_UNSUPPORTED;
	default:
		return SMQ_ERR_CONNECTION_REFUSED;
	}
}

/* ---- messages that are under way ---- */

static void backlog_add(struct transport *t, int mid, size_t len)
{
	struct backlog_entry *e = &t->backlog[(t->backlog_first + t->backlog_count++) % BACKLOG_COUNT_MAX];
	*e = (struct backlog_entry){ mid, (uint32_t)len };
	t->backlog_len += len;
}

static bool backlog_take(struct transport *t, int mid)
{
	const struct backlog_entry *e = &t->backlog[t->backlog_first];
	if (t->backlog_count == 0 || (mid != 0 && e->mid != mid))
		return false;
	t->backlog_len -= e->len;
	t->backlog_first = (t->backlog_first + 1) % BACKLOG_COUNT_MAX;
	t->backlog_count--;
	return true;
}

static bool inflight_has(const struct transport *t, int mid)
{
	for (size_t i = 0; i < t->inflight_count; i++) {
		if (t->inflight[i] == mid)
			return true;
	}
	return false;
}

static bool inflight_take(struct transport *t, int mid)
{
	for (size_t i = 0; i < t->inflight_count; i++) {
		if (t->inflight[i] == mid) {
			t->inflight[i] = t->inflight[--t->inflight_count];
			return true;
		}
	}
	return false;
}

/* The library counts its packet identifiers up without looking whether one is still in use. */
static bool next_mid_free(const struct transport *t)
{
	int next = t->last_mid == UINT16_MAX ? 1 : t->last_mid + 1;
	return !inflight_has(t, next);
}

/* ---- ends and delays ---- */

static uint64_t jitter_next(struct transport *t)
{
	t->jitter ^= t->jitter << 13;
	t->jitter ^= t->jitter >> 7;
	t->jitter ^= t->jitter << 17;
	return t->jitter;
}

/* Between half and all of a delay that doubles from one failure to the next. */
static int64_t backoff_ms(struct transport *t)
{
	unsigned doublings = t->failures < 20 ? t->failures : 20;
	int64_t delay = (int64_t)t->s.backoff_min_ms << doublings;
	if (delay > t->s.backoff_max_ms)
		delay = t->s.backoff_max_ms;
	if (t->failures < 1000)
		t->failures++;
	return delay / 2 + (int64_t)(jitter_next(t) % (uint64_t)(delay / 2 + 1));
}

/* The library cannot be told to close. Shut down, the descriptor is left in it until the next attempt closes it. */
static void cut_connection(struct transport *t)
{
	int fd = mosquitto_socket(t->m);
	if (fd >= 0)
		shutdown(fd, SHUT_RDWR);
	t->cut = true;
}

static void connection_over(struct transport *t, smq_err err, int reason)
{
	bool leaving = t->state == LEAVING;
	/* TLS 1.3 lets a client talk before its certificate was looked at. Where the broker then hangs up, its alert
	 * may or may not get through before the reset. */
	if (t->state == CONNECTING && t->s.tls && err == SMQ_ERR_CONNECTION_LOST) {
		say(t, MOSQ_LOG_ERR,
		    "hung up before CONNACK: over TLS that is most often a client certificate the broker refuses");
		err = SMQ_ERR_TLS;
	}
	if (mosquitto_socket(t->m) >= 0)
		cut_connection(t);
	if (t->state == CONNECTED && t->now_ms - t->since_ms >= STEADY_MS)
		t->failures = 0;
	t->state = leaving && !t->renews ? IDLE : WAITING;
	t->due_ms = t->renews ? INT64_MIN : t->now_ms + backoff_ms(t);
	err = t->renews ? SMQ_OK : err;
	t->renews = false;
	t->ended = t->connack = t->ipv4 = false;
	t->ipv6_err = SMQ_OK;
	while (t->backlog_count > 0) {
		int mid = t->backlog[t->backlog_first].mid;
		backlog_take(t, mid);
		if (t->events.published)
			t->events.published(t->events.self, mid, SMQ_PUBLISHED_NEVER);
	}
	if (t->events.disconnected)
		t->events.disconnected(t->events.self, err, reason);
}

/* ---- what the library calls ---- */

/* CONNACK is told late: only after it has handled one does the library send again what was under way, and what
 * the caller publishes on hearing of it must come behind that. */
static void on_log(struct mosquitto *m, void *self, int level, const char *line)
{
	struct transport *t = self;
	int number = errno;
	(void)m;
	t->progress = true;
	say(t, level, line);
	errno = number;
}

/*
 * Formatting lines costs, and without TLS nobody but the caller reads them. With TLS they say why a handshake failed,
 * and that a packet of QoS 2 has come, which no callback tells and no poll, for it may lie in TLS's own buffer.
 */
static void listen_to_log(struct transport *t, bool listen)
{
	bool logs = t->events.log || listen;
	if (logs != t->logs)
		mosquitto_log_callback_set(t->m, logs ? on_log : NULL);
	t->logs = logs;
}

static void tell_connack(struct transport *t)
{
	if (!t->connack)
		return;
	t->connack = false;
	if (t->connack_reason == 0 && t->state == CONNECTING) {
		t->state = CONNECTED;
		t->since_ms = t->now_ms;
		listen_to_log(t, false);
	}
	if (t->events.connected)
		t->events.connected(t->events.self, t->connack_reason, t->session_present);
}

/* loop_read stops early, and may leave bytes inside TLS, when a callback comes back with errno at EAGAIN. */
static void callback_done(void) { errno = 0; }

static void on_connect(struct mosquitto *m, void *self, int reason, int flags, const mosquitto_property *properties)
{
	struct transport *t = self;
	(void)m;
	(void)properties;
	t->connack = true;
	t->connack_reason = reason;
	t->session_present = flags & 1;
}

static void on_disconnect(struct mosquitto *m, void *self, int rc, const mosquitto_property *properties)
{
	struct transport *t = self;
	int number = errno;
	(void)m;
	(void)properties;
	/* Called a second time by the library after the broker's own DISCONNECT. */
	if (t->ended)
		return;
	t->ended = true;
	t->ended_reason = rc >= 128 ? rc : 0;
	t->ended_err = rc >= 128 ? SMQ_ERR_CONNECTION_LOST : err_of_end(t, rc, number);
	if (rc == MQTT_RC_NOT_AUTHORIZED || rc == MQTT_RC_ADMINISTRATIVE_ACTION)
		t->ended_err = SMQ_ERR_NOT_AUTHORIZED;
	if (t->connack && t->connack_reason != 0) {
		t->ended_err = err_of_connack(t->connack_reason);
		t->ended_reason = t->connack_reason;
	}
}

SMQ_HOT static void on_message(struct mosquitto *m, void *self, const struct mosquitto_message *message,
			       const mosquitto_property *list)
{
	struct transport *t = self;
	struct smq_property *properties = NULL;
	size_t count = 0;
	(void)m;
	t->progress = true;
	tell_connack(t);
	/* Without memory the message is handed on without its properties. */
	if (list && properties_read(list, &properties, &count) != SMQ_OK)
		count = 0;
	struct smq_mqtt_message out = {
		.id = message->mid,
		.topic = message->topic,
		.payload = smq_span_of(message->payload, (size_t)message->payloadlen),
		.qos = message->qos,
		.retain = message->retain,
		.properties = properties,
		.property_count = count,
	};
	t->held = t->held || message->qos > 0;
	t->unwritten += message->qos > 0;
	if (t->events.message)
		t->events.message(t->events.self, &out);
	properties_free(properties, count);
	callback_done();
}

SMQ_HOT static void on_publish(struct mosquitto *m, void *self, int mid, int reason,
			       const mosquitto_property *properties)
{
	struct transport *t = self;
	(void)m;
	(void)properties;
	t->progress = true;
	tell_connack(t);
	if ((backlog_take(t, mid) || inflight_take(t, mid)) && t->events.published)
		t->events.published(t->events.self, mid, reason);
	callback_done();
}

static void on_subscribe(struct mosquitto *m, void *self, int mid, int count, const int *reasons,
			 const mosquitto_property *properties)
{
	struct transport *t = self;
	(void)m;
	(void)properties;
	t->progress = true;
	tell_connack(t);
	if (t->events.subscribed)
		t->events.subscribed(t->events.self, mid, reasons, (size_t)count);
	callback_done();
}

static void on_unsubscribe(struct mosquitto *m, void *self, int mid, const mosquitto_property *properties)
{
	struct transport *t = self;
	(void)m;
	(void)properties;
	t->progress = true;
	tell_connack(t);
	if (t->events.unsubscribed)
		t->events.unsubscribed(t->events.self, mid);
	callback_done();
}

static int on_passphrase(char *room, int size, int writing, void *m)
{
	const struct transport *t = mosquitto_userdata(m);
	(void)writing;
	/* Without one the key does not load; OpenSSL's own answer would be to ask at the terminal. */
	if (t->s.passphrase_len == 0 || size <= (int)t->s.passphrase_len)
		return 0;
	memcpy(room, t->s.passphrase, t->s.passphrase_len);
	return (int)t->s.passphrase_len;
}

/* ---- dialling ---- */

/*
 * The library tries a name's first address and no other. Bound to one family, it passes over the addresses of the
 * other. It does not forget a bound address again, so that after the first fall-back each attempt says its family.
 */
static const char *bind_address(const struct transport *t)
{
	if (t->s.bind_address || !t->by_family)
		return t->s.bind_address;
	return t->ipv4 ? "0.0.0.0" : "::";
}

static int dial(struct transport *t)
{
	errno = 0;
	return mosquitto_connect_bind_async(t->m, t->s.host, t->s.port, t->s.keepalive_s, bind_address(t));
}

static void attempt(struct transport *t)
{
	t->state = CONNECTING;
	t->due_ms = t->now_ms + t->s.connect_timeout_ms;
	t->tick_ms = t->now_ms + TLS_TICK_MS;
	t->misc_ms = t->now_ms;
	t->tcp_up = t->cut = t->ended = t->connack = false;
	t->unwritten = 0;
	listen_to_log(t, t->s.tls);
	int rc = dial(t);
	/* no IPv6 address at all: nothing was tried */
	if (rc == MOSQ_ERR_ERRNO && t->by_family && !t->ipv4 && !t->s.bind_address) {
		t->ipv4 = true;
		rc = dial(t);
	}
	int number = errno;
	/* no IPv4 address to fall back to: what became of the IPv6 one is the reason */
	bool nowhere = t->ipv6_err && (rc == MOSQ_ERR_ERRNO || rc == MOSQ_ERR_EAI);
	if (rc != MOSQ_ERR_SUCCESS)
		connection_over(t, nowhere ? t->ipv6_err : err_of_end(t, rc, number), 0);
}

/* Where IPv6 did not get through, the name's IPv4 address has its turn at once: a broker on 127.0.0.1 alone is
 * meant by "localhost", too, and that is ::1 first on most machines. Its turn comes in the next service(): in
 * between the caller sees no descriptor, and lets go of this one's number before it comes again. */
static bool fall_back(struct transport *t, smq_err err)
{
	struct sockaddr_storage own = { 0 };
	socklen_t own_len = sizeof(own);
	bool ipv6 =
	    getsockname(mosquitto_socket(t->m), (struct sockaddr *)&own, &own_len) == 0 && own.ss_family == AF_INET6;
	if (!ipv6 || t->s.bind_address)
		return false;
	cut_connection(t);
	t->by_family = t->ipv4 = true;
	t->ipv6_err = err;
	t->state = WAITING;
	t->due_ms = INT64_MIN;
	return true;
}

/* Asks how connect(2) ended. The library does not, and would spin on a refused one under TLS. */
static bool finish_tcp(struct transport *t)
{
	int number = 0;
	socklen_t len = sizeof(number);
	struct sockaddr_storage peer;
	socklen_t peer_len = sizeof(peer);
	int fd = mosquitto_socket(t->m);
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &number, &len) != 0)
		number = errno;
	/* Asked once, the error is gone; TLS, which writes at once, may have been first. */
	if (number == 0 && getpeername(fd, (struct sockaddr *)&peer, &peer_len) != 0)
		number = ECONNREFUSED;
	if (number != 0) {
		if (!fall_back(t, err_of_errno(number)))
			connection_over(t, err_of_errno(number), 0);
		return false;
	}
	t->tcp_up = true;
	return true;
}

/* ---- reading and writing ---- */

/* After a call into the library: tells what it noted. False if the connection is over. */
SMQ_HOT static bool settle(struct transport *t, int rc, int number)
{
	bool refused = t->connack && t->connack_reason != 0;
	tell_connack(t);
	if (t->ended)
		connection_over(t, t->ended_err, t->ended_reason);
	else if (rc != MOSQ_ERR_SUCCESS)
		connection_over(t, refused ? err_of_connack(t->connack_reason) : err_of_end(t, rc, number), 0);
	else if (mosquitto_socket(t->m) < 0)
		connection_over(t, SMQ_ERR_CONNECTION_LOST, 0);
	else
		return true;
	return false;
}

static bool live(const struct transport *t)
{
	return !t->cut && (t->state == CONNECTING || t->state == CONNECTED || t->state == LEAVING);
}

/* Whether one more packet is to be read in this service(). */
static bool reads_on(const struct transport *t, int count)
{
	const struct smq_transport_events *e = &t->events;
	if (!e->before_ack)
		return count < READS_PER_SERVICE;
	return count < READS_PER_ACK ||
	       (count < READS_PER_ACK + READS_MORE && e->more_before_ack && e->more_before_ack(e->self));
}

/*
 * One loop_read takes one packet, or what one TLS record left over. There is more as long as it gets on: errno
 * alone does not say, for the library's wake-up pipe leaves EAGAIN in it too.
 */
SMQ_HOT static bool read_packets(struct transport *t)
{
	for (int i = 0; live(t) && reads_on(t, i); i++) {
		t->progress = false;
		errno = 0;
		int rc = mosquitto_loop_read(t->m, 1);
		int number = errno;
		if (!settle(t, rc, number))
			return false;
		if (number == EAGAIN && !t->progress)
			break;
	}
	return live(t);
}

/*
 * The library queues an acknowledgement before it hands out the message. Told that threads are in use (settings.c) it
 * leaves the queue to loop_write, which comes after this. What is queued when the connection ends is dropped by the
 * library.
 */
SMQ_HOT static bool may_acknowledge(struct transport *t, bool up)
{
	bool held = t->held;
	t->held = false;
	if (!held || !t->events.before_ack)
		return up;
	smq_err err = t->events.before_ack(t->events.self);
	if (err != SMQ_OK && up)
		connection_over(t, err, 0);
	return err == SMQ_OK && up;
}

/* A socket that knows no cork does without. */
static void cork(const struct transport *t, int on)
{
	int fd = mosquitto_socket(t->m);
	if (fd >= 0)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
}

SMQ_HOT static bool write_packets(struct transport *t)
{
	bool many = t->unwritten >= CORK_FROM;
	if (!mosquitto_want_write(t->m))
		return true;
	if (many)
		cork(t, 1);
	errno = 0;
	int rc = mosquitto_loop_write(t->m, 1);
	int number = errno;
	t->unwritten = 0;
	if (many)
		cork(t, 0);
	return settle(t, rc, number) && live(t);
}

static bool look_at_keepalive(struct transport *t)
{
	if (t->now_ms < t->misc_ms)
		return true;
	t->misc_ms = t->now_ms + 1000;
	errno = 0;
	int rc = mosquitto_loop_misc(t->m);
	int number = errno;
	return settle(t, rc, number);
}

static void give_up(struct transport *t)
{
	if (t->state == CONNECTING && t->now_ms >= t->due_ms && (t->tcp_up || !fall_back(t, SMQ_ERR_TIMEOUT)))
		connection_over(t, SMQ_ERR_TIMEOUT, 0);
	else if (t->state == LEAVING && t->now_ms >= t->due_ms)
		connection_over(t, SMQ_ERR_TIMEOUT, 0);
}

static void serve_connection(struct transport *t, bool readable, bool writable)
{
	if (!t->tcp_up && (readable || writable) && !finish_tcp(t))
		return;
	if (t->tcp_up) {
		bool handshake = t->s.tls && t->state == CONNECTING && t->now_ms >= t->tick_ms;
		if ((readable || writable || handshake) && !may_acknowledge(t, read_packets(t)))
			return;
		if (!write_packets(t))
			return;
		t->tick_ms = t->now_ms + TLS_TICK_MS;
	}
	if (!look_at_keepalive(t))
		return;
	give_up(t);
}

/* ---- the port ---- */

static smq_err op_connect(struct smq_transport *transport)
{
	struct transport *t = of(transport);
	if (t->state != IDLE)
		return SMQ_ERR_STATE;
	t->state = WAITING;
	t->due_ms = INT64_MIN;
	t->failures = 0;
	return SMQ_OK;
}

SMQ_HOT static smq_err op_publish(struct smq_transport *transport, const struct smq_mqtt_message *message, int *ret_id)
{
	struct transport *t = of(transport);
	mosquitto_property *list = NULL;
	const char *why;
	int mid = 0;
	size_t len = message->payload.len;
	/* Never hand the library anything while there is no connection: it answers with an error and keeps QoS 1
	 * and 2 all the same, and a caller that tries again has sent it twice. */
	if (t->state != CONNECTED || t->ended || mosquitto_socket(t->m) < 0)
		return SMQ_ERR_NO_CONNECTION;
	if (!message->topic || message->qos < 0 || message->qos > 2)
		return SMQ_ERR_USAGE;
	if (len > MQTT_MAX_PAYLOAD)
		return SMQ_ERR_TOO_LARGE;
	if (message->property_count > 0 && t->s.protocol != MQTT_PROTOCOL_V5)
		return SMQ_ERR_UNSUPPORTED;
	if (!next_mid_free(t) || (message->qos > 0 && t->inflight_count >= t->s.inflight_max))
		return SMQ_ERR_FULL;
	if (message->qos == 0 &&
	    (t->backlog_count >= BACKLOG_COUNT_MAX || (t->backlog_count > 0 && t->backlog_len + len > BACKLOG_LEN_MAX)))
		return SMQ_ERR_FULL;
	if (message->qos == 2 && t->s.tls)
		listen_to_log(t, true);
	smq_err err = properties_make("publish", message->properties, message->property_count, &list, &why);
	if (err)
		return err;
	int rc = mosquitto_publish_v5(t->m, &mid, message->topic, (int)len, message->payload.p, message->qos,
				      message->retain, list);
	mosquitto_property_free_all(&list);
	if (mid != 0)
		t->last_mid = mid;
	if (rc != MOSQ_ERR_SUCCESS)
		return rc == MOSQ_ERR_INVAL || rc == MOSQ_ERR_MALFORMED_UTF8 ? SMQ_ERR_TOPIC : err_of(rc, errno);
	if (message->qos == 0)
		backlog_add(t, mid, len);
	else
		t->inflight[t->inflight_count++] = mid;
	t->unwritten++;
	*ret_id = mid;
	return SMQ_OK;
}

/* What subscribe and unsubscribe have in common before and after the library's call. */
static smq_err begin_request(const struct transport *t, const char *command, const char *filter,
			     const struct smq_property *properties, size_t count, mosquitto_property **ret_list)
{
	const char *why;
	if (t->state != CONNECTED || t->ended || mosquitto_socket(t->m) < 0)
		return SMQ_ERR_NO_CONNECTION;
	if (!filter || strlen(filter) > UINT16_MAX)
		return SMQ_ERR_TOPIC;
	if (count > 0 && t->s.protocol != MQTT_PROTOCOL_V5)
		return SMQ_ERR_UNSUPPORTED;
	if (!next_mid_free(t))
		return SMQ_ERR_FULL;
	return properties_make(command, properties, count, ret_list, &why);
}

static smq_err end_request(struct transport *t, int rc, int mid, int *ret_id)
{
	if (mid != 0)
		t->last_mid = mid;
	if (rc == MOSQ_ERR_INVAL || rc == MOSQ_ERR_MALFORMED_UTF8)
		return SMQ_ERR_TOPIC;
	if (rc != MOSQ_ERR_SUCCESS)
		return err_of(rc, errno);
	if (ret_id)
		*ret_id = mid;
	return SMQ_OK;
}

static smq_err op_subscribe(struct smq_transport *transport, const char *filter, int options,
			    const struct smq_property *properties, size_t property_count, int *ret_id)
{
	struct transport *t = of(transport);
	mosquitto_property *list = NULL;
	int mid = 0;
	if (options & SMQ_SUB_CONTROL)
		options = (options & 0x3c) | (t->s.control_at_qos0 ? 0 : 1);
	if ((options & ~0x3f) != 0 || (options & 3) == 3 || (options & 0x30) == 0x30)
		return SMQ_ERR_USAGE;
	smq_err err = begin_request(t, "subscribe", filter, properties, property_count, &list);
	if (err)
		return err;
	int rc = mosquitto_subscribe_v5(t->m, &mid, filter, options & 3, options & 0x3c, list);
	mosquitto_property_free_all(&list);
	return end_request(t, rc, mid, ret_id);
}

static smq_err op_unsubscribe(struct smq_transport *transport, const char *filter,
			      const struct smq_property *properties, size_t property_count, int *ret_id)
{
	struct transport *t = of(transport);
	mosquitto_property *list = NULL;
	int mid = 0;
	smq_err err = begin_request(t, "unsubscribe", filter, properties, property_count, &list);
	if (err)
		return err;
	int rc = mosquitto_unsubscribe_v5(t->m, &mid, filter, list);
	mosquitto_property_free_all(&list);
	return end_request(t, rc, mid, ret_id);
}

static smq_err op_disconnect(struct smq_transport *transport, int reason, const struct smq_property *properties,
			     size_t property_count)
{
	struct transport *t = of(transport);
	mosquitto_property *list = NULL;
	const char *why;
	if (t->renews) { /* goodbye was said already: now for good */
		t->renews = false;
		return SMQ_OK;
	}
	if (t->state == IDLE || t->state == LEAVING)
		return SMQ_ERR_CLOSED;
	if (reason < 0 || reason > UINT8_MAX)
		return SMQ_ERR_USAGE;
	if (property_count > 0 && t->s.protocol != MQTT_PROTOCOL_V5)
		return SMQ_ERR_UNSUPPORTED;
	smq_err err = properties_make("disconnect", properties, property_count, &list, &why);
	if (err)
		return err;
	if (t->state == CONNECTED && !t->ended &&
	    mosquitto_disconnect_v5(t->m, reason, list ? list : t->s.goodbye) == MOSQ_ERR_SUCCESS) {
		t->due_ms = t->now_ms + GOODBYE_MS;
	} else {
		if (mosquitto_socket(t->m) >= 0)
			cut_connection(t);
		t->ended = true;
		t->ended_err = SMQ_OK;
		t->ended_reason = 0;
	}
	mosquitto_property_free_all(&list);
	t->state = LEAVING;
	return SMQ_OK;
}

static smq_err op_set_tls(struct smq_transport *transport, const struct smq_tls_options *tls)
{
	const struct transport *t = of(transport);
	return settings_set_tls(t->m, &t->s, tls, on_passphrase);
}

static smq_err op_set_will(struct smq_transport *transport, const struct smq_mqtt_message *will)
{
	const struct transport *t = of(transport);
	const char *why;
	return settings_set_will(t->m, &t->s, will, &why);
}

static smq_err op_renew(struct smq_transport *transport)
{
	struct transport *t = of(transport);
	if (t->state != CONNECTED || t->ended)
		return SMQ_ERR_NO_CONNECTION;
	smq_err err = op_disconnect(transport, 0, NULL, 0);
	t->renews = err == SMQ_OK;
	return err;
}

SMQ_HOT static int op_fd(const struct smq_transport *transport)
{
	const struct transport *t = of_const(transport);
	return live(t) && !t->ended ? mosquitto_socket(t->m) : -1;
}

/*
 * During a TLS handshake the library says "write" from the first full socket on until CONNECT is out, and poll
 * would come back at once for as long as the broker is silent. So the handshake goes by what can be read, and by
 * a tick for the rare rest.
 */
SMQ_HOT static bool op_want_write(const struct smq_transport *transport)
{
	const struct transport *t = of_const(transport);
	if (!live(t) || t->ended)
		return false;
	if (!t->tcp_up)
		return true;
	if (t->s.tls && t->state == CONNECTING)
		return false;
	return mosquitto_want_write(t->m);
}

SMQ_HOT static int64_t op_wake_at(const struct smq_transport *transport)
{
	const struct transport *t = of_const(transport);
	int64_t at = t->due_ms;
	if (t->state == IDLE)
		return INT64_MAX;
	if (t->ended)
		return INT64_MIN;
	if (t->state == WAITING)
		return at;
	if (t->state == CONNECTED || t->misc_ms < at)
		at = t->misc_ms;
	if (t->state == CONNECTING && t->s.tls && t->tcp_up && t->tick_ms < at)
		at = t->tick_ms;
	return at;
}

SMQ_HOT static void op_service(struct smq_transport *transport, bool readable, bool writable, int64_t monotonic_ms)
{
	struct transport *t = of(transport);
	t->now_ms = monotonic_ms;
	if (t->ended) {
		connection_over(t, t->ended_err, t->ended_reason);
		return;
	}
	if (t->state == WAITING && t->now_ms >= t->due_ms)
		attempt(t);
	else if (live(t))
		serve_connection(t, readable, writable);
}

SMQ_HOT static bool op_connected(const struct smq_transport *transport)
{
	return of_const(transport)->state == CONNECTED;
}

static size_t op_inflight(const struct smq_transport *transport) { return of_const(transport)->inflight_count; }

static void op_free(struct smq_transport *transport)
{
	struct transport *t = of(transport);
	if (!t)
		return;
	mosquitto_destroy(t->m);
	settings_done(&t->s);
	free(t->inflight);
	smq_wipe(t, sizeof(*t));
	free(t);
	mosquitto_lib_cleanup();
}

static const struct smq_transport_ops ops = {
	.connect = op_connect,
	.publish = op_publish,
	.subscribe = op_subscribe,
	.unsubscribe = op_unsubscribe,
	.disconnect = op_disconnect,
	.set_tls = op_set_tls,
	.set_will = op_set_will,
	.renew = op_renew,
	.fd = op_fd,
	.want_write = op_want_write,
	.wake_at = op_wake_at,
	.service = op_service,
	.connected = op_connected,
	.inflight = op_inflight,
	.free = op_free,
};

static void set_callbacks(struct transport *t)
{
	mosquitto_connect_v5_callback_set(t->m, on_connect);
	mosquitto_disconnect_v5_callback_set(t->m, on_disconnect);
	mosquitto_message_v5_callback_set(t->m, on_message);
	mosquitto_publish_v5_callback_set(t->m, on_publish);
	mosquitto_subscribe_v5_callback_set(t->m, on_subscribe);
	mosquitto_unsubscribe_v5_callback_set(t->m, on_unsubscribe);
	listen_to_log(t, t->s.tls);
}

smq_err smq_transport_mosquitto_new(const struct smq_client_options *options, const struct smq_transport_events *events,
				    struct smq_transport **ret_transport, const char **ret_why)
{
	const char *why = "";
	smq_err err = SMQ_ERR_NO_MEMORY;
	struct transport *t = calloc(1, sizeof(*t));
	if (!t)
		return SMQ_ERR_NO_MEMORY;
	mosquitto_lib_init();
	t->base.ops = &ops;
	t->events = *events;
	err = settings_apply(options, t, on_passphrase, &t->m, &t->s, &why);
	if (!err && !(t->inflight = calloc(t->s.inflight_max, sizeof(*t->inflight))))
		err = SMQ_ERR_NO_MEMORY;
	if (!err && getrandom(&t->jitter, sizeof(t->jitter), 0) != (ssize_t)sizeof(t->jitter))
		err = SMQ_ERR_IO;
	if (err) {
		op_free(&t->base);
		if (ret_why)
			*ret_why = why;
		return err;
	}
	t->jitter |= 1; /* xorshift never leaves zero */
	set_callbacks(t);
	*ret_transport = &t->base;
	return SMQ_OK;
}
