/* Key server, admin and members together, each with its own code: nobody opens what was not granted, or is sent away
 * unasked. */
#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return world_fuzz(&scenario_served, false, data, size); }
