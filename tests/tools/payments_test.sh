#!/bin/bash
# SPDX-License-Identifier: MIT
# The payment service accounts for every payment: in the fast tier over a short spike, else over a
# tenfold spike and a dead bank of five seconds each, after which latency must be what it was.
set -eu
program=$WEIR_BUILD_DIR/weir-payments
[ -x "$program" ] || { echo "skipped: the tools were not built"; exit 77; }
log=$(mktemp)
trap 'rm -f "$log"' EXIT

if [ "$WEIR_TEST_TIER" = fast ]; then
    least=0 # how many is a matter of the machine
    timeout 60 "$program" --seconds 4 --spike-at 1 --trouble-seconds 1 >"$log" || bad=1
else
    least=20000
    timeout 120 "$program" --seconds 24 --spike-at 3 --dead-at 13 >"$log" || bad=1
fi
cat "$log"
[ -z "${bad-}" ]
grep -q '^holds: every payment is accounted for' "$log"
grep -q '^BROKEN' "$log" && exit 1
paid=$(sed -n 's/.* paid \([0-9]*\) invalid.*/\1/p' "$log" | tail -n 1)
[ "$paid" -gt "$least" ]

# Asked to stop, it sees to what has come in.
timeout --signal=TERM 2 "$program" --seconds 60 >"$log" || [ $? = 124 ]
grep -q '^holds: every payment is accounted for' "$log"

# Bad arguments are refused.
for arguments in "--rate 0" "--rate x" "--nothing 1" "--seconds"; do
    # shellcheck disable=SC2086 # they are words
    "$program" $arguments >"$log" 2>&1 && exit 1
    grep -q '^usage:' "$log"
done
