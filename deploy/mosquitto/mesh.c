/*
 * A plugin for Mosquitto 2: several brokers, each linked to each other, and no message that goes round in circles.
 *
 * Each broker asks every other one for everything (a bridge, "topic # in 1"), under the name of the option link_user.
 * Bridges alone would pass on what came over a bridge, for ever. So:
 *
 * - what came from another broker goes to members and to no other broker: each message crosses one link at most;
 * - a broker that has just started does not tell the others what it retains: what it kept may be older than theirs;
 * - a member that kept its session (clean start: no) and comes to subscribe is told again what was published with QoS 1
 *   or 2 in the last seconds, because its session may have been at a broker that died while that was published. What it
 *   has heard already it hears twice: QoS 1 allows that, and SealMQ drops it.
 *
 * Mosquitto is one thread: an event is handled to its end before the next one begins.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <mosquitto.h>
#include <mosquitto_broker.h>
#include <mosquitto_plugin.h>

enum {
	FRESH_S = 30,              /* a broker that runs no longer than that does not tell what it retains */
	KEPT_S = 20,               /* how long a message is kept for members that change over */
	KEPT_MAX = 4096,           /* messages, a power of two */
	KEPT_BYTES_MAX = 16777216, /* of topics and payloads */
	KEPT_ONE_MAX = 262144,     /* bytes of one; larger ones are not told again */
	AGAIN_MAX = 2 * KEPT_MAX,  /* messages that wait to be told again, all members together */
	CLIENT_ID_MAX = 128
};

struct kept {
	char *topic;
	void *payload;
	uint32_t len;
	uint8_t qos;
	time_t at;
};

/* A message on its way to one member. */
struct again {
	char client[CLIENT_ID_MAX];
	char *topic;
	void *payload;
	uint32_t len;
};

enum now {
	NOW_MEMBER, /* something that a member sent is being handled */
	NOW_LINK,   /* something that another broker sent */
	NOW_OWN,    /* what we publish again ourselves, and wills of members */
	NOW_RETAINED
};

static mosquitto_plugin_id_t *me;
static char *link_user;
static time_t started;
static enum now now_handled = NOW_OWN;

static struct kept kept[KEPT_MAX];
static size_t kept_first, kept_count, kept_bytes;
static struct again *again; /* those up to again_at are through */
static size_t again_count, again_at;

/* A client that is another broker. Our own bridges have no user name, as they never said CONNECT to us. */
static bool is_link(struct mosquitto *client)
{
	const char *name = mosquitto_client_username(client);
	return !name || strcmp(name, link_user) == 0;
}

/* ---- what was published just now ---- */

static void drop_first(void)
{
	struct kept *k = &kept[kept_first % KEPT_MAX];
	kept_bytes -= k->len + strlen(k->topic);
	free(k->topic);
	free(k->payload);
	*k = (struct kept){ .topic = NULL };
	kept_first++;
	kept_count--;
}

static void keep(const struct mosquitto_evt_message *e)
{
	time_t at = time(NULL);
	size_t bytes = strlen(e->topic) + e->payloadlen;
	while (kept_count && (kept_count == KEPT_MAX || kept_bytes + bytes > KEPT_BYTES_MAX ||
			      at - kept[kept_first % KEPT_MAX].at > KEPT_S))
		drop_first();
	if (e->qos == 0 || e->payloadlen == 0 || e->payloadlen > KEPT_ONE_MAX || e->topic[0] == '$')
		return;
	struct kept k = { strdup(e->topic), malloc(e->payloadlen), e->payloadlen, e->qos, at };
	if (!k.topic || !k.payload) {
		free(k.topic);
		free(k.payload);
		return;
	}
	memcpy(k.payload, e->payload, k.len);
	kept[(kept_first + kept_count++) % KEPT_MAX] = k;
	kept_bytes += bytes;
}

/* ---- telling it again ---- */

static void forget_again(void)
{
	for (size_t i = 0; i < again_count; i++) {
		free(again[i].topic);
		free(again[i].payload);
	}
	again_count = again_at = 0;
}

static void tell_again(const char *client, const struct kept *k)
{
	struct again a = { .topic = strdup(k->topic), .payload = malloc(k->len), .len = k->len };
	if (!a.topic || !a.payload || snprintf(a.client, sizeof(a.client), "%s", client) >= (int)sizeof(a.client) ||
	    mosquitto_broker_publish_copy(NULL, k->topic, (int)k->len, k->payload, k->qos, false, NULL) !=
		MOSQ_ERR_SUCCESS) {
		free(a.topic);
		free(a.payload);
		return;
	}
	memcpy(a.payload, k->payload, k->len);
	again[again_count++] = a;
}

static void subscribed(struct mosquitto *client, const char *filter)
{
	time_t at = time(NULL);
	const char *id = mosquitto_client_id(client);
	if (!id || is_link(client) || mosquitto_client_clean_session(client) || filter[0] == '$')
		return;
	for (size_t i = 0; i < kept_count && again_count < AGAIN_MAX; i++) {
		const struct kept *k = &kept[(kept_first + i) % KEPT_MAX];
		bool matches = false;
		if (at - k->at <= KEPT_S &&
		    mosquitto_topic_matches_sub(filter, k->topic, &matches) == MOSQ_ERR_SUCCESS && matches)
			tell_again(id, k);
	}
}

/* Mosquitto asks for each client that would get it: is it somebody else that it is told to? What we publish comes
 * through in the order in which we did. */
static bool is_for_another(const struct mosquitto_evt_acl_check *e)
{
	for (size_t i = again_at; i < again_count; i++) {
		const struct again *a = &again[i];
		if (a->len == e->payloadlen && strcmp(a->topic, e->topic) == 0 &&
		    memcmp(a->payload, e->payload, a->len) == 0) {
			const char *id = mosquitto_client_id(e->client);
			again_at = i;
			return !id || strcmp(a->client, id) != 0;
		}
	}
	return false;
}

/* ---- events ---- */

static int on_message(int event, void *data, void *self)
{
	const struct mosquitto_evt_message *e = data;
	(void)event;
	(void)self;
	now_handled = is_link(e->client) ? NOW_LINK : NOW_MEMBER;
	keep(e);
	return MOSQ_ERR_SUCCESS;
}

static int on_disconnect(int event, void *data, void *self)
{
	(void)event;
	(void)data;
	(void)self;
	now_handled = NOW_OWN; /* a will may follow */
	return MOSQ_ERR_SUCCESS;
}

static int may_read(const struct mosquitto_evt_acl_check *e)
{
	if (now_handled == NOW_OWN)
		return is_for_another(e) ? MOSQ_ERR_ACL_DENIED : MOSQ_ERR_PLUGIN_DEFER;
	if (!is_link(e->client))
		return MOSQ_ERR_PLUGIN_DEFER;
	if (now_handled == NOW_LINK || (now_handled == NOW_RETAINED && time(NULL) - started < FRESH_S))
		return MOSQ_ERR_ACL_DENIED;
	return MOSQ_ERR_PLUGIN_DEFER;
}

static int on_acl(int event, void *data, void *self)
{
	const struct mosquitto_evt_acl_check *e = data;
	(void)event;
	(void)self;
	if (e->access == MOSQ_ACL_READ)
		return may_read(e);
	if (e->access == MOSQ_ACL_SUBSCRIBE) {
		now_handled = NOW_RETAINED;
		subscribed(e->client, e->topic);
	}
	return MOSQ_ERR_PLUGIN_DEFER;
}

/* The end of a round: what was told again in this one is through, and what was asked for in it comes in the next. */
static int on_tick(int event, void *data, void *self)
{
	static size_t due;
	(void)event;
	(void)data;
	(void)self;
	if (now_handled == NOW_OWN && due && due == again_count) {
		forget_again();
		due = 0;
	} else {
		due = again_count;
	}
	now_handled = NOW_OWN;
	return MOSQ_ERR_SUCCESS;
}

int mosquitto_plugin_version(int count, const int *versions)
{
	for (int i = 0; i < count; i++) {
		if (versions[i] == 5)
			return 5;
	}
	return -1;
}

int mosquitto_plugin_init(mosquitto_plugin_id_t *id, void **user_data, struct mosquitto_opt *options, int count)
{
	(void)user_data;
	me = id;
	started = time(NULL);
	for (int i = 0; i < count; i++) {
		if (strcmp(options[i].key, "link_user") == 0)
			link_user = strdup(options[i].value);
	}
	again = calloc(AGAIN_MAX, sizeof(*again));
	if (!link_user || !again) {
		mosquitto_log_printf(MOSQ_LOG_ERR, "sealmq mesh: plugin_opt_link_user is missing");
		return MOSQ_ERR_INVAL;
	}
	int rc = mosquitto_callback_register(me, MOSQ_EVT_MESSAGE, on_message, NULL, NULL);
	if (rc == MOSQ_ERR_SUCCESS)
		rc = mosquitto_callback_register(me, MOSQ_EVT_ACL_CHECK, on_acl, NULL, NULL);
	if (rc == MOSQ_ERR_SUCCESS)
		rc = mosquitto_callback_register(me, MOSQ_EVT_TICK, on_tick, NULL, NULL);
	if (rc == MOSQ_ERR_SUCCESS)
		rc = mosquitto_callback_register(me, MOSQ_EVT_DISCONNECT, on_disconnect, NULL, NULL);
	return rc;
}

int mosquitto_plugin_cleanup(void *user_data, struct mosquitto_opt *options, int count)
{
	(void)user_data;
	(void)options;
	(void)count;
	while (kept_count)
		drop_first();
	forget_again();
	free(again);
	free(link_user);
	return MOSQ_ERR_SUCCESS;
}
