/* SPDX-License-Identifier: MIT */
/*
 * Connections under races: connects and accepts with random deadlines, in tasks that are cancelled
 * at random. A connection that connect reports is accepted exactly once, every accepted descriptor
 * is seen, and what connect gave up says nothing to the listener.
 */
#include "race.h"

#include <sys/un.h>

enum { LOOPS = 2, CONNECTORS = 6, ACCEPTORS = 3, TOKENS_MAX = 1 << 20, WORD_BITS = 64 };

struct hub {
    int listener;
    struct sockaddr_storage address;
    socklen_t address_bytes;
    bool patient; /* the backlog is never full: a connect may wait for ever */
    _Atomic long next_token;
    _Atomic long connectors_left;
    _Atomic uint64_t sent[TOKENS_MAX / WORD_BITS]; /* a bit for each token */
    _Atomic uint64_t seen[TOKENS_MAX / WORD_BITS];
    _Atomic long accepted_count, silent_count, failed_count;
};

struct connector {
    struct hub *hub;
    long connects_left;
    bool finished;
    struct weir__random random;
};

struct acceptor {
    struct hub *hub;
    bool finished;
    struct weir__random random;
};

static struct hub hub;

/* Marks a token; false when it was marked before. */
static bool mark(_Atomic uint64_t *words, uint64_t token)
{
    uint64_t bit = 1ull << token % WORD_BITS;

    return !(atomic_fetch_or(&words[token / WORD_BITS], bit) & bit);
}

/* A connection was reported: the peer hears which, and ends it. Not to be interrupted. */
static void use_connection(struct hub *of, int fd)
{
    uint64_t token = (uint64_t)atomic_fetch_add(&of->next_token, 1);
    char byte;

    weir_shield_enter();
    CHECK(token < TOKENS_MAX);
    CHECK(mark(of->sent, token));
    CHECK_EQUAL(weir_send_all(fd, &token, sizeof token, 0, NULL, WEIR_FOREVER), sizeof token);
    CHECK(weir_recv(fd, &byte, 1, 0, WEIR_FOREVER) <= 0);
    weir_shield_leave();
}

static int64_t connect_deadline(struct connector *connector)
{
    int64_t deadline_ns = race_deadline(&connector->random);

    return deadline_ns == WEIR_FOREVER && !connector->hub->patient ? weir_in_ms(1) : deadline_ns;
}

static int connect_once(struct connector *connector)
{
    struct hub *of = connector->hub;
    const struct sockaddr *address = (const struct sockaddr *)&of->address;
    int fd = weir_socket(address->sa_family, SOCK_STREAM, 0);
    int result;

    if (fd == -ECANCELED)
        return fd;
    CHECK(fd >= 0);
    for (int tries = 0; tries < 2;
         tries++) { /* the second on a socket whose first was taken back */
        result = weir_connect(fd, address, of->address_bytes, connect_deadline(connector));
        if (result == 0 || result == -ECANCELED)
            break;
        CHECK(result == -ETIME || result == -EAGAIN);
    }
    connector->connects_left--;
    if (result == 0)
        use_connection(of, fd);
    else
        atomic_fetch_add(&of->failed_count, 1);
    CHECK_EQUAL(weir_close(fd), 0);
    return result;
}

static int connect_many(void *arg)
{
    struct connector *connector = arg;
    int result = 0;

    while (result != -ECANCELED && connector->connects_left > 0)
        result = connect_once(connector);
    if (connector->connects_left <= 0 && !connector->finished) {
        connector->finished = true;
        atomic_fetch_sub(&connector->hub->connectors_left, 1);
    }
    return 0;
}

/* Hears the token, if one comes, and ends the connection without a trace (no TIME_WAIT). */
static void serve(struct hub *of, int fd)
{
    struct linger at_once = { .l_onoff = 1 };
    uint64_t token = 0;
    ssize_t got;

    weir_shield_enter();
    atomic_fetch_add(&of->accepted_count, 1);
    got = weir_recv_all(fd, &token, sizeof token, 0, NULL, WEIR_FOREVER);
    if (got == sizeof token)
        CHECK(token < TOKENS_MAX && mark(of->seen, token));
    else if (CHECK(got == 0 || got == -ECONNRESET)) /* one that was taken back */
        atomic_fetch_add(&of->silent_count, 1);
    CHECK_EQUAL(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    CHECK_EQUAL(weir_close(fd), 0);
    weir_shield_leave();
}

/* A reset before it was accepted is not reported by Linux: the descriptor comes all the same. */
static int accept_many(void *arg)
{
    struct acceptor *acceptor = arg;
    struct sockaddr_storage peer;
    int fd;

    do {
        socklen_t bytes = sizeof peer;
        int64_t deadline_ns = race_deadline(&acceptor->random);

        fd = weir_accept(acceptor->hub->listener, (struct sockaddr *)&peer, &bytes, 0, deadline_ns);
        if (fd >= 0)
            serve(acceptor->hub, fd);
        else
            CHECK(fd == -EAGAIN || fd == -ETIME || fd == -ECANCELED);
    } while (fd != -ECANCELED && atomic_load(&acceptor->hub->connectors_left) > 0);
    acceptor->finished = atomic_load(&acceptor->hub->connectors_left) == 0;
    return 0;
}

static long count_bits(_Atomic uint64_t *words)
{
    long count = 0;

    for (size_t i = 0; i < TOKENS_MAX / WORD_BITS; i++)
        count += __builtin_popcountll(atomic_load(&words[i]));
    return count;
}

/* What was connected and not yet accepted when the acceptors left. */
static void accept_the_rest(struct hub *of)
{
    int fd;

    while ((fd = weir_accept(of->listener, NULL, NULL, 0, WEIR_NOW)) >= 0)
        serve(of, fd);
    CHECK_EQUAL(fd, -EAGAIN);
}

static int race_body(void *arg)
{
    struct connector connectors[CONNECTORS];
    struct acceptor acceptors[ACCEPTORS];
    struct race_side sides[CONNECTORS + ACCEPTORS];
    long connects = *(long *)arg;
    size_t count = 0;

    atomic_store(&hub.connectors_left, CONNECTORS);
    for (unsigned i = 0; i < CONNECTORS; i++) {
        connectors[i] = (struct connector){ &hub, connects, false, race_random(i) };
        sides[count++] = (struct race_side){ .body = connect_many,
                                             .arg = &connectors[i],
                                             .finished = &connectors[i].finished,
                                             .loop_index = i % LOOPS,
                                             .random = race_random(100 + i) };
    }
    for (unsigned i = 0; i < ACCEPTORS; i++) {
        acceptors[i] = (struct acceptor){ &hub, false, race_random(200 + i) };
        sides[count++] = (struct race_side){ .body = accept_many,
                                             .arg = &acceptors[i],
                                             .finished = &acceptors[i].finished,
                                             .loop_index = 1, /* the listener's home */
                                             .random = race_random(300 + i) };
    }
    race_all(sides, count, LOOPS);
    accept_the_rest(&hub);
    CHECK_EQUAL(weir_close(hub.listener), 0);
    return 0;
}

static void run_race(const char *name, long connects)
{
    const struct weir_options options = { .loop_count = LOOPS, .ring_entries = 16 };
    int fd_count = count_fds() - 1; /* the listener */

    race_seed();
    assert_int_equal(test_run(race_body, &connects, &options), 0);
    assert_int_equal(count_fds(), fd_count);
    print_message("%s: %ld connected, %ld given up, %ld accepted, %ld of them silent\n", name,
                  count_bits(hub.sent), atomic_load(&hub.failed_count),
                  atomic_load(&hub.accepted_count), atomic_load(&hub.silent_count));
    assert_memory_equal(hub.sent, hub.seen, sizeof hub.sent);
    assert_int_equal(count_bits(hub.seen) + hub.silent_count, hub.accepted_count);
    assert_true(atomic_load(&hub.silent_count) <= atomic_load(&hub.failed_count) * 2);
    assert_true(count_bits(hub.seen) > 0);
}

static void listen_tcp(int backlog)
{
    struct sockaddr_in address;

    memset(&hub, 0, sizeof hub);
    hub.listener = loopback_socket(backlog, &address);
    memcpy(&hub.address, &address, sizeof address);
    hub.address_bytes = sizeof address;
}

static void test_tcp(void **state)
{
    (void)state;
    listen_tcp(512);
    hub.patient = true;
    run_race("tcp", test_rounds(150, 8000, 100000));
}

/* Most connects meet a full queue, and are given up. */
static void test_tcp_with_a_full_backlog(void **state)
{
    (void)state;
    listen_tcp(0);
    run_race("full backlog", test_rounds(100, 2000, 20000));
}

/* Without a path, so that it is tried by the loop itself; a full backlog is tried again. */
static void test_unix_domain(void **state)
{
    struct sockaddr_un *address = (struct sockaddr_un *)&hub.address;

    (void)state;
    memset(&hub, 0, sizeof hub);
    hub.patient = true;
    hub.listener = known(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    address->sun_family = AF_UNIX;
    hub.address_bytes = sizeof address->sun_family;
    assert_int_equal(bind(hub.listener, (struct sockaddr *)address, hub.address_bytes), 0);
    hub.address_bytes = sizeof hub.address;
    assert_int_equal(getsockname(hub.listener, (struct sockaddr *)&hub.address, &hub.address_bytes),
                     0);
    assert_int_equal(listen(hub.listener, 2), 0);
    run_race("unix domain", test_rounds(150, 8000, 100000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tcp),
        cmocka_unit_test(test_tcp_with_a_full_backlog),
        cmocka_unit_test(test_unix_domain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
