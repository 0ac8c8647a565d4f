/*
 * A key server's group in one process: a broker with retained messages that can forget, a key server made of
 * core/keygroup and core/ks_desk, and members. Virtual time; the identities are the small world's.
 */
#ifndef SMQ_TESTS_GROUP_SIM_H
#define SMQ_TESTS_GROUP_SIM_H

#include "core/group_member.h"
#include "core/keygroup.h"
#include "core/ks_desk.h"
#include "core/manifest_chain.h"
#include "core/slots.h"
#include "world.h"

enum { SIM_SERVER = 0, SIM_ADMIN = 5, SIM_MEMBERS = 5 /* 1 to 4 are members */, SIM_RETAINED = 256, SIM_ROOM = 1024 };

struct sim_retained {
	char topic[SMQ_KS_TOPIC_MAX];
	uint8_t *bytes;
	size_t len;
};

struct sim_member {
	void *memory;
	smq_group_member *m;
	bool connected;
	char *subscribed[64];
	uint8_t disk[SMQ_GROUP_STATE_MAX];
	size_t disk_len;
	bool disk_fails;
	struct smq_group_keep keep;
	unsigned notes[SMQ_GROUP_SENDER + 1];
	struct smq_group_note last;
	unsigned sent; /* envelopes */
};

struct sim {
	struct world world;
	struct sim_member members[SIM_MEMBERS];
	/* broker */
	struct sim_retained retained[SIM_RETAINED];
	bool forgets; /* keeps nothing */
	bool drops_nodes, drops_cards;
	/* key server */
	bool server_down;
	void *desk_memory, *group_memory;
	smq_ks_desk *desk;
	struct smq_tree_scope scope;
	smq_keygroup *group;
	struct smq_policy policy;
	uint8_t policy_signed[SMQ_POLICY_MAX];
	size_t policy_len;
	struct smq_policy_mark mark;
	struct smq_manifest manifest;
	uint8_t manifest_signed[1024], manifest_hash[SMQ_HASH_LEN];
	size_t manifest_len;
	struct smq_slot_tree tree;
	uint64_t expelled; /* bit per member */
	struct {
		uint64_t epoch;
		uint8_t secret[32], manifest[SMQ_HASH_LEN];
	} history[64];
	size_t history_count;
	struct smq_group_member_config config; /* for sim_up */
};

struct sim_message {
	const char *topic;
	uint8_t bytes[SIM_ROOM];
	size_t len;
};

void sim_init(struct sim *s, enum smq_policy_mode mode);
void sim_done(struct sim *s);
/* The same policy with what the caller changed in s->policy, one number higher, published and then in force. */
void sim_policy(struct sim *s);
void sim_epoch(struct sim *s);
void sim_expel(struct sim *s, int i);
void sim_publish(struct sim *s, const char *topic, smq_span payload, bool retain);
struct sim_retained *sim_find(struct sim *s, const char *topic);

void sim_up(struct sim *s, int i); /* with what is on its disk */
void sim_kill(struct sim *s, int i);
void sim_disconnect(struct sim *s, int i);
void sim_connect(struct sim *s, int i);
void sim_settle(struct sim *s);
void sim_pass(struct sim *s, int64_t ms);

struct sim_message sim_sealed(struct sim *s, int from, const char *text);
smq_err sim_try_seal(struct sim *s, int from, const char *topic, struct sim_message *ret_message);
/* Until it opens or is refused: what may open later is tried again for three seconds. */
smq_err sim_opened(struct sim *s, int by, const struct sim_message *message);
smq_err sim_open_now(struct sim *s, int by, const struct sim_message *message);

#endif
