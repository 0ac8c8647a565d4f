/* A device's question to the authority over MQTT (PROTOCOL.md 7.9): one request, its answer, and the lists. */
#ifndef SMQ_LIB_ENROL_MQTT_H
#define SMQ_LIB_ENROL_MQTT_H

#include <sealmq/enrol.h>

#include "adapters/ca_openssl/ca_make.h"

struct smq_enrol_question {
	const struct smq_client_options *broker;
	const char *control_prefix;
	int timeout_ms;
	smq_span csr_pem;         /* empty: nothing is asked for, only the lists are waited for, for a moment */
	const char *name, *token; /* a first request; token NULL: a renewal, by the identity in: */
	const struct smq_own_credential *own;
};

struct smq_enrol_reply {
	struct smq_pem certificates, settings;
	struct smq_pem lists; /* as they came, not looked at; empty: none did */
};
void smq_enrol_reply_free(struct smq_enrol_reply *reply);

/* SMQ_ERR_NOT_AUTHORIZED: refused, by the authority or by somebody at the broker; SMQ_ERR_TIMEOUT: nobody answered.
 * What is wrong is said in smq_ca_why(). */
SMQ_MUST_USE smq_err smq_enrol_ask(const struct smq_enrol_question *question, struct smq_enrol_reply *ret_reply);

#endif
