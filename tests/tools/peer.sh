# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What the scripts with real peers share; to be sourced. Whatever was started ends with the script.
set -euo pipefail
work=$(mktemp -d)
started=()

# shellcheck disable=SC2317 # called by the trap
clean_up() {
    [ ${#started[@]} -eq 0 ] || kill "${started[@]}" 2>/dev/null || true
    wait
    rm -rf "$work"
}
trap clean_up EXIT

# full FAST FULL: one of the two, by the tier.
full() {
    if [ "$WEIR_TEST_TIER" = fast ]; then echo "$1"; else echo "$2"; fi
}

fail() {
    echo "FAILED: $*"
    tail -n 20 "$work"/*.log
    exit 1
}

# need PROGRAM...: skips the test unless all are there.
need() {
    for program; do
        command -v "$program" >/dev/null || { echo "skipped: there is no $program"; exit 77; }
    done
}

# start NAME COMMAND...: in the background; what it says goes to NAME.log, its id to $pid.
start() {
    local name=$1
    shift
    : >"$work/$name.log" # what an earlier one said is not its word
    "$@" >>"$work/$name.log" 2>&1 &
    pid=$!
    started+=("$pid")
}

# await COMMAND...: until it succeeds; as long as the newest of those started lives.
await() {
    until "$@" 2>/dev/null; do
        kill -0 "$pid" 2>/dev/null || fail "ended early, before: $*"
        sleep 0.02
    done
}

# start_tool NAME ARGUMENT...: a program of ours that announces where it listens: in $address and,
# for TCP, in $port.
start_tool() {
    [ -x "$WEIR_BUILD_DIR/$1" ] || { echo "skipped: the tools were not built"; exit 77; }
    start "$1" timeout 300 "$WEIR_BUILD_DIR/$1" "${@:2}"
    await grep -q ' listens at ' "$work/$1.log"
    address=$(sed -n 's/.* listens at //p' "$work/$1.log")
    # shellcheck disable=SC2034 # for those who source this
    port=${address##*:}
}

listens() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1")
}

# In $free_port: a port below those that the kernel gives out, on which nobody listens.
find_port() {
    free_port=$((20000 + RANDOM % 12000))
    while listens "$free_port" 2>/dev/null; do
        free_port=$((20000 + RANDOM % 12000))
    done
}

# same FILE FILE
same() {
    cmp "$1" "$2" || fail "$1 and $2 differ"
}

# random_file NAME MIB
random_file() {
    head -c $(($2 * 1048576)) /dev/urandom >"$work/$1"
}
