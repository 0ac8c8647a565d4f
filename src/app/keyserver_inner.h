/* What the parts of the key server (keyserver*.c) share; for nobody else. */
#ifndef SMQ_APP_KEYSERVER_INNER_H
#define SMQ_APP_KEYSERVER_INNER_H

#include "app/keyserver.h"
#include "core/ks_desk.h"
#include "core/keygroup.h"
#include "core/manifest_chain.h"
#include "core/members_digest.h"
#include "core/slots.h"
#include "wire/ks_answer.h"
#include "wire/ks_topics.h"

enum {
	KS_GROUPS_MAX = 10000,
	KS_TEMPLATES_MAX = 64,
	KS_KEYS_MAX = 200000,   /* registered keys; about 200 bytes each */
	KS_HEIGHT_FIRST = 3,    /* of a new group's tree; it grows by one level at a time */
	KS_SLOT_TREES_KEPT = 6, /* the present one, the next two, and some for clocks that were wrong */
	KS_SLOT_TREES_AHEAD = 2,
	KS_NOTES_MAX = 4096, /* audit lines that wait for a transaction */
	KS_EARLY_MAX = 256,  /* requests that came before the broker's manifests were heard */
	KS_SEEN_MAX = 256,   /* manifests of groups that we do not know */
	KS_REPLIES_MAX = 4096,
	KS_JUMP = 1 << 16,   /* epochs and sender ids are moved on by this after a restore */
	KS_SETTLE_MS = 1000, /* for the broker's retained manifests to come */
	KS_SETTLE_RESTORED_MS = 3000,
	KS_MANIFEST_WAIT_MS = 5000, /* at most so long the next epoch waits for the broker to take the last manifest */
	KS_RETAINED_WAIT_MS = 3000, /* a manifest that the broker has not shown by then is published again */
	KS_TIMERS_EVERY_MS = 100,
	KS_REVIEWED_AT_A_TIME = 64, /* certificates asked about every 100 ms, in all groups together */
	KS_ACKED_MAX = 256,         /* acknowledged messages that the store still lists as outgoing */
	KS_CLAIM_EVERY_MS = 5000,
	KS_QUESTIONS = 4, /* of our claims, to which an answer may still come */
	KS_EARLIER_MAX =
	    3, /* lives of a member before its latest that have a card still: processes beside each other */
	KS_DOCUMENT_MAX = SMQ_POLICY_MAX + SMQ_SIGN1_OVERHEAD_MAX
};

struct ks_bytes {
	uint8_t *p;
	size_t len;
};

/* What a member's leaf knows beside the key group. */
struct ks_leaf {
	uint8_t credential[SMQ_HASH_LEN]; /* what `holds` knows it by */
	unsigned cert_roles;
	uint64_t card;                    /* sender id that it has a card for; 0: none */
	uint64_t earlier[KS_EARLIER_MAX]; /* and those of its lives before, the latest first; 0: none */
	int64_t card_until_ms;
};

struct ks_epoch {
	uint64_t epoch;
	struct smq_tree_key secret;
	uint8_t manifest[SMQ_HASH_LEN];
};

struct ks_slot_root {
	uint64_t tree;
	struct smq_slot_key root;
	bool stored;
};

/* A card whose sender is gone: it may be needed until the epoch after that has passed. */
struct ks_dead_card {
	uint64_t sender, epoch;
};

/* Credentials that were expelled: nobody joins with them again. The name tells who it was. */
struct ks_bar {
	uint8_t id[SMQ_HASH_LEN];
	char name[SMQ_MEMBER_NAME_MAX + 1];
};
struct ks_bars {
	struct ks_bar *bars;
	size_t count, room, stored;
};

struct ks_policy {
	struct ks_bytes signed_bytes, admin;
	uint8_t *names; /* room of an instance of a template */
	struct smq_policy policy, of_template;
	bool instance; /* of_template is what was signed */
	struct smq_policy_mark mark;
};

struct ks_group {
	struct smq_keyserver *ks;
	char name[SMQ_MEMBER_NAME_MAX + 1];
	struct smq_tree_scope scope;
	struct ks_policy policy;
	void *memory, *digest_memory;
	smq_keygroup *group;
	struct smq_members_digest digest;
	struct ks_leaf *leaves;
	struct smq_manifest_chain chain; /* our own manifests */
	struct ks_bytes manifest;        /* the latest, signed */
	int64_t activate_at_ms, rotated_ms, slot_start_ms;
	struct ks_epoch *history; /* rising; SMQ_KS_HISTORY_MAX + 1 of them at most, the present one is the last */
	size_t history_count;
	struct ks_slot_root slots[KS_SLOT_TREES_KEPT];
	size_t slot_count;
	struct ks_bars bars;
	struct ks_dead_card *dead;
	size_t dead_count, dead_room;
	/* what is to be done */
	bool due, moves, prompt, fresh, new_policy, jumped, broken;
	int64_t due_at;       /* mono ms */
	uint64_t epoch_floor; /* the next epoch is above it */
	uint64_t jump_epoch;  /* jumped: what the next manifest follows on */
	uint8_t jump_hash[SMQ_HASH_LEN];
	int64_t reload_at;      /* broken: mono ms */
	int64_t soonest_end_ms; /* of a member's interval */
	uint64_t review_at;
	/* what the broker has */
	bool heard;
	int64_t heard_by;      /* mono ms; INT64_MAX: not waiting */
	uint64_t manifest_out; /* number of the latest manifest on its way to the broker; 0: it has it */
	/* announced again: which epoch, how often, when next (mono ms; INT64_MAX: not) */
	uint64_t announced;
	unsigned announcements;
	int64_t announce_at;
	/* of the last epoch */
	uint64_t messages, bytes;
};

/* Somebody waits for the next transaction of a group. */
struct ks_wait {
	uint64_t run;
	struct ks_group *group; /* NULL: whichever */
	enum smq_ks_what what;
	char who[SMQ_MEMBER_NAME_MAX + 1], whom[SMQ_MEMBER_NAME_MAX + 1];
	uint8_t boot_id[SMQ_BOOT_ID_LEN]; /* a join: of the life that asked */
	bool quiet;                       /* its answer is another's */
	bool overtaken; /* by a join of another life of the same member within one transaction: once more */
};

/* A line for the audit log. */
struct ks_note {
	const char *what;
	char who[SMQ_MEMBER_NAME_MAX + 1], group[SMQ_MEMBER_NAME_MAX + 1], whom[SMQ_MEMBER_NAME_MAX + 1];
	smq_err err;
};

/*
 * What is retained: which message of a group. The payload is read when it is sent, so it is always the latest. Of a
 * group's manifests that wait only the last is sent: the nodes that lead to it are all before that one.
 */
#define KS_OUT_NODE(height, index) ((uint64_t)(height) << 32 | (index))
#define KS_OUT_CARD(sender) (UINT64_C(1) << 60 | (sender))
#define KS_OUT_POLICY (UINT64_C(2) << 60)
#define KS_OUT_MANIFEST (UINT64_C(3) << 60)

struct ks_out {
	struct ks_group *group;
	uint64_t what;
	uint64_t number; /* in the store; 0: it is not there */
};
struct ks_outs {
	struct ks_out *items;
	size_t first, count, room;
};

/* Answers and claims: neither stored nor retained. */
struct ks_reply {
	char topic[SMQ_KS_TOPIC_MAX];
	struct ks_bytes payload;
};

struct ks_flight {
	bool used, is_out;
	uint64_t id;
	struct ks_out out;
};

struct ks_early {
	char from[SMQ_MEMBER_NAME_MAX + 1];
	struct ks_bytes payload;
};

struct ks_seen {
	char group[SMQ_MEMBER_NAME_MAX + 1];
	uint64_t epoch;
	uint8_t hash[SMQ_HASH_LEN];
};

/* What has been since the start. */
enum { KS_WHATS = 13 };
struct ks_counts {
	uint64_t asked[KS_WHATS][2]; /* by ks_what_at; done, refused */
	uint64_t dropped, epochs, messages, bytes, commits, failed_commits;
	int64_t durable_ms; /* Unix time */
};

struct ks_rate;
struct ks_key;

struct ks_keys {
	struct ks_key **by_name, **by_id;
	size_t count, room;
	struct ks_key **pending; /* what the next transaction puts or removes */
	size_t pending_count;
};

/* Our own key, as those know it who have no use for certificates. */
struct ks_own_key {
	bool serves; /* it is one that agrees */
	struct smq_own_credential own;
	struct smq_credential credential;
	uint8_t id_cred[SMQ_REGISTERED_ID_CRED_LEN];
};

/* Of one key server to another, in its claim. */
struct ks_question {
	uint8_t bytes[16];
	int64_t asked_ms; /* mono; INT64_MIN: never */
};

struct smq_keyserver {
	struct smq_keyserver_config config;
	char *realm, *name, *prefix;
	char filters[4][SMQ_KS_TOPIC_MAX];
	void *desk_memory;
	smq_ks_desk *desk;
	struct ks_group **groups; /* by name */
	size_t group_count, group_room, reviewed_group;
	struct ks_policy *templates; /* KS_TEMPLATES_MAX */
	size_t template_count;
	struct ks_bars bars;       /* in every group */
	struct ks_keys keys, gone; /* registered keys: members without certificates; and such as are not any more */
	struct ks_own_key own_key;
	struct smq_credentials all; /* registered keys, then the credentials of the configuration */
	struct ks_rate *rates;
	struct ks_wait *waits; /* KS_NOTES_MAX */
	size_t wait_count;
	struct ks_note *notes; /* KS_NOTES_MAX */
	size_t note_count;
	struct ks_outs outs, staged;
	uint64_t out_number;
	struct ks_out acked[KS_ACKED_MAX];
	size_t acked_count;
	int64_t acked_at;
	struct ks_reply *replies; /* a ring of KS_REPLIES_MAX */
	size_t reply_first, reply_count;
	struct ks_flight *flights;
	struct ks_early *early;
	size_t early_count;
	struct ks_seen *seen;
	size_t seen_count;
	struct ks_counts counts;
	bool online, settled, restored, stopped;
	int64_t settle_until, timers_at, claim_at, dropped_at, claim_gap_until, out_hold_until, flush_not_before;
	uint8_t instance[16];
	int64_t started_ms;
	struct ks_question questions[KS_QUESTIONS], asked; /* ours, the latest first; the other's, to be answered */
	int64_t verified_until;
	unsigned verified; /* claims in this second */
	/* room for what is being worked on */
	struct smq_credential signer;
	uint8_t request[SMQ_KS_REQUEST_MAX + 64], answer[SMQ_KS_ANSWER_MAX], body[SMQ_KS_ANSWER_MAX];
	uint8_t envelope[SMQ_KS_ANSWER_MAX + 512], document[KS_DOCUMENT_MAX];
};

/* ---- keyserver.c ---- */
struct smq_now ks_now(const struct smq_keyserver *ks);
struct ks_group *ks_group_find(const struct smq_keyserver *ks, smq_span name);
smq_err ks_group_add(struct smq_keyserver *ks, struct ks_group *g);
void ks_tell(struct smq_keyserver *ks, const struct smq_keyserver_event *event);
smq_err ks_bytes_set(struct ks_bytes *b, smq_span value);
static inline smq_span ks_span(const struct ks_bytes *b) { return smq_span_of(b->p, b->len); }

/* ---- keyserver_status.c ---- */
void ks_count(struct smq_keyserver *ks, const struct smq_keyserver_event *e);

/* ---- keyserver_save.c ---- */
/* One transaction of all that is due; then answers, events, and what is to be published. */
void ks_flush(struct smq_keyserver *ks, struct smq_now now);

/* ---- keyserver_policy.c ---- */
/* What was signed, as it was accepted before; group empty: a template as such. */
smq_err ks_policy_set(const struct smq_keyserver *ks, struct ks_policy *p, smq_span signed_bytes, smq_span admin,
		      smq_span group);
void ks_policy_done(struct ks_policy *p);
struct ks_policy *ks_template_for(struct smq_keyserver *ks, smq_span group);
/* An admin's request: makes the group (*ret_group; NULL: a template, or nothing has changed) or replaces its policy. */
smq_err ks_policy_take(struct smq_keyserver *ks, const struct smq_ks_request *request, struct smq_now now,
		       struct ks_group **ret_group);

/* ---- keyserver_keys.c ---- */
smq_err ks_keys_init(struct smq_keyserver *ks);
void ks_keys_done(struct smq_keyserver *ks);
smq_err ks_keys_load(struct smq_keyserver *ks);
/* Within a transaction; then what became of it. */
smq_err ks_keys_save(struct smq_keyserver *ks);
void ks_keys_settle(struct smq_keyserver *ks, bool durable);
/* In force; id: as credentials have it. */
bool ks_key_is_registered(const struct smq_keyserver *ks, const uint8_t id[SMQ_HASH_LEN]);
/* In force, or about to be: whoever has a certificate of this name does not get in by it. */
bool ks_key_has_name(const struct smq_keyserver *ks, smq_span name);
/* What admins ask for. *ret_waits: the answer follows the next transaction; so it does with unregister. */
smq_err ks_key_register(struct smq_keyserver *ks, const struct smq_ks_request *request, struct smq_now now,
			bool *ret_waits, const char **ret_why);
smq_err ks_key_unregister(struct smq_keyserver *ks, smq_span name, struct smq_now now, const char **ret_why);
/* All or none. Those that are new (the answer follows the next transaction), or, with what is wrong in ks->body, those
 * that are refused. */
smq_err ks_keys_register_many(struct smq_keyserver *ks, const struct smq_ks_request *request, struct smq_now now,
			      smq_span ret_names[SMQ_KS_KEYS_MAX], size_t *ret_count, size_t *ret_body_len);
smq_err ks_keys_list(struct smq_keyserver *ks, uint64_t offset, size_t *ret_len); /* into ks->body */

/* ---- keyserver_group.c ---- */
smq_err ks_group_new(struct smq_keyserver *ks, smq_span name, unsigned height, uint64_t epoch, uint64_t next_sender_id,
		     smq_span policy, smq_span admin, struct ks_group **ret_group);
void ks_group_free(struct ks_group *g);
void ks_group_done(struct ks_group *g); /* its contents alone */
smq_err ks_group_make(struct smq_keyserver *ks, smq_span name, smq_span policy, smq_span admin, struct smq_now now,
		      struct ks_group **ret_group);
/* Something is to be saved: at once, or after the policy's batch if an epoch has to follow. */
void ks_group_schedule(struct ks_group *g, bool prompt, struct smq_now now);
int64_t ks_group_due_at(const struct ks_group *g); /* mono ms; INT64_MAX: nothing is to be saved */
smq_err ks_group_join(struct ks_group *g, const struct smq_credential *from, const struct smq_ks_request *request,
		      struct smq_now now, const char **ret_why);
smq_err ks_group_leave(struct ks_group *g, smq_span name, bool expelled, struct smq_now now);
bool ks_barred(const struct ks_bars *bars, const uint8_t credential[SMQ_HASH_LEN]);
smq_err ks_bar(struct ks_bars *bars, const uint8_t credential[SMQ_HASH_LEN], smq_span name);
/* The roles of these that the policy gives to this name. */
unsigned ks_admitted(const struct ks_group *g, smq_span name, unsigned cert_roles, unsigned roles);
void ks_group_timers(struct ks_group *g, struct smq_now now);
/* Asks about members' certificates, from where it stopped, and takes that off the budget. False: it is through. */
bool ks_group_review(struct ks_group *g, unsigned *budget, struct smq_now now);
int64_t ks_group_rotates_at(const struct ks_group *g); /* Unix ms */
struct smq_slot_times ks_slot_times(const struct ks_group *g);
smq_err ks_slots_ready(struct ks_group *g, struct smq_now now);
/* What the broker showed of the group is ahead of us: we are a copy of earlier. */
void ks_group_jump(struct ks_group *g, uint64_t epoch, const uint8_t hash[SMQ_HASH_LEN], struct smq_now now);

/* ---- keyserver_epoch.c ---- */
/* Within a transaction: moves the epoch if that is due, and puts all that changed. */
smq_err ks_group_save(struct ks_group *g, struct smq_now now);

/* ---- keyserver_state.c ---- */
smq_err ks_load(struct smq_keyserver *ks, const char **ret_why);
/* The group as the store has it: what was done since is forgotten. g is gone then, another one stands in its place;
 * a group that was never stored is gone altogether. On failure it stays, and is marked as broken. */
void ks_group_reload(struct ks_group *g, struct smq_now now);
smq_err ks_save_member(struct ks_group *g, const struct smq_keygroup_member *m);
smq_err ks_save_node(struct ks_group *g, unsigned height, uint64_t index);
smq_err ks_save_group(struct ks_group *g);
smq_err ks_save_policy(struct smq_keyserver *ks, const char *name, const struct ks_policy *p, bool is_template);
smq_err ks_save_epoch(struct ks_group *g, const struct ks_epoch *e);
smq_err ks_save_bars(struct smq_keyserver *ks, const char *group, struct ks_bars *bars);
smq_err ks_put(struct ks_group *g, enum smq_ks_item kind, uint64_t a, uint64_t b, smq_span value);
smq_err ks_remove(struct ks_group *g, enum smq_ks_item kind, uint64_t a, uint64_t b);

/* ---- keyserver_answer.c ---- */
void ks_asked(struct smq_keyserver *ks, const struct smq_ks_asked *asked, struct smq_now now);
/* After the transaction: everybody who waited for these groups gets an answer. */
void ks_answer_waits(struct smq_keyserver *ks, smq_err err, struct smq_now now);
bool ks_wait_is_over(const struct ks_wait *w, struct smq_now now);
/* A join whose sender id is another life's already: it gets one of its own with the next transaction. */
bool ks_wait_is_overtaken(const struct ks_wait *w);
void ks_join_overtaken(struct smq_keyserver *ks, struct smq_now now);
void ks_note(struct smq_keyserver *ks, const char *what, const char *who, const char *group, const char *whom,
	     smq_err err);
const char *ks_what_name(enum smq_ks_what what);
const char *ks_what_at(size_t i); /* below KS_WHATS */

/* ---- keyserver_out.c ---- */
/* Within a transaction: this is to be published, once that is committed. */
smq_err ks_out_stage(struct ks_group *g, uint64_t what);
void ks_out_commit(struct smq_keyserver *ks);
void ks_out_rollback(struct smq_keyserver *ks);
smq_err ks_out_push(struct ks_outs *outs, const struct ks_out *out);
void ks_out_pump(struct smq_keyserver *ks);
void ks_out_offline(struct smq_keyserver *ks);
smq_err ks_out_forget_acked(struct smq_keyserver *ks); /* within a transaction */
void ks_reply(struct smq_keyserver *ks, enum smq_ks_topic_kind kind, smq_span name, smq_span payload);
/* All that the broker should have retained of a group. */
smq_err ks_out_everything(struct ks_group *g);
void ks_out_done(struct smq_keyserver *ks);

/* ---- keyserver_claim.c ---- */
void ks_claim(struct smq_keyserver *ks, struct smq_now now);
void ks_claim_input(struct smq_keyserver *ks, smq_span payload, bool retained, struct smq_now now);
/* A manifest that the broker has. */
void ks_manifest_input(struct smq_keyserver *ks, smq_span group, smq_span payload, bool retained, struct smq_now now);

#endif
