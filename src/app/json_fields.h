/*
 * The members of one flat JSON object (RFC 8259), one after the other: what a telemetry record is.
 *
 * Nothing is allocated: strings are decoded into the caller's room, which is as long as the text itself. Nested values,
 * duplicate names (told by the caller) and anything after the object are no business of a record's; what is not valid
 * UTF-8 or not JSON is refused.
 */
#ifndef SMQ_APP_JSON_FIELDS_H
#define SMQ_APP_JSON_FIELDS_H

#include <stdbool.h>

#include <sealmq/err.h>
#include <sealmq/span.h>

enum smq_json_kind { SMQ_JSON_NULL, SMQ_JSON_FALSE, SMQ_JSON_TRUE, SMQ_JSON_NUMBER, SMQ_JSON_STRING, SMQ_JSON_NESTED };

struct smq_json_field {
	smq_span name; /* decoded */
	enum smq_json_kind kind;
	smq_span text; /* a string, decoded; a number's digits; empty for the others */
	double number;
};

struct smq_json_fields {
	const uint8_t *p, *end;
	uint8_t *room;
	bool started;
	smq_err err;
};

/* room: at least text.len bytes; what is handed out points into it or into text. */
struct smq_json_fields smq_json_fields_on(smq_span text, uint8_t *room);
/* false: at the end, or it is not such an object (see smq_json_fields_end). */
bool smq_json_fields_next(struct smq_json_fields *f, struct smq_json_field *ret_field);
/* After next has answered false: SMQ_OK, or SMQ_ERR_MALFORMED. */
smq_err smq_json_fields_end(const struct smq_json_fields *f);

#endif
