/*
 * A small world for member machines: members on a bus, virtual time, and a broker that can misbehave.
 *
 * Credentials are by kid (a COSE key set in a CCS map) with real P-256 keys, so that everything but X.509 is real.
 */
#ifndef SMQ_TESTS_WORLD_H
#define SMQ_TESTS_WORLD_H

#include <stdbool.h>

#include <sealmq/member.h>

enum { WORLD_MEMBERS = 6, WORLD_QUEUE = 4096, WORLD_PAYLOAD = 2600 };

struct world_message {
	char topic[96];
	uint8_t payload[WORLD_PAYLOAD];
	size_t len;
	int from; /* member's index, -1: the broker itself */
	bool control;
};

struct world_member {
	bool up;
	bool subscribed;
	char name[16];
	struct smq_own_credential own;
	uint8_t cred[160], id_cred[8];
	void *memory;
	smq_member *m;
	/* what happened to it */
	unsigned received, refused, ready, failed, wiped, silent, ended, sent;
	smq_err last_refusal, last_failure, last_end;
	uint64_t last_session, missing;
	size_t wire_bytes;
	char last_sender[16], last_plain[64], moved_from[64];
};

struct world {
	struct smq_now now;
	struct world_member members[WORLD_MEMBERS];
	struct smq_credentials credentials;
	struct smq_member_config config; /* for the next world_up */
	int process_of[WORLD_MEMBERS];   /* > 0: i is another process of member process_of[i] - 1 */
	bool known[WORLD_MEMBERS];       /* whether the realm vouches for it */
	int64_t expires_ms[WORLD_MEMBERS];
	unsigned roles[WORLD_MEMBERS]; /* enum smq_role bits */
	struct world_message *queue;
	size_t first, count;
	/* Called for each message before it is delivered: false drops it. It may alter it, or inject others. */
	bool (*broker)(struct world *w, struct world_message *message);
	void *broker_self;
	unsigned seen;
};

void world_init(struct world *w);
void world_done(struct world *w);
/* Starts (or restarts) member i with w->config; its name is "a", "b", ...  A restart loses all its state. */
void world_up(struct world *w, int i);
void world_down(struct world *w, int i);
void world_keep(struct world *w, int i, int peer);
/* Seals and publishes; false where there is no session. */
bool world_publish(struct world *w, int from, int to, const char *topic, const char *text);
void world_inject(struct world *w, const char *topic, smq_span payload);
/* Delivers all that is queued and does all that is due. */
void world_settle(struct world *w);
/* Moves time on in steps of step_ms, settling after each. */
void world_pass(struct world *w, int64_t ms, int64_t step_ms);

#endif
