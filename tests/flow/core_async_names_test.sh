#!/bin/bash
# SPDX-License-Identifier: MIT
# The table in weir/flow.h for people who know core.async is whole, and compiled: its names are
# those of the API of core.async 1.8, each stands beside an example, and what it is here exists.
set -eu
cd "$WEIR_SOURCE_DIR"
api="<! <!! >! >!! admix alt! alt!! alts! alts!! buffer chan close! do-alts dropping-buffer filter<
filter> go go-loop into io-thread map map< map> mapcat< mapcat> merge mix mult offer! onto-chan
onto-chan! onto-chan!! partition partition-by pipe pipeline pipeline-async pipeline-blocking poll!
promise-chan pub put! reduce remove< remove> sliding-buffer solo-mode split sub take take! tap
thread thread-call timeout to-chan to-chan! to-chan!! toggle transduce unblocking-buffer? unique
unmix unmix-all unsub unsub-all untap untap-all"

# Two or more spaces part the two columns; a row that goes on begins with many.
rows=$(sed -n '/^ \* core.async  /,/^ \* What has/p' include/weir/flow.h | sed '1,2d;$d')
table=$(echo "$rows" | sed -n 's/^ \* \([^ ].*[^ ]\)   *[^ ].*/\1/p' | tr ' ' '\n' | grep . | sort)
examples=$(grep -o '/\* [^*]* \*/$' tests/flow/core_async_test.c | tr ' ' '\n' | sort -u)

fail() {
    echo "$*"
    exit 1
}

[ "$(echo "$api" | tr ' ' '\n' | sort)" = "$table" ] || {
    diff <(echo "$api" | tr ' ' '\n' | sort) <(echo "$table")
    fail "the table in flow.h is not the API"
}
for name in $table; do
    grep -qxF -- "$name" <<<"$examples" || fail "no example of $name"
done
for name in $(echo "$rows" | grep -o 'weir_[a-z_]*[a-z]' | sort -u); do
    grep -qrE "\\b$name\\b" include --include='*.h' --exclude=flow.h || fail "there is no $name"
done
