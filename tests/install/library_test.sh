#!/bin/bash
# SPDX-License-Identifier: MIT
# The shared library is whole: whatever it is built with, it needs nothing of weir itself from
# others, or no program could be linked with it.
set -u
library=$WEIR_BUILD_DIR/libweir.so
[ -e "$library" ] || { echo "skipped: $library is not built"; exit 77; }
undefined=$(nm -D --undefined-only "$library") || exit 1
if missing=$(grep -w 'weir_[a-z0-9_]*' <<<"$undefined"); then
    printf 'FAILED: nobody defines these:\n%s\n' "$missing"
    exit 1
fi
grep -q 'pthread' <<<"$undefined" || { echo 'FAILED: not even threads are undefined'; exit 1; }
