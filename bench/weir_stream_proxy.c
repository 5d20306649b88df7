/* SPDX-License-Identifier: MIT */
/* weir's proxy by streams: two tasks for each connection, one for each direction. */
#include "proxy.h"
#include "weir_peer.h"

#include <weir/scope.h>
#include <weir/socket.h>
#include <weir/stream.h>
#include <weir/task.h>

#include <stdlib.h>

struct flow {
    struct weir_stream *from, *to;
    char buffer[PROXY_BUFFER_BYTES];
};

struct weir_proxy {
    const struct proxy_job *job;
    struct weir_scope *flows;
};

/* The load ends all at once, by killing: nobody closes the streams. */
static int run_flow(void *arg)
{
    struct flow *flow = arg;
    ssize_t count;

    while ((count = weir_stream_read(flow->from, flow->buffer, PROXY_BUFFER_BYTES, WEIR_FOREVER)) >
           0)
        if (weir_stream_write(flow->to, flow->buffer, (size_t)count, WEIR_FOREVER) < 0 ||
            weir_stream_flush(flow->to, WEIR_FOREVER) < 0)
            break;
    free(flow);
    return (int)count;
}

static void open_flow(struct weir_proxy *proxy, struct weir_stream *from, struct weir_stream *to)
{
    struct flow *flow = malloc(sizeof *flow);

    if (flow == NULL)
        trial_fail("malloc failed");
    flow->from = from;
    flow->to = to;
    trial_check(weir_spawn(proxy->flows, run_flow, flow, NULL), "weir_spawn");
}

static void open_pair(struct weir_proxy *proxy, int client_fd, int backend_fd)
{
    struct weir_stream *client, *backend;

    trial_check(weir_stream_open(&client, client_fd, NULL), "weir_stream_open");
    trial_check(weir_stream_open(&backend, backend_fd, NULL), "weir_stream_open");
    open_flow(proxy, client, backend);
    open_flow(proxy, backend, client);
}

static int accept_all(void *arg)
{
    struct weir_proxy *proxy = arg;
    const struct sockaddr *address = (const struct sockaddr *)&proxy->job->backend;
    int client;

    trial_check(weir_scope_create(&proxy->flows, WEIR_SCOPE_SUPERVISE, NULL), "weir_scope_create");
    while ((client = weir_accept(proxy->job->listener, NULL, NULL, 0, WEIR_FOREVER)) >= 0) {
        int backend = trial_check(weir_socket(AF_INET, SOCK_STREAM, 0), "weir_socket");
        trial_check(weir_connect(backend, address, sizeof proxy->job->backend, WEIR_FOREVER),
                    "weir_connect");
        open_pair(proxy, client, backend);
    }
    trial_fail("weir_accept: %s", weir_error_name(client));
}

void weir_stream_proxy(const struct proxy_job *job)
{
    struct weir_proxy proxy = { .job = job };
    struct weir_options options = weir_peer_options();

    weir_peer_run(accept_all, &proxy, &options);
}
