/* The PIN of a PKCS#11 token: from a file, or from systemd. */
#include "lib/pin.h"

#include <stdlib.h>

#include "adapters/token_pkcs11/token.h"

smq_err smq_pin_read(const char *uri, const char *file, const char *credential, struct smq_file_bytes *ret_pin,
		     char *ret_why, size_t why_len)
{
	struct smq_token_uri said;
	char path[SMQ_PATH_MAX];
	const char *dir = getenv("CREDENTIALS_DIRECTORY");
	smq_err err = smq_token_uri_read(uri, &said, ret_why, why_len);
	if (err != SMQ_OK)
		return err;
	if (said.pin_source[0])
		return smq_passphrase_read(said.pin_source, ret_pin, ret_why, why_len);
	if (file)
		return smq_passphrase_read(file, ret_pin, ret_why, why_len);
	if (!dir)
		return smq_because(SMQ_ERR_USAGE, ret_why, why_len,
				   "no PIN for the token: --passphrase-file FILE, pin-source in its URI, or the "
				   "systemd credential %s",
				   credential);
	err = smq_path_join(dir, credential, path);
	return err == SMQ_OK ? smq_passphrase_read(path, ret_pin, ret_why, why_len) : err;
}
