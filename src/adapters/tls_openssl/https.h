/* One request over HTTPS, and its answer: for a device that enrols. Blocking, with an end to every wait. */
#ifndef SMQ_ADAPTERS_TLS_OPENSSL_HTTPS_H
#define SMQ_ADAPTERS_TLS_OPENSSL_HTTPS_H

#include <sealmq/err.h>
#include <sealmq/span.h>

enum { SMQ_HTTPS_ANSWER_MAX = 1048576 };

struct smq_https_request {
	const char *host; /* its certificate must be of this name or address, under root */
	int port;
	smq_span root;       /* PEM */
	smq_span chain, key; /* PEM; empty: we show no certificate */
	const char *method, *path;
	const char *type;            /* Content-Type; NULL: no body */
	const char *user, *password; /* basic authentication; NULL: none */
	smq_span body;
};

struct smq_https_answer {
	int status;
	uint8_t *body; /* allocated; NULL where it is empty */
	size_t len;
};

/* SMQ_ERR_HOST, _NO_CONNECTION, _TIMEOUT, _TLS, _PROTOCOL; SMQ_OK with any status. */
SMQ_MUST_USE smq_err smq_https_ask(const struct smq_https_request *request, struct smq_https_answer *ret_answer);

#endif
