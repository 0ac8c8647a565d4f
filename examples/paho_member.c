/*
 * SealMQ with somebody else's MQTT client: the protocol alone (sealmq/member.h) on Eclipse Paho's.
 *
 *     paho_member REALM_DIR HOST PORT PEER receive FILTER      prints one message from PEER
 *     paho_member REALM_DIR HOST PORT PEER send TOPIC TEXT     seals and publishes one message to PEER
 *
 * Paho carries bytes. What they mean, what must be sent and when to look again, the member machine says.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <MQTTClient.h>
#include <sealmq/client.h> /* for the OpenSSL crypto port and the system's randomness */
#include <sealmq/member.h>

enum { GIVE_UP_MS = 20000, PAYLOAD_MAX = 4096 };

static smq_member *member;
static MQTTClient mqtt;

static void stop_if(int bad, const char *what)
{
	if (!bad)
		return;
	fprintf(stderr, "paho_member: %s\n", what);
	exit(1);
}

static struct smq_now now(void)
{
	struct timespec mono, wall;
	clock_gettime(CLOCK_MONOTONIC, &mono);
	clock_gettime(CLOCK_REALTIME, &wall);
	return (struct smq_now){ mono.tv_sec * 1000 + mono.tv_nsec / 1000000,
				 wall.tv_sec * 1000 + wall.tv_nsec / 1000000 };
}

static void publish(const char *topic, smq_span payload)
{
	MQTTClient_deliveryToken token;
	int err = MQTTClient_publish(mqtt, topic, (int)payload.len, payload.p, 1, 0, &token);
	stop_if(err != MQTTCLIENT_SUCCESS, "publishing failed");
	stop_if(MQTTClient_waitForCompletion(mqtt, token, GIVE_UP_MS) != MQTTCLIENT_SUCCESS, "no acknowledgement");
}

/* After every call into the machine: do what it asks for. */
static void do_what_it_says(void)
{
	struct smq_action action;
	while (smq_member_next(member, now(), &action)) {
		if (action.kind == SMQ_ACT_SEND)
			publish(action.topic, action.payload);
		else if (action.note.kind == SMQ_NOTE_FAILED)
			fprintf(stderr, "paho_member: key exchange with %s: %s\n", action.note.peer,
				smq_err_text(action.note.err));
	}
}

/* Key exchange goes to the machine, all else is opened. Returns whether a message was printed. */
static int take(const char *topic, smq_span payload, int retained)
{
	static uint8_t room[PAYLOAD_MAX];
	struct smq_opened opened;
	smq_err err;
	if (smq_member_takes(member, topic)) {
		(void)smq_member_input(member, topic, payload, retained, now()); /* junk is dropped in there */
		return 0;
	}
	if (payload.len > sizeof(room))
		return 0;
	err = smq_member_open(member, topic, payload, now(), smq_mspan_of(room, sizeof(room)), &opened);
	if (err != SMQ_OK) {
		fprintf(stderr, "paho_member: refused on %s: %s\n", topic, smq_err_text(err));
		return 0;
	}
	printf("%s, from %s: %.*s\n", topic, opened.sender, (int)opened.plain.len, (const char *)opened.plain.p);
	return 1;
}

/* Waits for the network or for the machine's next wish, whichever comes first. */
static int wait_and_take(void)
{
	int64_t at = smq_member_wake_at(member), mono = now().mono_ms;
	int64_t left = at > mono ? at - mono : 0;
	MQTTClient_message *message = NULL;
	char *topic = NULL;
	int topic_len, printed = 0;
	int err = MQTTClient_receive(mqtt, &topic, &topic_len, &message,
				     left < 0     ? 0
				     : left > 100 ? 100
						  : (unsigned)left);
	stop_if(err != MQTTCLIENT_SUCCESS && err != MQTTCLIENT_TOPICNAME_TRUNCATED, "connection lost");
	if (message) {
		printed = take(topic, smq_span_of(message->payload, (size_t)message->payloadlen), message->retained);
		MQTTClient_freeMessage(&message);
		MQTTClient_free(topic);
	}
	return printed;
}

static void start_member(smq_realm *realm, const char *peer)
{
	struct smq_member_config config = { .crypto = smq_crypto_openssl(),
					    .random = smq_random_system(),
					    .credentials = smq_realm_credentials(realm),
					    .own = smq_realm_own(realm),
					    .realm = smq_realm_name(realm),
					    .name = smq_realm_member(realm),
					    .keyex_topic = smq_realm_keyex_topic(realm) };
	size_t size = smq_member_size(&config);
	void *memory = malloc(size);
	stop_if(!memory || smq_member_init(memory, size, &config, now(), &member) != SMQ_OK, "cannot start the member");
	stop_if(smq_member_keep(member, peer, now()) != SMQ_OK, "not a name to keep a session with");
}

static void start_mqtt(const char *host, const char *port, const char *id)
{
	char uri[256];
	MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
	snprintf(uri, sizeof(uri), "tcp://%s:%s", host, port);
	stop_if(MQTTClient_create(&mqtt, uri, id, MQTTCLIENT_PERSISTENCE_NONE, NULL) != MQTTCLIENT_SUCCESS,
		"no client");
	stop_if(MQTTClient_connect(mqtt, &options) != MQTTCLIENT_SUCCESS, "cannot connect");
	stop_if(MQTTClient_subscribe(mqtt, smq_member_topic(member, 0), 1) != MQTTCLIENT_SUCCESS ||
		    MQTTClient_subscribe(mqtt, smq_member_topic(member, 1), 1) != MQTTCLIENT_SUCCESS,
		"cannot subscribe to the key exchange");
}

/* Returns whether it could be sealed yet: the first time there may be no session. */
static int seal_and_publish(const char *peer, const char *topic, const char *text)
{
	static uint8_t room[PAYLOAD_MAX];
	size_t len;
	smq_err err =
	    smq_member_seal(member, peer, topic, smq_span_str(text), now(), smq_mspan_of(room, sizeof(room)), &len);
	stop_if(err != SMQ_OK && err != SMQ_ERR_NO_SESSION, smq_err_text(err));
	if (err == SMQ_OK)
		publish(topic, smq_span_of(room, len));
	return err == SMQ_OK;
}

int main(int argc, char **argv)
{
	smq_realm *realm;
	const char *why = "";
	smq_err err;
	int done = 0, sends = argc == 8 && strcmp(argv[5], "send") == 0;
	int64_t give_up = now().mono_ms + GIVE_UP_MS;

	stop_if(!sends && !(argc == 7 && strcmp(argv[5], "receive") == 0),
		"usage: paho_member REALM_DIR HOST PORT PEER receive FILTER | send TOPIC TEXT");
	err = smq_realm_open(argv[1], &realm, &why);
	stop_if(err != SMQ_OK, why);
	start_member(realm, argv[4]);
	start_mqtt(argv[2], argv[3], smq_realm_member(realm));
	stop_if(!sends && MQTTClient_subscribe(mqtt, argv[6], 1) != MQTTCLIENT_SUCCESS, "cannot subscribe");
	smq_member_online(member, now());

	while (!done && now().mono_ms < give_up) {
		do_what_it_says();
		if (sends && seal_and_publish(argv[4], argv[6], argv[7]))
			break;
		done = wait_and_take();
	}
	stop_if(now().mono_ms >= give_up, "timed out");
	do_what_it_says();
	MQTTClient_disconnect(mqtt, 1000);
	MQTTClient_destroy(&mqtt);
	smq_member_done(member);
	smq_realm_free(realm);
	return 0;
}
