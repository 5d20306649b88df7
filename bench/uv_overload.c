/* SPDX-License-Identifier: MIT */
/*
 * libuv's servers under overload, as they are written without a thought of it: a request is
 * allocated when it has come, waits in a list for its desk, and is answered in the end, however
 * long that took. Reading goes on meanwhile.
 *
 * A desk is a timerfd: libuv's own timers count in ms, by a clock that is read once a turn.
 */
#include "overload.h"
#include "uv_peer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <uv.h>

enum { RECEIVE_BYTES = 4096 };

struct client {
    uv_tcp_t stream;
    size_t count; /* bytes of a request that is not complete */
    char bytes[RECEIVE_BYTES];
};

struct request {
    struct request *next; /* in the list */
    struct client *client;
    uv_write_t write;
    uv_fs_t read;
    char bytes[OVERLOAD_BYTES];
    char block[]; /* with OVERLOAD_FILE */
};

struct desk {
    uv_poll_t timer;
    int timer_fd;
    struct request *request; /* NULL: free */
};

static const struct overload_job *job;
static struct desk desks[OVERLOAD_DESKS];
static struct request *first, **last = &first;

/* --- Desks ----------------------------------------------------------------------------------- */

static void written(uv_write_t *write, int status)
{
    (void)status; /* a client that has gone will not miss it */
    free(write->data);
}

static void reply(struct request *request)
{
    uv_buf_t buffer = uv_buf_init(request->bytes, OVERLOAD_BYTES);

    request->bytes[0] = OVERLOAD_ADMITTED;
    request->write.data = request;
    if (uv_write(&request->write, (uv_stream_t *)&request->client->stream, &buffer, 1, written) < 0)
        free(request);
}

static void start_work(struct desk *desk)
{
    struct itimerspec work = { .it_value.tv_nsec = (long)OVERLOAD_WORK_NS };

    desk->request = first;
    if (first == NULL)
        return;
    first = first->next;
    if (first == NULL)
        last = &first;
    trial_check_errno(timerfd_settime(desk->timer_fd, 0, &work, NULL), "timerfd_settime");
}

static void work_done(uv_poll_t *timer, int status, int events)
{
    struct desk *desk = timer->data;
    uint64_t expirations;

    (void)events;
    trial_check(status, "uv_poll");
    if (read(desk->timer_fd, &expirations, sizeof expirations) != sizeof expirations)
        return;
    reply(desk->request);
    start_work(desk);
}

static void wait_for_desk(struct request *request)
{
    request->next = NULL;
    *last = request;
    last = &request->next;
    for (unsigned i = 0; i < OVERLOAD_DESKS; i++)
        if (desks[i].request == NULL) {
            start_work(&desks[i]);
            return;
        }
}

static void open_desks(uv_loop_t *loop)
{
    for (unsigned i = 0; i < OVERLOAD_DESKS; i++) {
        struct desk *desk = &desks[i];

        desk->timer_fd = trial_check_errno(
            timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC), "timerfd_create");
        desk->timer.data = desk;
        trial_check(uv_poll_init(loop, &desk->timer, desk->timer_fd), "uv_poll_init");
        trial_check(uv_poll_start(&desk->timer, UV_READABLE, work_done), "uv_poll_start");
    }
}

/* --- Requests -------------------------------------------------------------------------------- */

static void block_read(uv_fs_t *read)
{
    struct request *request = read->data;

    if (read->result != OVERLOAD_BLOCK_BYTES)
        trial_fail("uv_fs_read: %s", uv_strerror((int)read->result));
    uv_fs_req_cleanup(read);
    wait_for_desk(request);
}

static void begin_request(struct client *client, const char *bytes)
{
    size_t room = job->kind == OVERLOAD_FILE ? OVERLOAD_BLOCK_BYTES : 0;
    struct request *request = malloc(sizeof *request + room);
    uv_buf_t buffer;

    if (request == NULL)
        trial_fail("malloc failed");
    request->client = client;
    memcpy(request->bytes, bytes, OVERLOAD_BYTES);
    if (room == 0) {
        wait_for_desk(request);
        return;
    }
    request->read.data = request;
    buffer = uv_buf_init(request->block, OVERLOAD_BLOCK_BYTES);
    trial_check(uv_fs_read(uv_default_loop(), &request->read, job->file, &buffer, 1,
                           overload_offset(bytes), block_read),
                "uv_fs_read");
}

/* --- Connections ----------------------------------------------------------------------------- */

static void give_buffer(uv_handle_t *handle, size_t wanted, uv_buf_t *buffer)
{
    struct client *client = handle->data;

    (void)wanted;
    *buffer = uv_buf_init(client->bytes + client->count, (unsigned)(RECEIVE_BYTES - client->count));
}

static void received(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    struct client *client = stream->data;
    size_t used = 0;

    (void)buffer;
    if (count < 0) {
        uv_read_stop(stream); /* its requests still refer to it: it stays */
        return;
    }
    client->count += (size_t)count;
    for (; client->count - used >= OVERLOAD_BYTES; used += OVERLOAD_BYTES)
        begin_request(client, client->bytes + used);
    client->count -= used;
    memmove(client->bytes, client->bytes + used, client->count);
}

static void connected(uv_stream_t *listener, int status)
{
    struct client *client = calloc(1, sizeof *client);

    if (client == NULL)
        trial_fail("calloc failed");
    client->stream.data = client;
    trial_check(status, "uv_listen");
    trial_check(uv_tcp_init(listener->loop, &client->stream), "uv_tcp_init");
    trial_check(uv_accept(listener, (uv_stream_t *)&client->stream), "uv_accept");
    uv_tcp_nodelay(&client->stream, 1);
    trial_check(uv_read_start((uv_stream_t *)&client->stream, give_buffer, received),
                "uv_read_start");
}

void uv_peer_overload(const struct overload_job *given)
{
    uv_loop_t *loop = uv_default_loop();
    uv_tcp_t listener;

    job = given;
    uv_peer_set_up(THREADS_DEFAULT);
    open_desks(loop);
    trial_check(uv_tcp_init(loop, &listener), "uv_tcp_init");
    trial_check(uv_tcp_open(&listener, job->listener), "uv_tcp_open");
    trial_check(uv_listen((uv_stream_t *)&listener, OVERLOAD_CONNECTIONS, connected), "uv_listen");
    uv_run(loop, UV_RUN_DEFAULT);
}
