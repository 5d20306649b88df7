/* SPDX-License-Identifier: MIT */
/*
 * Rings under pressure: thousands of operations, deadlines and cancels in one moment on a ring of
 * 8 or 256 entries. Everything ends as it should; nothing overflows where that is promised, and
 * where it is not, nothing is lost.
 */
#include "fixture.h"

enum { CROWD = 3000, ENTRIES_LEAST = 8, LONG_MS = 40 };

/* A crowd of tasks, each in one call on the same descriptor. */
struct crowd {
    int fd;
    int64_t deadline_ns;
    long result_counts[2]; /* wanted, other */
    int wanted;
    long sum_bytes;
    _Atomic long started;
};

static int crowd_recv(void *arg)
{
    struct crowd *crowd = arg;
    char byte;
    ssize_t result;

    atomic_fetch_add(&crowd->started, 1);
    result = weir_recv(crowd->fd, &byte, 1, 0, crowd->deadline_ns);
    crowd->sum_bytes += result > 0 ? result : 0;
    crowd->result_counts[result != crowd->wanted]++;
    return 0;
}

static struct weir_scope *gather(struct crowd *crowd, long count)
{
    const struct weir_spawn_options options = { .place = WEIR_PLACE_LOOP };
    struct weir_scope *scope;

    *crowd = (struct crowd){ .fd = crowd->fd,
                             .deadline_ns = crowd->deadline_ns,
                             .wanted = crowd->wanted };
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    for (long i = 0; i < count; i++)
        CHECK_EQUAL(weir_spawn(scope, crowd_recv, crowd, &options), 0);
    return scope;
}

/* All ended alike, and nothing stayed behind. */
static void check_dispersed(struct crowd *crowd, struct weir_scope *scope, long count)
{
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK_EQUAL(crowd->result_counts[0], count);
    CHECK_EQUAL(crowd->result_counts[1], 0);
    CHECK(!op_on(crowd->fd));
    CHECK_EQUAL(weir__loop_current->wheel.count, 0);
    CHECK(!weir__descriptor_is_busy(crowd->fd));
}

/* Neither the deadlines nor the cancels took a byte. */
static void check_intact(const int pair[2])
{
    char bytes[4] = { 0 };

    CHECK_EQUAL(weir_send(pair[1], "abcd", 4, 0, WEIR_FOREVER), 4);
    CHECK_EQUAL(weir_recv_all(pair[0], bytes, 4, 0, NULL, WEIR_FOREVER), 4);
    CHECK_EQUAL(memcmp(bytes, "abcd", 4), 0);
}

static int deadlines_body(void *arg)
{
    struct crowd crowd = { .deadline_ns = weir_in_ms(LONG_MS), .wanted = -ETIME };
    long count = test_rounds(CROWD, CROWD * 3, CROWD * 10);
    struct weir_scope *scope;
    int pair[2];

    (void)arg;
    make_pair(pair);
    crowd.fd = pair[0];
    scope = gather(&crowd, count);
    check_dispersed(&crowd, scope, count);
    check_intact(pair);
    CHECK_EQUAL(weir_close(pair[0]), 0);
    CHECK_EQUAL(weir_close(pair[1]), 0);
    return 0;
}

static int cancels_body(void *arg)
{
    struct crowd crowd = { .deadline_ns = WEIR_FOREVER, .wanted = -ECANCELED };
    long count = test_rounds(CROWD, CROWD * 3, CROWD * 10);
    struct weir_scope *scope;
    int pair[2];

    (void)arg;
    make_pair(pair);
    crowd.fd = pair[0];
    scope = gather(&crowd, count);
    weir__sched_settle();
    CHECK_EQUAL(crowd.started, count);
    CHECK_EQUAL(weir_scope_cancel(scope), 0);
    check_dispersed(&crowd, scope, count);
    check_intact(pair);
    CHECK_EQUAL(weir_close(pair[0]), 0);
    CHECK_EQUAL(weir_close(pair[1]), 0);
    return 0;
}

/* All complete at once: each gets one byte. */
static int completions_body(void *arg)
{
    struct crowd crowd = { .deadline_ns = weir_in_ms(60000), .wanted = 1 };
    long count = test_rounds(CROWD, CROWD * 3, CROWD * 10);
    char *bytes = calloc(1, (size_t)count);
    struct weir_scope *scope;
    int pair[2];

    (void)arg;
    make_pair(pair);
    crowd.fd = pair[0];
    scope = gather(&crowd, count);
    weir__sched_settle();
    CHECK_EQUAL(weir_send_all(pair[1], bytes, (size_t)count, 0, NULL, WEIR_FOREVER), count);
    check_dispersed(&crowd, scope, count);
    CHECK_EQUAL(crowd.sum_bytes, count);
    check_intact(pair);
    CHECK_EQUAL(weir_close(pair[0]), 0);
    CHECK_EQUAL(weir_close(pair[1]), 0);
    free(bytes);
    return 0;
}

/* One descriptor closed under all of them. */
static int close_body(void *arg)
{
    struct crowd crowd = { .deadline_ns = WEIR_FOREVER, .wanted = -EBADF };
    long count = test_rounds(CROWD, CROWD * 3, CROWD * 10);
    struct weir_scope *scope;
    int pair[2];

    (void)arg;
    make_pair(pair);
    crowd.fd = pair[0];
    scope = gather(&crowd, count);
    weir__sched_settle();
    CHECK_EQUAL(weir_close(pair[0]), 0);
    check_dispersed(&crowd, scope, count);
    CHECK_EQUAL(weir_close(pair[1]), 0);
    return 0;
}

static int (*const bodies[])(void *) = { deadlines_body, cancels_body, completions_body,
                                         close_body };

struct pressure {
    int (*body)(void *arg);
    long long overflow_count;
    bool defers; /* the ring has DEFER_TASKRUN */
};

static int pressure_body(void *arg)
{
    struct pressure *pressure = arg;
    int result = pressure->body(NULL);

    pressure->overflow_count = counter(WEIR_RING_OVERFLOWS);
    pressure->defers = weir__loop_current->ring.features & WEIR_FEATURE_DEFER_TASKRUN;
    return result;
}

static void run_all(const struct weir_options *options)
{
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct pressure pressure = { .body = bodies[i] };
        int fd_count = count_fds();

        assert_int_equal(test_run(pressure_body, &pressure, options), 0);
        assert_int_equal(count_fds(), fd_count);
        if (pressure.defers)
            assert_int_equal(pressure.overflow_count, 0);
    }
}

static void test_3000_in_one_tick(void **state)
{
    const struct weir_options options = { .loop_count = 1, .ring_entries = 256 };

    (void)state;
    run_all(&options);
}

static void test_tiny_rings(void **state)
{
    struct weir_options options = { .loop_count = 1 };

    (void)state;
    for (unsigned entries = ENTRIES_LEAST; entries <= 4 * ENTRIES_LEAST; entries *= 2) {
        options.ring_entries = entries;
        run_all(&options);
    }
}

/* Without DEFER_TASKRUN all that is done arrives at once, and more than the queue holds: the kernel
 * keeps the rest, and nothing is lost. */
static void test_overflowing_rings(void **state)
{
    const struct weir_options options = {
        .loop_count = 1,
        .ring_entries = ENTRIES_LEAST,
        .without_features = WEIR_FEATURE_DEFER_TASKRUN | WEIR_FEATURE_SINGLE_ISSUER,
    };
    struct pressure pressure = { .body = completions_body };

    (void)state;
    run_all(&options);
    assert_int_equal(test_run(pressure_body, &pressure, &options), 0);
    print_message("overflows seen: %lld\n", pressure.overflow_count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_3000_in_one_tick),
        cmocka_unit_test(test_tiny_rings),
        cmocka_unit_test(test_overflowing_rings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
