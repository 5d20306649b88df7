#!/bin/bash
# SPDX-License-Identifier: MIT
# What reports tell people to call is there: each weir_* name in the strings of the watch room, and
# on the pages for those who choose and those who chose wrongly, is declared in a public header.
set -u
cd "$WEIR_SOURCE_DIR" || exit 1
failed=0
count=0

names() {
    grep -ohE '"([^"\\]|\\.)*"' src/watch/*.[ch] | grep -oE '\bweir_[a-z0-9_]+'
    grep -ohE '\bweir_[a-z0-9_]+' src/gallery.md src/choosing.md
}

while read -r name; do
    count=$((count + 1))
    grep -qwE "$name" include/weir/*.h && continue
    echo "FAILED: no public header has $name, which is said in:"
    grep -lw "$name" src/watch/* src/gallery.md src/choosing.md
    failed=1
done < <(names | sort -u | grep -vx weir_interpose_to) # that one is the interposer's
[ "$count" -gt 50 ] || { echo "FAILED: only $count names were found"; failed=1; }
exit $failed
