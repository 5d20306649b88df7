/* SPDX-License-Identifier: MIT */
/* The life of a stream: who may use it, how it ends, what becomes of what is on its way. */
#include "stream_fixture.h"

struct reader {
    struct weir_stream *stream;
    char bytes[64];
};

static int64_t read_call(void *arg, int64_t deadline_ns)
{
    struct reader *reader = arg;

    return weir_stream_read(reader->stream, reader->bytes, sizeof reader->bytes, deadline_ns);
}

static int64_t flush_call(void *arg, int64_t deadline_ns)
{
    struct reader *reader = arg;

    return weir_stream_flush(reader->stream, deadline_ns);
}

static int users_body(void *arg)
{
    struct reader reader;
    struct call call = call_of(read_call, &reader);
    char byte;
    int peer;

    (void)arg;
    reader.stream = open_tcp(&peer, NULL);
    call_start(&call);
    weir__sched_settle();
    CHECK_EQUAL(weir_stream_read(reader.stream, &byte, 1, WEIR_NOW), -EBUSY);
    CHECK_EQUAL(weir_stream_hand_over(reader.stream, WEIR_FOREVER), -EBUSY);
    CHECK_EQUAL(weir_stream_write(reader.stream, "x", 1, WEIR_NOW), 1); /* the other side is free */
    CHECK_EQUAL(weir_stream_flush(reader.stream, weir_in_seconds(20)), 0);
    hear(peer, "x");
    CHECK_EQUAL(weir_task_cancel(call.task), 0);
    CHECK_EQUAL(call_finish(&call), -ECANCELED);
    say(peer, "kept", 4);
    CHECK_EQUAL(weir_stream_read(reader.stream, reader.bytes, 64, weir_in_seconds(20)), 4);
    close_both(reader.stream, peer);
    return 0;
}

static void test_one_reader_and_one_writer(void **state)
{
    (void)state;
    run_both_ways(users_body, NULL);
}

/* Calls that wait end, in whatever they wait. */
static int close_body(void *arg)
{
    struct reader reader;
    struct call calls[2] = { call_of(read_call, &reader), call_of(flush_call, &reader) };
    char *big = pattern_block(BIG_BYTES);
    int peer;

    (void)arg;
    reader.stream = open_tcp(&peer, NULL);
    while (weir_stream_write(reader.stream, big, BIG_BYTES, weir_in_ms(2)) > 0)
        ;
    while (weir_stream_write(reader.stream, big, 1000, WEIR_NOW) > 0)
        ;
    call_start(&calls[0]);
    call_start(&calls[1]);
    weir__sched_settle();
    CHECK_EQUAL(weir_stream_close(reader.stream, weir_in_ms(2)), -ETIME);
    CHECK_EQUAL(call_finish(&calls[0]), -EBADF);
    CHECK_EQUAL(call_finish(&calls[1]), -EBADF);
    CHECK_EQUAL(weir_close(peer), 0);
    free(big);
    return 0;
}

static int64_t select_call(void *arg, int64_t deadline_ns)
{
    struct weir_clause clause = weir_clause_stream(arg);
    char byte;
    int won = weir_select(&clause, 1, 0, deadline_ns);

    return won == 0 && clause.result >= 0 ? weir_stream_read(arg, &byte, 1, WEIR_NOW)
                                          : clause.result;
}

static int close_in_select_body(void *arg)
{
    int peer;
    struct weir_stream *stream = open_tcp(&peer, NULL);
    struct call call = call_of(select_call, stream);

    (void)arg;
    call_start(&call);
    weir__sched_settle();
    CHECK_EQUAL(weir_stream_abort(stream), 0);
    CHECK_EQUAL(call_finish(&call), -EBADF);
    CHECK_EQUAL(weir_close(peer), 0);
    return 0;
}

static void test_waiting_calls_end(void **state)
{
    (void)state;
    run_both_ways(close_body, NULL);
    run_both_ways(close_in_select_body, NULL);
}

static int64_t close_call(void *arg, int64_t deadline_ns)
{
    return weir_stream_close(arg, deadline_ns);
}

/* The peer gets all of it, and only then is the stream gone. */
static int graceful_body(void *arg)
{
    char *big = pattern_block(BIG_BYTES), *back = malloc(BIG_BYTES);
    int peer;
    struct weir_stream *stream = open_tcp(&peer, NULL);
    struct call call = call_of(close_call, stream);

    (void)arg;
    say(peer, "never read", 10);
    CHECK_EQUAL(weir_stream_write(stream, big, 10000, WEIR_FOREVER), 10000);
    call_start(&call);
    CHECK_EQUAL(weir_recv_all(peer, back, 10000, 0, NULL, weir_in_seconds(20)), 10000);
    CHECK_EQUAL(weir_recv(peer, back, 1, 0, weir_in_seconds(20)), 0);
    say(peer, "dropped", 7);
    weir__sched_settle();
    CHECK_EQUAL(weir_close(peer), 0);
    CHECK_EQUAL(call_finish(&call), 0);
    CHECK(memcmp(big, back, 10000) == 0);
    free(big);
    free(back);
    return 0;
}

static void test_graceful_close(void **state)
{
    (void)state;
    run_both_ways(graceful_body, NULL);
}

/* A peer that is lost costs the deadline; one that reset, nothing. A cancelled task closes too. */
static int lost_body(void *arg)
{
    struct linger linger = { .l_onoff = 1 };
    int peer;
    struct weir_stream *stream = open_tcp(&peer, NULL);
    struct call call = call_of(close_call, stream);
    int fd = weir_stream_fd(stream);

    (void)arg;
    call.deadline_ns = weir_in_ms(20);
    call_start(&call);
    weir__sched_settle();
    CHECK_EQUAL(weir_task_cancel(call.task), 0);
    CHECK_EQUAL(call_finish(&call), -ETIME);
    CHECK_EQUAL(fcntl(fd, F_GETFD), -1);
    CHECK_EQUAL(weir_close(peer), 0);
    stream = open_tcp(&peer, NULL);
    CHECK_EQUAL(setsockopt(peer, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    CHECK_EQUAL(weir_close(peer), 0);
    CHECK(weir_stream_close(stream, weir_in_seconds(20)) != -ETIME);
    stream = open_tcp(&peer, NULL);
    CHECK_EQUAL(weir_stream_close(stream, WEIR_NOW), -EAGAIN);
    CHECK_EQUAL(weir_close(peer), 0);
    return 0;
}

static void test_lost_peers(void **state)
{
    (void)state;
    run_both_ways(lost_body, NULL);
}

static int abort_body(void *arg)
{
    char byte;
    int peer;
    struct weir_stream *stream = open_tcp(&peer, NULL);

    (void)arg;
    CHECK_EQUAL(weir_stream_write(stream, "unsent", 6, WEIR_FOREVER), 6);
    CHECK_EQUAL(weir_stream_abort(stream), 0);
    CHECK_EQUAL(weir_recv(peer, &byte, 1, 0, weir_in_seconds(20)), -ECONNRESET);
    CHECK_EQUAL(weir_close(peer), 0);
    return 0;
}

static void test_abort(void **state)
{
    (void)state;
    run_both_ways(abort_body, NULL);
}

/* --- loops ------------------------------------------------------------------------------------ */

static int64_t use_there(void *arg, int64_t deadline_ns)
{
    struct weir_stream *stream = arg;
    char bytes[64];

    (void)deadline_ns;
    if (weir_stream_read_exactly(stream, bytes, 8, weir_in_seconds(20)) != 8)
        return -EIO;
    CHECK(memcmp(bytes, "onetwo!!", 8) == 0);
    CHECK_EQUAL(weir_stream_write(stream, "heard", 5, WEIR_FOREVER), 5);
    CHECK_EQUAL(weir_stream_flush(stream, weir_in_seconds(20)), 0);
    return weir_stream_hand_over(stream, weir_in_seconds(20));
}

static int64_t try_there(void *arg, int64_t deadline_ns)
{
    char byte;

    return weir_stream_read(arg, &byte, 1, deadline_ns);
}

static int loops_body(void *arg)
{
    const void *bytes;
    int peer;
    struct weir_stream *stream = open_tcp(&peer, NULL);

    (void)arg;
    say(peer, "one", 3);
    CHECK_EQUAL(weir_stream_peek(stream, &bytes, 3, weir_in_seconds(20)), 3);
    CHECK_EQUAL(run_on_loop(1, try_there, stream), -EBUSY);
    CHECK_EQUAL(weir_stream_write(stream, "unsent ", 7, WEIR_FOREVER), 7);
    CHECK_EQUAL(weir_stream_hand_over(stream, weir_in_seconds(20)), 0);
    CHECK_EQUAL(counter(WEIR_RECEIVE_BUFFERS_NOW), 0);
    say(peer, "two!!", 5);
    CHECK_EQUAL(run_on_loop(1, use_there, stream), 0);
    hear(peer, "unsent heard");
    close_both(stream, peer);
    return 0;
}

static void test_hand_over(void **state)
{
    (void)state;
    assert_int_equal(test_run(loops_body, NULL, &two_loops), 0);
}

/* --- ends that come with the last bytes ------------------------------------------------------- */

enum { CONNECTIONS = 20 };

static int ends_body(void *arg)
{
    struct linger linger = { .l_onoff = 1 };
    bool resets = *(bool *)arg;
    struct weir_stream *streams[CONNECTIONS];
    int peers[CONNECTIONS];
    char bytes[64];

    for (int i = 0; i < CONNECTIONS; i++) {
        streams[i] = open_tcp(&peers[i], NULL);
        CHECK_EQUAL(weir_stream_read(streams[i], bytes, 64, WEIR_NOW), -EAGAIN); /* armed */
    }
    for (int i = 0; i < CONNECTIONS; i++) { /* no turn of the loop in between */
        say(peers[i], "end", 3);
        if (resets)
            CHECK_EQUAL(setsockopt(peers[i], SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
        plain_close(peers[i]);
    }
    for (int i = 0; i < CONNECTIONS; i++) {
        ssize_t got = weir_stream_read(streams[i], bytes, 64, weir_in_seconds(20));

        if (got == 3)
            got = weir_stream_read(streams[i], bytes, 64, weir_in_seconds(20));
        CHECK_EQUAL(got, resets ? -ECONNRESET : 0);
        weir_stream_abort(streams[i]);
    }
    return 0;
}

static void test_ends_with_the_last_bytes(void **state)
{
    bool resets = false;

    (void)state;
    for (long i = 0; i < test_rounds(20, 500, 5000); i++)
        run_both_ways(ends_body, &resets);
    resets = true;
    for (long i = 0; i < test_rounds(3, 50, 500); i++)
        run_both_ways(ends_body, &resets);
}

/* --- teardown --------------------------------------------------------------------------------- */

static int hold_open(void *arg)
{
    char byte;

    (void)arg;
    while (weir_stream_read(arg, &byte, 1, WEIR_FOREVER) == 1)
        ;
    return weir_stream_abort(arg);
}

/* The root returns while streams receive, with bytes that nobody has read. */
static int teardown_body(void *arg)
{
    int *peers = arg;
    char bytes[1000] = "";

    for (int i = 0; i < CONNECTIONS; i++) {
        struct weir_stream *stream = open_tcp(&peers[i], NULL);

        CHECK_EQUAL(weir_stream_read(stream, bytes, 1, WEIR_NOW), -EAGAIN);
        CHECK_EQUAL(weir_spawn(weir_task_scope(), hold_open, stream, NULL), 0);
        say(peers[i], bytes, sizeof bytes);
        if (i % 2)
            CHECK_EQUAL(weir_yield(), 0);
    }
    return 0;
}

static void test_teardown(void **state)
{
    int peers[CONNECTIONS], fds = count_fds();

    (void)state;
    for (int way = 0; way < 2; way++) {
        assert_int_equal(test_run(teardown_body, peers, way ? &masked : &whole), 0);
        for (int i = 0; i < CONNECTIONS; i++)
            plain_close(peers[i]);
    }
    assert_int_equal(count_fds(), fds);
}

/* --- files ------------------------------------------------------------------------------------ */

static int64_t receive_call(void *arg, int64_t deadline_ns)
{
    int fd = *(int *)arg;
    char *back = malloc(BIG_BYTES), *big = pattern_block(BIG_BYTES), head[4];
    ssize_t got = weir_recv_all(fd, head, 4, 0, NULL, deadline_ns);

    CHECK(got == 4 && memcmp(head, "head", 4) == 0);
    got = weir_recv_all(fd, back, BIG_BYTES, 0, NULL, deadline_ns);
    CHECK(memcmp(back + 5, big + 5, BIG_BYTES - 10) == 0);
    free(back);
    free(big);
    return got;
}

static int file_body(void *arg)
{
    int file = pattern_file("file", O_RDONLY), peer;
    ssize_t sent;
    struct weir_stream *stream = open_tcp(&peer, NULL);
    struct call call = call_of(receive_call, &peer);

    (void)arg;
    CHECK_EQUAL(weir_stream_send_file(stream, -1, 0, 10, WEIR_FOREVER), -EBADF);
    CHECK_EQUAL(weir_stream_write(stream, "head", 4, WEIR_FOREVER), 4);
    sent = weir_stream_send_file(stream, file, 0, BIG_BYTES * 10, weir_in_ms(5));
    CHECK(sent > 0 || sent == -ETIME);
    CHECK_EQUAL(weir_stream_abort(stream), 0);
    plain_close(peer);
    stream = open_tcp(&peer, NULL);
    call_start(&call);
    CHECK_EQUAL(weir_stream_write(stream, "head", 4, WEIR_FOREVER), 4);
    CHECK_EQUAL(weir_stream_send_file(stream, file, 0, SIZE_MAX / 4, weir_in_seconds(20)),
                BIG_BYTES);
    CHECK_EQUAL(call_finish(&call), BIG_BYTES);
    CHECK_EQUAL(weir_stream_send_file(stream, file, BIG_BYTES, 10, WEIR_FOREVER), 0);
    close_both(stream, peer);
    plain_close(file);
    return 0;
}

static void test_files(void **state)
{
    (void)state;
    run_both_ways(file_body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_reader_and_one_writer),
        cmocka_unit_test(test_waiting_calls_end),
        cmocka_unit_test(test_graceful_close),
        cmocka_unit_test(test_lost_peers),
        cmocka_unit_test(test_abort),
        cmocka_unit_test(test_hand_over),
        cmocka_unit_test(test_ends_with_the_last_bytes),
        cmocka_unit_test(test_teardown),
        IN_FOLDER(test_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
