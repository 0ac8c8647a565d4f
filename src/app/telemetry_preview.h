/* The inside of smq_data_preview: everything but opening the file. */
#ifndef SMQ_APP_TELEMETRY_PREVIEW_H
#define SMQ_APP_TELEMETRY_PREVIEW_H

#include <sealmq/telemetry.h>

#include "app/bytes_in.h"

/* Reads *in to its end; does not close it. */
SMQ_MUST_USE smq_err smq_preview_make(const struct smq_bytes_in *in, const struct smq_preview_options *options,
				      struct smq_preview **ret_preview, char *ret_why, size_t why_len);

#endif
