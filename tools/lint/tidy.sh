#!/bin/bash
# (One file a process: clang-tidy 14 reports a va_list of the second file as uninitialized.)
# clang-tidy over the product's .c files, with the flags of a clang build directory: tidy.sh BUILD_DIR
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.."
git ls-files -co --exclude-standard '*.c' | grep -Ev '^(tests|bench|subprojects|tools)/' |
    xargs -P "$(nproc)" -n 1 clang-tidy -p "$1" --quiet --warnings-as-errors='*' 2> >(grep -v 'warnings generated\|Suppressed\|Use -header-filter' >&2)
