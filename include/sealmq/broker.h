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
#include <sealmq/confine.h>
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

/* What is behind the port that clients come to. */
enum smq_broker_profile {
	SMQ_BROKER_NGINX,      /* NGINX, and one Mosquitto behind it */
	SMQ_BROKER_SINGLE,     /* one Mosquitto, which listens itself */
	SMQ_BROKER_MOSQUITTOS, /* NGINX, and three Mosquittos that are linked to each other */
	SMQ_BROKER_NATS,       /* NGINX, and a cluster of three NATS with JetStream */
	SMQ_BROKER_RABBITMQ    /* NGINX, and a cluster of three RabbitMQ */
};

/* How NGINX chooses among several. */
enum smq_broker_balance {
	SMQ_BROKER_LEAST, /* the one with the fewest connections */
	SMQ_BROKER_HASH   /* one and the same for an address, as long as it is there */
};

/* Connections on the members' port that are not MQTT's, by what their first record says. */
struct smq_broker_route {
	const char *name; /* a server name; NULL: those who ask for HTTP (ALPN h2, http/1.1) */
	const char *to;   /* ADDRESS:PORT */
};
enum { SMQ_BROKER_ROUTES_MAX = 16 };

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
	bool no_nginx;       /* the same as SMQ_BROKER_SINGLE */
	enum smq_broker_profile profile;
	enum smq_broker_balance balance;
	const struct smq_broker_route *routes;
	size_t route_count;
	bool terminate; /* TLS ends at NGINX, which writes the certificate's name into CONNECT (njs) */
	int wss_port;   /* secure WebSockets for browsers, names and passwords; 0: none */
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

/* ---- running one ---- */

enum smq_broker_event_kind {
	SMQ_BROKER_STARTED,  /* a program, with its pid */
	SMQ_BROKER_READY,    /* a TLS handshake was answered on every port; the ports are set */
	SMQ_BROKER_ENDED,    /* a program, by itself; it is started again after again_ms */
	SMQ_BROKER_UNWELL,   /* a program that runs and does not answer: it is ended and started again */
	SMQ_BROKER_RELOADED, /* conf/ or certs/ was exchanged, and the programs were told */
	SMQ_BROKER_REVOKED,  /* there are new revocations: what ends TLS starts anew, so that no connection of before
				stays */
	SMQ_BROKER_TROUBLE,  /* something could not be done; text says what. It goes on */
	SMQ_BROKER_STOPPED   /* a program, because it was asked to */
};

struct smq_broker_event {
	enum smq_broker_event_kind kind;
	const char *program; /* "mosquitto", "nats-2", "nginx"; "" if it is about all */
	int pid, status;     /* status: as from waitpid */
	int port, password_port, wss_port;
	int64_t again_ms;
	const char *text; /* the last thing it said; escaped; "" if nothing */
};

struct smq_broker_run_options {
	const char *ca;     /* follow this authority's crl.pem; NULL: certs/crl.pem as it is */
	const char *member; /* a member's realm directory: take the lists over MQTT, as that member; NULL: do not */
	int port, password_port; /* instead of the configured ones; 0: as configured */
	bool free_ports;         /* free ones on loopback for all that were not given */
	int health_every_s;      /* 0: 30 */
	int http_port;           /* /metrics and /healthz on 127.0.0.1; 0: none */
	int stop_fd;             /* it ends once this is readable; -1: never */
	bool confine;            /* this process, and the programs with it, give up what a broker does not need */
	void *self;
	void (*on_event)(void *self, const struct smq_broker_event *event); /* may be NULL */
	/* confine: what came of it; how is NULL where nothing could be given up. May be NULL. */
	void (*on_confined)(void *self, const struct smq_confined *how);
};

/*
 * Runs the broker or brokers, and NGINX where it is part of the deployment, as children until stop_fd is readable:
 * looks after their health, starts them again with a growing pause, reloads what was exchanged, and ends them by pid.
 * They end with us even if we are killed. Their configuration with the ports in force is written to run/.
 * SMQ_ERR_LOCKED: it runs already; _NOT_FOUND: no deployment, or a program is not installed; _UNSUPPORTED: a program
 * did not come up at all, *ret_why has what it said.
 */
SMQ_MUST_USE smq_err smq_broker_run(const char *dir, const struct smq_broker_run_options *options,
				    const char **ret_why);

/* ---- checking one ---- */

enum smq_severity {
	SMQ_SEVERITY_LOW = 1,
	SMQ_SEVERITY_MEDIUM,
	SMQ_SEVERITY_HIGH,
	SMQ_SEVERITY_CRITICAL /* somebody who should not can, today */
};
enum { SMQ_SEVERITIES = SMQ_SEVERITY_CRITICAL + 1 };

const char *smq_severity_name(enum smq_severity severity); /* "high" */

struct smq_finding {
	enum smq_severity severity;
	const char *rule;   /* a stable name, "anonymous" */
	const char *file;   /* or address, or package */
	int line;           /* 0: about all of it */
	const char *reason; /* escaped */
	const char *write;  /* the line to write, or the command to run */
};

struct smq_broker_check_options {
	int timeout_ms; /* of one connection to an address; 0: 5000 */
	void *self;
	void (*on_finding)(void *self, const struct smq_finding *finding);
};

struct smq_broker_checked {
	size_t counts[SMQ_SEVERITIES];
	enum smq_severity worst; /* 0: nothing was found */
};

/*
 * Looks over TARGET: a deployment, a directory with mosquitto.conf (and nginx.conf), a mosquitto.conf, or a running
 * broker as HOST, HOST:PORT or [ADDRESS]:PORT. It reads and changes nothing; to an address it makes four connections at
 * most, as nobody, one after the other. SMQ_ERR_NOT_FOUND, _PERMISSION, and what connecting can give.
 */
SMQ_MUST_USE smq_err smq_broker_check(const char *target, const struct smq_broker_check_options *options,
				      struct smq_broker_checked *ret_checked, const char **ret_why);

#ifdef __cplusplus
}
#endif
#endif
