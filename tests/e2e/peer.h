/* A transport under test, what it told, and a poll loop for a few of them at once. */
#ifndef SMQ_TESTS_PEER_H
#define SMQ_TESTS_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "app/transport.h"

#define PEER_KEPT 512

struct peer {
	struct smq_transport *t;
	struct smq_client_options o;

	int connects, disconnects, messages, publisheds, never, subscribeds, unsubscribeds;
	int connack_reason;
	bool session_present;
	smq_err err; /* of the last disconnected */
	int reason;
	int published_id[PEER_KEPT], published_reason[PEER_KEPT];
	int sub_reason[8];
	char topic[128], payload[128]; /* of the last message */
	size_t payload_len;
	char seen[PEER_KEPT][16]; /* payloads in order, cut */
	int qos;
	bool retain;
	char property[256]; /* "name=value[,pair];" of the last message */
	char log[512];      /* the last line at level error */
	uint64_t rounds;    /* how often service was called */

	/* Acknowledgements wait for before_ack, which notes how many messages had come, until there is no room. */
	bool acks_late;
	int worth_until; /* more_before_ack is true below so many messages */
	int acked_at[4], acks;

	/* Run inside the event, where wanted. */
	void (*at_connect)(struct peer *p);
	void (*at_message)(struct peer *p);
};

int64_t peer_now_ms(void);
/* Zeroes and fills in options for 127.0.0.1:port with short delays; change p->o, then peer_open. */
void peer_init(struct peer *p, int port);
/* Creates the transport and calls connect. */
void peer_open(struct peer *p);
void peer_free(struct peer *p);
/* Forgets all peers without touching them: a failed test's are gone with its stack. */
void peers_forget(void);

/* Polls all open peers once, for at most ms. */
void peers_turn(int ms);

/* How much longer a test waits for what must come than it should take: a loaded machine is no failure. */
#define PATIENCE 5

/* Runs the loop until the condition holds or the time is up; yields the condition. */
#define UNTIL(condition, ms) FOR(condition, (ms)*PATIENCE)

/* The same, for what must not come: no longer than so many milliseconds. */
#define FOR(condition, ms)                                                                                             \
	__extension__({                                                                                                \
		int64_t until_end = peer_now_ms() + (ms);                                                              \
		while (!(condition) && peer_now_ms() < until_end)                                                      \
			peers_turn(20);                                                                                \
		(condition);                                                                                           \
	})

smq_err peer_publish(struct peer *p, const char *topic, const char *payload, int qos, int *ret_id);

#endif
