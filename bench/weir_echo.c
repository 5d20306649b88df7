/* SPDX-License-Identifier: MIT */
/* weir's echo server by plain calls, and the server whose requests wait for a backend. */
#include "echo.h"
#include "weir_peer.h"

#include <weir/descriptor.h>
#include <weir/scope.h>
#include <weir/socket.h>
#include <weir/task.h>

struct weir_server {
    int listener;
    weir_task_fn *serve;
};

static int serve_echo(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char request[ECHO_BUFFER_BYTES];
    ssize_t count;

    while ((count = weir_recv(fd, request, sizeof request, 0, WEIR_FOREVER)) > 0)
        if (weir_send_all(fd, request, (size_t)count, 0, NULL, WEIR_FOREVER) < 0)
            break;
    return weir_close(fd);
}

static int serve_waiting(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char request[ECHO_BUFFER_BYTES];
    ssize_t count;

    while ((count = weir_recv(fd, request, sizeof request, 0, WEIR_FOREVER)) > 0) {
        if (weir_sleep(weir_in_ms(ECHO_WAIT_MS)) < 0)
            break;
        if (weir_send_all(fd, request, (size_t)count, 0, NULL, WEIR_FOREVER) < 0)
            break;
    }
    return weir_close(fd);
}

static int accept_all(void *arg)
{
    const struct weir_server *server = arg;
    struct weir_scope *clients;

    int fd;

    trial_check(weir_scope_create(&clients, WEIR_SCOPE_SUPERVISE, NULL), "weir_scope_create");
    while ((fd = weir_accept(server->listener, NULL, NULL, 0, WEIR_FOREVER)) >= 0)
        trial_check(weir_spawn(clients, server->serve, (void *)(intptr_t)echo_accepted(fd), NULL),
                    "weir_spawn");
    trial_fail("weir_accept: %s", weir_error_name(fd));
}

static void run(const struct echo_job *job, weir_task_fn *serve, int64_t stall_limit_ns)
{
    struct weir_server server = { job->listener, serve };
    struct weir_options options = weir_peer_options();

    options.stall_limit_ns = stall_limit_ns;
    if (job->spin_ns > 0)
        options.spin_max_ns = (int64_t)job->spin_ns;
    weir_peer_run(accept_all, &server, &options);
}

void weir_echo(const struct echo_job *job)
{
    run(job, serve_echo, 0);
}

void weir_unwatched_echo(const struct echo_job *job)
{
    run(job, serve_echo, -1);
}

void weir_waiting(const struct echo_job *job)
{
    run(job, serve_waiting, 0);
}
