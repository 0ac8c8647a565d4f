/* What a broker's deployment consists of: its files, as text, from one checked plan. */
#ifndef SMQ_APP_BROKER_FILES_H
#define SMQ_APP_BROKER_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sealmq/err.h>

/* Who gets a section in the ACL. */
struct smq_broker_member {
	const char *name;
	unsigned roles; /* SMQ_ROLE_ bits of all its certificates */
};

struct smq_broker_plan {
	const char *realm, *control_prefix, *keyex_topic;
	const struct smq_broker_member *members;
	size_t member_count;
	const char *acl_local; /* lines of the user's own, appended; NULL: none */
	const char *place, *topics, *address;
	int port, password_port, backend_port;
	bool nginx, ipv6, crl, log_denials;
	int connections, per_address, message_max, keepalive_max_s;
	unsigned uid, gid;
	int64_t server_not_after_ms;
};

/* Whether it can be deployed as asked: ports, topics that keep clear of the realm's own, a place that fits into unit
 * files. ret_why (why_len bytes): what is wrong. SMQ_ERR_USAGE. */
SMQ_MUST_USE smq_err smq_broker_plan_check(const struct smq_broker_plan *plan, char *ret_why, size_t why_len);

struct smq_broker_file {
	const char *path; /* below the deployment's directory */
	unsigned mode;
	bool nginx; /* only where NGINX is in front */
};
/* The n-th file; NULL after the last. */
const struct smq_broker_file *smq_broker_file(size_t n);
/* Its text, allocated. */
SMQ_MUST_USE smq_err smq_broker_file_text(size_t n, const struct smq_broker_plan *plan, char **ret_text);

/* The ACL, allocated. */
SMQ_MUST_USE smq_err smq_broker_acl_text(const struct smq_broker_plan *plan, char **ret_text);

#endif
