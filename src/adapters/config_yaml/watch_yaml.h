/*
 * watch.yaml: the rules of `sealmq watch` (doc/BROKER.md 5).
 *
 *     suppress: 15m
 *     rules:
 *       acl-probing: { count: 5, within: 60s, severity: high }
 *       wildcard-subscription: { off: true }
 */
#ifndef SMQ_ADAPTERS_CONFIG_YAML_WATCH_YAML_H
#define SMQ_ADAPTERS_CONFIG_YAML_WATCH_YAML_H

#include "app/watch_rules.h"

/* What the file leaves out stays as it is. SMQ_ERR_CONFIG with place, _NOT_FOUND, _PERMISSION, _IO. */
SMQ_MUST_USE smq_err smq_watch_yaml_load(const char *path, struct smq_watch_settings *settings, char *ret_why,
					 size_t why_len);

#endif
