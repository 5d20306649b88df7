#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# weir-proxy between two socats: byte for byte, ends in either order, unix-domain sockets, the
# bounds on descriptors and connections, silence, and a target that is not there.
# shellcheck source=tests/tools/peer.sh
. "${0%/*}/peer.sh"
need socat timeout
random_file sent "$(full 8 200)"
random_file answer "$(full 8 200)"
find_port
target=$free_port
start_tool weir-proxy 127.0.0.1:0 "127.0.0.1:$target"
proxy=$pid

# --- Both ways at once; each side ends its direction when it has sent all. ------------------------

# By socat: netcat (1.219) now and then leaves before it has received all, whatever is between.
timeout 100 socat -t 60 "TCP-LISTEN:$target,bind=127.0.0.1,reuseaddr" - \
    <"$work/answer" >"$work/arrived" &
server=$!
until timeout 100 socat -t 60 - "TCP:127.0.0.1:$port" <"$work/sent" >"$work/answered" &&
    [ -s "$work/answered" ]; do
    sleep 0.02 # the server does not listen yet
done
wait "$server"
same "$work/sent" "$work/arrived"
same "$work/answer" "$work/answered"
echo "ok both ways"

# --- The answer is given only once the question has ended: that end gets through alone. -----------

start server timeout 100 socat "TCP-LISTEN:$target,bind=127.0.0.1,reuseaddr,fork" \
    "SYSTEM:sha256sum; cat $work/answer"
server=$pid
await listens "$target"
timeout 100 socat -t 60 - "TCP:127.0.0.1:$port" <"$work/sent" >"$work/answered"
sha256sum <"$work/sent" | cat - "$work/answer" >"$work/expected"
same "$work/expected" "$work/answered"
echo "ok half closed"

# --- A target that is gone: the client is told, by a reset. ---------------------------------------

kill "$server"
wait "$server" || true
timeout 20 socat -d -d -u "TCP:127.0.0.1:$port" - >"$work/answered" 2>"$work/refused.log"
grep -q 'reset by peer' "$work/refused.log" || fail "no reset"
[ ! -s "$work/answered" ] || fail "an answer from nobody"
kill "$proxy"
echo "ok refused"

# --- Unix-domain sockets. -------------------------------------------------------------------------

start server timeout 100 socat "UNIX-LISTEN:$work/target,fork" SYSTEM:cat
await [ -S "$work/target" ]
start_tool weir-proxy "unix:$work/front" "unix:$work/target"
timeout 100 socat -t 60 - "UNIX-CONNECT:$work/front" <"$work/sent" >"$work/answered"
same "$work/sent" "$work/answered"
kill "$pid"
echo "ok unix"

# --- Bounds. --------------------------------------------------------------------------------------

# ask FD: what goes out must come back.
ask() {
    echo "word $1" >&"$1"
    IFS= read -r -t 30 answer <&"$1" || answer=nothing
    [ "$answer" = "word $1" ] || fail "asked $1, got '$answer'"
}

# crowd COUNT: that many clients, each of which is there but silent.
crowd() {
    clients=()
    for _ in $(seq "$1"); do
        exec {client}<>"/dev/tcp/127.0.0.1/$port"
        clients+=("$client")
    done
}

disperse() {
    for client in "${clients[@]}"; do
        exec {client}>&-
    done
}

# Descriptors for ten connections, connections for five: beyond, clients wait in the backlog, are
# served when the others have left, and the one that was there is served all the time.
for bound in descriptors connections; do
    if [ "$bound" = descriptors ]; then
        (ulimit -n 36; start_tool weir-proxy 127.0.0.1:0 "unix:$work/target"
         echo "$pid $port" >"$work/ids"; trap - EXIT)
        read -r pid port <"$work/ids"
        started+=("$pid")
    else
        start_tool weir-proxy --connections 5 127.0.0.1:0 "unix:$work/target"
    fi
    exec {first}<>"/dev/tcp/127.0.0.1/$port"
    ask "$first"
    crowd 40
    ask "$first"
    disperse
    crowd 3
    ask "${clients[2]}"
    ask "$first"
    disperse
    exec {first}>&-
    kill "$pid"
    echo "ok few $bound"
done

# --- Asked to stop: what is under way goes on to its end. ----------------------------------------

start_tool weir-proxy 127.0.0.1:0 "unix:$work/target"
proxy=$(pgrep -P "$pid")
exec {first}<>"/dev/tcp/127.0.0.1/$port"
ask "$first"
kill -TERM "$proxy"
ask "$first"
exec {first}>&-
wait "$pid" || fail "the proxy has ended with $?"
echo "ok stopped"

# --- Silence: closed after a second of it, and not while one direction is at work. ----------------

start_tool weir-proxy --idle 1 127.0.0.1:0 "unix:$work/target"
exec {first}<>"/dev/tcp/127.0.0.1/$port"
ask "$first"
IFS= read -r -t 20 answer <&"$first" && fail "'$answer' out of nowhere"
[ $? -le 128 ] || fail "a silent connection is not closed"
exec {first}>&-
echo "ok silence"
