/* SPDX-License-Identifier: MIT */
/* weir's echo server by weir_stream. */
#include "echo.h"
#include "weir_peer.h"

#include <weir/scope.h>
#include <weir/socket.h>
#include <weir/stream.h>

/* What is written goes out when the next read has to wait. */
static int serve_stream(void *arg)
{
    struct weir_stream *stream;
    char request[ECHO_BUFFER_BYTES];
    ssize_t count;

    trial_check(weir_stream_open(&stream, (int)(intptr_t)arg, NULL), "weir_stream_open");
    while ((count = weir_stream_read(stream, request, sizeof request, WEIR_FOREVER)) > 0)
        if (weir_stream_write(stream, request, (size_t)count, WEIR_FOREVER) < 0)
            break;
    return weir_stream_close(stream, WEIR_NOW);
}

static int accept_all(void *arg)
{
    int listener = *(int *)arg;
    struct weir_scope *clients;
    int fd;

    trial_check(weir_scope_create(&clients, WEIR_SCOPE_SUPERVISE, NULL), "weir_scope_create");
    while ((fd = weir_accept(listener, NULL, NULL, 0, WEIR_FOREVER)) >= 0)
        trial_check(weir_spawn(clients, serve_stream, (void *)(intptr_t)echo_accepted(fd), NULL),
                    "weir_spawn");
    trial_fail("weir_accept: %s", weir_error_name(fd));
}

void weir_stream_echo(const struct echo_job *job)
{
    struct weir_options options = weir_peer_options();
    int listener = job->listener;

    if (job->spin_ns > 0)
        options.spin_max_ns = (int64_t)job->spin_ns;
    weir_peer_run(accept_all, &listener, &options);
}
