/*
 * realm.yaml: what all members of a realm must agree on before they can talk (FORMATS.md 1.1).
 *
 *     realm: plant                          # 1 to 64 of A-Z a-z 0-9 - _
 *     control_prefix: sealmq/plant          # optional
 *     keyex_topic: sealmq/plant/keyex/{to}  # optional; {to} becomes the addressed member
 *     keyserver: keys                       # optional; the key server's name, else whoever has the role
 *     member: sensor-03                     # whose directory this is, where no certificate says so (PROTOCOL.md 7.8)
 *     insecure_stale_crl: true              # optional; false where it is not there
 */
#ifndef SMQ_ADAPTERS_CONFIG_YAML_REALM_YAML_H
#define SMQ_ADAPTERS_CONFIG_YAML_REALM_YAML_H

#include <stddef.h>

#include <sealmq/err.h>

struct smq_realm_settings {
	char realm[65];
	char control_prefix[128];   /* a topic without a slash at its end */
	char keyex_topic[256];      /* a topic, in which "{to}" may stand */
	char insecure_stale_crl[8]; /* "true", "false" */
	char keyserver[65];         /* a name; may be empty */
	char member[65];            /* likewise */
};

/* Reads and checks the file; what it leaves out gets its default. ret_why (why_len bytes): "FILE:LINE:COLUMN: ..." with
 * what is wrong and what would be right. SMQ_ERR_CONFIG, _NOT_FOUND, _PERMISSION, _IO. */
SMQ_MUST_USE smq_err smq_realm_yaml_load(const char *path, struct smq_realm_settings *ret_settings, char *ret_why,
					 size_t why_len);

/* Fills in the two defaults where the strings are empty, and checks all three. */
SMQ_MUST_USE smq_err smq_realm_settings_complete(struct smq_realm_settings *settings, char *ret_why, size_t why_len);

/* Writes a commented realm.yaml that loads back equal: tmp, fsync, rename, fsync of the directory; mode 0644. Empty
 * control_prefix and keyex_topic mean their defaults. */
SMQ_MUST_USE smq_err smq_realm_yaml_write(const char *path, const struct smq_realm_settings *settings, char *ret_why,
					  size_t why_len);

#endif
