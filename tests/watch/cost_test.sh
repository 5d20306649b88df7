#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Off means off: what events cost, in instructions as callgrind counts them, on the loop's thread,
# with all detectors off, with those on that are on by default, and with all on; the first two are
# held against bounds. See cost.c for what is counted.
set -eu
count=4096 # as in cost.c
marks=4
limit_s=100

skip() {
    echo "skipped: $1"
    exit 77
}

setting() {
    sed -n "s/^$1:[A-Z]*=//p" "$WEIR_BUILD_DIR/CMakeCache.txt"
}

# The event; at most so many instructions with all detectors off; and by default. They are what this
# compiler makes of it now, and 5 more: one detector that is off, and pays too much, is seen.
bounds() {
    cat <<'ROWS'
yield                         95   95
rendezvous                   327  327
rendezvous with a deadline   404  404
buffered message             170  170
socket call                  708  713
file read                    267  267
spawn and join               673  673
scope create and join        480  480
channel create and release   715  715
ROWS
}

compiler=$("$CC" -dumpmachine)-$("$CC" -dumpversion)
case $compiler in
x86_64-linux-gnu-12) ;;
*) skip "the bounds are for what gcc 12 makes for x86_64; this is $compiler" ;;
esac
[ "$(setting CMAKE_BUILD_TYPE)" = RelWithDebInfo ] || skip "the bounds are for release builds"
command -v valgrind >/dev/null || skip "no valgrind"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# counted MODE: a line for each event: the instructions of one.
counted() {
    timeout --signal=KILL $limit_s valgrind --tool=callgrind --separate-threads=yes \
        --dump-before=cost_mark --callgrind-out-file="$work/$1" \
        "$WEIR_BUILD_DIR/tests/watch_cost" "$1" >"$work/names" 2>"$work/said" || {
        cat "$work/said" >&2
        return 1
    }
    # One file for the part before each mark, of the first thread: the loop's.
    awk -v count=$count -v marks=$marks '
        /^totals:/ {
            match(FILENAME, /[0-9]+-01$/)
            total[substr(FILENAME, RSTART) + 0] = $2
        }
        END {
            for (mark = marks; mark in total; mark += marks)
                printf "%.1f\n", (total[mark] - total[mark - 1]) / count
        }' "$work/$1".*-01 >"$work/$1.counts"
}

for mode in off default all; do
    counted $mode
done
bounds >"$work/bounds"
printf '%-28s %8s %8s %8s    %s\n' "instructions" off default all "bounds of the first two"
paste "$work"/{off,default,all}.counts "$work/names" "$work/bounds" | awk -F '\t' '
    {
        match($5, / [ 0-9]+$/)
        split(substr($5, RSTART), bound, " ")
        printf "%-28s %8.1f %8.1f %8.1f %8d %5d\n", $4, $1, $2, $3, bound[1], bound[2]
        if (index($5, $4 " ") != 1 || !($1 > 0) || !($2 > 0)) {
            print "FAILED: no count, or no bound, of: " $4
            failed = 1
        }
        if ($1 > bound[1] || $2 > bound[2]) {
            print "FAILED: " $4 " costs more than its bound"
            failed = 1
        }
    }
    END { exit failed || NR == 0 }'
