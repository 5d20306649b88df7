/* SPDX-License-Identifier: MIT */
/* Each kind of stall, produced for real: it lasts until it was reported, and says what it is. */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "watch/stall_fixture.h"

static atomic_long sink;

/* --- A computation ---------------------------------------------------------------------------- */

static __attribute__((noinline)) void spin_here(int64_t until_ns)
{
    while (atomic_load(&caught.count) < 1 && weir_now_ns() < until_ns)
        sink++;
}

/* On a busy machine it may be found starved instead: so it gives it another chance. */
static int hog(void *arg)
{
    (void)arg;
    while (atomic_load(&caught.count) < 1) {
        spin_here(weir_in_ns(5 * CAUGHT_LIMIT_NS));
        weir_yield();
    }
    return 0;
}

static int hog_root(void *arg)
{
    (void)arg;
    run_named("number cruncher", hog, NULL);
    return 0;
}

static void test_hog(void **state)
{
    struct weir_options options = catching_options(WEIR_STALL_HOG);

    (void)state;
    caught.needs_frames = PROBES_ANSWERED;
    assert_int_equal(test_run(hog_root, NULL, &options), 0);
    CHECK_EQUAL(caught.stall.kind, WEIR_STALL_HOG);
    CHECK_EQUAL(caught.stall.loop_index, 0);
    CHECK(caught.stall.held_ns >= CAUGHT_LIMIT_NS);
    CHECK(strcmp(caught.task_name, "number cruncher") == 0);
    CHECK_TEXT(caught.text, "weir: loop 0 is hogged: task \"number cruncher\" has run for ",
               " ms without parking; call weir_yield now and then, or move the computation to "
               "weir_cpu_run\n");
    CHECK_EQUAL(caught.stall.sure_count, caught.stall.frame_count);
    if (PROBES_ANSWERED)
        CHECK_TEXT(caught.text, "    spin_here+", "    hog+", "    task_main+");
    test_carry_out();
}

/* --- System calls ----------------------------------------------------------------------------- */

struct pipe_user {
    int ends[2];
    long reports; /* until these many it stays blocked */
    pthread_t writer;
};

/* A plain thread that lets the task go on, once it was reported. */
static void *write_after_report(void *arg)
{
    struct pipe_user *user = arg;

    test_await(&caught.count, user->reports);
    CHECK_EQUAL(write(user->ends[1], "x", 1), 1);
    return NULL;
}

static void begin_pipe(struct pipe_user *user)
{
    user->reports = 1;
    assert_int_equal(pipe(user->ends), 0);
    assert_int_equal(pthread_create(&user->writer, NULL, write_after_report, user), 0);
}

static void end_pipe(struct pipe_user *user)
{
    assert_int_equal(pthread_join(user->writer, NULL), 0);
    close(user->ends[0]);
    close(user->ends[1]);
}

static __attribute__((noinline)) int read_the_pipe(struct pipe_user *user)
{
    char byte;
    ssize_t count = read(user->ends[0], &byte, 1);

    CHECK_EQUAL(count, 1); /* and not -1: nobody woke it but the byte */
    return count == 1 ? 0 : -errno;
}

static int blocked(void *arg)
{
    int result = read_the_pipe(arg);

    sink++;
    return result;
}

static int blocked_root(void *arg)
{
    run_named("reader", blocked, arg);
    return 0;
}

static void test_blocked_in_read(void **state)
{
    struct weir_options options = catching_options(WEIR_STALL_BLOCKED);
    struct pipe_user user;
    char place[64];

    (void)state;
    begin_pipe(&user);
    assert_int_equal(test_run(blocked_root, &user, &options), 0);
    end_pipe(&user);
    snprintf(place, sizeof place, "asleep in read on fd %d (pipe:[", user.ends[0]);
    CHECK(strstr(caught.text, place) != NULL);
    CHECK_EQUAL(caught.stall.kind, WEIR_STALL_BLOCKED);
    CHECK_EQUAL(caught.stall.call_fd, user.ends[0]);
    CHECK(strcmp(caught.stall.call, "read") == 0);
    CHECK(strcmp(caught.task_name, "reader") == 0);
    CHECK_TEXT(caught.text, "weir: loop 0 is blocked: task \"reader\" has held it for ",
               " ms, asleep in read on fd ", "); instead: weir_read\n", "read+", "read_the_pipe+",
               "blocked+", "task_main+");
    test_carry_out();
}

/* Each sleep takes its whole time: the signal is for those who run. */
static int sleeper(void *arg)
{
    struct timespec duration = { .tv_nsec = 200000000 };

    (void)arg;
    while (atomic_load(&caught.count) < 1)
        CHECK_EQUAL(nanosleep(&duration, NULL), 0);
    return 0;
}

static int sleeper_root(void *arg)
{
    (void)arg;
    run_named("sleeper", sleeper, NULL);
    return 0;
}

static void test_asleep(void **state)
{
    struct weir_options options = catching_options(WEIR_STALL_BLOCKED);

    (void)state;
    assert_int_equal(test_run(sleeper_root, NULL, &options), 0);
    CHECK_EQUAL(caught.stall.kind, WEIR_STALL_BLOCKED);
    CHECK_TEXT(caught.text, "weir: loop 0 is blocked: task \"sleeper\" has held it for ",
               "nanosleep; instead: weir_sleep\n", "nanosleep+", "sleeper+");
    test_carry_out();
}

/* Found while it runs, for a little: that is neither a hog nor a machine without CPUs. */
static int dozer(void *arg)
{
    struct timespec doze = { .tv_nsec = 1000000 };

    (void)arg;
    while (atomic_load(&caught.count) < 1) {
        int64_t until_ns = weir_in_ns(5 * CAUGHT_LIMIT_NS);

        while (atomic_load(&caught.count) < 1 && weir_now_ns() < until_ns) {
            spin_here(weir_in_ns(300000));
            nanosleep(&doze, NULL);
        }
        weir_yield();
    }
    return 0;
}

static int dozer_root(void *arg)
{
    (void)arg;
    run_named("dozer", dozer, NULL);
    return 0;
}

static void test_dozing(void **state)
{
    struct weir_options options = catching_options(WEIR_STALL_BLOCKED);

    (void)state;
    if (!PROBES_ANSWERED)
        skip(); /* how long it waited for a CPU is not known */
    caught.needs_text = "now and then";
    assert_int_equal(test_run(dozer_root, NULL, &options), 0);
    CHECK(caught.stall.call == NULL);
    CHECK_TEXT(caught.text, "weir: loop 0 is blocked: task \"dozer\" has held it for ",
               " ms, asleep now and then, for ", " of the last ",
               " ms in all; make these calls in one weir_pool_run (weir-check names each)\n",
               "dozer+", "task_main+");
    test_carry_out();
}

static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;

static void *hold_until_report(void *arg)
{
    pthread_mutex_lock(&held);
    atomic_store((atomic_long *)arg, 1);
    test_await(&caught.count, 1);
    pthread_mutex_unlock(&held);
    return NULL;
}

static int locker(void *arg)
{
    (void)arg;
    CHECK_EQUAL(pthread_mutex_lock(&held), 0);
    CHECK_EQUAL(pthread_mutex_unlock(&held), 0);
    return 0;
}

static int locker_root(void *arg)
{
    (void)arg;
    run_named("locker", locker, NULL);
    return 0;
}

static void test_lock(void **state)
{
    struct weir_options options = catching_options(WEIR_STALL_LOCK);
    atomic_long is_held = 0;
    pthread_t holder;

    (void)state;
    assert_int_equal(pthread_create(&holder, NULL, hold_until_report, &is_held), 0);
    test_await(&is_held, 1);
    assert_int_equal(test_run(locker_root, NULL, &options), 0);
    assert_int_equal(pthread_join(holder, NULL), 0);
    CHECK_EQUAL(caught.stall.kind, WEIR_STALL_LOCK);
    CHECK_TEXT(caught.text, "weir: loop 0 is blocked: task \"locker\" has held it for ",
               " ms, asleep in futex: it waits for a lock, a condition or a thread; use "
               "weir_mutex_lock or a channel, which park the task alone, or move it to "
               "weir_pool_run\n",
               "locker+");
    test_carry_out();
}

/* --- Page faults ------------------------------------------------------------------------------ */

struct absent {
    int fault_fd;
    char *page; /* of a memory file; whoever touches it waits until the page is brought */
    size_t bytes;
    pthread_t bringer;
    int pair[2];
};

static void *bring_after_report(void *arg)
{
    struct absent *absent = arg;
    char *source =
        mmap(NULL, absent->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct uffdio_copy copy = {
        .dst = (uint64_t)(uintptr_t)absent->page,
        .src = (uint64_t)(uintptr_t)source,
        .len = absent->bytes,
    };

    test_await(&caught.count, 1);
    memset(source, 'x', absent->bytes);
    CHECK_EQUAL(ioctl(absent->fault_fd, UFFDIO_COPY, &copy), 0);
    munmap(source, absent->bytes);
    return NULL;
}

/* False: this process may not have faults handled, or not those of the kernel. */
static bool begin_absent(struct absent *absent, int flags)
{
    struct uffdio_api api = { .api = UFFD_API };
    struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
    int file;

    absent->bytes = (size_t)sysconf(_SC_PAGESIZE);
    absent->fault_fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | flags);
    if (absent->fault_fd < 0)
        return false;
    file = memfd_create("absent", MFD_CLOEXEC);
    assert_true(file >= 0);
    assert_int_equal(ftruncate(file, (off_t)absent->bytes), 0);
    absent->page = mmap(NULL, absent->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    assert_true(absent->page != MAP_FAILED);
    close(file);
    range.range.start = (uint64_t)(uintptr_t)absent->page;
    range.range.len = absent->bytes;
    assert_int_equal(ioctl(absent->fault_fd, UFFDIO_API, &api), 0);
    assert_int_equal(ioctl(absent->fault_fd, UFFDIO_REGISTER, &range), 0);
    assert_int_equal(pthread_create(&absent->bringer, NULL, bring_after_report, absent), 0);
    return true;
}

static void end_absent(struct absent *absent)
{
    assert_int_equal(pthread_join(absent->bringer, NULL), 0);
    munmap(absent->page, absent->bytes);
    close(absent->fault_fd);
}

static __attribute__((noinline)) char touch_page(const volatile char *page)
{
    return page[1];
}

static int toucher(void *arg)
{
    struct absent *absent = arg;

    CHECK_EQUAL(touch_page(absent->page), 'x');
    return 0;
}

static int toucher_root(void *arg)
{
    run_named("toucher", toucher, arg);
    return 0;
}

static void test_page_fault(void **state)
{
    struct weir_options options = catching_options(WEIR_STALL_FAULT);
    struct absent absent;

    (void)state;
    if (!begin_absent(&absent, UFFD_USER_MODE_ONLY))
        skip(); /* userfaultfd is not allowed here */
    assert_int_equal(test_run(toucher_root, &absent, &options), 0);
    end_absent(&absent);
    CHECK_EQUAL(caught.stall.kind, WEIR_STALL_FAULT);
    CHECK(caught.stall.call == NULL);
    CHECK_TEXT(caught.text, "weir: loop 0 is blocked: task \"toucher\" has held it for ",
               " ms, asleep in a page fault: memory that it touched is not there, and is fetched "
               "(a mapped file, or swap); read the file by weir_pread, or touch it in "
               "weir_pool_run\n",
               "touch_page+", "toucher+");
    test_carry_out();
}

/* --- weir's own submission -------------------------------------------------------------------- */

/* The kernel copies what is to be sent as it takes the entry, and finds the page absent. */
static int sender(void *arg)
{
    struct absent *absent = arg;

    CHECK_EQUAL(weir_send(absent->pair[0], absent->page, 64, 0, WEIR_FOREVER), 64);
    return 0;
}

static int sender_root(void *arg)
{
    run_named("sender", sender, arg);
    return 0;
}

static void test_submission(void **state)
{
    struct weir_options options = catching_options(WEIR_STALL_SUBMISSION);
    struct absent absent;
    char op[64];

    (void)state;
    if (!begin_absent(&absent, 0))
        skip(); /* userfaultfd is not allowed to handle the kernel's own faults here */
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, absent.pair), 0);
    assert_int_equal(test_run(sender_root, &absent, &options), 0);
    end_absent(&absent);
    close(absent.pair[0]);
    close(absent.pair[1]);
    snprintf(op, sizeof op, "send on fd %d", absent.pair[0]);
    CHECK_EQUAL(caught.stall.kind, WEIR_STALL_SUBMISSION);
    CHECK(strstr(caught.text, op) != NULL);
    CHECK_TEXT(caught.text, "weir: loop 0 is stuck in weir's own submission for ",
               " ms: io_uring_enter does not return from the first of what it was given: send on "
               "fd ",
               "; move that call to weir_pool_run\n", "weir__loop_turn+");
    test_carry_out();
}

/* --- All loops -------------------------------------------------------------------------------- */

static int block_both(void *arg)
{
    struct pipe_user *users = arg;
    struct weir_scope *scope = NULL;
    struct weir_spawn_options here = { .name = "first", .place = WEIR_PLACE_LOOP };
    struct weir_spawn_options there = { .name = "second",
                                        .place = WEIR_PLACE_LOOP,
                                        .loop_index = 1 };

    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    CHECK_EQUAL(weir_spawn(scope, blocked, &users[0], &here), 0);
    CHECK_EQUAL(weir_spawn(scope, blocked, &users[1], &there), 0);
    return weir_scope_join(scope, WEIR_FOREVER);
}

static void *write_after_report_of_all(void *arg)
{
    struct pipe_user *users = arg;

    test_await(&caught.all_count, 1);
    CHECK_EQUAL(write(users[0].ends[1], "x", 1), 1);
    CHECK_EQUAL(write(users[1].ends[1], "x", 1), 1);
    return NULL;
}

static void test_all_loops(void **state)
{
    struct weir_options options = catching_options(-1);
    struct pipe_user users[2];
    pthread_t writer;

    (void)state;
    options.loop_count = 2;
    assert_int_equal(pipe(users[0].ends), 0);
    assert_int_equal(pipe(users[1].ends), 0);
    assert_int_equal(pthread_create(&writer, NULL, write_after_report_of_all, users), 0);
    assert_int_equal(test_run(block_both, users, &options), 0);
    assert_int_equal(pthread_join(writer, NULL), 0);
    for (int i = 0; i < 4; i++)
        close(users[i / 2].ends[i % 2]);
    CHECK_EQUAL(atomic_load(&caught.all_count), 1);
    CHECK(strcmp(caught.next_task_name, "second") == 0);
    CHECK_TEXT(caught.all_text, "weir: all 2 loops are held, and nothing else runs\n",
               "  loop 0 is blocked: task \"first\" has held it for ", "asleep in read on fd ",
               "read_the_pipe+", "  loop 1 is blocked: task \"second\" has held it for ",
               "asleep in read on fd ", "read_the_pipe+");
    test_carry_out();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hog),        cmocka_unit_test(test_blocked_in_read),
        cmocka_unit_test(test_asleep),     cmocka_unit_test(test_dozing),
        cmocka_unit_test(test_lock),       cmocka_unit_test(test_page_fault),
        cmocka_unit_test(test_submission), cmocka_unit_test(test_all_loops),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
