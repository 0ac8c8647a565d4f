/*
 * Commands, alerts and their acknowledgements (PROTOCOL.md 9): what is sealed, signed and sent within a group, and the
 * topics that it travels on, under the realm's control prefix.
 *
 *     command = [ "sealmq command", 1, id : bstr .size 16, to, issued_ms, expires_ms, body ]     to: "" for all
 *     body    = [ 1, [ + [ name, value ] ] ] / [ 2, severity, text ]
 *     ack     = [ "sealmq ack", 1, id : bstr .size 16, result, detail ]
 *
 *     PREFIX/command/GROUP/to/NAME      PREFIX/command/GROUP/all      PREFIX/command/GROUP/ack/NAME
 */
#ifndef SMQ_WIRE_COMMAND_H
#define SMQ_WIRE_COMMAND_H

#include <stdbool.h>

#include <sealmq/credential.h>

enum {
	SMQ_COMMAND_ID_LEN = 16,
	SMQ_COMMAND_SETTINGS_MAX = 32,
	SMQ_COMMAND_NAME_MAX = 64,   /* bytes of a parameter's name */
	SMQ_COMMAND_VALUE_MAX = 256, /* bytes */
	SMQ_COMMAND_TEXT_MAX = 1024, /* bytes of an alert */
	SMQ_COMMAND_WORD_MAX = 32,   /* bytes of a severity, or of a result */
	SMQ_COMMAND_MAX = 12288,     /* bytes of the whole */
	SMQ_COMMAND_TOPIC_MAX = 512
};

enum smq_command_body { SMQ_BODY_SET = 1, SMQ_BODY_ALERT = 2 };

struct smq_command_setting {
	smq_span name, value;
};

struct smq_command_document {
	uint8_t id[SMQ_COMMAND_ID_LEN];
	smq_span to; /* a name; empty: everybody in the group */
	int64_t issued_ms, expires_ms;
	enum smq_command_body body;
	size_t setting_count;
	struct smq_command_setting settings[SMQ_COMMAND_SETTINGS_MAX];
	smq_span severity, text;
};
SMQ_MUST_USE smq_err smq_command_encode(const struct smq_command_document *c, smq_mspan room, size_t *ret_len);
SMQ_MUST_USE smq_err smq_command_decode(smq_span bytes, struct smq_command_document *ret_command);

struct smq_ack_document {
	uint8_t id[SMQ_COMMAND_ID_LEN];
	smq_span result, detail;
};
SMQ_MUST_USE smq_err smq_ack_encode(const struct smq_ack_document *a, smq_mspan room, size_t *ret_len);
SMQ_MUST_USE smq_err smq_ack_decode(smq_span bytes, struct smq_ack_document *ret_ack);

enum smq_command_topic { SMQ_TOPIC_OTHER, SMQ_TOPIC_TO, SMQ_TOPIC_ALL, SMQ_TOPIC_ACK };
/* name: NULL for all. SMQ_ERR_TOPIC: too long. */
SMQ_MUST_USE smq_err smq_command_topic_write(const char *prefix, const char *group, enum smq_command_topic kind,
					     const char *name, char ret_topic[SMQ_COMMAND_TOPIC_MAX]);
/* Which it is; group and name (may be NULL) point into topic. */
enum smq_command_topic smq_command_topic_read(const char *prefix, smq_span topic, smq_span *ret_group,
					      smq_span *ret_name);
/* Whether it is one of this group's: its keys are for those too. */
bool smq_command_topic_is_of(const char *prefix, smq_span group, smq_span topic);

#endif
