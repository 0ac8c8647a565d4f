/* Members of static groups on disks that fail and are put back: nothing forged, moved or delivered twice. */
#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return world_fuzz(&scenario_static, false, data, size); }
