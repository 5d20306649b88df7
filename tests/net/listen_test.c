/* SPDX-License-Identifier: MIT */
/* Listening at an address given as text, and connecting to listeners without room. */
#include "io/fixture.h"

#include "net/address.h"

#include <netinet/tcp.h>
#include <sys/un.h>

static void test_addresses(void **state)
{
    static const struct {
        const char *text;
        int error;
        const char *back; /* NULL: the same */
    } rows[] = {
        { "127.0.0.1:7000", 0, NULL },
        { "0.0.0.0:0", 0, NULL },
        { "255.255.255.255:65535", 0, NULL },
        { "[::1]:80", 0, NULL },
        { "[fe80::1234:5678:9abc:def0]:1", 0, NULL },
        { "[::ffff:127.0.0.1]:1", 0, NULL },
        { "[fe80::1%7]:80", 0, NULL },
        { "[fe80::1%lo]:80", 0, "[fe80::1%1]:80" },
        { "[fe80::1%nowhere]:80", -ENODEV, NULL },
        { "[fe80::1%]:80", -EINVAL, NULL },
        { "[fe80::1%0]:80", -EINVAL, NULL },
        { "[::1]x:80", -EINVAL, NULL },
        { "127.0.0.1%lo:80", -EINVAL, NULL },
        { ":80", 0, "[::]:80" },
        { ":007", 0, "[::]:7" },
        { "unix:/run/x", 0, NULL },
        { "unix:@name", 0, NULL },
        { "unix:a:b", 0, NULL },
        { "", -EINVAL, NULL },
        { ":", -EINVAL, NULL },
        { "80", -EINVAL, NULL },
        { "127.0.0.1", -EINVAL, NULL },
        { "127.0.0.1:", -EINVAL, NULL },
        { "127.0.0.1:65536", -EINVAL, NULL },
        { "127.0.0.1:-1", -EINVAL, NULL },
        { "127.0.0.1:8x", -EINVAL, NULL },
        { "127.0.0.1:000080", -EINVAL, NULL },
        { "127.1:80", -EINVAL, NULL },
        { "localhost:80", -EINVAL, NULL },
        { "::1:80", -EINVAL, NULL },
        { "[::1:80", -EINVAL, NULL },
        { "[:80", -EINVAL, NULL },
        { "[]:80", -EINVAL, NULL },
        { "[127.0.0.1]:80", -EINVAL, NULL },
        { "[1111:2222:3333:4444:5555:6666:7777:8888:9999:0000:1111]:80", -EINVAL, NULL },
        { "unix:", -EINVAL, NULL },
        { "unix:@", -EINVAL, NULL },
    };
    char long_name[200] = "unix:", text[200];
    struct weir__address address;
    int length;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        print_message("%s\n", rows[i].text);
        assert_int_equal(weir__address_parse(&address, rows[i].text), rows[i].error);
        if (rows[i].error)
            continue;
        length = weir__address_format(&address, text, sizeof text);
        assert_int_equal(length, strlen(text));
        assert_string_equal(text, rows[i].back ? rows[i].back : rows[i].text);
        assert_int_equal(weir__address_format(&address, text, strlen(text)), -ENOSPC);
    }
    memset(long_name + 5, 'x', 107);
    assert_int_equal(weir__address_parse(&address, long_name), 0);
    assert_int_equal(weir__address_format(&address, text, sizeof text), 5 + 107);
    long_name[5 + 107] = 'x';
    assert_int_equal(weir__address_parse(&address, long_name), -ENAMETOOLONG);
}

/* A path that fills sun_path has no final zero there, but the kernel counts one. */
static void test_a_path_of_full_length(void **state)
{
    struct sockaddr_storage storage;
    struct sockaddr_un *path = (struct sockaddr_un *)&storage;
    socklen_t bytes = sizeof storage;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct weir__address address;
    char text[200];

    (void)state;
    memset(&address, 'o', sizeof address);
    memset(&storage, 'o', sizeof storage);
    path->sun_family = AF_UNIX;
    memset(path->sun_path, 'x', sizeof path->sun_path);
    assert_int_equal(bind(fd, (struct sockaddr *)path, sizeof *path), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)path, &bytes), 0);
    assert_int_equal(bytes, sizeof *path + 1);
    address.path = *path;
    address.bytes = bytes;
    assert_int_equal(weir__address_format(&address, text, sizeof text), 5 + 108);
    assert_int_equal(strspn(text + 5, "x"), 108);
    assert_int_equal(weir_address_text((struct sockaddr *)path, bytes, text, sizeof text), 5 + 108);
    assert_int_equal(strspn(text + 5, "x"), 108);
    close(fd);
}

static void check_listener(const char *text, const char *prefix)
{
    int listener = weir_listen_at(text, NULL);
    char address[128];
    int client;

    if (listener == -EAFNOSUPPORT || listener == -EADDRNOTAVAIL) {
        print_message("[  SKIPPED ] %s: no such address family here\n", text);
        return;
    }
    CHECK(listener >= 0);
    CHECK(weir_socket_address(listener, address, sizeof address) > 0);
    CHECK_EQUAL(strncmp(address, prefix, strlen(prefix)), 0);
    CHECK(prefix[0] == 'u' || strcmp(strrchr(address, ':'), ":0") != 0);
    client = connect_to(listener, WEIR_FOREVER);
    CHECK(client >= 0);
    CHECK_EQUAL(weir_close(client), 0);
    CHECK_EQUAL(weir_close(listener), 0);
}

/* ":port" is reached by IPv4 as well. */
static void check_both_families(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    int listener = weir_listen_at(":0", NULL);
    int client = weir_socket(AF_INET, SOCK_STREAM, 0);
    char text[64];

    CHECK(weir_socket_address(listener, text, sizeof text) > 0);
    address.sin_port = htons((in_port_t)atoi(strrchr(text, ':') + 1));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_EQUAL(weir_connect(client, (struct sockaddr *)&address, sizeof address, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_close(client), 0);
    CHECK_EQUAL(weir_close(listener), 0);
}

static void check_listen_options(void)
{
    struct weir_listen_options options = { .reuse_port = true, .no_nodelay = true };
    int first = weir_listen_at("127.0.0.1:0", &options), second;
    char text[64];

    CHECK(first >= 0);
    CHECK_EQUAL(option_of(first, IPPROTO_TCP, TCP_NODELAY), 0);
    CHECK(weir_socket_address(first, text, sizeof text) > 0);
    second = weir_listen_at(text, &options);
    CHECK(second >= 0);
    CHECK_EQUAL(weir_listen_at(text, NULL), -EADDRINUSE);
    CHECK_EQUAL(weir_close(first), 0);
    CHECK_EQUAL(weir_close(second), 0);
    options.backlog = -1;
    CHECK_EQUAL(weir_listen_at("127.0.0.1:0", &options), -EINVAL);
    options = (struct weir_listen_options){ .size = 1 };
    CHECK_EQUAL(weir_listen_at("127.0.0.1:0", &options), -EINVAL);
    options = (struct weir_listen_options){ .reserved[3] = 1 };
    CHECK_EQUAL(weir_listen_at("127.0.0.1:0", &options), -EINVAL);
}

static int listen_body(void *arg)
{
    (void)arg;
    check_listener("127.0.0.1:0", "127.0.0.1:");
    check_listener("[::1]:0", "[::1]:");
    check_listener("unix:socket", "unix:socket");
    check_listener("unix:@weir-net-test", "unix:@weir-net-test");
    check_both_families();
    check_listen_options();
    CHECK_EQUAL(weir_listen_at(NULL, NULL), -EINVAL);
    CHECK_EQUAL(weir_listen_at("localhost:80", NULL), -EINVAL);
    CHECK_EQUAL(weir_listen_at("unix:/missing/socket", NULL), -ENOENT);
    return 0;
}

static void test_listen_at(void **state)
{
    (void)state;
    assert_int_equal(test_run(listen_body, NULL, &one_loop), 0);
}

/* A file is removed only if it is a socket's, and nobody listens there. */
static int stale_body(void *arg)
{
    const struct weir_listen_options anew = { .unlink_stale = true };
    int listener = weir_listen_at("unix:socket", &anew);

    (void)arg;
    CHECK(listener >= 0);
    CHECK_EQUAL(weir_listen_at("unix:socket", &anew), -EADDRINUSE);
    CHECK_EQUAL(weir_close(listener), 0);
    CHECK_EQUAL(weir_listen_at("unix:socket", NULL), -EADDRINUSE);
    listener = weir_listen_at("unix:socket", &anew);
    CHECK(listener >= 0);
    CHECK_EQUAL(weir_close(listener), 0);
    plain_close(plain_open("file", O_CREAT | O_RDWR));
    CHECK_EQUAL(weir_listen_at("unix:file", &anew), -EADDRINUSE);
    CHECK_EQUAL(access("file", F_OK), 0);
    return 0;
}

static void test_stale_socket_files(void **state)
{
    (void)state;
    assert_int_equal(test_run(stale_body, NULL, &one_loop), 0);
}

/* A unix-domain listener without room: with as many clients as it takes. */
static int fill_backlog(int listener, int clients[8])
{
    struct sockaddr_un address;
    socklen_t bytes = sizeof address;
    int count = 0, error;

    CHECK_EQUAL(getsockname(listener, (struct sockaddr *)&address, &bytes), 0);
    do {
        clients[count] = known(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        error = connect(clients[count++], (struct sockaddr *)&address, bytes);
    } while (error == 0 && count < 8);
    CHECK(error == -1);
    return count;
}

static void check_full_backlog(const char *text)
{
    const struct weir_listen_options options = { .backlog = 1 };
    int listener = weir_listen_at(text, &options);
    struct call call = { .run = connect_call, .arg = &listener, .deadline_ns = WEIR_FOREVER };
    int clients[8], count = fill_backlog(listener, clients);
    int thread_count;

    CHECK_EQUAL(connect_to(listener, WEIR_NOW), -EAGAIN);
    CHECK_EQUAL(connect_to(listener, weir_in_ms(5)), -ETIME);
    thread_count = count_threads();
    call_start(&call);
    weir__sched_settle();
    CHECK_EQUAL(weir_task_cancel(call.task), 0);
    CHECK_EQUAL(call_finish(&call), -ECANCELED);
    call_start(&call);
    weir__sched_settle();
    CHECK_EQUAL(count_threads(), thread_count); /* no worker of the kernel waits in it */
    plain_close(known(accept(listener, NULL, NULL)));
    CHECK(call_finish(&call) >= 0);
    CHECK_EQUAL(fcntl((int)call.result, F_GETFL) & O_NONBLOCK, 0);
    CHECK_EQUAL(weir_close((int)call.result), 0);
    for (int i = 0; i < count; i++)
        plain_close(clients[i]);
    CHECK_EQUAL(weir_close(listener), 0);
}

static int backlog_body(void *arg)
{
    (void)arg;
    check_full_backlog("unix:socket");
    check_full_backlog("unix:@weir-net-test-backlog");
    CHECK_EQUAL(routed(WEIR__OP_ID_CONNECT, WEIR__ROUTE_RING), 0);
    return 0;
}

static void test_unix_connect_waits_for_room(void **state)
{
    (void)state;
    assert_int_equal(test_run(backlog_body, NULL, &one_loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_addresses),
        IN_FOLDER(test_a_path_of_full_length),
        IN_FOLDER(test_listen_at),
        IN_FOLDER(test_stale_socket_files),
        IN_FOLDER(test_unix_connect_waits_for_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
