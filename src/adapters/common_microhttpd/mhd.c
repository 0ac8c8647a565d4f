/* Finding libmicrohttpd's functions. */
#include "adapters/common_microhttpd/mhd.h"

#include "adapters/common_loader/loader.h"
#include "base/table.h"

struct smq_mhd smq_mhd;

#define NAME(name) "MHD_" #name,
static const char *const names[] = { SMQ_MHD_EACH(NAME) };
_Static_assert(sizeof(smq_mhd) == SMQ_COUNT(names) * sizeof(void *), "a pointer for each name");

smq_err smq_mhd_load(void)
{
	static const struct smq_library library = { "libmicrohttpd.so.12", "libmicrohttpd12", names, SMQ_COUNT(names),
						    &smq_mhd };
	return smq_library_load(&library);
}
