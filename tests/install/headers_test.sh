#!/bin/sh
# SPDX-License-Identifier: MIT
# Every public header stands alone, can be included twice, and compiles as C and as C++.
set -eu
cd "$WEIR_SOURCE_DIR/include"

# Prints a program that includes nothing but the header, twice.
only() {
    printf '#include <%s>\n#include <%s>\nint main(void);\n' "$1" "$1"
}

# No -Wshadow: as with stat(2), a function may be named like the struct that it fills.
strict='-Wall -Wextra -Wpedantic -Werror -fsyntax-only -I.'
for header in weir.h weir/*.h; do
    # shellcheck disable=SC2086
    only "$header" | ${CC:-cc} -x c -std=gnu11 $strict -
    if [ -n "${CXX:-}" ]; then
        # shellcheck disable=SC2086
        only "$header" | $CXX -x c++ -std=gnu++11 $strict -
    fi
    echo "ok $header"
done
[ -n "${CXX:-}" ] || echo "skipped: C++: there is no C++ compiler"
