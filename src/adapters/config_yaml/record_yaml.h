/* A record schema, read from its YAML file (FORMATS.md 7.1). */
#ifndef SMQ_ADAPTERS_CONFIG_YAML_RECORD_YAML_H
#define SMQ_ADAPTERS_CONFIG_YAML_RECORD_YAML_H

#include <stddef.h>

#include "app/record_schema.h"

/* Fills *schema, which the caller made with smq_record_schema_init and ends with _done in any case. ret_why (why_len
 * bytes): "FILE:LINE:COLUMN: ...". SMQ_ERR_CONFIG, _NOT_FOUND, _PERMISSION, _IO. */
SMQ_MUST_USE smq_err smq_record_yaml_load(const char *path, struct smq_record_schema *schema, char *ret_why,
					  size_t why_len);

#endif
