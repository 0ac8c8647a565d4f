/* What OpenSSL frees is wiped. */
#ifndef SMQ_ADAPTERS_CRYPTO_OPENSSL_MEMORY_H
#define SMQ_ADAPTERS_CRYPTO_OPENSSL_MEMORY_H

#include <stdbool.h>

/* Before OpenSSL is used for anything in this process; false: it has been. */
bool smq_openssl_wipes_freed(void);

#endif
