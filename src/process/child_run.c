/* SPDX-License-Identifier: MIT */
/*
 * A child run to its end: a scope with the child and one task for each stream, so that a child that
 * writes before it has read everything never waits for us while we wait for it.
 */
#include "process/child.h"

#include <weir/descriptor.h>
#include <weir/scope.h>

#include <errno.h>

/* One of the three streams, and the task that serves it. */
struct stream {
    int fd;
    void *buffer;
    size_t bytes; /* to give, or room */
    size_t done_bytes;
};

static int close_stream(struct stream *stream, int error)
{
    weir_close(stream->fd);
    return error;
}

/* That the child does not want all of its input is its own business. */
static int feed(void *arg)
{
    struct stream *stream = arg;
    ssize_t result = weir_write_all(stream->fd, stream->buffer, stream->bytes, NULL, WEIR_FOREVER);

    return close_stream(stream, result == -EPIPE || result >= 0 ? 0 : (int)result);
}

static int collect(void *arg)
{
    struct stream *stream = arg;
    ssize_t result;
    char excess;

    do {
        size_t room = stream->bytes - stream->done_bytes;

        result = room ? weir_read(stream->fd, (char *)stream->buffer + stream->done_bytes, room,
                                  WEIR_FOREVER)
                      : weir_read(stream->fd, &excess, 1, WEIR_FOREVER);
        if (result > 0 && !room)
            result = -EMSGSIZE;
        else if (result > 0)
            stream->done_bytes += (size_t)result;
    } while (result > 0);
    return close_stream(stream, (int)result);
}

/* Starts the task of a stream, which closes its descriptor. The keeper, on this loop too, has not
 * looked for it yet. */
static int serve(struct weir_scope *scope, struct weir_child *child, int number,
                 struct stream *stream)
{
    struct weir_spawn_options options = { .name = "child stream", .task = &child->streams[number] };
    int error;

    if (!stream->buffer)
        return 0;
    stream->fd = weir_child_take(child, number);
    error = weir_spawn(scope, number == 0 ? feed : collect, stream, &options);
    return error < 0 ? close_stream(stream, error) : 0;
}

static int start(struct weir_scope *scope, const struct weir_child_options *options,
                 struct stream *streams, struct weir_child **child, int64_t deadline_ns)
{
    struct weir_child_options piped = *options;
    struct weir_child_io *io[] = { &piped.input, &piped.output, &piped.error };
    int error;

    for (int i = 0; i < WEIR__CHILD_STANDARD_FDS; i++)
        if (streams[i].buffer)
            io[i]->kind = WEIR_CHILD_PIPE;
    error = weir_child_spawn(child, scope, &piped, deadline_ns);
    for (int i = 0; i < WEIR__CHILD_STANDARD_FDS && error >= 0; i++)
        error = serve(scope, *child, i, &streams[i]);
    return error;
}

int weir_child_run(const struct weir_child_options *options, struct weir_child_capture *capture,
                   int *status, int64_t deadline_ns)
{
    static struct weir_child_capture nothing;
    struct weir_child *child = NULL;
    struct weir_scope *scope;
    struct stream streams[WEIR__CHILD_STANDARD_FDS];
    int error, joined, ended = 0;

    if (!options)
        return -EINVAL;
    capture = capture ? capture : &nothing;
    streams[0] = (struct stream){ .buffer = (void *)capture->input, .bytes = capture->input_bytes };
    streams[1] = (struct stream){ .buffer = capture->output, .bytes = capture->output_room };
    streams[2] = (struct stream){ .buffer = capture->error, .bytes = capture->error_room };
    error = weir_scope_create(&scope, WEIR_SCOPE_FAIL_FAST, NULL);
    if (error < 0)
        return error;
    error = start(scope, options, streams, &child, deadline_ns);
    if (error < 0)
        weir_scope_cancel(scope);
    joined = weir_scope_join(scope, deadline_ns);
    if (error >= 0)
        error = joined;
    if (capture != &nothing) {
        capture->output_bytes = streams[1].done_bytes;
        capture->error_bytes = streams[2].done_bytes;
    }
    if (child && weir_child_wait(child, &ended, WEIR_NOW) >= 0 && error >= 0)
        error = ended < 0 ? ended : 0;
    weir_child_release(child);
    if (error >= 0 && status)
        *status = ended;
    return error;
}
