/* Senders that keep their boot id and reserve counters, on disks that fail: no key and nonce twice. */
#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return world_fuzz(&scenario_kept, false, data, size); }
