/* What stands in for the multi-buffer library where it was not there at build. */
#include "adapters/crypto_ipsecmb/crypto_ipsecmb.h"

bool smq_crypto_ipsecmb_over(const struct smq_crypto *below, struct smq_crypto *ret_port)
{
	(void)below;
	(void)ret_port;
	return false;
}
