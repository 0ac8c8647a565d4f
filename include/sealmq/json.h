/*
 * A small JSON writer (RFC 8259).
 *
 *     struct smq_json j = smq_json_on(room);
 *     smq_json_object(&j);
 *     smq_json_key(&j, "rows");
 *     smq_json_uint(&j, 39944);
 *     smq_json_end(&j);
 *     err = smq_json_finish(&j, &len);
 *
 * Fills caller's room, allocates nothing, places commas and remembers its first
 * failure; ask once, at the end. What it writes is valid JSON in valid UTF-8
 * whatever it was given: control characters are escaped, bytes that are not
 * UTF-8 become U+FFFD.
 */
#ifndef SEALMQ_JSON_H
#define SEALMQ_JSON_H

#include <stdbool.h>

#include <sealmq/err.h>
#include <sealmq/span.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { SMQ_JSON_DEPTH_MAX = 32 };

struct smq_json {
	char *p;
	size_t room, len;
	smq_err err;
	unsigned depth;
	uint32_t arrays;  /* bit n: level n + 1 is an array */
	uint32_t started; /* bit n: level n + 1 has a member */
	bool after_key;
	bool done; /* the outermost value is complete */
};

/* Writes go to room from now on; it must outlive them. */
struct smq_json smq_json_on(smq_mspan room);
/* Begin one; its members (keys and values, or values) follow. */
void smq_json_object(struct smq_json *j);
void smq_json_array(struct smq_json *j);
/* Ends the innermost object or array. */
void smq_json_end(struct smq_json *j);
void smq_json_key(struct smq_json *j, const char *name);
void smq_json_key_span(struct smq_json *j, smq_span name);
void smq_json_string(struct smq_json *j, smq_span text);
/* NULL becomes null. */
void smq_json_str(struct smq_json *j, const char *text);
/* The number's own digits, as they stand; anything that is not a JSON number fails with SMQ_ERR_MALFORMED. */
void smq_json_number(struct smq_json *j, smq_span digits);
void smq_json_int(struct smq_json *j, int64_t value);
void smq_json_uint(struct smq_json *j, uint64_t value);
/* The shortest decimal that reads back equal; NaN and infinities, which JSON has not, become null. */
void smq_json_double(struct smq_json *j, double value);
void smq_json_bool(struct smq_json *j, bool value);
void smq_json_null(struct smq_json *j);
/* Lower-case hex in quotes. */
void smq_json_hex(struct smq_json *j, smq_span bytes);
/* SMQ_ERR_NO_ROOM where it did not fit (room for a terminating zero included, which is written but not counted),
 * SMQ_ERR_BUG where objects or arrays are still open or a call was out of place. */
SMQ_MUST_USE smq_err smq_json_finish(const struct smq_json *j, size_t *ret_len);
/* Whether the text is a number by the grammar of RFC 8259. */
bool smq_json_is_number(smq_span text);

#ifdef __cplusplus
}
#endif
#endif
