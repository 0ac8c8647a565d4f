/* The PIN of a PKCS#11 token: never from a command line or the environment. */
#ifndef SMQ_LIB_PIN_H
#define SMQ_LIB_PIN_H

#include "lib/files.h"

/* Names of systemd credentials. */
#define SMQ_PIN_CREDENTIAL_CA "sealmq-pkcs11-pin"
#define SMQ_PIN_CREDENTIAL_KEYSERVER "sealmq-keyserver"

/* From the file that the URI's pin-source names, else `file` (may be NULL), else the systemd credential: its first
 * line. Files must be closed to group and others. SMQ_ERR_USAGE: there is none of these. */
SMQ_MUST_USE smq_err smq_pin_read(const char *uri, const char *file, const char *credential,
				  struct smq_file_bytes *ret_pin, char *ret_why, size_t why_len);

#endif
