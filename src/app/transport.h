/*
 * The transport port: MQTT as the use cases need it.
 *
 * An implementation never blocks and has no thread of its own: it hands out one
 * descriptor at a time, is told when it is ready, and calls back from inside
 * service(). Spans handed to a callback are valid during that callback only.
 * Reconnecting is the transport's duty (jittered back-off between the two
 * bounds); re-subscribing after it and what to do with messages meanwhile is
 * the caller's, who hears of it through `connected`.
 */
#ifndef SMQ_APP_TRANSPORT_H
#define SMQ_APP_TRANSPORT_H

#include <stdbool.h>

#include <sealmq/client.h>

struct smq_transport;

#define SMQ_PUBLISHED_NEVER (-1)

/* In the place of a subscription's QoS: what comes there is asked for again where it is lost, so QoS 1, or 0 where
 * control_at_qos0 is set (clusters that make a consensus group for each subscription of QoS 1). */
enum { SMQ_SUB_CONTROL = 0x100 };

struct smq_transport_events {
	void *self;
	/* CONNACK arrived; reason is MQTT's own code (0: accepted), session_present as the broker says. */
	void (*connected)(void *self, int reason, bool session_present);
	/* The connection ended or could not be made. reason: the broker's DISCONNECT code (MQTT 5), or
	 * the CONNACK code that refused us, else 0.
	 * The transport tries again on its own unless disconnect() was called. */
	void (*disconnected)(void *self, smq_err err, int reason);
	void (*message)(void *self, const struct smq_mqtt_message *message);
	/* NULL: messages are acknowledged as they come. Else acknowledgements are held until this, called after the
	 * messages of one service(), answers SMQ_OK; anything else ends the connection without them. */
	smq_err (*before_ack)(void *self);
	/* With before_ack, asked where as many messages as one service() takes have come and there may be more: true
	 * if before_ack had less to do after one more message. A few more are taken then. NULL: no. */
	bool (*more_before_ack)(void *self);
	/* A publish is done: QoS 0 written to the socket, QoS 1 and 2 acknowledged. reason >= 128: refused;
	 * SMQ_PUBLISHED_NEVER: the connection ended before a QoS 0 message was written (comes before disconnected). */
	void (*published)(void *self, int id, int reason);
	void (*subscribed)(void *self, int id, const int *reasons, size_t count);
	void (*unsubscribed)(void *self, int id); /* may be NULL */
	/* One line of the library's own debug output; may hold topics, never payloads. NULL: none is made. */
	void (*log)(void *self, int level, const char *line);
};

struct smq_transport_ops {
	/* Starts connecting (TCP, TLS, CONNECT); the outcome comes as connected or disconnected. */
	smq_err (*connect)(struct smq_transport *t);
	/* Publishes now: SMQ_ERR_NO_CONNECTION while not connected (nothing is queued), SMQ_ERR_FULL when
	 * `inflight_max` QoS 1 and 2 messages are unacknowledged or `backlog_max` bytes wait for the socket:
	 * try again after the next `published` or `writable`. Unacknowledged QoS 1 and 2 messages are sent
	 * again by the transport itself after a reconnect. */
	smq_err (*publish)(struct smq_transport *t, const struct smq_mqtt_message *message, int *ret_id);
	smq_err (*subscribe)(struct smq_transport *t, const char *filter, int options,
			     const struct smq_property *properties, size_t property_count, int *ret_id);
	smq_err (*unsubscribe)(struct smq_transport *t, const char *filter, const struct smq_property *properties,
			       size_t property_count, int *ret_id);
	/* Says goodbye; `disconnected` follows with SMQ_OK. After it nothing reconnects. */
	smq_err (*disconnect)(struct smq_transport *t, int reason, const struct smq_property *properties,
			      size_t property_count);

	/* Exchanges the files of TLS, from the next connection on. SMQ_ERR_USAGE: there is no TLS. */
	smq_err (*set_tls)(struct smq_transport *t, const struct smq_tls_options *tls);
	/* Exchanges what the broker is to publish when we vanish, from the next connection on: topic, QoS and
	 * properties are those of the first one. */
	smq_err (*set_will)(struct smq_transport *t, const struct smq_mqtt_message *will);
	/* Says goodbye and connects at once again: disconnected follows with SMQ_OK, then connected, or disconnected
	 * with what went wrong and further attempts. SMQ_ERR_NO_CONNECTION. */
	smq_err (*renew)(struct smq_transport *t);

	/* The descriptor to poll, -1 if none now; it may change after every call. Between two connections it is -1
	 * after at least one service(), so that the same number is never another socket unnoticed. */
	int (*fd)(const struct smq_transport *t);
	bool (*want_write)(const struct smq_transport *t);
	/* When service must be called at the latest, in ms of CLOCK_MONOTONIC; INT64_MAX for never. */
	int64_t (*wake_at)(const struct smq_transport *t);
	/* Does what is due. readable and writable say what poll said. */
	void (*service)(struct smq_transport *t, bool readable, bool writable, int64_t monotonic_ms);
	bool (*connected)(const struct smq_transport *t);
	/* QoS 1 and 2 messages handed in and not acknowledged yet. */
	size_t (*inflight)(const struct smq_transport *t);
	void (*free)(struct smq_transport *t);
};

/* Every implementation's struct begins with this one. */
struct smq_transport {
	const struct smq_transport_ops *ops;
};

#endif
