/* Ports in a deployment's configuration: found, and exchanged for others, without touching anything else. */
#ifndef SMQ_APP_BROKER_PORTS_H
#define SMQ_APP_BROKER_PORTS_H

#include <stdbool.h>
#include <stddef.h>

#include <sealmq/err.h>

enum { SMQ_BROKER_PORTS_MAX = 24, SMQ_BROKER_HOST_LEN = 48 };

struct smq_broker_port {
	int was, is;
	bool web;                       /* NGINX speaks HTTP there */
	bool plain;                      /* Mosquitto's WebSockets, on loopback and without TLS */
	char host[SMQ_BROKER_HOST_LEN]; /* the address in that line, where it can be reached from here; "127.0.0.1" for
					   all */
};

struct smq_broker_ports {
	struct smq_broker_port rows[SMQ_BROKER_PORTS_MAX];
	size_t count;
};

/* The ports of lines that begin with the word ("listener", "listen"), each once, in their order. */
void smq_broker_ports_find(const char *conf, const char *word, struct smq_broker_ports *ret_ports);

/* The ports of all lines that are known to have one, added to those that are there. */
void smq_broker_ports_add(const char *conf, struct smq_broker_ports *ports);

/* The text with those ports exchanged in all lines that are known to have one; `more` is put in front. Allocated. */
SMQ_MUST_USE smq_err smq_broker_ports_exchange(const char *conf, const struct smq_broker_ports *ports, const char *more,
					       char **ret_conf);

#endif
