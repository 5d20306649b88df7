/* SPDX-License-Identifier: MIT */
/*
 * Many streams on few buffers, with deadlines, tries and cancels at any moment: each byte comes
 * once, in order, and every buffer goes back. Bytes are numbered: the byte at place n of a stream
 * is a function of n, so that a lost, doubled or swapped one is seen where it happens.
 */
#include "stream_fixture.h"

enum { STREAMS = 24, CHUNK_MAX = 3000 };

static char byte_at(uint64_t place)
{
    return (char)(place * 7 + place / 251 + (place / 65521) * 3);
}

struct lane {
    struct weir_stream *stream;
    int peer;
    uint64_t sent, received; /* by the peer, by the stream's reader */
    uint64_t written, heard; /* by the stream's writer, by the peer */
    uint64_t target;         /* bytes each way */
    uint64_t random;
    uint64_t rounds; /* calls of the reader */
};

static uint32_t draw(uint64_t *random, uint32_t below)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*random >> 33) % below;
}

static int64_t some_deadline(uint64_t *random)
{
    switch (draw(random, 4)) {
    case 0:
        return WEIR_NOW;
    case 1:
        return weir_in_us(draw(random, 200));
    default:
        return WEIR_FOREVER;
    }
}

static bool is_interruption(int64_t result)
{
    return result == -EAGAIN || result == -ETIME || result == -ECANCELED;
}

/* What a reader got. False when it is not what comes next. */
static bool take(struct lane *lane, const char *bytes, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (!CHECK(bytes[i] == byte_at(lane->received + (uint64_t)i)))
            return false;
    lane->received += count > 0 ? (uint64_t)count : 0;
    return true;
}

/* One call of any verb that reads. Returns its result. */
static int64_t read_somehow(struct lane *lane, char *bytes)
{
    int64_t deadline_ns = some_deadline(&lane->random), result;
    uint32_t size = 1 + draw(&lane->random, CHUNK_MAX);
    uint64_t left = lane->target - lane->received;
    const void *shown;

    lane->rounds++;
    switch (draw(&lane->random, 6)) {
    case 0:
        result =
            weir_stream_read_exactly(lane->stream, bytes, size < left ? size : left, deadline_ns);
        break;
    case 1: /* what is left may have no such byte */
        if (deadline_ns == WEIR_FOREVER)
            deadline_ns = weir_in_us(300);
        result = weir_stream_read_until(lane->stream, byte_at(lane->received + size % 200), bytes,
                                        CHUNK_MAX, deadline_ns);
        break;
    case 2:
        result = weir_stream_peek(lane->stream, &shown, 1 + size % 700 % left, deadline_ns);
        if (result <= 0 || !take(lane, shown, result))
            return result;
        CHECK_EQUAL(weir_stream_consume(lane->stream, (size_t)result), 0);
        return result;
    case 3:
        result = weir_stream_read(lane->stream, bytes, 20000, deadline_ns); /* a big one */
        break;
    default:
        result = weir_stream_read(lane->stream, bytes, size, deadline_ns);
    }
    return result > 0 && !take(lane, bytes, result) ? -EIO : result;
}

/* Cancelled at any moment; its successor goes on. */
static int read_lane(void *arg)
{
    struct lane *lane = arg;
    char bytes[20000];

    while (lane->received < lane->target) {
        int64_t result = read_somehow(lane, bytes);

        if (result == -ECANCELED)
            return 0;
        if (!CHECK(result > 0 || is_interruption(result) || result == -EMSGSIZE))
            return -EIO;
        if (result <= 0 && weir_yield() < 0)
            return 0;
    }
    return 0;
}

static int write_lane(void *arg)
{
    struct lane *lane = arg;
    char bytes[CHUNK_MAX];

    while (lane->written < lane->target) {
        uint64_t left = lane->target - lane->written;
        size_t size = 1 + draw(&lane->random, CHUNK_MAX);
        int64_t result;

        size = size < left ? size : left;
        for (size_t i = 0; i < size; i++)
            bytes[i] = byte_at(lane->written + i);
        result = weir_stream_write(lane->stream, bytes, size, some_deadline(&lane->random));
        if (result == -ECANCELED)
            return 0;
        if (!CHECK(result > 0 || is_interruption(result)))
            return -EIO;
        lane->written += result > 0 ? (uint64_t)result : 0;
        if (draw(&lane->random, 8) == 0) {
            result = weir_stream_flush(lane->stream, some_deadline(&lane->random));
            CHECK(result == 0 || is_interruption(result));
        }
        if (weir_yield() < 0)
            return 0;
    }
    return 0;
}

/* The peer's two sides, by one task that never waits long in either. */
static int serve_peer(void *arg)
{
    struct lane *lane = arg;
    char bytes[CHUNK_MAX];

    while (lane->sent < lane->target || lane->heard < lane->target) {
        uint64_t left = lane->target - lane->sent, random = lane->sent + lane->heard;
        size_t size = 1 + draw(&random, CHUNK_MAX);
        ssize_t result;

        size = size < left ? size : left;
        for (size_t i = 0; i < size; i++)
            bytes[i] = byte_at(lane->sent + i);
        result = size ? send(lane->peer, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
        lane->sent += result > 0 ? (uint64_t)result : 0;
        result = recv(lane->peer, bytes, sizeof bytes, MSG_DONTWAIT);
        for (ssize_t i = 0; i < result; i++)
            if (!CHECK(bytes[i] == byte_at(lane->heard + (uint64_t)i)))
                return -EIO;
        lane->heard += result > 0 ? (uint64_t)result : 0;
        if (weir_yield() < 0)
            return 0;
    }
    return 0;
}

/* Runs fn(lane) until it has done its work, with a cancel now and then. */
struct worker {
    struct lane *lane;
    weir_task_fn *fn;
    const uint64_t *done;
    uint64_t random;
};

static int drive(void *arg)
{
    struct worker *worker = arg;

    while (*worker->done < worker->lane->target) {
        struct weir_scope *scope;
        struct weir_task *task;
        struct weir_spawn_options options = { .task = &task };
        int result;

        CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
        CHECK_EQUAL(weir_spawn(scope, worker->fn, worker->lane, &options), 0);
        for (uint32_t turns = draw(&worker->random, 60); turns > 0; turns--)
            CHECK_EQUAL(weir_yield(), 0);
        if (draw(&worker->random, 3) > 0)
            CHECK(weir_task_cancel(task) >= 0);
        CHECK_EQUAL(weir_join(task, &result, WEIR_FOREVER), 0);
        CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
        if (!CHECK_EQUAL(result, 0))
            return -EIO;
    }
    return 0;
}

static int storm_body(void *arg)
{
    uint64_t target = (uint64_t) * (long *)arg, rounds = 0;
    struct weir_stream_options narrow = { .receive_limit_bytes = 1024, .write_buffer_bytes = 512 };
    struct lane lanes[STREAMS] = { 0 };
    struct worker workers[STREAMS][2];
    struct weir_scope *scope;

    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_FAIL_FAST, NULL), 0);
    for (int i = 0; i < STREAMS; i++) {
        struct lane *lane = &lanes[i];

        *lane = (struct lane){ .target = target, .random = (uint64_t)i * 977 + 1 };
        lane->stream = open_tcp(&lane->peer, i % 3 ? &narrow : NULL);
        workers[i][0] = (struct worker){ lane, read_lane, &lane->received, (uint64_t)i };
        workers[i][1] = (struct worker){ lane, write_lane, &lane->written, (uint64_t)i + 99 };
        CHECK_EQUAL(weir_spawn(scope, serve_peer, lane, NULL), 0);
        CHECK_EQUAL(weir_spawn(scope, drive, &workers[i][0], NULL), 0);
        CHECK_EQUAL(weir_spawn(scope, drive, &workers[i][1], NULL), 0);
    }
    /* What the last writes left in the buffers is sent on. */
    for (int i = 0; i < STREAMS; i++)
        while (lanes[i].written < target || lanes[i].heard < target) {
            int error =
                lanes[i].written == target ? weir_stream_flush(lanes[i].stream, WEIR_NOW) : 0;

            CHECK(error == 0 || error == -EAGAIN || error == -EBUSY);
            if (!CHECK_EQUAL(weir_yield(), 0))
                return weir_scope_join(scope, WEIR_FOREVER);
        }
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK_EQUAL(counter(WEIR_RECEIVE_BUFFERS_NOW), 0);
    for (int i = 0; i < STREAMS; i++) {
        rounds += lanes[i].rounds;
        CHECK_EQUAL(lanes[i].received, target);
        close_both(lanes[i].stream, lanes[i].peer);
    }
    print_message("%llu reads, %lld without a buffer\n", (unsigned long long)rounds,
                  counter(WEIR_STREAMS_STARVED));
    return 0;
}

static void test_storm(void **state)
{
    long target = test_rounds(50000, 40000000, 400000000);
    struct weir_options few = { .loop_count = 1, .receive_buffer_bytes = 256 };
    struct weir_options one = { .loop_count = 1, .receive_buffer_bytes = 512 };

    (void)state;
    few.receive_buffers_bytes = 8 * 256;
    one.receive_buffers_bytes = 512;
    assert_int_equal(test_run(storm_body, &target, &few), 0);
    assert_int_equal(test_run(storm_body, &target, &one), 0);
    assert_int_equal(test_run(storm_body, &target, &whole), 0);
    assert_int_equal(test_run(storm_body, &target, &masked), 0);
}

/* Streams that nobody reads hold no more than their limit, the peers feel it, and though they hold
 * every buffer of the loop together, those that are read go on as if alone. */
static int hog_body(void *arg)
{
    struct weir_stream_options narrow = { .receive_limit_bytes = 1024 };
    struct weir_stream *hogs[STREAMS], *stream;
    int peers[STREAMS], peer;
    char bytes[256] = "", back[256];

    (void)arg;
    for (int i = 0; i < STREAMS; i++) {
        hogs[i] = open_tcp(&peers[i], &narrow);
        CHECK_EQUAL(weir_stream_read(hogs[i], bytes, 1, WEIR_NOW), -EAGAIN);
        fill_socket(peers[i]);
    }
    weir__sched_settle();
    CHECK(counter(WEIR_RECEIVE_BUFFERS_NOW) <= 8);
    CHECK(counter(WEIR_RECEIVE_BUFFERS_MAX) <= 8);
    stream = open_tcp(&peer, NULL);
    for (int round = 0; round < 100; round++) {
        say(peer, bytes, sizeof bytes);
        CHECK_EQUAL(weir_stream_read_exactly(stream, back, sizeof back, weir_in_seconds(20)), 256);
        say(peer, "line\n", 5);
        CHECK_EQUAL(weir_stream_read_until(stream, '\n', back, 256, weir_in_seconds(20)), 5);
    }
    for (int i = 0; i < STREAMS; i++) {
        CHECK(stream_stats(hogs[i]).unread_bytes <= 8 * 256);
        CHECK_EQUAL(weir_stream_abort(hogs[i]), 0);
        CHECK_EQUAL(weir_close(peers[i]), 0);
    }
    CHECK_EQUAL(counter(WEIR_RECEIVE_BUFFERS_NOW), 0);
    close_both(stream, peer);
    return 0;
}

static void test_those_who_do_not_read(void **state)
{
    struct weir_options few = { .loop_count = 1, .receive_buffer_bytes = 256 };

    (void)state;
    few.receive_buffers_bytes = 8 * 256;
    assert_int_equal(test_run(hog_body, NULL, &few), 0);
}

/* One stream with room enough stops at its limit, and goes on when it is read. */
static int limit_body(void *arg)
{
    struct weir_stream_options narrow = { .receive_limit_bytes = 64 * 1024 };
    char *back = malloc(BIG_BYTES);
    size_t sum = 0, filled;
    ssize_t got;
    int peer;
    struct weir_stream *stream = open_tcp(&peer, &narrow);

    (void)arg;
    CHECK_EQUAL(weir_stream_read(stream, back, 1, WEIR_NOW), -EAGAIN);
    filled = fill_socket(peer);
    weir__sched_settle();
    CHECK(filled > 256 * 1024);
    /* The limit, and what the kernel brings before it hears of the stop: 32 buffers at most. */
    CHECK(stream_stats(stream).unread_bytes >= 60 * 1024);
    CHECK(stream_stats(stream).unread_bytes <= (16 + 2 * 32) * 4096);
    CHECK_EQUAL(stream_stats(stream).stop_count, 1);
    plain_close(peer);
    while ((got = weir_stream_read(stream, back, 1000, weir_in_seconds(20))) > 0)
        sum += (size_t)got;
    CHECK_EQUAL(got, 0);
    CHECK_EQUAL(sum, filled);
    CHECK(weir_stream_close(stream, weir_in_seconds(20)) <= 0);
    free(back);
    return 0;
}

static void test_limit(void **state)
{
    (void)state;
    if (test_masked_features() & (WEIR_FEATURE_BUFFER_RING | WEIR_FEATURE_MULTISHOT_RECV)) {
        print_message("skipped: no receive goes ahead of the reads\n");
        skip();
    }
    assert_int_equal(test_run(limit_body, NULL, &whole), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_storm),
        cmocka_unit_test(test_those_who_do_not_read),
        cmocka_unit_test(test_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
