/*
 * What the key server answers (PROTOCOL.md 7.4), in the clear; it travels sealed (7.2).
 *
 *     [ 1, status, text : tstr, body ]      status: 0, or the number of an error (sealmq/err.h); then body is null
 *
 *     join     [ sender id, leaf, roles, from_ms, until_ms, epoch, secret : bstr .size 32, manifest : bstr,
 *                policy : bstr, admin : bstr, [ + [ version, refreshed, key : bstr .size 32 ] ],
 *                [ * [ tree, seeds ] ], [ * [ epoch, secret : bstr .size 32, manifest hash : bstr .size 32 ] ] ]
 *     fetch    [ manifest : bstr, policy : bstr, admin : bstr, [ * node : bstr ], [ * card : bstr ] ]
 *     list     [ next / null, [ * [ group, mode, epoch, members ] ] ]
 *     show     [ group, mode, epoch, members, height, policy number, activate_at_ms, expires_ms, policy : bstr,
 *                admin : bstr ]
 *     members  [ next / null, [ * [ name, sender id, roles, from_ms, until_ms / null ] ] ]
 *              roles here has bit 4 where the member has a registered key and no certificate (7.8)
 *     registered [ next / null, [ * [ name, kid : bstr .size 4, since_ms ] ] ]
 *     register-many [ * [ index, text ] ]   which of the keys are refused, and why; then none is registered
 *     others   null
 *
 * Secrets of a join answer are in struct smq_ks_grant: wipe it.
 */
#ifndef SMQ_WIRE_KS_ANSWER_H
#define SMQ_WIRE_KS_ANSWER_H

#include "wire/fields.h"
#include "wire/ks_request.h"
#include "wire/policy.h"
#include "wire/registered_key.h"
#include "wire/sealed.h"
#include "wire/slot_seeds.h"
#include "wire/tree_node.h"

enum {
	SMQ_KS_HISTORY_MAX = SMQ_POLICY_HISTORY_MAX, /* passed epochs in one answer */
	SMQ_KS_TREES_MAX = 3, /* slot trees in one answer: the present one, and what a renewal needs */
	SMQ_KS_PAGE = 64,     /* entries of list, members and registered in one answer */
	SMQ_KS_BY_KEY = 4,    /* in the roles of members */
	SMQ_KS_TEXT_MAX = 200,
	SMQ_KS_ANSWER_MAX = 48 * 1024
};

/* There is no further page. */
#define SMQ_KS_NO_MORE UINT64_MAX

struct smq_ks_answer {
	smq_err status;
	smq_span text; /* for people; UTF-8, may be empty */
	smq_span body; /* one encoded item, `null` where there is none */
};

SMQ_MUST_USE smq_err smq_ks_answer_encode(const struct smq_ks_answer *answer, smq_mspan room, size_t *ret_len);
SMQ_MUST_USE smq_err smq_ks_answer_decode(smq_span bytes, struct smq_ks_answer *ret_answer);

/* The body of a join answer. The spans point into the bytes. */
struct smq_ks_grant {
	uint64_t sender_id, leaf;
	unsigned roles;
	int64_t from_ms, until_ms;
	uint64_t epoch;
	uint8_t secret[32]; /* of that epoch */
	smq_span manifest;  /* signed; of that epoch */
	smq_span policy;    /* signed */
	smq_span admin;     /* ID_CRED_x of its signer, by value */
	size_t path_len;    /* height + 1, from the leaf to the root */
	struct {
		uint64_t version, refreshed;
		uint8_t key[SMQ_TREE_KEY_LEN];
	} path[SMQ_TREE_HEIGHT_MAX + 1];
	size_t tree_count;
	struct {
		uint64_t tree;
		smq_span seeds; /* as smq_slot_seeds_encode writes them */
	} trees[SMQ_KS_TREES_MAX];
	size_t history_count; /* rising epochs, all below `epoch` */
	struct {
		uint64_t epoch;
		uint8_t secret[32];
		uint8_t manifest[SMQ_HASH_LEN];
	} history[SMQ_KS_HISTORY_MAX];
};
SMQ_MUST_USE smq_err smq_ks_grant_encode(const struct smq_ks_grant *grant, smq_mspan room, size_t *ret_len);
SMQ_MUST_USE smq_err smq_ks_grant_decode(smq_span body, struct smq_ks_grant *ret_grant);

struct smq_ks_fetched {
	smq_span manifest, policy, admin;
	size_t node_count;
	smq_span nodes[SMQ_TREE_HEIGHT_MAX];
	size_t card_count;
	smq_span cards[SMQ_KS_FETCH_SENDERS_MAX];
};
SMQ_MUST_USE smq_err smq_ks_fetched_encode(const struct smq_ks_fetched *fetched, smq_mspan room, size_t *ret_len);
SMQ_MUST_USE smq_err smq_ks_fetched_decode(smq_span body, struct smq_ks_fetched *ret_fetched);

/* A group as `list` and `show` tell of it; list fills the first four alone. */
struct smq_ks_group_line {
	smq_span group;
	enum smq_policy_mode mode;
	uint64_t epoch, members;
	unsigned height;
	uint64_t policy_number;
	int64_t activate_at_ms, expires_ms;
	smq_span policy; /* signed */
	smq_span admin;  /* ID_CRED_x of its signer, by value */
};
struct smq_ks_member_line {
	smq_span name;
	uint64_t sender_id;
	unsigned roles;
	int64_t from_ms, until_ms; /* SMQ_NO_END: null */
};
/* Pages. next: the offset to ask for next, SMQ_KS_NO_MORE (null): that was all. */
SMQ_MUST_USE smq_err smq_ks_list_encode(const struct smq_ks_group_line *lines, size_t count, uint64_t next,
					smq_mspan room, size_t *ret_len);
SMQ_MUST_USE smq_err smq_ks_list_decode(smq_span body, struct smq_ks_group_line ret_lines[SMQ_KS_PAGE],
					size_t *ret_count, uint64_t *ret_next);
SMQ_MUST_USE smq_err smq_ks_show_encode(const struct smq_ks_group_line *line, smq_mspan room, size_t *ret_len);
SMQ_MUST_USE smq_err smq_ks_show_decode(smq_span body, struct smq_ks_group_line *ret_line);
SMQ_MUST_USE smq_err smq_ks_members_encode(const struct smq_ks_member_line *lines, size_t count, uint64_t next,
					   smq_mspan room, size_t *ret_len);
SMQ_MUST_USE smq_err smq_ks_members_decode(smq_span body, struct smq_ks_member_line ret_lines[SMQ_KS_PAGE],
					   size_t *ret_count, uint64_t *ret_next);

struct smq_ks_key_line {
	smq_span name;
	uint8_t kid[SMQ_KID_LEN];
	int64_t since_ms; /* Unix time */
};
SMQ_MUST_USE smq_err smq_ks_registered_encode(const struct smq_ks_key_line *lines, size_t count, uint64_t next,
					      smq_mspan room, size_t *ret_len);
SMQ_MUST_USE smq_err smq_ks_registered_decode(smq_span body, struct smq_ks_key_line ret_lines[SMQ_KS_PAGE],
					      size_t *ret_count, uint64_t *ret_next);

/* What is wrong with one of many keys. */
struct smq_ks_bad_key {
	uint64_t index;
	smq_span text;
};
SMQ_MUST_USE smq_err smq_ks_bad_keys_encode(const struct smq_ks_bad_key *bad, size_t count, smq_mspan room,
					    size_t *ret_len);
SMQ_MUST_USE smq_err smq_ks_bad_keys_decode(smq_span body, struct smq_ks_bad_key ret_bad[SMQ_KS_KEYS_MAX],
					    size_t *ret_count);

#endif
