/*
 * A key server in a small world: a store in memory that can fail or die at any call, a broker that retains, askers
 * with real keys, and time that is moved by hand.
 */
#ifndef SMQ_TESTS_KEYSERVER_RIG_H
#define SMQ_TESTS_KEYSERVER_RIG_H

#include <stdbool.h>

#include "app/keyserver.h"
#include "core/keytree.h"
#include "core/ks_asker.h"
#include "core/manifest_chain.h"
#include "wire/ks_request.h"
#include "wire/ks_topics.h"

enum { RIG_PEERS = 90, RIG_SERVERS = 2, RIG_KEYSERVER = 0, RIG_RIVAL = 1, RIG_ADMIN = 2, RIG_FIRST = 3 };

struct rig_item {
	enum smq_ks_item kind;
	char group[65];
	uint64_t a, b;
	uint8_t *bytes;
	size_t len;
};

struct rig_items {
	struct rig_item *items;
	size_t count, room;
};

/* What survives the key server. */
struct rig_store {
	struct rig_items durable, working;
	bool open, dead;
	uint64_t calls, die_at;    /* the n-th call from now on kills it; 0: none */
	uint64_t commit_calls[32]; /* which calls were commits */
	size_t commit_call_count;
	bool dies_after_commit;  /* what it is killed in has become durable nevertheless */
	smq_err fail_commit;     /* commits fail, and nothing has changed */
	unsigned commits, lines; /* of the audit log */
	char last_line[200];
};

struct rig_message {
	char *topic;
	uint8_t *bytes;
	size_t len;
	int from; /* server's index; -1: an asker */
	bool retain;
	uint64_t id;
};

struct rig_peer {
	char name[65];
	struct smq_own_credential own;
	struct smq_credential credential;
	uint8_t id_cred[16], cred[160];
	bool revoked, unknown;
	bool raw, knows_server; /* a registered key; whether it knows the key server's kid */
	struct smq_credentials credentials;
	struct rig *rig;
	/* as an asker */
	struct smq_ks_asker_config config;
	struct smq_ks_asker asker;
	uint8_t boot_id[16];
	uint8_t request[SMQ_KS_REQUEST_MAX];
	size_t request_len;
	bool answered;
	smq_err status;
	char text[SMQ_KS_TEXT_MAX + 1];
	uint8_t *body; /* of the last answer */
	size_t body_len;
	unsigned answers;
	/* as a member */
	struct smq_ks_grant grant;
	struct smq_keypath path;
	struct smq_manifest_chain chain;
	struct smq_tree_key secret; /* of the epoch that it followed to */
};

struct rig_server {
	struct rig *rig;
	int index;
	struct smq_keyserver *ks;
	bool up;
	uint64_t published;
	unsigned epochs, jumps, rivals, dropped;
	smq_err drop; /* the last reason */
	char drop_who[65], asked_what[16], asked_whom[65];
	uint64_t last_messages, last_bytes;
};

/* Something that may never be published with another content. */
struct rig_fact {
	uint64_t a, b, c;
	uint8_t hash[SMQ_HASH_LEN];
};

struct rig {
	struct rig_peer *peers;
	int peer_count;
	struct rig_fact *facts;
	size_t fact_count, fact_room;
	struct smq_credentials credentials;
	struct rig_store stores[RIG_SERVERS];
	struct rig_server servers[RIG_SERVERS];
	struct rig_message *queue;
	size_t first, count, room;
	struct rig_message *retained;
	size_t retained_count, retained_room;
	bool broker_deaf;                                           /* nothing is retained */
	unsigned claim_deaf;                                        /* a bit for each server that hears no claims */
	uint32_t rate;                                              /* requests_per_min */
	uint64_t sent;                                              /* payloads of the key server */
	struct smq_ks_store (*store_of)(struct rig *r, int server); /* NULL: the one in memory */
	bool broker_stuck;                                          /* nothing is taken from the key server */
	bool retained_stuck;                                        /* nothing that is to be retained */
	const struct smq_crypto *crypto;                            /* of key servers that start; NULL: OpenSSL's */
	struct {
		size_t body, envelope, topic; /* bytes */
	} wire[SMQ_KEYEX_ANSWER + 1];         /* the last message of each kind of envelope */
	smq_err last_refusal;                 /* of new */
	int hold; /* the next envelope of this kind stays on its way until rig_release; 0: none */
	struct rig_message held;
	/* Others at the broker: what they hear, and their turn (true: they did something). NULL: nobody. */
	void *others;
	void (*heard)(void *others, const char *topic, smq_span payload);
	bool (*turn)(void *others);
};

extern struct smq_now rig_time;

/* peers: RIG_PEERS at most. */
struct rig *rig_new(int peers);
/* The store as it is now, and back to that, as from a backup; restored: with the mark of a restore. */
void rig_backup(struct rig *r, struct rig_items *ret_items);
void rig_restore(struct rig *r, const struct rig_items *items, bool restored);
void rig_items_done(struct rig_items *items);
void rig_free(struct rig *r);
bool rig_start(struct rig *r, int server);
void rig_stop(struct rig *r, int server); /* as a kill does */
void rig_restart(struct rig *r, int server);
/* Gives a peer a raw key instead of what it had: the seed's. */
void rig_make_raw(struct rig *r, int peer, const uint8_t secret[32]);
smq_err rig_register(struct rig *r, int peer);
smq_err rig_unregister(struct rig *r, int peer);
/* Publishes as somebody who is not the key server. */
void rig_publish(struct rig *r, const char *topic, smq_span payload);
void rig_forget_retained(struct rig *r); /* the broker's memory is gone */
void rig_release(struct rig *r);
/* Delivers all that is under way, and does what is due now. */
void rig_settle(struct rig *r);
void rig_pass(struct rig *r, int64_t ms, int64_t step_ms);

/* A policy that admits everybody; change it, then rig_set_policy as the admin asks for it. */
struct smq_policy rig_policy(const char *group, enum smq_policy_mode mode);
smq_err rig_set_policy(struct rig *r, const struct smq_policy *policy);
/* The signed document of a policy, by whom. */
size_t rig_sign_policy(const struct rig *r, const struct smq_policy *policy, int by, smq_mspan room);

struct smq_ks_request rig_request(enum smq_ks_what what, const char *group);
struct smq_ks_request rig_join_request(const struct rig *r, int peer, const char *group);
/* Begins; the outcome is in the peer when the answer has come. */
void rig_ask(struct rig *r, int peer, const struct smq_ks_request *request);
/* Asks and waits for the answer; SMQ_ERR_TIMEOUT: none came within two minutes. */
smq_err rig_asked(struct rig *r, int peer, const struct smq_ks_request *request);
smq_err rig_join(struct rig *r, int peer, const char *group);
smq_err rig_leave(struct rig *r, int peer, const char *group);
smq_err rig_expel(struct rig *r, int peer, const char *group);
/* Takes the answer of a join for its own; rig_join has done so. */
void rig_take_grant(struct rig *r, int peer, const char *group);

/* A retained message; NULL: none. */
const struct rig_message *rig_retained(const struct rig *r, const struct smq_ks_topic *topic);
/* Follows what is retained to the newest epoch. */
smq_err rig_follow(struct rig *r, int peer, const char *group);
/* The epoch that the retained manifest states; 0: there is none. */
uint64_t rig_epoch(const struct rig *r, const char *group);
/* Whether this peer, following what is retained, and that one hold the same epoch secret. */
bool rig_same_keys(struct rig *r, int a, int b, const char *group);

#endif
