/* SPDX-License-Identifier: MIT */
/*
 * The end that a multishot receive may miss.
 *
 * Until Linux 7.0: when bytes and the end of the connection wake the receive before it has run, it
 * runs once, takes the bytes, and never hears of the end. TCP's ordinary end is safe: a completion
 * with the last bytes says that something follows (IORING_CQE_F_SOCK_NONEMPTY), and the kernel goes
 * on by itself. Bytes followed by a reset are not, and other protocols do not tell at all; these
 * receive plainly.
 *
 * So a completion with bytes after which nothing is said to follow makes its stream doubtful. A
 * sweep asks the kernel, by one poll(2) for many, about those on which nothing has come since the
 * last sweep, once each. Where there is an end, the receive is started anew, and finds it: nothing
 * is decided here. A busy stream costs nothing, a quiet one nothing any more.
 */
#include "base/kernel.h"
#include "core/loop.h"
#include "net/net.h"
#include "net/stream.h"

#include <poll.h>

enum {
    POLLS = 64, /* streams asked in one call */
    LOOKS_PER_SWEEP = 1024,
};

static const int64_t period_ns = 100000000;

static void arm_sweep(struct weir__net *net)
{
    if (!weir__timer_armed(&net->sweep) && !weir__list_empty(&net->doubtful))
        weir__timer_arm(&net->loop->wheel, &net->sweep, net->loop->now_ns + period_ns);
}

void weir__stream_doubt(struct weir_stream *stream)
{
    struct weir__net *net = stream->loop->net;

    stream->is_doubtful = true;
    weir__list_append(&net->doubtful, &stream->doubt);
    net->doubtful_count++;
    arm_sweep(net);
}

void weir__stream_trust(struct weir_stream *stream)
{
    if (!stream->is_doubtful)
        return;
    stream->is_doubtful = false;
    weir__list_unlink(&stream->doubt);
    stream->loop->net->doubtful_count--;
}

/* Asks about all of them; those with news start their receive anew. */
static void ask(struct weir_stream **streams, struct pollfd *polls, unsigned count)
{
    int found = weir__kernel_poll_now(polls, count);

    for (unsigned i = 0; i < count; i++)
        weir__stream_trust(streams[i]);
    for (unsigned i = 0; i < count && found > 0; i++)
        if (polls[i].revents)
            weir__stream_ask_stop(streams[i]); /* may reap, and bring new doubts */
}

void weir__stream_sweep(struct weir__timer *timer)
{
    struct weir__net *net = WEIR_CONTAINER_OF(timer, struct weir__net, sweep);
    struct weir_stream *streams[POLLS];
    struct pollfd polls[POLLS];
    unsigned looks = net->doubtful_count, count = 0;

    if (looks > LOOKS_PER_SWEEP)
        looks = LOOKS_PER_SWEEP;
    while (looks-- > 0) {
        struct weir_stream *stream =
            WEIR_CONTAINER_OF(weir__list_pop(&net->doubtful), struct weir_stream, doubt);

        weir__list_append(&net->doubtful, &stream->doubt);
        if (stream->arrivals != stream->arrivals_swept) {
            stream->arrivals_swept = stream->arrivals;
            continue;
        }
        streams[count] = stream;
        polls[count++] = (struct pollfd){ .fd = stream->fd, .events = POLLIN | POLLRDHUP };
        if (count == POLLS) {
            ask(streams, polls, count);
            count = 0;
        }
    }
    if (count)
        ask(streams, polls, count);
    arm_sweep(net);
}
