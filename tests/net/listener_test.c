/* SPDX-License-Identifier: MIT */
/* Listeners: accepting from one socket and several, what a cancel, a deadline, a close and a lack
 * of descriptors do to it. No connection and no descriptor is ever lost. */
#include "base/memory.h"
#include "io/fixture.h"

#include "io/spare.h"
#include "net/listener.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { ADDRESS_BYTES = 160 };

static struct weir_listener *open_at(const char *address,
                                     const struct weir_listener_options *options)
{
    struct weir_listener *listener = NULL;

    CHECK_EQUAL(weir_listener_open(&listener, address, options), 0);
    return listener;
}

static struct weir_listener_stats stats_now(struct weir_listener *listener)
{
    struct weir_listener_stats stats;

    CHECK_EQUAL(weir_listener_read_stats(listener, &stats), 0);
    return stats;
}

/* A plain client of the index-th socket. */
static int client_of(struct weir_listener *listener, unsigned index)
{
    char text[ADDRESS_BYTES];
    struct sockaddr_in address = { .sin_family = AF_INET };
    struct sockaddr_un path = { .sun_family = AF_UNIX };
    bool is_unix;
    int fd;

    CHECK(weir_listener_address(listener, index, text, sizeof text) > 0);
    is_unix = strncmp(text, "unix:", 5) == 0;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fd = known(socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (is_unix) {
        strcpy(path.sun_path, text + 5);
        CHECK_EQUAL(connect(fd, (struct sockaddr *)&path, sizeof path), 0);
    } else {
        address.sin_port = htons((in_port_t)atoi(strrchr(text, ':') + 1));
        CHECK_EQUAL(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    }
    return fd;
}

static int64_t accept_call(void *arg, int64_t deadline_ns)
{
    return weir_listener_accept(arg, NULL, NULL, deadline_ns);
}

static int accept_body(void *arg)
{
    struct weir_listener *listener = open_at("127.0.0.1:0", NULL);
    struct call call = call_of(accept_call, listener);
    struct sockaddr_in peer;
    socklen_t bytes = sizeof peer;
    int client, fd;

    (void)arg;
    CHECK_EQUAL(weir_listener_accept(listener, NULL, NULL, WEIR_NOW), -EAGAIN);
    CHECK_EQUAL(weir_listener_accept(listener, NULL, NULL, weir_now_ns()), -ETIME);
    CHECK_EQUAL(weir_listener_accept(listener, NULL, NULL, weir_in_ms(2)), -ETIME);
    CHECK_EQUAL(weir_listener_accept(listener, (struct sockaddr *)&peer, NULL, WEIR_NOW), -EINVAL);
    client = client_of(listener, 0);
    CHECK_EQUAL(stats_now(listener).backlog, 1);
    CHECK(stats_now(listener).backlog_max > 1);
    fd = weir_listener_accept(listener, (struct sockaddr *)&peer, &bytes, WEIR_NOW);
    CHECK(fd >= 0);
    CHECK_EQUAL(bytes, sizeof peer);
    CHECK_EQUAL(peer.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    CHECK_EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQUAL(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    CHECK_EQUAL(weir_close(fd), 0);
    plain_close(client);
    call_start(&call);
    weir__sched_settle();
    CHECK_EQUAL(weir_task_cancel(call.task), 0);
    CHECK_EQUAL(call_finish(&call), -ECANCELED);
    call_start(&call);
    weir__sched_settle();
    client = client_of(listener, 0);
    fd = (int)call_finish(&call);
    CHECK(fd >= 0);
    CHECK_EQUAL(weir_close(fd), 0);
    plain_close(client);
    CHECK_EQUAL(stats_now(listener).accepted, 2);
    CHECK_EQUAL(weir_listener_close(listener), 0);
    return 0;
}

static void run_and_count_fds(int (*body)(void *arg), const struct weir_options *options)
{
    int fd_count = count_fds();

    assert_int_equal(test_run(body, NULL, options), 0);
    assert_int_equal(count_fds(), fd_count);
}

static void test_accept(void **state)
{
    (void)state;
    run_and_count_fds(accept_body, &one_loop);
}

/* Several addresses, one of them a descriptor from elsewhere: each gets its turn. */
static int several_body(void *arg)
{
    struct weir_listener *listener = open_at(NULL, NULL);
    struct call call = call_of(accept_call, listener);
    struct sockaddr_in address;
    int plain = loopback_socket(8, &address), clients[3][2], fd, pair[2];
    char text[ADDRESS_BYTES];

    (void)arg;
    CHECK_EQUAL(weir_listener_accept(listener, NULL, NULL, WEIR_NOW), -EINVAL);
    CHECK_EQUAL(weir_listener_add(listener, "127.0.0.1:0"), 0);
    CHECK_EQUAL(weir_listener_add(listener, "unix:socket"), 0);
    CHECK_EQUAL(weir_listener_add(listener, "nowhere"), -EINVAL);
    CHECK_EQUAL(weir_listener_adopt(listener, plain), 0);
    CHECK_EQUAL(fcntl(plain, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    make_pair(pair);
    CHECK_EQUAL(weir_listener_adopt(listener, pair[0]), -EINVAL);
    plain_close(pair[0]);
    plain_close(pair[1]);
    CHECK_EQUAL(weir_listener_address(listener, 3, text, sizeof text), -ENOENT);
    CHECK_EQUAL(weir_listener_accept(listener, NULL, NULL, weir_in_ms(1)), -ETIME);
    for (unsigned i = 0; i < 6; i++)
        clients[i % 3][i / 3] = client_of(listener, i % 3);
    for (int i = 0; i < 6; i++) {
        fd = weir_listener_accept(listener, NULL, NULL, WEIR_FOREVER);
        CHECK(fd >= 0);
        CHECK_EQUAL(weir_close(fd), 0);
    }
    CHECK_EQUAL(weir_listener_accept(listener, NULL, NULL, WEIR_NOW), -EAGAIN);
    for (unsigned i = 0; i < 6; i++)
        plain_close(clients[i % 3][i / 3]);
    for (unsigned i = 0; i < 3; i++) { /* whoever speaks first while it waits for all */
        call_start(&call);
        weir__sched_settle();
        CHECK_EQUAL(weir_listener_add(listener, "127.0.0.1:0"), -EBUSY);
        clients[0][0] = client_of(listener, i);
        fd = (int)call_finish(&call);
        CHECK(fd >= 0);
        CHECK_EQUAL(weir_close(fd), 0);
        plain_close(clients[0][0]);
    }
    for (int i = 3; i < 16; i++)
        CHECK_EQUAL(weir_listener_add(listener, "127.0.0.1:0"), 0);
    CHECK_EQUAL(weir_listener_add(listener, "127.0.0.1:0"), -E2BIG);
    CHECK_EQUAL(weir_listener_close(listener), 0);
    return 0;
}

static void test_several_addresses(void **state)
{
    (void)state;
    run_and_count_fds(several_body, &one_loop);
}

/* How many are in weir_listener_accept. */
static unsigned users_of(struct weir_listener *listener)
{
    unsigned count;

    weir__lock_acquire(&listener->lock);
    count = listener->sets[0].user_count;
    weir__lock_release(&listener->lock);
    return count;
}

/* Closing ends who waits: on this loop, on another, with one socket and with two. */
static void close_under(unsigned loop_index, bool two_sockets)
{
    struct weir_listener *listener = open_at("127.0.0.1:0", NULL);
    struct call calls[3];

    if (two_sockets)
        CHECK_EQUAL(weir_listener_add(listener, "127.0.0.1:0"), 0);
    for (int i = 0; i < 3; i++) {
        calls[i] = call_of(accept_call, listener);
        calls[i].loop_index = loop_index;
        call_start(&calls[i]);
    }
    while (users_of(listener) < 3) /* they wait, or are about to */
        CHECK_EQUAL(weir_yield(), 0);
    CHECK_EQUAL(weir_listener_close(listener), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQUAL(call_finish(&calls[i]), -EBADF);
}

static int close_body(void *arg)
{
    (void)arg;
    for (int i = 0; i < test_rounds(20, 400, 4000); i++) {
        close_under(0, false);
        close_under(0, true);
        close_under(1, false);
        close_under(1, true);
    }
    CHECK_EQUAL(weir_listener_close(NULL), 0);
    return 0;
}

static void test_close_ends_accepts(void **state)
{
    (void)state;
    run_and_count_fds(close_body, &two_loops);
}

/* One loop at a time waits at a socket; with sockets of its own each waits at those. */
static int loops_body(void *arg)
{
    const struct weir_listener_options per_loop = { .spread = WEIR_LISTENER_PER_LOOP };
    struct weir_listener *listener = open_at("127.0.0.1:0", NULL);
    struct call call = call_of(accept_call, listener), other;
    int clients[64], count = 0;
    char first[ADDRESS_BYTES];

    (void)arg;
    call_start(&call);
    weir__sched_settle();
    CHECK_EQUAL(run_on_loop(1, accept_call, listener), -EBUSY);
    CHECK_EQUAL(weir_task_cancel(call.task), 0);
    CHECK_EQUAL(call_finish(&call), -ECANCELED);
    CHECK_EQUAL(weir_listener_close(listener), 0);

    listener = open_at("127.0.0.1:0", &per_loop);
    CHECK(weir_listener_address(listener, 0, first, sizeof first) > 0);
    call = call_of(accept_call, listener);
    other = call_of(accept_call, listener);
    other.loop_index = 1;
    call_start(&call);
    call_start(&other);
    do /* the kernel chooses by a hash of the addresses */
        clients[count++] = client_of(listener, 0);
    while (count < 64 && stats_now(listener).accepted < 2 && weir_sleep(weir_in_ms(1)) == 0);
    CHECK_EQUAL(weir_close((int)call_finish(&call)), 0);
    CHECK_EQUAL(weir_close((int)call_finish(&other)), 0);
    while (count--)
        plain_close(clients[count]);
    CHECK_EQUAL(weir_listener_add(listener, "unix:@weir-listener-test"), 0);
    CHECK_EQUAL(weir_listener_close(listener), 0);
    return 0;
}

static void test_loops(void **state)
{
    (void)state;
    run_and_count_fds(loops_body, &two_loops);
}

/* --- Without a descriptor --------------------------------------------------------------------- */

struct hoard {
    int fds[4096];
    int count;
    struct rlimit limit;
};

/* Leaves the process without a free descriptor. */
static void hoard_fds(struct hoard *hoard)
{
    struct rlimit low;
    int fd;

    CHECK_EQUAL(getrlimit(RLIMIT_NOFILE, &hoard->limit), 0);
    low = hoard->limit;
    low.rlim_cur = 256;
    CHECK_EQUAL(setrlimit(RLIMIT_NOFILE, &low), 0);
    hoard->count = 0;
    while ((fd = dup(STDERR_FILENO)) >= 0)
        hoard->fds[hoard->count++] = fd;
    CHECK_EQUAL(errno, EMFILE);
    CHECK(hoard->count > 1);
}

static void give_fds(struct hoard *hoard)
{
    while (hoard->count)
        plain_close(hoard->fds[--hoard->count]);
    CHECK_EQUAL(setrlimit(RLIMIT_NOFILE, &hoard->limit), 0);
}

static void await_pause(struct weir_listener *listener)
{
    for (int look = 0; look < 10000 && !stats_now(listener).paused_now; look++)
        weir_sleep(weir_in_us(100));
    CHECK(stats_now(listener).paused_now);
}

/* `give` frees one descriptor: with weir's knowledge, or behind its back. */
static void check_pause(struct hoard *hoard, bool noticed, unsigned loop_index)
{
    struct weir_listener *listener = open_at("127.0.0.1:0", NULL);
    struct call call = call_of(accept_call, listener);
    struct weir_listener_stats stats;
    long long turns, switches;
    int client = client_of(listener, 0), fd;

    hoard_fds(hoard);
    CHECK_EQUAL(weir_listener_accept(listener, NULL, NULL, WEIR_NOW), -EAGAIN);
    CHECK_EQUAL(weir_listener_accept(listener, NULL, NULL, weir_in_ms(3)), -ETIME);
    call.loop_index = loop_index;
    call_start(&call);
    await_pause(listener);
    CHECK_EQUAL(weir_task_cancel(call.task), 0);
    CHECK_EQUAL(call_finish(&call), -ECANCELED);
    call_start(&call);
    await_pause(listener);
    turns = counter(WEIR_TURNS);
    switches = counter(WEIR_SWITCHES);
    weir_sleep(weir_in_ms(100));
    CHECK(counter(WEIR_TURNS) - turns < 100); /* it does not spin */
    CHECK(counter(WEIR_SWITCHES) - switches < 100);
    CHECK(stats_now(listener).paused_now);
    CHECK_EQUAL(stats_now(listener).backlog, 1);
    weir_forget(hoard->fds[--hoard->count]);
    if (noticed)
        CHECK_EQUAL(weir_close(hoard->fds[hoard->count]), 0);
    else
        CHECK_EQUAL(close(hoard->fds[hoard->count]), 0);
    fd = (int)call_finish(&call);
    CHECK(fd >= 0);
    stats = stats_now(listener);
    CHECK_EQUAL(stats.paused, 3);
    CHECK(stats.paused_ns > 100 * 1000000);
    CHECK(!stats.paused_now);
    CHECK_EQUAL(weir_close(fd), 0);
    give_fds(hoard);
    plain_close(client);
    CHECK_EQUAL(weir_listener_close(listener), 0);
    CHECK_EQUAL(atomic_load(&weir__spare_watchers), 0);
}

/* What could not be adopted is still the caller's, and what was there before still accepts. */
static void check_failed_adoption(struct hoard *hoard, enum weir_listener_spread spread, int spare)
{
    const struct weir_listener_options options = { .spread = spread };
    struct weir_listener *listener = open_at("127.0.0.1:0", &options);
    int fd = weir_listen_at("127.0.0.1:0", NULL), client;

    CHECK(fd >= 0);
    hoard_fds(hoard);
    for (int i = 0; i < spare; i++)
        plain_close(hoard->fds[--hoard->count]);
    CHECK_EQUAL(weir_listener_adopt(listener, fd), -EMFILE);
    CHECK(fcntl(fd, F_GETFD) >= 0);
    give_fds(hoard);
    CHECK_EQUAL(weir_listener_adopt(listener, fd), 0);
    client = client_of(listener, 1);
    fd = weir_listener_accept(listener, NULL, NULL, weir_in_ms(20000));
    CHECK(fd >= 0);
    CHECK_EQUAL(weir_close(fd), 0);
    plain_close(client);
    CHECK_EQUAL(weir_listener_close(listener), 0);
}

static int failed_adoption_body(void *arg)
{
    check_failed_adoption(arg, WEIR_LISTENER_HERE, 0);
    check_failed_adoption(arg, WEIR_LISTENER_PER_LOOP, 0);
    check_failed_adoption(arg, WEIR_LISTENER_PER_LOOP, 1); /* an epoll, but no copy */
    check_failed_adoption(arg, WEIR_LISTENER_PER_LOOP, 2); /* the copy, but no epoll for it */
    return 0;
}

static void test_what_was_not_adopted_stays_open(void **state)
{
    static struct hoard hoard;

    (void)state;
    assert_int_equal(test_run(failed_adoption_body, &hoard, &two_loops), 0);
}

static int pause_body(void *arg)
{
    struct hoard *hoard = malloc(sizeof *hoard);

    (void)arg;
    check_pause(hoard, true, 0);
    check_pause(hoard, false, 0);
    check_pause(hoard, true, 1);
    free(hoard);
    return 0;
}

static void test_pause_without_descriptors(void **state)
{
    (void)state;
    run_and_count_fds(pause_body, &two_loops);
}

/* Closing ends a pause, too. */
static int close_pause_body(void *arg)
{
    struct hoard *hoard = malloc(sizeof *hoard);
    struct weir_listener *listener = open_at("127.0.0.1:0", NULL);
    struct call call = call_of(accept_call, listener);
    int client = client_of(listener, 0);

    (void)arg;
    hoard_fds(hoard);
    call.loop_index = 1;
    call_start(&call);
    await_pause(listener);
    CHECK_EQUAL(weir_listener_close(listener), 0);
    CHECK_EQUAL(call_finish(&call), -EBADF);
    give_fds(hoard);
    free(hoard);
    plain_close(client);
    return 0;
}

static void test_close_ends_a_pause(void **state)
{
    (void)state;
    run_and_count_fds(close_pause_body, &two_loops);
}

/* --- Races: each connection is accepted, or still waits; no descriptor is lost ---------------- */

struct race {
    struct weir_listener *listener;
    struct sockaddr_in address;
    long accepted, refused;
};

/* Accepts are cut off at any moment by a deadline or a cancel, while connections come. */
static int race_body(void *arg)
{
    struct race race = { .listener = open_at("127.0.0.1:0", NULL) };
    long rounds = test_rounds(2000, 1000000, 3000000), made = 0;
    char text[ADDRESS_BYTES];
    unsigned seed = 1;

    (void)arg;
    CHECK(weir_listener_address(race.listener, 0, text, sizeof text) > 0);
    race.address = (struct sockaddr_in){ .sin_family = AF_INET };
    race.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    race.address.sin_port = htons((in_port_t)atoi(strrchr(text, ':') + 1));
    for (long round = 0; round < rounds; round++) {
        struct call call = call_of(accept_call, race.listener);
        unsigned way = (unsigned)rand_r(&seed) % 4;
        int client = -1;

        if (way == 1)
            call.deadline_ns = weir_in_ns(rand_r(&seed) % 20000);
        call_start(&call);
        if (way == 2)
            weir_yield();
        if (rand_r(&seed) % 8 == 0) {
            client = plain_connect(&race.address);
            made++;
        }
        if (way != 1)
            CHECK_EQUAL(weir_task_cancel(call.task), 0);
        call_finish(&call);
        if (call.result >= 0) {
            race.accepted++;
            CHECK_EQUAL(weir_close((int)call.result), 0);
        } else {
            CHECK(call.result == -ECANCELED || call.result == -ETIME);
        }
        if (client >= 0) { /* a reset frees the port at once */
            const struct linger hard = { .l_onoff = 1 };

            CHECK_EQUAL(setsockopt(client, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
            if (call.result < 0) {
                int fd = weir_listener_accept(race.listener, NULL, NULL, WEIR_FOREVER);

                CHECK(fd >= 0);
                race.accepted++;
                CHECK_EQUAL(weir_close(fd), 0);
            }
            plain_close(client);
        }
    }
    CHECK_EQUAL(race.accepted, made);
    CHECK_EQUAL(stats_now(race.listener).accepted, made);
    CHECK_EQUAL(weir_listener_close(race.listener), 0);
    return 0;
}

static void test_accept_races(void **state)
{
    (void)state;
    run_and_count_fds(race_body, &one_loop);
}

/* Whichever allocation fails, nothing is left behind. */
static int memory_body(void *arg)
{
    const struct weir_listener_options per_loop = { .spread = WEIR_LISTENER_PER_LOOP };
    struct weir_listener *listener = NULL;
    int error = -ENOMEM;

    (void)arg;
    for (long count = 1; error == -ENOMEM; count++) {
        weir__memory_fail_after(count);
        error = weir_listener_open(&listener, "127.0.0.1:0", &per_loop);
        CHECK(error == -ENOMEM || count > 3);
    }
    weir__memory_fail_after(-1);
    CHECK_EQUAL(error, 0);
    CHECK_EQUAL(weir_listener_close(listener), 0);
    return 0;
}

static void test_without_memory(void **state)
{
    (void)state;
    run_and_count_fds(memory_body, &two_loops);
}

static int options_body(void *arg)
{
    struct weir_listener *listener;
    struct weir_listener_stats stats;

    (void)arg;
#define REFUSED(error, ...)                                                                        \
    CHECK_EQUAL(                                                                                   \
        weir_listener_open(&listener, NULL, &(struct weir_listener_options){ __VA_ARGS__ }),       \
        error)
    REFUSED(-EINVAL, .size = 1);
    REFUSED(-EINVAL, .spread = 3);
    REFUSED(-EINVAL, .backlog = -1);
    REFUSED(-EINVAL, .reserved[3] = 1);
    REFUSED(-E2BIG, .name = "a name that has more than thirty-one bytes");
#undef REFUSED
    CHECK_EQUAL(weir_listener_open(NULL, NULL, NULL), -EINVAL);
    CHECK_EQUAL(weir_listener_open(&listener, "localhost:80", NULL), -EINVAL);
    CHECK_EQUAL(weir_listener_read_stats(NULL, &stats), -EINVAL);
    return 0;
}

static void test_options(void **state)
{
    struct weir_listener *listener;

    (void)state;
    run_and_count_fds(options_body, &one_loop);
    assert_int_equal(weir_listener_open(&listener, NULL, NULL), -ENXIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accept),
        IN_FOLDER(test_several_addresses),
        cmocka_unit_test(test_close_ends_accepts),
        cmocka_unit_test(test_loops),
        cmocka_unit_test(test_what_was_not_adopted_stays_open),
        cmocka_unit_test(test_pause_without_descriptors),
        cmocka_unit_test(test_close_ends_a_pause),
        cmocka_unit_test(test_accept_races),
        cmocka_unit_test(test_without_memory),
        cmocka_unit_test(test_options),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
