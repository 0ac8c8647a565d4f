/* What a broker's deployment consists of: its files, as text, from one checked plan. */
#ifndef SMQ_APP_BROKER_FILES_H
#define SMQ_APP_BROKER_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sealmq/broker.h>
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
	enum smq_broker_profile profile;
	enum smq_broker_balance balance;
	const char *link_name;   /* whom the brokers of a mesh are to each other; NULL: there is one broker */
	const char *link_secret; /* what the nodes of a cluster know each other by; "": none is needed */
	const struct smq_broker_route *routes;
	size_t route_count;
	int port, password_port, backend_port;
	int wss_port;
	bool terminate; /* TLS ends at NGINX */
	bool nginx, ipv6, crl, log_denials;
	int connections, per_address, message_max, keepalive_max_s;
	unsigned uid, gid;
	int64_t server_not_after_ms;
};

/* Whether it can be deployed as asked: ports, topics that keep clear of the realm's own, a place that fits into unit
 * files. ret_why (why_len bytes): what is wrong. SMQ_ERR_USAGE. */
SMQ_MUST_USE smq_err smq_broker_plan_check(const struct smq_broker_plan *plan, char *ret_why, size_t why_len);

/* A broker, three of the same engine, or one. */
enum { SMQ_BROKER_NODES = 3 };
unsigned smq_broker_nodes(const struct smq_broker_plan *plan);

/* Ports on loopback, behind backend_port. node: 1 to 3; 1 where there is one. */
int smq_broker_port_members(const struct smq_broker_plan *plan, unsigned node);
int smq_broker_port_passwords(const struct smq_broker_plan *plan, unsigned node);
int smq_broker_port_link(const struct smq_broker_plan *plan, unsigned node);
int smq_broker_port_names(const struct smq_broker_plan *plan); /* Erlang's port mapper */
int smq_broker_port_web(const struct smq_broker_plan *plan);   /* Mosquitto's WebSockets */

struct smq_broker_file {
	const char *path; /* below the deployment's directory */
	unsigned mode;
};
/* The n-th file; NULL after the last. */
const struct smq_broker_file *smq_broker_file(size_t n);
/* Whether this deployment has it. */
bool smq_broker_file_wanted(size_t n, const struct smq_broker_plan *plan);
/* Its text, allocated. */
SMQ_MUST_USE smq_err smq_broker_file_text(size_t n, const struct smq_broker_plan *plan, char **ret_text);

#endif
