/* SPDX-License-Identifier: MIT */
/*
 * A proxy for TCP and unix-domain streams. Each connection has two tasks, one a direction, with one
 * buffer each: who does not read is not read for, and no byte is held anywhere else.
 *
 *     weir-proxy [--loops N] [--connections N] [--idle SECONDS] LISTEN TARGET
 *     weir-proxy 127.0.0.1:7000 unix:/run/server.socket
 *
 * The end of one direction is passed on while the other goes on. When one side breaks, the other
 * sees a reset, and not an end that it could take for the whole.
 */
#include <weir.h>

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define NS_PER_S INT64_C(1000000000)

enum {
    BUFFER_BYTES = 32 * 1024,
    DIAL_MS = 5000,
    RETRY_MS = 10,
    DRAIN_S = 10,
    IDLE_S = 300,
    CONNECTIONS = 4096
};

struct proxy {
    const char *listen, *target;
    int64_t idle_s;
    struct weir_listener_options options;
};

/* One connection: the two sockets, and when anything last moved between them. */
struct link {
    int fds[2];
    int64_t idle_ns, active_ns;
};

/* A direction: from fds[from] to the other. */
struct direction {
    struct link *link;
    int from;
};

/* Waits for bytes for as long as either direction is alive. */
static ssize_t receive(struct link *link, int fd, char *buffer)
{
    for (;;) {
        int64_t idle_at_ns = link->active_ns + link->idle_ns;
        ssize_t count = weir_recv(fd, buffer, BUFFER_BYTES, 0, idle_at_ns);

        if (count != -ETIME || link->active_ns + link->idle_ns == idle_at_ns)
            return count;
    }
}

static int pump(void *arg)
{
    const struct direction *direction = arg;
    struct link *link = direction->link;
    int from = link->fds[direction->from], to = link->fds[!direction->from];
    char buffer[BUFFER_BYTES];
    ssize_t count;

    while ((count = receive(link, from, buffer)) > 0) {
        link->active_ns = weir_now_ns();
        count = weir_send_all(to, buffer, (size_t)count, 0, NULL, link->active_ns + link->idle_ns);
        if (count < 0)
            break;
        link->active_ns = weir_now_ns();
    }
    return count < 0 ? (int)count : weir_shutdown(to, SHUT_WR);
}

/* Both directions until both have ended; the first that fails stops the other. */
static int exchange(struct link *link)
{
    struct direction up = { link, 0 }, down = { link, 1 };
    struct weir_scope *scope;
    int error = weir_scope_create(&scope, WEIR_SCOPE_FAIL_FAST, NULL);

    if (error < 0)
        return error;
    error = weir_spawn(scope, pump, &up, NULL);
    if (error >= 0)
        error = weir_spawn(scope, pump, &down, NULL);
    if (error < 0)
        weir_scope_cancel(scope);
    return weir_scope_join(scope, WEIR_FOREVER);
}

/* So that what follows is seen as a reset. */
static void break_off(int fd)
{
    struct linger now = { .l_onoff = 1 };

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

/* A client that has got a descriptor waits for the second: others will leave. */
static int dial(const char *target)
{
    int64_t deadline_ns = weir_in_ms(DIAL_MS);
    int fd;

    while ((fd = weir_dial(target, NULL, deadline_ns)) == -EMFILE && weir_now_ns() < deadline_ns)
        if (weir_sleep(weir_in_ms(RETRY_MS)) < 0)
            break;
    return fd;
}

static int serve_client(int client, void *context)
{
    const struct proxy *proxy = context;
    struct link link = { { client, -1 }, proxy->idle_s * NS_PER_S, weir_now_ns() };
    int error = link.fds[1] = dial(proxy->target);

    if (error >= 0)
        error = exchange(&link);
    for (int side = 0; side < 2 && link.fds[side] >= 0; side++) {
        if (error < 0)
            break_off(link.fds[side]);
        weir_close(link.fds[side]);
    }
    return 0; /* a broken connection is no failure of the proxy's */
}

/* At SIGTERM or SIGINT: no more connections, and some time for those that are there. */
static int stop_at_signal(void *listener)
{
    struct weir_clause signals[] = { weir_clause_signal(SIGTERM), weir_clause_signal(SIGINT) };
    int which = weir_select(signals, 2, 0, WEIR_FOREVER);

    return which < 0 ? which : weir_listener_stop(listener, weir_in_seconds(DRAIN_S));
}

/* By a call that parks: standard error may be a pipe that is full. Who does not hear it misses no
 * more than that. */
static void say_where(struct weir_listener *listener)
{
    char address[128], text[160];
    int length;

    if (weir_listener_address(listener, 0, address, sizeof address) <= 0)
        return;
    length = snprintf(text, sizeof text, "weir-proxy listens at %s\n", address);
    (void)!weir_write_all(STDERR_FILENO, text, (size_t)length, NULL, weir_in_seconds(1));
}

static int serve(void *arg)
{
    struct proxy *proxy = arg;
    struct weir_listener *listener;
    struct weir_scope *stopping;
    int error = weir_listener_open(&listener, proxy->listen, &proxy->options);

    if (error < 0)
        return error;
    say_where(listener);
    error = weir_scope_create(&stopping, WEIR_SCOPE_COLLECT, NULL);
    if (error >= 0) {
        error = weir_spawn(stopping, stop_at_signal, listener, NULL);
        if (error >= 0)
            error = weir_listener_serve(listener, serve_client, proxy);
        weir_scope_cancel(stopping);
        weir_scope_join(stopping, WEIR_FOREVER);
    }
    weir_listener_close(listener);
    return error;
}

static int usage(void)
{
    fprintf(stderr,
            "usage: weir-proxy [--loops N] [--connections N] [--idle SECONDS] LISTEN TARGET\n");
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option names[] = {
        { "loops", required_argument, NULL, 'l' },
        { "connections", required_argument, NULL, 'c' },
        { "idle", required_argument, NULL, 'i' },
        { 0 },
    };
    struct weir_options options = { .loop_count = 1 };
    sigset_t signals;
    struct proxy proxy = { .idle_s = IDLE_S };
    int option, error;

    proxy.options.connections_max = CONNECTIONS;
    proxy.options.spread = WEIR_LISTENER_PER_LOOP;
    proxy.options.unlink_stale = true;
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        long number = option == '?' ? 0 : atol(optarg);

        if (number <= 0 || number > INT_MAX)
            return usage();
        if (option == 'l')
            options.loop_count = (unsigned)number;
        else if (option == 'c')
            proxy.options.connections_max = (size_t)number;
        else
            proxy.idle_s = number;
    }
    if (argc - optind != 2)
        return usage();
    proxy.listen = argv[optind];
    proxy.target = argv[optind + 1];
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    weir_signals_block(&signals); /* in all threads: they are the runtime's to wait for */
    error = weir_run(serve, &proxy, &options);
    fprintf(stderr, "weir-proxy: %s: %s\n", proxy.listen, weir_error_name(error));
    return error < 0;
}
