/* sealmq.yaml, read into a configuration (FORMATS.md 4). */
#ifndef SMQ_ADAPTERS_CONFIG_YAML_SETTINGS_YAML_H
#define SMQ_ADAPTERS_CONFIG_YAML_SETTINGS_YAML_H

#include <sealmq/config.h>

/* See smq_config_read_file; ret_why has why_len bytes. Does not look at the file's mode. */
SMQ_MUST_USE smq_err smq_settings_yaml_load(const char *path, smq_config *config, char *ret_why, size_t why_len);

#endif
