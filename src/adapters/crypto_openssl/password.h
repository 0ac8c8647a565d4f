/* A key out of a passphrase: scrypt (RFC 7914), N 2^15, r 8, p 1: 32 MiB and about a tenth of a second. */
#ifndef SMQ_ADAPTERS_CRYPTO_OPENSSL_PASSWORD_H
#define SMQ_ADAPTERS_CRYPTO_OPENSSL_PASSWORD_H

#include <sealmq/err.h>
#include <sealmq/span.h>

SMQ_MUST_USE smq_err smq_openssl_scrypt(smq_span passphrase, smq_span salt, smq_mspan ret_key);

#endif
