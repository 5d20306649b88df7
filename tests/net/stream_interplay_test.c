/* SPDX-License-Identifier: MIT */
/* Streams: what one task does while another waits in the same stream. */
#include "stream_fixture.h"

struct writer {
    struct weir_stream *stream;
    char *bytes;
    size_t count;
};

static int64_t write_call(void *arg, int64_t deadline_ns)
{
    struct writer *writer = arg;

    return weir_stream_write(writer->stream, writer->bytes, writer->count, deadline_ns);
}

static int64_t read_call(void *arg, int64_t deadline_ns)
{
    char bytes[64];

    return weir_stream_read(arg, bytes, sizeof bytes, deadline_ns);
}

static int64_t close_call(void *arg, int64_t deadline_ns)
{
    return weir_stream_close(arg, deadline_ns);
}

static int64_t hand_over_call(void *arg, int64_t deadline_ns)
{
    return weir_stream_hand_over(arg, deadline_ns);
}

static void drain(int peer, size_t count)
{
    char *bytes = malloc(count);

    CHECK_EQUAL(weir_recv_all(peer, bytes, count, 0, NULL, weir_in_seconds(20)), (long long)count);
    free(bytes);
}

/* A write of which some went out ends, too, and does not begin anew. */
static int half_written_body(void *arg)
{
    struct writer writer = { .count = 16 * BIG_BYTES, .bytes = calloc(16, BIG_BYTES) };
    struct call call = call_of(write_call, &writer);
    int peer;

    (void)arg;
    writer.stream = open_tcp(&peer, NULL);
    call.deadline_ns = weir_in_seconds(5);
    call_start(&call);
    weir__sched_settle();
    CHECK_EQUAL(weir_stream_abort(writer.stream), 0);
    CHECK(weir_now_ns() < call.deadline_ns);
    CHECK(call_finish(&call) > 0);
    CHECK_EQUAL(weir_close(peer), 0);
    free(writer.bytes);
    return 0;
}

static void test_half_written(void **state)
{
    (void)state;
    run_both_ways(half_written_body, NULL);
}

/* Calls that a close has ended take nothing from its grace. */
static int grace_body(void *arg)
{
    struct weir_stream_options plain = { .flags = WEIR_STREAM_PLAIN_RECEIVE };
    struct writer writer = { .count = 100000, .bytes = calloc(1, 100000) };
    int peer;
    struct weir_stream *stream = open_tcp(&peer, &plain);
    struct call calls[2] = { call_of(write_call, &writer), call_of(read_call, stream) };
    struct call close = call_of(close_call, stream);
    size_t filled = fill_socket(weir_stream_fd(stream));

    (void)arg;
    writer.stream = stream;
    close.deadline_ns = weir_in_seconds(20);
    CHECK_EQUAL(weir_stream_write(stream, "last words", 10, WEIR_FOREVER), 10);
    call_start(&calls[0]);
    call_start(&calls[1]);
    weir__sched_settle();
    call_start(&close);
    CHECK_EQUAL(call_finish(&calls[0]), -EBADF);
    CHECK_EQUAL(call_finish(&calls[1]), -EBADF);
    drain(peer, filled);
    hear(peer, "last words");
    CHECK_EQUAL(weir_recv(peer, writer.bytes, 1, 0, weir_in_seconds(20)), 0);
    CHECK_EQUAL(weir_close(peer), 0);
    CHECK_EQUAL(call_finish(&close), 0);
    free(writer.bytes);
    return 0;
}

static void test_grace(void **state)
{
    (void)state;
    run_both_ways(grace_body, NULL);
}

/* What a read should have sent goes out when the write that was in its way has failed. */
static int in_the_way_body(void *arg)
{
    struct writer writer = { .count = 100000, .bytes = calloc(1, 100000) };
    int peer;
    struct weir_stream *stream = open_tcp(&peer, NULL);
    struct call write = call_of(write_call, &writer), read = call_of(read_call, stream);
    size_t filled = fill_socket(weir_stream_fd(stream));

    (void)arg;
    writer.stream = stream;
    write.deadline_ns = weir_in_ms(20);
    read.deadline_ns = weir_in_seconds(20);
    CHECK_EQUAL(weir_stream_write(stream, "question", 8, WEIR_FOREVER), 8);
    call_start(&write);
    weir__sched_settle();
    call_start(&read);
    CHECK_EQUAL(call_finish(&write), -ETIME);
    drain(peer, filled);
    hear(peer, "question");
    say(peer, "answer", 6);
    CHECK_EQUAL(call_finish(&read), 6);
    free(writer.bytes);
    close_both(stream, peer);
    return 0;
}

static void test_write_in_the_way(void **state)
{
    (void)state;
    run_both_ways(in_the_way_body, NULL);
}

/* What a pipe takes in parts goes on after the flush that has begun it. */
static int pipe_body(void *arg)
{
    char bytes[9000] = "";
    struct weir_stream *stream = NULL;
    size_t filled;
    int ends[2];

    (void)arg;
    make_pipe(ends);
    filled = fill_pipe(ends[1]);
    CHECK_EQUAL(weir_stream_open(&stream, ends[1], NULL), 0);
    CHECK_EQUAL(weir_stream_write(stream, bytes, sizeof bytes, WEIR_FOREVER), sizeof bytes);
    CHECK_EQUAL(weir_stream_flush(stream, weir_in_ms(10)), -ETIME);
    for (size_t left = filled + sizeof bytes; left > 0;) {
        ssize_t got = weir_read(ends[0], bytes, left < 4096 ? left : 4096, weir_in_seconds(5));

        if (!CHECK(got > 0))
            break;
        left -= (size_t)got;
    }
    CHECK_EQUAL(weir_stream_close(stream, weir_in_seconds(20)), 0);
    CHECK_EQUAL(weir_close(ends[0]), 0);
    return 0;
}

static void test_rest_of_a_flush(void **state)
{
    (void)state;
    run_both_ways(pipe_body, NULL);
}

/* A task that closes where the stream's own chores run. */
static void close_dropped(void *elem, void *context, enum weir_drop_reason reason)
{
    (void)reason;
    *(int *)context = weir_stream_close(*(struct weir_stream **)elem, weir_in_seconds(20));
}

struct peer {
    int fd, stream_fd;
};

/* More than the limit, and the end, in one turn, once the close waits for it. */
static int64_t talk_call(void *arg, int64_t deadline_ns)
{
    const struct peer *peer = arg;
    char bytes[12000] = "";

    (void)deadline_ns;
    while (!op_on(peer->stream_fd))
        CHECK_EQUAL(weir_yield(), 0);
    say(peer->fd, bytes, sizeof bytes);
    plain_close(peer->fd);
    return 0;
}

static int dropped_body(void *arg)
{
    struct weir_stream_options narrow = { .receive_limit_bytes = 8192 };
    struct weir_chan_options options = { .drop = close_dropped };
    struct weir_chan *chan = NULL;
    struct peer peer;
    struct weir_stream *stream = open_tcp(&peer.fd, &narrow);
    struct call talk = call_of(talk_call, &peer);
    int result = 1;

    (void)arg;
    peer.stream_fd = weir_stream_fd(stream);
    CHECK_EQUAL(weir_stream_read(stream, &(char){ 0 }, 1, WEIR_NOW), -EAGAIN); /* at home here */
    options.context = &result;
    CHECK_EQUAL(weir_chan_create(&chan, sizeof stream, 1, &options), 0);
    CHECK_EQUAL(weir_chan_send(chan, &stream, WEIR_FOREVER), 0);
    call_start(&talk);
    weir_chan_release(chan);
    CHECK_EQUAL(call_finish(&talk), 0);
    CHECK_EQUAL(result, 0);
    return 0;
}

static void test_dropped(void **state)
{
    (void)state;
    run_both_ways(dropped_body, NULL);
}

/* Nothing is in flight on a loop that a stream has left. */
static int chore_body(void *arg)
{
    char bytes[1000] = "", *room = malloc(BIG_BYTES);
    ssize_t got;
    int peer;
    struct weir_stream *stream = open_tcp(&peer, NULL);
    size_t filled = fill_socket(weir_stream_fd(stream));

    (void)arg;
    for (int i = 0; i < 2; i++) { /* the first is being sent, the second shall follow it */
        CHECK_EQUAL(weir_stream_write(stream, bytes, 1000, WEIR_FOREVER), 1000);
        CHECK_EQUAL(weir_stream_read(stream, bytes, 1, WEIR_NOW), -EAGAIN);
    }
    while (stream_stats(stream).unsent_bytes == 2000) { /* no turn of the loop */
        got = recv(peer, room, BIG_BYTES, MSG_DONTWAIT);
        filled -= got > 0 ? (size_t)got : 0;
        CHECK_EQUAL(weir_stream_read(stream, bytes, 1, WEIR_NOW), -EAGAIN);
    }
    CHECK_EQUAL(stream_stats(stream).unsent_bytes, 1000);
    filled += fill_socket(weir_stream_fd(stream));
    /* Room may have come with the peer's word: then all has gone. */
    CHECK(weir_stream_hand_over(stream, weir_in_ms(20)) == -ETIME ||
          stream_stats(stream).unsent_bytes == 0);
    drain(peer, filled + 2000);
    CHECK_EQUAL(weir_stream_hand_over(stream, weir_in_seconds(20)), 0);
    free(room);
    close_both(stream, peer);
    return 0;
}

static int closed_in_hand_over_body(void *arg)
{
    int peer;
    struct weir_stream *stream = open_tcp(&peer, NULL);
    struct call call = call_of(hand_over_call, stream);

    (void)arg;
    CHECK_EQUAL(weir_stream_read(stream, &(char){ 0 }, 1, WEIR_NOW), -EAGAIN);
    call_start(&call);
    CHECK_EQUAL(weir_yield(), 0);
    CHECK_EQUAL(weir_stream_abort(stream), 0);
    CHECK_EQUAL(call_finish(&call), -EBADF);
    CHECK_EQUAL(weir_close(peer), 0);
    return 0;
}

static void test_hand_over(void **state)
{
    (void)state;
    assert_int_equal(test_run(chore_body, NULL, &two_loops), 0);
    assert_int_equal(test_run(closed_in_hand_over_body, NULL, &whole), 0);
}

/* Bytes that come while a read makes room in a full submission queue are seen. */
static int full_queue_body(void *arg)
{
    struct weir__ring *ring = &weir__loop_current->ring;
    char bytes[8];
    int peer;
    struct weir_stream *stream = open_tcp(&peer, NULL);

    (void)arg;
    for (int more = 0; more < 2; more++) {
        int64_t deadline_ns = weir_in_seconds(5);
        const void *shown;

        CHECK_EQUAL(weir_stream_read(stream, bytes, 1, WEIR_NOW), -EAGAIN);
        CHECK_EQUAL(weir_stream_write(stream, "x", 1, WEIR_FOREVER), 1);
        while (io_uring_sq_space_left(&ring->uring) > 0) {
            struct io_uring_sqe *sqe = weir__ring_sqe(ring);

            io_uring_prep_nop(sqe);
            sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
            weir__ring_complete_to(sqe, NULL);
        }
        say(peer, "news", 4);
        if (more)
            CHECK_EQUAL(weir_stream_peek(stream, &shown, 4, deadline_ns), 4);
        CHECK_EQUAL(weir_stream_read(stream, bytes, 4, deadline_ns), 4);
        CHECK(weir_now_ns() < deadline_ns);
        hear(peer, "x");
    }
    close_both(stream, peer);
    return 0;
}

static void test_full_queue(void **state)
{
    (void)state;
    assert_int_equal(test_run(full_queue_body, NULL, &whole), 0);
}

/* A select whose stream finds no receive buffer waits all the same. */
static int starved_select_body(void *arg)
{
    char bytes[8];
    int peers[2], turns = 0, won;
    struct weir_stream *streams[2] = { open_tcp(&peers[0], NULL), open_tcp(&peers[1], NULL) };
    int64_t deadline_ns = weir_in_ms(30);

    (void)arg;
    CHECK_EQUAL(weir_stream_read(streams[0], bytes, 1, WEIR_NOW), -EAGAIN);
    say(peers[0], "unread", 6);
    weir__sched_settle();
    do {
        struct weir_clause clause = weir_clause_stream(streams[1]);

        won = weir_select(&clause, 1, 0, deadline_ns);
        if (won == 0)
            CHECK_EQUAL(weir_stream_read(streams[1], bytes, 1, WEIR_NOW), -EAGAIN);
        turns++;
    } while (won == 0 && turns < 10);
    CHECK_EQUAL(won, -ETIME);
    CHECK(turns < 10);
    for (int i = 0; i < 2; i++)
        close_both(streams[i], peers[i]);
    return 0;
}

static void test_starved_select(void **state)
{
    struct weir_options few = { .loop_count = 1 };

    (void)state;
    few.receive_buffer_bytes = 4096;
    few.receive_buffers_bytes = 4096;
    assert_int_equal(test_run(starved_select_body, NULL, &few), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_half_written),     cmocka_unit_test(test_grace),
        cmocka_unit_test(test_write_in_the_way), cmocka_unit_test(test_full_queue),
        cmocka_unit_test(test_starved_select),   cmocka_unit_test(test_hand_over),
        cmocka_unit_test(test_rest_of_a_flush),  cmocka_unit_test(test_dropped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
