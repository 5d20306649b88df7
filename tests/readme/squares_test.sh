#!/bin/bash
# SPDX-License-Identifier: MIT
# The README's second program, compiled as printed, prints what it says, in order.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# shellcheck disable=SC2016 # these backquotes are the README's
awk '/^```c$/ { block++; next } block == 2' "$WEIR_SOURCE_DIR/README.md" | sed '/^```/,$d' \
    >"$work/squares.c"
grep -q weir_pipeline "$work/squares.c" || { echo "FAILED: the README shows no pipeline"; exit 1; }
"$CC" -Wall -Wextra -Werror -O2 -I"$WEIR_SOURCE_DIR/include" "$work/squares.c" \
    "$WEIR_BUILD_DIR/libweir.a" -luring -ldl -lpthread -o "$work/squares"
[ "$(timeout 60 "$work/squares" | tr '\n' ' ')" = "1 4 9 16 " ]
