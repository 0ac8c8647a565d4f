/*
 * What a member machine consists of; shared by member*.c alone.
 *
 *     peer     whom we talk to: timers, and the numbering of sessions
 *     session  keys of one finished key exchange, both directions
 *     run      a key exchange under way
 *
 * A session slot is reserved when its run starts, because the slot's number is in the key id that the peer will
 * write into every message to us: looking a message's key up is one array access.
 */
#ifndef SMQ_CORE_MEMBER_STATE_H
#define SMQ_CORE_MEMBER_STATE_H

#include <sealmq/member.h>

#include "core/edhoc_machine.h"
#include "core/limits.h"
#include "core/seal.h"
#include "wire/keyex.h"

enum { NONE = -1 };

/*
 *     FREE -> RESERVED -> UNCONFIRMED -> ACTIVE -> GRACE -> FREE
 *                  \__________\____________\_________________^
 */
enum session_state {
	SESSION_FREE,
	SESSION_RESERVED,    /* its key id is given out, no keys yet */
	SESSION_UNCONFIRMED, /* initiator before message_4: opens, does not seal */
	SESSION_ACTIVE,      /* seals and opens; at most one per peer */
	SESSION_GRACE        /* replaced: opens until wipe_at */
};

struct session {
	enum session_state state;
	int peer;
	uint64_t number;
	uint8_t in_id[SMQ_KEY_ID_LEN];
	int64_t born_ms;    /* mono */
	int64_t wipe_at_ms; /* mono; GRACE only */
	int64_t expires_ms; /* unix: the peer's certificate */
	int64_t used_ms;    /* mono: when a message last opened */
	uint8_t credential[SMQ_HASH_LEN]; /* the peer's, as the credentials port knows it */
	uint8_t peer_boot_id[SMQ_BOOT_ID_LEN];
	uint64_t sealed; /* messages sealed under this key */
	struct smq_sealer sealer;
	struct smq_opener opener;
};

/* What came from one life of the peer, over all its sessions: gaps are counted here. */
struct arrivals {
	uint8_t boot_id[SMQ_BOOT_ID_LEN];
	uint64_t next, received, missing;
	int64_t heard_ms; /* mono */
	bool any;
};

struct peer {
	char name[SMQ_MEMBER_NAME_MAX + 1]; /* empty: free */
	bool kept;                          /* smq_member_keep asked for it */
	bool wants_run;
	bool knows_us; /* has our certificate: the hash will do */
	bool silent_noted;
	int active;                     /* session index or NONE */
	int run;                        /* our own run with it, or NONE */
	struct smq_edhoc_suites suites; /* what an error message said it supports; a hint */
	uint64_t sessions;              /* so far */
	uint64_t next_counter; /* goes on over all sessions with this peer: (boot id, counter) names a message */
	unsigned attempts;
	int64_t retry_at_ms;  /* mono: not before */
	int64_t hinted_at_ms; /* mono: when something unauthenticated last made us start a run */
	struct arrivals arrivals[SMQ_LIVES_PER_PEER];
};

enum run_role { RUN_FREE, RUN_INITIATOR, RUN_RESPONDER };

struct run {
	enum run_role role;
	char claimed[SMQ_MEMBER_NAME_MAX + 1]; /* initiator: whom we want; responder: who it says it is */
	int session;
	int64_t started_ms; /* mono */
	size_t wire_bytes;
	struct smq_edhoc_config config;
	struct smq_edhoc edhoc;
};

struct recent_topic {
	char text[SMQ_RECENT_TOPIC_MAX + 1];
};

struct smq_member {
	struct smq_member_config config;
	char realm[SMQ_MEMBER_NAME_MAX + 1];
	char name[SMQ_MEMBER_NAME_MAX + 1];
	char keyex_topic[SMQ_KEYEX_TOPIC_MAX];
	char own_topic[SMQ_KEYEX_TOPIC_MAX];
	char all_topic[SMQ_KEYEX_TOPIC_MAX];
	char send_topic[SMQ_KEYEX_TOPIC_MAX];
	int suites[SMQ_EDHOC_SUITES_MAX];
	uint8_t boot_id[SMQ_BOOT_ID_LEN];
	uint32_t id_mask;
	uint8_t ead[SMQ_BOOT_ID_LEN + 16];
	size_t ead_len;
	uint32_t jitter; /* state of a small generator for jitter; not a secret */

	/* Places are taken from the front; those beyond the count were never touched, so that room for many peers costs
	 * no memory until they come. */
	struct peer *peers;
	uint32_t *name_hashes; /* beside peers, for a quick scan */
	size_t peer_count, peers_max;
	struct session *sessions;
	size_t session_count, sessions_max;
	struct run *runs;
	size_t run_count;
	size_t last_peer;

	bool online;
	bool greet;    /* a HELLO is due */
	bool complain; /* a NO_KEY is due */
	uint8_t unknown_id[SMQ_KEY_ID_LEN];
	int64_t greeted_ms;
	int64_t answers_refill_ms;
	unsigned answers; /* tokens */

	bool dirty; /* next must look at everything */
	int64_t due_ms;

	struct smq_note notes[SMQ_NOTES_MAX];
	char note_names[SMQ_NOTES_MAX][SMQ_MEMBER_NAME_MAX + 1];
	char note_name[SMQ_MEMBER_NAME_MAX + 1];
	size_t note_first, note_count;

	char reply_to[SMQ_MEMBER_NAME_MAX + 1];
	size_t out_len; /* > 0: out waits to be sent to send_topic */
	struct recent_topic recent[SMQ_RECENT_TOPICS];
	size_t recent_next;
	char moved_from[SMQ_RECENT_TOPIC_MAX + 1];
	uint8_t body[SMQ_EDHOC_MESSAGE_MAX];
	uint8_t out[SMQ_KEYEX_MESSAGE_MAX];
};

/* member_peers.c: peers and sessions */
struct peer *smq_peer_find(struct smq_member *m, smq_span name);
/* Finds or makes; NULL where the table is full of peers that are kept or in use. */
struct peer *smq_peer_get(struct smq_member *m, smq_span name);
int smq_session_reserve(struct smq_member *m);
void smq_session_free(struct smq_member *m, int index);
struct session *smq_session_by_id(struct smq_member *m, const uint8_t id[SMQ_KEY_ID_LEN]);
/* Derives both directions' keys from a run that has them. */
SMQ_MUST_USE smq_err smq_session_derive(struct smq_member *m, int index, struct peer *peer, const struct smq_edhoc *e,
					struct smq_now now);
void smq_session_activate(struct smq_member *m, int index, struct smq_now now, const struct run *run);
void smq_session_to_grace(struct smq_member *m, int index, struct smq_now now);
/* Whether it may still seal. */
bool smq_session_usable(const struct smq_member *m, const struct session *s, struct smq_now now);
int64_t smq_grace_ms(const struct smq_member *m);
/* How old the keys of a peer that does not answer may get. */
int64_t smq_stale_ms(const struct smq_member *m);

/* member_keyex.c: runs */
smq_err smq_run_start(struct smq_member *m, struct peer *peer, struct smq_now now);
/* Whether there is a place for a run of our own. */
bool smq_run_may_start(const struct smq_member *m);
void smq_run_drop(struct smq_member *m, struct run *run, struct smq_now now);
struct run *smq_run_of(struct smq_member *m, const struct peer *peer);
smq_err smq_keyex_input(struct smq_member *m, const struct smq_keyex *message, size_t wire_len, struct smq_now now);
smq_err smq_keyex_send(struct smq_member *m, enum smq_keyex_kind kind, const char *to, smq_span id, smq_span body);

/* member_notes.c */
void smq_member_note(struct smq_member *m, enum smq_note_kind kind, const char *peer, uint64_t session, smq_err err,
		     size_t wire_bytes, int64_t took_ms);
bool smq_member_take_note(struct smq_member *m, struct smq_action *ret_action);

#endif
