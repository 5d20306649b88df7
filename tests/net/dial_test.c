/* SPDX-License-Identifier: MIT */
/* Dialing: whom it reaches, in which order, what it costs, and that the losers leave nothing. The
 * hosts are addresses of the loopback; a silent one has a full backlog. */
#include "net/names.h"

#include <netinet/tcp.h>

enum { TEXT_BYTES = 160, NS_PER_MS = 1000000 };

/* What listens at one port on several addresses. */
struct hosts {
    in_port_t port;
    int good, silent; /* 127.0.0.1; 127.0.0.2. Nothing at 127.0.0.3 */
    int fillers[2];
    int64_t stagger_ms;
};

static int listen_on(const char *host, in_port_t port, int backlog)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = port };
    int on = 1, fd = known(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));

    inet_pton(AF_INET, host, &address.sin_addr);
    CHECK_EQUAL(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    CHECK_EQUAL(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_EQUAL(listen(fd, backlog), 0);
    return fd;
}

static void hosts_open(struct hosts *hosts)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t bytes = sizeof address;

    hosts->stagger_ms = 60000; /* only failures begin the next attempt */
    hosts->good = listen_on("127.0.0.1", 0, 1024);
    CHECK_EQUAL(getsockname(hosts->good, (struct sockaddr *)&address, &bytes), 0);
    hosts->port = address.sin_port;
    hosts->silent = listen_on("127.0.0.2", hosts->port, 0);
    inet_pton(AF_INET, "127.0.0.2", &address.sin_addr);
    hosts->fillers[0] = plain_connect(&address);
    hosts->fillers[1] = known(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    CHECK_EQUAL(connect(hosts->fillers[1], (struct sockaddr *)&address, bytes), -1);
}

static void hosts_close(struct hosts *hosts)
{
    plain_close(hosts->fillers[0]);
    plain_close(hosts->fillers[1]);
    plain_close(hosts->silent);
    plain_close(hosts->good);
}

static void list_names(const char *first, const char *second, const char *third)
{
    memset(names.listed, 0, sizeof names.listed);
    names.listed[0] = first;
    names.listed[1] = second;
    names.listed[2] = third;
}

/* Dials a name that stands for the listed addresses; `hosts->stagger_ms` between attempts. */
static int dial(const struct hosts *hosts, const char *name, int64_t deadline_ns)
{
    const struct weir_dial_options options = {
        .fresh = true,
        .stagger_ns = hosts->stagger_ms * NS_PER_MS,
    };
    char text[TEXT_BYTES];

    snprintf(text, sizeof text, "%s:%u", name, ntohs(hosts->port));
    return weir_dial(text, &options, deadline_ns);
}

/* Whom a socket is connected to; the socket is closed. */
static void check_peer(int fd, const char *host)
{
    struct sockaddr_in peer = { 0 };
    socklen_t bytes = sizeof peer;
    char text[INET_ADDRSTRLEN];

    if (!CHECK(fd >= 0)) {
        print_error("%s: %s\n", host, weir_error_name(fd));
        return;
    }
    CHECK_EQUAL(getpeername(fd, (struct sockaddr *)&peer, &bytes), 0);
    inet_ntop(AF_INET, &peer.sin_addr, text, sizeof text);
    CHECK_EQUAL(strcmp(text, host), 0);
    CHECK_EQUAL(weir_close(fd), 0);
}

static int race_body(void *arg)
{
    struct hosts hosts;
    int64_t start_ns;

    (void)arg;
    hosts_open(&hosts);
    list_names("127.0.0.1", NULL, NULL); /* no race */
    check_peer(dial(&hosts, "listed-", WEIR_FOREVER), "127.0.0.1");
    start_ns = weir_now_ns();
    list_names("127.0.0.3", "127.0.0.1", NULL); /* the next one at once after a refusal */
    check_peer(dial(&hosts, "listed-", WEIR_FOREVER), "127.0.0.1");
    list_names("::1", "127.0.0.1", NULL);
    check_peer(dial(&hosts, "listed-", WEIR_FOREVER), "127.0.0.1");
    check_peer(dial(&hosts, "localhost", WEIR_FOREVER), "127.0.0.1");
    CHECK(weir_now_ns() - start_ns < hosts.stagger_ms * NS_PER_MS);
    hosts.stagger_ms = 5;
    start_ns = weir_now_ns();
    list_names("127.0.0.2", "127.0.0.1", NULL); /* or after a silence */
    check_peer(dial(&hosts, "listed-", WEIR_FOREVER), "127.0.0.1");
    CHECK(weir_now_ns() - start_ns >= hosts.stagger_ms * NS_PER_MS);
    list_names("127.0.0.2", "127.0.0.3", "127.0.0.1");
    check_peer(dial(&hosts, "listed-", WEIR_FOREVER), "127.0.0.1");
    list_names("127.0.0.3", "127.0.0.3", "127.0.0.3");
    CHECK_EQUAL(dial(&hosts, "listed-", WEIR_FOREVER), -ECONNREFUSED);
    list_names("127.0.0.3", "127.0.0.2", NULL);
    CHECK_EQUAL(dial(&hosts, "listed-", weir_in_ms(50)), -ETIME);
    list_names("127.0.0.2", NULL, NULL);
    CHECK_EQUAL(dial(&hosts, "listed-", weir_in_ms(5)), -ETIME);
    CHECK_EQUAL(dial(&hosts, "missing-", WEIR_FOREVER), -ENOENT);
    CHECK_EQUAL(dial(&hosts, "slow-", weir_in_ms(2)), -ETIME);
    CHECK_EQUAL(dial(&hosts, "slow-", WEIR_NOW), -EAGAIN);
    open_gate(1);
    hosts_close(&hosts);
    return 0;
}

static void run_and_count_fds(int (*body)(void *arg), const struct weir_options *options)
{
    int fd_count = count_fds();

    assert_int_equal(test_run(body, NULL, options), 0);
    assert_int_equal(count_fds(), fd_count);
}

static void test_race(void **state)
{
    (void)state;
    run_and_count_fds(race_body, &one_loop);
}

/* Without room for the attempts' tasks the caller makes them itself, one by one. */
static int one_by_one_body(void *arg)
{
    struct hosts hosts;

    (void)arg;
    hosts_open(&hosts);
    list_names("127.0.0.3", "127.0.0.1", NULL);
    check_peer(dial(&hosts, "listed-", WEIR_FOREVER), "127.0.0.1");
    list_names("127.0.0.3", "127.0.0.3", NULL);
    CHECK_EQUAL(dial(&hosts, "listed-", WEIR_FOREVER), -ECONNREFUSED);
    CHECK(counter(WEIR_SPAWNS_REFUSED) > 0);
    hosts_close(&hosts);
    return 0;
}

static void test_race_without_tasks(void **state)
{
    const struct weir_options one_task = { .loop_count = 1, .tasks_per_loop = 1 };

    (void)state;
    run_and_count_fds(one_by_one_body, &one_task);
}

/* "[fe80::1%1]:80" and the like; what is no address; options. */
static int text_body(void *arg)
{
    static const struct {
        const char *text;
        int error;
    } rows[] = {
        { "", -EINVAL },
        { "localhost", -EINVAL },
        { "localhost:", -EINVAL },
        { ":80", -EINVAL },
        { "::1:80", -EINVAL },
        { "[localhost]:80", -EINVAL },
        { "[127.0.0.1]:80", -EINVAL },
        { "[::1:80", -EINVAL },
        { "[]:80", -EINVAL },
        { "::1]:80", -EINVAL },
        { "localhost:65536", -EINVAL },
        { "localhost:-1", -ESRCH }, /* might be a service */
        { "localhost:a-service-that-has-more-than-31-bytes", -EINVAL },
        { "[fe80::1%nowhere]:80", -ENODEV },
        { "[fe80::1%]:80", -EINVAL },
        { "unix:", -EINVAL },
        { "unix:/missing/socket", -ENOENT },
        { "unix:@weir-dial-nobody", -ECONNREFUSED },
    };
    struct weir_dial_options options = { 0 };

    (void)arg;
    real_names(NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (!CHECK_EQUAL(weir_dial(rows[i].text, NULL, WEIR_FOREVER), rows[i].error))
            print_error("%s\n", rows[i].text);
    CHECK_EQUAL(weir_dial(NULL, NULL, WEIR_FOREVER), -EINVAL);
#define REFUSED(field, value)                                                                      \
    options = (struct weir_dial_options){ .field = value };                                        \
    CHECK_EQUAL(weir_dial("127.0.0.1:1", &options, WEIR_FOREVER), -EINVAL)
    REFUSED(size, 1);
    REFUSED(family, AF_UNIX);
    REFUSED(stagger_ns, -1);
    REFUSED(addresses_max, WEIR_RESOLVE_MAX + 1);
    REFUSED(keepalive_s, -1);
    REFUSED(keepalive_count, 128);
    REFUSED(reserved[3], 1);
    REFUSED(local, ":0");
    REFUSED(local, "localhost:0");
    REFUSED(local, "unix:@weir-dial-local");
#undef REFUSED
    return 0;
}

static void test_texts_and_options(void **state)
{
    (void)state;
    run_and_count_fds(text_body, &one_loop);
}

static int socket_options_body(void *arg)
{
    struct weir_dial_options options = {
        .local = "127.0.0.7:0",
        .no_nodelay = true,
        .keepalive_s = 30,
        .keepalive_interval_s = 5,
        .keepalive_count = 3,
    };
    struct weir_listener *listener;
    char text[TEXT_BYTES], own[TEXT_BYTES];
    int fd;

    (void)arg;
    CHECK_EQUAL(weir_listener_open(&listener, "127.0.0.1:0", NULL), 0);
    CHECK_EQUAL(weir_listener_add(listener, "unix:socket"), 0);
    CHECK(weir_listener_address(listener, 0, text, sizeof text) > 0);
    fd = weir_dial(text, &options, WEIR_FOREVER);
    CHECK(fd >= 0);
    CHECK(weir_socket_address(fd, own, sizeof own) > 0);
    CHECK_EQUAL(strncmp(own, "127.0.0.7:", 10), 0);
    CHECK_EQUAL(option_of(fd, IPPROTO_TCP, TCP_NODELAY), 0);
    CHECK_EQUAL(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    CHECK_EQUAL(option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE), 30);
    CHECK_EQUAL(option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL), 5);
    CHECK_EQUAL(option_of(fd, IPPROTO_TCP, TCP_KEEPCNT), 3);
    CHECK_EQUAL(weir_close(fd), 0);
    options.local = "[::1]:0";
    CHECK_EQUAL(weir_dial(text, &options, WEIR_FOREVER), -EAFNOSUPPORT);
    fd = weir_dial(text, NULL, WEIR_FOREVER);
    CHECK_EQUAL(option_of(fd, IPPROTO_TCP, TCP_NODELAY), 1);
    CHECK_EQUAL(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
    CHECK_EQUAL(weir_close(fd), 0);
    fd = weir_dial("unix:socket", NULL, WEIR_FOREVER);
    CHECK(fd >= 0);
    CHECK_EQUAL(weir_close(fd), 0);
    CHECK_EQUAL(weir_listener_close(listener), 0);
    return 0;
}

static void test_socket_options(void **state)
{
    (void)state;
    run_and_count_fds(socket_options_body, &one_loop);
}

/* A port of the own host, where nobody listens: it may be given to the very socket that looks for
 * it there, and that is no connection. */
static int itself_body(void *arg)
{
    struct sockaddr_in address;
    char remote[TEXT_BYTES];
    const struct weir_dial_options options = { .local = remote };
    int fd = loopback_socket(-1, &address);

    (void)arg;
    plain_close(fd);
    snprintf(remote, sizeof remote, "127.0.0.1:%u", ntohs(address.sin_port));
    CHECK_EQUAL(weir_dial(remote, &options, WEIR_FOREVER), -ECONNREFUSED);
    return 0;
}

static void test_itself(void **state)
{
    (void)state;
    run_and_count_fds(itself_body, &one_loop);
}

/* --- Races ------------------------------------------------------------------------------------ */

struct trial {
    const struct hosts *hosts;
    const char *text;
    int64_t stagger_ns;
};

static int64_t dial_call(void *arg, int64_t deadline_ns)
{
    struct trial *trial = arg;
    const struct weir_dial_options options = { .stagger_ns = trial->stagger_ns };

    return weir_dial(trial->text, &options, deadline_ns);
}

/* Several addresses that all answer, begun almost together, cut off at any moment. */
static int cut_off_body(void *arg)
{
    struct hosts hosts;
    struct trial trial = { .hosts = &hosts };
    char text[TEXT_BYTES];
    unsigned seed = 7;
    long won = 0, lost = 0;

    (void)arg;
    hosts_open(&hosts);
    list_names("127.0.0.1", "127.0.0.1", "127.0.0.2");
    snprintf(text, sizeof text, "listed-:%u", ntohs(hosts.port));
    trial.text = text;
    for (long round = 0; round < test_rounds(500, 20000, 100000); round++) {
        struct call call = call_of(dial_call, &trial);

        trial.stagger_ns = 1 + rand_r(&seed) % 60000;
        if (round % 2)
            call.deadline_ns = weir_in_ns(rand_r(&seed) % 200000);
        call_start(&call);
        for (int yields = rand_r(&seed) % 4; yields--;)
            weir_yield();
        if (round % 2 == 0 && rand_r(&seed) % 2)
            CHECK_EQUAL(weir_task_cancel(call.task), 0);
        call_finish(&call);
        if (call.result >= 0) {
            const struct linger hard = { .l_onoff = 1 };

            CHECK_EQUAL(setsockopt((int)call.result, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
            CHECK_EQUAL(weir_close((int)call.result), 0);
            won++;
        } else {
            CHECK(call.result == -ETIME || call.result == -ECANCELED);
            lost++;
        }
        for (int fd; (fd = weir_accept(hosts.good, NULL, NULL, 0, WEIR_NOW)) >= 0;)
            CHECK_EQUAL(weir_close(fd), 0);
    }
    CHECK(won > 0);
    CHECK(lost > 0);
    hosts_close(&hosts);
    return 0;
}

static void test_cut_off(void **state)
{
    (void)state;
    run_and_count_fds(cut_off_body, &one_loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_NAMES(test_race),
        WITH_NAMES(test_race_without_tasks),
        cmocka_unit_test(test_texts_and_options),
        IN_FOLDER(test_socket_options),
        cmocka_unit_test(test_itself),
        WITH_NAMES(test_cut_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
