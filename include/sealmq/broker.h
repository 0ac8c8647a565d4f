/*
 * The broker of a realm: a hardened Mosquitto behind NGINX made from the realm, run without a service manager, and
 * looked over for what would hurt (doc/BROKER.md).
 *
 *     struct smq_broker_options o = { .ca = "plant" };
 *     smq_broker_init("broker", &o, &made, &why);
 *
 * *ret_why (may be NULL) says what is wrong, where, and what would be right; valid until the next call in this thread.
 */
#ifndef SEALMQ_BROKER_H
#define SEALMQ_BROKER_H

#include <stdbool.h>

#include <sealmq/ca.h>
#include <sealmq/err.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	SMQ_BROKER_PORT = 8883,
	SMQ_BROKER_CONNECTIONS = 10000,   /* all clients together */
	SMQ_BROKER_PER_ADDRESS = 1024,    /* connections from one address: a whole site may be behind one */
	SMQ_BROKER_MESSAGE_MAX = 1048576, /* bytes of one payload */
	SMQ_BROKER_KEEPALIVE_MAX = 600,   /* seconds */
	SMQ_BROKER_MEMORY_MAX = 536870912 /* bytes that Mosquitto takes for messages */
};

/* ---- making one ---- */

/* Zeroes and NULLs mean the defaults. */
struct smq_broker_options {
	const char *ca;         /* the realm's authority, a directory of smq_ca_init; must be given */
	const char *identity;   /* directory with server.crt, server.key, root.crt; default: CA/members/NAME, which is
				   issued if it is not there */
	const char *name;       /* the broker's name, "broker" */
	const char *const *dns; /* what it is reached under, for a certificate that is issued; default: localhost, */
	size_t dns_count;
	const char *const *ip; /* 127.0.0.1 and ::1 */
	size_t ip_count;
	const char *place;   /* where the directory will lie on the machine that runs it; default: where it is made */
	const char *topics;  /* members publish below TOPICS/NAME and read TOPICS; default: the realm's name */
	const char *address; /* to listen on; default: all */
	int port;            /* for clients with certificates; SMQ_BROKER_PORT */
	int password_port;   /* for clients with passwords; 0: none */
	int backend_port;    /* Mosquitto's own on loopback, behind NGINX; port + 10000 */
	bool no_nginx;       /* Mosquitto listens on port itself */
	int connections, per_address, message_max, keepalive_max_s;
	bool log_denials; /* Mosquitto's debug level: what the ACL refused, and every packet */
};

struct smq_broker_made {
	bool replaced;  /* there was one before: its conf/ and certs/ were exchanged, the rest kept */
	bool issued;    /* the broker's certificate was issued for it */
	size_t members; /* with a section in the ACL */
	int64_t server_not_after_ms;
};

/*
 * Makes DIR: all of it by one rename, or where there is one of ours already (SMQ_ERR_EXISTS: something else) conf/ and
 * certs/ by one exchange each. What is not made by us is never touched: *.local, passwords, data, log, run.
 */
SMQ_MUST_USE smq_err smq_broker_init(const char *dir, const struct smq_broker_options *options,
				     struct smq_broker_made *ret_made, const char **ret_why);

#ifdef __cplusplus
}
#endif
#endif
