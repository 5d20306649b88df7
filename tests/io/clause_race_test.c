/* SPDX-License-Identifier: MIT */
/* Select over I/O while others send: readiness is no promise, and nothing is lost. */
#include "fixture.h"

static int64_t select_until_read(void *arg, int64_t deadline_ns)
{
    int fd = *(int *)arg;
    ssize_t got;
    char byte;

    do {
        struct weir_clause clause = weir_clause_readable(fd);

        CHECK_EQUAL(weir_select(&clause, 1, 0, deadline_ns), 0);
        CHECK_EQUAL(clause.result, POLLIN);
        got = weir_recv(fd, &byte, 1, 0, WEIR_NOW);
    } while (got == -EAGAIN);
    return got;
}

/* The kernel's word may be about a byte that is gone when it comes (seen on Linux 6.18, which does
 * not look again): who reads nothing selects again, and gets the next one. */
static int gone_body(void *arg)
{
    int pair[2];
    struct call call = call_of(select_until_read, pair);
    long long owed_before = owed();
    char byte;

    (void)arg;
    make_pair(pair);
    call_start(&call);
    while (!op_on(pair[0]))
        CHECK_EQUAL(weir_yield(), 0);
    CHECK_EQUAL(owed(), owed_before + 1); /* the kernel has the poll */
    send_byte(pair[1]);
    CHECK_EQUAL(recv(pair[0], &byte, 1, MSG_DONTWAIT), 1); /* before the loop turns */
    for (int i = 0; i < 10; i++) {
        weir__sched_settle();
        CHECK_EQUAL(weir_yield(), 0);
    }
    send_byte(pair[1]);
    CHECK_EQUAL(call_finish(&call), 1);
    check_let_go(pair[0]);
    CHECK_EQUAL(owed(), owed_before);
    CHECK_EQUAL(weir_close(pair[0]), 0);
    CHECK_EQUAL(weir_close(pair[1]), 0);
    return 0;
}

static void test_a_byte_may_be_gone(void **state)
{
    (void)state;
    assert_int_equal(test_run(gone_body, NULL, &one_loop), 0);
}

struct race {
    struct weir_chan *chan;
    int pair[2];
    long rounds;
};

static int64_t send_elements(void *arg, int64_t deadline_ns)
{
    struct race *race = arg;

    for (uint64_t i = 0; i < (uint64_t)race->rounds; i++) {
        CHECK_EQUAL(weir_chan_send(race->chan, &i, deadline_ns), 0);
        if (i % 5 == 0)
            CHECK_EQUAL(weir_sleep(weir_in_us((int64_t)(i % 30))), 0);
    }
    return race->rounds;
}

static int64_t send_bytes(void *arg, int64_t deadline_ns)
{
    struct race *race = arg;

    for (long i = 0; i < race->rounds; i++) {
        char byte = (char)i;

        CHECK_EQUAL(weir_send(race->pair[1], &byte, 1, 0, deadline_ns), 1);
        if (i % 7 == 0)
            CHECK_EQUAL(weir_sleep(weir_in_us(i % 40)), 0);
    }
    return race->rounds;
}

/* A channel and a socket with a sender each, on other loops; deadlines in between. Every element
 * and every byte comes once, in order. */
static int race_body(void *arg)
{
    struct race race = { .rounds = test_rounds(3000, 1000000, 10000000) };
    struct call calls[2] = { call_of(send_elements, &race), call_of(send_bytes, &race) };
    long elements = 0, bytes = 0, late = 0;

    (void)arg;
    make_pair(race.pair);
    CHECK_EQUAL(weir_chan_create(&race.chan, sizeof(uint64_t), 3, NULL), 0);
    calls[1].loop_index = 1;
    call_start(&calls[0]);
    call_start(&calls[1]);
    for (long i = 0; elements < race.rounds || bytes < race.rounds; i++) {
        uint64_t value = 0;
        struct weir_clause clauses[] = {
            weir_clause_recv(race.chan, &value),
            weir_clause_readable(race.pair[0]),
        };
        int won = weir_select(clauses, 2, 0, i % 3 ? WEIR_FOREVER : weir_in_us(i % 20));
        char text[3];
        ssize_t got = 0;

        CHECK(won >= 0 || won == -ETIME);
        if (won == 0 && clauses[0].result == 0)
            CHECK_EQUAL(value, elements++);
        if (won == 1)
            got = weir_recv(race.pair[0], text, sizeof text, 0, WEIR_NOW);
        CHECK(won != 1 || got > 0 || got == -EAGAIN);
        late += got == -EAGAIN;
        for (ssize_t k = 0; k < got; k++)
            CHECK_EQUAL(text[k], (char)bytes++);
        if (elements == race.rounds && bytes < race.rounds && won == 0)
            CHECK_EQUAL(weir_yield(), 0);
    }
    CHECK_EQUAL(call_finish(&calls[0]), race.rounds);
    CHECK_EQUAL(call_finish(&calls[1]), race.rounds);
    CHECK(late <= race.rounds); /* each byte's word comes once */
    check_let_go(race.pair[0]);
    weir_chan_release(race.chan);
    CHECK_EQUAL(weir_close(race.pair[0]), 0);
    CHECK_EQUAL(weir_close(race.pair[1]), 0);
    return 0;
}

static void test_races_lose_nothing(void **state)
{
    int fd_count = count_fds();

    (void)state;
    assert_int_equal(test_run(race_body, NULL, &two_loops), 0);
    assert_int_equal(count_fds(), fd_count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_byte_may_be_gone),
        cmocka_unit_test(test_races_lose_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
