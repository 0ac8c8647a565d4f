/*
 * A look at a broker from outside: what one connection to it meets. It says CONNECT at most, as nobody, and leaves.
 */
#ifndef SMQ_PROBE_OPENSSL_PROBE_H
#define SMQ_PROBE_OPENSSL_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include <sealmq/err.h>

struct smq_probe_ask {
	const char *host;
	int port;
	int timeout_ms; /* for all of it */
	bool tls;
	bool at_most_1_2; /* offer TLS 1.0 to 1.2 only */
	bool mqtt;        /* send CONNECT without a name; otherwise the handshake is all */
};

struct smq_probe_answer {
	int tls_version;         /* 0: none was agreed; 10 to 13: TLS 1.0 to 1.3 */
	bool certificate_wanted; /* a certificate was asked for */
	int64_t not_after_ms;    /* of the server's certificate; 0: not seen */
	bool answered;           /* there was an answer to CONNECT: bytes of MQTT for a stranger */
	int connack;             /* its return code; -1: something else came */
};

/* Outcomes such as a refused handshake are answers. SMQ_ERR_HOST, _CONNECTION_REFUSED, _TIMEOUT (before there was a
 * connection), _NO_CONNECTION, _NO_MEMORY. */
SMQ_MUST_USE smq_err smq_probe(const struct smq_probe_ask *ask, struct smq_probe_answer *ret_answer);

#endif
