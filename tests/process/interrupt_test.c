/* SPDX-License-Identifier: MIT */
/* Signals that hit a loop's thread all the time: no call breaks, none is late for good. */
#include "fixture.h"

#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { STORM_PAUSE_NS = 50000, FILE_BYTES = 1 << 20 };

static atomic_long interrupt_count;
static atomic_bool storm_over;

static void on_interrupt(int signo)
{
    (void)signo;
    atomic_fetch_add(&interrupt_count, 1);
}

static void *interrupt(void *arg)
{
    struct timespec pause = { .tv_nsec = STORM_PAUSE_NS };

    while (!atomic_load(&storm_over)) {
        pthread_kill(*(pthread_t *)arg, SIGUSR1);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

/* Runs body(arg) on this thread while the storm blows. */
static void in_storm(int (*body)(void *arg), void *arg)
{
    struct sigaction action = { .sa_handler = on_interrupt }, saved; /* no SA_RESTART */
    pthread_t self = pthread_self(), thread;

    atomic_store(&interrupt_count, 0);
    atomic_store(&storm_over, false);
    assert_int_equal(sigaction(SIGUSR1, &action, &saved), 0);
    assert_int_equal(pthread_create(&thread, NULL, interrupt, &self), 0);
    assert_int_equal(body(arg), 0);
    atomic_store(&storm_over, true);
    pthread_join(thread, NULL);
    assert_int_equal(sigaction(SIGUSR1, &saved, NULL), 0);
    test_carry_out();
    assert_true(atomic_load(&interrupt_count) > 10);
}

static int echo(void *arg)
{
    int fd = *(int *)arg;
    char bytes[64];
    ssize_t count;

    while ((count = weir_recv(fd, bytes, sizeof bytes, 0, weir_in_ms(20000))) > 0)
        CHECK_EQUAL(weir_send_all(fd, bytes, (size_t)count, 0, NULL, weir_in_ms(20000)), count);
    return (int)count;
}

static void talk(void)
{
    struct weir_scope *scope = make_scope(WEIR_SCOPE_FAIL_FAST);
    char bytes[64] = "";
    int pair[2];

    CHECK_EQUAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    weir_forget(pair[0]);
    weir_forget(pair[1]);
    CHECK_EQUAL(weir_spawn(scope, echo, &pair[1], NULL), 0);
    for (int i = 0; i < 200; i++) {
        CHECK_EQUAL(weir_send(pair[0], bytes, sizeof bytes, 0, weir_in_ms(20000)), 64);
        CHECK_EQUAL(weir_recv_all(pair[0], bytes, sizeof bytes, 0, NULL, weir_in_ms(20000)), 64);
    }
    CHECK_EQUAL(weir_poll(pair[0], POLLIN, weir_in_us(300)), -ETIME);
    CHECK_EQUAL(weir_close(pair[0]), 0);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_close(pair[1]), 0);
}

static void use_file(void)
{
    char path[] = "/tmp/weir-test-XXXXXX", *block = malloc(FILE_BYTES);
    int fd = mkostemp(path, O_CLOEXEC);

    memset(block, 'x', FILE_BYTES);
    weir_forget(fd);
    CHECK_EQUAL(weir_pwrite_all(fd, block, FILE_BYTES, 0, NULL, WEIR_FOREVER), FILE_BYTES);
    CHECK_EQUAL(weir_fsync(fd, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_pread_all(fd, block, FILE_BYTES, 0, NULL, WEIR_FOREVER), FILE_BYTES);
    CHECK_EQUAL(weir_close(fd), 0);
    CHECK_EQUAL(weir_unlinkat(AT_FDCWD, path, 0, WEIR_FOREVER), 0);
    free(block);
}

static int add_one(void *arg)
{
    return ++*(int *)arg;
}

static int work(void *arg)
{
    char text[TEXT_BYTES];
    int count = 0;

    (void)arg;
    for (int i = 0; i < test_rounds(3, 60, 600); i++) {
        int64_t end_ns = weir_in_us(500);

        talk();
        use_file();
        CHECK_EQUAL(weir_sleep(end_ns), 0);
        CHECK(weir_now_ns() >= end_ns);
        CHECK_EQUAL(weir_pool_run(add_one, &count, WEIR_FOREVER), i + 1);
        CHECK_EQUAL(run_shell("echo fine", (struct weir_child_options){ 0 }, text), 0);
        CHECK(strcmp(text, "fine\n") == 0);
    }
    return 0;
}

static int run_here(void *arg)
{
    return weir_run_on_this_thread(work, arg, NULL);
}

static void test_no_call_breaks_in_a_storm_of_signals(void **state)
{
    (void)state;
    in_storm(run_here, NULL);
    assert_false(has_children());
}

static int run_embedded(void *arg)
{
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = { .events = EPOLLIN };
    struct weir_embed *embed;

    assert_int_equal(weir_embed_open(&embed, NULL), 0);
    assert_int_equal(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, weir_embed_fd(embed), &event), 0);
    assert_int_equal(weir_spawn(weir_embed_scope(embed), work, arg, NULL), 0);
    while (weir_scope_count(weir_embed_scope(embed)) > 0)
        if (epoll_wait(epoll_fd, &event, 1, 20000) > 0)
            assert_true(weir_embed_turn(embed) >= 0);
    close(epoll_fd);
    return weir_embed_close(embed, WEIR_NOW);
}

static void test_nor_under_a_foreign_loop(void **state)
{
    (void)state;
    in_storm(run_embedded, NULL);
    assert_false(has_children());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_call_breaks_in_a_storm_of_signals),
        cmocka_unit_test(test_nor_under_a_foreign_loop),
    };

    return cmocka_run_group_tests_name("process/interrupt", tests, NULL, NULL);
}
