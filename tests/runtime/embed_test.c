/* SPDX-License-Identifier: MIT */
/* A foreign loop drives weir: nothing is missed, nothing is done in vain, nothing stays. */
#include "support/support.h"

#include <weir.h>

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATIENCE_MS = 20000, MS = 1000000 };

/* The foreign loop: an epoll that watches the embed and at most one more descriptor. */
struct foreign {
    struct weir_embed *embed;
    int epoll_fd;
    long turns;
    long wakes; /* of the other descriptor */
    void (*on_wake)(struct foreign *foreign);
    int other_fd;
};

static void watch(const struct foreign *foreign, int fd, uint32_t events)
{
    struct epoll_event event = { .events = EPOLLIN | events, .data.fd = fd };

    assert_int_equal(epoll_ctl(foreign->epoll_fd, EPOLL_CTL_ADD, fd, &event), 0);
}

static void open_foreign(struct foreign *foreign, const struct weir_options *options,
                         uint32_t events)
{
    *foreign = (struct foreign){ .epoll_fd = epoll_create1(EPOLL_CLOEXEC), .other_fd = -1 };
    assert_int_equal(weir_embed_open(&foreign->embed, options), 0);
    watch(foreign, weir_embed_fd(foreign->embed), events);
}

static void close_foreign(struct foreign *foreign, int result)
{
    assert_int_equal(weir_embed_close(foreign->embed, WEIR_NOW), result);
    assert_int_equal(close(foreign->epoll_fd), 0);
    test_carry_out();
}

static struct weir_scope *scope_of(const struct foreign *foreign)
{
    return weir_embed_scope(foreign->embed);
}

/* One wait of the foreign loop; false when nothing happened for so long. */
static bool go_round(struct foreign *foreign, int timeout_ms)
{
    struct epoll_event events[2];
    int count;

    do {
        count = epoll_wait(foreign->epoll_fd, events, 2, timeout_ms);
    } while (count < 0 && errno == EINTR);
    for (int i = 0; i < count; i++) {
        if (events[i].data.fd == foreign->other_fd) {
            foreign->wakes++;
            foreign->on_wake(foreign);
        } else {
            foreign->turns++;
            assert_true(weir_embed_turn(foreign->embed) >= 0);
        }
    }
    return count > 0;
}

/* Until every task has ended. */
static void drive(struct foreign *foreign)
{
    while (weir_scope_count(scope_of(foreign)) > 0)
        assert_true(go_round(foreign, PATIENCE_MS));
}

static void spawn(const struct foreign *foreign, weir_task_fn *fn, void *arg)
{
    assert_int_equal(weir_spawn(scope_of(foreign), fn, arg, NULL), 0);
}

/* --- Timers and I/O --------------------------------------------------------------------------- */

static int sleep_ms(void *arg)
{
    int64_t end_ns = weir_in_ms((intptr_t)arg);

    CHECK_EQUAL(weir_sleep(end_ns), 0);
    CHECK(weir_now_ns() >= end_ns);
    return 0;
}

static void test_timers_make_the_descriptor_readable(void **state)
{
    struct foreign foreign;
    int timeout_ms;

    (void)state;
    open_foreign(&foreign, NULL, 0);
    assert_int_equal(weir_embed_timeout(foreign.embed), -1);
    for (intptr_t i = 20; i > 0; i--) /* each earlier than those before it */
        spawn(&foreign, sleep_ms, (void *)(i % 7 * 3));
    assert_true(go_round(&foreign, PATIENCE_MS));
    timeout_ms = weir_embed_timeout(foreign.embed);
    if (weir_scope_count(scope_of(&foreign)) > 0) /* else the turn took longer than they sleep */
        assert_in_range(timeout_ms, 0, 20);
    drive(&foreign);
    /* An end each, a little more where a timer moves down its wheel, or ended too early. */
    assert_in_range(foreign.turns, 1, 60);
    close_foreign(&foreign, 0);
}

static int sleep_for_ever(void *arg)
{
    (void)arg;
    return weir_sleep(weir_in_seconds(3600));
}

static void test_an_earlier_timer_moves_the_kernels(void **state)
{
    struct foreign foreign;

    (void)state;
    open_foreign(&foreign, NULL, 0);
    spawn(&foreign, sleep_for_ever, NULL);
    assert_true(go_round(&foreign, PATIENCE_MS));
    foreign.turns = 0;
    for (intptr_t i = 1; i <= 5; i++) {
        spawn(&foreign, sleep_ms, (void *)(3 * i));
        while (weir_scope_count(scope_of(&foreign)) > 1)
            assert_true(go_round(&foreign, PATIENCE_MS));
    }
    assert_in_range(foreign.turns, 5, 40); /* start and end of each; the wheel's moves */
    close_foreign(&foreign, -ETIME);
}

static void answer(struct foreign *foreign)
{
    char bytes[64];
    ssize_t count = read(foreign->other_fd, bytes, sizeof bytes);

    assert_true(count > 0);
    assert_int_equal(write(foreign->other_fd, bytes, (size_t)count), count);
}

static int ask(void *arg)
{
    int fd = *(int *)arg;
    char byte;

    for (int i = 0; i < 1000; i++) {
        CHECK_EQUAL(weir_send_all(fd, "x", 1, 0, NULL, weir_in_ms(PATIENCE_MS)), 1);
        CHECK_EQUAL(weir_recv(fd, &byte, 1, 0, weir_in_ms(PATIENCE_MS)), 1);
    }
    return 0;
}

static void talk(uint32_t events, const struct weir_options *options)
{
    struct foreign foreign;
    int pair[2];

    open_foreign(&foreign, options, events);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    foreign.other_fd = pair[0];
    foreign.on_wake = answer;
    watch(&foreign, pair[0], 0);
    spawn(&foreign, ask, &pair[1]);
    drive(&foreign);
    assert_int_equal(foreign.wakes, 1000);
    close_foreign(&foreign, 0);
    close(pair[0]);
    close(pair[1]);
    weir_forget(pair[1]);
}

static void test_it_talks_with_the_foreign_loops_own_sources(void **state)
{
    static const struct weir_options plain_ring = {
        .without_features = WEIR_FEATURE_SYNC_MSG_RING | WEIR_FEATURE_DEFER_TASKRUN |
                            WEIR_FEATURE_SINGLE_ISSUER | WEIR_FEATURE_RING_FD,
    };

    (void)state;
    talk(0, NULL);
    talk(EPOLLET, NULL);
    talk(0, &plain_ring);
}

static void *write_slowly(void *arg)
{
    uint64_t one = 1;

    for (int i = 0; i < 100; i++) {
        usleep(100);
        CHECK_EQUAL(write(*(int *)arg, &one, sizeof one), sizeof one);
    }
    return NULL;
}

static int read_events(void *arg)
{
    uint64_t sum = 0, count;

    while (sum < 100) {
        if (!CHECK_EQUAL(weir_read(*(int *)arg, &count, sizeof count, weir_in_ms(PATIENCE_MS)), 8))
            return -EIO;
        sum += count;
    }
    return 0;
}

/* The kernel signals from within a signal only once. */
static void test_eventfds_of_others_are_heard(void **state)
{
    struct foreign foreign;
    pthread_t thread;
    int fd = eventfd(0, EFD_CLOEXEC);

    (void)state;
    open_foreign(&foreign, NULL, 0);
    spawn(&foreign, read_events, &fd);
    assert_int_equal(pthread_create(&thread, NULL, write_slowly, &fd), 0);
    drive(&foreign);
    pthread_join(thread, NULL);
    close_foreign(&foreign, 0);
    close(fd);
    weir_forget(fd);
}

/* --- Wakes from elsewhere --------------------------------------------------------------------- */

enum { SENDERS = 2 };

struct stream {
    struct weir_chan *chan;
    long each;
    long received;
};

static void *send_many(void *arg)
{
    struct stream *stream = arg;

    for (long i = 0; i < stream->each; i++) {
        CHECK_EQUAL(weir_chan_send(stream->chan, &i, WEIR_FOREVER), 0);
        if (i % 64 == 0)
            usleep(1); /* so that the loop falls asleep now and then */
    }
    return NULL;
}

static int receive_all(void *arg)
{
    struct stream *stream = arg;
    long number;

    while (stream->received < SENDERS * stream->each) {
        if (!CHECK_EQUAL(weir_chan_recv(stream->chan, &number, WEIR_FOREVER), 0))
            return -EIO;
        stream->received++;
    }
    return 0;
}

static void receive_from_threads(const struct weir_options *options, uint32_t events, long each)
{
    struct stream stream = { .each = each };
    pthread_t threads[SENDERS];
    struct foreign foreign;

    open_foreign(&foreign, options, events);
    assert_int_equal(weir_chan_create(&stream.chan, sizeof(long), 1, NULL), 0);
    spawn(&foreign, receive_all, &stream);
    for (int i = 0; i < SENDERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, send_many, &stream), 0);
    drive(&foreign);
    for (int i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(stream.received, SENDERS * each);
    close_foreign(&foreign, 0);
    weir_chan_release(stream.chan);
}

static void test_no_wake_from_a_thread_is_lost(void **state)
{
    static const struct weir_options by_eventfd = {
        .without_features = WEIR_FEATURE_SYNC_MSG_RING,
    };

    (void)state;
    receive_from_threads(NULL, 0, test_rounds(5000, 500000, 2000000));
    receive_from_threads(NULL, EPOLLET, test_rounds(5000, 50000, 200000));
    receive_from_threads(&by_eventfd, 0, test_rounds(5000, 50000, 200000));
}

static int on_pool(void *arg)
{
    return *(int *)arg;
}

static int use_all(void *arg)
{
    int loop_index = weir_loop_index(), code = 5;

    CHECK(loop_index >= 0);
    for (int i = 0; i < 50; i++) {
        CHECK_EQUAL(weir_pool_run(on_pool, &code, WEIR_FOREVER), 5);
        CHECK_EQUAL(weir_yield(), 0);
    }
    atomic_fetch_add((_Atomic long *)arg, 1);
    return 0;
}

static void test_pools_and_other_loops_work_with_it(void **state)
{
    static const struct weir_options three = { .loop_count = 3 };
    _Atomic long done = 0;
    struct foreign foreign;

    (void)state;
    open_foreign(&foreign, &three, 0);
    for (unsigned i = 0; i < 9; i++) {
        struct weir_spawn_options place = { .place = WEIR_PLACE_LOOP, .loop_index = i % 3 };

        assert_int_equal(weir_spawn(scope_of(&foreign), use_all, (void *)&done, &place), 0);
    }
    while (weir_scope_count(scope_of(&foreign)) > 0)
        go_round(&foreign, 10); /* what ends on other loops does not wake this one */
    assert_int_equal(done, 9);
    close_foreign(&foreign, 0);
}

static void test_the_thread_may_use_weir_between_turns(void **state)
{
    struct stream stream = { .each = 5 };
    struct foreign foreign;

    (void)state;
    open_foreign(&foreign, NULL, 0);
    assert_int_equal(weir_chan_create(&stream.chan, sizeof(long), 0, NULL), 0);
    spawn(&foreign, receive_all, &stream);
    for (long i = 0; i < SENDERS * stream.each; i++) {
        while (weir_chan_send(stream.chan, &i, WEIR_NOW) == -EAGAIN)
            assert_true(go_round(&foreign, PATIENCE_MS));
    }
    drive(&foreign);
    assert_int_equal(stream.received, SENDERS * stream.each);
    close_foreign(&foreign, 0);
    weir_chan_release(stream.chan);
}

/* --- What it costs ---------------------------------------------------------------------------- */

static int park(void *arg)
{
    return weir_chan_recv(arg, NULL, WEIR_FOREVER);
}

static void test_an_idle_embed_costs_nothing(void **state)
{
    struct foreign foreign;
    struct weir_chan *chan;

    (void)state;
    open_foreign(&foreign, NULL, 0);
    assert_int_equal(weir_chan_create(&chan, 0, 0, NULL), 0);
    assert_false(go_round(&foreign, 50));
    spawn(&foreign, park, chan);
    assert_true(go_round(&foreign, PATIENCE_MS));
    assert_false(go_round(&foreign, 200)); /* the one turn was enough */
    assert_int_equal(foreign.turns, 1);
    for (int i = 0; i < 100; i++) /* a turn in vain changes nothing */
        assert_int_equal(weir_embed_turn(foreign.embed), 0);
    assert_false(go_round(&foreign, 50));
    assert_int_equal(weir_chan_send(chan, NULL, WEIR_NOW), 0);
    drive(&foreign);
    assert_int_equal(foreign.turns, 2);
    close_foreign(&foreign, 0);
    weir_chan_release(chan);
}

static int yield_on(void *arg)
{
    int error = 0;

    while (error >= 0 && !*(_Atomic bool *)arg)
        error = weir_yield();
    return error;
}

static _Atomic bool enough;

static void count_to_ten(struct foreign *foreign)
{
    enough = foreign->wakes >= 10;
}

static void test_busy_tasks_leave_room_for_the_foreign_loop(void **state)
{
    struct foreign foreign;
    int pair[2];

    (void)state;
    enough = false;
    open_foreign(&foreign, NULL, 0);
    assert_int_equal(pipe(pair), 0);
    foreign.other_fd = pair[0];
    foreign.on_wake = count_to_ten;
    watch(&foreign, pair[0], 0);
    assert_int_equal(write(pair[1], "x", 1), 1);
    spawn(&foreign, yield_on, (void *)&enough);
    spawn(&foreign, yield_on, (void *)&enough);
    assert_int_equal(weir_embed_turn(foreign.embed), 1);
    assert_int_equal(weir_embed_timeout(foreign.embed), 0);
    drive(&foreign);
    assert_true(foreign.wakes >= 10);
    close_foreign(&foreign, 0);
    close(pair[0]);
    close(pair[1]);
}

/* --- Misuse and the end ----------------------------------------------------------------------- */

static int turn_inside(void *arg)
{
    CHECK_EQUAL(weir_embed_turn(arg), -EDEADLK);
    CHECK_EQUAL(weir_embed_close(arg, WEIR_NOW), -EDEADLK);
    return 0;
}

static void *turn_elsewhere(void *arg)
{
    CHECK_EQUAL(weir_embed_turn(arg), -EPERM);
    CHECK_EQUAL(weir_embed_close(arg, WEIR_NOW), -EPERM);
    return NULL;
}

static int open_inside(void *arg)
{
    struct weir_embed *embed;

    (void)arg;
    return weir_embed_open(&embed, NULL);
}

static void test_misuse_is_refused(void **state)
{
    static const struct weir_options bad = { .loop_count = 1000 };
    struct foreign foreign;
    pthread_t thread;

    (void)state;
    assert_int_equal(weir_embed_open(NULL, NULL), -EINVAL);
    assert_int_equal(weir_embed_open(&foreign.embed, &bad), -EINVAL);
    assert_non_null(strstr(weir_last_error(), "loop_count"));
    assert_int_equal(test_run(open_inside, NULL, NULL), -EDEADLK);
    assert_int_equal(weir_embed_turn(NULL), -EINVAL);
    assert_int_equal(weir_embed_close(NULL, WEIR_NOW), -EINVAL);
    open_foreign(&foreign, NULL, 0);
    spawn(&foreign, turn_inside, foreign.embed);
    drive(&foreign);
    pthread_create(&thread, NULL, turn_elsewhere, foreign.embed);
    pthread_join(thread, NULL);
    close_foreign(&foreign, 0);
}

static int receive_in_vain(void *arg)
{
    char byte;

    return (int)weir_recv(*(int *)arg, &byte, 1, 0, WEIR_FOREVER);
}

static void test_the_close_ends_everything(void **state)
{
    static const struct weir_options two = { .loop_count = 2 };
    int fds = 0, threads = 0;

    (void)state;
    for (int i = 0; i < test_rounds(20, 200, 2000) + 3; i++) {
        struct weir_spawn_options there = { .place = WEIR_PLACE_LOOP, .loop_index = 1 };
        struct foreign foreign;
        int pair[2];

        if (i == 3) {
            fds = count_fds();
            threads = count_threads();
        }
        open_foreign(&foreign, i % 2 ? NULL : &two, 0);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        spawn(&foreign, receive_in_vain, &pair[0]);
        spawn(&foreign, sleep_for_ever, NULL);
        if (i % 2 == 0)
            assert_int_equal(weir_spawn(scope_of(&foreign), sleep_for_ever, NULL, &there), 0);
        if (i % 3)
            go_round(&foreign, PATIENCE_MS);
        assert_int_equal(weir_embed_close(foreign.embed, i % 5 ? WEIR_NOW : weir_in_us(100)),
                         -ETIME);
        test_carry_out();
        close(foreign.epoll_fd);
        close(pair[0]);
        close(pair[1]);
    }
    assert_int_equal(count_fds(), fds);
    test_await_threads(threads);
}

/* --- Under libuv, where it is installed ------------------------------------------------------- */

static struct foreign *uv_foreign;
static void *uv_library;

/* The part of libuv's interface that is needed, so that its headers are not. */
static void *uv(const char *name)
{
    void *function = dlsym(uv_library, name);

    assert_non_null(function);
    return function;
}

static void uv_readable(void *handle, int status, int events)
{
    int (*poll_stop)(void *) = (int (*)(void *))uv("uv_poll_stop");

    (void)events;
    assert_int_equal(status, 0);
    uv_foreign->turns++;
    assert_true(weir_embed_turn(uv_foreign->embed) >= 0);
    if (weir_scope_count(scope_of(uv_foreign)) == 0)
        poll_stop(handle);
}

static void test_libuv_drives_it(void **state)
{
    enum { HANDLE_BYTES = 4096, UV_READABLE = 1 };
    void *(*default_loop)(void);
    int (*poll_init)(void *, void *, int), (*run)(void *, int);
    int (*poll_start)(void *, int, void (*)(void *, int, int));
    struct foreign foreign;
    void *handle;

    (void)state;
    uv_library = dlopen("libuv.so.1", RTLD_NOW);
    if (!uv_library) {
        print_message("skipped: libuv.so.1 is not installed\n");
        skip();
    }
    default_loop = (void *(*)(void))uv("uv_default_loop");
    poll_init = (int (*)(void *, void *, int))uv("uv_poll_init");
    poll_start = (int (*)(void *, int, void (*)(void *, int, int)))uv("uv_poll_start");
    run = (int (*)(void *, int))uv("uv_run");
    open_foreign(&foreign, NULL, 0);
    uv_foreign = &foreign;
    handle = calloc(1, HANDLE_BYTES);
    for (intptr_t i = 0; i < 10; i++)
        spawn(&foreign, sleep_ms, (void *)i);
    assert_int_equal(poll_init(default_loop(), handle, weir_embed_fd(foreign.embed)), 0);
    assert_int_equal(poll_start(handle, UV_READABLE, uv_readable), 0);
    assert_int_equal(run(default_loop(), 0), 0); /* until no handle is active */
    assert_true(foreign.turns > 0);
    assert_int_equal(weir_scope_count(scope_of(&foreign)), 0);
    close_foreign(&foreign, 0);
    free(handle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timers_make_the_descriptor_readable),
        cmocka_unit_test(test_an_earlier_timer_moves_the_kernels),
        cmocka_unit_test(test_it_talks_with_the_foreign_loops_own_sources),
        cmocka_unit_test(test_eventfds_of_others_are_heard),
        cmocka_unit_test(test_no_wake_from_a_thread_is_lost),
        cmocka_unit_test(test_pools_and_other_loops_work_with_it),
        cmocka_unit_test(test_the_thread_may_use_weir_between_turns),
        cmocka_unit_test(test_an_idle_embed_costs_nothing),
        cmocka_unit_test(test_busy_tasks_leave_room_for_the_foreign_loop),
        cmocka_unit_test(test_misuse_is_refused),
        cmocka_unit_test(test_the_close_ends_everything),
        cmocka_unit_test(test_libuv_drives_it),
    };

    return cmocka_run_group_tests_name("runtime/embed", tests, NULL, NULL);
}
