/*
 * tests/sim/chain.h: whole histories of a world, each decided by its seed: lives of the product
 * that end in a crash, and what a check after each start says.
 */
#ifndef TESTS_SIM_CHAIN_H
#define TESTS_SIM_CHAIN_H

#include "tests/sim/world.h"

struct chain_result {
    uint64_t crashes;
    uint64_t acked;
    uint64_t adopted;
    uint64_t calls; /* of the life that was swept */
    bool failed;
    char failure[512];
};

/** Several lives with random crashes, also during recovery. `salt` varies what they take. */
void chain_random(uint64_t seed, uint64_t salt, struct chain_result *result);
/** One short life that loses power in changing call number `call`, then recovery, a second power
 * cut at once, and a further life. result->calls < call: the life is shorter than that. */
void chain_crash_at(uint64_t seed, uint64_t call, uint64_t loss_seed, struct chain_result *result);
/** One short life in which calls fail as said, then a restart and a check. result->calls: calls of
 * that kind seen. */
void chain_fault(uint64_t seed, struct simdisk_fault fault, struct chain_result *result);

#endif
