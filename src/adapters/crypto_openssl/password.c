/* A key out of a passphrase. */
#include "adapters/crypto_openssl/password.h"

#include <openssl/evp.h>

enum { N = 1 << 15, R = 8, P = 1, MEMORY_MAX = 64 << 20 };

smq_err smq_openssl_scrypt(smq_span passphrase, smq_span salt, smq_mspan ret_key)
{
	int ok = EVP_PBE_scrypt((const char *)passphrase.p, passphrase.len, salt.p, salt.len, N, R, P, MEMORY_MAX,
				ret_key.p, ret_key.len);
	return ok == 1 ? SMQ_OK : SMQ_ERR_CRYPTO;
}
