/* app/messenger: what waits, in which order it goes, and what is told to whom. */
#include <stdio.h>
#include <stdlib.h>

#include "cmocka_all.h"

#include "app/messenger.h"
#include "app/outbox_memory.h"
#include "base/table.h"

/* ---- a transport that does what the test says ---- */

struct fake {
	struct smq_transport transport;
	bool connected;
	bool full;
	int next_id;
	size_t inflight;
	char sent[64][32]; /* "qos topic payload" */
	int ids[64];
	int qos[64];
	size_t sent_count;
	char subscribed[8][64];
	size_t subscribed_count;
};

static struct fake fake;
static struct smq_messenger *messenger;
static struct smq_client_options options;
static struct smq_now now = { 1000, 1790000000000 };

static struct smq_now fake_now(void) { return now; }

static uint64_t no_ticks(void) { return 0; }

static smq_err fake_publish(struct smq_transport *t, const struct smq_mqtt_message *m, int *ret_id)
{
	struct fake *f = (struct fake *)t;
	assert_true(f->connected); /* libmosquitto would queue it and return an error */
	if (f->full)
		return SMQ_ERR_FULL;
	assert_true(f->sent_count < 64);
	f->qos[f->sent_count] = m->qos;
	f->ids[f->sent_count] = ++f->next_id;
	snprintf(f->sent[f->sent_count++], sizeof(f->sent[0]), "%d %s %.*s", m->qos, m->topic, (int)m->payload.len,
		 (const char *)m->payload.p);
	f->inflight += m->qos > 0;
	*ret_id = f->next_id;
	return SMQ_OK;
}

static smq_err fake_subscribe(struct smq_transport *t, const char *filter, int o, const struct smq_property *p,
			      size_t n, int *ret_id)
{
	struct fake *f = (struct fake *)t;
	(void)o;
	(void)p;
	(void)n;
	snprintf(f->subscribed[f->subscribed_count++], sizeof(f->subscribed[0]), "%s", filter);
	*ret_id = ++f->next_id;
	return SMQ_OK;
}

static smq_err fake_unsubscribe(struct smq_transport *t, const char *filter, const struct smq_property *p, size_t n,
				int *ret_id)
{
	(void)t;
	(void)filter;
	(void)p;
	(void)n;
	*ret_id = 1;
	return SMQ_OK;
}

static bool fake_connected(const struct smq_transport *t) { return ((const struct fake *)t)->connected; }

static size_t fake_inflight(const struct smq_transport *t) { return ((const struct fake *)t)->inflight; }

static void fake_free(struct smq_transport *t) { (void)t; }

static const struct smq_transport_ops ops = {
	.publish = fake_publish,
	.subscribe = fake_subscribe,
	.unsubscribe = fake_unsubscribe,
	.connected = fake_connected,
	.inflight = fake_inflight,
	.free = fake_free,
};

/* ---- what the client hears ---- */

static unsigned published, failed, refused, delivered, dropped, queued;
static smq_err last_err, last_refusal;

static void on_published(void *self, uint64_t ticket, smq_err err, int reason)
{
	(void)self;
	(void)ticket;
	(void)reason;
	published += err == SMQ_OK;
	failed += err != SMQ_OK;
	if (err != SMQ_OK)
		last_err = err;
}

static void on_message(void *self, const struct smq_message *m)
{
	(void)self;
	(void)m;
	delivered++;
}

static void on_refused(void *self, const struct smq_refusal *r)
{
	(void)self;
	refused++;
	last_refusal = r->reason;
}

static void on_event(void *self, const struct smq_event *e)
{
	(void)self;
	dropped += e->kind == SMQ_EVENT_DROPPED;
	queued += e->kind == SMQ_EVENT_QUEUED;
}

static void begin(bool durable)
{
	struct smq_messenger_config config = { .options = &options, .clock = { fake_now, no_ticks } };
	memset(&fake, 0, sizeof(fake));
	fake.transport.ops = &ops;
	published = failed = refused = delivered = dropped = queued = 0;
	options = (struct smq_client_options){ .plain = true,
					       .inflight_max = 2,
					       .queue_max = 10,
					       .on_published = on_published,
					       .on_message = on_message,
					       .on_refused = on_refused,
					       .on_event = on_event };
	config.outbox_durable = durable;
	assert_int_equal(smq_outbox_memory_new(10, &config.outbox), SMQ_OK);
	assert_int_equal(smq_messenger_new(&config, &messenger), SMQ_OK);
	smq_messenger_attach(messenger, &fake.transport);
}

static int end(void **state)
{
	(void)state;
	smq_messenger_free(messenger);
	return 0;
}

static void connect_it(void)
{
	struct smq_transport_events e = smq_messenger_events(messenger);
	fake.connected = true;
	e.connected(e.self, 0, false);
}

static void disconnect_it(void)
{
	struct smq_transport_events e = smq_messenger_events(messenger);
	fake.connected = false;
	e.disconnected(e.self, SMQ_ERR_CONNECTION_LOST, 0);
}

static void acknowledge(size_t sent, int reason)
{
	struct smq_transport_events e = smq_messenger_events(messenger);
	fake.inflight -= fake.qos[sent] > 0;
	e.published(e.self, fake.ids[sent], reason);
}

static smq_err publish(const char *topic, const char *text, int qos)
{
	struct smq_publish p = { .topic = topic, .payload = smq_span_str(text), .qos = qos };
	return smq_messenger_publish(messenger, &p, NULL);
}

/* ---- tests ---- */

static void what_waited_goes_out_once_and_in_order(void **state)
{
	(void)state;
	begin(false);
	assert_int_equal(publish("t", "1", 1), SMQ_OK);
	assert_int_equal(publish("t", "2", 0), SMQ_OK); /* not connected yet: waits too */
	assert_int_equal(publish("t", "3", 2), SMQ_OK);
	assert_int_equal(publish("t", "4", 1), SMQ_OK);
	assert_int_equal(fake.sent_count, 0);
	connect_it();
	assert_int_equal(fake.sent_count, 3); /* two in flight at most */
	assert_string_equal(fake.sent[0], "1 t 1");
	assert_string_equal(fake.sent[1], "0 t 2");
	assert_string_equal(fake.sent[2], "2 t 3");
	assert_int_equal(publish("t", "5", 0), SMQ_OK); /* never overtakes what waits */
	assert_int_equal(fake.sent_count, 3);
	acknowledge(0, 0);
	assert_int_equal(fake.sent_count, 5);
	assert_string_equal(fake.sent[3], "1 t 4");
	assert_string_equal(fake.sent[4], "0 t 5");
	disconnect_it();
	connect_it(); /* what is in flight is the transport's to repeat, not ours */
	assert_int_equal(fake.sent_count, 5);
	for (size_t i = 1; i < 5; i++)
		acknowledge(i, 0);
	assert_int_equal(published, 5);
	assert_int_equal(smq_messenger_pending(messenger), 0);
}

static void qos_0_is_dropped_while_away_and_said_so(void **state)
{
	(void)state;
	begin(false);
	connect_it();
	disconnect_it();
	assert_int_equal(publish("t", "gone", 0), SMQ_ERR_NO_CONNECTION);
	assert_int_equal(publish("t", "kept", 1), SMQ_OK);
	assert_int_equal(dropped, 1);
	assert_int_equal(queued, 1);
	connect_it();
	assert_int_equal(fake.sent_count, 1);
	assert_string_equal(fake.sent[0], "1 t kept");
}

static void a_full_queue_says_so(void **state)
{
	(void)state;
	begin(false);
	for (int i = 0; i < 10; i++)
		assert_int_equal(publish("t", "x", 1), SMQ_OK);
	assert_int_equal(publish("t", "x", 1), SMQ_ERR_FULL);
}

static void a_full_socket_only_delays(void **state)
{
	(void)state;
	begin(false);
	connect_it();
	assert_int_equal(publish("t", "1", 0), SMQ_OK);
	fake.full = true;
	assert_int_equal(publish("t", "2", 0), SMQ_OK);
	assert_int_equal(publish("t", "3", 0), SMQ_OK);
	assert_int_equal(fake.sent_count, 1);
	fake.full = false;
	acknowledge(0, 0);
	assert_int_equal(fake.sent_count, 3);
	assert_string_equal(fake.sent[2], "0 t 3");
}

static void a_durable_outbox_lets_go_only_after_the_acknowledgement(void **state)
{
	(void)state;
	begin(true);
	connect_it();
	assert_int_equal(publish("t", "1", 1), SMQ_OK);
	assert_int_equal(fake.sent_count, 1);
	assert_int_equal(smq_messenger_pending(messenger), 1);
	acknowledge(0, 0);
	assert_int_equal(smq_messenger_pending(messenger), 0);
	for (int i = 0; i < 10; i++) { /* room for ten: nothing stayed behind */
		assert_int_equal(publish("t", "x", 1), SMQ_OK);
		acknowledge(fake.sent_count - 1, 0);
	}
}

static void a_refusal_by_the_broker_is_no_success(void **state)
{
	(void)state;
	begin(false);
	connect_it();
	assert_int_equal(publish("t", "1", 1), SMQ_OK);
	acknowledge(0, 135);
	assert_int_equal(published, 0);
	assert_int_equal(failed, 1);
	assert_int_equal(last_err, SMQ_ERR_NOT_AUTHORIZED);
	assert_int_equal(publish("t", "2", 0), SMQ_OK);
	acknowledge(1, SMQ_PUBLISHED_NEVER);
	assert_int_equal(last_err, SMQ_ERR_CONNECTION_LOST);
}

static void subscriptions_return_after_a_reconnect(void **state)
{
	(void)state;
	begin(false);
	assert_int_equal(smq_messenger_subscribe(messenger, "a/#", 1, NULL, 0, NULL), SMQ_OK);
	connect_it();
	assert_int_equal(smq_messenger_subscribe(messenger, "b/+", 1, NULL, 0, NULL), SMQ_OK);
	assert_int_equal(fake.subscribed_count, 2);
	assert_int_equal(smq_messenger_unsubscribe(messenger, "a/#", NULL, 0, NULL), SMQ_OK);
	disconnect_it();
	connect_it();
	assert_int_equal(fake.subscribed_count, 3);
	assert_string_equal(fake.subscribed[2], "b/+");
	assert_int_equal(smq_messenger_subscribe(messenger, "a/#b", 1, NULL, 0, NULL), SMQ_ERR_TOPIC);
}

static void answer_subscription(int id, int reason)
{
	struct smq_transport_events e = smq_messenger_events(messenger);
	e.subscribed(e.self, id, &reason, 1);
}

/* A cluster that has lost a node refuses what it granted, for a while; an ACL refuses from the start, and for good. */
static void what_was_granted_once_is_asked_for_again(void **state)
{
	static const struct {
		bool granted, reconnected;
		size_t again;
	} rows[] = { { true, true, 1 }, { true, false, 0 }, { false, true, 0 } };
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		begin(false);
		connect_it();
		assert_int_equal(smq_messenger_subscribe(messenger, "a/#", 1, NULL, 0, NULL), SMQ_OK);
		answer_subscription(fake.next_id, rows[i].granted ? 1 : 128);
		if (rows[i].reconnected) {
			disconnect_it();
			connect_it();
		}
		size_t before = fake.subscribed_count;
		answer_subscription(fake.next_id, 128);
		smq_messenger_tick(messenger);
		assert_int_equal(fake.subscribed_count, before);
		assert_true(rows[i].again == 0 || smq_messenger_wake_at(messenger) <= now.mono_ms + 1000);
		now.mono_ms += 1000;
		smq_messenger_tick(messenger);
		assert_int_equal(fake.subscribed_count, before + rows[i].again);
		if (rows[i].again) { /* and again, but less and less often */
			answer_subscription(fake.next_id, 128);
			now.mono_ms += 1999;
			smq_messenger_tick(messenger);
			assert_int_equal(fake.subscribed_count, before + 1);
			now.mono_ms += 1;
			smq_messenger_tick(messenger);
			assert_int_equal(fake.subscribed_count, before + 2);
			answer_subscription(fake.next_id, 1);
			now.mono_ms += 100000;
			smq_messenger_tick(messenger);
			assert_int_equal(fake.subscribed_count, before + 2);
		}
		end(state);
	}
	begin(false);
}

static void plain_payloads_come_through_only_where_asked_for(void **state)
{
	(void)state;
	struct smq_mqtt_message m = { .topic = "t", .payload = smq_span_str("plain") };
	begin(false);
	struct smq_transport_events e = smq_messenger_events(messenger);
	connect_it();
	e.message(e.self, &m);
	assert_int_equal(delivered, 1);
	options.plain = false;
	e.message(e.self, &m);
	assert_int_equal(delivered, 1);
	assert_int_equal(refused, 1);
	assert_int_equal(last_refusal, SMQ_ERR_NOT_SEALED);
	assert_int_equal(smq_messenger_counts(messenger).refused_not_sealed, 1);
}

static void wrong_use_is_refused_and_costs_nothing(void **state)
{
	(void)state;
	begin(false);
	connect_it();
	assert_int_equal(publish("a/#", "x", 0), SMQ_ERR_TOPIC);
	assert_int_equal(publish("", "x", 0), SMQ_ERR_TOPIC);
	assert_int_equal(publish("t", "x", 3), SMQ_ERR_USAGE);
	struct smq_publish p = { .topic = "t", .to = "b" };
	assert_int_equal(smq_messenger_publish(messenger, &p, NULL), SMQ_ERR_REALM);
	options.plain = false;
	assert_int_equal(publish("t", "x", 0), SMQ_ERR_USAGE); /* unsealed by accident: never */
	assert_int_equal(fake.sent_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(what_waited_goes_out_once_and_in_order, end),
		cmocka_unit_test_teardown(qos_0_is_dropped_while_away_and_said_so, end),
		cmocka_unit_test_teardown(a_full_queue_says_so, end),
		cmocka_unit_test_teardown(a_full_socket_only_delays, end),
		cmocka_unit_test_teardown(a_durable_outbox_lets_go_only_after_the_acknowledgement, end),
		cmocka_unit_test_teardown(a_refusal_by_the_broker_is_no_success, end),
		cmocka_unit_test_teardown(subscriptions_return_after_a_reconnect, end),
		cmocka_unit_test_teardown(what_was_granted_once_is_asked_for_again, end),
		cmocka_unit_test_teardown(plain_payloads_come_through_only_where_asked_for, end),
		cmocka_unit_test_teardown(wrong_use_is_refused_and_costs_nothing, end),
	};
	return cmocka_run_group_tests_name("messenger", tests, NULL, NULL);
}
