/* The topics of enrolment over MQTT (PROTOCOL.md 7.9): CONTROL_PREFIX/enrol/q, and enrol/a/ID for each answer. */
#ifndef SMQ_LIB_ENROL_TOPICS_H
#define SMQ_LIB_ENROL_TOPICS_H

#include <stdio.h>

#include <sealmq/crypto.h>

enum { SMQ_ENROL_TOPIC_MAX = 320 };

static inline smq_err smq_enrol_request_topic(const char *prefix, char ret_topic[SMQ_ENROL_TOPIC_MAX])
{
	int len = snprintf(ret_topic, SMQ_ENROL_TOPIC_MAX, "%s/enrol/q", prefix);
	return len > 0 && len < SMQ_ENROL_TOPIC_MAX ? SMQ_OK : SMQ_ERR_TOO_LARGE;
}

/* hash: SHA-256 of the request, in hex; half of it names the answer. */
static inline smq_err smq_enrol_answer_topic(const char *prefix, const char *hash, char ret_topic[SMQ_ENROL_TOPIC_MAX])
{
	int len = snprintf(ret_topic, SMQ_ENROL_TOPIC_MAX, "%s/enrol/a/%.32s", prefix, hash);
	return len > 0 && len < SMQ_ENROL_TOPIC_MAX ? SMQ_OK : SMQ_ERR_TOO_LARGE;
}

#endif
