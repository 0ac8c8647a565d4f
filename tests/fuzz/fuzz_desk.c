/* The key server alone, asked for anything by anybody who has a key: only admins are served what is theirs. */
#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return world_fuzz(&scenario_served, true, data, size); }
