/* Text at the edges: hex, and what sealmq/text.h offers to everybody (names, topics, escaping). */
#ifndef SMQ_BASE_TEXT_H
#define SMQ_BASE_TEXT_H

#include <sealmq/text.h>

#include "base/writer.h"

#define SMQ_NAME_MAX 64

/* Lower-case hex, 2 * bytes.len characters and a terminating zero. */
SMQ_MUST_USE smq_err smq_hex_encode(smq_span bytes, char *ret_text, size_t room);
/* Even number of hex digits, either case, nothing else. */
SMQ_MUST_USE smq_err smq_hex_decode(const char *text, smq_mspan room, size_t *ret_len);

#endif
