/* SPDX-License-Identifier: MIT */
/* weir's proxy by plain calls: two tasks for each connection, one for each direction. */
#include "proxy.h"
#include "weir_peer.h"

#include <weir/descriptor.h>
#include <weir/scope.h>
#include <weir/socket.h>
#include <weir/task.h>

#include <stdlib.h>

struct flow {
    int from, to;
    char buffer[PROXY_BUFFER_BYTES];
};

struct weir_proxy {
    const struct proxy_job *job;
    struct weir_scope *flows;
};

static int run_flow(void *arg)
{
    struct flow *flow = arg;
    ssize_t count;

    while ((count = weir_recv(flow->from, flow->buffer, PROXY_BUFFER_BYTES, 0, WEIR_FOREVER)) > 0)
        if (weir_send_all(flow->to, flow->buffer, (size_t)count, 0, NULL, WEIR_FOREVER) < 0)
            break;
    weir_shutdown(flow->to, SHUT_WR);
    free(flow);
    return 0;
}

static void open_flow(struct weir_proxy *proxy, int from, int to)
{
    struct flow *flow = malloc(sizeof *flow);

    if (flow == NULL)
        trial_fail("malloc failed");
    flow->from = from;
    flow->to = to;
    trial_check(weir_spawn(proxy->flows, run_flow, flow, NULL), "weir_spawn");
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
        open_flow(proxy, client, backend);
        open_flow(proxy, backend, client);
    }
    trial_fail("weir_accept: %s", weir_error_name(client));
}

void weir_proxy(const struct proxy_job *job)
{
    struct weir_proxy proxy = { .job = job };
    struct weir_options options = weir_peer_options();

    weir_peer_run(accept_all, &proxy, &options);
}
