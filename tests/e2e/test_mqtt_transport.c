/* The MQTT transport against a real broker, and against ones that misbehave. */
#include "cmocka_all.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "adapters/mqtt_mosquitto/transport_mosquitto.h"
#include "base/table.h"
#include "broker.h"
#include "fake.h"
#include "peer.h"

/* The library never frees the proxy's name and password. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:mosquitto_socks5_set"; }

static int64_t cpu_ms(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000 + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000;
}

/* Whether more than half of the time since then was spent computing: waiting must not. */
static bool spun(int64_t cpu_before_ms, int64_t begun_ms)
{
	return cpu_ms() - cpu_before_ms > 150 + (peer_now_ms() - begun_ms) / 2;
}

static smq_err subscribe(struct peer *p, const char *filter, int options)
{
	int id;
	int before = p->subscribeds;
	smq_err err = p->t->ops->subscribe(p->t, filter, options, NULL, 0, &id);
	if (!err)
		assert_true(UNTIL(p->subscribeds > before, 3000));
	return err;
}

static void connect_peer(struct peer *p)
{
	peer_open(p);
	assert_true(UNTIL(p->connects == 1, 5000));
	assert_true(p->t->ops->connected(p->t));
}

static void say_goodbye(struct peer *p)
{
	assert_int_equal(p->t->ops->disconnect(p->t, 0, NULL, 0), SMQ_OK);
	int before = p->disconnects;
	assert_true(UNTIL(p->disconnects > before, 3000));
	assert_int_equal(p->err, SMQ_OK);
	assert_int_equal(p->t->ops->fd(p->t), -1);
	assert_true(p->t->ops->wake_at(p->t) == INT64_MAX);
	peer_free(p);
}

/* ---- the usual ---- */

static void every_version_and_qos(void **state)
{
	struct broker b;
	(void)state;
	assert_int_equal(broker_start(&b, &(struct broker_options){ .unix_socket = true }), 0);
	for (int row = 0; row < 4; row++) {
		struct peer p;
		peer_init(&p, b.port);
		p.o.protocol = row < 3 ? 3 + row : 5;
		p.o.host = row == 3 ? b.socket_path : "localhost";
		connect_peer(&p);
		assert_int_equal(subscribe(&p, "a/#", 2), SMQ_OK);
		assert_int_equal(p.sub_reason[0], 2);
		for (int qos = 0; qos < 3; qos++) {
			int id = 0;
			assert_int_equal(peer_publish(&p, "a/b", "hello", qos, &id), SMQ_OK);
			/* Nothing is told before service: the id must be known first. */
			assert_int_equal(p.publisheds, qos);
			assert_int_equal(p.t->ops->inflight(p.t), qos > 0);
			assert_true(UNTIL(p.publisheds == qos + 1 && p.messages == qos + 1, 3000));
			assert_int_equal(p.published_id[qos], id);
			assert_int_equal(p.published_reason[qos], 0);
			assert_int_equal(p.qos, qos);
			assert_string_equal(p.topic, "a/b");
			assert_string_equal(p.payload, "hello");
			assert_int_equal(p.t->ops->inflight(p.t), 0);
		}
		int id;
		assert_int_equal(p.t->ops->unsubscribe(p.t, "a/#", NULL, 0, &id), SMQ_OK);
		assert_true(UNTIL(p.unsubscribeds == 1, 3000));
		say_goodbye(&p);
	}
	broker_stop(&b);
}

static smq_err make(const struct smq_client_options *o, const char **ret_why)
{
	static const struct smq_transport_events none;
	struct smq_transport *t = NULL;
	*ret_why = NULL;
	smq_err err = smq_transport_mosquitto_new(o, &none, &t, ret_why);
	if (!err)
		t->ops->free(t);
	return err;
}

static void wrong_options_are_refused_with_a_reason(void **state)
{
	(void)state;
	const char *why;
	struct smq_mqtt_message will = { .topic = "w", .payload = smq_span_str("x") };
	struct smq_mqtt_message wild_will = { .topic = "w/#" };
	struct smq_property p = { "connect", "receive-maximum", "10", 2, NULL };
	struct smq_client_options o = { .clean_start = true };
	assert_int_equal(make(&o, &why), SMQ_OK);
	o.clean_start = false; /* needs a client id */
	assert_int_equal(make(&o, &why), SMQ_ERR_USAGE);
#define REFUSED(err, ...)                                                                                              \
	do {                                                                                                           \
		o = (struct smq_client_options){ .clean_start = true, __VA_ARGS__ };                                   \
		assert_int_equal(make(&o, &why), err);                                                                 \
		assert_non_null(why);                                                                                  \
		assert_true(strlen(why) > 10);                                                                         \
	} while (0)
#define PROPERTY(command, name, value)                                                                                 \
	do {                                                                                                           \
		p = (struct smq_property){ command, name, value, strlen(value), NULL };                                \
		REFUSED(SMQ_ERR_USAGE, .properties = &p, .property_count = 1, .will = &will);                          \
	} while (0)
	REFUSED(SMQ_ERR_USAGE, .host = "");
	REFUSED(SMQ_ERR_USAGE, .port = 65536);
	REFUSED(SMQ_ERR_USAGE, .protocol = 6);
	REFUSED(SMQ_ERR_USAGE, .keepalive_s = 4);
	REFUSED(SMQ_ERR_USAGE, .inflight_max = 65536);
	REFUSED(SMQ_ERR_USAGE, .client_id = "");
	REFUSED(SMQ_ERR_USAGE, .client_id = "\xff");
	REFUSED(SMQ_ERR_USAGE, .protocol = 4, .password = "x");
	REFUSED(SMQ_ERR_USAGE, .backoff_min_ms = 10, .backoff_max_ms = 5);
	REFUSED(SMQ_ERR_UNSUPPORTED, .srv_lookup = true);
	REFUSED(SMQ_ERR_USAGE, .socks5 = "http://proxy");
	REFUSED(SMQ_ERR_USAGE, .socks5 = "socks5h://");
	REFUSED(SMQ_ERR_USAGE, .socks5 = "socks5h://proxy:0");
	REFUSED(SMQ_ERR_UNSUPPORTED, .socks5 = "socks5h://proxy", .session_expiry_s = 9);
	REFUSED(SMQ_ERR_USAGE, .will = &wild_will);
	REFUSED(SMQ_ERR_USAGE, .tls = { .cert_file = "/dev/null", .key_file = "/dev/null" });
	REFUSED(SMQ_ERR_USAGE, .tls = { .ca_file = "/dev/null", .cert_file = "/dev/null" });
	REFUSED(SMQ_ERR_NOT_FOUND, .tls = { .ca_file = "/nowhere" });
	REFUSED(SMQ_ERR_USAGE, .tls = { .ca_file = "/dev/null", .version = "tlsv1.1" });
	REFUSED(SMQ_ERR_USAGE, .tls = { .psk = "xyz", .psk_identity = "me" });
	REFUSED(SMQ_ERR_USAGE, .tls = { .psk = "00" });
	PROPERTY("connect", "nonsense", "1");
	PROPERTY("nonsense", "receive-maximum", "1");
	PROPERTY("connect", "topic-alias", "1");
	PROPERTY("connect", "receive-maximum", "65536");
	PROPERTY("connect", "receive-maximum", "0");
	PROPERTY("connect", "receive-maximum", "");
	PROPERTY("connect", "receive-maximum", "-1");
	PROPERTY("will", "content-type", "\xff\xfe");
	PROPERTY("will", "user-property", "half");
	PROPERTY("disconnect", "reason-string", "\xff");
	p = (struct smq_property){ "connect", "receive-maximum", "10", 2, NULL };
	REFUSED(SMQ_ERR_USAGE, .protocol = 4, .properties = &p, .property_count = 1);
	struct smq_property twice[2] = { p, p };
	REFUSED(SMQ_ERR_USAGE, .properties = twice, .property_count = 2);
}

/* ---- reasons of the broker ---- */

static void an_acl_denial_is_told(void **state)
{
	struct broker b;
	(void)state;
	assert_int_equal(broker_start(&b, &(struct broker_options){ .acl = "topic write may/#\ntopic read may/#\n" }),
			 0);
	for (int protocol = 4; protocol <= 5; protocol++) {
		struct peer p;
		int id;
		peer_init(&p, b.port);
		p.o.protocol = protocol;
		connect_peer(&p);
		for (int qos = 1; qos < 3; qos++) {
			assert_int_equal(peer_publish(&p, "not/mine", "x", qos, &id), SMQ_OK);
			assert_true(UNTIL(p.publisheds == qos, 3000));
			/* MQTT 3.1.1 has no word for it: there a denial looks like success. */
			assert_int_equal(p.published_reason[qos - 1], protocol == 5 ? 135 : 0);
			assert_int_equal(p.t->ops->inflight(p.t), 0);
		}
		assert_int_equal(peer_publish(&p, "may/go", "x", 1, &id), SMQ_OK);
		assert_true(UNTIL(p.publisheds == 3, 3000));
		assert_true(p.published_reason[2] < 128); /* 16: nobody subscribed */
		say_goodbye(&p);
	}
	broker_stop(&b);
}

static void a_refused_login_is_told(void **state)
{
	struct broker b;
	(void)state;
	assert_int_equal(broker_start(&b, &(struct broker_options){ .extra = "allow_anonymous false" }), 0);
	for (int protocol = 4; protocol <= 5; protocol++) {
		struct peer p;
		peer_init(&p, b.port);
		p.o.protocol = protocol;
		p.o.username = "me";
		p.o.password = "guess";
		peer_open(&p);
		assert_true(UNTIL(p.disconnects == 1, 3000));
		assert_int_equal(p.connects, 0);
		assert_int_equal(p.connack_reason, protocol == 5 ? 135 : 5);
		assert_int_equal(p.err, SMQ_ERR_NOT_AUTHORIZED);
		assert_int_equal(p.reason, p.connack_reason);
		assert_true(UNTIL(p.disconnects == 2, 3000)); /* tries again until told not to */
		say_goodbye(&p);
	}
	broker_stop(&b);
}

static void the_brokers_goodbye_is_told(void **state)
{
	static const struct {
		uint8_t reason;
		smq_err want;
	} rows[] = {
		{ 0, SMQ_ERR_CONNECTION_LOST },   { 139, SMQ_ERR_CONNECTION_LOST }, /* shutting down */
		{ 142, SMQ_ERR_CONNECTION_LOST },                                   /* session taken over */
		{ 135, SMQ_ERR_NOT_AUTHORIZED },  { 152, SMQ_ERR_NOT_AUTHORIZED },  /* administrative action */
	};
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		struct fake f;
		struct peer p;
		fake_open(&f);
		peer_init(&p, f.port);
		peer_open(&p);
		assert_true(fake_welcome(&f));
		assert_true(UNTIL(p.connects == 1, 3000));
		fake_send(&f, (uint8_t[]){ 0xe0, 2, rows[i].reason, 0 }, 4);
		fake_hang_up(&f, false);
		assert_true(UNTIL(p.disconnects == 1, 3000));
		assert_int_equal(p.reason, rows[i].reason);
		assert_int_equal(p.err, rows[i].want);
		/* told once, and tried again */
		assert_true(fake_welcome(&f));
		assert_true(UNTIL(p.connects == 2, 3000));
		assert_int_equal(p.disconnects, 1);
		peer_free(&p);
		fake_close(&f);
	}
}

static void properties_go_both_ways(void **state)
{
	struct broker b;
	struct peer p;
	(void)state;
	assert_int_equal(broker_start(&b, NULL), 0);
	peer_init(&p, b.port);
	connect_peer(&p);
	struct smq_property sub = { "subscribe", "subscription-identifier", "300", 3, NULL };
	int id;
	assert_int_equal(p.t->ops->subscribe(p.t, "t", 0, &sub, 1, &id), SMQ_OK);
	assert_true(UNTIL(p.subscribeds == 1, 3000));
	struct smq_property properties[] = {
		{ "publish", "content-type", "text/plain", 10, NULL },
		{ NULL, "payload-format-indicator", "1", 1, NULL },
		{ "publish", "correlation-data", "ab", 2, NULL },
		{ "publish", "response-topic", "answer", 6, NULL },
		{ "publish", "user-property", "k", 1, "v" },
		{ "publish", "user-property", "k", 1, "" },
		{ "connect", "receive-maximum", "9", 1, NULL }, /* another command's: left out */
	};
	struct smq_mqtt_message m = { .topic = "t", .properties = properties, .property_count = 7 };
	assert_int_equal(p.t->ops->publish(p.t, &m, &id), SMQ_OK);
	assert_true(UNTIL(p.messages == 1, 3000));
	assert_non_null(strstr(p.property, "content-type=text/plain;"));
	assert_non_null(strstr(p.property, "payload-format-indicator=1;"));
	assert_non_null(strstr(p.property, "correlation-data=ab;"));
	assert_non_null(strstr(p.property, "response-topic=answer;"));
	assert_non_null(strstr(p.property, "user-property=k,v;"));
	assert_non_null(strstr(p.property, "user-property=k,;"));
	assert_non_null(strstr(p.property, "subscription-identifier=300;"));
	m = (struct smq_mqtt_message){ .topic = "t/#" };
	assert_int_equal(p.t->ops->publish(p.t, &m, &id), SMQ_ERR_TOPIC);
	assert_int_equal(p.t->ops->subscribe(p.t, "a/#/b", 0, NULL, 0, &id), SMQ_ERR_TOPIC);
	assert_int_equal(p.t->ops->subscribe(p.t, "a", 3, NULL, 0, &id), SMQ_ERR_USAGE);
	say_goodbye(&p);
	broker_stop(&b);
}

static void control_topics_at_the_qos_that_was_asked_for(void **state)
{
	struct broker b;
	(void)state;
	assert_int_equal(broker_start(&b, NULL), 0);
	for (int qos = 0; qos < 2; qos++) {
		struct peer p;
		peer_init(&p, b.port);
		p.o.control_at_qos0 = qos == 0;
		connect_peer(&p);
		assert_int_equal(subscribe(&p, "control", SMQ_SUB_CONTROL), SMQ_OK);
		assert_int_equal(p.sub_reason[0], qos);
		assert_int_equal(subscribe(&p, "data", 1), SMQ_OK);
		assert_int_equal(p.sub_reason[0], 1);
		say_goodbye(&p);
	}
	broker_stop(&b);
}

static void a_will_and_a_kept_session(void **state)
{
	struct broker b;
	struct peer p, q;
	(void)state;
	assert_int_equal(broker_start(&b, NULL), 0);
	peer_init(&q, b.port);
	connect_peer(&q);
	assert_int_equal(subscribe(&q, "gone", 1), SMQ_OK);
	struct smq_mqtt_message will = { .topic = "gone", .payload = smq_span_str("bye"), .qos = 1 };
	struct smq_property about = { "will", "content-type", "farewell", 8, NULL };
	peer_init(&p, b.port);
	p.o.will = &will;
	p.o.properties = &about;
	p.o.property_count = 1;
	p.o.client_id = "sleeper";
	p.o.clean_start = false;
	p.o.session_expiry_s = 60;
	connect_peer(&p);
	assert_false(p.session_present);
	assert_int_equal(subscribe(&p, "news", 1), SMQ_OK);
	peer_free(&p); /* no goodbye */
	assert_true(UNTIL(q.messages == 1, 3000));
	assert_string_equal(q.payload, "bye");
	assert_string_equal(q.property, "content-type=farewell;");
	assert_int_equal(peer_publish(&q, "news", "while you slept", 1, NULL), SMQ_OK);
	assert_true(UNTIL(q.publisheds == 1, 3000));
	p.connects = 0;
	connect_peer(&p);
	assert_true(p.session_present);
	assert_true(UNTIL(p.messages == 1, 3000));
	assert_string_equal(p.payload, "while you slept");
	say_goodbye(&p);
	say_goodbye(&q);
	broker_stop(&b);
}

/* ---- TLS ---- */

static void tls_options(struct peer *p, const struct broker *b, const char *host)
{
	peer_init(p, b->port);
	p->o.host = host;
	p->o.tls.ca_file = b->ca_file;
	p->o.tls.cert_file = b->client_cert;
	p->o.tls.key_file = b->client_key;
}

/* Connecting does not work, for TLS's sake, and without spinning. */
static void assert_tls_refused(struct peer *p)
{
	peer_open(p);
	assert_true(UNTIL(p->disconnects >= 2, 5000));
	assert_int_equal(p->connects, 0);
	assert_int_equal(p->err, SMQ_ERR_TLS);
	assert_true(strlen(p->log) > 0);
	assert_true(p->rounds < 100);
	say_goodbye(p);
}

static void tls_by_name_and_by_address(void **state)
{
	struct broker b;
	struct peer p;
	(void)state;
	assert_int_equal(broker_start(&b, &(struct broker_options){ .tls = true, .require_certs = true }), 0);
	static const char *const hosts[] = { "localhost", "127.0.0.1" };
	static const char *const versions[] = { NULL, "tlsv1.2", "tlsv1.3" };
	for (size_t i = 0; i < 6; i++) {
		tls_options(&p, &b, hosts[i % 2]);
		p.o.tls.version = versions[i / 2];
		p.o.tls.alpn = i == 5 ? "mqtt" : NULL;
		connect_peer(&p);
		assert_int_equal(subscribe(&p, "a", 1), SMQ_OK);
		for (int n = 0; n < 50; n++)
			assert_int_equal(peer_publish(&p, "a", "x", n % 3 == 0, NULL), SMQ_OK);
		assert_true(UNTIL(p.messages == 50, 3000));
		say_goodbye(&p);
	}
	tls_options(&p, &b, "localhost");
	p.o.tls.cert_file = b.stranger_cert;
	p.o.tls.key_file = b.stranger_key;
	assert_tls_refused(&p);
	tls_options(&p, &b, "localhost");
	p.o.tls.cert_file = p.o.tls.key_file = NULL;
	assert_tls_refused(&p);
	tls_options(&p, &b, "localhost");
	p.o.tls.ca_file = b.stranger_cert;
	assert_tls_refused(&p);
	broker_stop(&b);
}

static void a_wrong_server_name_is_refused(void **state)
{
	static const struct {
		const char *server, *host;
		bool good;
	} rows[] = {
		{ "DNS:elsewhere", "localhost", false },
		{ "DNS:elsewhere", "127.0.0.1", false },
		{ "DNS:localhost", "127.0.0.1", false },
		{ "DNS:localhost", "localhost", true },
		{ "IP:127.0.0.1", "127.0.0.1", true },
		{ "IP:127.0.0.2", "127.0.0.1", false },
		{ "DNS:127.0.0.2,IP:127.0.0.2", "localhost", false },
	};
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		struct broker b;
		struct peer p;
		assert_int_equal(
		    broker_start(&b, &(struct broker_options){ .tls = true, .server_name = rows[i].server }), 0);
		tls_options(&p, &b, rows[i].host);
		if (rows[i].good) {
			connect_peer(&p);
			say_goodbye(&p);
		} else {
			assert_tls_refused(&p);
			tls_options(&p, &b, rows[i].host);
			p.o.tls.insecure_no_hostname = true;
			connect_peer(&p);
			say_goodbye(&p);
		}
		broker_stop(&b);
	}
}

static void tls_by_pre_shared_key(void **state)
{
	struct broker b;
	struct peer p;
	(void)state;
	assert_int_equal(broker_start(&b, &(struct broker_options){ .psk = "me:00112233445566778899aabbccddeeff\n" }),
			 0);
	peer_init(&p, b.port);
	p.o.tls.psk = "00112233445566778899aabbccddeeff";
	p.o.tls.psk_identity = "me";
	p.o.tls.version = "tlsv1.2";
	connect_peer(&p);
	say_goodbye(&p);
	peer_init(&p, b.port);
	p.o.tls.psk = "ff112233445566778899aabbccddeeff";
	p.o.tls.psk_identity = "me";
	p.o.tls.version = "tlsv1.2";
	assert_tls_refused(&p);
	broker_stop(&b);
}

static void a_key_with_a_passphrase(void **state)
{
	struct broker b;
	struct peer p;
	char command[1024], key[BROKER_PATH_ROOM + 8], phrase[BROKER_PATH_ROOM + 8];
	(void)state;
	assert_int_equal(broker_start(&b, &(struct broker_options){ .tls = true, .require_certs = true }), 0);
	snprintf(key, sizeof(key), "%s.enc", b.client_key);
	snprintf(phrase, sizeof(phrase), "%s.phrase", b.client_key);
	snprintf(command, sizeof(command),
		 "umask 077; echo 'open sesame' >%s; openssl pkcs8 -topk8 -in %s -out %s -passout file:%s", phrase,
		 b.client_key, key, phrase);
	assert_int_equal(system(command), 0);
	tls_options(&p, &b, "localhost");
	p.o.tls.key_file = key;
	p.o.tls.key_passphrase_file = phrase;
	connect_peer(&p);
	say_goodbye(&p);
	/* without it: refused, and not asked for at the terminal */
	tls_options(&p, &b, "localhost");
	p.o.tls.key_file = key;
	assert_tls_refused(&p);
	broker_stop(&b);
}

/* ---- through a proxy ---- */

static void read_or_exit(int fd, uint8_t *room, size_t len)
{
	if (recv(fd, room, len, MSG_WAITALL) != (ssize_t)len)
		_exit(1);
}

static void write_or_exit(int fd, const void *bytes, size_t len)
{
	if (write(fd, bytes, len) != (ssize_t)len)
		_exit(1);
}

static void relay(int a, int b)
{
	static uint8_t room[65536];
	for (;;) {
		struct pollfd p[2] = { { a, POLLIN, 0 }, { b, POLLIN, 0 } };
		poll(p, 2, -1);
		for (int i = 0; i < 2; i++) {
			if (p[i].revents == 0)
				continue;
			ssize_t n = read(p[i].fd, room, sizeof(room));
			if (n <= 0)
				_exit(0);
			write_or_exit(p[1 - i].fd, room, (size_t)n);
		}
	}
}

/* A SOCKS5 proxy (RFC 1928, 1929) for one connection to "localhost" by name, for "user" with "secret". */
static void proxy(int listener)
{
	uint8_t b[300];
	int c = accept(listener, NULL, NULL);
	read_or_exit(c, b, 4);
	if (memcmp(b, "\5\2\0\2", 4) != 0)
		_exit(1);
	write_or_exit(c, "\5\2", 2);
	read_or_exit(c, b, 13);
	if (memcmp(b, "\1\4user\6secret", 13) != 0) {
		write_or_exit(c, "\1\2", 2);
		_exit(0);
	}
	write_or_exit(c, "\1\0", 2);
	read_or_exit(c, b, 16);
	if (memcmp(b, "\5\1\0\3\x09localhost", 14) != 0)
		_exit(1);
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	memcpy(&a.sin_port, b + 14, 2);
	int s = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(s, (struct sockaddr *)&a, sizeof(a)) != 0)
		_exit(1);
	write_or_exit(c, "\5\0\0\1\0\0\0\0\0\0", 10);
	relay(c, s);
}

static void socks5(void **state)
{
	struct broker b;
	(void)state;
	assert_int_equal(broker_start(&b, &(struct broker_options){ .tls = true }), 0);
	for (int row = 0; row < 2; row++) {
		struct fake f;
		struct peer p;
		char url[64];
		fake_open(&f);
		pid_t parent = getpid(), pid = fork();
		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (getppid() == parent)
				proxy(f.listener);
			_exit(1);
		}
		tls_options(&p, &b, "localhost");
		snprintf(url, sizeof(url), "socks5h://user:%s@127.0.0.1:%d", row ? "guess1" : "secret", f.port);
		p.o.socks5 = url;
		if (row == 0) {
			connect_peer(&p);
			assert_int_equal(subscribe(&p, "a", 1), SMQ_OK);
			assert_int_equal(peer_publish(&p, "a", "x", 1, NULL), SMQ_OK);
			assert_true(UNTIL(p.messages == 1, 3000));
		} else {
			peer_open(&p);
			assert_true(UNTIL(p.disconnects == 1, 3000));
			assert_int_equal(p.err, SMQ_ERR_NOT_AUTHORIZED);
		}
		say_goodbye(&p);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		fake_close(&f);
	}
	broker_stop(&b);
}

/* ---- connections that die ---- */

static void a_vanished_broker_comes_back(void **state)
{
	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		struct broker b;
		struct peer p;
		assert_int_equal(broker_start(&b, &(struct broker_options){ .tls = tls }), 0);
		if (tls)
			tls_options(&p, &b, "localhost");
		else
			peer_init(&p, b.port);
		connect_peer(&p);
		for (int round = 1; round <= 3; round++) {
			broker_kill(&b);
			assert_true(UNTIL(p.disconnects >= 1, 3000));
			assert_int_equal(p.err, SMQ_ERR_CONNECTION_LOST);
			assert_false(p.t->ops->connected(p.t));
			assert_int_equal(peer_publish(&p, "a", "x", 1, NULL), SMQ_ERR_NO_CONNECTION);
			uint64_t rounds = p.rounds;
			int64_t cpu = cpu_ms(), begun = peer_now_ms();
			/* a refused attempt every 100 to 200 ms, once grown, and nothing in between */
			assert_true(UNTIL(p.disconnects >= 7, 3000));
			assert_int_equal(p.err, SMQ_ERR_CONNECTION_REFUSED);
			assert_true(peer_now_ms() - begun > 300);
			assert_true(p.rounds - rounds < 10 * (uint64_t)p.disconnects);
			assert_false(spun(cpu, begun));
			assert_int_equal(broker_resume(&b), 0);
			assert_true(UNTIL(p.connects == round + 1, 3000));
			p.disconnects = 0;
		}
		say_goodbye(&p);
		broker_stop(&b);
	}
}

/* Each family has its turn after a failure, and IPv6 keeps it. */
static void by_ipv6_and_back(void **state)
{
	struct broker b;
	struct peer p;
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	char extra[64];
	int port = broker_free_port(), probe = socket(AF_INET6, SOCK_STREAM, 0);
	(void)state;
	a.sin6_port = htons((uint16_t)port);
	if (probe < 0 || bind(probe, (struct sockaddr *)&a, sizeof(a)) != 0)
		skip();
	close(probe);
	snprintf(extra, sizeof(extra), "listener %d ::1", port);
	assert_int_equal(broker_start(&b, &(struct broker_options){ .port = port, .extra = extra }), 0);
	peer_init(&p, b.port);
	p.o.host = "::1";
	connect_peer(&p);
	for (int round = 1; round <= 2; round++) {
		broker_kill(&b);
		assert_true(UNTIL(p.disconnects >= 4, 5000));
		assert_int_equal(p.err, SMQ_ERR_CONNECTION_REFUSED);
		p.disconnects = 0;
		assert_int_equal(broker_resume(&b), 0);
		assert_true(UNTIL(p.connects == round + 1, 3000));
	}
	say_goodbye(&p);
	broker_stop(&b);
}

/* A listener that says nothing, hangs up, or resets, before and after the client has spoken. */
static void a_silent_or_rude_listener(void **state)
{
	struct broker certs; /* for its CA alone: reading the system's takes longer than what is measured */
	(void)state;
	assert_int_equal(broker_start(&certs, &(struct broker_options){ .tls = true }), 0);
	for (int row = 0; row < 8; row++) {
		struct fake f;
		struct peer p;
		bool tls = row & 1;
		int rudeness = row / 2; /* 0 silent, 1 hangs up, 2 resets, 3 answers nonsense */
		fake_open(&f);
		peer_init(&p, f.port);
		p.o.connect_timeout_ms = rudeness == 0 ? 400 : 30000;
		p.o.tls.ca_file = tls ? certs.ca_file : NULL;
		int64_t cpu = cpu_ms(), begun = peer_now_ms();
		peer_open(&p);
		for (int attempt = 1; attempt <= 2; attempt++) {
			assert_true(fake_accept(&f));
			assert_int_equal(peer_publish(&p, "a", "x", 1, NULL), SMQ_ERR_NO_CONNECTION);
			assert_int_equal(peer_publish(&p, "a", "x", 0, NULL), SMQ_ERR_NO_CONNECTION);
			if (rudeness == 1 || rudeness == 2)
				fake_hang_up(&f, rudeness == 2);
			if (rudeness == 3)
				fake_send(&f, "H\x18TTP 400 Bad Request\r\n\r\n", 26); /* a PUBACK, if anything */
			assert_true(UNTIL(p.disconnects >= attempt, 2000));
			if (rudeness == 0)
				assert_int_equal(p.err, SMQ_ERR_TIMEOUT);
			else
				assert_true(p.err == SMQ_ERR_CONNECTION_LOST || p.err == SMQ_ERR_TLS ||
					    p.err == SMQ_ERR_PROTOCOL);
		}
		assert_int_equal(p.connects, 0);
		assert_int_equal(p.t->ops->inflight(p.t), 0);
		assert_true(p.rounds < 100);
		assert_false(spun(cpu, begun));
		say_goodbye(&p);
		fake_close(&f);
	}
	broker_stop(&certs);
}

/* A listener whose queue is full, so that further connects hang. */
struct blackhole {
	int listener, port;
	int others[8];
};

static void blackhole_open(struct blackhole *h)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	h->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(h->listener, (struct sockaddr *)&a, len), 0);
	assert_int_equal(listen(h->listener, 0), 0);
	assert_int_equal(getsockname(h->listener, (struct sockaddr *)&a, &len), 0);
	h->port = ntohs(a.sin_port);
	for (size_t i = 0; i < SMQ_COUNT(h->others); i++) {
		h->others[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		if (connect(h->others[i], (struct sockaddr *)&a, len) != 0)
			assert_int_equal(errno, EINPROGRESS);
	}
}

static void blackhole_close(struct blackhole *h)
{
	for (size_t i = 0; i < SMQ_COUNT(h->others); i++)
		close(h->others[i]);
	close(h->listener);
}

static void a_connect_that_hangs_is_a_timeout(void **state)
{
	struct blackhole h;
	struct peer p;
	(void)state;
	blackhole_open(&h);
	peer_init(&p, h.port);
	p.o.connect_timeout_ms = 300;
	int64_t begun = peer_now_ms();
	peer_open(&p);
	assert_true(UNTIL(p.disconnects >= 1, 3000));
	assert_int_equal(p.err, SMQ_ERR_TIMEOUT);
	assert_true(peer_now_ms() - begun >= 300);
	assert_true(p.rounds < 50);
	say_goodbye(&p);
	blackhole_close(&h);
}

/* A connect that takes a while leaves the library asking to write for as long as the handshake lasts. */
static void a_slow_connect_then_a_silent_handshake(void **state)
{
	struct blackhole h;
	struct peer p;
	int taken[16], count = 0;
	(void)state;
	blackhole_open(&h);
	peer_init(&p, h.port);
	p.o.tls.ca_dir = "/etc/ssl/certs";
	p.o.connect_timeout_ms = 4000;
	peer_open(&p);
	FOR(p.disconnects == 1, 200);
	int64_t end = peer_now_ms() + 6000 * PATIENCE, cpu = cpu_ms(), begun = peer_now_ms();
	while (p.disconnects == 0 && peer_now_ms() < end) {
		peers_turn(20);
		int fd = accept(h.listener, NULL, NULL);
		if (fd >= 0 && count < 16)
			taken[count++] = fd;
	}
	assert_true(count > 1);
	assert_int_equal(p.err, SMQ_ERR_TIMEOUT);
	assert_true(p.rounds < 150);
	assert_false(spun(cpu, begun));
	say_goodbye(&p);
	while (count > 0)
		close(taken[--count]);
	blackhole_close(&h);
}

static void what_cannot_be_reached_is_named(void **state)
{
	struct peer p;
	(void)state;
	static const struct {
		const char *host;
		smq_err want;
	} rows[] = {
		{ "no-such-host.invalid", SMQ_ERR_HOST },
		{ "127.0.0.1", SMQ_ERR_CONNECTION_REFUSED },
		{ "/tmp/no/such/socket", SMQ_ERR_CONNECTION_REFUSED },
	};
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		peer_init(&p, broker_free_port());
		p.o.host = rows[i].host;
		peer_open(&p);
		assert_true(UNTIL(p.disconnects == 1, 15000));
		assert_int_equal(p.err, rows[i].want);
		say_goodbye(&p);
	}
}

static void a_frozen_broker_is_given_up(void **state)
{
	struct broker b;
	struct peer p;
	(void)state;
	assert_int_equal(broker_start(&b, NULL), 0);
	peer_init(&p, b.port);
	p.o.keepalive_s = 5;
	connect_peer(&p);
	uint64_t rounds = p.rounds;
	broker_freeze(&b);
	assert_true(UNTIL(p.disconnects == 1, 14000));
	assert_int_equal(p.err, SMQ_ERR_TIMEOUT);
	assert_true(p.rounds - rounds < 40);
	broker_thaw(&b);
	assert_true(UNTIL(p.connects == 2, 5000));
	/* an idle connection is kept up by pings */
	int disconnects = p.disconnects;
	FOR(p.disconnects > disconnects, 8000);
	assert_int_equal(p.disconnects, disconnects);
	assert_true(p.t->ops->connected(p.t));
	say_goodbye(&p);
	broker_stop(&b);
}

/* ---- what was under way ---- */

/* The payload of a PUBLISH of MQTT 5 with QoS above 0, a one-letter topic and no properties. */
static const char *payload_of(struct fake *f)
{
	f->packet[f->packet_len] = '\0';
	return (const char *)f->packet + 2 + 3 + 2 + 1;
}

static void publish_three(struct peer *p)
{
	if (p->connects == 2)
		assert_int_equal(peer_publish(p, "t", "three", 1, NULL), SMQ_OK);
}

static void unacknowledged_messages_go_out_again_once_and_first(void **state)
{
	struct fake f;
	struct peer p;
	int one, two;
	(void)state;
	fake_open(&f);
	peer_init(&p, f.port);
	p.at_connect = publish_three;
	peer_open(&p);
	assert_true(fake_welcome(&f));
	assert_true(UNTIL(p.connects == 1, 3000));
	assert_int_equal(peer_publish(&p, "t", "one", 1, &one), SMQ_OK);
	assert_int_equal(peer_publish(&p, "t", "two", 2, &two), SMQ_OK);
	assert_true(fake_read(&f));
	assert_int_equal(f.packet[0], 0x32);
	assert_true(fake_read(&f));
	assert_int_equal(f.packet[0], 0x34);
	fake_hang_up(&f, false);
	assert_true(UNTIL(p.disconnects == 1, 3000));
	assert_int_equal(p.publisheds, 0);
	assert_int_equal(p.t->ops->inflight(p.t), 2);
	/* while away nothing is taken, so nothing can come twice */
	for (int i = 0; i < 3; i++)
		assert_int_equal(peer_publish(&p, "t", "never", i, NULL), SMQ_ERR_NO_CONNECTION);
	assert_true(fake_welcome(&f));
	assert_true(fake_read(&f));
	assert_int_equal(f.packet[0], 0x3a); /* DUP */
	assert_string_equal(payload_of(&f), "one");
	assert_true(fake_read(&f));
	assert_int_equal(f.packet[0], 0x3c);
	assert_string_equal(payload_of(&f), "two");
	assert_true(fake_read(&f));
	assert_int_equal(f.packet[0], 0x32);
	assert_string_equal(payload_of(&f), "three");
	struct pollfd more = { f.fd, POLLIN, 0 };
	FOR(poll(&more, 1, 0) > 0, 200);
	assert_int_equal(more.revents, 0);
	fake_send(&f, (uint8_t[]){ 0x40, 2, 0, (uint8_t)one }, 4);
	assert_true(UNTIL(p.publisheds == 1, 3000));
	assert_int_equal(p.published_id[0], one);
	fake_send(&f, (uint8_t[]){ 0x50, 3, 0, (uint8_t)two, 0x97 }, 5); /* QoS 2 refused: quota exceeded */
	assert_true(UNTIL(p.publisheds == 2, 3000));
	assert_int_equal(p.published_id[1], two);
	assert_int_equal(p.published_reason[1], 0x97);
	assert_int_equal(p.t->ops->inflight(p.t), 1);
	peer_free(&p);
	fake_close(&f);
}

/* The packaged broker sends more QoS 2 messages ahead than a client allows; the library, left at its default of 20,
 * breaks the connection on the 21st. */
static void a_broker_that_sends_far_ahead(void **state)
{
	struct fake f;
	struct peer p;
	(void)state;
	fake_open(&f);
	peer_init(&p, f.port);
	peer_open(&p);
	assert_true(fake_welcome(&f));
	for (int i = 1; i <= 200; i++)
		fake_send(&f, (uint8_t[]){ 0x34, 7, 0, 1, 't', 0, (uint8_t)i, 0, 'x' }, 9);
	for (int i = 1; i <= 200; i++) {
		assert_true(fake_read(&f));
		assert_int_equal(f.packet[0], 0x50);
		assert_int_equal(f.packet[3], i);
	}
	for (int i = 1; i <= 200; i++)
		fake_send(&f, (uint8_t[]){ 0x62, 2, 0, (uint8_t)i }, 4);
	assert_true(UNTIL(p.messages == 200, 3000));
	assert_int_equal(p.disconnects, 0);
	peer_free(&p);
	fake_close(&f);
}

/* So many before one before_ack, and a few more where that is worth it. */
static void a_little_more_is_read_where_it_spares_work(void **state)
{
	enum { SENT = 2500, EACH = 9 };
	static const struct {
		int worth_until, first;
	} rows[] = { { 0, 2048 }, { 2048, 2048 }, { 2049, 2049 }, { 2100, 2100 }, { SENT, 2048 + 257 } };
	static uint8_t all[SENT * EACH];
	(void)state;
	for (int i = 0; i < SENT; i++) {
		const uint8_t one[EACH] = { 0x32, 7, 0, 1, 't', (uint8_t)((i + 1) >> 8), (uint8_t)(i + 1), 0, 'x' };
		memcpy(all + i * EACH, one, EACH);
	}
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fake f;
		struct peer p;
		fake_open(&f);
		peer_init(&p, f.port);
		p.acks_late = true;
		p.worth_until = rows[i].worth_until;
		peer_open(&p);
		assert_true(fake_welcome(&f));
		assert_true(UNTIL(p.connects == 1, 3000));
		fake_send(&f, all, sizeof(all));
		assert_true(UNTIL(p.messages == SENT && p.acks == 2, 3000));
		assert_int_equal(p.acked_at[0], rows[i].first);
		assert_int_equal(p.acked_at[1], SENT);
		peer_free(&p);
		fake_close(&f);
	}
}

static void no_more_under_way_than_allowed(void **state)
{
	struct fake f;
	struct peer p;
	int id;
	(void)state;
	fake_open(&f);
	peer_init(&p, f.port);
	p.o.inflight_max = 3;
	peer_open(&p);
	assert_true(fake_welcome(&f));
	assert_true(UNTIL(p.connects == 1, 3000));
	for (int i = 0; i < 3; i++)
		assert_int_equal(peer_publish(&p, "t", "x", 1 + i % 2, &id), SMQ_OK);
	assert_int_equal(peer_publish(&p, "t", "x", 1, &id), SMQ_ERR_FULL);
	assert_int_equal(peer_publish(&p, "t", "x", 0, &id), SMQ_OK);
	for (int i = 0; i < 4; i++)
		assert_true(fake_read(&f));
	fake_send(&f, (uint8_t[]){ 0x40, 2, 0, 1 }, 4);
	assert_true(UNTIL(p.publisheds == 2, 3000));
	assert_int_equal(peer_publish(&p, "t", "x", 1, &id), SMQ_OK);
	assert_int_equal(peer_publish(&p, "t", "x", 1, &id), SMQ_ERR_FULL);
	peer_free(&p);
	fake_close(&f);
}

static void a_packet_identifier_in_use_is_not_used_again(void **state)
{
	struct fake f;
	struct peer p;
	static uint8_t sink[1 << 16];
	int held, id, full = 0;
	(void)state;
	fake_open(&f);
	peer_init(&p, f.port);
	peer_open(&p);
	assert_true(fake_welcome(&f));
	assert_true(UNTIL(p.connects == 1, 3000));
	assert_int_equal(peer_publish(&p, "t", "held", 1, &held), SMQ_OK);
	for (int i = 0; i < 70000 && full == 0; i++) {
		smq_err err;
		while ((err = peer_publish(&p, "t", "", 0, &id)) == SMQ_ERR_FULL &&
		       id != held - 1 + (held == 1) * 65535)
			peers_turn(0);
		full = err == SMQ_ERR_FULL;
		assert_true(full || id != held);
		while (recv(f.fd, sink, sizeof(sink), MSG_DONTWAIT) > 0)
			;
	}
	assert_true(full);
	fake_send(&f, (uint8_t[]){ 0x40, 2, (uint8_t)(held >> 8), (uint8_t)held }, 4);
	assert_true(UNTIL(p.t->ops->inflight(p.t) == 0, 3000));
	assert_int_equal(peer_publish(&p, "t", "", 0, &id), SMQ_OK);
	assert_int_equal(id, held);
	peer_free(&p);
	fake_close(&f);
}

static void qos_0_is_bounded_and_accounted_for(void **state)
{
	struct fake f;
	struct peer p;
	static char large[1000];
	struct smq_mqtt_message m = { .topic = "t", .payload = smq_span_of(large, sizeof(large)) };
	int id, accepted = 0, sent;
	(void)state;
	fake_open(&f);
	peer_init(&p, f.port);
	peer_open(&p);
	assert_true(fake_welcome(&f));
	assert_true(UNTIL(p.connects == 1, 3000));
	/* the broker does not read: the sockets fill up, then our own room */
	smq_err err = SMQ_OK;
	for (int turns = 0; turns < 50; err = SMQ_OK, turns++) {
		while (accepted < 200000 && (err = p.t->ops->publish(p.t, &m, &id)) == SMQ_OK)
			accepted++;
		assert_int_equal(err, SMQ_ERR_FULL);
		peers_turn(1);
	}
	sent = p.publisheds;
	assert_true(accepted > 1000);
	assert_true((accepted - sent) * 1000 <= 1100000);
	assert_true(accepted > sent);
	assert_int_equal(p.never, 0);
	/* the connection dies: each that was not written is told, before the end is */
	fake_hang_up(&f, true);
	assert_true(UNTIL(p.disconnects == 1, 3000));
	assert_int_equal(p.publisheds, accepted);
	assert_true(p.never > 0);
	/* one message larger than the room passes when nothing else waits */
	static char huge[3 << 20];
	m.payload = smq_span_of(huge, sizeof(huge));
	assert_true(fake_welcome(&f));
	assert_true(UNTIL(p.connects == 2, 3000));
	assert_int_equal(p.t->ops->publish(p.t, &m, &id), SMQ_OK);
	assert_int_equal(p.t->ops->publish(p.t, &m, &id), SMQ_ERR_FULL);
	peer_free(&p);
	fake_close(&f);
}

/* ---- small things that were broken elsewhere ---- */

static void a_descriptor_above_1023(void **state)
{
	struct broker b;
	struct peer p;
	static int dummies[1200];
	size_t count = 0;
	struct rlimit was, more;
	(void)state;
	getrlimit(RLIMIT_NOFILE, &was);
	more = was;
	more.rlim_cur = 2048;
	if (more.rlim_max < 2048 || setrlimit(RLIMIT_NOFILE, &more) != 0)
		skip();
	assert_int_equal(broker_start(&b, &(struct broker_options){ .tls = true }), 0);
	while (count < SMQ_COUNT(dummies) && (dummies[count] = open("/dev/null", O_RDONLY)) >= 0)
		count++;
	tls_options(&p, &b, "localhost");
	connect_peer(&p);
	assert_true(p.t->ops->fd(p.t) > 1023);
	assert_int_equal(subscribe(&p, "a", 1), SMQ_OK);
	assert_int_equal(peer_publish(&p, "a", "x", 1, NULL), SMQ_OK);
	assert_true(UNTIL(p.messages == 1 && p.publisheds == 1, 3000));
	say_goodbye(&p);
	while (count > 0)
		close(dummies[--count]);
	setrlimit(RLIMIT_NOFILE, &was);
	broker_stop(&b);
}

static void small_packets_do_not_wait(void **state)
{
	struct broker b;
	struct peer p;
	int flag = 0;
	socklen_t len = sizeof(flag);
	(void)state;
	assert_int_equal(broker_start(&b, NULL), 0);
	peer_init(&p, b.port);
	connect_peer(&p);
	assert_int_equal(getsockopt(p.t->ops->fd(p.t), IPPROTO_TCP, TCP_NODELAY, &flag, &len), 0);
	assert_true(flag != 0);
	say_goodbye(&p);
	broker_stop(&b);
}

static void answer_each(struct peer *p)
{
	if (strcmp(p->topic, "question") == 0)
		assert_int_equal(peer_publish(p, "answer", p->payload, p->messages % 3, NULL), SMQ_OK);
	else if (p->messages >= 40)
		assert_int_equal(p->t->ops->disconnect(p->t, 0, NULL, 0), SMQ_OK);
}

static void leave_at_once(struct peer *p)
{
	assert_int_equal(p->t->ops->disconnect(p->t, 0, NULL, 0), SMQ_OK);
	assert_int_equal(peer_publish(p, "a", "x", 0, NULL), SMQ_ERR_NO_CONNECTION);
}

static void calls_from_inside_events(void **state)
{
	struct broker b;
	struct peer p;
	(void)state;
	assert_int_equal(broker_start(&b, NULL), 0);
	peer_init(&p, b.port);
	p.at_message = answer_each;
	connect_peer(&p);
	assert_int_equal(subscribe(&p, "#", 2), SMQ_OK);
	for (int i = 0; i < 20; i++)
		assert_int_equal(peer_publish(&p, "question", "?", 0, NULL), SMQ_OK);
	assert_true(UNTIL(p.disconnects == 1, 3000));
	assert_int_equal(p.err, SMQ_OK);
	assert_int_equal(p.messages, 40);
	peer_free(&p);
	peer_init(&p, b.port);
	p.at_connect = leave_at_once;
	peer_open(&p);
	assert_true(UNTIL(p.disconnects == 1, 3000));
	assert_int_equal(p.err, SMQ_OK);
	/* and the same transport can be used once more */
	p.at_connect = NULL;
	assert_int_equal(p.t->ops->disconnect(p.t, 0, NULL, 0), SMQ_ERR_CLOSED);
	assert_int_equal(p.t->ops->connect(p.t), SMQ_OK);
	assert_int_equal(p.t->ops->connect(p.t), SMQ_ERR_STATE);
	assert_true(UNTIL(p.connects == 2, 3000));
	say_goodbye(&p);
	broker_stop(&b);
}

static void goodbye_in_every_state(void **state)
{
	struct fake f;
	struct peer p;
	(void)state;
	fake_open(&f);
	/* before the first attempt */
	peer_init(&p, f.port);
	peer_open(&p);
	say_goodbye(&p);
	/* while connecting */
	peer_init(&p, f.port);
	peer_open(&p);
	assert_true(fake_accept(&f));
	say_goodbye(&p);
	/* while waiting to try again */
	fake_close(&f);
	peer_init(&p, f.port);
	p.o.backoff_min_ms = p.o.backoff_max_ms = 60000;
	peer_open(&p);
	assert_true(UNTIL(p.disconnects == 1, 3000));
	assert_int_equal(p.err, SMQ_ERR_CONNECTION_REFUSED);
	say_goodbye(&p);
	/* everything that was accepted goes out before it */
	fake_open(&f);
	peer_init(&p, f.port);
	peer_open(&p);
	assert_true(fake_welcome(&f));
	assert_true(UNTIL(p.connects == 1, 3000));
	for (int i = 0; i < 100; i++)
		assert_int_equal(peer_publish(&p, "t", "last words", 0, NULL), SMQ_OK);
	say_goodbye(&p);
	assert_int_equal(p.publisheds, 100);
	assert_int_equal(p.never, 0);
	for (int i = 0; i < 100; i++)
		assert_true(fake_read(&f));
	assert_true(fake_read(&f));
	assert_int_equal(f.packet[0], 0xe0);
	fake_close(&f);
}

static void many_messages_in_order(void **state)
{
	(void)state;
	for (int row = 0; row < 6; row++) {
		struct broker b;
		struct peer p, q;
		int qos = row % 3, sent = 0;
		bool tls = row >= 3;
		assert_int_equal(broker_start(&b, &(struct broker_options){ .tls = tls }), 0);
		if (tls) {
			tls_options(&p, &b, "localhost");
			tls_options(&q, &b, "localhost");
		} else {
			peer_init(&p, b.port);
			peer_init(&q, b.port);
		}
		connect_peer(&p);
		connect_peer(&q);
		assert_int_equal(subscribe(&q, "a", qos), SMQ_OK);
		int64_t end = peer_now_ms() + 20000;
		while (q.messages < 3000 && peer_now_ms() < end) {
			char text[16];
			snprintf(text, sizeof(text), "%d", sent);
			if (sent < 3000 && peer_publish(&p, "a", text, qos, NULL) == SMQ_OK)
				sent++;
			else
				peers_turn(20);
		}
		assert_int_equal(q.messages, 3000);
		assert_true(UNTIL(p.publisheds == 3000, 3000));
		for (int i = 0; i < PEER_KEPT; i++) {
			int n = atoi(q.seen[i]);
			assert_int_equal(n % PEER_KEPT, i);
			assert_true(n >= 3000 - PEER_KEPT);
		}
		say_goodbye(&p);
		say_goodbye(&q);
		broker_stop(&b);
	}
}

static int clean_up(void **state)
{
	(void)state;
	peers_forget();
	broker_stop_all();
	return 0;
}

/* An argument picks tests by name, '*' and '?' allowed. */
int main(int argc, char **argv)
{
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
#define ROW(f) cmocka_unit_test_teardown(f, clean_up)
	const struct CMUnitTest tests[] = {
		ROW(every_version_and_qos),
		ROW(wrong_options_are_refused_with_a_reason),
		ROW(an_acl_denial_is_told),
		ROW(a_refused_login_is_told),
		ROW(the_brokers_goodbye_is_told),
		ROW(properties_go_both_ways),
		ROW(control_topics_at_the_qos_that_was_asked_for),
		ROW(a_will_and_a_kept_session),
		ROW(tls_by_name_and_by_address),
		ROW(a_wrong_server_name_is_refused),
		ROW(tls_by_pre_shared_key),
		ROW(a_key_with_a_passphrase),
		ROW(socks5),
		ROW(a_vanished_broker_comes_back),
		ROW(by_ipv6_and_back),
		ROW(a_silent_or_rude_listener),
		ROW(a_connect_that_hangs_is_a_timeout),
		ROW(a_slow_connect_then_a_silent_handshake),
		ROW(what_cannot_be_reached_is_named),
		ROW(unacknowledged_messages_go_out_again_once_and_first),
		ROW(a_broker_that_sends_far_ahead),
		ROW(a_little_more_is_read_where_it_spares_work),
		ROW(no_more_under_way_than_allowed),
		ROW(a_packet_identifier_in_use_is_not_used_again),
		ROW(qos_0_is_bounded_and_accounted_for),
		ROW(a_descriptor_above_1023),
		ROW(small_packets_do_not_wait),
		ROW(calls_from_inside_events),
		ROW(goodbye_in_every_state),
		ROW(many_messages_in_order),
		ROW(a_frozen_broker_is_given_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
