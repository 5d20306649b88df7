/* SPDX-License-Identifier: MIT */
/*
 * Closes under races: calls of several tasks wait on a descriptor while another task, of this loop
 * or of another, closes it, and the number is taken again at once. No byte is stolen from the old
 * peer, none from the new one, and every call ends.
 */
#include "race.h"

enum { LOOPS = 2, USERS = 4, FEED_MAX = 3 };

/* One round: a descriptor, who uses it, who closes it. */
struct round {
    int ends[2];
    int twin; /* of ends[0]: keeps the socket alive, to see what is left in it */
    int decoy[2];
    bool elsewhere; /* closed from the other loop */
    struct weir__random random;
    long received;
    _Atomic long started_count; /* users whose call has begun */
};

struct user {
    struct round *round;
    int64_t (*use)(struct round *round, int64_t deadline_ns);
    int64_t deadline_ns;
};

static int64_t use_recv(struct round *round, int64_t deadline_ns)
{
    char bytes[2];
    int64_t got = weir_recv(round->ends[0], bytes, sizeof bytes, 0, deadline_ns);

    round->received += got > 0 ? got : 0;
    return got;
}

static int64_t use_read(struct round *round, int64_t deadline_ns)
{
    char bytes[2];
    int64_t got = weir_read(round->ends[0], bytes, sizeof bytes, deadline_ns);

    round->received += got > 0 ? got : 0;
    return got;
}

static int64_t use_recv_all(struct round *round, int64_t deadline_ns)
{
    char bytes[FEED_MAX * 2];
    size_t done_bytes = 0;
    int64_t got = weir_recv_all(round->ends[0], bytes, sizeof bytes, 0, &done_bytes, deadline_ns);

    round->received += (long)done_bytes;
    return got;
}

static int64_t use_poll(struct round *round, int64_t deadline_ns)
{
    return weir_poll(round->ends[0], POLLIN, deadline_ns);
}

static int use_body(void *arg)
{
    static int64_t (*const uses[])(struct round *, int64_t) = { use_recv, use_read, use_recv_all,
                                                                use_poll };
    struct round *round = arg;
    int64_t (*use)(struct round *, int64_t) = uses[weir__random_below(&round->random, 4)];
    int64_t deadline_ns = race_deadline(&round->random);
    int64_t result;

    round->started_count++;
    result = use(round, deadline_ns);
    CHECK(result > 0 || result == -EBADF || result == -EAGAIN || result == -ETIME ||
          result == -ECANCELED);
    return 0;
}

/* Until it is let: while calls of the other loop are under way, nothing is closed. */
static int64_t close_at_last(void *arg, int64_t deadline_ns)
{
    struct round *round = arg;
    int64_t result;

    (void)deadline_ns;
    while ((result = weir_close(round->ends[0])) == -EBUSY)
        CHECK_EQUAL(weir_yield(), 0);
    return result;
}

static size_t left_in(int fd)
{
    char bytes[64];
    ssize_t got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);

    return got > 0 ? (size_t)got : 0;
}

static size_t feed(struct round *round)
{
    size_t bytes = weir__random_below(&round->random, FEED_MAX);

    if (bytes)
        CHECK_EQUAL(send(round->ends[1], "abcd", bytes, MSG_NOSIGNAL), bytes);
    return bytes;
}

static void yield_some(struct round *round)
{
    for (uint32_t count = weir__random_below(&round->random, 4); count; count--)
        CHECK_EQUAL(weir_yield(), 0);
}

static void play(struct round *round)
{
    struct call closer = call_of(close_at_last, round);
    struct weir_scope *users;
    size_t fed;

    make_pair(round->ends);
    round->twin = known(fcntl(round->ends[0], F_DUPFD_CLOEXEC, 0));
    round->received = 0;
    round->started_count = 0;
    CHECK_EQUAL(weir_scope_create(&users, WEIR_SCOPE_COLLECT, NULL), 0);
    for (int i = 0; i < USERS; i++)
        CHECK_EQUAL(weir_spawn(users, use_body, round,
                               &(struct weir_spawn_options){ .place = WEIR_PLACE_LOOP }),
                    0);
    test_await(&round->started_count, USERS); /* one that begins later may use the next life */
    yield_some(round);
    fed = feed(round);
    yield_some(round);
    closer.loop_index = round->elsewhere;
    call_start(&closer);
    if (round->elsewhere || one_in(&round->random, 4)) {
        yield_some(round);
        CHECK(weir_scope_cancel(users) >= 0);
    }
    CHECK_EQUAL(call_finish(&closer), 0);
    make_pair(round->decoy); /* takes the number, most likely */
    fed += feed(round);
    CHECK_EQUAL(send(round->decoy[1], "x", 1, MSG_NOSIGNAL), 1);
    CHECK_EQUAL(weir_scope_join(users, WEIR_FOREVER), 0);
    CHECK_EQUAL(round->received + (long)left_in(round->twin), fed);
    CHECK_EQUAL(left_in(round->decoy[0]), 1);
    CHECK_EQUAL(weir_close(round->twin), 0);
    CHECK_EQUAL(weir_close(round->ends[1]), 0);
    CHECK_EQUAL(weir_close(round->decoy[0]), 0);
    CHECK_EQUAL(weir_close(round->decoy[1]), 0);
}

static int race_body(void *arg)
{
    struct round round = { .elsewhere = *(bool *)arg, .random = race_random(1) };
    long rounds = test_rounds(300, 20000, 300000);

    while (rounds--)
        play(&round);
    return 0;
}

static void run_race(bool elsewhere)
{
    const struct weir_options options = { .loop_count = LOOPS, .ring_entries = 8 };
    int fd_count = count_fds();

    race_seed();
    assert_int_equal(test_run(race_body, &elsewhere, &options), 0);
    assert_int_equal(count_fds(), fd_count);
}

static void test_closed_by_its_own_loop(void **state)
{
    (void)state;
    run_race(false);
}

static void test_closed_by_another_loop(void **state)
{
    (void)state;
    run_race(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closed_by_its_own_loop),
        cmocka_unit_test(test_closed_by_another_loop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
