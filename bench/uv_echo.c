/* SPDX-License-Identifier: MIT */
/*
 * libuv's echo server, as its users write it when they care: replies by uv_try_write, which sends
 * at once and allocates nothing, and uv_write only for what did not fit.
 */
#include "echo.h"
#include "uv_peer.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

/* What is received is answered before the next receive: one buffer is enough. */
static char receive_buffer[ECHO_BUFFER_BYTES];

/* A write that had to wait, with its bytes. */
struct late_write {
    uv_write_t request;
    char bytes[ECHO_BUFFER_BYTES];
};

static void *get_memory(size_t bytes)
{
    void *memory = malloc(bytes);

    if (memory == NULL)
        trial_fail("malloc failed");
    return memory;
}

static void closed(uv_handle_t *handle)
{
    free(handle);
}

static void written(uv_write_t *request, int status)
{
    if (status < 0 && !uv_is_closing((uv_handle_t *)request->handle))
        uv_close((uv_handle_t *)request->handle, closed);
    free(request);
}

static void write_later(uv_stream_t *stream, const char *bytes, size_t count)
{
    struct late_write *late = get_memory(sizeof *late);
    uv_buf_t buffer = uv_buf_init(late->bytes, (unsigned)count);

    memcpy(late->bytes, bytes, count);
    trial_check(uv_write(&late->request, stream, &buffer, 1, written), "uv_write");
}

static void give_buffer(uv_handle_t *handle, size_t wanted, uv_buf_t *buffer)
{
    (void)handle;
    (void)wanted;
    *buffer = uv_buf_init(receive_buffer, sizeof receive_buffer);
}

static void received(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    uv_buf_t reply;
    int sent;

    if (count == 0)
        return;
    if (count < 0) {
        uv_close((uv_handle_t *)stream, closed);
        return;
    }
    reply = uv_buf_init(buffer->base, (unsigned)count);
    sent = uv_try_write(stream, &reply, 1);
    if (sent < 0 && sent != UV_EAGAIN)
        uv_close((uv_handle_t *)stream, closed);
    else if (sent < count)
        write_later(stream, buffer->base + (sent > 0 ? sent : 0),
                    (size_t)(count - (sent > 0 ? sent : 0)));
}

static void connected(uv_stream_t *listener, int status)
{
    uv_tcp_t *connection = get_memory(sizeof *connection);

    trial_check(status, "uv_listen");
    trial_check(uv_tcp_init(listener->loop, connection), "uv_tcp_init");
    trial_check(uv_accept(listener, (uv_stream_t *)connection), "uv_accept");
    uv_tcp_nodelay(connection, 1);
    trial_check(uv_read_start((uv_stream_t *)connection, give_buffer, received), "uv_read_start");
}

void uv_peer_echo(const struct echo_job *job)
{
    uv_loop_t *loop = uv_default_loop();
    uv_tcp_t listener;

    uv_peer_set_up(0);
    trial_check(uv_tcp_init(loop, &listener), "uv_tcp_init");
    trial_check(uv_tcp_open(&listener, job->listener), "uv_tcp_open");
    trial_check(uv_listen((uv_stream_t *)&listener, ECHO_CONNECTIONS_MAX, connected), "uv_listen");
    uv_run(loop, UV_RUN_DEFAULT);
}
