/* The inside of a telemetry source: what the composition root needs to build one. */
#ifndef SMQ_APP_TELEMETRY_SOURCE_H
#define SMQ_APP_TELEMETRY_SOURCE_H

#include <sealmq/telemetry.h>

#include "app/bytes_in.h"

/* 2026-01-01: where generated times begin when a seed is given, so that a seed gives the same records on any day. */
#define SMQ_SOURCE_EPOCH_MS INT64_C(1767225600000)

/*
 * kind: "csv", which reads and in the end closes *in, or a generator's name (in: NULL). seed and start_ms (Unix time of
 * the first generated record) are used as given. On failure *in is left open and ret_why (why_len bytes) says why.
 */
SMQ_MUST_USE smq_err smq_source_new(const char *kind, const struct smq_bytes_in *in,
				    const struct smq_source_options *options, uint64_t seed, int64_t start_ms,
				    struct smq_source **ret_source, char *ret_why, size_t why_len);

#endif
