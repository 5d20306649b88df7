/* SPDX-License-Identifier: MIT */
/* The ring: submitting beyond its size, waiting, doorbells; on every set of features. */
#include "ring/ring.h"

#include "base/clock.h"
#include "ring/probe.h"
#include "support/support.h"

#include <weir/runtime.h>

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { SMALL = 8, RINGERS = 3, NAPI_US = 7 };

/* Each is masked on top of nothing else; the last row masks all. */
static const unsigned masks[] = {
    0,
    WEIR_FEATURE_SINGLE_ISSUER,
    WEIR_FEATURE_DEFER_TASKRUN,
    WEIR_FEATURE_RING_FD,
    WEIR_FEATURE_SYNC_MSG_RING,
    WEIR_FEATURE_FTRUNCATE,
    WEIR_FEATURE_IOWQ_LIMIT,
    WEIR_FEATURE_NO_IOWAIT,
    WEIR_FEATURE_DEFER_TASKRUN | WEIR_FEATURE_SYNC_MSG_RING,
    WEIR_FEATURE_NAPI,
    WEIR_FEATURE_CLONE_BUFFERS,
    ~0u,
};
/* Linux 6.13 has both: it runs deferred work in portions. */
enum { PORTIONS = WEIR_FEATURE_DEFER_TASKRUN | WEIR_FEATURE_SYNC_MSG_RING };
enum { MASKS = sizeof masks / sizeof masks[0] };

static struct weir__counters counters;
static struct weir__ring ring;

static long counted(enum weir_counter id)
{
    return (long)weir__counter_get(&counters, id);
}

static unsigned pending_count(void)
{
    return ring.uring.sq.sqe_tail - *ring.uring.sq.khead;
}

static void init(unsigned entries, unsigned mask)
{
    struct weir__ring_options options = {
        .entries = entries,
        .without_features = mask,
        .counters = &counters,
        .napi_busy_poll_us = NAPI_US,
    };
    char why[512] = "";
    int error;

    counters = (struct weir__counters){ 0 };
    error = weir__ring_init(&ring, &options, why, sizeof why);

    if (error < 0)
        print_message("%s\n", why);
    assert_int_equal(error, 0);
    assert_int_equal(ring.features & mask, 0);
}

/* --- Features. -------------------------------------------------------------------------------- */

static void test_what_is_masked_is_not_used(void **state)
{
    int fds = count_fds();

    (void)state;
    for (size_t i = 0; i < MASKS; i++) {
        init(SMALL, masks[i]);
        if (masks[i] & WEIR_FEATURE_SINGLE_ISSUER)
            assert_false(ring.setup_flags & IORING_SETUP_SINGLE_ISSUER);
        if (masks[i] & WEIR_FEATURE_DEFER_TASKRUN)
            assert_false(ring.setup_flags & IORING_SETUP_DEFER_TASKRUN);
        if (masks[i] & WEIR_FEATURE_RING_FD)
            assert_false(ring.enter_flags & IORING_ENTER_REGISTERED_RING);
        if (masks[i] & WEIR_FEATURE_FTRUNCATE)
            assert_false(weir__ring_supports(&ring, WEIR__OP_FTRUNCATE));
        assert_int_equal(ring.doorbell_fd < 0, !!(ring.features & WEIR_FEATURE_SYNC_MSG_RING));
        assert_int_equal(!!(ring.features & WEIR_FEATURE_DEFER_TASKRUN),
                         !!(ring.setup_flags & IORING_SETUP_DEFER_TASKRUN));
        assert_true(weir__ring_supports(&ring, IORING_OP_NOP));
        assert_false(weir__ring_supports(&ring, 255));
        assert_true(ring.cq_entries >= 4 * SMALL);
        weir__ring_term(&ring);
        assert_int_equal(count_fds(), fds);
    }
}

/* What the kernel gives back is what it was given; -1: it has nothing to give back. */
static int napi_given(void)
{
    struct weir__napi napi = { 0 };

    if (io_uring_register((unsigned)ring.uring.ring_fd, WEIR__UNREGISTER_NAPI, &napi, 1) < 0)
        return -1;
    return (int)napi.busy_poll_us;
}

static void test_busy_polling_is_asked_for(void **state)
{
    (void)state;
    init(SMALL, WEIR_FEATURE_NAPI);
    assert_true(napi_given() <= 0);
    weir__ring_term(&ring);
    init(SMALL, 0);
    assert_int_equal(napi_given(), ring.features & WEIR_FEATURE_NAPI ? NAPI_US : -1);
    weir__ring_term(&ring);
}

/* --- More than fits. -------------------------------------------------------------------------- */

struct tally {
    struct weir__completion completion;
    long count;
};

static void count_completion(struct weir__completion *completion, int result, uint32_t flags)
{
    (void)flags;
    assert_int_equal(result, 0);
    ((struct tally *)completion)->count++;
}

static void count_timeout(struct weir__completion *completion, int result, uint32_t flags)
{
    (void)flags;
    assert_int_equal(result, -ETIME);
    ((struct tally *)completion)->count++;
}

static void submit_nop(struct tally *tally)
{
    struct io_uring_sqe *sqe = weir__ring_sqe(&ring);

    assert_non_null(sqe);
    io_uring_prep_nop(sqe);
    weir__ring_complete_to(sqe, tally ? &tally->completion : NULL);
}

static void test_a_full_queue_is_submitted(void **state)
{
    long count = test_rounds(20000, 1000000, 10000000);

    (void)state;
    for (size_t i = 0; i < MASKS; i++) {
        struct tally nops = { .completion = { .complete = count_completion } };

        init(SMALL, masks[i]);
        for (long submitted = 0; submitted < count; submitted++) {
            submit_nop(&nops);
            submit_nop(NULL); /* nobody listens */
            assert_true(pending_count() <= SMALL);
        }
        while (nops.count < count)
            weir__ring_wait(&ring, INT64_MAX);
        while (weir__ring_has_work(&ring))
            weir__ring_poll(&ring);
        assert_int_equal(nops.count, count);
        assert_int_equal(counted(WEIR_RING_OVERFLOWS), 0);
        assert_int_equal(pending_count(), 0);
        assert_true(counted(WEIR_RING_SUBMITTED) >= 2 * count);
        weir__ring_term(&ring);
    }
}

/* Far more events at once than the completion queue holds: none is lost, and where the kernel
 * brings
 * them in portions, the queue does not overflow. */
static void test_no_event_is_lost_in_a_storm(void **state)
{
    struct __kernel_timespec soon = { .tv_nsec = 100000 };
    long count = 2000;

    (void)state;
    for (size_t i = 0; i < MASKS; i++) {
        struct tally timeouts = { .completion = { .complete = count_timeout } };

        init(SMALL, masks[i]);
        for (long j = 0; j < count; j++) {
            struct io_uring_sqe *sqe = weir__ring_sqe(&ring);

            io_uring_prep_timeout(sqe, &soon, 0, 0);
            weir__ring_complete_to(sqe, &timeouts.completion);
        }
        weir__clock_sleep(200000); /* most are due, and none of them is reaped */
        while (timeouts.count < count)
            weir__ring_wait(&ring, INT64_MAX); /* hangs if an event is lost */
        if ((ring.features & PORTIONS) == PORTIONS)
            assert_int_equal(counted(WEIR_RING_OVERFLOWS), 0);
        weir__ring_term(&ring);
    }
}

/* --- Waiting. --------------------------------------------------------------------------------- */

static void test_a_wait_ends_by_event_or_time(void **state)
{
    (void)state;
    for (size_t i = 0; i < MASKS; i++) {
        struct tally nop = { .completion = { .complete = count_completion } };
        int64_t before_ns;

        init(SMALL, masks[i]);
        submit_nop(&nop);
        assert_true(weir__ring_has_work(&ring));
        weir__ring_wait(&ring, INT64_MAX);
        assert_int_equal(nop.count, 1);
        while (weir__ring_has_work(&ring)) /* what the probe of MSG_RING left, say */
            weir__ring_poll(&ring);
        before_ns = weir__clock_now();
        weir__ring_wait(&ring, 300000);
        assert_true(weir__clock_now() - before_ns >= 300000);
        weir__ring_wait(&ring, 0);
        weir__ring_term(&ring);
    }
}

/* --- Doorbells. ------------------------------------------------------------------------------- */

static void test_a_doorbell_before_the_wait_is_kept(void **state)
{
    (void)state;
    for (size_t i = 0; i < MASKS; i++) {
        init(SMALL, masks[i]);
        for (int round = 0; round < 100; round++) {
            weir__ring_doorbell(&ring);
            weir__ring_doorbell(&ring);
            weir__ring_wait(&ring, INT64_MAX);
        }
        weir__ring_term(&ring);
    }
}

static _Atomic long rung_count;
static _Atomic long seen_count; /* what the waiting thread has acknowledged */

static void *ring_often(void *arg)
{
    long rounds = *(long *)arg;

    for (long i = 0; i < rounds; i++) {
        long number = ++rung_count;

        weir__ring_doorbell(&ring);
        test_await(&seen_count, number);
    }
    return NULL;
}

static void test_each_doorbell_wakes(void **state)
{
    long rounds = test_rounds(500, 20000, 200000);

    (void)state;
    for (size_t i = 0; i < MASKS; i++) {
        pthread_t threads[RINGERS];

        rung_count = seen_count = 0;
        init(SMALL, masks[i]);
        for (size_t j = 0; j < RINGERS; j++)
            pthread_create(&threads[j], NULL, ring_often, &rounds);
        while (seen_count < rounds * RINGERS) {
            weir__ring_wait(&ring, INT64_MAX); /* hangs if a doorbell is lost */
            atomic_store(&seen_count, rung_count);
        }
        for (size_t j = 0; j < RINGERS; j++)
            pthread_join(threads[j], NULL);
        assert_int_equal(counted(WEIR_RING_OVERFLOWS), 0);
        weir__ring_term(&ring);
    }
}

/* The kernel may set the flag after it has done the work: without work behind it, it must neither
 * keep a loop turning for ever nor hide what comes later. */
static void test_a_stale_flag_is_believed_once(void **state)
{
    struct tally nops = { .completion = { .complete = count_completion } };

    (void)state;
    init(SMALL, 0);
    weir__ring_poll(&ring);
    assert_false(weir__ring_has_work(&ring));
    __atomic_fetch_or(ring.uring.sq.kflags, IORING_SQ_TASKRUN, __ATOMIC_RELAXED);
    assert_true(weir__ring_has_work(&ring));
    weir__ring_poll(&ring);
    assert_false(weir__ring_has_work(&ring));
    submit_nop(&nops);
    assert_true(weir__ring_has_work(&ring));
    weir__ring_wait(&ring, INT64_MAX);
    assert_int_equal(nops.count, 1);
    weir__ring_doorbell(&ring);
    weir__ring_wait(&ring, INT64_MAX); /* hangs if the doorbell is not seen */
    weir__ring_term(&ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stale_flag_is_believed_once),
        cmocka_unit_test(test_what_is_masked_is_not_used),
        cmocka_unit_test(test_busy_polling_is_asked_for),
        cmocka_unit_test(test_a_full_queue_is_submitted),
        cmocka_unit_test(test_no_event_is_lost_in_a_storm),
        cmocka_unit_test(test_a_wait_ends_by_event_or_time),
        cmocka_unit_test(test_a_doorbell_before_the_wait_is_kept),
        cmocka_unit_test(test_each_doorbell_wakes),
    };

    return cmocka_run_group_tests_name("ring/ring", tests, NULL, NULL);
}
