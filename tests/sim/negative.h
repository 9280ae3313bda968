/*
 * tests/sim/negative.h: the negative control. Each place in the product that syncs is made to do
 * nothing, one at a time, and random histories are run until a check fails: a suite that would not
 * notice a missing sync proves nothing.
 */
#ifndef TESTS_SIM_NEGATIVE_H
#define TESTS_SIM_NEGATIVE_H

#include "base/base.h"

/** Prints the table; false when a site that matters is never caught. Forks. */
bool negative_run(uint64_t seed, unsigned jobs);

#endif
