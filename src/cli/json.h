/* JSON out (RFC 8259): strings from any bytes, and other people's JSON checked and laid out anew. */
#ifndef SMQ_CLI_JSON_H
#define SMQ_CLI_JSON_H

#include <stdbool.h>

#include "cli/buf.h"

/* A quoted string. Bytes that are no UTF-8 become U+FFFD; control characters, C1 and DEL too, become escapes. */
void json_string(struct buf *out, smq_span text);

/* Whether a string can hold these bytes without loss. */
bool json_can_hold(smq_span text);

void json_base64(struct buf *out, smq_span bytes);

/*
 * Appends the one JSON value in text, without blanks, or indented by tabs as cJSON prints it. Nesting beyond 256 is
 * refused, like anything else that is no JSON: false, and out is as before.
 */
bool json_lay_out(struct buf *out, smq_span text, bool pretty);

#endif
