/*
 * Enrolment over the network: one-time tokens, and a server that gives certificates for them (RFC 7030, EST: /cacerts,
 * /simpleenroll, /simplereenroll over TLS 1.3).
 *
 *     smq_ca_token("plant", &(struct smq_ca_token_options){ .name = "fridge-07" }, token, &why);   tell it the device
 *     smq_ca_server_new(&options, &server, &why);
 *     while (!stopped)
 *             err = smq_ca_server_step(server, 1000);
 *
 * A device makes a key and a request (`sealmq ca csr`, or any EST client), and proves with the token, as the password
 * of HTTP's basic authentication, that it may have the name. Later it renews with the certificate it has.
 */
#ifndef SEALMQ_ENROL_H
#define SEALMQ_ENROL_H

#include <sealmq/confine.h>
#include <sealmq/ca.h>
#include <sealmq/client.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { SMQ_CA_TOKEN_LEN = 32, SMQ_CA_TOKEN_HOURS = 24, SMQ_CA_ENROL_PORT = 8443 };

struct smq_ca_token_options {
	const char *name;
	unsigned roles; /* 0: SMQ_ROLE_MEMBER; no broker's */
	int days;       /* of the certificate; 0: SMQ_CA_MEMBER_DAYS */
	int hours;      /* how long the token is good; 0: SMQ_CA_TOKEN_HOURS */
	bool reissue;   /* although a certificate of this name is still valid */
};

/* Makes a token, which replaces an unused one of this name. Only its hash is kept. */
SMQ_MUST_USE smq_err smq_ca_token(const char *dir, const struct smq_ca_token_options *options,
				  char ret_token[SMQ_CA_TOKEN_LEN + 1], const char **ret_why);

/* ---- the device's side ---- */

struct smq_enrol_options {
	const char *dir;        /* the realm directory: to be made, or to be renewed */
	const char *host;       /* of the server; its certificate must say so */
	int port;               /* 0: SMQ_CA_ENROL_PORT */
	const char *root_file;  /* whom to trust; NULL: dir/root.crt */
	const char *name;       /* the first time */
	const char *token_file; /* the first time: its first line, mode 0600 */
	enum smq_curve curve;   /* of a new key; 0: SMQ_P256 */
	bool force;             /* renew although it is not due */
	/* Over MQTT (PROTOCOL.md 7.9): how to get to the broker, by these fields alone; NULL: over HTTPS, to host. The
	 * token is never told to anybody then. */
	const struct smq_client_options *broker;
	const char *control_prefix; /* the first time: of the realm, "sealmq/REALM" */
	int timeout_ms;             /* for the answer; 0: 60,000 */
};

struct smq_enrolled {
	bool issued, crl;         /* a certificate came; another revocation list came */
	int64_t due_ms, until_ms; /* when the certificate is to be renewed, and when it ends; Unix time */
};

/*
 * Gets dir its first certificate by a token, or renews the one there once two thirds of its time have passed, and up to
 * a twelfth more, which differs from certificate to certificate: a fleet does not come all at once. Keys are made here.
 * The realm's revocation list is fetched each time. Meant to be called daily. SMQ_ERR_NOT_AUTHORIZED: the server
 * refused; SMQ_ERR_CERT_*: what it gave is not what was asked for.
 */
SMQ_MUST_USE smq_err smq_enrol(const struct smq_enrol_options *options, struct smq_enrolled *ret_enrolled,
			       const char **ret_why);

/* ---- the server ---- */

/* What the server has to tell: what came of a request that asked for a certificate. */
struct smq_ca_server_event {
	const char *operation; /* "simpleenroll" */
	const char *name;      /* as claimed where it was refused: untrusted text; "" if nobody said one */
	smq_err err;
	const char *why; /* "" if there is nothing to add */
	const struct smq_ca_issued *issued;
	bool own; /* not of a request: of the server's connection or its lists */
};

struct smq_ca_server_options {
	const char *dir;      /* the authority */
	const char *identity; /* a directory with server.crt and server.key; NULL: dir/members/enrol */
	const char *address;  /* NULL: 127.0.0.1; "::" and "0.0.0.0" are everywhere */
	int port;             /* 0: SMQ_CA_ENROL_PORT; -1: any that is free */
	const char *passphrase_file;
	void (*on_event)(void *self, const struct smq_ca_server_event *event);
	void *self;
};

struct smq_ca_server;
/* Opens the authority, its key and its identity, and listens. */
SMQ_MUST_USE smq_err smq_ca_server_new(const struct smq_ca_server_options *options, struct smq_ca_server **ret_server,
				       const char **ret_why);
/* Gives up what serving does not need: the authority's directory and connections that come in are left
 * (sealmq/confine.h). SMQ_ERR_UNSUPPORTED also where the key is in a token: what its module needs is not known. */
SMQ_MUST_USE smq_err smq_ca_server_confine(const struct smq_ca_server *server, struct smq_confined *ret_how);
/* Where it listens. */
int smq_ca_server_port(const struct smq_ca_server *server);
/* Serves whatever is due, waiting for it no longer than timeout_ms. An interrupted wait is no failure. The process must
 * ignore SIGPIPE. */
SMQ_MUST_USE smq_err smq_ca_server_step(struct smq_ca_server *server, int timeout_ms);
void smq_ca_server_free(struct smq_ca_server *server);

/* ---- the server over MQTT, for devices that have nothing else ---- */

struct smq_ca_mqtt_options {
	const char *dir; /* the authority */
	const char *passphrase_file;
	const struct smq_client_options *broker; /* how to get to the broker, by these fields alone */
	/* Operations: "enrol", "renew"; and of its own "connected", "disconnected" (err) and "crl": published. */
	void (*on_event)(void *self, const struct smq_ca_server_event *event);
	void *self;
};

struct smq_ca_mqtt;
/* Opens the authority and its key, and starts connecting. */
SMQ_MUST_USE smq_err smq_ca_mqtt_new(const struct smq_ca_mqtt_options *options, struct smq_ca_mqtt **ret_server,
				     const char **ret_why);
/* Gives up what serving does not need (sealmq/confine.h); before smq_ca_mqtt_run. */
SMQ_MUST_USE smq_err smq_ca_mqtt_confine(const struct smq_ca_mqtt *server, struct smq_confined *ret_how);
/* Answers requests below the realm's control prefix, and keeps its revocation lists retained there, whenever crl.pem is
 * exchanged; for at most timeout_ms (-1: for ever), or until smq_ca_mqtt_stop. */
void smq_ca_mqtt_run(struct smq_ca_mqtt *server, int timeout_ms);
void smq_ca_mqtt_stop(struct smq_ca_mqtt *server); /* safe in a signal handler */
void smq_ca_mqtt_free(struct smq_ca_mqtt *server);

#ifdef __cplusplus
}
#endif
#endif
