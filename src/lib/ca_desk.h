/* What an authority answers to enrolment requests over MQTT (PROTOCOL.md 7.9); no connection here. */
#ifndef SMQ_LIB_CA_DESK_H
#define SMQ_LIB_CA_DESK_H

#include <sealmq/enrol.h>

#include "wire/enrol.h"

struct smq_ca_desk {
	const char *dir, *passphrase_file;
	void (*on_event)(void *self, const struct smq_ca_server_event *event);
	void *self;
};

/*
 * hash: of the request. *ret_len 0: no answer, for whoever has proven nothing at all. A request that was answered
 * before gets the same answer.
 */
void smq_ca_desk_answer(const struct smq_ca_desk *desk, smq_span request, const uint8_t hash[SMQ_HASH_LEN],
			smq_mspan room, size_t *ret_len);

#endif
