#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# weir-check on programs that are linked with weir, statically and dynamically: what it finds, what
# it lets pass, how it ends; by the kernel's traps and by the interposer. And on weir's own tools,
# which do not block.
# shellcheck source=tests/tools/peer.sh
. "${0%/*}/peer.sh"
check=$WEIR_BUILD_DIR/weir-check
[ -x "$check" ] || { echo "skipped: the tools were not built"; exit 77; }

# A program whose task sleeps at two places, one of them in a library function; its argument is its
# exit status.
cat >"$work/program.c" <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <weir.h>
static int log_slowly(void) { return usleep(10); }
static int body(void *arg)
{
    for (int i = 0; i < 5; i++)
        log_slowly();
    usleep(10);
    puts("done");
    return atoi(arg);
}
int main(int argc, char **argv) { return weir_run(body, argv[argc - 1], NULL); }
END
cc=("${CC:-cc}" -D_GNU_SOURCE -I "$WEIR_SOURCE_DIR/include" "$work/program.c")
"${cc[@]}" -o "$work/static" "$WEIR_BUILD_DIR/libweir.a" -luring -lpthread -ldl
"${cc[@]}" -o "$work/dynamic" -L "$WEIR_BUILD_DIR" -lweir -Wl,-rpath,"$WEIR_BUILD_DIR"

# run STATUS COMMAND...: its output is in out.log, and it ends so.
run() {
    local expected=$1 status=0
    shift
    timeout 60 "$@" >"$work/out.log" 2>&1 || status=$?
    [ "$status" = "$expected" ] || fail "status $status instead of $expected: $*"
}

said() {
    grep -q -- "$1" "$work/out.log" || fail "it was not said: $1"
}

places() {
    local count
    count=$(grep -c '^weir: blocking call:' "$work/out.log" || true)
    [ "$count" = "$1" ] || fail "$count reports instead of $1"
}

for way in --kernel --interposer; do
    options=()
    [ "$way" = --kernel ] || options=("$way")
    for linked in static dynamic; do
        run 7 "$check" "${options[@]}" "$work/$linked" 7
        places 2
        said '^done$'
        said "log_slowly+0x.* ($linked)"
        said 'instead: weir_sleep$'
        said "weir-check: $work/$linked: blocking calls in tasks at 2 places\$"

        run 7 "$check" "${options[@]}" --allow log_slowly "$work/$linked" 7
        places 1
        run 7 "$check" "${options[@]}" --allow "other,$linked" "$work/$linked" 7
        places 0
        said 'no blocking call in a task$'

        run 1 "$check" --abort "${options[@]}" "$work/$linked" 7
        places 1
        said 'at 1 place$'
        echo "ok $linked ${options[*]}"
    done
done

# --- Without weir-check: nothing, or what the environment says. -----------------------------------

run 7 "$work/static" 7
places 0
WEIR_BLOCKING_CHECK=warn run 7 "$work/static" 7
places 2
WEIR_BLOCKING_CHECK=warn WEIR_BLOCKING_CHECK_BY=interposer run 161 "$work/static" 7
said 'cannot start: .*libweir-interpose.so is not loaded.*run the program by weir-check'
WEIR_BLOCKING_CHECK=loud run 234 "$work/static" 7
said 'WEIR_BLOCKING_CHECK is "loud"; it must be off, warn or abort'
echo "ok environment"

# --- What is no program of weir's, or none at all. ------------------------------------------------

run 3 "$check" sh -c 'exit 3'
said 'started no runtime of weir: nothing was checked'
run 143 "$check" sh -c 'kill -TERM $$'
run 2 "$check" "$work/nowhere"
run 2 "$check"
run 2 "$check" --what
said '^usage: '
echo "ok others"

# --- weir's own file server under clients: silent. ------------------------------------------------

need curl
random_file body 3
start_tool weir-check "$WEIR_BUILD_DIR/weir-serve" --listen 127.0.0.1:0 "$work"
for _ in 1 2 3; do
    timeout 60 curl -s "http://127.0.0.1:$port/body" >"$work/copy"
    same "$work/body" "$work/copy"
done
kill -TERM "$pid"
wait "$pid" || true
cp "$work/weir-check.log" "$work/out.log"
places 0
said 'no blocking call in a task$'
echo "ok server"
