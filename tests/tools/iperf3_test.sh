#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# iperf3 through weir-proxy: to the server, from it, both at once, and in many streams. What was
# received is printed, beside the same without the proxy.
# shellcheck source=tests/tools/peer.sh
. "${0%/*}/peer.sh"
need iperf3 timeout
seconds=$(full 1 5)
find_port
start iperf3 timeout 200 iperf3 --server --forceflush --bind 127.0.0.1 --port "$free_port"
await grep -q listening "$work/iperf3.log"
start_tool weir-proxy 127.0.0.1:0 "127.0.0.1:$free_port"

# measure PORT NAME ARGUMENT...
measure() {
    timeout 60 iperf3 --client 127.0.0.1 --port "$1" --time "$seconds" "${@:3}" \
        >"$work/client.log" 2>&1 || fail "$2"
    grep -q '^iperf Done' "$work/client.log" || fail "$2: not done"
    awk -v name="$2" '/receiver/ && !/^\[SUM\]/ { rate += $7; unit = $8 }
                      END { if (rate == 0) exit 1; print "ok " name ": " rate " " unit }' \
        "$work/client.log" || fail "$2: nothing was received"
}

measure "$free_port" "direct"
measure "$port" "up"
measure "$port" "down" --reverse
measure "$port" "both ways" --bidir
measure "$port" "eight streams" --parallel 8
measure "$port" "small messages" --length 64
kill -0 "$pid" || fail "the proxy has ended"
