/* SPDX-License-Identifier: MIT */
/*
 * Ten thousand silent connections on one loop, and every queue at its smallest bound: the one that
 * speaks is answered as if it were alone. What merely waits for a peer takes nothing that another
 * needs.
 */
#include "fixture.h"

#include <sys/resource.h>

enum {
    SILENT_FAST = 1000,
    SILENT_FULL = 10000,
    ROUNDS_FAST = 200,
    ROUNDS_FULL = 4000,
    FDS_ELSE = 200,
    WORSE_PERCENT = 150, /* at most, of what it takes alone */
};

static const struct weir_options smallest = {
    .loop_count = 1,
    .ring_entries = 8,
    .submission_limit = 1,
    .pool_threads_max = 1,
    .pool_queue_limit = 1,
    .spin_max_ns = -1,
};

struct room {
    long silent_count;
    int (*pairs)[2];
    int speaker[2];
    long round_count;
    int64_t *times_ns;
};

/* Room for both ends of each connection, as far as this process may have it. */
static long how_many_silent(void)
{
    long wanted = test_tier() == TEST_FAST ? SILENT_FAST : SILENT_FULL;
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = (rlim_t)(2 * wanted + FDS_ELSE);
    if (limit.rlim_max < limit.rlim_cur)
        limit.rlim_max = limit.rlim_cur; /* needs a privilege */
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
        return wanted;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    print_message("with %ld descriptors only\n", (long)limit.rlim_cur);
    return ((long)limit.rlim_cur - FDS_ELSE) / 2;
}

static int stay_silent(void *arg)
{
    const int *pair = arg;
    char byte;

    CHECK_EQUAL(weir_recv(pair[0], &byte, 1, 0, WEIR_FOREVER), -ECANCELED);
    return 0;
}

static int answer(void *arg)
{
    const int *speaker = arg;
    char bytes[64];
    ssize_t got;

    while ((got = weir_recv(speaker[1], bytes, sizeof bytes, 0, WEIR_FOREVER)) > 0)
        CHECK_EQUAL(weir_send_all(speaker[1], bytes, (size_t)got, 0, NULL, WEIR_FOREVER), got);
    return 0;
}

static int compare_times(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;

    return (a > b) - (a < b);
}

static int64_t median_ns(struct room *room)
{
    qsort(room->times_ns, (size_t)room->round_count, sizeof room->times_ns[0], compare_times);
    return room->times_ns[room->round_count / 2];
}

/* One round trip of the one that speaks. */
static int64_t ask_ns(struct room *room)
{
    char bytes[64] = { 0 };

    for (long i = 0; i < room->round_count; i++) {
        int64_t start_ns = weir_now_ns();

        CHECK_EQUAL(weir_send(room->speaker[0], bytes, sizeof bytes, 0, WEIR_FOREVER),
                    sizeof bytes);
        CHECK_EQUAL(
            weir_recv(room->speaker[0], bytes, sizeof bytes, MSG_WAITALL, weir_in_ms(60000)),
            sizeof bytes);
        room->times_ns[i] = weir_now_ns() - start_ns;
    }
    return median_ns(room);
}

/* One that comes and goes, beside all the others. */
static int64_t visit_ns(struct room *room)
{
    for (long i = 0; i < room->round_count; i++) {
        int64_t start_ns;
        int pair[2];

        make_pair(pair);
        start_ns = weir_now_ns();
        CHECK_EQUAL(weir_close(pair[0]), 0);
        room->times_ns[i] = weir_now_ns() - start_ns;
        CHECK_EQUAL(weir_close(pair[1]), 0);
    }
    return median_ns(room);
}

static int do_nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* The bounded queues are as free as they were. */
static void check_queues(void)
{
    char byte = 'a';
    int fd = plain_open("file", O_CREAT | O_RDWR);

    CHECK_EQUAL(weir_pool_run(do_nothing, NULL, weir_in_ms(60000)), 0);
    CHECK_EQUAL(weir_pwrite(fd, &byte, 1, 0, weir_in_ms(60000)), 1);
    CHECK_EQUAL(weir_pread(fd, &byte, 1, 0, weir_in_ms(60000)), 1);
    CHECK_EQUAL(weir_close(fd), 0);
}

static struct weir_scope *fill_room(struct room *room)
{
    struct weir_scope *scope;

    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    for (long i = 0; i < room->silent_count; i++) {
        make_pair(room->pairs[i]);
        CHECK_EQUAL(weir_spawn(scope, stay_silent, room->pairs[i], NULL), 0);
    }
    weir__sched_settle();
    return scope;
}

static void empty_room(struct room *room, struct weir_scope *scope)
{
    CHECK_EQUAL(weir_scope_cancel(scope), 0);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    for (long i = 0; i < room->silent_count; i++) {
        CHECK_EQUAL(weir_close(room->pairs[i][0]), 0);
        CHECK_EQUAL(weir_close(room->pairs[i][1]), 0);
    }
}

static int silence_body(void *arg)
{
    struct room *room = arg;
    struct weir_scope *answering, *silent;
    int64_t alone_ns, amid_ns, visit_alone_ns, visit_amid_ns, later_ns;

    make_pair(room->speaker);
    CHECK_EQUAL(weir_scope_create(&answering, WEIR_SCOPE_COLLECT, NULL), 0);
    CHECK_EQUAL(weir_spawn(answering, answer, room->speaker, NULL), 0);
    alone_ns = ask_ns(room);
    visit_alone_ns = visit_ns(room);
    silent = fill_room(room);
    amid_ns = ask_ns(room);
    visit_amid_ns = visit_ns(room);
    check_queues();
    empty_room(room, silent);
    later_ns = ask_ns(room);
    if (later_ns > alone_ns)
        alone_ns = later_ns; /* the machine's own drift is nobody's fault */
    print_message("amid %ld silent ones: round trip %lld ns, alone %lld; close %lld ns, alone "
                  "%lld\n",
                  room->silent_count, (long long)amid_ns, (long long)alone_ns,
                  (long long)visit_amid_ns, (long long)visit_alone_ns);
    if (test_tier() != TEST_FAST && !TEST_SANITIZED) {
        CHECK(amid_ns * 100 <= alone_ns * WORSE_PERCENT);
        CHECK(visit_amid_ns * 100 <= visit_alone_ns * WORSE_PERCENT);
    }
    CHECK_EQUAL(weir_close(room->speaker[0]), 0);
    CHECK_EQUAL(weir_scope_join(answering, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_close(room->speaker[1]), 0);
    return 0;
}

static void test_the_one_that_speaks_is_answered(void **state)
{
    struct room room = { .silent_count = how_many_silent() };
    int fd_count = count_fds();

    (void)state;
    room.round_count = test_tier() == TEST_FAST ? ROUNDS_FAST : ROUNDS_FULL;
    room.pairs = calloc((size_t)room.silent_count, sizeof room.pairs[0]);
    room.times_ns = calloc((size_t)room.round_count, sizeof room.times_ns[0]);
    assert_int_equal(test_run(silence_body, &room, &smallest), 0);
    assert_int_equal(count_fds(), fd_count);
    free(room.pairs);
    free(room.times_ns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_the_one_that_speaks_is_answered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
