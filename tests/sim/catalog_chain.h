/*
 * tests/sim/catalog_chain.h: the settings store (SQLite) on the simulated disk: what was set and
 * answered with OK survives, a set of settings is there whole or not at all, the file is never
 * found damaged.
 */
#ifndef TESTS_SIM_CATALOG_CHAIN_H
#define TESTS_SIM_CATALOG_CHAIN_H

#include "tests/sim/chain.h"

/** Several lives with random crashes and faults. `salt` varies what they take. */
void catalog_chain_random(uint64_t seed, uint64_t salt, struct chain_result *result);

#endif
