#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# weir-cat among the filters of the system: pipes, files, a FIFO, procfs, a tty, a reader that
# leaves.
# shellcheck source=tests/tools/peer.sh
. "${0%/*}/peer.sh"
need timeout
[ -x "$WEIR_BUILD_DIR/weir-cat" ] || { echo "skipped: the tools were not built"; exit 77; }
cat=(timeout 100 "$WEIR_BUILD_DIR/weir-cat")
random_file sent "$(full 20 500)"

head -c 1000000000 "$work/sent" | "${cat[@]}" | "${cat[@]}" - | cmp - "$work/sent" || fail "pipes"
"${cat[@]}" <"$work/sent" >"$work/got" || fail "redirected"
same "$work/sent" "$work/got"
# shellcheck disable=SC2094 # it is only read
"${cat[@]}" "$work/sent" - "$work/sent" <"$work/sent" | cmp - <(cat "$work"/{sent,sent,sent}) ||
    fail "files"
echo "ok pipes and files"

"${cat[@]}" /proc/version | cmp - /proc/version || fail "procfs"
mkfifo "$work/fifo"
cat "$work/sent" >"$work/fifo" &
"${cat[@]}" "$work/fifo" | cmp - "$work/sent" || fail "a FIFO"
echo "ok procfs and a FIFO"

[ "$(yes word | "${cat[@]}" | head -n 100000 | tail -n 1)" = word ] || fail "a reader that leaves"
"${cat[@]}" "$work/missing" "$work/sent" 2>"$work/cat.log" | cmp - "$work/sent" ||
    true # pipefail: it is an error, but not the end
grep -q 'missing: No such file' "$work/cat.log" || fail "a missing file"
"${cat[@]}" "$work" 2>"$work/cat.log" && fail "a folder"
grep -q 'Is a directory' "$work/cat.log" || fail "a folder"
echo "ok errors"

if command -v script >/dev/null; then
    script -qec "printf 'line\n' | '$WEIR_BUILD_DIR/weir-cat'" /dev/null </dev/null |
        tr -d '\r' | grep -qx line || fail "a tty"
    echo "ok a tty"
fi
