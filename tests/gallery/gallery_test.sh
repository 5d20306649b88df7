#!/bin/bash
# SPDX-License-Identifier: MIT
# Each program of the gallery says, done wrong, what src/gallery.md has under its name; and repaired
# it says nothing.
set -u
page=$WEIR_SOURCE_DIR/src/gallery.md
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
limit_s=40
failed=0

fail() {
    echo "FAILED $1: $2"
    sed 's/^/    /' "$work/said"
    failed=1
}

# expected NAME: the lines that the page has for it.
expected() {
    awk -v name="## $1" '
        $0 == name { found = 1 }
        /^```/ { inside = !inside; if (found && !inside) exit; next }
        found && inside' "$page"
}

# missing: the first line of `expected` that `said` does not have, in this order; backtraces may
# have more.
missing() {
    awk 'function matches(line, pattern,    n, i, parts, at) {
             n = split(pattern, parts, "[.][.][.]")
             if (substr(line, 1, length(parts[1])) != parts[1]) return 0
             line = substr(line, length(parts[1]) + 1)
             for (i = 2; i <= n; i++) {
                 at = index(line, parts[i])
                 if (parts[i] != "" && !at) return 0
                 if (parts[i] != "") line = substr(line, at + length(parts[i]))
             }
             return parts[n] == "" || line == ""
         }
         NR == FNR { wanted[++count] = $0; next }
         next_one < count && matches($0, wanted[next_one + 1]) { next_one++ }
         END { if (next_one < count) print wanted[next_one + 1]; exit !count }' \
        "$work/expected" "$work/said"
}

for program in "$WEIR_BUILD_DIR"/tests/gallery_*; do
    [ -f "$program" ] || continue
    name=${program##*/gallery_}
    expected "$name" >"$work/expected"
    [ -s "$work/expected" ] || { fail "$name" "src/gallery.md does not tell of it" && continue; }
    timeout $limit_s "$program" wrong >"$work/said" 2>&1
    status=$?
    if [ $status = 77 ]; then
        cat "$work/said"
        continue
    fi
    [ $status = 0 ] || fail "$name wrong" "status $status"
    lacks=$(missing)
    [ -z "$lacks" ] || fail "$name wrong" "it does not say: $lacks"
    timeout $limit_s "$program" repaired >"$work/said" 2>&1 || fail "$name repaired" "status $?"
    [ ! -s "$work/said" ] || fail "$name repaired" "it is not quiet"
    echo "tried $name"
done
while read -r name; do
    [ -x "$WEIR_BUILD_DIR/tests/gallery_$name" ] || fail "$name" "there is no such program"
done < <(sed -n 's/^## //p' "$page")
exit $failed
