#!/bin/sh
# SPDX-License-Identifier: MIT
# The model check must find every seeded fault of mutants.txt: each is put into copies of the files
# that it changes, they are compiled and take the place of the true ones, and the check must fail.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
libraries=$WEIR_BUILD_DIR/tests/model
mutants_min=10

# mutate: for each mutant a folder $work/NUMBER with its name, and the changed files by their path.
# A text to be changed must be found exactly once.
mutate() {
    awk -v source="$WEIR_SOURCE_DIR" -v work="$work" '
        function change(    path, text, line, place) {
            if (file == "")
                return
            path = folder "/" file
            system("[ -e " path " ] || { mkdir -p `dirname " path "` && cp " source "/" file " " \
                   path "; }")
            text = "\n"
            while ((getline line < path) > 0)
                text = text line "\n"
            close(path)
            place = index(text, "\n" old)
            if (!place || index(substr(text, place + 1), "\n" old)) {
                print "mutants.txt: " name ": not found once in " file ":\n" old
                failed = 1
                exit 1
            }
            printf "%s%s%s", substr(text, 2, place - 1), new,
                substr(text, place + 1 + length(old)) >path
            close(path)
            file = old = new = ""
        }
        /^[=@]/ { change() }
        /^=/ {
            name = substr($0, 3)
            folder = work "/" (100 + count++)
            system("mkdir " folder)
            print name >(folder "/name")
        }
        /^@/ { file = $2 }
        /^-/ { old = old substr($0, 2) "\n" }
        /^\+/ { new = new substr($0, 2) "\n" }
        END {
            if (!failed)
                change()
        }
    ' "$WEIR_SOURCE_DIR/tests/model/mutants.txt"
}

# sources: what must be compiled of the mutant in this folder; when it changes a header, all.
sources() {
    if find . -name '*.h' | grep -q .; then
        for file in "$WEIR_SOURCE_DIR"/src/sync/*.c "$WEIR_SOURCE_DIR/src/core/wait.c"; do
            own=${file#"$WEIR_SOURCE_DIR/"}
            if [ -e "$own" ]; then echo "$own"; else echo "$file"; fi
        done
    else
        find . -name '*.c'
    fi
}

# hunt FOLDER: writes what the check said of this mutant to FOLDER/verdict; "missed" when it did not
# fail for a reason of its own.
hunt() {
    cd "$1"
    # shellcheck disable=SC2046 # no blanks in these paths
    if ! "$CC" -std=gnu11 -O1 -D_GNU_SOURCE -DWEIR_MODEL=1 -Isrc -I"$WEIR_SOURCE_DIR/src" \
        -I"$WEIR_SOURCE_DIR/include" -ffunction-sections $(sources) "$work/test.o" \
        -Wl,--gc-sections -Wl,--start-group "$libraries/libweir_model.a" \
        "$libraries/libweir_checked.a" -Wl,--end-group -lcmocka -o check 2>log; then
        echo "missed: it does not compile" >verdict
        return
    fi
    status=0
    timeout 60 ./check >log 2>&1 || status=$?
    case $status in
    0) echo "missed" ;;
    124) echo "missed: the check does not end" ;;
    *) grep -h '^model: \|^weir: ' log | tail -n 1 | grep . || echo "missed: exit code $status" ;;
    esac >verdict
}

mutate || exit 1
"$CC" -std=gnu11 -O1 -I"$WEIR_SOURCE_DIR/tests" -I"$WEIR_SOURCE_DIR/include" \
    -c "$WEIR_SOURCE_DIR/tests/model/chan_test.c" -o "$work/test.o"
for folder in "$work"/*[02468]; do hunt "$folder"; done &
for folder in "$work"/*[13579]; do hunt "$folder"; done
wait
count=0
missed=0
for folder in "$work"/1*; do
    verdict=$(cat "$folder/verdict")
    echo "$(cat "$folder/name"): $verdict"
    count=$((count + 1))
    case $verdict in missed*) missed=$((missed + 1)) ;; esac
done
echo "$count mutants, $missed missed"
[ "$count" -ge "$mutants_min" ] && [ "$missed" = 0 ]
