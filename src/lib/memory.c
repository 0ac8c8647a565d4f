/* Keeping a process's memory to itself: the system's part of it, and OpenSSL's. */
#include <sealmq/confine.h>

#include "adapters/confine_seccomp/memory.h"
#include "adapters/crypto_openssl/memory.h"

smq_err smq_memory_guard(bool *ret_locked)
{
	bool locked = false;
	bool wiped = smq_openssl_wipes_freed();
	smq_err err = smq_memory_fence(&locked);
	if (err == SMQ_OK && !wiped)
		err = SMQ_ERR_STATE;
	if (err == SMQ_OK && ret_locked)
		*ret_locked = locked;
	return err;
}
