/*
 * AEADs of the crypto port over Intel's multi-buffer library: AES-GCM and ChaCha20-Poly1305 at a third of what EVP
 * takes for short messages. Everything else, and the AEADs that it does not have, stay with the port it is put upon.
 *
 * The library is loaded when this is first asked for, and only used where it and the processor are fit: the version
 * that this was built against, AES and carry-less multiplication in hardware, wiping what it leaves behind, and the
 * same results as the port below. Where it was not there at build, it never is.
 */
#ifndef SMQ_ADAPTERS_CRYPTO_IPSECMB_H
#define SMQ_ADAPTERS_CRYPTO_IPSECMB_H

#include <stdbool.h>

#include <sealmq/crypto.h>

/* Once per process; below is static. On false *ret_port is as it was. */
bool smq_crypto_ipsecmb_over(const struct smq_crypto *below, struct smq_crypto *ret_port);

#endif
