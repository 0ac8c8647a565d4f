/* Which parameters a device lets be commanded, read from its YAML file (FORMATS.md 10). */
#ifndef SMQ_ADAPTERS_CONFIG_YAML_COMMANDS_YAML_H
#define SMQ_ADAPTERS_CONFIG_YAML_COMMANDS_YAML_H

#include <stddef.h>

#include "app/commands.h"

/* Fills *parameters, zeroed by the caller. ret_why (why_len bytes): "FILE:LINE:COLUMN: ...". SMQ_ERR_CONFIG,
 * _NOT_FOUND, _PERMISSION, _IO. */
SMQ_MUST_USE smq_err smq_commands_yaml_load(const char *path, struct smq_parameters *parameters, char *ret_why,
					    size_t why_len);

#endif
