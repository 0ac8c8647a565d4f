/* The version that was built. */
#include <sealmq/version.h>

const char *smq_version(void)
{
	return SMQ_VERSION;
}
