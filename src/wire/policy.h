/*
 * A group's policy (PROTOCOL.md 6.5): its rules, as an admin signs them.
 *
 *     [ 1, realm, group, number, template, [ + filter ], mode, rotate_s, slots, algorithm, proof, [ * publisher ],
 *       [ * subscriber ], batch_ms, activation_ms, grace_ms, validity_s, lease_s, history, members, issued_s,
 *       ? [ + commander ] ]
 *
 *     slots = null / [ slot_ms, levels ]      proof = [ 0 / 1 / 2, k, seconds ]      history = [ 0 / 1 / 2, k ]
 *     publisher, subscriber = [ name pattern, roles ]      commander = [ name pattern, roles, pattern of whom ]
 */
#ifndef SMQ_WIRE_POLICY_H
#define SMQ_WIRE_POLICY_H

#include <stdbool.h>

#include <sealmq/credential.h>

/* Every bound of the document, with its unit. */
enum {
	SMQ_POLICY_FILTERS_MAX = 16,
	SMQ_POLICY_FILTER_MAX = 255, /* bytes */
	SMQ_POLICY_RULES_MAX = 32,   /* publishers, and as many subscribers */
	SMQ_POLICY_PATTERN_MAX = 64, /* bytes */
	SMQ_POLICY_COMMANDERS_MAX = 16,
	SMQ_POLICY_MAX = 11264,      /* bytes of the document; none that keeps to the rest is longer */
	SMQ_POLICY_SLOT_MIN_MS = 100,
	SMQ_POLICY_SLOT_MAX_MS = 24 * 3600 * 1000,
	SMQ_POLICY_BATCH_MAX_MS = 60 * 1000,
	SMQ_POLICY_ACTIVATION_MAX_MS = 3600 * 1000,
	SMQ_POLICY_GRACE_MAX_MS = 24 * 3600 * 1000,
	SMQ_POLICY_SPAN_MAX_S = 10 * 366 * 24 * 3600, /* rotation, validity, lease */
	SMQ_POLICY_CHECKPOINT_MAX = 1024,             /* messages under one signature */
	SMQ_POLICY_CHECKPOINT_MAX_S = 3600,
	SMQ_POLICY_HISTORY_MAX = 64,     /* passed epochs: as many as a grant carries (wire/ks_answer.h) */
	SMQ_POLICY_MEMBERS_MAX = 1 << 24 /* a key tree holds no more */
};

enum smq_policy_mode { SMQ_MODE_STATIC, SMQ_MODE_UPDATE, SMQ_MODE_SLOTTED };
enum smq_policy_proof { SMQ_PROOF_NONE, SMQ_PROOF_EVERY, SMQ_PROOF_CHECKPOINT };
enum smq_policy_history { SMQ_HISTORY_NONE, SMQ_HISTORY_JOIN, SMQ_HISTORY_LAST };

/* Whoever's name fits the pattern ('*' any run, '?' one character) and who has one of the roles; 0: any. */
struct smq_policy_rule {
	smq_span pattern;
	unsigned roles; /* enum smq_role bits */
};

/* Who may command whom: whoever fits as a rule may, those whose names fit the pattern. */
struct smq_policy_commander {
	struct smq_policy_rule who;
	smq_span whom;
};

/* The spans point into the document. */
struct smq_policy {
	smq_span realm;
	smq_span group;      /* of a template: the pattern of the names of groups that it may be for */
	uint64_t number;     /* from 1; it only grows */
	bool is_template;    /* in its filters a level "{group}" stands for the group's name */
	size_t filter_count; /* from 1 */
	smq_span filters[SMQ_POLICY_FILTERS_MAX];
	enum smq_policy_mode mode;
	uint64_t rotate_s;    /* 0: by hand */
	uint64_t slot_ms;     /* slotted groups; 0 otherwise */
	unsigned slot_levels; /* likewise; from 1 */
	const struct smq_aead_alg *alg;
	enum smq_policy_proof proof;
	uint64_t proof_messages, proof_s; /* of a checkpoint; 0 otherwise */
	size_t publisher_count, subscriber_count;
	struct smq_policy_rule publishers[SMQ_POLICY_RULES_MAX], subscribers[SMQ_POLICY_RULES_MAX];
	uint64_t batch_ms;      /* joins and leaves within it are one epoch */
	uint64_t activation_ms; /* from publishing an epoch to its use */
	uint64_t grace_ms;      /* for which a passed epoch still opens */
	uint64_t validity_s;    /* of a manifest, from 1: how long members go on without a key server */
	uint64_t lease_s;       /* the longest a join is granted for; 0: as long as the certificate is valid */
	enum smq_policy_history history;
	uint64_t history_epochs; /* of SMQ_HISTORY_LAST; 0 otherwise */
	uint64_t members_max;    /* from 1 */
	uint64_t issued_s;       /* Unix time; it informs only */
	size_t commander_count;
	struct smq_policy_commander commanders[SMQ_POLICY_COMMANDERS_MAX];
};

/* SMQ_ERR_USAGE: what could not be decoded again. */
SMQ_MUST_USE smq_err smq_policy_encode(const struct smq_policy *policy, smq_mspan room, size_t *ret_len);
/* SMQ_ERR_NAME, SMQ_ERR_TOPIC, SMQ_ERR_ALGORITHM, SMQ_ERR_VERSION, SMQ_ERR_FULL (too many), SMQ_ERR_MALFORMED. */
SMQ_MUST_USE smq_err smq_policy_decode(smq_span bytes, struct smq_policy *ret_policy);

#endif
