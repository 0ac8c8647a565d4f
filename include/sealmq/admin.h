/*
 * What an admin asks of the key server (PROTOCOL.md 7.3): groups and their policies, members, rotation, expulsion.
 *
 *     smq_admin_new(&broker_options, NULL, &admin, &why);      the realm's certificate has the role admin
 *     struct smq_group_policy p = { .group = "telemetry", .filters = f, .filter_count = 1, .publishers = ... };
 *     smq_admin_set_policy(admin, &p, &why);
 *
 * Each call asks and waits for the answer, at most timeout_ms. *ret_why (may be NULL) says what is wrong, in the key
 * server's words where it refused; valid until the next call in this thread.
 */
#ifndef SEALMQ_ADMIN_H
#define SEALMQ_ADMIN_H

#include <stdbool.h>

#include <sealmq/client.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct smq_admin smq_admin;

/* broker: how to get to the broker, and the open realm; both outlive it. keyserver: its name; NULL: whoever has the
 * role. Connects with the first question. */
SMQ_MUST_USE smq_err smq_admin_new(const struct smq_client_options *broker, const char *keyserver, int timeout_ms,
				   smq_admin **ret_admin, const char **ret_why);
void smq_admin_free(smq_admin *a);

/* A policy (PROTOCOL.md 6.5). Zeroes and NULLs take the defaults named here. */
struct smq_group_policy {
	const char *group; /* of a template: a pattern of names */
	uint64_t number;   /* 0: one more than the one in force */
	bool is_template;
	const char *const *filters; /* topic filters, 1 to 16 */
	size_t filter_count;
	const char *mode;                 /* "static" (default), "update", "slotted" */
	uint64_t rotate_s;                /* 0: by hand */
	uint64_t slot_ms;                 /* 10,000 */
	unsigned slot_levels;             /* 16 */
	const char *algorithm;            /* A128GCM */
	const char *proof;                /* "none" (default), "every", "checkpoint" */
	uint64_t proof_messages, proof_s; /* 32 and 2 */
	const char *const *publishers;    /* patterns of names, "role:PATTERN" for another role than member */
	size_t publisher_count;
	const char *const *subscribers;
	size_t subscriber_count;
	const char *const *commanders; /* "WHO=WHOM": patterns of names, WHO as above; nobody commands without */
	size_t commander_count;
	uint64_t batch_ms;      /* 100 */
	uint64_t activation_ms; /* 200 */
	uint64_t grace_ms;      /* 10,000 */
	uint64_t validity_s;    /* 86,400 */
	uint64_t lease_s;       /* 0: until the certificate expires */
	const char *history;    /* "none" (default), "join", or a number of epochs */
	uint64_t members_max;   /* 100,000 */
};

/* Signs the policy with the realm's key and hands it to the key server, which makes the group if there is none.
 * *ret_number (may be NULL): the number it has now. */
SMQ_MUST_USE smq_err smq_admin_set_policy(smq_admin *a, const struct smq_group_policy *policy, uint64_t *ret_number,
					  const char **ret_why);

struct smq_group_info {
	const char *group;
	const char *mode;
	uint64_t epoch, members;
	/* of smq_admin_group alone */
	unsigned height; /* of the key tree */
	uint64_t policy_number;
	int64_t activate_at_ms, expires_ms; /* of the manifest; Unix time */
	struct smq_group_policy policy;     /* checked: an admin of this realm has signed it */
};
/* One group, valid until the next call (SMQ_ERR_NOT_FOUND); then all of them, each valid until take returns. */
SMQ_MUST_USE smq_err smq_admin_group(smq_admin *a, const char *group, struct smq_group_info *ret_info,
				     const char **ret_why);
SMQ_MUST_USE smq_err smq_admin_groups(smq_admin *a, void *self,
				      void (*take)(void *self, const struct smq_group_info *info),
				      const char **ret_why);

struct smq_group_member_info {
	const char *name;
	uint64_t sender_id;
	bool publishes, subscribes;
	bool by_key;               /* by a registered key, without a certificate */
	int64_t from_ms, until_ms; /* Unix time; INT64_MAX: no end */
};
/* Each member once; what take is given is valid until it returns. */
SMQ_MUST_USE smq_err smq_admin_members(smq_admin *a, const char *group, void *self,
				       void (*take)(void *self, const struct smq_group_member_info *member),
				       const char **ret_why);

/* A new epoch now. */
SMQ_MUST_USE smq_err smq_admin_rotate(smq_admin *a, const char *group, const char **ret_why);
/* group NULL: from every group. Whoever is expelled already stays so: SMQ_OK, and *ret_why says it; else it is empty.
 */
SMQ_MUST_USE smq_err smq_admin_expel(smq_admin *a, const char *group, const char *name, const char **ret_why);

/*
 * Registered keys: members too small for certificates (PROTOCOL.md 7.8). key_file: a public key of P-256 in PEM, as
 * `sealmq ca raw` and `openssl pkey -pubout` write it. SMQ_ERR_EXISTS: name or key are taken, *ret_why says by what.
 * Unregistering expels from every group, now.
 */
SMQ_MUST_USE smq_err smq_admin_register(smq_admin *a, const char *name, const char *key_file, const char **ret_why);
/*
 * Many at a time: a CSV file whose first line is `member,key`; then a row each: a name, and its public key, either the
 * name of a PEM file (from where the CSV file lies) or the inside of such a file, in one line of base64. At most
 * SMQ_REGISTER_MAX rows. All or none: each row that is wrong is told, with its line, and then nothing is registered
 * (SMQ_ERR_DATA). The key server takes up to 100 of them in one transaction; it is asked about all of them before the
 * first ones are registered. What is registered already, as it is here, is no mistake: after a loss of the connection
 * the same file can be handed in again.
 */
#define SMQ_REGISTER_MAX 100000
SMQ_MUST_USE smq_err smq_admin_register_file(smq_admin *a, const char *csv_file, void *self,
					     void (*bad_row)(void *self, uint64_t line, const char *why),
					     uint64_t *ret_count, const char **ret_why);
SMQ_MUST_USE smq_err smq_admin_unregister(smq_admin *a, const char *name, const char **ret_why);

struct smq_registered_info {
	const char *name;
	const char *kid;  /* hex */
	int64_t since_ms; /* Unix time */
};
/* Each of them, by name; what take is given is valid until it returns. */
SMQ_MUST_USE smq_err smq_admin_registered(smq_admin *a, void *self,
					  void (*take)(void *self, const struct smq_registered_info *key),
					  const char **ret_why);

#ifdef __cplusplus
}
#endif
#endif
