/* SPDX-License-Identifier: MIT */
/* A service and its manager: what it inherits, as a forked child that is given descriptors, and
 * what it tells, to a socket of the test's. */
#include "io/fixture.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

enum { INHERITED_MAX = 4, TEXT_BYTES = 5000 };

/* What a child is given, from descriptor 3 on. */
struct gift {
    const char *pid; /* NULL: the child's own */
    const char *count, *names;
    void (*body)(void);
};

static struct weir_inherited found[INHERITED_MAX];

static void set(const char *name, const char *value)
{
    if (value)
        CHECK_EQUAL(setenv(name, value, 1), 0);
    else
        CHECK_EQUAL(unsetenv(name), 0);
}

static void give(void *arg)
{
    const struct gift *gift = arg;
    struct sockaddr_in address;
    char pid[16];
    int fds[3], pair[2];

    snprintf(pid, sizeof pid, "%d", (int)getpid());
    set("LISTEN_PID", gift->pid ? gift->pid : pid);
    set("LISTEN_FDS", gift->count);
    set("LISTEN_FDNAMES", gift->names);
    CHECK_EQUAL(pipe(pair), 0);
    fds[0] = loopback_socket(4, &address);
    fds[1] = socket(AF_INET, SOCK_DGRAM, 0);
    fds[2] = pair[0];
    for (int i = 0; i < 3; i++) /* out of the way first */
        fds[i] = fcntl(fds[i], F_DUPFD, 100);
    for (int i = 0; i < 3; i++)
        CHECK_EQUAL(dup2(fds[i], 3 + i), 3 + i);
    closefrom(6);
    gift->body();
    fflush(stderr);
}

/* The child says nothing when all holds. */
static void check_gift(const struct gift *gift)
{
    char output[4096];

    assert_int_equal(test_fork(give, (void *)gift, output, sizeof output), 0);
    assert_string_equal(output, "");
}

static void check_three(void)
{
    static const char *const variables[] = { "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES" };

    CHECK_EQUAL(weir_inherited_take(found, 2), -E2BIG);
    CHECK_EQUAL(weir_inherited_take(NULL, 3), -EINVAL);
    CHECK(getenv("LISTEN_PID") != NULL); /* nothing was taken */
    CHECK_EQUAL(weir_inherited_take(found, INHERITED_MAX), 3);
    CHECK_EQUAL(found[0].kind, WEIR_INHERITED_LISTENER);
    CHECK_EQUAL(found[1].kind, WEIR_INHERITED_DATAGRAM);
    CHECK_EQUAL(found[2].kind, WEIR_INHERITED_PIPE);
    for (int i = 0; i < 3; i++) {
        CHECK_EQUAL(found[i].fd, 3 + i);
        CHECK_EQUAL(fcntl(found[i].fd, F_GETFD), FD_CLOEXEC);
        CHECK(getenv(variables[i]) == NULL);
    }
    CHECK_EQUAL(weir_inherited_take(found, INHERITED_MAX), 0);
    CHECK(weir_inherited_find(NULL, 3, "web", WEIR_INHERITED_LISTENER) == NULL);
}

static void check_names(void)
{
    check_three();
    CHECK(weir_inherited_find(found, 3, "web", WEIR_INHERITED_LISTENER) == &found[0]);
    CHECK(weir_inherited_find(found, 3, "web", WEIR_INHERITED_DATAGRAM) == NULL);
    CHECK(weir_inherited_find(found, 3, "", WEIR_INHERITED_DATAGRAM) == NULL);
    CHECK_EQUAL(strcmp(found[1].name, "unknown"), 0);
    CHECK_EQUAL(strcmp(found[2].name, "log"), 0);
}

static void check_unnamed(void)
{
    check_three();
    for (int i = 0; i < 3; i++)
        CHECK_EQUAL(strcmp(found[i].name, "unknown"), 0);
}

static void check_nothing(void)
{
    CHECK_EQUAL(weir_inherited_take(found, INHERITED_MAX), 0);
}

static void check_nonsense(void)
{
    CHECK_EQUAL(weir_inherited_take(found, INHERITED_MAX), -EINVAL);
}

static void check_closed(void)
{
    CHECK_EQUAL(weir_inherited_take(found, INHERITED_MAX), -EBADF);
}

/* The inherited listener serves. */
static int adopt_body(void *arg)
{
    struct weir_listener *listener;
    char text[128];
    int client, fd;

    (void)arg;
    CHECK_EQUAL(weir_listener_open(&listener, NULL, NULL), 0);
    CHECK_EQUAL(weir_listener_adopt(listener, found[1].fd), -EINVAL);
    CHECK_EQUAL(weir_listener_adopt(listener, found[0].fd), 0);
    CHECK(weir_listener_address(listener, 0, text, sizeof text) > 0);
    client = weir_dial(text, NULL, WEIR_FOREVER);
    CHECK(client >= 0);
    fd = weir_listener_accept(listener, NULL, NULL, WEIR_FOREVER);
    CHECK(fd >= 0);
    CHECK_EQUAL(weir_close(client), 0);
    CHECK_EQUAL(weir_close(fd), 0);
    CHECK_EQUAL(weir_listener_close(listener), 0);
    return 0;
}

static void check_adopted(void)
{
    CHECK_EQUAL(weir_inherited_take(found, INHERITED_MAX), 3);
    CHECK_EQUAL(weir_run(adopt_body, NULL, &one_loop), 0);
}

static void test_inherited(void **state)
{
    static const struct gift gifts[] = {
        { NULL, "3", "web::log", check_names },
        { NULL, "3", NULL, check_unnamed },
        { NULL, "3", "web", check_adopted },
        { "1", "3", NULL, check_nothing },
        { NULL, "0", NULL, check_nothing },
        { NULL, NULL, NULL, check_nothing },
        { NULL, "-3", NULL, check_nonsense },
        { NULL, "3x", NULL, check_nonsense },
        { "", "3", NULL, check_nonsense },
        { NULL, "99999999999999999999", NULL, check_nonsense },
        { NULL, "4", NULL, check_closed },
    };

    (void)state;
    for (size_t i = 0; i < sizeof gifts / sizeof gifts[0]; i++)
        check_gift(&gifts[i]);
}

/* --- Telling ---------------------------------------------------------------------------------- */

/* A manager's socket, at that address, and so in the environment. */
static int manager_open(const char *name)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = known(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    socklen_t bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));

    memcpy(address.sun_path, name, strlen(name));
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    CHECK_EQUAL(bind(fd, (struct sockaddr *)&address, bytes), 0);
    set("NOTIFY_SOCKET", name);
    return fd;
}

static void check_heard(int manager, const char *wanted)
{
    char heard[TEXT_BYTES];
    ssize_t count = recv(manager, heard, sizeof heard - 1, MSG_DONTWAIT);

    if (!CHECK(count >= 0))
        return;
    heard[count] = '\0';
    CHECK_EQUAL(strcmp(heard, wanted), 0);
}

static void check_stored(int manager, int stored)
{
    char heard[100] = { 0 }, control[CMSG_SPACE(sizeof(int))];
    struct iovec vector = { heard, sizeof heard - 1 };
    struct msghdr message = {
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof control,
    };
    struct stat mine, theirs;
    int fd;

    CHECK(recvmsg(manager, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) > 0);
    CHECK_EQUAL(strcmp(heard, "FDSTORE=1\nFDNAME=state"), 0);
    if (!CHECK(CMSG_FIRSTHDR(&message) != NULL))
        return;
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    CHECK_EQUAL(fstat(fd, &theirs), 0);
    CHECK_EQUAL(fstat(stored, &mine), 0);
    CHECK_EQUAL(mine.st_ino, theirs.st_ino);
    plain_close(known(fd));
}

/* No more fits into the manager's queue until it reads. */
static void check_full(int manager)
{
    int told = 0, result;

    while ((result = weir_notify("STATUS=again", weir_in_ms(2))) == 1)
        told++;
    CHECK_EQUAL(result, -ETIME);
    CHECK(told > 0);
    check_heard(manager, "STATUS=again");
    CHECK_EQUAL(weir_notify("STATUS=again", weir_in_ms(1000)), 1);
}

static int notify_body(void *arg)
{
    char *long_text = malloc(TEXT_BYTES);
    int manager, stored = memory_file();

    (void)arg;
    memset(long_text, 'x', TEXT_BYTES);
    long_text[TEXT_BYTES - 1] = '\0';
    CHECK_EQUAL(weir_notify("READY=1", WEIR_FOREVER), 0); /* nobody to tell */
    CHECK_EQUAL(weir_notify(NULL, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_notify("", WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_notify(long_text, WEIR_FOREVER), -EMSGSIZE);
    CHECK_EQUAL(weir_notify_store("a:b", 0, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_notify_store("a", -1, WEIR_FOREVER), -EBADF);
    set("NOTIFY_SOCKET", "vsock:2:1234");
    CHECK_EQUAL(weir_notify("READY=1", WEIR_FOREVER), -EAFNOSUPPORT);
    set("NOTIFY_SOCKET", "/missing/notify");
    CHECK_EQUAL(weir_notify("READY=1", WEIR_FOREVER), -ENOENT);
    set("NOTIFY_SOCKET", "@weir-notify-nobody");
    CHECK_EQUAL(weir_notify("READY=1", WEIR_FOREVER), -ECONNREFUSED);

    manager = manager_open("@weir-notify-test");
    CHECK_EQUAL(weir_notify("READY=1\nSTATUS=serving", WEIR_FOREVER), 1);
    check_heard(manager, "READY=1\nSTATUS=serving");
    CHECK_EQUAL(weir_notify("STOPPING=1", WEIR_NOW), 1);
    check_heard(manager, "STOPPING=1");
    CHECK_EQUAL(weir_notify_store("state", stored, WEIR_FOREVER), 1);
    check_stored(manager, stored);
    check_full(manager);
    plain_close(manager);
    free(long_text);
    plain_close(stored);
    return 0;
}

/* By a path, which is looked up on the pool. */
static int notify_path_body(void *arg)
{
    char path[200];
    int manager;

    (void)arg;
    CHECK(getcwd(path, sizeof path - 10) != NULL);
    strcat(path, "/notify");
    manager = manager_open(path);
    CHECK_EQUAL(weir_notify("WATCHDOG=1", WEIR_FOREVER), 1);
    check_heard(manager, "WATCHDOG=1");
    plain_close(manager);
    return 0;
}

static void test_notify(void **state)
{
    int fd_count = count_fds();

    (void)state;
    unsetenv("NOTIFY_SOCKET");
    assert_int_equal(test_run(notify_body, NULL, &one_loop), 0);
    assert_int_equal(test_run(notify_path_body, NULL, &one_loop), 0);
    assert_int_equal(count_fds(), fd_count);
    assert_int_equal(weir_notify("READY=1", WEIR_FOREVER), -ENXIO);
    unsetenv("NOTIFY_SOCKET");
}

static void test_watchdog(void **state)
{
    char pid[16];

    (void)state;
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    unsetenv("WATCHDOG_PID");
    unsetenv("WATCHDOG_USEC");
    assert_int_equal(weir_notify_watchdog_ns(), 0);
    setenv("WATCHDOG_USEC", "30000000", 1);
    assert_int_equal(weir_notify_watchdog_ns(), 30000000000);
    setenv("WATCHDOG_PID", pid, 1);
    assert_int_equal(weir_notify_watchdog_ns(), 30000000000);
    setenv("WATCHDOG_PID", "1", 1);
    assert_int_equal(weir_notify_watchdog_ns(), 0);
    setenv("WATCHDOG_PID", pid, 1);
    setenv("WATCHDOG_USEC", "soon", 1);
    assert_int_equal(weir_notify_watchdog_ns(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inherited),
        IN_FOLDER(test_notify),
        cmocka_unit_test(test_watchdog),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
