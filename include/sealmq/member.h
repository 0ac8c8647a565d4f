/*
 * The protocol without any I/O: for firmware, and for people with an MQTT client of their own.
 *
 * A member machine is handed what arrives (topic, payload) and the time, and hands out what is to be sent, what
 * happened, and when it wants to be woken. It reads no clock, draws randomness only from the port it was given,
 * and lives in memory that the caller provides; after init it allocates nothing but the AEAD contexts of new
 * sessions, through the crypto port.
 *
 *     smq_member_init(memory, smq_member_size(&config), &config, now, &m);
 *     subscribe to smq_member_topic(m, 0) and (m, 1), QoS 1; then smq_member_online(m, now);
 *     for every message that arrives:
 *         smq_member_takes(m, topic) ? smq_member_input(m, topic, payload, retained, now)
 *                                    : smq_member_open(m, topic, payload, now, room, &opened);
 *     to publish:  smq_member_seal(m, to, topic, plain, now, room, &len), then publish room
 *     after every call, and at smq_member_wake_at:
 *         while (smq_member_next(m, now, &action)) do what it says;
 *
 * One thread. Sessions and rotation are PROTOCOL.md 5.
 */
#ifndef SEALMQ_MEMBER_H
#define SEALMQ_MEMBER_H

#include <stdbool.h>

#include <sealmq/credential.h>
#include <sealmq/crypto.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Two clocks: timers run on the one that never jumps, certificates and ages on the other. */
struct smq_now {
	int64_t mono_ms; /* any origin, never goes back */
	int64_t unix_ms; /* UTC */
};

/*
 * What a machine is there for. Several processes may run under one name; a key exchange must then end with the one
 * that it is meant for, so a writer answers none and a reader begins none (PROTOCOL.md 5.2).
 */
enum smq_member_role { SMQ_MEMBER_BOTH, SMQ_MEMBER_WRITER, SMQ_MEMBER_READER };

struct smq_member_config {
	/* ports; all outlive the machine */
	const struct smq_crypto *crypto;
	const struct smq_random *random;
	const struct smq_credentials *credentials;
	const struct smq_own_credential *own;

	/* who and where; copied */
	const char *realm;
	const char *name;        /* as in our certificate */
	const char *keyex_topic; /* "{to}" stands for the recipient's name ("all" for everyone); may be absent */

	/* how; zero takes the default */
	int algorithm;              /* enum smq_aead_id for what we seal; A128GCM */
	unsigned accept_algorithms; /* bit n: enum smq_aead_id n is accepted from peers; all three */
	int method;                 /* EDHOC method that we propose; 0 */
	unsigned methods_allowed;   /* bit n: method n is accepted; the one we propose */
	const int *suites;          /* EDHOC suites by preference; 2, 6, 0 */
	size_t suite_count;
	uint32_t rotate_every_ms; /* 300,000; at least 1,000 */
	uint64_t rotate_messages; /* 2^24 */
	uint32_t grace_ms;        /* 10,000; never more than twice rotate_every_ms */
	enum smq_member_role role; /* both */
	bool any_peer;            /* answer every member of the realm, not only those named by smq_member_keep */
	bool stamp;               /* carry the time of sealing */
	bool cose;                /* send the expanded form */

	/* how much; zero takes the default */
	size_t peers_max; /* 64 */
	size_t runs_max;  /* key exchanges at a time; 8 */
};

typedef struct smq_member smq_member;

/* Bytes of memory needed, aligned for max_align_t. 0: a limit in the config is out of range. */
size_t smq_member_size(const struct smq_member_config *config);
SMQ_MUST_USE smq_err smq_member_init(void *memory, size_t len, const struct smq_member_config *config,
				     struct smq_now now, smq_member **ret_member);
/* Wipes all keys. */
void smq_member_done(smq_member *m);

/* The two topics to subscribe to (i = 0, 1); the same one twice where keyex_topic has no "{to}". */
const char *smq_member_topic(const smq_member *m, int i);
/* This life's boot id, 16 bytes. */
const uint8_t *smq_member_boot_id(const smq_member *m);

/* The subscriptions stand (again): greets, and begins the key exchanges that are due. */
void smq_member_online(smq_member *m, struct smq_now now);
void smq_member_offline(smq_member *m);

/* Keeps up a session with this member from now on. SMQ_ERR_FULL, SMQ_ERR_NAME (malformed, "all", or our own). */
SMQ_MUST_USE smq_err smq_member_keep(smq_member *m, const char *peer, struct smq_now now);
/* Begins a new key exchange with the peer at the next smq_member_next. */
SMQ_MUST_USE smq_err smq_member_rotate(smq_member *m, const char *peer);
/*
 * Asks the credentials port whether the peers of all sessions still hold (a new revocation list, an end of the old
 * one), and ends at once, without a grace, the sessions of those that do not: NOTE_ENDED says whose and why.
 */
void smq_member_review(smq_member *m, struct smq_now now);
/* Whether we hold keys to seal for this peer now. */
bool smq_member_ready(const smq_member *m, const char *peer, struct smq_now now);

/* Whether the topic is one of ours, for smq_member_input. */
bool smq_member_takes(const smq_member *m, const char *topic);
/* Takes a key-exchange message; what is not for us or not well formed is dropped with the reason. */
smq_err smq_member_input(smq_member *m, const char *topic, smq_span payload, bool retained, struct smq_now now);

/* An opened message; the spans point into the room handed in. */
struct smq_opened {
	smq_span plain;
	const char *sender; /* certified name; valid until the next call */
	uint64_t session;   /* running number of the session with this peer, from 1 */
	uint64_t counter;
	uint8_t boot_id[16];
	int algorithm;
	bool has_age;
	int64_t age_ms;
	uint64_t missing; /* messages of this sender newly found missing before this one */
	bool provable;    /* carries a signature, or says that a checkpoint will follow (PROTOCOL.md 3.9) */
};

/*
 * Opens a sealed payload of a pairwise session into room (payload.len bytes are always enough).
 * SMQ_ERR_NOT_SEALED, SMQ_ERR_NO_KEY, SMQ_ERR_OPEN, SMQ_ERR_MOVED, SMQ_ERR_REPLAY, SMQ_ERR_ALGORITHM, ...;
 * where there is a key for it, ret_opened->sender is the name the key belongs to, and session and counter are what
 * the message claims, whatever is returned; on SMQ_ERR_MOVED the topic it was sealed for is smq_member_moved_from.
 */
SMQ_MUST_USE smq_err smq_member_open(smq_member *m, const char *topic, smq_span payload, struct smq_now now,
				     smq_mspan room, struct smq_opened *ret_opened);
const char *smq_member_moved_from(const smq_member *m);

/* Seals for a peer. SMQ_ERR_NO_SESSION: a key exchange is under way or begins now; try again after NOTE_READY. */
SMQ_MUST_USE smq_err smq_member_seal(smq_member *m, const char *to, const char *topic, smq_span plain,
				     struct smq_now now, smq_mspan room, size_t *ret_len);
/* Room that sealing plain_len bytes needs at most. */
size_t smq_member_seal_room(size_t plain_len);

enum smq_note_kind {
	SMQ_NOTE_READY,  /* keys with this peer are there; session 1 is the first */
	SMQ_NOTE_WIPED,  /* an old session's keys are gone */
	SMQ_NOTE_FAILED, /* a key exchange ended with err */
	SMQ_NOTE_SILENT, /* the peer has not answered so far; we go on trying */
	SMQ_NOTE_ENDED   /* the peer's certificate does not hold any more (err): its keys are gone */
};

struct smq_note {
	enum smq_note_kind kind;
	const char *peer; /* valid until the next call */
	uint64_t session;
	smq_err err;
	size_t wire_bytes; /* of the finished key exchange, both directions */
	int64_t took_ms;
};

struct smq_action {
	enum { SMQ_ACT_SEND, SMQ_ACT_NOTE } kind;
	/* SEND: publish at QoS 1, not retained; both valid until the next call */
	const char *topic;
	smq_span payload;
	struct smq_note note; /* NOTE */
};

/* The next thing to do; false when there is nothing more for now. Call it until then, after every other call. */
bool smq_member_next(smq_member *m, struct smq_now now, struct smq_action *ret_action);
/* When to call smq_member_next without other cause, in mono_ms; INT64_MAX: never, INT64_MIN: at once (compare,
 * before you subtract). */
int64_t smq_member_wake_at(const smq_member *m);

#ifdef __cplusplus
}
#endif
#endif
