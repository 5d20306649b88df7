#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A tree of files over weir-proxy, by rsync both ways and by tar: equal at the other end.
# shellcheck source=tests/tools/peer.sh
. "${0%/*}/peer.sh"
need rsync tar socat diff timeout
mkdir -p "$work/tree" "$work/pulled" "$work/stored" "$work/unpacked"
cp -r "$WEIR_SOURCE_DIR/src" "$WEIR_SOURCE_DIR/include" "$work/tree"
random_file tree/large "$(full 16 300)"
ln -s src/README.md "$work/tree/link"
: >"$work/tree/empty"

find_port
cat >"$work/rsyncd.conf" <<END
use chroot = no
munge symlinks = no
address = 127.0.0.1
port = $free_port
[tree]
path = $work/tree
uid = $(id -u)
gid = $(id -g)
[stored]
path = $work/stored
read only = no
uid = $(id -u)
gid = $(id -g)
END
start rsync timeout 200 rsync --daemon --no-detach --config "$work/rsyncd.conf" \
    --log-file "$work/rsyncd.log"
await listens "$free_port"
start_tool weir-proxy 127.0.0.1:0 "127.0.0.1:$free_port"
proxy=$pid

# equal NAME FOLDER
equal() {
    diff -r --no-dereference "$work/tree" "$work/$2" || fail "$1"
    echo "ok $1"
}

timeout 100 rsync -a "rsync://127.0.0.1:$port/tree/" "$work/pulled"
equal "rsync from there" pulled
timeout 100 rsync -a --checksum "$work/tree/" "rsync://127.0.0.1:$port/stored/"
equal "rsync to there" stored
echo more >>"$work/tree/large" # only the difference travels
timeout 100 rsync -a "$work/tree/" "rsync://127.0.0.1:$port/stored/"
equal "rsync of a change" stored
kill "$proxy"

start unpack timeout 200 socat -u "UNIX-LISTEN:$work/target" "SYSTEM:tar -x -C $work/unpacked"
unpack=$pid
await [ -S "$work/target" ]
start_tool weir-proxy "unix:$work/front" "unix:$work/target"
tar -c -C "$work/tree" . | timeout 100 socat -u - "UNIX-CONNECT:$work/front"
wait "$unpack"
equal "tar" unpacked
