/* What an enrolment server answers (RFC 7030, 4.1 and 4.2): requests in, certificates out; no socket, no TLS. */
#ifndef SMQ_LIB_CA_EST_H
#define SMQ_LIB_CA_EST_H

#include <sealmq/enrol.h>

#include "app/http_desk.h"

struct smq_ca_est {
	const char *dir;
	const char *passphrase_file;
	/* The certificate that a connection's client has proven to hold, in PEM; 0: none. */
	size_t (*peer)(void *self, int fd, uint8_t *ret_pem, size_t room);
	void (*on_event)(void *self, const struct smq_ca_server_event *event);
	void *self;
};

void smq_ca_est_answer(const struct smq_ca_est *est, const struct smq_http_request *request,
		       struct smq_http_answer *ret_answer);

#endif
