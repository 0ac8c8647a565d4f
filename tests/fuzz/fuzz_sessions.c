/* Member machines that exchange keys over a hostile broker: nothing forged, nothing twice, no key and nonce twice. */
#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return world_fuzz(&scenario_sessions, false, data, size);
}
