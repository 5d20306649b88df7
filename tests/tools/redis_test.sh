#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# redis through weir-proxy: pipelined commands of many clients, and a large value there and back.
# shellcheck source=tests/tools/peer.sh
. "${0%/*}/peer.sh"
need redis-benchmark redis-cli redis-check-rdb timeout

# Debian's server is this very program under another name, and its package would start a service.
start redis timeout 200 bash -c 'exec -a redis-server redis-check-rdb "$@"' - --port 0 \
    --unixsocket "$work/redis" --dir "$work" --save ''
await [ -S "$work/redis" ]
start_tool weir-proxy 127.0.0.1:0 "unix:$work/redis"

# benchmark NAME ARGUMENT...
benchmark() {
    timeout 100 redis-benchmark -p "$port" --csv "${@:2}" >"$work/benchmark.log" 2>&1 ||
        fail "$1"
    ! grep -qi 'error' "$work/benchmark.log" || fail "$1"
    awk -F '"' -v name="$1" '$4 ~ /^[0-9]/ { print "ok " name ": " $2 " " $4 " a second" }' \
        "$work/benchmark.log"
}

count=$(full 20000 300000)
benchmark "50 clients" -c 50 -n "$count" -t set,get
benchmark "pipelines of 16" -c 50 -n "$count" -P 16 -t set,get,incr
benchmark "lists" -c 20 -n "$(full 2000 20000)" -t lrange_600
benchmark "values of 100 kB" -c 8 -n "$(full 500 5000)" -d 100000 -t set,get
benchmark "a connection each" -c 50 -k 0 -n "$(full 1000 20000)" -t set

random_file value "$(full 8 64)"
[ "$(redis-cli -p "$port" -x set value <"$work/value")" = OK ] || fail "set"
redis-cli -p "$port" --raw get value | head -c -1 >"$work/answer"
same "$work/value" "$work/answer"
echo "ok a large value"
kill -0 "$pid" || fail "the proxy has ended"
