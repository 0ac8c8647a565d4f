/* Members that follow a group's key tree, manifests and slots: nothing opened beyond a grant, none older taken. */
#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return world_fuzz(&scenario_keyed, false, data, size); }
