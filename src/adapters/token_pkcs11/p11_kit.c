/* Finding p11-kit's functions. */
#include "adapters/token_pkcs11/p11_kit.h"

#include "adapters/common_loader/loader.h"
#include "base/table.h"

struct p11_kit smq_p11_kit;

#define NAME(name) "p11_kit_" #name,
static const char *const names[] = { P11_KIT_EACH(NAME) };
_Static_assert(sizeof(smq_p11_kit) == SMQ_COUNT(names) * sizeof(void *), "a pointer for each name");

smq_err smq_p11_kit_load(void)
{
	static const struct smq_library library = { "libp11-kit.so.0", "libp11-kit0", names, SMQ_COUNT(names),
						    &smq_p11_kit };
	return smq_library_load(&library);
}
