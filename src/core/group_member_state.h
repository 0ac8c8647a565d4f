/*
 * What a member of a key server's group consists of; shared by group_member*.c alone.
 *
 *     group_member.c          intake, actions, asking the key server
 *     group_member_follow.c   grants, manifests, policies, nodes, epochs, slots
 *     group_member_senders.c  cards, lives, sealing and opening
 *     group_member_state.c    what is kept, as bytes
 *
 * What must survive is struct member_kept, and it changes in one way only: a copy is changed, written down, and then
 * takes the place of the old one (smq_gm_commit).
 */
#ifndef SMQ_CORE_GROUP_MEMBER_STATE_H
#define SMQ_CORE_GROUP_MEMBER_STATE_H

#include "core/group_member.h"
#include "core/keytree.h"
#include "core/manifest_chain.h"
#include "core/slots.h"
#include "wire/group_file.h"
#include "wire/sender_card.h"

enum {
	SMQ_GM_EPOCHS_MAX = SMQ_KS_HISTORY_MAX + 2, /* passed ones that the policy grants, the present, the next */
	SMQ_GM_JUMP = 1 << 16, /* epochs: a key server that was restored has moved ahead by as many (PROTOCOL.md 7.7) */
	SMQ_GM_WANTED_MAX = SMQ_KS_FETCH_SENDERS_MAX,
	SMQ_GM_NOTES_MAX = 32,
	SMQ_GM_TOPICS_MAX = 128,
	SMQ_GM_LIVES = 1024,
	SMQ_GM_REQUEST_MAX = 1024, /* bytes; ours are join, leave and fetch */
	/* bytes: what a template's filters and its group are, for one group */
	SMQ_GM_NAMES_MAX = SMQ_MEMBER_NAME_MAX + SMQ_POLICY_FILTERS_MAX * (SMQ_POLICY_FILTER_MAX + SMQ_MEMBER_NAME_MAX),
	SMQ_GM_SIGNED_MANIFEST_MAX = SMQ_MANIFEST_MAX + SMQ_SIGN1_OVERHEAD_MAX,

	/* times, ms */
	SMQ_GM_MISSING_MS = 2000,   /* what the broker should have had by then is asked for, ... */
	SMQ_GM_MISSING_TREE = 1024, /* ... up to a second later for as many members that the tree has room for, ... */
	SMQ_GM_MISSING_MAX_MS = 60000,  /* ... but no more than so much later, ... */
	SMQ_GM_MISSING_CARD_MS = 4000,  /* ... and cards no later than that: messages are held back for them */
	SMQ_GM_CONFIRM_MS = 2000,       /* within so long of a reconnect the newest manifest is asked for, ... */
	SMQ_GM_CONFIRM_LEAF_MS = 2,     /* ... or of so much for each member that the tree has room for, ... */
	SMQ_GM_CONFIRM_MAX_MS = 600000, /* ... but no later */
	SMQ_GM_KEPT_MS = 2000,          /* silence of the key server, then the old sender id goes on */
	SMQ_GM_START_MS = 3000,         /* to message_2 */
	SMQ_GM_ANSWER_MS = 20000,       /* from the request to its answer: an epoch may have to come first */
	SMQ_GM_BACKOFF_MIN_MS = 1000,   /* between two attempts, doubling */
	SMQ_GM_BACKOFF_MAX_MS = 30000,
	SMQ_GM_CARD_MS = 10000,      /* a card that has not come by then is not waited for */
	SMQ_GM_FLOOR_MS = 5000,      /* the floor of slots is written no more often */
	SMQ_GM_RENEW_MIN_MS = 30000, /* between two joins that renew an interval */
	SMQ_GM_SKEW_MS = 5000        /* how far clocks of a slotted group may be apart */
};

struct member_epoch {
	uint64_t number; /* 0: free */
	struct smq_epoch_secret secret;
	uint8_t manifest[SMQ_HASH_LEN];
	int64_t activate_at_ms; /* unix */
	int64_t until_ms;       /* unix: when it is wiped; SMQ_NO_END: not yet known */
	int alg;                /* enum smq_aead_id; 0: whatever a message says (an epoch before our time) */
};

/* Durable. */
struct member_kept {
	struct smq_manifest_chain chain;
	struct smq_policy_mark mark;
	size_t policy_len;
	uint8_t policy[SMQ_POLICY_MAX]; /* the document without its signature */
	bool granted;
	uint64_t sender_id;
	uint8_t boot_id[SMQ_BOOT_ID_LEN]; /* of the life that the sender id is bound to */
	unsigned roles;
	int64_t from_ms, until_ms;
	uint64_t joined; /* epoch of the first grant */
	uint64_t in_use; /* the highest epoch that was ever used; 0: none */
	struct smq_keypath path;
	struct member_epoch epochs[SMQ_GM_EPOCHS_MAX];
	enum smq_policy_mode mode;
	struct smq_slot_times times; /* slotted groups */
	uint64_t slot_floor;
	size_t holder_count;
	struct smq_slot_holder holders[SMQ_KS_TREES_MAX];
};

/* A sender id, once its card came. Found by its id: each place holds the head of one bucket besides its own card. */
struct member_card {
	uint32_t first; /* where the bucket of this place begins, from 1 */
	uint32_t next;  /* card in the same bucket, from 1; 0: none */
	uint64_t heard; /* larger is later */
	uint64_t sender_id;
	uint8_t boot_id[SMQ_BOOT_ID_LEN];
	char name[SMQ_MEMBER_NAME_MAX + 1];
};

/* A card that is being waited for. */
struct member_wanted {
	bool used;
	uint64_t sender_id;
	int64_t since_ms; /* mono */
	int64_t asked_ms; /* mono: of the key server; INT64_MIN: not yet */
};

struct member_topic {
	bool unsubscribe;
	struct smq_ks_topic topic;
};

struct member_envelope {
	size_t len; /* 0: nothing to send */
	uint8_t bytes[SMQ_KS_EDHOC_ROOM + SMQ_GM_REQUEST_MAX];
};

struct smq_group_member {
	struct smq_group_member_config c;
	struct smq_tree_scope scope;
	uint8_t boot_id[SMQ_BOOT_ID_LEN];   /* of this life */
	uint8_t leave_for[SMQ_BOOT_ID_LEN]; /* the life that the key server knows, where leaves_for */
	bool leaves_for;
	unsigned own_roles;      /* of our certificate */
	struct smq_now now;      /* of the last call */
	int64_t wanted_until_ms; /* unix; SMQ_NO_END: as long as may be */
	struct member_kept k, next;
	bool has_policy;
	struct smq_policy policy; /* points into k.policy, and policy_names where that is a template */
	uint8_t policy_names[SMQ_GM_NAMES_MAX];

	/* the broker */
	bool online;
	int64_t first_online_ms; /* mono; INT64_MAX: never yet */
	int64_t online_ms;       /* mono */
	bool heard_manifest;     /* since then */
	uint16_t patience;       /* drawn: where in the spread of those who miss something we ask */
	int64_t confirm_at_ms;   /* mono: when whether its manifest is the newest is asked; INT64_MAX: never */
	unsigned heights;        /* of the path's nodes, subscribed to */
	uint64_t own_card;       /* our sender id, whose card we watch; 0: none */
	int64_t own_card_ms;     /* mono: since when it should come; INT64_MAX: it did */

	/* asking */
	struct smq_ks_asker asker;
	struct smq_ks_asker_config asker_config;
	enum smq_ks_what asking; /* 0: nothing is under way */
	bool want_join, want_leave, want_fetch, left, waiting_told;
	smq_err refused; /* why the last join was; SMQ_OK: it was not */
	unsigned failures;
	int64_t ask_at_ms, give_up_ms, asked_for_ms; /* mono */
	int64_t renewed_ms;                          /* mono: when an interval was last to be renewed */
	uint8_t request[SMQ_GM_REQUEST_MAX];
	size_t request_len;

	/* following */
	uint8_t pending[SMQ_GM_SIGNED_MANIFEST_MAX]; /* a manifest that we cannot act on yet */
	size_t pending_len;
	uint64_t pending_epoch;   /* 0: its signer is not known yet */
	int64_t pending_since_ms; /* mono */
	bool pending_fetched;
	uint64_t gap_told;
	struct {
		bool there;
		struct smq_tree_node_message message;
	} nodes[SMQ_TREE_HEIGHT_MAX];
	bool expired_told;
	int64_t time_due_ms;     /* unix: when time brings something next, slots apart */
	size_t epoch_at;         /* in k.epochs: of the last message */
	bool ahead;              /* messages of an epoch came that we do not know */
	int64_t ahead_since_ms;  /* mono */
	int64_t floor_saved_ms;  /* mono */
	int64_t commit_retry_ms; /* mono: the store failed; not before */

	/* senders */
	struct smq_group_lives lives;
	struct member_card *cards;
	size_t card_count, cards_used; /* beyond those there was never one */
	uint64_t ticks;
	struct member_wanted wanted[SMQ_GM_WANTED_MAX];
	size_t wanted_count;
	struct smq_sealer sealer;
	bool has_sealer;
	uint64_t next_counter;
	char opened_sender[SMQ_MEMBER_NAME_MAX + 1];
	uint8_t opened_boot_id[SMQ_BOOT_ID_LEN];

	/* what is to be done */
	struct member_topic topics[SMQ_GM_TOPICS_MAX];
	size_t topic_first, topic_count;
	struct smq_group_note notes[SMQ_GM_NOTES_MAX];
	size_t note_first, note_count;
	struct member_envelope out[2];
	char text[SMQ_KS_TEXT_MAX + 1];
	char topic_text[SMQ_KS_TOPIC_MAX];
	uint8_t answer[SMQ_KS_ANSWER_MAX + SMQ_KS_ENVELOPE_HEAD];
	uint8_t state[SMQ_GROUP_STATE_MAX];
};

/* ---- group_member_state.c ---- */

SMQ_MUST_USE smq_err smq_gm_kept_encode(const struct member_kept *k, smq_mspan room, size_t *ret_len);
/* scope: for the path. SMQ_ERR_CORRUPT. */
SMQ_MUST_USE smq_err smq_gm_kept_decode(smq_span bytes, const struct smq_tree_scope *scope,
					struct member_kept *ret_kept);
/* m->next is what is to become of m->k: starts as a copy. */
void smq_gm_begin(smq_group_member *m);
/* Writes m->next down; then, and only then, it is in force. */
SMQ_MUST_USE smq_err smq_gm_commit(smq_group_member *m);
/* For what only forgets: the disk may follow later. */
SMQ_MUST_USE smq_err smq_gm_commit_behind(smq_group_member *m);
void smq_gm_read_policy(smq_group_member *m);

/* ---- group_member.c ---- */

void smq_gm_note(smq_group_member *m, enum smq_group_note_kind kind, uint64_t epoch, smq_err err);
void smq_gm_subscribe(smq_group_member *m, bool unsubscribe, struct smq_ks_topic topic);
struct smq_ks_topic smq_gm_topic(const smq_group_member *m, enum smq_ks_topic_kind kind, uint64_t height,
				 uint64_t number);

/* ---- group_member_follow.c ---- */

/* An answered join. SMQ_ERR_STATE: not acted upon now, ask again. */
smq_err smq_gm_take_grant(smq_group_member *m, smq_span body);
smq_err smq_gm_take_manifest(smq_group_member *m, smq_span bytes);
/* admin: ID_CRED_x by value; empty: as the document names it. */
smq_err smq_gm_take_policy(smq_group_member *m, smq_span bytes, smq_span admin);
smq_err smq_gm_take_node(smq_group_member *m, unsigned height, uint64_t index, smq_span bytes, bool asked_for);
/* Tries again what waits, now that something came. */
void smq_gm_follow(smq_group_member *m);
/* The key server does not have us any more: what it gave is forgotten. */
void smq_gm_forget_membership(smq_group_member *m);
/* What time brings: activations, ends of grace, slots that passed, an expiry. */
void smq_gm_pass_time(smq_group_member *m);
/* Looks up when it does so next (m->time_due_ms), after any change of the kept state or of what was told of it. */
void smq_gm_find_time_due(smq_group_member *m);
/* When the granted interval, or the seeds of it, are to be renewed: Unix time; SMQ_NO_END: never. */
int64_t smq_gm_renew_at(const smq_group_member *m);
const struct member_epoch *smq_gm_epoch(const struct member_kept *k, uint64_t number);
/* The same, of m->k: most messages are of the epoch of the last one. */
const struct member_epoch *smq_gm_message_epoch(smq_group_member *m, uint64_t number);
SMQ_MUST_USE smq_err smq_gm_traffic(const smq_group_member *m, const struct member_epoch *e, bool slotted,
				    uint64_t slot, struct smq_traffic_secret *ret_secret);
/* Who signed a document, as far as it is known. */
SMQ_MUST_USE smq_err smq_gm_signer(const smq_group_member *m, const struct smq_sign1 *document,
				   struct smq_credential *ret_credential);

/* ---- group_member_senders.c ---- */

/* Empty bytes: it was withdrawn. */
smq_err smq_gm_take_card(smq_group_member *m, uint64_t sender_id, smq_span bytes);
/* Whoever publishes watches its own card: if it goes, others cannot know us any more. */
void smq_gm_watch_own_card(smq_group_member *m);
void smq_gm_know_sender(smq_group_member *m, uint64_t sender_id, const char *name, const uint8_t *boot_id);
void smq_gm_drop_sealer(smq_group_member *m);
void smq_gm_drop_passed_keys(smq_group_member *m);

#endif
