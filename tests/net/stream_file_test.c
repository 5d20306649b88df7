/* SPDX-License-Identifier: MIT */
/* Large files through a stream: by sendfile on the pool, and never a thread held by the peer. */
#include "stream_fixture.h"

enum { FILE_BYTES = 8 * 1024 * 1024 + 17 };

static int big_file(char **content)
{
    int file = plain_open("large", O_CREAT | O_RDWR | O_TRUNC);

    *content = pattern_block(FILE_BYTES);
    CHECK_EQUAL(write(file, *content, FILE_BYTES), FILE_BYTES);
    return file;
}

/* What the peer gets until nothing more is there: it must be the file from `offset` on. */
static size_t swallow(int peer, const char *content, size_t bytes)
{
    char *back = malloc(bytes + 1);
    size_t done_bytes = 0;
    ssize_t got = 1;

    while (got > 0 && done_bytes < bytes) {
        got = weir_recv(peer, back + done_bytes, bytes - done_bytes, 0, weir_in_seconds(20));
        if (got > 0)
            done_bytes += (size_t)got;
    }
    CHECK(memcmp(back, content, done_bytes) == 0);
    free(back);
    return done_bytes;
}

struct sending {
    struct weir_stream *stream;
    int file;
    off_t offset;
};

static int64_t send_call(void *arg, int64_t deadline_ns)
{
    struct sending *sending = arg;

    return weir_stream_send_file(sending->stream, sending->file, sending->offset, SIZE_MAX / 4,
                                 deadline_ns);
}

/* The peer reads nothing: the call waits for it. */
static void await_full(struct weir_stream *stream)
{
    uint64_t sent_bytes;

    do {
        sent_bytes = stream_stats(stream).sent_bytes;
        CHECK_EQUAL(weir_sleep(weir_in_ms(20)), 0);
    } while (sent_bytes == 0 || stream_stats(stream).sent_bytes != sent_bytes);
}

/* All pool threads are free while the peer makes the call wait; a deadline or a cancel reports
 * exactly what went out, and the next call goes on from there. */
static int slow_peer_body(void *arg)
{
    char *content;
    int file = big_file(&content), peer;
    struct weir_stream *stream = open_tcp(&peer, NULL);
    struct sending sending = { stream, file, 0 };
    struct call call = call_of(send_call, &sending);
    struct weir_pool_stats pool;

    (void)arg;
    call_start(&call);
    await_full(stream);
    CHECK_EQUAL(weir_pool_read_stats(&pool), 0);
    CHECK_EQUAL(pool.threads_busy, 0);
    CHECK(routed(WEIR__OP_ID_SENDFILE, WEIR__ROUTE_POOL) > 0);
    CHECK_EQUAL(weir_task_cancel(call.task), 0);
    sending.offset = call_finish(&call);
    CHECK(sending.offset > 0 && sending.offset < FILE_BYTES);
    CHECK_EQUAL((long long)stream_stats(stream).sent_bytes, (long long)sending.offset);
    CHECK_EQUAL(weir_stream_send_file(stream, file, sending.offset, SIZE_MAX / 4, weir_in_ms(5)),
                -ETIME);
    CHECK_EQUAL(swallow(peer, content, (size_t)sending.offset), (long long)sending.offset);
    call = call_of(send_call, &sending);
    call_start(&call);
    CHECK_EQUAL(swallow(peer, content + sending.offset, (size_t)(FILE_BYTES - sending.offset)),
                FILE_BYTES - sending.offset);
    CHECK_EQUAL(call_finish(&call), FILE_BYTES - sending.offset);
    CHECK_EQUAL(weir_stream_write(stream, "after", 5, WEIR_FOREVER), 5);
    CHECK_EQUAL(weir_stream_flush(stream, WEIR_FOREVER), 0);
    hear(peer, "after");
    close_both(stream, peer);
    plain_close(file);
    free(content);
    return 0;
}

static void test_slow_peer(void **state)
{
    (void)state;
    run_both_ways(slow_peer_body, NULL);
}

/* The file ends sooner than it did when the call began: it sends what there is. */
static int truncated_body(void *arg)
{
    char *content;
    int file = big_file(&content), peer;
    struct weir_stream *stream = open_tcp(&peer, NULL);
    struct sending sending = { stream, file, 0 };
    struct call call = call_of(send_call, &sending);
    size_t sent_bytes;

    (void)arg;
    call_start(&call);
    await_full(stream);
    sent_bytes = stream_stats(stream).sent_bytes;
    CHECK_EQUAL(ftruncate(file, FILE_BYTES - 1000), 0);
    CHECK_EQUAL(swallow(peer, content, FILE_BYTES - 1000), FILE_BYTES - 1000);
    CHECK(sent_bytes < FILE_BYTES - 1000);
    CHECK_EQUAL(call_finish(&call), FILE_BYTES - 1000);
    close_both(stream, peer);
    plain_close(file);
    free(content);
    return 0;
}

static void test_truncated_file(void **state)
{
    (void)state;
    run_both_ways(truncated_body, NULL);
}

/* A lost peer is an error of the stream, then and later; a close ends who waits. */
static int lost_peer_body(void *arg)
{
    char *content;
    int file = big_file(&content), peer;
    struct weir_stream *stream = open_tcp(&peer, NULL);
    struct sending sending = { stream, file, 0 };
    struct call call = call_of(send_call, &sending);
    ssize_t error;

    (void)arg;
    call_start(&call);
    await_full(stream);
    plain_close(peer); /* with bytes unread: a reset */
    CHECK(call_finish(&call) > 0);
    error = weir_stream_send_file(stream, file, 0, FILE_BYTES, WEIR_FOREVER);
    CHECK(error == -EPIPE || error == -ECONNRESET);
    CHECK_EQUAL(weir_stream_write(stream, "x", 1, WEIR_FOREVER), error);
    CHECK_EQUAL(weir_stream_abort(stream), 0);

    stream = open_tcp(&peer, NULL);
    sending.stream = stream;
    call = call_of(send_call, &sending);
    call_start(&call);
    await_full(stream);
    CHECK_EQUAL(weir_stream_abort(stream), 0);
    CHECK(call_finish(&call) > 0);
    plain_close(peer);
    plain_close(file);
    free(content);
    return 0;
}

static void test_lost_peer_and_abort(void **state)
{
    (void)state;
    run_both_ways(lost_peer_body, NULL);
}

/* What is no file for sendfile is read and sent; errors are the file's. */
static int refused_body(void *arg)
{
    char *content, status[64] = "";
    int file = big_file(&content), other = plain_open("large", O_WRONLY), peer;
    int proc = plain_open("/proc/self/stat", O_RDONLY);
    struct weir_stream *stream = open_tcp(&peer, NULL);

    (void)arg;
    CHECK_EQUAL(weir_stream_send_file(stream, other, 0, FILE_BYTES, WEIR_FOREVER), -EBADF);
    CHECK_EQUAL(weir_stream_send_file(stream, file, FILE_BYTES, FILE_BYTES, WEIR_FOREVER), 0);
    CHECK(weir_stream_send_file(stream, proc, 0, FILE_BYTES, WEIR_FOREVER) > 10);
    CHECK(weir_recv(peer, status, sizeof status - 1, 0, weir_in_seconds(20)) > 10);
    CHECK_EQUAL(atoi(status), getpid());
    CHECK(weir_stream_send_file(stream, file, 0, FILE_BYTES, WEIR_NOW) > 0); /* a try */
    CHECK_EQUAL(weir_stream_abort(stream), 0);
    plain_close(peer);
    plain_close(proc);
    plain_close(other);
    plain_close(file);
    free(content);
    return 0;
}

static void test_refused(void **state)
{
    (void)state;
    run_both_ways(refused_body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_slow_peer),
        IN_FOLDER(test_truncated_file),
        IN_FOLDER(test_lost_peer_and_abort),
        IN_FOLDER(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
