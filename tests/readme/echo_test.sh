#!/bin/bash
# SPDX-License-Identifier: MIT
# The README's server, compiled as printed, answers; and survives a peer that resets, a spell
# without free descriptors, and clients that come and go.
set -eu
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT
port=$((20000 + RANDOM % 12000)) # below those that the kernel gives out

# shellcheck disable=SC2016 # these backquotes are the README's
awk '/^```c$/ { block++; next } block == 1' "$WEIR_SOURCE_DIR/README.md" | sed '/^```/,$d' \
    >"$work/echo.c"
grep -q weir_listener_serve "$work/echo.c" || { echo "FAILED: the README shows no server"; exit 1; }
"$CC" -Wall -Wextra -Werror -O2 -I"$WEIR_SOURCE_DIR/include" "$work/echo.c" \
    "$WEIR_BUILD_DIR/libweir.a" -luring -ldl -lpthread -o "$work/echo"

# Few descriptors, so that twenty idle clients use them up.
(ulimit -n 24 && exec timeout 60 "$work/echo" "127.0.0.1:$port") 2>"$work/log" &
server=$!

# Retries until the server listens: a state, seen from outside.
until exec 3<>"/dev/tcp/127.0.0.1/$port"; do
    if ! kill -0 "$server" 2>/dev/null; then
        grep -qE 'EPERM|ENOSYS' "$work/log" && echo "skipped: io_uring is not to be had" && exit 77
        cat "$work/log"
        exit 1
    fi
done 2>/dev/null

# ask FD WORD: the server must say the word back.
ask() {
    echo "$2" >&"$1"
    IFS= read -r -t 20 answer <&"$1" || answer=nothing
    [ "$answer" = "$2" ] || { echo "FAILED: sent '$2', got '$answer'"; cat "$work/log"; exit 1; }
}

ask 3 first
for _ in $(seq 30); do # more than it has descriptors for; those beyond wait in the backlog
    exec {client}<>"/dev/tcp/127.0.0.1/$port"
    clients="${clients-} $client"
done
ask 3 crowded
for client in $clients; do
    echo "unread" >&"$client" || true
    exec {client}>&- # closed with an answer unread: the server's next send is reset
done
exec 4<>"/dev/tcp/127.0.0.1/$port"
ask 4 afterwards
ask 3 last
kill -0 "$server" || { echo "FAILED: the server has ended"; cat "$work/log"; exit 1; }
echo "ok the README's server"
