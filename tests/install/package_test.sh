#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs the build into a temporary prefix, then builds, links and runs a C and a C++ program
# against it: by pkg-config (shared and static) and by find_package(weir).
set -eu
here="$WEIR_SOURCE_DIR/tests/install"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix="$work/prefix"
skipped=0

# quietly COMMAND...: shows what the command says only when it fails.
quietly() {
    "$@" >"$work/log" 2>&1 && return
    cat "$work/log"
    exit 1
}

# run NAME COMMAND...: runs a program that was built; 77 means that this machine has no io_uring.
run() {
    name=$1
    shift
    status=0
    "$@" || status=$?
    case $status in
    0) echo "ok $name" ;;
    77) echo "skipped: $name: weir cannot run here" && skipped=1 ;;
    *) echo "FAILED $name: exit status $status" && exit 1 ;;
    esac
}

# shows_library PROGRAM: whether the program loads the shared libweir.
shows_library() {
    readelf -d "$1" | grep -q 'NEEDED.*libweir\.so\.0'
}

quietly "$CMAKE_COMMAND" --install "$WEIR_BUILD_DIR" --prefix "$prefix"
pc=$(find "$prefix" -name weir.pc)
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH
libdir=$(pkg-config --variable=libdir weir)
# The flags are lists of words, to be split.
# shellcheck disable=SC2046
set -- $(pkg-config --cflags weir)
case " $* " in
*" -fstack-clash-protection "*) ;;
*) echo "FAILED: weir.pc lacks -fstack-clash-protection" && exit 1 ;;
esac

# shellcheck disable=SC2046
"$CC" -Wall -Wextra -Werror "$@" "$here/program.c" -o "$work/c" $(pkg-config --libs weir)
shows_library "$work/c" || { echo "FAILED: libweir.so.0 is not what was linked" && exit 1; }
run "C, pkg-config" env LD_LIBRARY_PATH="$libdir" "$work/c"

# The archive comes first and leaves nothing for -lweir to resolve.
# shellcheck disable=SC2046
"$CC" -Wall -Wextra -Werror "$@" "$here/program.c" -o "$work/static" \
    -Wl,--as-needed "$libdir/libweir.a" $(pkg-config --static --libs weir)
if shows_library "$work/static"; then
    echo "FAILED: the static program loads libweir.so" && exit 1
fi
run "C, pkg-config, static" "$work/static"

languages=C
if [ -n "${CXX:-}" ]; then
    languages='C;CXX'
    # shellcheck disable=SC2046
    "$CXX" -Wall -Wextra -Werror "$@" "$here/program.cc" -o "$work/cxx" $(pkg-config --libs weir)
    run "C++, pkg-config" env LD_LIBRARY_PATH="$libdir" "$work/cxx"
else
    echo "skipped: C++: there is no C++ compiler"
fi

# CMake reads CC and CXX from the environment.
quietly "$CMAKE_COMMAND" -S "$here" -B "$work/build" -DCMAKE_PREFIX_PATH="$prefix" \
    -DLANGUAGES="$languages"
quietly "$CMAKE_COMMAND" --build "$work/build"
for program in program program_static program_cxx; do
    [ ! -x "$work/build/$program" ] || run "find_package, $program" "$work/build/$program"
done
[ "$skipped" = 0 ] || exit 77
