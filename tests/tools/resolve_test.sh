#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# weir_resolve finds what the system's resolver finds, in its order: for numeric addresses and all
# names of /etc/hosts, which ask no name server; by weir_dial a name leads to its server.
# shellcheck source=tests/tools/peer.sh
. "${0%/*}/peer.sh"
need getent awk timeout
cat >"$work/resolve.c" <<'END'
#include <weir.h>

#include <arpa/inet.h>
#include <stdio.h>

/* Each name's addresses, a line each, as getent(1) prints them. */
static int resolve_all(void *arg)
{
    for (char **names = arg; *names; names++) {
        struct weir_resolved found[WEIR_RESOLVE_MAX];
        int count = weir_resolve(*names, "80", NULL, found, WEIR_RESOLVE_MAX, weir_in_seconds(20));

        if (count < 0)
            printf("%s\n", weir_error_name(count));
        for (int i = 0; i < count; i++) {
            char text[INET6_ADDRSTRLEN] = "";

            if (found[i].any.sa_family == AF_INET)
                inet_ntop(AF_INET, &found[i].v4.sin_addr, text, sizeof text);
            else
                inet_ntop(AF_INET6, &found[i].v6.sin6_addr, text, sizeof text);
            printf("%s\n", text);
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    (void)argc;
    return weir_run(resolve_all, argv + 1, NULL);
}
END
"$CC" -Wall -Wextra -Werror -O2 -I"$WEIR_SOURCE_DIR/include" "$work/resolve.c" \
    "$WEIR_BUILD_DIR/libweir.a" -luring -ldl -lpthread -o "$work/resolve"

# compare NAME: the same addresses in the same order.
compare() {
    timeout 30 getent ahosts "$1" | awk '$2 == "STREAM" { print $1 }' >"$work/expected" || true
    [ -s "$work/expected" ] || return 0 # the system does not know it either
    timeout 30 "$work/resolve" "$1" >"$work/found" 2>"$work/resolve.log" || fail "$1"
    same "$work/expected" "$work/found"
    echo "ok $1: $(tr '\n' ' ' <"$work/found")"
}

compare 127.0.0.1
compare ::1
compare 192.0.2.7
# shellcheck disable=SC2013 # words, indeed
for name in $(awk '!/^ *#/ { for (i = 2; i <= NF; i++) if ($i !~ /^#/) print $i; else break }' \
    /etc/hosts | sort -u | grep -vx localhost); do
    compare "$name"
done

# localhost is both loopback addresses, whatever a file says.
timeout 30 "$work/resolve" localhost >"$work/found"
timeout 30 getent ahosts localhost | awk '$2 == "STREAM" { print $1 }' >"$work/expected"
! grep -vxFf "$work/found" "$work/expected" || fail "localhost lacks what the system has"
echo "ok localhost: $(tr '\n' ' ' <"$work/found")"

# By name, to a server that is on IPv4 only.
need socat
find_port
start server timeout 100 socat "TCP4-LISTEN:$free_port,bind=127.0.0.1,reuseaddr,fork" SYSTEM:cat
await listens "$free_port"
start_tool weir-proxy 127.0.0.1:0 "localhost:$free_port"
[ "$(echo word | timeout 20 socat -t 10 - "TCP:127.0.0.1:$port")" = word ] || fail "dialing"
echo "ok dialed by name"
