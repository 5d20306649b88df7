/* SPDX-License-Identifier: MIT */
/* Locks on files: who has one keeps others out; a wait holds no thread, and ends when it should. */
#include "fixture.h"

#include <sys/file.h>

enum { WAITERS = 40 };

/* Takes and gives back one kind of lock. */
struct lock_kind {
    const char *name;
    int (*take)(int fd, int64_t deadline_ns);
    int (*give)(int fd);
};

static int take_flock(int fd, int64_t deadline_ns)
{
    return weir_flock(fd, LOCK_EX, deadline_ns);
}

static int give_flock(int fd)
{
    return weir_flock(fd, LOCK_UN, WEIR_NOW);
}

static int take_range(int fd, int64_t deadline_ns)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 5 };

    return weir_ofd_lock(fd, &lock, deadline_ns);
}

static int give_range(int fd)
{
    struct flock lock = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

    return weir_ofd_lock(fd, &lock, WEIR_NOW);
}

static const struct lock_kind kinds[] = {
    { "flock", take_flock, give_flock },
    { "range", take_range, give_range },
};

struct waiter {
    const struct lock_kind *kind;
    int fd;
};

static int64_t wait_for_lock(void *arg, int64_t deadline_ns)
{
    struct waiter *waiter = arg;

    return waiter->kind->take(waiter->fd, deadline_ns);
}

static int lock_body(void *arg)
{
    const struct lock_kind *kind = arg;
    int first = weir_openat(AT_FDCWD, "file", O_CREAT | O_RDWR, 0600, WEIR_FOREVER);
    int second = weir_openat(AT_FDCWD, "file", O_RDWR, 0, WEIR_FOREVER);
    struct waiter waiter = { kind, second };
    struct call call = call_of(wait_for_lock, &waiter);

    CHECK_EQUAL(kind->take(first, weir_in_ms(1000)), 0);
    CHECK_EQUAL(kind->take(first, weir_in_ms(1000)), 0); /* its own is no conflict */
    CHECK_EQUAL(kind->take(second, WEIR_NOW), -EAGAIN);
    CHECK_EQUAL(kind->take(second, weir_in_ms(5)), -ETIME);
    call_start(&call);
    weir__sched_settle();
    CHECK_EQUAL(weir_task_cancel(call.task), 0);
    CHECK_EQUAL(call_finish(&call), -ECANCELED);
    call = call_of(wait_for_lock, &waiter);
    call_start(&call);
    weir__sched_settle();
    CHECK_EQUAL(kind->give(first), 0);
    CHECK_EQUAL(call_finish(&call), 0);
    CHECK_EQUAL(weir_close(second), 0); /* which unlocks */
    CHECK_EQUAL(kind->take(first, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_close(first), 0);
    return 0;
}

static void test_a_lock_keeps_others_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        assert_int_equal(test_run(lock_body, (void *)&kinds[i], NULL), 0);
}

/* A cancelled task still unlocks. */
static int64_t take_and_give(void *arg, int64_t deadline_ns)
{
    struct waiter *waiter = arg;
    int error = waiter->kind->take(waiter->fd, deadline_ns);

    if (error >= 0)
        error = weir_task_cancel(weir_task_self());
    return error < 0 ? error : waiter->kind->give(waiter->fd);
}

/* Many wait, and the only thread of the pool is free for others. */
static int many_body(void *arg)
{
    int holder = plain_open("file", O_CREAT | O_RDWR);
    struct waiter waiters[WAITERS];
    struct call calls[WAITERS];

    (void)arg;
    CHECK_EQUAL(flock(holder, LOCK_EX), 0);
    for (int i = 0; i < WAITERS; i++) {
        waiters[i] = (struct waiter){ &kinds[0], plain_open("file", O_RDWR) };
        calls[i] = call_of(take_and_give, &waiters[i]);
        call_start(&calls[i]);
    }
    weir__sched_settle();
    CHECK_EQUAL(weir_fsync(holder, weir_in_ms(10000)), 0);
    CHECK_EQUAL(flock(holder, LOCK_UN), 0);
    for (int i = 0; i < WAITERS; i++) {
        CHECK_EQUAL(call_finish(&calls[i]), 0);
        plain_close(waiters[i].fd);
    }
    plain_close(holder);
    return 0;
}

static void test_waiters_hold_no_thread(void **state)
{
    const struct weir_options options = { .loop_count = 1, .pool_threads_max = 1 };

    (void)state;
    assert_int_equal(test_run(many_body, NULL, &options), 0);
}

static int query_body(void *arg)
{
    struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 12, .l_len = 1 };
    int first = plain_open("file", O_CREAT | O_RDWR), second = plain_open("file", O_RDONLY);

    (void)arg;
    CHECK_EQUAL(take_range(first, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_ofd_query(second, &lock, WEIR_FOREVER), 0);
    CHECK_EQUAL(lock.l_type, F_WRLCK);
    CHECK_EQUAL(lock.l_start, 10);
    CHECK_EQUAL(lock.l_len, 5);
    lock = (struct flock){ .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 15, .l_len = 1 };
    CHECK_EQUAL(weir_ofd_query(second, &lock, WEIR_FOREVER), 0);
    CHECK_EQUAL(lock.l_type, F_UNLCK);
    CHECK_EQUAL(take_range(second, weir_in_ms(1000)), -EBADF); /* not open for writing */
    CHECK_EQUAL(weir_flock(first, LOCK_EX | LOCK_NB, weir_in_ms(1000)), 0);
    CHECK_EQUAL(weir_flock(second, LOCK_EX | LOCK_NB, weir_in_ms(1000)), -EAGAIN);
    CHECK_EQUAL(weir_flock(second, LOCK_EX | LOCK_SH, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_flock(second, 0, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_ofd_lock(second, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_ofd_query(second, NULL, WEIR_FOREVER), -EINVAL);
    plain_close(first);
    plain_close(second);
    return 0;
}

static void test_who_is_in_the_way(void **state)
{
    (void)state;
    assert_int_equal(test_run(query_body, NULL, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_a_lock_keeps_others_out),
        IN_FOLDER(test_waiters_hold_no_thread),
        IN_FOLDER(test_who_is_in_the_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
