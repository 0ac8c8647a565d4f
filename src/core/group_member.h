/*
 * A member of a group that a key server keeps (PROTOCOL.md 7.6): joins, follows the epochs over what the broker
 * retains, asks the key server for what is missing, seals and opens. No I/O: bytes and the time go in, actions come
 * out.
 *
 *     smq_group_member_init(...); smq_group_member_online(m, now);
 *     for what arrives:  smq_group_member_takes(m, topic) ? smq_group_member_input(...) : smq_group_member_open(...)
 *     after every call, and at smq_group_member_wake_at:  while (smq_group_member_next(m, now, &action)) do it;
 *
 * What must survive a restart goes through struct smq_group_keep, and is durable before it is acted upon: the highest
 * manifest, the path's keys, the epochs in use, the policy. Windows are kept as those of static groups are
 * (core/group.h), by sender id and boot id: counters go on over epochs and slots within one life.
 */
#ifndef SMQ_CORE_GROUP_MEMBER_H
#define SMQ_CORE_GROUP_MEMBER_H

#include <sealmq/member.h>

#include "core/group_lives.h"
#include "core/ks_asker.h"
#include "wire/ks_topics.h"

enum { SMQ_GROUP_STATE_MAX = 24 * 1024 };

struct smq_group_keep {
	void *self;
	/* SMQ_ERR_NOT_FOUND: nothing is kept yet. */
	smq_err (*load)(void *self, smq_mspan room, size_t *ret_len);
	smq_err (*save)(void *self, smq_span state); /* durable when it returns SMQ_OK */
	/* NULL: there is none. As save, but returns at once, and what fails later is only made good by the next one:
	 * for what is forgotten with time, which nobody may wait for while he receives. */
	smq_err (*save_behind)(void *self, smq_span state);
};

/* The highest epoch that such a state has accepted; 0: none, or it is not one. Of two, the one with the higher. */
uint64_t smq_group_kept_epoch(smq_span state);
/* The sender id of a kept state, and the life that it is bound to; of two the higher one was granted later. False:
 * there is no membership. */
bool smq_group_kept_life(smq_span state, uint64_t *ret_sender_id, uint8_t ret_boot_id[SMQ_BOOT_ID_LEN]);
/* The policy that such a state holds, without its signature, for as long as the member belongs; else empty. */
smq_span smq_group_kept_policy(smq_span state);

struct smq_group_member_config {
	const struct smq_crypto *crypto;
	const struct smq_random *random;
	const struct smq_credentials *credentials;
	const struct smq_own_credential *own;
	const char *realm, *name, *prefix, *group; /* prefix: the realm's control prefix. Kept by pointer */
	const char *keyserver;                     /* NULL: whoever has the role */
	unsigned roles;                            /* SMQ_JOIN_* wanted */
	int64_t lease_ms;                          /* how long we want to belong, from now; 0: as long as granted */
	int method;                                /* EDHOC method; 0 */
	const int *suites;                         /* EDHOC suites by preference; NULL: 2, 6, 0 */
	size_t suite_count;
	bool stamp, cose;
	bool repeats;                            /* as struct smq_group_lives has it */
	const struct smq_group_keep *keep;       /* NULL: nothing is kept */
	const struct smq_group_windows *windows; /* NULL: not kept */
	size_t lives_max;                        /* senders' lives at a time; 0: 1,024 */
};

typedef struct smq_group_member smq_group_member;

enum smq_group_note_kind {
	SMQ_GROUP_JOINED,      /* granted; sealing is possible from the epoch's activation on */
	SMQ_GROUP_REFUSED,     /* the key server said no: err and text */
	SMQ_GROUP_EPOCH,       /* an epoch is in use now: retained messages of ours are to be sealed anew */
	SMQ_GROUP_EXPELLED,    /* the manifest moved on without us */
	SMQ_GROUP_WAITING,     /* the key server does not answer; we go on with what we have */
	SMQ_GROUP_EXPIRED,     /* the manifest has expired and nobody renewed it: we seal no more */
	SMQ_GROUP_LEFT,        /* our leave was confirmed */
	SMQ_GROUP_GAP,         /* a manifest was missed; nothing is lost by that */
	SMQ_GROUP_STALE,       /* an old manifest or policy was played back: refused */
	SMQ_GROUP_FORK,        /* another history than ours, by our key server: refused */
	SMQ_GROUP_TWO_SERVERS, /* another history than ours, by another key server: refused */
	SMQ_GROUP_FORGED,      /* something on a control topic whose signature does not hold (err): refused */
	SMQ_GROUP_SENDER,      /* a card came: messages held back for it may be tried again */
	SMQ_GROUP_STAYS        /* never by the machine: its owner knows that another process of the member goes on */
};

struct smq_group_note {
	enum smq_group_note_kind kind;
	uint64_t epoch;
	smq_err err;
	const char *text;  /* of the key server, escaped; "" */
	uint64_t took_ms;  /* JOINED: since it was asked for */
	uint64_t waits_ms; /* JOINED: until that epoch comes into use; what is sealed before then is not for us */
};

struct smq_group_action {
	enum {
		SMQ_GROUP_ACT_SUBSCRIBE, /* topic, QoS 1 */
		SMQ_GROUP_ACT_UNSUBSCRIBE,
		SMQ_GROUP_ACT_SEND, /* publish at QoS 1, not retained */
		SMQ_GROUP_ACT_NOTE
	} kind;
	const char *topic; /* valid until the next call, like the payload */
	smq_span payload;
	struct smq_group_note note;
};

size_t smq_group_member_size(const struct smq_group_member_config *config);
SMQ_MUST_USE smq_err smq_group_member_init(void *memory, size_t len, const struct smq_group_member_config *config,
					   struct smq_now now, smq_group_member **ret_member);
void smq_group_member_done(smq_group_member *m); /* settles windows, wipes */

void smq_group_member_online(smq_group_member *m, struct smq_now now);
void smq_group_member_offline(smq_group_member *m);
/* Asks to be let go; NOTE_LEFT follows. */
void smq_group_member_leave(smq_group_member *m, struct smq_now now);
/* Before leaving: the key server knows this life of the member, which was granted later than ours and has ended. */
void smq_group_member_leave_for(smq_group_member *m, const uint8_t boot_id[SMQ_BOOT_ID_LEN]);

bool smq_group_member_takes(const smq_group_member *m, const char *topic);
smq_err smq_group_member_input(smq_group_member *m, const char *topic, smq_span payload, bool retained,
			       struct smq_now now);
bool smq_group_member_next(smq_group_member *m, struct smq_now now, struct smq_group_action *ret_action);
int64_t smq_group_member_wake_at(const smq_group_member *m); /* mono ms */

/*
 * Whether to seal now, or to wait: true also where sealing says why it never will. A member that has restarted seals
 * under its old sender id once the key server has been silent for two seconds; smq_group_member_seal does at once,
 * which is for wills.
 */
bool smq_group_member_ready(const smq_group_member *m, struct smq_now now);
/* Whether the policy's filters cover the topic; false while there is no policy. */
bool smq_group_member_covers(const smq_group_member *m, smq_span topic);
/* Whether the policy in force lets this name with these certificate roles command whom. */
bool smq_group_member_commands(const smq_group_member *m, smq_span name, unsigned roles, smq_span whom);
uint64_t smq_group_member_epoch(const smq_group_member *m);   /* in use; 0: none */
const char *smq_group_member_name(const smq_group_member *m); /* the group's */

/* SMQ_ERR_NO_SESSION: not granted yet, or not activated; SMQ_ERR_STALE_EPOCH: the manifest has expired;
 * SMQ_ERR_NOT_AUTHORIZED: not granted to publish; SMQ_ERR_TOPIC. */
SMQ_MUST_USE smq_err smq_group_member_seal(smq_group_member *m, smq_span topic, struct smq_now now, smq_span plain,
					   smq_mspan room, size_t *ret_len);
SMQ_MUST_USE smq_err smq_group_member_seal_proven(smq_group_member *m, smq_span topic, struct smq_now now,
						  smq_span plain, struct smq_seal_proof *proof, smq_mspan room,
						  size_t *ret_len);
struct smq_group_member_opened {
	const char *sender;     /* certified name, by the key server's card; until the next call */
	const uint8_t *boot_id; /* likewise */
	size_t len;
	uint64_t missing;
	const struct smq_seal_key *key;
};
/*
 * As smq_group_open; moreover SMQ_ERR_NO_SESSION: it may open later (its sender's card is being fetched, its epoch is
 * not here yet): hold it back, and try again after SMQ_GROUP_SENDER or SMQ_GROUP_EPOCH, for some seconds.
 */
SMQ_MUST_USE smq_err smq_group_member_open(smq_group_member *m, const struct smq_sealed *sealed, smq_span topic,
					   struct smq_now now, smq_mspan room,
					   struct smq_group_member_opened *ret_opened);

#endif
