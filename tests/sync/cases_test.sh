#!/bin/sh
# SPDX-License-Identifier: MIT
# The table of conformance cases: numbers rise, each named test exists and is run, and each test
# that carries a number is in the table. A file of another room is named with it.
set -eu
cd "$WEIR_SOURCE_DIR/tests/sync"
set -- ./*_test.c ../flow/*_test.c ../io/*_test.c ../model/*_test.c ../pool/*_test.c \
    ../watch/*_test.c
last=0
carried=0
waiting=0
without=0

fail() {
    echo "cases.txt: $*" >&2
    exit 1
}

while read -r number file name; do
    case $number in
    '#'* | '') continue ;;
    [0-9][0-9][0-9]) ;;
    *) fail "$number is no case number" ;;
    esac
    decimal=${number#0}
    decimal=${decimal#0}
    [ "$decimal" -ge "$last" ] || fail "$number comes after $last"
    if [ "$file" = - ]; then
        [ "$decimal" -gt "$last" ] || fail "$number is both carried and not"
        [ -n "$name" ] || fail "$number waits for nothing"
        case $name in
        'nothing: '*) without=$((without + 1)) ;;
        *) waiting=$((waiting + 1)) ;;
        esac
    else
        case $file in */*) file=../$file ;; esac
        grep -q "cmocka_unit_test($name)" "$file" || fail "$number: $file does not run $name"
        carried=$((carried + 1))
    fi
    last=$decimal
done <cases.txt

sed -n 's/.*cmocka_unit_test(\(case_[0-9a-z_]*\)).*/\1/p' "$@" | while read -r name; do
    grep -q " $name\$" cases.txt || fail "$name is missing"
done
sed -n -e 's/^CASE(\(case_[0-9a-z_]*\),.*/\1/p' \
    -e 's/^static void \(case_[0-9a-z_]*\)(.*/\1/p' "$@" | while read -r name; do
    grep -q "cmocka_unit_test($name)" "$@" || fail "$name is never run"
done
echo "$carried carried, $waiting not yet due, $without do not apply"
