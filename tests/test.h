/* tests/test.h: what every unit test includes; cmocka needs these headers in this order. */
#ifndef TESTS_TEST_H
#define TESTS_TEST_H
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
/* clang-format on */

#define assert_ok(expr) assert_int_equal((expr), 0)
#endif
