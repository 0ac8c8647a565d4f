/*
 * Whole machines under a fuzzer: the world of tests/sim, with operations and chances out of the input instead of a
 * seed. The broker, the disks and the clocks are hostile; members and key server are the real ones, their cryptography
 * is the simulation's mock. What holds there after every step must hold here (tests/sim/sim.h).
 *
 * The input is one byte for what is drawn at the start, whose highest three bits together ask for calm at the end,
 * and then operations: a byte that says which, and the bytes that it draws its chances from. An operation that needs
 * none is followed by the next at once, so a mutation in one leaves the others as they are mostly.
 */
#ifndef SMQ_TESTS_FUZZ_WORLD_H
#define SMQ_TESTS_FUZZ_WORLD_H

#include <stdbool.h>

#include "../sim/sim.h"
#include "fuzz.h"

/* bare: as struct sim has it. */
int world_fuzz(const struct scenario *scenario, bool bare, const uint8_t *data, size_t size);

#endif
