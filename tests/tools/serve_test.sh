#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# weir-serve and curl, byte for byte: files, ranges, kept connections, many at once; clients that
# are slow, break off, or speak nonsense; wrk for load. Its memory stays bounded through all of it.
# shellcheck source=tests/tools/peer.sh
. "${0%/*}/peer.sh"
need curl nc timeout
mkdir -p "$work/folder/sub"
random_file folder/large "$(full 16 300)"
random_file folder/small.bin 1
head -c 1000 "$work/folder/large" >"$work/folder/tiny.txt"
: >"$work/folder/empty.json"
echo '<p>here</p>' >"$work/folder/index.html"
echo 'with a space' >"$work/folder/sub/a b"
ln -s /nowhere "$work/folder/dangling"
echo secret >"$work/secret"
start_tool weir-serve --listen 127.0.0.1:0 "$work/folder"
server=$(pgrep -P "$pid")
base=http://$address
curl=(timeout 60 curl --silent --show-error --max-time 50)

# --- What curl gets. ------------------------------------------------------------------------------

for file in large small.bin tiny.txt empty.json; do
    "${curl[@]}" --fail "$base/$file" >"$work/got"
    same "$work/folder/$file" "$work/got"
done
[ "$("${curl[@]}" "$base/")" = '<p>here</p>' ] || fail "the index"
[ "$("${curl[@]}" "$base/sub/a%20b?query")" = 'with a space' ] || fail "an escaped name"
echo "ok files"

# status EXPECTED ARGUMENT...
status() {
    local got
    got=$("${curl[@]}" --output "$work/got" --write-out '%{http_code}' "${@:2}") || true
    [ "$got" = "$1" ] || fail "$got instead of $1: ${*:2}"
}

status 404 "$base/missing"
status 404 "$base/sub"
status 404 "$base/dangling"
status 404 "$base/$(printf 'x%.0s' $(seq 300))"
status 400 --path-as-is "$base/../secret"
status 400 --path-as-is "$base/sub/..%2f..%2fsecret"
status 400 --path-as-is "$base/sub/%2e%2e/%2E%2E/secret"
status 400 "$base/%zz"
status 400 "$base/%00"
status 405 --request DELETE "$base/tiny.txt"
status 413 --data something --request GET "$base/tiny.txt"
status 200 --head "$base/large"
[ ! -s "$work/got" ] || grep -q "^Content-Length: $(stat -c %s "$work/folder/large")" "$work/got" ||
    fail "HEAD"
echo "ok statuses"

# range RANGE FIRST COUNT: curl's range, and the bytes that it is.
range() {
    status 206 --range "$1" "$base/large"
    tail -c "+$(($2 + 1))" "$work/folder/large" | head -c "$3" >"$work/expected" || true
    same "$work/expected" "$work/got"
}

bytes=$(stat -c %s "$work/folder/large")
range 0-0 0 1
range 1000-70000 1000 69001
range "$((bytes - 5))-" $((bytes - 5)) 5
range -100 $((bytes - 100)) 100
range "5-$((bytes * 2))" 5 $((bytes - 5))
status 416 --range "$bytes-" "$base/large"
status 416 --range -0 "$base/large"
status 200 --header 'Range: bytes=7-5' "$base/tiny.txt"
status 200 --header 'Range: bytes=1-2,5-6' "$base/tiny.txt"
same "$work/folder/tiny.txt" "$work/got"
echo "ok ranges"

"${curl[@]}" --fail --continue-at 5000 --output "$work/got" "$base/large" 2>/dev/null || true
connects=$("${curl[@]}" --fail --output /dev/null --output /dev/null --output /dev/null \
    --write-out '%{num_connects} ' "$base/tiny.txt" "$base/sub/a%20b" "$base/tiny.txt")
[ "$connects" = '1 0 0 ' ] || fail "the connection was not kept: $connects"
connects=$("${curl[@]}" --http1.0 --output /dev/null --output /dev/null \
    --write-out '%{num_connects} ' "$base/tiny.txt" "$base/tiny.txt")
[ "$connects" = '1 1 ' ] || fail "HTTP/1.0 was kept: $connects"
printf 'GET /tiny.txt HTTP/1.1\r\n\r\nHEAD /large HTTP/1.1\r\n\r\nGET /empty.json HTTP/1.1\r
Connection: close\r\n\r\n' | timeout 20 nc 127.0.0.1 "$port" >"$work/got"
[ "$(grep -ao 'HTTP/1.1 200 OK' "$work/got" | wc -l)" = 3 ] || fail "a pipeline of three"
echo "ok kept connections"

# --- Many at once. --------------------------------------------------------------------------------

count=$(full 60 1000)
seq "$count" | timeout 200 xargs -P 30 -I {} curl --silent --fail --max-time 100 \
    --output "$work/many-{}" "$base/small.bin"
for i in $(seq "$count"); do
    same "$work/folder/small.bin" "$work/many-$i"
    rm "$work/many-$i"
done
echo "ok $count clients"

# --- Clients that behave badly. -------------------------------------------------------------------

# resident: in KiB.
resident() {
    awk '/^VmRSS/ { print $2 }' "/proc/$server/status"
}

# says STATUS: to what is in `ask`.
says() {
    timeout 20 nc -N 127.0.0.1 "$port" <"$work/ask" >"$work/got" || true
    head -n 1 "$work/got" | grep -q "^HTTP/1.1 $1" ||
        fail "'$(head -n 1 "$work/got")' instead of $1"
}

before=$(resident)
head -c 300000 /dev/urandom | tr -d '\r\n' >"$work/ask"
says 431
{ printf 'GET / HTTP/1.1\r\n' && head -c 100000 /dev/zero | tr '\0' A; } >"$work/ask"
says 431
printf 'nonsense\r\n\r\n' >"$work/ask"; says 400
printf 'GET  /\r\n\r\n' >"$work/ask"; says 505
printf 'GET / HTTP/2.0\r\n\r\n' >"$work/ask"; says 505
printf 'GET / HTTP/1.1\r\nno colon\r\n\r\n' >"$work/ask"; says 400
printf 'GET / HTTP/1.1\r\nx: \0\r\n\r\n' >"$work/ask"; says 400
printf 'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n' >"$work/ask"; says 405
for _ in $(seq 50); do # break off in the middle
    timeout 20 curl --silent --max-time 20 "$base/large" | head -c 100000 >/dev/null || true
done
# Slow ones: a body that nobody reads, and a head that does not come.
clients=()
for _ in $(seq 40); do
    exec {client}<>"/dev/tcp/127.0.0.1/$port"
    printf 'GET /large HTTP/1.1\r\n\r\n' >&"$client"
    clients+=("$client")
    exec {client}<>"/dev/tcp/127.0.0.1/$port"
    printf 'G' >&"$client"
    clients+=("$client")
done
last=$client
status 200 "$base/tiny.txt"
timeout 60 curl --silent --max-time 50 --limit-rate 2M --range 0-3000000 "$base/large" >"$work/got"
head -c 3000001 "$work/folder/large" >"$work/expected"
same "$work/expected" "$work/got"
if [ "$WEIR_TEST_TIER" != fast ]; then # a head has ten seconds
    IFS= read -r -t 30 answer <&"$last" || true
    [ "${answer-}" = $'HTTP/1.1 408 Request Timeout\r' ] || fail "a slow head: '${answer-}'"
fi
after=$(resident)
[ $((after - before)) -lt 8192 ] || fail "it holds $before KiB, and after bad clients $after"
kill -0 "$server" || fail "the server has ended"
echo "ok bad clients: $before KiB before, $after after"

# --- Load. ----------------------------------------------------------------------------------------

if command -v wrk >/dev/null; then
    timeout 60 wrk -t 1 -c 64 -d "$(full 1 10)s" "$base/tiny.txt" >"$work/wrk.log"
    ! grep -E 'Socket errors|Non-2xx' "$work/wrk.log" || fail "wrk met errors"
    awk '/^Requests\/sec/ { print "ok wrk: " $2 " a second" }' "$work/wrk.log"
else
    echo "skipped: load: there is no wrk"
fi

# --- Asked to stop: who is being served is served to the end. ------------------------------------

for client in "${clients[@]}"; do # else they would be waited for
    exec {client}>&-
done
rm "$work/got"
timeout 60 curl --silent --max-time 50 --limit-rate 1M --range 0-2000000 "$base/large" \
    >"$work/got" 2>/dev/null &
download=$!
await [ -s "$work/got" ]
kill -TERM "$server"
wait "$download" || fail "the download was broken off"
head -c 2000001 "$work/folder/large" >"$work/expected"
same "$work/expected" "$work/got"
wait "$pid" || fail "the server has ended with $?"
echo "ok stopped"
