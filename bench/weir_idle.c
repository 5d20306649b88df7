/* SPDX-License-Identifier: MIT */
/* weir's echo servers for many silent connections: what a task keeps fits into its first page. */
#include "echo.h"
#include "weir_peer.h"

#include <weir/descriptor.h>
#include <weir/scope.h>
#include <weir/socket.h>
#include <weir/stream.h>
#include <weir/task.h>

struct server {
    int listener;
    weir_task_fn *serve;
};

static int serve_small(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char request[ECHO_SMALL_BUFFER_BYTES];
    ssize_t count;

    while ((count = weir_recv(fd, request, sizeof request, 0, WEIR_FOREVER)) > 0)
        if (weir_send_all(fd, request, (size_t)count, 0, NULL, WEIR_FOREVER) < 0)
            break;
    return weir_close(fd);
}

/* What was received is answered from where it lies: the task has no buffer at all. */
static int serve_stream(void *arg)
{
    struct weir_stream *stream;
    const void *request;
    ssize_t count;

    trial_check(weir_stream_open(&stream, (int)(intptr_t)arg, NULL), "weir_stream_open");
    while ((count = weir_stream_peek(stream, &request, 1, WEIR_FOREVER)) > 0)
        if (weir_stream_write(stream, request, (size_t)count, WEIR_FOREVER) < 0 ||
            weir_stream_consume(stream, (size_t)count) < 0)
            break;
    return weir_stream_close(stream, WEIR_NOW);
}

static int accept_all(void *arg)
{
    const struct server *server = arg;
    struct weir_scope *clients;
    int fd;

    trial_check(weir_scope_create(&clients, WEIR_SCOPE_SUPERVISE, NULL), "weir_scope_create");
    while ((fd = weir_accept(server->listener, NULL, NULL, 0, WEIR_FOREVER)) >= 0)
        trial_check(weir_spawn(clients, server->serve, (void *)(intptr_t)echo_accepted(fd), NULL),
                    "weir_spawn");
    trial_fail("weir_accept: %s", weir_error_name(fd));
}

static void run(const struct echo_job *job, weir_task_fn *serve)
{
    struct weir_options options = weir_peer_options();
    struct server server = { job->listener, serve };

    weir_peer_run(accept_all, &server, &options);
}

void weir_idle(const struct echo_job *job)
{
    run(job, serve_small);
}

void weir_stream_idle(const struct echo_job *job)
{
    run(job, serve_stream);
}
