/* SPDX-License-Identifier: MIT */
/*
 * Servers of ports. The server takes a call only when one of its slots is free, so a call that
 * would have to wait for its handler waits in the port, where it can be withdrawn. The handlers are
 * children of a scope in the server's frame, on its loop: it ends after the last of them.
 */
#include "base/gauge.h"
#include "base/memory.h"
#include "core/credit.h"
#include "flow/call.h"
#include "flow/options.h"

#include <weir/chan.h>
#include <weir/scope.h>

#include <errno.h>
#include <string.h>

struct server {
    struct weir_chan *port; /* a counted receiver; NULL: it was closed already */
    weir_handler_fn *handler;
    void *context;
    struct weir__credits slots; /* calls handled at once */
    struct weir__gauge gauge;   /* of `slots` */
    char name[WEIR_NAME_BYTES];
    size_t stack_bytes;
};

static int handle(void *arg)
{
    struct weir_call *call = arg;
    struct server *server = call->server;
    int result = weir_call_adopt(call);

    if (result >= 0)
        result = server->handler(call->request, call->response, server->context);
    weir_reply(call, result);
    weir__credits_give(&server->slots);
    return 0;
}

/* Takes the next call and starts its handler. It does not wait for room: the caller could not
 * withdraw any more. */
static int serve_next(struct server *server, struct weir_scope *handlers)
{
    struct weir_spawn_options options = {
        .name = weir_task_name(NULL),
        .stack_bytes = server->stack_bytes,
    };
    struct weir_call *call;
    int error = weir__credits_take(&server->slots, WEIR_FOREVER);

    if (error >= 0)
        error = weir_call_recv(server->port, &call, WEIR_FOREVER);
    if (error < 0)
        return error;
    call->server = server;
    error = weir_spawn(handlers, handle, call, &options);
    if (error < 0) {
        weir_reply(call, error); /* no room or memory: the next one may have more luck */
        weir__credits_give(&server->slots);
    }
    return 0;
}

/* Until the port has ended, or the server is cancelled. */
static int serve_all(struct server *server)
{
    struct weir_scope *handlers;
    int error = weir_scope_create(&handlers, WEIR_SCOPE_COLLECT, NULL);

    if (error < 0)
        return error;
    while (serve_next(server, handlers) >= 0)
        ;
    weir_scope_join(handlers, WEIR_FOREVER);
    return weir_cancelled() ? -ECANCELED : 0;
}

static int serve(void *arg)
{
    struct server *server = arg;
    int error = 0;

    if (server->port) {
        error = serve_all(server);
        weir_chan_close_receiver(server->port);
    }
    weir__gauge_remove(&server->gauge);
    weir__memory_free(server);
    return error;
}

static void read_gauge(struct weir__gauge *gauge, struct weir_queue_stats *stats)
{
    struct server *server = WEIR_CONTAINER_OF(gauge, struct server, gauge);

    weir__credits_read(&server->slots, stats);
    weir__gauge_name(stats, server->name, "handlers");
}

static const struct weir__reason awaits_handler = { "room for a handler", WEIR_PHASE_TASK, NULL };

int weir_serve(struct weir_scope *scope, struct weir_chan *port, weir_handler_fn *handler,
               void *context, const struct weir_serve_options *options)
{
    static const struct weir_serve_options defaults;
    struct weir_spawn_options server_options = { 0 };
    struct server *server;
    int error;

    options = options ? options : &defaults;
    error = weir__options_check(options->size, sizeof *options, options->reserved, options->name);
    if (error < 0)
        return error;
    if (!handler || !weir__port_of(port).is_port)
        return -EINVAL;
    if (!weir_task_self()) /* its task must not fail to start when nobody can be told any more */
        return -ENXIO;
    server_options.name = options->name ? options->name : "serve";
    server = weir__memory_zalloc(NULL, sizeof *server);
    if (!server)
        return -ENOMEM;
    server->handler = handler;
    server->context = context;
    server->stack_bytes = options->stack_bytes;
    weir__credits_init(&server->slots, &awaits_handler,
                       options->parallelism ? options->parallelism : 1, WEIR_WHEN_FULL_PARK, 0);
    strcpy(server->name, server_options.name);
    error = weir_spawn(scope, serve, server, &server_options);
    if (error < 0) {
        weir__memory_free(server);
        return error;
    }
    server->gauge.read = read_gauge;
    weir__gauge_add(&server->gauge);
    /* After the spawn: to close it again would abort the port. The task does not run before we
     * park. */
    error = weir_chan_open_receiver(port);
    if (error >= 0)
        server->port = port;
    return error;
}
