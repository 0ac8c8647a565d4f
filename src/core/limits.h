/* Every bound of the protocol machines, with its unit and its reason. */
#ifndef SMQ_CORE_LIMITS_H
#define SMQ_CORE_LIMITS_H

enum {
	/* Rotation (PROTOCOL.md 5.3) */
	SMQ_ROTATE_EVERY_MS = 300 * 1000,
	SMQ_ROTATE_EVERY_MIN_MS = 1000,
	SMQ_GRACE_MS = 10 * 1000,
	/* A sender holds its messages back when its keys are three rotations old: nobody answers, and old keys
	 * must not live for ever. At least a minute, so that a short broker restart never stops a fast rotation. */
	SMQ_STALE_ROTATIONS = 3,
	SMQ_STALE_MIN_MS = 60 * 1000,

	/* Sessions of one peer at a time: one unconfirmed, one active, and those in grace. */
	SMQ_SESSIONS_PER_PEER = 5,

	/* Lives of one peer whose gaps are counted at a time: several processes may run under one name. */
	SMQ_LIVES_PER_PEER = 4,

	/* Key exchange (PROTOCOL.md 5.2) */
	SMQ_RUN_TIMEOUT_MS = 5000, /* a run that has not ended by then is dropped */
	SMQ_RETRY_MIN_MS = 1000,   /* unanswered: again after one second, then doubling, jittered by a quarter */
	SMQ_RETRY_MAX_MS = 30 * 1000,
	SMQ_GREETING_GAP_MS = 1000, /* at most one greeting or complaint of ours a second */
	SMQ_ANSWERS_PER_NAME = 3,   /* answers kept open per claimed name */
	SMQ_CROSSING_MS = 250,      /* two message_1 closer than this have crossed on their way */
	SMQ_ANSWERS_PER_S = 100,    /* message_1 answered per second, all peers together: a bound on CPU */
	SMQ_ANSWERS_BURST = 200,

	SMQ_PEERS_DEFAULT = 64,
	SMQ_PEERS_MAX = 10000,
	SMQ_RUNS_DEFAULT = 8,
	SMQ_RUNS_MAX = 256,
	SMQ_NOTES_MAX = 32, /* undelivered notes; more are dropped, they inform only */

	/* Topics remembered to tell a moved message from an altered one. */
	SMQ_RECENT_TOPICS = 16,
	SMQ_RECENT_TOPIC_MAX = 127,

	SMQ_KEYEX_TOPIC_MAX = 320,
	SMQ_KEYEX_MESSAGE_MAX = 8192 + 200 /* an EDHOC message and its envelope */
};

#define SMQ_ROTATE_MESSAGES (UINT64_C(1) << 24)

#endif
