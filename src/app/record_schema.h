/*
 * What a record must look like to be stored (FORMATS.md 7): names, types, ranges, units, and how far its own time may
 * be from ours. One schema describes the records of one recorder.
 */
#ifndef SMQ_APP_RECORD_SCHEMA_H
#define SMQ_APP_RECORD_SCHEMA_H

#include <stdbool.h>

#include <sealmq/err.h>
#include <sealmq/span.h>

enum {
	SMQ_RECORD_FIELDS_MAX = 64,
	SMQ_RECORD_TYPES_MAX = 128,
	SMQ_RECORD_NAME_MAX = 64,
	SMQ_RECORD_ONE_OF_MAX = 64,
	SMQ_RECORD_TEXT_MAX = 256, /* of one text, by default */
	SMQ_RECORD_BYTES_MAX = 65536
};

enum smq_record_type { SMQ_RECORD_NUMBER, SMQ_RECORD_INTEGER, SMQ_RECORD_TEXT, SMQ_RECORD_BOOLEAN };
enum smq_record_time { SMQ_RECORD_RFC3339, SMQ_RECORD_UNIX_S, SMQ_RECORD_UNIX_MS };

struct smq_record_field {
	char name[SMQ_RECORD_NAME_MAX + 1];
	enum smq_record_type type;
	bool optional;
	bool is_sender; /* its text is the certified name of the sender */
	bool kept;      /* becomes a reading of its own name; numbers do by default */
	bool kept_said;
	char type_from[SMQ_RECORD_NAME_MAX + 1]; /* a reading whose type is in that text field */
	char unit[SMQ_RECORD_NAME_MAX + 1];
	bool has_min, has_max;
	double min, max;
	size_t max_len;
	char *one_of[SMQ_RECORD_ONE_OF_MAX]; /* owned */
	size_t one_of_count;
};

/* A type of reading that a text field names: fields[].type_from. */
struct smq_record_reading_type {
	char name[SMQ_RECORD_NAME_MAX + 1];
	char unit[SMQ_RECORD_NAME_MAX + 1];
	bool has_min, has_max;
	double min, max;
};

struct smq_record_schema {
	char name[SMQ_RECORD_NAME_MAX + 1];
	char topic[257]; /* a filter in which a level may be {sender}; empty: any */
	char time_field[SMQ_RECORD_NAME_MAX + 1];
	enum smq_record_time time_format;
	int64_t past_ms, future_ms; /* how far the record's time may lie from now */
	bool extra_fields;          /* kept in the raw record, not looked at */
	size_t bytes_max;
	struct smq_record_field fields[SMQ_RECORD_FIELDS_MAX];
	size_t field_count;
	struct smq_record_reading_type types[SMQ_RECORD_TYPES_MAX];
	size_t type_count;
};

struct smq_record_reading {
	smq_span type;
	smq_span unit;
	bool is_text;
	double value;
	smq_span text;
};

struct smq_record_input {
	const char *topic, *sender;
	smq_span payload;
	int64_t now_ms; /* unix */
};

/* A record that was looked at. reason NULL: it is as declared; else a word ("out-of-range") and, in detail, where. */
struct smq_record_result {
	const char *reason;
	char detail[SMQ_RECORD_NAME_MAX + 32]; /* printable */
	int64_t measured_ms;
	struct smq_record_reading readings[SMQ_RECORD_FIELDS_MAX];
	size_t reading_count;
};

void smq_record_schema_init(struct smq_record_schema *s);
void smq_record_schema_done(struct smq_record_schema *s);
/* What belongs together, once all is read in. SMQ_ERR_CONFIG with ret_why. */
SMQ_MUST_USE smq_err smq_record_schema_check(struct smq_record_schema *s, char *ret_why, size_t why_len);

/* The spans of the result point into payload, room (payload.len bytes) and the schema. NULL schema: everything is
 * taken as it is, without readings. */
void smq_record_look(const struct smq_record_schema *s, const struct smq_record_input *input, uint8_t *room,
		     struct smq_record_result *ret_result);

/* An RFC 3339 time in Unix ms. */
bool smq_time_rfc3339(smq_span text, int64_t *ret_unix_ms);

#endif
