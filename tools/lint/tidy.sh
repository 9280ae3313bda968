#!/bin/bash
# clang-tidy over the product's .c files, with the flags of a clang build directory: tidy.sh BUILD_DIR
# Prints each finding with its source line; the analyzer's way there is in BUILD_DIR/clang-tidy.txt.
# (One file a process: clang-tidy 14 reports a va_list of the second file as uninitialized.)
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.."
status=0
git ls-files -co --exclude-standard '*.c' | grep -Ev '^(tests|bench|subprojects|tools)/' |
    xargs -P "$(nproc)" -n 1 clang-tidy -p "$1" --quiet --warnings-as-errors='*' \
        >"$1/clang-tidy.txt" 2>"$1/clang-tidy.err" || status=$?
grep -A1 'error:' "$1/clang-tidy.txt" | sed "s#^$PWD/$1/../##; s#^\.\./##" || true
((status == 0)) || echo "    mend: the code, or an ASSERT that says what clang-tidy cannot see" >&2
exit $status
