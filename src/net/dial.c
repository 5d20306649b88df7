/* SPDX-License-Identifier: MIT */
/*
 * Dialing: the race of a name's addresses; the chapter is <weir/dial.h>.
 *
 * Each attempt is a task of its own on the caller's loop, so they touch the race without a lock. An
 * attempt that connects too late, or is cancelled, closes its own socket; the scope is joined
 * before the caller goes on: so no descriptor is left, whoever was first. A single address is
 * connected to without a race.
 */
#include "base/clock.h"
#include "base/kernel.h"
#include "core/loop.h"
#include "core/park.h"
#include "io/socket.h"
#include "net/address.h"
#include "net/resolve.h"

#include <weir/chan.h>
#include <weir/descriptor.h>
#include <weir/dial.h>
#include <weir/scope.h>
#include <weir/socket.h>
#include <weir/task.h>

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>

enum { STAGGER_NS = 250000000, KEEPALIVE_S_MAX = 32767, KEEPALIVE_COUNT_MAX = 127 };

struct attempt {
    struct race *race;
    const struct weir_resolved *address;
};

/* One dial. */
struct race {
    const struct weir_dial_options *options;
    struct weir__address local; /* to bind to; no bytes: none */
    int64_t deadline_ns;
    struct weir_resolved addresses[WEIR_RESOLVE_MAX];
    struct attempt slots[WEIR_RESOLVE_MAX];
    unsigned count;
    unsigned next; /* the first that was not tried yet */
    struct weir_scope *attempts;
    struct weir_chan *ended; /* a signal for each attempt that has */
    unsigned running;
    int winner; /* -1: none yet */
    int error;  /* the most telling so far */
};

static int set_option(int fd, int level, int name, int value)
{
    return weir__kernel_setsockopt(fd, level, name, &value, sizeof value);
}

static int set_keepalive(int fd, const struct weir_dial_options *options)
{
    int error = set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);

    if (error >= 0)
        error = set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, options->keepalive_s);
    if (error >= 0 && options->keepalive_interval_s)
        error = set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, options->keepalive_interval_s);
    if (error >= 0 && options->keepalive_count)
        error = set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, options->keepalive_count);
    return error;
}

/* IP_BIND_ADDRESS_NO_PORT: a port is taken at connect, so that those of other peers serve too. */
static int bind_local(int fd, const struct race *race, int family)
{
    int error;

    if (race->local.bytes == 0)
        return 0;
    if (race->local.any.sa_family != family)
        return -EAFNOSUPPORT;
    error = set_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    if (error < 0)
        return error;
    return weir_bind(fd, &race->local.any, race->local.bytes, race->deadline_ns);
}

/* A TCP socket that looks for a peer at a port of its own host where nobody listens may be given
 * that very port, and meets itself. */
static bool is_itself(int fd, const struct weir_resolved *peer)
{
    struct weir__address own = { .bytes = sizeof own.v6 };

    if (weir__kernel_getsockname(fd, &own.any, &own.bytes) < 0 ||
        own.v6.sin6_port != peer->v6.sin6_port)
        return false;
    if (own.any.sa_family == AF_INET)
        return own.v4.sin_addr.s_addr == peer->v4.sin_addr.s_addr;
    return memcmp(&own.v6.sin6_addr, &peer->v6.sin6_addr, sizeof own.v6.sin6_addr) == 0;
}

/* One attempt, from no socket to a connected one. */
static int connect_to(const struct race *race, const struct weir_resolved *address)
{
    int fd = weir_socket(address->any.sa_family, SOCK_STREAM, 0);
    int error;

    if (fd < 0)
        return fd;
    error = bind_local(fd, race, address->any.sa_family);
    if (error >= 0 && race->options->no_nodelay)
        error = set_option(fd, IPPROTO_TCP, TCP_NODELAY, 0);
    if (error >= 0 && race->options->keepalive_s)
        error = set_keepalive(fd, race->options);
    if (error >= 0)
        error = weir_connect(fd, &address->any, address->bytes, race->deadline_ns);
    if (error >= 0 && is_itself(fd, address))
        error = -ECONNREFUSED;
    if (error >= 0)
        return fd;
    weir_close(fd);
    return error;
}

/* How far an attempt got that ended so. */
static int progress(int error)
{
    switch (error) {
    case -EADDRNOTAVAIL: /* no such family here, or no port */
    case -EAFNOSUPPORT:
        return 1;
    case -ENETUNREACH:
    case -EHOSTUNREACH:
        return 2;
    case -ETIMEDOUT:
    case -ETIME:
        return 3;
    default: /* somebody answered, or something is wrong here that will stay so */
        return 4;
    }
}

static void note(struct race *race, int result)
{
    if (result >= 0 && race->winner < 0)
        race->winner = result;
    else if (result >= 0)
        weir_close(result);
    else if (race->error == 0 || progress(result) >= progress(race->error))
        race->error = result;
}

static int run_attempt(void *arg)
{
    struct attempt attempt = *(struct attempt *)arg;
    struct race *race = attempt.race;
    int told;

    note(race, connect_to(race, attempt.address));
    race->running--;
    told = weir_chan_send(race->ended, NULL, WEIR_NOW);
    (void)told; /* cancelled, full: the caller knows already */
    return 0;
}

/* The next address is tried: by a task of its own; where none can be had, by the caller, alone. */
static void start_attempt(struct race *race)
{
    const struct weir_spawn_options options = { .name = "dial" };
    struct attempt *attempt = &race->slots[race->next];

    *attempt = (struct attempt){ .race = race, .address = &race->addresses[race->next++] };
    race->running++;
    if (weir_spawn(race->attempts, run_attempt, attempt, &options) < 0)
        run_attempt(attempt);
}

/* Until one has won, all have failed, or the caller must go: 0 or why. */
static int run_race(struct race *race)
{
    int64_t stagger_ns = race->options->stagger_ns ? race->options->stagger_ns : STAGGER_NS;
    int error = 0;

    while (race->winner < 0 && error >= 0) {
        int64_t next_ns = race->deadline_ns;

        if (race->next < race->count) {
            start_attempt(race);
            next_ns = weir__clock_add(weir__clock_now(), stagger_ns);
        } else if (race->running == 0) {
            break;
        }
        if (next_ns > race->deadline_ns || race->next == race->count)
            next_ns = race->deadline_ns;
        error = weir_chan_recv(race->ended, NULL, next_ns);
        if (error == -ETIME && next_ns < race->deadline_ns)
            error = 0; /* silent for long enough: the next one */
    }
    return error;
}

/* Several addresses: one after the other, side by side. */
static int hold_race(struct race *race)
{
    int error = weir_scope_create(&race->attempts, WEIR_SCOPE_COLLECT, NULL);

    if (error < 0)
        return error;
    error = weir_chan_create(&race->ended, 0, WEIR_RESOLVE_MAX, NULL);
    if (error >= 0)
        error = run_race(race);
    weir_scope_cancel(race->attempts);
    weir_scope_join(race->attempts, WEIR_FOREVER);
    weir_chan_release(race->ended);
    if (race->winner >= 0) /* perhaps while it was being cancelled: it did connect */
        return race->winner;
    return error < 0 ? error : race->error;
}

/* RFC 8305, section 4: the families in turn, beginning with the one the system prefers. */
static void interleave(struct race *race)
{
    struct weir_resolved sorted[WEIR_RESOLVE_MAX];
    int family = race->addresses[0].any.sa_family;
    unsigned first = 0, other = 0;

    for (unsigned i = 0; i < race->count; i++) {
        unsigned *at = i % 2 ? &other : &first, *rest = i % 2 ? &first : &other;
        bool wants_first = i % 2 == 0;

        while (*at < race->count && (race->addresses[*at].any.sa_family == family) != wants_first)
            ++*at;
        if (*at == race->count) { /* no more of this family */
            at = rest;
            wants_first = !wants_first;
            while ((race->addresses[*at].any.sa_family == family) != wants_first)
                ++*at;
        }
        sorted[i] = race->addresses[(*at)++];
    }
    memcpy(race->addresses, sorted, race->count * sizeof *sorted);
}

static int check_options(const struct weir_dial_options *options)
{
    if (options->size && options->size != sizeof *options)
        return -EINVAL;
    if (options->family != 0 && options->family != AF_INET && options->family != AF_INET6)
        return -EINVAL;
    if (options->stagger_ns < 0 || options->addresses_max > WEIR_RESOLVE_MAX)
        return -EINVAL;
    if (options->keepalive_s < 0 || options->keepalive_s > KEEPALIVE_S_MAX ||
        options->keepalive_interval_s < 0 || options->keepalive_interval_s > KEEPALIVE_S_MAX ||
        options->keepalive_count < 0 || options->keepalive_count > KEEPALIVE_COUNT_MAX)
        return -EINVAL;
    for (size_t i = 0; i < sizeof options->reserved / sizeof options->reserved[0]; i++)
        if (options->reserved[i])
            return -EINVAL;
    return 0;
}

static int dial_unix(const char *text, int64_t deadline_ns)
{
    struct weir__address address;
    int error = weir__address_parse(&address, text);
    int fd = error < 0 ? error : weir_socket(AF_UNIX, SOCK_STREAM, 0);

    if (fd < 0)
        return fd;
    error = weir_connect(fd, &address.any, address.bytes, deadline_ns);
    if (error >= 0)
        return fd;
    weir_close(fd);
    return error;
}

/* The addresses, in the order in which they are tried. */
static int find_addresses(struct race *race, const char *text)
{
    const struct weir_resolve_hints hints = {
        .family = race->options->family,
        .fresh = race->options->fresh,
    };
    unsigned most = race->options->addresses_max ? race->options->addresses_max : WEIR_RESOLVE_MAX;
    char host[WEIR__HOST_BYTES], service[WEIR__SERVICE_BYTES];
    int result = weir__address_split(text, host, service);

    if (result >= 0)
        result = weir_resolve(host, service, &hints, race->addresses, WEIR_RESOLVE_MAX,
                              race->deadline_ns);
    if (result < 0)
        return result;
    race->count = (unsigned)result;
    interleave(race);
    if (race->count > most)
        race->count = most;
    return 0;
}

/* A try, and a single address, need no race. */
static int connect_in_turn(struct race *race)
{
    while (race->winner < 0 && race->next < race->count)
        note(race, connect_to(race, &race->addresses[race->next++]));
    return race->winner >= 0 ? race->winner : race->error;
}

int weir_dial(const char *text, const struct weir_dial_options *options, int64_t deadline_ns)
{
    static const struct weir_dial_options standard;
    struct race race = {
        .options = options ? options : &standard,
        .deadline_ns = deadline_ns,
        .winner = -1,
    };
    int error = text ? check_options(race.options) : -EINVAL;

    if (error < 0)
        return error;
    if (!weir__loop_current)
        return weir__loop_forked ? -EOWNERDEAD : -ENXIO;
    if (strncmp(text, "unix:", 5) == 0)
        return race.options->local ? -EINVAL : dial_unix(text, deadline_ns);
    if (race.options->local)
        error = weir__address_parse(&race.local, race.options->local);
    if (error >= 0 && (race.local.both_families || race.local.any.sa_family == AF_UNIX))
        error = -EINVAL;
    if (error >= 0)
        error = find_addresses(&race, text);
    if (error < 0)
        return error;
    return race.count == 1 || deadline_ns == WEIR_NOW ? connect_in_turn(&race) : hold_race(&race);
}
