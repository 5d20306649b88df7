/* SPDX-License-Identifier: MIT */
/*
 * weir's servers under overload: the echo server lets requests in by a limiter, fixed or adaptive;
 * the file server's readers put them into a shed, from which as many workers as there are desks
 * take them. What is too much is refused in so many words.
 */
#include "overload.h"
#include "weir_peer.h"

#include <weir/chan.h>
#include <weir/descriptor.h>
#include <weir/file.h>
#include <weir/limiter.h>
#include <weir/scope.h>
#include <weir/shed.h>
#include <weir/socket.h>
#include <weir/task.h>

#include <string.h>

enum {
    TARGET_MS = 4,
    INTERVAL_MS = 10,
    LINE_MAX = 4 * OVERLOAD_DESKS, /* more could not be served in time */
};

struct server {
    const struct overload_job *job;
    bool adaptive;
    struct weir_scope *clients;
    struct weir_chan *desks; /* a token each */
    struct weir_limiter *limiter;
    struct weir_shed *shed;
    weir_task_fn *serve;
};

struct client {
    struct server *server;
    int fd;
    char bytes[OVERLOAD_BYTES];
};

/* In the shed. */
struct request {
    int fd;
    char bytes[OVERLOAD_BYTES];
};

static int reply(int fd, char *bytes, char status)
{
    bytes[0] = status;
    return (int)weir_send_all(fd, bytes, OVERLOAD_BYTES, 0, NULL, WEIR_FOREVER);
}

static int work_at_a_desk(struct server *server)
{
    char desk;

    trial_check(weir_chan_recv(server->desks, &desk, WEIR_FOREVER), "weir_chan_recv");
    trial_check(weir_sleep(weir_in_ns((int64_t)OVERLOAD_WORK_NS)), "weir_sleep");
    return trial_check(weir_chan_send(server->desks, &desk, WEIR_FOREVER), "weir_chan_send");
}

/* --- Echo ------------------------------------------------------------------------------------ */

static int handle_echo(void *arg, int64_t deadline_ns)
{
    (void)deadline_ns;
    return work_at_a_desk(((struct client *)arg)->server);
}

static int64_t deadline_of_now(void)
{
    return weir_in_ms(OVERLOAD_LATE_MS);
}

static int serve_echo(void *arg)
{
    struct client client = { .server = ((struct client *)arg)->server,
                             .fd = ((struct client *)arg)->fd };

    while (weir_recv_all(client.fd, client.bytes, OVERLOAD_BYTES, 0, NULL, WEIR_FOREVER) ==
           OVERLOAD_BYTES) {
        int error =
            weir_limiter_run(client.server->limiter, handle_echo, &client, deadline_of_now());

        if (reply(client.fd, client.bytes, error < 0 ? OVERLOAD_REFUSED : OVERLOAD_ADMITTED) < 0)
            break;
    }
    return weir_close(client.fd);
}

static void open_limiter(struct server *server)
{
    const struct weir_limiter_options options = {
        .adaptive = server->adaptive,
        .limit = server->adaptive ? 0 : OVERLOAD_DESKS, /* 0: the default, four times as many */
        .waiters_max = LINE_MAX,
        .target_ns = TARGET_MS * (int64_t)NS_PER_MS,
        .interval_ns = INTERVAL_MS * (int64_t)NS_PER_MS,
    };

    trial_check(weir_limiter_create(&server->limiter, &options), "weir_limiter_create");
    server->serve = serve_echo;
}

/* --- File ------------------------------------------------------------------------------------ */

static void refuse(void *elem, void *context, enum weir_shed_reason reason)
{
    struct request *request = elem;
    int sent = reply(request->fd, request->bytes, OVERLOAD_REFUSED);

    (void)context;
    (void)reason;
    (void)sent; /* a client that has gone will not miss it */
}

static int take_requests(void *arg)
{
    char block[OVERLOAD_BLOCK_BYTES];
    struct server *server = arg;
    struct request request;

    for (;;) {
        ssize_t count;

        trial_check(weir_shed_take(server->shed, &request, NULL, WEIR_FOREVER), "weir_shed_take");
        count = weir_pread(server->job->file, block, sizeof block, overload_offset(request.bytes),
                           WEIR_FOREVER);
        if (count != sizeof block)
            trial_fail("weir_pread: %s", weir_error_name(count));
        work_at_a_desk(server);
        if (reply(request.fd, request.bytes, OVERLOAD_ADMITTED) < 0)
            continue; /* the client has gone */
    }
}

static int serve_file(void *arg)
{
    struct server *server = ((struct client *)arg)->server;
    struct request request = { .fd = ((struct client *)arg)->fd };

    while (weir_recv_all(request.fd, request.bytes, OVERLOAD_BYTES, 0, NULL, WEIR_FOREVER) ==
           OVERLOAD_BYTES)
        if (weir_shed_put(server->shed, &request, deadline_of_now()) < 0 &&
            reply(request.fd, request.bytes, OVERLOAD_REFUSED) < 0)
            break;
    return weir_close(request.fd);
}

static void open_shed(struct server *server)
{
    const struct weir_shed_options options = {
        .refuse = refuse,
        .capacity = LINE_MAX,
        .target_ns = TARGET_MS * (int64_t)NS_PER_MS,
        .interval_ns = INTERVAL_MS * (int64_t)NS_PER_MS,
        .work_ns = (int64_t)OVERLOAD_WORK_NS,
    };

    trial_check(weir_shed_create(&server->shed, sizeof(struct request), &options),
                "weir_shed_create");
    for (int i = 0; i < OVERLOAD_DESKS; i++)
        trial_check(weir_spawn(server->clients, take_requests, server, NULL), "weir_spawn");
    server->serve = serve_file;
}

/* --- Both ------------------------------------------------------------------------------------ */

static int accept_all(void *arg)
{
    struct server *server = arg;
    char desk = 0;
    int fd;

    trial_check(weir_scope_create(&server->clients, WEIR_SCOPE_SUPERVISE, NULL),
                "weir_scope_create");
    trial_check(weir_chan_create(&server->desks, sizeof desk, OVERLOAD_DESKS, NULL),
                "weir_chan_create");
    for (int i = 0; i < OVERLOAD_DESKS; i++)
        trial_check(weir_chan_send(server->desks, &desk, WEIR_NOW), "weir_chan_send");
    if (server->job->kind == OVERLOAD_FILE)
        open_shed(server);
    else
        open_limiter(server);
    while ((fd = weir_accept(server->job->listener, NULL, NULL, 0, WEIR_FOREVER)) >= 0) {
        struct client client = { .server = server, .fd = fd };

        trial_check(weir_spawn(server->clients, server->serve, &client, NULL), "weir_spawn");
        trial_check(weir_yield(), "weir_yield"); /* it takes what it needs at once */
    }
    trial_fail("weir_accept: %s", weir_error_name(fd));
}

static void run(const struct overload_job *job, bool adaptive)
{
    struct server server = { .job = job, .adaptive = adaptive };
    struct weir_options options = weir_peer_options();

    weir_peer_run(accept_all, &server, &options);
}

void weir_overload(const struct overload_job *job)
{
    run(job, false);
}

void weir_adaptive_overload(const struct overload_job *job)
{
    run(job, true);
}
