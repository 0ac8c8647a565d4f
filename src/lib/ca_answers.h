/*
 * Answers that an authority has given over MQTT: enrolled/HASH-UNTIL (FORMATS.md 1.5).
 *
 * A request that comes again, from a device that has not heard the answer or from a broker that plays it back, gets the
 * same bytes again, and nothing new is issued.
 */
#ifndef SMQ_LIB_CA_ANSWERS_H
#define SMQ_LIB_CA_ANSWERS_H

#include "lib/files.h"

/* hash: of the request, in hex. SMQ_ERR_NOT_FOUND: none was given yet. */
SMQ_MUST_USE smq_err smq_ca_answer_find(const char *dir, const char *hash, struct smq_file_bytes *ret_answer);
/* Durable when it returns. It is kept until until_ms: for as long as the request could be accepted anew. Older ones are
 * swept out. */
SMQ_MUST_USE smq_err smq_ca_answer_keep(const char *dir, const char *hash, int64_t until_ms, smq_span answer);

#endif
