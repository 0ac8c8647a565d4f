/* The MQTT transport against a real broker, and against ones that misbehave. */
#include "cmocka_all.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "adapters/mqtt_mosquitto/transport_mosquitto.h"
#include "base/table.h"
#include "broker.h"
#include "peer.h"

__attribute__((unused)) static int64_t cpu_ms(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000 + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000;
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_version_and_qos),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
