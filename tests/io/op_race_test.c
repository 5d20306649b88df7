/* SPDX-License-Identifier: MIT */
/*
 * Streams under races: bytes go through sockets and pipes, by every call that sends or receives,
 * each with a random deadline, in tasks that are cancelled at random. Every byte arrives exactly
 * once, in order, as the results say; and no call touches its buffer after it has returned.
 */
#include "race.h"

#include <signal.h>
#include <sys/time.h>

enum {
    LOOPS = 2,
    STREAMS = 4, /* each with two directions, if it can */
    BYTES_MAX = 32 * 1024,
    SMALL_MAX = 256,
    GUARD_BYTES = 64,
    UNTOUCHED = 0x55,
    SPENT = 0x66,
    LARGE_SHARE = 16, /* one in so many calls is large */
};

enum kind { PAIR, CONNECTION, PIPE };

/* Who sends or receives on one end, in one direction. */
struct side {
    int fd;
    bool is_socket;
    bool is_sender;
    uint64_t key;      /* of the stream's bytes */
    uint64_t position; /* as the results have it */
    long calls_left;   /* of a sender */
    bool finished;
    struct weir__random random;
    unsigned char *buffer;
    size_t dirty_bytes; /* of the buffer, that the last call had */
    long call_count, expired_count, cancelled_count;
};

static unsigned char byte_at(const struct side *side, uint64_t position)
{
    return (unsigned char)(((position + side->key) * 0x9e3779b97f4a7c15u) >> 56);
}

/* In two parts, either of which may be empty. */
static void split(struct side *side, struct iovec parts[2], size_t bytes)
{
    size_t first = weir__random_below(&side->random, (uint32_t)bytes + 1);

    parts[0] = (struct iovec){ side->buffer, first };
    parts[1] = (struct iovec){ side->buffer + first, bytes - first };
}

/* By a call that also says how many bytes it did before it failed. */
static ssize_t sum_up(ssize_t result, size_t done_bytes, size_t bytes, size_t *early_bytes)
{
    CHECK(done_bytes <= bytes);
    if (result >= 0)
        CHECK_EQUAL(result, done_bytes);
    else
        *early_bytes = done_bytes;
    return result;
}

static ssize_t send_somehow(struct side *side, size_t bytes, int64_t deadline_ns, size_t *early)
{
    struct iovec parts[2];
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
    int flags = one_in(&side->random, 2) ? MSG_WAITALL : 0;
    size_t done = SIZE_MAX;
    ssize_t result;

    split(side, parts, bytes);
    switch (weir__random_below(&side->random, side->is_socket ? 6 : 3)) {
    case 0:
        return weir_write(side->fd, side->buffer, bytes, deadline_ns);
    case 1:
        return weir_writev(side->fd, parts, 2, deadline_ns);
    case 2:
        result = weir_write_all(side->fd, side->buffer, bytes, &done, deadline_ns);
        return sum_up(result, done, bytes, early);
    case 3:
        return weir_send(side->fd, side->buffer, bytes, flags, deadline_ns);
    case 4:
        return weir_sendmsg(side->fd, &message, flags, deadline_ns);
    default:
        result = weir_send_all(side->fd, side->buffer, bytes, 0, &done, deadline_ns);
        return sum_up(result, done, bytes, early);
    }
}

static ssize_t receive_somehow(struct side *side, size_t bytes, int64_t deadline_ns, size_t *early)
{
    struct iovec parts[2];
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
    int flags = one_in(&side->random, 4) ? MSG_WAITALL : 0;
    size_t done = SIZE_MAX;
    ssize_t result;

    split(side, parts, bytes);
    switch (weir__random_below(&side->random, side->is_socket ? 5 : 2)) {
    case 0:
        return weir_read(side->fd, side->buffer, bytes, deadline_ns);
    case 1:
        return weir_readv(side->fd, parts, 2, deadline_ns);
    case 2:
        return weir_recv(side->fd, side->buffer, bytes, flags, deadline_ns);
    case 3:
        return weir_recvmsg(side->fd, &message, flags, deadline_ns);
    default:
        result = weir_recv_all(side->fd, side->buffer, bytes, 0, &done, deadline_ns);
        return sum_up(result, done, bytes, early);
    }
}

/* A failure that a race may bring, and no other. */
static void check_failure(struct side *side, ssize_t result, int64_t deadline_ns)
{
    if (result == -ECANCELED)
        side->cancelled_count++;
    else if (result == -EAGAIN)
        CHECK_EQUAL(deadline_ns, WEIR_NOW);
    else if (CHECK_EQUAL(result, -ETIME))
        CHECK(deadline_ns <= weir_now_ns());
    side->expired_count += result != -ECANCELED;
}

static size_t choose_bytes(struct side *side)
{
    bool large = one_in(&side->random, LARGE_SHARE);

    return 1 + weir__random_below(&side->random, large ? BYTES_MAX : SMALL_MAX);
}

/* What the kernel still sends of a spent buffer would not be what the other end expects. */
static ssize_t send_once(struct side *side)
{
    int64_t deadline_ns = race_deadline(&side->random);
    size_t bytes = choose_bytes(side), early_bytes = 0;
    ssize_t result;

    for (size_t i = 0; i < bytes; i++)
        side->buffer[i] = byte_at(side, side->position + i);
    result = send_somehow(side, bytes, deadline_ns, &early_bytes);
    memset(side->buffer, SPENT, bytes);
    if (result < 0)
        check_failure(side, result, deadline_ns);
    else
        CHECK(result > 0 && (size_t)result <= bytes);
    side->position += result < 0 ? early_bytes : (size_t)result;
    return result;
}

static void check_untouched(const struct side *side, size_t from, size_t bytes)
{
    size_t wrong = 0;

    for (size_t i = from; i < bytes; i++)
        wrong += side->buffer[i] != UNTOUCHED;
    CHECK_EQUAL(wrong, 0);
}

static ssize_t receive_once(struct side *side)
{
    int64_t deadline_ns = race_deadline(&side->random);
    size_t bytes = choose_bytes(side), early_bytes = 0, got, wrong = 0;
    ssize_t result;

    check_untouched(side, 0, side->dirty_bytes); /* since the last call has returned */
    side->dirty_bytes = bytes + GUARD_BYTES;
    result = receive_somehow(side, bytes, deadline_ns, &early_bytes);
    if (result < 0)
        check_failure(side, result, deadline_ns);
    got = result < 0 ? early_bytes : (size_t)result;
    CHECK(got <= bytes);
    for (size_t i = 0; i < got; i++)
        wrong += side->buffer[i] != byte_at(side, side->position + i);
    CHECK_EQUAL(wrong, 0);
    check_untouched(side, got, side->dirty_bytes);
    memset(side->buffer, UNTOUCHED, got);
    side->position += got;
    return result;
}

/* Readiness is no promise: another call of this end may take it first. */
static ssize_t poll_once(struct side *side)
{
    int64_t deadline_ns = race_deadline(&side->random);
    int revents = weir_poll(side->fd, side->is_sender ? POLLOUT : POLLIN, deadline_ns);

    if (revents < 0)
        check_failure(side, revents, deadline_ns);
    return revents;
}

static void end_sender(struct side *side)
{
    if (side->is_socket)
        CHECK_EQUAL(weir_shutdown(side->fd, SHUT_WR), 0);
    else
        CHECK_EQUAL(weir_close(side->fd), 0);
    side->finished = true;
}

static int work(void *arg)
{
    struct side *side = arg;
    ssize_t result = 0;

    while (result != -ECANCELED && !side->finished) {
        if (side->is_sender && side->calls_left <= 0) {
            weir_shield_enter(); /* shutdown is no release call */
            end_sender(side);
            weir_shield_leave();
            break;
        }
        side->call_count++;
        side->calls_left--;
        if (one_in(&side->random, 8)) {
            result = poll_once(side);
        } else if (side->is_sender) {
            result = send_once(side);
        } else {
            result = receive_once(side);
            side->finished = result == 0;
        }
    }
    return 0;
}

/* --- a stream, and many at once --------------------------------------------------------------- */

struct stream {
    enum kind kind;
    int ends[2];
    struct side sides[4]; /* sender and receiver, there and back */
    size_t side_count;
};

/* Little room, so that senders wait too. */
static void narrow(const struct stream *stream)
{
    int bytes = BLOCK_BYTES;

    for (int end = 0; end < 2; end++)
        if (stream->kind == PIPE)
            CHECK_EQUAL(fcntl(stream->ends[end], F_SETPIPE_SZ, bytes), bytes);
        else
            CHECK_EQUAL(setsockopt(stream->ends[end], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes),
                        0);
}

static void stream_init(struct stream *stream, enum kind kind, unsigned nth, long calls)
{
    *stream = (struct stream){ .kind = kind, .side_count = kind == PIPE ? 2 : 4 };
    if (kind == PAIR)
        make_pair(stream->ends);
    else if (kind == CONNECTION)
        make_connection(stream->ends);
    else
        make_pipe(stream->ends);
    narrow(stream);
    for (size_t i = 0; i < stream->side_count; i++) {
        struct side *side = &stream->sides[i];

        *side = (struct side){
            .fd = stream->ends[i == 0 || i == 3],
            .is_socket = kind != PIPE,
            .is_sender = i % 2 == 0,
            .key = race_seed() * 2 + nth * 4 + i / 2,
            .calls_left = calls,
            .random = race_random(nth * 16 + (unsigned)i),
            .buffer = malloc(BYTES_MAX + GUARD_BYTES),
        };
        memset(side->buffer, UNTOUCHED, BYTES_MAX + GUARD_BYTES);
    }
}

static void stream_term(struct stream *stream)
{
    for (size_t i = 0; i < stream->side_count; i++)
        free(stream->sides[i].buffer);
    for (size_t i = 0; i < stream->side_count; i += 2)
        CHECK_EQUAL(stream->sides[i].position, stream->sides[i + 1].position);
    CHECK_EQUAL(weir_close(stream->ends[0]), 0);
    if (stream->kind != PIPE)
        CHECK_EQUAL(weir_close(stream->ends[1]), 0);
}

struct race {
    long calls; /* of each sender */
    long call_count, expired_count, cancelled_count;
};

static void add_up(struct race *race, const struct stream *stream)
{
    for (size_t i = 0; i < stream->side_count; i++) {
        race->call_count += stream->sides[i].call_count;
        race->expired_count += stream->sides[i].expired_count;
        race->cancelled_count += stream->sides[i].cancelled_count;
    }
}

static int race_body(void *arg)
{
    struct race *race = arg;
    struct stream streams[STREAMS];
    struct race_side sides[STREAMS * 4];
    size_t count = 0;

    for (unsigned nth = 0; nth < STREAMS; nth++) {
        struct stream *stream = &streams[nth];

        stream_init(stream, (enum kind)(nth % 3), nth, race->calls);
        for (unsigned i = 0; i < stream->side_count; i++)
            sides[count++] = (struct race_side){
                .body = work,
                .arg = &stream->sides[i],
                .finished = &stream->sides[i].finished,
                .loop_index = (nth / 2 + (i == 0 || i == 3)) % LOOPS, /* one home for each end */
                .random = race_random(1000 + nth * 16 + i),
            };
    }
    race_all(sides, count, LOOPS);
    for (size_t nth = 0; nth < STREAMS; nth++) {
        add_up(race, &streams[nth]);
        stream_term(&streams[nth]);
    }
    return 0;
}

static void run_race(const char *name, const struct weir_options *options, long calls)
{
    struct race race = { .calls = calls };
    int fd_count = count_fds();

    race_seed();
    assert_int_equal(test_run(race_body, &race, options), 0);
    assert_int_equal(count_fds(), fd_count);
    print_message("%s: %ld calls, %ld expired, %ld cancelled\n", name, race.call_count,
                  race.expired_count, race.cancelled_count);
    assert_true(race.expired_count > 0);
    assert_true(race.cancelled_count > 0);
}

static void test_streams(void **state)
{
    const struct weir_options options = { .loop_count = LOOPS };

    (void)state;
    run_race("streams", &options, test_rounds(400, 60000, 1000000));
}

/* Eight entries: nearly every op and cancel meets a full ring. */
static void test_streams_on_tiny_rings(void **state)
{
    const struct weir_options options = { .loop_count = LOOPS, .ring_entries = 8 };

    (void)state;
    run_race("tiny rings", &options, test_rounds(200, 20000, 300000));
}

static void test_streams_without_features(void **state)
{
    const struct weir_options options = {
        .loop_count = LOOPS,
        .ring_entries = 8,
        .without_features = WEIR_FEATURE_DEFER_TASKRUN | WEIR_FEATURE_SINGLE_ISSUER |
                            WEIR_FEATURE_SYNC_MSG_RING | WEIR_FEATURE_RING_FD,
    };

    (void)state;
    run_race("without features", &options, test_rounds(200, 20000, 300000));
}

/* --- an enter that fails ---------------------------------------------------------------------- */

static atomic_bool enters_fail;

int __real_io_uring_enter2(unsigned fd, unsigned to_submit, unsigned min_complete, unsigned flags,
                           sigset_t *sig, size_t bytes);
int __wrap_io_uring_enter2(unsigned fd, unsigned to_submit, unsigned min_complete, unsigned flags,
                           sigset_t *sig, size_t bytes);

/* What an enter may answer: a signal came, no memory, the queue has overflowed, or only a part was
 * submitted, and then nothing is waited for. */
int __wrap_io_uring_enter2(unsigned fd, unsigned to_submit, unsigned min_complete, unsigned flags,
                           sigset_t *sig, size_t bytes)
{
    static const int errors[] = { -EINTR, -EAGAIN, -EBUSY };
    static _Thread_local struct weir__random random;

    if (!atomic_load_explicit(&enters_fail, memory_order_relaxed))
        return __real_io_uring_enter2(fd, to_submit, min_complete, flags, sig, bytes);
    if (!random.state)
        random.state = race_seed() + fd;
    if (one_in(&random, 3))
        return errors[weir__random_below(&random, 3)];
    if (to_submit > 1 && one_in(&random, 2))
        return __real_io_uring_enter2(fd, to_submit / 2, 0, flags, sig, bytes);
    return __real_io_uring_enter2(fd, to_submit, min_complete, flags, sig, bytes);
}

static void test_streams_while_enters_fail(void **state)
{
    const struct weir_options options = { .loop_count = LOOPS, .ring_entries = 16 };

    (void)state;
    atomic_store(&enters_fail, true);
    run_race("failing enters", &options, test_rounds(200, 20000, 300000));
    atomic_store(&enters_fail, false);
}

static atomic_long alarm_count;

static void count_alarm(int signal)
{
    (void)signal;
    atomic_fetch_add(&alarm_count, 1);
}

/* The thread of loop 0 is the test's own, which blocks no signal: each one ends its wait. */
static void test_streams_in_a_storm_of_signals(void **state)
{
    const struct weir_options options = { .loop_count = LOOPS, .ring_entries = 16 };
    const struct sigaction counting = { .sa_handler = count_alarm,
                                        .sa_flags = SA_RESTART }; /* not for io_uring_enter */
    const struct itimerval often = { { 0, LATE_US }, { 0, LATE_US } };
    const struct itimerval never = { { 0, 0 }, { 0, 0 } };
    struct race race = { .calls = test_rounds(200, 20000, 300000) };
    struct sigaction before;
    int fd_count = count_fds();

    (void)state;
    race_seed();
    assert_int_equal(sigaction(SIGALRM, &counting, &before), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    assert_int_equal(weir_run_on_this_thread(race_body, &race, &options), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
    test_carry_out();
    assert_int_equal(count_fds(), fd_count);
    print_message("signals: %ld, %ld calls\n", atomic_load(&alarm_count), race.call_count);
    assert_true(atomic_load(&alarm_count) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_streams_on_tiny_rings),
        cmocka_unit_test(test_streams_without_features),
        cmocka_unit_test(test_streams_while_enters_fail),
        cmocka_unit_test(test_streams_in_a_storm_of_signals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
