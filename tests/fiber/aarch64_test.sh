#!/bin/sh
# SPDX-License-Identifier: MIT
# Tier full: assembles the aarch64 switch, checks its marks, and runs it (see aarch64.c): under
# qemu-aarch64 elsewhere, and directly on aarch64.
set -eu

skip() {
    echo "skipped: $1"
    exit 77
}

[ "${WEIR_TEST_TIER:-full}" = full ] || skip "it belongs to the full tier"

source_dir=${WEIR_SOURCE_DIR:-$(cd "$(dirname "$0")/../.." && pwd)}
if [ "$(uname -m)" = aarch64 ]; then
    compiler=${CC:-cc} emulator=
else
    compiler=aarch64-linux-gnu-gcc emulator=qemu-aarch64
    command -v $compiler >/dev/null || skip "no $compiler (Debian: gcc-aarch64-linux-gnu)"
    command -v $emulator >/dev/null || skip "no $emulator (Debian: qemu-user)"
fi
command -v readelf >/dev/null || skip "no readelf (Debian: binutils)"

work_dir=$(mktemp -d)
trap 'rm -rf "$work_dir"' EXIT
flags="-std=gnu11 -O2 -Wall -Wextra -Werror -mbranch-protection=bti
    -I$source_dir/src -I$source_dir/tests"

# shellcheck disable=SC2086 # flags are words
$compiler $flags -c "$source_dir/src/fiber/switch_aarch64.S" -o "$work_dir/switch.o"
readelf -nW "$work_dir/switch.o" >"$work_dir/notes"
readelf -SW "$work_dir/switch.o" >"$work_dir/sections"
grep -q "feature: BTI$" "$work_dir/notes" || { echo "FAILED no mark, or more than BTI"; exit 1; }
grep -q "\.note\.GNU-stack .* 0  *0  *1$" "$work_dir/sections" ||
    { echo "FAILED the stack would be executable"; exit 1; }

# shellcheck disable=SC2086
$compiler $flags -static "$source_dir/tests/fiber/aarch64.c" "$work_dir/switch.o" \
    -o "$work_dir/aarch64"
$emulator "$work_dir/aarch64"
