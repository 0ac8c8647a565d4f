/*
 * The HTTP port: one request as a whole, one answer as a whole. Who reads them off a connection is an adapter's matter;
 * what is said is the use case's.
 */
#ifndef SMQ_APP_HTTP_DESK_H
#define SMQ_APP_HTTP_DESK_H

#include <stdbool.h>

#include <sealmq/span.h>

enum { SMQ_HTTP_BODY_MAX = 16384, SMQ_HTTP_NAME_MAX = 128 };

struct smq_http_request {
	const char *method, *path;
	const char *type;            /* Content-Type, or "" */
	const char *user, *password; /* of HTTP's basic authentication, or NULL */
	smq_span body;
	int fd; /* the connection it came on */
};

/* The body is allocated, or NULL; the adapter frees it. */
struct smq_http_answer {
	int status;
	const char *type;
	bool base64;        /* Content-Transfer-Encoding: base64 */
	bool ask_for_login; /* WWW-Authenticate: Basic */
	uint8_t *body;
	size_t body_len;
};

struct smq_http_desk {
	void *self;
	void (*answer)(void *self, const struct smq_http_request *request, struct smq_http_answer *ret_answer);
};

#endif
