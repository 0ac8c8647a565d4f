/* A transport under test, what it told, and a poll loop for a few of them at once. */
#include "peer.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "adapters/mqtt_mosquitto/transport_mosquitto.h"

#define PEERS_MAX 8

static struct peer *peers[PEERS_MAX];

int64_t peer_now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void on_connected(void *self, int reason, bool session_present)
{
	struct peer *p = self;
	p->connects += reason == 0;
	p->connack_reason = reason;
	p->session_present = session_present;
	if (p->at_connect)
		p->at_connect(p);
}

static void on_disconnected(void *self, smq_err err, int reason)
{
	struct peer *p = self;
	p->disconnects++;
	p->err = err;
	p->reason = reason;
}

static void on_message(void *self, const struct smq_mqtt_message *m)
{
	struct peer *p = self;
	snprintf(p->topic, sizeof(p->topic), "%s", m->topic);
	p->payload_len = m->payload.len;
	snprintf(p->payload, sizeof(p->payload), "%.*s", (int)(m->payload.len < 100 ? m->payload.len : 100),
		 m->payload.len ? (const char *)m->payload.p : "");
	snprintf(p->seen[p->messages % PEER_KEPT], sizeof(p->seen[0]), "%.15s", p->payload);
	p->qos = m->qos;
	p->retain = m->retain;
	p->property[0] = '\0';
	for (size_t i = 0; i < m->property_count; i++) {
		char part[100];
		snprintf(part, sizeof(part), "%s=%.*s%s%s;", m->properties[i].name, (int)m->properties[i].value_len,
			 m->properties[i].value, m->properties[i].pair_value ? "," : "",
			 m->properties[i].pair_value ? m->properties[i].pair_value : "");
		strncat(p->property, part, sizeof(p->property) - strlen(p->property) - 1);
	}
	p->messages++;
	if (p->at_message)
		p->at_message(p);
}

static void on_published(void *self, int id, int reason)
{
	struct peer *p = self;
	p->never += reason == SMQ_PUBLISHED_NEVER;
	p->published_id[p->publisheds % PEER_KEPT] = id;
	p->published_reason[p->publisheds % PEER_KEPT] = reason;
	p->publisheds++;
}

static void on_subscribed(void *self, int id, const int *reasons, size_t count)
{
	struct peer *p = self;
	(void)id;
	for (size_t i = 0; i < count && i < 8; i++)
		p->sub_reason[i] = reasons[i];
	p->subscribeds++;
}

static void on_unsubscribed(void *self, int id)
{
	struct peer *p = self;
	(void)id;
	p->unsubscribeds++;
}

static void on_log(void *self, int level, const char *line)
{
	struct peer *p = self;
	if (level == 8)
		snprintf(p->log, sizeof(p->log), "%s", line);
	if (getenv("SMQ_TEST_DEBUG"))
		fprintf(stderr, "# %d %s\n", level, line);
}

static smq_err on_before_ack(void *self)
{
	struct peer *p = self;
	if (p->acks < (int)(sizeof(p->acked_at) / sizeof(p->acked_at[0])))
		p->acked_at[p->acks++] = p->messages;
	return SMQ_OK;
}

static bool on_more_before_ack(void *self)
{
	const struct peer *p = self;
	return p->messages < p->worth_until;
}

void peer_init(struct peer *p, int port)
{
	memset(p, 0, sizeof(*p));
	p->connack_reason = -1;
	p->o.host = "127.0.0.1";
	p->o.port = port;
	p->o.clean_start = true;
	p->o.backoff_min_ms = 20;
	p->o.backoff_max_ms = 200;
	p->o.connect_timeout_ms = 3000;
}

void peer_open(struct peer *p)
{
	struct smq_transport_events events = {
		.self = p,
		.connected = on_connected,
		.disconnected = on_disconnected,
		.message = on_message,
		.before_ack = p->acks_late ? on_before_ack : NULL,
		.more_before_ack = p->acks_late ? on_more_before_ack : NULL,
		.published = on_published,
		.subscribed = on_subscribed,
		.unsubscribed = on_unsubscribed,
		.log = on_log,
	};
	const char *why = NULL;
	smq_err err = smq_transport_mosquitto_new(&p->o, &events, &p->t, &why);
	if (err) {
		fprintf(stderr, "transport: %s: %s\n", smq_err_name(err), why);
		abort();
	}
	for (int i = 0; i < PEERS_MAX; i++) {
		if (!peers[i]) {
			peers[i] = p;
			break;
		}
	}
	if (p->t->ops->connect(p->t) != SMQ_OK)
		abort();
}

void peer_free(struct peer *p)
{
	for (int i = 0; i < PEERS_MAX; i++) {
		if (peers[i] == p)
			peers[i] = NULL;
	}
	if (p->t)
		p->t->ops->free(p->t);
	p->t = NULL;
}

void peers_forget(void) { memset(peers, 0, sizeof(peers)); }

static ino_t socket_of(const struct smq_transport *t)
{
	struct stat st = { 0 };
	int fd = t->ops->fd(t);
	return fd >= 0 && fstat(fd, &st) == 0 ? st.st_ino : 0;
}

void peers_turn(int ms)
{
	struct pollfd fds[PEERS_MAX];
	int64_t now = peer_now_ms(), wait = ms;
	for (int i = 0; i < PEERS_MAX; i++) {
		const struct smq_transport *t = peers[i] ? peers[i]->t : NULL;
		fds[i] = (struct pollfd){ .fd = -1 };
		if (!t)
			continue;
		int64_t at = t->ops->wake_at(t);
		if (at <= now)
			wait = 0;
		else if (at - now < wait)
			wait = at - now;
		fds[i].fd = t->ops->fd(t);
		fds[i].events = (short)(POLLIN | (t->ops->want_write(t) ? POLLOUT : 0));
	}
	poll(fds, PEERS_MAX, (int)wait);
	now = peer_now_ms();
	for (int i = 0; i < PEERS_MAX; i++) {
		struct peer *p = peers[i];
		short got = fds[i].revents;
		if (!p || (got == 0 && p->t->ops->wake_at(p->t) > now))
			continue;
		p->rounds++;
		ino_t before = socket_of(p->t);
		int fd = p->t->ops->fd(p->t);
		p->t->ops->service(p->t, got & (POLLIN | POLLHUP | POLLERR), got & (POLLOUT | POLLERR | POLLHUP), now);
		/* A caller that watches by number, as epoll does, must not be left with a closed socket. */
		if (fd >= 0 && p->t && p->t->ops->fd(p->t) == fd && socket_of(p->t) != before)
			abort();
	}
}

smq_err peer_publish(struct peer *p, const char *topic, const char *payload, int qos, int *ret_id)
{
	struct smq_mqtt_message m = { .topic = topic, .payload = smq_span_str(payload), .qos = qos };
	int id = 0;
	smq_err err = p->t->ops->publish(p->t, &m, &id);
	if (!err && ret_id)
		*ret_id = id;
	return err;
}
